//! What a step of a pipeline is: what it is made of, how it is made, and what of it is published.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use txray_host::Registry;
use txray_plugin::{Host, Level};
use txray_tables::Folder;

use crate::error::{Error, Result};
use crate::inputs::{Hashes, Inputs};
use crate::out::Publication;
use crate::shard::{Parts, Shard};
use crate::store::{Entry, Found, Record, Store};

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

    /// Whether it leaves no files of its own, so that whoever reads it reads the files that it names.
    fn passes_on(&self) -> bool {
        false
    }

    /// What its files depend on, apart from its inputs and the program: settings, and the bytes of files and libraries.
    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value>;

    /// Makes its files in [`Making::directory`].
    fn make(&self, making: &Making<'_>) -> Result<Made>;

    /// What of its files people look at.
    fn publish(&self) -> Vec<Publication> {
        Vec::new()
    }

    /// Whether a run of a shard makes a part of it. Steps that have none, and that none of these needs, are left out of such a run.
    fn has_parts(&self) -> bool {
        false
    }

    /// Whether a part of it can be made, as far as that is known before anything runs.
    fn check_part(&self) -> Result<()> {
        Ok(())
    }

    /// Makes its files of those that parts of it left.
    fn merge(&self, _: &Making<'_>, _: &Parts) -> Result<Made> {
        Err(Error::Whole { why: "it has no parts" })
    }

    /// Whether it is made over all that the run leaves, in every run, instead of being kept in the store.
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
pub struct Finished {
    entries: IndexMap<String, Entry>,
    /// What was read of their files, while further steps are to read them.
    read: RefCell<HashMap<(String, TypeId), Rc<dyn Any>>>,
}

impl Finished {
    pub(crate) fn insert(&mut self, id: String, entry: Entry) {
        self.entries.insert(id, entry);
    }

    /// The entry of a step.
    pub fn entry(&self, step: &dyn Step) -> Result<&Entry> {
        let id = step.id();
        self.entries.get(&id).ok_or(Error::Order { step: id })
    }

    /// What is read of the files of a step: once, until [`Finished::keep_read`] drops it.
    fn read<T: Any>(&self, step: &dyn Step, read: impl FnOnce(&Path) -> Result<T>) -> Result<Rc<T>> {
        let id = step.id();
        // A step may be read as several things.
        let id = (id, TypeId::of::<T>());
        let known = self.read.borrow().get(&id).cloned().and_then(|known| known.downcast().ok());
        match known {
            Some(known) => Ok(known),
            None => {
                let new = Rc::new(read(&self.entry(step)?.directory)?);
                self.read.borrow_mut().insert(id, Rc::clone(&new) as _);
                Ok(new)
            }
        }
    }

    /// Drops what was read of steps that no step needs any more.
    pub(crate) fn keep_read(&self, needs: impl Fn(&str) -> bool) {
        self.read.borrow_mut().retain(|(id, _), _| needs(id));
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
    /// The user's files that the run reads.
    pub inputs: &'a Inputs<'a>,
    /// Where its files go; of a step that reads the run, a directory with all that the run leaves.
    pub directory: &'a Path,
    /// Where it may keep what it goes on from when it is stopped. Removed once it is finished.
    pub unfinished: PathBuf,
    /// Its recipe, that of all it depends on included.
    pub recipe: &'a Value,
    /// The text of the run's manifest; empty for a step that is made before there is one.
    pub manifest: &'a str,
    /// The part of a stage's documents that is read, where it is not all.
    pub shard: Option<Shard>,
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

    /// What `read` makes of an input's directory: read once, however many steps ask for it.
    pub fn read<T: Any>(&self, step: &dyn Step, read: impl FnOnce(&Path) -> Result<T>) -> Result<Rc<T>> {
        self.finished.read(step, read)
    }

    /// The figures that an input left.
    pub fn figures<T: DeserializeOwned>(&self, step: &dyn Step) -> Result<T> {
        self.finished.figures(step)
    }

    /// The entry of an input.
    pub fn entry(&self, step: &dyn Step) -> Result<&Entry> {
        self.finished.entry(step)
    }

    /// Other steps in the store that this one may begin with: those whose records `serves` takes.
    pub fn find(&self, serves: impl Fn(&Record) -> bool) -> Result<Vec<Entry>> {
        Ok(self.store.entries()?.into_iter().filter(|entry| serves(&entry.record)).collect())
    }

    /// One of them, with every file held against its hash, for as long as it is kept.
    pub fn hold(&self, entry: &Entry) -> Result<Option<Entry>> {
        match self.store.hold(&entry.key, self.host)? {
            Found::Whole(entry) => Ok(Some(*entry)),
            Found::Nothing | Found::Damaged(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::steps::stage::Stage;
    use crate::testing::{PIPELINE, read, run_in};

    #[test]
    fn files_are_read_once_while_somebody_needs_them() {
        let folder = tempfile::tempdir().unwrap();
        let finished = run_in(folder.path(), PIPELINE).0.unwrap().finished;
        let stage = read(folder.path(), PIPELINE).unwrap().all::<Stage>().next().unwrap();
        let times = Cell::new(0);
        let read = || {
            finished.read(&*stage, |directory| Ok((times.replace(times.get() + 1), directory.to_owned()))).unwrap();
            times.get()
        };
        assert_eq!([read(), read()], [1, 1]);
        finished.keep_read(|id| id == "stage.early");
        assert_eq!(read(), 1);
        finished.keep_read(|id| id == "stage.late");
        assert_eq!(read(), 2);
    }
}
