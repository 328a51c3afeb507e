//! The Jaccard distance, as somebody else would write it: a metric of which features are preferred, not of how much.

use txray_plugin::{Claim, Component, Host, MetricBatch, NoOptions, Pair, PreferenceMetric, Result};

/// One less the features that both sides prefer over those that either does, in [0, 1].
struct Jaccard;

impl Component for Jaccard {
    const KIND: &'static str = "jaccard";
    const ABOUT: &'static str = "Jaccard distance of the sets of preferred features, in [0, 1]";
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Bounded, Claim::Triangle];
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

fn distance(row: &Pair<'_>) -> f64 {
    // A row has the features of the union.
    let differ = row.p.iter().zip(row.q).filter(|&(&p, &q)| (p > 0.0) != (q > 0.0)).count();
    differ as f64 / row.features.len() as f64
}

impl PreferenceMetric for Jaccard {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        batch.rows().zip(out).for_each(|(row, out)| *out = distance(&row));
        Ok(())
    }
}

txray_plugin::plugin!(metrics = [Jaccard]);

#[cfg(test)]
mod tests {
    txray_conformance::metric_suite!(crate::plugin);
}
