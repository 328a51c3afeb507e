//! A chain of comparisons over checkpoints of one model, read over one text: what is learned when.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray, UInt64Array};
use serde::{Deserialize, Serialize};
use txray_plugin::Host;
use txray_tables::Folder;
use txray_tables::columns::trajectory;

use crate::diversity::{hill, rarefied};
use crate::error::{MethodError, MethodResult};
use crate::evaluation::Estimate;
use crate::evidence::{Design, Reading, Resampling, Side, Unit, evidence};
use crate::fate::ENOUGH;
use crate::information::Information;
use crate::preferences::{Preference, Preferences};
use crate::sides::{Settings, shares};
use crate::summary::JointSummary;
use crate::weighting::Met;

/// A checkpoint, and what it was found to be without its neurons.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its name: `lm@1`.
    pub name: String,
    /// The epoch that it was kept after, where that is known.
    pub epoch: Option<u64>,
    /// Of the text that its neurons are read over, where it predicts.
    pub perplexity: Option<Estimate>,
}

/// A checkpoint in one layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrajectoryRow {
    /// Which of the checkpoints, from 0.
    pub checkpoint: usize,
    /// The layer.
    pub layer: String,
    /// Neurons that were observed with a strength > 0.
    pub alive: u64,
    /// How often neurons were.
    pub count: u64,
    /// The sum of those strengths.
    pub mass: f64,
    /// Distinct features that a neuron prefers, in the mean of those alive.
    pub length: Option<f64>,
    /// The same of as many observations of each neuron as it has at the checkpoint where it has fewest: in the mean of those that
    /// have enough at every one.
    pub rarefied: Option<f64>,
    /// How many these are.
    pub rarefied_neurons: u64,
    /// Hill numbers of order 1 and 2 of what a neuron prefers, in the mean of those alive.
    pub hill: [Option<f64>; 2],
    /// The mutual information of neuron and feature.
    pub information: Option<f64>,
    /// That of its control.
    pub information_control: Option<f64>,
    /// Held against the checkpoint before it.
    pub previous: Option<JointSummary>,
    /// Held against the last checkpoint.
    pub last: Option<JointSummary>,
}

/// Layers whose features are the word types of a text.
const WORDS: [&str; 2] = ["word", "token"];

/// What so many checkpoints come to, a row a checkpoint and layer, and what was drawn as a whole. Each is read as it is needed, so that few are held at once.
///
/// # Errors
/// Those of `read`; checkpoints of different sites, or of different texts.
pub fn trajectory<E: From<MethodError>>(
    checkpoints: usize,
    mut read: impl FnMut(usize, Unit) -> Result<Reading, E>,
    settings: &Settings<'_>,
    seed: u64,
    host: &Host<'_>,
) -> Result<(Unit, Vec<TrajectoryRow>), E> {
    let mut fewest: Option<Vec<Vec<u64>>> = None;
    let mut unit = Unit::Group;
    for at in 0..checkpoints {
        let (stage, observed) = read(at, Unit::Group)?;
        // Where one of them is drawn by documents, all are.
        if observed.unit == Unit::Document {
            unit = Unit::Document;
        }
        let counts = settings.layers.iter().map(|layer| Ok(counts(stage.layer(layer)?, stage.neurons.len())));
        let counts = counts.collect::<MethodResult<Vec<_>>>()?;
        fewest = Some(match fewest {
            None => counts,
            Some(mut fewest) => {
                fewest.iter_mut().flatten().zip(counts.into_iter().flatten()).for_each(|(min, n)| *min = n.min(*min));
                fewest
            }
        });
    }
    let fewest = fewest.unwrap_or_default();
    let resampling = Resampling { design: Design::Swap, seed, test: None, intervals: true, is_one_text: true };
    let held = |from: &Reading, to: &Reading| {
        let sides = [Side { stage: &from.0, observed: &from.1 }, Side { stage: &to.0, observed: &to.1 }];
        let found = evidence(sides, settings, &[], &resampling, host)?;
        Ok::<_, MethodError>(
            found.layers.into_iter().map(|layer| layer.joint.map(JointSummary::of)).collect::<Vec<_>>(),
        )
    };
    let Some(end) = checkpoints.checked_sub(1) else { return Ok((unit, Vec::new())) };
    let last = read(end, unit)?;
    let mut rows = Vec::new();
    let mut before: Option<Reading> = None;
    for at in 0..checkpoints {
        let this = if at == end { last.clone() } else { read(at, unit)? };
        let previous = before.as_ref().map(|before| held(before, &this)).transpose()?;
        let to_last = if at == end { None } else { Some(held(&this, &last)?) };
        for (layer, name) in settings.layers.iter().enumerate() {
            let of = |joints: &Option<Vec<Option<JointSummary>>>| joints.as_ref().and_then(|joints| joints[layer]);
            let mut row = learned(&this, name, settings, &fewest[layer], seed)?;
            (row.checkpoint, row.previous, row.last) = (at, of(&previous), of(&to_last));
            rows.push(row);
        }
        before = Some(this);
    }
    Ok((unit, rows))
}

/// `[neurons]`: how often each met features of a layer.
fn counts(preferences: &Preferences, neurons: usize) -> Vec<u64> {
    let of = |neuron| preferences.of(neuron).1.iter().fold(0_u64, |sum, met| sum.saturating_add(met.count));
    (0..neurons).map(of).collect()
}

/// What a checkpoint is by itself in one layer.
fn learned(
    (stage, observed): &Reading,
    layer: &str,
    settings: &Settings<'_>,
    fewest: &[u64],
    seed: u64,
) -> MethodResult<TrajectoryRow> {
    let preferences = stage.layer(layer)?;
    let (mut lengths, mut rare, mut hills) = (Mean::default(), Mean::default(), [Mean::default(); 2]);
    let (_, share) = shares([preferences, preferences]);
    for (neuron, &fewest) in fewest.iter().enumerate() {
        let (features, met) = preferences.of(neuron);
        if met.is_empty() {
            continue;
        }
        lengths.add(met.len() as f64);
        if fewest >= ENOUGH {
            let counts: Vec<u64> = met.iter().map(|met| met.count).collect();
            rarefied(&counts, fewest).into_iter().for_each(|length| rare.add(length));
        }
        let weigh = |(&feature, &Preference { count, mass, max }): (&u32, &Preference)| {
            let (mass, share) = (mass.to_f64(), share[feature as usize]);
            settings.weighting.weight(&Met { count, mass, max, share })
        };
        let weights: Vec<f64> = features.iter().zip(met).map(weigh).collect();
        let sum: f64 = weights.iter().sum();
        if sum > 0.0 && sum.is_finite() {
            let distribution: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            hills.iter_mut().zip(hill(&distribution)).for_each(|(mean, number)| mean.add(number));
        }
    }
    let at = |name: &str| observed.layers.iter().position(|layer| layer.name == name);
    let words = WORDS.iter().find_map(|name| at(name)).filter(|_| !WORDS.contains(&layer));
    let information = at(layer).map(|layer| Information::of(observed, layer, words, seed)).unwrap_or_default();
    Ok(TrajectoryRow {
        checkpoint: 0,
        layer: layer.to_owned(),
        alive: stage.neurons.alive() as u64,
        count: stage.neurons.count.iter().sum(),
        mass: stage.neurons.mass.iter().sum(),
        length: lengths.mean(),
        rarefied: rare.mean(),
        rarefied_neurons: rare.of,
        hill: hills.map(Mean::mean),
        information: information.bits,
        information_control: information.control,
        previous: None,
        last: None,
    })
}

#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    of: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.of += 1;
    }

    fn mean(self) -> Option<f64> {
        (self.of > 0).then(|| self.sum / self.of as f64)
    }
}

/// Writes the table of a trajectory.
pub fn write_trajectory(folder: &Folder<'_>, checkpoints: &[Checkpoint], rows: &[TrajectoryRow]) -> MethodResult<()> {
    let mut table = folder.create(&trajectory::TABLE, &[""; 0])?;
    let of = |row: &TrajectoryRow| &checkpoints[row.checkpoint];
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &of(row).name))),
        Arc::new(rows.iter().map(|row| of(row).epoch).collect::<UInt64Array>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.layer))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.alive))),
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.count))),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.mass))),
    ];
    let number = |of: &dyn Fn(&TrajectoryRow) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Float64Array>())
    };
    let perplexity = |row: &TrajectoryRow| of(row).perplexity;
    columns.push(number(&|row| Some(perplexity(row)?.value)));
    for end in 0..2 {
        columns.push(number(&|row| Some(perplexity(row)?.interval?[end])));
    }
    columns.push(number(&|row| row.length));
    columns.push(number(&|row| row.rarefied));
    columns.push(Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.rarefied_neurons))));
    columns.push(number(&|row| row.hill[0]));
    columns.push(number(&|row| row.hill[1]));
    columns.push(number(&|row| row.information));
    columns.push(number(&|row| row.information_control));
    for joint in [|row: &TrajectoryRow| row.previous, |row: &TrajectoryRow| row.last] {
        let corrected = |row: &TrajectoryRow| joint(row)?.corrected;
        columns.push(number(&|row| Some(joint(row)?.distance)));
        columns.push(number(&|row| Some(corrected(row)?.distance)));
        for end in 0..2 {
            columns.push(number(&|row| Some(corrected(row)?.interval?[end])));
        }
        columns.push(number(&|row| Some(corrected(row)?.usage)));
        columns.push(number(&|row| Some(corrected(row)?.preference)));
    }
    table.write(columns)?;
    Ok(table.finish()?)
}
