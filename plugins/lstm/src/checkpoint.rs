//! Checkpoint directories: `config.json` and `model.safetensors`, as PyTorch and Hugging Face write them.

use std::borrow::Cow;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use txray_plugin::{Error, Result, State};

use crate::weights::{Sizes, Weights, to_vec};

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
    let config = read(&path)?;
    let config: Config =
        serde_json::from_slice(&config).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
    if config.model_type != MODEL_TYPE {
        return Err(Error::invalid(format!(
            "{}: the model_type is `{}`, but this reads `{MODEL_TYPE}`",
            path.display(),
            config.model_type
        )));
    }
    let sizes = Sizes {
        vocabulary: config.vocab_size,
        embedding: config.embedding_size,
        hidden: config.hidden_size,
        layers: config.num_layers,
    };
    sizes.validate().map_err(|e| Error::invalid(format!("{}: {}", path.display(), e.message())))?;

    let path = directory.join(WEIGHTS);
    let invalid = |what: String| Error::invalid(format!("{}: {what}", path.display()));
    let bytes = read(&path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| invalid(format!("not a whole safetensors file ({e})")))?;
    let expected = sizes.tensors();
    let mut unknown: Vec<&str> = file.names().into_iter().filter(|n| !expected.iter().any(|(e, _)| e == n)).collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        let more = if unknown.len() > 5 { ", ..." } else { "" };
        unknown.truncate(5);
        return Err(invalid(format!(
            "unexpected tensors for a model of {} layers: {}{more}",
            sizes.layers,
            unknown.join(", ")
        )));
    }
    let weights = Weights::build(sizes, |name, shape| {
        let tensor = file.tensor(name).map_err(|_| invalid(format!("there is no tensor `{name}`")))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(invalid(format!("tensor `{name}` is of type {:?}; only F32 is read", tensor.dtype())));
        }
        if tensor.shape() != shape {
            let found = tensor.shape();
            return Err(invalid(format!("tensor `{name}` has shape {found:?}; {CONFIG} says {shape:?}")));
        }
        let (values, _) = tensor.data().as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        match values.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(invalid(format!("tensor `{name}` holds {} at element {i}", values[i]))),
            None => Ok(values),
        }
    })?;
    Ok((weights, config.trained_state))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::invalid(format!("{}: there is no such file", path.display())),
        _ => Error::invalid(format!("{}: {e}", path.display())),
    })
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
    fs::write(&path, json + "\n").map_err(|e| Error::failed(format!("{}: {e}", path.display())))?;

    let mut tensors = Vec::new();
    for ((name, shape), variable) in sizes.tensors().into_iter().zip(weights.variables()) {
        tensors.push((name, Values { shape, values: to_vec(variable)? }));
    }
    // `safetensors` orders tensors of one type by name. PyTorch's readers look for the format.
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let path = directory.join(WEIGHTS);
    safetensors::serialize_to_file(tensors, Some(metadata), &path)
        .map_err(|e| Error::failed(format!("{}: {e}", path.display())))
}

/// A tensor as `safetensors` wants to see it.
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl View for Values {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>().into()
    }
    fn data_len(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}
