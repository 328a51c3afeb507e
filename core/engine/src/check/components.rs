//! The components that tables name, and their options.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use txray_config::{At, child, of_format, suggestion, with_defaults};
use txray_host::{FindError, Registry};
use txray_plugin::Host;

use crate::check::{Check, merge};
use crate::component::{Component, what};

impl Check<'_> {
    /// A component's options with their defaults, which are put into the settings as well. `keys`: of which keys.
    pub fn complete(
        &mut self,
        interface: &str,
        pointer: &str,
        kind: &str,
        options: &Value,
        keys: impl Fn(&str) -> bool,
    ) -> Value {
        let Ok((_, component)) = self.registry.find(interface, kind) else { return options.clone() };
        let mut complete = with_defaults(&component.options, options);
        if let Value::Object(table) = &mut complete {
            table.retain(|key, _| keys(key) || options.get(key).is_some());
        }
        self.put(pointer, &complete);
        complete
    }

    /// Checks a component's options by making it; true if it took them. `name` is where it is named, if anywhere else
    /// than by the table at `pointer`.
    pub fn component(
        &mut self,
        interface: &str,
        pointer: &str,
        name: Option<&str>,
        kind: &str,
        options: &Value,
        make: impl Fn(&Registry, &Value, &Host<'_>) -> Result<(), FindError>,
    ) -> bool {
        let what = what(interface);
        let schema = match self.registry.find(interface, kind) {
            Ok((_, component)) => component.options.clone(),
            Err(FindError::Unknown(known)) => {
                let at = if name.is_some() { At::Value } else { At::Key };
                let error = self.document.error(name.unwrap_or(pointer), at, format!("there is no {what} `{kind}`"));
                self.diagnostics.push(error.help(suggestion(kind, known.iter().map(String::as_str))));
                return false;
            }
            Err(FindError::Ambiguous(origins)) => {
                let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
                let message = format!("more than one plugin has a {what} `{kind}`: {}", origins.join(", "));
                self.error(name.unwrap_or(pointer), message);
                return false;
            }
            Err(FindError::Device(devices)) => {
                // Where the device is the default, it is the component that asks for another.
                let is_written = self.document.value().get("device").is_some();
                let place = if is_written { "/device" } else { name.unwrap_or(pointer) };
                let message = format!("no plugin runs `{kind}` on the device `{}`", self.device);
                self.error_with_help(place, message, format!("it runs on {}", devices.join(", ")));
                return false;
            }
            Err(FindError::Refused(error)) => {
                self.error(pointer, error.to_string());
                return false;
            }
        };
        let (registry, host) = (&*self.registry, self.host);
        let taken = self.document.read_with(pointer, options.clone(), &schema, &mut self.diagnostics, |options| {
            make(registry, options, host).map_err(|error| match error {
                FindError::Refused(error) => (error.pointer().to_owned(), error.message().to_owned()),
                _ => (String::new(), "the plugin is gone".to_owned()),
            })
        });
        taken.is_some()
    }

    /// A component that is named where the pipeline needs one: by its kind, or by a table of its kind and options.
    /// `make` makes it once, which checks its options.
    pub fn named(
        &mut self,
        interface: &'static str,
        pointer: &str,
        value: &Value,
        make: impl Fn(&Registry, &str, &Value, &Host<'_>) -> Result<(), FindError>,
    ) -> Option<Component> {
        let what = what(interface);
        let (kind, mut options, named) = match value {
            Value::String(kind) => (kind.clone(), json!({}), pointer.to_owned()),
            Value::Object(table) => match table.get("kind") {
                Some(Value::String(kind)) => {
                    let mut options = table.clone();
                    options.shift_remove("kind");
                    (kind.clone(), Value::Object(options), child(pointer, "kind"))
                }
                _ => {
                    self.error(
                        pointer,
                        format!("the table of a {what} names its `kind`, such as {{ kind = \"...\" }}"),
                    );
                    return None;
                }
            },
            _ => {
                self.error(pointer, format!("expected the name of a {what}, or a table with its `kind`"));
                return None;
            }
        };
        let files = self.paths(interface, pointer, &kind, &mut options)?;
        let taken = self.component(interface, pointer, Some(&named), &kind, &options, |registry, options, host| {
            make(registry, &kind, options, host)
        });
        if !taken {
            return None;
        }
        let options = self.complete(interface, pointer, &kind, &options, |_| true);
        // A name alone stands for the table of it and its defaults.
        if let (Some(place @ Value::String(_)), Some(table)) = (self.settings.pointer_mut(pointer), options.as_object())
            && !table.is_empty()
        {
            *place = json!({ "kind": kind });
            merge(place, &options);
        }
        Some(Component { interface, kind, options, files })
    }

    /// A component whose options are a table of its own, such as `[report.html]`.
    pub fn of_table(
        &mut self,
        interface: &'static str,
        pointer: &str,
        kind: &str,
        make: impl Fn(&Registry, &str, &Value, &Host<'_>) -> Result<(), FindError>,
    ) -> Option<Component> {
        let mut options = self.document.value().pointer(pointer).cloned().unwrap_or_default();
        let files = self.paths(interface, pointer, kind, &mut options)?;
        let taken = self.component(interface, pointer, None, kind, &options, |registry, options, host| {
            make(registry, kind, options, host)
        });
        let options = self.complete(interface, pointer, kind, &options, |_| true);
        taken.then(|| Component { interface, kind: kind.to_owned(), options, files })
    }

    /// Resolves the options that are paths (`"format": "path"` in their schema) as those of corpora are.
    pub fn paths(
        &mut self,
        interface: &str,
        pointer: &str,
        kind: &str,
        options: &mut Value,
    ) -> Option<Vec<(String, PathBuf)>> {
        let Ok((_, component)) = self.registry.find(interface, kind) else { return Some(Vec::new()) };
        let mut files = Vec::new();
        for option in of_format(&component.options, "path") {
            let Some(place) = options.pointer_mut(&option) else { continue };
            let Some(path) = place.as_str() else { continue };
            let at = format!("{pointer}{option}");
            let found = match self.resolver.resolve_file(Path::new(path)) {
                Ok(found) => found,
                Err(error) => {
                    self.corpus_error(&at, &error);
                    return None;
                }
            };
            // Options are JSON, and so its name has to be text.
            let Some(text) = found.to_str() else {
                self.error(&at, format!("the path {} is not UTF-8", found.display()));
                return None;
            };
            *place = text.into();
            files.push((option, found));
        }
        Some(files)
    }
}
