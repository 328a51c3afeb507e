//! Observations as a Parquet table.

use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use txray_plugin::{Error, Result};
use txray_tables::{Batch, ForeignTable, TableError, TableResult};

use super::columns::{Column, Holds, Place};
use super::row::{Cell, Row, Rows};
use super::{at, refused};

/// What a row is called.
pub(super) const UNIT: &str = "row";

/// The columns that a table says it has.
pub(super) fn columns(path: &Path) -> Result<Vec<Column>> {
    let table = ForeignTable::open(path).map_err(|error| unread(path, error))?;
    let columns =
        table.fields().iter().map(|field| Column { name: field.name().clone(), holds: holds(field.data_type()) });
    Ok(columns.collect())
}

/// Opens the rows, to be read into these places.
pub(super) fn rows(path: &Path, places: &[Option<Place>]) -> Result<Box<dyn Rows>> {
    let read: Vec<(usize, Place)> =
        places.iter().enumerate().filter_map(|(column, place)| Some((column, (*place)?))).collect();
    let table = ForeignTable::open(path).map_err(|error| unread(path, error))?;
    let batches = table.read(&read.iter().map(|(column, _)| *column).collect::<Vec<_>>());
    Ok(Box::new(Parquet {
        path: path.to_owned(),
        batches: Box::new(batches.map_err(|error| unread(path, error))?),
        places: read.into_iter().map(|(_, place)| place).collect(),
        columns: Vec::new(),
        at: 0,
        number: 0,
    }))
}

struct Parquet {
    path: PathBuf,
    batches: Box<dyn Iterator<Item = TableResult<Batch>> + Send>,
    /// `[columns]` those of a batch.
    places: Vec<Place>,
    /// `[columns]` of the rows that are being read.
    columns: Vec<ArrayRef>,
    /// The next of these rows.
    at: usize,
    /// The rows that were read before.
    number: u64,
}

impl Rows for Parquet {
    fn next(&mut self, row: &mut Row) -> Result<bool> {
        while self.columns.first().is_none_or(|column| self.at == column.len()) {
            match self.batches.next() {
                Some(batch) => self.columns = batch.map_err(|error| unread(&self.path, error))?.columns(),
                None => return Ok(false),
            }
            self.at = 0;
        }
        self.number += 1;
        row.number = self.number;
        let mut cells = self.places.iter().zip(&self.columns).map(|(place, column)| (*place, cell(column, self.at)));
        let set = cells.try_for_each(|(place, cell)| row.set(place, cell)).and_then(|()| row.check());
        set.map_err(|what| refused(&self.path, at(UNIT, self.number, what)))?;
        self.at += 1;
        Ok(true)
    }
}

/// A fault of the file: its path stands before all that is said of it.
fn unread(path: &Path, error: TableError) -> Error {
    match error {
        TableError::Io { source, .. } => refused(path, format!("cannot read it: {source}")),
        TableError::Unreadable { what, .. } => {
            refused(path, format!("it is no Parquet table that can be read: {what}"))
        }
        other => refused(path, other),
    }
}

fn holds(of: &DataType) -> Holds {
    match of {
        DataType::Utf8 => Holds::Text,
        DataType::Boolean => Holds::Truths,
        DataType::Float32 | DataType::Float64 => Holds::Floats,
        // Of dates and decimals nothing is an integer to Arrow.
        of if of.is_integer() => Holds::Integers,
        other => Holds::Other(other.to_string()),
    }
}

/// What stands in a row of a column of these types.
fn cell(column: &ArrayRef, row: usize) -> Cell<'_> {
    macro_rules! integer {
        ($kind:ty) => {
            Cell::Integer(column.as_primitive::<$kind>().value(row).into())
        };
    }
    if column.is_null(row) {
        return Cell::Null;
    }
    match column.data_type() {
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row)),
        DataType::Boolean => Cell::Truth(column.as_boolean().value(row)),
        DataType::Float32 => Cell::Float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Cell::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        _ => Cell::Null,
    }
}
