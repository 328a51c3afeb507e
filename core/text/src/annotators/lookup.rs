//! `kind = "lookup"`: values of words from a list.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::annotator::{Annotator, AnnotatorOptions, Learn};
use crate::corpus::Span;
use crate::error::{CorpusError, LookupFault, OptionError};
use crate::files::Files;
use crate::lines::{Lines, MaxDocumentBytes};
use crate::resolve::Context;
use crate::split::Words;

/// Gives words the values that a file lists for them.
///
/// A line of the file is a word, or a word, a tab and its value; blank lines are skipped. Words are looked for as they are
/// written, between white space and punctuation: `don't` and `well-known` can be listed, and so can `bad`, which is found
/// in `(bad)`. Of several that begin at one place, the longest counts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupOptions {
    /// The file of the list.
    pub file: PathBuf,
    /// The value of words that stand in the file without one.
    pub value: Option<String>,
    /// Whether words are compared in small letters, those of the list too.
    #[serde(default)]
    pub lowercase: bool,
    /// The value of words that are not listed; without it they have none.
    pub default: Option<String>,
}

impl AnnotatorOptions for LookupOptions {
    const KIND: &'static str = "lookup";

    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Learn>, Vec<OptionError>> {
        match context.resolver.resolve_file(&self.file) {
            Ok(file) => Ok(Box::new(List { options: self.clone(), file })),
            Err(error) => Err(vec![OptionError { pointer: "/file".to_owned(), error }]),
        }
    }
}

#[derive(Debug)]
struct List {
    options: LookupOptions,
    file: PathBuf,
}

impl List {
    fn read(&self, files: &dyn Files) -> Result<Lookup, CorpusError> {
        let LookupOptions { value, lowercase, default, .. } = &self.options;
        let mut table: HashMap<Box<str>, (Arc<str>, u64)> = HashMap::new();
        // Many words have few values.
        let mut values: HashMap<Box<str>, Arc<str>> = HashMap::new();
        let mut longest = 0;
        for line in Lines::open(self.file.clone(), MaxDocumentBytes::default(), files)? {
            let (number, line) = line?;
            let fault = |fault| Err(CorpusError::Lookup { path: self.file.clone(), line: number, fault });
            if line.trim().is_empty() {
                continue;
            }
            let mut fields = line.split('\t').map(str::trim);
            let word = fields.next().unwrap_or_default();
            let given = fields.next().filter(|given| !given.is_empty());
            if word.is_empty() || word.contains(char::is_whitespace) || fields.next().is_some() {
                return fault(LookupFault::Line { line });
            }
            let Some(value) = given.or(value.as_deref()) else {
                return fault(LookupFault::NoValue { word: word.to_owned() });
            };
            let value = Arc::clone(values.entry(value.into()).or_insert_with(|| value.into()));
            let word: Box<str> = if *lowercase { word.to_lowercase().into() } else { word.into() };
            let mut parts = 0;
            Words::Punctuation.for_each(&word, |_, _, _| parts += 1);
            longest = longest.max(parts);
            match table.get(&word) {
                Some((known, first)) if *known != value => {
                    let (first, known) = (*first, known.to_string());
                    let fault_of = LookupFault::Twice { word: word.into(), value: value.to_string(), known, first };
                    return fault(fault_of);
                }
                Some(_) => {}
                None => {
                    table.insert(word, (value, number));
                }
            }
        }
        if table.is_empty() {
            return Err(CorpusError::Lookup { path: self.file.clone(), line: 1, fault: LookupFault::Empty });
        }
        let table = table.into_iter().map(|(word, (value, _))| (word, value)).collect();
        Ok(Lookup { table, longest, lowercase: *lowercase, default: default.as_deref().map(Arc::from) })
    }
}

impl Learn for List {
    fn files(&self) -> Vec<PathBuf> {
        vec![self.file.clone()]
    }

    fn recipe(&self) -> Value {
        let LookupOptions { value, lowercase, default, .. } = &self.options;
        json!({ "kind": "lookup", "value": value, "lowercase": lowercase, "default": default })
    }

    fn learn(&self, files: &dyn Files, _: &(dyn Fn() -> bool + Sync), _: &Path) -> Result<Value, CorpusError> {
        Ok(json!({ "words": self.read(files)?.table.len() }))
    }

    fn load(&self, _: &Path, files: &dyn Files) -> Result<Box<dyn Annotator>, CorpusError> {
        Ok(Box::new(self.read(files)?))
    }
}

struct Lookup {
    table: HashMap<Box<str>, Arc<str>>,
    /// The most words, between punctuation, that one of the list has.
    longest: usize,
    lowercase: bool,
    default: Option<Arc<str>>,
}

impl Lookup {
    fn value(&self, stands: &str) -> Option<&Arc<str>> {
        if self.lowercase { self.table.get(&*stands.to_lowercase()) } else { self.table.get(stands) }
    }
}

impl Annotator for Lookup {
    fn annotate(&self, text: &str) -> Vec<Span> {
        let mut words: Vec<(&str, u32, u32)> = Vec::new();
        Words::Punctuation.for_each(text, |word, start, end| words.push((word, start, end)));
        let mut spans = Vec::new();
        let mut rest = &words[..];
        while let Some(&(first, start, end)) = rest.first() {
            // What of the words ahead stands without white space between.
            let joined = rest.windows(2).take(self.longest.saturating_sub(1)).take_while(|pair| pair[0].2 == pair[1].1);
            let most = 1 + joined.count();
            let several = |count: usize| rest[..count].iter().map(|(word, _, _)| *word).collect::<String>();
            let longer = (2..=most).rev().find_map(|count| Some((count, self.value(&several(count))?)));
            let found = longer.or_else(|| Some((1, self.value(first)?)));
            let (count, value) = match found {
                Some((count, value)) => (count, Some(value)),
                None => (1, self.default.as_ref()),
            };
            let end = rest.get(count - 1).map_or(end, |last| last.2);
            spans.extend(value.map(|value| Span { start, end, value: Arc::clone(value) }));
            rest = &rest[count..];
        }
        spans
    }
}
