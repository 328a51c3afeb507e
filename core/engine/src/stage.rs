//! A stage: a source of activations, read to its end into observations and preferences.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::types::{Float32Type, UInt32Type, UInt64Type};
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray, UInt32Array, UInt64Array,
};
use arrow_schema::DataType;
use serde::{Deserialize, Serialize};
use txray_plugin::{ActivationBatch, ActivationSource, Host, NULL, Site, SourceDescription};

use crate::error::{Error, Result};
use crate::mass::Mass;
use crate::preferences::{Preference, Preferences};
use crate::tables::{self, ROWS, TableWriter};

/// What reading a stage took, apart from the source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// In the source: encoding, tokenizing, reading the corpus.
    pub source: Duration,
    /// Gathering preferences.
    pub aggregate: Duration,
    /// Writing tables.
    pub write: Duration,
}

/// What of a stage's text its layers cover: `coverage.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Tokens read, special ones included.
    pub tokens: u64,
    /// Documents read.
    pub documents: u64,
    /// Tokens that the vocabulary did not know.
    pub unknown: u64,
    /// The layers, in order.
    pub layers: Vec<LayerCoverage>,
    /// Observations whose activation was not > 0: kept, but preferring nothing.
    pub not_positive: u64,
}

/// What of a stage's text one layer covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerCoverage {
    /// The layer.
    pub name: String,
    /// Tokens with a span that found no annotation.
    pub unjoined: u64,
}

/// Reads a source to its end: writes `observations.parquet`, `preferences.parquet`, `neurons.parquet` and
/// `coverage.json` into `directory`. Memory is bound by the distinct (neuron, feature) pairs and a batch.
pub fn read(source: &mut dyn ActivationSource, host: &Host<'_>, directory: &Path) -> Result<(Preferences, Times)> {
    let description = source.describe()?;
    let mut preferences = Preferences::new(description.sites.clone(), &description.layers);
    let mut observations = ObservationWriter::create(&directory.join("observations.parquet"), &description)?;
    let mut times = Times::default();
    loop {
        let start = Instant::now();
        let Some(batch) = source.next(host)? else { break };
        validate(&batch, &description)?;
        times.source += start.elapsed();

        let start = Instant::now();
        gather(&batch, &mut preferences)?;
        times.aggregate += start.elapsed();

        let start = Instant::now();
        observations.write(&batch, &description)?;
        times.write += start.elapsed();
    }
    let start = Instant::now();
    observations.table.finish()?;
    write_preferences(&preferences, &directory.join("preferences.parquet"))?;
    write_neurons(&preferences, &directory.join("neurons.parquet"))?;
    let path = directory.join("coverage.json");
    let json = serde_json::to_vec_pretty(&coverage(&preferences)).map_err(|e| Error::Internal(e.to_string()))?;
    std::fs::write(&path, json).map_err(|error| Error::io("write", &path, &error))?;
    times.write += start.elapsed();
    Ok((preferences, times))
}

/// Checks what a source claims of its batch, so that everything after may index freely; stops at the first
/// activation that is no number.
fn validate(batch: &ActivationBatch, description: &SourceDescription) -> Result<()> {
    let wrong = |what: &str| Err(Error::Internal(format!("the source gave a malformed batch: {what}")));
    let tokens = batch.starts.len();
    let covers = batch.offsets.first() == Some(&0) && batch.offsets.last() == Some(&(tokens as u64));
    if !covers || !batch.offsets.is_sorted() || batch.offsets.len() != batch.documents.len() + 1 {
        return wrong("its offsets do not cut its tokens into documents");
    }
    if batch.ends.len() != tokens || !(batch.groups.is_empty() || batch.groups.len() == batch.documents.len()) {
        return wrong("its columns have different lengths");
    }
    if !batch.layers.iter().map(|layer| &layer.name).eq(&description.layers) {
        return wrong("its layers are not those described");
    }
    for layer in &batch.layers {
        let known = |&feature: &u32| feature == NULL || (feature as usize) < layer.names.len();
        if layer.features.len() != tokens || !layer.features.iter().all(known) {
            return wrong(&format!("the features of layer `{}` do not fit its tokens or names", layer.name));
        }
    }
    let count = batch.token.len();
    if [batch.site.len(), batch.neuron.len(), batch.activation.len()] != [count; 3] {
        return wrong("the columns of its observations have different lengths");
    }
    if !batch.token.is_sorted() || batch.token.last().is_some_and(|&t| t as usize >= tokens) {
        return wrong("its observations are out of order, or of no token");
    }
    for ((&token, &site), (&neuron, &activation)) in
        batch.token.iter().zip(&batch.site).zip(batch.neuron.iter().zip(&batch.activation))
    {
        let Some(site) = description.sites.get(site as usize) else { return wrong("an observation at no site") };
        if neuron as usize >= site.width {
            return wrong(&format!("an observation of neuron {neuron} of {}", site.name));
        }
        if !activation.is_finite() {
            let document = batch.offsets.partition_point(|&o| o <= u64::from(token)) - 1;
            return Err(Error::User(format!(
                "document {} gives the activation {activation} at {}: the model's weights are not sound",
                batch.documents[document], site.name
            )));
        }
    }
    let widths = |m: &txray_plugin::Moments, s: &Site| [m.sum.len(), m.sum_abs.len(), m.sum_sq.len()] == [s.width; 3];
    let fit = batch.moments.iter().zip(&description.sites).all(|(m, s)| widths(m, s));
    match batch.moments.len() {
        0 => Ok(()),
        n if n == description.sites.len() && fit => Ok(()),
        _ => wrong("its moments do not fit its sites"),
    }
}

fn gather(batch: &ActivationBatch, preferences: &mut Preferences) -> Result<()> {
    preferences.tokens += batch.starts.len() as u64;
    preferences.documents += batch.documents.len() as u64;
    preferences.unknown += batch.unknown;
    preferences.has_moments &= !batch.moments.is_empty();
    for (totals, moments) in preferences.totals.iter_mut().zip(&batch.moments) {
        for (neuron, totals) in totals.iter_mut().enumerate() {
            let more = [moments.sum[neuron], moments.sum_abs[neuron], moments.sum_sq[neuron]];
            for (sum, more) in totals.sums.iter_mut().zip(more) {
                *sum += more;
            }
        }
    }
    // Which observations features may prefer does not depend on the layer.
    let mut positive = Vec::with_capacity(batch.token.len());
    for i in 0..batch.token.len() {
        if preferences.observe(batch.site[i] as usize, batch.neuron[i], batch.activation[i]) {
            positive.push(i);
        }
    }
    for (index, layer) in batch.layers.iter().enumerate() {
        preferences.layers[index].unjoined += layer.unjoined;
        // Names are looked up once a batch, and only those that occur.
        let mut numbers = vec![NULL; layer.names.len()];
        for &i in &positive {
            let local = layer.features[batch.token[i] as usize];
            if local == NULL {
                continue;
            }
            let number = &mut numbers[local as usize];
            if *number == NULL {
                *number = preferences.layers[index].feature(layer.names.get(local as usize).unwrap_or_default());
            }
            preferences.prefer(index, batch.site[i] as usize, batch.neuron[i], *number, batch.activation[i]);
        }
    }
    let unsound = preferences.totals.iter().flatten().any(|totals| !totals.mass.is_sound());
    if unsound {
        return Err(Error::User("the activations of a neuron sum to more than 2^62".to_owned()));
    }
    Ok(())
}

/// Writes `observations.parquet`, some rows at a time.
struct ObservationWriter {
    table: TableWriter,
}

impl ObservationWriter {
    fn create(path: &Path, description: &SourceDescription) -> Result<Self> {
        let mut columns = vec![
            ("doc", DataType::UInt64, false),
            ("group", DataType::Utf8, true),
            ("position", DataType::UInt32, false),
            ("site", DataType::Utf8, false),
            ("neuron", DataType::UInt32, false),
            ("activation", DataType::Float32, false),
            ("start", DataType::UInt32, true),
            ("end", DataType::UInt32, true),
        ];
        columns.extend(description.layers.iter().map(|layer| (layer.as_str(), DataType::Utf8, true)));
        Ok(Self { table: TableWriter::create(path, &columns)? })
    }

    fn write(&mut self, batch: &ActivationBatch, description: &SourceDescription) -> Result<()> {
        let mut document = 0;
        for from in (0..batch.token.len()).step_by(ROWS) {
            let rows = from..(from + ROWS).min(batch.token.len());
            let tokens = &batch.token[rows.clone()];
            let documents: Vec<usize> = tokens
                .iter()
                .map(|&token| {
                    while batch.offsets[document + 1] <= u64::from(token) {
                        document += 1;
                    }
                    document
                })
                .collect();
            let group = |d: usize| batch.groups.get(d).filter(|name| !name.is_empty());
            let place = |column: &[u32], t: u32| Some(column[t as usize]).filter(|&at| at != NULL);
            let position = |(&t, &d): (&u32, &usize)| (u64::from(t) - batch.offsets[d]) as u32;
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from_iter_values(documents.iter().map(|&d| batch.documents[d]))),
                Arc::new(documents.iter().map(|&d| group(d)).collect::<StringArray>()),
                Arc::new(UInt32Array::from_iter_values(tokens.iter().zip(&documents).map(position))),
                Arc::new(StringArray::from_iter_values(
                    batch.site[rows.clone()].iter().map(|&site| &description.sites[site as usize].name),
                )),
                Arc::new(UInt32Array::from_iter_values(batch.neuron[rows.clone()].iter().copied())),
                Arc::new(Float32Array::from_iter_values(batch.activation[rows.clone()].iter().copied())),
                Arc::new(tokens.iter().map(|&t| place(&batch.starts, t)).collect::<UInt32Array>()),
                Arc::new(tokens.iter().map(|&t| place(&batch.ends, t)).collect::<UInt32Array>()),
            ];
            for layer in &batch.layers {
                let feature = |&t: &u32| layer.names.get(layer.features[t as usize] as usize);
                columns.push(Arc::new(tokens.iter().map(feature).collect::<StringArray>()));
            }
            self.table.write(columns)?;
        }
        Ok(())
    }
}

fn write_preferences(preferences: &Preferences, path: &Path) -> Result<()> {
    let columns = [
        ("site", DataType::Utf8, false),
        ("neuron", DataType::UInt32, false),
        ("layer", DataType::Utf8, false),
        ("feature", DataType::Utf8, false),
        ("count", DataType::UInt64, false),
        ("mass", DataType::Float64, false),
        ("max", DataType::Float32, false),
        ("mass_hi", DataType::Int64, false),
        ("mass_lo", DataType::UInt64, false),
    ];
    let mut table = TableWriter::create(path, &columns)?;
    for rows in preferences.rows().chunks(ROWS) {
        let mass = |hi: bool| rows.iter().map(move |r| (hi, r.preference.mass.parts()));
        table.write(vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &preferences.sites[r.site].name))),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| r.neuron))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &preferences.layers[r.layer].name))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.feature))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.preference.count))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.preference.mass.to_f64()))),
            Arc::new(Float32Array::from_iter_values(rows.iter().map(|r| r.preference.max))),
            Arc::new(Int64Array::from_iter_values(mass(true).map(|(_, (hi, _))| hi))),
            Arc::new(UInt64Array::from_iter_values(mass(false).map(|(_, (_, lo))| lo))),
        ])?;
    }
    table.finish()
}

fn write_neurons(preferences: &Preferences, path: &Path) -> Result<()> {
    let lengths: Vec<String> = preferences.layers.iter().map(|layer| format!("length_{}", layer.name)).collect();
    let mut columns = vec![
        ("site", DataType::Utf8, false),
        ("neuron", DataType::UInt32, false),
        ("alive", DataType::Boolean, false),
        ("count", DataType::UInt64, false),
        ("mass", DataType::Float64, false),
        ("mean", DataType::Float64, true),
        ("mean_abs", DataType::Float64, true),
        ("sd", DataType::Float64, true),
    ];
    columns.extend(lengths.iter().map(|name| (name.as_str(), DataType::UInt64, false)));
    let mut table = TableWriter::create(path, &columns)?;
    let tokens = preferences.tokens as f64;
    let known = preferences.has_moments && preferences.tokens > 0;
    for (index, (site, totals)) in preferences.sites.iter().zip(&preferences.totals).enumerate() {
        let moment = |of: fn([f64; 3], f64) -> f64| -> ArrayRef {
            Arc::new(totals.iter().map(|t| known.then(|| of(t.sums, tokens))).collect::<Float64Array>())
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(totals.iter().map(|_| &site.name))),
            Arc::new(UInt32Array::from_iter_values(0..totals.len() as u32)),
            Arc::new(totals.iter().map(|t| Some(t.count > 0)).collect::<BooleanArray>()),
            Arc::new(UInt64Array::from_iter_values(totals.iter().map(|t| t.count))),
            Arc::new(Float64Array::from_iter_values(totals.iter().map(|t| t.mass.to_f64()))),
            moment(|[sum, _, _], n| sum / n),
            moment(|[_, sum_abs, _], n| sum_abs / n),
            moment(|[sum, _, sum_sq], n| (sum_sq / n - (sum / n).powi(2)).max(0.0).sqrt()),
        ];
        for layer in &preferences.layers {
            columns.push(Arc::new(UInt64Array::from(layer.lengths(index, site.width))));
        }
        table.write(columns)?;
    }
    table.finish()
}

fn coverage(preferences: &Preferences) -> Coverage {
    Coverage {
        tokens: preferences.tokens,
        documents: preferences.documents,
        unknown: preferences.unknown,
        layers: preferences
            .layers
            .iter()
            .map(|layer| LayerCoverage { name: layer.name.clone(), unjoined: layer.unjoined })
            .collect(),
        not_positive: preferences.totals.iter().flatten().map(|totals| totals.not_positive).sum(),
    }
}

/// Reads a stage's preferences back from its directory, in the bits they were written with. The sums behind a
/// neuron's mean are not among them.
pub fn load(directory: &Path) -> Result<Preferences> {
    let mut sites: Vec<Site> = Vec::new();
    let mut totals = Vec::new();
    for batch in tables::read(&directory.join("neurons.parquet"))? {
        let batch = batch?;
        let (names, counts) = (batch.text("site")?, batch.numbers::<UInt64Type>("count")?);
        for row in 0..batch.len() {
            if sites.last().is_none_or(|site| site.name != names.value(row)) {
                sites.push(Site { name: names.value(row).to_owned(), width: 0 });
                totals.push(Vec::new());
            }
            let last = sites.len() - 1;
            sites[last].width += 1;
            let total = crate::preferences::NeuronTotals { count: counts.value(row), ..Default::default() };
            totals[last].push(total);
        }
    }
    let path = directory.join("coverage.json");
    let json = std::fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
    let coverage: Coverage = serde_json::from_slice(&json)
        .map_err(|error| Error::User(format!("{} is damaged: {error}", path.display())))?;
    let layers: Vec<String> = coverage.layers.into_iter().map(|layer| layer.name).collect();
    let mut preferences = Preferences::new(sites, &layers);
    preferences.totals = totals;
    preferences.tokens = coverage.tokens;
    preferences.documents = coverage.documents;
    preferences.unknown = coverage.unknown;
    preferences.has_moments = false;
    let path = directory.join("preferences.parquet");
    let unfit = || Error::User(format!("{} does not fit the tables beside it", path.display()));
    for batch in tables::read(&path)? {
        let batch = batch?;
        let (site, layer, feature) = (batch.text("site")?, batch.text("layer")?, batch.text("feature")?);
        let (neuron, count) = (batch.numbers::<UInt32Type>("neuron")?, batch.numbers::<UInt64Type>("count")?);
        let max = batch.numbers::<Float32Type>("max")?;
        let high = batch.numbers::<arrow_array::types::Int64Type>("mass_hi")?;
        let low = batch.numbers::<UInt64Type>("mass_lo")?;
        for row in 0..batch.len() {
            let at = preferences.sites.iter().position(|s| s.name == site.value(row));
            let of = layers.iter().position(|l| l == layer.value(row));
            let (Some(at), Some(of)) = (at, of) else { return Err(unfit()) };
            if neuron.value(row) as usize >= preferences.sites[at].width {
                return Err(unfit());
            }
            let mass = Mass::from_parts(high.value(row), low.value(row));
            let preference = Preference { count: count.value(row), mass, max: max.value(row) };
            preferences.insert(of, at, neuron.value(row), feature.value(row), &preference);
        }
    }
    Ok(preferences)
}
