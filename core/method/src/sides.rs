//! What both sides of a comparison have in common: how they are held against each other, and the names of their features.

use std::cmp::Ordering;

use txray_plugin::{NULL, PreferenceMetric, StringTable};

use crate::preferences::Preferences;
use crate::weighting::Weigh;

/// How to compare.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// The layers compared: each is one of both stages.
    pub layers: &'a [String],
    /// What preferences are weighted by.
    pub weighting: &'a dyn Weigh,
    /// Features observed less often than this, both stages pooled, are left out of a neuron's distributions.
    pub min_count: u64,
    /// Whether the stages read different texts: then distances are told of standardized frequencies, too.
    pub texts_differ: bool,
}

/// A distance, and the name of its column.
pub type Metric = (String, Box<dyn PreferenceMetric>);

/// The names of two sides, each once in rising order, and what the numbers of each side are among them.
pub(crate) struct Union {
    pub names: StringTable,
    pub numbers: [Vec<u32>; 2],
}

impl Union {
    pub fn of(sides: [&StringTable; 2]) -> Self {
        let mut union = Self { names: StringTable::new(), numbers: sides.map(|side| Vec::with_capacity(side.len())) };
        let [from, to] = sides.map(|side| side.as_strings().iter());
        let [mut from, mut to] = [from.peekable(), to.peekable()];
        while let Some(order) = order(from.peek(), to.peek()) {
            let mut next = None;
            for (side, names) in [(0, &mut from), (1, &mut to)] {
                let is_next = if side == 0 { order.is_le() } else { order.is_ge() };
                if is_next {
                    next = names.next();
                    union.numbers[side].push(u32::try_from(union.names.len()).unwrap_or(NULL));
                }
            }
            union.names.push(next.unwrap_or_default());
        }
        union
    }

    /// How much of all observations are of each.
    pub fn shares(&self, sides: [&Preferences; 2]) -> Vec<f64> {
        let mut counts = vec![0_u64; self.names.len()];
        for (side, numbers) in sides.iter().zip(&self.numbers) {
            for (count, &number) in side.counts().iter().zip(numbers) {
                let sum = &mut counts[number as usize];
                *sum = sum.saturating_add(*count);
            }
        }
        let all = counts.iter().fold(0_u64, |sum, &count| sum.saturating_add(count)) as f64;
        counts.into_iter().map(|count| count as f64 / all).collect()
    }
}

/// The names of the features of both sides in a layer, in rising order, and how much of all observations are of each.
pub(crate) fn shares(sides: [&Preferences; 2]) -> (StringTable, Vec<f64>) {
    let union = Union::of(sides.map(Preferences::features));
    let shares = union.shares(sides);
    (union.names, shares)
}

/// Which of two comes next: `None` where both are at their end.
pub(crate) fn order<T: Ord>(a: Option<&T>, b: Option<&T>) -> Option<Ordering> {
    match (a, b) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(a), Some(b)) => Some(a.cmp(b)),
    }
}
