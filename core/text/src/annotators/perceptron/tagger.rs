//! A table of weights that was learned, and what it makes of a sentence.

use std::collections::HashMap;

use super::features::Sentence;

/// How many rows a table of weights has: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    mask: u32,
}

impl Rows {
    /// The weights that a table has at most: 32 MiB of them.
    const WEIGHTS: usize = 1 << 23;
    /// The rows that it has at most.
    const MOST: usize = 1 << 18;

    /// The rows for so many tags.
    pub(super) fn of_tags(tags: usize) -> Self {
        let most = (Self::WEIGHTS / tags.max(1)).clamp(1, Self::MOST);
        Self { mask: (1 << most.ilog2()) - 1 }
    }

    pub(super) fn count(self) -> usize {
        self.mask as usize + 1
    }

    pub(super) fn row(self, hash: u64) -> u32 {
        hash as u32 & self.mask
    }
}

/// What was learned.
#[derive(Debug, PartialEq)]
pub(super) struct Tagger {
    pub(super) tags: Vec<String>,
    pub(super) rows: Rows,
    /// `[rows, tags]`
    pub(super) weights: Vec<f32>,
    /// The tags of words, by hash, that are frequent and have but one.
    pub(super) known: HashMap<u64, u32>,
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

/// What tagging needs for a while, kept from one sentence to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    sentence: Sentence,
    scores: Vec<f32>,
}

impl Tagger {
    /// Appends the tag of each word of a sentence to `found`.
    pub(super) fn tag<W: AsRef<str>>(&self, words: &[W], scratch: &mut Scratch, found: &mut Vec<u32>) {
        let Scratch { sentence, scores } = scratch;
        sentence.fill(words);
        scores.resize(self.tags.len(), 0.0);
        let (mut before, mut before2) = (0, 0);
        for index in 0..sentence.len() {
            let tag = match self.known.get(&sentence.word(index)) {
                Some(&tag) => tag as usize,
                None => {
                    scores.fill(0.0);
                    add(&self.weights, &sentence.fixed(index, self.rows), scores);
                    add(&self.weights, &sentence.history(index, before, before2, self.rows), scores);
                    best(scores)
                }
            };
            found.push(tag as u32);
            (before, before2) = (tag + 1, before);
        }
    }
}
