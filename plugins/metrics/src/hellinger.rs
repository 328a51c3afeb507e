//! The Hellinger distance, and the one the paper's authors computed.

use txray_plugin::{Claim, Component, Host, MetricBatch, NoOptions, PreferenceMetric, Result};

/// `H(p, q) = sqrt(sum_f (sqrt p_f - sqrt q_f)²) / sqrt 2`, in [0, 1], over the union of both sides' features.
#[derive(Clone, Copy, Debug)]
pub struct Hellinger;

impl Component for Hellinger {
    const KIND: &'static str = "hellinger";
    const ABOUT: &'static str = "Hellinger distance of the preference distributions, in [0, 1]";
    /// `1 - H²` is Bhattacharyya's coefficient, the inner product of the roots.
    const CLAIMS: &'static [Claim] =
        &[Claim::Symmetric, Claim::Identity, Claim::Bounded, Claim::Triangle, Claim::Affinity];
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl PreferenceMetric for Hellinger {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            // Rounding can carry disjoint distributions an ulp beyond 1.
            *out = distance(row.p.iter().copied().zip(row.q.iter().copied())).min(1.0);
        }
        Ok(())
    }
}

/// The distance of the authors' code (`calculate_hellinger_distance` in `Evaluation_metrics/measures.py` of
/// copenlu/tx-ray at 8d09f6c), for checks against their results.
///
/// A feature's value is its mean activation over the neuron's whole mass; the values are not made to sum to 1, and
/// the distance is divided by the union length, so it is no Hellinger distance and shrinks as neurons know more.
#[derive(Clone, Copy, Debug)]
pub struct Hellinger2020;

impl Component for Hellinger2020 {
    const KIND: &'static str = "hellinger-2020";
    const ABOUT: &'static str = "what the TX-Ray authors' code computes; for checks against their results";
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Bounded];
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl PreferenceMetric for Hellinger2020 {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            let values = |mass: &[f64], count: &[u64]| -> Vec<f64> {
                let whole: f64 = mass.iter().sum();
                let mean = mass.iter().zip(count).map(|(m, &c)| if c == 0 { 0.0 } else { m / c as f64 });
                mean.map(|mean| mean / whole).collect()
            };
            let (p, q) = (values(row.mass_p, row.count_p), values(row.mass_q, row.count_q));
            *out = distance(p.into_iter().zip(q)) / row.features.len() as f64;
        }
        Ok(())
    }
}

fn distance(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    (pairs.map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum::<f64>() / 2.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use txray_plugin::Strings;

    fn both(p: &[f64], q: &[f64], count_p: &[u64], count_q: &[u64], mass_p: &[f64], mass_q: &[f64]) -> [f64; 2] {
        let features: Vec<u32> = (0..p.len() as u32).collect();
        let offsets = [0, p.len() as u64];
        let names = Strings::new("", &[]).unwrap();
        let batch =
            MetricBatch { offsets: &offsets, features: &features, p, q, count_p, count_q, mass_p, mass_q, names };
        let metrics: [&dyn PreferenceMetric; 2] = [&Hellinger, &Hellinger2020];
        metrics.map(|metric| {
            let mut out = [f64::NAN];
            metric.distances(&Host::detached(), &batch, &mut out).unwrap();
            out[0]
        })
    }

    /// Values worked by hand: H² = 1 - (sqrt(.5 * .125) + sqrt(.5 * .5)) = .25. For the authors': means 1 and 1 of
    /// mass 4 against 1, 1, 3 of mass 8, so the values are .25, .25, 0 and .125, .125, .375.
    #[test]
    fn known_values() {
        let [proper, authors] =
            both(&[0.5, 0.5, 0.0], &[0.125, 0.5, 0.375], &[2, 2, 0], &[1, 4, 1], &[2.0, 2.0, 0.0], &[1.0, 4.0, 3.0]);
        assert!((proper - 0.5).abs() < 1e-15, "{proper}");
        let expected = ((2.0 * (0.5 - 0.125_f64.sqrt()).powi(2) + 0.375) / 2.0).sqrt() / 3.0;
        assert!((authors - expected).abs() < 1e-15, "{authors}");
    }

    #[test]
    fn disjoint_distributions_are_at_one_and_never_beyond() {
        let third = 1.0 / 3.0;
        let [proper, _] = both(
            &[third, third, third, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, third, third, third],
            &[1, 1, 1, 0, 0, 0],
            &[0, 0, 0, 1, 1, 1],
            &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
        );
        assert!(proper <= 1.0 && proper > 1.0 - 1e-15, "{proper}");
    }
}
