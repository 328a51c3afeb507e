//! A source, read to its end: from batches to the tables of a stage.

use std::time::{Duration, Instant};

use txray_plugin::{ActivationSource, Host};
use txray_tables::Folder;

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

/// Reads a source to its end, and writes the tables of the stage into a folder. Memory is bound by the distinct (neuron,
/// feature) pairs and a batch.
pub fn read(
    source: &mut dyn ActivationSource,
    rule: &dyn RecordRule,
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
    let start = Instant::now();
    let stage = tally.finish();
    times.aggregate += start.elapsed();

    let start = Instant::now();
    observations.finish()?;
    stage.write(folder)?;
    times.write += start.elapsed();
    Ok((stage, times))
}
