//! What a pipeline comes to before it runs: its steps in order, each with the recipe of everything it depends on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use txray_host::Registry;
use txray_plugin::Host;
use txray_tables::{FORMAT, Input};

use crate::error::{Error, Result};
use crate::files::hash;
use crate::inputs::Hashes;
use crate::pipeline::Pipeline;
use crate::shard::Shard;
use crate::step::{OWN, Step};
use crate::store::Key;

/// A step of a plan.
#[derive(Clone)]
pub struct Planned {
    /// The step.
    pub step: Arc<dyn Step>,
    /// Everything that its files depend on.
    pub recipe: Value,
    /// The fingerprint of the recipe.
    pub key: Key,
    /// The user's files that plugins open when it is made.
    pub(crate) opened: Vec<PathBuf>,
}

impl Planned {
    /// The step's name in all: `stage.early`.
    pub fn id(&self) -> String {
        self.step.id()
    }
}

/// The steps of a pipeline, each after those it depends on.
pub struct Plan {
    /// Those that are kept in the store.
    pub steps: Vec<Planned>,
    /// Those that are made over the out directory, at the end of every run.
    pub afterwards: Vec<Planned>,
    /// The files that are read.
    pub inputs: Vec<Input>,
    /// The part of every stage's documents that is read, where it is not all: then there are stages alone, and what they need.
    pub shard: Option<Shard>,
    /// The hash of this program.
    pub(crate) program: String,
    /// The folders of which plugins read every file, with the files' names.
    pub(crate) folders: HashMap<PathBuf, Vec<String>>,
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
    /// Plans a pipeline: hashes the files it reads, and works out the fingerprint of every step. Nothing runs.
    pub fn of(pipeline: &Pipeline, registry: &Registry, host: &Host<'_>, shard: Option<Shard>) -> Result<Self> {
        // What is built in may give other results after any change of the program.
        let program = program().map_err(|error| Error::disk("find", "this program".as_ref(), error))?;
        let program = hash(&program, host).map_err(|error| Error::disk("read", &program, error));
        let plan = program.and_then(|program| {
            let steps = pipeline.steps().filter(|step| shard.is_none() || step.has_parts());
            Self::of_steps(steps, &pipeline.order(), registry, &program.sha256, host, shard)
        });
        plan.map_err(|error| if host.cancelled() { Error::Cancelled } else { error })
    }

    /// Plans steps, and all that they need, in the order of these kinds.
    fn of_steps<'s>(
        wanted: impl Iterator<Item = &'s Arc<dyn Step>>,
        order: &[&str],
        registry: &Registry,
        program: &str,
        host: &Host<'_>,
        shard: Option<Shard>,
    ) -> Result<Self> {
        let mut steps = Vec::new();
        let mut seen = BTreeSet::new();
        for step in wanted {
            gather(step, &mut seen, &mut steps);
        }
        // Stable, so that steps of one kind stay behind those they need.
        steps.sort_by_key(|step| order.iter().position(|kind| *kind == step.kind()).unwrap_or(order.len()));
        let mut hashes = Hashes::new(registry, host);
        let mut keys: BTreeMap<String, Key> = BTreeMap::new();
        let mut passed_on: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let mut plan = Self {
            steps: Vec::new(),
            afterwards: Vec::new(),
            inputs: Vec::new(),
            shard,
            program: program.to_owned(),
            folders: HashMap::new(),
        };
        for step in steps {
            let mut inputs = Vec::new();
            for (part, input) in step.inputs() {
                let key = keys.get(&input.id()).ok_or_else(|| Error::Order { step: input.id() })?;
                inputs.push(json!([part, key.as_str()]));
            }
            let own = step.recipe(&mut hashes)?;
            let mut recipe =
                json!({ "format": FORMAT, "step": step.kind(), "txray": program, "inputs": inputs, OWN: own });
            if let Some(shard) = shard.filter(|_| step.has_parts()) {
                step.check_part().map_err(|error| error.of_table(step.table()))?;
                recipe["shard"] = shard.to_string().into();
            }
            let key = Key::of(&recipe);
            keys.insert(step.id(), key.clone());
            let mut opened = hashes.take_opened();
            opened.extend(step.inputs().iter().filter_map(|(_, input)| passed_on.get(&input.id())).flatten().cloned());
            if step.passes_on() {
                passed_on.insert(step.id(), opened.clone());
            }
            let planned = if step.reads_the_run() { &mut plan.afterwards } else { &mut plan.steps };
            planned.push(Planned { step, recipe, key, opened });
        }
        (plan.inputs, plan.folders) = hashes.into_inputs();
        Ok(plan)
    }

    /// Why a step that is not in the store is not, given what the steps of this pipeline were made of the last time.
    pub fn reason(&self, step: &Planned, recent: &BTreeMap<String, Value>) -> Reason {
        let Some(before) = recent.get(&step.id()) else { return Reason::New };
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
                    let path = match path {
                        "" if key == OWN => String::new(),
                        "" => key.clone(),
                        _ => format!("{path}.{key}"),
                    };
                    let part = |table: &Map<String, Value>| table.get(key).cloned().unwrap_or_default();
                    self.differences(&part(before), &part(now), &path, changed);
                }
            }
            // A key of another step, or the hash of a file, is told by what has it.
            (_, Value::String(hash)) => {
                let step = self.steps.iter().find(|step| step.key.as_str() == hash).map(Planned::id);
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

/// The file of this program. Where it was replaced since it began, that is not the file at its path.
fn program() -> std::io::Result<PathBuf> {
    let itself = Path::new("/proc/self/exe");
    if itself.exists() { Ok(itself.to_owned()) } else { std::env::current_exe() }
}

/// Puts a step behind all that it needs. A step that several need, or that comes from several places, is there once.
fn gather(step: &Arc<dyn Step>, seen: &mut BTreeSet<String>, steps: &mut Vec<Arc<dyn Step>>) {
    if seen.insert(step.id()) {
        for (_, input) in step.inputs() {
            gather(&input, seen, steps);
        }
        steps.push(Arc::clone(step));
    }
}

#[cfg(test)]
mod tests;
