//! Plain stochastic gradient descent with a limit on the gradient's norm.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout};
use rayon::prelude::*;
use txray_plugin::Result;

use super::embedding::RowGradient;
use super::loss::DecoderGradient;
use crate::weights::{Weights, failed, to_vec};

/// Values that are summed or updated at once. Fixed, so that the sums do not depend on the number of threads.
const BLOCK: usize = 1 << 14;

/// Updates every weight by `-learning_rate` times its gradient, all gradients scaled down to the norm `clip`. Gives the
/// norm before that; where it is not finite, nothing is updated.
pub(super) fn step(
    weights: &Weights,
    gradients: &GradStore,
    encoder: &RowGradient,
    decoder: &DecoderGradient,
    learning_rate: f64,
    clip: f64,
) -> Result<f64> {
    let mut layers = Vec::new();
    for layer in &weights.layers {
        for variable in [&layer.w_ih, &layer.w_hh, &layer.b_ih, &layer.b_hh] {
            if let Some(gradient) = gradients.get(variable) {
                layers.push((variable, to_vec(gradient)?));
            }
        }
    }
    let scale = f64::from(decoder.scale);
    let mut squares = squares(&encoder.values);
    squares += (self::squares(&decoder.weight) + self::squares(&decoder.bias)) * scale * scale;
    squares += layers.iter().map(|(_, gradient)| self::squares(gradient)).sum::<f64>();
    let norm = squares.sqrt();
    if !norm.is_finite() {
        return Ok(norm);
    }

    let rate = -learning_rate * (clip / (norm + 1e-6)).min(1.0);
    for (variable, values) in layers {
        variable.inplace_op1(&AddScaled { values: &values, factor: rate as f32 }).map_err(failed)?;
    }
    let factor = (rate * scale) as f32;
    weights.decoder.inplace_op1(&AddScaled { values: &decoder.weight, factor }).map_err(failed)?;
    weights.bias.inplace_op1(&AddScaled { values: &decoder.bias, factor }).map_err(failed)?;
    weights.encoder.inplace_op1(&AddRows { gradient: encoder, factor: rate as f32 }).map_err(failed)?;
    Ok(norm)
}

/// The sum of squares: single precision in a block, double precision over blocks in order.
fn squares(values: &[f32]) -> f64 {
    let blocks: Vec<f64> = values
        .par_chunks(BLOCK)
        .map(|block| {
            let mut sums = [0.0_f32; 16];
            let (chunks, rest) = block.as_chunks::<16>();
            for chunk in chunks {
                for l in 0..16 {
                    sums[l] += chunk[l] * chunk[l];
                }
            }
            sums.iter().map(|&s| f64::from(s)).sum::<f64>() + rest.iter().map(|&v| f64::from(v * v)).sum::<f64>()
        })
        .collect();
    blocks.iter().sum()
}

/// `weights += factor * values`, in place.
struct AddScaled<'a> {
    values: &'a [f32],
    factor: f32,
}

impl InplaceOp1 for AddScaled<'_> {
    fn name(&self) -> &'static str {
        "add-scaled"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let weights = whole(weights, layout, self.values.len())?;
        weights.par_chunks_mut(BLOCK).zip(self.values.par_chunks(BLOCK)).for_each(|(weights, values)| {
            weights.iter_mut().zip(values).for_each(|(weight, value)| *weight += self.factor * value);
        });
        Ok(())
    }
}

/// `weights[row] += factor * values[row]` for the rows of a sparse gradient, in place.
struct AddRows<'a> {
    gradient: &'a RowGradient,
    factor: f32,
}

impl InplaceOp1 for AddRows<'_> {
    fn name(&self) -> &'static str {
        "add-rows"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (vocabulary, width) = layout.shape().dims2()?;
        let weights = whole(weights, layout, vocabulary * width)?;
        for (&row, values) in self.gradient.rows.iter().zip(self.gradient.values.chunks_exact(width)) {
            let weights = &mut weights[row as usize * width..][..width];
            weights.iter_mut().zip(values).for_each(|(weight, value)| *weight += self.factor * value);
        }
        Ok(())
    }
}

/// The storage of a variable, which is the whole of it.
fn whole<'a>(storage: &'a mut CpuStorage, layout: &Layout, len: usize) -> candle_core::Result<&'a mut [f32]> {
    match storage {
        CpuStorage::F32(values) if layout.contiguous_offsets() == Some((0, len)) && values.len() == len => Ok(values),
        _ => candle_core::bail!("a variable of {layout:?} is not {len} values in a row"),
    }
}
