//! One layer of a unit of lanes: from its sums to its state, with the most active neuron and the sums over time of some
//! neurons while they are in cache.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::kernel::{next_gru, next_lstm};
use crate::panels::{NEURONS, Panels, SUMS, Strips, strips};
use crate::weights::Cell;

/// A value for each of `P * 16` lanes.
pub(crate) type Lanes<T, const P: usize> = [[T; 16]; P];

/// What a site of a layer records.
#[derive(Debug)]
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

    fn clear(&mut self) {
        self.recent.fill([[0.0; 16]; 3]);
        self.moments.iter_mut().for_each(|sums| sums.fill(0.0));
        self.poison = [[0.0; 16]; P];
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

/// One layer of a unit: its state, and what the last step gave. All `[strip][neuron, lane]`.
#[derive(Debug)]
pub(crate) struct LayerLanes<const P: usize> {
    pub hidden: Strips<P>,
    /// What becomes of `hidden` in a step.
    next: Strips<P>,
    /// An LSTM's; of a GRU empty.
    cell: Strips<P>,
    /// `[strip][neuron, SUMS, lane]`: what is added to the gates before their nonlinearities.
    pub sums: Strips<P>,
    /// What the outputs record, and, if it is asked for, the cell.
    pub sites: Vec<SiteLanes<P>>,
}

/// A product of a layer's step: weights, and what they are multiplied with, `[strip][input, lane]`.
pub(crate) type Term<'a, const P: usize> = (&'a Panels, &'a Strips<P>);

impl<const P: usize> LayerLanes<P> {
    /// A layer of `width` neurons, all zero, that records at one site or two.
    pub fn new(cell: Cell, width: usize, sites: usize) -> Self {
        Self {
            hidden: strips(width),
            next: strips(width),
            cell: strips(if cell == Cell::Lstm { width } else { 0 }),
            sums: strips(width * SUMS),
            sites: (0..sites).map(|_| SiteLanes::new(width)).collect(),
        }
    }

    /// Makes all zero again but what a step sets before it reads it.
    pub fn clear(&mut self) {
        self.hidden.iter_mut().chain(&mut self.cell).for_each(|strip| strip.fill(0.0));
        self.sites.iter_mut().for_each(SiteLanes::clear);
    }

    /// A lane's column of what `site` shows.
    pub fn column(&self, site: usize, lane: usize) -> impl Iterator<Item = f32> {
        let values = if site == 0 { &self.hidden } else { &self.cell };
        values[lane / 16].chunks_exact(16).map(move |row| row[lane % 16])
    }

    /// Sets a lane's state, h and then c if there is one; cleared with none.
    pub fn set_state(&mut self, lane: usize, state: Option<&[f32]>) {
        let (hidden, cell) = (&mut self.hidden[lane / 16], &mut self.cell[lane / 16]);
        let rows = hidden.chunks_exact_mut(16).chain(cell.chunks_exact_mut(16));
        rows.enumerate().for_each(|(n, row)| row[lane % 16] = state.map_or(0.0, |s| s[n]));
    }

    /// A lane's state, h and then c if there is one.
    pub fn state(&self, lane: usize, out: &mut [f32]) {
        let rows = self.hidden[lane / 16].chunks_exact(16).chain(self.cell[lane / 16].chunks_exact(16));
        out.iter_mut().zip(rows).for_each(|(out, row)| *out = row[lane % 16]);
    }

    /// Adds the sums of the last steps to those of all.
    pub fn flush(&mut self) {
        self.sites.iter_mut().for_each(SiteLanes::flush);
    }

    /// One step of the first `live` strips: what `input` gives (if it is not in the sums already) and the state are added
    /// to the sums, and the state follows. `active` is 1 for lanes whose token counts, else 0.
    pub fn step(
        &mut self,
        arch: pulp::Arch,
        live: usize,
        input: Option<Term<'_, P>>,
        recurrent: &Panels,
        active: &Lanes<f32, P>,
    ) {
        arch.dispatch(Step { layer: self, live, input, recurrent, active });
        std::mem::swap(&mut self.hidden, &mut self.next);
    }
}

struct Step<'a, const P: usize> {
    layer: &'a mut LayerLanes<P>,
    live: usize,
    input: Option<Term<'a, P>>,
    recurrent: &'a Panels,
    active: &'a Lanes<f32, P>,
}

impl<const P: usize> WithSimd for Step<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // A strip is one vector of AVX-512: several at once fill its registers with sums.
        if S::F32_LANES == 16 { self.run::<S, P>(simd) } else { self.run::<S, 1>(simd) }
    }
}

impl<const P: usize> Step<'_, P> {
    /// With `Q` strips at once.
    #[inline(always)]
    fn run<S: Simd, const Q: usize>(self, simd: S) {
        let Self { layer, live, input, recurrent, active } = self;
        if let Some((panels, x)) = input {
            for block in panels.blocks() {
                add::<S, P, Q>(simd, &mut layer.sums, live, panels, &block, x);
            }
        }
        let mut blocks = recurrent.blocks().peekable();
        let mut last = 0..0;
        while let Some(block) = blocks.next() {
            if blocks.peek().is_some() {
                add::<S, P, Q>(simd, &mut layer.sums, live, recurrent, &block, &layer.hidden);
            } else {
                last = block;
            }
        }
        // A neuron's nonlinearities follow its last block, while its sums are in cache.
        let LayerLanes { hidden, next, cell, sums, sites } = layer;
        sites.iter_mut().for_each(|site| site.top = ([[0; 16]; P], [[f32::NEG_INFINITY; 16]; P]));
        let (width, gru) = (hidden[0].len() / 16, cell[0].is_empty());
        for first in (0..width).step_by(NEURONS) {
            for start in (0..live).step_by(Q) {
                let (Some(sums), Some(hidden)) = (sums[start..].first_chunk_mut::<Q>(), hidden[start..].first_chunk())
                else {
                    continue;
                };
                let neurons = first..(first + NEURONS).min(width);
                for n in neurons.clone() {
                    recurrent.accumulate::<S, Q>(simd, sums, n, &last, hidden);
                    for q in 0..Q {
                        let strip = start + q;
                        let (sums, _) = sums[q][n * SUMS * 16..(n + 1) * SUMS * 16].as_chunks::<16>();
                        // Values, not places: the compiler vectorises what cannot alias.
                        let (a, b, c, d) = (sums[0], sums[1], sums[2], sums[3]);
                        doubt(&mut sites[0].poison[strip], [a, b, c, d]);
                        let next = &mut next[strip].as_chunks_mut::<16>().0[n];
                        if gru {
                            *next = next_gru(a, b, c, d, hidden[q].as_chunks::<16>().0[n]);
                        } else {
                            let cell = &mut cell[strip].as_chunks_mut::<16>().0[n];
                            (*cell, *next) = next_lstm(a, b, c, d, *cell);
                        }
                    }
                }
                for strip in start..start + Q {
                    for (site, values) in sites.iter_mut().zip([&next[strip], &cell[strip]]) {
                        let values = &values.as_chunks::<16>().0[neurons.clone()];
                        record(site, strip, first, values, &active[strip]);
                    }
                }
            }
        }
    }
}

/// Adds a product to the sums `[strip][neuron, SUMS, lane]` of the first `live` strips.
pub(crate) fn add_product<const P: usize>(
    arch: pulp::Arch,
    sums: &mut Strips<P>,
    live: usize,
    (panels, x): Term<'_, P>,
) {
    struct Product<'a, const P: usize>(&'a mut Strips<P>, usize, Term<'a, P>);
    impl<const P: usize> WithSimd for Product<'_, P> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(sums, live, (panels, x)) = self;
            for block in panels.blocks() {
                if S::F32_LANES == 16 {
                    add::<S, P, P>(simd, sums, live, panels, &block, x);
                } else {
                    add::<S, P, 1>(simd, sums, live, panels, &block, x);
                }
            }
        }
    }
    arch.dispatch(Product(sums, live, (panels, x)));
}

/// Adds a block of a product to the sums of every neuron, `Q` strips at once.
#[inline(always)]
fn add<S: Simd, const P: usize, const Q: usize>(
    simd: S,
    sums: &mut Strips<P>,
    live: usize,
    panels: &Panels,
    block: &Range<usize>,
    x: &Strips<P>,
) {
    let width = sums[0].len() / (SUMS * 16);
    for first in (0..width).step_by(NEURONS) {
        for start in (0..live).step_by(Q) {
            let (Some(sums), Some(x)) = (sums[start..].first_chunk_mut::<Q>(), x[start..].first_chunk()) else {
                continue;
            };
            for neuron in first..(first + NEURONS).min(width) {
                panels.accumulate::<S, Q>(simd, sums, neuron, block, x);
            }
        }
    }
}

/// Poisons lanes whose sums are not finite. A saturated gate would hide an overflow, and whether one comes to infinity
/// or to NaN depends on the instructions.
#[inline(always)]
fn doubt(poison: &mut [f32; 16], [a, b, c, d]: [[f32; 16]; SUMS]) {
    for l in 0..16 {
        let all = (a[l] + b[l]) + (c[l] + d[l]);
        poison[l] = all.mul_add(0.0, poison[l]);
    }
}

/// Records what some neurons, `first` and those after it, gave in each lane of a strip.
#[inline(always)]
fn record<const P: usize>(
    site: &mut SiteLanes<P>,
    strip: usize,
    first: usize,
    values: &[[f32; 16]],
    active: &[f32; 16],
) {
    // Held over all neurons: of a choice in memory the compiler makes masked stores, which are slow.
    let (mut neuron, mut most, mut bad) = (site.top.0[strip], site.top.1[strip], site.poison[strip]);
    for ((n, value), recent) in (first as u32..).zip(values).zip(&mut site.recent[first..]) {
        let [sum, sum_abs, sum_sq] = recent;
        for l in 0..16 {
            let more = value[l] > most[l];
            neuron[l] = if more { n } else { neuron[l] };
            most[l] = if more { value[l] } else { most[l] };
            let counted = value[l] * active[l];
            sum[l] += counted;
            sum_abs[l] += counted.abs();
            sum_sq[l] = counted.mul_add(counted, sum_sq[l]);
            bad[l] = counted.mul_add(0.0, bad[l]);
        }
    }
    (site.top.0[strip], site.top.1[strip], site.poison[strip]) = (neuron, most, bad);
}
