//! The method alone: what a neuron prefers, and how far that moved. No TOML, no store, no paths: whoever changes what the
//! numbers mean changes this crate, or works against it from one of their own, and its laws say what must hold.
//!
//! ```text
//! ActivationSource --batches--> Legend --numbers--> Observations (columns; written as they come)
//!    (RecordRule: what counts)     (Symbols)            |
//!                                                       v
//!                              Tally: for each (neuron, layer, feature) count, exact sum, max
//!                                     a commutative monoid: shards merge in any order to the same bits
//!                                                       |
//!                                                       v
//!                              Stage: what its tables hold, features in the order of their names
//!                  two of them, a Weigh                 |
//!                                                       v
//!                              compare --> Comparison: Fate, lengths, a distance a PreferenceMetric
//!                                                       |
//!                                                       v
//!                              NeuronColumns --> a Pruner's scores --> ranks
//! ```
//!
//! A name becomes a number where a batch comes in, and a name again where a table is written: in between there are numbers
//! alone. Tables go out and come in through `txray-tables`, where their columns are defined; in which folder they lie is the
//! caller's affair ([`Folder`](txray_tables::Folder)).
//!
//! Two things of the method can be one's own: which activations count ([`RecordRule`]), and what a preference weighs
//! ([`Weigh`]). `txray-conformance` has a suite of laws for each.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod align;
mod bulk;
mod compare;
mod comparison;
mod diversity;
mod error;
mod evaluation;
mod evidence;
mod fate;
mod information;
mod observations;
mod part;
mod preferences;
mod prune;
mod read;
mod record;
mod sides;
mod stage;
mod summary;
mod symbols;
mod tally;
mod trajectory;
mod weighting;

pub use align::{Aligned, AlignmentSummary, align};
pub use compare::{compare, unlike};
pub use comparison::{Compared, Comparison, ComparisonRow, FeatureRow, Worth};
pub use error::{MethodError, MethodResult};
pub use evaluation::{Estimate, LabelScore, Predicted, Scores, Told, write_predicted};
pub use evidence::{
    Corrected, Design, Evidence, Fall, Joint, JointCorrected, LayerEvidence, Observed, Reading, Resampling, Side,
    Tested, Testing, Unit, evidence, q_values,
};
pub use fate::{Fate, Fates};
pub use observations::{Layer, Legend, Observations};
pub use preferences::{Preference, Preferences};
pub use prune::{NeuronColumns, Scored, score, write_ranks};
pub use read::{Extent, Times, merge, read};
pub use record::{AsGiven, BySite, Keeps, Kept, RECORDS, Record, RecordKind, RecordRule};
pub use sides::{Metric, Settings};
pub use stage::{COVERAGE, Coverage, LayerCoverage, Neurons, Stage};
pub use summary::{
    Between, Changed, ChangedMost, EvidenceSummary, JointPart, JointSummary, LayerSummary, LeftOut, MetricSummary,
    Replicate, ReplicateLayer, ReplicatesSummary, Share, SignificanceSummary, Standardized, Summary, SummaryOf,
};
pub use symbols::Symbols;
pub use tally::Tally;
pub use trajectory::{Checkpoint, TrajectoryRow, trajectory, write_trajectory};
pub use weighting::{Met, Weigh, Weighting};
