//! Two stages held against each other: the fate of each neuron, and how far its preferences moved.

use hashbrown::HashMap;
use txray_plugin::{Host, Level, MetricBatch, PreferenceMetric, StringTable};

use crate::comparison::{Comparison, ComparisonRow, LeftOut};
use crate::error::{MethodError, MethodResult};
use crate::fate::Fate;
use crate::preferences::{Preference, Preferences, Row};
use crate::weighting::Weighting;

/// How to compare.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The layers compared: each is one of both stages.
    pub layers: Vec<String>,
    /// What preferences are weighted by.
    pub weighting: Weighting,
    /// Features observed less often than this, both stages pooled, are left out.
    pub min_count: u64,
}

/// Compares two stages that were read at the same sites. Each metric is called once a layer, with all its neurons.
pub fn compare(
    from: &Preferences,
    to: &Preferences,
    settings: &Settings,
    metrics: &[(String, Box<dyn PreferenceMetric>)],
    host: &Host<'_>,
) -> MethodResult<Comparison> {
    if from.sites != to.sites {
        return Err(MethodError::Sites);
    }
    let mut by_layer: Vec<Vec<ComparisonRow>> = Vec::new();
    let mut left_out = Vec::new();
    for (index, layer) in settings.layers.iter().enumerate() {
        let pairs = Pairs::of([from, to], layer, settings)?;
        let mut rows = Vec::new();
        let mut lengths = HashMap::new();
        for (row, &(site, neuron)) in pairs.neurons.iter().enumerate() {
            let at = pairs.offsets[row] as usize..pairs.offsets[row + 1] as usize;
            let length = |count: &[u64]| count[at.clone()].iter().filter(|&&c| c > 0).count() as u64;
            let lengths_of = [length(&pairs.count[0]), length(&pairs.count[1])];
            lengths.insert((site, neuron), (lengths_of, at.len() as u64));
        }
        let (defined, batch) = pairs.defined();
        let mut distances: HashMap<(usize, u32), Vec<Option<f64>>> = HashMap::new();
        for (name, metric) in metrics {
            let mut out = vec![f64::NAN; defined.len()];
            metric
                .distances(host, &batch.view(), &mut out)
                .map_err(|source| MethodError::Metric { name: name.clone(), source })?;
            if !out.is_empty() && out.iter().all(|distance| distance.is_nan()) {
                let message =
                    format!("`{name}` gives no distance at all in `{layer}`: it is NaN for all {} neurons", out.len());
                host.log(Level::Warning, &message);
            }
            for (&neuron, &distance) in defined.iter().zip(&out) {
                distances.entry(neuron).or_default().push(Some(distance).filter(|d| !d.is_nan()));
            }
        }
        for (site, totals) in from.totals.iter().zip(&to.totals).enumerate() {
            for (neuron, (a, b)) in totals.0.iter().zip(totals.1).enumerate() {
                let key = (site, neuron as u32);
                let (lengths, union_length) = lengths.get(&key).copied().unwrap_or_default();
                rows.push(ComparisonRow {
                    site,
                    neuron: neuron as u32,
                    layer: index,
                    fate: Fate::of(a.count > 0, b.count > 0),
                    counts: [a.count, b.count],
                    lengths,
                    union_length,
                    distances: distances.remove(&key).unwrap_or_else(|| vec![None; metrics.len()]),
                });
            }
        }
        by_layer.push(rows);
        left_out.push(pairs.left_out);
    }
    let mut rows: Vec<_> = by_layer.into_iter().flatten().collect();
    rows.sort_by_key(|row| (row.site, row.neuron, row.layer));
    Ok(Comparison {
        sites: from.sites.iter().map(|site| site.name.clone()).collect(),
        layers: settings.layers.clone(),
        metrics: metrics.iter().map(|(name, _)| name.clone()).collect(),
        rows,
        left_out,
    })
}

/// The preferences of both sides in one layer, over the union of their features: ragged columns by neuron.
struct Pairs {
    neurons: Vec<(usize, u32)>,
    offsets: Vec<u64>,
    features: Vec<u32>,
    weight: [Vec<f64>; 2],
    count: [Vec<u64>; 2],
    mass: [Vec<f64>; 2],
    names: StringTable,
    left_out: LeftOut,
}

impl Pairs {
    fn of(sides: [&Preferences; 2], layer: &str, settings: &Settings) -> MethodResult<Self> {
        let mut entries: Vec<(usize, u32, &str, [Preference; 2])> = Vec::new();
        let mut rows = Vec::new();
        for side in sides {
            let index = side.layers.iter().position(|l| l.name == layer);
            let index = index.ok_or_else(|| MethodError::NoLayer { layer: layer.to_owned() })?;
            rows.push(side.rows().into_iter().filter(|row| row.layer == index).collect::<Vec<Row<'_>>>());
        }
        // Both are in the order of (site, neuron, feature), so their union is one merge.
        let (mut a, mut b) = (rows[0].iter().peekable(), rows[1].iter().peekable());
        loop {
            let ordering = match (a.peek(), b.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => (a.site, a.neuron, a.feature).cmp(&(b.site, b.neuron, b.feature)),
            };
            let left = if ordering.is_le() { a.next() } else { None };
            let right = if ordering.is_ge() { b.next() } else { None };
            let Some(row) = left.or(right) else { break };
            let preference = |row: Option<&Row<'_>>| row.map(|r| r.preference).unwrap_or_default();
            entries.push((row.site, row.neuron, row.feature, [preference(left), preference(right)]));
        }
        Ok(Self::gather(&entries, settings))
    }

    fn gather(entries: &[(usize, u32, &str, [Preference; 2])], settings: &Settings) -> Self {
        let mut names: Vec<&str> = entries.iter().map(|entry| entry.2).collect();
        names.sort_unstable();
        names.dedup();
        // Ids follow the order of the names, so that rows in order of names are in order of ids.
        let ids: HashMap<&str, u32> = names.iter().zip(0..).map(|(name, id)| (*name, id)).collect();
        let mut pairs = Self {
            neurons: Vec::new(),
            offsets: vec![0],
            features: Vec::new(),
            weight: Default::default(),
            count: Default::default(),
            mass: Default::default(),
            names: names.iter().collect(),
            left_out: LeftOut::default(),
        };
        for &(site, neuron, feature, sides) in entries {
            let kept = sides[0].count.saturating_add(sides[1].count) >= settings.min_count;
            for (side, preference) in sides.iter().enumerate() {
                let mass = preference.mass.to_f64();
                pairs.left_out.of[side] += mass;
                if kept {
                    pairs.weight[side].push(settings.weighting.weight(preference));
                    pairs.count[side].push(preference.count);
                    pairs.mass[side].push(mass);
                } else {
                    pairs.left_out.mass[side] += mass;
                }
            }
            if kept {
                if pairs.neurons.last() != Some(&(site, neuron)) {
                    pairs.neurons.push((site, neuron));
                    pairs.offsets.push(pairs.features.len() as u64);
                }
                pairs.features.push(ids[feature]);
                let last = pairs.offsets.len() - 1;
                pairs.offsets[last] = pairs.features.len() as u64;
            }
        }
        pairs
    }

    /// The neurons that have weight on both sides, and their columns with the weights made to sum to 1.
    fn defined(&self) -> (Vec<(usize, u32)>, Batch<'_>) {
        let mut batch = Batch::of(self);
        let mut neurons = Vec::new();
        for (row, &neuron) in self.neurons.iter().enumerate() {
            let at = self.offsets[row] as usize..self.offsets[row + 1] as usize;
            let sums = [0, 1].map(|side: usize| self.weight[side][at.clone()].iter().sum::<f64>());
            if !(sums[0] > 0.0 && sums[1] > 0.0) {
                continue;
            }
            neurons.push(neuron);
            batch.features.extend_from_slice(&self.features[at.clone()]);
            for side in [0, 1] {
                batch.probability[side].extend(self.weight[side][at.clone()].iter().map(|w| w / sums[side]));
                batch.count[side].extend_from_slice(&self.count[side][at.clone()]);
                batch.mass[side].extend_from_slice(&self.mass[side][at.clone()]);
            }
            batch.offsets.push(batch.features.len() as u64);
        }
        (neurons, batch)
    }
}

/// The columns of a [`MetricBatch`].
struct Batch<'a> {
    pairs: &'a Pairs,
    offsets: Vec<u64>,
    features: Vec<u32>,
    probability: [Vec<f64>; 2],
    count: [Vec<u64>; 2],
    mass: [Vec<f64>; 2],
}

impl<'a> Batch<'a> {
    fn of(pairs: &'a Pairs) -> Self {
        Self {
            pairs,
            offsets: vec![0],
            features: Vec::new(),
            probability: Default::default(),
            count: Default::default(),
            mass: Default::default(),
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
            names: self.pairs.names.as_strings(),
        }
    }
}
