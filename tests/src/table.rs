//! Reading the Parquet files of a run, with nothing of the engine: as another program would.

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A whole table.
pub struct Table(RecordBatch);

impl Table {
    /// Reads `path`.
    pub fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let (rows, schema) = (reader.metadata().file_metadata().num_rows() as usize, reader.schema().clone());
        let mut reader = reader.with_batch_size(rows.max(1)).build().unwrap();
        let table = reader.next().map_or_else(|| RecordBatch::new_empty(schema), Result::unwrap);
        assert_eq!(table.num_rows(), rows, "{} in one batch", path.display());
        Self(table)
    }

    /// `name: Type`, with a `?` where it can be null, of each column.
    pub fn columns(&self) -> Vec<String> {
        let schema = self.0.schema();
        let column = |field: &arrow_schema::Field| {
            let null = if field.is_nullable() { "?" } else { "" };
            format!("{}: {}{null}", field.name(), field.data_type())
        };
        schema.fields().iter().map(|field| column(field)).collect()
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.0.num_rows()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A column of numbers: `None` where one is null.
    pub fn numbers<T: ArrowPrimitiveType>(&self, name: &str) -> Vec<Option<T::Native>> {
        self.0.column_by_name(name).unwrap().as_primitive::<T>().iter().collect()
    }

    /// A column of text: `None` where one is null.
    pub fn text(&self, name: &str) -> Vec<Option<&str>> {
        self.0.column_by_name(name).unwrap().as_string::<i32>().iter().collect()
    }

    /// A column of truths.
    pub fn truths(&self, name: &str) -> Vec<bool> {
        self.0.column_by_name(name).unwrap().as_boolean().values().iter().collect()
    }
}
