//! The output layer and its softmax, in blocks of the vocabulary, so that no `[rows, vocabulary]` is ever made for
//! more than a tile of rows.

use rayon::prelude::*;
use txray_plugin::Result;

use crate::cpu::kernel::{Matrix, MatrixMut, Pass, Write, exp, product, vectorized};
use crate::tracker::Tracker;
use crate::weights::Slices;

/// The target of a row without one: the row counts for nothing.
pub(crate) const NO_TARGET: u32 = u32::MAX;
/// Groups of blocks; one thread takes a group at a time. A power of two, to share well among 2, 4, 8 threads.
const GROUPS: usize = 32;
/// Rows of a product whose results are the same in any company: how `gemm` adds depends on how many there are.
const TILE: usize = 64;
/// The most words in a block, so that its weights and scores stay in the second-level cache.
const BLOCK: usize = 512;

/// `W h + b` over the vocabulary.
#[derive(Clone, Copy)]
pub(crate) struct Decoder<'a> {
    /// `[vocabulary, hidden]`
    pub weight: &'a [f32],
    /// `[vocabulary]`
    pub bias: &'a [f32],
    pub hidden: usize,
}

/// How the vocabulary is cut. It depends on the vocabulary's size alone, so that no result depends on threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Words in a group; the last group may have fewer.
    pub group: usize,
    /// Words in a block; the last of a group may have fewer.
    pub block: usize,
}

impl Cut {
    pub fn new(vocabulary: usize) -> Self {
        let group = vocabulary.div_ceil(GROUPS).next_multiple_of(8);
        let block = group.div_ceil(group.div_ceil(BLOCK)).next_multiple_of(8);
        Self { group, block }
    }
}

/// A block's part in the softmax of each row.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// `[rows]`: the greatest score.
    pub max: Vec<f32>,
    /// `[rows]`: the sum of `exp(score - max)`.
    pub sum: Vec<f32>,
    /// `[rows]`: the target's score, 0 where the target is in another block.
    pub target: Vec<f32>,
}

impl<'a> Decoder<'a> {
    /// That of a language model.
    ///
    /// # Errors
    /// It has none.
    pub fn of(weights: &Slices<'a>) -> Result<Self> {
        let (weight, bias) = weights.decoder()?;
        Ok(Self { weight, bias, hidden: weights.sizes.last() })
    }

    /// The head over labels, whose words are the labels and whose rows are features.
    ///
    /// # Errors
    /// The model has none.
    pub fn of_labels(weights: &Slices<'a>) -> Result<Self> {
        let (labels, weight, bias) = weights.classifier()?;
        Ok(Self { weight, bias, hidden: labels.features(weights.sizes.last()) })
    }
}

impl Decoder<'_> {
    /// Scores the words from `first` on for `hidden` `[rows, hidden]`, and leaves `exp(score - max)` in `out`
    /// `[words, rows]`.
    pub fn block(&self, hidden: &[f32], targets: &[u32], first: usize, out: &mut [f32]) -> Part {
        self.part(hidden, targets, targets.len(), first, out)
    }

    /// The same, by products of `tile` rows.
    fn part(&self, hidden: &[f32], targets: &[u32], tile: usize, first: usize, out: &mut [f32]) -> Part {
        let rows = targets.len();
        let words = out.len() / rows;
        let max = self.scores(hidden, rows, tile, first, out);
        let mut part = Part { max, sum: vec![0.0; rows], target: vec![0.0; rows] };
        for (row, (&target, score)) in targets.iter().zip(&mut part.target).enumerate() {
            if let Some(word) = (target as usize).checked_sub(first).filter(|&w| w < words) {
                *score = out[word * rows + row];
            }
        }
        vectorized(Exponentiate { scores: out, max: &part.max, sum: &mut part.sum });
        part
    }

    /// Scores the words from `first` on, `[words, rows]`, by products of `tile` rows. Gives the greatest of each row.
    fn scores(&self, hidden: &[f32], rows: usize, tile: usize, first: usize, out: &mut [f32]) -> Vec<f32> {
        let words = out.len() / rows;
        let weight = &self.weight[first * self.hidden..(first + words) * self.hidden];
        for (at, hidden) in (0..rows).step_by(tile).zip(hidden.chunks(tile * self.hidden)) {
            product(
                MatrixMut::strided(&mut out[at..], words, tile, rows),
                Write::Replace,
                Matrix::new(weight, words, self.hidden),
                Matrix::new(hidden, tile, self.hidden).t(),
            );
        }
        let mut max = vec![f32::NEG_INFINITY; rows];
        vectorized(AddBias { scores: out, bias: &self.bias[first..first + words], max: &mut max });
        max
    }

    /// `[rows]`: the negative log-likelihood of each target, nats; of [`NO_TARGET`] 0. Each has the same bits in any company.
    pub fn losses(&self, hidden: &[f32], targets: &[u32], tracker: &Tracker<'_>) -> Result<Vec<f64>> {
        let (hidden, rows) = self.padded(hidden);
        let mut padded = targets.to_vec();
        padded.resize(rows, NO_TARGET);
        let part = |first, scores: &mut [f32]| self.part(&hidden, &padded, TILE, first, scores);
        let parts = self.blocks(rows, tracker, part)?;
        Ok(normalizers(&parts, targets).1)
    }

    /// `[rows]`: the word with the greatest score, the lower index on a tie; in any company.
    pub fn best(&self, hidden: &[f32], tracker: &Tracker<'_>) -> Result<Vec<u32>> {
        let count = hidden.len() / self.hidden;
        let (hidden, rows) = self.padded(hidden);
        let parts = self.blocks(rows, tracker, |first, scores| {
            self.scores(&hidden, rows, TILE, first, scores);
            let mut best = vec![(0, f32::NEG_INFINITY); rows];
            for (word, scores) in (first as u32..).zip(scores.chunks_exact(rows)) {
                for (best, &score) in best.iter_mut().zip(scores) {
                    *best = if score > best.1 { (word, score) } else { *best };
                }
            }
            best
        })?;
        let first = vec![(0, f32::NEG_INFINITY); rows];
        let better = |a: (u32, f32), b: (u32, f32)| if b.1 > a.1 { b } else { a };
        let best =
            parts.into_iter().fold(first, |best, part| best.into_iter().zip(part).map(|(a, b)| better(a, b)).collect());
        Ok(best.into_iter().take(count).map(|(word, _)| word).collect())
    }

    /// `[rows, words]`: the logarithm of each word's probability; in any company.
    pub fn log_probabilities(&self, hidden: &[f32], tracker: &Tracker<'_>) -> Result<Vec<f32>> {
        let (count, words) = (hidden.len() / self.hidden, self.bias.len());
        let (hidden, rows) = self.padded(hidden);
        let parts = self.blocks(rows, tracker, |first, scores| {
            self.scores(&hidden, rows, TILE, first, scores);
            (first, scores.to_vec())
        })?;
        let mut all = vec![0.0; count * words];
        for (first, scores) in parts {
            for (word, scores) in (first..).zip(scores.chunks_exact(rows)) {
                scores[..count].iter().enumerate().for_each(|(row, score)| all[row * words + word] = *score);
            }
        }
        for row in all.chunks_exact_mut(words) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|&score| f64::from(score - max).exp()).sum();
            let normalizer = f64::from(max) + sum.ln();
            row.iter_mut().for_each(|score| *score = (f64::from(*score) - normalizer) as f32);
        }
        Ok(all)
    }

    /// Rows as they are, and others of zeros, so that they are whole tiles. Gives how many there are then.
    fn padded(&self, hidden: &[f32]) -> (Vec<f32>, usize) {
        let rows = (hidden.len() / self.hidden).next_multiple_of(TILE);
        let mut padded = hidden.to_vec();
        padded.resize(rows * self.hidden, 0.0);
        (padded, rows)
    }

    /// Runs `f` over the blocks of the vocabulary, with room for the scores of each, `[words, rows]`. Gives what it gave, in
    /// the order of the vocabulary.
    fn blocks<R: Send>(
        &self,
        rows: usize,
        tracker: &Tracker<'_>,
        f: impl Fn(usize, &mut [f32]) -> R + Sync,
    ) -> Result<Vec<R>> {
        let vocabulary = self.bias.len();
        let cut = Cut::new(vocabulary);
        let parts: Vec<Vec<R>> = (0..vocabulary.div_ceil(cut.group))
            .into_par_iter()
            .map(|group| {
                tracker.advance(0)?;
                let mut scores = vec![0.0; cut.block * rows];
                let end = ((group + 1) * cut.group).min(vocabulary);
                let blocks = (group * cut.group..end).step_by(cut.block).map(|first| {
                    let words = cut.block.min(end - first);
                    f(first, &mut scores[..words * rows])
                });
                Ok(blocks.collect())
            })
            .collect::<Result<_>>()?;
        Ok(parts.into_iter().flatten().collect())
    }
}

/// From the parts of all blocks: `[rows]` the log of the softmax's denominator, and `[rows]` the loss, 0 for
/// [`NO_TARGET`].
pub(crate) fn normalizers(parts: &[Part], targets: &[u32]) -> (Vec<f64>, Vec<f64>) {
    targets
        .iter()
        .enumerate()
        .map(|(row, &target)| {
            let max = parts.iter().map(|p| p.max[row]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = parts.iter().map(|p| f64::from(p.sum[row]) * f64::from(p.max[row] - max).exp()).sum();
            let normalizer = f64::from(max) + sum.ln();
            let score: f64 = parts.iter().map(|p| f64::from(p.target[row])).sum();
            (normalizer, if target == NO_TARGET { 0.0 } else { normalizer - score })
        })
        .unzip()
}

/// Adds each word's bias to its scores `[words, rows]`, and raises `max` `[rows]` to the greatest of each row.
struct AddBias<'a> {
    scores: &'a mut [f32],
    bias: &'a [f32],
    max: &'a mut [f32],
}

impl Pass for AddBias<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (scores, &bias) in self.scores.chunks_exact_mut(self.max.len()).zip(self.bias) {
            for (score, max) in scores.iter_mut().zip(&mut *self.max) {
                *score += bias;
                *max = if *score > *max { *score } else { *max };
            }
        }
    }
}

/// Makes `exp(score - max)` of scores `[words, rows]`, and adds it to `sum` `[rows]`.
struct Exponentiate<'a> {
    scores: &'a mut [f32],
    max: &'a [f32],
    sum: &'a mut [f32],
}

impl Pass for Exponentiate<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for scores in self.scores.chunks_exact_mut(self.max.len()) {
            for ((score, max), sum) in scores.iter_mut().zip(self.max).zip(&mut *self.sum) {
                *score = exp(*score - max);
                *sum += *score;
            }
        }
    }
}
