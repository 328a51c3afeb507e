//! Scores by which neurons are pruned.

use crate::{Host, Result, Strings};

/// Gives every neuron a score; the engine turns scores and a budget into masks.
///
/// `&self` may be called from many threads at once. Columns are found by name: neither their order nor columns that a
/// pruner does not know change a score, and scores follow their neurons whatever the order of the rows, within rounding.
pub trait Pruner: Send + Sync {
    /// Writes one score a neuron to `out` (`[rows]`): the highest are pruned first, NaN never.
    fn scores(&self, host: &Host<'_>, columns: &Columns<'_>, out: &mut [f64]) -> Result<()>;
}

/// What is known of each neuron: named columns of equal length, missing values NaN.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// `[columns]` names.
    pub names: Strings<'a>,
    /// `[columns, rows]` values, column after column.
    pub values: &'a [f64],
    /// Length of every column.
    pub rows: usize,
}

impl<'a> Columns<'a> {
    /// The column of that name, `[rows]`.
    pub fn get(&self, name: &str) -> Option<&'a [f64]> {
        let i = self.names.iter().position(|n| n == name)?;
        self.values.get(i * self.rows..(i + 1) * self.rows)
    }
}
