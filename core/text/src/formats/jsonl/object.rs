//! One line: an object, and what stands under its keys.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::corpus::Span;
use crate::error::CorpusError;
use crate::shown::{list, shortened};

pub(super) struct Object<'a> {
    keys: Map<String, Value>,
    text: &'a str,
    path: &'a Path,
    line: u64,
}

impl<'a> Object<'a> {
    pub(super) fn parse(text: &'a str, path: &'a Path, line: u64) -> Result<Self, CorpusError> {
        let reason = match serde_json::from_str(text) {
            Ok(Value::Object(keys)) => return Ok(Self { keys, text, path, line }),
            Ok(other) => format!("it is {}", kind(&other)),
            // Its line is always the first: here it stands in another one.
            Err(error) => {
                let (message, column) = (error.to_string(), error.column());
                let what = message.split(" at line ").next().unwrap_or_default();
                format!("{what} at its byte {column}")
            }
        };
        Err(CorpusError::Json { path: path.to_owned(), line, reason })
    }

    /// The value of the key of that name, or at the end of the keys between dots.
    fn find(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).or_else(|| {
            let (first, rest) = key.split_once('.')?;
            rest.split('.').try_fold(self.keys.get(first)?, |value, key| value.get(key))
        })
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn fault(&self, key: &str, is: &'static str, meant: &'static str) -> CorpusError {
        let fault = format!("is {is}, and {meant} is meant; the line has {}", list(self.keys.keys()));
        CorpusError::Key { path: self.path.to_owned(), line: self.line, key: key.to_owned(), fault }
    }

    /// A text as it stands; none where it is null, or white space alone.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, CorpusError> {
        let is = match self.find(key) {
            Some(Value::String(text)) => return Ok((!text.trim().is_empty()).then_some(text)),
            Some(Value::Null) => return Ok(None),
            Some(other) => kind(other),
            None => "missing",
        };
        Err(self.fault(key, is, "a text"))
    }

    /// The error that no line has a text, of which this is the first.
    pub(super) fn no_text(&self, key: &str) -> CorpusError {
        self.fault(key, "empty, here and in every other line", "a text")
    }

    /// A label or a group.
    pub(super) fn value(&self, key: &str) -> Result<Option<Arc<str>>, CorpusError> {
        let value = match self.find(key) {
            Some(Value::Null) => return Ok(None),
            Some(Value::String(value)) => value.trim().to_owned(),
            Some(Value::Number(number)) if number.is_f64() => {
                written(self.text, key).map_or_else(|| number.to_string(), str::to_owned)
            }
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            Some(other) => return Err(self.fault(key, kind(other), "a string, a number or a boolean")),
            None => return Err(self.fault(key, "missing", "a string, a number, a boolean or null")),
        };
        Ok((!value.is_empty()).then(|| value.into()))
    }

    /// The annotations of a text, which is trimmed afterwards and has lost `indent` scalars at its start.
    pub(super) fn spans(&self, key: &str, text: &str, indent: u32) -> Result<Vec<Span>, CorpusError> {
        let list = match self.find(key) {
            Some(Value::Array(list)) => list,
            Some(Value::Null) => return Ok(Vec::new()),
            other => return Err(self.fault(key, other.map_or("missing", kind), "a list of `[start, end, \"TAG\"]`")),
        };
        let length = text.chars().count() as u64;
        let trimmed = indent + text.trim().chars().count() as u32;
        let mut spans = Vec::with_capacity(list.len());
        let mut before = 0;
        for (at, one) in list.iter().enumerate() {
            let fault = |fault: String| CorpusError::Annotation {
                path: self.path.to_owned(),
                line: self.line,
                key: key.to_owned(),
                fault: format!("the annotation {} {fault}: {}", at + 1, shortened(&one.to_string())),
            };
            let parts = one.as_array().map(Vec::as_slice);
            let Some([Value::Number(start), Value::Number(end), Value::String(value)]) = parts else {
                return Err(fault("is no `[start, end, \"TAG\"]`".to_owned()));
            };
            let (Some(start), Some(end)) = (start.as_u64(), end.as_u64()) else {
                return Err(fault("has a place that is no number of characters".to_owned()));
            };
            if start >= end {
                return Err(fault("ends where it begins or before".to_owned()));
            }
            if start < before {
                return Err(fault(
                    "begins before the end of the one before it; they stand in order, and apart".to_owned(),
                ));
            }
            if end > length {
                return Err(fault(format!("ends after the text, which has {length} characters")));
            }
            before = end;
            // A text has no more scalars than bytes, which a u32 counts.
            let within = |place: u64| (place as u32).clamp(indent, trimmed) - indent;
            let (start, end) = (within(start), within(end));
            // One of white space at an end of the text is nowhere in the document.
            if start < end {
                spans.push(Span { start, end, value: value.as_str().into() });
            }
        }
        Ok(spans)
    }
}

/// What stands in the text of an object under a key. A float has other digits than the number that it was read from, which may be
/// an integer of more than 64 bits.
fn written<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let keys = |text: &'t str| serde_json::from_str::<HashMap<String, &'t RawValue>>(text).ok();
    let all = keys(text)?;
    let found = all.get(key).copied().or_else(|| {
        let (first, rest) = key.split_once('.')?;
        rest.split('.').try_fold(*all.get(first)?, |value, key| keys(value.get())?.get(key).copied())
    });
    found.map(RawValue::get)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
