//! What a run prints at its end, on standard output.

use std::fmt::Write;
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde_json::Value;
use txray_engine::compare::{Comparison, ComparisonRow};
use txray_engine::config::{Pipeline, StageOf};
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
    comparisons(&mut text, pipeline, outcome);
    for (name, comparison) in &outcome.comparisons {
        changed_most(&mut text, pipeline, outcome, name, comparison);
    }
    line(&mut text, format_args!("The tables are in {}", out.display()));
    text
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// A table in the manner of all that is printed; the columns of these indices are aligned to the right.
pub fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(rule)).set_content_arrangement(ContentArrangement::Dynamic);
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
        let figure = |name: &str| step.figures.get(name);
        let count = |name: &str| figure(name).and_then(Value::as_u64).map(thousands).unwrap_or_default();
        table.add_row([
            step.name.trim_start_matches("model.").to_owned(),
            count("epochs"),
            step.tokens.map(thousands).unwrap_or_default(),
            step.rate().map(|rate| thousands(rate as u64)).unwrap_or_default(),
            count("vocabulary"),
            figure("valid_perplexity").and_then(Value::as_f64).map(|p| format!("{p:.2}")).unwrap_or_default(),
        ]);
    }
    line(text, format_args!("{table}\n"));
}

fn stages(text: &mut String, pipeline: &Pipeline, outcome: &Outcome) {
    let read: Vec<_> = outcome.manifest.steps.iter().filter(|step| step.kind == "stage").collect();
    if read.is_empty() {
        return;
    }
    let header = ["stage", "model", "text", "tokens", "unknown", "neurons alive", "mass", "tokens/s"];
    let mut table = table(&header, &[3, 4, 5, 6, 7]);
    for step in read {
        let name = step.name.trim_start_matches("stage.");
        let settings = &pipeline.stages[name];
        let tokens = step.tokens.unwrap_or(0);
        let count = |name: &str| step.figures.get(name).and_then(Value::as_u64).unwrap_or(0);
        let mass = step.figures.get("mass").and_then(Value::as_f64);
        let (of, over) = match &settings.of {
            StageOf::Model { model, text, .. } => (model.to_string(), text.to_string()),
            StageOf::Source(source) => (source.kind.clone(), String::new()),
        };
        table.add_row([
            name.to_owned(),
            of,
            over,
            thousands(tokens),
            format!("{:.1} %", 100.0 * count("unknown") as f64 / tokens as f64),
            format!("{} of {}", count("alive"), count("neurons")),
            mass.map(|mass| format!("{mass:.2}")).unwrap_or_default(),
            step.rate().map(|rate| thousands(rate as u64)).unwrap_or_default(),
        ]);
    }
    line(text, format_args!("{table}\n"));
}

fn comparisons(text: &mut String, pipeline: &Pipeline, outcome: &Outcome) {
    if outcome.comparisons.is_empty() {
        return;
    }
    let header = ["comparison", "stages", "shared", "lost", "gained", "dead", "layer", "mean distance of the shared"];
    let mut table = table(&header, &[2, 3, 4, 5]);
    for (name, comparison) in &outcome.comparisons {
        let (settings, fates) = (&pipeline.comparisons[name], comparison.fates());
        for (index, layer) in comparison.layers.iter().enumerate() {
            let means = comparison.metrics.iter().enumerate().filter_map(|(metric, name)| {
                comparison.mean(index, metric).mean.map(|mean| format!("{name} {mean:.4}"))
            });
            // What is of the neurons and not of a layer stands once.
            let once = |cell: String| if index == 0 { cell } else { String::new() };
            table.add_row([
                once(name.clone()),
                once(format!("{} -> {}", settings.from, settings.to)),
                once(fates.shared.to_string()),
                once(fates.lost.to_string()),
                once(fates.gained.to_string()),
                once(fates.dead.to_string()),
                layer.clone(),
                means.collect::<Vec<_>>().join(", "),
            ]);
        }
    }
    line(text, format_args!("{table}\n"));
}

/// The neurons that moved furthest in a comparison's first layer and metric, with what they preferred.
fn changed_most(text: &mut String, pipeline: &Pipeline, outcome: &Outcome, name: &str, comparison: &Comparison) {
    let settings = &pipeline.comparisons[name];
    let (Some(layer), Some(metric)) = (comparison.layers.first(), comparison.metrics.first()) else { return };
    let enough =
        |row: &&ComparisonRow| row.layer == 0 && row.counts.iter().all(|&n| n >= ENOUGH) && row.distances[0].is_some();
    let mut rows: Vec<&ComparisonRow> = comparison.rows.iter().filter(enough).collect();
    rows.sort_by(|a, b| b.distances[0].partial_cmp(&a.distances[0]).unwrap_or(std::cmp::Ordering::Equal));
    if rows.is_empty() {
        return;
    }
    line(
        text,
        format_args!(
            "{name}: changed most in `{layer}`, of the {} neurons with at least {ENOUGH} observations on both sides",
            rows.len()
        ),
    );
    let before = format!("prefers in {}", settings.from);
    let after = format!("prefers in {}", settings.to);
    let mut table = table(&["neuron", metric, "observations", &before, &after], &[1, 2]);
    for row in rows.into_iter().take(TOLD) {
        let prefers = |stage: &str| {
            let read = &outcome.stages[stage];
            let Some(index) = read.layers.iter().position(|l| l.name == *layer) else { return String::new() };
            let weight = |preference: &_| settings.settings.weighting.weight(preference);
            let all = read.preferred(index, row.site, row.neuron, weight);
            let whole: f64 = all.iter().map(|(_, weight)| weight).sum();
            let told: Vec<String> =
                all.iter().take(FEATURES).map(|(f, weight)| format!("{f} {}", percent(weight / whole))).collect();
            told.join("  ")
        };
        table.add_row([
            format!("{}[{}]", comparison.sites[row.site], row.neuron),
            row.distances[0].map(|d| format!("{d:.4}")).unwrap_or_default(),
            format!("{} -> {}", thousands(row.counts[0]), thousands(row.counts[1])),
            prefers(&settings.from),
            prefers(&settings.to),
        ]);
    }
    line(text, format_args!("{table}\n"));
}

/// `12%`, `0.4%`.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent < 1.0 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}
