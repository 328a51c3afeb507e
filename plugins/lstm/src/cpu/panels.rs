//! Products of a layer's weights with lanes, `[gate, input] x [input, lane]`, and the vectors they are made of.
//!
//! The weights are packed once: a neuron's gates stand side by side, in blocks of inputs. Lanes lie in strips of 16. A
//! tile is the gates of one neuron by a strip, its gate sums in registers: the strip's values for a block stay in the
//! innermost cache from one neuron to the next, and the weights of some neurons in the next cache from one strip to the
//! next. An element is one chain of fused multiply-adds in the order of the inputs, so its bits depend on nothing but
//! its own row and column: not on the lanes beside it, nor on where it stands.

use std::ops::{Deref, DerefMut, Range};

use pulp::Simd;

use crate::weights::GATE_SUMS;

/// The most inputs in a block: 8 KiB of a strip.
const BLOCK: usize = 128;
/// Neurons whose weights, 32 KiB at most, meet all strips before the weights of the next neurons do.
pub(crate) const NEURONS: usize = 16;
/// Inputs in one turn of the innermost loop, which the compiler unrolls.
pub(crate) const TURN: usize = 4;
const LINE_BYTES: usize = 64;

/// Zeros that begin on a cache line, so that no vector of them lies across two.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    pub fn zeros(len: usize) -> Self {
        let values = vec![0.0; len + LINE_BYTES / size_of::<f32>()];
        // It may answer that it cannot say; then the values are only slower.
        let start = values.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES / size_of::<f32>());
        Self { values, start, len }
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..self.start + self.len]
    }
}

/// Values of `P * 16` lanes, 16 side by side: `[strip][value, lane]`.
pub(crate) type Strips<const P: usize> = [Aligned; P];

/// Strips of `len` values a lane, all zero.
pub(crate) fn strips<const P: usize>(len: usize) -> Strips<P> {
    std::array::from_fn(|_| Aligned::zeros(len * 16))
}

/// A weight matrix `[gates * neurons, inputs]` (a gate after the other, as PyTorch has it), packed as
/// `[block][neuron][input of the block][gate]`.
#[derive(Debug)]
pub(crate) struct Panels {
    values: Aligned,
    neurons: usize,
    inputs: usize,
    /// To which of a neuron's [`GATE_SUMS`] the product of each gate is added.
    targets: Vec<usize>,
}

impl Panels {
    /// Packs `weights`; `targets` has one entry a gate.
    pub fn new(weights: &[f32], targets: &[usize], neurons: usize) -> Self {
        let gates = targets.len();
        let inputs = weights.len() / (gates * neurons);
        let mut values = Aligned::zeros(weights.len());
        let panels = Self { values: Aligned::default(), neurons, inputs, targets: targets.to_vec() };
        for block in panels.blocks() {
            let width = block.len() * gates;
            let packed = &mut values[block.start * gates * neurons..][..width * neurons];
            for (neuron, packed) in packed.chunks_exact_mut(width).enumerate() {
                for (input, packed) in block.clone().zip(packed.chunks_exact_mut(gates)) {
                    for (gate, packed) in packed.iter_mut().enumerate() {
                        *packed = weights[(gate * neurons + neuron) * inputs + input];
                    }
                }
            }
        }
        Self { values, ..panels }
    }

    /// The inputs, cut into blocks of like size.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (inputs, count) = (self.inputs, self.inputs.div_ceil(BLOCK).max(1));
        let size = inputs.div_ceil(count).max(1);
        (0..inputs).step_by(size).map(move |start| start..(start + size).min(inputs))
    }

    /// `gate_sums[neuron] += weights[neuron] x` for one neuron, one block of inputs and some strips. `gate_sums` is
    /// `[strip][neuron, GATE_SUMS, lane]`, `x` `[strip][input, lane]`.
    #[inline(always)]
    pub fn accumulate<S: Simd, const Q: usize>(
        &self,
        simd: S,
        gate_sums: &mut Strips<Q>,
        neuron: usize,
        block: &Range<usize>,
        x: &Strips<Q>,
    ) {
        let gates = self.targets.len();
        let width = block.len() * gates;
        let at = block.start * gates * self.neurons + neuron * width;
        let weights = &self.values[at..at + width];
        match *self.targets.as_slice() {
            [a, b, c, d] => Tile { neuron, targets: [a, b, c, d], weights, block }.add::<S, Q>(simd, gate_sums, x),
            [a, b, c] => Tile { neuron, targets: [a, b, c], weights, block }.add::<S, Q>(simd, gate_sums, x),
            _ => unreachable!("a neuron has three or four gates"),
        }
    }
}

/// What one neuron adds up at once: its `G` gates over one block of inputs.
struct Tile<'a, const G: usize> {
    neuron: usize,
    /// To which of the neuron's [`GATE_SUMS`] each gate is added.
    targets: [usize; G],
    /// `[input of the block][gate]`
    weights: &'a [f32],
    block: &'a Range<usize>,
}

impl<const G: usize> Tile<'_, G> {
    /// As many vectors of a strip at a time as the registers hold with room to spare: without room, the compiler moves gate
    /// sums about.
    #[inline(always)]
    fn add<S: Simd, const Q: usize>(self, simd: S, gate_sums: &mut Strips<Q>, x: &Strips<Q>) {
        match (16 / S::F32_LANES, S::REGISTER_COUNT) {
            (1, _) => self.add_by::<S, Q, 1>(simd, gate_sums, x),
            (4, 32..) => self.add_by::<S, Q, 4>(simd, gate_sums, x),
            _ => self.add_by::<S, Q, 2>(simd, gate_sums, x),
        }
    }

    /// `gate_sums[neuron, targets[g], lane] += sum_k weights[k, g] x[block.start + k, lane]`, `V` vectors of a strip at a
    /// time.
    #[inline(always)]
    fn add_by<S: Simd, const Q: usize, const V: usize>(self, simd: S, gate_sums: &mut Strips<Q>, x: &Strips<Q>) {
        let row = 16 / S::F32_LANES;
        let Self { neuron, targets, weights, block } = self;
        let (weights, _) = weights.as_chunks::<G>();
        let (turns, rest) = weights.as_chunks::<TURN>();
        // Plain loops all through: a closure need not be compiled for the caller's instructions.
        let mut inputs = [&[] as &[S::f32s]; Q];
        for q in 0..Q {
            inputs[q] = S::as_simd_f32s(&x[q][block.start * 16..block.end * 16]).0;
        }
        for first in (0..row).step_by(V) {
            let mut tile = [[[simd.splat_f32s(0.0); V]; Q]; G];
            for q in 0..Q {
                let gate_sums =
                    S::as_mut_simd_f32s(&mut gate_sums[q][neuron * GATE_SUMS * 16..(neuron + 1) * GATE_SUMS * 16]).0;
                for g in 0..G {
                    for v in 0..V {
                        tile[g][q][v] = gate_sums[targets[g] * row + first + v];
                    }
                }
            }
            let mut at = 0;
            for weights in turns {
                let mut x = [&[] as &[S::f32s]; Q];
                for q in 0..Q {
                    x[q] = &inputs[q][at..at + TURN * row];
                }
                for k in 0..TURN {
                    for g in 0..G {
                        let weight = simd.splat_f32s(weights[k][g]);
                        for q in 0..Q {
                            for v in 0..V {
                                tile[g][q][v] = simd.mul_add_e_f32s(weight, x[q][k * row + first + v], tile[g][q][v]);
                            }
                        }
                    }
                }
                at += TURN * row;
            }
            for weights in rest {
                for g in 0..G {
                    let weight = simd.splat_f32s(weights[g]);
                    for q in 0..Q {
                        for v in 0..V {
                            tile[g][q][v] = simd.mul_add_e_f32s(weight, inputs[q][at + first + v], tile[g][q][v]);
                        }
                    }
                }
                at += row;
            }
            for q in 0..Q {
                let gate_sums =
                    S::as_mut_simd_f32s(&mut gate_sums[q][neuron * GATE_SUMS * 16..(neuron + 1) * GATE_SUMS * 16]).0;
                for g in 0..G {
                    for v in 0..V {
                        gate_sums[targets[g] * row + first + v] = tile[g][q][v];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use txray_plugin::random::Stream;

    use super::*;
    use crate::cpu::kernel::instructions;
    use crate::cpu::layer::add_product;

    fn check<const P: usize>(gates: usize, neurons: usize, inputs: usize, seed: u64) {
        let mut stream = Stream::new(seed, "panels", 0);
        let mut draw = |count| {
            let mut values = vec![0.0; count];
            stream.fill_uniform(&mut values, -1.0, 1.0);
            values
        };
        let weights = draw(gates * neurons * inputs);
        let mut draw_strips = |len: usize| {
            let mut strips = strips::<P>(len);
            strips.iter_mut().for_each(|strip| strip.copy_from_slice(&draw(len * 16)));
            strips
        };
        let (x, before) = (draw_strips(inputs), draw_strips(neurons * GATE_SUMS));
        let targets = if gates == 4 { vec![0, 1, 2, 3] } else { vec![0, 1, 3] };
        let panels = Panels::new(&weights, &targets, neurons);
        for (name, arch) in instructions() {
            let mut gate_sums = strips::<P>(neurons * GATE_SUMS);
            gate_sums.iter_mut().zip(&before).for_each(|(gate_sums, before)| gate_sums.copy_from_slice(before));
            add_product(arch, &mut gate_sums, P, (&panels, &x));
            for (strip, lane) in (0..P).flat_map(|strip| (0..16).map(move |lane| (strip, lane))) {
                for neuron in 0..neurons {
                    for target in 0..GATE_SUMS {
                        let at = (neuron * GATE_SUMS + target) * 16 + lane;
                        let products = targets.iter().position(|&t| t == target).map_or(0.0, |gate| {
                            let weight = |k: usize| f64::from(weights[(gate * neurons + neuron) * inputs + k]);
                            (0..inputs).map(|k| weight(k) * f64::from(x[strip][k * 16 + lane])).sum()
                        });
                        let (found, expected) =
                            (f64::from(gate_sums[strip][at]), f64::from(before[strip][at]) + products);
                        let scale = 1.0 + inputs as f64;
                        assert!((found - expected).abs() <= 1e-6 * scale, "{name}: {found}, not {expected}");
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Under every set of instructions that the machine has.
        #[test]
        fn a_product_of_panels_is_the_sum_of_products(
            gates in 3..5_usize, neurons in 1..20_usize, inputs in 1..600_usize, wide in any::<bool>(), seed in any::<u64>(),
        ) {
            if wide {
                check::<3>(gates, neurons, inputs, seed);
            } else {
                check::<1>(gates, neurons, inputs, seed);
            }
        }
    }
}
