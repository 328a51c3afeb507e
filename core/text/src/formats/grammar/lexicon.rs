//! The lexicon of a domain: its words with their forms.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;

use super::words::{self, Common, Praise, RawTopic};

/// What generated documents are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Baking, soups, vegetables and dining.
    Kitchen,
    /// Fishing, cargo, repairs and voyages.
    Harbour,
}

impl Domain {
    /// As pipelines write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kitchen => "kitchen",
            Self::Harbour => "harbour",
        }
    }
}

/// What a pronoun says of the noun that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gender {
    She,
    He,
    /// A person of either sex.
    Either,
    It,
}

#[derive(Debug)]
pub(super) struct Noun {
    pub singular: String,
    pub plural: String,
    pub gender: Gender,
    /// Of a place: where something is that is there.
    pub preposition: &'static str,
}

#[derive(Debug)]
pub(super) struct Verb {
    pub base: String,
    /// Third person singular, present.
    pub third: String,
    pub past: String,
}

/// Words that carry one sentiment.
#[derive(Debug)]
pub(super) struct Sentiment {
    pub things: Vec<&'static str>,
    pub people: Vec<&'static str>,
    pub manners: Vec<&'static str>,
    pub acts: Vec<Verb>,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub name: &'static str,
    pub things: Vec<Noun>,
    pub acts: Vec<Verb>,
    pub events: Vec<Verb>,
    pub qualities: Vec<&'static str>,
    pub places: Vec<Noun>,
    pub good: Vec<&'static str>,
    pub bad: Vec<&'static str>,
}

#[derive(Debug)]
pub(super) struct Lexicon {
    pub people: Vec<Noun>,
    pub names: Vec<(&'static str, Gender)>,
    pub places: Vec<Noun>,
    pub qualities: Vec<&'static str>,
    pub traits: Vec<&'static str>,
    pub acts: Vec<Verb>,
    pub deeds: Vec<Verb>,
    pub reports: Vec<Verb>,
    pub motions: Vec<Verb>,
    pub links: Vec<Verb>,
    pub good: Sentiment,
    pub bad: Sentiment,
    pub topics: Vec<Topic>,
}

pub(super) fn of(domain: Domain) -> &'static Lexicon {
    static KITCHEN: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::new(&words::KITCHEN, &words::KITCHEN_TOPICS));
    static HARBOUR: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::new(&words::HARBOUR, &words::HARBOUR_TOPICS));
    match domain {
        Domain::Kitchen => &KITCHEN,
        Domain::Harbour => &HARBOUR,
    }
}

impl Lexicon {
    /// The domain's own words are the more frequent ones, then come those it shares.
    fn new(own: &'static Common, topics: &'static [RawTopic]) -> Self {
        let both = |list: fn(&'static Common) -> &'static str| [list(own), list(&words::SHARED)];
        let kinds =
            [(both(|c| c.people), Gender::Either), (both(|c| c.women), Gender::She), (both(|c| c.men), Gender::He)];
        let names = [(both(|c| c.women_named), Gender::She), (both(|c| c.men_named), Gender::He)];
        Self {
            people: kinds.into_iter().flat_map(|(lists, gender)| nouns(lists, gender)).collect(),
            names: names.into_iter().flat_map(|(lists, gender)| plain(lists).map(move |name| (name, gender))).collect(),
            places: nouns(both(|c| c.places), Gender::It).collect(),
            qualities: plain(both(|c| c.qualities)).collect(),
            traits: plain(both(|c| c.traits)).collect(),
            acts: verbs(both(|c| c.acts)).collect(),
            deeds: verbs(both(|c| c.deeds)).collect(),
            reports: verbs([words::REPORTS]).collect(),
            motions: verbs([words::MOTIONS]).collect(),
            links: verbs([words::LINKS]).collect(),
            good: Sentiment::new([&own.good, &words::SHARED.good]),
            bad: Sentiment::new([&own.bad, &words::SHARED.bad]),
            topics: topics.iter().map(Topic::new).collect(),
        }
    }
}

impl Sentiment {
    fn new(from: [&'static Praise; 2]) -> Self {
        Self {
            things: plain(from.map(|praise| praise.things)).collect(),
            people: plain(from.map(|praise| praise.people)).collect(),
            manners: plain(from.map(|praise| praise.manners)).collect(),
            acts: verbs(from.map(|praise| praise.acts)).collect(),
        }
    }
}

impl Topic {
    fn new(raw: &'static RawTopic) -> Self {
        Self {
            name: raw.name,
            things: nouns([raw.things], Gender::It).collect(),
            acts: verbs([raw.acts]).collect(),
            events: verbs([raw.events]).collect(),
            qualities: plain([raw.qualities]).collect(),
            places: nouns([raw.places], Gender::It).collect(),
            good: plain([raw.good]).collect(),
            bad: plain([raw.bad]).collect(),
        }
    }
}

fn plain<const N: usize>(lists: [&'static str; N]) -> impl Iterator<Item = &'static str> {
    lists.into_iter().flat_map(str::split_whitespace)
}

fn nouns<const N: usize>(lists: [&'static str; N], gender: Gender) -> impl Iterator<Item = Noun> {
    plain(lists).map(move |entry| {
        let (forms, preposition) = entry.split_once(':').unwrap_or((entry, ""));
        let (singular, plural) = match forms.split_once('/') {
            Some((singular, plural)) => (singular, plural.to_owned()),
            None => (forms, with_s(forms)),
        };
        Noun { singular: singular.to_owned(), plural, gender, preposition }
    })
}

fn verbs<const N: usize>(lists: [&'static str; N]) -> impl Iterator<Item = Verb> {
    plain(lists).map(|entry| {
        let mut forms = entry.split('/').map(str::to_owned);
        let base = forms.next().unwrap_or_default();
        let third = forms.next().unwrap_or_else(|| with_s(&base));
        let past = forms.next().unwrap_or_else(|| with_ed(&base));
        Verb { base, third, past }
    })
}

/// The regular plural of a noun and third person of a verb.
fn with_s(word: &str) -> String {
    match y_stem(word) {
        Some(stem) => format!("{stem}ies"),
        None if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) => format!("{word}es"),
        None => format!("{word}s"),
    }
}

/// The regular past of a verb.
fn with_ed(word: &str) -> String {
    match y_stem(word) {
        Some(stem) => format!("{stem}ied"),
        None if word.ends_with('e') => format!("{word}d"),
        None => format!("{word}ed"),
    }
}

/// What stands before a final `y` that turns into `i`.
fn y_stem(word: &str) -> Option<&str> {
    word.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']))
}
