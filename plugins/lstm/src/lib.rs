//! The LSTM encoder and language model of `txray`, on candle.
//!
//! - Reading ([`Model::encode`], [`Model::score`]) is in `lanes`: documents side by side in lanes of fixed units, one
//!   thread a unit. `encode` and `score` look on and keep what was asked for.
//! - Training ([`Model::fit`]) is in `train`: candle's graph, with operations of our own where the time goes.
//! - `kernel` holds the products and the vectorised functions, and the crate's only `unsafe`; `decoder` the softmax over
//!   the vocabulary, shared by scoring and training.
//! - `checkpoint` reads and writes directories with PyTorch's tensor names.
//!
//! No result depends on the number of threads: work is cut by the shapes alone, and sums are taken in a fixed order.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod checkpoint;
mod decoder;
mod encode;
mod kernel;
mod lanes;
mod options;
mod score;
mod tracker;
mod train;
mod weights;

use std::path::Path;
use std::sync::OnceLock;

use txray_plugin::{
    Component, EncodeRequest, Error, FitReport, FitRequest, Host, Model, ModelDescription, Result, Score, Site, State,
    Text,
};

use crate::lanes::Network;
use crate::tracker::{Tracker, pool};
use crate::train::{Progress, Streams};
use crate::weights::{Sizes, Slices, Weights};

pub use options::{LstmOptions, TrainOptions};

txray_plugin::components!(models = [Lstm]);

/// An LSTM with an embedding below it and a softmax over the vocabulary above it.
#[derive(Debug)]
pub struct Lstm {
    options: LstmOptions,
    weights: Option<Weights>,
    trained_state: Option<State>,
    /// `None` inside where the table would be too large; made when first needed, gone when the weights change.
    input_table: OnceLock<Option<Vec<f32>>>,
    progress: Progress,
}

impl Component for Lstm {
    const KIND: &'static str = "lstm";
    const ABOUT: &'static str = "an LSTM language model";
    const DEVICES: &'static [&'static str] = &["cpu"];
    type Options = LstmOptions;

    fn create(options: LstmOptions, _: &Host<'_>) -> Result<Self> {
        options.validate()?;
        Ok(Self::new(options))
    }
}

impl Lstm {
    fn new(options: LstmOptions) -> Self {
        let progress = Progress::new(&options.train);
        Self { options, weights: None, trained_state: None, input_table: OnceLock::new(), progress }
    }

    fn weights(&self) -> Result<&Weights> {
        self.weights.as_ref().ok_or_else(|| Error::failed("the model has no weights yet: initialize or load it first"))
    }

    /// Runs `f` over the network on as many threads as the host lends.
    fn read<R: Send>(&self, host: &Host<'_>, f: impl FnOnce(Network<'_>) -> Result<R> + Send) -> Result<R> {
        let pool = pool(host)?;
        self.weights()?.read(|weights: &Slices<'_>| {
            pool.install(|| {
                let table = self.input_table.get_or_init(|| lanes::input_table(weights)).as_deref();
                f(Network { weights, table, layers: weights.sizes.layers })
            })
        })
    }
}

impl Model for Lstm {
    fn initialize(&mut self, _: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        let LstmOptions { embedding, hidden, layers, .. } = self.options;
        let weights = Weights::initialize(Sizes { vocabulary, embedding, hidden, layers }, seed)?;
        *self = Self { weights: Some(weights), ..Self::new(self.options.clone()) };
        Ok(())
    }

    fn load(&mut self, _: &Host<'_>, directory: &Path) -> Result<()> {
        let (weights, trained_state) = checkpoint::load(directory)?;
        *self = Self { weights: Some(weights), trained_state, ..Self::new(self.options.clone()) };
        Ok(())
    }

    fn save(&self, _: &Host<'_>, directory: &Path) -> Result<()> {
        checkpoint::save(self.weights()?, self.trained_state, directory)
    }

    fn describe(&self) -> Result<ModelDescription> {
        let sizes = self.weights()?.sizes;
        Ok(ModelDescription {
            sites: (0..sizes.layers).map(|k| Site { name: format!("lstm.{k}.hidden"), width: sizes.hidden }).collect(),
            vocabulary: sizes.vocabulary,
            parameters: sizes.parameters(),
            state_size: 2 * sizes.layers * sizes.hidden,
            trained_state: self.trained_state,
        })
    }

    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        encode::check(request, self.weights()?.sizes)?;
        let tracker = Tracker::new(host, "reading", request.text.ids.len());
        self.read(host, |network| encode::encode(network, request, &tracker))
    }

    fn score(&self, host: &Host<'_>, text: Text<'_>, state: State) -> Result<Score> {
        encode::check_text(text, self.weights()?.sizes)?;
        let tracker = Tracker::new(host, "scoring", text.ids.len());
        self.read(host, |network| score::score(network, text, state, &tracker))
    }

    /// One epoch from where the last call left off. Cancelled or failed, the weights are left between two steps, and the
    /// epoch counts as not begun. The state is cleared where an epoch begins.
    fn fit(&mut self, host: &Host<'_>, request: &FitRequest<'_>) -> Result<FitReport> {
        let sizes = self.weights()?.sizes;
        for text in [Some(request.train), request.valid].into_iter().flatten() {
            encode::check_text(text, sizes)?;
        }
        let options = self.options.train.clone();
        let streams = Streams::new(request.train, &options)?;
        let tracker = Tracker::new(host, "", streams.tokens());
        let pool = pool(host)?;
        self.input_table = OnceLock::new();
        self.trained_state = Some(options.state);
        let (weights, progress) = (self.weights()?, &self.progress);
        let epoch = pool.install(|| train::epoch(weights, &streams, &options, progress, request.seed, &tracker))?;
        self.progress.epoch += 1;
        self.progress.tokens += epoch.tokens;
        let valid_loss = match request.valid {
            Some(text) => {
                let score = self.score(host, text, options.state)?;
                let loss = score.nll / score.tokens as f64;
                self.progress.validated(loss, options.decay);
                // What was made from the weights for scoring goes before they change again, or the model is saved.
                self.input_table = OnceLock::new();
                Some(loss)
            }
            None => None,
        };
        Ok(FitReport {
            epoch: self.progress.epoch,
            tokens: self.progress.tokens,
            loss: epoch.loss,
            valid_loss,
            seconds: epoch.seconds,
            done: self.progress.epoch >= options.epochs,
            paused: false,
        })
    }

    fn save_training(&self, _: &Host<'_>, _: &Path) -> Result<()> {
        Err(Error::failed("training cannot be saved yet"))
    }

    fn load_training(&mut self, _: &Host<'_>, _: &Path) -> Result<()> {
        Err(Error::failed("training cannot be loaded yet"))
    }
}
