//! The store: what steps gave, under the fingerprint of everything they depend on.
//!
//! ```text
//! format                   version of this layout
//! steps/KEY/               a finished step: its files, and record.json with their hashes
//! partial/KEY/             a step being written; renamed to steps/KEY when it is whole
//! unfinished/KEY/          what a step that takes long goes on from when it was stopped
//! locks/KEY                an OS lock, held by whoever works on KEY; a kill releases it
//! recent/HASH.json         what each step of a pipeline was made of last time, to tell what changed; by its name's hash
//! ```
//!
//! A step is there whole or not at all: its directory is written aside, flushed, and renamed. What is read from the
//! store is held against its hashes; what does not agree is set aside and made again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use txray_host::sha256;
use txray_tables::StepRecord;

/// A result with [`StoreError`].
type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a store cannot be used. Reads well after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Disk {
        /// What was to be done.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Nothing can be written where it is.
    #[error("cannot write into the store {}: {source}; choose another --store", root.display())]
    Unwritable {
        /// The store.
        root: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A newer version made it.
    #[error(
        "the store {} has format {found}, and this txray knows {FORMAT}: use a newer txray, or another --store",
        root.display()
    )]
    Newer {
        /// The store.
        root: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is something else.
    #[error("{} does not tell the format of a store: is it one?", path.display())]
    NotAStore {
        /// The file that should tell.
        path: PathBuf,
    },
    /// A record that does not write: a fault of ours.
    #[error("the record of a step does not write: {source}")]
    Record {
        /// Why.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whether it is a fault of this program, and not of a disk or its user.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Record { .. })
    }

    fn disk(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk { doing, path: path.to_owned(), source }
    }
}

/// Version of the layout.
pub const FORMAT: u32 = 1;

/// The fingerprint of a step: SHA-256, in hexadecimal, of its recipe.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a recipe: everything that a step's files depend on.
    pub fn of(recipe: &Value) -> Self {
        Self(hex(Sha256::digest(canonical(recipe).to_string()).as_slice()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The same value with the keys of its tables in order: two recipes that say the same are the same text.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(table) => {
            let sorted: BTreeMap<&String, Value> = table.iter().map(|(key, value)| (key, canonical(value))).collect();
            Value::Object(sorted.into_iter().map(|(key, value)| (key.clone(), value)).collect())
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a finished step is: `record.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Version of the layout.
    pub format: u32,
    /// What the step was made of.
    pub recipe: Value,
    /// What it took.
    pub step: StepRecord,
    /// Its files, by path within the step.
    pub files: BTreeMap<String, FileRecord>,
}

/// A file of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its size.
    pub bytes: u64,
    /// Its hash, in hexadecimal.
    pub sha256: String,
}

/// A finished step in the store.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Where its files are.
    pub directory: PathBuf,
    /// What it is.
    pub record: Record,
}

/// A place that steps are kept in.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// The right to make a step, held until it is dropped, by any end of the process.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
    key: Key,
    /// Where the step's files are to be written.
    pub directory: PathBuf,
}

impl Store {
    /// Opens a store, or begins one.
    pub fn open(root: &Path) -> Result<Self> {
        let cannot = |error: io::Error| StoreError::disk("use the store", root, error);
        for part in ["steps", "partial", "unfinished", "locks", "recent"] {
            fs::create_dir_all(root.join(part)).map_err(cannot)?;
        }
        let path = root.join("format");
        let told = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse::<u32>().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let aside = root.join(format!("partial/format.{}", std::process::id()));
                fs::write(&aside, format!("{FORMAT}\n")).and_then(|()| fs::rename(&aside, &path)).map_err(cannot)?;
                Some(FORMAT)
            }
            Err(error) => return Err(cannot(error)),
        };
        match told {
            Some(FORMAT) => Ok(Self { root: root.to_owned() }),
            Some(found) if found > FORMAT => Err(StoreError::Newer { root: root.to_owned(), found }),
            _ => Err(StoreError::NotAStore { path }),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A finished step, if it is there. Its record is read; its files are held against it by [`Entry::damaged`].
    pub fn get(&self, key: &Key) -> Result<Option<Entry>> {
        let directory = self.root.join("steps").join(&key.0);
        match fs::read(directory.join(RECORD)) {
            Ok(json) => {
                Ok(serde_json::from_slice(&json).ok().map(|record| Entry { key: key.clone(), directory, record }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::disk("read", &directory, error)),
        }
    }

    /// An OS lock, held until the file is dropped. Waits for whoever has it; `waiting` is called once if so.
    pub fn lock(&self, key: &Key, waiting: impl FnOnce()) -> Result<File> {
        let path = self.root.join("locks").join(&key.0);
        let unwritable = |source| StoreError::Unwritable { root: self.root.clone(), source };
        let lock = File::create(&path).map_err(unwritable)?;
        if lock.try_lock().is_err() {
            waiting();
            lock.lock().map_err(|error| StoreError::disk("lock", &path, error))?;
        }
        Ok(lock)
    }

    /// The right to make a step. Waits for whoever has it; `waiting` is called once if so. What an earlier try left is
    /// cleared away.
    pub fn claim(&self, key: &Key, waiting: impl FnOnce()) -> Result<Claim> {
        let lock = self.lock(key, waiting)?;
        let directory = self.root.join("partial").join(&key.0);
        let clear = || {
            if directory.exists() {
                fs::remove_dir_all(&directory)?;
            }
            fs::create_dir_all(&directory)
        };
        clear().map_err(|error| StoreError::disk("write", &directory, error))?;
        Ok(Claim { _lock: lock, key: key.clone(), directory })
    }

    /// Puts what was written under a claim into the store.
    pub fn commit(&self, claim: Claim, recipe: Value, step: StepRecord) -> Result<Entry> {
        let target = self.root.join("steps").join(&claim.key.0);
        let failed = |error: io::Error| StoreError::disk("write", &target, error);
        let mut files = BTreeMap::new();
        for path in files_below(&claim.directory).map_err(failed)? {
            let (bytes, sha256) = sha256(&claim.directory.join(&path)).map_err(failed)?;
            File::open(claim.directory.join(&path)).and_then(|file| file.sync_all()).map_err(failed)?;
            files.insert(path, FileRecord { bytes, sha256 });
        }
        let record = Record { format: FORMAT, recipe, step, files };
        let json = serde_json::to_vec_pretty(&record).map_err(|source| StoreError::Record { source })?;
        let finish = || {
            let path = claim.directory.join(RECORD);
            fs::write(&path, json)?;
            File::open(&path)?.sync_all()?;
            File::open(&claim.directory)?.sync_all()?;
            if target.exists() {
                fs::remove_dir_all(&target)?;
            }
            fs::rename(&claim.directory, &target)?;
            File::open(self.root.join("steps"))?.sync_all()
        };
        finish().map_err(failed)?;
        Ok(Entry { key: claim.key.clone(), directory: target, record })
    }

    /// Every finished step whose record reads, by key.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let found = self.keys()?.into_iter().map(|key| self.get(&key));
        found.filter_map(Result::transpose).collect()
    }

    /// The directories of steps whose record does not read.
    pub fn unreadable(&self) -> Result<Vec<PathBuf>> {
        let mut unreadable = Vec::new();
        for key in self.keys()? {
            if self.get(&key)?.is_none() {
                unreadable.push(self.root.join("steps").join(&key.0));
            }
        }
        Ok(unreadable)
    }

    fn keys(&self) -> Result<Vec<Key>> {
        let steps = self.root.join("steps");
        let names = fs::read_dir(&steps).and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<Vec<_>>>()
        });
        let mut keys: Vec<Key> =
            names.map_err(|error| StoreError::disk("read", &steps, error))?.into_iter().map(Key).collect();
        keys.sort();
        Ok(keys)
    }

    /// The finished steps whose records `serves` takes, by key.
    pub fn find(&self, serves: impl Fn(&Record) -> bool) -> Result<Vec<Entry>> {
        Ok(self.entries()?.into_iter().filter(|entry| serves(&entry.record)).collect())
    }

    /// Where a step keeps what it goes on from when it was stopped.
    pub fn unfinished(&self, key: &Key) -> PathBuf {
        self.root.join("unfinished").join(&key.0)
    }

    /// Forgets what a step that is finished was to go on from.
    pub fn forget_unfinished(&self, key: &Key) {
        // What stays is of no harm, and `gc` removes it.
        let _ = fs::remove_dir_all(self.unfinished(key));
    }

    /// Notes what each step of a pipeline was made of, to tell what changed the next time.
    pub fn remember<'r>(&self, pipeline: &str, recipes: impl Iterator<Item = (String, &'r Value)>) {
        let recipes: BTreeMap<String, &Value> = recipes.collect();
        let write = || {
            let aside = self.root.join(format!("partial/recent.{}", std::process::id()));
            fs::write(&aside, serde_json::to_vec(&recipes)?)?;
            fs::rename(&aside, self.recent_path(pipeline))
        };
        // A store that cannot be written still serves; only `plan` has less to tell.
        let _: io::Result<()> = write();
    }

    /// What each step of a pipeline was made of the last time, by name.
    pub fn recent(&self, pipeline: &str) -> BTreeMap<String, Value> {
        let json = fs::read(self.recent_path(pipeline)).unwrap_or_default();
        serde_json::from_slice(&json).unwrap_or_default()
    }

    fn recent_path(&self, pipeline: &str) -> PathBuf {
        let Key(hash) = Key::of(&json!({ "pipeline": pipeline }));
        self.root.join("recent").join(format!("{hash}.json"))
    }

    /// Removes what is of no use: remains of killed runs, what finished steps were to go on from, and the steps that no run has
    /// used for `unused`. What another run is at stays. Gives the steps and the bytes removed.
    pub fn collect(&self, unused: Duration) -> Result<Collected> {
        let mut collected = Collected::default();
        for entry in self.entries()? {
            // A time to come (the clock was set back) counts as now.
            let used = fs::metadata(entry.directory.join(USED)).and_then(|file| file.modified());
            let age = used.ok().and_then(|used| used.elapsed().ok()).unwrap_or_default();
            if age >= unused && self.is_free(&entry.key) {
                collected.steps += 1;
                collected.bytes += entry.bytes();
                fs::remove_dir_all(&entry.directory)
                    .map_err(|error| StoreError::disk("remove", &entry.directory, error))?;
            }
        }
        // `training` is where earlier versions kept what is unfinished.
        for (part, is_kept) in [("partial", false), ("unfinished", true), ("training", false)] {
            let part = self.root.join(part);
            if !part.exists() {
                continue;
            }
            let failed = |error: io::Error| StoreError::disk("clear", &part, error);
            for entry in fs::read_dir(&part).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let key = Key(entry.file_name().to_string_lossy().into_owned());
                let is_needed = is_kept && self.get(&key)?.is_none();
                if entry.path().is_dir() && !is_needed && self.is_free(&key) {
                    collected.bytes += size_of_directory(&entry.path()).map_err(failed)?;
                    fs::remove_dir_all(entry.path()).map_err(failed)?;
                }
            }
        }
        Ok(collected)
    }

    /// Whether nobody is at a step.
    fn is_free(&self, key: &Key) -> bool {
        File::open(self.root.join("locks").join(&key.0)).map_or(true, |lock| lock.try_lock().is_ok())
    }
}

/// What [`Store::collect`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Finished steps.
    pub steps: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// The file in a step whose time tells when it was last used.
pub(crate) const USED: &str = "used";

/// The file in a step that tells what it is.
pub(crate) const RECORD: &str = "record.json";

impl Entry {
    /// Notes that a run uses it.
    pub fn touch(&self) {
        // A store that cannot be written still serves; the step only looks older than it is.
        let _ = fs::write(self.directory.join(USED), "");
    }

    /// Holds every file against its hash; gives those that do not agree, or are not there.
    pub fn damaged(&self) -> Vec<String> {
        let is_damaged = |(path, told): &(&String, &FileRecord)| {
            let found = sha256(&self.directory.join(path));
            !found.is_ok_and(|(bytes, sha256)| bytes == told.bytes && sha256 == told.sha256)
        };
        self.record.files.iter().filter(is_damaged).map(|(path, _)| path.clone()).collect()
    }

    /// Its size on disk.
    pub fn bytes(&self) -> u64 {
        self.record.files.values().map(|file| file.bytes).sum()
    }
}

fn size_of_directory(directory: &Path) -> io::Result<u64> {
    files_below(directory)?.iter().map(|path| fs::metadata(directory.join(path)).map(|file| file.len())).sum()
}

/// Paths of all files below a directory, relative to it, with `/` between names.
fn files_below(directory: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(below) = waiting.pop() {
        for entry in fs::read_dir(directory.join(&below))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.file_type()?.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies a file, or a directory with all that is in it but the store's own word on a step, which is of no use outside it.
pub(crate) fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if ![RECORD, USED].iter().any(|own| entry.file_name() == **own) {
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
