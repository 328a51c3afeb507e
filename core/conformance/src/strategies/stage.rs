//! Whole stages: documents with tokens, the features of the tokens, and the activations observed at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use txray_plugin::{ActivationBatch, ExactSum, LayerColumn, Moments, NULL, Site, SourceDescription, StringTable};

use super::{Preference, magnitude};

/// What was read of a model over a corpus.
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

/// The activations of a model over a text, from which stages are made: 1 or 2 sites, 1 to 8 documents in up to 3 groups, at
/// least 2 tokens; some documents are without tokens, some in no group. No activation is 0, and no two neurons of a site have
/// the same at a token: so no rule has to break a tie.
#[derive(Clone, Debug, PartialEq)]
pub struct Activations {
    widths: Vec<usize>,
    documents: Vec<Document>,
    words: Vec<String>,
}

/// Where a neuron speaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// The site of the neuron, its first.
    pub site: u32,
    /// The document.
    pub document: u64,
    /// The token in it.
    pub position: u32,
    /// Its word.
    pub word: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Document {
    group: usize,
    /// Whether a batch begins with it.
    begins: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq)]
struct Token {
    /// `None`: a special token, without a span and features.
    word: Option<usize>,
    pos: usize,
    /// `[sites][width]`
    activations: Vec<Vec<f32>>,
}

const WORDS: [&str; 8] = ["the", "cat", "Straße", "sat", "😀", "on", "a", "mat"];
const POS: [&str; 3] = ["DET", "NOUN", "VERB"];
const LAYERS: [&str; 2] = ["token", "pos"];

/// Activations of any size, four of five above 0.
pub fn activations() -> impl Strategy<Value = Activations> {
    let sites = prop::collection::vec(1_usize..6, 1..=2);
    let drawn = sites.prop_flat_map(|widths| {
        let activation = || (magnitude(), 0..5_u8).prop_map(|(size, sign)| if sign == 0 { -size } else { size } as f32);
        let site = |&width: &usize| prop::collection::vec(activation(), width).prop_map(told_apart);
        let observed: Vec<_> = widths.iter().map(site).collect();
        let token = (prop::option::weighted(0.9, 0..WORDS.len()), 0..POS.len(), observed)
            .prop_map(|(word, pos, activations)| Token { word, pos, activations });
        let document = (0_usize..4, any::<bool>(), prop::collection::vec(token, 0..12))
            .prop_map(|(group, begins, tokens)| Document { group, begins, tokens });
        prop::collection::vec(document, 1..=8).prop_map(move |documents| Activations {
            widths: widths.clone(),
            documents,
            words: WORDS.map(str::to_owned).to_vec(),
        })
    });
    drawn.prop_filter("there are 2 tokens", |drawn| drawn.documents.iter().map(|d| d.tokens.len()).sum::<usize>() > 1)
}

fn told_apart(mut activations: Vec<f32>) -> Vec<f32> {
    for at in 1..activations.len() {
        while activations[..at].contains(&activations[at]) {
            activations[at] *= 1.01;
        }
    }
    activations
}

/// A stage under the record rule `max-1`: one observation a token and site.
pub fn stage() -> impl Strategy<Value = Stage> {
    activations().prop_map(|activations| activations.most_active())
}

impl Activations {
    /// As a source gives them that gives every neuron at every token.
    pub fn all(&self) -> Stage {
        self.stage(|activations| activations.iter().copied().enumerate().collect())
    }

    /// As a source gives them that gives the most active neuron of each site at every token.
    pub fn most_active(&self) -> Stage {
        self.stage(|activations| {
            let most = activations.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
            most.into_iter().collect()
        })
    }

    /// Every activation so many times as large.
    #[must_use]
    pub fn scaled(mut self, factor: f32) -> Self {
        self.each_site(|activations| activations.iter_mut().for_each(|activation| *activation *= factor));
        self
    }

    /// The neurons of each site in the opposite order.
    #[must_use]
    pub fn turned(mut self) -> Self {
        self.each_site(|activations| activations.reverse());
        self
    }

    /// The words under other names, which stand in another order.
    #[must_use]
    pub fn renamed(mut self) -> Self {
        self.words = self.words.iter().enumerate().map(|(i, word)| format!("{:02} once {word}", 99 - i)).collect();
        self
    }

    /// The words of some tokens replaced by one that is nowhere else: of those whose number (counted through the text) has
    /// its bit in `which`, every 64th.
    #[must_use]
    pub fn replaced(mut self, which: u64) -> Self {
        self.words.push("never met before".to_owned());
        let new = self.words.len() - 1;
        let tokens = self.documents.iter_mut().flat_map(|document| &mut document.tokens);
        for (_, token) in tokens.enumerate().filter(|(number, _)| which >> (number % 64) & 1 == 1) {
            token.word = token.word.map(|_| new);
        }
        self
    }

    /// The first neuron of one site speaks at one token, louder than any ever does, and is all but silent otherwise: at the token
    /// with a word that has this number, counted round; so are the sites. `None` where there is no word.
    #[must_use]
    pub fn speaking_once(mut self, number: u64, voice: f32) -> Option<(Self, Spoken)> {
        let site = (number >> 32) as usize % self.widths.len();
        let mut places = Vec::new();
        for (document, of) in self.documents.iter_mut().enumerate() {
            for (position, token) in of.tokens.iter_mut().enumerate() {
                token.activations[site][0] = -1e-4 * voice.signum();
                places.extend(token.word.map(|word| (document, position, word)));
            }
        }
        let &(document, position, word) = places.get((number % places.len().max(1) as u64) as usize)?;
        self.documents[document].tokens[position].activations[site][0] = voice;
        let word = self.words[word].clone();
        Some((self, Spoken { site: site as u32, document: document as u64, position: position as u32, word }))
    }

    /// Every activation one of -1, 0, 1 and 2: with many ties, and a neuron that is always 0.
    #[must_use]
    pub fn coarse(mut self) -> Self {
        self.each_site(|activations| {
            for activation in activations {
                *activation = (activation.abs().log10().round() as i32).rem_euclid(4) as f32 - 1.0;
            }
        });
        let tokens = self.documents.iter_mut().flat_map(|document| &mut document.tokens);
        tokens.for_each(|token| token.activations[0][0] = 0.0);
        self
    }

    /// How many neurons each site has.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    fn each_site(&mut self, change: impl Fn(&mut Vec<f32>)) {
        let tokens = self.documents.iter_mut().flat_map(|document| &mut document.tokens);
        tokens.flat_map(|token| &mut token.activations).for_each(change);
    }

    fn stage(&self, given: impl Fn(&[f32]) -> Vec<(usize, f32)>) -> Stage {
        let sites = self.widths.iter().enumerate();
        let sites = sites.map(|(site, &width)| Site { name: format!("lstm.{site}.hidden"), width }).collect();
        let names: [Arc<StringTable>; 2] = [Arc::new(self.words.iter().collect()), Arc::new(POS.iter().collect())];
        let mut batches: Vec<ActivationBatch> = Vec::new();
        for (id, document) in self.documents.iter().enumerate() {
            if document.begins || batches.is_empty() {
                let layers = LAYERS.iter().zip(&names);
                let layers = layers.map(|(&name, names)| LayerColumn {
                    name: name.to_owned(),
                    names: Arc::clone(names),
                    ..LayerColumn::default()
                });
                let zeros = |&width: &usize| {
                    let zeros = || vec![ExactSum::ZERO; width];
                    Moments { sum: zeros(), sum_abs: zeros(), sum_sq: zeros() }
                };
                batches.push(ActivationBatch {
                    offsets: vec![0],
                    layers: layers.collect(),
                    moments: self.widths.iter().map(zeros).collect(),
                    ..ActivationBatch::default()
                });
            }
            if let Some(batch) = batches.last_mut() {
                self.add(batch, id, document, &given);
            }
        }
        Stage { description: SourceDescription { sites, layers: LAYERS.map(str::to_owned).into() }, batches }
    }

    fn add(
        &self,
        batch: &mut ActivationBatch,
        id: usize,
        document: &Document,
        given: &impl Fn(&[f32]) -> Vec<(usize, f32)>,
    ) {
        batch.documents.push(id as u64);
        batch.groups.push(["", "first", "second", "third"][document.group]);
        // Every third stands in no line.
        batch.lines.push(if id % 3 == 2 { 0 } else { 2 * id as u64 + 1 });
        let words =
            document.tokens.iter().filter_map(|token| token.word).map(|word| self.words[word].chars().count() as u64);
        let characters: u64 = words.sum();
        // As many are dropped as the group says.
        batch.characters += characters + document.group as u64;
        batch.dropped += document.group as u64;
        batch.dropped_documents += u64::from(characters == 0 && document.group > 0);
        let mut at = 0;
        for token in &document.tokens {
            let length = token.word.map_or(0, |word| self.words[word].chars().count() as u32);
            let span = token.word.map_or((NULL, NULL), |_| (at, at + length));
            at += length + 1;
            for (site, activations) in token.activations.iter().enumerate() {
                for (neuron, activation) in given(activations) {
                    batch.token.push(batch.starts.len() as u32);
                    batch.site.push(site as u32);
                    batch.neuron.push(neuron as u32);
                    batch.activation.push(activation);
                }
                let Moments { sum, sum_abs, sum_sq } = &mut batch.moments[site];
                for (neuron, &activation) in activations.iter().enumerate() {
                    let h = f64::from(activation);
                    sum[neuron] += h;
                    sum_abs[neuron] += h.abs();
                    sum_sq[neuron] += h * h;
                }
            }
            batch.starts.push(span.0);
            batch.ends.push(span.1);
            batch.unknown += u64::from(token.word == Some(0));
            batch.layers[0].features.push(token.word.map_or(NULL, |word| word as u32));
            batch.layers[1].features.push(token.word.map_or(NULL, |_| token.pos as u32));
            batch.layers[1].unjoined += u64::from(token.word == Some(1));
        }
        batch.offsets.push(batch.starts.len() as u64);
    }
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

    /// Each batch as a stage by itself.
    pub fn shards(&self) -> Vec<Self> {
        let shard =
            |batch: &ActivationBatch| Self { description: self.description.clone(), batches: vec![batch.clone()] };
        self.batches.iter().map(shard).collect()
    }

    /// All documents in one batch.
    #[must_use]
    pub fn joined(&self) -> Self {
        let mut batches = self.batches.iter().cloned();
        let Some(mut all) = batches.next() else { return self.clone() };
        for batch in batches {
            let tokens = all.starts.len();
            all.documents.extend(&batch.documents);
            for group in batch.groups.as_strings().iter() {
                all.groups.push(group);
            }
            all.offsets.extend(batch.offsets[1..].iter().map(|offset| offset + tokens as u64));
            all.starts.extend(&batch.starts);
            all.ends.extend(&batch.ends);
            all.unknown += batch.unknown;
            all.lines.extend(&batch.lines);
            all.characters += batch.characters;
            all.dropped += batch.dropped;
            all.dropped_documents += batch.dropped_documents;
            for (all, layer) in all.layers.iter_mut().zip(&batch.layers) {
                all.features.extend(&layer.features);
                all.unjoined += layer.unjoined;
            }
            all.token.extend(batch.token.iter().map(|token| token + tokens as u32));
            all.site.extend(&batch.site);
            all.neuron.extend(&batch.neuron);
            all.activation.extend(&batch.activation);
            for (all, moments) in all.moments.iter_mut().zip(&batch.moments) {
                let sums = [
                    (&mut all.sum, &moments.sum),
                    (&mut all.sum_abs, &moments.sum_abs),
                    (&mut all.sum_sq, &moments.sum_sq),
                ];
                for (all, more) in sums {
                    all.iter_mut().zip(more).for_each(|(sum, more)| *sum += *more);
                }
            }
        }
        Self { description: self.description.clone(), batches: vec![all] }
    }

    /// What is given of each token in the opposite order, the sites among each other.
    #[must_use]
    pub fn candidates_turned(mut self) -> Self {
        for batch in &mut self.batches {
            let mut order: Vec<usize> = (0..batch.token.len()).collect();
            order.sort_by_key(|&at| (batch.token[at], std::cmp::Reverse(batch.neuron[at]), batch.site[at]));
            batch.site = order.iter().map(|&at| batch.site[at]).collect();
            batch.neuron = order.iter().map(|&at| batch.neuron[at]).collect();
            batch.activation = order.iter().map(|&at| batch.activation[at]).collect();
        }
        self
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
    let drawn = activations().prop_map(|activations| with_one_site(activations).most_active());
    let drawn = drawn.prop_filter("a word must have been met", |stage| !stage.preferences("token").is_empty());
    (drawn, any::<u64>(), any::<u64>()).prop_map(|(from, which, share)| plant(from, which, share))
}

fn with_one_site(mut activations: Activations) -> Activations {
    activations.widths.truncate(1);
    let tokens = activations.documents.iter_mut().flat_map(|document| &mut document.tokens);
    tokens.for_each(|token| token.activations.truncate(1));
    activations
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

    fn fits(stage: &Stage) -> Result<(), String> {
        stage.batches.iter().try_for_each(|batch| batch.fits(&stage.description.sites, &stage.description.layers))
    }

    proptest! {
        #[test]
        fn stages_are_what_a_source_may_give(drawn in activations(), which: u64) {
            let others = [drawn.clone().scaled(4.0), drawn.clone().turned(), drawn.clone().renamed(), drawn.clone().replaced(which)];
            for activations in others.into_iter().chain([drawn]) {
                let (all, most) = (activations.all(), activations.most_active());
                prop_assert_eq!(fits(&all), Ok(()));
                prop_assert_eq!(fits(&most), Ok(()));
                prop_assert_eq!(fits(&all.joined()), Ok(()));
                prop_assert_eq!(fits(&all.clone().candidates_turned()), Ok(()));
                prop_assert_eq!(all.joined().preferences("pos"), all.preferences("pos"));
                prop_assert_eq!(most.joined().batches[0].moments.clone(), all.joined().batches[0].moments.clone());
            }
        }

        #[test]
        fn what_was_planted_is_found_and_nothing_else(planted in planted()) {
            let Planted { from, to, changed } = &planted;
            prop_assert_eq!((fits(from), fits(to)), (Ok(()), Ok(())));
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
