//! The LSTM encoder and language model of `txray`, on candle.
//!
//! - Reading ([`Model::encode`], [`Model::score`]) is in `lanes`: documents side by side in lanes of fixed units, one
//!   thread a unit. `encode` and `score` look on and keep what was asked for.
//! - Training ([`Model::fit`]) is in `train`: candle's graph, with operations of our own where the time goes.
//! - `kernel` holds the products and the vectorised functions, and the crate's only `unsafe`; `decoder` the softmax over
//!   the vocabulary, shared by scoring and training.
//! - `checkpoint` reads and writes directories with PyTorch's tensor names, `resume` a training that stopped; both by
//!   `tensors`.
//!
//! No result depends on the number of threads: work is cut by the shapes alone, and sums are taken in a fixed order.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod checkpoint;
mod decoder;
mod encode;
mod kernel;
mod lanes;
mod options;
mod resume;
mod score;
mod tensors;
mod tracker;
mod train;
mod weights;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use txray_plugin::{
    Component, EncodeRequest, Error, FitReport, FitRequest, Host, Model, ModelDescription, Result, Score, Site, State,
    Text,
};

use crate::lanes::Network;
use crate::resume::Training;
use crate::tracker::{Stop, Tracker, pool, watched};
use crate::train::{Progress, Streams, Trainer};
use crate::weights::{Sizes, Slices, Weights};

pub use options::{LstmOptions, TrainOptions};

txray_plugin::components!(models = [Lstm]);

/// An LSTM with an embedding below it and a softmax over the vocabulary above it.
#[derive(Debug)]
pub struct Lstm {
    options: LstmOptions,
    weights: Option<Weights>,
    trained_state: Option<State>,
    /// Made when first needed, gone when the weights change.
    input_table: Mutex<Option<Arc<Vec<f32>>>>,
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
        Self { options, weights: None, trained_state: None, input_table: Mutex::default(), progress }
    }

    fn weights(&self) -> Result<&Weights> {
        self.weights.as_ref().ok_or_else(no_weights)
    }

    /// Runs `f` over the network on as many threads as the host lends.
    fn read<R: Send>(
        &self,
        host: &Host<'_>,
        tracker: &Tracker<'_>,
        f: impl FnOnce(Network<'_>) -> Result<R> + Send,
    ) -> Result<R> {
        let pool = pool(host)?;
        self.weights()?.read(|weights| {
            pool.install(|| {
                let table = self.input_table(weights, tracker)?;
                let table = table.as_ref().map(|table| table.as_slice());
                f(Network { weights, table, layers: weights.sizes.layers })
            })
        })
    }

    fn input_table(&self, weights: &Slices<'_>, tracker: &Tracker<'_>) -> Result<Option<Arc<Vec<f32>>>> {
        if !lanes::table_fits(weights.sizes) {
            return Ok(None);
        }
        let mut table = self.input_table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.is_none() {
            *table = Some(Arc::new(lanes::input_table(weights, tracker)?));
        }
        Ok(table.clone())
    }
}

fn no_weights() -> Error {
    Error::failed("the model has no weights yet: initialize or load it first")
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
        self.read(host, &tracker, |network| encode::encode(network, request, &tracker))
    }

    fn score(&self, host: &Host<'_>, text: Text<'_>, state: State) -> Result<Score> {
        encode::check_text(text, self.weights()?.sizes)?;
        let tracker = Tracker::new(host, "scoring", text.ids.len());
        self.read(host, &tracker, |network| score::score(network, text, state, &tracker))
    }

    /// The state is cleared where an epoch begins. Validation belongs to the epoch: where time is over after the last
    /// step, it is left to the next call.
    fn fit(&mut self, host: &Host<'_>, request: &FitRequest<'_>) -> Result<FitReport> {
        let start = Instant::now();
        let over = || request.pause.is_some_and(|seconds| start.elapsed().as_secs_f64() >= seconds);
        let sizes = self.weights()?.sizes;
        for text in [Some(request.train), request.valid].into_iter().flatten() {
            encode::check_text(text, sizes)?;
        }
        let options = self.options.train.clone();
        let streams = Streams::new(request.train, &options)?;
        if request.valid.is_some_and(|text| !score::is_predictable(text, options.state)) {
            return Err(Error::invalid("the validation text has nothing to predict: no token follows another"));
        }
        self.progress.begin(request, streams.windows())?;
        self.input_table = Mutex::default();
        self.trained_state = Some(options.state);

        let (pool, stop) = (pool(host)?, Stop::default());
        let done = streams.tokens_before(self.progress.cursor.windows);
        let tracker = Tracker::new(host, "", streams.tokens()).counting_from(done);
        let Self { weights: Some(weights), progress, .. } = self else { return Err(no_weights()) };
        let trainer = Trainer::new(weights, &options, &streams, request.seed, stop.clone());
        let (seconds, paused) = watched(host, &pool, &stop, || trainer.run(progress, over, &tracker))?;
        let loss = self.progress.cursor.mean();
        let mut valid_loss = None;
        if !paused {
            if let Some(text) = request.valid {
                let score = self.score(host, text, options.state)?;
                valid_loss = Some(score.nll / score.tokens as f64);
                // What was made from the weights for scoring goes before they change again, or the model is saved.
                self.input_table = Mutex::default();
            }
            self.progress.end_epoch(valid_loss, options.decay);
        }
        let Progress { epoch, tokens, .. } = self.progress;
        Ok(FitReport { epoch, tokens, loss, valid_loss, seconds, done: epoch >= options.epochs, paused })
    }

    fn save_training(&self, _: &Host<'_>, directory: &Path) -> Result<()> {
        resume::save(self.weights()?, &self.options, self.trained_state, &self.progress, directory)
    }

    fn load_training(&mut self, _: &Host<'_>, directory: &Path) -> Result<()> {
        let Training { weights, trained_state, progress } = resume::load(&self.options, directory)?;
        *self = Self { weights: Some(weights), trained_state, progress, ..Self::new(self.options.clone()) };
        Ok(())
    }
}
