//! What a head over labels reads of documents or tokens, and what it tells of them.

use std::collections::HashMap;

use txray_plugin::{Error, Examples, NULL, PredictRequest, Result, Text};

use crate::cpu::lanes::{Network, Observer, Step};
use crate::labels::{Labels, Pool};
use crate::predict::{Rows, Unit, documents_of, read_documents};
use crate::tracker::Tracker;
use crate::weights::Sizes;

/// Takes features `[rows, features]`, and of which document (of a classifier) or token (of a tagger) each row is.
pub(crate) trait Sink: Send {
    fn take(&mut self, features: &[f32], of: &[usize]) -> Result<()>;
}

/// Gathers features while documents are read, and hands them to a sink.
pub(crate) struct Gatherer<'a, S, N> {
    labels: Labels,
    sizes: Sizes,
    text: Text<'a>,
    /// Makes another sink.
    new_sink: &'a N,
    /// Of documents that are not at their end.
    pools: HashMap<usize, Pool>,
    rows: Rows<usize>,
    sink: S,
    /// `[width]`: room for an output.
    output: Vec<f32>,
}

impl<'a, S: Sink, N: Fn() -> S> Gatherer<'a, S, N> {
    pub fn new(sizes: Sizes, labels: Labels, text: Text<'a>, new_sink: &'a N) -> Self {
        Self {
            labels,
            sizes,
            text,
            new_sink,
            pools: HashMap::new(),
            rows: Rows::new(),
            sink: new_sink(),
            output: Vec::new(),
        }
    }

    /// Adds the last layer's output `[width]` at a token.
    pub fn add(&mut self, (document, position): (usize, usize), output: impl Iterator<Item = f32>) -> Result<()> {
        let Some(pooling) = self.labels.pooling else {
            self.rows.push(output, self.text.offsets[document] as usize + position);
            return if self.rows.is_full() { self.flush() } else { Ok(()) };
        };
        let is_last = position + 1 == self.text.document(document).len();
        let pool = self.pools.entry(document).or_insert_with(|| Pool::new(pooling, self.sizes.last()));
        if is_last || !pool.is_of_the_last() {
            self.output.clear();
            self.output.extend(output);
            pool.add(self.output.iter().copied());
        }
        if is_last && let Some(pool) = self.pools.remove(&document) {
            self.rows.push(pool.features(), document);
            if self.rows.is_full() {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let Self { rows, sink, .. } = self;
        rows.take(|features, of| sink.take(features, of))
    }
}

/// Gathers what a classifier reads of documents without a token, which no one reads: zeros.
pub(crate) fn of_empty(labels: Labels, sizes: Sizes, text: Text<'_>, sink: &mut impl Sink) -> Result<()> {
    let empty: Vec<usize> = (0..text.len()).filter(|&document| text.document(document).is_empty()).collect();
    match labels.pooling.is_none() || empty.is_empty() {
        true => Ok(()),
        false => sink.take(&vec![0.0; empty.len() * labels.features(sizes.last())], &empty),
    }
}

impl<S: Sink, N: Fn() -> S + Sync> Unit for Gatherer<'_, S, N> {
    type Out = S;

    fn split(&mut self, documents: &[usize]) -> Result<Self> {
        let pools = documents.iter().filter_map(|document| self.pools.remove_entry(document)).collect();
        let Self { labels, sizes, text, new_sink, .. } = *self;
        let (rows, sink, output) = (Rows::new(), new_sink(), Vec::new());
        Ok(Self { labels, sizes, text, new_sink, pools, rows, sink, output })
    }

    fn finish(mut self) -> Result<S> {
        self.flush()?;
        Ok(self.sink)
    }
}

impl<S: Sink, N: Fn() -> S> Observer for Gatherer<'_, S, N> {
    fn observe(&mut self, step: &impl Step) -> Result<()> {
        for (lane, cursor) in step.cursors().iter().enumerate() {
            if let Some(at) = *cursor {
                self.add(at, step.column(self.sizes.layers - 1, 0, lane))?;
            }
        }
        Ok(())
    }
}

/// Reads a text by the kernels, on the current thread pool, each unit into a sink of its own.
pub(crate) fn read<S: Sink>(
    network: Network<'_>,
    labels: Labels,
    text: Text<'_>,
    tracker: &Tracker<'_>,
    new_sink: impl Fn() -> S + Sync,
) -> Result<Vec<S>> {
    let sizes = network.weights.sizes;
    let unit = || Gatherer::new(sizes, labels, text, &new_sink);
    let mut sinks = read_documents(network, &documents_of(text), tracker, unit)?;
    let mut sink = new_sink();
    of_empty(labels, sizes, text, &mut sink)?;
    sinks.push(sink);
    Ok(sinks)
}

/// Features that are kept: those of all that has a label, by documents.
#[derive(Debug)]
pub(crate) struct Features {
    pub width: usize,
    /// `[documents + 1]` offsets into the rows.
    offsets: Vec<usize>,
    /// `[rows, width]`
    values: Vec<f32>,
    /// `[rows]`
    targets: Vec<u32>,
}

/// The rows that a reading gave.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    values: Vec<f32>,
    of: Vec<usize>,
}

impl Sink for Kept {
    fn take(&mut self, features: &[f32], of: &[usize]) -> Result<()> {
        self.values.extend(features);
        self.of.extend(of);
        Ok(())
    }
}

impl Features {
    /// Puts what was read of examples in their order, and leaves out what has no label.
    pub fn new(labels: Labels, sizes: Sizes, examples: Examples<'_>, kept: &[Kept]) -> Self {
        let width = labels.features(sizes.last());
        let labelled = |of: usize| examples.targets[of] != NULL;
        let mut places: Vec<(usize, &[f32])> = kept
            .iter()
            .flat_map(|kept| kept.of.iter().copied().zip(kept.values.chunks_exact(width)))
            .filter(|(of, _)| labelled(*of))
            .collect();
        places.sort_unstable_by_key(|(of, _)| *of);
        let before = |end: usize| places.partition_point(|(of, _)| *of < end);
        let offsets = match labels.pooling {
            Some(_) => (0..=examples.text.len()).map(before).collect(),
            None => examples.text.offsets.iter().map(|&end| before(end as usize)).collect(),
        };
        Self {
            width,
            offsets,
            targets: places.iter().map(|(of, _)| examples.targets[*of]).collect(),
            values: places.iter().flat_map(|(_, values)| *values).copied().collect(),
        }
    }

    /// Those of some documents, `[rows, width]`, and how many rows that is.
    pub fn of(&self, documents: &[usize]) -> (Vec<f32>, usize) {
        let range = |&document: &usize| self.offsets[document]..self.offsets[document + 1];
        let rows: Vec<usize> = documents.iter().flat_map(range).collect();
        let values = rows.iter().flat_map(|row| &self.values[row * self.width..][..self.width]).copied().collect();
        (values, rows.len())
    }

    /// The mean loss of all, nats, by the logarithms of the labels' probabilities.
    pub fn loss(&self, log_probabilities: &LogProbabilities<'_>) -> Result<f64> {
        let logarithms = log_probabilities(&self.values)?;
        let classes = logarithms.len() / self.targets.len().max(1);
        let of = |(row, &target): (usize, &u32)| f64::from(-logarithms[row * classes + target as usize]);
        Ok(self.targets.iter().enumerate().map(of).sum::<f64>() / self.targets.len() as f64)
    }
}

/// Of features `[rows, features]` the logarithms of all labels' probabilities, `[rows, labels]`.
pub(crate) type LogProbabilities<'a> = dyn Fn(&[f32]) -> Result<Vec<f32>> + Sync + 'a;

/// What a head tells of documents or tokens.
pub(crate) struct Outcomes<'a> {
    log_probabilities: &'a LogProbabilities<'a>,
    /// `[documents]` or `[tokens]`
    targets: &'a [u32],
    keeps_probabilities: bool,
    of: Vec<usize>,
    /// The most probable label of each, the lower index on a tie.
    predicted: Vec<u32>,
    /// NaN where there is no label.
    losses: Vec<f32>,
    /// `[rows, labels]`, if they are kept.
    probabilities: Vec<f32>,
}

impl<'a> Outcomes<'a> {
    /// `targets` are `[documents]` or `[tokens]`.
    pub fn new(targets: &'a [u32], keeps_probabilities: bool, log_probabilities: &'a LogProbabilities<'a>) -> Self {
        Self {
            log_probabilities,
            targets,
            keeps_probabilities,
            of: Vec::new(),
            predicted: Vec::new(),
            losses: Vec::new(),
            probabilities: Vec::new(),
        }
    }
}

impl Sink for Outcomes<'_> {
    fn take(&mut self, features: &[f32], of: &[usize]) -> Result<()> {
        let logarithms = (self.log_probabilities)(features)?;
        let classes = logarithms.len() / of.len().max(1);
        for (&of, row) in of.iter().zip(logarithms.chunks_exact(classes)) {
            let better =
                |best: (u32, f32), (label, &value): (u32, &f32)| if value > best.1 { (label, value) } else { best };
            self.of.push(of);
            self.predicted.push((0..).zip(row).fold((0, f32::NEG_INFINITY), better).0);
            if row.iter().any(|value| !value.is_finite()) {
                let why = "the score of a label is not finite: the weights are too large to compute with";
                return Err(Error::invalid(why));
            }
            let target = self.targets[of];
            self.losses.push(if target == NULL { f32::NAN } else { -row[target as usize] });
        }
        if self.keeps_probabilities {
            self.probabilities.extend(logarithms.iter().map(|logarithm| logarithm.exp()));
        }
        Ok(())
    }
}

/// Writes outcomes where a request wants them: those of all its documents or tokens.
pub(crate) fn write(labels: Labels, outcomes: &[Outcomes<'_>], request: &mut PredictRequest<'_>) {
    crate::predict::clear(request);
    let text = request.examples.text;
    let mut losses = vec![f32::NAN; request.examples.targets.len()];
    for part in outcomes {
        for (row, &of) in part.of.iter().enumerate() {
            losses[of] = part.losses[row];
            request.predicted.iter_mut().for_each(|predicted| predicted[of] = part.predicted[row]);
            if let Some(probabilities) = &mut request.probabilities {
                let classes = labels.classes;
                probabilities[of * classes..][..classes]
                    .copy_from_slice(&part.probabilities[row * classes..][..classes]);
            }
        }
    }
    for document in 0..text.len() {
        let own = match labels.pooling {
            Some(_) => document..document + 1,
            None => text.offsets[document] as usize..text.offsets[document + 1] as usize,
        };
        let counted = || losses[own.clone()].iter().filter(|loss| !loss.is_nan());
        request.losses[document] = counted().map(|&loss| f64::from(loss)).sum();
        request.counts[document] = counted().count() as u64;
    }
    if let (None, Some(out)) = (labels.pooling, &mut request.token_losses) {
        out.copy_from_slice(&losses);
    }
}
