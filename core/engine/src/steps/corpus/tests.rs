use std::fs;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use miette::Diagnostic;
use parquet::arrow::ArrowWriter;

use crate::testing::{errors_in, read, run_in};

const PIPELINE: &str = r#"
[corpus.reviews]
kind = "csv"
train = "reviews.csv"

[model.lm]
kind = "fake"
task = { kind = "language-model", corpus = "reviews" }
train = { rounds = 1 }

[stage.s]
model = "lm"
corpus = "reviews.train"
layers = ["token", "label"]
"#;

#[test]
fn rows_without_a_text_are_counted_and_told() {
    let run = |rows: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reviews.csv");
        fs::write(&path, format!("text,label\n{rows}")).unwrap();
        let (outcome, told) = run_in(folder.path(), PIPELINE);
        let figures = outcome.unwrap().manifest.steps[0].figures.clone();
        let logs = told.logs.into_inner().unwrap();
        let logs: Vec<String> = logs.iter().map(|log| log.replace(&*path.to_string_lossy(), "FILE")).collect();
        (figures, logs)
    };
    let (figures, logs) = run(",1\nfine film,1\n\"\n\",0\nbleak,0\n");
    assert_eq!((&figures["documents"], &figures["left_out"]), (&2.into(), &2.into()));
    let expected =
        "[corpus.reviews] `reviews.train`: 2 rows of it have no text, and are left out; the first stands at FILE:2";
    assert_eq!(logs.iter().filter(|log| *log == expected).count(), 1, "{logs:?}");
    let (figures, logs) = run("fine,1\n");
    assert_eq!(figures.get("left_out"), None);
    assert!(!logs.iter().any(|log| log.contains("left out")), "{logs:?}");
}

/// It stood at the table, as a corpus of files has its splits in keys.
#[test]
fn a_text_of_a_folder_is_told_at_the_path_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("texts/train")).unwrap();
    fs::write(folder.path().join("texts/train/a.txt"), " \n").unwrap();
    let told = errors_in(folder.path(), "[corpus.c]\nkind = \"folder\"\npath = \"texts\"\n");
    assert!(told[0].starts_with("p:3:8: ") && told[0].ends_with("a.txt: it holds no text; leave it out"), "{told:?}");
}

#[test]
fn a_label_that_is_none_is_told_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let columns: [(&str, ArrayRef); 2] =
        [("text", Arc::new(StringArray::from(vec!["fine film"]))), ("label", Arc::new(Float64Array::from(vec![1.0])))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = fs::File::create(folder.path().join("reviews.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let pipeline = PIPELINE.replace("csv", "parquet");
    let errors = read(folder.path(), &pipeline).err().unwrap();
    let told: Vec<String> =
        errors.iter().map(|error| format!("{error}: {}", error.help().map(|help| help.to_string()).unwrap())).collect();
    assert_eq!(told.len(), 1);
    let expected = "reviews.parquet: the column 'label' is of type Float64, where strings, integers or booleans are meant; \
                    write it so, or choose another column";
    assert!(told[0].contains("the corpus `reviews` has no layer `label`") && told[0].ends_with(expected), "{told:?}");
}
