//! What a step of a pipeline is: what it is made of, how it is made, and what of it is published.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use txray_host::{Registry, sha256};
use txray_plugin::{Host, Level};
use txray_tables::{Folder, Input};

use crate::component::Component;
use crate::error::{Error, Result};
use crate::out::Publication;
use crate::store::{Entry, Record, Store};

/// Where in a whole recipe that of the step itself stands, beside its inputs and what every step depends on.
pub(crate) const OWN: &str = "of";

/// A step of a pipeline. Plans, runs and the store know steps by this alone.
pub trait Step: Send + Sync {
    /// Its kind in names and manifests: `stage`.
    fn kind(&self) -> &'static str;

    /// Its name within its kind.
    fn name(&self) -> String;

    /// Its name in all: `stage.early`.
    fn id(&self) -> String {
        format!("{}.{}", self.kind(), self.name())
    }

    /// The table of the pipeline that its errors are about.
    fn table(&self) -> String {
        self.id()
    }

    /// How loudly its end is told.
    fn level(&self) -> Level {
        Level::Information
    }

    /// The steps whose files it reads, each with the part that it plays.
    fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
        Vec::new()
    }

    /// What its files depend on, apart from its inputs and the program: settings, and the bytes of files and libraries.
    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value>;

    /// Makes its files in [`Making::directory`].
    fn make(&self, making: &Making<'_>) -> Result<Made>;

    /// What of its files people look at.
    fn publish(&self) -> Vec<Publication> {
        Vec::new()
    }

    /// Whether it is made over the finished out directory, in every run, instead of being kept in the store.
    fn reads_the_run(&self) -> bool {
        false
    }
}

/// What making a step came to, besides its files.
#[derive(Debug, Default)]
pub struct Made {
    pub(crate) seconds: Option<f64>,
    pub(crate) tokens: Option<u64>,
    pub(crate) figures: Map<String, Value>,
}

impl Made {
    /// With these figures, a struct of which each kind of step has its own. The step took as long as making it did, unless
    /// [`Made::seconds`] says otherwise.
    pub fn with(step: &dyn Step, figures: &impl Serialize) -> Result<Self> {
        let not_written = |source| Error::Figures { step: step.id(), source };
        match serde_json::to_value(figures).map_err(not_written)? {
            Value::Object(figures) => Ok(Self { figures, ..Self::default() }),
            _ => Ok(Self::default()),
        }
    }

    /// The work itself took so many seconds; loading and writing are apart.
    #[must_use]
    pub fn seconds(self, seconds: f64) -> Self {
        Self { seconds: Some(seconds), ..self }
    }

    /// So many tokens went through.
    #[must_use]
    pub fn tokens(self, tokens: u64) -> Self {
        Self { tokens: Some(tokens), ..self }
    }
}

/// The steps that are there, by their names in all.
#[derive(Debug, Default)]
pub struct Finished(IndexMap<String, Entry>);

impl Finished {
    pub(crate) fn insert(&mut self, id: String, entry: Entry) {
        self.0.insert(id, entry);
    }

    /// The entry of a step.
    pub fn entry(&self, step: &dyn Step) -> Result<&Entry> {
        let id = step.id();
        self.0.get(&id).ok_or(Error::Order { step: id })
    }

    /// The figures that a step left.
    pub fn figures<T: DeserializeOwned>(&self, step: &dyn Step) -> Result<T> {
        let figures = Value::Object(self.entry(step)?.record.step.figures.clone());
        serde_json::from_value(figures).map_err(|source| Error::Figures { step: step.id(), source })
    }
}

/// What a step is made with.
pub struct Making<'a> {
    /// To log to, to report progress to, and to ask whether to stop.
    pub host: &'a Host<'a>,
    /// What makes components.
    pub registry: &'a Registry,
    /// Where its files go; of a step that reads the run, the out directory.
    pub directory: &'a Path,
    /// Where it may keep what it goes on from when it is stopped. Removed once it is finished.
    pub unfinished: PathBuf,
    /// Its recipe, that of all it depends on included.
    pub recipe: &'a Value,
    /// The text of the run's manifest; empty for a step that is made before there is one.
    pub manifest: &'a str,
    pub(crate) store: &'a Store,
    pub(crate) finished: &'a Finished,
}

impl Making<'_> {
    /// Its folder, for tables.
    pub fn folder(&self) -> Folder<'_> {
        Folder(self.directory)
    }

    /// Where the files of an input are.
    pub fn input(&self, step: &dyn Step) -> Result<&Path> {
        Ok(&self.finished.entry(step)?.directory)
    }

    /// The figures that an input left.
    pub fn figures<T: DeserializeOwned>(&self, step: &dyn Step) -> Result<T> {
        self.finished.figures(step)
    }

    /// Other steps in the store that this one may begin with: those whose records `serves` takes.
    pub fn find(&self, serves: impl Fn(&Record) -> bool) -> Result<Vec<Entry>> {
        Ok(self.store.find(serves)?)
    }
}

/// Hashes of what recipes name: files, each read once, and libraries.
pub struct Hashes<'a> {
    registry: &'a Registry,
    inputs: IndexMap<PathBuf, Input>,
}

impl<'a> Hashes<'a> {
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self { registry, inputs: IndexMap::new() }
    }

    /// The hash of a file that the pipeline reads.
    pub fn file(&mut self, path: &Path) -> Result<Value> {
        if let Some(input) = self.inputs.get(path) {
            return Ok(input.sha256.clone().into());
        }
        let (bytes, sha256) = sha256(path).map_err(|error| Error::disk("read", path, error))?;
        self.inputs.insert(path.to_owned(), Input { path: path.to_owned(), bytes, sha256: sha256.clone() });
        Ok(sha256.into())
    }

    /// What a component gives depends on: its options and its library, and the bytes of the files that its options name,
    /// whatever their names.
    pub fn component(&mut self, component: &Component) -> Result<Value> {
        let mut options = component.options.clone();
        for (pointer, path) in &component.files {
            let hash = self.file(path)?;
            if let Some(option) = options.pointer_mut(pointer) {
                *option = hash;
            }
        }
        // What is built in is hashed with the program.
        let found = self.registry.find(component.interface, &component.kind).ok();
        let library = found.and_then(|(plugin, _)| plugin.origin.sha256());
        Ok(json!({ "kind": component.kind, "options": options, "library": library }))
    }

    pub(crate) fn into_inputs(self) -> Vec<Input> {
        self.inputs.into_values().collect()
    }
}
