//! What neurons prefer in one layer: for each (neuron, feature) how often, how much, and how strongly at most.

use txray_plugin::{ExactSum, StringTable};

/// How a neuron met a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preference {
    /// Observations with a strength > 0.
    pub count: u64,
    /// Sum of those strengths.
    pub mass: ExactSum,
    /// The largest of them.
    pub max: f32,
}

impl Preference {
    /// Adds those of other observations.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.mass += other.mass;
        self.max = self.max.max(other.max);
    }
}

/// What the neurons of a stage prefer in one layer: the features in rising order of their names, and of each neuron, in
/// the order of sites and neurons, those it prefers.
#[derive(Clone, Debug, PartialEq)]
pub struct Preferences {
    /// The layer.
    pub layer: String,
    /// Names of the features, in rising order, each once.
    features: StringTable,
    /// `[neurons + 1]` where the rows of each neuron are.
    offsets: Vec<usize>,
    /// `[rows]` indices into the names, rising in each neuron.
    feature: Vec<u32>,
    /// `[rows]`
    preference: Vec<Preference>,
}

impl Preferences {
    /// Of no neuron yet.
    pub(crate) fn new(layer: String, features: StringTable) -> Self {
        Self { layer, features, offsets: vec![0], feature: Vec::new(), preference: Vec::new() }
    }

    /// Adds the next neuron, with what it prefers in rising order.
    pub(crate) fn push(&mut self, prefers: impl IntoIterator<Item = (u32, Preference)>) {
        for (feature, preference) in prefers {
            self.feature.push(feature);
            self.preference.push(preference);
        }
        self.offsets.push(self.feature.len());
    }

    /// Names of the features, in rising order.
    pub fn features(&self) -> &StringTable {
        &self.features
    }

    /// What a neuron prefers, counted through all sites: indices of the features, rising, and the preferences.
    pub fn of(&self, neuron: usize) -> (&[u32], &[Preference]) {
        let at = self.offsets[neuron]..self.offsets[neuron + 1];
        (&self.feature[at.clone()], &self.preference[at])
    }

    /// How many features each neuron prefers: `[neurons]`.
    pub fn lengths(&self) -> impl Iterator<Item = u64> {
        self.offsets.windows(2).map(|w| (w[1] - w[0]) as u64)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.feature.len()
    }

    /// Whether nothing is preferred.
    pub fn is_empty(&self) -> bool {
        self.feature.is_empty()
    }

    /// What each feature brought to all neurons: `[features]`.
    pub(crate) fn masses(&self) -> Vec<f64> {
        let mut masses = vec![0.0; self.features.len()];
        for (&feature, preference) in self.feature.iter().zip(&self.preference) {
            masses[feature as usize] += preference.mass.to_f64();
        }
        masses
    }

    /// How often each feature was met by any neuron: `[features]`. Counts of a table that was damaged stay at the greatest.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0_u64; self.features.len()];
        for (&feature, preference) in self.feature.iter().zip(&self.preference) {
            let count = &mut counts[feature as usize];
            *count = count.saturating_add(preference.count);
        }
        counts
    }
}
