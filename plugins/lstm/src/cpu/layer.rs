//! One layer of a unit of lanes: from its gate sums to its state. The most active neuron and the moments of some
//! neurons are taken while these are in cache.

use std::array::from_fn;
use std::ops::Range;

use pulp::{Simd, WithSimd};
use txray_plugin::ExactSum;

use crate::cpu::kernel::{next_gru, next_lstm};
use crate::cpu::panels::{NEURONS, Panels, Strips, strips};
use crate::cpu::workspace::STRIPS;
use crate::weights::{Cell, GATE_SUMS};

/// `[strip][lane]`: a value for each lane of a unit.
pub(crate) type Lanes<T> = [[T; 16]; STRIPS];

/// `[3][hidden]`: the sums of h, |h| and h² over all tokens.
pub(crate) type Moments = [Vec<ExactSum>; 3];

/// What is recorded at one site of a layer.
#[derive(Debug)]
pub(crate) struct SiteLanes {
    /// The most active neuron of each lane at the last step, the lower index on a tie, and its activation.
    pub top: (Lanes<u32>, Lanes<f32>),
    /// `[strip][hidden][3][lane]`: the moments of each lane's document over the tokens since the last flush.
    recent: [Vec<[[f32; 16]; 3]>; STRIPS],
    /// `[3][hidden]`: the sums of h, |h| and h² over all tokens.
    pub moments: Moments,
    /// 0, or NaN once an activation, or what it is made of, was not finite.
    pub poison: Lanes<f32>,
}

impl SiteLanes {
    fn new(width: usize) -> Self {
        Self {
            top: ([[0; 16]; STRIPS], [[0.0; 16]; STRIPS]),
            recent: from_fn(|_| vec![[[0.0; 16]; 3]; width]),
            moments: from_fn(|_| vec![ExactSum::ZERO; width]),
            poison: [[0.0; 16]; STRIPS],
        }
    }

    fn clear(&mut self) {
        self.recent.iter_mut().for_each(|recent| recent.fill([[0.0; 16]; 3]));
        self.moments.iter_mut().for_each(|moment| moment.fill(ExactSum::ZERO));
        self.poison = [[0.0; 16]; STRIPS];
    }

    fn flush(&mut self, lanes: &[usize]) {
        let [sum, sum_abs, sum_sq] = &mut self.moments;
        for (n, ((sum, sum_abs), sum_sq)) in sum.iter_mut().zip(sum_abs).zip(sum_sq).enumerate() {
            for (m, total) in [sum, sum_abs, sum_sq].into_iter().enumerate() {
                let recent = &mut self.recent;
                let parts = lanes.iter().map(|&lane| std::mem::take(&mut recent[lane / 16][n][m][lane % 16]));
                *total += ExactSum::of_all(parts.map(f64::from));
            }
        }
    }
}

/// One layer of a unit: its state, and what the last step gave. All `[strip][neuron, lane]`.
#[derive(Debug)]
pub(crate) struct LayerLanes {
    pub hidden: Strips<STRIPS>,
    /// Where a step writes the next `hidden`: every neuron reads all of the last one.
    next: Strips<STRIPS>,
    /// Empty for a GRU.
    cell: Strips<STRIPS>,
    /// `[strip][neuron, GATE_SUMS, lane]`: what a step has added up so far.
    pub gate_sums: Strips<STRIPS>,
    /// Of the outputs, and of the cell if that is asked for.
    pub sites: Vec<SiteLanes>,
}

/// The two factors of a product: weights, and inputs `[strip][input, lane]`.
pub(crate) type Term<'a, const P: usize> = (&'a Panels, &'a Strips<P>);

impl LayerLanes {
    /// A layer of `width` neurons, all zero, that records at one site or two.
    pub fn new(cell: Cell, width: usize, sites: usize) -> Self {
        Self {
            hidden: strips(width),
            next: strips(width),
            cell: strips(if cell == Cell::Lstm { width } else { 0 }),
            gate_sums: strips(width * GATE_SUMS),
            sites: (0..sites).map(|_| SiteLanes::new(width)).collect(),
        }
    }

    /// Zeroes the state and what is recorded. The rest is set by a step before it is read.
    pub fn clear(&mut self) {
        self.hidden.iter_mut().chain(&mut self.cell).for_each(|strip| strip.fill(0.0));
        self.sites.iter_mut().for_each(SiteLanes::clear);
    }

    /// `[hidden]`: a lane's values at a site, 0 for the outputs, 1 for the cell.
    pub fn column(&self, site: usize, lane: usize) -> impl Iterator<Item = f32> {
        let values = if site == 0 { &self.hidden } else { &self.cell };
        values[lane / 16].chunks_exact(16).map(move |row| row[lane % 16])
    }

    /// Clears a lane's state.
    pub fn clear_state(&mut self, lane: usize) {
        let (hidden, cell) = (&mut self.hidden[lane / 16], &mut self.cell[lane / 16]);
        hidden.chunks_exact_mut(16).chain(cell.chunks_exact_mut(16)).for_each(|row| row[lane % 16] = 0.0);
    }

    /// A lane's state, h and then an LSTM's c.
    pub fn state(&self, lane: usize) -> impl Iterator<Item = f32> {
        let rows = self.hidden[lane / 16].chunks_exact(16).chain(self.cell[lane / 16].chunks_exact(16));
        rows.map(move |row| row[lane % 16])
    }

    /// `[site][3][hidden]`: a lane's moments over the tokens since the last flush.
    pub fn recent(&self, lane: usize) -> impl Iterator<Item = f32> {
        let moments = self.sites.iter().flat_map(|site| (0..3).map(move |m| (site, m)));
        moments.flat_map(move |(site, m)| site.recent[lane / 16].iter().map(move |moments| moments[m][lane % 16]))
    }

    /// Adds the moments of the last steps of some lanes to those over all tokens, exactly.
    pub fn flush(&mut self, lanes: &[usize]) {
        self.sites.iter_mut().for_each(|site| site.flush(lanes));
    }

    /// One step of the first `live` strips: the products of the input (`None`: it is in the gate sums already) and of
    /// the state are added to the gate sums, and the next state is made of these. `active` is 1 for lanes whose token
    /// counts, else 0. `mask` (`[hidden]`): the outputs that are held to a value; NaN: they are not.
    pub fn step(
        &mut self,
        arch: pulp::Arch,
        live: usize,
        input: Option<Term<'_, STRIPS>>,
        recurrent: &Panels,
        mask: Option<&[f32]>,
        active: &Lanes<f32>,
    ) {
        arch.dispatch(Step { layer: self, live, input, recurrent, mask, active });
        std::mem::swap(&mut self.hidden, &mut self.next);
    }
}

struct Step<'a> {
    layer: &'a mut LayerLanes,
    live: usize,
    input: Option<Term<'a, STRIPS>>,
    recurrent: &'a Panels,
    mask: Option<&'a [f32]>,
    active: &'a Lanes<f32>,
}

impl WithSimd for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // A strip is one vector of AVX-512: several at once fill its registers with gate sums.
        if S::F32_LANES == 16 { self.run::<S, STRIPS>(simd) } else { self.run::<S, 1>(simd) }
    }
}

impl Step<'_> {
    /// Takes `Q` strips at once.
    #[inline(always)]
    fn run<S: Simd, const Q: usize>(self, simd: S) {
        let Self { layer, live, input, recurrent, mask, active } = self;
        if let Some((panels, x)) = input {
            for block in panels.blocks() {
                add::<S, STRIPS, Q>(simd, &mut layer.gate_sums, live, panels, &block, x);
            }
        }
        let mut blocks = recurrent.blocks().peekable();
        let mut last = 0..0;
        while let Some(block) = blocks.next() {
            if blocks.peek().is_some() {
                add::<S, STRIPS, Q>(simd, &mut layer.gate_sums, live, recurrent, &block, &layer.hidden);
            } else {
                last = block;
            }
        }
        // A neuron's nonlinearities follow its last block, while its gate sums are in cache.
        let LayerLanes { hidden, next, cell, gate_sums, sites } = layer;
        sites.iter_mut().for_each(|site| site.top = ([[0; 16]; STRIPS], [[f32::NEG_INFINITY; 16]; STRIPS]));
        let (width, gru) = (hidden[0].len() / 16, cell[0].is_empty());
        for first in (0..width).step_by(NEURONS) {
            for start in (0..live).step_by(Q) {
                let (Some(gate_sums), Some(hidden)) =
                    (gate_sums[start..].first_chunk_mut::<Q>(), hidden[start..].first_chunk())
                else {
                    continue;
                };
                let neurons = first..(first + NEURONS).min(width);
                for n in neurons.clone() {
                    recurrent.accumulate::<S, Q>(simd, gate_sums, n, &last, hidden);
                    for q in 0..Q {
                        let strip = start + q;
                        let (gate_sums, _) =
                            gate_sums[q][n * GATE_SUMS * 16..(n + 1) * GATE_SUMS * 16].as_chunks::<16>();
                        // Copies, not references: the compiler vectorises what cannot alias.
                        let (a, b, c, d) = (gate_sums[0], gate_sums[1], gate_sums[2], gate_sums[3]);
                        doubt(&mut sites[0].poison[strip], [a, b, c, d]);
                        let next = &mut next[strip].as_chunks_mut::<16>().0[n];
                        if gru {
                            *next = next_gru(a, b, c, d, hidden[q].as_chunks::<16>().0[n]);
                        } else {
                            let cell = &mut cell[strip].as_chunks_mut::<16>().0[n];
                            (*cell, *next) = next_lstm(a, b, c, d, *cell);
                        }
                        if let Some(value) = mask.map(|mask| mask[n]).filter(|value| !value.is_nan()) {
                            *next = [value; 16];
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

/// Adds a product to `gate_sums` `[strip][neuron, GATE_SUMS, lane]` of the first `live` strips.
pub(crate) fn add_product<const P: usize>(
    arch: pulp::Arch,
    gate_sums: &mut Strips<P>,
    live: usize,
    (panels, x): Term<'_, P>,
) {
    struct Product<'a, const P: usize>(&'a mut Strips<P>, usize, Term<'a, P>);
    impl<const P: usize> WithSimd for Product<'_, P> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(gate_sums, live, (panels, x)) = self;
            for block in panels.blocks() {
                if S::F32_LANES == 16 {
                    add::<S, P, P>(simd, gate_sums, live, panels, &block, x);
                } else {
                    add::<S, P, 1>(simd, gate_sums, live, panels, &block, x);
                }
            }
        }
    }
    arch.dispatch(Product(gate_sums, live, (panels, x)));
}

/// Adds one block of a product to the gate sums of every neuron, `Q` strips at once.
#[inline(always)]
fn add<S: Simd, const P: usize, const Q: usize>(
    simd: S,
    gate_sums: &mut Strips<P>,
    live: usize,
    panels: &Panels,
    block: &Range<usize>,
    x: &Strips<P>,
) {
    let width = gate_sums[0].len() / (GATE_SUMS * 16);
    for first in (0..width).step_by(NEURONS) {
        for start in (0..live).step_by(Q) {
            let (Some(gate_sums), Some(x)) = (gate_sums[start..].first_chunk_mut::<Q>(), x[start..].first_chunk())
            else {
                continue;
            };
            for neuron in first..(first + NEURONS).min(width) {
                panels.accumulate::<S, Q>(simd, gate_sums, neuron, block, x);
            }
        }
    }
}

/// Poisons lanes whose gate sums are not finite. A saturated gate would hide an overflow, and whether that overflow is
/// infinity or NaN depends on the instructions.
#[inline(always)]
pub(crate) fn doubt(poison: &mut [f32; 16], [a, b, c, d]: [[f32; 16]; GATE_SUMS]) {
    for l in 0..16 {
        let all = (a[l] + b[l]) + (c[l] + d[l]);
        poison[l] = all.mul_add(0.0, poison[l]);
    }
}

/// Records `values` `[neuron][lane]` of the neurons from `first` on, in one strip.
#[inline(always)]
fn record(site: &mut SiteLanes, strip: usize, first: usize, values: &[[f32; 16]], active: &[f32; 16]) {
    // Kept in registers over all neurons: for a choice in memory the compiler writes masked stores, which are slow.
    let (mut neuron, mut most, mut bad) = (site.top.0[strip], site.top.1[strip], site.poison[strip]);
    for ((n, value), recent) in (first as u32..).zip(values).zip(&mut site.recent[strip][first..]) {
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
