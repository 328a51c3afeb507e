//! What a comparison of two stages comes to: a row a neuron and layer, and its sums.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array, StringArray, UInt32Array, UInt64Array};
use serde::{Deserialize, Serialize};
use txray_tables::columns::comparison;
use txray_tables::{Folder, TableResult};

use crate::error::MethodResult;
use crate::fate::{Fate, Fates};
use crate::weighting::Weighting;

/// One neuron in one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonRow {
    /// Index of the site.
    pub site: usize,
    /// The neuron.
    pub neuron: u32,
    /// Index into [`Comparison::layers`].
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
}

/// What comparing gives: the table, and what stands in the summary alone.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The table.
    pub comparison: Comparison,
    /// `[layers]` what `min_count` left out.
    pub left_out: Vec<LeftOut>,
    /// `[layers]` the neurons that moved furthest; none without a metric.
    pub changed_most: Vec<Option<ChangedMost>>,
}

/// Neurons, and features of each, that [`ChangedMost`] tells of.
pub(crate) const TOLD: usize = 5;
/// Below this many observations on a side a distance is mostly noise, and [`ChangedMost`] does not tell of the neuron.
pub(crate) const ENOUGH: u64 = 20;

/// The neurons that moved furthest in one layer by the first metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedMost {
    /// The metric.
    pub metric: String,
    /// Observations that a neuron needs on both sides to be told of.
    pub at_least: u64,
    /// How many neurons have as many, and a distance.
    pub of: u64,
    /// The first of them.
    pub neurons: Vec<Changed>,
}

/// A neuron that moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Its site.
    pub site: String,
    /// The neuron.
    pub neuron: u32,
    /// How far.
    pub distance: f64,
    /// How often it met the features that its distance is of, from and to.
    pub observations: [u64; 2],
    /// What it preferred most before.
    pub from: Vec<Share>,
    /// And after.
    pub to: Vec<Share>,
}

/// A feature, and its share in a distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Its name.
    pub feature: String,
    /// From 0 to 1.
    pub share: f64,
}

/// What a comparison comes to: `comparisons/<name>.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The earlier stage.
    pub from: String,
    /// The later stage.
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

/// One layer of a [`Summary`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerSummary {
    /// What `min_count` left out.
    pub left_out: LeftOut,
    /// By metric.
    pub metrics: BTreeMap<String, MetricSummary>,
    /// The neurons that moved furthest by the first metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_most: Option<ChangedMost>,
}

/// One metric of a [`LayerSummary`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MetricSummary {
    /// Neurons whose distance is defined.
    pub neurons: u64,
    /// Mean distance over them; it is raw, and so mostly the noise of finite samples.
    pub mean: Option<f64>,
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

    /// Reads a table that [`Comparison::write`] wrote.
    pub fn read(folder: &Folder<'_>, metrics: &[String]) -> MethodResult<Self> {
        let mut all = Self { sites: Vec::new(), layers: Vec::new(), metrics: metrics.to_vec(), rows: Vec::new() };
        for batch in folder.read(&comparison::TABLE)? {
            let batch = batch?;
            let site = batch.text(comparison::SITE)?;
            let (layer, fate) = (batch.text(comparison::LAYER)?, batch.text(comparison::FATE)?);
            let neuron = batch.numbers::<UInt32Type>(comparison::NEURON)?;
            let counts = [comparison::COUNT_FROM, comparison::COUNT_TO, comparison::LENGTH_FROM, comparison::LENGTH_TO];
            let [count_from, count_to, length_from, length_to] =
                counts.map(|column| batch.numbers::<UInt64Type>(column));
            let (counts, lengths) = ([count_from?, count_to?], [length_from?, length_to?]);
            let union_length = batch.numbers::<UInt64Type>(comparison::UNION_LENGTH)?;
            let distances = metrics.iter().map(|metric| batch.numbers::<Float64Type>(metric));
            let distances = distances.collect::<TableResult<Vec<_>>>()?;
            for row in 0..batch.len() {
                let unknown =
                    || folder.malformed(&comparison::TABLE, format!("no fate is called `{}`", fate.value(row)));
                all.rows.push(ComparisonRow {
                    site: index_of(&mut all.sites, site.value(row)),
                    neuron: neuron.value(row),
                    layer: index_of(&mut all.layers, layer.value(row)),
                    fate: Fate::named(fate.value(row)).ok_or_else(unknown)?,
                    counts: counts.map(|column| column.value(row)),
                    lengths: lengths.map(|column| column.value(row)),
                    union_length: union_length.value(row),
                    distances: distances.iter().map(|d| d.is_valid(row).then(|| d.value(row))).collect(),
                });
            }
        }
        Ok(all)
    }

    /// Writes the table of the comparison.
    pub fn write(&self, folder: &Folder<'_>) -> MethodResult<()> {
        let mut table = folder.create(&comparison::TABLE, &self.metrics)?;
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
        Ok(table.finish()?)
    }
}

impl Compared {
    /// What it comes to: of the stages of these names, compared like that.
    pub fn summary(&self, from: &str, to: &str, weighting: Weighting, min_count: u64) -> Summary {
        let Self { comparison, left_out, changed_most } = self;
        let metrics = |layer| {
            let metrics = comparison.metrics.iter().enumerate();
            metrics.map(|(metric, name)| (name.clone(), comparison.mean(layer, metric))).collect()
        };
        let layers = comparison.layers.iter().enumerate().map(|(layer, name)| {
            let (left_out, changed_most) = (left_out[layer], changed_most[layer].clone());
            (name.clone(), LayerSummary { left_out, metrics: metrics(layer), changed_most })
        });
        Summary {
            from: from.to_owned(),
            to: to.to_owned(),
            weighting,
            min_count,
            fates: comparison.fates(),
            layers: layers.collect(),
        }
    }
}

/// The place of a name in a list, where it is put if it is new.
fn index_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}
