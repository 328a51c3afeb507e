//! The Kullback-Leibler divergence, as somebody else would write it: a metric that is not symmetric, with options.

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Claim, Component, Error, Host, MetricBatch, Pair, PreferenceMetric, Result};

/// `sum_f p_f log(p_f / q_f)`: what the later stage's distribution `q` costs whoever reads by `p`.
struct KullbackLeibler {
    options: Options,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", default, deny_unknown_fields)]
struct Options {
    /// Base of the logarithm, above 1: 2 gives bits.
    base: f64,
    /// Added to each probability of both sides before they are made to sum to 1 again, at least 0. At 0 a neuron that
    /// left a feature altogether has no number.
    smoothing: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { base: 2.0, smoothing: 0.0 }
    }
}

impl Component for KullbackLeibler {
    const KIND: &'static str = "kl";
    const ABOUT: &'static str = "Kullback-Leibler divergence of the later preferences from the earlier";
    // Neither symmetric nor bounded, and no triangle.
    const CLAIMS: &'static [Claim] = &[Claim::Identity];
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        let Options { base, smoothing } = options;
        if !(base.is_finite() && base > 1.0) {
            return Err(Error::at("/base", format!("must be a number above 1, not {base}")));
        }
        if !(smoothing.is_finite() && smoothing >= 0.0) {
            return Err(Error::at("/smoothing", format!("must be a number of at least 0, not {smoothing}")));
        }
        Ok(Self { options })
    }
}

impl KullbackLeibler {
    fn divergence(&self, row: &Pair<'_>) -> f64 {
        let Options { base, smoothing } = self.options;
        let whole = 1.0 + smoothing * row.features.len() as f64;
        let nats = row.p.iter().zip(row.q).map(|(p, q)| [p, q].map(|share| (share + smoothing) / whole));
        let nats = nats.map(|[p, q]| if p > 0.0 { p * (p / q).ln() } else { 0.0 }).sum::<f64>();
        // Infinite is no number that anybody can average: it is left undefined, a null in the table. Of sides that are
        // the same or nearly so, rounding may leave a little below 0.
        if nats.is_finite() { nats.max(0.0) / base.ln() } else { f64::NAN }
    }
}

impl PreferenceMetric for KullbackLeibler {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        batch.rows().zip(out).for_each(|(row, out)| *out = self.divergence(&row));
        Ok(())
    }
}

txray_plugin::plugin!(metrics = [KullbackLeibler]);

#[cfg(test)]
mod tests {
    txray_conformance::metric_suite!(crate::plugin);
}
