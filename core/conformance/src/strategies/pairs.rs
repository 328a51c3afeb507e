//! Preferences of neurons, and pairs of them as a metric is given them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use proptest::prelude::*;
use txray_plugin::{MetricBatch, StringTable};

use super::magnitude;

/// How a neuron met a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preference {
    /// Observations, at least 1.
    pub count: u64,
    /// Sum of their activations, above 0.
    pub mass: f64,
}

/// What one neuron prefers in one layer, by feature id.
pub type Preferences = BTreeMap<u32, Preference>;

/// How much a preference weighs in its neuron's distribution, before the weights are made to sum to 1.
pub type Weight = fn(Preference) -> f64;

/// Ids of features in the rows of [`pairs`] are below this.
const FEATURES: u32 = 12;

/// Preferences of 1 to `most` features with ids in the range.
pub fn preferences(ids: Range<u32>, most: usize) -> impl Strategy<Value = Preferences> {
    let count = prop_oneof![4 => 1_u64..8, 1 => 1_u64..100_000];
    let preference = (count, magnitude()).prop_map(|(count, mean)| Preference { count, mass: count as f64 * mean });
    prop::collection::btree_map(ids, preference, 1..=most)
}

/// One of the weightings of a comparison: by mass, by mean activation, by count.
pub fn weight() -> impl Strategy<Value = Weight> {
    const WEIGHTS: [Weight; 3] = [|p| p.mass, |p| p.mass / p.count as f64, |p| p.count as f64];
    (0..WEIGHTS.len()).prop_map(|i| WEIGHTS[i])
}

/// 1 to 8 rows in any weighting. Sides overlap, share every feature, share none, or are the same; most rows are short,
/// some have up to 60 features.
pub fn pairs() -> impl Strategy<Value = Pairs> {
    let few = || preferences(0..FEATURES, 6);
    let row = prop_oneof![
        6 => (few(), few()).prop_map(<[_; 2]>::from),
        1 => (preferences(0..4, 4), preferences(4..8, 4)).prop_map(<[_; 2]>::from),
        1 => few().prop_map(|side| [side.clone(), side]),
        1 => (preferences(0..60, 40), preferences(0..60, 40)).prop_map(<[_; 2]>::from),
        2 => shared_row(),
    ];
    (prop::collection::vec(row, 1..=8), weight()).prop_map(|(rows, weight)| Pairs::of(&rows, weight))
}

/// As [`pairs`], of rows where both sides prefer every feature.
pub fn shared_pairs() -> impl Strategy<Value = Pairs> {
    (prop::collection::vec(shared_row(), 1..=8), weight()).prop_map(|(rows, weight)| Pairs::of(&rows, weight))
}

/// A row where both sides prefer the same features.
fn shared_row() -> impl Strategy<Value = [Preferences; 2]> {
    preferences(0..FEATURES, 6).prop_flat_map(|side| {
        let other = prop::collection::vec((1_u64..8, magnitude()), side.len());
        (Just(side), other).prop_map(|(side, other)| {
            let other = other.into_iter().map(|(count, mean)| Preference { count, mass: count as f64 * mean });
            let other = side.keys().copied().zip(other).collect();
            [side, other]
        })
    })
}

/// The three pairs (a, b), (b, c), (a, c) of three preferences, row by row.
pub fn triples() -> impl Strategy<Value = [Pairs; 3]> {
    let side = || preferences(0..6, 5);
    let row = (side(), side(), side());
    (prop::collection::vec(row, 1..=6), weight()).prop_map(|(rows, weight)| {
        let of = |pick: fn(&(Preferences, Preferences, Preferences)) -> [&Preferences; 2]| {
            let rows: Vec<[Preferences; 2]> = rows.iter().map(|row| pick(row).map(Clone::clone)).collect();
            Pairs::of(&rows, weight)
        };
        [of(|r| [&r.0, &r.1]), of(|r| [&r.1, &r.2]), of(|r| [&r.0, &r.2])]
    })
}

/// 3 to 8 preferences over a few features, in any weighting.
pub fn families() -> impl Strategy<Value = Family> {
    let members = prop::collection::vec(preferences(0..6, 5), 3..=8);
    (members, weight()).prop_map(|(members, weight)| Family { members, weight })
}

/// Preferences that are held against each other, each against each.
#[derive(Clone)]
pub struct Family {
    members: Vec<Preferences>,
    weight: Weight,
}

impl Family {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All pairs, those of one with itself too: row `len * i + j` has the sides `i` and `j`.
    pub fn pairs(&self) -> Pairs {
        let row = |first: &Preferences| self.members.iter().map(|second| [first.clone(), second.clone()]).collect();
        let rows: Vec<_> = self.members.iter().flat_map(|first| -> Vec<_> { row(first) }).collect();
        Pairs::of(&rows, self.weight)
    }
}

/// Member by member, so that a failing case can be read.
impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.pairs();
        let with_itself = pairs.batch().rows().step_by(self.len() + 1);
        let members =
            with_itself.map(|row| Member { features: row.features, p: row.p, count: row.count_p, mass: row.mass_p });
        f.debug_list().entries(members).finish()
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "it is there to be shown")]
struct Member<'a> {
    features: &'a [u32],
    p: &'a [f64],
    count: &'a [u64],
    mass: &'a [f64],
}

/// An owned [`MetricBatch`].
#[derive(Clone, PartialEq)]
pub struct Pairs {
    offsets: Vec<u64>,
    features: Vec<u32>,
    count: [Vec<u64>; 2],
    mass: [Vec<f64>; 2],
    p: [Vec<f64>; 2],
    names: StringTable,
}

impl Pairs {
    /// Rows of the (count, mass) of both sides by feature, over the features named. A side's probabilities are its
    /// masses made to sum to 1. Each side of each row needs mass.
    pub fn new(names: &[&str], rows: &[Vec<[(u64, f64); 2]>]) -> Self {
        let mut pairs = Self::empty(names.iter().collect());
        for row in rows {
            let entries = row.iter().zip(0..).map(|(&sides, feature)| (feature, sides));
            pairs.push(entries, |preference| preference.mass);
        }
        pairs
    }

    /// Rows over the union of both sides' features, as a comparison makes them.
    pub fn of(rows: &[[Preferences; 2]], weight: impl Fn(Preference) -> f64) -> Self {
        let ids = rows.iter().flatten().flat_map(|side| side.keys()).max().map_or(0, |most| most + 1);
        Self::named((0..ids).map(name).collect(), rows, weight)
    }

    /// As [`Pairs::of`], with these names for all features that there are.
    pub fn named(names: StringTable, rows: &[[Preferences; 2]], weight: impl Fn(Preference) -> f64) -> Self {
        let mut pairs = Self::empty(names);
        for row in rows {
            let side = |side: usize, feature| row[side].get(&feature).map_or((0, 0.0), |p| (p.count, p.mass));
            let mut union: Vec<u32> = row.iter().flat_map(|side| side.keys().copied()).collect();
            union.sort_unstable();
            union.dedup();
            pairs.push(union.into_iter().map(|feature| (feature, [side(0, feature), side(1, feature)])), &weight);
        }
        pairs
    }

    fn empty(names: StringTable) -> Self {
        Self {
            offsets: vec![0],
            features: Vec::new(),
            count: Default::default(),
            mass: Default::default(),
            p: Default::default(),
            names,
        }
    }

    fn push(&mut self, row: impl Iterator<Item = (u32, [(u64, f64); 2])>, weight: impl Fn(Preference) -> f64) {
        let start = self.features.len();
        for (feature, sides) in row {
            self.features.push(feature);
            for (side, (count, mass)) in sides.into_iter().enumerate() {
                self.count[side].push(count);
                self.mass[side].push(mass);
                self.p[side].push(if mass == 0.0 { 0.0 } else { weight(Preference { count, mass }) });
            }
        }
        for side in &mut self.p {
            let whole: f64 = side[start..].iter().sum();
            side[start..].iter_mut().for_each(|p| *p /= whole);
        }
        self.offsets.push(self.features.len() as u64);
    }

    /// Two rows of three features, for where any input will do.
    pub fn example() -> Self {
        let row = |q| vec![[(1, 1.0), (2, 0.5)], [(0, 0.0), (1, q)], [(3, 3.0), (0, 0.0)]];
        Self::new(&["the", "Straße", "😀"], &[row(0.5), row(1.5)])
    }

    /// As a metric is given it.
    pub fn batch(&self) -> MetricBatch<'_> {
        let ([count_p, count_q], [mass_p, mass_q], [p, q]) = (&self.count, &self.mass, &self.p);
        let names = self.names.as_strings();
        MetricBatch { offsets: &self.offsets, features: &self.features, p, q, count_p, count_q, mass_p, mass_q, names }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These rows alone.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        let (start, end) = (self.offsets[rows.start], self.offsets[rows.end]);
        let at = start as usize..end as usize;
        Self {
            offsets: self.offsets[rows.start..=rows.end].iter().map(|offset| offset - start).collect(),
            features: self.features[at.clone()].to_vec(),
            count: [0, 1].map(|side: usize| self.count[side][at.clone()].to_vec()),
            mass: [0, 1].map(|side: usize| self.mass[side][at.clone()].to_vec()),
            p: [0, 1].map(|side: usize| self.p[side][at.clone()].to_vec()),
            names: self.names.clone(),
        }
    }

    /// With the sides exchanged.
    #[must_use]
    pub fn swapped(mut self) -> Self {
        self.count.swap(0, 1);
        self.mass.swap(0, 1);
        self.p.swap(0, 1);
        self
    }

    /// With the first side on both sides: every row has distance 0 to itself.
    #[must_use]
    pub fn with_itself(&self) -> Self {
        let mut alone = Self::empty(self.names.clone());
        for row in self.batch().rows() {
            let of_row = (0..row.p.len()).filter(|&i| row.p[i] > 0.0);
            for i in of_row {
                alone.features.push(row.features[i]);
                for side in 0..2 {
                    alone.count[side].push(row.count_p[i]);
                    alone.mass[side].push(row.mass_p[i]);
                    alone.p[side].push(row.p[i]);
                }
            }
            alone.offsets.push(alone.features.len() as u64);
        }
        alone
    }

    /// With its features numbered anew, in the opposite order and with gaps. The names go with their features.
    #[must_use]
    pub fn renumbered(&self) -> Self {
        let ids = self.names.len() as u32;
        let new = |feature: u32| 3 * (ids - 1 - feature) + 1;
        let names = (0..3 * ids).map(|id| match (id % 3, id / 3) {
            (1, turned) => self.names.get((ids - 1 - turned) as usize).unwrap_or_default().to_owned(),
            _ => format!("never met {id}"),
        });
        let mut turned = Self::empty(names.collect());
        for row in 0..self.len() {
            for i in (self.offsets[row] as usize..self.offsets[row + 1] as usize).rev() {
                turned.features.push(new(self.features[i]));
                for side in 0..2 {
                    turned.count[side].push(self.count[side][i]);
                    turned.mass[side].push(self.mass[side][i]);
                    turned.p[side].push(self.p[side][i]);
                }
            }
            turned.offsets.push(turned.features.len() as u64);
        }
        turned
    }

    /// Overwrites all values in place: a plugin that kept a pointer to them reads nonsense from now on.
    pub fn overwrite(&mut self) {
        self.offsets.fill(0);
        self.features.fill(0);
        self.count.iter_mut().for_each(|count| count.fill(7_777));
        self.mass.iter_mut().chain(&mut self.p).for_each(|values| values.fill(f64::NAN));
    }
}

/// The name of a feature: some are no plain words.
fn name(id: u32) -> String {
    match id {
        0 => "the".to_owned(),
        1 => "Straße".to_owned(),
        2 => String::new(),
        3 => "😀".to_owned(),
        id => format!("w{id}"),
    }
}

/// Row by row, so that a failing case can be read.
impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.batch().rows()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest! {
        #[test]
        fn pairs_are_what_a_metric_is_promised(pairs in pairs()) {
            let batch = pairs.batch();
            prop_assert!(batch.is_consistent());
            for row in batch.rows() {
                prop_assert!(row.features.is_sorted_by(|a, b| a < b));
                prop_assert!(row.features.iter().all(|&f| (f as usize) < batch.names.len()));
                for side in [row.p, row.q] {
                    prop_assert!((side.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                }
                for i in 0..row.features.len() {
                    prop_assert!(row.count_p[i] + row.count_q[i] > 0);
                    prop_assert_eq!(row.count_p[i] > 0, row.p[i] > 0.0);
                    prop_assert_eq!(row.count_q[i] > 0, row.mass_q[i] > 0.0);
                }
            }
        }

        #[test]
        fn a_family_is_paired_each_with_each(family in families()) {
            let (pairs, n) = (family.pairs(), family.len());
            prop_assert_eq!(pairs.len(), n * n);
            let rows: Vec<_> = pairs.batch().rows().collect();
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let (row, turned) = (rows[n * i + j], rows[n * j + i]);
                prop_assert_eq!((row.p, row.mass_q), (turned.q, turned.mass_p));
                let present = |side: &[u64]| -> Vec<u32> {
                    row.features.iter().zip(side).filter(|&(_, &count)| count > 0).map(|(&feature, _)| feature).collect()
                };
                prop_assert_eq!(present(row.count_p), rows[n * i + i].features);
                prop_assert_eq!(present(row.count_q), rows[n * j + j].features);
            }
        }

        #[test]
        fn renumbering_keeps_each_feature_with_its_name_and_its_values(pairs in pairs()) {
            let turned = pairs.renumbered();
            prop_assert!(turned.batch().is_consistent());
            for (row, other) in pairs.batch().rows().zip(turned.batch().rows()) {
                prop_assert!(other.features.is_sorted_by(|a, b| a < b));
                let named = |pairs: &Pairs, row: txray_plugin::Pair<'_>| {
                    let mut named: Vec<_> = (0..row.features.len())
                        .map(|i| (pairs.names.get(row.features[i] as usize).unwrap().to_owned(), row.p[i], row.mass_q[i]))
                        .collect();
                    named.sort_by(|a, b| a.0.cmp(&b.0));
                    named
                };
                prop_assert_eq!(named(&pairs, row), named(&turned, other));
            }
        }

        #[test]
        fn rows_cut_out_are_the_rows(pairs in pairs(), at in any::<prop::sample::Index>()) {
            let row = at.index(pairs.len());
            let cut = pairs.rows(row..row + 1);
            prop_assert_eq!(cut.batch().rows().next().unwrap().p, pairs.batch().rows().nth(row).unwrap().p);
        }
    }
}
