//! {{name}}: a language model, for txray, whole but as small as one can be: h = tanh(E[token]), and a softmax over D h + b
//! that predicts the next token. It remembers nothing; put the network you want to look into in its place.

mod weights;

use std::path::Path;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::{Deserialize, Serialize};
use txray_plugin::{
    Capabilities, Component, Encode, EncodeRequest, Error, Head, Host, Model, ModelDescription, Opaque, OwnedText, Predict,
    PredictRequest, Result, RuleKind, Site, Task, Train, TrainReport, TrainRequest,
};

use weights::{Weights, read_json, write_json};

/// Where training stands is kept in this file, beside the weights.
const PROGRESS: &str = "training.json";

struct {{Type}} {
    options: Options,
    weights: Option<Weights>,
}

/// What a pipeline may say about it. These comments are what `txray plugin inspect` shows.
#[derive(Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields, default)]
struct Options {
    /// Neurons.
    hidden: usize,
    /// How it is trained.
    train: TrainOptions,
}

/// Plain SGD, one document a step.
#[derive(Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields, default)]
struct TrainOptions {
    /// Passes over the training text.
    #[schemars(extend("format" = "epochs"))]
    epochs: u64,
    /// Step size.
    learning_rate: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { hidden: 32, train: TrainOptions::default() }
    }
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self { epochs: 2, learning_rate: 0.1 }
    }
}

/// A training: a copy of its texts, and where it stands. Whoever trains keeps it, and hands it to every step.
struct Session {
    train: OwnedText,
    valid: Option<OwnedText>,
    progress: Progress,
}

/// Tells one text from another (FNV-1a).
fn hash(text: &OwnedText) -> u64 {
    let values = text.ids.iter().map(|&id| u64::from(id)).chain(text.offsets.iter().copied());
    values.fold(0xcbf2_9ce4_8422_2325, |hash, value| (hash ^ value).wrapping_mul(0x100_0000_01b3))
}

/// Where training stands: between two documents.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(crate = "txray_plugin::serde")]
struct Progress {
    epoch: u64,
    document: usize,
    tokens: u64,
    /// Of the epoch so far. The bits of the sum, so that it is the same once it was saved.
    loss: u64,
    predicted: u64,
}

impl Component for {{Type}} {
    const KIND: &'static str = "{{name}}";
    const ABOUT: &'static str = "a language model that remembers nothing";
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        if options.hidden == 0 {
            return Err(Error::at("/hidden", "must be at least 1"));
        }
        if options.train.epochs == 0 {
            return Err(Error::at("/train/epochs", "must be at least 1"));
        }
        if !(options.train.learning_rate.is_finite() && options.train.learning_rate > 0.0) {
            return Err(Error::at("/train/learning_rate", "must be above 0"));
        }
        Ok(Self { options, weights: None })
    }
}

impl {{Type}} {
    fn weights(&self) -> Result<&Weights> {
        self.weights.as_ref().ok_or_else(|| Error::failed("the model has no weights yet"))
    }
}

/// Where it is read.
fn sites(hidden: usize) -> Vec<Site> {
    vec![Site { name: "hidden".to_owned(), width: hidden }]
}

/// The negative log-likelihood of a document, nats, and of how many tokens. `told` is given the loss of each but the first.
fn likelihood(weights: &Weights, document: &[u32], mut told: impl FnMut(usize, f32)) -> (f64, u64) {
    let (mut h, mut p) = (vec![0.0; weights.hidden], vec![0.0; weights.vocabulary]);
    let mut nll = 0.0;
    for (position, pair) in document.windows(2).enumerate() {
        weights.hidden(pair[0], &mut h);
        let loss = weights.predict(&h, pair[1], &mut p);
        told(position + 1, loss);
        nll += f64::from(loss);
    }
    (nll, document.len().saturating_sub(1) as u64)
}

impl Model for {{Type}} {
    fn capabilities(&self) -> Capabilities {
        let (tasks, rules) = (vec![Task::LanguageModel], vec![RuleKind::Top, RuleKind::Above, RuleKind::All]);
        Capabilities { tasks, rules, sites: sites(self.options.hidden), ..Capabilities::default() }
    }

    fn describe(&self) -> Result<ModelDescription> {
        let weights = self.weights()?;
        Ok(ModelDescription {
            sites: sites(weights.hidden),
            vocabulary: weights.vocabulary,
            parameters: weights.parameters(),
            heads: vec![Head { task: Task::LanguageModel, classes: weights.vocabulary }],
            unmaskable: vec![],
            lacks: vec![],
            longest_context: None,
            trained_state: None,
        })
    }

    fn initialize(&mut self, _: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        self.weights = Some(Weights::random(vocabulary, self.options.hidden, seed));
        Ok(())
    }

    fn load(&mut self, _: &Host<'_>, directory: &Path) -> Result<()> {
        self.weights = Some(Weights::load(directory)?);
        Ok(())
    }

    fn save(&self, _: &Host<'_>, directory: &Path) -> Result<()> {
        self.weights()?.save(directory)
    }

    // What it can do beyond the base. It remembers nothing, and so has no state to `carry`.
    txray_plugin::abilities!(encode, predict, train);
}

impl Encode for {{Type}} {
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        let weights = self.weights()?;
        let mut h = vec![0.0; weights.hidden];
        for (token, &id) in request.text.ids.iter().enumerate() {
            if token % 4096 == 0 && host.cancelled() {
                return Err(Error::cancelled());
            }
            weights.hidden(id, &mut h);
            for (index, site) in request.sites.iter_mut().enumerate() {
                site.record(index, token, &h, request.emit);
            }
        }
        Ok(())
    }
}

impl Predict for {{Type}} {
    fn predict(&self, host: &Host<'_>, request: &mut PredictRequest<'_>) -> Result<()> {
        let (weights, text) = (self.weights()?, request.examples.text);
        for document in 0..text.len() {
            let (ids, start) = (text.document(document), text.offsets[document] as usize);
            let mut losses = request.token_losses.as_mut().map(|losses| &mut losses[start..start + ids.len()]);
            losses.iter_mut().for_each(|losses| losses.fill(f32::NAN));
            let told = |position: usize, loss| losses.iter_mut().for_each(|losses| losses[position] = loss);
            (request.losses[document], request.counts[document]) = likelihood(weights, ids, told);
            if host.cancelled() {
                return Err(Error::cancelled());
            }
        }
        Ok(())
    }
}

impl Train for {{Type}} {
    fn begin(&mut self, _: &Host<'_>, request: &TrainRequest<'_>, from: Option<&Path>) -> Result<Opaque> {
        let train = OwnedText::from(request.train.text);
        let valid = request.valid.map(|valid| OwnedText::from(valid.text));
        let (weights, progress) = match from {
            None => (None, Progress::default()),
            Some(directory) => {
                let (mut options, begun_with, progress): (Options, u64, Progress) = read_json(&directory.join(PROGRESS))?;
                // It may go on for more epochs.
                options.train.epochs = self.options.train.epochs;
                if options != self.options || begun_with != hash(&train) {
                    return Err(Error::invalid("the training was begun with other options, or with another text"));
                }
                (Some(Weights::load(directory)?), progress)
            }
        };
        let vocabulary = weights.as_ref().map_or_else(|| self.weights(), Ok)?.vocabulary;
        // Where the weights come from the directory, nobody has held the text to them.
        if [Some(&train), valid.as_ref()].into_iter().flatten().any(|text| !text.text().is_consistent(vocabulary)) {
            return Err(Error::invalid("the text is not of the model's vocabulary"));
        }
        self.weights = weights.or_else(|| self.weights.take());
        Ok(Opaque::new(Session { train, valid, progress }))
    }

    fn step(&mut self, host: &Host<'_>, session: &mut Opaque, pause: Option<f64>) -> Result<TrainReport> {
        let start = std::time::Instant::now();
        let options = &self.options.train;
        let Session { train, valid, progress } = session.get_mut()?;
        let train = train.text();
        let weights = self.weights.as_mut().ok_or_else(|| Error::failed("the model has no weights yet"))?;
        let report = |progress: &Progress, seconds, valid_loss, paused| TrainReport {
            epoch: progress.epoch,
            tokens: progress.tokens,
            loss: f64::from_bits(progress.loss) / (progress.predicted.max(1)) as f64,
            valid_loss,
            seconds,
            done: progress.epoch >= options.epochs,
            paused,
        };
        if progress.document == 0 {
            (progress.loss, progress.predicted) = (0.0_f64.to_bits(), 0);
        }
        while progress.document < train.len() {
            let document = train.document(progress.document);
            let mut loss = f64::from_bits(progress.loss);
            for pair in document.windows(2) {
                loss += f64::from(weights.learn(pair[0], pair[1], options.learning_rate));
            }
            progress.loss = loss.to_bits();
            progress.predicted += document.len().saturating_sub(1) as u64;
            progress.tokens += document.len() as u64;
            progress.document += 1;
            host.progress(progress.tokens, options.epochs * train.ids.len() as u64, "");
            // It stands between two documents now, and may be stopped or saved.
            if host.cancelled() {
                return Err(Error::cancelled());
            }
            let seconds = start.elapsed().as_secs_f64();
            let is_last = progress.document == train.len();
            if !is_last && pause.is_some_and(|pause| seconds >= pause) {
                return Ok(report(progress, seconds, None, true));
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let mut valid_loss = None;
        if let Some(valid) = valid {
            // Before the epoch counts as over: cancelled here, the next call comes back to this place.
            let (mut nll, mut tokens) = (0.0, 0);
            for document in 0..valid.text().len() {
                let (of_document, count) = likelihood(weights, valid.text().document(document), |_, _| ());
                (nll, tokens) = (nll + of_document, tokens + count);
                if host.cancelled() {
                    return Err(Error::cancelled());
                }
            }
            valid_loss = Some(nll / tokens.max(1) as f64);
        }
        progress.document = 0;
        progress.epoch += 1;
        Ok(report(progress, seconds, valid_loss, false))
    }

    fn save_session(&self, host: &Host<'_>, session: &Opaque, directory: &Path) -> Result<()> {
        let Session { train, progress, .. } = session.get()?;
        self.save(host, directory)?;
        write_json(&directory.join(PROGRESS), &(&self.options, hash(train), progress))
    }
}

txray_plugin::plugin!(models = [{{Type}}]);

#[cfg(test)]
mod tests {
    txray_conformance::model_suite!(crate::plugin);
}
