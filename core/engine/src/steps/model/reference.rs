//! What names a model in a pipeline, and where its weights are.

use std::path::PathBuf;
use std::sync::Arc;

use txray_plugin::{Model as PluginModel, ModelDescription};
use txray_text::Tokenizer;

use super::training::{LAST, checkpoint, load};
use super::{Model, ModelFigures, Origin};
use crate::check::Check;
use crate::error::{Error, Result};
use crate::step::Making;

/// A model of the pipeline, a replicate or a checkpoint of one: `lm`, `lm#2`, `lm@1`, `lm#2@1`.
#[derive(Clone)]
pub struct ModelRef {
    /// The model.
    pub model: Arc<Model>,
    /// The epoch of the checkpoint; none: after the last.
    pub epoch: Option<u64>,
    /// Whether the last weights stand for a checkpoint that training stopped before.
    pub or_last: bool,
}

impl std::fmt::Display for ModelRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.model.name;
        self.epoch.map_or_else(|| name.clone(), |epoch| name.at(epoch)).fmt(f)
    }
}

impl ModelRef {
    /// The model, or the checkpoint of one, that `text`, the value at `pointer`, names.
    pub fn find(check: &mut Check<'_>, pointer: &str, text: &str) -> Option<Self> {
        let (name, epoch) = match text.rsplit_once('@') {
            None => (text, None),
            Some((name, epoch)) => match epoch.parse() {
                Ok(epoch) => (name, Some(epoch)),
                Err(_) => {
                    check.error(pointer, format!("`{epoch}` is no epoch: write NAME@EPOCH, such as `{name}@1`"));
                    return None;
                }
            },
        };
        let (base, replicate) = match name.split_once('#') {
            None => (name, None),
            Some((base, seed)) => (base, Some(seed)),
        };
        let mut model = check.find::<Model>(pointer, base)?;
        if let Some(seed) = replicate {
            model = model.replicate(check, pointer, seed)?;
        }
        if let Some(epoch) = epoch.filter(|epoch| !model.checkpoints.contains(epoch)) {
            let help = format!("set `train.checkpoints = [{epoch}]` in [model.{base}]");
            check.error_with_help(pointer, format!("`{name}` keeps no checkpoint of epoch {epoch}"), help);
            return None;
        }
        Some(Self { model, epoch, or_last: false })
    }

    /// The checkpoints of the model in their order, each with its number; the last weights last, unless they are one of these.
    pub fn checkpoints(&self) -> Vec<(u64, Self)> {
        let mut epochs = self.model.checkpoints.clone();
        epochs.sort_unstable();
        let trained = self.model.epochs.as_ref().and_then(|at| self.model.plugin.options.pointer(at)?.as_u64());
        let of = |epoch| Self { model: Arc::clone(&self.model), epoch, or_last: true };
        let last = epochs.last().copied();
        let mut all: Vec<(u64, Self)> = epochs.into_iter().map(|epoch| (epoch, of(Some(epoch)))).collect();
        if last != trained || last.is_none() {
            all.push((trained.unwrap_or(last.unwrap_or(0) + 1), of(None)));
        }
        all
    }

    /// The epoch that it was kept after, where it was trained here.
    pub fn trained(&self, making: &Making<'_>) -> Result<Option<u64>> {
        match (self.epoch, self.model.is_trained()) {
            (None, true) => Ok(Some(making.figures::<ModelFigures>(&*self.model)?.epochs)),
            (Some(epoch), true) => Ok(Some(epoch.min(making.figures::<ModelFigures>(&*self.model)?.epochs))),
            (epoch, false) => Ok(epoch),
        }
    }

    /// Where its weights lie.
    pub fn weights(&self, making: &Making<'_>) -> Result<PathBuf> {
        if !self.model.is_made() {
            return match &self.model.origin {
                Origin::Directory(path) => Ok(path.clone()),
                Origin::Init(to) => to.weights(making),
                Origin::New(_) => Err(Error::from(txray_plugin::Error::failed("a new model has to be trained"))),
            };
        }
        let path = making.input(&*self.model)?;
        let Some(epoch) = self.epoch else { return Ok(path.join(LAST)) };
        let last = making.figures::<ModelFigures>(&*self.model)?.epochs;
        match (epoch > last, self.or_last) {
            (false, _) => Ok(path.join(checkpoint(epoch))),
            (true, true) => Ok(path.join(LAST)),
            (true, false) => Err(Error::NoCheckpoint { epoch, last }),
        }
    }

    /// Loads it, with its tokenizer.
    pub fn load(&self, making: &Making<'_>) -> Result<(Box<dyn PluginModel>, Tokenizer, ModelDescription)> {
        let mut model = self.model.create(making)?;
        let (tokenizer, description) = load(&mut *model, &self.weights(making)?, making.host, making.inputs)?;
        Ok((model, tokenizer, description))
    }
}
