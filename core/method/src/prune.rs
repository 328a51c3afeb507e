//! Neurons scored for pruning, by what two stages and their comparison tell of them.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray, UInt32Array};
use txray_plugin::{Columns, Host, Pruner, StringTable};
use txray_tables::Folder;
use txray_tables::columns::{PRUNER_NEURON, pruner_columns, pruning};

use crate::comparison::Comparison;
use crate::error::{MethodError, MethodResult};
use crate::stage::Neurons;

/// What is known of every neuron: one row a neuron, in the order of sites and neurons, in the columns of
/// [`pruner_columns`]; missing values are NaN.
#[derive(Clone, Debug, Default)]
pub struct NeuronColumns {
    names: StringTable,
    values: Vec<f64>,
    rows: usize,
}

impl NeuronColumns {
    /// Gathers them from two stages, and from their comparison.
    ///
    /// # Errors
    /// What is not of the same neurons as the others.
    pub fn gather(from: &Neurons, to: &Neurons, comparison: &Comparison) -> MethodResult<Self> {
        let of_neurons = comparison.rows.iter().step_by(comparison.layers.len().max(1));
        let mut columns: Vec<Vec<f64>> = vec![
            of_neurons.clone().map(|row| row.site as f64).collect(),
            of_neurons.map(|row| f64::from(row.neuron)).collect(),
        ];
        let rows = columns[0].len();
        columns.extend(of_stage(from));
        columns.extend(of_stage(to));
        for layer in 0..comparison.layers.len() {
            let of_layer = || comparison.rows.iter().filter(move |row| row.layer == layer);
            columns.push(of_layer().map(|row| row.lengths[0] as f64).collect());
            columns.push(of_layer().map(|row| row.lengths[1] as f64).collect());
            columns.push(of_layer().map(|row| row.union_length as f64).collect());
            for metric in 0..comparison.metrics.len() {
                columns.push(of_layer().map(|row| row.distances[metric].unwrap_or(f64::NAN)).collect());
            }
        }
        let names = pruner_columns(&comparison.layers, &comparison.metrics);
        if names.len() != columns.len() {
            return Err(MethodError::Columns { found: columns.len(), expected: names.len() });
        }
        if let Some((column, values)) = names.iter().zip(&columns).find(|(_, values)| values.len() != rows) {
            return Err(MethodError::Rows { column: column.clone(), found: values.len(), expected: rows });
        }
        Ok(Self { names: names.iter().collect(), values: columns.concat(), rows })
    }

    /// As a pruner is given them.
    pub fn view(&self) -> Columns<'_> {
        Columns { names: self.names.as_strings(), values: &self.values, rows: self.rows }
    }
}

/// The columns of [`PRUNER_NEURON`] of a stage.
fn of_stage(neurons: &Neurons) -> [Vec<f64>; PRUNER_NEURON.len()] {
    let alive = neurons.count.iter().map(|&count| f64::from(u8::from(count > 0))).collect();
    let count = neurons.count.iter().map(|&count| count as f64).collect();
    let unknown = || [(); 3].map(|()| vec![f64::NAN; neurons.len()]);
    let [mean, mean_abs, sd] = neurons.moments.clone().unwrap_or_else(unknown);
    [alive, count, neurons.mass.clone(), mean, mean_abs, sd]
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
pub fn score(pruner: &dyn Pruner, columns: &NeuronColumns, host: &Host<'_>) -> MethodResult<Vec<Scored>> {
    let mut scores = vec![f64::NAN; columns.rows];
    pruner.scores(host, &columns.view(), &mut scores).map_err(MethodError::Pruner)?;
    if let Some(neuron) = scores.iter().position(|score| score.is_infinite()) {
        return Err(MethodError::Score { neuron, score: scores[neuron] });
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

/// Writes the table of ranks.
pub fn write_ranks(folder: &Folder<'_>, comparison: &Comparison, scored: &[Scored]) -> MethodResult<()> {
    let neurons: Vec<_> = comparison.rows.iter().step_by(comparison.layers.len().max(1)).collect();
    let mut table = folder.create(&pruning::TABLE, &[""; 0])?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(neurons.iter().map(|row| &comparison.sites[row.site]))),
        Arc::new(UInt32Array::from_iter_values(neurons.iter().map(|row| row.neuron))),
        Arc::new(scored.iter().map(|scored| scored.score).collect::<Float64Array>()),
        Arc::new(scored.iter().map(|scored| scored.rank).collect::<UInt32Array>()),
    ];
    table.write(columns)?;
    Ok(table.finish()?)
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
        assert_eq!(error.fault(), txray_plugin::Fault::Failed);
    }
}
