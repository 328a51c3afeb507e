//! The LSTM encoder and language model of `txray`, on candle.
//!
//! ```text
//! checkpoint / initialize --> weights --packed once--> panels, table
//!                                |                        |
//! text --> train (candle's graph, own operations)   text --> lanes: units of documents --> layer by layer, step by step
//!              |                                              |
//!          fit: weights, losses                   encode: the most active neurons; score: the likelihood
//! ```
//!
//! - Reading ([`Model::encode`], [`Model::score`]) is in `cpu/`: documents side by side in lanes of fixed units, one thread a
//!   unit. `encode` and `score` keep what was asked for of each step.
//! - Training ([`Model::fit`]) is in `train`: candle's graph, with operations of our own where the time goes.
//! - `network` is all of this as candle-nn has it, and `plain` answers the requests by it: the meaning that the rest is held to in
//!   tests, and what runs with `fast = false`.
//! - `cpu/kernel` holds the products and the vectorised functions, and the crate's only `unsafe`; `decoder` the softmax over
//!   the vocabulary, shared by scoring and training.
//! - `checkpoint` reads and writes directories with PyTorch's tensor names, `resume` a training that stopped; both by
//!   `tensors`.
//!
//! No result depends on the number of threads: work is cut by the shapes alone, and sums are taken in a fixed order.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod checkpoint;
mod cpu;
mod decoder;
mod encode;
mod memory;
mod network;
mod options;
mod plain;
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

use crate::cpu::lanes::Network;
use crate::cpu::table::Prepared;
use crate::resume::Training;
use crate::tracker::{Stop, Tracker, pool, watched};
use crate::train::{Progress, Streams, Trainer};
use crate::weights::{Sizes, Slices, Weights};

pub use options::{LstmOptions, Optimizer, Schedule, TrainOptions};
pub use weights::Cell;

txray_plugin::components!(models = [Lstm]);

/// Recurrent layers, LSTM or GRU, with an embedding below them and a softmax over the vocabulary above.
#[derive(Debug)]
pub struct Lstm {
    options: LstmOptions,
    weights: Option<Weights>,
    trained_state: Option<State>,
    /// Made when first needed, dropped when the weights change.
    prepared: Mutex<Option<Arc<Prepared>>>,
    progress: Progress,
}

impl Component for Lstm {
    const KIND: &'static str = "lstm";
    const ABOUT: &'static str = "a language model of LSTM or GRU layers";
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
        Self { options, weights: None, trained_state: None, prepared: Mutex::default(), progress }
    }

    fn weights(&self) -> Result<&Weights> {
        self.weights.as_ref().ok_or_else(no_weights)
    }

    /// Runs `f` on as many threads as the host lends. `ids` are all tokens that it will read: the table needs their
    /// rows.
    fn read<R: Send>(
        &self,
        host: &Host<'_>,
        tracker: &Tracker<'_>,
        ids: &[u32],
        f: impl FnOnce(Network<'_>) -> Result<R> + Send,
    ) -> Result<R> {
        let (pool, sites) = (pool(host)?, self.sites_of_a_layer());
        self.weights()?.read(|weights| {
            pool.install(|| {
                let prepared = self.prepared(weights);
                prepared.with_table(weights, ids, tracker, |table| {
                    let (layers, arch) = (weights.sizes.layers, pulp::Arch::new());
                    f(Network { weights, prepared: &prepared, table, layers, sites, arch })
                })
            })
        })
    }

    fn prepared(&self, weights: &Slices<'_>) -> Arc<Prepared> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.options.input_table.saturating_mul((1 << 20) / size_of::<f32>());
        prepared.get_or_insert_with(|| Arc::new(Prepared::new(weights, limit))).clone()
    }

    /// 1, the outputs; 2 for an LSTM whose cells are asked for.
    fn sites_of_a_layer(&self) -> usize {
        let cell = self.weights.as_ref().map_or(self.options.cell, |weights| weights.sizes.cell);
        if self.options.cell_sites && cell == Cell::Lstm { 2 } else { 1 }
    }
}

fn no_weights() -> Error {
    Error::failed("the model has no weights yet: initialize or load it first")
}

impl Model for Lstm {
    fn initialize(&mut self, _: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        let LstmOptions { embedding, hidden, layers, cell, tied, .. } = self.options;
        let weights = Weights::initialize(Sizes { vocabulary, embedding, hidden, layers, cell, tied }, seed)?;
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
            sites: (0..sizes.layers)
                .flat_map(|k| (0..self.sites_of_a_layer()).map(move |s| (k, s)))
                .map(|(k, s)| Site { name: sizes.cell.site(k, s), width: sizes.hidden })
                .collect(),
            vocabulary: sizes.vocabulary,
            parameters: sizes.parameters(),
            state_size: sizes.state(),
            trained_state: self.trained_state,
        })
    }

    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        let sizes = self.weights()?.sizes;
        encode::check(request, sizes, sizes.layers * self.sites_of_a_layer())?;
        let tracker = Tracker::new(host, "reading", request.text.ids.len());
        if !self.options.fast {
            let (weights, sites) = (self.weights()?, self.sites_of_a_layer());
            return pool(host)?.install(|| plain::encode(weights, sites, request, &tracker));
        }
        let ids = request.text.ids;
        self.read(host, &tracker, ids, |network| encode::encode(network, request, &tracker))
    }

    fn score(&self, host: &Host<'_>, text: Text<'_>, state: State) -> Result<Score> {
        encode::check_text(text, self.weights()?.sizes)?;
        let tracker = Tracker::new(host, "scoring", text.ids.len());
        if !self.options.fast {
            let weights = self.weights()?;
            return pool(host)?.install(|| plain::score(weights, text, state == State::Carry, &tracker));
        }
        self.read(host, &tracker, text.ids, |network| score::score(network, text, state, &tracker))
    }

    /// The state is cleared where an epoch begins. Validation belongs to the epoch: where time is over after the last
    /// step, validation is left to the next call.
    fn fit(&mut self, host: &Host<'_>, request: &FitRequest<'_>) -> Result<FitReport> {
        let start = Instant::now();
        let over = || request.pause.is_some_and(|seconds| start.elapsed().as_secs_f64() >= seconds);
        let sizes = self.weights()?.sizes;
        for text in [Some(request.train), request.valid].into_iter().flatten() {
            encode::check_text(text, sizes)?;
        }
        let (options, fast) = (self.options.train.clone(), self.options.fast);
        let streams = Streams::new(request.train, &options)?;
        if request.valid.is_some_and(|text| !score::is_predictable(text, options.state)) {
            return Err(Error::invalid("the validation text has nothing to predict: no token follows another"));
        }
        self.progress.begin(request, streams.windows())?;
        self.prepared = Mutex::default();
        self.trained_state = Some(options.state);

        train::check_memory(sizes, &options, streams.rows())?;
        let (pool, stop) = (pool(host)?, Stop::default());
        let done = streams.tokens_before(self.progress.cursor.windows);
        let tracker = Tracker::new(host, "", streams.tokens()).counting_from(done);
        let Self { weights: Some(weights), progress, .. } = self else { return Err(no_weights()) };
        let trainer = Trainer::new(weights, &options, &streams, request.seed, stop.clone(), fast);
        let (seconds, paused) = watched(host, &pool, &stop, || trainer.run(progress, over, &tracker))?;
        let loss = self.progress.cursor.mean();
        let mut valid_loss = None;
        if !paused {
            if let Some(text) = request.valid {
                let score = self.score(host, text, options.state)?;
                valid_loss = Some(score.nll / score.tokens as f64);
                // What scoring has prepared from the weights is stale once they change again.
                self.prepared = Mutex::default();
            }
            self.progress.end_epoch(valid_loss, &options);
        }
        let Progress { epoch, tokens, .. } = self.progress;
        Ok(FitReport { epoch, tokens, loss, valid_loss, seconds, done: self.progress.is_done(&options), paused })
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
