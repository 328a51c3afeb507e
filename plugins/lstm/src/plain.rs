//! Reading and scoring by the plain network: the requests of the fast path, answered without its kernels.

use candle_core::{Device, Tensor};
use txray_plugin::{EncodeRequest, Error, ExactSum, Result, Score, SiteRequest, Text};

use crate::encode::top_k;
use crate::network::{Network, State};
use crate::tracker::Tracker;
use crate::weights::{Sizes, Weights, failed};

/// Documents read side by side. Always as many, so that no product depends on how many documents there are.
const LANES: usize = 16;
/// Steps of a carried stream that are read at once.
const STEPS: usize = 64;

/// Answers a request that `encode::check` has passed. `sites` of a layer: its outputs, and its cell if that is asked for.
pub(crate) fn encode(
    weights: &Weights,
    sites: usize,
    request: &mut EncodeRequest<'_>,
    tracker: &Tracker<'_>,
) -> Result<()> {
    let plain = Plain { network: Network::new(weights, &Device::Cpu).map_err(failed)?, sizes: weights.sizes };
    let text = request.text;
    match request.carry.as_deref_mut() {
        None => {
            let documents: Vec<usize> = (0..text.len()).filter(|&d| !text.document(d).is_empty()).collect();
            for lanes in by_length(documents, |d| text.document(d).len()).chunks(LANES) {
                let ids: Vec<&[u32]> = lanes.iter().map(|&d| text.document(d)).collect();
                let tokens = plain.read(&ids, None)?;
                for (lane, &document) in lanes.iter().enumerate() {
                    let start = text.offsets[document] as usize;
                    for (position, values) in tokens[lane].iter().enumerate() {
                        record(&mut request.sites, plain.sizes, sites, start + position, values)?;
                    }
                }
                tracker.advance(ids.iter().map(|ids| ids.len() as u64).sum())?;
            }
        }
        Some(carry) => {
            for (chunk, ids) in text.ids.chunks(STEPS).enumerate() {
                let tokens = plain.read(&[ids], Some(carry))?;
                for (position, values) in tokens[0].iter().enumerate() {
                    record(&mut request.sites, plain.sizes, sites, chunk * STEPS + position, values)?;
                }
                tracker.advance(ids.len() as u64)?;
            }
        }
    }
    Ok(())
}

/// The negative log-likelihood of a text; `carry`: it is one stream.
pub(crate) fn score(weights: &Weights, text: Text<'_>, carry: bool, tracker: &Tracker<'_>) -> Result<Score> {
    let plain = Plain { network: Network::new(weights, &Device::Cpu).map_err(failed)?, sizes: weights.sizes };
    let mut total = Score { nll: 0.0, tokens: 0 };
    let last = plain.sizes.layers - 1;
    let mut add = |outputs: Vec<f32>, targets: &[u32]| -> Result<()> {
        if !targets.is_empty() {
            let outputs = Tensor::from_vec(outputs, (targets.len(), plain.sizes.hidden), plain.network.device());
            let loss = outputs.and_then(|outputs| plain.network.loss(&outputs, targets)?.to_scalar::<f32>());
            total.nll += f64::from(loss.map_err(failed)?) * targets.len() as f64;
            total.tokens += targets.len() as u64;
        }
        Ok(())
    };
    if carry {
        let mut state = vec![0.0; plain.sizes.state()];
        for (chunk, ids) in text.ids.chunks(STEPS).enumerate() {
            let tokens = plain.read(&[ids], Some(&mut state))?;
            let following = text.ids.get(chunk * STEPS + 1..).unwrap_or_default();
            let targets = &following[..following.len().min(ids.len())];
            add(tokens[0][..targets.len()].iter().flat_map(|values| values[last].hidden.clone()).collect(), targets)?;
            tracker.advance(ids.len() as u64)?;
        }
    } else {
        let documents: Vec<usize> = (0..text.len()).filter(|&d| !text.document(d).is_empty()).collect();
        for lanes in by_length(documents, |d| text.document(d).len()).chunks(LANES) {
            let ids: Vec<&[u32]> = lanes.iter().map(|&d| text.document(d)).collect();
            let tokens = plain.read(&ids, None)?;
            for (ids, tokens) in ids.iter().zip(tokens) {
                let targets = &ids[1..];
                add(tokens[..targets.len()].iter().flat_map(|values| values[last].hidden.clone()).collect(), targets)?;
                tracker.advance(ids.len() as u64)?;
            }
        }
    }
    Ok(total)
}

/// The longest first; of equal length in their order.
fn by_length(mut documents: Vec<usize>, length: impl Fn(usize) -> usize) -> Vec<usize> {
    documents.sort_by_key(|&document| std::cmp::Reverse(length(document)));
    documents
}

/// What a layer gave at a token.
struct Values {
    hidden: Vec<f32>,
    cell: Vec<f32>,
}

struct Plain {
    network: Network,
    sizes: Sizes,
}

impl Plain {
    /// Reads up to [`LANES`] documents side by side, from empty states, or one from the state that is carried (`[layers, h (and
    /// c), hidden]`). Gives `[lane][position][layer]`. Shorter documents read on over nothing, which counts for nothing.
    fn read(&self, documents: &[&[u32]], carry: Option<&mut [f32]>) -> Result<Vec<Vec<Vec<Values>>>> {
        self.run(documents, carry).map_err(failed)
    }

    fn run(&self, documents: &[&[u32]], carry: Option<&mut [f32]>) -> candle_core::Result<Vec<Vec<Vec<Values>>>> {
        let steps = documents.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let Sizes { hidden, cell, .. } = self.sizes;
        let id = |lane: usize, step: usize| documents.get(lane).and_then(|ids| ids.get(step)).copied().unwrap_or(0);
        let ids: Vec<u32> = (0..steps * LANES).map(|row| id(row % LANES, row / LANES)).collect();
        let mut before = self.network.zeros(LANES)?;
        let size = cell.state() * hidden;
        if let Some(carry) = carry.as_deref() {
            for (state, carried) in before.iter_mut().zip(carry.chunks_exact(size)) {
                let of_lane = |values: &[f32]| {
                    let mut all = vec![0.0; LANES * hidden];
                    all[..values.len()].copy_from_slice(values);
                    all
                };
                *state = self.network.state(LANES, &of_lane(&carried[..hidden]), &of_lane(&carried[hidden..]))?;
            }
        }
        let (_, outputs) = self.network.run(&ids, &vec![false; ids.len()], before, &mut |x, _| Ok(x))?;
        if let Some(carry) = carry {
            for (carried, states) in carry.chunks_exact_mut(size).zip(&outputs.states) {
                if let Some(state) = states.last() {
                    let parts = std::iter::once(&state.hidden).chain(&state.cell);
                    for (out, part) in carried.chunks_exact_mut(hidden).zip(parts) {
                        out.copy_from_slice(&part.narrow(0, 0, 1)?.flatten_all()?.to_vec1::<f32>()?);
                    }
                }
            }
        }
        let mut read: Vec<Vec<Vec<Values>>> =
            documents.iter().map(|ids| ids.iter().map(|_| Vec::new()).collect()).collect();
        for states in &outputs.states {
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
