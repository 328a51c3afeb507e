//! Models around one whose activations are known: each spoils it in one way.

#[path = "../../everything/src/lookup.rs"]
mod lookup;

use std::marker::PhantomData;
use std::path::Path;

use txray_plugin::{
    Component, EncodeRequest, ExactSum, FitReport, FitRequest, Host, Model, ModelDescription, Result, Score, State,
    Text,
};

use lookup::{Lookup, Options};

/// How a model is spoilt: what is done to a call of [`Lookup`], or in its place.
pub trait Fault: Send + Sync + 'static {
    const KIND: &'static str;

    fn seed(seed: u64) -> u64 {
        seed
    }
    fn load(model: &mut Lookup, host: &Host<'_>, directory: &Path) -> Result<()> {
        model.load(host, directory)
    }
    fn encoded(_: &Host<'_>, _: &mut EncodeRequest<'_>) {}
    fn scored(_: Text<'_>, score: Score) -> Score {
        score
    }
    fn fitted(report: FitReport) -> FitReport {
        report
    }
}

pub struct Spoilt<F>(Lookup, PhantomData<F>);

impl<F: Fault> Component for Spoilt<F> {
    const KIND: &'static str = F::KIND;
    const ABOUT: &'static str = "activations by a fixed rule";
    type Options = Options;

    fn create(options: Options, host: &Host<'_>) -> Result<Self> {
        Ok(Self(Lookup::create(options, host)?, PhantomData))
    }
}

impl<F: Fault> Model for Spoilt<F> {
    fn initialize(&mut self, host: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        self.0.initialize(host, vocabulary, F::seed(seed))
    }
    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        F::load(&mut self.0, host, directory)
    }
    fn save(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        self.0.save(host, directory)
    }
    fn describe(&self) -> Result<ModelDescription> {
        self.0.describe()
    }
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        self.0.encode(host, request)?;
        F::encoded(host, request);
        Ok(())
    }
    fn score(&self, host: &Host<'_>, text: Text<'_>, state: State) -> Result<Score> {
        Ok(F::scored(text, self.0.score(host, text, state)?))
    }
    fn fit(&mut self, host: &Host<'_>, request: &FitRequest<'_>) -> Result<FitReport> {
        Ok(F::fitted(self.0.fit(host, request)?))
    }
    fn save_training(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        self.0.save_training(host, directory)
    }
    fn load_training(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        self.0.load_training(host, directory)
    }
}

/// Breaks nothing.
pub struct None;

impl Fault for None {
    const KIND: &'static str = "good";
}

/// Draws the same whatever the seed.
pub struct Unseeded;

impl Fault for Unseeded {
    const KIND: &'static str = "unseeded";
    fn seed(_: u64) -> u64 {
        7
    }
}

/// Loads what is not there.
pub struct Gullible;

impl Fault for Gullible {
    const KIND: &'static str = "gullible";
    fn load(model: &mut Lookup, host: &Host<'_>, directory: &Path) -> Result<()> {
        model.load(host, directory).or_else(|_| model.initialize(host, 24, 0))
    }
}

/// Lets the last document shine on all.
pub struct Sociable;

impl Fault for Sociable {
    const KIND: &'static str = "sociable";
    fn encoded(_: &Host<'_>, request: &mut EncodeRequest<'_>) {
        let many = request.carry.is_none() && request.text.len() > 1;
        let activations = request.sites.iter_mut().flat_map(|site| site.activations.iter_mut());
        activations.filter(|_| many).for_each(|activation| *activation *= 1.0 + 1e-6);
    }
}

/// Reads otherwise when it has many threads.
pub struct Hasty;

impl Fault for Hasty {
    const KIND: &'static str = "hasty";
    fn encoded(host: &Host<'_>, request: &mut EncodeRequest<'_>) {
        let many = host.threads() > 2;
        let sums = request.sites.iter_mut().flat_map(|site| site.sum.iter_mut());
        sums.filter(|_| many).for_each(|sum| *sum += 1e-9);
    }
}

/// Gives equally active neurons the wrong way round.
pub struct Backwards;

impl Fault for Backwards {
    const KIND: &'static str = "backwards";
    fn encoded(_: &Host<'_>, request: &mut EncodeRequest<'_>) {
        for site in &mut request.sites {
            for (neurons, activations) in site.neurons.chunks_mut(site.k).zip(site.activations.chunks_mut(site.k)) {
                neurons.reverse();
                activations.reverse();
            }
        }
    }
}

/// Adds 1 too much for each token.
pub struct Excessive;

impl Fault for Excessive {
    const KIND: &'static str = "excessive";
    fn encoded(_: &Host<'_>, request: &mut EncodeRequest<'_>) {
        let tokens = request.text.ids.len() as f64;
        request.sites.iter_mut().for_each(|site| site.sum_sq.iter_mut().for_each(|sum| *sum += tokens));
    }
}

/// Adds up all documents in single precision, and tells that sum.
pub struct Rounding;

impl Fault for Rounding {
    const KIND: &'static str = "rounding";
    fn encoded(_: &Host<'_>, request: &mut EncodeRequest<'_>) {
        let sums = request.sites.iter_mut().flat_map(|site| site.sum_abs.iter_mut());
        sums.for_each(|sum| *sum = ExactSum::of(f64::from((sum.to_f64() / 3.0) as f32) * 3.0));
    }
}

/// Forgets its state.
pub struct Stateless;

impl Fault for Stateless {
    const KIND: &'static str = "stateless";
    fn encoded(_: &Host<'_>, request: &mut EncodeRequest<'_>) {
        request.carry.iter_mut().for_each(|state| state.fill(0.0));
    }
}

/// Scores the first token of a text too.
pub struct Generous;

impl Fault for Generous {
    const KIND: &'static str = "generous";
    fn scored(text: Text<'_>, score: Score) -> Score {
        Score { tokens: score.tokens + u64::from(!text.ids.is_empty()), ..score }
    }
}

/// Does not learn.
pub struct Dull;

impl Fault for Dull {
    const KIND: &'static str = "dull";
    fn fitted(report: FitReport) -> FitReport {
        FitReport { loss: 2.0, ..report }
    }
}
