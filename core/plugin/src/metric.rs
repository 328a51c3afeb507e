//! Distances between preference distributions.

use crate::{Host, Result, Strings};

/// A distance between two preference distributions.
///
/// One call takes every row of a comparison. `&self` may be called from many threads at once, and a row's result must
/// not depend on which rows stand beside it: the engine cuts batches as it likes. Ids of features only tell them apart:
/// numbering the features anew, their names with them, changes a distance by rounding alone.
pub trait PreferenceMetric: Send + Sync {
    /// Writes the distance of each row to `out` (`[rows]`); NaN where it is undefined (a null in the table).
    fn distances(&self, host: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()>;
}

/// What a metric claims of its distances; conformance tests hold it to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `d(p, q) = d(q, p)`.
    Symmetric,
    /// `d(p, p) = 0`.
    Identity,
    /// `0 <= d(p, q) <= 1`.
    Bounded,
    /// `d(p, r) <= d(p, q) + d(q, r)`.
    Triangle,
    /// `1 - d(p, q)²` is an affinity: a positive semi-definite kernel of the distributions, which is 1 for equal ones.
    /// Distances between finite samples can be corrected through it.
    Affinity,
}

impl Claim {
    /// Every one that there is.
    pub const ALL: [Self; 5] = [Self::Symmetric, Self::Identity, Self::Bounded, Self::Triangle, Self::Affinity];

    /// Its name in a plugin's description.
    pub fn name(self) -> &'static str {
        match self {
            Self::Symmetric => "symmetric",
            Self::Identity => "identity",
            Self::Bounded => "bounded",
            Self::Triangle => "triangle",
            Self::Affinity => "affinity",
        }
    }
}

/// Pairs of preference distributions, ragged. Each row (a neuron in a layer) has one entry for each feature of the
/// union of both sides, in rising order of feature id. Both sides of a row are alive: each has mass.
#[derive(Clone, Copy, Debug)]
pub struct MetricBatch<'a> {
    /// `[rows + 1]` offsets into the columns below.
    pub offsets: &'a [u64],
    /// `[entries]` feature ids: indices into `names`.
    pub features: &'a [u32],
    /// `[entries]` probabilities, first side; each row sums to 1.
    pub p: &'a [f64],
    /// `[entries]` probabilities, second side.
    pub q: &'a [f64],
    /// `[entries]` how often the feature was observed, first side.
    pub count_p: &'a [u64],
    /// `[entries]` likewise, second side.
    pub count_q: &'a [u64],
    /// `[entries]` sum of activations, first side.
    pub mass_p: &'a [f64],
    /// `[entries]` likewise, second side.
    pub mass_q: &'a [f64],
    /// `[features]` names, by feature id.
    pub names: Strings<'a>,
}

/// One row of a [`MetricBatch`]: columns of `[union length]`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the columns are those of the batch")]
pub struct Pair<'a> {
    pub features: &'a [u32],
    pub p: &'a [f64],
    pub q: &'a [f64],
    pub count_p: &'a [u64],
    pub count_q: &'a [u64],
    pub mass_p: &'a [f64],
    pub mass_q: &'a [f64],
}

impl<'a> MetricBatch<'a> {
    /// Whether the offsets and the columns fit together.
    pub fn is_consistent(&self) -> bool {
        let entries = self.features.len();
        let lengths = [self.p.len(), self.q.len(), self.count_p.len(), self.count_q.len(), self.mass_p.len()];
        self.offsets.first() == Some(&0)
            && self.offsets.last() == Some(&(entries as u64))
            && self.offsets.is_sorted()
            && lengths.iter().chain([&self.mass_q.len()]).all(|&n| n == entries)
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In the order of the outputs.
    pub fn rows(&self) -> impl Iterator<Item = Pair<'a>> + use<'a> {
        let batch = *self;
        self.offsets.windows(2).map(move |w| {
            let at = w[0] as usize..w[1] as usize;
            Pair {
                features: &batch.features[at.clone()],
                p: &batch.p[at.clone()],
                q: &batch.q[at.clone()],
                count_p: &batch.count_p[at.clone()],
                count_q: &batch.count_q[at.clone()],
                mass_p: &batch.mass_p[at.clone()],
                mass_q: &batch.mass_q[at],
            }
        })
    }
}
