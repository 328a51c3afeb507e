//! Models: what is read, and what is trained.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ExactSum, Host, Result, Site};

/// A network at one moment of its training.
///
/// [`Component::create`](crate::Component::create) makes it without weights; `initialize`, `load` or `load_training`
/// gives it some. `&self` may be called from many threads at once.
pub trait Model: Send + Sync {
    /// New weights, drawn from the seed by [`random`](crate::random).
    fn initialize(&mut self, host: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()>;
    /// The weights of a checkpoint directory (`config.json`, `model.safetensors`).
    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()>;
    /// Writes a checkpoint into a directory that exists. The bytes depend on the weights alone.
    fn save(&self, host: &Host<'_>, directory: &Path) -> Result<()>;
    /// Before the model has weights, this may fail.
    fn describe(&self) -> Result<ModelDescription>;
    /// Reads documents and reduces their activations. A document's observations must not depend, bit for bit, on
    /// the documents beside it or on the number of threads. An activation that is not finite is an error of the user's
    /// ([`Error::invalid`](crate::Error::invalid)); in which document, the engine finds out.
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()>;
    /// Negative log-likelihood of the text. With [`State::Reset`] the first token of a document is given; with
    /// [`State::Carry`] the text is one stream and only its very first token is.
    fn score(&self, host: &Host<'_>, text: Text<'_>, state: State) -> Result<Score>;
    /// Trains to the end of the next epoch, or until [`FitRequest::pause`]. The caller calls again with the same request
    /// until the report says `done`, and saves in between as it likes.
    ///
    /// Cancelled, the model stands between two optimizer steps, and may be saved and called again. Wherever training was
    /// paused, cancelled, or saved and loaded again, and whatever the number of threads, it ends with the same bytes.
    fn fit(&mut self, host: &Host<'_>, request: &FitRequest<'_>) -> Result<FitReport>;
    /// Writes all that `fit` goes on from into a directory that exists: the weights, and where training stands.
    fn save_training(&self, host: &Host<'_>, directory: &Path) -> Result<()>;
    /// The inverse of `save_training`, for a model that was created with the same options and has no weights yet. `fit`
    /// with the same request then goes on. Options that change the training are refused here, another request by `fit`.
    ///
    /// A finished training may be loaded into a model whose options say more epochs: then `fit` goes on, and
    /// ends with what that many epochs from the beginning would have given; where that cannot be, it is refused here.
    fn load_training(&mut self, host: &Host<'_>, directory: &Path) -> Result<()>;
}

/// What happens to a recurrent state where a document begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is cleared.
    #[default]
    Reset,
    /// It is carried on from the document before.
    Carry,
}

/// What is known of a model once it has weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDescription {
    /// Where it can be read, in the order of the indices in [`SiteRequest`].
    pub sites: Vec<Site>,
    /// Token ids are below this.
    pub vocabulary: usize,
    /// Values that training changes.
    pub parameters: u64,
    /// Length of [`EncodeRequest::carry`], 2^28 at most; 0 without a recurrent state.
    pub state_size: usize,
    /// What happened to its state at document starts in training, where that is known.
    #[serde(default)]
    pub trained_state: Option<State>,
}

/// Ragged documents: one list of tokens, and where it is cut.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// `[tokens]` token ids.
    pub ids: &'a [u32],
    /// `[documents + 1]` offsets into `ids`.
    pub offsets: &'a [u64],
}

impl<'a> Text<'a> {
    /// How many documents.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no document. (There may be documents, and no token.)
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[tokens of document d]` ids.
    pub fn document(&self, d: usize) -> &'a [u32] {
        &self.ids[self.offsets[d] as usize..self.offsets[d + 1] as usize]
    }

    /// Whether the offsets cut the ids, and every id is below `vocabulary`.
    pub fn is_consistent(&self, vocabulary: usize) -> bool {
        let covers = match self.offsets {
            [] => self.ids.is_empty(),
            [first, ..] => *first == 0 && self.offsets.last() == Some(&(self.ids.len() as u64)),
        };
        covers && self.offsets.is_sorted() && self.ids.iter().all(|&id| (id as usize) < vocabulary)
    }
}

/// Which documents to read, and what to keep of each site.
#[derive(Debug)]
pub struct EncodeRequest<'a> {
    /// Ids are below [`ModelDescription::vocabulary`].
    pub text: Text<'a>,
    /// `None`: the state is cleared where a document begins. `Some([state_size])`: the documents are one stream, and
    /// the state is carried in and out.
    pub carry: Option<&'a mut [f32]>,
    /// What to read at each site.
    pub sites: Vec<SiteRequest<'a>>,
}

/// What to keep of one site: of each token the `k` most active neurons (max-1: `k` = 1), in falling order, ties by the
/// lower index, and over all tokens the [`Moments`](crate::Moments): what is added to them for a document depends on that
/// document alone (and on the state that was carried into it), bit for bit, so that they do not depend on how a text is cut.
/// Adding token by token keeps that.
#[derive(Debug)]
pub struct SiteRequest<'a> {
    /// Index into [`ModelDescription::sites`].
    pub site: usize,
    /// Neurons kept for each token.
    pub k: usize,
    /// `[tokens, k]` indices.
    pub neurons: &'a mut [u32],
    /// `[tokens, k]` values of h.
    pub activations: &'a mut [f32],
    /// `[width]`: the sum of h over all tokens is added to it.
    pub sum: &'a mut [ExactSum],
    /// `[width]`: the sum of |h| is added to it.
    pub sum_abs: &'a mut [ExactSum],
    /// `[width]`: the sum of h² is added to it.
    pub sum_sq: &'a mut [ExactSum],
}

/// Likelihood of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Negative log-likelihood, nats, summed.
    pub nll: f64,
    /// Predicted tokens.
    pub tokens: u64,
}

impl Score {
    /// `exp(nll / tokens)`; NaN where no token was predicted.
    pub fn perplexity(&self) -> f64 {
        (self.nll / self.tokens as f64).exp()
    }
}

/// What to train on.
#[derive(Clone, Copy, Debug)]
pub struct FitRequest<'a> {
    /// Text to train on.
    pub train: Text<'a>,
    /// Text to validate on.
    pub valid: Option<Text<'a>>,
    /// Seed of everything random.
    pub seed: u64,
    /// Seconds after which training pauses, in the middle of an epoch: at the end of the optimizer step in which they
    /// are over, so a call makes at least one step. `None`: train to the end of the epoch.
    pub pause: Option<f64>,
}

/// Where training stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitReport {
    /// Epochs completed.
    pub epoch: u64,
    /// Tokens trained on since the beginning.
    pub tokens: u64,
    /// Mean training loss of the epoch, nats a token; of its tokens so far where training is `paused`.
    pub loss: f64,
    /// Validation loss at the epoch's end, nats a token; none without a validation text, or where training is `paused`.
    pub valid_loss: Option<f64>,
    /// Seconds of optimizer steps in this call.
    pub seconds: f64,
    /// Whether every epoch is completed.
    pub done: bool,
    /// Whether the epoch is not at its end: call again to go on.
    pub paused: bool,
}
