//! Named columns of neurons, as a pruner is given them.

use std::fmt;

use proptest::prelude::*;
use txray_plugin::{Columns, StringTable};
use txray_tables::columns::pruner_columns;

use super::magnitude;

/// The columns that [`columns`] always has: those of a run whose comparison has the layer `token` and the metric
/// `hellinger`.
pub fn column_names() -> Vec<String> {
    pruner_columns(&["token"], &["hellinger"])
}

/// Owned [`Columns`].
#[derive(Clone, PartialEq)]
pub struct NamedColumns {
    names: StringTable,
    values: Vec<f64>,
    rows: usize,
}

/// 1 to 12 neurons with the columns of [`column_names`]: magnitudes, and now and then nothing (NaN).
pub fn columns() -> impl Strategy<Value = NamedColumns> {
    let value = prop_oneof![1 => Just(f64::NAN), 1 => (0..4).prop_map(f64::from), 8 => magnitude()];
    let names: StringTable = column_names().iter().collect();
    (1_usize..=12).prop_flat_map(move |rows| {
        let names = names.clone();
        prop::collection::vec(value.clone(), rows * names.len()).prop_map(move |values| NamedColumns {
            names: names.clone(),
            values,
            rows,
        })
    })
}

impl NamedColumns {
    /// Columns of these names without any neuron.
    pub fn without_rows(names: &[impl AsRef<str>]) -> Self {
        Self { names: names.iter().map(AsRef::as_ref).collect(), values: Vec::new(), rows: 0 }
    }

    /// Neurons of which nothing is known.
    pub fn without_columns(rows: usize) -> Self {
        Self { names: StringTable::new(), values: Vec::new(), rows }
    }

    /// As a pruner is given it.
    pub fn view(&self) -> Columns<'_> {
        Columns { names: self.names.as_strings(), values: &self.values, rows: self.rows }
    }

    /// How many neurons there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The same neurons in the opposite order.
    #[must_use]
    pub fn turned(&self) -> Self {
        let columns = self.values.chunks(self.rows.max(1));
        let values = columns.flat_map(|column| column.iter().rev().copied()).collect();
        Self { values, ..self.clone() }
    }

    /// The same columns in the opposite order, with two among them that nobody asked for.
    #[must_use]
    pub fn rearranged(&self) -> Self {
        let mut columns: Vec<(&str, Vec<f64>)> =
            self.names.as_strings().iter().zip(self.values.chunks(self.rows.max(1)).map(<[f64]>::to_vec)).collect();
        columns.reverse();
        let ramp = |from: f64| (0..self.rows).map(|row| from + row as f64).collect();
        columns.insert(columns.len() / 2, ("never asked for", ramp(-5.0)));
        columns.push(("never asked for either", ramp(1e6)));
        let names = columns.iter().map(|(name, _)| *name).collect();
        Self { names, values: columns.into_iter().flat_map(|(_, values)| values).collect(), rows: self.rows }
    }

    /// Overwrites all values in place: a plugin that kept a pointer to them reads nonsense from now on.
    pub fn overwrite(&mut self) {
        self.values.fill(-7_777.0);
    }
}

/// Column by column, so that a failing case can be read.
impl fmt::Debug for NamedColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.names.as_strings();
        f.debug_map().entries(columns.iter().zip(self.values.chunks(self.rows.max(1)))).finish()
    }
}
