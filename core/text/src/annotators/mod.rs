//! One file an annotator, and the list of them.

mod lookup;
mod perceptron;
mod regex;

use crate::annotator::AnnotatorKind;

/// Every annotator that pipelines can name.
pub const ANNOTATORS: &[AnnotatorKind] = &[
    AnnotatorKind::of::<perceptron::PerceptronOptions>(),
    AnnotatorKind::of::<lookup::LookupOptions>(),
    AnnotatorKind::of::<regex::RegexOptions>(),
];

#[cfg(test)]
mod tests;
