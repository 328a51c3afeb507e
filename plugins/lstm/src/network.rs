//! The network as candle-nn has it: the plain meaning of what the fast path computes, on any device that candle runs on.
//!
//! ```text
//! ids [steps, lanes] --embedding--> [steps * lanes, embedding] --candle_nn::LSTM or GRU, layer by layer, step by step-->
//!     outputs [layer][steps, lanes, hidden] --linear--> scores [rows, vocabulary] --cross_entropy--> the mean loss
//! ```
//!
//! `fast = false` in a pipeline reads, scores and trains by this. The fast path is held to it in tests: the same observations
//! but for ties, the same gradients within rounding.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rnn::{GRU, GRUState, LSTM, LSTMState, RNN};
use candle_nn::{GRUConfig, LSTMConfig, VarBuilder};

use crate::masks::Masks;
use crate::weights::{Cell, Sizes, Weights};

/// The parameters as tensors of a device.
pub(crate) struct Network {
    device: Device,
    sizes: Sizes,
    encoder: Tensor,
    layers: Vec<Layer>,
    /// `[layers]`: by what outputs are multiplied, and what is added to them then, `[1, hidden]` each.
    masks: Vec<Option<(Tensor, Tensor)>>,
    /// Its weights and its bias; none of a model that predicts nothing.
    decoder: Option<(Tensor, Tensor)>,
}

enum Layer {
    Lstm(LSTM),
    Gru(GRU),
}

/// The state of a layer, `[lanes, hidden]` each.
#[derive(Clone)]
pub(crate) struct State {
    pub hidden: Tensor,
    /// None of a GRU.
    pub cell: Option<Tensor>,
}

impl Network {
    /// For training on the CPU: the parameters are the variables themselves, so that gradients reach these.
    pub fn training(weights: &Weights) -> Result<Self> {
        Self::new(weights, &Device::Cpu, None, |tensor| Ok(tensor.clone()))
    }

    /// For reading under masks: nothing of how a state came about is kept, which would be all that was read before.
    pub fn reading(weights: &Weights, masks: &Masks, device: &Device) -> Result<Self> {
        Self::new(weights, device, Some(masks), |tensor| tensor.detach().to_device(device))
    }

    fn new(
        weights: &Weights,
        device: &Device,
        masks: Option<&Masks>,
        on_device: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let sizes = weights.sizes;
        let mut layers = Vec::new();
        for (k, layer) in weights.layers.iter().enumerate() {
            // candle-nn knows a single layer of a GRU: each is layer 0 of a network of its own.
            let names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
            let tensors = names.into_iter().zip([&layer.w_ih, &layer.w_hh, &layer.b_ih, &layer.b_hh]);
            let tensors = tensors.map(|(name, of)| Ok((name.to_owned(), on_device(of.as_tensor())?)));
            let builder = VarBuilder::from_tensors(tensors.collect::<Result<HashMap<_, _>>>()?, DType::F32, device);
            let (input, hidden) = (sizes.input(k), sizes.hidden);
            layers.push(match sizes.cell {
                Cell::Lstm => Layer::Lstm(LSTM::new(input, hidden, LSTMConfig::default(), builder)?),
                Cell::Gru => Layer::Gru(GRU::new(input, hidden, GRUConfig::default(), builder)?),
            });
        }
        let encoder = on_device(weights.encoder.as_tensor())?;
        // The very same tensor where they are tied, so that its gradient is that of both.
        let decoder = match weights.decoder() {
            Ok((_, bias)) if sizes.tied => Some((encoder.clone(), on_device(bias.as_tensor())?)),
            Ok((weight, bias)) => Some((on_device(weight.as_tensor())?, on_device(bias.as_tensor())?)),
            Err(_) => None,
        };
        let mask = |layer| {
            masks.and_then(|masks| masks.layer(layer)).map(|values: &[f32]| {
                let tensor = |values: Vec<f32>| Tensor::from_vec(values, (1, sizes.hidden), device);
                let kept = values.iter().map(|value| f32::from(value.is_nan())).collect();
                Ok((
                    tensor(kept)?,
                    tensor(values.iter().map(|&value| if value.is_nan() { 0.0 } else { value }).collect())?,
                ))
            })
        };
        let masks = (0..sizes.layers).map(|layer| mask(layer).transpose()).collect::<Result<_>>()?;
        Ok(Self { device: device.clone(), sizes, encoder, layers, masks, decoder })
    }

    pub fn zeros(&self, lanes: usize) -> Result<Vec<State>> {
        let zeros = || Tensor::zeros((lanes, self.sizes.hidden), DType::F32, &self.device);
        let state = |_| {
            let cell = if self.sizes.cell == Cell::Lstm { Some(zeros()?) } else { None };
            Ok(State { hidden: zeros()?, cell })
        };
        (0..self.sizes.layers).map(state).collect()
    }

    /// A state from values `[lanes, hidden]` in main memory.
    pub fn state(&self, lanes: usize, hidden: &[f32], cell: &[f32]) -> Result<State> {
        let tensor = |values: &[f32]| Tensor::from_slice(values, (lanes, self.sizes.hidden), &self.device);
        let cell = if self.sizes.cell == Cell::Lstm { Some(tensor(cell)?) } else { None };
        Ok(State { hidden: tensor(hidden)?, cell })
    }

    /// Reads `ids` `[steps, lanes]` from some states (`[layers]`), which are cleared in a lane before each step where `clear`
    /// (`[steps, lanes]`) says so. `dropout` is asked for every input of a layer, and for the last output, `[steps * lanes,
    /// width]`, by its place; it may change it. Gives that last output, and the states after each step, `[layers][steps]`.
    pub fn run(
        &self,
        ids: &[u32],
        clear: &[bool],
        before: Vec<State>,
        dropout: &mut dyn FnMut(Tensor, Option<usize>) -> Result<Tensor>,
    ) -> Result<(Tensor, Vec<Vec<State>>)> {
        let lanes = before[0].hidden.dim(0)?;
        let steps = ids.len() / lanes;
        let ids = Tensor::from_slice(ids, ids.len(), &self.device)?;
        let mut x = dropout(self.encoder.index_select(&ids, 0)?, None)?;
        let mut all = Vec::new();
        for (k, (layer, mut state)) in self.layers.iter().zip(before).enumerate() {
            let mut states = Vec::with_capacity(steps);
            for step in 0..steps {
                let cleared = &clear[step * lanes..][..lanes];
                if cleared.contains(&true) {
                    let keep: Vec<f32> = cleared.iter().map(|&clear| f32::from(!clear)).collect();
                    let keep = Tensor::from_vec(keep, (lanes, 1), &self.device)?;
                    let kept = |tensor: &Tensor| tensor.broadcast_mul(&keep);
                    state = State { hidden: kept(&state.hidden)?, cell: state.cell.as_ref().map(kept).transpose()? };
                }
                state = layer.step(&x.narrow(0, step * lanes, lanes)?.contiguous()?, state)?;
                if let Some((kept, values)) = &self.masks[k] {
                    state.hidden = state.hidden.broadcast_mul(kept)?.broadcast_add(values)?;
                }
                states.push(state.clone());
            }
            let hidden: Vec<&Tensor> = states.iter().map(|state| &state.hidden).collect();
            x = dropout(Tensor::cat(&hidden, 0)?, Some(k))?;
            all.push(states);
        }
        Ok((x, all))
    }

    /// Of outputs of the last layer `[rows, hidden]`, the mean cross-entropy with what follows them.
    pub fn loss(&self, outputs: &Tensor, targets: &[u32]) -> Result<Tensor> {
        candle_nn::loss::cross_entropy(
            &self.scores(outputs)?,
            &Tensor::from_slice(targets, targets.len(), &self.device)?,
        )
    }

    /// `[rows]`: the same of each row.
    pub fn losses(&self, outputs: &Tensor, targets: &[u32]) -> Result<Vec<f32>> {
        let targets = Tensor::from_slice(targets, (targets.len(), 1), &self.device)?;
        candle_nn::ops::log_softmax(&self.scores(outputs)?, 1)?.gather(&targets, 1)?.neg()?.squeeze(1)?.to_vec1()
    }

    /// `[rows]`: the token that is most probable to follow.
    pub fn best(&self, outputs: &Tensor) -> Result<Vec<u32>> {
        self.scores(outputs)?.argmax(1)?.to_vec1()
    }

    /// `[rows, vocabulary]`
    fn scores(&self, outputs: &Tensor) -> Result<Tensor> {
        let Some((weight, bias)) = &self.decoder else { candle_core::bail!("there is no decoder") };
        outputs.matmul(&weight.t()?)?.broadcast_add(bias)
    }

    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl Layer {
    fn step(&self, input: &Tensor, State { hidden: h, cell }: State) -> Result<State> {
        match (self, cell) {
            (Self::Lstm(layer), Some(c)) => {
                let LSTMState { h, c } = layer.step(input, &LSTMState { h, c })?;
                Ok(State { hidden: h, cell: Some(c) })
            }
            (Self::Lstm(_), None) => candle_core::bail!("an LSTM has a cell"),
            (Self::Gru(layer), _) => Ok(State { hidden: layer.step(input, &GRUState { h })?.h, cell: None }),
        }
    }
}
