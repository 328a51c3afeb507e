//! Observations on their way to disk.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, StringArray, UInt32Array, UInt64Array};
use txray_plugin::{ActivationBatch, NULL, SourceDescription};
use txray_tables::columns::observations;
use txray_tables::{Folder, ROWS, TableWriter};

use crate::error::MethodResult;

/// Writes `observations.parquet`, some rows at a time.
pub(crate) struct ObservationWriter {
    table: TableWriter,
    sites: Vec<String>,
}

impl ObservationWriter {
    pub fn create(folder: &Folder<'_>, description: &SourceDescription) -> MethodResult<Self> {
        let table = folder.create(&observations::TABLE, &description.layers)?;
        Ok(Self { table, sites: description.sites.iter().map(|site| site.name.clone()).collect() })
    }

    /// Adds the observations of a batch that was found sound.
    pub fn write(&mut self, batch: &ActivationBatch) -> MethodResult<()> {
        let mut document = 0;
        for from in (0..batch.token.len()).step_by(ROWS) {
            let rows = from..(from + ROWS).min(batch.token.len());
            let tokens = &batch.token[rows.clone()];
            let documents: Vec<usize> = tokens
                .iter()
                .map(|&token| {
                    while batch.offsets[document + 1] <= u64::from(token) {
                        document += 1;
                    }
                    document
                })
                .collect();
            let group = |d: usize| batch.groups.get(d).filter(|name| !name.is_empty());
            let place = |column: &[u32], t: u32| Some(column[t as usize]).filter(|&at| at != NULL);
            let position = |(&t, &d): (&u32, &usize)| (u64::from(t) - batch.offsets[d]) as u32;
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from_iter_values(documents.iter().map(|&d| batch.documents[d]))),
                Arc::new(documents.iter().map(|&d| group(d)).collect::<StringArray>()),
                Arc::new(UInt32Array::from_iter_values(tokens.iter().zip(&documents).map(position))),
                Arc::new(StringArray::from_iter_values(
                    batch.site[rows.clone()].iter().map(|&site| &self.sites[site as usize]),
                )),
                Arc::new(UInt32Array::from_iter_values(batch.neuron[rows.clone()].iter().copied())),
                Arc::new(Float32Array::from_iter_values(batch.activation[rows.clone()].iter().copied())),
                Arc::new(tokens.iter().map(|&t| place(&batch.starts, t)).collect::<UInt32Array>()),
                Arc::new(tokens.iter().map(|&t| place(&batch.ends, t)).collect::<UInt32Array>()),
            ];
            for layer in &batch.layers {
                let feature = |&t: &u32| layer.names.get(layer.features[t as usize] as usize);
                columns.push(Arc::new(tokens.iter().map(feature).collect::<StringArray>()));
            }
            self.table.write(columns)?;
        }
        Ok(())
    }

    /// Ends the table.
    pub fn finish(self) -> MethodResult<()> {
        Ok(self.table.finish()?)
    }
}
