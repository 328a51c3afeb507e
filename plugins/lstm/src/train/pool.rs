//! Pooling the outputs of documents side by side as one candle operation.

use std::sync::Mutex;
use std::sync::PoisonError;

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::contiguous;
use super::recurrence::Steps;
use crate::labels::Pooling;

/// `outputs [rows, width] -> [lanes, features]`, the rows as [`Steps`] has them. (Of candle's own operations it would be one of each
/// document's rows, and as many copies.)
pub(super) struct Pool {
    pub pooling: Pooling,
    pub steps: Steps,
    /// `[lanes]`: tokens of each, the most first.
    pub lengths: Vec<usize>,
    /// `[lanes, width]`: at which row each neuron's output is the greatest, from the forward pass for the backward one.
    greatest: Mutex<Vec<usize>>,
}

/// Where a part of a lane's features begins, by the pooling.
struct Parts {
    last: Option<usize>,
    mean: Option<usize>,
    max: Option<usize>,
    features: usize,
}

impl Pool {
    pub fn new(pooling: Pooling, steps: Steps, lengths: Vec<usize>) -> Self {
        Self { pooling, steps, lengths, greatest: Mutex::default() }
    }

    fn parts(&self, width: usize) -> Parts {
        let alone = |pooling| (self.pooling == pooling).then_some(0);
        match self.pooling {
            Pooling::Concat => Parts { last: Some(0), mean: Some(width), max: Some(2 * width), features: 3 * width },
            _ => Parts {
                last: alone(Pooling::Last),
                mean: alone(Pooling::Mean),
                max: alone(Pooling::Max),
                features: width,
            },
        }
    }

    /// The rows of a lane, in the order of its tokens.
    fn rows(&self, lane: usize) -> impl DoubleEndedIterator<Item = usize> {
        self.steps[..self.lengths[lane]].iter().map(move |start| start + lane)
    }

    fn forward(&self, outputs: &[f32], width: usize) -> Vec<f32> {
        let Parts { last, mean, max, features } = self.parts(width);
        let mut pooled = vec![0.0; self.lengths.len() * features];
        let mut greatest = vec![0; if max.is_some() { self.lengths.len() * width } else { 0 }];
        for (lane, (pooled, &length)) in pooled.chunks_exact_mut(features).zip(&self.lengths).enumerate() {
            let row = |row: usize| &outputs[row * width..][..width];
            if let (Some(at), Some(end)) = (last, self.rows(lane).next_back()) {
                pooled[at..][..width].copy_from_slice(row(end));
            }
            if let Some(at) = mean {
                let mean = &mut pooled[at..][..width];
                self.rows(lane).for_each(|r| mean.iter_mut().zip(row(r)).for_each(|(sum, value)| *sum += value));
                mean.iter_mut().for_each(|sum| *sum /= length.max(1) as f32);
            }
            if let Some(at) = max {
                let (max, greatest) = (&mut pooled[at..][..width], &mut greatest[lane * width..][..width]);
                for (token, r) in self.rows(lane).enumerate() {
                    for ((max, greatest), &value) in max.iter_mut().zip(&mut *greatest).zip(row(r)) {
                        if token == 0 || value > *max {
                            (*max, *greatest) = (value, r);
                        }
                    }
                }
            }
        }
        *self.greatest.lock().unwrap_or_else(PoisonError::into_inner) = greatest;
        pooled
    }

    fn backward(&self, rows: usize, width: usize, d_pooled: &[f32]) -> Vec<f32> {
        let Parts { last, mean, max, features } = self.parts(width);
        let mut d_outputs = vec![0.0; rows * width];
        let greatest = self.greatest.lock().unwrap_or_else(PoisonError::into_inner);
        for (lane, (d_pooled, &length)) in d_pooled.chunks_exact(features).zip(&self.lengths).enumerate() {
            if let Some(at) = mean {
                let share = 1.0 / length.max(1) as f32;
                for r in self.rows(lane) {
                    let d_output = &mut d_outputs[r * width..][..width];
                    d_output.iter_mut().zip(&d_pooled[at..]).for_each(|(out, value)| *out += share * value);
                }
            }
            if let (Some(at), Some(end)) = (last, self.rows(lane).next_back()) {
                let d_output = &mut d_outputs[end * width..][..width];
                d_output.iter_mut().zip(&d_pooled[at..]).for_each(|(out, value)| *out += value);
            }
            if let Some(at) = max.filter(|_| length > 0) {
                let of = greatest[lane * width..][..width].iter().zip(&d_pooled[at..]);
                of.enumerate().for_each(|(neuron, (&r, value))| d_outputs[r * width + neuron] += value);
            }
        }
        d_outputs
    }
}

impl CustomOp1 for Pool {
    fn name(&self) -> &'static str {
        "pool"
    }

    fn cpu_fwd(&self, outputs: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if Some(&rows) != self.steps.last() {
            candle_core::bail!("pool: {layout:?} of {:?} rows", self.steps.last());
        }
        let pooled = self.forward(contiguous(outputs, layout)?, width);
        Ok((CpuStorage::F32(pooled), Shape::from((self.lengths.len(), self.parts(width).features))))
    }

    fn bwd(&self, outputs: &Tensor, _: &Tensor, d_pooled: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (rows, width) = outputs.dims2()?;
        let d_outputs = self.backward(rows, width, &d_pooled.flatten_all()?.to_vec1::<f32>()?);
        Tensor::from_vec(d_outputs, (rows, width), outputs.device()).map(Some)
    }
}
