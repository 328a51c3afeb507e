//! Neurons scored for pruning, by what two stages and their comparison tell of them.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Float64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array, StringArray, UInt32Array};
use arrow_schema::DataType;
use txray_plugin::{Columns, Host, Pruner, StringTable};

use crate::compare::Comparison;
use crate::error::{Error, Result};
use crate::tables::{self, TableWriter};

/// What is known of every neuron: one row a neuron, in the order of sites and neurons; missing values are NaN.
///
/// `site` (its index) and `neuron`; for both stages, as `_from` and `_to`, the columns of `neurons.parquet`: `alive` (0 or
/// 1), `count`, `mass`, `mean`, `mean_abs`, `sd`; for each layer `length_from:LAYER`, `length_to:LAYER` and
/// `union_length:LAYER`; for each metric and layer `METRIC:LAYER`.
#[derive(Clone, Debug, Default)]
pub struct NeuronColumns {
    names: StringTable,
    values: Vec<f64>,
    rows: usize,
}

impl NeuronColumns {
    /// Gathers them from the tables of two stages, and from their comparison.
    ///
    /// # Errors
    /// A table that cannot be read, or that is not of the same neurons as the others.
    pub fn gather(from: &Path, to: &Path, comparison: &Comparison) -> Result<Self> {
        let layers = comparison.layers.len().max(1);
        let neurons = || comparison.rows.iter().step_by(layers);
        let mut columns = Self { rows: neurons().count(), ..Self::default() };
        columns.push("site", neurons().map(|row| row.site as f64))?;
        columns.push("neuron", neurons().map(|row| f64::from(row.neuron)))?;
        for (side, directory) in [("from", from), ("to", to)] {
            for (name, values) in of_stage(&directory.join("neurons.parquet"))? {
                columns.push(&format!("{name}_{side}"), values.into_iter())?;
            }
        }
        for (index, layer) in comparison.layers.iter().enumerate() {
            let rows = || comparison.rows.iter().filter(|row| row.layer == index);
            columns.push(&format!("length_from:{layer}"), rows().map(|row| row.lengths[0] as f64))?;
            columns.push(&format!("length_to:{layer}"), rows().map(|row| row.lengths[1] as f64))?;
            columns.push(&format!("union_length:{layer}"), rows().map(|row| row.union_length as f64))?;
            for (metric, name) in comparison.metrics.iter().enumerate() {
                let distances = rows().map(|row| row.distances[metric].unwrap_or(f64::NAN));
                columns.push(&format!("{name}:{layer}"), distances)?;
            }
        }
        Ok(columns)
    }

    fn push(&mut self, name: &str, values: impl Iterator<Item = f64>) -> Result<()> {
        let before = self.values.len();
        self.values.extend(values);
        let rows = self.values.len() - before;
        if rows != self.rows {
            return Err(Error::Internal(format!("column {name} has {rows} rows of {}", self.rows)));
        }
        self.names.push(name);
        Ok(())
    }

    /// As a pruner is given them.
    pub fn view(&self) -> Columns<'_> {
        Columns { names: self.names.as_strings(), values: &self.values, rows: self.rows }
    }
}

/// The columns of a stage's `neurons.parquet` that are numbers of neurons.
fn of_stage(path: &Path) -> Result<Vec<(&'static str, Vec<f64>)>> {
    let mut columns = ["alive", "count", "mass", "mean", "mean_abs", "sd"].map(|name| (name, Vec::new()));
    for batch in tables::read(path)? {
        let batch = batch?;
        let count = batch.numbers::<UInt64Type>("count")?;
        columns[0].1.extend(count.values().iter().map(|&count| f64::from(u8::from(count > 0))));
        columns[1].1.extend(count.values().iter().map(|&count| count as f64));
        for (name, values) in &mut columns[2..] {
            let column = batch.numbers::<Float64Type>(name)?;
            values.extend((0..batch.len()).map(|row| if column.is_valid(row) { column.value(row) } else { f64::NAN }));
        }
    }
    Ok(columns.to_vec())
}

/// A neuron's score, and its place in the order of pruning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// What the pruner gave; `None`: never to be pruned.
    pub score: Option<f64>,
    /// 1 for the neuron that goes first. Neurons of one score go in the order of the table.
    pub rank: Option<u32>,
}

/// Scores and ranks every neuron, `[rows]`.
///
/// # Errors
/// Those of the pruner, and a score that is infinite.
pub fn score(pruner: &dyn Pruner, columns: &NeuronColumns, host: &Host<'_>) -> Result<Vec<Scored>> {
    let mut scores = vec![f64::NAN; columns.rows];
    pruner.scores(host, &columns.view(), &mut scores)?;
    if let Some(row) = scores.iter().position(|score| score.is_infinite()) {
        return Err(Error::Internal(format!("the pruner gave neuron {row} the score {}", scores[row])));
    }
    let mut order: Vec<usize> = (0..scores.len()).filter(|&row| !scores[row].is_nan()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut scored: Vec<Scored> =
        scores.iter().map(|&score| Scored { score: Some(score).filter(|s| !s.is_nan()), rank: None }).collect();
    for (rank, row) in (1..).zip(order) {
        scored[row].rank = Some(rank);
    }
    Ok(scored)
}

/// Writes `prunings/<name>.parquet`: site, neuron, score, rank.
pub fn write(path: &Path, comparison: &Comparison, scored: &[Scored]) -> Result<()> {
    let columns = [
        ("site", DataType::Utf8, false),
        ("neuron", DataType::UInt32, false),
        ("score", DataType::Float64, true),
        ("rank", DataType::UInt32, true),
    ];
    let neurons: Vec<_> = comparison.rows.iter().step_by(comparison.layers.len().max(1)).collect();
    let mut table = TableWriter::create(path, &columns)?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(neurons.iter().map(|row| &comparison.sites[row.site]))),
        Arc::new(UInt32Array::from_iter_values(neurons.iter().map(|row| row.neuron))),
        Arc::new(scored.iter().map(|scored| scored.score).collect::<Float64Array>()),
        Arc::new(scored.iter().map(|scored| scored.rank).collect::<UInt32Array>()),
    ];
    table.write(columns)?;
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores by a column of its own.
    struct Given(Vec<f64>);

    impl Pruner for Given {
        fn scores(&self, _: &Host<'_>, _: &Columns<'_>, out: &mut [f64]) -> txray_plugin::Result<()> {
            out.copy_from_slice(&self.0);
            Ok(())
        }
    }

    fn ranks(scores: &[f64]) -> Vec<Option<u32>> {
        let columns = NeuronColumns { rows: scores.len(), ..NeuronColumns::default() };
        let scored = score(&Given(scores.to_vec()), &columns, &Host::detached()).unwrap();
        scored.into_iter().map(|scored| scored.rank).collect()
    }

    #[test]
    fn the_highest_go_first_ties_in_order_and_nan_never() {
        assert_eq!(ranks(&[0.5, f64::NAN, 2.0, 0.5, -1.0]), [Some(2), None, Some(1), Some(3), Some(4)]);
        assert_eq!(ranks(&[]), []);
    }

    #[test]
    fn an_infinite_score_is_a_fault_of_the_pruner() {
        let columns = NeuronColumns { rows: 1, ..NeuronColumns::default() };
        let error = score(&Given(vec![f64::INFINITY]), &columns, &Host::detached()).unwrap_err();
        assert_eq!(error.exit_code(), 1);
    }
}
