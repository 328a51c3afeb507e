//! The plugin boundary through real dynamic libraries, in Rust and in C, whole and broken.

#![allow(clippy::unwrap_used)]

mod bounds;
mod broken;
#[cfg(unix)]
mod ends;
mod everything;
mod examples;
mod good;
mod panics;
mod versions;

#[path = "../../../plugins/metrics/tests/reference/mod.rs"]
mod reference;

use std::path::Path;

use serde_json::Value;
use txray_host::{FindError, Registry};
use txray_plugin::{Host, MetricBatch, PreferenceMetric, Result};

/// A registry with one library.
fn loaded(path: &Path) -> Registry {
    let mut registry = Registry::new();
    registry.load(path, None).unwrap();
    registry
}

/// A component was refused: with this error.
fn refused<T>(result: std::result::Result<T, FindError>) -> txray_plugin::Error {
    match result {
        Err(FindError::Refused(error)) => error,
        Err(other) => panic!("it was not even asked: {other:?}"),
        Ok(_) => panic!("it was made"),
    }
}

fn metric(registry: &Registry, kind: &str, options: Value) -> Box<dyn PreferenceMetric> {
    registry.metric(kind, &options, &Host::detached()).unwrap()
}

fn distances(metric: &dyn PreferenceMetric, batch: &MetricBatch<'_>) -> Result<Vec<f64>> {
    let mut out = vec![f64::NAN; batch.len()];
    metric.distances(&Host::detached(), batch, &mut out)?;
    Ok(out)
}
