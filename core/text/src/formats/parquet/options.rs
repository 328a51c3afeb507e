//! The options of the format.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::lines::MaxDocumentBytes;

/// A Parquet table, such as those of data sets on Hugging Face: a row is a document, and its number, from 1, stands for the
/// line. Rows whose text is null or empty are left out, and counted.
///
/// Packing by Snappy, Zstandard, gzip and LZ4 is read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetOptions {
    /// The file of the split `train`.
    pub train: Option<PathBuf>,
    /// The file of the split `valid`.
    pub valid: Option<PathBuf>,
    /// The file of the split `test`.
    pub test: Option<PathBuf>,
    /// The files of further splits by name: `splits = { extra = "extra.parquet" }`.
    #[serde(default)]
    pub splits: BTreeMap<String, PathBuf>,
    /// The most bytes that a text may have. A longer one is an error: a document takes its size some thirty times over when it
    /// is encoded.
    #[serde(default)]
    pub max_document_bytes: MaxDocumentBytes,
    /// The column of the text. When it is not given, it is `text` or else the only column of strings.
    pub text: Option<String>,
    /// The column of the document's label: strings, integers or booleans. When it is not given, it is `label` in the files that
    /// have such a column. The integers of a `ClassLabel` stay integers.
    pub label: Option<String>,
    /// The column of the document's group (its article, its movie): strings, integers or booleans.
    pub group: Option<String>,
}
