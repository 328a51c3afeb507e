use std::fs;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Int64Array, LargeStringArray, ListArray, NullArray,
    StringArray, StringViewArray, UInt8Array,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::*;
use crate::{Disk, Resolver};

fn table_as(columns: &[(&str, ArrayRef)], packing: Compression, group: usize) -> Vec<u8> {
    let columns = columns.iter().map(|(name, column)| (*name, column.clone(), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties =
        WriterProperties::builder().set_compression(packing).set_max_row_group_row_count(Some(group)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn table(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    table_as(columns, Compression::SNAPPY, 1000)
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

type Told = (String, String);

fn read(bytes: &[u8], options: &str) -> Result<(Vec<String>, Vec<Document>), Told> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, bytes).unwrap();
    let plain = |error: &CorpusError| error.to_string().replace(&*path.to_string_lossy(), "FILE");
    let options: ParquetOptions = toml::from_str(&format!("splits = {{ extra = 'a.parquet' }}\n{options}")).unwrap();
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    let corpus = options.open(&Context { resolver: &resolver, seed: 0 }).map_err(|errors| {
        let [error] = &errors[..] else { panic!("one: {errors:?}") };
        (error.pointer.clone(), plain(&error.error))
    })?;
    assert_eq!(corpus.files("extra"), std::slice::from_ref(&path));
    let documents: Result<Vec<Document>, CorpusError> = corpus.documents("extra", &Disk).unwrap().collect();
    documents.map(|documents| (corpus.layers(), documents)).map_err(|error| (String::new(), plain(&error)))
}

fn rows(documents: &[Document]) -> Vec<(&str, Option<&str>, Option<&str>)> {
    documents.iter().map(|d| (d.text.as_str(), d.label.as_deref(), d.group.as_deref())).collect()
}

#[test]
fn a_row_is_a_document() {
    let bytes = table(&[
        ("id", Arc::new(Float32Array::from(vec![0.5, 1.5, 2.5]))),
        ("text", strings(&["a film", " \u{3000}b\n", "c"])),
        ("title", strings(&["x", "x", ""])),
        ("label", Arc::new(Int64Array::from(vec![Some(1), None, Some(-3)]))),
    ]);
    let (layers, documents) = read(&bytes, "").unwrap();
    assert_eq!(layers, ["label"]);
    assert_eq!(rows(&documents), [("a film", Some("1"), None), ("b", None, None), ("c", Some("-3"), None)]);
    assert_eq!((documents[1].id, documents[1].line, documents[1].indent), (1, Some(2), 2));

    let (_, documents) = read(&bytes, "label = 'title'\ngroup = 'title'").unwrap();
    assert_eq!(rows(&documents), [("a film", Some("x"), Some("x")), ("b", Some("x"), Some("x")), ("c", None, None)]);
}

#[test]
fn columns_are_strings_numbers_or_dictionaries_of_them() {
    let words = ["a", "b", "a"];
    let dictionary: DictionaryArray<Int32Type> = words.into_iter().collect();
    let texts: [ArrayRef; 4] = [
        strings(&words),
        Arc::new(LargeStringArray::from(words.to_vec())),
        Arc::new(StringViewArray::from(words.to_vec())),
        Arc::new(dictionary.clone()),
    ];
    let labels: [(ArrayRef, [&str; 3]); 4] = [
        (Arc::new(BooleanArray::from(vec![true, false, true])), ["true", "false", "true"]),
        (Arc::new(UInt8Array::from(vec![7, 0, 255])), ["7", "0", "255"]),
        (Arc::new(dictionary), ["a", "b", "a"]),
        (strings(&["p", "q", "r"]), ["p", "q", "r"]),
    ];
    let packings = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(Default::default()),
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
    ];
    for text in &texts {
        for (label, expected) in &labels {
            for packing in packings {
                // The only column of strings that is not the label's.
                let bytes = table_as(&[("content", text.clone()), ("label", label.clone())], packing, 2);
                let (_, documents) = read(&bytes, "").unwrap();
                let expected: Vec<_> =
                    words.iter().zip(expected).map(|(text, label)| (*text, Some(*label), None)).collect();
                assert_eq!(rows(&documents), expected);
            }
        }
    }
}

/// As pandas writes whole numbers of which some are missing, or a column of which all are.
#[test]
fn a_column_that_is_called_label_and_is_none_is_told() {
    let floats: ArrayRef = Arc::new(Float32Array::from(vec![0.0]));
    for (label, found) in [(floats, "Float32"), (Arc::new(NullArray::new(1)) as ArrayRef, "Null")] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), table(&[("text", strings(&["a"])), ("label", label)])).unwrap();
        fs::write(folder.path().join("b"), table(&[("text", strings(&["a"])), ("label", strings(&["x"]))])).unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        let open = |options: &str| {
            let options: ParquetOptions = toml::from_str(options).unwrap();
            options.open(&Context { resolver: &resolver, seed: 0 })
        };
        let expected = format!(
            "{}: the column 'label' is of type {found}, where strings, integers or booleans are meant; write it so, or choose \
             another column",
            folder.path().join("a").display()
        );
        // One that is not asked for may be anything.
        let corpus = open("train = 'a'").unwrap();
        assert!(corpus.layers().is_empty());
        assert_eq!(corpus.no_layer("label"), Some(expected.clone()));
        assert_eq!(corpus.no_layer("pos"), None);
        let errors = open("train = 'b'\ntest = 'a'").err().unwrap();
        assert_eq!((&*errors[0].pointer, errors[0].error.to_string()), ("/test", expected));
        assert_eq!(errors.len(), 1);
    }
}

/// Two thousand rows of a tenth of a megabyte are one in a dictionary.
#[test]
fn few_texts_are_in_memory_at_once() {
    let long = "x".repeat(100_000);
    let dictionary: DictionaryArray<Int32Type> = [&*long; 2000].into_iter().collect();
    let bytes = table(&[("text", Arc::new(dictionary))]);
    assert!(bytes.len() < 1 << 20);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, bytes).unwrap();
    let options: ParquetOptions = toml::from_str("train = 'a.parquet'").unwrap();
    let mut reader = Reader::open(&path, &options, &Disk).unwrap();
    for _ in 0..2000 {
        assert_eq!(reader.next(1 << 20, |_| ()).unwrap().unwrap().text, long);
        let batch = reader.batch.as_ref().unwrap();
        assert!(batch.get_array_memory_size() < 8 << 20);
    }
}

#[test]
fn a_fault_points_at_the_option_that_mends_it() {
    let floats: ArrayRef = Arc::new(Float32Array::from(vec![0.5]));
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]));
    let one = table(&[("text", strings(&["a"])), ("score", floats.clone()), ("tags", list)]);
    let two = table(&[("a", strings(&["x"])), ("b", strings(&["x"])), ("n", floats.clone())]);
    let cases: [(&[u8], &str, &str, &str); 7] = [
        (&one, "text = 'body'", "/text", "FILE: no column 'body'; it has text, score, tags"),
        (&one, "label = 'label'", "/label", "FILE: no column 'label'; it has text, score, tags"),
        (&one, "group = 'movie'", "/group", "FILE: no column 'movie'; it has text, score, tags"),
        (
            &one,
            "text = 'score'",
            "/text",
            "FILE: the column 'score' is of type Float32, where strings are meant; write it so, or choose another column",
        ),
        (
            &one,
            "label = 'score'",
            "/label",
            "FILE: the column 'score' is of type Float32, where strings, integers or booleans are meant; write it so, or choose another column",
        ),
        (&two, "", "/splits/extra", "FILE: which column has the text? name it by `text`; of strings there are a, b"),
        (
            &table(&[("n", floats)]),
            "",
            "/splits/extra",
            "FILE: which column has the text? name it by `text`; of strings there are none",
        ),
    ];
    for (bytes, options, pointer, message) in cases {
        assert_eq!(read(bytes, options).unwrap_err(), (pointer.to_owned(), message.to_owned()));
    }
    let (pointer, message) = read(&one, "group = 'tags'").unwrap_err();
    assert_eq!(pointer, "/group");
    assert!(message.starts_with("FILE: the column 'tags' is of type List("), "{message}");
}

#[test]
fn rows_without_a_text_are_left_out_and_told() {
    let nulls: ArrayRef = Arc::new(StringArray::from(vec![None, Some("a"), None, Some("b")]));
    for text in [nulls, strings(&["", "a", "", "b"]), strings(&["\n", "a", " \n", "b"])] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.parquet"), table(&[("text", text)])).unwrap();
        let options: ParquetOptions = toml::from_str("train = 'a.parquet'").unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        let corpus = options.open(&Context { resolver: &resolver, seed: 0 }).unwrap();
        let told = crate::files::tests::LeftOut::default();
        let documents: Vec<Document> = corpus.documents("train", &told).unwrap().map(Result::unwrap).collect();
        let found: Vec<_> = documents.iter().map(|d| (d.id, d.line.unwrap(), &*d.text)).collect();
        assert_eq!(found, [(0, 2, "a"), (1, 4, "b")]);
        assert_eq!(told.rows(), [1, 3]);
    }
    let message = read(&table(&[("text", strings(&["", " "]))]), "").unwrap_err().1;
    assert_eq!(message, "FILE: the column 'text' is empty in every row; name another by `text`");
}

#[test]
fn a_text_has_a_length_and_a_table_a_row() {
    let bytes = table(&[("text", strings(&["abc", "abé"]))]);
    let message = read(&bytes, "max_document_bytes = 3").unwrap_err().1;
    assert_eq!(
        message,
        "FILE: row 2: a text of more than 3 bytes; if it is meant to be one document, raise `max_document_bytes`"
    );
    let message = read(&table(&[("text", strings(&[]))]), "").unwrap_err().1;
    assert_eq!(message, "the split 'extra' has no document");
}

#[test]
fn what_is_no_table_or_no_whole_one_says_so() {
    let whole = table(&[("text", strings(&["some text", "more"]))]);
    let message = |bytes: &[u8]| read(bytes, "").unwrap_err().1;
    let other = "FILE: no Parquet table, by how it begins; read lines of text by `kind = \"text\"`, and rows between tabs by \
                 `kind = \"tsv\"`";
    for bytes in [&b""[..], b"PAR", b"sentence\tlabel\n"] {
        assert_eq!(message(bytes), other);
    }
    for end in 4..whole.len() {
        assert_eq!(message(&whole[..end]), "FILE: it ends in the middle: it was cut short; get the whole of it again");
    }
    let mut broken = whole.clone();
    let length = whole.len() - 8;
    broken[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(message(&broken).starts_with("FILE: it cannot be read ("), "{}", message(&broken));
}

/// A table is copied, and the door asked until it has no more to say.
#[test]
fn everything_is_read_through_the_door() {
    struct Changed;
    impl Files for Changed {
        fn open(&self, path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
            struct End;
            impl Read for End {
                fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                    Err(std::io::Error::other("it changed while it was read"))
                }
            }
            Ok(Box::new(Disk.open(path)?.chain(End)))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, table(&[("text", strings(&["a"]))])).unwrap();
    let options: ParquetOptions = toml::from_str("train = 'a.parquet'").unwrap();
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    let corpus = options.open(&Context { resolver: &resolver, seed: 0 }).unwrap();
    let last = corpus.documents("train", &Changed).unwrap().last().unwrap().unwrap_err().to_string();
    assert_eq!(last, format!("cannot read {}: it changed while it was read", path.display()));
}

proptest! {
    #[test]
    fn a_table_reads_back(
        rows in prop::collection::vec((r"[a-zé ]{0,5}[a-zé]", prop::option::of(any::<i64>()), prop::option::of("[a-c]")), 1..60),
        group in 1..40usize,
        dictionary: bool,
    ) {
        let groups = rows.iter().map(|(_, _, group)| group.as_deref());
        let groups: ArrayRef = if dictionary {
            Arc::new(groups.collect::<DictionaryArray<Int32Type>>())
        } else {
            Arc::new(groups.collect::<StringArray>())
        };
        let texts: Vec<&str> = rows.iter().map(|(text, ..)| text.as_str()).collect();
        let labels: Int64Array = rows.iter().map(|(_, label, _)| *label).collect();
        let columns = [("movie", groups), ("text", strings(&texts)), ("label", Arc::new(labels) as ArrayRef)];
        let (_, documents) = read(&table_as(&columns, Compression::SNAPPY, group), "group = 'movie'").unwrap();
        prop_assert_eq!(documents.len(), rows.len());
        for (at, ((text, label, group), document)) in rows.iter().zip(&documents).enumerate() {
            prop_assert_eq!((document.id, document.line), (at as u64, Some(at as u64 + 1)));
            prop_assert_eq!(&document.text, text.trim());
            prop_assert_eq!(document.indent as usize, text.len() - text.trim_start().len());
            prop_assert_eq!(document.label.as_ref().map(|label| label.parse().unwrap()), *label);
            prop_assert_eq!(document.group.as_deref(), group.as_deref());
        }
    }

    /// Whatever is changed in a table, reading it ends, in an error or in documents.
    #[test]
    fn any_change_is_documents_or_an_error(at: prop::sample::Index, bits in 1..=255u8) {
        let mut bytes = table(&[("text", strings(&["some text", "more", "some"])), ("label", strings(&["a", "b", "a"]))]);
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        let _ = read(&bytes, "");
    }
}
