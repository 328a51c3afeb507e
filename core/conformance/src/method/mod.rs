//! Suites of laws for changes of the method: a record rule or a weighting of one's own, held through the method itself.

mod record;
mod weighting;

use std::collections::BTreeMap;

use txray_method::{MethodError, Metric, RecordRule, Settings as Comparing, Stage as Read, Tally, Weigh, compare};
use txray_plugin::{Host, MetricBatch, PreferenceMetric};

use crate::bench::{Finding, Outcome, Settings, Verdict, report};
use crate::strategies::{Neuron, Stage};

pub use record::record_rule;
pub use weighting::weighting;

/// Panics with a report where a law is broken. For the macros.
#[doc(hidden)]
pub fn assert_lawful(findings: &[Finding]) {
    let report = report(findings);
    assert!(report.is_empty(), "{report}");
}

/// What is on trial, and what was found of it.
struct Laws {
    what: &'static str,
    settings: Settings,
    findings: Vec<Finding>,
}

impl Laws {
    fn law(&mut self, name: &str, law: impl FnOnce(Settings) -> Outcome) {
        let verdict = Verdict::from(law(self.settings));
        let (interface, kind) = ("txray-method".to_owned(), self.what.to_owned());
        self.findings.push(Finding { interface, kind, property: name.to_owned(), verdict });
    }
}

fn told(error: MethodError) -> String {
    format!("it failed: {error}")
}

/// A stage read to its end.
fn tally(stage: &Stage, rule: &dyn RecordRule) -> Result<Tally, String> {
    let mut tally = Tally::new(&stage.description);
    for batch in &stage.batches {
        tally.read(batch, rule).map_err(told)?;
    }
    Ok(tally)
}

fn read(stage: &Stage, rule: &dyn RecordRule) -> Result<Read, String> {
    Ok(tally(stage, rule)?.finish())
}

/// The batches read each by itself, and merged in an order that a number tells.
fn merged(stage: &Stage, rule: &dyn RecordRule, order: u64) -> Result<Read, String> {
    let mut merged = Tally::new(&stage.description);
    let mut shards: Vec<(u64, Stage)> = (1..).zip(stage.shards()).collect();
    shards.sort_by_key(|(number, _)| number.wrapping_mul(order | 1));
    for (_, shard) in &shards {
        merged.merge(&tally(shard, rule)?).map_err(|error| error.to_string())?;
    }
    Ok(merged.finish())
}

/// Total variation, from 0 to 1.
struct Variation;

impl PreferenceMetric for Variation {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> txray_plugin::Result<()> {
        for (out, row) in out.iter_mut().zip(batch.rows()) {
            *out = row.p.iter().zip(row.q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0;
        }
        Ok(())
    }
}

/// By neuron and layer, the total variation between the distributions of two stages.
type Distances = BTreeMap<(Neuron, usize), Option<f64>>;

fn distances(from: &Read, to: &Read, weighting: &dyn Weigh) -> Result<Distances, String> {
    let layers: Vec<String> = from.layers.iter().map(|layer| layer.layer.clone()).collect();
    let settings = Comparing { layers: &layers, weighting, min_count: 1, texts_differ: false };
    let metrics = [Metric { name: "variation".to_owned(), metric: Box::new(Variation), bounded: true, affine: false }];
    let compared = compare(from, to, &settings, &metrics, &Host::detached()).map_err(told)?;
    let rows = compared.comparison.rows.iter();
    Ok(rows.map(|row| (((row.site as u32, row.neuron), row.layer), row.distances[0])).collect())
}

/// How far two distances may be apart that should be the same.
const TOLERANCE: f64 = 1e-9;

/// An error where distances differ by more than rounding; `of` says which neuron of the second is which of the first.
fn same(a: &Distances, b: &Distances, of: impl Fn(Neuron) -> Neuron, when: &str) -> Result<(), String> {
    for (&(neuron, layer), &expected) in a {
        let found = b.get(&(of(neuron), layer)).copied().flatten();
        let is_same = match (expected, found) {
            (Some(expected), Some(found)) => (expected - found).abs() <= TOLERANCE,
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            return Err(format!("{when}, the distance of neuron {neuron:?} is {found:?}, and was {expected:?}"));
        }
    }
    Ok(())
}
