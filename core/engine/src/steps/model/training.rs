//! Training a model of a pipeline, so that a kill costs half a minute at most.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use txray_plugin::{Fault, FitReport, FitRequest, Host, Level, Model, ModelDescription, Text};

use txray_text::{Disk, Encoded, Tokenizer, Vocabulary};

use crate::error::{Error, Result};
use crate::step::{Made, Step};
use crate::steps::corpus::Text as Split;
use crate::store::{Entry, copy_all};

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
    /// What it learns from.
    pub train: &'a Split,
    /// What it is validated on after each epoch.
    pub valid: Option<&'a Split>,
    /// What it begins from.
    pub begin: Begin<'a>,
    /// Epochs after which a checkpoint is kept.
    pub checkpoints: &'a [u64],
    /// Where an unfinished training is saved.
    pub saved: &'a Path,
    /// A finished training of fewer epochs that is the beginning of this one.
    pub shorter: Option<Entry>,
}

/// What a training tells.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ModelFigures {
    /// Seconds of learning the vocabulary and tokenizing.
    pub tokenize_seconds: f64,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Epochs that were run.
    pub epochs: u64,
    /// Mean loss of the last, nats a token; none where it was no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Perplexity on the validation text, where there is one and it is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_perplexity: Option<f64>,
}

/// What the engine keeps beside a model's own training state.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Optimizer seconds of all runs.
    seconds: f64,
}

impl Training<'_> {
    /// Trains to the end. Weights go to [`LAST`] and to [`checkpoint`]s in `directory`.
    pub fn run(self, step: &dyn Step, model: &mut dyn Model, directory: &Path) -> Result<Made> {
        let start = Instant::now();
        let tokenizer = match &self.begin {
            Begin::New(vocabulary) => Tokenizer::learn(self.train.documents()?, vocabulary)?,
            Begin::From(path) => Tokenizer::load(path, &Disk)?,
        };
        let train = encode(&tokenizer, self.train)?;
        let valid = self.valid.map(|valid| encode(&tokenizer, valid)).transpose()?;
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
            copy_all(&from, &to).map_err(|error| Error::disk("keep the checkpoint", &from, error))?;
        }
        let last = directory.join(LAST);
        fs::create_dir_all(&last).map_err(|error| Error::disk("write", &last, error))?;
        self.save(model, &tokenizer, &last)?;
        let end = directory.join(END);
        fs::create_dir_all(&end).map_err(|error| Error::disk("write", &end, error))?;
        if let Err(error) = model.save_training(self.host, &end) {
            self.host.log(Level::Warning, &format!("a training of more epochs will begin anew: {error}"));
            fs::remove_dir_all(&end).map_err(|error| Error::disk("remove", &end, error))?;
        }
        let figures = ModelFigures {
            tokenize_seconds,
            vocabulary: tokenizer.size(),
            epochs: report.epoch,
            train_loss: Some(report.loss).filter(|loss| loss.is_finite()),
            valid_perplexity: report.valid_loss.map(f64::exp).filter(|perplexity| perplexity.is_finite()),
        };
        Ok(Made::with(step, &figures)?.seconds(kept.seconds).tokens(report.tokens))
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
            let json = fs::read(&path).map_err(|error| Error::disk("read", &path, error))?;
            serde_json::from_slice(&json).map_err(|source| Error::Unfinished { path, source })
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
                let copy =
                    |to: &Path| copy_all(&from, to).map_err(|error| Error::disk("keep the checkpoint", &from, error));
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
        Ok(tokenizer.save(directory)?)
    }
}

/// All ids of a text.
fn encode(tokenizer: &Tokenizer, text: &Split) -> Result<Encoded> {
    let mut all = Encoded { offsets: vec![0], ..Encoded::default() };
    let mut documents = text.documents()?;
    loop {
        let chunk = documents.by_ref().take(CHUNK).collect::<std::result::Result<Vec<_>, _>>()?;
        if chunk.is_empty() {
            break;
        }
        let encoded = tokenizer.encode(&chunk)?;
        let before = all.ids.len() as u64;
        all.ids.extend_from_slice(&encoded.ids);
        all.offsets.extend(encoded.offsets.iter().skip(1).map(|offset| before + offset));
        all.unknown += encoded.unknown;
        all.special += encoded.special;
    }
    if all.is_all_unknown() {
        return Err(Error::UnknownText { text: text.name() });
    }
    Ok(all)
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
        fs::create_dir_all(directory).map_err(|error| Error::disk("write", directory, error))?;
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
        let failed = |error: io::Error| Error::disk("write", &target, error);
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
            let json = serde_json::to_vec(kept).map_err(|source| Error::Unfinished { path: path.clone(), source })?;
            fs::write(&path, json).map_err(|error| Error::disk("write", &path, error))
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

/// Loads weights, and the tokenizer beside them, which has to be theirs.
pub fn load(model: &mut dyn Model, directory: &Path, host: &Host<'_>) -> Result<(Tokenizer, ModelDescription)> {
    model.load(host, directory)?;
    let tokenizer = Tokenizer::load(directory, &Disk)?;
    let description = model.describe()?;
    if tokenizer.size() != description.vocabulary {
        return Err(Error::Vocabulary {
            path: directory.join("tokenizer.json"),
            found: tokenizer.size(),
            expected: description.vocabulary,
        });
    }
    Ok((tokenizer, description))
}

fn view(encoded: &Encoded) -> Text<'_> {
    Text { ids: &encoded.ids, offsets: &encoded.offsets }
}
