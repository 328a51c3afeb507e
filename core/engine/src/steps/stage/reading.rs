//! The engine's own source of activations: a model over a corpus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use txray_plugin::{
    ActivationBatch, ActivationSource, EncodeRequest, Error, ExactSum, Fault, Host, HostServices, LayerColumn, Level,
    Model, ModelDescription, Moments, NULL, Opaque, Result, Site, SiteRequest, SourceDescription, State, StringTable,
    Text,
};
use txray_text::{Annotation, Counts, Document, Documents, Encoded, Tokenizer, join, words};

use crate::error::Error as EngineError;

/// Words that a batch holds before it is read: enough for the model to fill its lanes, and a bound on memory.
const WINDOW: usize = 1 << 17;

/// How a [`ModelSource`] reads.
pub struct Reading<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The text.
    pub documents: Documents<'a>,
    /// The layers of features.
    pub layers: Vec<String>,
    /// Neurons recorded of each token at each site.
    pub k: usize,
    /// What happens to the state at document starts.
    pub state: State,
    /// About how many tokens there are, for progress.
    pub expected: u64,
}

/// A model over a corpus, in bounded windows of documents.
pub struct ModelSource<'a> {
    reading: Reading<'a>,
    description: ModelDescription,
    forms: Arc<StringTable>,
    /// The state that is carried, where it is.
    carried: Option<Opaque>,
    counts: Counts,
    /// Time spent in the tokenizer and in the corpus.
    pub tokenize: Duration,
    /// What the corpus or the tokenizer failed with: a source's own error is a message alone.
    pub failed: Option<EngineError>,
}

impl<'a> ModelSource<'a> {
    /// A source over a model that has weights.
    pub fn new(reading: Reading<'a>, host: &Host<'_>) -> Result<Self> {
        let description = reading.model.describe()?;
        let forms = Arc::new(reading.tokenizer.forms().iter().collect());
        let carried = match reading.state {
            State::Reset => None,
            State::Carry => Some(state(reading.model, host, None)?),
        };
        let counts = Counts::default();
        Ok(Self { reading, description, forms, carried, counts, tokenize: Duration::ZERO, failed: None })
    }

    /// What the tokens so far have read of the text.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Keeps an error that is not the model's, and stops the reading.
    fn stop(&mut self, error: impl Into<EngineError>) -> Error {
        let error = error.into();
        let stopped = Error::invalid(error.to_string());
        self.failed = Some(error);
        stopped
    }

    /// The next documents, as many as fill a window.
    fn window(&mut self) -> Result<Vec<Document>> {
        let mut window = Vec::new();
        let mut size = 0;
        while size < WINDOW {
            let Some(document) = self.reading.documents.next() else { break };
            let document = document.map_err(|error| self.stop(error))?;
            size += document.text.split_whitespace().count() + 1;
            window.push(document);
        }
        Ok(window)
    }

    /// The error of a window with the document that it is about: the first that gives it alone. A model knows of a
    /// document only where it stands among those it was given.
    fn name(&self, error: Error, documents: &[Document], encoded: &Encoded, mut before: Option<Opaque>) -> Error {
        if error.fault() != Fault::Invalid {
            return error;
        }
        let mut fails = |index: usize| {
            let at = encoded.offsets[index] as usize..encoded.offsets[index + 1] as usize;
            let offsets = [0, at.len() as u64];
            let text = Text { ids: &encoded.ids[at], offsets: &offsets };
            let Reading { model, k, .. } = self.reading;
            read(model, &self.description.sites, k, &Host::detached(), text, before.as_mut()).is_err()
        };
        match (0..documents.len()).find(|&index| fails(index)) {
            Some(index) => {
                let message = format!("in document {}, {}", documents[index].id, error.message());
                Error::new(error.fault(), error.pointer(), message)
            }
            None => error,
        }
    }

    fn layer(&self, name: &str, documents: &[Document], encoded: &Encoded) -> LayerColumn {
        if name == "token" {
            let names = Arc::clone(&self.forms);
            return LayerColumn { name: name.to_owned(), features: encoded.ids.clone(), names, unjoined: 0 };
        }
        let mut names = Names::default();
        let mut features = Vec::with_capacity(encoded.ids.len());
        let mut unjoined = 0;
        for (index, document) in documents.iter().enumerate() {
            let at = encoded.offsets[index] as usize..encoded.offsets[index + 1] as usize;
            let (starts, ends) = (&encoded.starts[at.clone()], &encoded.ends[at]);
            if name == "label" {
                let label = document.label.as_deref().map(|label| names.number(label));
                // Special tokens have a null span and no annotation, that of their document included.
                features.extend(starts.iter().map(|&start| label.filter(|_| start != NULL).unwrap_or(NULL)));
                unjoined += if label.is_none() { starts.iter().filter(|&&s| s != NULL).count() as u64 } else { 0 };
                continue;
            }
            let found: Annotation;
            let spans = match name {
                "word" => {
                    found = words(&document.text);
                    &found.spans[..]
                }
                _ => document.annotations.iter().find(|a| &*a.layer == name).map_or(&[][..], |a| &a.spans),
            };
            let joined = join(starts, ends, spans);
            features.extend(joined.spans.iter().map(|span| span.map_or(NULL, |span| names.number(&span.value))));
            unjoined += joined.unjoined;
        }
        LayerColumn { name: name.to_owned(), features, names: Arc::new(names.table), unjoined }
    }
}

/// What a model recorded of a text, by site.
struct Observed {
    /// `[tokens, k]` each.
    neurons: Vec<Vec<u32>>,
    /// `[tokens, k]` each.
    activations: Vec<Vec<f32>>,
    moments: Vec<Moments>,
}

/// Reads every site of a model over a text.
fn read(
    model: &dyn Model,
    sites: &[Site],
    k: usize,
    host: &Host<'_>,
    text: Text<'_>,
    state: Option<&mut Opaque>,
) -> Result<Observed> {
    let encode = model.as_encode().ok_or_else(|| Error::failed("it can no longer be read"))?;
    let rows = text.ids.len() * k;
    let sums = |width| vec![ExactSum::ZERO; width];
    let zeros = |width| Moments { sum: sums(width), sum_abs: sums(width), sum_sq: sums(width) };
    let mut observed = Observed {
        neurons: vec![vec![0; rows]; sites.len()],
        activations: vec![vec![0.0; rows]; sites.len()],
        moments: sites.iter().map(|site| zeros(site.width)).collect(),
    };
    let columns = observed.neurons.iter_mut().zip(&mut observed.activations).zip(&mut observed.moments);
    let sites = columns.enumerate().map(|(site, ((neurons, activations), Moments { sum, sum_abs, sum_sq }))| {
        SiteRequest::top(site, k, (neurons, activations), [sum, sum_abs, sum_sq])
    });
    encode.encode(host, &mut EncodeRequest { state, sites: sites.collect(), ..EncodeRequest::new(text) })?;
    Ok(observed)
}

/// A state of a model that has read nothing, or a copy of one.
fn state(model: &dyn Model, host: &Host<'_>, from: Option<&Opaque>) -> Result<Opaque> {
    let carry = model.as_carry().ok_or_else(|| Error::failed("it has no state to carry"))?;
    carry.state(host, from)
}

/// Numbers names as they come.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
    table: StringTable,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.table.push(name) as u32;
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

impl ActivationSource for ModelSource<'_> {
    fn describe(&self) -> Result<SourceDescription> {
        Ok(SourceDescription { sites: self.description.sites.clone(), layers: self.reading.layers.clone() })
    }

    fn next(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>> {
        let start = Instant::now();
        let documents = self.window()?;
        if documents.is_empty() {
            return Ok(None);
        }
        let tokenizer = self.reading.tokenizer;
        let mut encoded = tokenizer.encode(&documents).map_err(|error| self.stop(error))?;
        let layers = self.reading.layers.iter().map(|name| self.layer(name, &documents, &encoded)).collect();
        let text = Text { ids: &encoded.ids, offsets: &encoded.offsets };
        if let Some((document, length)) = text.too_long(self.description.longest_context) {
            let (id, longest) = (documents[document].id, self.description.longest_context.unwrap_or(0));
            let message = format!("in document {id}, there are {length} tokens, and the model reads {longest} at most");
            return Err(Error::invalid(message));
        }
        let tokens = encoded.ids.len();
        self.tokenize += start.elapsed();

        let k = self.reading.k;
        // What a window was begun with: should it fail, the document that it failed at is found from there.
        let copy = |carried| state(self.reading.model, host, Some(carried));
        let before = self.carried.as_ref().map(copy).transpose()?;
        let progress = Onward { host, done: self.counts.tokens, total: self.reading.expected };
        let sites = &self.description.sites;
        let read = read(self.reading.model, sites, k, &Host::new(&progress), text, self.carried.as_mut());
        let Observed { neurons, activations, moments } =
            read.map_err(|error| self.name(error, &documents, &encoded, before))?;
        self.counts += encoded.counts;
        host.progress(self.counts.tokens, self.reading.expected.max(self.counts.tokens), "");
        stand_in_file(&documents, &mut encoded);

        let mut batch = ActivationBatch {
            documents: documents.iter().map(|document| document.id).collect(),
            groups: groups(&documents),
            offsets: encoded.offsets,
            starts: encoded.starts,
            ends: encoded.ends,
            unknown: encoded.counts.unknown,
            lines: documents.iter().map(|document| document.line.unwrap_or(0)).collect(),
            characters: encoded.counts.characters,
            dropped: encoded.counts.dropped,
            dropped_documents: encoded.counts.dropped_documents,
            layers,
            moments,
            ..ActivationBatch::default()
        };
        let rows = tokens * neurons.len() * k;
        batch.token.reserve(rows);
        batch.site.reserve(rows);
        batch.neuron.reserve(rows);
        batch.activation.reserve(rows);
        for token in 0..tokens {
            for (site, (neurons, activations)) in neurons.iter().zip(&activations).enumerate() {
                let at = token * k..(token + 1) * k;
                batch.token.extend(std::iter::repeat_n(token as u32, k));
                batch.site.extend(std::iter::repeat_n(site as u32, k));
                batch.neuron.extend_from_slice(&neurons[at.clone()]);
                batch.activation.extend_from_slice(&activations[at]);
            }
        }
        Ok(Some(batch))
    }
}

/// Moves tokens to where they stand in their lines or fields, where white space may come before a document's text.
fn stand_in_file(documents: &[Document], encoded: &mut Encoded) {
    for (document, at) in documents.iter().zip(encoded.offsets.windows(2)) {
        let at = at[0] as usize..at[1] as usize;
        let places = encoded.starts[at.clone()].iter_mut().chain(&mut encoded.ends[at]);
        places.filter(|place| **place != NULL).for_each(|place| *place += document.indent);
    }
}

fn groups(documents: &[Document]) -> StringTable {
    if documents.iter().all(|document| document.group.is_none()) {
        return StringTable::new();
    }
    documents.iter().map(|document| document.group.as_deref().unwrap_or_default()).collect()
}

/// A host that counts on from what earlier windows have done.
struct Onward<'a> {
    host: &'a Host<'a>,
    done: u64,
    total: u64,
}

impl HostServices for Onward<'_> {
    fn threads(&self) -> usize {
        self.host.threads()
    }
    fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }
    fn progress(&self, done: u64, _: u64, message: &str) {
        let done = self.done + done;
        self.host.progress(done, self.total.max(done), message);
    }
    fn cancelled(&self) -> bool {
        self.host.cancelled()
    }
}

#[cfg(test)]
mod tests;
