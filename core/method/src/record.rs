//! Which activations count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which activations count: `record = "max-1"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// At each token the one most active neuron of each site: the paper's rule.
    #[default]
    #[serde(rename = "max-1")]
    Max1,
}

impl Record {
    /// How many neurons it keeps of a token at a site.
    pub fn k(self) -> usize {
        match self {
            Self::Max1 => 1,
        }
    }
}
