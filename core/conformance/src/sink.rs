//! The suite of sinks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tempfile::TempDir;
use txray_host::Registry;
use txray_plugin::{Host, ReportSink, Threads};
use txray_tables::columns::TABLES;
use txray_tables::{FORMAT, Manifest};

use crate::bench::{Bench, Failure};
use crate::{lifecycle, options};

/// The manifest of the run that sinks are given: one without steps, so without tables.
fn manifest() -> Result<String, String> {
    let manifest = Manifest {
        format: FORMAT,
        version: "0.0.0".to_owned(),
        pipeline: "empty".to_owned(),
        folder: PathBuf::new(),
        data: None,
        instructions: String::new(),
        seed: 1111,
        device: "cpu".to_owned(),
        threads: 1,
        settings: Value::Object(Map::new()),
        inputs: Vec::new(),
        plugins: Vec::new(),
        shard: None,
        steps: Vec::new(),
        outputs: Vec::new(),
    };
    manifest.to_json().map_err(|error| format!("the suite could not write a manifest: {error}"))
}

/// Files by their path within a folder, with their bytes.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The sink reports a run that has a manifest and no steps: it must write a report all the same.
pub(crate) fn hold(bench: &mut Bench<'_>) {
    let Some(maker) = bench.maker(Registry::sink) else { return };
    let mut written = None;
    bench.property("writes a report, and leaves the run as it was", |_| {
        let run = run()?;
        let before = files(run.path())?;
        write(&mut *maker.fresh()?, run.path())?;
        let mut after = files(run.path())?;
        for (name, bytes) in &before {
            match after.remove(name) {
                Some(found) if found == *bytes => {}
                Some(_) => return Err(Failure::from(format!("it changed {name}, which was in the run"))),
                None => return Err(Failure::from(format!("it removed {name}, which was in the run"))),
            }
        }
        if after.is_empty() {
            return Err(Failure::from("it wrote no file".to_owned()));
        }
        written = Some(after);
        Ok(())
    });

    if let Some(written) = written {
        bench.property("writes the same bytes every time", |_| {
            let run = run()?;
            write(&mut *maker.fresh()?, run.path())?;
            let again = files(run.path())?;
            match written.iter().find(|(name, bytes)| again.get(*name) != Some(bytes)) {
                Some((name, _)) => Err(Failure::from(format!("a second report of the same run differs in {name}"))),
                None => Ok(()),
            }
        });

        bench.property("fails with a reason where it cannot write", |_| {
            let run = run()?;
            let nowhere = run.path().join("nowhere");
            match maker.fresh()?.write(&Host::new(&Threads(1)), &nowhere, &manifest()?) {
                Ok(()) => Err(Failure::from("it reported success for a directory that is not there".to_owned())),
                Err(error) if error.message().contains("panicked") => Err(Failure::from(format!("it failed: {error}"))),
                Err(_) => Ok(()),
            }
        });
    }

    options::hold(bench, &maker);
    // It is not called in between: it would write to the disk hundreds of times.
    lifecycle::hold(bench, &maker, &|_| ());
}

fn write(sink: &mut dyn ReportSink, directory: &Path) -> Result<(), String> {
    sink.write(&Host::new(&Threads(1)), directory, &manifest()?).map_err(|error| format!("it failed: {error}"))
}

/// A new directory with the run that sinks are given.
fn run() -> Result<TempDir, String> {
    let manifest = manifest()?;
    let made = TempDir::new().and_then(|run| {
        fs::write(run.path().join("manifest.json"), &manifest)?;
        for folder in TABLES.iter().map(|table| table.folder()).chain(["models"]) {
            fs::create_dir_all(run.path().join(folder))?;
        }
        Ok(run)
    });
    made.map_err(|error| format!("the suite could not make a directory for a run: {error}"))
}

pub(crate) fn files(folder: &Path) -> Result<Files, String> {
    fn visit(root: &Path, folder: &Path, files: &mut Files) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                visit(root, &path, files)?;
            } else {
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                files.insert(name, fs::read(&path)?);
            }
        }
        Ok(())
    }
    let mut files = Files::new();
    visit(folder, folder, &mut files).map_err(|error| format!("the suite could not read what was written: {error}"))?;
    Ok(files)
}
