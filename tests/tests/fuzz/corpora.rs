//! Corpora: files of every format, and the options that they are opened with.

use serde_json::{Value, json};
use txray_plugin::NULL;
use txray_tests::Folder;
use txray_text::{Context, CorpusError, Disk, Document, FORMATS, OpenError, Resolver, Words, join, words};

use crate::{Outcome, fuzz, put, seeds};

/// Documents that are looked at: grammars write as many as they are told.
const SOME: usize = 50;

fn documents(options: &Value, folder: &Folder) -> Result<Vec<Document>, Vec<String>> {
    let resolver = Resolver { data: None, config: folder.path("") };
    let kind = options["kind"].as_str().unwrap_or_default();
    let Some(format) = FORMATS.iter().find(|format| format.kind == kind) else { return Err(vec!["no kind".into()]) };
    let mut table = options.clone();
    table.as_object_mut().unwrap().shift_remove("kind");
    let opened = (format.open)(&table, &Context { resolver: &resolver, seed: 1 }).map_err(|error| match error {
        OpenError::Table { pointer, message } => vec![format!("{pointer} {message}")],
        OpenError::Options(errors) => errors.iter().map(|one| format!("{} {}", one.pointer, one.error)).collect(),
    })?;
    let told = |error: CorpusError| vec![error.to_string()];
    let mut all = Vec::new();
    for split in opened.splits() {
        assert!(opened.recipe(&split).is_object() && opened.files(&split).len() <= 1);
        let read = || opened.documents(&split, &Disk)?.take(SOME).collect::<Result<Vec<_>, _>>();
        let documents = read().map_err(told)?;
        assert_eq!(read().map_err(told)?, documents, "a split is the same each time");
        assert!(!documents.is_empty(), "a split without a document is an error");
        for (id, document) in documents.iter().enumerate() {
            assert_eq!(document.id, id as u64);
            look(document, &opened.layers());
        }
        all.extend(documents);
    }
    assert!(opened.documents("no such split", &Disk).is_err());
    Ok(all)
}

fn look(document: &Document, layers: &[String]) {
    let text = &document.text;
    assert_eq!(text.trim(), text);
    assert!(!text.is_empty());
    assert!(document.label.is_none() || layers.iter().any(|layer| layer == "label"));
    let length = text.chars().count() as u32;
    for annotation in document.annotations.iter().chain([&words(text, Words::Space), &words(text, Words::Punctuation)])
    {
        assert!(*annotation.layer == *"word" || layers.iter().any(|layer| **layer == *annotation.layer));
        let spans = &annotation.spans;
        assert!(spans.iter().all(|span| span.start < span.end && span.end <= length));
        assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start), "spans are in order");
        let starts: Vec<u32> = (0..length).chain([NULL]).collect();
        let ends: Vec<u32> = (1..=length).chain([NULL]).collect();
        assert_eq!(join(&starts, &ends, spans).spans.len(), starts.len());
    }
}

fn outcome(read: Result<Vec<Document>, Vec<String>>) -> Outcome {
    if let Err(messages) = &read {
        assert!(messages.iter().all(|message| !message.trim().is_empty()) && !messages.is_empty());
    }
    Outcome::from(&read)
}

fn file_of_a_corpus(name: &'static str, options: Vec<Value>, marks: &[&str]) {
    let folder = Folder::new();
    fuzz(name, seeds(name), marks, move |input, _| {
        put(&folder.path("file"), input);
        let read = options.iter().map(|options| outcome(documents(options, &folder)));
        read.min().unwrap()
    });
}

#[test]
fn plain_text() {
    let options = [
        json!({ "kind": "text", "train": "file" }),
        json!({ "kind": "text", "test": "file", "max_document_bytes": 20 }),
    ];
    file_of_a_corpus(
        "plain_text",
        options.to_vec(),
        &["\r\n", " = ", "= A =", " = = B = = ", "\n \n", "\u{3000}", "\u{2028}"],
    );
}

#[test]
fn tsv() {
    let options = [
        json!({ "kind": "tsv", "train": "file" }),
        json!({ "kind": "tsv", "splits": { "x": "file" }, "text": "text", "group": "article", "label": "class" }),
    ];
    file_of_a_corpus(
        "tsv",
        options.to_vec(),
        &["\t", "\r\n", "sentence", "label", "text", "article", "class", "\t\t", "\u{3000}"],
    );
}

#[test]
fn csv() {
    let options = [
        json!({ "kind": "csv", "train": "file" }),
        json!({ "kind": "csv", "train": "file", "header": false, "text": "1", "delimiter": ";", "quoting": "none" }),
        json!({ "kind": "tsv", "train": "file", "quoting": "double", "shuffle": true, "min_characters": 2 }),
    ];
    file_of_a_corpus("csv", options.to_vec(), &["\"", "\"\"", ",", "\r\n", "text", "label", ";", "\t"]);
}

#[test]
fn jsonl() {
    let options = [
        json!({ "kind": "jsonl", "train": "file" }),
        json!({ "kind": "jsonl", "train": "file", "label": "meta.label", "annotations": { "pos": "tags" } }),
        json!({ "kind": "jsonl", "train": "file", "normalize": ["html_breaks", "nfc", "sentence_marks", "squash_spaces"] }),
    ];
    file_of_a_corpus("jsonl", options.to_vec(), &["{", "}", "[0, 1, \"X\"]", "\\ud800", "null", "\"tags\"", "1e999"]);
}

#[test]
fn conllu() {
    let options = [
        json!({ "kind": "conllu", "train": "file" }),
        json!({ "kind": "conllu", "train": "file", "document": "newdoc", "label": "mood", "annotations": { "pos": "upos" } }),
    ];
    let marks = ["\t", "\n\n", "1-2", "2.1", "_", "SpaceAfter=No", "# newdoc id = ", "# mood = ", "# text = ", "3-1"];
    file_of_a_corpus("conllu", options.to_vec(), &marks);
}

/// As they are, and packed.
#[test]
fn archives() {
    let options = [json!({ "kind": "folder", "path": "file" }), json!({ "kind": "text", "train": "file" })];
    file_of_a_corpus("archives", options.to_vec(), &["../", "/etc/", "ustar", "train/pos/", "\x1f\u{8b}"]);
}

#[test]
fn corpus_options() {
    let folder = Folder::new();
    folder.write("a.txt", "= A =\n\nthe cat\n");
    folder.write("a.tsv", "sentence\tlabel\nthe cat\tpositive\n");
    let marks = [
        "\"kind\"",
        "\"train\"",
        "\"splits\"",
        "\"a.txt\"",
        "\"grammar\"",
        "\"harbour\"",
        "\"seed\"",
        "..",
        "/dev/zero",
    ];
    fuzz("corpus_options", seeds("corpus_options"), &marks, move |input, _| {
        match serde_json::from_slice::<Value>(input) {
            Ok(options) if options.is_object() => outcome(documents(&options, &folder)),
            _ => Outcome::Refused,
        }
    });
}
