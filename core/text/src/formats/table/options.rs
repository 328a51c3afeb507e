//! What the options of a table say.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::rows::Quoting;
use crate::splits::Splits;

/// A table in each split, and how it is read.
pub(crate) struct Table {
    pub kind: &'static str,
    pub splits: Splits,
    /// The byte between fields, which is ASCII.
    pub delimiter: u8,
    /// What quotes mean; where it is not given, they mean nothing, and rows that look as if they did are refused.
    pub quoting: Option<Quoting>,
    /// Whether the first row names the columns.
    pub header: bool,
    pub wanted: Wanted,
}

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

/// What a message calls a delimiter.
pub(super) fn named(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tabs".to_owned(),
        b',' => "commas".to_owned(),
        other => format!("`{}`", char::from(other)),
    }
}
