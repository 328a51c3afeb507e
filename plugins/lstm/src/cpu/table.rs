//! What reading prepares from the weights: packed weights, and the input of the first layer by token id.

use std::sync::{OnceLock, PoisonError, RwLock};

use rayon::prelude::*;
use txray_plugin::Result;

use crate::cpu::alone::{Alone, Tiles};
use crate::cpu::kernel::gather;
use crate::cpu::layer::add_product;
use crate::cpu::panels::{Panels, strips};
use crate::cpu::workspace::{Spare, Workspace};
use crate::tracker::Tracker;
use crate::weights::{Cell, GATE_SUMS, Slices};

/// Strips of tokens whose rows of the table are made at once.
const STRIPS: usize = 3;

#[derive(Debug)]
pub(crate) struct PackedLayer {
    pub input: Panels,
    pub recurrent: Panels,
    /// The same for lanes that are alone, packed when the first is.
    alone: [OnceLock<Tiles>; 2],
    /// `[neuron, GATE_SUMS]`: what the gate sums begin with.
    bias: Vec<f32>,
}

impl PackedLayer {
    fn new(weights: &Slices<'_>, layer: usize) -> Self {
        let (hidden, cell, layer) = (weights.sizes.hidden, weights.sizes.cell, &weights.layers[layer]);
        let [input, recurrent] = targets(cell);
        let mut bias = vec![0.0; hidden * GATE_SUMS];
        for (targets, biases) in [(input, layer.b_ih), (recurrent, layer.b_hh)] {
            for (target, biases) in targets.iter().zip(biases.chunks_exact(hidden)) {
                bias.iter_mut().skip(*target).step_by(GATE_SUMS).zip(biases).for_each(|(sum, bias)| *sum += bias);
            }
        }
        Self {
            input: Panels::new(layer.w_ih, input, hidden),
            recurrent: Panels::new(layer.w_hh, recurrent, hidden),
            alone: Default::default(),
            bias,
        }
    }

    /// Of layer `k`, for lanes that are alone: the weights of its input.
    pub fn input_tiles(&self, weights: &Slices<'_>, k: usize) -> &Tiles {
        let [input, _] = targets(weights.sizes.cell);
        self.alone[0].get_or_init(|| Tiles::new(weights.layers[k].w_ih, input, weights.sizes.hidden))
    }

    /// And those of its state.
    pub fn recurrent_tiles(&self, weights: &Slices<'_>, k: usize) -> &Tiles {
        let [_, recurrent] = targets(weights.sizes.cell);
        self.alone[1].get_or_init(|| Tiles::new(weights.layers[k].w_hh, recurrent, weights.sizes.hidden))
    }

    /// `[neuron, GATE_SUMS]`: what the gate sums begin with.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Sets a strip of gate sums `[neuron, GATE_SUMS, lane]` to the bias.
    pub fn begin(&self, gate_sums: &mut [f32]) {
        gate_sums.chunks_exact_mut(16).zip(&self.bias).for_each(|(gate_sums, &bias)| gate_sums.fill(bias));
    }
}

/// To which of a neuron's [`GATE_SUMS`] the products of its gates are added: those of the input, those of the state. A GRU's
/// candidate scales the part of the state, its bias included, but not that of the input.
fn targets(cell: Cell) -> [&'static [usize]; 2] {
    match cell {
        Cell::Lstm => [&[0, 1, 2, 3], &[0, 1, 2, 3]],
        Cell::Gru => [&[0, 1, 2], &[0, 1, 3]],
    }
}

/// The input of the first layer by token id, `W_ih x + b`, made when a token is first seen.
///
/// A row is what the product of a step would be, bit for bit, so it does not matter which tokens have one.
#[derive(Debug, Default)]
struct Table {
    /// Row of each token id, or [`NONE`].
    rows: Vec<u32>,
    /// Rows that are made; those after them are room.
    made: usize,
    /// `[row, neuron, GATE_SUMS]`
    values: Vec<f32>,
}

const NONE: u32 = u32::MAX;

/// What reading prepares from the weights, with the workspaces it reads in.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub layers: Vec<PackedLayer>,
    pub spare: Spare<Workspace>,
    /// For lanes that are alone.
    pub spare_alone: Spare<Alone>,
    table: RwLock<Table>,
    /// The most values that the table may hold.
    limit: usize,
}

impl Prepared {
    /// Packs the weights; the table is filled as texts need it.
    pub fn new(weights: &Slices<'_>, limit: usize) -> Self {
        let layers = (0..weights.sizes.layers).into_par_iter().map(|k| PackedLayer::new(weights, k)).collect();
        let (spare, spare_alone) = (Spare::default(), Spare::default());
        Self { layers, spare, spare_alone, table: RwLock::default(), limit }
    }

    /// Runs `f` with the table's rows for all of `ids`, or without a table where they are too many for it.
    pub fn with_table<R>(
        &self,
        weights: &Slices<'_>,
        ids: &[u32],
        tracker: &Tracker<'_>,
        f: impl FnOnce(Option<Rows<'_>>) -> Result<R>,
    ) -> Result<R> {
        let width = GATE_SUMS * weights.sizes.hidden;
        // A token may be missing again by the time that the lock is taken for reading: another call cleared the table.
        loop {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            let known = |&id: &u32| table.rows.get(id as usize).is_some_and(|&row| row != NONE);
            if ids.iter().all(known) {
                return f(Some(Rows { rows: &table.rows, values: &table.values, width }));
            }
            drop(table);
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            if !table.add(self, weights, ids, width, tracker)? {
                drop(table);
                return f(None);
            }
        }
    }
}

impl Table {
    /// Makes the rows that `ids` lack, forgetting all others where there is no room left; false where `ids` alone are
    /// too many.
    fn add(
        &mut self,
        prepared: &Prepared,
        weights: &Slices<'_>,
        ids: &[u32],
        width: usize,
        tracker: &Tracker<'_>,
    ) -> Result<bool> {
        let sizes = weights.sizes;
        if self.rows.is_empty() {
            // The system gives memory only for what is written: rows that are never made take none.
            let room = (prepared.limit / width).min(sizes.vocabulary);
            *self = Self { rows: vec![NONE; sizes.vocabulary], made: 0, values: vec![0.0; room * width] };
        }
        let room = self.values.len() / width;
        let mut missing = self.missing(ids);
        if self.made + missing.len() > room {
            self.rows.fill(NONE);
            self.made = 0;
            missing = self.missing(ids);
            if missing.len() > room {
                return Ok(false);
            }
        }
        let (first, layer) = (self.made, &prepared.layers[0]);
        let out = &mut self.values[first * width..][..missing.len() * width];
        let chunks = out.par_chunks_mut(STRIPS * 16 * width).zip(missing.par_chunks(STRIPS * 16));
        let scratch = || (strips::<STRIPS>(sizes.embedding), strips::<STRIPS>(width));
        chunks.try_for_each_init(scratch, |(x, gate_sums), (out, ids)| {
            tracker.advance(0)?;
            let arch = pulp::Arch::new();
            for ((ids, x), gate_sums) in ids.chunks(16).zip(&mut *x).zip(&mut *gate_sums) {
                let mut tokens = [0; 16];
                tokens[..ids.len()].copy_from_slice(ids);
                gather(arch, weights.encoder, sizes.embedding, &tokens, x);
                layer.begin(gate_sums);
            }
            add_product(arch, gate_sums, ids.len().div_ceil(16), (&layer.input, x));
            for (out, gate_sums) in out.chunks_mut(16 * width).zip(gate_sums) {
                // A few gate sums at a time, which stay in the innermost cache for all rows.
                for (start, gate_sums) in (0..).step_by(16).zip(gate_sums.chunks(16 * 16)) {
                    for (lane, row) in out.chunks_exact_mut(width).enumerate() {
                        row[start..]
                            .iter_mut()
                            .zip(gate_sums.chunks_exact(16))
                            .for_each(|(out, gate_sums)| *out = gate_sums[lane]);
                    }
                }
            }
            Ok(())
        })?;
        self.made += missing.len();
        for (row, id) in (first..).zip(missing) {
            self.rows[id as usize] = row as u32;
        }
        Ok(true)
    }

    /// The ids without a row, each once, in rising order.
    fn missing(&self, ids: &[u32]) -> Vec<u32> {
        let mut wanted = vec![false; self.rows.len()];
        ids.iter().filter(|&&id| self.rows[id as usize] == NONE).for_each(|&id| wanted[id as usize] = true);
        (0..).zip(wanted).filter_map(|(id, wanted)| wanted.then_some(id)).collect()
    }
}

/// A table that has a row for every token to be read.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    rows: &'a [u32],
    values: &'a [f32],
    width: usize,
}

impl Rows<'_> {
    /// `[neuron, GATE_SUMS]`: the row of a token.
    pub fn row(&self, id: u32) -> &[f32] {
        &self.values[self.rows[id as usize] as usize * self.width..][..self.width]
    }

    /// Copies the rows of a strip's tokens into the lanes of `gate_sums` `[neuron, GATE_SUMS, lane]`.
    pub fn gather(&self, arch: pulp::Arch, tokens: &[u32; 16], gate_sums: &mut [f32]) {
        gather(arch, self.values, self.width, &tokens.map(|token| self.rows[token as usize]), gate_sums);
    }
}
