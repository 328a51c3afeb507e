//! What a step that takes long keeps while it is unfinished: directories by name, each there whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use txray_plugin::Host;
use txray_tables::seal::{is_sealed, sealed};

use crate::error::{Error, Result};
use crate::files::{FileRecord, copy, flush_all, hash, remove_all, sync_directory};

/// The file in a kept directory that tells what the others are.
const RECORD: &str = "kept.json";

/// Where what is put is written before it is whole.
const ASIDE: &str = "aside";

#[derive(Serialize, Deserialize)]
struct Files {
    files: BTreeMap<String, FileRecord>,
}

/// A place for directories that are kept.
pub(crate) struct Kept<'a> {
    root: &'a Path,
}

impl<'a> Kept<'a> {
    /// The place; it is made if it is not there.
    pub fn open(root: &'a Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(|error| Error::disk("write", root, error))?;
        Ok(Self { root })
    }

    /// Where a directory is, or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The names that are there.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Puts a directory that `write` fills in its place: written aside, hashed, flushed, renamed.
    pub fn put(&self, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let (aside, target) = (self.root.join(ASIDE), self.path(name));
        let failed = |error: io::Error| Error::disk("write", &target, error);
        remove_all(&aside).and_then(|()| fs::create_dir(&aside)).map_err(failed)?;
        write(&aside)?;
        let finish = || {
            // Not to be stopped: what is saved because the user asks to stop has to be whole.
            let files = flush_all(&aside, &Host::detached())?;
            let path = aside.join(RECORD);
            fs::write(&path, sealed(&Files { files }).map_err(io::Error::from)?)?;
            File::open(&path)?.sync_all()?;
            sync_directory(&aside)?;
            remove_all(&target)?;
            fs::rename(&aside, &target)?;
            sync_directory(self.root)
        };
        finish().map_err(failed)
    }

    /// What is in a directory, if every byte of it is as it was put there.
    fn whole(&self, name: &str, host: &Host<'_>) -> Result<Option<BTreeMap<String, FileRecord>>> {
        let directory = self.path(name);
        let failed = |path: &Path, error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => Ok(None),
            _ if host.cancelled() => Err(Error::Cancelled),
            _ => Err(Error::disk("read", path, error)),
        };
        let record = directory.join(RECORD);
        let text = match fs::read_to_string(&record) {
            Ok(text) => text,
            Err(error) => return failed(&record, error),
        };
        let files = is_sealed(&text).then(|| serde_json::from_str(&text).ok()).flatten();
        let Some(Files { files }) = files else { return Ok(None) };
        for (path, told) in &files {
            let path = directory.join(path);
            match hash(&path, host) {
                Ok(found) if found == *told => {}
                Ok(_) => return Ok(None),
                Err(error) => return failed(&path, error),
            }
        }
        Ok(Some(files))
    }

    /// Whether a directory is there, every byte of it as it was put there.
    pub fn is_whole(&self, name: &str, host: &Host<'_>) -> Result<bool> {
        Ok(self.whole(name, host)?.is_some())
    }

    /// Copies a directory that was put to a place where there is none.
    pub fn copy(&self, name: &str, to: &Path, host: &Host<'_>) -> Result<()> {
        let from = self.path(name);
        let damaged = || Error::Damaged { path: from.clone() };
        for (path, told) in self.whole(name, host)?.ok_or_else(damaged)? {
            let target = to.join(&path);
            let copied = copy(&from.join(&path), &target, host);
            if copied.map_err(|error| Error::disk("keep the checkpoint", &target, error))? != told {
                return Err(damaged());
            }
        }
        Ok(())
    }

    /// Removes a directory; one that stays is of no harm.
    pub fn remove(&self, name: &str) {
        let _ = remove_all(&self.path(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::files_below;

    #[test]
    fn what_was_kept_is_whole_until_any_bit_of_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path()).unwrap();
        let host = Host::detached();
        let put = || {
            let write = |directory: &Path| {
                fs::write(directory.join("weights"), "1234").unwrap();
                Ok(())
            };
            kept.put("epoch-1", write).unwrap();
        };
        put();
        let is_whole = |name: &str| kept.is_whole(name, &host).unwrap();
        assert!(is_whole("epoch-1") && !is_whole("epoch-2"));
        kept.copy("epoch-1", &folder.path().join("copy"), &host).unwrap();
        assert_eq!(files_below(&folder.path().join("copy")).unwrap(), ["weights"]);
        for file in ["weights", RECORD] {
            let path = folder.path().join("epoch-1").join(file);
            let bytes = fs::read(&path).unwrap();
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 4;
                fs::write(&path, flipped).unwrap();
                assert!(!is_whole("epoch-1"), "byte {at} of {file}");
            }
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            let error = kept.copy("epoch-1", &folder.path().join("again"), &host).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            put();
        }
    }
}
