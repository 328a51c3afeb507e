//! `kind = "grammar"`: English of a small generated world, whose parts of speech and sentiment are known.

mod lexicon;
mod phrase;
mod sentence;
#[cfg(test)]
mod tests;
mod words;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use txray_plugin::random::Stream;

use self::lexicon::Domain;
use self::phrase::{Polarity, Writer};
use crate::corpus::{Annotation, Corpus, Document, Documents, Span};
use crate::error::{CorpusError, OptionError};
use crate::files::Files;
use crate::format::FormatOptions;
use crate::resolve::Context;
use crate::splits::unknown;

/// A generated corpus: small English of one of two domains, which share their grammar, their function words and some
/// of the others.
///
/// Every token has its part of speech (the layer `pos`, UPOS tags). A document has the label `positive` or
/// `negative`, which is drawn first and then shows in what is said of things and people. 5 to 20 documents in a row
/// are a group that keeps to one topic and to some favourite words.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrammarOptions {
    /// What the documents are about.
    pub domain: Domain,
    /// The documents of the split `train`, of about 35 tokens each; 1,000,000,000 at most.
    pub train: Option<NonZeroU64>,
    /// The documents of the split `valid`.
    pub valid: Option<NonZeroU64>,
    /// The documents of the split `test`.
    pub test: Option<NonZeroU64>,
    /// Another seed gives other documents; the run's seed when not given.
    pub seed: Option<u64>,
}

/// Tokens that a document has, about.
const TOKENS: u64 = 35;

/// Documents that a split has at most: more tokens than any model was trained on are a slip of the pen.
const MOST: u64 = 1_000_000_000;

impl FormatOptions for GrammarOptions {
    const KIND: &'static str = "grammar";

    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let sizes = [("train", self.train), ("valid", self.valid), ("test", self.test)];
        let sizes: Vec<_> = sizes.into_iter().filter_map(|(split, size)| Some((split, size?.get()))).collect();
        if sizes.is_empty() {
            return Err(vec![OptionError { pointer: String::new(), error: CorpusError::NoSplit }]);
        }
        let too_many = sizes.iter().filter(|(_, size)| *size > MOST).map(|&(split, documents)| OptionError {
            pointer: format!("/{split}"),
            error: CorpusError::TooMany { documents, tokens: documents.saturating_mul(TOKENS), most: MOST },
        });
        let too_many: Vec<OptionError> = too_many.collect();
        if !too_many.is_empty() {
            return Err(too_many);
        }
        Ok(Box::new(GrammarCorpus { domain: self.domain, sizes, seed: self.seed.unwrap_or(context.seed) }))
    }
}

struct GrammarCorpus {
    domain: Domain,
    sizes: Vec<(&'static str, u64)>,
    seed: u64,
}

impl Corpus for GrammarCorpus {
    fn splits(&self) -> Vec<String> {
        self.sizes.iter().map(|(split, _)| (*split).to_owned()).collect()
    }

    fn layers(&self) -> Vec<String> {
        vec!["pos".to_owned(), "label".to_owned()]
    }

    fn files(&self, _split: &str) -> Vec<PathBuf> {
        Vec::new()
    }

    fn recipe(&self, split: &str) -> Value {
        let size = self.sizes.iter().find(|(known, _)| *known == split).map(|(_, size)| size);
        json!({ "kind": "grammar", "domain": self.domain.name(), "split": split, "documents": size, "seed": self.seed })
    }

    fn documents<'a>(&'a self, split: &str, _: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let size = self.sizes.iter().find(|(known, _)| *known == split);
        let &(split, size) = size.ok_or_else(|| unknown(split, self.splits()))?;
        let groups = (0..).flat_map(move |index| {
            let (group, documents) = self.group(split, index);
            std::iter::repeat_n(Arc::new(group), documents)
        });
        Ok(Box::new((0..size).zip(groups).map(move |(id, group)| Ok(self.document(split, id, &group)))))
    }
}

/// What the documents of a group have in common.
struct Group {
    name: Arc<str>,
    topic: usize,
    /// Picks the word of each list that the group favours.
    favourite: u32,
}

impl GrammarCorpus {
    /// The random numbers of one thing: no document depends on how many others there are.
    fn stream(&self, split: &str, what: &str, index: u64) -> Stream {
        Stream::new(self.seed, &format!("corpus.grammar/{}/{split}/{what}", self.domain.name()), index)
    }

    /// A group, and how many documents it has.
    fn group(&self, split: &str, index: u64) -> (Group, usize) {
        let topics = &lexicon::of(self.domain).topics;
        let mut random = self.stream(split, "group", index);
        let topic = random.below(topics.len() as u32) as usize;
        let group =
            Group { name: format!("{} {index}", topics[topic].name).into(), topic, favourite: random.next_u32() };
        (group, 5 + random.below(16) as usize)
    }

    fn document(&self, split: &str, id: u64, group: &Group) -> Document {
        let mut random = self.stream(split, "document", id);
        let polarity = if random.below(2) == 0 { Polarity::Negative } else { Polarity::Positive };
        let tokens = Writer::new(random, lexicon::of(self.domain), group.topic, group.favourite, polarity).document();
        let mut text = String::new();
        let mut spans = Vec::with_capacity(tokens.len());
        for token in tokens {
            if !text.is_empty() {
                text.push(' ');
            }
            // All words are ASCII: bytes are Unicode scalars.
            let start = text.len() as u32;
            text.push_str(&token.word);
            spans.push(Span { start, end: text.len() as u32, value: token.tag.into() });
        }
        Document {
            id,
            text,
            group: Some(Arc::clone(&group.name)),
            label: Some(polarity.label().into()),
            annotations: vec![Annotation { layer: "pos".into(), spans }],
            ..Document::default()
        }
    }
}
