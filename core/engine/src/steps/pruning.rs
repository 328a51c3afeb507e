//! `[pruning.NAME]`: the neurons of a comparison, ranked by a pruner: which would go first.

use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_config::{Name, child};
use txray_method::{NeuronColumns, score, write_ranks};
use txray_plugin::abi;
use txray_tables::columns::pruning;

use super::comparison::Comparison;
use crate::check::{Check, Section};
use crate::component::Component;
use crate::error::{Error, Result};
use crate::form::Form;
use crate::inputs::Hashes;
use crate::out::{OutPath, Publication};
use crate::step::{Made, Making, Step};

/// The neurons of a comparison, ranked by a pruner: which would go first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The comparison whose neurons are scored, by what it and its two stages tell of them.
    comparison: String,
    /// The plugin that scores: its name, or a table of its `kind` and options.
    pruner: Value,
}

/// A pruning of a pipeline.
pub struct Pruning {
    name: Name,
    comparison: Arc<Comparison>,
    pruner: Component,
}

/// What a pruning tells.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PruningFigures {
    /// Neurons that have a score.
    pub scored: usize,
}

impl Section for Pruning {
    const TABLE: &'static str = "pruning";
    const PLURAL: &'static str = "prunings";
    const ABOUT: &'static str = "Neurons ranked for pruning: `[pruning.NAME]`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let keys: Keys = check.read(pointer)?;
        let pruner =
            check.named(abi::PRUNER, &child(pointer, "pruner"), &keys.pruner, |registry, kind, options, host| {
                registry.pruner(kind, options, host).map(drop)
            });
        let comparison = check.find::<Comparison>(&child(pointer, "comparison"), &keys.comparison);
        if comparison.as_ref().is_some_and(|comparison| comparison.align) {
            let message = "a pruner ranks the neurons of one model, and this comparison matches those of two";
            check.error(&child(pointer, "comparison"), message);
            return None;
        }
        Some(Self { name: name.clone(), comparison: comparison?, pruner: pruner? })
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        vec![Arc::clone(self) as _]
    }

    fn form() -> Form {
        Form::of::<Keys>().with_component("pruner", abi::PRUNER)
    }
}

impl Step for Pruning {
    fn kind(&self) -> &'static str {
        Self::STEP
    }

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
        let comparison = &self.comparison;
        vec![
            ("from", Arc::clone(&comparison.from) as _),
            ("to", Arc::clone(&comparison.to) as _),
            ("comparison", Arc::clone(comparison) as _),
        ]
    }

    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value> {
        Ok(json!({ "pruner": hashes.component(&self.pruner)? }))
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let pruner = self.pruner.pruner(making.registry, making.host)?;
        let comparison = self.comparison.read(making.input(&*self.comparison)?)?;
        let (from, to) = (self.comparison.from.read(making)?, self.comparison.to.read(making)?);
        let columns = NeuronColumns::gather(&from.neurons, &to.neurons, &comparison)?;
        let start = Instant::now();
        let scored = score(&*pruner, &columns, making.host).map_err(|error| match Error::from(error) {
            Error::Method(source) => Error::Pruner { kind: self.pruner.kind.clone(), source },
            other => other,
        })?;
        let seconds = start.elapsed().as_secs_f64();
        write_ranks(&making.folder(), &comparison, &scored)?;
        let figures = PruningFigures { scored: scored.iter().filter(|neuron| neuron.rank.is_some()).count() };
        Ok(Made::with(self, &figures)?.seconds(seconds))
    }

    fn publish(&self) -> Vec<Publication> {
        let table = pruning::TABLE;
        vec![Publication { from: table.file(), to: OutPath::file(table.folder(), &self.name, "parquet") }]
    }
}
