//! The update of the weights: SGD, Adam and AdamW, with a limit on the gradient's norm.

use std::sync::{Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Var};
use rayon::prelude::*;
use txray_plugin::Result;

use super::embedding::RowGradient;
use super::loss::DecoderGradient;
use crate::cpu::kernel::{Pass, not_tiny, vectorized};
use crate::options::{Optimizer, TrainOptions};
use crate::weights::{Weights, failed, to_vec};

/// Values that are summed or updated at once. Fixed, so that the sums do not depend on the number of threads.
const BLOCK: usize = 1 << 14;

/// Adam's running means of a tensor's gradient and of its square, in the tensor's shape. (The paper calls them moments,
/// a word that `txray` has for the sums of h, |h| and h².)
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Means {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

#[derive(Clone, Copy)]
pub(super) enum Gradient<'a> {
    Dense(&'a [f32]),
    /// Of some rows of a matrix; the gradient of all others is zero.
    Rows(&'a RowGradient),
}

impl Gradient<'_> {
    fn squares(&self) -> f64 {
        match self {
            Self::Dense(values) => squares(values),
            Self::Rows(gradient) => squares(&gradient.values),
        }
    }
}

pub(super) struct Update<'a> {
    pub options: &'a TrainOptions,
    /// The step size of this step, its schedule applied.
    pub learning_rate: f64,
    /// Steps made before this one.
    pub steps: u64,
}

impl Update<'_> {
    /// Updates every weight of a language model by the gradients of its layers, embeddings and decoder. See [`Update::run`].
    pub fn language_model(
        &self,
        weights: &Weights,
        gradients: &GradStore,
        encoder: &RowGradient,
        decoder: &mut DecoderGradient,
        means: &mut Vec<Means>,
    ) -> Result<f64> {
        let variables = weights.variables();
        let mut layers = Vec::new();
        for (index, variable) in variables.iter().enumerate().skip(1).take(4 * weights.layers.len()) {
            if let Some(gradient) = gradients.get(variable) {
                layers.push((index, to_vec(gradient)?));
            }
        }
        let (tied, scale, last) = (weights.sizes.tied, f64::from(decoder.scale), variables.len() - 1);
        if tied {
            // The embeddings' gradient joins the decoder's, which is kept before its scale.
            let width = weights.sizes.embedding;
            for (&row, values) in encoder.rows.iter().zip(encoder.values.chunks_exact(width)) {
                let out = &mut decoder.weight[row as usize * width..][..width];
                out.iter_mut().zip(values).for_each(|(out, value)| *out += value / decoder.scale);
            }
        }
        let mut all = vec![
            (if tied { 0 } else { last - 1 }, Gradient::Dense(&decoder.weight), scale),
            (last, Gradient::Dense(&decoder.bias), scale),
        ];
        all.extend(layers.iter().map(|(index, values)| (*index, Gradient::Dense(values), 1.0)));
        all.extend((!tied).then_some((0, Gradient::Rows(encoder), 1.0)));
        self.run(&variables, &all, means)
    }

    /// Updates variables by their gradients (the variable's index, its gradient, and by what that is still to be multiplied). All
    /// gradients together are first scaled down to the norm `clip`; the result is their norm before that, and where it is not
    /// finite, nothing is updated. `means` has one entry a variable, or none before Adam's first step; those of variables
    /// that are not trained stay empty.
    pub fn run(
        &self,
        variables: &[&Var],
        gradients: &[(usize, Gradient<'_>, f64)],
        means: &mut Vec<Means>,
    ) -> Result<f64> {
        let norm = gradients.iter().map(|(_, gradient, scale)| gradient.squares() * scale * scale).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        let clip = (self.options.clip / (norm + 1e-6)).min(1.0);
        let optimizer = self.options.optimizer();
        if optimizer != Optimizer::Sgd && means.is_empty() {
            means.resize_with(variables.len(), Means::default);
        }
        for (index, gradient, scale) in gradients {
            let (variable, factor) = (variables[*index], clip * scale);
            match optimizer {
                Optimizer::Sgd => {
                    let factor = (-self.learning_rate * factor) as f32;
                    variable.inplace_op1(&Sgd { gradient: *gradient, factor }).map_err(failed)?;
                }
                Optimizer::Adam | Optimizer::Adamw => {
                    let adam = self.adam(factor);
                    let of = &mut means[*index];
                    of.first.resize(variable.elem_count(), 0.0);
                    of.second.resize(variable.elem_count(), 0.0);
                    let means = Mutex::new(of);
                    variable.inplace_op1(&AdamOp { gradient: *gradient, adam, means }).map_err(failed)?;
                }
            }
        }
        Ok(norm)
    }

    fn adam(&self, factor: f64) -> Adam {
        let TrainOptions { betas: [first, second], epsilon, weight_decay, .. } = *self.options;
        // With that many steps the powers below are zero, as they are with more.
        let steps = i32::try_from(self.steps + 1).unwrap_or(i32::MAX);
        let decay = if self.options.optimizer() == Optimizer::Adamw { self.learning_rate * weight_decay } else { 0.0 };
        Adam {
            factor: factor as f32,
            first: first as f32,
            second: second as f32,
            rate: (self.learning_rate / (1.0 - first.powi(steps))) as f32,
            correction: (1.0 / (1.0 - second.powi(steps)).sqrt()) as f32,
            epsilon: epsilon as f32,
            keep: (1.0 - decay) as f32,
        }
    }
}

/// The sum of squares: single precision in a block, double precision over blocks in order.
fn squares(values: &[f32]) -> f64 {
    let blocks: Vec<f64> = values.par_chunks(BLOCK).map(|block| vectorized(Squares(block))).collect();
    blocks.iter().sum()
}

struct Squares<'a>(&'a [f32]);

impl Pass for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut sums = [0.0_f32; 16];
        let (chunks, rest) = self.0.as_chunks::<16>();
        for chunk in chunks {
            for l in 0..16 {
                sums[l] += chunk[l] * chunk[l];
            }
        }
        sums.iter().map(|&s| f64::from(s)).sum::<f64>() + rest.iter().map(|&v| f64::from(v * v)).sum::<f64>()
    }
}

/// `weights += factor * gradient`, in place.
struct Sgd<'a> {
    gradient: Gradient<'a>,
    factor: f32,
}

impl InplaceOp1 for Sgd<'_> {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let weights = whole(weights, layout)?;
        let factor = self.factor;
        match self.gradient {
            Gradient::Dense(values) => weights
                .par_chunks_mut(BLOCK)
                .zip(values.par_chunks(BLOCK))
                .for_each(|(weights, values)| vectorized(AddScaled { weights, values, factor })),
            Gradient::Rows(gradient) => {
                let width = width(layout);
                for (&row, values) in gradient.rows.iter().zip(gradient.values.chunks_exact(width)) {
                    let weights = &mut weights[row as usize * width..][..width];
                    vectorized(AddScaled { weights, values, factor });
                }
            }
        }
        Ok(())
    }
}

struct AddScaled<'a> {
    weights: &'a mut [f32],
    values: &'a [f32],
    factor: f32,
}

impl Pass for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.weights.iter_mut().zip(self.values).for_each(|(weight, value)| *weight += self.factor * value);
    }
}

/// The constants of one step of Adam.
#[derive(Clone, Copy)]
struct Adam {
    /// What gradients are multiplied by before all else.
    factor: f32,
    first: f32,
    second: f32,
    /// The step size, corrected for a first mean that began at zero.
    rate: f32,
    /// What the root of the second mean is multiplied by, because that mean began at zero.
    correction: f32,
    epsilon: f32,
    /// What weights are multiplied by before the step: 1 less the decay.
    keep: f32,
}

/// Adam as PyTorch has it, in place. A row that was not looked up has a gradient of zero: its means decay, and they
/// still move it.
struct AdamOp<'a> {
    gradient: Gradient<'a>,
    adam: Adam,
    means: Mutex<&'a mut Means>,
}

impl InplaceOp1 for AdamOp<'_> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let weights = whole(weights, layout)?;
        let mut means = self.means.lock().unwrap_or_else(PoisonError::into_inner);
        let Means { first, second } = &mut **means;
        let adam = self.adam;
        let width = if let Gradient::Rows(_) = self.gradient { width(layout) } else { BLOCK };
        // Whole rows, together about as long as a block.
        let size = width * (BLOCK / width).max(1);
        let chunks = weights.par_chunks_mut(size).zip(first.par_chunks_mut(size)).zip(second.par_chunks_mut(size));
        chunks.enumerate().for_each(|(chunk, ((weights, first), second))| match self.gradient {
            Gradient::Dense(values) => {
                let values = &values[chunk * size..][..weights.len()];
                vectorized(AdamPass { weights, first, second, values, adam });
            }
            Gradient::Rows(gradient) => {
                let mut values = vec![0.0; weights.len()];
                let (start, end) = (chunk * size / width, (chunk * size + weights.len()) / width);
                let from = gradient.rows.partition_point(|&row| (row as usize) < start);
                let to = gradient.rows.partition_point(|&row| (row as usize) < end);
                for at in from..to {
                    let row = gradient.rows[at] as usize - start;
                    values[row * width..][..width].copy_from_slice(&gradient.values[at * width..][..width]);
                }
                vectorized(AdamPass { weights, first, second, values: &values, adam });
            }
        });
        Ok(())
    }
}

struct AdamPass<'a> {
    weights: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    values: &'a [f32],
    adam: Adam,
}

impl Pass for AdamPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Adam { factor, first: b1, second: b2, rate, correction, epsilon, keep } = self.adam;
        let means = self.first.iter_mut().zip(self.second);
        for ((weight, (first, second)), value) in self.weights.iter_mut().zip(means).zip(self.values) {
            let gradient = factor * value;
            *first = not_tiny(b1 * *first + (1.0 - b1) * gradient);
            *second = not_tiny(b2 * *second + (1.0 - b2) * gradient * gradient);
            *weight = keep * *weight - rate * *first / (second.sqrt() * correction + epsilon);
        }
    }
}

/// The length of a row of a matrix.
fn width(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1)
}

/// The values of a variable. A view of a part of some storage is an error.
fn whole<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    let len = layout.shape().elem_count();
    match storage {
        CpuStorage::F32(values) if layout.contiguous_offsets() == Some((0, len)) && values.len() == len => Ok(values),
        _ => candle_core::bail!("a variable of {layout:?} is not {len} values in a row"),
    }
}
