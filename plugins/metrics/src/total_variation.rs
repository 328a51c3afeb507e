//! The total variation.

use txray_plugin::{Claim, Component, Host, MetricBatch, NoOptions, PreferenceMetric, Result};

/// `sum_f |p_f - q_f| / 2`, in [0, 1]: the mass that would have to move for one side to become the other.
///
/// It is no affinity: the differences add up where those of a kernel would add up squared.
#[derive(Clone, Copy, Debug)]
pub struct TotalVariation;

impl Component for TotalVariation {
    const KIND: &'static str = "total-variation";
    const ABOUT: &'static str = "half the L1 distance of the preference distributions, in [0, 1]";
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Bounded, Claim::Triangle];
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl PreferenceMetric for TotalVariation {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            let differences = row.p.iter().zip(row.q).map(|(p, q)| (p - q).abs());
            // Rounding can carry disjoint distributions an ulp beyond 1.
            *out = (differences.sum::<f64>() / 2.0).min(1.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::between;

    /// By hand: (1/2, 1/4, 1/4, 0) against (1/4, 1/4, 0, 1/2) differ by 1/4, 0, 1/4, 1/2.
    #[test]
    fn known_values() {
        let found = between(&TotalVariation, &[[&[2.0, 1.0, 1.0, 0.0], &[1.0, 1.0, 0.0, 2.0]], [&[0.7], &[0.1]]]);
        assert_eq!(found, [0.5, 0.0]);
    }

    /// Sums of thirds, fifths and the like do not come to 1: some come out above.
    #[test]
    fn disjoint_distributions_are_at_one_and_never_beyond() {
        let mut is_cut = false;
        for n in 1..60 {
            let p: Vec<f64> = (0..2 * n).map(|f| f64::from(u8::from(f < n)) * (f + 1) as f64).collect();
            let q: Vec<f64> = p.iter().rev().copied().collect();
            let found = between(&TotalVariation, &[[&p, &q]])[0];
            assert!(found <= 1.0 && found > 1.0 - 1e-14, "{found} of {n}");
            let shares =
                |side: &[f64]| -> Vec<f64> { side.iter().map(|mass| mass / side.iter().sum::<f64>()).collect() };
            is_cut |= shares(&p).iter().chain(&shares(&q)).sum::<f64>() / 2.0 > 1.0;
        }
        assert!(is_cut, "none is carried beyond 1: this says nothing");
    }
}
