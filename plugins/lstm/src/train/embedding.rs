//! The embedding as a candle operation with a sparse gradient.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use super::contiguous;

/// The gradient of the rows that were looked up; all others are zero.
#[derive(Debug, Default)]
pub(super) struct RowGradient {
    /// `[rows]`: token ids, rising.
    pub rows: Vec<u32>,
    /// `[rows, embedding]`
    pub values: Vec<f32>,
}

impl RowGradient {
    /// The sum of both, of rows `width` wide.
    pub fn plus(&self, other: &Self, width: usize) -> Self {
        let mut rows = [&self.rows[..], &other.rows].concat();
        rows.sort_unstable();
        rows.dedup();
        let mut values = vec![0.0; rows.len() * width];
        for part in [self, other] {
            let mut at = 0;
            for (row, added) in part.rows.iter().zip(part.values.chunks_exact(width)) {
                // Both rise.
                at += rows[at..].partition_point(|other| other < row);
                values[at * width..][..width].iter_mut().zip(added).for_each(|(sum, value)| *sum += value);
            }
        }
        Self { rows, values }
    }
}

/// `encoder [vocabulary, embedding] -> [tokens, embedding]`. The gradient goes to `gradient`: candle's own would be a
/// dense `[vocabulary, embedding]`, nearly all of it zero.
pub(super) struct Lookup {
    /// `[tokens]`
    pub ids: Vec<u32>,
    pub gradient: Arc<Mutex<RowGradient>>,
}

impl CustomOp1 for Lookup {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn cpu_fwd(&self, encoder: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (vocabulary, width) = layout.shape().dims2()?;
        let encoder = contiguous(encoder, layout)?;
        if let Some(id) = self.ids.iter().find(|&&id| id as usize >= vocabulary) {
            candle_core::bail!("lookup: row {id} of {vocabulary}");
        }
        let out = self.ids.iter().flat_map(|&id| &encoder[id as usize * width..][..width]).copied().collect();
        Ok((CpuStorage::F32(out), Shape::from((self.ids.len(), width))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, d_out: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let width = d_out.dim(1)?;
        let d_out = d_out.flatten_all()?.to_vec1::<f32>()?;
        let mut rows = self.ids.clone();
        rows.sort_unstable();
        rows.dedup();
        let mut values = vec![0.0; rows.len() * width];
        for (id, d_out) in self.ids.iter().zip(d_out.chunks_exact(width)) {
            if let Ok(row) = rows.binary_search(id) {
                values[row * width..][..width].iter_mut().zip(d_out).for_each(|(sum, value)| *sum += value);
            }
        }
        *self.gradient.lock().unwrap_or_else(PoisonError::into_inner) = RowGradient { rows, values };
        Ok(None)
    }
}
