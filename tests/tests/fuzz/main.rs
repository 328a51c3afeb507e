//! Input that nobody meant: for each of the doors through which files and words of users and plugins come in, seeds are
//! damaged at random, and what comes of them is held to be a result or an error that the user can mend. Nothing panics,
//! nothing goes on for ever, nothing takes memory that its input is not worth.
//!
//! Inputs are made by number, the same ones each time. Each target gets 500, or `TXRAY_FUZZ` of them, or those of
//! `TXRAY_FUZZ_SECONDS`. Each input lies in the file `last` of its target while it is looked at, so that it is there even
//! if it takes the process down; those that fail are kept, and `TXRAY_FUZZ_REPLAY=FILE` looks at one again.

#![allow(clippy::unwrap_used)]

mod boundary;
mod config;
mod corpora;
mod manifest;
mod model;
mod mutate;
mod observations;
mod tables;
mod tokenizer;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use mutate::Mutator;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// How long one input may take. Nearly all take less than a millisecond.
const LONG: Duration = Duration::from_secs(5);
/// What the process may hold at once, in bytes: an input has some kilobytes.
const LARGE: usize = 1 << 30;
/// Kinds of failures after which a target is left.
const MANY: usize = 20;

/// What became of an input that was no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It was taken.
    Read,
    /// It was refused by an error.
    Refused,
}

impl<T, E> From<&Result<T, E>> for Outcome {
    fn from(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Read } else { Self::Refused }
    }
}

/// How many inputs a target gets.
enum Budget {
    Inputs(u64),
    Time(Duration),
}

impl Budget {
    fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        match (number("TXRAY_FUZZ"), number("TXRAY_FUZZ_SECONDS")) {
            (Some(inputs), _) => Self::Inputs(inputs),
            (None, Some(seconds)) => Self::Time(Duration::from_secs(seconds)),
            (None, None) => Self::Inputs(500),
        }
    }

    fn is_spent(&self, inputs: u64, start: Instant) -> bool {
        match *self {
            Self::Inputs(most) => inputs >= most,
            Self::Time(most) => start.elapsed() >= most,
        }
    }
}

/// The seeds of a target that lie in the repository.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = txray_tests::path("seeds").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Writes a file anew. One that is there is removed first: some file systems flush what is written over another, which takes
/// longer than anything else here.
fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// Makes an empty folder, for the same reason.
fn empty(path: &Path) {
    let _ = fs::remove_dir_all(path);
    fs::create_dir(path).unwrap();
}

/// Looks at inputs of one target by `check`, which panics where one is a failure; it is told which seed the input comes from.
/// Failures of one kind are told once, with an input.
fn fuzz(
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    words: &[&str],
    check: impl FnMut(&[u8], usize) -> Outcome + Send + 'static,
) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(name);
    fs::create_dir_all(&folder).unwrap();
    let last = folder.join("last");
    let mutator = Mutator::new(name, seeds, words);
    let replay = std::env::var_os("TXRAY_FUZZ_REPLAY").map(|file| fs::read(file).unwrap());
    let is_replay = replay.is_some();
    let (sender, done) = mpsc::channel();
    let worker = {
        let (folder, last) = (folder.clone(), last.clone());
        std::thread::spawn(move || work(&mutator, replay, check, &folder, &last, &sender))
    };
    loop {
        match done.recv_timeout(LONG) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => {
                let kept = folder.join("takes-too-long");
                fs::copy(&last, &kept).unwrap();
                panic!("an input takes longer than {LONG:?}:\n{}", how_to_replay(name, &kept));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let Worked { inputs, took, outcomes, failures } = worker.join().unwrap();
    println!("{name}: {inputs} inputs in {:.1} s: {outcomes:?}", took.as_secs_f64());
    let told: Vec<String> = failures
        .iter()
        .map(|(_, Failure { message, file, times })| format!("{times} times: {message}\n{}", how_to_replay(name, file)))
        .collect();
    assert!(told.is_empty(), "{} kinds of failures in {inputs} inputs\n{}", told.len(), told.join("\n"));
    assert!(is_replay || outcomes.contains_key(&Outcome::Read), "nothing was read: {name} looks at nothing");
}

fn how_to_replay(name: &str, file: &Path) -> String {
    format!("    TXRAY_FUZZ_REPLAY={} cargo test -p txray-tests --test fuzz {name}", file.display())
}

struct Worked {
    inputs: u64,
    took: Duration,
    outcomes: BTreeMap<Outcome, u64>,
    failures: BTreeMap<String, Failure>,
}

struct Failure {
    message: String,
    /// The first input that failed so.
    file: PathBuf,
    times: u64,
}

fn work(
    mutator: &Mutator,
    replay: Option<Vec<u8>>,
    mut check: impl FnMut(&[u8], usize) -> Outcome,
    folder: &Path,
    last: &Path,
    sender: &mpsc::Sender<()>,
) -> Worked {
    let (budget, start) = (Budget::from_environment(), Instant::now());
    let (mut outcomes, mut failures) = (BTreeMap::new(), BTreeMap::<String, Failure>::new());
    let mut inputs = 0;
    let mut look = |index: u64, input: &[u8], outcomes: &mut BTreeMap<Outcome, u64>| {
        put(last, input);
        sender.send(()).unwrap();
        let message = match catch_unwind(AssertUnwindSafe(|| check(input, (index % mutator.seeds()) as usize))) {
            // Of targets that run at the same time, it may be another's: the replay tells.
            Ok(_) if ALLOCATOR.peak_usage() > LARGE => {
                let held = ALLOCATOR.peak_usage() >> 20;
                ALLOCATOR.reset_peak_usage();
                format!("{held} MiB were held")
            }
            Ok(outcome) => {
                *outcomes.entry(outcome).or_default() += 1;
                return true;
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
            }
        };
        let kind = message.chars().take(100).filter(|c| !c.is_ascii_digit()).collect();
        let file = folder.join(format!("failed-{index}"));
        let failure = failures.entry(kind).or_insert_with(|| {
            fs::write(&file, input).unwrap();
            Failure { message, file, times: 0 }
        });
        failure.times += 1;
        failures.len() < MANY
    };
    match replay {
        Some(input) => {
            // Which seed it comes from, it does not say.
            inputs = mutator.seeds();
            for seed in 0..inputs {
                look(seed, &input, &mut outcomes);
            }
        }
        None => {
            while !budget.is_spent(inputs, start) {
                inputs += 1;
                if !look(inputs - 1, &mutator.input(inputs - 1), &mut outcomes) {
                    break;
                }
            }
        }
    }
    Worked { inputs, took: start.elapsed(), outcomes, failures }
}
