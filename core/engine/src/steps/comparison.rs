//! `[comparison.NAME]`: two stages held against each other.

mod significance;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use txray_config::{Name, child};
use txray_method::{
    AlignmentSummary, Between, Compared, Design, EvidenceSummary, MethodError, Metric, Replicate, ReplicatesSummary,
    Resampling, Settings, Side, SignificanceSummary, Summary, SummaryOf, Testing, Unit, Weighting, align, compare,
    evidence,
};
use txray_plugin::{Claim, Level, Site, abi};
use txray_tables::Folder;
use txray_tables::columns::{comparison, comparison_features};

use super::model::Kin;
use super::stage::{Stage, StageOf};
use crate::check::{Check, Section};
use crate::component::Component;
use crate::error::{Error, Result};
use crate::form::Form;
use crate::inputs::Hashes;
use crate::out::{OutPath, Publication};
use crate::step::{Made, Making, Step};
use crate::step_name::StepName;
use significance::{Significance, check_design, check_significance};

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
    /// Whether the neurons of models that began apart are matched by what they prefer in the first of the layers: on half of the
    /// groups, and compared on the others. Neuron 7 of one is a stranger to neuron 7 of the other.
    #[serde(default)]
    align: bool,
}

/// Settings of a comparison that belong together.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum Preset {
    /// The paper's: `weighting = "mean"`.
    #[serde(rename = "tx-ray-2020")]
    TxRay2020,
}

fn one() -> u64 {
    1
}

fn hellinger() -> Vec<Value> {
    vec!["hellinger".into()]
}

/// A comparison of a pipeline.
#[derive(Clone)]
pub struct Comparison {
    /// Its name.
    pub name: StepName,
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
    /// Whether the neurons of strangers are matched.
    pub align: bool,
    seed: u64,
    /// The same in replicates of the models.
    pub replicates: Vec<Arc<Comparison>>,
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
        if keys.align {
            check_aligned(check, pointer, &from, &to);
        } else if let Some([of_from, of_to]) = from.unlike(&to) {
            let message = format!("the stages do not compare: `{}` reads {of_from}, `{}` {of_to}", from.name, to.name);
            check.error_with_help(&child(pointer, "to"), message, ALIGN);
        } else if from.kin(&to) == Kin::Strangers {
            let message = format!(
                "the models of `{}` and `{}` began apart: neuron 7 of one is a stranger to neuron 7 of the other",
                from.name, to.name
            );
            check.error_with_help(&child(pointer, "to"), message, ALIGN);
        }
        let weighting = keys.weighting.unwrap_or(match keys.preset {
            Some(Preset::TxRay2020) => Weighting::Mean,
            None => Weighting::default(),
        });
        check.put(pointer, &json!({ "weighting": weighting }));
        let design = check_design(check, pointer, &from, &to, keys.significance.as_ref());
        if keys.align && design.is_none() {
            let message = "neurons are matched by observations, of stages that are known to have read one text, or two";
            let help = "of stages with a `source`, say `significance = { design = \"swap\" }` or `\"pool\"`";
            check.error_with_help(&child(pointer, "align"), message, help);
        }
        let comparison = Self {
            name: name.into(),
            from,
            to,
            layers,
            weighting,
            min_count: keys.min_count,
            metrics,
            design,
            significance: keys.significance,
            align: keys.align,
            seed: check.seed,
            replicates: Vec::new(),
        };
        (check.diagnostics.len() == before).then(|| comparison.with_replicates())
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        [self].into_iter().chain(&self.replicates).map(|comparison| Arc::clone(comparison) as _).collect()
    }

    fn form() -> Form {
        Form::of::<Keys>().with_component("metrics", abi::METRIC)
    }
}

/// What to do about neurons that are not each other's.
const ALIGN: &str = "say `align = true`: neurons are then matched by what they prefer on half of the groups, and compared on the others";

/// Refuses to match what needs no matching, or cannot be matched.
fn check_aligned(check: &mut Check<'_>, pointer: &str, from: &Stage, to: &Stage) {
    let place = child(pointer, "align");
    let has_strangers = |stage: &Stage| stage.replicates.iter().any(|other| stage.kin(other) == Kin::Strangers);
    if from.kin(to) == Kin::Kin && !has_strangers(from) && !has_strangers(to) {
        let message = format!("`{}` and `{}` have the same neurons: there is nothing to match", from.name, to.name);
        check.error_with_help(&place, message, "leave it out");
    }
    let names = |stage: &Stage| stage.sites.iter().map(|site| site.name.clone()).collect::<Vec<_>>();
    if !from.sites.is_empty() && !to.sites.is_empty() && names(from) != names(to) {
        let told = |stage: &Stage| stage.sites.iter().map(Site::to_string).collect::<Vec<_>>().join(", ");
        let message = format!(
            "neurons are matched within sites of one name: `{}` reads {}, `{}` {}",
            from.name,
            told(from),
            to.name,
            told(to)
        );
        check.error(&place, message);
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

/// Two stages to be held against each other.
struct Pair<'a> {
    stages: [&'a Stage; 2],
    /// What units are permuted or split by, where observations tell.
    design: Option<Design>,
    /// How they are permuted, where they are.
    test: Option<Testing>,
    texts_differ: bool,
}

/// What was found of them.
struct Found {
    compared: Compared,
    evidence: Option<EvidenceSummary>,
    alignment: Option<AlignmentSummary>,
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

    /// The same in each replicate, where both stages are those of models that share their beginning.
    fn with_replicates(mut self) -> Self {
        let seeds = |stage: &Stage| stage.replicates.iter().filter_map(|of| of.name.replicate).collect::<Vec<_>>();
        let (from, to) = (seeds(&self.from), seeds(&self.to));
        let of =
            |stage: &Arc<Stage>, seed: u64| stage.replicates.iter().find(|of| of.name.replicate == Some(seed)).cloned();
        let all = from.iter().chain(to.iter().filter(|seed| !from.contains(seed)));
        let replicate = |&seed: &u64| {
            let (from, to) = (of(&self.from, seed), of(&self.to, seed));
            // What began from one model is held against that; what is of strangers in this seed alone is no replicate.
            let pairs =
                [(from.as_ref(), to.as_ref()), (Some(&self.from), to.as_ref()), (from.as_ref(), Some(&self.to))];
            let mut pairs = pairs.into_iter().filter_map(|(from, to)| from.zip(to));
            let (from, to) = pairs.find(|(from, to)| from.kin(to) == self.from.kin(&self.to))?;
            let (name, from, to) = (self.name.replicate(seed), Arc::clone(from), Arc::clone(to));
            Some(Arc::new(Self { name, from, to, ..self.clone() }))
        };
        self.replicates = all.filter_map(replicate).collect();
        self
    }

    /// The stage that is held against the same of replicates, and whether it is the later one.
    fn replicated(&self) -> Option<(&Arc<Stage>, bool)> {
        let sides = [(&self.to, true), (&self.from, false)];
        let of = sides.into_iter().find(|(stage, _)| !stage.replicates.is_empty());
        // In a replicate it would be held against others again.
        of.filter(|_| self.name.replicate.is_none())
    }

    /// Holds two stages against each other.
    fn compared(&self, making: &Making<'_>, metrics: &[Metric], pair: Pair<'_>) -> Result<Found> {
        let Pair { stages: [from, to], design, test, texts_differ } = pair;
        let settings =
            Settings { layers: &self.layers, weighting: &self.weighting, min_count: self.min_count, texts_differ };
        let read = [from.read(making)?, to.read(making)?];
        let Some(design) = design else {
            let compared = compare(&read[0], &read[1], &settings, metrics, making.host)?;
            return Ok(Found { compared, evidence: None, alignment: None });
        };
        let unit = self.significance.as_ref().map_or(Unit::Group, |significance| significance.unit);
        let by = |unit| Ok::<_, Error>([from.observed(making, unit)?, to.observed(making, unit)?]);
        let mut observed = by(unit)?;
        // A stage of groups and one without are both drawn by documents.
        if observed[0].unit != observed[1].unit {
            observed = by(Unit::Document)?;
        }
        let aligned = match self.align && from.kin(to) != Kin::Kin {
            false => None,
            true => {
                let side = |at: usize| ((*read[at]).clone(), (*observed[at]).clone());
                Some(align([&side(0), &side(1)], &self.layers[0], &self.weighting, design, self.seed)?)
            }
        };
        let sides = match &aligned {
            None => [0, 1].map(|at| Side { stage: &read[at], observed: &observed[at] }),
            Some(aligned) => aligned.sides.each_ref().map(|(stage, observed)| Side { stage, observed }),
        };
        let mut compared = compare(sides[0].stage, sides[1].stage, &settings, metrics, making.host)?;
        let is_one_text = matches!((&from.of, &to.of), (StageOf::Model { .. }, StageOf::Model { .. }));
        let resampling = Resampling { design, seed: self.seed, test, intervals: true, is_one_text };
        let found = evidence(sides, &settings, metrics, &resampling, making.host)?;
        compared.add(&found, test.map_or(0.0, |test| test.fdr));
        let used = sides[0].observed.unit;
        let evidence = EvidenceSummary {
            design,
            unit: used,
            units: sides.map(|side| side.observed.units.len() as u64),
            documents_for_groups: unit == Unit::Group && used == Unit::Document,
            confounded: self.texts_differ() && self.models_differ(),
            significance: test.map(|Testing { permutations, most, fdr, .. }| SignificanceSummary {
                permutations,
                most,
                fdr,
            }),
        };
        if let Some(aligned) = &aligned {
            compared.aligned(&aligned.partners);
        }
        Ok(Found { compared, evidence: Some(evidence), alignment: aligned.map(|aligned| aligned.summary) })
    }

    /// What training again changes: the same in replicates, and one of the stages held against theirs.
    fn replicates(
        &self,
        making: &Making<'_>,
        metrics: &[Metric],
        compared: &mut Compared,
    ) -> Result<Option<ReplicatesSummary>> {
        let Some((stage, is_later)) = self.replicated() else { return Ok(None) };
        let each = self.replicates.iter().map(|replicate| {
            let summary = replicate.summary(making.input(&**replicate)?)?;
            Ok(Replicate::of(replicate.name.to_string(), summary))
        });
        let each = each.collect::<Result<Vec<_>>>()?;
        let are_strangers = stage.replicates.iter().any(|other| stage.kin(other) == Kin::Strangers);
        if are_strangers && !self.align {
            return Ok(Some(ReplicatesSummary { each, between: None }));
        }
        // One text, read by models trained alike.
        let design = Some(Design::Swap).filter(|_| stage.tells_observations());
        let pair = |other| Pair { stages: [&**stage, other], design, test: None, texts_differ: false };
        let held = stage.replicates.iter().map(|other| self.compared(making, metrics, pair(other)));
        let held: Vec<Compared> = held.map(|found| Ok(found?.compared)).collect::<Result<_>>()?;
        compared.add_between(&held, is_later, are_strangers);
        let of_layer = |at: usize| held.iter().map(|compared| compared.joints()[at]).collect();
        let between = Between {
            stage: stage.name.to_string(),
            replicates: stage.replicates.iter().map(|other| other.name.to_string()).collect(),
            aligned: are_strangers,
            layers: self.layers.iter().enumerate().map(|(at, layer)| (layer.clone(), of_layer(at))).collect(),
        };
        Ok(Some(ReplicatesSummary { each, between: Some(between) }))
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
        let mut inputs: Vec<(&'static str, Arc<dyn Step>)> =
            vec![("from", Arc::clone(&self.from) as _), ("to", Arc::clone(&self.to) as _)];
        if let Some((stage, _)) = self.replicated() {
            inputs.extend(stage.replicates.iter().map(|stage| ("replicate", Arc::clone(stage) as _)));
            inputs.extend(self.replicates.iter().map(|comparison| ("comparison", Arc::clone(comparison) as _)));
        }
        inputs
    }

    fn table(&self) -> String {
        format!("{}.{}", Self::TABLE, self.name.name)
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
            "align": self.align,
            "replicates": self.replicated().map(|(stage, is_later)| (stage.name.to_string(), is_later)),
            "seed": self.seed,
        }))
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let mut metrics = Vec::new();
        for metric in &self.metrics {
            let found = making.registry.find(abi::METRIC, &metric.kind);
            let claims = found.map(|(_, info)| info.claims.clone()).unwrap_or_default();
            let claimed = |claim: Claim| claims.iter().any(|name| name == claim.name());
            metrics.push(Metric {
                name: metric.kind.clone(),
                metric: metric.metric(making.registry, making.host)?,
                bounded: claimed(Claim::Bounded),
                affine: claimed(Claim::Affinity),
            });
        }
        // They are read before the clock goes: the comparison is what takes so long.
        self.from.read(making)?;
        self.to.read(making)?;
        let start = Instant::now();
        let neurons = self.from.read(making)?.neurons.len();
        let test = self.significance.as_ref().map(|of| Testing {
            permutations: of.permutations,
            most: of.most(neurons),
            fdr: of.fdr,
            max_t: of.max_t,
        });
        let pair =
            Pair { stages: [&self.from, &self.to], design: self.design, test, texts_differ: self.texts_differ() };
        let Found { mut compared, evidence, alignment } = self.compared(making, &metrics, pair)?;
        if test.is_some() && evidence.as_ref().is_some_and(|evidence| evidence.documents_for_groups) {
            let message = format!(
                "[{}] draws documents, as they are in no groups: where they hang together, its p are too small",
                self.table()
            );
            making.host.log(Level::Warning, &message);
        }
        let replicates = self.replicates(making, &metrics, &mut compared)?;
        let seconds = start.elapsed().as_secs_f64();
        compared.write(&making.folder())?;
        let of = SummaryOf {
            weighting: self.weighting,
            min_count: self.min_count,
            exploratory: self.metrics().skip(1).map(str::to_owned).collect(),
            evidence,
            alignment,
            replicates,
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
