//! What can be wrong with a folder of texts.

use crate::shown::shortened;

/// What is wrong with a folder of texts, an archive, or a file in one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FolderFault {
    /// A link, a device.
    #[error("{kind}, where folders and files alone are read; put what it stands for in its place")]
    Kind {
        /// What is there.
        kind: &'static str,
    },
    /// A member of an archive that is not in a folder of it.
    #[error(
        "'{}' leads out of the archive; pack the folder again, from within the folder that it lies in",
        shortened(name)
    )]
    Outside {
        /// Its name.
        name: String,
    },
    /// A member of an archive that is there once more.
    #[error("'{}' is there twice; pack the folder again", shortened(name))]
    Twice {
        /// Its name.
        name: String,
    },
    /// A name that is no text.
    #[error("a name that is not UTF-8; give the file another")]
    Name,
    /// Not an archive.
    #[error("neither a folder nor a tar archive of one (.tar, .tar.gz, .tar.zst): {}", shortened(reason))]
    NotTar {
        /// What the unpacking says of it.
        reason: String,
    },
    /// An archive without its end.
    #[error("it ends in the middle: it was cut short; get the whole of it again")]
    CutShort,
    /// An archive that has not what it had.
    #[error("it has other files than it had when it was opened; start again")]
    Changed,
    /// Nothing to read.
    #[error(
        "no .{extension} file lies in a folder of it: SPLIT/LABEL/NAME.{extension} or SPLIT/NAME.{extension} is meant"
    )]
    NoTexts {
        /// How the names of texts end.
        extension: String,
    },
    /// A split whose name cannot stand behind that of its corpus.
    #[error(
        "'{}' names no split: its name has 64 letters (a to z), digits, `_` and `-` at most, and no `-` first; name it in `splits`, as in {{ train = \"folder\" }}",
        shortened(split)
    )]
    SplitName {
        /// The split.
        split: String,
    },
    /// A split whose folder is not there.
    #[error("no folder '{folder}' that holds texts; there are {}", found.join(", "))]
    NoFolder {
        /// The folder that was asked for.
        folder: String,
        /// Those there are.
        found: Vec<String>,
    },
    /// A label that one split has and another has not, or that was asked for.
    #[error("'{missing}' holds no text{}; choose labels by `labels`, and splits by `splits`", there.as_ref().map(|there| format!(", and '{there}' does")).unwrap_or_default())]
    NoLabel {
        /// The folder that is not there.
        missing: String,
        /// That of another split.
        there: Option<String>,
    },
    /// A text without a label beside those with one.
    #[error("'{}' lies beside folders of labels; choose these by `labels`", shortened(name))]
    Beside {
        /// The text.
        name: String,
    },
    /// A text in a folder of a label's.
    #[error(
        "'{}' lies deeper than SPLIT/LABEL/NAME; choose labels by `labels`, and splits by `splits`",
        shortened(name)
    )]
    Deep {
        /// The text.
        name: String,
    },
    /// A file of white space.
    #[error("it holds no text; leave it out")]
    Empty,
    /// A file of too many bytes.
    #[error("a document of more than {max} bytes; if it is meant to be one, raise `max_document_bytes`")]
    TooLong {
        /// The most bytes that it may have.
        max: u64,
    },
}
