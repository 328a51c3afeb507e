//! Reading and scoring by the plain network: the requests of the fast path, answered without its kernels.

use candle_core::{Device, Tensor};
use txray_plugin::{EncodeRequest, Error, ExactSum, Result, Score, SiteRequest, Text};

use crate::encode::top_k;
use crate::network::{Network, State};
use crate::tracker::Tracker;
use crate::weights::{Sizes, Weights, failed};

/// Documents read side by side. Always as many, so that no product depends on how many documents there are.
const LANES: usize = 16;
/// Steps that are read at once: what is held of a document does not grow with it.
const STEPS: usize = 64;

/// Answers a request that `encode::check` has passed. `sites` of a layer: its outputs, and its cell if that is asked for.
pub(crate) fn encode(
    weights: &Weights,
    sites: usize,
    request: &mut EncodeRequest<'_>,
    tracker: &Tracker<'_>,
) -> Result<()> {
    let plain = Plain::new(weights, tracker)?;
    let EncodeRequest { text, carry, sites: requests } = request;
    plain.read(*text, carry.as_deref_mut(), |first, tokens| {
        (first..).zip(tokens).try_for_each(|(token, layers)| record(requests, plain.sizes, sites, token, layers))
    })
}

/// The negative log-likelihood of a text; `carry`: it is one stream.
pub(crate) fn score(weights: &Weights, text: Text<'_>, carry: bool, tracker: &Tracker<'_>) -> Result<Score> {
    let plain = Plain::new(weights, tracker)?;
    let mut state = carry.then(|| vec![0.0; plain.sizes.state()]);
    let mut begins = vec![false; text.ids.len() + 1];
    if !carry {
        text.offsets.iter().for_each(|&offset| begins[offset as usize] = true);
    }
    let mut total = Score { nll: 0.0, tokens: 0 };
    plain.read(text, state.as_deref_mut(), |first, tokens| {
        // A token is predicted from the one before, if that is of its document.
        let following = text.ids[first..].iter().zip(&begins[first..]).skip(1).take(tokens.len());
        let targets: Vec<u32> = following.take_while(|(_, begins)| !**begins).map(|(id, _)| *id).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let last = plain.sizes.layers - 1;
        let outputs: Vec<f32> =
            tokens[..targets.len()].iter().flat_map(|layers| &layers[last].hidden).copied().collect();
        let outputs = Tensor::from_vec(outputs, (targets.len(), plain.sizes.hidden), plain.network.device());
        let loss = outputs.and_then(|outputs| plain.network.loss(&outputs, &targets)?.to_scalar::<f32>());
        total.nll += f64::from(loss.map_err(failed)?) * targets.len() as f64;
        total.tokens += targets.len() as u64;
        Ok(())
    })?;
    Ok(total)
}

/// What a layer gave at a token.
struct Values {
    hidden: Vec<f32>,
    cell: Vec<f32>,
}

/// What the layers gave at each of some tokens: `[tokens][layers]`.
type Tokens = Vec<Vec<Values>>;

struct Plain<'a> {
    network: Network,
    sizes: Sizes,
    tracker: &'a Tracker<'a>,
}

impl<'a> Plain<'a> {
    fn new(weights: &Weights, tracker: &'a Tracker<'a>) -> Result<Self> {
        let network = Network::reading(weights, &Device::Cpu).map_err(failed)?;
        Ok(Self { network, sizes: weights.sizes, tracker })
    }

    /// Reads documents side by side, each from an empty state; or with a state that is carried (`[layers, h (and c), hidden]`)
    /// the text as one document. `each` is given up to [`STEPS`] tokens of a document at a time: the number of the first in the
    /// text, and `[tokens][layers]` what they gave.
    fn read(
        &self,
        text: Text<'_>,
        mut carry: Option<&mut [f32]>,
        mut each: impl FnMut(usize, &[Vec<Values>]) -> Result<()>,
    ) -> Result<()> {
        let mut documents: Vec<(usize, &[u32])> = match carry {
            Some(_) => vec![(0, text.ids)],
            None => (0..text.len()).map(|d| (text.offsets[d] as usize, text.document(d))).collect(),
        };
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
                for ((first, _), tokens) in lanes.iter().zip(&read).filter(|(_, tokens)| !tokens.is_empty()) {
                    each(first + from, tokens)?;
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

/// Writes what was asked for of one token.
fn record(requests: &mut [SiteRequest<'_>], sizes: Sizes, sites: usize, token: usize, layers: &[Values]) -> Result<()> {
    let mut ranked = Vec::new();
    for request in requests {
        let (layer, site) = (request.site / sites, request.site % sites);
        let values = if site == 0 { &layers[layer].hidden } else { &layers[layer].cell };
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::invalid(format!(
                "an activation at {} is not finite: the weights are too large to compute with",
                sizes.cell.site(layer, site)
            )));
        }
        let at = token * request.k..(token + 1) * request.k;
        top_k(values.iter().copied(), &mut ranked, &mut request.neurons[at.clone()], &mut request.activations[at]);
        let add = |sums: &mut [ExactSum], of: fn(f64) -> f64| {
            sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += of(f64::from(value)));
        };
        add(request.sum, |h| h);
        add(request.sum_abs, f64::abs);
        add(request.sum_sq, |h| h * h);
    }
    Ok(())
}
