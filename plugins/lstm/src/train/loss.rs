//! The output layer and its cross-entropy as one candle operation.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::contiguous;
use crate::cpu::kernel::{Matrix, MatrixMut, Pass, Write, product, vectorized};
use crate::decoder::{Cut, Decoder, NO_TARGET, Part, normalizers};
use crate::tracker::Stop;

/// The most scores held at once, counted in values: 64 MiB. Rows are taken in tiles of that many scores; the fewer
/// tiles, the fewer times the decoder's weights and gradients pass through memory.
const TILE: usize = 1 << 24;

/// Gradients of the decoder, kept apart from candle's.
///
/// candle adds every gradient to a tensor of zeros first: for `[vocabulary, hidden]` that costs more than the rest of
/// the backward pass. Here the buffers are written in place and live as long as the training.
#[derive(Debug, Default)]
pub(super) struct DecoderGradient {
    /// `[vocabulary, hidden]`
    pub weight: Vec<f32>,
    /// `[vocabulary]`
    pub bias: Vec<f32>,
    /// The gradient of the loss, by which both are still to be multiplied; 0 before the backward pass.
    pub scale: f32,
    /// `[vocabulary, rows of a tile]`, kept so that it is allocated once.
    scores: Vec<f32>,
}

/// The mean cross-entropy of `targets` under `softmax(W h + b)`, `(h [rows, hidden], W, b) -> []`.
///
/// The gradients are made along with the loss, a tile of rows and a block of the vocabulary at a time, and scaled in
/// the backward pass. The gradients of `W` and `b` go to `gradient`. Blocks and the order of sums are fixed by the
/// shapes: the bits do not depend on the number of threads.
pub(super) struct LinearCrossEntropy {
    /// `[rows]`; [`NO_TARGET`] counts for nothing.
    targets: Vec<u32>,
    gradient: Arc<Mutex<DecoderGradient>>,
    hidden_gradient: Mutex<Vec<f32>>,
    stop: Stop,
}

impl LinearCrossEntropy {
    pub fn new(targets: Vec<u32>, gradient: Arc<Mutex<DecoderGradient>>, stop: Stop) -> Self {
        Self { targets, gradient, hidden_gradient: Mutex::default(), stop }
    }

    /// The mean loss, and its gradient for `hidden`.
    fn run(
        &self,
        hidden: &[f32],
        decoder: Decoder<'_>,
        gradient: &mut DecoderGradient,
    ) -> candle_core::Result<(f64, Vec<f32>)> {
        let (vocabulary, width) = (decoder.bias.len(), decoder.hidden);
        let counted = self.targets.iter().filter(|&&t| t != NO_TARGET).count().max(1);
        let tiles = (self.targets.len() * vocabulary).div_ceil(TILE);
        let rows = self.targets.len().div_ceil(tiles.max(1)).next_multiple_of(16);
        gradient.weight.resize(vocabulary * width, 0.0);
        gradient.bias.resize(vocabulary, 0.0);
        gradient.scores.resize(vocabulary * rows, 0.0);
        gradient.scale = 0.0;
        let mut hidden_gradient = vec![0.0; hidden.len()];
        let mut loss = 0.0;
        let tiles = self.targets.chunks(rows).zip(hidden.chunks(rows * width));
        for (index, ((targets, hidden), out)) in tiles.zip(hidden_gradient.chunks_mut(rows * width)).enumerate() {
            let write = if index == 0 { Write::Replace } else { Write::Add };
            let tile = Tile { hidden, targets, hidden_gradient: out };
            loss += self.tile(decoder, tile, 1.0 / counted as f32, write, gradient)?;
        }
        Ok((loss / counted as f64, hidden_gradient))
    }

    /// The summed loss of one tile of rows, and its gradients times `share`. `write` says whether the decoder's are
    /// added to those of the tiles before.
    fn tile(
        &self,
        decoder: Decoder<'_>,
        tile: Tile<'_>,
        share: f32,
        write: Write,
        gradient: &mut DecoderGradient,
    ) -> candle_core::Result<f64> {
        let Tile { hidden, targets, hidden_gradient } = tile;
        let (rows, width, vocabulary) = (targets.len(), decoder.hidden, decoder.bias.len());
        let cut = Cut::new(vocabulary);
        let scores = &mut gradient.scores[..vocabulary * rows];
        let parts: Vec<Vec<Part>> = scores
            .par_chunks_mut(cut.group * rows)
            .enumerate()
            .map(|(group, scores)| {
                self.stop.check()?;
                let blocks = scores.chunks_mut(cut.block * rows).enumerate();
                let part = |(b, scores)| decoder.block(hidden, targets, group * cut.group + b * cut.block, scores);
                Ok(blocks.map(part).collect())
            })
            .collect::<candle_core::Result<_>>()?;
        let parts: Vec<Part> = parts.into_iter().flatten().collect();
        let (normalizers, losses) = normalizers(&parts, targets);
        let blocks = cut.group.div_ceil(cut.block);

        let partial: Vec<Vec<f32>> = scores
            .par_chunks_mut(cut.group * rows)
            .zip(gradient.weight.par_chunks_mut(cut.group * width))
            .zip(gradient.bias.par_chunks_mut(cut.group))
            .enumerate()
            .map(|(group, ((scores, d_weight), d_bias))| {
                self.stop.check()?;
                let mut d_hidden = vec![0.0; rows * width];
                let outputs = d_weight.chunks_mut(cut.block * width).zip(d_bias.chunks_mut(cut.block));
                for (b, (scores, (d_weight, d_bias))) in scores.chunks_mut(cut.block * rows).zip(outputs).enumerate() {
                    let (first, words) = (group * cut.group + b * cut.block, d_bias.len());
                    let max = &parts[group * blocks + b].max;
                    let factors: Vec<f32> = (0..rows)
                        .map(|r| match targets[r] {
                            NO_TARGET => 0.0,
                            _ => (f64::from(max[r]) - normalizers[r]).exp() as f32 * share,
                        })
                        .collect();
                    vectorized(ScaleAndSum { scores, factors: &factors, write, sums: d_bias });
                    for (row, &target) in targets.iter().enumerate() {
                        if let Some(word) = (target as usize).checked_sub(first).filter(|&w| w < words) {
                            scores[word * rows + row] -= share;
                            d_bias[word] -= share;
                        }
                    }
                    let d_scores = Matrix::new(scores, words, rows);
                    let weight = Matrix::new(&decoder.weight[first * width..(first + words) * width], words, width);
                    product(MatrixMut::new(d_weight, words, width), write, d_scores, Matrix::new(hidden, rows, width));
                    product(MatrixMut::new(&mut d_hidden, rows, width), Write::Add, d_scores.t(), weight);
                }
                Ok(d_hidden)
            })
            .collect::<candle_core::Result<_>>()?;
        hidden_gradient.par_chunks_mut(4096).enumerate().for_each(|(chunk, out)| {
            for partial in &partial {
                out.iter_mut().zip(&partial[chunk * 4096..]).for_each(|(out, value)| *out += value);
            }
        });
        Ok(losses.iter().sum())
    }
}

/// Some rows of a window.
struct Tile<'a> {
    /// `[rows, hidden]`
    hidden: &'a [f32],
    /// `[rows]`
    targets: &'a [u32],
    /// `[rows, hidden]`
    hidden_gradient: &'a mut [f32],
}

/// Multiplies the scores `[words, rows]` by each row's factor, and sums them over the rows: into `sums` `[words]`,
/// which `write` replaces or adds to.
struct ScaleAndSum<'a> {
    scores: &'a mut [f32],
    factors: &'a [f32],
    write: Write,
    sums: &'a mut [f32],
}

impl Pass for ScaleAndSum<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (factors, last) = self.factors.as_chunks::<16>();
        for (scores, sum) in self.scores.chunks_exact_mut(self.factors.len()).zip(self.sums) {
            let (scores, rest) = scores.as_chunks_mut::<16>();
            let mut sums = [0.0; 16];
            for (scores, factors) in scores.iter_mut().zip(factors) {
                for l in 0..16 {
                    scores[l] *= factors[l];
                    sums[l] += scores[l];
                }
            }
            for ((score, factor), sum) in rest.iter_mut().zip(last).zip(&mut sums) {
                *score *= factor;
                *sum += *score;
            }
            let total = sums.iter().sum::<f32>();
            *sum = if self.write == Write::Add { *sum + total } else { total };
        }
    }
}

impl CustomOp3 for LinearCrossEntropy {
    fn name(&self) -> &'static str {
        "linear-cross-entropy"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hidden_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (rows, width) = hidden_layout.shape().dims2()?;
        let (vocabulary, columns) = weight_layout.shape().dims2()?;
        if rows != self.targets.len() || columns != width || bias_layout.shape().dims1()? != vocabulary {
            candle_core::bail!("linear-cross-entropy: {hidden_layout:?}, {weight_layout:?} and {bias_layout:?}");
        }
        let decoder =
            Decoder { weight: contiguous(weight, weight_layout)?, bias: contiguous(bias, bias_layout)?, hidden: width };
        let mut gradient = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        let (loss, hidden_gradient) = self.run(contiguous(hidden, hidden_layout)?, decoder, &mut gradient)?;
        *self.hidden_gradient.lock().unwrap_or_else(PoisonError::into_inner) = hidden_gradient;
        Ok((CpuStorage::F32(vec![loss as f32]), Shape::from(())))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        loss: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let scale = loss.to_scalar::<f32>()?;
        self.gradient.lock().unwrap_or_else(PoisonError::into_inner).scale = scale;
        let values = std::mem::take(&mut *self.hidden_gradient.lock().unwrap_or_else(PoisonError::into_inner));
        let gradient = Tensor::from_vec(values, hidden.shape(), hidden.device())?;
        Ok((Some(gradient.affine(f64::from(scale), 0.0)?), None, None))
    }
}
