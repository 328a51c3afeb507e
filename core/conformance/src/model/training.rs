//! The part of the suite of models that is about training.

use std::path::Path;

use serde_json::Value;
use txray_plugin::{
    Error, Examples, Fault, Host, HostServices, Level, Model, NULL, Opaque, Task, Threads, Train, TrainReport,
    TrainRequest,
};

use super::{Documents, ModelMaker, SEED, VOCABULARY, directory, drawn, initialized, orderly, saved};
use crate::bench::{Bench, Failure};
use crate::options::of_format;
use crate::sink::Files;

/// Epochs after which trainings are compared.
const EPOCHS: u64 = 2;
/// Epochs in which a model should begin to learn a cycle of tokens.
const LESSONS: u64 = 10;
/// The most calls that a training may take, interrupted after every step.
const CALLS: usize = 10_000;

/// What is trained on and validated on, for one task.
#[derive(Clone)]
pub(super) struct Lesson {
    pub task: Task,
    pub classes: usize,
    pub documents: Documents,
    /// As [`Examples`] has them; some are missing.
    pub targets: Vec<u32>,
}

impl Lesson {
    /// 40 documents of 50 tokens. Each token is always followed by the same one; it tells its own label, and that of its document.
    pub fn new(task: Task) -> Self {
        let documents: Vec<Vec<u32>> =
            (0..40_u32).map(|d| (0..50).map(|i| d % 2 * 7 + (d + i) % 7).collect()).collect();
        let tokens = || documents.iter().flatten();
        let (classes, targets) = match task {
            Task::LanguageModel => (0, Vec::new()),
            Task::Classification => (2, (0..40).map(|d| if d % 9 == 8 { NULL } else { d % 2 }).collect()),
            Task::Tagging => (4, tokens().map(|&id| if id == 5 { NULL } else { id % 4 }).collect()),
        };
        let documents = match task {
            Task::LanguageModel => (0..40).map(|d| (0..50).map(|i| (d + i) % 7).collect()).collect(),
            _ => documents,
        };
        Self { task, classes, documents: Documents::new(&documents), targets }
    }

    pub fn request(&self) -> TrainRequest<'_> {
        let Self { task, classes, .. } = *self;
        let examples = Examples { text: self.documents.text(), targets: &self.targets };
        TrainRequest { task, classes, train: examples, valid: Some(examples), seed: SEED }
    }
}

/// Tries a property on each task that a model trains for.
fn each(maker: &ModelMaker<'_>, property: impl Fn(&Lesson) -> Result<(), Failure>) -> Result<(), Failure> {
    for task in maker.fresh()?.capabilities().tasks {
        property(&Lesson::new(task)).map_err(|failure| match failure {
            Failure::Broken { message, counterexample } if task != Task::LanguageModel => {
                Failure::Broken { message: format!("trained for {task:?}, {message}"), counterexample }
            }
            failure => failure,
        })?;
    }
    Ok(())
}

pub(super) fn hold(bench: &mut Bench<'_>, maker: &ModelMaker<'_>) {
    bench.property("learns what follows what", |_| {
        each(maker, |lesson| {
            let mut trainee = Trainee::begin(maker, lesson)?;
            let first = trainee.epoch(1)?;
            let mut last = first;
            while !last.done && last.epoch < LESSONS {
                let next = trainee.epoch(1)?;
                if next.epoch != last.epoch + 1 {
                    return Err(Failure::from(format!("after epoch {} it told of epoch {}", last.epoch, next.epoch)));
                }
                last = next;
            }
            if last.epoch == first.epoch {
                let why = "it trains for one epoch alone: an `examples` on the schema of its options may say more";
                return Err(Failure::Skipped(why.to_owned()));
            }
            match last.loss < first.loss {
                true => Ok(()),
                false => Err(Failure::from(format!(
                    "over a cycle of 7 tokens its loss was {} in the first epoch, and {} in epoch {}",
                    first.loss, last.loss, last.epoch
                ))),
            }
        })
    });

    bench.property("trains to the same bytes on however many threads", |_| {
        each(maker, |lesson| {
            let expected = trained(maker, lesson, 1)?;
            match trained(maker, lesson, 4)? == expected {
                true => Ok(()),
                false => Err(Failure::from("on 4 threads it ends with other bytes than on one".to_owned())),
            }
        })
    });

    bench.property("trains to the same bytes wherever it is interrupted", |_| {
        each(maker, |lesson| {
            let expected = trained(maker, lesson, 1)?;
            let mut trainee = Trainee::begin(maker, lesson)?;
            for interrupted in 0..CALLS {
                // Some calls are cancelled, others paused; another model then goes on from what was saved.
                let (host, pause) = if interrupted % 3 == 2 {
                    (Host::new(&Impatient), None)
                } else {
                    (Host::new(&Threads(1)), Some(0.0))
                };
                let finished = match trainee.step(&host, pause) {
                    Ok(report) => !report.paused && (report.done || report.epoch >= EPOCHS),
                    Err(error) if error.fault() == Fault::Cancelled => false,
                    Err(error) => return Err(Failure::from(format!("it did not train: {error}"))),
                };
                if finished {
                    return match saved(&*trainee.model)?.0 == expected {
                        true => Ok(()),
                        false => {
                            let message =
                                format!("interrupted {interrupted} times, it ends with other bytes than undisturbed");
                            Err(Failure::from(message))
                        }
                    };
                }
                // And some go on as they are.
                if interrupted % 4 != 3 {
                    trainee = trainee.elsewhere(maker)?;
                }
            }
            Err(Failure::from(format!(
                "paused after every step, {CALLS} calls did not bring it to the end of {EPOCHS} epochs"
            )))
        })
    });

    bench.property("ends after its epochs, and goes on for more as from the beginning or refuses to", |_| {
        each(maker, |lesson| {
            let Some(pointer) = of_format(maker.schema, "epochs") else {
                return Err(Failure::Skipped("no option has the format `epochs`".to_owned()));
            };
            let with = |epochs: u64| {
                let mut options = maker.options.clone();
                set(&mut options, &pointer, epochs.into());
                maker.with(&options).map_err(|error| format!("it was not made for {epochs} epochs: {error}"))
            };
            let fresh = |epochs| Trainee::of(lesson, drawn(with(epochs)?, SEED)?, None);
            let directory = fresh(1)?.finished(1)?.saved()?;
            let mut model = with(2)?;
            match trainer(&mut *model)?.begin(&Host::new(&Threads(1)), &lesson.request(), Some(directory.path())) {
                // A schedule may run over all epochs.
                Err(error) => Ok(orderly(&error)?),
                Ok(session) => {
                    let [longer, whole] = [Trainee { lesson, model, session }.finished(2)?, fresh(2)?.finished(2)?];
                    match saved(&*longer.model)?.0 == saved(&*whole.model)?.0 {
                        true => Ok(()),
                        false => {
                            Err(Failure::from("gone on with for a second epoch, it ends with other bytes".to_owned()))
                        }
                    }
                }
            }
        })
    });

    bench.property("refuses to go on with what is not there, or another text", |_| {
        each(maker, |lesson| {
            let refuses = |directory: &Path, request: &TrainRequest<'_>, what: &str| {
                let mut model = maker.fresh()?;
                let begun = trainer(&mut *model)?.begin(&Host::new(&Threads(1)), request, Some(directory));
                orderly(&begun.err().ok_or_else(|| format!("it went on {what}"))?)
            };
            refuses(directory()?.path(), &lesson.request(), "from an empty directory")?;
            let mut trainee = Trainee::begin(maker, lesson)?;
            trainee.step(&Host::new(&Threads(1)), Some(0.0)).map_err(|error| format!("it did not train: {error}"))?;
            let directory = trainee.saved()?;
            let with = |change: &dyn Fn(&mut Lesson)| {
                let mut other = lesson.clone();
                change(&mut other);
                other
            };
            let other = with(&|other| other.documents.ids[7] += 1);
            refuses(directory.path(), &other.request(), "with a text of which one token was another")?;
            // The weights come from the directory, so nobody but the model can hold the text to them.
            let beyond = with(&|other| other.documents.ids[7] = VOCABULARY as u32);
            refuses(directory.path(), &beyond.request(), "with a text of which one token is not of its vocabulary")?;
            let valid = beyond.request().valid;
            let request = TrainRequest { valid, ..lesson.request() };
            refuses(directory.path(), &request, "with a validation text that is not of its vocabulary")?;
            if lesson.task != Task::LanguageModel {
                let other = with(&|other| other.targets[7] = (other.targets[7] + 1) % 2);
                refuses(directory.path(), &other.request(), "with documents of which one label was another")?;
            }
            Ok(())
        })
    });
}

/// A model in training on a lesson.
struct Trainee<'l> {
    lesson: &'l Lesson,
    model: Box<dyn Model>,
    session: Opaque,
}

impl<'l> Trainee<'l> {
    fn begin(maker: &ModelMaker<'_>, lesson: &'l Lesson) -> Result<Self, String> {
        Self::of(lesson, initialized(maker, SEED)?, None)
    }

    /// Of a model with weights, or of one that goes on from what was saved.
    fn of(lesson: &'l Lesson, mut model: Box<dyn Model>, from: Option<&Path>) -> Result<Self, String> {
        let begun = trainer(&mut *model)?.begin(&Host::new(&Threads(1)), &lesson.request(), from);
        let session = begun.map_err(|error| format!("it did not begin to train: {error}"))?;
        Ok(Self { lesson, model, session })
    }

    fn step(&mut self, host: &Host<'_>, pause: Option<f64>) -> Result<TrainReport, Error> {
        trainer(&mut *self.model).map_err(Error::failed)?.step(host, &mut self.session, pause)
    }

    /// Trains to the end of the next epoch.
    fn epoch(&mut self, threads: usize) -> Result<TrainReport, String> {
        let stepped = self.step(&Host::new(&Threads(threads)), None);
        let report = stepped.map_err(|error| format!("it did not train: {error}"))?;
        if report.paused || !report.loss.is_finite() || report.valid_loss.is_none_or(|loss| !loss.is_finite()) {
            return Err(format!("not asked to pause, it trained and told {report:?}"));
        }
        Ok(report)
    }

    /// Trains to its end, which has to be after so many epochs.
    fn finished(mut self, epochs: u64) -> Result<Self, String> {
        loop {
            let report = self.epoch(1)?;
            match (report.done, report.epoch >= epochs) {
                (true, true) => return Ok(self),
                (false, false) => {}
                (true, false) => return Err(format!("it is done after epoch {} of {epochs}", report.epoch)),
                (false, true) => return Err(format!("of {epochs} epochs it is not done after epoch {}", report.epoch)),
            }
        }
    }

    fn saved(&self) -> Result<tempfile::TempDir, String> {
        let directory = directory()?;
        let able = self.model.as_train().ok_or("it is no longer able to train")?;
        let saved = able.save_session(&Host::new(&Threads(1)), &self.session, directory.path());
        saved.map_err(|error| format!("its training was not saved: {error}"))?;
        Ok(directory)
    }

    /// Another model, with the training of this one.
    fn elsewhere(&self, maker: &ModelMaker<'_>) -> Result<Self, String> {
        let directory = self.saved()?;
        Self::of(self.lesson, maker.fresh()?, Some(directory.path()))
    }
}

/// Sets an option in a table, or in one of a table of it.
fn set(options: &mut Value, pointer: &str, value: Value) {
    let mut place = options;
    for name in pointer.split('/').skip(1) {
        place = &mut place[name];
    }
    *place = value;
}

pub(super) fn trainer(model: &mut dyn Model) -> Result<&mut dyn Train, String> {
    model.as_train_mut().ok_or_else(|| "it says that it trains by `as_train`, and not by `as_train_mut`".to_owned())
}

/// The checkpoint after [`EPOCHS`].
fn trained(maker: &ModelMaker<'_>, lesson: &Lesson, threads: usize) -> Result<Files, String> {
    let mut trainee = Trainee::begin(maker, lesson)?;
    loop {
        let report = trainee.epoch(threads)?;
        if report.done || report.epoch >= EPOCHS {
            return Ok(saved(&*trainee.model)?.0);
        }
    }
}

/// A host that always wants to stop.
struct Impatient;

impl HostServices for Impatient {
    fn threads(&self) -> usize {
        1
    }
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        true
    }
}
