//! Sentences and the clauses in them.
//!
//! A part of a document that is `felt` has one word at least that shows the document's sentiment; the others have none.

use txray_plugin::random::Stream;

use super::lexicon::{Gender, Lexicon};
use super::phrase::{Polarity, Subject, Token, Writer};

const CONJUNCTIONS: [&str; 4] = ["because", "when", "while", "although"];
const MANNERS: [&str; 4] = ["slowly", "quickly", "quietly", "again"];
const DEGREES: [&str; 4] = ["very", "so", "really", "quite"];
const TIMES: [&[(&str, &str)]; 6] = [
    &[("then", "ADV")],
    &[("in", "ADP"), ("the", "DET"), ("morning", "NOUN")],
    &[("later", "ADV")],
    &[("at", "ADP"), ("night", "NOUN")],
    &[("in", "ADP"), ("the", "DET"), ("evening", "NOUN")],
    &[("at", "ADP"), ("noon", "NOUN")],
];
/// How deep phrases nest in phrases.
const DEPTH: u32 = 2;

impl Writer {
    pub(super) fn new(
        mut random: Stream,
        lexicon: &'static Lexicon,
        topic: usize,
        favourite: u32,
        polarity: Polarity,
    ) -> Self {
        let past = random.below(10) < 3;
        let either = if random.below(2) == 0 { Gender::She } else { Gender::He };
        let (person, thing, tokens) = (None, None, Vec::new());
        Self { random, lexicon, topic, favourite, polarity, past, either, person, thing, tokens }
    }

    /// One to six sentences, of which one at least is felt.
    pub(super) fn document(mut self) -> Vec<Token> {
        let sentences = 1 + self.random.below(6);
        let felt = self.random.below(sentences);
        for sentence in 0..sentences {
            let felt = sentence == felt || self.chance(0.4);
            self.sentence(felt);
        }
        self.tokens
    }

    fn sentence(&mut self, felt: bool) {
        let start = self.tokens.len();
        let end = match (felt, self.random.below(20)) {
            (true, 0..3) => self.exclamation(),
            (false, 0..3) => self.question(),
            (_, 3..5) => self.existential(felt),
            (_, 5..7) => self.report(felt),
            (_, 7..10) => self.compound(felt),
            (_, 10..13) => self.subordinate(felt),
            (_, 13) => self.timed(felt),
            _ => self.plain(felt),
        };
        self.put(end, "PUNCT");
        if let Some(letter) = self.tokens[start].word.to_mut().get_mut(..1) {
            letter.make_ascii_uppercase();
        }
    }

    // Kinds of sentences; each gives the mark that ends it.

    fn plain(&mut self, felt: bool) -> &'static str {
        self.clause(felt);
        "."
    }

    fn exclamation(&mut self) -> &'static str {
        self.put("what", "DET");
        let plural = self.chance(0.3);
        let topic = self.topic();
        let adjective = self.praise(topic, self.polarity);
        if !plural {
            self.article(adjective);
        }
        let noun = self.pick_entry(&topic.things);
        self.described(noun, Some(adjective), plural);
        "!"
    }

    fn question(&mut self) -> &'static str {
        if self.chance(0.3) {
            self.put("who", "PRON");
            self.act(Subject { plural: false, gender: self.either }, false);
            return "?";
        }
        let plural = self.chance(0.4);
        self.put_do(plural);
        self.person_noun(plural, 0);
        if self.chance(0.5) {
            let deed = self.pick_entry(&self.lexicon.deeds);
            self.put(&deed.base, "VERB");
        } else {
            let topic = self.topic();
            let act = self.pick_entry(&topic.acts);
            self.put(&act.base, "VERB");
            self.object(topic, None);
        }
        "?"
    }

    fn existential(&mut self, felt: bool) -> &'static str {
        self.put("there", "PRON");
        let plural = self.chance(0.5);
        self.put_be(plural);
        let topic = self.topic();
        let adjective = if felt { Some(self.praise(topic, self.polarity)) } else { self.quality(topic, 0.4) };
        let noun = self.pick_entry(&topic.things);
        if plural {
            self.put("some", "DET");
        } else {
            self.article(adjective.unwrap_or(&noun.singular));
        }
        self.described(noun, adjective, plural);
        self.at(&topic.places);
        "."
    }

    fn report(&mut self, felt: bool) -> &'static str {
        let subject = self.person(0);
        let verb = self.pick_entry(&self.lexicon.reports);
        self.finite(verb, subject.plural);
        self.put("that", "SCONJ");
        self.clause(felt);
        "."
    }

    fn compound(&mut self, felt: bool) -> &'static str {
        self.clause(felt);
        self.put(",", "PUNCT");
        let conjunction = if self.chance(0.7) { "and" } else { "but" };
        self.put(conjunction, "CCONJ");
        self.clause(false);
        "."
    }

    fn subordinate(&mut self, felt: bool) -> &'static str {
        let conjunction = self.pick(&CONJUNCTIONS);
        if self.chance(0.5) {
            self.put(conjunction, "SCONJ");
            self.clause(false);
            self.put(",", "PUNCT");
            self.clause(felt);
        } else {
            self.clause(felt);
            self.put(conjunction, "SCONJ");
            self.clause(false);
        }
        "."
    }

    fn timed(&mut self, felt: bool) -> &'static str {
        for &(word, tag) in *self.pick_entry(&TIMES) {
            self.put(word, tag);
        }
        self.put(",", "PUNCT");
        self.clause(felt);
        "."
    }

    // Clauses.

    fn clause(&mut self, felt: bool) {
        match (felt, self.random.below(10)) {
            (true, 0..4) | (false, 0) => self.thing_is(felt),
            (true, 4..6) | (false, 1) => self.person_is(felt),
            (true, 6..8) => self.feel(),
            (false, 2..4) => self.event(),
            (false, 4..7) => self.deed(),
            _ => {
                let subject = self.person(DEPTH);
                self.act(subject, felt);
            }
        }
    }

    fn thing_is(&mut self, felt: bool) {
        let last = self.thing;
        let thing = match last {
            Some(thing) if self.chance(0.25) => {
                self.pronoun(Subject { plural: thing.plural, gender: Gender::It });
                thing
            }
            _ => {
                let topic = self.topic();
                self.thing(topic, None, DEPTH)
            }
        };
        if felt {
            let polarity = self.link(thing.plural);
            let adjective = self.praise(thing.topic, polarity);
            self.put(adjective, "ADJ");
        } else {
            self.put_be(thing.plural);
            if self.chance(0.5) {
                self.at(&thing.topic.places);
            } else {
                let adjective = self.pick(&thing.topic.qualities);
                self.put(adjective, "ADJ");
            }
        }
    }

    fn person_is(&mut self, felt: bool) {
        let subject = self.person(DEPTH);
        if felt {
            let polarity = self.link(subject.plural);
            let adjective = self.pick(&self.sentiment(polarity).people);
            self.put(adjective, "ADJ");
        } else {
            self.put_be(subject.plural);
            if self.chance(0.5) {
                self.at(&self.lexicon.places);
            } else {
                let adjective = self.pick(&self.lexicon.traits);
                self.put(adjective, "ADJ");
            }
        }
    }

    /// The link between a subject and a felt adjective, and the sentiment that the adjective has to have: after `not`
    /// the opposite of the document's.
    fn link(&mut self, plural: bool) -> Polarity {
        if self.chance(0.2) {
            let verb = self.pick_entry(&self.lexicon.links);
            self.finite(verb, plural);
        } else {
            self.put_be(plural);
            if self.chance(0.12) {
                self.put("not", "PART");
                return self.polarity.opposite();
            }
        }
        if self.chance(0.3) {
            let degree = self.pick(&DEGREES);
            self.put(degree, "ADV");
        }
        self.polarity
    }

    fn feel(&mut self) {
        let subject = self.person(DEPTH);
        let verb = self.pick_entry(&self.sentiment(self.polarity).acts);
        self.finite(verb, subject.plural);
        let topic = self.topic();
        self.object(topic, None);
    }

    /// A thing does something.
    fn event(&mut self) {
        let topic = self.topic();
        let adjective = self.quality(topic, 0.25);
        let thing = self.thing(topic, adjective, DEPTH);
        let event = self.pick_entry(&topic.events);
        self.verb(event, thing.plural);
        self.maybe_at(&topic.places, 0.3);
    }

    /// A person does something.
    fn deed(&mut self) {
        let subject = self.person(DEPTH);
        if self.chance(0.3) {
            let motion = self.pick_entry(&self.lexicon.motions);
            self.finite(motion, subject.plural);
            self.put("to", "ADP");
            self.put("the", "DET");
            let place = self.pick_entry(&self.lexicon.places);
            self.put(&place.singular, "NOUN");
        } else {
            let deed = self.pick_entry(&self.lexicon.deeds);
            self.verb(deed, subject.plural);
            self.maybe_at(&self.lexicon.places, 0.5);
        }
    }

    /// A person does something to a thing. A felt one shows in the manner or in the thing.
    fn act(&mut self, subject: Subject, felt: bool) {
        let topic = self.topic();
        let verb = if self.chance(0.25) { self.pick_entry(&self.lexicon.acts) } else { self.pick_entry(&topic.acts) };
        let felt_manner = felt && self.chance(0.5);
        if felt {
            self.finite(verb, subject.plural);
        } else {
            self.verb(verb, subject.plural);
        }
        let adjective = match (felt, felt_manner) {
            (true, false) => Some(self.praise(topic, self.polarity)),
            (true, true) => None,
            (false, _) => self.quality(topic, 0.25),
        };
        self.object(topic, adjective);
        if felt_manner {
            let manner = self.pick(&self.sentiment(self.polarity).manners);
            self.put(manner, "ADV");
        } else if self.chance(0.15) {
            let manner = self.pick(&MANNERS);
            self.put(manner, "ADV");
        } else {
            self.maybe_at(&self.lexicon.places, 0.15);
        }
    }
}
