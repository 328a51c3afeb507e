//! How far a training has come, and what it was begun with, so that it can be saved and go on.

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use txray_plugin::{Error, Examples, Result, Task, TrainRequest};

use super::optimizer::Means;
use super::recurrence::LayerState;
use crate::options::{Schedule, TrainOptions};
use crate::weights::{Weights, failed, to_vec};

/// How far a training has come. It always stands between two optimizer steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    pub begun: Begun,
    /// Epochs completed.
    pub epoch: u64,
    /// Tokens trained on.
    pub tokens: u64,
    pub learning_rate: f64,
    pub best_valid: Option<f64>,
    /// Epochs in a row in which the validation loss did not improve.
    pub stale: u64,
    pub cursor: Cursor,
    /// One a variable, empty of those that are not trained; none before Adam's first step. Saved as tensors.
    #[serde(skip)]
    pub means: Vec<Means>,
    /// The weights of the epoch with the least validation loss, where they are kept. Saved as tensors.
    #[serde(skip)]
    pub best: Option<Values>,
    /// The weights that training goes on from, where the model has the best ones. Saved as its weights.
    #[serde(skip)]
    pub last: Option<Values>,
}

/// The values of the variables that are trained, in their order.
pub(crate) type Values = Vec<Vec<f32>>;

/// The variables that are trained.
fn trained<'a>(weights: &'a Weights, options: &TrainOptions) -> Vec<&'a Var> {
    let names = weights.sizes.tensors().into_iter();
    names.zip(weights.variables()).filter(|((name, _), _)| options.trains(name)).map(|(_, variable)| variable).collect()
}

fn put(weights: &Weights, options: &TrainOptions, values: &Values) -> Result<()> {
    for (variable, values) in trained(weights, options).into_iter().zip(values) {
        let tensor = Tensor::from_slice(values, variable.shape(), variable.device());
        tensor.and_then(|tensor| variable.set(&tensor)).map_err(failed)?;
    }
    Ok(())
}

/// How far a training has come in its epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// Optimizer steps made: each reads a window.
    pub windows: usize,
    /// Training loss, summed over the predicted tokens, nats.
    pub loss: f64,
    /// Tokens predicted so far.
    pub predicted: u64,
    /// `[layers]`; none before the first window. Saved as tensors.
    #[serde(skip)]
    pub states: Vec<LayerState>,
}

impl Cursor {
    /// Mean training loss so far, nats a token.
    pub fn mean(&self) -> f64 {
        self.loss / self.predicted.max(1) as f64
    }
}

impl Progress {
    pub fn new(options: &TrainOptions, begun: Begun) -> Self {
        Self {
            begun,
            epoch: 0,
            tokens: 0,
            learning_rate: options.learning_rate(),
            best_valid: None,
            stale: 0,
            cursor: Cursor::default(),
            means: Vec::new(),
            best: None,
            last: None,
        }
    }

    /// Keeps the weights of the epoch that has just ended, if none was better.
    pub fn keep_best(&mut self, weights: &Weights, options: &TrainOptions) -> Result<()> {
        if self.stale == 0 {
            self.best =
                Some(trained(weights, options).into_iter().map(|variable| to_vec(variable)).collect::<Result<_>>()?);
        }
        Ok(())
    }

    /// Gives the model the best weights, and keeps those that training goes on from.
    pub fn show_best(&mut self, weights: &Weights, options: &TrainOptions) -> Result<()> {
        let Some(best) = self.best.as_ref().filter(|_| self.last.is_none()) else { return Ok(()) };
        self.last =
            Some(trained(weights, options).into_iter().map(|variable| to_vec(variable)).collect::<Result<_>>()?);
        put(weights, options, best)
    }

    /// Gives the model the weights that training goes on from.
    pub fn take_last(&mut self, weights: &Weights, options: &TrainOptions) -> Result<()> {
        self.last.take().map_or(Ok(()), |last| put(weights, options, &last))
    }

    /// Refuses to go on with anything else than it was begun with. `windows` is the number of windows in an epoch.
    pub fn goes_on(&self, now: &Begun, windows: usize) -> Result<()> {
        if self.begun != *now {
            return Err(self.begun.differs_from(now));
        }
        let step = self.cursor.windows;
        match step > windows {
            true => Err(Error::invalid(format!("this training stands at step {step} of an epoch of {windows}"))),
            false => Ok(()),
        }
    }

    /// Ends an epoch, and under [`Schedule::Plateau`] slows down where its validation loss did not improve.
    pub fn end_epoch(&mut self, valid_loss: Option<f64>, options: &TrainOptions) {
        self.epoch += 1;
        self.cursor = Cursor::default();
        let Some(loss) = valid_loss else { return };
        if self.best_valid.is_none_or(|best| loss < best) {
            self.best_valid = Some(loss);
            self.stale = 0;
        } else {
            self.stale += 1;
            if options.schedule == Schedule::Plateau {
                self.learning_rate /= options.decay;
            }
        }
    }

    /// Whether every epoch is completed, or the validation loss has not improved for too long.
    pub fn is_done(&self, options: &TrainOptions) -> bool {
        self.epoch >= options.epochs || self.is_stale(options)
    }

    /// Whether the validation loss has not improved for too long.
    pub fn is_stale(&self, options: &TrainOptions) -> bool {
        options.patience.is_some_and(|patience| self.stale >= patience)
    }

    /// Refuses numbers that no training reaches, and that could overflow if it went on from them.
    pub fn validate(&self) -> Result<()> {
        let counts = [self.epoch, self.stale, self.tokens, self.cursor.predicted, self.cursor.windows as u64];
        if counts.iter().any(|&count| count > 1 << 53) || self.epoch > u64::from(u32::MAX) {
            return Err(Error::invalid("a count is out of range"));
        }
        if self.learning_rate.is_nan() || self.learning_rate < 0.0 {
            return Err(Error::invalid("the learning rate is negative"));
        }
        Ok(())
    }
}

/// What a training was begun with. It can only go on with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begun {
    task: Task,
    classes: usize,
    seed: u64,
    train: Identity,
    valid: Option<Identity>,
}

impl Begun {
    /// By a request.
    pub fn of(request: &TrainRequest<'_>) -> Self {
        let valid = request.valid.map(Identity::of);
        let TrainRequest { task, classes, train, seed, .. } = *request;
        Self { task, classes, seed, train: Identity::of(train), valid }
    }

    /// What differs, as an error.
    fn differs_from(&self, now: &Self) -> Error {
        let text = |text: &Identity| format!("{} tokens in {} documents", text.tokens, text.documents);
        let texts = |name: &str, begun: String, now: String| match begun == now {
            true => format!("another {name} text of as many tokens and documents, or other labels"),
            false => format!("a {name} text of {begun}, not {now}"),
        };
        let valid = |valid: &Option<Identity>| valid.as_ref().map_or_else(|| "0 tokens".to_owned(), text);
        let what = if self.task != now.task || self.classes != now.classes {
            "another task, or another number of labels".to_owned()
        } else if self.seed != now.seed {
            format!("seed {}, not {}", self.seed, now.seed)
        } else if self.train != now.train {
            texts("training", text(&self.train), text(&now.train))
        } else {
            texts("validation", valid(&self.valid), valid(&now.valid))
        };
        Error::invalid(format!("this training was begun with {what}; only that can go on"))
    }
}

/// Tells one text from another without keeping it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    tokens: usize,
    documents: usize,
    /// Of the token ids, then of the offsets, then of the labels, each in little-endian order.
    sha256: String,
}

impl Identity {
    fn of(Examples { text, targets }: Examples<'_>) -> Self {
        let mut hash = Sha256::new();
        for ids in text.ids.chunks(4096) {
            hash.update(ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>());
        }
        for offsets in text.offsets.chunks(4096) {
            hash.update(offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect::<Vec<_>>());
        }
        for targets in targets.chunks(4096) {
            hash.update(targets.iter().flat_map(|target| target.to_le_bytes()).collect::<Vec<_>>());
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { tokens: text.ids.len(), documents: text.len(), sha256 }
    }
}
