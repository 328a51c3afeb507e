//! Values of the command line, set over those of the file.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{At, Builder, Document, Entry};
use crate::pointer::segment;
use crate::schema::wants_string;
use crate::source::Source;
use crate::syntax::{check_depth, syntax_errors};
use crate::words::{self, quoted};

impl Document {
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
        check_depth(&source, assignment)?;
        let Some(equals) = find_equals(assignment) else {
            let place = source.place(0..assignment.len());
            let error =
                Diagnostic::at(place, "expected an assignment").label("has no `=`").help("for instance `--set seed=7`");
            return Err(error.into());
        };
        let path = assigned_path(&source, &assignment[..equals])?;

        let pointer: String = path.iter().map(|(key, _)| segment(key)).collect();
        let key = path.last().map(|(_, span)| span.clone());
        let mut builder = Builder::new(&source);
        let mut is_unquoted = false;
        let value = match assigned_value(&source, equals, path.len())? {
            Assigned::Toml(value) => {
                is_unquoted = matches!(value.get_ref(), DeValue::Boolean(_) | DeValue::Integer(_) | DeValue::Float(_));
                let is_good = builder.entry(&pointer, key, value.span());
                match value.get_ref() {
                    _ if !is_good => Value::Null,
                    // As it was written.
                    DeValue::Datetime(_) => assignment[value.span()].into(),
                    _ => builder.value(&pointer, &value),
                }
            }
            Assigned::Bare(span) => {
                builder.entry(&pointer, key, span.clone());
                assignment[span].into()
            }
        };
        let entries = builder.entries;
        builder.diagnostics.into_result(())?;

        self.insert(&source, &path, value)?;
        let below = format!("{pointer}/");
        self.entries.retain(|known, _| !known.starts_with(&below));
        self.entries.extend(entries);
        self.unquoted.retain(|known| *known != pointer && !known.starts_with(&below));
        self.unquoted.extend(is_unquoted.then_some(pointer));
        Ok(())
    }

    /// Takes what was set without quotes as a string where `schema` has no place for the number or the truth that it reads
    /// as: files have names such as `2024`, and shells take quotes away.
    pub fn settle_words(&mut self, schema: &Value) {
        for pointer in std::mem::take(&mut self.unquoted) {
            if wants_string(schema, &self.value, &pointer) {
                let word = self.place(&pointer, At::Value).text().to_owned();
                if let Some(value) = self.value.pointer_mut(&pointer) {
                    *value = word.into();
                }
            }
        }
    }

    /// Puts `value` at `path`, making the tables on the way that are not there.
    fn insert(&mut self, source: &Source, path: &[(String, Range<usize>)], value: Value) -> Result<(), Diagnostic> {
        let mut node = &mut self.value;
        let mut pointer = String::new();
        for (key, span) in path {
            let refuse = |label: String| {
                let message = format!("nothing to set at {}", quoted(key));
                Diagnostic::at(source.place(span.clone()), message).label(label)
            };
            // As it is written in the assignment.
            let parent = quoted(source.text()[..span.start].trim_end_matches([' ', '\t', '.']));
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
                    let index = (0..length).find(|index| index.to_string() == *key);
                    let item = index.and_then(|index| items.get_mut(index));
                    item.ok_or_else(|| refuse(format!("{parent} is an array of {length}, counted from 0")))?
                }
                other => {
                    let kind = words::kind(other);
                    return Err(refuse(format!("{parent} is {kind}, which has no keys")));
                }
            };
        }
        *node = value;
        Ok(())
    }
}

/// The first `=` outside quotes, in the first line.
fn find_equals(assignment: &str) -> Option<usize> {
    let mut quote = None;
    let mut chars = assignment.char_indices();
    while let Some((index, char)) = chars.next() {
        match (quote, char) {
            (None, '=') => return Some(index),
            (_, '\n') => return None,
            (None, '"' | '\'') => quote = Some(char),
            // What is escaped ends no string.
            (Some('"'), '\\') => drop(chars.next()),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
    }
    None
}

/// The keys of a dotted path, each with its span.
fn assigned_path(source: &Source, left: &str) -> Result<Vec<(String, Range<usize>)>, Diagnostics> {
    let text = format!("{left}=0");
    let (table, errors) = DeTable::parse_recoverable(&text);
    // One is enough: the others are about what follows from it.
    let mut diagnostics = Diagnostics::new();
    syntax_errors(source, errors.into_iter().take(1).collect(), &mut diagnostics);
    diagnostics.into_result(())?;
    let mut path = Vec::new();
    let mut table = Some(table.get_ref());
    while let Some((key, value)) = table.and_then(|table| table.iter().next()) {
        path.push((key.get_ref().to_string(), key.span()));
        table = value.get_ref().as_table();
    }
    if path.is_empty() {
        let error = Diagnostic::at(source.place(0..left.len()), "expected a key").label("this is a comment");
        return Err(error.into());
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
    if let Some(quoted) = in_quotes(right).filter(|_| !errors.is_empty()) {
        let error = Diagnostic::at(source.place(span), "the words in this have no quotes")
            .label("shells take them away")
            .help(format!("they stay in single quotes: --set '{}={quoted}'", text[..equals].trim()));
        return Err(error.into());
    }
    if right.starts_with(['"', '\'', '[', '{']) {
        let mut diagnostics = Diagnostics::new();
        syntax_errors(source, errors, &mut diagnostics);
        if diagnostics.is_empty() {
            diagnostics.push(Diagnostic::at(source.place(span), "expected one value"));
        }
        return Err(diagnostics);
    }
    // A line break is more often one too many in a script than part of a word.
    if let Some((index, char)) = right.char_indices().find(|(_, char)| char.is_control() && *char != '\t') {
        let at = start + index;
        let error = Diagnostic::at(source.place(at..at + char.len_utf8()), "expected one line of text")
            .label("a character that nobody sees")
            .help("in quotes, it is written `\\n`, or `\\u001b` with its number");
        return Err(error.into());
    }
    Ok(Assigned::Bare(span))
}

/// A list or a table whose words lost their quotes, `[token, word]`, with them; nothing where that is not what is wrong.
fn in_quotes(text: &str) -> Option<String> {
    if !text.starts_with(['[', '{']) || text.contains(['"', '\'', '\\']) || text.contains(char::is_control) {
        return None;
    }
    let mut quoted = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['[', ']', '{', '}', ',', '=']) {
        let (before, delimiter) = (&rest[..at], &rest[at..=at]);
        let word = before.trim();
        let is_toml = word.is_empty() || delimiter == "=" || DeTable::parse(&format!("x={word}")).is_ok();
        match is_toml {
            true => quoted.push_str(before),
            false => quoted.push_str(&before.replacen(word, &format!("\"{word}\""), 1)),
        }
        quoted.push_str(delimiter);
        rest = &rest[at + 1..];
    }
    (rest.trim().is_empty() && DeTable::parse(&format!("x={quoted}")).is_ok()).then_some(quoted)
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
