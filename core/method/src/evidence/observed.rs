//! What a stage observed, by the units that hang together.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::{ExactSum, NULL, Site};
use txray_tables::columns::observations;
use txray_tables::{Folder, TableResult};

use arrow_array::Array;
use arrow_array::types::{Float32Type, UInt32Type, UInt64Type};

use crate::error::MethodResult;
use crate::observations::{Layer, has_column};
use crate::preferences::{Preference, Preferences};
use crate::stage::{Coverage, LayerCoverage, Neurons, Stage, starts};
use crate::symbols::Symbols;

/// What is drawn as a whole, because what is in it hangs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A group of documents: an article, a movie. Where documents are in no groups, a document.
    #[default]
    Group,
    /// A document.
    Document,
}

/// The observations of a stage whose strength is > 0, without their places in the text: `[rows]` each.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What its units are: documents, where none of them is in a group; among groups, a document that is in none is one of its own.
    pub unit: Unit,
    /// The names of the units: of groups, or the numbers of documents.
    pub units: Vec<String>,
    /// The layers of features.
    pub layers: Vec<Layer>,
    /// Index of the unit.
    pub(crate) of: Vec<u32>,
    /// The neuron, counted through all sites.
    pub(crate) neuron: Vec<u32>,
    pub(crate) strength: Vec<f32>,
    /// `[layers]`: the feature; [`NULL`] where there is none.
    pub(crate) features: Vec<Vec<u32>>,
}

/// What of a stage is read: its tables, and its observations by units.
pub type Reading = (Stage, Observed);

impl Observed {
    /// Reads the table of observations of a stage of these sites; `strength` is what an activation at a site counts for.
    ///
    /// # Errors
    /// A table that cannot be read, or is of other sites.
    pub fn read(
        folder: &Folder<'_>,
        sites: &[Site],
        layers: &[String],
        unit: Unit,
        strength: impl Fn(usize, f32) -> f32,
    ) -> MethodResult<Self> {
        let starts = starts(sites);
        let layer = |name: &String| Layer { name: name.clone(), symbols: Symbols::default() };
        let mut all = Self {
            unit,
            units: Vec::new(),
            layers: layers.iter().map(layer).collect(),
            of: Vec::new(),
            neuron: Vec::new(),
            strength: Vec::new(),
            features: vec![Vec::new(); layers.len()],
        };
        let (mut documents, mut groups) = (Numbered::default(), Symbols::default());
        let (mut of_document, mut of_group) = (Vec::new(), Vec::new());
        for batch in folder.read(&observations::TABLE)? {
            let batch = batch?;
            let (group, site) = (batch.text(observations::GROUP)?, batch.text(observations::SITE)?);
            let document = batch.numbers::<UInt64Type>(observations::DOC)?;
            let features = layers.iter().map(|layer| has_column(layer).then(|| batch.text(layer)).transpose());
            let features = features.collect::<TableResult<Vec<_>>>()?;
            let position = batch.numbers::<UInt32Type>(observations::POSITION)?;
            let neuron = batch.numbers::<UInt32Type>(observations::NEURON)?;
            let activation = batch.numbers::<Float32Type>(observations::ACTIVATION)?;
            let mut last = 0;
            for row in 0..batch.len() {
                let is_site = |at: &usize| sites.get(*at).is_some_and(|known| known.name == site.value(row));
                let at = Some(last).filter(is_site).or_else(|| (0..sites.len()).find(is_site));
                let at = at.filter(|&at| (neuron.value(row) as usize) < sites[at].width);
                let unfit = || folder.malformed(&observations::TABLE, "it does not fit the tables beside it");
                last = at.ok_or_else(unfit)?;
                // A unit is there though nothing of it counts.
                let document = documents.number(document.value(row));
                let group = if group.is_valid(row) { groups.number(group.value(row)) } else { NULL };
                let strength = strength(last, activation.value(row));
                if strength <= 0.0 || strength.is_nan() {
                    continue;
                }
                of_document.push(document);
                of_group.push(group);
                all.neuron.push(starts[last] as u32 + neuron.value(row));
                all.strength.push(strength);
                for ((column, layer), features) in all.features.iter_mut().zip(&mut all.layers).zip(&features) {
                    let feature = match features {
                        Some(features) => features.is_valid(row).then(|| layer.symbols.number(features.value(row))),
                        None => Some(layer.symbols.number(&position.value(row).to_string())),
                    };
                    column.push(feature.unwrap_or(NULL));
                }
            }
        }
        if all.unit == Unit::Group && groups.is_empty() {
            all.unit = Unit::Document;
        }
        // A document in no group, beside others that are in some, is a unit of its own.
        for (group, &document) in of_group.iter_mut().zip(&of_document).filter(|(group, _)| **group == NULL) {
            *group = groups.number(&format!("\u{0}{}", documents.names[document as usize]));
        }
        (all.of, all.units) = match all.unit {
            Unit::Group => (of_group, groups.names().as_strings().iter().map(str::to_owned).collect()),
            Unit::Document => (of_document, documents.names.iter().map(u64::to_string).collect()),
        };
        Ok(all)
    }

    /// Some of its units, each of them as a unit of its own, however often it is drawn.
    #[must_use]
    pub fn drawn(&self, units: &[usize]) -> Self {
        let mut rows = vec![Vec::new(); self.units.len()];
        self.of.iter().enumerate().for_each(|(row, &unit)| rows[unit as usize].push(row));
        let mut drawn = Self {
            units: units.iter().enumerate().map(|(at, &unit)| format!("{at}/{}", self.units[unit])).collect(),
            layers: self.layers.clone(),
            features: vec![Vec::new(); self.features.len()],
            unit: self.unit,
            of: Vec::new(),
            neuron: Vec::new(),
            strength: Vec::new(),
        };
        for (at, &unit) in units.iter().enumerate() {
            for &row in &rows[unit] {
                drawn.of.push(at as u32);
                drawn.neuron.push(self.neuron[row]);
                drawn.strength.push(self.strength[row]);
                drawn.features.iter_mut().zip(&self.features).for_each(|(to, of)| to.push(of[row]));
            }
        }
        drawn
    }

    /// The units that are not `left_out`, its neurons at other places among all: `[neurons]`.
    #[must_use]
    pub(crate) fn rest(&self, left_out: &[bool], places: &[u32]) -> Self {
        let kept: Vec<usize> = (0..self.units.len()).filter(|&unit| !left_out[unit]).collect();
        let mut numbers = vec![NULL; self.units.len()];
        kept.iter().zip(0..).for_each(|(&unit, number)| numbers[unit] = number);
        let rows: Vec<usize> = (0..self.of.len()).filter(|&row| !left_out[self.of[row] as usize]).collect();
        Self {
            unit: self.unit,
            units: kept.into_iter().map(|unit| self.units[unit].clone()).collect(),
            layers: self.layers.clone(),
            of: rows.iter().map(|&row| numbers[self.of[row] as usize]).collect(),
            neuron: rows.iter().map(|&row| places[self.neuron[row] as usize]).collect(),
            strength: rows.iter().map(|&row| self.strength[row]).collect(),
            features: self.features.iter().map(|of| rows.iter().map(|&row| of[row]).collect()).collect(),
        }
    }

    /// What observations come to, at these sites: their neurons are counted through all of them. What observations do not tell is
    /// not there: moments, and what of a text was covered.
    pub(crate) fn stage(&self, sites: &[Site]) -> Stage {
        let neurons = sites.iter().map(|site| site.width).sum();
        let mut counts = vec![0_u64; neurons];
        let mut masses = vec![ExactSum::ZERO; neurons];
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); neurons];
        for (row, (&neuron, &strength)) in self.neuron.iter().zip(&self.strength).enumerate() {
            counts[neuron as usize] += 1;
            masses[neuron as usize] += f64::from(strength);
            rows[neuron as usize].push(row);
        }
        let layers = self.layers.iter().zip(&self.features).map(|(layer, features)| {
            let mut is_met = vec![false; layer.symbols.len()];
            features.iter().filter(|feature| **feature != NULL).for_each(|&feature| is_met[feature as usize] = true);
            let (names, places) = layer.symbols.ordered(|number| is_met[number as usize]);
            let mut preferences = Preferences::new(layer.name.clone(), names);
            for rows in &rows {
                let mut met: BTreeMap<u32, Preference> = BTreeMap::new();
                for &row in rows.iter().filter(|&&row| features[row] != NULL) {
                    let strength = self.strength[row];
                    let one = Preference { count: 1, mass: ExactSum::of(f64::from(strength)), max: strength };
                    met.entry(places[features[row] as usize]).or_default().merge(&one);
                }
                preferences.push(met);
            }
            preferences
        });
        let layers: Vec<Preferences> = layers.collect();
        let covered =
            layers.iter().map(|of| LayerCoverage { name: of.layer.clone(), unjoined: 0, examples: Vec::new() });
        let coverage = Coverage {
            tokens: 0,
            documents: 0,
            characters: 0,
            unknown: 0,
            dropped: 0,
            dropped_documents: 0,
            layers: covered.collect(),
            not_positive: 0,
        };
        let mass = masses.into_iter().map(ExactSum::to_f64).collect();
        Stage { coverage, neurons: Neurons { sites: sites.to_vec(), count: counts, mass, moments: None }, layers }
    }

    /// The numbers of its features among other names; [`NULL`] for those that are not there.
    pub(crate) fn feature_numbers(&self, layer: usize, names: &HashMap<&str, u32>) -> Vec<u32> {
        let of = self.layers[layer].symbols.names().as_strings();
        of.iter().map(|name| names.get(name).copied().unwrap_or(NULL)).collect()
    }
}

/// Numbers numbers as they come.
#[derive(Default)]
struct Numbered {
    numbers: HashMap<u64, u32>,
    names: Vec<u64>,
    /// Rows of a document come together.
    last: Option<(u64, u32)>,
}

impl Numbered {
    fn number(&mut self, of: u64) -> u32 {
        match self.last {
            Some((last, number)) if last == of => number,
            _ => {
                let number = *self.numbers.entry(of).or_insert_with(|| {
                    self.names.push(of);
                    self.names.len() as u32 - 1
                });
                self.last = Some((of, number));
                number
            }
        }
    }
}
