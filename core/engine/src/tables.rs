//! Parquet files, in and out, with plain columns that pandas, Polars and DuckDB open as they are.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::error::{Error, Result};

/// Rows that are converted at once, in and out: the bound on what a table holds in memory beside its writer.
pub const ROWS: usize = 1 << 16;

/// Rows of a row group at most. A writer of Parquet holds the description of every row group until the file is closed: the
/// one thing here that grows with the text. Large groups keep that small, at the price of holding the encoded rows of one
/// group, some megabytes, whatever the length of the text.
const ROW_GROUP: usize = 1 << 19;

/// Writes a table, batch by batch.
pub struct TableWriter {
    path: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
}

impl TableWriter {
    /// Begins a table of these columns (name, type, whether it can be null).
    pub fn create(path: &Path, columns: &[(&str, DataType, bool)]) -> Result<Self> {
        let fields: Vec<Field> =
            columns.iter().map(|(name, kind, null)| Field::new(*name, kind.clone(), *null)).collect();
        let schema = Arc::new(Schema::new(fields));
        let file = File::create(path).map_err(|error| Error::io("write", path, &error))?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            // Indexes of pages would be held to the end as well, and nobody looks for single rows.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
        for (name, kind, _) in columns {
            match kind {
                // Hardly any float comes twice: a dictionary of them is filled, and thrown away.
                DataType::Float32 | DataType::Float64 => {
                    properties = properties.set_column_dictionary_enabled((*name).into(), false);
                }
                // The least and the greatest text of a row group are slices of its dictionary, all of which is then
                // held to the end.
                DataType::Utf8 => {
                    properties = properties.set_column_statistics_enabled((*name).into(), EnabledStatistics::None);
                }
                _ => {}
            }
        }
        let properties = properties.build();
        // Without Arrow's own schema beside Parquet's, every reader sees plain columns.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options);
        let writer = writer.map_err(|error| broken("write", path, error))?;
        Ok(Self { path: path.to_owned(), schema, writer })
    }

    /// Adds rows: one array a column.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| Error::Internal(format!("a table's columns do not fit together: {error}")))?;
        self.writer.write(&batch).map_err(|error| broken("write", &self.path, error))
    }

    /// Ends the table.
    pub fn finish(self) -> Result<()> {
        self.writer.close().map(|_| ()).map_err(|error| broken("write", &self.path, error))
    }
}

/// Reads a table, batch by batch.
pub fn read(path: &Path) -> Result<impl Iterator<Item = Result<Batch>>> {
    let file = File::open(path).map_err(|error| Error::io("read", path, &error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(ROWS).build())
        .map_err(|error| broken("read", path, error))?;
    let path: Arc<Path> = path.into();
    Ok(reader.map(move |batch| {
        let rows = batch.map_err(|error| broken("read", &path, error))?;
        Ok(Batch { rows, path: Arc::clone(&path) })
    }))
}

/// Some rows of a table.
pub struct Batch {
    rows: RecordBatch,
    path: Arc<Path>,
}

impl Batch {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A column of numbers.
    pub fn numbers<T: ArrowPrimitiveType>(&self, name: &str) -> Result<&PrimitiveArray<T>> {
        let column = self.column(name)?.as_primitive_opt::<T>();
        column.ok_or_else(|| self.wrong(name, &T::DATA_TYPE.to_string()))
    }

    /// A column of text.
    pub fn text(&self, name: &str) -> Result<&StringArray> {
        self.column(name)?.as_string_opt::<i32>().ok_or_else(|| self.wrong(name, "text"))
    }

    fn column(&self, name: &str) -> Result<&dyn Array> {
        let column = self.rows.column_by_name(name);
        column.map(AsRef::as_ref).ok_or_else(|| Error::User(format!("{} has no column `{name}`", self.path.display())))
    }

    fn wrong(&self, name: &str, expected: &str) -> Error {
        Error::User(format!("column `{name}` of {} is not of {expected}", self.path.display()))
    }
}

fn broken(doing: &str, path: &Path, error: impl std::fmt::Display) -> Error {
    Error::User(format!("cannot {doing} the table {}: {error}", path.display()))
}
