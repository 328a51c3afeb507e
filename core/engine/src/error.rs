//! Why a pipeline was not run. Each kind of error keeps its type to the end: what is shown and what the process exits with
//! follow from it.

use std::fmt;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};

use txray_config::Diagnostics;
use txray_method::MethodError;
use txray_plugin::Fault;
use txray_tables::TableError;
use txray_text::{CorpusError, LabelsError, TokenizerError};

use crate::files::CHANGED;
use crate::out::OutError;
use crate::store::StoreError;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a pipeline was not run to its end. Each reads well after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pipeline's file is at fault, at the places named.
    #[error("{0}")]
    Config(Diagnostics),
    /// A step failed.
    #[error("[{table}]: {source}")]
    Step {
        /// The table of the pipeline that it comes from.
        table: String,
        /// Why.
        source: Box<Error>,
    },
    /// Steps failed, and what needs none of them was made all the same.
    #[error(transparent)]
    Steps(Failed),
    /// A text cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A tokenizer cannot be had, or a text not encoded.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A text or a model has no labels that could be told apart.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// A tokenizer that is not that of the model beside it.
    #[error(
        "{}: the vocabulary has {found} entries, but the model beside it was made for {expected}; it needs the tokenizer it \
         was trained with",
        path.display()
    )]
    Vocabulary {
        /// The tokenizer's file.
        path: PathBuf,
        /// Its entries.
        found: usize,
        /// Those of the model.
        expected: usize,
    },
    /// A text that a model can say nothing of.
    #[error(
        "the model's vocabulary knows no word of `{text}`: it was trained on another language, or with another tokenizer"
    )]
    UnknownText {
        /// The text, as pipelines name it.
        text: String,
    },
    /// A text whose labels are asked for, and that has none.
    #[error("no document of `{text}` has a label: leave `label` out of `layers`, or say where its labels are")]
    NoLabels {
        /// The text, as pipelines name it.
        text: String,
    },
    /// A model whose head does not say what is asked of it.
    #[error("`{model}` {why}")]
    Head {
        /// The model.
        model: String,
        /// What it tells, and what to do.
        why: String,
    },
    /// A text without anything that a model could be held to.
    #[error("nothing in `{text}` has a `{layer}` that the model knows, which it could be held to")]
    Unlabelled {
        /// The text, as pipelines name it.
        text: String,
        /// The layer of labels.
        layer: String,
    },
    /// A source that answers otherwise than when it was checked.
    #[error("the source brings the layers {found:?}, and it told of {expected:?} when it was checked")]
    Described {
        /// What it says now.
        found: Vec<String>,
        /// What it said.
        expected: Vec<String>,
    },
    /// What the method was given is not sound.
    #[error(transparent)]
    Method(MethodError),
    /// A pruner failed.
    #[error("pruner `{kind}`: {source}")]
    Pruner {
        /// Which one.
        kind: String,
        /// Why.
        source: MethodError,
    },
    /// A plugin failed, or refused what it was given.
    #[error(transparent)]
    Plugin(txray_plugin::Error),
    /// A table or a manifest cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The out directory cannot be written.
    #[error(transparent)]
    Out(#[from] OutError),
    /// The disk refused to do something with another file.
    #[error("cannot {doing} {}: {source}", path.display())]
    Disk {
        /// What was to be done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that the run reads is not what it was when the run was planned.
    #[error("cannot read {}: {CHANGED}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint that a training did not come to.
    #[error("there is no checkpoint of epoch {epoch}: training stopped after {last}; name an earlier one")]
    NoCheckpoint {
        /// The epoch asked for.
        epoch: u64,
        /// The last that was run.
        last: u64,
    },
    /// A checkpoint of a training that goes on was damaged meanwhile.
    #[error("{} is damaged: run again, and the training begins anew", path.display())]
    Damaged {
        /// Its folder.
        path: PathBuf,
    },
    /// A figure that a step left does not read, or one that it made does not write.
    #[error("the figures of {step} do not fit this txray: {source}")]
    Figures {
        /// The step.
        step: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A component that the check made is not there any more.
    #[error("the {kind} of the check is gone")]
    Gone {
        /// The component.
        kind: String,
    },
    /// A step that is needed was not made before.
    #[error("{step} is needed before it is made")]
    Order {
        /// Which one.
        step: String,
    },
    /// Directories that are not the parts of one run.
    #[error("cannot merge: {what}")]
    Parts {
        /// What is wrong with them.
        what: String,
    },
    /// A stage that is not read in parts.
    #[error("it is not read in shards: {why}")]
    Whole {
        /// Why.
        why: &'static str,
    },
    /// The user asked to stop.
    #[error("stopped")]
    Cancelled,
}

/// The steps that failed in a run, and what became of the others.
#[derive(Debug)]
pub struct Failed {
    /// Why, in the order of the run; at least one.
    pub errors: Vec<Error>,
    /// Steps that were not made because of it, by their names in all.
    pub unmade: Vec<String>,
    /// How many are there.
    pub done: usize,
    /// The store that these are kept in.
    pub store: PathBuf,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: Vec<String> = self.errors.iter().map(Error::to_string).collect();
        f.write_str(&errors.join("; "))
    }
}

impl std::error::Error for Failed {}

impl Error {
    /// What the process should exit with: 2 for what the user can mend (the pipeline, files, a full disk), 1 for a fault of
    /// ours or of a plugin's.
    pub fn exit_code(&self) -> u8 {
        let of = |fault| if fault == Fault::Invalid { 2 } else { 1 };
        let whose = |is_ours| if is_ours { 1 } else { 2 };
        match self {
            Self::Config(_) | Self::Corpus(_) | Self::Tokenizer(_) | Self::Labels(_) => 2,
            Self::Vocabulary { .. }
            | Self::UnknownText { .. }
            | Self::NoLabels { .. }
            | Self::Parts { .. }
            | Self::Whole { .. } => 2,
            Self::Head { .. }
            | Self::Unlabelled { .. }
            | Self::Disk { .. }
            | Self::Changed { .. }
            | Self::Damaged { .. }
            | Self::NoCheckpoint { .. } => 2,
            Self::Step { source, .. } => source.exit_code(),
            Self::Steps(failed) => failed.errors.iter().map(Self::exit_code).min().unwrap_or(1),
            Self::Method(error) | Self::Pruner { source: error, .. } => of(error.fault()),
            Self::Plugin(error) => of(error.fault()),
            Self::Table(error) => whose(error.is_ours()),
            Self::Store(error) => whose(error.is_ours()),
            Self::Out(error) => whose(error.is_ours()),
            Self::Described { .. } => 1,
            Self::Figures { .. } | Self::Gone { .. } | Self::Order { .. } => 1,
            Self::Cancelled => 130,
        }
    }

    /// Whether no other step can do better: the store is at fault, or the disk takes no more.
    pub(crate) fn is_everybodys(&self) -> bool {
        match self {
            Self::Store(_) => true,
            Self::Step { source, .. } => source.is_everybodys(),
            other => other.is_full() || other.is_of_the_system(&[io::ErrorKind::ReadOnlyFilesystem]),
        }
    }

    /// Whether a disk is full.
    pub fn is_full(&self) -> bool {
        let is_told = self.is_of_the_system(&[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded]);
        match self {
            Self::Step { source, .. } => source.is_full(),
            Self::Steps(failed) => failed.errors.iter().any(Self::is_full),
            // What a plugin says has come as text.
            Self::Plugin(_) | Self::Method(_) | Self::Pruner { .. } => is_told || is_full(&self.to_string()),
            _ => is_told,
        }
    }

    /// Whether an error of the system of one of these kinds is behind it.
    fn is_of_the_system(&self, kinds: &[io::ErrorKind]) -> bool {
        let sources = iter::successors(std::error::Error::source(self), |error| error.source());
        sources.filter_map(|error| error.downcast_ref::<io::Error>()).any(|error| kinds.contains(&error.kind()))
    }

    /// The same error, with the table of the pipeline that it comes from.
    #[must_use]
    pub fn of_table(self, table: String) -> Self {
        match self {
            Self::Cancelled => self,
            other => Self::Step { table, source: Box::new(other) },
        }
    }

    /// The disk refused to do something with a file.
    pub fn disk(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk { doing, path: path.to_owned(), source }
    }
}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Config(diagnostics)
    }
}

/// What was cancelled is told as such, whoever was at it.
impl From<txray_plugin::Error> for Error {
    fn from(error: txray_plugin::Error) -> Self {
        match error.fault() {
            Fault::Cancelled => Self::Cancelled,
            _ => Self::Plugin(error),
        }
    }
}

impl From<MethodError> for Error {
    fn from(error: MethodError) -> Self {
        match error.fault() {
            Fault::Cancelled => Self::Cancelled,
            _ => Self::Method(error),
        }
    }
}

/// Whether a message holds what the system says of a full disk.
fn is_full(message: &str) -> bool {
    /// ENOSPC, on every Unix.
    const NO_SPACE: i32 = 28;
    cfg!(unix) && message.contains(&io::Error::from_raw_os_error(NO_SPACE).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_follow_from_the_type() {
        let plugin = |fault| Error::from(txray_plugin::Error::new(fault, "", "why"));
        assert_eq!(plugin(Fault::Invalid).exit_code(), 2);
        assert_eq!(plugin(Fault::Failed).of_table("model.lm".to_owned()).exit_code(), 1);
        assert_eq!(plugin(Fault::Cancelled).of_table("model.lm".to_owned()).exit_code(), 130);
        let cancelled = MethodError::Source(txray_plugin::Error::cancelled());
        assert!(matches!(Error::from(cancelled), Error::Cancelled));
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Error::disk("write", Path::new("a"), full()).exit_code(), 2);
        assert_eq!(Error::from(TableError::io("write", Path::new("a"), full())).exit_code(), 2);
        let unwritten = TableError::unwritten(Path::new("a"), "why");
        assert_eq!(Error::Method(unwritten.into()).exit_code(), 1);
        let order = || Error::Order { step: "model.lm".to_owned() };
        assert_eq!(order().exit_code(), 1);
        // Of several, one of ours is not hidden by what the user can mend.
        let mendable = Error::disk("write", Path::new("a"), full());
        let errors = vec![mendable, order()];
        let failed = Failed { errors, unmade: Vec::new(), done: 0, store: PathBuf::new() };
        assert_eq!(Error::Steps(failed).exit_code(), 1);
    }

    #[test]
    fn a_disk_that_takes_no_more_is_everybodys_and_a_file_that_does_not_read_is_not() {
        let disk = |kind: io::ErrorKind| Error::disk("write", Path::new("a"), kind.into());
        let table = |kind: io::ErrorKind| TableError::io("write", Path::new("a"), kind.into());
        for full in [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem] {
            assert!(disk(full).of_table("stage.late".to_owned()).is_everybodys());
            assert!(Error::from(table(full)).is_everybodys() && Error::Method(table(full).into()).is_everybodys());
        }
        let full = || io::Error::from_raw_os_error(28);
        let told = [
            Error::from(txray_plugin::Error::failed(format!("cannot save: {}", full()))),
            Error::from(TokenizerError::Write { path: "a".into(), source: full() }),
            Error::from(OutError::Disk { path: "a".into(), source: full() }),
        ];
        for error in told {
            assert!(error.is_full() && error.of_table("stage.late".to_owned()).is_everybodys());
        }
        assert!(!disk(io::ErrorKind::NotFound).is_everybodys());
        assert!(!Error::from(txray_plugin::Error::invalid("why")).of_table("stage.late".to_owned()).is_everybodys());
    }

    #[test]
    fn a_step_names_its_table() {
        let error = Error::UnknownText { text: "news.train".to_owned() }.of_table("stage.late".to_owned());
        assert!(error.to_string().starts_with("[stage.late]: the model's vocabulary knows no word of `news.train`"));
    }
}
