//! What a run prints at its end, on standard output.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use txray_engine::error::Result;
use txray_engine::pipeline::Pipeline;
use txray_engine::run::Outcome;
use txray_engine::step::Step;
use txray_engine::steps::comparison::Comparison;
use txray_engine::steps::model::{Model, ModelFigures};
use txray_engine::steps::stage::{Stage, StageFigures, StageOf};
use txray_method::{Comparison as Compared, ComparisonRow, Preference, Preferences};
use txray_tables::StepRecord;

use crate::output;
use crate::table::Table;
use crate::terminal::thousands;

/// Neurons told of in a comparison.
const TOLD: usize = 5;
/// Features told of each.
const FEATURES: usize = 5;
/// Below this many observations on a side a distance is mostly noise, and the neuron is not told of.
const ENOUGH: u64 = 20;

/// The text of a summary.
pub fn of(pipeline: &Pipeline, outcome: &Outcome, out: &Path) -> Result<String> {
    let mut text = String::new();
    models(&mut text, pipeline, outcome)?;
    stages(&mut text, pipeline, outcome)?;
    let mut compared = Vec::new();
    for comparison in pipeline.all::<Comparison>() {
        let made = comparison.read(&outcome.finished.entry(&*comparison)?.directory)?;
        compared.push((comparison, made));
    }
    comparisons(&mut text, &compared);
    let mut read: HashMap<String, Preferences> = HashMap::new();
    for (comparison, made) in &compared {
        for stage in [&comparison.from, &comparison.to] {
            if !read.contains_key(stage.name.as_str()) {
                let preferences = stage.read(&outcome.finished.entry(&**stage)?.directory)?;
                read.insert(stage.name.to_string(), preferences);
            }
        }
        changed_most(&mut text, comparison, made, |stage| read.get(stage.name.as_str()));
    }
    text += &output::line(&format!("The tables are in {}", out.display()));
    Ok(text)
}

/// What the manifest says of a step.
fn record<'o>(outcome: &'o Outcome, step: &dyn Step) -> Option<&'o StepRecord> {
    let id = step.id();
    outcome.manifest.steps.iter().find(|record| record.name == id)
}

/// Tokens, and tokens a second.
fn tokens(record: Option<&StepRecord>) -> [String; 2] {
    let tokens = record.and_then(|record| record.tokens).map(thousands);
    let rate = record.and_then(StepRecord::rate).map(|rate| thousands(rate as u64));
    [tokens, rate].map(Option::unwrap_or_default)
}

fn add(text: &mut String, table: &Table) {
    if !table.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{table}\n");
    }
}

fn models(text: &mut String, pipeline: &Pipeline, outcome: &Outcome) -> Result<()> {
    let header = ["model", "epochs", "tokens", "tokens/s", "vocabulary", "perplexity (valid)"];
    let mut table = Table::new(&header, &[1, 2, 3, 4, 5]);
    for model in pipeline.all::<Model>().filter(|model| model.is_trained()) {
        let figures: ModelFigures = outcome.finished.figures(&*model)?;
        let [tokens, rate] = tokens(record(outcome, &*model));
        table.row([
            model.name.to_string(),
            thousands(figures.epochs),
            tokens,
            rate,
            thousands(figures.vocabulary as u64),
            figures.valid_perplexity.map(|p| format!("{p:.2}")).unwrap_or_default(),
        ]);
    }
    add(text, &table);
    Ok(())
}

fn stages(text: &mut String, pipeline: &Pipeline, outcome: &Outcome) -> Result<()> {
    let header = ["stage", "model", "text", "tokens", "unknown", "neurons alive", "mass", "tokens/s"];
    let mut table = Table::new(&header, &[3, 4, 5, 6, 7]);
    for stage in pipeline.all::<Stage>() {
        let figures: StageFigures = outcome.finished.figures(&*stage)?;
        let record = record(outcome, &*stage);
        let [told, rate] = tokens(record);
        let (of, over) = match &stage.of {
            StageOf::Model { model, text, .. } => (model.to_string(), text.name()),
            StageOf::Source(source) => (source.kind.clone(), String::new()),
        };
        let unknown = figures.unknown as f64 / record.and_then(|record| record.tokens).unwrap_or(0) as f64;
        table.row([
            stage.name.to_string(),
            of,
            over,
            told,
            format!("{:.1} %", 100.0 * unknown),
            format!("{} of {}", figures.alive, figures.neurons),
            format!("{:.2}", figures.mass),
            rate,
        ]);
    }
    add(text, &table);
    Ok(())
}

fn comparisons(text: &mut String, compared: &[(Arc<Comparison>, Compared)]) {
    if compared.is_empty() {
        return;
    }
    let header = ["comparison", "stages", "shared", "lost", "gained", "dead", "layer", "mean distance of the shared"];
    let mut table = Table::new(&header, &[2, 3, 4, 5]);
    for (settings, comparison) in compared {
        let fates = comparison.fates();
        for (index, layer) in comparison.layers.iter().enumerate() {
            let means = comparison.metrics.iter().enumerate().filter_map(|(metric, name)| {
                comparison.mean(index, metric).mean.map(|mean| format!("{name} {mean:.4}"))
            });
            // What is of the neurons and not of a layer stands once.
            let once = |cell: String| if index == 0 { cell } else { String::new() };
            table.row([
                once(settings.name.to_string()),
                once(format!("{} -> {}", settings.from.name, settings.to.name)),
                once(fates.shared.to_string()),
                once(fates.lost.to_string()),
                once(fates.gained.to_string()),
                once(fates.dead.to_string()),
                layer.clone(),
                means.collect::<Vec<_>>().join(", "),
            ]);
        }
    }
    add(text, &table);
}

/// The neurons that moved furthest in a comparison's first layer and metric, with what they preferred.
fn changed_most<'p>(
    text: &mut String,
    settings: &Comparison,
    comparison: &Compared,
    read: impl Fn(&Stage) -> Option<&'p Preferences>,
) {
    let (Some(layer), Some(metric)) = (comparison.layers.first(), comparison.metrics.first()) else { return };
    let enough =
        |row: &&ComparisonRow| row.layer == 0 && row.counts.iter().all(|&n| n >= ENOUGH) && row.distances[0].is_some();
    let mut rows: Vec<&ComparisonRow> = comparison.rows.iter().filter(enough).collect();
    rows.sort_by(|a, b| b.distances[0].partial_cmp(&a.distances[0]).unwrap_or(std::cmp::Ordering::Equal));
    if rows.is_empty() {
        return;
    }
    *text += &output::line(&format!(
        "{}: changed most in `{layer}`, of the {} neurons with at least {ENOUGH} observations on both sides",
        settings.name,
        rows.len()
    ));
    let before = format!("prefers in {}", settings.from.name);
    let after = format!("prefers in {}", settings.to.name);
    let mut table = Table::new(&["neuron", metric, "observations", &before, &after], &[1, 2]);
    for row in rows.into_iter().take(TOLD) {
        let prefers = |stage: &Stage| {
            let Some(read) = read(stage) else { return String::new() };
            let Some(index) = read.layers.iter().position(|l| l.name == *layer) else { return String::new() };
            let weight = |preference: &Preference| settings.settings.weighting.weight(preference);
            let all = read.preferred(index, row.site, row.neuron, weight);
            let whole: f64 = all.iter().map(|(_, weight)| weight).sum();
            let told: Vec<String> =
                all.iter().take(FEATURES).map(|(f, weight)| format!("{f} {}", percent(weight / whole))).collect();
            told.join("  ")
        };
        table.row([
            format!("{}[{}]", comparison.sites[row.site], row.neuron),
            row.distances[0].map(|d| format!("{d:.4}")).unwrap_or_default(),
            format!("{} -> {}", thousands(row.counts[0]), thousands(row.counts[1])),
            prefers(&settings.from),
            prefers(&settings.to),
        ]);
    }
    add(text, &table);
}

/// `12%`, `0.4%`.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent < 1.0 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}
