//! What neurons prefer: for each (site, neuron, layer, feature) how often, how much, and how strongly at most.
//!
//! Preferences form a commutative monoid: merging the preferences of shards, in any order, gives the bits of one run
//! over all of it.

use std::borrow::Borrow;

use hashbrown::HashMap;
use indexmap::IndexSet;
use txray_plugin::{ExactSum, Site};

/// How a neuron met a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preference {
    /// Observations with an activation > 0.
    pub count: u64,
    /// Sum of those activations.
    pub mass: ExactSum,
    /// The largest of them.
    pub max: f32,
}

impl Preference {
    fn merge(&mut self, other: &Self) {
        // As masses do: a table that was damaged may say anything.
        self.count = self.count.saturating_add(other.count);
        self.mass += other.mass;
        self.max = self.max.max(other.max);
    }
}

/// What is known of a neuron apart from features: over its observations, and over all tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NeuronTotals {
    /// Observations with an activation > 0: the neuron is alive if there is one.
    pub count: u64,
    /// Sum of those activations.
    pub mass: ExactSum,
    /// Observations whose activation was not > 0; they enter no preference.
    pub not_positive: u64,
    /// Sums of h, |h| and h² over all tokens, recorded or not.
    pub moments: [ExactSum; 3],
}

/// The features of one layer, numbered in the order they came, and who prefers them.
#[derive(Clone, Debug, Default)]
pub struct LayerPreferences {
    /// The layer's name.
    pub name: String,
    /// Names of the features.
    pub features: IndexSet<String, hashbrown::DefaultHashBuilder>,
    /// Tokens with a span that found no annotation.
    pub unjoined: u64,
    /// One table a site, by neuron (high half) and feature (low half).
    cells: Vec<HashMap<u64, Preference>>,
}

/// The preferences of a stage, or of a shard of one.
#[derive(Clone, Debug, Default)]
pub struct Preferences {
    /// The sites, by which tables and totals are numbered.
    pub sites: Vec<Site>,
    /// `[sites][neurons]`.
    pub totals: Vec<Vec<NeuronTotals>>,
    /// The layers.
    pub layers: Vec<LayerPreferences>,
    /// Tokens read.
    pub tokens: u64,
    /// Documents read.
    pub documents: u64,
    /// Tokens that the model's vocabulary did not know.
    pub unknown: u64,
    /// Whether the `moments` of the totals were known for every token.
    pub has_moments: bool,
}

/// Why preferences do not merge.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// They were read at other places, or for other features.
    #[error("they differ in their sites or layers")]
    Shape,
}

/// One row of the table of preferences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Index of the site.
    pub site: usize,
    /// The neuron.
    pub neuron: u32,
    /// Index of the layer.
    pub layer: usize,
    /// Name of the feature.
    pub feature: &'a str,
    /// The preference.
    pub preference: Preference,
}

impl Preferences {
    /// Empty preferences for these sites and layers.
    pub fn new(sites: Vec<Site>, layers: &[impl Borrow<str>]) -> Self {
        let layers = layers.iter().map(|name| LayerPreferences {
            name: name.borrow().to_owned(),
            cells: vec![HashMap::new(); sites.len()],
            ..LayerPreferences::default()
        });
        let layers = layers.collect();
        let totals = sites.iter().map(|site| vec![NeuronTotals::default(); site.width]).collect();
        Self { sites, totals, layers, has_moments: true, ..Self::default() }
    }

    /// Adds an observation of `neuron` to its totals; true where it is one that features may prefer.
    #[inline]
    pub fn observe(&mut self, site: usize, neuron: u32, activation: f32) -> bool {
        let totals = &mut self.totals[site][neuron as usize];
        if activation > 0.0 {
            totals.count += 1;
            totals.mass += ExactSum::of(f64::from(activation));
            true
        } else {
            totals.not_positive += 1;
            false
        }
    }

    /// Adds an observation with an activation > 0 to what the neuron prefers in a layer.
    #[inline]
    pub fn prefer(&mut self, layer: usize, site: usize, neuron: u32, feature: u32, activation: f32) {
        self.layers[layer].cells[site].entry(key(neuron, feature)).or_default().merge(&Preference {
            count: 1,
            mass: ExactSum::of(f64::from(activation)),
            max: activation,
        });
    }

    /// Puts a row of a table in its place.
    pub fn insert(&mut self, layer: usize, site: usize, neuron: u32, feature: &str, preference: &Preference) {
        let feature = self.layers[layer].feature(feature);
        self.layers[layer].cells[site].entry(key(neuron, feature)).or_default().merge(preference);
    }

    /// Adds other preferences of the same sites and layers to these.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        let same_layers = self.layers.iter().map(|l| &l.name).eq(other.layers.iter().map(|l| &l.name));
        if self.sites != other.sites || !same_layers {
            return Err(MergeError::Shape);
        }
        self.tokens += other.tokens;
        self.documents += other.documents;
        self.unknown += other.unknown;
        self.has_moments &= other.has_moments;
        for (mine, theirs) in self.totals.iter_mut().flatten().zip(other.totals.iter().flatten()) {
            mine.count += theirs.count;
            mine.mass += theirs.mass;
            mine.not_positive += theirs.not_positive;
            for (sum, more) in mine.moments.iter_mut().zip(theirs.moments) {
                *sum += more;
            }
        }
        for (mine, theirs) in self.layers.iter_mut().zip(&other.layers) {
            mine.unjoined += theirs.unjoined;
            let renumbered: Vec<u32> = theirs.features.iter().map(|name| mine.feature(name)).collect();
            for (mine, theirs) in mine.cells.iter_mut().zip(&theirs.cells) {
                for (&cell, preference) in theirs {
                    let (neuron, feature) = parts(cell);
                    mine.entry(key(neuron, renumbered[feature as usize])).or_default().merge(preference);
                }
            }
        }
        Ok(())
    }

    /// Every preference, ordered by site, neuron, layer (as given), feature name: an order that does not depend on
    /// how the preferences came together.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::with_capacity(self.len());
        for (index, layer) in self.layers.iter().enumerate() {
            for (site, cells) in layer.cells.iter().enumerate() {
                rows.extend(cells.iter().map(|(&cell, &preference)| {
                    let (neuron, feature) = parts(cell);
                    Row { site, neuron, layer: index, feature: &layer.features[feature as usize], preference }
                }));
            }
        }
        rows.sort_unstable_by(|a, b| {
            (a.site, a.neuron, a.layer, a.feature).cmp(&(b.site, b.neuron, b.layer, b.feature))
        });
        rows
    }

    /// What one neuron prefers in a layer, by `weight`, the most first; ties by name.
    pub fn preferred(
        &self,
        layer: usize,
        site: usize,
        neuron: u32,
        weight: impl Fn(&Preference) -> f64,
    ) -> Vec<(&str, f64)> {
        let layer = &self.layers[layer];
        let mine = layer.cells[site].iter().filter(|(cell, _)| parts(**cell).0 == neuron);
        let mut features: Vec<(&str, f64)> = mine
            .map(|(&cell, preference)| (layer.features[parts(cell).1 as usize].as_str(), weight(preference)))
            .collect();
        features.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        features
    }

    /// How many rows [`Preferences::rows`] has.
    pub fn len(&self) -> usize {
        self.layers.iter().flat_map(|layer| &layer.cells).map(HashMap::len).sum()
    }

    /// Whether nothing is preferred.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many neurons are alive.
    pub fn alive(&self) -> usize {
        self.totals.iter().flatten().filter(|totals| totals.count > 0).count()
    }

    /// Sum of all activations > 0.
    pub fn mass(&self) -> ExactSum {
        let mut all = ExactSum::default();
        for totals in self.totals.iter().flatten() {
            all += totals.mass;
        }
        all
    }
}

impl LayerPreferences {
    /// The number of a feature, which it is given if it is new.
    pub fn feature(&mut self, name: &str) -> u32 {
        let index = match self.features.get_index_of(name) {
            Some(index) => index,
            None => self.features.insert_full(name.to_owned()).0,
        };
        // More than 2^32 features would need more than 64 GiB for their names alone.
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// How many distinct features each neuron of a site prefers, `[width]`.
    pub fn lengths(&self, site: usize, width: usize) -> Vec<u64> {
        let mut lengths = vec![0; width];
        for &cell in self.cells[site].keys() {
            lengths[parts(cell).0 as usize] += 1;
        }
        lengths
    }
}

fn key(neuron: u32, feature: u32) -> u64 {
    u64::from(neuron) << 32 | u64::from(feature)
}

fn parts(key: u64) -> (u32, u32) {
    ((key >> 32) as u32, key as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIDTH: u32 = 5;

    /// (site, neuron, activation, feature of each layer)
    type Observation = (usize, u32, f32, [Option<u8>; 2]);

    fn observations() -> impl Strategy<Value = Vec<Observation>> {
        let activation = prop_oneof![4 => -1.0_f32..1.0, 1 => Just(0.0), 1 => 1e-30_f32..1e-15, 1 => 1e10_f32..1e15];
        let feature = || proptest::option::weighted(0.9, 0_u8..12);
        let one = (0..2_usize, 0..WIDTH, activation, [feature(), feature()]);
        proptest::collection::vec(one, 0..200)
    }

    fn gather(observations: &[Observation]) -> Preferences {
        let site = |name: &str| Site { name: name.to_owned(), width: WIDTH as usize };
        let mut all = Preferences::new(vec![site("a"), site("b")], &["token", "pos"]);
        for &(site, neuron, activation, features) in observations {
            all.tokens += 1;
            if all.observe(site, neuron, activation) {
                for (layer, feature) in features.iter().enumerate() {
                    if let Some(feature) = feature {
                        let feature = all.layers[layer].feature(&format!("f{feature}"));
                        all.prefer(layer, site, neuron, feature, activation);
                    }
                }
            }
        }
        all
    }

    /// All that is written of preferences, floats as bits.
    fn bits(preferences: &Preferences) -> Vec<String> {
        let row = |r: Row<'_>| {
            let Preference { count, mass, max } = r.preference;
            format!("{} {} {} {} {count} {:?} {}", r.site, r.neuron, r.layer, r.feature, mass, max.to_bits())
        };
        preferences.rows().into_iter().map(row).collect()
    }

    proptest! {
        #[test]
        fn merged_shards_have_the_bits_of_one_run(
            (observations, shards, order) in observations().prop_flat_map(|all| {
                let n = all.len();
                (Just(all), proptest::collection::vec(0..7_usize, n), Just((0..7).collect::<Vec<_>>()).prop_shuffle())
            })
        ) {
            let whole = gather(&observations);
            let mut merged = gather(&[]);
            for shard in order {
                let part: Vec<_> =
                    observations.iter().zip(&shards).filter(|(_, s)| **s == shard).map(|(o, _)| *o).collect();
                merged.merge(&gather(&part)).unwrap();
            }
            prop_assert_eq!(bits(&merged), bits(&whole));
            prop_assert_eq!(&merged.totals, &whole.totals);
            prop_assert_eq!(merged.tokens, whole.tokens);
        }

        #[test]
        fn totals_agree_with_the_rows(observations in observations()) {
            let all = gather(&observations);
            let rows = all.rows();
            for (site, totals) in all.totals.iter().enumerate() {
                let lengths = all.layers[0].lengths(site, totals.len());
                for (neuron, totals) in totals.iter().enumerate() {
                    let mine = || rows.iter().filter(|r| (r.site, r.neuron as usize, r.layer) == (site, neuron, 0));
                    prop_assert!(mine().map(|r| r.preference.count).sum::<u64>() <= totals.count);
                    prop_assert_eq!(mine().count() as u64, lengths[neuron]);
                }
            }
        }
    }

    #[test]
    fn what_differs_in_shape_does_not_merge() {
        let site = Site { name: "a".to_owned(), width: 5 };
        let mut one = Preferences::new(vec![site.clone()], &["token"]);
        assert!(one.merge(&Preferences::new(vec![site], &["word"])).is_err());
    }
}
