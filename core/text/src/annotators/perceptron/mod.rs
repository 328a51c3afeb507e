//! `kind = "perceptron"`: tags learned from a treebank.

mod features;
mod file;
mod learn;
mod tagger;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::learn::Examples;
use self::tagger::{MOST_TAGS, Scratch, Tagger};
use crate::annotator::{Annotator, AnnotatorOptions, Learn};
use crate::conllu::{Column, Sentence, sentences};
use crate::corpus::Span;
use crate::error::{CorpusError, OptionError};
use crate::files::Files;
use crate::lines::{Lines, MaxDocumentBytes};
use crate::resolve::Context;
use crate::split::Words;

/// Gives words the tags that a treebank teaches, such as parts of speech: an averaged perceptron, which goes by a word,
/// its beginning and end, its neighbours, and the tags before it.
///
/// Text is read by words between white space and punctuation, and by sentences, which end at `.`, `!` and `?`. Both
/// `don 't`, as it is split here, and the `do n't` of treebanks are known.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerceptronOptions {
    /// The treebank to learn from, in CoNLL-U. What is looked at of it is held in memory.
    pub train: PathBuf,
    /// Another one, of which the share of right tags is told.
    pub valid: Option<PathBuf>,
    /// The column that holds the tags. It has 512 distinct ones at most.
    #[serde(default = "upos")]
    pub column: Column,
    /// How often the treebank is gone through.
    #[serde(default = "epochs")]
    pub epochs: NonZeroU32,
    /// Another seed takes the sentences in another order; the run's seed when not given.
    pub seed: Option<u64>,
}

fn upos() -> Column {
    Column::Upos
}

fn epochs() -> NonZeroU32 {
    const { NonZeroU32::new(8).expect("8 are some") }
}

/// The tag of words that a treebank gives none. What is tagged so has no span.
const NO_TAG: &str = "_";

impl AnnotatorOptions for PerceptronOptions {
    const KIND: &'static str = "perceptron";

    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Learn>, Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut find = |pointer: &str, path: &PathBuf| {
            let fault = |error| errors.push(OptionError { pointer: pointer.to_owned(), error });
            context.resolver.resolve_file(path).map_err(fault).ok()
        };
        let train = find("/train", &self.train);
        let valid = self.valid.as_ref().and_then(|path| find("/valid", path));
        let seed = self.seed.unwrap_or(context.seed);
        match train {
            Some(train) if errors.is_empty() => {
                Ok(Box::new(Treebank { train, valid, column: self.column, epochs: self.epochs, seed }))
            }
            _ => Err(errors),
        }
    }
}

#[derive(Debug)]
struct Treebank {
    train: PathBuf,
    valid: Option<PathBuf>,
    column: Column,
    epochs: NonZeroU32,
    seed: u64,
}

impl Treebank {
    /// Calls `visit` with the words and tags of each sentence of a file.
    fn read(
        &self,
        path: &Path,
        files: &dyn Files,
        stop: &dyn Fn() -> bool,
        mut visit: impl FnMut(&Sentence, &[(&str, &str)]) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        for sentence in sentences(Lines::open(path.to_owned(), MaxDocumentBytes::default(), files)?) {
            if stop() {
                return Err(CorpusError::Stopped);
            }
            let sentence = sentence?;
            let words = sentence.words.iter().map(|word| (word.form(), word.value(self.column).unwrap_or(NO_TAG)));
            visit(&sentence, &words.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// The share of the words of a file that get the tag which the file has for them.
    fn accuracy(
        &self,
        path: &Path,
        tagger: &Tagger,
        files: &dyn Files,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<f64>, CorpusError> {
        let (mut all, mut right) = (0_u64, 0_u64);
        let (mut scratch, mut found) = (Scratch::default(), Vec::new());
        self.read(path, files, stop, |_, sentence| {
            let words: Vec<&str> = sentence.iter().map(|(word, _)| *word).collect();
            found.clear();
            tagger.tag(&words, &mut scratch, &mut found);
            // What has no tag is no question.
            let asked = sentence.iter().zip(&found).filter(|((_, tag), _)| *tag != NO_TAG);
            for ((_, tag), found) in asked {
                all += 1;
                right += u64::from(tagger.tags[*found as usize] == *tag);
            }
            Ok(())
        })?;
        Ok((all > 0).then(|| right as f64 / all as f64))
    }
}

impl Learn for Treebank {
    fn files(&self) -> Vec<PathBuf> {
        [&self.train].into_iter().chain(&self.valid).cloned().collect()
    }

    fn recipe(&self) -> Value {
        let Self { column, epochs, seed, valid, .. } = self;
        let is_validated = valid.is_some();
        json!({ "kind": "perceptron", "column": column, "epochs": epochs, "seed": seed, "valid": is_validated })
    }

    fn learn(&self, files: &dyn Files, stop: &(dyn Fn() -> bool + Sync), folder: &Path) -> Result<Value, CorpusError> {
        let (mut examples, mut has_tag) = (Examples::default(), false);
        self.read(&self.train, files, stop, |sentence, words| {
            has_tag |= words.iter().any(|(_, tag)| *tag != NO_TAG);
            examples.push(words.iter().copied());
            match examples.tags() {
                ..=MOST_TAGS => Ok(()),
                _ => Err(CorpusError::TooManyTags {
                    path: self.train.clone(),
                    line: sentence.line,
                    column: self.column.name(),
                    most: MOST_TAGS,
                }),
            }
        })?;
        if examples.words() == 0 {
            return Err(CorpusError::Empty { split: "train".to_owned(), path: Some(self.train.clone()) });
        }
        if !has_tag {
            return Err(CorpusError::NoTags { path: self.train.clone(), column: self.column.name() });
        }
        let mut figures = json!({
            "sentences": examples.sentences(),
            "words": examples.words(),
            "tags": examples.tags(),
        });
        let tagger = learn::learn(examples, self.epochs.get(), self.seed, stop).ok_or(CorpusError::Stopped)?;
        if let Some(valid) = &self.valid {
            figures["valid_accuracy"] = json!(self.accuracy(valid, &tagger, files, stop)?);
        }
        file::write(&tagger, folder)?;
        Ok(figures)
    }

    fn load(&self, folder: &Path, files: &dyn Files) -> Result<Box<dyn Annotator>, CorpusError> {
        Ok(Box::new(Perceptron::of(file::read(folder, files)?)))
    }
}

/// A tagger at work on text.
struct Perceptron {
    tagger: Tagger,
    values: Vec<Arc<str>>,
    /// One a thread that tags, between two texts.
    scratch: Mutex<Vec<Scratch>>,
}

impl Perceptron {
    fn of(tagger: Tagger) -> Self {
        let values = tagger.tags.iter().map(|tag| tag.as_str().into()).collect();
        Self { tagger, values, scratch: Mutex::default() }
    }
}

impl Annotator for Perceptron {
    fn annotate(&self, text: &str) -> Vec<Span> {
        let pool = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = pool().pop().unwrap_or_default();
        let (mut words, mut places) = (Vec::new(), Vec::new());
        Words::Punctuation.for_each(text, |word, start, end| {
            words.push(word);
            places.push((start, end));
        });
        let mut tags = Vec::with_capacity(words.len());
        let mut rest = &words[..];
        while !rest.is_empty() {
            let (sentence, others) = rest.split_at(sentence_length(rest));
            self.tagger.tag(sentence, &mut scratch, &mut tags);
            rest = others;
        }
        pool().push(scratch);
        let spans = places.into_iter().zip(tags).map(|((start, end), tag)| {
            let value = Arc::clone(&self.values[tag as usize]);
            Span { start, end, value }
        });
        spans.filter(|span| &*span.value != NO_TAG).collect()
    }
}

/// The most words of a sentence: what is longer is a list, or a text without marks, and would be held whole.
const LONGEST: usize = 256;

/// The words of the first sentence of some: up to a `.`, `!` or `?`, and what closes there.
fn sentence_length(words: &[&str]) -> usize {
    let words = &words[..words.len().min(LONGEST)];
    let is_end = |word: &&str| matches!(*word, "." | "!" | "?");
    let is_closed = |word: &&str| matches!(*word, "\"" | "''" | "'" | ")" | "]" | "\u{201d}" | "\u{2019}");
    let Some(end) = words.iter().position(is_end) else { return words.len() };
    let marks = words[end..].iter().take_while(|word| is_end(word)).count();
    end + marks + words[end + marks..].iter().take_while(|word| is_closed(word)).count()
}
