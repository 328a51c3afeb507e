//! Reading without gradients: many documents side by side, each in a lane of its own.
//!
//! A *unit* is `workspace::STRIPS` * 16 lanes. Each lane reads document after document, its state cleared in between, so nothing
//! is padded but the end, where strips of lanes that are all done are left out, and the last few lanes go on alone (see `alone`). One thread owns a unit through all its
//! steps, in a [`Workspace`] that later units use again. States and gate sums lie `[strip][neuron, lane]`: gates, cell,
//! output, the most active neuron and the moments are then passes over vectors of lanes, and the recurrent weights are
//! streamed from memory once a step for all strips.
//!
//! A document's activations do not depend on the documents beside it, because no lane depends on another (see
//! `panels`), and units do not depend on the number of threads.

use std::array::from_fn;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::slice::Iter;

use txray_plugin::{Error, Result};

use crate::cpu::kernel::gather;
use crate::cpu::layer::{Lanes, LayerLanes};
use crate::cpu::panels::Strips;
use crate::cpu::table::{Prepared, Rows};
use crate::cpu::workspace::{STRIPS, Workspace};
use crate::masks::Masks;
use crate::tracker::Tracker;
use crate::weights::Slices;

/// The most steps that a unit is planned to take. Shorter units spread better over threads, longer ones leave fewer
/// lanes idle at the end.
const STEPS: usize = 128;
/// Units come in multiples of this, to share well among 2, 4, 8 threads.
const SHARES: usize = 8;
/// Tokens of a document after which its moments, in single precision, are added to the exact ones. They are added at its end,
/// too, so that what a document adds depends on it alone.
pub(crate) const FLUSH: usize = 64;
/// Lanes of a unit that take about as long side by side as one after the other alone, which threads can share (measured at 100, 200
/// and 600 neurons).
const FEW: usize = 16;

/// Shares documents of these lengths out to units of `width` lanes: the longest first, each to the lane with the fewest
/// tokens; lanes with about as many tokens are in one unit. Gives `[unit][lane][document]`.
pub(crate) fn plan(lengths: &[usize], width: usize) -> Vec<Vec<Vec<usize>>> {
    let mut order: Vec<usize> = (0..lengths.len()).filter(|&d| lengths[d] > 0).collect();
    order.sort_by_key(|&d| (Reverse(lengths[d]), d));
    let total: usize = lengths.iter().sum();
    let count = width * total.div_ceil(width * STEPS).next_multiple_of(SHARES);
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
    let lanes: Vec<_> = lanes.into_iter().map(|(_, documents)| documents).filter(|lane| !lane.is_empty()).collect();
    lanes.chunks(width).map(<[_]>::to_vec).collect()
}

/// What a step gave.
pub(crate) trait Step {
    /// By lane: the document and the position of the token just read, `None` where it is idle.
    fn cursors(&self) -> &[Option<(usize, usize)>];
    /// The most active neuron of a lane at a site of a layer (0, the outputs; 1, the cell), and its activation.
    fn top(&self, layer: usize, site: usize, lane: usize) -> (u32, f32);
    /// `[hidden]`: all activations there.
    fn column(&self, layer: usize, site: usize, lane: usize) -> impl Iterator<Item = f32>;
}

/// Takes what it wants of each step.
pub(crate) trait Observer {
    fn observe(&mut self, step: &impl Step) -> Result<()>;
}

/// A step of the lanes of a unit.
struct UnitStep<'a> {
    cursors: &'a [Option<(usize, usize)>],
    layers: &'a [LayerLanes],
}

impl Step for UnitStep<'_> {
    fn cursors(&self) -> &[Option<(usize, usize)>] {
        self.cursors
    }

    fn top(&self, layer: usize, site: usize, lane: usize) -> (u32, f32) {
        let (neuron, activation) = &self.layers[layer].sites[site].top;
        (neuron.as_flattened()[lane], activation.as_flattened()[lane])
    }

    fn column(&self, layer: usize, site: usize, lane: usize) -> impl Iterator<Item = f32> {
        self.layers[layer].column(site, lane)
    }
}

/// What is left of a lane that goes on alone.
#[derive(Debug)]
pub(crate) struct Tail {
    pub documents: Vec<usize>,
    /// Where the first of them goes on.
    pub position: usize,
    /// `[layers, h (and c), hidden]`
    pub state: Vec<f32>,
    /// `[layer][site][3][hidden]`: the moments of the first document over the tokens since the last flush.
    pub recent: Vec<f32>,
    /// Whether the state is kept from document to document.
    pub is_stream: bool,
}

/// The network as a unit reads it.
#[derive(Clone, Copy)]
pub(crate) struct Network<'a> {
    pub weights: &'a Slices<'a>,
    pub prepared: &'a Prepared,
    /// The first layer's input by token id; `None`: that input is made at each step.
    pub table: Option<Rows<'a>>,
    /// How many layers to run, from the lowest; those above are not needed.
    pub layers: usize,
    /// How many sites a layer has: its outputs, and its cell if that is asked for.
    pub sites: usize,
    /// Which outputs are held to values.
    pub masks: &'a Masks,
    pub arch: pulp::Arch,
}

impl Network<'_> {
    pub fn site(&self, layer: usize, site: usize) -> String {
        self.weights.sizes.site(layer, site).0
    }

    /// Reads `lanes[lane][document]` of `documents` until few lanes are left, and gives what is left of these; the moments are
    /// then in `workspace`.
    pub fn read(
        &self,
        workspace: &mut Workspace,
        documents: &[&[u32]],
        lanes: &[Vec<usize>],
        observer: &mut impl Observer,
        tracker: &Tracker<'_>,
    ) -> Result<Vec<Tail>> {
        workspace.clear(self.weights.sizes, self.layers, self.sites, self.table.is_none());
        let Workspace { layers, embedded } = workspace;
        let mut queues: Lanes<Iter<'_, usize>> = from_fn(|_| Default::default());
        queues.as_flattened_mut().iter_mut().zip(lanes).for_each(|(queue, lane)| *queue = lane.iter());
        let mut cursors: Lanes<Option<(usize, usize)>> = [[None; 16]; STRIPS];
        let cursors = &mut cursors.as_flattened_mut()[..lanes.len()];
        // An idle lane reads some token of the text, which counts for nothing.
        let idle = lanes.iter().flatten().find_map(|&d| documents[d].first()).copied().unwrap_or(0);
        let mut due = Vec::with_capacity(STRIPS * 16);
        let (mut active, mut tokens) = ([[0.0_f32; 16]; STRIPS], [[idle; 16]; STRIPS]);
        loop {
            let (mut running, mut live) = (0_usize, 0);
            for (lane, cursor) in cursors.iter_mut().enumerate() {
                let next = cursor.map(|(d, position)| (d, position + 1)).filter(|&(d, p)| p < documents[d].len());
                *cursor = next.or_else(|| {
                    let document = *queues.as_flattened_mut()[lane].find(|&&d| !documents[d].is_empty())?;
                    layers.iter_mut().for_each(|layer| layer.clear_state(lane));
                    Some((document, 0))
                });
                tokens.as_flattened_mut()[lane] = cursor.map_or(idle, |(d, position)| documents[d][position]);
                active.as_flattened_mut()[lane] = f32::from(cursor.is_some());
                if cursor.is_some() {
                    // The lanes of a unit are sorted, most tokens first: the last strips are done first.
                    (running, live) = (running + 1, lane / 16 + 1);
                }
            }
            if running <= FEW {
                let tail = |(lane, cursor): (usize, &Option<(usize, usize)>)| {
                    let (document, position) = (*cursor)?;
                    Some(Tail {
                        documents: [document].into_iter().chain(queues.as_flattened()[lane].clone().copied()).collect(),
                        position,
                        state: layers.iter().flat_map(|layer| layer.state(lane)).collect(),
                        recent: layers.iter().flat_map(|layer| layer.recent(lane)).collect(),
                        is_stream: false,
                    })
                };
                return Ok(cursors.iter().enumerate().filter_map(tail).collect());
            }
            self.step(live, layers, embedded, &tokens, &active);
            self.check(layers.iter().map(|layer| layer.sites.iter().map(|site| site.poison.as_flattened())))?;
            observer.observe(&UnitStep { cursors, layers })?;
            due.clear();
            due.extend(cursors.iter().enumerate().filter_map(|(lane, cursor)| {
                let (document, position) = (*cursor)?;
                let is_due = (position + 1).is_multiple_of(FLUSH) || position + 1 == documents[document].len();
                is_due.then_some(lane)
            }));
            if !due.is_empty() {
                layers.iter_mut().for_each(|layer| layer.flush(&due));
            }
            tracker.advance(running as u64)?;
        }
    }

    /// One token of the first `live` strips, through all layers.
    fn step(
        &self,
        live: usize,
        layers: &mut [LayerLanes],
        embedded: &mut Strips<STRIPS>,
        tokens: &Lanes<u32>,
        active: &Lanes<f32>,
    ) {
        for k in 0..layers.len() {
            let (below, above) = layers.split_at_mut(k);
            let (layer, packed) = (&mut above[0], &self.prepared.layers[k]);
            let input = match (below.last(), self.table) {
                (None, Some(table)) => {
                    for (tokens, gate_sums) in tokens[..live].iter().zip(&mut layer.gate_sums) {
                        table.gather(self.arch, tokens, gate_sums);
                    }
                    None
                }
                (None, None) => {
                    for (tokens, embedded) in tokens[..live].iter().zip(&mut *embedded) {
                        gather(self.arch, self.weights.encoder, self.weights.sizes.embedding, tokens, embedded);
                    }
                    Some((&packed.input, &*embedded))
                }
                (Some(below), _) => Some((&packed.input, &below.hidden)),
            };
            if input.is_some() {
                layer.gate_sums[..live].iter_mut().for_each(|gate_sums| packed.begin(gate_sums));
            }
            layer.step(self.arch, live, input, &packed.recurrent, self.masks.pass(k), active);
        }
    }

    /// Stops at an activation that is not finite: of each layer's sites, what is not 0 then.
    pub fn check<'p>(&self, poison: impl Iterator<Item = impl Iterator<Item = &'p [f32]>>) -> Result<()> {
        for (k, layer) in poison.enumerate() {
            for (s, site) in layer.enumerate() {
                if site.iter().any(|p| *p != 0.0) {
                    return Err(Error::invalid(format!(
                        "an activation at {} is not finite: the weights are too large to compute with",
                        self.site(k, s)
                    )));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use txray_plugin::random::Stream;
    use txray_plugin::{ExactSum, Host, Mask};

    use super::*;
    use crate::cpu::alone::Alone;
    use crate::cpu::kernel::instructions;
    use crate::cpu::layer::Moments;
    use crate::weights::{Cell, Sizes, Weights};

    /// Keeps every output of every layer, `[document][position][layer]`.
    struct Keep {
        layers: usize,
        of: Vec<Vec<Vec<Vec<f32>>>>,
    }

    impl Keep {
        fn new(sizes: Sizes, documents: usize) -> Self {
            Self { layers: sizes.layers, of: vec![Vec::new(); documents] }
        }
    }

    impl Observer for Keep {
        fn observe(&mut self, step: &impl Step) -> Result<()> {
            for (lane, cursor) in step.cursors().iter().enumerate() {
                let Some((document, position)) = *cursor else { continue };
                assert_eq!(self.of[document].len(), position, "each token once, in order");
                let column = |layer: usize| {
                    let values: Vec<f32> = step.column(layer, 0, lane).collect();
                    let (neuron, most) = step.top(layer, 0, lane);
                    let first = values.iter().position(|&v| v == values.iter().copied().fold(f32::MIN, f32::max));
                    assert_eq!(
                        (first, values[neuron as usize]),
                        (Some(neuron as usize), most),
                        "the first of the greatest"
                    );
                    values
                };
                self.of[document].push((0..self.layers).map(column).collect());
            }
            Ok(())
        }
    }

    /// The outputs of every layer at every token, in plain double precision.
    fn plainly(weights: &Slices<'_>, document: &[u32]) -> Vec<Vec<Vec<f64>>> {
        let Sizes { embedding, hidden, layers, cell, .. } = weights.sizes;
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let dot = |row: &[f32], x: &[f64]| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
        let mut states = vec![(vec![0.0_f64; hidden], vec![0.0_f64; hidden]); layers];
        let step = |&token: &u32| {
            let row = &weights.encoder[token as usize * embedding..][..embedding];
            let mut x: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
            for (layer, (h, c)) in weights.layers.iter().zip(&mut states) {
                let of_input = |gate: usize, n: usize| {
                    let row = gate * hidden + n;
                    dot(&layer.w_ih[row * x.len()..][..x.len()], &x) + f64::from(layer.b_ih[row])
                };
                let of_state = |gate: usize, n: usize| {
                    let row = gate * hidden + n;
                    dot(&layer.w_hh[row * hidden..][..hidden], h) + f64::from(layer.b_hh[row])
                };
                let sum = |gate, n| of_input(gate, n) + of_state(gate, n);
                let next: Vec<(f64, f64)> = (0..hidden)
                    .map(|n| match cell {
                        Cell::Lstm => {
                            let c = sigmoid(sum(1, n)) * c[n] + sigmoid(sum(0, n)) * sum(2, n).tanh();
                            (sigmoid(sum(3, n)) * c.tanh(), c)
                        }
                        Cell::Gru => {
                            let (reset, update) = (sigmoid(sum(0, n)), sigmoid(sum(1, n)));
                            let candidate = (of_input(2, n) + reset * of_state(2, n)).tanh();
                            ((1.0 - update) * candidate + update * h[n], 0.0)
                        }
                    })
                    .collect();
                (*h, *c) = next.into_iter().unzip();
                x.clone_from(h);
            }
            states.iter().map(|(h, _)| h.clone()).collect()
        };
        document.iter().map(step).collect()
    }

    fn drawn(sizes: Sizes, seed: u64) -> Weights {
        // Large enough for the nonlinearities to show, small enough that the recurrence does not blow up rounding.
        let bound = 2.0 / (sizes.hidden.max(sizes.embedding) as f32).sqrt();
        let mut stream = Stream::new(seed, "values", 0);
        let values = |_: &str, shape: &[usize]| {
            let mut values = vec![0.0; shape.iter().product()];
            stream.fill_uniform(&mut values, -bound, bound);
            Ok(values)
        };
        Weights::build(sizes, values).unwrap()
    }

    fn sums(of: &[Vec<Moments>]) -> Vec<ExactSum> {
        of.iter().flatten().flatten().flatten().copied().collect()
    }

    /// Reads copies of a document side by side, and then one beside copies that end at `turn`, from where on it is alone.
    fn is_the_same_alone(
        sizes: Sizes,
        sites: usize,
        document: &[u32],
        turn: usize,
        with_table: bool,
        masked: bool,
        seed: u64,
    ) {
        let weights = drawn(sizes, seed);
        let host = Host::detached();
        let tracker = Tracker::new(&host, "", 0);
        let held: Vec<f32> = (0..sizes.hidden).map(|n| if n % 3 == 1 { 0.25 } else { f32::NAN }).collect();
        let held = [Mask { site: 0, values: &held }];
        let masks = Masks::new(if masked { &held } else { &[] }, sizes, sites).unwrap();
        let read = |weights: &Slices<'_>| {
            let prepared = Prepared::new(weights, if with_table { usize::MAX } else { 0 });
            prepared.with_table(weights, document, &tracker, |table| {
                for (name, arch) in instructions() {
                    let network = Network {
                        weights,
                        prepared: &prepared,
                        table,
                        layers: sizes.layers,
                        sites,
                        masks: &masks,
                        arch,
                    };
                    let read = |documents: &[&[u32]]| {
                        let lanes: Vec<_> = (0..documents.len()).map(|lane| vec![lane]).collect();
                        let (mut workspace, mut keep) = (Workspace::default(), Keep::new(sizes, documents.len()));
                        let tails = network.read(&mut workspace, documents, &lanes, &mut keep, &tracker)?;
                        let mut moments = sums(&workspace.moments());
                        for mut tail in tails {
                            let mut alone = Alone::default();
                            network.read_alone(&mut alone, documents, &mut tail, &mut keep, &tracker)?;
                            assert_eq!((documents.len(), tail.position), (FEW + 1, turn));
                            moments.iter_mut().zip(sums(&alone.moments())).for_each(|(sum, more)| *sum += more);
                        }
                        Ok((keep, moments))
                    };
                    let (whole, begun) = ([document; FEW + 1], [&document[..turn]; FEW + 1]);
                    let mut left = begun;
                    left[0] = document;
                    let ((side, all), (_, begun), (apart, found)) = (read(&whole)?, read(&begun)?, read(&left)?);
                    let bits = |keep: &Keep| -> Vec<u32> {
                        keep.of[0].as_slice().concat().concat().iter().map(|value| value.to_bits()).collect()
                    };
                    assert_eq!(bits(&apart), bits(&side), "{name}");
                    for ((all, begun), found) in all.into_iter().zip(begun).zip(found) {
                        let add = |mut total: ExactSum, sum: ExactSum, times| {
                            (0..times).for_each(|_| total += sum);
                            total
                        };
                        assert_eq!(add(ExactSum::ZERO, found, FEW + 1), add(all, begun, FEW), "{name}");
                    }
                }
                Ok(())
            })
        };
        weights.read(read).unwrap();
    }

    fn agree(sizes: Sizes, documents: &[Vec<u32>], with_table: bool, seed: u64) {
        let weights = drawn(sizes, seed);
        let documents: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
        let lengths: Vec<usize> = documents.iter().map(|d| d.len()).collect();
        let host = Host::detached();
        let tracker = Tracker::new(&host, "", 0);
        let read = |weights: &Slices<'_>| {
            let prepared = Prepared::new(weights, if with_table { usize::MAX } else { 0 });
            prepared.with_table(weights, &documents.concat(), &tracker, |table| {
                assert_eq!(table.is_some(), with_table || documents.concat().is_empty());
                let masks = Masks::new(&[], weights.sizes, 1)?;
                // One workspace for all, so that each reading begins with what another left.
                let (mut workspace, mut alone) = (Workspace::default(), Alone::default());
                for (name, arch) in instructions() {
                    let layers = weights.sizes.layers;
                    let network =
                        Network { weights, prepared: &prepared, table, layers, sites: 1, masks: &masks, arch };
                    let mut keep = Keep::new(sizes, documents.len());
                    for lanes in plan(&lengths, STRIPS * 16) {
                        for mut tail in network.read(&mut workspace, &documents, &lanes, &mut keep, &tracker)? {
                            network.read_alone(&mut alone, &documents, &mut tail, &mut keep, &tracker)?;
                        }
                    }
                    for (document, found) in documents.iter().zip(keep.of) {
                        let expected = plainly(weights, document);
                        let (found, expected) = (found.concat().concat(), expected.concat().concat());
                        assert_eq!(found.len(), expected.len(), "{name}");
                        for (a, b) in found.into_iter().zip(expected) {
                            assert!((f64::from(a) - b).abs() <= 1e-5 * b.abs().max(1.0), "{name}: {a}, not {b}");
                        }
                    }
                }
                Ok(())
            })
        };
        weights.read(read).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn every_document_that_has_tokens_is_in_one_lane(
            lengths in proptest::collection::vec(0..700_usize, 0..300), width in prop_oneof![Just(16_usize), Just(48)],
        ) {
            let units = plan(&lengths, width);
            prop_assert!(units.iter().all(|lanes| (1..=width).contains(&lanes.len())));
            let mut found: Vec<usize> = units.iter().flatten().flatten().copied().collect();
            found.sort_unstable();
            let expected: Vec<usize> = (0..lengths.len()).filter(|&d| lengths[d] > 0).collect();
            prop_assert_eq!(found, expected);
            // Lanes whose strip is done first stand last.
            let load = |lane: &Vec<usize>| lane.iter().map(|&d| lengths[d]).sum::<usize>();
            prop_assert!(units.iter().flatten().map(load).is_sorted_by(|a, b| a >= b));
        }

        /// Bit for bit, under every set of instructions, from the start or from any token on.
        #[test]
        fn a_document_is_read_alone_as_in_company(
            document in proptest::collection::vec(0..17_u32, 1..150),
            turn in prop_oneof![Just(0_usize), Just(64), 0..150_usize],
            embedding in 1..24_usize,
            hidden in 1..70_usize,
            layers in 1..4_usize,
            cell in prop_oneof![Just((Cell::Lstm, 1)), Just((Cell::Lstm, 2)), Just((Cell::Gru, 1))],
            with_table in any::<bool>(),
            masked in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let (cell, sites) = cell;
            let sizes = Sizes { vocabulary: 17, embedding, hidden, layers, cell, ..Sizes::default() };
            is_the_same_alone(sizes, sites, &document, turn.min(document.len() - 1), with_table, masked, seed);
        }

        /// Under every set of instructions that the machine has, with a table of inputs and without.
        #[test]
        fn reading_is_plain_arithmetic(
            documents in proptest::collection::vec(proptest::collection::vec(0..17_u32, 0..12), 1..90),
            embedding in 1..24_usize,
            hidden in 1..40_usize,
            layers in 1..4_usize,
            cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
            with_table in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let sizes = Sizes { vocabulary: 17, embedding, hidden, layers, cell, ..Sizes::default() };
            agree(sizes, &documents, with_table, seed);
        }
    }
}
