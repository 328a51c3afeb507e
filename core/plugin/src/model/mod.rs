//! Models: a base, and abilities that a model may have.
//!
//! ```text
//! Model ── create, initialize or load, save, describe
//!   ├── as_encode   Encode    documents -> activations, reduced by a record rule
//!   ├── as_predict  Predict   documents -> losses, classes, probabilities
//!   ├── as_train    Train     sessions: begun from text and targets, stepped, saved
//!   ├── as_carry    Carry     a recurrent state that goes from text to text
//!   └── as_extend   Extend    a vocabulary that grows
//! ```

mod encode;
mod predict;
mod train;

use std::any::Any;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Host, Result, Site};

pub use encode::{Block, Emit, Encode, EncodeRequest, Mask, Rule, RuleKind, Sign, SiteRequest};
pub use predict::{Predict, PredictRequest, Score};
pub use train::{Train, TrainReport, TrainRequest};

/// A network at one moment of its training.
///
/// [`Component::create`](crate::Component::create) makes it without weights; `initialize`, `load` or [`Train::begin`] gives it
/// some. `&self` may be called from many threads at once. Whatever it can do beyond the base, it says by giving itself as
/// the trait of that ability; which those are does not change.
pub trait Model: Send + Sync {
    /// What it can be asked for, known before it has weights, so that a pipeline that asks for more is refused before
    /// anything runs.
    fn capabilities(&self) -> Capabilities;
    /// Once it has weights; before, this may fail.
    fn describe(&self) -> Result<ModelDescription>;
    /// New weights, drawn from the seed by [`random`](crate::random).
    fn initialize(&mut self, host: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()>;
    /// The weights of a checkpoint directory (`config.json`, `model.safetensors`).
    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()>;
    /// Writes a checkpoint into a directory that exists. The bytes depend on the weights alone.
    fn save(&self, host: &Host<'_>, directory: &Path) -> Result<()>;

    /// Itself, if it can be read. This and the others [`abilities!`](crate::abilities) writes.
    fn as_encode(&self) -> Option<&dyn Encode> {
        None
    }
    /// Itself, if it predicts.
    fn as_predict(&self) -> Option<&dyn Predict> {
        None
    }
    /// Itself, if it can be trained.
    fn as_train(&self) -> Option<&dyn Train> {
        None
    }
    /// The same, to be trained.
    fn as_train_mut(&mut self) -> Option<&mut dyn Train> {
        None
    }
    /// Itself, if it has a recurrent state.
    fn as_carry(&self) -> Option<&dyn Carry> {
        None
    }
    /// Itself, if its vocabulary can grow.
    fn as_extend(&mut self) -> Option<&mut dyn Extend> {
        None
    }
    /// Whether its vocabulary can grow, known without changing it.
    fn extends(&self) -> bool {
        false
    }
}

/// Says within `impl Model` what a model can do beyond the base: `txray_plugin::abilities!(encode, predict, train, carry);`,
/// those that it has. Each is the trait of that name, which it implements.
#[macro_export]
macro_rules! abilities {
    ($($ability:ident),* $(,)?) => {
        $($crate::abilities!(@ $ability);)*
    };
    (@ encode) => {
        fn as_encode(&self) -> Option<&dyn $crate::Encode> {
            Some(self)
        }
    };
    (@ predict) => {
        fn as_predict(&self) -> Option<&dyn $crate::Predict> {
            Some(self)
        }
    };
    (@ train) => {
        fn as_train(&self) -> Option<&dyn $crate::Train> {
            Some(self)
        }
        fn as_train_mut(&mut self) -> Option<&mut dyn $crate::Train> {
            Some(self)
        }
    };
    (@ extend) => {
        fn as_extend(&mut self) -> Option<&mut dyn $crate::Extend> {
            Some(self)
        }
        fn extends(&self) -> bool {
            true
        }
    };
    (@ carry) => {
        fn as_carry(&self) -> Option<&dyn $crate::Carry> {
            Some(self)
        }
    };
}

/// A recurrent state that goes from text to text. Where it lies is the model's affair: on a device, for instance.
///
/// A state is of the weights that the model has when it is made: it lives on through a session's steps, and is of no use once
/// others are drawn or loaded, nor after a call with it that failed.
pub trait Carry: Send + Sync {
    /// A state that has read nothing, or a copy of one.
    fn state(&self, host: &Host<'_>, from: Option<&Opaque>) -> Result<Opaque>;
}

/// A vocabulary that grows, so that a model is trained on words which it has never seen.
pub trait Extend: Send + Sync {
    /// Makes the vocabulary `vocabulary` tokens long, which is no fewer than it has. What is computed of the others does not change,
    /// bit for bit, but that what a language model expects of the token `like`, one of theirs, is shared among it and the new
    /// ones; each of these begins as it: a text reads as if that stood in its place. Where it fails, the model is as it was.
    fn extend(&mut self, host: &Host<'_>, vocabulary: usize, like: u32) -> Result<()>;
}

/// Something of a component's own that its caller keeps for it, and cannot look into.
pub struct Opaque(Box<dyn Any + Send>);

impl Opaque {
    /// Hides a value.
    pub fn new(value: impl Any + Send) -> Self {
        Self(Box::new(value))
    }

    /// The value.
    ///
    /// # Errors
    /// It is of another component, or of another kind.
    pub fn get<T: Any>(&self) -> Result<&T> {
        self.0.downcast_ref().ok_or_else(foreign)
    }

    /// The value, to be changed.
    ///
    /// # Errors
    /// As of [`Opaque::get`].
    pub fn get_mut<T: Any>(&mut self) -> Result<&mut T> {
        self.0.downcast_mut().ok_or_else(foreign)
    }
}

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opaque")
    }
}

fn foreign() -> Error {
    Error::failed("a state or a session was given that is not of this model")
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

/// What models are trained for, and predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The next token.
    LanguageModel,
    /// A label a document.
    Classification,
    /// A label a token.
    Tagging,
}

/// What a model can be asked for, whatever its weights. What is not there, it does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Capabilities {
    /// What it predicts, and trains for if it trains.
    pub tasks: Vec<Task>,
    /// The record rules that it reduces by.
    pub rules: Vec<RuleKind>,
    /// Whether it reads and predicts under masks.
    pub masks: bool,
    /// Whether it tells its own prediction at each token that it reads.
    pub predictions: bool,
    /// Where it can be read once [`Model::initialize`] has drawn its weights, where its options say that already; none: only the
    /// weights tell. By it, stages that do not compare are found before a model is trained for them.
    pub sites: Vec<Site>,
    /// Of what a plugin of another version said: what is not known here, and so not asked for, such as `rules: below`.
    #[serde(skip_serializing)]
    pub unknown: Vec<String>,
}

impl TryFrom<Map<String, Value>> for Capabilities {
    type Error = serde_json::Error;

    fn try_from(told: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let mut of = Self::default();
        for (key, value) in told {
            match key.as_str() {
                "tasks" => of.tasks = of.known(&key, value)?,
                "rules" => of.rules = of.known(&key, value)?,
                "masks" => of.masks = serde_json::from_value(value)?,
                "predictions" => of.predictions = serde_json::from_value(value)?,
                "sites" => of.sites = serde_json::from_value(value)?,
                _ => of.unknown.push(format!("{key}: {value}")),
            }
        }
        Ok(of)
    }
}

impl Capabilities {
    /// Those of a list that are known here; the others are noted.
    fn known<T: DeserializeOwned>(&mut self, key: &str, list: Value) -> Result<Vec<T>, serde_json::Error> {
        let mut known = Vec::new();
        for value in serde_json::from_value::<Vec<Value>>(list)? {
            let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match serde_json::from_value(value) {
                Ok(value) => known.push(value),
                Err(_) => self.unknown.push(format!("{key}: {word}")),
            }
        }
        Ok(known)
    }
}

/// Those of a list that are known here: a plugin of another version may have others.
fn known<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let all = Vec::<Value>::deserialize(deserializer)?;
    Ok(all.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect())
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
    /// What these weights predict.
    #[serde(default, deserialize_with = "known")]
    pub heads: Vec<Head>,
    /// Indices of the sites that no mask can be of.
    #[serde(default)]
    pub unmaskable: Vec<usize>,
    /// Abilities of its plugin that these weights do not have, and why.
    #[serde(default, deserialize_with = "known")]
    pub lacks: Vec<Lack>,
    /// How many tokens a document has at most; none: any number. It is given no longer one.
    #[serde(default)]
    pub longest_context: Option<usize>,
    /// What happened to its state at document starts in training, where that is known.
    #[serde(default)]
    pub trained_state: Option<State>,
}

impl ModelDescription {
    /// The number of classes of a task, if these weights predict it.
    pub fn classes(&self, task: Task) -> Option<usize> {
        self.heads.iter().find(|head| head.task == task).map(|head| head.classes)
    }

    /// Why these weights do not have an ability of their plugin, where that is so.
    pub fn lacks(&self, ability: Ability) -> Option<&str> {
        self.lacks.iter().find(|lack| lack.ability == ability).map(|lack| lack.why.as_str())
    }
}

/// An ability of a plugin that some weights do not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// The ability.
    pub ability: Ability,
    /// Why, in words that read well after "the model cannot be trained: ".
    pub why: String,
}

/// An ability that not all weights of a plugin have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// [`Train`]: it is trained.
    Train,
    /// [`Carry`]: its state is carried from document to document.
    Carry,
}

/// What a model predicts by a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The task.
    pub task: Task,
    /// How many classes there are: labels; of a language model the tokens of its vocabulary.
    pub classes: usize,
}

/// A text of one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedText {
    /// `[tokens]` token ids.
    pub ids: Vec<u32>,
    /// `[documents + 1]` offsets into `ids`.
    pub offsets: Vec<u64>,
}

impl OwnedText {
    /// The same, lent.
    pub fn text(&self) -> Text<'_> {
        Text { ids: &self.ids, offsets: &self.offsets }
    }
}

impl From<Text<'_>> for OwnedText {
    fn from(text: Text<'_>) -> Self {
        Self { ids: text.ids.to_vec(), offsets: text.offsets.to_vec() }
    }
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
    /// No documents.
    pub const EMPTY: Self = Self { ids: &[], offsets: &[] };

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

    /// The document that is longer than a model reads, and its length, if there is one.
    pub fn too_long(&self, longest: Option<usize>) -> Option<(usize, usize)> {
        let lengths = self.offsets.windows(2).map(|at| (at[1] - at[0]) as usize);
        lengths.enumerate().find(|(_, length)| longest.is_some_and(|longest| *length > longest))
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

/// Documents with what is to be predicted of them.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// The documents.
    pub text: Text<'a>,
    /// `[documents]` or `[tokens]` classes, by the task, [`NULL`](crate::NULL) where there is none; empty for language models,
    /// whose targets are the tokens.
    pub targets: &'a [u32],
}

impl<'a> From<Text<'a>> for Examples<'a> {
    fn from(text: Text<'a>) -> Self {
        Self { text, targets: &[] }
    }
}

impl Examples<'_> {
    /// Holds them to a task of so many classes, and to a vocabulary.
    ///
    /// # Errors
    /// What does not fit, as a thing that was given.
    pub fn fit(&self, task: Task, classes: usize, vocabulary: usize) -> Result<(), String> {
        if !self.text.is_consistent(vocabulary) {
            return Err("a text whose offsets or ids are out of range".to_owned());
        }
        let expected = match task {
            Task::LanguageModel => 0,
            Task::Classification => self.text.len(),
            Task::Tagging => self.text.ids.len(),
        };
        let beyond = |&&target: &&u32| target != crate::NULL && target as usize >= classes;
        if self.targets.len() != expected {
            return Err(format!("{} targets where there are {expected}", self.targets.len()));
        }
        match self.targets.iter().find(beyond) {
            Some(target) => Err(format!("a target of class {target} of {classes}")),
            None => Ok(()),
        }
    }
}
