//! The parameters, as candle variables under PyTorch's names.

use candle_core::{Device, Storage, Tensor, Var};
use serde::{Deserialize, Serialize};
use txray_plugin::random::Stream;
use txray_plugin::{Error, Result};

/// The widest embedding or layer.
pub(crate) const MAX_WIDTH: usize = 1 << 16;
/// The most layers.
pub(crate) const MAX_LAYERS: usize = 64;

/// The sizes that fix every tensor's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    pub vocabulary: usize,
    pub embedding: usize,
    pub hidden: usize,
    pub layers: usize,
}

impl Sizes {
    /// Refuses sizes of no or no addressable model. `name` is what the user calls a size.
    pub fn validate(&self) -> Result<()> {
        for (name, value, most) in [
            ("vocabulary", self.vocabulary, u32::MAX as usize),
            ("embedding", self.embedding, MAX_WIDTH),
            ("hidden", self.hidden, MAX_WIDTH),
            ("number of layers", self.layers, MAX_LAYERS),
        ] {
            if value == 0 || value > most {
                return Err(Error::invalid(format!("the {name} of the model is {value}; it must be 1 to {most}")));
            }
        }
        Ok(())
    }

    /// Values of input that layer `layer` sees.
    pub fn input(&self, layer: usize) -> usize {
        if layer == 0 { self.embedding } else { self.hidden }
    }

    /// Every tensor's name and shape, in the order of [`Weights::variables`].
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Self { vocabulary, embedding, hidden, layers } = *self;
        let mut all = vec![("encoder.weight".to_owned(), vec![vocabulary, embedding])];
        for k in 0..layers {
            all.push((format!("lstm.weight_ih_l{k}"), vec![4 * hidden, self.input(k)]));
            all.push((format!("lstm.weight_hh_l{k}"), vec![4 * hidden, hidden]));
            all.push((format!("lstm.bias_ih_l{k}"), vec![4 * hidden]));
            all.push((format!("lstm.bias_hh_l{k}"), vec![4 * hidden]));
        }
        all.push(("decoder.weight".to_owned(), vec![vocabulary, hidden]));
        all.push(("decoder.bias".to_owned(), vec![vocabulary]));
        all
    }

    /// How many parameters there are.
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, shape)| shape.iter().map(|&n| n as u64).product::<u64>()).sum()
    }
}

/// One layer's parameters; gates in PyTorch's order input, forget, cell, output.
#[derive(Debug)]
pub(crate) struct Layer<T> {
    /// `[4 hidden, input]`
    pub w_ih: T,
    /// `[4 hidden, hidden]`
    pub w_hh: T,
    /// `[4 hidden]`
    pub b_ih: T,
    /// `[4 hidden]`
    pub b_hh: T,
}

/// All parameters: of a [`Var`] each in [`Weights`], of a slice each in [`Slices`].
#[derive(Debug)]
pub(crate) struct Parameters<T> {
    pub sizes: Sizes,
    /// `[vocabulary, embedding]`
    pub encoder: T,
    pub layers: Vec<Layer<T>>,
    /// `[vocabulary, hidden]`
    pub decoder: T,
    /// `[vocabulary]`
    pub bias: T,
}

pub(crate) type Weights = Parameters<Var>;
pub(crate) type Slices<'a> = Parameters<&'a [f32]>;

impl<T> Parameters<T> {
    /// From the tensors in the order of [`Sizes::tensors`].
    fn collect(sizes: Sizes, tensors: impl IntoIterator<Item = Result<T>>) -> Result<Self> {
        let mut tensors = tensors.into_iter();
        let mut next = || tensors.next().unwrap_or_else(|| Err(Error::failed("a tensor is missing")));
        Ok(Self {
            sizes,
            encoder: next()?,
            layers: (0..sizes.layers)
                .map(|_| Ok(Layer { w_ih: next()?, w_hh: next()?, b_ih: next()?, b_hh: next()? }))
                .collect::<Result<_>>()?,
            decoder: next()?,
            bias: next()?,
        })
    }
}

impl Weights {
    /// Makes every tensor from the values that `values(name, shape)` gives.
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

    /// PyTorch's word language model: embeddings and decoder uniform in ±0.1, no decoder bias, the LSTM uniform in
    /// ±1/√hidden. Each tensor's values depend on the seed and its name alone.
    pub fn initialize(sizes: Sizes, seed: u64) -> Result<Self> {
        sizes.validate()?;
        let lstm = 1.0 / (sizes.hidden as f32).sqrt();
        Self::build(sizes, |name, shape| {
            let mut values = vec![0.0; shape.iter().product()];
            let bound = match name {
                "decoder.bias" => return Ok(values),
                "encoder.weight" | "decoder.weight" => 0.1,
                _ => lstm,
            };
            Stream::new(seed, name, 0).fill_uniform(&mut values, -bound, bound);
            Ok(values)
        })
    }

    /// Every variable, in the order of [`Sizes::tensors`].
    pub fn variables(&self) -> Vec<&Var> {
        let layers = self.layers.iter().flat_map(|l| [&l.w_ih, &l.w_hh, &l.b_ih, &l.b_hh]);
        std::iter::once(&self.encoder).chain(layers).chain([&self.decoder, &self.bias]).collect()
    }

    /// Every variable's tensor by name, which shares its values, in the order of [`Sizes::tensors`].
    pub fn named(&self) -> Vec<(String, Tensor)> {
        let names = self.sizes.tensors().into_iter().map(|(name, _)| name);
        names.zip(self.variables()).map(|(name, variable)| (name, variable.as_tensor().clone())).collect()
    }

    /// Lends every tensor's values.
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

/// candle failed: nothing that a user can mend.
pub(crate) fn failed(error: candle_core::Error) -> Error {
    Error::failed(format!("a tensor operation failed: {error}"))
}
