//! Checkpoint directories: `config.json` and `model.safetensors`, as PyTorch and Hugging Face write them.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::{Component, Error, Host, Level, Result, State};

use crate::Lstm;
use crate::labels::{Labels, Pooling};
use crate::tensors::{self, Checkpoint, invalid};
use crate::weights::{BIAS, CLASSIFIER, CLASSIFIER_BIAS, Cell, DECODER, ENCODER, Sizes, Weights};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const MODEL_TYPE: &str = "txray-lstm";

/// What `config.json` says of a model: nothing that its tensors do not say, too, but how it was trained. Other programs may add
/// keys of their own, which are ignored.
// The doc comments are the reference, in `docs/checkpoints.md`.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// Says that these keys are meant. A file with another, or without one, is of another program: nothing in it is read, and the
    /// tensors say it all.
    #[schemars(extend("enum" = [MODEL_TYPE, Lstm::KIND]))]
    model_type: String,
    /// Rows of the embedding: tokens of the vocabulary, and any to spare. Default: the first side of `encoder.weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vocab_size: Option<usize>,
    /// Values in a token's embedding. Default: the second side of `encoder.weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding_size: Option<usize>,
    /// Neurons of a layer, in each direction. Default: the second side of `weight_hh_l0`, or of `weight_hr_l0` where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hidden_size: Option<usize>,
    /// Layers, one above the other. Default: as many as there are `weight_ih_l0`, `weight_ih_l1`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_layers: Option<usize>,
    /// What a layer is made of. Default: by the rows of `weight_hh_l0`, four or three a neuron.
    #[serde(default, skip_serializing_if = "is_usual")]
    cell: Option<Cell>,
    /// Whether the output layer's weights are the embedding's. Default: whether both have the same values, as
    /// they have where they are one tensor.
    // Written though it be false: both may have the same values, and be trained apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tied: Option<bool>,
    /// Whether each layer reads in both directions. Default: whether there is a `weight_ih_l0_reverse`.
    #[serde(default, skip_serializing_if = "is_false")]
    bidirectional: Option<bool>,
    /// The width that an LSTM's outputs are projected to. 0 is none. Default: the first side of `weight_hr_l0`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proj_size: Option<usize>,
    /// What the linear layer after the layers tells, where it is not the next token: the label of a document, or of each token. It is
    /// then `classifier.weight`, whatever it is called in the file. Default: nothing; a layer over something else than the
    /// vocabulary is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<Labelled>,
    /// How many labels there are. Default: the first side of `classifier.weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_labels: Option<usize>,
    /// What of the last layer's outputs a classifier of documents reads. Default: `"last"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pooling: Option<Pooling>,
    /// What happened to the state where a document began, while it was trained: a stage that does not say its `state` reads so. No
    /// tensor tells it. Default: unknown, and a stage reads with `"reset"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trained_state: Option<State>,
}

/// What has labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Labelled {
    /// Documents.
    Classification,
    /// Tokens.
    Tagging,
}

fn is_false(value: &Option<bool>) -> bool {
    *value != Some(true)
}

fn is_usual(cell: &Option<Cell>) -> bool {
    cell.unwrap_or_default() == Cell::default()
}

impl Config {
    fn of(sizes: Sizes, trained_state: Option<State>) -> Self {
        Self {
            model_type: MODEL_TYPE.to_owned(),
            vocab_size: Some(sizes.vocabulary),
            embedding_size: Some(sizes.embedding),
            hidden_size: Some(sizes.hidden),
            num_layers: Some(sizes.layers),
            cell: Some(sizes.cell),
            tied: Some(sizes.tied),
            bidirectional: Some(sizes.bidirectional),
            proj_size: sizes.projection,
            task: sizes
                .labels
                .map(|of| if of.pooling.is_some() { Labelled::Classification } else { Labelled::Tagging }),
            num_labels: sizes.labels.map(|labels| labels.classes),
            pooling: sizes.labels.and_then(|labels| labels.pooling),
            trained_state,
        }
    }

    /// That of a directory; none, where there is none, or where it is of another program, which calls its sizes otherwise.
    fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(CONFIG);
        if directory.is_dir() && !path.exists() {
            return Ok(None);
        }
        let bytes = tensors::read(&path)?;
        let malformed = |e: serde_json::Error| invalid(&path, format_args!("{e}"));
        let keys: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes).map_err(malformed)?;
        let model_type = keys.get("model_type").and_then(|name| name.as_str());
        // By hand, one writes what the component is called.
        let is_ours = [MODEL_TYPE, Lstm::KIND].iter().any(|ours| model_type == Some(ours));
        if is_ours { serde_json::from_slice(&bytes).map(Some).map_err(malformed) } else { Ok(None) }
    }
}

/// The weights, and what happened to the state at document starts in training, where the file says so. What the tensors alone
/// tell of the sizes is told to the host.
///
/// # Errors
/// Where a file is missing or malformed, or a tensor is missing, unknown, of another shape or type, or not finite. The
/// message names the file and the tensor.
pub(crate) fn load(host: &Host<'_>, directory: &Path) -> Result<(Weights, Option<State>)> {
    let config = Config::read(directory)?;
    let told = config.is_some();
    let config = config.unwrap_or_default();
    let file = Checkpoint::open(directory, if told { CONFIG } else { "the rest of the file" })?;
    let mut sizes = sizes(&config, &file)?;
    let path = if told { directory.join(CONFIG) } else { file.path().to_owned() };
    sizes.validate().map_err(|e| invalid(&path, format_args!("{}", e.message())))?;

    // Without any, PyTorch's `bias = False`.
    let of_layers = format!("{}.bias", sizes.cell.name());
    let has_biases = sizes.tensors().iter().any(|(name, _)| name.starts_with(&of_layers) && file.has(name));
    let is_left_out = |name: &str| {
        let is_bias = name.contains(".bias");
        is_bias && !file.has(in_file(name)) && (!name.starts_with(&of_layers) || !has_biases)
    };
    // A decoder that is the embedding's weights, though the config does not say so.
    if config.tied.is_none()
        && !sizes.headless
        && file.matrix(ENCODER).is_some()
        && file.matrix(DECODER) == file.matrix(ENCODER)
    {
        let shape = [sizes.vocabulary, sizes.embedding];
        sizes.tied = file.values(DECODER, &shape)? == file.values(ENCODER, &shape)?;
    }
    let mut names: Vec<String> = sizes.tensors().into_iter().map(|(name, _)| in_file(&name).to_owned()).collect();
    // PyTorch writes the decoder of a tied model as well.
    let written = sizes.tied && file.has(DECODER);
    names.extend(written.then(|| DECODER.to_owned()));
    if sizes.headless && sizes.labels.is_none() && (file.has(DECODER) || file.has(BIAS)) {
        // Left out, it would change what the layers read.
        if file.matrix(DECODER) == Some([sizes.embedding; 2]) {
            let what = format_args!(
                "`{DECODER}`, {0} by {0}, may stand between the embedding and the layers, where nothing is read; if it only \
                 follows the layers, leave it out of the file",
                sizes.embedding
            );
            return Err(invalid(file.path(), what));
        }
        let why = match sizes.bidirectional {
            true => "a network that reads from both ends predicts nothing",
            false => "it is not one over the vocabulary, and no `task` in config.json says that it is one over labels",
        };
        host.log(Level::Information, &format!("{}: its output layer is left out: {why}", file.path().display()));
        names.extend([DECODER.to_owned(), BIAS.to_owned()]);
    }
    file.only(&names)?;
    let weights = Weights::build(sizes, |name, shape| match is_left_out(name) {
        true => Ok(vec![0.0; shape.iter().product()]),
        false => file.values(in_file(name), shape),
    })?;
    if written && config.tied == Some(true) {
        let decoder = file.values(DECODER, &[sizes.vocabulary, sizes.last()])?;
        if weights.read(|weights| Ok(weights.encoder != decoder))? {
            return Err(invalid(directory, format_args!("`{DECODER}` is not `{ENCODER}`, but {CONFIG} says tied")));
        }
    }
    if !told {
        let json = serde_json::to_string(&Config::of(sizes, None)).map_err(|e| Error::failed(e.to_string()))?;
        let path = directory.join(CONFIG);
        host.log(
            Level::Information,
            &format!("sizes are taken from the tensors; {} would say: {json}", path.display()),
        );
    }
    Ok((weights, config.trained_state))
}

/// What a tensor is called among those of a file: the layer after the recurrent ones is the decoder there, whatever it is over.
fn in_file(name: &str) -> &str {
    match name {
        CLASSIFIER => DECODER,
        CLASSIFIER_BIAS => BIAS,
        other => other,
    }
}

/// The sizes that a config says, and those that it leaves out from the tensors.
fn sizes(config: &Config, file: &Checkpoint) -> Result<Sizes> {
    let Some(cell) = config.cell.or(file.cell) else {
        let what = "there are no LSTM or GRU layers in it: no tensor is called `weight_hh_l0`, alone or after a module's name; it has";
        return Err(invalid(file.path(), format_args!("{what} {}", file.some())));
    };
    if let Some(found) = file.cell.filter(|found| *found != cell) {
        let what = format_args!(
            "{CONFIG} says that its `cell` is `{}`, and its tensors are of `{}`",
            cell.name(),
            found.name()
        );
        return Err(invalid(file.path(), what));
    }
    let name = |part: &str, layer: usize, reverse: &str| format!("{}.{part}_l{layer}{reverse}", cell.name());
    let encoder = file.matrix(ENCODER);
    if encoder.is_none() && (config.vocab_size.is_none() || config.embedding_size.is_none()) {
        let what = "there is no embedding in it: a matrix `encoder.weight` or `embedding.weight`, `[vocabulary, input of the layers]`";
        return Err(invalid(file.path(), format_args!("{what}; it has {}", file.some())));
    }
    let [vocabulary, embedding] = encoder.unwrap_or_default();
    let projection = match config.proj_size {
        Some(said) => Some(said).filter(|&size| size > 0),
        None => file.matrix(&name("weight_hr", 0, "")).map(|[to, _]| to),
    };
    let hidden = match file.matrix(&name("weight_hr", 0, "")) {
        Some([_, hidden]) => hidden,
        None => file.matrix(&name("weight_hh", 0, "")).map_or(0, |[_, hidden]| hidden),
    };
    let layers = (0..).take_while(|&layer| file.has(&name("weight_ih", layer, ""))).count();
    let bidirectional = config.bidirectional.unwrap_or_else(|| file.has(&name("weight_ih", 0, "_reverse")));
    let sizes = Sizes {
        vocabulary: config.vocab_size.unwrap_or(vocabulary),
        embedding: config.embedding_size.unwrap_or(embedding),
        hidden: config.hidden_size.unwrap_or(hidden),
        layers: config.num_layers.unwrap_or(layers),
        cell,
        tied: !bidirectional && config.tied == Some(true),
        headless: false,
        bidirectional,
        projection,
        labels: None,
    };
    if let Some(task) = config.task {
        if bidirectional {
            let what =
                "a network that reads from both ends predicts nothing: leave `task` out, and its output layer is";
            return Err(invalid(file.path(), format_args!("{what}")));
        }
        let Some([rows, _]) = file.matrix(DECODER) else {
            let what = format_args!(
                "{CONFIG} says `task`, and there is no linear layer after the layers, `{CLASSIFIER}`; it has"
            );
            return Err(invalid(file.path(), format_args!("{what} {}", file.some())));
        };
        let pooling = (task == Labelled::Classification).then_some(config.pooling.unwrap_or_default());
        let labels = Labels { classes: config.num_labels.unwrap_or(rows), pooling };
        return Ok(Sizes { headless: true, tied: false, labels: Some(labels), ..sizes });
    }
    // A network that reads from both ends has read what it would predict. What is there but called otherwise is unexpected.
    let is_over_the_vocabulary = match file.matrix(DECODER) {
        Some(shape) => shape == [sizes.vocabulary, sizes.last()],
        None => file.has(BIAS),
    };
    Ok(Sizes { headless: !sizes.tied && (bidirectional || !is_over_the_vocabulary), ..sizes })
}

/// Writes a checkpoint into a directory that exists. Equal weights give equal bytes.
pub(crate) fn save(weights: &Weights, trained_state: Option<State>, directory: &Path) -> Result<()> {
    let sizes = weights.sizes;
    let config = Config::of(sizes, trained_state);
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
