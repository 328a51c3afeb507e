//! Training.

use std::path::Path;

use super::{Examples, Opaque, Task, Text};
use crate::{Host, Result};

/// A model that can be trained, in sessions, one at a time. While it has one, its weights change by [`Train::step`] alone.
pub trait Train: Send + Sync {
    /// Begins a session: with the weights that the model has, or going on from a directory that [`Train::save_session`] wrote, of a
    /// model with the same options and for the same request, whose weights come from there. Options or a request that change
    /// the training are refused. What is to be kept of the request, the session keeps a copy of. Where the weights come from a
    /// directory, it is the model that holds the ids to their vocabulary. Where it fails, the model is as it was.
    ///
    /// A finished training may be gone on with by a model whose options say more epochs: it then ends with what that many
    /// epochs from the beginning would have given; where that cannot be, it is refused.
    fn begin(&mut self, host: &Host<'_>, request: &TrainRequest<'_>, from: Option<&Path>) -> Result<Opaque>;
    /// Trains to the end of the next epoch, or until `pause` seconds are over: then at the end of the optimizer step in which
    /// they are, so a call makes at least one, unless all of the epoch are made. The caller calls again until the report says
    /// `done`, and saves in between as it likes.
    ///
    /// Cancelled, the session stands between two optimizer steps, and may be saved and stepped again. Wherever it was paused,
    /// cancelled, or saved and begun from there again, and whatever the number of threads, it ends with the same bytes.
    fn step(&mut self, host: &Host<'_>, session: &mut Opaque, pause: Option<f64>) -> Result<TrainReport>;
    /// Writes all that training goes on from into a directory that exists: the weights, and where it stands.
    fn save_session(&self, host: &Host<'_>, session: &Opaque, directory: &Path) -> Result<()>;
}

/// What to train for, and on.
#[derive(Clone, Copy, Debug)]
pub struct TrainRequest<'a> {
    /// One of [`Capabilities::tasks`](super::Capabilities::tasks).
    pub task: Task,
    /// How many classes there are; 0 for language models.
    pub classes: usize,
    /// To train on.
    pub train: Examples<'a>,
    /// To validate on, at the end of each epoch.
    pub valid: Option<Examples<'a>>,
    /// Seed of everything random.
    pub seed: u64,
}

impl<'a> TrainRequest<'a> {
    /// A language model, on a text.
    pub fn language_model(train: Text<'a>, valid: Option<Text<'a>>, seed: u64) -> Self {
        Self { task: Task::LanguageModel, classes: 0, train: train.into(), valid: valid.map(Into::into), seed }
    }
}

/// Where training stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainReport {
    /// Epochs completed.
    pub epoch: u64,
    /// Tokens trained on since the beginning.
    pub tokens: u64,
    /// Mean training loss of the epoch, nats; of what it has read so far where training is `paused`.
    pub loss: f64,
    /// Mean validation loss at the epoch's end, nats; none without validation, or where training is `paused`.
    pub valid_loss: Option<f64>,
    /// Seconds of optimizer steps in this call.
    pub seconds: f64,
    /// Whether every epoch is completed.
    pub done: bool,
    /// Whether the epoch is not at its end: call again to go on.
    pub paused: bool,
}
