//! Layers of texts: by annotators, by other programs, and planted ones.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use txray_tests::{Folder, SmallModel, Table, path};

const PIPELINE: &str = r#"
[corpus.news]
kind = "text"
valid = "news.txt"

[annotator.pos]
kind = "perceptron"
train = "train.conllu"

[annotator.known]
kind = "lookup"
file = "words.tsv"

[annotator.shape]
kind = "regex"
patterns = { number = "[0-9]+", capital = "\\b[A-Z][a-z]*" }

[model.small]
path = "model"

[stage.s]
model = "small"
corpus = "news.valid"
layers = ["word", "pos", "known", "shape"]
record = "all"
"#;

fn treebank(sentences: &[&[(&str, &str)]]) -> String {
    let line =
        |(index, (form, tag)): (usize, &(&str, &str))| format!("{}\t{form}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n", index + 1);
    sentences.iter().map(|words| words.iter().enumerate().map(line).collect::<String>() + "\n").collect()
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("pipeline.toml", PIPELINE);
    folder.write("news.txt", "The dog sees 12 cats .\nA cat ! Sees Rex 3 dogs .\nw0\n");
    folder.write("words.tsv", "dog\tanimal\ncat\tanimal\ncats\tanimal\nRex\tname\n");
    let sentences: [&[(&str, &str)]; 3] = [
        &[("The", "DET"), ("dog", "NOUN"), ("sees", "VERB"), ("12", "NUM"), ("cats", "NOUN"), (".", "PUNCT")],
        &[("A", "DET"), ("cat", "NOUN"), ("sees", "VERB"), ("Rex", "PROPN"), (".", "PUNCT")],
        &[("Rex", "PROPN"), ("sees", "VERB"), ("3", "NUM"), ("dogs", "NOUN"), ("!", "PUNCT")],
    ];
    folder.write("train.conllu", treebank(&sentences).repeat(20));
    SmallModel::new(7, 5).write(&folder.path("model"));
    folder
}

/// The features of a layer that any neuron prefers.
fn features(folder: &Folder, stage: &str, layer: &str) -> BTreeSet<String> {
    let table = Table::read(&folder.path(format!("out/stages/{stage}/preferences.parquet")));
    let rows = table.text("layer").into_iter().zip(table.text("feature"));
    rows.filter(|(of, _)| *of == Some(layer)).filter_map(|(_, feature)| feature.map(str::to_owned)).collect()
}

fn set(features: &[&str]) -> BTreeSet<String> {
    features.iter().map(|feature| (*feature).to_owned()).collect()
}

#[test]
fn annotators_give_any_text_their_layers() {
    let folder = folder();
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert_eq!(features(&folder, "s", "pos"), set(&["DET", "NOUN", "NUM", "PROPN", "PUNCT", "VERB"]));
    assert_eq!(features(&folder, "s", "known"), set(&["animal", "name"]));
    assert_eq!(features(&folder, "s", "shape"), set(&["capital", "number"]));
    let coverage: Value =
        serde_json::from_slice(&std::fs::read(folder.path("out/stages/s/coverage.json")).unwrap()).unwrap();
    // `word` and `pos` have something for every word; the others show what they have not.
    assert_eq!([0, 1].map(|layer| coverage["layers"][layer]["unjoined"].as_u64()), [Some(0); 2]);
    assert_eq!(coverage["layers"][2]["unjoined"], 11);
    let first = &coverage["layers"][2]["examples"][0];
    assert_eq!(first.to_string(), r#"{"document":0,"start":0,"end":3,"text":"The"}"#);
    // What was learned is kept: a second run makes nothing, and another option of one of them what depends on it.
    let again = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert_eq!(again.stderr.matches("there already").count(), 5, "{}", again.stderr);
    let set = ["run", "pipeline.toml", "--out", "out", "--set", "annotator.pos.epochs=2"];
    let changed = folder.txray(set).succeeded();
    assert_eq!(changed.stderr.matches("there already").count(), 3, "{}", changed.stderr);
}

#[test]
fn an_annotator_that_cannot_be_is_told_where_it_stands() {
    for (from, to, told) in [
        ("[annotator.pos]", "[annotator.token]", "`token` cannot name a layer of annotations"),
        ("kind = \"perceptron\"", "kind = \"perceptrn\"", "there is no annotator `perceptrn`"),
        ("train = \"train.conllu\"", "train = \"trian.conllu\"", "no such file"),
        ("train = \"train.conllu\"", "train = \"train.conllu\"\ncolumn = \"ups\"", "ups"),
        ("number = \"[0-9]+\"", "number = \"[0-9\"", "[0-9"),
        ("\"known\"", "\"knwn\"", "did you mean `known`?"),
        ("valid = \"news.txt\"", "valid = \"news.txt\"\nlimit = 0", "limit"),
    ] {
        let folder = folder();
        assert!(PIPELINE.contains(from), "{from}");
        folder.write("pipeline.toml", PIPELINE.replacen(from, to, 1));
        let said = folder.txray(["check", "pipeline.toml"]).failed(2);
        assert!(said.contains(told), "{to}: {said}");
    }
    // Both the treebank and an annotator have it.
    let folder = folder();
    let both = PIPELINE.replace(
        "kind = \"text\"\nvalid = \"news.txt\"",
        "kind = \"conllu\"\nvalid = \"train.conllu\"\nannotations = { pos = \"upos\" }",
    );
    folder.write("pipeline.toml", both);
    let said = folder.txray(["check", "pipeline.toml"]).failed(2);
    assert!(said.contains("the corpus `news` has a layer `pos` of its own"), "{said}");
}

/// It was learned, tagged nothing, and was told to be right in every word.
#[test]
fn a_column_without_tags_teaches_nothing() {
    let folder = folder();
    let column = "train = \"train.conllu\"\ncolumn = \"xpos\"";
    folder.write("pipeline.toml", PIPELINE.replacen("train = \"train.conllu\"", column, 1));
    let said = folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    assert!(said.contains("train.conllu: no word has a `xpos`"), "{said}");
}

/// A word that a model takes in pieces has its part of speech in each, or in one of them.
#[test]
fn subwords_have_the_features_of_their_word() {
    let folder = folder();
    folder.write("news.txt", "dogs sees\n");
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [],
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true },
        "model": { "type": "BPE", "vocab": { "d": 0, "o": 1, "g": 2, "s": 3, "e": 4, "\u{120}": 5 }, "merges": [] },
    });
    folder.write("model/tokenizer.json", tokenizer.to_string());
    let counts = |subwords: &str| {
        let record = format!("record = \"max-1\"\nsubwords = \"{subwords}\"");
        folder.write("pipeline.toml", PIPELINE.replace("record = \"all\"", &record));
        folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
        let table = Table::read(&folder.path("out/stages/s/observations.parquet"));
        let mut counts = BTreeMap::new();
        for tag in table.text("pos").into_iter().flatten() {
            *counts.entry(tag.to_owned()).or_insert(0) += 1;
        }
        let starts = table.numbers::<arrow_array::types::UInt32Type>("start");
        assert_eq!(starts.len(), 9, "every byte is a token");
        counts.into_iter().map(|(tag, count)| format!("{tag} {count}")).collect::<Vec<_>>().join(", ")
    };
    // A space between them is of no word.
    assert_eq!(counts("every"), "NOUN 4, VERB 4");
    assert_eq!(counts("first"), "NOUN 1, VERB 1");
    assert_eq!(counts("last"), "NOUN 1, VERB 1");
}

/// The words of one domain are never preferred where only the other was read; a word of both that is of another part of speech in
/// each shows both.
#[test]
fn what_was_planted_is_found_and_nothing_else() {
    let folder = Folder::new();
    let domain = |name: &str, verb: &str| {
        let mut sentences = String::new();
        for index in 0..60 {
            let own = format!("{name}{}", index % 7);
            let sentence: Vec<(&str, &str)> = match index % 2 {
                0 => vec![("the", "DET"), (&own, "NOUN"), ("stirs", verb), (".", "PUNCT")],
                _ => vec![("stirs", verb), ("the", "DET"), (&own, "NOUN"), (".", "PUNCT")],
            };
            sentences += &treebank(&[&sentence]);
        }
        sentences
    };
    folder.write("kitchen.conllu", domain("pot", "VERB"));
    folder.write("harbour.conllu", domain("boat", "NOUN"));
    folder.write("both.conllu", domain("pot", "VERB") + &domain("boat", "NOUN"));
    let corpus = |name: &str| {
        format!("[corpus.{name}]\nkind = \"conllu\"\ntrain = \"{name}.conllu\"\nannotations = {{ pos = \"upos\" }}\n")
    };
    let stage = |name: &str| {
        format!("[stage.{name}]\nmodel = \"lm\"\ncorpus = \"{name}.train\"\nlayers = [\"word\", \"pos\"]\n")
    };
    let names = ["kitchen", "harbour", "both"];
    let model = "[model.lm]\nkind = \"lstm\"\nembedding = 8\nhidden = 12\ntask = { kind = \"language-model\", corpus = \"both\" }\ntrain = { epochs = 2 }\n";
    let pipeline = names.map(corpus).concat() + model + &names.map(stage).concat();
    folder.write("pipeline.toml", pipeline);
    folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).succeeded();
    let (kitchen, harbour) = (features(&folder, "kitchen", "word"), features(&folder, "harbour", "word"));
    assert!(kitchen.iter().any(|word| word.starts_with("pot")) && !kitchen.iter().any(|word| word.starts_with("boat")));
    assert!(harbour.iter().any(|word| word.starts_with("boat")) && !harbour.iter().any(|word| word.starts_with("pot")));

    // Whoever prefers `stirs` prefers it as both.
    let table = Table::read(&folder.path("out/stages/both/observations.parquet"));
    let rows = table
        .numbers::<arrow_array::types::UInt32Type>("neuron")
        .into_iter()
        .zip(table.text("word"))
        .zip(table.text("pos"));
    let mut tags: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for ((neuron, word), tag) in rows {
        if word == Some("stirs") {
            tags.entry(neuron.unwrap()).or_default().insert(tag.unwrap().to_owned());
        }
    }
    assert!(tags.values().any(|tags| *tags == set(&["NOUN", "VERB"])), "{tags:?}");
    let shown = features(&folder, "both", "pos");
    assert_eq!(shown, set(&["DET", "NOUN", "PUNCT", "VERB"]));
}

/// What spaCy makes of a text is read as the same text; without spaCy, that is said.
#[test]
fn the_script_for_other_programs_keeps_the_text() {
    let folder = Folder::new();
    let text =
        "The U.S. economy grew 3.5% (well, more). Dogs bark!\n\u{201c}Don't,\u{201d} she said\u{2026}  twice.\nw0\n";
    folder.write("news.txt", text);
    let script = std::fs::read_to_string(path("../docs/scripts/to_conllu.py")).unwrap();
    let run = "import io, subprocess, sys\nimport spacy\nout = subprocess.run([sys.executable, 'to_conllu.py', 'blank:en'], \
               stdin=open('news.txt'), capture_output=True, text=True, check=True)\nopen('news.conllu', 'w').write(out.stdout)\n";
    folder.write("to_conllu.py", script);
    if !folder.python("run.py", run) {
        return;
    }
    SmallModel::new(7, 5).write(&folder.path("model"));
    folder.write(
        "pipeline.toml",
        "[corpus.news]\nkind = \"conllu\"\ntrain = \"news.conllu\"\ndocument = \"newdoc\"\n[model.small]\npath = \"model\"\n\
         [stage.s]\nmodel = \"small\"\ncorpus = \"news.train\"\nlayers = [\"word\"]\n",
    );
    folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).succeeded();
    let table = Table::read(&folder.path("out/stages/s/observations.parquet"));
    let words: Vec<&str> = table.text("word").into_iter().flatten().collect();
    assert_eq!(words, text.split_whitespace().collect::<Vec<_>>());
}
