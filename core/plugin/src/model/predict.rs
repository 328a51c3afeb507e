//! Losses, and what is asked of the outputs.

use super::encode::{masks_fit, text_fits};
use super::{Capabilities, Examples, Mask, ModelDescription, Opaque, Task, Text};
use crate::{Host, Result};

/// A model that predicts.
pub trait Predict: Send + Sync {
    /// Losses of documents, and what is asked of the outputs. A document's loss must not depend on the number of threads, and
    /// on the documents beside it by rounding alone.
    ///
    /// It is never asked for more than its [`Capabilities`] and its description say.
    fn predict(&self, host: &Host<'_>, request: &mut PredictRequest<'_>) -> Result<()>;

    /// The loss of a language model over a text.
    fn score(&self, host: &Host<'_>, text: Text<'_>, state: Option<&mut Opaque>) -> Result<Score> {
        let (mut losses, mut counts) = (vec![0.0; text.len()], vec![0; text.len()]);
        let request = PredictRequest::new(Task::LanguageModel, text.into(), &mut losses, &mut counts);
        self.predict(host, &mut PredictRequest { state, ..request })?;
        Ok(Score { nll: losses.iter().sum(), tokens: counts.iter().sum() })
    }
}

/// Which documents to predict, and what is asked of the outputs.
#[derive(Debug)]
pub struct PredictRequest<'a> {
    /// That of one of [`ModelDescription::heads`].
    pub task: Task,
    /// The documents, and what is right.
    pub examples: Examples<'a>,
    /// As in [`EncodeRequest`](super::EncodeRequest). A language model predicts the first token of a document only where there
    /// is a state, and that has read something.
    pub state: Option<&'a mut Opaque>,
    /// Under which neurons are held to values.
    pub masks: &'a [Mask<'a>],
    /// `[documents]`: the loss of each, nats, summed over what was predicted of it.
    pub losses: &'a mut [f64],
    /// `[documents]`: how much that was: tokens, or 1 a document that has a label.
    pub counts: &'a mut [u64],
    /// `[tokens]`: the loss of each token, nats; NaN where it was not predicted.
    pub token_losses: Option<&'a mut [f32]>,
    /// `[documents]` or `[tokens]`: the most probable class. Not for language models.
    pub predicted: Option<&'a mut [u32]>,
    /// `[documents, classes]` or `[tokens, classes]`. Not for language models.
    pub probabilities: Option<&'a mut [f32]>,
}

impl<'a> PredictRequest<'a> {
    /// Asks for the losses alone.
    pub fn new(task: Task, examples: Examples<'a>, losses: &'a mut [f64], counts: &'a mut [u64]) -> Self {
        Self {
            task,
            examples,
            state: None,
            masks: &[],
            losses,
            counts,
            token_losses: None,
            predicted: None,
            probabilities: None,
        }
    }

    /// Holds the request to what a model says of itself.
    ///
    /// # Errors
    /// What does not fit, as a thing that was given.
    pub fn fit(&self, capabilities: &Capabilities, description: &ModelDescription) -> Result<(), String> {
        let Some(classes) = description.classes(self.task) else {
            return Err("a task that it does not predict".to_owned());
        };
        text_fits(self.examples.text, description)?;
        self.examples.fit(self.task, classes, description.vocabulary)?;
        masks_fit(self.masks, capabilities, description)?;
        let (documents, tokens) = (self.examples.text.len(), self.examples.text.ids.len());
        let predicted = match self.task {
            Task::LanguageModel => None,
            Task::Classification => Some(documents),
            Task::Tagging => Some(tokens),
        };
        let outputs = [
            ("losses", Some(self.losses.len()), Some(documents)),
            ("counts", Some(self.counts.len()), Some(documents)),
            ("losses of tokens", self.token_losses.as_ref().map(|of| of.len()), Some(tokens)),
            ("classes", self.predicted.as_ref().map(|of| of.len()), predicted),
            ("probabilities", self.probabilities.as_ref().map(|of| of.len()), predicted.map(|n| n * classes)),
        ];
        for (what, found, expected) in outputs {
            if found.is_some() && found != expected {
                return Err(format!("room for {what} that does not fit the task"));
            }
        }
        Ok(())
    }
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
