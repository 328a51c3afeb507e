//! The cosine distance, as somebody else would write it: a plain formula.

use txray_plugin::{Claim, Component, Host, MetricBatch, NoOptions, Pair, PreferenceMetric, Result};

/// `1 - p·q / (|p| |q|)`, in [0, 1]: what both sides prefer most decides.
struct Cosine;

impl Component for Cosine {
    const KIND: &'static str = "cosine";
    const ABOUT: &'static str = "cosine distance of the preference distributions, in [0, 1]";
    // No triangle: the angle would keep it.
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Bounded];
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

fn distance(row: &Pair<'_>) -> f64 {
    let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = inner(row.p, row.q) / (inner(row.p, row.p) * inner(row.q, row.q)).sqrt();
    // Rounding may carry the cosine an ulp beyond 1.
    (1.0 - cosine).max(0.0)
}

impl PreferenceMetric for Cosine {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        batch.rows().zip(out).for_each(|(row, out)| *out = distance(&row));
        Ok(())
    }
}

txray_plugin::plugin!(metrics = [Cosine]);

#[cfg(test)]
mod tests {
    txray_conformance::metric_suite!(crate::plugin);
}
