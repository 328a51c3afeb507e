//! {{name}}: a pruner, for txray: it scores every neuron, and those with the highest scores go first.

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Columns, Component, Error, Host, Pruner, Result};

/// The share of its mass that a neuron lost from one stage to the other.
struct {{Type}} {
    least: f64,
}

/// What a pipeline may say about it. These comments are what `txray plugin inspect` shows.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields, default)]
struct Options {
    /// Neurons with fewer observations than this in the first stage are never pruned: too little is known of them.
    least: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { least: 20.0 }
    }
}

impl Component for {{Type}} {
    const KIND: &'static str = "{{name}}";
    const ABOUT: &'static str = "the share of its mass that a neuron lost";
    type Options = Options;

    fn create(options: Options, _: &Host<'_>) -> Result<Self> {
        if !(options.least.is_finite() && options.least >= 0.0) {
            return Err(Error::at("/least", format!("must be at least 0, not {}", options.least)));
        }
        Ok(Self { least: options.least })
    }
}

impl Pruner for {{Type}} {
    fn scores(&self, _: &Host<'_>, columns: &Columns<'_>, out: &mut [f64]) -> Result<()> {
        // The columns that there are, are listed in txray's docs/metric-authors.md; missing values are NaN.
        let column = |name: &str| {
            columns.get(name).ok_or_else(|| Error::invalid(format!("it needs the column `{name}`, which is not there")))
        };
        let (count, from, to) = (column("count_from")?, column("mass_from")?, column("mass_to")?);
        for (row, out) in out.iter_mut().enumerate() {
            // NaN: this neuron is never pruned.
            *out = if count[row] >= self.least && from[row] > 0.0 { 1.0 - to[row] / from[row] } else { f64::NAN };
        }
        Ok(())
    }
}

txray_plugin::plugin!(pruners = [{{Type}}]);

#[cfg(test)]
mod tests {
    txray_conformance::pruner_suite!(crate::plugin);
}
