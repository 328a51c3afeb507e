use std::collections::{HashMap, HashSet};

use super::lexicon::{Noun, Verb};
use super::*;
use crate::Disk;

const DOMAINS: [Domain; 2] = [Domain::Kitchen, Domain::Harbour];

fn open(options: &str, seed: u64) -> Box<dyn Corpus> {
    let options: GrammarOptions = toml::from_str(options).unwrap();
    options.open(&Context { resolver: &Default::default(), seed }).unwrap()
}

fn documents(domain: Domain, count: u64) -> Vec<Document> {
    let corpus = open(&format!("domain = '{}'\ntrain = {count}", domain.name()), 1111);
    corpus.documents("train", &Disk).unwrap().map(Result::unwrap).collect()
}

/// The words of a document and their tags, sentence by sentence, all in lower case.
fn sentences(document: &Document) -> Vec<Vec<(String, &str)>> {
    let words = document.text.split(' ').zip(&document.annotations[0].spans);
    let words: Vec<_> = words.map(|(word, span)| (word.to_ascii_lowercase(), &*span.value)).collect();
    words.split_inclusive(|(word, _)| [".", "!", "?"].contains(&word.as_str())).map(<[_]>::to_vec).collect()
}

/// All the words of a domain that carry a sentiment.
fn praise(domain: Domain, polarity: Polarity) -> HashSet<&'static str> {
    let lexicon = lexicon::of(domain);
    let (all, topics): (_, fn(&lexicon::Topic) -> &Vec<&str>) = match polarity {
        Polarity::Positive => (&lexicon.good, |topic| &topic.good),
        Polarity::Negative => (&lexicon.bad, |topic| &topic.bad),
    };
    let verbs = all.acts.iter().flat_map(|verb| [&*verb.base, &verb.third, &verb.past]);
    let plain = [&all.things, &all.people, &all.manners].into_iter().chain(lexicon.topics.iter().map(topics));
    plain.flatten().copied().chain(verbs).collect()
}

#[test]
fn the_text_is_the_same_on_every_machine() {
    let texts = |domain| documents(domain, 2).into_iter().map(|document| document.text).collect::<Vec<_>>();
    let kitchen = [
        "What a spotless spoon ! What a dainty bowl ! The friend knew that the goblets that the gardener arranged \
         seemed very good . She enjoyed a goblet that a baker polished .",
        "What good glasses ! Then , the gardener who works is busy . The hungry uncle arranges the jug . Sam relishes \
         the bowl although the girls hum at the table . The stranger who hums is hungry .",
    ];
    let harbour = [
        "Because the sailors swim in the harbour , a crate is excellent . Every sack seems good . What a perfect drum !",
        "Who lifts the crate that two captains load ? The ferries near the ship that the girls rescue are graceful , \
         but the passenger and the pilot inspect a bundle near the bundles quickly .",
    ];
    assert_eq!(DOMAINS.map(texts), [kitchen, harbour]);
}

#[test]
fn a_document_depends_on_its_name_alone() {
    let read = |options: &str, seed: u64, split: &str| -> Vec<Document> {
        open(&format!("domain = 'harbour'\n{options}"), seed)
            .documents(split, &Disk)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    let some = read("train = 40", 1, "train");
    assert_eq!(some.len(), 40);
    assert_eq!(read("train = 90\nvalid = 3", 1, "train")[..40], some);
    assert_eq!(read("train = 40\nseed = 1", 2, "train"), some);
    let texts = |documents: Vec<Document>| documents.into_iter().map(|document| document.text);
    for other in [read("train = 40", 2, "train"), read("valid = 40", 1, "valid")] {
        let same = texts(some.clone()).zip(texts(other)).filter(|(a, b)| a == b).count();
        assert!(same < 3, "{same} documents are the same");
    }
}

#[test]
fn every_token_has_its_part_of_speech() {
    let tags =
        ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "VERB"];
    let mut seen = HashSet::new();
    for document in DOMAINS.into_iter().flat_map(|domain| documents(domain, 200)) {
        let [layer] = &document.annotations[..] else { panic!("one layer") };
        assert_eq!(&*layer.layer, "pos");
        let words = crate::join::words(&document.text, crate::Words::Space).spans;
        assert_eq!(words.len(), layer.spans.len());
        for (word, span) in words.iter().zip(&layer.spans) {
            assert_eq!((word.start, word.end), (span.start, span.end));
            assert!(tags.contains(&&*span.value), "{}", span.value);
            let mark = [",", ".", "!", "?"].contains(&&*word.value);
            assert_eq!(mark, &*span.value == "PUNCT");
            seen.insert(span.value.clone());
        }
    }
    assert_eq!(seen.len(), tags.len());
}

/// The first noun of a sentence is its subject, whatever stands between it and the verb.
#[test]
fn verbs_agree_with_the_subject_across_a_phrase() {
    let mut attracted = 0;
    for domain in DOMAINS {
        let lexicon = lexicon::of(domain);
        let things = lexicon.topics.iter().flat_map(|topic| &topic.things);
        let nouns: HashMap<&str, bool> = things
            .chain(&lexicon.people)
            .flat_map(|Noun { singular, plural, .. }| [(&**singular, false), (plural, true)])
            .collect();
        let verbs = lexicon.topics.iter().flat_map(|topic| topic.acts.iter().chain(&topic.events));
        let verbs = verbs.chain(&lexicon.acts).chain(&lexicon.deeds).chain(&lexicon.motions).chain(&lexicon.reports);
        let verbs = verbs.chain(&lexicon.links).chain(&lexicon.good.acts).chain(&lexicon.bad.acts);
        let mut number: HashMap<&str, bool> = HashMap::from([
            ("is", false),
            ("was", false),
            ("does", false),
            ("are", true),
            ("were", true),
            ("do", true),
        ]);
        for Verb { base, third, past } in verbs {
            number.extend([(&**base, true), (third, false)]);
            // "cut" and "put" say nothing.
            if past == base {
                number.remove(&**base);
            }
        }
        for sentence in documents(domain, 2000).iter().flat_map(sentences) {
            let is = |at: usize, tags: &[&str]| sentence.get(at).is_some_and(|(_, tag)| tags.contains(tag));
            let noun_phrase = |mut at: usize| {
                while is(at, &["DET", "ADJ", "NUM"]) {
                    at += 1;
                }
                is(at, &["NOUN"]).then_some(at)
            };
            let Some(subject) = noun_phrase(0) else { continue };
            let mut verb = subject + 1;
            let mut other = subject;
            while is(verb, &["ADP"])
                && let Some(noun) = noun_phrase(verb + 1)
            {
                (verb, other) = (noun + 1, noun);
            }
            if is(verb, &["ADV"]) {
                verb += 1;
            }
            let plural = nouns.get(&*sentence[subject].0);
            if is(verb, &["VERB", "AUX"])
                && let (Some(plural), Some(agrees)) = (plural, number.get(&*sentence[verb].0))
            {
                assert_eq!(plural, agrees, "{sentence:?}");
                attracted += usize::from(nouns.get(&*sentence[other].0).is_some_and(|other| other != plural));
            }
        }
    }
    assert!(attracted > 100, "{attracted} sentences with a noun of the other number before the verb");
}

#[test]
fn the_label_shows_and_is_not_contradicted() {
    for domain in DOMAINS {
        let good = praise(domain, Polarity::Positive);
        let bad = praise(domain, Polarity::Negative);
        assert!(good.is_disjoint(&bad));
        let mut positive = 0;
        for document in documents(domain, 1000) {
            let is_positive = document.label.as_deref() == Some("positive");
            positive += u32::from(is_positive);
            let (own, other) = if is_positive { (&good, &bad) } else { (&bad, &good) };
            let mut shown = 0;
            for sentence in sentences(&document) {
                for (at, (word, _)) in sentence.iter().enumerate() {
                    let negated = at > 0 && sentence[at - 1].0 == "not";
                    let (wanted, barred) = if negated { (other, own) } else { (own, other) };
                    shown += u32::from(wanted.contains(&**word));
                    assert!(!barred.contains(&**word), "{}", document.text);
                }
            }
            assert!(shown > 0, "{}", document.text);
        }
        assert!((430..570).contains(&positive), "{positive} of 1000 are positive");
    }
}

#[test]
fn neutral_words_carry_no_sentiment() {
    for domain in DOMAINS {
        let lexicon = lexicon::of(domain);
        let felt = &praise(domain, Polarity::Positive) | &praise(domain, Polarity::Negative);
        let topics = lexicon.topics.iter().flat_map(|topic| &topic.qualities);
        for word in topics.chain(&lexicon.qualities).chain(&lexicon.traits) {
            assert!(!felt.contains(word), "{word}");
        }
    }
}

#[test]
fn groups_are_runs_of_documents_that_keep_to_a_topic() {
    for domain in DOMAINS {
        let lexicon = lexicon::of(domain);
        let topic_of: HashMap<&str, &str> = lexicon
            .topics
            .iter()
            .flat_map(|topic| {
                topic.things.iter().flat_map(|noun| [(&*noun.singular, topic.name), (&*noun.plural, topic.name)])
            })
            .collect();
        let documents = documents(domain, 1000);
        let mut groups: Vec<&[Document]> = documents.chunk_by(|a, b| a.group == b.group).collect();
        let names: HashSet<_> = groups.iter().map(|group| &group[0].group).collect();
        assert_eq!(names.len(), groups.len());
        groups.pop();
        assert!(groups.iter().all(|group| (5..=20).contains(&group.len())));
        let (mut own, mut all) = (0, 0);
        for document in groups.into_iter().flatten() {
            let group = document.group.as_deref().unwrap();
            for topic in document.text.split(' ').filter_map(|word| topic_of.get(word)) {
                all += 1;
                own += u32::from(group.starts_with(topic));
            }
        }
        let share = f64::from(own) / f64::from(all);
        assert!((0.8..0.9).contains(&share), "{share} of the things are of the group's topic");
    }
}

#[test]
fn domains_share_their_grammar_and_some_of_their_words() {
    let vocabulary = |domain| -> HashSet<String> {
        documents(domain, 4000).iter().flat_map(sentences).flatten().map(|(word, _)| word).collect()
    };
    let [kitchen, harbour] = DOMAINS.map(vocabulary);
    let shared = kitchen.intersection(&harbour).count();
    assert!((400..700).contains(&kitchen.len()), "{}", kitchen.len());
    assert!((400..700).contains(&harbour.len()), "{}", harbour.len());
    assert!((180..320).contains(&shared), "{shared}");
}

#[test]
fn options_are_checked() {
    let parse = |text: &str| toml::from_str::<GrammarOptions>(text);
    let none =
        parse("domain = 'kitchen'").unwrap().open(&Context { resolver: &Default::default(), seed: 1 }).err().unwrap();
    assert!(matches!(none[0].error, CorpusError::NoSplit));
    assert!(parse("domain = 'kitchen'\ntrain = 0").is_err());
    assert!(parse("domain = 'garage'\ntrain = 1").unwrap_err().message().contains("`kitchen` or `harbour`"));
    let corpus = open("domain = 'kitchen'\ntest = 3\ntrain = 1", 1);
    assert_eq!(corpus.splits(), ["train", "test"]);
    assert_eq!(corpus.layers(), ["pos", "label"]);
    assert!(corpus.files("test").is_empty());
    assert!(matches!(corpus.documents("valid", &Disk), Err(CorpusError::Split { .. })));
}

/// Documents are made when they are asked for, and none is counted beforehand.
#[test]
fn a_corpus_is_as_large_as_can_be_read_and_no_larger() {
    let seed = i64::MAX;
    let corpus = open(&format!("domain = 'kitchen'\ntrain = {MOST}\nseed = {seed}"), 0);
    assert_eq!(corpus.documents("train", &Disk).unwrap().take(100).filter(Result::is_ok).count(), 100);
    for documents in [MOST + 1, 1 << 63, u64::MAX] {
        let options = serde_json::json!({ "domain": "harbour", "train": 1, "test": documents });
        let options: GrammarOptions = serde_json::from_value(options).unwrap();
        let errors = options.open(&Context { resolver: &Default::default(), seed: 0 }).err().unwrap();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].pointer, "/test");
        let said = errors[0].error.to_string();
        assert!(said.starts_with(&format!("{documents} documents are some ")) && said.contains("1000000000"), "{said}");
    }
}
