//! The fast path is the plain network of candle-nn, within rounding.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Trainee, encode, ragged, random, state, unsorted};
use proptest::prelude::*;
use txray_lstm::{Cell, Lstm, LstmOptions, Optimizer, TrainOptions};
use txray_plugin::{
    Encode, EncodeRequest, ExactSum, Host, Mask, Model, Predict, Rule, Sign, SiteRequest, State, Task, Text, Threads,
    TrainRequest,
};

const VOCABULARY: u32 = 31;
const HIDDEN: usize = 21;

fn both(options: &LstmOptions) -> [Lstm; 2] {
    [true, false].map(|fast| random(LstmOptions { fast, ..options.clone() }, VOCABULARY as usize, 5))
}

/// Everything that a request may ask for at once, of the first site: blocks of a rule, and predictions.
fn blocks(model: &Lstm, documents: &[Vec<u32>], rule: Rule<'_>, sign: Sign) -> (Vec<(u32, u32, f32)>, Vec<u32>) {
    let (ids, offsets) = ragged(documents);
    let kept = std::sync::Mutex::new(Vec::new());
    let mut predictions = vec![u32::MAX; ids.len()];
    let mut moments: [Vec<ExactSum>; 3] = std::array::from_fn(|_| vec![ExactSum::ZERO; HIDDEN]);
    let [sum, sum_abs, sum_sq] = &mut moments;
    let emit = |block: &txray_plugin::Block<'_>| {
        assert_eq!(block.request, 0);
        let rows = block.token.iter().zip(block.neuron).zip(block.activation);
        kept.lock().unwrap().extend(rows.map(|((&token, &neuron), &h)| (token, neuron, h)));
    };
    let mut request = EncodeRequest {
        sites: vec![SiteRequest { site: 0, rule, sign, sum, sum_abs, sum_sq }],
        predictions: Some((Task::LanguageModel, &mut predictions)),
        emit: &emit,
        ..EncodeRequest::new(Text { ids: &ids, offsets: &offsets })
    };
    model.encode(&Host::new(&Threads(2)), &mut request).unwrap();
    let mut kept = kept.into_inner().unwrap();
    kept.sort_by_key(|&(token, neuron, _)| (token, neuron));
    (kept, predictions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Of every neuron at every token, of outputs and cells, reset and carried, with neurons held to values or not.
    #[test]
    fn it_reads_the_same(
        documents in prop::collection::vec(prop::collection::vec(0..VOCABULARY, 0..90), 1..50),
        layers in 1..3_usize,
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
        cell_sites: bool,
        carry: bool,
        masked: bool,
        sign in prop_oneof![Just(Sign::Positive), Just(Sign::Negative), Just(Sign::Absolute)],
    ) {
        let options = LstmOptions { embedding: 9, hidden: HIDDEN, layers, cell, cell_sites, ..LstmOptions::default() };
        let models = both(&options);
        let sites: Vec<_> = (0..models[0].describe().unwrap().sites.len()).map(|site| (site, HIDDEN)).collect();
        let mut mask = vec![f32::NAN; HIDDEN];
        (mask[3], mask[7], mask[20]) = (0.0, 0.5, -0.25);
        // Of every layer's outputs, or of none.
        let of_a_layer = sites.len() / layers;
        let last = (layers - 1) * of_a_layer;
        let outputs = (0..layers).map(|layer| Mask { site: layer * of_a_layer, values: &mask });
        let masks: Vec<Mask<'_>> = if masked { outputs.collect() } else { Vec::new() };
        let read = |model: &Lstm| {
            let mut state = carry.then(|| state(model));
            let mut read = || common::masked(model, &documents, &sites, state.as_mut(), &masks, sign, 2).unwrap();
            // The second time from what the first has left.
            [read(), read()].concat()
        };
        let [fast, plain] = [read(&models[0]), read(&models[1])];
        for (fast, plain) in fast.iter().zip(&plain) {
            for (a, b) in unsorted(fast, HIDDEN).concat().iter().zip(unsorted(plain, HIDDEN).concat()) {
                prop_assert!((a - b).abs() <= 2e-5, "{a} is not {b}");
            }
            for (a, b) in fast.moments.concat().iter().zip(plain.moments.concat()) {
                prop_assert!((a.to_f64() - b.to_f64()).abs() <= 1e-4 * (1.0 + b.to_f64().abs()), "{a} is not {b}");
            }
        }
        if masked {
            // At every step, so that it is what the next step reads; and the loss is that of the masked outputs.
            for h in unsorted(&fast[last], HIDDEN) {
                prop_assert_eq!([h[3], h[7], h[20]], [0.0, 0.5, -0.25]);
            }
            let [fast, plain] = [&models[0], &models[1]].map(|model| {
                common::predict(model, &documents, carry.then(|| state(model)).as_mut(), &masks, 2).unwrap()
            });
            prop_assert_eq!(fast.1, plain.1);
            for (a, b) in fast.0.into_iter().zip(plain.0) {
                prop_assert!((a - b).abs() <= 1e-5 * (1.0 + b), "{} is not {}", a, b);
            }
        }
    }

    /// The most active neuron, where no other comes near.
    #[test]
    fn it_observes_the_same_but_for_ties(documents in prop::collection::vec(prop::collection::vec(0..VOCABULARY, 1..40), 1..50)) {
        let models = both(&LstmOptions { embedding: 9, hidden: HIDDEN, ..LstmOptions::default() });
        let [fast, plain] = [&models[0], &models[1]].map(|model| encode(model, &documents, &[(0, 2)], None, 2).unwrap().remove(0));
        for token in 0..documents.concat().len() {
            let first = 2 * token;
            if plain.activations[first] - plain.activations[first + 1] > 1e-4 {
                prop_assert_eq!(fast.neurons[first], plain.neurons[first]);
            }
        }
    }

    /// What is emitted in blocks is what the top of all neurons says; and what both predict has the least loss.
    #[test]
    fn it_emits_and_predicts_the_same(
        documents in prop::collection::vec(prop::collection::vec(0..VOCABULARY, 0..90), 1..50),
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
        sign in prop_oneof![Just(Sign::Positive), Just(Sign::Negative), Just(Sign::Absolute)],
        threshold in -0.1..0.1_f32,
    ) {
        let models = both(&LstmOptions { embedding: 9, hidden: HIDDEN, cell, ..LstmOptions::default() });
        for model in &models {
            let (all, _) = blocks(model, &documents, Rule::All, sign);
            let readings = encode(model, &documents, &[(0, HIDDEN)], None, 2).unwrap();
            let expected = unsorted(&readings[0], HIDDEN).concat();
            prop_assert_eq!(all.iter().map(|row| row.2).collect::<Vec<_>>(), expected);
            let (above, _) = blocks(model, &documents, Rule::Above(threshold), sign);
            let kept: Vec<_> = all.into_iter().filter(|row| sign.strength(row.2) > threshold).collect();
            prop_assert_eq!(above, kept);
        }
        let [fast, plain] = [&models[0], &models[1]].map(|model| blocks(model, &documents, Rule::All, sign).1);
        let loss = |after: usize, token: u32| {
            let mut ids = documents.concat();
            let start = documents.iter().scan(0, |end, d| { *end += d.len(); Some(*end) }).take_while(|&end| end <= after).last();
            ids.truncate(after + 1);
            ids.push(token);
            let text = ids.split_off(start.unwrap_or(0));
            f64::from(*common::predict(&models[1], &[text], None, &[], 1).unwrap().2.last().unwrap())
        };
        for (at, (&a, &b)) in fast.iter().zip(&plain).enumerate().filter(|(_, (a, b))| a != b) {
            prop_assert!((loss(at, a) - loss(at, b)).abs() < 1e-4, "at {}: {} is not {}", at, a, b);
        }
        if let Some(&best) = plain.first() {
            let least = loss(0, best);
            prop_assert!((0..VOCABULARY).all(|token| loss(0, token) >= least - 1e-6));
        }
    }

    #[test]
    fn it_scores_the_same(
        documents in prop::collection::vec(prop::collection::vec(0..VOCABULARY, 0..90), 1..50),
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
        tied: bool,
    ) {
        let embedding = if tied { HIDDEN } else { 9 };
        let models = both(&LstmOptions { embedding, hidden: HIDDEN, cell, tied, ..LstmOptions::default() });
        let (ids, offsets) = ragged(&documents);
        for state in [State::Reset, State::Carry] {
            let text = Text { ids: &ids, offsets: &offsets };
            let [fast, plain] = [&models[0], &models[1]].map(|model| {
                let mut carried = (state == State::Carry).then(|| common::state(model));
                model.score(&Host::detached(), text, carried.as_mut()).unwrap()
            });
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
    assert_eq!(
        model.score(&Host::detached(), text, Some(&mut state(&model))).unwrap().tokens,
        document.len() as u64 - 1
    );
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
            optimizer: Some(optimizer),
            learning_rate: Some(if optimizer == Optimizer::Sgd { 1.0 } else { 1e-3 }),
            dropout: 0.2,
            ..TrainOptions::default()
        };
        let embedding = if tied { HIDDEN } else { 9 };
        let options = LstmOptions { embedding, hidden: HIDDEN, layers: 2, cell, tied, train, ..LstmOptions::default() };
        let host = Host::new(&Threads(2));
        let [mut fast, mut plain] = both(&options)
            .map(|model| Trainee::begin(model, &TrainRequest::language_model(text, Some(text), 3)).unwrap());
        for _ in 0..2 {
            let [fast, plain] = [&mut fast, &mut plain].map(|trainee| trainee.step(&host, None).unwrap());
            assert!((fast.loss - plain.loss).abs() < 1e-4, "{cell:?}: {} is not {}", fast.loss, plain.loss);
            let [a, b] = [fast, plain].map(|report| report.valid_loss.unwrap());
            assert!((a - b).abs() < 1e-4, "{cell:?}: {a} is not {b}");
        }
    }
}
