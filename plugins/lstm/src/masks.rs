//! Neurons that are held to values.

use txray_plugin::{Error, Mask, Result};

use crate::weights::Sizes;

/// `[passes]`: the values that the outputs of a layer, or of one direction of it, are held to, `[output]`, NaN where a neuron is left as it is.
#[derive(Debug)]
pub(crate) struct Masks(Vec<Option<Vec<f32>>>);

impl Masks {
    /// Those of a request that fits the model; `sites` of a pass: its outputs, and its cell if that is asked for, of which there
    /// are no masks.
    pub fn new(masks: &[Mask<'_>], sizes: Sizes, sites: usize) -> Result<Self> {
        let mut all = vec![None; sizes.passes()];
        for mask in masks {
            let (pass, site) = (mask.site / sites, mask.site % sites);
            let (name, width) = sizes.site(pass, site);
            if site != 0 || mask.values.len() != width {
                return Err(Error::failed(format!("a mask of {name} cannot be")));
            }
            if mask.values.iter().any(|value| !value.is_nan()) {
                all[pass] = Some(mask.values.to_vec());
            }
        }
        Ok(Self(all))
    }

    /// `[output]`, or none: every neuron of the pass is left as it is.
    pub fn pass(&self, pass: usize) -> Option<&[f32]> {
        self.0[pass].as_deref()
    }
}
