//! What a pipeline comes to before it runs: its steps in order, each with the recipe of everything it depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use txray_plugin::abi;

use crate::config::{Component, ModelOrigin, ModelRef, Pipeline, SplitRef, StageOf};
use crate::error::{Error, Result};
use crate::manifest::{FORMAT, Input};
use crate::store::Key;
use txray_host::{Registry, sha256};

/// What a step makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A text read through once.
    Text(SplitRef),
    /// A trained model.
    Model(String),
    /// A stage.
    Stage(String),
    /// A comparison.
    Comparison(String),
    /// A pruning.
    Pruning(String),
}

impl Target {
    /// Its kind in names and manifests.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Model(_) => "model",
            Self::Stage(_) => "stage",
            Self::Comparison(_) => "comparison",
            Self::Pruning(_) => "pruning",
        }
    }

    /// Its name within its kind.
    pub fn name(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            Self::Model(name) | Self::Stage(name) | Self::Comparison(name) | Self::Pruning(name) => name.clone(),
        }
    }
}

/// A step of a plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What it makes.
    pub target: Target,
    /// Everything that its files depend on.
    pub recipe: Value,
    /// The fingerprint of the recipe.
    pub key: Key,
}

impl Planned {
    /// Its name: `stage.early`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.target.kind(), self.target.name())
    }
}

/// The steps of a pipeline, each after those it depends on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Planned>,
    /// The files that are read.
    pub inputs: Vec<Input>,
}

impl Plan {
    /// Plans a pipeline: hashes the files it reads, and works out the fingerprint of every step. Nothing runs.
    pub fn of(pipeline: &Pipeline, registry: &Registry) -> Result<Self> {
        let engine = std::env::current_exe().and_then(|path| sha256(&path));
        let (_, engine) =
            engine.map_err(|error| Error::Internal(format!("cannot read this program's file: {error}")))?;
        let mut planner = Planner { pipeline, registry, engine, inputs: IndexMap::new(), steps: Vec::new() };
        for text in pipeline.texts() {
            planner.text(text)?;
        }
        for name in pipeline.models.keys() {
            planner.model(name)?;
        }
        for name in pipeline.stages.keys() {
            planner.stage(name)?;
        }
        for name in pipeline.comparisons.keys() {
            planner.comparison(name)?;
        }
        for name in pipeline.prunings.keys() {
            planner.pruning(name)?;
        }
        Ok(Self { steps: planner.steps, inputs: planner.inputs.into_values().collect() })
    }

    /// The step that makes a target.
    pub fn step(&self, target: &Target) -> Option<&Planned> {
        self.steps.iter().find(|step| step.target == *target)
    }
}

/// Why a step is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was never made for a pipeline of this name.
    New,
    /// These parts of its recipe changed since it was made for it: settings, or the names of steps and files.
    Changed(Vec<String>),
    /// It was made from the same recipe, but is no longer in the store.
    Gone,
}

impl Plan {
    /// Why a step that is not in the store is not, given what the steps of this pipeline were made of the last time.
    pub fn reason(&self, step: &Planned, recent: &BTreeMap<String, Value>) -> Reason {
        let Some(before) = recent.get(&step.name()) else { return Reason::New };
        let mut changed = Vec::new();
        self.differences(before, &step.recipe, "", &mut changed);
        changed.dedup();
        if changed.is_empty() { Reason::Gone } else { Reason::Changed(changed) }
    }

    fn differences(&self, before: &Value, now: &Value, path: &str, changed: &mut Vec<String>) {
        match (before, now) {
            _ if before == now => {}
            (Value::Object(before), Value::Object(now)) => {
                let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
                for key in keys {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let part = |table: &Map<String, Value>| table.get(key).cloned().unwrap_or_default();
                    self.differences(&part(before), &part(now), &path, changed);
                }
            }
            // A key of another step, or the hash of a file, is told by what has it.
            (_, Value::String(hash)) => {
                let step = self.steps.iter().find(|step| step.key.as_str() == hash).map(Planned::name);
                let file = || self.inputs.iter().find(|input| input.sha256 == *hash);
                let file = || file().map(|input| input.path.display().to_string());
                let program = || (path == "txray").then(|| "txray itself".to_owned());
                changed.push(step.or_else(file).or_else(program).unwrap_or_else(|| path.to_owned()));
            }
            (Value::Array(before), Value::Array(now)) if before.len() == now.len() => {
                for (before, now) in before.iter().zip(now) {
                    self.differences(before, now, path, changed);
                }
            }
            _ => changed.push(path.to_owned()),
        }
    }
}

struct Planner<'a> {
    pipeline: &'a Pipeline,
    registry: &'a Registry,
    /// Hash of this program: what is built in may give other results after any change of it.
    engine: String,
    inputs: IndexMap<std::path::PathBuf, Input>,
    steps: Vec<Planned>,
}

impl Planner<'_> {
    fn push(&mut self, target: Target, mut recipe: Map<String, Value>) {
        recipe.insert("format".to_owned(), FORMAT.into());
        recipe.insert("step".to_owned(), target.kind().into());
        recipe.insert("txray".to_owned(), self.engine.clone().into());
        let recipe = Value::Object(recipe);
        self.steps.push(Planned { target, key: Key::of(&recipe), recipe });
    }

    fn key(&self, target: &Target) -> Value {
        let step = self.steps.iter().find(|step| step.target == *target);
        step.map_or(Value::Null, |step| step.key.as_str().into())
    }

    fn hash(&mut self, path: &Path) -> Result<Value> {
        if let Some(input) = self.inputs.get(path) {
            return Ok(input.sha256.clone().into());
        }
        let (bytes, sha256) = sha256(path).map_err(|error| Error::io("read", path, &error))?;
        let input = Input { path: path.to_owned(), bytes, sha256 };
        let hash = input.sha256.clone();
        self.inputs.insert(path.to_owned(), input);
        Ok(hash.into())
    }

    /// Hash of the library that a component comes from; null for what is built in.
    fn library(&self, interface: &str, kind: &str) -> Value {
        let found = self.registry.find(interface, kind).ok();
        found.and_then(|(plugin, _)| plugin.origin.sha256()).map_or(Value::Null, Value::from)
    }

    fn text(&mut self, text: SplitRef) -> Result<()> {
        let corpus = &self.pipeline.corpora[&text.corpus];
        let files = corpus.files(&text.split);
        let files = files.iter().map(|path| self.hash(path)).collect::<Result<Vec<Value>>>()?;
        let corpus = corpus.recipe(&text.split);
        self.push(Target::Text(text), object(json!({ "corpus": corpus, "files": files })));
        Ok(())
    }

    fn model(&mut self, name: &str) -> Result<()> {
        let model = &self.pipeline.models[name];
        let from = match &model.origin {
            ModelOrigin::New(vocabulary) => json!({
                "seed": self.pipeline.seed,
                "vocabulary": { "min_count": vocabulary.min_count, "max_size": vocabulary.max_size },
            }),
            ModelOrigin::Directory(directory) => {
                let mut files = Map::new();
                for file in ["config.json", "model.safetensors", "tokenizer.json"] {
                    let path = directory.join(file);
                    if path.exists() {
                        files.insert(file.to_owned(), self.hash(&path)?);
                    }
                }
                Value::Object(files)
            }
            ModelOrigin::Init(to) => self.weights(to),
        };
        let text = |split: &str, corpus: &str| {
            self.key(&Target::Text(SplitRef { corpus: corpus.to_owned(), split: split.to_owned() }))
        };
        let task = model.task.as_ref().map(|task| {
            json!({ "kind": task.kind, "train": text("train", &task.corpus), "valid": text("valid", &task.corpus) })
        });
        let recipe = json!({
            "kind": model.kind,
            "library": self.library(abi::MODEL, &model.kind),
            "device": self.pipeline.device,
            "options": model.options,
            "from": from,
            "task": task,
            "seed": task.is_some().then_some(self.pipeline.seed),
            "checkpoints": model.checkpoints,
        });
        self.push(Target::Model(name.to_owned()), object(recipe));
        Ok(())
    }

    /// The weights that a reference leads to.
    fn weights(&self, model: &ModelRef) -> Value {
        json!({ "model": self.key(&Target::Model(model.name.clone())), "epoch": model.epoch })
    }

    fn stage(&mut self, name: &str) -> Result<()> {
        let stage = &self.pipeline.stages[name];
        let recipe = match &stage.of {
            StageOf::Model { model, text, record, state } => json!({
                "model": self.weights(model),
                "text": self.key(&Target::Text(text.clone())),
                "layers": stage.layers,
                "record": record,
                "state": state,
            }),
            StageOf::Source(source) => json!({ "source": self.component(abi::SOURCE, source)? }),
        };
        self.push(Target::Stage(name.to_owned()), object(recipe));
        Ok(())
    }

    /// What a component gives depends on: its options and its library, and the bytes of the files that its options name,
    /// whatever their names.
    fn component(&mut self, interface: &str, component: &Component) -> Result<Value> {
        let mut options = component.options.clone();
        for (option, path) in &component.files {
            options[option] = self.hash(path)?;
        }
        Ok(json!({
            "kind": component.kind,
            "options": options,
            "library": self.library(interface, &component.kind),
        }))
    }

    fn comparison(&mut self, name: &str) -> Result<()> {
        let comparison = &self.pipeline.comparisons[name];
        let metrics = comparison.metrics.iter().map(|metric| self.component(abi::METRIC, metric));
        let metrics = metrics.collect::<Result<Vec<_>>>()?;
        let recipe = json!({
            "from": self.key(&Target::Stage(comparison.from.clone())),
            "to": self.key(&Target::Stage(comparison.to.clone())),
            "names": [comparison.from, comparison.to],
            "layers": comparison.settings.layers,
            "weighting": comparison.settings.weighting,
            "min_count": comparison.settings.min_count,
            "metrics": metrics,
        });
        self.push(Target::Comparison(name.to_owned()), object(recipe));
        Ok(())
    }

    fn pruning(&mut self, name: &str) -> Result<()> {
        let pruning = &self.pipeline.prunings[name];
        let pruner = self.component(abi::PRUNER, &pruning.pruner)?;
        let comparison = self.key(&Target::Comparison(pruning.comparison.clone()));
        self.push(Target::Pruning(name.to_owned()), object(json!({ "comparison": comparison, "pruner": pruner })));
        Ok(())
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(table) => table,
        _ => Map::new(),
    }
}
