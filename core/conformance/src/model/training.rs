//! The part of the suite of models that is about training.

use std::path::Path;

use serde_json::Value;
use txray_plugin::{Error, Fault, Host, HostServices, Level, Model, Opaque, Threads, Train, TrainReport, TrainRequest};

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

/// 40 documents of 50 tokens; each token is always followed by the same one.
fn cycle() -> Documents {
    Documents::new(&(0..40).map(|d| (0..50).map(|i| (d + i) % 7).collect()).collect::<Vec<_>>())
}

pub(super) fn hold(bench: &mut Bench<'_>, maker: &ModelMaker<'_>) {
    bench.property("learns what follows what", |_| {
        let mut trainee = Trainee::begin(maker)?;
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
    });

    bench.property("trains to the same bytes on however many threads", |_| {
        let expected = trained(maker, 1)?;
        match trained(maker, 4)? == expected {
            true => Ok(()),
            false => Err(Failure::from("on 4 threads it ends with other bytes than on one".to_owned())),
        }
    });

    bench.property("trains to the same bytes wherever it is interrupted", |_| {
        let expected = trained(maker, 1)?;
        let mut trainee = Trainee::begin(maker)?;
        for interrupted in 0..CALLS {
            // Some calls are cancelled, others paused; another model then goes on from what was saved.
            let (host, pause) =
                if interrupted % 3 == 2 { (Host::new(&Impatient), None) } else { (Host::new(&Threads(1)), Some(0.0)) };
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
    });

    bench.property("ends after its epochs, and goes on for more as from the beginning or refuses to", |_| {
        let Some(pointer) = of_format(maker.schema, "epochs") else {
            return Err(Failure::Skipped("no option has the format `epochs`".to_owned()));
        };
        let with = |epochs: u64| {
            let mut options = maker.options.clone();
            set(&mut options, &pointer, epochs.into());
            maker.with(&options).map_err(|error| format!("it was not made for {epochs} epochs: {error}"))
        };
        let trained = |mut trainee: Trainee, epochs: u64| loop {
            let report = trainee.epoch(1)?;
            match (report.done, report.epoch >= epochs) {
                (true, true) => return Ok::<_, String>(trainee),
                (false, false) => {}
                (true, false) => return Err(format!("it is done after epoch {} of {epochs}", report.epoch)),
                (false, true) => return Err(format!("of {epochs} epochs it is not done after epoch {}", report.epoch)),
            }
        };
        let fresh = |epochs| Trainee::of(drawn(with(epochs)?, SEED)?, None);
        let directory = trained(fresh(1)?, 1)?.saved()?;
        let mut model = with(2)?;
        match trainer(&mut *model)?.begin(&Host::new(&Threads(1)), &request(&cycle()), Some(directory.path())) {
            // A schedule may run over all epochs.
            Err(error) => Ok(orderly(&error)?),
            Ok(session) => {
                let [longer, whole] = [trained(Trainee { model, session }, 2)?, trained(fresh(2)?, 2)?];
                match saved(&*longer.model)?.0 == saved(&*whole.model)?.0 {
                    true => Ok(()),
                    false => Err(Failure::from("gone on with for a second epoch, it ends with other bytes".to_owned())),
                }
            }
        }
    });

    bench.property("refuses to go on with what is not there, or another text", |_| {
        let refuses = |directory: &Path, documents: &Documents, what: &str| {
            let mut model = maker.fresh()?;
            let Err(error) = trainer(&mut *model)?.begin(&Host::new(&Threads(1)), &request(documents), Some(directory))
            else {
                return Err(format!("it went on {what}"));
            };
            orderly(&error)
        };
        refuses(directory()?.path(), &cycle(), "from an empty directory")?;
        let mut trainee = Trainee::begin(maker)?;
        trainee.step(&Host::new(&Threads(1)), Some(0.0)).map_err(|error| format!("it did not train: {error}"))?;
        let directory = trainee.saved()?;
        let mut other = cycle();
        other.ids[7] += 1;
        refuses(directory.path(), &other, "with a text of which one token was another")?;
        // The weights come from the directory, so nobody but the model can hold the text to them.
        let mut beyond = cycle();
        beyond.ids[7] = VOCABULARY as u32;
        refuses(directory.path(), &beyond, "with a text of which one token is not of its vocabulary")?;
        let (mut model, usual) = (maker.fresh()?, cycle());
        let valid = Some(beyond.text());
        let request = TrainRequest::language_model(usual.text(), valid, SEED);
        let begun = trainer(&mut *model)?.begin(&Host::new(&Threads(1)), &request, Some(directory.path()));
        let Err(error) = begun else {
            return Err(Failure::from("it went on with a validation text that is not of its vocabulary".to_owned()));
        };
        orderly(&error).map_err(Failure::from)
    });
}

/// A model in training on [`cycle`].
struct Trainee {
    model: Box<dyn Model>,
    session: Opaque,
}

impl Trainee {
    fn begin(maker: &ModelMaker<'_>) -> Result<Self, String> {
        Self::of(initialized(maker, SEED)?, None)
    }

    /// Of a model with weights, or of one that goes on from what was saved.
    fn of(mut model: Box<dyn Model>, from: Option<&Path>) -> Result<Self, String> {
        let begun = trainer(&mut *model)?.begin(&Host::new(&Threads(1)), &request(&cycle()), from);
        let session = begun.map_err(|error| format!("it did not begin to train: {error}"))?;
        Ok(Self { model, session })
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
        Self::of(maker.fresh()?, Some(directory.path()))
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

fn trainer(model: &mut dyn Model) -> Result<&mut dyn Train, String> {
    model.as_train_mut().ok_or_else(|| "it says that it trains by `as_train`, and not by `as_train_mut`".to_owned())
}

fn request(documents: &Documents) -> TrainRequest<'_> {
    TrainRequest::language_model(documents.text(), Some(documents.text()), SEED)
}

/// The checkpoint after [`EPOCHS`].
fn trained(maker: &ModelMaker<'_>, threads: usize) -> Result<Files, String> {
    let mut trainee = Trainee::begin(maker)?;
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
