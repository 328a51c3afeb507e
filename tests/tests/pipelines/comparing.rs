//! What a comparison is told to do, held against its stages' own tables.

use std::collections::BTreeMap;

use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use serde_json::Value;
use txray_tests::{Folder, SmallModel, Table};

const PIPELINE: &str = r#"
[corpus.c]
kind = "text"
train = "a.txt"
valid = "b.txt"

[model.m]
path = "small"

[stage.a]
model = "m"
corpus = "c.train"
layers = ["word"]

[stage.b]
model = "m"
corpus = "c.valid"
layers = ["word"]

[comparison.c]
from = "a"
to = "b"
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    let words = |from: u32| (from..from + 120).map(|i| format!("w{} ", i * i % 17)).collect::<String>() + "once\n";
    folder.write("a.txt", words(0));
    folder.write("b.txt", words(5));
    SmallModel::new(20, 4).write(&folder.path("small"));
    folder.write("pipeline.toml", PIPELINE);
    folder
}

/// By neuron and feature, count and mass of a stage.
fn preferences(folder: &Folder, stage: &str) -> BTreeMap<(u32, String), (u64, f64)> {
    let table = Table::read(&folder.path(format!("out/stages/{stage}/preferences.parquet")));
    let keys =
        table.numbers::<UInt32Type>("neuron").into_iter().flatten().zip(table.text("feature").into_iter().flatten());
    let counts = table.numbers::<UInt64Type>("count").into_iter().flatten();
    let masses = table.numbers::<Float64Type>("mass").into_iter().flatten();
    keys.map(|(neuron, feature)| (neuron, feature.to_owned())).zip(counts.zip(masses)).collect()
}

#[test]
fn rare_features_are_left_out_and_counts_can_weigh() {
    let folder = folder();
    let set = ["--set", "comparison.c.min_count=4", "--set", "comparison.c.weighting=count"];
    folder.txray([&["run", "pipeline.toml", "--out", "out"][..], &set].concat()).succeeded();
    let sides = ["a", "b"].map(|stage| preferences(&folder, stage));
    let count = |side: usize, key: &(u32, String)| sides[side].get(key).map_or(0, |(count, _)| *count);
    let kept = |key: &(u32, String)| count(0, key) + count(1, key) >= 4;

    let table = Table::read(&folder.path("out/comparisons/c.parquet"));
    let lengths = ["length_from", "length_to"].map(|column| table.numbers::<UInt64Type>(column));
    let found = table.numbers::<Float64Type>("hellinger");
    let mut distances = 0;
    for (row, neuron) in table.numbers::<UInt32Type>("neuron").into_iter().flatten().enumerate() {
        let all: Vec<&(u32, String)> =
            sides[0].keys().chain(sides[1].keys().filter(|key| !sides[0].contains_key(*key))).collect();
        let mine: Vec<_> = all.into_iter().filter(|key| key.0 == neuron && kept(key)).collect();
        let whole = [0, 1].map(|side| mine.iter().map(|key| count(side, key)).sum::<u64>() as f64);
        for side in [0, 1] {
            let length = mine.iter().filter(|key| count(side, key) > 0).count() as u64;
            assert_eq!(lengths[side][row], Some(length), "neuron {neuron}");
        }
        let root = |side: usize, key: &(u32, String)| (count(side, key) as f64 / whole[side]).sqrt();
        let squares: f64 = mine.iter().map(|key| (root(0, key) - root(1, key)).powi(2)).sum();
        match found[row] {
            Some(found) => {
                distances += 1;
                assert!((found - (squares / 2.0).sqrt()).abs() < 1e-12, "neuron {neuron}: {found}");
            }
            None => assert!(whole.contains(&0.0), "neuron {neuron}"),
        }
    }
    assert!(distances > 0);

    let summary = std::fs::read(folder.path("out/comparisons/c.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!((&summary["min_count"], &summary["weighting"]), (&Value::from(4), &Value::from("count")));
    for side in [0, 1] {
        let mass = |of: &dyn Fn(&(u32, String)) -> bool| {
            sides[side].iter().filter(|(key, _)| of(key)).map(|(_, (_, mass))| mass).sum::<f64>()
        };
        let told = &summary["layers"]["word"]["left_out"];
        let near = |told: &Value, expected: f64| (told.as_f64().unwrap() - expected).abs() < 1e-9;
        assert!(mass(&|key| !kept(key)) > 0.0, "something is left out");
        assert!(
            near(&told["mass"][side], mass(&|key| !kept(key))) && near(&told["of"][side], mass(&|_| true)),
            "{told}"
        );
    }
}

#[test]
fn stages_of_different_sites_are_told() {
    let folder = folder();
    SmallModel::new(20, 5).write(&folder.path("wider"));
    let pipeline =
        PIPELINE.replace("[stage.b]\nmodel = \"m\"", "[model.w]\npath = \"wider\"\n\n[stage.b]\nmodel = \"w\"");
    folder.write("pipeline.toml", pipeline);
    let said = folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    let told = "the stages do not compare: `a` reads lstm.0.hidden (4), `b` lstm.0.hidden (5)";
    assert!(said.contains(told) && said.contains("pipeline.toml:25:6"), "{said}");
}
