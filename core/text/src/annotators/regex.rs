//! `kind = "regex"`: what patterns match.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::annotator::{Annotator, AnnotatorOptions, Learn, Scalars};
use crate::corpus::Span;
use crate::error::{CorpusError, OptionError};
use crate::files::Files;
use crate::resolve::Context;
use crate::splits::pointer;

/// Gives what a pattern matches the pattern's name.
///
/// Of two matches that overlap, the one that starts first counts, and the pattern that is written first where both start
/// at one place. Patterns are those of Rust's `regex`, without look-around and back references. The time of one match grows
/// with the text that it looks at, so a pattern such as `.*[^A-Z]`, which looks to the end of its line at each place, takes the
/// square of the line's length.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegexOptions {
    /// The values, and what each is given to: `patterns = { year = "[12][0-9]{3}", number = "[0-9]+" }`.
    pub patterns: IndexMap<String, String>,
}

impl AnnotatorOptions for RegexOptions {
    const KIND: &'static str = "regex";

    fn open(&self, _: &Context<'_>) -> Result<Box<dyn Learn>, Vec<OptionError>> {
        let of_table = |error| vec![OptionError { pointer: "/patterns".to_owned(), error }];
        if self.patterns.is_empty() {
            return Err(of_table(CorpusError::NoPattern));
        }
        let fault = |(name, pattern): (&String, &String)| {
            let error = match Regex::new(pattern) {
                Err(error) => CorpusError::Pattern { message: message(&error) },
                Ok(_) if matches_nothing(pattern) => CorpusError::MatchesNothing,
                Ok(_) => return None,
            };
            Some(OptionError { pointer: pointer(&["patterns", name]), error })
        };
        let faults: Vec<OptionError> = self.patterns.iter().filter_map(fault).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let patterns: Vec<&String> = self.patterns.values().collect();
        // Each of them may be small enough, and all of them not.
        let regex =
            Regex::new_many(&patterns).map_err(|error| of_table(CorpusError::Pattern { message: message(&error) }))?;
        let names = self.patterns.keys().map(|name| name.as_str().into()).collect();
        Ok(Box::new(Patterns { regex, names, patterns: self.patterns.clone().into_iter().collect() }))
    }
}

/// Whether a pattern matches nothing, such as `\bno[a&&b]`, or the empty text alone, such as `^`.
fn matches_nothing(pattern: &str) -> bool {
    syntax::parse(pattern).is_ok_and(|parsed| {
        let lengths = parsed.properties();
        lengths.minimum_len().is_none() || lengths.maximum_len() == Some(0)
    })
}

/// What is wrong with a pattern: of syntax, where.
fn message(error: &regex_automata::meta::BuildError) -> String {
    error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string)
}

#[derive(Debug, Clone)]
struct Patterns {
    regex: Regex,
    names: Vec<Arc<str>>,
    patterns: Vec<(String, String)>,
}

impl Learn for Patterns {
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn recipe(&self) -> Value {
        // As a list, because the order counts.
        json!({ "kind": "regex", "patterns": self.patterns })
    }

    fn learn(&self, _: &dyn Files, _: &(dyn Fn() -> bool + Sync), _: &Path) -> Result<Value, CorpusError> {
        Ok(json!({ "patterns": self.names.len() }))
    }

    fn load(&self, _: &Path, _: &dyn Files) -> Result<Box<dyn Annotator>, CorpusError> {
        Ok(Box::new(self.clone()))
    }
}

impl Annotator for Patterns {
    fn annotate(&self, text: &str) -> Vec<Span> {
        let mut scalars = Scalars::of(text);
        let found = self.regex.find_iter(text).filter_map(|found| {
            let stands = &text[found.range()];
            let start = found.start() + stands.len() - stands.trim_start().len();
            let stands = stands.trim();
            // A match of nothing, or of white space, is at no place of the text.
            (!stands.is_empty()).then(|| Span {
                start: scalars.before(start),
                end: scalars.before(start + stands.len()),
                value: Arc::clone(&self.names[found.pattern().as_usize()]),
            })
        });
        found.collect()
    }
}
