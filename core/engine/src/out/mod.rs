//! The out directory: what steps publish goes there, under names that are names, and all at once.
//!
//! It belongs to its user. Only what the manifest of an earlier run lists there, with the hash that it had, is replaced or
//! removed; whatever else is in the way is told before the first step (of a report: when it was made), and an input of the
//! run is never touched (`survey.rs`). A run's files are gathered aside, in `.txray` of the same directory, and then put in
//! place, those of the run before being set aside first: what fails or is killed on the way is undone (`replace.rs`).

mod replace;
mod survey;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use txray_plugin::Host;
use txray_tables::TableError;

use crate::lock::{Lock, Mode};
use crate::step_name::StepName;
use crate::store::{Store, StoreError};

/// The file that tells what a run left.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The folder in an out directory that is there while a run works in it. What is in it is txray's.
const OWN: &str = ".txray";

/// The file in it that is locked, and tells whose it is.
const LOCK: &str = "lock";

/// What that file says.
const SIGN: &str = "txray works in the folder around this one, or was killed there. The next run goes on from here.\n";

/// Folders in it: the new files, those of the run before, and the store of a run that is repeated.
const NEW: &str = "new";
const OLD: &str = "old";
const REPEAT: &str = "repeat";

/// Why the out directory cannot be used. Reads well after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutError {
    /// It cannot be made, or nothing written into it.
    #[error("cannot write into {}: {source}; choose another --out", path.display())]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is something of somebody else's where the run's files would go.
    #[error(
        "in {}, where the run's files would go, there is what no run of txray left there as it is now: {}; nothing was \
         touched: choose another --out, or move it away",
        path.display(),
        list(found)
    )]
    InTheWay {
        /// The directory.
        path: PathBuf,
        /// Paths in it.
        found: Vec<String>,
    },
    /// It is a store, or lies in one: what is kept there is removed when nobody uses it.
    #[error("{} lies in the store {}, from which files are removed: choose another --out", path.display(), store.display())]
    InStore {
        /// The directory.
        path: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// Something in it cannot be looked at.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// An input of the run is what an earlier run left in the out directory.
    #[error(
        "{} is read by this run, and lies where its files would go, among those of an earlier run: nothing was touched: \
         choose another --out",
        path.display()
    )]
    Input {
        /// The file in the out directory.
        path: PathBuf,
    },
    /// A file that a report was made from is not what it was.
    #[error("{path} was changed or removed by [{table}], which may only add files")]
    Meddled {
        /// The file.
        path: String,
        /// The table of the report.
        table: String,
    },
    /// A report left something that is neither a file nor a folder.
    #[error(
        "{path}, which [{table}] left, is no file of a report: no link, pipe or device goes into the out directory, and \
         nothing into {OWN}"
    )]
    NotAFile {
        /// What it is.
        path: String,
        /// The table of the report.
        table: String,
    },
    /// A run was killed while it put its files in place, and what it noted does not read.
    #[error(
        "{} is damaged: it told which files of an earlier run were set aside below {}; move them back, and remove the \
         folder {OWN}",
        journal.display(),
        old.display()
    )]
    Journal {
        /// The file.
        journal: PathBuf,
        /// Where the files are.
        old: PathBuf,
    },
    /// The manifest cannot be written as JSON.
    #[error(transparent)]
    Manifest(#[from] TableError),
    /// The store of a run that is repeated cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk refused to write one of its files.
    #[error("cannot write {}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl OutError {
    /// Whether it is a fault of this program or of a plugin, and not of a disk or its user.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Meddled { .. } | Self::NotAFile { .. } => true,
            Self::Manifest(error) => error.is_ours(),
            Self::Store(error) => error.is_ours(),
            _ => false,
        }
    }
}

/// A place in the out directory. It is made of a folder that the engine knows and of a [`StepName`], and of nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutPath {
    path: String,
    is_folder: bool,
}

impl OutPath {
    /// `stages/early`: a folder, and nothing in it is anybody else's.
    pub fn folder(folder: &'static str, name: impl Into<StepName>) -> Self {
        Self { path: format!("{folder}/{}", name.into()), is_folder: true }
    }

    /// `comparisons/learning.parquet`.
    pub fn file(folder: &'static str, name: impl Into<StepName>, extension: &'static str) -> Self {
        Self { path: format!("{folder}/{}.{extension}", name.into()), is_folder: false }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.path
    }
}

/// What of a step's files is put into the out directory, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// A file or folder of the step; empty: all of it.
    pub from: String,
    /// Where it goes.
    pub to: OutPath,
}

/// The out directory, held against other runs.
#[derive(Debug)]
pub struct OutDirectory {
    path: PathBuf,
    own: PathBuf,
    lock: Option<Lock>,
    /// Whether it was made just now.
    is_new: bool,
    /// Whether the run is in place, so that nothing of it is needed any more.
    is_done: bool,
}

impl OutDirectory {
    /// Opens it, or makes it, and puts right what a run left that was killed in it. Waits for another run into it;
    /// `waiting` is called once if so.
    pub fn open(path: &Path, host: &Host<'_>, waiting: impl FnOnce()) -> Result<Self, OutError> {
        let unwritable = |source| OutError::Unwritable { path: path.to_owned(), source };
        if let Some(store) = store_around(path).map_err(unwritable)? {
            return Err(OutError::InStore { path: path.to_owned(), store });
        }
        let is_new = !path.exists();
        fs::create_dir_all(path).map_err(unwritable)?;
        let own = path.join(OWN);
        let mut waiting = Some(waiting);
        let mut waiting = || waiting.take().into_iter().for_each(|waiting| waiting());
        // Whether it can be written is found now, and not after the last step.
        let lock = loop {
            if !is_own(&own) {
                return Err(OutError::InTheWay { path: path.to_owned(), found: vec![OWN.to_owned()] });
            }
            match fs::create_dir(&own) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unwritable(error)),
                _ => {}
            }
            match Lock::take(&own.join(LOCK), Mode::Alone, host, &mut waiting) {
                // The run before it was just clearing up.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                lock => break lock.map_err(unwritable)?,
            }
        };
        let opened = Self { path: path.to_owned(), own, lock: Some(lock), is_new, is_done: false };
        fs::write(opened.own.join(LOCK), SIGN).map_err(unwritable)?;
        opened.recover()?;
        Ok(opened)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A store for repeating a run, in which nothing is that a repeat into this directory did not make. It goes when the run
    /// is in place.
    pub fn store(&self) -> Result<Store, OutError> {
        Ok(Store::create(&self.own.join(REPEAT))?)
    }
}

impl Drop for OutDirectory {
    fn drop(&mut self) {
        // What stays is of no harm: the next run clears it, or goes on from it.
        if !self.journal().exists() {
            let gone: &[&str] = if self.is_done { &[NEW, OLD, REPEAT] } else { &[NEW, OLD] };
            for part in gone {
                let _ = fs::remove_dir_all(self.own.join(part));
            }
        }
        // The folder goes with the last thing in it, which is the lock.
        if fs::read_dir(&self.own).is_ok_and(|entries| entries.count() == 1) {
            self.lock.take().into_iter().for_each(Lock::remove);
            let _ = fs::remove_dir(&self.own);
        }
        if self.is_new {
            // Which does nothing where there is anything in it.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Paths that an error names; more are counted.
const NAMED: usize = 8;

fn list(found: &[String]) -> String {
    let named = found.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match found.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The store that a directory, which need not be there yet, is or lies in.
fn store_around(path: &Path) -> io::Result<Option<PathBuf>> {
    let path = std::path::absolute(path)?;
    // Links are followed as far as there are any.
    let there = path.ancestors().find_map(|above| above.canonicalize().ok()).unwrap_or_default();
    let mut all = path.ancestors().chain(there.ancestors());
    Ok(all.find(|above| Store::open(above).is_ok()).map(Path::to_owned))
}

/// Whether a folder of this name is txray's, or not there.
fn is_own(own: &Path) -> bool {
    match fs::symlink_metadata(own) {
        Err(_) => true,
        Ok(found) if !found.is_dir() => false,
        Ok(_) => {
            let sign = own.join(LOCK);
            // A run that was killed at once left it empty.
            let is_signed = fs::symlink_metadata(&sign).is_ok_and(|file| file.is_file())
                && fs::read_to_string(&sign).is_ok_and(|text| text.is_empty() || text == SIGN);
            is_signed || fs::read_dir(own).is_ok_and(|mut entries| entries.next().is_none())
        }
    }
}

/// A path that holds wherever a manifest is read. What cannot be resolved stays as it was given.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
