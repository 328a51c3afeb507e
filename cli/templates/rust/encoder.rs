//! {{name}}: a model that is read and not trained, for txray, as small as one can be: its neurons are the values of a token's
//! embedding, `encoder.weight` of a checkpoint, h = E[token]. So it reads what the embeddings of a language model alone know;
//! put the network you want to look into in its place.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use txray_plugin::random::Stream;
use txray_plugin::serde_json::json;
use txray_plugin::{
    Capabilities, Component, Encode, EncodeRequest, Error, Host, Model, ModelDescription, NoOptions, Result, RuleKind, Site,
};

/// The file of the weights, and the tensor in it.
const FILE: &str = "model.safetensors";
const TENSOR: &str = "encoder.weight";
/// Values of an embedding that is drawn; one that is loaded has its own.
const WIDTH: usize = 16;

/// `[vocabulary, width]` values.
#[derive(Default)]
struct {{Type}} {
    vocabulary: usize,
    width: usize,
    embedding: Vec<f32>,
}

/// Where it is read.
fn sites(width: usize) -> Vec<Site> {
    vec![Site { name: "embedding".to_owned(), width }]
}

impl Component for {{Type}} {
    const KIND: &'static str = "{{name}}";
    const ABOUT: &'static str = "the embeddings of a language model";
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self::default())
    }
}

impl Model for {{Type}} {
    fn capabilities(&self) -> Capabilities {
        let rules = vec![RuleKind::Top, RuleKind::Above, RuleKind::All];
        Capabilities { rules, sites: sites(WIDTH), ..Capabilities::default() }
    }

    fn describe(&self) -> Result<ModelDescription> {
        if self.embedding.is_empty() {
            return Err(Error::failed("the model has no weights yet"));
        }
        Ok(ModelDescription {
            sites: sites(self.width),
            vocabulary: self.vocabulary,
            parameters: self.embedding.len() as u64,
            heads: vec![],
            unmaskable: vec![],
            lacks: vec![],
            longest_context: None,
            trained_state: None,
        })
    }

    fn initialize(&mut self, _: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        let mut embedding = vec![0.0; vocabulary * WIDTH];
        Stream::new(seed, TENSOR, 0).fill_uniform(&mut embedding, -1.0, 1.0);
        *self = Self { vocabulary, width: WIDTH, embedding };
        Ok(())
    }

    fn load(&mut self, _: &Host<'_>, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let wrong = |what: &dyn std::fmt::Display| Error::invalid(format!("{}: {what}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| wrong(&error))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
        let tensor = tensors.tensor(TENSOR).map_err(|error| wrong(&error))?;
        let (Dtype::F32, &[vocabulary, width]) = (tensor.dtype(), tensor.shape()) else {
            return Err(wrong(&format!("`{TENSOR}` is {:?} of {:?}", tensor.dtype(), tensor.shape())));
        };
        let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let embedding: Vec<f32> = tensor.data().chunks_exact(4).map(value).collect();
        if embedding.iter().any(|value| !value.is_finite()) {
            return Err(wrong(&"a weight is not finite"));
        }
        *self = Self { vocabulary, width, embedding };
        Ok(())
    }

    fn save(&self, _: &Host<'_>, directory: &Path) -> Result<()> {
        // By its `model_type` a pipeline with `path = "..."` finds the plugin that reads the directory.
        std::fs::write(directory.join("config.json"), json!({ "model_type": Self::KIND }).to_string())
            .map_err(|error| Error::failed(format!("cannot write config.json: {error}")))?;
        let bytes: Vec<u8> = self.embedding.iter().flat_map(|value| value.to_le_bytes()).collect();
        TensorView::new(Dtype::F32, vec![self.vocabulary, self.width], &bytes)
            .and_then(|view| safetensors::serialize_to_file([(TENSOR, view)], None, &directory.join(FILE)))
            .map_err(|error| Error::failed(format!("cannot write the weights: {error}")))
    }

    // What it can do beyond the base.
    txray_plugin::abilities!(encode);
}

impl Encode for {{Type}} {
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        for (index, site) in request.sites.iter_mut().enumerate() {
            for (token, &id) in request.text.ids.iter().enumerate() {
                if token % 4096 == 0 && host.cancelled() {
                    return Err(Error::cancelled());
                }
                site.record(index, token, &self.embedding[id as usize * self.width..][..self.width], request.emit);
            }
        }
        Ok(())
    }
}

txray_plugin::plugin!(models = [{{Type}}]);

#[cfg(test)]
mod tests {
    txray_conformance::model_suite!(crate::plugin);
}
