//! Sessions of training.

use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use txray_plugin::{
    Ability, Carry, Error, Examples, Host, NULL, Opaque, OwnedText, Predict, PredictRequest, Result, State, Task,
    Train, TrainReport, TrainRequest,
};

use crate::features::{Features, Kept};
use crate::labels::Labels;
use crate::masks::Masks;
use crate::options::TrainOptions;
use crate::resume::{self, Training};
use crate::tracker::{Stop, Tracker, pool, watched};
use crate::train::{self, Begun, Labelling, Lesson, Progress, Streams, Trainer};
use crate::weights::Weights;
use crate::{Lstm, encode, memory, predict, refuse_lack};

/// A training under way, kept by the caller of a model.
struct Session {
    of: Material,
    valid: Option<Valid>,
    seed: u64,
    /// With what the task goes without saying.
    options: TrainOptions,
    progress: Progress,
}

/// What an epoch reads.
enum Material {
    Streams(Streams),
    Lesson {
        lesson: Lesson,
        /// Of a frozen encoder, once it has read.
        features: Option<Box<ReadOnce>>,
    },
}

/// What the head reads of the documents to train on, and of those to validate on.
struct ReadOnce {
    train: Features,
    valid: Option<Features>,
}

/// What is validated on.
struct Valid {
    text: OwnedText,
    targets: Vec<u32>,
}

impl Valid {
    fn examples(&self) -> Examples<'_> {
        Examples { text: self.text.text(), targets: &self.targets }
    }
}

impl Material {
    /// Optimizer steps of an epoch.
    fn steps(&self) -> usize {
        match self {
            Self::Streams(streams) => streams.windows(),
            Self::Lesson { lesson, .. } => lesson.steps(),
        }
    }

    /// The most tokens that a step reads, and the option that would make them fewer.
    fn rows(&self) -> (usize, &'static str) {
        match self {
            Self::Streams(streams) => (streams.rows(), "/train/bptt"),
            Self::Lesson { lesson, .. } => (lesson.rows(), "/train/batch"),
        }
    }
}

impl Train for Lstm {
    fn begin(&mut self, host: &Host<'_>, request: &TrainRequest<'_>, from: Option<&Path>) -> Result<Opaque> {
        let options = self.options.train.of_task(request.task)?;
        let labels = match request.task {
            Task::LanguageModel => None,
            task => Some(Labels::new(task, request.classes, self.options.task.pooling)?),
        };
        // Going on, the weights come from the directory; else they are those of the model, under the head of the task.
        let begun = match from {
            Some(_) => None,
            None => {
                refuse_lack(self.weights()?.sizes, Ability::Train)?;
                Some(match labels {
                    Some(labels) => self.weights()?.labelled(labels, request.seed)?,
                    None => self.weights()?.decoder().and_then(|_| Ok(self.weights()?.clone()))?,
                })
            }
        };
        let of = match labels {
            None => Material::Streams(Streams::new(request.train.text, &options)?),
            Some(labels) => Material::Lesson { lesson: Lesson::new(host, request, labels, &options)?, features: None },
        };
        if let Some(valid) = request.valid {
            check_validation(valid, labels, &options)?;
        }
        let (weights, progress) = match (begun, from) {
            (Some(weights), _) => (weights, Progress::new(&options, Begun::of(request))),
            (None, directory) => {
                let directory = directory.unwrap_or(Path::new(""));
                let Training { weights, progress } = resume::load(&self.options, &options, directory)?;
                progress.goes_on(&Begun::of(request), of.steps())?;
                (weights, progress)
            }
        };
        for examples in [Some(request.train), request.valid].into_iter().flatten() {
            encode::check_text(examples.text, weights.sizes)?;
        }
        let (rows, pointer) = of.rows();
        train::check_memory(weights.sizes, &options, rows, pointer)?;
        let valid =
            request.valid.map(|valid| Valid { text: OwnedText::from(valid.text), targets: valid.targets.to_vec() });
        let mut session = Session { of, valid, seed: request.seed, options, progress };
        let trained_state = Some(if labels.is_some() { State::Reset } else { session.options.state });
        *self = Self { weights: Some(weights), trained_state, ..Self::new(self.options.clone()) };
        // It may stand at its end.
        session.show(self.weights()?)?;
        Ok(Opaque::new(session))
    }

    /// The recurrent state is cleared where an epoch begins. Validation belongs to the epoch: where time is over after the
    /// last step, validation is left to the next call.
    fn step(&mut self, host: &Host<'_>, session: &mut Opaque, pause: Option<f64>) -> Result<TrainReport> {
        let start = Instant::now();
        let over = || pause.is_some_and(|seconds| start.elapsed().as_secs_f64() >= seconds);
        let session: &mut Session = session.get_mut()?;
        session.progress.take_last(self.weights()?, &session.options)?;
        self.prepared = Mutex::default();
        let mut reading = 0.0;
        if let Material::Lesson { lesson, features: features @ None } = &mut session.of
            && session.options.freeze_encoder
        {
            *features = Some(Box::new(self.read_once(host, lesson, session.valid.as_ref())?));
            reading = start.elapsed().as_secs_f64();
        }
        let (seconds, paused) = self.optimize(host, session, over)?;
        let loss = session.progress.cursor.mean();
        let mut valid_loss = None;
        if !paused {
            valid_loss = self.validate(host, session)?;
            // What scoring has prepared from the weights is stale once they change again.
            self.prepared = Mutex::default();
            let weights = self.weights()?;
            session.progress.end_epoch(valid_loss, &session.options);
            if valid_loss.is_some() && weights.sizes.labels.is_some() {
                session.progress.keep_best(weights, &session.options)?;
            }
            session.show(weights)?;
        }
        let Progress { epoch, tokens, .. } = session.progress;
        let done = session.progress.is_done(&session.options);
        Ok(TrainReport { epoch, tokens, loss, valid_loss, seconds: seconds + reading, done, paused })
    }

    fn save_session(&self, _: &Host<'_>, session: &Opaque, directory: &Path) -> Result<()> {
        let session: &Session = session.get()?;
        resume::save(self.weights()?, &self.options, &session.options, &session.progress, directory)
    }
}

impl Session {
    /// At the end of a training for labels that may end early, the model has the weights of the best epoch.
    fn show(&mut self, weights: &Weights) -> Result<()> {
        let Self { options, progress, .. } = self;
        match progress.cursor.windows == 0
            && progress.epoch > 0
            && progress.is_done(options)
            && options.patience.is_some()
        {
            true => progress.show_best(weights, options),
            false => Ok(()),
        }
    }
}

impl Lstm {
    /// Makes the steps that are left of an epoch, until time is `over`.
    fn optimize(&self, host: &Host<'_>, session: &mut Session, over: impl Fn() -> bool + Send) -> Result<(f64, bool)> {
        let Session { of, seed, options, progress, .. } = session;
        let (pool, stop, fast) = (pool(host)?, Stop::default(), self.options.fast);
        let (weights, seed, epochs) = (self.weights()?, *seed, options.epochs);
        let progressing = |total: usize, done: usize| Tracker::new(host, "", total).counting_from(done);
        match of {
            Material::Streams(streams) => {
                let tracker = progressing(streams.tokens(), streams.tokens_before(progress.cursor.windows));
                let trainer = Trainer::new(weights, options, streams, seed, stop.clone(), fast);
                watched(host, &pool, &stop, || train::run(&trainer, epochs, progress, over, &tracker))
            }
            Material::Lesson { lesson, features } => {
                let order = lesson.order(progress.epoch);
                let done = order[..progress.cursor.windows].iter().map(|step| lesson.tokens_of(step)).sum();
                let tracker = progressing(lesson.tokens(), done);
                let features = features.as_ref().map(|of| &of.train);
                let labelling = Labelling { weights, options, lesson, features, seed, stop: stop.clone(), fast, order };
                watched(host, &pool, &stop, || train::run(&labelling, epochs, progress, over, &tracker))
            }
        }
    }

    /// The mean validation loss, nats.
    fn validate(&self, host: &Host<'_>, session: &Session) -> Result<Option<f64>> {
        let Some(valid) = &session.valid else { return Ok(None) };
        if let Material::Lesson { features: Some(of), .. } = &session.of
            && let Some(features) = &of.valid
        {
            return features.loss(&|features: &[f32]| self.log_probabilities(host, features)).map(Some);
        }
        let Some(labels) = self.weights()?.sizes.labels else {
            let mut state = match session.options.state {
                State::Reset => None,
                State::Carry => Some(self.state(host, None)?),
            };
            let score = self.score(host, valid.text.text(), state.as_mut())?;
            return Ok(Some(score.nll / score.tokens as f64));
        };
        let documents = valid.text.text().len();
        let (mut losses, mut counts) = (vec![0.0; documents], vec![0; documents]);
        self.predict(host, &mut PredictRequest::new(labels.task(), valid.examples(), &mut losses, &mut counts))?;
        Ok(Some(losses.iter().sum::<f64>() / counts.iter().sum::<u64>() as f64))
    }

    /// What the head reads of all documents, which a frozen encoder gives the same in every epoch.
    fn read_once(&self, host: &Host<'_>, lesson: &Lesson, valid: Option<&Valid>) -> Result<ReadOnce> {
        let sizes = self.weights()?.sizes;
        let masks = Masks::new(&[], sizes, self.sites_of_a_pass())?;
        let of = |examples: Examples<'_>| {
            let rows = if lesson.labels.pooling.is_some() { examples.text.len() } else { examples.text.ids.len() };
            let bytes = (rows * lesson.labels.features(sizes.last()) * size_of::<f32>()) as u128;
            memory::check("/train/freeze_encoder", &format!("what is read once of {rows} rows"), 2 * bytes)?;
            let kept = self.features(host, &masks, examples.text, Kept::default)?;
            Ok(Features::new(lesson.labels, sizes, examples, &kept))
        };
        let (train, valid) = (of(lesson.examples())?, valid.map(|valid| of(valid.examples())).transpose()?);
        Ok(ReadOnce { train, valid })
    }
}

/// Refuses what nothing can be validated on.
fn check_validation(valid: Examples<'_>, labels: Option<Labels>, options: &TrainOptions) -> Result<()> {
    match labels {
        None if !predict::is_predictable(valid.text, options.state) => {
            Err(Error::invalid("the validation text has nothing to predict: no token follows another"))
        }
        Some(_) if valid.targets.iter().all(|&target| target == NULL) => {
            Err(Error::invalid("nothing to validate on has a label"))
        }
        _ => Ok(()),
    }
}
