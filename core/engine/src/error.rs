//! Errors of the engine: what failed, and whether the user can mend it.

use txray_config::Diagnostics;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline's file is at fault, at the places named.
    #[error("{0}")]
    Config(Diagnostics),
    /// Something else that the user can mend: a file, a disk, a plugin's options.
    #[error("{0}")]
    User(String),
    /// A fault of ours, or of a plugin.
    #[error("{0}")]
    Internal(String),
    /// The user asked to stop.
    #[error("stopped")]
    Cancelled,
}

impl Error {
    /// What the process should exit with: 2 for what the user can mend, 1 for a fault of ours.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::User(_) => 2,
            Self::Internal(_) => 1,
            Self::Cancelled => 130,
        }
    }

    /// The same error, with what was being done before it.
    #[must_use]
    pub fn context(self, doing: impl std::fmt::Display) -> Self {
        match self {
            Self::User(message) => Self::User(format!("{doing}: {message}")),
            Self::Internal(message) => Self::Internal(format!("{doing}: {message}")),
            other => other,
        }
    }

    /// A file that could not be read or written.
    pub fn io(doing: impl std::fmt::Display, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::User(format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Config(diagnostics)
    }
}

impl From<txray_plugin::Error> for Error {
    fn from(error: txray_plugin::Error) -> Self {
        match error.fault() {
            txray_plugin::Fault::Invalid => Self::User(error.to_string()),
            txray_plugin::Fault::Failed => Self::Internal(error.to_string()),
            txray_plugin::Fault::Cancelled => Self::Cancelled,
        }
    }
}
