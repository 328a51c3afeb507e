//! What a person sees: whole reports as they are rendered, and the laws of spans.

use std::collections::BTreeMap;

use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq)]
struct Config {
    seed: Option<u64>,
    #[serde(default)]
    model: BTreeMap<String, Model>,
    #[serde(default)]
    stage: BTreeMap<String, Stage>,
    #[serde(default)]
    sweep: Vec<Model>,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
struct Model {
    hidden: u32,
    embedding: Option<u32>,
    dropout: Option<f64>,
    range: Option<[f64; 2]>,
    train: Option<Train>,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
struct Train {
    epochs: u64,
    #[serde(default)]
    checkpoints: Vec<u8>,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
struct Stage {
    model: String,
    corpus: String,
    record: Option<Record>,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Record {
    #[serde(rename = "max-1")]
    Max1,
    TopK,
}

fn document(text: &str) -> Document {
    Document::parse("run.toml", text.to_owned()).unwrap()
}

/// All errors of a config, of its syntax or else of its values.
fn errors(text: &str) -> Diagnostics {
    match Document::parse("run.toml", text.to_owned()) {
        Err(diagnostics) => diagnostics,
        Ok(document) => errors_of(&document),
    }
}

fn errors_of(document: &Document) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let config: Option<Config> = document.read("", &mut diagnostics);
    assert_eq!(config.is_none(), !diagnostics.is_empty());
    diagnostics
}

fn assignment_errors(text: &str, assignment: &str) -> Diagnostics {
    let mut document = document(text);
    let before = document.value().clone();
    let errors = document.set(assignment).unwrap_err();
    assert_eq!(*document.value(), before, "a refused assignment changes nothing");
    errors
}

/// One line an error.
fn list(diagnostics: &Diagnostics) -> String {
    format!("{diagnostics:#}")
}

fn render(report: &dyn miette::Diagnostic) -> String {
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(80)
        .render_report(&mut out, report)
        .unwrap();
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The report of the one error there is.
#[track_caller]
fn only(diagnostics: &Diagnostics) -> String {
    assert_eq!(diagnostics.len(), 1, "{}", list(diagnostics));
    diagnostics.iter().map(|one| render(one)).collect()
}

/// Texts of expected reports, which start with a line break to stand on their own.
#[track_caller]
fn assert_shows(report: &str, expected: &str) {
    let expected = expected.trim_matches('\n');
    assert_eq!(report, expected, "\n{report}\n\ninstead of\n\n{expected}\n");
}

#[test]
fn a_faultless_config_is_read() {
    let text = "seed = 7\n[model.lm]\nhidden = 200\nrange = [1, 2.5]\ntrain = { epochs = 3 }\n\
                [stage.early]\nmodel = 'lm@1'\ncorpus = 'wikitext.valid'\nrecord = 'max-1'\n";
    let mut diagnostics = Diagnostics::new();
    let config: Config = document(text).read("", &mut diagnostics).unwrap();
    assert_eq!(config.seed, Some(7));
    assert_eq!(config.model["lm"].range, Some([1.0, 2.5]));
    assert_eq!(config.stage["early"].record, Some(Record::Max1));
    assert!(diagnostics.into_result(()).is_ok());
}

#[test]
fn several_errors_of_syntax_are_shown_together() {
    assert_shows(
        &render(&errors("seed =\n[model\n")),
        "
  × 2 errors

Error:
  × expected a value
   ╭─[run.toml:1:7]
 1 │ seed =
   ·       ▲
   ·       ╰── nothing here
 2 │ [model
   ╰────

Error:
  × unclosed table
   ╭─[run.toml:2:6]
 1 │ seed =
 2 │ [model
   ·      ┬
   ·      ╰── expected `]`
   ╰────",
    );
}

#[test]
fn a_bare_word_wants_quotes() {
    assert_shows(
        &only(&errors("[stage.a]\nmodel = lm@1\n")),
        "
  × expected a value
   ╭─[run.toml:2:9]
 1 │ [stage.a]
 2 │ model = lm@1
   ·         ──┬─
   ·           ╰── a string must be in quotes
   ╰────",
    );
}

#[test]
fn a_key_set_twice_is_shown_with_the_first() {
    assert_shows(
        &only(&errors("[model.lm]\nhidden = 1\n\"hidden\" = 2\n")),
        "
  × duplicate key `\"hidden\"`
   ╭─[run.toml:3:1]
 1 │ [model.lm]
 2 │ hidden = 1
   · ───┬──
   ·    ╰── first set here
 3 │ \"hidden\" = 2
   · ────┬───
   ·     ╰── set again here
   ╰────",
    );
}

#[test]
fn a_table_opened_twice_is_shown_with_the_first() {
    assert_shows(
        &only(&errors("[model.lm]\nhidden = 1\n[stage]\n[model.lm]\n")),
        "
  × duplicate key `lm`
   ╭─[run.toml:4:8]
 1 │ [model.lm]
   ·        ─┬
   ·         ╰── first set here
 2 │ hidden = 1
 3 │ [stage]
 4 │ [model.lm]
   ·        ─┬
   ·         ╰── set again here
   ╰────",
    );
}

#[test]
fn duplicates_are_told_from_the_same_name_in_other_tables() {
    let errors = errors("a = { a = 1, a = 2 }\nb.a = 1\nb.a = 2\n[c]\na = 1\n");
    let firsts: Vec<String> = errors
        .iter()
        .map(|error| {
            let labels = miette::Diagnostic::labels(error).unwrap();
            let offsets: Vec<String> = labels.map(|label| label.offset().to_string()).collect();
            offsets.join(" after ")
        })
        .collect();
    assert_eq!(firsts, ["13 after 6", "31 after 23"]);
}

#[test]
fn an_unknown_table_at_the_top_level() {
    assert_shows(
        &only(&errors("seed = 1\n[stge.early]\nmodel = 'lm'\n")),
        "
  × unknown key `stge`
   ╭─[run.toml:2:2]
 1 │ seed = 1
 2 │ [stge.early]
   ·  ──┬─
   ·    ╰── not a key of the top level
 3 │ model = 'lm'
   ╰────
  help: did you mean `stage`?",
    );
}

#[test]
fn a_misspelt_key_is_not_also_missing() {
    assert_shows(
        &only(&errors("[model.lm]\nhiden = 200\n")),
        "
  × unknown key `hiden`
   ╭─[run.toml:2:1]
 1 │ [model.lm]
 2 │ hiden = 200
   · ──┬──
   ·   ╰── not a key of [model.lm]
   ╰────
  help: did you mean `hidden`?",
    );
}

#[test]
fn a_key_like_no_other_is_shown_all_that_there_are() {
    assert_shows(
        &only(&errors("[model.lm]\nhidden = 2\ntrain = { epochs = 2, wd = 0 }\n")),
        "
  × unknown key `wd`
   ╭─[run.toml:3:23]
 2 │ hidden = 2
 3 │ train = { epochs = 2, wd = 0 }
   ·                       ─┬
   ·                        ╰── not a key of [model.lm.train]
   ╰────
  help: there are `epochs`, `checkpoints`",
    );
}

#[test]
fn a_key_that_is_there_already_is_not_what_was_meant() {
    let report = only(&errors("[model.lm]\nhidden = 2\nHidden = 3\n"));
    assert!(report.contains("help: there are `hidden`, `embedding`"), "{report}");
}

#[test]
fn an_unknown_key_in_an_array_of_tables() {
    assert_shows(
        &only(&errors("[[sweep]]\nhidden = 1\n[[sweep]]\nhidden = 2\nEmbedding = 3\n")),
        "
  × unknown key `Embedding`
   ╭─[run.toml:5:1]
 4 │ hidden = 2
 5 │ Embedding = 3
   · ────┬────
   ·     ╰── not a key of [sweep[1]]
   ╰────
  help: did you mean `embedding`?",
    );
}

#[test]
fn a_wrong_type() {
    assert_shows(
        &only(&errors("[model.lm]\nhidden = \"many, expected 2\"\n")),
        "
  × expected an integer, found a string
   ╭─[run.toml:2:10]
 1 │ [model.lm]
 2 │ hidden = \"many, expected 2\"
   ·          ─────────┬────────
   ·                   ╰── expected an integer
   ╰────",
    );
}

#[test]
fn an_unknown_value_of_an_enum() {
    let text = "[stage.a]\nmodel = 'lm'\ncorpus = 'c'\nrecord = 'max-2'\n";
    assert_shows(
        &only(&errors(text)),
        "
  × unknown value `max-2`, expected one of `max-1`, `top-k`
   ╭─[run.toml:4:10]
 3 │ corpus = 'c'
 4 │ record = 'max-2'
   ·          ───┬───
   ·             ╰── not one of these
   ╰────
  help: did you mean `max-1`?",
    );
}

#[test]
fn a_missing_key_is_shown_at_the_header_or_the_inline_table() {
    assert_shows(
        &render(&errors("[stage.a]\nmodel = 'lm'\n[model.lm]\nhidden = 1\ntrain = {}\n")),
        "
  × 2 errors

Error:
  × missing key `corpus`
   ╭─[run.toml:1:1]
 1 │ [stage.a]
   · ────┬────
   ·     ╰── not set in [stage.a]
 2 │ model = 'lm'
   ╰────

Error:
  × missing key `epochs`
   ╭─[run.toml:5:9]
 4 │ hidden = 1
 5 │ train = {}
   ·         ─┬
   ·          ╰── not set in [model.lm.train]
   ╰────",
    );
}

#[test]
fn every_error_is_reported_once_in_the_order_of_the_file() {
    let text = "\
seed = -1
sed = 1
[model.lm]
hidden = 5000000000
range = [1.0, 'x']
dropout = true
train = { epochs = 1, checkpoints = [1, 'a', 2, 300, 4, 1.5] }
[model.other]
embedding = 'wide'
[stage.a]
record = 'max-2'
[stage.b]
corpus = 1
[stage]
c = ['lm', 'wikitext', 'max-1']
";
    assert_shows(
        &list(&errors(text)),
        "
run.toml:1:8: expected an integer of at least 0, found `-1`
run.toml:2:1: unknown key `sed`
run.toml:4:10: expected an integer of at most 4294967295, found `5000000000`
run.toml:5:15: expected a number, found a string
run.toml:6:11: expected a number, found a boolean
run.toml:7:41: expected an integer, found a string
run.toml:7:49: expected an integer of at most 255, found `300`
run.toml:7:57: expected an integer, found a float
run.toml:8:1: missing key `hidden`
run.toml:9:13: expected an integer, found a string
run.toml:10:1: missing key `model`
run.toml:10:1: missing key `corpus`
run.toml:11:10: unknown value `max-2`, expected one of `max-1`, `top-k`
run.toml:12:1: missing key `model`
run.toml:13:10: expected a string, found an integer
run.toml:15:5: expected a table, found an array",
    );
}

#[test]
fn numbers_that_json_cannot_hold() {
    let text = "a = 9223372036854775808\nb = 0x7fff_ffff_ffff_ffff\nc = nan\nd = -inf\ne = 1e999\n\
                f = -9_223_372_036_854_775_808\n";
    assert_shows(
        &list(&errors(text)),
        "
run.toml:1:5: the number `9223372036854775808` is out of range
run.toml:3:5: the number `nan` is out of range
run.toml:4:5: the number `-inf` is out of range
run.toml:5:5: the number `1e999` is out of range",
    );
}

#[test]
fn a_malformed_number_is_one_error() {
    assert_eq!(errors("a = 1.2.3\nb = 1__2\n").len(), 2);
}

#[test]
fn values_keep_their_order_and_dates_become_strings() {
    let text = "z = 1\na = 1979-05-27T07:32:00Z\n[y]\n[b]\nd = 1\nc = 0b11\n";
    let expected = r#"{"z":1,"a":"1979-05-27T07:32:00Z","y":{},"b":{"d":1,"c":3}}"#;
    assert_eq!(document(text).value().to_string(), expected);
}

#[test]
fn spans_cover_keys_and_values_alone() {
    let text = "\
[model.\"größe\"]  # ä
hidden =\t200 # ü
a.b . c = [ 'x' , { 'd/e~f' = \"\"\"
two\"\"\" } ]
[[sweep]]
[[sweep]]
hidden = 2
";
    let document = document(text);
    let key = |pointer: &str| document.place(pointer, At::Key).text().to_owned();
    let value = |pointer: &str| document.place(pointer, At::Value).text().to_owned();
    assert_eq!(key("/model"), "model");
    assert_eq!(key("/model/größe"), "\"größe\"");
    assert_eq!(value("/model/größe"), "[model.\"größe\"]");
    assert_eq!(key("/model/größe/hidden"), "hidden");
    assert_eq!(value("/model/größe/hidden"), "200");
    assert_eq!(key("/model/größe/a/b"), "b");
    assert_eq!(value("/model/größe/a/b/c/0"), "'x'");
    assert_eq!(key("/model/größe/a/b/c/1/d~1e~0f"), "'d/e~f'");
    assert_eq!(value("/model/größe/a/b/c/1/d~1e~0f"), "\"\"\"\ntwo\"\"\"");
    assert_eq!(value("/sweep/1"), "[[sweep]]");
    assert_eq!(value("/sweep/1/hidden"), "2");
    // What is not there is shown where it would be.
    assert_eq!(key("/model/größe/hidden/x"), "200");
    assert_eq!(value("/model/größe/a/b/c/7"), value("/model/größe/a/b/c"));
    assert_eq!(value("/nowhere"), "");
    assert_eq!(value("no pointer"), "");
}

#[test]
fn the_caret_stands_under_the_value_behind_wide_text() {
    assert_shows(
        &only(&errors("[model]\n'größe' = { hidden = 'ü' }\n")),
        "
  × expected an integer, found a string
   ╭─[run.toml:2:22]
 1 │ [model]
 2 │ 'größe' = { hidden = 'ü' }
   ·                      ─┬─
   ·                       ╰── expected an integer
   ╰────",
    );
}

#[test]
fn a_byte_order_mark_moves_no_span() {
    let document = document("\u{feff}seed = 'x'\n");
    assert_eq!(document.place("/seed", At::Key).text(), "seed");
    assert_eq!(document.place("/seed", At::Value).text(), "'x'");
}

#[test]
fn lines_may_end_as_on_windows() {
    assert_shows(
        &only(&errors("seed = 1\r\n[model.lm]\r\nhidden = 'x'\r\n")),
        "
  × expected an integer, found a string
   ╭─[run.toml:3:10]
 2 │ [model.lm]
 3 │ hidden = 'x'
   ·          ─┬─
   ·           ╰── expected an integer
   ╰────",
    );
}

#[test]
fn assignments_set_toml_values_or_bare_strings() {
    let mut document = document("seed = 1\n[stage.early]\nrecord = 'top-k'\nlayers = ['a', 'b']\n");
    for assignment in [
        "seed=2",
        "stage.early.record=max-1",
        "stage.early.layers.1 = c",
        "stage.\"a=b\".model = 'lm # 1'",
        "model.lm.train.epochs=2",
        "stage.early.path=a#b=c",
        "stage.late = { model = 'lm' }",
        "stage.early.version=1.2.3",
    ] {
        document.set(assignment).unwrap();
    }
    let expected = json!({
        "seed": 2,
        "stage": {
            "early": {
                "record": "max-1",
                "layers": ["a", "c"],
                "path": "a#b=c",
                "version": "1.2.3",
            },
            "a=b": { "model": "lm # 1" },
            "late": { "model": "lm" },
        },
        "model": { "lm": { "train": { "epochs": 2 } } },
    });
    assert_eq!(*document.value(), expected);
    let value = |pointer: &str| document.place(pointer, At::Value).text().to_owned();
    assert_eq!(value("/stage/early/record"), "max-1");
    assert_eq!(value("/stage/early/layers/0"), "'a'");
    assert_eq!(value("/stage/early/layers/1"), "c");
    assert_eq!(value("/stage/late/model"), "'lm'");
}

#[test]
fn a_wrong_value_is_shown_in_its_assignment() {
    let mut document = document("[stage.a]\nmodel = 'lm'\ncorpus = 'c'\n");
    document.set("stage.a.record=max-2").unwrap();
    assert_shows(
        &only(&errors_of(&document)),
        "
  × unknown value `max-2`, expected one of `max-1`, `top-k`
   ╭─[--set:1:16]
 1 │ stage.a.record=max-2
   ·                ──┬──
   ·                  ╰── not one of these
   ╰────
  help: did you mean `max-1`?",
    );
}

#[test]
fn a_key_missing_in_what_an_assignment_made_is_shown_there() {
    let mut document = document("seed = 1\n");
    document.set("model.lm.embedding=20").unwrap();
    assert_shows(
        &only(&errors_of(&document)),
        "
  × missing key `hidden`
   ╭─[--set:1:7]
 1 │ model.lm.embedding=20
   ·       ─┬
   ·        ╰── not set in [model.lm]
   ╰────",
    );
}

#[test]
fn an_assignment_forgets_the_places_of_what_it_replaced() {
    let mut document = document("[model.lm]\nhidden = 1\ntrain = { epochs = 1 }\n");
    document.set("model.lm={ hidden = 2 }").unwrap();
    assert_eq!(document.place("/model/lm/train/epochs", At::Value).text(), "{ hidden = 2 }");
    assert!(errors_of(&document).is_empty());
}

#[test]
fn assignments_that_are_none() {
    let text = "seed = 1\nlayers = ['a', 'b']\n";
    let report = |assignment| list(&assignment_errors(text, assignment));
    assert_eq!(report("seed"), "--set:1:1: expected an assignment");
    assert_eq!(report("[x]\nseed=1"), "--set:1:1: expected an assignment");
    assert_eq!(report("seed="), "--set:1:5: expected a value");
    assert_eq!(report("seed=nan"), "--set:1:6: the number `nan` is out of range");
    assert_eq!(report("x=[1]\ny=2"), "--set:1:3: expected one value");
    assert_eq!(report("=1"), "--set:1:1: unquoted keys cannot be empty");
    assert_shows(
        &only(&assignment_errors(text, "seed.x.y=2")),
        "
  × nothing to set at `x`
   ╭─[--set:1:6]
 1 │ seed.x.y=2
   ·      ┬
   ·      ╰── `seed` is an integer, which has no keys
   ╰────",
    );
    assert_shows(
        &only(&assignment_errors(text, "layers.2=c")),
        "
  × nothing to set at `2`
   ╭─[--set:1:8]
 1 │ layers.2=c
   ·        ┬
   ·        ╰── `layers` is an array of 2, counted from 0
   ╰────",
    );
    assert_shows(
        &only(&assignment_errors(text, "layers=['c'")),
        "
  × unclosed array
   ╭─[--set:1:11]
 1 │ layers=['c'
   ·           ┬
   ·           ╰── expected `]`
   ╰────",
    );
}

#[test]
fn a_section_without_the_keys_of_others_is_read_with_its_places() {
    let document = document("[model.lm]\nkind = 'lstm'\nhidden = 'x'\n");
    let mut section = document.value().pointer("/model/lm").unwrap().clone();
    section.as_object_mut().unwrap().remove("kind");
    let mut diagnostics = Diagnostics::new();
    let model: Option<Model> = document.read_value("/model/lm", section, &mut diagnostics);
    assert_eq!(model, None);
    assert_eq!(list(&diagnostics), "run.toml:3:10: expected an integer, found a string");
}

#[test]
fn a_section_that_is_not_there_is_missing() {
    let mut diagnostics = Diagnostics::new();
    let model: Option<Model> = document("[model]\n").read("/model/lm", &mut diagnostics);
    assert_eq!(model, None);
    assert_eq!(list(&diagnostics), "run.toml:1:1: missing key `lm`");
}

/// As a plugin may give it: references, alternatives told apart by a tag, open and closed tables.
fn plugin_schema() -> Value {
    json!({
        "$ref": "#/$defs/Options",
        "$defs": {
            "Options": {
                "type": "object",
                "properties": {
                    "alpha": { "type": "number" },
                    "free": { "type": "object" },
                    "names": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Options" } },
                    "metrics": { "type": "array", "items": { "anyOf": [
                        { "type": "string" },
                        { "type": "object", "properties": {
                            "kind": { "const": "energy" }, "exponent": {} } },
                        { "type": "object", "properties": {
                            "kind": { "const": "kernel" }, "width": {} } },
                    ] } },
                    "inner": { "anyOf": [ { "$ref": "#/$defs/Options" }, { "type": "null" } ] },
                },
            },
        },
    })
}

#[test]
fn the_schema_of_a_plugin_names_unknown_keys() {
    let text = "\
[metric.x]
free = { anything = { goes = 1 } }
names = { any = { alpha = 1, alhpa = 2 } }
metrics = ['plain', { kind = 'energy', exponent = 1 }, { kind = 'energy', width = 1 }]
inner = { inner = { apha = 1 } }
";
    let document = document(text);
    let value = document.value().pointer("/metric/x").unwrap();
    let mut diagnostics = Diagnostics::new();
    document.unknown_keys("/metric/x", value, &plugin_schema(), &mut diagnostics);
    assert_shows(
        &list(&diagnostics),
        "
run.toml:3:30: unknown key `alhpa`
run.toml:4:75: unknown key `width`
run.toml:5:21: unknown key `apha`",
    );
}

#[test]
fn schemas_that_say_nothing_or_go_round_in_circles_allow_everything() {
    let document = document("[metric.x]\na = { b = 1 }\n");
    let circle =
        json!({ "$ref": "#/$defs/A", "$defs": { "A": { "anyOf": [{ "$ref": "#/$defs/A" }, { "$ref": "#" }] } } });
    let schemas = [json!(true), json!({}), json!("?"), json!({ "$ref": "elsewhere" }), circle];
    for schema in schemas {
        let mut diagnostics = Diagnostics::new();
        document.unknown_keys("", document.value(), &schema, &mut diagnostics);
        assert!(diagnostics.is_empty(), "{schema}: {}", list(&diagnostics));
    }
}

#[test]
fn an_error_of_a_plugin_is_shown_at_its_pointer() {
    let document = document("[comparison.x]\nmetrics = ['hellinger', { kind = 'energy', alpha = 3 }]\n");
    let error = document
        .error("/comparison/x/metrics/1/alpha", At::Value, "alpha must lie in (0, 2]")
        .label("too large")
        .also(document.place("/comparison/x", At::Value), "asked for by this");
    assert_shows(
        &render(&error),
        "
  × alpha must lie in (0, 2]
   ╭─[run.toml:2:52]
 1 │ [comparison.x]
   · ───────┬──────
   ·        ╰── asked for by this
 2 │ metrics = ['hellinger', { kind = 'energy', alpha = 3 }]
   ·                                                    ┬
   ·                                                    ╰── too large
   ╰────",
    );
}

#[test]
fn a_place_in_another_text_is_written_out() {
    let mut document = document("seed = 1\n[model.a]\n");
    document.set("model.b.init=a").unwrap();
    let error = document
        .error("/model/a", At::Value, "a circle")
        .help("break it")
        .also(document.place("/model/b/init", At::Value), "comes back here");
    let report = render(&error);
    assert!(report.contains("help: break it"), "{report}");
    assert!(report.contains("--set:1:14: comes back here"), "{report}");
}

/// Trees that TOML can hold: no null, finite floats, integers of 64 bits.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        Just(json!(-0.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..5)
                .prop_map(|table| Value::Object(table.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,3}", "[0-9]{1,2}", "[~/.=ä\"' \\\\]{0,3}", any::<String>()]
}

fn any_tree() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(any_key(), any_value(), 0..6)
        .prop_map(|table| Value::Object(table.into_iter().collect()))
}

/// Each value of the tree that is neither table nor array, and each key, with its pointer.
fn visit(value: &Value, pointer: &str, see: &mut dyn FnMut(&str, Option<&str>, &Value)) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let pointer = format!("{pointer}{}", segment(key));
                see(&pointer, Some(key), value);
                visit(value, &pointer, see);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                let pointer = format!("{pointer}/{index}");
                see(&pointer, None, value);
                visit(value, &pointer, see);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed_and_every_span_is_its_value(tree in any_tree()) {
        let text = toml::to_string(&tree).unwrap();
        let document = Document::parse("tree.toml", text.clone()).unwrap();
        prop_assert_eq!(document.value(), &tree);
        let mut failures = Vec::new();
        visit(&tree, "", &mut |pointer, key, value| {
            if let Some(key) = key {
                let written = document.place(pointer, At::Key).text().to_owned();
                let parsed: Value = toml::from_str(&format!("{written} = 0")).unwrap();
                if parsed != json!({ key: 0 }) {
                    failures.push(format!("the key {key:?} at {pointer:?} is {written:?}"));
                }
            }
            if !value.is_object() && !value.is_array() {
                let written = document.place(pointer, At::Value).text().to_owned();
                let parsed: Value = toml::from_str(&format!("x = {written}")).unwrap();
                if parsed != json!({ "x": value }) {
                    failures.push(format!("{value} at {pointer:?} is {written:?}"));
                }
            }
        });
        prop_assert!(failures.is_empty(), "{failures:?} in\n{text}");
    }

    /// Whatever is wrong in a text, it is reported and not panicked over.
    #[test]
    fn any_text_is_a_config_or_has_errors(text in "([a-c.=\\[\\]{}\"',0-9ä \n-]|\\[\\[|\r\n){0,40}") {
        match Document::parse("any.toml", text) {
            Ok(document) => drop(errors_of(&document)),
            Err(diagnostics) => {
                prop_assert!(!diagnostics.is_empty());
                render(&diagnostics);
                list(&diagnostics);
            }
        }
    }

    #[test]
    fn any_assignment_sets_a_value_or_has_errors(assignment in "[a-c.=\\[\\]{}\"',0-9ä \n-]{0,20}") {
        let mut document = document("a = 1\nb.c = [1, { a = 2 }]\n");
        if let Err(diagnostics) = document.set(&assignment) {
            prop_assert!(!diagnostics.is_empty());
            render(&diagnostics);
        }
    }
}
