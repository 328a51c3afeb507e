//! The store: what steps gave, under the fingerprint of everything they depend on.
//!
//! ```text
//! format                   version of this layout; without it a folder is no store
//! steps/KEY/               a finished step: its files, and record.json with their hashes, sealed
//! partial/KEY/             a step being written; renamed to steps/KEY when it is whole
//! unfinished/KEY/          what a step that takes long goes on from when it was stopped
//! locks/KEY                an OS lock, held by whoever makes KEY or removes it; a kill releases it
//! locks/KEY.used           an OS lock, shared by whoever uses KEY and held alone by whoever removes it
//! recent/HASH.json         what each step of a pipeline was made of last time, to tell what changed; by its name's hash
//! ```
//!
//! A step is there whole or not at all: its directory is written aside, flushed, and renamed. Nothing that is read is
//! trusted: a record has to be the one that was written, its key that of its recipe, and every file has to have its hash;
//! what is not so is made again. What has another name than these is not txray's, and is left alone.

mod collect;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use txray_plugin::Host;
use txray_tables::StepRecord;
use txray_tables::seal::{hex, is_sealed, sealed};

use crate::files::{below, files_below, flush_all, hash, remove_all, sync_directory};
use crate::lock::{Lock, Mode};

pub use crate::files::FileRecord;

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
    #[error("cannot write into the store {}: {source}; name a folder of yours with `--store DIR`, or in TXRAY_STORE", root.display())]
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
    /// There is none.
    #[error("there is no store at {}: `txray run` makes one", root.display())]
    Missing {
        /// Where it was looked for.
        root: PathBuf,
    },
    /// It is something else, and nothing in it is touched.
    #[error("{} is no store, and not empty: choose another --store", root.display())]
    NotAStore {
        /// The folder.
        root: PathBuf,
    },
    /// Not every file that a step made is there any more.
    #[error("{} is gone: something else removes files of the store; run again", path.display())]
    Gone {
        /// What is missing.
        path: PathBuf,
    },
    /// What is to be replaced holds files that txray did not put there.
    #[error("{} is damaged, and holds {file}, which is not txray's: move it away, and run again", path.display())]
    Foreign {
        /// The step's directory.
        path: PathBuf,
        /// The first of them.
        file: String,
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

/// The folders in it.
const PARTS: [&str; 5] = ["steps", "partial", "unfinished", "locks", "recent"];

/// The file that tells it.
const FORMAT_FILE: &str = "format";

/// The fingerprint of a step: SHA-256, in hexadecimal, of its recipe.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a recipe: everything that a step's files depend on.
    pub fn of(recipe: &Value) -> Self {
        Self(hex(&Sha256::digest(canonical(recipe).to_string())))
    }

    /// The key that a name in the store is, if it is one.
    fn parse(name: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (name.len() == 64 && name.bytes().all(is_digit)).then(|| Self(name.to_owned()))
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

impl Record {
    /// The record that a text is, if it is that of this key, as it was written.
    fn read(text: &str, key: &Key) -> Option<Self> {
        let record: Self = is_sealed(text).then(|| serde_json::from_str(text).ok())??;
        let is_inside = |path: &String| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let is_sound = record.format == FORMAT && Key::of(&record.recipe) == *key && record.files.keys().all(is_inside);
        is_sound.then_some(record)
    }
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
    /// While this is held, nobody removes it.
    _used: Option<Arc<Lock>>,
}

/// What there is under a key.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A step that is not what it was when it was made: these of its files.
    Damaged(Vec<String>),
    /// A step, every byte of it as it was.
    Whole(Box<Entry>),
}

/// What [`Store::collect`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Finished steps.
    pub steps: u64,
    /// Those of them that were damaged.
    pub damaged: u64,
    /// Steps that stay because somebody put other files into their folders.
    pub kept: u64,
    /// Trainings that nobody went on with.
    pub trainings: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// A place that steps are kept in.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// The right to make a step, held until it is dropped, by any end of the process.
#[derive(Debug)]
pub struct Claim {
    _lock: Lock,
    used: Lock,
    key: Key,
    /// Where the step's files are to be written.
    pub directory: PathBuf,
}

impl Store {
    /// Opens a store, or begins one where there is nothing yet.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] for a folder with something else in it.
    pub fn create(root: &Path) -> Result<Self> {
        let cannot = |source| StoreError::Unwritable { root: root.to_owned(), source };
        fs::create_dir_all(root).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => cannot(io::Error::new(error.kind(), "it is a file, and a folder is meant")),
            _ => cannot(error),
        })?;
        let format = root.join(FORMAT_FILE);
        // A run that is just beginning it, or was killed there, left an empty file at most, and the parts.
        let told = fs::read_to_string(&format).unwrap_or_default();
        let mut names = Vec::new();
        for entry in fs::read_dir(root).map_err(cannot)? {
            names.push(entry.map_err(cannot)?.file_name());
        }
        let has_format = names.iter().any(|name| name == FORMAT_FILE);
        let is_ours =
            |name: &std::ffi::OsString| name == FORMAT_FILE || has_format && PARTS.iter().any(|part| name == part);
        let is_new = told.trim().is_empty() && names.iter().all(is_ours);
        if is_new {
            // Not cut to nothing first: another that begins it at this moment would find a folder that is no store.
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(false).open(&format).map_err(cannot)?;
            file.write_all(format!("{FORMAT}\n").as_bytes()).map_err(cannot)?;
        }
        let store = match Self::open(root) {
            Err(StoreError::Missing { root }) => return Err(StoreError::NotAStore { root }),
            store => store?,
        };
        for part in PARTS {
            match fs::create_dir_all(root.join(part)) {
                // A store that cannot be written still serves with what it has.
                Err(error) if is_new => return Err(cannot(error)),
                _ => {}
            }
        }
        Ok(store)
    }

    /// Opens a store that is there.
    ///
    /// # Errors
    /// [`StoreError::Missing`] and [`StoreError::NotAStore`] where there is none: nothing is made, and nothing touched.
    pub fn open(root: &Path) -> Result<Self> {
        let path = root.join(FORMAT_FILE);
        let told = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse::<u32>().ok(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            Err(_) if fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some()) && !path.exists() => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { root: root.to_owned() });
            }
            Err(error) => return Err(StoreError::disk("use the store", root, error)),
        };
        match told {
            Some(FORMAT) => Ok(Self { root: root.to_owned() }),
            Some(found) if found > FORMAT => Err(StoreError::Newer { root: root.to_owned(), found }),
            _ => Err(StoreError::NotAStore { root: root.to_owned() }),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a finished step is, or would be.
    pub(crate) fn step(&self, key: &Key) -> PathBuf {
        self.root.join("steps").join(&key.0)
    }

    fn partial(&self, key: &Key) -> PathBuf {
        self.root.join("partial").join(&key.0)
    }

    /// Where a damaged step is while the sound one takes its place.
    fn replaced(&self, key: &Key) -> PathBuf {
        self.root.join("partial").join(format!("{}{REPLACED}", key.0))
    }

    /// A finished step, as its record tells it: its files are not looked at, and another run may remove it.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        let directory = self.step(key);
        let record = Record::read(&fs::read_to_string(directory.join(RECORD)).ok()?, key)?;
        Some(Entry { key: key.clone(), directory, record, _used: None })
    }

    /// A finished step with every file held against its hash. While the entry is kept, nobody removes it.
    pub fn hold(&self, key: &Key, host: &Host<'_>) -> Result<Found> {
        if fs::symlink_metadata(self.step(key)).is_err() {
            return Ok(Found::Nothing);
        }
        match Lock::attempt(&self.used_lock(key), Mode::Shared) {
            Ok(Some(lock)) => self.examine(key, Some(Arc::new(lock)), host),
            // It is being removed.
            Ok(None) => Ok(Found::Nothing),
            // Where nothing can be written, nothing can be removed either.
            Err(error) if is_closed(&error) => self.examine(key, None, host),
            Err(error) => Err(StoreError::disk("lock", &self.used_lock(key), error)),
        }
    }

    fn examine(&self, key: &Key, used: Option<Arc<Lock>>, host: &Host<'_>) -> Result<Found> {
        let directory = self.step(key);
        if fs::symlink_metadata(&directory).is_err() {
            return Ok(Found::Nothing);
        }
        let Some(entry) = self.get(key) else { return Ok(Found::Damaged(vec![RECORD.to_owned()])) };
        let damaged = entry.damaged(host);
        if host.cancelled() {
            return Err(StoreError::disk("read", &directory, crate::files::stopped()));
        }
        Ok(if damaged.is_empty() {
            Found::Whole(Box::new(Entry { _used: used, ..entry }))
        } else {
            Found::Damaged(damaged)
        })
    }

    fn lock(&self, key: &Key) -> PathBuf {
        self.root.join("locks").join(&key.0)
    }

    fn used_lock(&self, key: &Key) -> PathBuf {
        self.root.join("locks").join(format!("{}{USED_LOCK}", key.0))
    }

    /// The right to make a step. Waits for whoever has it; `waiting` is called once if so. What an earlier try left is
    /// cleared away.
    pub fn claim(&self, key: &Key, host: &Host<'_>, waiting: impl FnOnce()) -> Result<Claim> {
        let unwritable = |source| StoreError::Unwritable { root: self.root.clone(), source };
        let lock = Lock::take(&self.lock(key), Mode::Alone, host, waiting).map_err(unwritable)?;
        // Taken before it is there, so that there is no moment in which it is there and can be removed.
        let used = Lock::take(&self.used_lock(key), Mode::Shared, host, || ()).map_err(unwritable)?;
        let directory = self.partial(key);
        let clear = || remove_all(&directory).and_then(|()| fs::create_dir_all(&directory));
        clear().map_err(|error| StoreError::disk("write", &directory, error))?;
        Ok(Claim { _lock: lock, used, key: key.clone(), directory })
    }

    /// Puts what was written under a claim into the store.
    pub fn commit(&self, claim: Claim, recipe: Value, step: StepRecord, host: &Host<'_>) -> Result<Entry> {
        let target = self.step(&claim.key);
        let failed = |error: io::Error| StoreError::disk("write", &target, error);
        let files = flush_all(&claim.directory, host).map_err(failed)?;
        let record = Record { format: FORMAT, recipe, step, files };
        let json = sealed(&record).map_err(|source| StoreError::Record { source })?;
        let finish = || {
            let path = claim.directory.join(RECORD);
            fs::write(claim.directory.join(USED), "")?;
            fs::write(&path, json)?;
            fs::File::open(&path)?.sync_all()?;
            sync_directory(&claim.directory)?;
            // One that is there is damaged. Whoever uses it all the same finds the sound one in its place.
            let old = self.replaced(&claim.key);
            remove_all(&old)?;
            match fs::rename(&target, &old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::rename(&claim.directory, &target)?,
            }
            remove_all(&old)?;
            sync_directory(&self.root.join("steps"))
        };
        if let Some(file) = foreign(&target, self.get(&claim.key).as_ref()) {
            return Err(StoreError::Foreign { path: target, file });
        }
        finish().map_err(failed)?;
        let used = Some(Arc::new(claim.used));
        let entry = Entry { key: claim.key, directory: target, record, _used: used };
        match entry.record.files.keys().map(|path| entry.directory.join(path)).find(|path| !path.is_file()) {
            Some(path) => Err(StoreError::Gone { path }),
            None => Ok(entry),
        }
    }

    /// Every finished step whose record reads, by key.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        Ok(self.keys("steps", "")?.iter().filter_map(|key| self.get(key)).collect())
    }

    /// The directories of steps whose record does not read.
    pub fn unreadable(&self) -> Result<Vec<PathBuf>> {
        let keys = self.keys("steps", "")?.into_iter().filter(|key| self.get(key).is_none());
        Ok(keys.map(|key| self.step(&key)).collect())
    }

    /// The keys that the names in a part of the store are, before `suffix`. Other names are not txray's.
    fn keys(&self, part: &str, suffix: &str) -> Result<Vec<Key>> {
        let part = self.root.join(part);
        let entries = match fs::read_dir(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| StoreError::disk("read", &part, error))?,
        };
        let mut keys = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| StoreError::disk("read", &part, error))?.file_name();
            keys.extend(name.to_str().and_then(|name| Key::parse(name.strip_suffix(suffix)?)));
        }
        keys.sort();
        Ok(keys)
    }

    /// Where a step keeps what it goes on from when it was stopped.
    pub fn unfinished(&self, key: &Key) -> PathBuf {
        self.root.join("unfinished").join(&key.0)
    }

    /// Forgets what a step that is finished was to go on from.
    pub fn forget_unfinished(&self, key: &Key) {
        // What stays is of no harm, and `gc` removes it.
        let _ = remove_all(&self.unfinished(key));
    }

    /// Notes what each step of a pipeline was made of, to tell what changed the next time.
    pub fn remember<'r>(&self, pipeline: &str, recipes: impl Iterator<Item = (String, &'r Value)>) {
        let recipes: BTreeMap<String, &Value> = recipes.collect();
        let write = || {
            let aside = self.root.join(format!("partial/{ASIDE}{}", std::process::id()));
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
}

/// A file in a step's directory that txray did not put there, as far as the step's record tells. Hidden ones are what
/// systems leave everywhere.
fn foreign(directory: &Path, entry: Option<&Entry>) -> Option<String> {
    let is_ours = |path: &String| [RECORD, USED].contains(&&**path) || path.starts_with('.');
    let entry = entry?;
    files_below(directory).ok()?.into_iter().find(|path| !is_ours(path) && !entry.record.files.contains_key(path))
}

/// Whether a file cannot be opened because nothing can be written where it is.
fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), NotFound | PermissionDenied | ReadOnlyFilesystem | Unsupported)
}

/// The file in a step whose time tells when it was last used.
const USED: &str = "used";

/// What the name of the lock of those who use a step ends with.
const USED_LOCK: &str = ".used";

/// The file in a step that tells what it is.
const RECORD: &str = "record.json";

/// What the name of a damaged step ends with, while the sound one takes its place.
const REPLACED: &str = ".replaced";

/// What the name of a file begins with that is written aside, before the number of its process.
const ASIDE: &str = "recent.";

impl Entry {
    /// Notes that a run uses it.
    pub fn touch(&self) {
        // A store that cannot be written still serves; the step only looks older than it is.
        let _ = fs::write(self.directory.join(USED), "");
    }

    /// Its files at or below `part` (empty: all of them), each with what its path has beyond that.
    pub fn files<'e>(&'e self, part: &'e str) -> impl Iterator<Item = (&'e str, PathBuf, &'e FileRecord)> {
        let all = self.record.files.iter();
        all.filter_map(move |(path, file)| Some((below(path, part)?, self.directory.join(path), file)))
    }

    /// Whether it has files at or below `part`.
    pub fn has(&self, part: &str) -> bool {
        self.files(part).next().is_some()
    }

    /// Holds every file against its hash; gives those that do not agree, or are not there.
    pub fn damaged(&self, host: &Host<'_>) -> Vec<String> {
        let is_damaged =
            |(path, told): &(&String, &FileRecord)| hash(&self.directory.join(path), host).ok().as_ref() != Some(told);
        self.record.files.iter().filter(is_damaged).map(|(path, _)| path.clone()).collect()
    }

    /// Whether a file of it is certainly not what it was, and not only hard to read just now.
    fn is_changed(&self, host: &Host<'_>) -> bool {
        self.record.files.iter().any(|(path, told)| match hash(&self.directory.join(path), host) {
            Ok(found) => found != *told,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }

    /// Its size on disk.
    pub fn bytes(&self) -> u64 {
        self.record.files.values().map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
mod tests;
