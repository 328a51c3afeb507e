//! Parquet files, in and out, with plain columns that pandas, Polars and DuckDB open as they are.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};

use crate::{Kind, Table, TableError, TableResult};

/// Rows that are converted at once, in and out: the bound on what a table holds in memory beside its writer.
pub const ROWS: usize = 1 << 16;

/// Rows of a row group at most. A writer of Parquet holds the description of every row group until the file is closed: the
/// one thing here that grows with the text. Large groups keep that small, at the price of holding the encoded rows of one
/// group, some megabytes, whatever the length of the text.
const ROW_GROUP: usize = 1 << 19;

/// Writes a table, batch by batch. Its bytes depend on its rows alone, and not on how they come in batches.
pub struct TableWriter {
    path: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    /// Rows that are not written yet, fewer than [`ROWS`]: where pages end, the library decides by what it is handed at once.
    pending: Vec<RecordBatch>,
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Bool => DataType::Boolean,
        Kind::U32 => DataType::UInt32,
        Kind::U64 => DataType::UInt64,
        Kind::I64 => DataType::Int64,
        Kind::F32 => DataType::Float32,
        Kind::F64 => DataType::Float64,
    }
}

impl TableWriter {
    /// Begins a table: its own columns, and those for `each` of the layers or metrics it has some of.
    pub fn create(path: &Path, table: &Table, each: &[impl AsRef<str>]) -> TableResult<Self> {
        let own = table.columns.iter().map(|column| (column.name.to_owned(), column.kind, column.null));
        let further = each.iter().flat_map(|name| {
            table.each.iter().map(|further| (further.column(name.as_ref()), further.kind, further.null))
        });
        let columns: Vec<(String, Kind, bool)> = own.chain(further).collect();
        let fields: Vec<Field> =
            columns.iter().map(|(name, kind, null)| Field::new(name, data_type(*kind), *null)).collect();
        let schema = Arc::new(Schema::new(fields));
        let file = File::create(path).map_err(|error| TableError::io("write", path, error))?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP))
            // Indexes of pages would be held to the end as well, and nobody looks for single rows.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
        for (name, kind, _) in &columns {
            match kind {
                // Hardly any float comes twice: a dictionary of them is filled, and thrown away.
                Kind::F32 | Kind::F64 => {
                    properties = properties.set_column_dictionary_enabled(name.as_str().into(), false);
                }
                // The least and the greatest text of a row group are slices of its dictionary, all of which is then
                // held to the end.
                Kind::Text => {
                    properties =
                        properties.set_column_statistics_enabled(name.as_str().into(), EnabledStatistics::None);
                }
                _ => {}
            }
        }
        let properties = properties.build();
        // Without Arrow's own schema beside Parquet's, every reader sees plain columns.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options);
        let writer = writer.map_err(|error| broken("write", path, error))?;
        Ok(Self { path: path.to_owned(), schema, writer, pending: Vec::new() })
    }

    /// Adds rows: one array a column, in the order of the columns.
    pub fn write(&mut self, columns: Vec<ArrayRef>) -> TableResult<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| TableError::unwritten(&self.path, error))?;
        let mut from = 0;
        while from < batch.num_rows() {
            let pending: usize = self.pending.iter().map(RecordBatch::num_rows).sum();
            let taken = (ROWS - pending).min(batch.num_rows() - from);
            self.pending.push(batch.slice(from, taken));
            from += taken;
            if pending + taken == ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Hands what is pending to the library.
    fn flush(&mut self) -> TableResult<()> {
        let rows = concat_batches(&self.schema, &std::mem::take(&mut self.pending))
            .map_err(|error| TableError::unwritten(&self.path, error))?;
        self.writer.write(&rows).map_err(|error| broken("write", &self.path, error))
    }

    /// Ends the table.
    pub fn finish(mut self) -> TableResult<()> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        self.writer.close().map(|_| ()).map_err(|error| broken("write", &self.path, error))
    }
}

/// Reads a table, batch by batch.
pub fn read(path: &Path) -> TableResult<impl Iterator<Item = TableResult<Batch>> + use<>> {
    let file = File::open(path).map_err(|error| TableError::io("read", path, error))?;
    let open = || ParquetRecordBatchReaderBuilder::try_new(Pages(file))?.with_batch_size(ROWS).build();
    let reader = guarded(path, open)?.map_err(|error| broken("read", path, error))?;
    let path: Arc<Path> = path.into();
    let mut reader = Some(reader);
    Ok(std::iter::from_fn(move || {
        let next = guarded(&path, || reader.as_mut()?.next());
        let batch = next.transpose()?.and_then(|batch| batch.map_err(|error| broken("read", &path, error)));
        if batch.is_err() {
            // What a panic leaves half done is not used again.
            reader = None;
        }
        Some(batch.map(|rows| Batch { rows, path: Arc::clone(&path) }))
    }))
}

/// A file whose pages are held to what they can hold before the library makes room for what they say.
struct Pages(File);

impl Length for Pages {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Pages {
    type T = BufReader<File>;

    /// The library reads from where it stands at two kinds of places: the file's end, and the beginning of each page.
    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut reader = self.0.get_read(start)?;
        if start.saturating_add(FOOTER_SIZE as u64) < Length::len(self) && !is_plausible(reader.fill_buf()?) {
            return Err(ParquetError::General("a page says that it has more than it can hold".to_owned()));
        }
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.get_bytes(start, length)
    }
}

/// Whether the header of a page (the compact protocol of Thrift) says no more than there can be: snappy's shortest words, of
/// three bytes, stand for 64, and a value of a dictionary takes a byte at least.
fn is_plausible(header: &[u8]) -> bool {
    /// Before a field there is one byte: how far its number is from the one before, and its type.
    const NEXT_INTEGER: &[u8] = &[0x15];
    const INTEGER_OF_DICTIONARY: &[u8] = &[0x4c, 0x15];
    const DICTIONARY: u64 = 2;
    let mut bytes = header.iter().copied();
    let mut integer = |before: &[u8]| {
        if !before.iter().all(|&expected| bytes.next() == Some(expected)) {
            return None;
        }
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = bytes.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // A number below 0 is an odd one.
                return value.is_multiple_of(2).then_some(value / 2);
            }
        }
        None
    };
    let (kind, size, compressed) = (integer(NEXT_INTEGER), integer(NEXT_INTEGER), integer(NEXT_INTEGER));
    let (Some(kind), Some(size), Some(compressed)) = (kind, size, compressed) else { return false };
    let is_full = kind != DICTIONARY || integer(INTEGER_OF_DICTIONARY).is_some_and(|values| values <= size);
    is_full && size <= 32 * compressed + 64
}

/// Calls the `parquet` library, which panics on some malformed files: that is a fault of the file's.
fn guarded<T>(path: &Path, call: impl FnOnce() -> T) -> TableResult<T> {
    txray_plugin::guard::catch(call)
        .map_err(|panic| TableError::malformed(path, format!("the `parquet` library breaks on it: {panic}")))
}

/// Some rows of a table.
pub struct Batch {
    rows: RecordBatch,
    path: Arc<Path>,
}

impl Batch {
    /// Rows of the table at a path.
    pub(crate) fn new(rows: RecordBatch, path: Arc<Path>) -> Self {
        Self { rows, path }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All columns, in order.
    pub fn columns(&self) -> Vec<ArrayRef> {
        self.rows.columns().to_vec()
    }

    /// A column of numbers.
    pub fn numbers<T: ArrowPrimitiveType>(&self, name: impl AsRef<str>) -> TableResult<&PrimitiveArray<T>> {
        let column = self.column(name.as_ref())?.as_primitive_opt::<T>();
        column.ok_or_else(|| self.wrong(name.as_ref(), &T::DATA_TYPE.to_string()))
    }

    /// A column of text.
    pub fn text(&self, name: impl AsRef<str>) -> TableResult<&StringArray> {
        self.column(name.as_ref())?.as_string_opt::<i32>().ok_or_else(|| self.wrong(name.as_ref(), "text"))
    }

    fn column(&self, name: &str) -> TableResult<&dyn Array> {
        let column = self.rows.column_by_name(name);
        column.map(AsRef::as_ref).ok_or_else(|| TableError::malformed(&self.path, format!("it has no column `{name}`")))
    }

    fn wrong(&self, name: &str, expected: &str) -> TableError {
        TableError::malformed(&self.path, format!("its column `{name}` is not of {expected}"))
    }
}

/// The error of a table: a fault of the disk, wherever Parquet and Arrow hide it, or a file that is no table.
fn broken(doing: &'static str, path: &Path, error: impl std::error::Error + 'static) -> TableError {
    let mut inner: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = inner {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return TableError::io(doing, path, io::Error::new(io.kind(), io.to_string()));
        }
        inner = error.source();
    }
    match doing {
        "write" => TableError::unwritten(path, error),
        _ => TableError::malformed(path, error),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::types::{Float64Type, UInt32Type};
    use arrow_array::{Float64Array, UInt32Array};

    use super::*;
    use crate::columns::pruning;

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("a.parquet");
        let mut table = TableWriter::create(&path, &pruning::TABLE, &[""; 0]).unwrap();
        table
            .write(vec![
                Arc::new(StringArray::from_iter_values(["a", "a"])),
                Arc::new(UInt32Array::from_iter_values([0, 1])),
                Arc::new(Float64Array::from(vec![Some(0.5), None])),
                Arc::new(UInt32Array::from(vec![Some(1), None])),
            ])
            .unwrap();
        table.finish().unwrap();
        path
    }

    #[test]
    fn the_bytes_of_a_table_do_not_depend_on_its_batches() {
        let folder = tempfile::tempdir().unwrap();
        let rows = 2 * ROWS + 77;
        let bytes = |name: &str, sizes: &[usize]| {
            let path = folder.path().join(name);
            let mut table = TableWriter::create(&path, &pruning::TABLE, &[""; 0]).unwrap();
            let mut sizes = sizes.iter().cycle();
            let mut at = 0;
            while at < rows {
                let to = (at + sizes.next().unwrap()).min(rows);
                let rows = at as u32..to as u32;
                table
                    .write(vec![
                        Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("site {}", row % 300)))),
                        Arc::new(UInt32Array::from_iter_values(rows.clone())),
                        Arc::new(
                            rows.clone()
                                .map(|row| (row % 7 > 0).then_some(1.0 / f64::from(row)))
                                .collect::<Float64Array>(),
                        ),
                        Arc::new(rows.map(|row| (row % 5 > 0).then_some(row)).collect::<UInt32Array>()),
                    ])
                    .unwrap();
                at = to;
            }
            table.finish().unwrap();
            std::fs::read(path).unwrap()
        };
        let whole = bytes("whole", &[rows]);
        for sizes in [&[1000][..], &[1, 70_000, 3], &[ROWS], &[ROWS - 1, 2]] {
            assert!(bytes("parts", sizes) == whole, "{sizes:?}");
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let batches: Vec<Batch> = read(&written(folder.path())).unwrap().collect::<TableResult<_>>().unwrap();
        let [batch] = &batches[..] else { panic!("two rows are one batch") };
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.text(pruning::SITE).unwrap().value(1), "a");
        let scores: Vec<_> = batch.numbers::<Float64Type>(pruning::SCORE).unwrap().iter().collect();
        assert_eq!(scores, [Some(0.5), None]);
        assert!(batch.numbers::<UInt32Type>(pruning::SCORE).is_err() && batch.text("nothing").is_err());
    }

    #[test]
    fn a_fault_of_the_disk_is_not_one_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 3, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = read(&path).err().unwrap();
            assert!(matches!(error, TableError::Malformed { .. }), "{error}");
        }
        let error = read(&folder.path().join("none")).err().unwrap();
        assert!(matches!(error, TableError::Io { .. }), "{error}");
        if cfg!(target_os = "linux") {
            // A disk without room, which is found when the table is closed.
            let table = TableWriter::create(Path::new("/dev/full"), &pruning::TABLE, &[""; 0]).unwrap();
            let error = table.finish().unwrap_err();
            assert!(matches!(error, TableError::Io { .. }) && error.to_string().contains("No space left"), "{error}");
        }
    }

    /// A dictionary, many pages behind it, and pages without one; the values that take the fewest bytes.
    #[test]
    fn a_table_of_many_pages_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let mut table = TableWriter::create(&path, &pruning::TABLE, &[""; 0]).unwrap();
        let rows = 300_000;
        for first in (0..rows).step_by(ROWS) {
            let some = first..rows.min(first + ROWS as u32);
            table
                .write(vec![
                    Arc::new(StringArray::from_iter_values(some.clone().map(|_| "a"))),
                    Arc::new(UInt32Array::from_iter_values(some.clone())),
                    Arc::new(Float64Array::from_iter_values(some.clone().map(|_| 0.0))),
                    Arc::new(UInt32Array::from_iter_values(some.map(|row| row % 1000))),
                ])
                .unwrap();
        }
        table.finish().unwrap();
        let batches: Vec<Batch> = read(&path).unwrap().collect::<TableResult<_>>().unwrap();
        let neurons = batches.iter().flat_map(|batch| batch.numbers::<UInt32Type>(pruning::NEURON).unwrap().values());
        assert!(neurons.copied().eq(0..rows));
    }

    /// Found by fuzzing: `parquet` panics on the first when it is opened, on the second when rows are read, and takes
    /// gigabytes for the third.
    #[test]
    fn a_file_that_the_library_breaks_on_is_malformed() {
        let library = "the `parquet` library breaks on it: ";
        let dictionary = "a page says that it has more than it can hold";
        for (name, what) in
            [("negative-offset", library), ("no-dictionary", library), ("endless-dictionary", dictionary)]
        {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/broken/{name}.parquet"));
            let error = match read(&path) {
                Ok(mut batches) => {
                    let error = batches.find_map(Result::err).unwrap();
                    assert!(batches.next().is_none(), "nothing is read behind an error");
                    error
                }
                Err(error) => error,
            };
            assert!(matches!(error, TableError::Malformed { .. }), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_a_fault_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = TableWriter::create(&folder.path().join("a"), &pruning::TABLE, &[""; 0]).unwrap();
        assert!(matches!(table.write(Vec::new()), Err(TableError::Unwritten { .. })));
    }
}
