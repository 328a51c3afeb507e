//! What a run leaves in its directory, as whoever reads it needs to know it: the columns of every table, each once; Parquet
//! in and out; the manifest.
//!
//! ```text
//! columns --> TableWriter --> Parquet in the run's directory --> read --> Batch, by column
//!                                  Parquet of other programs --> ForeignTable --> Batch, of the columns that are asked for
//!
//! manifest.json                      Manifest: what the run was made of, and a StepRecord for each step
//! stages/NAME/observations.parquet   columns::observations
//! stages/NAME/preferences.parquet    columns::preferences
//! stages/NAME/neurons.parquet        columns::neurons
//! comparisons/NAME.parquet           columns::comparison
//! prunings/NAME.parquet              columns::pruning
//! ```
//!
//! The engine writes them; sinks read them, and sources may. A table has the columns that its [`Table`] lists, in this
//! order, and after them one for each layer or metric where it says so. Files are plain Parquet, so that pandas, Polars
//! and DuckDB open them as they are.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod columns;
mod error;
#[cfg(feature = "parquet")]
mod folder;
#[cfg(feature = "parquet")]
mod foreign;
mod manifest;
#[cfg(feature = "parquet")]
mod parquet;
pub mod seal;

pub use columns::{Column, Each, Kind, Table, reference};
pub use error::{TableError, TableResult};
#[cfg(feature = "parquet")]
pub use folder::Folder;
#[cfg(feature = "parquet")]
pub use foreign::ForeignTable;
pub use manifest::{Difference, FORMAT, Input, Manifest, Output, PluginRecord, ShardRecord, StepRecord, instructions};
#[cfg(feature = "parquet")]
pub use parquet::{Batch, ROWS, TableWriter, read};
