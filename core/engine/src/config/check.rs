//! From tables to a checked [`Pipeline`]. Every error is gathered; a table with an error is left out of the graph, and
//! names that lead to it are not reported again.

use std::collections::HashSet;
use std::path::Path;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use txray_plugin::{Host, abi};

use super::{
    Comparison, ComparisonSection, Metric, Model, ModelOrigin, ModelRef, ModelSection, Pipeline, PluginSection,
    SplitRef, Stage, StageSection, TaskKind, TopLevel,
};
use crate::compare::Settings;
use crate::corpus::{Corpus, GrammarOptions, OptionError, Resolver, TextOptions, TsvOptions};
use crate::document::{At, Diagnostic, Diagnostics, Document, suggestion};
use crate::manifest::Manifest;
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
        Check { document: &document, resolver, registry, host, diagnostics }.pipeline(name.to_owned())
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
}

/// The key of a table as part of a JSON pointer.
fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

impl Check<'_> {
    fn pipeline(mut self, name: String) -> Result<Pipeline, Diagnostics> {
        let top = self.document.read::<TopLevel>("", &mut self.diagnostics);
        // Errors of the top level do not hide those of its tables.
        let top = top.unwrap_or_else(|| sound_part(self.document.value()));
        let (seed, device) = (top.seed, top.device);
        for name in top.plugin.keys() {
            self.plugin(&child("/plugin", name));
        }
        let corpora: Vec<_> = top.corpus.into_iter().map(|(n, table)| self.corpus(n, table, seed)).collect();
        let corpora = Names::of(corpora);
        let models: Vec<_> = top.model.into_iter().map(|(n, table)| self.model(n, table, &corpora, &device)).collect();
        let mut models = Names::of(models);
        self.link_models(&mut models);
        let stages: Vec<_> = top.stage.keys().map(|n| self.stage(n.clone(), &corpora, &models)).collect();
        let stages = Names::of(stages);
        let comparisons: Vec<_> = top.comparison.keys().map(|n| self.comparison(n.clone(), &stages)).collect();
        let comparisons = Names::of(comparisons);
        for (kind, options) in &top.report {
            self.component(abi::SINK, &child("/report", kind), None, kind, options, |registry, options, host| {
                registry.sink(kind, options, host).map(drop)
            });
        }
        self.diagnostics.into_result(Pipeline {
            name,
            seed,
            device,
            resolver: self.resolver,
            settings: self.document.value().clone(),
            corpora: corpora.good,
            models: models.good,
            stages: stages.good,
            comparisons: comparisons.good,
            reports: top.report,
        })
    }

    fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.diagnostics.push(self.document.error(pointer, At::Value, message));
    }

    /// The table at `pointer` as a `T`.
    fn section<T: DeserializeOwned + JsonSchema>(&mut self, pointer: &str) -> Option<T> {
        self.document.read(pointer, &mut self.diagnostics)
    }

    /// A name that leads nowhere.
    fn unknown<'n>(&mut self, pointer: &str, what: &str, name: &str, known: impl Iterator<Item = &'n str>) {
        let error = self.document.error(pointer, At::Value, format!("there is no {what} `{name}`"));
        self.diagnostics.push(error.help(suggestion(name, known)));
    }

    fn plugin(&mut self, pointer: &str) {
        let Some(section) = self.section::<PluginSection>(pointer) else { return };
        let path = self.resolver.config.join(&section.path);
        if let Err(error) = self.registry.load(&path, section.sha256.as_deref()) {
            let key = if matches!(error, txray_host::PluginError::Hash { .. }) { "sha256" } else { "path" };
            self.error(&child(pointer, key), error.to_string());
        }
    }

    /// The `kind` of a table, and the rest of it.
    fn kind(&mut self, pointer: &str, table: Value, known: &[&str], what: &str) -> Option<(String, Value)> {
        let Value::Object(mut table) = table else {
            self.error(pointer, "expected a table");
            return None;
        };
        match table.shift_remove("kind") {
            Some(Value::String(kind)) if known.contains(&kind.as_str()) => Some((kind, Value::Object(table))),
            Some(Value::String(kind)) => {
                self.unknown(&child(pointer, "kind"), what, &kind, known.iter().copied());
                None
            }
            Some(_) => {
                self.error(&child(pointer, "kind"), "expected a string");
                None
            }
            None => {
                let table = self.document.table_name(pointer);
                let error = self.document.error(pointer, At::Value, "missing key `kind`");
                let help = suggestion("", known.iter().copied());
                self.diagnostics.push(error.label(format!("not set in {table}")).help(help));
                None
            }
        }
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

    fn options<T: DeserializeOwned + JsonSchema>(&mut self, pointer: &str, value: Value) -> Option<T> {
        self.document.read_value(pointer, value, &mut self.diagnostics)
    }

    /// Checks a component's options by making it; true if it took them. `name` is where it is named, if anywhere else
    /// than by the table at `pointer`.
    fn component(
        &mut self,
        interface: &str,
        pointer: &str,
        name: Option<&str>,
        kind: &str,
        options: &Value,
        make: impl Fn(&Registry, &Value, &Host<'_>) -> Result<(), FindError>,
    ) -> bool {
        let what = interface.trim_start_matches("txray.").split('/').next().unwrap_or(interface);
        let schema = match self.registry.find(interface, kind) {
            Ok((_, component)) => component.options.clone(),
            Err(FindError::Unknown(known)) => {
                let at = if name.is_some() { At::Value } else { At::Key };
                let error = self.document.error(name.unwrap_or(pointer), at, format!("there is no {what} `{kind}`"));
                self.diagnostics.push(error.help(suggestion(kind, known.iter().map(String::as_str))));
                return false;
            }
            Err(FindError::Ambiguous(origins)) => {
                let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
                let message = format!("more than one plugin has a {what} `{kind}`: {}", origins.join(", "));
                self.error(name.unwrap_or(pointer), message);
                return false;
            }
            Err(FindError::Refused(error)) => {
                self.error(pointer, error.to_string());
                return false;
            }
        };
        let (registry, host) = (&*self.registry, self.host);
        let taken = self.document.read_with(pointer, options.clone(), &schema, &mut self.diagnostics, |options| {
            make(registry, options, host).map_err(|error| match error {
                FindError::Refused(error) => (error.pointer().to_owned(), error.message().to_owned()),
                FindError::Unknown(_) | FindError::Ambiguous(_) => (String::new(), "the plugin is gone".to_owned()),
            })
        });
        taken.is_some()
    }

    fn model(
        &mut self,
        name: String,
        table: Value,
        corpora: &Names<Box<dyn Corpus>>,
        device: &str,
    ) -> (String, Option<Model>) {
        let pointer = child("/model", &name);
        let model = self.model_section(&pointer, table, corpora, device);
        (name, model)
    }

    fn model_section(
        &mut self,
        pointer: &str,
        table: Value,
        corpora: &Names<Box<dyn Corpus>>,
        device: &str,
    ) -> Option<Model> {
        let Value::Object(mut table) = table else {
            self.error(pointer, "expected a table");
            return None;
        };
        let before = self.diagnostics.len();
        // The engine's keys apart from the plugin's. `checkpoints` stands in `train` with the plugin's, because that
        // is where a reader looks for it, but saving is the engine's affair.
        let mut own = Map::new();
        for key in ["kind", "path", "init", "vocabulary", "task"] {
            own.extend(table.shift_remove(key).map(|value| (key.to_owned(), value)));
        }
        let train = table.get_mut("train").and_then(Value::as_object_mut);
        let checkpoints = train.and_then(|train| train.shift_remove("checkpoints"));
        let section: ModelSection = self.options(pointer, Value::Object(own))?;
        let checkpoints = match checkpoints.map(serde_json::from_value::<Vec<u64>>) {
            None => Vec::new(),
            Some(Ok(epochs)) => epochs,
            Some(Err(_)) => {
                self.error(&format!("{pointer}/train/checkpoints"), "expected a list of epochs, such as [1, 10]");
                Vec::new()
            }
        };
        let options = Value::Object(table);

        let origin = match (section.path, section.init) {
            (Some(_), Some(_)) => {
                self.error(&child(pointer, "init"), "a model begins from `path` or from `init`, not from both");
                return None;
            }
            (Some(path), None) => ModelOrigin::Directory(self.resolver.config.join(path)),
            (None, Some(init)) => ModelOrigin::Init(self.model_ref(&child(pointer, "init"), &init)?),
            (None, None) => ModelOrigin::New(section.vocabulary.clone().unwrap_or_default()),
        };
        let is_new = matches!(origin, ModelOrigin::New(_));
        if !is_new && section.vocabulary.is_some() {
            self.error(&child(pointer, "vocabulary"), "the vocabulary is that of the model this one begins from");
        }
        if is_new && section.task.is_none() {
            let error = self.document.error(pointer, At::Value, "missing key `task`: a new model has to be trained");
            let help = "say what it learns, `task = { kind = \"language-model\", corpus = \"...\" }`, or where it is, \
                        `path = \"...\"`";
            self.diagnostics.push(error.help(help));
        }
        if section.task.is_none() && !checkpoints.is_empty() {
            self.error(&format!("{pointer}/train/checkpoints"), "this model is not trained: it has no `task`");
        }
        if let Some(task) = &section.task {
            self.task(&child(pointer, "task"), &task.corpus, task.kind, corpora);
        }
        let found = match &origin {
            ModelOrigin::Directory(path) => match kind_of_directory(path) {
                Ok(kind) => Some(kind),
                Err(message) => {
                    self.error(&child(pointer, "path"), message);
                    return None;
                }
            },
            _ => None,
        };
        let kind = match (&section.kind, &origin) {
            (Some(kind), _) => kind.clone(),
            (None, ModelOrigin::Directory(path)) => {
                let kind = found.unwrap_or_default();
                if let Err(FindError::Unknown(known)) = self.registry.find(abi::MODEL, &kind) {
                    let message = format!("no plugin reads the `model_type` of {}", path.join("config.json").display());
                    let error = self.document.error(&child(pointer, "path"), At::Value, message);
                    let help = format!("it is `{kind}`; {}", suggestion(&kind, known.iter().map(String::as_str)));
                    self.diagnostics.push(error.help(help));
                    return None;
                }
                kind
            }
            // Known once the models are linked.
            (None, ModelOrigin::Init(_)) => String::new(),
            (None, ModelOrigin::New(_)) => {
                let error = self.document.error(pointer, At::Value, "missing key `kind`");
                self.diagnostics.push(error.help("for instance `kind = \"lstm\"`"));
                return None;
            }
        };
        if !kind.is_empty() {
            self.model_kind(pointer, section.kind.is_some(), &kind, &options, device);
        }
        self.checkpoints(pointer, &kind, &options, &checkpoints);
        let model = Model { kind, options, origin, task: section.task, checkpoints };
        (self.diagnostics.len() == before).then_some(model)
    }

    /// No checkpoint can be of an epoch that training never comes to: found here, not after hours of it.
    fn checkpoints(&mut self, pointer: &str, kind: &str, options: &Value, checkpoints: &[u64]) {
        let schema = self.registry.find(abi::MODEL, kind).map(|(_, component)| &component.options).ok();
        let default = schema.and_then(|schema| schema.pointer("/properties/train/default/epochs"));
        let Some(epochs) = options.pointer("/train/epochs").or(default).and_then(Value::as_u64) else { return };
        for (index, epoch) in checkpoints.iter().enumerate().filter(|(_, epoch)| !(1..=epochs).contains(epoch)) {
            let at = format!("{pointer}/train/checkpoints/{index}");
            self.error(&at, format!("there is no epoch {epoch}: training has {epochs}"));
        }
    }

    /// Checks a model's kind, options and device with its plugin.
    fn model_kind(&mut self, pointer: &str, named: bool, kind: &str, options: &Value, device: &str) {
        let name = child(pointer, if named { "kind" } else { "path" });
        let taken = self.component(abi::MODEL, pointer, Some(&name), kind, options, |registry, options, host| {
            registry.model(kind, options, host).map(drop)
        });
        let family = device.split(':').next().unwrap_or(device);
        if let (true, Ok((_, component))) = (taken, self.registry.find(abi::MODEL, kind)) {
            let devices = component.devices.clone();
            if !devices.iter().any(|d| d == family) {
                let message = format!("no plugin runs `{kind}` on `{device}`");
                let error = self.document.error("/device", At::Value, message);
                self.diagnostics.push(error.help(format!("it runs on {}", devices.join(", "))));
            }
        }
    }

    fn task(&mut self, pointer: &str, name: &str, kind: TaskKind, corpora: &Names<Box<dyn Corpus>>) {
        let TaskKind::LanguageModel = kind;
        let pointer = child(pointer, "corpus");
        match corpora.good.get(name) {
            Some(corpus) if corpus.splits().iter().any(|split| split == "train") => {}
            Some(_) => self.error(&pointer, format!("the corpus `{name}` has no split `train` to learn from")),
            None if corpora.bad.contains(name) => {}
            None => self.unknown(&pointer, "corpus", name, corpora.all()),
        }
    }

    /// `lm` or `lm@1`.
    fn model_ref(&mut self, pointer: &str, text: &str) -> Option<ModelRef> {
        let (name, epoch) = match text.rsplit_once('@') {
            None => (text, None),
            Some((name, epoch)) => match epoch.parse() {
                Ok(epoch) => (name, Some(epoch)),
                Err(_) => {
                    self.error(pointer, format!("`{epoch}` is no epoch: write NAME@EPOCH, such as `{name}@1`"));
                    return None;
                }
            },
        };
        Some(ModelRef { name: name.to_owned(), epoch })
    }

    /// Whether a reference leads to a model, and to a checkpoint that is kept.
    fn follow<'m>(&mut self, pointer: &str, to: &ModelRef, models: &'m Names<Model>) -> Option<&'m Model> {
        let Some(model) = models.good.get(&to.name) else {
            if !models.bad.contains(&to.name) {
                self.unknown(pointer, "model", &to.name, models.all());
            }
            return None;
        };
        if let Some(epoch) = to.epoch.filter(|epoch| !model.checkpoints.contains(epoch)) {
            let message = format!("`{}` keeps no checkpoint of epoch {epoch}", to.name);
            let error = self.document.error(pointer, At::Value, message);
            let help = format!("set `train.checkpoints = [{epoch}]` in [model.{}]", to.name);
            self.diagnostics.push(error.help(help));
            return None;
        }
        Some(model)
    }

    /// Follows `init`: finds circles, passes kinds on, and puts every model after the one it begins from.
    fn link_models(&mut self, models: &mut Names<Model>) {
        let begins_from = |model: &Model| match &model.origin {
            ModelOrigin::Init(to) => Some(to.clone()),
            _ => None,
        };
        let mut linked = Names { good: IndexMap::new(), bad: std::mem::take(&mut models.bad) };
        let mut waiting = std::mem::take(&mut models.good);
        while let Some(index) =
            waiting.values().position(|model| begins_from(model).is_none_or(|to| !waiting.contains_key(&to.name)))
        {
            let Some((name, mut model)) = waiting.shift_remove_index(index) else { break };
            let good = begins_from(&model).is_none_or(|to| {
                let table = child("/model", &name);
                let pointer = format!("{table}/init");
                let Some(first) = self.follow(&pointer, &to, &linked) else { return false };
                if !model.kind.is_empty() {
                    return true;
                }
                model.kind.clone_from(&first.kind);
                let (kind, options) = (&model.kind, &model.options);
                self.component(abi::MODEL, &table, Some(&pointer), kind, options, |registry, options, host| {
                    registry.model(kind, options, host).map(drop)
                })
            });
            if good {
                linked.good.insert(name, model);
            } else {
                linked.bad.insert(name);
            }
        }
        // What still waits, waits for itself, or for one that does.
        for (index, name) in waiting.keys().enumerate() {
            let mut circle = vec![name.clone()];
            while let Some(to) = waiting.get(&circle[circle.len() - 1]).and_then(begins_from) {
                let is_back = circle.contains(&to.name);
                circle.push(to.name);
                if is_back {
                    break;
                }
            }
            // Each circle is told once, at the first of its models.
            let first = circle.iter().filter_map(|name| waiting.get_index_of(name)).min();
            if circle.last() == Some(name) && first == Some(index) {
                let names: Vec<String> = circle.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("these models begin from each other: {}", names.join(" -> "));
                self.error(&format!("{}/init", child("/model", name)), message);
            }
        }
        linked.bad.extend(waiting.into_keys());
        *models = linked;
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
        let at = child(pointer, "model");
        let model = self.model_ref(&at, &section.model);
        let followed = model.as_ref().and_then(|model| self.follow(&at, model, models)).is_some();
        let text = self.split(&child(pointer, "corpus"), &section.corpus, corpora)?;
        let mut known = vec!["token".to_owned(), "word".to_owned()];
        known.extend(corpora.good[&text.corpus].layers());
        let mut seen = HashSet::new();
        let mut good = true;
        for (index, layer) in section.layers.iter().enumerate() {
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
        if section.layers.is_empty() {
            self.error(&child(pointer, "layers"), "a stage needs at least one layer");
            good = false;
        }
        let (model, true, true) = (model?, followed, good) else { return None };
        Some(Stage { model, text, layers: section.layers, record: section.record, state: section.state })
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
        let mut metrics: Vec<Metric> = Vec::new();
        for (index, value) in section.metrics.iter().enumerate() {
            let at = format!("{pointer}/metrics/{index}");
            let (name, options, named) = match value {
                Value::String(name) => (name.clone(), json!({}), at.clone()),
                Value::Object(table) => match table.get("kind") {
                    Some(Value::String(kind)) => {
                        let mut options = table.clone();
                        options.shift_remove("kind");
                        (kind.clone(), Value::Object(options), child(&at, "kind"))
                    }
                    _ => {
                        self.error(&at, "a metric's table names its `kind`, such as { kind = \"hellinger\" }");
                        continue;
                    }
                },
                _ => {
                    self.error(&at, "expected the name of a metric, or a table with its `kind`");
                    continue;
                }
            };
            if metrics.iter().any(|metric| metric.name == name) {
                self.error(&at, format!("the metric `{name}` is named twice: its column would be, too"));
            }
            self.component(abi::METRIC, &at, Some(&named), &name, &options, |registry, options, host| {
                registry.metric(&name, options, host).map(drop)
            });
            metrics.push(Metric { name, options });
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
}

/// The keys of a top level, all optional, that read by themselves.
fn sound_part(value: &Value) -> TopLevel {
    let keys = value.as_object().into_iter().flatten();
    let reads = |(key, value): &(&String, &Value)| serde_json::from_value::<TopLevel>(json!({ *key: value })).is_ok();
    let sound: Map<String, Value> = keys.filter(reads).map(|(key, value)| (key.clone(), value.clone())).collect();
    serde_json::from_value(Value::Object(sound)).unwrap_or_default()
}

/// The plugin component that a directory's `config.json` asks for: `txray-lstm` is read by `lstm`.
fn kind_of_directory(path: &Path) -> Result<String, String> {
    #[derive(serde::Deserialize)]
    struct Config {
        model_type: String,
    }
    let path = path.join("config.json");
    let text = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let config: Config = serde_json::from_slice(&text)
        .map_err(|error| format!("{} is no config.json of a model: {error}", path.display()))?;
    Ok(config.model_type.trim_start_matches("txray-").to_owned())
}
