//! What the source replays. The test of the boundary includes this file too, and compares.

use std::sync::Arc;

use txray_plugin::{ActivationBatch, ExactSum, LayerColumn, Moments, NULL, StringTable};

fn sums(values: &[f64]) -> Vec<ExactSum> {
    values.iter().copied().map(ExactSum::of).collect()
}

/// Two documents with all that a batch can hold, then a document without tokens and nothing else.
pub fn batches() -> Vec<ActivationBatch> {
    let names: StringTable = ["der", "Straße", "", "😀"].into_iter().collect();
    let full = ActivationBatch {
        documents: vec![7, u64::MAX],
        groups: ["Artikel „eins“", ""].into_iter().collect(),
        offsets: vec![0, 3, 4],
        starts: vec![0, 4, NULL, 0],
        ends: vec![3, 10, NULL, 1],
        unknown: 2,
        lines: vec![3, 0],
        characters: 20,
        dropped: 4,
        dropped_documents: 1,
        layers: vec![LayerColumn {
            name: "wort".to_owned(),
            features: vec![0, 1, NULL, 3],
            names: Arc::new(names),
            unjoined: 1,
        }],
        whole: Vec::new(),
        examples: Vec::new(),
        token: vec![0, 0, 1, 3],
        site: vec![0, 1, 0, 1],
        neuron: vec![1, 0, 0, 0],
        activation: vec![0.1, -0.0, f32::MIN_POSITIVE, 3.5],
        moments: vec![
            Moments { sum: sums(&[0.1, 0.2]), sum_abs: sums(&[0.3, 0.4]), sum_sq: sums(&[0.5, 0.6]) },
            Moments { sum: sums(&[-1.5]), sum_abs: sums(&[1.5]), sum_sq: sums(&[1e18]) },
        ],
    };
    let empty = ActivationBatch {
        documents: vec![8],
        offsets: vec![0, 0],
        layers: vec![LayerColumn { name: "wort".to_owned(), ..LayerColumn::default() }],
        ..ActivationBatch::default()
    };
    vec![full, empty]
}
