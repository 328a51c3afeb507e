//! Wasserstein's distance along a line, as somebody else would write it: a metric of what features mean, which it reads
//! from a file.

use std::collections::HashMap;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Claim, Component, Error, Host, MetricBatch, Pair, PreferenceMetric, Result, Strings};

/// `∫ |P(x) - Q(x)| dx` of the cumulative distributions along a line that features stand on (valence, frequency, age of
/// acquisition): how far the mass has to be carried for one side to become the other.
struct Wasserstein {
    positions: HashMap<String, f64>,
    otherwise: Option<f64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
struct Options {
    /// A file of lines `feature`, tab, `number`: where features stand.
    // A path: txray looks for it beside the pipeline, and compares again when its bytes change. The example is what the
    // conformance tests read.
    #[schemars(extend("format" = "path", "examples" = [concat!(env!("CARGO_MANIFEST_DIR"), "/examples/positions.tsv")]))]
    positions: String,
    /// Where features stand that are not in the file. Without it they are an error.
    #[schemars(extend("examples" = [0.0]))]
    otherwise: Option<f64>,
}

impl Component for Wasserstein {
    const KIND: &'static str = "wasserstein";
    const ABOUT: &'static str = "Wasserstein distance of the preference distributions along a line";
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Triangle];
    type Options = Options;

    fn create(Options { positions: path, otherwise }: Options, _: &Host<'_>) -> Result<Self> {
        if let Some(otherwise) = otherwise.filter(|otherwise| !otherwise.is_finite()) {
            return Err(Error::at("/otherwise", format!("must be a number, not {otherwise}")));
        }
        let wrong = |message: String| Error::at("/positions", message);
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(format!("cannot read {path}: {error}")))?;
        let mut positions = HashMap::new();
        for (line, number) in text.lines().zip(1..) {
            let parsed = line.rsplit_once('\t').and_then(|(feature, at)| Some((feature, at.parse().ok()?)));
            let Some((feature, at)) = parsed.filter(|(_, at): &(_, f64)| at.is_finite()) else {
                return Err(wrong(format!("{path}, line {number}: expected a feature, a tab and a number")));
            };
            if positions.insert(feature.to_owned(), at).is_some() {
                return Err(wrong(format!("{path}, line {number}: `{feature}` has a position already")));
            }
        }
        Ok(Self { positions, otherwise })
    }
}

impl Wasserstein {
    fn position(&self, feature: &str) -> Result<f64> {
        self.positions.get(feature).copied().or(self.otherwise).ok_or_else(|| {
            Error::at(
                "/positions",
                format!("the feature `{feature}` is not there, and the option `otherwise` not given"),
            )
        })
    }

    fn distance(&self, row: &Pair<'_>, names: Strings<'_>) -> Result<f64> {
        // Where on the line, and how much more the first side has there.
        let mut steps: Vec<(f64, f64)> = Vec::with_capacity(row.features.len());
        for ((&feature, p), q) in row.features.iter().zip(row.p).zip(row.q) {
            steps.push((self.position(names.get(feature as usize).unwrap_or_default())?, p - q));
        }
        steps.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut ahead = 0.0;
        let carried = steps.windows(2).map(|pair| {
            ahead += pair[0].1;
            f64::abs(ahead) * (pair[1].0 - pair[0].0)
        });
        Ok(carried.sum())
    }
}

impl PreferenceMetric for Wasserstein {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            *out = self.distance(&row, batch.names)?;
        }
        Ok(())
    }
}

txray_plugin::plugin!(metrics = [Wasserstein]);

#[cfg(test)]
mod tests {
    txray_conformance::metric_suite!(crate::plugin);
}
