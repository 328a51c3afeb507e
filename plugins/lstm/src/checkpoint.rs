//! Checkpoint directories: `config.json` and `model.safetensors`, as PyTorch and Hugging Face write them.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use txray_plugin::{Error, Result, State};

use crate::tensors::{self, TensorFile, invalid};
use crate::weights::{Sizes, Weights};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const MODEL_TYPE: &str = "txray-lstm";

/// `config.json`. Keys that are not ours are left to whoever wrote them.
#[derive(Serialize, Deserialize)]
struct Config {
    model_type: String,
    vocab_size: usize,
    embedding_size: usize,
    hidden_size: usize,
    num_layers: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trained_state: Option<State>,
}

/// Reads a checkpoint: the weights, and what happened to the state at document starts in training if that is known.
///
/// # Errors
/// Where a file is missing or malformed, or a tensor is missing, unknown, of another shape or type, or not finite. The
/// message names the file and the tensor.
pub(crate) fn load(directory: &Path) -> Result<(Weights, Option<State>)> {
    let path = directory.join(CONFIG);
    let config: Config =
        serde_json::from_slice(&tensors::read(&path)?).map_err(|e| invalid(&path, format_args!("{e}")))?;
    if config.model_type != MODEL_TYPE {
        let found = config.model_type;
        return Err(invalid(&path, format_args!("the model_type is `{found}`, but this reads `{MODEL_TYPE}`")));
    }
    let sizes = Sizes {
        vocabulary: config.vocab_size,
        embedding: config.embedding_size,
        hidden: config.hidden_size,
        layers: config.num_layers,
    };
    sizes.validate().map_err(|e| invalid(&path, format_args!("{}", e.message())))?;

    let path = directory.join(WEIGHTS);
    let bytes = tensors::read(&path)?;
    let file = TensorFile::parse(&path, &bytes, CONFIG)?;
    file.only(&sizes.tensors().into_iter().map(|(name, _)| name).collect::<Vec<_>>())?;
    let weights = Weights::build(sizes, |name, shape| file.values(name, shape))?;
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
        trained_state,
    };
    let path = directory.join(CONFIG);
    let json = serde_json::to_string_pretty(&config).map_err(|e| Error::failed(e.to_string()))?;
    fs::write(&path, json + "\n").map_err(|e| Error::invalid(format!("cannot write {}: {e}", path.display())))?;
    // PyTorch's readers look for the format.
    tensors::write(&directory.join(WEIGHTS), weights.named(), ("format", "pt".to_owned()))
}
