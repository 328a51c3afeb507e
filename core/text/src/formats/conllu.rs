//! `kind = "conllu"`: a sentence of a treebank is a document, or all sentences of a `# newdoc`.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::conllu::{Column, Sentence, Sentences, Stretch, put, sentences};
use crate::corpus::{Annotation, Corpus, Document, Documents, Span, check_layer, stream};
use crate::error::{CorpusError, OptionError, TreebankFault};
use crate::files::{Disk, Files};
use crate::format::FormatOptions;
use crate::lines::MaxDocumentBytes;
use crate::resolve::Context;
use crate::splits::{Splits, pointer};

/// A treebank in CoNLL-U, as those of Universal Dependencies: a sentence is a document, and what the treebank says of its
/// words are layers.
///
/// The text is that of the words as they are written, with a space between them but after `SpaceAfter=No`. A token that
/// stands for several words (`3-4 don't`) is as many places where the forms of its words are written one after another in
/// it (`do`, `n't`), and one place otherwise, whose value has a `+` between those of the words: `ADP+DET`, with `_` for a
/// word without a value. What nobody wrote (`8.1`) is left out. The group of a document is the id of the `# newdoc` that it
/// stands under.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConlluOptions {
    /// The file of the split `train`.
    pub train: Option<PathBuf>,
    /// The file of the split `valid`.
    pub valid: Option<PathBuf>,
    /// The file of the split `test`.
    pub test: Option<PathBuf>,
    /// The files of further splits by name: `splits = { extra = "extra.conllu" }`.
    #[serde(default)]
    pub splits: BTreeMap<String, PathBuf>,
    /// The most bytes that the lines of one document have together, comments included. More are an error: a document is
    /// held in memory, with all that is known of its words.
    #[serde(default)]
    pub max_document_bytes: MaxDocumentBytes,
    /// What a document is.
    #[serde(default)]
    pub document: Unit,
    /// The comment that has the document's label: `genre` for `# genre = news`. Where it stands beside `# newdoc`, it is the
    /// label of all sentences there that have no other.
    pub label: Option<String>,
    /// Layers by name, and what of a word each holds. `{ pos = "upos" }` is one layer `pos`.
    #[serde(default = "all")]
    pub annotations: BTreeMap<String, Column>,
}

/// What a document of a treebank is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Unit {
    /// A sentence.
    #[default]
    Sentence,
    /// All sentences under one `# newdoc`, with a space between them but after `SpaceAfter=No`.
    Newdoc,
}

fn all() -> BTreeMap<String, Column> {
    Column::ALL.map(|column| (column.name().to_owned(), column)).into()
}

impl FormatOptions for ConlluOptions {
    const KIND: &'static str = "conllu";

    /// The first sentence of each file is read.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let mut errors = Vec::new();
        for layer in self.annotations.keys() {
            if let Err(error) = check_layer(layer) {
                errors.push(OptionError { pointer: pointer(&["annotations", layer]), error });
            }
        }
        let named = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let splits = match Splits::resolve(named, &self.splits, self.max_document_bytes, context.resolver) {
            Ok(splits) => splits,
            Err(others) => return Err(errors.into_iter().chain(others).collect()),
        };
        for (split, _) in splits.iter() {
            // A check is not yet a reading: nobody watches it.
            let first = splits.lines(split, &Disk).and_then(|lines| sentences(lines).next().transpose());
            if let Err(error) = first {
                let is_other = self.splits.contains_key(split);
                let pointer = if is_other { pointer(&["splits", split]) } else { pointer(&[split]) };
                errors.push(OptionError { pointer, error });
            }
        }
        if errors.is_empty() { Ok(Box::new(ConlluCorpus { splits, options: self.clone() })) } else { Err(errors) }
    }
}

struct ConlluCorpus {
    splits: Splits,
    options: ConlluOptions,
}

impl Corpus for ConlluCorpus {
    fn splits(&self) -> Vec<String> {
        self.splits.names()
    }

    fn layers(&self) -> Vec<String> {
        let label = self.options.label.as_ref().map(|_| "label".to_owned());
        self.options.annotations.keys().cloned().chain(label).collect()
    }

    fn files(&self, split: &str) -> Vec<PathBuf> {
        self.splits.files(split)
    }

    fn recipe(&self, _: &str) -> Value {
        let ConlluOptions { document, label, annotations, .. } = &self.options;
        json!({ "kind": "conllu", "document": document, "label": label, "annotations": annotations })
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let lines = self.splits.lines(split, files)?;
        let path = lines.path().clone();
        let max = lines.most();
        let empty = CorpusError::Empty { split: split.to_owned(), path: Some(path.clone()) };
        let layers = self.options.annotations.iter().map(|(layer, column)| (layer.as_str().into(), *column)).collect();
        let mut reader = Reader {
            path,
            max,
            sentences: sentences(lines).peekable(),
            options: &self.options,
            layers,
            id: 0,
            group: None,
            label: None,
        };
        Ok(stream(move || reader.next(), empty))
    }
}

struct Reader<'a> {
    path: PathBuf,
    max: u64,
    sentences: Peekable<Sentences>,
    options: &'a ConlluOptions,
    layers: Vec<(Arc<str>, Column)>,
    id: u64,
    /// The `# newdoc` that the sentences stand under, and the label that stands beside it.
    group: Option<Arc<str>>,
    label: Option<Arc<str>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Option<Document>, CorpusError> {
        let Some(first) = self.sentences.next().transpose()? else { return Ok(None) };
        let is_new = is_new(&first);
        let by_newdoc = self.options.document == Unit::Newdoc;
        if by_newdoc && self.id == 0 && !is_new {
            return Err(self.fault(first.line, TreebankFault::NoDocument));
        }
        if is_new {
            let id = first.comment("newdoc id").filter(|id| !id.is_empty());
            self.group = id.map(Arc::from);
            self.label = self.label(&first);
        }
        let mut document = Document {
            id: self.id,
            line: Some(first.line),
            group: self.group.clone(),
            label: self.label(&first).or_else(|| self.label.clone()),
            annotations: self
                .layers
                .iter()
                .map(|(layer, _)| Annotation { layer: layer.clone(), spans: Vec::new() })
                .collect(),
            ..Document::default()
        };
        self.id += 1;
        let mut scalars = 0;
        self.add(&first, &mut document, &mut scalars);
        let (mut bytes, mut space) = (first.bytes, first.is_space_after());
        while by_newdoc
            && self.sentences.peek().is_some_and(|next| next.as_ref().map_or(true, |next| !self::is_new(next)))
        {
            let Some(next) = self.sentences.next().transpose()? else { break };
            bytes += next.bytes;
            if bytes > self.max {
                let line = document.line.unwrap_or(next.line);
                return Err(self.fault(line, TreebankFault::TooLong { max: self.max }));
            }
            match (&document.label, self.label(&next)) {
                (Some(label), Some(found)) if *label != found => {
                    let (label, found) = (label.to_string(), found.to_string());
                    return Err(self.fault(next.line, TreebankFault::Labels { label, found }));
                }
                (None, found) => document.label = found,
                _ => {}
            }
            if space {
                put(&mut document.text, &mut scalars, " ");
            }
            space = next.is_space_after();
            self.add(&next, &mut document, &mut scalars);
        }
        Ok(Some(document))
    }

    fn label(&self, sentence: &Sentence) -> Option<Arc<str>> {
        let label = sentence.comment(self.options.label.as_ref()?)?;
        (!label.is_empty()).then(|| label.into())
    }

    /// Puts a sentence behind the text of `document`, which has so many Unicode scalars.
    fn add(&self, sentence: &Sentence, document: &mut Document, scalars: &mut u32) {
        for Stretch { place, words } in sentence.write(&mut document.text, scalars) {
            let words = &sentence.words[words];
            for ((_, column), annotation) in self.layers.iter().zip(&mut document.annotations) {
                // A word without a value has its place, too: a token that reaches over it and the next is of the longer one.
                let value = match words.iter().any(|word| word.value(*column).is_some()) {
                    true => words.iter().map(|word| word.value(*column).unwrap_or("_")).collect::<Vec<_>>().join("+"),
                    false => String::new(),
                };
                annotation.spans.push(Span { start: place.start, end: place.end, value: value.into() });
            }
        }
    }

    fn fault(&self, line: u64, fault: TreebankFault) -> CorpusError {
        CorpusError::Treebank { path: self.path.clone(), line, fault }
    }
}

/// Whether a document begins with this sentence.
fn is_new(sentence: &Sentence) -> bool {
    sentence.comment("newdoc").or_else(|| sentence.comment("newdoc id")).is_some()
}

#[cfg(test)]
mod tests;
