//! A head over labels: what it reads of a document, and how many labels it tells apart.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_plugin::{Error, Result, Task};

/// What of the last layer's outputs a classifier reads of a document. Of a document without a token all of it is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The output at its last token.
    #[default]
    Last,
    /// The mean of the outputs at its tokens.
    Mean,
    /// Of each neuron the greatest output.
    Max,
    /// All three side by side, last, mean and max, as ULMFiT has it (Howard and Ruder 2018): three times as wide.
    Concat,
}

/// The shape of a head over labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Labels {
    /// How many there are.
    pub classes: usize,
    /// Of a classifier of documents; none: each token has a label.
    pub pooling: Option<Pooling>,
}

impl Labels {
    /// A head for a task.
    ///
    /// # Errors
    /// It is no task of labels, or there is nothing to tell apart.
    pub fn new(task: Task, classes: usize, pooling: Pooling) -> Result<Self> {
        let pooling = match task {
            Task::Classification => Some(pooling),
            Task::Tagging => None,
            Task::LanguageModel => return Err(Error::failed("a language model has no labels")),
        };
        let labels = Self { classes, pooling };
        labels.validate()?;
        Ok(labels)
    }

    /// Refuses fewer labels than can be told apart, and more than can be counted.
    pub fn validate(&self) -> Result<()> {
        match self.classes {
            0 | 1 => Err(Error::invalid(format!(
                "there must be at least 2 labels to tell apart, and there {} {}",
                if self.classes == 1 { "is" } else { "are" },
                self.classes
            ))),
            classes if classes >= u32::MAX as usize => Err(Error::invalid(format!("{classes} labels are too many"))),
            _ => Ok(()),
        }
    }

    pub fn task(&self) -> Task {
        if self.pooling.is_some() { Task::Classification } else { Task::Tagging }
    }

    /// How many values it reads, of a last layer of `width` outputs.
    pub fn features(&self, width: usize) -> usize {
        if self.pooling == Some(Pooling::Concat) { 3 * width } else { width }
    }
}

/// The outputs of a document, pooled while it is read.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pooling: Pooling,
    tokens: usize,
    /// `[width]`, or empty where the pooling does without.
    last: Vec<f32>,
    sum: Vec<f64>,
    max: Vec<f32>,
}

impl Pool {
    /// Of no token yet.
    pub fn new(pooling: Pooling, width: usize) -> Self {
        let of = |kind| if pooling == kind || pooling == Pooling::Concat { width } else { 0 };
        Self {
            pooling,
            tokens: 0,
            last: vec![0.0; of(Pooling::Last)],
            sum: vec![0.0; of(Pooling::Mean)],
            max: vec![0.0; of(Pooling::Max)],
        }
    }

    /// Adds the output `[width]` at the next token.
    pub fn add(&mut self, output: impl Iterator<Item = f32> + Clone) {
        self.last.iter_mut().zip(output.clone()).for_each(|(last, value)| *last = value);
        self.sum.iter_mut().zip(output.clone()).for_each(|(sum, value)| *sum += f64::from(value));
        let is_first = self.tokens == 0;
        self.max
            .iter_mut()
            .zip(output)
            .for_each(|(max, value)| *max = if is_first || value > *max { value } else { *max });
        self.tokens += 1;
    }

    /// Whether it does without all tokens but the last.
    pub fn is_of_the_last(&self) -> bool {
        self.pooling == Pooling::Last
    }

    /// `[features]`, of the tokens so far.
    pub fn features(&self) -> impl Iterator<Item = f32> {
        let tokens = self.tokens.max(1) as f64;
        let mean = self.sum.iter().map(move |sum| (sum / tokens) as f32);
        self.last.iter().copied().chain(mean).chain(self.max.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_of_the_tokens_so_far() {
        let outputs = [[1.0, -3.0], [-2.0, -1.0], [0.5, -5.0]];
        let pooled = |pooling, tokens: usize| {
            let mut pool = Pool::new(pooling, 2);
            outputs[..tokens].iter().for_each(|output| pool.add(output.iter().copied()));
            pool.features().collect::<Vec<f32>>()
        };
        assert_eq!(pooled(Pooling::Last, 2), [-2.0, -1.0]);
        assert_eq!(pooled(Pooling::Mean, 2), [-0.5, -2.0]);
        assert_eq!(pooled(Pooling::Max, 3), [1.0, -1.0]);
        assert_eq!(pooled(Pooling::Concat, 1), [1.0, -3.0, 1.0, -3.0, 1.0, -3.0]);
        assert_eq!(pooled(Pooling::Concat, 0), [0.0; 6]);
    }

    #[test]
    fn there_are_at_least_two_labels() {
        let of = |classes| Labels::new(Task::Classification, classes, Pooling::Last);
        assert!(of(2).is_ok() && of(1).unwrap_err().message().ends_with("there is 1") && of(0).is_err());
        assert!(Labels::new(Task::LanguageModel, 2, Pooling::Last).is_err());
    }
}
