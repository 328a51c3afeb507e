//! What a distance is worth: how far it is beyond what samples of this size give without any change.
//!
//! ```text
//! observations of both stages --> cells: what each unit (an article, a movie) brought to a neuron and feature
//!     cells x units as they are  --> the distance observed
//!     cells x units drawn anew   --> its null: p, q, the joint distance's p, fates that are tested
//!     cells x halves of units    --> distances between halves of the same side, and of different ones: the corrected distance
//!     cells x all blocks but one --> how far that would move: its interval
//! ```
//!
//! The engine resamples and a metric only compares, so every metric has a p, a third party's too. What p does not say: that
//! training caused the change. For that there are replicates over seeds.

mod affinity;
mod cells;
mod corrected;
mod observed;
mod test;
mod units;

use hashbrown::HashMap;
use txray_plugin::Host;

use crate::error::MethodResult;
use crate::sides::{Metric, Settings, shares};
use crate::stage::Stage;

use affinity::Affinity;
use cells::{Against, Cells};
pub use corrected::{Corrected, JointCorrected};
pub use observed::{Observed, Reading, Unit};
pub use test::{Fall, Tested, Testing, q_values};
pub use units::Design;
use units::Units;

/// How to find out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// What is permuted.
    pub design: Design,
    /// Of what all draws depend.
    pub seed: u64,
    /// None: nothing is tested, and distances are corrected alone.
    pub test: Option<Testing>,
    /// Whether corrected distances have intervals: these take most of the time.
    pub intervals: bool,
    /// Whether it is known that both sides read one text: a unit that one of them has no observation of is there all the same.
    pub is_one_text: bool,
}

/// A side of a comparison.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The stage.
    pub stage: &'a Stage,
    /// What it observed.
    pub observed: &'a Observed,
}

/// What the distances of a comparison are worth.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// `[layers]`
    pub layers: Vec<LayerEvidence>,
    /// `[neurons]` whether the counts of a neuron changed, where that is tested: none of one that was never observed.
    pub counts: Option<Vec<Option<Tested>>>,
}

/// Those of one layer.
#[derive(Clone, Debug)]
pub struct LayerEvidence {
    /// `[metrics][neurons]` the distances of what was observed.
    pub observed: Vec<Vec<Option<f64>>>,
    /// `[metrics][neurons]`: none where a metric claims no affinity, or a neuron has too little.
    pub corrected: Vec<Vec<Option<Corrected>>>,
    /// `[metrics][neurons]`: none where nothing is tested, or the distance is undefined.
    pub tested: Vec<Vec<Option<Tested>>>,
    /// All neurons together; none where a side has no mass.
    pub joint: Option<Joint>,
}

/// One distance of all neurons together: `H² = 1 - sum_n sqrt(w_n v_n) BC_n`, of the neurons' shares w and v of mass, and the affinity
/// BC of what each prefers. It is the sum of two parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joint {
    /// H.
    pub distance: f64,
    /// `1 - sum_n sqrt(w_n v_n)`, of H²: which neurons fire.
    pub usage: f64,
    /// `sum_n sqrt(w_n v_n) (1 - BC_n)`, of H²: what they fire for.
    pub preference: f64,
    /// The same, corrected.
    pub corrected: Option<JointCorrected>,
    /// p of the distance.
    pub tested: Option<Tested>,
}

/// Finds out what the distances of two stages are worth.
///
/// # Errors
/// Stages that are said to read the same text and do not; those of the metrics, and of the weighting.
pub fn evidence(
    sides: [Side<'_>; 2],
    settings: &Settings<'_>,
    metrics: &[Metric],
    resampling: &Resampling,
    host: &Host<'_>,
) -> MethodResult<Evidence> {
    let observed = sides.map(|side| side.observed);
    let units = Units::new(resampling.design, resampling.is_one_text, observed)?;
    let neurons = sides[0].stage.neurons.len();
    let layers = settings.layers.iter().map(|name| {
        let preferences = [sides[0].stage.layer(name)?, sides[1].stage.layer(name)?];
        let (names, share) = shares(preferences);
        let numbered: HashMap<&str, u32> = names.as_strings().iter().zip(0..).collect();
        let at = observed.map(|side| side.layers.iter().position(|layer| layer.name == *name).unwrap_or_default());
        let numbers = [0, 1].map(|side| observed[side].feature_numbers(at[side], &numbered));
        let cells = Cells::new(&units, observed, Some((at, numbers)), settings.min_count, neurons);
        let all: Vec<&Metric> = metrics.iter().collect();
        let against = Against { weighting: settings.weighting, share: &share, names: &names, metrics: &all, host };
        layer(&cells, &units, neurons, against, resampling)
    });
    let layers = layers.collect::<MethodResult<Vec<_>>>()?;
    let sites = &sides[0].stage.neurons.sites;
    let count = |testing: &Testing| test::counts(&units, observed, sites, testing, resampling.seed, host);
    let counts = resampling.test.as_ref().map(count).transpose()?;
    Ok(Evidence { layers, counts })
}

fn layer(
    cells: &Cells,
    units: &Units,
    neurons: usize,
    against: Against<'_>,
    resampling: &Resampling,
) -> MethodResult<LayerEvidence> {
    let everyone: Vec<usize> = (0..neurons).filter(|&neuron| cells.entries(neuron) > 0).collect();
    let mut table = vec![[0.0; units::LANES]; units.len()];
    units.as_they_are(&mut table, 0);
    // One code path: what is observed is a draw.
    let held = cells.hold(&everyone, &table, &[[0, 1]], against)?.swap_remove(0);
    let affinity = Affinity::of(&held);
    let [distance, usage, preference] = affinity.unwrap_or_default().distance();
    let mut joint = Joint { distance, usage, preference, corrected: None, tested: None };

    let is_eligible = test::eligible(cells, units, &everyone);
    let (of_neurons, of_joint) =
        corrected::corrected(cells, units, &everyone, &is_eligible, against, (resampling.seed, resampling.intervals))?;
    joint.corrected = of_joint.filter(|_| test::are_enough(units));
    let corrected = of_neurons.into_iter().map(|of| spread(of, &everyone, neurons)).collect();
    let tested = match &resampling.test {
        None => vec![vec![None; neurons]; against.metrics.len()],
        Some(testing) => {
            let (of_neurons, of_joint) = test::distances(
                cells,
                units,
                &everyone,
                &is_eligible,
                &held,
                joint.distance,
                against,
                testing,
                resampling.seed,
            )?;
            joint.tested = Some(of_joint);
            of_neurons.into_iter().map(|of| spread(of, &everyone, neurons)).collect()
        }
    };
    let defined = |distance: f64| Some(distance).filter(|distance| !distance.is_nan());
    let observed = held.distances.into_iter();
    let observed = observed.map(|of| spread(of.into_iter().map(defined), &everyone, neurons)).collect();
    Ok(LayerEvidence { observed, corrected, tested, joint: affinity.map(|_| joint) })
}

/// What is known of some neurons, among all of them.
fn spread<T: Clone>(of: impl IntoIterator<Item = Option<T>>, some: &[usize], neurons: usize) -> Vec<Option<T>> {
    let mut all = vec![None; neurons];
    some.iter().zip(of).for_each(|(&neuron, of)| all[neuron] = of);
    all
}

#[cfg(test)]
mod tests;
