//! The out directory: what steps publish is copied there, under names that are names.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use txray_config::Name;
use txray_tables::{Manifest, Output, TableError};

use crate::store::{Entry, Key, Store, copy_all};

/// Why the out directory cannot be written. Reads well after "failed to ...: ".
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
    /// The manifest cannot be written as JSON.
    #[error(transparent)]
    Manifest(#[from] TableError),
    /// The disk refused to write one of its files.
    #[error("cannot write {}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// A place in the out directory. It is made of a folder that the engine knows and of a [`Name`], and of nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutPath(String);

impl OutPath {
    /// `stages/early`.
    pub fn folder(folder: &'static str, name: &Name) -> Self {
        Self(format!("{folder}/{name}"))
    }

    /// `models/lm@1`.
    pub fn checkpoint(folder: &'static str, name: &Name, epoch: u64) -> Self {
        Self(format!("{folder}/{name}@{epoch}"))
    }

    /// `comparisons/learning.parquet`.
    pub fn file(folder: &'static str, name: &Name, extension: &'static str) -> Self {
        Self(format!("{folder}/{name}.{extension}"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
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

/// The out directory, held against other runs, and a place aside in it from which files are renamed.
#[derive(Debug)]
pub(crate) struct OutDirectory {
    path: PathBuf,
    aside: PathBuf,
    _lock: Option<File>,
}

impl OutDirectory {
    /// Opens it, or makes it. Waits for another run into it; `waiting` is called once if so.
    pub fn open(path: &Path, store: &Store, waiting: impl FnOnce()) -> Result<Self, OutError> {
        let aside = path.join(".partial");
        // Whether it can be written is found now, and not after the last step.
        fs::create_dir_all(&aside).map_err(|source| OutError::Unwritable { path: path.to_owned(), source })?;
        let lock = store.lock(&Key::of(&json!({ "out": absolute(path) })), waiting);
        // A store that cannot be written may still have every step.
        Ok(Self { path: path.to_owned(), aside, _lock: lock.ok() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins to write. From here on the manifest of an earlier run would no longer tell what is in the directory.
    pub fn begin(&self) -> Result<(), OutError> {
        let clear = || {
            if self.aside.exists() {
                fs::remove_dir_all(&self.aside)?;
            }
            fs::create_dir_all(&self.aside)?;
            match fs::remove_file(self.path.join("manifest.json")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        clear().map_err(|source| OutError::Disk { path: self.path.clone(), source })
    }

    /// Copies what a step publishes, over what an earlier run left there. Gives the files.
    pub fn put(&self, entry: &Entry, publications: &[Publication]) -> Result<Vec<Output>, OutError> {
        let mut outputs = Vec::new();
        for Publication { from, to } in publications {
            self.copy(&entry.directory.join(from), to)?;
            for (path, file) in &entry.record.files {
                let Some(rest) = path.strip_prefix(from.as_str()) else { continue };
                let path = format!("{}/{}", to.as_str(), rest.trim_start_matches('/'));
                let path = path.trim_end_matches('/').to_owned();
                outputs.push(Output { path, sha256: file.sha256.clone() });
            }
        }
        Ok(outputs)
    }

    fn copy(&self, from: &Path, to: &OutPath) -> Result<(), OutError> {
        let (aside, target) = (self.aside.join("copy"), self.path.join(to.as_str()));
        let copy = || {
            copy_all(from, &aside)?;
            fs::create_dir_all(target.parent().unwrap_or(&self.path))?;
            if target.is_dir() {
                fs::remove_dir_all(&target)?;
            }
            fs::rename(&aside, &target)
        };
        copy().map_err(|source| OutError::Disk { path: target.clone(), source })
    }

    /// Writes the manifest, whole or not at all. Gives its text.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<String, OutError> {
        let json = manifest.to_json()?;
        let (path, partial) = (self.path.join("manifest.json"), self.path.join(".manifest.json.partial"));
        fs::write(&partial, &json)
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(|source| OutError::Disk { path, source })?;
        Ok(json)
    }
}

impl Drop for OutDirectory {
    fn drop(&mut self) {
        // What is left aside is of no use to anybody, and the next run clears it anyway.
        let _ = fs::remove_dir_all(&self.aside);
    }
}

/// A path that holds wherever a manifest is read. What cannot be resolved stays as it was given.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_below_the_out_directory() {
        let name = Name::parse("zero-shot").unwrap();
        assert_eq!(OutPath::folder("stages", &name).as_str(), "stages/zero-shot");
        assert_eq!(OutPath::checkpoint("models", &name, 3).as_str(), "models/zero-shot@3");
        assert_eq!(OutPath::file("comparisons", &name, "json").as_str(), "comparisons/zero-shot.json");
    }
}
