//! Times the tagger on UD English EWT: learning, and tagging, each on one core. `TXRAY_DATA=DIR cargo bench -p txray-text`.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use divan::Bencher;
use divan::counter::ItemsCount;
use serde_json::json;
use txray_text::{ANNOTATORS, Annotator, Context, Disk, FORMATS, Learn, Resolver};

fn main() {
    match std::env::var_os("TXRAY_DATA") {
        Some(_) => divan::main(),
        None => eprintln!("SKIPPED: TXRAY_DATA names no folder of corpora"),
    }
}

fn resolver() -> Resolver {
    Resolver { data: std::env::var_os("TXRAY_DATA").map(PathBuf::from), config: PathBuf::new() }
}

fn treebank(part: &str) -> String {
    format!("ud-ewt/en_ewt-ud-{part}.conllu")
}

fn to_learn(epochs: u32) -> Box<dyn Learn> {
    let kind = ANNOTATORS.iter().find(|kind| kind.kind == "perceptron").unwrap();
    let table = json!({ "train": treebank("train"), "epochs": epochs });
    (kind.open)(&table, &Context { resolver: &resolver(), seed: 1 }).unwrap()
}

fn learn(epochs: u32, folder: &Path) -> u64 {
    let figures = to_learn(epochs).learn(&Disk, &|| false, folder).unwrap();
    figures["words"].as_u64().unwrap()
}

/// Its sentences, as they were before they were taken apart.
fn texts(part: &str) -> Vec<String> {
    let kind = FORMATS.iter().find(|format| format.kind == "conllu").unwrap();
    let table = json!({ "train": treebank(part) });
    let corpus = (kind.open)(&table, &Context { resolver: &resolver(), seed: 1 }).unwrap();
    corpus.documents("train", &Disk).unwrap().map(|document| document.unwrap().text).collect()
}

/// Words that are tagged.
#[divan::bench]
fn tag(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    learn(8, folder.path());
    let tagger: Box<dyn Annotator> = to_learn(8).load(folder.path(), &Disk).unwrap();
    let texts = texts("test");
    let words: usize = texts.iter().map(|text| tagger.annotate(text).len()).sum();
    bencher
        .counter(ItemsCount::new(words))
        .bench_local(|| texts.iter().map(|text| tagger.annotate(text).len()).sum::<usize>());
}

/// Words that are learned of, once.
#[divan::bench(sample_count = 3)]
fn learn_once(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let words = learn(1, folder.path());
    bencher.counter(ItemsCount::new(words)).bench_local(|| learn(1, folder.path()));
}
