//! Sources of activations and pruners by somebody else, in the places that pipelines have for them.

use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use txray_tests::{Folder, Table, rust_plugin};

/// Two stages of one source, compared, and their neurons ranked by `pruner`.
fn folder(pruner: &str) -> Folder {
    let library = rust_plugin("everything");
    let folder = Folder::new();
    folder.write(
        "pipeline.toml",
        format!(
            r#"
[plugin.everything]
path = {library:?}

[stage.a]
source = "replay"

[stage.b]
source = {{ kind = "replay" }}

[comparison.same]
from = "a"
to = "b"
metrics = ["hellinger", "union-length"]

[pruning.ranked]
comparison = "same"
pruner = {pruner}
"#
        ),
    );
    folder
}

#[test]
fn a_source_is_a_stage_and_a_pruner_ranks_the_neurons_of_a_comparison() {
    let folder = folder("{ kind = \"by-column\", column = \"mass_to\" }");
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(ran.stdout.contains("replay"), "{}", ran.stdout);

    // What the source replays (tests/plugins/everything/src/batches.rs): of four observations three are > 0.
    let neurons = Table::read(&folder.path("out/stages/a/neurons.parquet"));
    assert_eq!(neurons.text("site"), [Some("größe"), Some("größe"), Some("b")]);
    assert_eq!(neurons.numbers::<UInt64Type>("count"), [Some(1), Some(1), Some(1)]);
    let mass: Vec<f64> = neurons.numbers::<Float64Type>("mass").into_iter().flatten().collect();
    // The smallest activation there is rounds to nothing.
    assert_eq!(mass, [0.0, f64::from(0.1_f32), 3.5]);
    let table = Table::read(&folder.path("out/comparisons/same.parquet"));
    assert_eq!(table.text("layer"), [Some("wort"); 3]);

    let ranked = Table::read(&folder.path("out/prunings/ranked.parquet"));
    assert_eq!(ranked.columns(), ["site: Utf8", "neuron: UInt32", "score: Float64?", "rank: UInt32?"]);
    assert_eq!(ranked.numbers::<Float64Type>("score"), mass.iter().map(|&mass| Some(mass)).collect::<Vec<_>>());
    assert_eq!(ranked.numbers::<UInt32Type>("rank"), [Some(3), Some(2), Some(1)]);

    let again = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert_eq!(again.stderr.matches("there already").count(), 4, "{}", again.stderr);
}

#[test]
fn undefined_distances_are_never_pruned() {
    let folder = folder("{ kind = \"by-column\", column = \"hellinger:wort\" }");
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let ranked = Table::read(&folder.path("out/prunings/ranked.parquet"));
    let distances = Table::read(&folder.path("out/comparisons/same.parquet")).numbers::<Float64Type>("hellinger");
    assert_eq!(ranked.numbers::<Float64Type>("score"), distances);
    for (distance, rank) in distances.iter().zip(ranked.numbers::<UInt32Type>("rank")) {
        assert_eq!(distance.is_some(), rank.is_some());
    }
}

#[test]
fn what_is_wrong_about_them_is_told_with_its_place() {
    let said = |pruner: &str| folder(pruner).txray(["check", "pipeline.toml"]).failed(2);
    let unknown = said("\"by-colum\"");
    assert!(unknown.contains("no pruner `by-colum`") && unknown.contains("did you mean `by-column`?"), "{unknown}");
    let lacking = said("\"by-column\"");
    assert!(lacking.contains("missing key `column`"), "{lacking}");
    // Which columns there are is known once the stages are read.
    let run = folder("{ kind = \"by-column\", column = \"no\" }").txray(["run", "pipeline.toml", "--out", "out"]);
    let no_column = run.failed(2);
    assert!(no_column.contains("[pruning.ranked]") && no_column.contains("there is no column `no`"), "{no_column}");

    let folder = Folder::new();
    let library = rust_plugin("everything");
    folder.write(
        "pipeline.toml",
        format!(
            "[plugin.everything]\npath = {library:?}\n\n[stage.a]\nsource = \"replay\"\nlayers = [\"token\"]\n\n\
             [stage.b]\nmodel = \"lm\"\n\n[stage.c]\nsource = 3\n\n[pruning.p]\ncomparison = \"no\"\npruner = \"no\"\n"
        ),
    );
    let said = folder.txray(["check", "pipeline.toml"]).failed(2);
    for told in [
        "a stage with a `source` has no `layers`",
        "missing key `corpus`",
        "expected the name of a source, or a table with its `kind`",
        "there is no comparison `no`",
        "there is no pruner `no`",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

/// What the suites try pruners with is what runs give them.
#[test]
fn a_pruner_is_given_the_columns_that_the_conformance_suites_have() {
    for column in txray_conformance::strategies::column_names() {
        let column = column.replace("token", "wort");
        let folder = folder(&format!("{{ kind = \"by-column\", column = \"{column}\" }}"));
        folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).succeeded();
    }
}
