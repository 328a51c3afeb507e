//! The fast path is the plain network of candle-nn, within rounding.

#![allow(clippy::unwrap_used)]

mod common;

use common::{encode, random, unsorted};
use proptest::prelude::*;
use txray_lstm::{Cell, Lstm, LstmOptions, Optimizer, TrainOptions};
use txray_plugin::{FitRequest, Host, Model, State, Text, Threads};

const VOCABULARY: u32 = 31;
const HIDDEN: usize = 21;

fn both(options: &LstmOptions) -> [Lstm; 2] {
    [true, false].map(|fast| random(LstmOptions { fast, ..options.clone() }, VOCABULARY as usize, 5))
}

fn ragged(documents: &[Vec<u32>]) -> (Vec<u32>, Vec<u64>) {
    let ends = documents.iter().scan(0, |end, document| {
        *end += document.len() as u64;
        Some(*end)
    });
    (documents.concat(), std::iter::once(0).chain(ends).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Of every neuron at every token, of outputs and cells, reset and carried.
    #[test]
    fn it_reads_the_same(
        documents in prop::collection::vec(prop::collection::vec(0..VOCABULARY, 0..90), 1..25),
        layers in 1..3_usize,
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
        cell_sites: bool,
        carry: bool,
    ) {
        let options = LstmOptions { embedding: 9, hidden: HIDDEN, layers, cell, cell_sites, ..LstmOptions::default() };
        let models = both(&options);
        let sites: Vec<_> = (0..models[0].describe().unwrap().sites.len()).map(|site| (site, HIDDEN)).collect();
        let read = |model: &Lstm| {
            let mut state = vec![0.1; model.describe().unwrap().state_size];
            let readings = encode(model, &documents, &sites, carry.then_some(&mut state[..]), 2).unwrap();
            (readings, state)
        };
        let [(fast, fast_state), (plain, plain_state)] = [read(&models[0]), read(&models[1])];
        for (fast, plain) in fast.iter().zip(&plain) {
            for (a, b) in unsorted(fast, HIDDEN).concat().iter().zip(unsorted(plain, HIDDEN).concat()) {
                prop_assert!((a - b).abs() <= 2e-5, "{a} is not {b}");
            }
            for (a, b) in fast.moments.concat().iter().zip(plain.moments.concat()) {
                prop_assert!((a.to_f64() - b.to_f64()).abs() <= 1e-4 * (1.0 + b.to_f64().abs()), "{a} is not {b}");
            }
        }
        prop_assert!(fast_state.iter().zip(&plain_state).all(|(a, b)| (a - b).abs() <= 2e-5));
    }

    /// The most active neuron, where no other comes near.
    #[test]
    fn it_observes_the_same_but_for_ties(documents in prop::collection::vec(prop::collection::vec(0..VOCABULARY, 1..40), 1..20)) {
        let models = both(&LstmOptions { embedding: 9, hidden: HIDDEN, ..LstmOptions::default() });
        let [fast, plain] = [&models[0], &models[1]].map(|model| encode(model, &documents, &[(0, 2)], None, 2).unwrap().remove(0));
        for token in 0..documents.concat().len() {
            let first = 2 * token;
            if plain.activations[first] - plain.activations[first + 1] > 1e-4 {
                prop_assert_eq!(fast.neurons[first], plain.neurons[first]);
            }
        }
    }

    #[test]
    fn it_scores_the_same(
        documents in prop::collection::vec(prop::collection::vec(0..VOCABULARY, 0..90), 1..25),
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
        tied: bool,
    ) {
        let embedding = if tied { HIDDEN } else { 9 };
        let models = both(&LstmOptions { embedding, hidden: HIDDEN, cell, tied, ..LstmOptions::default() });
        let (ids, offsets) = ragged(&documents);
        for state in [State::Reset, State::Carry] {
            let text = Text { ids: &ids, offsets: &offsets };
            let [fast, plain] = [&models[0], &models[1]].map(|model| model.score(&Host::detached(), text, state).unwrap());
            prop_assert_eq!(fast.tokens, plain.tokens);
            prop_assert!((fast.nll - plain.nll).abs() <= 1e-5 * (1.0 + plain.nll), "{} is not {}", fast.nll, plain.nll);
        }
    }

    /// The plain network, too, keeps what a model promises of threads and neighbours.
    #[test]
    fn it_reads_a_document_alike_in_any_company(
        documents in prop::collection::vec(prop::collection::vec(0..VOCABULARY, 1..30), 1..40),
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
    ) {
        let [_, plain] = both(&LstmOptions { embedding: 9, hidden: HIDDEN, cell, ..LstmOptions::default() });
        let together = encode(&plain, &documents, &[(0, 3)], None, 1).unwrap().remove(0);
        prop_assert_eq!(&encode(&plain, &documents, &[(0, 3)], None, 4).unwrap()[0], &together);
        let mut start = 0;
        for document in &documents {
            let alone = encode(&plain, std::slice::from_ref(document), &[(0, 3)], None, 1).unwrap().remove(0);
            let at = start..start + 3 * document.len();
            prop_assert_eq!(&alone.neurons[..], &together.neurons[at.clone()]);
            prop_assert_eq!(&alone.activations[..], &together.activations[at]);
            start += 3 * document.len();
        }
    }
}

/// Nothing of a long document is kept: with the history of its states, it would end in gigabytes and an overflowing stack.
#[test]
fn it_reads_a_long_document() {
    let options = LstmOptions { embedding: 4, hidden: 3, fast: false, ..LstmOptions::default() };
    let model = random(options, VOCABULARY as usize, 5);
    let document: Vec<u32> = (0..60_000).map(|i| i % VOCABULARY).collect();
    let reading = encode(&model, std::slice::from_ref(&document), &[(0, 1)], None, 1).unwrap().remove(0);
    assert_eq!(reading.neurons.len(), document.len());
    let text = Text { ids: &document, offsets: &[0, document.len() as u64] };
    assert_eq!(model.score(&Host::detached(), text, State::Carry).unwrap().tokens, document.len() as u64 - 1);
}

/// A whole epoch: dropout, clipping, tied weights, Adam; the losses of both and the weights after it.
#[test]
fn it_trains_the_same() {
    let mut stream = txray_plugin::random::Stream::new(4, "toy", 0);
    let documents: Vec<Vec<u32>> = (0..60).map(|_| (stream.below(30)..).take(12).map(|w| w % 30).collect()).collect();
    let (ids, offsets) = ragged(&documents);
    let text = Text { ids: &ids, offsets: &offsets };
    for (cell, tied, optimizer) in
        [(Cell::Lstm, false, Optimizer::Sgd), (Cell::Gru, true, Optimizer::Sgd), (Cell::Lstm, true, Optimizer::Adam)]
    {
        let train = TrainOptions {
            epochs: 2,
            batch: 5,
            bptt: 7,
            optimizer,
            learning_rate: Some(if optimizer == Optimizer::Sgd { 1.0 } else { 1e-3 }),
            dropout: 0.2,
            ..TrainOptions::default()
        };
        let embedding = if tied { HIDDEN } else { 9 };
        let options = LstmOptions { embedding, hidden: HIDDEN, layers: 2, cell, tied, train, ..LstmOptions::default() };
        let [mut fast, mut plain] = both(&options);
        let host = Host::new(&Threads(2));
        let request = FitRequest { train: text, valid: Some(text), seed: 3, pause: None };
        for _ in 0..2 {
            let [fast, plain] = [&mut fast, &mut plain].map(|model| model.fit(&host, &request).unwrap());
            assert!((fast.loss - plain.loss).abs() < 1e-4, "{cell:?}: {} is not {}", fast.loss, plain.loss);
            let [a, b] = [fast, plain].map(|report| report.valid_loss.unwrap());
            assert!((a - b).abs() < 1e-4, "{cell:?}: {a} is not {b}");
        }
    }
}
