//! One component of each interface. Each logs what it was given, in the words of `Debug`, so that a test can compare
//! every argument on both sides of the boundary; what each gives back is simple enough to be known beforehand.

mod batches;
mod lookup;

use std::path::Path;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{
    ActivationBatch, ActivationSource, Columns, Component, Error, Host, Level, MetricBatch, NoOptions,
    PreferenceMetric, Pruner, ReportSink, Result, Site, SourceDescription,
};

/// The distance of a row is its union length.
struct UnionLength;

impl Component for UnionLength {
    const KIND: &'static str = "union-length";
    const ABOUT: &'static str = "how many features either side prefers";
    type Options = NoOptions;

    fn create(_: NoOptions, host: &Host<'_>) -> Result<Self> {
        host.log(Level::Information, &format!("created with {} threads", host.threads()));
        Ok(Self)
    }
}

impl PreferenceMetric for UnionLength {
    fn distances(&self, host: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        host.log(Level::Debug, &format!("{batch:?}"));
        for (row, out) in batch.rows().zip(out) {
            *out = row.features.len() as f64;
        }
        Ok(())
    }
}

/// The score of a neuron is what a column says.
struct ByColumn(String);

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
struct ByColumnOptions {
    /// The column's name.
    #[schemars(example = &"mass_from")]
    column: String,
}

impl Component for ByColumn {
    const KIND: &'static str = "by-column";
    const ABOUT: &'static str = "the values of a column";
    type Options = ByColumnOptions;

    fn create(options: ByColumnOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self(options.column))
    }
}

impl Pruner for ByColumn {
    fn scores(&self, host: &Host<'_>, columns: &Columns<'_>, out: &mut [f64]) -> Result<()> {
        host.log(Level::Debug, &format!("{columns:?}"));
        let column = columns.get(&self.0);
        out.copy_from_slice(column.ok_or_else(|| Error::at("/column", format!("there is no column `{}`", self.0)))?);
        Ok(())
    }
}

/// Writes its arguments to a file, numbered.
struct Note(u32);

impl Component for Note {
    const KIND: &'static str = "note";
    const ABOUT: &'static str = "writes down what it was given";
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self(0))
    }
}

impl ReportSink for Note {
    fn write(&mut self, host: &Host<'_>, directory: &Path, manifest: &str) -> Result<()> {
        self.0 += 1;
        host.log(Level::Warning, &format!("{directory:?} {manifest:?}"));
        let path = directory.join(format!("note-{}.txt", self.0));
        std::fs::write(&path, manifest).map_err(|e| Error::failed(format!("cannot write {}: {e}", path.display())))
    }
}

/// Replays the batches of `batches.rs`.
struct Replay(std::vec::IntoIter<ActivationBatch>);

impl Component for Replay {
    const KIND: &'static str = "replay";
    const ABOUT: &'static str = "two documents, and one without tokens";
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self(batches::batches().into_iter()))
    }
}

impl ActivationSource for Replay {
    fn describe(&self) -> Result<SourceDescription> {
        let site = |name: &str, width| Site { name: name.to_owned(), width };
        Ok(SourceDescription { sites: vec![site("größe", 2), site("b", 1)], layers: vec!["wort".to_owned()] })
    }

    fn next(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>> {
        let left = self.0.len();
        host.progress(left as u64, 0, "noch übrig");
        Ok(self.0.next())
    }
}

txray_plugin::plugin!(
    metrics = [UnionLength],
    pruners = [ByColumn],
    sinks = [Note],
    sources = [Replay],
    models = [lookup::Lookup],
);
