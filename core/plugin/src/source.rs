//! Where activations come from.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ExactSum, Host, Result, StringTable};

/// A named place in a model where neurons are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Such as `lstm.0.hidden`; no two sites of a model or source share one. At most 256 bytes, all of which can be seen.
    pub name: String,
    /// How many neurons it has, at least 1; all sites together have 2^24 at most.
    pub width: usize,
}

/// `lstm.0.hidden (200)`.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.width)
    }
}

/// What every batch of a source has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDescription {
    /// The sites, in the order of the indices in observations.
    pub sites: Vec<Site>,
    /// The layers of features (`token`, `pos`), in the order of [`ActivationBatch::layers`]. They become columns: letters a
    /// to z, digits, `.`, `_` and `-`, of which `.` and `-` do not come first, 64 at most.
    pub layers: Vec<String>,
}

/// A stream of documents with their activations. The engine's own is a model over a corpus; a plugin may replay
/// recorded ones.
pub trait ActivationSource: Send {
    /// The same before, while and after it is read.
    fn describe(&self) -> Result<SourceDescription>;
    /// The next documents, in order; `None` at the end. A batch is bounded: memory must not grow with the corpus.
    fn next(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>>;
}

/// Whole documents with their tokens, the features of those tokens, and the activations that the record rule kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActivationBatch {
    /// `[documents]` ids of the documents.
    pub documents: Vec<u64>,
    /// `[documents]` names of their groups (an empty name: in none); an empty table: no groups.
    pub groups: StringTable,
    /// `[documents + 1]` offsets into the tokens.
    pub offsets: Vec<u64>,
    /// `[tokens]` start in the document's text, in Unicode scalars; [`NULL`](crate::NULL) where a token has no span.
    pub starts: Vec<u32>,
    /// `[tokens]` end, likewise.
    pub ends: Vec<u32>,
    /// How many tokens the model's vocabulary did not know.
    pub unknown: u64,
    /// `[documents]` the lines of their file that they stand in, from 1 (0: in none); empty: not known. `starts` and `ends` count
    /// from where such a line begins, or the field of a table.
    pub lines: Vec<u64>,
    /// Characters of the documents: Unicode scalars that are no white space; 0: not known.
    pub characters: u64,
    /// How many of these were dropped: no token reads them.
    pub dropped: u64,
    /// Documents with characters, all of which were dropped.
    pub dropped_documents: u64,
    /// One column of features a layer, in the order of [`SourceDescription::layers`].
    pub layers: Vec<LayerColumn>,
    /// `[layers]` the first tokens of each that found no annotation to join, [`EXAMPLES`] at most; empty: none is told, as by sources
    /// of plugins.
    pub examples: Vec<Vec<Unjoined>>,
    /// `[observations]` index of the token in this batch, never falling.
    pub token: Vec<u32>,
    /// `[observations]` index of the site.
    pub site: Vec<u32>,
    /// `[observations]` the neuron.
    pub neuron: Vec<u32>,
    /// `[observations]` its activation.
    pub activation: Vec<f32>,
    /// `[sites]`, of those that come whole, `[tokens, width]`: every activation, in place of rows in the columns above; of others
    /// nothing. Empty: no site does, as of sources of plugins.
    pub whole: Vec<Vec<f32>>,
    /// `[sites]` moments; empty where the source does not know them.
    pub moments: Vec<Moments>,
}

/// The features of one layer, such as `pos`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerColumn {
    /// One of [`SourceDescription::layers`].
    pub name: String,
    /// `[tokens]` indices into `names`; [`NULL`](crate::NULL) where a token has no feature.
    pub features: Vec<u32>,
    /// `[features]` names.
    pub names: Arc<StringTable>,
    /// Tokens with a span that found no annotation to join.
    pub unjoined: u64,
}

/// How many tokens that found no annotation are shown.
pub const EXAMPLES: usize = 10;

/// A token that found no annotation to join.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unjoined {
    /// Its document.
    pub document: u64,
    /// Where it starts in the document's text, in Unicode scalars.
    pub start: u32,
    /// Where it ends, likewise.
    pub end: u32,
    /// What stands there.
    pub text: String,
}

/// The moments of one site: the sums of h, |h| and h² over all tokens of a batch, recorded or not, each `[width]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Sum of h.
    pub sum: Vec<ExactSum>,
    /// Sum of |h|.
    pub sum_abs: Vec<ExactSum>,
    /// Sum of h².
    pub sum_sq: Vec<ExactSum>,
}
