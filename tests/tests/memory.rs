//! Memory does not grow with the corpus: what is read is not held.
//!
//! A whole run, in this process, whose allocator counts: what the kernel says of a process is what its heaps have taken,
//! and how much of that lies idle in them depends on the machine and on what else it does. A test binary of its own,
//! because whatever runs beside it would be counted as well.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{BufWriter, Write};

use peak_alloc::PeakAlloc;
use txray_engine::out::OutDirectory;
use txray_engine::pipeline::Pipeline;
use txray_engine::plan::Plan;
use txray_engine::run::{Observer, run};
use txray_engine::steps::catalogue;
use txray_engine::store::Store;
use txray_host::Policy;
use txray_plugin::{Host, HostServices, Level};
use txray_tables::StepRecord;
use txray_tests::{Folder, SmallModel};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Words of the vocabulary: with the neurons they bound what a stage has to remember.
const WORDS: u64 = 1000;
/// Tokens of the short text; the long one repeats it.
const TOKENS: u64 = 1_000_000;
const REPEATS: u64 = 20;

/// Lends two threads, and keeps nothing of what it is told.
struct Quiet;

impl HostServices for Quiet {
    fn threads(&self) -> usize {
        2
    }
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

impl Observer for Quiet {
    fn begin(&self, _: &str) {}
    fn end(&self, _: &StepRecord, _: Level) {}
}

/// Bytes at most that a run over a text holds at once.
fn peak(folder: &Folder, text: &str) -> u64 {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut registry = txray_built_in::registry(Policy::default()).unwrap();
    let set = format!("corpus.c.test=\"{text}\"");
    let path = folder.path("pipeline.toml");
    let pipeline = Pipeline::read(&path, &[set], None, &catalogue(), &mut registry, &Host::new(&Quiet)).unwrap();
    let host = Host::detached();
    let plan = Plan::of(&pipeline, &registry, &host, None).unwrap();
    let store = Store::create(&folder.path(".store")).unwrap();
    let mut out = OutDirectory::open(&folder.path("out"), &host, || ()).unwrap();
    let outcome = run(&pipeline, &registry, &plan, &store, &mut out, &Quiet).unwrap();
    assert!(outcome.manifest.steps.iter().any(|step| step.kind == "stage" && !step.cached), "nothing was read");
    (ALLOCATOR.peak_usage() - before) as u64
}

fn write_text(folder: &Folder, name: &str, repeats: u64) {
    let mut file = BufWriter::new(File::create(folder.path(name)).unwrap());
    for _ in 0..repeats {
        let mut state = 1_u64;
        for _ in 0..TOKENS / 25 {
            for i in 0..25 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let end = if i == 24 { '\n' } else { ' ' };
                write!(file, "w{}{end}", (state >> 33) % WORDS).unwrap();
            }
        }
    }
    file.into_inner().unwrap();
}

/// Nothing grows but what Parquet holds of each row group, 10 kB for half a million tokens: a fiftieth of a byte a token.
/// The bounds are several times that, since where in a window a row group is full also moves the peak a little.
#[test]
fn what_is_held_does_not_grow_with_the_text() {
    let folder = Folder::new();
    SmallModel::new(WORDS as usize + 2, 16).write(&folder.path("model"));
    folder.write(
        "pipeline.toml",
        r#"
[corpus.c]
kind = "text"
test = "set by the test"

[model.lm]
path = "model"

[stage.read]
model = "lm"
corpus = "c.test"
"#,
    );
    let [short, longer, longest] = [1, 5, REPEATS].map(|repeats| {
        let name = format!("{repeats}.txt");
        write_text(&folder, &name, repeats);
        peak(&folder, &name)
    });
    println!("{short} bytes for {TOKENS} tokens, {longer} for 5 times, {longest} for {REPEATS} times as many");
    assert!(longest * 100 <= longer * 105, "from {longer} bytes to {longest} bytes");
    let (grown, tokens) = (longest.saturating_sub(short), TOKENS * (REPEATS - 1));
    assert!(grown * 10 < tokens, "{grown} bytes more for {tokens} tokens more: from {short} bytes to {longest} bytes");
}
