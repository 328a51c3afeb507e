//! Against PyTorch: two LSTMs that it trained, read over WikiText-2. `reference/pytorch.py` made the figures.

use std::path::Path;

use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use serde_json::Value;
use txray_tests::{Folder, Table, data, path, shared};

fn pipeline(models: &Path) -> String {
    format!(
        r#"
[corpus.wikitext]
kind = "text"
valid = "wikitext-2/valid.txt"
test = "wikitext-2/test.txt"

[model.early]
path = {:?}

[model.late]
path = {:?}

[stage.early]
model = "early"
corpus = "wikitext.valid"

[stage.late]
model = "late"
corpus = "wikitext.valid"

[stage.test]
model = "late"
corpus = "wikitext.test"

[comparison.learning]
from = "early"
to = "late"
weighting = "mean"

[comparison.text]
from = "late"
to = "test"
weighting = "mean"
"#,
        models.join("wikitext2-lstm100-early"),
        models.join("wikitext2-lstm100-late"),
    )
}

/// A column of numbers of the reference, one a neuron.
fn column(value: &Value) -> Vec<Option<f64>> {
    value.as_array().unwrap().iter().map(Value::as_f64).collect()
}

fn sum(column: &[Option<f64>]) -> f64 {
    column.iter().flatten().sum()
}

#[test]
fn what_neurons_prefer_is_what_pytorch_computes() {
    let (Some(models), Some(data)) = (shared("models"), data()) else { return };
    let folder = Folder::new();
    folder.write("pipeline.toml", pipeline(&models));
    folder.txray(["run", "pipeline.toml", "--out", "out", "--data", data.to_str().unwrap()]).succeeded();
    let reference: Value = serde_json::from_slice(&std::fs::read(path("reference/pytorch.json")).unwrap()).unwrap();

    let mut counts_agree = Vec::new();
    for (stage, tokens, alive, rows, mass) in [
        ("early", 216_347, 49, 32_190, 123_898.33),
        ("late", 216_347, 95, 40_176, 173_693.77),
        ("test", 244_102, 95, 42_370, 195_928.20),
    ] {
        let directory = folder.path("out/stages").join(stage);
        let observations = Table::read(&directory.join("observations.parquet"));
        let preferences = Table::read(&directory.join("preferences.parquet"));
        let neurons = Table::read(&directory.join("neurons.parquet"));
        let (counts, masses) = (neurons.numbers::<UInt64Type>("count"), neurons.numbers::<Float64Type>("mass"));
        let lengths = neurons.numbers::<UInt64Type>("length_token");
        let expected = &reference["stages"][stage];
        assert_eq!(expected["tokens"], tokens);
        assert_eq!(observations.len(), tokens);
        assert_eq!(neurons.truths("alive").iter().filter(|&&alive| alive).count(), alive, "{stage}");
        // A tie in float32 that falls the other way may move one row.
        assert!(preferences.len().abs_diff(rows) <= tokens / 10_000, "{stage}: {} rows", preferences.len());
        assert!((sum(&masses) - mass).abs() < 0.01, "{stage}: mass {}", sum(&masses));

        let (count, mass, length) =
            (column(&expected["count"]), column(&expected["mass"]), column(&expected["length"]));
        assert_eq!(length.iter().flatten().sum::<f64>() as usize, rows);
        let mut moved = 0.0;
        let mut agree = Vec::new();
        for neuron in 0..100 {
            let difference = (counts[neuron].unwrap() as f64 - count[neuron].unwrap()).abs();
            let (found, expected) = (masses[neuron].unwrap(), mass[neuron].unwrap());
            moved += difference / 2.0;
            // An activation is below 1.
            let allowed = 1e-4 * expected + difference;
            assert!((found - expected).abs() <= allowed, "{stage}, neuron {neuron}: mass {found} against {expected}");
            agree.push(difference == 0.0 && lengths[neuron].map(|length| length as f64) == length[neuron]);
        }
        assert!(moved <= tokens as f64 / 10_000.0, "{stage}: {moved} of {tokens} observations differ");
        println!("{stage}: {moved} of {tokens} observations differ, {} rows, mass {}", preferences.len(), sum(&masses));
        counts_agree.push((stage, agree));
    }

    for (comparison, from, to, neurons, mean) in
        [("learning", "early", "late", 48, 0.9240), ("text", "late", "test", 94, 0.7383)]
    {
        let table = Table::read(&folder.path("out/comparisons").join(comparison).with_extension("parquet"));
        let hellinger = table.numbers::<Float64Type>("hellinger");
        let expected = column(&reference["comparisons"][comparison]);
        assert_eq!(table.numbers::<UInt32Type>("neuron"), (0..100).map(Some).collect::<Vec<_>>());
        assert_eq!(hellinger.iter().flatten().count(), neurons, "{comparison}");
        let found = sum(&hellinger) / neurons as f64;
        assert!((found - mean).abs() < 5e-5, "{comparison}: mean {found}");
        let agrees = |stage, neuron: usize| counts_agree.iter().any(|(name, agree)| *name == stage && agree[neuron]);
        let (mut worst, mut strict) = (0.0_f64, 0);
        for (neuron, (found, expected)) in hellinger.iter().zip(expected).enumerate() {
            assert_eq!(found.is_some(), expected.is_some(), "{comparison}, neuron {neuron}");
            let (Some(found), Some(expected)) = (found, expected) else { continue };
            let is_strict = agrees(from, neuron) && agrees(to, neuron);
            let bound = if is_strict { 1e-6 } else { 1e-3 };
            let error = (found - expected).abs();
            assert!(error <= bound, "{comparison}, neuron {neuron}: {found} against {expected}");
            strict += usize::from(is_strict);
            worst = worst.max(error);
        }
        println!(
            "{comparison}: mean {found}, largest difference {worst:e}, {strict} of {neurons} neurons held to 1e-6"
        );
    }
}
