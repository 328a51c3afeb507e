//! Models around one whose activations are known: each spoils it in one way.

#[path = "../../everything/src/lookup.rs"]
mod lookup;

use std::marker::PhantomData;
use std::path::Path;

use txray_plugin::{
    Capabilities, Carry, Component, Encode, EncodeRequest, ExactSum, Host, Model, ModelDescription, Opaque, Predict,
    PredictRequest, Result, Rule, Task, Train, TrainReport, TrainRequest,
};

use lookup::{Lookup, Options};

/// How a model is spoilt: what is done to a call of [`Lookup`], or in its place.
pub trait Fault: Send + Sync + 'static {
    const KIND: &'static str;
    /// What it calls itself in its checkpoints.
    const NAME: &'static str = Self::KIND;

    fn seed(seed: u64) -> u64 {
        seed
    }
    fn load(model: &mut Lookup, host: &Host<'_>, directory: &Path) -> Result<()> {
        model.load(host, directory)
    }
    fn capabilities(of: Capabilities) -> Capabilities {
        of
    }
    fn described(of: ModelDescription) -> ModelDescription {
        of
    }
    /// What a request becomes on its way in.
    fn asked(_: &mut EncodeRequest<'_>) {}
    fn encoded(_: &Host<'_>, _: &mut EncodeRequest<'_>) {}
    fn state(_: &Opaque) -> Option<Opaque> {
        None
    }
    fn to_predict(_: &mut PredictRequest<'_>) {}
    fn predicted(_: &mut PredictRequest<'_>) {}
    fn trained(report: TrainReport) -> TrainReport {
        report
    }
    /// Where a training goes on from.
    fn from(from: Option<&Path>) -> Option<&Path> {
        from
    }
}

pub struct Spoilt<F>(Lookup, PhantomData<F>);

impl<F: Fault> Component for Spoilt<F> {
    const KIND: &'static str = F::KIND;
    const ABOUT: &'static str = "activations by a fixed rule";
    type Options = Options;

    fn create(options: Options, host: &Host<'_>) -> Result<Self> {
        let mut lookup = Lookup::create(options, host)?;
        lookup.kind = F::NAME;
        Ok(Self(lookup, PhantomData))
    }
}

impl<F: Fault> Model for Spoilt<F> {
    fn capabilities(&self) -> Capabilities {
        F::capabilities(self.0.capabilities())
    }
    fn describe(&self) -> Result<ModelDescription> {
        self.0.describe().map(F::described)
    }
    fn initialize(&mut self, host: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        self.0.initialize(host, vocabulary, F::seed(seed))
    }
    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        F::load(&mut self.0, host, directory)
    }
    fn save(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        self.0.save(host, directory)
    }
    txray_plugin::abilities!(encode, predict, train, carry);
}

impl<F: Fault> Encode for Spoilt<F> {
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        F::asked(request);
        self.0.encode(host, request)?;
        F::encoded(host, request);
        Ok(())
    }
}

impl<F: Fault> Predict for Spoilt<F> {
    fn predict(&self, host: &Host<'_>, request: &mut PredictRequest<'_>) -> Result<()> {
        F::to_predict(request);
        self.0.predict(host, request)?;
        F::predicted(request);
        Ok(())
    }
}

impl<F: Fault> Carry for Spoilt<F> {
    fn state(&self, host: &Host<'_>, from: Option<&Opaque>) -> Result<Opaque> {
        match from.and_then(F::state) {
            Some(state) => Ok(state),
            None => self.0.state(host, from),
        }
    }
}

impl<F: Fault> Train for Spoilt<F> {
    fn begin(&mut self, host: &Host<'_>, request: &TrainRequest<'_>, from: Option<&Path>) -> Result<Opaque> {
        self.0.begin(host, request, F::from(from))
    }
    fn step(&mut self, host: &Host<'_>, session: &mut Opaque, pause: Option<f64>) -> Result<TrainReport> {
        Ok(F::trained(self.0.step(host, session, pause)?))
    }
    fn save_session(&self, host: &Host<'_>, session: &Opaque, directory: &Path) -> Result<()> {
        self.0.save_session(host, session, directory)
    }
}

/// Breaks nothing.
pub struct GoodModel;

impl Fault for GoodModel {
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
        let many = request.state.is_none() && request.text.len() > 1;
        for site in request.sites.iter_mut().filter(|_| many) {
            if let Rule::Top { activations, .. } = &mut site.rule {
                activations.iter_mut().for_each(|activation| *activation *= 1.0 + 1e-6);
            }
        }
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
            let Rule::Top { k, neurons, activations } = &mut site.rule else { continue };
            for (neurons, activations) in neurons.chunks_mut(*k).zip(activations.chunks_mut(*k)) {
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
        if let Some(state) = request.state.as_mut().and_then(|state| state.get_mut::<f32>().ok()) {
            *state = 0.0;
        }
    }
}

/// Gives a state that has read nothing for a copy.
pub struct Amnesiac;

impl Fault for Amnesiac {
    const KIND: &'static str = "amnesiac";
    fn state(_: &Opaque) -> Option<Opaque> {
        Some(Opaque::new(0.0_f32))
    }
}

/// Keeps nothing by the rules that it says it has.
pub struct Silent;

impl Fault for Silent {
    const KIND: &'static str = "silent";
    fn asked(request: &mut EncodeRequest<'_>) {
        request.emit = &|_| ();
    }
}

/// Takes every sign for the positive.
pub struct Positive;

impl Fault for Positive {
    const KIND: &'static str = "positive";
    fn asked(request: &mut EncodeRequest<'_>) {
        request.sites.iter_mut().for_each(|site| site.sign = txray_plugin::Sign::Positive);
    }
}

/// Does not look at masks.
pub struct Unmasked;

impl Fault for Unmasked {
    const KIND: &'static str = "unmasked";
    fn asked(request: &mut EncodeRequest<'_>) {
        request.masks = &[];
    }
}

/// Does not look at masks where it predicts.
pub struct Free;

impl Fault for Free {
    const KIND: &'static str = "free";
    fn to_predict(request: &mut PredictRequest<'_>) {
        request.masks = &[];
    }
}

/// Calls itself otherwise than others do.
pub struct Masquerading;

impl Fault for Masquerading {
    const KIND: &'static str = "masquerading";
    const NAME: &'static str = "lookup";
}

/// Predicts what is least probable.
pub struct Contrary;

impl Fault for Contrary {
    const KIND: &'static str = "contrary";
    fn encoded(_: &Host<'_>, request: &mut EncodeRequest<'_>) {
        request.predictions.iter_mut().for_each(|(_, predictions)| predictions.fill(7));
    }
}

/// Predicts by what stands first in the text.
pub struct Leader;

impl Fault for Leader {
    const KIND: &'static str = "leader";
    fn encoded(_: &Host<'_>, request: &mut EncodeRequest<'_>) {
        if let (Some((_, predictions)), Some(&first)) = (&mut request.predictions, request.text.ids.first()) {
            predictions.fill(first);
        }
    }
}

/// Says that it is of no task, and trains.
pub struct Idle;

impl Fault for Idle {
    const KIND: &'static str = "idle";
    fn capabilities(of: Capabilities) -> Capabilities {
        Capabilities { tasks: Vec::new(), predictions: false, ..of }
    }
    fn described(of: ModelDescription) -> ModelDescription {
        ModelDescription { heads: Vec::new(), ..of }
    }
}

/// Says of its sites what is not so once it has weights.
pub struct Boastful;

impl Fault for Boastful {
    const KIND: &'static str = "boastful";
    fn capabilities(mut of: Capabilities) -> Capabilities {
        of.sites[1].width += 1;
        of
    }
}

/// Counts a token too few.
pub struct Modest;

impl Fault for Modest {
    const KIND: &'static str = "modest";
    fn predicted(request: &mut PredictRequest<'_>) {
        // Of labels other laws tell.
        if request.task == Task::LanguageModel {
            request.counts.iter_mut().for_each(|count| *count = count.saturating_sub(1));
        }
    }
}

/// Tells of tokens other losses than of their document.
pub struct Unsummed;

impl Fault for Unsummed {
    const KIND: &'static str = "unsummed";
    fn predicted(request: &mut PredictRequest<'_>) {
        if request.task == Task::LanguageModel {
            let losses = request.token_losses.iter_mut().flat_map(|losses| losses.iter_mut());
            losses.for_each(|loss| *loss *= 2.0);
        }
    }
}

/// Does not learn.
pub struct Dull;

impl Fault for Dull {
    const KIND: &'static str = "dull";
    fn trained(report: TrainReport) -> TrainReport {
        TrainReport { loss: 2.0, ..report }
    }
}

/// Knows no end.
pub struct Endless;

impl Fault for Endless {
    const KIND: &'static str = "endless";
    fn trained(report: TrainReport) -> TrainReport {
        TrainReport { done: false, ..report }
    }
}

/// Begins anew where there is nothing to go on from.
pub struct Restless;

impl Fault for Restless {
    const KIND: &'static str = "restless";
    fn from(from: Option<&Path>) -> Option<&Path> {
        from.filter(|directory| directory.join("training.json").exists())
    }
}
