//! Which of the texts belong to which split, and with which label, by the folders that they lie in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::options::FolderOptions;
use crate::error::FolderFault;

/// What lies where.
#[derive(Debug)]
pub(super) struct Layout {
    /// What the folders of the splits lie in, with a `/` behind it, or nothing.
    pub(super) root: String,
    /// `train`, `valid`, `test`, then others by name.
    pub(super) splits: Vec<Split>,
}

/// A split: one text at least.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) name: String,
    /// Its folder in the root.
    pub(super) folder: String,
    /// In the order of their names.
    pub(super) texts: Vec<Text>,
}

#[derive(Debug)]
pub(super) struct Text {
    /// Its path below the folder or in the archive, with `/`.
    pub(super) name: String,
    pub(super) label: Option<Arc<str>>,
}

/// The splits that are called so everywhere.
const USUAL: [&str; 3] = ["train", "valid", "test"];

/// Lays out the texts of these names.
///
/// # Errors
/// What is wrong with it, and the option that it is about.
pub(super) fn of(mut names: Vec<String>, options: &FolderOptions) -> Result<Layout, (&'static str, FolderFault)> {
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(("path", FolderFault::Twice { name: twice[0].clone() }));
    }
    let root = root(&names, options);
    // By the folder of the split.
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in &names {
        if let Some((folder, _)) = name.strip_prefix(&root).and_then(|below| below.split_once('/')) {
            all.entry(folder).or_default().push(name);
        }
    }
    if all.is_empty() {
        return Err(("path", FolderFault::NoTexts { extension: options.extension.clone() }));
    }
    let same = || all.keys().map(|folder| (folder.to_string(), folder.to_string())).collect();
    let chosen: BTreeMap<String, String> = options.splits.clone().unwrap_or_else(same);
    let mut splits = Vec::new();
    for (name, folder) in chosen {
        if !crate::splits::is_name(&name) {
            let option = if options.splits.is_some() { "splits" } else { "path" };
            return Err((option, FolderFault::SplitName { split: name }));
        }
        let Some(names) = all.get(folder.as_str()) else {
            let found = all.keys().take(20).map(|found| found.to_string()).collect();
            return Err(("splits", FolderFault::NoFolder { folder, found }));
        };
        let texts = texts(names, root.len() + folder.len() + 1, options)?;
        splits.push(Split { name, folder, texts });
    }
    check_labels(&root, &splits, options)?;
    splits.sort_by_key(|split| USUAL.iter().position(|usual| *usual == split.name).unwrap_or(USUAL.len()));
    Ok(Layout { root, splits })
}

/// The one folder that the folders of the splits may lie in.
fn root(names: &[String], options: &FolderOptions) -> String {
    let is_split =
        |folder: &str| USUAL.contains(&folder) || options.splits.iter().flatten().any(|(_, split)| split == folder);
    let mut inner = names.iter().filter_map(|name| name.split_once('/'));
    let Some((first, _)) = inner.clone().next() else { return String::new() };
    // A folder that is alone is a split, unless there is something in it that only the folder of a split is.
    let holds_splits = inner.clone().any(|(_, below)| match below.split_once('/') {
        Some((folder, text)) => is_split(folder) || text.contains('/'),
        None => false,
    });
    let is_root = inner.all(|(folder, _)| folder == first) && !is_split(first) && holds_splits;
    if is_root { format!("{first}/") } else { String::new() }
}

/// The texts of a split: those of these names, of whose bytes the first `below` are its folder's.
fn texts(names: &[&str], below: usize, options: &FolderOptions) -> Result<Vec<Text>, (&'static str, FolderFault)> {
    let mut labels: BTreeSet<Arc<str>> = BTreeSet::new();
    let (mut texts, mut plain) = (Vec::new(), None);
    for &name in names {
        let label = match name[below..].split_once('/') {
            Some((label, _))
                if options.labels.iter().flatten().all(|chosen| chosen != label) && options.labels.is_some() =>
            {
                continue;
            }
            Some((_, text)) if text.contains('/') => return Err(("path", FolderFault::Deep { name: name.to_owned() })),
            Some((label, _)) => Some(labels.get(label).cloned().unwrap_or_else(|| label.into())),
            None if options.labels.is_some() => continue,
            None => {
                plain = Some(name);
                None
            }
        };
        labels.extend(label.clone());
        texts.push(Text { name: name.to_owned(), label });
    }
    match plain {
        Some(name) if !labels.is_empty() => Err(("path", FolderFault::Beside { name: name.to_owned() })),
        _ => Ok(texts),
    }
}

/// Every split has all labels, or none.
fn check_labels(root: &str, splits: &[Split], options: &FolderOptions) -> Result<(), (&'static str, FolderFault)> {
    let of =
        |split: &Split| -> BTreeSet<Arc<str>> { split.texts.iter().filter_map(|text| text.label.clone()).collect() };
    // Of each label, a split that has it.
    let mut all: BTreeMap<Arc<str>, Option<&Split>> = BTreeMap::new();
    for label in options.labels.iter().flatten() {
        all.insert(label.as_str().into(), None);
    }
    for split in splits {
        all.extend(of(split).into_iter().map(|label| (label, Some(split))));
    }
    for split in splits {
        let own = of(split);
        if own.is_empty() && options.labels.is_none() {
            continue;
        }
        if let Some((label, other)) = all.iter().find(|(label, _)| !own.contains(*label)) {
            let at = |split: &Split| format!("{root}{}/{label}", split.folder);
            let option = if options.labels.is_some() { "labels" } else { "path" };
            return Err((option, FolderFault::NoLabel { missing: at(split), there: other.map(at) }));
        }
    }
    Ok(())
}
