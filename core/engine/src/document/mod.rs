//! A TOML text as a tree of values that remembers where each came from.
//!
//! The tree is JSON's, because that is what serde structs, JSON schemas and plugins all
//! understand, and a JSON pointer (RFC 6901) names a place in it for all of them. So an error
//! found by serde, by a schema or by a plugin is shown in the TOML by one mechanism:
//! [`Document::error`].
//!
//! Every error is gathered in [`Diagnostics`]; none stops the search for the rest.

mod diagnostic;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod words;

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use diagnostic::Source;
pub use diagnostic::{Diagnostic, Diagnostics, Place};
pub use words::{suggestion, table_name};

/// Which part of an entry an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Its key: it should not be there, or be named otherwise. For a table, the last part of its
    /// header.
    Key,
    /// What it is set to. For a table, its header.
    Value,
}

/// A TOML text, its values, and where each of them stands.
#[derive(Debug, Clone)]
pub struct Document {
    value: Value,
    /// By JSON pointer. The root is always there.
    entries: HashMap<String, Entry>,
}

/// Where a value stands: in the file, or in an assignment of the command line.
#[derive(Debug, Clone)]
struct Entry {
    source: Source,
    /// `None` for the root and for elements of arrays.
    key: Option<Range<usize>>,
    value: Range<usize>,
}

impl Document {
    /// Parses `text`, which errors show as `name`. Tables and keys keep their order.
    ///
    /// Dates and times become strings.
    ///
    /// # Errors
    /// All errors of syntax, duplicate keys among them, and numbers that JSON cannot hold:
    /// integers beyond 64 bits, `nan`, `inf`.
    pub fn parse(name: &str, text: String) -> Result<Self, Diagnostics> {
        let source = Source::new(name, text);
        let (table, errors) = DeTable::parse_recoverable(source.text());
        let mut builder = Builder::new(&source);
        builder.diagnostics.extend(syntax_errors(&source, errors));
        builder.entry("", None, 0..0);
        let value = builder.table("", table.get_ref());
        let entries = builder.entries;
        builder.diagnostics.into_result(Self { value, entries })
    }

    /// Sets one value as if the file had it: `model.lm.train.epochs=2`.
    ///
    /// The right side is a TOML value, or else a string as it stands (`record=max-1`), unless it
    /// opens a quote, an array or a table. A number names an element of an array that is there.
    /// Errors that later concern the value are shown in `assignment`, under the name `--set`.
    ///
    /// # Errors
    /// Wrong syntax, or a path that leads through something other than a table or an array. The
    /// document is then as before.
    pub fn set(&mut self, assignment: &str) -> Result<(), Diagnostics> {
        let source = Source::new("--set", assignment.to_owned());
        let Some(equals) = find_equals(assignment) else {
            let place = source.place(0..assignment.len());
            let error = Diagnostic::at(place, "expected an assignment")
                .label("has no `=`")
                .help("for instance `--set seed=7`");
            return Err(error.into());
        };
        let path = assigned_path(&source, &assignment[..equals])?;

        let pointer: String = path.iter().map(|(key, _)| segment(key)).collect();
        let mut builder = Builder::new(&source);
        let value = match assigned_value(&source, equals, path.len())? {
            Assigned::Toml(value) => {
                builder.entry(&pointer, path.last().map(|(_, span)| span.clone()), value.span());
                builder.value(&pointer, &value)
            }
            Assigned::Bare(span) => {
                let text = assignment[span.clone()].to_owned();
                builder.entry(&pointer, path.last().map(|(_, span)| span.clone()), span);
                Value::String(text)
            }
        };
        let entries = builder.entries;
        builder.diagnostics.into_result(())?;

        self.insert(&source, &path, value)?;
        let below = format!("{pointer}/");
        self.entries.retain(|known, _| !known.starts_with(&below));
        self.entries.extend(entries);
        Ok(())
    }

    /// The whole tree.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where the key or the value at `pointer` stands. Of a value that is not there (a missing
    /// key, a pointer of a plugin that leads nowhere), the nearest table or array around it.
    pub fn place(&self, pointer: &str, at: At) -> Place {
        let mut known = pointer;
        loop {
            if let Some(entry) = self.entries.get(known) {
                let key = entry.key.clone().filter(|_| at == At::Key && known == pointer);
                return entry.source.place(key.unwrap_or_else(|| entry.value.clone()));
            }
            known = known.rfind('/').map_or("", |slash| &known[..slash]);
        }
    }

    /// An error about the key or the value at `pointer`.
    pub fn error(&self, pointer: &str, at: At, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.place(pointer, at), message)
    }

    /// Puts `value` at `path`, making the tables on the way that are not there.
    fn insert(
        &mut self,
        source: &Source,
        path: &[(String, Range<usize>)],
        value: Value,
    ) -> Result<(), Diagnostic> {
        let mut node = &mut self.value;
        let mut pointer = String::new();
        for (key, span) in path {
            let refuse = |label: String| {
                Diagnostic::at(source.place(span.clone()), "no such place in the file").label(label)
            };
            let parent = words::path_name(&pointer);
            pointer.push_str(&segment(key));
            node = match node {
                Value::Object(table) => table.entry(key).or_insert_with(|| {
                    self.entries.entry(pointer.clone()).or_insert_with(|| Entry {
                        source: source.clone(),
                        key: Some(span.clone()),
                        value: span.clone(),
                    });
                    Value::Object(Map::new())
                }),
                Value::Array(items) => {
                    let length = items.len();
                    let index: Option<usize> = key.parse().ok();
                    let item = index.and_then(|index| items.get_mut(index));
                    item.ok_or_else(|| {
                        refuse(format!("`{parent}` is an array of {length}, counted from 0"))
                    })?
                }
                other => {
                    let kind = words::kind(other);
                    return Err(refuse(format!("`{parent}` is {kind}, which has no keys")));
                }
            };
        }
        *node = value;
        Ok(())
    }
}

/// A key as a segment of a JSON pointer, its slash included.
fn segment(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The key that a segment of a JSON pointer stands for.
fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// Turns spanned TOML into values, and notes where each stands.
struct Builder<'s> {
    source: &'s Source,
    entries: HashMap<String, Entry>,
    diagnostics: Diagnostics,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Source) -> Self {
        Self {
            source,
            entries: HashMap::new(),
            diagnostics: Diagnostics::new(),
        }
    }

    fn entry(&mut self, pointer: &str, key: Option<Range<usize>>, value: Range<usize>) {
        let source = self.source.clone();
        self.entries
            .insert(pointer.to_owned(), Entry { source, key, value });
    }

    fn table(&mut self, pointer: &str, table: &DeTable<'_>) -> Value {
        let entries = table.iter().map(|(key, value)| {
            let pointer = format!("{pointer}{}", segment(key.get_ref()));
            self.entry(&pointer, Some(key.span()), value.span());
            (key.get_ref().to_string(), self.value(&pointer, value))
        });
        Value::Object(entries.collect())
    }

    fn value(&mut self, pointer: &str, value: &Spanned<DeValue<'_>>) -> Value {
        let number = match value.get_ref() {
            DeValue::String(text) => return text.to_string().into(),
            DeValue::Boolean(truth) => return (*truth).into(),
            DeValue::Datetime(datetime) => return datetime.to_string().into(),
            DeValue::Table(table) => return self.table(pointer, table),
            DeValue::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    let pointer = format!("{pointer}/{index}");
                    self.entry(&pointer, None, item.span());
                    self.value(&pointer, item)
                });
                return items.collect();
            }
            DeValue::Integer(integer) => integer_value(integer).ok_or("does not fit in 64 bits"),
            DeValue::Float(float) => {
                let float = float.as_str().parse().ok();
                float
                    .and_then(serde_json::Number::from_f64)
                    .map(Value::Number)
                    .ok_or("not finite")
            }
        };
        number.unwrap_or_else(|label| {
            let place = self.source.place(value.span());
            let message = format!("the number `{}` is out of range", place.text());
            self.diagnostics.push(Diagnostic::at(place, message).label(label));
            Value::Null
        })
    }
}

fn integer_value(integer: &DeInteger<'_>) -> Option<Value> {
    let integer = i64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    Some(integer.into())
}

fn syntax_errors(source: &Source, errors: Vec<toml::de::Error>) -> impl Iterator<Item = Diagnostic> {
    errors.into_iter().map(|error| {
        // Without a span it is the end of the text that was not expected.
        let end = source.text().len();
        let place = source.place(error.span().unwrap_or(end..end));
        if error.message() == "duplicate key" {
            let message = format!("duplicate key `{}`", place.text());
            return Diagnostic::at(place, message).label("set a second time here");
        }
        match error.message().split_once(", expected ") {
            Some((message, expected)) => {
                Diagnostic::at(place, message).label(format!("expected {expected}"))
            }
            None => Diagnostic::at(place, error.message()),
        }
    })
}

/// The first `=` outside quotes.
fn find_equals(assignment: &str) -> Option<usize> {
    let mut quote = None;
    assignment.char_indices().find_map(|(index, char)| {
        match (quote, char) {
            (None, '=') => return Some(index),
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
        None
    })
}

/// The keys of a dotted path, each with its span.
fn assigned_path(source: &Source, left: &str) -> Result<Vec<(String, Range<usize>)>, Diagnostics> {
    let text = format!("{left}=0");
    let (table, errors) = DeTable::parse_recoverable(&text);
    let diagnostics: Vec<_> = syntax_errors(source, errors).collect();
    if let Some(first) = diagnostics.into_iter().next() {
        return Err(first.into());
    }
    let mut path = Vec::new();
    let mut table = Some(table.get_ref());
    while let Some((key, value)) = table.and_then(|table| table.iter().next()) {
        path.push((key.get_ref().to_string(), key.span()));
        table = value.get_ref().as_table();
    }
    Ok(path)
}

/// The right side of an assignment.
enum Assigned<'t> {
    Toml(Spanned<DeValue<'t>>),
    Bare(Range<usize>),
}

/// The right side of an assignment whose left side is a path of `depth` keys.
fn assigned_value(source: &Source, equals: usize, depth: usize) -> Result<Assigned<'_>, Diagnostics> {
    let text = source.text();
    let right = text[equals + 1..].trim();
    let start = text.len() - text[equals + 1..].trim_start().len();
    let span = start..start + right.len();
    if right.is_empty() {
        let error = Diagnostic::at(source.place(equals..equals + 1), "expected a value")
            .label("nothing behind it")
            .help("an empty string is `\"\"`");
        return Err(error.into());
    }

    // An assignment is a line of TOML: parsed whole, so that spans are those of the assignment.
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty()
        && let Some(value) = only_value(table.into_inner(), depth)
    {
        return Ok(Assigned::Toml(value));
    }
    if right.starts_with(['"', '\'', '[', '{']) {
        let mut diagnostics: Diagnostics = syntax_errors(source, errors).collect();
        if diagnostics.is_empty() {
            diagnostics.push(Diagnostic::at(source.place(span), "expected one value"));
        }
        return Err(diagnostics);
    }
    Ok(Assigned::Bare(span))
}

/// The value `depth` keys down, if there is no other beside it.
fn only_value(mut table: DeTable<'_>, depth: usize) -> Option<Spanned<DeValue<'_>>> {
    for level in 1.. {
        let mut entries = std::mem::take(&mut table).into_iter();
        let (Some((_, value)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        if level == depth {
            return Some(value);
        }
        let DeValue::Table(inner) = value.into_inner() else {
            return None;
        };
        table = inner;
    }
    None
}
