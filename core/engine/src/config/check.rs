//! From tables to a checked [`Pipeline`]. Every error is gathered; a table with an error is left out of the graph, and
//! names that lead to it are not reported again.

mod components;
mod models;

use std::collections::HashSet;
use std::path::Path;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use txray_plugin::{Host, abi};

use super::{
    Comparison, ComparisonSection, Component, Model, Pipeline, Pruning, PruningSection, SplitRef, Stage, StageOf,
    StageSection, TopLevel,
};
use crate::compare::Settings;
use crate::corpus::{Corpus, GrammarOptions, OptionError, Resolver, TextOptions, TsvOptions};
use crate::manifest::Manifest;
use components::merge;
use txray_config::{At, Diagnostic, Diagnostics, Document, child, suggestion};
use txray_host::{FindError, Registry};

/// The kinds of corpora.
const CORPORA: [&str; 3] = ["text", "tsv", "grammar"];

impl Pipeline {
    /// Reads a pipeline: parses the file, applies `--set` assignments, loads its plugins into the registry, and checks
    /// everything that can be checked before anything runs.
    ///
    /// # Errors
    /// All of them, each with its place.
    pub fn read(
        path: &Path,
        assignments: &[String],
        data: Option<&Path>,
        registry: &mut Registry,
        host: &Host<'_>,
    ) -> Result<Self, Diagnostics> {
        let text = std::fs::read(path)
            .map_err(|error| Diagnostic::new(format!("cannot read the pipeline {}: {error}", path.display())))?;
        let text = String::from_utf8(text).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
            Diagnostic::new(format!("the pipeline {} is not UTF-8 at line {line} (byte {at})", path.display()))
        })?;
        let name = path.file_stem().map_or_else(|| "pipeline".into(), |stem| stem.to_string_lossy());
        let folder = path.parent().unwrap_or(Path::new(""));
        let resolver = Resolver { data: data.map(Path::to_owned), config: folder.to_owned() };
        Self::parse(&name, &path.display().to_string(), text, assignments, resolver, registry, host)
    }

    /// The pipeline that a manifest's run was made of, which reads the same files.
    ///
    /// # Errors
    /// As for [`Pipeline::read`].
    pub fn again(
        manifest: &Manifest,
        assignments: &[String],
        registry: &mut Registry,
        host: &Host<'_>,
    ) -> Result<Self, Diagnostics> {
        let text = toml::to_string(&manifest.settings)
            .map_err(|error| Diagnostic::new(format!("the settings of the manifest are no pipeline: {error}")))?;
        let resolver = Resolver { data: manifest.data.clone(), config: manifest.folder.clone() };
        let source = "the settings of the manifest";
        Self::parse(&manifest.pipeline, source, text, assignments, resolver, registry, host)
    }

    fn parse(
        name: &str,
        source: &str,
        text: String,
        assignments: &[String],
        resolver: Resolver,
        registry: &mut Registry,
        host: &Host<'_>,
    ) -> Result<Self, Diagnostics> {
        let mut document = Document::parse(source, text)?;
        let mut diagnostics = Diagnostics::new();
        for assignment in assignments {
            if let Err(errors) = document.set(assignment) {
                diagnostics.extend(errors);
            }
        }
        let settings = document.value().clone();
        Check { document: &document, resolver, registry, host, diagnostics, settings }.pipeline(name.to_owned())
    }
}

/// What names of a section can lead to: the good ones, and those whose tables have errors of their own.
struct Names<T> {
    good: IndexMap<String, T>,
    bad: HashSet<String>,
}

impl<T> Names<T> {
    fn of(entries: impl IntoIterator<Item = (String, Option<T>)>) -> Self {
        let mut names = Self { good: IndexMap::new(), bad: HashSet::new() };
        for (name, entry) in entries {
            match entry {
                Some(entry) => drop(names.good.insert(name, entry)),
                None => drop(names.bad.insert(name)),
            }
        }
        names
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.good.keys().chain(&self.bad).map(String::as_str)
    }
}

struct Check<'a> {
    document: &'a Document,
    resolver: Resolver,
    registry: &'a mut Registry,
    host: &'a Host<'a>,
    diagnostics: Diagnostics,
    /// The tables as they were read, into which defaults are put.
    settings: Value,
}

impl Check<'_> {
    fn pipeline(mut self, name: String) -> Result<Pipeline, Diagnostics> {
        let top = self.document.read::<TopLevel>("", &mut self.diagnostics);
        // Errors of the top level do not hide those of its tables.
        let top = top.unwrap_or_else(|| sound_part(self.document.value()));
        let (seed, device) = (top.seed, top.device);
        self.registry.set_device(&device);
        // Before the tables, where they stand in a file.
        let mut settings = json!({ "seed": seed, "device": device });
        merge(&mut settings, &self.settings);
        self.settings = settings;
        for name in top.plugin.keys() {
            self.plugin(name);
        }
        let corpora: Vec<_> = top.corpus.into_iter().map(|(n, table)| self.corpus(n, table, seed)).collect();
        let corpora = Names::of(corpora);
        let models: Vec<_> = top.model.into_iter().map(|(n, table)| self.model(n, table, &corpora)).collect();
        let mut models = Names::of(models);
        self.link_models(&mut models);
        let stages: Vec<_> = top.stage.keys().map(|n| self.stage(n.clone(), &corpora, &models)).collect();
        let stages = Names::of(stages);
        let comparisons: Vec<_> = top.comparison.keys().map(|n| self.comparison(n.clone(), &stages)).collect();
        let comparisons = Names::of(comparisons);
        let prunings: Vec<_> = top.pruning.keys().map(|n| self.pruning(n.clone(), &comparisons)).collect();
        let prunings = Names::of(prunings);
        let mut reports = Map::new();
        for (kind, options) in &top.report {
            let pointer = child("/report", kind);
            self.component(abi::SINK, &pointer, None, kind, options, |registry, options, host| {
                registry.sink(kind, options, host).map(drop)
            });
            reports.insert(kind.clone(), self.complete(abi::SINK, &pointer, kind, options, |_| true));
        }
        self.diagnostics.into_result(Pipeline {
            name,
            seed,
            device,
            resolver: self.resolver,
            settings: self.settings,
            corpora: corpora.good,
            models: models.good,
            stages: stages.good,
            comparisons: comparisons.good,
            prunings: prunings.good,
            reports,
        })
    }

    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.diagnostics.push(self.document.error(pointer, At::Value, message));
    }

    /// The table at `pointer` as a `T`.
    fn section<T: DeserializeOwned + JsonSchema>(&mut self, pointer: &str) -> Option<T> {
        let section = self.document.read(pointer, &mut self.diagnostics)?;
        self.settle::<T>(pointer, &self.document.value().pointer(pointer).cloned().unwrap_or_default());
        Some(section)
    }

    /// A name that leads nowhere.
    fn unknown<'n>(&mut self, pointer: &str, what: &str, name: &str, known: impl Iterator<Item = &'n str>) {
        let error = self.document.error(pointer, At::Value, format!("there is no {what} `{name}`"));
        self.diagnostics.push(error.help(suggestion(name, known)));
    }

    fn corpus(&mut self, name: String, table: Value, seed: u64) -> (String, Option<Box<dyn Corpus>>) {
        let pointer = child("/corpus", &name);
        let Some((kind, options)) = self.kind(&pointer, table, &CORPORA, "kind of corpus") else { return (name, None) };
        let opened = match kind.as_str() {
            "text" => self.options::<TextOptions>(&pointer, options).map(|o| o.open(&self.resolver)),
            "tsv" => self.options::<TsvOptions>(&pointer, options).map(|o| o.open(&self.resolver)),
            _ => self.options::<GrammarOptions>(&pointer, options).map(|o| o.open(seed)),
        };
        let corpus = match opened {
            Some(Ok(corpus)) => Some(corpus),
            Some(Err(errors)) => {
                for OptionError { pointer: option, error } in errors {
                    self.error(&format!("{pointer}{option}"), error.to_string());
                }
                None
            }
            None => None,
        };
        (name, corpus)
    }

    fn stage(
        &mut self,
        name: String,
        corpora: &Names<Box<dyn Corpus>>,
        models: &Names<Model>,
    ) -> (String, Option<Stage>) {
        let pointer = child("/stage", &name);
        let stage = self.stage_section(&pointer, corpora, models);
        (name, stage)
    }

    fn stage_section(
        &mut self,
        pointer: &str,
        corpora: &Names<Box<dyn Corpus>>,
        models: &Names<Model>,
    ) -> Option<Stage> {
        let section: StageSection = self.section(pointer)?;
        if let Some(source) = &section.source {
            return self.source_stage(pointer, source, &section);
        }
        let (Some(of), Some(over)) = (&section.model, &section.corpus) else {
            for (key, value) in [("model", &section.model), ("corpus", &section.corpus)] {
                if value.is_none() {
                    let error = self.document.error(pointer, At::Value, format!("missing key `{key}`"));
                    let help = "a stage reads a `model` over a `corpus`, or what a `source` has";
                    self.diagnostics.push(error.help(help));
                }
            }
            return None;
        };
        let at = child(pointer, "model");
        let model = self.model_ref(&at, of);
        let followed = model.as_ref().and_then(|model| self.follow(&at, model, models)).is_some();
        let text = self.split(&child(pointer, "corpus"), over, corpora)?;
        let layers = section.layers.unwrap_or_else(|| vec!["token".to_owned()]);
        let record = section.record.unwrap_or_default();
        self.put(pointer, &json!({ "layers": layers, "record": record }));
        let mut known = vec!["token".to_owned(), "word".to_owned()];
        known.extend(corpora.good[&text.corpus].layers());
        let mut seen = HashSet::new();
        let mut good = true;
        for (index, layer) in layers.iter().enumerate() {
            let at = format!("{pointer}/layers/{index}");
            if !known.contains(layer) {
                let error = format!("the corpus `{}` has no layer `{layer}`", text.corpus);
                let error = self.document.error(&at, At::Value, error);
                self.diagnostics.push(error.help(suggestion(layer, known.iter().map(String::as_str))));
                good = false;
            } else if !seen.insert(layer) {
                self.error(&at, format!("the layer `{layer}` is named twice"));
                good = false;
            }
        }
        if layers.is_empty() {
            self.error(&child(pointer, "layers"), "a stage needs at least one layer");
            good = false;
        }
        let (model, true, true) = (model?, followed, good) else { return None };
        Some(Stage { of: StageOf::Model { model, text, record, state: section.state }, layers })
    }

    /// A stage that a plugin has the activations of. It is made once here, to tell which layers it brings.
    fn source_stage(&mut self, pointer: &str, value: &Value, section: &StageSection) -> Option<Stage> {
        let before = self.diagnostics.len();
        let others = [
            ("model", section.model.is_some()),
            ("corpus", section.corpus.is_some()),
            ("layers", section.layers.is_some()),
            ("record", section.record.is_some()),
            ("state", section.state.is_some()),
        ];
        for (key, _) in others.into_iter().filter(|(_, given)| *given) {
            let message = format!("a stage with a `source` has no `{key}`: the source brings its own");
            self.diagnostics.push(self.document.error(&child(pointer, key), At::Key, message));
        }
        let described = std::cell::OnceCell::new();
        let at = child(pointer, "source");
        let source = self.named(abi::SOURCE, &at, value, |registry, kind, options, host| {
            let source = registry.source(kind, options, host)?;
            // Set once: it is made until it takes its options, and then no more.
            let _ = described.set(source.describe().map_err(FindError::Refused)?);
            Ok(())
        })?;
        let layers = described.into_inner()?.layers;
        (self.diagnostics.len() == before).then_some(Stage { of: StageOf::Source(source), layers })
    }

    /// `wikitext.valid`.
    fn split(&mut self, pointer: &str, text: &str, corpora: &Names<Box<dyn Corpus>>) -> Option<SplitRef> {
        // The split is what follows the last dot: names of corpora may have dots.
        let (name, split) = text.rsplit_once('.').unwrap_or((text, ""));
        if let Some(corpus) = corpora.good.get(name) {
            let splits = corpus.splits();
            if splits.iter().any(|s| s == split) {
                return Some(SplitRef { corpus: name.to_owned(), split: split.to_owned() });
            }
            let error = self.document.error(pointer, At::Value, format!("the corpus `{name}` has no split `{split}`"));
            self.diagnostics.push(error.help(suggestion(split, splits.iter().map(String::as_str))));
            return None;
        }
        if let Some(corpus) = corpora.good.get(text) {
            let error = self.document.error(pointer, At::Value, "which split of the corpus?");
            let all: Vec<String> = corpus.splits().iter().map(|split| format!("`{text}.{split}`")).collect();
            self.diagnostics.push(error.help(format!("there are {}", all.join(", "))));
        } else if !corpora.bad.contains(name) && !corpora.bad.contains(text) {
            self.unknown(pointer, "corpus", name, corpora.all());
        }
        None
    }

    fn comparison(&mut self, name: String, stages: &Names<Stage>) -> (String, Option<Comparison>) {
        let pointer = child("/comparison", &name);
        let comparison = self.comparison_section(&pointer, stages);
        (name, comparison)
    }

    fn comparison_section(&mut self, pointer: &str, stages: &Names<Stage>) -> Option<Comparison> {
        let section: ComparisonSection = self.section(pointer)?;
        let before = self.diagnostics.len();
        let mut sides = Vec::new();
        for (key, name) in [("from", &section.from), ("to", &section.to)] {
            match stages.good.get(name) {
                Some(stage) => sides.push(stage),
                None if stages.bad.contains(name) => {}
                None => self.unknown(&child(pointer, key), "stage", name, stages.all()),
            }
        }
        let mut metrics: Vec<Component> = Vec::new();
        for (index, value) in section.metrics.iter().enumerate() {
            let at = format!("{pointer}/metrics/{index}");
            let metric = self.named(abi::METRIC, &at, value, |registry, kind, options, host| {
                registry.metric(kind, options, host).map(drop)
            });
            let Some(metric) = metric else { continue };
            if metrics.iter().any(|other| other.kind == metric.kind) {
                self.error(&at, format!("the metric `{}` is named twice: its column would be, too", metric.kind));
            }
            metrics.push(metric);
        }
        let [from, to] = sides[..] else { return None };
        let in_both = |layer: &String| from.layers.contains(layer) && to.layers.contains(layer);
        let layers = match section.layers {
            Some(layers) => {
                for (index, layer) in layers.iter().enumerate() {
                    if !in_both(layer) {
                        let lacking = if from.layers.contains(layer) { &section.to } else { &section.from };
                        let message = format!("the stage `{lacking}` is read without the layer `{layer}`");
                        self.error(&format!("{pointer}/layers/{index}"), message);
                    }
                }
                layers
            }
            None => from.layers.iter().filter(|layer| in_both(layer)).cloned().collect(),
        };
        if layers.is_empty() {
            self.error(pointer, "the two stages have no layer in common");
        }
        let settings = Settings { layers, weighting: section.weighting, min_count: section.min_count };
        let comparison = Comparison { from: section.from, to: section.to, settings, metrics };
        (self.diagnostics.len() == before).then_some(comparison)
    }

    fn pruning(&mut self, name: String, comparisons: &Names<Comparison>) -> (String, Option<Pruning>) {
        let pointer = child("/pruning", &name);
        let pruning = self.pruning_section(&pointer, comparisons);
        (name, pruning)
    }

    fn pruning_section(&mut self, pointer: &str, comparisons: &Names<Comparison>) -> Option<Pruning> {
        let section: PruningSection = self.section(pointer)?;
        let pruner =
            self.named(abi::PRUNER, &child(pointer, "pruner"), &section.pruner, |registry, kind, options, host| {
                registry.pruner(kind, options, host).map(drop)
            });
        let name = &section.comparison;
        if !comparisons.good.contains_key(name) {
            if !comparisons.bad.contains(name) {
                self.unknown(&child(pointer, "comparison"), "comparison", name, comparisons.all());
            }
            return None;
        }
        Some(Pruning { comparison: section.comparison, pruner: pruner? })
    }
}

/// The keys of a top level, all optional, that read by themselves.
fn sound_part(value: &Value) -> TopLevel {
    let keys = value.as_object().into_iter().flatten();
    let reads = |(key, value): &(&String, &Value)| serde_json::from_value::<TopLevel>(json!({ *key: value })).is_ok();
    let sound: Map<String, Value> = keys.filter(reads).map(|(key, value)| (key.clone(), value.clone())).collect();
    serde_json::from_value(Value::Object(sound)).unwrap_or_default()
}
