//! Which columns of a table a document is made of, and what stands in them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Schema};

use super::options::ParquetOptions;
use crate::error::TableFault;

/// The columns of a document by name, and where each of them stands in the table.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) text: Arc<str>,
    pub(super) label: Option<Arc<str>>,
    pub(super) group: Option<Arc<str>>,
    /// What is wrong with a column that would be the label's by its name.
    pub(super) no_label: Option<TableFault>,
    roots: Vec<usize>,
}

impl Columns {
    pub(super) fn roots(&self) -> Vec<usize> {
        self.roots.clone()
    }
}

/// Finds the columns that the options name, or that stand for those.
pub(super) fn find(schema: &Schema, options: &ParquetOptions) -> Result<Columns, TableFault> {
    let fields = schema.fields();
    let mut roots = Vec::new();
    let mut require = |column: &str, is_good: fn(&DataType) -> bool, meant| {
        let mut found = fields.iter().enumerate().filter(|(_, field)| field.name() == column);
        let column = column.to_owned();
        let Some((index, field)) = found.next() else {
            return Err(TableFault::Column {
                column,
                found: fields.iter().map(|field| field.name().clone()).collect(),
            });
        };
        if found.next().is_some() {
            return Err(TableFault::Twice { column });
        }
        if !is_good(field.data_type()) {
            return Err(TableFault::Type { column, found: field.data_type().to_string(), meant });
        }
        roots.push(index);
        Ok(Arc::from(column))
    };
    let has = |column: &str, is_good: fn(&DataType) -> bool| {
        fields.iter().any(|field| field.name() == column && is_good(field.data_type()))
    };
    let label = match &options.label {
        Some(column) => Some(column.as_str()),
        None => has("label", is_plain).then_some("label"),
    };
    let text = match &options.text {
        Some(column) => column.as_str(),
        None if has("text", is_string) => "text",
        None => {
            let strings = fields.iter().filter(|field| is_string(field.data_type())).map(|field| field.name().as_str());
            let is_other = |name: &str| label == Some(name) || options.group.as_deref() == Some(name);
            match strings.clone().filter(|name| !is_other(name)).collect::<Vec<_>>()[..] {
                [text] => text,
                _ => return Err(TableFault::NoColumn { found: strings.map(str::to_owned).collect() }),
            }
        }
    };
    const PLAIN: &str = "strings, integers or booleans";
    let text = require(text, is_string, "strings")?;
    let label = label.map(|column| require(column, is_plain, PLAIN)).transpose()?;
    let group = options.group.as_ref().map(|column| require(column, is_plain, PLAIN)).transpose()?;
    let is_label = |name: &str| options.label.is_none() && label.is_none() && name == "label";
    let no_label = fields.iter().find(|field| is_label(field.name())).map(|field| TableFault::Type {
        column: field.name().clone(),
        found: field.data_type().to_string(),
        meant: PLAIN,
    });
    Ok(Columns { text, label, group, no_label, roots })
}

fn is_string(of: &DataType) -> bool {
    matches!(of, DataType::Utf8)
}

fn is_plain(of: &DataType) -> bool {
    is_string(of) || of.is_integer() || *of == DataType::Boolean
}

/// What stands in a row of a column of these types.
pub(super) fn value(column: &ArrayRef, row: usize) -> Option<Cow<'_, str>> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).to_string().into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).to_string().into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string().into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string().into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string().into(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).to_string().into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).to_string().into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).to_string().into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string().into(),
        _ => return None,
    })
}
