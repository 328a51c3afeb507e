//! `[trajectory.NAME]`: the checkpoints of a model, each read as a stage, and held against each other in their order.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_config::{Name, child};
use txray_method::{Checkpoint, MethodError, Settings, TrajectoryRow, Unit, Weighting, trajectory, write_trajectory};
use txray_plugin::{Level, State};
use txray_tables::Folder;
use txray_tables::columns::{observations, trajectory as columns};

use super::evaluation::Evaluation;
use super::model::{Kin, ModelRef};
use super::stage::{Reads, Stage, StageOf, Subwords};
use crate::check::{Check, Section};
use crate::error::{Error, Result};
use crate::form::Form;
use crate::inputs::Hashes;
use crate::out::{OutPath, Publication};
use crate::step::{Made, Making, Step};
use crate::step_name::StepName;

/// The file of what a trajectory comes to.
const SUMMARY: &str = "trajectory.json";

/// The checkpoints of a model over one text, in their order: what is learned when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// A model that is trained here: its checkpoints (`train.checkpoints`) in order, and its last weights.
    model: Option<String>,
    /// Or the checkpoints themselves, in order: models of the pipeline, such as those of directories, and checkpoints of them.
    models: Option<Vec<String>>,
    /// The split of a corpus that each of them is read over, and predicts: `"wikitext.valid"`.
    corpus: String,
    /// The layers of features, as of a stage. Default: `["token"]`.
    layers: Option<Vec<String>>,
    /// Which tokens have the features of a word that is several of them, as of a stage.
    subwords: Option<Subwords>,
    /// Which activations count, as of a stage. `all` leaves no observations, and so no distances.
    record: Option<Value>,
    /// What happens to a recurrent state where a document begins, as of a stage.
    state: Option<State>,
    /// What preferences are weighted by before they are made to sum to 1.
    #[serde(default)]
    weighting: Weighting,
    /// A neuron's features that it met less often than this, two checkpoints pooled, are left out of distances.
    #[serde(default = "one")]
    min_count: u64,
}

fn one() -> u64 {
    1
}

/// A trajectory of a pipeline.
pub struct Trajectory {
    /// Its name.
    pub name: Name,
    /// The layers.
    pub layers: Vec<String>,
    /// `[checkpoints]` in their order, each with its model.
    stages: Vec<(Arc<Stage>, ModelRef)>,
    /// `[checkpoints]`
    evaluations: Vec<Arc<Evaluation>>,
    weighting: Weighting,
    min_count: u64,
    seed: u64,
}

/// What a trajectory comes to: `trajectories/<name>.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrajectorySummary {
    /// The text.
    pub corpus: String,
    /// What was drawn as a whole for corrected distances and intervals.
    pub unit: Unit,
    /// In their order.
    pub checkpoints: Vec<Checkpoint>,
    /// A row a checkpoint and layer.
    pub rows: Vec<TrajectoryRow>,
}

impl Section for Trajectory {
    const TABLE: &'static str = "trajectory";
    const PLURAL: &'static str = "trajectories";
    const ABOUT: &'static str = "Checkpoints of a model in their order: `[trajectory.NAME]`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let keys: Keys = check.read(pointer)?;
        let checkpoints = checkpoints(check, pointer, &keys)?;
        let mut stages: Vec<(Arc<Stage>, ModelRef)> = Vec::new();
        let mut evaluations = Vec::new();
        for (number, model, place) in checkpoints {
            let reads = Reads {
                model: Some(model.clone()),
                place: &place,
                corpus: &keys.corpus,
                layers: keys.layers.clone(),
                subwords: keys.subwords,
                record: keys.record.as_ref(),
                state: keys.state,
            };
            // What is wrong with the table, the first of them finds.
            let at = StepName::from(name).at(number);
            let stage = Stage::of(check, pointer, at.clone(), Self::TABLE, reads)?;
            let StageOf::Model { text, .. } = &stage.of else { return None };
            if !stage.tells_observations() {
                let message = "`all` leaves no observations to tell distances by";
                check.error_with_help(&child(pointer, "record"), message, "record `max-1`, `top-k` or `threshold`");
                return None;
            }
            if let Some((first, _)) = stages.first()
                && let Some([of_first, of_this]) = first.unlike(&stage)
            {
                let message =
                    format!("the checkpoints do not compare: the first reads {of_first}, `{model}` {of_this}");
                check.error(&place, message);
                return None;
            }
            if stages.first().is_some_and(|(first, _)| first.kin(&stage) == Kin::Strangers) {
                let message = format!("`{model}` and the first of them began apart: their neurons are strangers");
                check.error(&place, message);
                return None;
            }
            let evaluation = Evaluation::of(at, Self::TABLE, model.clone(), Arc::clone(text), keys.state, check.seed);
            evaluations.push(Arc::new(evaluation));
            stages.push((Arc::new(stage), model));
        }
        let layers = stages.first()?.0.layers.clone();
        Some(Self {
            name: name.clone(),
            layers,
            stages,
            evaluations,
            weighting: keys.weighting,
            min_count: keys.min_count,
            seed: check.seed,
        })
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        vec![Arc::clone(self) as _]
    }

    fn form() -> Form {
        Form::of::<Keys>().with_records("record")
    }
}

/// The checkpoints that a table asks for, each with its number, and with the place that asks.
fn checkpoints(check: &mut Check<'_>, pointer: &str, keys: &Keys) -> Option<Vec<(u64, ModelRef, String)>> {
    let found = match (&keys.model, &keys.models) {
        (Some(of), None) => {
            let place = child(pointer, "model");
            let last = ModelRef::find(check, &place, of)?;
            if last.epoch.is_some() {
                check.error(&place, "this is one checkpoint: name the model, whose checkpoints are then read");
                return None;
            }
            last.checkpoints().into_iter().map(|(number, model)| (number, model, place.clone())).collect::<Vec<_>>()
        }
        (None, Some(models)) => {
            let place = |index: usize| format!("{pointer}/models/{index}");
            let is_again = |(index, model): &(usize, &String)| models[..*index].contains(model);
            if let Some((index, model)) = models.iter().enumerate().find(is_again) {
                check.error(&place(index), format!("`{model}` is named twice"));
                return None;
            }
            let models = models.iter().enumerate();
            let find = |(at, model): (usize, &String)| {
                Some((at as u64 + 1, ModelRef::find(check, &place(at), model)?, place(at)))
            };
            models.map(find).collect::<Option<_>>()?
        }
        (Some(_), Some(_)) => {
            check.error(
                &child(pointer, "models"),
                "a trajectory is of the checkpoints of a `model`, or of `models`, not of both",
            );
            return None;
        }
        (None, None) => {
            check.error(pointer, "missing key `model`: whose checkpoints?");
            return None;
        }
    };
    if found.len() < 2 {
        let place = child(pointer, if keys.model.is_some() { "model" } else { "models" });
        let help = match &keys.model {
            Some(model) => format!("keep some: `train.checkpoints = [1, ...]` in [model.{model}]"),
            None => "name two or more, in their order".to_owned(),
        };
        check.error_with_help(&place, "a trajectory needs two checkpoints at least", help);
        return None;
    }
    Some(found)
}

impl Trajectory {
    /// What it came to, in `directory`.
    pub fn summary(&self, directory: &Path) -> Result<TrajectorySummary> {
        Ok(Folder(directory).read_json(SUMMARY).map_err(MethodError::from)?)
    }

    /// Tells of neighbours that read exactly alike.
    fn warn_of_twins(&self, making: &Making<'_>) -> Result<()> {
        let observed = |stage: &Stage| {
            let files = making.entry(stage)?.record.files.get(&observations::TABLE.file()).cloned();
            Ok::<_, Error>(files)
        };
        for pair in self.stages.windows(2) {
            let [(before, first), (after, second)] = pair else { continue };
            let [before, after] = [observed(before)?, observed(after)?];
            if before.is_some() && before == after {
                let message = format!(
                    "[trajectory.{}] `{}` and `{}` read the text exactly alike: they are the same weights",
                    self.name, first, second
                );
                making.host.log(Level::Warning, &message);
            }
        }
        Ok(())
    }
}

impl Step for Trajectory {
    fn kind(&self) -> &'static str {
        Self::STEP
    }

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
        let stages = self.stages.iter().map(|(stage, _)| ("checkpoint", Arc::clone(stage) as _));
        let evaluations = self.evaluations.iter().map(|evaluation| ("evaluation", Arc::clone(evaluation) as _));
        stages.chain(evaluations).collect()
    }

    fn recipe(&self, _: &mut Hashes<'_>) -> Result<Value> {
        Ok(json!({
            // They stand in the table.
            "models": self.stages.iter().map(|(_, model)| model.to_string()).collect::<Vec<_>>(),
            "layers": self.layers,
            "weighting": self.weighting,
            "min_count": self.min_count,
            "seed": self.seed,
        }))
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let start = Instant::now();
        self.warn_of_twins(making)?;
        let settings = Settings {
            layers: &self.layers,
            weighting: &self.weighting,
            min_count: self.min_count,
            texts_differ: false,
        };
        let mut checkpoints = Vec::new();
        let mut corpus = String::new();
        // A model that stopped early ends with its last weights, and has no checkpoints behind them.
        let mut there: Vec<usize> = Vec::new();
        for (at, ((_, model), evaluation)) in self.stages.iter().zip(&self.evaluations).enumerate() {
            let epoch = model.trained(making)?;
            if epoch.is_some() && checkpoints.last().is_some_and(|last: &Checkpoint| last.epoch == epoch) {
                continue;
            }
            there.push(at);
            let scores = evaluation.scores(making)?.into_iter().next();
            let (text, scores) = scores.unwrap_or_default();
            corpus = text;
            checkpoints.push(Checkpoint {
                name: model.to_string(),
                epoch,
                perplexity: scores.and_then(|scores| scores.perplexity),
            });
        }
        if there.len() < self.stages.len() {
            let message = format!(
                "[trajectory.{}] has {} of {} checkpoints: training stopped before the others",
                self.name,
                there.len(),
                self.stages.len()
            );
            making.host.log(Level::Warning, &message);
        }
        let read = |at: usize, unit| self.stages[there[at]].0.reading(making, unit);
        let (unit, rows) = trajectory(there.len(), read, &settings, self.seed, making.host)?;
        write_trajectory(&making.folder(), &checkpoints, &rows)?;
        making.folder().write_json(SUMMARY, &TrajectorySummary { corpus, unit, checkpoints, rows })?;
        Ok(Made::default().seconds(start.elapsed().as_secs_f64()))
    }

    fn publish(&self) -> Vec<Publication> {
        let table = columns::TABLE;
        let to = |extension| OutPath::file(table.folder(), &self.name, extension);
        vec![
            Publication { from: table.file(), to: to("parquet") },
            Publication { from: SUMMARY.to_owned(), to: to("json") },
        ]
    }
}
