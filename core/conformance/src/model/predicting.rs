//! What a language model predicts.

use txray_plugin::{EncodeRequest, Host, Mask, Model, Opaque, PredictRequest, Task, Threads};

use super::{CASES, Documents, ModelMaker, SEED, VOCABULARY, documents, initialized, some_documents, state};
use crate::bench::{Bench, Failure};
use crate::guarded::Guarded;

/// How far losses may be off, relative above 1, where only the documents beside differ: a model may add in single precision.
const TOLERANCE: f64 = 1e-4;

pub(super) fn hold(bench: &mut Bench<'_>, maker: &ModelMaker<'_>) {
    let mut model = None;
    let predicts = bench.property("predicts what it is given", |_| {
        let made = initialized(maker, SEED)?;
        predict(&*made, &some_documents(), None, &[], 1)?;
        model = Some(made);
        Ok(())
    });
    let Some(model) = model.filter(|_| predicts) else { return };
    losses(bench, &*model);
    streams(bench, &*model);
    masks(bench, &*model);
    predictions(bench, &*model);
}

/// Which tokens a loss counts, and what it depends on.
fn losses(bench: &mut Bench<'_>, model: &dyn Model) {
    bench.property("predicts every token that follows another", |settings| {
        settings.at_most(CASES).for_all(documents(), |documents| {
            for carries in [false, true] {
                if carries && model.as_carry().is_none() {
                    continue;
                }
                let found = |threads| predict(model, documents, fresh(model, carries)?.as_mut(), &[], threads);
                let (one, four) = (found(1)?, found(4)?);
                if one.bits() != four.bits() {
                    return Err("it predicts otherwise on 4 threads than on 1".to_owned());
                }
                let mut at = 0;
                for (number, document) in documents.iter().enumerate() {
                    let given = usize::from(!document.is_empty() && (at == 0 || !carries));
                    let expected = (document.len() - given) as u64;
                    if one.counts[number] != expected {
                        return Err(format!(
                            "of document {number} it predicted {} tokens, not {expected}",
                            one.counts[number]
                        ));
                    }
                    let own = &one.tokens[at..at + document.len()];
                    if own.iter().zip(0..).any(|(loss, position)| loss.is_nan() != (position < given)) {
                        return Err(format!("in document {number} it told losses of other tokens than it predicted"));
                    }
                    near(own[given..].iter().map(|&loss| f64::from(loss)).sum(), one.losses[number])
                        .map_err(|what| format!("the losses of the tokens of document {number} add up to {what}"))?;
                    at += document.len();
                }
            }
            Ok(())
        })
    });

    bench.property("predicts a document the same whatever is beside it", |settings| {
        settings.at_most(CASES).for_all(documents(), |documents| {
            let together = predict(model, documents, None, &[], 2)?;
            for (number, document) in documents.iter().enumerate() {
                let alone = predict(model, std::slice::from_ref(document), None, &[], 1)?;
                near(alone.losses[0], together.losses[number])
                    .map_err(|what| format!("alone, the loss of document {number} is {what}"))?;
            }
            Ok(())
        })
    });
}

fn streams(bench: &mut Bench<'_>, model: &dyn Model) {
    bench.property("predicts a stream the same wherever it is cut", |settings| {
        if model.as_carry().is_none() {
            return Err(Failure::Skipped("it has no state to carry".to_owned()));
        }
        settings.at_most(CASES).for_all(documents(), |documents| {
            let whole = predict(model, documents, fresh(model, true)?.as_mut(), &[], 2)?;
            for cut in 0..=documents.len() {
                let mut state = fresh(model, true)?;
                let mut losses = Vec::new();
                for part in [&documents[..cut], &documents[cut..]] {
                    losses.extend(predict(model, part, state.as_mut(), &[], 2)?.losses);
                }
                for (number, (cut_once, whole)) in losses.into_iter().zip(&whole.losses).enumerate() {
                    near(cut_once, *whole).map_err(|what| {
                        format!("cut after {cut} documents, the loss of document {number} is {what}")
                    })?;
                }
            }
            Ok(())
        })
    });
}

fn masks(bench: &mut Bench<'_>, model: &dyn Model) {
    bench.property("predicts the same under a mask that holds no neuron", |settings| {
        if !model.capabilities().masks {
            return Err(Failure::Skipped("it knows no masks".to_owned()));
        }
        let description = super::reading::described(model)?;
        let maskable =
            || description.sites.iter().enumerate().filter(|(site, _)| !description.unmaskable.contains(site));
        settings.at_most(CASES).for_all(documents(), |documents| {
            let free = predict(model, documents, None, &[], 2)?;
            for (site, described) in maskable() {
                let values = vec![f32::NAN; described.width];
                if predict(model, documents, None, &[Mask { site, values: &values }], 2)?.bits() != free.bits() {
                    return Err(format!("a mask of site {site} that holds no neuron changes what it predicts"));
                }
            }
            Ok(())
        })
    });

    bench.property("predicts otherwise under a mask that holds every neuron", |_| {
        if !model.capabilities().masks {
            return Err(Failure::Skipped("it knows no masks".to_owned()));
        }
        let description = super::reading::described(model)?;
        let values: Vec<Vec<f32>> = description.sites.iter().map(|site| vec![0.25; site.width]).collect();
        let masks = values.iter().enumerate().filter(|(site, _)| !description.unmaskable.contains(site));
        let masks: Vec<Mask<'_>> = masks.map(|(site, values)| Mask { site, values }).collect();
        let [free, held] = [&[][..], &masks].map(|masks| predict(model, &some_documents(), None, masks, 2));
        match free?.bits() != held?.bits() {
            true => Ok(()),
            false => Err(Failure::from("a mask of every neuron changes no loss".to_owned())),
        }
    });
}

/// What it says that it predicts where it reads is what has the least loss.
fn predictions(bench: &mut Bench<'_>, model: &dyn Model) {
    bench.property("holds most probable what it predicts as it reads", |settings| {
        let Some(encode) = model.as_encode().filter(|_| model.capabilities().predictions) else {
            return Err(Failure::Skipped("it tells no predictions".to_owned()));
        };
        settings.at_most(2).for_all(documents(), |drawn| {
            for document in drawn.iter().filter(|document| !document.is_empty()) {
                let mut predicted = vec![0; document.len()];
                let read = Documents::new(std::slice::from_ref(document));
                let predictions = Some((Task::LanguageModel, &mut predicted[..]));
                let mut request = EncodeRequest { predictions, ..EncodeRequest::new(read.text()) };
                encode
                    .encode(&Host::new(&Threads(1)), &mut request)
                    .map_err(|error| format!("it did not read: {error}"))?;
                // The whole document with each token that could follow.
                let followed: Vec<Vec<u32>> =
                    (0..VOCABULARY as u32).map(|next| [&document[..], &[next]].concat()).collect();
                let found = predict(model, &followed, None, &[], 1)?;
                let losses: Vec<f32> = found.tokens.chunks(document.len() + 1).map(|of| of[document.len()]).collect();
                let best = predicted[document.len() - 1];
                let least = losses.iter().copied().fold(f32::INFINITY, f32::min);
                near(f64::from(losses[best as usize]), f64::from(least))
                    .map_err(|what| format!("after {document:?} it predicts token {best}, whose loss is {what}"))?;
            }
            Ok(())
        })
    });
}

/// An error where two models predict some text differently, bit by bit.
pub(super) fn same(a: &dyn Model, b: &dyn Model) -> Result<(), String> {
    let [before, after] = [a, b].map(|model| predict(model, &some_documents(), None, &[], 1));
    match before?.bits() == after?.bits() {
        true => Ok(()),
        false => Err("it predicts otherwise than before".to_owned()),
    }
}

/// A state that has read nothing, where one is to be carried.
fn fresh(model: &dyn Model, carries: bool) -> Result<Option<Opaque>, String> {
    if carries { state(model) } else { Ok(None) }
}

fn near(found: f64, expected: f64) -> Result<(), String> {
    match (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0) {
        true => Ok(()),
        false => Err(format!("{found}, not {expected}")),
    }
}

struct Predicted {
    losses: Vec<f64>,
    counts: Vec<u64>,
    tokens: Vec<f32>,
}

impl Predicted {
    fn bits(&self) -> (Vec<u64>, &[u64], Vec<u32>) {
        let losses = self.losses.iter().map(|loss| loss.to_bits()).collect();
        (losses, &self.counts, self.tokens.iter().map(|loss| loss.to_bits()).collect())
    }
}

/// Predicts documents, into guarded memory.
fn predict(
    model: &dyn Model,
    documents: &[Vec<u32>],
    state: Option<&mut Opaque>,
    masks: &[Mask<'_>],
    threads: usize,
) -> Result<Predicted, String> {
    let documents = Documents::new(documents);
    let text = documents.text();
    let mut losses = Guarded::new(text.len(), f64::NAN, -777.0);
    let mut counts = Guarded::new(text.len(), u64::MAX, 77_777_u64);
    let mut tokens = Guarded::new(text.ids.len(), f32::INFINITY, -777.0);
    let request = PredictRequest::new(Task::LanguageModel, text.into(), losses.values_mut(), counts.values_mut());
    let mut request = PredictRequest { state, masks, token_losses: Some(tokens.values_mut()), ..request };
    let able = model.as_predict().ok_or("it is no longer able to predict")?;
    able.predict(&Host::new(&Threads(threads)), &mut request)
        .map_err(|error| format!("it did not predict: {error}"))?;
    if let Some(at) = losses.breach().or(counts.breach()).or(tokens.breach()) {
        return Err(format!("it wrote beside its outputs, at {at}"));
    }
    if let Some(at) = losses.values().iter().position(|loss| !loss.is_finite()) {
        return Err(format!("the loss of document {at} is {}", losses.values()[at]));
    }
    Ok(Predicted {
        losses: losses.values().to_vec(),
        counts: counts.values().to_vec(),
        tokens: tokens.values().to_vec(),
    })
}
