//! What properties draw from: preferences, pairs of distributions, columns of neurons, and whole stages with changes
//! that are known.
//!
//! They need nothing of the engine: what the suites hold a distance, a weighting or a record rule to is drawn here.

mod columns;
mod pairs;
mod stage;

pub use columns::{NamedColumns, column_names, columns};
pub use pairs::{
    Family, Pairs, Preference, Preferences, Weight, families, pairs, preferences, shared_pairs, triples, weight,
};
pub use stage::{Activations, Neuron, Planted, PreferenceTable, Spoken, Stage, activations, planted, stage};

use proptest::prelude::*;

/// A distribution over `1..=most` things: values of at least 0, one of them above 0, which sum to 1 within rounding.
pub fn distribution(most: usize) -> impl Strategy<Value = Vec<f64>> {
    let share = prop_oneof![1 => Just(0.0), 4 => magnitude()];
    (prop::collection::vec(share, 0..most), magnitude(), any::<prop::sample::Index>()).prop_map(
        |(mut shares, sure, at)| {
            let at = at.index(shares.len() + 1);
            shares.insert(at, sure);
            let whole: f64 = shares.iter().sum();
            shares.iter().map(|share| share / whole).collect()
        },
    )
}

/// A number above 0 of any size that activations have: log-uniform from 0.001 to 1000.
pub fn magnitude() -> impl Strategy<Value = f64> {
    (-3.0..3.0).prop_map(|exponent| 10_f64.powf(exponent))
}
