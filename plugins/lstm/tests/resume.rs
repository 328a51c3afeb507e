//! Training that is cut anywhere and goes on, and saved trainings that are broken.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use common::{Patience, Tensors, Trainee, bytes, edit, random, reference};
use proptest::prelude::*;
use safetensors::Dtype;
use serde_json::{Value, json};
use txray_lstm::{Cell, Lstm, LstmOptions, Optimizer, Schedule, TrainOptions};
use txray_plugin::{
    Component, Error, Fault, Host, HostServices, Level, Model, State, Text, Threads, Train, TrainReport, TrainRequest,
};

const VOCABULARY: u32 = 17;

/// The parts of a report that do not depend on the clock.
type Outcome = (u64, u64, f64, Option<f64>, bool);

fn outcome(report: &TrainReport) -> Outcome {
    (report.epoch, report.tokens, report.loss, report.valid_loss, report.done)
}

/// Trains in one go. Gives each epoch's outcome.
fn undisturbed(trainee: &mut Trainee) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    while outcomes.last().is_none_or(|&(.., done)| !done) {
        let report = trainee.step(&Host::new(&Patience::new(2, usize::MAX)), None).unwrap();
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
            epochs: 3, batch: 3, bptt, learning_rate, optimizer: Some(optimizer), schedule, patience, dropout, max_tokens, state,
            ..TrainOptions::default()
        };
        let options = LstmOptions {
            embedding: if tied { 7 } else { 5 }, hidden: 7, layers, cell, tied, train: train_options, ..LstmOptions::default()
        };
        fn view((ids, offsets): &(Vec<u32>, Vec<u64>)) -> Text<'_> {
            Text { ids, offsets }
        }
        let request = TrainRequest::language_model(view(&train), valid.as_ref().map(view), seed);
        let fresh = || Trainee::begin(random(options.clone(), VOCABULARY as usize, seed), &request).unwrap();
        let mut trainee = fresh();
        let expected = undisturbed(&mut trainee);
        let expected_bytes = bytes(&trainee.model);

        let mut trainee = fresh();
        let mut outcomes: Vec<Outcome> = Vec::new();
        // After the cuts, calls run to their end: an epoch that is always cancelled in its validation never ends.
        let mut cuts = cuts.into_iter();
        let calm = Cut { pause: false, cancel: None, threads: 2, moves: false };
        while outcomes.last().is_none_or(|&(.., done)| !done) {
            let cut = cuts.next().unwrap_or_else(|| calm.clone());
            let patience = Patience::new(cut.threads, cut.cancel.unwrap_or(usize::MAX));
            let pause = cut.pause.then_some(0.0);
            match trainee.step(&Host::new(&patience), pause) {
                Ok(report) if report.paused => prop_assert!(cut.pause && report.valid_loss.is_none()),
                Ok(report) => outcomes.push(outcome(&report)),
                Err(error) => prop_assert!(cut.cancel.is_some() && error.fault() == Fault::Cancelled, "{}", error),
            }
            if cut.moves {
                trainee = trainee.moved(&options, &request).unwrap();
            }
        }
        prop_assert_eq!(outcomes, expected);
        prop_assert!(bytes(&trainee.model) == expected_bytes);
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

fn usual() -> TrainRequest<'static> {
    TrainRequest::language_model(TEXT, Some(TEXT), 3)
}

/// One step.
fn step(trainee: &mut Trainee) -> Result<TrainReport, Error> {
    trainee.step(&Host::detached(), Some(0.0))
}

fn begun(options: LstmOptions) -> Trainee {
    Trainee::begin(random(options, VOCABULARY as usize, 1), &usual()).unwrap()
}

fn loaded(options: &LstmOptions, directory: &Path) -> Result<Trainee, Error> {
    Trainee::from(directory, options, &usual())
}

fn moved(trainee: &Trainee, options: &LstmOptions) -> Trainee {
    trainee.moved(options, &usual()).unwrap()
}

fn options() -> LstmOptions {
    let train = TrainOptions { epochs: 2, batch: 4, bptt: 3, learning_rate: Some(1.0), ..TrainOptions::default() };
    LstmOptions { embedding: 5, hidden: 6, layers: 2, train, ..LstmOptions::default() }
}

/// A training paused after its second step.
fn paused() -> Trainee {
    let mut trainee = begun(options());
    for tokens in [12, 24] {
        let report = step(&mut trainee).unwrap();
        assert_eq!((report.epoch, report.tokens, report.paused, report.done), (0, tokens, true, false));
    }
    trainee
}

#[test]
fn an_epoch_that_is_trained_but_not_validated_is_not_at_its_end() {
    let mut trainee = paused();
    let reports: Vec<TrainReport> = (0..3).map(|_| step(&mut trainee).unwrap()).collect();
    assert_eq!(reports.iter().map(|r| r.paused).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!((reports[1].tokens, reports[1].valid_loss), (44, None));
    assert_eq!((reports[2].tokens, reports[2].loss, reports[2].seconds), (44, reports[1].loss, 0.0));
    assert!(reports[2].valid_loss.is_some());
}

#[test]
fn a_pause_that_never_comes_is_none() {
    for pause in [f64::INFINITY, f64::NAN, 1e300] {
        assert!(!begun(options()).step(&Host::detached(), Some(pause)).unwrap().paused);
    }
    assert!(begun(options()).step(&Host::detached(), Some(-1.0)).unwrap().paused);
}

#[test]
fn a_training_knows_what_it_is() {
    let fresh = begun(options());
    for trainee in [&fresh, &paused()] {
        let there = moved(trainee, &options());
        assert_eq!(there.model.describe().unwrap(), trainee.model.describe().unwrap());
        assert!(bytes(&there.model) == bytes(&trainee.model));
    }
    assert_eq!(paused().model.describe().unwrap().trained_state, Some(State::Reset));
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
    let request = TrainRequest::language_model(TEXT, None, 3);
    let mut trainee = Trainee::begin(random(options(), VOCABULARY as usize, 1), &request).unwrap();
    step(&mut trainee).unwrap();
    trainee.moved(&options(), &request).unwrap().step(&Host::new(&last), None).unwrap();
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
    let mut trainee = Trainee::begin(model, &usual()).unwrap();
    step(&mut trainee).unwrap();
    let mut there = moved(&trainee, &options);
    assert_eq!(undisturbed(&mut there), undisturbed(&mut trainee));
    assert!(bytes(&there.model) == bytes(&trainee.model));
}

#[test]
fn a_training_that_diverges_stays_where_it_was() {
    for (learning_rate, what) in [(1e30, "the loss is"), (1e36, "the gradient's norm is")] {
        let mut options = options();
        options.train.learning_rate = Some(learning_rate);
        let mut trainee = begun(options.clone());
        let error = loop {
            match step(&mut trainee) {
                Ok(report) => assert!(report.paused),
                Err(error) => break error,
            }
        };
        assert_eq!(error.pointer(), "/train/learning_rate");
        assert!(error.message().contains("diverged in epoch 1, at its step "), "{error}");
        assert!(error.message().contains(what), "{error}");
        let before = bytes(&trainee.model);
        assert_eq!(step(&mut trainee).unwrap_err(), error);
        assert!(bytes(&trainee.model) == before);
        assert_eq!(step(&mut moved(&trainee, &options)).unwrap_err(), error);
    }
}

#[test]
fn another_request_is_refused() {
    let other = Text { ids: &[1; 48], ..TEXT };
    let cut = Text { offsets: &[0, 20, 30, 48], ..TEXT };
    let short = Text { ids: &IDS[..40], offsets: &[0, 40] };
    let directory = saved();
    for (request, part) in [
        (TrainRequest::language_model(TEXT, Some(TEXT), 4), "seed 3, not 4"),
        (
            TrainRequest::language_model(short, Some(TEXT), 3),
            "a training text of 48 tokens in 3 documents, not 40 tokens in 1",
        ),
        (TrainRequest::language_model(other, Some(TEXT), 3), "another training text of as many tokens"),
        (TrainRequest::language_model(cut, Some(TEXT), 3), "another training text of as many tokens"),
        (TrainRequest::language_model(TEXT, None, 3), "a validation text of 48 tokens in 3 documents, not"),
        (TrainRequest::language_model(TEXT, Some(other), 3), "another validation text"),
    ] {
        let mut model = Lstm::create(options(), &Host::detached()).unwrap();
        let error = model.begin(&Host::detached(), &request, Some(directory.path())).unwrap_err();
        assert_eq!(error.fault(), Fault::Invalid);
        assert!(error.message().contains(part), "`{part}` is not in: {error}");
        // It is as it was: the right request goes on.
        let mut session = model.begin(&Host::detached(), &usual(), Some(directory.path())).unwrap();
        assert_eq!(model.step(&Host::detached(), &mut session, Some(0.0)).unwrap().tokens, 36);
    }
}

/// A saved training, to be broken.
fn saved() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    paused().save(directory.path()).unwrap();
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
    let mut there = moved(&paused(), &longer(options()));
    let mut whole = begun(longer(options()));
    assert_eq!(undisturbed(&mut there), undisturbed(&mut whole));
    assert!(bytes(&there.model) == bytes(&whole.model));
}

/// Begun with more epochs, it would have ended at the same epoch.
#[test]
fn a_training_whose_patience_ran_out_is_not_made_longer() {
    let of = |epochs: u64, patience: u64| {
        let mut options = options();
        (options.train.epochs, options.train.patience) = (epochs, Some(patience));
        options.train.learning_rate = Some(50.0);
        options
    };
    let mut whole = begun(of(10, 1));
    let ended = undisturbed(&mut whole).len() as u64;
    assert!((2..10).contains(&ended), "{ended} epochs");

    let mut short = begun(of(ended, 1));
    undisturbed(&mut short);
    assert!(bytes(&short.model) == bytes(&whole.model));
    moved(&short, &of(ended, 1));
    moved(&short, &of(10, 2));
    let directory = tempfile::tempdir().unwrap();
    short.save(directory.path()).unwrap();
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
    refused(edited(|r| r["format"] = json!(1)).path(), &["its format is 1", "reads 5"]);
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
    // The text says how long an epoch is.
    let error = loaded(&options(), edited(|r| r["progress"]["cursor"]["windows"] = json!(9)).path()).unwrap_err();
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
        if let Ok(mut trainee) = loaded(&options(), directory.path()) {
            let _ = step(&mut trainee);
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
                Ok(mut trainee) if at < header => {
                    let _ = trainee.step(&Host::new(&Threads(1)), Some(0.0));
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
    let mut model = Lstm::create(options(), &Host::detached()).unwrap();
    assert!(model.begin(&Host::detached(), &usual(), None).unwrap_err().message().contains("no weights"));
    let directory = tempfile::tempdir().unwrap();
    let error = paused().save(&directory.path().join("nowhere")).unwrap_err();
    // A place that cannot be written is the user's to mend.
    assert_eq!(error.fault(), Fault::Invalid);
    assert!(error.message().contains("nowhere"), "{error}");
}
