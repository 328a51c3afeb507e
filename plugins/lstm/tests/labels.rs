//! Classifiers of documents and taggers, trained and asked through the traits.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Mutex;

use common::{Patience, Trainee, bytes, encode, masked, ragged, random};
use proptest::prelude::*;
use txray_lstm::{Cell, ClassWeights, HeadOptions, Lstm, LstmOptions, Optimizer, Pooling, TrainOptions};
use txray_plugin::{
    Component, EncodeRequest, Examples, Fault, Head, Host, HostServices, Level, Mask, Model, NULL, Predict,
    PredictRequest, Sign, Task, Text, Threads, TrainRequest,
};

const POOLINGS: [Pooling; 4] = [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Concat];

/// Documents with labels, as the boundary takes them.
#[derive(Clone, Debug)]
struct Labelled {
    task: Task,
    classes: usize,
    ids: Vec<u32>,
    offsets: Vec<u64>,
    targets: Vec<u32>,
}

impl Labelled {
    fn new(task: Task, classes: usize, documents: &[Vec<u32>], targets: Vec<u32>) -> Self {
        let (ids, offsets) = ragged(documents);
        Self { task, classes, ids, offsets, targets }
    }

    fn examples(&self) -> Examples<'_> {
        Examples { text: Text { ids: &self.ids, offsets: &self.offsets }, targets: &self.targets }
    }

    fn request<'a>(&'a self, valid: Option<&'a Self>) -> TrainRequest<'a> {
        let Self { task, classes, .. } = *self;
        TrainRequest { task, classes, train: self.examples(), valid: valid.map(Self::examples), seed: 4 }
    }
}

/// 60 documents of 0 to 9 tokens. A document's label says which of the words 1, 2 and 3 is in it; a token's is its id mod 3, or
/// none.
fn lesson(task: Task) -> Labelled {
    let documents: Vec<Vec<u32>> = (0..60_u32)
        .map(|d| (0..d * 7 % 10).map(|i| if i == d % 4 { 1 + d % 3 } else { 4 + (d * 5 + i * 3) % 8 }).collect())
        .collect();
    let targets = match task {
        Task::Tagging => documents.concat().iter().map(|&id| if id == 5 { NULL } else { id % 3 }).collect(),
        _ => (0..60).map(|d| if d % 11 == 10 { NULL } else { d % 3 }).collect(),
    };
    Labelled::new(task, 3, &documents, targets)
}

fn options(train: TrainOptions) -> LstmOptions {
    let train = TrainOptions { batch: 8, dropout: 0.0, clip: 5.0, learning_rate: Some(0.02), ..train };
    LstmOptions { embedding: 6, hidden: 8, train, ..LstmOptions::default() }
}

fn begun(options: &LstmOptions, lesson: &Labelled) -> Trainee {
    Trainee::begin(random(options.clone(), 12, 1), &lesson.request(Some(lesson))).unwrap()
}

fn trained(options: &LstmOptions, lesson: &Labelled, threads: usize) -> Trainee {
    let mut trainee = begun(options, lesson);
    while !trainee.step(&Host::new(&Threads(threads)), None).unwrap().done {}
    trainee
}

/// What a model tells of documents.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    losses: Vec<f64>,
    counts: Vec<u64>,
    tokens: Vec<f32>,
    predicted: Vec<u32>,
    probabilities: Vec<f32>,
}

fn told(model: &dyn Predict, of: &Labelled, masks: &[Mask<'_>], threads: usize) -> txray_plugin::Result<Told> {
    let mut told = Told {
        losses: vec![-1.0; of.offsets.len() - 1],
        counts: vec![9; of.offsets.len() - 1],
        tokens: vec![7.0; of.ids.len()],
        predicted: vec![9; of.targets.len()],
        probabilities: vec![7.0; of.targets.len() * of.classes],
    };
    let request = PredictRequest::new(of.task, of.examples(), &mut told.losses, &mut told.counts);
    let mut request = PredictRequest {
        masks,
        token_losses: Some(&mut told.tokens),
        predicted: Some(&mut told.predicted),
        probabilities: Some(&mut told.probabilities),
        ..request
    };
    model.predict(&Host::new(&Threads(threads)), &mut request)?;
    Ok(told)
}

/// Everything of a token or a document, bits that are not numbers included.
fn same(a: &Told, b: &Told) -> bool {
    let bits = |told: &Told| told.tokens.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
    (bits(a), &a.losses, &a.counts, &a.predicted, &a.probabilities)
        == (bits(b), &b.losses, &b.counts, &b.predicted, &b.probabilities)
}

#[test]
fn labels_are_learned() {
    for (task, poolings) in [(Task::Classification, &POOLINGS[..]), (Task::Tagging, &POOLINGS[..1])] {
        for &pooling in poolings {
            let of = lesson(task);
            let options = LstmOptions {
                task: HeadOptions { pooling },
                ..options(TrainOptions { epochs: 40, ..TrainOptions::default() })
            };
            let mut trainee = begun(&options, &of);
            let host = Host::detached();
            let first = trainee.step(&host, None).unwrap();
            let mut last = first;
            while !last.done {
                last = trainee.step(&host, None).unwrap();
            }
            // Nothing tells the labels of empty documents.
            assert!(last.loss < 0.35 && first.loss > 0.9, "{pooling:?}: {first:?}, then {last:?}");
            let told = told(&trainee.model, &of, &[], 2).unwrap();
            let mean = told.losses.iter().sum::<f64>() / told.counts.iter().sum::<u64>() as f64;
            assert!((mean - last.valid_loss.unwrap()).abs() < 1e-9);
            let labelled = of.targets.iter().zip(&told.predicted).filter(|(target, _)| **target != NULL);
            let right = labelled.clone().filter(|(target, predicted)| target == predicted).count();
            assert!(right * 10 >= labelled.count() * 8, "{pooling:?}: {right} right");
        }
    }
}

#[test]
fn what_is_told_of_labels_fits_together() {
    for task in [Task::Classification, Task::Tagging] {
        let of = lesson(task);
        let model = trained(&options(TrainOptions { epochs: 1, ..TrainOptions::default() }), &of, 2).model;
        assert_eq!(model.describe().unwrap().heads, [Head { task, classes: 3 }]);
        let told = told(&model, &of, &[], 2).unwrap();
        let text = of.examples().text;
        let place = |document: usize| match task {
            Task::Tagging => text.offsets[document] as usize..text.offsets[document + 1] as usize,
            _ => document..document + 1,
        };
        for document in 0..text.len() {
            let labelled: Vec<usize> = place(document).filter(|&at| of.targets[at] != NULL).collect();
            assert_eq!(told.counts[document], labelled.len() as u64);
            let losses =
                labelled.iter().map(|&at| -f64::from(told.probabilities[at * 3 + of.targets[at] as usize]).ln());
            assert!((told.losses[document] - losses.sum::<f64>()).abs() < 1e-5);
            for at in place(document) {
                let of = &told.probabilities[at * 3..][..3];
                assert!((of.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                let most = of.iter().copied().fold(0.0, f32::max);
                assert_eq!(told.predicted[at] as usize, of.iter().position(|&p| p == most).unwrap());
            }
        }
        let is_told = |at: usize| task == Task::Tagging && of.targets[at] != NULL;
        assert!(told.tokens.iter().enumerate().all(|(at, loss)| loss.is_nan() != is_told(at)));
        // The labels change the losses alone, and what is beside a document nothing; nor do threads.
        let mut unlabelled = of.clone();
        unlabelled.targets.fill(NULL);
        let without = told_on(&model, &unlabelled, 2);
        assert_eq!((&without.predicted, &without.probabilities), (&told.predicted, &told.probabilities));
        assert!(without.losses.iter().all(|&loss| loss == 0.0) && without.counts.iter().all(|&count| count == 0));
        assert!(same(&told_on(&model, &of, 1), &told_on(&model, &of, 4)));
        for document in [3, 10, 17, 41] {
            let alone =
                Labelled::new(task, 3, &[text.document(document).to_vec()], of.targets[place(document)].to_vec());
            let alone = told_on(&model, &alone, 2);
            assert_eq!(alone.losses[0], told.losses[document]);
            assert_eq!(alone.predicted, told.predicted[place(document)]);
        }
    }
}

fn told_on(model: &Lstm, of: &Labelled, threads: usize) -> Told {
    told(model, of, &[], threads).unwrap()
}

/// The kernels and the plain network, with and without masks.
#[test]
fn predictions_are_those_of_the_plain_network() {
    for (task, poolings) in [(Task::Classification, &POOLINGS[..]), (Task::Tagging, &POOLINGS[..1])] {
        for (&pooling, cell) in poolings.iter().flat_map(|pooling| [(pooling, Cell::Lstm), (pooling, Cell::Gru)]) {
            let of = lesson(task);
            let options = options(TrainOptions { epochs: 1, ..TrainOptions::default() });
            let options = LstmOptions { task: HeadOptions { pooling }, cell, layers: 2, ..options };
            let model = trained(&options, &of, 2).model;
            let directory = tempfile::tempdir().unwrap();
            model.save(&Host::detached(), directory.path()).unwrap();
            let mut plain = Lstm::create(LstmOptions { fast: false, ..options }, &Host::detached()).unwrap();
            plain.load(&Host::detached(), directory.path()).unwrap();
            let values = [0.5, f32::NAN, f32::NAN, 0.0, f32::NAN, -0.25, f32::NAN, f32::NAN];
            let held = [0, 1].map(|site| Mask { site, values: &values });
            let free = told(&model, &of, &[], 2).unwrap();
            for masks in [&[][..], &held] {
                let (fast, plain) = (told(&model, &of, masks, 2).unwrap(), told(&plain, &of, masks, 1).unwrap());
                assert_eq!(fast.counts, plain.counts);
                for (a, b) in fast.probabilities.iter().zip(&plain.probabilities) {
                    assert!((a - b).abs() < 1e-5, "{pooling:?}: {a}, not {b}");
                }
                for (a, b) in fast.losses.iter().zip(&plain.losses) {
                    assert!((a - b).abs() < 1e-4, "{pooling:?}: {a}, not {b}");
                }
                assert_eq!(masks.is_empty(), same(&fast, &free));
            }
            let keeps_all = [Mask { site: 1, values: &[f32::NAN; 8] }];
            assert!(same(&told(&model, &of, &keeps_all, 2).unwrap(), &free));
        }
    }
}

/// At the last token of a document a classifier predicts, as it reads, what it predicts of the document.
#[test]
fn what_is_predicted_while_reading_ends_as_the_prediction() {
    for fast in [true, false] {
        for pooling in POOLINGS {
            let of = lesson(Task::Classification);
            let options = options(TrainOptions { epochs: 1, ..TrainOptions::default() });
            let model = trained(&LstmOptions { task: HeadOptions { pooling }, fast, ..options }, &of, 2).model;
            let whole = told(&model, &of, &[], 2).unwrap();
            let mut predicted = vec![9; of.ids.len()];
            let text = of.examples().text;
            let mut request =
                EncodeRequest { predictions: Some((of.task, &mut predicted)), ..EncodeRequest::new(text) };
            txray_plugin::Encode::encode(&model, &Host::new(&Threads(2)), &mut request).unwrap();
            for document in (0..text.len()).filter(|&d| !text.document(d).is_empty()) {
                let last = text.offsets[document + 1] as usize - 1;
                assert_eq!(predicted[last], whole.predicted[document], "{pooling:?}, document {document}");
            }
        }
    }
    let of = lesson(Task::Tagging);
    let model = trained(&options(TrainOptions { epochs: 1, ..TrainOptions::default() }), &of, 2).model;
    let mut predicted = vec![9; of.ids.len()];
    let mut request =
        EncodeRequest { predictions: Some((of.task, &mut predicted)), ..EncodeRequest::new(of.examples().text) };
    txray_plugin::Encode::encode(&model, &Host::new(&Threads(2)), &mut request).unwrap();
    assert_eq!(predicted, told(&model, &of, &[], 2).unwrap().predicted);
}

#[test]
fn a_head_is_saved_and_loaded() {
    for (task, pooling) in [(Task::Classification, Pooling::Concat), (Task::Tagging, Pooling::Last)] {
        let of = lesson(task);
        let options = LstmOptions {
            task: HeadOptions { pooling },
            ..options(TrainOptions { epochs: 1, ..TrainOptions::default() })
        };
        let model = trained(&options, &of, 2).model;
        let directory = tempfile::tempdir().unwrap();
        model.save(&Host::detached(), directory.path()).unwrap();
        // Whatever the options say: a checkpoint has its own head.
        let loaded = common::loaded(directory.path()).unwrap();
        assert_eq!(loaded.describe().unwrap(), model.describe().unwrap());
        assert!(same(&told_on(&loaded, &of, 2), &told_on(&model, &of, 2)));
        assert_eq!(bytes(&loaded), bytes(&model));
        let config = std::fs::read_to_string(directory.path().join("config.json")).unwrap();
        assert!(config.contains("\"num_labels\": 3") && config.contains("\"task\": "), "{config}");
        assert_eq!(config.contains("\"pooling\": \"concat\""), task == Task::Classification, "{config}");
    }
}

/// The encoder of a language model is that of the classifier before its first step, and of one with a frozen encoder ever after.
#[test]
fn a_language_model_becomes_a_classifier() {
    let of = lesson(Task::Classification);
    let options = options(TrainOptions { epochs: 2, freeze_encoder: true, ..TrainOptions::default() });
    let tied = LstmOptions { embedding: 8, tied: true, ..options.clone() };
    for options in [options, tied] {
        let model = random(options.clone(), 12, 1);
        let documents = [vec![1, 2, 3, 7], vec![5]];
        let before = encode(&model, &documents, &[(0, 8)], None, 1).unwrap();
        let mut trainee = Trainee::begin(model, &of.request(None)).unwrap();
        while !trainee.step(&Host::detached(), None).unwrap().done {}
        assert_eq!(encode(&trainee.model, &documents, &[(0, 8)], None, 1).unwrap(), before);
        // It is no language model any more.
        let text = of.examples().text;
        let directory = tempfile::tempdir().unwrap();
        trainee.model.save(&Host::detached(), directory.path()).unwrap();
        let loaded = common::loaded(directory.path()).unwrap();
        let error = Trainee::begin(loaded, &TrainRequest::language_model(text, None, 1));
        assert!(error.unwrap_err().message().contains("no decoder over its vocabulary"));
    }
}

#[test]
fn a_head_of_the_same_shape_is_trained_on() {
    let of = lesson(Task::Classification);
    let usual = options(TrainOptions { epochs: 1, ..TrainOptions::default() });
    let directory = tempfile::tempdir().unwrap();
    trained(&usual, &of, 2).model.save(&Host::detached(), directory.path()).unwrap();
    let told_by = |options: &LstmOptions| {
        let mut model = Lstm::create(options.clone(), &Host::detached()).unwrap();
        model.load(&Host::detached(), directory.path()).unwrap();
        let before = told_on(&model, &of, 1);
        let after = told_on(&Trainee::begin(model, &of.request(None)).unwrap().model, &of, 1);
        (before, after)
    };
    let (before, after) = told_by(&usual);
    assert!(same(&before, &after));
    let (before, after) = told_by(&LstmOptions { task: HeadOptions { pooling: Pooling::Mean }, ..usual });
    assert!(!same(&before, &after));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Paused after every step, cancelled, saved and gone on with elsewhere, a training ends with the bytes of an undisturbed one.
    #[test]
    fn interruptions_change_no_byte(
        task in prop_oneof![Just(Task::Classification), Just(Task::Tagging)],
        pooling in prop::sample::select(&POOLINGS[..]),
        optimizer in prop_oneof![Just(None), Just(Some(Optimizer::Sgd))],
        freeze in prop_oneof![Just((false, false)), Just((true, false)), Just((false, true))],
        patience in prop_oneof![Just(None), Just(Some(1_u64))],
        dropout in prop_oneof![Just(0.0), Just(0.4)],
        threads in 1..4_usize,
    ) {
        let of = lesson(task);
        let (freeze_embedding, freeze_encoder) = freeze;
        let usual = options(TrainOptions { epochs: 3, optimizer, patience, freeze_embedding, freeze_encoder, ..TrainOptions::default() });
        let train = TrainOptions { dropout, learning_rate: Some(0.3), batch: 16, ..usual.train };
        let options = LstmOptions { task: HeadOptions { pooling }, train, ..usual };
        let undisturbed = trained(&options, &of, 1);
        let request = of.request(Some(&of));
        let mut trainee = begun(&options, &of);
        for call in 0.. {
            let host = Threads(threads);
            let report = match call % 3 {
                2 => trainee.step(&Host::new(&Patience::new(threads, 2)), None),
                _ => trainee.step(&Host::new(&host), Some(0.0)),
            };
            match report {
                Ok(report) if report.done => break,
                Ok(_) => {}
                Err(error) => prop_assert_eq!(error.fault(), Fault::Cancelled),
            }
            if call % 2 == 0 {
                trainee = trainee.moved(&options, &request).unwrap();
            }
        }
        prop_assert!(bytes(&trainee.model) == bytes(&undisturbed.model));
        // A finished training has the same weights where it is taken up again.
        prop_assert!(bytes(&trainee.moved(&options, &request).unwrap().model) == bytes(&undisturbed.model));
    }
}

#[test]
fn more_epochs_go_on_as_from_the_beginning() {
    let of = lesson(Task::Classification);
    let with = |epochs, patience| {
        let usual = options(TrainOptions { epochs, patience, ..TrainOptions::default() });
        LstmOptions { train: TrainOptions { learning_rate: Some(0.3), ..usual.train }, ..usual }
    };
    let request = of.request(Some(&of));
    // Patience is longer than the training, so that it shows the best and never ends early.
    for patience in [None, Some(9)] {
        let whole = trained(&with(5, patience), &of, 2);
        let mut longer = trained(&with(2, patience), &of, 2).moved(&with(5, patience), &request).unwrap();
        while !longer.step(&Host::detached(), None).unwrap().done {}
        assert!(bytes(&longer.model) == bytes(&whole.model), "{patience:?}");
    }
}

/// The validation labels are not those that are learned, so that the loss soon rises.
#[test]
fn the_best_epoch_is_kept_where_patience_runs_out() {
    let of = lesson(Task::Classification);
    let mut valid = of.clone();
    valid.targets.iter_mut().filter(|target| **target != NULL).for_each(|target| *target = (*target + 1) % 3);
    let options = options(TrainOptions { epochs: 50, patience: Some(2), ..TrainOptions::default() });
    let mut trainee = Trainee::begin(random(options, 12, 1), &of.request(Some(&valid))).unwrap();
    let mut epochs: Vec<(f64, Vec<u8>)> = Vec::new();
    let last = loop {
        let report = trainee.step(&Host::detached(), None).unwrap();
        if report.done {
            break report;
        }
        epochs.push((report.valid_loss.unwrap(), bytes(&trainee.model)));
    };
    assert!(last.epoch < 50, "{last:?}");
    let (best, weights) = epochs.iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert!(last.valid_loss.unwrap() > *best);
    assert!(bytes(&trainee.model) == *weights);
    let told = told(&trainee.model, &valid, &[], 1).unwrap();
    let mean = told.losses.iter().sum::<f64>() / told.counts.iter().sum::<u64>() as f64;
    assert!((mean - best).abs() < 1e-9, "{mean}, not {best}");
}

#[test]
fn a_training_that_diverges_says_where_and_keeps_the_last_weights() {
    let of = lesson(Task::Classification);
    let usual = options(TrainOptions { epochs: 9, optimizer: Some(Optimizer::Sgd), ..TrainOptions::default() });
    let train = TrainOptions { learning_rate: Some(1e30), clip: 1e30, ..usual.train };
    let mut trainee = begun(&LstmOptions { train, ..usual }, &of);
    let host = Host::detached();
    let (error, before) = loop {
        let before = bytes(&trainee.model);
        match trainee.step(&host, Some(0.0)) {
            Ok(_) => {}
            Err(error) => break (error, before),
        }
    };
    assert!(error.message().contains("diverged in epoch 1, at its step "), "{error}");
    assert_eq!(error.pointer(), "/train/learning_rate");
    assert!(bytes(&trainee.model) == before);
}

/// What a host is told.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl HostServices for Log {
    fn threads(&self) -> usize {
        1
    }
    fn log(&self, _: Level, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

#[test]
fn what_is_left_out_is_told() {
    let mut of = lesson(Task::Classification);
    of.classes = 5;
    let options = options(TrainOptions { max_length: Some(4), ..TrainOptions::default() });
    let log = Log::default();
    let mut model = random(options, 12, 1);
    txray_plugin::Train::begin(&mut model, &Host::new(&log), &of.request(None), None).unwrap();
    let told = log.0.into_inner().unwrap().join("\n");
    for what in
        ["documents are cut to 4 tokens", "5 training documents have no label", "of the labels 0 to 4, none is 3, 4"]
    {
        assert!(told.contains(what), "{told}");
    }
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let of = lesson(Task::Classification);
    let begin = |of: &Labelled, valid: Option<&Labelled>, train: TrainOptions| {
        Trainee::begin(random(options(train), 12, 1), &of.request(valid)).unwrap_err()
    };
    let usual = TrainOptions::default;
    let one = Labelled { classes: 1, targets: vec![0; 60], ..of.clone() };
    assert!(begin(&one, None, usual()).message().contains("at least 2 labels"));
    let none = Labelled { targets: vec![NULL; 60], ..of.clone() };
    assert!(begin(&none, None, usual()).message().contains("no training document has a label"));
    assert!(begin(&of, Some(&none), usual()).message().contains("nothing to validate on has a label"));
    let foreign = Labelled { ids: vec![12; of.ids.len()], ..of.clone() };
    assert!(begin(&foreign, None, usual()).message().contains("id 12"));
    let weights = TrainOptions { class_weights: Some(ClassWeights::Given(vec![1.0])), ..usual() };
    assert_eq!(begin(&of, None, weights).pointer(), "/train/class_weights");
    assert_eq!(begin(&of, None, TrainOptions { max_tokens: Some(9), ..usual() }).pointer(), "/train/max_tokens");
    for (name, train) in [
        ("freeze_embedding", TrainOptions { freeze_embedding: true, ..usual() }),
        ("freeze_encoder", TrainOptions { freeze_encoder: true, ..usual() }),
        ("class_weights", TrainOptions { class_weights: Some(ClassWeights::Balanced), ..usual() }),
        ("max_length", TrainOptions { max_length: Some(9), ..usual() }),
    ] {
        let request = TrainRequest::language_model(of.examples().text, None, 1);
        let error = Trainee::begin(random(options(train), 12, 1), &request).unwrap_err();
        assert_eq!(error.pointer(), format!("/train/{name}"));
    }
}

/// Another task, other labels, another pooling.
#[test]
fn only_the_same_training_goes_on() {
    let of = lesson(Task::Classification);
    let options = options(TrainOptions::default());
    let mut trainee = begun(&options, &of);
    trainee.step(&Host::detached(), Some(0.0)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    trainee.save(directory.path()).unwrap();
    let refused = |options: &LstmOptions, of: &Labelled| {
        Trainee::from(directory.path(), options, &of.request(Some(of))).unwrap_err()
    };
    let mut other = of.clone();
    other.targets[7] = (other.targets[7] + 1) % 3;
    assert!(refused(&options, &other).message().contains("other labels"));
    let more = Labelled { classes: 4, ..of.clone() };
    assert!(refused(&options, &more).message().contains("another number of labels"));
    assert!(refused(&options, &lesson(Task::Tagging)).message().contains("another task"));
    let pooled = LstmOptions { task: HeadOptions { pooling: Pooling::Max }, ..options.clone() };
    assert_eq!(refused(&pooled, &of).pointer(), "/task/pooling");
    let mut frozen = options.clone();
    frozen.train.freeze_embedding = true;
    assert_eq!(refused(&frozen, &of).pointer(), "/train/freeze_embedding");
}

/// Validation documents may lack a label, be empty, or be longer than those to train on.
#[test]
fn validation_is_of_what_is_there() {
    let of = lesson(Task::Classification);
    let valid = Labelled::new(Task::Classification, 3, &[vec![], vec![1; 40], vec![2]], vec![0, 0, NULL]);
    let mut trainee =
        Trainee::begin(random(options(TrainOptions::default()), 12, 1), &of.request(Some(&valid))).unwrap();
    assert!(trainee.step(&Host::detached(), None).unwrap().valid_loss.unwrap().is_finite());
}

/// Neurons that are read are those of the classifier, sites and masks as of a language model.
#[test]
fn a_classifier_is_read_as_any_model() {
    let of = lesson(Task::Classification);
    let model = trained(&options(TrainOptions { epochs: 1, ..TrainOptions::default() }), &of, 2).model;
    let values = [0.5; 8];
    let masks = [Mask { site: 0, values: &values }];
    let readings = masked(&model, &[vec![1, 2]], &[(0, 8)], None, &masks, Sign::Positive, 1).unwrap();
    assert!(readings[0].activations.iter().all(|&h| h == 0.5));
}
