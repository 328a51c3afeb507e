//! A TOML text as a tree of values that remembers where each came from.

use std::collections::HashMap;
use std::num::IntErrorKind;
use std::ops::Range;

use serde_json::{Number, Value};
use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::pointer::{segment, unescape};
use crate::schema::without_null;
use crate::source::{Place, Source};
use crate::syntax::{check_depth, syntax_errors};
use crate::words::quoted;

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
    pub(crate) value: Value,
    /// By JSON pointer. The root is always there.
    pub(crate) entries: HashMap<String, Entry>,
    /// Pointers of what `--set` gave as numbers and truths, which may be meant as words.
    pub(crate) unquoted: Vec<String>,
}

/// Where a value stands: in the file, or in an assignment of the command line.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) source: Source,
    /// `None` for the root and for elements of arrays.
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Range<usize>,
}

impl Document {
    /// Parses `text`, which errors show as `name`. Tables and keys keep their order.
    ///
    /// Dates and times become strings.
    ///
    /// # Errors
    /// All errors of syntax, duplicate keys among them; numbers that JSON cannot hold: integers beyond 64 bits (signed or not), `nan`,
    /// `inf`; and values too deep in others for whoever reads them in turn.
    pub fn parse(name: &str, text: String) -> Result<Self, Diagnostics> {
        let source = Source::new(name, text);
        check_depth(&source, source.text())?;
        let (table, errors) = DeTable::parse_recoverable(source.text());
        let mut builder = Builder::new(&source);
        syntax_errors(&source, errors, &mut builder.diagnostics);
        builder.entry("", None, 0..0);
        let value = builder.table("", table.get_ref());
        let entries = builder.entries;
        builder.diagnostics.into_result(Self { value, entries, unquoted: Vec::new() })
    }

    /// Settings that are no text, such as those that a manifest keeps, written as TOML; errors show that as `name`. Keys
    /// that are null are left out.
    ///
    /// # Errors
    /// What TOML cannot hold, and as for [`Document::parse`].
    pub fn from_settings(name: &str, settings: &Value) -> Result<Self, Diagnostics> {
        let text = toml::to_string(&without_null(settings))
            .map_err(|error| Diagnostic::new(format!("cannot write {name} as TOML: {error}")))?;
        Self::parse(name, text)
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
            // No value has a longer one, and a plugin's may be as long as it likes.
            let entry =
                Some(known).filter(|known| known.len() <= LONGEST_POINTER).and_then(|known| self.entries.get(known));
            if let Some(entry) = entry {
                let key = entry.key.clone().filter(|_| at == At::Key && known == pointer);
                return entry.source.place(key.unwrap_or_else(|| entry.value.clone()));
            }
            known = known.rfind('/').map_or("", |slash| &known[..slash]);
        }
    }

    /// The table at `pointer` as messages name it: `[model.lm]`, or "the top level".
    pub fn table_name(&self, pointer: &str) -> String {
        match pointer {
            "" => "the top level".to_owned(),
            _ => format!("[{}]", self.path_name(pointer)),
        }
    }

    /// `model.lm`, `comparison.x.metrics[1]`; empty for the root.
    fn path_name(&self, pointer: &str) -> String {
        let mut name = String::new();
        let mut node = Some(&self.value);
        for segment in pointer.split('/').skip(1) {
            let key = unescape(segment);
            let is_bare = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
            let dot = if name.is_empty() { "" } else { "." };
            if node.is_some_and(Value::is_array) {
                name.push_str(&format!("[{key}]"));
            } else if key.is_empty() || !key.chars().all(is_bare) {
                name.push_str(&format!("{dot}{key:?}"));
            } else {
                name.push_str(&format!("{dot}{key}"));
            }
            node = node.and_then(|node| node.pointer(&format!("/{segment}")));
        }
        name
    }

    /// An error about the key or the value at `pointer`.
    pub fn error(&self, pointer: &str, at: At, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.place(pointer, at), message)
    }
}

/// The most tables and arrays that a value can be in, and bytes of its JSON pointer. Whoever reads a tree goes down into it
/// by recursion, serde_json to 128 levels; and each value has its pointer beside it.
const DEEPEST: usize = 100;
const LONGEST_POINTER: usize = 2000;

/// Turns spanned TOML into values, and notes where each stands.
pub(crate) struct Builder<'s> {
    source: &'s Source,
    pub(crate) entries: HashMap<String, Entry>,
    pub(crate) diagnostics: Diagnostics,
}

impl<'s> Builder<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self { source, entries: HashMap::new(), diagnostics: Diagnostics::new() }
    }

    /// Notes where the value at `pointer` stands. False, and told, if nothing should stand there.
    pub(crate) fn entry(&mut self, pointer: &str, key: Option<Range<usize>>, value: Range<usize>) -> bool {
        let refused = if pointer.len() > LONGEST_POINTER {
            Some((
                "this name is too long",
                format!("with the tables around it, it has {LONGEST_POINTER} bytes at most"),
            ))
        } else if pointer.matches('/').count() > DEEPEST {
            Some(("this is nested too deeply", format!("it can be in {DEEPEST} tables and arrays at most")))
        } else {
            None
        };
        if let Some((message, label)) = refused {
            let place = self.source.place(key.unwrap_or(value));
            self.diagnostics.push_with(|| Diagnostic::at(place, message).label(label));
            return false;
        }
        let source = self.source.clone();
        self.entries.insert(pointer.to_owned(), Entry { source, key, value });
        true
    }

    fn table(&mut self, pointer: &str, table: &DeTable<'_>) -> Value {
        let entries = table.iter().map(|(key, value)| {
            let pointer = format!("{pointer}{}", segment(key.get_ref()));
            let is_good = self.entry(&pointer, Some(key.span()), value.span());
            is_good.then(|| (key.get_ref().to_string(), self.value(&pointer, value)))
        });
        Value::Object(entries.flatten().collect())
    }

    pub(crate) fn value(&mut self, pointer: &str, value: &Spanned<DeValue<'_>>) -> Value {
        let number = match value.get_ref() {
            DeValue::String(text) => return text.to_string().into(),
            DeValue::Boolean(truth) => return (*truth).into(),
            DeValue::Datetime(datetime) => return datetime.to_string().into(),
            DeValue::Table(table) => return self.table(pointer, table),
            DeValue::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    let pointer = format!("{pointer}/{index}");
                    self.entry(&pointer, None, item.span()).then(|| self.value(&pointer, item))
                });
                return items.flatten().collect();
            }
            DeValue::Integer(integer) => integer_value(integer),
            DeValue::Float(float) => float_value(float),
        };
        number.map_or_else(
            |label| {
                let place = self.source.place(value.span());
                self.diagnostics.push_with(|| {
                    let message = format!("the number {} is out of range", quoted(place.text()));
                    Diagnostic::at(place, message).label(label)
                });
                Value::Null
            },
            Value::Number,
        )
    }
}

// What is no number at all is an error of syntax, and reported as one.

/// TOML promises signed 64 bits. Seeds and counts have the others as well, which JSON can hold.
fn integer_value(integer: &DeInteger<'_>) -> Result<Number, &'static str> {
    let (digits, radix) = (integer.as_str(), integer.radix());
    match i64::from_str_radix(digits, radix) {
        Err(error) if *error.kind() == IntErrorKind::NegOverflow => Err("integers begin at -9223372036854775808"),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => match u64::from_str_radix(digits, radix) {
            Ok(integer) => Ok(integer.into()),
            Err(_) => Err("integers end at 18446744073709551615"),
        },
        integer => Ok(integer.unwrap_or_default().into()),
    }
}

fn float_value(float: &DeFloat<'_>) -> Result<Number, &'static str> {
    let float = float.as_str().parse().unwrap_or_default();
    Number::from_f64(float).ok_or("not a finite number")
}
