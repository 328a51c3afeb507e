//! `[stage.NAME]`: a model read over a corpus, or activations from elsewhere.

pub(super) mod layers;
mod reading;
mod recording;

use std::cell::OnceCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_config::{At, Name, child, suggestion};
use txray_host::FindError;
use txray_method::{AsGiven, Coverage, Extent, Keeps, Observed, Record, Times, Unit, unlike};
use txray_plugin::{Ability, Level, Sign, Site, SourceDescription, State, abi};
use txray_tables::Folder;
use txray_tables::columns::observations;
use txray_text::{CorpusError, Counts, Document, Tokenizer};

use super::annotator::Annotator;
use super::corpus::{Corpus, Text, TextFigures};
use super::model::{Kin, Loaded, Model, ModelRef};
use crate::check::{Check, Section};
use crate::component::Component;
use crate::error::{Error, Result};
use crate::files::Hasher;
use crate::form::Form;
use crate::inputs::Hashes;
use crate::out::{OutPath, Publication};
use crate::shard::Parts;
use crate::step::{Made, Making, Step};
use crate::step_name::StepName;
pub use layers::Subwords;
use layers::{LABEL, POSITION, PREDICTION, TOKEN, WORD};
use reading::{ModelSource, Reading};
use recording::Recording;

/// A model read over a corpus; or a source of activations from elsewhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The model, or a checkpoint of one: `"lm@1"`. Needed, with `corpus`, unless there is a `source`.
    model: Option<String>,
    /// The split of a corpus: `"wikitext.valid"`.
    corpus: Option<String>,
    /// A plugin that has the activations already: its name, or a table of its `kind` and options. It brings its own
    /// layers and its own record rule.
    source: Option<Value>,
    /// The layers of features that neurons can prefer: `token` (the vocabulary's form), `word` (the surface form), `position` (which
    /// token of its document it is, from 0), `prediction` (the token that the model itself expects next), and those that the corpus
    /// has, such as `pos` and `label`. Default: `["token"]`.
    layers: Option<Vec<String>>,
    /// Which tokens have the features of a word that is several of them, in all layers but `token`, `position`, `prediction` and
    /// `label`; the others have none there, and are not counted as unjoined.
    /// Default: `"every"`.
    subwords: Option<Subwords>,
    /// Which activations count: a record rule's name, or a table of its `kind` and options; or a table of such by site, where those
    /// sites alone are read: `record = { "lstm.0.hidden" = "max-1" }`. Default: `"max-1"`.
    record: Option<Value>,
    /// What happens to a recurrent state where a document begins. Default: as the model was trained, where that is
    /// known, else `"reset"`.
    state: Option<State>,
}

/// A stage of a pipeline.
#[derive(Clone)]
pub struct Stage {
    /// Its name.
    pub name: StepName,
    /// The table that asks for it.
    table: &'static str,
    /// What is read.
    pub of: StageOf,
    /// The layers of features.
    pub layers: Vec<String>,
    /// Where it reads, as far as that is known before anything runs; none: the model will tell.
    pub sites: Vec<Site>,
    /// The same of the replicates of its model.
    pub replicates: Vec<Arc<Stage>>,
}

/// What a stage reads.
#[derive(Clone)]
pub enum StageOf {
    /// A model over a text.
    Model {
        /// The model.
        model: ModelRef,
        /// The text.
        text: Arc<Text>,
        /// What gives it layers that the corpus does not have.
        annotators: Vec<Arc<Annotator>>,
        /// Which tokens have the features of a word.
        subwords: Subwords,
        /// Which activations count.
        recording: Recording,
        /// What happens to the state at document starts, if the stage says so.
        state: Option<State>,
    },
    /// Activations that a plugin has.
    Source(Component),
}

/// What a stage tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageFigures {
    /// Seconds of loading the model, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_seconds: Option<f64>,
    /// Seconds in the corpus and the tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenize_seconds: Option<f64>,
    /// Seconds of recording and counting observations; of the step's `seconds`, this is a part.
    pub aggregate_seconds: f64,
    /// Seconds of writing tables.
    pub write_seconds: f64,
    /// Documents read.
    pub documents: u64,
    /// Tokens that the vocabulary did not know.
    pub unknown: u64,
    /// The SHA-256 of the forms of the vocabulary that it was read through: two stages that have the same name their tokens alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forms: Option<String>,
    /// Tokens that the tokenizer put beside the text: of a part, for the merge to know whether anything of the whole is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<u64>,
    /// What of the text no token reads, where there is some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// Neurons of all sites.
    pub neurons: usize,
    /// Those that were observed with an activation > 0.
    pub alive: usize,
    /// Rows of the table of preferences.
    pub rows: usize,
    /// The sum of all activations > 0.
    pub mass: f64,
}

/// What of a text no token reads: see [`Coverage`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Dropped {
    /// Characters that are dropped.
    pub characters: u64,
    /// All characters.
    pub of: u64,
    /// Documents of which everything is.
    pub documents: u64,
}

impl Section for Stage {
    const TABLE: &'static str = "stage";
    const PLURAL: &'static str = "stages";
    const ABOUT: &'static str = "Models read over corpora: `[stage.NAME]`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let keys: Keys = check.read(pointer)?;
        if let Some(source) = &keys.source {
            let (of, layers, sites) = source_of(check, pointer, source, &keys)?;
            return Some(Self { name: name.into(), table: Self::TABLE, of, layers, sites, replicates: Vec::new() });
        }
        let (Some(of), Some(corpus)) = (&keys.model, &keys.corpus) else {
            for (key, value) in [("model", &keys.model), ("corpus", &keys.corpus)] {
                if value.is_none() {
                    let help = "a stage reads a `model` over a `corpus`, or what a `source` has";
                    check.error_with_help(pointer, format!("missing key `{key}`"), help);
                }
            }
            return None;
        };
        let place = &*child(pointer, "model");
        let model = ModelRef::find(check, place, of);
        let Keys { layers, subwords, record, state, .. } = &keys;
        let reads = Reads {
            model,
            place,
            corpus,
            layers: layers.clone(),
            subwords: *subwords,
            record: record.as_ref(),
            state: *state,
        };
        Self::of(check, pointer, name.into(), Self::TABLE, reads).map(Self::with_replicates)
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        [self].into_iter().chain(&self.replicates).map(|stage| Arc::clone(stage) as _).collect()
    }

    fn form() -> Form {
        Form::of::<Keys>().with_component("source", abi::SOURCE).with_records("record")
    }
}

/// What is read, the layers of it, and the sites.
type Checked = (StageOf, Vec<String>, Vec<Site>);

/// What a table at a pointer reads: a model over a text, by the keys that every such table has.
pub struct Reads<'a> {
    /// The model; none where it has errors of its own.
    pub model: Option<ModelRef>,
    /// The place that names it.
    pub place: &'a str,
    /// `corpus`
    pub corpus: &'a str,
    /// `layers`
    pub layers: Option<Vec<String>>,
    /// `subwords`
    pub subwords: Option<Subwords>,
    /// `record`
    pub record: Option<&'a Value>,
    /// `state`
    pub state: Option<State>,
}

/// A model over a text, and the layers of it that are asked for.
fn model_of(check: &mut Check<'_>, pointer: &str, reads: Reads<'_>) -> Option<Checked> {
    let Reads { model, place: of_model, corpus, layers, subwords, record, state } = reads;
    let text = Corpus::find_text(check, &child(pointer, "corpus"), corpus)?;
    let layers = layers.unwrap_or_else(|| vec![TOKEN.to_owned()]);
    check.put(pointer, &json!({ "layers": layers }));
    let before = check.diagnostics.len();
    let recording = match record {
        None => {
            let Record { keeps: _, sign } = Record::default();
            check.put(pointer, &json!({ "record": { "kind": Record::default().name(), "sign": sign } }));
            Some(Recording::default())
        }
        Some(value) => Recording::read(check, &child(pointer, "record"), value),
    };
    let mut known = [TOKEN, WORD, POSITION, PREDICTION].map(str::to_owned).to_vec();
    let of_corpus = text.corpus.layers();
    known.extend(of_corpus.iter().cloned());
    let mut annotators = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let place = format!("{pointer}/layers/{index}");
        match (known.contains(layer), check.exists::<Annotator>(layer)) {
            (true, true) if of_corpus.contains(layer) => {
                let message = format!(
                    "the corpus `{}` has a layer `{layer}` of its own, and there is an annotator of that name",
                    text.corpus.name
                );
                check.error_with_help(&place, message, "call the annotator something else, or the layer of the corpus");
            }
            (true, _) => {}
            (false, true) => annotators.extend(check.find::<Annotator>(&place, layer)),
            (false, false) => {
                let all = known.iter().cloned().chain(check.names::<Annotator>());
                let suggested = || suggestion(layer, all.collect::<Vec<_>>().iter().map(String::as_str));
                let help = text.corpus.no_layer(layer).unwrap_or_else(suggested);
                let message = format!(
                    "the corpus `{}` has no layer `{layer}`, and there is no annotator of that name",
                    text.corpus.name
                );
                check.error_with_help(&place, message, help);
            }
        }
    }
    check_columns(check, &layers, |index| format!("{pointer}/layers/{index}"));
    if layers.is_empty() {
        check.error(&child(pointer, "layers"), "a stage needs at least one layer");
    }
    let (model, recording) = (model?, recording?);
    check_abilities(check, pointer, of_model, &model, &recording, state);
    if let Some(index) = layers.iter().position(|layer| layer == PREDICTION)
        && !model.model.predicts()
    {
        check.error(
            &format!("{pointer}/layers/{index}"),
            format!("`{model}` does not tell which token it expects next"),
        );
    }
    let sites = model.model.sites();
    let recorded = if sites.is_empty() { Ok(Vec::new()) } else { recording.at(sites) };
    let sites = match recorded {
        Ok(recorded) => recorded.into_iter().map(|(site, _)| sites[site].clone()).collect(),
        Err((at, message)) => {
            check.error(&format!("{}{at}", child(pointer, "record")), message);
            Vec::new()
        }
    };
    let is_good = check.diagnostics.len() == before;
    let of = StageOf::Model { model, text, annotators, subwords: subwords.unwrap_or_default(), recording, state };
    is_good.then_some((of, layers, sites))
}

/// Refuses what the plugin of the model cannot do.
fn check_abilities(
    check: &mut Check<'_>,
    pointer: &str,
    of_model: &str,
    model: &ModelRef,
    recording: &Recording,
    state: Option<State>,
) {
    let abilities = &model.model.abilities;
    if !abilities.encode {
        let message = format!("`{model}` cannot be read: its plugin gives no activations");
        check.error(of_model, message);
    } else {
        let lacking = |(_, record): &(String, Record)| !abilities.capabilities.rules.contains(&record.rule());
        for (at, record) in recording.rules().into_iter().filter(lacking) {
            // Where the rule is not written, it is the model that does not fit.
            let written = format!("{}{at}", child(pointer, "record"));
            let is_written = check.document.value().pointer(&written).is_some();
            let place = if is_written { &*written } else { of_model };
            check.error(place, format!("the plugin of `{model}` cannot record by `{}`", record.name()));
        }
    }
    if state == Some(State::Carry) && !abilities.carry {
        check.error(&child(pointer, "state"), format!("`{model}` has no state that could be carried"));
    } else if state.or(model.model.trained_state()) == Some(State::Carry)
        && let Some(why) = model.model.lacks(Ability::Carry)
    {
        let message = format!("the state of `{model}` cannot be carried: {why}");
        let written = child(pointer, "state");
        let place = if state.is_some() { &*written } else { of_model };
        check.error_with_help(place, message, "read it with `state = \"reset\"`");
    }
}

/// A layer has a column of its name in the table of observations, which nothing else may have.
fn check_columns(check: &mut Check<'_>, layers: &[String], place: impl Fn(usize) -> String) {
    for (index, layer) in layers.iter().enumerate() {
        if layers[..index].contains(layer) {
            check.error(&place(index), format!("the layer `{layer}` is named twice"));
        } else if *layer != POSITION && observations::TABLE.columns.iter().any(|column| column.name == *layer) {
            let message = format!("no layer can be called `{layer}`: the table of observations has such a column");
            check.error(&place(index), message);
        }
    }
}

/// Activations that a plugin has. It is made once here, to tell which layers it brings, and of which sites.
fn source_of(check: &mut Check<'_>, pointer: &str, value: &Value, keys: &Keys) -> Option<Checked> {
    let before = check.diagnostics.len();
    let others = [
        ("model", keys.model.is_some()),
        ("corpus", keys.corpus.is_some()),
        ("layers", keys.layers.is_some()),
        ("record", keys.record.is_some()),
        ("subwords", keys.subwords.is_some()),
        ("state", keys.state.is_some()),
    ];
    for (key, _) in others.into_iter().filter(|(_, given)| *given) {
        let message = format!("a stage with a `source` has no `{key}`: the source brings its own");
        check.diagnostics.push(check.document.error(&child(pointer, key), At::Key, message));
    }
    let described = OnceCell::new();
    let source = check.named(abi::SOURCE, &child(pointer, "source"), value, |registry, kind, options, host| {
        let source = registry.source(kind, options, host)?;
        // Set once: it is made until it takes its options, and then no more.
        let _ = described.set(source.describe().map_err(FindError::Refused)?);
        Ok(())
    })?;
    let SourceDescription { layers, sites } = described.into_inner()?;
    check_columns(check, &layers, |_| child(pointer, "source"));
    (check.diagnostics.len() == before).then_some((StageOf::Source(source), layers, sites))
}

impl Stage {
    /// One that a table at a pointer asks for.
    pub fn of(
        check: &mut Check<'_>,
        pointer: &str,
        name: StepName,
        table: &'static str,
        reads: Reads<'_>,
    ) -> Option<Self> {
        let (of, layers, sites) = model_of(check, pointer, reads)?;
        Some(Self { name, table, of, layers, sites, replicates: Vec::new() })
    }

    /// With those of the replicates of its model beside it.
    fn with_replicates(mut self) -> Self {
        let StageOf::Model { model, .. } = &self.of else { return self };
        let replicate = |of: &Arc<Model>| {
            let mut stage = self.clone();
            let seed = of.name.replicate;
            stage.name.replicate = seed;
            if let StageOf::Model { model, .. } = &mut stage.of {
                model.model = Arc::clone(of);
            }
            Arc::new(stage)
        };
        self.replicates = model.model.replicates.iter().map(replicate).collect();
        self
    }

    /// Whether its neurons are those of another.
    pub fn kin(&self, other: &Self) -> Kin {
        match (&self.of, &other.of) {
            (StageOf::Model { model: a, .. }, StageOf::Model { model: b, .. }) => a.model.kin(&b.model),
            _ => Kin::Unknown,
        }
    }

    /// Where its tables go.
    fn place(&self) -> OutPath {
        OutPath::folder(observations::TABLE.folder(), &self.name)
    }

    /// What was read, from its tables; once, however many steps ask.
    pub fn read(&self, making: &Making<'_>) -> Result<Rc<txray_method::Stage>> {
        making.read(self, |directory| Ok(txray_method::Stage::read(&Folder(directory))?))
    }

    /// The sites of both, where they are not the same, as far as that is known before anything runs.
    pub fn unlike(&self, other: &Self) -> Option<[String; 2]> {
        let are_known = !self.sites.is_empty() && !other.sites.is_empty();
        unlike(&self.sites, &other.sites).filter(|_| are_known)
    }

    /// Whether every activation that counts is an observation of its table: what is counted in bulk is none.
    pub fn tells_observations(&self) -> bool {
        match &self.of {
            StageOf::Model { recording, .. } => recording.rules().iter().all(|(_, record)| record.keeps != Keeps::All),
            StageOf::Source(_) => true,
        }
    }

    /// What it observed, by units; once by groups, however many steps ask.
    pub fn observed(&self, making: &Making<'_>, unit: Unit) -> Result<Rc<Observed>> {
        let stage = self.read(making)?;
        let read = |directory: &Path| self.observed_in(directory, &stage.neurons.sites, unit);
        match unit {
            Unit::Group => making.read(self, read),
            Unit::Document => Ok(Rc::new(read(making.input(self)?)?)),
        }
    }

    /// Its tables and what it observed, for whoever reads many stages and keeps few.
    pub fn reading(&self, making: &Making<'_>, unit: Unit) -> Result<txray_method::Reading> {
        let directory = making.input(self)?;
        let stage = txray_method::Stage::read(&Folder(directory))?;
        let observed = self.observed_in(directory, &stage.neurons.sites, unit)?;
        Ok((stage, observed))
    }

    /// What it observed at these sites, by its table in `directory`.
    fn observed_in(&self, directory: &Path, sites: &[Site], unit: Unit) -> Result<Observed> {
        // What a source gives counts for what it is.
        let sign = |site: &Site| match &self.of {
            StageOf::Model { recording, .. } => recording.of(&site.name).unwrap_or_default().sign,
            StageOf::Source(_) => Sign::Positive,
        };
        let signs: Vec<Sign> = sites.iter().map(sign).collect();
        let strength = |site: usize, activation| signs[site].strength(activation);
        Ok(Observed::read(&Folder(directory), sites, &self.layers, unit, strength)?)
    }

    fn read_model(&self, making: &Making<'_>) -> Result<Made> {
        let StageOf::Model { model, text, annotators, subwords, recording, state } = &self.of else {
            return Ok(Made::default());
        };
        let start = Instant::now();
        let Loaded { model: loaded, tokenizer, description, .. } = model.load(making)?;
        let load_seconds = start.elapsed().as_secs_f64();
        let told: TextFigures = making.figures(&**text)?;
        if told.labelled == Some(0) && self.layers.iter().any(|layer| layer == LABEL) {
            return Err(Error::NoLabels { text: text.name() });
        }
        let state = self.state(making, *state, description.trained_state);
        let annotators = annotators.iter().map(|annotator| Ok((annotator.name.to_string(), annotator.load(making)?)));
        let annotators = annotators.collect::<Result<Vec<_>>>()?;
        if making.shard.is_some() && state == State::Carry {
            return Err(Error::Whole { why: CARRIED });
        }
        let part = making.shard.map_or(0..told.documents, |shard| shard.documents(told.documents));
        let is_of_part =
            move |document: &Result<Document, CorpusError>, number: u64| document.is_err() || part.contains(&number);
        let documents = text.documents(making)?.zip(0..);
        let documents =
            documents.filter(move |(document, number)| is_of_part(document, *number)).map(|(document, _)| document);
        let reading = Reading {
            model: &*loaded,
            tokenizer: &tokenizer,
            documents: Box::new(documents),
            layers: self.layers.clone(),
            annotators,
            subwords: *subwords,
            recording,
            state,
            // A word is about a token, and every document ends with one.
            expected: match making.shard {
                None => told.words + told.documents,
                Some(_) => 0,
            },
        };
        let mut source = ModelSource::new(reading, making.host)?;
        let rules = source.rules();
        let extent = if making.shard.is_some() { Extent::Part } else { Extent::Whole };
        let read = txray_method::read(&mut source, &rules, extent, making.host, &making.folder());
        if let Some(error) = source.failed.take() {
            return Err(error);
        }
        let (stage, times) = read?;
        match extent {
            Extent::Whole => text.check_counts(making, &self.table(), source.counts())?,
            // Other parts may know words, and then all of them together are read.
            Extent::Part if source.counts().is_all_unknown() => {
                let message = format!(
                    "[{}] knows no word of this part of `{}`; where no part has one that it knows, they do not merge",
                    self.table(),
                    text.name()
                );
                making.host.log(Level::Warning, &message);
            }
            Extent::Part => {}
        }
        let words = stage.coverage.tokens - source.counts().special;
        for layer in stage.coverage.layers.iter().filter(|layer| layer.unjoined > 0 && layer.unjoined == words) {
            let (table, layer, text) = (self.table(), &layer.name, text.name());
            let message = format!("[{table}] no token of `{text}` has a feature in the layer `{layer}`");
            making.host.log(Level::Warning, &message);
        }
        let seconds = (times.source.saturating_sub(source.tokenize) + times.aggregate).as_secs_f64();
        let figures = StageFigures {
            load_seconds: Some(load_seconds),
            tokenize_seconds: Some(source.tokenize.as_secs_f64()),
            forms: Some(forms(&tokenizer)),
            special: (extent == Extent::Part).then_some(source.counts().special),
            ..figures(&stage, times)
        };
        Ok(Made::with(self, &figures)?.seconds(seconds).tokens(stage.coverage.tokens))
    }

    /// How the state is handled at document starts. Warns where the model was trained otherwise.
    fn state(&self, making: &Making<'_>, asked: Option<State>, trained: Option<State>) -> State {
        let state = asked.or(trained).unwrap_or(State::Reset);
        if let Some(trained) = trained.filter(|trained| *trained != state) {
            let word = |state| if state == State::Reset { "reset" } else { "carry" };
            let (read, trained) = (word(state), word(trained));
            let message = format!(
                "[{}] reads with state = \"{read}\", but the model was trained with \"{trained}\"",
                self.table()
            );
            making.host.log(Level::Warning, &message);
        }
        state
    }
}

fn figures(stage: &txray_method::Stage, times: Times) -> StageFigures {
    StageFigures {
        load_seconds: None,
        tokenize_seconds: None,
        aggregate_seconds: times.aggregate.as_secs_f64(),
        write_seconds: times.write.as_secs_f64(),
        documents: stage.coverage.documents,
        unknown: stage.coverage.unknown,
        forms: None,
        special: None,
        dropped: (stage.coverage.dropped > 0).then_some(Dropped {
            characters: stage.coverage.dropped,
            of: stage.coverage.characters,
            documents: stage.coverage.dropped_documents,
        }),
        neurons: stage.neurons.len(),
        alive: stage.neurons.alive(),
        rows: stage.rows(),
        mass: stage.neurons.mass.iter().sum(),
    }
}

/// The hash of what a vocabulary calls its tokens.
fn forms(tokenizer: &Tokenizer) -> String {
    let mut hasher = Hasher::default();
    for form in tokenizer.forms().iter() {
        hasher.take(form.as_bytes());
        hasher.take(&[0]);
    }
    hasher.finish().sha256
}

/// What was read of a text, as its tokenizer counts, which put `special` tokens beside it.
fn counts(stage: &txray_method::Stage, special: u64) -> Counts {
    let Coverage { tokens, documents, characters, unknown, dropped, dropped_documents, .. } = stage.coverage;
    Counts { documents, tokens, unknown, special, characters, dropped, dropped_documents }
}

/// Why a stage is not read in parts whose state goes from document to document.
const CARRIED: &str =
    "its state is carried from each document into the next: read it with `state = \"reset\"`, or whole";

impl Step for Stage {
    fn kind(&self) -> &'static str {
        Self::STEP
    }

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn table(&self) -> String {
        format!("{}.{}", self.table, self.name.name)
    }

    fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
        match &self.of {
            StageOf::Model { model, text, annotators, .. } => {
                let mut inputs = vec![("model", Arc::clone(&model.model) as _), ("text", Arc::clone(text) as _)];
                inputs.extend(annotators.iter().map(|annotator| ("annotator", Arc::clone(annotator) as _)));
                inputs
            }
            StageOf::Source(_) => Vec::new(),
        }
    }

    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value> {
        match &self.of {
            StageOf::Model { model, subwords, recording, state, .. } => {
                let mut recipe =
                    json!({ "epoch": model.epoch, "layers": self.layers, "record": recording, "state": state });
                recipe["subwords"] = json!(subwords);
                Ok(recipe)
            }
            StageOf::Source(source) => Ok(json!({ "source": hashes.component(source)? })),
        }
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        match &self.of {
            StageOf::Model { .. } => self.read_model(making),
            StageOf::Source(source) => {
                let mut source = source.source(making.registry, making.host)?;
                let layers = source.describe()?.layers;
                if layers != self.layers {
                    return Err(Error::Described { found: layers, expected: self.layers.clone() });
                }
                let (stage, times) =
                    txray_method::read(&mut *source, &AsGiven, Extent::Whole, making.host, &making.folder())?;
                let seconds = (times.source + times.aggregate).as_secs_f64();
                Ok(Made::with(self, &figures(&stage, times))?.seconds(seconds).tokens(stage.coverage.tokens))
            }
        }
    }

    fn publish(&self) -> Vec<Publication> {
        vec![Publication { from: String::new(), to: self.place() }]
    }

    fn has_parts(&self) -> bool {
        true
    }

    fn check_part(&self) -> Result<()> {
        match &self.of {
            StageOf::Source(_) => {
                Err(Error::Whole { why: "its source gives what it has, and does not share out documents" })
            }
            StageOf::Model { model, state, .. } => match state.or(model.model.state_to_be()) {
                Some(State::Carry) => Err(Error::Whole { why: CARRIED }),
                _ => Ok(()),
            },
        }
    }

    fn merge(&self, making: &Making<'_>, parts: &Parts) -> Result<Made> {
        let folders = parts.folders(&self.place(), making.host)?;
        let folders: Vec<Folder<'_>> = folders.iter().map(|folder| Folder(folder)).collect();
        let start = Instant::now();
        let stage = txray_method::merge(&folders, making.host, &making.folder())?;
        let write_seconds = start.elapsed().as_secs_f64();
        if let StageOf::Model { text, .. } = &self.of {
            let special = parts.records(self.id()).filter_map(|record| record.figures.get("special")?.as_u64()).sum();
            text.check_counts(making, &self.table(), counts(&stage, special))?;
        }
        let forms = parts.records(self.id()).find_map(|record| Some(record.figures.get("forms")?.as_str()?.to_owned()));
        let figures = StageFigures { write_seconds, forms, ..figures(&stage, Times::default()) };
        let seconds = parts.records(self.id()).map(|record| record.seconds).sum();
        Ok(Made::with(self, &figures)?.seconds(seconds).tokens(stage.coverage.tokens))
    }
}
