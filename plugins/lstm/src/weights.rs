//! The parameters, as candle variables under PyTorch's names.

use candle_core::{Device, Storage, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::random::Stream;
use txray_plugin::{Error, Result};

use crate::labels::Labels;
use crate::memory;

/// The widest embedding or layer.
pub(crate) const MAX_WIDTH: usize = 1 << 16;
/// A tied model's file may have it too, with the values of `encoder.weight`.
pub(crate) const DECODER: &str = "decoder.weight";
/// Its bias.
pub(crate) const BIAS: &str = "decoder.bias";
/// The embeddings.
pub(crate) const ENCODER: &str = "encoder.weight";
/// The head over labels, `[labels, features]`.
pub(crate) const CLASSIFIER: &str = "classifier.weight";
/// Its bias.
pub(crate) const CLASSIFIER_BIAS: &str = "classifier.bias";
pub(crate) const MAX_LAYERS: usize = 64;
/// Gate sums of a neuron: what is added up before the nonlinearities. An LSTM has one a gate: i, f, g, o. A GRU has r,
/// z, and two for its candidate, whose part of the state is scaled by r before it joins the part of the input.
pub(crate) const GATE_SUMS: usize = 4;

/// What a recurrent layer is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Long short-term memory: gates i, f, g, o.
    #[default]
    Lstm,
    /// A gated recurrent unit as PyTorch has it: gates r, z, n, the reset applied after the product.
    Gru,
}

impl Cell {
    /// What the names of its sites and tensors begin with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }

    /// How many gates a neuron has.
    pub(crate) fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }
}

/// The sizes that fix every tensor's shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    pub vocabulary: usize,
    pub embedding: usize,
    pub hidden: usize,
    pub layers: usize,
    pub cell: Cell,
    /// Whether the decoder's weights are the embeddings.
    pub tied: bool,
    /// Whether there is no decoder over the vocabulary: such a model predicts labels, or is only read.
    #[serde(default)]
    pub headless: bool,
    /// Whether each layer reads in both directions: two passes, the second from the end.
    #[serde(default)]
    pub bidirectional: bool,
    /// The width that an LSTM's outputs are projected to, PyTorch's `proj_size`; none: they are as they are.
    #[serde(default)]
    pub projection: Option<usize>,
    /// The head over labels, in place of the decoder.
    #[serde(default)]
    pub labels: Option<Labels>,
}

impl Sizes {
    /// Refuses sizes that no model has: 0, too large, or tied embeddings of another width than the layers.
    pub fn validate(&self) -> Result<()> {
        for (name, value, most) in [
            ("vocabulary", self.vocabulary, u32::MAX as usize),
            ("embedding", self.embedding, MAX_WIDTH),
            ("hidden", self.hidden, MAX_WIDTH),
            ("number of layers", self.layers, MAX_LAYERS),
            ("projection", self.output(), MAX_WIDTH),
        ] {
            if value == 0 || value > most {
                return Err(Error::invalid(format!("the {name} of the model is {value}; it must be 1 to {most}")));
            }
        }
        if self.tied && self.embedding != self.last() {
            let (embedding, last) = (self.embedding, self.last());
            return Err(Error::invalid(format!(
                "the decoder is tied to embeddings of {embedding} values, but there are {last} neurons"
            )));
        }
        if self.cell == Cell::Gru && self.projection.is_some() {
            return Err(Error::invalid("the outputs of a GRU are not projected"));
        }
        self.labels.as_ref().map_or(Ok(()), Labels::validate)
    }

    /// Whether the fast path reads it, and it can be trained; others are read by the plain network.
    pub fn is_usual(&self) -> bool {
        !self.bidirectional && self.projection.is_none()
    }

    /// Values of a pass's recurrent state: h, and an LSTM's c.
    pub fn state(&self) -> usize {
        self.output() + if self.cell == Cell::Lstm { self.hidden } else { 0 }
    }

    /// The width of a pass's outputs.
    pub fn output(&self) -> usize {
        self.projection.unwrap_or(self.hidden)
    }

    /// The width of the last layer's outputs, both directions side by side.
    pub fn last(&self) -> usize {
        self.directions() * self.output()
    }

    fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// Passes over a document: one a layer, or two, forward and from the end.
    pub fn passes(&self) -> usize {
        self.layers * self.directions()
    }

    /// The layer of a pass, and whether it reads from the end.
    pub fn pass(&self, pass: usize) -> (usize, bool) {
        (pass / self.directions(), pass % self.directions() == 1)
    }

    /// The width of the input of layer `layer`.
    pub fn input(&self, layer: usize) -> usize {
        if layer == 0 { self.embedding } else { self.last() }
    }

    /// The name of a pass's site (0, its outputs; 1, its cell), and its width.
    pub fn site(&self, pass: usize, site: usize) -> (String, usize) {
        let (layer, is_reverse) = self.pass(pass);
        let direction = match (self.bidirectional, is_reverse) {
            (false, _) => "",
            (true, false) => "forward.",
            (true, true) => "reverse.",
        };
        let (of, width) = if site == 0 { ("hidden", self.output()) } else { ("cell", self.hidden) };
        (format!("{}.{layer}.{direction}{of}", self.cell.name()), width)
    }

    /// Every tensor's name and shape, in the order of [`Weights::variables`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Self { vocabulary, embedding, hidden, cell, tied, headless, projection, .. } = *self;
        let (name, gates) = (cell.name(), cell.gates() * hidden);
        let mut all = vec![(ENCODER.to_owned(), vec![vocabulary, embedding])];
        for pass in 0..self.passes() {
            let (k, is_reverse) = self.pass(pass);
            let reverse = if is_reverse { "_reverse" } else { "" };
            let mut push = |part: &str, shape: Vec<usize>| all.push((format!("{name}.{part}_l{k}{reverse}"), shape));
            push("weight_ih", vec![gates, self.input(k)]);
            push("weight_hh", vec![gates, self.output()]);
            push("bias_ih", vec![gates]);
            push("bias_hh", vec![gates]);
            if let Some(projection) = projection {
                push("weight_hr", vec![projection, hidden]);
            }
        }
        if let Some(labels) = self.labels {
            all.push((CLASSIFIER.to_owned(), vec![labels.classes, labels.features(self.last())]));
            all.push((CLASSIFIER_BIAS.to_owned(), vec![labels.classes]));
        }
        if headless {
            return all;
        }
        if !tied {
            all.push((DECODER.to_owned(), vec![vocabulary, self.last()]));
        }
        all.push((BIAS.to_owned(), vec![vocabulary]));
        all
    }

    /// Bytes of all weights. No product of sizes that [`Sizes::validate`] takes overflows.
    pub fn bytes(&self) -> u128 {
        u128::from(self.parameters()) * size_of::<f32>() as u128
    }

    /// Those of a tied decoder are the encoder's, and counted once.
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>()).sum()
    }
}

/// The parameters of a layer, or of one direction of it; gates in PyTorch's order: those of an LSTM i, f, g, o, of a GRU r, z, n.
#[derive(Clone, Debug)]
pub(crate) struct Layer<T> {
    /// `[gates * hidden, input]`
    pub w_ih: T,
    /// `[gates * hidden, output]`
    pub w_hh: T,
    /// `[gates * hidden]`
    pub b_ih: T,
    /// `[gates * hidden]`
    pub b_hh: T,
    /// `[output, hidden]`; `None` where outputs are not projected.
    pub w_hr: Option<T>,
}

/// All parameters, each a [`Var`] in [`Weights`] and a slice in [`Slices`]. A clone of weights has the very same variables.
#[derive(Clone, Debug)]
pub(crate) struct Parameters<T> {
    pub sizes: Sizes,
    /// `[vocabulary, embedding]`
    pub encoder: T,
    /// `[passes]`
    pub layers: Vec<Layer<T>>,
    /// `[vocabulary, last]`; `None` where it is tied to the encoder, or there is none.
    own_decoder: Option<T>,
    /// `[vocabulary]`; `None` where there is no decoder.
    bias: Option<T>,
    /// `[labels, features]` and `[labels]`; `None` where there is no head over labels.
    classifier: Option<(T, T)>,
}

pub(crate) type Weights = Parameters<Var>;
pub(crate) type Slices<'a> = Parameters<&'a [f32]>;

impl<T> Parameters<T> {
    /// Takes the tensors in the order of [`Sizes::tensors`].
    fn collect(sizes: Sizes, tensors: impl IntoIterator<Item = Result<T>>) -> Result<Self> {
        let mut tensors = tensors.into_iter();
        let mut next = || tensors.next().unwrap_or_else(|| Err(Error::failed("a tensor is missing")));
        Ok(Self {
            sizes,
            encoder: next()?,
            layers: (0..sizes.passes())
                .map(|_| {
                    let (w_ih, w_hh, b_ih, b_hh) = (next()?, next()?, next()?, next()?);
                    let w_hr = sizes.projection.map(|_| next()).transpose()?;
                    Ok(Layer { w_ih, w_hh, b_ih, b_hh, w_hr })
                })
                .collect::<Result<_>>()?,
            classifier: sizes.labels.map(|_| Ok((next()?, next()?))).transpose()?,
            own_decoder: if sizes.tied || sizes.headless { None } else { Some(next()?) },
            bias: if sizes.headless { None } else { Some(next()?) },
        })
    }

    /// The decoder: its weights `[vocabulary, last]`, which are the encoder's where they are tied, and its bias `[vocabulary]`.
    ///
    /// # Errors
    /// There is none.
    pub fn decoder(&self) -> Result<(&T, &T)> {
        let missing = "the model has no decoder over its vocabulary: it predicts no tokens, and is no language model";
        let bias = self.bias.as_ref().ok_or_else(|| Error::invalid(missing))?;
        Ok((self.own_decoder.as_ref().unwrap_or(&self.encoder), bias))
    }

    /// The head over labels, and its weights `[labels, features]` and bias `[labels]`.
    ///
    /// # Errors
    /// There is none.
    pub fn classifier(&self) -> Result<(Labels, &T, &T)> {
        match (self.sizes.labels, &self.classifier) {
            (Some(labels), Some((weight, bias))) => Ok((labels, weight, bias)),
            _ => Err(Error::invalid("the model has no head over labels: it has not been trained for any")),
        }
    }
}

impl Weights {
    /// Asks `values(name, shape)` for every tensor.
    pub fn build(sizes: Sizes, mut values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>) -> Result<Self> {
        let tensors = sizes.tensors();
        Self::collect(
            sizes,
            tensors.into_iter().map(|(name, shape)| {
                let values = values(&name, &shape)?;
                Var::from_vec(values, shape, &Device::Cpu).map_err(failed)
            }),
        )
    }

    /// PyTorch's word language model: embeddings and decoder uniform in ±0.1, no decoder bias, the layers uniform
    /// in ±1/√hidden. Each tensor's values depend on the seed and its name alone.
    pub fn initialize(sizes: Sizes, seed: u64) -> Result<Self> {
        sizes.validate()?;
        memory::check("", &format!("a model with a vocabulary of {}", sizes.vocabulary), sizes.bytes())?;
        let lstm = 1.0 / (sizes.hidden as f32).sqrt();
        Self::build(sizes, |name, shape| {
            let length = shape.iter().product();
            let mut values = Vec::new();
            values.try_reserve_exact(length).map_err(|_| {
                Error::failed(format!("there is no memory for the {length} values of the tensor `{name}`"))
            })?;
            values.resize(length, 0.0);
            let bound = match name {
                BIAS => return Ok(values),
                ENCODER | DECODER => 0.1,
                _ => lstm,
            };
            Stream::new(seed, name, 0).fill_uniform(&mut values, -bound, bound);
            Ok(values)
        })
    }

    /// The same embedding and layers (the very variables) under a head over labels: the one that is there, if it is of that shape,
    /// else one drawn as PyTorch's `nn.Linear` is, uniform in ±1/√features. A decoder is left behind.
    pub fn labelled(&self, labels: Labels, seed: u64) -> Result<Self> {
        let sizes = Sizes { labels: Some(labels), headless: true, tied: false, ..self.sizes };
        sizes.validate()?;
        let Self { encoder, layers, classifier, .. } = self;
        let drawn = |name: &str, shape: &[usize]| {
            let mut values = vec![0.0; shape.iter().product()];
            let bound = 1.0 / (labels.features(sizes.last()) as f32).sqrt();
            Stream::new(seed, name, 0).fill_uniform(&mut values, -bound, bound);
            Var::from_vec(values, shape, &Device::Cpu).map_err(failed)
        };
        let classifier = match classifier.clone().filter(|_| self.sizes.labels == Some(labels)) {
            Some(classifier) => classifier,
            None => (
                drawn(CLASSIFIER, &[labels.classes, labels.features(sizes.last())])?,
                drawn(CLASSIFIER_BIAS, &[labels.classes])?,
            ),
        };
        let (encoder, layers) = (encoder.clone(), layers.clone());
        Ok(Self { sizes, encoder, layers, own_decoder: None, bias: None, classifier: Some(classifier) })
    }

    /// The same with more rows of the embedding and of the decoder, which begin as those of the token `like`.
    ///
    /// # Errors
    /// The vocabulary would be shorter, or has no such token.
    pub fn extended(&self, vocabulary: usize, like: u32) -> Result<Self> {
        let has = self.sizes.vocabulary;
        if vocabulary < has || like as usize >= has {
            let what = format!("a vocabulary of {has} is extended to {vocabulary} tokens like token {like}");
            return Err(Error::failed(what));
        }
        let sizes = Sizes { vocabulary, ..self.sizes };
        sizes.validate()?;
        memory::check("", &format!("a model with a vocabulary of {vocabulary}"), sizes.bytes())?;
        let mut variables = self.variables().into_iter();
        Self::build(sizes, |name, shape| {
            let variable = variables.next().ok_or_else(|| Error::failed("a tensor is missing"))?;
            let mut values = to_vec(variable)?;
            if [ENCODER, DECODER, BIAS].contains(&name) {
                let width = values.len() / has;
                if name == BIAS {
                    // What is expected of the one is shared among all that begin as it, so nothing else is expected less.
                    values[like as usize] -= ((vocabulary - has + 1) as f32).ln();
                }
                let row = values[like as usize * width..][..width].to_vec();
                values.reserve_exact(shape.iter().product::<usize>() - values.len());
                (has..vocabulary).for_each(|_| values.extend(&row));
            }
            Ok(values)
        })
    }

    /// Every variable, in the order of [`Sizes::tensors`].
    pub fn variables(&self) -> Vec<&Var> {
        let layers = self.layers.iter().flat_map(|l| [&l.w_ih, &l.w_hh, &l.b_ih, &l.b_hh].into_iter().chain(&l.w_hr));
        let classifier = self.classifier.iter().flat_map(|(weight, bias)| [weight, bias]);
        let decoder = self.own_decoder.iter().chain(&self.bias);
        std::iter::once(&self.encoder).chain(layers).chain(classifier).chain(decoder).collect()
    }

    /// The tensors by name, in the order of [`Sizes::tensors`]. They share the variables' values.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        let names = self.sizes.tensors().into_iter().map(|(name, _)| name);
        names.zip(self.variables()).map(|(name, variable)| (name, variable.as_tensor().clone())).collect()
    }

    /// Lends every tensor's values without a copy.
    pub fn read<R>(&self, f: impl FnOnce(&Slices<'_>) -> Result<R>) -> Result<R> {
        let guards: Vec<_> = self.variables().into_iter().map(|v| v.storage_and_layout().0).collect();
        let slices = guards.iter().map(|storage| match &**storage {
            Storage::Cpu(storage) => storage.as_slice().map_err(failed),
            _ => Err(Error::failed("the weights are not in main memory")),
        });
        f(&Slices::collect(self.sizes, slices)?)
    }
}

/// The values of a contiguous tensor in main memory.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all().and_then(|t| t.to_vec1()).map_err(failed)
}

/// An error of candle's is nothing that a user can mend.
pub(crate) fn failed(error: candle_core::Error) -> Error {
    Error::failed(format!("a tensor operation failed: {error}"))
}
