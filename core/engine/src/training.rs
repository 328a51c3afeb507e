//! Training a model of a pipeline, so that a kill costs half a minute at most.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use txray_plugin::{Fault, FitReport, FitRequest, Host, Level, Model, ModelDescription, Text};

use crate::corpus::Corpus;
use crate::error::{Error, Result};
use crate::manifest::Step;
use crate::store::Entry;
use crate::tokens::{Encoded, Tokenizer, Vocabulary};

/// The directory of the last weights within a model's step.
pub const LAST: &str = "last";

/// The directory of a checkpoint within a model's step.
pub fn checkpoint(epoch: u64) -> String {
    format!("epoch-{epoch}")
}

/// The directory, within a model's step, of the state that a training of more epochs goes on from.
pub const END: &str = "training";

/// Documents that are tokenized at once.
const CHUNK: usize = 4096;

/// Seconds of training after which its state is saved: at least and at most. In between, so many that saving takes a
/// twentieth of the time.
const PAUSE: (f64, f64) = (1.0, 15.0);

/// What a model begins from.
pub enum Begin<'a> {
    /// New weights, and a vocabulary that is learned from the training text.
    New(&'a Vocabulary),
    /// The weights and the vocabulary of a directory.
    From(PathBuf),
}

/// The training of one model.
pub struct Training<'a> {
    /// The host.
    pub host: &'a Host<'a>,
    /// Seed of everything random.
    pub seed: u64,
    /// What it learns from: the splits `train` and, where there is one, `valid`.
    pub corpus: &'a dyn Corpus,
    /// The corpus's name.
    pub name: &'a str,
    /// What it begins from.
    pub begin: Begin<'a>,
    /// Epochs after which a checkpoint is kept.
    pub checkpoints: &'a [u64],
    /// Where an unfinished training is saved.
    pub saved: &'a Path,
    /// A finished training of fewer epochs that is the beginning of this one.
    pub shorter: Option<Entry>,
}

/// What the engine keeps beside a model's own training state.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Optimizer seconds of all runs.
    seconds: f64,
}

impl Training<'_> {
    /// Trains to the end. Weights go to [`LAST`] and to [`checkpoint`]s in `directory`.
    pub fn run(self, model: &mut dyn Model, directory: &Path, mut step: Step) -> Result<Step> {
        let start = Instant::now();
        let tokenizer = match &self.begin {
            Begin::New(vocabulary) => {
                let documents = self.corpus.documents("train").map_err(|error| Error::User(error.to_string()))?;
                Tokenizer::learn(documents, vocabulary).map_err(|error| Error::User(error.to_string()))?
            }
            Begin::From(path) => tokenizer_of(path)?,
        };
        let train = self.encode(&tokenizer, "train")?;
        let has_valid = self.corpus.splits().iter().any(|split| split == "valid");
        let valid = has_valid.then(|| self.encode(&tokenizer, "valid")).transpose()?;
        let tokenize_seconds = start.elapsed().as_secs_f64();

        let mut saved = Saved::open(self.saved)?;
        let mut kept = Kept::default();
        let resumed = self.resume(model, &saved, &mut kept)?;
        if !resumed && !self.go_on(model, &saved, &mut kept)? {
            match &self.begin {
                Begin::New(_) => model.initialize(self.host, tokenizer.size(), self.seed)?,
                Begin::From(path) => {
                    load(model, path, self.host)?;
                }
            }
        }
        let report = loop {
            let request = FitRequest {
                train: view(&train),
                valid: valid.as_ref().map(view),
                seed: self.seed,
                pause: Some(saved.pause()),
            };
            let began = Instant::now();
            let report = match model.fit(self.host, &request) {
                Err(error) if error.fault() == Fault::Cancelled => {
                    kept.seconds += began.elapsed().as_secs_f64();
                    saved.save(model, &kept, self.host)?;
                    self.host.log(Level::Information, "the training is saved: the next run goes on from here");
                    return Err(Error::Cancelled);
                }
                report => report?,
            };
            kept.seconds += report.seconds;
            if !report.paused {
                self.tell(&report);
                if self.checkpoints.contains(&report.epoch) {
                    saved.keep(&checkpoint(report.epoch), |directory| self.save(model, &tokenizer, directory))?;
                }
            }
            if report.done {
                break report;
            }
            if report.paused || saved.last.elapsed().as_secs_f64() > saved.pause() {
                // Training can do without, a full disk may have room again in a minute.
                if let Err(error) = saved.save(model, &kept, self.host) {
                    self.host.log(Level::Warning, &format!("the training cannot be saved, and goes on: {error}"));
                }
            }
        };
        for epoch in self.checkpoints {
            let name = checkpoint(*epoch);
            let from = self.saved.join(&name);
            let to = directory.join(&name);
            // Copied and not moved: until the step is in the store, a kill must find them here.
            crate::run::copy_all(&from, &to).map_err(|error| Error::io("keep the checkpoint", &from, &error))?;
        }
        let last = directory.join(LAST);
        fs::create_dir_all(&last).map_err(|error| Error::io("write", &last, &error))?;
        self.save(model, &tokenizer, &last)?;
        let end = directory.join(END);
        fs::create_dir_all(&end).map_err(|error| Error::io("write", &end, &error))?;
        if let Err(error) = model.save_training(self.host, &end) {
            self.host.log(Level::Warning, &format!("a training of more epochs will begin anew: {error}"));
            fs::remove_dir_all(&end).map_err(|error| Error::io("remove", &end, &error))?;
        }
        step.seconds = kept.seconds;
        step.tokens = Some(report.tokens);
        step = step.with("tokenize_seconds", tokenize_seconds).with("vocabulary", tokenizer.size());
        step = step.with("epochs", report.epoch).with("train_loss", report.loss);
        if let Some(loss) = report.valid_loss {
            step = step.with("valid_perplexity", loss.exp());
        }
        Ok(step)
    }

    fn tell(&self, report: &FitReport) {
        let valid = report.valid_loss.map(|loss| format!(", validation perplexity {:.2}", loss.exp()));
        let message = format!("epoch {}: training loss {:.4}{}", report.epoch, report.loss, valid.unwrap_or_default());
        self.host.log(Level::Information, &message);
    }

    /// Goes on from what an earlier run saved, if it can be used.
    fn resume(&self, model: &mut dyn Model, saved: &Saved, kept: &mut Kept) -> Result<bool> {
        let Some(state) = saved.state() else { return Ok(false) };
        let read = || -> Result<Kept> {
            let path = state.join("kept.json");
            let json = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
            serde_json::from_slice(&json).map_err(|error| Error::User(format!("{}: {error}", path.display())))
        };
        match read().and_then(|kept| Ok(model.load_training(self.host, &state).map(|()| kept)?)) {
            Ok(found) => {
                *kept = found;
                self.host.log(Level::Information, "going on from where an earlier run was stopped");
                Ok(true)
            }
            Err(Error::Cancelled) => Err(Error::Cancelled),
            Err(error) => {
                let message = format!("the saved training cannot be used, and begins anew: {error}");
                self.host.log(Level::Warning, &message);
                Ok(false)
            }
        }
    }

    /// Goes on from where a finished training of fewer epochs ended, if there is one and the model can.
    fn go_on(&self, model: &mut dyn Model, saved: &Saved, kept: &mut Kept) -> Result<bool> {
        let Some(shorter) = &self.shorter else { return Ok(false) };
        match model.load_training(self.host, &shorter.directory.join(END)) {
            Ok(()) => {}
            Err(error) if error.fault() == Fault::Cancelled => return Err(Error::Cancelled),
            Err(error) => {
                let message = format!("a training of fewer epochs is there, but this one begins anew: {error}");
                self.host.log(Level::Information, &message);
                return Ok(false);
            }
        }
        for name in self.checkpoints.iter().map(|epoch| checkpoint(*epoch)) {
            let from = shorter.directory.join(&name);
            if from.exists() {
                let copy = |to: &Path| {
                    crate::run::copy_all(&from, to).map_err(|error| Error::io("keep the checkpoint", &from, &error))
                };
                saved.keep(&name, copy)?;
            }
        }
        kept.seconds = shorter.record.step.seconds;
        let message = format!("going on from the end of a training of fewer epochs, {}", shorter.key.as_str());
        self.host.log(Level::Information, &message);
        Ok(true)
    }

    fn save(&self, model: &dyn Model, tokenizer: &Tokenizer, directory: &Path) -> Result<()> {
        model.save(self.host, directory)?;
        tokenizer.save(directory).map_err(|error| Error::User(error.to_string()))
    }

    /// All ids of a split.
    fn encode(&self, tokenizer: &Tokenizer, split: &str) -> Result<Encoded> {
        let mut all = Encoded { offsets: vec![0], ..Encoded::default() };
        let mut documents = self.corpus.documents(split).map_err(|error| Error::User(error.to_string()))?;
        loop {
            let chunk: std::result::Result<Vec<_>, _> = documents.by_ref().take(CHUNK).collect();
            let chunk = chunk.map_err(|error| Error::User(error.to_string()))?;
            if chunk.is_empty() {
                break;
            }
            let encoded = tokenizer.encode(&chunk).map_err(|error| Error::User(error.to_string()))?;
            let before = all.ids.len() as u64;
            all.ids.extend_from_slice(&encoded.ids);
            all.offsets.extend(encoded.offsets.iter().skip(1).map(|offset| before + offset));
            all.unknown += encoded.unknown;
            all.special += encoded.special;
        }
        if all.is_all_unknown() {
            return Err(unknown_text(&format!("{}.{split}", self.name)));
        }
        Ok(all)
    }
}

/// The place in the store where an unfinished training is saved: its checkpoints, and its state under a rising number,
/// so that there is a whole one at any moment.
struct Saved<'a> {
    directory: &'a Path,
    number: u64,
    /// When it was last saved, and how long that took.
    last: Instant,
    cost: Duration,
}

impl<'a> Saved<'a> {
    fn open(directory: &'a Path) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|error| Error::io("write", directory, &error))?;
        let mut saved = Self { directory, number: 0, last: Instant::now(), cost: Duration::ZERO };
        saved.number = saved.numbers().into_iter().max().unwrap_or(0);
        Ok(saved)
    }

    fn numbers(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("state-")?.parse().ok()).collect()
    }

    fn state(&self) -> Option<PathBuf> {
        (self.number > 0).then(|| self.directory.join(format!("state-{}", self.number)))
    }

    /// Puts a directory in its place whole: written aside, flushed, renamed.
    fn keep(&self, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let (aside, target) = (self.directory.join("aside"), self.directory.join(name));
        let failed = |error: io::Error| Error::io("write", &target, &error);
        let empty = |path: &Path| if path.exists() { fs::remove_dir_all(path) } else { Ok(()) };
        empty(&aside).and_then(|()| fs::create_dir(&aside)).map_err(failed)?;
        write(&aside)?;
        let finish = || {
            for entry in fs::read_dir(&aside)? {
                File::open(entry?.path())?.sync_all()?;
            }
            empty(&target)?;
            fs::rename(&aside, &target)?;
            File::open(self.directory)?.sync_all()
        };
        finish().map_err(failed)
    }

    /// Seconds to train before it is saved again.
    fn pause(&self) -> f64 {
        (20.0 * self.cost.as_secs_f64()).clamp(PAUSE.0, PAUSE.1)
    }

    fn save(&mut self, model: &dyn Model, kept: &Kept, host: &Host<'_>) -> Result<()> {
        let start = Instant::now();
        self.keep(&format!("state-{}", self.number + 1), |directory| {
            model.save_training(host, directory)?;
            let path = directory.join("kept.json");
            let json = serde_json::to_vec(kept).map_err(|error| Error::Internal(error.to_string()))?;
            fs::write(&path, json).map_err(|error| Error::io("write", &path, &error))
        })?;
        self.number += 1;
        self.last = Instant::now();
        self.cost = start.elapsed();
        for number in self.numbers().into_iter().filter(|number| *number < self.number) {
            // An older state that stays is of no harm: the highest number counts.
            let _ = fs::remove_dir_all(self.directory.join(format!("state-{number}")));
        }
        Ok(())
    }
}

fn tokenizer_of(directory: &Path) -> Result<Tokenizer> {
    Tokenizer::load(directory).map_err(|error| Error::User(error.to_string()))
}

/// Loads weights, and the tokenizer beside them, which has to be theirs.
pub fn load(model: &mut dyn Model, directory: &Path, host: &Host<'_>) -> Result<(Tokenizer, ModelDescription)> {
    model.load(host, directory)?;
    let tokenizer = tokenizer_of(directory)?;
    let description = model.describe()?;
    if tokenizer.size() != description.vocabulary {
        return Err(Error::User(format!(
            "{}: the vocabulary has {} entries, but the model beside it was made for {}; it needs the tokenizer it was \
             trained with",
            directory.join("tokenizer.json").display(),
            tokenizer.size(),
            description.vocabulary
        )));
    }
    Ok((tokenizer, description))
}

/// A text that a model can say nothing of.
pub fn unknown_text(text: &str) -> Error {
    Error::User(format!(
        "the model's vocabulary knows no word of `{text}`: it was trained on another language, or with another tokenizer"
    ))
}

fn view(encoded: &Encoded) -> Text<'_> {
    Text { ids: &encoded.ids, offsets: &encoded.offsets }
}
