//! How well a model tells labels, of documents or of their words.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashSet;
use txray_method::{Predicted, Scores, Told};
use txray_plugin::{Examples, Level, NULL, Predict, PredictRequest, Task, Text as Ids};
use txray_text::{Encoded, Labels, Targets, Tokenizer};

use super::windows::windows;
use crate::error::{Error, Result};
use crate::step::{Making, Step};
use crate::steps::corpus::Text;
use crate::steps::model::ModelRef;
use crate::steps::stage::layers::LABEL;

/// What tells labels of texts.
pub(super) struct Teller {
    task: Task,
    labels: Labels,
}

impl Teller {
    /// Of a head of a model that tells so many labels, with their names; of a tagger `column` is theirs where the names do not say it.
    ///
    /// # Errors
    /// [`Error::Head`]
    pub fn new(
        model: impl ToString,
        task: Task,
        classes: usize,
        labels: Option<Labels>,
        column: Option<&str>,
    ) -> Result<Self> {
        let lacks = |why: String| Err(Error::Head { model: model.to_string(), why });
        let file = Labels::FILE;
        let Some(labels) = labels else {
            return lacks(format!(
                "tells {classes} labels, and nothing says what they are called; write {file} beside its weights: \
                 {{\"labels\": [...]}}, in the order of its classes"
            ));
        };
        let names = labels.names().len();
        if names != classes {
            return lacks(format!("tells {classes} labels, and {names} have names beside its weights"));
        }
        let is_of_words = task == Task::Tagging;
        match (is_of_words, labels.column(), column) {
            (false, None, None) | (true, Some(_), None) => Ok(Self { task, labels }),
            (true, None, Some(column)) => Ok(Self { task, labels: labels.of_column(column) }),
            (true, Some(own), Some(column)) if own == column => Ok(Self { task, labels }),
            (true, Some(own), Some(column)) => lacks(format!("tells the labels of `{own}`, and not of `{column}`")),
            (true, None, None) => lacks(
                "tells the labels of words: name the annotation column that has them with `column = \"...\"`"
                    .to_owned(),
            ),
            (false, ..) => lacks("tells the labels of documents: leave `column` out".to_owned()),
        }
    }

    /// The layer of the labels.
    pub fn layer(&self) -> &str {
        self.labels.column().unwrap_or(LABEL)
    }

    /// How well they are told of a text, and its documents; none where nothing has a label that it knows.
    pub fn scores(
        &self,
        making: &Making<'_>,
        asked: Asked<'_>,
        text: &Text,
        predict: &dyn Predict,
        tokenizer: &Tokenizer,
    ) -> Result<Option<(Scores, Vec<Predicted>)>> {
        let mut read = Read::default();
        if text.corpus.layers().iter().any(|known| known == self.layer()) {
            let learned = asked.model.model.lesson_text().filter(|learned| learned.name() != text.name());
            let learned = learned.map(|learned| texts(making, learned)).transpose()?;
            windows(making, asked.table, text, tokenizer, |window, encoded| {
                let known = |text: &str| learned.as_ref().is_some_and(|learned| learned.contains(&hash(text)));
                read.repeated += window.iter().filter(|document| known(&document.text)).count() as u64;
                self.read(making, predict, window, encoded, &mut read)
            })?;
        }
        if read.told.truth.is_empty() {
            return Ok(None);
        }
        let Read { predicted, told, unseen, unseen_name, unread, repeated } = read;
        let scores = Scores::of_labels(&predicted, &told, self.labels.names(), asked.seed);
        let scores = Scores { unseen, unread, repeated, ..scores };
        self.tell(making, asked, text, &scores, unseen_name.as_deref());
        Ok(Some((scores, predicted)))
    }

    fn read(
        &self,
        making: &Making<'_>,
        predict: &dyn Predict,
        window: Vec<txray_text::Document>,
        encoded: &Encoded,
        read: &mut Read,
    ) -> Result<()> {
        let names = self.labels.names();
        let Targets { labels: targets, unseen, unseen_name, unread } = self.labels.targets(&window, encoded);
        read.unseen += unseen;
        read.unread += unread;
        read.unseen_name = read.unseen_name.take().or(unseen_name);
        let (mut losses, mut counts) = (vec![0.0; window.len()], vec![0; window.len()]);
        let mut best = vec![0; targets.len()];
        let mut probabilities = vec![0.0; targets.len() * names.len()];
        let ids = Ids { ids: &encoded.ids, offsets: &encoded.offsets };
        let examples = Examples { text: ids, targets: &targets };
        let request = PredictRequest::new(self.task, examples, &mut losses, &mut counts);
        let (predicted, all) = (Some(&mut best[..]), Some(&mut probabilities[..]));
        predict.predict(making.host, &mut PredictRequest { predicted, probabilities: all, ..request })?;
        for (at, document) in window.into_iter().enumerate() {
            let is_tagged = self.task == Task::Tagging;
            let rows = match is_tagged {
                true => encoded.offsets[at] as usize..encoded.offsets[at + 1] as usize,
                false => at..at + 1,
            };
            let mut right = 0;
            for row in rows.filter(|&row| targets[row] != NULL) {
                let of_row = &probabilities[row * names.len()..(row + 1) * names.len()];
                read.told.document.push(read.predicted.len());
                read.told.truth.push(targets[row]);
                read.told.probabilities.extend_from_slice(of_row);
                right += u64::from(best[row] == targets[row]);
            }
            let of_document = (!is_tagged).then(|| best[at] as usize);
            read.predicted.push(Predicted {
                document: document.id,
                group: document.group,
                count: counts[at],
                loss: losses[at],
                right: (counts[at] > 0).then_some(right),
                label: document.label.filter(|_| !is_tagged),
                prediction: of_document.map(|label| Arc::clone(&names[label])),
                probability: of_document.map(|label| f64::from(probabilities[at * names.len() + label])),
            });
        }
        Ok(())
    }

    /// Warns of what a reader of scores has to know of a text.
    fn tell(&self, making: &Making<'_>, asked: Asked<'_>, text: &Text, scores: &Scores, unseen_name: Option<&str>) {
        let (Asked { table, model, .. }, name) = (asked, text.name());
        let what = if self.labels.column().is_some() { "words" } else { "documents" };
        let warn = |message: String| making.host.log(Level::Warning, &message);
        if let Some(unseen) = unseen_name {
            let count = scores.unseen;
            warn(format!(
                "[{table}] {count} {what} of `{name}` have labels that `{model}` does not know, such as '{unseen}': no score counts them"
            ));
        }
        if scores.unread > 0 {
            let count = scores.unread;
            warn(format!(
                "[{table}] {count} words of `{name}` share a token with others, or are in none: no score counts them"
            ));
        }
        let absent: Vec<&str> =
            scores.labels.iter().filter(|label| label.count == 0).map(|label| &*label.label).take(10).collect();
        if !absent.is_empty() {
            warn(format!("[{table}] none of the {what} of `{name}` is labelled {}", absent.join(", ")));
        }
        if let (true, Some(learned)) = (scores.repeated > 0, model.model.lesson_text()) {
            let (count, learned) = (scores.repeated, learned.name());
            warn(format!(
                "[{table}] {count} documents of `{name}` stand in `{learned}`, too, which `{model}` was trained on"
            ));
        }
    }
}

/// Who asks for scores.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The table.
    pub table: &'a str,
    /// The model.
    pub model: &'a ModelRef,
    /// Of the draws.
    pub seed: u64,
}

/// What is read of a text so far.
#[derive(Default)]
struct Read {
    predicted: Vec<Predicted>,
    told: Told,
    unseen: u64,
    unseen_name: Option<Arc<str>>,
    unread: u64,
    repeated: u64,
}

/// The texts of documents, by hash.
fn texts(making: &Making<'_>, text: &Text) -> Result<HashSet<u64>> {
    text.documents(making)?.map(|document| Ok(hash(&document?.text))).collect()
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
