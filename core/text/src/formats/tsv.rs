//! `kind = "tsv"`: a row is a document.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::corpus::{Corpus, Document, Documents, indent, stream};
use crate::error::{CorpusError, OptionError};
use crate::files::{Disk, Files};
use crate::format::{Context, FormatOptions};
use crate::lines::{Lines, MaxDocumentBytes};
use crate::splits::{Splits, pointer};

/// A table with a header line, tabs between fields and no quoting: a row is a document.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TsvOptions {
    /// The file of the split `train`.
    pub train: Option<PathBuf>,
    /// The file of the split `valid`.
    pub valid: Option<PathBuf>,
    /// The file of the split `test`.
    pub test: Option<PathBuf>,
    /// The files of further splits by name: `splits = { extra = "extra.tsv" }`.
    #[serde(default)]
    pub splits: BTreeMap<String, PathBuf>,
    #[serde(default)]
    pub max_document_bytes: MaxDocumentBytes,
    /// The column of the text.
    #[serde(default = "sentence")]
    pub text: String,
    /// The column of the document's label. When it is not given, it is `label` in the files that
    /// have such a column.
    pub label: Option<String>,
    /// The column of the document's group (its article, its movie).
    pub group: Option<String>,
}

fn sentence() -> String {
    "sentence".to_owned()
}

impl FormatOptions for TsvOptions {
    const KIND: &'static str = "tsv";

    /// The header of each file is read.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let named = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let splits = Splits::resolve(named, &self.splits, self.max_document_bytes, context.resolver)?;
        let mut errors = Vec::new();
        let mut labelled = false;
        for (split, _) in splits.iter() {
            // A check is not yet a reading: nobody watches it.
            match splits.lines(split, &Disk).and_then(|lines| Reader::open(split, lines, self)) {
                Ok(reader) => labelled |= reader.columns.label.is_some(),
                Err(error) => errors.push(OptionError { pointer: self.culprit(split, &error), error }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Box::new(TsvCorpus { splits, labelled, options: self.clone() }))
    }
}

impl TsvOptions {
    /// The option that an error of opening a split's file is about.
    fn culprit(&self, split: &str, error: &CorpusError) -> String {
        match error {
            CorpusError::Column { column, .. } if self.label.as_ref() == Some(column) => pointer(&["label"]),
            CorpusError::Column { column, .. } if self.group.as_ref() == Some(column) => pointer(&["group"]),
            // Where the default column is missing there is no option to point at but the file.
            CorpusError::Column { column, .. } if *column != sentence() => pointer(&["text"]),
            _ if self.splits.contains_key(split) => pointer(&["splits", split]),
            _ => pointer(&[split]),
        }
    }
}

struct TsvCorpus {
    splits: Splits,
    labelled: bool,
    options: TsvOptions,
}

impl Corpus for TsvCorpus {
    fn splits(&self) -> Vec<String> {
        self.splits.names()
    }

    fn layers(&self) -> Vec<String> {
        self.labelled.then(|| "label".to_owned()).into_iter().collect()
    }

    fn files(&self, split: &str) -> Vec<PathBuf> {
        self.splits.files(split)
    }

    fn recipe(&self, _: &str) -> Value {
        let TsvOptions { text, label, group, .. } = &self.options;
        json!({ "kind": "tsv", "text": text, "label": label, "group": group })
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let mut reader = Reader::open(split, self.splits.lines(split, files)?, &self.options)?;
        let empty = CorpusError::Empty { split: split.to_owned(), path: Some(reader.lines.path().clone()) };
        Ok(stream(move || reader.next(), empty))
    }
}

/// Where the fields of a document stand in a row.
struct Columns {
    text: usize,
    label: Option<usize>,
    group: Option<usize>,
    /// The fields of a row.
    count: usize,
}

struct Reader {
    lines: Lines,
    columns: Columns,
    text_column: String,
    id: u64,
}

impl Reader {
    /// Reads the header.
    fn open(split: &str, mut lines: Lines, options: &TsvOptions) -> Result<Self, CorpusError> {
        let header = lines.next().transpose()?;
        let path = lines.path();
        let Some((_, header)) = header else {
            return Err(CorpusError::Empty { split: split.to_owned(), path: Some(path.clone()) });
        };
        let names: Vec<String> = header.split('\t').map(|name| name.trim().to_owned()).collect();
        let find = |column: &str| names.iter().position(|name| name == column);
        let require = |column: &String| {
            find(column).ok_or_else(|| CorpusError::Column {
                path: path.clone(),
                column: column.clone(),
                found: names.clone(),
            })
        };
        let columns = Columns {
            text: require(&options.text)?,
            label: match &options.label {
                Some(column) => Some(require(column)?),
                None => find("label"),
            },
            group: options.group.as_ref().map(require).transpose()?,
            count: names.len(),
        };
        Ok(Self { lines, columns, text_column: options.text.clone(), id: 0 })
    }

    fn next(&mut self) -> Result<Option<Document>, CorpusError> {
        let path = self.lines.path().clone();
        let (number, row) = loop {
            match self.lines.next().transpose()? {
                None => return Ok(None),
                Some((_, line)) if line.is_empty() => {}
                Some(line) => break line,
            }
        };
        let stands: Vec<&str> = row.split('\t').collect();
        let fields: Vec<&str> = stands.iter().map(|field| field.trim()).collect();
        if fields.len() != self.columns.count {
            return Err(CorpusError::Fields { path, line: number, found: fields.len(), expected: self.columns.count });
        }
        if fields[self.columns.text].is_empty() {
            return Err(CorpusError::NoText { path, line: number, column: self.text_column.clone() });
        }
        // An empty field says that the document has no label or group.
        let value = |column: Option<usize>| -> Option<Arc<str>> {
            let field = fields[column?];
            (!field.is_empty()).then(|| field.into())
        };
        let document = Document {
            id: self.id,
            line: Some(number),
            indent: indent(stands[self.columns.text]),
            text: fields[self.columns.text].to_owned(),
            group: value(self.columns.group),
            label: value(self.columns.label),
            ..Document::default()
        };
        self.id += 1;
        Ok(Some(document))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resolver;

    fn open(bytes: &[u8], options: &str) -> Result<Vec<Document>, CorpusError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tsv"), bytes).unwrap();
        let options: TsvOptions = toml::from_str(&format!("train = 'a.tsv'\n{options}")).unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        let mut errors = match options.open(&Context { resolver: &resolver, seed: 0 }) {
            Ok(corpus) => return corpus.documents("train", &Disk)?.collect(),
            Err(errors) => errors,
        };
        assert_eq!(errors.len(), 1);
        Err(errors.remove(0).error)
    }

    fn row(document: &Document) -> (&str, Option<&str>, Option<&str>) {
        let Document { text, label, group, .. } = document;
        (text, label.as_deref(), group.as_deref())
    }

    #[test]
    fn rows_become_documents() {
        let table = b"sentence\tlabel\r\na \"fine\" film . \t1\r\n\r\nbleak\t0\n";
        let documents = open(table, "").unwrap();
        let rows: Vec<_> = documents.iter().map(row).collect();
        assert_eq!(rows, [("a \"fine\" film .", Some("1"), None), ("bleak", Some("0"), None)]);
        assert_eq!(documents[1].id, 1);

        let table = b"who\tmovie\tsaid\nann\tHeat\tfine\nbob\t\tbleak\n";
        let documents = open(table, "text = 'said'\nlabel = 'who'\ngroup = 'movie'").unwrap();
        let rows: Vec<_> = documents.iter().map(row).collect();
        assert_eq!(rows, [("fine", Some("ann"), Some("Heat")), ("bleak", Some("bob"), None)]);
    }

    #[test]
    fn a_label_may_be_missing_only_where_it_was_not_asked_for() {
        let table = b"sentence\tscore\nfine\t1\n";
        assert_eq!(open(table, "").unwrap()[0].label, None);
        let error = open(table, "label = 'label'").unwrap_err().to_string();
        assert!(error.ends_with("a.tsv:1: no column 'label'; the header has sentence, score"), "{error}");
    }

    #[test]
    fn faulty_tables_are_located() {
        let message = |bytes: &[u8]| open(bytes, "").unwrap_err().to_string();
        let cases: [(&[u8], &str); 6] = [
            (b"text\tlabel\nfine\t1\n", ":1: no column 'sentence'; the header has text, label"),
            (b"sentence\tlabel\nfine\t1\nbleak\n", ":3: 1 field between tabs where the header has 2"),
            (b"sentence\tlabel\nfine\tx\t1\n", ":2: 3 fields between tabs where the header has 2"),
            (b"sentence\tlabel\n\xffine\t1\n", ":2: not UTF-8 at byte 15"),
            (b"sentence\tlabel\nfine\t1\n \t1\n", ":3: the column 'sentence' is empty"),
            (b"", "the split 'train' has no document"),
        ];
        for (bytes, expected) in cases {
            let message = message(bytes);
            assert!(message.contains(expected), "{message}");
        }
        assert!(message(b"sentence\tlabel\n").starts_with("the split 'train' has no document"));
    }

    #[test]
    fn a_message_holds_as_much_of_a_header_as_can_be_read() {
        let header: Vec<String> = (0..1000).map(|column| format!("{}{column}", "x".repeat(1000))).collect();
        let message = open(header.join("\t").as_bytes(), "").unwrap_err().to_string();
        assert!(message.ends_with("x…, 980 more"), "{message}");
        assert!(message.len() < 10_000);
    }

    #[test]
    fn a_fault_points_at_the_option_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tsv"), "text\tlabel\nfine\t1\n").unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        let pointers = |options: &str| -> Vec<String> {
            let options: TsvOptions = toml::from_str(options).unwrap();
            let errors = options.open(&Context { resolver: &resolver, seed: 0 }).err().unwrap_or_default();
            errors.into_iter().map(|error| error.pointer).collect()
        };
        assert_eq!(pointers("train = 'a.tsv'"), ["/train"]);
        assert_eq!(pointers("splits = { x = 'a.tsv' }"), ["/splits/x"]);
        assert_eq!(pointers("train = 'a.tsv'\ntext = 'txt'"), ["/text"]);
        assert_eq!(pointers("train = 'a.tsv'\ntext = 'text'\nlabel = 'l'"), ["/label"]);
        assert_eq!(pointers("train = 'a.tsv'\ntext = 'text'\ngroup = 'g'"), ["/group"]);
        assert!(pointers("train = 'a.tsv'\ntext = 'text'").is_empty());
    }
}
