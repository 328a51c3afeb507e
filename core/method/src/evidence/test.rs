//! Permutation tests: how often chance alone gives as much.

use txray_plugin::{ExactSum, Host, Site};

use super::affinity::Affinity;
use super::cells::{Against, Cells, Held};
use super::observed::Observed;
use super::units::{LANES, Lanes, Units, in_order};
use crate::error::MethodResult;
use crate::fate::ENOUGH;

/// Draws made side by side.
const AT_ONCE: u64 = LANES as u64 / 2;
/// Chunks of these that are made before what they came to is added up: a bound on memory.
const CHUNKS: u64 = 64;
/// Values that are as close are the same.
const TIE: f64 = 1e-12;
/// A neuron with fewer units on a side, or fewer observations than [`ENOUGH`], has no p.
const UNITS: usize = 5;

/// How to test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Testing {
    /// Draws of every neuron.
    pub permutations: u64,
    /// The most draws of a neuron of which so many do not tell on which side of the threshold it is.
    pub most: u64,
    /// The share of false discoveries that is allowed.
    pub fdr: f64,
    /// Whether p is also told against the largest of all neurons (Westfall and Young's max-T).
    pub max_t: bool,
}

/// What was drawn without change, against what was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fall {
    /// Draws that are defined.
    pub draws: u64,
    /// Those that gave more than what was observed.
    pub above: u64,
    /// Those that gave the same.
    pub ties: u64,
    sum: ExactSum,
}

impl Fall {
    fn add(&mut self, observed: f64, drawn: f64) {
        if drawn.is_nan() {
            return;
        }
        self.draws += 1;
        self.sum += drawn;
        if (drawn - observed).abs() <= TIE {
            self.ties += 1;
        } else if drawn > observed {
            self.above += 1;
        }
    }

    /// The mean of what was drawn.
    pub fn mean(&self) -> Option<f64> {
        (self.draws > 0).then(|| self.sum.to_f64() / self.draws as f64)
    }

    /// `(1 + draws of at least as much) / (1 + draws)`.
    pub fn p(&self) -> f64 {
        (1 + self.above + self.ties) as f64 / (1 + self.draws) as f64
    }

    /// Whether more draws might carry p across a threshold.
    fn is_open(&self, threshold: f64) -> bool {
        // The root of a count of rare events has a standard error of a half, whatever the count: this is three.
        const FAR: f64 = 1.5;
        let root = ((1 + self.above + self.ties) as f64).sqrt();
        let p = |root: f64| root.max(0.0).powi(2) / (1 + self.draws) as f64;
        p(root - FAR) <= threshold && threshold <= p(root + FAR)
    }
}

/// A test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tested {
    /// What was drawn.
    pub fall: Fall,
    /// None where there is too little to say: fewer than 20 observations or 5 units on a side.
    pub p: Option<f64>,
    /// The smallest rate of false discoveries at which it is one (Benjamini and Hochberg).
    pub q: Option<f64>,
    /// p against the largest of all neurons, where that is asked for.
    pub p_max: Option<f64>,
}

/// q of each p, among those that are.
pub fn q_values(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&at| p[at].is_some()).collect();
    order.sort_by(|&a, &b| p[b].partial_cmp(&p[a]).unwrap_or(std::cmp::Ordering::Equal));
    let (mut q, mut least) = (vec![None; p.len()], 1.0_f64);
    for (after, &at) in order.iter().enumerate() {
        let rank = order.len() - after;
        least = least.min(p[at].unwrap_or(1.0) * order.len() as f64 / rank as f64);
        q[at] = Some(least);
    }
    q
}

/// The largest p that is a discovery; where none is, the one that would be the first.
fn threshold(p: &[f64], fdr: f64) -> f64 {
    let mut sorted = p.to_vec();
    sorted.sort_by(f64::total_cmp);
    let step = fdr / sorted.len().max(1) as f64;
    let found = (1..=sorted.len()).rev().find(|&rank| sorted[rank - 1] <= step * rank as f64);
    step * found.unwrap_or(1) as f64
}

/// Whether there are units enough to say anything.
pub(super) fn are_enough(units: &Units) -> bool {
    units.rows.iter().all(|rows| rows.len() >= UNITS)
}

/// Which neurons have observations and units enough on both sides, as they are.
pub(super) fn eligible(cells: &Cells, units: &Units, neurons: &[usize]) -> Vec<bool> {
    let from = units.first as u32;
    let mut seen = vec![usize::MAX; units.len()];
    let has_enough = |&neuron: &usize| {
        let (mut observations, mut of_units) = ([0.0; 2], [0; 2]);
        for at in cells.of(neuron) {
            let (row, count) = cells.cell(at);
            let side = usize::from(row >= from);
            observations[side] += count;
            if seen[row as usize] != neuron {
                seen[row as usize] = neuron;
                of_units[side] += 1;
            }
        }
        observations.iter().all(|&of| of >= ENOUGH as f64) && of_units.iter().all(|&of| of >= UNITS)
    };
    neurons.iter().map(has_enough).collect()
}

/// Tables of some draws, two lanes each.
fn drawn(units: &Units, seed: u64, chunk: u64) -> (Vec<Lanes>, Vec<[usize; 2]>) {
    let mut table = vec![[0.0; LANES]; units.len()];
    let lanes = (0..LANES).step_by(2);
    for (draw, lane) in (chunk * AT_ONCE..).zip(lanes.clone()) {
        units.draw(seed, draw, &mut table, lane);
    }
    (table, lanes.map(|lane| [lane, lane + 1]).collect())
}

/// Tests of `[metrics][neurons]`, and of the joint distance.
#[expect(clippy::too_many_arguments, reason = "what was observed, and how to draw: neither is of use elsewhere")]
pub(super) fn distances(
    cells: &Cells,
    units: &Units,
    neurons: &[usize],
    is_eligible: &[bool],
    observed: &Held,
    joint: f64,
    against: Against<'_>,
    testing: &Testing,
    seed: u64,
) -> MethodResult<(Vec<Vec<Option<Tested>>>, Tested)> {
    let mut falls = vec![vec![Fall::default(); neurons.len()]; against.metrics.len()];
    let mut of_joint = Fall::default();
    // `[metrics][draws][neurons]`, for the largest of them.
    let mut every: Vec<Vec<Vec<f64>>> = vec![Vec::new(); against.metrics.len()];
    let chunks = testing.permutations.div_ceil(AT_ONCE);
    for first in (0..chunks).step_by(CHUNKS as usize) {
        let draw = |chunk| {
            let (table, pairs) = drawn(units, seed, chunk);
            let held = cells.hold(neurons, &table, &pairs, against)?;
            let asked = testing.permutations - chunk * AT_ONCE;
            let held = held.into_iter().take(asked as usize);
            Ok(held.map(|held| (Affinity::of(&held), held.distances)).collect::<Vec<_>>())
        };
        in_order(against.host, first..chunks.min(first + CHUNKS), draw, |draws| {
            for (affinity, distances) in draws {
                if let Some(affinity) = affinity {
                    of_joint.add(joint, affinity.distance()[0]);
                }
                for (metric, drawn) in distances.into_iter().enumerate() {
                    let falls = falls[metric].iter_mut().zip(&observed.distances[metric]);
                    falls.zip(&drawn).for_each(|((fall, &observed), &drawn)| fall.add(observed, drawn));
                    if testing.max_t {
                        every[metric].push(drawn);
                    }
                }
            }
        })?;
    }
    let is_defined = |metric: usize, at: usize| is_eligible[at] && !observed.distances[metric][at].is_nan();
    refine(cells, units, neurons, observed, against, testing, seed, &mut falls, chunks, &is_defined)?;

    let mut all = Vec::new();
    for (metric, falls) in falls.iter().enumerate() {
        let p: Vec<Option<f64>> =
            falls.iter().enumerate().map(|(at, fall)| is_defined(metric, at).then(|| fall.p())).collect();
        let (q, p_max) = (q_values(&p), largest(&every[metric], &observed.distances[metric], &p));
        let test = |at: usize| {
            let tested = Tested { fall: falls[at], p: p[at], q: q[at], p_max: p_max[at] };
            (!observed.distances[metric][at].is_nan()).then_some(tested)
        };
        all.push((0..neurons.len()).map(test).collect());
    }
    let is_told = of_joint.draws > 0 && are_enough(units);
    let p = is_told.then(|| of_joint.p());
    Ok((all, Tested { fall: of_joint, p, q: None, p_max: None }))
}

/// Draws more of the neurons of which it is not clear on which side of the threshold they are.
#[expect(clippy::too_many_arguments, reason = "the second half of `distances`")]
fn refine(
    cells: &Cells,
    units: &Units,
    neurons: &[usize],
    observed: &Held,
    against: Against<'_>,
    testing: &Testing,
    seed: u64,
    falls: &mut [Vec<Fall>],
    mut done: u64,
    is_defined: &dyn Fn(usize, usize) -> bool,
) -> MethodResult<()> {
    while done * AT_ONCE < testing.most {
        let mut open = vec![false; neurons.len()];
        for (metric, falls) in falls.iter().enumerate() {
            let tested: Vec<usize> = (0..neurons.len()).filter(|&at| is_defined(metric, at)).collect();
            let p: Vec<f64> = tested.iter().map(|&at| falls[at].p()).collect();
            let threshold = threshold(&p, testing.fdr);
            tested.iter().filter(|&&at| falls[at].is_open(threshold)).for_each(|&at| open[at] = true);
        }
        let some: Vec<usize> = (0..neurons.len()).filter(|&at| open[at]).collect();
        if some.is_empty() {
            return Ok(());
        }
        let of: Vec<usize> = some.iter().map(|&at| neurons[at]).collect();
        // Half as many again, so that what is decided early costs little.
        let next = (done + (done / 2).max(1)).min(testing.most.div_ceil(AT_ONCE));
        for first in (done..next).step_by(CHUNKS as usize) {
            let draw = |chunk| {
                let (table, pairs) = drawn(units, seed, chunk);
                cells.hold(&of, &table, &pairs, against)
            };
            in_order(against.host, first..next.min(first + CHUNKS), draw, |draws: Vec<Held>| {
                for (metric, falls) in falls.iter_mut().enumerate() {
                    for draw in &draws {
                        for (&at, &drawn) in some.iter().zip(&draw.distances[metric]) {
                            falls[at].add(observed.distances[metric][at], drawn);
                        }
                    }
                }
            })?;
        }
        done = next;
    }
    Ok(())
}

/// p of each neuron against the largest of all in each draw, of values by how far they are from their own mean in the null, in
/// its standard deviations: else the neurons that are noisiest would set the bar for all.
fn largest(every: &[Vec<f64>], observed: &[f64], p: &[Option<f64>]) -> Vec<Option<f64>> {
    if every.is_empty() {
        return vec![None; p.len()];
    }
    let scale: Vec<Option<(f64, f64)>> = (0..p.len())
        .map(|at| {
            let values: Vec<f64> = every.iter().map(|draw| draw[at]).filter(|value| !value.is_nan()).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
            (p[at].is_some() && deviation > TIE).then_some((mean, deviation))
        })
        .collect();
    let scaled = |values: &[f64], at: usize| scale[at].map(|(mean, deviation)| (values[at] - mean) / deviation);
    let most = |draw: &Vec<f64>| (0..p.len()).filter_map(|at| scaled(draw, at)).fold(f64::NEG_INFINITY, f64::max);
    let most: Vec<f64> = every.iter().map(most).collect();
    let p = |at: usize| {
        let observed = scaled(observed, at)?;
        let as_much = most.iter().filter(|most| **most >= observed - TIE).count();
        Some((1 + as_much) as f64 / (1 + most.len()) as f64)
    };
    (0..scale.len()).map(p).collect()
}

/// Tests whether neurons were observed more or less often, by their share of all observations of a side at their site: a neuron
/// each, none where it was never observed.
pub(super) fn counts(
    units: &Units,
    sides: [&Observed; 2],
    sites: &[Site],
    testing: &Testing,
    seed: u64,
    host: &Host<'_>,
) -> MethodResult<Vec<Option<Tested>>> {
    let of_site: Vec<usize> = sites.iter().enumerate().flat_map(|(at, site)| vec![at; site.width]).collect();
    let neurons = of_site.len();
    let cells = Cells::new(units, sides, None, 1, neurons);
    let everyone: Vec<usize> = (0..neurons).filter(|&neuron| cells.entries(neuron) > 0).collect();
    // `[neurons][draws]`
    let changes = |table: &[Lanes]| {
        let mut counts = vec![[0.0; LANES]; everyone.len()];
        let mut all = vec![[0.0; LANES]; sites.len()];
        for (counts, &neuron) in counts.iter_mut().zip(&everyone) {
            for at in cells.of(neuron) {
                let (row, count) = cells.cell(at);
                counts.iter_mut().zip(&table[row as usize]).for_each(|(sum, lane)| *sum += count * lane);
            }
            all[of_site[neuron]].iter_mut().zip(&*counts).for_each(|(all, count)| *all += count);
        }
        let change = |(counts, &neuron): (&Lanes, &usize)| -> [f64; LANES / 2] {
            let all = &all[of_site[neuron]];
            // Without an observation on a side it is no number, and the draw undefined.
            std::array::from_fn(|d| (counts[2 * d] / all[2 * d] - counts[2 * d + 1] / all[2 * d + 1]).abs())
        };
        counts.iter().zip(&everyone).map(change).collect::<Vec<_>>()
    };
    let mut table = vec![[0.0; LANES]; units.len()];
    units.as_they_are(&mut table, 0);
    let observed: Vec<f64> = changes(&table).iter().map(|change| change[0]).collect();
    let mut falls = vec![Fall::default(); everyone.len()];
    let chunks = testing.permutations.max(testing.most.min(10 * testing.permutations)).div_ceil(AT_ONCE);
    for first in (0..chunks).step_by(CHUNKS as usize) {
        let draw = |chunk| Ok(changes(&drawn(units, seed, chunk).0));
        in_order(host, first..chunks.min(first + CHUNKS), draw, |draws| {
            for ((fall, &observed), draws) in falls.iter_mut().zip(&observed).zip(draws) {
                draws.into_iter().for_each(|drawn| fall.add(observed, drawn));
            }
        })?;
    }
    let from = units.first as u32;
    let enough = |&neuron: &usize| {
        let sides = cells.of(neuron).map(|at| cells.cell(at)).fold([0.0; 2], |mut sides, (row, count)| {
            sides[usize::from(row >= from)] += count;
            sides
        });
        sides.iter().any(|&of| of >= ENOUGH as f64)
    };
    let has_units = are_enough(units);
    let p: Vec<Option<f64>> =
        everyone.iter().zip(&falls).map(|(neuron, fall)| (has_units && enough(neuron)).then(|| fall.p())).collect();
    let mut all = vec![None; neurons];
    for (((&neuron, fall), p), q) in everyone.iter().zip(falls).zip(&p).zip(q_values(&p)) {
        all[neuron] = Some(Tested { fall, p: *p, q, p_max: None });
    }
    Ok(all)
}
