//! Training through the trait.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Trainee, bytes, encode, random};
use txray_lstm::{Lstm, LstmOptions, TrainOptions};
use txray_plugin::{Host, Model, State, Text, Threads, TrainReport, TrainRequest};

fn options() -> LstmOptions {
    let train = TrainOptions { epochs: 2, batch: 4, bptt: 6, learning_rate: Some(1.0), ..TrainOptions::default() };
    LstmOptions { embedding: 5, hidden: 7, train, ..LstmOptions::default() }
}

fn trainee() -> Trainee {
    let ids: Vec<u32> = (0..200).map(|i| (i * i) % 13).collect();
    let offsets: Vec<u64> = (0..=20).map(|d| d * 10).collect();
    let text = Text { ids: &ids, offsets: &offsets };
    Trainee::begin(random(options(), 13, 1), &TrainRequest::language_model(text, Some(text), 8)).unwrap()
}

fn epoch(trainee: &mut Trainee, threads: usize) -> TrainReport {
    trainee.step(&Host::new(&Threads(threads)), None).unwrap()
}

#[test]
fn a_call_is_an_epoch() {
    let mut trainee = trainee();
    let first = epoch(&mut trainee, 2);
    // Four streams of 50, each stream's last token only predicted.
    assert_eq!((first.epoch, first.tokens, first.done), (1, 196, false));
    assert!(first.seconds > 0.0);
    let second = epoch(&mut trainee, 2);
    assert_eq!((second.epoch, second.tokens, second.done), (2, 392, true));
    assert!(second.loss < first.loss);
    assert!(second.valid_loss.unwrap() < first.valid_loss.unwrap());
    assert_eq!(trainee.model.describe().unwrap().trained_state, Some(State::Reset));
}

#[test]
fn threads_do_not_change_the_weights() {
    let [one, four] = [1, 4].map(|threads| {
        let mut trainee = trainee();
        epoch(&mut trainee, threads);
        epoch(&mut trainee, threads);
        bytes(&trainee.model)
    });
    assert!(one == four);
}

#[test]
fn reading_sees_what_training_changed() {
    let mut trainee = trainee();
    let read = |model: &Lstm| encode(model, &[vec![1, 2, 3]], &[(0, 7)], None, 1).unwrap();
    let before = read(&trainee.model);
    epoch(&mut trainee, 2);
    let after = read(&trainee.model);
    assert_ne!(before, after);
    let directory = tempfile::tempdir().unwrap();
    trainee.model.save(&Host::detached(), directory.path()).unwrap();
    let loaded = common::loaded(directory.path()).unwrap();
    assert_eq!(after, read(&loaded));
    assert_eq!(loaded.describe().unwrap().trained_state, Some(State::Reset));
}

#[test]
fn text_without_anything_to_predict_is_refused() {
    let words = Text { ids: &[1; 8], offsets: &[0, 1, 2, 3, 4, 5, 6, 7, 8] };
    let text = Text { ids: &[1; 8], offsets: &[0, 8] };
    for (train, valid, name) in [(words, Some(text), "training"), (text, Some(words), "validation")] {
        let request = TrainRequest::language_model(train, valid, 1);
        let error = Trainee::begin(random(options(), 13, 1), &request).unwrap_err();
        assert!(error.message().starts_with(&format!("the {name} text has nothing to predict")), "{error}");
        let mut options = options();
        options.train.state = State::Carry;
        let report = epoch(&mut Trainee::begin(random(options, 13, 1), &request).unwrap(), 1);
        assert!(report.loss > 0.0 && report.valid_loss.unwrap() > 0.0);
    }
}

#[test]
fn too_little_text_is_refused() {
    let text = Text { ids: &[1, 2, 3], offsets: &[0, 3] };
    let error = Trainee::begin(random(options(), 13, 1), &TrainRequest::language_model(text, None, 1)).unwrap_err();
    assert!(error.message().contains("too short"), "{error}");
}
