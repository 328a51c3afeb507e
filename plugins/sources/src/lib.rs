//! The sources built into `txray`: what other programs recorded.
//!
//! ```text
//! a file of observations (Parquet, TSV) --> rows --> ActivationBatch, whole documents --> a stage
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod observations;

pub use observations::Observations;

txray_plugin::components!(sources = [Observations]);
