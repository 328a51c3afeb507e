//! What a neuron's preferences weigh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a neuron met of a feature, in all documents or in those that were drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Met {
    /// How often.
    pub count: u64,
    /// The sum of the strengths.
    pub mass: f64,
    /// The largest of them.
    pub max: f32,
    /// How much of all observations of both stages in the layer are of the feature, from above 0 to 1.
    pub share: f64,
}

/// What a preference weighs before the weights of a neuron are made to sum to 1.
pub trait Weigh: Sync {
    /// The weight of what was met, finite and not below 0.
    fn weight(&self, met: &Met) -> f64;

    /// The weights of one feature in several samples (`[samples]` each), 0 where it was not met. Resampling asks for so many that
    /// each by itself would take its time.
    fn weights(&self, share: f64, [count, mass, max]: [&[f64]; 3], out: &mut [f64]) {
        for (at, out) in out.iter_mut().enumerate() {
            let met = Met { count: count[at] as u64, mass: mass[at], max: max[at] as f32, share };
            *out = if met.count == 0 { 0.0 } else { self.weight(&met) };
        }
    }

    /// Whether what a feature weighs grows with how often the text has it: then it is made what it would be at another frequency.
    fn grows(&self) -> bool {
        true
    }
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
    fn weight(&self, met: &Met) -> f64 {
        match self {
            Self::Mass => met.mass,
            Self::Mean => met.mass / met.count as f64,
            Self::Count => met.count as f64,
        }
    }

    fn weights(&self, _: f64, [count, mass, _]: [&[f64]; 3], out: &mut [f64]) {
        match self {
            Self::Mass => out.copy_from_slice(mass),
            // Where nothing was met there is no mass, either.
            Self::Mean => {
                out.iter_mut().zip(mass).zip(count).for_each(|((out, mass), count)| *out = mass / count.max(1.0))
            }
            Self::Count => out.copy_from_slice(count),
        }
    }

    fn grows(&self) -> bool {
        *self != Self::Mean
    }
}
