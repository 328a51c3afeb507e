//! The likelihood of a text.

use rayon::prelude::*;
use txray_plugin::{Result, Score, State, Text};

use crate::cpu::lanes::{Network, Observer, plan};
use crate::cpu::layer::LayerLanes;
use crate::cpu::workspace::STRIPS;
use crate::decoder::Decoder;
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

/// The negative log-likelihood of `text`, on the current thread pool.
pub(crate) fn score(network: Network<'_>, text: Text<'_>, state: State, tracker: &Tracker<'_>) -> Result<Score> {
    let weights = network.weights;
    let decoder = Decoder { weight: weights.decoder(), bias: weights.bias, hidden: weights.sizes.hidden };
    let observer = |documents| Likelihood {
        decoder,
        documents,
        hidden: Vec::with_capacity(ROWS * decoder.hidden),
        targets: Vec::with_capacity(ROWS),
        tracker,
        total: Score { nll: 0.0, tokens: 0 },
    };
    let parts = match state {
        State::Reset => {
            let documents: Vec<&[u32]> = (0..text.len()).map(|d| text.document(d)).collect();
            let lengths: Vec<usize> = documents.iter().map(|d| d.len()).collect();
            plan(&lengths, STRIPS * 16)
                .into_par_iter()
                .with_max_len(1)
                .map(|lanes| {
                    network.prepared.spare.lend(|workspace| {
                        let mut likelihood = observer(&documents);
                        network.read(workspace, &documents, &lanes, None, &mut likelihood, tracker)?;
                        likelihood.finish()
                    })
                })
                .collect::<Result<Vec<_>>>()?
        }
        State::Carry => {
            let documents = [text.ids];
            let score = network.prepared.spare_narrow.lend(|workspace| {
                let mut likelihood = observer(&documents);
                network.read(workspace, &documents, &[vec![0]], None, &mut likelihood, tracker)?;
                likelihood.finish()
            });
            vec![score?]
        }
    };
    Ok(parts
        .iter()
        .fold(Score { nll: 0.0, tokens: 0 }, |a, b| Score { nll: a.nll + b.nll, tokens: a.tokens + b.tokens }))
}

/// Gathers the outputs of the last layer with the tokens that follow them, and adds up their likelihoods.
struct Likelihood<'a> {
    decoder: Decoder<'a>,
    documents: &'a [&'a [u32]],
    hidden: Vec<f32>,
    targets: Vec<u32>,
    total: Score,
    tracker: &'a Tracker<'a>,
}

impl Likelihood<'_> {
    fn flush(&mut self) -> Result<()> {
        if !self.targets.is_empty() {
            self.total.nll += self.decoder.nll(&self.hidden, &self.targets, self.tracker)?;
            self.total.tokens += self.targets.len() as u64;
            self.hidden.clear();
            self.targets.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Score> {
        self.flush()?;
        Ok(self.total)
    }
}

impl Observer for Likelihood<'_> {
    fn observe<const P: usize>(&mut self, cursors: &[Option<(usize, usize)>], layers: &[LayerLanes<P>]) -> Result<()> {
        let Some(last) = layers.last() else { return Ok(()) };
        for (lane, cursor) in cursors.iter().enumerate() {
            let Some((document, position)) = *cursor else { continue };
            let Some(&target) = self.documents[document].get(position + 1) else { continue };
            self.hidden.extend(last.column(0, lane));
            self.targets.push(target);
            if self.targets.len() == ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }
}
