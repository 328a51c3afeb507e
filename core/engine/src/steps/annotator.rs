//! `[annotator.NAME]`: what gives the words of texts a layer, and the step in which it learns to.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use txray_config::{At, Name};
use txray_plugin::Level;
use txray_text::{ANNOTATORS, Context, CorpusError, Learn, OpenError, OptionError, check_layer};

use crate::check::{Check, Section};
use crate::error::{Error, Result};
use crate::form::Form;
use crate::inputs::Hashes;
use crate::step::{Made, Making, Step};

/// An annotator of a pipeline. The layer that it gives is called as it is.
pub struct Annotator {
    /// Its name.
    pub name: Name,
    kind: String,
    learn: Box<dyn Learn>,
}

impl Section for Annotator {
    const TABLE: &'static str = "annotator";
    const PLURAL: &'static str = "annotators";
    const ABOUT: &'static str = "What gives the words of any text a layer of features, which is called as it is: `[annotator.pos]` the layer \
                                 `pos`. Each has its `kind`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        if let Err(error) = check_layer(name) {
            let error = check.document.error(pointer, At::Key, error.to_string());
            check.diagnostics.push(error.help("an annotator is called as the layer that it gives"));
        }
        let kinds: Vec<&str> = ANNOTATORS.iter().map(|annotator| annotator.kind).collect();
        let (kind, options) = check.kind(pointer, &kinds, "annotator")?;
        let annotator = ANNOTATORS.iter().find(|annotator| annotator.kind == kind)?;
        let schema = (annotator.schema)();
        check.put(pointer, &txray_config::with_defaults(&schema, &options));
        let context = Context { resolver: check.resolver, seed: check.seed };
        let opened = check.document.read_with(pointer, options, &schema, &mut check.diagnostics, |options| {
            match (annotator.open)(options, &context) {
                Ok(learn) => Ok(Ok(learn)),
                Err(OpenError::Options(errors)) => Ok(Err(errors)),
                Err(OpenError::Table { pointer, message }) => Err((pointer, message)),
            }
        });
        match opened? {
            Ok(learn) => Some(Self { name: name.clone(), kind, learn }),
            Err(errors) => {
                for OptionError { pointer: option, error } in errors {
                    check.corpus_error(&format!("{pointer}{option}"), &error);
                }
                None
            }
        }
    }

    /// None of its own: it learns where a stage asks for its layer.
    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        Vec::new()
    }

    fn form() -> Form {
        Form::annotators()
    }
}

impl Annotator {
    /// The annotator, as it learned.
    pub fn load(&self, making: &Making<'_>) -> Result<Box<dyn txray_text::Annotator>> {
        let folder: &Path = making.input(self)?;
        Ok(self.learn.load(folder, making.inputs)?)
    }
}

impl Step for Annotator {
    fn kind(&self) -> &'static str {
        Self::TABLE
    }

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn level(&self) -> Level {
        Level::Information
    }

    fn recipe(&self, hashes: &mut Hashes<'_>) -> Result<Value> {
        let files = self.learn.files();
        let files = files.iter().map(|path| hashes.file(path)).collect::<Result<Vec<Value>>>()?;
        Ok(json!({ "kind": self.kind, "annotator": self.learn.recipe(), "files": files }))
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let host = making.host;
        let learned = self.learn.learn(making.inputs, &|| host.cancelled(), making.directory);
        let figures = learned.map_err(|error| match error {
            CorpusError::Stopped => Error::Cancelled,
            other => other.into(),
        })?;
        Made::with(self, &figures)
    }
}
