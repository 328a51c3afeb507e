//! Named texts that errors point into, and texts as they are shown.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A text with the name it is shown under. All that points into it shares it.
#[derive(Debug, Clone)]
pub(crate) struct Source(Arc<Named>);

#[derive(Debug)]
struct Named {
    name: String,
    text: String,
    /// Where each line begins; found when first asked for.
    lines: OnceLock<Vec<usize>>,
}

impl Source {
    pub(crate) fn new(name: &str, text: String) -> Self {
        Self(Arc::new(Named { name: told(name), text, lines: OnceLock::new() }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// The stretch `span`, in bytes; clipped to the text, and to whole characters.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let text = self.text();
        let (mut start, mut end) = (span.start.min(text.len()), span.end.min(text.len()));
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        Place { source: self.clone(), span: start..end.max(start) }
    }

    /// Line and column, in characters, both from 0.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines().partition_point(|start| *start <= offset) - 1;
        let Range { start, end } = self.line(line);
        let before = self.text().get(start..offset.min(end)).unwrap_or_default();
        (line, before.chars().count())
    }

    /// The bytes of a line, without its end.
    pub(crate) fn line(&self, line: usize) -> Range<usize> {
        let start = self.lines()[line];
        let text = &self.text()[start..self.lines().get(line + 1).map_or(self.text().len(), |next| *next)];
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        start..start + text.len()
    }

    /// Whether there is such a line. What is behind the last line break is one if there is anything.
    pub(crate) fn has_line(&self, line: usize) -> bool {
        self.lines().get(line).is_some_and(|start| *start < self.text().len())
    }

    /// There is always one.
    fn lines(&self) -> &[usize] {
        let find = || {
            let breaks = self.text().match_indices('\n').map(|(newline, _)| newline + 1);
            std::iter::once(0).chain(breaks).collect()
        };
        self.0.lines.get_or_init(find)
    }
}

/// A stretch of a named text. Displayed as `name:line:column`, both from 1, columns in characters.
#[derive(Debug, Clone)]
pub struct Place {
    pub(crate) source: Source,
    pub(crate) span: Range<usize>,
}

impl Place {
    /// The text that is pointed at.
    pub fn text(&self) -> &str {
        self.source.text().get(self.span.clone()).unwrap_or("")
    }

    #[cfg(test)]
    pub(crate) fn range(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(crate) fn is_beside(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.source.0, &other.source.0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.source.position(self.span.start);
        write!(f, "{}:{}:{}", self.source.0.name, line + 1, column + 1)
    }
}

/// The most characters of a message: whatever of a file is quoted in it, it can be read.
const LONGEST: usize = 2000;

/// Whether a character does something to a terminal, or to the order of what is beside it, instead of being seen.
fn is_unseen(c: char) -> bool {
    let is_bidirectional =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let has_no_width = matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}');
    c.is_control() && c != '\n' && c != '\t' || is_bidirectional || has_no_width
}

/// A text for a terminal: what could move its cursor, colour it or turn its lines around is written out.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_unseen(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A text as it is told: plain, and not without end.
pub(crate) fn told(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => plain(&text[..end]).into_owned() + "…",
        None => plain(text).into_owned(),
    }
}

/// What is shown in the place of a character, in as many bytes.
pub(crate) fn stand_in(c: char) -> char {
    match c.len_utf8() {
        _ if !is_unseen(c) => c,
        1 => '?',
        2 => '\u{b7}',
        _ => char::REPLACEMENT_CHARACTER,
    }
}
