//! Against what the authors' own code computes (copenlu/tx-ray at 8d09f6c, `Evaluation_metrics/measures.py`), on the same
//! observations of real text.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use txray_host::Policy;
use txray_method::{AsGiven, Metric, Settings, Stage, Tally, Weighting, compare};
use txray_plugin::{ActivationBatch, Host, LayerColumn, NULL, Site, SourceDescription};
use txray_tests::shared;

/// By metric, layer and neuron: distance and union length.
type Expected = HashMap<String, HashMap<String, HashMap<String, (f64, u64)>>>;

const LAYERS: [&str; 2] = ["token", "pos"];

/// Its observations as one document, a token each.
fn read(path: &Path) -> Stage {
    let sites = vec![Site { name: "lstm.0.hidden".to_owned(), width: 100 }];
    let mut batch = ActivationBatch { documents: vec![0], ..ActivationBatch::default() };
    let mut names: [Vec<String>; 2] = Default::default();
    let text = std::fs::read_to_string(path).unwrap();
    for line in text.lines().skip(1) {
        let [_, _, token, pos, neuron, activation] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("six columns: {line}");
        };
        batch.token.push(batch.token.len() as u32);
        batch.neuron.push(neuron.parse().unwrap());
        batch.activation.push(activation.parse().unwrap());
        names.iter_mut().zip([token, pos]).for_each(|(names, name)| names.push(name.to_owned()));
    }
    let tokens = batch.token.len();
    batch.offsets = vec![0, tokens as u64];
    (batch.starts, batch.ends, batch.site) = (vec![NULL; tokens], vec![NULL; tokens], vec![0; tokens]);
    // A feature a token: that some have one name is the method's affair.
    batch.layers = LAYERS
        .iter()
        .zip(&names)
        .map(|(name, names)| LayerColumn {
            name: (*name).to_owned(),
            features: (0..tokens as u32).collect(),
            names: Arc::new(names.iter().collect()),
            unjoined: 0,
        })
        .collect();
    let mut tally = Tally::new(&SourceDescription { sites, layers: LAYERS.map(str::to_owned).to_vec() });
    tally.read(&batch, &AsGiven).unwrap();
    tally.finish()
}

#[test]
fn distances_are_those_of_the_authors() {
    let Some(folder) = shared("parity") else { return };
    let expected: Expected = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let (a, b) = (read(&folder.join("observations_a.tsv")), read(&folder.join("observations_b.tsv")));

    let registry = txray_built_in::registry(Policy::default()).unwrap();
    let names = ["hellinger", "hellinger-2020"];
    let host = Host::detached();
    let metrics: Vec<_> = names
        .iter()
        .map(|name| {
            let metric = registry.metric(name, &Value::Object(Default::default()), &host).unwrap();
            Metric { name: (*name).to_owned(), metric, bounded: true, affine: false }
        })
        .collect();
    let layers = LAYERS.map(str::to_owned);
    let settings = Settings { layers: &layers, weighting: &Weighting::Mean, min_count: 1, texts_differ: false };
    let comparison = compare(&a, &b, &settings, &metrics, &host).unwrap().comparison;

    for (metric, name) in names.iter().enumerate() {
        for (layer, layer_name) in LAYERS.iter().enumerate() {
            let expected = &expected[*name][*layer_name];
            let rows = comparison.rows.iter().filter(|row| row.layer == layer);
            let defined: Vec<_> = rows.filter_map(|row| row.distances[metric].map(|d| (row, d))).collect();
            assert_eq!(defined.len(), expected.len(), "neurons alive in both");
            for (row, distance) in defined {
                let (theirs, union_length) = expected[&row.neuron.to_string()];
                assert_eq!(row.union_length, union_length, "{name} {layer_name} neuron {}", row.neuron);
                let error = (distance - theirs).abs();
                assert!(error < 1e-12, "{name} {layer_name} neuron {}: {distance} against {theirs}", row.neuron);
            }
        }
    }
}
