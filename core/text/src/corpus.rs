//! What a corpus is: documents by split, in a fixed order, with what is known about them.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::error::CorpusError;
use crate::files::{Disk, Files};

/// One document of a corpus: the unit of order, of state reset and, without groups, of resampling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Its index in its split, from 0.
    pub id: u64,
    /// The line of its file that it stands in, from 1; of a generated one there is none.
    pub line: Option<u64>,
    /// The white space that stands before its text there, in its line or in its field of a table: as many Unicode scalars.
    pub indent: u32,
    /// Its text, without white space at either end.
    pub text: String,
    /// The group it belongs to (an article, a movie): unique in its split, contiguous or not.
    pub group: Option<Arc<str>>,
    /// The label of the whole document, if it has one.
    pub label: Option<Arc<str>>,
    /// What is known about parts of the text, one entry a layer.
    pub annotations: Vec<Annotation>,
}

/// One annotation layer over a document's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The layer's name, as in a stage's `layers`: `pos`.
    pub layer: Arc<str>,
    /// Sorted by `start`; those of one layer do not overlap.
    pub spans: Vec<Span>,
}

/// A stretch of a document's text and its value in one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The first Unicode scalar of the stretch, counted from the start of the text.
    pub start: u32,
    /// One past the last Unicode scalar.
    pub end: u32,
    /// The value: a tag, a word. Empty where it is known that there is none.
    pub value: Arc<str>,
}

/// The documents of one split, in order. After an error the iterator ends.
pub type Documents<'a> = Box<dyn Iterator<Item = Result<Document, CorpusError>> + Send + 'a>;

/// Documents by split. Reading a split twice gives the same documents in the same order.
pub trait Corpus: Send + Sync {
    /// The names of the splits: `train`, `valid`, `test`, then any others by name.
    fn splits(&self) -> Vec<String>;

    /// The layers that its documents carry beyond `token` and `word`: `pos` for annotations of
    /// that name, `label` where documents have labels.
    fn layers(&self) -> Vec<String>;

    /// Why it has no such layer, where there is more to say than that.
    fn no_layer(&self, _layer: &str) -> Option<String> {
        None
    }

    /// The files that `split` is read from, for hashing; none for a generated split.
    fn files(&self, split: &str) -> Vec<PathBuf>;

    /// What the documents of `split` depend on, apart from the bytes of its files: not the files' names, nor other
    /// splits.
    fn recipe(&self, split: &str) -> Value;

    /// Streams the documents of `split`, whose files are opened through `files` and read to their ends; the corpus is
    /// never held whole.
    ///
    /// # Errors
    /// [`CorpusError::Split`] for an unknown split, else whatever opening its file gave. The
    /// iterator itself yields errors of reading, and [`CorpusError::Empty`] at the end of a split
    /// without a document.
    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError>;

    /// Looks at how `split` begins, as far as that is quickly done: what is wrong there is known before anything runs.
    ///
    /// # Errors
    /// Those of its first documents.
    fn look(&self, split: &str) -> Result<(), CorpusError> {
        // Nothing is made of them, so nobody watches what is read.
        first_documents(self.documents(split, &Disk)?)
    }
}

/// The error of the first documents, where they have one.
pub(crate) fn first_documents(documents: Documents<'_>) -> Result<(), CorpusError> {
    documents.take(LOOKED_AT).try_for_each(|document| document.map(drop))
}

/// The documents of a split that are looked at before anything runs.
const LOOKED_AT: usize = 100;

/// The Unicode scalars of white space that a line or field begins with.
pub(crate) fn indent(stands: &str) -> u32 {
    // A line has no more bytes than a u32 counts.
    stands.chars().take_while(|c| c.is_whitespace()).count() as u32
}

/// Refuses what a layer of annotations cannot be called: its name stands beside ours in tables.
///
/// # Errors
/// [`CorpusError::Layer`]
pub fn check_layer(layer: &str) -> Result<(), CorpusError> {
    const OURS: [&str; 14] = [
        "token",
        "word",
        "label",
        "prediction",
        "position",
        "doc",
        "group",
        "site",
        "neuron",
        "activation",
        "start",
        "end",
        "line",
        "row",
    ];
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let reason = if OURS.iter().any(|ours| layer.eq_ignore_ascii_case(ours)) {
        "the name means something else already"
    } else if !(1..=64).contains(&layer.len()) || !layer.chars().all(is_allowed) || layer.starts_with('-') {
        "a name has 64 letters (a to z), digits, `_` and `-` at most, and no `-` first"
    } else {
        return Ok(());
    };
    Err(CorpusError::Layer { layer: layer.to_owned(), reason })
}

/// The stream that `next` reads: it ends at an error, and a stream without a document is the error
/// `empty`.
pub fn stream<'a>(
    mut next: impl FnMut() -> Result<Option<Document>, CorpusError> + Send + 'a,
    empty: CorpusError,
) -> Documents<'a> {
    let mut empty = Some(empty);
    let mut ended = false;
    Box::new(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let item = next().transpose().or_else(|| empty.take().map(Err));
        empty = None;
        ended = !matches!(item, Some(Ok(_)));
        item
    }))
}
