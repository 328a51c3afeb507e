//! What the unit tests of the engine share: a model that needs no arithmetic, pipelines over it, and a host that remembers.

use std::cell::Cell;
use std::path::Path;
use std::sync::Mutex;

use schemars::JsonSchema;
use serde::Deserialize;
use txray_config::Diagnostics;
use txray_host::{Origin, Registry};
use txray_plugin::{
    Ability, Capabilities, Carry, Component, Encode, EncodeRequest, Error, Head, Host, HostServices, Lack, Level,
    Model, ModelDescription, Opaque, ReportSink, Result, Rule, RuleKind, Site, SiteRequest, Task, Train, TrainReport,
    TrainRequest,
};
use txray_tables::StepRecord;

use crate::error::Error as EngineError;
use crate::out::OutDirectory;
use crate::pipeline::Pipeline;
use crate::plan::Plan;
use crate::run::{Observer, Outcome, merge, run};
use crate::shard::{Parts, Shard};
use crate::steps::catalogue;
use crate::store::Store;

/// Neurons of the model at each of its sites, if its options say nothing else.
pub const WIDTH: usize = 4;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FakeOptions {
    /// What is added to every activation.
    bias: f32,
    /// What it cannot do: `encode`, `top`, `train`, `language-model`, `carry`, `load`; or has not: `sites` before it has weights, `head`.
    lacks: Vec<String>,
    /// Neurons; weights that are loaded have their own.
    width: usize,
    /// Whether it has a second site.
    twice: bool,
    /// A file that changes nothing.
    #[schemars(extend("format" = "path"))]
    notes: Option<String>,
    train: FakeTrain,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self { bias: 0.5, lacks: Vec::new(), width: WIDTH, twice: false, notes: None, train: FakeTrain::default() }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct FakeTrain {
    #[schemars(extend("format" = "epochs"))]
    rounds: u64,
}

impl Default for FakeTrain {
    fn default() -> Self {
        Self { rounds: 2 }
    }
}

/// Token `id` makes neuron `id % width` the most active one, by the bias and a thousandth of the id. Training counts.
pub struct FakeOf<const NUMBER: usize> {
    options: FakeOptions,
    width: usize,
    vocabulary: usize,
    epoch: u64,
    tokens: u64,
}

thread_local! {
    /// How often weights were loaded on this thread.
    pub static LOADS: Cell<usize> = const { Cell::new(0) };
}

/// One kind of it, another, and one that does not run here.
pub type Fake = FakeOf<0>;
pub type Other = FakeOf<1>;
pub type Far = FakeOf<2>;

impl<const NUMBER: usize> Component for FakeOf<NUMBER> {
    const KIND: &'static str = ["fake", "other", "far"][NUMBER];
    const DEVICES: &'static [&'static str] = if NUMBER == 2 { &["abacus"] } else { &[] };
    const ABOUT: &'static str = "no arithmetic";
    type Options = FakeOptions;

    fn create(options: FakeOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self { width: options.width, options, vocabulary: 0, epoch: 0, tokens: 0 })
    }
}

impl<const NUMBER: usize> FakeOf<NUMBER> {
    fn has(&self, ability: &str) -> bool {
        self.options.lacks.iter().all(|lacks| lacks != ability)
    }

    fn read(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::invalid(error.to_string()))?;
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [vocabulary, epoch, tokens, width] = numbers[..] else {
            return Err(Error::invalid("four numbers are missing"));
        };
        (self.vocabulary, self.epoch, self.tokens, self.width) = (vocabulary as usize, epoch, tokens, width as usize);
        Ok(())
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{} {} {} {}", self.vocabulary, self.epoch, self.tokens, self.width);
        std::fs::write(path, text).map_err(|error| Error::failed(error.to_string()))
    }
}

impl<const NUMBER: usize> FakeOf<NUMBER> {
    fn sites(&self, width: usize) -> Vec<Site> {
        let names = ["fake.0", "fake.1"].into_iter().take(if self.options.twice { 2 } else { 1 });
        names.map(|name| Site { name: name.to_owned(), width }).collect()
    }
}

impl<const NUMBER: usize> Model for FakeOf<NUMBER> {
    fn capabilities(&self) -> Capabilities {
        let task = if self.has("language-model") { Task::LanguageModel } else { Task::Tagging };
        let rule = if self.has("top") { RuleKind::Top } else { RuleKind::All };
        let sites = if self.has("sites") { self.sites(self.options.width) } else { Vec::new() };
        Capabilities { tasks: vec![task], rules: vec![rule], sites, ..Capabilities::default() }
    }
    fn describe(&self) -> Result<ModelDescription> {
        Ok(ModelDescription {
            sites: self.sites(self.width),
            vocabulary: self.vocabulary,
            parameters: 0,
            heads: [Head { task: Task::LanguageModel, classes: self.vocabulary }][usize::from(!self.has("head"))..]
                .to_vec(),
            unmaskable: Vec::new(),
            lacks: [("trainable", Ability::Train), ("stateful", Ability::Carry)]
                .into_iter()
                .filter(|(what, _)| !self.has(what))
                .map(|(_, ability)| Lack { ability, why: "it is a fake".to_owned() })
                .collect(),
            longest_context: Some(1 << 20),
            trained_state: None,
        })
    }
    fn initialize(&mut self, _: &Host<'_>, vocabulary: usize, _: u64) -> Result<()> {
        self.vocabulary = vocabulary;
        Ok(())
    }
    fn load(&mut self, _: &Host<'_>, directory: &Path) -> Result<()> {
        LOADS.set(LOADS.get() + 1);
        if !self.has("load") {
            return Err(Error::invalid(format!("{}/weights are none", directory.display())));
        }
        self.read(&directory.join("weights"))?;
        (self.epoch, self.tokens) = (0, 0);
        Ok(())
    }
    fn save(&self, _: &Host<'_>, directory: &Path) -> Result<()> {
        self.write(&directory.join("weights"))
    }
    fn as_encode(&self) -> Option<&dyn Encode> {
        self.has("encode").then_some(self)
    }
    fn as_train(&self) -> Option<&dyn Train> {
        self.has("train").then_some(self)
    }
    fn as_train_mut(&mut self) -> Option<&mut dyn Train> {
        self.has("train").then_some(self)
    }
    fn as_carry(&self) -> Option<&dyn Carry> {
        self.has("carry").then_some(self)
    }
}

impl<const NUMBER: usize> Encode for FakeOf<NUMBER> {
    fn encode(&self, _: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        let ids = request.text.ids;
        // What it cannot read: five unknown words and nothing else.
        if (0..request.text.len()).any(|document| request.text.document(document) == [0, 0, 0, 0, 0, 1]) {
            return Err(Error::invalid("five unknown words"));
        }
        if let Some(state) = &mut request.state {
            *state.get_mut::<usize>()? += ids.len();
        }
        for SiteRequest { rule, sum, .. } in &mut request.sites {
            let Rule::Top { k, neurons, activations } = rule else { continue };
            for (token, &id) in ids.iter().enumerate() {
                neurons[token * *k] = id % self.width as u32;
                let activation = self.options.bias + id as f32 / 1000.0;
                activations[token * *k] = activation;
                sum[id as usize % self.width] += f64::from(activation);
            }
        }
        Ok(())
    }
}

/// It counts tokens.
impl<const NUMBER: usize> Carry for FakeOf<NUMBER> {
    fn state(&self, _: &Host<'_>, from: Option<&Opaque>) -> Result<Opaque> {
        Ok(Opaque::new(from.map_or(Ok(0), |from| from.get::<usize>().copied())?))
    }
}

/// What becomes of a call that trains a [`Fake`] on this thread.
#[derive(Clone, Copy, PartialEq)]
pub enum Mood {
    Willing,
    /// A step is cancelled.
    Stops,
    /// No session begins, for a reason that has nothing to do with what it goes on from.
    Refuses,
}

thread_local! {
    pub static MOOD: Cell<Mood> = const { Cell::new(Mood::Willing) };
}

/// Its sessions are how many tokens there are, and whether there is a validation text.
impl<const NUMBER: usize> Train for FakeOf<NUMBER> {
    fn begin(&mut self, _: &Host<'_>, request: &TrainRequest<'_>, from: Option<&Path>) -> Result<Opaque> {
        if MOOD.get() == Mood::Refuses {
            return Err(Error::invalid("there is no memory"));
        }
        from.map_or(Ok(()), |from| self.read(&from.join("state")))?;
        Ok(Opaque::new((request.train.text.ids.len() as u64, request.valid.is_some())))
    }
    fn step(&mut self, _: &Host<'_>, session: &mut Opaque, _: Option<f64>) -> Result<TrainReport> {
        let &(tokens, validates) = session.get::<(u64, bool)>()?;
        if MOOD.get() == Mood::Stops && self.epoch > 0 {
            return Err(Error::cancelled());
        }
        self.epoch += 1;
        self.tokens += tokens;
        let (epoch, tokens) = (self.epoch, self.tokens);
        let done = epoch >= self.options.train.rounds;
        let valid_loss = validates.then_some(1.0);
        Ok(TrainReport { epoch, tokens, loss: 2.0, valid_loss, seconds: 0.25, done, paused: false })
    }
    fn save_session(&self, _: &Host<'_>, _: &Opaque, directory: &Path) -> Result<()> {
        self.write(&directory.join("state"))
    }
}

/// Leaves the file that its options name, which may be one of the run.
pub struct Notes(NotesOptions);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotesOptions {
    /// Where.
    file: String,
}

impl Component for Notes {
    const KIND: &'static str = "notes";
    const ABOUT: &'static str = "a file";
    type Options = NotesOptions;

    fn create(options: NotesOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self(options))
    }
}

impl ReportSink for Notes {
    fn write(&mut self, _: &Host<'_>, directory: &Path, manifest: &str) -> Result<()> {
        std::fs::write(directory.join(&self.0.file), manifest).map_err(|error| Error::failed(error.to_string()))
    }
}

mod components {
    txray_plugin::components!(sinks = [super::Notes], models = [super::Fake, super::Other, super::Far]);
}

/// A registry with the models `fake`, `other` and `far`, and the sink `notes`, alone.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add(components::plugin(), Origin::BuiltIn).unwrap();
    registry
}

/// Two models over a generated corpus, a stage of each, and a text in a file.
pub const PIPELINE: &str = "
[corpus.kitchen]
kind = \"grammar\"
domain = \"kitchen\"
train = 6
valid = 3

[model.lm]
kind = \"fake\"
task = { kind = \"language-model\", corpus = \"kitchen\" }
train = { rounds = 2, checkpoints = [1] }

[model.next]
init = \"lm@1\"

[stage.early]
model = \"lm@1\"
corpus = \"kitchen.valid\"

[stage.late]
model = \"next\"
corpus = \"kitchen.valid\"
layers = [\"word\", \"pos\"]
";

/// Checks a pipeline in a folder.
pub fn read(folder: &Path, text: &str) -> Result<Pipeline, Diagnostics> {
    let file = folder.join("pipeline.toml");
    std::fs::write(&file, text).unwrap();
    Pipeline::read(&file, &[], None, &catalogue(), &mut registry(), &Host::detached())
}

/// The errors of a pipeline, one a line, each with its place.
pub fn errors(text: &str) -> Vec<String> {
    errors_in(tempfile::tempdir().unwrap().path(), text)
}

/// The same, of a pipeline in a folder.
pub fn errors_in(folder: &Path, text: &str) -> Vec<String> {
    let Some(errors) = read(folder, text).err() else { return Vec::new() };
    let file = folder.join("pipeline.toml");
    format!("{errors:#}").replace(&*file.to_string_lossy(), "p").lines().map(str::to_owned).collect()
}

/// What is done when a step begins that is called so.
pub type OnBegin = Box<dyn Fn(&str) + Sync>;

/// What a run told.
#[derive(Default)]
pub struct Told {
    /// What is done when a step begins.
    pub on_begin: Option<OnBegin>,
    /// Each step, and whether it was there already.
    pub steps: Mutex<Vec<(String, bool)>>,
    /// Log lines.
    pub logs: Mutex<Vec<String>>,
}

impl HostServices for Told {
    fn threads(&self) -> usize {
        1
    }
    fn log(&self, _: Level, message: &str) {
        self.logs.lock().unwrap().push(message.to_owned());
    }
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

impl Observer for Told {
    fn begin(&self, id: &str) {
        self.on_begin.iter().for_each(|on_begin| on_begin(id));
    }
    fn end(&self, step: &StepRecord, _: Level) {
        self.steps.lock().unwrap().push((step.name.clone(), step.cached));
    }
}

/// Runs a pipeline in a folder, with its store there.
pub fn run_in(folder: &Path, text: &str) -> (std::result::Result<Outcome, EngineError>, Told) {
    let told = Told::default();
    (run_with(folder, text, &told), told)
}

/// The same, told to an observer.
pub fn run_with(folder: &Path, text: &str, told: &Told) -> std::result::Result<Outcome, EngineError> {
    run_part(folder, text, None, &folder.join("out"), told)
}

/// Runs a part of a pipeline in a folder into a directory.
pub fn run_shard(
    folder: &Path,
    text: &str,
    shard: Shard,
    out: &Path,
    told: &Told,
) -> std::result::Result<Outcome, EngineError> {
    run_part(folder, text, Some(shard), out, told)
}

fn run_part(
    folder: &Path,
    text: &str,
    shard: Option<Shard>,
    out: &Path,
    told: &Told,
) -> std::result::Result<Outcome, EngineError> {
    let (pipeline, registry) = (read(folder, text).unwrap(), registry());
    let host = Host::detached();
    let plan = Plan::of(&pipeline, &registry, &host, shard).unwrap();
    let store = Store::create(&folder.join("store")).unwrap();
    let out = OutDirectory::open(out, &host, || ()).map_err(EngineError::from);
    out.and_then(|mut out| run(&pipeline, &registry, &plan, &store, &mut out, told))
}

/// Merges the parts of a pipeline in a folder, with a store of its own, as on another machine.
pub fn merge_parts(folder: &Path, text: &str, parts: &Parts) -> std::result::Result<Outcome, EngineError> {
    let (pipeline, registry) = (read(folder, text).unwrap(), registry());
    let host = Host::detached();
    let plan = Plan::of(&pipeline, &registry, &host, None).unwrap();
    let store = tempfile::tempdir().unwrap();
    let store = Store::create(&store.path().join("store")).unwrap();
    let mut out = OutDirectory::open(&folder.join("merged"), &host, || ()).map_err(EngineError::from)?;
    merge(&pipeline, &registry, &plan, &store, &mut out, &Told::default(), parts)
}
