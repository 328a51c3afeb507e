//! Checkpoint directories: `config.json` and `model.safetensors`, as PyTorch and Hugging Face write them.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use txray_plugin::{Component, Error, Result, State};

use crate::Lstm;
use crate::tensors::{self, Checkpoint, invalid};
use crate::weights::{Cell, DECODER, ENCODER, Sizes, Weights};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const MODEL_TYPE: &str = "txray-lstm";

/// `config.json`. Other programs may add keys of their own, which are ignored.
#[derive(Serialize, Deserialize)]
struct Config {
    model_type: String,
    vocab_size: usize,
    embedding_size: usize,
    hidden_size: usize,
    num_layers: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    cell: Cell,
    #[serde(default, skip_serializing_if = "is_default")]
    tied: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trained_state: Option<State>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The weights, and what happened to the state at document starts in training, where the file says so.
///
/// # Errors
/// Where a file is missing or malformed, or a tensor is missing, unknown, of another shape or type, or not finite. The
/// message names the file and the tensor.
pub(crate) fn load(directory: &Path) -> Result<(Weights, Option<State>)> {
    let path = directory.join(CONFIG);
    let config: Config =
        serde_json::from_slice(&tensors::read(&path)?).map_err(|e| invalid(&path, format_args!("{e}")))?;
    // By hand, one writes what the component is called.
    if ![MODEL_TYPE, Lstm::KIND].contains(&&*config.model_type) {
        let found = config.model_type;
        return Err(invalid(&path, format_args!("the model_type is `{found}`, but this reads `{MODEL_TYPE}`")));
    }
    let sizes = Sizes {
        vocabulary: config.vocab_size,
        embedding: config.embedding_size,
        hidden: config.hidden_size,
        layers: config.num_layers,
        cell: config.cell,
        tied: config.tied,
        headless: false,
    };
    sizes.validate().map_err(|e| invalid(&path, format_args!("{}", e.message())))?;

    let file = Checkpoint::open(directory, sizes.cell.name(), CONFIG)?;
    let recurrent = |part: &str| format!("{}.{part}", sizes.cell.name());
    for (sign, what) in [
        (recurrent("weight_ih_l0_reverse"), "it is bidirectional"),
        (recurrent("weight_hr_l0"), "its outputs are projected (`proj_size`)"),
    ] {
        if file.has(&sign) {
            return Err(invalid(directory, format_args!("{what}, and such layers are not read")));
        }
    }
    let tied = sizes.tied || file.is_alias(DECODER, ENCODER);
    // What is there but called otherwise is told below: it is then unexpected.
    let headless = !tied && !file.has(DECODER) && !file.has("decoder.bias");
    let sizes = Sizes { tied, headless, ..sizes };
    sizes.validate().map_err(|e| invalid(&path, format_args!("{}", e.message())))?;
    // Without any, PyTorch's `bias = False`.
    let has_biases = file.has(&recurrent("bias_ih_l0")) || file.has(&recurrent("bias_hh_l0"));
    let is_left_out = |name: &str| {
        let is_bias = name.contains(".bias");
        is_bias && !file.has(name) && (name.starts_with("decoder.") || !has_biases)
    };
    let mut names: Vec<String> = sizes.tensors().into_iter().map(|(name, _)| name).collect();
    // PyTorch writes the decoder of a tied model as well.
    let written = sizes.tied && file.has(DECODER);
    names.extend(written.then(|| DECODER.to_owned()));
    file.only(&names)?;
    let weights = Weights::build(sizes, |name, shape| match is_left_out(name) {
        true => Ok(vec![0.0; shape.iter().product()]),
        false => file.values(name, shape),
    })?;
    if written {
        let decoder = file.values(DECODER, &[sizes.vocabulary, sizes.hidden])?;
        if weights.read(|weights| Ok(weights.encoder != decoder))? {
            return Err(invalid(directory, format_args!("`{DECODER}` is not `{ENCODER}`, but {CONFIG} says tied")));
        }
    }
    Ok((weights, config.trained_state))
}

/// Writes a checkpoint into a directory that exists. Equal weights give equal bytes.
pub(crate) fn save(weights: &Weights, trained_state: Option<State>, directory: &Path) -> Result<()> {
    let sizes = weights.sizes;
    let config = Config {
        model_type: MODEL_TYPE.to_owned(),
        vocab_size: sizes.vocabulary,
        embedding_size: sizes.embedding,
        hidden_size: sizes.hidden,
        num_layers: sizes.layers,
        cell: sizes.cell,
        tied: sizes.tied,
        trained_state,
    };
    let path = directory.join(CONFIG);
    let json = serde_json::to_string_pretty(&config).map_err(|e| Error::failed(e.to_string()))?;
    fs::write(&path, json + "\n").map_err(|e| Error::invalid(format!("cannot write {}: {e}", path.display())))?;
    let mut tensors = weights.named();
    if sizes.tied {
        // As PyTorch's `state_dict` has it, which loads a file only if every tensor is there.
        tensors.push((DECODER.to_owned(), weights.encoder.as_tensor().clone()));
    }
    // PyTorch's readers look for the format.
    tensors::write(&directory.join(WEIGHTS), tensors, ("format", "pt".to_owned()))
}
