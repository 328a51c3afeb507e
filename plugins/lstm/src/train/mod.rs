//! Training: truncated backpropagation through time over candle's graph.
//!
//! A step's graph is `lookup -> dropout -> (recurrence -> dropout)* -> linear-cross-entropy`. The operations of our own
//! exist for speed; the graph, the variables and the chain rule are candle's.

mod dropout;
mod embedding;
mod loss;
mod recurrence;
mod sgd;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use candle_core::{CpuStorage, Layout, Tensor};
use txray_plugin::random::Stream;
use txray_plugin::{Error, Result, State, Text};

use self::dropout::Dropout;
use self::embedding::{Lookup, RowGradient};
use self::loss::{DecoderGradient, LinearCrossEntropy};
use self::recurrence::Recurrence;
use crate::decoder::NO_TARGET;
use crate::options::TrainOptions;
use crate::tracker::Tracker;
use crate::weights::{Weights, failed};

/// Where training stands between epochs.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub epoch: u64,
    pub tokens: u64,
    pub learning_rate: f64,
    pub best_valid: Option<f64>,
}

impl Progress {
    pub fn new(options: &TrainOptions) -> Self {
        Self { epoch: 0, tokens: 0, learning_rate: options.learning_rate, best_valid: None }
    }

    /// Notes an epoch's validation loss, and slows down where it did not improve.
    pub fn validated(&mut self, loss: f64, decay: f64) {
        if self.best_valid.is_none_or(|best| loss < best) {
            self.best_valid = Some(loss);
        } else {
            self.learning_rate /= decay;
        }
    }
}

/// What an epoch came to.
pub(crate) struct Epoch {
    pub tokens: u64,
    /// Mean over the predicted tokens, nats.
    pub loss: f64,
    /// Of optimizer steps alone.
    pub seconds: f64,
}

/// The training text as streams side by side, time-major.
pub(crate) struct Streams {
    batch: usize,
    /// `[length, batch]` token ids.
    ids: Vec<u32>,
    /// `[length, batch]` whether the token begins a document and the state is cleared there.
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
        Ok(Self {
            batch,
            ids: (0..batch * length).map(|row| ids[at(row)]).collect(),
            clear: (0..batch * length).map(|row| begins[at(row)]).collect(),
        })
    }

    fn length(&self) -> usize {
        self.ids.len() / self.batch
    }

    /// Tokens that an epoch reads: each stream's last is only predicted.
    pub fn tokens(&self) -> usize {
        (self.length() - 1) * self.batch
    }
}

/// Trains for an epoch on the current thread pool.
pub(crate) fn epoch(
    weights: &Weights,
    streams: &Streams,
    options: &TrainOptions,
    progress: &Progress,
    seed: u64,
    tracker: &Tracker<'_>,
) -> Result<Epoch> {
    let windows = (streams.length() - 1).div_ceil(options.bptt);
    let mut step = Step::new(weights, options, streams.batch);
    let (mut sum, mut predicted, mut seconds) = (0.0, 0_u64, 0.0);
    for window in 0..windows {
        let start = Instant::now();
        let first = window * options.bptt;
        let last = (first + options.bptt).min(streams.length() - 1);
        let inputs = first * streams.batch..last * streams.batch;
        let outputs = (first + 1) * streams.batch..(last + 1) * streams.batch;
        // Under `reset` nothing before a document's first token is known of it, so it is not predicted.
        let targets: Vec<u32> =
            outputs.map(|row| if streams.clear[row] { NO_TARGET } else { streams.ids[row] }).collect();
        let count = targets.iter().filter(|&&t| t != NO_TARGET).count() as u64;
        let index = progress.epoch * windows as u64 + window as u64;
        let ids = streams.ids[inputs.clone()].to_vec();
        let clear = streams.clear[inputs.clone()].to_vec();
        let loss = step.run(ids, clear, targets, (seed, index), progress.learning_rate)?;
        if !loss.is_finite() {
            return Err(Error::at(
                "/train/learning_rate",
                format!("training diverged in epoch {}: the loss is {loss}; a lower rate may help", progress.epoch + 1),
            ));
        }
        (sum, predicted) = (sum + loss * count as f64, predicted + count);
        seconds += start.elapsed().as_secs_f64();
        let (epoch, mean) = (progress.epoch + 1, sum / predicted.max(1) as f64);
        let message = format!("epoch {epoch}/{}, loss {mean:.2}", options.epochs.max(epoch));
        tracker.advance_saying(inputs.len() as u64, &message)?;
    }
    Ok(Epoch { tokens: streams.tokens() as u64, loss: sum / predicted.max(1) as f64, seconds })
}

/// What lives from step to step.
struct Step<'a> {
    weights: &'a Weights,
    options: &'a TrainOptions,
    batch: usize,
    states: Vec<Arc<Mutex<recurrence::State>>>,
    encoder: Arc<Mutex<RowGradient>>,
    decoder: Arc<Mutex<DecoderGradient>>,
}

impl<'a> Step<'a> {
    fn new(weights: &'a Weights, options: &'a TrainOptions, batch: usize) -> Self {
        let state = || Arc::new(Mutex::new(recurrence::State::zeros(batch, weights.sizes.hidden)));
        let states = (0..weights.sizes.layers).map(|_| state()).collect();
        Self { weights, options, batch, states, encoder: Arc::default(), decoder: Arc::default() }
    }

    /// One window, `[steps * batch]` each: forward, backward, update. Gives the mean loss.
    fn run(
        &mut self,
        ids: Vec<u32>,
        clear: Vec<bool>,
        targets: Vec<u32>,
        key: (u64, u64),
        learning_rate: f64,
    ) -> Result<f64> {
        let loss = self.loss(ids, clear, targets, key).map_err(failed)?;
        let gradients = loss.backward().map_err(failed)?;
        sgd::step(
            self.weights,
            &gradients,
            &self.encoder.lock().unwrap_or_else(PoisonError::into_inner),
            &self.decoder.lock().unwrap_or_else(PoisonError::into_inner),
            learning_rate,
            self.options.clip,
        )?;
        loss.to_scalar::<f32>().map(f64::from).map_err(failed)
    }

    /// The graph.
    fn loss(&self, ids: Vec<u32>, clear: Vec<bool>, targets: Vec<u32>, key: (u64, u64)) -> candle_core::Result<Tensor> {
        let Weights { encoder, layers, decoder, bias, .. } = self.weights;
        let clear = Arc::new(clear);
        let lookup = Lookup { ids, gradient: self.encoder.clone() };
        let mut x = self.dropout(encoder.apply_op1(lookup)?, key, "dropout.embedding")?;
        for (k, (layer, state)) in layers.iter().zip(&self.states).enumerate() {
            let w = Tensor::cat(&[layer.w_ih.as_tensor(), layer.w_hh.as_tensor()], 1)?;
            let b = (layer.b_ih.as_tensor() + layer.b_hh.as_tensor())?;
            let recurrence =
                Recurrence { batch: self.batch, clear: clear.clone(), state: state.clone(), trace: Mutex::default() };
            x = self.dropout(x.apply_op3(&w, &b, recurrence)?, key, &format!("dropout.lstm.{k}"))?;
        }
        x.apply_op3(decoder, bias, LinearCrossEntropy::new(targets, self.decoder.clone()))
    }

    fn dropout(&self, x: Tensor, (seed, step): (u64, u64), name: &str) -> candle_core::Result<Tensor> {
        match self.options.dropout as f32 {
            0.0 => Ok(x),
            probability => x.apply_op1(Dropout::new(probability, Stream::new(seed, name, step))),
        }
    }
}

/// The values of a contiguous tensor.
fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a contiguous tensor is needed, not {layout:?}"),
    }
}
