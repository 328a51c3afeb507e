//! Files: hashed, copied and listed. What takes long asks again and again whether to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use txray_plugin::Host;
use txray_tables::seal::hex;
use txray_text::open_file;

/// A file's size and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its size.
    pub bytes: u64,
    /// Its hash, in hexadecimal.
    pub sha256: String,
}

/// Hashes what goes through it.
#[derive(Debug, Default)]
pub struct Hasher {
    bytes: u64,
    hash: Sha256,
}

impl Hasher {
    /// Takes some more bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// What went through.
    pub fn finish(self) -> FileRecord {
        FileRecord { bytes: self.bytes, sha256: hex(&self.hash.finalize()) }
    }
}

/// Hashes a file, without holding it in memory.
pub fn hash(path: &Path, host: &Host<'_>) -> io::Result<FileRecord> {
    pump(open_file(path)?, &mut io::sink(), host)
}

/// Copies a file onto the disk, to a place where there is none, with the folders on the way there; gives what was copied.
pub fn copy(from: &Path, to: &Path, host: &Host<'_>) -> io::Result<FileRecord> {
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mut target = File::create_new(to)?;
    let copied = pump(open_file(from)?, &mut target, host)?;
    target.sync_all()?;
    Ok(copied)
}

fn pump(mut from: File, to: &mut dyn Write, host: &Host<'_>) -> io::Result<FileRecord> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 18];
    loop {
        if host.cancelled() {
            return Err(stopped());
        }
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        hasher.take(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

/// Reads a whole file that people write: one without an end, or that is none, is refused.
pub fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(SMALL + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SMALL {
        let message = format!("it has more than {} MiB, which no such file has", SMALL >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(bytes)
}

/// The bytes that a file which people write has at most.
const SMALL: u64 = 1 << 26;

/// What is said of a file that is not what it was when the run was planned.
pub const CHANGED: &str = "it changed while this run was reading it; run again, with nothing writing to it";

/// What is said where the user asked to stop; the run then tells that instead.
pub fn stopped() -> io::Error {
    io::Error::other("stopped")
}

/// Writes all that is below a directory to the disk; gives its files, by path within it.
pub fn flush_all(directory: &Path, host: &Host<'_>) -> io::Result<BTreeMap<String, FileRecord>> {
    let mut files = BTreeMap::new();
    for path in files_below(directory)? {
        let file = directory.join(&path);
        File::open(&file)?.sync_all()?;
        files.insert(path, hash(&file, host)?);
    }
    let folders: BTreeSet<&Path> = files.keys().flat_map(|path| Path::new(path).ancestors().skip(1)).collect();
    folders.into_iter().chain([Path::new("")]).try_for_each(|folder| sync_directory(&directory.join(folder)))?;
    Ok(files)
}

/// Paths of all files below a directory, relative to it, with `/` between names. Links are files, and not followed.
pub fn files_below(directory: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(below) = waiting.pop() {
        for entry in fs::read_dir(directory.join(&below))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| {
                io::Error::new(io::ErrorKind::InvalidData, format!("the name {name:?} in it is not UTF-8"))
            })?;
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if entry.file_type()?.is_dir() { waiting.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// What of `path` stands below `part`, by whole names: `models/m@1` holds nothing of `models/m@10`. Empty: `part` itself.
pub fn below<'p>(path: &'p str, part: &str) -> Option<&'p str> {
    if part.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(part)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Removes a file, or a directory with all that is in it; there need be none. Links are not followed.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if !found.is_dir() => fs::remove_file(path),
        Ok(_) => fs::remove_dir_all(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Writes what was renamed or removed in a directory to the disk.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_so_by_whole_names() {
        assert_eq!(below("epoch-10/weights", "epoch-1"), None);
        assert_eq!(below("epoch-1/weights", "epoch-1"), Some("weights"));
        assert_eq!(below("comparison.parquet", "comparison.parquet"), Some(""));
        assert_eq!(below("a/b", ""), Some("a/b"));
    }

    #[test]
    fn a_copy_has_the_hash_of_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::write(&from, "abc").unwrap();
        let copied = copy(&from, &to, &Host::detached()).unwrap();
        // The test vector of FIPS 180.
        assert_eq!(copied.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((copied.bytes, hash(&to, &Host::detached()).unwrap()), (3, copied.clone()));
        let twice = copy(&from, &to, &Host::detached()).unwrap_err();
        assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists, "nothing is written over");
    }
}
