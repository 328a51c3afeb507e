//! What the tests of this crate share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use txray_lstm::{Lstm, LstmOptions};
use txray_plugin::{
    Carry, Component, Encode, EncodeRequest, ExactSum, Host, HostServices, Level, Mask, Model, Opaque, PredictRequest,
    Result, Rule, Sign, SiteRequest, Task, Text, Threads, Train, TrainReport, TrainRequest,
};

/// A host that wants to stop once it has been asked `left` times whether it does.
pub struct Patience {
    threads: usize,
    left: AtomicUsize,
}

impl Patience {
    pub fn new(threads: usize, left: usize) -> Self {
        Self { threads, left: AtomicUsize::new(left) }
    }
}

impl HostServices for Patience {
    fn threads(&self) -> usize {
        self.threads
    }
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

/// The folder of reference values of a cell, which is a checkpoint too.
pub fn reference(cell: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(cell)
}

pub fn loaded(directory: &Path) -> Result<Lstm> {
    let host = Host::detached();
    let mut model = Lstm::create(LstmOptions::default(), &host)?;
    model.load(&host, directory)?;
    Ok(model)
}

pub fn random(options: LstmOptions, vocabulary: usize, seed: u64) -> Lstm {
    let host = Host::detached();
    let mut model = Lstm::create(options, &host).unwrap();
    model.initialize(&host, vocabulary, seed).unwrap();
    model
}

/// A model in training.
#[derive(Debug)]
pub struct Trainee {
    pub model: Lstm,
    session: Opaque,
}

impl Trainee {
    pub fn begin(mut model: Lstm, request: &TrainRequest<'_>) -> Result<Self> {
        let session = model.begin(&Host::detached(), request, None)?;
        Ok(Self { model, session })
    }

    /// Goes on from what [`Trainee::save`] wrote.
    pub fn from(directory: &Path, options: &LstmOptions, request: &TrainRequest<'_>) -> Result<Self> {
        let mut model = Lstm::create(options.clone(), &Host::detached())?;
        let session = model.begin(&Host::detached(), request, Some(directory))?;
        Ok(Self { model, session })
    }

    pub fn step(&mut self, host: &Host<'_>, pause: Option<f64>) -> Result<TrainReport> {
        self.model.step(host, &mut self.session, pause)
    }

    pub fn save(&self, directory: &Path) -> Result<()> {
        self.model.save_session(&Host::detached(), &self.session, directory)
    }

    /// Another model with the training of this one, saved and gone on with.
    pub fn moved(&self, options: &LstmOptions, request: &TrainRequest<'_>) -> Result<Self> {
        let directory = tempfile::tempdir().unwrap();
        self.save(directory.path())?;
        Self::from(directory.path(), options, request)
    }
}

/// A state that has read nothing.
pub fn state(model: &Lstm) -> Opaque {
    model.state(&Host::detached(), None).unwrap()
}

/// The losses and counts of documents, and the losses of tokens.
pub fn predict(
    model: &dyn txray_plugin::Predict,
    documents: &[Vec<u32>],
    state: Option<&mut Opaque>,
    masks: &[Mask<'_>],
    threads: usize,
) -> Result<(Vec<f64>, Vec<u64>, Vec<f32>)> {
    let (ids, offsets) = ragged(documents);
    let text = Text { ids: &ids, offsets: &offsets };
    let (mut losses, mut counts, mut tokens) =
        (vec![-1.0; documents.len()], vec![9; documents.len()], vec![7.0; ids.len()]);
    let request = PredictRequest::new(Task::LanguageModel, text.into(), &mut losses, &mut counts);
    let mut request = PredictRequest { state, masks, token_losses: Some(&mut tokens), ..request };
    model.predict(&Host::new(&Threads(threads)), &mut request)?;
    Ok((losses, counts, tokens))
}

/// The tensors of a file, by name.
pub type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Changes the tensors and the metadata of a safetensors file.
pub fn edit(path: &Path, edit: impl FnOnce(&mut Tensors, &mut HashMap<String, String>)) {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap_or_default();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter();
    let mut tensors: Tensors =
        tensors.map(|(name, t)| (name, (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect();
    edit(&mut tensors, &mut metadata);
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

/// The file of the weights as `save` writes it.
pub fn bytes(model: &Lstm) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    model.save(&Host::detached(), directory.path()).unwrap();
    fs::read(directory.path().join("model.safetensors")).unwrap()
}

/// Documents as the boundary takes them: ids `[tokens]` and offsets `[documents + 1]`.
pub fn ragged(documents: &[Vec<u32>]) -> (Vec<u32>, Vec<u64>) {
    let mut offsets = vec![0];
    offsets.extend(documents.iter().scan(0, |end, d| {
        *end += d.len() as u64;
        Some(*end)
    }));
    (documents.concat(), offsets)
}

/// What was read at one site: `[tokens, k]` observations, and the moments `[3][width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub neurons: Vec<u32>,
    pub activations: Vec<f32>,
    pub moments: [Vec<ExactSum>; 3],
}

/// Reads documents at `sites` (index, k).
pub fn encode(
    model: &Lstm,
    documents: &[Vec<u32>],
    sites: &[(usize, usize)],
    state: Option<&mut Opaque>,
    threads: usize,
) -> Result<Vec<Reading>> {
    masked(model, documents, sites, state, &[], Sign::Positive, threads)
}

/// The same under masks, by a sign.
pub fn masked(
    model: &Lstm,
    documents: &[Vec<u32>],
    sites: &[(usize, usize)],
    state: Option<&mut Opaque>,
    masks: &[Mask<'_>],
    sign: Sign,
    threads: usize,
) -> Result<Vec<Reading>> {
    let (ids, offsets) = ragged(documents);
    let description = model.describe()?;
    let mut readings: Vec<Reading> = sites
        .iter()
        .map(|&(site, k)| Reading {
            neurons: vec![0; ids.len() * k],
            activations: vec![0.0; ids.len() * k],
            moments: std::array::from_fn(|_| vec![ExactSum::ZERO; description.sites[site].width]),
        })
        .collect();
    let sites = readings
        .iter_mut()
        .zip(sites)
        .map(|(reading, &(site, k))| {
            let [sum, sum_abs, sum_sq] = &mut reading.moments;
            let Reading { neurons, activations, .. } = reading;
            SiteRequest { site, rule: Rule::Top { k, neurons, activations }, sign, sum, sum_abs, sum_sq }
        })
        .collect();
    let services = Threads(threads);
    let text = Text { ids: &ids, offsets: &offsets };
    let mut request = EncodeRequest { state, masks, sites, ..EncodeRequest::new(text) };
    model.encode(&Host::new(&services), &mut request)?;
    Ok(readings)
}

/// The activations `[tokens][width]` of a reading of all neurons, by neuron.
pub fn unsorted(reading: &Reading, width: usize) -> Vec<Vec<f32>> {
    let tokens = reading.neurons.chunks(width).zip(reading.activations.chunks(width));
    tokens
        .map(|(neurons, activations)| {
            let mut all = vec![f32::NAN; width];
            neurons.iter().zip(activations).for_each(|(&n, &a)| all[n as usize] = a);
            all
        })
        .collect()
}
