//! The likelihood of documents.

use std::collections::BTreeMap;

use rayon::prelude::*;
use txray_plugin::{PredictRequest, Result, State, Text};

use crate::cpu::lanes::{Network, Observer, Step, Tail, plan};
use crate::cpu::workspace::STRIPS;
use crate::decoder::Decoder;
use crate::state::Carried;
use crate::tracker::Tracker;

/// Tokens that are gathered for one product with the decoder.
const ROWS: usize = 256;

/// Whether any token of the text can be predicted, because it follows another.
pub(crate) fn is_predictable(text: Text<'_>, state: State) -> bool {
    match state {
        State::Reset => (0..text.len()).any(|d| text.document(d).len() > 1),
        State::Carry => text.ids.len() > 1,
    }
}

/// The outputs of the last layer at some tokens, as many as are worth a product with the decoder.
pub(crate) struct Rows<T> {
    /// `[rows, hidden]`
    hidden: Vec<f32>,
    /// `[rows]`: what each is for.
    tags: Vec<T>,
}

impl<T> Rows<T> {
    pub fn new() -> Self {
        Self { hidden: Vec::new(), tags: Vec::new() }
    }

    pub fn push(&mut self, hidden: impl Iterator<Item = f32>, tag: T) {
        self.hidden.extend(hidden);
        self.tags.push(tag);
    }

    pub fn is_full(&self) -> bool {
        self.tags.len() >= ROWS
    }

    /// Gives all of them away, if there are any.
    pub fn take(&mut self, with: impl FnOnce(&[f32], &[T]) -> Result<()>) -> Result<()> {
        if !self.tags.is_empty() {
            with(&self.hidden, &self.tags)?;
            self.hidden.clear();
            self.tags.clear();
        }
        Ok(())
    }
}

/// A token that is predicted: its number in the text, its document, its id.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub token: usize,
    pub document: usize,
    pub id: u32,
}

/// The losses of tokens, added up by document in the order of their tokens.
pub(crate) struct Losses {
    documents: BTreeMap<usize, (f64, u64)>,
    /// Of each token, if they are asked for.
    tokens: Option<Vec<(usize, f32)>>,
}

impl Losses {
    pub fn new(of_tokens: bool) -> Self {
        Self { documents: BTreeMap::new(), tokens: of_tokens.then(Vec::new) }
    }

    pub fn add(&mut self, target: Target, loss: f64) {
        let (sum, count) = self.documents.entry(target.document).or_default();
        (*sum, *count) = (*sum + loss, *count + 1);
        self.tokens.iter_mut().for_each(|tokens| tokens.push((target.token, loss as f32)));
    }

    /// Those of some documents, which are added up elsewhere from here on.
    fn split(&mut self, documents: &[usize]) -> Self {
        let of = documents.iter().filter_map(|document| self.documents.remove_entry(document)).collect();
        Self { documents: of, ..Self::new(self.tokens.is_some()) }
    }

    /// Writes them where a request wants them, which holds nothing yet of their documents.
    pub fn write(&self, request: &mut PredictRequest<'_>) {
        for (&document, &(loss, count)) in &self.documents {
            (request.losses[document], request.counts[document]) = (loss, count);
        }
        if let (Some(out), Some(tokens)) = (&mut request.token_losses, &self.tokens) {
            tokens.iter().for_each(|&(token, loss)| out[token] = loss);
        }
    }
}

/// Nothing is predicted yet.
pub(crate) fn clear(request: &mut PredictRequest<'_>) {
    request.losses.fill(0.0);
    request.counts.fill(0);
    request.token_losses.iter_mut().for_each(|losses| losses.fill(f32::NAN));
}

/// The document that a token is in.
pub(crate) fn document_of(text: Text<'_>, token: usize) -> usize {
    text.offsets.partition_point(|&offset| offset as usize <= token) - 1
}

/// Answers a request that fits the model, on the current thread pool.
pub(crate) fn predict(network: Network<'_>, request: &mut PredictRequest<'_>, tracker: &Tracker<'_>) -> Result<()> {
    clear(request);
    let text = request.examples.text;
    let decoder = Decoder::of(network.weights)?;
    let likelihood = |documents| Likelihood {
        last: network.layers - 1,
        decoder,
        text,
        documents,
        rows: Rows::new(),
        losses: Losses::new(request.token_losses.is_some()),
        tracker,
    };
    let parts: Vec<Losses> = match request.state.as_deref_mut() {
        None => {
            let documents = documents_of(text);
            read_documents(network, &documents, tracker, || likelihood(Some(&documents)))?
        }
        Some(state) => {
            let carried: &mut Carried = state.get_mut()?;
            let sizes = network.weights.sizes;
            let mut likelihood = likelihood(None);
            if let (Some(last), Some(&id)) = (carried.of(sizes)?.last_output(), text.ids.first()) {
                likelihood.push(last.iter().copied(), Target { token: 0, document: document_of(text, 0), id })?;
            }
            let losses = carried.read(sizes, text, |values| {
                network.prepared.spare_alone.lend(|alone| {
                    let mut tail = network.stream(vec![0], values);
                    network.read_alone(alone, &[text.ids], &mut tail, &mut likelihood, tracker)?;
                    values.copy_from_slice(&tail.state);
                    likelihood.finish()
                })
            });
            vec![losses?]
        }
    };
    parts.iter().for_each(|losses| losses.write(request));
    Ok(())
}

/// The documents of a text.
pub(crate) fn documents_of(text: Text<'_>) -> Vec<&[u32]> {
    (0..text.len()).map(|document| text.document(document)).collect()
}

/// Takes what it wants of the documents of a unit, or of those of a lane that goes on alone.
pub(crate) trait Unit: Observer + Send + Sized {
    /// What it comes to.
    type Out: Send;
    /// Another for some of the documents, from here on.
    fn split(&mut self, documents: &[usize]) -> Result<Self>;
    /// All documents are read.
    fn finish(self) -> Result<Self::Out>;
}

/// Reads documents, each from an empty state, on the current thread pool, each unit with an observer of its own.
pub(crate) fn read_documents<U: Unit>(
    network: Network<'_>,
    documents: &[&[u32]],
    tracker: &Tracker<'_>,
    unit: impl Fn() -> U + Sync,
) -> Result<Vec<U::Out>> {
    let lengths: Vec<usize> = documents.iter().map(|document| document.len()).collect();
    let read = |lanes: Vec<Vec<usize>>| {
        let mut unit = unit();
        let spare = &network.prepared.spare;
        let tails = spare.lend(|workspace| network.read(workspace, documents, &lanes, &mut unit, tracker))?;
        let of_tail = |tail: Tail| Ok((unit.split(&tail.documents)?, tail));
        let tails: Vec<(U, Tail)> = tails.into_iter().map(of_tail).collect::<Result<_>>()?;
        let tails = tails.into_par_iter().with_max_len(1).map(|(mut unit, mut tail)| {
            let spare = &network.prepared.spare_alone;
            spare.lend(|alone| network.read_alone(alone, documents, &mut tail, &mut unit, tracker))?;
            unit.finish()
        });
        let tails = tails.collect::<Result<Vec<_>>>()?;
        Ok(tails.into_iter().chain([unit.finish()?]).collect::<Vec<_>>())
    };
    // Taken one at a time: of larger shares, a thread that is done could take nothing over from the others.
    let units = plan(&lengths, STRIPS * 16).into_par_iter().with_max_len(1).map(read);
    Ok(units.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Gathers the outputs of the last layer with the tokens that follow them, and adds up their likelihoods.
struct Likelihood<'a> {
    /// The last layer.
    last: usize,
    decoder: Decoder<'a>,
    text: Text<'a>,
    /// None: the text is one stream.
    documents: Option<&'a [&'a [u32]]>,
    rows: Rows<Target>,
    losses: Losses,
    tracker: &'a Tracker<'a>,
}

impl Likelihood<'_> {
    fn push(&mut self, hidden: impl Iterator<Item = f32>, target: Target) -> Result<()> {
        self.rows.push(hidden, target);
        if self.rows.is_full() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let Self { decoder, rows, losses, tracker, .. } = self;
        rows.take(|hidden, targets| {
            let ids: Vec<u32> = targets.iter().map(|target| target.id).collect();
            let found = decoder.losses(hidden, &ids, tracker)?;
            targets.iter().zip(found).for_each(|(&target, loss)| losses.add(target, loss));
            Ok(())
        })
    }

    /// What follows the token at a position of a document, or of the stream.
    fn following(&self, document: usize, position: usize) -> Option<Target> {
        match self.documents {
            Some(documents) => {
                let id = *documents[document].get(position + 1)?;
                Some(Target { token: self.text.offsets[document] as usize + position + 1, document, id })
            }
            None => {
                let (token, id) = (position + 1, *self.text.ids.get(position + 1)?);
                Some(Target { token, document: document_of(self.text, token), id })
            }
        }
    }
}

impl Unit for Likelihood<'_> {
    type Out = Losses;

    fn split(&mut self, documents: &[usize]) -> Result<Self> {
        self.flush()?;
        let Self { last, decoder, text, documents: all, tracker, .. } = *self;
        Ok(Self {
            last,
            decoder,
            text,
            documents: all,
            rows: Rows::new(),
            losses: self.losses.split(documents),
            tracker,
        })
    }

    fn finish(mut self) -> Result<Losses> {
        self.flush()?;
        Ok(self.losses)
    }
}

impl Observer for Likelihood<'_> {
    fn observe(&mut self, step: &impl Step) -> Result<()> {
        for (lane, cursor) in step.cursors().iter().enumerate() {
            if let Some(target) = cursor.and_then(|(document, position)| self.following(document, position)) {
                self.push(step.column(self.last, 0, lane), target)?;
            }
        }
        Ok(())
    }
}
