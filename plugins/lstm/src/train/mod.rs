//! Training over candle's graph: here language models, by truncated backpropagation through time; in `labels` classifiers and
//! taggers, by whole documents, which `lesson` shares out.
//!
//! A step's graph is `lookup -> dropout -> (recurrence -> dropout)* -> linear-cross-entropy`. These operations are our
//! own, for speed; the graph, the variables and the chain rule are candle's, and so is a head over labels.

mod dropout;
mod embedding;
mod gru;
mod labels;
mod lesson;
mod loss;
mod optimizer;
mod pool;
mod progress;
mod recurrence;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Layout, Tensor, Var};
use txray_plugin::random::Stream;
use txray_plugin::{Error, Result, State, Text};

use self::dropout::Dropout;
use self::embedding::{Lookup, RowGradient};
pub(crate) use self::labels::Labelling;
pub(crate) use self::lesson::Lesson;
use self::loss::{DecoderGradient, LinearCrossEntropy};
pub(crate) use self::optimizer::Means;
use self::optimizer::Update;
pub(crate) use self::progress::{Begun, Progress};
pub(crate) use self::recurrence::LayerState;
use self::recurrence::Recurrence;
use crate::decoder::NO_TARGET;
use crate::memory;
use crate::network::Network;
use crate::options::{Optimizer, TrainOptions};
use crate::tracker::{Stop, Tracker};
use crate::weights::{Cell, GATE_SUMS, Layer, Sizes, Weights, failed};

/// The training text as streams side by side, time-major.
pub(crate) struct Streams {
    batch: usize,
    bptt: usize,
    /// `[length, batch]`
    ids: Vec<u32>,
    /// `[length, batch]`: whether the token begins a document and the state is cleared before it.
    clear: Vec<bool>,
}

impl Streams {
    /// Cuts the documents, one after the other, into `options.batch` streams of equal length; the rest is left out.
    pub fn new(text: Text<'_>, options: &TrainOptions) -> Result<Self> {
        let most = options.max_tokens.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let ids = &text.ids[..text.ids.len().min(most)];
        let (batch, length) = (options.batch, ids.len() / options.batch);
        if length < 2 {
            return Err(Error::invalid(format!(
                "the training text of {} tokens is too short for {batch} streams: each needs at least 2",
                ids.len()
            )));
        }
        let mut begins = vec![false; ids.len()];
        if options.state == State::Reset {
            for &offset in text.offsets {
                if let Some(begins) = begins.get_mut(offset as usize) {
                    *begins = true;
                }
            }
        }
        let at = |row: usize| row % batch * length + row / batch;
        let clear: Vec<bool> = (0..batch * length).map(|row| begins[at(row)]).collect();
        if !clear[batch..].contains(&false) {
            return Err(Error::invalid("the training text has nothing to predict: every document is a single token"));
        }
        let ids = (0..batch * length).map(|row| ids[at(row)]).collect();
        Ok(Self { batch, bptt: options.bptt, ids, clear })
    }

    fn length(&self) -> usize {
        self.ids.len() / self.batch
    }

    /// Tokens that an epoch reads: all but each stream's last, which is only predicted.
    pub fn tokens(&self) -> usize {
        (self.length() - 1) * self.batch
    }

    /// Optimizer steps of an epoch.
    pub fn windows(&self) -> usize {
        (self.length() - 1).div_ceil(self.bptt)
    }

    /// Rows of the widest window: what the operations of a step keep is as long.
    pub fn rows(&self) -> usize {
        self.tokens().min(self.bptt * self.batch)
    }

    /// Tokens that the windows before this one read.
    pub fn tokens_before(&self, window: usize) -> usize {
        self.tokens().min(window.saturating_mul(self.bptt * self.batch))
    }

    fn window(&self, index: usize) -> Window {
        let rows = self.tokens_before(index)..self.tokens_before(index + 1);
        // Under `reset` the state knows nothing from before a document, so its first token is not predicted.
        let target = |row: usize| if self.clear[row] { NO_TARGET } else { self.ids[row] };
        Window {
            ids: self.ids[rows.clone()].to_vec(),
            clear: self.clear[rows.clone()].to_vec(),
            targets: rows.map(|row| target(row + self.batch)).collect(),
        }
    }
}

/// Refuses a training that cannot be held: of the weights there are gradients, and means of Adam; and of every row of a step
/// its embedding, and in each layer gate sums, state and output. There is more, which is smaller.
/// `pointer` is the option that would make it smaller.
pub(crate) fn check_memory(sizes: Sizes, options: &TrainOptions, rows: usize, pointer: &str) -> Result<()> {
    let copies = if options.optimizer() == Optimizer::Sgd { 2 } else { 4 };
    let row = sizes.embedding + sizes.layers * sizes.hidden * (GATE_SUMS + 2);
    let needed = sizes.bytes() * copies + (rows * row * size_of::<f32>()) as u128;
    let side_by_side = if sizes.labels.is_some() { "documents" } else { "streams" };
    let what = format!("a step over {rows} tokens, {} {side_by_side} side by side,", options.batch);
    memory::check(pointer, &what, needed)
}

/// What makes the optimizer steps of an epoch.
pub(crate) trait Epoch: Sync {
    /// How many there are.
    fn steps(&self) -> usize;
    /// Makes the step at which a training stands: forward, backward and update. Gives the number of tokens read. Where it fails,
    /// nothing has changed.
    fn step(&self, progress: &mut Progress) -> Result<u64>;
}

/// Makes the steps that are left of the epoch, or stops after a step when time is `over`. Gives the seconds that
/// the steps took, and whether time was over. The weights and `progress` change together, at the end of a step.
pub(crate) fn run(
    of: &impl Epoch,
    epochs: u64,
    progress: &mut Progress,
    over: impl Fn() -> bool,
    tracker: &Tracker<'_>,
) -> Result<(f64, bool)> {
    let mut seconds = 0.0;
    while progress.cursor.windows < of.steps() {
        let start = Instant::now();
        let tokens = of.step(progress)?;
        seconds += start.elapsed().as_secs_f64();
        tracker.advance_saying(tokens, || {
            let epoch = progress.epoch + 1;
            format!("epoch {epoch}/{}, loss {:.2}", epochs.max(epoch), progress.cursor.mean())
        })?;
        if over() {
            return Ok((seconds, true));
        }
    }
    Ok((seconds, false))
}

/// Training that cannot go on: `what` has become `value`.
fn diverged(progress: &Progress, what: &str, value: f64) -> Error {
    let (epoch, step) = (progress.epoch + 1, progress.cursor.windows + 1);
    Error::at(
        "/train/learning_rate",
        format!("training diverged in epoch {epoch}, at its step {step}: {what} is {value}; a lower rate may help"),
    )
}

/// Dropout of the values of one (seed, name, number).
fn dropout(x: Tensor, probability: f32, seed: u64, name: &str, number: u64) -> candle_core::Result<Tensor> {
    match probability {
        0.0 => Ok(x),
        probability => x.apply_op1(Dropout::new(probability, Stream::new(seed, name, number))),
    }
}

/// What one optimizer step reads: `bptt` steps of every stream, `[steps * batch]` each, time-major.
struct Window {
    ids: Vec<u32>,
    clear: Vec<bool>,
    targets: Vec<u32>,
}

/// Makes the optimizer steps of a language model, on the current thread pool.
pub(crate) struct Trainer<'a> {
    weights: &'a Weights,
    options: &'a TrainOptions,
    streams: &'a Streams,
    seed: u64,
    stop: Stop,
    /// Whether by operations of our own, or by the plain network.
    fast: bool,
    encoder: Arc<Mutex<RowGradient>>,
    decoder: Arc<Mutex<DecoderGradient>>,
}

impl Epoch for Trainer<'_> {
    fn steps(&self) -> usize {
        self.streams.windows()
    }

    fn step(&self, progress: &mut Progress) -> Result<u64> {
        let index = progress.cursor.windows;
        let window = self.streams.window(index);
        let (tokens, targets) = (window.ids.len() as u64, &window.targets);
        let predicted = targets.iter().filter(|&&t| t != NO_TARGET).count() as u64;
        let number = progress.epoch * self.streams.windows() as u64 + index as u64;
        let states = self.states(&progress.cursor.states);

        let loss =
            if self.fast { self.loss(window, &states, number) } else { self.plain_loss(window, &states, number) };
        let loss = loss.map_err(|e| self.stop.or(e))?;
        let mean = f64::from(loss.to_scalar::<f32>().map_err(failed)?);
        if !mean.is_finite() {
            return Err(diverged(progress, "the loss", mean));
        }
        let gradients = loss.backward().map_err(|e| self.stop.or(e))?;
        if !self.fast {
            self.keep_gradients(&gradients)?;
        }
        let update = Update {
            options: self.options,
            learning_rate: progress.learning_rate * self.options.factor(number, self.streams.windows() as u64),
            steps: number,
        };
        let norm = update.language_model(
            self.weights,
            &gradients,
            &self.encoder.lock().unwrap_or_else(PoisonError::into_inner),
            &mut self.decoder.lock().unwrap_or_else(PoisonError::into_inner),
            &mut progress.means,
        )?;
        if !norm.is_finite() {
            return Err(diverged(progress, "the gradient's norm", norm));
        }

        let cursor = &mut progress.cursor;
        cursor.windows += 1;
        cursor.loss += mean * predicted as f64;
        cursor.predicted += predicted;
        cursor.states = states.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect();
        progress.tokens += tokens;
        Ok(tokens)
    }
}

impl<'a> Trainer<'a> {
    pub fn new(
        weights: &'a Weights,
        options: &'a TrainOptions,
        streams: &'a Streams,
        seed: u64,
        stop: Stop,
        fast: bool,
    ) -> Self {
        Self { weights, options, streams, seed, stop, fast, encoder: Arc::default(), decoder: Arc::default() }
    }

    /// `[layers]`: the states that a window begins with, zeros where there are none before it. The window leaves its
    /// last states in their place.
    fn states(&self, before: &[LayerState]) -> Vec<Arc<Mutex<LayerState>>> {
        let sizes = self.weights.sizes;
        let zeros = || LayerState::zeros(self.streams.batch, sizes.hidden);
        let states = (0..sizes.layers).map(|k| before.get(k).cloned().unwrap_or_else(zeros));
        states.map(|state| Arc::new(Mutex::new(state))).collect()
    }

    /// The mean loss of a window as a graph. `number` counts steps from the beginning of training, for dropout.
    fn loss(&self, window: Window, states: &[Arc<Mutex<LayerState>>], number: u64) -> candle_core::Result<Tensor> {
        let Weights { encoder, layers, .. } = self.weights;
        let starts = (0..=window.ids.len() / self.streams.batch).map(|step| step * self.streams.batch);
        let (clear, starts) = (Arc::new(window.clear), Arc::new(starts.collect::<Vec<usize>>()));
        let lookup = Lookup { ids: window.ids, gradient: self.encoder.clone() };
        let mut x = self.dropout(encoder.apply_op1(lookup)?, number, "dropout.embedding")?;
        for (k, (layer, state)) in layers.iter().zip(states).enumerate() {
            let w = Tensor::cat(&[layer.w_ih.as_tensor(), layer.w_hh.as_tensor()], 1)?;
            let b = beginning(self.weights.sizes, layer)?;
            let recurrence = Recurrence {
                cell: self.weights.sizes.cell,
                steps: starts.clone(),
                clear: clear.clone(),
                state: state.clone(),
                of_input: true,
                trace: Mutex::default(),
                stop: self.stop.clone(),
            };
            x = self.dropout(x.apply_op3(&w, &b, recurrence)?, number, &format!("dropout.lstm.{k}"))?;
        }
        let loss = LinearCrossEntropy::new(window.targets, self.decoder.clone(), self.stop.clone());
        let decoder = self.weights.decoder();
        let (weight, bias) = decoder.map_err(|error| candle_core::Error::Msg(error.message().to_owned()))?;
        x.apply_op3(weight, bias, loss)
    }

    /// The same by the plain network.
    fn plain_loss(
        &self,
        window: Window,
        states: &[Arc<Mutex<LayerState>>],
        number: u64,
    ) -> candle_core::Result<Tensor> {
        let network = Network::training(self.weights)?;
        let lanes = self.streams.batch;
        let locked = |state: &Arc<Mutex<LayerState>>| state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let before = states.iter().map(locked).map(|state| network.state(lanes, &state.hidden, &state.cell));
        let mut dropout = |x: Tensor, layer: Option<usize>| {
            let name = layer.map_or_else(|| "dropout.embedding".to_owned(), |k| format!("dropout.lstm.{k}"));
            self.dropout(x, number, &name)
        };
        let (x, after) =
            network.run(&window.ids, &window.clear, before.collect::<candle_core::Result<_>>()?, &mut dropout)?;
        for (state, after) in states.iter().zip(&after) {
            let Some(after) = after.last() else { continue };
            let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
            let cell = after.cell.as_ref().map(values).transpose()?;
            let zeros = || vec![0.0; lanes * self.weights.sizes.hidden];
            let after = LayerState { hidden: values(&after.hidden)?, cell: cell.unwrap_or_else(zeros) };
            *state.lock().unwrap_or_else(PoisonError::into_inner) = after;
        }
        let rows = (0..).zip(&window.targets).filter(|(_, target)| **target != NO_TARGET);
        let (rows, targets): (Vec<u32>, Vec<u32>) = rows.map(|(row, &target)| (row, target)).unzip();
        if rows.is_empty() {
            return x.sum_all()? * 0.0;
        }
        network.loss(&x.index_select(&Tensor::new(rows, x.device())?, 0)?, &targets)
    }

    /// Puts candle's gradients of the embeddings and of the decoder where those of our own operations are.
    fn keep_gradients(&self, gradients: &GradStore) -> Result<()> {
        let of = |variable: &Var| match gradients.get(variable) {
            Some(gradient) => crate::weights::to_vec(gradient),
            None => Ok(vec![0.0; variable.elem_count()]),
        };
        let Weights { encoder, sizes, .. } = self.weights;
        let (weight, bias) = self.weights.decoder()?;
        let rows = if sizes.tied {
            // What the embeddings add is in the decoder's: they are one variable.
            RowGradient::default()
        } else {
            RowGradient { rows: (0..sizes.vocabulary as u32).collect(), values: of(encoder)? }
        };
        *self.encoder.lock().unwrap_or_else(PoisonError::into_inner) = rows;
        let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        (decoder.weight, decoder.bias, decoder.scale) = (of(weight)?, of(bias)?, 1.0);
        Ok(())
    }

    fn dropout(&self, x: Tensor, number: u64, name: &str) -> candle_core::Result<Tensor> {
        dropout(x, self.options.dropout as f32, self.seed, name, number)
    }
}

/// `[4 hidden]`, what the gate sums begin with: both biases added, but for a GRU's candidate, where they stay apart.
fn beginning(sizes: Sizes, layer: &Layer<Var>) -> candle_core::Result<Tensor> {
    let both = (layer.b_ih.as_tensor() + layer.b_hh.as_tensor())?;
    match sizes.cell {
        Cell::Lstm => Ok(both),
        Cell::Gru => {
            let candidate = |bias: &Var| bias.narrow(0, 2 * sizes.hidden, sizes.hidden);
            let gates = both.narrow(0, 0, 2 * sizes.hidden)?;
            Tensor::cat(&[gates, candidate(&layer.b_ih)?, candidate(&layer.b_hh)?], 0)
        }
    }
}

/// The values of a tensor, an error where they do not lie side by side.
fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a contiguous tensor is needed, not {layout:?}"),
    }
}
