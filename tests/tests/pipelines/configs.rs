//! The pipelines in `configs/` run as they are. Here they run cut short, and what they leave is looked through.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow_array::types::{Float32Type, Float64Type, Int64Type, UInt32Type, UInt64Type};
use serde_json::Value;
use txray_tests::{Folder, Ran, Table, data, path};

fn configs() -> PathBuf {
    path("../configs")
}

/// `quickstart.toml`, in a second.
const QUICKSTART: [&str; 6] = [
    "corpus.kitchen.train=600",
    "corpus.kitchen.valid=200",
    "corpus.harbour.train=300",
    "corpus.harbour.valid=200",
    "model.lm.train.epochs=2",
    "model.adapted.train.epochs=1",
];

/// `wikitext2.toml`, in seconds.
const WIKITEXT2: [&str; 4] =
    ["model.lm.embedding=16", "model.lm.hidden=32", "model.lm.train.max_tokens=20000", "model.lm.train.epochs=2"];

fn quickstart(folder: &Folder, out: &str, more: &[&str]) -> Ran {
    let config = configs().join("quickstart.toml");
    let mut args = vec!["run", config.to_str().unwrap(), "--out", out];
    args.extend(QUICKSTART.iter().flat_map(|set| ["--set", set]));
    args.extend(more);
    folder.txray(args).succeeded()
}

#[test]
fn every_config_is_sound() {
    for entry in std::fs::read_dir(configs()).unwrap() {
        let config = entry.unwrap().path();
        let mut args = vec!["check".into(), config.clone().into_os_string()];
        match config.file_name().unwrap().to_str().unwrap() {
            "quickstart.toml" => {}
            "wikitext2.toml" | "trajectory.toml" | "imdb.toml" | "imdb-scratch.toml" | "tagger.toml" => {
                let Some(data) = data() else { continue };
                args.extend(["--data".into(), data.into_os_string()]);
            }
            other => panic!("say here what {other} needs, and run it in a test"),
        }
        let ran = Folder::new().txray(args).succeeded();
        assert!(ran.stdout.contains("is sound"), "{}", ran.stdout);
        assert_eq!(ran.stderr, "");
    }
}

#[test]
fn the_quickstart_leaves_what_it_promises() {
    let folder = Folder::new();
    let ran = quickstart(&folder, "out", &[]);
    let out = folder.path("out");

    let mut expected = vec!["manifest.json".to_owned()];
    for model in ["lm", "lm@1", "adapted"] {
        let files = ["config.json", "model.safetensors", "tokenizer.json"];
        expected.extend(files.map(|file| format!("models/{model}/{file}")));
    }
    for stage in ["early", "pretrained", "zero-shot", "adapted"] {
        let files = ["observations.parquet", "preferences.parquet", "neurons.parquet", "coverage.json"];
        expected.extend(files.map(|file| format!("stages/{stage}/{file}")));
        look_through_stage(&out.join("stages").join(stage));
    }
    for (name, from, to) in [
        ("learning", "early", "pretrained"),
        ("transfer", "pretrained", "zero-shot"),
        ("adaptation", "zero-shot", "adapted"),
    ] {
        expected.extend(["json", "parquet", "features.parquet"].map(|ending| format!("comparisons/{name}.{ending}")));
        look_through_comparison(&out, name, from, to);
    }
    expected.sort();
    assert_eq!(folder.files("out"), expected);

    let config: Value = json(&out.join("models/lm/config.json"));
    assert_eq!(config["model_type"], "txray-lstm");
    for (key, value) in [("embedding_size", 64), ("hidden_size", 64), ("num_layers", 1)] {
        assert_eq!(config[key], value);
    }
    look_through_manifest(&json(&out.join("manifest.json")));
    look_through_output(&ran, &out);
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The columns of a stage's tables, and that each follows from the one before.
fn look_through_stage(stage: &Path) {
    let observations = Table::read(&stage.join("observations.parquet"));
    assert_eq!(
        observations.columns(),
        [
            "doc: UInt64",
            "group: Utf8?",
            "position: UInt32",
            "site: Utf8",
            "neuron: UInt32",
            "activation: Float32",
            "start: UInt32?",
            "end: UInt32?",
            "line: UInt64?",
            "word: Utf8?",
            "pos: Utf8?",
        ]
    );
    let coverage = json(&stage.join("coverage.json"));
    assert_eq!(coverage["tokens"], observations.len(), "max-1 observes each token once");
    let page = std::fs::read_to_string(path("../docs/tables.md")).unwrap();
    for key in coverage.as_object().unwrap().keys() {
        assert!(page.contains(&format!("\n| `{key}` | ")), "{key} is in no table of the reference");
    }
    assert_eq!(coverage["documents"], 200);
    assert_eq!(coverage["dropped"], 0, "a word that is not known is read, as one");
    assert_eq!(coverage["layers"][0], serde_json::json!({ "name": "word", "unjoined": 0 }));
    assert_eq!(coverage["layers"][1], serde_json::json!({ "name": "pos", "unjoined": 0 }));

    // What is observed, gathered again.
    let neurons = observations.numbers::<UInt32Type>("neuron");
    let activations = observations.numbers::<Float32Type>("activation");
    let mut gathered: BTreeMap<(u32, &str, &str), (u64, f64, f32)> = BTreeMap::new();
    let mut totals: BTreeMap<u32, (u64, f64)> = BTreeMap::new();
    let mut not_positive = 0;
    let layers = ["word", "pos"].map(|layer| (layer, observations.text(layer)));
    for row in 0..observations.len() {
        let (neuron, activation) = (neurons[row].unwrap(), activations[row].unwrap());
        if activation <= 0.0 {
            not_positive += 1;
            continue;
        }
        let total = totals.entry(neuron).or_default();
        *total = (total.0 + 1, total.1 + f64::from(activation));
        for (layer, features) in &layers {
            // `<eos>` stands nowhere in the text, and has no word and no part of speech.
            if let Some(feature) = features[row] {
                let entry = gathered.entry((neuron, layer, feature)).or_default();
                *entry = (entry.0 + 1, entry.1 + f64::from(activation), entry.2.max(activation));
            }
        }
    }
    assert_eq!(coverage["not_positive"], not_positive);

    let preferences = Table::read(&stage.join("preferences.parquet"));
    assert_eq!(
        preferences.columns(),
        [
            "site: Utf8",
            "neuron: UInt32",
            "layer: Utf8",
            "feature: Utf8",
            "count: UInt64",
            "mass: Float64",
            "max: Float32",
            "mass_hi: Int64",
            "mass_lo: UInt64",
        ]
    );
    assert_eq!(preferences.len(), gathered.len());
    let (neurons, counts) = (preferences.numbers::<UInt32Type>("neuron"), preferences.numbers::<UInt64Type>("count"));
    let (mass, max) = (preferences.numbers::<Float64Type>("mass"), preferences.numbers::<Float32Type>("max"));
    let (high, low) = (preferences.numbers::<Int64Type>("mass_hi"), preferences.numbers::<UInt64Type>("mass_lo"));
    let (layer, feature) = (preferences.text("layer"), preferences.text("feature"));
    for row in 0..preferences.len() {
        let expected = gathered[&(neurons[row].unwrap(), layer[row].unwrap(), feature[row].unwrap())];
        let mass = mass[row].unwrap();
        assert_eq!((counts[row].unwrap(), max[row].unwrap()), (expected.0, expected.2));
        assert!((mass - expected.1).abs() <= 1e-12 * expected.1, "{mass} against {}", expected.1);
        let exact = high[row].unwrap() as f64 + low[row].unwrap() as f64 / 2f64.powi(64);
        assert!((mass - exact).abs() <= 1e-15 * exact, "{mass} against {exact}");
    }

    let table = Table::read(&stage.join("neurons.parquet"));
    assert_eq!(
        table.columns(),
        [
            "site: Utf8",
            "neuron: UInt32",
            "alive: Boolean",
            "count: UInt64",
            "mass: Float64",
            "mean: Float64?",
            "mean_abs: Float64?",
            "sd: Float64?",
            "length_word: UInt64",
            "length_pos: UInt64",
        ]
    );
    assert_eq!(table.len(), 64);
    assert!(table.text("site").iter().all(|site| *site == Some("lstm.0.hidden")));
    let (alive, counts, mass) =
        (table.truths("alive"), table.numbers::<UInt64Type>("count"), table.numbers::<Float64Type>("mass"));
    let lengths = ["word", "pos"].map(|layer| (layer, table.numbers::<UInt64Type>(&format!("length_{layer}"))));
    for neuron in 0..table.len() as u32 {
        let row = neuron as usize;
        let (count, sum) = totals.get(&neuron).copied().unwrap_or_default();
        assert_eq!((alive[row], counts[row].unwrap()), (count > 0, count), "neuron {neuron}");
        assert!((mass[row].unwrap() - sum).abs() <= 1e-12 * sum);
        for (layer, lengths) in &lengths {
            let length = gathered.keys().filter(|key| key.0 == neuron && key.1 == *layer).count() as u64;
            assert_eq!(lengths[row], Some(length), "neuron {neuron}");
        }
    }
    // |E h| <= E |h|, and E |h|^2 <= E h^2 = sd^2 + mean^2.
    let [mean, mean_abs, sd] = ["mean", "mean_abs", "sd"].map(|name| table.numbers::<Float64Type>(name));
    for row in 0..table.len() {
        let [mean, mean_abs, sd] = [&mean, &mean_abs, &sd].map(|column| column[row].unwrap());
        assert!(mean.abs() <= mean_abs * (1.0 + 1e-6) && mean_abs <= sd.hypot(mean) * (1.0 + 1e-6) && mean_abs <= 1.0);
    }
}

fn look_through_comparison(out: &Path, name: &str, from: &str, to: &str) {
    let table = Table::read(&out.join("comparisons").join(name).with_extension("parquet"));
    assert_eq!(
        table.columns(),
        [
            "site: Utf8",
            "neuron: UInt32",
            "layer: Utf8",
            "fate: Utf8",
            "count_from: UInt64",
            "count_to: UInt64",
            "length_from: UInt64",
            "length_to: UInt64",
            "union_length: UInt64",
            "fate_tested: Utf8?",
            "count_p: Float64?",
            "count_q: Float64?",
            "rarefied_from: Float64?",
            "rarefied_to: Float64?",
            "hill_1_from: Float64?",
            "hill_1_to: Float64?",
            "hill_2_from: Float64?",
            "hill_2_to: Float64?",
            "neuron_to: UInt32?",
            "hellinger: Float64?",
            "hellinger_corrected: Float64?",
            "hellinger_low: Float64?",
            "hellinger_high: Float64?",
            "hellinger_standardized: Float64?",
            "hellinger_null: Float64?",
            "hellinger_p: Float64?",
            "hellinger_q: Float64?",
            "hellinger_p_max: Float64?",
            "hellinger_between: Float64?",
            "hellinger_corrected_between: Float64?",
        ]
    );
    assert_eq!(table.len(), 64 * 2, "a row for each neuron in each layer");
    let stage = |name: &str| out.join("stages").join(name);
    let alive = [from, to].map(|name| Table::read(&stage(name).join("neurons.parquet")).truths("alive"));
    let prefers = [from, to].map(|name| {
        let table = Table::read(&stage(name).join("preferences.parquet"));
        let (neurons, layers, features) =
            (table.numbers::<UInt32Type>("neuron"), table.text("layer"), table.text("feature"));
        let mass = table.numbers::<Float64Type>("mass");
        let mut prefers: BTreeMap<(u32, String), BTreeMap<String, f64>> = BTreeMap::new();
        for row in 0..table.len() {
            let key = (neurons[row].unwrap(), layers[row].unwrap().to_owned());
            prefers.entry(key).or_default().insert(features[row].unwrap().to_owned(), mass[row].unwrap());
        }
        prefers
    });
    let (neurons, layers, fates) = (table.numbers::<UInt32Type>("neuron"), table.text("layer"), table.text("fate"));
    let lengths = ["length_from", "length_to", "union_length"].map(|column| table.numbers::<UInt64Type>(column));
    let hellinger = table.numbers::<Float64Type>("hellinger");
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    for row in 0..table.len() {
        let (neuron, layer) = (neurons[row].unwrap(), layers[row].unwrap());
        let fate = match [0, 1].map(|side| alive[side][neuron as usize]) {
            [true, true] => "shared",
            [true, false] => "lost",
            [false, true] => "gained",
            [false, false] => "dead",
        };
        assert_eq!(fates[row], Some(fate), "{name}, neuron {neuron}");
        *met.entry(fate).or_default() += u64::from(layer == "word");
        let none = BTreeMap::new();
        let sides = [0, 1].map(|side| prefers[side].get(&(neuron, layer.to_owned())).unwrap_or(&none));
        let union: BTreeSet<&String> = sides[0].keys().chain(sides[1].keys()).collect();
        let expected = [sides[0].len(), sides[1].len(), union.len()].map(|length| Some(length as u64));
        assert_eq!([0, 1, 2].map(|column| lengths[column][row]), expected, "{name}, neuron {neuron}");
        let wholes = sides.map(|side| side.values().sum::<f64>());
        if wholes[0] > 0.0 && wholes[1] > 0.0 {
            let probability = |side: usize, feature| sides[side].get(feature).copied().unwrap_or(0.0) / wholes[side];
            let square = |feature| (probability(0, feature).sqrt() - probability(1, feature).sqrt()).powi(2);
            let expected = (union.iter().map(|feature| square(*feature)).sum::<f64>() / 2.0).sqrt();
            let found = hellinger[row].unwrap();
            assert!((found - expected).abs() < 1e-7, "{name}, neuron {neuron}: {found} against {expected}");
        } else {
            assert_eq!(hellinger[row], None, "{name}, neuron {neuron}: undefined without both sides");
        }
    }
    let summary = json(&out.join("comparisons").join(name).with_extension("json"));
    assert_eq!((&summary["from"], &summary["to"]), (&from.into(), &to.into()));
    for fate in ["shared", "lost", "gained", "dead"] {
        assert_eq!(summary["fates"][fate], met.get(fate).copied().unwrap_or(0), "{name}: {fate}");
    }
}

fn look_through_manifest(manifest: &Value) {
    for key in ["format", "version", "seed", "device", "threads", "settings", "inputs", "plugins", "steps"] {
        assert!(!manifest[key].is_null(), "{key}");
    }
    assert_eq!(manifest["settings"]["model"]["lm"]["train"]["epochs"], 2, "what was set is told");
    let steps = manifest["steps"].as_array().unwrap();
    let expected = [
        "model.lm",
        "model.adapted",
        "stage.early",
        "stage.pretrained",
        "stage.zero-shot",
        "stage.adapted",
        "comparison.learning",
        "comparison.transfer",
        "comparison.adaptation",
    ];
    let names: Vec<&str> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| !name.starts_with("text.")).copied().collect::<Vec<_>>(), expected);
    for step in steps {
        assert!(step["seconds"].as_f64().unwrap() > 0.0, "{step}");
        let kind = step["kind"].as_str().unwrap();
        let figures: &[&str] = match kind {
            "model" => &["tokens", "tokenize_seconds", "epochs", "train_loss", "valid_perplexity", "vocabulary"],
            "stage" => &[
                "tokens",
                "load_seconds",
                "tokenize_seconds",
                "aggregate_seconds",
                "write_seconds",
                "alive",
                "rows",
                "mass",
            ],
            _ => &[],
        };
        for figure in figures {
            assert!(step[figure].as_f64().is_some_and(|value| value > 0.0), "{figure} of {step}");
        }
    }
}

/// Results are on standard output and nothing else is; logs are on standard error and nothing else is.
fn look_through_output(ran: &Ran, out: &Path) {
    let neurons = Table::read(&out.join("stages/early/neurons.parquet"));
    let alive = neurons.truths("alive").iter().filter(|&&alive| alive).count();
    let early = ran.stdout.lines().find(|line| line.trim_start().starts_with("early ")).unwrap();
    assert!(early.contains(&format!("{alive} of 64")), "{early}");

    let fates = &json(&out.join("comparisons/adaptation.json"))["fates"];
    let row = ran.stdout.lines().find(|line| line.trim_start().starts_with("adaptation ")).unwrap();
    let numbers: Vec<&str> = row.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    let expected = ["shared", "lost", "gained", "dead"].map(|fate| fates[fate].to_string());
    assert_eq!(numbers, expected, "{row}");

    for comparison in ["learning", "transfer", "adaptation"] {
        let start = format!("{comparison}: changed most in `word`");
        let told: Vec<&str> = ran.stdout.lines().skip_while(|line| !line.starts_with(&start)).skip(1).collect();
        let neurons = told.iter().take_while(|line| !line.is_empty()).filter(|line| line.contains("lstm.0.hidden["));
        assert_eq!(neurons.count(), 5, "five changed neurons of {comparison}:\n{}", ran.stdout);
    }
    assert!(ran.stdout.trim_end().ends_with("The tables are in out"), "{}", ran.stdout);
    for log in ["epoch 1:", "model.lm:", "stage.early:", "warning", "\u{1b}"] {
        assert!(!ran.stdout.contains(log), "{log} on standard output:\n{}", ran.stdout);
    }
    for log in ["epoch 1: training loss", "model.lm:", "stage.early:", "comparison.learning:"] {
        assert!(ran.stderr.contains(log), "{log} not on standard error:\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hellinger") && !ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
}

#[test]
fn runs_repeat_in_every_bit_on_any_number_of_threads() {
    let folder = Folder::new();
    // Each on a store of its own, so that each makes everything.
    let first = quickstart(&folder, "a", &["--store", "store-a", "--threads", "2"]);
    let again = quickstart(&folder, "b", &["--store", "store-b", "--threads", "2", "-q"]);
    quickstart(&folder, "c", &["--store", "store-c", "--threads", "1"]);
    quickstart(&folder, "d", &["--store", "store-d", "--threads", "3", "--set", "seed=1112"]);
    assert_eq!(again.stderr, "", "-q is silent");
    assert!(!first.stderr.is_empty());

    let files = folder.files("a");
    for other in ["b", "c", "d"] {
        assert_eq!(folder.files(other), files);
    }
    let mut compared = 0;
    for file in files.iter().filter(|file| file.ends_with(".parquet") || file.ends_with(".safetensors")) {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|out| std::fs::read(folder.path(out).join(file)).unwrap());
        assert!(a == b, "{file} differs between two runs");
        assert!(a == c, "{file} differs between two threads and one");
        assert!(a != d, "{file} does not depend on the seed");
        compared += 1;
    }
    assert_eq!(compared, 3 + 4 * 3 + 2 * 3);
}

#[test]
fn a_run_over_an_earlier_one_replaces_it() {
    let folder = Folder::new();
    quickstart(&folder, "a", &["--set", "seed=1"]);
    let earlier = std::fs::read(folder.path("a/models/lm/model.safetensors")).unwrap();
    quickstart(&folder, "a", &[]);
    assert!(earlier != std::fs::read(folder.path("a/models/lm/model.safetensors")).unwrap());
    // On a store of its own, so that it makes everything.
    quickstart(&folder, "b", &["--store", "store-b"]);
    for file in folder.files("b").iter().filter(|file| file.ends_with(".parquet") || file.ends_with(".safetensors")) {
        let [a, b] = ["a", "b"].map(|out| std::fs::read(folder.path(out).join(file)).unwrap());
        assert!(a == b, "{file}");
    }
}

#[test]
fn trajectory_runs() {
    let Some(data) = data() else { return };
    let folder = Folder::new();
    let config = configs().join("trajectory.toml");
    let mut args = vec!["run", config.to_str().unwrap(), "--data", data.to_str().unwrap(), "--out", "out"];
    let sets = [
        "annotator.pos.train=ud-ewt/en_ewt-ud-dev.conllu",
        "model.lm.embedding=16",
        "model.lm.hidden=32",
        "model.lm.vocabulary.max_size=2000",
        "model.lm.train.max_tokens=20000",
        "model.lm.train.epochs=4",
        "model.lm.train.checkpoints=[1, 2]",
    ];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    let ran = folder.txray(args).succeeded();
    assert!(ran.stdout.contains("pretraining: 3 checkpoints over wikitext.valid, `pos`"), "{}", ran.stdout);
    let table = Table::read(&folder.path("out/trajectories/pretraining.parquet"));
    let perplexity = table.numbers::<Float64Type>("perplexity");
    assert!(perplexity.iter().step_by(2).is_sorted_by(|a, b| a > b), "{perplexity:?}");
    // Of parts of speech, neurons that learned something tell more than words of their frequency would.
    let (bits, control) =
        (table.numbers::<Float64Type>("information"), table.numbers::<Float64Type>("information_control"));
    assert!(bits[5] > control[5], "{bits:?} {control:?}");
}

/// A config over real text, with these settings, where there is that.
fn over_text(name: &str, sets: &[&str]) -> Option<(Folder, Ran)> {
    let data = data()?;
    let folder = Folder::new();
    let config = configs().join(name);
    let mut args = vec!["run", config.to_str().unwrap(), "--data", data.to_str().unwrap(), "--out", "out"];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    let ran = folder.txray(args).succeeded();
    Some((folder, ran))
}

/// What makes both configs of IMDB end in seconds.
const IMDB: [&str; 5] = [
    "corpus.imdb.limit=120",
    "corpus.imdb.shuffle=true",
    "model.lm.embedding=16",
    "model.lm.hidden=24",
    "model.lm.train.max_tokens=20000",
];

#[test]
fn the_three_stages_of_imdb_run() {
    let sets = ["annotator.pos.train=ud-ewt/en_ewt-ud-dev.conllu", "model.sentiment.train.epochs=2"];
    let Some((folder, ran)) = over_text("imdb.toml", &[&IMDB[..], &sets].concat()) else { return };
    for told in ["macro-F1", "pretrained -> zero-shot", "zero-shot -> supervised"] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    // They share their neurons, and their words.
    let stage = |name: &str| Table::read(&folder.path(format!("out/stages/{name}/neurons.parquet"))).len();
    assert_eq!(["pretrained", "zero-shot", "supervised"].map(stage), [24; 3]);
    let tokenizer = |model: &str| std::fs::read(folder.path(format!("out/models/{model}/tokenizer.json"))).unwrap();
    assert_eq!(tokenizer("lm-imdb"), tokenizer("sentiment"));
    assert!(!ran.stdout.contains("different vocabularies"), "{}", ran.stdout);
}

#[test]
fn what_pretraining_bought_is_scored_by_seed() {
    let sets = [
        "model.scratch.hidden=24",
        "model.scratch.embedding=16",
        "model.tuned.train.epochs=1",
        "model.scratch.train.epochs=1",
    ];
    let Some((folder, ran)) = over_text("imdb-scratch.toml", &[&IMDB[..], &sets].concat()) else { return };
    for name in ["tuned", "tuned#2", "tuned#3", "scratch", "scratch#2", "scratch#3"] {
        assert!(ran.stdout.contains(&format!(" {name} ")), "{name}: {}", ran.stdout);
        assert!(folder.path(format!("out/evaluations/{name}.json")).exists());
    }
}

#[test]
fn a_treebank_is_tagged() {
    let sets = ["corpus.ewt.limit=300", "model.tagger.train.epochs=2", "model.tagger.train.learning_rate=0.01"];
    let Some((folder, ran)) = over_text("tagger.toml", &sets) else { return };
    assert!(ran.stdout.contains("ewt.test"), "{}", ran.stdout);
    let scores: Value =
        serde_json::from_slice(&std::fs::read(folder.path("out/evaluations/tags.json")).unwrap()).unwrap();
    assert!(scores["ewt.test"]["accuracy"]["value"].as_f64().unwrap() > 0.3, "{scores}");
}

#[test]
fn wikitext2_runs() {
    let Some(data) = data() else { return };
    let folder = Folder::new();
    let config = configs().join("wikitext2.toml");
    let mut args = vec!["run", config.to_str().unwrap(), "--data", data.to_str().unwrap(), "--out", "out"];
    args.extend(WIKITEXT2.iter().flat_map(|set| ["--set", set]));
    let ran = folder.txray(args).succeeded();
    assert!(ran.stdout.contains("hellinger-2020"), "{}", ran.stdout);

    // Articles group the documents, and the files that were read are told with their hashes.
    let observations = Table::read(&folder.path("out/stages/early/observations.parquet"));
    let groups: BTreeSet<_> = observations.text("group").into_iter().flatten().collect();
    assert_eq!(groups.len(), 60, "articles of WikiText-2's validation text");
    let manifest = json(&folder.path("out/manifest.json"));
    let inputs = manifest["inputs"].as_array().unwrap();
    assert_eq!(inputs.len(), 3);
    assert!(inputs.iter().all(|input| input["sha256"].as_str().is_some_and(|hash| hash.len() == 64)));
    let stage = |name: &str| {
        let steps = manifest["steps"].as_array().unwrap().iter();
        steps.clone().find(|step| step["name"] == format!("stage.{name}")).unwrap()["tokens"].clone()
    };
    // Words, and an `<eos>` for each of the documents.
    assert_eq!(stage("pretrained"), 213_886 + 2_461);
    assert_eq!(stage("zero-shot"), Table::read(&folder.path("out/stages/zero-shot/observations.parquet")).len());
}
