//! Why a table or a manifest cannot be read or written.

use std::io;
use std::path::{Path, PathBuf};

/// A result with this crate's [`TableError`].
pub type TableResult<T> = std::result::Result<T, TableError>;

/// Why a table or a manifest cannot be read or written. Reads well after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The disk refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was to be done with it.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is there, and is not what txray writes.
    #[error("{} is damaged, or no file that txray wrote: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A table of another program's that cannot be read.
    #[error("{} is no Parquet table that can be read: {what}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It was written by another version.
    #[error("{} has format {found}, and this txray knows {known}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// What was to be written cannot be: columns that do not fit together, a path that is no text.
    #[error("cannot make {}: {what}", path.display())]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

impl TableError {
    /// The disk refused to do something with a file.
    pub fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// Whether it is a fault of this program, and not of a disk or a file.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Unwritten { .. })
    }

    /// What cannot be written.
    pub fn unwritten(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::Unwritten { path: path.to_owned(), what: what.to_string() }
    }

    /// A file that is not what txray writes.
    pub fn malformed(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::Malformed { path: path.to_owned(), what: what.to_string() }
    }
}
