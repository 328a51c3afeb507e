//! Times what the method does beside a model: recording and counting a window of text, ending a stage, reading one, comparing
//! two. `cargo bench -p txray-method`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use divan::Bencher;
use txray_method::{Legend, Record, Settings, Stage, Tally, Weighting, compare};
use txray_plugin::random::Stream;
use txray_plugin::{ActivationBatch, Host, LayerColumn, Site, SourceDescription, StringTable};
use txray_tables::Folder;

fn main() {
    divan::main();
}

const NEURONS: usize = 200;
const WORDS: usize = 33_000;
/// Tokens of a window of the engine's.
const WINDOW: usize = 1 << 17;

fn description() -> SourceDescription {
    let sites = vec![Site { name: "lstm.0.hidden".to_owned(), width: NEURONS }];
    SourceDescription { sites, layers: vec!["token".to_owned(), "word".to_owned()] }
}

/// Windows of text in which words are as frequent as in a language (the rank of one is its frequency's inverse), and which
/// neuron is the most active depends on the word, and on chance.
fn windows(count: u64, seed: u64) -> Vec<ActivationBatch> {
    let names: Arc<StringTable> = Arc::new((0..WORDS).map(|word| format!("word{word}")).collect());
    let window = |index| {
        let mut random = Stream::new(seed, "words", index);
        let words: Vec<u32> = (0..WINDOW).map(|_| (WORDS as f32).powf(random.uniform()) as u32 - 1).collect();
        let neurons = words.iter().map(|word| {
            let other = random.uniform() < 0.3;
            if other {
                (random.uniform() * NEURONS as f32) as u32
            } else {
                word.wrapping_mul(2_654_435_761) % NEURONS as u32
            }
        });
        let layer = |name: &str| LayerColumn {
            name: name.to_owned(),
            features: words.clone(),
            names: Arc::clone(&names),
            unjoined: 0,
        };
        ActivationBatch {
            documents: (0..WINDOW as u64 / 64).collect(),
            offsets: (0..=WINDOW as u64 / 64).map(|document| document * 64).collect(),
            starts: vec![0; WINDOW],
            ends: vec![1; WINDOW],
            layers: vec![layer("token"), layer("word")],
            token: (0..WINDOW as u32).collect(),
            site: vec![0; WINDOW],
            neuron: neurons.collect(),
            activation: (0..WINDOW).map(|i| (i % 97) as f32 / 97.0).collect(),
            ..ActivationBatch::default()
        }
    };
    (0..count).map(window).collect()
}

fn stage(windows_of: u64, seed: u64) -> Stage {
    let mut tally = Tally::new(&description());
    for window in windows(windows_of, seed) {
        tally.read(&window, &Record::default()).unwrap();
    }
    tally.finish()
}

/// One window: its share of a stage is a sixteenth of two million tokens.
#[divan::bench]
fn record(bencher: Bencher<'_, '_>) {
    let window = windows(1, 1).remove(0);
    let mut legend = Legend::of(&description());
    bencher.bench_local(|| legend.record(&window, &Record::default()).unwrap());
}

#[divan::bench]
fn record_and_count(bencher: Bencher<'_, '_>) {
    let window = windows(1, 1).remove(0);
    let mut tally = Tally::new(&description());
    tally.read(&window, &Record::default()).unwrap();
    bencher.bench_local(|| tally.read(&window, &Record::default()).unwrap());
}

#[divan::bench(sample_count = 10)]
fn finish(bencher: Bencher<'_, '_>) {
    let mut tally = Tally::new(&description());
    windows(16, 1).iter().for_each(|window| drop(tally.read(window, &Record::default()).unwrap()));
    bencher.with_inputs(|| tally.clone()).bench_local_values(Tally::finish);
}

/// Of about a million rows.
#[divan::bench(sample_count = 10)]
fn read_a_stage(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage(40, 1);
    println!("{} rows", stage.rows());
    stage.write(&Folder(folder.path())).unwrap();
    bencher.bench_local(|| Stage::read(&Folder(folder.path())).unwrap());
}

/// Two stages of about a million rows each, without a metric.
#[divan::bench(sample_count = 10)]
fn compare_two_stages(bencher: Bencher<'_, '_>) {
    let (from, to) = (stage(40, 1), stage(40, 2));
    let layers = ["token".to_owned(), "word".to_owned()];
    let settings = Settings { layers: &layers, weighting: &Weighting::Mass, min_count: 1, texts_differ: false };
    bencher.bench_local(|| compare(&from, &to, &settings, &[], &Host::detached()).unwrap());
}
