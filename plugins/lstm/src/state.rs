//! The recurrent state that is carried from text to text.

use txray_plugin::Text;

use crate::weights::Sizes;

/// A state, kept by the caller of a model.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    sizes: Sizes,
    /// `[layers, h (and c), hidden]`
    values: Vec<f32>,
    /// Whether it has read any token.
    has_read: bool,
}

impl Carried {
    /// That has read nothing.
    pub fn new(sizes: Sizes) -> Self {
        Self { sizes, values: vec![0.0; sizes.state()], has_read: false }
    }

    /// Its values, to read a text with.
    pub fn values_mut(&mut self, text: Text<'_>) -> &mut [f32] {
        self.has_read |= !text.ids.is_empty();
        &mut self.values
    }

    /// `[hidden]`: the output of the last layer at the last token, if there was one.
    pub fn last_output(&self) -> Option<&[f32]> {
        let layer = self.sizes.cell.state() * self.sizes.hidden;
        self.has_read.then(|| &self.values[(self.sizes.layers - 1) * layer..][..self.sizes.hidden])
    }
}
