//! Models that share their neurons, and those that do not: replicates, and whether neuron 7 of one is neuron 7 of another.

use txray_config::child;

use crate::check::Check;

/// Whether neurons of the same number in two models are the same neuron.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// They began with the same weights.
    Kin,
    /// They began apart.
    Strangers,
    /// One of them came from elsewhere: its user knows.
    Unknown,
}

/// Holds the seeds of a model to what seeds are for.
pub(super) fn check_seeds(check: &mut Check<'_>, pointer: &str, seeds: &[u64], is_trained: bool) {
    let pointer = child(pointer, "seeds");
    if !is_trained {
        check.error(&pointer, "this model is not trained: it has no `task`");
    } else if seeds.is_empty() {
        check.error(&pointer, "a model is trained with one seed at least");
    }
    for (index, seed) in seeds.iter().enumerate().filter(|(index, seed)| seeds[..*index].contains(seed)) {
        check.error(&format!("{pointer}/{index}"), format!("the seed {seed} is named twice"));
    }
}
