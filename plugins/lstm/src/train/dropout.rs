//! Dropout as a candle operation, its mask drawn from the project's generator.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use txray_plugin::random::Stream;

use super::contiguous;

/// Sets a share of the values to zero and scales the others up. (With candle's own product by a mask, the backward pass
/// would make two more products, one of them for a gradient of the mask that nobody needs.)
pub(super) struct Dropout {
    probability: f32,
    stream: Stream,
    /// What each value was multiplied by in the forward pass, for the backward pass.
    mask: Mutex<Vec<f32>>,
}

impl Dropout {
    pub fn new(probability: f32, stream: Stream) -> Self {
        Self { probability, stream, mask: Mutex::default() }
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = contiguous(x, layout)?;
        let (mut stream, kept) = (self.stream.clone(), 1.0 / (1.0 - self.probability));
        let mask: Vec<f32> = x.iter().map(|_| if stream.uniform() < self.probability { 0.0 } else { kept }).collect();
        let out = x.iter().zip(&mask).map(|(x, m)| x * m).collect();
        *self.mask.lock().unwrap_or_else(PoisonError::into_inner) = mask;
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, d_out: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let mask = self.mask.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gradient = d_out.flatten_all()?.to_vec1::<f32>()?;
        gradient.iter_mut().zip(&*mask).for_each(|(g, m)| *g *= m);
        Tensor::from_vec(gradient, x.shape(), x.device()).map(Some)
    }
}
