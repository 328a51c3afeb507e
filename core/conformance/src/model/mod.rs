//! The suite of models, for what `txray.model/0` is so far: weights and checkpoints here, reading in `reading`,
//! training in `training`.

mod reading;
mod training;

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use txray_host::Registry;
use txray_plugin::{Host, Model, Text, Threads};

use crate::bench::{Bench, Failure, Maker};
use crate::sink::{Files, files};
use crate::{lifecycle, options};

const VOCABULARY: usize = 24;
const SEED: u64 = 1111;
/// The most cases that a property is tried on: calling a model takes longer than calling a metric.
const CASES: u32 = 8;

type ModelMaker<'a> = Maker<'a, dyn Model>;

/// The model's options should make a small one: an `examples` on their schema can say which. It trains on 2000 tokens.
pub(crate) fn hold(bench: &mut Bench<'_>) {
    let Some(maker) = bench.maker(Registry::model) else { return };
    let initialized = bench.property("describes itself once it has weights", |_| {
        // Without weights it may fail, but with an error.
        if let Err(error) = maker.fresh()?.describe() {
            orderly(&error)?;
        }
        let found = initialized(&maker, SEED)?.describe().map_err(|error| format!("it failed: {error}"))?;
        if found.vocabulary != VOCABULARY {
            return Err(Failure::from(format!("made for {VOCABULARY} tokens, it has {}", found.vocabulary)));
        }
        if found.sites.is_empty() || found.sites.iter().any(|site| site.width == 0) {
            return Err(Failure::from(format!("there is nothing to read at its sites: {:?}", found.sites)));
        }
        Ok(())
    });
    if initialized {
        weights(bench, &maker);
        reading::hold(bench, &maker);
        training::hold(bench, &maker);
    }
    options::hold(bench, &maker);
    lifecycle::hold(bench, &maker, &|_| ());
}

/// How weights are drawn, saved and loaded.
fn weights(bench: &mut Bench<'_>, maker: &ModelMaker<'_>) {
    bench.property("draws its weights from the seed", |_| {
        let [first, again, other] = [SEED, SEED, SEED + 1].map(|seed| saved(&*initialized(maker, seed)?));
        let (first, again, other) = (first?, again?, other?);
        if first.0 != again.0 {
            return Err(Failure::from("two models of one seed were saved as different bytes".to_owned()));
        }
        match first.0 == other.0 {
            true => Err(Failure::from("models of two seeds were saved as the same bytes".to_owned())),
            false => Ok(()),
        }
    });

    bench.property("is the same once it was saved and loaded", |_| {
        let model = initialized(maker, SEED)?;
        let (bytes, directory) = saved(&*model)?;
        let loaded = load(maker, directory.path()).map_err(|error| format!("it did not load: {error}"))?;
        if saved(&*loaded)?.0 != bytes {
            return Err(Failure::from("loaded and saved again, its bytes differ".to_owned()));
        }
        reading::same_readings(&*model, &*loaded).map_err(Failure::from)
    });

    // What a kill or a full disk leaves must not be taken for a model.
    bench.property("refuses a checkpoint that is not whole", |_| {
        let model = initialized(maker, SEED)?;
        let empty = directory()?;
        let error = load(maker, empty.path()).err().ok_or("it loaded an empty directory".to_owned())?;
        orderly(&error)?;
        let (bytes, _) = saved(&*model)?;
        for name in bytes.keys() {
            for damage in ["missing", "cut in half", "emptied"] {
                let (_, directory) = saved(&*model)?;
                damaged(&directory.path().join(name), damage)?;
                match load(maker, directory.path()) {
                    Err(error) => orderly(&error)?,
                    // A file may be there for others to read.
                    Ok(loaded) => reading::same_readings(&*model, &*loaded)
                        .map_err(|what| format!("with {name} {damage}, it loaded, but then {what}"))?,
                }
            }
        }
        Ok(())
    });
}

/// Spoils a file in one of three ways.
fn damaged(path: &Path, damage: &str) -> Result<(), String> {
    let spoilt = match damage {
        "missing" => fs::remove_file(path),
        "emptied" => fs::write(path, ""),
        _ => fs::read(path).and_then(|bytes| fs::write(path, &bytes[..bytes.len() / 2])),
    };
    spoilt.map_err(|error| format!("the suite could not spoil {}: {error}", path.display()))
}

/// A new model with weights drawn from the seed.
fn initialized(maker: &ModelMaker<'_>, seed: u64) -> Result<Box<dyn Model>, String> {
    let mut model = maker.fresh()?;
    let drawn = model.initialize(&Host::new(&Threads(1)), VOCABULARY, seed);
    drawn.map_err(|error| format!("it did not draw its weights: {error}"))?;
    Ok(model)
}

/// A new model with the weights of a checkpoint.
fn load(maker: &ModelMaker<'_>, directory: &Path) -> Result<Box<dyn Model>, txray_plugin::Error> {
    let mut model = maker.fresh().map_err(txray_plugin::Error::failed)?;
    model.load(&Host::new(&Threads(1)), directory)?;
    Ok(model)
}

/// The files of a model's checkpoint, and the directory that they are in.
fn saved(model: &dyn Model) -> Result<(Files, TempDir), String> {
    let directory = directory()?;
    let saved = model.save(&Host::new(&Threads(1)), directory.path());
    saved.map_err(|error| format!("it did not save: {error}"))?;
    Ok((files(directory.path())?, directory))
}

fn directory() -> Result<TempDir, String> {
    TempDir::new().map_err(|error| format!("the suite could not make a directory: {error}"))
}

/// Refusing with an error is fine, but not by a panic.
fn orderly(error: &txray_plugin::Error) -> Result<(), String> {
    match error.message().contains("panicked") {
        true => Err(format!("it fell: {error}")),
        false => Ok(()),
    }
}

/// Documents that own their text.
#[derive(Clone, Debug)]
struct Documents {
    ids: Vec<u32>,
    offsets: Vec<u64>,
}

impl Documents {
    fn new(documents: &[Vec<u32>]) -> Self {
        let ends = documents.iter().scan(0, |end, document| {
            *end += document.len() as u64;
            Some(*end)
        });
        Self { offsets: std::iter::once(0).chain(ends).collect(), ids: documents.concat() }
    }

    fn text(&self) -> Text<'_> {
        Text { ids: &self.ids, offsets: &self.offsets }
    }
}
