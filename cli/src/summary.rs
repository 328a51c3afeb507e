//! What a run prints at its end, on standard output.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use txray_engine::error::Result;
use txray_engine::pipeline::Pipeline;
use txray_engine::run::Outcome;
use txray_engine::step::Step;
use txray_engine::steps::annotator::Annotator;
use txray_engine::steps::comparison::Comparison;
use txray_engine::steps::evaluation::Evaluation;
use txray_engine::steps::model::{Model, ModelFigures};
use txray_engine::steps::stage::{Dropped, Stage, StageFigures, StageOf};
use txray_engine::steps::trajectory::Trajectory;
use txray_method::{
    AlignmentSummary, Design, Estimate, Fates, JointPart, JointSummary, MetricSummary, Share, Summary, Unit,
};
use txray_tables::{ShardRecord, StepRecord};

use crate::output;
use crate::table::Table;
use crate::terminal::thousands;

/// The text of a summary.
pub fn of(pipeline: &Pipeline, outcome: &Outcome, out: &Path) -> Result<String> {
    let mut text = String::new();
    models(&mut text, pipeline, outcome)?;
    annotators(&mut text, pipeline, outcome);
    // A run of a shard makes none.
    let is_whole = outcome.manifest.shard.is_none();
    evaluations(&mut text, pipeline.all::<Evaluation>().filter(|_| is_whole), outcome)?;
    stages(&mut text, pipeline, outcome)?;
    for trajectory in pipeline.all::<Trajectory>().filter(|_| is_whole) {
        add_trajectory(&mut text, &trajectory, outcome)?;
    }
    let mut compared = Vec::new();
    for comparison in pipeline.all::<Comparison>().filter(|_| is_whole) {
        let summary = comparison.summary(&outcome.finished.entry(&*comparison)?.directory)?;
        compared.push((comparison, summary));
    }
    comparisons(&mut text, &compared);
    unknown_in(&mut text, &compared, outcome)?;
    for (comparison, summary) in &compared {
        changed_most(&mut text, comparison, summary);
    }
    text += &output::line(&match &outcome.manifest.shard {
        None => format!("The tables are in {}", out.display()),
        Some(shard) => {
            let (ShardRecord { index, of, .. }, out) = (shard, out.display());
            format!("This part, {index} of {of}, is in {out}: `txray merge` makes one run of all parts")
        }
    });
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
    let of_labels = ["model", "labels", "epochs", "tokens", "tokens/s", "vocabulary", "loss (valid, last)"];
    let mut table = Table::new(&header, &[1, 2, 3, 4, 5]);
    let mut labelled = Table::new(&of_labels, &[1, 2, 3, 4, 5, 6]);
    for model in pipeline.all::<Model>().filter(|model| model.is_trained()) {
        // Of a shard, only models that a stage reads are made.
        if outcome.manifest.shard.is_some() && record(outcome, &*model).is_none() {
            continue;
        }
        let figures: ModelFigures = outcome.finished.figures(&*model)?;
        let [tokens, rate] = tokens(record(outcome, &*model));
        let (name, epochs) = (model.name.to_string(), thousands(figures.epochs));
        let vocabulary = thousands(figures.vocabulary as u64);
        match figures.labels {
            None => {
                let perplexity = figures.valid_perplexity.map(|p| format!("{p:.2}")).unwrap_or_default();
                table.row([name, epochs, tokens, rate, vocabulary, perplexity]);
            }
            Some(labels) => {
                let (labels, loss) = (thousands(labels as u64), figures.valid_loss.map(|loss| format!("{loss:.4}")));
                labelled.row([name, labels, epochs, tokens, rate, vocabulary, loss.unwrap_or_default()]);
            }
        }
    }
    add(text, &table);
    add(text, &labelled);
    Ok(())
}

fn annotators(text: &mut String, pipeline: &Pipeline, outcome: &Outcome) {
    let mut table = Table::new(&["annotator", "learned of", "right (valid)"], &[1, 2]);
    for annotator in pipeline.all::<Annotator>() {
        // Those that learn tell it; and those that no stage asks for did not.
        let figure = |name: &str| record(outcome, &*annotator)?.figures.get(name).cloned();
        let Some(words) = figure("words").and_then(|words| words.as_u64()) else { continue };
        let right = figure("valid_accuracy").and_then(|right| right.as_f64());
        let right = right.map(|right| format!("{:.2} %", 100.0 * right)).unwrap_or_default();
        table.row([annotator.name.to_string(), format!("{} words", thousands(words)), right]);
    }
    add(text, &table);
}

fn evaluations(text: &mut String, all: impl Iterator<Item = Arc<Evaluation>>, outcome: &Outcome) -> Result<()> {
    let header = ["evaluation", "model", "text", "predicted", "loss", "perplexity"];
    let of_labels = ["evaluation", "model", "text", "labelled", "accuracy", "macro-F1", "ROC-AUC", "loss", "ECE"];
    let mut table = Table::new(&header, &[3, 4, 5]);
    let mut labelled = Table::new(&of_labels, &[3, 4, 5, 6, 7, 8]);
    let told = |of: Option<Estimate>, digits| of.map(|of| estimate(of, digits)).unwrap_or_default();
    for evaluation in all.flat_map(|evaluation| evaluation.all()) {
        for (over, scores) in evaluation.read(&outcome.finished.entry(&*evaluation)?.directory)? {
            let Some(scores) = scores else { continue };
            let (name, model) = (evaluation.name.to_string(), evaluation.model.to_string());
            let (count, loss) = (thousands(scores.predicted), told(scores.loss, 4));
            if scores.accuracy.is_none() {
                table.row([name, model, over, count, loss, told(scores.perplexity, 2)]);
                continue;
            }
            let shares = [scores.accuracy, scores.macro_f1, scores.roc_auc].map(|share| told(share, 4));
            let [accuracy, macro_f1, roc_auc] = shares;
            let error = told(scores.calibration_error, 4);
            labelled.row([name, model, over, count, accuracy, macro_f1, roc_auc, loss, error]);
        }
    }
    add(text, &table);
    add(text, &labelled);
    Ok(())
}

/// A figure with its interval: `512.30 (498.11 to 530.02)`.
fn estimate(of: Estimate, digits: usize) -> String {
    let interval = of.interval.map(|[low, high]| format!(" ({low:.digits$} to {high:.digits$})"));
    format!("{:.digits$}{}", of.value, interval.unwrap_or_default())
}

/// The checkpoints of a trajectory, a table a layer.
fn add_trajectory(text: &mut String, trajectory: &Trajectory, outcome: &Outcome) -> Result<()> {
    let summary = trajectory.summary(&outcome.finished.entry(trajectory)?.directory)?;
    for layer in &trajectory.layers {
        *text += &output::line(&format!(
            "{}: {} checkpoints over {}, `{layer}`; distances are corrected, of all neurons together",
            trajectory.name,
            summary.checkpoints.len(),
            summary.corpus
        ));
        let header =
            ["checkpoint", "perplexity", "alive", "length", "rarefied", "to previous", "to last", "bits", "control"];
        let mut table = Table::new(&header, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let number = |of: Option<f64>, digits: usize| of.map(|of| format!("{of:.digits$}")).unwrap_or_default();
        for row in summary.rows.iter().filter(|row| row.layer == *layer) {
            let checkpoint = &summary.checkpoints[row.checkpoint];
            let rarefied = row.rarefied.map(|length| format!("{length:.1} of {}", row.rarefied_neurons));
            table.row([
                checkpoint.name.clone(),
                checkpoint.perplexity.map(|perplexity| estimate(perplexity, 1)).unwrap_or_default(),
                row.alive.to_string(),
                number(row.length, 1),
                rarefied.unwrap_or_default(),
                row.previous.map(distance).unwrap_or_default(),
                row.last.map(distance).unwrap_or_default(),
                number(row.information, 3),
                number(row.information_control, 3),
            ]);
        }
        add(text, &table);
    }
    Ok(())
}

/// A corrected joint distance, and of its square what is usage and what preference; raw where it cannot be corrected.
fn distance(joint: JointSummary) -> String {
    match joint.corrected {
        None => format!("{:.3} raw", joint.distance),
        Some(JointPart { distance, usage, preference, .. }) => {
            format!("{distance:.3} ({usage:.2} usage + {preference:.2} preference)")
        }
    }
}

/// The share of a stage's tokens that its vocabulary does not know: none of them, where a part of it has no document.
fn unknown(figures: &StageFigures, record: Option<&StepRecord>) -> f64 {
    let tokens = record.and_then(|record| record.tokens).unwrap_or(0);
    figures.unknown as f64 / tokens.max(1) as f64
}

fn stages(text: &mut String, pipeline: &Pipeline, outcome: &Outcome) -> Result<()> {
    let header = ["stage", "model", "text", "tokens", "unknown", "neurons alive", "mass", "tokens/s"];
    let mut table = Table::new(&header, &[3, 4, 5, 6, 7]);
    let mut dropped = String::new();
    for stage in pipeline.all::<Stage>() {
        let figures: StageFigures = outcome.finished.figures(&*stage)?;
        let record = record(outcome, &*stage);
        let [told, rate] = tokens(record);
        let (of, over) = match &stage.of {
            StageOf::Model { model, text, .. } => (model.to_string(), text.name()),
            StageOf::Source(source) => (source.kind.clone(), String::new()),
        };
        let unknown = unknown(&figures, record);
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
        if let Some(Dropped { characters, of, documents }) = figures.dropped {
            let share = percent(characters as f64 / of as f64);
            let whole = match documents {
                0 => String::new(),
                documents => format!(", {} of {} documents whole", thousands(documents), thousands(figures.documents)),
            };
            dropped += &output::line(&format!(
                "{}: nothing is read of {} of {} characters ({share}){whole}",
                stage.name,
                thousands(characters),
                thousands(of)
            ));
        }
    }
    add(text, &table);
    if !dropped.is_empty() {
        *text += &dropped;
        text.push('\n');
    }
    Ok(())
}

fn comparisons(text: &mut String, compared: &[(Arc<Comparison>, Summary)]) {
    if compared.is_empty() {
        return;
    }
    let header =
        ["comparison", "stages", "shared", "lost", "gained", "dead", "layer", "distance", "corrected", "p", "changed"];
    // Where nothing is tested, there is nothing to say of that.
    let is_tested = |summary: &Summary| summary.evidence.as_ref().is_some_and(|of| of.significance.is_some());
    let columns = if compared.iter().any(|(_, summary)| is_tested(summary)) { header.len() } else { header.len() - 2 };
    let mut table = Table::new(&header[..columns], &[2, 3, 4, 5, 7, 9]);
    let mut add_rows = |name: String, stages: String, fates: Option<Fates>, layers: Vec<(&String, [String; 4])>| {
        let fates =
            fates.map(|Fates { shared, lost, gained, dead, .. }| [shared, lost, gained, dead].map(|n| n.to_string()));
        let own = [name, stages].into_iter().chain(fates.unwrap_or_default()).collect::<Vec<_>>();
        for (index, (layer, found)) in layers.into_iter().enumerate() {
            // What is of the neurons and not of a layer stands once.
            let once = own.iter().map(|cell| if index == 0 { cell.clone() } else { String::new() });
            table.row(once.chain([layer.clone()]).chain(found).take(columns));
        }
    };
    for (comparison, summary) in compared {
        let first = comparison.metrics().next();
        let told = comparison.layers.iter().filter_map(|layer| {
            let of = summary.layers.get(layer)?;
            Some((layer, headline(of.joint, first.zip(first.and_then(|metric| of.metrics.get(metric))))))
        });
        let stages = format!("{} -> {}", summary.from, summary.to);
        add_rows(comparison.name.to_string(), stages, Some(summary.fates), told.collect());
        let Some(replicates) = &summary.replicates else { continue };
        for replicate in &replicates.each {
            let told = comparison.layers.iter().filter_map(|layer| {
                let of = replicate.layers.get(layer)?;
                Some((layer, headline(of.joint, first.zip(first.and_then(|metric| of.metrics.get(metric))))))
            });
            add_rows(replicate.name.clone(), String::new(), Some(replicate.fates), told.collect());
        }
        let Some(between) = &replicates.between else { continue };
        for (at, replicate) in between.replicates.iter().enumerate() {
            let told = comparison.layers.iter().filter_map(|layer| {
                let joint = between.layers.get(layer)?.get(at).copied().flatten();
                Some((layer, headline(joint, None)))
            });
            add_rows("  trained again".to_owned(), format!("{} -> {replicate}", between.stage), None, told.collect());
        }
    }
    add(text, &table);
    let before = text.len();
    for (comparison, summary) in compared {
        for layer in &comparison.layers {
            left_out(text, &comparison.name.to_string(), layer, summary);
        }
    }
    for (comparison, summary) in compared {
        evidence(text, &comparison.name.to_string(), summary);
        matched(text, &comparison.name.to_string(), summary);
    }
    if text.len() > before {
        text.push('\n');
    }
}

/// All neurons of a layer together: their distance, what is left of it without the noise of samples, its p, and the neurons that
/// changed.
fn headline(joint: Option<JointSummary>, first: Option<(&str, &MetricSummary)>) -> [String; 4] {
    let Some(joint) = joint else {
        // Without observations there is the mean over neurons, and nothing to hold it against. Other metrics are told below.
        let mean = first.and_then(|(name, of)| Some(format!("{name} {:.4}", of.mean?)));
        return [mean.unwrap_or_default(), String::new(), String::new(), String::new()];
    };
    let corrected = joint.corrected.map_or(String::new(), |of| match of.interval {
        Some([low, high]) => format!("{:.3} ({low:.3} to {high:.3})", of.distance),
        None => format!("{:.3}", of.distance),
    });
    let p = joint.p.map_or(String::new(), |p| if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") });
    let changed = first.and_then(|(_, of)| Some(format!("{} of {}", of.changed?, of.tested?)));
    [format!("{:.3}", joint.distance), corrected, p, changed.unwrap_or_default()]
}

/// How neurons of models that began apart were matched; and what of replicates cannot be told without.
fn matched(text: &mut String, name: &str, summary: &Summary) {
    if let Some(AlignmentSummary { fitted, compared, matched, unmatched, mass }) = summary.alignment {
        *text += &output::line(&format!(
            "{name}: {matched} pairs of neurons, matched on {} and {} units and compared on {} and {}; {} and {} have no partner, and \
             {} and {} of the mass is of those that do",
            fitted[0],
            fitted[1],
            compared[0],
            compared[1],
            unmatched[0],
            unmatched[1],
            percent(mass[0]),
            percent(mass[1])
        ));
    }
    if summary.replicates.as_ref().is_some_and(|replicates| replicates.between.is_none()) {
        *text += &output::line(&format!(
            "{name}: the replicates began apart, so their neurons are not each other's; `align = true` matches them, and tells how far \
             training again moves them"
        ));
    }
}

/// What of a comparison is said with evidence, and how that was found.
fn evidence(text: &mut String, name: &str, summary: &Summary) {
    if let Some(of) = &summary.evidence
        && let (Some(tested), Some(significance)) = (summary.fates_tested, of.significance)
    {
        let unit = if of.unit == Unit::Group { "groups" } else { "documents" };
        let drawn = match of.design {
            Design::Pool => format!("{} and {} {unit} pooled", of.units[0], of.units[1]),
            Design::Swap => format!("the readings of {} {unit} swapped", of.units[0]),
        };
        let times = thousands(significance.permutations);
        *text += &output::line(&format!(
            "{name}: {} lost and {} gained with evidence, {} too rare to say; {drawn} {times} times, at most {} of discoveries false",
            tested.lost,
            tested.gained,
            tested.rare,
            percent(significance.fdr)
        ));
        if of.documents_for_groups {
            *text += &output::line(&format!(
                "{name}: the corpus tells of no groups; where documents hang together, as reviews of one film do, these p are too small"
            ));
        }
        if of.confounded {
            *text += &output::line(&format!("{name}: model and text both differ, so what made a change is not told"));
        }
    }
    for (layer, of) in &summary.layers {
        let means = summary
            .exploratory
            .iter()
            .filter_map(|metric| Some(format!("{metric} {:.4}", of.metrics.get(metric)?.mean?)));
        let means: Vec<String> = means.collect();
        if !means.is_empty() {
            let means = means.join(", ");
            *text += &output::line(&format!(
                "{name}, `{layer}`: beyond the first metric, and so exploratory: {means} in the mean of the shared"
            ));
        }
    }
}

/// Unknown tokens of a stage from which on a comparison is said to be of them, too.
const MUCH_UNKNOWN: f64 = 0.1;

/// The layer of tokens, whose features are the forms of a vocabulary.
const TOKEN: &str = "token";

/// The comparisons whose stages do not know much of their texts, or not alike.
fn unknown_in(text: &mut String, compared: &[(Arc<Comparison>, Summary)], outcome: &Outcome) -> Result<()> {
    let before = text.len();
    for (comparison, summary) in compared {
        let (mut shares, mut forms) = ([0.0; 2], [None, None]);
        for (side, stage) in [&comparison.from, &comparison.to].into_iter().enumerate() {
            let figures: StageFigures = outcome.finished.figures(&**stage)?;
            shares[side] = unknown(&figures, record(outcome, &**stage));
            forms[side] = figures.forms;
        }
        if let [Some(from), Some(to)] = forms
            && from != to
            && summary.layers.contains_key(TOKEN)
        {
            *text += &output::line(&format!(
                "{}: {} and {} are read through different vocabularies, in which a word may be a token of the one and unknown to the \
                 other: distances of `{TOKEN}` are of that, too; compare `word`",
                comparison.name, summary.from, summary.to
            ));
        }
        if shares.iter().any(|share| *share >= MUCH_UNKNOWN) || (shares[0] - shares[1]).abs() >= MUCH_UNKNOWN / 2.0 {
            let [from, to] = shares.map(percent);
            *text += &output::line(&format!(
                "{}: {from} of the tokens of {} and {to} of those of {} are unknown to the vocabulary, which moves neurons, too",
                comparison.name, summary.from, summary.to
            ));
        }
    }
    if text.len() > before {
        text.push('\n');
    }
    Ok(())
}

/// What of a layer is not in its mean distance.
fn left_out(text: &mut String, name: &str, layer: &str, summary: &Summary) {
    let Some(of) = summary.layers.get(layer) else { return };
    let share =
        |side: usize| if of.left_out.of[side] > 0.0 { of.left_out.mass[side] / of.left_out.of[side] } else { 0.0 };
    let compared = of.metrics.values().map(|metric| metric.neurons).max();
    let mut told = Vec::new();
    if share(0) > 0.0 || share(1) > 0.0 {
        let [from, to] = [0, 1].map(|side| percent(share(side)));
        told.push(format!("min_count = {} leaves out {from} and {to} of the mass", summary.min_count));
    }
    if let Some(compared) = compared.filter(|&compared| compared < summary.fates.shared) {
        told.push(format!("{compared} of {} shared neurons have a distance", summary.fates.shared));
    }
    if !told.is_empty() {
        *text += &output::line(&format!("{name}, `{layer}`: {}", told.join("; ")));
    }
}

/// The neurons that moved furthest in a comparison's first layer, with what they preferred.
fn changed_most(text: &mut String, comparison: &Comparison, summary: &Summary) {
    let Some(layer) = comparison.layers.first() else { return };
    let Some(changed) = summary.layers.get(layer).and_then(|layer| layer.changed_most.as_ref()) else { return };
    if changed.neurons.is_empty() {
        return;
    }
    *text += &output::line(&format!(
        "{}: changed most in `{layer}`, of the {} with at least {} observations on both sides",
        comparison.name,
        if changed.of == 1 { "neuron".to_owned() } else { format!("{} neurons", changed.of) },
        changed.at_least
    ));
    let before = format!("prefers in {}", summary.from);
    let after = format!("prefers in {}", summary.to);
    let header = ["neuron", &changed.metric, "corrected", "q", "observations", &before, &after];
    // What nothing is known of has no column.
    let has =
        [changed.neurons.iter().any(|of| of.corrected.is_some()), changed.neurons.iter().any(|of| of.q.is_some())];
    let is_told = |column: usize| !matches!(column, 2 | 3) || has[column - 2];
    let told = |cells: Vec<String>| cells.into_iter().enumerate().filter(|(at, _)| is_told(*at)).map(|(_, cell)| cell);
    let header: Vec<String> = told(header.map(str::to_owned).to_vec()).collect();
    let right: Vec<usize> = (1..header.len() - 2).collect();
    let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>(), &right);
    for neuron in &changed.neurons {
        let prefers = |shares: &[Share]| {
            let told = shares.iter().map(|share| format!("{} {}", short(&share.feature), percent(share.share)));
            told.collect::<Vec<_>>().join("  ")
        };
        let number = |of: Option<f64>| of.map(|of| format!("{of:.3}")).unwrap_or_default();
        table.row(told(vec![
            format!("{}[{}]", neuron.site, neuron.neuron),
            format!("{:.4}", neuron.distance),
            number(neuron.corrected),
            number(neuron.q),
            neuron.observations.map(thousands).join(" -> "),
            prefers(&neuron.from),
            prefers(&neuron.to),
        ]));
    }
    add(text, &table);
}

/// So much of a feature as leaves room for others beside it.
fn short(feature: &str) -> String {
    const LONG: usize = 24;
    match feature.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}…", &feature[..end]),
        None => feature.to_owned(),
    }
}

/// `12%`, `0.4%`.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent < 1.0 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}
