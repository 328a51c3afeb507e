//! Models that are trained once a seed, and neurons of models that began apart.

use std::collections::BTreeSet;

use arrow_array::types::{Float64Type, UInt32Type};
use serde_json::Value;
use txray_tests::{Folder, SmallModel, Table};

const TRAINED: &str = r#"
[corpus.c]
kind = "grammar"
domain = "kitchen"
train = 300
valid = 300

[model.lm]
kind = "lstm"
embedding = 12
hidden = 12
seeds = [1, 2, 3]
task = { kind = "language-model", corpus = "c" }
train = { epochs = 2, checkpoints = [1] }

[model.tuned]
init = "lm"
seeds = [5, 6]
task = { kind = "language-model", corpus = "c" }
train = { epochs = 1 }

[stage.early]
model = "lm@1"
corpus = "c.valid"
layers = ["word", "pos"]

[stage.late]
model = "lm"
corpus = "c.valid"
layers = ["word", "pos"]

[stage.tuned]
model = "tuned"
corpus = "c.valid"
layers = ["word", "pos"]
"#;

fn json(folder: &Folder, path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.path(path)).unwrap()).unwrap()
}

fn column(folder: &Folder, path: &str, name: &str) -> Vec<Option<f64>> {
    Table::read(&folder.path(path)).numbers::<Float64Type>(name)
}

#[test]
fn a_model_is_trained_and_read_once_a_seed() {
    let folder = Folder::new();
    let comparisons = "
[comparison.learning]
from = \"early\"
to = \"late\"

[comparison.matched]
from = \"early\"
to = \"late\"
align = true

[comparison.tuning]
from = \"late\"
to = \"tuned\"
";
    folder.write("pipeline.toml", format!("{TRAINED}{comparisons}"));
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    for place in ["models/lm#2@1", "models/lm#3", "models/tuned#6", "stages/early#2", "stages/late#3", "stages/tuned#6"]
    {
        assert!(folder.path(format!("out/{place}")).is_dir(), "{place}");
    }
    let bytes = |model: &str| std::fs::read(folder.path(format!("out/models/{model}/model.safetensors"))).unwrap();
    assert_eq!(BTreeSet::from(["lm", "lm#2", "lm#3", "tuned", "tuned#6"].map(bytes)).len(), 5);

    // Trained from the beginning, neurons of replicates are strangers: only what no renumbering changes is told.
    let summary = json(&folder, "out/comparisons/learning.json");
    let each = summary["replicates"]["each"].as_array().unwrap();
    assert_eq!(each.iter().map(|of| of["name"].as_str().unwrap()).collect::<Vec<_>>(), ["learning#2", "learning#3"]);
    assert!(each.iter().all(|of| of["layers"]["pos"]["joint"]["corrected"]["distance"].is_f64()));
    assert_eq!(summary["replicates"]["between"], Value::Null);
    assert!(ran.stdout.contains("learning: the replicates began apart"), "{}", ran.stdout);
    assert!(column(&folder, "out/comparisons/learning.parquet", "hellinger_between").iter().all(Option::is_none));
    // What each replicate is told of, it is by itself.
    let own = json(&folder, "out/comparisons/learning#2.json");
    assert_eq!(own["layers"]["pos"]["joint"], each[0]["layers"]["pos"]["joint"]);
    assert_eq!(own.get("replicates"), None);

    // Matched, they are held against each other; the comparison itself is of one model, whose neurons need no matching.
    let summary = json(&folder, "out/comparisons/matched.json");
    assert_eq!(summary.get("alignment"), None);
    let between = &summary["replicates"]["between"];
    assert_eq!((&between["stage"], &between["aligned"]), (&"late".into(), &true.into()));
    assert_eq!(between["replicates"], serde_json::json!(["late#2", "late#3"]));
    assert_eq!(between["layers"]["word"].as_array().unwrap().len(), 2);
    assert!(
        column(&folder, "out/comparisons/matched.parquet", "hellinger_corrected_between").iter().any(Option::is_some)
    );

    // Begun from one model, their neurons are each other's: tuned again, they move less far than tuning moved them.
    let summary = json(&folder, "out/comparisons/tuning.json");
    let between = &summary["replicates"]["between"];
    assert_eq!((&between["stage"], &between["aligned"]), (&"tuned".into(), &false.into()));
    let moved = summary["layers"]["word"]["joint"]["distance"].as_f64().unwrap();
    let again = between["layers"]["word"][0]["distance"].as_f64().unwrap();
    assert!(again < moved, "{again} {moved}");
    let pairs = summary["replicates"]["each"].as_array().unwrap();
    assert_eq!(pairs.len(), 1, "tuned#6 began from lm, and nothing from lm#2: {pairs:?}");
    let [own, again] =
        ["hellinger", "hellinger_between"].map(|name| column(&folder, "out/comparisons/tuning.parquet", name));
    // One that no longer fires when it is tuned again has none.
    assert!(
        own.iter().zip(&again).filter(|(own, again)| own.is_some() && again.is_some()).count() > 3,
        "{own:?} {again:?}"
    );
    assert!(ran.stdout.contains("trained again") && ran.stdout.contains("tuned -> tuned#6"), "{}", ran.stdout);

    // A replicate can be named as any model can.
    folder.write("pipeline.toml", format!("{TRAINED}[trajectory.t]\nmodel = \"lm#2\"\ncorpus = \"c.valid\"\n"));
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(ran.stdout.contains("lm#2@1"), "{}", ran.stdout);
}

#[test]
fn strangers_are_not_put_side_by_side() {
    let folder = Folder::new();
    let other = "\n[model.other]\nkind = \"lstm\"\nembedding = 12\nhidden = 16\ntask = { kind = \"language-model\", corpus = \"c\" }\n\
                 [stage.other]\nmodel = \"other\"\ncorpus = \"c.valid\"\nlayers = [\"word\"]\n\
                 [stage.second]\nmodel = \"lm#2\"\ncorpus = \"c.valid\"\nlayers = [\"word\"]\n[comparison.x]\n";
    for (keys, expected) in [
        ("from = \"late\"\nto = \"second\"", "the models of `late` and `second` began apart"),
        ("from = \"late\"\nto = \"other\"", "the stages do not compare"),
        ("from = \"late\"\nto = \"other\"", "say `align = true`"),
        ("from = \"tuned\"\nto = \"tuned\"\nalign = true", "there is nothing to match"),
    ] {
        folder.write("pipeline.toml", format!("{TRAINED}{other}{keys}\n"));
        let told = folder.txray(["check", "pipeline.toml"]).failed(2);
        assert!(told.contains(expected), "{expected}: {told}");
    }
    folder.write(
        "pipeline.toml",
        format!("{TRAINED}[trajectory.t]\nmodels = [\"lm\", \"lm#2\"]\ncorpus = \"c.valid\"\n"),
    );
    let told = folder.txray(["check", "pipeline.toml"]).failed(2);
    assert!(told.contains("`lm#2` and the first of them began apart"), "{told}");
    // Words of another text have other weights, though the seed is the same.
    let texts = TRAINED.replace("seeds = [1, 2, 3]\n", "")
        + "\n[corpus.d]\nkind = \"grammar\"\ndomain = \"harbour\"\ntrain = 300\n[model.other]\n\
                 kind = \"lstm\"\nembedding = 12\nhidden = 12\ntask = { kind = \"language-model\", corpus = \"d\" }\n[stage.other]\n\
                 model = \"other\"\ncorpus = \"c.valid\"\nlayers = [\"word\"]\n[comparison.x]\nfrom = \"late\"\nto = \"other\"\n";
    folder.write("pipeline.toml", texts);
    let told = folder.txray(["check", "pipeline.toml"]).failed(2);
    assert!(told.contains("the models of `late` and `other` began apart"), "{told}");
    for (from, to, expected) in [
        ("seeds = [1, 2, 3]", "seeds = []", "one seed at least"),
        ("seeds = [1, 2, 3]", "seeds = [1, 1]", "the seed 1 is named twice"),
        ("model = \"lm@1\"", "model = \"lm#4\"", "`lm` has no replicate of the seed `4`"),
        ("model = \"lm@1\"", "model = \"lm#2@2\"", "`lm#2` keeps no checkpoint of epoch 2"),
        ("model = \"lm@1\"", "model = \"lm#1\"", "`lm` is that of its first seed"),
    ] {
        folder.write("pipeline.toml", TRAINED.replace(from, to));
        let told = folder.txray(["check", "pipeline.toml"]).failed(2);
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

/// A model, the same with its neurons in another order, and one of more neurons.
#[test]
fn neurons_are_matched_by_what_they_prefer() {
    let folder = Folder::new();
    let line =
        |at: usize| (0..40).map(|i| format!("w{}", (i * i + 3 * at + i * at) % 5)).collect::<Vec<_>>().join(" ") + "\n";
    folder.write("text.txt", (0..60).map(line).collect::<String>());
    let mut model = SmallModel::new(6, 4);
    model.write(&folder.path("a"));
    let order = [2, 0, 3, 1];
    for (name, shape, values) in &mut model.tensors {
        // Gates are blocks of as many rows as there are neurons; recurrent weights have columns of neurons, too.
        let columns = if shape.len() == 2 { shape[1] } else { 1 };
        let old = values.clone();
        let rows_of_neurons = name.contains("weight_ih") || name.contains("weight_hh") || name.contains("bias");
        let columns_of_neurons = name.contains("weight_hh") || (name.contains("decoder") && shape.len() == 2);
        for row in 0..shape[0] {
            for column in 0..columns {
                let is_gate = rows_of_neurons && shape[0] == 16;
                let from_row = if is_gate { row / 4 * 4 + order[row % 4] } else { row };
                let from_column = if columns_of_neurons { order[column] } else { column };
                values[row * columns + column] = old[from_row * columns + from_column];
            }
        }
    }
    model.write(&folder.path("b"));
    SmallModel::new(6, 7).write(&folder.path("wide"));
    let pipeline = |to: &str, more: &str| {
        format!(
            "[corpus.c]\nkind = \"text\"\nvalid = \"text.txt\"\n[model.a]\npath = \"a\"\n[model.b]\npath = \"{to}\"\n\
             [stage.a]\nmodel = \"a\"\ncorpus = \"c.valid\"\n[stage.b]\nmodel = \"b\"\ncorpus = \"c.valid\"\n\
             [comparison.x]\nfrom = \"a\"\nto = \"b\"\n{more}\n"
        )
    };
    let joint = || json(&folder, "out/comparisons/x.json")["layers"]["token"]["joint"]["distance"].as_f64().unwrap();
    folder.write("pipeline.toml", pipeline("b", ""));
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let apart = joint();
    folder.write("pipeline.toml", pipeline("b", "align = true\nsignificance = { permutations = 50 }"));
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(
        ran.stdout.contains("x: ") && ran.stdout.contains("pairs of neurons, matched on 30 and 30 units"),
        "{}",
        ran.stdout
    );
    assert!(joint() < 1e-3 && apart > 0.3, "{} {apart}", joint());
    let table = Table::read(&folder.path("out/comparisons/x.parquet"));
    let partners = table.numbers::<UInt32Type>("neuron_to");
    // Where a neuron is observed at all, it is found again.
    for (neuron, partner) in partners.iter().enumerate() {
        assert!(partner.is_none_or(|partner| order[partner as usize] == neuron), "{partners:?}");
    }
    assert!(partners.iter().flatten().count() >= 2, "{partners:?}");

    folder.write("pipeline.toml", pipeline("wide", "align = true"));
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert_eq!(Table::read(&folder.path("out/comparisons/x.parquet")).len(), 4);
    let summary = json(&folder, "out/comparisons/x.json");
    assert_eq!(
        summary["alignment"]["matched"].as_u64().unwrap() + summary["alignment"]["unmatched"][0].as_u64().unwrap(),
        4
    );
}
