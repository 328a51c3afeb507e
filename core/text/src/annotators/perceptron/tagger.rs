//! A table of weights that was learned, and what it makes of a sentence.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::features::{NONE, Role, Rows, Seen, hash, history, pairs, parts};

/// The tags that a column has at most: each has a weight for each fact.
pub(super) const MOST_TAGS: usize = 512;

/// Numbers by the hashes of words.
pub(super) type Known = HashMap<u64, u32, BuildHasherDefault<Hashed>>;

/// What was learned.
#[derive(Debug, PartialEq)]
pub(super) struct Tagger {
    pub(super) tags: Vec<String>,
    pub(super) rows: Rows,
    /// `[rows, tags]`
    pub(super) weights: Vec<f32>,
    /// The tags of words, by hash, that are frequent and have but one.
    pub(super) known: Known,
}

/// The index of the highest score, the first of equals.
pub(super) fn best(scores: &[f32]) -> usize {
    let mut best = 0;
    for (tag, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = tag;
        }
    }
    best
}

/// Adds the rows of some facts to the scores of the tags.
pub(super) fn add(weights: &[f32], facts: &[u32], scores: &mut [f32]) {
    let tags = scores.len();
    for &fact in facts {
        let row = fact as usize * tags;
        for (score, weight) in scores.iter_mut().zip(&weights[row..row + tags]) {
            *score += weight;
        }
    }
}

/// The numbers that are kept of words at most: 16 MiB.
const KEPT: usize = 1 << 22;

/// What tagging needs for a while, kept from one sentence to the next: what it says never depends on what was tagged
/// before.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The words that were seen, by hash.
    index: Known,
    seen: Vec<Seen>,
    /// `[words, roles, tags]`: the sums of what each word says by itself in each role.
    sums: Vec<f32>,
    /// The words of the sentence.
    sentence: Vec<u32>,
    facts: Vec<u32>,
    scores: Vec<f32>,
}

/// Takes a hash for its own hash.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        // Tables go by the upper bits, too.
        self.0 = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Scratch {
    /// The index of a word, whose sums are there then.
    fn word(&mut self, parts: [&str; 2], tagger: &Tagger) -> u32 {
        let next = self.seen.len() as u32;
        let word = *self.index.entry(hash(parts)).or_insert(next);
        if word == next {
            self.see(Seen::new(parts), tagger);
        }
        word
    }

    fn see(&mut self, seen: Seen, tagger: &Tagger) {
        for role in Role::ALL {
            self.facts.clear();
            seen.facts(role, tagger.rows, &mut self.facts);
            let start = self.sums.len();
            self.sums.resize(start + tagger.tags.len(), 0.0);
            add(&tagger.weights, &self.facts, &mut self.sums[start..]);
        }
        self.seen.push(seen);
    }
}

impl Tagger {
    /// Appends the tag of each word of a sentence to `found`.
    pub(super) fn tag<W: AsRef<str>>(&self, words: &[W], scratch: &mut Scratch, found: &mut Vec<u32>) {
        if scratch.sums.len() > KEPT || scratch.seen.is_empty() {
            scratch.index.clear();
            scratch.seen.clear();
            scratch.sums.clear();
            // What stands beyond the ends of a sentence is the word 0.
            scratch.see(NONE, self);
        }
        scratch.sentence.clear();
        for index in 0..words.len() {
            let word = scratch.word(parts(words, index), self);
            scratch.sentence.push(word);
        }
        let Scratch { seen, sums, sentence, facts, scores, .. } = scratch;
        let tags = self.tags.len();
        scores.resize(tags, 0.0);
        let (mut before, mut before2) = (0, 0);
        for index in 0..sentence.len() {
            let word = |offset: isize| {
                let at = index.checked_add_signed(offset);
                at.and_then(|at| sentence.get(at)).map_or(0, |&word| word as usize)
            };
            let own = &seen[word(0)];
            let tag = match self.known.get(&own.word) {
                Some(&tag) => tag as usize,
                None => {
                    scores.fill(0.0);
                    for (offset, role) in roles(index) {
                        let start = (word(offset) * Role::ALL.len() + role as usize) * tags;
                        for (score, sum) in scores.iter_mut().zip(&sums[start..start + tags]) {
                            *score += sum;
                        }
                    }
                    let after = &seen[word(1)];
                    facts.clear();
                    pairs(&seen[word(-1)], own, after, self.rows, facts);
                    history(own, after, before, before2, self.rows, facts);
                    add(&self.weights, facts, scores);
                    best(scores)
                }
            };
            found.push(tag as u32);
            (before, before2) = (tag + 1, before);
        }
    }
}

/// The words around one, by their distance, and what they are to it.
pub(super) fn roles(index: usize) -> [(isize, Role); 5] {
    let own = if index == 0 { Role::First } else { Role::Own };
    [(-2, Role::Before2), (-1, Role::Before), (0, own), (1, Role::After), (2, Role::After2)]
}
