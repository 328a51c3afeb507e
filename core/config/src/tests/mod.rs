//! What a person sees: whole reports as they are rendered, and the laws of spans.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use miette::{GraphicalReportHandler, GraphicalTheme};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::*;

mod assignments;
mod hostile;
mod laws;
mod plugin_schemas;
mod settings;
mod syntax;

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
    assert!(!out.contains("Failed to read"), "a label outside the text: {out}");
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
   ·     ╰── missing from [stage.a]
 2 │ model = 'lm'
   ╰────

Error:
  × missing key `epochs`
   ╭─[run.toml:5:9]
 4 │ hidden = 1
 5 │ train = {}
   ·         ─┬
   ·          ╰── missing from [model.lm.train]
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only ever refused")]
enum Budget {
    Share(f64),
    Neurons { count: NonZeroU32, sites: (String, u8) },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "f64")]
struct Probability;

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        let is_one = (0.0..=1.0).contains(&value);
        is_one.then_some(Self).ok_or_else(|| format!("{value} is no probability"))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only ever refused")]
struct Pruning {
    budgets: Vec<Budget>,
    fdr: Probability,
}

#[test]
fn enums_with_values_tuples_and_checked_types() {
    let text = "\
fdr = 1.5
budgets = [
  { share = true },
  { neurons = { count = 0, sites = ['a', 'b'] } },
  { nuerons = {} },
  { neurons = { count = 1, sites = ['a', 1, 2], more = 1 } },
  'share',
  7,
]
";
    let mut diagnostics = Diagnostics::new();
    let pruning: Option<Pruning> = document(text).read("", &mut diagnostics);
    assert!(pruning.is_none());
    assert_shows(
        &list(&diagnostics),
        "
run.toml:1:7: 1.5 is no probability
run.toml:3:13: expected a number, found a boolean
run.toml:4:25: expected an integer of at least 1, found `0`
run.toml:4:42: expected an integer, found a string
run.toml:5:5: unknown key `nuerons`
run.toml:6:36: expected a shorter array, found one of 3
run.toml:6:49: unknown key `more`
run.toml:7:3: expected a table, found a string
run.toml:8:3: expected a string or a table, found an integer",
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
fn a_key_missing_in_an_empty_file() {
    let mut diagnostics = Diagnostics::new();
    assert_eq!(document("").read::<Model>("", &mut diagnostics), None);
    assert_shows(
        &only(&diagnostics),
        "
  × missing key `hidden`
   ╭─[run.toml:1:1]
 1 │
   · ▲
   · ╰── missing from the top level
   ╰────",
    );
}

#[test]
fn a_section_that_is_not_there_is_missing() {
    let mut diagnostics = Diagnostics::new();
    let model: Option<Model> = document("[model]\n").read("/model/lm", &mut diagnostics);
    assert_eq!(model, None);
    assert_eq!(list(&diagnostics), "run.toml:1:1: missing key `lm`");
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

#[test]
fn nothing_of_a_file_reaches_the_terminal_as_what_it_is_not() {
    let read = document("\"\\u001b[31mred\\u0007\" = 1\n");
    let mut diagnostics = Diagnostics::new();
    assert_eq!(read.read::<Model>("", &mut diagnostics), None);
    let told = format!("{diagnostics:#}");
    assert!(told.contains(r"unknown key `\u{1b}[31mred\u{7}`") && !told.contains('\u{1b}'), "{told:?}");

    // Nor does what stands under the caret, in as many characters.
    let text = "seed = \u{1b}[31m\u{9b}\u{202e}\t1\n";
    let errors = Document::parse("a\u{1b}.toml", text.to_owned()).unwrap_err();
    for error in &errors {
        let mut shown = String::new();
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
        handler.render_report(&mut shown, error).unwrap();
        assert!(!shown.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{shown:?}");
        assert!(shown.contains("seed = ?[31m") && shown.contains(r"a\u{1b}.toml:1:"), "{shown}");
    }
}
