//! A model whose activations can be worked out by hand.

use std::path::Path;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::{Deserialize, Serialize, de::DeserializeOwned};
use txray_plugin::{
    Component, EncodeRequest, Error, FitReport, FitRequest, Host, Level, Model, ModelDescription, Result, Score, Site,
    State, Text,
};

/// Neuron `n` of site `s` at the token `id` has the activation `(id + n + s) mod 5 - 2 + state`, where the state
/// counts the tokens read since it was cleared.
pub struct Lookup {
    epochs: u64,
    vocabulary: usize,
    seed: u64,
    epoch: u64,
    tokens: u64,
    paused: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
pub struct Options {
    /// How many epochs training takes.
    #[schemars(example = 2)]
    epochs: u64,
}

/// Widths of the sites.
const WIDTHS: [usize; 2] = [3, 2];

impl Component for Lookup {
    const KIND: &'static str = "lookup";
    const ABOUT: &'static str = "activations by a fixed rule";
    const DEVICES: &'static [&'static str] = &["cpu", "abacus"];
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        Ok(Self { epochs: options.epochs, vocabulary: 0, seed: 0, epoch: 0, tokens: 0, paused: false })
    }
}

impl Model for Lookup {
    fn initialize(&mut self, host: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        host.log(Level::Debug, &format!("{vocabulary} {seed}"));
        (self.vocabulary, self.seed) = (vocabulary, seed);
        Ok(())
    }

    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        host.log(Level::Debug, &format!("{directory:?}"));
        (self.vocabulary, self.seed) = read(&directory.join("lookup.json"))?;
        Ok(())
    }

    fn save(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        host.log(Level::Debug, &format!("{directory:?}"));
        write(&directory.join("lookup.json"), &(self.vocabulary, self.seed))
    }

    fn describe(&self) -> Result<ModelDescription> {
        let sites = ["größe.0", "b"].into_iter().zip(WIDTHS);
        Ok(ModelDescription {
            sites: sites.map(|(name, width)| Site { name: name.to_owned(), width }).collect(),
            vocabulary: self.vocabulary,
            parameters: self.seed,
            state_size: 1,
            trained_state: (self.epoch > 0).then_some(State::Carry),
        })
    }

    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        host.log(Level::Debug, &format!("{request:?}"));
        let mut state = request.carry.as_ref().map_or(0.0, |carry| carry[0]);
        let mut token = 0;
        for document in 0..request.text.len() {
            if request.carry.is_none() {
                state = 0.0;
            }
            for &id in request.text.document(document) {
                for site in &mut request.sites {
                    let h = |n: usize| ((id as usize + n + site.site) % 5) as f32 - 2.0 + state;
                    let mut order: Vec<usize> = (0..WIDTHS[site.site]).collect();
                    order.sort_by(|&a, &b| h(b).total_cmp(&h(a)));
                    for (i, &n) in order[..site.k].iter().enumerate() {
                        site.neurons[token * site.k + i] = n as u32;
                        site.activations[token * site.k + i] = h(n);
                    }
                    for &n in &order {
                        let h = f64::from(h(n));
                        site.sum[n] += h;
                        site.sum_abs[n] += h.abs();
                        site.sum_sq[n] += h * h;
                    }
                }
                state += 1.0;
                token += 1;
            }
        }
        if let Some(carry) = &mut request.carry {
            carry[0] = state;
        }
        Ok(())
    }

    /// The likelihood of a token is its id.
    fn score(&self, host: &Host<'_>, text: Text<'_>, state: State) -> Result<Score> {
        host.log(Level::Debug, &format!("{text:?} {state:?}"));
        let given = |document: &[u32]| if state == State::Reset { document.len().min(1) } else { 0 };
        let documents = (0..text.len()).map(|d| text.document(d));
        let ids: Vec<u32> = documents.flat_map(|d| d[given(d)..].iter().copied()).collect();
        let ids = if state == State::Carry { ids.get(1..).unwrap_or_default() } else { &ids };
        Ok(Score { nll: ids.iter().map(|&id| f64::from(id)).sum(), tokens: ids.len() as u64 })
    }

    /// Asked to pause, it does so once an epoch, before it has read anything.
    fn fit(&mut self, host: &Host<'_>, request: &FitRequest<'_>) -> Result<FitReport> {
        host.log(Level::Debug, &format!("{request:?}"));
        if host.cancelled() {
            return Err(Error::cancelled());
        }
        self.paused = request.pause.is_some() && !self.paused;
        if !self.paused {
            self.epoch += 1;
            self.tokens += request.train.ids.len() as u64;
        }
        host.progress(self.tokens, self.epochs * request.train.ids.len() as u64, &format!("Epoche №{}", self.epoch));
        Ok(FitReport {
            epoch: self.epoch,
            tokens: self.tokens,
            loss: 1.0 / (self.epoch + u64::from(self.paused)) as f64,
            valid_loss: request.valid.filter(|_| !self.paused).map(|valid| valid.ids.len() as f64),
            seconds: 0.125,
            done: self.epoch == self.epochs,
            paused: self.paused,
        })
    }

    fn save_training(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        host.log(Level::Debug, &format!("save {directory:?}"));
        let training = (self.vocabulary, self.seed, self.epoch, self.tokens, self.paused);
        write(&directory.join("training.json"), &training)
    }

    fn load_training(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        host.log(Level::Debug, &format!("load {directory:?}"));
        (self.vocabulary, self.seed, self.epoch, self.tokens, self.paused) = read(&directory.join("training.json"))?;
        Ok(())
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let written = serde_json::to_vec(value).map_err(std::io::Error::from).and_then(|json| std::fs::write(path, json));
    written.map_err(|e| Error::failed(format!("cannot write {}: {e}", path.display())))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let read = std::fs::read(path).and_then(|json| Ok(serde_json::from_slice(&json)?));
    read.map_err(|e| Error::invalid(format!("cannot read {}: {e}", path.display())))
}
