//! `[comparison.NAME]`: two stages held against each other.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_config::{Name, child};
use txray_method::{
    Compared, Design, EvidenceSummary, MethodError, Metric, Resampling, Settings, Side, SignificanceSummary, Summary,
    SummaryOf, Testing, Unit, Weighting, compare, evidence,
};
use txray_plugin::{Level, abi};
use txray_tables::Folder;
use txray_tables::columns::{comparison, comparison_features};

use super::stage::{Stage, StageOf};
use crate::check::{Check, Section};
use crate::component::Component;
use crate::error::{Error, Result};
use crate::form::Form;
use crate::inputs::Hashes;
use crate::out::{OutPath, Publication};
use crate::step::{Made, Making, Step};

/// The file of what a comparison comes to.
const SUMMARY: &str = "comparison.json";

/// What metrics claim whose distances can be corrected: `1 - d²` is an affinity.
const AFFINITY: &str = "affinity";

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
    /// What preferences are weighted by before they are made to sum to 1. Default: `"mass"`, or the preset's.
    weighting: Option<Weighting>,
    /// A neuron's features that it met less often than this, both stages pooled, are left out; the mass they take along is told.
    #[serde(default = "one")]
    min_count: u64,
    /// The distances: names, or tables of a `kind` and its options. What the first one finds is told; the others are exploratory.
    #[serde(default = "hellinger")]
    metrics: Vec<Value>,
    /// Settings that belong together. They are fixed before results are seen.
    preset: Option<Preset>,
    /// Whether the distances, and the counts of neurons, are more than chance: a permutation test. Default: nothing is tested.
    significance: Option<Significance>,
}

/// Settings of a comparison that belong together.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum Preset {
    /// The paper's: `weighting = "mean"`.
    #[serde(rename = "tx-ray-2020")]
    TxRay2020,
}

/// Whether distances are more than chance.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Significance {
    /// How often units are drawn anew, for every neuron.
    permutations: u64,
    /// How often at most for one of which so many do not tell on which side of the threshold it is. Default: 20 times as often.
    most: Option<u64>,
    /// The share of false discoveries that is allowed among the neurons that are said to have changed.
    fdr: f64,
    /// What is drawn as a whole: a group of documents (an article, a movie), as documents hang together in it; or a document.
    unit: Unit,
    /// What is permuted: `pool`, where one model read two texts; `swap`, where the same text was read twice. Default: what the
    /// stages are; of stages with a `source` that is not known.
    design: Option<Design>,
    /// Whether stages are tested that differ in both model and text: what changed them is then not told.
    confounded: bool,
    /// Whether p is also told against the largest of all neurons: the chance of a single false discovery.
    max_t: bool,
}

impl Default for Significance {
    fn default() -> Self {
        Self {
            permutations: 1000,
            most: None,
            fdr: 0.05,
            unit: Unit::Group,
            design: None,
            confounded: false,
            max_t: false,
        }
    }
}

impl Significance {
    fn most(&self) -> u64 {
        self.most.unwrap_or(20 * self.permutations).max(self.permutations)
    }
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
    /// The distances; each has columns of its kind's name.
    metrics: Vec<Component>,
    /// What would be permuted, where that is known.
    design: Option<Design>,
    significance: Option<Significance>,
    seed: u64,
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
        if let Some(significance) = &keys.significance {
            check_significance(check, &child(pointer, "significance"), significance);
        }
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
        if let Some([of_from, of_to]) = from.unlike(&to) {
            let message = format!("the stages do not compare: `{}` reads {of_from}, `{}` {of_to}", from.name, to.name);
            check.error(&child(pointer, "to"), message);
        }
        let weighting = keys.weighting.unwrap_or(match keys.preset {
            Some(Preset::TxRay2020) => Weighting::Mean,
            None => Weighting::default(),
        });
        check.put(pointer, &json!({ "weighting": weighting }));
        let design = check_design(check, pointer, &from, &to, keys.significance.as_ref());
        let comparison = Self {
            name: name.clone(),
            from,
            to,
            layers,
            weighting,
            min_count: keys.min_count,
            metrics,
            design,
            significance: keys.significance,
            seed: check.seed,
        };
        (check.diagnostics.len() == before).then_some(comparison)
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        vec![Arc::clone(self) as _]
    }

    fn form() -> Form {
        Form::of::<Keys>().with_component("metrics", abi::METRIC)
    }
}

fn check_significance(check: &mut Check<'_>, pointer: &str, significance: &Significance) {
    if significance.permutations == 0 {
        check.error(&child(pointer, "permutations"), "a test needs at least one permutation");
    }
    if significance.most.is_some_and(|most| most < significance.permutations) {
        check.error(&child(pointer, "most"), "`most` is below `permutations`, which every neuron has");
    }
    if !(significance.fdr > 0.0 && significance.fdr < 1.0) {
        check.error(&child(pointer, "fdr"), "a rate of false discoveries is above 0 and below 1");
    }
}

/// What would be permuted between two stages, if that is known.
fn check_design(
    check: &mut Check<'_>,
    pointer: &str,
    from: &Stage,
    to: &Stage,
    significance: Option<&Significance>,
) -> Option<Design> {
    let place = child(pointer, "significance");
    let mut refuse = |message: String, help: &str| {
        if significance.is_some() {
            check.error_with_help(&place, message, help);
        }
        None
    };
    if let Some(stage) = [from, to].into_iter().find(|stage| !stage.tells_observations()) {
        let message = format!("the stage `{}` records `all`, which leaves no observations to draw from", stage.name);
        return refuse(message, "record `max-1`, `top-k` or `threshold`");
    }
    let asked = significance.and_then(|significance| significance.design);
    let (StageOf::Model { model: a, text: text_a, .. }, StageOf::Model { model: b, text: text_b, .. }) =
        (&from.of, &to.of)
    else {
        let message = "of stages with a `source` it is not known what they read";
        let help =
            "say `design = \"swap\"` where both read the same text, `design = \"pool\"` where one model read two";
        return asked.or_else(|| refuse(message.to_owned(), help));
    };
    let is_same_text = text_a.name() == text_b.name();
    let is_same_model = a.to_string() == b.to_string();
    match (is_same_text, is_same_model, asked) {
        (true, _, Some(Design::Pool)) => {
            let help = "leave `design` out: in each unit the two readings are swapped or not";
            refuse(
                format!("both stages read `{}`: pooled, its readings would be taken for two texts", text_a.name()),
                help,
            )
        }
        (false, _, Some(Design::Swap)) => {
            let message =
                format!("`{}` and `{}` are two texts: there is nothing to swap", text_a.name(), text_b.name());
            refuse(message, "leave `design` out")
        }
        (true, ..) => Some(Design::Swap),
        (false, true, _) => Some(Design::Pool),
        (false, false, _) if significance.is_none_or(|significance| significance.confounded) => Some(Design::Pool),
        (false, false, _) => {
            let message = format!(
                "the stages differ in model (`{a}`, `{b}`) and in text (`{}`, `{}`): what changed neurons would not be told",
                text_a.name(),
                text_b.name()
            );
            refuse(
                message,
                "read both models over both texts, and compare where one of them is the same; or say `confounded = true`",
            )
        }
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
        let of_metric = |kind: &str| comparison::TABLE.each.iter().map(|each| each.column(kind)).collect::<Vec<_>>();
        let columns = of_metric(&metric.kind);
        let own = comparison::TABLE.columns.iter().map(|column| column.name.to_owned());
        let of_others =
            metrics.iter().filter(|other| other.kind != metric.kind).flat_map(|other| of_metric(&other.kind));
        if let Some(taken) = own.chain(of_others).find(|taken| columns.contains(taken)) {
            check.error(&at, format!("the table has a column `{taken}` already: no metric can be called so"));
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

    fn texts_differ(&self) -> bool {
        match (&self.from.of, &self.to.of) {
            (StageOf::Model { text: a, .. }, StageOf::Model { text: b, .. }) => a.name() != b.name(),
            _ => self.design == Some(Design::Pool),
        }
    }

    fn models_differ(&self) -> bool {
        match (&self.from.of, &self.to.of) {
            (StageOf::Model { model: a, .. }, StageOf::Model { model: b, .. }) => a.to_string() != b.to_string(),
            _ => false,
        }
    }

    /// Finds out what the distances are worth, where that can be told.
    fn evidence(
        &self,
        making: &Making<'_>,
        stages: [&txray_method::Stage; 2],
        settings: &Settings<'_>,
        metrics: &[Metric],
        compared: &mut Compared,
    ) -> Result<Option<EvidenceSummary>> {
        let Some(design) = self.design else { return Ok(None) };
        let unit = self.significance.as_ref().map_or(Unit::Group, |significance| significance.unit);
        let by = |unit| Ok::<_, Error>([self.from.observed(making, unit)?, self.to.observed(making, unit)?]);
        let mut observed = by(unit)?;
        // A stage of groups and one without are both drawn by documents.
        if observed[0].unit != observed[1].unit {
            observed = by(Unit::Document)?;
        }
        let used = observed[0].unit;
        let documents_for_groups = unit == Unit::Group && used == Unit::Document;
        if documents_for_groups && self.significance.is_some() {
            let message = format!(
                "[comparison.{}] draws documents, as they are in no groups: where they hang together, its p are too small",
                self.name
            );
            making.host.log(Level::Warning, &message);
        }
        let affine = self.metrics.iter().map(|metric| {
            let found = making.registry.find(abi::METRIC, &metric.kind);
            found.is_ok_and(|(_, info)| info.claims.iter().any(|claim| claim == AFFINITY))
        });
        let affine: Vec<bool> = affine.collect();
        let test = self.significance.as_ref().map(|of| Testing {
            permutations: of.permutations,
            most: of.most(),
            fdr: of.fdr,
            max_t: of.max_t,
        });
        let resampling = Resampling { design, seed: self.seed, test };
        let side = |at: usize| Side { stage: stages[at], observed: &observed[at] };
        let found = evidence([side(0), side(1)], settings, metrics, &affine, &resampling, making.host)?;
        compared.add(&found, test.map_or(0.0, |test| test.fdr));
        Ok(Some(EvidenceSummary {
            design,
            unit: used,
            units: [0, 1].map(|side| observed[side].units.len() as u64),
            documents_for_groups,
            confounded: self.texts_differ() && self.models_differ(),
            significance: test.map(|Testing { permutations, most, fdr, .. }| SignificanceSummary {
                permutations,
                most,
                fdr,
            }),
        }))
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
            "names": [self.from.name.to_string(), self.to.name.to_string()],
            "layers": self.layers,
            "weighting": self.weighting,
            "min_count": self.min_count,
            "metrics": metrics,
            "design": self.design,
            "significance": self.significance,
            "seed": self.seed,
        }))
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let mut metrics = Vec::new();
        for metric in &self.metrics {
            metrics.push((metric.kind.clone(), metric.metric(making.registry, making.host)?));
        }
        let (from, to) = (self.from.read(making)?, self.to.read(making)?);
        let start = Instant::now();
        let settings = Settings {
            layers: &self.layers,
            weighting: &self.weighting,
            min_count: self.min_count,
            texts_differ: self.texts_differ(),
        };
        let mut compared = compare(&from, &to, &settings, &metrics, making.host)?;
        let evidence = self.evidence(making, [&from, &to], &settings, &metrics, &mut compared)?;
        let seconds = start.elapsed().as_secs_f64();
        compared.write(&making.folder())?;
        let of = SummaryOf {
            weighting: self.weighting,
            min_count: self.min_count,
            exploratory: self.metrics().skip(1).map(str::to_owned).collect(),
            evidence,
        };
        making
            .folder()
            .write_json(SUMMARY, &compared.summary(&self.from.name.to_string(), &self.to.name.to_string(), of))?;
        Ok(Made::default().seconds(seconds))
    }

    fn publish(&self) -> Vec<Publication> {
        let table = comparison::TABLE;
        let to = |extension| OutPath::file(table.folder(), &self.name, extension);
        vec![
            Publication { from: table.file(), to: to("parquet") },
            Publication { from: comparison_features::TABLE.file(), to: to("features.parquet") },
            Publication { from: SUMMARY.to_owned(), to: to("json") },
        ]
    }
}
