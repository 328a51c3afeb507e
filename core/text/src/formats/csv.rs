//! `kind = "csv"`: a row is a document.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::table::{Column, Delimiter, Quoting, Table, Wanted};
use crate::corpus::Corpus;
use crate::error::OptionError;
use crate::format::FormatOptions;
use crate::lines::MaxDocumentBytes;
use crate::resolve::Context;
use crate::splits::Splits;

/// A table with commas, or whatever `delimiter` says, between fields: a row is a document. Rows whose text is empty are left out, and counted.
///
/// In a quoted field places are counted in its value, where the quotes around it are gone and each two inside are one. The
/// line of a document is the one that its row starts on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvOptions {
    /// The file of the split `train`.
    pub train: Option<PathBuf>,
    /// The file of the split `valid`.
    pub valid: Option<PathBuf>,
    /// The file of the split `test`.
    pub test: Option<PathBuf>,
    /// The files of further splits by name: `splits = { extra = "extra.csv" }`.
    #[serde(default)]
    pub splits: BTreeMap<String, PathBuf>,
    #[serde(default)]
    pub max_document_bytes: MaxDocumentBytes,
    /// The column of the text. When it is not given, it is the only one there is, or else the first of `text`, `sentence`,
    /// `review` and `content` that is there.
    pub text: Option<Column>,
    /// The column of the document's label. When it is not given, it is `label` in the files that
    /// have such a column.
    pub label: Option<Column>,
    /// The column of the document's group (its article, its movie).
    pub group: Option<Column>,
    /// Whether the first row names the columns. Without a header, their names are numbers from 1: `text = 2`.
    #[serde(default = "header")]
    pub header: bool,
    /// What quotes mean.
    #[serde(default = "double")]
    pub quoting: Quoting,
    /// The character between fields, of ASCII: `;`.
    #[serde(default)]
    pub delimiter: Delimiter,
}

fn header() -> bool {
    true
}

fn double() -> Quoting {
    Quoting::Double
}

impl FormatOptions for CsvOptions {
    const KIND: &'static str = "csv";

    /// The header of each file is read.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let named = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let splits = Splits::resolve(named, &self.splits, self.max_document_bytes, context.resolver)?;
        let (text, label, group) = (self.text.clone(), self.label.clone(), self.group.clone());
        let wanted = Wanted { text, label, group, texts: &["text", "sentence", "review", "content"] };
        let table = Table {
            kind: Self::KIND,
            splits,
            delimiter: self.delimiter.get(),
            quoting: Some(self.quoting),
            header: self.header,
            wanted,
        };
        table.open()
    }
}
