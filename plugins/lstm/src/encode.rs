//! Reading documents into the activations that record rules keep.

use std::collections::HashMap;

use rayon::prelude::*;
use txray_plugin::{Block, Emit, EncodeRequest, Error, ExactSum, Result, Rule, Sign, SiteRequest, Task, Text};

use crate::cpu::lanes::{Network, Observer, Step, Tail, plan};
use crate::cpu::layer::Moments;
use crate::cpu::workspace::STRIPS;
use crate::decoder::Decoder;
use crate::labels::{Pool, Pooling};
use crate::predict::Rows;
use crate::state::Carried;
use crate::tracker::Tracker;
use crate::weights::{Parameters, Sizes};

/// Observations after which a block of them is emitted.
const BLOCK: usize = 1 << 14;

/// Answers a request that fits the model, on the current thread pool.
pub(crate) fn encode(network: Network<'_>, request: &mut EncodeRequest<'_>, tracker: &Tracker<'_>) -> Result<()> {
    // The state of every layer is carried, even of those above the sites that are asked for; and predictions are made of
    // the last.
    let layers = match request.state.is_some() || request.predictions.is_some() {
        true => network.weights.sizes.layers,
        false => request.sites.iter().map(|s| s.site / network.sites + 1).max().unwrap_or(0),
    };
    if layers == 0 {
        return Ok(());
    }
    let network = Network { layers, ..network };
    let text = request.text;
    let documents: Vec<&[u32]> = (0..text.len()).map(|d| text.document(d)).collect();
    let lengths: Vec<usize> = documents.iter().map(|d| d.len()).collect();
    let EncodeRequest { state, sites, predictions, emit, .. } = request;
    let predictions = match predictions {
        Some((task, predictions)) => Some((&mut **predictions, Running::new(*task, network.weights)?)),
        None => None,
    };
    let mut outputs = Outputs::split(sites, predictions, &lengths, network.sites);
    let alone = |mut tail: Tail, mut unit: Unit<'_>| {
        network.prepared.spare_alone.lend(|alone| {
            network.read_alone(alone, &documents, &mut tail, &mut unit, tracker)?;
            unit.finish()?;
            Ok((alone.moments(), tail.state))
        })
    };
    // [part][layer][site]
    let parts: Vec<Vec<Vec<Moments>>> = match state {
        None => {
            let units: Vec<_> = plan(&lengths, STRIPS * 16)
                .into_iter()
                .map(|lanes| {
                    let record = outputs.record(lanes.iter().flatten().copied(), text.offsets, *emit);
                    (lanes, record)
                })
                .collect();
            // Taken one at a time: of larger shares, a thread that is done could take nothing over from the others.
            units
                .into_par_iter()
                .with_max_len(1)
                .map(|(lanes, record)| {
                    let mut unit = Unit { record, network, tracker };
                    let (tails, moments) = network.prepared.spare.lend(|workspace| {
                        let tails = network.read(workspace, &documents, &lanes, &mut unit, tracker)?;
                        unit.finish()?;
                        Ok((tails, workspace.moments()))
                    })?;
                    let units: Vec<Unit<'_>> = tails.iter().map(|tail| unit.split(&tail.documents)).collect();
                    let tails = tails.into_par_iter().zip(units).with_max_len(1);
                    let tails = tails.map(|(tail, unit)| Ok(alone(tail, unit)?.0));
                    tails.chain([Ok(moments)]).collect::<Result<Vec<_>>>()
                })
                .collect::<Result<Vec<_>>>()?
                .concat()
        }
        Some(state) => {
            let carried: &mut Carried = state.get_mut()?;
            let record = outputs.record(0..documents.len(), text.offsets, *emit);
            let moments = carried.read(network.weights.sizes, text, |values| {
                let tail = network.stream((0..documents.len()).collect(), values);
                let (moments, state) = alone(tail, Unit { record, network, tracker })?;
                values.copy_from_slice(&state);
                Ok(moments)
            });
            vec![moments?]
        }
    };
    for (wanted, moments) in outputs.wanted.iter().zip(&mut outputs.moments) {
        for part in &parts {
            for (total, part) in moments.iter_mut().zip(&part[wanted.layer][wanted.site]) {
                total.iter_mut().zip(part).for_each(|(total, part)| *total += *part);
            }
        }
    }
    Ok(())
}

/// What is wanted of a site.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub layer: usize,
    /// Of the layer: its outputs, or its cell.
    pub site: usize,
    keep: Keep,
    sign: Sign,
}

/// A record rule, without the place for what it keeps.
#[derive(Clone, Copy)]
enum Keep {
    Top(usize),
    Above(f32),
    All,
}

/// Where the observations and predictions of one document go.
#[derive(Default)]
struct Output<'a> {
    /// `[sites]`: `[tokens, k]` each, of rules that do not emit.
    top: Vec<(&'a mut [u32], &'a mut [f32])>,
    /// `[tokens]`, or empty.
    predictions: &'a mut [u32],
}

/// The outputs of a request, cut at its documents.
pub(crate) struct Outputs<'a> {
    /// `[sites]`
    pub wanted: Vec<Wanted>,
    /// `[sites]`: where the moments are added up.
    pub moments: Vec<[&'a mut [ExactSum]; 3]>,
    /// `[documents]`
    documents: Vec<Output<'a>>,
    /// What predictions are made of; none: nobody asks.
    running: Option<Running>,
}

/// What a model's own prediction at a token is made of: the last output there, or what a classifier reads of all tokens so far.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// `pooling` of outputs so wide, of a classifier.
    pooled: Option<(Pooling, usize)>,
    /// By document.
    pools: HashMap<usize, Pool>,
}

impl Running {
    /// For a task that the model predicts.
    pub fn new<T>(task: Task, weights: &Parameters<T>) -> Result<Self> {
        let pooled = match task {
            Task::LanguageModel => weights.decoder().map(|_| None)?,
            _ => weights.classifier().map(|(labels, ..)| labels.pooling.map(|of| (of, weights.sizes.last())))?,
        };
        Ok(Self { pooled, pools: HashMap::new() })
    }

    /// That of some of the documents alone, from here on.
    fn split(&mut self, documents: &[usize]) -> Self {
        let pools = documents.iter().filter_map(|document| self.pools.remove_entry(document)).collect();
        Self { pooled: self.pooled, pools }
    }
}

impl<'a> Outputs<'a> {
    /// `of_a_layer`: how many sites a layer has.
    pub fn split(
        sites: &'a mut [SiteRequest<'_>],
        predictions: Option<(&'a mut [u32], Running)>,
        lengths: &[usize],
        of_a_layer: usize,
    ) -> Self {
        let (mut predictions, running) = predictions.unzip();
        let mut outputs = Self {
            wanted: Vec::new(),
            moments: Vec::new(),
            documents: lengths.iter().map(|_| Output::default()).collect(),
            running,
        };
        for SiteRequest { site, rule, sign, sum, sum_abs, sum_sq } in sites {
            let (keep, mut neurons, mut activations): (_, &mut [u32], &mut [f32]) = match rule {
                Rule::Top { k, neurons, activations } => (Keep::Top(*k), neurons, activations),
                Rule::Above(threshold) => (Keep::Above(*threshold), &mut [], &mut []),
                Rule::All => (Keep::All, &mut [], &mut []),
            };
            let k = if let Keep::Top(k) = keep { k } else { 0 };
            for (output, length) in outputs.documents.iter_mut().zip(lengths) {
                output.top.push((
                    neurons.split_off_mut(..length * k).unwrap_or_default(),
                    activations.split_off_mut(..length * k).unwrap_or_default(),
                ));
            }
            outputs.wanted.push(Wanted { layer: *site / of_a_layer, site: *site % of_a_layer, keep, sign: *sign });
            outputs.moments.push([sum, sum_abs, sum_sq]);
        }
        if let Some(predictions) = &mut predictions {
            for (output, length) in outputs.documents.iter_mut().zip(lengths) {
                output.predictions = predictions.split_off_mut(..*length).unwrap_or_default();
            }
        }
        outputs
    }

    /// For some of the documents, each given away once. `offsets` `[documents + 1]`: which tokens are theirs.
    pub fn record(
        &mut self,
        documents: impl Iterator<Item = usize>,
        offsets: &'a [u64],
        emit: &'a Emit<'a>,
    ) -> Record<'a> {
        Record {
            wanted: self.wanted.clone(),
            outputs: documents.map(|d| (d, std::mem::take(&mut self.documents[d]))).collect(),
            offsets,
            blocks: self.wanted.iter().map(|_| Columns::default()).collect(),
            emit,
            ranked: Vec::new(),
            running: self.running.clone(),
            rows: Rows::new(),
        }
    }
}

/// Observations that are still to be emitted.
#[derive(Default)]
struct Columns {
    token: Vec<u32>,
    neuron: Vec<u32>,
    activation: Vec<f32>,
}

impl Columns {
    fn emit(&mut self, request: usize, emit: &Emit<'_>) {
        if !self.token.is_empty() {
            emit(&Block { request, token: &self.token, neuron: &self.neuron, activation: &self.activation });
            self.token.clear();
            self.neuron.clear();
            self.activation.clear();
        }
    }
}

/// Keeps what the record rules say of each token, and what the model predicts there.
pub(crate) struct Record<'a> {
    wanted: Vec<Wanted>,
    /// By document.
    outputs: HashMap<usize, Output<'a>>,
    offsets: &'a [u64],
    /// `[sites]`
    blocks: Vec<Columns>,
    emit: &'a Emit<'a>,
    /// Room for [`top_k`], kept from token to token.
    ranked: Vec<(u32, f32)>,
    /// What predictions are made of; none: nobody asks.
    running: Option<Running>,
    /// That of tokens (document, position) that are still to be predicted at.
    rows: Rows<(usize, usize)>,
}

impl Record<'_> {
    /// One token. `top` gives of a wanted site (its layer, and which of that) the most active neuron where it is known
    /// already, `column` the values of all.
    pub fn token<C: Iterator<Item = f32>>(
        &mut self,
        (document, position): (usize, usize),
        top: impl Fn(usize, usize) -> Option<(u32, f32)>,
        column: impl Fn(usize, usize) -> C,
    ) {
        let Some(output) = self.outputs.get_mut(&document) else { return };
        for (request, (&Wanted { layer, site, keep, sign }, (neurons, activations))) in
            self.wanted.iter().zip(&mut output.top).enumerate()
        {
            if let Keep::Top(k) = keep {
                let at = position * k..(position + 1) * k;
                let known = if k == 1 && sign == Sign::Positive { top(layer, site) } else { None };
                if let Some(known) = known {
                    (neurons[at.start], activations[at.start]) = known;
                } else {
                    let (neurons, activations) = (&mut neurons[at.clone()], &mut activations[at]);
                    top_k(column(layer, site), sign, &mut self.ranked, neurons, activations);
                }
                continue;
            }
            let (columns, token) = (&mut self.blocks[request], self.offsets[document] as u32 + position as u32);
            match keep {
                Keep::Top(_) => {}
                Keep::Above(threshold) => {
                    let above = (0..).zip(column(layer, site)).filter(|(_, h)| sign.strength(*h) > threshold);
                    for (neuron, h) in above {
                        columns.token.push(token);
                        columns.neuron.push(neuron);
                        columns.activation.push(h);
                    }
                }
                Keep::All => {
                    columns.activation.extend(column(layer, site));
                    let width = (columns.activation.len() - columns.token.len()) as u32;
                    columns.token.extend(std::iter::repeat_n(token, width as usize));
                    columns.neuron.extend(0..width);
                }
            }
            if columns.token.len() >= BLOCK {
                columns.emit(request, self.emit);
            }
        }
    }

    /// A record of some of the documents alone, from here on.
    fn split(&mut self, documents: &[usize]) -> Self {
        Self {
            wanted: self.wanted.clone(),
            outputs: documents.iter().filter_map(|document| self.outputs.remove_entry(document)).collect(),
            offsets: self.offsets,
            blocks: self.wanted.iter().map(|_| Columns::default()).collect(),
            emit: self.emit,
            ranked: Vec::new(),
            running: self.running.as_mut().map(|running| running.split(documents)),
            rows: Rows::new(),
        }
    }

    /// Adds the last output at a token, if predictions are asked for; true: enough of them for [`Record::predict`].
    pub fn push(&mut self, (document, position): (usize, usize), last: impl Iterator<Item = f32>) -> bool {
        let Some(Running { pooled, pools }) = &mut self.running else { return false };
        match pooled {
            None => self.rows.push(last, (document, position)),
            Some((pooling, width)) => {
                let pool = pools.entry(document).or_insert_with(|| Pool::new(*pooling, *width));
                pool.add(last.collect::<Vec<f32>>().into_iter());
                self.rows.push(pool.features(), (document, position));
                if self.outputs.get(&document).is_some_and(|output| position + 1 == output.predictions.len()) {
                    pools.remove(&document);
                }
            }
        }
        self.rows.is_full()
    }

    /// Predicts at the tokens that were pushed, by the best of `[rows, hidden]` outputs, or of features.
    pub fn predict(&mut self, best: impl FnOnce(&[f32], usize) -> Result<Vec<u32>>) -> Result<()> {
        self.rows.take(|hidden, places| {
            for (&(document, position), predicted) in places.iter().zip(best(hidden, places.len())?) {
                if let Some(output) = self.outputs.get_mut(&document) {
                    output.predictions[position] = predicted;
                }
            }
            Ok(())
        })
    }

    /// Emits what is left.
    pub fn finish(&mut self) {
        self.blocks.iter_mut().enumerate().for_each(|(request, columns)| columns.emit(request, self.emit));
    }
}

/// A unit of lanes, or one of them alone, recorded.
struct Unit<'a> {
    record: Record<'a>,
    network: Network<'a>,
    tracker: &'a Tracker<'a>,
}

impl Unit<'_> {
    fn split(&mut self, documents: &[usize]) -> Self {
        Self { record: self.record.split(documents), network: self.network, tracker: self.tracker }
    }

    fn predict(&mut self) -> Result<()> {
        let Self { record, network, tracker } = self;
        record.predict(|hidden, _| {
            let decoder = match network.weights.sizes.labels {
                Some(_) => Decoder::of_labels(network.weights)?,
                None => Decoder::of(network.weights)?,
            };
            decoder.best(hidden, tracker)
        })
    }

    fn finish(&mut self) -> Result<()> {
        self.record.finish();
        self.predict()
    }
}

impl Observer for Unit<'_> {
    fn observe(&mut self, step: &impl Step) -> Result<()> {
        let last = self.network.layers - 1;
        for (lane, cursor) in step.cursors().iter().enumerate() {
            let Some(at) = *cursor else { continue };
            let top = |layer: usize, site: usize| Some(step.top(layer, site, lane));
            self.record.token(at, top, |layer: usize, site| step.column(layer, site, lane));
            if self.record.push(at, step.column(last, 0, lane)) {
                self.predict()?;
            }
        }
        Ok(())
    }
}

/// Writes the strongest neurons in falling order, ties by the lower index: `[k]` each, `k` no more than the width.
///
/// They are selected before they are sorted, so that the time is that of one pass over the width and a sort of `k`.
pub(crate) fn top_k(
    values: impl Iterator<Item = f32>,
    sign: Sign,
    ranked: &mut Vec<(u32, f32)>,
    neurons: &mut [u32],
    activations: &mut [f32],
) {
    let strength = |of: &(u32, f32)| sign.strength(of.1);
    let order = |a: &(u32, f32), b: &(u32, f32)| strength(b).total_cmp(&strength(a)).then(a.0.cmp(&b.0));
    ranked.clear();
    ranked.extend((0..).zip(values));
    if neurons.len() < ranked.len() {
        ranked.select_nth_unstable_by(neurons.len(), order);
        ranked.truncate(neurons.len());
    }
    ranked.sort_unstable_by(order);
    for ((neuron, activation), &best) in neurons.iter_mut().zip(activations).zip(&*ranked) {
        (*neuron, *activation) = best;
    }
}

/// Refuses text with token ids that the model does not have.
pub(crate) fn check_text(text: Text<'_>, sizes: Sizes) -> Result<()> {
    if text.is_consistent(sizes.vocabulary) {
        return Ok(());
    }
    match text.ids.iter().position(|&id| id as usize >= sizes.vocabulary) {
        Some(i) => Err(Error::invalid(format!(
            "token {i} has id {}, but the model's vocabulary ends at {}; was the text tokenized for another model?",
            text.ids[i],
            sizes.vocabulary - 1
        ))),
        None => Err(Error::failed("the document offsets do not cut the tokens")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// For every `k` up to the width, against a stable sort of all. The values are few, so that many are ties.
        #[test]
        fn the_top_k_are_the_first_k_of_all_sorted(
            values in prop::collection::vec(prop::sample::select(&[-1.5, -0.5, -0.0, 0.0, 0.25, 1.0, 2.0][..]), 1..130),
            sign in prop_oneof![Just(Sign::Positive), Just(Sign::Negative), Just(Sign::Absolute)],
        ) {
            let mut all: Vec<(u32, f32)> = (0..).zip(values.iter().copied()).collect();
            all.sort_by(|a, b| sign.strength(b.1).partial_cmp(&sign.strength(a.1)).unwrap());
            let mut ranked = Vec::new();
            for k in 1..=values.len() {
                let (mut neurons, mut activations) = (vec![u32::MAX; k], vec![f32::NAN; k]);
                top_k(values.iter().copied(), sign, &mut ranked, &mut neurons, &mut activations);
                let bits = |(neuron, activation): (u32, f32)| (neuron, activation.to_bits());
                let found = neurons.into_iter().zip(activations).map(bits);
                prop_assert!(found.eq(all[..k].iter().copied().map(bits)), "k = {k}");
            }
        }
    }
}
