//! Reports of finished runs.

use std::path::Path;

use crate::{Host, Result};

/// Writes a report of a finished run.
pub trait ReportSink: Send {
    /// Reads the run in `directory` (its tables are Parquet), described by `manifest` (JSON), and writes its report
    /// into the same directory.
    ///
    /// It may add files there, and change none. The directory is where the run is gathered, and is put in its place
    /// afterwards: its path says nothing to a reader of the report.
    fn write(&mut self, host: &Host<'_>, directory: &Path, manifest: &str) -> Result<()>;
}
