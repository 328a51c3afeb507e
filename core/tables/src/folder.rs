//! A folder with the tables of one step.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::parquet::{Batch, TableWriter, read};
use crate::{Table, TableError, TableResult};

/// A folder with the tables of one step, each under its own name.
#[derive(Clone, Copy, Debug)]
pub struct Folder<'a>(pub &'a Path);

impl Folder<'_> {
    /// Begins a table with a column for `each` of the layers or metrics that it has some of.
    pub fn create(&self, table: &Table, each: &[impl AsRef<str>]) -> TableResult<TableWriter> {
        TableWriter::create(&self.0.join(table.file()), table, each)
    }

    /// Reads a table, batch by batch.
    pub fn read(&self, table: &Table) -> TableResult<impl Iterator<Item = TableResult<Batch>> + use<>> {
        read(&self.0.join(table.file()))
    }

    /// What is wrong with a table that reads, but says what it cannot.
    pub fn malformed(&self, table: &Table, what: impl std::fmt::Display) -> TableError {
        TableError::malformed(&self.0.join(table.file()), what)
    }

    /// Writes a value as JSON for people.
    pub fn write_json(&self, file: &str, value: &impl Serialize) -> TableResult<()> {
        let path = self.0.join(file);
        let json = serde_json::to_vec_pretty(value).map_err(|error| TableError::unwritten(&path, error))?;
        std::fs::write(&path, json).map_err(|error| TableError::io("write", &path, error))
    }

    /// Reads what [`Folder::write_json`] wrote.
    pub fn read_json<T: DeserializeOwned>(&self, file: &str) -> TableResult<T> {
        let path = self.0.join(file);
        let json = std::fs::read(&path).map_err(|error| TableError::io("read", &path, error))?;
        serde_json::from_slice(&json).map_err(|error| TableError::malformed(&path, error))
    }
}
