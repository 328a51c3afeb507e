//! {{name}}: a report, for txray: it reads a finished run, and writes a file beside its tables.

use std::fmt::Write;
use std::path::Path;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::serde_json::Value;
use txray_plugin::{Component, Error, Host, ReportSink, Result};

/// The steps of a run, as a table in Markdown.
struct {{Type}} {
    title: String,
}

/// What a pipeline may say about it. These comments are what `txray plugin inspect` shows.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields, default)]
struct Options {
    /// The report's heading.
    title: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { title: "A run of txray".to_owned() }
    }
}

impl Component for {{Type}} {
    const KIND: &'static str = "{{name}}";
    const ABOUT: &'static str = "the steps of a run, in {{name}}.md";
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        Ok(Self { title: options.title })
    }
}

impl ReportSink for {{Type}} {
    fn write(&mut self, _: &Host<'_>, directory: &Path, manifest: &str) -> Result<()> {
        let manifest: Value = txray_plugin::serde_json::from_str(manifest)
            .map_err(|error| Error::failed(format!("the manifest does not read: {error}")))?;
        let mut text = format!("# {}\n\n| step | tokens |\n|---|---|\n", self.title);
        for step in manifest["steps"].as_array().into_iter().flatten() {
            let tokens = step["tokens"].as_u64().map(|tokens| tokens.to_string()).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} | {tokens} |", step["name"].as_str().unwrap_or_default());
        }
        let path = directory.join("{{name}}.md");
        std::fs::write(&path, text).map_err(|error| Error::failed(format!("cannot write {}: {error}", path.display())))
    }
}

txray_plugin::plugin!(sinks = [{{Type}}]);

#[cfg(test)]
mod tests {
    txray_conformance::sink_suite!(crate::plugin);
}
