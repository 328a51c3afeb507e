//! The distances built into `txray`.
//!
//! ```text
//! MetricBatch { offsets, p, q, counts, masses, features } --> one distance a neuron, [neurons]
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod hellinger;
mod jensen_shannon;
mod mass_shift;
mod total_variation;

pub use hellinger::{Hellinger, Hellinger2020};
pub use jensen_shannon::JensenShannon;
pub use mass_shift::MassShift;
pub use total_variation::TotalVariation;

txray_plugin::components!(metrics = [Hellinger, Hellinger2020, JensenShannon, TotalVariation, MassShift]);

/// For tests of values: the distances between sides whose masses over the same features are given, one pair a row.
#[cfg(test)]
fn between(metric: &dyn txray_plugin::PreferenceMetric, rows: &[[&[f64]; 2]]) -> Vec<f64> {
    let entry = |(&p, &q): (&f64, &f64)| [p, q].map(|mass: f64| (u64::from(mass > 0.0), mass));
    let rows: Vec<Vec<_>> = rows.iter().map(|[p, q]| p.iter().zip(*q).map(entry).collect()).collect();
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    let pairs = txray_conformance::strategies::Pairs::new(&vec!["a feature"; longest], &rows);
    let mut out = vec![f64::NAN; rows.len()];
    metric.distances(&txray_plugin::Host::detached(), &pairs.batch(), &mut out).unwrap();
    out
}
