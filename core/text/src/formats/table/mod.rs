//! Tables as text: what the formats of them have in common. A row is a document.

mod columns;
mod options;
mod rows;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use self::columns::{Columns, Fault};
use self::options::named;
pub(crate) use self::options::{Column, Delimiter, Table, Wanted};
pub(crate) use self::rows::Quoting;
use self::rows::{Row, Rows};
use crate::corpus::{Corpus, Document, Documents, indent, stream};
use crate::error::{CorpusError, OptionError};
use crate::files::{Disk, Files};
use crate::lines::Lines;
use crate::splits::pointer;

impl Table {
    /// The corpus, after a look at the first row of each file.
    pub(crate) fn open(self) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut labelled = false;
        for (split, _) in self.splits.iter() {
            // A check is not yet a reading: nobody watches it.
            let lines = self.splits.lines(split, &Disk).map_err(|error| Box::new((None, error)));
            match lines.and_then(|lines| Reader::look(split, lines, &self)) {
                Ok(columns) => labelled |= columns.label.is_some(),
                Err(fault) => {
                    let (option, error) = *fault;
                    let pointer = option.map_or_else(|| self.splits.pointer(split), |option| pointer(&[option]));
                    errors.push(OptionError { pointer, error });
                }
            }
        }
        if errors.is_empty() { Ok(Box::new(TableCorpus { table: self, labelled })) } else { Err(errors) }
    }
}

/// The rows that are looked at before anything runs, where quotes have to be asked for.
const LOOKED_AT: u64 = 1000;

struct TableCorpus {
    table: Table,
    labelled: bool,
}

impl Corpus for TableCorpus {
    fn splits(&self) -> Vec<String> {
        self.table.splits.names()
    }

    fn layers(&self) -> Vec<String> {
        self.labelled.then(|| "label".to_owned()).into_iter().collect()
    }

    fn files(&self, split: &str) -> Vec<PathBuf> {
        self.table.splits.files(split)
    }

    fn recipe(&self, _: &str) -> Value {
        let Table { kind, delimiter, quoting, header, wanted, .. } = &self.table;
        json!({
            "kind": kind,
            "delimiter": char::from(*delimiter),
            "quoting": quoting.unwrap_or(Quoting::None),
            "header": header,
            "text": wanted.text,
            "label": wanted.label,
            "group": wanted.group,
        })
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let lines = self.table.splits.lines(split, files)?;
        let path = lines.path().clone();
        let mut reader = Reader::open(split, lines, &self.table).map_err(|fault| fault.1)?;
        let empty = CorpusError::NoRow { split: split.to_owned(), path };
        Ok(stream(move || reader.next(files), empty))
    }
}

struct Reader {
    rows: Rows,
    columns: Columns,
    /// The first row, where it is no header.
    first: Option<Row>,
    id: u64,
    delimiter: u8,
    /// The first row without a text, to name should no row have one.
    no_text: Option<CorpusError>,
}

impl Reader {
    /// Reads the first row.
    fn open(split: &str, lines: Lines, table: &Table) -> Result<Self, Fault> {
        let mut rows = Rows::new(lines, table.delimiter, table.quoting);
        let own = |error| Box::new((None, error));
        let Some(first) = rows.next().map_err(own)? else {
            let path = Some(rows.lines.path().clone());
            return Err(own(CorpusError::Empty { split: split.to_owned(), path }));
        };
        let columns = Columns::find(table, &first, &rows.lines)?;
        let first = (!table.header).then_some(first);
        Ok(Self { rows, columns, first, id: 0, delimiter: table.delimiter, no_text: None })
    }

    /// Which columns there are; before anything runs, some rows tell as well whether quotes have to be asked for.
    fn look(split: &str, lines: Lines, table: &Table) -> Result<Columns, Fault> {
        let mut reader = Self::open(split, lines, table)?;
        for _ in 0..if table.quoting.is_none() { LOOKED_AT } else { 0 } {
            let Some(row) = reader.rows.next().transpose() else { break };
            match row.and_then(|row| reader.fit(&row)) {
                Err(error @ CorpusError::Quotes { .. }) => return Err(Box::new((None, error))),
                // Of other faults tells whoever reads it all.
                Err(_) => break,
                Ok(()) => {}
            }
        }
        Ok(reader.columns)
    }

    /// Whether the row has as many fields as the others.
    fn fit(&self, row: &Row) -> Result<(), CorpusError> {
        let expected = self.columns.names.len();
        if row.len() == expected {
            return Ok(());
        }
        if row.had_quotes && self.rows.looks_for_quotes() && row.fields().any(|field| field.starts_with('"')) {
            return Err(self.rows.undeclared(row));
        }
        let path = self.rows.lines.path().clone();
        let between = named(self.delimiter);
        let quotes = row.had_quotes;
        Err(CorpusError::Fields { path, line: row.line, found: row.len(), expected, between, quotes })
    }

    /// The next row with a text.
    fn next(&mut self, files: &dyn Files) -> Result<Option<Document>, CorpusError> {
        let row = loop {
            let row = match self.first.take() {
                None => self.rows.next()?,
                first => first,
            };
            let Some(row) = row else { return self.no_text.take().map_or(Ok(None), Err) };
            self.fit(&row)?;
            if !row.field(self.columns.text).trim().is_empty() {
                break row;
            }
            let path = self.rows.lines.path();
            files.left_out(path, row.line);
            if self.id == 0 && self.no_text.is_none() {
                let column = self.columns.names[self.columns.text].clone();
                self.no_text = Some(CorpusError::NoText { path: path.clone(), line: row.line, column });
            }
        };
        self.no_text = None;
        let stands = row.field(self.columns.text);
        let text = stands.trim();
        // An empty field says that the document has no label or group.
        let value = |column: Option<usize>| -> Option<Arc<str>> {
            let field = row.field(column?).trim();
            (!field.is_empty()).then(|| field.into())
        };
        let document = Document {
            id: self.id,
            line: Some(row.line),
            indent: indent(stands),
            text: text.to_owned(),
            group: value(self.columns.group),
            label: value(self.columns.label),
            ..Document::default()
        };
        self.id += 1;
        Ok(Some(document))
    }
}
