//! The two changes at work:
//!
//!     cargo run --release -- compare RUN/stages/FROM RUN/stages/TO     two stages of a finished run, by the new weighting
//!     cargo run --release -- record recorded.tsv OUT                   recorded activations, by the new record rule
//!
//! `record` leaves the tables of two stages, `OUT/max-1` and `OUT/over-mean`, as a run would.

mod recorded;

use std::path::Path;
use std::process::ExitCode;

use recorded::Recorded;
use txray_method::{
    Comparison, Extent, Metric, MethodResult, Record, RecordRule, Settings, Stage, Weigh, Weighting, compare,
};
use txray_plugin::{Host, MetricBatch, PreferenceMetric};
use txray_tables::Folder;
use {{crate}}::{OverMean, Surprisal};

struct Hellinger;

impl PreferenceMetric for Hellinger {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> txray_plugin::Result<()> {
        for (row, out) in batch.rows().zip(out) {
            let sum: f64 = row.p.iter().zip(row.q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
            *out = (sum / 2.0).sqrt();
        }
        Ok(())
    }
}

fn compared(from: &Stage, to: &Stage, weighting: &dyn Weigh) -> MethodResult<Comparison> {
    // Those that both have.
    let layers: Vec<String> = from.layers.iter().map(|layer| layer.layer.clone()).collect();
    let layers: Vec<String> = layers.into_iter().filter(|layer| to.layer(layer).is_ok()).collect();
    let settings = Settings { layers: &layers, weighting, min_count: 1, texts_differ: false };
    let hellinger =
        Metric { name: "hellinger".to_owned(), metric: Box::new(Hellinger), bounded: true, affine: false };
    Ok(compare(from, to, &settings, &[hellinger], &Host::detached())?.comparison)
}

fn compare_stages(from: &Path, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let (from, to) = (Stage::read(&Folder(from))?, Stage::read(&Folder(to))?);
    let (usual, new) = (compared(&from, &to, &Weighting::Mass)?, compared(&from, &to, &Surprisal)?);
    for (layer, name) in usual.layers.iter().enumerate() {
        match (usual.mean(layer, 0).mean, new.mean(layer, 0).mean) {
            (Some(usual), Some(new)) => println!("{name}: mean distance {usual:.4} by mass, {new:.4} by surprisal"),
            _ => println!("{name}: no neuron prefers anything in both stages"),
        }
    }
    Ok(())
}

fn record(table: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let read = |rule: &dyn RecordRule, name: &str| -> Result<Stage, Box<dyn std::error::Error>> {
        let folder = out.join(name);
        std::fs::create_dir_all(&folder)?;
        let (stage, _) = txray_method::read(&mut Recorded::open(table)?, rule, Extent::Whole, &Host::detached(), &Folder(&folder))?;
        println!("{name}: {} of {} neurons are alive", stage.neurons.alive(), stage.neurons.len());
        Ok(stage)
    };
    // The means are those of all tokens, whatever the rule: so the first reading gives them.
    let usual = read(&Record::default(), "max-1")?;
    let rule = OverMean::of(&usual.neurons).ok_or("the source tells no means")?;
    read(&rule, "over-mean")?;
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["compare", from, to] => compare_stages(Path::new(from), Path::new(to)),
        ["record", table, out] => record(Path::new(table), Path::new(out)),
        _ => Err("which? compare RUN/stages/FROM RUN/stages/TO, or record recorded.tsv OUT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
