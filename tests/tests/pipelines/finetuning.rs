//! Classifiers and taggers that begin from language models, and vocabularies that are extended.

use std::fs;

use arrow_array::types::Float64Type;
use serde_json::Value;
use txray_tests::{Folder, Ran, SmallModel, Table};

/// Pretrained on the one domain, read there and on another, and trained to tell the two of both.
const STAGES: &str = r#"
[corpus.kitchen]
kind = "grammar"
domain = "kitchen"
train = 400
valid = 100

[corpus.both]
kind = "csv"
train = "both.csv"
splits = { test = "test.csv" }

[corpus.plain]
kind = "text"
train = "both.csv"

[model.lm]
kind = "lstm"
embedding = 16
hidden = 16
task = { kind = "language-model", corpus = "kitchen" }
train = { epochs = 2 }

[model.extended]
init = "lm"
vocabulary = { extend = "both.train", min_count = 2 }

[model.topic]
init = "extended"
task = { kind = "classification", corpus = "both", pooling = "mean" }
train = { epochs = 4, batch = 8, learning_rate = 0.01, checkpoints = [1] }

[stage.pretrained]
model = "lm"
corpus = "kitchen.valid"

[stage.zero-shot]
model = "extended"
corpus = "both.test"
layers = ["token", "label"]

[stage.supervised]
model = "topic"
corpus = "both.test"
layers = ["token", "label"]

[comparison.adaptation]
from = "zero-shot"
to = "supervised"
layers = ["token"]
"#;

/// Sentences about a kitchen and about a garden, in turn.
fn csv(sentences: std::ops::Range<usize>) -> String {
    let topics = [("kitchen", ["cook", "pan", "soup"]), ("garden", ["rake", "weed", "soil"])];
    let row = |at: usize| {
        let (label, words) = topics[at % 2];
        format!("the {} has a {} number{},{label}\n", words[at % 3], words[at / 3 % 3], at % 5)
    };
    "text,label\n".to_owned() + &sentences.map(row).collect::<String>()
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("both.csv", csv(0..200));
    folder.write("test.csv", csv(200..300));
    folder.write("pipeline.toml", STAGES);
    folder
}

fn json(folder: &Folder, path: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.path(path)).unwrap()).unwrap()
}

/// The words of a model's vocabulary, by their ids.
fn vocabulary(folder: &Folder, model: &str) -> Vec<String> {
    let tokenizer = json(folder, &format!("out/models/{model}/tokenizer.json"));
    let words = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut words: Vec<(u64, String)> = words.iter().map(|(word, id)| (id.as_u64().unwrap(), word.clone())).collect();
    words.sort_unstable();
    words.into_iter().map(|(_, word)| word).collect()
}

#[test]
fn three_stages_of_one_network_share_their_neurons_and_words() {
    let folder = folder();
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    for told in ["learns 2 labels: garden, kitchen", "holds 20 of the 200 documents of `both.train` out to validate on"]
    {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert!(ran.stdout.contains("loss (valid, last)"), "{}", ran.stdout);
    // New words stand behind the old ones, and begin as the unknown one.
    let (before, after) = (vocabulary(&folder, "lm"), vocabulary(&folder, "extended"));
    assert!(after.starts_with(&before) && after.len() > before.len());
    assert!(after.contains(&"rake".to_owned()) && !before.contains(&"rake".to_owned()));
    assert_eq!(after, vocabulary(&folder, "topic"));
    // Labels lie beside the weights, those of checkpoints too.
    for model in ["topic", "topic@1"] {
        let labels = json(&folder, &format!("out/models/{model}/labels.json"));
        assert_eq!(labels, serde_json::json!({ "labels": ["garden", "kitchen"] }));
    }
    assert!(!folder.path("out/models/extended/labels.json").exists());
    let config = json(&folder, "out/models/topic/config.json");
    assert_eq!((&config["task"], &config["pooling"]), (&"classification".into(), &"mean".into()));
    // It has learned what was planted.
    let manifest = json(&folder, "out/manifest.json");
    let step = |name: &str| manifest["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap();
    assert!(step("model.topic")["valid_loss"].as_f64().unwrap() < 0.2, "{}", step("model.topic"));
    assert_eq!((&step("model.topic")["labels"], &step("model.topic")["epochs"]), (&2.into(), &4.into()));
    // Neuron by neuron, over the same text and vocabulary.
    let compared = Table::read(&folder.path("out/comparisons/adaptation.parquet"));
    assert_eq!(compared.len(), 16);
    assert!(compared.numbers::<Float64Type>("hellinger").iter().flatten().any(|distance| *distance > 0.1));

    let again = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(again.stderr.contains("model.topic: there already"), "{}", again.stderr);
}

/// Extended by the words of its own text, the model is read as before but for words that it did not know.
#[test]
fn an_extended_vocabulary_reads_as_before() {
    let folder = folder();
    let stages = STAGES.split("[model.topic]").next().unwrap().to_owned()
        + "[stage.before]\nmodel = \"lm\"\ncorpus = \"both.test\"\n[stage.after]\nmodel = \"extended\"\ncorpus = \"both.test\"\n"
        + "[evaluation.before]\nmodel = \"lm\"\ncorpora = [\"kitchen.train\"]\n"
        + "[evaluation.after]\nmodel = \"extended\"\ncorpora = [\"kitchen.train\"]\n";
    folder.write("pipeline.toml", stages);
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let neurons = |stage: &str| fs::read(folder.path(format!("out/stages/{stage}/neurons.parquet"))).unwrap();
    let read = |stage: &str, column: &str| {
        Table::read(&folder.path(format!("out/stages/{stage}/neurons.parquet"))).numbers::<Float64Type>(column)
    };
    assert_eq!(read("before", "mass"), read("after", "mass"));
    assert_eq!(read("before", "mean"), read("after", "mean"));
    // What differs is what the words are called.
    assert_ne!(neurons("before"), neurons("after"));
    // No word that it knew is expected less.
    let [before, after] = ["before", "after"].map(|name| {
        json(&folder, &format!("out/evaluations/{name}.json"))["kitchen.train"]["perplexity"]["value"].as_f64().unwrap()
    });
    assert!((before / after - 1.0).abs() < 1e-5, "{before} {after}");
}

/// Rows that a model has to spare, for speed, are no new words': those would not begin as the unknown one.
#[test]
fn rows_to_spare_are_no_new_words() {
    let folder = folder();
    let mut model = SmallModel::new(6, 4);
    let names: Vec<(String, usize)> = model
        .tensors
        .iter()
        .filter(|(_, shape, _)| shape[0] == 6)
        .map(|(name, shape, _)| (name.clone(), shape.get(1).copied().unwrap_or(1)))
        .collect();
    assert!(names.len() >= 2, "{names:?}");
    for (name, width) in names {
        let (_, shape, values) = model.tensor(&name);
        shape[0] = 9;
        values.extend(vec![0.7; 3 * width]);
    }
    model.write(&folder.path("spare"));
    let config = folder.path("spare/config.json");
    fs::write(
        &config,
        fs::read_to_string(&config)
            .unwrap()
            .replace("\"vocab_size\":6", "\"vocab_size\":9")
            .replace("\"vocab_size\": 6", "\"vocab_size\": 9"),
    )
    .unwrap();
    let stages = STAGES.split("[model.lm]").next().unwrap().to_owned()
        + "[corpus.w]\nkind = \"text\"\ntrain = \"w.txt\"\n"
        + "[model.spare]\npath = \"spare\"\n[model.extended]\ninit = \"spare\"\nvocabulary = { extend = \"w.train\" }\n"
        + "[stage.before]\nmodel = \"spare\"\ncorpus = \"w.train\"\nlayers = [\"word\", \"prediction\"]\n"
        + "[stage.after]\nmodel = \"extended\"\ncorpus = \"w.train\"\n";
    folder.write("w.txt", "w1 w2 new w3\nnewer w1 new\n");
    folder.write("pipeline.toml", stages);
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let words = vocabulary(&folder, "extended");
    let tokenizer = json(&folder, "out/models/extended/tokenizer.json");
    assert_eq!(tokenizer["model"]["vocab"][&words[6]], 9, "{words:?}");
    let read = |stage: &str| {
        Table::read(&folder.path(format!("out/stages/{stage}/neurons.parquet"))).numbers::<Float64Type>("mass")
    };
    assert_eq!(read("before"), read("after"));
}

/// A head is never kept under other names.
#[test]
fn a_head_of_other_labels_is_refused() {
    let folder = folder();
    folder.write("pipeline.toml", STAGES);
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let labels = folder.path("out/models/topic/labels.json");
    let again = STAGES.split("[model.lm]").next().unwrap().to_owned()
        + "[model.topic]\npath = \"out/models/topic\"\ntask = { kind = \"classification\", corpus = \"both\" }\ntrain = { epochs = 1 }\n"
        + "[stage.s]\nmodel = \"topic\"\ncorpus = \"both.test\"\n";
    folder.write("again.toml", again);
    fs::write(&labels, "{\"labels\": [\"kitchen\", \"garden\"]}").unwrap();
    folder.txray(["run", "again.toml", "--out", "again"]).succeeded();
    assert_eq!(json(&folder, "again/models/topic/labels.json")["labels"][0], "kitchen");
    fs::write(&labels, "{\"labels\": [\"sport\", \"zebra\"]}").unwrap();
    let stderr = folder.txray(["run", "again.toml", "--out", "again"]).failed(2);
    assert!(stderr.contains("tell as many others: sport, zebra"), "{stderr}");
}

#[test]
fn what_is_held_out_is_told_where_it_takes_too_much() {
    let grouped = |group: &dyn Fn(usize) -> usize| {
        let rows = csv(0..60);
        let mut rows = rows.lines().enumerate().map(|(at, row)| match at {
            0 => format!("{row},movie\n"),
            at => format!("{row},m{}\n", group(at - 1)),
        });
        rows.by_ref().collect::<String>()
    };
    let config = STAGES.replace("kind = \"csv\"", "kind = \"csv\"\ngroup = \"movie\"");
    let test = grouped(&|at| at);
    let (_, one) = ran(&grouped(&|_| 0), &test, &config);
    let stderr = one.succeeded().stderr;
    assert!(stderr.contains("all of its documents are in one group"), "{stderr}");
    let (_, two) = ran(&grouped(&|at| at % 2), &test, &config);
    let stderr = two.succeeded().stderr;
    assert!(stderr.contains("nothing that is left to train on is labelled"), "{stderr}");
}

#[test]
fn a_training_that_was_stopped_goes_on_to_the_same_bytes() {
    let (whole, stopped) = (folder(), folder());
    whole.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let fewer = STAGES.replace("epochs = 4, batch", "epochs = 2, batch");
    stopped.write("pipeline.toml", fewer);
    stopped.txray(["run", "pipeline.toml", "--out", "out", "--store", "store"]).succeeded();
    stopped.write("pipeline.toml", STAGES);
    let ran = stopped.txray(["run", "pipeline.toml", "--out", "out", "--store", "store"]).succeeded();
    assert!(ran.stderr.contains("going on from the end of a training of fewer epochs"), "{}", ran.stderr);
    let weights = |folder: &Folder| fs::read(folder.path("out/models/topic/model.safetensors")).unwrap();
    assert_eq!(weights(&whole), weights(&stopped));
}

const TAGGED: &str = r#"
[corpus.c]
kind = "grammar"
domain = "kitchen"
train = 300
valid = 100

[model.tagger]
kind = "lstm"
embedding = 16
hidden = 16
task = { kind = "tagging", corpus = "c", column = "pos" }
train = { epochs = 6, batch = 8, learning_rate = 0.01 }

[model.more]
init = "tagger"
task = { kind = "tagging", corpus = "c", column = "pos" }
train = { epochs = 1, freeze_encoder = true }

[stage.s]
model = "tagger"
corpus = "c.valid"
layers = ["word", "pos"]
"#;

#[test]
fn words_are_tagged() {
    let folder = Folder::new();
    folder.write("pipeline.toml", TAGGED);
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let labels = json(&folder, "out/models/tagger/labels.json");
    assert_eq!(labels["column"], "pos");
    let manifest = json(&folder, "out/manifest.json");
    let step = |name: &str| manifest["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap();
    assert!(step("model.tagger")["valid_loss"].as_f64().unwrap() < 0.3, "{}", step("model.tagger"));
    // A frozen encoder is the same one.
    let stage = TAGGED.replace("model = \"tagger\"", "model = \"more\"");
    let tables = |out: &str| fs::read(folder.path(format!("{out}/stages/s/neurons.parquet"))).unwrap();
    folder.write("pipeline.toml", stage);
    folder.txray(["run", "pipeline.toml", "--out", "frozen"]).succeeded();
    assert_eq!(tables("out"), tables("frozen"));
}

/// A run with this written in the place of that, which fails.
fn refused(from: &str, to: &str) -> String {
    let folder = folder();
    assert!(STAGES.contains(from), "{from}");
    folder.write("pipeline.toml", STAGES.replacen(from, to, 1));
    let ran = folder.txray(["check", "pipeline.toml"]);
    assert_eq!(ran.code, Some(2), "{to}");
    ran.stderr
}

#[test]
fn what_no_task_has_is_refused_before_anything_runs() {
    let task = r#"task = { kind = "classification", corpus = "both", pooling = "mean" }"#;
    for (from, to, told) in [
        (task, r#"task = { kind = "classification", corpus = "plain" }"#, "have no labels"),
        (task, r#"task = { kind = "tagging", corpus = "both" }"#, "missing key `column`"),
        (task, r#"task = { kind = "tagging", corpus = "kitchen", column = "ps" }"#, "no annotation column `ps`"),
        (task, r#"task = { kind = "classification", corpus = "both", column = "pos" }"#, "is of `tagging`"),
        (task, r#"task = { kind = "classification", corpus = "both", held_out = 1.5 }"#, "is not in [0, 1)"),
        (task, r#"task = { kind = "language-model", corpus = "both", held_out = 0.5 }"#, "is of `classification`"),
        (task, r#"task = { kind = "classification", corpus = "both", poling = "mean" }"#, "poling"),
        (task, r#"task = { kind = "clasification", corpus = "both" }"#, "clasification"),
        (r#"vocabulary = { extend = "both.train", min_count = 2 }"#, r#"vocabulary = "extend""#, "of which text?"),
        (
            r#"vocabulary = { extend = "both.train", min_count = 2 }"#,
            "vocabulary = { min_count = 2 }",
            "the vocabulary is that of",
        ),
        (r#"extend = "both.train", min_count = 2"#, r#"extend = "both.tain""#, "no split `tain`"),
        (r#"extend = "both.train", min_count = 2"#, r#"extend = "both.train", words = "space""#, "words as they were"),
        ("hidden = 16\n", "hidden = 16\nvocabulary = \"extend\"\n", "no vocabulary that could be extended"),
        (
            "corpus = \"both.test\"\nlayers = [\"token\", \"label\"]\n\n[comparison",
            "corpus = \"both.test\"\nlayers = [\"prediction\"]\n\n[comparison",
            "does not tell which token",
        ),
    ] {
        let stderr = refused(from, to);
        assert!(stderr.contains(told), "{to}: {told}: {stderr}");
    }
    let again = "[model.again]\ninit = \"topic\"\ntask = { kind = \"language-model\", corpus = \"kitchen\" }\n\n[stage.pretrained]";
    assert!(refused("[stage.pretrained]", again).contains("do not predict the next token"));
}

/// A run over other texts, which may fail.
fn ran(train: &str, test: &str, config: &str) -> (Folder, Ran) {
    let folder = folder();
    folder.write("both.csv", train);
    folder.write("test.csv", test);
    folder.write("pipeline.toml", config);
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]);
    (folder, ran)
}

#[test]
fn labels_that_cannot_be_learned_are_told() {
    let of = |label: &dyn Fn(usize) -> String| {
        let row = |at: usize| format!("the pan number {},{}\n", at % 7, label(at));
        "text,label\n".to_owned() + &(0..50).map(row).collect::<String>()
    };
    for (train, told) in [
        (of(&|_| "pos".to_owned()), "every label is 'pos', and at least two labels are needed"),
        (of(&|at| format!("{}.5", at)), "50 different labels for 50 documents"),
        (of(&|_| String::new()), "nothing has a label"),
    ] {
        let (_, ran) = ran(&train, &csv(0..10), STAGES);
        let stderr = ran.failed(2);
        assert!(stderr.contains(told) && stderr.contains("model.topic"), "{told}: {stderr}");
    }
}

#[test]
fn labels_that_a_split_lacks_are_told() {
    let config = STAGES.replace("splits = { test", "valid = \"valid.csv\"\nsplits = { test");
    let folder = folder();
    folder.write("valid.csv", "text,label\nthe soup has a pan,kitchen\nthe soup has a cat,animal\nthe pan,\n");
    folder.write("pipeline.toml", &config);
    let stderr = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded().stderr;
    assert!(
        stderr.contains("1 documents of `both.valid` have labels that `both.train` lacks, such as 'animal'"),
        "{stderr}"
    );
    assert!(stderr.contains("none of the documents of `both.valid` is labelled garden"), "{stderr}");
    assert!(!stderr.contains("out to validate on"), "{stderr}");
}

/// What one task has and another has not is told with its place, before the first step.
#[test]
fn options_of_another_task_are_refused() {
    for (from, to, told) in [
        ("epochs = 2 }", "epochs = 2, max_length = 9 }", "is of labels"),
        ("epochs = 4,", "epochs = 4, max_tokens = 9,", "is of language models"),
        ("epochs = 4,", "epochs = 4, class_weights = [1, 2, 3],", "there are 3 of them, and 2 labels"),
    ] {
        let folder = folder();
        folder.write("pipeline.toml", STAGES.replacen(from, to, 1));
        let stderr = folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
        assert!(stderr.contains(told) && stderr.contains("[model."), "{told}: {stderr}");
    }
}

/// Of a step size at which the loss is no number any more the step is told, and what was kept before is there.
#[test]
fn a_loss_that_is_no_number_is_told_with_its_step() {
    let wild = STAGES.replace("learning_rate = 0.01", "optimizer = \"sgd\", clip = 1e30, learning_rate = 1e30");
    let folder = folder();
    folder.write("pipeline.toml", wild);
    let stderr = folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    assert!(stderr.contains("step") && stderr.contains("learning_rate"), "{stderr}");
}

#[test]
fn weights_of_other_sizes_and_tokenizers_are_refused() {
    let folder = folder();
    SmallModel::new(6, 4).write(&folder.path("small"));
    let config = |keys: &str| {
        STAGES.split("[model.lm]").next().unwrap().to_owned()
            + "[model.topic]\npath = \"small\"\ntask = { kind = \"classification\", corpus = \"both\" }\n"
            + keys
            + "\n[stage.s]\nmodel = \"topic\"\ncorpus = \"both.test\"\n"
    };
    folder.write("pipeline.toml", config("hidden = 8"));
    let stderr = folder.txray(["check", "pipeline.toml"]).failed(2);
    assert!(stderr.contains("`hidden`"), "{stderr}");
    // A tokenizer of parts of words knows of no unknown one that new words could begin as.
    folder.write("pipeline.toml", config("vocabulary = \"extend\"\ntrain = { epochs = 1 }"));
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let path = folder.path("small/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    tokenizer["normalizer"] = serde_json::json!({ "type": "Lowercase" });
    fs::write(&path, tokenizer.to_string()).unwrap();
    let stderr = folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    assert!(stderr.contains("only a vocabulary of words"), "{stderr}");
}

const EVALUATED: &str = "
[evaluation.topics]
model = \"topic\"
corpora = [\"both.train\", \"both.test\"]

[evaluation.language]
model = \"lm\"
corpora = [\"kitchen.valid\"]
";

#[test]
fn labels_are_scored_with_intervals() {
    let folder = folder();
    // Two of the test documents were trained on, one has a label that was not, one has none, and one has the wrong one.
    let test = csv(200..296)
        + &csv(0..2)["text,label\n".len()..]
        + "the cat,animal\nthe dog,\nthe cook has a soup number1,garden\n";
    folder.write("test.csv", test);
    folder.write("pipeline.toml", STAGES.to_owned() + EVALUATED);
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    for told in [
        "1 documents of `both.test` have labels that `topic` does not know, such as 'animal'",
        "of `both.test` stand in `both.train`, too, which `topic` was trained on",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    for told in ["macro-F1", "ROC-AUC", "ECE", "perplexity"] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    let scores = &json(&folder, "out/evaluations/topics.json")["both.test"];
    assert_eq!((&scores["documents"], &scores["predicted"], &scores["unseen"]), (&101.into(), &99.into(), &1.into()));
    assert!(scores["repeated"].as_u64().unwrap() >= 2);
    let accuracy = scores["accuracy"]["value"].as_f64().unwrap();
    let [low, high] = [0, 1].map(|end| scores["accuracy"]["interval"][end].as_f64().unwrap());
    assert!(accuracy > 0.95 && low <= accuracy && accuracy <= high && low < 1.0, "{scores}");
    assert!(scores["roc_auc"]["value"].as_f64().unwrap() > 0.95 && scores.get("perplexity").is_none());
    assert_eq!(scores["labels"][0]["label"], "garden");
    // The table says the same, document by document.
    let table = Table::read(&folder.path("out/evaluations/topics.parquet"));
    let column = |name: &str| table.text(name).into_iter().skip(200).collect::<Vec<_>>();
    let (labels, told) = (column("label"), column("prediction"));
    assert_eq!((labels.len(), labels[98], labels[99]), (101, Some("animal"), None));
    let known = |label: &Option<&str>| matches!(label, Some("garden" | "kitchen"));
    let right = labels.iter().zip(&told).filter(|(label, told)| known(label) && label == told).count();
    assert!((right as f64 / 99.0 - accuracy).abs() < 1e-12);
    let counts: Vec<Option<u64>> = table.numbers::<arrow_array::types::UInt64Type>("right");
    assert_eq!(counts[200..].iter().flatten().sum::<u64>(), right as u64);
    let probability = table.numbers::<Float64Type>("probability");
    assert!(probability.iter().flatten().all(|p| (0.5..=1.0).contains(p)) && probability.iter().all(Option::is_some));
    // The loss is that which the training validated by: of what was held out, here of the whole.
    let language = &json(&folder, "out/evaluations/language.json")["kitchen.valid"];
    assert!(language["perplexity"]["value"].as_f64().unwrap() > 1.0 && language.get("accuracy").is_none());
}

#[test]
fn replicates_are_scored_beside_the_model() {
    let folder = folder();
    let config = STAGES.replace("init = \"extended\"", "init = \"extended\"\nseeds = [1, 2]") + EVALUATED;
    folder.write("pipeline.toml", config);
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(ran.stdout.contains(" topics#2 "), "{}", ran.stdout);
    let [a, b] = ["topics", "topics#2"].map(|name| json(&folder, &format!("out/evaluations/{name}.json")));
    assert_ne!(a, b);
}

#[test]
fn words_are_scored_beside_their_documents() {
    let folder = Folder::new();
    let evaluation = "[evaluation.tags]\nmodel = \"tagger\"\ncorpora = [\"c.valid\"]\n";
    folder.write("pipeline.toml", TAGGED.to_owned() + evaluation);
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let scores = &json(&folder, "out/evaluations/tags.json")["c.valid"];
    assert!(scores["accuracy"]["value"].as_f64().unwrap() > 0.9, "{scores}");
    assert_eq!((&scores["unit"], &scores["documents"]), (&"group".into(), &100.into()));
    let manifest = json(&folder, "out/manifest.json");
    let step = manifest["steps"].as_array().unwrap().iter().find(|step| step["name"] == "model.tagger").unwrap();
    let [told, trained] = [&scores["loss"]["value"], &step["valid_loss"]].map(|loss| loss.as_f64().unwrap());
    assert!((told / trained - 1.0).abs() < 1e-6, "{told} {trained}");
    // A folder that does not say of which column its labels are is asked.
    let labels = folder.path("out/models/tagger/labels.json");
    let text = fs::read_to_string(&labels).unwrap();
    fs::write(&labels, text.replace("\"column\": \"pos\"", "\"other\": 1")).unwrap();
    let config = TAGGED.split("[model.tagger]").next().unwrap().to_owned()
        + "[model.tagger]\npath = \"out/models/tagger\"\n"
        + evaluation;
    folder.write("loaded.toml", &config);
    let stderr = folder.txray(["run", "loaded.toml", "--out", "loaded"]).failed(2);
    assert!(stderr.contains("name the annotation column"), "{stderr}");
    folder.write("loaded.toml", config + "column = \"pos\"\n");
    folder.txray(["run", "loaded.toml", "--out", "loaded"]).succeeded();
    assert_eq!(&json(&folder, "loaded/evaluations/tags.json")["c.valid"], scores);
    fs::remove_file(&labels).unwrap();
    let stderr = folder.txray(["run", "loaded.toml", "--out", "loaded"]).failed(2);
    assert!(stderr.contains("write labels.json beside its weights"), "{stderr}");
    fs::write(&labels, "{\"labels\": [\"a\", \"b\"]}").unwrap();
    let stderr = folder.txray(["run", "loaded.toml", "--out", "loaded"]).failed(2);
    assert!(stderr.contains("and 2 have names beside its weights"), "{stderr}");
}

#[test]
fn a_text_without_labels_scores_nothing() {
    let (_, ran) = ran(&csv(0..200), "text,label\nthe pan,\n", &(STAGES.to_owned() + EVALUATED));
    let stderr = ran.failed(2);
    assert!(stderr.contains("nothing in `both.test` has a `label` that the model knows"), "{stderr}");
    assert!(stderr.contains("no document of `both.test` has a label: leave `label` out of `layers`"), "{stderr}");
}
