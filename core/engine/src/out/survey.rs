//! What lies in an out directory before a run writes into it: whose it is, and whether it is in the way.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use txray_plugin::Host;
use txray_tables::Manifest;

use super::{MANIFEST, OutDirectory, OutError, OutPath};
use crate::files::{files_below, hash};

/// What an earlier run left in an out directory, and is still as it left it.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The files that its manifest lists, itself among them, each with its hash.
    pub(super) earlier: BTreeMap<String, String>,
}

/// What is at a path, no link being followed on the way.
pub(super) enum There {
    Nothing,
    File,
    Folder,
    /// A link, or anything else; or something of the kind on the way. It is here.
    Other(String),
}

impl OutDirectory {
    /// Finds out whose the files are that lie where the run's own will go: below `targets`, and the manifest.
    ///
    /// # Errors
    /// [`OutError::InTheWay`] for whatever no earlier run left as it is, and [`OutError::Input`] for what an earlier run left
    /// and this one reads.
    pub(crate) fn survey(&self, targets: &[OutPath], inputs: &[PathBuf], host: &Host<'_>) -> Result<Survey, OutError> {
        let failed = |source| OutError::Unreadable { path: self.path.clone(), source };
        let mut found = Vec::new();
        let mut survey = Survey::default();
        match self.there(MANIFEST).map_err(failed)? {
            There::Nothing => {}
            There::File => match self.earlier(host).map_err(failed)? {
                Some(earlier) => survey.earlier = earlier,
                None => found.push(MANIFEST.to_owned()),
            },
            There::Folder | There::Other(_) => found.push(MANIFEST.to_owned()),
        }
        for target in targets {
            self.in_the_way(target, &survey.earlier, &mut found).map_err(failed)?;
        }
        found.sort();
        found.dedup();
        if !found.is_empty() {
            return Err(OutError::InTheWay { path: self.path.clone(), found });
        }
        let identities: Vec<_> = inputs.iter().filter_map(|input| identity(input)).collect();
        let is_read = |path: &&String| identity(&self.path.join(path)).is_some_and(|it| identities.contains(&it));
        match survey.earlier.keys().find(is_read) {
            Some(path) => Err(OutError::Input { path: self.path.join(path) }),
            None => Ok(survey),
        }
    }

    /// What the manifest that lies here lists and is as it says, if it is one that a run left as it is.
    fn earlier(&self, host: &Host<'_>) -> io::Result<Option<BTreeMap<String, String>>> {
        let text = match fs::read_to_string(self.path.join(MANIFEST)) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            text => text?,
        };
        let Some(manifest) = Manifest::read_sealed(&text) else { return Ok(None) };
        let own = hash(&self.path.join(MANIFEST), host)?.sha256;
        let mut earlier = BTreeMap::from([(MANIFEST.to_owned(), own)]);
        for output in manifest.outputs {
            let is_inside = Path::new(&output.path).components().all(|part| matches!(part, Component::Normal(_)));
            if is_inside
                && matches!(self.there(&output.path)?, There::File)
                && hash(&self.path.join(&output.path), host)?.sha256 == output.sha256
            {
                earlier.insert(output.path, output.sha256);
            }
        }
        Ok(Some(earlier))
    }

    /// Gathers what is at a place of the run's files and is none of the earlier run's.
    fn in_the_way(
        &self,
        target: &OutPath,
        earlier: &BTreeMap<String, String>,
        found: &mut Vec<String>,
    ) -> io::Result<()> {
        let path = target.as_str();
        match self.there(path)? {
            There::Nothing => {}
            There::Other(link) => found.push(link),
            There::File if earlier.contains_key(path) && !target.is_folder => {}
            There::File => found.push(path.to_owned()),
            There::Folder if !target.is_folder => found.push(path.to_owned()),
            There::Folder => {
                let below = files_below(&self.path.join(path))?.into_iter().map(|file| format!("{path}/{file}"));
                found.extend(below.filter(|file| !earlier.contains_key(file)));
            }
        }
        Ok(())
    }

    /// Whether a file can be put at a path: there is nothing, or what the earlier run left.
    pub(super) fn is_free(&self, path: &str, survey: &Survey) -> io::Result<bool> {
        Ok(match self.there(path)? {
            There::Nothing => true,
            There::File => survey.earlier.contains_key(path),
            There::Folder | There::Other(_) => false,
        })
    }

    pub(super) fn there(&self, path: &str) -> io::Result<There> {
        let mut at = self.path.clone();
        let parts: Vec<&str> = path.split('/').collect();
        for (index, part) in parts.iter().enumerate() {
            at.push(part);
            let found = match fs::symlink_metadata(&at) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
                found => found?.file_type(),
            };
            let is_last = index + 1 == parts.len();
            if is_last && found.is_file() {
                return Ok(There::File);
            }
            if !found.is_dir() {
                return Ok(There::Other(parts[..=index].join("/")));
            }
        }
        Ok(There::Folder)
    }
}

/// What a path leads to, links followed: two paths lead to one file if these are equal.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// What a path leads to, links followed: two paths lead to one file if these are equal.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}
