//! Products of a layer's weights with lanes, `[gate, input] x [input, lane]`, and the vectors they are made of.
//!
//! The weights are packed once: a neuron's gates stand side by side, in blocks of inputs whose values stay in the
//! innermost cache. A tile is the gates of one neuron by some vectors of lanes, its sums in registers. An element is one
//! chain of fused multiply-adds in the order of the inputs, so its bits depend on nothing but its own row and column: not
//! on the lanes beside it, nor on where it stands.

use std::ops::{Deref, DerefMut};

use pulp::Simd;

/// Sums that a neuron has: the gates of an LSTM, or those of a GRU, whose candidate needs the part of the input and the
/// part of the state apart.
pub(crate) const SUMS: usize = 4;
/// The most inputs in a block: with 48 lanes, 24 KiB.
const BLOCK: usize = 128;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Zeros that begin on a cache line, so that no vector of them lies across two.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    pub fn zeros(len: usize) -> Self {
        let values = vec![0.0; len + LINE / size_of::<f32>()];
        // It may answer that it cannot say; then the values are only slower.
        let start = values.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
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

/// A weight matrix `[gates * neurons, inputs]` (a gate after the other, as PyTorch has it), packed as
/// `[block][neuron][input of the block][gate]`.
#[derive(Debug)]
pub(crate) struct Panels {
    values: Aligned,
    neurons: usize,
    inputs: usize,
    /// Which of a neuron's sums each gate belongs to.
    sums: Vec<usize>,
}

impl Panels {
    /// Packs `weights` for gates that belong to these sums.
    pub fn new(weights: &[f32], sums: &[usize], neurons: usize) -> Self {
        let gates = sums.len();
        let inputs = weights.len() / (gates * neurons);
        let mut values = Aligned::zeros(weights.len());
        let panels = Self { values: Aligned::default(), neurons, inputs, sums: sums.to_vec() };
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
    pub fn blocks(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (inputs, count) = (self.inputs, self.inputs.div_ceil(BLOCK).max(1));
        let size = inputs.div_ceil(count).max(1);
        (0..inputs).step_by(size).map(move |start| start..(start + size).min(inputs))
    }

    /// `sums[neuron] += weights[neuron] x` for one neuron and one block of inputs. `sums` is `[SUMS, P * 16]`, `x`
    /// `[inputs, P * 16]`.
    #[inline(always)]
    pub fn accumulate<S: Simd, const P: usize>(
        &self,
        simd: S,
        sums: &mut [f32],
        neuron: usize,
        block: &std::ops::Range<usize>,
        x: &[f32],
    ) {
        let gates = self.sums.len();
        let width = block.len() * gates;
        let at = block.start * gates * self.neurons + neuron * width;
        let (weights, x) = (&self.values[at..at + width], &x[block.start * P * 16..block.end * P * 16]);
        match *self.sums.as_slice() {
            [a, b, c, d] => tiles::<S, P, 4>(simd, sums, [a, b, c, d], weights, x),
            [a, b, c] => tiles::<S, P, 3>(simd, sums, [a, b, c], weights, x),
            _ => unreachable!("a neuron has three or four gates"),
        }
    }
}

/// [`tile`]s of as many vectors as the registers hold with room to spare: without it, the compiler moves sums about.
#[inline(always)]
fn tiles<S: Simd, const P: usize, const G: usize>(
    simd: S,
    sums: &mut [f32],
    rows: [usize; G],
    weights: &[f32],
    x: &[f32],
) {
    match (P * 16 / S::F32_LANES, S::REGISTER_COUNT) {
        (lanes, 32..) if lanes.is_multiple_of(3) => tile::<S, P, 3, G>(simd, sums, rows, weights, x),
        (lanes, _) if lanes.is_multiple_of(2) => tile::<S, P, 2, G>(simd, sums, rows, weights, x),
        _ => tile::<S, P, 1, G>(simd, sums, rows, weights, x),
    }
}

/// `sums[rows[g], lane] += sum_k weights[k, g] x[k, lane]`, `V` vectors of lanes at a time.
#[inline(always)]
fn tile<S: Simd, const P: usize, const V: usize, const G: usize>(
    simd: S,
    sums: &mut [f32],
    rows: [usize; G],
    weights: &[f32],
    x: &[f32],
) {
    let tiles = P * 16 / S::F32_LANES / V;
    let (weights, _) = weights.as_chunks::<G>();
    let (x, _) = S::as_simd_f32s(x).0.as_chunks::<V>();
    let (sums, _) = S::as_mut_simd_f32s(sums).0.as_chunks_mut::<V>();
    for t in 0..tiles {
        // Plain loops: a closure need not be compiled for the caller's instructions.
        let mut tile = [[simd.splat_f32s(0.0); V]; G];
        for g in 0..G {
            tile[g] = sums[rows[g] * tiles + t];
        }
        for (weights, x) in weights.iter().zip(x[t..].iter().step_by(tiles)) {
            for g in 0..G {
                let weight = simd.splat_f32s(weights[g]);
                for v in 0..V {
                    tile[g][v] = simd.mul_add_e_f32s(weight, x[v], tile[g][v]);
                }
            }
        }
        for g in 0..G {
            sums[rows[g] * tiles + t] = tile[g];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulp::WithSimd;
    use txray_plugin::random::Stream;

    use super::*;
    use crate::kernel::instructions;

    struct Product<'a, const P: usize>(&'a Panels, &'a mut [f32], &'a [f32]);

    impl<const P: usize> WithSimd for Product<'_, P> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for block in self.0.blocks() {
                for (neuron, sums) in self.1.chunks_exact_mut(SUMS * P * 16).enumerate() {
                    self.0.accumulate::<S, P>(simd, sums, neuron, &block, self.2);
                }
            }
        }
    }

    fn check<const P: usize>(gates: usize, neurons: usize, inputs: usize, seed: u64) {
        let mut stream = Stream::new(seed, "panels", 0);
        let mut draw = |count| {
            let mut values = vec![0.0; count];
            stream.fill_uniform(&mut values, -1.0, 1.0);
            values
        };
        let (weights, x, before) =
            (draw(gates * neurons * inputs), draw(inputs * P * 16), draw(neurons * SUMS * P * 16));
        let rows = if gates == 4 { vec![0, 1, 2, 3] } else { vec![0, 1, 3] };
        let panels = Panels::new(&weights, &rows, neurons);
        for (name, arch) in instructions() {
            let mut sums = before.clone();
            arch.dispatch(Product::<P>(&panels, &mut sums, &x));
            for neuron in 0..neurons {
                for sum in 0..SUMS {
                    for lane in 0..P * 16 {
                        let at = (neuron * SUMS + sum) * P * 16 + lane;
                        let products = rows.iter().position(|&r| r == sum).map_or(0.0, |gate| {
                            let weight = |k: usize| f64::from(weights[(gate * neurons + neuron) * inputs + k]);
                            (0..inputs).map(|k| weight(k) * f64::from(x[k * P * 16 + lane])).sum()
                        });
                        let (found, expected) = (f64::from(sums[at]), f64::from(before[at]) + products);
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
            gates in 3..5_usize, neurons in 1..6_usize, inputs in 1..300_usize, wide in any::<bool>(), seed in any::<u64>(),
        ) {
            if wide {
                check::<3>(gates, neurons, inputs, seed);
            } else {
                check::<1>(gates, neurons, inputs, seed);
            }
        }
    }
}
