//! Two stages held against each other: the fate of each neuron, and how far its preferences moved.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array, StringArray, UInt32Array, UInt64Array};
use arrow_schema::DataType;
use hashbrown::HashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::{Host, MetricBatch, PreferenceMetric, StringTable};

use crate::error::{Error, Result};
use crate::preferences::{Preference, Preferences, Row};
use crate::tables::{self, TableWriter};

/// What a neuron's preferences are weighted by before they are made to sum to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// The sum of the activations: a feature weighs what it brought.
    #[default]
    Mass,
    /// The mean activation, mass / count: the paper's. A feature seen once weighs like one seen a thousand times.
    Mean,
    /// How often it was observed.
    Count,
}

impl Weighting {
    /// The weight of a preference before normalisation, >= 0.
    pub fn weight(self, preference: &Preference) -> f64 {
        match self {
            _ if preference.count == 0 => 0.0,
            Self::Mass => preference.mass.to_f64(),
            Self::Mean => preference.mass.to_f64() / preference.count as f64,
            Self::Count => preference.count as f64,
        }
    }
}

/// What became of a neuron between two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Alive in both.
    Shared,
    /// Alive in the first alone.
    Lost,
    /// Alive in the second alone.
    Gained,
    /// Alive in neither.
    Dead,
}

impl Fate {
    fn of(alive_from: bool, alive_to: bool) -> Self {
        match (alive_from, alive_to) {
            (true, true) => Self::Shared,
            (true, false) => Self::Lost,
            (false, true) => Self::Gained,
            (false, false) => Self::Dead,
        }
    }

    /// The fate of that name.
    fn named(name: &str) -> Option<Self> {
        [Self::Shared, Self::Lost, Self::Gained, Self::Dead].into_iter().find(|fate| fate.name() == name)
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Lost => "lost",
            Self::Gained => "gained",
            Self::Dead => "dead",
        }
    }
}

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

/// One neuron in one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonRow {
    /// Index of the site.
    pub site: usize,
    /// The neuron.
    pub neuron: u32,
    /// Index into [`Settings::layers`].
    pub layer: usize,
    /// What became of it.
    pub fate: Fate,
    /// How often it was observed with an activation > 0, from and to.
    pub counts: [u64; 2],
    /// Distinct features it prefers, from and to.
    pub lengths: [u64; 2],
    /// Distinct features of both sides together.
    pub union_length: u64,
    /// One distance a metric; `None` where it is undefined.
    pub distances: Vec<Option<f64>>,
}

/// Mass that `min_count` left out, and of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Mass left out, from and to.
    pub mass: [f64; 2],
    /// Mass in all, from and to.
    pub of: [f64; 2],
}

/// Two stages held against each other.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Names of the sites.
    pub sites: Vec<String>,
    /// Names of the layers.
    pub layers: Vec<String>,
    /// Names of the metrics.
    pub metrics: Vec<String>,
    /// One row for each site, neuron and layer, in this order.
    pub rows: Vec<ComparisonRow>,
    /// By layer, what `min_count` left out.
    pub left_out: Vec<LeftOut>,
}

/// What a comparison comes to: `comparisons/<name>.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The stages.
    pub from: String,
    /// The stages.
    pub to: String,
    /// What preferences were weighted by.
    pub weighting: Weighting,
    /// Features observed less often than this, both stages pooled, were left out.
    pub min_count: u64,
    /// How many neurons met which fate.
    pub fates: Fates,
    /// By layer.
    pub layers: BTreeMap<String, LayerSummary>,
}

/// How many neurons met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the fates")]
pub struct Fates {
    pub shared: u64,
    pub lost: u64,
    pub gained: u64,
    pub dead: u64,
}

/// One layer of a [`Summary`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerSummary {
    /// What `min_count` left out.
    pub left_out: LeftOut,
    /// By metric.
    pub metrics: BTreeMap<String, MetricSummary>,
}

/// One metric of a [`LayerSummary`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MetricSummary {
    /// Neurons whose distance is defined.
    pub neurons: u64,
    /// Mean distance over them; it is raw, and so mostly the noise of finite samples.
    pub mean: Option<f64>,
}

/// Compares two stages that were read at the same sites. Each metric is called once a layer, with all its neurons.
pub fn compare(
    from: &Preferences,
    to: &Preferences,
    settings: &Settings,
    metrics: &[(String, Box<dyn PreferenceMetric>)],
    host: &Host<'_>,
) -> Result<Comparison> {
    if from.sites != to.sites {
        return Err(Error::User("the stages were read at different sites: their neurons are not the same".to_owned()));
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
                .map_err(|e| Error::from(e).context(format_args!("metric `{name}`")))?;
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
    fn of(sides: [&Preferences; 2], layer: &str, settings: &Settings) -> Result<Self> {
        let mut entries: Vec<(usize, u32, &str, [Preference; 2])> = Vec::new();
        let mut rows = Vec::new();
        for side in sides {
            let index = side.layers.iter().position(|l| l.name == layer);
            let index = index.ok_or_else(|| Error::User(format!("a stage was read without the layer `{layer}`")))?;
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
            let kept = sides[0].count + sides[1].count >= settings.min_count;
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

impl Comparison {
    /// How many neurons met which fate.
    pub fn fates(&self) -> Fates {
        let mut fates = Fates::default();
        // Fates are of neurons, not of layers.
        for row in self.rows.iter().filter(|row| row.layer == 0) {
            match row.fate {
                Fate::Shared => fates.shared += 1,
                Fate::Lost => fates.lost += 1,
                Fate::Gained => fates.gained += 1,
                Fate::Dead => fates.dead += 1,
            }
        }
        fates
    }

    /// Mean of a metric over the neurons of a layer where it is defined, and how many they are.
    pub fn mean(&self, layer: usize, metric: usize) -> MetricSummary {
        let values: Vec<f64> =
            self.rows.iter().filter(|row| row.layer == layer).filter_map(|row| row.distances[metric]).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        MetricSummary { neurons: values.len() as u64, mean: Some(mean).filter(|m| m.is_finite()) }
    }

    /// What it comes to.
    pub fn summary(&self, from: &str, to: &str, settings: &Settings) -> Summary {
        let metrics =
            |layer| self.metrics.iter().enumerate().map(|(i, name)| (name.clone(), self.mean(layer, i))).collect();
        let layers = self
            .layers
            .iter()
            .enumerate()
            .map(|(i, name)| (name.clone(), LayerSummary { left_out: self.left_out[i], metrics: metrics(i) }));
        Summary {
            from: from.to_owned(),
            to: to.to_owned(),
            weighting: settings.weighting,
            min_count: settings.min_count,
            fates: self.fates(),
            layers: layers.collect(),
        }
    }

    /// Reads a table that [`Comparison::write`] wrote. What `min_count` left out is in the summary, not here.
    pub fn read(path: &Path, metrics: &[String]) -> Result<Self> {
        let mut all = Self {
            sites: Vec::new(),
            layers: Vec::new(),
            metrics: metrics.to_vec(),
            rows: Vec::new(),
            left_out: Vec::new(),
        };
        for batch in tables::read(path)? {
            let batch = batch?;
            let [site, layer, fate] = [batch.text("site")?, batch.text("layer")?, batch.text("fate")?];
            let neuron = batch.numbers::<UInt32Type>("neuron")?;
            let count = |name| batch.numbers::<UInt64Type>(name);
            let [count_from, count_to] = [count("count_from")?, count("count_to")?];
            let [length_from, length_to] = [count("length_from")?, count("length_to")?];
            let union_length = count("union_length")?;
            let distances = metrics.iter().map(|metric| batch.numbers::<Float64Type>(metric));
            let distances = distances.collect::<Result<Vec<_>>>()?;
            for row in 0..batch.len() {
                let fate = Fate::named(fate.value(row));
                all.rows.push(ComparisonRow {
                    site: index_of(&mut all.sites, site.value(row)),
                    neuron: neuron.value(row),
                    layer: index_of(&mut all.layers, layer.value(row)),
                    fate: fate.ok_or_else(|| Error::User(format!("{} holds an unknown fate", path.display())))?,
                    counts: [count_from.value(row), count_to.value(row)],
                    lengths: [length_from.value(row), length_to.value(row)],
                    union_length: union_length.value(row),
                    distances: distances.iter().map(|d| d.is_valid(row).then(|| d.value(row))).collect(),
                });
            }
        }
        all.left_out = vec![LeftOut::default(); all.layers.len()];
        Ok(all)
    }

    /// Writes `comparisons/<name>.parquet`.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut columns = vec![
            ("site", DataType::Utf8, false),
            ("neuron", DataType::UInt32, false),
            ("layer", DataType::Utf8, false),
            ("fate", DataType::Utf8, false),
            ("count_from", DataType::UInt64, false),
            ("count_to", DataType::UInt64, false),
            ("length_from", DataType::UInt64, false),
            ("length_to", DataType::UInt64, false),
            ("union_length", DataType::UInt64, false),
        ];
        columns.extend(self.metrics.iter().map(|name| (name.as_str(), DataType::Float64, true)));
        let mut table = TableWriter::create(path, &columns)?;
        let rows = &self.rows;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &self.sites[r.site]))),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| r.neuron))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &self.layers[r.layer]))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.fate.name()))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.counts[0]))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.counts[1]))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.lengths[0]))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.lengths[1]))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.union_length))),
        ];
        for metric in 0..self.metrics.len() {
            columns.push(Arc::new(rows.iter().map(|r| r.distances[metric]).collect::<Float64Array>()));
        }
        table.write(columns)?;
        table.finish()
    }
}

/// The place of a name in a list, where it is put if it is new.
fn index_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}
