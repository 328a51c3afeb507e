//! `[model.NAME]`: a model that is trained, loaded, or begun from another.

mod kin;
mod kinds;
mod looking;
mod task;
mod training;
mod vocabulary;

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use txray_config::{Name, child, of_format};
use txray_plugin::{Ability, Model as PluginModel, ModelDescription, Site, State, Task, abi};
use txray_text::{Labels, Tokenizer, Vocabulary, unseen};

use super::corpus::Text;
use crate::check::{Check, Section, merge};
use crate::component::Component;
use crate::error::{Error, Result};
use crate::form::Form;
use crate::inputs::Hashes;
use crate::out::{OutPath, Publication};
use crate::step::{Made, Making, OWN, Step};
use crate::step_name::StepName;
use crate::store::{Entry, Record};
use kinds::kind_of_directory;
use looking::{look, try_out};
use task::{Lesson, TaskKeys};
use training::{Begin, Beside, END, LAST, Training, checkpoint, load};
use vocabulary::{Extension, VocabularyKeys};

pub use kin::Kin;
pub use kinds::Abilities;
pub use task::TaskKind;
pub use training::ModelFigures;

/// The folder of models in the out directory.
const FOLDER: &str = "models";

/// The format that a model's schema gives the option which says how many epochs it is trained for. Of two trainings that
/// differ in this option alone, the one of more epochs may go on from the end of the other.
const EPOCHS: &str = "epochs";

/// The options of a model that say how it is trained.
const TRAIN: &str = "train";

/// The options of a model that say what it is trained for, beside the engine's own.
const TASK: &str = "task";

/// A model: trained on a corpus, loaded, or begun from another. These keys are those of every model; its kind has others
/// beside them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    /// The plugin component, such as `"lstm"`. Needed unless `path` or `init` says it.
    kind: Option<String>,
    /// A directory with a trained model, as `docs/checkpoints.md` tells of them: weights and `tokenizer.json`; relative to the
    /// config's folder. The model begins from there.
    path: Option<PathBuf>,
    /// Another model, or a checkpoint of one (`"lm@1"`), whose weights and vocabulary this one begins from. Of the options it
    /// has those of the other where it says nothing else, if it is of the same kind; those of `train` are its own.
    init: Option<String>,
    /// Which words the vocabulary learned from the training text has; of a model that begins from another, `"extend"` or a table with
    /// `extend`: the words of a text are added to the other's vocabulary.
    vocabulary: Option<VocabularyKeys>,
    // What to train for, and on what. Without it the model is not trained.
    task: Option<TaskKeys>,
    /// The seeds that it is trained with, once each: the model is that of the first, and those of the others are its replicates, as
    /// `NAME#SEED`. Its stages are read once a replicate, and comparisons of these tell what training again changes. Default: the
    /// pipeline's seed alone.
    seeds: Option<Vec<u64>>,
    /// Epochs after which a checkpoint is kept, as `NAME@EPOCH`.
    // Taken out of `train`, whose other keys are the plugin's, before the rest is read.
    #[serde(rename = "train.checkpoints")]
    checkpoints: Vec<u64>,
}

/// A model of a pipeline.
#[derive(Clone)]
pub struct Model {
    /// Its name.
    pub name: StepName,
    /// What it is, and its options.
    plugin: Component,
    /// What that can do.
    pub abilities: Abilities,
    /// Where among the options the number of epochs is, as a JSON pointer, if the plugin's schema says so.
    epochs: Option<String>,
    /// Where its weights come from.
    origin: Origin,
    /// What the weights in a directory are that it begins from, where it does.
    described: Option<ModelDescription>,
    /// What it is trained for; none: it is read as it comes.
    task: Option<Lesson>,
    /// The words that are added to the vocabulary that it begins with.
    extension: Option<Extension>,
    /// Epochs after which a checkpoint is kept.
    checkpoints: Vec<u64>,
    seed: u64,
    device: String,
    /// The same, trained with other seeds.
    pub replicates: Vec<Arc<Model>>,
}

/// Where the weights of a model come from.
#[derive(Clone)]
enum Origin {
    /// Drawn from the seed; the vocabulary is learned.
    New(Vocabulary),
    /// Read from a directory.
    Directory(PathBuf),
    /// Those of another model of the pipeline.
    Init(ModelRef),
}

/// A model of the pipeline, a replicate or a checkpoint of one: `lm`, `lm#2`, `lm@1`, `lm#2@1`.
#[derive(Clone)]
pub struct ModelRef {
    /// The model.
    pub model: Arc<Model>,
    /// The epoch of the checkpoint; none: after the last.
    pub epoch: Option<u64>,
    /// Whether the last weights stand for a checkpoint that training stopped before.
    pub or_last: bool,
}

impl std::fmt::Display for ModelRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.model.name;
        self.epoch.map_or_else(|| name.clone(), |epoch| name.at(epoch)).fmt(f)
    }
}

impl ModelRef {
    /// The model, or the checkpoint of one, that `text`, the value at `pointer`, names.
    pub fn find(check: &mut Check<'_>, pointer: &str, text: &str) -> Option<Self> {
        let (name, epoch) = match text.rsplit_once('@') {
            None => (text, None),
            Some((name, epoch)) => match epoch.parse() {
                Ok(epoch) => (name, Some(epoch)),
                Err(_) => {
                    check.error(pointer, format!("`{epoch}` is no epoch: write NAME@EPOCH, such as `{name}@1`"));
                    return None;
                }
            },
        };
        let (base, replicate) = match name.split_once('#') {
            None => (name, None),
            Some((base, seed)) => (base, Some(seed)),
        };
        let mut model = check.find::<Model>(pointer, base)?;
        if let Some(seed) = replicate {
            model = model.replicate(check, pointer, seed)?;
        }
        if let Some(epoch) = epoch.filter(|epoch| !model.checkpoints.contains(epoch)) {
            let help = format!("set `train.checkpoints = [{epoch}]` in [model.{base}]");
            check.error_with_help(pointer, format!("`{name}` keeps no checkpoint of epoch {epoch}"), help);
            return None;
        }
        Some(Self { model, epoch, or_last: false })
    }

    /// The checkpoints of the model in their order, each with its number; the last weights last, unless they are one of these.
    pub fn checkpoints(&self) -> Vec<(u64, Self)> {
        let mut epochs = self.model.checkpoints.clone();
        epochs.sort_unstable();
        let trained = self.model.epochs.as_ref().and_then(|at| self.model.plugin.options.pointer(at)?.as_u64());
        let of = |epoch| Self { model: Arc::clone(&self.model), epoch, or_last: true };
        let last = epochs.last().copied();
        let mut all: Vec<(u64, Self)> = epochs.into_iter().map(|epoch| (epoch, of(Some(epoch)))).collect();
        if last != trained || last.is_none() {
            all.push((trained.unwrap_or(last.unwrap_or(0) + 1), of(None)));
        }
        all
    }

    /// The epoch that it was kept after, where it was trained here.
    pub fn trained(&self, making: &Making<'_>) -> Result<Option<u64>> {
        match (self.epoch, self.model.is_trained()) {
            (None, true) => Ok(Some(making.figures::<ModelFigures>(&*self.model)?.epochs)),
            (Some(epoch), true) => Ok(Some(epoch.min(making.figures::<ModelFigures>(&*self.model)?.epochs))),
            (epoch, false) => Ok(epoch),
        }
    }

    /// Where its weights lie.
    pub fn weights(&self, making: &Making<'_>) -> Result<PathBuf> {
        if !self.model.is_made() {
            return match &self.model.origin {
                Origin::Directory(path) => Ok(path.clone()),
                Origin::Init(to) => to.weights(making),
                Origin::New(_) => Err(Error::from(txray_plugin::Error::failed("a new model has to be trained"))),
            };
        }
        let path = making.input(&*self.model)?;
        let Some(epoch) = self.epoch else { return Ok(path.join(LAST)) };
        let last = making.figures::<ModelFigures>(&*self.model)?.epochs;
        match (epoch > last, self.or_last) {
            (false, _) => Ok(path.join(checkpoint(epoch))),
            (true, true) => Ok(path.join(LAST)),
            (true, false) => Err(Error::NoCheckpoint { epoch, last }),
        }
    }

    /// Loads it, with what lies beside its weights.
    pub fn load(&self, making: &Making<'_>) -> Result<Loaded> {
        let mut model = self.model.create(making)?;
        let weights = self.weights(making)?;
        let (tokenizer, description) = load(&mut *model, &weights, making.host, making.inputs)?;
        Ok(Loaded { model, tokenizer, description, labels: Labels::load(&weights, making.inputs)? })
    }

    /// The replicates of the model, each with its seed, at the same epoch.
    pub fn replicates(&self) -> Vec<(u64, Self)> {
        let of = |model: &Arc<Model>| Some((model.name.replicate?, Self { model: Arc::clone(model), ..self.clone() }));
        self.model.replicates.iter().filter_map(of).collect()
    }
}

/// A model that is loaded.
pub struct Loaded {
    /// It.
    pub model: Box<dyn PluginModel>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What it is.
    pub description: ModelDescription,
    /// What its labels are called, where that is known.
    pub labels: Option<Labels>,
}

impl Section for Model {
    const TABLE: &'static str = "model";
    const PLURAL: &'static str = "models";
    const ABOUT: &'static str = "Models to train or to load: `[model.NAME]`.";
    const CIRCLE: &'static str = "these models begin from each other";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let Some(Value::Object(mut table)) = check.document.value().pointer(pointer).cloned() else {
            check.error(pointer, "expected a table");
            return None;
        };
        let before = check.diagnostics.len();
        // The engine's keys apart from the plugin's. `checkpoints` stands in `train` with the plugin's, because that
        // is where a reader looks for it, but saving is the engine's affair.
        let mut own = Map::new();
        for key in ["kind", "path", "init", "vocabulary", "task", "seeds"] {
            own.extend(table.shift_remove(key).map(|value| (key.to_owned(), value)));
        }
        let train = table.get_mut(TRAIN).and_then(Value::as_object_mut);
        let checkpoints = train.and_then(|train| train.shift_remove("checkpoints"));
        // So do the keys of `task`: what is not of the engine says how the plugin is to do it.
        if let Some(task) = own.get_mut(TASK).and_then(Value::as_object_mut) {
            let (of_engine, of_plugin): (Map<String, Value>, Map<String, Value>) =
                std::mem::take(task).into_iter().partition(|(key, _)| TaskKeys::OWN.contains(&&**key));
            *task = of_engine;
            if !of_plugin.is_empty() {
                table.insert(TASK.to_owned(), Value::Object(of_plugin));
            }
        }
        let keys: Keys = check.read_value(pointer, Value::Object(own))?;
        let checkpoints = read_checkpoints(check, pointer, checkpoints);
        let mut options = Value::Object(table);

        let origin = match (&keys.path, &keys.init) {
            (Some(_), Some(_)) => {
                check.error(&child(pointer, "init"), "a model begins from `path` or from `init`, not from both");
                return None;
            }
            (Some(path), None) => Some(Origin::Directory(check.resolver.config.join(path))),
            (None, Some(init)) => ModelRef::find(check, &child(pointer, "init"), init).map(Origin::Init),
            (None, None) => {
                let vocabulary = keys.vocabulary.as_ref();
                Some(Origin::New(VocabularyKeys::learned(vocabulary, check, &child(pointer, "vocabulary"))))
            }
        };
        let is_new = keys.path.is_none() && keys.init.is_none();
        if is_new && keys.task.is_none() {
            let help = "say what it learns, `task = { kind = \"language-model\", corpus = \"...\" }`, or where its weights are, \
                        `path = \"...\"` or `init = \"...\"`";
            check.error_with_help(pointer, "missing key `task`: a new model has to be trained", help);
        }
        if keys.task.is_none() && !checkpoints.is_empty() {
            let message = "this model is not trained: it has no `task`";
            check.error(&format!("{pointer}/train/checkpoints"), message);
        }
        if let Some(seeds) = &keys.seeds {
            kin::check_seeds(check, pointer, seeds, keys.task.is_some());
        }
        let task = keys.task.as_ref().and_then(|task| Lesson::check(check, &child(pointer, TASK), task));
        let is_extended = !is_new && keys.vocabulary.is_some() && (task.is_some() || keys.task.is_none());
        let extension = keys.vocabulary.as_ref().filter(|_| is_extended);
        let extension = extension.and_then(|keys| keys.extension(check, &child(pointer, "vocabulary"), task.as_ref()));
        let (kind, place) = kind_of(check, pointer, &keys, origin.as_ref())?;
        let mut files = check.paths(abi::MODEL, pointer, &kind, &mut options)?;
        let given: Vec<String> = options.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        let from = origin.as_ref().and_then(Origin::model);
        let inherited = inherited(from, &kind);
        let is_inherited =
            |file: &&(String, PathBuf)| inherited.pointer(&file.0).is_some() && options.pointer(&file.0).is_none();
        files.extend(from.into_iter().flat_map(|from| &from.plugin.files).filter(is_inherited).cloned());
        let mut all = options.clone();
        merge(&mut all, &inherited);
        let abilities = OnceCell::new();
        let taken = check.component(abi::MODEL, pointer, Some(&place), &kind, &all, |registry, options, host| {
            let model = registry.model(&kind, options, host)?;
            // Set once: it is made until it takes its options, and then no more.
            let _ = abilities.set(Abilities::of(&*model));
            Ok(())
        });
        let abilities = abilities.into_inner();
        if let (Some(abilities), Some(task)) = (&abilities, &keys.task) {
            abilities.check_task(check, &child(pointer, TASK), &kind, task.kind);
        }
        if let (Some(abilities), Some(_)) = (&abilities, &extension)
            && !abilities.extend
        {
            check.error(&child(pointer, "vocabulary"), format!("the vocabulary of `{kind}` cannot be extended"));
        }
        // One that begins from another has its sizes from there.
        let mut options = check.complete(abi::MODEL, pointer, &kind, &options, |key| is_new || key == TRAIN);
        merge(&mut options, &inherited);
        let schema = check.registry.find(abi::MODEL, &kind).ok().map(|(_, component)| component.options.clone());
        let epochs = schema.and_then(|schema| of_format(&schema, EPOCHS).into_iter().next());
        let trained = epochs.as_ref().and_then(|epochs| options.pointer(epochs)).and_then(Value::as_u64);
        // No checkpoint can be of an epoch that training never comes to: found here, not after hours of it.
        for (index, epoch) in checkpoints.iter().enumerate() {
            if let Some(trained) = trained.filter(|trained| !(1..=*trained).contains(epoch)) {
                let message = format!("there is no epoch {epoch}: training has {trained}");
                check.error(&format!("{pointer}/train/checkpoints/{index}"), message);
            }
        }
        let (seed, device) = (check.seed, check.device.clone());
        let name = StepName::from(name);
        let plugin = Component { interface: abi::MODEL, kind, options, files };
        let mut model = Self {
            name,
            plugin,
            abilities: abilities?,
            epochs,
            origin: origin?,
            described: None,
            task,
            extension,
            checkpoints,
            seed,
            device,
            replicates: Vec::new(),
        };
        if !taken {
            return None;
        }
        model.look(check, pointer)?;
        for key in given.iter().filter(|key| ![TRAIN, TASK].contains(&&***key)) {
            model.check_option(check, pointer, key);
        }
        // A head over labels is made where there is none; one over the vocabulary is learned with the weights.
        let lacks_head = |described: &ModelDescription| described.classes(Task::LanguageModel).is_none();
        let begins_with_labels = || model.origin.model().and_then(Self::labels_of).is_some();
        if keys.task.as_ref().is_some_and(|task| !task.kind.has_labels())
            && (model.described.as_ref().is_some_and(lacks_head) || begins_with_labels())
        {
            let message = format!("the weights that `{}` begins from do not predict the next token", model.name);
            let help = "they can be read: leave out `task`, or begin from weights that predict";
            check.error_with_help(&format!("{pointer}/task/kind"), message, help);
        }
        if let (Some(_), Some(why)) = (&keys.task, model.lacks(Ability::Train)) {
            let message = format!("the weights that `{}` begins from cannot be trained: {why}", model.name);
            check.error_with_help(&child(pointer, "task"), message, "they can be read: leave out `task`");
        }
        let is_good = check.diagnostics.len() == before && model.task.is_some() == keys.task.is_some();
        is_good.then(|| model.with_seeds(keys.seeds.as_deref().unwrap_or_default()))
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        [self].into_iter().chain(&self.replicates).map(|model| Arc::clone(model) as _).collect()
    }

    fn form() -> Form {
        Form::of::<Keys>().with_shared(TASK).with_kinds(abi::MODEL)
    }
}

/// The options that a model of this kind has from the one that it begins from, where it does: all but those of training. Another
/// kind has others.
fn inherited(from: Option<&Model>, kind: &str) -> Value {
    from.filter(|from| from.plugin.kind == kind).map_or(json!({}), |from| without(&from.plugin.options, TRAIN))
}

/// Options less one.
fn without(options: &Value, key: &str) -> Value {
    let mut rest = options.clone();
    if let Value::Object(rest) = &mut rest {
        rest.shift_remove(key);
    }
    rest
}

/// The plugin component of a model, and the place that says so.
fn kind_of(check: &mut Check<'_>, pointer: &str, keys: &Keys, origin: Option<&Origin>) -> Option<(String, String)> {
    if let Some(Origin::Directory(path)) = origin
        && !path.is_dir()
    {
        let (at, message) = (child(pointer, "path"), format!("there is no folder {}", path.display()));
        match unseen(path) {
            Some(help) => check.error_with_help(&at, message, help),
            None => check.error(&at, message),
        }
        return None;
    }
    if let Some(kind) = &keys.kind {
        return Some((kind.clone(), child(pointer, "kind")));
    }
    match origin {
        Some(Origin::Directory(path)) => {
            let place = child(pointer, "path");
            kind_of_directory(check, &place, path).map(|kind| (kind, place))
        }
        Some(Origin::Init(to)) => Some((to.model.plugin.kind.clone(), child(pointer, "init"))),
        Some(Origin::New(_)) => {
            check.error_with_help(pointer, "missing key `kind`", "for instance `kind = \"lstm\"`");
            None
        }
        // What it begins from was told of.
        None => None,
    }
}

fn read_checkpoints(check: &mut Check<'_>, pointer: &str, value: Option<Value>) -> Vec<u64> {
    match value.map(serde_json::from_value::<Vec<u64>>) {
        None => Vec::new(),
        Some(Ok(epochs)) => {
            for (index, epoch) in epochs.iter().enumerate().filter(|(index, epoch)| epochs[..*index].contains(epoch)) {
                check.error(
                    &format!("{pointer}/train/checkpoints/{index}"),
                    format!("the epoch {epoch} is named twice"),
                );
            }
            epochs
        }
        Some(Err(_)) => {
            let message = "expected a list of epochs, such as [1, 10]";
            check.error(&format!("{pointer}/train/checkpoints"), message);
            Vec::new()
        }
    }
}

impl Origin {
    /// The model of the pipeline that it is.
    fn model(&self) -> Option<&Model> {
        match self {
            Self::Init(to) => Some(&to.model),
            Self::New(_) | Self::Directory(_) => None,
        }
    }
}

impl Model {
    /// The model of the first of these seeds, with those of the others beside it; of none, as it is.
    fn with_seeds(mut self, seeds: &[u64]) -> Self {
        let Some((first, others)) = seeds.split_first() else { return self };
        self.seed = *first;
        let replicate = |&seed| Arc::new(Self { name: self.name.replicate(seed), seed, ..self.clone() });
        self.replicates = others.iter().map(replicate).collect();
        self
    }

    /// The replicate of the seed that the value at `pointer` names.
    fn replicate(&self, check: &mut Check<'_>, pointer: &str, seed: &str) -> Option<Arc<Self>> {
        let found =
            self.replicates.iter().find(|model| model.name.replicate.is_some_and(|own| own.to_string() == seed));
        if found.is_none() {
            let (name, known) = (&self.name, self.replicates.iter().map(|model| format!("`{}`", model.name)));
            let known: Vec<String> = known.collect();
            let help = match known.is_empty() {
                true => format!("set `seeds = [...]` in [model.{name}]: it is the model of the first"),
                false => format!("it has {}; `{name}` is that of its first seed", known.join(", ")),
            };
            check.error_with_help(pointer, format!("`{name}` has no replicate of the seed `{seed}`"), help);
        }
        found.cloned()
    }

    /// Whether its neurons are those of another.
    pub fn kin(&self, other: &Self) -> Kin {
        let (a, b) = (self.root(), other.root());
        match (&a.origin, &b.origin) {
            (Origin::New(of_a), Origin::New(of_b)) => {
                let drawn = |model: &Self| {
                    // Words have the weights of their numbers, which the text and the vocabulary give them.
                    let text = model.task.as_ref().map(|task| task.train.name());
                    (model.seed, model.plugin.kind.clone(), without(&without(&model.plugin.options, TRAIN), TASK), text)
                };
                if drawn(a) == drawn(b) && of_a == of_b { Kin::Kin } else { Kin::Strangers }
            }
            (Origin::Directory(a), Origin::Directory(b)) if a == b => Kin::Kin,
            _ => Kin::Unknown,
        }
    }

    /// What it began from, be it by way of other models of its kind: another may make other neurons of the same weights.
    fn root(&self) -> &Self {
        match self.origin.model() {
            Some(from) if !self.is_of_another_kind() => from.root(),
            _ => self,
        }
    }
}

impl Model {
    /// Whether it is trained here, and not read as it comes.
    pub fn is_trained(&self) -> bool {
        self.task.is_some()
    }

    /// Whether it has weights of its own, and not those that it begins from as they are.
    pub fn is_made(&self) -> bool {
        self.is_trained() || self.extension.is_some()
    }

    /// What it was trained on for labels, where it was: the last such text.
    pub fn lesson_text(&self) -> Option<&Arc<Text>> {
        match &self.task {
            Some(task) => Some(&task.train).filter(|_| task.kind.has_labels()),
            None => self.origin.model()?.lesson_text(),
        }
    }

    /// What it tells, where that is labels that it was trained for in this pipeline.
    pub fn labels_of(&self) -> Option<TaskKind> {
        match &self.task {
            Some(task) => Some(task.kind).filter(|kind| kind.has_labels()),
            None => self.origin.model()?.labels_of(),
        }
    }

    /// Where it is read, as far as that is known before anything runs; none: the weights will tell.
    pub fn sites(&self) -> &[Site] {
        match &self.described {
            Some(described) => &described.sites,
            None if self.is_drawn() => &self.abilities.capabilities.sites,
            None => &[],
        }
    }

    /// Whether it predicts anything, as far as that is known before anything runs.
    pub fn may_predict(&self) -> bool {
        let has_head = |described: &ModelDescription| !described.heads.is_empty();
        self.abilities.predict && (self.labels_of().is_some() || self.described.as_ref().is_none_or(has_head))
    }

    /// Whether it tells which token it expects next, as far as that is known before anything runs.
    pub fn predicts(&self) -> bool {
        let has_head = |described: &ModelDescription| described.classes(Task::LanguageModel).is_some();
        let is_known = self.labels_of().is_none() && self.described.as_ref().is_none_or(has_head);
        self.abilities.capabilities.predictions && is_known
    }

    /// Why it does not have an ability of its plugin, where that is so and known before anything runs.
    pub fn lacks(&self, ability: Ability) -> Option<&str> {
        self.described.as_ref()?.lacks(ability)
    }

    /// What happens to its state at document starts unless a stage says so, as far as that is known before anything runs.
    pub fn trained_state(&self) -> Option<State> {
        self.described.as_ref().filter(|_| !self.is_trained())?.trained_state
    }

    /// The same, of a model that is trained here by what its options say.
    pub fn state_to_be(&self) -> Option<State> {
        // Of labels, each document begins anew.
        if self.labels_of().is_some() {
            return Some(State::Reset);
        }
        let asked = self.plugin.options.pointer("/train/state").filter(|_| self.is_trained());
        let asked = asked.and_then(|state| State::deserialize(state).ok());
        asked.or_else(|| self.trained_state())
    }

    /// Whether its weights are at first such as its plugin draws by its options.
    fn is_drawn(&self) -> bool {
        match &self.origin {
            Origin::New(_) => true,
            Origin::Directory(_) => false,
            Origin::Init(to) => to.model.is_drawn() && !self.is_of_another_kind(),
        }
    }

    /// Whether it begins from a model of another kind than its own.
    fn is_of_another_kind(&self) -> bool {
        self.origin.model().is_some_and(|from| from.plugin.kind != self.plugin.kind)
    }

    /// The directory that its weights come from, be it by way of other models; none, too, where one of another kind has trained
    /// and written them anew.
    fn directory(&self) -> Option<&Path> {
        match &self.origin {
            Origin::New(_) => None,
            Origin::Directory(path) => Some(path),
            Origin::Init(to) if to.model.is_trained() && to.model.is_of_another_kind() => None,
            Origin::Init(to) => to.model.directory(),
        }
    }

    /// Whether another is the same but for how it is trained.
    fn is_like(&self, other: &Self) -> bool {
        let untrained = |model: &Self| without(&model.plugin.options, TRAIN);
        let place = |model: &Self| (model.plugin.kind.clone(), model.directory().map(Path::to_owned));
        place(self) == place(other) && untrained(self) == untrained(other)
    }

    /// Finds out what it will be, from what it begins with. What is wrong with that is told, before a run comes upon it hours
    /// later.
    fn look(&mut self, check: &mut Check<'_>, pointer: &str) -> Option<()> {
        let (registry, host, from) = (&*check.registry, check.host, self.origin.model());
        let looked = match (self.directory(), from) {
            (Some(directory), _) => {
                // Several models may share it.
                let known = check.good::<Self>().find(|other| self.is_like(other));
                let known = known.and_then(|other| other.described.clone());
                known.map_or_else(|| look(&self.plugin, directory, registry, host), Ok).map(Some)
            }
            (None, Some(from)) if self.is_of_another_kind() && from.is_drawn() => {
                try_out(&self.plugin, &from.plugin, registry, host)
            }
            _ => Ok(None),
        };
        let error = match looked {
            Ok(described) => {
                self.described = described;
                return Some(());
            }
            Err(error) => error,
        };
        match from {
            None => check.error(&child(pointer, "path"), error.to_string()),
            Some(from) if self.is_of_another_kind() => {
                let (kind, other) = (&self.plugin.kind, &from.plugin.kind);
                let message =
                    format!("`{kind}` does not read `{}`, which is of the kind `{other}`: {error}", from.name);
                check.error(&child(pointer, "kind"), message);
            }
            Some(_) => check.error(&child(pointer, "init"), error.to_string()),
        }
        None
    }

    /// Refuses an option that asks for other sites than the weights have that it begins from.
    fn check_option(&self, check: &mut Check<'_>, pointer: &str, key: &str) {
        let from = self.origin.model();
        let Some(there) = self.described.as_ref().map(|described| &*described.sites).or(from.map(Self::sites)) else {
            return;
        };
        let mut options = without(&self.plugin.options, key);
        merge(&mut options, &inherited(from, &self.plugin.kind));
        let Ok(otherwise) = check.registry.model(&self.plugin.kind, &options, check.host) else { return };
        let otherwise = otherwise.capabilities().sites;
        let width = |sites: &[Site], name: &str| sites.iter().find(|site| site.name == name).map(|site| site.width);
        let contradicts = |site: &&Site| match (width(&otherwise, &site.name), width(there, &site.name)) {
            (Some(without), Some(there)) => without != site.width && there != site.width,
            // A directory was described with what the option adds.
            (None, None) => self.described.is_some(),
            _ => false,
        };
        if let Some(site) = self.abilities.capabilities.sites.iter().find(contradicts) {
            let whose = from.map_or_else(|| "the model in `path`".to_owned(), |from| format!("`{}`", from.name));
            let sites: Vec<String> = there.iter().map(Site::to_string).collect();
            let message = format!("`{key}` asks for {site}, but {whose} has {}", sites.join(", "));
            check.error_with_help(&child(pointer, key), message, "leave it out: weights have their sizes already");
        }
    }

    fn create(&self, making: &Making<'_>) -> Result<Box<dyn PluginModel>> {
        self.plugin.model(making.registry, making.host)
    }

    /// The epochs that a recipe of this kind of model asks for.
    fn epochs_of(&self, recipe: &Value) -> Option<u64> {
        recipe[OWN].pointer(&format!("/options{}", self.epochs.as_ref()?)).and_then(Value::as_u64)
    }

    /// The longest finished training that this one can begin with: it differs in having fewer epochs, ran them all, and
    /// left what there is to go on from, with the checkpoints that it passed.
    fn shorter_training(&self, making: &Making<'_>) -> Result<Option<Entry>> {
        let (Some(wanted), Some(epochs)) = (self.epochs_of(making.recipe), &self.epochs) else { return Ok(None) };
        let rest = |recipe: &Value| {
            let mut rest = recipe.clone();
            for pointer in [&format!("/options{epochs}"), "/checkpoints"] {
                if let Some(value) = rest[OWN].pointer_mut(pointer) {
                    value.take();
                }
            }
            rest
        };
        let sought = rest(making.recipe);
        let serves = |record: &Record| {
            let figures = Value::Object(record.step.figures.clone());
            let ran = ModelFigures::deserialize(figures).ok().map(|figures| figures.epochs);
            let had = self.epochs_of(&record.recipe).filter(|&had| had < wanted);
            had.is_some() && ran == had && rest(&record.recipe) == sought
        };
        let mut found = making.find(serves)?;
        found.retain(|entry| {
            let had = self.epochs_of(&entry.record.recipe).unwrap_or(0);
            let mut passed = self.checkpoints.iter().filter(|epoch| **epoch <= had);
            entry.has(END) && passed.all(|epoch| entry.has(&checkpoint(*epoch)))
        });
        found.sort_by_key(|entry| self.epochs_of(&entry.record.recipe));
        while let Some(entry) = found.pop() {
            if let Some(held) = making.hold(&entry)? {
                return Ok(Some(held));
            }
        }
        Ok(None)
    }
}

impl Step for Model {
    fn kind(&self) -> &'static str {
        Self::STEP
    }

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
        let mut inputs: Vec<(&'static str, Arc<dyn Step>)> = Vec::new();
        if let Origin::Init(to) = &self.origin {
            inputs.push(("init", Arc::clone(&to.model) as _));
        }
        if let Some(task) = &self.task {
            inputs.push(("train", Arc::clone(&task.train) as _));
            inputs.extend(task.valid.iter().map(|valid| ("valid", Arc::clone(valid) as _)));
        }
        inputs.extend(self.extension.iter().map(|extension| ("words", Arc::clone(&extension.text) as _)));
        inputs
    }

    fn table(&self) -> String {
        format!("{}.{}", Self::TABLE, self.name.name)
    }

    /// One whose weights are not its own is the one that it begins from, under another name.
    fn passes_on(&self) -> bool {
        !self.is_made()
    }

    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value> {
        let from = match &self.origin {
            Origin::New(vocabulary) => json!({
                "seed": self.seed,
                "vocabulary": {
                    "min_count": vocabulary.min_count,
                    "max_size": vocabulary.max_size,
                    "words": vocabulary.words,
                },
            }),
            Origin::Directory(directory) => hashes.folder(directory)?,
            Origin::Init(to) => json!({ "epoch": to.epoch }),
        };
        let mut recipe = hashes.component(&self.plugin)?;
        recipe["device"] = self.device.clone().into();
        recipe["from"] = from;
        recipe["task"] = json!(self.task.as_ref().map(Lesson::recipe));
        recipe["words"] = json!(self.extension.as_ref().map(Extension::recipe));
        recipe["seed"] = json!(self.task.as_ref().map(|_| self.seed));
        recipe["checkpoints"] = json!(self.checkpoints);
        Ok(recipe)
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let mut model = self.create(making)?;
        let begin = match &self.origin {
            Origin::New(vocabulary) => Begin::New(vocabulary),
            Origin::Directory(path) => Begin::From(path.clone()),
            Origin::Init(to) => Begin::From(to.weights(making)?),
        };
        let Some(lesson) = &self.task else {
            // Nothing to train: loading it checks it, before stages depend on it.
            if let Begin::From(path) = begin {
                let (tokenizer, description) = load(&mut *model, &path, making.host, making.inputs)?;
                if let Some(extension) = &self.extension {
                    let rows = description.vocabulary;
                    let tokenizer = extension.tokenizer(making, &self.table(), &tokenizer, rows)?;
                    Extension::grow(&mut *model, making, &tokenizer)?;
                    let beside = Beside { tokenizer, labels: Labels::load(&path, making.inputs)? };
                    let last = making.directory.join(LAST);
                    fs::create_dir_all(&last).map_err(|error| Error::disk("write", &last, error))?;
                    beside.save(&*model, making.host, &last)?;
                }
            }
            return Ok(Made::default());
        };
        let training = Training {
            making,
            lesson,
            seed: self.seed,
            begin,
            extension: self.extension.as_ref(),
            checkpoints: &self.checkpoints,
            shorter: self.shorter_training(making)?,
        };
        training.run(self, &mut *model)
    }

    fn publish(&self) -> Vec<Publication> {
        let last = self.is_made().then(|| (LAST.to_owned(), OutPath::folder(FOLDER, &self.name)));
        let kept = self.checkpoints.iter();
        let kept = kept.map(|&epoch| (checkpoint(epoch), OutPath::folder(FOLDER, self.name.at(epoch))));
        last.into_iter().chain(kept).map(|(from, to)| Publication { from, to }).collect()
    }
}
