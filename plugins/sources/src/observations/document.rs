//! Rows of a document, put in the order of its tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use txray_plugin::{ActivationBatch, LayerColumn, NULL, StringTable};

use super::columns::{Layout, Place};
use super::row::Row;

/// What is wrong in a row, and which.
type Wrong = (u64, String);

/// The rows of one document.
pub(super) struct Document {
    /// Whether rows tell their position; else each is a token of its own.
    has_position: bool,
    doc: u64,
    group: String,
    line: u64,
    observed: Vec<Observed>,
    /// `[rows, layers]`, numbers into `names`.
    features: Vec<u32>,
    names: Names,
}

/// An observation, without its features.
#[derive(Clone, Copy)]
struct Observed {
    /// Where the row stands in the file.
    number: u64,
    position: u32,
    site: u32,
    neuron: u32,
    activation: f32,
    start: u32,
    end: u32,
}

impl Observed {
    /// Where its token stands, for people.
    fn place(&self) -> String {
        match self.start {
            NULL => "nowhere".to_owned(),
            start => format!("{start} to {}", self.end),
        }
    }
}

impl Document {
    pub fn new(has_position: bool) -> Self {
        Self {
            has_position,
            doc: 0,
            group: String::new(),
            line: 0,
            observed: Vec::new(),
            features: Vec::new(),
            names: Names::default(),
        }
    }

    /// Begins another one with what its first row says of it.
    pub fn begin(&mut self, row: &Row) {
        (self.doc, self.line) = (row.doc, row.line);
        self.group.clone_from(&row.group);
        self.observed.clear();
        self.features.clear();
        self.names.clear();
    }

    /// Adds a row.
    ///
    /// # Errors
    /// One that says something else of the document.
    pub fn push(&mut self, row: &Row, site: u32) -> Result<(), String> {
        if row.group != self.group {
            let (found, before) = (row.group.escape_debug(), self.group.escape_debug());
            return Err(format!("document {} is in group `{found}` here, and in `{before}` before", self.doc));
        }
        if row.line != self.line {
            return Err(format!("document {} is of line {} here, and of {} before", self.doc, row.line, self.line));
        }
        // As many as there can be rows: below 2^32.
        let position = if self.has_position { row.position } else { self.observed.len() as u32 };
        let Row { number, neuron, activation, start, end, .. } = *row;
        self.observed.push(Observed { number, position, site, neuron, activation, start, end });
        self.features.extend(row.features.iter().map(|name| self.names.number(name)));
        Ok(())
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.observed.len()
    }

    /// `[layers]`: the features of a row.
    fn features(&self, row: u32, layers: usize) -> &[u32] {
        &self.features[row as usize * layers..][..layers]
    }
}

/// Names of features, numbered in the order in which they come; an empty one is none.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
    names: StringTable,
}

impl Names {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn number(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return NULL;
        }
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.push(name) as u32;
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn get(&self, number: u32) -> Option<&str> {
        self.names.get(number as usize)
    }
}

/// A batch that is being filled with documents.
pub(super) struct Filling {
    batch: ActivationBatch,
    /// `[layers]`
    names: Vec<Names>,
    /// `[layers][tokens]`
    features: Vec<Vec<u32>>,
    layers: Vec<String>,
    /// What a row is called in messages.
    unit: &'static str,
}

impl Filling {
    pub fn new(layout: &Layout, unit: &'static str) -> Self {
        let layers = layout.layers.len();
        Self {
            batch: ActivationBatch { offsets: vec![0], ..ActivationBatch::default() },
            names: (0..layers).map(|_| Names::default()).collect(),
            features: vec![Vec::new(); layers],
            layers: layout.layers.clone(),
            unit,
        }
    }

    pub fn documents(&self) -> usize {
        self.batch.documents.len()
    }

    pub fn rows(&self) -> usize {
        self.batch.token.len()
    }

    /// Adds a document: its rows by position, those of one position as one token.
    ///
    /// # Errors
    /// Rows of one token that contradict each other.
    pub fn add(&mut self, document: &Document, has_group: bool) -> Result<(), Wrong> {
        let observed = &document.observed;
        let mut order: Vec<u32> = (0..observed.len() as u32).collect();
        // Stable: rows of one token stay as they stand.
        order.sort_by_key(|&row| observed[row as usize].position);
        for token in order.chunk_by(|&a, &b| observed[a as usize].position == observed[b as usize].position) {
            self.agree(document, token)?;
            let index = self.batch.starts.len() as u32;
            let Observed { start, end, .. } = observed[token[0] as usize];
            self.batch.starts.push(start);
            self.batch.ends.push(end);
            let features = document.features(token[0], self.layers.len());
            for ((column, names), &feature) in self.features.iter_mut().zip(&mut self.names).zip(features) {
                column.push(document.names.get(feature).map_or(NULL, |name| names.number(name)));
            }
            for &row in token {
                let Observed { site, neuron, activation, .. } = observed[row as usize];
                self.batch.token.push(index);
                self.batch.site.push(site);
                self.batch.neuron.push(neuron);
                self.batch.activation.push(activation);
            }
        }
        self.batch.documents.push(document.doc);
        self.batch.offsets.push(self.batch.starts.len() as u64);
        self.batch.lines.push(document.line);
        if has_group {
            self.batch.groups.push(&document.group);
        }
        Ok(())
    }

    /// Holds the rows of one token to each other.
    fn agree(&self, document: &Document, token: &[u32]) -> Result<(), Wrong> {
        let [first, others @ ..] = token else { return Ok(()) };
        let before = &document.observed[*first as usize];
        let which = format!("position {} of document {}", before.position, document.doc);
        for row in others {
            let here = &document.observed[*row as usize];
            let differs = |what: &str, [here_is, before_is]: [String; 2]| {
                let what =
                    format!("{which} has {what} {here_is} here, and {before_is} in {} {}", self.unit, before.number);
                Err((here.number, what))
            };
            if (here.start, here.end) != (before.start, before.end) {
                return differs("the place", [here, before].map(Observed::place));
            }
            let features = [*row, *first].map(|row| document.features(row, self.layers.len()));
            if let Some(layer) = (0..self.layers.len()).find(|&layer| features[0][layer] != features[1][layer]) {
                let names = features.map(|of| document.names.get(of[layer]));
                let shown =
                    names.map(|name| name.map_or("none".to_owned(), |name| format!("`{}`", name.escape_debug())));
                return differs(&format!("the {}", self.layers[layer]), shown);
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        let mut neurons: Vec<&Observed> = token.iter().map(|&row| &document.observed[row as usize]).collect();
        neurons.sort_by_key(|of| (of.site, of.neuron, of.number));
        match neurons.windows(2).find(|two| (two[0].site, two[0].neuron) == (two[1].site, two[1].neuron)) {
            Some(twice) => {
                let [before, again] = [twice[0], twice[1]];
                let what =
                    format!("neuron {} at {which} is there already, in {} {}", again.neuron, self.unit, before.number);
                Err((again.number, what))
            }
            None => Ok(()),
        }
    }

    /// The batch. Of moments, characters and unknown words a file of observations tells nothing.
    pub fn finish(self, layout: &Layout) -> ActivationBatch {
        let Self { mut batch, names, features, layers, unit: _ } = self;
        let tells_spans = layout.has(Place::Start);
        let columns = layers.into_iter().zip(names).zip(features).map(|((name, names), features)| {
            // A token of no text, such as `<eos>`, lacks nothing; where no spans are told, none is known to be one.
            let is_unjoined = |&(&feature, &start): &(&u32, &u32)| feature == NULL && !(tells_spans && start == NULL);
            let unjoined = features.iter().zip(&batch.starts).filter(is_unjoined).count() as u64;
            LayerColumn { name, features, names: Arc::new(names.names), unjoined }
        });
        let columns = columns.collect();
        batch.layers = columns;
        batch
    }
}

/// Numbers of documents that were there, as stretches without a gap: documents that are counted take no memory.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The first of each stretch, and the last.
    stretches: BTreeMap<u64, u64>,
}

impl Seen {
    /// Whether it was not there yet.
    pub fn insert(&mut self, number: u64) -> bool {
        let before = self.stretches.range(..=number).next_back().map(|(&first, &last)| (first, last));
        let before = match before {
            Some((_, last)) if number <= last => return false,
            // Below `number`, so that 1 can be added.
            Some((first, last)) if last + 1 == number => Some(first),
            _ => None,
        };
        let behind = number.checked_add(1).and_then(|next| self.stretches.remove(&next));
        self.stretches.insert(before.unwrap_or(number), behind.unwrap_or(number));
        true
    }
}
