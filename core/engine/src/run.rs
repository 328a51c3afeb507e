//! Running a plan: each step is made once, kept in the store under its fingerprint, and what of it people look at is copied
//! into the out directory. Where a step fails, those that do not need it are made all the same, and nothing is copied.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use txray_host::{Origin, Registered, Registry};
use txray_plugin::{Host, HostServices, Level};
use txray_tables::{FORMAT, Manifest, Output, PluginRecord, StepRecord, instructions};

use crate::error::{Error, Failed, Result};
use crate::inputs::Inputs;
use crate::out::{OutDirectory, OutPath, Publication, absolute};
use crate::pipeline::Pipeline;
use crate::plan::{Plan, Planned};
use crate::shard::{Parts, Shard};
use crate::step::{Finished, Making, Step};
use crate::store::{Entry, Found, Store};

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

/// Runs a pipeline. What the store has is not made again; what is made is put there first. In the end all of it goes to
/// `out` at once: a run that fails or is stopped leaves there what the run before left.
pub fn run(
    pipeline: &Pipeline,
    registry: &Registry,
    plan: &Plan,
    store: &Store,
    out: &mut OutDirectory,
    observer: &dyn Observer,
) -> Result<Outcome> {
    run_of(pipeline, registry, plan, store, out, observer, None)
}

/// The same, of a run that was made in parts: what has parts is merged of these.
///
/// # Errors
/// As for [`run`]; parts of another program or other texts.
pub fn merge(
    pipeline: &Pipeline,
    registry: &Registry,
    plan: &Plan,
    store: &Store,
    out: &mut OutDirectory,
    observer: &dyn Observer,
    parts: &Parts,
) -> Result<Outcome> {
    parts.check(&plan.program, &plugins(registry), &plan.inputs)?;
    run_of(pipeline, registry, plan, store, out, observer, Some(parts))
}

fn run_of(
    pipeline: &Pipeline,
    registry: &Registry,
    plan: &Plan,
    store: &Store,
    out: &mut OutDirectory,
    observer: &dyn Observer,
    parts: Option<&Parts>,
) -> Result<Outcome> {
    let host = Host::new(as_services(observer));
    let inputs = Inputs::new(&plan.inputs, &plan.folders, &host);
    let finished = Finished::default();
    let mut run = Run { registry, store, observer, host: &host, inputs: &inputs, shard: plan.shard, parts, finished };
    let ended = run.all(pipeline, plan, out);
    match ended {
        Ok(manifest) => Ok(Outcome { manifest, finished: run.finished }),
        // Whatever was at work then tells it in its own way.
        Err(_) if host.cancelled() => Err(Error::Cancelled),
        Err(error) => Err(error),
    }
}

/// The plugins of a run.
fn plugins(registry: &Registry) -> Vec<PluginRecord> {
    let record = |plugin: &Registered| PluginRecord {
        name: plugin.info.name.clone(),
        version: plugin.info.version.clone(),
        sha256: plugin.origin.sha256().map(str::to_owned),
    };
    registry.plugins().iter().map(record).collect()
}

fn manifest(
    pipeline: &Pipeline,
    registry: &Registry,
    plan: &Plan,
    threads: usize,
    steps: Vec<StepRecord>,
    outputs: Vec<Output>,
) -> Manifest {
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
        plugins: plugins(registry),
        shard: plan.shard.map(|shard| shard.record(&plan.program)),
        steps,
        outputs,
    }
}

struct Run<'a> {
    registry: &'a Registry,
    store: &'a Store,
    observer: &'a dyn Observer,
    host: &'a Host<'a>,
    inputs: &'a Inputs<'a>,
    shard: Option<Shard>,
    /// The parts that the run was made in, where it was.
    parts: Option<&'a Parts>,
    finished: Finished,
}

impl Run<'_> {
    fn all(&mut self, pipeline: &Pipeline, plan: &Plan, out: &mut OutDirectory) -> Result<Manifest> {
        let targets: Vec<OutPath> =
            plan.steps.iter().flat_map(|planned| planned.step.publish()).map(|publication| publication.to).collect();
        let read: Vec<PathBuf> = self.read(pipeline, plan);
        out.survey(&targets, &read, self.host)?;

        let steps = self.steps(plan)?;
        out.begin()?;
        let mut outputs = Vec::new();
        for planned in &plan.steps {
            outputs.extend(out.gather(self.finished.entry(&*planned.step)?, &planned.step.publish(), self.host)?);
        }
        let mut manifest = manifest(pipeline, self.registry, plan, self.host.threads(), steps, outputs);
        let mut json = out.write_manifest(&manifest)?;
        for (at, planned) in plan.afterwards.iter().enumerate() {
            let made = self.make(planned, &out.new_files(), &json);
            let record = made.map_err(|error| match error {
                Error::Cancelled => error,
                error => {
                    let unmade = plan.afterwards[at + 1..].iter().map(Planned::id).collect();
                    self.failed(vec![error], unmade, plan.steps.len())
                }
            })?;
            self.observer.end(&record, planned.step.level());
            manifest.steps.push(record);
            let added = out.gather_report(&planned.step.table(), &manifest.outputs, self.host)?;
            manifest.outputs.extend(added);
            json = out.write_manifest(&manifest)?;
        }
        // Hours may have gone by.
        let survey = out.survey(&targets, &read, self.host)?;
        if self.host.cancelled() {
            return Err(Error::Cancelled);
        }
        out.put_in_place(&survey, &manifest.outputs, self.host)?;
        self.store.remember(&pipeline.name, plan.steps.iter().map(|step| (step.id(), &step.recipe)));
        Ok(manifest)
    }

    /// Makes every step that the store lacks; where one fails, those that do not need it.
    fn steps(&mut self, plan: &Plan) -> Result<Vec<StepRecord>> {
        // What is there is held from now on: nobody removes it while this run makes what it lacks.
        let mut held = HashMap::new();
        for planned in &plan.steps {
            if let Found::Whole(entry) = self.store.hold(&planned.key, self.host)? {
                held.insert(&planned.key, *entry);
            }
        }
        let mut steps = Vec::new();
        // The steps that fail, why, and the steps that this costs, they themselves among these.
        let (mut failed, mut errors, mut lost) = (Vec::new(), Vec::new(), HashSet::new());
        for (at, planned) in plan.steps.iter().enumerate() {
            if lost.contains(&planned.id()) {
                continue;
            }
            let obtained = match held.get(&planned.key) {
                Some(entry) => Ok((entry.clone(), true)),
                None => self.obtain(planned),
            };
            let to_come = &plan.steps[at + 1..];
            match obtained {
                Ok((entry, cached)) => {
                    entry.touch();
                    held.insert(&planned.key, entry.clone());
                    // Steps of one recipe are one step in the store, whatever they are called.
                    let record = StepRecord { cached, name: planned.id(), ..entry.record.step.clone() };
                    self.observer.end(&record, planned.step.level());
                    steps.push(record);
                    self.finished.insert(planned.id(), entry);
                }
                Err(error) if self.host.cancelled() || matches!(error, Error::Cancelled) => return Err(error),
                Err(error) => {
                    lost.insert(planned.id());
                    for other in to_come {
                        // One that passes on what it reads has nothing without that, be it there or not.
                        let is_there = held.contains_key(&other.key) && !other.step.passes_on();
                        let needs = other.step.inputs().iter().any(|(_, input)| lost.contains(&input.id()));
                        if !is_there && (needs || error.is_everybodys()) {
                            lost.insert(other.id());
                        }
                    }
                    if to_come.iter().any(|other| !held.contains_key(&other.key) && !lost.contains(&other.id())) {
                        let message = format!("{error}; going on with what does not need it");
                        self.observer.log(Level::Error, &message);
                    }
                    failed.push(planned.id());
                    errors.push(error);
                }
            }
            let is_to_make = |other: &Planned| !held.contains_key(&other.key) && !lost.contains(&other.id());
            let to_make = to_come.iter().filter(|other| is_to_make(other));
            let needed: HashSet<String> =
                to_make.flat_map(|other| other.step.inputs()).map(|(_, step)| step.id()).collect();
            self.finished.keep_read(|id| needed.contains(id));
        }
        if errors.is_empty() {
            return Ok(steps);
        }
        let unmade = plan.steps.iter().map(Planned::id).filter(|id| lost.contains(id) && !failed.contains(id));
        Err(self.failed(errors, unmade.collect(), steps.len()))
    }

    /// What a run ends with in which steps failed.
    fn failed(&self, errors: Vec<Error>, unmade: Vec<String>, done: usize) -> Error {
        Error::Steps(Failed { errors, unmade, done, store: self.store.root().to_owned() })
    }

    /// Every file that the run depends on: none of them is ever replaced.
    fn read(&self, pipeline: &Pipeline, plan: &Plan) -> Vec<PathBuf> {
        let libraries = self.registry.plugins().iter().filter_map(|plugin| match &plugin.origin {
            Origin::Library { path, .. } => Some(path.clone()),
            Origin::BuiltIn => None,
        });
        let inputs = plan.inputs.iter().map(|input| input.path.clone());
        let parts = self.parts.into_iter().flat_map(Parts::files);
        inputs.chain(libraries).chain([pipeline.file.clone()]).chain(parts).collect()
    }

    /// The files of a step that was not there when the run began; and whether they are by now.
    fn obtain(&self, planned: &Planned) -> Result<(Entry, bool)> {
        if self.host.cancelled() {
            return Err(Error::Cancelled);
        }
        let claim = self.store.claim(&planned.key, self.host, || {
            let message = format!("waiting for another run that makes {}", planned.id());
            self.observer.log(Level::Information, &message);
        })?;
        // Whoever was waited for may have made it.
        match self.store.hold(&planned.key, self.host)? {
            Found::Whole(entry) => return Ok((*entry, true)),
            Found::Damaged(files) => {
                let (id, files, place) = (planned.id(), files.join(", "), self.store.step(&planned.key));
                let message = format!("{id} is damaged in the store ({files} of {}): making it again", place.display());
                self.observer.log(Level::Warning, &message);
            }
            Found::Nothing => {}
        }
        let record = self.make(planned, &claim.directory, "")?;
        let entry = self.store.commit(claim, planned.recipe.clone(), record, self.host)?;
        self.store.forget_unfinished(&planned.key);
        Ok((entry, false))
    }

    /// Makes a step's files in a directory.
    fn make(&self, planned: &Planned, directory: &Path, manifest: &str) -> Result<StepRecord> {
        let step = &planned.step;
        self.observer.begin(&step.id());
        let start = Instant::now();
        let making = Making {
            host: self.host,
            registry: self.registry,
            inputs: self.inputs,
            directory,
            unfinished: self.store.unfinished(&planned.key),
            recipe: &planned.recipe,
            manifest,
            shard: self.shard,
            store: self.store,
            finished: &self.finished,
        };
        if let Some(parts) = self.parts.filter(|_| !step.has_parts() && !step.reads_the_run()) {
            let adopted = adopt(parts, &**step, &making).map_err(|error| error.of_table(step.table()))?;
            if let Some(record) = adopted {
                return Ok(StepRecord { cached: false, ..record });
            }
        }
        let make = || {
            self.inputs.hold(&planned.opened)?;
            let made = match self.parts.filter(|_| step.has_parts()) {
                Some(parts) => step.merge(&making, parts)?,
                None => step.make(&making)?,
            };
            self.inputs.hold(&planned.opened)?;
            Ok(made)
        };
        let made = make().map_err(|error: Error| error.of_table(step.table()))?;
        Ok(StepRecord {
            name: step.id(),
            kind: step.kind().to_owned(),
            cached: false,
            seconds: made.seconds.unwrap_or_else(|| start.elapsed().as_secs_f64()),
            tokens: made.tokens,
            figures: made.figures,
        })
    }
}

/// Takes a step over as the parts left it, if it published something: a model is the same in all of them.
fn adopt(parts: &Parts, step: &dyn Step, making: &Making<'_>) -> Result<Option<StepRecord>> {
    let published = step.publish();
    let Some(record) = parts.records(step.id()).next().filter(|_| !published.is_empty()) else { return Ok(None) };
    for Publication { from, to } in &published {
        parts.copy(to, &making.directory.join(from), making.host)?;
    }
    Ok(Some(record.clone()))
}

fn as_services(observer: &dyn Observer) -> &dyn HostServices {
    observer
}
