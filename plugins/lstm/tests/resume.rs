//! Training that is cut anywhere and goes on, and saved trainings that are broken.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use common::{Patience, Tensors, bytes, edit, random, reference};
use proptest::prelude::*;
use safetensors::Dtype;
use serde_json::{Value, json};
use txray_lstm::{Cell, Lstm, LstmOptions, Optimizer, Schedule, TrainOptions};
use txray_plugin::{
    Component, Error, Fault, FitReport, FitRequest, Host, HostServices, Level, Model, State, Text, Threads,
};

const VOCABULARY: u32 = 17;

/// Another model with the training of this one, saved and loaded.
fn moved(model: &Lstm, options: &LstmOptions) -> Lstm {
    let directory = tempfile::tempdir().unwrap();
    model.save_training(&Host::detached(), directory.path()).unwrap();
    loaded(options, directory.path()).unwrap()
}

fn loaded(options: &LstmOptions, directory: &Path) -> Result<Lstm, Error> {
    let mut model = Lstm::create(options.clone(), &Host::detached()).unwrap();
    model.load_training(&Host::detached(), directory)?;
    Ok(model)
}

/// The parts of a report that do not depend on the clock.
type Outcome = (u64, u64, f64, Option<f64>, bool);

fn outcome(report: &FitReport) -> Outcome {
    (report.epoch, report.tokens, report.loss, report.valid_loss, report.done)
}

/// Trains in one go. Gives each epoch's outcome.
fn undisturbed(model: &mut Lstm, request: &FitRequest<'_>) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    while outcomes.last().is_none_or(|&(.., done)| !done) {
        let report = model.fit(&Host::new(&Patience::new(2, usize::MAX)), request).unwrap();
        assert!(!report.paused);
        outcomes.push(outcome(&report));
    }
    outcomes
}

/// How a call is cut short, and whether training then goes on elsewhere.
#[derive(Clone, Debug)]
struct Cut {
    /// Pause after one step.
    pause: bool,
    /// How often the host may be asked before it cancels: it is asked after a step, and while validating.
    cancel: Option<usize>,
    threads: usize,
    moves: bool,
}

fn cut() -> impl Strategy<Value = Cut> {
    let cancel = prop::option::weighted(0.3, 0..30_usize);
    (prop::bool::weighted(0.8), cancel, 1..3_usize, any::<bool>()).prop_map(|(pause, cancel, threads, moves)| Cut {
        pause,
        cancel,
        threads,
        moves,
    })
}

fn documents(tokens: std::ops::Range<usize>) -> impl Strategy<Value = (Vec<u32>, Vec<u64>)> {
    (proptest::collection::vec(0..VOCABULARY, tokens), proptest::collection::vec(any::<prop::sample::Index>(), 1..9))
        .prop_map(|(ids, cuts)| {
            let mut offsets: Vec<u64> = cuts.iter().map(|cut| cut.index(ids.len()) as u64).collect();
            offsets.extend([0, ids.len() as u64]);
            offsets.sort_unstable();
            (ids, offsets)
        })
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)]
}

fn optimizer() -> impl Strategy<Value = Optimizer> {
    prop_oneof![Just(Optimizer::Sgd), Just(Optimizer::Adam), Just(Optimizer::Adamw)]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    prop_oneof![Just(Schedule::Plateau), Just(Schedule::Constant), Just(Schedule::Linear), Just(Schedule::Cosine)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever training is cut, and however it goes on, each epoch's report and the weights keep their bits.
    #[test]
    fn training_may_be_cut_anywhere(
        train in documents(60..140),
        valid in prop::option::of(documents(20..40)),
        layers in 1..3_usize,
        dropout in prop_oneof![Just(0.0), Just(0.4)],
        state in prop_oneof![Just(State::Reset), Just(State::Carry)],
        max_tokens in prop::option::of(50..100_u64),
        bptt in 2..9_usize,
        (cell, tied) in (cell(), any::<bool>()),
        (optimizer, schedule) in (optimizer(), schedule()),
        patience in prop::option::of(1..3_u64),
        cuts in proptest::collection::vec(cut(), 1..40),
        seed in any::<u64>(),
    ) {
        let learning_rate = Some(if optimizer == Optimizer::Sgd { 8.0 } else { 0.05 });
        let train_options = TrainOptions {
            // The rate is so high that the validation loss rises now and then, so that the schedule lowers the rate.
            epochs: 3, batch: 3, bptt, learning_rate, optimizer, schedule, patience, dropout, max_tokens, state,
            ..TrainOptions::default()
        };
        let options = LstmOptions {
            embedding: if tied { 7 } else { 5 }, hidden: 7, layers, cell, tied, train: train_options, ..LstmOptions::default()
        };
        fn view((ids, offsets): &(Vec<u32>, Vec<u64>)) -> Text<'_> {
            Text { ids, offsets }
        }
        let request = FitRequest { train: view(&train), valid: valid.as_ref().map(view), seed, pause: None };
        let mut model = random(options.clone(), VOCABULARY as usize, seed);
        let expected = undisturbed(&mut model, &request);
        let expected_bytes = bytes(&model);

        let mut model = random(options.clone(), VOCABULARY as usize, seed);
        let mut outcomes: Vec<Outcome> = Vec::new();
        // After the cuts, calls run to their end: an epoch that is always cancelled in its validation never ends.
        let mut cuts = cuts.into_iter();
        let calm = Cut { pause: false, cancel: None, threads: 2, moves: false };
        while outcomes.last().is_none_or(|&(.., done)| !done) {
            let cut = cuts.next().unwrap_or_else(|| calm.clone());
            let patience = Patience::new(cut.threads, cut.cancel.unwrap_or(usize::MAX));
            let pause = cut.pause.then_some(0.0);
            match model.fit(&Host::new(&patience), &FitRequest { pause, ..request }) {
                Ok(report) if report.paused => prop_assert!(cut.pause && report.valid_loss.is_none()),
                Ok(report) => outcomes.push(outcome(&report)),
                Err(error) => prop_assert!(cut.cancel.is_some() && error.fault() == Fault::Cancelled, "{}", error),
            }
            if cut.moves {
                model = moved(&model, &options);
            }
        }
        prop_assert_eq!(outcomes, expected);
        prop_assert!(bytes(&model) == expected_bytes);
    }
}

const IDS: [u32; 48] = {
    let mut ids = [0; 48];
    let mut i = 0;
    while i < 48 {
        ids[i] = (i * i) as u32 % VOCABULARY;
        i += 1;
    }
    ids
};
const TEXT: Text<'static> = Text { ids: &IDS, offsets: &[0, 10, 30, 48] };
const REQUEST: FitRequest<'static> = FitRequest { train: TEXT, valid: Some(TEXT), seed: 3, pause: Some(0.0) };

fn options() -> LstmOptions {
    let train = TrainOptions { epochs: 2, batch: 4, bptt: 3, learning_rate: Some(1.0), ..TrainOptions::default() };
    LstmOptions { embedding: 5, hidden: 6, layers: 2, train, ..LstmOptions::default() }
}

/// A training paused after its second step.
fn paused() -> Lstm {
    let mut model = random(options(), VOCABULARY as usize, 1);
    for tokens in [12, 24] {
        let report = model.fit(&Host::detached(), &REQUEST).unwrap();
        assert_eq!((report.epoch, report.tokens, report.paused, report.done), (0, tokens, true, false));
    }
    model
}

#[test]
fn an_epoch_that_is_trained_but_not_validated_is_not_at_its_end() {
    let mut model = paused();
    let reports: Vec<FitReport> = (0..3).map(|_| model.fit(&Host::detached(), &REQUEST).unwrap()).collect();
    assert_eq!(reports.iter().map(|r| r.paused).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!((reports[1].tokens, reports[1].valid_loss), (44, None));
    assert_eq!((reports[2].tokens, reports[2].loss, reports[2].seconds), (44, reports[1].loss, 0.0));
    assert!(reports[2].valid_loss.is_some());
}

#[test]
fn a_pause_that_never_comes_is_none() {
    for pause in [f64::INFINITY, f64::NAN, 1e300] {
        let mut model = random(options(), VOCABULARY as usize, 1);
        assert!(!model.fit(&Host::detached(), &FitRequest { pause: Some(pause), ..REQUEST }).unwrap().paused);
    }
    let mut model = random(options(), VOCABULARY as usize, 1);
    assert!(model.fit(&Host::detached(), &FitRequest { pause: Some(-1.0), ..REQUEST }).unwrap().paused);
}

#[test]
fn a_training_knows_what_it_is() {
    let fresh = random(options(), VOCABULARY as usize, 1);
    for model in [&fresh, &paused()] {
        let there = moved(model, &options());
        assert_eq!(there.describe().unwrap(), model.describe().unwrap());
        assert!(bytes(&there) == bytes(model));
    }
    assert_eq!(paused().describe().unwrap().trained_state, Some(State::Reset));
}

/// Progress counts the tokens of the epoch that were trained on elsewhere.
#[test]
fn progress_goes_on() {
    struct Last(Mutex<(u64, u64)>);
    impl HostServices for Last {
        fn threads(&self) -> usize {
            2
        }
        fn log(&self, _: Level, _: &str) {}
        fn progress(&self, done: u64, total: u64, _: &str) {
            *self.0.lock().unwrap() = (done, total);
        }
        fn cancelled(&self) -> bool {
            false
        }
    }
    let last = Last(Mutex::default());
    let request = FitRequest { valid: None, pause: None, ..REQUEST };
    let mut model = random(options(), VOCABULARY as usize, 1);
    model.fit(&Host::detached(), &FitRequest { pause: Some(0.0), ..request }).unwrap();
    moved(&model, &options()).fit(&Host::new(&last), &request).unwrap();
    assert_eq!(last.0.into_inner().unwrap(), (44, 44));
}

/// The sizes in the options are those of new weights: a model that began with a checkpoint's has others.
#[test]
fn a_training_that_began_with_a_checkpoint_goes_on() {
    let mut options = options();
    options.train.batch = 2;
    let mut model = Lstm::create(options.clone(), &Host::detached()).unwrap();
    model.load(&Host::detached(), &reference("lstm")).unwrap();
    assert_ne!(model.describe().unwrap().sites[0].width, options.hidden);
    model.fit(&Host::detached(), &REQUEST).unwrap();
    let mut there = moved(&model, &options);
    let request = FitRequest { pause: None, ..REQUEST };
    assert_eq!(undisturbed(&mut there, &request), undisturbed(&mut model, &request));
    assert!(bytes(&there) == bytes(&model));
}

#[test]
fn a_training_that_diverges_stays_where_it_was() {
    for (learning_rate, what) in [(1e30, "the loss is"), (1e36, "the gradient's norm is")] {
        let mut options = options();
        options.train.learning_rate = Some(learning_rate);
        let mut model = random(options.clone(), VOCABULARY as usize, 1);
        let error = loop {
            match model.fit(&Host::detached(), &REQUEST) {
                Ok(report) => assert!(report.paused),
                Err(error) => break error,
            }
        };
        assert_eq!(error.pointer(), "/train/learning_rate");
        assert!(error.message().contains(&format!("diverged in epoch 1: {what}")), "{error}");
        let before = bytes(&model);
        assert_eq!(model.fit(&Host::detached(), &REQUEST).unwrap_err(), error);
        assert!(bytes(&model) == before);
        assert_eq!(moved(&model, &options).fit(&Host::detached(), &REQUEST).unwrap_err(), error);
    }
}

#[test]
fn another_request_is_refused_and_changes_nothing() {
    let other = Text { ids: &[1; 48], ..TEXT };
    let cut = Text { offsets: &[0, 20, 30, 48], ..TEXT };
    let short = Text { ids: &IDS[..40], offsets: &[0, 40] };
    let model = paused();
    let before = bytes(&model);
    for mut model in [moved(&model, &options()), model] {
        for (request, parts) in [
            (FitRequest { seed: 4, ..REQUEST }, &["seed 3, not 4"][..]),
            (
                FitRequest { train: short, ..REQUEST },
                &["a training text of 48 tokens in 3 documents, not 40 tokens in 1"],
            ),
            (FitRequest { train: other, ..REQUEST }, &["another training text of as many tokens"]),
            (FitRequest { train: cut, ..REQUEST }, &["another training text of as many tokens"]),
            (FitRequest { valid: None, ..REQUEST }, &["a validation text of 48 tokens in 3 documents, not"]),
            (FitRequest { valid: Some(other), ..REQUEST }, &["another validation text"]),
        ] {
            let error = model.fit(&Host::detached(), &request).unwrap_err();
            assert_eq!(error.fault(), Fault::Invalid);
            for part in parts {
                assert!(error.message().contains(part), "`{part}` is not in: {error}");
            }
        }
        assert!(bytes(&model) == before);
        assert_eq!(model.fit(&Host::detached(), &REQUEST).unwrap().tokens, 36);
    }
}

/// A saved training, to be broken.
fn saved() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    paused().save_training(&Host::detached(), directory.path()).unwrap();
    directory
}

/// Loading fails, and the message holds the file's name and all of `parts`.
#[track_caller]
fn refused(directory: &Path, parts: &[&str]) {
    let error = loaded(&options(), directory).unwrap_err();
    assert_eq!(error.fault(), Fault::Invalid, "{error}");
    for part in [&["training.safetensors"], parts].concat() {
        assert!(error.message().contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn other_options_are_refused_by_name() {
    let directory = saved();
    let refused = |pointer: &str, begun: &str, edit: &dyn Fn(&mut LstmOptions)| {
        let mut options = options();
        edit(&mut options);
        let error = loaded(&options, directory.path()).unwrap_err();
        assert_eq!((error.pointer(), error.fault()), (pointer, Fault::Invalid), "{error}");
        assert!(error.message().contains(&format!("was begun with {begun};")), "{error}");
    };
    refused("/embedding", "5", &|o| o.embedding = 6);
    refused("/hidden", "6", &|o| o.hidden = 5);
    refused("/layers", "2", &|o| o.layers = 1);
    refused("/train/batch", "4", &|o| o.train.batch = 3);
    refused("/train/bptt", "3", &|o| o.train.bptt = 4);
    refused("/train/learning_rate", "1.0", &|o| o.train.learning_rate = Some(1.5));
    refused("/train/clip", "0.25", &|o| o.train.clip = 0.2);
    refused("/train/dropout", "0.2", &|o| o.train.dropout = 0.0);
    refused("/train/decay", "4.0", &|o| o.train.decay = 2.0);
    refused("/train/max_tokens", "null", &|o| o.train.max_tokens = Some(40));
    refused("/train/state", "\"reset\"", &|o| o.train.state = State::Carry);
}

/// A training may be made longer or shorter.
#[test]
fn other_epochs_are_not_another_training() {
    let longer = |mut options: LstmOptions| {
        options.train.epochs = 3;
        options
    };
    let request = FitRequest { pause: None, ..REQUEST };
    let mut there = moved(&paused(), &longer(options()));
    let mut whole = random(longer(options()), VOCABULARY as usize, 1);
    assert_eq!(undisturbed(&mut there, &request), undisturbed(&mut whole, &request));
    assert!(bytes(&there) == bytes(&whole));
}

/// Begun with more epochs, it would have ended at the same epoch.
#[test]
fn a_training_whose_patience_ran_out_is_not_made_longer() {
    let request = FitRequest { pause: None, ..REQUEST };
    let of = |epochs: u64, patience: u64| {
        let mut options = options();
        (options.train.epochs, options.train.patience) = (epochs, Some(patience));
        options.train.learning_rate = Some(50.0);
        options
    };
    let mut whole = random(of(10, 1), VOCABULARY as usize, 1);
    let ended = undisturbed(&mut whole, &request).len() as u64;
    assert!((2..10).contains(&ended), "{ended} epochs");

    let mut short = random(of(ended, 1), VOCABULARY as usize, 1);
    undisturbed(&mut short, &request);
    assert!(bytes(&short) == bytes(&whole));
    moved(&short, &of(ended, 1));
    moved(&short, &of(10, 2));
    let directory = tempfile::tempdir().unwrap();
    short.save_training(&Host::detached(), directory.path()).unwrap();
    let error = loaded(&of(10, 1), directory.path()).unwrap_err();
    assert_eq!((error.pointer(), error.fault()), ("/train/patience", Fault::Invalid), "{error}");
}

#[test]
fn a_file_that_is_not_whole_is_refused() {
    let directory = saved();
    let path = directory.path().join("training.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        refused(directory.path(), &["not a whole safetensors file"]);
    }
    fs::remove_file(&path).unwrap();
    refused(directory.path(), &["no such file"]);
    fs::copy(reference("lstm").join("model.safetensors"), &path).unwrap();
    refused(directory.path(), &["it holds no training"]);
}

/// A saved training with other tensors or another record.
fn broken(change: impl FnOnce(&mut Tensors, &mut String)) -> tempfile::TempDir {
    let directory = saved();
    edit(&directory.path().join("training.safetensors"), |tensors, metadata| {
        change(tensors, metadata.get_mut("training").unwrap());
    });
    directory
}

#[test]
fn broken_tensors_are_named() {
    let refused = |parts: &[&str], edit: &dyn Fn(&mut Tensors)| refused(broken(|t, _| edit(t)).path(), parts);
    refused(&["no tensor `decoder.bias`"], &|t| drop(t.remove("decoder.bias")));
    refused(&["no tensor `state.1.cell`"], &|t| drop(t.remove("state.1.cell")));
    refused(&["unexpected", "state.2.cell"], &|t| {
        let cell = t["state.1.cell"].clone();
        t.insert("state.2.cell".into(), cell);
    });
    refused(&["`state.0.hidden` has shape [6, 4]", "[4, 6]"], &|t| t.get_mut("state.0.hidden").unwrap().1 = vec![6, 4]);
    refused(&["`state.0.hidden` is of type I32"], &|t| t.get_mut("state.0.hidden").unwrap().0 = Dtype::I32);
    for name in ["decoder.weight", "state.1.hidden"] {
        let nan = f32::NAN.to_le_bytes();
        refused(&[&format!("`{name}` holds NaN at element 2")], &|t| {
            t.get_mut(name).unwrap().2[8..12].copy_from_slice(&nan);
        });
    }
}

#[test]
fn broken_records_are_refused() {
    fn edited(edit: impl Fn(&mut Value)) -> tempfile::TempDir {
        broken(|_, record| {
            let mut value: Value = serde_json::from_str(record).unwrap();
            edit(&mut value);
            *record = value.to_string();
        })
    }
    refused(broken(|_, record| record.truncate(99)).path(), &["its record does not read", "EOF"]);
    refused(broken(|_, record| *record = "3".to_owned()).path(), &["its format is null"]);
    refused(edited(|r| r["format"] = json!(1)).path(), &["its format is 1", "reads 3"]);
    refused(edited(|r| r["progress"]["epoch"] = json!(-1)).path(), &["does not read", "-1"]);
    refused(edited(|r| r["progress"]["later"] = json!(1)).path(), &["does not read", "later"]);
    for count in ["epoch", "tokens"] {
        refused(edited(|r| r["progress"][count] = json!(u64::MAX)).path(), &["a count is out of range"]);
    }
    refused(edited(|r| r["progress"]["cursor"]["windows"] = json!(u64::MAX)).path(), &["a count is out of range"]);
    refused(edited(|r| r["progress"]["learning_rate"] = json!(-1.0)).path(), &["learning rate"]);
    for size in ["vocabulary", "embedding", "hidden", "layers"] {
        refused(edited(|r| r["sizes"][size] = json!(0)).path(), &[]);
        refused(edited(|r| r["sizes"][size] = json!(u64::MAX)).path(), &[]);
        refused(edited(|r| r["sizes"][size] = json!(3)).path(), &[]);
    }
    // A cursor at the epoch's beginning has no states.
    refused(edited(|r| r["progress"]["cursor"]["windows"] = json!(0)).path(), &["unexpected", "state.0"]);
    // A cursor beyond the epoch's end is found by `fit`, which knows the text and so how long an epoch is.
    let mut model = loaded(&options(), edited(|r| r["progress"]["cursor"]["windows"] = json!(9)).path()).unwrap();
    let error = model.fit(&Host::detached(), &REQUEST).unwrap_err();
    assert!(error.message().contains("step 9 of an epoch of 4"), "{error}");
}

proptest! {
    /// Whatever bytes are changed, the file is read or refused.
    #[test]
    fn garbled_files_are_no_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let directory = saved();
        let path = directory.path().join("training.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        // In the header alone: a changed weight is only another weight.
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        for (at, byte) in changes {
            bytes[at.index(header)] = byte;
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(mut model) = loaded(&options(), directory.path()) {
            let _ = model.fit(&Host::detached(), &REQUEST);
        }
    }
}

/// Every byte, and not only those that chance comes to.
#[test]
fn no_byte_that_is_changed_and_no_end_that_is_missing_is_a_panic() {
    let directory = saved();
    let path = directory.path().join("training.safetensors");
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    // Every byte of the header, and some of the values, which are all alike.
    let places = || (0..header).chain((header..whole.len()).step_by(7));
    for length in places() {
        fs::write(&path, &whole[..length]).unwrap();
        refused(directory.path(), &["training.safetensors"]);
    }
    let (mut refused, mut read) = (0, 0);
    for at in places() {
        // In the header a neighbour, and a letter of the other case; a value may become infinite.
        for &bit in if at < header { &[1, 0x20][..] } else { &[0x80] } {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            fs::write(&path, bytes).unwrap();
            match loaded(&options(), directory.path()) {
                Ok(mut model) if at < header => {
                    let _ = model.fit(&Host::new(&Threads(1)), &REQUEST);
                    read += 1;
                }
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > header && read > 0, "{refused} refused, {read} read");
}

#[test]
fn a_model_without_weights_has_no_training() {
    let model = Lstm::create(options(), &Host::detached()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    assert!(model.save_training(&Host::detached(), directory.path()).unwrap_err().message().contains("no weights"));
    let error = paused().save_training(&Host::detached(), &directory.path().join("nowhere")).unwrap_err();
    // A place that cannot be written is the user's to mend.
    assert_eq!(error.fault(), Fault::Invalid);
    assert!(error.message().contains("nowhere"), "{error}");
}
