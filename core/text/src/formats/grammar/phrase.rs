//! Phrases: verbs and nouns in the forms that agree, and the random choices they are made of.

use std::borrow::Cow;

use txray_plugin::random::Stream;

use super::lexicon::{Gender, Lexicon, Noun, Sentiment, Topic, Verb};

/// The sentiment of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Polarity {
    Positive,
    Negative,
}

impl Polarity {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
        }
    }

    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Positive => Self::Negative,
            Self::Negative => Self::Positive,
        }
    }
}

/// A word or a punctuation mark, and its UPOS tag.
#[derive(Debug)]
pub(super) struct Token {
    pub word: Cow<'static, str>,
    pub tag: &'static str,
}

/// What a verb agrees with and a pronoun stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    pub plural: bool,
    pub gender: Gender,
}

/// A thing, which is spoken of in the words of its topic.
#[derive(Clone, Copy)]
pub(super) struct Thing {
    pub plural: bool,
    pub topic: &'static Topic,
}

const MODALS: [&str; 4] = ["can", "will", "must", "may"];
const FREQUENCIES: [&str; 5] = ["often", "always", "usually", "sometimes", "rarely"];
const NUMBERS: [&str; 3] = ["two", "three", "four"];
const BESIDE: [&str; 3] = ["near", "beside", "behind"];

/// Writes one document from left to right.
pub(super) struct Writer {
    pub random: Stream,
    pub lexicon: &'static Lexicon,
    /// The group's topic.
    pub topic: usize,
    /// Picks the word of each list that the group favours.
    pub favourite: u32,
    pub polarity: Polarity,
    pub past: bool,
    /// What people of either sex are called in this document.
    pub either: Gender,
    /// Who and what was spoken of last.
    pub person: Option<Subject>,
    pub thing: Option<Thing>,
    pub tokens: Vec<Token>,
}

impl Writer {
    pub(super) fn put(&mut self, word: &'static str, tag: &'static str) {
        self.tokens.push(Token { word: word.into(), tag });
    }

    // Verbs.

    /// A verb that agrees with its subject, or stands after an auxiliary that does.
    pub(super) fn verb(&mut self, verb: &'static Verb, plural: bool) {
        match self.random.below(20) {
            0..2 => {
                let modal = if self.past { "could" } else { self.pick(&MODALS) };
                self.put(modal, "AUX");
                self.put(&verb.base, "VERB");
            }
            2 => {
                self.put_do(plural);
                self.put("not", "PART");
                self.put(&verb.base, "VERB");
            }
            3..5 => {
                let frequency = self.pick(&FREQUENCIES);
                self.put(frequency, "ADV");
                self.finite(verb, plural);
            }
            _ => self.finite(verb, plural),
        }
    }

    pub(super) fn finite(&mut self, verb: &'static Verb, plural: bool) {
        let form = if self.past { &verb.past } else { by_number(plural, &verb.third, &verb.base) };
        self.put(form, "VERB");
    }

    pub(super) fn put_do(&mut self, plural: bool) {
        let form = if self.past { "did" } else { by_number(plural, "does", "do") };
        self.put(form, "AUX");
    }

    pub(super) fn put_be(&mut self, plural: bool) {
        let form = if self.past { by_number(plural, "was", "were") } else { by_number(plural, "is", "are") };
        self.put(form, "AUX");
    }

    // People.

    /// A name, a pronoun, or nouns with up to `depth` phrases in phrases.
    pub(super) fn person(&mut self, depth: u32) -> Subject {
        let last = self.person;
        let subject = match (last, self.random.below(20)) {
            (Some(person), 0..5) => {
                self.pronoun(person);
                person
            }
            (_, 5..9) => {
                let &(name, gender) = self.pick_entry(&self.lexicon.names);
                self.put(name, "PROPN");
                Subject { plural: false, gender }
            }
            (_, 9) => {
                self.person_noun(false, 0);
                self.put("and", "CCONJ");
                self.person_noun(false, 0);
                Subject { plural: true, gender: Gender::Either }
            }
            _ => {
                let plural = self.chance(0.4);
                self.person_noun(plural, depth)
            }
        };
        self.person = Some(subject);
        subject
    }

    pub(super) fn person_noun(&mut self, plural: bool, depth: u32) -> Subject {
        let adjective = self.chance(0.15).then(|| self.pick(&self.lexicon.traits));
        let noun = self.pick_entry(&self.lexicon.people);
        self.determined(noun, adjective, plural);
        match self.random.below(20) {
            0..2 if depth > 0 => {
                let preposition = self.pick(&BESIDE);
                self.put(preposition, "ADP");
                if self.chance(0.5) {
                    let plural = self.chance(0.5);
                    self.person_noun(plural, depth - 1);
                } else {
                    let topic = self.topic();
                    self.thing_noun(topic, None, depth - 1);
                }
            }
            2..4 if depth > 0 => {
                self.put("who", "PRON");
                if self.chance(0.5) {
                    let deed = self.pick_entry(&self.lexicon.deeds);
                    self.finite(deed, plural);
                    self.maybe_at(&self.lexicon.places, 0.4);
                } else {
                    let topic = self.topic();
                    let act = self.pick_entry(&topic.acts);
                    self.finite(act, plural);
                    self.thing_noun(topic, None, depth - 1);
                }
            }
            _ => {}
        }
        Subject { plural, gender: noun.gender }
    }

    pub(super) fn pronoun(&mut self, subject: Subject) {
        let gender = if subject.gender == Gender::Either { self.either } else { subject.gender };
        let pronoun = match gender {
            _ if subject.plural => "they",
            Gender::She | Gender::Either => "she",
            Gender::He => "he",
            Gender::It => "it",
        };
        self.put(pronoun, "PRON");
    }

    // Things.

    /// A thing that pronouns can then stand for.
    pub(super) fn thing(&mut self, topic: &'static Topic, adjective: Option<&'static str>, depth: u32) -> Thing {
        let plural = self.thing_noun(topic, adjective, depth);
        let thing = Thing { plural, topic };
        self.thing = Some(thing);
        thing
    }

    /// Whether it is plural.
    fn thing_noun(&mut self, topic: &'static Topic, adjective: Option<&'static str>, depth: u32) -> bool {
        let plural = self.chance(0.4);
        let noun = self.pick_entry(&topic.things);
        self.determined(noun, adjective, plural);
        match self.random.below(20) {
            0..3 if depth > 0 => {
                let preposition = self.pick(&BESIDE);
                self.put(preposition, "ADP");
                self.thing_noun(topic, None, depth - 1);
            }
            3..5 if depth > 0 => {
                self.put("that", "PRON");
                let plural = self.chance(0.4);
                let subject = self.person_noun(plural, 0);
                let act = self.pick_entry(&topic.acts);
                self.finite(act, subject.plural);
            }
            _ => {}
        }
        plural
    }

    pub(super) fn object(&mut self, topic: &'static Topic, adjective: Option<&'static str>) {
        let last = self.thing;
        match last {
            Some(thing) if adjective.is_none() && self.chance(0.12) => {
                self.put(by_number(thing.plural, "it", "them"), "PRON");
            }
            _ => {
                self.thing(topic, adjective, 1);
            }
        }
    }

    pub(super) fn quality(&mut self, topic: &'static Topic, chance: f32) -> Option<&'static str> {
        let list = if self.chance(0.6) { &topic.qualities } else { &self.lexicon.qualities };
        self.chance(chance).then(|| self.pick(list))
    }

    /// An adjective with a sentiment, for things of a topic.
    pub(super) fn praise(&mut self, topic: &'static Topic, polarity: Polarity) -> &'static str {
        let own = match polarity {
            Polarity::Positive => &topic.good,
            Polarity::Negative => &topic.bad,
        };
        let list = if self.chance(0.6) { own } else { &self.sentiment(polarity).things };
        self.pick(list)
    }

    // Nouns and places.

    fn determined(&mut self, noun: &'static Noun, adjective: Option<&'static str>, plural: bool) {
        match (plural, self.random.below(20)) {
            (false, 0..6) => self.article(adjective.unwrap_or(&noun.singular)),
            (false, 6) => self.put("every", "DET"),
            (false, 7) => self.put("this", "DET"),
            (true, 0..2) => self.put("some", "DET"),
            (true, 2) => self.put("many", "ADJ"),
            (true, 3) => self.put("several", "ADJ"),
            (true, 4) => self.put("these", "DET"),
            (true, 5..7) => {
                let number = self.pick(&NUMBERS);
                self.put(number, "NUM");
            }
            _ => self.put("the", "DET"),
        }
        self.described(noun, adjective, plural);
    }

    pub(super) fn described(&mut self, noun: &'static Noun, adjective: Option<&'static str>, plural: bool) {
        if let Some(adjective) = adjective {
            self.put(adjective, "ADJ");
        }
        self.put(by_number(plural, &noun.singular, &noun.plural), "NOUN");
    }

    pub(super) fn article(&mut self, before: &str) {
        let vowel = before.starts_with(['a', 'e', 'i', 'o', 'u']);
        self.put(if vowel { "an" } else { "a" }, "DET");
    }

    pub(super) fn maybe_at(&mut self, places: &'static [Noun], chance: f32) {
        if self.chance(chance) {
            self.at(places);
        }
    }

    pub(super) fn at(&mut self, places: &'static [Noun]) {
        let place = self.pick_entry(places);
        self.put(place.preposition, "ADP");
        self.put("the", "DET");
        self.put(&place.singular, "NOUN");
    }

    // Choices.

    pub(super) fn sentiment(&self, polarity: Polarity) -> &'static Sentiment {
        match polarity {
            Polarity::Positive => &self.lexicon.good,
            Polarity::Negative => &self.lexicon.bad,
        }
    }

    /// The group's topic as a rule.
    pub(super) fn topic(&mut self) -> &'static Topic {
        let topics = &self.lexicon.topics;
        let other = self.random.below(topics.len() as u32) as usize;
        let topic = if self.chance(0.8) { self.topic } else { other };
        &topics[topic]
    }

    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.random.uniform() < probability
    }

    pub(super) fn pick(&mut self, list: &'static [&'static str]) -> &'static str {
        self.pick_entry::<&str>(list)
    }

    /// An entry of a list that runs from frequent to rare: the group's favourite, or one by Zipf's law.
    pub(super) fn pick_entry<T>(&mut self, list: &'static [T]) -> &'static T {
        if self.chance(0.2) {
            return &list[self.favourite as usize % list.len()];
        }
        // In integers, so that every machine draws the same.
        let weight = |rank: usize| 1_000_000 / (rank as u32 + 2);
        let mut left = self.random.below((0..list.len()).map(weight).sum());
        let mut rank = 0;
        while left >= weight(rank) {
            left -= weight(rank);
            rank += 1;
        }
        &list[rank]
    }
}

fn by_number(plural: bool, one: &'static str, many: &'static str) -> &'static str {
    if plural { many } else { one }
}
