//! How the weights are learned: Collins' averaged perceptron (2002), decoded greedily.

use std::collections::{BTreeSet, HashMap};

use txray_plugin::random::Stream;

use super::features::{NONE, Rows, Seen, hash, history, pairs, parts};
use super::tagger::{Known, Tagger, add, best, roles};

/// A word is looked up, not scored, if it is seen so often, ...
const FREQUENT: u32 = 20;
/// ... and of so many times, another tag is seen less than once.
const CERTAIN: u32 = 200;

/// Sentences to learn from: what is looked at of them is kept, and not the text.
#[derive(Debug, Default)]
pub(super) struct Examples {
    words: Vec<Vec<Box<str>>>,
    tags: Vec<Vec<u32>>,
    /// The tags by name.
    index: HashMap<String, u32>,
}

impl Examples {
    /// Adds a sentence: each word and its tag.
    pub(super) fn push<'a>(&mut self, sentence: impl Iterator<Item = (&'a str, &'a str)>) {
        let (mut words, mut tags) = (Vec::new(), Vec::new());
        for (word, tag) in sentence {
            let next = self.index.len() as u32;
            let tag = match self.index.get(tag) {
                Some(&tag) => tag,
                None => *self.index.entry(tag.to_owned()).or_insert(next),
            };
            words.push(word.into());
            tags.push(tag);
        }
        self.words.push(words);
        self.tags.push(tags);
    }

    /// The distinct tags.
    pub(super) fn tags(&self) -> usize {
        self.index.len()
    }

    pub(super) fn sentences(&self) -> usize {
        self.words.len()
    }

    pub(super) fn words(&self) -> usize {
        self.words.iter().map(Vec::len).sum()
    }

    /// Numbers the tags by name, so that their order is that of no sentence.
    fn settle(&mut self) -> Vec<String> {
        let names: BTreeSet<&String> = self.index.keys().collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        let mut numbers = vec![0; names.len()];
        for (number, name) in names.iter().enumerate() {
            numbers[self.index[name] as usize] = number as u32;
        }
        for tag in self.tags.iter_mut().flatten() {
            *tag = numbers[*tag as usize];
        }
        self.index = names.iter().cloned().zip(0..).collect();
        names
    }

    /// Frequent words that have but one tag, by hash.
    fn known(&self) -> Known {
        let mut seen: HashMap<u64, HashMap<u32, u32>> = HashMap::new();
        for (words, tags) in self.words.iter().zip(&self.tags) {
            for (index, &tag) in tags.iter().enumerate() {
                *seen.entry(hash(parts(words, index))).or_default().entry(tag).or_default() += 1;
            }
        }
        let known = seen.into_iter().filter_map(|(word, tags)| {
            let all: u32 = tags.values().sum();
            let (&tag, &most) = tags.iter().max_by_key(|&(&tag, &count)| (count, tag))?;
            (all >= FREQUENT && (all - most) * CERTAIN < all).then_some((word, tag))
        });
        known.collect()
    }
}

/// Learns from all sentences, in another order each epoch. Nothing if `stop` says so.
pub(super) fn learn(mut examples: Examples, epochs: u32, seed: u64, stop: &dyn Fn() -> bool) -> Option<Tagger> {
    let names = examples.settle();
    let known = examples.known();
    let (tags, rows) = (names.len(), Rows::of_tags(names.len()));
    let mut weights = vec![0.0_f32; rows.count() * tags];
    // What each step added, times the step's number: the mean over all steps follows from it.
    let mut sums = vec![0.0_f64; weights.len()];
    let mut step = 1.0_f64;
    let mut order: Vec<u32> = (0..examples.words.len() as u32).collect();
    let (mut seen, mut facts, mut scores) = (Vec::new(), Vec::new(), vec![0.0; tags]);
    for epoch in 0..epochs {
        Stream::new(seed, "annotator.perceptron/order", u64::from(epoch)).shuffle(&mut order);
        for &at in &order {
            if stop() {
                return None;
            }
            let words = &examples.words[at as usize];
            seen.clear();
            seen.extend((0..words.len()).map(|index| Seen::new(parts(words, index))));
            let (mut before, mut before2) = (0, 0);
            for (index, &tag) in examples.tags[at as usize].iter().enumerate() {
                let tag = tag as usize;
                let word = |offset: isize| {
                    let at = index.checked_add_signed(offset);
                    at.and_then(|at| seen.get(at)).unwrap_or(&NONE)
                };
                let found = match known.get(&word(0).word) {
                    Some(&tag) => tag as usize,
                    None => {
                        facts.clear();
                        for (offset, role) in roles(index) {
                            word(offset).facts(role, rows, &mut facts);
                        }
                        pairs(word(-1), word(0), word(1), rows, &mut facts);
                        history(word(0), word(1), before, before2, rows, &mut facts);
                        scores.fill(0.0);
                        add(&weights, &facts, &mut scores);
                        let found = best(&scores);
                        if let Some(rival) = rival(&scores, tag) {
                            for &row in &facts {
                                for (tag, by) in [(tag, 1.0), (rival, -1.0)] {
                                    let place = row as usize * tags + tag;
                                    weights[place] += by as f32;
                                    sums[place] += by * step;
                                }
                            }
                        }
                        step += 1.0;
                        found
                    }
                };
                (before, before2) = (found + 1, before);
            }
        }
    }
    for (weight, sum) in weights.iter_mut().zip(sums) {
        *weight = (f64::from(*weight) - sum / step) as f32;
    }
    Some(Tagger { tags: names, rows, weights, known })
}

/// The best of the other tags, if it is as good as the right one: what is right by the order of the tags alone is not
/// learned, and the mean of the weights may break the tie to the other side.
fn rival(scores: &[f32], tag: usize) -> Option<usize> {
    let others = (0..scores.len()).filter(|&other| other != tag);
    let best = others.reduce(|best, other| if scores[other] > scores[best] { other } else { best })?;
    (scores[best] >= scores[tag]).then_some(best)
}
