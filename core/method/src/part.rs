//! The tally of a part of a stage, written and read back: what makes the whole of parts that were read apart.

use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int64Array, StringArray, UInt32Array, UInt64Array};
use txray_plugin::{ExactSum, SourceDescription};
use txray_tables::Folder;
use txray_tables::columns::sums;

use crate::error::MethodResult;
use crate::stage::Stage;
use crate::tally::Tally;

/// The halves of each sum over all tokens.
const MOMENTS: [(txray_tables::Column, txray_tables::Column); 3] =
    [(sums::SUM_HIGH, sums::SUM_LOW), (sums::SUM_ABS_HIGH, sums::SUM_ABS_LOW), (sums::SUM_SQ_HIGH, sums::SUM_SQ_LOW)];

impl Tally {
    /// Writes what the other tables of a part round, or leave out.
    pub(crate) fn write_sums(&self, folder: &Folder<'_>) -> MethodResult<()> {
        let mut table = folder.create(&sums::TABLE, &[""; 0])?;
        let places: Vec<(usize, u32)> = self.places().collect();
        let sites = places.iter().map(|&(site, _)| &self.legend().sites[site].name);
        let neurons = self.neurons();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(sites)),
            Arc::new(UInt32Array::from_iter_values(places.iter().map(|&(_, neuron)| neuron))),
            Arc::new(UInt64Array::from_iter_values(neurons.iter().map(|neuron| neuron.count))),
            Arc::new(UInt64Array::from_iter_values(neurons.iter().map(|neuron| neuron.not_positive))),
            Arc::new(Int64Array::from_iter_values(neurons.iter().map(|neuron| neuron.mass.high))),
            Arc::new(UInt64Array::from_iter_values(neurons.iter().map(|neuron| neuron.mass.low))),
        ];
        for moment in 0..3 {
            let known = neurons.iter().map(|neuron| self.has_moments().then_some(neuron.moments[moment]));
            columns.push(Arc::new(known.clone().map(|sum| sum.map(|sum| sum.high)).collect::<Int64Array>()));
            columns.push(Arc::new(known.map(|sum| sum.map(|sum| sum.low)).collect::<UInt64Array>()));
        }
        table.write(columns)?;
        Ok(table.finish()?)
    }

    /// Reads what [`read`](crate::read) wrote of a part.
    ///
    /// # Errors
    /// Tables that cannot be read, or do not fit each other.
    pub(crate) fn read_part(folder: &Folder<'_>) -> MethodResult<Self> {
        let stage = Stage::read(folder)?;
        let layers = stage.coverage.layers.iter().map(|layer| layer.name.clone()).collect();
        let mut tally = Self::new(&SourceDescription { sites: stage.neurons.sites.clone(), layers });
        tally.put_back(&stage);
        let unfit = || folder.malformed(&sums::TABLE, "it does not fit the tables beside it");
        let places: Vec<(usize, u32)> = tally.places().collect();
        let mut at = 0;
        let (mut known, mut unknown) = (0, 0);
        for batch in folder.read(&sums::TABLE)? {
            let batch = batch?;
            let (site, number) = (batch.text(sums::SITE)?, batch.numbers::<UInt32Type>(sums::NEURON)?);
            let (count, rest) =
                (batch.numbers::<UInt64Type>(sums::COUNT)?, batch.numbers::<UInt64Type>(sums::NOT_POSITIVE)?);
            let (high, low) =
                (batch.numbers::<Int64Type>(sums::MASS_HIGH)?, batch.numbers::<UInt64Type>(sums::MASS_LOW)?);
            let mut moments = Vec::new();
            for (high, low) in MOMENTS {
                moments.push((batch.numbers::<Int64Type>(high)?, batch.numbers::<UInt64Type>(low)?));
            }
            for row in 0..batch.len() {
                let place = *places.get(at).ok_or_else(unfit)?;
                if (tally.legend().sites[place.0].name.as_str(), place.1) != (site.value(row), number.value(row))
                    || count.value(row) != stage.neurons.count[at]
                {
                    return Err(unfit().into());
                }
                let neuron = tally.neuron_mut(at);
                neuron.not_positive = rest.value(row);
                neuron.count = count.value(row);
                neuron.mass = ExactSum { high: high.value(row), low: low.value(row) };
                for (moment, (high, low)) in neuron.moments.iter_mut().zip(&moments) {
                    if high.is_valid(row) && low.is_valid(row) {
                        *moment = ExactSum { high: high.value(row), low: low.value(row) };
                        known += 1;
                    } else {
                        unknown += 1;
                    }
                }
                at += 1;
            }
        }
        if at != stage.neurons.len() || known > 0 && unknown > 0 {
            return Err(unfit().into());
        }
        // A part without a token knows as much as there is to know.
        tally.set_has_moments(unknown == 0);
        tally.check()?;
        Ok(tally)
    }
}
