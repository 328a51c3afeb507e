//! Bhattacharyya's distance, as somebody else would write it: a metric that has no number for some rows.

use txray_plugin::{Claim, Component, Host, MetricBatch, NoOptions, Pair, PreferenceMetric, Result};

/// `-ln sum_f sqrt(p_f q_f)`: 0 where both sides are the same, and without a limit the less they share.
struct Bhattacharyya;

impl Component for Bhattacharyya {
    const KIND: &'static str = "bhattacharyya";
    const ABOUT: &'static str = "Bhattacharyya distance of the preference distributions";
    // Not bounded, and no triangle: the root of one less the coefficient, `hellinger`, keeps it.
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity];
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

fn distance(row: &Pair<'_>) -> f64 {
    let coefficient: f64 = row.p.iter().zip(row.q).map(|(p, q)| (p * q).sqrt()).sum();
    // Sides that share nothing are infinitely far: that is left undefined, a null in the table. Of sides that are the
    // same, rounding may carry the coefficient an ulp beyond 1.
    if coefficient > 0.0 { (-coefficient.ln()).max(0.0) } else { f64::NAN }
}

impl PreferenceMetric for Bhattacharyya {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        batch.rows().zip(out).for_each(|(row, out)| *out = distance(&row));
        Ok(())
    }
}

txray_plugin::plugin!(metrics = [Bhattacharyya]);

#[cfg(test)]
mod tests {
    txray_conformance::metric_suite!(crate::plugin);
}
