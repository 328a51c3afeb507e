//! Laws of scoring.

#![allow(clippy::unwrap_used)]

mod common;

use common::{predict, ragged, random};
use proptest::prelude::*;
use txray_lstm::{Cell, Lstm, LstmOptions};
use txray_plugin::{Host, Mask, Model, Predict, Score, Sign, State, Text, Threads};

const VOCABULARY: u32 = 300;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A text's likelihood is the sum of its documents', and the number of threads does not change a bit of it.
    #[test]
    fn documents_add_up(
        documents in proptest::collection::vec(proptest::collection::vec(0..VOCABULARY, 0..60), 1..30),
    ) {
        let options = LstmOptions { embedding: 6, hidden: 11, layers: 2, ..LstmOptions::default() };
        let model = random(options, VOCABULARY as usize, 2);
        let score = |documents: &[Vec<u32>], state, threads| -> Score {
            let (ids, offsets) = ragged(documents);
            let mut carried = (state == State::Carry).then(|| common::state(&model));
            let text = Text { ids: &ids, offsets: &offsets };
            model.score(&Host::new(&Threads(threads)), text, carried.as_mut()).unwrap()
        };
        for state in [State::Reset, State::Carry] {
            let one = score(&documents, state, 1);
            prop_assert_eq!(one, score(&documents, state, 2));
            prop_assert_eq!(one, score(&documents, state, 4));
        }
        let whole = score(&documents, State::Reset, 2);
        let parts: Vec<Score> = documents.iter().map(|d| score(std::slice::from_ref(d), State::Reset, 2)).collect();
        prop_assert_eq!(whole.tokens, parts.iter().map(|p| p.tokens).sum::<u64>());
        let nll: f64 = parts.iter().map(|p| p.nll).sum();
        prop_assert!((whole.nll - nll).abs() <= 1e-6 * nll, "{} is not {nll}", whole.nll);
    }

    /// Of a document, or of a stream: the losses of its tokens add up to its own, and cut anywhere a stream is predicted the
    /// same, its state carried on.
    #[test]
    fn tokens_add_up(
        documents in proptest::collection::vec(proptest::collection::vec(0..VOCABULARY, 0..60), 1..20),
        cut in any::<prop::sample::Index>(),
        fast: bool,
    ) {
        let options = LstmOptions { embedding: 6, hidden: 11, layers: 2, fast, ..LstmOptions::default() };
        let model = random(options, VOCABULARY as usize, 2);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
        for carries in [false, true] {
            let mut carried = carries.then(|| common::state(&model));
            let (losses, counts, tokens) = predict(&model, &documents, carried.as_mut(), &[], 2).unwrap();
            let mut at = 0;
            for (d, document) in documents.iter().enumerate() {
                let own = &tokens[at..at + document.len()];
                let sum: f64 = own.iter().filter(|loss| !loss.is_nan()).map(|&loss| f64::from(loss)).sum();
                prop_assert!(near(sum, losses[d]), "{} is not {}", sum, losses[d]);
                let given = own.iter().filter(|loss| loss.is_nan()).count();
                prop_assert_eq!(counts[d] as usize + given, document.len());
                prop_assert_eq!(given, usize::from(!document.is_empty() && (at == 0 || !carries)));
                at += document.len();
            }
            if carries {
                let cut = cut.index(documents.len() + 1);
                let mut state = Some(common::state(&model));
                let first = predict(&model, &documents[..cut], state.as_mut(), &[], 2).unwrap();
                let second = predict(&model, &documents[cut..], state.as_mut(), &[], 2).unwrap();
                prop_assert_eq!([first.1, second.1].concat(), counts);
                for (a, b) in [first.0, second.0].concat().into_iter().zip(losses) {
                    prop_assert!(near(a, b), "{} is not {}", a, b);
                }
            }
        }
    }
}

/// `gemm` has another path for a single row of outputs.
#[test]
fn one_prediction_has_the_same_bits_alone_and_among_others() {
    let options = LstmOptions { embedding: 16, hidden: 96, ..LstmOptions::default() };
    let model = random(options, VOCABULARY as usize, 2);
    let documents: Vec<Vec<u32>> = (0..40).map(|d| vec![d, 7 * d + 3]).collect();
    let (losses, _, tokens) = predict(&model, &documents, None, &[], 2).unwrap();
    for (d, document) in documents.iter().enumerate() {
        let alone = predict(&model, std::slice::from_ref(document), None, &[], 2).unwrap();
        assert_eq!((alone.0[0], alone.2[1]), (losses[d], tokens[2 * d + 1]));
    }
}

#[test]
fn cells_cannot_be_masked() {
    let options = LstmOptions { embedding: 2, hidden: 3, layers: 2, cell_sites: true, ..LstmOptions::default() };
    let model = random(options, 9, 2);
    assert_eq!(model.describe().unwrap().unmaskable, [1, 3]);
    let error = predict(&model, &[vec![1, 2]], None, &[Mask { site: 1, values: &[0.0; 3] }], 1).unwrap_err();
    assert!(error.message().contains("lstm.0.cell"), "{error}");
}

/// A neuron that is held to 0 at every step is one whose outgoing weights are 0: in the recurrence, in the layer above, and in the
/// decoder.
#[test]
fn a_mask_is_the_network_without_the_neurons() {
    const HIDDEN: usize = 7;
    for (cell, layers, fast) in [Cell::Lstm, Cell::Gru]
        .into_iter()
        .flat_map(|cell| [(cell, 1, true), (cell, 2, true), (cell, 1, false), (cell, 2, false)])
    {
        let options = LstmOptions { embedding: 5, hidden: HIDDEN, layers, cell, fast, ..LstmOptions::default() };
        let model = random(options, VOCABULARY as usize, 4);
        // Neuron `k + 1` and `k + 4` of layer k.
        let gone = |layer: usize, neuron: usize| neuron == layer + 1 || neuron == layer + 4;
        let directory = tempfile::tempdir().unwrap();
        model.save(&Host::detached(), directory.path()).unwrap();
        common::edit(&directory.path().join("model.safetensors"), |tensors, _| {
            for (name, (_, shape, data)) in tensors {
                let reads = match name.split_once("_l") {
                    Some((name, layer)) if name.ends_with("weight_hh") => layer.parse().ok(),
                    Some((name, layer)) if name.ends_with("weight_ih") => {
                        layer.parse::<usize>().unwrap().checked_sub(1)
                    }
                    _ if name == "decoder.weight" => Some(layers - 1),
                    _ => None,
                };
                let Some(layer) = reads else { continue };
                assert_eq!(shape[1], HIDDEN, "{name}");
                for (at, value) in data.chunks_exact_mut(4).enumerate().filter(|(at, _)| gone(layer, at % HIDDEN)) {
                    assert!(at < shape[0] * HIDDEN);
                    value.fill(0);
                }
            }
        });
        let without = common::loaded(directory.path()).unwrap();
        let values: Vec<Vec<f32>> = (0..layers)
            .map(|layer| (0..HIDDEN).map(|neuron| if gone(layer, neuron) { 0.0 } else { f32::NAN }).collect())
            .collect();
        let masks: Vec<Mask<'_>> = values.iter().enumerate().map(|(site, values)| Mask { site, values }).collect();
        let documents: Vec<Vec<u32>> = (0..9).map(|d| (0..7 * d).map(|i| (i * i + d) % VOCABULARY).collect()).collect();
        for carries in [false, true] {
            let losses = |model: &Lstm, masks: &[Mask<'_>]| {
                predict(model, &documents, carries.then(|| common::state(model)).as_mut(), masks, 2).unwrap()
            };
            let (masked, expected, free) = (losses(&model, &masks), losses(&without, &[]), losses(&model, &[]));
            assert_eq!(masked.1, expected.1);
            for (a, b) in masked.0.iter().zip(&expected.0) {
                assert!((a - b).abs() <= 1e-5 * (1.0 + b), "{cell:?}, {layers} layers, fast = {fast}: {a} is not {b}");
            }
            assert!(masked.0.iter().zip(&free.0).any(|(a, b)| (a - b).abs() > 1e-3), "the mask changes something");
            // What is read of the other neurons is the same, too.
            let sites: Vec<_> = (0..layers).map(|site| (site, HIDDEN)).collect();
            let read = |model: &Lstm, masks: &[Mask<'_>]| {
                let mut state = carries.then(|| common::state(model));
                common::masked(model, &documents, &sites, state.as_mut(), masks, Sign::Positive, 2).unwrap()
            };
            for (layer, (masked, expected)) in read(&model, &masks).iter().zip(&read(&without, &[])).enumerate() {
                let [masked, expected] = [masked, expected].map(|reading| common::unsorted(reading, HIDDEN).concat());
                for (at, (a, b)) in masked.iter().zip(&expected).enumerate() {
                    let b = if gone(layer, at % HIDDEN) { 0.0 } else { *b };
                    assert!((a - b).abs() <= 1e-5, "{cell:?}, layer {layer}: {a} is not {b}");
                }
            }
        }
    }
}
