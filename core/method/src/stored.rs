//! The preferences of a stage as tables, out and in.

use std::sync::Arc;

use arrow_array::types::{Float32Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray, UInt32Array, UInt64Array,
};
use serde::{Deserialize, Serialize};
use txray_plugin::{ExactSum, Site};
use txray_tables::columns::{neurons, preferences};
use txray_tables::{Folder, ROWS};

use crate::error::MethodResult;
use crate::preferences::{NeuronTotals, Preference, Preferences};

/// The file of [`Coverage`].
pub const COVERAGE: &str = "coverage.json";

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

/// Writes the tables of a stage's preferences, of its neurons, and [`COVERAGE`].
pub fn write(read: &Preferences, folder: &Folder<'_>) -> MethodResult<()> {
    write_preferences(read, folder)?;
    write_neurons(read, folder)?;
    Ok(folder.write_json(COVERAGE, &coverage(read))?)
}

fn write_preferences(read: &Preferences, folder: &Folder<'_>) -> MethodResult<()> {
    let mut table = folder.create(&preferences::TABLE, &[""; 0])?;
    for rows in read.rows().chunks(ROWS) {
        table.write(vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &read.sites[r.site].name))),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| r.neuron))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &read.layers[r.layer].name))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.feature))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.preference.count))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.preference.mass.to_f64()))),
            Arc::new(Float32Array::from_iter_values(rows.iter().map(|r| r.preference.max))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.preference.mass.high))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.preference.mass.low))),
        ])?;
    }
    Ok(table.finish()?)
}

fn write_neurons(read: &Preferences, folder: &Folder<'_>) -> MethodResult<()> {
    let layers: Vec<&str> = read.layers.iter().map(|layer| layer.name.as_str()).collect();
    let mut table = folder.create(&neurons::TABLE, &layers)?;
    let tokens = read.tokens as f64;
    let known = read.has_moments && read.tokens > 0;
    for (index, (site, totals)) in read.sites.iter().zip(&read.totals).enumerate() {
        let from_moments = |of: fn([f64; 3], f64) -> f64| -> ArrayRef {
            Arc::new(
                totals
                    .iter()
                    .map(|t| known.then(|| of(t.moments.map(ExactSum::to_f64), tokens)))
                    .collect::<Float64Array>(),
            )
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(totals.iter().map(|_| &site.name))),
            Arc::new(UInt32Array::from_iter_values(0..totals.len() as u32)),
            Arc::new(totals.iter().map(|t| Some(t.count > 0)).collect::<BooleanArray>()),
            Arc::new(UInt64Array::from_iter_values(totals.iter().map(|t| t.count))),
            Arc::new(Float64Array::from_iter_values(totals.iter().map(|t| t.mass.to_f64()))),
            from_moments(|[sum, _, _], n| sum / n),
            from_moments(|[_, sum_abs, _], n| sum_abs / n),
            from_moments(|[sum, _, sum_sq], n| (sum_sq / n - (sum / n).powi(2)).max(0.0).sqrt()),
        ];
        for layer in &read.layers {
            columns.push(Arc::new(UInt64Array::from(layer.lengths(index, site.width))));
        }
        table.write(columns)?;
    }
    Ok(table.finish()?)
}

fn coverage(read: &Preferences) -> Coverage {
    Coverage {
        tokens: read.tokens,
        documents: read.documents,
        unknown: read.unknown,
        layers: read
            .layers
            .iter()
            .map(|layer| LayerCoverage { name: layer.name.clone(), unjoined: layer.unjoined })
            .collect(),
        not_positive: read.totals.iter().flatten().map(|totals| totals.not_positive).sum(),
    }
}

/// Reads a stage's preferences back, in the bits they were written with. The moments are not among them: the
/// tables keep only what was made of them.
pub fn load(folder: &Folder<'_>) -> MethodResult<Preferences> {
    let mut sites: Vec<Site> = Vec::new();
    let mut totals = Vec::new();
    for batch in folder.read(&neurons::TABLE)? {
        let batch = batch?;
        let (names, counts) = (batch.text(neurons::SITE)?, batch.numbers::<UInt64Type>(neurons::COUNT)?);
        for row in 0..batch.len() {
            if sites.last().is_none_or(|site| site.name != names.value(row)) {
                sites.push(Site { name: names.value(row).to_owned(), width: 0 });
                totals.push(Vec::new());
            }
            let last = sites.len() - 1;
            sites[last].width += 1;
            totals[last].push(NeuronTotals { count: counts.value(row), ..Default::default() });
        }
    }
    let coverage: Coverage = folder.read_json(COVERAGE)?;
    let layers: Vec<String> = coverage.layers.into_iter().map(|layer| layer.name).collect();
    let mut read = Preferences::new(sites, &layers);
    read.totals = totals;
    read.tokens = coverage.tokens;
    read.documents = coverage.documents;
    read.unknown = coverage.unknown;
    read.has_moments = false;
    let unfit = || folder.malformed(&preferences::TABLE, "it does not fit the tables beside it");
    for batch in folder.read(&preferences::TABLE)? {
        let batch = batch?;
        let site = batch.text(preferences::SITE)?;
        let (layer, feature) = (batch.text(preferences::LAYER)?, batch.text(preferences::FEATURE)?);
        let neuron = batch.numbers::<UInt32Type>(preferences::NEURON)?;
        let count = batch.numbers::<UInt64Type>(preferences::COUNT)?;
        let max = batch.numbers::<Float32Type>(preferences::MAX)?;
        let high = batch.numbers::<Int64Type>(preferences::MASS_HIGH)?;
        let low = batch.numbers::<UInt64Type>(preferences::MASS_LOW)?;
        for row in 0..batch.len() {
            let at = read.sites.iter().position(|s| s.name == site.value(row));
            let of = layers.iter().position(|l| l == layer.value(row));
            let (Some(at), Some(of)) = (at, of) else { return Err(unfit().into()) };
            let mass = ExactSum { high: high.value(row), low: low.value(row) };
            if neuron.value(row) as usize >= read.sites[at].width || !mass.is_sound() {
                return Err(unfit().into());
            }
            let preference = Preference { count: count.value(row), mass, max: max.value(row) };
            read.insert(of, at, neuron.value(row), feature.value(row), &preference);
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Weighting, compare};

    fn stage(preferences: &[Preference]) -> Preferences {
        let mut read = Preferences::new(vec![Site { name: "a".to_owned(), width: 1 }], &["word"]);
        for preference in preferences {
            read.insert(0, 0, 0, "the", preference);
        }
        read
    }

    #[test]
    fn a_mass_beyond_all_sums_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder(folder.path());
        for (high, is_sound) in [(1 << 62, true), (i64::MAX, false), (i64::MIN, false)] {
            let mass = ExactSum { high, low: 0 };
            write(&stage(&[Preference { count: 1, mass, max: 1.0 }]), &folder).unwrap();
            let read = load(&folder);
            assert_eq!(read.is_ok(), is_sound, "{high}");
            if let Err(error) = read {
                assert!(error.to_string().ends_with("it does not fit the tables beside it"), "{error}");
            }
        }
    }

    /// Counts of a table that was damaged stay at the greatest there is.
    #[test]
    fn counts_do_not_overflow() {
        let most = Preference { count: u64::MAX, mass: ExactSum::of(1.0), max: 1.0 };
        let stage = stage(&[most, most]);
        assert_eq!(stage.rows()[0].preference.count, u64::MAX);
        let settings = Settings { layers: vec!["word".to_owned()], weighting: Weighting::Mass, min_count: 2 };
        compare(&stage, &stage, &settings, &[], &txray_plugin::Host::detached()).unwrap();
    }
}
