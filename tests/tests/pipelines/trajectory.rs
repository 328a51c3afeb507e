//! What a model predicts, and its checkpoints in their order.

use arrow_array::types::{Float64Type, UInt64Type};
use serde_json::Value;
use txray_tests::{Folder, SmallModel, Table};

const TRAINED: &str = r#"
[corpus.c]
kind = "grammar"
domain = "kitchen"
train = 600
valid = 150

[model.lm]
kind = "lstm"
embedding = 16
hidden = 16
task = { kind = "language-model", corpus = "c" }
train = { epochs = 4, checkpoints = [1, 2] }

[trajectory.learning]
model = "lm"
corpus = "c.valid"
layers = ["word", "pos"]

[evaluation.end]
model = "lm"
corpora = ["c.valid", "c.train"]
"#;

#[test]
fn checkpoints_are_read_in_their_order() {
    let folder = Folder::new();
    folder.write("pipeline.toml", TRAINED);
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    for told in ["learning: 3 checkpoints over c.valid, `pos`", "lm@1 ", "lm@2 ", "to previous"] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    let table = Table::read(&folder.path("out/trajectories/learning.parquet"));
    assert_eq!(
        table.text("checkpoint").into_iter().flatten().collect::<Vec<_>>(),
        ["lm@1", "lm@1", "lm@2", "lm@2", "lm", "lm"]
    );
    assert_eq!(table.numbers::<UInt64Type>("epoch"), [1, 1, 2, 2, 4, 4].map(Some));
    let column = |name: &str| table.numbers::<Float64Type>(name);
    // It learns, and what it knows at the end is nearer to what it knew last.
    let perplexity = column("perplexity");
    assert!(perplexity[0] > perplexity[2] && perplexity[2] > perplexity[4], "{perplexity:?}");
    let [low, high] = ["perplexity_low", "perplexity_high"].map(column);
    assert!((0..6).all(|row| low[row] < perplexity[row] && perplexity[row] < high[row]));
    let last = column("corrected_last");
    assert!(last[0] > last[2] && last[4].is_none(), "{last:?}");
    let previous = column("distance_previous");
    assert!(previous[0].is_none() && previous[2].is_some() && previous[4] == column("distance_last")[2]);
    // Of words there is no control; parts of speech are more than words of their frequency tell.
    let (bits, control) = (column("information"), column("information_control"));
    assert!(
        (0..3).all(|at| control[2 * at].is_none() && bits[2 * at + 1] > control[2 * at + 1]),
        "{bits:?} {control:?}"
    );
    assert!(column("length").iter().all(Option::is_some));

    // Each is a stage of its own, and an evaluation of the last one says the same as its training did.
    for stage in ["learning@1", "learning@2", "learning@4"] {
        assert!(folder.path(format!("out/stages/{stage}/preferences.parquet")).exists(), "{stage}");
    }
    let json = |path: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.path(path)).unwrap()).unwrap() };
    let manifest = json("out/manifest.json");
    let steps = manifest["steps"].as_array().unwrap();
    let trained = steps.iter().find(|step| step["name"] == "model.lm").unwrap()["valid_perplexity"].as_f64().unwrap();
    let scores = json("out/evaluations/end.json");
    let evaluated = scores["c.valid"]["perplexity"]["value"].as_f64().unwrap();
    assert!((trained / evaluated - 1.0).abs() < 1e-6 && perplexity[4] == Some(evaluated), "{trained} {evaluated}");
    let documents = Table::read(&folder.path("out/evaluations/end.parquet"));
    assert_eq!(documents.len(), 750);
    let sum: f64 = documents.numbers::<Float64Type>("loss").into_iter().flatten().take(150).sum();
    let count: u64 = documents.numbers::<UInt64Type>("count").into_iter().flatten().take(150).sum();
    assert!(((sum / count as f64).exp() / evaluated - 1.0).abs() < 1e-9);
}

const READ: &str = r#"
[corpus.c]
kind = "text"
valid = "text.txt"

[model.a]
path = "a"

[model.b]
path = "b"

[model.c]
path = "c"

[model.wide]
path = "wide"

[trajectory.t]
corpus = "c.valid"
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    let line = |at: usize| (0..20).map(|i| format!("w{}", (i * i + at) % 5)).collect::<Vec<_>>().join(" ") + "\n";
    folder.write("text.txt", (0..30).map(line).collect::<String>());
    let mut model = SmallModel::new(6, 4);
    ["a", "b"].iter().for_each(|name| model.write(&folder.path(name)));
    model.tensors.iter_mut().for_each(|(_, _, values)| values.reverse());
    model.write(&folder.path("c"));
    SmallModel::new(6, 5).write(&folder.path("wide"));
    folder
}

#[test]
fn checkpoints_of_folders_and_twins() {
    let folder = folder();
    folder.write("pipeline.toml", format!("{READ}models = [\"a\", \"b\", \"c\"]\n"));
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out", "--threads", "1"]).succeeded();
    assert!(ran.stderr.contains("[trajectory.t] `a` and `b` read the text exactly alike"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("`b` and `c` read"), "{}", ran.stderr);
    let table = Table::read(&folder.path("out/trajectories/t.parquet"));
    let distance = table.numbers::<Float64Type>("distance_previous");
    assert!(distance[0].is_none() && distance[1] < Some(1e-6) && distance[2] > Some(0.1), "{distance:?}");
    let bytes = std::fs::read(folder.path("out/trajectories/t.parquet")).unwrap();
    folder.txray(["run", "pipeline.toml", "--out", "again", "--store", "another"]).succeeded();
    assert!(bytes == std::fs::read(folder.path("again/trajectories/t.parquet")).unwrap());
}

/// A model that stops before its last checkpoint ends with what it has, and one that diverges has no perplexity.
#[test]
fn trainings_that_end_early_or_nowhere() {
    let folder = Folder::new();
    let pipeline = TRAINED.replace(
        "epochs = 4, checkpoints = [1, 2]",
        "epochs = 9, checkpoints = [1, 9], patience = 1, learning_rate = 50.0",
    );
    folder.write("pipeline.toml", &pipeline);
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let table = Table::read(&folder.path("out/trajectories/learning.parquet"));
    let epochs: Vec<u64> = table.numbers::<UInt64Type>("epoch").into_iter().flatten().collect();
    assert!(epochs.iter().all(|&epoch| epoch < 9), "{epochs:?} {}", ran.stderr);
    assert!(!ran.stdout.contains("inf") && !ran.stdout.contains("NaN"), "{}", ran.stdout);
}

/// Of a document in which nothing is above the threshold, both readings are of one text all the same.
#[test]
fn documents_without_an_observation_are_there() {
    let folder = folder();
    let stages = "[stage.a]\nmodel = \"a\"\ncorpus = \"c.valid\"\nrecord = RULE\n[stage.c]\nmodel = \"c\"\ncorpus = \"c.valid\"\nrecord = RULE\n\
                  [comparison.x]\nfrom = \"a\"\nto = \"c\"\nsignificance = { permutations = 20 }\n";
    let read = READ.split("[trajectory").next().unwrap().to_owned() + stages;
    for above in ["0.05", "0.2", "0.4"] {
        folder.write("pipeline.toml", read.replace("RULE", &format!("{{ kind = \"threshold\", above = {above} }}")));
        folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    }
}

#[test]
fn what_is_no_trajectory_is_told() {
    let folder = folder();
    for (keys, expected) in [
        ("", "missing key `model`: whose checkpoints?"),
        ("model = \"a\"", "a trajectory needs two checkpoints at least"),
        ("models = [\"a\"]", "name two or more, in their order"),
        ("models = [\"a\", \"a\"]", "`a` is named twice"),
        ("model = \"a\"\nmodels = [\"a\", \"b\"]", "not of both"),
        ("models = [\"a\", \"wide\"]", "the first reads lstm.0.hidden (4), `wide` lstm.0.hidden (5)"),
        ("models = [\"a\", \"b\"]\nrecord = \"all\"", "`all` leaves no observations"),
        ("models = [\"a\", \"b\"]\nlayers = [\"pos\"]", "has no layer `pos`"),
        ("models = [\"a\", \"b\"]\n[evaluation.e]\nmodel = \"a\"\ncorpora = []", "at least one text"),
        ("models = [\"a\", \"b\"]\n[evaluation.e]\nmodel = \"a\"\ncorpora = [\"c.valid\", \"c.valid\"]", "named twice"),
        ("models = [\"a\", \"b\"]\n[evaluation.e]\nmodel = \"a\"\ncorpora = [\"c.test\"]", "has no split `test`"),
    ] {
        folder.write("pipeline.toml", format!("{READ}{keys}\n"));
        let told = folder.txray(["check", "pipeline.toml"]).failed(2);
        assert!(told.contains(expected), "{expected}: {told}");
        // What is wrong once is told once.
        assert_eq!(told.matches(expected).count(), 1, "{told}");
    }
}
