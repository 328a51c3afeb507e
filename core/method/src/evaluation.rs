//! What a model's predictions of documents come to, and how far that would move with other documents.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray, UInt64Array};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use txray_plugin::random::Stream;
use txray_tables::columns::evaluation;
use txray_tables::{Folder, ROWS};

use crate::error::MethodResult;
use crate::evidence::Unit;

/// Draws of the documents.
const DRAWS: usize = 1000;

/// A document as it was predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// Its index in its split.
    pub document: u64,
    /// The group that it belongs to.
    pub group: Option<Arc<str>>,
    /// How much of it was predicted: of a language model, tokens.
    pub count: u64,
    /// The loss of that, nats, summed.
    pub loss: f64,
}

/// How well documents were predicted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Scores {
    /// Documents.
    pub documents: u64,
    /// How much was predicted: of a language model, tokens.
    pub predicted: u64,
    /// What is drawn as a whole for the intervals.
    pub unit: Unit,
    /// How many of these there are.
    pub units: u64,
    /// The mean loss, nats; none where nothing was predicted.
    pub loss: Option<Estimate>,
    /// Of a language model, `exp(loss)`.
    pub perplexity: Option<Estimate>,
}

/// A figure of a sample.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its interval of 95 %, by drawing as many units with putting back (percentiles of 1,000 draws); none of fewer units than two.
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// None where it is no number: a model that diverged has no perplexity.
    fn map(self, of: impl Fn(f64) -> f64) -> Option<Self> {
        let interval = self.interval.map(|ends| ends.map(&of)).filter(|ends| ends.iter().all(|end| end.is_finite()));
        Some(Self { value: of(self.value), interval }).filter(|of| of.value.is_finite())
    }
}

impl Scores {
    /// Those of a language model. Draws depend on the seed.
    pub fn of(documents: &[Predicted], seed: u64) -> Self {
        let unit = match documents.iter().all(|document| document.group.is_some()) {
            true => Unit::Group,
            false => Unit::Document,
        };
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut units: Vec<[f64; 2]> = Vec::new();
        for document in documents {
            let own = [document.loss, document.count as f64];
            match document.group.as_deref().filter(|_| unit == Unit::Group) {
                None => units.push(own),
                Some(group) => {
                    let at = *numbers.entry(group).or_insert(units.len());
                    match units.get_mut(at) {
                        None => units.push(own),
                        Some(sums) => sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own),
                    }
                }
            }
        }
        let loss = mean(&units, seed).and_then(|loss| loss.map(|loss| loss));
        Self {
            documents: documents.len() as u64,
            predicted: documents.iter().map(|document| document.count).sum(),
            unit,
            units: units.len() as u64,
            loss,
            perplexity: loss.and_then(|loss| loss.map(f64::exp)),
        }
    }
}

/// The mean loss of units, each a sum of losses and how many these are.
fn mean(units: &[[f64; 2]], seed: u64) -> Option<Estimate> {
    let ratio = |[loss, count]: [f64; 2]| Some(loss / count).filter(|_| count > 0.0);
    let add = |[a, b]: [f64; 2], unit: &[f64; 2]| [a + unit[0], b + unit[1]];
    let value = ratio(units.iter().fold([0.0; 2], add))?;
    let draw = |index: usize| {
        let mut random = Stream::new(seed, "bootstrap", index as u64);
        let mut next = || &units[random.below(units.len() as u32) as usize];
        ratio((0..units.len()).fold([0.0; 2], |sum, _| add(sum, next())))
    };
    let mut drawn: Vec<f64> = if units.len() > 1 { (0..DRAWS).filter_map(draw).collect() } else { Vec::new() };
    drawn.sort_by(f64::total_cmp);
    // As many lie beyond either end.
    let tail = drawn.len() / 40;
    let interval = drawn.get(tail).zip(drawn.len().checked_sub(tail + 1).and_then(|at| drawn.get(at)));
    Some(Estimate { value, interval: interval.map(|(low, high)| [*low, *high]) })
}

/// Writes the table of documents: those of each corpus, by its name.
pub fn write_predicted(folder: &Folder<'_>, corpora: &[(String, Vec<Predicted>)]) -> MethodResult<()> {
    let mut table = folder.create(&evaluation::TABLE, &[""; 0])?;
    for (corpus, documents) in corpora {
        for rows in documents.chunks(ROWS) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|_| corpus))),
                Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.document))),
                Arc::new(rows.iter().map(|row| row.group.as_deref()).collect::<StringArray>()),
                Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.count))),
                Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.loss))),
            ];
            table.write(columns)?;
        }
    }
    Ok(table.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(document: u64, group: Option<&str>, count: u64, loss: f64) -> Predicted {
        Predicted { document, group: group.map(Into::into), count, loss }
    }

    #[test]
    fn a_mean_is_of_all_that_was_predicted() {
        let documents = [document(0, None, 3, 6.0), document(1, None, 1, 4.0), document(2, None, 0, 0.0)];
        let scores = Scores::of(&documents, 1);
        assert_eq!((scores.documents, scores.predicted, scores.unit, scores.units), (3, 4, Unit::Document, 3));
        let loss = scores.loss.unwrap();
        assert_eq!(loss.value, 2.5);
        let [low, high] = loss.interval.unwrap();
        assert!((2.0..2.5).contains(&low) && 2.5 < high && high <= 4.0, "{low} {high}");
        assert_eq!(scores.perplexity.unwrap().value, 2.5_f64.exp());
        assert_eq!(Scores::of(&documents, 1), scores);
    }

    #[test]
    fn documents_of_a_group_are_drawn_together() {
        let of_groups: Vec<Predicted> =
            (0..40).map(|at| document(at, Some(["a", "b"][at as usize % 2]), 1, (at % 2) as f64)).collect();
        let scores = Scores::of(&of_groups, 1);
        assert_eq!((scores.unit, scores.units), (Unit::Group, 2));
        // Of two groups, both draws are of the same one often enough.
        assert_eq!(scores.loss.unwrap().interval, Some([0.0, 1.0]));
        assert_eq!(Scores::of(&of_groups[..1], 1).loss.unwrap().interval, None);
        assert_eq!(Scores::of(&[], 1).loss, None);
    }

    /// Of a mean of 400 documents, the interval is that of its standard error: 1.96 * 0.5 / 20.
    #[test]
    fn an_interval_is_as_wide_as_the_error() {
        let documents: Vec<Predicted> = (0..400).map(|at| document(at, None, 1, (at % 2) as f64)).collect();
        let [low, high] = Scores::of(&documents, 7).loss.unwrap().interval.unwrap();
        assert!((low - 0.451).abs() < 0.01 && (high - 0.549).abs() < 0.01, "{low} {high}");
    }
}
