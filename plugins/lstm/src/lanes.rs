//! Reading without gradients: many documents side by side, each in a lane of its own.
//!
//! A *unit* is [`PARTS`] * 16 lanes. Each lane reads document after document, its state cleared in between, so nothing
//! is padded but the end. One thread owns a unit through all its steps. States and gates lie `[neuron, lane]`: gates,
//! cell, output, the most active neuron and the sums are then one pass over vectors of lanes, and the recurrent weights
//! are streamed from cache once a step for all lanes.
//!
//! The number of lanes is fixed and `gemm` gives an element the same bits wherever it stands, so a document's
//! activations do not depend on the documents beside it; units do not depend on the number of threads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;
use txray_plugin::{Error, Result};

use crate::kernel::{Matrix, MatrixMut, Pass, Write, product, sigmoid, sigmoid_times_tanh, vectorized};
use crate::tracker::Tracker;
use crate::weights::{Sizes, Slices};

/// Vectors of 16 lanes in a unit: 48 rows fill `gemm`'s AVX-512 tile.
pub(crate) const PARTS: usize = 3;
/// Steps that a unit is planned to take. Fewer spread better over threads, more waste less at the end.
const STEPS: usize = 256;
/// Steps between additions of the single precision sums to the double precision ones.
const FLUSH: usize = 64;
/// The input table is made up to this many values (1 GiB); beyond it, the input product is made at each step. How
/// much text there is does not count, since the two give other bits.
const TABLE_LIMIT: usize = 1 << 28;
/// Rows of the input table made at once.
const TABLE_ROWS: usize = 256;

/// A value for each of `P * 16` lanes.
pub(crate) type Lanes<T, const P: usize> = [[T; 16]; P];

/// Shares documents of these lengths out to units of `width` lanes: longest first, each to the emptiest lane, lanes of
/// like load in one unit. Gives `[unit][lane][document]`.
pub(crate) fn plan(lengths: &[usize], width: usize) -> Vec<Vec<Vec<usize>>> {
    let mut order: Vec<usize> = (0..lengths.len()).filter(|&d| lengths[d] > 0).collect();
    order.sort_by_key(|&d| (Reverse(lengths[d]), d));
    let total: usize = lengths.iter().sum();
    let count = width * (total / (width * STEPS)).max(1);
    let mut lanes = vec![(0, Vec::new()); count];
    let mut emptiest: BinaryHeap<_> = (0..count).map(|lane| Reverse((0, lane))).collect();
    for document in order {
        if let Some(Reverse((_, lane))) = emptiest.pop() {
            lanes[lane].0 += lengths[document];
            lanes[lane].1.push(document);
            emptiest.push(Reverse((lanes[lane].0, lane)));
        }
    }
    lanes.sort_by_key(|(load, _)| Reverse(*load));
    let lanes: Vec<_> = lanes.into_iter().map(|(_, documents)| documents).collect();
    lanes.chunks(width).map(<[_]>::to_vec).collect()
}

/// Whether [`input_table`] is worth its room.
pub(crate) fn table_fits(sizes: Sizes) -> bool {
    sizes.vocabulary.checked_mul(4 * sizes.hidden).is_some_and(|values| values <= TABLE_LIMIT)
}

/// `W_ih x + b` of the first layer for every token id, `[vocabulary, 4 hidden]`.
pub(crate) fn input_table(weights: &Slices<'_>, tracker: &Tracker<'_>) -> Result<Vec<f32>> {
    let sizes = weights.sizes;
    let gates = 4 * sizes.hidden;
    let mut table = vec![0.0; sizes.vocabulary * gates];
    let bias = bias(weights, 0);
    let w_ih = Matrix::new(weights.layers[0].w_ih, gates, sizes.embedding);
    let rows = table.par_chunks_mut(TABLE_ROWS * gates).zip(weights.encoder.par_chunks(TABLE_ROWS * sizes.embedding));
    rows.try_for_each(|(out, encoder)| {
        tracker.advance(0)?;
        out.chunks_exact_mut(gates).for_each(|row| row.copy_from_slice(&bias));
        let (rows, encoder) = (out.len() / gates, encoder);
        let encoder = Matrix::new(encoder, rows, sizes.embedding);
        product(MatrixMut::new(out, rows, gates), Write::Add, encoder, w_ih.t());
        Ok(())
    })?;
    Ok(table)
}

/// `[4 hidden]`: both biases of a layer.
fn bias(weights: &Slices<'_>, layer: usize) -> Vec<f32> {
    let layer = &weights.layers[layer];
    layer.b_ih.iter().zip(layer.b_hh).map(|(a, b)| a + b).collect()
}

/// What reads along: called after each step of a unit.
pub(crate) trait Observer {
    /// `cursors[lane]` is the document and position just read; `layers` hold what came of it.
    fn observe<const P: usize>(&mut self, cursors: &[Option<(usize, usize)>], layers: &[LayerLanes<P>]) -> Result<()>;
}

/// One layer of a unit: its state, and what the last step gave. All `[neuron, lane]`.
pub(crate) struct LayerLanes<const P: usize> {
    pub hidden: Vec<Lanes<f32, P>>,
    cell: Vec<Lanes<f32, P>>,
    gates: Vec<Lanes<f32, P>>,
    bias: Vec<f32>,
    /// The most active neuron of each lane, and its activation.
    pub top: (Lanes<u32, P>, Lanes<f32, P>),
    /// Sums of h, |h| and h² over the steps since the last flush, for each neuron.
    recent: Vec<[[f32; 16]; 3]>,
    /// `[3][hidden]` sums of h, |h| and h² over all tokens.
    pub moments: [Vec<f64>; 3],
    /// 0, or NaN once an activation was not finite.
    poison: Lanes<f32, P>,
}

impl<const P: usize> LayerLanes<P> {
    fn new(weights: &Slices<'_>, layer: usize) -> Self {
        let hidden = weights.sizes.hidden;
        Self {
            hidden: vec![[[0.0; 16]; P]; hidden],
            cell: vec![[[0.0; 16]; P]; hidden],
            gates: vec![[[0.0; 16]; P]; 4 * hidden],
            bias: bias(weights, layer),
            top: ([[0; 16]; P], [[0.0; 16]; P]),
            recent: vec![[[0.0; 16]; 3]; hidden],
            moments: [vec![0.0; hidden], vec![0.0; hidden], vec![0.0; hidden]],
            poison: [[0.0; 16]; P],
        }
    }

    /// Copies a lane's column of `[neuron, lane]` into `out`.
    pub fn hidden_of(&self, lane: usize, out: &mut [f32]) {
        for (out, h) in out.iter_mut().zip(&self.hidden) {
            *out = h.as_flattened()[lane];
        }
    }

    /// Sets a lane's state, `[2 hidden]`: h, then c; cleared with none.
    fn set_state(&mut self, lane: usize, state: Option<&[f32]>) {
        for (n, value) in self.hidden.iter_mut().chain(&mut self.cell).enumerate() {
            value.as_flattened_mut()[lane] = state.map_or(0.0, |s| s[n]);
        }
    }

    /// `gates += W_hh h`, then gates to cell to output, with the maximum and the sums in the same pass. `active` is 1
    /// for lanes whose token counts, else 0.
    fn advance(&mut self, w_hh: &[f32], active: &Lanes<f32, P>) {
        let width = self.hidden.len();
        product(
            MatrixMut::new(self.gates.as_flattened_mut().as_flattened_mut(), 4 * width, P * 16),
            Write::Add,
            Matrix::new(w_hh, 4 * width, width),
            Matrix::new(self.hidden.as_flattened().as_flattened(), width, P * 16),
        );
        vectorized(Advance { layer: self, active });
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

/// From gates to cell to output, with the maximum and the sums in the same pass.
struct Advance<'a, const P: usize> {
    layer: &'a mut LayerLanes<P>,
    active: &'a Lanes<f32, P>,
}

impl<const P: usize> Pass for Advance<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let LayerLanes { hidden, cell, gates, top, recent, poison, .. } = self.layer;
        let active = self.active;
        let width = hidden.len();
        let (input, rest) = gates.split_at(width);
        let (forget, rest) = rest.split_at(width);
        let (update, output) = rest.split_at(width);
        let (cell, output, recent) = (&mut cell[..width], &output[..width], &mut recent[..width]);
        let (mut neuron, mut most, mut bad) = ([[0_u32; 16]; P], [[f32::NEG_INFINITY; 16]; P], *poison);
        for n in 0..width {
            let [mut sum, mut sum_abs, mut sum_sq] = recent[n];
            for p in 0..P {
                // Values, not places: the compiler vectorises what cannot alias.
                let (c, h) = next_cell(input[n][p], forget[n][p], update[n][p], output[n][p], cell[n][p]);
                cell[n][p] = c;
                hidden[n][p] = h;
                for l in 0..16 {
                    let more = h[l] > most[p][l];
                    most[p][l] = if more { h[l] } else { most[p][l] };
                    neuron[p][l] = if more { n as u32 } else { neuron[p][l] };
                    let counted = h[l] * active[p][l];
                    sum[l] += counted;
                    sum_abs[l] += counted.abs();
                    sum_sq[l] = counted.mul_add(counted, sum_sq[l]);
                    bad[p][l] = counted.mul_add(0.0, bad[p][l]);
                }
            }
            recent[n] = [sum, sum_abs, sum_sq];
        }
        *top = (neuron, most);
        *poison = bad;
    }
}

/// The next cell state and output of 16 lanes from the gates before their nonlinearities.
#[inline(always)]
fn next_cell(
    input: [f32; 16],
    forget: [f32; 16],
    update: [f32; 16],
    output: [f32; 16],
    mut cell: [f32; 16],
) -> ([f32; 16], [f32; 16]) {
    let mut hidden = [0.0; 16];
    for l in 0..16 {
        cell[l] = sigmoid(forget[l]).mul_add(cell[l], sigmoid_times_tanh(input[l], update[l]));
        hidden[l] = sigmoid_times_tanh(output[l], cell[l]);
    }
    (cell, hidden)
}

/// The network as a unit reads it.
#[derive(Clone, Copy)]
pub(crate) struct Network<'a> {
    pub weights: &'a Slices<'a>,
    /// [`input_table`]
    pub table: Option<&'a [f32]>,
    /// Layers to run; those above are not needed.
    pub layers: usize,
}

impl Network<'_> {
    /// Reads `lanes[lane][document]` of `documents` to the end and gives each layer as it then is. With `state`
    /// (`[layers, 2, hidden]`: h, c), lane 0 begins with it, is not cleared between documents, and leaves its last.
    pub fn read<const P: usize>(
        &self,
        documents: &[&[u32]],
        lanes: &[Vec<usize>],
        state: Option<&mut [f32]>,
        observer: &mut impl Observer,
        tracker: &Tracker<'_>,
    ) -> Result<Vec<LayerLanes<P>>> {
        let width = self.weights.sizes.hidden;
        let mut layers: Vec<_> = (0..self.layers).map(|k| LayerLanes::<P>::new(self.weights, k)).collect();
        let mut embedded = vec![[[0.0; 16]; P]; if self.table.is_some() { 0 } else { self.weights.sizes.embedding }];
        if let Some(state) = state.as_deref() {
            layers.iter_mut().zip(state.chunks_exact(2 * width)).for_each(|(l, s)| l.set_state(0, Some(s)));
        }
        let mut queues: Vec<_> =
            lanes.iter().map(|lane| lane.iter().copied().filter(|&d| !documents[d].is_empty())).collect();
        let mut cursors: Vec<Option<(usize, usize)>> = vec![None; lanes.len()];
        let (mut active, mut tokens) = ([[0.0_f32; 16]; P], vec![0_u32; 16 * P]);
        let mut step = 0_usize;
        loop {
            let mut running = 0;
            for (lane, cursor) in cursors.iter_mut().enumerate() {
                let next = cursor.map(|(d, position)| (d, position + 1)).filter(|&(d, p)| p < documents[d].len());
                *cursor = next.or_else(|| {
                    let document = queues[lane].next()?;
                    if state.is_none() {
                        layers.iter_mut().for_each(|layer| layer.set_state(lane, None));
                    }
                    Some((document, 0))
                });
                tokens[lane] = cursor.map_or(0, |(d, position)| documents[d][position]);
                active.as_flattened_mut()[lane] = f32::from(cursor.is_some());
                running += u64::from(cursor.is_some());
            }
            if step.is_multiple_of(FLUSH) || running == 0 {
                layers.iter_mut().for_each(LayerLanes::flush);
            }
            if running == 0 {
                break;
            }
            self.step(&mut layers, &mut embedded, &tokens, &active);
            for (k, layer) in layers.iter().enumerate() {
                if layer.poison.as_flattened().iter().any(|p| *p != 0.0) {
                    return Err(Error::invalid(format!(
                        "an activation at lstm.{k}.hidden is not finite: the weights are too large to compute with"
                    )));
                }
            }
            observer.observe(&cursors, &layers)?;
            step += 1;
            tracker.advance(running)?;
        }
        if let Some(state) = state {
            for (layer, state) in layers.iter().zip(state.chunks_exact_mut(2 * width)) {
                for (out, value) in state.iter_mut().zip(layer.hidden.iter().chain(&layer.cell)) {
                    *out = value.as_flattened()[0];
                }
            }
        }
        Ok(layers)
    }

    fn step<const P: usize>(
        &self,
        layers: &mut [LayerLanes<P>],
        embedded: &mut [Lanes<f32, P>],
        tokens: &[u32],
        active: &Lanes<f32, P>,
    ) {
        let width = self.weights.sizes.hidden;
        match self.table {
            Some(table) => gather(table, 4 * width, tokens, &mut layers[0].gates),
            None => gather(self.weights.encoder, self.weights.sizes.embedding, tokens, embedded),
        }
        for k in 0..layers.len() {
            let (below, above) = layers.split_at_mut(k);
            let (layer, weights) = (&mut above[0], &self.weights.layers[k]);
            let input = below.last().map_or(&*embedded, |below| &below.hidden);
            if k > 0 || self.table.is_none() {
                layer.gates.iter_mut().zip(&layer.bias).for_each(|(gates, &bias)| *gates = [[bias; 16]; P]);
                product(
                    MatrixMut::new(layer.gates.as_flattened_mut().as_flattened_mut(), 4 * width, P * 16),
                    Write::Add,
                    Matrix::new(weights.w_ih, 4 * width, input.len()),
                    Matrix::new(input.as_flattened().as_flattened(), input.len(), P * 16),
                );
            }
            layer.advance(weights.w_hh, active);
        }
    }
}

/// Copies a row of `table` `[_, width]` for each lane's token into a column of `out` `[width, lane]`.
fn gather<const P: usize>(table: &[f32], width: usize, tokens: &[u32], out: &mut [Lanes<f32, P>]) {
    // In blocks of a cache line, so that the lines written to stay in the innermost cache.
    for (block, out) in out.chunks_mut(16).enumerate() {
        for (lane, &token) in tokens.iter().enumerate() {
            let row = &table[token as usize * width + block * 16..][..out.len()];
            for (out, &value) in out.iter_mut().zip(row) {
                out.as_flattened_mut()[lane] = value;
            }
        }
    }
}
