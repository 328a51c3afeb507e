//! A training that stopped and goes on: one file, `training.safetensors`, with the weights, the recurrent state of the
//! streams, and in its metadata everything else. One file, so that a kill cannot leave parts of two steps side by side.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use txray_plugin::{Error, Result};

use crate::options::{LstmOptions, Optimizer, TrainOptions};
use crate::tensors::{self, TensorFile, invalid};
use crate::train::{LayerState, Means, Progress};
use crate::weights::{Sizes, Weights, failed};

const FILE: &str = "training.safetensors";
/// The key of the [`Record`] in the file's metadata.
const RECORD: &str = "training";
/// Grows when the record or the meaning of anything in it changes.
const FORMAT: u32 = 5;

/// Everything that is not a tensor, as JSON in the file's metadata.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<P> {
    format: u32,
    /// Those of the model: the options have others where it began with the weights of a checkpoint.
    sizes: Sizes,
    /// [`lasting`]
    options: Value,
    /// How many epochs it was begun with. Kept beside `options`, because it may change from call to call.
    epochs: u64,
    progress: P,
}

pub(crate) struct Training {
    pub weights: Weights,
    pub progress: Progress,
}

/// Options as JSON, less what may change from call to call: how the model is read, and when training stops. A training
/// of more or fewer epochs stops elsewhere, but is the same until then, unless its schedule runs over all epochs.
fn lasting(options: &LstmOptions) -> Result<Value> {
    let mut json = serde_json::to_value(options).map_err(|e| Error::failed(e.to_string()))?;
    if let Some(json) = json.as_object_mut() {
        json.shift_remove("cell_sites");
        json.shift_remove("input_table");
    }
    if let Some(train) = json.get_mut("train").and_then(Value::as_object_mut) {
        train.shift_remove("patience");
        if !options.train.schedule.has_end() {
            train.shift_remove("epochs");
        }
    }
    Ok(json)
}

/// Writes `training.safetensors` into a directory that exists.
///
/// `train` are the training's options with what its task goes without saying.
pub(crate) fn save(
    weights: &Weights,
    options: &LstmOptions,
    train: &TrainOptions,
    progress: &Progress,
    directory: &Path,
) -> Result<()> {
    let (sizes, epochs) = (weights.sizes, options.train.epochs);
    let record = Record { format: FORMAT, sizes, options: lasting(options)?, epochs, progress };
    let record = serde_json::to_string(&record).map_err(|e| Error::failed(e.to_string()))?;
    let mut tensors = weights.named();
    let is_trained = |(name, _): &(String, Vec<usize>)| train.trains(name);
    let trained: Vec<(String, Vec<usize>)> = sizes.tensors().into_iter().filter(is_trained).collect();
    for ((name, shape), values) in trained.iter().zip(progress.last.iter().flatten()) {
        let tensor = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu).map_err(failed)?;
        tensors.iter_mut().filter(|(of, _)| of == name).for_each(|(_, value)| *value = tensor.clone());
    }
    for ((name, shape), values) in trained.iter().zip(progress.best.iter().flatten()) {
        let tensor = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu).map_err(failed)?;
        tensors.push((format!("{BEST}.{name}"), tensor));
    }
    let shape = (options.train.batch, weights.sizes.hidden);
    for (k, state) in progress.cursor.states.iter().enumerate() {
        for (name, values) in state_names(k).into_iter().zip([&state.hidden, &state.cell]) {
            tensors.push((name, Tensor::from_slice(values, shape, &Device::Cpu).map_err(failed)?));
        }
    }
    for ((name, shape), means) in sizes.tensors().into_iter().zip(&progress.means).filter(|(of, _)| is_trained(of)) {
        for (part, values) in MEANS.into_iter().zip([&means.first, &means.second]) {
            let tensor = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu).map_err(failed)?;
            tensors.push((format!("{part}.{name}"), tensor));
        }
    }
    tensors::write(&directory.join(FILE), tensors, (RECORD, record))
}

/// What the names of the tensors of the best epoch begin with.
const BEST: &str = "best";
/// What the names of the tensors of [`Means`] begin with.
const MEANS: [&str; 2] = ["adam.first", "adam.second"];

/// The names of the tensors of layer `k`'s state, h and c, `[batch, hidden]` each.
fn state_names(k: usize) -> [String; 2] {
    ["hidden", "cell"].map(|part| format!("state.{k}.{part}"))
}

/// Reads what [`save`] wrote, for a model with these options.
///
/// # Errors
/// Where the file is missing, malformed, or not finite, the training was begun with other options, or its validation
/// loss had stopped improving, so that more epochs change nothing.
///
/// `train` as in [`save`].
pub(crate) fn load(options: &LstmOptions, train: &TrainOptions, directory: &Path) -> Result<Training> {
    let path = directory.join(FILE);
    let bytes = tensors::read(&path)?;
    let file = TensorFile::parse(&path, &bytes, "its record")?;
    let Some(record) = file.metadata(RECORD) else {
        return Err(invalid(&path, format_args!("it holds no training")));
    };
    let malformed = |e: &dyn std::fmt::Display| invalid(&path, format_args!("its record does not read: {e}"));
    // The format first: the rest of another format may mean anything.
    let record: Value = serde_json::from_str(&record).map_err(|e| malformed(&e))?;
    if record["format"] != FORMAT {
        let found = &record["format"];
        return Err(invalid(&path, format_args!("its format is {found}, but this version of txray reads {FORMAT}")));
    }
    let Record::<Progress> { sizes, options: begun, epochs, mut progress, .. } =
        serde_json::from_value(record).map_err(|e| malformed(&e))?;
    sizes.validate().and_then(|()| progress.validate()).map_err(|e| malformed(&e.message()))?;
    if let Some((pointer, begun, now)) = difference("", &begun, &lasting(options)?) {
        return Err(Error::at(
            pointer,
            format!("is {now}, but the training in {} was begun with {begun}; only that can go on", path.display()),
        ));
    }
    // Begun with more epochs, it would have stopped here as well.
    if progress.epoch >= epochs && options.train.epochs > epochs && progress.is_stale(&options.train) {
        return Err(Error::at(
            "/train/patience",
            format!("ran out when the training in {} ended: there is nothing to go on with", path.display()),
        ));
    }

    let layers = if progress.cursor.windows == 0 || sizes.labels.is_some() { 0 } else { sizes.layers };
    let trained: Vec<(String, Vec<usize>)> =
        sizes.tensors().into_iter().filter(|(name, _)| train.trains(name)).collect();
    let mut names: Vec<String> = sizes.tensors().into_iter().map(|(name, _)| name).collect();
    // Adam has no means before its first step.
    let has_means = train.optimizer() != Optimizer::Sgd && (progress.epoch > 0 || progress.cursor.windows > 0);
    if has_means {
        names.extend(trained.iter().flat_map(|(name, _)| MEANS.map(|part| format!("{part}.{name}"))));
    }
    // An epoch that was validated has been the best.
    let has_best = sizes.labels.is_some() && progress.best_valid.is_some();
    if has_best {
        names.extend(trained.iter().map(|(name, _)| format!("{BEST}.{name}")));
    }
    names.extend((0..layers).flat_map(state_names));
    file.only(&names)?;
    let weights = Weights::build(sizes, |name, shape| file.values(name, shape))?;
    let shape = [options.train.batch, sizes.hidden];
    for [hidden, cell] in (0..layers).map(state_names) {
        let (hidden, cell) = (file.values(&hidden, &shape)?, file.values(&cell, &shape)?);
        progress.cursor.states.push(LayerState { hidden, cell });
    }
    if has_means {
        for (name, shape) in sizes.tensors() {
            if !train.trains(&name) {
                progress.means.push(Means::default());
                continue;
            }
            let [first, second] = MEANS.map(|part| file.values(&format!("{part}.{name}"), &shape));
            progress.means.push(Means { first: first?, second: second? });
        }
    }
    if has_best {
        let values = trained.iter().map(|(name, shape)| file.values(&format!("{BEST}.{name}"), shape));
        progress.best = Some(values.collect::<Result<_>>()?);
    }
    Ok(Training { weights, progress })
}

/// The first value in which two JSON texts differ: its pointer, and what it is in each.
fn difference(pointer: &str, a: &Value, b: &Value) -> Option<(String, Value, Value)> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = b.keys().chain(a.keys().filter(|key| !b.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let of = |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                difference(&format!("{pointer}/{key}"), &of(a), &of(b))
            })
        }
        _ => (a != b).then(|| (pointer.to_owned(), a.clone(), b.clone())),
    }
}
