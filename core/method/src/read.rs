//! A source, read to its end: from batches to the tables of a stage.

use std::time::{Duration, Instant};

use txray_plugin::{ActivationSource, Host, SourceDescription};
use txray_tables::Folder;
use txray_tables::columns::observations;

use crate::error::{MethodError, MethodResult};
use crate::observations::ObservationWriter;
use crate::record::RecordRule;
use crate::stage::Stage;
use crate::tally::Tally;

/// What reading a stage took, apart from the source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// In the source: encoding, tokenizing, reading the corpus.
    pub source: Duration,
    /// Recording observations and counting them.
    pub aggregate: Duration,
    /// Writing tables.
    pub write: Duration,
}

/// How much of a stage a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Some of its documents: [`merge`] makes the stage of all such parts.
    Part,
}

/// Reads a source to its end, and writes the tables of the stage, or of this part of it, into a folder. Memory is bound by the
/// distinct (neuron, feature) pairs and a batch.
pub fn read(
    source: &mut dyn ActivationSource,
    rule: &dyn RecordRule,
    extent: Extent,
    host: &Host<'_>,
    folder: &Folder<'_>,
) -> MethodResult<(Stage, Times)> {
    let mut tally = Tally::new(&source.describe().map_err(MethodError::Source)?);
    let mut observations = ObservationWriter::create(folder, tally.legend())?;
    let mut times = Times::default();
    loop {
        let start = Instant::now();
        // A source may go on for ever without asking by itself.
        if host.cancelled() {
            return Err(MethodError::Source(txray_plugin::Error::cancelled()));
        }
        let Some(batch) = source.next(host).map_err(MethodError::Source)? else { break };
        times.source += start.elapsed();

        let start = Instant::now();
        let observed = tally.read(&batch, rule)?;
        times.aggregate += start.elapsed();

        let start = Instant::now();
        observations.write(&observed, tally.legend())?;
        times.write += start.elapsed();
    }
    if extent == Extent::Part {
        let start = Instant::now();
        tally.write_sums(folder)?;
        times.write += start.elapsed();
    }
    let start = Instant::now();
    let stage = tally.finish();
    times.aggregate += start.elapsed();

    let start = Instant::now();
    observations.finish()?;
    stage.write(folder)?;
    times.write += start.elapsed();
    Ok((stage, times))
}

/// Makes a stage of its parts, which lie in folders in the order of their documents: what it would have been, read as a whole, to
/// the byte.
///
/// # Errors
/// Tables that cannot be read or written; parts of other sites or layers; a sum beyond 2^62.
pub fn merge(parts: &[Folder<'_>], host: &Host<'_>, into: &Folder<'_>) -> MethodResult<Stage> {
    let mut merged: Option<Tally> = None;
    for part in parts {
        let part = Tally::read_part(part)?;
        match &mut merged {
            None => merged = Some(part),
            Some(merged) => merged.merge(&part)?,
        }
    }
    let merged = merged.unwrap_or_else(|| Tally::new(&SourceDescription { sites: Vec::new(), layers: Vec::new() }));
    let mut observations = ObservationWriter::create(into, merged.legend())?;
    for part in parts {
        for batch in part.read(&observations::TABLE)? {
            if host.cancelled() {
                return Err(MethodError::Source(txray_plugin::Error::cancelled()));
            }
            observations.copy(&batch?)?;
        }
    }
    observations.finish()?;
    let stage = merged.finish();
    stage.write(into)?;
    Ok(stage)
}
