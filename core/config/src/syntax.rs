//! What the TOML parser finds wrong.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Place, Source};

/// The parser's errors as diagnostics in `source`, which begins as the text that was parsed.
pub(crate) fn syntax_errors(source: &Source, errors: Vec<toml::de::Error>) -> impl Iterator<Item = Diagnostic> {
    errors.into_iter().map(|error| {
        let text = source.text();
        let mut span = error.span().unwrap_or(text.len()..text.len());
        let rest = text.get(span.start..).unwrap_or_default();
        if span.is_empty() && rest.trim().is_empty() {
            // What is missing at the end of the text is missing behind the last that there is.
            let end = text.trim_end().len();
            let last = text[..end].chars().next_back().map_or(0, char::len_utf8);
            span = end - last..end;
        }
        let place = source.place(span.clone());
        if error.message() == "duplicate key" {
            return duplicate(source, place, span);
        }
        let (message, label) = match error.message().split_once(", expected ") {
            // What the parser says of any value that is none.
            Some(("string values must be quoted", _)) => match span.is_empty() {
                true => ("expected a value", "nothing here".to_owned()),
                false => ("expected a value", "a string must be in quotes".to_owned()),
            },
            Some((message, expected)) => (message, format!("expected {expected}")),
            None => (error.message(), "here".to_owned()),
        };
        Diagnostic::at(place, message).label(label)
    })
}

fn duplicate(source: &Source, place: Place, span: Range<usize>) -> Diagnostic {
    let message = format!("duplicate key `{}`", place.text());
    let error = Diagnostic::at(place, message).label("set again here");
    match first_set(source.text(), span) {
        Some(first) => error.also(source.place(first), "first set here"),
        None => error,
    }
}

/// Where the key was set that is set again at `again`. The parser knows and does not tell; under
/// another name of the same length, the second stands beside the first.
fn first_set(text: &str, again: Range<usize>) -> Option<Range<usize>> {
    let key = text.get(again.clone())?;
    let assignment = format!("{key}=0");
    let table = DeTable::parse(&assignment).ok()?.into_inner();
    let key = table.keys().next()?.get_ref();
    ('a'..='z').find_map(|letter| {
        let mut text = text.to_owned();
        text.replace_range(again.clone(), &letter.to_string().repeat(again.len()));
        let (table, _) = DeTable::parse_recoverable(&text);
        sibling(table.get_ref(), &again, key)
    })
}

/// The span of `key` in the table in which some key has the span `beside`.
fn sibling(table: &DeTable<'_>, beside: &Range<usize>, key: &str) -> Option<Range<usize>> {
    if table.keys().any(|key| key.span() == *beside) {
        let same = table.keys().find(|other| other.get_ref() == key);
        return same.map(|same| same.span()).filter(|span| span != beside);
    }
    table.values().find_map(|value| sibling_in(value.get_ref(), beside, key))
}

fn sibling_in(value: &DeValue<'_>, beside: &Range<usize>, key: &str) -> Option<Range<usize>> {
    match value {
        DeValue::Table(table) => sibling(table, beside, key),
        DeValue::Array(items) => items.iter().find_map(|item| sibling_in(item.get_ref(), beside, key)),
        _ => None,
    }
}
