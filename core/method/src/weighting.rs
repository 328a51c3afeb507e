//! What a neuron's preferences weigh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::preferences::Preference;

/// What a neuron's preferences are weighted by before they are made to sum to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// The sum of the activations: a feature weighs what it brought.
    #[default]
    Mass,
    /// The mean activation, mass / count: the paper's. A feature seen once weighs like one seen a thousand times.
    Mean,
    /// How often it was observed.
    Count,
}

impl Weighting {
    /// The weight of a preference before normalisation, >= 0.
    pub fn weight(self, preference: &Preference) -> f64 {
        match self {
            _ if preference.count == 0 => 0.0,
            Self::Mass => preference.mass.to_f64(),
            Self::Mean => preference.mass.to_f64() / preference.count as f64,
            Self::Count => preference.count as f64,
        }
    }
}
