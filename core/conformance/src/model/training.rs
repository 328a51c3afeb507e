//! The part of the suite of models that is about training.

use txray_plugin::{Fault, FitReport, FitRequest, Host, HostServices, Level, Model, Threads};

use super::{Documents, ModelMaker, SEED, directory, initialized, orderly, saved};
use crate::bench::{Bench, Failure};
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
        let mut model = initialized(maker, SEED)?;
        let first = epoch(&mut *model, 1)?;
        let mut last = first;
        while !last.done && last.epoch < LESSONS {
            let next = epoch(&mut *model, 1)?;
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
        let documents = cycle();
        let mut model = initialized(maker, SEED)?;
        for interrupted in 0..CALLS {
            // Some calls are cancelled, others paused; another model then goes on from what was saved.
            let (host, pause) =
                if interrupted % 3 == 2 { (Host::new(&Impatient), None) } else { (Host::new(&Threads(1)), Some(0.0)) };
            let request = FitRequest { train: documents.text(), valid: None, seed: SEED, pause };
            let finished = match model.fit(&host, &request) {
                Ok(report) => !report.paused && (report.done || report.epoch >= EPOCHS),
                Err(error) if error.fault() == Fault::Cancelled => false,
                Err(error) => return Err(Failure::from(format!("it did not train: {error}"))),
            };
            if finished {
                return match saved(&*model)?.0 == expected {
                    true => Ok(()),
                    false => {
                        let message =
                            format!("interrupted {interrupted} times, it ends with other bytes than undisturbed");
                        Err(Failure::from(message))
                    }
                };
            }
            model = elsewhere(maker, &*model)?;
        }
        Err(Failure::from(format!(
            "paused after every step, {CALLS} calls did not bring it to the end of {EPOCHS} epochs"
        )))
    });

    bench.property("refuses a training that is not there", |_| {
        let empty = directory()?;
        let host = Host::new(&Threads(1));
        let Err(error) = maker.fresh()?.load_training(&host, empty.path()) else {
            return Err(Failure::from("it went on from an empty directory".to_owned()));
        };
        orderly(&error).map_err(Failure::from)
    });
}

/// The checkpoint after [`EPOCHS`].
fn trained(maker: &ModelMaker<'_>, threads: usize) -> Result<Files, String> {
    let mut model = initialized(maker, SEED)?;
    loop {
        let report = epoch(&mut *model, threads)?;
        if report.done || report.epoch >= EPOCHS {
            return Ok(saved(&*model)?.0);
        }
    }
}

/// Trains to the end of the next epoch.
fn epoch(model: &mut dyn Model, threads: usize) -> Result<FitReport, String> {
    let documents = cycle();
    let request = FitRequest { train: documents.text(), valid: None, seed: SEED, pause: None };
    let report =
        model.fit(&Host::new(&Threads(threads)), &request).map_err(|error| format!("it did not train: {error}"))?;
    if report.paused || !report.loss.is_finite() {
        return Err(format!("not asked to pause, it trained and told {report:?}"));
    }
    Ok(report)
}

/// Another model, with the training of this one.
fn elsewhere(maker: &ModelMaker<'_>, model: &dyn Model) -> Result<Box<dyn Model>, String> {
    let (directory, host) = (directory()?, Host::new(&Threads(1)));
    let saved = model.save_training(&host, directory.path());
    saved.map_err(|error| format!("its training was not saved: {error}"))?;
    let mut other = maker.fresh()?;
    let loaded = other.load_training(&host, directory.path());
    loaded.map_err(|error| format!("its training was not loaded: {error}"))?;
    Ok(other)
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
