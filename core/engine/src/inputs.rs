//! The user's files: hashed when a run is planned, and held against these hashes when they are read.
//!
//! A result is kept under the hashes of what it was made of, so these have to be the bytes that were read: what the engine
//! reads is hashed as it goes by, and what a plugin opens itself is hashed before and after.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use txray_host::Registry;
use txray_plugin::Host;
use txray_tables::Input;
use txray_text::{Disk, Files};

use crate::component::Component;
use crate::error::{Error, Result};
use crate::files::{CHANGED, Hasher, hash};

/// Hashes of what recipes name: files, each read once, and libraries.
pub struct Hashes<'a> {
    registry: &'a Registry,
    host: &'a Host<'a>,
    inputs: IndexMap<PathBuf, Input>,
    opened: Vec<PathBuf>,
    folders: HashMap<PathBuf, Vec<String>>,
}

impl<'a> Hashes<'a> {
    pub(crate) fn new(registry: &'a Registry, host: &'a Host<'a>) -> Self {
        Self { registry, host, inputs: IndexMap::new(), opened: Vec::new(), folders: HashMap::new() }
    }

    /// The hash of a file that the engine reads, through [`Inputs`].
    pub fn file(&mut self, path: &Path) -> Result<Value> {
        if let Some(input) = self.inputs.get(path) {
            return Ok(input.sha256.clone().into());
        }
        let found = hash(path, self.host).map_err(|error| Error::disk("read", path, error))?;
        let input = Input { path: path.to_owned(), bytes: found.bytes, sha256: found.sha256.clone() };
        self.inputs.insert(path.to_owned(), input);
        Ok(found.sha256.into())
    }

    /// The hash of a file that a plugin opens.
    fn opened(&mut self, path: &Path) -> Result<Value> {
        self.opened.push(path.to_owned());
        self.file(path)
    }

    /// The hashes of the files that lie in a folder which a plugin reads, by name: not those in folders below, nor those whose
    /// names begin with a dot, nor the manifest of a run that left the folder.
    pub fn folder(&mut self, folder: &Path) -> Result<Value> {
        let names = list(folder).map_err(|error| Error::disk("read", folder, error))?;
        let mut hashes = Map::new();
        for name in &names {
            let hash = self.opened(&folder.join(name))?;
            hashes.insert(name.clone(), hash);
        }
        self.opened.push(folder.to_owned());
        self.folders.insert(folder.to_owned(), names);
        Ok(hashes.into())
    }

    /// What a component gives depends on: its options and its library, and the bytes of the files that its options name,
    /// whatever their names.
    pub fn component(&mut self, component: &Component) -> Result<Value> {
        let mut options = component.options.clone();
        for (pointer, path) in &component.files {
            let hash = self.opened(path)?;
            if let Some(option) = options.pointer_mut(pointer) {
                *option = hash;
            }
        }
        // What is built in is hashed with the program.
        let found = self.registry.find(component.interface, &component.kind).ok();
        let library = found.and_then(|(plugin, _)| plugin.origin.sha256());
        Ok(json!({ "kind": component.kind, "options": options, "library": library }))
    }

    /// The files that plugins open, of the recipes since this was last asked.
    pub(crate) fn take_opened(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.opened)
    }

    /// The files, and the names of those in each folder that a plugin reads.
    pub(crate) fn into_inputs(self) -> (Vec<Input>, HashMap<PathBuf, Vec<String>>) {
        (self.inputs.into_values().collect(), self.folders)
    }
}

/// The names of the files that lie in a folder, as far as they count.
fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| {
            io::Error::new(io::ErrorKind::InvalidData, format!("the name {name:?} in it is not UTF-8"))
        })?;
        let is_read = !name.starts_with('.') && name != "manifest.json";
        // Links are followed, as whoever opens the file follows them.
        if is_read && std::fs::metadata(entry.path()).is_ok_and(|file| file.is_file()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The user's files that a run reads, each as it was when the run was planned.
pub struct Inputs<'a> {
    planned: HashMap<&'a Path, &'a Input>,
    folders: &'a HashMap<PathBuf, Vec<String>>,
    host: &'a Host<'a>,
}

impl<'a> Inputs<'a> {
    pub(crate) fn new(inputs: &'a [Input], folders: &'a HashMap<PathBuf, Vec<String>>, host: &'a Host<'a>) -> Self {
        Self { planned: inputs.iter().map(|input| (&*input.path, input)).collect(), folders, host }
    }

    /// Holds files that a plugin opens itself against their hashes.
    pub(crate) fn hold(&self, paths: &[PathBuf]) -> Result<()> {
        for path in paths {
            if let Some(then) = self.folders.get(path) {
                let now = list(path).map_err(|error| Error::disk("read", path, error))?;
                if now != *then {
                    return Err(Error::Changed { path: path.clone() });
                }
                continue;
            }
            let now = hash(path, self.host).map_err(|error| Error::disk("read", path, error))?;
            if self.planned.get(&**path).is_none_or(|then| then.sha256 != now.sha256) {
                return Err(Error::Changed { path: path.clone() });
            }
        }
        Ok(())
    }
}

impl Files for Inputs<'_> {
    /// What a file gives is hashed as it is read; its end is an error where the hash is not that of the plan.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        let file = Disk.open(path)?;
        let Some(planned) = self.planned.get(path) else { return Ok(file) };
        Ok(Box::new(Watched { file, hasher: Some(Hasher::default()), sha256: planned.sha256.clone() }))
    }
}

struct Watched {
    file: Box<dyn Read + Send>,
    /// None once the end was found to be right.
    hasher: Option<Hasher>,
    sha256: String,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.take(&buffer[..read]);
        }
        if read == 0
            && !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
            && hasher.finish().sha256 != self.sha256
        {
            return Err(io::Error::other(CHANGED));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_changes_after_it_was_hashed_does_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        fs::write(&path, "one two").unwrap();
        let (registry, host) = (Registry::new(), Host::detached());
        let mut hashes = Hashes::new(&registry, &host);
        hashes.file(&path).unwrap();
        let (planned, folders) = hashes.into_inputs();
        let inputs = Inputs::new(&planned, &folders, &host);
        let read = || {
            let mut text = String::new();
            inputs.open(&path).unwrap().read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read().unwrap(), "one two");
        inputs.hold(std::slice::from_ref(&path)).unwrap();
        for other in ["one", "one two three", "one twO", ""] {
            fs::write(&path, other).unwrap();
            assert_eq!(read().unwrap_err().to_string(), CHANGED);
            let error = inputs.hold(std::slice::from_ref(&path)).unwrap_err();
            assert!(matches!(&error, Error::Changed { path } if path.ends_with("text")), "{error}");
        }
    }

    #[test]
    fn a_folder_is_every_file_that_lies_in_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        for file in ["b.bin", "a.json", ".hidden", "manifest.json", "below/c"] {
            fs::write(folder.path().join(file), file).unwrap();
        }
        let (registry, host) = (Registry::new(), Host::detached());
        let mut hashes = Hashes::new(&registry, &host);
        let found = hashes.folder(folder.path()).unwrap();
        assert_eq!(found.as_object().unwrap().keys().collect::<Vec<_>>(), ["a.json", "b.bin"]);
        let opened = hashes.take_opened();
        let (planned, folders) = hashes.into_inputs();
        let inputs = Inputs::new(&planned, &folders, &host);
        inputs.hold(&opened).unwrap();
        fs::write(folder.path().join("new.bin"), "").unwrap();
        assert!(matches!(inputs.hold(&opened), Err(Error::Changed { path }) if path == folder.path()));
    }
}
