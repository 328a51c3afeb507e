//! What each unit brought to each neuron and feature, and the distances of any split of the units.

use std::ops::Range;

use rayon::prelude::*;
use txray_plugin::{Host, NULL, StringTable};

use super::observed::Observed;
use super::units::{LANES, Lanes, Units};
use crate::error::{MethodError, MethodResult};
use crate::sides::{Metric, Rows};
use crate::weighting::Weigh;

/// Entries that a metric is given at a time: few enough to stay in a cache, with those of all lanes.
const TILE: usize = 2048;
/// Entries that are summed at a time: few enough to stay in the nearest.
const FEW: usize = 64;

/// What was observed in a layer, by neuron, feature and reading of a unit.
pub(crate) struct Cells {
    /// `[neurons + 1]`, into entries: a feature of a neuron each, in rising order.
    neurons: Vec<usize>,
    feature: Vec<u32>,
    /// `[entries + 1]`, into cells: a reading of a unit each.
    entries: Vec<usize>,
    row: Vec<u32>,
    count: Vec<f64>,
    mass: Vec<f64>,
    max: Vec<f64>,
}

impl Cells {
    /// Of a layer of both sides, whose features have these numbers together (`[sides][features]`); of no layer, all
    /// observations are of one feature. What a neuron met less often than `min_count`, both sides pooled, is left out.
    pub fn new(
        units: &Units,
        sides: [&Observed; 2],
        layer: Option<([usize; 2], [Vec<u32>; 2])>,
        min_count: u64,
        neurons: usize,
    ) -> Self {
        let mut rows: Vec<Vec<(u64, f32)>> = vec![Vec::new(); neurons];
        for (side, observed) in sides.into_iter().enumerate() {
            for at in 0..observed.of.len() {
                let feature = match &layer {
                    None => 0,
                    Some((layers, numbers)) => {
                        let own = observed.features[layers[side]][at];
                        numbers[side].get(own as usize).copied().unwrap_or(NULL)
                    }
                };
                if feature != NULL {
                    let row = units.rows[side][observed.of[at] as usize];
                    let key = u64::from(feature) << 32 | u64::from(row);
                    rows[observed.neuron[at] as usize].push((key, observed.strength[at]));
                }
            }
        }
        // Strengths are > 0, and so in the order of their bits: the sum of a cell does not depend on how it came.
        rows.par_iter_mut().for_each(|rows| rows.sort_unstable_by_key(|&(key, strength)| (key, strength.to_bits())));
        let mut cells = Self {
            neurons: vec![0],
            feature: Vec::new(),
            entries: vec![0],
            row: Vec::new(),
            count: Vec::new(),
            mass: Vec::new(),
            max: Vec::new(),
        };
        for rows in rows {
            for entry in rows.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32).filter(|entry| entry.len() as u64 >= min_count) {
                for cell in entry.chunk_by(|a, b| a.0 == b.0) {
                    cells.row.push(cell[0].0 as u32);
                    cells.count.push(cell.len() as f64);
                    cells.mass.push(cell.iter().map(|&(_, strength)| f64::from(strength)).sum());
                    cells.max.push(cell.iter().fold(0.0, |max, &(_, strength)| f64::from(strength).max(max)));
                }
                cells.feature.push((entry[0].0 >> 32) as u32);
                cells.entries.push(cells.row.len());
            }
            cells.neurons.push(cells.feature.len());
        }
        cells
    }

    /// How many entries a neuron has.
    pub fn entries(&self, neuron: usize) -> usize {
        self.neurons[neuron + 1] - self.neurons[neuron]
    }

    /// The cells of a neuron.
    pub fn of(&self, neuron: usize) -> Range<usize> {
        self.entries[self.neurons[neuron]]..self.entries[self.neurons[neuron + 1]]
    }

    /// The row of a cell, and how often the neuron met its feature there.
    pub fn cell(&self, at: usize) -> (u32, f64) {
        (self.row[at], self.count[at])
    }

    /// What some entries come to in every lane, with the widest instructions that there are: sums of the same chain in the same
    /// order, whichever these are.
    fn sum(&self, entries: Range<usize>, table: &[Lanes], out: &mut Vec<Summed>) {
        pulp::Arch::new().dispatch(Summing { cells: self, entries, table, out });
    }
}

/// An entry in every lane.
#[derive(Clone, Copy)]
pub(crate) struct Summed {
    pub count: Lanes,
    pub mass: Lanes,
    pub max: Lanes,
    /// What the weighting makes of it.
    pub weight: Lanes,
}

struct Summing<'a> {
    cells: &'a Cells,
    entries: Range<usize>,
    table: &'a [Lanes],
    out: &'a mut Vec<Summed>,
}

impl pulp::NullaryFnOnce for Summing<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { cells, entries, table, out } = self;
        for entry in entries {
            let mut sums = Summed { count: [0.0; LANES], mass: [0.0; LANES], max: [0.0; LANES], weight: [0.0; LANES] };
            for at in cells.entries[entry]..cells.entries[entry + 1] {
                let lanes = &table[cells.row[at] as usize];
                let (count, mass, max) = (cells.count[at], cells.mass[at], cells.max[at]);
                let Summed { count: counts, mass: masses, max: most, .. } = &mut sums;
                for (((lane, of), all), most) in lanes.iter().zip(counts).zip(masses).zip(most) {
                    *of += count * lane;
                    *all += mass * lane;
                    *most = most.max(max * lane);
                }
            }
            out.push(sums);
        }
    }
}

/// How sides are held against each other.
#[derive(Clone, Copy)]
pub(crate) struct Against<'a> {
    pub weighting: &'a dyn Weigh,
    /// `[features]` how much of all observations are of each.
    pub share: &'a [f64],
    pub names: &'a StringTable,
    pub metrics: &'a [&'a Metric],
    pub host: &'a Host<'a>,
}

/// Two lanes, held against each other: `[neurons]` of those that were asked for.
#[derive(Clone)]
pub(crate) struct Held {
    /// `[metrics]`; NaN where it is undefined.
    pub distances: Vec<Vec<f64>>,
    /// `sum_f sqrt(p q)`; NaN where a side has no distribution.
    pub affinity: Vec<f64>,
    /// The mass of each side.
    pub mass: [Vec<f64>; 2],
}

impl Cells {
    /// Holds pairs of lanes against each other, at some neurons.
    pub fn hold(
        &self,
        neurons: &[usize],
        table: &[Lanes],
        pairs: &[[usize; 2]],
        against: Against<'_>,
    ) -> MethodResult<Vec<Held>> {
        let nothing = || vec![f64::NAN; neurons.len()];
        let held = || Held {
            distances: against.metrics.iter().map(|_| nothing()).collect(),
            affinity: nothing(),
            mass: [vec![0.0; neurons.len()], vec![0.0; neurons.len()]],
        };
        let mut all: Vec<Held> = pairs.iter().map(|_| held()).collect();
        let mut columns: Vec<Columns> = pairs.iter().map(|_| Columns::default()).collect();
        let (mut sums, mut out) = (Vec::new(), Vec::new());
        columns.iter_mut().for_each(|columns| columns.rows.clear());
        for (at, &neuron) in neurons.iter().enumerate() {
            let entries = self.neurons[neuron]..self.neurons[neuron + 1];
            for start in entries.clone().step_by(FEW) {
                let some = start..(start + FEW).min(entries.end);
                sums.clear();
                self.sum(some.clone(), table, &mut sums);
                let features = &self.feature[some];
                for (&feature, Summed { count, mass, max, weight }) in features.iter().zip(&mut sums) {
                    let share = against.share[feature as usize];
                    against.weighting.weights(share, [count, mass, max], weight);
                    if let Some(&weight) = weight.iter().find(|weight| !(weight.is_finite() && **weight >= 0.0)) {
                        return Err(MethodError::Weight { weight });
                    }
                }
                for (columns, &pair) in columns.iter_mut().zip(pairs) {
                    columns.extend(features, &sums, pair);
                }
            }
            for (columns, held) in columns.iter_mut().zip(&mut all) {
                columns.end_row(at, held);
            }
            if columns.iter().any(|columns| columns.rows.features.len() >= TILE) || at + 1 == neurons.len() {
                for (columns, held) in columns.iter_mut().zip(&mut all) {
                    columns.distances(against, neurons, &mut out, held)?;
                    columns.rows.clear();
                }
            }
        }
        Ok(all)
    }
}

/// An error that is about one of the neurons that were asked for, with its number among all.
fn name(error: MethodError, asked: &[usize]) -> MethodError {
    match error {
        MethodError::Distance { name, neuron, what } => MethodError::Distance { name, neuron: asked[neuron], what },
        other => other,
    }
}

/// A whole number below 2^52, many in a row faster than by a cast, which looks out for all others.
fn whole(count: f64) -> u64 {
    const WHOLE: f64 = (1_u64 << 52) as f64;
    (count + WHOLE).to_bits() - WHOLE.to_bits()
}

/// Rows, whose room is used again, and what the weights of the one that is being made sum to.
#[derive(Default)]
struct Columns {
    rows: Rows,
    weights: [f64; 2],
}

impl Columns {
    /// Adds features of the row that is being made, those that neither side met left out.
    fn extend(&mut self, features: &[u32], sums: &[Summed], lanes: [usize; 2]) {
        let start = self.rows.features.len();
        let is_met = |sums: &Summed| sums.count[lanes[0]] + sums.count[lanes[1]] > 0.0;
        // Where units are split and none is left out, every feature was met.
        if sums.iter().all(is_met) {
            self.rows.features.extend_from_slice(features);
            self.add(sums.iter(), lanes);
        } else {
            let met = || features.iter().zip(sums).filter(|(_, sums)| is_met(sums));
            self.rows.features.extend(met().map(|(feature, _)| feature));
            self.add(met().map(|(_, sums)| sums), lanes);
        }
        for (weights, probability) in self.weights.iter_mut().zip(&self.rows.probability) {
            *weights += probability[start..].iter().sum::<f64>();
        }
    }

    fn add<'a>(&mut self, sums: impl Iterator<Item = &'a Summed> + Clone, lanes: [usize; 2]) {
        for (side, lane) in lanes.into_iter().enumerate() {
            self.rows.count[side].extend(sums.clone().map(|sums| whole(sums.count[lane])));
            self.rows.mass[side].extend(sums.clone().map(|sums| sums.mass[lane]));
            self.rows.probability[side].extend(sums.clone().map(|sums| sums.weight[lane]));
        }
    }

    /// Ends the row of a neuron, which is one if both sides have a distribution.
    fn end_row(&mut self, at: usize, held: &mut Held) {
        let start = self.rows.start();
        for (all, mass) in held.mass.iter_mut().zip(&self.rows.mass) {
            all[at] = mass[start..].iter().sum();
        }
        if self.rows.end(at, std::mem::take(&mut self.weights)) {
            let [p, q] = &self.rows.probability;
            held.affinity[at] = p[start..].iter().zip(&q[start..]).map(|(p, q)| (p * q).sqrt()).sum();
        }
    }

    /// Asks the metrics about the rows.
    fn distances(
        &self,
        against: Against<'_>,
        asked: &[usize],
        out: &mut Vec<f64>,
        held: &mut Held,
    ) -> MethodResult<()> {
        let (neurons, batch) = (&self.rows.neurons, self.rows.view(against.names));
        // Rows are of places among the neurons that were asked for.
        for (metric, distances) in against.metrics.iter().zip(&mut held.distances) {
            metric.distances(against.host, &batch, neurons, out).map_err(|error| name(error, asked))?;
            neurons.iter().zip(&*out).for_each(|(&at, &distance)| distances[at] = distance);
        }
        Ok(())
    }
}
