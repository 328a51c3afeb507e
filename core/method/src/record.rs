//! Which activations count.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::RuleKind;

/// Which activations count, and for how much. One of a person's own sees all that a source gives: for every neuron, a source
/// has to give every neuron.
pub trait RecordRule: Sync {
    /// Of what a source gives of one token at one site (`[candidates]` each), adds to `kept` what counts: each candidate once,
    /// for as much as is a number.
    fn record(&self, site: usize, neurons: &[u32], activations: &[f32], kept: &mut Vec<Kept>);
}

/// An activation that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Index of the candidate.
    pub candidate: usize,
    /// What it counts for: it is this that preferences sum, where it is above 0. The activation itself, or what the rule
    /// ranks by.
    pub strength: f32,
}

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
    /// How many neurons it needs of a token at a site, the most active ones.
    pub fn k(self) -> usize {
        match self {
            Self::Max1 => 1,
        }
    }

    /// What it asks of a model at each site.
    pub fn rule(self) -> RuleKind {
        match self {
            Self::Max1 => RuleKind::Top,
        }
    }
}

impl RecordRule for Record {
    fn record(&self, _: usize, neurons: &[u32], activations: &[f32], kept: &mut Vec<Kept>) {
        match self {
            Self::Max1 => {
                let mut best: Option<usize> = None;
                for (candidate, (&neuron, &activation)) in neurons.iter().zip(activations).enumerate() {
                    let is_better = |best: usize| {
                        activation > activations[best] || activation == activations[best] && neuron < neurons[best]
                    };
                    if best.is_none_or(is_better) {
                        best = Some(candidate);
                    }
                }
                kept.extend(best.map(|candidate| Kept { candidate, strength: activations[candidate] }));
            }
        }
    }
}

/// Everything that a source gives: the rule for sources that bring their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsGiven;

impl RecordRule for AsGiven {
    fn record(&self, _: usize, _: &[u32], activations: &[f32], kept: &mut Vec<Kept>) {
        kept.extend(activations.iter().enumerate().map(|(candidate, &strength)| Kept { candidate, strength }));
    }
}
