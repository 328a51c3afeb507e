//! What an annotator is.
//!
//! It is opened from its table in the pipeline ([`Learn`]), learns into a folder what it has to, once, and is loaded from there
//! ([`Annotator`]), to give the stretches of any text their values.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::corpus::Span;
use crate::error::{CorpusError, OptionError};
use crate::files::Files;
use crate::format::{OpenError, options};
use crate::resolve::Context;

/// An annotator that is set up, and not yet made.
pub trait Learn: Send + Sync + std::fmt::Debug {
    /// The files that it is made from, for hashing.
    fn files(&self) -> Vec<PathBuf>;

    /// What it depends on apart from the bytes of these files: not their names.
    fn recipe(&self) -> Value;

    /// Learns, and writes what it learned into `folder`, which is there; most annotators have nothing to write. Figures
    /// come back as JSON: how much was learned from, and how well. `stop` is asked often whether to give up.
    ///
    /// # Errors
    /// What is wrong with its files, and [`CorpusError::Stopped`] if `stop` said so.
    fn learn(&self, files: &dyn Files, stop: &(dyn Fn() -> bool + Sync), folder: &Path) -> Result<Value, CorpusError>;

    /// The annotator, from the `folder` that it wrote into.
    ///
    /// # Errors
    /// What is wrong with the folder, or with its files.
    fn load(&self, folder: &Path, files: &dyn Files) -> Result<Box<dyn Annotator>, CorpusError>;
}

/// Gives stretches of a text their values.
pub trait Annotator: Send + Sync {
    /// The stretches of one layer, sorted, none over another, and without white space at their ends. The same text has
    /// the same ones whatever was read before.
    fn annotate(&self, text: &str) -> Vec<Span>;
}

/// The options of an annotator: its table in the pipeline's TOML, without `kind`. The doc comments are the reference.
pub trait AnnotatorOptions: DeserializeOwned + JsonSchema {
    /// What pipelines call it: `kind = "perceptron"`.
    const KIND: &'static str;

    /// Sets the annotator up. Checks everything that can be checked without reading whole files.
    ///
    /// # Errors
    /// Every option at fault.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Learn>, Vec<OptionError>>;
}

/// A kind of annotators, whatever its options.
#[derive(Clone, Copy, Debug)]
pub struct AnnotatorKind {
    /// What pipelines call it.
    pub kind: &'static str,
    /// JSON Schema of its options.
    pub schema: fn() -> Value,
    /// Sets one up from its table.
    pub open: SetUp,
}

/// How an annotator is set up, from its table.
pub type SetUp = fn(&Value, &Context<'_>) -> Result<Box<dyn Learn>, OpenError>;

impl AnnotatorKind {
    /// The annotator of these options.
    pub const fn of<T: AnnotatorOptions>() -> Self {
        let open =
            |table: &Value, context: &Context<'_>| options::<T>(table)?.open(context).map_err(OpenError::Options);
        Self { kind: T::KIND, schema: || schemars::schema_for!(T).to_value(), open }
    }
}

/// A span of a text by its bytes, as one by Unicode scalars. Asked for places in rising order.
pub(crate) struct Scalars<'a> {
    text: &'a str,
    byte: usize,
    scalar: u32,
}

impl<'a> Scalars<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, byte: 0, scalar: 0 }
    }

    /// The Unicode scalars before a byte.
    pub(crate) fn before(&mut self, byte: usize) -> u32 {
        self.scalar += self.text[self.byte..byte].chars().count() as u32;
        self.byte = byte;
        self.scalar
    }
}
