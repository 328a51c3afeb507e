//! Locks of the operating system on files: a kill releases them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use txray_plugin::Host;

use crate::files::stopped;

/// How often a lock that another process holds is asked for again. A call that waits by itself would not hear Ctrl-C.
const AGAIN: Duration = Duration::from_millis(50);

/// Who else may hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nobody.
    Alone,
    /// Others that share it.
    Shared,
}

/// A lock, held until it is dropped, by any end of the process.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes it if nobody is in the way.
    pub fn attempt(path: &Path, mode: Mode) -> io::Result<Option<Self>> {
        loop {
            let file = open(path, mode)?;
            let tried = match mode {
                Mode::Alone => file.try_lock(),
                Mode::Shared => file.try_lock_shared(),
            };
            match tried {
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
                // Whoever held it before may have removed its file: then it guards nothing any more.
                Ok(()) if !is_at(&file, path) => {}
                Ok(()) => return Ok(Some(Self { file, path: path.to_owned() })),
            }
        }
    }

    /// Takes it, after whoever has it; `waiting` is called once if there is anybody.
    pub fn take(path: &Path, mode: Mode, host: &Host<'_>, waiting: impl FnOnce()) -> io::Result<Self> {
        let mut waiting = Some(waiting);
        loop {
            if let Some(lock) = Self::attempt(path, mode)? {
                return Ok(lock);
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            if host.cancelled() {
                return Err(stopped());
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Gives it up, and removes its file. It must be held alone.
    pub fn remove(self) {
        // A file that stays is of no harm.
        let _ = fs::remove_file(&self.path);
        drop(self.file);
    }
}

fn open(path: &Path, mode: Mode) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    match (opened, mode) {
        // Where nothing can be written, what is there can still be shared.
        (Err(_), Mode::Shared) if path.exists() => File::open(path),
        (opened, _) => opened,
    }
}

/// Whether it is this file that is there.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |file: fs::Metadata| (file.dev(), file.ino());
    matches!((file.metadata().map(identity), fs::metadata(path).map(identity)), (Ok(a), Ok(b)) if a == b)
}

/// Elsewhere a file that is open is not removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_alone_or_shared_and_outlives_no_removal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let attempt = |mode| Lock::attempt(&path, mode).unwrap();
        let alone = attempt(Mode::Alone).unwrap();
        assert!(attempt(Mode::Alone).is_none() && attempt(Mode::Shared).is_none());
        drop(alone);
        let shared = [attempt(Mode::Shared).unwrap(), attempt(Mode::Shared).unwrap()];
        assert!(attempt(Mode::Alone).is_none());
        drop(shared);

        // One that waits while the file is removed gets the lock of the file that comes after.
        let alone = attempt(Mode::Alone).unwrap();
        std::thread::scope(|scope| {
            let (sender, waits) = std::sync::mpsc::channel();
            let path = &path;
            let other = scope
                .spawn(move || Lock::take(path, Mode::Alone, &Host::detached(), || sender.send(()).unwrap()).unwrap());
            waits.recv().unwrap();
            alone.remove();
            let held = other.join().unwrap();
            assert!(attempt(Mode::Alone).is_none(), "it guards the file that is there");
            drop(held);
        });
    }
}
