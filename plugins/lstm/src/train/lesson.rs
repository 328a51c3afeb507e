//! Documents with labels, and the order in which a training for them reads them.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use txray_plugin::random::Stream;
use txray_plugin::{Error, Examples, Host, Level, NULL, OwnedText, Result, TrainRequest};

use super::recurrence::Steps;
use crate::labels::Labels;
use crate::options::TrainOptions;

/// Steps whose documents are sorted by length together. Those of a step are of like length then, and yet others in every epoch.
const POOL: usize = 64;
/// The most documents that a thread reads side by side: those of a step are shared out in equal shares of no more.
const LANES: usize = 16;

/// The documents that a training for labels reads.
#[derive(Debug)]
pub(crate) struct Lesson {
    pub labels: Labels,
    text: OwnedText,
    /// `[documents]` or `[tokens]`
    targets: Vec<u32>,
    /// `[labels]`: how much each counts.
    weights: Vec<f32>,
    batch: usize,
    seed: u64,
}

impl Lesson {
    /// Of a request's documents those that have a label, cut where the options say so. What was left out is told to the host.
    ///
    /// # Errors
    /// There is no label in it, or the class weights do not fit.
    pub fn new(host: &Host<'_>, request: &TrainRequest<'_>, labels: Labels, options: &TrainOptions) -> Result<Self> {
        let Examples { text, targets } = request.train;
        let most = options.max_length.unwrap_or(usize::MAX);
        let mut lesson = Self {
            labels,
            text: OwnedText { ids: Vec::new(), offsets: vec![0] },
            targets: Vec::new(),
            weights: Vec::new(),
            batch: options.batch,
            seed: request.seed,
        };
        let (mut cut, mut left_out, mut unlabelled) = (0, 0, 0_usize);
        for document in 0..text.len() {
            let ids = text.document(document);
            let kept = &ids[..ids.len().min(most)];
            let first = text.offsets[document] as usize;
            let targets = match labels.pooling {
                Some(_) => &targets[document..=document],
                None => &targets[first..first + kept.len()],
            };
            if targets.iter().all(|&target| target == NULL) {
                unlabelled += 1;
                continue;
            }
            cut += usize::from(kept.len() < ids.len());
            left_out += ids.len() - kept.len();
            lesson.text.ids.extend(kept);
            lesson.text.offsets.push(lesson.text.ids.len() as u64);
            lesson.targets.extend(targets);
        }
        if lesson.text.text().is_empty() {
            return Err(Error::invalid("no training document has a label"));
        }
        let (documents, tokens) = (lesson.text.text().len(), lesson.text.ids.len());
        if cut > 0 {
            let what = format!(
                "{cut} of {documents} training documents are cut to {most} tokens, which leaves {left_out} of {} out",
                tokens + left_out
            );
            host.log(Level::Information, &what);
        }
        if unlabelled > 0 {
            host.log(Level::Information, &format!("{unlabelled} training documents have no label, and are left out"));
        }
        let mut counts = vec![0; labels.classes];
        lesson.targets.iter().filter(|&&target| target != NULL).for_each(|&target| counts[target as usize] += 1);
        let missing: Vec<String> = (0..labels.classes).filter(|&k| counts[k] == 0).map(|k| k.to_string()).collect();
        if !missing.is_empty() {
            let what = format!("of the labels 0 to {}, none is {} in training", labels.classes - 1, missing.join(", "));
            host.log(Level::Warning, &what);
        }
        lesson.weights = match &options.class_weights {
            Some(weights) => weights.of(&counts)?,
            None => vec![1.0; labels.classes],
        };
        Ok(lesson)
    }

    /// Its documents with their labels.
    pub fn examples(&self) -> Examples<'_> {
        Examples { text: self.text.text(), targets: &self.targets }
    }

    /// Tokens that an epoch reads.
    pub fn tokens(&self) -> usize {
        self.text.ids.len()
    }

    /// Optimizer steps of an epoch.
    pub fn steps(&self) -> usize {
        self.text.text().len().div_ceil(self.batch)
    }

    /// The most tokens that a step reads.
    pub fn rows(&self) -> usize {
        let mut lengths = self.lengths();
        lengths.sort_unstable_by_key(|&length| Reverse(length));
        lengths.iter().take(self.batch).sum()
    }

    fn lengths(&self) -> Vec<usize> {
        self.text.offsets.windows(2).map(|at| (at[1] - at[0]) as usize).collect()
    }

    /// `[steps][documents]`: what the steps of an epoch read. It depends on the seed, the epoch and the lengths alone.
    pub fn order(&self, epoch: u64) -> Vec<Vec<usize>> {
        let lengths = self.lengths();
        let mut stream = Stream::new(self.seed, "order", epoch);
        let mut documents: Vec<usize> = (0..lengths.len()).collect();
        stream.shuffle(&mut documents);
        for pool in documents.chunks_mut(self.batch.saturating_mul(POOL)) {
            pool.sort_by_key(|&document| Reverse(lengths[document]));
        }
        let mut steps: Vec<Vec<usize>> = documents.chunks(self.batch).map(<[_]>::to_vec).collect();
        stream.shuffle(&mut steps);
        steps
    }

    /// The documents of a step in shares, each for one thread. How many there are depends on their number alone.
    pub(super) fn shares(&self, documents: &[usize]) -> Vec<Share> {
        let mut sorted = documents.to_vec();
        sorted.sort_by_key(|&document| (Reverse(self.text.text().document(document).len()), document));
        let count = sorted.len().div_ceil(LANES).next_power_of_two();
        let of = |share: usize| sorted.iter().skip(share).step_by(count).copied().collect::<Vec<usize>>();
        (0..count)
            .map(of)
            .filter(|documents| !documents.is_empty())
            .map(|documents| Share::new(self, documents))
            .collect()
    }

    /// The sum of what the labels of some documents count.
    pub fn weight(&self, documents: &[usize]) -> f64 {
        let of =
            |&document: &usize| self.labels_of(document).map(|(_, target)| f64::from(self.weights[target as usize]));
        documents.iter().flat_map(of).sum()
    }

    /// How many labels some documents have.
    pub fn count(&self, documents: &[usize]) -> u64 {
        documents.iter().map(|&document| self.labels_of(document).count() as u64).sum()
    }

    /// Tokens of some documents.
    pub fn tokens_of(&self, documents: &[usize]) -> usize {
        documents.iter().map(|&document| self.text.text().document(document).len()).sum()
    }

    /// How much each of some labels counts.
    pub fn weights_of(&self, targets: &[u32]) -> Vec<f32> {
        targets.iter().map(|&target| self.weights[target as usize]).collect()
    }

    /// The labels of a document, each with its position: 0 for that of the document.
    pub fn labels_of(&self, document: usize) -> impl Iterator<Item = (usize, u32)> {
        let tokens = self.text.offsets[document] as usize..self.text.offsets[document + 1] as usize;
        let range: Range<usize> = if self.labels.pooling.is_some() { document..document + 1 } else { tokens };
        self.targets[range].iter().copied().enumerate().filter(|(_, target)| *target != NULL)
    }
}

/// Documents that are read side by side, the longest first: time-major, and without any padding, because those that have ended
/// are behind those that go on.
#[derive(Debug)]
pub(super) struct Share {
    pub documents: Vec<usize>,
    /// `[documents]`
    pub lengths: Vec<usize>,
    /// `[longest + 1]`
    pub steps: Steps,
    /// `[rows]`
    pub ids: Vec<u32>,
}

impl Share {
    /// `documents` are in falling order of their lengths.
    fn new(lesson: &Lesson, documents: Vec<usize>) -> Self {
        let texts: Vec<&[u32]> = documents.iter().map(|&document| lesson.text.text().document(document)).collect();
        let longest = texts.first().map_or(0, |ids| ids.len());
        let (mut ids, mut steps) = (Vec::new(), vec![0]);
        for step in 0..longest {
            ids.extend(texts.iter().map_while(|ids| ids.get(step)));
            steps.push(ids.len());
        }
        Self { lengths: texts.iter().map(|ids| ids.len()).collect(), documents, steps: Arc::new(steps), ids }
    }

    /// The row of a document, by its lane, at a position of it.
    pub fn row(&self, lane: usize, position: usize) -> usize {
        self.steps[position] + lane
    }

    /// `[labels]` the rows of tokens with labels, and these.
    pub fn labelled(&self, lesson: &Lesson) -> (Vec<u32>, Vec<u32>) {
        let of = |(lane, &document): (usize, &usize)| {
            lesson.labels_of(document).map(move |(position, target)| (self.row(lane, position) as u32, target))
        };
        self.documents.iter().enumerate().flat_map(of).unzip()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use txray_plugin::{Task, Text};

    use super::*;
    use crate::labels::Pooling;

    /// Of documents of these lengths; every fifth label is missing.
    pub fn lesson(lengths: &[usize], task: Task, options: &TrainOptions, seed: u64) -> Result<Lesson> {
        let offsets: Vec<u64> = std::iter::once(0)
            .chain(lengths.iter().scan(0, |end, &n| {
                Some({
                    *end += n as u64;
                    *end
                })
            }))
            .collect();
        let ids: Vec<u32> = (0..*offsets.last().unwrap() as u32).map(|i| i % 17 * i % 17).collect();
        let count = if task == Task::Tagging { ids.len() } else { lengths.len() };
        let targets: Vec<u32> = (0..count as u32).map(|i| if i % 5 == 4 { NULL } else { i % 3 }).collect();
        let train = Examples { text: Text { ids: &ids, offsets: &offsets }, targets: &targets };
        let request = TrainRequest { task, classes: 3, train, valid: None, seed };
        Lesson::new(&Host::detached(), &request, Labels::new(task, 3, Pooling::Last)?, options)
    }

    proptest! {
        /// Each document once an epoch, others beside it in another epoch; shares without padding hold every token once.
        #[test]
        fn an_epoch_reads_every_document_once(
            lengths in prop::collection::vec(0..9_usize, 1..70),
            batch in 1..40_usize,
            seed in any::<u64>(),
        ) {
            let options = TrainOptions { batch, ..TrainOptions::default() };
            let Ok(lesson) = lesson(&lengths, Task::Classification, &options, seed) else { return Ok(()) };
            let documents = lesson.examples().text.len();
            for epoch in [0, 7] {
                let order = lesson.order(epoch);
                prop_assert_eq!(order.len(), lesson.steps());
                prop_assert_eq!(&order, &lesson.order(epoch));
                let mut all = order.concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..documents).collect::<Vec<_>>());
                for step in &order {
                    let shares = lesson.shares(step);
                    let mut shared: Vec<usize> = shares.iter().flat_map(|share| share.documents.clone()).collect();
                    shared.sort_unstable();
                    let mut step = step.clone();
                    step.sort_unstable();
                    prop_assert_eq!(shared, step);
                    for share in &shares {
                        prop_assert!(share.documents.len() <= LANES && share.lengths.is_sorted_by(|a, b| a >= b));
                        prop_assert_eq!(share.ids.len(), share.lengths.iter().sum::<usize>());
                        for (lane, &document) in share.documents.iter().enumerate() {
                            for (position, &id) in lesson.examples().text.document(document).iter().enumerate() {
                                prop_assert_eq!(share.ids[share.row(lane, position)], id);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn documents_of_a_step_are_of_like_length() {
        let lengths: Vec<usize> = (0..1000).map(|d| d * 7919 % 400).collect();
        let options = TrainOptions { batch: 10, ..TrainOptions::default() };
        let lesson = lesson(&lengths, Task::Classification, &options, 1).unwrap();
        let spread = |step: &Vec<usize>| {
            let lengths = || step.iter().map(|&document| lesson.examples().text.document(document).len());
            lengths().max().unwrap() - lengths().min().unwrap()
        };
        assert!(lesson.order(0).iter().map(spread).sum::<usize>() < lesson.steps() * 20);
        assert_ne!(lesson.order(0), lesson.order(1));
    }

    #[test]
    fn documents_are_cut_and_those_without_a_label_left_out() {
        let options = TrainOptions { max_length: Some(3), batch: 2, ..TrainOptions::default() };
        let classified = lesson(&[5, 0, 2, 3, 4], Task::Classification, &options, 1).unwrap();
        assert_eq!(classified.examples().text.offsets, [0, 3, 3, 5, 8]);
        assert_eq!(classified.examples().targets, [0, 1, 2, 0]);
        assert_eq!((classified.tokens(), classified.steps(), classified.rows()), (8, 2, 6));
        // Of tokens 0 to 13 the labels 4 and 9 are missing, and the second document has no token.
        let tagged = lesson(&[5, 0, 2, 3, 4], Task::Tagging, &options, 1).unwrap();
        assert_eq!(tagged.examples().text.offsets, [0, 3, 5, 8, 11]);
        assert_eq!(tagged.examples().targets, [0, 1, 2, 2, 0, 1, 2, NULL, 1, 2, 0]);
        assert_eq!(tagged.count(&[2]), 2);
        assert!(lesson(&[0, 0], Task::Tagging, &options, 1).unwrap_err().message().contains("no training document"));
    }
}
