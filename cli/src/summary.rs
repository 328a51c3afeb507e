//! What a run prints at its end, on standard output.

use std::fmt::Write;
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use txray_engine::compare::{Comparison, ComparisonRow, Weighting};
use txray_engine::config::Pipeline;
use txray_engine::preferences::Preferences;
use txray_engine::run::Outcome;

use crate::terminal::thousands;

/// Neurons told of in a comparison.
const TOLD: usize = 5;
/// Features told of each.
const FEATURES: usize = 5;
/// Below this many observations on a side a distance is mostly noise, and the neuron is not told of.
const ENOUGH: u64 = 20;

/// The text of a summary.
pub fn of(pipeline: &Pipeline, outcome: &Outcome, out: &Path) -> String {
    let mut text = String::new();
    models(&mut text, outcome);
    stages(&mut text, pipeline, outcome);
    for (name, comparison) in &outcome.comparisons {
        let settings = &pipeline.comparisons[name];
        let sides = [&outcome.stages[&settings.from], &outcome.stages[&settings.to]];
        let fates = comparison.fates();
        line(&mut text, format_args!("\nComparison {name}: {} -> {}", settings.from, settings.to));
        line(
            &mut text,
            format_args!(
                "  neurons: {} shared, {} lost, {} gained, {} dead",
                fates.shared, fates.lost, fates.gained, fates.dead
            ),
        );
        for layer in 0..comparison.layers.len() {
            self::comparison(&mut text, comparison, layer, sides.map(|side| &**side), settings.settings.weighting);
        }
    }
    line(&mut text, format_args!("\nTables are in {}", out.display()));
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn models(text: &mut String, outcome: &Outcome) {
    let trained: Vec<_> = outcome.manifest.steps.iter().filter(|s| s.kind == "model" && s.tokens.is_some()).collect();
    if trained.is_empty() {
        return;
    }
    let mut table =
        table(&["model", "epochs", "tokens", "tokens/s", "vocabulary", "perplexity (valid)"], &[1, 2, 3, 4, 5]);
    for step in trained {
        let figure = |name: &str| step.figures.get(name).copied();
        let count = |name: &str| figure(name).map(|n| thousands(n as u64)).unwrap_or_default();
        table.add_row([
            step.name.trim_start_matches("model.").to_owned(),
            count("epochs"),
            step.tokens.map(thousands).unwrap_or_default(),
            step.rate().map(|rate| thousands(rate as u64)).unwrap_or_default(),
            count("vocabulary"),
            figure("valid_perplexity").map(|p| format!("{p:.2}")).unwrap_or_default(),
        ]);
    }
    line(text, format_args!("{table}"));
}

fn stages(text: &mut String, pipeline: &Pipeline, outcome: &Outcome) {
    if outcome.stages.is_empty() {
        return;
    }
    let header = ["stage", "model", "text", "tokens", "unknown", "neurons alive", "mass", "tokens/s"];
    let mut table = table(&header, &[3, 4, 5, 6, 7]);
    for (name, read) in &outcome.stages {
        let settings = &pipeline.stages[name];
        let step = outcome.manifest.steps.iter().find(|step| step.name == format!("stage.{name}"));
        let neurons: usize = read.sites.iter().map(|site| site.width).sum();
        table.add_row([
            name.clone(),
            settings.model.to_string(),
            settings.text.to_string(),
            thousands(read.tokens),
            format!("{:.1} %", 100.0 * read.unknown as f64 / read.tokens as f64),
            format!("{} of {neurons}", read.alive()),
            format!("{:.2}", read.mass().to_f64()),
            step.and_then(txray_engine::manifest::Step::rate).map(|r| thousands(r as u64)).unwrap_or_default(),
        ]);
    }
    line(text, format_args!("{table}"));
}

fn comparison(
    text: &mut String,
    comparison: &Comparison,
    layer: usize,
    sides: [&Preferences; 2],
    weighting: Weighting,
) {
    let name = &comparison.layers[layer];
    for (index, metric) in comparison.metrics.iter().enumerate() {
        let summary = comparison.mean(layer, index);
        if let Some(mean) = summary.mean {
            line(text, format_args!("  {name}: mean {metric} {mean:.4} over {} neurons", summary.neurons));
        }
    }
    let enough = |row: &&ComparisonRow| row.counts.iter().all(|&n| n >= ENOUGH) && row.distances[0].is_some();
    let mut rows: Vec<&ComparisonRow> =
        comparison.rows.iter().filter(|row| row.layer == layer).filter(enough).collect();
    rows.sort_by(|a, b| b.distances[0].partial_cmp(&a.distances[0]).unwrap_or(std::cmp::Ordering::Equal));
    if rows.is_empty() || comparison.metrics.is_empty() {
        return;
    }
    line(
        text,
        format_args!(
            "  changed most in {name}, of the {} neurons with at least {ENOUGH} observations on both sides:",
            rows.len()
        ),
    );
    let mut table =
        table(&["neuron", &comparison.metrics[0], "observations", "prefers before", "prefers after"], &[1, 2]);
    for row in rows.into_iter().take(TOLD) {
        let features = |side: usize| {
            let read = sides[side];
            let Some(layer) = read.layers.iter().position(|l| l.name == *name) else { return String::new() };
            let all = read.preferred(layer, row.site, row.neuron, |preference| weighting.weight(preference));
            let whole: f64 = all.iter().map(|(_, weight)| weight).sum();
            let told = all.iter().take(FEATURES);
            let told: Vec<String> = told.map(|(f, weight)| format!("{f} {:.0}%", 100.0 * weight / whole)).collect();
            told.join("  ")
        };
        table.add_row([
            format!("{}[{}]", comparison.sites[row.site], row.neuron),
            row.distances[0].map(|d| format!("{d:.4}")).unwrap_or_default(),
            format!("{} -> {}", thousands(row.counts[0]), thousands(row.counts[1])),
            features(0),
            features(1),
        ]);
    }
    line(text, format_args!("{table}"));
}
