//! What of a store is of no use any more, and its removal beside runs that go on.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use txray_plugin::Host;

use super::{ASIDE, Collected, Entry, Key, RECORD, REPLACED, Result, Store, StoreError, USED, USED_LOCK, foreign};
use crate::files::{files_below, remove_all, stopped};
use crate::lock::{Lock, Mode};

/// How old a file has to be that is written aside and renamed at once, for its process to be gone.
const GONE: Duration = Duration::from_secs(60);

impl Store {
    /// Removes what is of no use: remains of killed runs, damaged steps, and the steps and unfinished trainings that no run
    /// has used for `unused`. What a run makes or uses stays, and so does every file whose name is not the store's.
    pub fn collect(&self, unused: Duration, host: &Host<'_>) -> Result<Collected> {
        let mut collected = Collected::default();
        for key in self.keys("steps", "")? {
            let Some(_free) = self.free(&key)? else { continue };
            let directory = self.step(&key);
            // What the disk does not give just now is not removed for it.
            let entry = self.get(&key);
            let is_damaged = match &entry {
                Some(entry) => entry.is_changed(host),
                None => has_no_record(&directory),
            };
            if host.cancelled() {
                return Err(StoreError::disk("read", &directory, stopped()));
            }
            if foreign(&directory, entry.as_ref()).is_some() {
                collected.kept += 1;
                continue;
            }
            if is_damaged || entry.as_ref().is_some_and(|entry| entry.age() >= unused) {
                collected.steps += 1;
                collected.damaged += u64::from(is_damaged);
                collected.bytes += entry.map_or_else(|| size(&directory), |entry| entry.bytes());
                // Out of the way at once: a kill leaves no half of a step where a whole one is looked for.
                let aside = self.partial(&key);
                let remove = || {
                    remove_all(&aside)?;
                    fs::rename(&directory, &aside)?;
                    remove_all(&aside)
                };
                remove().map_err(|error| StoreError::disk("remove", &directory, error))?;
            }
        }
        for key in self.keys("partial", "")? {
            if let Some(_idle) = self.attempt(&self.lock(&key))? {
                collected.bytes += self.discard(&self.partial(&key))?;
            }
        }
        for key in self.keys("partial", REPLACED)? {
            if let Some(_idle) = self.attempt(&self.lock(&key))? {
                collected.bytes += self.discard(&self.replaced(&key))?;
            }
        }
        for key in self.keys("unfinished", "")? {
            let directory = self.unfinished(&key);
            let is_over = self.get(&key).is_some();
            if (is_over || age(newest(&directory)) >= unused)
                && let Some(_idle) = self.attempt(&self.lock(&key))?
            {
                collected.trainings += u64::from(!is_over);
                collected.bytes += self.discard(&directory)?;
            }
        }
        self.collect_stray();
        for key in self.keys("locks", "")?.into_iter().chain(self.keys("locks", USED_LOCK)?) {
            let is_needed =
                [self.step(&key), self.partial(&key), self.unfinished(&key)].iter().any(|path| path.exists());
            if !is_needed && let Some(locks) = self.free(&key)? {
                locks.into_iter().for_each(Lock::remove);
            }
        }
        Ok(collected)
    }

    fn discard(&self, directory: &Path) -> Result<u64> {
        let bytes = size(directory);
        remove_all(directory).map_err(|error| StoreError::disk("remove", directory, error))?;
        Ok(bytes)
    }

    /// Removes what runs that were killed had written aside to rename it.
    fn collect_stray(&self) {
        for entry in fs::read_dir(self.root.join("partial")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(ASIDE));
            let is_stray = process.is_some_and(|process| process.bytes().all(|byte| byte.is_ascii_digit()));
            if is_stray && age(modified(&entry.path())) >= GONE {
                // One that stays is of no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The locks of a key, if no run makes it or uses it.
    fn free(&self, key: &Key) -> Result<Option<[Lock; 2]>> {
        let Some(making) = self.attempt(&self.lock(key))? else { return Ok(None) };
        let Some(using) = self.attempt(&self.used_lock(key))? else { return Ok(None) };
        Ok(Some([using, making]))
    }

    fn attempt(&self, lock: &Path) -> Result<Option<Lock>> {
        let lock = match Lock::attempt(lock, Mode::Alone) {
            // Somebody else's folder, where a lock is meant.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(None),
            lock => lock,
        };
        lock.map_err(|source| StoreError::Unwritable { root: self.root().to_owned(), source })
    }
}

/// Whether the record of a step is missing, or reads and is none.
fn has_no_record(directory: &Path) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound};
    match fs::read_to_string(directory.join(RECORD)) {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), InvalidData | IsADirectory | NotADirectory | NotFound),
    }
}

impl Entry {
    /// How long ago it was used.
    fn age(&self) -> Duration {
        age(modified(&self.directory.join(USED)))
    }
}

/// A time to come (the clock was set back), or none, counts as now.
fn age(time: Option<SystemTime>) -> Duration {
    time.and_then(|time| time.elapsed().ok()).unwrap_or_default()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).and_then(|file| file.modified()).ok()
}

/// When anything in a directory was last written.
fn newest(directory: &Path) -> Option<SystemTime> {
    let files = files_below(directory).unwrap_or_default();
    files.iter().map(|file| directory.join(file)).chain([directory.to_owned()]).filter_map(|path| modified(&path)).max()
}

fn size(directory: &Path) -> u64 {
    let length = |path: &String| fs::symlink_metadata(directory.join(path)).map(|file| file.len());
    let all = files_below(directory).and_then(|files| files.iter().map(length).sum::<io::Result<u64>>());
    // What cannot be measured is still removed.
    all.unwrap_or_default()
}
