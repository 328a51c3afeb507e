//! What a model tells of labels: of documents, of tokens.

use txray_plugin::{Examples, Host, Mask, Model, NULL, PredictRequest, Task, Text, Threads};

use super::training::{Lesson, trainer};
use super::{CASES, Documents, ModelMaker, SEED, directory, documents, initialized, load, saved};
use crate::bench::{Bench, Failure};
use crate::guarded::Guarded;

/// How far figures may be off, relative above 1, where only the documents beside differ: a model may add in single precision.
const TOLERANCE: f64 = 1e-4;

/// Those of a model's tasks that have labels.
pub(super) fn tasks(model: &dyn Model) -> Vec<Task> {
    model.capabilities().tasks.into_iter().filter(|task| *task != Task::LanguageModel).collect()
}

pub(super) fn hold(bench: &mut Bench<'_>, maker: &ModelMaker<'_>) {
    let mut models = Vec::new();
    let made = bench.property("tells labels of what it is given", |_| {
        for task in tasks(&*maker.fresh()?) {
            let model = labelled(maker, task)?;
            let description = super::reading::described(&*model)?;
            let classes =
                description.classes(task).ok_or_else(|| format!("trained for {task:?}, it has no such head"))?;
            models.push((task, classes, model));
        }
        Ok(())
    });
    if !made {
        return;
    }
    bench.property("tells labels that fit their probabilities", |settings| {
        for (task, classes, model) in &models {
            settings.at_most(CASES).for_all(documents(), |documents| {
                let of = Labelled::new(*task, *classes, documents);
                let (one, four) = (of.told(&**model, &[], 1)?, of.told(&**model, &[], 4)?);
                if one.bits() != four.bits() {
                    return Err(format!("{task:?}: it tells otherwise on 4 threads than on 1"));
                }
                of.fits(&one).map_err(|what| format!("{task:?}: {what}"))
            })?;
        }
        Ok(())
    });

    bench.property("tells the labels of a document the same whatever is beside it", |settings| {
        for (task, classes, model) in &models {
            settings.at_most(CASES).for_all(documents(), |documents| {
                let of = Labelled::new(*task, *classes, documents);
                let together = of.told(&**model, &[], 2)?;
                for document in 0..documents.len() {
                    let alone = of.only(document);
                    let told = alone.told(&**model, &[], 1)?;
                    let own = of.rows(document);
                    let own = &together.probabilities[own.start * classes..own.end * classes];
                    for (alone, together) in told.probabilities.iter().zip(own) {
                        near(f64::from(*alone), f64::from(*together))
                            .map_err(|what| format!("{task:?}: alone, a label of document {document} has {what}"))?;
                    }
                    near(told.losses[0], together.losses[document])
                        .map_err(|what| format!("{task:?}: alone, the loss of document {document} is {what}"))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    });

    bench.property("tells the same labels under a mask that holds no neuron", |_| {
        for (task, classes, model) in &models {
            if !model.capabilities().masks {
                return Err(Failure::Skipped("it knows no masks".to_owned()));
            }
            let description = super::reading::described(&**model)?;
            let of = Labelled::new(*task, *classes, &super::some_documents());
            let told = |value: f32| {
                let values: Vec<Vec<f32>> = description.sites.iter().map(|site| vec![value; site.width]).collect();
                let masks = values.iter().enumerate().filter(|(site, _)| !description.unmaskable.contains(site));
                let masks: Vec<Mask<'_>> = masks.map(|(site, values)| Mask { site, values }).collect();
                Ok::<_, String>(of.told(&**model, &masks, 2)?.bits())
            };
            if told(f32::NAN)? != of.told(&**model, &[], 2)?.bits() {
                return Err(Failure::from(format!("{task:?}: a mask that holds no neuron changes what it tells")));
            }
        }
        Ok(())
    });

    bench.property("tells the same labels once it was saved and loaded", |_| {
        for (task, classes, model) in &models {
            let (bytes, directory) = saved(&**model)?;
            let loaded = load(maker, directory.path()).map_err(|error| format!("it did not load: {error}"))?;
            if super::reading::described(&*loaded)? != super::reading::described(&**model)? {
                return Err(Failure::from(format!("{task:?}: loaded, it describes itself otherwise")));
            }
            let of = Labelled::new(*task, *classes, &super::some_documents());
            if of.told(&*loaded, &[], 1)?.bits() != of.told(&**model, &[], 1)?.bits() {
                return Err(Failure::from(format!("{task:?}: loaded, it tells other labels")));
            }
            if saved(&*loaded)?.0 != bytes {
                return Err(Failure::from(format!("{task:?}: loaded and saved again, its bytes differ")));
            }
        }
        Ok(())
    });
}

/// A model with a head for a task, which it may have to be trained for.
fn labelled(maker: &ModelMaker<'_>, task: Task) -> Result<Box<dyn Model>, String> {
    let mut model = initialized(maker, SEED)?;
    let has_head = super::reading::described(&*model)?.classes(task).is_some();
    if has_head || model.as_train().is_none() {
        return Ok(model);
    }
    let (lesson, host) = (Lesson::new(task), Host::new(&Threads(1)));
    let trainer = trainer(&mut *model)?;
    let begun = trainer.begin(&host, &lesson.request(), None);
    let mut session = begun.map_err(|error| format!("it did not begin to train for {task:?}: {error}"))?;
    trainer.step(&host, &mut session, Some(0.0)).map_err(|error| format!("it did not train for {task:?}: {error}"))?;
    // So that no session is left.
    let kept = directory()?;
    model.save(&host, kept.path()).map_err(|error| format!("it was not saved: {error}"))?;
    drop(session);
    load(maker, kept.path()).map_err(|error| format!("it did not load: {error}"))
}

/// Documents with labels, of which some are missing.
struct Labelled {
    task: Task,
    classes: usize,
    documents: Documents,
    targets: Vec<u32>,
}

impl Labelled {
    fn new(task: Task, classes: usize, documents: &[Vec<u32>]) -> Self {
        let documents = Documents::new(documents);
        let count = if task == Task::Tagging { documents.ids.len() } else { documents.text().len() };
        let target = |at: u32| if at % 4 == 3 { NULL } else { at * 7 % classes as u32 };
        Self { task, classes, targets: (0..count as u32).map(target).collect(), documents }
    }

    /// One of them alone.
    fn only(&self, document: usize) -> Self {
        let Self { task, classes, .. } = *self;
        let documents = Documents::new(&[self.documents.text().document(document).to_vec()]);
        Self { task, classes, documents, targets: self.targets[self.rows(document)].to_vec() }
    }

    /// The document, or its tokens, among the targets.
    fn rows(&self, document: usize) -> std::ops::Range<usize> {
        let Text { offsets, .. } = self.documents.text();
        match self.task {
            Task::Tagging => offsets[document] as usize..offsets[document + 1] as usize,
            _ => document..document + 1,
        }
    }

    /// What a model tells, into guarded memory.
    fn told(&self, model: &dyn Model, masks: &[Mask<'_>], threads: usize) -> Result<Told, String> {
        let (text, rows) = (self.documents.text(), self.targets.len());
        let mut losses = Guarded::new(text.len(), f64::NAN, -777.0);
        let mut counts = Guarded::new(text.len(), u64::MAX, 77_777_u64);
        let mut tokens = Guarded::new(text.ids.len(), f32::INFINITY, -777.0);
        let mut predicted = Guarded::new(rows, u32::MAX, 77_777_u32);
        let mut probabilities = Guarded::new(rows * self.classes, f32::NAN, -777.0);
        let examples = Examples { text, targets: &self.targets };
        let request = PredictRequest::new(self.task, examples, losses.values_mut(), counts.values_mut());
        let mut request = PredictRequest {
            masks,
            token_losses: Some(tokens.values_mut()),
            predicted: Some(predicted.values_mut()),
            probabilities: Some(probabilities.values_mut()),
            ..request
        };
        let able = model.as_predict().ok_or("it is no longer able to predict")?;
        able.predict(&Host::new(&Threads(threads)), &mut request)
            .map_err(|error| format!("it did not tell labels: {error}"))?;
        let breach = losses.breach().or(counts.breach()).or(tokens.breach());
        if let Some(at) = breach.or(predicted.breach()).or(probabilities.breach()) {
            return Err(format!("it wrote beside its outputs, at {at}"));
        }
        Ok(Told {
            losses: losses.values().to_vec(),
            counts: counts.values().to_vec(),
            tokens: tokens.values().to_vec(),
            predicted: predicted.values().to_vec(),
            probabilities: probabilities.values().to_vec(),
        })
    }

    /// Losses, counts and labels follow from the probabilities and the targets.
    fn fits(&self, told: &Told) -> Result<(), String> {
        for document in 0..told.losses.len() {
            let (mut loss, mut count) = (0.0, 0);
            let mut is_known = true;
            for row in self.rows(document) {
                let of = &told.probabilities[row * self.classes..][..self.classes];
                near(of.iter().copied().map(f64::from).sum(), 1.0)
                    .map_err(|what| format!("the probabilities of document {document} add up to {what}"))?;
                let most = of.iter().copied().fold(0.0, f32::max);
                if of.get(told.predicted[row] as usize) != Some(&most) {
                    return Err(format!("in document {document} it predicts a label that is not the most probable"));
                }
                if self.targets[row] != NULL {
                    let probability = f64::from(of[self.targets[row] as usize]);
                    // One that rounds to nothing does not tell its logarithm.
                    is_known &= probability > 1e-30;
                    (loss, count) = (loss - probability.ln(), count + 1);
                }
            }
            if told.counts[document] != count {
                return Err(format!("of document {document} it counts {} labels, not {count}", told.counts[document]));
            }
            if is_known {
                near(told.losses[document], loss)
                    .map_err(|what| format!("the loss of document {document} is {what}"))?;
            }
        }
        let is_told = |token: usize| self.task == Task::Tagging && self.targets[token] != NULL;
        match told.tokens.iter().enumerate().any(|(token, loss)| loss.is_nan() == is_told(token)) {
            true => Err("it tells losses of other tokens than have a label".to_owned()),
            false => Ok(()),
        }
    }
}

struct Told {
    losses: Vec<f64>,
    counts: Vec<u64>,
    tokens: Vec<f32>,
    predicted: Vec<u32>,
    probabilities: Vec<f32>,
}

impl Told {
    /// All of it; what is no number, too, can be compared so.
    fn bits(&self) -> (Vec<u64>, Vec<u64>, [Vec<u32>; 3]) {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
        let losses = self.losses.iter().map(|loss| loss.to_bits()).collect();
        (losses, self.counts.clone(), [bits(&self.tokens), self.predicted.clone(), bits(&self.probabilities)])
    }
}

fn near(found: f64, expected: f64) -> Result<(), String> {
    match (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0) {
        true => Ok(()),
        false => Err(format!("{found}, not {expected}")),
    }
}
