//! {{name}}: a language model, for txray, whole but as small as one can be: h = tanh(E[token]), and a softmax over D h + b
//! that predicts the next token. It remembers nothing; put the network you want to look into in its place.

mod weights;

use std::path::Path;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::{Deserialize, Serialize};
use txray_plugin::{
    Component, EncodeRequest, Error, FitReport, FitRequest, Host, Model, ModelDescription, Result, Score, Site, State,
    Text,
};

use weights::{Weights, read_json, write_json};

/// Where training stands is kept in this file, beside the weights.
const PROGRESS: &str = "training.json";

struct {{Type}} {
    options: Options,
    weights: Option<Weights>,
    progress: Progress,
}

/// What a pipeline may say about it. These comments are what `txray plugin inspect` shows.
#[derive(Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields, default)]
struct Options {
    /// Neurons.
    hidden: usize,
    /// How it is trained.
    train: Train,
}

/// Plain SGD, one document a step.
#[derive(Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields, default)]
struct Train {
    /// Passes over the training text.
    #[schemars(extend("format" = "epochs"))]
    epochs: u64,
    /// Step size.
    learning_rate: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { hidden: 32, train: Train::default() }
    }
}

impl Default for Train {
    fn default() -> Self {
        Self { epochs: 2, learning_rate: 0.1 }
    }
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
        Ok(Self { options, weights: None, progress: Progress::default() })
    }
}

impl {{Type}} {
    fn weights(&self) -> Result<&Weights> {
        self.weights.as_ref().ok_or_else(|| Error::failed("the model has no weights yet"))
    }
}

/// Pairs of tokens that follow each other. Where the state is carried, the text is one stream.
fn pairs(text: Text<'_>, state: State) -> impl Iterator<Item = (u32, u32)> {
    let offsets = text.offsets.to_vec();
    let begins = move |at: usize| state == State::Reset && offsets.binary_search(&(at as u64)).is_ok();
    (1..text.ids.len()).filter(move |&at| !begins(at)).map(move |at| (text.ids[at - 1], text.ids[at]))
}

/// The negative log-likelihood of a text.
fn likelihood(weights: &Weights, host: &Host<'_>, text: Text<'_>, state: State) -> Result<Score> {
    let mut score = Score { nll: 0.0, tokens: 0 };
    let (mut h, mut p) = (vec![0.0; weights.hidden], vec![0.0; weights.vocabulary]);
    for (given, next) in pairs(text, state) {
        if host.cancelled() {
            return Err(Error::cancelled());
        }
        weights.hidden(given, &mut h);
        score.nll += f64::from(weights.predict(&h, next, &mut p));
        score.tokens += 1;
    }
    Ok(score)
}

impl Model for {{Type}} {
    fn initialize(&mut self, _: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        self.weights = Some(Weights::random(vocabulary, self.options.hidden, seed));
        self.progress = Progress::default();
        Ok(())
    }

    fn load(&mut self, _: &Host<'_>, directory: &Path) -> Result<()> {
        self.weights = Some(Weights::load(directory)?);
        self.progress = Progress::default();
        Ok(())
    }

    fn save(&self, _: &Host<'_>, directory: &Path) -> Result<()> {
        self.weights()?.save(directory)
    }

    fn describe(&self) -> Result<ModelDescription> {
        let weights = self.weights()?;
        Ok(ModelDescription {
            sites: vec![Site { name: "hidden".to_owned(), width: weights.hidden }],
            vocabulary: weights.vocabulary,
            parameters: weights.parameters(),
            // It remembers nothing, and so has no state to carry.
            state_size: 0,
            trained_state: None,
        })
    }

    fn encode(&self, _: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        let weights = self.weights()?;
        let mut h = vec![0.0; weights.hidden];
        let mut order: Vec<u32> = Vec::new();
        for site in &mut request.sites {
            for (token, &id) in request.text.ids.iter().enumerate() {
                weights.hidden(id, &mut h);
                // The most active first, ties by the lower index.
                order.clear();
                order.extend(0..weights.hidden as u32);
                order.sort_by(|&a, &b| h[b as usize].total_cmp(&h[a as usize]).then(a.cmp(&b)));
                for (rank, &neuron) in order.iter().take(site.k).enumerate() {
                    site.neurons[token * site.k + rank] = neuron;
                    site.activations[token * site.k + rank] = h[neuron as usize];
                }
                for (neuron, &value) in h.iter().enumerate() {
                    let value = f64::from(value);
                    site.sum[neuron] += value;
                    site.sum_abs[neuron] += value.abs();
                    site.sum_sq[neuron] += value * value;
                }
            }
        }
        Ok(())
    }

    fn score(&self, host: &Host<'_>, text: Text<'_>, state: State) -> Result<Score> {
        likelihood(self.weights()?, host, text, state)
    }

    fn fit(&mut self, host: &Host<'_>, request: &FitRequest<'_>) -> Result<FitReport> {
        let start = std::time::Instant::now();
        let (options, progress) = (&self.options.train, &mut self.progress);
        let weights = self.weights.as_mut().ok_or_else(|| Error::failed("the model has no weights yet"))?;
        let report = |progress: &Progress, seconds, valid_loss, paused| FitReport {
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
        while progress.document < request.train.len() {
            let document = request.train.document(progress.document);
            let mut loss = f64::from_bits(progress.loss);
            for pair in document.windows(2) {
                loss += f64::from(weights.learn(pair[0], pair[1], options.learning_rate));
            }
            progress.loss = loss.to_bits();
            progress.predicted += document.len().saturating_sub(1) as u64;
            progress.tokens += document.len() as u64;
            progress.document += 1;
            host.progress(progress.tokens, options.epochs * request.train.ids.len() as u64, "");
            // It stands between two documents now, and may be stopped or saved.
            if host.cancelled() {
                return Err(Error::cancelled());
            }
            let seconds = start.elapsed().as_secs_f64();
            let is_last = progress.document == request.train.len();
            if !is_last && request.pause.is_some_and(|pause| seconds >= pause) {
                return Ok(report(progress, seconds, None, true));
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        // Before the epoch counts as over: cancelled here, the next call comes back to this place.
        let valid = request.valid.map(|text| likelihood(weights, host, text, State::Reset)).transpose()?;
        progress.document = 0;
        progress.epoch += 1;
        Ok(report(progress, seconds, valid.map(|score| score.nll / score.tokens.max(1) as f64), false))
    }

    fn save_training(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        self.save(host, directory)?;
        write_json(&directory.join(PROGRESS), &(&self.options, &self.progress))
    }

    fn load_training(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let (options, progress): (Options, Progress) = read_json(&directory.join(PROGRESS))?;
        if options != self.options {
            return Err(Error::invalid("the training was begun with other options"));
        }
        self.load(host, directory)?;
        self.progress = progress;
        Ok(())
    }
}

txray_plugin::plugin!(models = [{{Type}}]);

#[cfg(test)]
mod tests {
    txray_conformance::model_suite!(crate::plugin);
}
