//! Steps of a training for labels, against the plain network.

use proptest::prelude::*;
use txray_plugin::{Host, Task};

use super::*;
use crate::labels::{Labels, Pooling};
use crate::options::Optimizer;
use crate::tracker::Tracker;
use crate::train::lesson::tests::lesson;
use crate::train::{Begun, run};
use crate::weights::{Cell, Sizes};

const POOLINGS: [Pooling; 4] = [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Concat];
/// Long, empty and single ones, and more than one share of them.
const LENGTHS: [usize; 20] = [4, 0, 1, 7, 2, 1, 5, 0, 3, 3, 9, 1, 6, 2, 2, 8, 1, 4, 5, 3];

/// What is to be told: a label a document of outputs so pooled, or a label a token.
fn heads() -> Vec<Labels> {
    let mut all: Vec<Labels> =
        POOLINGS.iter().map(|&pooling| Labels::new(Task::Classification, 3, pooling).unwrap()).collect();
    all.push(Labels::new(Task::Tagging, 3, Pooling::Last).unwrap());
    all
}

fn weights(labels: Labels, cell: Cell, seed: u64) -> Weights {
    let sizes = Sizes { vocabulary: 17, embedding: 5, hidden: 7, layers: 2, cell, ..Sizes::default() };
    Weights::initialize(sizes, seed).unwrap().labelled(labels, seed).unwrap()
}

fn of_head(labels: Labels, options: &TrainOptions, seed: u64) -> Lesson {
    let mut lesson = lesson(&LENGTHS, labels.task(), options, seed).unwrap();
    lesson.labels = labels;
    lesson
}

fn labelling<'a>(weights: &'a Weights, options: &'a TrainOptions, lesson: &'a Lesson, fast: bool) -> Labelling<'a> {
    let order = lesson.order(0);
    Labelling { weights, options, lesson, features: None, seed: 5, stop: Stop::default(), fast, order }
}

/// Every gradient by its variable, those of embeddings dense.
fn dense(part: Part, weights: &Weights) -> Vec<(usize, Vec<f32>)> {
    let mut all = part.dense;
    if !all.iter().any(|(index, _)| *index == 0) && !part.rows.rows.is_empty() {
        let width = weights.sizes.embedding;
        let mut values = vec![0.0; weights.sizes.vocabulary * width];
        for (&row, row_values) in part.rows.rows.iter().zip(part.rows.values.chunks(width)) {
            values[row as usize * width..][..width].copy_from_slice(row_values);
        }
        all.insert(0, (0, values));
    }
    all
}

#[test]
fn gradients_are_those_of_the_plain_network() {
    for labels in heads() {
        for (cell, freeze_embedding) in [(Cell::Lstm, false), (Cell::Gru, false), (Cell::Lstm, true)] {
            let class_weights = Some(crate::ClassWeights::Given(vec![0.5, 2.0, 1.0]));
            let options =
                TrainOptions { dropout: 0.3, batch: 20, freeze_embedding, class_weights, ..TrainOptions::default() };
            let (weights, lesson) = (weights(labels, cell, 3), of_head(labels, &options, 2));
            let documents = &lesson.order(0)[0];
            let [(loss, ours), (plain_loss, plain)] = [true, false].map(|fast| {
                let part = labelling(&weights, &options, &lesson, fast).gradients(documents, 4).unwrap();
                (part.loss, dense(part, &weights))
            });
            assert!((loss - plain_loss).abs() < 1e-5, "{labels:?}: {loss}, not {plain_loss}");
            assert_eq!(ours.len(), plain.len());
            assert_eq!(ours.iter().any(|(index, _)| *index == 0), !freeze_embedding);
            for ((index, ours), (of, plain)) in ours.iter().zip(&plain) {
                assert_eq!((index, ours.len()), (of, plain.len()));
                assert!(plain.iter().any(|value| *value != 0.0), "{labels:?}: variable {index} has no gradient");
                for (a, b) in ours.iter().zip(plain) {
                    assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{labels:?}, {cell:?}, {index}: {a} is not {b}");
                }
            }
        }
    }
}

/// With a frozen encoder the head has the loss and the gradient that it has in the whole network.
#[test]
fn a_frozen_encoder_gives_the_head_the_same_gradient() {
    for labels in heads() {
        let whole = TrainOptions { dropout: 0.0, batch: 20, ..TrainOptions::default() };
        let frozen = TrainOptions { freeze_encoder: true, ..whole.clone() };
        let (weights, lesson) = (weights(labels, Cell::Lstm, 3), of_head(labels, &whole, 2));
        let documents = &lesson.order(0)[0];
        let expected = labelling(&weights, &whole, &lesson, true).gradients(documents, 0).unwrap();
        let found = labelling(&weights, &frozen, &lesson, true).gradients(documents, 0).unwrap();
        let head = &expected.dense[expected.dense.len() - 2..];
        assert_eq!(found.dense.len(), 2);
        assert!((found.loss - expected.loss).abs() < 1e-6);
        for ((_, found), (_, expected)) in found.dense.iter().zip(head) {
            found.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a}, not {b}"));
        }
    }
}

/// The weights after an epoch, bit by bit, and what it told.
fn epoch(labels: Labels, cell: Cell, options: &TrainOptions, threads: usize, seed: u64) -> (Vec<u32>, u64) {
    let (weights, lesson) = (weights(labels, cell, seed), of_head(labels, options, seed));
    let host = Host::detached();
    let request = txray_plugin::TrainRequest::language_model(txray_plugin::Text::EMPTY, None, 0);
    let mut progress = Progress::new(options, Begun::of(&request));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let steps = labelling(&weights, options, &lesson, true);
    pool.install(|| run(&steps, 1, &mut progress, || false, &Tracker::new(&host, "", 1))).unwrap();
    assert_eq!((progress.tokens, progress.cursor.windows), (lesson.tokens() as u64, lesson.steps()));
    let values = weights.variables().into_iter().flat_map(|variable| to_vec(variable).unwrap()).map(f32::to_bits);
    (values.collect(), progress.cursor.mean().to_bits())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_seed_gives_the_same_bytes_on_any_number_of_threads(
        head in 0..5_usize,
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
        optimizer in prop_oneof![Just(Optimizer::Sgd), Just(Optimizer::Adam), Just(Optimizer::Adamw)],
        batch in 1..25_usize,
        freeze_embedding in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let optimizer = Some(optimizer);
        let options = TrainOptions { batch, optimizer, freeze_embedding, learning_rate: Some(0.01), ..TrainOptions::default() };
        let one = epoch(heads()[head], cell, &options, 1, seed);
        for threads in [2, 4] {
            prop_assert!(one == epoch(heads()[head], cell, &options, threads, seed), "{threads} threads");
        }
        prop_assert!(one.0 != epoch(heads()[head], cell, &options, 1, seed ^ 1).0);
    }
}
