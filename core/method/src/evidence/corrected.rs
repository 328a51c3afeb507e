//! Distances without the part that finite samples add.
//!
//! Two samples of one distribution are apart, the further the smaller they are. Halves of one side tell how far: of the mean
//! affinity between halves of different sides, and between halves of the same one,
//! `H_c² = 1 - 1/2 [BC(A1, B2) + BC(A2, B1)] / sqrt(BC(A1, A2) BC(B1, B2))`, which is the cosine between what both sides
//! are in the mean: no sample is held against itself.

use super::affinity::Affinity;
use super::cells::{Against, Cells, Held};
use super::units::{LANES, Units, in_order};
use crate::error::MethodResult;
use crate::sides::Metric;

/// Splits into halves that are averaged over.
const SPLITS: u64 = 20;
/// Those of them that tell how far a block moves it: the mean over splits moves as one of them does.
const JACKKNIFED: u64 = 8;
/// Blocks of units, each left out once.
const BLOCKS: usize = 20;
/// The 97.5 % point of Student's t of as many less one.
const T: f64 = 2.093;
/// The most features of a layer whose neurons have intervals: of more, they cover too little.
const FEW: usize = 64;

/// A distance without what finite samples add, near 0 without change and 1 for disjoint distributions; the sign is that of its square,
/// which noise can carry below 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corrected {
    /// The distance.
    pub distance: f64,
    /// Its interval of 95 %, by leaving out blocks of units, where it covers as much.
    pub interval: Option<[f64; 2]>,
}

/// The distance of all neurons together, corrected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JointCorrected {
    /// Near 0 without change; the sign is that of its square.
    pub distance: Corrected,
    /// Of its square: which neurons fire.
    pub usage: f64,
    /// Of its square: what they fire for.
    pub preference: f64,
}

/// An affinity of halves of one side below which they have next to nothing in common, so that what they have is noise, and the cosine
/// divides by it.
const LITTLE: f64 = 1e-3;

/// Affinities between halves, summed over splits: of different sides, of the first's, of the second's.
#[derive(Clone, Copy, Default)]
struct Halves {
    sums: [f64; 3],
    /// How many splits these are.
    of: f64,
}

impl Halves {
    /// Of the pairs (A1, B2), (A2, B1), (A1, A2), (B1, B2).
    fn add(&mut self, [a, b, first, second]: [f64; 4]) {
        let mean = (a + b) / 2.0;
        if (mean + first + second).is_finite() {
            self.sums.iter_mut().zip([mean, first, second]).for_each(|(sum, one)| *sum += one);
            self.of += 1.0;
        }
    }

    /// The cosine between both sides; none where halves of a side have next to nothing in common.
    fn cosine(self) -> Option<f64> {
        let [mean, first, second] = self.sums.map(|sum| sum / self.of);
        (first.min(second) > LITTLE).then(|| mean / (first * second).sqrt())
    }
}

/// Squares of corrected distances: `[metrics][neurons]`, and of all neurons together, with their usage.
struct Squares {
    neurons: Vec<Vec<Option<f64>>>,
    joint: Option<[f64; 2]>,
}

/// `[metrics][neurons]`, and all neurons together.
type AllCorrected = (Vec<Vec<Option<Corrected>>>, Option<JointCorrected>);

pub(super) fn corrected(
    cells: &Cells,
    units: &Units,
    neurons: &[usize],
    is_eligible: &[bool],
    against: Against<'_>,
    (seed, intervals): (u64, bool),
) -> MethodResult<AllCorrected> {
    let all = against.metrics;
    let metrics: Vec<&Metric> = against.metrics.iter().copied().filter(|metric| metric.affine).collect();
    let against = Against { metrics: &metrics, ..against };
    let mut of_all = squares(cells, units, neurons, against, (seed, SPLITS), |_| true)?;
    // Of fewer observations or units, halves have too little to tell.
    for of_metric in &mut of_all.neurons {
        of_metric.iter_mut().zip(is_eligible).filter(|(_, is)| !**is).for_each(|(square, _)| *square = None);
    }

    let has_few = against.names.len() <= FEW;
    let jackknifed = Against { metrics: if has_few { &metrics } else { &[] }, ..against };
    let blocks = units.blocks(seed, BLOCKS);
    // The same splits of all units: what blocks move them by tells how far small samples carry them off, too.
    let whole = squares(cells, units, neurons, jackknifed, (seed, if intervals { JACKKNIFED } else { 0 }), |_| true)?;
    let mut without = Vec::new();
    for block in 0..if intervals { BLOCKS } else { 0 } {
        without.push(squares(cells, units, neurons, jackknifed, (seed, JACKKNIFED), |row| blocks[row] != block)?);
    }
    let mut of_metrics = of_all.neurons.iter().enumerate();
    let of_neurons = all.iter().map(|metric| match metric.affine.then(|| of_metrics.next()).flatten() {
        None => vec![None; neurons.len()],
        Some((metric, squares)) => {
            let neuron = |(neuron, square): (usize, &Option<f64>)| {
                let of = |squares: &Squares| squares.neurons.get(metric).and_then(|of| of[neuron]);
                let interval = |square| interval(square, of(&whole), without.iter().map(of));
                square.map(|square| Corrected { distance: signed_root(square), interval: interval(square) })
            };
            squares.iter().enumerate().map(neuron).collect()
        }
    });
    let joint = of_all.joint.map(|[all, usage]| {
        let of = |squares: &Squares| squares.joint.map(|[all, _]| all);
        let interval = interval(all, of(&whole), without.iter().map(of));
        let distance = Corrected { distance: signed_root(all), interval };
        JointCorrected { distance, usage, preference: all - usage }
    });
    Ok((of_neurons.collect(), joint))
}

/// Of the rows that are kept.
fn squares(
    cells: &Cells,
    units: &Units,
    neurons: &[usize],
    against: Against<'_>,
    (seed, splits): (u64, u64),
    kept: impl Fn(usize) -> bool + Sync,
) -> MethodResult<Squares> {
    let mut halves = vec![vec![Halves::default(); neurons.len()]; against.metrics.len()];
    let (mut all, mut usage) = (Halves::default(), Halves::default());
    const AT_ONCE: u64 = LANES as u64 / 4;
    let halve = |chunk| {
        let mut table = vec![[0.0; LANES]; units.len()];
        let mut pairs = Vec::new();
        for split in 0..AT_ONCE {
            let lane = 4 * split as usize;
            units.halves(seed, chunk * AT_ONCE + split, &kept, &mut table, lane);
            let [a1, a2, b1, b2] = [lane, lane + 1, lane + 2, lane + 3];
            pairs.extend([[a1, b2], [a2, b1], [a1, a2], [b1, b2]]);
        }
        cells.hold(neurons, &table, &pairs, against)
    };
    in_order(against.host, 0..splits / AT_ONCE, halve, |held| {
        for split in held.chunks_exact(4) {
            for (metric, halves) in halves.iter_mut().enumerate() {
                for (neuron, halves) in halves.iter_mut().enumerate() {
                    let affinity = |held: &Held| 1.0 - held.distances[metric][neuron].powi(2);
                    halves.add([0, 1, 2, 3].map(|pair| affinity(&split[pair])));
                }
            }
            let joint = [0, 1, 2, 3].map(|pair| Affinity::of(&split[pair]));
            if let [Some(a), Some(b), Some(c), Some(d)] = joint {
                all.add([a, b, c, d].map(|of| of.all));
                usage.add([a, b, c, d].map(|of| of.usage));
            }
        }
    })?;
    let square = |halves: &Halves| halves.cosine().map(|cosine| 1.0 - cosine);
    let joint = square(&all).zip(square(&usage)).map(|(all, usage)| [all, usage]);
    Ok(Squares { neurons: halves.iter().map(|of| of.iter().map(square).collect()).collect(), joint })
}

fn signed_root(square: f64) -> f64 {
    square.abs().sqrt().copysign(square)
}

/// By what it would be without each block, and by as many splits of all (`whole`); none where that is not known of each. Its middle is
/// where the square would be without what small samples carry it off by, as the jackknife tells that (Quenouille 1956).
fn interval(square: f64, whole: Option<f64>, without: impl Iterator<Item = Option<f64>>) -> Option<[f64; 2]> {
    let without: Vec<f64> = without.collect::<Option<_>>()?;
    if without.is_empty() {
        return None;
    }
    let count = without.len() as f64;
    let mean = without.iter().sum::<f64>() / count;
    let variance = without.iter().map(|one| (one - mean).powi(2)).sum::<f64>() * (count - 1.0) / count;
    let half = T * variance.sqrt();
    let middle = square - (count - 1.0) * (mean - whole?);
    // With what it is an interval of: who reads both should not find the one outside of the other.
    Some([(middle - half).min(square), (middle + half).max(square)].map(|square| signed_root(square.min(1.0))))
}
