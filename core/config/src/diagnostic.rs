//! Errors that point: a message, places in named sources, help.

use std::fmt;
use std::sync::OnceLock;

use miette::{LabeledSpan, SourceCode};

use crate::excerpt::Excerpt;
use crate::source::{Place, told};

/// One error: what is wrong, where, and what to do about it.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    message: String,
    /// The first is where the error is; the others explain it.
    labels: Vec<(Place, Option<String>)>,
    help: Option<String>,
    /// What a report shows of the text; made when first asked for.
    excerpt: OnceLock<Box<Excerpt>>,
}

impl Diagnostic {
    /// An error without a place in any text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: told(&message.into()), labels: Vec::new(), help: None, excerpt: OnceLock::new() }
    }

    /// An error at `place`.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { labels: vec![(place, None)], ..Self::new(message) }
    }

    /// With words beside the caret of the place.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some((_, label)) = self.labels.first_mut() {
            *label = Some(told(&text.into()));
        }
        self
    }

    /// With one more place that explains the error.
    pub fn also(mut self, place: Place, text: impl Into<String>) -> Self {
        self.labels.push((place, Some(told(&text.into()))));
        self.excerpt = OnceLock::new();
        self
    }

    /// With advice.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(told(&text.into()));
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

    /// What is shown of the text that the error is in.
    fn excerpt(&self) -> Option<&Excerpt> {
        let source = &self.place()?.source;
        let spans = self.labels_shown(true).map(|(place, _)| &place.span);
        Some(self.excerpt.get_or_init(|| Box::new(Excerpt::new(source, spans))))
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
        self.excerpt().map(|excerpt| excerpt as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt()?;
        let labels = self.labels_shown(true).enumerate().map(|(index, (_, text))| {
            let span = excerpt.caret(index);
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
/// The first hundred are kept, which nobody reads to the end; the others are counted.
///
/// `{}` counts them (the title of a graphical report, which then shows each); `{:#}` lists them,
/// one a line.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    count: usize,
    /// There may be others, which were not looked for.
    is_partial: bool,
}

impl Diagnostics {
    /// The most that are kept.
    pub const KEPT: usize = 100;

    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, behind those of its text that start no later than it.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.push_with(|| diagnostic);
    }

    /// Adds one, which is only made if it is kept: where there are thousands of errors, making each takes long.
    pub fn push_with(&mut self, make: impl FnOnce() -> Diagnostic) {
        self.count += 1;
        if self.kept.len() == Self::KEPT {
            return;
        }
        let diagnostic = make();
        let same_text = |other: &Diagnostic| match (other.place(), diagnostic.place()) {
            (Some(a), Some(b)) => a.is_beside(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let start = |of: &Diagnostic| of.place().map(|place| place.span.start);
        let before = |other: &Diagnostic| same_text(other) && start(other) <= start(&diagnostic);
        let index = match self.kept.iter().rposition(before) {
            Some(index) => index + 1,
            None => self.kept.iter().position(same_text).unwrap_or(self.kept.len()),
        };
        self.kept.insert(index, diagnostic);
    }

    /// Adds all of `others`, those that are only counted included.
    pub fn append(&mut self, others: Diagnostics) {
        self.count += others.more();
        self.is_partial |= others.is_partial;
        others.kept.into_iter().for_each(|one| self.push(one));
    }

    /// Says that there may be others, which were not looked for.
    pub(crate) fn leave_off(&mut self) {
        self.is_partial = true;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many there are, those that are only counted included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How many are only counted.
    pub fn more(&self) -> usize {
        self.count - self.kept.len()
    }

    /// Each that is kept, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.kept.iter()
    }

    /// `value` if there are none, else all of them.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
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
        Self { kept: vec![diagnostic], count: 1, is_partial: false }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            for (index, diagnostic) in self.iter().enumerate() {
                let newline = if index == 0 { "" } else { "\n" };
                write!(f, "{newline}{diagnostic:#}")?;
            }
            return match self.more() {
                0 => Ok(()),
                1 => f.write_str("\nand 1 more error"),
                more => write!(f, "\nand {more} more errors"),
            };
        }
        let at_least = if self.is_partial { "at least " } else { "" };
        match self.len() {
            1 => write!(f, "{at_least}1 error"),
            count => write!(f, "{at_least}{count} errors"),
        }
    }
}

impl std::error::Error for Diagnostics {}

impl miette::Diagnostic for Diagnostics {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.iter().map(|one| one as _)))
    }
}
