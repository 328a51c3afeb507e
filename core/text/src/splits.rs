//! The splits that kinds of corpora read from files have in common.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{CorpusError, OptionError};
use crate::files::Files;
use crate::lines::{Lines, MaxDocumentBytes};
use crate::resolve::Resolver;

/// The files of a corpus by split, in the order of the splits, and how they are read.
#[derive(Debug)]
pub(crate) struct Splits {
    files: Vec<(String, PathBuf)>,
    /// Those that stand in `splits`.
    others: Vec<String>,
    max: MaxDocumentBytes,
}

impl Splits {
    /// Resolves what the config gives for `train`, `valid`, `test` and in `splits`.
    ///
    /// # Errors
    /// All faults at once, each at its option.
    pub(crate) fn resolve(
        named: [(&str, &Option<PathBuf>); 3],
        others: &BTreeMap<String, PathBuf>,
        max: MaxDocumentBytes,
        resolver: &Resolver,
    ) -> Result<Self, Vec<OptionError>> {
        let mut files: Vec<(String, PathBuf)> = Vec::new();
        let mut errors = Vec::new();
        let further = others.keys().cloned().collect();
        let named = named.into_iter().filter_map(|(split, path)| {
            let path = path.as_ref()?;
            Some((pointer(&[split]), split, path))
        });
        let others = others.iter().map(|(split, path)| (pointer(&["splits", split]), split.as_str(), path));
        for (pointer, split, path) in named.chain(others) {
            let twice = files.iter().any(|(known, _)| known == split);
            let resolved = if twice {
                let split = split.to_owned();
                Err(CorpusError::SplitTwice { split })
            } else if !is_name(split) {
                // A dot would make a part of the corpus's name of it.
                Err(CorpusError::SplitName { split: split.to_owned() })
            } else {
                resolver.resolve_file(path)
            };
            match resolved {
                Ok(file) => files.push((split.to_owned(), file)),
                Err(error) => errors.push(OptionError { pointer, error }),
            }
        }
        if files.is_empty() && errors.is_empty() {
            errors.push(OptionError { pointer: String::new(), error: CorpusError::NoSplit });
        }
        if errors.is_empty() { Ok(Self { files, others: further, max }) } else { Err(errors) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(String, PathBuf)> {
        self.files.iter()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.iter().map(|(split, _)| split.clone()).collect()
    }

    /// The file of a split.
    pub(crate) fn file(&self, split: &str) -> Result<&PathBuf, CorpusError> {
        let found = self.iter().find(|(known, _)| known == split);
        found.map(|(_, path)| path).ok_or_else(|| unknown(split, self.names()))
    }

    /// The lines of a split's file.
    pub(crate) fn lines(&self, split: &str, files: &dyn Files) -> Result<Lines, CorpusError> {
        Lines::open(self.file(split)?.clone(), self.max, files)
    }

    /// The option that gives the file of a split.
    pub(crate) fn pointer(&self, split: &str) -> String {
        match split {
            "train" | "valid" | "test" if !self.others.iter().any(|other| other == split) => pointer(&[split]),
            _ => pointer(&["splits", split]),
        }
    }

    pub(crate) fn files(&self, split: &str) -> Vec<PathBuf> {
        self.file(split).into_iter().cloned().collect()
    }
}

/// What can stand behind the name of a corpus and a dot.
pub(crate) fn is_name(split: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&split.len()) && split.bytes().all(is_allowed) && !split.starts_with('-')
}

pub(crate) fn unknown(split: &str, known: Vec<String>) -> CorpusError {
    CorpusError::Split { split: split.to_owned(), known }
}

/// A JSON pointer (RFC 6901) from its parts.
pub(crate) fn pointer(parts: &[&str]) -> String {
    let escaped = parts.iter().map(|part| part.replace('~', "~0"));
    escaped.map(|part| format!("/{}", part.replace('/', "~1"))).collect()
}
