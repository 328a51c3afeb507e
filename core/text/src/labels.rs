//! What labels are called, and which documents or tokens have which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use txray_plugin::NULL;

use crate::corpus::{Document, Span};
use crate::error::CorpusError;
use crate::files::Files;
use crate::join::join;
use crate::shown::shortened;
use crate::tokens::Encoded;

/// The bytes that a file of labels has at most.
const LARGEST: u64 = 1 << 24;

/// The labels that a model tells apart, by name: of documents, or of the words of one annotation column. They lie beside its
/// weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    column: Option<Arc<str>>,
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    /// In the order of the model's classes.
    labels: Vec<String>,
    /// The annotation column whose values they are; none: documents have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
}

/// Which labels the documents or the tokens of a text have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// `[documents]` or `[tokens]`: the number of the label, [`NULL`] without one.
    pub labels: Vec<u32>,
    /// How many documents, or words, have a label of another name than these.
    pub unseen: u64,
    /// One such name.
    pub unseen_name: Option<Arc<str>>,
    /// How many words have a label that no token has, because they are in one token with others, or in none.
    pub unread: u64,
}

/// Why there are no labels. Reads well after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The corpus to learn from cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// There is nothing to tell apart.
    #[error(
        "{}, and at least two labels are needed to tell apart",
        match found { None => format!("nothing has a {}", label_of(column)), Some(name) => format!("every {} is '{name}'", label_of(column)) }
    )]
    TooFew {
        /// The annotation column.
        column: Option<Arc<str>>,
        /// The only label.
        found: Option<Arc<str>>,
    },
    /// So many that they are no classes.
    #[error(
        "there are {labels} different labels for {count} {}, such as '{example}': a classifier tells few labels apart, of each of which \
         it has seen many; numbers have to be put into classes first",
        if column.is_some() { "words" } else { "documents" }
    )]
    TooMany {
        /// The annotation column.
        column: Option<Arc<str>>,
        /// How many labels.
        labels: usize,
        /// What has them.
        count: u64,
        /// One of them.
        example: Arc<str>,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

fn label_of(column: &Option<Arc<str>>) -> String {
    column.as_ref().map_or_else(|| "label".to_owned(), |column| format!("`{column}`"))
}

impl Labels {
    /// The file of a model's directory that they are.
    pub const FILE: &'static str = "labels.json";

    /// Those with these names, in the order of a model's classes: of documents, or of the words of an annotation column.
    ///
    /// # Errors
    /// A name stands there twice, or there are none.
    pub fn new(names: Vec<String>, column: Option<&str>) -> Result<Self, String> {
        let names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
        let numbers: HashMap<Arc<str>, u32> = names.iter().cloned().zip(0..).collect();
        if names.is_empty() {
            return Err("it names no label".to_owned());
        }
        if numbers.len() < names.len() {
            let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
            return Err(format!("the label '{}' stands there twice", twice.map_or("", |(_, name)| name)));
        }
        Ok(Self { column: column.map(Into::into), names, numbers })
    }

    /// Those of a text, sorted by name.
    ///
    /// # Errors
    /// Those of the documents; [`LabelsError::TooFew`] and [`LabelsError::TooMany`].
    pub fn learn(
        documents: impl Iterator<Item = Result<Document, CorpusError>>,
        column: Option<&str>,
    ) -> Result<Self, LabelsError> {
        let (mut names, mut count): (BTreeSet<Arc<str>>, u64) = (BTreeSet::new(), 0);
        for document in documents {
            let document = document?;
            let mut add = |name: &Arc<str>| {
                count += 1;
                if !names.contains(name) {
                    names.insert(Arc::clone(name));
                }
            };
            match column {
                None => document.label.iter().for_each(&mut add),
                Some(column) => {
                    let spans = spans(&document, column).iter().filter(|span| !span.value.is_empty());
                    spans.for_each(|span| add(&span.value));
                }
            }
        }
        let column = column.map(Arc::from);
        let (labels, first) = (names.len(), names.first().cloned());
        match first {
            Some(example) if labels > 2 && labels as u64 * 2 > count => {
                Err(LabelsError::TooMany { column, labels, count, example })
            }
            Some(_) if labels >= 2 => {
                let names: Vec<Arc<str>> = names.into_iter().collect();
                let numbers = names.iter().cloned().zip(0..).collect();
                Ok(Self { column, names, numbers })
            }
            found => Err(LabelsError::TooFew { column, found }),
        }
    }

    /// Those of a model's directory: of [`Labels::FILE`], else of `id2label` in its `config.json`, as Hugging Face writes it; none
    /// where it names none.
    ///
    /// # Errors
    /// [`LabelsError::Io`] and [`LabelsError::Malformed`], naming the file.
    pub fn load(directory: &Path, files: &dyn Files) -> Result<Option<Self>, LabelsError> {
        let path = directory.join(Self::FILE);
        if let Some(text) = read(&path, files)? {
            let shape = |error| {
                format!("{error}; it is {{\"labels\": [\"neg\", \"pos\"]}}, in the order of the model's classes")
            };
            let written = serde_json::from_str(&text).map_err(shape);
            let labels = written.and_then(|Written { labels, column }| Self::new(labels, column.as_deref()));
            return match labels {
                Ok(labels) => Ok(Some(labels)),
                Err(message) => Err(LabelsError::Malformed { path, message: shortened(&message) }),
            };
        }
        #[derive(Deserialize)]
        struct Config {
            id2label: BTreeMap<u32, String>,
        }
        // What is wrong with the rest of it is for the plugin to tell.
        let path = directory.join("config.json");
        let Some(config) = read(&path, files)?.and_then(|text| serde_json::from_str::<Config>(&text).ok()) else {
            return Ok(None);
        };
        let names = (0..config.id2label.len() as u32).map(|id| config.id2label.get(&id).cloned()).collect();
        let named = Option::ok_or(names, "`id2label` does not name every label from 0 on".to_owned());
        let labels = named.and_then(|names| Self::new(names, None));
        labels.map(Some).map_err(|message| LabelsError::Malformed { path, message })
    }

    /// Writes [`Labels::FILE`] into a directory that is there.
    ///
    /// # Errors
    /// [`LabelsError::Write`] naming the file.
    pub fn save(&self, directory: &Path) -> Result<(), LabelsError> {
        let path = directory.join(Self::FILE);
        let written = Written {
            labels: self.names.iter().map(ToString::to_string).collect(),
            column: self.column().map(Into::into),
        };
        let text = serde_json::to_string_pretty(&written).map_err(io::Error::from);
        text.and_then(|text| fs::write(&path, text + "\n")).map_err(|source| LabelsError::Write { path, source })
    }

    /// Their names, in the order of a model's classes.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Whether others are called the same, in whatever order.
    pub fn is_alike(&self, other: &Self) -> bool {
        let knows_all = |known: &Self, others: &Self| others.names.iter().all(|name| known.numbers.contains_key(name));
        knows_all(self, other) && knows_all(other, self)
    }

    /// The annotation column whose values they are; none: documents have them.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// The same labels as values of another column.
    #[must_use]
    pub fn of_column(self, column: &str) -> Self {
        Self { column: Some(column.into()), ..self }
    }

    /// The labels of documents, or of their tokens: a word has its own at its first token.
    pub fn targets(&self, documents: &[Document], encoded: &Encoded) -> Targets {
        let mut targets = Targets::default();
        for (index, document) in documents.iter().enumerate() {
            let Some(column) = self.column() else {
                let label = document.label.as_ref().map_or(NULL, |label| self.number(label, &mut targets));
                targets.labels.push(label);
                continue;
            };
            let at = encoded.offsets[index] as usize..encoded.offsets[index + 1] as usize;
            let joined = join(&encoded.starts[at.clone()], &encoded.ends[at], spans(document, column));
            let mut before: Option<&Span> = None;
            let mut read = 0;
            for span in joined.spans {
                let is_first = !matches!((span, before), (Some(a), Some(b)) if std::ptr::eq(a, b));
                read += u64::from(is_first && span.is_some());
                let label = span.filter(|_| is_first).map_or(NULL, |span| self.number(&span.value, &mut targets));
                targets.labels.push(label);
                before = span;
            }
            let labelled = spans(document, column).iter().filter(|span| !span.value.is_empty()).count() as u64;
            targets.unread += labelled.saturating_sub(read);
        }
        targets
    }

    fn number(&self, name: &Arc<str>, targets: &mut Targets) -> u32 {
        self.numbers.get(name).copied().unwrap_or_else(|| {
            targets.unseen += 1;
            targets.unseen_name.get_or_insert_with(|| Arc::clone(name));
            NULL
        })
    }
}

/// The annotations of a document in a column.
fn spans<'a>(document: &'a Document, column: &str) -> &'a [Span] {
    document.annotations.iter().find(|known| &*known.layer == column).map_or(&[], |known| &known.spans)
}

/// The text of a small file; none where there is no such file.
fn read(path: &Path, files: &dyn Files) -> Result<Option<String>, LabelsError> {
    let mut bytes = Vec::new();
    let read = files.open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LabelsError::Io { path: path.to_owned(), source }),
        Ok(_) => {}
    }
    let malformed = |message: &str| LabelsError::Malformed { path: path.to_owned(), message: message.to_owned() };
    if bytes.len() as u64 > LARGEST {
        return Err(malformed("larger than 16 MiB, which no such file is"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| malformed("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Annotation;
    use crate::files::Disk;

    fn document(id: u64, label: Option<&str>, tags: &[(u32, u32, &str)]) -> Document {
        let spans = tags.iter().map(|&(start, end, tag)| Span { start, end, value: tag.into() }).collect();
        let annotations = vec![Annotation { layer: "upos".into(), spans }];
        Document { id, label: label.map(Into::into), annotations, ..Document::default() }
    }

    fn learn(documents: &[Document], column: Option<&str>) -> Result<Labels, LabelsError> {
        Labels::learn(documents.iter().cloned().map(Ok), column)
    }

    #[test]
    fn documents_have_labels_by_name() {
        let documents = [Some("pos"), None, Some("neg"), Some("pos"), Some("pos")];
        let documents: Vec<Document> = (0..).zip(documents).map(|(id, label)| document(id, label, &[])).collect();
        let labels = learn(&documents, None).unwrap();
        assert_eq!((labels.names(), labels.column()), (&["neg".into(), "pos".into()][..], None));
        let others = [document(0, Some("pos"), &[]), document(1, Some("neutral"), &[]), document(2, None, &[])];
        let targets = labels.targets(&others, &Encoded::default());
        assert_eq!((targets.labels, targets.unseen), (vec![1, NULL, NULL], 1));
        assert_eq!(targets.unseen_name.as_deref(), Some("neutral"));
    }

    /// "unhappiness" is three tokens, the first of which has the label; the end of a document has none.
    #[test]
    fn words_have_labels_at_their_first_token() {
        let documents = [document(0, None, &[(0, 11, "NOUN"), (12, 16, "VERB"), (17, 19, "VERB"), (20, 21, "NOUN")])];
        let labels = learn(&documents, Some("upos")).unwrap();
        let encoded = Encoded {
            offsets: vec![0, 7],
            starts: vec![0, 2, 7, 12, 17, NULL, 20],
            ends: vec![2, 7, 11, 16, 19, NULL, 21],
            ..Encoded::default()
        };
        let targets = labels.targets(&documents, &encoded);
        assert_eq!((targets.labels, targets.unread), (vec![0, NULL, NULL, 1, 1, NULL, 0], 0));
        // Of three words in one token, the longest has it.
        let encoded = Encoded { offsets: vec![0, 2], starts: vec![0, 12], ends: vec![11, 21], ..Encoded::default() };
        let targets = labels.targets(&documents, &encoded);
        assert_eq!((targets.labels, targets.unread), (vec![0, 1], 2));
    }

    #[test]
    fn too_few_and_too_many_are_told() {
        let of = |labels: &[&str]| {
            let documents: Vec<Document> = labels.iter().map(|label| document(0, Some(label), &[])).collect();
            learn(&documents, None).unwrap_err().to_string()
        };
        assert_eq!(of(&[]), "nothing has a label, and at least two labels are needed to tell apart");
        assert_eq!(of(&["a", "a"]), "every label is 'a', and at least two labels are needed to tell apart");
        assert!(
            of(&["0.5", "0.25", "1.5"]).starts_with("there are 3 different labels for 3 documents, such as '0.25'")
        );
        assert!(learn(&[document(0, Some("a"), &[]), document(1, Some("b"), &[])], None).is_ok());
        assert!(learn(&[document(0, Some("a"), &[])], Some("upos")).unwrap_err().to_string().contains("`upos`"));
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(Labels::load(path, &Disk).unwrap(), None);
        fs::write(path.join("config.json"), r#"{"id2label": {"1": "pos", "0": "neg"}}"#).unwrap();
        let labels = Labels::load(path, &Disk).unwrap().unwrap();
        assert_eq!(labels.names(), &["neg".into(), "pos".into()]);
        let labels = labels.of_column("upos");
        labels.save(path).unwrap();
        assert_eq!(Labels::load(path, &Disk).unwrap(), Some(labels));
        for (text, told) in [
            ("[", "EOF"),
            (r#"{"labels": []}"#, "names no label"),
            (r#"{"labels": ["a", "b", "a"]}"#, "'a' stands there twice"),
        ] {
            fs::write(path.join(Labels::FILE), text).unwrap();
            let error = Labels::load(path, &Disk).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains(Labels::FILE), "{error}");
        }
        fs::remove_file(path.join(Labels::FILE)).unwrap();
        fs::write(path.join("config.json"), r#"{"id2label": {"1": "pos"}}"#).unwrap();
        assert!(Labels::load(path, &Disk).unwrap_err().to_string().contains("does not name every label"));
    }
}
