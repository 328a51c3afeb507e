//! Two stages held against each other: the fate of each neuron, and how far its preferences moved.

use std::cmp::Ordering;

use txray_plugin::{Host, Level, MetricBatch, NULL, PreferenceMetric, Site, StringTable};

use crate::comparison::{Changed, ChangedMost, Compared, Comparison, ComparisonRow, ENOUGH, LeftOut, Share, TOLD};
use crate::error::{MethodError, MethodResult};
use crate::fate::Fate;
use crate::preferences::{Preference, Preferences};
use crate::stage::Stage;
use crate::weighting::Weigh;

/// How to compare.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// The layers compared: each is one of both stages.
    pub layers: &'a [String],
    /// What preferences are weighted by.
    pub weighting: &'a dyn Weigh,
    /// Features observed less often than this, both stages pooled, are left out of a neuron's distributions.
    pub min_count: u64,
}

/// A distance, and the name of its column.
pub type Metric = (String, Box<dyn PreferenceMetric>);

/// The sites of two stages, each with its width, where they are not the same: only then have the stages the same neurons. Of
/// many sites those are told from which on they differ.
pub fn unlike(from: &[Site], to: &[Site]) -> Option<[String; 2]> {
    const TOLD: usize = 8;
    let same = from.iter().zip(to).take_while(|(from, to)| from == to).count();
    let told = |sites: &[Site]| {
        let skipped = if sites.len() > TOLD { same.min(sites.len() - 1) } else { 0 };
        let mut told: Vec<String> = sites.iter().skip(skipped).take(TOLD).map(Site::to_string).collect();
        match sites.len() - skipped - told.len() {
            0 => {}
            more => told.push(format!("{more} more")),
        }
        told.join(", ")
    };
    (from != to).then(|| [from, to].map(told))
}

/// Compares two stages that were read at the same sites. Each metric is called once a layer, with all its neurons.
///
/// # Errors
/// Stages of different sites, a layer that one of them lacks, a weight that is none, and those of the metrics.
pub fn compare(
    from: &Stage,
    to: &Stage,
    settings: &Settings<'_>,
    metrics: &[Metric],
    host: &Host<'_>,
) -> MethodResult<Compared> {
    if let Some([from, to]) = unlike(&from.neurons.sites, &to.neurons.sites) {
        return Err(MethodError::Sites { from, to });
    }
    let neurons: Vec<(usize, u32)> = from.neurons.places().collect();
    let counts = |neuron: usize| [from.neurons.count[neuron], to.neurons.count[neuron]];
    let mut rows: Vec<Option<ComparisonRow>> = vec![None; neurons.len() * settings.layers.len()];
    let (mut left_out, mut changed_most) = (Vec::new(), Vec::new());
    for (layer, name) in settings.layers.iter().enumerate() {
        let pairs = Pairs::of([from.layer(name)?, to.layer(name)?], neurons.len(), settings)?;
        let distances = pairs.distances(name, metrics, host)?;
        let place = |neuron: usize| {
            let (site, neuron) = neurons[neuron];
            (from.neurons.sites[site].name.clone(), neuron)
        };
        let first = metrics.first().zip(distances.first());
        changed_most.push(first.map(|((metric, _), distances)| pairs.changed_most(metric, distances, place)));
        let mut defined = pairs.neurons.iter().enumerate().peekable();
        for (neuron, &(site, index)) in neurons.iter().enumerate() {
            let row = defined.next_if(|(_, of)| **of == neuron).map(|(row, _)| row);
            let distance = |of: &Vec<f64>| row.map(|row| of[row]).filter(|distance| !distance.is_nan());
            let counts = counts(neuron);
            // By neuron, and within each by layer.
            rows[neuron * settings.layers.len() + layer] = Some(ComparisonRow {
                site,
                neuron: index,
                layer,
                fate: Fate::of(counts[0] > 0, counts[1] > 0),
                counts,
                lengths: pairs.lengths[neuron],
                union_length: pairs.union_lengths[neuron],
                distances: distances.iter().map(distance).collect(),
            });
        }
        left_out.push(pairs.left_out);
    }
    let comparison = Comparison {
        sites: from.neurons.sites.iter().map(|site| site.name.clone()).collect(),
        layers: settings.layers.to_vec(),
        metrics: metrics.iter().map(|(name, _)| name.clone()).collect(),
        rows: rows.into_iter().flatten().collect(),
    };
    Ok(Compared { comparison, left_out, changed_most })
}

/// The distributions of both sides in one layer, over the union of their features: ragged columns of the neurons that
/// have one on both sides, and what there is to say of every neuron.
struct Pairs {
    /// The neurons of the rows, counted through all sites.
    neurons: Vec<usize>,
    /// `[rows + 1]`
    offsets: Vec<u64>,
    features: Vec<u32>,
    probability: [Vec<f64>; 2],
    count: [Vec<u64>; 2],
    mass: [Vec<f64>; 2],
    names: StringTable,
    /// `[neurons]` of all sites: how many features each side prefers, of those that are not left out.
    lengths: Vec<[u64; 2]>,
    /// `[neurons]` likewise, of both sides together.
    union_lengths: Vec<u64>,
    left_out: LeftOut,
}

impl Pairs {
    fn of(sides: [&Preferences; 2], neurons: usize, settings: &Settings<'_>) -> MethodResult<Self> {
        let union = Union::of(sides.map(Preferences::features));
        let mut counts = vec![0_u64; union.names.len()];
        for (side, numbers) in sides.iter().zip(&union.numbers) {
            for (count, &number) in side.counts().iter().zip(numbers) {
                let sum = &mut counts[number as usize];
                *sum = sum.saturating_add(*count);
            }
        }
        let all = counts.iter().fold(0_u64, |sum, &count| sum.saturating_add(count)) as f64;
        let share = |feature: u32| counts[feature as usize] as f64 / all;

        let most = sides[0].len() + sides[1].len();
        let mut pairs = Self {
            neurons: Vec::new(),
            offsets: vec![0],
            features: Vec::with_capacity(most),
            probability: [(); 2].map(|()| Vec::with_capacity(most)),
            count: [(); 2].map(|()| Vec::with_capacity(most)),
            mass: [(); 2].map(|()| Vec::with_capacity(most)),
            names: union.names,
            lengths: Vec::with_capacity(neurons),
            union_lengths: Vec::with_capacity(neurons),
            left_out: LeftOut::default(),
        };
        for neuron in 0..neurons {
            let start = pairs.features.len();
            let (mut lengths, mut sums) = ([0; 2], [0.0; 2]);
            let sides = [0, 1].map(|side: usize| {
                let ((features, met), numbers) = (sides[side].of(neuron), &union.numbers[side]);
                (features.iter().map(move |&feature| numbers[feature as usize]), met)
            });
            for (feature, both) in merged(sides) {
                let pooled = both.iter().flatten().fold(0_u64, |sum, met| sum.saturating_add(met.count));
                let is_kept = pooled >= settings.min_count;
                for (side, met) in both.iter().enumerate() {
                    let mass = met.map_or(0.0, |met| met.mass.to_f64());
                    pairs.left_out.of[side] += mass;
                    if !is_kept {
                        pairs.left_out.mass[side] += mass;
                        continue;
                    }
                    let weight = met.map_or(0.0, |met| settings.weighting.weight(met, share(feature)));
                    if !(weight.is_finite() && weight >= 0.0) {
                        return Err(MethodError::Weight { weight });
                    }
                    lengths[side] += u64::from(met.is_some());
                    sums[side] += weight;
                    pairs.probability[side].push(weight);
                    pairs.count[side].push(met.map_or(0, |met| met.count));
                    pairs.mass[side].push(mass);
                }
                if is_kept {
                    pairs.features.push(feature);
                }
            }
            if let Some(&weight) = sums.iter().find(|sum| !sum.is_finite()) {
                return Err(MethodError::Weight { weight });
            }
            pairs.lengths.push(lengths);
            pairs.union_lengths.push((pairs.features.len() - start) as u64);
            pairs.end_row(neuron, start, sums);
        }
        Ok(pairs)
    }

    /// Makes the weights from `start` on a row if both sides have some, and drops them otherwise.
    fn end_row(&mut self, neuron: usize, start: usize, sums: [f64; 2]) {
        if sums.iter().all(|&sum| sum > 0.0) {
            for (weights, sum) in self.probability.iter_mut().zip(sums) {
                weights[start..].iter_mut().for_each(|weight| *weight /= sum);
            }
            self.neurons.push(neuron);
            self.offsets.push(self.features.len() as u64);
        } else {
            self.features.truncate(start);
            self.probability.iter_mut().chain(&mut self.mass).for_each(|column| column.truncate(start));
            self.count.iter_mut().for_each(|column| column.truncate(start));
        }
    }

    fn view(&self) -> MetricBatch<'_> {
        MetricBatch {
            offsets: &self.offsets,
            features: &self.features,
            p: &self.probability[0],
            q: &self.probability[1],
            count_p: &self.count[0],
            count_q: &self.count[1],
            mass_p: &self.mass[0],
            mass_q: &self.mass[1],
            names: self.names.as_strings(),
        }
    }

    /// `[metrics][rows]`; NaN where a distance is undefined.
    fn distances(&self, layer: &str, metrics: &[Metric], host: &Host<'_>) -> MethodResult<Vec<Vec<f64>>> {
        let distances = metrics.iter().map(|(name, metric)| {
            let mut out = vec![f64::NAN; self.neurons.len()];
            let asked = metric.distances(host, &self.view(), &mut out);
            asked.map_err(|source| MethodError::Metric { name: name.clone(), source })?;
            if !out.is_empty() && out.iter().all(|distance| distance.is_nan()) {
                let message =
                    format!("`{name}` gives no distance at all in `{layer}`: it is NaN for all {} neurons", out.len());
                host.log(Level::Warning, &message);
            }
            Ok(out)
        });
        distances.collect()
    }

    /// The neurons that moved furthest of those with enough observations, with what they preferred.
    fn changed_most(&self, metric: &str, distances: &[f64], place: impl Fn(usize) -> (String, u32)) -> ChangedMost {
        // Of the features that make up the distance, and no others.
        let counts = |row: usize| {
            let at = self.offsets[row] as usize..self.offsets[row + 1] as usize;
            [0, 1].map(|side: usize| {
                self.count[side][at.clone()].iter().fold(0_u64, |sum, &count| sum.saturating_add(count))
            })
        };
        let has_enough = |&row: &usize| !distances[row].is_nan() && counts(row).iter().all(|&count| count >= ENOUGH);
        let mut rows: Vec<usize> = (0..self.neurons.len()).filter(has_enough).collect();
        let of = rows.len() as u64;
        rows.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]));
        let changed = rows.into_iter().take(TOLD).map(|row| {
            let (site, neuron) = place(self.neurons[row]);
            let [from, to] = [0, 1].map(|side| self.preferred(row, side));
            Changed { site, neuron, distance: distances[row], observations: counts(row), from, to }
        });
        ChangedMost { metric: metric.to_owned(), at_least: ENOUGH, of, neurons: changed.collect() }
    }

    /// The features with the greatest shares of one side of a row; ties by name.
    fn preferred(&self, row: usize, side: usize) -> Vec<Share> {
        let at = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        let (features, probability) = (&self.features[at.clone()], &self.probability[side][at]);
        let mut order: Vec<usize> = (0..features.len()).filter(|&i| probability[i] > 0.0).collect();
        order.sort_by(|&a, &b| probability[b].total_cmp(&probability[a]));
        let share = |i: usize| {
            let feature = self.names.get(features[i] as usize).unwrap_or_default().to_owned();
            Share { feature, share: probability[i] }
        };
        order.into_iter().take(TOLD).map(share).collect()
    }
}

/// The names of two sides, each once in rising order, and what the numbers of each side are among them.
struct Union {
    names: StringTable,
    numbers: [Vec<u32>; 2],
}

impl Union {
    fn of(sides: [&StringTable; 2]) -> Self {
        let mut union = Self { names: StringTable::new(), numbers: sides.map(|side| Vec::with_capacity(side.len())) };
        let [from, to] = sides.map(|side| side.as_strings().iter());
        let [mut from, mut to] = [from.peekable(), to.peekable()];
        while let Some(order) = order(from.peek(), to.peek()) {
            let mut next = None;
            for (side, names) in [(0, &mut from), (1, &mut to)] {
                let is_next = if side == 0 { order.is_le() } else { order.is_ge() };
                if is_next {
                    next = names.next();
                    union.numbers[side].push(u32::try_from(union.names.len()).unwrap_or(NULL));
                }
            }
            union.names.push(next.unwrap_or_default());
        }
        union
    }
}

/// Which of two comes next: `None` where both are at their end.
fn order<T: Ord>(a: Option<&T>, b: Option<&T>) -> Option<Ordering> {
    match (a, b) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(a), Some(b)) => Some(a.cmp(b)),
    }
}

/// The features of two sides in rising order, each once, with what each side has of it.
fn merged(
    sides: [(impl Iterator<Item = u32>, &[Preference]); 2],
) -> impl Iterator<Item = (u32, [Option<&Preference>; 2])> {
    let [mut from, mut to] = sides.map(|(features, met)| features.zip(met).peekable());
    std::iter::from_fn(move || {
        let order = order(from.peek().map(|(feature, _)| feature), to.peek().map(|(feature, _)| feature))?;
        let left = if order.is_le() { from.next() } else { None };
        let right = if order.is_ge() { to.next() } else { None };
        let (feature, _) = left.or(right)?;
        Some((feature, [left.map(|(_, met)| met), right.map(|(_, met)| met)]))
    })
}
