//! How far a figure would move with other documents: documents or groups, drawn with putting back.

use std::sync::Arc;

use hashbrown::HashMap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use txray_plugin::random::Stream;

use crate::evidence::Unit;

/// Draws.
const DRAWS: usize = 1000;

/// A figure of a sample.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its interval of 95 %, by drawing as many units with putting back (percentiles of 1,000 draws); none of fewer units than two.
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// With the interval of what was drawn.
    pub(super) fn of(value: f64, mut drawn: Vec<f64>) -> Self {
        drawn.sort_by(f64::total_cmp);
        // As many lie beyond either end.
        let tail = drawn.len() / 40;
        let interval = drawn.get(tail).zip(drawn.len().checked_sub(tail + 1).and_then(|at| drawn.get(at)));
        Self { value, interval: interval.map(|(low, high)| [*low, *high]) }
    }

    /// None where it is no number: a model that diverged has no perplexity.
    pub(super) fn map(self, of: impl Fn(f64) -> f64) -> Option<Self> {
        let interval = self.interval.map(|ends| ends.map(&of)).filter(|ends| ends.iter().all(|end| end.is_finite()));
        Some(Self { value: of(self.value), interval }).filter(|of| of.value.is_finite())
    }
}

/// What is drawn as a whole.
pub(super) struct Draws {
    pub unit: Unit,
    /// How many units there are.
    pub units: usize,
    /// `[documents]`
    unit_of: Vec<usize>,
    seed: u64,
}

impl Draws {
    /// Of documents by their groups: where one has none, each is a unit.
    pub fn new<'a>(groups: impl Iterator<Item = Option<&'a Arc<str>>> + Clone, seed: u64) -> Self {
        if groups.clone().any(|group| group.is_none()) {
            let unit_of: Vec<usize> = (0..groups.count()).collect();
            return Self { unit: Unit::Document, units: unit_of.len(), unit_of, seed };
        }
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let unit_of = groups.flatten().map(|group| {
            let next = numbers.len();
            *numbers.entry(group).or_insert(next)
        });
        let unit_of = unit_of.collect();
        Self { unit: Unit::Group, units: numbers.len(), unit_of, seed }
    }

    /// `[documents]` of each draw: how often it was drawn. None of fewer units than two.
    pub fn all(&self) -> impl IndexedParallelIterator<Item = Vec<f64>> {
        let draws = if self.units > 1 { DRAWS } else { 0 };
        (0..draws).into_par_iter().map(|index| {
            let mut random = Stream::new(self.seed, "bootstrap", index as u64);
            let mut times = vec![0.0; self.units];
            for _ in 0..self.units {
                times[random.below(self.units as u32) as usize] += 1.0;
            }
            self.unit_of.iter().map(|&unit| times[unit]).collect()
        })
    }
}
