//! Reading and predicting by the plain network: the requests of the fast path, answered without its kernels.

use candle_core::{Device, Tensor};
use txray_plugin::{EncodeRequest, Error, Opaque, PredictRequest, Result, Text};

use crate::encode::Outputs;
use crate::masks::Masks;
use crate::network::{Network, State};
use crate::predict::{self, Losses, Target};
use crate::state::Carried;
use crate::tracker::Tracker;
use crate::weights::{Sizes, Weights, failed};

/// Documents read side by side. Always as many, so that no product depends on how many documents there are.
const LANES: usize = 16;
/// Steps that are read at once: what is held of a document does not grow with it.
const STEPS: usize = 64;

/// Answers a request that fits the model. `sites` of a layer: its outputs, and its cell if that is asked for.
pub(crate) fn encode(
    weights: &Weights,
    masks: &Masks,
    sites: usize,
    request: &mut EncodeRequest<'_>,
    tracker: &Tracker<'_>,
) -> Result<()> {
    if request.predictions.is_some() {
        weights.decoder()?;
    }
    let plain = Plain::new(weights, masks, tracker)?;
    let EncodeRequest { text, state, sites: requests, predictions, emit, .. } = request;
    let text = *text;
    let carried: Option<&mut Carried> = state.as_deref_mut().map(Opaque::get_mut).transpose()?;
    // One stream is read as one document.
    let stream = [0, text.ids.len() as u64];
    let offsets = if carried.is_some() { &stream[..] } else { text.offsets };
    let lengths: Vec<usize> = offsets.windows(2).map(|at| (at[1] - at[0]) as usize).collect();
    let mut outputs = Outputs::split(requests, predictions.as_mut().map(|(_, of)| &mut **of), &lengths, sites);
    let mut record = outputs.record(0..lengths.len(), offsets, *emit);
    let best = |hidden: &[f32], rows: usize| {
        let best = Tensor::from_slice(hidden, (rows, plain.sizes.hidden), plain.network.device());
        best.and_then(|outputs| plain.network.best(&outputs)).map_err(failed)
    };
    plain.read(Text { offsets, ..text }, carried, |(document, from), tokens| {
        for (position, layers) in (from..).zip(tokens) {
            for (wanted, moments) in outputs.wanted.iter().zip(&mut outputs.moments) {
                let values = layers[wanted.layer].of(wanted.site);
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(Error::invalid(format!(
                        "an activation at {} is not finite: the weights are too large to compute with",
                        plain.sizes.cell.site(wanted.layer, wanted.site)
                    )));
                }
                let of: [fn(f64) -> f64; 3] = [|h| h, f64::abs, |h| h * h];
                for (sums, of) in moments.iter_mut().zip(of) {
                    sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += of(f64::from(value)));
                }
            }
            record.token((document, position), |_, _| None, |layer, site| layers[layer].of(site).iter().copied());
            if record.push((document, position), layers[plain.sizes.layers - 1].hidden.iter().copied()) {
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
        let outputs = Tensor::from_vec(outputs, (targets.len(), plain.sizes.hidden), plain.network.device());
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
        let last = plain.sizes.layers - 1;
        add(tokens[..targets.len()].iter().flat_map(|layers| &layers[last].hidden).copied().collect(), &targets)
    })?;
    losses.write(request);
    Ok(())
}

/// What a layer gave at a token.
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

/// What the layers gave at each of some tokens: `[tokens][layers]`.
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

    /// Reads documents side by side, each from an empty state; or with a state that is carried a text that is one document. `each` is given up to [`STEPS`] tokens of a document at a time: its number and that of the
    /// first token in it, and `[tokens][layers]` what they gave.
    fn read(
        &self,
        text: Text<'_>,
        carried: Option<&mut Carried>,
        each: impl FnMut((usize, usize), &[Vec<Values>]) -> Result<()>,
    ) -> Result<()> {
        match carried {
            None => self.read_from(text, None, each),
            Some(carried) => carried.read(self.sizes, text, |values| self.read_from(text, Some(values), each)),
        }
    }

    /// The same; of a state its values, `[layers, h (and c), hidden]`.
    fn read_from(
        &self,
        text: Text<'_>,
        mut carry: Option<&mut [f32]>,
        mut each: impl FnMut((usize, usize), &[Vec<Values>]) -> Result<()>,
    ) -> Result<()> {
        let mut documents: Vec<(usize, &[u32])> = (0..text.len()).map(|d| (d, text.document(d))).collect();
        // The longest first, so that those side by side are of like length.
        documents.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
        for lanes in documents.chunks(LANES) {
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

    /// Empty states, or with the one that is carried in the first lane.
    fn states(&self, carry: Option<&[f32]>) -> candle_core::Result<Vec<State>> {
        let hidden = self.sizes.hidden;
        let of_lane = |values: &[f32]| {
            let mut all = vec![0.0; LANES * hidden];
            all[..values.len()].copy_from_slice(values);
            all
        };
        match carry {
            None => self.network.zeros(LANES),
            Some(carry) => {
                let layers = carry.chunks_exact(self.sizes.cell.state() * hidden);
                let state = |of: &[f32]| self.network.state(LANES, &of_lane(&of[..hidden]), &of_lane(&of[hidden..]));
                layers.map(state).collect()
            }
        }
    }

    /// Copies the state of the first lane out.
    fn keep(&self, states: &[State], carry: &mut [f32]) -> candle_core::Result<()> {
        let parts = states.iter().flat_map(|state| std::iter::once(&state.hidden).chain(&state.cell));
        for (out, part) in carry.chunks_exact_mut(self.sizes.hidden).zip(parts) {
            out.copy_from_slice(&part.narrow(0, 0, 1)?.flatten_all()?.to_vec1::<f32>()?);
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
        let mut read: Vec<Tokens> = parts.iter().map(|ids| ids.iter().map(|_| Vec::new()).collect()).collect();
        for states in &states {
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
        Ok((read, states.into_iter().filter_map(|mut states| states.pop()).collect()))
    }
}
