//! Formats over real text, whose root TXRAY_DATA names. Without it nothing is looked at.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use txray_text::{Context, Disk, Document, FORMATS, OpenError, Resolver};

fn data() -> Option<PathBuf> {
    let root = std::env::var_os("TXRAY_DATA").map(PathBuf::from);
    if root.is_none() {
        eprintln!("SKIPPED: TXRAY_DATA names no folder of corpora");
    }
    root
}

/// The documents of `train`, and how fast they came.
fn read(root: &Path, kind: &str, options: &Value) -> Vec<Document> {
    let resolver = Resolver { data: Some(root.to_owned()), config: PathBuf::new() };
    let format = FORMATS.iter().find(|format| format.kind == kind).unwrap();
    let corpus = match (format.open)(options, &Context { resolver: &resolver, seed: 1 }) {
        Ok(corpus) => corpus,
        Err(OpenError::Options(errors)) => panic!("{}", errors[0].error),
        Err(OpenError::Table { message, .. }) => panic!("{message}"),
    };
    let started = Instant::now();
    let documents: Vec<Document> = corpus.documents("train", &Disk).unwrap().collect::<Result<_, _>>().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    eprintln!("{kind} {options}: {} documents, {:.0} MB/s", documents.len(), bytes as f64 / seconds / 1e6);
    documents
}

#[test]
fn sst_2_has_quotes_that_are_characters() {
    let Some(root) = data() else { return };
    let documents = read(&root, "tsv", &json!({ "train": "sst-2/train.tsv" }));
    assert_eq!(documents.len(), 67_349);
    assert!(documents.iter().all(|document| matches!(document.label.as_deref(), Some("0" | "1"))));
}

#[test]
fn wikitext_is_its_lines_and_its_articles() {
    let Some(root) = data() else { return };
    let path = "wikitext-2/train.txt";
    let lines = read(&root, "text", &json!({ "train": path }));
    let articles = read(&root, "text", &json!({ "train": path, "document": "article" }));
    let mut groups: Vec<_> = lines.iter().map(|line| line.group.clone()).collect();
    groups.dedup();
    assert_eq!(articles.iter().map(|article| article.group.clone()).collect::<Vec<_>>(), groups);
    let words = |all: &[Document]| all.iter().map(|one| one.text.split_whitespace().count()).sum::<usize>();
    assert_eq!(words(&articles), words(&lines));
    let drawn = read(&root, "text", &json!({ "train": path, "shuffle": true, "limit": 100 }));
    assert_eq!(drawn.len(), 100);
}

/// Some tens of megabytes, as reviews are, in every format and packed both ways.
#[test]
fn every_format_reads_the_same_texts() {
    let Some(root) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let lines = read(&root, "text", &json!({ "train": "wikitext-2/train.txt" }));
    let texts: Vec<&str> = (0..4).flat_map(|_| lines.iter().map(|line| &*line.text)).collect();
    let csv = |text: &&str| format!("x,\"{}\"\n", text.replace('"', "\"\""));
    let table = format!("label,text\n{}", texts.iter().map(csv).collect::<String>());
    let objects: String = texts.iter().map(|text| format!("{}\n", json!({ "text": text, "label": 1 }))).collect();
    std::fs::write(at("plain"), texts.join("\n")).unwrap();
    std::fs::write(at("csv"), &table).unwrap();
    std::fs::write(at("jsonl"), &objects).unwrap();
    for packer in ["gzip", "zstd"] {
        let packed = std::process::Command::new(packer).args(["-q", "-k", "-f"]).arg(at("plain")).status();
        if !packed.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: there is no {packer} here");
        }
    }
    for (kind, name) in
        [("text", "plain"), ("csv", "csv"), ("jsonl", "jsonl"), ("text", "plain.gz"), ("text", "plain.zst")]
    {
        if !at(name).exists() {
            continue;
        }
        let documents = read(folder.path(), kind, &json!({ "train": name }));
        assert!(documents.iter().map(|document| &*document.text).eq(texts.iter().copied()), "{name}");
    }
    read(folder.path(), "text", &json!({ "train": "plain", "shuffle": true }));
    let all = ["html_breaks", "lowercase", "nfc", "sentence_marks", "paragraph_marks", "squash_spaces"];
    for step in all {
        read(folder.path(), "text", &json!({ "train": "plain", "normalize": [step] }));
    }
}
