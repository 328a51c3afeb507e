//! The output layer and its softmax, in blocks of the vocabulary, so that no `[rows, vocabulary]` is ever made for
//! more than a tile of rows.

use rayon::prelude::*;
use txray_plugin::Result;

use crate::kernel::{Matrix, MatrixMut, Pass, Write, exp, product, vectorized};
use crate::tracker::Tracker;

/// A row without a target: it counts for nothing.
pub(crate) const NO_TARGET: u32 = u32::MAX;
/// Groups of blocks, each with a thread of its own at a time. Even, to share well among 2, 4, 8 threads.
const GROUPS: usize = 32;
/// The most words in a block: its weights and scores stay in the second cache.
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

/// How the vocabulary is cut, by its size alone, so that no result depends on the number of threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Words in a group.
    pub group: usize,
    /// Words in a block of a group.
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
    /// `[rows]` the greatest score.
    pub max: Vec<f32>,
    /// `[rows]` the sum of `exp(score - max)`.
    pub sum: Vec<f32>,
    /// `[rows]` the target's score, 0 where the target is in another block.
    pub target: Vec<f32>,
}

impl Decoder<'_> {
    /// The scores of words `first..` for rows of `hidden`, as `exp(score - max)` in `out` `[words, rows]`.
    pub fn block(&self, hidden: &[f32], targets: &[u32], first: usize, out: &mut [f32]) -> Part {
        let rows = targets.len();
        let words = out.len() / rows;
        let weight = &self.weight[first * self.hidden..(first + words) * self.hidden];
        product(
            MatrixMut::new(out, words, rows),
            Write::Replace,
            Matrix::new(weight, words, self.hidden),
            Matrix::new(hidden, rows, self.hidden).t(),
        );
        let bias = &self.bias[first..first + words];
        let mut part = Part { max: vec![f32::NEG_INFINITY; rows], sum: vec![0.0; rows], target: vec![0.0; rows] };
        vectorized(AddBias { scores: &mut *out, bias, max: &mut part.max });
        for (row, (&target, score)) in targets.iter().zip(&mut part.target).enumerate() {
            if let Some(word) = (target as usize).checked_sub(first).filter(|&w| w < words) {
                *score = out[word * rows + row];
            }
        }
        vectorized(Exponentiate { scores: out, max: &part.max, sum: &mut part.sum });
        part
    }

    /// Negative log-likelihood of each row's target, 0 for [`NO_TARGET`], summed.
    pub fn nll(&self, hidden: &[f32], targets: &[u32], tracker: &Tracker<'_>) -> Result<f64> {
        let (vocabulary, rows) = (self.bias.len(), targets.len());
        let cut = Cut::new(vocabulary);
        let parts: Vec<Vec<Part>> = (0..vocabulary.div_ceil(cut.group))
            .into_par_iter()
            .map(|group| {
                tracker.advance(0)?;
                let mut scores = vec![0.0; cut.block * rows];
                let end = ((group + 1) * cut.group).min(vocabulary);
                let blocks = (group * cut.group..end).step_by(cut.block).map(|first| {
                    let words = cut.block.min(end - first);
                    self.block(hidden, targets, first, &mut scores[..words * rows])
                });
                Ok(blocks.collect())
            })
            .collect::<Result<_>>()?;
        let parts: Vec<Part> = parts.into_iter().flatten().collect();
        let (_, losses) = normalizers(&parts, targets);
        Ok(losses.iter().sum())
    }
}

/// The log of each row's softmax denominator, and its loss (0 for [`NO_TARGET`]), from the parts of all blocks.
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

/// Adds a word's bias to its scores `[words, rows]`, and takes each row's greatest.
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

/// `exp(score - max)` in place, and each row's sum.
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
