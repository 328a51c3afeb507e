//! The files below a folder.

use std::fs;
use std::path::Path;

use crate::error::{CorpusError, FolderFault};
use crate::files::other_than_file;

/// The names of all files below `folder` that are wanted and not hidden, with `/` between folders. Links are not followed:
/// what they lead to may lie anywhere.
pub(super) fn list(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, CorpusError> {
    let mut names = Vec::new();
    // A stack of folders: there may be more of them in one another than calls.
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        let at = folder.join(&below);
        let failed = |path: &Path, source| CorpusError::Io { path: path.to_owned(), source };
        for entry in fs::read_dir(&at).map_err(|source| failed(&at, source))? {
            let entry = entry.map_err(|source| failed(&at, source))?;
            let path = entry.path();
            let fault = |fault| CorpusError::Folder { path: path.clone(), fault };
            let file_name = entry.file_name();
            let name = file_name.to_str().ok_or_else(|| fault(FolderFault::Name))?;
            if name.starts_with('.') {
                continue;
            }
            let name = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            let metadata = entry.metadata().map_err(|source| failed(&path, source))?;
            if metadata.is_symlink() {
                return Err(fault(FolderFault::Kind { kind: "a link" }));
            } else if metadata.is_dir() {
                folders.push(name);
            } else if let Some(kind) = other_than_file(&metadata) {
                return Err(fault(FolderFault::Kind { kind }));
            } else if is_wanted(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}
