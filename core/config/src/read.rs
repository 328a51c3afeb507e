//! Values of the tree as types, with every error at its place.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{At, Document};
use crate::pointer::{segment, unescape};
use crate::schema::{self, Findings};
use crate::words::{Serde, choices, suggestion};

impl Document {
    /// The value at `pointer` as a `T`, or all of its errors: unknown keys, missing keys, wrong
    /// types and values.
    pub fn read<T>(&self, pointer: &str, diagnostics: &mut Diagnostics) -> Option<T>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let Some(value) = self.value().pointer(pointer) else {
            let (table, key) = pointer.rsplit_once('/').unwrap_or_default();
            diagnostics.push(self.missing(table, &unescape(key)));
            return None;
        };
        self.read_value(pointer, value.clone(), diagnostics)
    }

    /// The same for a value that was taken from the tree at `pointer` and changed since: keys taken
    /// out, but no elements of arrays, since places are looked up in the tree.
    pub fn read_value<T>(&self, pointer: &str, value: Value, diagnostics: &mut Diagnostics) -> Option<T>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let schema = schemars::schema_for!(T).to_value();
        self.read_with(pointer, value, &schema, diagnostics, |value| {
            serde_path_to_error::deserialize(value)
                .map_err(|error| (json_pointer(error.path()), error.inner().to_string()))
        })
    }

    /// What `attempt` makes of the value, which stands at `pointer`, or all of its errors. `attempt` fails with a JSON
    /// pointer into the value that it was given, and a message: serde's, or a plugin's about its options. It is tried
    /// again without what was wrong, until it comes to no new error.
    pub fn read_with<R>(
        &self,
        pointer: &str,
        value: Value,
        schema: &Value,
        diagnostics: &mut Diagnostics,
        mut attempt: impl FnMut(&Value) -> Result<R, (String, String)>,
    ) -> Option<R> {
        let before = diagnostics.len();
        let findings = schema::compare(schema, &value);
        self.report_unknown(pointer, &findings, diagnostics);

        let mut remains = Remains::new(value);
        // What is wrong already: no error about it, nor one that follows from it, is reported again.
        let mut wrong = BTreeSet::new();
        for unknown in &findings.unknown {
            let table = &unknown.table;
            remains.remove(&format!("{table}{}", segment(&unknown.key)));
            // The key that is missing for that is there, misspelt.
            wrong.extend(unknown.meant.map(|meant| format!("{table}{}", segment(meant))));
        }
        for (table, key) in &findings.missing {
            if wrong.insert(format!("{table}{}", segment(key))) {
                diagnostics.push(self.missing(&format!("{pointer}{table}"), key));
            }
        }
        for array in &findings.not_tables {
            let error = self.error(&format!("{pointer}{array}"), At::Value, "expected a table, found an array");
            diagnostics.push(error.label("expected a table"));
            wrong.insert(array.clone());
            if !remains.remove(array) {
                return None;
            }
        }

        loop {
            let (at, message) = match attempt(&remains.value) {
                Ok(made) => return (diagnostics.len() == before).then_some(made),
                Err(error) => error,
            };
            let at = remains.origin(&at);
            let error = Serde::parse(&message);
            if !follows(&wrong, &at, &error) {
                diagnostics.push(self.serde_error(pointer, &at, error));
            }
            // Without what is wrong, serde comes to the next error. What is left may then lack a
            // key, and is taken away as well.
            if !remains.remove(&at) {
                return None;
            }
            wrong.insert(at);
        }
    }

    fn report_unknown(&self, pointer: &str, findings: &Findings, diagnostics: &mut Diagnostics) {
        diagnostics.extend(findings.unknown.iter().map(|unknown| {
            let table = format!("{pointer}{}", unknown.table);
            self.unknown(&table, &unknown.key, choices(unknown.meant, &unknown.known))
        }));
    }

    fn unknown(&self, table: &str, key: &str, help: String) -> Diagnostic {
        let pointer = format!("{table}{}", segment(key));
        self.error(&pointer, At::Key, format!("unknown key `{key}`"))
            .label(format!("not a key of {}", self.table_name(table)))
            .help(help)
    }

    fn missing(&self, table: &str, key: &str) -> Diagnostic {
        self.error(table, At::Value, format!("missing key `{key}`"))
            .label(format!("missing from {}", self.table_name(table)))
    }

    fn serde_error(&self, pointer: &str, at: &str, error: Serde) -> Diagnostic {
        let pointer = format!("{pointer}{at}");
        match error {
            Serde::Missing(key) => self.missing(&pointer, &key),
            Serde::Unknown(key, known) => {
                // serde's path leads to the key, not to the table that should not have it.
                let table = pointer.strip_suffix(&segment(&key)).unwrap_or(&pointer);
                self.unknown(table, &key, suggestion(&key, known.iter().map(String::as_str)))
            }
            Serde::Value(message, label, help) => {
                let mut error = self.error(&pointer, At::Value, message);
                if let Some(label) = label {
                    error = error.label(label);
                }
                match help {
                    Some(help) => error.help(help),
                    None => error,
                }
            }
        }
    }
}

/// Whether an error at `at` only follows from what was found wrong before.
fn follows(wrong: &BTreeSet<String>, at: &str, error: &Serde) -> bool {
    match error {
        Serde::Missing(key) => wrong.contains(&format!("{at}{}", segment(key))),
        _ => {
            let below = format!("{at}/");
            wrong.range(below.clone()..).next().is_some_and(|first| first.starts_with(&below))
        }
    }
}

/// serde's path as a JSON pointer. The variant of an enum that is a string is no step into the value; [`Remains::origin`]
/// stops there.
fn json_pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for part in path {
        match part {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => pointer.push_str(&segment(key)),
            Segment::Unknown => break,
        }
    }
    pointer
}

/// A value from which what is wrong is taken bit by bit. Pointers are those of the whole value,
/// also into arrays that have lost elements.
struct Remains {
    value: Value,
    gone: BTreeSet<String>,
}

impl Remains {
    fn new(value: Value) -> Self {
        Self { value, gone: BTreeSet::new() }
    }

    /// The pointer, into the whole value, of a pointer into what remains; as far as it leads.
    fn origin(&self, pointer: &str) -> String {
        let mut origin = String::new();
        let mut node = &self.value;
        for part in pointer.split('/').skip(1) {
            let (inner, part) = match node {
                Value::Array(items) => match part.parse() {
                    Ok(index) => (items.get(index), self.original(&origin, index)),
                    Err(_) => break,
                },
                _ => (node.get(unescape(part)), format!("/{part}")),
            };
            // What is missing has no place but that of the table around it.
            let Some(inner) = inner else { break };
            origin.push_str(&part);
            node = inner;
        }
        origin
    }

    /// The segment that the element now at `index` had at first.
    fn original(&self, array: &str, index: usize) -> String {
        let mut remaining = (0..).filter(|original| !self.gone.contains(&format!("{array}/{original}")));
        format!("/{}", remaining.nth(index).unwrap_or(index))
    }

    /// The segment that the element at first at `original` has now.
    fn current(&self, array: &str, original: &str) -> String {
        let before = 0..original.parse().unwrap_or(0);
        let remaining = before.filter(|index| !self.gone.contains(&format!("{array}/{index}")));
        format!("/{}", remaining.count())
    }

    /// Takes away what is at `pointer`; false if there is nothing, and for the root.
    fn remove(&mut self, pointer: &str) -> bool {
        let is_gone = self.gone.contains(pointer);
        let (mut origin, mut path, mut parent) = (String::new(), String::new(), None);
        for part in pointer.split('/').skip(1) {
            let is_array = self.value.pointer(&path).is_some_and(Value::is_array);
            let step = if is_array { self.current(&origin, part) } else { format!("/{part}") };
            origin = format!("{origin}/{part}");
            parent = Some(path.clone());
            path += &step;
        }
        let Some(parent) = parent.filter(|_| !is_gone && self.value.pointer(&path).is_some()) else {
            return false;
        };
        let last = &path[parent.len() + 1..];
        match (self.value.pointer_mut(&parent), last.parse::<usize>()) {
            (Some(Value::Array(items)), Ok(index)) => drop(items.remove(index)),
            (Some(Value::Object(table)), _) => drop(table.shift_remove(&unescape(last))),
            _ => return false,
        }
        self.gone.insert(origin)
    }
}
