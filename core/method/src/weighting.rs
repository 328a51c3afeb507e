//! What a neuron's preferences weigh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::preferences::Preference;

/// What a preference weighs before the weights of a neuron are made to sum to 1.
pub trait Weigh: Sync {
    /// The weight of a preference that was met, finite and not below 0. `share` is how much of all observations of both
    /// stages in the layer are of its feature, from above 0 to 1.
    fn weight(&self, preference: &Preference, share: f64) -> f64;
}

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

impl Weigh for Weighting {
    fn weight(&self, preference: &Preference, _: f64) -> f64 {
        match self {
            Self::Mass => preference.mass.to_f64(),
            Self::Mean => preference.mass.to_f64() / preference.count as f64,
            Self::Count => preference.count as f64,
        }
    }
}
