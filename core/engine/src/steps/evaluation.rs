//! `[evaluation.NAME]`: how well a model predicts texts.

mod labels;
mod windows;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use txray_config::{Name, child};
use txray_method::{MethodError, Predicted, Scores, write_predicted};
use txray_plugin::{Model, Opaque, Predict, PredictRequest, State, Task, Text as Ids};
use txray_tables::Folder;
use txray_tables::columns::evaluation;
use txray_text::Tokenizer;

use super::corpus::{Corpus, Text};
use super::model::{Loaded, ModelRef};
use crate::check::{Check, Section};
use crate::error::{Error, Result};
use crate::form::Form;
use crate::inputs::Hashes;
use crate::out::{OutPath, Publication};
use crate::step::{Made, Making, Step};
use crate::step_name::StepName;
use labels::{Asked, Teller};
use windows::windows;

/// The file of what an evaluation comes to.
const SUMMARY: &str = "evaluation.json";

/// How well a model predicts texts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The model, or a checkpoint of one: `"lm@1"`.
    model: String,
    /// The splits of corpora: `["wikitext.valid", "wikitext.test"]`.
    corpora: Vec<String>,
    /// What happens to a recurrent state where a document begins. Default: as a language model was trained, where that is known, else
    /// `"reset"`, as labels always are told.
    state: Option<State>,
    /// The annotation column whose values a tagger tells, where its folder does not say it: `"upos"`.
    column: Option<String>,
}

/// An evaluation of a pipeline.
pub struct Evaluation {
    /// Its name.
    pub name: StepName,
    /// The table that asks for it.
    table: &'static str,
    /// The model.
    pub model: ModelRef,
    /// What it predicts.
    pub texts: Vec<Arc<Text>>,
    state: Option<State>,
    /// Of a tagger, where its folder does not say it.
    column: Option<String>,
    seed: u64,
    /// The same of the replicates of the model.
    replicates: Vec<Arc<Evaluation>>,
}

/// By text: none where the model predicts nothing.
pub type AllScores = IndexMap<String, Option<Scores>>;

impl Section for Evaluation {
    const TABLE: &'static str = "evaluation";
    const PLURAL: &'static str = "evaluations";
    const ABOUT: &'static str = "How well models predict: `[evaluation.NAME]`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let keys: Keys = check.read(pointer)?;
        let before = check.diagnostics.len();
        let model = ModelRef::find(check, &child(pointer, "model"), &keys.model);
        let mut texts: Vec<Arc<Text>> = Vec::new();
        for (index, text) in keys.corpora.iter().enumerate() {
            let place = format!("{pointer}/corpora/{index}");
            let Some(found) = Corpus::find_text(check, &place, text) else { continue };
            if texts.iter().any(|other| other.name() == found.name()) {
                check.error(&place, format!("the text `{text}` is named twice"));
            }
            texts.push(found);
        }
        if keys.corpora.is_empty() {
            check.error(&child(pointer, "corpora"), "an evaluation needs at least one text");
        }
        let model = model?;
        if !model.model.may_predict() {
            let message = format!("`{model}` predicts nothing: it has no head, or its plugin does not predict");
            check.error(&child(pointer, "model"), message);
        }
        if keys.state == Some(State::Carry) && !model.model.abilities.carry {
            check.error(&child(pointer, "state"), format!("`{model}` has no state that could be carried"));
        }
        let of = |name: StepName, model: ModelRef| Self {
            name,
            table: Self::TABLE,
            model,
            texts: texts.clone(),
            state: keys.state,
            column: keys.column.clone(),
            seed: check.seed,
            replicates: Vec::new(),
        };
        let name = StepName::from(name);
        let replicates = model.replicates().into_iter();
        let replicates = replicates.map(|(seed, model)| Arc::new(of(name.replicate(seed), model))).collect();
        let evaluation = Self { replicates, ..of(name.clone(), model) };
        (check.diagnostics.len() == before).then_some(evaluation)
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        [self].into_iter().chain(&self.replicates).map(|evaluation| Arc::clone(evaluation) as _).collect()
    }

    fn form() -> Form {
        Form::of::<Keys>()
    }
}

impl Evaluation {
    /// That of a model over one text, as a table of another kind asks for it.
    pub fn of(
        name: StepName,
        table: &'static str,
        model: ModelRef,
        text: Arc<Text>,
        state: Option<State>,
        seed: u64,
    ) -> Self {
        Self { name, table, model, texts: vec![text], state, column: None, seed, replicates: Vec::new() }
    }

    /// It and the same of the replicates of its model.
    pub fn all(self: &Arc<Self>) -> Vec<Arc<Self>> {
        [self].into_iter().chain(&self.replicates).cloned().collect()
    }

    /// What it came to.
    pub fn scores(&self, making: &Making<'_>) -> Result<AllScores> {
        self.read(making.input(self)?)
    }

    /// The same, of its files in `directory`.
    pub fn read(&self, directory: &Path) -> Result<AllScores> {
        Ok(Folder(directory).read_json(SUMMARY).map_err(MethodError::from)?)
    }

    /// The documents of a text, each with its loss.
    fn predict(
        &self,
        making: &Making<'_>,
        text: &Text,
        predict: &dyn Predict,
        tokenizer: &Tokenizer,
        mut state: Option<Opaque>,
    ) -> Result<Vec<Predicted>> {
        let mut all = Vec::new();
        windows(making, &self.table(), text, tokenizer, |window, encoded| {
            let ids = Ids { ids: &encoded.ids, offsets: &encoded.offsets };
            let (mut losses, mut predicted) = (vec![0.0; window.len()], vec![0; window.len()]);
            let request = PredictRequest::new(Task::LanguageModel, ids.into(), &mut losses, &mut predicted);
            predict.predict(making.host, &mut PredictRequest { state: state.as_mut(), ..request })?;
            let of_documents = window.into_iter().zip(losses).zip(predicted);
            all.extend(of_documents.map(|((document, loss), count)| Predicted {
                document: document.id,
                group: document.group,
                count,
                loss,
                ..Predicted::default()
            }));
            Ok(())
        })?;
        Ok(all)
    }

    /// What the model tells of a language, or of labels: none where it tells nothing.
    fn head(&self, loaded: &Loaded) -> Result<Option<Head>> {
        let head = |task| loaded.description.classes(task).map(|classes| (task, classes));
        let Some((task, classes)) = [Task::Classification, Task::Tagging].into_iter().find_map(head) else {
            return Ok(loaded.description.classes(Task::LanguageModel).map(|_| Head::Language));
        };
        Ok(Some(Head::Labels(Teller::new(&self.model, task, classes, loaded.labels.clone(), self.column.as_deref())?)))
    }
}

/// What a model tells.
enum Head {
    /// The next token.
    Language,
    /// Labels.
    Labels(Teller),
}

impl Step for Evaluation {
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
        let texts = self.texts.iter().map(|text| ("text", Arc::clone(text) as _));
        // A text that stands in what a model was trained on is told.
        let learned = self.model.model.lesson_text().map(|text| ("train", Arc::clone(text) as _));
        [("model", Arc::clone(&self.model.model) as _)].into_iter().chain(texts).chain(learned).collect()
    }

    fn recipe(&self, _: &mut Hashes<'_>) -> Result<Value> {
        let texts: Vec<String> = self.texts.iter().map(|text| text.name()).collect();
        // They stand in the table.
        let Self { state, column, seed, .. } = self;
        let is_own = self.table == Self::TABLE;
        Ok(json!({
            "epoch": self.model.epoch, "texts": texts, "state": state, "column": column, "seed": seed, "own": is_own,
        }))
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let loaded = self.model.load(making)?;
        let start = Instant::now();
        let state = self.state.or(loaded.description.trained_state).unwrap_or(State::Reset);
        let (mut scores, mut tables, mut tokens) = (AllScores::new(), Vec::new(), 0);
        let head = self.head(&loaded)?;
        let predict = loaded.model.as_predict();
        for text in &self.texts {
            let of = match (&head, predict) {
                (Some(Head::Language), Some(predict)) => {
                    let carried = match state {
                        State::Reset => None,
                        State::Carry => Some(begin(&*loaded.model, making)?),
                    };
                    let predicted = self.predict(making, text, predict, &loaded.tokenizer, carried)?;
                    Some((Scores::of(&predicted, self.seed), predicted))
                }
                (Some(Head::Labels(teller)), Some(predict)) => {
                    let asked = Asked { table: &self.table(), model: &self.model, seed: self.seed };
                    let scores = teller.scores(making, asked, text, predict, &loaded.tokenizer)?;
                    // What a table of another kind asks for is left out.
                    if scores.is_none() && self.table == Self::TABLE {
                        return Err(Error::Unlabelled { text: text.name(), layer: teller.layer().to_owned() });
                    }
                    scores
                }
                _ => None,
            };
            let (of, predicted) = of.unzip();
            tokens += of.as_ref().map_or(0, |of| of.predicted);
            scores.insert(text.name(), of);
            tables.extend(predicted.map(|predicted| (text.name(), predicted)));
        }
        let seconds = start.elapsed().as_secs_f64();
        write_predicted(&making.folder(), &tables)?;
        making.folder().write_json(SUMMARY, &scores)?;
        Ok(Made::default().seconds(seconds).tokens(tokens))
    }

    fn publish(&self) -> Vec<Publication> {
        // What a table of another kind asks for is told there.
        if self.table != Self::TABLE {
            return Vec::new();
        }
        let table = evaluation::TABLE;
        let to = |extension| OutPath::file(table.folder(), &self.name, extension);
        vec![
            Publication { from: table.file(), to: to("parquet") },
            Publication { from: SUMMARY.to_owned(), to: to("json") },
        ]
    }
}

/// A state that has read nothing.
fn begin(model: &dyn Model, making: &Making<'_>) -> Result<Opaque> {
    let carry = model.as_carry().ok_or_else(|| Error::from(txray_plugin::Error::failed("it has no state to carry")))?;
    Ok(carry.state(making.host, None)?)
}
