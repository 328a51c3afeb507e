//! What a pipeline may say about an LSTM. The doc comments are the config reference.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::{Error, Result, State, Task};

use crate::class_weights::ClassWeights;
use crate::labels::Pooling;
use crate::memory;
use crate::weights::{CLASSIFIER, CLASSIFIER_BIAS, Cell, ENCODER, MAX_LAYERS, MAX_WIDTH, Sizes};

/// An LSTM: its sizes, and how it is trained, as a language model or for labels of documents or tokens.
///
/// A model loaded from a checkpoint takes its sizes from there.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LstmOptions {
    /// Values in a word's embedding.
    pub embedding: usize,
    /// Neurons in each layer.
    pub hidden: usize,
    /// Depth of the network: recurrent layers, one above the other. (A stage's `layers` are kinds of features.)
    pub layers: usize,
    /// What a layer is made of: `lstm` or `gru`. It names the sites: `lstm.0.hidden`, `gru.0.hidden`.
    pub cell: Cell,
    /// Whether the decoder's weights are the embeddings, which must then be as wide as a layer.
    pub tied: bool,
    /// Whether the cell state of every LSTM layer is a site, too: `lstm.0.cell`.
    pub cell_sites: bool,
    /// Memory for the first layer's input by token id, in MiB. Where a text has more distinct tokens than fit, that
    /// input is made at each step: slower, with the same results.
    pub input_table: usize,
    /// Whether it runs on kernels of its own, made for CPUs. Without them it is the plain network of candle-nn, which is what
    /// they are held to: the same within rounding, and many times slower. In a training of many steps rounding grows, and may end in
    /// other weights.
    pub fast: bool,
    /// What it is trained for, beside the kind of the task and its corpus.
    pub task: HeadOptions,
    /// How it is trained.
    pub train: TrainOptions,
}

/// The head of a task.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeadOptions {
    /// What of the last layer's outputs a classifier of documents reads: `last`, `mean`, `max`, or `concat`, which is all three side by
    /// side. A model that begins with a classifier is trained on where its pooling and its number of labels are these; else it is given
    /// a new one.
    pub pooling: Pooling,
}

impl Default for LstmOptions {
    fn default() -> Self {
        Self {
            embedding: 200,
            hidden: 200,
            layers: 1,
            cell: Cell::Lstm,
            tied: false,
            cell_sites: false,
            task: HeadOptions::default(),
            input_table: 1024,
            fast: true,
            train: TrainOptions::default(),
        }
    }
}

/// How a model is trained: a language model by truncated backpropagation through time; for labels of documents or tokens by whole
/// documents, those of like length side by side, each from an empty state.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// Passes over the training text. Run again with more, a training goes on from where it ended, unless the schedule
    /// runs over all of them.
    #[schemars(extend("format" = "epochs"))]
    pub epochs: u64,
    /// What is read side by side: streams that the text of a language model is cut into; for labels the documents of a step.
    pub batch: usize,
    /// Tokens of each stream in a step of a language model; gradients go back no further. For labels they go back through the
    /// whole document.
    pub bptt: usize,
    /// How gradients change the weights: `sgd`, `adam` or `adamw`. Without it `sgd` for language models, and `adam` for labels.
    pub optimizer: Option<Optimizer>,
    /// Step size; without it 20 for `sgd`, as the authors trained, and 0.001 for the others.
    pub learning_rate: Option<f64>,
    /// Gradients are scaled down to this norm.
    pub clip: f64,
    /// Share of the values set to zero in training: of embeddings, between layers, and of outputs (of pooled ones, where a
    /// classifier reads these).
    pub dropout: f64,
    /// How the step size goes on: `plateau` divides it by `decay` after an epoch in which the validation loss did not
    /// improve, `constant` keeps it, `linear` and `cosine` bring it to zero over all epochs.
    pub schedule: Schedule,
    /// What `plateau` divides the step size by.
    pub decay: f64,
    /// Optimizer steps in which the step size rises from zero.
    pub warmup: u64,
    /// Training ends after this many epochs in a row in which the validation loss did not improve. Trained for labels, a model then
    /// has, whenever its training ends, the weights of the epoch with the least validation loss; a language model has the last.
    pub patience: Option<u64>,
    /// Decay of the means that `adam` and `adamw` take of the gradient and of its square.
    pub betas: [f64; 2],
    /// What `adam` and `adamw` add to the root of the squares' mean.
    pub epsilon: f64,
    /// `adamw` shrinks weights by this share of the step size at each step.
    pub weight_decay: f64,
    /// The training text of a language model is cut after this many tokens.
    pub max_tokens: Option<u64>,
    /// For labels: documents to train on are cut after this many tokens; how much that leaves out, the log tells. Validation and
    /// predictions read whole documents.
    pub max_length: Option<usize>,
    /// For labels: whether the embeddings stay as they are.
    pub freeze_embedding: bool,
    /// For labels: whether embeddings and layers stay as they are, and only the head is trained. Each document is then read once,
    /// whatever the number of epochs, and dropout is of what the head reads alone.
    pub freeze_encoder: bool,
    /// For labels: how much each counts in the training loss, a list in their order, or `"balanced"`, which is in inverse
    /// proportion to how often it occurs (all / (labels * its own), as scikit-learn has it). Without it all count the same. Validation
    /// losses and predictions know no such weights.
    pub class_weights: Option<ClassWeights>,
    /// What happens to the state where a document begins: `reset` clears it, `carry` keeps it, as is usual in PyTorch.
    pub state: State,
}

/// How gradients change the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Stochastic gradient descent.
    #[default]
    Sgd,
    /// Adam (Kingma and Ba 2015).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw,
}

/// How the step size goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Divided after an epoch in which the validation loss did not improve.
    #[default]
    Plateau,
    /// The same at every step.
    Constant,
    /// In a straight line to zero.
    Linear,
    /// Along half a cosine to zero.
    Cosine,
}

impl Schedule {
    /// Whether it depends on how many epochs there are.
    pub(crate) fn has_end(self) -> bool {
        matches!(self, Self::Linear | Self::Cosine)
    }
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 20,
            bptt: 35,
            optimizer: None,
            learning_rate: None,
            clip: 0.25,
            dropout: 0.2,
            schedule: Schedule::Plateau,
            decay: 4.0,
            warmup: 0,
            patience: None,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_tokens: None,
            max_length: None,
            freeze_embedding: false,
            freeze_encoder: false,
            class_weights: None,
            state: State::Reset,
        }
    }
}

impl TrainOptions {
    pub(crate) fn learning_rate(&self) -> f64 {
        self.learning_rate.unwrap_or(if self.optimizer() == Optimizer::Sgd { 20.0 } else { 1e-3 })
    }

    pub(crate) fn optimizer(&self) -> Optimizer {
        self.optimizer.unwrap_or_default()
    }

    /// The same, with what a task goes without saying.
    ///
    /// # Errors
    /// Something is said that this task does not have.
    pub(crate) fn of_task(&self, task: Task) -> Result<Self> {
        let of_labels = task != Task::LanguageModel;
        let beyond = [
            (
                "max_tokens",
                of_labels && self.max_tokens.is_some(),
                "is of language models: `max_length` cuts documents",
            ),
            ("max_length", !of_labels && self.max_length.is_some(), "is of labels: `max_tokens` cuts the text"),
            (
                "freeze_embedding",
                !of_labels && self.freeze_embedding,
                "is of labels: a language model is trained whole",
            ),
            ("freeze_encoder", !of_labels && self.freeze_encoder, "is of labels: a language model is trained whole"),
            (
                "class_weights",
                !of_labels && self.class_weights.is_some(),
                "is of labels, which a language model has not",
            ),
        ];
        if let Some((name, _, why)) = beyond.into_iter().find(|(_, is_said, _)| *is_said) {
            return Err(Error::at(format!("/train/{name}"), why));
        }
        let usual = if of_labels { Optimizer::Adam } else { Optimizer::Sgd };
        Ok(Self { optimizer: Some(self.optimizer.unwrap_or(usual)), ..self.clone() })
    }

    /// Whether a tensor is changed.
    pub(crate) fn trains(&self, tensor: &str) -> bool {
        match self.freeze_encoder {
            true => [CLASSIFIER, CLASSIFIER_BIAS].contains(&tensor),
            false => !(self.freeze_embedding && tensor == ENCODER),
        }
    }

    /// What the schedule multiplies the step size by. `step` counts from the beginning of training, from 0.
    pub(crate) fn factor(&self, step: u64, steps_of_an_epoch: u64) -> f64 {
        let warm = if step < self.warmup { (step + 1) as f64 / self.warmup as f64 } else { 1.0 };
        let share = step as f64 / (self.epochs as f64 * steps_of_an_epoch as f64).max(1.0);
        warm * match self.schedule {
            Schedule::Plateau | Schedule::Constant => 1.0,
            Schedule::Linear => (1.0 - share).max(0.0),
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos()),
        }
    }
}

impl LstmOptions {
    /// Refuses values that no network or training can have, with a pointer to the option.
    pub(crate) fn validate(&self) -> Result<()> {
        size("/embedding", self.embedding, MAX_WIDTH)?;
        size("/hidden", self.hidden, MAX_WIDTH)?;
        size("/layers", self.layers, MAX_LAYERS)?;
        if self.tied && self.embedding != self.hidden {
            let Self { embedding, hidden, .. } = self;
            return Err(Error::at(
                "/tied",
                format!("needs embeddings as wide as a layer, not {embedding} values and {hidden} neurons"),
            ));
        }
        let Self { embedding, hidden, layers, cell, tied, .. } = *self;
        // Whatever the vocabulary comes to.
        let sizes = Sizes { vocabulary: 1, embedding, hidden, layers, cell, tied, ..Sizes::default() };
        let what = format!("{hidden} neurons in each of {layers} layers: that");
        memory::check("/hidden", &what, sizes.bytes())?;
        let train = &self.train;
        size("/train/batch", train.batch, MAX_WIDTH)?;
        size("/train/bptt", train.bptt, MAX_WIDTH)?;
        if train.epochs == 0 {
            return Err(Error::at("/train/epochs", "must be at least 1"));
        }
        if train.max_tokens == Some(0) {
            return Err(Error::at("/train/max_tokens", "must be at least 1"));
        }
        if train.max_length == Some(0) {
            return Err(Error::at("/train/max_length", "must be at least 1"));
        }
        train.class_weights.as_ref().map_or(Ok(()), ClassWeights::validate)?;
        if train.patience == Some(0) {
            return Err(Error::at("/train/patience", "must be at least 1"));
        }
        positive("/train/learning_rate", train.learning_rate())?;
        positive("/train/epsilon", train.epsilon)?;
        for (k, beta) in train.betas.iter().enumerate() {
            if !(0.0..1.0).contains(beta) {
                return Err(Error::at(format!("/train/betas/{k}"), format!("{beta} is not in [0, 1)")));
            }
        }
        if !(0.0..=1.0).contains(&train.weight_decay) {
            return Err(Error::at("/train/weight_decay", format!("{} is not in [0, 1]", train.weight_decay)));
        }
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
        refused("/layers", r#"{"layers": 1000000}"#);
        refused("/embedding", r#"{"embedding": 1000000000}"#);
        refused("/train/batch", r#"{"train": {"batch": 1000000000000}}"#);
        refused("/train/bptt", r#"{"train": {"bptt": 18446744073709551615}}"#);
        // Each of them could be, but not all: 8.8 TB.
        refused("/hidden", r#"{"hidden": 65536, "embedding": 65536, "layers": 64}"#);
        refused("/tied", r#"{"tied": true, "embedding": 3}"#);
        refused("/train/class_weights/1", r#"{"train": {"class_weights": [1, -0.5]}}"#);
        refused("/train/betas/1", r#"{"train": {"betas": [0.9, 1.0]}}"#);
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
            ("patience", "0"),
            ("epsilon", "0"),
            ("weight_decay", "-1"),
            ("max_length", "0"),
        ] {
            refused(&format!("/train/{name}"), &format!(r#"{{"train": {{"{name}": {value}}}}}"#));
        }
    }

    #[test]
    fn schedules_run_from_the_whole_rate_to_none() {
        let of = |schedule, warmup| TrainOptions { epochs: 2, schedule, warmup, ..TrainOptions::default() };
        let factors = |options: &TrainOptions| [0, 5, 10, 15].map(|step| options.factor(step, 10));
        assert_eq!(factors(&of(Schedule::Constant, 0)), [1.0; 4]);
        assert_eq!(factors(&of(Schedule::Linear, 0)), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(factors(&of(Schedule::Plateau, 10)), [0.1, 0.6, 1.0, 1.0]);
        // More steps than can be counted are no overflow.
        let endless = TrainOptions { epochs: u64::MAX, schedule: Schedule::Linear, ..TrainOptions::default() };
        assert_eq!(endless.factor(7, u64::MAX), 1.0);
        let cosine = factors(&of(Schedule::Cosine, 0));
        for (found, expected) in cosine.into_iter().zip([1.0, 0.5 + 0.125_f64.sqrt(), 0.5, 0.5 - 0.125_f64.sqrt()]) {
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<LstmOptions>(r#"{"train": {"lr": 1}}"#).is_err());
    }
}
