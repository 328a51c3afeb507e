//! What threads read in, kept from unit to unit and from call to call.

use std::array::from_fn;
use std::sync::{Mutex, PoisonError};

use crate::cpu::layer::{LayerLanes, Moments};
use crate::cpu::panels::{Aligned, Strips, strips};
use crate::weights::Sizes;

/// Strips of 16 lanes in a unit: together three registers of AVX-512, one after the other two of AVX2.
pub(crate) const STRIPS: usize = 3;

/// What a thread holds while it reads a unit.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub layers: Vec<LayerLanes>,
    /// The first layer's input, where there is no table of it.
    pub embedded: Strips<STRIPS>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self { layers: Vec::new(), embedded: from_fn(|_| Aligned::default()) }
    }
}

impl Workspace {
    /// Fits it to a network of these sizes that runs `layers` layers with `sites` sites each, as if nothing had been read in
    /// it before. `embeds`: the first layer's input is made at each step.
    pub fn clear(&mut self, sizes: Sizes, layers: usize, sites: usize, embeds: bool) {
        self.layers.iter_mut().for_each(LayerLanes::clear);
        self.layers.resize_with(layers, || LayerLanes::new(sizes.cell, sizes.hidden, sites));
        if embeds && self.embedded[0].is_empty() {
            self.embedded = strips(sizes.embedding);
        }
    }

    /// `[layer][site]`: over all tokens of the unit that were read here.
    pub fn moments(&self) -> Vec<Vec<Moments>> {
        let sites = |layer: &LayerLanes| layer.sites.iter().map(|site| site.moments.clone()).collect();
        self.layers.iter().map(sites).collect()
    }
}

/// Workspaces of a network that no thread is using. A text comes in many calls, and these keep each call from
/// allocating anew: there are never more of them than threads that read at once.
#[derive(Debug, Default)]
pub(crate) struct Spare<W>(Mutex<Vec<W>>);

impl<W: Default> Spare<W> {
    /// Runs `f` with a workspace of its own, a new one where all others are in use.
    pub fn lend<R>(&self, f: impl FnOnce(&mut W) -> R) -> R {
        let spare = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workspace = spare().pop().unwrap_or_default();
        let result = f(&mut workspace);
        spare().push(workspace);
        result
    }
}
