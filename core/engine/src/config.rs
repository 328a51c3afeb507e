//! A pipeline: one TOML file, checked whole before anything runs.
//!
//! Tables are a graph by name: models are trained on corpora and begin from other models, stages read models over
//! corpora, comparisons hold stages against each other. [`Pipeline::read`] gathers every error of the file, those of
//! plugins' options among them, and gives the graph in an order that can run.

mod check;
mod reference;

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use txray_plugin::State;

use crate::compare::Weighting;
use crate::corpus::{Corpus, Resolver};
use crate::tokens::Vocabulary;

pub use reference::reference;

/// The keys outside any table, and the tables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TopLevel {
    /// Seed of everything random.
    pub seed: u64,
    /// The device that models run on.
    pub device: String,
    /// Dynamic libraries to load: `[plugin.NAME]`.
    pub plugin: Map<String, Value>,
    /// Texts: `[corpus.NAME]`, each with its `kind`.
    pub corpus: Map<String, Value>,
    /// Models to train or to load: `[model.NAME]`.
    pub model: Map<String, Value>,
    /// Models read over corpora: `[stage.NAME]`.
    pub stage: Map<String, Value>,
    /// Stages held against each other: `[comparison.NAME]`.
    pub comparison: Map<String, Value>,
    /// Neurons ranked for pruning: `[pruning.NAME]`.
    pub pruning: Map<String, Value>,
    /// Report sinks by kind: `[report.KIND]`.
    pub report: Map<String, Value>,
}

impl Default for TopLevel {
    fn default() -> Self {
        let [plugin, corpus, model, stage, comparison, pruning, report] = Default::default();
        Self { seed: 1111, device: "cpu".to_owned(), plugin, corpus, model, stage, comparison, pruning, report }
    }
}

/// A library of somebody else's. It runs with your rights.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PluginSection {
    /// The library's file, relative to the config's folder. Default: `libNAME.so` (or as the system has it) in
    /// `--plugin-dir`, in the directories of `TXRAY_PLUGIN_PATH`, or in `txray/plugins` of the user's data directory.
    pub path: Option<PathBuf>,
    /// The SHA-256 that the file must have, in hexadecimal; checked before it is opened.
    pub sha256: Option<String>,
}

/// A model: trained on a corpus, loaded, or begun from another. These keys are those of every model; its kind has others
/// beside them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// The plugin component, such as `"lstm"`. Needed unless `path` or `init` says it.
    pub kind: Option<String>,
    /// A directory with a trained model: `config.json`, `model.safetensors`, `tokenizer.json`; relative to the
    /// config's folder. The model begins from there.
    pub path: Option<PathBuf>,
    /// Another model, or a checkpoint of one (`"lm@1"`), whose weights and vocabulary this one begins from.
    pub init: Option<String>,
    /// Which words the vocabulary learned from the training text has.
    pub vocabulary: Option<Vocabulary>,
    /// What to train for, and on what, such as `{ kind = "language-model", corpus = "wikitext" }`. Without it the model is
    /// not trained.
    pub task: Option<Task>,
    /// Epochs after which a checkpoint is kept, as `NAME@EPOCH`.
    // Taken out of `train`, whose other keys are the plugin's, before the rest is read.
    #[serde(rename = "train.checkpoints")]
    pub checkpoints: Vec<u64>,
}

/// What a model is trained for, such as `{ kind = "language-model", corpus = "wikitext" }`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The task.
    pub kind: TaskKind,
    /// The corpus; its splits `train` and, where there is one, `valid` are used.
    pub corpus: String,
}

/// The tasks that models are trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// To predict the next token.
    LanguageModel,
}

/// A model read over a corpus; or a source of activations from elsewhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSection {
    /// The model, or a checkpoint of one: `"lm@1"`. Needed, with `corpus`, unless there is a `source`.
    pub model: Option<String>,
    /// The split of a corpus: `"wikitext.valid"`.
    pub corpus: Option<String>,
    /// A plugin that has the activations already: its name, or a table of its `kind` and options. It brings its own
    /// layers and its own record rule.
    pub source: Option<Value>,
    /// The layers of features that neurons can prefer: `token` (the vocabulary's form), `word` (the surface form),
    /// and those that the corpus has, such as `pos` and `label`. Default: `["token"]`.
    pub layers: Option<Vec<String>>,
    /// Which activations count. Default: `"max-1"`.
    pub record: Option<Record>,
    /// What happens to a recurrent state where a document begins. Default: as the model was trained, where that is
    /// known, else `"reset"`.
    pub state: Option<State>,
}

/// Which activations count: `record = "max-1"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// At each token the one most active neuron of each site: the paper's rule.
    #[default]
    #[serde(rename = "max-1")]
    Max1,
}

impl Record {
    /// How many neurons it keeps of a token at a site.
    pub fn k(self) -> usize {
        match self {
            Self::Max1 => 1,
        }
    }
}

/// Two stages held against each other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparisonSection {
    /// The earlier stage.
    pub from: String,
    /// The later stage.
    pub to: String,
    /// The layers compared. Default: those that both stages have.
    pub layers: Option<Vec<String>>,
    /// What preferences are weighted by before they are made to sum to 1.
    #[serde(default)]
    pub weighting: Weighting,
    /// Features observed less often than this, both stages pooled, are left out; the mass they take along is told.
    #[serde(default = "one")]
    pub min_count: u64,
    /// The distances: names, or tables of a `kind` and its options.
    #[serde(default = "hellinger")]
    pub metrics: Vec<Value>,
}

fn one() -> u64 {
    1
}

fn hellinger() -> Vec<Value> {
    vec!["hellinger".into()]
}

/// The neurons of a comparison, ranked by a pruner: which would go first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PruningSection {
    /// The comparison whose neurons are scored, by what it and its two stages tell of them.
    pub comparison: String,
    /// The plugin that scores: its name, or a table of its `kind` and options.
    pub pruner: Value,
}

/// A pipeline that was checked: every name leads somewhere, every option was taken.
pub struct Pipeline {
    /// Its name: the stem of its file.
    pub name: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The device that models run on.
    pub device: String,
    /// Where relative paths are looked for.
    pub resolver: Resolver,
    /// The tables of the file, with every default in its place.
    pub settings: Value,
    /// By name.
    pub corpora: IndexMap<String, Box<dyn Corpus>>,
    /// By name, each after the one it begins from.
    pub models: IndexMap<String, Model>,
    /// By name.
    pub stages: IndexMap<String, Stage>,
    /// By name.
    pub comparisons: IndexMap<String, Comparison>,
    /// By name.
    pub prunings: IndexMap<String, Pruning>,
    /// By kind: options of report sinks.
    pub reports: Map<String, Value>,
}

/// A model of a pipeline.
#[derive(Clone, Debug)]
pub struct Model {
    /// The plugin component.
    pub kind: String,
    /// Its options.
    pub options: Value,
    /// Where its weights come from.
    pub origin: ModelOrigin,
    /// What it is trained for; none: it is read as it comes.
    pub task: Option<Task>,
    /// Epochs after which a checkpoint is kept.
    pub checkpoints: Vec<u64>,
}

/// Where the weights of a model come from.
#[derive(Clone, Debug)]
pub enum ModelOrigin {
    /// Drawn from the seed; the vocabulary is learned.
    New(Vocabulary),
    /// Read from a directory.
    Directory(PathBuf),
    /// Those of another model of the pipeline.
    Init(ModelRef),
}

/// A model of the pipeline, or a checkpoint of one: `lm`, `lm@1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The model's name.
    pub name: String,
    /// The epoch of the checkpoint; none: after the last.
    pub epoch: Option<u64>,
}

impl std::fmt::Display for ModelRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.epoch {
            Some(epoch) => write!(f, "{}@{epoch}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A split of a corpus of the pipeline: `wikitext.valid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SplitRef {
    /// The corpus.
    pub corpus: String,
    /// The split.
    pub split: String,
}

impl std::fmt::Display for SplitRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.corpus, self.split)
    }
}

/// A stage of a pipeline.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What is read.
    pub of: StageOf,
    /// The layers of features.
    pub layers: Vec<String>,
}

/// What a stage reads.
#[derive(Clone, Debug)]
pub enum StageOf {
    /// A model over a text.
    Model {
        /// The model.
        model: ModelRef,
        /// The text.
        text: SplitRef,
        /// Which activations count.
        record: Record,
        /// What happens to the state at document starts, if the stage says so.
        state: Option<State>,
    },
    /// Activations that a plugin has.
    Source(Component),
}

/// A comparison of a pipeline.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The earlier stage.
    pub from: String,
    /// The later stage.
    pub to: String,
    /// How.
    pub settings: crate::compare::Settings,
    /// The distances; each has a column of its kind's name.
    pub metrics: Vec<Component>,
}

/// A pruning of a pipeline.
#[derive(Clone, Debug)]
pub struct Pruning {
    /// The comparison.
    pub comparison: String,
    /// Who scores.
    pub pruner: Component,
}

/// A plugin component that a table names, and its options, defaults among them.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its kind.
    pub kind: String,
    /// Its options. Those that are paths (`"format": "path"` in their schema) are resolved.
    pub options: Value,
    /// The files that its options name, by option. What it gives depends on their bytes.
    pub files: Vec<(String, PathBuf)>,
}

impl Pipeline {
    /// The splits that a run reads, each once: for training, then for stages.
    pub fn texts(&self) -> Vec<SplitRef> {
        let mut texts: indexmap::IndexSet<SplitRef> = indexmap::IndexSet::new();
        for task in self.models.values().filter_map(|model| model.task.as_ref()) {
            let splits = self.corpora[&task.corpus].splits();
            let used = ["train", "valid"].into_iter().filter(|split| splits.iter().any(|s| s == split));
            texts.extend(used.map(|split| SplitRef { corpus: task.corpus.clone(), split: split.to_owned() }));
        }
        texts.extend(self.stages.values().filter_map(|stage| match &stage.of {
            StageOf::Model { text, .. } => Some(text.clone()),
            StageOf::Source(_) => None,
        }));
        texts.into_iter().collect()
    }
}
