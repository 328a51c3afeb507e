//! Running a plan: each step is made once, kept in the store under its fingerprint, and what of it people look at is copied
//! into the out directory.

use std::path::Path;
use std::time::Instant;

use txray_host::Registry;
use txray_plugin::{Host, HostServices, Level};
use txray_tables::{FORMAT, Manifest, Output, PluginRecord, StepRecord, instructions};

use crate::error::{Error, Result};
use crate::out::{OutDirectory, absolute};
use crate::pipeline::Pipeline;
use crate::plan::{Plan, Planned};
use crate::step::{Finished, Making};
use crate::store::{Entry, Store};

/// What a run tells while it runs: the host's services, and which step it is at.
pub trait Observer: HostServices {
    /// A step begins.
    fn begin(&self, id: &str);
    /// A step is done, or was there already; `level` is how much that matters to a reader.
    fn end(&self, step: &StepRecord, level: Level);
}

/// What a run gave, besides the out directory.
pub struct Outcome {
    /// What it was made of.
    pub manifest: Manifest,
    /// Its steps in the store, for whoever tells of them.
    pub finished: Finished,
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
    let out = OutDirectory::open(out, store, || {
        observer.log(Level::Warning, &format!("waiting for another run into {}", out.display()));
    })?;
    let host = Host::new(as_services(observer));
    let mut run = Run { registry, store, observer, host, finished: Finished::default() };
    let mut steps = Vec::new();
    for planned in &plan.steps {
        let (entry, cached) = run.obtain(planned)?;
        // Steps of one recipe are one step in the store, whatever they are called.
        let record = StepRecord { cached, name: planned.id(), ..entry.record.step.clone() };
        observer.end(&record, planned.step.level());
        steps.push(record);
        run.finished.insert(planned.id(), entry);
    }
    // Only now, when every step is there: a run that fails leaves the out directory as it was.
    out.begin()?;
    let mut outputs = Vec::new();
    for planned in &plan.steps {
        outputs.extend(out.put(run.finished.entry(&*planned.step)?, &planned.step.publish())?);
    }
    store.remember(&pipeline.name, plan.steps.iter().map(|step| (step.id(), &step.recipe)));
    let mut manifest = manifest(pipeline, registry, plan, host.threads(), steps, outputs);
    let mut json = out.write_manifest(&manifest)?;
    for planned in &plan.afterwards {
        let record = run.make(planned, out.path(), &json)?;
        observer.end(&record, planned.step.level());
        manifest.steps.push(record);
        json = out.write_manifest(&manifest)?;
    }
    Ok(Outcome { manifest, finished: run.finished })
}

fn manifest(
    pipeline: &Pipeline,
    registry: &Registry,
    plan: &Plan,
    threads: usize,
    steps: Vec<StepRecord>,
    outputs: Vec<Output>,
) -> Manifest {
    let plugins = registry.plugins().iter().map(|plugin| PluginRecord {
        name: plugin.info.name.clone(),
        version: plugin.info.version.clone(),
        sha256: plugin.origin.sha256().map(str::to_owned),
    });
    Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pipeline: pipeline.name.clone(),
        folder: absolute(&pipeline.resolver.config),
        data: pipeline.resolver.data.as_deref().map(absolute),
        instructions: instructions(),
        seed: pipeline.seed,
        device: pipeline.device.clone(),
        threads,
        settings: pipeline.settings.clone(),
        inputs: plan.inputs.clone(),
        plugins: plugins.collect(),
        steps,
        outputs,
    }
}

struct Run<'a> {
    registry: &'a Registry,
    store: &'a Store,
    observer: &'a dyn Observer,
    host: Host<'a>,
    finished: Finished,
}

impl Run<'_> {
    /// A step's files, made if they are not there; and whether they were.
    fn obtain(&self, planned: &Planned) -> Result<(Entry, bool)> {
        if self.host.cancelled() {
            return Err(Error::Cancelled);
        }
        if let Some(entry) = self.sound(planned, Level::Warning)? {
            return Ok((entry, true));
        }
        let claim = self.store.claim(&planned.key, || {
            let message = format!("waiting for another run that makes {}", planned.id());
            self.observer.log(Level::Information, &message);
        })?;
        // Whoever was waited for may have made it.
        if let Some(entry) = self.sound(planned, Level::Debug)? {
            return Ok((entry, true));
        }
        let record = self.make(planned, &claim.directory, "")?;
        let entry = self.store.commit(claim, planned.recipe.clone(), record)?;
        self.store.forget_unfinished(&planned.key);
        Ok((entry, false))
    }

    /// Makes a step's files in a directory.
    fn make(&self, planned: &Planned, directory: &Path, manifest: &str) -> Result<StepRecord> {
        let step = &planned.step;
        self.observer.begin(&step.id());
        let start = Instant::now();
        let making = Making {
            host: &self.host,
            registry: self.registry,
            directory,
            unfinished: self.store.unfinished(&planned.key),
            recipe: &planned.recipe,
            manifest,
            store: self.store,
            finished: &self.finished,
        };
        let made = step.make(&making).map_err(|error| error.of_table(step.table()))?;
        Ok(StepRecord {
            name: step.id(),
            kind: step.kind().to_owned(),
            cached: false,
            seconds: made.seconds.unwrap_or_else(|| start.elapsed().as_secs_f64()),
            tokens: made.tokens,
            figures: made.figures,
        })
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
        let (id, files) = (planned.id(), damaged.join(", "));
        let message =
            format!("{id} is damaged in the store ({files} of {}): making it again", entry.directory.display());
        self.observer.log(level, &message);
        Ok(None)
    }
}

fn as_services(observer: &dyn Observer) -> &dyn HostServices {
    observer
}
