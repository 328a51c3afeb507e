//! A model whose activations can be worked out by hand.

use std::collections::BTreeMap;
use std::path::Path;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::{Deserialize, Serialize, de::DeserializeOwned};
use txray_plugin::{
    Capabilities, Carry, Component, Encode, EncodeRequest, Error, Examples, Head, Host, Level, Mask, Model,
    ModelDescription, NULL, Opaque, Predict, PredictRequest, Result, RuleKind, Site, State, Task, Train, TrainReport,
    TrainRequest,
};

/// Neuron `n` of site `s` at the token `id` has the activation `(id + n + s) mod 5 - 2 + state`, where the state
/// counts the tokens read since it was cleared; under a mask, its value.
pub struct Lookup {
    /// By which name it is called.
    pub kind: &'static str,
    epochs: u64,
    vocabulary: usize,
    seed: u64,
    epoch: u64,
    tokens: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
pub struct Options {
    /// How many epochs training takes.
    #[schemars(example = 2, extend("format" = "epochs"))]
    epochs: u64,
}

/// Widths of the sites.
const WIDTHS: [usize; 2] = [3, 2];

fn sites() -> Vec<Site> {
    ["größe.0", "b"].into_iter().zip(WIDTHS).map(|(name, width)| Site { name: name.to_owned(), width }).collect()
}

impl Component for Lookup {
    const KIND: &'static str = "lookup";
    const ABOUT: &'static str = "activations by a fixed rule";
    const DEVICES: &'static [&'static str] = &["cpu", "abacus"];
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        Ok(Self { kind: Self::KIND, epochs: options.epochs, vocabulary: 0, seed: 0, epoch: 0, tokens: 0 })
    }
}

impl Model for Lookup {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            tasks: vec![Task::LanguageModel, Task::Classification, Task::Tagging],
            rules: vec![RuleKind::Top, RuleKind::Above, RuleKind::All],
            masks: true,
            predictions: true,
            sites: sites(),
            ..Capabilities::default()
        }
    }

    fn describe(&self) -> Result<ModelDescription> {
        Ok(ModelDescription {
            sites: sites(),
            vocabulary: self.vocabulary,
            parameters: self.seed,
            heads: [(Task::LanguageModel, self.vocabulary), (Task::Classification, 2), (Task::Tagging, 4)]
                .map(|(task, classes)| Head { task, classes })
                .to_vec(),
            unmaskable: vec![],
            lacks: vec![],
            longest_context: Some(2000),
            trained_state: (self.epoch > 0).then_some(State::Carry),
        })
    }

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
        write(&directory.join("config.json"), &[("model_type", self.kind)].into_iter().collect::<BTreeMap<_, _>>())?;
        write(&directory.join("lookup.json"), &(self.vocabulary, self.seed))
    }

    txray_plugin::abilities!(encode, predict, train, carry);
}

/// What is held of neuron `n` of a site, if anything.
fn held(masks: &[Mask<'_>], site: usize, n: usize) -> Option<f32> {
    let mask = masks.iter().find(|mask| mask.site == site)?;
    Some(mask.values[n]).filter(|value| !value.is_nan())
}

impl Encode for Lookup {
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        host.log(Level::Debug, &format!("{request:?}"));
        let EncodeRequest { text, state, masks, sites, predictions, emit } = request;
        let mut counter = state.as_ref().map_or(Ok(0.0), |state| state.get::<f32>().copied())?;
        let mut token = 0;
        for document in 0..text.len() {
            if state.is_none() {
                counter = 0.0;
            }
            for &id in text.document(document) {
                for (index, site) in sites.iter_mut().enumerate() {
                    let h = |n| {
                        held(masks, site.site, n).unwrap_or(((id as usize + n + site.site) % 5) as f32 - 2.0 + counter)
                    };
                    let h: Vec<f32> = (0..WIDTHS[site.site]).map(h).collect();
                    site.record(index, token, &h, *emit);
                }
                if let Some((_, predictions)) = predictions {
                    predictions[token] = 0;
                }
                counter += 1.0;
                token += 1;
            }
        }
        if let Some(state) = state {
            *state.get_mut()? = counter;
        }
        Ok(())
    }
}

/// A state is how many tokens it has read.
impl Carry for Lookup {
    fn state(&self, host: &Host<'_>, from: Option<&Opaque>) -> Result<Opaque> {
        let from = from.map(|from| from.get::<f32>().copied()).transpose()?;
        host.log(Level::Debug, &format!("{from:?}"));
        Ok(Opaque::new(from.unwrap_or(0.0)))
    }
}

impl Predict for Lookup {
    /// The loss of a token is its id, and 1 more for each neuron that is held to something else than NaN. A document's class is the number of its tokens, a token's its id, and the right class has
    /// the loss 0, any other 1; the class has the probability 1.
    fn predict(&self, host: &Host<'_>, request: &mut PredictRequest<'_>) -> Result<()> {
        host.log(Level::Debug, &format!("{request:?}"));
        let text = request.examples.text;
        let classes = match request.task {
            Task::LanguageModel => self.vocabulary,
            Task::Classification => 2,
            Task::Tagging => 4,
        };
        let held = request.masks.iter().flat_map(|mask| mask.values).filter(|value| !value.is_nan()).count() as u32;
        let counter = request.state.as_mut().map(|state| state.get_mut::<f32>()).transpose()?;
        let is_stream = counter.is_some();
        let mut has_read = false;
        if let Some(counter) = counter {
            has_read = *counter > 0.0;
            *counter += text.ids.len() as f32;
        }
        for document in 0..text.len() {
            let (ids, start) = (text.document(document), text.offsets[document] as usize);
            let (mut losses, mut told): (Vec<f32>, Vec<Option<(usize, u32)>>) = (Vec::new(), Vec::new());
            match request.task {
                Task::LanguageModel => {
                    for (position, &id) in ids.iter().enumerate() {
                        let is_given = if is_stream { !has_read } else { position == 0 };
                        losses.push(if is_given { f32::NAN } else { (id + held) as f32 });
                        has_read = true;
                    }
                }
                Task::Classification => told.push(Some((document, ids.len() as u32))),
                Task::Tagging => told.extend(ids.iter().enumerate().map(|(at, &id)| Some((start + at, id)))),
            }
            for (at, class) in told.into_iter().flatten() {
                let class = class % classes as u32;
                let target = request.examples.targets[at];
                losses.push(if target == NULL { f32::NAN } else { f32::from(target != class) });
                request.predicted.iter_mut().for_each(|predicted| predicted[at] = class);
                if let Some(probabilities) = &mut request.probabilities {
                    let row = &mut probabilities[at * classes..][..classes];
                    row.fill(0.0);
                    row[class as usize] = 1.0;
                }
            }
            let counted = || losses.iter().filter(|loss| !loss.is_nan());
            request.losses[document] = counted().map(|&loss| f64::from(loss)).sum();
            request.counts[document] = counted().count() as u64;
            if let Some(out) = &mut request.token_losses {
                let out = &mut out[start..start + ids.len()];
                match request.task {
                    Task::Classification => out.fill(f32::NAN),
                    _ => out.copy_from_slice(&losses),
                }
            }
        }
        Ok(())
    }
}

/// A training: of how many tokens, validated on how many, if at all.
struct Session {
    ids: Vec<u32>,
    targets: Vec<u32>,
    valid: Option<usize>,
    paused: bool,
}

impl Train for Lookup {
    fn begin(&mut self, host: &Host<'_>, request: &TrainRequest<'_>, from: Option<&Path>) -> Result<Opaque> {
        host.log(Level::Debug, &format!("{request:?} {from:?}"));
        let Examples { text, targets } = request.train;
        let valid = request.valid.map(|valid| valid.text.ids.len());
        let mut session = Session { ids: text.ids.to_vec(), targets: targets.to_vec(), valid, paused: false };
        if let Some(from) = from {
            let (vocabulary, seed, epoch, tokens, paused, ids, targets): (usize, _, _, _, _, Vec<u32>, Vec<u32>) =
                read(&from.join("training.json"))?;
            if ids != session.ids || targets != session.targets {
                return Err(Error::invalid("it was begun with another text"));
            }
            if request.valid.is_some_and(|valid| !valid.text.is_consistent(vocabulary)) {
                return Err(Error::invalid("the validation text is of another vocabulary"));
            }
            (self.vocabulary, self.seed, self.epoch, self.tokens, session.paused) =
                (vocabulary, seed, epoch, tokens, paused);
        }
        Ok(Opaque::new(session))
    }

    /// Asked to pause, it does so once an epoch, before it has read anything.
    fn step(&mut self, host: &Host<'_>, session: &mut Opaque, pause: Option<f64>) -> Result<TrainReport> {
        host.log(Level::Debug, &format!("{pause:?}"));
        if host.cancelled() {
            return Err(Error::cancelled());
        }
        let session: &mut Session = session.get_mut()?;
        session.paused = pause.is_some() && !session.paused;
        let tokens = session.ids.len() as u64;
        if !session.paused {
            self.epoch += 1;
            self.tokens += tokens;
        }
        host.progress(self.tokens, self.epochs * tokens, &format!("Epoche №{}", self.epoch));
        Ok(TrainReport {
            epoch: self.epoch,
            tokens: self.tokens,
            loss: 1.0 / (self.epoch + u64::from(session.paused)) as f64,
            valid_loss: session.valid.filter(|_| !session.paused).map(|valid| valid as f64),
            seconds: 0.125,
            done: self.epoch == self.epochs && !session.paused,
            paused: session.paused,
        })
    }

    fn save_session(&self, host: &Host<'_>, session: &Opaque, directory: &Path) -> Result<()> {
        host.log(Level::Debug, &format!("save {directory:?}"));
        let Session { ids, targets, paused, .. } = session.get()?;
        let (vocabulary, seed, epoch, tokens) = (self.vocabulary, self.seed, self.epoch, self.tokens);
        write(&directory.join("training.json"), &(vocabulary, seed, epoch, tokens, paused, ids, targets))
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
