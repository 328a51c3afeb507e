//! What stands in the summary of a comparison: `comparisons/<name>.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::align::AlignmentSummary;
use crate::evidence::{Corrected, Design, Joint, JointCorrected, Unit};
use crate::fate::Fates;
use crate::weighting::Weighting;

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
    /// The first of them; until they are told, all.
    pub neurons: Vec<Changed>,
}

impl ChangedMost {
    /// As many as are told.
    pub(crate) fn told(&self) -> Self {
        let neurons = self.neurons.iter().take(TOLD).cloned().collect();
        Self { metric: self.metric.clone(), neurons, ..*self }
    }
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
    /// The same without what finite samples add, by which they are ranked, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<f64>,
    /// q of the distance, where it is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<f64>,
    /// Counted through all sites.
    #[serde(skip)]
    pub(crate) at: usize,
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
    /// How neurons were matched, where they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<AlignmentSummary>,
    /// The same with other seeds, where a model was trained with several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicates: Option<ReplicatesSummary>,
    /// How many neurons met which fate.
    pub fates: Fates,
    /// The same with evidence, where that is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fates_tested: Option<Fates>,
    /// By layer.
    pub layers: BTreeMap<String, LayerSummary>,
}

/// What training again with other seeds changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReplicatesSummary {
    /// The comparison in each replicate: none where its stages do not pair off.
    pub each: Vec<Replicate>,
    /// One of the stages held against the same of each replicate.
    pub between: Option<Between>,
}

/// A comparison in a replicate. No renumbering of its neurons changes these figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replicate {
    /// Its name: `learning#2`.
    pub name: String,
    /// How many neurons met which fate.
    pub fates: Fates,
    /// The same with evidence, where that is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fates_tested: Option<Fates>,
    /// By layer.
    pub layers: BTreeMap<String, ReplicateLayer>,
}

/// One layer of a [`Replicate`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReplicateLayer {
    /// All neurons together.
    pub joint: Option<JointSummary>,
    /// By metric.
    pub metrics: BTreeMap<String, MetricSummary>,
}

impl Replicate {
    /// That of a comparison of this name.
    pub fn of(name: String, summary: Summary) -> Self {
        let layers = summary.layers.into_iter();
        let layers = layers.map(|(name, of)| (name, ReplicateLayer { joint: of.joint, metrics: of.metrics })).collect();
        Self { name, fates: summary.fates, fates_tested: summary.fates_tested, layers }
    }
}

/// A stage held against the same stage of replicates of its model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Between {
    /// The stage.
    pub stage: String,
    /// Those of the replicates.
    pub replicates: Vec<String>,
    /// Whether their neurons were matched: they began apart.
    pub aligned: bool,
    /// By layer, of each replicate: all neurons together.
    pub layers: BTreeMap<String, Vec<Option<JointSummary>>>,
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

/// Mass that `min_count` left out, and of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Mass left out, from and to.
    pub mass: [f64; 2],
    /// Mass in all, from and to.
    pub of: [f64; 2],
}

/// Distances of standardized frequencies: the mass of features that both texts have, and of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standardized {
    /// The share of the mass that stays, from and to.
    pub stays: [f64; 2],
}

/// How two stages were compared.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of `Summary`")]
pub struct SummaryOf {
    pub weighting: Weighting,
    pub min_count: u64,
    pub exploratory: Vec<String>,
    pub evidence: Option<EvidenceSummary>,
    pub alignment: Option<AlignmentSummary>,
    pub replicates: Option<ReplicatesSummary>,
}
