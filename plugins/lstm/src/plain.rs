//! Reading and predicting by the plain network: the requests of the fast path, answered without its kernels, and those of
//! networks that it does not read.

use candle_core::{Device, Tensor};
use txray_plugin::{EncodeRequest, Error, Opaque, PredictRequest, Result, Text};

use crate::encode::{Outputs, Running};
use crate::features::{self, Gatherer, Sink};
use crate::labels::Labels;
use crate::masks::Masks;
use crate::memory;
use crate::network::{Network, State};
use crate::predict::{self, Losses, Target, Unit};
use crate::state::Carried;
use crate::tracker::Tracker;
use crate::weights::{Cell, Sizes, Weights, failed};

/// Documents read side by side. Always as many, so that no product depends on how many documents there are.
const LANES: usize = 16;
/// Steps that are read at once: what is held of a document does not grow with it, unless it is read in both directions.
const STEPS: usize = 64;
/// The tokens of a document from which on it is read in both directions beside one other instead of [`LANES`].
const LONG: usize = 4096;

/// Answers a request that fits the model. `sites` of a pass: its outputs, and its cell if that is asked for.
pub(crate) fn encode(
    weights: &Weights,
    masks: &Masks,
    sites: usize,
    request: &mut EncodeRequest<'_>,
    tracker: &Tracker<'_>,
) -> Result<()> {
    let running = request.predictions.as_ref().map(|(task, _)| Running::new(*task, weights)).transpose()?;
    let plain = Plain::new(weights, masks, tracker)?;
    let EncodeRequest { text, state, sites: requests, predictions, emit, .. } = request;
    let text = *text;
    let carried: Option<&mut Carried> = state.as_deref_mut().map(Opaque::get_mut).transpose()?;
    // One stream is read as one document.
    let stream = [0, text.ids.len() as u64];
    let offsets = if carried.is_some() { &stream[..] } else { text.offsets };
    let lengths: Vec<usize> = offsets.windows(2).map(|at| (at[1] - at[0]) as usize).collect();
    let predictions = predictions.as_mut().map(|(_, of)| &mut **of);
    let mut outputs = Outputs::split(requests, predictions.zip(running), &lengths, sites);
    let mut record = outputs.record(0..lengths.len(), offsets, *emit);
    let best = |hidden: &[f32], rows: usize| {
        let best = Tensor::from_slice(hidden, (rows, hidden.len() / rows), plain.network.device());
        best.and_then(|outputs| plain.network.best(&outputs)).map_err(failed)
    };
    plain.read(Text { offsets, ..text }, carried, |(document, from), tokens| {
        for (position, passes) in (from..).zip(tokens) {
            for (wanted, moments) in outputs.wanted.iter().zip(&mut outputs.moments) {
                let values = passes[wanted.layer].of(wanted.site);
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(Error::invalid(format!(
                        "an activation at {} is not finite: the weights are too large to compute with",
                        plain.sizes.site(wanted.layer, wanted.site).0
                    )));
                }
                let of: [fn(f64) -> f64; 3] = [|h| h, f64::abs, |h| h * h];
                for (sums, of) in moments.iter_mut().zip(of) {
                    sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += of(f64::from(value)));
                }
            }
            record.token((document, position), |_, _| None, |pass, site| passes[pass].of(site).iter().copied());
            if record.push((document, position), passes[plain.sizes.passes() - 1].hidden.iter().copied()) {
                record.predict(best)?;
            }
        }
        Ok(())
    })?;
    record.finish();
    record.predict(best)
}

/// Answers a request that fits the model.
pub(crate) fn predict(
    weights: &Weights,
    masks: &Masks,
    request: &mut PredictRequest<'_>,
    tracker: &Tracker<'_>,
) -> Result<()> {
    weights.decoder()?;
    predict::clear(request);
    let plain = Plain::new(weights, masks, tracker)?;
    let text = request.examples.text;
    let mut losses = Losses::new(request.token_losses.is_some());
    let mut add = |outputs: Vec<f32>, targets: &[Target]| {
        if targets.is_empty() {
            return Ok(());
        }
        let ids: Vec<u32> = targets.iter().map(|target| target.id).collect();
        let outputs = Tensor::from_vec(outputs, (targets.len(), plain.sizes.last()), plain.network.device());
        let found = outputs.and_then(|outputs| plain.network.losses(&outputs, &ids)).map_err(failed)?;
        targets.iter().zip(found).for_each(|(&target, loss)| losses.add(target, f64::from(loss)));
        Ok(())
    };
    let carried: Option<&mut Carried> = request.state.as_deref_mut().map(Opaque::get_mut).transpose()?;
    let stream = [0, text.ids.len() as u64];
    let is_stream = carried.is_some();
    let offsets = if is_stream { &stream[..] } else { text.offsets };
    if let Some(carried) = &carried
        && let (Some(last), Some(&id)) = (carried.of(plain.sizes)?.last_output(), text.ids.first())
    {
        add(last.to_vec(), &[Target { token: 0, document: predict::document_of(text, 0), id }])?;
    }
    plain.read(Text { offsets, ..text }, carried, |(document, from), tokens| {
        // A token is predicted from the one before, if that is of its document.
        let (start, end) = (offsets[document] as usize + from + 1, offsets[document + 1] as usize);
        let target = |token: usize| {
            let document = if is_stream { predict::document_of(text, token) } else { document };
            Target { token, document, id: text.ids[token] }
        };
        let targets: Vec<Target> = (start..end).take(tokens.len()).map(target).collect();
        let last = plain.sizes.passes() - 1;
        add(tokens[..targets.len()].iter().flat_map(|passes| &passes[last].hidden).copied().collect(), &targets)
    })?;
    losses.write(request);
    Ok(())
}

/// Reads a text for a head over labels, into a sink.
pub(crate) fn read<S: Sink>(
    weights: &Weights,
    masks: &Masks,
    labels: Labels,
    text: Text<'_>,
    tracker: &Tracker<'_>,
    new_sink: impl Fn() -> S + Sync,
) -> Result<S> {
    let plain = Plain::new(weights, masks, tracker)?;
    let mut gatherer = Gatherer::new(plain.sizes, labels, text, &new_sink);
    plain.read(text, None, |(document, from), tokens| {
        for (position, passes) in (from..).zip(tokens) {
            let last = &passes[plain.sizes.passes() - 1].hidden;
            gatherer.add((document, position), last.iter().copied())?;
        }
        Ok(())
    })?;
    let mut sink = gatherer.finish()?;
    features::of_empty(labels, plain.sizes, text, &mut sink)?;
    Ok(sink)
}

/// Of features `[rows, features]` the logarithms of all labels' probabilities, `[rows, labels]`.
pub(crate) fn log_probabilities(weights: &Weights, features: &[f32]) -> Result<Vec<f32>> {
    let (_, weight, bias) = weights.classifier()?;
    let width = weight.dim(1).map_err(failed)?;
    let logarithms = || {
        let features = Tensor::from_slice(features, (features.len() / width, width), &Device::Cpu)?;
        Network::labels(&weight.detach(), &bias.detach(), &features)?.flatten_all()?.to_vec1::<f32>()
    };
    logarithms().map_err(failed)
}

/// What a pass gave at a token.
struct Values {
    hidden: Vec<f32>,
    cell: Vec<f32>,
}

impl Values {
    /// 0, the outputs; 1, the cell.
    fn of(&self, site: usize) -> &[f32] {
        if site == 0 { &self.hidden } else { &self.cell }
    }
}

/// What the passes gave at each of some tokens: `[tokens][passes]`.
type Tokens = Vec<Vec<Values>>;

struct Plain<'a> {
    network: Network,
    sizes: Sizes,
    tracker: &'a Tracker<'a>,
}

impl<'a> Plain<'a> {
    fn new(weights: &Weights, masks: &Masks, tracker: &'a Tracker<'a>) -> Result<Self> {
        let network = Network::reading(weights, masks, &Device::Cpu).map_err(failed)?;
        Ok(Self { network, sizes: weights.sizes, tracker })
    }

    /// Reads documents side by side, each from an empty state; or with a state that is carried a text that is one document. `each`
    /// is given up to [`STEPS`] tokens of a document at a time: its number and that of the first token in it, and
    /// `[tokens][passes]` what they gave.
    fn read(
        &self,
        text: Text<'_>,
        carried: Option<&mut Carried>,
        each: impl FnMut((usize, usize), &[Vec<Values>]) -> Result<()>,
    ) -> Result<()> {
        match carried {
            None if self.sizes.bidirectional => self.read_whole(text, each),
            None => self.read_from(text, None, each),
            Some(carried) => carried.read(self.sizes, text, |values| self.read_from(text, Some(values), each)),
        }
    }

    /// The same in one direction; of a state its values, `[layers]` h, and an LSTM's c.
    fn read_from(
        &self,
        text: Text<'_>,
        mut carry: Option<&mut [f32]>,
        mut each: impl FnMut((usize, usize), &[Vec<Values>]) -> Result<()>,
    ) -> Result<()> {
        for lanes in by_length(text).chunks(LANES) {
            let mut states = self.states(carry.as_deref()).map_err(failed)?;
            for from in (0..lanes[0].1.len()).step_by(STEPS) {
                let part = |ids: &&[u32]| ids.len().saturating_sub(from).min(STEPS);
                let parts: Vec<&[u32]> =
                    lanes.iter().map(|(_, ids)| &ids[ids.len().min(from)..][..part(ids)]).collect();
                let read;
                (read, states) = self.window(&parts, states).map_err(failed)?;
                for ((document, _), tokens) in lanes.iter().zip(&read).filter(|(_, tokens)| !tokens.is_empty()) {
                    each((*document, from), tokens)?;
                }
                self.tracker.advance(parts.iter().map(|part| part.len() as u64).sum())?;
            }
            if let Some(carry) = carry.as_deref_mut() {
                self.keep(&states, carry).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The same in both directions, for which all that the passes gave is held of documents that are read side by side.
    fn read_whole(
        &self,
        text: Text<'_>,
        mut each: impl FnMut((usize, usize), &[Vec<Values>]) -> Result<()>,
    ) -> Result<()> {
        let documents = by_length(text);
        let (long, short) = documents.split_at(documents.partition_point(|(_, ids)| ids.len() >= LONG));
        for (lanes, width) in
            long.chunks(2).map(|lanes| (lanes, 2)).chain(short.chunks(LANES).map(|lanes| (lanes, LANES)))
        {
            let longest = lanes[0].1.len();
            let values = self.sizes.embedding + self.sizes.passes() * self.sizes.state() * 2;
            let bytes = (longest * width) as u128 * values as u128 * size_of::<f32>() as u128;
            memory::check("", &format!("reading a document of {longest} tokens in both directions"), bytes)?;
            let ids: Vec<&[u32]> = lanes.iter().map(|(_, ids)| *ids).collect();
            let passes = self.both_ways(&ids, longest, width)?;
            for from in (0..longest).step_by(STEPS) {
                let parts: Vec<usize> = ids.iter().map(|ids| ids.len().saturating_sub(from).min(STEPS)).collect();
                let states: Vec<Vec<State>> =
                    passes.iter().map(|states| states[from..longest.min(from + STEPS)].to_vec()).collect();
                let read = values_of(&parts, &states).map_err(failed)?;
                for ((document, _), tokens) in lanes.iter().zip(&read).filter(|(_, tokens)| !tokens.is_empty()) {
                    each((*document, from), tokens)?;
                }
            }
            self.tracker.advance(ids.iter().map(|ids| ids.len() as u64).sum())?;
        }
        Ok(())
    }

    /// `[passes][steps]`: the states in both directions, those of the reverse passes in the order of the text, too.
    fn both_ways(&self, ids: &[&[u32]], steps: usize, width: usize) -> Result<Vec<Vec<State>>> {
        let id = |row: usize| ids.get(row % width).and_then(|ids| ids.get(row / width)).copied().unwrap_or(0);
        let turned = |row: usize| {
            let (step, lane) = (row / width, row % width);
            // What follows a lane's end stays where it is: a lane read from its end does not meet it.
            let from_end = ids.get(lane).and_then(|ids| ids.len().checked_sub(step + 1));
            (from_end.unwrap_or(step) * width + lane) as u32
        };
        let (ids, turned): (Vec<u32>, Vec<u32>) = (0..steps * width).map(|row| (id(row), turned(row))).unzip();
        let order = Tensor::from_slice(&turned, turned.len(), self.network.device()).map_err(failed)?;
        let mut x = self.network.embed(&ids).map_err(failed)?;
        let mut passes: Vec<Vec<State>> = Vec::new();
        for (pass, empty) in self.network.zeros(width).map_err(failed)?.into_iter().enumerate() {
            let (layer, is_reverse) = self.sizes.pass(pass);
            let input = if is_reverse { x.index_select(&order, 0).map_err(failed)? } else { x.clone() };
            let (mut state, mut states) = (empty, Vec::new());
            for from in (0..steps).step_by(STEPS) {
                let rows = (steps - from).min(STEPS) * width;
                let part =
                    input.narrow(0, from * width, rows).and_then(|part| self.network.pass(pass, &part, &[], state));
                states.extend(part.map_err(failed)?);
                state = states[states.len() - 1].clone();
                self.tracker.advance(0)?;
            }
            if is_reverse {
                states = self.turned(&states, &order, width).map_err(failed)?;
            }
            passes.push(states);
            if is_reverse && layer + 1 < self.sizes.layers {
                let [forward, reverse] = [&passes[pass - 1], &passes[pass]].map(|states| {
                    let hidden: Vec<&Tensor> = states.iter().map(|state| &state.hidden).collect();
                    Tensor::cat(&hidden, 0)
                });
                x = Tensor::cat(&[forward.map_err(failed)?, reverse.map_err(failed)?], 1).map_err(failed)?;
            }
        }
        Ok(passes)
    }

    /// The states of a pass, each lane's in another order.
    fn turned(&self, states: &[State], order: &Tensor, width: usize) -> candle_core::Result<Vec<State>> {
        let turned = |of: Vec<&Tensor>| Tensor::cat(&of, 0)?.index_select(order, 0);
        let hidden = turned(states.iter().map(|state| &state.hidden).collect())?;
        let cell = match self.sizes.cell {
            Cell::Lstm => Some(turned(states.iter().filter_map(|state| state.cell.as_ref()).collect())?),
            Cell::Gru => None,
        };
        let at = |step: usize| {
            let of = |all: &Tensor| all.narrow(0, step * width, width);
            Ok(State { hidden: of(&hidden)?, cell: cell.as_ref().map(of).transpose()? })
        };
        (0..states.len()).map(at).collect()
    }

    /// Empty states, or with the one that is carried in the first lane.
    fn states(&self, carry: Option<&[f32]>) -> candle_core::Result<Vec<State>> {
        let of_lane = |values: &[f32]| {
            let mut all = vec![0.0; LANES * values.len()];
            all[..values.len()].copy_from_slice(values);
            all
        };
        let Some(carry) = carry else { return self.network.zeros(LANES) };
        let state = |of: &[f32]| {
            let (hidden, cell) = of.split_at(self.sizes.output());
            self.network.state(LANES, &of_lane(hidden), &of_lane(cell))
        };
        carry.chunks_exact(self.sizes.state()).map(state).collect()
    }

    /// Copies the state of the first lane out.
    fn keep(&self, states: &[State], carry: &mut [f32]) -> candle_core::Result<()> {
        let mut carry = carry;
        for part in states.iter().flat_map(|state| std::iter::once(&state.hidden).chain(&state.cell)) {
            let values = part.narrow(0, 0, 1)?.flatten_all()?.to_vec1::<f32>()?;
            if let Some(out) = carry.split_off_mut(..values.len()) {
                out.copy_from_slice(&values);
            }
        }
        Ok(())
    }

    /// Some steps of up to [`LANES`] documents: what each lane gave, and the states after them. Lanes without a token read
    /// on over nothing, which counts for nothing.
    fn window(&self, parts: &[&[u32]], before: Vec<State>) -> candle_core::Result<(Vec<Tokens>, Vec<State>)> {
        let steps = parts.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let id = |lane: usize, step: usize| parts.get(lane).and_then(|ids| ids.get(step)).copied().unwrap_or(0);
        let ids: Vec<u32> = (0..steps * LANES).map(|row| id(row % LANES, row / LANES)).collect();
        let (_, states) = self.network.run(&ids, &vec![false; ids.len()], before, &mut |x, _| Ok(x))?;
        let lengths: Vec<usize> = parts.iter().map(|ids| ids.len()).collect();
        let read = values_of(&lengths, &states)?;
        Ok((read, states.into_iter().filter_map(|mut states| states.pop()).collect()))
    }
}

/// Documents with tokens by their numbers, the longest first, so that those side by side are of like length.
fn by_length(text: Text<'_>) -> Vec<(usize, &[u32])> {
    let mut documents: Vec<(usize, &[u32])> =
        (0..text.len()).map(|d| (d, text.document(d))).filter(|(_, ids)| !ids.is_empty()).collect();
    documents.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
    documents
}

/// What each lane gave in its first tokens (`[lanes]`: how many), of states `[passes][steps]`.
fn values_of(lengths: &[usize], states: &[Vec<State>]) -> candle_core::Result<Vec<Tokens>> {
    let mut read: Vec<Tokens> = lengths.iter().map(|&length| (0..length).map(|_| Vec::new()).collect()).collect();
    for states in states {
        for (step, State { hidden, cell }) in states.iter().enumerate() {
            let hidden = hidden.to_vec2::<f32>()?;
            let mut cells = cell.as_ref().map(Tensor::to_vec2::<f32>).transpose()?.unwrap_or_default().into_iter();
            for (lane, hidden) in hidden.into_iter().enumerate() {
                let cell = cells.next().unwrap_or_default();
                if let Some(values) = read.get_mut(lane).and_then(|lane| lane.get_mut(step)) {
                    values.push(Values { hidden, cell });
                }
            }
        }
    }
    Ok(read)
}
