//! Which activations count: rules, signs and sites, and the layers that are the engine's own.

use arrow_array::types::{Float32Type, UInt32Type, UInt64Type};
use txray_tests::{Folder, SmallModel, Table};

const PIPELINE: &str = r#"
[corpus.news]
kind = "text"
valid = "news.txt"

[model.small]
path = "model"

[stage.s]
model = "small"
corpus = "news.valid"
layers = ["token", "position", "prediction"]
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("news.txt", "w0 w1 w2 w1\nw2 w2 w0\nw1 w0 w0 w2 w1\n");
    SmallModel::new(7, 5).write(&folder.path("model"));
    folder
}

/// Runs the stage with this `record`, and gives its table of observations: document, position, neuron and activation.
fn observed(folder: &Folder, record: &str) -> Vec<(u64, u32, u32, f32)> {
    folder.write("pipeline.toml", format!("{PIPELINE}{record}\n"));
    folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).succeeded();
    let table = Table::read(&folder.path("out/stages/s/observations.parquet"));
    let (documents, positions) = (table.numbers::<UInt64Type>("doc"), table.numbers::<UInt32Type>("position"));
    let (neurons, activations) = (table.numbers::<UInt32Type>("neuron"), table.numbers::<Float32Type>("activation"));
    let rows = documents.iter().zip(positions).zip(neurons).zip(activations);
    rows.map(|(((document, position), neuron), h)| (document.unwrap(), position.unwrap(), neuron.unwrap(), h.unwrap()))
        .collect()
}

/// What a rule keeps is what anybody would pick from all activations, which a threshold below all of them gives.
#[test]
fn rules_keep_what_they_say_of_all_activations() {
    let folder = folder();
    let all = observed(&folder, r#"record = { kind = "threshold", above = -2.0 }"#);
    assert_eq!(all.len(), 5 * (4 + 3 + 5 + 3), "every neuron at every token, ends of documents among them");
    let tokens: Vec<(u64, u32)> = {
        let mut tokens: Vec<_> = all.iter().map(|row| (row.0, row.1)).collect();
        tokens.dedup();
        tokens
    };
    type Strength = fn(f32) -> f32;
    let signs: [(&str, Strength); 3] = [("positive", |h| h), ("negative", |h| -h), ("absolute", f32::abs)];
    for (sign, strength) in signs {
        let strongest = |token: &(u64, u32), k: usize| {
            let mut here: Vec<_> = all.iter().copied().filter(|row| (row.0, row.1) == *token).collect();
            here.sort_by(|a, b| strength(b.3).total_cmp(&strength(a.3)).then(a.2.cmp(&b.2)));
            here.truncate(k);
            here
        };
        for (rule, k) in [("kind = \"max-1\"", 1), ("kind = \"top-k\", k = 1", 1), ("kind = \"top-k\", k = 3", 3)] {
            let expected: Vec<_> = tokens.iter().flat_map(|token| strongest(token, k)).collect();
            assert_eq!(
                observed(&folder, &format!("record = {{ {rule}, sign = \"{sign}\" }}")),
                expected,
                "{rule} {sign}"
            );
        }
        let above = |row: &&(u64, u32, u32, f32)| strength(row.3) > 0.05;
        let expected: Vec<_> = all.iter().filter(above).copied().collect();
        let rule = format!("record = {{ kind = \"threshold\", above = 0.05, sign = \"{sign}\" }}");
        assert_eq!(observed(&folder, &rule), expected, "{sign}");
        assert!(!expected.is_empty());
    }
}

/// `all` counts what a threshold below everything would, and keeps no observation.
#[test]
fn all_counts_every_activation_and_keeps_none() {
    let folder = folder();
    for sign in ["positive", "negative", "absolute"] {
        observed(&folder, &format!("record = {{ kind = \"threshold\", above = -2.0, sign = \"{sign}\" }}"));
        let tables = |folder: &Folder| {
            ["preferences.parquet", "neurons.parquet"]
                .map(|file| std::fs::read(folder.path("out/stages/s").join(file)).unwrap())
        };
        let one_by_one = tables(&folder);
        assert_eq!(observed(&folder, &format!("record = {{ kind = \"all\", sign = \"{sign}\" }}")), []);
        assert!(tables(&folder) == one_by_one, "{sign}");
    }
}

#[test]
fn a_site_is_recorded_by_a_rule_of_its_own_and_others_are_left_out() {
    let folder = folder();
    let cells = PIPELINE.replace("path = \"model\"", "path = \"model\"\ncell_sites = true");
    let run = |record: &str| {
        folder.write("pipeline.toml", format!("{cells}{record}\n"));
        folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).succeeded();
        let table = Table::read(&folder.path("out/stages/s/observations.parquet"));
        let sites = table.text("site");
        let count = |name: &str| sites.iter().filter(|site| **site == Some(name)).count();
        let neurons = Table::read(&folder.path("out/stages/s/neurons.parquet")).len();
        (count("lstm.0.hidden"), count("lstm.0.cell"), neurons)
    };
    assert_eq!(run(""), (15, 15, 10));
    assert_eq!(run("record = { \"lstm.0.cell\" = \"max-1\" }"), (0, 15, 5));
    let both = "record = { \"lstm.0.hidden\" = { kind = \"top-k\", k = 2 }, \"lstm.0.cell\" = \"all\" }";
    assert_eq!(run(both), (30, 0, 10));
}

#[test]
fn a_rule_that_cannot_be_is_told_where_it_stands() {
    let folder = folder();
    for (record, told, place) in [
        ("record = \"max1\"", "there is no record rule `max1`", "12:10"),
        ("record = \"top-k\"", "`top-k` needs its `k`", "12:10"),
        (
            "record = { kind = \"top-k\", k = 6 }",
            "6 neurons are asked for, and there are fewer: lstm.0.hidden (5)",
            "12:10",
        ),
        ("record = { kind = \"top-k\", k = 0 }", "expected", "12:32"),
        ("record = { kind = \"max-1\", k = 2 }", "unknown key `k`", "12:28"),
        ("record = { kind = \"all\", sign = \"both\" }", "both", "12:33"),
        ("record = { kind = \"threshold\", above = inf }", "", "12:40"),
        ("record = { \"lstm.1.hidden\" = \"max-1\" }", "the model has no site `lstm.1.hidden`", "12:30"),
        ("record = {}", "no site is named", "12:10"),
        ("record = 3", "expected the name of a record rule", "12:10"),
        ("subwords = \"some\"", "some", "12:12"),
    ] {
        folder.write("pipeline.toml", format!("{}{record}\n", PIPELINE.trim_start()));
        let said = folder.txray(["check", "pipeline.toml"]).failed(2);
        assert!(said.contains(told) && said.contains(&format!("pipeline.toml:{place}")), "{record}: {said}");
    }
}

/// `position` counts from the beginning of each document, and `prediction` is what the model's outputs are greatest for.
#[test]
fn layers_of_the_engine_s_own() {
    let folder = folder();
    observed(&folder, "");
    let table = Table::read(&folder.path("out/stages/s/observations.parquet"));
    let (token, prediction) = (table.text("token"), table.text("prediction"));
    assert!(token.iter().chain(&prediction).all(Option::is_some));
    let preferences = Table::read(&folder.path("out/stages/s/preferences.parquet"));
    let (layer, feature) = (preferences.text("layer"), preferences.text("feature"));
    let of = |name: &str| -> Vec<&str> {
        layer
            .iter()
            .zip(&feature)
            .filter(|(layer, _)| **layer == Some(name))
            .filter_map(|(_, feature)| *feature)
            .collect()
    };
    assert!(of("position").iter().all(|position| position.parse::<u32>().is_ok_and(|at| at < 6)));
    assert!(!of("position").is_empty() && !of("prediction").is_empty());
    folder.write("pipeline.toml", PIPELINE.replace("\"prediction\"", "\"predictions\""));
    let said = folder.txray(["check", "pipeline.toml"]).failed(2);
    assert!(said.contains("did you mean `prediction`?"), "{said}");
}
