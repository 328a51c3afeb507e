//! Corpora: documents, in a fixed order, with what is known about them.
//!
//! Each kind of corpus is an options struct, which is also its table in the pipeline's TOML, with
//! an `open` that checks everything that can be checked without reading whole files.

mod error;
mod grammar;
mod join;
mod lines;
mod split;
mod text;
mod tsv;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub use error::{CorpusError, OptionError};
pub use grammar::{Domain, GrammarOptions};
pub(crate) use join::for_each_word;
pub use join::{Joined, join, words};
pub use text::TextOptions;
pub use tsv::TsvOptions;

/// One document of a corpus: the unit of order, of state reset and, without groups, of resampling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its index in its split, from 0.
    pub id: u64,
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
    /// The value: a tag, a word.
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

    /// The files that `split` is read from, for hashing; none for a generated split.
    fn files(&self, split: &str) -> Vec<PathBuf>;

    /// What the documents of `split` depend on, apart from the bytes of its files: not the files' names, nor other
    /// splits.
    fn recipe(&self, split: &str) -> Value;

    /// Streams the documents of `split`; the corpus is never held whole.
    ///
    /// # Errors
    /// [`CorpusError::Split`] for an unknown split, else whatever opening its file gave. The
    /// iterator itself yields errors of reading, and [`CorpusError::Empty`] at the end of a split
    /// without a document.
    fn documents(&self, split: &str) -> Result<Documents<'_>, CorpusError>;
}

/// Where the relative paths of corpora and annotators are looked for.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    /// The data root (`--data`, `TXRAY_DATA`), which is asked first.
    pub data: Option<PathBuf>,
    /// The folder of the config.
    pub config: PathBuf,
}

impl Resolver {
    /// The file or folder that `path` means: itself when absolute, else the one below the data
    /// root, else the one below the config's folder.
    ///
    /// # Errors
    /// [`CorpusError::Missing`] names every place that was tried.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, CorpusError> {
        let tried: Vec<PathBuf> = if path.is_absolute() {
            vec![path.to_owned()]
        } else {
            let roots = self.data.iter().chain([&self.config]);
            roots.map(|root| root.join(path)).collect()
        };
        if let Some(found) = tried.iter().find(|candidate| candidate.exists()) {
            return Ok(found.clone());
        }
        Err(CorpusError::Missing { tried })
    }

    /// Like [`Resolver::resolve`], for a path that has to be a file.
    ///
    /// # Errors
    /// [`CorpusError::Missing`], or [`CorpusError::NotAFile`] for a folder.
    pub fn resolve_file(&self, path: &Path) -> Result<PathBuf, CorpusError> {
        let found = self.resolve(path)?;
        if found.is_dir() {
            return Err(CorpusError::NotAFile { path: found });
        }
        Ok(found)
    }
}

/// The stream that `next` reads: it ends at an error, and a stream without a document is the error
/// `empty`.
fn stream<'a>(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_root_is_asked_before_the_config_folder() {
        let data = tempfile::tempdir().unwrap();
        let config = tempfile::tempdir().unwrap();
        let resolver = Resolver { data: Some(data.path().to_owned()), config: config.path().to_owned() };
        let path = Path::new("a.txt");
        let Err(CorpusError::Missing { tried }) = resolver.resolve_file(path) else {
            panic!("nothing is there yet");
        };
        assert_eq!(tried, [data.path().join(path), config.path().join(path)]);

        std::fs::write(config.path().join(path), "a").unwrap();
        assert_eq!(resolver.resolve_file(path).unwrap(), config.path().join(path));
        std::fs::write(data.path().join(path), "a").unwrap();
        assert_eq!(resolver.resolve_file(path).unwrap(), data.path().join(path));

        let absolute = config.path().join(path);
        assert_eq!(resolver.resolve_file(&absolute).unwrap(), absolute);
        assert!(matches!(resolver.resolve_file(data.path()), Err(CorpusError::NotAFile { .. })));
    }
}
