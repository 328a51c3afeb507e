//! What a comparison of two stages comes to: a row a neuron and layer, and its sums.

use std::sync::Arc;

use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array, StringArray, UInt32Array, UInt64Array};
use hashbrown::HashMap;
use txray_tables::columns::{comparison, comparison_features};
use txray_tables::{Folder, ROWS, TableError, TableResult};

use crate::error::MethodResult;
use crate::evidence::{Corrected, Evidence, Joint, Tested};
use crate::fate::{Fate, Fates};
use crate::summary::{
    Changed, ChangedMost, JointSummary, LayerSummary, LeftOut, MetricSummary, Standardized, Summary, SummaryOf,
};

/// One neuron in one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonRow {
    /// Index of the site.
    pub site: usize,
    /// The neuron.
    pub neuron: u32,
    /// The same in the later stage: another where neurons are matched, and none of one without a partner.
    pub neuron_to: Option<u32>,
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
    pub between: Option<f64>,
    pub corrected_between: Option<f64>,
}

impl Worth {
    /// In the order of the columns behind the distance itself.
    fn columns(&mut self) -> [&mut Option<f64>; 10] {
        let Self { corrected, low, high, standardized, null, p, q, p_max, between, corrected_between } = self;
        [corrected, low, high, standardized, null, p, q, p_max, between, corrected_between]
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
    /// The features that carry distances, by site, neuron and layer.
    pub features: Vec<FeatureRow>,
    /// `[layers]` of texts that differ.
    pub standardized: Vec<Option<Standardized>>,
    /// `[layers]` all neurons together, where observations tell.
    pub joint: Vec<Option<Joint>>,
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
            let neuron_to = batch.numbers::<UInt32Type>(comparison::NEURON_TO)?;
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
                    neuron_to: neuron_to.is_valid(row).then(|| neuron_to.value(row)),
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
        columns.push(Arc::new(rows.iter().map(|row| row.neuron_to).collect::<UInt32Array>()));
        let mut numbers = |of: &dyn Fn(&ComparisonRow) -> Option<f64>| {
            columns.push(Arc::new(rows.iter().map(of).collect::<Float64Array>()));
        };
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
        // By the first metric, with which they were found.
        for (changed, of) in self.changed_most.iter_mut().zip(&evidence.layers) {
            let Some(changed) = changed else { continue };
            for neuron in &mut changed.neurons {
                neuron.corrected = of.corrected[0][neuron.at].map(|of| of.distance);
                neuron.q = of.tested[0][neuron.at].and_then(|of| of.q);
            }
            // Stable: those without one stay in the order of their distances, behind.
            let by = |of: &Changed| of.corrected.unwrap_or(f64::NEG_INFINITY);
            changed.neurons.sort_by(|a, b| by(b).total_cmp(&by(a)));
        }
        self.joint = evidence.layers.iter().map(|of| of.joint).collect();
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

    /// Of stages whose neurons were matched: the rows of the earlier one's neurons, each with its partner. The later one's neurons
    /// without a partner are not in the table; what they are to all neurons together is.
    pub fn aligned(&mut self, partners: &[Vec<Option<u32>>]) {
        let is_own = |site: usize, neuron: u32| (neuron as usize) < partners[site].len();
        self.comparison.rows.retain(|row| is_own(row.site, row.neuron));
        self.features.retain(|row| is_own(row.site, row.neuron));
        for row in &mut self.comparison.rows {
            row.neuron_to = partners[row.site][row.neuron as usize];
            // Without a partner it is not known what became of it.
            if row.neuron_to.is_none() && row.fate_tested.is_some() {
                (row.fate_tested, row.count_p, row.count_q) = (Some(Fate::Rare), None, None);
            }
        }
    }

    /// Adds what training again changes: the mean over comparisons of one side, the later one or not, with the same stage of
    /// replicates.
    pub fn add_between(&mut self, replicates: &[Self], is_later: bool, are_matched: bool) {
        let place = |row: &ComparisonRow| (row.site, row.layer, row.neuron);
        let rows = replicates.iter().flat_map(|of| &of.comparison.rows);
        let mut found: HashMap<(usize, usize, u32), Vec<&ComparisonRow>> = HashMap::new();
        rows.for_each(|row| found.entry(place(row)).or_default().push(row));
        for row in &mut self.comparison.rows {
            let neuron = if is_later { row.neuron_to } else { Some(row.neuron) };
            let Some(of) = neuron.and_then(|neuron| found.get(&(row.site, row.layer, neuron))) else { continue };
            for (metric, worth) in row.worth.iter_mut().enumerate() {
                // Of half of the units, raw distances are larger by noise alone.
                let raw = of.iter().filter_map(|row| row.distances[metric]);
                worth.between = mean(raw.filter(|_| !are_matched));
                worth.corrected_between = mean(of.iter().filter_map(|row| row.worth[metric].corrected));
            }
        }
    }

    /// All neurons of each layer together: `[layers]`.
    pub fn joints(&self) -> Vec<Option<JointSummary>> {
        self.joint.iter().map(|joint| joint.map(JointSummary::of)).collect()
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
                changed_most: self.changed_most[layer].as_ref().map(ChangedMost::told),
            };
            (name.clone(), summary)
        });
        let SummaryOf { weighting, min_count, exploratory, evidence, alignment, replicates } = settings;
        Summary {
            from: from.to_owned(),
            to: to.to_owned(),
            weighting,
            min_count,
            exploratory,
            evidence,
            alignment,
            replicates,
            fates: comparison.fates(),
            fates_tested: comparison.fates_tested(),
            layers: layers.collect(),
        }
    }
}

fn mean(of: impl Iterator<Item = f64>) -> Option<f64> {
    let of: Vec<f64> = of.collect();
    (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
}

/// The place of a name in a list, where it is put if it is new.
fn index_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}
