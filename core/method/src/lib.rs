//! The method alone: what a neuron prefers, and how far that moved. No TOML, no store, no paths: whoever changes what the
//! numbers mean changes this crate, and its tests say what must hold.
//!
//! ```text
//! ActivationSource --batches--> stage::read --> observations (written as they come)
//!      (Record: what counts)        |
//!                                   v
//!                              Preferences: for each (site, neuron, layer, feature) count, exact sum, max
//!                                   |       a commutative monoid: shards merge in any order to the same bits
//!             two of them           v
//!                              compare --> Comparison: Fate, lengths, a distance a PreferenceMetric
//!                                   |
//!                                   v
//!                              NeuronColumns --> a Pruner's scores --> ranks
//! ```
//!
//! Tables go out and come in through `txray-tables`, where their columns are defined; in which folder they lie is the
//! caller's affair ([`Folder`](txray_tables::Folder)).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod compare;
mod comparison;
mod error;
mod fate;
mod observations;
mod preferences;
mod prune;
mod record;
mod stage;
mod stored;
mod weighting;

pub use compare::{Settings, compare};
pub use comparison::{Comparison, ComparisonRow, LayerSummary, LeftOut, MetricSummary, Summary};
pub use error::{MethodError, MethodResult};
pub use fate::{Fate, Fates};
pub use preferences::{LayerPreferences, MergeError, NeuronTotals, Preference, Preferences, Row};
pub use prune::{NeuronColumns, Scored, score, write_ranks};
pub use record::Record;
pub use stage::{Times, read};
pub use stored::{COVERAGE, Coverage, LayerCoverage, load, write};
pub use weighting::Weighting;
