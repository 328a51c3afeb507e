//! Running a checked pipeline, step by step, into its out directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::json;
use txray_plugin::{FitRequest, Host, HostServices, Level, Model, ModelDescription, State, Text};

use crate::compare::{self, Comparison};
use crate::config::{self, ModelOrigin, ModelRef, Pipeline, SplitRef};
use crate::error::{Error, Result};
use crate::manifest::{FORMAT, Input, Manifest, PluginRecord, Step, sha256};
use crate::preferences::Preferences;
use crate::reading::{ModelSource, Reading};
use crate::registry::{FindError, Origin, Registry};
use crate::stage;
use crate::tokens::{Encoded, Tokenizer};

/// Documents that are tokenized at once for training.
const CHUNK: usize = 4096;

/// What a run tells while it runs: the host's services, and which step it is at.
pub trait Observer: HostServices {
    /// A step begins.
    fn begin(&self, name: &str);
    /// A step is done.
    fn end(&self, step: &Step);
}

/// What a run gave, besides its files.
pub struct Outcome {
    /// What it was made of.
    pub manifest: Manifest,
    /// The stages by name.
    pub stages: IndexMap<String, Arc<Preferences>>,
    /// The comparisons by name.
    pub comparisons: IndexMap<String, Comparison>,
}

/// Runs a pipeline into `out`. Each step's files are written aside and renamed into place when it is done, so that what
/// has a name in `out` is whole.
pub fn run(pipeline: &Pipeline, registry: &Registry, out: &Path, observer: &dyn Observer) -> Result<Outcome> {
    let run = Run::begin(pipeline, registry, out, observer)?;
    let result = run.all();
    // What a failed step left aside is of no use to anybody.
    let aside = out.join(ASIDE);
    if let Err(error) = std::fs::remove_dir_all(&aside) {
        observer.log(Level::Debug, &format!("cannot remove {}: {error}", aside.display()));
    }
    result
}

/// Where steps write before their files are renamed into place.
const ASIDE: &str = ".partial";

struct Run<'a> {
    pipeline: &'a Pipeline,
    registry: &'a Registry,
    out: &'a Path,
    observer: &'a dyn Observer,
    host: Host<'a>,
}

/// A split that was read through once.
#[derive(Clone, Copy, Debug)]
struct Scan {
    documents: u64,
    words: u64,
}

impl<'a> Run<'a> {
    fn begin(
        pipeline: &'a Pipeline,
        registry: &'a Registry,
        out: &'a Path,
        observer: &'a dyn Observer,
    ) -> Result<Self> {
        let aside = out.join(ASIDE);
        let cleared = if aside.exists() { std::fs::remove_dir_all(&aside) } else { Ok(()) };
        cleared.and_then(|()| std::fs::create_dir_all(&aside)).map_err(|error| {
            Error::User(format!("cannot write into {}: {error}; choose another --out", out.display()))
        })?;
        // From here on a manifest of an earlier run no longer tells what is in the directory.
        match std::fs::remove_file(out.join("manifest.json")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("replace the manifest in", out, &error));
            }
            _ => {}
        }
        Ok(Self { pipeline, registry, out, observer, host: Host::new(as_services(observer)) })
    }

    fn all(&self) -> Result<Outcome> {
        let mut steps = Vec::new();
        let (inputs, scans) = self.texts(&mut steps)?;
        for name in self.pipeline.models.keys() {
            let step = self.step("model", name, |step| self.model(name, step))?;
            steps.push(step);
        }
        let mut stages = IndexMap::new();
        for (name, settings) in &self.pipeline.stages {
            let mut read = None;
            let step = self.step("stage", name, |step| {
                let (step, preferences) = self.stage(name, settings, scans[&settings.text], step)?;
                read = Some(preferences);
                Ok(step)
            })?;
            steps.push(step);
            stages.extend(read.map(|preferences| (name.clone(), Arc::new(preferences))));
        }
        let mut comparisons = IndexMap::new();
        for (name, settings) in &self.pipeline.comparisons {
            let mut made = None;
            let step = self.step("comparison", name, |step| {
                made = Some(self.comparison(name, settings, &stages)?);
                Ok(step)
            })?;
            steps.push(step);
            comparisons.extend(made.map(|comparison| (name.clone(), comparison)));
        }
        let mut manifest = Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.pipeline.seed,
            device: self.pipeline.device.clone(),
            threads: self.host.threads(),
            settings: self.pipeline.settings.clone(),
            inputs,
            plugins: self
                .registry
                .plugins()
                .iter()
                .map(|plugin| PluginRecord {
                    name: plugin.info.name.clone(),
                    version: plugin.info.version.clone(),
                    sha256: match &plugin.origin {
                        Origin::BuiltIn => None,
                        Origin::Library { sha256, .. } => Some(sha256.clone()),
                    },
                })
                .collect(),
            steps,
        };
        let mut json = manifest.write(self.out)?;
        for (kind, options) in &self.pipeline.reports {
            let step = self.step("report", kind, |step| {
                let mut sink = made(self.registry.sink(kind, options, &self.host))?;
                sink.write(&self.host, self.out, &json)?;
                Ok(step)
            })?;
            manifest.steps.push(step);
            json = manifest.write(self.out)?;
        }
        Ok(Outcome { manifest, stages, comparisons })
    }

    /// Runs one step, and times it unless it says itself what its work was.
    fn step(&self, kind: &str, name: &str, body: impl FnOnce(Step) -> Result<Step>) -> Result<Step> {
        let step = Step::new(kind, name);
        let table = step.name.clone();
        self.step_of(&table, step, body)
    }

    /// The same for a step whose errors are of a table with another name.
    fn step_of(&self, table: &str, step: Step, body: impl FnOnce(Step) -> Result<Step>) -> Result<Step> {
        if self.host.cancelled() {
            return Err(Error::Cancelled);
        }
        self.observer.begin(&step.name);
        let start = Instant::now();
        let mut step = body(step).map_err(|error| error.context(format_args!("[{table}]")))?;
        if step.seconds == 0.0 {
            step.seconds = start.elapsed().as_secs_f64();
        }
        self.observer.end(&step);
        Ok(step)
    }

    /// Reads every text through once, before hours of training depend on it: bad encoding, bad rows and empty files
    /// are found here, and files are hashed.
    fn texts(&self, steps: &mut Vec<Step>) -> Result<(Vec<Input>, IndexMap<SplitRef, Scan>)> {
        let mut inputs: Vec<Input> = Vec::new();
        let mut scans = IndexMap::new();
        for text in self.pipeline.texts() {
            let mut scan = Scan { documents: 0, words: 0 };
            let step = self.step_of(&format!("corpus.{}", text.corpus), Step::new("text", &text), |step| {
                for document in self.documents(&text)? {
                    let document = document.map_err(|error| Error::User(error.to_string()))?;
                    scan.documents += 1;
                    scan.words += document.text.split_whitespace().count() as u64;
                }
                for path in self.pipeline.corpora[&text.corpus].files(&text.split) {
                    if inputs.iter().all(|input| input.path != path) {
                        inputs.push(hash(&path)?);
                    }
                }
                Ok(step.with("documents", scan.documents).with("words", scan.words))
            })?;
            steps.push(step);
            scans.insert(text, scan);
        }
        for model in self.pipeline.models.values() {
            if let ModelOrigin::Directory(directory) = &model.origin {
                for file in ["config.json", "model.safetensors", "tokenizer.json"] {
                    let path = directory.join(file);
                    if path.exists() && inputs.iter().all(|input| input.path != path) {
                        inputs.push(hash(&path)?);
                    }
                }
            }
        }
        Ok((inputs, scans))
    }

    fn documents(&self, text: &SplitRef) -> Result<crate::corpus::Documents<'a>> {
        let corpus = &self.pipeline.corpora[&text.corpus];
        corpus.documents(&text.split).map_err(|error| Error::User(error.to_string()))
    }

    /// A directory aside for a step to write into.
    fn aside(&self, name: &str) -> Result<PathBuf> {
        let path = self.out.join(ASIDE).join(name);
        std::fs::create_dir_all(&path).map_err(|error| Error::io("make", &path, &error))?;
        Ok(path)
    }

    /// Renames what a step wrote into its place, over what an earlier run left there.
    fn place(&self, from: &Path, to: &str) -> Result<PathBuf> {
        let to = self.out.join(to);
        let replace = || {
            std::fs::create_dir_all(to.parent().unwrap_or(self.out))?;
            if to.is_dir() {
                std::fs::remove_dir_all(&to)?;
            }
            std::fs::rename(from, &to)
        };
        replace().map_err(|error| Error::io("write", &to, &error))?;
        Ok(to)
    }

    fn model(&self, name: &str, step: Step) -> Result<Step> {
        let settings = &self.pipeline.models[name];
        let mut model = made(self.registry.model(&settings.kind, &settings.options, &self.host))?;
        let Some(task) = &settings.task else {
            // Nothing to train: loading it checks it, before stages depend on it.
            self.weights(&mut *model, &settings.origin)?;
            return Ok(step);
        };
        let text = |split: &str| SplitRef { corpus: task.corpus.clone(), split: split.to_owned() };
        let start = Instant::now();
        let tokenizer = match &settings.origin {
            ModelOrigin::New(vocabulary) => {
                let tokenizer = Tokenizer::learn(self.documents(&text("train"))?, vocabulary);
                let tokenizer = tokenizer.map_err(|error| Error::User(error.to_string()))?;
                model.initialize(&self.host, tokenizer.size(), self.pipeline.seed)?;
                tokenizer
            }
            origin => self.weights(&mut *model, origin)?,
        };
        let train = self.encode(&tokenizer, &text("train"))?;
        let has_valid = self.pipeline.corpora[&task.corpus].splits().iter().any(|split| split == "valid");
        let valid = has_valid.then(|| self.encode(&tokenizer, &text("valid"))).transpose()?;
        let mut step = step.with("tokenize_seconds", start.elapsed().as_secs_f64());

        let (train, valid) = (view(&train), valid.as_ref().map(view));
        let request = FitRequest { train, valid, seed: self.pipeline.seed, pause: None };
        let mut kept = Vec::new();
        let report = loop {
            let report = model.fit(&self.host, &request)?;
            step.seconds += report.seconds;
            let loss = format!("epoch {}: training loss {:.4}", report.epoch, report.loss);
            let valid = report.valid_loss.map(|loss| format!(", validation perplexity {:.2}", loss.exp()));
            self.observer.log(Level::Information, &format!("{loss}{}", valid.unwrap_or_default()));
            if settings.checkpoints.contains(&report.epoch) {
                let aside = self.aside(&format!("{name}@{}", report.epoch))?;
                self.save(&*model, &tokenizer, &aside)?;
                kept.push((aside, format!("models/{name}@{}", report.epoch)));
            }
            if report.done {
                break report;
            }
        };
        if let Some(epoch) = settings.checkpoints.iter().find(|&&epoch| epoch > report.epoch) {
            return Err(Error::User(format!(
                "`train.checkpoints` asks for epoch {epoch}, but training ends after epoch {}",
                report.epoch
            )));
        }
        let aside = self.aside(name)?;
        self.save(&*model, &tokenizer, &aside)?;
        kept.push((aside, format!("models/{name}")));
        for (aside, path) in kept {
            self.place(&aside, &path)?;
        }
        step.tokens = Some(report.tokens);
        step = step.with("epochs", report.epoch).with("train_loss", report.loss);
        if let Some(loss) = report.valid_loss {
            step = step.with("valid_perplexity", loss.exp());
        }
        Ok(step.with("vocabulary", tokenizer.size()))
    }

    fn save(&self, model: &dyn Model, tokenizer: &Tokenizer, directory: &Path) -> Result<()> {
        model.save(&self.host, directory)?;
        tokenizer.save(directory).map_err(|error| Error::User(error.to_string()))
    }

    /// Where the weights of a model of the pipeline lie.
    fn directory(&self, model: &ModelRef) -> PathBuf {
        match &self.pipeline.models[&model.name] {
            config::Model { origin: ModelOrigin::Directory(path), task: None, .. } => path.clone(),
            config::Model { origin: ModelOrigin::Init(to), task: None, .. } => self.directory(to),
            _ => self.out.join("models").join(model.to_string()),
        }
    }

    /// Loads weights, and the tokenizer beside them, which has to be theirs.
    fn weights(&self, model: &mut dyn Model, origin: &ModelOrigin) -> Result<Tokenizer> {
        let directory = match origin {
            ModelOrigin::Directory(path) => path.clone(),
            ModelOrigin::Init(to) => self.directory(to),
            ModelOrigin::New(_) => return Err(Error::Internal("a new model has no weights to load".to_owned())),
        };
        self.load(model, &directory).map(|(tokenizer, _)| tokenizer)
    }

    fn load(&self, model: &mut dyn Model, directory: &Path) -> Result<(Tokenizer, ModelDescription)> {
        model.load(&self.host, directory)?;
        let tokenizer = Tokenizer::load(directory).map_err(|error| Error::User(error.to_string()))?;
        let description = model.describe()?;
        if tokenizer.size() != description.vocabulary {
            return Err(Error::User(format!(
                "{}: the vocabulary has {} entries, but the model beside it was made for {}; it needs the tokenizer it was \
                 trained with",
                directory.join("tokenizer.json").display(),
                tokenizer.size(),
                description.vocabulary
            )));
        }
        Ok((tokenizer, description))
    }

    /// All ids of a split.
    fn encode(&self, tokenizer: &Tokenizer, text: &SplitRef) -> Result<Encoded> {
        let mut all = Encoded { offsets: vec![0], ..Encoded::default() };
        let mut documents = self.documents(text)?;
        loop {
            let chunk: std::result::Result<Vec<_>, _> = documents.by_ref().take(CHUNK).collect();
            let chunk = chunk.map_err(|error| Error::User(error.to_string()))?;
            if chunk.is_empty() {
                break;
            }
            let encoded = tokenizer.encode(&chunk).map_err(|error| Error::User(error.to_string()))?;
            let before = all.ids.len() as u64;
            all.ids.extend_from_slice(&encoded.ids);
            all.offsets.extend(encoded.offsets.iter().skip(1).map(|offset| before + offset));
            all.unknown += encoded.unknown;
            all.special += encoded.special;
        }
        if all.is_all_unknown() {
            return Err(unknown_text(text));
        }
        Ok(all)
    }

    fn stage(&self, name: &str, settings: &config::Stage, scan: Scan, mut step: Step) -> Result<(Step, Preferences)> {
        let start = Instant::now();
        let of = &self.pipeline.models[&settings.model.name];
        let mut model = made(self.registry.model(&of.kind, &of.options, &self.host))?;
        let (tokenizer, description) = self.load(&mut *model, &self.directory(&settings.model))?;
        let load_seconds = start.elapsed().as_secs_f64();
        let state = settings.state.or(description.trained_state).unwrap_or(State::Reset);
        if let Some(trained) = description.trained_state.filter(|trained| *trained != state) {
            let (read, trained) = (json!(state), json!(trained));
            let message = format!("[stage.{name}] reads with state = {read}, but the model was trained with {trained}");
            self.observer.log(Level::Warning, &message);
        }
        let mut source = ModelSource::new(Reading {
            model: &*model,
            tokenizer: &tokenizer,
            documents: self.documents(&settings.text)?,
            layers: settings.layers.clone(),
            k: settings.record.k(),
            state,
            expected: scan.words + scan.documents,
        })?;
        let aside = self.aside(&format!("stage.{name}"))?;
        let (preferences, times) = stage::read(&mut source, &self.host, &aside)?;
        if !source.has_known() {
            return Err(unknown_text(&settings.text));
        }
        let tokenize = source.tokenize;
        self.place(&aside, &format!("stages/{name}"))?;
        step.seconds = (times.source.saturating_sub(tokenize) + times.aggregate).as_secs_f64();
        step.tokens = Some(preferences.tokens);
        step = step
            .with("load_seconds", load_seconds)
            .with("tokenize_seconds", tokenize.as_secs_f64())
            .with("write_seconds", times.write.as_secs_f64())
            .with("alive", preferences.alive())
            .with("rows", preferences.len())
            .with("mass", preferences.mass().to_f64());
        Ok((step, preferences))
    }

    fn comparison(
        &self,
        name: &str,
        settings: &config::Comparison,
        stages: &IndexMap<String, Arc<Preferences>>,
    ) -> Result<Comparison> {
        let mut metrics = Vec::new();
        for metric in &settings.metrics {
            metrics.push((metric.name.clone(), made(self.registry.metric(&metric.name, &metric.options, &self.host))?));
        }
        let (from, to) = (&stages[&settings.from], &stages[&settings.to]);
        let comparison = compare::compare(from, to, &settings.settings, &metrics, &self.host)?;
        let aside = self.aside("comparisons")?;
        let (table, summary) = (aside.join(format!("{name}.parquet")), aside.join(format!("{name}.json")));
        comparison.write(&table)?;
        let told = comparison.summary(&settings.from, &settings.to, &settings.settings);
        let json = serde_json::to_vec_pretty(&told).map_err(|error| Error::Internal(error.to_string()))?;
        std::fs::write(&summary, json).map_err(|error| Error::io("write", &summary, &error))?;
        self.place(&table, &format!("comparisons/{name}.parquet"))?;
        self.place(&summary, &format!("comparisons/{name}.json"))?;
        Ok(comparison)
    }
}

fn as_services(observer: &dyn Observer) -> &dyn HostServices {
    observer
}

fn view(encoded: &Encoded) -> Text<'_> {
    Text { ids: &encoded.ids, offsets: &encoded.offsets }
}

fn unknown_text(text: &SplitRef) -> Error {
    Error::User(format!(
        "the model's vocabulary knows no word of `{text}`: it was trained on another language, or with another tokenizer"
    ))
}

/// A component that the check made once already.
fn made<T>(component: std::result::Result<T, FindError>) -> Result<T> {
    component.map_err(|error| match error {
        FindError::Refused(error) => error.into(),
        FindError::Unknown(_) | FindError::Ambiguous(_) => Error::Internal("a component is gone".to_owned()),
    })
}

fn hash(path: &Path) -> Result<Input> {
    let (bytes, sha256) = sha256(path).map_err(|error| Error::io("read", path, &error))?;
    Ok(Input { path: path.to_owned(), bytes, sha256 })
}
