//! Running a plan: each step is made once, kept in the store under its fingerprint, and copied into the out directory.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use serde_json::{Value, json};
use txray_plugin::{Host, HostServices, Level, State};

use crate::compare::{self, Comparison};
use crate::config::{ModelOrigin, ModelRef, Pipeline, SplitRef, StageOf};
use crate::corpus::Documents;
use crate::error::{Error, Result};
use crate::manifest::{FORMAT, Manifest, Output, PluginRecord, Step, instructions};
use crate::plan::{Plan, Planned, Target};
use crate::preferences::Preferences;
use crate::prune::{self, NeuronColumns};
use crate::reading::{ModelSource, Reading};
use crate::stage::{self, Times};
use crate::store::{Entry, Key, RECORD, Store, USED};
use crate::training::{self, Training};
use txray_host::{FindError, Registry};

/// What a run tells while it runs: the host's services, and which step it is at.
pub trait Observer: HostServices {
    /// A step begins.
    fn begin(&self, name: &str);
    /// A step is done, or was there already.
    fn end(&self, step: &Step);
}

/// What a run gave, besides its files.
pub struct Outcome {
    /// What it was made of.
    pub manifest: Manifest,
    /// The stages that comparisons hold against each other, by name.
    pub stages: IndexMap<String, Arc<Preferences>>,
    /// The comparisons by name.
    pub comparisons: IndexMap<String, Comparison>,
}

/// Runs a pipeline. What the store has is not made again; what is made is put there first, and then into `out`, where
/// what has a name is whole.
pub fn run(
    pipeline: &Pipeline,
    registry: &Registry,
    plan: &Plan,
    store: &Store,
    out: &Path,
    observer: &dyn Observer,
) -> Result<Outcome> {
    let directory = OutDirectory::open(out, store, observer)?;
    let host = Host::new(as_services(observer));
    let entries = RefCell::default();
    Run { pipeline, registry, plan, store, out: directory, observer, host, entries }.all()
}

/// The out directory, held against other runs, and a place aside in it from which files are renamed.
struct OutDirectory {
    path: PathBuf,
    aside: PathBuf,
    _lock: Option<File>,
}

impl OutDirectory {
    fn open(path: &Path, store: &Store, observer: &dyn Observer) -> Result<Self> {
        let aside = path.join(".partial");
        // Whether it can be written is found now, and not after the last step.
        fs::create_dir_all(&aside).map_err(|error| {
            Error::User(format!("cannot write into {}: {error}; choose another --out", path.display()))
        })?;
        let name = Key::of(&json!({ "out": absolute(path) }));
        let lock = store.lock(&name, || {
            observer.log(Level::Warning, &format!("waiting for another run into {}", path.display()));
        });
        // A store that cannot be written may still have every step.
        Ok(Self { path: path.to_owned(), aside, _lock: lock.ok() })
    }

    /// Begins to write. From here on the manifest of an earlier run would no longer tell what is in the directory.
    fn begin(&self) -> Result<()> {
        let clear = || {
            if self.aside.exists() {
                fs::remove_dir_all(&self.aside)?;
            }
            fs::create_dir_all(&self.aside)?;
            match fs::remove_file(self.path.join("manifest.json")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        clear().map_err(|error| Error::io("write into the out directory", &self.path, &error))
    }

    /// Copies a file or a directory of the store to a name in the out directory, over what an earlier run left there.
    fn put(&self, from: &Path, to: &str) -> Result<()> {
        let (aside, target) = (self.aside.join("copy"), self.path.join(to));
        let copy = || {
            copy_all(from, &aside)?;
            fs::create_dir_all(target.parent().unwrap_or(&self.path))?;
            if target.is_dir() {
                fs::remove_dir_all(&target)?;
            }
            fs::rename(&aside, &target)
        };
        copy().map_err(|error| Error::io("write", &target, &error))
    }
}

impl Drop for OutDirectory {
    fn drop(&mut self) {
        // What is left aside is of no use to anybody, and the next run clears it anyway.
        let _ = fs::remove_dir_all(&self.aside);
    }
}

/// Copies a file, or a directory with all that is in it but a store's record.
pub(crate) fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // The store's own word on a step is of no use outside it.
        if ![RECORD, USED].iter().any(|own| entry.file_name() == **own) {
            copy_all(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

struct Run<'a> {
    pipeline: &'a Pipeline,
    registry: &'a Registry,
    plan: &'a Plan,
    store: &'a Store,
    out: OutDirectory,
    observer: &'a dyn Observer,
    host: Host<'a>,
    /// The steps that are there, in the order of the plan.
    entries: RefCell<IndexMap<String, Entry>>,
}

impl Run<'_> {
    fn all(&self) -> Result<Outcome> {
        let mut steps = Vec::new();
        let mut outputs = Vec::new();
        for planned in &self.plan.steps {
            let (entry, cached) = self.obtain(planned)?;
            let mut step = entry.record.step.clone();
            step.cached = cached;
            // Texts and recipes are alike where names are not.
            step.name = planned.name();
            self.observer.end(&step);
            steps.push(step);
            self.entries.borrow_mut().insert(planned.name(), entry);
        }
        // Only now, when every step is there: a run that fails leaves the out directory as it was.
        self.out.begin()?;
        for planned in &self.plan.steps {
            let entry = self.entries.borrow().get(&planned.name()).cloned();
            if let Some(entry) = entry {
                outputs.extend(self.put(planned, &entry)?);
            }
        }
        self.store.remember(&self.pipeline.name, &self.plan.steps);
        let mut manifest = self.manifest(steps, outputs);
        let mut json = manifest.write(&self.out.path)?;
        for (kind, options) in &self.pipeline.reports {
            let name = format!("report.{kind}");
            self.observer.begin(&name);
            let start = Instant::now();
            let mut sink = made(self.registry.sink(kind, options, &self.host))?;
            sink.write(&self.host, &self.out.path, &json)
                .map_err(|error| Error::from(error).context(format_args!("[{name}]")))?;
            let step = Step { seconds: start.elapsed().as_secs_f64(), ..Step::new("report", kind) };
            self.observer.end(&step);
            manifest.steps.push(step);
            json = manifest.write(&self.out.path)?;
        }
        self.outcome(manifest)
    }

    fn manifest(&self, steps: Vec<Step>, outputs: Vec<Output>) -> Manifest {
        let plugins = self.registry.plugins().iter().map(|plugin| PluginRecord {
            name: plugin.info.name.clone(),
            version: plugin.info.version.clone(),
            sha256: plugin.origin.sha256().map(str::to_owned),
        });
        Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pipeline: self.pipeline.name.clone(),
            folder: absolute(&self.pipeline.resolver.config),
            data: self.pipeline.resolver.data.as_deref().map(absolute),
            instructions: instructions(),
            seed: self.pipeline.seed,
            device: self.pipeline.device.clone(),
            threads: self.host.threads(),
            settings: self.pipeline.settings.clone(),
            inputs: self.plan.inputs.clone(),
            plugins: plugins.collect(),
            steps,
            outputs,
        }
    }

    /// What a person is told of: read from the tables, whether they were made now or before.
    fn outcome(&self, manifest: Manifest) -> Result<Outcome> {
        let mut stages = IndexMap::new();
        let mut comparisons = IndexMap::new();
        for (name, settings) in &self.pipeline.comparisons {
            for stage in [&settings.from, &settings.to] {
                if !stages.contains_key(stage) {
                    stages.insert(
                        stage.clone(),
                        Arc::new(stage::load(&self.directory_of(&Target::Stage(stage.clone()))?)?),
                    );
                }
            }
            comparisons.insert(name.clone(), self.made_comparison(name)?);
        }
        Ok(Outcome { manifest, stages, comparisons })
    }

    /// A step's files, made if they are not there; and whether they were.
    fn obtain(&self, planned: &Planned) -> Result<(Entry, bool)> {
        if self.host.cancelled() {
            return Err(Error::Cancelled);
        }
        let name = planned.name();
        if let Some(entry) = self.sound(planned, Level::Warning)? {
            return Ok((entry, true));
        }
        let claim = self.store.claim(&planned.key, || {
            self.observer.log(Level::Information, &format!("waiting for another run that makes {name}"));
        })?;
        // Whoever was waited for may have made it.
        if let Some(entry) = self.sound(planned, Level::Debug)? {
            return Ok((entry, true));
        }
        self.observer.begin(&name);
        let start = Instant::now();
        let step = Step::new(planned.target.kind(), planned.target.name());
        let made = match &planned.target {
            Target::Text(text) => self.text(text, step),
            Target::Model(model) => self.model(model, planned, &claim.directory, step),
            Target::Stage(stage) => self.stage(stage, &claim.directory, step),
            Target::Comparison(comparison) => self.comparison(comparison, &claim.directory, step),
            Target::Pruning(pruning) => self.pruning(pruning, &claim.directory, step),
        };
        // A text's errors are those of its corpus's table.
        let table = match &planned.target {
            Target::Text(text) => format!("corpus.{}", text.corpus),
            _ => name,
        };
        let mut step = made.map_err(|error| error.context(format_args!("[{table}]")))?;
        if step.seconds == 0.0 {
            step.seconds = start.elapsed().as_secs_f64();
        }
        let entry = self.store.commit(claim, planned.recipe.clone(), step)?;
        if matches!(planned.target, Target::Model(_)) {
            self.store.end_training(&planned.key);
        }
        Ok((entry, false))
    }

    /// A step that is in the store, and whose files are what they were when it was made. `level` is how loudly to tell of
    /// one whose files are not.
    fn sound(&self, planned: &Planned, level: Level) -> Result<Option<Entry>> {
        let Some(entry) = self.store.get(&planned.key)? else { return Ok(None) };
        let damaged = entry.damaged();
        if damaged.is_empty() {
            entry.touch();
            return Ok(Some(entry));
        }
        let (name, files) = (planned.name(), damaged.join(", "));
        let message =
            format!("{name} is damaged in the store ({files} of {}): making it again", entry.directory.display());
        self.observer.log(level, &message);
        Ok(None)
    }

    /// Copies what people look at into the out directory.
    fn put(&self, planned: &Planned, entry: &Entry) -> Result<Vec<Output>> {
        let copies: Vec<(String, String)> = match &planned.target {
            Target::Text(_) => Vec::new(),
            Target::Model(name) => {
                let model = &self.pipeline.models[name];
                let last = model.task.iter().map(|_| (training::LAST.to_owned(), format!("models/{name}")));
                let kept = model.checkpoints.iter().map(|e| (training::checkpoint(*e), format!("models/{name}@{e}")));
                last.chain(kept).collect()
            }
            Target::Stage(name) => vec![(String::new(), format!("stages/{name}"))],
            Target::Comparison(name) => ["parquet", "json"]
                .map(|kind| (format!("comparison.{kind}"), format!("comparisons/{name}.{kind}")))
                .to_vec(),
            Target::Pruning(name) => vec![("pruning.parquet".to_owned(), format!("prunings/{name}.parquet"))],
        };
        let mut outputs = Vec::new();
        for (from, to) in copies {
            self.out.put(&entry.directory.join(&from), &to)?;
            for (path, file) in &entry.record.files {
                let Some(rest) = path.strip_prefix(from.as_str()) else { continue };
                let path = format!("{to}/{}", rest.trim_start_matches('/')).trim_end_matches('/').to_owned();
                outputs.push(Output { path, sha256: file.sha256.clone() });
            }
        }
        Ok(outputs)
    }

    fn directory_of(&self, target: &Target) -> Result<PathBuf> {
        let step = self.plan.step(target);
        let entries = self.entries.borrow();
        let entry = step.and_then(|step| entries.get(&step.name()));
        entry.map(|entry| entry.directory.clone()).ok_or_else(|| Error::Internal("a step is out of order".to_owned()))
    }

    fn documents(&self, text: &SplitRef) -> Result<Documents<'_>> {
        let corpus = &self.pipeline.corpora[&text.corpus];
        corpus.documents(&text.split).map_err(|error| Error::User(error.to_string()))
    }

    /// Reads a text through once, before hours of training depend on it: bad encoding, bad rows and empty files are found
    /// here.
    fn text(&self, text: &SplitRef, step: Step) -> Result<Step> {
        let (mut documents, mut words) = (0_u64, 0_u64);
        for document in self.documents(text)? {
            let document = document.map_err(|error| Error::User(error.to_string()))?;
            documents += 1;
            words += document.text.split_whitespace().count() as u64;
        }
        Ok(step.with("documents", documents).with("words", words))
    }

    /// Where the weights of a model of the pipeline lie.
    fn weights(&self, model: &ModelRef) -> Result<PathBuf> {
        let settings = &self.pipeline.models[&model.name];
        match (&settings.origin, &settings.task) {
            (ModelOrigin::Directory(path), None) => Ok(path.clone()),
            (ModelOrigin::Init(to), None) => self.weights(to),
            _ => {
                let part = model.epoch.map_or_else(|| training::LAST.to_owned(), training::checkpoint);
                Ok(self.directory_of(&Target::Model(model.name.clone()))?.join(part))
            }
        }
    }

    fn model(&self, name: &str, planned: &Planned, directory: &Path, step: Step) -> Result<Step> {
        let settings = &self.pipeline.models[name];
        let mut model = made(self.registry.model(&settings.kind, &settings.options, &self.host))?;
        let begin = match &settings.origin {
            ModelOrigin::New(vocabulary) => training::Begin::New(vocabulary),
            ModelOrigin::Directory(path) => training::Begin::From(path.clone()),
            ModelOrigin::Init(to) => training::Begin::From(self.weights(to)?),
        };
        let Some(task) = &settings.task else {
            // Nothing to train: loading it checks it, before stages depend on it.
            if let training::Begin::From(path) = begin {
                training::load(&mut *model, &path, &self.host)?;
            }
            return Ok(step);
        };
        let corpus = &*self.pipeline.corpora[&task.corpus];
        Training {
            host: &self.host,
            seed: self.pipeline.seed,
            corpus,
            name: &task.corpus,
            begin,
            checkpoints: &settings.checkpoints,
            saved: &self.store.training(&planned.key),
            shorter: self.store.shorter_training(&planned.recipe)?,
        }
        .run(&mut *model, directory, step)
    }

    fn stage(&self, name: &str, directory: &Path, step: Step) -> Result<Step> {
        let settings = &self.pipeline.stages[name];
        match &settings.of {
            StageOf::Model { model, text, record, state } => {
                let start = Instant::now();
                let of = &self.pipeline.models[&model.name];
                let mut made = made(self.registry.model(&of.kind, &of.options, &self.host))?;
                let (tokenizer, description) = training::load(&mut *made, &self.weights(model)?, &self.host)?;
                let step = step.with("load_seconds", start.elapsed().as_secs_f64());
                let state = self.state(name, *state, description.trained_state);
                let source = ModelSource::new(Reading {
                    model: &*made,
                    tokenizer: &tokenizer,
                    documents: self.documents(text)?,
                    layers: settings.layers.clone(),
                    k: record.k(),
                    state,
                    expected: self.figure(text, "words") + self.figure(text, "documents"),
                })?;
                self.read_model(source, text, directory, step)
            }
            StageOf::Source(source) => {
                let mut source = made(self.registry.source(&source.kind, &source.options, &self.host))?;
                let (read, times) = stage::read(&mut *source, &self.host, directory)?;
                let seconds = (times.source + times.aggregate).as_secs_f64();
                Ok(of_stage(Step { seconds, ..step }, &read, times))
            }
        }
    }

    /// How a stage handles the state at document starts. Warns where the model was trained otherwise.
    fn state(&self, name: &str, asked: Option<State>, trained: Option<State>) -> State {
        let state = asked.or(trained).unwrap_or(State::Reset);
        if let Some(trained) = trained.filter(|trained| *trained != state) {
            let word = |state| if state == State::Reset { "reset" } else { "carry" };
            let (read, trained) = (word(state), word(trained));
            let message =
                format!("[stage.{name}] reads with state = \"{read}\", but the model was trained with \"{trained}\"");
            self.observer.log(Level::Warning, &message);
        }
        state
    }

    /// A figure of a text that was read through.
    fn figure(&self, text: &SplitRef, name: &str) -> u64 {
        let entries = self.entries.borrow();
        let entry = self.plan.step(&Target::Text(text.clone())).and_then(|step| entries.get(&step.name()));
        entry.and_then(|entry| entry.record.step.figures.get(name)).and_then(Value::as_u64).unwrap_or(0)
    }

    fn read_model(&self, mut source: ModelSource<'_>, text: &SplitRef, directory: &Path, step: Step) -> Result<Step> {
        let (read, times) = stage::read(&mut source, &self.host, directory)?;
        if !source.has_known() {
            return Err(training::unknown_text(&text.to_string()));
        }
        let seconds = (times.source.saturating_sub(source.tokenize) + times.aggregate).as_secs_f64();
        let step = Step { seconds, ..step }.with("tokenize_seconds", source.tokenize.as_secs_f64());
        Ok(of_stage(step, &read, times))
    }

    fn comparison(&self, name: &str, directory: &Path, step: Step) -> Result<Step> {
        let settings = &self.pipeline.comparisons[name];
        let mut metrics = Vec::new();
        for metric in &settings.metrics {
            metrics.push((metric.kind.clone(), made(self.registry.metric(&metric.kind, &metric.options, &self.host))?));
        }
        let side = |stage: &String| stage::load(&self.directory_of(&Target::Stage(stage.clone()))?);
        let (from, to) = (side(&settings.from)?, side(&settings.to)?);
        let start = Instant::now();
        let comparison = compare::compare(&from, &to, &settings.settings, &metrics, &self.host)?;
        let seconds = start.elapsed().as_secs_f64();
        comparison.write(&directory.join("comparison.parquet"))?;
        let summary = comparison.summary(&settings.from, &settings.to, &settings.settings);
        let json = serde_json::to_vec_pretty(&summary).map_err(|error| Error::Internal(error.to_string()))?;
        let path = directory.join("comparison.json");
        fs::write(&path, json).map_err(|error| Error::io("write", &path, &error))?;
        Ok(Step { seconds, ..step })
    }

    /// A comparison that was made, read from its table.
    fn made_comparison(&self, name: &str) -> Result<Comparison> {
        let directory = self.directory_of(&Target::Comparison(name.to_owned()))?;
        let metrics = self.pipeline.comparisons[name].metrics.iter().map(|metric| metric.kind.clone());
        Comparison::read(&directory.join("comparison.parquet"), &metrics.collect::<Vec<_>>())
    }

    fn pruning(&self, name: &str, directory: &Path, step: Step) -> Result<Step> {
        let settings = &self.pipeline.prunings[name];
        let pruner = made(self.registry.pruner(&settings.pruner.kind, &settings.pruner.options, &self.host))?;
        let stages = &self.pipeline.comparisons[&settings.comparison];
        let side = |stage: &String| self.directory_of(&Target::Stage(stage.clone()));
        let comparison = self.made_comparison(&settings.comparison)?;
        let columns = NeuronColumns::gather(&side(&stages.from)?, &side(&stages.to)?, &comparison)?;
        let start = Instant::now();
        let scored = prune::score(&*pruner, &columns, &self.host)
            .map_err(|error| error.context(format_args!("pruner `{}`", settings.pruner.kind)))?;
        let seconds = start.elapsed().as_secs_f64();
        prune::write(&directory.join("pruning.parquet"), &comparison, &scored)?;
        Ok(Step { seconds, ..step }.with("scored", scored.iter().filter(|neuron| neuron.rank.is_some()).count()))
    }
}

/// The figures of every stage.
fn of_stage(mut step: Step, read: &Preferences, times: Times) -> Step {
    step.tokens = Some(read.tokens);
    step.with("write_seconds", times.write.as_secs_f64())
        .with("documents", read.documents)
        .with("unknown", read.unknown)
        .with("neurons", read.sites.iter().map(|site| site.width).sum::<usize>())
        .with("alive", read.alive())
        .with("rows", read.len())
        .with("mass", read.mass().to_f64())
}

fn as_services(observer: &dyn Observer) -> &dyn HostServices {
    observer
}

/// A path that holds wherever a manifest is read. What cannot be resolved stays as it was given.
fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A component that the check made once already.
fn made<T>(component: std::result::Result<T, FindError>) -> Result<T> {
    component.map_err(|error| match error {
        FindError::Refused(error) => error.into(),
        _ => Error::Internal("a component is gone".to_owned()),
    })
}
