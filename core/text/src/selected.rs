//! The options that corpora of every format have: which documents are left, in which order, and what is done to their
//! texts. A corpus with any of them is another corpus around the one that its format opened, which knows nothing of it.

use std::collections::BinaryHeap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_plugin::random::Stream;

use crate::corpus::{Corpus, Document, Documents, stream};
use crate::error::{CorpusError, OptionError};
use crate::files::Files;
use crate::normalize::Step;
use crate::resolve::Context;
use crate::spill::Spill;

/// The options of every format.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selection {
    /// The most documents of each split: the first ones, or with `shuffle` as many drawn at random.
    pub limit: Option<NonZeroU64>,
    /// Whether the documents of each split come in an order that the run's seed draws. They are put aside on the disk
    /// meanwhile, in the folder that TMPDIR names.
    pub shuffle: bool,
    /// Documents of fewer characters (Unicode scalars of the text, as `normalize` leaves it) are left out.
    pub min_characters: Option<NonZeroU32>,
    /// Documents of more characters are left out.
    pub max_characters: Option<NonZeroU32>,
    /// What is done to each text, one step after the other. Places are then counted in what comes out, not in the file,
    /// and a document without a text left is left out.
    pub normalize: Vec<Step>,
}

impl Selection {
    /// The keys of a corpus's table that are these and not its format's.
    pub(crate) const KEYS: [&str; 5] = ["limit", "shuffle", "min_characters", "max_characters", "normalize"];

    /// The corpus with these options.
    ///
    /// # Errors
    /// Those that do not go together, or not with the corpus.
    pub(crate) fn around(
        self,
        corpus: Box<dyn Corpus>,
        context: &Context<'_>,
    ) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let mut errors = Vec::new();
        if let (Some(min), Some(max)) = (self.min_characters, self.max_characters)
            && min > max
        {
            let error = CorpusError::Bounds { min: min.get(), max: max.get() };
            errors.push(OptionError { pointer: "/max_characters".to_owned(), error });
        }
        let layer = corpus.layers().into_iter().find(|layer| layer != "label");
        for (at, Step(step)) in self.normalize.iter().enumerate().filter(|(_, step)| !step.0.keeps_places) {
            if let Some(layer) = &layer {
                let error = CorpusError::Moved { step: step.name, layer: layer.clone() };
                errors.push(OptionError { pointer: format!("/normalize/{at}"), error });
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let Self { limit, shuffle, min_characters, max_characters, normalize } = &self;
        let is_whole = limit.is_none() && min_characters.is_none() && max_characters.is_none() && normalize.is_empty();
        if is_whole && !shuffle {
            return Ok(corpus);
        }
        Ok(Box::new(Selected { corpus, selection: self, seed: context.seed }))
    }

    /// The document as it is left, unless it is left out.
    fn select(&self, mut document: Document) -> Option<Document> {
        for Step(step) in &self.normalize {
            document.text = (step.apply)(&document.text);
        }
        if !self.normalize.is_empty() {
            document.indent = 0;
            let text = document.text.trim();
            if text.len() < document.text.len() {
                document.text = text.to_owned();
            }
        }
        // Steps that keep places keep the ends as well: nothing that is annotated was trimmed.
        let is_left = |min: Option<NonZeroU32>, max: Option<NonZeroU32>| {
            let length = document.text.chars().count() as u64;
            min.is_none_or(|min| length >= min.get().into()) && max.is_none_or(|max| length <= max.get().into())
        };
        let is_bound = self.min_characters.is_some() || self.max_characters.is_some();
        let is_left = !document.text.is_empty() && (!is_bound || is_left(self.min_characters, self.max_characters));
        is_left.then_some(document)
    }

    /// The options that can leave a document out, for a message.
    fn leaving_out(&self) -> Vec<&'static str> {
        let all = [
            ("min_characters", self.min_characters.is_some()),
            ("max_characters", self.max_characters.is_some()),
            ("normalize", !self.normalize.is_empty()),
        ];
        all.into_iter().filter_map(|(option, is_given)| is_given.then_some(option)).collect()
    }
}

/// A corpus of which some documents are left.
struct Selected {
    corpus: Box<dyn Corpus>,
    selection: Selection,
    seed: u64,
}

impl Corpus for Selected {
    fn splits(&self) -> Vec<String> {
        self.corpus.splits()
    }

    fn layers(&self) -> Vec<String> {
        self.corpus.layers()
    }

    fn no_layer(&self, layer: &str) -> Option<String> {
        self.corpus.no_layer(layer)
    }

    fn files(&self, split: &str) -> Vec<PathBuf> {
        self.corpus.files(split)
    }

    fn recipe(&self, split: &str) -> Value {
        let Selection { limit, shuffle, min_characters, max_characters, normalize } = &self.selection;
        json!({
            "of": self.corpus.recipe(split),
            "limit": limit,
            "shuffle": shuffle.then_some(self.seed),
            "min_characters": min_characters,
            "max_characters": max_characters,
            "normalize": normalize,
        })
    }

    /// As it stands in its files: to shuffle is to read all of them.
    fn look(&self, split: &str) -> Result<(), CorpusError> {
        self.corpus.look(split)
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let mut all = All { documents: self.corpus.documents(split, files)?, selection: &self.selection };
        let none = CorpusError::NoneLeft { split: split.to_owned(), options: self.selection.leaving_out() };
        let limit = self.selection.limit.map_or(u64::MAX, NonZeroU64::get);
        if self.selection.shuffle {
            let mut shuffled = None;
            return Ok(stream(
                move || {
                    let documents = match &mut shuffled {
                        Some(documents) => documents,
                        none => none.insert(all.shuffled(limit, self.seed)?),
                    };
                    documents.next().transpose()
                },
                none,
            ));
        }
        let is_generated = self.files(split).is_empty();
        let mut given = 0;
        let next = move || {
            if given == limit {
                // What watches the files waits at their ends.
                return if is_generated { Ok(None) } else { all.skip() };
            }
            let document = all.next()?.map(|document| Document { id: given, ..document });
            given += 1;
            Ok(document)
        };
        Ok(stream(next, none))
    }
}

/// The documents of a split that are left.
struct All<'a> {
    documents: Documents<'a>,
    selection: &'a Selection,
}

impl<'a> All<'a> {
    fn next(&mut self) -> Result<Option<Document>, CorpusError> {
        for document in self.documents.by_ref() {
            if let Some(document) = self.selection.select(document?) {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    /// Reads what is there to its end, and gives nothing of it.
    fn skip(&mut self) -> Result<Option<Document>, CorpusError> {
        self.documents.try_for_each(|document| document.map(drop)).map(|()| None)
    }

    /// As many documents as there may be, in the order that a seed draws: each has a number that depends on the seed and its
    /// place in the file alone, and the smallest numbers are left. Whatever else is left out, their order is the same.
    fn shuffled(&mut self, limit: u64, seed: u64) -> Result<Documents<'a>, CorpusError> {
        let mut spill = Spill::new()?;
        let mut drawn = BinaryHeap::new();
        while let Some(document) = self.next()? {
            let drawing = (Stream::new(seed, "corpus.shuffle", document.id).next_u64(), document.id);
            if drawn.len() as u64 == limit {
                if drawn.peek().is_some_and(|&(most, _)| most < drawing) {
                    continue;
                }
                drawn.pop();
            }
            drawn.push((drawing, spill.push(&document)?));
        }
        let order = drawn.into_sorted_vec().into_iter().map(|(_, place)| place);
        Ok(Box::new(spill.read(order)?))
    }
}

#[cfg(test)]
mod tests;
