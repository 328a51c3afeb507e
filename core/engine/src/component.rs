//! Components of plugins as pipelines name them: a kind, options, and the files that options name.

use std::path::PathBuf;

use serde_json::Value;
use txray_host::{FindError, Registry};
use txray_plugin::{ActivationSource, Host, Model, PreferenceMetric, Pruner, ReportSink};

use crate::error::{Error, Result};

/// A plugin component that a table names, and its options, defaults among them.
#[derive(Clone, Debug)]
pub struct Component {
    /// The interface, such as `txray.metric/1`.
    pub interface: &'static str,
    /// Its kind.
    pub kind: String,
    /// Its options. Those that are paths (`"format": "path"` in their schema) are resolved.
    pub options: Value,
    /// The files that its options name, by JSON pointer. What it gives depends on their bytes.
    pub files: Vec<(String, PathBuf)>,
}

impl Component {
    /// Makes the model that it is, without weights.
    pub fn model(&self, registry: &Registry, host: &Host<'_>) -> Result<Box<dyn Model>> {
        made(&self.kind, registry.model(&self.kind, &self.options, host))
    }

    /// Makes the metric that it is.
    pub fn metric(&self, registry: &Registry, host: &Host<'_>) -> Result<Box<dyn PreferenceMetric>> {
        made(&self.kind, registry.metric(&self.kind, &self.options, host))
    }

    /// Makes the pruner that it is.
    pub fn pruner(&self, registry: &Registry, host: &Host<'_>) -> Result<Box<dyn Pruner>> {
        made(&self.kind, registry.pruner(&self.kind, &self.options, host))
    }

    /// Makes the source that it is.
    pub fn source(&self, registry: &Registry, host: &Host<'_>) -> Result<Box<dyn ActivationSource>> {
        made(&self.kind, registry.source(&self.kind, &self.options, host))
    }

    /// Makes the sink that it is.
    pub fn sink(&self, registry: &Registry, host: &Host<'_>) -> Result<Box<dyn ReportSink>> {
        made(&self.kind, registry.sink(&self.kind, &self.options, host))
    }
}

/// A component that the check made once already.
fn made<T>(kind: &str, component: std::result::Result<T, FindError>) -> Result<T> {
    component.map_err(|error| match error {
        FindError::Refused(error) => error.into(),
        _ => Error::Gone { kind: kind.to_owned() },
    })
}

/// What an interface supplies, in a word: `txray.metric/1` a `metric`.
pub(crate) fn what(interface: &str) -> &str {
    interface.trim_start_matches("txray.").split('/').next().unwrap_or(interface)
}
