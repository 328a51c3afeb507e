//! The reference of the pipeline's TOML, as it is written section by section.

use schemars::JsonSchema;
use serde_json::Value;
use txray_config::reference;
use txray_host::Registry;
use txray_text::Format;

/// A page of Markdown that sections of the pipeline describe themselves on.
pub struct Page<'a> {
    text: String,
    registry: &'a Registry,
    formats: &'a [Format],
}

impl<'a> Page<'a> {
    pub(crate) fn new(beginning: &str, registry: &'a Registry, formats: &'a [Format]) -> Self {
        Self { text: beginning.to_owned(), registry, formats }
    }

    /// The keys of a type.
    pub fn section<T: JsonSchema>(&mut self, title: &str) {
        reference::section::<T>(&mut self.text, title);
    }

    /// The keys of a schema.
    pub fn describe(&mut self, title: &str, schema: &Value) {
        reference::describe(&mut self.text, title, schema);
    }

    /// The options of every component of an interface that is at hand. `place` is where pipelines name them.
    pub fn components(&mut self, interface: &str, place: &str) {
        let all = self.registry.plugins().iter().flat_map(|plugin| &plugin.info.components);
        for component in all.filter(|component| component.interface == interface) {
            let title = format!("{place}, `kind = \"{}\"`: {}", component.kind, component.about);
            reference::describe(&mut self.text, &title, &component.options);
        }
    }

    /// The formats of corpora.
    pub fn formats(&self) -> &'a [Format] {
        self.formats
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}
