//! The suite of models, for what `txray.model/0` is so far: weights and checkpoints here, and of the abilities that a model
//! has, reading in `reading`, losses of language models in `predicting`, labels in `labels`, training in `training`, a growing
//! vocabulary in `extending`.

mod extending;
mod labels;
mod predicting;
mod reading;
mod training;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;
use txray_host::Registry;
use txray_plugin::{Host, Model, Opaque, RuleKind, State, Task, Text, Threads};

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
    let says = bench.property("says what it can be asked for", |_| Ok(capabilities(&*maker.fresh()?)?));
    let initialized = bench.property("describes itself once it has weights", |_| {
        // Without weights it may fail, but with an error.
        let bare = maker.fresh()?;
        if let Err(error) = bare.describe() {
            orderly(&error)?;
        }
        let model = initialized(&maker, SEED)?;
        let found = model.describe().map_err(|error| format!("it failed: {error}"))?;
        if found.vocabulary != VOCABULARY {
            return Err(Failure::from(format!("made for {VOCABULARY} tokens, it has {}", found.vocabulary)));
        }
        if found.sites.is_empty() || found.sites.iter().any(|site| site.width == 0) {
            return Err(Failure::from(format!("there is nothing to read at its sites: {:?}", found.sites)));
        }
        let (head, tasks) = (|task: &Task| found.classes(*task).is_some(), bare.capabilities().tasks);
        // One for a number of labels, training may make.
        let is_expected = |task: &&Task| **task == Task::LanguageModel || bare.as_train().is_none();
        if !tasks.iter().filter(is_expected).all(head) && bare.as_predict().is_some() {
            return Err(Failure::from(format!("its heads are {:?}: one for each task that it predicts", found.heads)));
        }
        if let Some(head) = found.heads.iter().find(|head| !tasks.contains(&head.task)) {
            return Err(Failure::from(format!("it has a head for {:?}, and its tasks are {tasks:?}", head.task)));
        }
        if bare.capabilities().predictions && found.heads.is_empty() {
            return Err(Failure::from("it says that it tells predictions, and has no head".to_owned()));
        }
        if found.classes(Task::LanguageModel).is_some_and(|classes| classes != VOCABULARY) {
            return Err(Failure::from("a language model has as many classes as tokens".to_owned()));
        }
        if found.trained_state == Some(State::Carry) && bare.as_carry().is_none() {
            return Err(Failure::from("it was trained with a state that is carried, and has none".to_owned()));
        }
        let told = bare.capabilities().sites;
        if !told.is_empty() && told != found.sites {
            let message = format!("its sites are {:?}, and before it had weights it said {told:?}", found.sites);
            return Err(Failure::from(message));
        }
        match abilities(&*bare) == abilities(&*model) && bare.capabilities() == model.capabilities() {
            true => Ok(()),
            false => Err(Failure::from("with weights it can be asked for something else than without".to_owned())),
        }
    });
    if says && initialized {
        weights(bench, &maker);
        let able = maker.fresh().ok();
        let has = |ability: fn(&dyn Model) -> bool| able.as_deref().is_some_and(ability);
        if has(|model| model.as_encode().is_some()) {
            reading::hold(bench, &maker);
        }
        if has(|model| model.extends() && model.as_encode().is_some()) {
            extending::hold(bench, &maker);
        }
        let is_language_model = has(|model| model.capabilities().tasks.contains(&Task::LanguageModel));
        if has(|model| model.as_predict().is_some()) && is_language_model {
            predicting::hold(bench, &maker);
        }
        if has(|model| model.as_predict().is_some() && !labels::tasks(model).is_empty()) {
            labels::hold(bench, &maker);
        }
        if has(|model| model.as_train().is_some()) {
            training::hold(bench, &maker);
        }
    }
    options::hold(bench, &maker);
    lifecycle::hold(bench, &maker, &|_| ());
}

/// Which abilities a model has.
fn abilities(model: &dyn Model) -> [bool; 5] {
    let [encode, predict] = [model.as_encode().is_some(), model.as_predict().is_some()];
    [encode, predict, model.as_train().is_some(), model.as_carry().is_some(), model.extends()]
}

/// Abilities and capabilities fit together.
fn capabilities(model: &dyn Model) -> Result<(), String> {
    let ([encodes, predicts, trains, ..], capabilities) = (abilities(model), model.capabilities());
    if !encodes && !predicts {
        return Err("it can be neither read nor asked to predict".to_owned());
    }
    if encodes != capabilities.rules.contains(&RuleKind::Top) {
        return Err("a model that is read keeps the `top` of its neurons, and says so among its `rules`".to_owned());
    }
    if (predicts || trains) == capabilities.tasks.is_empty() {
        return Err(format!(
            "its tasks are {:?}: a model that predicts or trains has some, others none",
            capabilities.tasks
        ));
    }
    if capabilities.predictions && !encodes {
        return Err("it tells predictions at what it reads, but cannot be read".to_owned());
    }
    Ok(())
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

    // By it a pipeline finds who reads a directory.
    bench.property("names itself in the `config.json` of a checkpoint", |_| {
        let (bytes, _) = saved(&*initialized(maker, SEED)?)?;
        let config = bytes.get("config.json").map(|bytes| serde_json::from_slice::<Value>(bytes));
        let named = config.and_then(Result::ok).and_then(|config| config["model_type"].as_str().map(str::to_owned));
        match named.as_deref().map(|named| named.trim_start_matches("txray-")) == Some(maker.kind()) {
            true => Ok(()),
            false => Err(Failure::from(format!("its `model_type` is {named:?}, and it is called `{}`", maker.kind()))),
        }
    });

    bench.property("is the same once it was saved and loaded", |_| {
        let model = initialized(maker, SEED)?;
        let (bytes, directory) = saved(&*model)?;
        let loaded = load(maker, directory.path()).map_err(|error| format!("it did not load: {error}"))?;
        if saved(&*loaded)?.0 != bytes {
            return Err(Failure::from("loaded and saved again, its bytes differ".to_owned()));
        }
        same(&*model, &*loaded).map_err(Failure::from)
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
                    Ok(loaded) => same(&*model, &*loaded)
                        .map_err(|what| format!("with {name} {damage}, it loaded, but then {what}"))?,
                }
            }
        }
        Ok(())
    });
}

/// An error where two models read or predict some text differently, bit by bit.
fn same(a: &dyn Model, b: &dyn Model) -> Result<(), String> {
    let (a_is, b_is) = (reading::described(a)?, reading::described(b)?);
    if a_is != b_is {
        return Err(format!("it is {b_is:?}, and before it was {a_is:?}"));
    }
    if a.as_encode().is_some() {
        reading::same(a, b, &a_is)?;
    }
    if a.as_predict().is_some() && a.capabilities().tasks.contains(&Task::LanguageModel) {
        predicting::same(a, b)?;
    }
    Ok(())
}

/// Four documents, for properties that are tried on one text.
fn some_documents() -> Vec<Vec<u32>> {
    (0..4_u32).map(|d| (0..5 * d).map(|i| (i * i + d) % VOCABULARY as u32).collect()).collect()
}

/// 1 to 5 documents of up to 11 tokens; some have none.
fn documents() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(0..VOCABULARY as u32, 0..12), 1..6)
}

/// A state that has read nothing, of a model that has one.
fn state(model: &dyn Model) -> Result<Option<Opaque>, String> {
    let state = model.as_carry().map(|carry| carry.state(&Host::detached(), None));
    state.transpose().map_err(|error| format!("it made no state: {error}"))
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
    drawn(maker.fresh()?, seed)
}

/// The model with weights drawn from the seed.
fn drawn(mut model: Box<dyn Model>, seed: u64) -> Result<Box<dyn Model>, String> {
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

    fn each(&self) -> Vec<Vec<u32>> {
        (0..self.text().len()).map(|document| self.text().document(document).to_vec()).collect()
    }
}
