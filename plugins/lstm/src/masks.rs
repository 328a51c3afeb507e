//! Neurons that are held to values.

use txray_plugin::{Error, Mask, Result};

use crate::weights::Sizes;

/// `[layers]`: the values that the outputs of a layer are held to, `[hidden]`, NaN where a neuron is left as it is.
#[derive(Debug)]
pub(crate) struct Masks(Vec<Option<Vec<f32>>>);

impl Masks {
    /// Those of a request that fits the model; `sites` of a layer: its outputs, and its cell if that is asked for, of which there
    /// are no masks.
    pub fn new(masks: &[Mask<'_>], sizes: Sizes, sites: usize) -> Result<Self> {
        let mut all = vec![None; sizes.layers];
        for mask in masks {
            let (layer, site) = (mask.site / sites, mask.site % sites);
            if site != 0 || mask.values.len() != sizes.hidden {
                return Err(Error::failed(format!("a mask of {} cannot be", sizes.cell.site(layer, site))));
            }
            if mask.values.iter().any(|value| !value.is_nan()) {
                all[layer] = Some(mask.values.to_vec());
            }
        }
        Ok(Self(all))
    }

    /// `[hidden]`, or none: every neuron of the layer is left as it is.
    pub fn layer(&self, layer: usize) -> Option<&[f32]> {
        self.0[layer].as_deref()
    }
}
