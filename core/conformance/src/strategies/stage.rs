//! Whole stages: documents with tokens, the features of the tokens, and the activations observed at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use txray_plugin::{ActivationBatch, LayerColumn, NULL, Site, SourceDescription, StringTable};

use super::{Preference, magnitude};

/// What was read of a model over a corpus, under the record rule `max-1`: one observation a token and site.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// One or two sites, and the layers `token` and `pos`.
    pub description: SourceDescription,
    /// The documents, in order, cut into batches anywhere.
    pub batches: Vec<ActivationBatch>,
}

/// The index of a neuron's site, and its own.
pub type Neuron = (u32, u32);

/// What each neuron prefers in one layer, by the names of features.
pub type PreferenceTable = BTreeMap<Neuron, BTreeMap<String, Preference>>;

/// A token of a drawn document. At each site one neuron, an index into as many as the site has, and its activation.
#[derive(Clone, Debug)]
struct Token {
    /// `None`: a special token, without a span and features.
    word: Option<usize>,
    pos: usize,
    observed: Vec<(Index, f32)>,
}

const WORDS: [&str; 8] = ["the", "cat", "Straße", "sat", "😀", "on", "a", "mat"];
const POS: [&str; 3] = ["DET", "NOUN", "VERB"];

/// An activation: mostly above 0, now and then 0 or below.
pub fn activation() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => magnitude().prop_map(|size| size as f32),
        1 => magnitude().prop_map(|size| -size as f32),
        1 => Just(0.0),
    ]
}

/// A stage of 1 or 2 sites and 1 to 8 documents in up to 3 groups; some documents are without tokens, some in no group.
pub fn stage() -> impl Strategy<Value = Stage> {
    let sites = prop::collection::vec(1_usize..6, 1..=2);
    sites.prop_flat_map(|widths| {
        let observed = prop::collection::vec((any::<Index>(), activation()), widths.len());
        let token = (prop::option::weighted(0.9, 0..WORDS.len()), 0..POS.len(), observed)
            .prop_map(|(word, pos, observed)| Token { word, pos, observed });
        let document = (0_usize..4, any::<bool>(), prop::collection::vec(token, 0..12));
        prop::collection::vec(document, 1..=8).prop_map(move |documents| build(&widths, &documents))
    })
}

/// Each document is (group, whether a batch begins with it, tokens).
fn build(widths: &[usize], documents: &[(usize, bool, Vec<Token>)]) -> Stage {
    let sites = widths.iter().enumerate().map(|(site, &width)| Site { name: format!("lstm.{site}.hidden"), width });
    let layers = ["token", "pos"];
    let description = SourceDescription { sites: sites.collect(), layers: layers.map(str::to_owned).into() };
    let names: [Arc<StringTable>; 2] = [Arc::new(WORDS.iter().collect()), Arc::new(POS.iter().collect())];
    let mut batches: Vec<ActivationBatch> = Vec::new();
    for (id, (group, begins, tokens)) in documents.iter().enumerate() {
        if *begins || batches.is_empty() {
            let layers = layers.iter().zip(&names);
            let layers = layers.map(|(&name, names)| LayerColumn {
                name: name.to_owned(),
                names: Arc::clone(names),
                ..LayerColumn::default()
            });
            batches.push(ActivationBatch { offsets: vec![0], layers: layers.collect(), ..Default::default() });
        }
        let Some(batch) = batches.last_mut() else { continue };
        batch.documents.push(id as u64);
        batch.groups.push(["", "first", "second", "third"][*group]);
        let mut at = 0;
        for token in tokens {
            let length = token.word.map_or(0, |word| WORDS[word].chars().count() as u32);
            let span = token.word.map_or((NULL, NULL), |_| (at, at + length));
            at += length + 1;
            for (site, (neuron, activation)) in token.observed.iter().enumerate() {
                batch.token.push(batch.starts.len() as u32);
                batch.site.push(site as u32);
                batch.neuron.push(neuron.index(widths[site]) as u32);
                batch.activation.push(*activation);
            }
            batch.starts.push(span.0);
            batch.ends.push(span.1);
            batch.layers[0].features.push(token.word.map_or(NULL, |word| word as u32));
            batch.layers[1].features.push(token.word.map_or(NULL, |_| token.pos as u32));
        }
        batch.offsets.push(batch.starts.len() as u64);
    }
    Stage { description, batches }
}

impl Stage {
    /// What its neurons prefer in a layer, counted plainly, observation by observation, to hold faster code against.
    /// Activations that are not above 0 enter no preference.
    pub fn preferences(&self, layer: &str) -> PreferenceTable {
        let mut table = PreferenceTable::new();
        for batch in &self.batches {
            let Some(column) = batch.layers.iter().find(|column| column.name == layer) else { continue };
            for at in 0..batch.token.len() {
                let feature = column.features[batch.token[at] as usize];
                let activation = f64::from(batch.activation[at]);
                let Some(name) = column.names.get(feature as usize).filter(|_| activation > 0.0) else { continue };
                let neuron = table.entry((batch.site[at], batch.neuron[at])).or_default();
                let preference = neuron.entry(name.to_owned()).or_insert(Preference { count: 0, mass: 0.0 });
                preference.count += 1;
                preference.mass += activation;
            }
        }
        table
    }
}

/// Two stages of one model over texts that differ in known places.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    /// The stage that was drawn.
    pub from: Stage,
    /// The same stage, except that the neurons of `changed` met other words.
    pub to: Stage,
    /// By neuron, two counts of at least 1: its observations above 0, and how many of these met a word in `to` that no
    /// neuron met in `from`. In the layer `token`, weighted by count, the total variation between the neuron's two
    /// sides is the second count over the first; that of every other neuron is 0.
    pub changed: BTreeMap<Neuron, (u64, u64)>,
}

/// A stage of one site, and another where the words at some observations of some neurons were replaced.
pub fn planted() -> impl Strategy<Value = Planted> {
    // A token's word can change for one neuron alone only where one site reads it.
    let drawn = stage().prop_map(with_one_site);
    let drawn = drawn.prop_filter("a word must have been met", |stage| !stage.preferences("token").is_empty());
    (drawn, any::<u64>(), any::<u64>()).prop_map(|(from, which, share)| plant(from, which, share))
}

fn with_one_site(mut stage: Stage) -> Stage {
    stage.description.sites.truncate(1);
    for batch in &mut stage.batches {
        let kept: Vec<usize> = (0..batch.site.len()).filter(|&at| batch.site[at] == 0).collect();
        batch.token = kept.iter().map(|&at| batch.token[at]).collect();
        batch.neuron = kept.iter().map(|&at| batch.neuron[at]).collect();
        batch.activation = kept.iter().map(|&at| batch.activation[at]).collect();
        batch.site.retain(|&site| site == 0);
    }
    stage
}

/// The bits of `which` choose the neurons that change, at least the first; `share` says how many observations of each.
fn plant(from: Stage, which: u64, share: u64) -> Planted {
    let mut changed = BTreeMap::new();
    for (number, (neuron, met)) in from.preferences("token").into_iter().enumerate() {
        if number == 0 || which >> (number % 64) & 1 == 1 {
            let total = met.values().map(|preference| preference.count).sum();
            changed.insert(neuron, (total, share % total + 1));
        }
    }
    let mut left: BTreeMap<Neuron, u64> = changed.iter().map(|(&neuron, &(_, moved))| (neuron, moved)).collect();
    let mut to = from.clone();
    for batch in &mut to.batches {
        let mut names = StringTable::clone(&batch.layers[0].names);
        let new = names.push("never met before") as u32;
        batch.layers[0].names = Arc::new(names);
        for at in 0..batch.token.len() {
            let neuron = (batch.site[at], batch.neuron[at]);
            let feature = &mut batch.layers[0].features[batch.token[at] as usize];
            let Some(left) = left.get_mut(&neuron).filter(|left| **left > 0) else { continue };
            if *feature != NULL && batch.activation[at] > 0.0 {
                *feature = new;
                *left -= 1;
            }
        }
    }
    Planted { from, to, changed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use txray_host::fits;

    proptest! {
        #[test]
        fn a_stage_is_what_a_source_may_give(stage in stage()) {
            for batch in &stage.batches {
                prop_assert_eq!(fits(batch, &stage.description), Ok(()));
            }
        }

        #[test]
        fn what_was_planted_is_found_and_nothing_else(planted in planted()) {
            let Planted { from, to, changed } = &planted;
            for batch in from.batches.iter().chain(&to.batches) {
                prop_assert_eq!(fits(batch, &from.description), Ok(()));
            }
            prop_assert!(!changed.is_empty());
            let (before, after) = (from.preferences("token"), to.preferences("token"));
            prop_assert!(before.keys().eq(after.keys()));
            for (neuron, side) in &before {
                let total: u64 = side.values().map(|p| p.count).sum();
                let count = |side: &BTreeMap<String, Preference>, name: &String| side.get(name).map_or(0, |p| p.count);
                let other = &after[neuron];
                let names = side.keys().chain(other.keys().filter(|name| !side.contains_key(*name)));
                let difference: u64 = names.map(|name| count(side, name).abs_diff(count(other, name))).sum();
                let (_, moved) = changed.get(neuron).copied().unwrap_or((total, 0));
                prop_assert_eq!(difference, 2 * moved);
            }
        }
    }
}
