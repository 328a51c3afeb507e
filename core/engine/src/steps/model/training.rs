//! Training a model of a pipeline, so that a kill costs half a minute at most.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use txray_plugin::{Fault, Host, Level, Model, ModelDescription, Opaque, Train, TrainReport, TrainRequest};
use txray_tables::{Folder, TableError};
use txray_text::{Files, Labels, Tokenizer, Vocabulary};

use super::task::{Lesson, Read};
use super::vocabulary::Extension;
use crate::error::{Error, Result};
use crate::files::copy;
use crate::kept::Kept;
use crate::step::{Made, Making, Step};
use crate::store::Entry;

/// The directory of the last weights within a model's step.
pub const LAST: &str = "last";

/// The directory of a checkpoint within a model's step.
pub fn checkpoint(epoch: u64) -> String {
    format!("epoch-{epoch}")
}

/// The directory, within a model's step, of the state that a training of more epochs goes on from.
pub const END: &str = "training";

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
    /// What it is made with.
    pub making: &'a Making<'a>,
    /// What it learns.
    pub lesson: &'a Lesson,
    /// Seed of everything random.
    pub seed: u64,
    /// What it begins from.
    pub begin: Begin<'a>,
    /// The words that its vocabulary is extended by.
    pub extension: Option<&'a Extension>,
    /// Epochs after which a checkpoint is kept.
    pub checkpoints: &'a [u64],
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
    /// The labels that it tells apart, of a classifier or a tagger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<usize>,
    /// Mean loss of the last, nats a token, or a label; none where it was no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Of a classifier or a tagger the mean loss of what it is validated on, nats a label, where there is that and it is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// Of a language model the perplexity on the validation text, where there is one and it is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_perplexity: Option<f64>,
}

/// What the engine keeps beside a model's own training state.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// Optimizer seconds of all runs.
    seconds: f64,
    /// Epochs whose checkpoints were kept before it.
    kept: Vec<u64>,
}

/// The file of it.
const PROGRESS: &str = "progress.json";

/// What the name of a saved state begins with, before its number.
const STATE: &str = "state-";

impl Training<'_> {
    /// Trains to the end. Weights go to [`LAST`] and to [`checkpoint`]s in the step's directory.
    pub fn run(self, step: &dyn Step, model: &mut dyn Model) -> Result<Made> {
        let (host, directory) = (self.making.host, self.making.directory);
        let start = Instant::now();
        let (mut tokenizer, begun) = match &self.begin {
            Begin::New(vocabulary) => (Tokenizer::learn(self.lesson.train.documents(self.making)?, vocabulary)?, None),
            Begin::From(path) => (Tokenizer::load(path, self.making.inputs)?, Labels::load(path, self.making.inputs)?),
        };
        if let (Some(extension), Begin::From(path)) = (self.extension, &self.begin) {
            let rows = load(model, path, host, self.making.inputs)?.1.vocabulary;
            tokenizer = extension.tokenizer(self.making, &step.table(), &tokenizer, rows)?;
        }
        let material = self.lesson.read(self.making, &step.table(), &tokenizer, begun)?;
        let kept = Beside { tokenizer, labels: material.labels.clone() };
        let tokenize_seconds = start.elapsed().as_secs_f64();

        let mut saved = Saved::open(&self.making.unfinished)?;
        let (mut session, mut progress) = {
            let request = TrainRequest {
                task: self.lesson.kind.task(),
                classes: material.labels.as_ref().map_or(0, |labels| labels.names().len()),
                train: material.train.examples(),
                valid: material.valid.as_ref().map(Read::examples),
                seed: self.seed,
            };
            let begun = match self.resume(model, &request, &saved)? {
                None => self.go_on(model, &request, &mut saved)?,
                resumed => resumed,
            };
            match begun {
                Some(begun) => begun,
                None => {
                    match &self.begin {
                        Begin::New(_) => model.initialize(host, kept.tokenizer.size(), self.seed)?,
                        Begin::From(path) => drop(load(model, path, host, self.making.inputs)?),
                    }
                    if self.extension.is_some() {
                        Extension::grow(model, self.making, &kept.tokenizer)?;
                    }
                    let session = trained(model)?.begin(host, &request, None)?;
                    // Only now: what fails for another reason than the saved training must not cost it.
                    saved.clear();
                    (session, Progress::default())
                }
            }
        };
        // The session has what it needs of them.
        drop(material);
        let report = loop {
            let began = Instant::now();
            let report = match trained(model)?.step(host, &mut session, Some(saved.pause())) {
                Err(error) if error.fault() == Fault::Cancelled => {
                    progress.seconds += began.elapsed().as_secs_f64();
                    saved.save(model, &session, &progress, host)?;
                    host.log(Level::Information, "the training is saved: the next run goes on from here");
                    return Err(Error::Cancelled);
                }
                Err(error) => {
                    self.tell_kept(&saved, &progress);
                    return Err(error.into());
                }
                Ok(report) => report,
            };
            progress.seconds += report.seconds;
            if !report.paused {
                self.tell(&report);
                if self.checkpoints.contains(&report.epoch) {
                    saved.kept.put(&checkpoint(report.epoch), |directory| kept.save(model, host, directory))?;
                    progress.kept.push(report.epoch);
                }
            }
            if report.done {
                break report;
            }
            if report.paused || saved.last.elapsed().as_secs_f64() > saved.pause() {
                // Training can do without, a full disk may have room again in a minute.
                if let Err(error) = saved.save(model, &session, &progress, host) {
                    host.log(Level::Warning, &format!("the training cannot be saved, and goes on: {error}"));
                }
            }
        };
        for epoch in self.checkpoints {
            if *epoch > report.epoch {
                let message =
                    format!("there is no checkpoint of epoch {epoch}: training stopped after {}", report.epoch);
                host.log(Level::Warning, &message);
                continue;
            }
            let name = checkpoint(*epoch);
            // Copied and not moved: until the step is in the store, a kill must find them here.
            saved.kept.copy(&name, &directory.join(&name), host)?;
        }
        let last = directory.join(LAST);
        fs::create_dir_all(&last).map_err(|error| Error::disk("write", &last, error))?;
        kept.save(model, host, &last)?;
        let end = directory.join(END);
        fs::create_dir_all(&end).map_err(|error| Error::disk("write", &end, error))?;
        if let Err(error) = trained(model)?.save_session(host, &session, &end) {
            host.log(Level::Warning, &format!("a training of more epochs will begin anew: {error}"));
            fs::remove_dir_all(&end).map_err(|error| Error::disk("remove", &end, error))?;
        }
        let has_labels = self.lesson.kind.has_labels();
        let valid_loss = report.valid_loss.filter(|loss| loss.is_finite());
        let figures = ModelFigures {
            tokenize_seconds,
            vocabulary: kept.tokenizer.size(),
            epochs: report.epoch,
            labels: kept.labels.as_ref().map(|labels| labels.names().len()),
            train_loss: Some(report.loss).filter(|loss| loss.is_finite()),
            valid_loss: valid_loss.filter(|_| has_labels),
            valid_perplexity: valid_loss
                .filter(|_| !has_labels)
                .map(f64::exp)
                .filter(|perplexity| perplexity.is_finite()),
        };
        Ok(Made::with(step, &figures)?.seconds(progress.seconds).tokens(report.tokens))
    }

    /// Where the last checkpoint is of a training that failed: what it learned until then is not lost.
    fn tell_kept(&self, saved: &Saved<'_>, progress: &Progress) {
        if let Some(&epoch) = progress.kept.last() {
            let path = saved.kept.path(&checkpoint(epoch));
            let message = format!("the model as it was after epoch {epoch} is kept in {}", path.display());
            self.making.host.log(Level::Warning, &message);
        }
    }

    fn tell(&self, report: &TrainReport) {
        let valid = report.valid_loss.map(|loss| match self.lesson.kind.has_labels() {
            true => format!(", validation loss {loss:.4}"),
            false => format!(", validation perplexity {:.2}", loss.exp()),
        });
        let message = format!("epoch {}: training loss {:.4}{}", report.epoch, report.loss, valid.unwrap_or_default());
        self.making.host.log(Level::Information, &message);
    }

    /// Goes on from what an earlier run saved, if there is anything and it is as it was saved.
    fn resume(
        &self,
        model: &mut dyn Model,
        request: &TrainRequest<'_>,
        saved: &Saved<'_>,
    ) -> Result<Option<(Opaque, Progress)>> {
        let host = self.making.host;
        let Some(state) = saved.state() else { return Ok(None) };
        match self.read(model, request, saved, &state) {
            Ok(begun) => {
                host.log(Level::Information, "going on from where an earlier run was stopped");
                return Ok(Some(begun));
            }
            // A disk or a device that is busy now may not be so the next time: hours of training are not given up for it.
            Err(error) if !is_damage(&error) => return Err(error),
            Err(error) => {
                let message = format!("the saved training cannot be used, and begins anew: {error}");
                host.log(Level::Warning, &message);
            }
        }
        Ok(None)
    }

    fn read(
        &self,
        model: &mut dyn Model,
        request: &TrainRequest<'_>,
        saved: &Saved<'_>,
        state: &str,
    ) -> Result<(Opaque, Progress)> {
        let whole = |name: &str| match saved.kept.is_whole(name, self.making.host)? {
            true => Ok(saved.kept.path(name)),
            false => Err(Error::Damaged { path: saved.kept.path(name) }),
        };
        let state = whole(state)?;
        let progress: Progress = Folder(&state).read_json(PROGRESS)?;
        progress.kept.iter().try_for_each(|epoch| whole(&checkpoint(*epoch)).map(drop))?;
        Ok((trained(model)?.begin(self.making.host, request, Some(&state))?, progress))
    }

    /// Goes on from where a finished training of fewer epochs ended, if there is one and the model can.
    fn go_on(
        &self,
        model: &mut dyn Model,
        request: &TrainRequest<'_>,
        saved: &mut Saved<'_>,
    ) -> Result<Option<(Opaque, Progress)>> {
        let host = self.making.host;
        let Some(shorter) = &self.shorter else { return Ok(None) };
        let session = match trained(model)?.begin(host, request, Some(&shorter.directory.join(END))) {
            Ok(session) => session,
            Err(error) if error.fault() == Fault::Cancelled => return Err(Error::Cancelled),
            Err(error) => {
                let message = format!("a training of fewer epochs is there, but this one begins anew: {error}");
                host.log(Level::Information, &message);
                return Ok(None);
            }
        };
        saved.clear();
        let mut progress = Progress { seconds: shorter.record.step.seconds, kept: Vec::new() };
        for &epoch in self.checkpoints {
            let name = checkpoint(epoch);
            if shorter.has(&name) {
                saved.kept.put(&name, |directory| {
                    let files = shorter.files(&name);
                    for (rest, from, told) in files {
                        let to = directory.join(rest);
                        let copied = copy(&from, &to, host);
                        if copied.map_err(|error| Error::disk("keep the checkpoint", &to, error))? != *told {
                            return Err(Error::Damaged { path: from });
                        }
                    }
                    Ok(())
                })?;
                progress.kept.push(epoch);
            }
        }
        let message = format!("going on from the end of a training of fewer epochs, {}", shorter.key.as_str());
        host.log(Level::Information, &message);
        Ok(Some((session, progress)))
    }
}

/// What lies beside the weights of a model.
pub struct Beside {
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What its labels are called, where it tells labels.
    pub labels: Option<Labels>,
}

impl Beside {
    /// Writes a model and what lies beside its weights into a directory that is there.
    pub fn save(&self, model: &dyn Model, host: &Host<'_>, directory: &Path) -> Result<()> {
        model.save(host, directory)?;
        self.tokenizer.save(directory)?;
        Ok(self.labels.as_ref().map_or(Ok(()), |labels| labels.save(directory))?)
    }
}

/// The model as one that is trained, which `check` has asked for.
fn trained(model: &mut dyn Model) -> Result<&mut dyn Train> {
    model.as_train_mut().ok_or_else(|| txray_plugin::Error::failed("it can no longer be trained").into())
}

/// Whether what was saved is at fault, and not the disk or the device that it is read with.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Damaged { .. } => true,
        Error::Table(error) => matches!(error, TableError::Malformed { .. }),
        Error::Plugin(error) => error.fault() == Fault::Invalid,
        _ => false,
    }
}

/// The place in the store where an unfinished training is saved: its checkpoints, and its state under a rising number,
/// so that there is a whole one at any moment.
struct Saved<'a> {
    kept: Kept<'a>,
    number: u64,
    /// When it was last saved, and how long that took.
    last: Instant,
    cost: Duration,
}

impl<'a> Saved<'a> {
    fn open(directory: &'a Path) -> Result<Self> {
        let mut saved = Self { kept: Kept::open(directory)?, number: 0, last: Instant::now(), cost: Duration::ZERO };
        saved.number = saved.numbers().into_iter().max().unwrap_or(0);
        Ok(saved)
    }

    fn numbers(&self) -> Vec<u64> {
        self.kept.names().iter().filter_map(|name| name.strip_prefix(STATE)?.parse().ok()).collect()
    }

    /// The name of the last state; none: nothing was saved.
    fn state(&self) -> Option<String> {
        (self.number > 0).then(|| format!("{STATE}{}", self.number))
    }

    /// Seconds to train before it is saved again.
    fn pause(&self) -> f64 {
        (20.0 * self.cost.as_secs_f64()).clamp(PAUSE.0, PAUSE.1)
    }

    fn save(&mut self, model: &mut dyn Model, session: &Opaque, progress: &Progress, host: &Host<'_>) -> Result<()> {
        let start = Instant::now();
        self.kept.put(&format!("{STATE}{}", self.number + 1), |directory| {
            trained(model)?.save_session(host, session, directory)?;
            Ok(Folder(directory).write_json(PROGRESS, progress)?)
        })?;
        self.number += 1;
        self.last = Instant::now();
        self.cost = start.elapsed();
        for number in self.numbers().into_iter().filter(|number| *number < self.number) {
            self.kept.remove(&format!("{STATE}{number}"));
        }
        Ok(())
    }

    /// Forgets all of it: the training begins anew.
    fn clear(&mut self) {
        self.kept.names().iter().for_each(|name| self.kept.remove(name));
        self.number = 0;
    }
}

/// Loads weights, and the tokenizer beside them, of which they have to have every token.
pub fn load(
    model: &mut dyn Model,
    directory: &Path,
    host: &Host<'_>,
    files: &dyn Files,
) -> Result<(Tokenizer, ModelDescription)> {
    model.load(host, directory)?;
    let tokenizer = Tokenizer::load(directory, files)?;
    let description = model.describe()?;
    // Rows of an embedding to spare, for speed, harm nobody.
    if tokenizer.size() > description.vocabulary {
        return Err(Error::Vocabulary {
            path: directory.join("tokenizer.json"),
            found: tokenizer.size(),
            expected: description.vocabulary,
        });
    }
    Ok((tokenizer, description))
}
