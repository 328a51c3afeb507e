//! Compares two stages of a finished run under the new weighting, beside the usual one:
//!
//!     cargo run --release -- RUN/stages/FROM RUN/stages/TO

use std::path::Path;

use {{crate}}::Surprisal;
use txray_method::{Comparison, Settings, Stage, Weigh, Weighting, compare};
use txray_plugin::{Host, MetricBatch, PreferenceMetric, Result};
use txray_tables::Folder;

struct Hellinger;

impl PreferenceMetric for Hellinger {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            let sum: f64 = row.p.iter().zip(row.q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
            *out = (sum / 2.0).sqrt();
        }
        Ok(())
    }
}

fn compared(from: &Stage, to: &Stage, weighting: &dyn Weigh) -> txray_method::MethodResult<Comparison> {
    let layers: Vec<String> = from.layers.iter().map(|layer| layer.layer.clone()).collect();
    let settings = Settings { layers: &layers, weighting, min_count: 1 };
    let metrics = [("hellinger".to_owned(), Box::new(Hellinger) as _)];
    Ok(compare(from, to, &settings, &metrics, &Host::detached())?.comparison)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, from, to] = &arguments[..] else { return Err("which two stages? RUN/stages/FROM RUN/stages/TO".into()) };
    let (from, to) = (Stage::read(&Folder(Path::new(from)))?, Stage::read(&Folder(Path::new(to)))?);
    let (usual, new) = (compared(&from, &to, &Weighting::Mass)?, compared(&from, &to, &Surprisal)?);
    for (layer, name) in usual.layers.iter().enumerate() {
        let mean = |of: &Comparison| of.mean(layer, 0).mean.unwrap_or(f64::NAN);
        println!("{name}: mean distance {:.4} by mass, {:.4} by surprisal", mean(&usual), mean(&new));
    }
    Ok(())
}
