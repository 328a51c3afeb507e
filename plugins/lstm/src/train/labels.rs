//! Training for labels: whole documents side by side, a head over what is pooled of them or over each token.
//!
//! ```text
//! step: documents of like length --> shares, a thread each: lookup -> dropout -> (recurrence -> dropout)* -> pool
//!       [rows, hidden] --pool, or the rows with a label--> [labels, features] -> dropout -> linear -> cross-entropy
//! ```
//!
//! A share is a graph of its own; losses and gradients of shares are added in their order. With a frozen encoder the features are
//! read once, before the first step, and a step is the head alone.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use txray_plugin::Result;

use super::embedding::{Lookup, RowGradient};
use super::lesson::{Lesson, Share};
use super::optimizer::{Gradient, Update};
use super::pool::Pool;
use super::progress::Progress;
use super::recurrence::{LayerState, Recurrence};
use super::{Epoch, beginning, diverged, dropout};
use crate::features::Features;
use crate::network::Network;
use crate::options::TrainOptions;
use crate::tracker::Stop;
use crate::weights::{ENCODER, Weights, failed, to_vec};

/// Makes the optimizer steps of an epoch, on the current thread pool.
pub(crate) struct Labelling<'a> {
    pub weights: &'a Weights,
    pub options: &'a TrainOptions,
    pub lesson: &'a Lesson,
    /// What the head reads of each document, where the encoder is frozen.
    pub features: Option<&'a Features>,
    pub seed: u64,
    pub stop: Stop,
    /// Whether by operations of our own, or by the plain network.
    pub fast: bool,
    /// `[steps][documents]`: the order of the epoch.
    pub order: Vec<Vec<usize>>,
}

/// What a share of a step came to: its part of the mean loss, and its gradients, which are those of it.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub loss: f64,
    /// Of variables, by their indices.
    pub dense: Vec<(usize, Vec<f32>)>,
    /// Of the embeddings that were looked up.
    pub rows: RowGradient,
}

impl Epoch for Labelling<'_> {
    fn steps(&self) -> usize {
        self.order.len()
    }

    fn step(&self, progress: &mut Progress) -> Result<u64> {
        let index = progress.cursor.windows;
        let documents = &self.order[index];
        let number = progress.epoch * self.order.len() as u64 + index as u64;
        let Part { loss, dense, rows } = self.gradients(documents, number)?;
        if !loss.is_finite() {
            return Err(diverged(progress, "the loss", loss));
        }
        let variables = self.weights.variables();
        let mut gradients: Vec<_> =
            dense.iter().map(|(index, values)| (*index, Gradient::Dense(values), 1.0)).collect();
        if !rows.rows.is_empty() {
            gradients.push((0, Gradient::Rows(&rows), 1.0));
        }
        let update = Update {
            options: self.options,
            learning_rate: progress.learning_rate * self.options.factor(number, self.order.len() as u64),
            steps: number,
        };
        let norm = update.run(&variables, &gradients, &mut progress.means)?;
        if !norm.is_finite() {
            return Err(diverged(progress, "the gradient's norm", norm));
        }
        let (tokens, count) = (self.lesson.tokens_of(documents) as u64, self.lesson.count(documents));
        let cursor = &mut progress.cursor;
        cursor.windows += 1;
        cursor.loss += loss * count as f64;
        cursor.predicted += count;
        progress.tokens += tokens;
        Ok(tokens)
    }
}

impl Labelling<'_> {
    /// The mean loss of some documents, and its gradients. `number` counts steps from the beginning of training, for dropout.
    pub(super) fn gradients(&self, documents: &[usize], number: u64) -> Result<Part> {
        let total = match self.lesson.weight(documents) {
            // All labels of the step count for nothing, and so does it.
            0.0 => 1.0,
            total => total,
        };
        let parts: Vec<Part> = match self.features {
            Some(features) => vec![self.of_features(features, documents, number, total)?],
            None => {
                let shares = self.lesson.shares(documents);
                let part = |(at, share): (usize, &Share)| self.share(share, at, number, total);
                shares.par_iter().with_max_len(1).enumerate().map(part).collect::<Result<_>>()?
            }
        };
        let mut parts = parts.into_iter();
        let mut sum = parts.next().unwrap_or_default();
        for part in parts {
            sum.loss += part.loss;
            for ((_, sum), (_, values)) in sum.dense.iter_mut().zip(&part.dense) {
                sum.par_iter_mut().with_min_len(1 << 14).zip(values).for_each(|(sum, value)| *sum += value);
            }
            sum.rows = sum.rows.plus(&part.rows, self.weights.sizes.embedding);
        }
        Ok(sum)
    }

    fn share(&self, share: &Share, at: usize, number: u64, total: f64) -> Result<Part> {
        let encoder: Arc<Mutex<RowGradient>> = Arc::default();
        let loss = self.loss(share, at, number, total, &encoder).map_err(|e| self.failed(e))?;
        let gradients = loss.backward().map_err(|e| self.failed(e))?;
        let rows = std::mem::take(&mut *encoder.lock().unwrap_or_else(PoisonError::into_inner));
        self.part(&loss, &gradients, rows)
    }

    /// A share's part of the mean loss as a graph.
    fn loss(
        &self,
        share: &Share,
        at: usize,
        number: u64,
        total: f64,
        encoder: &Arc<Mutex<RowGradient>>,
    ) -> candle_core::Result<Tensor> {
        let labels = self.lesson.labels;
        let dropped = |x: Tensor, name: &str| self.dropout(x, number, &format!("dropout.{name}.{at}"));
        let features = |outputs: Tensor| match labels.pooling {
            Some(pooling) if self.fast => {
                outputs.apply_op1(Pool::new(pooling, share.steps.clone(), share.lengths.clone()))
            }
            Some(pooling) => {
                let rows =
                    |lane: usize| (0..share.lengths[lane]).map(|position| share.row(lane, position) as u32).collect();
                Network::pooled(&outputs, pooling, (0..share.lengths.len()).map(rows))
            }
            None => outputs.index_select(&Tensor::new(share.labelled(self.lesson).0, &Device::Cpu)?, 0),
        };
        let width = self.weights.sizes.hidden;
        let features = match (share.ids.is_empty(), self.fast) {
            // There is nothing to read.
            (true, _) => Tensor::zeros((share.documents.len(), labels.features(width)), DType::F32, &Device::Cpu)?,
            (false, true) => features(self.outputs(share, dropped, encoder)?)?,
            (false, false) => features(self.plain_outputs(share, dropped)?)?,
        };
        let targets = match labels.pooling {
            Some(_) => {
                share.documents.iter().flat_map(|&d| self.lesson.labels_of(d).map(|(_, target)| target)).collect()
            }
            None => share.labelled(self.lesson).1,
        };
        self.head(&dropped(features, "features")?, &targets, total)
    }

    /// `[rows, hidden]`: the outputs of the last layer.
    fn outputs(
        &self,
        share: &Share,
        dropped: impl Fn(Tensor, &str) -> candle_core::Result<Tensor>,
        gradient: &Arc<Mutex<RowGradient>>,
    ) -> candle_core::Result<Tensor> {
        let Weights { sizes, encoder, layers, .. } = self.weights;
        let lookup = Lookup { ids: share.ids.clone(), gradient: gradient.clone() };
        let trains = self.options.trains(ENCODER);
        let encoder = if trains { encoder.as_tensor().clone() } else { encoder.as_tensor().detach() };
        let mut x = dropped(encoder.apply_op1(lookup)?, "embedding")?;
        for (k, layer) in layers.iter().enumerate() {
            if k > 0 {
                x = dropped(x, &format!("lstm.{}", k - 1))?;
            }
            let w = Tensor::cat(&[layer.w_ih.as_tensor(), layer.w_hh.as_tensor()], 1)?;
            let recurrence = Recurrence {
                cell: sizes.cell,
                steps: share.steps.clone(),
                clear: Arc::default(),
                state: Arc::new(Mutex::new(LayerState::zeros(share.documents.len(), sizes.hidden))),
                of_input: trains || k > 0,
                trace: Mutex::default(),
                stop: self.stop.clone(),
            };
            x = x.apply_op3(&w, &beginning(*sizes, layer)?, recurrence)?;
        }
        Ok(x)
    }

    /// The same by the plain network.
    fn plain_outputs(
        &self,
        share: &Share,
        dropped: impl Fn(Tensor, &str) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Tensor> {
        let layers = self.weights.sizes.layers;
        Network::training(self.weights)?.side_by_side(&share.ids, &share.steps, &mut |x, layer| match layer {
            None => dropped(x, "embedding"),
            Some(k) if k + 1 < layers => dropped(x, &format!("lstm.{k}")),
            Some(_) => Ok(x),
        })
    }

    /// The same of features that are there already.
    fn of_features(&self, features: &Features, documents: &[usize], number: u64, total: f64) -> Result<Part> {
        let (values, rows) = features.of(documents);
        let of = |&document: &usize| self.lesson.labels_of(document).map(|(_, target)| target);
        let targets: Vec<u32> = documents.iter().flat_map(of).collect();
        let loss = || {
            let features = Tensor::from_vec(values, (rows, features.width), &Device::Cpu)?;
            self.head(&self.dropout(features, number, "dropout.features")?, &targets, total)
        };
        let loss = loss().map_err(|e| self.failed(e))?;
        let gradients = loss.backward().map_err(|e| self.failed(e))?;
        self.part(&loss, &gradients, RowGradient::default())
    }

    /// Of features `[targets, features]` the weighted losses' part of the mean: their sum over `total`, what all labels of the
    /// step count.
    fn head(&self, features: &Tensor, targets: &[u32], total: f64) -> candle_core::Result<Tensor> {
        let (_, weight, bias) =
            self.weights.classifier().map_err(|error| candle_core::Error::Msg(error.message().to_owned()))?;
        if targets.is_empty() {
            return features.sum_all()? * 0.0;
        }
        let logarithms = Network::labels(weight, bias, features)?;
        let chosen = Tensor::from_slice(targets, (targets.len(), 1), &Device::Cpu)?;
        let weights = Tensor::from_vec(self.lesson.weights_of(targets), (targets.len(), 1), &Device::Cpu)?;
        (logarithms.gather(&chosen, 1)? * weights)?.sum_all()?.affine(-1.0 / total, 0.0)
    }

    fn part(&self, loss: &Tensor, gradients: &GradStore, rows: RowGradient) -> Result<Part> {
        let names = self.weights.sizes.tensors();
        let mut dense = Vec::new();
        for (index, (variable, (name, _))) in self.weights.variables().into_iter().zip(names).enumerate() {
            // Those of the embeddings that were looked up are among `rows`.
            if !self.options.trains(&name) || self.fast && name == ENCODER {
                continue;
            }
            let gradient = gradients.get(variable).map(to_vec).transpose()?;
            dense.push((index, gradient.unwrap_or_else(|| vec![0.0; variable.elem_count()])));
        }
        Ok(Part { loss: f64::from(loss.to_scalar::<f32>().map_err(failed)?), dense, rows })
    }

    fn dropout(&self, x: Tensor, number: u64, name: &str) -> candle_core::Result<Tensor> {
        dropout(x, self.options.dropout as f32, self.seed, name, number)
    }

    fn failed(&self, error: candle_core::Error) -> txray_plugin::Error {
        self.stop.or(error)
    }
}
