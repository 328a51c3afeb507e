//! `kind = "folder"`: a file is a document, and the folder that it lies in is its label.

mod archive;
mod layout;
mod listing;
mod options;

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::corpus::{Corpus, Document, Documents, first_documents, indent, stream};
use crate::error::{CorpusError, FolderFault, OptionError};
use crate::files::{Disk, Files};
use crate::format::FormatOptions;
use crate::resolve::Context;
use crate::spill::Spill;
use crate::splits::{pointer, unknown};
use crate::unpack::{reading, unpacked};

pub use options::FolderOptions;

use layout::{Layout, Split};

const BYTE_ORDER_MARK: &str = "\u{feff}";

impl FormatOptions for FolderOptions {
    const KIND: &'static str = "folder";

    /// The names of all files are read: those of an archive by unpacking it.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let at = |option: &str, error| vec![OptionError { pointer: pointer(&[option]), error }];
        let path = context.resolver.resolve(&self.path).map_err(|error| at("path", error))?;
        let is_archive = !path.is_dir();
        let mut names = Vec::new();
        if is_archive {
            // A check is not yet a reading: nobody watches it.
            let listed = context.resolver.resolve_file(&self.path).and_then(|path| {
                let visit = |name: &str, _: &mut dyn Read| {
                    names.extend(self.is_text(name).then(|| name.to_owned()));
                    Ok(())
                };
                archive::read(&path, &Disk, visit)
            });
            listed.map_err(|error| at("path", error))?;
        } else {
            names = listing::list(&path, |name| self.is_text(name)).map_err(|error| at("path", error))?;
        }
        let Layout { root, splits } = layout::of(names, self)
            .map_err(|(option, fault)| at(option, CorpusError::Folder { path: path.clone(), fault }))?;
        Ok(Box::new(FolderCorpus { path, is_archive, root, splits, options: self.clone() }))
    }
}

impl FolderOptions {
    fn is_text(&self, name: &str) -> bool {
        name.strip_suffix(&self.extension).is_some_and(|stem| stem.ends_with('.'))
    }
}

struct FolderCorpus {
    path: PathBuf,
    is_archive: bool,
    /// What the folders of the splits lie in, with a `/` behind it; empty where that is `path` itself.
    root: String,
    splits: Vec<Split>,
    options: FolderOptions,
}

impl FolderCorpus {
    fn find(&self, split: &str) -> Result<&Split, CorpusError> {
        self.splits.iter().find(|known| known.name == split).ok_or_else(|| unknown(split, self.splits()))
    }

    /// The documents of an archive, which come in any order, in that of their paths.
    fn unpack(
        &self,
        split: &Split,
        files: &dyn Files,
    ) -> Result<impl Iterator<Item = Result<Document, CorpusError>> + use<>, CorpusError> {
        let mut spill = Spill::new()?;
        let mut found: Vec<Option<usize>> = vec![None; split.texts.len()];
        archive::read(&self.path, files, |name, member| {
            if let Ok(index) = split.texts.binary_search_by(|text| text.name.as_str().cmp(name)) {
                let most = self.options.max_document_bytes.get().saturating_add(BYTE_ORDER_MARK.len() as u64 + 1);
                let mut bytes = Vec::new();
                member.take(most).read_to_end(&mut bytes)?;
                let path = self.path.join(name);
                let document = self.document(&path, Box::new(Cursor::new(bytes)), split, index);
                found[index] =
                    Some(document.and_then(|document| spill.push(&document)).map_err(std::io::Error::other)?);
            }
            Ok(())
        })?;
        let order: Option<Vec<usize>> = found.into_iter().collect();
        let changed = || CorpusError::Folder { path: self.path.clone(), fault: FolderFault::Changed };
        spill.read(order.ok_or_else(changed)?)
    }

    fn document(
        &self,
        path: &Path,
        file: Box<dyn Read + Send>,
        split: &Split,
        index: usize,
    ) -> Result<Document, CorpusError> {
        let max = self.options.max_document_bytes.get();
        let mut bytes = Vec::new();
        let mut text = unpacked(path, file)?.take(max.saturating_add(BYTE_ORDER_MARK.len() as u64 + 1));
        text.read_to_end(&mut bytes).map_err(|source| reading(path, source))?;
        let fault = |fault| CorpusError::Folder { path: path.to_owned(), fault };
        let whole = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..byte].iter().filter(|&&byte| byte == b'\n').count() as u64;
            // One that is cut is too long first of all.
            if error.as_bytes().len() as u64 > max + BYTE_ORDER_MARK.len() as u64 {
                return fault(FolderFault::TooLong { max });
            }
            CorpusError::Utf8 { path: path.to_owned(), line, byte: byte as u64 }
        })?;
        let stands = whole.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&whole);
        if stands.len() as u64 > max {
            return Err(fault(FolderFault::TooLong { max }));
        }
        if stands.trim().is_empty() {
            return Err(fault(FolderFault::Empty));
        }
        Ok(Document {
            id: index as u64,
            line: Some(1),
            indent: indent(stands),
            text: stands.trim().to_owned(),
            label: split.texts[index].label.clone(),
            ..Document::default()
        })
    }
}

impl Corpus for FolderCorpus {
    fn splits(&self) -> Vec<String> {
        self.splits.iter().map(|split| split.name.clone()).collect()
    }

    fn layers(&self) -> Vec<String> {
        let labelled = self.splits.iter().any(|split| split.texts.iter().any(|text| text.label.is_some()));
        labelled.then(|| "label".to_owned()).into_iter().collect()
    }

    fn files(&self, split: &str) -> Vec<PathBuf> {
        match self.find(split) {
            Ok(_) if self.is_archive => vec![self.path.clone()],
            Ok(split) => split.texts.iter().map(|text| self.path.join(&text.name)).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// The labels of its texts in their order, each as often as it comes; of an archive also which of its files they are.
    fn recipe(&self, split: &str) -> Value {
        let mut labels: Vec<(Option<&str>, u64)> = Vec::new();
        let Ok(split) = self.find(split) else { return Value::Null };
        for text in &split.texts {
            match labels.last_mut() {
                Some((label, count)) if *label == text.label.as_deref() => *count += 1,
                _ => labels.push((text.label.as_deref(), 1)),
            }
        }
        if self.is_archive {
            let below = format!("{}{}", self.root, split.folder);
            json!({ "kind": "folder", "labels": labels, "below": below, "extension": self.options.extension })
        } else {
            json!({ "kind": "folder", "labels": labels })
        }
    }

    /// An archive was gone through when it was opened.
    fn look(&self, split: &str) -> Result<(), CorpusError> {
        if self.is_archive {
            return Ok(());
        }
        first_documents(self.documents(split, &Disk)?)
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let split = self.find(split)?;
        let empty = CorpusError::Empty { split: split.name.clone(), path: None };
        if self.is_archive {
            let mut documents = None;
            return Ok(stream(
                move || {
                    match &mut documents {
                        Some(documents) => documents,
                        None => documents.insert(self.unpack(split, files)?),
                    }
                    .next()
                    .transpose()
                },
                empty,
            ));
        }
        let mut texts = split.texts.iter().enumerate();
        let next = move || {
            let Some((index, text)) = texts.next() else { return Ok(None) };
            let path = self.path.join(&text.name);
            let file = files.open(&path).map_err(|source| CorpusError::Io { path: path.clone(), source })?;
            self.document(&path, file, split, index).map(Some)
        };
        Ok(stream(next, empty))
    }
}

#[cfg(test)]
mod tests;
