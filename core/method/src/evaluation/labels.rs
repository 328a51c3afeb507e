//! How well labels are told: of documents, or of their words.

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bootstrap::{Draws, Estimate};

/// Bins of the calibration error, of equal width (Guo et al. 2017, "On Calibration of Modern Neural Networks", of whom it has 15;
/// ten is what most libraries have).
const BINS: usize = 10;

/// What a model tells of documents or words that have a label which it knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// `[items]`: the document of each, by its place among those that were predicted.
    pub document: Vec<usize>,
    /// `[items]`: the label that each has.
    pub truth: Vec<u32>,
    /// `[items, labels]`
    pub probabilities: Vec<f32>,
}

/// How well one label is told.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct LabelScore {
    /// Its name.
    pub label: String,
    /// Documents or words that have it.
    pub count: u64,
    /// Those that were told to have it.
    pub predicted: u64,
    /// The share of these that have it; none where there are none.
    pub precision: Option<f64>,
    /// The share of those that have it that were told so; none where there are none.
    pub recall: Option<f64>,
    /// The harmonic mean of the two: `2 right / (count + predicted)`; none where there are neither.
    pub f1: Option<f64>,
}

/// How well all of them are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelScores {
    /// The share whose most probable label is the one that they have.
    pub accuracy: Option<Estimate>,
    /// The mean of [`LabelScore::f1`] over the labels that there are.
    pub macro_f1: Option<Estimate>,
    /// How probable it is that the one of two, one with a label and one without, which has it is given the higher probability of it,
    /// ties for a half: the area under the ROC curve. Of two labels that of the second; of more the mean over the labels that some
    /// have and others have not.
    pub roc_auc: Option<Estimate>,
    /// How far the probability of what is told is from how often it is right, in [`BINS`] bins of that probability, weighed by how many
    /// are in them: the expected calibration error.
    pub calibration_error: Option<Estimate>,
    /// By label.
    pub labels: Vec<LabelScore>,
}

impl LabelScores {
    /// Those of what was told, under the names of the labels; intervals by draws.
    pub(super) fn of(told: &Told, names: &[Arc<str>], draws: &Draws) -> Self {
        let table = Items::new(told, names.len());
        let plain = table.figures(&vec![1.0; table.truth.len()]);
        let drawn: Vec<[Option<f64>; 4]> = draws
            .all()
            .map(|weights| {
                let of_items: Vec<f64> = told.document.iter().map(|&document| weights[document]).collect();
                table.figures(&of_items)
            })
            .collect();
        let estimate = |at: usize| {
            let value = plain[at]?;
            Some(Estimate::of(value, drawn.iter().filter_map(|figures| figures[at]).collect()))
        };
        let [accuracy, macro_f1, roc_auc, calibration_error] = [0, 1, 2, 3].map(estimate);
        let counts = table.counts(&vec![1.0; table.truth.len()]);
        let labels = names.iter().zip(counts).map(|(label, counts)| counts.score(label)).collect();
        Self { accuracy, macro_f1, roc_auc, calibration_error, labels }
    }
}

/// Of a label, weights: of what has it, what is told to have it, and what has it and is told so.
#[derive(Clone, Copy, Default)]
struct Counts {
    truth: f64,
    told: f64,
    right: f64,
}

impl Counts {
    fn f1(self) -> Option<f64> {
        ratio(2.0 * self.right, self.truth + self.told)
    }

    fn score(self, label: &str) -> LabelScore {
        LabelScore {
            label: label.to_owned(),
            count: self.truth as u64,
            predicted: self.told as u64,
            precision: ratio(self.right, self.told),
            recall: ratio(self.right, self.truth),
            f1: self.f1(),
        }
    }
}

/// What was told, as figures of any weights are made of it.
struct Items<'a> {
    truth: &'a [u32],
    /// `[items]`: the most probable label, the first of those.
    told: Vec<u32>,
    /// `[items]`: its probability, and the bin of that.
    probability: Vec<f64>,
    bin: Vec<usize>,
    labels: usize,
    /// Of each label whose ROC curve is asked for the items by rising probability, in groups of the same one.
    ranked: Vec<(u32, Vec<Vec<u32>>)>,
}

impl<'a> Items<'a> {
    fn new(told: &'a Told, labels: usize) -> Self {
        let rows = || told.probabilities.chunks_exact(labels.max(1));
        let most = |row: &[f32]| (1..labels).fold(0, |best, label| if row[label] > row[best] { label } else { best });
        let best: Vec<u32> = rows().map(|row| most(row) as u32).collect();
        let probability: Vec<f64> = rows().zip(&best).map(|(row, &label)| f64::from(row[label as usize])).collect();
        let bin = |probability: &f64| ((probability * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        let asked = if labels == 2 { 1..2 } else { 0..labels };
        let rank = |label: usize| {
            let of = |&item: &u32| told.probabilities[item as usize * labels + label];
            let mut items: Vec<u32> = (0..told.truth.len() as u32).collect();
            items.sort_unstable_by(|a, b| of(a).total_cmp(&of(b)));
            let groups = items.chunk_by(|a, b| of(a) == of(b)).map(<[u32]>::to_vec).collect();
            (label as u32, groups)
        };
        Self {
            truth: &told.truth,
            bin: probability.iter().map(bin).collect(),
            told: best,
            probability,
            labels,
            ranked: asked.into_par_iter().map(rank).collect(),
        }
    }

    fn counts(&self, weights: &[f64]) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); self.labels];
        for ((&truth, &told), weight) in self.truth.iter().zip(&self.told).zip(weights) {
            counts[truth as usize].truth += weight;
            counts[told as usize].told += weight;
            counts[told as usize].right += if truth == told { *weight } else { 0.0 };
        }
        counts
    }

    /// Accuracy, macro-F1, the area under the ROC curve, and the calibration error; none where they are of nothing.
    fn figures(&self, weights: &[f64]) -> [Option<f64>; 4] {
        let (counts, all) = (self.counts(weights), weights.iter().sum::<f64>());
        let accuracy = ratio(counts.iter().map(|counts| counts.right).sum(), all);
        let macro_f1 = mean(counts.iter().filter_map(|counts| counts.f1()));
        let areas = self.ranked.iter().filter_map(|(label, groups)| self.area(*label, groups, weights));
        let mut bins = [[0.0; 2]; BINS];
        for (item, weight) in weights.iter().enumerate() {
            let [right, probability] = &mut bins[self.bin[item]];
            *right += if self.truth[item] == self.told[item] { *weight } else { 0.0 };
            *probability += weight * self.probability[item];
        }
        let off = bins.iter().map(|[right, probability]| (right - probability).abs()).sum();
        [accuracy, macro_f1, mean(areas), ratio(off, all)]
    }

    /// The area under the ROC curve of a label; none where all or none have it.
    fn area(&self, label: u32, groups: &[Vec<u32>], weights: &[f64]) -> Option<f64> {
        let (mut below, mut area, mut with) = (0.0, 0.0, 0.0);
        for group in groups {
            let (mut of_group, mut others) = (0.0, 0.0);
            for &item in group {
                let weight = weights[item as usize];
                if self.truth[item as usize] == label { of_group += weight } else { others += weight }
            }
            area += of_group * (below + 0.5 * others);
            below += others;
            with += of_group;
        }
        ratio(area, with * below)
    }
}

fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    ratio(sum, count)
}

#[cfg(test)]
mod tests;
