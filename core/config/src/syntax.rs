//! What the TOML parser finds wrong.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};
use toml_parser::lexer::TokenKind;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Source;
use crate::words::quoted;

/// The bytes that are parsed in all to find where keys that are set twice were set first.
const PARSED: usize = 8 << 20;

/// What the parser says of a key of too many parts.
const LONG_KEY: &str = "recursion limit";

/// Tables and arrays that may be open one in another before a text is parsed at all. The parser stops at 80, but in the midst of
/// other errors it counts brackets as closed that are not (`{a = 1, {}b = {a = 1, {}b = `), and takes a kilobyte of stack for
/// each.
const OPEN: usize = 500;

/// An error where brackets are open in more brackets than the parser has stack for.
pub(crate) fn check_depth(source: &Source, text: &str) -> Result<(), Diagnostic> {
    // A table or an array is left at its own bracket alone. A bracket that begins a line is that of a header, in which the
    // parser goes no deeper.
    let mut open = Vec::new();
    let (mut begins, mut in_header) = (true, false);
    for token in toml_parser::Source::new(text).lex() {
        in_header |= begins && open.is_empty() && token.kind() == TokenKind::LeftSquareBracket;
        match token.kind() {
            TokenKind::Newline => in_header = false,
            _ if in_header => {}
            TokenKind::LeftCurlyBracket => open.push(TokenKind::RightCurlyBracket),
            TokenKind::LeftSquareBracket => open.push(TokenKind::RightSquareBracket),
            kind if open.last() == Some(&kind) => drop(open.pop()),
            _ => {}
        }
        begins = match token.kind() {
            TokenKind::Newline => true,
            kind => begins && kind == TokenKind::Whitespace,
        };
        if open.len() > OPEN {
            let place = source.place(token.span().start()..token.span().end());
            return Err(Diagnostic::at(place, "this is nested too deeply").label("in too many tables and arrays"));
        }
    }
    Ok(())
}

/// Adds the parser's errors as diagnostics in `source`, which begins as the text that was parsed.
pub(crate) fn syntax_errors(source: &Source, errors: Vec<Error>, diagnostics: &mut Diagnostics) {
    let text = source.text();
    let mut left = PARSED;
    let mut told = 0..0;
    for error in errors {
        let is_escape = ESCAPES.iter().any(|escape| error.message().starts_with(escape));
        if let Some(at) = error.span().map(|span| span.start).filter(|_| is_escape) {
            // One is enough: whoever writes a path does not mean any of its escapes.
            if told.contains(&at) {
                continue;
            }
            if let Some(string) = around(text, at) {
                told = string.clone();
                diagnostics.push_with(|| no_escape(source, at, string));
                continue;
            }
        }
        diagnostics.push_with(|| {
            let span = span(text, &error);
            if error.message() == "duplicate key" {
                return duplicate(source, span, &mut left);
            }
            let (message, label) = match error.message().split_once(", expected ") {
                // What the parser says of any value that is none.
                Some(("string values must be quoted", _)) => match span.is_empty() {
                    true => ("expected a value", "nothing here".to_owned()),
                    false => ("expected a value", "a string must be in quotes".to_owned()),
                },
                Some((message, expected)) => (message, format!("expected {expected}")),
                None if error.message() == LONG_KEY => ("this key has too many parts", "here".to_owned()),
                None if error.message().starts_with("cannot recurse") => {
                    ("this is nested too deeply", "in too many tables and arrays".to_owned())
                }
                None => (error.message(), "here".to_owned()),
            };
            Diagnostic::at(source.place(span), message).label(label)
        });
    }
}

/// How the parser begins to say of a `\` in double quotes with which no escape begins.
const ESCAPES: [&str; 2] = ["missing escaped value", "too few unicode value digits"];

/// The most bytes of a string that the help writes anew.
const MAX_SHOWN: usize = 260;

/// The string in double quotes, on one line, that `at` is in, without its quotes.
fn around(text: &str, at: usize) -> Option<Range<usize>> {
    let (before, after) = (text.get(..at)?, text.get(at..)?);
    let start = before.rfind(['"', '\n'])? + 1;
    let end = at + after.find(['"', '\n'])?;
    let is_one = before[..start].ends_with('"') && text[end..].starts_with('"');
    // Not between quotes that are themselves escaped, nor in a string of several lines.
    let is_plain = !before[..start].ends_with("\\\"") && !before[..start].ends_with("\"\"");
    (is_one && is_plain).then_some(start..end)
}

/// An error about a `\` that was meant as it stands, as in a path of Windows.
fn no_escape(source: &Source, at: usize, string: Range<usize>) -> Diagnostic {
    let text = &source.text()[string.clone()];
    let backslash = source.text()[string.start..at].rfind('\\').map_or(at, |back| string.start + back);
    // As a path may be; one that is longer would fill the screen.
    let shown = !text.contains('\'') && text.len() <= MAX_SHOWN;
    let help = match shown {
        false => "in double quotes, a `\\` is written twice".to_owned(),
        true => format!("in single quotes, a `\\` is itself: '{text}'; in paths, `/` serves as well"),
    };
    Diagnostic::at(source.place(backslash..backslash + 2), "in double quotes, `\\` begins an escape")
        .label("there is no such escape")
        .help(help)
}

/// Where an error is.
fn span(text: &str, error: &Error) -> Range<usize> {
    let span = match error.span() {
        Some(span) => span,
        None if error.message() == LONG_KEY => return long_key(text),
        None => text.len()..text.len(),
    };
    if span.is_empty() && text.get(span.start..).unwrap_or_default().trim().is_empty() {
        // What is missing at the end of the text is missing behind the last that there is.
        let end = text.trim_end().len();
        let last = text[..end].chars().next_back().map_or(0, char::len_utf8);
        return end - last..end;
    }
    span
}

/// The line of the first key that has too many parts, of which the parser does not tell the place.
fn long_key(text: &str) -> Range<usize> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let ends: Vec<usize> = lines
        .iter()
        .scan(0, |end, line| {
            *end += line.len();
            Some(*end)
        })
        .collect();
    let before = ends.partition_point(|end| {
        let (_, errors) = DeTable::parse_recoverable(&text[..*end]);
        errors.iter().all(|error| error.message() != LONG_KEY)
    });
    let line = lines.get(before).copied().unwrap_or_default();
    let start = ends.get(before).map_or(text.len(), |end| end - line.trim_start().len());
    start..start + line.trim().len()
}

fn duplicate(source: &Source, again: Range<usize>, left: &mut usize) -> Diagnostic {
    let place = source.place(again.clone());
    let message = format!("duplicate key {}", quoted(place.text()));
    let error = Diagnostic::at(place, message).label("set again here");
    match first_set(source.text(), again, left) {
        Some(first) => error.also(source.place(first), "first set here"),
        None => error,
    }
}

/// Where the key was set that is set again at `again`. The parser knows and does not tell; under another name of the same
/// length, the second stands beside the first. To find that, the text is parsed again, as long as there are bytes `left`.
fn first_set(text: &str, again: Range<usize>, left: &mut usize) -> Option<Range<usize>> {
    let key = text.get(again.clone())?;
    let assignment = format!("{key}=0");
    let table = DeTable::parse(&assignment).ok()?.into_inner();
    let key = table.keys().next()?.get_ref();
    ('a'..='z').find_map(|letter| {
        *left = left.checked_sub(text.len())?;
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
