//! What can be wrong with what the method is given.

use txray_plugin::{Error as PluginError, Fault};
use txray_tables::TableError;

/// A result with this crate's [`MethodError`].
pub type MethodResult<T> = std::result::Result<T, MethodError>;

/// Why a stage was not read, or not compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// A source failed, or the model behind it.
    #[error(transparent)]
    Source(PluginError),
    /// A source gave what no source may give.
    #[error("the source gave a batch that does not fit: {what}")]
    Batch {
        /// Which rule it broke.
        what: String,
    },
    /// An activation is no number.
    #[error("document {document} gives the activation {activation} at {site}: the model's weights are not sound")]
    NotFinite {
        /// The document.
        document: u64,
        /// NaN or an infinity.
        activation: f32,
        /// Where in the model.
        site: String,
    },
    /// A record rule kept what it may not.
    #[error("the record rule keeps candidate {candidate} of {of}, at strength {strength}: {what}")]
    Rule {
        /// Which.
        candidate: usize,
        /// How many there were.
        of: usize,
        /// For how much it should count.
        strength: f32,
        /// What is wrong about that.
        what: &'static str,
    },
    /// Shards of different stages were to be merged.
    #[error("they differ in their sites or layers")]
    Shape,
    /// A weighting gave what is no weight.
    #[error("the weighting gives a preference, or all of a neuron together, the weight {weight}")]
    Weight {
        /// Below 0, infinite or NaN.
        weight: f64,
    },
    /// A sum is beyond what is summed exactly.
    #[error("the activations of a neuron, or their squares, sum to more than 2^62")]
    TooLarge,
    /// The stages of a comparison do not have the same neurons.
    #[error("the stages do not compare: `from` reads {from}, `to` {to}")]
    Sites {
        /// Names and widths of the first's.
        from: String,
        /// And of the second's.
        to: String,
    },
    /// Stages that should have read the same text did not.
    #[error(
        "the stages are said to have read the same text, and `{unit}` was read by one of them alone; tables of one text have the \
         same documents and groups"
    )]
    OtherText {
        /// A document or group.
        unit: String,
    },
    /// A stage lacks a layer that is compared.
    #[error("a stage was read without the layer `{layer}`")]
    NoLayer {
        /// The layer.
        layer: String,
    },
    /// A metric gave what is no distance.
    #[error("metric `{name}` gives neuron {neuron} (counted through all sites) {what}")]
    Distance {
        /// Its name.
        name: String,
        /// The neuron.
        neuron: usize,
        /// What it gave.
        what: String,
    },
    /// A metric failed.
    #[error("metric `{name}`: {source}")]
    Metric {
        /// Its name.
        name: String,
        /// Why.
        source: PluginError,
    },
    /// A pruner failed.
    #[error(transparent)]
    Pruner(PluginError),
    /// A pruner gave a score that is no rank.
    #[error("the pruner gave neuron {neuron} the score {score}")]
    Score {
        /// The row of the neuron.
        neuron: usize,
        /// An infinity.
        score: f64,
    },
    /// Tables that should be of the same neurons are not.
    #[error("column {column} has {found} rows of {expected}")]
    Rows {
        /// The column.
        column: String,
        /// Its rows.
        found: usize,
        /// Those of the others.
        expected: usize,
    },
    /// What a pruner is to be given is not what it is told it is.
    #[error("{found} columns for a pruner, of {expected}")]
    Columns {
        /// How many were gathered.
        found: usize,
        /// How many there are names for.
        expected: usize,
    },
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl MethodError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Source(error) | Self::Pruner(error) | Self::Metric { source: error, .. } => error.fault(),
            Self::Batch { .. }
            | Self::Rule { .. }
            | Self::Weight { .. }
            | Self::Distance { .. }
            | Self::Score { .. }
            | Self::Rows { .. }
            | Self::Columns { .. } => Fault::Failed,
            Self::NotFinite { .. }
            | Self::TooLarge
            | Self::Shape
            | Self::Sites { .. }
            | Self::OtherText { .. }
            | Self::NoLayer { .. } => Fault::Invalid,
            Self::Table(error) if error.is_ours() => Fault::Failed,
            Self::Table(_) => Fault::Invalid,
        }
    }
}
