//! One layer of a unit of lanes: from its sums to its state, with the most active neuron and the sums over time in the
//! same pass.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::kernel::{next_gru, next_lstm};
use crate::panels::{Aligned, Panels, SUMS};
use crate::weights::Cell;

/// A value for each of `P * 16` lanes.
pub(crate) type Lanes<T, const P: usize> = [[T; 16]; P];

/// What a site of a layer records.
pub(crate) struct SiteLanes<const P: usize> {
    /// The most active neuron of each lane, and its activation.
    pub top: (Lanes<u32, P>, Lanes<f32, P>),
    /// Sums of h, |h| and h² over the steps since the last flush, for each neuron.
    recent: Vec<[[f32; 16]; 3]>,
    /// `[3][hidden]` sums of h, |h| and h² over all tokens.
    pub moments: [Vec<f64>; 3],
    /// 0, or NaN once an activation, or what it is made of, was not finite.
    pub poison: Lanes<f32, P>,
}

impl<const P: usize> SiteLanes<P> {
    fn new(width: usize) -> Self {
        Self {
            top: ([[0; 16]; P], [[0.0; 16]; P]),
            recent: vec![[[0.0; 16]; 3]; width],
            moments: [vec![0.0; width], vec![0.0; width], vec![0.0; width]],
            poison: [[0.0; 16]; P],
        }
    }

    fn flush(&mut self) {
        let [sum, sum_abs, sum_sq] = &mut self.moments;
        for (n, recent) in self.recent.iter_mut().enumerate() {
            for (total, part) in [&mut sum[n], &mut sum_abs[n], &mut sum_sq[n]].into_iter().zip(recent.iter()) {
                *total += part.iter().map(|&v| f64::from(v)).sum::<f64>();
            }
            *recent = [[0.0; 16]; 3];
        }
    }
}

/// One layer of a unit: its state, and what the last step gave. All `[neuron, lane]`.
pub(crate) struct LayerLanes<const P: usize> {
    pub hidden: Aligned,
    /// What becomes of `hidden` in a step.
    next: Aligned,
    /// An LSTM's; of a GRU empty.
    cell: Aligned,
    /// `[neuron, SUMS, lane]`: what is added to the gates before their nonlinearities.
    pub sums: Aligned,
    /// What the outputs record, and, if it is asked for, the cell.
    pub sites: Vec<SiteLanes<P>>,
}

/// A product of a layer's step: weights, and what they are multiplied with, `[input, lane]`.
pub(crate) type Term<'a> = (&'a Panels, &'a [f32]);

impl<const P: usize> LayerLanes<P> {
    /// A layer of `width` neurons, all zero, that records at one site or two.
    pub fn new(cell: Cell, width: usize, sites: usize) -> Self {
        let zeros = || Aligned::zeros(width * P * 16);
        Self {
            hidden: zeros(),
            next: zeros(),
            cell: if cell == Cell::Lstm { zeros() } else { Aligned::default() },
            sums: Aligned::zeros(width * SUMS * P * 16),
            sites: (0..sites).map(|_| SiteLanes::new(width)).collect(),
        }
    }

    /// Copies a lane's column of what `site` shows into `out`.
    pub fn column(&self, site: usize, lane: usize, out: &mut [f32]) {
        let values = if site == 0 { &self.hidden } else { &self.cell };
        out.iter_mut().zip(values.chunks_exact(P * 16)).for_each(|(out, row)| *out = row[lane]);
    }

    /// Sets a lane's state, h and then c if there is one; cleared with none.
    pub fn set_state(&mut self, lane: usize, state: Option<&[f32]>) {
        let rows = self.hidden.chunks_exact_mut(P * 16).chain(self.cell.chunks_exact_mut(P * 16));
        rows.enumerate().for_each(|(n, row)| row[lane] = state.map_or(0.0, |s| s[n]));
    }

    /// A lane's state, h and then c if there is one.
    pub fn state(&self, lane: usize, out: &mut [f32]) {
        let rows = self.hidden.chunks_exact(P * 16).chain(self.cell.chunks_exact(P * 16));
        out.iter_mut().zip(rows).for_each(|(out, row)| *out = row[lane]);
    }

    /// Adds the sums of the last steps to those of all.
    pub fn flush(&mut self) {
        self.sites.iter_mut().for_each(SiteLanes::flush);
    }

    /// One step: what `input` gives (if it is not in the sums already) and the state are added to the sums, and the
    /// state follows. `active` is 1 for lanes whose token counts, else 0.
    pub fn step(&mut self, arch: pulp::Arch, input: Option<Term<'_>>, recurrent: &Panels, active: &Lanes<f32, P>) {
        arch.dispatch(Step { layer: self, input, recurrent, active });
        std::mem::swap(&mut self.hidden, &mut self.next);
    }
}

struct Step<'a, const P: usize> {
    layer: &'a mut LayerLanes<P>,
    input: Option<Term<'a>>,
    recurrent: &'a Panels,
    active: &'a Lanes<f32, P>,
}

impl<const P: usize> WithSimd for Step<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, input, recurrent, active } = self;
        if let Some((panels, x)) = input {
            for block in panels.blocks() {
                add::<S, P>(simd, &mut layer.sums, panels, &block, x);
            }
        }
        let mut blocks = recurrent.blocks().peekable();
        let mut last = 0..0;
        while let Some(block) = blocks.next() {
            if blocks.peek().is_some() {
                add::<S, P>(simd, &mut layer.sums, recurrent, &block, &layer.hidden);
            } else {
                last = block;
            }
        }
        // A neuron's nonlinearities follow its last block, while its sums are in cache.
        let LayerLanes { hidden, next, cell, sums, sites } = layer;
        let gru = cell.is_empty();
        for (n, sums) in sums.chunks_exact_mut(SUMS * P * 16).enumerate() {
            recurrent.accumulate::<S, P>(simd, sums, n, &last, hidden);
            let (sums, _) = sums.as_chunks::<16>();
            let at = n * P * 16..(n + 1) * P * 16;
            let (next, _) = next[at.clone()].as_chunks_mut::<16>();
            doubt(&mut sites[0].poison, sums);
            if gru {
                let (hidden, _) = hidden[at].as_chunks::<16>();
                for p in 0..P {
                    next[p] = next_gru(sums[p], sums[P + p], sums[2 * P + p], sums[3 * P + p], hidden[p]);
                }
                record(&mut sites[0], n, next, active);
            } else {
                let (cell, _) = cell[at].as_chunks_mut::<16>();
                for p in 0..P {
                    // Values, not places: the compiler vectorises what cannot alias.
                    (cell[p], next[p]) = next_lstm(sums[p], sums[P + p], sums[2 * P + p], sums[3 * P + p], cell[p]);
                }
                record(&mut sites[0], n, next, active);
                if let Some(site) = sites.get_mut(1) {
                    record(site, n, cell, active);
                }
            }
        }
    }
}

/// Adds a product to the sums `[neuron, SUMS, P * 16]`.
pub(crate) fn add_product<const P: usize>(arch: pulp::Arch, sums: &mut [f32], (panels, x): Term<'_>) {
    struct Product<'a, const P: usize>(&'a mut [f32], &'a Panels, &'a [f32]);
    impl<const P: usize> WithSimd for Product<'_, P> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for block in self.1.blocks() {
                add::<S, P>(simd, self.0, self.1, &block, self.2);
            }
        }
    }
    arch.dispatch(Product::<P>(sums, panels, x));
}

/// Adds a block of a product to the sums of every neuron.
#[inline(always)]
fn add<S: Simd, const P: usize>(simd: S, sums: &mut [f32], panels: &Panels, block: &Range<usize>, x: &[f32]) {
    for (neuron, sums) in sums.chunks_exact_mut(SUMS * P * 16).enumerate() {
        panels.accumulate::<S, P>(simd, sums, neuron, block, x);
    }
}

/// Poisons lanes whose sums are not finite. A saturated gate would hide an overflow, and whether one comes to infinity
/// or to NaN depends on the instructions.
#[inline(always)]
fn doubt<const P: usize>(poison: &mut Lanes<f32, P>, sums: &[[f32; 16]]) {
    for p in 0..P {
        for l in 0..16 {
            let all = (sums[p][l] + sums[P + p][l]) + (sums[2 * P + p][l] + sums[3 * P + p][l]);
            poison[p][l] = all.mul_add(0.0, poison[p][l]);
        }
    }
}

/// Records what neuron `n` gave in each lane.
#[inline(always)]
fn record<const P: usize>(site: &mut SiteLanes<P>, n: usize, values: &[[f32; 16]], active: &Lanes<f32, P>) {
    let [mut sum, mut sum_abs, mut sum_sq] = site.recent[n];
    for p in 0..P {
        let (value, active) = (values[p], active[p]);
        let (mut neuron, mut most, mut bad) = (site.top.0[p], site.top.1[p], site.poison[p]);
        for l in 0..16 {
            let more = value[l] > most[l] || n == 0;
            most[l] = if more { value[l] } else { most[l] };
            neuron[l] = if more { n as u32 } else { neuron[l] };
            let counted = value[l] * active[l];
            sum[l] += counted;
            sum_abs[l] += counted.abs();
            sum_sq[l] = counted.mul_add(counted, sum_sq[l]);
            bad[l] = counted.mul_add(0.0, bad[l]);
        }
        (site.top.0[p], site.top.1[p], site.poison[p]) = (neuron, most, bad);
    }
    site.recent[n] = [sum, sum_abs, sum_sq];
}
