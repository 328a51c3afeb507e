//! A new kind of step and a new format of corpora are one file each, and one line of a list: planning, running, the store,
//! errors and the reference take them from there.

#![allow(clippy::unwrap_used)]

mod format;
mod step;

use std::path::Path;
use std::sync::Mutex;

use txray_config::Diagnostics;
use txray_engine::check::{Catalogue, SectionKind};
use txray_engine::out::OutDirectory;
use txray_engine::pipeline::{Pipeline, reference};
use txray_engine::plan::Plan;
use txray_engine::run::{Observer, Outcome, run};
use txray_engine::steps::catalogue;
use txray_engine::store::Store;
use txray_host::Registry;
use txray_plugin::{Host, HostServices, Level};
use txray_tables::StepRecord;
use txray_text::Format;

fn with_toys() -> Catalogue {
    let mut all = catalogue();
    all.formats.push(Format::of::<format::Echo>());
    all.sections.push(SectionKind::of::<step::Tally>());
    all
}

const PIPELINE: &str = "
[corpus.hello]
kind = \"echo\"
word = \"hello there\"
times = 3

[tally.words]
corpus = \"hello.all\"
";

#[derive(Default)]
struct Quiet(Mutex<Vec<(String, bool)>>);

impl HostServices for Quiet {
    fn threads(&self) -> usize {
        1
    }
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

impl Observer for Quiet {
    fn begin(&self, _: &str) {}
    fn end(&self, step: &StepRecord, _: Level) {
        self.0.lock().unwrap().push((step.name.clone(), step.cached));
    }
}

fn read(folder: &Path, text: &str) -> Result<Pipeline, Diagnostics> {
    let file = folder.join("pipeline.toml");
    std::fs::write(&file, text).unwrap();
    Pipeline::read(&file, &[], None, &with_toys(), &mut Registry::new(), &Host::detached())
}

fn run_in(folder: &Path, text: &str) -> (Outcome, Vec<(String, bool)>) {
    let pipeline = read(folder, text).unwrap();
    let registry = Registry::new();
    let host = Host::detached();
    let plan = Plan::of(&pipeline, &registry, &host, None).unwrap();
    let store = Store::create(&folder.join("store")).unwrap();
    let told = Quiet::default();
    let mut out = OutDirectory::open(&folder.join("out"), &host, || ()).unwrap();
    let outcome = run(&pipeline, &registry, &plan, &store, &mut out, &told).unwrap();
    (outcome, told.0.into_inner().unwrap())
}

#[test]
fn a_toy_step_over_a_toy_format_runs_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let told =
        |all: Vec<(String, bool)>| all.into_iter().map(|(name, cached)| format!("{name} {cached}")).collect::<Vec<_>>();
    let (outcome, steps) = run_in(folder.path(), PIPELINE);
    assert_eq!(told(steps), ["text.hello.all false", "tally.words false"]);
    let left = std::fs::read_to_string(folder.path().join("out/tallies/words.json")).unwrap();
    assert_eq!(left, "{\n  \"counted\": 6\n}");
    let [output] = &outcome.manifest.outputs[..] else { panic!("one file is published") };
    assert_eq!(output.path, "tallies/words.json");
    assert_eq!(outcome.manifest.settings["tally"]["words"]["weight"], 1, "defaults are settled");

    let (_, steps) = run_in(folder.path(), PIPELINE);
    assert_eq!(told(steps), ["text.hello.all true", "tally.words true"]);
    let (_, steps) = run_in(folder.path(), &PIPELINE.replace("hello.all\"", "hello.all\"\nweight = 2"));
    assert_eq!(told(steps), ["text.hello.all true", "tally.words false"]);
}

#[test]
fn errors_and_the_reference_know_them() {
    let folder = tempfile::tempdir().unwrap();
    let said = |from: &str, to: &str| {
        let text = PIPELINE.replace(from, to);
        let errors = read(folder.path(), &text).err().unwrap();
        format!(
            "{errors:#}\n{}",
            errors.iter().filter_map(miette::Diagnostic::help).map(|h| h.to_string()).collect::<String>()
        )
    };
    let unknown = said("\"echo\"", "\"ecko\"");
    assert!(unknown.contains("pipeline.toml:3:8: there is no kind of corpus `ecko`"), "{unknown}");
    assert!(unknown.contains("did you mean `echo`?"), "{unknown}");
    assert!(said("times = 3", "times = 0").contains("pipeline.toml:5:9: the corpus has no split"));
    assert!(said("times = 3", "times = \"x\"").contains("pipeline.toml:5:9: expected an integer, found a string"));
    assert!(said("times = 3", "time = 3").contains("pipeline.toml:5:1: unknown key `time`"));
    assert!(said("[tally.words]", "[tallly.words]").contains("unknown key `tallly`"));
    assert!(said("hello.all", "hello.al").contains("the corpus `hello` has no split `al`"));
    let page = reference(&with_toys(), []);
    for part in
        ["`kind = \"echo\"`", "| `word` | string | required | The word. |", "## `[tally.NAME]`", "| `tally` | table |"]
    {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
}
