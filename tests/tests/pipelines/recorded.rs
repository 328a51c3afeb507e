//! Observations of other programs, and of other runs, as stages.

use std::collections::HashMap;

use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use txray_tests::{Folder, SmallModel, Table, blocks, path, shared};

use crate::readme::{block, structure};

/// By metric, layer and neuron: distance and union length.
type Expected = HashMap<String, HashMap<String, HashMap<String, (f64, u64)>>>;

/// What the authors' own code computes, through the program, from their observations as they lie there.
#[test]
fn distances_of_recorded_observations_are_those_of_the_authors() {
    let Some(parity) = shared("parity") else { return };
    let parity = parity.canonicalize().unwrap();
    let expected: Expected = serde_json::from_slice(&std::fs::read(parity.join("expected.json")).unwrap()).unwrap();
    let folder = Folder::new();
    let stage = |name: &str| {
        let path = parity.join(format!("observations_{name}.tsv"));
        format!("[stage.{name}]\nsource = {{ kind = \"observations\", path = {path:?} }}\n")
    };
    let comparison = "[comparison.ab]\nfrom = \"a\"\nto = \"b\"\nlayers = [\"token\", \"pos\"]\nweighting = \"mean\"\n\
                      metrics = [\"hellinger-2020\", \"hellinger\"]\n";
    // The largest neuron of one side is not that of the other.
    let width = |stage: String| stage.replace(" }", ", width = 100 }");
    folder.write("pipeline.toml", width(stage("a")) + &width(stage("b")) + comparison);
    folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).succeeded();

    let table = Table::read(&folder.path("out/comparisons/ab.parquet"));
    let (neurons, layers) = (table.numbers::<UInt32Type>("neuron"), table.text("layer"));
    let lengths = table.numbers::<UInt64Type>("union_length");
    let (mut largest, mut values) = (0.0_f64, 0);
    for (metric, of_metric) in &expected {
        let found = table.numbers::<Float64Type>(metric);
        for (layer, of_layer) in of_metric {
            let rows = (0..table.len()).filter(|&row| layers[row] == Some(layer) && found[row].is_some());
            let rows: Vec<usize> = rows.collect();
            assert_eq!(rows.len(), of_layer.len(), "neurons alive in both");
            for row in rows {
                let neuron = neurons[row].unwrap();
                let (distance, length) = of_layer[&neuron.to_string()];
                assert_eq!(lengths[row], Some(length), "{metric} {layer} {neuron}");
                largest = largest.max((found[row].unwrap() - distance).abs());
                values += 1;
            }
        }
    }
    println!("{values} values, the largest difference is {largest:e}");
    assert!(values > 100 && largest < 1e-9, "{values} values, the largest difference is {largest:e}");
}

/// A stage of a small model over text in groups.
fn a_run(record: &str) -> Folder {
    let folder = Folder::new();
    let rows: Vec<String> =
        (0..40).map(|row| format!("g{}\tw{} w{} ü\" w{}", row / 9, row % 7, row % 5, row % 3)).collect();
    folder.write("text.tsv", format!("article\ttext\n{}\n", rows.join("\n")));
    SmallModel::new(7, 5).write(&folder.path("model"));
    folder.write(
        "first.toml",
        format!(
            "[corpus.c]\nkind = \"tsv\"\ntest = \"text.tsv\"\ntext = \"text\"\ngroup = \"article\"\n[model.small]\npath = \"model\"\n\
             [stage.s]\nmodel = \"small\"\ncorpus = \"c.test\"\nlayers = [\"token\", \"word\"]\nrecord = {record}\n"
        ),
    );
    folder.txray(["run", "first.toml", "--out", "first", "-q"]).succeeded();
    folder
}

/// Preferences are a fold of observations: what a run wrote, and another reads, has the same.
#[test]
fn a_stage_that_another_run_wrote_has_the_same_preferences() {
    for record in ["\"max-1\"", "{ kind = \"top-k\", k = 3 }", "{ kind = \"threshold\", above = -0.1 }"] {
        let folder = a_run(record);
        folder.write(
            "second.toml",
            "[stage.again]\nsource = { kind = \"observations\", path = \"first/stages/s/observations.parquet\" }\n",
        );
        folder.txray(["run", "second.toml", "--out", "second", "-q"]).succeeded();
        let bytes = |file: &str| std::fs::read(folder.path(file)).unwrap();
        let [first, again] = ["first/stages/s", "second/stages/again"];
        let preferences = Table::read(&folder.path(format!("{again}/preferences.parquet")));
        assert!(preferences.len() > 10, "{record}");
        let file = "preferences.parquet";
        assert!(bytes(&format!("{first}/{file}")) == bytes(&format!("{again}/{file}")), "{record}: {file} differs");
        // Every token has its strongest neurons, and only a threshold leaves some without a row.
        if !record.contains("threshold") {
            let file = "observations.parquet";
            assert!(bytes(&format!("{first}/{file}")) == bytes(&format!("{again}/{file}")), "{record}: {file} differs");
        }
        let neurons = Table::read(&folder.path(format!("{again}/neurons.parquet")));
        assert!(neurons.numbers::<Float64Type>("mean").iter().all(Option::is_none), "moments are not known");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_where_the_pipeline_names_it() {
    let folder = Folder::new();
    let check = |contents: &str, options: &str| {
        folder.write("o.tsv", contents);
        folder.write(
            "pipeline.toml",
            format!("[stage.a]\nsource = {{ kind = \"observations\", path = \"o.tsv\"{options} }}\n"),
        );
        folder.txray(["check", "pipeline.toml"])
    };
    let good = "doc\tneuron\tactivation\ttoken\n0\t3\t0.5\tthe\n";
    check(good, "").succeeded();
    let said = check(&good.replace("neuron", "unit"), "").failed(2);
    assert!(said.contains("pipeline.toml:2:") && said.contains("it has no column `neuron`; it has `doc`"), "{said}");
    let said = check(&good.replace("0.5", "0.5\t"), "").failed(2);
    assert!(said.contains("line 2: it has 5 fields"), "{said}");
    let said = check(good, ", layers = [\"pos\"]").failed(2);
    assert!(said.contains("there is no column `pos`"), "{said}");
    let said = check(good, ", width = \"four\"").failed(2);
    assert!(said.contains("expected how many neurons there are"), "{said}");
    // What stands further behind is found when it is read, and nothing is left.
    check(&format!("{good}1\t1\tlow\tcat\n"), ", width = 4").succeeded();
    let said = folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    assert!(said.contains("line 3: `activation` is `low`") && said.contains("[stage.a]"), "{said}");
    assert_eq!(folder.files("out").iter().find(|file| file.ends_with(".parquet")), None);
    // Another file is read again.
    check(good, ", width = 4").succeeded();
    folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).succeeded();
    let again = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(again.stderr.contains("there already"), "{}", again.stderr);
    check(&good.replace("the", "cat"), ", width = 4").succeeded();
    let other = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(!other.stderr.contains("there already"), "{}", other.stderr);
}

/// The page's function is the script's, and its pipeline prints what the page shows.
#[test]
fn the_script_of_the_page_records_what_its_pipeline_reads() {
    let page = std::fs::read_to_string(path("../docs/recorded.md")).unwrap();
    let script = std::fs::read_to_string(path("../docs/scripts/record.py")).unwrap();
    let hook = block(&page, "python");
    assert!(script.contains(&hook), "docs/scripts/record.py has another:\n{hook}");
    let folder = Folder::new();
    if !folder.python("record.py", &script) {
        return;
    }
    folder.write("pipeline.toml", block(&page, "toml"));
    let ran = folder.txray(["run", "pipeline.toml"]).succeeded();
    let shown = page.split("<!-- recorded -->").nth(1).map(|rest| blocks(rest, "").swap_remove(0)).unwrap();
    let without_neurons = |text: &str| {
        let lines = structure(text).into_iter().filter(|line| !line.starts_with("hidden["));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(without_neurons(&ran.stdout), without_neurons(&shown), "{}", ran.stdout);
    assert!(ran.stdout.contains(" hidden["), "{}", ran.stdout);
}
