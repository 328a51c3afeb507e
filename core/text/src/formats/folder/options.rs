//! The options of the format.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::lines::MaxDocumentBytes;

/// A folder of texts, or a `.tar`, `.tar.gz` or `.tar.zst` of one, known by how it begins: a file is a document.
///
/// Files lie at `SPLIT/LABEL/NAME.txt`, or at `SPLIT/NAME.txt` where documents have no label; all of that may lie in one
/// more folder, as in `aclImdb/train/pos/0_9.txt`. The text is the whole file, without the white space at its ends. Documents
/// come in the order of their paths, byte by byte, from an archive too. Whatever has a name that begins with a dot is left
/// out, and so are texts that lie beside the folders of the splits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderOptions {
    /// The folder or the archive.
    pub path: PathBuf,
    /// The splits, and what the folder of each is called: `splits = { train = "training" }`. When it is not given, every
    /// folder that holds texts is a split of that name.
    pub splits: Option<BTreeMap<String, String>>,
    /// The labels whose folders are read, in every split: `labels = ["neg", "pos"]`. When it is not given, they are all folders
    /// of a split that hold texts.
    pub labels: Option<Vec<String>>,
    /// How the names of texts end, behind a dot.
    #[serde(default = "txt")]
    pub extension: String,
    /// The most bytes that a file may have. A longer one is an error: a document takes its size some thirty times over when
    /// it is encoded.
    #[serde(default)]
    pub max_document_bytes: MaxDocumentBytes,
}

fn txt() -> String {
    "txt".to_owned()
}
