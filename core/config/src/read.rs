//! Values of the tree as types, with every error at its place.

use std::collections::{BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{At, Document};
use crate::pointer::{segment, unescape};
use crate::schema::{self, Findings};
use crate::words::{Serde, choices, quoted, suggestion};

/// The values that are read again, in all, to come to the next error. Beyond that, there are enough errors.
const MOST_WORK: usize = 20_000_000;

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
                diagnostics.push_with(|| self.missing(&format!("{pointer}{table}"), key));
            }
        }
        for array in &findings.not_tables {
            diagnostics.push_with(|| {
                let error = self.error(&format!("{pointer}{array}"), At::Value, "expected a table, found an array");
                error.label("expected a table")
            });
            wrong.insert(array.clone());
            if !remains.remove(array) {
                return None;
            }
        }

        let mut work = 0;
        loop {
            let (at, message) = match attempt(&remains.value) {
                Ok(made) => return (diagnostics.len() == before).then_some(made),
                Err(error) => error,
            };
            work += remains.size_before(&at);
            let at = remains.origin(&at);
            let error = Serde::parse(&message);
            if !follows(&wrong, &at, &error) {
                diagnostics.push_with(|| self.serde_error(pointer, &at, error));
            }
            if work > MOST_WORK {
                diagnostics.leave_off();
                return None;
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
        for unknown in &findings.unknown {
            diagnostics.push_with(|| {
                let table = format!("{pointer}{}", unknown.table);
                self.unknown(&table, &unknown.key, choices(unknown.meant, &unknown.known))
            });
        }
    }

    fn unknown(&self, table: &str, key: &str, help: String) -> Diagnostic {
        let pointer = format!("{table}{}", segment(key));
        self.error(&pointer, At::Key, format!("unknown key {}", quoted(key)))
            .label(format!("not a key of {}", self.table_name(table)))
            .help(help)
    }

    fn missing(&self, table: &str, key: &str) -> Diagnostic {
        self.error(table, At::Value, format!("missing key {}", quoted(key)))
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
    /// Of arrays that have lost elements: where those that remain stood at first.
    left: HashMap<String, Vec<usize>>,
}

impl Remains {
    fn new(value: Value) -> Self {
        Self { value, left: HashMap::new() }
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
        let original = self.left.get(array).and_then(|left| left.get(index));
        format!("/{}", original.unwrap_or(&index))
    }

    /// How many elements and keys stand before those that a pointer into what remains leads through: whoever found an
    /// error there has seen at least these.
    fn size_before(&self, pointer: &str) -> usize {
        let (mut size, mut node) = (0, &self.value);
        for part in pointer.split('/').skip(1) {
            let (inner, before) = match node {
                Value::Array(items) => {
                    let index = part.parse().unwrap_or(0);
                    (items.get(index), index)
                }
                Value::Object(table) => {
                    let key = unescape(part);
                    (table.get(&key), table.keys().take_while(|other| **other != key).count())
                }
                _ => break,
            };
            size += before;
            let Some(inner) = inner else { break };
            node = inner;
        }
        size
    }

    /// Takes away what is at `pointer`; false if there is nothing, and for the root.
    fn remove(&mut self, pointer: &str) -> bool {
        let Some((around, last)) = pointer.rsplit_once('/') else { return false };
        let mut node = &mut self.value;
        let mut origin = String::new();
        for part in around.split('/').skip(1) {
            let inner = match node {
                Value::Array(items) => current(&self.left, &origin, part).and_then(|index| items.get_mut(index)),
                Value::Object(table) => table.get_mut(&unescape(part)),
                _ => None,
            };
            let Some(inner) = inner else { return false };
            origin = format!("{origin}/{part}");
            node = inner;
        }
        match node {
            Value::Array(items) => {
                let Some(index) = current(&self.left, around, last).filter(|index| *index < items.len()) else {
                    return false;
                };
                let all = 0..items.len();
                self.left.entry(around.to_owned()).or_insert_with(|| all.collect()).remove(index);
                items.remove(index);
                true
            }
            // The order of what is left makes no difference to what is wrong with it.
            Value::Object(table) => table.swap_remove(&unescape(last)).is_some(),
            _ => false,
        }
    }
}

/// Where in an array the element is now that stood at `original` at first.
fn current(left: &HashMap<String, Vec<usize>>, array: &str, original: &str) -> Option<usize> {
    let original = original.parse().ok()?;
    left.get(array).map_or(Some(original), |left| left.binary_search(&original).ok())
}
