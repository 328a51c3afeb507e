//! Which column is what.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::rows::Row;
use super::{Table, named};
use crate::error::CorpusError;
use crate::lines::Lines;
use crate::shown::shortened;

/// A column: its name in the header or, without a header, its number from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Column(pub(crate) String);

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Column;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name or its number from 1")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Column, E> {
                Ok(Column(name.to_owned()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Column, E> {
                Ok(Column(number.to_string()))
            }
        }
        deserializer.deserialize_any(Name)
    }
}

impl JsonSchema for Column {
    fn schema_name() -> Cow<'static, str> {
        "Column".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "minimum": 1 })
    }
}

/// What stands between fields.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delimiter(u8);

impl Delimiter {
    pub(crate) fn get(self) -> u8 {
        self.0
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self(b',')
    }
}

impl TryFrom<String> for Delimiter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            &[byte] if byte.is_ascii() && !b"\"\r\n".contains(&byte) => Ok(Self(byte)),
            _ => Err("expected one character of ASCII that is no quote and no line end".to_owned()),
        }
    }
}

impl From<Delimiter> for String {
    fn from(delimiter: Delimiter) -> Self {
        char::from(delimiter.0).into()
    }
}

impl JsonSchema for Delimiter {
    fn schema_name() -> Cow<'static, str> {
        "Delimiter".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 1 })
    }
}

/// The columns that the options name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub text: Option<Column>,
    pub label: Option<Column>,
    pub group: Option<Column>,
    /// What the column of the text may be called when it is not given.
    pub texts: &'static [&'static str],
}

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
