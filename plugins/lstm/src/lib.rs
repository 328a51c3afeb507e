//! The LSTM encoder of `txray`, on candle: language models, classifiers of documents, taggers.
//!
//! ```text
//! checkpoint / initialize --> weights --packed once--> panels, table
//!                                |                        |
//! text --> train (candle's graph, own operations)   text --> lanes: units of documents --> layer by layer, step by step
//!              |                                              |            (under masks)
//!          step: weights, losses                  encode: what record rules keep; predict: losses, labels
//! ```
//!
//! - Reading ([`Encode`], [`Predict`]) is in `cpu/`: documents side by side in lanes of fixed units, one thread a unit.
//!   `encode` and `predict` keep what was asked for of each step; `masks` hold neurons to values, `state` is what is carried.
//! - A head over labels (`labels`) stands in the place of the decoder: what it reads of documents is gathered in `features`.
//! - Training ([`Train`](txray_plugin::Train)) is in `train`: candle's graph, with operations of our own where the time goes; its
//!   sessions are in `session`.
//! - `network` is all of this as candle-nn has it, and `plain` answers the requests by it: the meaning that the rest is held to in
//!   tests, and what runs with `fast = false`.
//! - `cpu/kernel` holds the products and the vectorised functions, and the crate's only `unsafe`; `decoder` the softmax over
//!   the vocabulary, shared by predicting and training.
//! - `checkpoint` reads and writes directories with PyTorch's tensor names, by what people call their modules (`names`), `resume`
//!   a training that stopped; both by `tensors`, and what PyTorch pickled by `pickle`.
//!
//! No result depends on the number of threads: work is cut by the shapes alone, and sums are taken in a fixed order.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod checkpoint;
mod class_weights;
mod cpu;
mod decoder;
mod encode;
mod features;
mod labels;
mod masks;
mod memory;
mod names;
mod network;
mod options;
mod pickle;
mod plain;
mod predict;
mod resume;
mod session;
mod state;
mod tensors;
mod tracker;
mod train;
mod weights;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use txray_plugin::{
    Ability, Capabilities, Carry, Component, Encode, EncodeRequest, Error, Extend, Head, Host, Lack, Model,
    ModelDescription, Opaque, Predict, PredictRequest, Result, RuleKind, Site, State, Task, Text,
};

use crate::cpu::lanes::Network;
use crate::cpu::table::Prepared;
use crate::decoder::Decoder;
use crate::features::{Outcomes, Sink};
use crate::masks::Masks;
use crate::state::Carried;
use crate::tracker::{Tracker, pool};
use crate::weights::{Sizes, Slices, Weights};

pub use checkpoint::Config;
pub use class_weights::ClassWeights;
pub use labels::Pooling;
pub use options::{HeadOptions, LstmOptions, Optimizer, Schedule, TrainOptions};
pub use weights::Cell;

txray_plugin::components!(models = [Lstm]);

/// Recurrent layers, LSTM or GRU, with an embedding below them, and above a softmax over the vocabulary or over labels.
#[derive(Debug)]
pub struct Lstm {
    options: LstmOptions,
    weights: Option<Weights>,
    trained_state: Option<State>,
    /// Made when first needed, dropped when the weights change.
    prepared: Mutex<Option<Arc<Prepared>>>,
}

impl Component for Lstm {
    const KIND: &'static str = "lstm";
    const ABOUT: &'static str = "a language model, classifier or tagger of LSTM or GRU layers";
    const DEVICES: &'static [&'static str] = &["cpu"];
    type Options = LstmOptions;

    fn create(options: LstmOptions, _: &Host<'_>) -> Result<Self> {
        options.validate()?;
        Ok(Self::new(options))
    }
}

impl Lstm {
    fn new(options: LstmOptions) -> Self {
        Self { options, weights: None, trained_state: None, prepared: Mutex::default() }
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
        masks: &Masks,
        f: impl FnOnce(Network<'_>) -> Result<R> + Send,
    ) -> Result<R> {
        let (pool, sites) = (pool(host)?, self.sites_of_a_pass());
        self.weights()?.read(|weights| {
            pool.install(|| {
                let prepared = self.prepared(weights);
                prepared.with_table(weights, ids, tracker, |table| {
                    let (layers, arch) = (weights.sizes.layers, pulp::Arch::new());
                    f(Network { weights, prepared: &prepared, table, layers, sites, masks, arch })
                })
            })
        })
    }

    fn prepared(&self, weights: &Slices<'_>) -> Arc<Prepared> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.options.input_table.saturating_mul((1 << 20) / size_of::<f32>());
        prepared.get_or_insert_with(|| Arc::new(Prepared::new(weights, limit))).clone()
    }

    /// Whether the fast path reads it.
    fn is_fast(&self, sizes: Sizes) -> bool {
        self.options.fast && sizes.is_usual()
    }

    /// 1, the outputs; 2 for an LSTM whose cells are asked for.
    fn sites_of_a_pass(&self) -> usize {
        self.sites_of(self.weights.as_ref().map_or(self.options.cell, |weights| weights.sizes.cell))
    }

    /// The same, where the layers are of these cells.
    fn sites_of(&self, cell: Cell) -> usize {
        if self.options.cell_sites && cell == Cell::Lstm { 2 } else { 1 }
    }

    /// Where a network is read.
    fn sites(&self, sizes: Sizes) -> Vec<Site> {
        let of_a_pass = self.sites_of(sizes.cell);
        let sites = (0..sizes.passes() * of_a_pass).map(|site| sizes.site(site / of_a_pass, site % of_a_pass));
        sites.map(|(name, width)| Site { name, width }).collect()
    }
}

fn no_weights() -> Error {
    Error::failed("the model has no weights yet: initialize or load it first")
}

impl Model for Lstm {
    fn capabilities(&self) -> Capabilities {
        let LstmOptions { hidden, layers, cell, .. } = self.options;
        Capabilities {
            tasks: vec![Task::LanguageModel, Task::Classification, Task::Tagging],
            rules: vec![RuleKind::Top, RuleKind::Above, RuleKind::All],
            masks: true,
            predictions: true,
            sites: self.sites(Sizes { hidden, layers, cell, ..Sizes::default() }),
            ..Capabilities::default()
        }
    }

    fn describe(&self) -> Result<ModelDescription> {
        let sizes = self.weights()?.sizes;
        let of_a_pass = self.sites_of_a_pass();
        Ok(ModelDescription {
            sites: self.sites(sizes),
            vocabulary: sizes.vocabulary,
            parameters: sizes.parameters(),
            heads: match sizes.labels {
                Some(labels) => vec![Head { task: labels.task(), classes: labels.classes }],
                None if sizes.headless => Vec::new(),
                None => vec![Head { task: Task::LanguageModel, classes: sizes.vocabulary }],
            },
            // Cells: the step of candle-nn's LSTM, to which all is held, gives them with the outputs that they have made.
            unmaskable: (0..sizes.passes() * of_a_pass).filter(|site| site % of_a_pass != 0).collect(),
            lacks: lacks(sizes),
            longest_context: None,
            trained_state: self.trained_state,
        })
    }

    fn initialize(&mut self, _: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        let LstmOptions { embedding, hidden, layers, cell, tied, .. } = self.options;
        let weights =
            Weights::initialize(Sizes { vocabulary, embedding, hidden, layers, cell, tied, ..Sizes::default() }, seed)?;
        *self = Self { weights: Some(weights), ..Self::new(self.options.clone()) };
        Ok(())
    }

    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let (weights, trained_state) = checkpoint::load(host, directory)?;
        *self = Self { weights: Some(weights), trained_state, ..Self::new(self.options.clone()) };
        Ok(())
    }

    fn save(&self, _: &Host<'_>, directory: &Path) -> Result<()> {
        checkpoint::save(self.weights()?, self.trained_state, directory)
    }

    txray_plugin::abilities!(encode, predict, train, carry, extend);
}

impl Extend for Lstm {
    fn extend(&mut self, _: &Host<'_>, vocabulary: usize, like: u32) -> Result<()> {
        let weights = self.weights()?.extended(vocabulary, like)?;
        let trained_state = self.trained_state;
        *self = Self { weights: Some(weights), trained_state, ..Self::new(self.options.clone()) };
        Ok(())
    }
}

impl Encode for Lstm {
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        let (sizes, sites) = (self.weights()?.sizes, self.sites_of_a_pass());
        encode::check_text(request.text, sizes)?;
        let masks = Masks::new(request.masks, sizes, sites)?;
        let tracker = Tracker::new(host, "reading", request.text.ids.len());
        if !self.is_fast(sizes) {
            let weights = self.weights()?;
            return pool(host)?.install(|| plain::encode(weights, &masks, sites, request, &tracker));
        }
        let ids = request.text.ids;
        self.read(host, &tracker, ids, &masks, |network| encode::encode(network, request, &tracker))
    }
}

impl Predict for Lstm {
    fn predict(&self, host: &Host<'_>, request: &mut PredictRequest<'_>) -> Result<()> {
        let weights = self.weights()?;
        let (sizes, text) = (weights.sizes, request.examples.text);
        encode::check_text(text, sizes)?;
        let masks = Masks::new(request.masks, sizes, self.sites_of_a_pass())?;
        if request.task != Task::LanguageModel {
            return self.predict_labels(host, &masks, request);
        }
        let tracker = Tracker::new(host, "scoring", text.ids.len());
        if !self.is_fast(sizes) {
            return pool(host)?.install(|| plain::predict(weights, &masks, request, &tracker));
        }
        weights.decoder()?;
        self.read(host, &tracker, text.ids, &masks, |network| predict::predict(network, request, &tracker))
    }
}

impl Lstm {
    /// What a head over labels tells of each document or token.
    fn predict_labels(&self, host: &Host<'_>, masks: &Masks, request: &mut PredictRequest<'_>) -> Result<()> {
        let (labels, ..) = self.weights()?.classifier()?;
        if labels.task() != request.task {
            return Err(Error::failed("it predicts labels of another kind"));
        }
        if request.state.is_some() {
            return Err(Error::invalid("a model of labels reads each document from an empty state: none is carried"));
        }
        let log_probabilities = |features: &[f32]| self.log_probabilities(host, features);
        let (targets, keeps_probabilities) = (request.examples.targets, request.probabilities.is_some());
        let new_sink = || Outcomes::new(targets, keeps_probabilities, &log_probabilities);
        let outcomes = self.features(host, masks, request.examples.text, new_sink)?;
        features::write(labels, &outcomes, request);
        Ok(())
    }

    /// Reads a text for the head over labels, into sinks.
    fn features<S: Sink>(
        &self,
        host: &Host<'_>,
        masks: &Masks,
        text: Text<'_>,
        new_sink: impl Fn() -> S + Sync + Send,
    ) -> Result<Vec<S>> {
        let weights = self.weights()?;
        let (labels, ..) = weights.classifier()?;
        let tracker = Tracker::new(host, "scoring", text.ids.len());
        if !self.is_fast(weights.sizes) {
            let read = || plain::read(weights, masks, labels, text, &tracker, new_sink);
            return Ok(vec![pool(host)?.install(read)?]);
        }
        self.read(host, &tracker, text.ids, masks, |network| features::read(network, labels, text, &tracker, new_sink))
    }

    /// `[rows, labels]`: of features `[rows, features]` the logarithms of all labels' probabilities.
    fn log_probabilities(&self, host: &Host<'_>, features: &[f32]) -> Result<Vec<f32>> {
        let weights = self.weights()?;
        match self.is_fast(weights.sizes) {
            true => weights.read(|weights| {
                Decoder::of_labels(weights)?.log_probabilities(features, &Tracker::new(host, "scoring", 0))
            }),
            false => plain::log_probabilities(weights, features),
        }
    }
}

/// What weights of these sizes cannot do, and others can.
fn lacks(sizes: Sizes) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let mut push = |ability, why: &str| lacks.push(Lack { ability, why: why.to_owned() });
    if !sizes.is_usual() {
        push(Ability::Train, "a network that is bidirectional or whose outputs are projected is read, and not trained");
    }
    if sizes.bidirectional {
        push(Ability::Carry, "it reads each document from both ends, so no state is carried into the next");
    }
    lacks
}

fn refuse_lack(sizes: Sizes, ability: Ability) -> Result<()> {
    match lacks(sizes).into_iter().find(|lack| lack.ability == ability) {
        Some(lack) => Err(Error::invalid(lack.why)),
        None => Ok(()),
    }
}

impl Carry for Lstm {
    fn state(&self, _: &Host<'_>, from: Option<&Opaque>) -> Result<Opaque> {
        let sizes = self.weights()?.sizes;
        refuse_lack(sizes, Ability::Carry)?;
        match from {
            Some(from) => Ok(Opaque::new(from.get::<Carried>()?.of(sizes)?.clone())),
            None => Ok(Opaque::new(Carried::new(sizes))),
        }
    }
}
