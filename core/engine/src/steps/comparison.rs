//! `[comparison.NAME]`: two stages held against each other.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use txray_config::{Name, child};
use txray_method::{MethodError, Settings, Summary, Weighting, compare, unlike};
use txray_plugin::abi;
use txray_tables::Folder;
use txray_tables::columns::comparison;

use super::stage::Stage;
use crate::check::{Check, Section};
use crate::component::Component;
use crate::error::Result;
use crate::form::Form;
use crate::inputs::Hashes;
use crate::out::{OutPath, Publication};
use crate::step::{Made, Making, Step};

/// The file of what a comparison comes to.
const SUMMARY: &str = "comparison.json";

/// Two stages held against each other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The earlier stage.
    from: String,
    /// The later stage.
    to: String,
    /// The layers compared. Default: those that both stages have.
    layers: Option<Vec<String>>,
    /// What preferences are weighted by before they are made to sum to 1.
    #[serde(default)]
    weighting: Weighting,
    /// A neuron's features that it met less often than this, both stages pooled, are left out; the mass they take along is told.
    #[serde(default = "one")]
    min_count: u64,
    /// The distances: names, or tables of a `kind` and its options.
    #[serde(default = "hellinger")]
    metrics: Vec<Value>,
}

fn one() -> u64 {
    1
}

fn hellinger() -> Vec<Value> {
    vec!["hellinger".into()]
}

/// A comparison of a pipeline.
pub struct Comparison {
    /// Its name.
    pub name: Name,
    /// The earlier stage.
    pub from: Arc<Stage>,
    /// The later stage.
    pub to: Arc<Stage>,
    /// The layers compared.
    pub layers: Vec<String>,
    weighting: Weighting,
    min_count: u64,
    /// The distances; each has a column of its kind's name.
    metrics: Vec<Component>,
}

impl Section for Comparison {
    const TABLE: &'static str = "comparison";
    const PLURAL: &'static str = "comparisons";
    const ABOUT: &'static str = "Stages held against each other: `[comparison.NAME]`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let keys: Keys = check.read(pointer)?;
        let before = check.diagnostics.len();
        let from = check.find::<Stage>(&child(pointer, "from"), &keys.from);
        let to = check.find::<Stage>(&child(pointer, "to"), &keys.to);
        let metrics = check_metrics(check, pointer, &keys.metrics);
        let (from, to) = (from?, to?);
        let in_both = |layer: &String| from.layers.contains(layer) && to.layers.contains(layer);
        let layers = match keys.layers {
            Some(layers) if layers.is_empty() => {
                check.error(&child(pointer, "layers"), "a comparison needs at least one layer");
                return None;
            }
            Some(layers) => {
                for (index, layer) in layers.iter().enumerate().filter(|(_, layer)| !in_both(layer)) {
                    let lacking = if from.layers.contains(layer) { &keys.to } else { &keys.from };
                    let message = format!("the stage `{lacking}` is read without the layer `{layer}`");
                    check.error(&format!("{pointer}/layers/{index}"), message);
                }
                // Each of its neurons would be counted twice.
                for (index, layer) in
                    layers.iter().enumerate().filter(|(index, layer)| layers[..*index].contains(layer))
                {
                    check.error(&format!("{pointer}/layers/{index}"), format!("the layer `{layer}` is named twice"));
                }
                layers
            }
            None => from.layers.iter().filter(|layer| in_both(layer)).cloned().collect(),
        };
        if layers.is_empty() {
            check.error(pointer, "the two stages have no layer in common");
        }
        // Where the weights have yet to tell, `compare` finds out.
        if !from.sites.is_empty()
            && !to.sites.is_empty()
            && let Some([of_from, of_to]) = unlike(&from.sites, &to.sites)
        {
            let message = format!("the stages do not compare: `{}` reads {of_from}, `{}` {of_to}", from.name, to.name);
            check.error(&child(pointer, "to"), message);
        }
        let (weighting, min_count) = (keys.weighting, keys.min_count);
        let comparison = Self { name: name.clone(), from, to, layers, weighting, min_count, metrics };
        (check.diagnostics.len() == before).then_some(comparison)
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        vec![Arc::clone(self) as _]
    }

    fn form() -> Form {
        Form::of::<Keys>().with_component("metrics", abi::METRIC)
    }
}

fn check_metrics(check: &mut Check<'_>, pointer: &str, values: &[Value]) -> Vec<Component> {
    let mut metrics: Vec<Component> = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let at = format!("{pointer}/metrics/{index}");
        let metric = check.named(abi::METRIC, &at, value, |registry, kind, options, host| {
            registry.metric(kind, options, host).map(drop)
        });
        let Some(metric) = metric else { continue };
        if metrics.iter().any(|other| other.kind == metric.kind) {
            check.error(&at, format!("the metric `{}` is named twice: its column would be, too", metric.kind));
        }
        if comparison::TABLE.columns.iter().any(|column| column.name == metric.kind) {
            check.error(&at, format!("the table has a column `{}` already: no metric can be called so", metric.kind));
        }
        metrics.push(metric);
    }
    metrics
}

impl Comparison {
    /// The names of its metrics, in order.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|metric| metric.kind.as_str())
    }

    /// Its table, in `directory`.
    pub fn read(&self, directory: &Path) -> Result<txray_method::Comparison> {
        let metrics: Vec<String> = self.metrics().map(str::to_owned).collect();
        Ok(txray_method::Comparison::read(&Folder(directory), &metrics)?)
    }

    /// What it came to, in `directory`.
    pub fn summary(&self, directory: &Path) -> Result<Summary> {
        Ok(Folder(directory).read_json(SUMMARY).map_err(MethodError::from)?)
    }
}

impl Step for Comparison {
    fn kind(&self) -> &'static str {
        Self::STEP
    }

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
        vec![("from", Arc::clone(&self.from) as _), ("to", Arc::clone(&self.to) as _)]
    }

    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value> {
        let metrics = self.metrics.iter().map(|metric| hashes.component(metric)).collect::<Result<Vec<_>>>()?;
        Ok(json!({
            // They stand in the summary.
            "names": [self.from.name, self.to.name],
            "layers": self.layers,
            "weighting": self.weighting,
            "min_count": self.min_count,
            "metrics": metrics,
        }))
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let mut metrics = Vec::new();
        for metric in &self.metrics {
            metrics.push((metric.kind.clone(), metric.metric(making.registry, making.host)?));
        }
        let (from, to) = (self.from.read(making)?, self.to.read(making)?);
        let start = Instant::now();
        let settings = Settings { layers: &self.layers, weighting: &self.weighting, min_count: self.min_count };
        let compared = compare(&from, &to, &settings, &metrics, making.host)?;
        let seconds = start.elapsed().as_secs_f64();
        compared.comparison.write(&making.folder())?;
        let summary = compared.summary(&self.from.name, &self.to.name, self.weighting, self.min_count);
        making.folder().write_json(SUMMARY, &summary)?;
        Ok(Made::default().seconds(seconds))
    }

    fn publish(&self) -> Vec<Publication> {
        let table = comparison::TABLE;
        let to = |extension| OutPath::file(table.folder(), &self.name, extension);
        vec![
            Publication { from: table.file(), to: to("parquet") },
            Publication { from: SUMMARY.to_owned(), to: to("json") },
        ]
    }
}
