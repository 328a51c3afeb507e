//! The weights: what is computed with them, and their files.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use txray_plugin::random::Stream;
use txray_plugin::serde::{Deserialize, Serialize};
use txray_plugin::{Error, Result, serde_json};

/// `embedding` [vocabulary, hidden], `decoder` [vocabulary, hidden], `bias` [vocabulary].
pub struct Weights {
    pub vocabulary: usize,
    pub hidden: usize,
    embedding: Vec<f32>,
    decoder: Vec<f32>,
    bias: Vec<f32>,
}

/// `config.json`. `model_type` is how a pipeline with `path = "..."` finds the plugin that reads the directory.
#[derive(Deserialize, Serialize)]
#[serde(crate = "txray_plugin::serde")]
struct Config {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
}

impl Weights {
    pub fn random(vocabulary: usize, hidden: usize, seed: u64) -> Self {
        let uniform = |name: &str, count: usize, bound: f32| {
            let mut values = vec![0.0; count];
            Stream::new(seed, name, 0).fill_uniform(&mut values, -bound, bound);
            values
        };
        Self {
            vocabulary,
            hidden,
            embedding: uniform("embedding", vocabulary * hidden, 0.5),
            decoder: uniform("decoder", vocabulary * hidden, 0.1),
            bias: vec![0.0; vocabulary],
        }
    }

    pub fn parameters(&self) -> u64 {
        (self.embedding.len() + self.decoder.len() + self.bias.len()) as u64
    }

    fn row(&self, id: u32) -> std::ops::Range<usize> {
        id as usize * self.hidden..(id as usize + 1) * self.hidden
    }

    /// h = tanh(E[id]), `[hidden]`.
    pub fn hidden(&self, id: u32, h: &mut [f32]) {
        h.iter_mut().zip(&self.embedding[self.row(id)]).for_each(|(h, e)| *h = e.tanh());
    }

    /// The negative log-likelihood of `next`; leaves the probabilities in `p`, `[vocabulary]`.
    pub fn predict(&self, h: &[f32], next: u32, p: &mut [f32]) -> f32 {
        for ((p, row), bias) in p.iter_mut().zip(self.decoder.chunks_exact(self.hidden)).zip(&self.bias) {
            *p = bias + row.iter().zip(h).map(|(d, h)| d * h).sum::<f32>();
        }
        let most = p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        p.iter_mut().for_each(|p| *p = (*p - most).exp());
        let whole: f32 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= whole);
        -p[next as usize].max(f32::MIN_POSITIVE).ln()
    }

    /// One step of SGD on one pair of tokens; gives the loss before it.
    pub fn learn(&mut self, given: u32, next: u32, rate: f32) -> f32 {
        let (mut h, mut p) = (vec![0.0; self.hidden], vec![0.0; self.vocabulary]);
        self.hidden(given, &mut h);
        let loss = self.predict(&h, next, &mut p);
        // The gradient of the logits.
        p[next as usize] -= 1.0;
        let mut dh = vec![0.0; self.hidden];
        for ((row, bias), p) in self.decoder.chunks_exact_mut(self.hidden).zip(&mut self.bias).zip(&p) {
            for ((d, dh), h) in row.iter_mut().zip(&mut dh).zip(&h) {
                *dh += p * *d;
                *d -= rate * p * h;
            }
            *bias -= rate * p;
        }
        let at = self.row(given);
        for ((e, dh), h) in self.embedding[at].iter_mut().zip(&dh).zip(&h) {
            *e -= rate * dh * (1.0 - h * h);
        }
        loss
    }

    pub fn save(&self, directory: &Path) -> Result<()> {
        let (vocab_size, hidden_size) = (self.vocabulary, self.hidden);
        let config = Config { model_type: "{{name}}".to_owned(), vocab_size, hidden_size };
        write_json(&directory.join("config.json"), &config)?;
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let [embedding, decoder, bias] = [bytes(&self.embedding), bytes(&self.decoder), bytes(&self.bias)];
        let matrix = vec![vocab_size, hidden_size];
        let tensors = [
            ("embedding", matrix.clone(), &embedding),
            ("decoder", matrix, &decoder),
            ("bias", vec![vocab_size], &bias),
        ];
        let views: std::result::Result<Vec<_>, _> = tensors
            .into_iter()
            .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape, bytes)?)))
            .collect();
        views
            .and_then(|views| safetensors::serialize_to_file(views, None, &directory.join("model.safetensors")))
            .map_err(|error| Error::failed(format!("cannot write the weights: {error}")))
    }

    pub fn load(directory: &Path) -> Result<Self> {
        let config: Config = read_json(&directory.join("config.json"))?;
        let path = directory.join("model.safetensors");
        let wrong = |what: &dyn std::fmt::Display| Error::invalid(format!("{}: {what}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| wrong(&error))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(&error))?;
        let tensor = |name: &str, shape: &[usize]| {
            let view = tensors.tensor(name).map_err(|error| wrong(&error))?;
            if view.dtype() != Dtype::F32 || view.shape() != shape {
                return Err(wrong(&format!("`{name}` is {:?} of {:?}, not F32 of {shape:?}", view.dtype(), view.shape())));
            }
            let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            Ok(view.data().chunks_exact(4).map(value).collect::<Vec<f32>>())
        };
        let matrix = [config.vocab_size, config.hidden_size];
        let [embedding, decoder] = [tensor("embedding", &matrix)?, tensor("decoder", &matrix)?];
        let bias = tensor("bias", &matrix[..1])?;
        if embedding.iter().chain(&decoder).chain(&bias).any(|value| !value.is_finite()) {
            return Err(wrong(&"a weight is not finite"));
        }
        Ok(Self { vocabulary: config.vocab_size, hidden: config.hidden_size, embedding, decoder, bias })
    }
}

pub fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let wrong = |what: &dyn std::fmt::Display| Error::invalid(format!("{}: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(&error))
}

pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let failed = |what: &dyn std::fmt::Display| Error::failed(format!("cannot write {}: {what}", path.display()));
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| failed(&error))?;
    std::fs::write(path, bytes).map_err(|error| failed(&error))
}
