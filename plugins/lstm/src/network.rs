//! The network as candle-nn has it: the plain meaning of what the fast path computes, on any device that candle runs on.
//!
//! ```text
//! ids [steps, lanes] --embedding--> [steps * lanes, embedding] --candle_nn::LSTM or GRU, layer by layer, step by step-->
//!     outputs [layer][steps, lanes, hidden] --linear--> scores [rows, vocabulary] --cross_entropy--> the mean loss
//!                                           --pooled--> features [documents, features] --linear--> scores [documents, labels]
//! ```
//!
//! `fast = false` in a pipeline reads, scores and trains by this, and bidirectional and projected networks are always read by it. The fast path is held to it in tests: the same observations
//! but for ties, the same gradients within rounding.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rnn::{GRU, GRUState, LSTM, LSTMState, RNN};
use candle_nn::{GRUConfig, LSTMConfig, Linear, Module, VarBuilder};

use crate::labels::Pooling;
use crate::masks::Masks;
use crate::weights::{Cell, Sizes, Weights};

/// The parameters as tensors of a device.
pub(crate) struct Network {
    device: Device,
    sizes: Sizes,
    encoder: Tensor,
    /// `[passes]`
    layers: Vec<Layer>,
    /// `[passes]`: by what outputs are multiplied, and what is added to them then, `[1, output]` each.
    masks: Vec<Option<(Tensor, Tensor)>>,
    /// Its weights and its bias; none of a model that predicts nothing.
    decoder: Option<(Tensor, Tensor)>,
    /// The same of the head over labels.
    classifier: Option<(Tensor, Tensor)>,
}

/// A layer, or one direction of it.
enum Layer {
    Lstm(LSTM),
    Projected(Projected),
    Gru(GRU),
}

/// An LSTM whose outputs are projected, which candle-nn does not have.
struct Projected {
    w_ih: Tensor,
    w_hh: Tensor,
    bias: Tensor,
    w_hr: Tensor,
}

/// The state of a pass: h `[lanes, output]`, and c `[lanes, hidden]`.
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
        for (pass, layer) in weights.layers.iter().enumerate() {
            if let Some(w_hr) = &layer.w_hr {
                let [w_ih, w_hh, b_ih, b_hh, w_hr] =
                    [&layer.w_ih, &layer.w_hh, &layer.b_ih, &layer.b_hh, w_hr].map(|of| on_device(of.as_tensor()));
                layers.push(Layer::Projected(Projected {
                    w_ih: w_ih?,
                    w_hh: w_hh?,
                    bias: (b_ih? + b_hh?)?,
                    w_hr: w_hr?,
                }));
                continue;
            }
            // candle-nn knows a single layer of a GRU: each is layer 0 of a network of its own.
            let names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
            let tensors = names.into_iter().zip([&layer.w_ih, &layer.w_hh, &layer.b_ih, &layer.b_hh]);
            let tensors = tensors.map(|(name, of)| Ok((name.to_owned(), on_device(of.as_tensor())?)));
            let builder = VarBuilder::from_tensors(tensors.collect::<Result<HashMap<_, _>>>()?, DType::F32, device);
            let (input, hidden) = (sizes.input(sizes.pass(pass).0), sizes.hidden);
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
        let classifier = match weights.classifier() {
            Ok((_, weight, bias)) => Some((on_device(weight.as_tensor())?, on_device(bias.as_tensor())?)),
            Err(_) => None,
        };
        let mask = |pass| {
            masks.and_then(|masks| masks.pass(pass)).map(|values: &[f32]| {
                let tensor = |values: Vec<f32>| Tensor::from_vec(values, (1, sizes.output()), device);
                let kept = values.iter().map(|value| f32::from(value.is_nan())).collect();
                Ok((
                    tensor(kept)?,
                    tensor(values.iter().map(|&value| if value.is_nan() { 0.0 } else { value }).collect())?,
                ))
            })
        };
        let masks = (0..sizes.passes()).map(|pass| mask(pass).transpose()).collect::<Result<_>>()?;
        Ok(Self { device: device.clone(), sizes, encoder, layers, masks, decoder, classifier })
    }

    pub fn zeros(&self, lanes: usize) -> Result<Vec<State>> {
        let zeros = |width| Tensor::zeros((lanes, width), DType::F32, &self.device);
        let state = |_| {
            let cell = if self.sizes.cell == Cell::Lstm { Some(zeros(self.sizes.hidden)?) } else { None };
            Ok(State { hidden: zeros(self.sizes.output())?, cell })
        };
        (0..self.sizes.passes()).map(state).collect()
    }

    /// A state from values `[lanes, output]` and `[lanes, hidden]` in main memory.
    pub fn state(&self, lanes: usize, hidden: &[f32], cell: &[f32]) -> Result<State> {
        let tensor = |values: &[f32]| Tensor::from_slice(values, (lanes, values.len() / lanes), &self.device);
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
        let mut x = dropout(self.embed(ids)?, None)?;
        let mut all = Vec::new();
        for (k, state) in before.into_iter().enumerate() {
            let states = self.pass(k, &x, clear, state)?;
            let hidden: Vec<&Tensor> = states.iter().map(|state| &state.hidden).collect();
            x = dropout(Tensor::cat(&hidden, 0)?, Some(k))?;
            all.push(states);
        }
        Ok((x, all))
    }

    /// Reads documents side by side, the longest first, each from an empty state, without padding: the rows of a step are from
    /// `steps[step]` on, of the lanes that have not ended, which are the first. Gives the last layer's outputs `[rows, hidden]`;
    /// `dropout` as in [`Network::run`].
    pub fn side_by_side(
        &self,
        ids: &[u32],
        steps: &[usize],
        dropout: &mut dyn FnMut(Tensor, Option<usize>) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut x = dropout(self.embed(ids)?, None)?;
        for (k, layer) in self.layers.iter().enumerate() {
            let mut state = self.zeros(steps.get(1).copied().unwrap_or(0))?.swap_remove(k);
            let mut outputs = Vec::new();
            for at in steps.windows(2) {
                let lanes = at[1] - at[0];
                let going_on = |tensor: &Tensor| tensor.narrow(0, 0, lanes)?.contiguous();
                state =
                    State { hidden: going_on(&state.hidden)?, cell: state.cell.as_ref().map(going_on).transpose()? };
                state = layer.step(&x.narrow(0, at[0], lanes)?.contiguous()?, state)?;
                outputs.push(state.hidden.clone());
            }
            x = dropout(Tensor::cat(&outputs, 0)?, Some(k))?;
        }
        Ok(x)
    }

    /// `[documents, features]`: of each document, given the rows of its tokens in their order, what a classifier reads.
    pub fn pooled(outputs: &Tensor, pooling: Pooling, documents: impl Iterator<Item = Vec<u32>>) -> Result<Tensor> {
        let (width, device) = (outputs.dim(1)?, outputs.device());
        let of = |rows: Vec<u32>| {
            if rows.is_empty() {
                let width = if pooling == Pooling::Concat { 3 * width } else { width };
                return Tensor::zeros(width, DType::F32, device);
            }
            let outputs = outputs.index_select(&Tensor::new(rows, device)?, 0)?;
            match pooling {
                Pooling::Last => outputs.get(outputs.dim(0)? - 1),
                Pooling::Mean => outputs.mean(0),
                Pooling::Max => outputs.max(0),
                Pooling::Concat => {
                    Tensor::cat(&[outputs.get(outputs.dim(0)? - 1)?, outputs.mean(0)?, outputs.max(0)?], 0)
                }
            }
        };
        Tensor::stack(&documents.map(of).collect::<Result<Vec<_>>>()?, 0)
    }

    /// `[rows, labels]`: of features `[rows, features]` the logarithm of each label's probability, by a head's weights and bias.
    pub fn labels(weight: &Tensor, bias: &Tensor, features: &Tensor) -> Result<Tensor> {
        let head = Linear::new(weight.clone(), Some(bias.clone()));
        candle_nn::ops::log_softmax(&head.forward(features)?, 1)
    }

    /// One pass over its input `[steps * lanes, width]`, from a state, which is cleared as [`Network::run`] says. Gives the state
    /// after each step.
    pub fn pass(&self, pass: usize, x: &Tensor, clear: &[bool], mut state: State) -> Result<Vec<State>> {
        let lanes = state.hidden.dim(0)?;
        let steps = x.dim(0)? / lanes;
        let mut states = Vec::with_capacity(steps);
        for step in 0..steps {
            let cleared = clear.get(step * lanes..(step + 1) * lanes).unwrap_or_default();
            if cleared.contains(&true) {
                let keep: Vec<f32> = cleared.iter().map(|&clear| f32::from(!clear)).collect();
                let keep = Tensor::from_vec(keep, (lanes, 1), &self.device)?;
                let kept = |tensor: &Tensor| tensor.broadcast_mul(&keep);
                state = State { hidden: kept(&state.hidden)?, cell: state.cell.as_ref().map(kept).transpose()? };
            }
            state = self.layers[pass].step(&x.narrow(0, step * lanes, lanes)?.contiguous()?, state)?;
            if let Some((kept, values)) = &self.masks[pass] {
                state.hidden = state.hidden.broadcast_mul(kept)?.broadcast_add(values)?;
            }
            states.push(state.clone());
        }
        Ok(states)
    }

    /// `[tokens, embedding]`
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        self.encoder.index_select(&Tensor::from_slice(ids, ids.len(), &self.device)?, 0)
    }

    /// Of outputs of the last layer `[rows, last]`, the mean cross-entropy with what follows them.
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

    /// `[rows]`: the token that is most probable to follow, or of features the most probable label.
    pub fn best(&self, outputs: &Tensor) -> Result<Vec<u32>> {
        match &self.classifier {
            Some((weight, bias)) => Self::labels(weight, bias, outputs)?.argmax(1)?.to_vec1(),
            None => self.scores(outputs)?.argmax(1)?.to_vec1(),
        }
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
            (Self::Projected(layer), Some(c)) => layer.step(input, h, c),
            (Self::Lstm(_) | Self::Projected(_), None) => candle_core::bail!("an LSTM has a cell"),
            (Self::Gru(layer), _) => Ok(State { hidden: layer.step(input, &GRUState { h })?.h, cell: None }),
        }
    }
}

impl Projected {
    fn step(&self, input: &Tensor, h: Tensor, c: Tensor) -> Result<State> {
        let gates = (input.matmul(&self.w_ih.t()?)? + h.matmul(&self.w_hh.t()?)?)?.broadcast_add(&self.bias)?;
        let gates = gates.chunk(4, 1)?;
        let [i, f, o] = [0, 1, 3].map(|gate| candle_nn::ops::sigmoid(&gates[gate]));
        let c = ((f? * c)? + (i? * gates[2].tanh()?)?)?;
        Ok(State { hidden: (o? * c.tanh()?)?.matmul(&self.w_hr.t()?)?, cell: Some(c) })
    }
}
