//! `[corpus.NAME]`, and the step `text`: a split that is read through once before anything depends on it.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_config::{Name, child, suggestion};
use txray_plugin::{Host, Level};
use txray_text::{Context, CorpusError, Counts, Documents, Files, OpenError, OptionError};

use crate::check::{Check, Section};
use crate::error::{Error, Result};
use crate::files::stopped;
use crate::form::Form;
use crate::inputs::Hashes;
use crate::step::{Made, Making, Step};
use crate::steps::stage::layers::LABEL;

/// A corpus of a pipeline.
pub struct Corpus {
    /// Its name.
    pub name: Name,
    corpus: Box<dyn txray_text::Corpus>,
}

impl Section for Corpus {
    const TABLE: &'static str = "corpus";
    const PLURAL: &'static str = "corpora";
    const ABOUT: &'static str = "Texts: `[corpus.NAME]`, each with its `kind`.";
    const STEP: &'static str = "text";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let kinds: Vec<&str> = check.formats.iter().map(|format| format.kind).collect();
        let (kind, options) = check.kind(pointer, &kinds, "kind of corpus")?;
        let format = check.formats.iter().find(|format| format.kind == kind)?;
        let schema = (format.schema)();
        check.put(pointer, &txray_config::with_defaults(&schema, &options));
        let context = Context { resolver: check.resolver, seed: check.seed };
        let opened = check.document.read_with(pointer, options, &schema, &mut check.diagnostics, |options| {
            match (format.open)(options, &context) {
                Ok(corpus) => Ok(Ok(corpus)),
                Err(OpenError::Options(errors)) => Ok(Err(errors)),
                Err(OpenError::Table { pointer, message }) => Err((pointer, message)),
            }
        });
        match opened? {
            Ok(corpus) => {
                let before = check.diagnostics.len();
                for split in corpus.splits() {
                    if let Err(error) = corpus.look(&split) {
                        check.corpus_error(&place(check, pointer, &split), &error);
                    }
                }
                (check.diagnostics.len() == before).then(|| Self { name: name.clone(), corpus })
            }
            Err(errors) => {
                for OptionError { pointer: option, error } in errors {
                    check.corpus_error(&format!("{pointer}{option}"), &error);
                }
                None
            }
        }
    }

    /// None of its own: a text is read where a model or a stage asks for it.
    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        Vec::new()
    }

    fn form() -> Form {
        Form::formats()
    }
}

/// Where a split is given in the table of its corpus, or what all of them are in, or else the table.
fn place(check: &Check<'_>, pointer: &str, split: &str) -> String {
    let places = [child(pointer, split), child(&child(pointer, "splits"), split), child(pointer, "path")];
    let given = places.into_iter().find(|place| check.document.value().pointer(place).is_some());
    given.unwrap_or_else(|| pointer.to_owned())
}

impl Corpus {
    /// The layers that its documents carry beyond `token` and `word`.
    pub fn layers(&self) -> Vec<String> {
        self.corpus.layers()
    }

    /// Why it has no such layer, where there is more to say than that.
    pub fn no_layer(&self, layer: &str) -> Option<String> {
        self.corpus.no_layer(layer)
    }

    /// A split of it, if it has that.
    pub fn text(self: &Arc<Self>, split: &str) -> Option<Arc<Text>> {
        let is_there = self.corpus.splits().iter().any(|known| known == split);
        is_there.then(|| Arc::new(Text { corpus: Arc::clone(self), split: split.to_owned() }))
    }

    /// The split that `text`, the value at `pointer`, names: `wikitext.valid`.
    pub fn find_text(check: &mut Check<'_>, pointer: &str, text: &str) -> Option<Arc<Text>> {
        // The split is what follows the last dot: names of corpora may have dots.
        let (name, split) = match text.rsplit_once('.') {
            Some((name, split)) if check.exists::<Self>(name) || !check.exists::<Self>(text) => (name, Some(split)),
            _ => (text, None),
        };
        let corpus = check.find::<Self>(pointer, name)?;
        let found = split.and_then(|split| corpus.text(split));
        if found.is_none() {
            let splits = corpus.corpus.splits();
            match split {
                Some(split) => {
                    let help = suggestion(split, splits.iter().map(String::as_str));
                    check.error_with_help(pointer, format!("the corpus `{name}` has no split `{split}`"), help);
                }
                None => {
                    let all: Vec<String> = splits.iter().map(|split| format!("{name}.{split}")).collect();
                    let help = suggestion("", all.iter().map(String::as_str));
                    check.error_with_help(pointer, "which split of the corpus?", help);
                }
            }
        }
        found
    }

    /// The corpus that a task at `pointer` learns from: it needs a split `train`.
    pub fn find_to_learn(check: &mut Check<'_>, pointer: &str, name: &str) -> Option<Arc<Self>> {
        let pointer = child(pointer, "corpus");
        let corpus = check.find::<Self>(&pointer, name)?;
        if corpus.text("train").is_none() {
            check.error(&pointer, format!("the corpus `{name}` has no split `train` to learn from"));
            return None;
        }
        Some(corpus)
    }
}

/// A split of a corpus: `wikitext.valid`.
pub struct Text {
    /// Its corpus.
    pub corpus: Arc<Corpus>,
    /// The split.
    pub split: String,
}

/// What reading a text through tells.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TextFigures {
    /// Its documents.
    pub documents: u64,
    /// The words of them all, between white space.
    pub words: u64,
    /// Those that have a label, of a corpus with labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labelled: Option<u64>,
    /// The rows that are left out, because they have no text.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u64,
}

fn is_none(left_out: &u64) -> bool {
    *left_out == 0
}

/// Files, of which somebody counts what is left out.
struct Counted<'a> {
    files: &'a dyn Files,
    left_out: AtomicU64,
    /// Where the first of it stands.
    first: OnceLock<String>,
}

impl Files for Counted<'_> {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.files.open(path)
    }

    fn left_out(&self, path: &Path, row: u64) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
        self.first.get_or_init(|| format!("{}:{row}", path.display()));
    }
}

impl Text {
    /// Streams its documents. They end where the user asks to stop.
    pub fn documents<'a>(&'a self, making: &Making<'a>) -> Result<Documents<'a>> {
        self.documents_of(making.inputs, making.host)
    }

    fn documents_of<'a>(&'a self, files: &'a dyn Files, host: &'a Host<'a>) -> Result<Documents<'a>> {
        let documents = self.corpus.corpus.documents(&self.split, files)?;
        let stopped = || CorpusError::Io { path: self.name().into(), source: stopped() };
        Ok(Box::new(documents.map(move |document| if host.cancelled() { Err(stopped()) } else { document })))
    }

    /// Looks at what a tokenizer made of it for the step of a table: nothing at all is an error, and what is dropped is said where
    /// it is more than a hundredth.
    ///
    /// # Errors
    /// [`Error::UnknownText`].
    pub fn check_counts(&self, making: &Making<'_>, table: &str, counts: Counts) -> Result<()> {
        let Counts { documents, characters, dropped, dropped_documents, .. } = counts;
        if counts.is_all_unknown() {
            return Err(Error::UnknownText { text: self.name() });
        }
        if dropped > characters / 100 || dropped_documents > documents / 100 {
            let message = format!(
                "[{table}] reads nothing of {dropped} of the {characters} characters of `{}`, {dropped_documents} of its \
                 {documents} documents whole: the tokenizer drops them",
                self.name()
            );
            making.host.log(Level::Warning, &message);
        }
        Ok(())
    }
}

impl Step for Text {
    fn kind(&self) -> &'static str {
        Corpus::STEP
    }

    fn name(&self) -> String {
        format!("{}.{}", self.corpus.name, self.split)
    }

    /// Its errors are those of its corpus.
    fn table(&self) -> String {
        format!("{}.{}", Corpus::TABLE, self.corpus.name)
    }

    fn level(&self) -> Level {
        Level::Debug
    }

    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value> {
        let files = self.corpus.corpus.files(&self.split);
        let files = files.iter().map(|path| hashes.file(path)).collect::<Result<Vec<Value>>>()?;
        Ok(json!({ "corpus": self.corpus.corpus.recipe(&self.split), "files": files }))
    }

    /// Reads it through, before hours of training depend on it: bad encoding, bad rows and empty files are found here.
    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let has_labels = self.corpus.layers().iter().any(|layer| layer == LABEL);
        let mut figures = TextFigures { documents: 0, words: 0, labelled: has_labels.then_some(0), left_out: 0 };
        let counted = Counted { files: making.inputs, left_out: AtomicU64::new(0), first: OnceLock::new() };
        for document in self.documents_of(&counted, making.host)? {
            figures.documents += 1;
            let document = document?;
            figures.words += document.text.split_whitespace().count() as u64;
            figures.labelled = figures.labelled.map(|labelled| labelled + u64::from(document.label.is_some()));
        }
        if let Some(lacking) =
            figures.labelled.map(|labelled| figures.documents - labelled).filter(|lacking| *lacking > 0)
        {
            let message = format!(
                "[{}] `{}`: {lacking} of {} documents have no label",
                self.table(),
                self.name(),
                figures.documents
            );
            making.host.log(Level::Information, &message);
        }
        figures.left_out = counted.left_out.into_inner();
        if let Some(first) = counted.first.get() {
            let TextFigures { documents, left_out, .. } = figures;
            let rows = if left_out == 1 { "row of it has" } else { "rows of it have" };
            let level = if left_out > documents / 100 { Level::Warning } else { Level::Information };
            let table = self.table();
            let message = format!(
                "[{table}] `{}`: {left_out} {rows} no text, and are left out; the first stands at {first}",
                self.name()
            );
            making.host.log(level, &message);
        }
        Made::with(self, &figures)
    }
}

#[cfg(test)]
mod tests;
