//! A stage: all that its tables hold of a source that was read to its end, and nothing that they do not.

use std::sync::Arc;

use arrow_array::types::{Float32Type, Float64Type, Int64Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray, UInt32Array, UInt64Array,
};
use serde::{Deserialize, Serialize};
use txray_plugin::{ExactSum, Site, Unjoined};
use txray_tables::columns::{neurons, preferences};
use txray_tables::{Folder, ROWS};

use crate::error::{MethodError, MethodResult};
use crate::preferences::{Preference, Preferences};
use crate::symbols::Symbols;

/// The file of [`Coverage`].
pub const COVERAGE: &str = "coverage.json";

/// A stage, of sites with names of their own and at least a neuron. What was written and is read back is the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// What of the text was covered: [`COVERAGE`].
    pub coverage: Coverage,
    /// `neurons.parquet`.
    pub neurons: Neurons,
    /// `preferences.parquet`, one a layer.
    pub layers: Vec<Preferences>,
}

/// What of a stage's text its layers cover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Tokens read, special ones included.
    pub tokens: u64,
    /// Documents read.
    pub documents: u64,
    /// Characters of their texts: Unicode scalars that are no white space. 0 where a source does not tell.
    pub characters: u64,
    /// Tokens that the vocabulary did not know.
    pub unknown: u64,
    /// Characters that no token reads.
    pub dropped: u64,
    /// Documents with characters, none of which is read.
    pub dropped_documents: u64,
    /// The layers, in order.
    pub layers: Vec<LayerCoverage>,
    /// Observations whose strength was not > 0: kept, but preferring nothing.
    pub not_positive: u64,
}

/// What of a stage's text one layer covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerCoverage {
    /// The layer.
    pub name: String,
    /// Tokens with a span that found no annotation.
    pub unjoined: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Unjoined>,
}

/// The neurons of a stage, in the order of sites and neurons: `[neurons]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Neurons {
    /// Where they are.
    pub sites: Vec<Site>,
    /// Observations with a strength > 0: the neuron is alive if there is one.
    pub count: Vec<u64>,
    /// Sum of those strengths.
    pub mass: Vec<f64>,
    /// Mean of h, mean of |h| and standard deviation of h over all tokens, recorded or not, where the source tells.
    pub moments: Option<[Vec<f64>; 3]>,
}

/// `[sites + 1]`: where the neurons of each site begin among all, and how many there are.
pub(crate) fn starts(sites: &[Site]) -> Vec<usize> {
    let ends = sites.iter().scan(0, |end, site| {
        *end += site.width;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

impl Neurons {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count.is_empty()
    }

    /// The index of the site of each, and its own there.
    pub fn places(&self) -> impl Iterator<Item = (usize, u32)> {
        let sites = self.sites.iter().enumerate();
        sites.flat_map(|(site, of)| (0..of.width as u32).map(move |neuron| (site, neuron)))
    }

    /// How many are alive.
    pub fn alive(&self) -> usize {
        self.count.iter().filter(|&&count| count > 0).count()
    }
}

impl Stage {
    /// What is preferred in a layer.
    ///
    /// # Errors
    /// The stage was read without it.
    pub fn layer(&self, name: &str) -> MethodResult<&Preferences> {
        let layer = self.layers.iter().find(|of| of.layer == name);
        layer.ok_or_else(|| MethodError::NoLayer { layer: name.to_owned() })
    }

    /// How many rows its table of preferences has.
    pub fn rows(&self) -> usize {
        self.layers.iter().map(Preferences::len).sum()
    }

    /// Writes the tables of preferences and neurons, and [`COVERAGE`].
    pub fn write(&self, folder: &Folder<'_>) -> MethodResult<()> {
        self.write_preferences(folder)?;
        self.write_neurons(folder)?;
        Ok(folder.write_json(COVERAGE, &self.coverage)?)
    }

    /// By site, neuron, layer and name of the feature.
    fn write_preferences(&self, folder: &Folder<'_>) -> MethodResult<()> {
        let mut table = folder.create(&preferences::TABLE, &[""; 0])?;
        let mut rows = self.neurons.places().enumerate().flat_map(|(index, (site, neuron))| {
            self.layers.iter().flat_map(move |layer| {
                let (features, met) = layer.of(index);
                features.iter().zip(met).map(move |(&feature, met)| (site, neuron, layer, feature, met))
            })
        });
        loop {
            let rows: Vec<_> = rows.by_ref().take(ROWS).collect();
            if rows.is_empty() {
                return Ok(table.finish()?);
            }
            fn feature(layer: &Preferences, feature: u32) -> &str {
                layer.features().get(feature as usize).unwrap_or_default()
            }
            table.write(vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &self.neurons.sites[row.0].name))),
                Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.2.layer))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| feature(row.2, row.3)))),
                Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.4.count))),
                Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.4.mass.to_f64()))),
                Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.4.max))),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.4.mass.high))),
                Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.4.mass.low))),
            ])?;
        }
    }

    fn write_neurons(&self, folder: &Folder<'_>) -> MethodResult<()> {
        let layers: Vec<&str> = self.layers.iter().map(|layer| layer.layer.as_str()).collect();
        let mut table = folder.create(&neurons::TABLE, &layers)?;
        let Neurons { sites, count, mass, moments } = &self.neurons;
        let moment = |which: usize| -> ArrayRef {
            match moments {
                Some(moments) => Arc::new(Float64Array::from_iter_values(moments[which].iter().copied())),
                None => Arc::new(Float64Array::new_null(count.len())),
            }
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(self.neurons.places().map(|(site, _)| &sites[site].name))),
            Arc::new(UInt32Array::from_iter_values(self.neurons.places().map(|(_, neuron)| neuron))),
            Arc::new(count.iter().map(|&count| Some(count > 0)).collect::<BooleanArray>()),
            Arc::new(UInt64Array::from_iter_values(count.iter().copied())),
            Arc::new(Float64Array::from_iter_values(mass.iter().copied())),
            moment(0),
            moment(1),
            moment(2),
        ];
        for layer in &self.layers {
            columns.push(Arc::new(UInt64Array::from_iter_values(layer.lengths())));
        }
        table.write(columns)?;
        Ok(table.finish()?)
    }

    /// Reads what [`Stage::write`] wrote.
    ///
    /// # Errors
    /// Tables that cannot be read, that do not fit each other, or whose rows are out of order.
    pub fn read(folder: &Folder<'_>) -> MethodResult<Self> {
        let coverage: Coverage = folder.read_json(COVERAGE)?;
        let (neurons, lengths) = read_neurons(folder, &coverage)?;
        let layers = read_preferences(folder, &neurons, &coverage)?;
        for (layer, lengths) in layers.iter().zip(lengths) {
            if !layer.lengths().eq(lengths) {
                let what = format!("it does not have as many rows of `{}` as the neurons beside it", layer.layer);
                return Err(folder.malformed(&preferences::TABLE, what).into());
            }
        }
        Ok(Self { coverage, neurons, layers })
    }
}

/// The neurons, and of each layer how many features each of them prefers.
fn read_neurons(folder: &Folder<'_>, coverage: &Coverage) -> MethodResult<(Neurons, Vec<Vec<u64>>)> {
    let unfit = |what: &str| folder.malformed(&neurons::TABLE, what);
    let names: Vec<&str> = coverage.layers.iter().map(|layer| layer.name.as_str()).collect();
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(folder.malformed(&neurons::TABLE, format!("{COVERAGE} beside it has `{}` twice", twice.1)).into());
    }
    let columns = names.iter().flat_map(|name| neurons::TABLE.each.iter().map(move |each| each.column(name)));
    let columns: Vec<String> = columns.collect();
    let mut lengths = vec![Vec::new(); columns.len()];
    let mut read = Neurons { sites: Vec::new(), count: Vec::new(), mass: Vec::new(), moments: None };
    let (mut moments, mut unknown): ([Vec<f64>; 3], _) = (Default::default(), 0);
    for batch in folder.read(&neurons::TABLE)? {
        let batch = batch?;
        let (names, numbers) = (batch.text(neurons::SITE)?, batch.numbers::<UInt32Type>(neurons::NEURON)?);
        for row in 0..batch.len() {
            if read.sites.last().is_none_or(|site| site.name != names.value(row)) {
                if read.sites.iter().any(|site| site.name == names.value(row)) {
                    return Err(unfit("a site is there twice").into());
                }
                read.sites.push(Site { name: names.value(row).to_owned(), width: 0 });
            }
            if let Some(site) = read.sites.last_mut() {
                if numbers.value(row) as usize != site.width {
                    return Err(unfit("its neurons are out of order").into());
                }
                site.width += 1;
            }
        }
        for (lengths, column) in lengths.iter_mut().zip(&columns) {
            lengths.extend(batch.numbers::<UInt64Type>(column)?.values());
        }
        read.count.extend(batch.numbers::<UInt64Type>(neurons::COUNT)?.values());
        read.mass.extend(batch.numbers::<Float64Type>(neurons::MASS)?.values());
        for (column, into) in [neurons::MEAN, neurons::MEAN_ABS, neurons::SD].into_iter().zip(&mut moments) {
            let column = batch.numbers::<Float64Type>(column)?;
            unknown += column.null_count();
            into.extend(column.values());
        }
    }
    match unknown {
        0 if !read.is_empty() => read.moments = Some(moments),
        _ if unknown == 3 * read.len() => {}
        _ => return Err(unfit("means are missing of some neurons, and not of all").into()),
    }
    Ok((read, lengths))
}

fn read_preferences(folder: &Folder<'_>, neurons: &Neurons, coverage: &Coverage) -> MethodResult<Vec<Preferences>> {
    let unfit = |what: &str| MethodError::from(folder.malformed(&preferences::TABLE, what));
    let starts = starts(&neurons.sites);
    let mut layers: Vec<Filling> = coverage.layers.iter().map(|layer| Filling::new(&layer.name)).collect();
    // Rows come in order: what the last one was, the next mostly is.
    let (mut at, mut of) = (0, 0);
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
            let is_site = |at: &usize| neurons.sites.get(*at).is_some_and(|known| known.name == site.value(row));
            let is_layer = |of: &usize| coverage.layers.get(*of).is_some_and(|known| known.name == layer.value(row));
            let (Some(next), Some(which)) = (
                Some(at).filter(is_site).or_else(|| (0..neurons.sites.len()).find(is_site)),
                Some(of).filter(is_layer).or_else(|| (0..layers.len()).find(is_layer)),
            ) else {
                return Err(unfit("it does not fit the tables beside it"));
            };
            (at, of) = (next, which);
            let mass = ExactSum { high: high.value(row), low: low.value(row) };
            if neuron.value(row) as usize >= neurons.sites[at].width {
                return Err(unfit("it does not fit the tables beside it"));
            }
            let most = max.value(row);
            if count.value(row) == 0 || !mass.is_sound() || mass.high < 0 || !(most > 0.0 && most.is_finite()) {
                return Err(unfit("a preference in it has no observations, or a mass or an activation that is none"));
            }
            let preference = Preference { count: count.value(row), mass, max: max.value(row) };
            let neuron = starts[at] + neuron.value(row) as usize;
            if !layers[of].push(neuron, feature.value(row), preference) {
                return Err(unfit("its rows are out of order"));
            }
        }
    }
    layers
        .into_iter()
        .map(|layer| layer.finish(neurons.len()).ok_or_else(|| unfit("its rows are out of order")))
        .collect()
}

/// The preferences of a layer while they are read.
struct Filling {
    layer: String,
    symbols: Symbols,
    rows: Vec<(u32, Preference)>,
    /// Where the rows of neurons end, as far as these are known.
    ends: Vec<usize>,
}

impl Filling {
    fn new(layer: &str) -> Self {
        Self { layer: layer.to_owned(), symbols: Symbols::default(), rows: Vec::new(), ends: Vec::new() }
    }

    /// False where the neuron is one before the last.
    fn push(&mut self, neuron: usize, feature: &str, preference: Preference) -> bool {
        if neuron < self.ends.len() {
            return false;
        }
        self.ends.resize(neuron, self.rows.len());
        self.rows.push((self.symbols.number(feature), preference));
        true
    }

    /// `None` where the features of a neuron are not in rising order.
    fn finish(mut self, neurons: usize) -> Option<Preferences> {
        self.ends.resize(neurons, self.rows.len());
        let (names, places) = self.symbols.ordered(|_| true);
        let mut read = Preferences::new(self.layer, names);
        let mut start = 0;
        for end in self.ends {
            let rows = &mut self.rows[start..end];
            rows.iter_mut().for_each(|row| row.0 = places[row.0 as usize]);
            if !rows.is_sorted_by(|a, b| a.0 < b.0) {
                return None;
            }
            read.push(rows.iter().copied());
            start = end;
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use txray_plugin::Host;

    use super::*;
    use crate::{Settings, Weighting, compare};

    /// Of one neuron, which prefers these features.
    fn stage(rows: &[(&str, Preference)]) -> Stage {
        let mut names: Vec<&str> = rows.iter().map(|row| row.0).collect();
        names.sort_unstable();
        names.dedup();
        let number = |name: &str| names.iter().position(|known| *known == name).unwrap() as u32;
        let mut layer = Preferences::new("word".to_owned(), names.iter().collect());
        layer.push(rows.iter().map(|(name, met)| (number(name), *met)));
        let layers = vec![LayerCoverage { name: "word".to_owned(), unjoined: 0, examples: Vec::new() }];
        Stage {
            coverage: Coverage {
                tokens: 3,
                documents: 1,
                characters: 9,
                unknown: 0,
                dropped: 2,
                dropped_documents: 0,
                layers,
                not_positive: 0,
            },
            neurons: Neurons {
                sites: vec![Site { name: "a".to_owned(), width: 1 }],
                count: vec![1],
                mass: vec![1.0],
                moments: None,
            },
            layers: vec![layer],
        }
    }

    fn read_back(stage: &Stage) -> Result<Stage, String> {
        let folder = tempfile::tempdir().unwrap();
        stage.write(&Folder(folder.path())).unwrap();
        Stage::read(&Folder(folder.path())).map_err(|error| error.to_string())
    }

    const ONE: Preference = Preference { count: 1, mass: ExactSum::of(1.0), max: 1.0 };

    #[test]
    fn a_mass_beyond_all_sums_is_refused() {
        for (high, is_sound) in [(1 << 62, true), (i64::MAX, false), (i64::MIN, false)] {
            let stage = stage(&[("the", Preference { mass: ExactSum { high, low: 0 }, ..ONE })]);
            match read_back(&stage) {
                Ok(read) => assert!(is_sound && read == stage, "{high}"),
                Err(error) => assert!(!is_sound && error.ends_with("an activation that is none"), "{error}"),
            }
        }
    }

    #[test]
    fn rows_out_of_order_and_rows_that_are_there_twice_are_refused() {
        assert!(read_back(&stage(&[("cat", ONE), ("the", ONE)])).is_ok());
        for rows in [[("the", ONE), ("cat", ONE)], [("the", ONE), ("the", ONE)]] {
            let error = read_back(&stage(&rows)).unwrap_err();
            assert!(error.ends_with("its rows are out of order"), "{error}");
        }
    }

    /// Counts of a table that was damaged stay at the greatest there is.
    #[test]
    fn counts_do_not_overflow() {
        let most = Preference { count: u64::MAX, ..ONE };
        let stage = stage(&[("cat", most), ("the", most)]);
        let layers = ["word".to_owned()];
        let settings = Settings { layers: &layers, weighting: &Weighting::Count, min_count: 2, texts_differ: false };
        compare(&stage, &stage, &settings, &[], &Host::detached()).unwrap();
    }
}
