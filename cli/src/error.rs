//! What can go wrong in the program itself, around the engine's errors.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use txray_engine::error::Error as EngineError;
use txray_engine::store::StoreError;
use txray_host::PluginError;
use txray_tables::TableError;

/// Why a command did not do what it was asked to. Each reads well after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine's.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A plugin was not taken in.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A plugin that is linked in was not taken in: a fault of ours.
    #[error("a built-in plugin: {0}")]
    BuiltIn(PluginError),
    /// The user asked a run to stop.
    #[error("stopped")]
    Stopped {
        /// By which signal.
        signal: u8,
    },
    /// A pipeline of which nothing would be made.
    #[error(
        "{} has no step: nothing would be read; add a `[stage.NAME]`, with the `model` and the `corpus` that it reads",
        .0.display()
    )]
    NoStep(PathBuf),
    /// What a command came to could not be printed.
    #[error("cannot write to standard output: {0}")]
    Unprinted(&'static io::Error),
    /// A run is to be repeated as what it was not.
    #[error("{} is of {found}: it is repeated as what it was, without `--shard`", manifest.display())]
    OtherShard {
        /// The manifest of the run that was to be repeated.
        manifest: PathBuf,
        /// What it is of.
        found: String,
    },
    /// A run that was repeated came to other bytes.
    #[error("{count} files differ from those of {}", manifest.display())]
    Differs {
        /// How many.
        count: usize,
        /// The manifest of the run that was repeated.
        manifest: PathBuf,
    },
    /// Files of the store are not what they were.
    #[error("the store is damaged: the next run that needs these steps makes them again")]
    Damaged,
    /// Where the store is by default is not known.
    #[error(
        "there is no cache directory for this user to keep finished steps in: name a folder with `--store DIR`, or in TXRAY_STORE"
    )]
    NoCache,
    /// A directory of plugins that depends on where the program is called.
    #[error(
        "TXRAY_PLUGIN_PATH has `{}`, which depends on the working directory: only absolute directories are searched",
        .0.display()
    )]
    RelativePluginPath(PathBuf),
    /// A name that a new project cannot have.
    #[error("`{0}` is no name for a project: use small letters, digits and `-`, 64 at most, such as `my-metric`")]
    PluginName(String),
    /// A name that is something else's.
    #[error(
        "a project cannot be called `{0}`: Rust, cargo, the project itself or what is built in has that word; choose another, such as `my-{0}`"
    )]
    NameTaken(String),
    /// What a new project is to be written to is there.
    #[error("{} is there already: choose another name", .0.display())]
    Exists(PathBuf),
    /// The sources that go with a new project are not what they should be: a fault of ours.
    #[error("the sources of the SDK: {0}")]
    Sdk(String),
    /// A library does not keep its word.
    #[error("properties that do not hold: {0}")]
    Properties(usize),
    /// A library was refused in the process that looked into it.
    #[error("{0}")]
    Refused(String),
    /// A library took too long.
    #[error("{} {doing}, and did not come back within {} s", library.display(), patience.as_secs())]
    Slow {
        /// The library.
        library: PathBuf,
        /// What was being done with it.
        doing: String,
        /// How long it had.
        patience: Duration,
    },
    /// A library ended the process that looked into it.
    #[error("{} {doing}, and took its process down ({status})", library.display())]
    Crashed {
        /// The library.
        library: PathBuf,
        /// What was being done with it.
        doing: String,
        /// How the process ended.
        status: ExitStatus,
    },
    /// The process that looks into a library answered nonsense: a fault of ours.
    #[error("the process of {} answered out of order", .0.display())]
    Garbled(PathBuf),
    /// A line between the two processes does not read or write: a fault of ours.
    #[error("a line of the process that looks into a library: {0}")]
    Line(#[from] serde_json::Error),
    /// The disk refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Disk {
        /// What was to be done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The system gives a process only so many threads, or so much memory for their stacks.
    #[error("cannot start {threads} threads: {source}; ask for fewer with --threads")]
    Threads {
        /// How many.
        threads: usize,
        /// The system's reason.
        source: rayon::ThreadPoolBuildError,
    },
    /// The system refused something that every program may do.
    #[error("cannot {doing}: {source}")]
    System {
        /// What.
        doing: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// What the process should exit with: 2 for what the user can mend, 1 for a fault of ours; and what shells give to a
    /// process that a signal ended.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Engine(error) => error.exit_code(),
            Self::BuiltIn(_) | Self::Sdk(_) | Self::Garbled(_) | Self::Line(_) | Self::System { .. } => 1,
            Self::Plugin(_) | Self::Differs { .. } | Self::Damaged | Self::NoCache => 2,
            Self::RelativePluginPath(_) | Self::PluginName(_) | Self::NameTaken(_) | Self::Exists(_) => 2,
            Self::Properties(_) | Self::Refused(_) | Self::Slow { .. } | Self::Crashed { .. } => 2,
            Self::Disk { .. } | Self::Threads { .. } | Self::Unprinted(_) | Self::NoStep(_) => 2,
            Self::OtherShard { .. } => 2,
            Self::Stopped { signal } => 128 + signal,
        }
    }

    /// The disk refused to do something with a file.
    pub fn disk(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk { doing, path: path.to_owned(), source }
    }

    /// The system refused something that every program may do.
    pub fn system(doing: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::System { doing, source: Box::new(source) }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<TableError> for Error {
    fn from(error: TableError) -> Self {
        Self::Engine(error.into())
    }
}
