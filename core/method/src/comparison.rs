//! What a comparison of two stages comes to: a row a neuron and layer, and its sums.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array, StringArray, UInt32Array, UInt64Array};
use serde::{Deserialize, Serialize};
use txray_tables::columns::{comparison, comparison_features};
use txray_tables::{Folder, ROWS, TableError, TableResult};

use crate::error::MethodResult;
use crate::evidence::{Corrected, Design, Evidence, Joint, JointCorrected, Tested, Unit};
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
    /// Features that it would prefer, from and to, of as many observations as the side with fewer has.
    pub rarefied: [Option<f64>; 2],
    /// Hill numbers of order 1 and 2 of its distributions, from and to.
    pub hill: [[Option<f64>; 2]; 2],
    /// One distance a metric; `None` where it is undefined.
    pub distances: Vec<Option<f64>>,
    /// What became of it with evidence, where that is tested.
    pub fate_tested: Option<Fate>,
    /// p and q of the change of its share of all observations.
    pub count_p: Option<f64>,
    /// See `count_p`.
    pub count_q: Option<f64>,
    /// `[metrics]` what each distance is worth.
    pub worth: Vec<Worth>,
}

/// What a distance is worth: `None` where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are the columns of a metric: `core/tables` says what they are")]
pub struct Worth {
    pub corrected: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub standardized: Option<f64>,
    pub null: Option<f64>,
    pub p: Option<f64>,
    pub q: Option<f64>,
    pub p_max: Option<f64>,
}

impl Worth {
    /// In the order of the columns behind the distance itself.
    fn columns(&mut self) -> [&mut Option<f64>; 8] {
        let Self { corrected, low, high, standardized, null, p, q, p_max } = self;
        [corrected, low, high, standardized, null, p, q, p_max]
    }
}

/// A feature of a neuron, with its term of the squared Hellinger distance.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRow {
    /// Index of the site.
    pub site: usize,
    /// The neuron.
    pub neuron: u32,
    /// Index into [`Comparison::layers`].
    pub layer: usize,
    /// Its name.
    pub feature: String,
    /// How often the neuron met it, from and to.
    pub counts: [u64; 2],
    /// Its shares of the distributions.
    pub shares: [f64; 2],
    /// `(sqrt p - sqrt q)² / 2`.
    pub term: f64,
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

/// Distances of standardized frequencies: the mass of features that both texts have, and of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standardized {
    /// The share of the mass that stays, from and to.
    pub stays: [f64; 2],
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
    /// The features that carry distances, by site, neuron and layer.
    pub features: Vec<FeatureRow>,
    /// `[layers]` of texts that differ.
    pub standardized: Vec<Option<Standardized>>,
    /// `[layers]` all neurons together, where observations tell.
    pub joint: Vec<Option<Joint>>,
}

/// Neurons, and features of each, that [`ChangedMost`] tells of.
pub(crate) const TOLD: usize = 5;

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
    /// Metrics beyond the first: what they find is exploratory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exploratory: Vec<String>,
    /// How it was found out what distances are worth, where observations tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceSummary>,
    /// How many neurons met which fate.
    pub fates: Fates,
    /// The same with evidence, where that is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fates_tested: Option<Fates>,
    /// By layer.
    pub layers: BTreeMap<String, LayerSummary>,
}

/// How it was found out what the distances of a comparison are worth.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvidenceSummary {
    /// What is permuted.
    pub design: Design,
    /// What is drawn as a whole.
    pub unit: Unit,
    /// How many of these there are, from and to.
    pub units: [u64; 2],
    /// Whether documents stand for groups that the corpus does not tell of: where documents hang together, p is too small.
    pub documents_for_groups: bool,
    /// Whether both the model and the text differ, so that it cannot be told which of them made the change.
    pub confounded: bool,
    /// How distances were tested, where they were.
    pub significance: Option<SignificanceSummary>,
}

/// How distances were tested.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SignificanceSummary {
    /// Draws of every neuron.
    pub permutations: u64,
    /// The most of one near the threshold.
    pub most: u64,
    /// The rate of false discoveries that is allowed.
    pub fdr: f64,
}

/// The distance of all neurons together: [`Joint`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct JointSummary {
    /// H of what neurons fire, and for what.
    pub distance: f64,
    /// Of its square: which neurons fire.
    pub usage: f64,
    /// Of its square: what they fire for.
    pub preference: f64,
    /// The same without what finite samples add.
    pub corrected: Option<JointPart>,
    /// The mean distance where nothing changed.
    pub null: Option<f64>,
    /// p of the distance.
    pub p: Option<f64>,
}

/// A joint distance, corrected.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct JointPart {
    /// The distance; the sign is that of its square.
    pub distance: f64,
    /// Its interval of 95 %.
    pub interval: Option<[f64; 2]>,
    /// Of its square: which neurons fire.
    pub usage: f64,
    /// Of its square: what they fire for.
    pub preference: f64,
}

impl JointSummary {
    pub(crate) fn of(joint: Joint) -> Self {
        let Joint { distance, usage, preference, corrected, tested } = joint;
        let corrected = corrected.map(|JointCorrected { distance, usage, preference }| {
            let Corrected { distance, interval } = distance;
            JointPart { distance, interval, usage, preference }
        });
        let (null, p) = (tested.and_then(|of| of.fall.mean()), tested.and_then(|of| of.p));
        Self { distance, usage, preference, corrected, null, p }
    }
}

/// One layer of a [`Summary`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LayerSummary {
    /// All neurons together: the headline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint: Option<JointSummary>,
    /// What `min_count` left out.
    pub left_out: LeftOut,
    /// Of texts that differ, what standardizing their frequencies leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standardized: Option<Standardized>,
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
    /// Neurons that have a p, where distances are tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<u64>,
    /// Of these, those that changed: their q is at most the rate of false discoveries that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
}

impl Comparison {
    /// How many neurons met which fate.
    pub fn fates(&self) -> Fates {
        // Fates are of neurons, not of layers.
        self.rows.iter().filter(|row| row.layer == 0).map(|row| row.fate).collect()
    }

    /// With evidence, where that is tested.
    pub fn fates_tested(&self) -> Option<Fates> {
        let fates: Option<Vec<Fate>> =
            self.rows.iter().filter(|row| row.layer == 0).map(|row| row.fate_tested).collect();
        fates.filter(|fates| !fates.is_empty()).map(|fates| fates.into_iter().collect())
    }

    /// Mean of a metric over the neurons of a layer where it is defined, and how many they are.
    pub fn mean(&self, layer: usize, metric: usize) -> MetricSummary {
        let values: Vec<f64> =
            self.rows.iter().filter(|row| row.layer == layer).filter_map(|row| row.distances[metric]).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        MetricSummary {
            neurons: values.len() as u64,
            mean: Some(mean).filter(|m| m.is_finite()),
            tested: None,
            changed: None,
        }
    }

    /// The same, with how many neurons changed at that rate of false discoveries.
    fn changed(&self, layer: usize, metric: usize, fdr: Option<f64>) -> MetricSummary {
        let of_layer = || self.rows.iter().filter(|row| row.layer == layer).filter_map(|row| row.worth[metric].q);
        let count = |of: &dyn Fn(f64, f64) -> bool| fdr.map(|fdr| of_layer().filter(|&q| of(q, fdr)).count() as u64);
        MetricSummary { tested: count(&|_, _| true), changed: count(&|q, fdr| q <= fdr), ..self.mean(layer, metric) }
    }

    /// Reads a table that [`Compared::write`] wrote.
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
            let numbers = |column: &str| batch.numbers::<Float64Type>(column);
            let [rarefied, hill_1, hill_2] = [
                [comparison::RAREFIED_FROM, comparison::RAREFIED_TO],
                [comparison::HILL_1_FROM, comparison::HILL_1_TO],
                [comparison::HILL_2_FROM, comparison::HILL_2_TO],
            ]
            .map(|sides| sides.map(|column| numbers(column.name)));
            let both = |[from, to]: [TableResult<_>; 2]| Ok::<_, TableError>([from?, to?]);
            let (rarefied, hill_1, hill_2) = (both(rarefied)?, both(hill_1)?, both(hill_2)?);
            let tested = batch.text(comparison::FATE_TESTED)?;
            let (count_p, count_q) = (numbers(comparison::COUNT_P.name)?, numbers(comparison::COUNT_Q.name)?);
            let of_metric = |metric: &String| {
                let columns = comparison::TABLE.each.iter().map(|each| numbers(&each.column(metric)));
                columns.collect::<TableResult<Vec<_>>>()
            };
            let of_metrics = metrics.iter().map(of_metric).collect::<TableResult<Vec<_>>>()?;
            fn value(column: &Float64Array, row: usize) -> Option<f64> {
                column.is_valid(row).then(|| column.value(row))
            }
            for row in 0..batch.len() {
                let unknown = |name: &str| folder.malformed(&comparison::TABLE, format!("no fate is called `{name}`"));
                let named = |name: &str| Fate::named(name).ok_or_else(|| unknown(name));
                let worth = |columns: &Vec<&Float64Array>| {
                    let mut worth = Worth::default();
                    worth.columns().into_iter().zip(&columns[1..]).for_each(|(of, column)| *of = value(column, row));
                    worth
                };
                all.rows.push(ComparisonRow {
                    site: index_of(&mut all.sites, site.value(row)),
                    neuron: neuron.value(row),
                    layer: index_of(&mut all.layers, layer.value(row)),
                    fate: named(fate.value(row))?,
                    fate_tested: tested.is_valid(row).then(|| named(tested.value(row))).transpose()?,
                    count_p: value(count_p, row),
                    count_q: value(count_q, row),
                    rarefied: rarefied.map(|column| value(column, row)),
                    hill: [0, 1].map(|side| [hill_1[side], hill_2[side]].map(|column| value(column, row))),
                    counts: counts.map(|column| column.value(row)),
                    lengths: lengths.map(|column| column.value(row)),
                    union_length: union_length.value(row),
                    distances: of_metrics.iter().map(|columns| value(columns[0], row)).collect(),
                    worth: of_metrics.iter().map(worth).collect(),
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
        let tested = rows.iter().map(|row| row.fate_tested.map(Fate::name));
        columns.push(Arc::new(tested.collect::<StringArray>()));
        let mut numbers = |of: &dyn Fn(&ComparisonRow) -> Option<f64>| {
            columns.push(Arc::new(rows.iter().map(of).collect::<Float64Array>()));
        };
        numbers(&|row| row.count_p);
        numbers(&|row| row.count_q);
        for side in 0..2 {
            numbers(&|row| row.rarefied[side]);
        }
        for order in 0..2 {
            for side in 0..2 {
                numbers(&|row| row.hill[side][order]);
            }
        }
        for metric in 0..self.metrics.len() {
            numbers(&|row| row.distances[metric]);
            for column in 0..Worth::default().columns().len() {
                numbers(&|row| {
                    let mut worth = row.worth[metric];
                    *worth.columns()[column]
                });
            }
        }
        table.write(columns)?;
        Ok(table.finish()?)
    }
}

impl Compared {
    /// Adds what the distances are worth.
    pub fn add(&mut self, evidence: &Evidence, fdr: f64) {
        let layers = self.comparison.layers.len();
        for (at, row) in self.comparison.rows.iter_mut().enumerate() {
            let (neuron, of) = (at / layers, &evidence.layers[row.layer]);
            if let Some(counts) = &evidence.counts {
                let tested = counts[neuron];
                (row.count_p, row.count_q) = (tested.and_then(|of| of.p), tested.and_then(|of| of.q));
                row.fate_tested = Some(Fate::tested(row.counts, row.count_q.is_some_and(|q| q <= fdr)));
            }
            for (metric, worth) in row.worth.iter_mut().enumerate().filter(|(at, _)| row.distances[*at].is_some()) {
                if let Some(Corrected { distance, interval }) = of.corrected[metric][neuron] {
                    worth.corrected = Some(distance);
                    (worth.low, worth.high) = interval.map_or((None, None), |[low, high]| (Some(low), Some(high)));
                }
                if let Some(Tested { fall, p, q, p_max }) = of.tested[metric][neuron] {
                    (worth.null, worth.p, worth.q, worth.p_max) = (fall.mean(), p, q, p_max);
                }
            }
        }
        self.joint = evidence.layers.iter().map(|of| Some(of.joint)).collect();
    }

    /// Writes the tables.
    pub fn write(&self, folder: &Folder<'_>) -> MethodResult<()> {
        self.comparison.write(folder)?;
        let mut table = folder.create(&comparison_features::TABLE, &[""; 0])?;
        let Comparison { sites, layers, .. } = &self.comparison;
        for rows in self.features.chunks(ROWS) {
            let numbers = |of: &dyn Fn(&FeatureRow) -> f64| -> ArrayRef {
                Arc::new(Float64Array::from_iter_values(rows.iter().map(of)))
            };
            let counts = |side: usize| -> ArrayRef {
                Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.counts[side])))
            };
            table.write(vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &sites[row.site]))),
                Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.neuron))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &layers[row.layer]))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.feature))),
                counts(0),
                counts(1),
                numbers(&|row| row.shares[0]),
                numbers(&|row| row.shares[1]),
                numbers(&|row| row.term),
            ])?;
        }
        Ok(table.finish()?)
    }

    /// What it comes to: of the stages of these names, compared like that, with this evidence.
    pub fn summary(&self, from: &str, to: &str, settings: SummaryOf) -> Summary {
        let comparison = &self.comparison;
        let fdr = settings.evidence.as_ref().and_then(|of| of.significance).map(|of| of.fdr);
        let metrics = |layer| {
            let metrics = comparison.metrics.iter().enumerate();
            metrics.map(|(metric, name)| (name.clone(), comparison.changed(layer, metric, fdr))).collect()
        };
        let layers = comparison.layers.iter().enumerate().map(|(layer, name)| {
            let summary = LayerSummary {
                joint: self.joint[layer].map(JointSummary::of),
                left_out: self.left_out[layer],
                standardized: self.standardized[layer],
                metrics: metrics(layer),
                changed_most: self.changed_most[layer].clone(),
            };
            (name.clone(), summary)
        });
        let SummaryOf { weighting, min_count, exploratory, evidence } = settings;
        Summary {
            from: from.to_owned(),
            to: to.to_owned(),
            weighting,
            min_count,
            exploratory,
            evidence,
            fates: comparison.fates(),
            fates_tested: comparison.fates_tested(),
            layers: layers.collect(),
        }
    }
}

/// How two stages were compared.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of `Summary`")]
pub struct SummaryOf {
    pub weighting: Weighting,
    pub min_count: u64,
    pub exploratory: Vec<String>,
    pub evidence: Option<EvidenceSummary>,
}

/// The place of a name in a list, where it is put if it is new.
fn index_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}
