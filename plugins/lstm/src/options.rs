//! What a pipeline may say about an LSTM. The doc comments are the config reference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::{Error, Result, State};

use crate::weights::{MAX_LAYERS, MAX_WIDTH};

/// An LSTM language model: its sizes, and how it is trained.
///
/// A model loaded from a checkpoint takes its sizes from there.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LstmOptions {
    /// Values in a word's embedding.
    pub embedding: usize,
    /// Neurons in each layer.
    pub hidden: usize,
    /// Layers, one above the other.
    pub layers: usize,
    /// How it is trained.
    pub train: TrainOptions,
}

impl Default for LstmOptions {
    fn default() -> Self {
        Self { embedding: 200, hidden: 200, layers: 1, train: TrainOptions::default() }
    }
}

/// Language modelling by truncated backpropagation through time and plain SGD.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// Passes over the training text.
    pub epochs: u64,
    /// Streams that the training text is cut into, read side by side.
    pub batch: usize,
    /// Tokens of each stream in a step; gradients go back no further.
    pub bptt: usize,
    /// Step size of SGD.
    pub learning_rate: f64,
    /// Gradients are scaled down to this norm.
    pub clip: f64,
    /// Share of the values set to zero in training: of embeddings, between layers, and of outputs.
    pub dropout: f64,
    /// The learning rate is divided by this after an epoch in which the validation loss did not improve.
    pub decay: f64,
    /// The training text is cut after this many tokens.
    pub max_tokens: Option<u64>,
    /// What happens to the state where a document begins: `reset` clears it, `carry` keeps it, as is usual in PyTorch.
    pub state: State,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 20,
            bptt: 35,
            learning_rate: 20.0,
            clip: 0.25,
            dropout: 0.2,
            decay: 4.0,
            max_tokens: None,
            state: State::Reset,
        }
    }
}

impl LstmOptions {
    /// Refuses values that mean nothing, naming the option.
    pub(crate) fn validate(&self) -> Result<()> {
        size("/embedding", self.embedding, MAX_WIDTH)?;
        size("/hidden", self.hidden, MAX_WIDTH)?;
        size("/layers", self.layers, MAX_LAYERS)?;
        let train = &self.train;
        size("/train/batch", train.batch, MAX_WIDTH)?;
        size("/train/bptt", train.bptt, MAX_WIDTH)?;
        if train.epochs == 0 {
            return Err(Error::at("/train/epochs", "must be at least 1"));
        }
        if train.max_tokens == Some(0) {
            return Err(Error::at("/train/max_tokens", "must be at least 1"));
        }
        positive("/train/learning_rate", train.learning_rate)?;
        positive("/train/clip", train.clip)?;
        if !(0.0..1.0).contains(&train.dropout) {
            return Err(Error::at("/train/dropout", format!("{} is not in [0, 1)", train.dropout)));
        }
        if !(train.decay.is_finite() && train.decay >= 1.0) {
            return Err(Error::at("/train/decay", format!("{} is not a finite number of at least 1", train.decay)));
        }
        Ok(())
    }
}

fn size(pointer: &str, value: usize, most: usize) -> Result<()> {
    match value {
        0 => Err(Error::at(pointer, "must be at least 1")),
        value if value > most => Err(Error::at(pointer, format!("{value} is more than {most}"))),
        _ => Ok(()),
    }
}

fn positive(pointer: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(Error::at(pointer, format!("{value} is not a positive, finite number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(pointer: &str, json: &str) {
        let options: LstmOptions = serde_json::from_str(json).unwrap();
        assert_eq!(options.validate().unwrap_err().pointer(), pointer, "{json}");
    }

    #[test]
    fn meaningless_values_are_refused_by_name() {
        LstmOptions::default().validate().unwrap();
        refused("/embedding", r#"{"embedding": 0}"#);
        refused("/hidden", r#"{"hidden": 100000000}"#);
        refused("/layers", r#"{"layers": 65}"#);
        for (name, value) in [
            ("epochs", "0"),
            ("batch", "0"),
            ("bptt", "0"),
            ("learning_rate", "0"),
            ("learning_rate", "-1"),
            ("clip", "0"),
            ("dropout", "1"),
            ("dropout", "-0.1"),
            ("decay", "0.5"),
            ("max_tokens", "0"),
        ] {
            refused(&format!("/train/{name}"), &format!(r#"{{"train": {{"{name}": {value}}}}}"#));
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<LstmOptions>(r#"{"train": {"lr": 1}}"#).is_err());
    }
}
