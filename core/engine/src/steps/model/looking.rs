//! What a model will be, found out before anything runs: by loading what it begins from, or weights like those.

use std::path::Path;

use tempfile::TempDir;
use txray_host::Registry;
use txray_plugin::{Host, HostServices, Level, ModelDescription};
use txray_text::Disk;

use super::training::load;
use crate::component::Component;
use crate::error::{Error, Result};

/// The vocabulary of weights that are drawn only to see whether they are read.
const VOCABULARY: usize = 16;

/// What a host hears while a model is only looked at: nothing of that is for the user.
struct Quiet<'a>(&'a Host<'a>);

impl HostServices for Quiet<'_> {
    fn threads(&self) -> usize {
        self.0.threads()
    }
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// Loads a directory, with the tokenizer in it, as far as to describe the model.
pub fn look(model: &Component, directory: &Path, registry: &Registry, host: &Host<'_>) -> Result<ModelDescription> {
    let quiet = Quiet(host);
    let host = Host::new(&quiet);
    let mut model = model.model(registry, &host)?;
    Ok(load(&mut *model, directory, &host, &Disk)?.1)
}

/// Describes a model that begins from a new one of another kind: by weights that this one draws for a vocabulary of a few words,
/// which the other has to read. `None` where it cannot be tried.
pub fn try_out(
    model: &Component,
    from: &Component,
    registry: &Registry,
    host: &Host<'_>,
) -> Result<Option<ModelDescription>> {
    let quiet = Quiet(host);
    let host = Host::new(&quiet);
    let Ok(directory) = TempDir::new() else { return Ok(None) };
    let path = directory.path();
    let mut drawn = from.model(registry, &host)?;
    if drawn.initialize(&host, VOCABULARY, 0).and_then(|()| drawn.save(&host, path)).is_err() {
        return Ok(None);
    }
    drop(drawn);
    let mut model = model.model(registry, &host)?;
    let described = model.load(&host, path).and_then(|()| model.describe());
    described.map(Some).map_err(|error| {
        // The folder is of no interest, and gone.
        let message = error.message().replace(&format!("{}/", path.display()), "");
        Error::from(txray_plugin::Error::new(error.fault(), error.pointer(), message))
    })
}
