//! What both sides of a comparison have in common: how they are held against each other, and the names of their features.

use std::cmp::Ordering;

use txray_plugin::{Host, MetricBatch, NULL, PreferenceMetric, StringTable};

use crate::error::{MethodError, MethodResult};
use crate::preferences::Preferences;
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
    /// Whether the stages read different texts: then distances are told of standardized frequencies, too.
    pub texts_differ: bool,
}

/// A distance.
pub struct Metric {
    /// The name of its column.
    pub name: String,
    /// What tells it.
    pub metric: Box<dyn PreferenceMetric>,
    /// Whether it claims that no distance is below 0 or above 1.
    pub bounded: bool,
    /// Whether it claims that `1 - d²` is an affinity, by which distances can be corrected.
    pub affine: bool,
}

/// What stands where a metric has yet to write: a NaN that no arithmetic makes.
const UNWRITTEN: u64 = 0x7ff8_7872_6179_0001;

/// Rounding that a distance may be beyond its bounds by.
const ROUNDING: f64 = 1e-9;

impl Metric {
    /// The distances of rows, which are of these neurons; NaN where one is undefined.
    ///
    /// # Errors
    /// Those of the metric; distances that it has not written, or that cannot be.
    pub(crate) fn distances(
        &self,
        host: &Host<'_>,
        batch: &MetricBatch<'_>,
        neurons: &[usize],
        out: &mut Vec<f64>,
    ) -> MethodResult<()> {
        out.clear();
        out.resize(neurons.len(), f64::from_bits(UNWRITTEN));
        let asked = self.metric.distances(host, batch, out);
        asked.map_err(|source| MethodError::Metric { name: self.name.clone(), source })?;
        let is_beyond = |distance: f64| self.bounded && !(-ROUNDING..=1.0 + ROUNDING).contains(&distance);
        for (&distance, &neuron) in out.iter().zip(neurons) {
            let what = match distance {
                _ if distance.to_bits() == UNWRITTEN => "no distance: it wrote too few values".to_owned(),
                _ if distance.is_nan() => continue,
                _ if distance.is_infinite() => format!("the distance {distance}"),
                _ if is_beyond(distance) => format!("the distance {distance}, and claims to be `bounded`, from 0 to 1"),
                _ => continue,
            };
            return Err(MethodError::Distance { name: self.name.clone(), neuron, what });
        }
        Ok(())
    }
}

/// Pairs of distributions, ragged: a row a neuron that has one on both sides, over the union of their features.
#[derive(Default)]
pub(crate) struct Rows {
    /// The neurons of the rows.
    pub neurons: Vec<usize>,
    /// `[rows + 1]`
    pub offsets: Vec<u64>,
    pub features: Vec<u32>,
    /// Weights of the row that is being made, and then probabilities.
    pub probability: [Vec<f64>; 2],
    pub count: [Vec<u64>; 2],
    pub mass: [Vec<f64>; 2],
}

impl Rows {
    pub fn with_capacity(entries: usize) -> Self {
        Self {
            offsets: vec![0],
            features: Vec::with_capacity(entries),
            probability: [(); 2].map(|()| Vec::with_capacity(entries)),
            count: [(); 2].map(|()| Vec::with_capacity(entries)),
            mass: [(); 2].map(|()| Vec::with_capacity(entries)),
            neurons: Vec::new(),
        }
    }

    pub fn clear(&mut self) {
        self.neurons.clear();
        self.offsets.clear();
        self.offsets.push(0);
        self.cut(0);
    }

    /// Where the row that is being made begins.
    pub fn start(&self) -> usize {
        self.offsets.last().map_or(0, |&offset| offset as usize)
    }

    /// Makes the weights of a neuron, which sum to so much, a row; drops them where a side has none, and gives whether it is one.
    pub fn end(&mut self, neuron: usize, sums: [f64; 2]) -> bool {
        let start = self.start();
        if sums.iter().any(|sum| !(*sum > 0.0 && sum.is_finite())) {
            self.cut(start);
            return false;
        }
        for (weights, sum) in self.probability.iter_mut().zip(sums) {
            weights[start..].iter_mut().for_each(|weight| *weight /= sum);
        }
        self.neurons.push(neuron);
        self.offsets.push(self.features.len() as u64);
        true
    }

    fn cut(&mut self, at: usize) {
        self.features.truncate(at);
        self.probability.iter_mut().chain(&mut self.mass).for_each(|column| column.truncate(at));
        self.count.iter_mut().for_each(|column| column.truncate(at));
    }

    /// As a metric is given them.
    pub fn view<'a>(&'a self, names: &'a StringTable) -> MetricBatch<'a> {
        MetricBatch {
            offsets: &self.offsets,
            features: &self.features,
            p: &self.probability[0],
            q: &self.probability[1],
            count_p: &self.count[0],
            count_q: &self.count[1],
            mass_p: &self.mass[0],
            mass_q: &self.mass[1],
            names: names.as_strings(),
        }
    }
}

/// The names of two sides, each once in rising order, and what the numbers of each side are among them.
pub(crate) struct Union {
    pub names: StringTable,
    pub numbers: [Vec<u32>; 2],
}

impl Union {
    pub fn of(sides: [&StringTable; 2]) -> Self {
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

    /// How much of all observations are of each.
    pub fn shares(&self, sides: [&Preferences; 2]) -> Vec<f64> {
        let mut counts = vec![0_u64; self.names.len()];
        for (side, numbers) in sides.iter().zip(&self.numbers) {
            for (count, &number) in side.counts().iter().zip(numbers) {
                let sum = &mut counts[number as usize];
                *sum = sum.saturating_add(*count);
            }
        }
        let all = counts.iter().fold(0_u64, |sum, &count| sum.saturating_add(count)) as f64;
        counts.into_iter().map(|count| count as f64 / all).collect()
    }
}

/// The names of the features of both sides in a layer, in rising order, and how much of all observations are of each.
pub(crate) fn shares(sides: [&Preferences; 2]) -> (StringTable, Vec<f64>) {
    let union = Union::of(sides.map(Preferences::features));
    let shares = union.shares(sides);
    (union.names, shares)
}

/// Which of two comes next: `None` where both are at their end.
pub(crate) fn order<T: Ord>(a: Option<&T>, b: Option<&T>) -> Option<Ordering> {
    match (a, b) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(a), Some(b)) => Some(a.cmp(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes these, as far as there is room.
    struct Given(&'static [f64]);

    impl PreferenceMetric for Given {
        fn distances(&self, _: &Host<'_>, _: &MetricBatch<'_>, out: &mut [f64]) -> txray_plugin::Result<()> {
            out.iter_mut().zip(self.0).for_each(|(out, given)| *out = *given);
            Ok(())
        }
    }

    #[test]
    fn what_is_no_distance_is_told_with_its_neuron() {
        let (rows, names) = (Rows::default(), StringTable::new());
        let asked = |given: &'static [f64], bounded: bool| {
            let metric = Metric { name: "given".to_owned(), metric: Box::new(Given(given)), bounded, affine: false };
            let mut out = vec![7.0];
            let asked = metric.distances(&Host::detached(), &rows.view(&names), &[3, 8], &mut out);
            asked.map(|()| out).map_err(|error| error.to_string())
        };
        assert_eq!(asked(&[0.5, 1.0 + 1e-12], true), Ok(vec![0.5, 1.0 + 1e-12]));
        assert_eq!(asked(&[-2.0, 7.0], false), Ok(vec![-2.0, 7.0]));
        // Undefined is a thing that a distance may be.
        assert!(asked(&[f64::NAN, 0.0], true).unwrap()[0].is_nan());
        for (given, bounded, expected) in [
            (&[0.5][..], false, "neuron 8 (counted through all sites) no distance: it wrote too few values"),
            (&[0.5, f64::INFINITY], false, "neuron 8 (counted through all sites) the distance inf"),
            (&[1.5, 0.0], true, "neuron 3 (counted through all sites) the distance 1.5, and claims to be `bounded`"),
            (&[0.0, -0.1], true, "neuron 8 (counted through all sites) the distance -0.1, and claims"),
        ] {
            let error = asked(given, bounded).unwrap_err();
            assert!(error.contains("metric `given`") && error.contains(expected), "{error}");
        }
    }
}
