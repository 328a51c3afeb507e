use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt8Array};
use proptest::prelude::*;
use txray_plugin::serde_json::{self, json};
use txray_plugin::{Fault, LayerColumn, NULL};

use super::*;

/// Files of a test, gone with it.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("o");
        std::fs::write(&path, contents).unwrap();
        path
    }

    fn parquet(&self, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
        let path = self.0.path().join("o");
        let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, of)| (name, of, true)));
        let rows = rows.unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ::parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        path
    }
}

fn open(path: &Path, options: &serde_json::Value) -> Result<Observations> {
    let mut options = options.clone();
    options["path"] = path.to_str().unwrap().into();
    Observations::create(serde_json::from_value(options).unwrap(), &Host::detached())
}

/// All batches of a file.
fn batches(path: &Path, options: &serde_json::Value) -> Result<(SourceDescription, Vec<ActivationBatch>)> {
    let mut source = open(path, options)?;
    let described = source.describe()?;
    let mut batches = Vec::new();
    while let Some(batch) = source.next(&Host::detached())? {
        batch.fits(&described.sites, &described.layers).unwrap();
        batches.push(batch);
    }
    Ok((described, batches))
}

/// The one batch of a text.
fn read(text: &str, options: &serde_json::Value) -> (SourceDescription, ActivationBatch) {
    let files = Files::new();
    let (described, mut batches) = batches(&files.write(text), options).unwrap();
    assert_eq!(batches.len(), 1);
    (described, batches.remove(0))
}

/// What is said of a file, without its path, after the option that it is said of.
fn refusal(path: &Path, options: &serde_json::Value) -> String {
    let error = batches(path, options).unwrap_err();
    assert_eq!(error.fault(), Fault::Invalid);
    format!("{} {}", error.pointer(), error.message().replace(&format!("{}: ", path.display()), ""))
}

fn refused(contents: impl AsRef<[u8]>, options: &serde_json::Value) -> String {
    refusal(&Files::new().write(contents), options)
}

fn features(batch: &ActivationBatch, layer: usize) -> Vec<Option<&str>> {
    let LayerColumn { features, names, .. } = &batch.layers[layer];
    features.iter().map(|&feature| names.get(feature as usize)).collect()
}

#[test]
fn every_column_is_read() {
    let text = std::fs::read_to_string("tests/observations.tsv").unwrap();
    let (described, batch) = read(&text, &json!({}));
    // The third row of document 0 is of the one token at position 1, whose other rows stand behind.
    let sites = [("block.0", 4), ("block.1", 3)].map(|(name, width)| Site { name: name.to_owned(), width });
    assert_eq!(described, SourceDescription { sites: sites.to_vec(), layers: vec!["token".into(), "pos".into()] });
    assert_eq!(batch.documents, [0, 2, 1]);
    assert_eq!(batch.groups.as_strings().iter().collect::<Vec<_>>(), ["cats", "dogs", ""]);
    assert_eq!(batch.offsets, [0, 3, 4, 6]);
    assert_eq!(batch.starts, [0, 4, NULL, 0, 0, 5]);
    assert_eq!(batch.ends, [3, 5, NULL, 4, 4, 9]);
    let tokens = ["the", "\"", "<eos>", "dogs", "dogs", "bark"];
    assert_eq!(features(&batch, 0), tokens.map(Some));
    assert_eq!(features(&batch, 1), [Some("DET"), Some("PUNCT"), None, Some("NOUN"), Some("NOUN"), Some("VERB")]);
    assert_eq!(batch.token, [0, 0, 1, 2, 3, 4, 5]);
    assert_eq!(batch.site, [0, 1, 0, 1, 0, 0, 1]);
    assert_eq!(batch.neuron, [3, 1, 0, 2, 3, 3, 0]);
    assert_eq!(batch.activation, [0.5, 0.25, 0.75, -0.5, 1.5, 1.25, 0.125]);
    assert!(batch.moments.is_empty());
    // `<eos>` has no part of speech, and lacks none.
    assert_eq!(batch.layers[1].unjoined, 0);
}

#[test]
fn what_a_file_does_not_have_is_not_needed() {
    // Without positions, each row is a token; Windows ends lines otherwise, and some programs mark text at its beginning.
    let text = "\u{feff}doc\tneuron\tactivation\tword\r\n7\t2\t1e-3\ta\r\n7\t0\t-2\t\r\n8\t2\t.5\ta";
    let (described, batch) = read(text, &json!({}));
    assert_eq!(described.sites, [Site { name: "hidden".into(), width: 3 }]);
    assert_eq!((&*batch.offsets, &*batch.token), (&[0, 2, 3][..], &[0, 1, 2][..]));
    assert_eq!(batch.activation, [0.001, -2.0, 0.5]);
    assert_eq!(features(&batch, 0), [Some("a"), None, Some("a")]);
    assert!(batch.groups.is_empty() && batch.starts.iter().all(|&start| start == NULL));
    assert_eq!(batch.layers[0].unjoined, 1);
}

#[test]
fn options_say_what_the_file_does_not() {
    let text = "doc\tneuron\tactivation\tword\tloss\n0\t2\t1\ta\t0.1\n";
    let (described, _) = read(text, &json!({ "width": 10, "site": "lstm.0", "layers": ["word"] }));
    assert_eq!(described.sites, [Site { name: "lstm.0".into(), width: 10 }]);
    assert_eq!(described.layers, ["word"]);
    let text = "doc\tsite\tneuron\tactivation\tword\n0\tb\t2\t1\ta\n";
    let (described, batch) = read(text, &json!({ "width": { "c": 2, "b": 4 } }));
    assert_eq!(described.sites, [("c", 2), ("b", 4)].map(|(name, width)| Site { name: name.into(), width }));
    assert_eq!(batch.site, [1]);
    let (described, _) = read(text, &json!({ "width": 5 }));
    assert_eq!(described.sites, [Site { name: "b".into(), width: 5 }]);
}

#[test]
fn what_cannot_be_is_told_with_its_line() {
    let good = "doc\tposition\tneuron\tactivation\tpos\n0\t0\t1\t0.5\tDET\n";
    let whole = "and has to be a whole number from 0 to";
    let finite = "and has to be a finite number of 32 bits";
    for (contents, told) in [
        ("".into(), "/path it is empty".to_owned()),
        ("doc\tneuron\tactivation\tpos\n".into(), "/path it has no observations: nothing follows".into()),
        (good.replace("neuron", "unit"), "/path it has no column `neuron`; it has `doc`, `position`, `unit`".into()),
        (good.replace('\t', ","), "`doc,position,neuron,activation,pos` (columns are separated by tabs)".into()),
        (good.replace("position", "pos"), "/path its column `pos` stands twice".into()),
        (good.replace("pos\n", "end\n"), "/path it has a column `end`, and none `start`".into()),
        (good.replace("\tpos\n", "\tpart of speech\n"), "`part of speech` cannot name a layer: names have".into()),
        (good.replace("\tpos\n", "\n").replace("\tDET", ""), "/path it has no column of features; it has".into()),
        (good.to_owned() + "0\t1\t0\tNaN\tX\n", format!("/path line 3: `activation` is `NaN`, {finite}")),
        (good.to_owned() + "0\t1\t0\t-inf\tX\n", format!("/path line 3: `activation` is `-inf`, {finite}")),
        (good.to_owned() + "0\t1\t0\t1e39\tX\n", format!("/path line 3: `activation` is `1e39`, {finite}")),
        (good.to_owned() + "0\t1\t0\tlow\tX\n", format!("/path line 3: `activation` is `low`, {finite}")),
        (good.to_owned() + "0\t1\t0\t\tX\n", "/path line 3: it has no `activation`".into()),
        (good.to_owned() + "0\t1\t-1\t1\tX\n", format!("/path line 3: `neuron` is `-1`, {whole} 4294967294")),
        (good.to_owned() + "0\t1\t1.5\t1\tX\n", format!("/path line 3: `neuron` is `1.5`, {whole}")),
        (good.to_owned() + "0\t1\t4294967295\t1\tX\n", format!("/path line 3: `neuron` is 4294967295, {whole}")),
        (good.to_owned() + "0\t1\t\t1\tX\n", "/path line 3: it has no `neuron`".into()),
        (good.to_owned() + "a\t1\t0\t1\tX\n", format!("/path line 3: `doc` is `a`, {whole} 18446744073709551615")),
        (good.to_owned() + "0\t1\t0\t1\n", "/path line 3: it has 4 fields, and the first line names 5".into()),
        (good.to_owned() + "0\t1\t0\t1\tX\tY\n", "/path line 3: it has 6 fields, and the first line names 5".into()),
        (good.to_owned() + "\n", "/path line 3: it has 1 fields".into()),
        (
            good.to_owned() + "0\t0\t2\t1\tNOUN\n",
            "/path line 3: position 0 of document 0 has the pos `NOUN` here, and `DET` in line 2".into(),
        ),
        (
            good.to_owned() + "0\t0\t2\t1\t\n",
            "/path line 3: position 0 of document 0 has the pos none here, and `DET` in line 2".into(),
        ),
        (
            good.to_owned() + "0\t0\t1\t1\tDET\n",
            "/path line 3: neuron 1 at position 0 of document 0 is there already, in line 2".into(),
        ),
        (
            good.to_owned() + "1\t0\t1\t1\tX\n0\t1\t1\t1\tX\n",
            "/path line 4: document 0 begins again: the rows of a document have to stand together".into(),
        ),
    ] {
        let said = refused(&contents, &json!({}));
        assert!(said.contains(&told), "{contents:?}: {said}, and not {told}");
    }
    assert_eq!(refused(b"doc\tneuron\tactivation\tpos\n0\t0\t1\t\xff\n", &json!({})), "/path line 2: it is not UTF-8");
    let long = good.to_owned() + "0\t1\t0\t1\t" + &"x".repeat(1 << 20) + "\n";
    assert_eq!(refused(long, &json!({})), "/path line 3: it is longer than 1048576 bytes");
    let error = open(Path::new("no/such"), &json!({})).err().unwrap();
    assert!(error.pointer() == "/path" && error.message().contains("no/such: cannot read it"), "{error}");
}

#[test]
fn rows_that_contradict_each_other_are_told() {
    let spans = "doc\tgroup\tposition\tneuron\tactivation\tstart\tend\tline\tpos\n0\tg\t0\t1\t1\t2\t4\t7\tX\n";
    for (row, told) in [
        ("0\tg\t0\t2\t1\t2\t5\t7\tX\n", "position 0 of document 0 has the place 2 to 5 here, and 2 to 4 in line 2"),
        ("0\tg\t1\t2\t1\t5\t4\t7\tX\n", "the token starts at 5 and ends at 4"),
        ("0\tg\t1\t2\t1\t\t4\t7\tX\n", "the token starts at nowhere and ends at 4"),
        ("0\th\t1\t2\t1\t5\t6\t7\tX\n", "document 0 is in group `h` here, and in `g` before"),
        ("0\tg\t1\t2\t1\t5\t6\t8\tX\n", "document 0 is of line 8 here, and of 7 before"),
    ] {
        assert_eq!(refused(spans.to_owned() + row, &json!({})), format!("/path line 3: {told}"));
    }
}

#[test]
fn options_that_do_not_fit_the_file_are_told() {
    let text = "doc\tneuron\tactivation\tpos\n0\t1\t1\tX\n0\t4\t1\tX\n";
    let of_sites = "doc\tsite\tneuron\tactivation\tpos\n0\ta\t1\t1\tX\n0\tb\t4\t1\tX\n";
    for (text, options, told) in [
        (text, json!({ "width": 4 }), "/width FILE: line 3: there is neuron 4, of 4"),
        (text, json!({ "width": { "hidden": 5 } }), "/width one number is enough"),
        (text, json!({ "site": "" }), "/site a site has a name"),
        (text, json!({ "layers": ["pos", "tag"] }), "/layers/1 there is no column `tag`; it has `doc`"),
        (text, json!({ "layers": ["pos", "neuron"] }), "/layers/1 no layer can be called `neuron`"),
        (text, json!({ "layers": ["pos", "pos"] }), "/layers/1 the layer `pos` is named twice"),
        (text, json!({ "layers": [] }), "/layers a stage needs at least one layer"),
        (of_sites, json!({ "site": "a" }), "/site the file has a column `site`"),
        (of_sites, json!({ "width": { "a": 2 } }), "/width FILE: line 3: the site `b` is not among them"),
        (of_sites, json!({ "width": { "a": 2, "b": 4 } }), "/width FILE: line 3: there is neuron 4, of 4"),
    ] {
        let files = Files::new();
        let path = files.write(text);
        let error = batches(&path, &options).unwrap_err();
        let said = format!("{} {}", error.pointer(), error.message().replace(path.to_str().unwrap(), "FILE"));
        assert!(said.starts_with(told), "{options}: {said}");
    }
    let large = text.replace("\t4\t", "\t16777216\t");
    assert_eq!(refused(large, &json!({})), "/path there are 16777217 neurons, and 16777216 is the most");
    let unseen = of_sites.replace("\tb\t", "\tb\u{202e}\t");
    assert!(refused(unseen, &json!({})).starts_with("/path a site is called `b\\u{202e}`: a site has a name"));
    let without = of_sites.replace("\tb\t", "\t\t");
    assert_eq!(refused(without, &json!({})), "/path line 3: it has no `site`");
    for wrong in [json!(0), json!(-1), json!(1.5), json!("x"), json!({}), json!({ "a": 0 })] {
        assert!(serde_json::from_value::<Options>(json!({ "path": "x", "width": wrong })).is_err(), "{wrong}");
    }
}

fn column(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// As pandas and Polars write them: integers of 64 bits, floats of 64 or 32.
#[test]
fn parquet_of_other_programs_is_read() {
    let files = Files::new();
    let text = |of: &[Option<&str>]| -> ArrayRef { Arc::new(StringArray::from(of.to_vec())) };
    let good = || -> Vec<(&str, ArrayRef)> {
        vec![
            ("doc", column(&[0, 0, 3])),
            ("position", column(&[1, 0, 0])),
            ("neuron", Arc::new(UInt8Array::from(vec![5, 6, 7]))),
            ("activation", Arc::new(Float64Array::from(vec![0.1, -2.0, 0.3]))),
            ("token", text(&[Some("b"), Some("a"), None])),
            ("label", column(&[1, 1, 0])),
        ]
    };
    let (described, found) = batches(&files.parquet(good()), &json!({})).unwrap();
    assert_eq!((&*described.layers, described.sites[0].width), (&["token".to_owned()][..], 8));
    assert_eq!(features(&found[0], 0), [Some("a"), Some("b"), None]);
    // To the nearest float of 32 bits.
    assert_eq!(found[0].activation, [-2.0, 0.1, 0.3]);
    // A column of another type is a layer where it is asked for.
    let (_, found) = batches(&files.parquet(good()), &json!({ "layers": ["label", "token"] })).unwrap();
    assert_eq!(features(&found[0], 0), [Some("1"), Some("1"), Some("0")]);

    let said = |at: usize, of: ArrayRef| {
        let mut columns = good();
        columns[at].1 = of;
        refusal(&files.parquet(columns), &json!({}))
    };
    let floats = |of: &[f32]| -> ArrayRef { Arc::new(Float32Array::from(of.to_vec())) };
    let neuron = said(2, floats(&[1.0, 2.0, 3.0]));
    assert_eq!(neuron, "/path its column `neuron` holds floats, and has to hold integers");
    let activation = said(3, text(&[Some("1"), None, None]));
    assert_eq!(activation, "/path its column `activation` holds text, and has to hold floats");
    let negative = said(2, column(&[1, -1, 2]));
    assert_eq!(negative, "/path row 2: `neuron` is -1, and has to be a whole number from 0 to 4294967294");
    let no_number = said(3, floats(&[1.0, 1.0, f32::NAN]));
    assert_eq!(no_number, "/path row 3: `activation` is NaN, and has to be a finite number of 32 bits");
    let beyond = said(3, Arc::new(Float64Array::from(vec![1.0, 1e300, 1.0])));
    assert!(beyond.starts_with("/path row 2: `activation` is 1000"), "{beyond}");
    let null = said(3, Arc::new(Float32Array::from(vec![Some(1.0), None, Some(2.0)])));
    assert_eq!(null, "/path row 2: it has no `activation`");
    let empty = good().into_iter().map(|(name, of)| (name, of.slice(0, 0))).collect();
    assert!(refusal(&files.parquet(empty), &json!({})).starts_with("/path it has no observations"));
    let lacking = good().into_iter().skip(1).collect();
    assert!(
        refusal(&files.parquet(lacking), &json!({})).starts_with("/path it has no column `doc`; it has `position`")
    );

    let whole = std::fs::read(files.parquet(good())).unwrap();
    for length in [4, 11, whole.len() / 2, whole.len() - 1] {
        let said = refused(&whole[..length], &json!({}));
        assert!(said.starts_with("/path it is no Parquet table that can be read: it does not end"), "{length}: {said}");
    }
    let mut damaged = whole.clone();
    let end = damaged.len();
    damaged[end - 40..end - 12].fill(0xff);
    assert!(refused(damaged, &json!({})).starts_with("/path it is no Parquet table that can be read: "));
}

/// After an error it goes on failing, and at its end it stays.
#[test]
fn nothing_is_read_behind_an_error() {
    let files = Files::new();
    let path = files.write("doc\tneuron\tactivation\tpos\n0\t1\t1\tX\n1\t1\tx\tX\n2\t1\t1\tX\n");
    let mut source = open(&path, &json!({ "width": 2 })).unwrap();
    let first = source.next(&Host::detached()).unwrap_err();
    assert_eq!(source.next(&Host::detached()).unwrap_err(), first);
}

#[test]
fn a_long_file_comes_in_batches_of_whole_documents() {
    let files = Files::new();
    let mut text = "doc\tneuron\tactivation\tpos\n".to_owned();
    let documents = 3 * DOCUMENTS as u64 / 2;
    for doc in 0..documents {
        // One of them is longer than a batch.
        let rows = if doc == 5 { ROWS + 10 } else { 3 };
        text += &format!("{doc}\t{}\t1\tX\n", doc % 7).repeat(rows);
    }
    let (_, found) = batches(&files.write(text), &json!({ "width": 7 })).unwrap();
    let sizes: Vec<_> = found.iter().map(|batch| (batch.documents.len(), batch.token.len())).collect();
    assert_eq!(sizes, [(6, 15 + ROWS + 10), (DOCUMENTS, 3 * DOCUMENTS), (506, 3 * 506)]);
    assert!(found.iter().flat_map(|batch| batch.documents.iter().copied()).eq(0..documents));
}

#[test]
fn a_host_that_asks_to_stop_is_heard() {
    struct Stops;
    impl txray_plugin::HostServices for Stops {
        fn threads(&self) -> usize {
            1
        }
        fn log(&self, _: txray_plugin::Level, _: &str) {}
        fn progress(&self, _: u64, _: u64, _: &str) {}
        fn cancelled(&self) -> bool {
            true
        }
    }
    let files = Files::new();
    let text = "doc\tneuron\tactivation\tpos\n".to_owned() + &"0\t1\t1\tX\n".repeat(2 * PATIENCE);
    let mut source = open(&files.write(text), &json!({ "width": 2 })).unwrap();
    assert_eq!(source.next(&Host::new(&Stops)).unwrap_err().fault(), Fault::Cancelled);
}

proptest! {
    /// The order of rows within a document says nothing, but of rows of one token.
    #[test]
    fn rows_of_a_document_may_come_in_any_order(order in Just((0..24_u32).collect::<Vec<_>>()).prop_shuffle()) {
        let text = |order: &[u32]| {
            let row = |at: &u32| format!("3\t{}\t{}\t{at}\tw{}\n", at / 2, at % 2, at / 2 % 5);
            "doc\tposition\tneuron\tactivation\tword\n".to_owned() + &order.iter().map(row).collect::<String>()
        };
        let (_, shuffled) = read(&text(&order), &json!({}));
        let mut pairs = shuffled.token.iter().zip(&shuffled.neuron).zip(&shuffled.activation).collect::<Vec<_>>();
        pairs.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let (_, sorted) = read(&text(&(0..24).collect::<Vec<_>>()), &json!({}));
        let expected = sorted.token.iter().zip(&sorted.neuron).zip(&sorted.activation).collect::<Vec<_>>();
        prop_assert_eq!(pairs, expected);
        prop_assert_eq!(features(&shuffled, 0), features(&sorted, 0));
        // Those of one token stay as they stand.
        let place = |at: u32| order.iter().position(|&row| row == at);
        for (token, two) in shuffled.neuron.chunks(2).enumerate() {
            let token = token as u32;
            prop_assert_eq!(two[0], u32::from(place(2 * token) > place(2 * token + 1)));
        }
    }

    #[test]
    fn what_was_seen_is_known(numbers in prop::collection::vec(prop_oneof![0..30_u64, u64::MAX - 3..=u64::MAX], 0..60)) {
        let (mut seen, mut set) = (Seen::default(), std::collections::HashSet::new());
        for number in numbers {
            prop_assert_eq!(seen.insert(number), set.insert(number));
        }
    }
}
