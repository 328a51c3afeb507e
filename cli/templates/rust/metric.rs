//! {{name}}: a distance between preference distributions, for txray.

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Claim, Component, Error, Host, MetricBatch, PreferenceMetric, Result};

/// The Jensen-Shannon distance: the root of the mean Kullback-Leibler divergence of both sides from their middle.
struct {{Type}} {
    base: f64,
}

/// What a pipeline may say about it. These comments are what `txray plugin inspect` shows.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields, default)]
struct Options {
    /// Base of the logarithm, at least 2; with 2, disjoint distributions are at distance 1.
    base: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { base: 2.0 }
    }
}

impl Component for {{Type}} {
    const KIND: &'static str = "{{name}}";
    const ABOUT: &'static str = "Jensen-Shannon distance, in [0, 1]";
    // Claims are tested: by `cargo test`, and by `txray plugin check`.
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Bounded, Claim::Triangle];
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        if !(options.base.is_finite() && options.base >= 2.0) {
            return Err(Error::at("/base", format!("must be at least 2, not {}", options.base)));
        }
        Ok(Self { base: options.base })
    }
}

impl PreferenceMetric for {{Type}} {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            let part = |p: f64, q: f64| if p > 0.0 { p * (2.0 * p / (p + q)).ln() } else { 0.0 };
            let nats: f64 = row.p.iter().zip(row.q).map(|(&p, &q)| part(p, q) + part(q, p)).sum();
            // Rounding may leave a tiny negative sum where both sides are the same, or one a little above 1.
            *out = (nats / 2.0 / self.base.ln()).clamp(0.0, 1.0).sqrt();
        }
        Ok(())
    }
}

txray_plugin::plugin!(metrics = [{{Type}}]);

#[cfg(test)]
mod tests {
    txray_conformance::metric_suite!(crate::plugin);
}
