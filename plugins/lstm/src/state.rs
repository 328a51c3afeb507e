//! The recurrent state that is carried from text to text.

use txray_plugin::{Error, Result, Text};

use crate::weights::Sizes;

/// A state, kept by the caller of a model.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    sizes: Sizes,
    /// `[layers]`: h, and an LSTM's c
    values: Vec<f32>,
    /// Whether it has read any token.
    has_read: bool,
}

impl Carried {
    /// That has read nothing.
    pub fn new(sizes: Sizes) -> Self {
        Self { sizes, values: vec![0.0; sizes.passes() * sizes.state()], has_read: false }
    }

    /// Itself, if it is of a network of these sizes.
    pub fn of(&self, sizes: Sizes) -> Result<&Self> {
        match self.sizes == sizes {
            true => Ok(self),
            false => Err(Error::failed("a state of other weights was given")),
        }
    }

    /// Reads a text with its values, and keeps what they have become where that does not fail.
    pub fn read<R>(&mut self, sizes: Sizes, text: Text<'_>, f: impl FnOnce(&mut [f32]) -> Result<R>) -> Result<R> {
        let mut values = self.of(sizes)?.values.clone();
        let read = f(&mut values)?;
        self.values = values;
        self.has_read |= !text.ids.is_empty();
        Ok(read)
    }

    /// `[output]`: the output of the last layer at the last token, if there was one.
    pub fn last_output(&self) -> Option<&[f32]> {
        let last = (self.sizes.passes() - 1) * self.sizes.state();
        self.has_read.then(|| &self.values[last..][..self.sizes.output()])
    }
}
