//! Observations, counted: the monoid of the method.
//!
//! A tally of no observations is its neutral element, and merging the tallies of shards, in any order, gives the bits of one
//! tally of all: counts are whole, sums are exact, and features are told apart by name.

use hashbrown::HashMap;
use rayon::prelude::*;
use txray_plugin::{ActivationBatch, EXAMPLES, ExactSum, Moments, NULL, Sign, SourceDescription, Unjoined};

use crate::bulk::{ByFeature, Whole};
use crate::error::{MethodError, MethodResult};
use crate::observations::{Legend, Observations};
use crate::preferences::{Preference, Preferences};
use crate::record::RecordRule;
use crate::stage::{Coverage, LayerCoverage, Neurons, Stage, starts};

/// What has been read of a stage so far.
#[derive(Clone, Debug)]
pub struct Tally {
    legend: Legend,
    /// In the order of sites and neurons.
    neurons: Vec<Neuron>,
    /// `[sites + 1]` where the neurons of each site are.
    starts: Vec<usize>,
    /// `[layers]` tokens with a span that found no annotation.
    unjoined: Vec<u64>,
    /// `[layers]` the first of these, by document and place.
    examples: Vec<Vec<Unjoined>>,
    tokens: u64,
    documents: u64,
    characters: u64,
    unknown: u64,
    dropped: u64,
    dropped_documents: u64,
    /// Whether the moments were known of every batch.
    has_moments: bool,
    /// `[layers][sites]` what is counted in bulk, `[features, width]`: a count of 0 where a feature is not preferred.
    bulk: Vec<Vec<Vec<Preference>>>,
}

/// What is known of a neuron.
#[derive(Clone, Debug)]
pub(crate) struct Neuron {
    pub count: u64,
    pub mass: ExactSum,
    pub not_positive: u64,
    /// Sums of h, |h| and h² over all tokens, recorded or not.
    pub moments: [ExactSum; 3],
    /// `[layers]` by the number of the feature, but what is counted in bulk.
    prefers: Vec<HashMap<u32, Preference>>,
}

impl Tally {
    /// Of nothing, from a source that describes itself so.
    pub fn new(description: &SourceDescription) -> Self {
        let starts = starts(&description.sites);
        let neuron = Neuron {
            count: 0,
            mass: ExactSum::ZERO,
            not_positive: 0,
            moments: [ExactSum::ZERO; 3],
            prefers: vec![HashMap::new(); description.layers.len()],
        };
        Self {
            legend: Legend::of(description),
            neurons: vec![neuron; starts[starts.len() - 1]],
            starts,
            unjoined: vec![0; description.layers.len()],
            examples: vec![Vec::new(); description.layers.len()],
            tokens: 0,
            documents: 0,
            characters: 0,
            unknown: 0,
            dropped: 0,
            dropped_documents: 0,
            has_moments: true,
            bulk: vec![vec![Vec::new(); description.sites.len()]; description.layers.len()],
        }
    }

    /// What the numbers in its observations stand for.
    pub fn legend(&self) -> &Legend {
        &self.legend
    }

    /// Adds a batch of whole documents, and gives what the rule kept of it one by one.
    ///
    /// # Errors
    /// A batch that is not what the source described; an activation that is no number; a sum beyond 2^62.
    pub fn read(&mut self, batch: &ActivationBatch, rule: &dyn RecordRule) -> MethodResult<Observations> {
        let observed = self.legend.record(batch, rule)?;
        self.tokens += batch.starts.len() as u64;
        self.documents += batch.documents.len() as u64;
        self.characters += batch.characters;
        self.unknown += batch.unknown;
        self.dropped += batch.dropped;
        self.dropped_documents += batch.dropped_documents;
        self.has_moments &= !batch.moments.is_empty() || batch.starts.is_empty();
        for (unjoined, layer) in self.unjoined.iter_mut().zip(&batch.layers) {
            *unjoined += layer.unjoined;
        }
        self.show(&batch.examples);
        for (start, Moments { sum, sum_abs, sum_sq }) in self.starts.iter().zip(&batch.moments) {
            let sums = sum.iter().zip(sum_abs).zip(sum_sq);
            for (neuron, ((sum, sum_abs), sum_sq)) in self.neurons[*start..].iter_mut().zip(sums) {
                neuron.moments.iter_mut().zip([sum, sum_abs, sum_sq]).for_each(|(moment, more)| *moment += *more);
            }
        }
        self.add(&observed);
        self.add_in_bulk(batch, rule);
        self.check()?;
        Ok(observed)
    }

    /// Of observations that were read back, which a legend explains: what is known of all tokens is not among them.
    ///
    /// # Errors
    /// A sum beyond 2^62.
    pub fn of(legend: Legend, observed: &Observations) -> MethodResult<Self> {
        let layers = legend.layers.iter().map(|layer| layer.name.clone()).collect();
        let mut tally = Self::new(&SourceDescription { sites: legend.sites.clone(), layers });
        (tally.legend, tally.has_moments) = (legend, false);
        tally.add(observed);
        tally.check()?;
        Ok(tally)
    }

    fn add(&mut self, observed: &Observations) {
        // Each neuron's observations together: then neurons are counted side by side, each in memory of its own.
        let neuron = |at: usize| self.starts[observed.site[at] as usize] + observed.neuron[at] as usize;
        let mut ends = vec![0_u32; self.neurons.len() + 1];
        (0..observed.len()).for_each(|at| ends[neuron(at) + 1] += 1);
        (1..ends.len()).for_each(|n| ends[n] += ends[n - 1]);
        let mut order = vec![0_u32; observed.len()];
        for at in 0..observed.len() {
            let end = &mut ends[neuron(at)];
            order[*end as usize] = at as u32;
            *end += 1;
        }
        self.neurons.par_iter_mut().enumerate().with_min_len(16).for_each(|(n, neuron)| {
            let start = if n == 0 { 0 } else { ends[n - 1] };
            neuron.add(observed, &order[start as usize..ends[n] as usize]);
        });
    }

    /// Keeps the first of all tokens that found no annotation.
    fn show(&mut self, examples: &[Vec<Unjoined>]) {
        for (mine, theirs) in self.examples.iter_mut().zip(examples) {
            mine.extend(theirs.iter().cloned());
            mine.sort();
            mine.truncate(EXAMPLES);
        }
    }

    /// Adds the activations of a batch at sites where a rule keeps them all.
    fn add_in_bulk(&mut self, batch: &ActivationBatch, rule: &dyn RecordRule) {
        let signs: Vec<Option<Sign>> = (0..self.legend.sites.len()).map(|site| rule.in_bulk(site)).collect();
        if signs.iter().all(Option::is_none) {
            return;
        }
        let tokens = batch.starts.len();
        let features = self.legend.features(batch, || 0..tokens);
        let known = self.legend.layers.iter().map(|layer| layer.symbols.len());
        let mut layers: Vec<ByFeature> =
            features.iter().zip(known).map(|(of, known)| ByFeature::new(of, known)).collect();
        let mut none = Vec::new();
        if layers.is_empty() {
            layers.push(ByFeature::new(&vec![NULL; tokens], 0));
        }
        for (site, sign) in signs.into_iter().enumerate() {
            let Some(sign) = sign else { continue };
            let whole = Whole::new(batch, site, self.legend.sites[site].width, sign);
            for (index, layer) in layers.iter().enumerate() {
                let table = self.bulk.get_mut(index).map_or(&mut none, |sites| &mut sites[site]);
                let totals = whole.add(layer, table);
                // Every token stands in each of the layers, once.
                if index == 0 {
                    for (neuron, (met, not_positive)) in self.neurons[self.starts[site]..].iter_mut().zip(totals) {
                        neuron.count += met.count;
                        neuron.mass += met.mass;
                        neuron.not_positive += not_positive;
                    }
                }
            }
        }
    }

    /// What a neuron prefers in a layer, by the number of the feature, in any order: some come twice.
    fn met(&self, layer: usize, neuron: usize) -> impl Iterator<Item = (u32, &Preference)> {
        let site = self.starts.partition_point(|&start| start <= neuron) - 1;
        let (table, start) = (&self.bulk[layer][site], self.starts[site]);
        let column = table.get(neuron - start..).unwrap_or_default().iter().step_by(self.starts[site + 1] - start);
        let in_bulk = (0..).zip(column).filter(|(_, met)| met.count > 0);
        self.neurons[neuron].prefers[layer].iter().map(|(&feature, met)| (feature, met)).chain(in_bulk)
    }

    /// Adds what another tally of the same sites and layers has read.
    ///
    /// # Errors
    /// Another's sites or layers; a sum beyond 2^62.
    pub fn merge(&mut self, other: &Self) -> MethodResult<()> {
        let layers = |legend: &Legend| legend.layers.iter().map(|layer| layer.name.clone()).collect::<Vec<_>>();
        if self.legend.sites != other.legend.sites || layers(&self.legend) != layers(&other.legend) {
            return Err(MethodError::Shape);
        }
        self.tokens += other.tokens;
        self.documents += other.documents;
        self.characters += other.characters;
        self.unknown += other.unknown;
        self.dropped += other.dropped;
        self.dropped_documents += other.dropped_documents;
        self.has_moments &= other.has_moments;
        self.unjoined.iter_mut().zip(&other.unjoined).for_each(|(mine, theirs)| *mine += theirs);
        self.show(&other.examples);
        let mut numbers = Vec::new();
        for (mine, theirs) in self.legend.layers.iter_mut().zip(&other.legend.layers) {
            let names = theirs.symbols.names().as_strings();
            numbers.push(names.iter().map(|name| mine.symbols.number(name)).collect::<Vec<u32>>());
        }
        self.neurons.par_iter_mut().zip(&other.neurons).enumerate().for_each(|(n, (mine, theirs))| {
            mine.count += theirs.count;
            mine.mass += theirs.mass;
            mine.not_positive += theirs.not_positive;
            mine.moments.iter_mut().zip(theirs.moments).for_each(|(moment, more)| *moment += more);
            for (layer, (mine, numbers)) in mine.prefers.iter_mut().zip(&numbers).enumerate() {
                let met = other.met(layer, n);
                met.for_each(|(feature, met)| mine.entry(numbers[feature as usize]).or_default().merge(met));
            }
        });
        self.check()
    }

    /// Puts back what the tables of a part hold. Of neurons these are the preferences alone.
    pub(crate) fn put_back(&mut self, stage: &Stage) {
        let Coverage { tokens, documents, characters, unknown, dropped, dropped_documents, layers, not_positive: _ } =
            &stage.coverage;
        (self.tokens, self.documents, self.characters) = (*tokens, *documents, *characters);
        (self.unknown, self.dropped, self.dropped_documents) = (*unknown, *dropped, *dropped_documents);
        self.unjoined = layers.iter().map(|layer| layer.unjoined).collect();
        self.examples = layers.iter().map(|layer| layer.examples.clone()).collect();
        for (index, (layer, of)) in self.legend.layers.iter_mut().zip(&stage.layers).enumerate() {
            let names = of.features().as_strings();
            let numbers: Vec<u32> = names.iter().map(|name| layer.symbols.number(name)).collect();
            for (n, neuron) in self.neurons.iter_mut().enumerate() {
                let (features, met) = of.of(n);
                let met = features.iter().zip(met);
                met.for_each(|(&feature, met)| {
                    neuron.prefers[index].entry(numbers[feature as usize]).or_default().merge(met)
                });
            }
        }
    }

    /// The neurons, in the order of sites.
    pub(crate) fn neurons(&self) -> &[Neuron] {
        &self.neurons
    }

    /// One of them.
    pub(crate) fn neuron_mut(&mut self, at: usize) -> &mut Neuron {
        &mut self.neurons[at]
    }

    /// The index of the site of each, and its own there.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, u32)> {
        let sites = self.legend.sites.iter().enumerate();
        sites.flat_map(|(site, of)| (0..of.width as u32).map(move |neuron| (site, neuron)))
    }

    /// Whether the moments were known of every batch.
    pub(crate) fn has_moments(&self) -> bool {
        self.has_moments
    }

    pub(crate) fn set_has_moments(&mut self, has: bool) {
        self.has_moments = has;
    }

    /// A sum that is beyond its limit is no number, and stays so: then it would depend on the order.
    pub(crate) fn check(&self) -> MethodResult<()> {
        let is_sound =
            |neuron: &Neuron| neuron.mass.is_sound() && neuron.moments.iter().all(|moment| moment.is_sound());
        if self.neurons.iter().all(is_sound) { Ok(()) } else { Err(MethodError::TooLarge) }
    }

    /// All that the tables of the stage hold.
    pub fn finish(self) -> Stage {
        let layers = self.legend.layers.iter().enumerate().map(|(index, layer)| {
            let neurons = 0..self.neurons.len();
            // Features of observations that count for nothing are preferred by nobody.
            let mut is_met = vec![false; layer.symbols.len()];
            let met = neurons.clone().flat_map(|neuron| self.met(index, neuron));
            met.for_each(|(number, _)| is_met[number as usize] = true);
            let (names, places) = layer.symbols.ordered(|number| is_met[number as usize]);
            let mut preferences = Preferences::new(layer.name.clone(), names);
            let rows = neurons.into_par_iter().map(|neuron| {
                let met = self.met(index, neuron).map(|(number, met)| (places[number as usize], *met));
                let mut rows: Vec<_> = met.collect();
                rows.sort_unstable_by_key(|(feature, _)| *feature);
                rows.dedup_by(|(again, more), (feature, met)| {
                    let is_same = again == feature;
                    if is_same {
                        met.merge(more);
                    }
                    is_same
                });
                rows
            });
            // In the order of neurons, however many threads made them.
            rows.collect::<Vec<_>>().into_iter().for_each(|rows| preferences.push(rows));
            preferences
        });
        let layers: Vec<Preferences> = layers.collect();
        let tokens = self.tokens as f64;
        let moments = (self.has_moments && self.tokens > 0).then(|| {
            let column = |of: fn([f64; 3], f64) -> f64| {
                self.neurons.iter().map(|neuron| of(neuron.moments.map(ExactSum::to_f64), tokens)).collect()
            };
            [
                column(|[sum, _, _], n| sum / n),
                column(|[_, sum_abs, _], n| sum_abs / n),
                column(|[sum, _, sum_sq], n| (sum_sq / n - (sum / n).powi(2)).max(0.0).sqrt()),
            ]
        });
        let neurons = Neurons {
            sites: self.legend.sites,
            count: self.neurons.iter().map(|neuron| neuron.count).collect(),
            mass: self.neurons.iter().map(|neuron| neuron.mass.to_f64()).collect(),
            moments,
        };
        let covered = layers.iter().zip(self.unjoined).zip(self.examples);
        let covered =
            covered.map(|((of, unjoined), examples)| LayerCoverage { name: of.layer.clone(), unjoined, examples });
        let coverage = Coverage {
            tokens: self.tokens,
            documents: self.documents,
            characters: self.characters,
            unknown: self.unknown,
            dropped: self.dropped,
            dropped_documents: self.dropped_documents,
            layers: covered.collect(),
            not_positive: self.neurons.iter().map(|neuron| neuron.not_positive).sum(),
        };
        Stage { coverage, neurons, layers }
    }
}

impl Neuron {
    /// Adds some of the observations.
    fn add(&mut self, observed: &Observations, rows: &[u32]) {
        for &at in rows {
            let strength = observed.strength[at as usize];
            if strength > 0.0 {
                self.count += 1;
                self.mass += f64::from(strength);
            } else {
                self.not_positive += 1;
            }
        }
        for (prefers, features) in self.prefers.iter_mut().zip(&observed.features) {
            for &at in rows {
                let (feature, strength) = (features[at as usize], observed.strength[at as usize]);
                if feature != NULL && strength > 0.0 {
                    let one = Preference { count: 1, mass: ExactSum::of(f64::from(strength)), max: strength };
                    prefers.entry(feature).or_default().merge(&one);
                }
            }
        }
    }
}
