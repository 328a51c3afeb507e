//! `kind = "parquet"`: a row of a Parquet table is a document.

mod columns;
mod options;

use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};

use crate::corpus::{Corpus, Document, Documents, indent, stream};
use crate::error::{CorpusError, OptionError, TableFault};
use crate::files::{Files, open_file};
use crate::format::FormatOptions;
use crate::resolve::Context;
use crate::splits::{Splits, pointer};

pub use options::ParquetOptions;

use columns::{Columns, find, value};

impl FormatOptions for ParquetOptions {
    const KIND: &'static str = "parquet";

    /// What each file says of its columns is read.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let named = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let splits = Splits::resolve(named, &self.splits, self.max_document_bytes, context.resolver)?;
        let mut errors = Vec::new();
        let mut labelled = false;
        // Columns that are called as a label's, and hold none.
        let mut others = Vec::new();
        for (split, path) in splits.iter() {
            // A check is not yet a reading: nobody watches it.
            let opened = open_file(path).map_err(|source| CorpusError::Io { path: path.clone(), source });
            match opened.and_then(|file| builder(path, file)).and_then(|builder| self.columns(path, &builder)) {
                Ok(columns) => {
                    labelled |= columns.label.is_some();
                    let fault = columns.no_label.map(|fault| CorpusError::Table { path: path.clone(), fault });
                    others.extend(fault.map(|error| OptionError { pointer: self.culprit(split, &error), error }));
                }
                Err(error) => errors.push(OptionError { pointer: self.culprit(split, &error), error }),
            }
        }
        let no_label = others.first().map(|other| other.error.to_string());
        if labelled {
            // Documents of one split would have labels, and of another none.
            errors.append(&mut others);
        }
        if errors.is_empty() {
            Ok(Box::new(ParquetCorpus { splits, labelled, no_label, options: self.clone() }))
        } else {
            Err(errors)
        }
    }
}

impl ParquetOptions {
    fn columns(&self, path: &Path, builder: &Builder) -> Result<Columns, CorpusError> {
        find(builder.schema(), self).map_err(|fault| CorpusError::Table { path: path.to_owned(), fault })
    }

    /// The option that an error of opening a split's file is about.
    fn culprit(&self, split: &str, error: &CorpusError) -> String {
        let column = match error {
            CorpusError::Table {
                fault: TableFault::Column { column, .. } | TableFault::Type { column, .. }, ..
            } => Some(column),
            _ => None,
        };
        let named = [("text", &self.text), ("label", &self.label), ("group", &self.group)];
        match named.iter().find(|(_, named)| column.is_some() && named.as_ref() == column) {
            Some((option, _)) => pointer(&[option]),
            None if self.splits.contains_key(split) => pointer(&["splits", split]),
            None => pointer(&[split]),
        }
    }
}

type Builder = ParquetRecordBatchReaderBuilder<File>;

/// Reads what a table says of itself at its end.
fn builder(path: &Path, mut file: File) -> Result<Builder, CorpusError> {
    let fault = |fault| CorpusError::Table { path: path.to_owned(), fault };
    let failed = |source| CorpusError::Io { path: path.to_owned(), source };
    let mut mark = Vec::new();
    (&file).take(4).read_to_end(&mut mark).map_err(failed)?;
    if mark != *b"PAR1" {
        return Err(fault(TableFault::NotParquet));
    }
    file.seek(SeekFrom::End(-4)).map_err(failed)?;
    mark.clear();
    (&file).take(4).read_to_end(&mut mark).map_err(failed)?;
    if mark != *b"PAR1" || file.metadata().map_err(failed)?.len() < 12 {
        return Err(fault(TableFault::CutShort));
    }
    // What a program noted beside the table, such as that a column had a dictionary, changes no value.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    guarded(|| Builder::try_new_with_options(file, options)).map_err(fault)
}

/// Calls the `parquet` library, which panics on some malformed files: that is a fault of the file's.
fn guarded<T, E: Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, TableFault> {
    let reason = match txray_plugin::guard::catch(call) {
        Ok(Ok(made)) => return Ok(made),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("the `parquet` library breaks on it: {panic}"),
    };
    Err(TableFault::Broken { reason })
}

/// A copy of what a door gives, without a name: a table is read from its end, and a door to the end.
fn copy(path: &Path, files: &dyn Files) -> Result<File, CorpusError> {
    let failed = |source| CorpusError::Io { path: path.to_owned(), source };
    let not_put = |source| CorpusError::Spill { folder: std::env::temp_dir(), source };
    let mut from = files.open(path).map_err(failed)?;
    let mut to = tempfile::tempfile().map_err(not_put)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => to.write_all(&buffer[..read]).map_err(not_put)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    to.rewind().map_err(not_put)?;
    Ok(to)
}

struct ParquetCorpus {
    splits: Splits,
    labelled: bool,
    /// Why a column that is called as a label's is none.
    no_label: Option<String>,
    options: ParquetOptions,
}

impl Corpus for ParquetCorpus {
    fn splits(&self) -> Vec<String> {
        self.splits.names()
    }

    fn layers(&self) -> Vec<String> {
        self.labelled.then(|| "label".to_owned()).into_iter().collect()
    }

    fn no_layer(&self, layer: &str) -> Option<String> {
        self.no_label.clone().filter(|_| layer == "label")
    }

    fn files(&self, split: &str) -> Vec<PathBuf> {
        self.splits.files(split)
    }

    fn recipe(&self, _: &str) -> Value {
        let ParquetOptions { text, label, group, .. } = &self.options;
        json!({ "kind": "parquet", "text": text, "label": label, "group": group })
    }

    /// What a table is was looked at when it was opened, and to read a row of it is to copy all.
    fn look(&self, _: &str) -> Result<(), CorpusError> {
        Ok(())
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let path = self.splits.file(split)?.clone();
        let empty = CorpusError::Empty { split: split.to_owned(), path: None };
        let max = self.options.max_document_bytes.get();
        let mut reader = None;
        let next = move || {
            let reader = match &mut reader {
                Some(reader) => reader,
                None => reader.insert(Reader::open(&path, &self.options, files)?),
            };
            let next = reader.next(max, |row| files.left_out(&path, row));
            next.map_err(|fault| CorpusError::Table { path: path.clone(), fault })
        };
        Ok(stream(next, empty))
    }
}

/// The rows that are decoded at once. How large they come out nothing in a file tells: of a text that many rows have, a dictionary
/// has one, and the mean over a file does not know its longest. Rows in batches this small take no longer.
const BATCH_ROWS: usize = 16;

struct Reader {
    batches: ParquetRecordBatchReader,
    columns: Columns,
    batch: Option<RecordBatch>,
    /// The next row of `batch`.
    at: usize,
    /// The rows that were read, and those of them that have a text.
    rows: u64,
    documents: u64,
}

impl Reader {
    fn open(path: &Path, options: &ParquetOptions, files: &dyn Files) -> Result<Self, CorpusError> {
        let builder = builder(path, copy(path, files)?)?;
        let columns = options.columns(path, &builder)?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.roots());
        let batches = guarded(|| builder.with_projection(mask).with_batch_size(BATCH_ROWS).build());
        let batches = batches.map_err(|fault| CorpusError::Table { path: path.to_owned(), fault })?;
        Ok(Self { batches, columns, batch: None, at: 0, rows: 0, documents: 0 })
    }

    /// The next row with a text. `left_out` hears of those without one.
    fn next(&mut self, max: u64, left_out: impl Fn(u64)) -> Result<Option<Document>, TableFault> {
        loop {
            let batch = match &self.batch {
                Some(batch) if self.at < batch.num_rows() => batch,
                _ => {
                    // After an error nothing more is asked of it: what a panic leaves half done is not used again.
                    match guarded(|| self.batches.next().transpose())? {
                        Some(next) => self.batch = Some(next),
                        None if self.rows > 0 && self.documents == 0 => {
                            return Err(TableFault::NoText { column: self.columns.text.to_string() });
                        }
                        None => return Ok(None),
                    }
                    self.at = 0;
                    continue;
                }
            };
            let document = self.document(batch, max)?;
            self.rows += 1;
            self.at += 1;
            match document {
                Some(document) => {
                    self.documents += 1;
                    return Ok(Some(document));
                }
                None => left_out(self.rows),
            }
        }
    }

    /// The document of the next row of a batch, where it has a text.
    fn document(&self, batch: &RecordBatch, max: u64) -> Result<Option<Document>, TableFault> {
        let row = self.rows + 1;
        let of = |column: &Arc<str>| batch.column_by_name(column).and_then(|column| value(column, self.at));
        let Some(stands) = of(&self.columns.text) else { return Ok(None) };
        if stands.len() as u64 > max {
            return Err(TableFault::TooLong { row, max });
        }
        let text = stands.trim();
        if text.is_empty() {
            return Ok(None);
        }
        // An empty value says that the document has no label or group.
        let named = |column: &Option<Arc<str>>| -> Option<Arc<str>> {
            let value = of(column.as_ref()?)?;
            let value = value.trim();
            (!value.is_empty()).then(|| value.into())
        };
        Ok(Some(Document {
            id: self.documents,
            line: Some(row),
            indent: indent(&stands),
            text: text.to_owned(),
            group: named(&self.columns.group),
            label: named(&self.columns.label),
            ..Document::default()
        }))
    }
}

#[cfg(test)]
mod tests;
