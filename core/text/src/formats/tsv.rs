//! `kind = "tsv"`: a row is a document.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::table::{Column, Quoting, Table, Wanted};
use crate::corpus::Corpus;
use crate::error::OptionError;
use crate::format::FormatOptions;
use crate::lines::MaxDocumentBytes;
use crate::resolve::Context;
use crate::splits::Splits;

/// A table with tabs between fields: a row is a document. Rows whose text is empty are left out, and counted.
///
/// In a quoted field places are counted in its value, where the quotes around it are gone and each two inside are one. The
/// line of a document is the one that its row starts on.
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
    /// The column of the text. When it is not given, it is the only one there is, or else `sentence`.
    pub text: Option<Column>,
    /// The column of the document's label. When it is not given, it is `label` in the files that
    /// have such a column.
    pub label: Option<Column>,
    /// The column of the document's group (its article, its movie).
    pub group: Option<Column>,
    /// Whether the first row names the columns. Without a header, their names are numbers from 1: `text = 2`.
    #[serde(default = "header")]
    pub header: bool,
    /// What quotes mean. When it is not given, they are characters of the text, as in SST-2, unless a row looks as if
    /// they held fields together, as pandas writes them: then it has to be given.
    pub quoting: Option<Quoting>,
}

fn header() -> bool {
    true
}

impl FormatOptions for TsvOptions {
    const KIND: &'static str = "tsv";

    /// The header of each file is read, and some rows to see what quotes mean there.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let named = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let splits = Splits::resolve(named, &self.splits, self.max_document_bytes, context.resolver)?;
        let (text, label, group) = (self.text.clone(), self.label.clone(), self.group.clone());
        let wanted = Wanted { text, label, group, texts: &["sentence"] };
        let table =
            Table { kind: Self::KIND, splits, delimiter: b'\t', quoting: self.quoting, header: self.header, wanted };
        table.open()
    }
}
