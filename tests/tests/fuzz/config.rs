//! Pipelines, and assignments of the command line.

use std::path::Path;

use serde_json::Value;
use txray_config::{At, Diagnostics, Document};
use txray_engine::pipeline::Pipeline;
use txray_engine::steps::catalogue;
use txray_host::{Policy, Registry};
use txray_plugin::Host;
use txray_tests::Folder;

use crate::{Outcome, fuzz, put, seeds};

/// The longest report of one error, in bytes: whatever the file is, it can be read.
const LONGEST_REPORT: usize = 20_000;

const WORDS: [&str; 44] = [
    "seed = ",
    "device = ",
    "[corpus.a]\n",
    "[model.a]\n",
    "[stage.a]\n",
    "[comparison.a]\n",
    "[pruning.a]\n",
    "[report.a]\n",
    "[plugin.a]\n",
    "[[model]]\n",
    "kind = \"",
    "grammar",
    "tsv",
    "text",
    "lstm",
    "hellinger",
    "domain = ",
    "kitchen",
    "train",
    "epochs = ",
    "checkpoints = [",
    "task = {",
    "corpus = ",
    "layers = [",
    "\"word\"",
    "\"pos\"",
    "model = ",
    "@1",
    "@end",
    "init",
    "from = ",
    "to = ",
    "metrics",
    "weighting",
    "min_count",
    "record",
    "\"max-1\"",
    "options",
    "path = ",
    "sha256 = ",
    "1979-05-27T07:32:00Z",
    "0xff",
    "1_000",
    "\\U0010ffff",
];

/// Says what is wrong as the program does, and holds it to what reports may be.
pub fn look(diagnostics: &Diagnostics) {
    assert!(!diagnostics.is_empty() && !format!("{diagnostics} {diagnostics:#}").is_empty());
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
    for one in diagnostics {
        let mut report = String::new();
        handler.render_report(&mut report, one).unwrap();
        assert!(report.len() < LONGEST_REPORT, "a report of {} bytes", report.len());
        let unseen = report.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert!(unseen.is_none(), "a report with {unseen:?}");
    }
}

/// The built-in plugins, and no others.
pub fn registry() -> Registry {
    txray_built_in::registry(Policy { load: false, ..Policy::default() }).unwrap()
}

/// Checks a pipeline as `txray check` does.
fn check(path: &Path, assignments: &[String], registry: &mut Registry) -> Result<Pipeline, Diagnostics> {
    Pipeline::read(path, assignments, None, &catalogue(), registry, &Host::detached())
}

/// A folder with the files that the pipelines of seeds name.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("a.txt", "= A =\n\nthe cat\n");
    folder.write("a.tsv", "sentence\tlabel\nthe cat\tpositive\n");
    txray_tests::SmallModel::new(8, 3).write(&folder.path("small"));
    folder
}

#[test]
fn toml() {
    let (folder, mut registry) = (folder(), registry());
    let [path, again] = ["pipeline.toml", "again.toml"].map(|name| folder.path(name));
    let schema =
        txray_engine::schema::of(&catalogue(), registry.plugins().iter().flat_map(|plugin| &plugin.info.components));
    let mut all = seeds("toml");
    for name in ["quickstart", "wikitext2"] {
        all.push(std::fs::read(txray_tests::path(&format!("../configs/{name}.toml"))).unwrap());
    }
    fuzz("toml", all, &WORDS, move |input, _| {
        if let Ok(text) = str::from_utf8(input) {
            match Document::parse("pipeline.toml", text.to_owned()) {
                Err(diagnostics) => look(&diagnostics),
                Ok(document) => {
                    let again = Document::from_settings("again", document.value());
                    assert_eq!(again.unwrap().value(), document.value(), "settings are what was read");
                }
            }
        }
        put(&path, input);
        let read = check(&path, &[], &mut registry);
        match &read {
            Err(diagnostics) => look(diagnostics),
            Ok(pipeline) => {
                let text = str::from_utf8(input).unwrap().trim_start_matches('\u{feff}');
                let document = Document::parse("pipeline.toml", text.to_owned()).unwrap();
                assert_eq!(txray_tests::invalid(&schema, document.value()), [""; 0], "what is taken, editors take");
                // What a manifest keeps is the same pipeline.
                put(&again, toml_of(&pipeline.settings));
                let again = check(&again, &[], &mut registry);
                let again = again.map_err(|error| format!("{error:#}")).unwrap();
                assert_eq!(again.settings, pipeline.settings, "settings are checked as they were");
            }
        }
        Outcome::from(&read)
    });
}

/// Settings as TOML text, which has no null.
fn toml_of(settings: &Value) -> String {
    fn without_null(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let kept = map.iter().filter(|(_, value)| !value.is_null());
                kept.map(|(key, value)| (key.clone(), without_null(value))).collect()
            }
            Value::Array(items) => items.iter().map(without_null).collect(),
            other => other.clone(),
        }
    }
    toml::to_string(&without_null(settings)).unwrap()
}

#[test]
fn set() {
    let seeds = [
        "seed=7",
        "model.lm.train.epochs=2",
        "model.lm.train = { epochs = 3, checkpoints = [1, \"end\"] }",
        "stage.early.record=max-1",
        "stage.early.layers.0=token",
        "corpus.\"kitchen\".'domain' = \"har\\u0062our\"",
        "comparison.learning.metrics=[\"hellinger\", { kind = \"hellinger-2020\" }]",
        "device=\"cpu\" # and why",
    ];
    let (folder, mut registry) = (folder(), registry());
    let path = folder.write("pipeline.toml", include_str!("../../../configs/quickstart.toml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let document = Document::parse("pipeline.toml", text).unwrap();
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec());
    fuzz("set", seeds.to_vec(), &WORDS, move |input, _| {
        // Arguments that are not UTF-8 do not come past the command line.
        let assignment = String::from_utf8_lossy(input).into_owned();
        let mut changed = document.clone();
        match changed.set(&assignment) {
            Ok(()) => {
                let again = Document::from_settings("again", changed.value());
                assert_eq!(again.unwrap().value(), changed.value(), "settings are what was set");
            }
            Err(diagnostics) => {
                look(&diagnostics);
                assert_eq!(changed.value(), document.value(), "what is refused changes nothing");
            }
        }
        let read = check(&path, &[assignment], &mut registry);
        read.as_ref().err().into_iter().for_each(look);
        Outcome::from(&read)
    });
}

/// Pointers come from plugins, and may lead anywhere.
#[test]
fn pointer() {
    let text = include_str!("../../../configs/quickstart.toml");
    let document = Document::parse("pipeline.toml", text.to_owned()).unwrap();
    let seeds = ["", "/model/lm/train/epochs", "/stage/early/layers/1", "/comparison/a~1b/~0", "//", "model"];
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec());
    fuzz("pointer", seeds.to_vec(), &["/model", "/stage", "/0", "/-1", "~0", "~", "//"], move |input, _| {
        let pointer = String::from_utf8_lossy(input);
        for at in [At::Key, At::Value] {
            look(&document.error(&pointer, at, "wrong").label(document.table_name(&pointer)).into());
        }
        if document.value().pointer(&pointer).is_some() { Outcome::Read } else { Outcome::Refused }
    });
}
