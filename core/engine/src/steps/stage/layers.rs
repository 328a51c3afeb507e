//! The layers that are the engine's own, whatever a corpus has; and which tokens have the features of a word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form of the vocabulary.
pub const TOKEN: &str = "token";
/// The surface form.
pub const WORD: &str = "word";
/// Which token of its document it is.
pub const POSITION: &str = "position";
/// The token that the model expects next.
pub const PREDICTION: &str = "prediction";
/// The label of the document, where the corpus has labels.
pub const LABEL: &str = "label";

/// Which tokens have the features of a word that is several of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subwords {
    /// Each of them.
    #[default]
    Every,
    /// The first.
    First,
    /// The last.
    Last,
}
