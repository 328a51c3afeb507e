//! Errors that point: a message, places in named sources, help.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// A text with the name it is shown under.
#[derive(Debug, Clone)]
pub(crate) struct Source(Arc<Named>);

#[derive(Debug)]
struct Named {
    name: String,
    text: String,
    /// The text as it may be shown, with every character where it is in `text`.
    shown: String,
}

impl Source {
    pub(crate) fn new(name: &str, text: String) -> Self {
        let shown = text.chars().map(stand_in).collect();
        Self(Arc::new(Named { name: plain(name).into_owned(), text, shown }))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// The stretch `span`, in bytes; clipped to the text.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let end = span.end.min(self.text().len());
        let source = self.clone();
        let span = span.start.min(end)..end;
        Place { source, span }
    }

    /// Line and column, in characters, both from 0.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text().get(..offset).unwrap_or(self.text());
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count(), before[line..].chars().count())
    }
}

/// As miette's of a string, but with columns in characters: its own are in bytes.
impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.0.shown.read_span(span, lines_before, lines_after)?;
        let (line, column) = self.position(contents.span().offset());
        Ok(Box::new(MietteSpanContents::new_named(
            self.0.name.clone(),
            contents.data(),
            *contents.span(),
            line,
            column,
            contents.line_count(),
        )))
    }
}

/// A stretch of a named text. Displayed as `name:line:column`, both from 1, columns in characters.
#[derive(Debug, Clone)]
pub struct Place {
    source: Source,
    span: Range<usize>,
}

impl Place {
    /// The text that is pointed at.
    pub fn text(&self) -> &str {
        self.source.text().get(self.span.clone()).unwrap_or("")
    }

    fn is_beside(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.source.0, &other.source.0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.source.position(self.span.start);
        write!(f, "{}:{}:{}", self.source.0.name, line + 1, column + 1)
    }
}

/// One error: what is wrong, where, and what to do about it.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    message: String,
    /// The first is where the error is; the others explain it.
    labels: Vec<(Place, Option<String>)>,
    help: Option<String>,
}

/// Whether a character does something to a terminal, or to the order of what is beside it, instead of being seen.
fn is_unseen(c: char) -> bool {
    let is_bidirectional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() && c != '\n' && c != '\t' || is_bidirectional
}

/// A text for a terminal: what could move its cursor, colour it or turn its lines around is written out.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_unseen(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// What is shown in the place of a character, in as many bytes.
fn stand_in(c: char) -> char {
    match c.len_utf8() {
        // The end of a line in Windows.
        _ if !is_unseen(c) || c == '\r' => c,
        1 => '?',
        2 => '\u{b7}',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

impl Diagnostic {
    /// An error without a place in any text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: plain(&message.into()).into_owned(), labels: Vec::new(), help: None }
    }

    /// An error at `place`.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { labels: vec![(place, None)], ..Self::new(message) }
    }

    /// With words beside the caret of the place.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some((_, label)) = self.labels.first_mut() {
            *label = Some(plain(&text.into()).into_owned());
        }
        self
    }

    /// With one more place that explains the error.
    pub fn also(mut self, place: Place, text: impl Into<String>) -> Self {
        self.labels.push((place, Some(plain(&text.into()).into_owned())));
        self
    }

    /// With advice.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(plain(&text.into()).into_owned());
        self
    }

    /// Where the error is, if it is in a text.
    pub fn place(&self) -> Option<&Place> {
        self.labels.first().map(|(place, _)| place)
    }

    /// Labels in the text that is shown, or else those in other texts.
    fn labels_shown(&self, shown: bool) -> impl Iterator<Item = &(Place, Option<String>)> {
        self.labels.iter().filter(move |(place, _)| place.is_beside(&self.labels[0].0) == shown)
    }
}

/// `name:line:column: message`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A graphical report shows the place itself, and takes the plain form as its title.
        if f.alternate()
            && let Some(place) = self.place()
        {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let mut lines: Vec<String> = self.help.clone().into_iter().collect();
        // One report shows one text: what points elsewhere is written out.
        lines.extend(self.labels_shown(false).map(|(place, text)| {
            let text = text.as_deref().unwrap_or("see there");
            format!("{place}: {text}")
        }));
        (!lines.is_empty()).then(|| Box::new(lines.join("\n")) as _)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place().map(|place| &place.source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.labels_shown(true).enumerate().map(|(index, (place, text))| {
            let span = place.span.clone();
            match index {
                0 => LabeledSpan::new_primary_with_span(text.clone(), span),
                _ => LabeledSpan::new_with_span(text.clone(), span),
            }
        });
        Some(Box::new(labels))
    }
}

/// Errors gathered. Those of one text stand together, in the order of the text.
///
/// `{}` counts them (the title of a graphical report, which then shows each); `{:#}` lists them,
/// one a line.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, behind those of its text that start no later than it.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let same_text = |other: &Diagnostic| match (other.place(), diagnostic.place()) {
            (Some(a), Some(b)) => a.is_beside(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let start = |of: &Diagnostic| of.place().map(|place| place.span.start);
        let before = |other: &Diagnostic| same_text(other) && start(other) <= start(&diagnostic);
        let index = match self.0.iter().rposition(before) {
            Some(index) => index + 1,
            None => self.0.iter().position(same_text).unwrap_or(self.0.len()),
        };
        self.0.insert(index, diagnostic);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// `value` if there are none, else all of them.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        diagnostics.into_iter().for_each(|one| self.push(one));
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        let mut all = Self::new();
        all.extend(diagnostics);
        all
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            for (index, diagnostic) in self.iter().enumerate() {
                let newline = if index == 0 { "" } else { "\n" };
                write!(f, "{newline}{diagnostic:#}")?;
            }
            return Ok(());
        }
        match self.len() {
            1 => f.write_str("1 error"),
            count => write!(f, "{count} errors"),
        }
    }
}

impl std::error::Error for Diagnostics {}

impl miette::Diagnostic for Diagnostics {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.iter().map(|one| one as _)))
    }
}
