//! Tables that other programs wrote.

use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::Fields;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::parquet::{Batch, ROWS};
use crate::{TableError, TableResult};

/// The mark at both ends of a Parquet file.
const MARK: [u8; 4] = *b"PAR1";

/// Bytes of rows that are meant to be in memory at once.
const BATCH_BYTES: i64 = 32 << 20;

/// A table that any program wrote: its columns are those that it says it has.
///
/// Its types are Parquet's own. What a program noted beside the table, such as that a column had a dictionary, changes no value.
pub struct ForeignTable {
    path: PathBuf,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl ForeignTable {
    /// Whether a file begins as Parquet does.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn is_one(path: &Path) -> TableResult<bool> {
        let failed = |error| TableError::io("read", path, error);
        let mut mark = Vec::new();
        File::open(path).map_err(failed)?.take(MARK.len() as u64).read_to_end(&mut mark).map_err(failed)?;
        Ok(mark == MARK)
    }

    /// Reads what a table says of itself at its end.
    ///
    /// # Errors
    /// A file that cannot be read, or is no table.
    pub fn open(path: &Path) -> TableResult<Self> {
        let failed = |error| TableError::io("read", path, error);
        let mut file = File::open(path).map_err(failed)?;
        let mut mark = [0; MARK.len()];
        // Two marks and the length of what stands before the second.
        let is_whole = file.metadata().map_err(failed)?.len() >= 12
            && file.seek(SeekFrom::End(-(MARK.len() as i64))).and_then(|_| file.read_exact(&mut mark)).is_ok()
            && mark == MARK;
        if !is_whole {
            return Err(unreadable(path, "it does not end as a Parquet file does: it is cut off, or was not closed"));
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = guarded(path, || ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))?;
        Ok(Self { path: path.to_owned(), builder })
    }

    /// Its columns, in order.
    pub fn fields(&self) -> &Fields {
        self.builder.schema().fields()
    }

    /// Reads some of its columns, batch by batch: those of a batch are in the order of the table.
    ///
    /// # Errors
    /// A file that cannot be read, or is no table.
    pub fn read(self, columns: &[usize]) -> TableResult<impl Iterator<Item = TableResult<Batch>> + use<>> {
        let Self { path, builder } = self;
        let metadata = builder.metadata();
        let bytes =
            metadata.row_groups().iter().map(|group| group.total_byte_size().max(0)).fold(0, i64::saturating_add);
        let a_row = bytes / metadata.file_metadata().num_rows().max(1) + 1;
        let rows = (BATCH_BYTES / a_row).clamp(1, ROWS as i64);
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
        let reader = guarded(&path, || builder.with_projection(mask).with_batch_size(rows as usize).build())?;
        let path: Arc<Path> = path.into();
        let mut reader = Some(reader);
        Ok(std::iter::from_fn(move || {
            let next = guarded(&path, || reader.as_mut().and_then(Iterator::next).transpose());
            if next.is_err() {
                // What a panic leaves half done is not used again.
                reader = None;
            }
            next.transpose().map(|batch| batch.map(|rows| Batch::new(rows, Arc::clone(&path))))
        }))
    }
}

fn unreadable(path: &Path, what: impl Display) -> TableError {
    TableError::Unreadable { path: path.to_owned(), what: what.to_string() }
}

/// Calls the `parquet` library, which panics on some malformed files: that is a fault of the file's.
fn guarded<T, E: Display>(path: &Path, call: impl FnOnce() -> Result<T, E>) -> TableResult<T> {
    match txray_plugin::guard::catch(call) {
        Ok(made) => made.map_err(|error| unreadable(path, error)),
        Err(panic) => Err(unreadable(path, format!("the `parquet` library breaks on it: {panic}"))),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Float64Type;
    use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::properties::WriterProperties;

    use super::*;

    /// Packed further than the pages that are written here ever are: what `read` takes for a page that lies.
    #[test]
    fn a_table_that_is_packed_otherwise_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 3 * ROWS]));
        let ones: ArrayRef = Arc::new(Int64Array::from(vec![1; 3 * ROWS]));
        let rows = RecordBatch::try_from_iter([("ones", ones), ("zeros", zeros)]).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_dictionary_enabled(false)
            .build();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let first = crate::parquet::read(&path).and_then(|mut batches| batches.next().unwrap());
        assert!(matches!(first, Err(TableError::Malformed { .. })));

        assert!(ForeignTable::is_one(&path).unwrap());
        let table = ForeignTable::open(&path).unwrap();
        assert_eq!(table.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["ones", "zeros"]);
        let batches: Vec<Batch> = table.read(&[1]).unwrap().collect::<TableResult<_>>().unwrap();
        assert!(batches.iter().all(|batch| batch.columns().len() == 1 && batch.len() <= ROWS));
        let zeros = batches.iter().flat_map(|batch| batch.numbers::<Float64Type>("zeros").unwrap().values());
        assert!(zeros.copied().eq(vec![0.0; 3 * ROWS]));

        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(ForeignTable::open(&path), Err(TableError::Unreadable { .. })));
        assert!(matches!(ForeignTable::open(&folder.path().join("none")), Err(TableError::Io { .. })));
    }
}
