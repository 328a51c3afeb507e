//! Models that share their neurons, and those that do not: replicates, and whether neuron 7 of one is neuron 7 of another.

use std::sync::Arc;

use txray_config::child;

use super::{Model, Origin, TRAIN, without};
use crate::check::Check;
use crate::step::Step;

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

impl Model {
    /// The model of the first of these seeds, with those of the others beside it; of none, as it is.
    pub(super) fn with_seeds(mut self, seeds: &[u64]) -> Self {
        let Some((first, others)) = seeds.split_first() else { return self };
        self.seed = *first;
        let replicate = |&seed| Arc::new(Self { name: self.name.replicate(seed), seed, ..self.clone() });
        self.replicates = others.iter().map(replicate).collect();
        self
    }

    /// The replicate of the seed that the value at `pointer` names.
    pub(super) fn replicate(&self, check: &mut Check<'_>, pointer: &str, seed: &str) -> Option<Arc<Self>> {
        let found =
            self.replicates.iter().find(|model| model.name.replicate.is_some_and(|own| own.to_string() == seed));
        if found.is_none() {
            let (name, known) = (&self.name, self.replicates.iter().map(|model| format!("`{}`", model.name)));
            let known: Vec<String> = known.collect();
            let help = match known.is_empty() {
                true => format!("set `seeds = [...]` in [model.{name}]: it is the model of the first"),
                false => format!("it has {}; `{name}` is that of its first seed", known.join(", ")),
            };
            check.error_with_help(pointer, format!("`{name}` has no replicate of the seed `{seed}`"), help);
        }
        found.cloned()
    }

    /// Whether its neurons are those of another.
    pub fn kin(&self, other: &Self) -> Kin {
        let (a, b) = (self.root(), other.root());
        match (&a.origin, &b.origin) {
            (Origin::New(of_a), Origin::New(of_b)) => {
                let drawn = |model: &Self| {
                    // Words have the weights of their numbers, which the text and the vocabulary give them.
                    let text = model.task.as_ref().map(|task| task.train.name());
                    (model.seed, model.plugin.kind.clone(), without(&model.plugin.options, TRAIN), text)
                };
                if drawn(a) == drawn(b) && of_a == of_b { Kin::Kin } else { Kin::Strangers }
            }
            (Origin::Directory(a), Origin::Directory(b)) if a == b => Kin::Kin,
            _ => Kin::Unknown,
        }
    }

    /// What it began from, be it by way of other models of its kind: another may make other neurons of the same weights.
    fn root(&self) -> &Self {
        match self.origin.model() {
            Some(from) if !self.is_of_another_kind() => from.root(),
            _ => self,
        }
    }
}
