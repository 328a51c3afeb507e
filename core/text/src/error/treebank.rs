//! What can be wrong with a treebank.

use crate::shown::shortened;

/// The fields of a line.
pub(crate) const FIELDS: usize = 10;

/// What is wrong with a line of a treebank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreebankFault {
    /// Not ten fields.
    #[error(
        "{found} {} between tabs where CoNLL-U has {FIELDS}{}", if *found == 1 { "field" } else { "fields" },
        if *spaced { "; put tabs in place of its spaces" } else { "; a column without a value has `_`" }
    )]
    Fields {
        /// The fields of the line.
        found: usize,
        /// Whether there are ten between stretches of white space.
        spaced: bool,
    },
    /// The first field is none of `8`, `8-9` and `8.1`.
    #[error("'{}' is no id of a word (8), a range of words (8-9) or an empty node (8.1)", shortened(id))]
    Id {
        /// The field.
        id: String,
    },
    /// The words of a sentence count from 1.
    #[error(
        "the id {} where the next word has {next}; is the blank line between two sentences missing?",
        shortened(id)
    )]
    Order {
        /// The id.
        id: String,
        /// What the next word has.
        next: u64,
    },
    /// A range of one word, or of none.
    #[error("the range {} has less than two words; leave its line out", shortened(id))]
    Range {
        /// The range.
        id: String,
    },
    /// A range that begins inside another.
    #[error("the range {} overlaps the one before it; a word is a part of one range at most", shortened(id))]
    Overlap {
        /// The range.
        id: String,
    },
    /// A range that ends behind its sentence.
    #[error(
        "the range {} ends behind the last word of its sentence, {last}; add the words that are missing",
        shortened(id)
    )]
    Beyond {
        /// The range.
        id: String,
        /// The last word's id.
        last: usize,
    },
    /// A word that is written as nothing.
    #[error("a word without a form; write it into the second field, or give an empty node an id such as 8.1")]
    Form,
    /// A comment where words are.
    #[error("a comment among the words of a sentence; is the blank line between two sentences missing?")]
    Comment,
    /// Comments, or what nobody wrote, alone.
    #[error("a sentence without words; add them, or leave its comments out")]
    NoWords,
    /// A document of too many bytes.
    #[error("a document whose lines have more than {max} bytes; if it is meant to be one, raise `max_document_bytes`")]
    TooLong {
        /// The most bytes that they may have.
        max: u64,
    },
    /// A sentence that belongs to no document.
    #[error("a sentence before the first `# newdoc`; leave `document` out for documents of one sentence each")]
    NoDocument,
    /// A second label.
    #[error(
        "a sentence labelled '{}' in a document labelled '{}'; keep one of the two",
        shortened(found),
        shortened(label)
    )]
    Labels {
        /// The document's label.
        label: String,
        /// The sentence's.
        found: String,
    },
}
