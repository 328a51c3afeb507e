//! A metric as somebody else would write it: `sum_f |p_f - q_f|^alpha`.

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Claim, Component, Error, Host, MetricBatch, PreferenceMetric, Result};

/// The sum of the differences, each raised to a power.
struct Energy {
    alpha: f64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", default, deny_unknown_fields)]
struct Options {
    /// The power, above 0. At 1 this is the L1 distance.
    alpha: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl Component for Energy {
    const KIND: &'static str = "energy";
    const ABOUT: &'static str = "sum of |p - q|^alpha";
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity];
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        if options.alpha.is_nan() || options.alpha <= 0.0 {
            return Err(Error::at("/alpha", format!("must be above 0, not {}", options.alpha)));
        }
        Ok(Self { alpha: options.alpha })
    }
}

impl PreferenceMetric for Energy {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            *out = row.p.iter().zip(row.q).map(|(p, q)| (p - q).abs().powf(self.alpha)).sum();
        }
        Ok(())
    }
}

txray_plugin::plugin!(metrics = [Energy]);
