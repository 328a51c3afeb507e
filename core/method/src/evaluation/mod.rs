//! What a model's predictions of documents come to, and how far that would move with other documents.

mod bootstrap;
mod labels;

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray, UInt64Array};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use txray_tables::columns::evaluation;
use txray_tables::{Folder, ROWS};

use crate::error::MethodResult;
use crate::evidence::Unit;

use bootstrap::Draws;
pub use bootstrap::Estimate;
use labels::LabelScores;
pub use labels::{LabelScore, Told};

/// A document as it was predicted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicted {
    /// Its index in its split.
    pub document: u64,
    /// The group that it belongs to.
    pub group: Option<Arc<str>>,
    /// How much of it was predicted: of a language model tokens, of a tagger words, of a classifier 1, where it has a label.
    pub count: u64,
    /// The loss of that, nats, summed.
    pub loss: f64,
    /// How much of that was told right, where it is labels.
    pub right: Option<u64>,
    /// The label that it has, and the one that it was told to have, with the probability of that: of a classifier.
    pub label: Option<Arc<str>>,
    /// See there.
    pub prediction: Option<Arc<str>>,
    /// See there.
    pub probability: Option<f64>,
}

/// How well documents were predicted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Scores {
    /// Documents.
    pub documents: u64,
    /// How much was predicted: of a language model tokens, of labels those that are known.
    pub predicted: u64,
    /// What is drawn as a whole for the intervals.
    pub unit: Unit,
    /// How many of these there are.
    pub units: u64,
    /// The mean loss, nats; none where nothing was predicted.
    pub loss: Option<Estimate>,
    /// Of a language model, `exp(loss)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<Estimate>,
    /// Of labels, the share whose most probable label is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Estimate>,
    /// Of labels, the mean of their F1, over those that some have or were told to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macro_f1: Option<Estimate>,
    /// Of labels, the area under the ROC curve: of two that of the second, of more the mean over one against the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<Estimate>,
    /// Of labels, the expected calibration error, in ten bins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_error: Option<Estimate>,
    /// Of labels, how well each is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelScore>,
    /// Labels of documents or words that the model does not know: they are in no score.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unseen: u64,
    /// Words with a label that no token has, because they are in one token with others: they are in no score.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: u64,
    /// Documents that stand in the text which the model was trained on, too, token by token; counted of labels.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Scores {
    /// Those of a language model. Draws depend on the seed.
    pub fn of(documents: &[Predicted], seed: u64) -> Self {
        let scores = Self::begun(documents, &draws(documents, seed));
        Self { perplexity: scores.loss.and_then(|loss| loss.map(f64::exp)), ..scores }
    }

    /// Those of labels with these names. Draws depend on the seed.
    pub fn of_labels(documents: &[Predicted], told: &Told, names: &[Arc<str>], seed: u64) -> Self {
        let draws = draws(documents, seed);
        let LabelScores { accuracy, macro_f1, roc_auc, calibration_error, labels } =
            LabelScores::of(told, names, &draws);
        Self { accuracy, macro_f1, roc_auc, calibration_error, labels, ..Self::begun(documents, &draws) }
    }

    /// What all of them have.
    fn begun(documents: &[Predicted], draws: &Draws) -> Self {
        let ratio = |weights: &dyn Fn(usize) -> f64| {
            let add = |[loss, count]: [f64; 2], (at, document): (usize, &Predicted)| {
                [loss + weights(at) * document.loss, count + weights(at) * document.count as f64]
            };
            let [loss, count] = documents.iter().enumerate().fold([0.0; 2], add);
            Some(loss / count).filter(|_| count > 0.0)
        };
        let drawn = draws.all().filter_map(|weights| ratio(&|at| weights[at])).collect();
        let loss = ratio(&|_| 1.0).and_then(|value| Estimate::of(value, drawn).map(|loss| loss));
        Self {
            documents: documents.len() as u64,
            predicted: documents.iter().map(|document| document.count).sum(),
            unit: draws.unit,
            units: draws.units as u64,
            loss,
            ..Self::default()
        }
    }
}

fn draws(documents: &[Predicted], seed: u64) -> Draws {
    Draws::new(documents.iter().map(|document| document.group.as_ref()), seed)
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
                Arc::new(rows.iter().map(|row| row.right).collect::<UInt64Array>()),
                Arc::new(rows.iter().map(|row| row.label.as_deref()).collect::<StringArray>()),
                Arc::new(rows.iter().map(|row| row.prediction.as_deref()).collect::<StringArray>()),
                Arc::new(rows.iter().map(|row| row.probability).collect::<Float64Array>()),
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
        Predicted { document, group: group.map(Into::into), count, loss, ..Predicted::default() }
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
