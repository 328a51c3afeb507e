//! Which column is what.

use super::options::{Column, Table, named};
use super::rows::Row;
use crate::error::CorpusError;
use crate::lines::Lines;
use crate::shown::shortened;

/// Where the fields of a document stand in a row.
pub(crate) struct Columns {
    pub text: usize,
    pub label: Option<usize>,
    pub group: Option<usize>,
    /// The names of all columns.
    pub names: Vec<String>,
}

/// An error, and the option that is at fault, where one is.
pub(crate) type Fault = Box<(Option<&'static str>, CorpusError)>;

impl Columns {
    /// Finds them by the first row, which is a header or is not.
    pub(crate) fn find(table: &Table, first: &Row, lines: &Lines) -> Result<Self, Fault> {
        let Table { wanted, header, .. } = table;
        let header = *header;
        let name = |(at, field): (usize, &str)| if header { field.trim().to_owned() } else { (at + 1).to_string() };
        let names: Vec<String> = first.fields().enumerate().map(name).collect();
        let (path, line) = (lines.path(), first.line);
        let find = |column: &str| -> Result<Option<usize>, CorpusError> {
            let mut found = (0..names.len()).filter(|&at| names[at] == column);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(CorpusError::ColumnTwice { path: path.clone(), line, column: column.to_owned() }),
                (found, None) => Ok(found),
            }
        };
        let one = || if header { one_column(table, first, lines) } else { None };
        let missing = |column: &str| {
            one().unwrap_or_else(|| CorpusError::Column {
                path: path.clone(),
                line,
                column: column.to_owned(),
                header,
                found: names.clone(),
            })
        };
        let require = |option: &'static str, column: &Column| -> Result<usize, Fault> {
            let found = find(&column.0).and_then(|found| found.ok_or_else(|| missing(&column.0)));
            found.map_err(|error| Box::new((Some(option), error)))
        };
        let own = |error| Box::new((None, error));
        let text = match &wanted.text {
            Some(column) => require("text", column)?,
            None if names.len() == 1 => one().map_or(Ok(0), |error| Err(own(error)))?,
            None => {
                let known = wanted.texts.iter().map(|name| find(name)).find_map(Result::transpose);
                known.unwrap_or_else(|| Err(missing(wanted.texts.first().unwrap_or(&"text")))).map_err(own)?
            }
        };
        let label = match &wanted.label {
            Some(column) => Some(require("label", column)?),
            None => find("label").map_err(own)?,
        };
        let group = wanted.group.as_ref().map(|column| require("group", column)).transpose()?;
        Ok(Self { text, label, group, names })
    }
}

/// The error that a header is one column, where it looks as if other delimiters stood in it than the table's: every row would be
/// one text, its label in it.
fn one_column(table: &Table, header: &Row, lines: &Lines) -> Option<CorpusError> {
    let column = (header.len() == 1).then(|| header.field(0))?;
    let other = *b"\t;,|".iter().find(|&&other| other != table.delimiter && column.contains(char::from(other)))?;
    let delimiter = format!("`delimiter = \"{}\"`", char::from(other).escape_default());
    let remedy = match (table.kind, other) {
        ("csv", _) => delimiter,
        (_, b',') => "`kind = \"csv\"`".to_owned(),
        _ => format!("`kind = \"csv\"` and {delimiter}"),
    };
    Some(CorpusError::OneColumn {
        path: lines.path().clone(),
        line: header.line,
        column: shortened(column),
        between: named(other),
        remedy,
    })
}
