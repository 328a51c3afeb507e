//! Two stages held against each other: the fate of each neuron, and how far its preferences moved.

use txray_plugin::{Host, Level, Site, StringTable};

use crate::comparison::{Compared, Comparison, ComparisonRow, FeatureRow, Worth};
use crate::diversity::{hill, rarefied};
use crate::error::{MethodError, MethodResult};
use crate::fate::{ENOUGH, Fate};
use crate::preferences::{Preference, Preferences};
use crate::sides::{Metric, Rows, Settings, Union, order};
use crate::stage::Stage;
use crate::summary::{Changed, ChangedMost, LeftOut, Share, Standardized, TOLD};
use crate::weighting::Met;

/// Features of a neuron that are told for what of its distance they carry.
const CARRYING: usize = 10;

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
    let (mut left_out, mut changed_most, mut standardized) = (Vec::new(), Vec::new(), Vec::new());
    let mut features: Vec<Vec<FeatureRow>> = vec![Vec::new(); neurons.len()];
    for (layer, name) in settings.layers.iter().enumerate() {
        let sides = [from.layer(name)?, to.layer(name)?];
        let pairs = Pairs::of(sides, neurons.len(), settings, None)?;
        let distances = pairs.distances(name, metrics, host)?;
        let mut worth = vec![vec![Worth::default(); metrics.len()]; neurons.len()];
        if settings.texts_differ {
            let (factors, stays) = frequencies(sides);
            let common = Pairs::of(sides, neurons.len(), settings, Some(&factors))?;
            let distances = common.distances(name, metrics, host)?.into_iter().enumerate();
            // Counts are what they were: of metrics that may read them, and not distributions alone, nothing is told.
            for (metric, distances) in distances.filter(|(metric, _)| metrics[*metric].affine) {
                for (&neuron, distance) in common.rows.neurons.iter().zip(distances) {
                    worth[neuron][metric].standardized = Some(distance).filter(|distance| !distance.is_nan());
                }
            }
            standardized.push(Some(stays));
        } else {
            standardized.push(None);
        }
        let place = |neuron: usize| {
            let (site, neuron) = neurons[neuron];
            (from.neurons.sites[site].name.clone(), neuron)
        };
        let first = metrics.first().zip(distances.first());
        changed_most.push(first.map(|(metric, distances)| pairs.changed_most(&metric.name, distances, place)));
        let mut defined = pairs.rows.neurons.iter().enumerate().peekable();
        for (neuron, &(site, index)) in neurons.iter().enumerate() {
            let row = defined.next_if(|(_, of)| **of == neuron).map(|(row, _)| row);
            let distance = |of: &Vec<f64>| row.map(|row| of[row]).filter(|distance| !distance.is_nan());
            let counts = counts(neuron);
            // By neuron, and within each by layer.
            rows[neuron * settings.layers.len() + layer] = Some(ComparisonRow {
                site,
                neuron: index,
                neuron_to: Some(index),
                layer,
                fate: Fate::of(counts[0] > 0, counts[1] > 0),
                counts,
                lengths: pairs.lengths[neuron],
                union_length: pairs.union_lengths[neuron],
                rarefied: pairs.rarefied[neuron],
                hill: pairs.hill[neuron],
                distances: distances.iter().map(distance).collect(),
                fate_tested: None,
                count_p: None,
                count_q: None,
                worth: std::mem::take(&mut worth[neuron]),
            });
            features[neuron].extend(row.into_iter().flat_map(|row| pairs.carrying(row, layer, site, index)));
        }
        left_out.push(pairs.left_out);
    }
    let comparison = Comparison {
        sites: from.neurons.sites.iter().map(|site| site.name.clone()).collect(),
        layers: settings.layers.to_vec(),
        metrics: metrics.iter().map(|metric| metric.name.clone()).collect(),
        rows: rows.into_iter().flatten().collect(),
    };
    let joint = vec![None; settings.layers.len()];
    Ok(Compared { comparison, left_out, changed_most, features: features.concat(), standardized, joint })
}

/// The distributions of both sides in one layer, over the union of their features: ragged columns of the neurons that
/// have one on both sides, and what there is to say of every neuron.
struct Pairs {
    /// Of neurons, counted through all sites.
    rows: Rows,
    names: StringTable,
    /// `[neurons]` of all sites: how many features each side prefers, of those that are not left out.
    lengths: Vec<[u64; 2]>,
    /// `[neurons]` likewise, of both sides together.
    union_lengths: Vec<u64>,
    /// `[neurons]` likewise: the features of as many observations as the side with fewer has, of each side.
    rarefied: Vec<[Option<f64>; 2]>,
    /// `[neurons]` likewise: the Hill numbers of each side.
    hill: Vec<[[Option<f64>; 2]; 2]>,
    left_out: LeftOut,
}

/// `[sides][features]`, of the union: what weights and masses are multiplied by.
type Factors = [Vec<f64>; 2];

impl Pairs {
    fn of(
        sides: [&Preferences; 2],
        neurons: usize,
        settings: &Settings<'_>,
        factors: Option<&Factors>,
    ) -> MethodResult<Self> {
        let union = Union::of(sides.map(Preferences::features));
        let share = union.shares(sides);

        let most = sides[0].len() + sides[1].len();
        let mut pairs = Self {
            rows: Rows::with_capacity(most),
            names: union.names,
            lengths: Vec::with_capacity(neurons),
            union_lengths: Vec::with_capacity(neurons),
            rarefied: Vec::with_capacity(neurons),
            hill: Vec::with_capacity(neurons),
            left_out: LeftOut::default(),
        };
        for neuron in 0..neurons {
            let start = pairs.rows.start();
            let (mut lengths, mut sums) = ([0; 2], [0.0; 2]);
            let sides = [0, 1].map(|side: usize| {
                let ((features, met), numbers) = (sides[side].of(neuron), &union.numbers[side]);
                (features.iter().map(move |&feature| numbers[feature as usize]), met)
            });
            for (feature, both) in merged(sides) {
                let pooled = both.iter().flatten().fold(0_u64, |sum, met| sum.saturating_add(met.count));
                let is_common = factors.is_none_or(|factors| factors[0][feature as usize] > 0.0);
                let is_kept = pooled >= settings.min_count && is_common;
                for (side, met) in both.iter().enumerate() {
                    let factor = factors.map_or(1.0, |factors| factors[side][feature as usize]);
                    let mass = factor * met.map_or(0.0, |met| met.mass.to_f64());
                    pairs.left_out.of[side] += mass;
                    if !is_kept {
                        pairs.left_out.mass[side] += mass;
                        continue;
                    }
                    let weight = met.map_or(0.0, |&Preference { count, mass, max }| {
                        let (mass, share) = (mass.to_f64(), share[feature as usize]);
                        let weight = settings.weighting.weight(&Met { count, mass, max, share });
                        if settings.weighting.grows() { factor * weight } else { weight }
                    });
                    if !(weight.is_finite() && weight >= 0.0) {
                        return Err(MethodError::Weight { weight });
                    }
                    lengths[side] += u64::from(met.is_some());
                    sums[side] += weight;
                    pairs.rows.probability[side].push(weight);
                    pairs.rows.count[side].push(met.map_or(0, |met| met.count));
                    pairs.rows.mass[side].push(mass);
                }
                if is_kept {
                    pairs.rows.features.push(feature);
                }
            }
            if let Some(&weight) = sums.iter().find(|sum| !sum.is_finite()) {
                return Err(MethodError::Weight { weight });
            }
            pairs.lengths.push(lengths);
            pairs.union_lengths.push((pairs.rows.features.len() - start) as u64);
            // Of standardized frequencies only distances are told.
            if factors.is_none() {
                pairs.count_features(start, sums);
            }
            pairs.rows.end(neuron, sums);
        }
        Ok(pairs)
    }

    /// Tells of the weights and counts from `start` on how many features there are in them.
    fn count_features(&mut self, start: usize, sums: [f64; 2]) {
        let counts = [0, 1].map(|side| &self.rows.count[side][start..]);
        let all = counts.map(|counts| counts.iter().fold(0_u64, |sum, &count| sum.saturating_add(count)));
        let fewer = all[0].min(all[1]);
        self.rarefied.push(counts.map(|counts| if fewer > 0 { rarefied(counts, fewer) } else { None }));
        self.hill.push([0, 1].map(|side| {
            let weights = self.rows.probability[side][start..].iter().map(|weight| weight / sums[side]);
            let numbers = (sums[side] > 0.0).then(|| hill(&weights.collect::<Vec<_>>()));
            numbers.map_or([None; 2], |numbers| numbers.map(Some))
        }));
    }

    /// `[metrics][rows]`; NaN where a distance is undefined.
    fn distances(&self, layer: &str, metrics: &[Metric], host: &Host<'_>) -> MethodResult<Vec<Vec<f64>>> {
        let distances = metrics.iter().map(|metric| {
            let mut out = Vec::new();
            metric.distances(host, &self.rows.view(&self.names), &self.rows.neurons, &mut out)?;
            if !out.is_empty() && out.iter().all(|distance| distance.is_nan()) {
                let message = format!(
                    "`{}` gives no distance at all in `{layer}`: it is NaN for all {} neurons",
                    metric.name,
                    out.len()
                );
                host.log(Level::Warning, &message);
            }
            Ok(out)
        });
        distances.collect()
    }

    /// The neurons with enough observations, those that moved furthest first, with what they preferred.
    fn changed_most(&self, metric: &str, distances: &[f64], place: impl Fn(usize) -> (String, u32)) -> ChangedMost {
        // Of the features that make up the distance, and no others.
        let counts = |row: usize| {
            let at = self.rows.offsets[row] as usize..self.rows.offsets[row + 1] as usize;
            [0, 1].map(|side: usize| {
                self.rows.count[side][at.clone()].iter().fold(0_u64, |sum, &count| sum.saturating_add(count))
            })
        };
        let has_enough = |&row: &usize| !distances[row].is_nan() && counts(row).iter().all(|&count| count >= ENOUGH);
        let mut rows: Vec<usize> = (0..self.rows.neurons.len()).filter(has_enough).collect();
        let of = rows.len() as u64;
        rows.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]));
        let changed = rows.into_iter().map(|row| {
            let (site, neuron) = place(self.rows.neurons[row]);
            let [from, to] = [0, 1].map(|side| self.preferred(row, side));
            Changed {
                site,
                neuron,
                distance: distances[row],
                corrected: None,
                q: None,
                at: self.rows.neurons[row],
                observations: counts(row),
                from,
                to,
            }
        });
        ChangedMost { metric: metric.to_owned(), at_least: ENOUGH, of, neurons: changed.collect() }
    }

    /// The features of a row that carry most of its distance, and the most preferred of both sides; ties by name.
    fn carrying(&self, row: usize, layer: usize, site: usize, neuron: u32) -> Vec<FeatureRow> {
        let at = self.rows.offsets[row] as usize..self.rows.offsets[row + 1] as usize;
        let [p, q] = [0, 1].map(|side| &self.rows.probability[side][at.clone()]);
        let term = |i: usize| (p[i].sqrt() - q[i].sqrt()).powi(2) / 2.0;
        let mut told = most(p.len(), term, CARRYING);
        told.extend(most(p.len(), |i| p[i], TOLD).into_iter().filter(|&i| p[i] > 0.0));
        told.extend(most(q.len(), |i| q[i], TOLD).into_iter().filter(|&i| q[i] > 0.0));
        told.sort_by(|&a, &b| term(b).total_cmp(&term(a)).then(a.cmp(&b)));
        told.dedup();
        let feature = |i: usize| FeatureRow {
            site,
            neuron,
            layer,
            feature: self.names.get(self.rows.features[at.start + i] as usize).unwrap_or_default().to_owned(),
            counts: [0, 1].map(|side| self.rows.count[side][at.start + i]),
            shares: [p[i], q[i]],
            term: term(i),
        };
        told.into_iter().map(feature).collect()
    }

    /// The features with the greatest shares of one side of a row; ties by name.
    fn preferred(&self, row: usize, side: usize) -> Vec<Share> {
        let at = self.rows.offsets[row] as usize..self.rows.offsets[row + 1] as usize;
        let (features, probability) = (&self.rows.features[at.clone()], &self.rows.probability[side][at]);
        let order = most(features.len(), |i| probability[i], TOLD).into_iter().filter(|&i| probability[i] > 0.0);
        let share = |i: usize| {
            let feature = self.names.get(features[i] as usize).unwrap_or_default().to_owned();
            Share { feature, share: probability[i] }
        };
        order.map(share).collect()
    }
}

/// Those of so many with the greatest values, the greatest first; ties in their order.
fn most(of: usize, value: impl Fn(usize) -> f64, count: usize) -> Vec<usize> {
    let by = |a: &usize, b: &usize| value(*b).total_cmp(&value(*a)).then(a.cmp(b));
    let mut order: Vec<usize> = (0..of).collect();
    if of > count {
        order.select_nth_unstable_by(count, by);
        order.truncate(count);
    }
    order.sort_unstable_by(by);
    order
}

/// What makes both texts have the same frequencies of the features that both of them have, and none of the others; and how much
/// mass is of these.
fn frequencies(sides: [&Preferences; 2]) -> (Factors, Standardized) {
    let union = Union::of(sides.map(Preferences::features));
    let mut counts = [0, 1].map(|_| vec![0.0; union.names.len()]);
    for ((counts, numbers), side) in counts.iter_mut().zip(&union.numbers).zip(sides) {
        side.counts().iter().zip(numbers).for_each(|(&count, &number)| counts[number as usize] = count as f64);
    }
    let is_common: Vec<bool> = counts[0].iter().zip(&counts[1]).map(|(a, b)| *a > 0.0 && *b > 0.0).collect();
    let of_common =
        |counts: &Vec<f64>| -> f64 { counts.iter().zip(&is_common).filter(|(_, is)| **is).map(|(c, _)| c).sum() };
    let whole = [of_common(&counts[0]), of_common(&counts[1])];
    let share = |side: usize, at: usize| counts[side][at] / whole[side];
    let factor = |side: usize, at: usize| match is_common[at] {
        true => (share(0, at) + share(1, at)) / 2.0 / share(side, at),
        false => 0.0,
    };
    let factors = [0, 1].map(|side| (0..union.names.len()).map(|at| factor(side, at)).collect());
    let stays = [0, 1].map(|side| {
        let masses = sides[side].masses();
        let all: f64 = masses.iter().sum();
        let of = masses.iter().zip(&union.numbers[side]).filter(|(_, number)| is_common[**number as usize]);
        of.map(|(mass, _)| mass).sum::<f64>() / all
    });
    (factors, Standardized { stays: stays.map(|share| if share.is_finite() { share } else { 0.0 }) })
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
