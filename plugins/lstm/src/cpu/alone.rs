//! Reading one document after another in a single lane: vectors then lie across neurons.
//!
//! A step takes as long for one lane as for sixteen, so a lane that is left without company goes on here. A tile is 16
//! neurons; its weights are packed by input, `[tile][input][gate][neuron]`, and streamed from the cache once a token,
//! whose bandwidth is the limit. A gate sum is the same chain of fused multiply-adds, in the order of the inputs, as it
//! is in a lane of many, and so are the nonlinearities and the moments: the bits are the same.

use std::array::from_fn;

use pulp::{Simd, WithSimd};
use txray_plugin::{ExactSum, Result};

use crate::cpu::kernel::{next_gru, next_lstm};
use crate::cpu::lanes::{FLUSH, Network, Observer, Step, Tail};
use crate::cpu::layer::{Moments, doubt};
use crate::cpu::panels::{Aligned, TURN};
use crate::tracker::Tracker;
use crate::weights::{Cell, GATE_SUMS, Sizes};

/// Neurons in a tile.
const TILE: usize = 16;

/// A weight matrix `[gates * neurons, inputs]` (a gate after the other, as PyTorch has it), packed as `[tile][input][gate][neuron
/// of the tile]`. The last tile is filled up with neurons whose weights are 0.
#[derive(Debug)]
pub(crate) struct Tiles {
    values: Aligned,
    inputs: usize,
    /// To which of a neuron's [`GATE_SUMS`] the product of each gate is added.
    targets: Vec<usize>,
}

impl Tiles {
    /// Packs `weights`; `targets` has one entry a gate.
    pub fn new(weights: &[f32], targets: &[usize], neurons: usize) -> Self {
        let gates = targets.len();
        let inputs = weights.len() / (gates * neurons);
        let mut values = Aligned::zeros(neurons.next_multiple_of(TILE) * gates * inputs);
        for (tile, packed) in values.chunks_exact_mut(inputs * gates * TILE).enumerate() {
            for (row, packed) in packed.chunks_exact_mut(TILE).enumerate() {
                let (input, gate) = (row / gates, row % gates);
                for (neuron, packed) in (tile * TILE..neurons).zip(packed) {
                    *packed = weights[(gate * neurons + neuron) * inputs + input];
                }
            }
        }
        Self { values, inputs, targets: targets.to_vec() }
    }

    /// `gate_sums += weights x`: `gate_sums` is `[tile][GATE_SUMS][neuron of the tile]`, `x` `[input]`.
    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, gate_sums: &mut [f32], x: &[f32]) {
        match *self.targets.as_slice() {
            [a, b, c, d] => self.add_gates(simd, gate_sums, x, [a, b, c, d]),
            [a, b, c] => self.add_gates(simd, gate_sums, x, [a, b, c]),
            _ => unreachable!("a neuron has three or four gates"),
        }
    }

    /// As many gate sums at a time as it takes to hide what an addition waits for, and no more than the registers hold.
    #[inline(always)]
    fn add_gates<S: Simd, const G: usize>(&self, simd: S, gate_sums: &mut [f32], x: &[f32], targets: [usize; G]) {
        match (TILE / S::F32_LANES, S::REGISTER_COUNT) {
            (1, _) => self.add_by::<S, G, 4, 1>(simd, gate_sums, x, targets),
            (4, 32..) => self.add_by::<S, G, 1, 4>(simd, gate_sums, x, targets),
            _ => self.add_by::<S, G, 1, 2>(simd, gate_sums, x, targets),
        }
    }

    /// `Q` tiles, and `V` vectors of each, at a time.
    #[inline(always)]
    fn add_by<S: Simd, const G: usize, const Q: usize, const V: usize>(
        &self,
        simd: S,
        gate_sums: &mut [f32],
        x: &[f32],
        targets: [usize; G],
    ) {
        let (weights, size) = (&*self.values, self.inputs * G * TILE);
        let mut tiles = gate_sums.chunks_exact_mut(Q * GATE_SUMS * TILE);
        let mut at = 0;
        for gate_sums in &mut tiles {
            let of = Of { weights: from_fn::<_, Q, _>(|q| &weights[at + q * size..][..size]), targets };
            of.add::<S, V>(simd, gate_sums, &x[..self.inputs]);
            at += Q * size;
        }
        for gate_sums in tiles.into_remainder().chunks_exact_mut(GATE_SUMS * TILE) {
            let of = Of { weights: [&weights[at..][..size]], targets };
            of.add::<S, V>(simd, gate_sums, &x[..self.inputs]);
            at += size;
        }
    }
}

/// What is added up at once: `G` gates of the neurons of `Q` tiles.
struct Of<'a, const G: usize, const Q: usize> {
    /// `[tile][input, gate, neuron]`
    weights: [&'a [f32]; Q],
    targets: [usize; G],
}

impl<const G: usize, const Q: usize> Of<'_, G, Q> {
    #[inline(always)]
    fn add<S: Simd, const V: usize>(self, simd: S, gate_sums: &mut [f32], x: &[f32]) {
        let row = TILE / S::F32_LANES;
        let gate_sums = S::as_mut_simd_f32s(gate_sums).0;
        let mut all = [&[] as &[S::f32s]; Q];
        for (all, weights) in all.iter_mut().zip(self.weights) {
            *all = S::as_simd_f32s(weights).0;
        }
        let (turns, rest) = x.as_chunks::<TURN>();
        // Plain loops all through: a closure need not be compiled for the caller's instructions.
        for first in (0..row).step_by(V) {
            let mut sums = [[[simd.splat_f32s(0.0); V]; Q]; G];
            for g in 0..G {
                for q in 0..Q {
                    for v in 0..V {
                        sums[g][q][v] = gate_sums[(q * GATE_SUMS + self.targets[g]) * row + first + v];
                    }
                }
            }
            let mut at = 0;
            for x in turns {
                let mut weights = [&[] as &[S::f32s]; Q];
                for q in 0..Q {
                    weights[q] = &all[q][at..at + TURN * G * row];
                }
                for k in 0..TURN {
                    let x = simd.splat_f32s(x[k]);
                    for g in 0..G {
                        for q in 0..Q {
                            for v in 0..V {
                                let weight = weights[q][(k * G + g) * row + first + v];
                                sums[g][q][v] = simd.mul_add_e_f32s(weight, x, sums[g][q][v]);
                            }
                        }
                    }
                }
                at += TURN * G * row;
            }
            for &x in rest {
                let x = simd.splat_f32s(x);
                for g in 0..G {
                    for q in 0..Q {
                        for v in 0..V {
                            let weight = all[q][at + g * row + first + v];
                            sums[g][q][v] = simd.mul_add_e_f32s(weight, x, sums[g][q][v]);
                        }
                    }
                }
                at += G * row;
            }
            for g in 0..G {
                for q in 0..Q {
                    for v in 0..V {
                        gate_sums[(q * GATE_SUMS + self.targets[g]) * row + first + v] = sums[g][q][v];
                    }
                }
            }
        }
    }
}

/// What is recorded at one site of a layer.
#[derive(Debug)]
struct SiteAlone {
    /// The most active neuron at the last step, the lower index on a tie, and its activation.
    top: (u32, f32),
    /// `[3][tile]`: the moments of the document over the tokens since the last flush.
    recent: [Vec<[f32; TILE]>; 3],
    /// `[3][hidden]`: the sums of h, |h| and h² over all tokens.
    moments: Moments,
    /// 0, or NaN once an activation, or what it is made of, was not finite.
    poison: [f32; TILE],
}

/// One layer: its state, and what the last step gave. All of whole tiles, which end in neurons that are always 0.
#[derive(Debug)]
struct LayerAlone {
    width: usize,
    hidden: Aligned,
    /// Where a step writes the next `hidden`: every neuron reads all of the last one.
    next: Aligned,
    /// Empty for a GRU.
    cell: Aligned,
    /// `[tile][GATE_SUMS][neuron of the tile]`
    gate_sums: Aligned,
    sites: Vec<SiteAlone>,
}

impl LayerAlone {
    fn new(cell: Cell, width: usize, sites: usize) -> Self {
        let padded = width.next_multiple_of(TILE);
        let site = |_| SiteAlone {
            top: (0, 0.0),
            recent: from_fn(|_| vec![[0.0; TILE]; padded / TILE]),
            moments: from_fn(|_| vec![ExactSum::ZERO; width]),
            poison: [0.0; TILE],
        };
        Self {
            width,
            hidden: Aligned::zeros(padded),
            next: Aligned::zeros(padded),
            cell: Aligned::zeros(if cell == Cell::Lstm { padded } else { 0 }),
            gate_sums: Aligned::zeros(padded * GATE_SUMS),
            sites: (0..sites).map(site).collect(),
        }
    }

    /// `[h (and c), hidden]`
    fn parts(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let width = self.width;
        [&mut self.hidden, &mut self.cell]
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(move |part| &mut part[..width])
    }

    /// Sets the gate sums of each neuron, `[neuron, GATE_SUMS]`.
    fn begin(&mut self, values: &[f32]) {
        let tiles = self.gate_sums.as_chunks_mut::<TILE>().0.as_chunks_mut::<GATE_SUMS>().0;
        for (tile, values) in tiles.iter_mut().zip(values.as_chunks::<GATE_SUMS>().0.chunks(TILE)) {
            for (neuron, values) in values.iter().enumerate() {
                for (gate_sums, &value) in tile.iter_mut().zip(values) {
                    gate_sums[neuron] = value;
                }
            }
        }
    }

    /// Adds the moments of the last steps to those over all tokens, exactly.
    fn flush(&mut self) {
        for site in &mut self.sites {
            for (recent, totals) in site.recent.iter_mut().zip(&mut site.moments) {
                for (recent, total) in recent.as_flattened_mut().iter_mut().zip(totals) {
                    *total += ExactSum::of_all([f64::from(std::mem::take(recent))]);
                }
            }
        }
    }
}

/// What a thread holds while it reads a document alone.
#[derive(Debug, Default)]
pub(crate) struct Alone(Vec<LayerAlone>);

impl Alone {
    /// Fits it to a network of these sizes that runs `layers` layers with `sites` sites each, and begins where a lane ended.
    fn begin(&mut self, sizes: Sizes, layers: usize, sites: usize, tail: &Tail) {
        self.0.resize_with(layers, || LayerAlone::new(sizes.cell, sizes.hidden, sites));
        let mut state = tail.state.chunks_exact(sizes.hidden);
        let mut recent = tail.recent.chunks_exact(sizes.hidden);
        for layer in &mut self.0 {
            layer.parts().zip(&mut state).for_each(|(part, state)| part.copy_from_slice(state));
            for site in &mut layer.sites {
                site.poison = [0.0; TILE];
                site.moments.iter_mut().for_each(|moment| moment.fill(ExactSum::ZERO));
                for (moment, recent) in site.recent.iter_mut().zip(&mut recent) {
                    moment.as_flattened_mut().iter_mut().zip(recent).for_each(|(moment, &recent)| *moment = recent);
                }
            }
        }
    }

    /// `[layer][site]`
    pub fn moments(&self) -> Vec<Vec<Moments>> {
        self.0.iter().map(|layer| layer.sites.iter().map(|site| site.moments.clone()).collect()).collect()
    }
}

/// A step of a lane alone.
struct AloneStep<'a> {
    cursor: [Option<(usize, usize)>; 1],
    layers: &'a [LayerAlone],
}

impl Step for AloneStep<'_> {
    fn cursors(&self) -> &[Option<(usize, usize)>] {
        &self.cursor
    }

    fn top(&self, layer: usize, site: usize, _: usize) -> (u32, f32) {
        self.layers[layer].sites[site].top
    }

    fn column(&self, layer: usize, site: usize, _: usize) -> impl Iterator<Item = f32> {
        let LayerAlone { width, hidden, cell, .. } = &self.layers[layer];
        if site == 0 { &hidden[..*width] } else { &cell[..*width] }.iter().copied()
    }
}

impl Network<'_> {
    /// Reads what is left of a lane to the end; its moments are then in `alone`, and its last state in `tail`.
    pub fn read_alone(
        &self,
        alone: &mut Alone,
        documents: &[&[u32]],
        tail: &mut Tail,
        observer: &mut impl Observer,
        tracker: &Tracker<'_>,
    ) -> Result<()> {
        alone.begin(self.weights.sizes, self.layers, self.sites, tail);
        let layers = &mut alone.0;
        for (number, &document) in tail.documents.iter().enumerate() {
            let from = if number == 0 { tail.position } else { 0 };
            let ids = documents[document];
            if from == 0 && !tail.is_stream {
                layers.iter_mut().flat_map(LayerAlone::parts).for_each(|part| part.fill(0.0));
            }
            let mut untold = 0;
            for (position, &id) in ids.iter().enumerate().skip(from) {
                self.step_alone(layers, id);
                self.check(layers.iter().map(|layer| layer.sites.iter().map(|site| site.poison.as_slice())))?;
                observer.observe(&AloneStep { cursor: [Some((document, position))], layers })?;
                untold += 1;
                if (position + 1).is_multiple_of(FLUSH) || position + 1 == ids.len() {
                    layers.iter_mut().for_each(LayerAlone::flush);
                    tracker.advance(std::mem::take(&mut untold))?;
                }
            }
        }
        let parts = layers.iter_mut().flat_map(LayerAlone::parts);
        tail.state
            .chunks_exact_mut(self.weights.sizes.hidden)
            .zip(parts)
            .for_each(|(out, part)| out.copy_from_slice(part));
        Ok(())
    }

    /// Documents that are read as one stream, from the state that is carried into it.
    pub fn stream(&self, documents: Vec<usize>, state: &[f32]) -> Tail {
        let recent = vec![0.0; self.layers * self.sites * 3 * self.weights.sizes.hidden];
        Tail { documents, position: 0, state: state.to_vec(), recent, is_stream: true }
    }

    /// One token, through all layers.
    fn step_alone(&self, layers: &mut [LayerAlone], id: u32) {
        for k in 0..layers.len() {
            let (below, above) = layers.split_at_mut(k);
            let (layer, packed) = (&mut above[0], &self.prepared.layers[k]);
            let x = match (below.last(), self.table) {
                (None, Some(table)) => {
                    layer.begin(table.row(id));
                    None
                }
                (None, None) => {
                    let width = self.weights.sizes.embedding;
                    Some(&self.weights.encoder[id as usize * width..][..width])
                }
                (Some(below), _) => Some(&*below.hidden),
            };
            if x.is_some() {
                layer.begin(packed.bias());
            }
            let input = x.map(|x| (packed.input_tiles(self.weights, k), x));
            let (recurrent, mask) = (packed.recurrent_tiles(self.weights, k), self.masks.pass(k));
            self.arch.dispatch(LayerStep { layer, input, recurrent, mask });
        }
    }
}

struct LayerStep<'a> {
    layer: &'a mut LayerAlone,
    input: Option<(&'a Tiles, &'a [f32])>,
    recurrent: &'a Tiles,
    mask: Option<&'a [f32]>,
}

impl WithSimd for LayerStep<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, input, recurrent, mask } = self;
        let LayerAlone { width, hidden, next, cell, gate_sums, sites } = layer;
        if let Some((tiles, x)) = input {
            tiles.add(simd, gate_sums, x);
        }
        recurrent.add(simd, gate_sums, hidden);
        let of_tiles = gate_sums.as_chunks::<TILE>().0.as_chunks::<GATE_SUMS>().0;
        let next_tiles = next.as_chunks_mut::<TILE>().0;
        let cells = cell.as_chunks_mut::<TILE>().0;
        for (tile, (&[a, b, c, d], next)) in of_tiles.iter().zip(&mut *next_tiles).enumerate() {
            doubt(&mut sites[0].poison, [a, b, c, d]);
            *next = match cells.get_mut(tile) {
                None => next_gru(a, b, c, d, hidden.as_chunks::<TILE>().0[tile]),
                Some(cell) => {
                    let hidden;
                    (*cell, hidden) = next_lstm(a, b, c, d, *cell);
                    hidden
                }
            };
            for (next, &value) in next.iter_mut().zip(mask.into_iter().flat_map(|mask| &mask[tile * TILE..])) {
                if !value.is_nan() {
                    *next = value;
                }
            }
        }
        record(&mut sites[0], next_tiles, *width);
        if let Some(site) = sites.get_mut(1) {
            record(site, cells, *width);
        }
        std::mem::swap(hidden, next);
    }
}

/// Records the values of all neurons, `[tile][neuron of the tile]`.
#[inline(always)]
fn record(site: &mut SiteAlone, values: &[[f32; TILE]], width: usize) {
    let (mut neuron, mut most, mut bad) = ([0_u32; TILE], [f32::NEG_INFINITY; TILE], site.poison);
    let [sum, sum_abs, sum_sq] = &mut site.recent;
    for ((tile, value), ((sum, sum_abs), sum_sq)) in (0..).zip(values).zip(sum.iter_mut().zip(sum_abs).zip(sum_sq)) {
        let first = (tile * TILE) as u32;
        for l in 0..TILE {
            let n = first + l as u32;
            let more = value[l] > most[l] && n < width as u32;
            neuron[l] = if more { n } else { neuron[l] };
            most[l] = if more { value[l] } else { most[l] };
            sum[l] += value[l];
            sum_abs[l] += value[l].abs();
            sum_sq[l] = value[l].mul_add(value[l], sum_sq[l]);
            bad[l] = value[l].mul_add(0.0, bad[l]);
        }
    }
    site.poison = bad;
    site.top = (neuron[0], most[0]);
    for (&neuron, &most) in neuron.iter().zip(&most).skip(1) {
        let is_more = most > site.top.1 || most == site.top.1 && neuron < site.top.0;
        site.top = if is_more { (neuron, most) } else { site.top };
    }
}
