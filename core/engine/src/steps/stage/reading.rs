//! The engine's own source of activations: a model over a corpus.

use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use rayon::prelude::*;
use txray_method::{BySite, Keeps, Record};
use txray_plugin::{
    ActivationBatch, ActivationSource, Block, EXAMPLES, EncodeRequest, Error, ExactSum, Fault, Host, HostServices,
    LayerColumn, Level, Model, ModelDescription, Moments, NULL, Opaque, Result, Rule, Site, SiteRequest,
    SourceDescription, State, StringTable, Task, Text, Unjoined,
};
use txray_text::{Annotation, Annotator, Counts, Document, Documents, Encoded, Span, Tokenizer, join, words};

use super::layers::{LABEL, POSITION, PREDICTION, Subwords, TOKEN, WORD};
use super::recording::{Recorded, Recording};
use crate::error::Error as EngineError;

/// Words that a batch holds before it is read: enough for the model to fill its lanes, and a bound on memory.
const WINDOW: usize = 1 << 17;

/// Observations that a batch holds, where many are kept of each token: a bound on memory, too. Of a site that comes whole,
/// four activations take no more than one observation.
const OBSERVATIONS: usize = 1 << 22;

/// The most bytes of a text that are taken for one token while a window is filled.
const OF_TOKEN: usize = 16;

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
    /// What gives documents layers that they lack, each with the layer's name.
    pub annotators: Vec<(String, Box<dyn Annotator>)>,
    /// Which tokens have the features of a word.
    pub subwords: Subwords,
    /// What is recorded, and where.
    pub recording: &'a Recording,
    /// What happens to the state at document starts.
    pub state: State,
    /// About how many tokens there are, for progress.
    pub expected: u64,
}

/// A model over a corpus, in bounded windows of documents.
pub struct ModelSource<'a> {
    reading: Reading<'a>,
    description: ModelDescription,
    recorded: Vec<Recorded>,
    /// The sites that are read.
    sites: Vec<Site>,
    forms: Arc<StringTable>,
    /// The state that is carried, where it is.
    carried: Option<Opaque>,
    counts: Counts,
    /// The words of the documents so far, between white space.
    words: u64,
    /// Time spent in the tokenizer and in the corpus.
    pub tokenize: Duration,
    /// What the corpus or the tokenizer failed with: a source's own error is a message alone.
    pub failed: Option<EngineError>,
}

impl<'a> ModelSource<'a> {
    /// A source over a model that has weights.
    ///
    /// # Errors
    /// Those of the model; a recording that is not one of its sites.
    pub fn new(reading: Reading<'a>, host: &Host<'_>) -> Result<Self> {
        let description = reading.model.describe()?;
        let recorded = reading.recording.at(&description.sites).map_err(|(_, what)| Error::invalid(what))?;
        let sites = recorded.iter().map(|&(site, _)| description.sites[site].clone()).collect();
        let forms = Arc::new(reading.tokenizer.forms().iter().collect());
        let carried = match reading.state {
            State::Reset => None,
            State::Carry => Some(state(reading.model, host, None)?),
        };
        let counts = Counts::default();
        Ok(Self {
            reading,
            description,
            recorded,
            sites,
            forms,
            carried,
            counts,
            words: 0,
            tokenize: Duration::ZERO,
            failed: None,
        })
    }

    /// The rule of each site that is read: `[sites]`.
    pub fn rules(&self) -> BySite {
        BySite(self.recorded.iter().map(|&(_, record)| record).collect())
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
        let of_token = self.recorded.iter().zip(&self.sites).map(|((_, record), site)| match record.keeps {
            Keeps::All => site.width.div_ceil(4),
            _ => record.k().unwrap_or(site.width),
        });
        let most = WINDOW.min(OBSERVATIONS / of_token.sum::<usize>().max(1));
        let mut window = Vec::new();
        let mut size = 0;
        // Words have more tokens than one where a tokenizer takes them apart, or a text has no white space: by as many as they
        // had so far, and as a first guess by the characters.
        let of_word = self.counts.tokens.div_ceil(self.words.max(1)).max(1) as usize;
        while size < most.max(1) {
            let Some(document) = self.reading.documents.next() else { break };
            let document = document.map_err(|error| self.stop(error))?;
            let words = document.text.split_whitespace().count() + 1;
            self.words += words as u64;
            size += (words * of_word).max(document.text.len() / OF_TOKEN);
            window.push(document);
        }
        let Reading { annotators, .. } = &self.reading;
        window.par_iter_mut().filter(|_| !annotators.is_empty()).for_each(|document| {
            for (layer, annotator) in annotators {
                let spans = annotator.annotate(&document.text);
                document.annotations.push(Annotation { layer: layer.as_str().into(), spans });
            }
        });
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
            self.read(&Host::detached(), text, before.as_mut()).is_err()
        };
        match (0..documents.len()).find(|&index| fails(index)) {
            Some(index) => {
                let message = format!("in document {}, {}", documents[index].id, error.message());
                Error::new(error.fault(), error.pointer(), message)
            }
            None => error,
        }
    }

    /// A layer, and the first tokens that it has nothing for.
    fn layer(
        &self,
        name: &str,
        documents: &[Document],
        encoded: &Encoded,
        predictions: &[u32],
    ) -> (LayerColumn, Vec<Unjoined>) {
        let of_vocabulary = |features: Vec<u32>| {
            let names = Arc::clone(&self.forms);
            (LayerColumn { name: name.to_owned(), features, names, unjoined: 0 }, Vec::new())
        };
        match name {
            TOKEN => return of_vocabulary(encoded.ids.clone()),
            // Rows of a decoder to spare are no tokens.
            PREDICTION => {
                let known = |&id: &u32| if (id as usize) < self.forms.len() { id } else { NULL };
                return of_vocabulary(predictions.iter().map(known).collect());
            }
            POSITION => {
                let lengths = encoded.offsets.windows(2).map(|at| (at[1] - at[0]) as u32);
                let names = (0..lengths.clone().max().unwrap_or(0)).map(|position| position.to_string()).collect();
                let features = lengths.flat_map(|length| 0..length).collect();
                let column = LayerColumn { name: name.to_owned(), features, names: Arc::new(names), unjoined: 0 };
                return (column, Vec::new());
            }
            _ => {}
        }
        let mut names = Names::default();
        let mut features = Vec::with_capacity(encoded.ids.len());
        let (mut unjoined, mut examples) = (0, Vec::new());
        for (index, document) in documents.iter().enumerate() {
            let at = encoded.offsets[index] as usize..encoded.offsets[index + 1] as usize;
            let (starts, ends) = (&encoded.starts[at.clone()], &encoded.ends[at]);
            if name == LABEL {
                let label = document.label.as_deref().map(|label| names.number(label));
                // Special tokens have a null span and no annotation, that of their document included.
                features.extend(starts.iter().map(|&start| label.filter(|_| start != NULL).unwrap_or(NULL)));
                unjoined += if label.is_none() { starts.iter().filter(|&&s| s != NULL).count() as u64 } else { 0 };
                continue;
            }
            let found: Annotation;
            let spans = match name {
                WORD => {
                    found = words(&document.text, self.reading.tokenizer.words());
                    &found.spans[..]
                }
                _ => document.annotations.iter().find(|a| &*a.layer == name).map_or(&[][..], |a| &a.spans),
            };
            let joined = join(starts, ends, spans);
            let same = |a: Option<&Span>, b: Option<&Span>| matches!((a, b), (Some(a), Some(b)) if std::ptr::eq(a, b));
            for (at, &span) in joined.spans.iter().enumerate() {
                let beside = |other: Option<usize>| other.and_then(|at| joined.spans.get(at).copied().flatten());
                let is_of = match self.reading.subwords {
                    Subwords::Every => true,
                    Subwords::First => !same(span, beside(at.checked_sub(1))),
                    Subwords::Last => !same(span, beside(Some(at + 1))),
                };
                let (start, end) = (starts[at], ends[at]);
                if span.is_none() && start != NULL && examples.len() < EXAMPLES {
                    let text = document.text.chars().skip(start as usize).take((end - start) as usize).collect();
                    examples.push(Unjoined { document: document.id, start, end, text });
                }
                features.push(span.filter(|_| is_of).map_or(NULL, |span| names.number(&span.value)));
            }
            unjoined += joined.unjoined;
        }
        (LayerColumn { name: name.to_owned(), features, names: Arc::new(names.table), unjoined }, examples)
    }
}

/// What a model recorded of a text.
struct Observed {
    columns: Columns,
    /// `[sites]` of those that come whole, `[tokens, width]`.
    whole: Vec<Vec<f32>>,
    /// `[tokens]` where they are asked for: the token that the model expects next.
    predictions: Vec<u32>,
    /// `[sites]`
    moments: Vec<Moments>,
}

/// Observations, `[observations]` each, in the order of tokens, sites, and of what the rule gives.
#[derive(Default)]
struct Columns {
    token: Vec<u32>,
    site: Vec<u32>,
    neuron: Vec<u32>,
    activation: Vec<f32>,
}

/// Room for what is kept of a site.
enum Room {
    /// `[tokens, k]` each.
    Top(Vec<u32>, Vec<f32>),
    /// By token and neuron, as it is emitted.
    Above(Vec<(u32, u32, f32)>),
    /// `[tokens, width]`
    All(Vec<f32>),
}

impl ModelSource<'_> {
    /// Reads the sites over a text.
    fn read(&self, host: &Host<'_>, text: Text<'_>, state: Option<&mut Opaque>) -> Result<Observed> {
        let encode = self.reading.model.as_encode().ok_or_else(|| Error::failed("it can no longer be read"))?;
        let tokens = text.ids.len();
        let sums = |width| vec![ExactSum::ZERO; width];
        let zeros = |width| Moments { sum: sums(width), sum_abs: sums(width), sum_sq: sums(width) };
        let mut moments: Vec<Moments> = self.sites.iter().map(|site| zeros(site.width)).collect();
        let mut top: Vec<(Vec<u32>, Vec<f32>)> = Vec::new();
        let emitted: Vec<Mutex<Room>> = self
            .recorded
            .iter()
            .zip(&self.sites)
            .map(|((_, record), site)| {
                let rows = record.k().unwrap_or(0) * tokens;
                top.push((vec![0; rows], vec![0.0; rows]));
                Mutex::new(match record.keeps {
                    Keeps::All => Room::All(vec![f32::NAN; tokens * site.width]),
                    _ => Room::Above(Vec::new()),
                })
            })
            .collect();
        let widths: Vec<usize> = self.sites.iter().map(|site| site.width).collect();
        let emit = |block: &Block<'_>| {
            let Some(room) = emitted.get(block.request) else { return };
            match &mut *room.lock().unwrap_or_else(PoisonError::into_inner) {
                Room::All(all) => take_whole(block, widths[block.request], all),
                Room::Above(above) => {
                    let rows = block.token.iter().zip(block.neuron).zip(block.activation);
                    above.extend(rows.map(|((&token, &neuron), &h)| (token, neuron, h)));
                }
                Room::Top(..) => {}
            }
        };
        let of_sites = self.recorded.iter().zip(&mut top).zip(&mut moments);
        let sites = of_sites.map(|((&(site, Record { keeps, sign }), (neurons, activations)), moments)| {
            let Moments { sum, sum_abs, sum_sq } = moments;
            let rule = match keeps {
                Keeps::Max1 => Rule::Top { k: 1, neurons, activations },
                Keeps::TopK { k } => Rule::Top { k: k.get() as usize, neurons, activations },
                Keeps::Threshold { above } => Rule::Above(above),
                Keeps::All => Rule::All,
            };
            SiteRequest { site, rule, sign, sum, sum_abs, sum_sq }
        });
        let is_predicted = self.reading.layers.iter().any(|layer| layer == PREDICTION);
        let mut predictions = vec![0; if is_predicted { tokens } else { 0 }];
        let mut request = EncodeRequest { state, sites: sites.collect(), emit: &emit, ..EncodeRequest::new(text) };
        request.predictions = is_predicted.then_some((Task::LanguageModel, &mut predictions));
        encode.encode(host, &mut request)?;
        drop(request);
        let rooms =
            emitted.into_iter().zip(top).zip(&self.recorded).map(|((emitted, (neurons, activations)), (_, record))| {
                match (record.k(), emitted.into_inner().unwrap_or_else(PoisonError::into_inner)) {
                    (Some(_), _) => Room::Top(neurons, activations),
                    (None, Room::Above(mut above)) => {
                        // Documents come in any order.
                        above.sort_unstable_by_key(|&(token, neuron, _)| (token, neuron));
                        Room::Above(above)
                    }
                    (None, room) => room,
                }
            });
        let mut rooms: Vec<Room> = rooms.collect();
        let columns = self.columns(tokens, &rooms);
        let whole = rooms.iter_mut().map(|room| match room {
            Room::All(all) => std::mem::take(all),
            _ => Vec::new(),
        });
        Ok(Observed { columns, whole: whole.collect(), predictions, moments })
    }

    fn columns(&self, tokens: usize, rooms: &[Room]) -> Columns {
        let rows = rooms.iter().map(|room| match room {
            Room::Top(neurons, _) => neurons.len(),
            Room::Above(above) => above.len(),
            Room::All(_) => 0,
        });
        let rows = rows.sum();
        let mut columns = Columns {
            token: Vec::with_capacity(rows),
            site: Vec::with_capacity(rows),
            neuron: Vec::with_capacity(rows),
            activation: Vec::with_capacity(rows),
        };
        let mut seen = vec![0; rooms.len()];
        for token in 0..tokens {
            for (site, (room, seen)) in rooms.iter().zip(&mut seen).enumerate() {
                let before = columns.neuron.len();
                match room {
                    Room::Top(neurons, activations) => {
                        let k = neurons.len() / tokens;
                        let at = token * k..(token + 1) * k;
                        columns.neuron.extend_from_slice(&neurons[at.clone()]);
                        columns.activation.extend_from_slice(&activations[at]);
                    }
                    Room::Above(above) => {
                        let here = above[*seen..].iter().take_while(|(of, ..)| *of as usize == token);
                        here.for_each(|&(_, neuron, h)| {
                            columns.neuron.push(neuron);
                            columns.activation.push(h);
                            *seen += 1;
                        });
                    }
                    Room::All(_) => {}
                }
                let added = columns.neuron.len() - before;
                columns.token.extend(iter::repeat_n(token as u32, added));
                columns.site.extend(iter::repeat_n(site as u32, added));
            }
        }
        columns
    }
}

/// Puts a block of every activation at some tokens to where they belong, `[tokens, width]`.
fn take_whole(block: &Block<'_>, width: usize, all: &mut [f32]) {
    let mut at = 0;
    while at < block.token.len() {
        let (token, neuron) = (block.token[at] as usize, block.neuron[at] as usize);
        // A model gives the neurons of a token in order, as a rule all of them in a block.
        let (tokens, neurons) = (block.token.get(at..at + width), block.neuron.get(at..at + width));
        let is_all = neurons.is_some_and(|neurons| neurons.iter().zip(0..).all(|(neuron, at)| *neuron == at))
            && tokens.is_some_and(|tokens| tokens.iter().all(|token| *token == block.token[at]));
        let of = if is_all { width } else { 1 };
        let to = token * width + neuron;
        all[to..to + of].copy_from_slice(&block.activation[at..at + of]);
        at += of;
    }
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
        Ok(SourceDescription { sites: self.sites.clone(), layers: self.reading.layers.clone() })
    }

    fn next(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>> {
        let start = Instant::now();
        let documents = self.window()?;
        if documents.is_empty() {
            return Ok(None);
        }
        let tokenizer = self.reading.tokenizer;
        let mut encoded = tokenizer.encode(&documents).map_err(|error| self.stop(error))?;
        let text = Text { ids: &encoded.ids, offsets: &encoded.offsets };
        if let Some((document, length)) = text.too_long(self.description.longest_context) {
            let (id, longest) = (documents[document].id, self.description.longest_context.unwrap_or(0));
            let message = format!("in document {id}, there are {length} tokens, and the model reads {longest} at most");
            return Err(Error::invalid(message));
        }
        self.tokenize += start.elapsed();

        // What a window was begun with: should it fail, the document that it failed at is found from there.
        let copy = |carried| state(self.reading.model, host, Some(carried));
        let before = self.carried.as_ref().map(copy).transpose()?;
        let progress = Onward { host, done: self.counts.tokens, total: self.reading.expected };
        let mut carried = self.carried.take();
        let read = self.read(&Host::new(&progress), text, carried.as_mut());
        self.carried = carried;
        let Observed { columns, whole, predictions, moments } =
            read.map_err(|error| self.name(error, &documents, &encoded, before))?;
        let start = Instant::now();
        let layers = self.reading.layers.iter().map(|name| self.layer(name, &documents, &encoded, &predictions));
        let (layers, examples) = layers.unzip();
        self.tokenize += start.elapsed();
        self.counts += encoded.counts;
        host.progress(self.counts.tokens, self.reading.expected.max(self.counts.tokens), "");
        stand_in_file(&documents, &mut encoded);

        let Columns { token, site, neuron, activation } = columns;
        Ok(Some(ActivationBatch {
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
            examples,
            whole,
            moments,
            token,
            site,
            neuron,
            activation,
        }))
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
