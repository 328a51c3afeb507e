//! Putting a run's files in the place of those of the run before: all of them or none, whatever fails on the way.
//!
//! ```text
//! OUT/.txray/new/...         the run's files, whole and flushed, its manifest among them
//! OUT/.txray/journal.json    what is going to be moved; written before the first move
//! OUT/.txray/old/...         the files of the run before: its manifest first, then the others
//! OUT/...                    the run's files: its manifest last. From then on the run is in place
//! ```
//!
//! So a manifest that is there tells what is there, at any moment. A run that is killed before its manifest is in place is
//! undone by the next run into the directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use txray_plugin::Host;
use txray_tables::seal::{is_sealed, sealed};
use txray_tables::{Manifest, Output};

use super::survey::{Survey, There};
use super::{MANIFEST, NEW, OLD, OWN, OutDirectory, OutError, Publication};
use crate::files::{copy, files_below, hash, remove_all, sync_directory};
use crate::store::Entry;

/// What is moved, in this order: out of the way, and then in place; each file with its hash.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    old: Vec<(String, String)>,
    new: Vec<(String, String)>,
}

impl OutDirectory {
    pub(super) fn journal(&self) -> PathBuf {
        self.own.join("journal.json")
    }

    /// Where the run's files are gathered.
    pub(crate) fn new_files(&self) -> PathBuf {
        self.own.join(NEW)
    }

    fn failed<'p>(&self, path: &'p Path) -> impl Fn(io::Error) -> OutError + use<'p> {
        move |source| OutError::Disk { path: path.to_owned(), source }
    }

    /// Begins to gather the run's files.
    pub(crate) fn begin(&self) -> Result<(), OutError> {
        let new = self.new_files();
        remove_all(&new).and_then(|()| fs::create_dir(&new)).map_err(self.failed(&new))
    }

    /// Gathers what a step publishes. Gives the files.
    pub(crate) fn gather(
        &self,
        entry: &Entry,
        publications: &[Publication],
        host: &Host<'_>,
    ) -> Result<Vec<Output>, OutError> {
        let mut outputs = Vec::new();
        for Publication { from, to } in publications {
            for (rest, file, told) in entry.files(from) {
                let path = if rest.is_empty() { to.as_str().to_owned() } else { format!("{}/{rest}", to.as_str()) };
                let target = self.new_files().join(&path);
                let copied = copy(&file, &target, host).map_err(self.failed(&target))?;
                if copied != *told {
                    let damaged = io::Error::other(format!("{} was damaged just now; run again", file.display()));
                    return Err(OutError::Disk { path: target, source: damaged });
                }
                outputs.push(Output { path, sha256: copied.sha256 });
            }
        }
        Ok(outputs)
    }

    /// Gathers what a report added, and holds what it was made from against its hash.
    pub(crate) fn gather_report(
        &self,
        table: &str,
        outputs: &[Output],
        host: &Host<'_>,
    ) -> Result<Vec<Output>, OutError> {
        let new = self.new_files();
        let meddled = |path: &str| OutError::Meddled { path: path.to_owned(), table: table.to_owned() };
        for Output { path, sha256 } in outputs {
            if hash(&new.join(path), host).map_err(|_| meddled(path))?.sha256 != *sha256 {
                return Err(meddled(path));
            }
        }
        let known: BTreeSet<&str> = outputs.iter().map(|output| &*output.path).chain([MANIFEST]).collect();
        let mut added = Vec::new();
        for path in files_below(&new).map_err(self.failed(&new))? {
            if known.contains(&*path) {
                continue;
            }
            let file = new.join(&path);
            let is_file = fs::symlink_metadata(&file).map_err(self.failed(&file))?.is_file();
            if !is_file || Path::new(&path).starts_with(OWN) {
                return Err(OutError::NotAFile { path, table: table.to_owned() });
            }
            let flushed = File::open(&file).and_then(|opened| opened.sync_all());
            let sha256 = flushed.and_then(|()| hash(&file, host)).map_err(self.failed(&file))?.sha256;
            added.push(Output { path, sha256 });
        }
        Ok(added)
    }

    /// Writes the manifest among the run's files. Gives its text.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<String, OutError> {
        let json = manifest.to_json()?;
        let path = self.new_files().join(MANIFEST);
        let write = || {
            // Whatever a report may have put there, a link among it.
            remove_all(&path)?;
            fs::write(&path, &json)?;
            File::open(&path)?.sync_all()
        };
        write().map_err(self.failed(&path))?;
        Ok(json)
    }

    /// Puts the run's files in the place of those of the run before, of which nothing that is still as it was stays.
    pub(crate) fn put_in_place(
        &mut self,
        survey: &Survey,
        outputs: &[Output],
        host: &Host<'_>,
    ) -> Result<(), OutError> {
        let journal = self.plan(survey, outputs, host)?;
        self.note(&journal)?;
        let made = self.moves(&journal).try_for_each(|(from, to)| {
            // Moving over a file would remove it.
            let is_free = fs::symlink_metadata(&to).is_err();
            let moved = if is_free { move_file(&from, &to) } else { Err(io::ErrorKind::AlreadyExists.into()) };
            // Of the two places, the one that its user knows.
            moved.map_err(self.failed(if to.starts_with(&self.own) { &from } else { &to }))
        });
        if let Err(error) = made {
            self.undo(&journal)?;
            return Err(error);
        }
        self.finish(&journal);
        self.is_done = true;
        Ok(())
    }

    /// What is going to be moved: `outputs`, whose hashes are known since they were gathered, and the manifest of them.
    pub(super) fn plan(&self, survey: &Survey, outputs: &[Output], host: &Host<'_>) -> Result<Journal, OutError> {
        let is_manifest = |(path, _): &(String, String)| path == MANIFEST;
        let mut old: Vec<_> = survey.earlier.iter().map(|(path, hash)| (path.clone(), hash.clone())).collect();
        old.sort_by_key(|file| !is_manifest(file));
        let manifest = self.new_files().join(MANIFEST);
        let sha256 = hash(&manifest, host).map_err(self.failed(&manifest))?.sha256;
        let mut new: Vec<_> = outputs.iter().map(|output| (output.path.clone(), output.sha256.clone())).collect();
        // The last to be moved.
        new.push((MANIFEST.to_owned(), sha256));
        let mut found = Vec::new();
        for (path, _) in &new {
            if !self.is_free(path, survey).map_err(self.failed(&self.path.join(path)))? {
                found.push(path.clone());
            }
        }
        if !found.is_empty() {
            return Err(OutError::InTheWay { path: self.path.clone(), found });
        }
        Ok(Journal { old, new })
    }

    /// Writes the journal, from which the next run knows what was going to be moved.
    pub(super) fn note(&self, journal: &Journal) -> Result<(), OutError> {
        let path = self.journal();
        let write = || {
            // What is left of a run that was in place already.
            remove_all(&self.own.join(OLD))?;
            let json = sealed(journal).map_err(io::Error::from)?;
            let aside = self.own.join("journal.partial");
            fs::write(&aside, json)?;
            File::open(&aside)?.sync_all()?;
            fs::rename(&aside, &path)?;
            sync_directory(&self.own)
        };
        write().map_err(self.failed(&path))
    }

    /// All moves, in order.
    pub(super) fn moves(&self, journal: &Journal) -> impl DoubleEndedIterator<Item = (PathBuf, PathBuf)> + use<> {
        let out = |path: &String| self.path.join(path);
        let away: Vec<_> = journal.old.iter().map(|(path, _)| (out(path), self.own.join(OLD).join(path))).collect();
        let here: Vec<_> = journal.new.iter().map(|(path, _)| (self.new_files().join(path), out(path))).collect();
        away.into_iter().chain(here)
    }

    /// Puts back what was moved, the last first. A move that was not made, or is undone already, left its file where it is.
    fn undo(&self, journal: &Journal) -> Result<(), OutError> {
        self.is_untouched(journal)?;
        for (from, to) in self.moves(journal).rev() {
            if fs::symlink_metadata(&from).is_err() && fs::symlink_metadata(&to).is_ok() {
                move_file(&to, &from).map_err(self.failed(&from))?;
            }
        }
        self.clear_up(&journal.new).map_err(self.failed(&self.own))
    }

    /// Whether nobody put anything where files are moved from or to since a run was killed there.
    fn is_untouched(&self, journal: &Journal) -> Result<(), OutError> {
        let mut found = Vec::new();
        for (path, _) in journal.old.iter().chain(&journal.new) {
            let is_ours = match self.there(path).map_err(self.failed(&self.path))? {
                There::Nothing => true,
                There::File => {
                    let now = hash(&self.path.join(path), &Host::detached()).map_err(self.failed(&self.path))?;
                    let mut known = journal.old.iter().chain(&journal.new).filter(|(other, _)| other == path);
                    known.any(|(_, sha256)| now.sha256 == *sha256)
                }
                There::Folder | There::Other(_) => false,
            };
            if !is_ours && !found.contains(path) {
                found.push(path.clone());
            }
        }
        if found.is_empty() { Ok(()) } else { Err(OutError::InTheWay { path: self.path.clone(), found }) }
    }

    /// Removes what the run before left.
    fn finish(&self, journal: &Journal) {
        let finish = || {
            for folder in folders(&journal.new).chain([Path::new("")]) {
                sync_directory(&self.path.join(folder))?;
            }
            self.clear_up(&journal.old)
        };
        // The run is in place: what stays aside is removed by the next one.
        let _: io::Result<()> = finish();
    }

    /// Ends the moves, and removes the folders of `moved` that nothing is left in.
    fn clear_up(&self, moved: &[(String, String)]) -> io::Result<()> {
        for folder in folders(moved) {
            // Only an empty one is removed.
            let _ = fs::remove_dir(self.path.join(folder));
        }
        fs::remove_file(self.journal())?;
        remove_all(&self.own.join(OLD))?;
        sync_directory(&self.own)
    }

    /// Puts right what a run left that was killed while it put its files in place.
    pub(super) fn recover(&self) -> Result<(), OutError> {
        let path = self.journal();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            text => text.map_err(self.failed(&path))?,
        };
        let journal = is_sealed(&text).then(|| serde_json::from_str::<Journal>(&text).ok()).flatten();
        let Some(journal) = journal else { return Err(OutError::Journal { journal: path, old: self.own.join(OLD) }) };
        let is_in_place = !self.new_files().join(MANIFEST).exists() && self.path.join(MANIFEST).exists();
        if is_in_place {
            self.finish(&journal);
            return Ok(());
        }
        self.undo(&journal)
    }
}

/// The folders that files are in, the deepest first; not the directory itself.
fn folders(files: &[(String, String)]) -> impl Iterator<Item = &Path> {
    let all: BTreeSet<&Path> = files.iter().flat_map(|(file, _)| Path::new(file).ancestors().skip(1)).collect();
    all.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty())
}

fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::rename(from, to)
}
