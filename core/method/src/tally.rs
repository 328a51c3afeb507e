//! Observations, counted: the monoid of the method.
//!
//! A tally of no observations is its neutral element, and merging the tallies of shards, in any order, gives the bits of one
//! tally of all: counts are whole, sums are exact, and features are told apart by name.

use hashbrown::HashMap;
use rayon::prelude::*;
use txray_plugin::{ActivationBatch, EXAMPLES, ExactSum, Moments, NULL, Sign, SourceDescription, Unjoined};

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
}

/// What is known of a neuron.
#[derive(Clone, Debug)]
pub(crate) struct Neuron {
    pub count: u64,
    pub mass: ExactSum,
    pub not_positive: u64,
    /// Sums of h, |h| and h² over all tokens, recorded or not.
    pub moments: [ExactSum; 3],
    /// `[layers]` by the number of the feature.
    prefers: Vec<Met>,
}

/// The features that a neuron prefers, by number.
#[derive(Clone, Debug)]
enum Met {
    /// Those that it met, where these are few of all.
    Few(HashMap<u32, Preference>),
    /// All, where it meets nearly every one: those that it did not meet have a count of 0.
    Many(Vec<Preference>),
}

impl Met {
    #[inline]
    fn add(&mut self, feature: u32, preference: &Preference) {
        match self {
            Self::Few(met) => met.entry(feature).or_default().merge(preference),
            Self::Many(met) => {
                let at = feature as usize;
                if at >= met.len() {
                    met.resize(at + 1, Preference::default());
                }
                met[at].merge(preference);
            }
        }
    }

    /// Those that it met.
    fn iter(&self) -> impl Iterator<Item = (u32, &Preference)> {
        let (few, many) = match self {
            Self::Few(met) => (Some(met.iter().map(|(&feature, met)| (feature, met))), None),
            Self::Many(met) => (None, Some((0..).zip(met).filter(|(_, met)| met.count > 0))),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    /// Has it hold all from here on.
    fn make_many(&mut self, features: usize) {
        let mut many = match std::mem::replace(self, Self::Many(Vec::new())) {
            Self::Many(many) => many,
            Self::Few(few) => {
                let mut many = vec![Preference::default(); features];
                few.into_iter().for_each(|(feature, met)| many[feature as usize] = met);
                many
            }
        };
        many.resize(features.max(many.len()), Preference::default());
        *self = Self::Many(many);
    }
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
            prefers: vec![Met::Few(HashMap::new()); description.layers.len()],
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
        // `[width, tokens]` of each site, so that a neuron's strengths lie together; NaN where there is none.
        let width = |site: usize| if signs[site].is_some() { self.legend.sites[site].width } else { 0 };
        let mut strengths: Vec<Vec<f32>> = (0..signs.len()).map(|site| vec![f32::NAN; width(site) * tokens]).collect();
        let rows = batch.token.iter().zip(&batch.site).zip(&batch.neuron).zip(&batch.activation);
        for (((&token, &site), &neuron), &activation) in rows {
            if let Some(sign) = signs[site as usize] {
                strengths[site as usize][neuron as usize * tokens + token as usize] = sign.strength(activation);
            }
        }
        let known: Vec<usize> = self.legend.layers.iter().map(|layer| layer.symbols.len()).collect();
        for (start, strengths) in self.starts.iter().zip(&strengths).filter(|(_, strengths)| !strengths.is_empty()) {
            let of_neurons = self.neurons[*start..].par_iter_mut().zip(strengths.par_chunks_exact(tokens));
            of_neurons.for_each(|(neuron, strengths)| neuron.add_in_bulk(strengths, &features, &known));
        }
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
        self.neurons.par_iter_mut().zip(&other.neurons).for_each(|(mine, theirs)| {
            mine.count += theirs.count;
            mine.mass += theirs.mass;
            mine.not_positive += theirs.not_positive;
            mine.moments.iter_mut().zip(theirs.moments).for_each(|(moment, more)| *moment += more);
            for ((mine, theirs), numbers) in mine.prefers.iter_mut().zip(&theirs.prefers).zip(&numbers) {
                theirs.iter().for_each(|(feature, preference)| mine.add(numbers[feature as usize], preference));
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
                met.for_each(|(&feature, met)| neuron.prefers[index].add(numbers[feature as usize], met));
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
    pub fn finish(mut self) -> Stage {
        let layers = self.legend.layers.iter().enumerate().map(|(index, layer)| {
            // Features of observations that count for nothing are preferred by nobody.
            let mut is_met = vec![false; layer.symbols.len()];
            for neuron in &self.neurons {
                neuron.prefers[index].iter().for_each(|(number, _)| is_met[number as usize] = true);
            }
            let (names, places) = layer.symbols.ordered(|number| is_met[number as usize]);
            let mut preferences = Preferences::new(layer.name.clone(), names);
            let rows = self.neurons.par_iter_mut().map(|neuron| {
                let met = std::mem::replace(&mut neuron.prefers[index], Met::Many(Vec::new()));
                let mut rows: Vec<_> = met.iter().map(|(number, met)| (places[number as usize], *met)).collect();
                rows.sort_unstable_by_key(|(feature, _)| *feature);
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
                    prefers.add(feature, &one);
                }
            }
        }
    }

    /// Adds its strengths at some tokens, NaN where there is none, of which these are the features, `[layers][tokens]`, and so many
    /// of them are known.
    fn add_in_bulk(&mut self, strengths: &[f32], features: &[Vec<u32>], known: &[usize]) {
        let exact: Vec<ExactSum> =
            strengths.iter().map(|&strength| ExactSum::of(f64::from(strength.max(0.0)))).collect();
        self.not_positive += strengths.iter().filter(|strength| **strength <= 0.0).count() as u64;
        for (_, &exact) in strengths.iter().zip(&exact).filter(|(strength, _)| **strength > 0.0) {
            self.count += 1;
            self.mass += exact;
        }
        for ((prefers, features), &known) in self.prefers.iter_mut().zip(features).zip(known) {
            prefers.make_many(known);
            let Met::Many(met) = prefers else { continue };
            for ((&strength, &mass), &feature) in strengths.iter().zip(&exact).zip(features) {
                if strength > 0.0 && feature != NULL {
                    met[feature as usize].merge(&Preference { count: 1, mass, max: strength });
                }
            }
        }
    }
}
