//! Sentences of a treebank in CoNLL-U: their words, and where each stands in the text that they make.
//!
//! The corpus format `conllu` and whatever learns from tagged words read treebanks through this one reader.

use std::ops::Range;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{CorpusError, FIELDS, TreebankFault};
use crate::lines::Lines;

/// What a treebank may say of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Column {
    /// Its base form.
    Lemma,
    /// Its part of speech, of the seventeen that all languages share.
    Upos,
    /// Its part of speech, as its language has them.
    Xpos,
    /// Its features, `Case=Nom|Number=Sing`.
    Feats,
    /// What it is to the word that it depends on.
    Deprel,
}

impl Column {
    pub(crate) const ALL: [Self; 5] = [Self::Lemma, Self::Upos, Self::Xpos, Self::Feats, Self::Deprel];

    /// What treebanks, and our options, call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lemma => "lemma",
            Self::Upos => "upos",
            Self::Xpos => "xpos",
            Self::Feats => "feats",
            Self::Deprel => "deprel",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Lemma => 2,
            Self::Upos => 3,
            Self::Xpos => 4,
            Self::Feats => 5,
            Self::Deprel => 7,
        }
    }
}

const FORM: usize = 1;
const MISC: usize = 9;

/// A line of ten fields that is known to be one.
#[derive(Clone, Debug)]
struct Row(String);

impl Row {
    fn field(&self, index: usize) -> &str {
        self.0.split('\t').nth(index).unwrap_or_default().trim()
    }

    fn is_space_after(&self) -> bool {
        !self.field(MISC).split('|').any(|feature| feature == "SpaceAfter=No")
    }
}

/// A syntactic word: what a treebank has tags for.
#[derive(Clone, Debug)]
pub(crate) struct Word(Row);

impl Word {
    /// As it is written; never empty.
    pub(crate) fn form(&self) -> &str {
        self.0.field(FORM)
    }

    /// What the treebank says of it; nothing where it has `_`.
    pub(crate) fn value(&self, column: Column) -> Option<&str> {
        let value = self.0.field(column.index());
        // An underscore that is written in the text has that for its lemma.
        let is_itself = column == Column::Lemma && self.form() == "_";
        (!value.is_empty() && (value != "_" || is_itself)).then_some(value)
    }
}

/// A token that is written as one and stands for several words: `3-4 don't`.
#[derive(Clone, Debug)]
struct Surface {
    row: Row,
    /// Its words, by index.
    words: Range<usize>,
}

/// A stretch of a sentence's text, and the words that are written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its first Unicode scalar, and one past its last.
    pub(crate) place: Range<u32>,
    /// One word; or several, by index, where no part of the stretch is any single one's.
    pub(crate) words: Range<usize>,
}

/// A sentence: one word at least.
#[derive(Clone, Debug)]
pub(crate) struct Sentence {
    /// The first of its lines, comments included, from 1.
    pub(crate) line: u64,
    /// The bytes of all its lines.
    pub(crate) bytes: u64,
    comments: Vec<String>,
    /// Its words in order, those of `don't` apart and those that nobody wrote left out.
    pub(crate) words: Vec<Word>,
    surfaces: Vec<Surface>,
}

impl Sentence {
    /// The values of its comments `# key = value`, and nothing for the value of `# key`.
    pub(crate) fn comment(&self, key: &str) -> Option<&str> {
        let found = |comment: &String| {
            let (name, value) = comment.split_once('=').unwrap_or((comment, ""));
            (name.trim() == key).then(|| comment.len() - value.len())
        };
        self.comments.iter().find_map(|comment| found(comment).map(|at| comment[at..].trim()))
    }

    /// Whether another sentence may follow its last word only after a space.
    pub(crate) fn is_space_after(&self) -> bool {
        match (self.surfaces.last(), self.words.last()) {
            (Some(Surface { row, words }), _) if words.end == self.words.len() => row.is_space_after(),
            (_, Some(Word(row))) => row.is_space_after(),
            (_, None) => true,
        }
    }

    /// Writes its text behind `text`, of so many Unicode scalars: the tokens as they are written, with a space after
    /// each but those of `SpaceAfter=No` and the last. Gives the stretches in order; they do not overlap.
    pub(crate) fn write(&self, text: &mut String, scalars: &mut u32) -> Vec<Stretch> {
        let mut stretches = Vec::with_capacity(self.words.len());
        let mut surfaces = self.surfaces.iter().peekable();
        let mut word = 0;
        while let Some(Word(row)) = self.words.get(word) {
            let surface = surfaces.next_if(|surface| surface.words.start == word);
            let (row, words) = match surface {
                Some(Surface { row, words }) => (row, words.clone()),
                None => (row, word..word + 1),
            };
            let start = *scalars;
            put(text, scalars, row.field(FORM));
            if self.words[words.clone()].iter().flat_map(|word| word.form().chars()).eq(row.field(FORM).chars()) {
                let mut at = start;
                stretches.extend(words.clone().map(|word| {
                    let start = at;
                    at += self.words[word].form().chars().count() as u32;
                    Stretch { place: start..at, words: word..word + 1 }
                }));
            } else {
                stretches.push(Stretch { place: start..*scalars, words: words.clone() });
            }
            word = words.end;
            if word < self.words.len() && row.is_space_after() {
                put(text, scalars, " ");
            }
        }
        stretches
    }
}

/// Writes a part of a text that counts its scalars; it has no more of them than a `u32` counts, as a line has not.
pub(crate) fn put(text: &mut String, scalars: &mut u32, part: &str) {
    text.push_str(part);
    *scalars += part.chars().count() as u32;
}

/// The sentences of these lines. After an error there are none.
pub(crate) fn sentences(lines: Lines) -> Sentences {
    Sentences { lines, ended: false }
}

/// The sentences of a treebank, one in memory at a time.
pub(crate) struct Sentences {
    lines: Lines,
    ended: bool,
}

impl Iterator for Sentences {
    type Item = Result<Sentence, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let sentence = self.read().transpose();
        self.ended = !matches!(sentence, Some(Ok(_)));
        sentence
    }
}

impl Sentences {
    pub(crate) fn path(&self) -> &PathBuf {
        self.lines.path()
    }

    fn read(&mut self) -> Result<Option<Sentence>, CorpusError> {
        let mut building: Option<Building> = None;
        while let Some((line, text)) = self.lines.next().transpose()? {
            if text.trim().is_empty() {
                match building {
                    Some(building) => return self.close(building).map(Some),
                    None => continue,
                }
            }
            let building = building.get_or_insert_with(|| Building::at(line));
            building.add(line, text).map_err(|fault| self.fault(line, fault))?;
            // A document of a treebank is a sentence at least.
            if building.sentence.bytes > self.lines.most() {
                return Err(self.fault(building.sentence.line, TreebankFault::TooLong { max: self.lines.most() }));
            }
        }
        building.map(|building| self.close(building)).transpose()
    }

    fn close(&self, building: Building) -> Result<Sentence, CorpusError> {
        building.close().map_err(|(line, fault)| self.fault(line, fault))
    }

    pub(crate) fn fault(&self, line: u64, fault: TreebankFault) -> CorpusError {
        CorpusError::Treebank { path: self.path().clone(), line, fault }
    }
}

/// A sentence of which more lines may come.
struct Building {
    sentence: Sentence,
    /// The empty nodes since the last word: `8.1`, `8.2`.
    empty: u64,
    /// The line of the last token of several words.
    surface_line: u64,
}

impl Building {
    fn at(line: u64) -> Self {
        let sentence = Sentence { line, bytes: 0, comments: Vec::new(), words: Vec::new(), surfaces: Vec::new() };
        Self { sentence, empty: 0, surface_line: 0 }
    }

    fn add(&mut self, line: u64, text: String) -> Result<(), TreebankFault> {
        let sentence = &mut self.sentence;
        sentence.bytes += text.len() as u64;
        if let Some(comment) = text.strip_prefix('#') {
            if !sentence.words.is_empty() || !sentence.surfaces.is_empty() || self.empty > 0 {
                return Err(TreebankFault::Comment);
            }
            sentence.comments.push(comment.trim().to_owned());
            return Ok(());
        }
        let found = text.split('\t').count();
        if found != FIELDS {
            let spaced = text.split_whitespace().count() == FIELDS;
            return Err(TreebankFault::Fields { found, spaced });
        }
        let row = Row(text);
        let id = row.field(0);
        let known = sentence.words.len() as u64;
        let out_of_order = || TreebankFault::Order { id: id.to_owned(), next: known + 1 };
        if let Some((node, empty)) = id.split_once('.') {
            if number(node, id)? != known || number(empty, id)? != self.empty + 1 {
                return Err(out_of_order());
            }
            self.empty += 1;
            return Ok(());
        }
        if row.field(FORM).is_empty() {
            return Err(TreebankFault::Form);
        }
        if let Some((first, last)) = id.split_once('-') {
            let (first, last) = (number(first, id)?, number(last, id)?);
            let last_known = sentence.surfaces.last().map_or(0, |surface| surface.words.end as u64);
            if first <= last_known {
                return Err(TreebankFault::Overlap { id: id.to_owned() });
            }
            if first != known + 1 {
                return Err(out_of_order());
            }
            if last <= first {
                return Err(TreebankFault::Range { id: id.to_owned() });
            }
            // No sentence that fits into memory has as many.
            let end = usize::try_from(last).map_err(|_| out_of_order())?;
            self.surface_line = line;
            sentence.surfaces.push(Surface { row, words: sentence.words.len()..end });
            return Ok(());
        }
        if number(id, id)? != known + 1 {
            return Err(out_of_order());
        }
        self.empty = 0;
        sentence.words.push(Word(row));
        Ok(())
    }

    fn close(self) -> Result<Sentence, (u64, TreebankFault)> {
        let sentence = self.sentence;
        match sentence.surfaces.last() {
            Some(surface) if surface.words.end > sentence.words.len() => {
                let (id, last) = (surface.row.field(0).to_owned(), sentence.words.len());
                Err((self.surface_line, TreebankFault::Beyond { id, last }))
            }
            _ if sentence.words.is_empty() => Err((sentence.line, TreebankFault::NoWords)),
            _ => Ok(sentence),
        }
    }
}

/// A part of an id.
fn number(part: &str, id: &str) -> Result<u64, TreebankFault> {
    let fault = || TreebankFault::Id { id: id.to_owned() };
    let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
    part.parse().ok().filter(|_| is_number).ok_or_else(fault)
}

#[cfg(test)]
mod tests;
