//! What can be wrong with a list of words.

use crate::shown::shortened;

/// What is wrong with a line of a list of words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupFault {
    /// Not a word, or a word, a tab and a value.
    #[error("'{}' is not a word, or a word, a tab and its value", shortened(&line.escape_debug().to_string()))]
    Line {
        /// The line.
        line: String,
    },
    /// A word without a value.
    #[error("'{}' has no value; write one behind a tab, or give `value` for all such words", shortened(word))]
    NoValue {
        /// The word.
        word: String,
    },
    /// A word with two values.
    #[error(
        "'{}' is given '{}', and '{}' in line {first}; keep one of the two",
        shortened(word),
        shortened(value),
        shortened(known)
    )]
    Twice {
        /// The word.
        word: String,
        /// Its value in this line.
        value: String,
        /// Its value before.
        known: String,
        /// The line that it has that in, from 1.
        first: u64,
    },
    /// A list of nothing.
    #[error("the list has no word; write one a line")]
    Empty,
}
