//! `kind = "jsonl"`: a line is a JSON object, and that a document.

mod object;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::object::Object;
use crate::corpus::{Annotation, Corpus, Document, Documents, check_layer, indent, stream};
use crate::error::{CorpusError, OptionError};
use crate::files::{Disk, Files};
use crate::format::FormatOptions;
use crate::lines::{Lines, MaxDocumentBytes};
use crate::resolve::Context;
use crate::splits::{Splits, pointer};

/// JSON Lines: a line is a JSON object, and that a document. Blank lines are none. Objects whose text is `null` or empty are
/// left out, and counted.
///
/// Keys of objects inside the object are reached with dots, `meta.label`, where no key is called so itself. Of a key that
/// stands twice the last one counts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonlOptions {
    /// The file of the split `train`.
    pub train: Option<PathBuf>,
    /// The file of the split `valid`.
    pub valid: Option<PathBuf>,
    /// The file of the split `test`.
    pub test: Option<PathBuf>,
    /// The files of further splits by name: `splits = { extra = "extra.jsonl" }`.
    #[serde(default)]
    pub splits: BTreeMap<String, PathBuf>,
    #[serde(default)]
    pub max_document_bytes: MaxDocumentBytes,
    /// The key of the text, a string. Places are counted in its value, whatever of it is escaped in the file.
    #[serde(default = "text")]
    pub text: String,
    /// The key of the document's label: a string, a number as it is written, `true` or `false`; `null` and an empty string are no
    /// label.
    /// When it is not given, it is `label` in the files whose first object has that key, and may be missing elsewhere.
    pub label: Option<String>,
    /// The key of the document's group (its article, its movie), of the same kinds of values.
    pub group: Option<String>,
    /// The keys of annotations by layer: `annotations = { pos = "tags" }`. The value is a list of `[start, end, "TAG"]`,
    /// in order and apart, `start` and `end` (one past the last) in Unicode scalars of the text from 0; `null` has none.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

fn text() -> String {
    "text".to_owned()
}

impl FormatOptions for JsonlOptions {
    const KIND: &'static str = "jsonl";

    /// The first object of each file is read.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let named = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let splits = Splits::resolve(named, &self.splits, self.max_document_bytes, context.resolver)?;
        let layers = self.annotations.keys().filter_map(|layer| {
            let error = check_layer(layer).err()?;
            Some(OptionError { pointer: pointer(&["annotations", layer]), error })
        });
        let mut errors: Vec<OptionError> = layers.collect();
        let mut labelled = self.label.is_some();
        for (split, _) in splits.iter() {
            // A check is not yet a reading: nobody watches it.
            let lines = splits.lines(split, &Disk).map(|lines| Reader::new(lines, self, true));
            match lines.and_then(|mut reader| reader.next(&Disk)) {
                Ok(Some(first)) => labelled |= first.label.is_some(),
                // Of an empty file tells whoever reads it.
                Ok(None) => {}
                Err(error) => errors.push(OptionError { pointer: self.culprit(&splits, split, &error), error }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Box::new(JsonlCorpus { splits, labelled, options: self.clone() }))
    }
}

impl JsonlOptions {
    /// The option that an error of a split's first line is about.
    fn culprit(&self, splits: &Splits, split: &str, error: &CorpusError) -> String {
        match error {
            CorpusError::Key { key, .. } if self.label.as_ref() == Some(key) => pointer(&["label"]),
            CorpusError::Key { key, .. } if self.group.as_ref() == Some(key) => pointer(&["group"]),
            CorpusError::Key { key, .. } if *key == self.text && *key != text() => pointer(&["text"]),
            CorpusError::Key { key, .. } | CorpusError::Annotation { key, .. } => {
                let layer = self.annotations.iter().find(|(_, known)| *known == key);
                layer.map_or_else(|| splits.pointer(split), |(layer, _)| pointer(&["annotations", layer]))
            }
            _ => splits.pointer(split),
        }
    }
}

struct JsonlCorpus {
    splits: Splits,
    labelled: bool,
    options: JsonlOptions,
}

impl Corpus for JsonlCorpus {
    fn splits(&self) -> Vec<String> {
        self.splits.names()
    }

    fn layers(&self) -> Vec<String> {
        let label = self.labelled.then(|| "label".to_owned());
        self.options.annotations.keys().cloned().chain(label).collect()
    }

    fn files(&self, split: &str) -> Vec<PathBuf> {
        self.splits.files(split)
    }

    fn recipe(&self, _: &str) -> Value {
        let JsonlOptions { text, label, group, annotations, .. } = &self.options;
        json!({
            "kind": "jsonl",
            "text": text,
            "label": label,
            "labelled": self.labelled,
            "group": group,
            "annotations": annotations,
        })
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let lines = self.splits.lines(split, files)?;
        let empty = CorpusError::Empty { split: split.to_owned(), path: Some(lines.path().clone()) };
        let mut reader = Reader::new(lines, &self.options, self.labelled);
        Ok(stream(move || reader.next(files), empty))
    }
}

struct Reader<'a> {
    lines: Lines,
    options: &'a JsonlOptions,
    id: u64,
    /// Whether a key `label` that no option names is a label.
    may_have: bool,
    /// The first line without a text, to name should no line have one.
    no_text: Option<CorpusError>,
}

impl<'a> Reader<'a> {
    fn new(lines: Lines, options: &'a JsonlOptions, may_have: bool) -> Self {
        Self { lines, options, id: 0, may_have, no_text: None }
    }

    /// The next line with a text.
    fn next(&mut self, files: &dyn Files) -> Result<Option<Document>, CorpusError> {
        loop {
            match self.lines.next().transpose()? {
                None => return self.no_text.take().map_or(Ok(None), Err),
                Some((_, line)) if line.trim().is_empty() => {}
                Some((number, line)) => {
                    if let Some(document) = self.document(number, &line, files)? {
                        return Ok(Some(document));
                    }
                }
            }
        }
    }

    /// The document of a line, where it has a text.
    fn document(&mut self, number: u64, line: &str, files: &dyn Files) -> Result<Option<Document>, CorpusError> {
        let object = Object::parse(line, self.lines.path(), number)?;
        let Some(stands) = object.text(&self.options.text)? else {
            files.left_out(self.lines.path(), number);
            if self.id == 0 && self.no_text.is_none() {
                self.no_text = Some(object.no_text(&self.options.text));
            }
            return Ok(None);
        };
        self.no_text = None;
        let indent = indent(stands);
        let label = match &self.options.label {
            Some(key) => object.value(key)?,
            None if self.may_have && object.has("label") => object.value("label")?,
            None => None,
        };
        let group = self.options.group.as_ref().map(|key| object.value(key)).transpose()?.flatten();
        let annotations = self.options.annotations.iter().map(|(layer, key)| {
            Ok(Annotation { layer: layer.as_str().into(), spans: object.spans(key, stands, indent)? })
        });
        let document = Document {
            id: self.id,
            line: Some(number),
            indent,
            text: stands.trim().to_owned(),
            group,
            label,
            annotations: annotations.collect::<Result<_, CorpusError>>()?,
        };
        self.id += 1;
        Ok(Some(document))
    }
}
