//! Runs in parts, on machines that see one store or none, and merged.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use txray_tests::{Folder, SmallModel, data, rust_plugin};

const PIPELINE: &str = r#"
[corpus.news]
kind = "text"
valid = "news.txt"
test = "short.txt"

[model.small]
path = "model"

[stage.one]
model = "small"
corpus = "news.valid"
layers = ["token", "word", "position"]

[stage.two]
model = "small"
corpus = "news.test"
layers = ["token", "word", "position"]
record = { kind = "all", sign = "absolute" }

[stage.three]
model = "small"
corpus = "news.test"
layers = ["token", "word", "position"]
record = { "lstm.0.hidden" = { kind = "threshold", above = 0.05, sign = "negative" } }

[comparison.c]
from = "one"
to = "two"
"#;

fn folder(text: &str) -> Folder {
    let folder = Folder::new();
    folder.write("pipeline.toml", PIPELINE);
    folder.write("news.txt", text);
    folder.write("short.txt", "w0 w1 w2\nw1 zzz w1\nw0\n");
    SmallModel::new(7, 5).write(&folder.path("model"));
    folder
}

/// Every table of the merged run has the bytes of that which was not cut.
#[track_caller]
fn same_tables(folder: &Folder, whole: &str, merged: &str) {
    let tables = |of: &str| -> Vec<String> {
        let files = folder.files(of).into_iter();
        files.filter(|file| !file.ends_with("manifest.json")).collect()
    };
    assert_eq!(tables(whole), tables(merged));
    for file in tables(whole) {
        let [a, b] = [whole, merged].map(|of| std::fs::read(folder.path(of).join(&file)).unwrap());
        assert!(a == b, "{file}");
    }
}

fn run_in_shards(folder: &Folder, of: usize, order: &[usize], more: &[&str]) -> Vec<String> {
    let out = |index: usize| format!("part-{index}-of-{of}");
    for index in 1..=of {
        let (shard, out) = (format!("{index}/{of}"), out(index));
        folder.txray([&["run", "pipeline.toml", "--shard", &shard, "--out", &out, "-q"], more].concat()).succeeded();
    }
    order.iter().map(|&at| out(at)).collect()
}

#[test]
fn shards_merge_to_the_bytes_of_one_run() {
    let line = prop::collection::vec(prop::sample::select(vec!["w0", "w1", "w2", "w3", "zzz"]), 1..9);
    let text = prop::collection::vec(line.prop_map(|words| words.join(" ")), 1..40);
    let cases = (text, 1..6_usize, any::<u64>());
    let config = ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&cases, |(lines, of, order)| {
            let folder = folder(&(lines.join("\n") + "\n"));
            folder.txray(["run", "pipeline.toml", "--out", "whole", "-q", "--store", "one"]).succeeded();
            let mut indices: Vec<usize> = (1..=of).collect();
            indices.sort_by_key(|index| (*index as u64).wrapping_mul(order | 1));
            let parts = run_in_shards(&folder, of, &indices, &["--store", "another"]);
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            folder.txray([&["merge", "--out", "merged", "-q", "--store", "third"][..], &parts].concat()).succeeded();
            same_tables(&folder, "whole", "merged");
            Ok(())
        })
        .unwrap();
}

/// The model is trained by one of them, in the store that all share, and the merge takes it over.
#[test]
fn shards_share_a_model_that_one_of_them_trains() {
    let folder = folder("w0 w1 w2\nw1 w2 w0\nw2 w2 w1 w0\nw0 w0\n");
    let trained = PIPELINE.replace(
        "path = \"model\"",
        "kind = \"lstm\"\nembedding = 4\nhidden = 5\ntrain = { epochs = 2, batch = 2, bptt = 4, checkpoints = [1] }\n\
         task = { kind = \"language-model\", corpus = \"news\" }",
    );
    folder
        .write("pipeline.toml", trained.replace("valid = \"news.txt\"", "train = \"news.txt\"\nvalid = \"news.txt\""));
    folder.txray(["run", "pipeline.toml", "--out", "whole", "-q", "--store", "one"]).succeeded();
    run_in_shards(&folder, 2, &[], &["--store", "shared"]);
    let merge = ["merge", "part-2-of-2", "part-1-of-2", "--out", "merged", "--store", "third"];
    folder.txray(merge).succeeded();
    same_tables(&folder, "whole", "merged");

    // Each for itself: with another seed, another model.
    let other =
        ["run", "pipeline.toml", "--shard", "2/2", "--out", "other", "-q", "--store", "alone", "--set", "seed=2"];
    folder.txray(other).succeeded();
    let said = folder.txray(["merge", "part-1-of-2", "other", "--out", "no", "-q"]).failed(2);
    assert!(said.contains("are not parts of one run: the seed is 1111 in one, 2 in the other"), "{said}");
}

#[test]
fn what_is_not_the_parts_of_one_run_is_refused() {
    let folder = folder("w0 w1 w2\nw1 w2 w0\nw2 w2 w1 w0\nw0 w0\n");
    run_in_shards(&folder, 3, &[], &[]);
    folder.txray(["run", "pipeline.toml", "--out", "whole", "-q"]).succeeded();
    let said = |parts: &[&str]| {
        let said = folder.txray([&["merge", "--out", "no", "-q"][..], parts].concat()).failed(2);
        assert!(!folder.path("no").join("stages").exists(), "{said}");
        said
    };
    let [one, two, three] = ["part-1-of-3", "part-2-of-3", "part-3-of-3"];
    assert!(said(&[one, three]).contains("these shards are missing: 2/3"));
    assert!(said(&[one, two, two]).contains("part-2-of-3 and part-2-of-3 are both of the shard 2"));
    assert!(said(&[one, two, "whole"]).contains("whole is of a whole run, and not of a shard"));
    assert!(said(&[one, "nowhere"]).contains("nowhere"));

    let changed = ["run", "pipeline.toml", "--shard", "2/3", "--out", "other", "-q"];
    folder.txray([&changed[..], &["--set", "stage.one.layers=[\"token\"]"]].concat()).succeeded();
    assert!(said(&[one, "other", three]).contains("the pipeline differs in `stage.one.layers`"));
    folder.write("news.txt", "w0\nw1\n");
    folder.txray([&changed[..4], &["--out", "texts", "-q"]].concat()).succeeded();
    assert!(said(&[one, "texts", three]).contains("they read different files as"));
    let told = said(&[one, two, three]);
    assert!(told.contains("news.txt is not what it was when they were made"), "{told}");

    folder.write("part-2-of-3/stages/one/coverage.json", "{}");
    folder.write("news.txt", "w0 w1 w2\nw1 w2 w0\nw2 w2 w1 w0\nw0 w0\n");
    // What the whole run has in its store is not merged again.
    let said = folder.txray(["merge", "--out", "no", "-q", "--store", "fresh", one, two, three]).failed(2);
    assert!(said.contains("coverage.json is not as its run left it"), "{said}");
}

/// A merge wrote over the part that it was told to leave its run in, and took one whose manifest somebody had changed.
#[test]
fn a_part_is_not_written_over_and_not_taken_when_it_was_edited() {
    let folder = folder("w0 w1 w2\nw1 w2 w0\nw2 w2 w1 w0\nw0 w0\n");
    // What no stage reads is read by the whole run alone.
    SmallModel::new(7, 5).write(&folder.path("unread"));
    folder.write("pipeline.toml", format!("{PIPELINE}\n[model.unread]\npath = \"unread\"\n"));
    run_in_shards(&folder, 2, &[], &[]);
    let [one, two] = ["part-1-of-2", "part-2-of-2"];
    let said = folder.txray(["merge", one, two, "--out", two, "-q"]).failed(2);
    assert!(folder.path(two).join("stages/one/sums.parquet").exists(), "{said}");
    folder.txray(["merge", one, two, "--out", "merged", "-q"]).succeeded();

    let manifest = std::fs::read_to_string(folder.path(one).join("manifest.json")).unwrap();
    assert!(manifest.contains("\"index\": 1"));
    folder.write("edited/manifest.json", manifest.replace("\"index\": 1", "\"index\": 2"));
    let said = folder.txray(["merge", one, "edited", "--out", "no", "-q"]).failed(2);
    assert!(said.contains("manifest.json is not as its run left it"), "{said}");
}

#[test]
fn a_part_is_repeated_as_the_part_that_it_was() {
    let folder = folder("w0 w1 w2\nw1 w2 w0\nw2 w2 w1 w0\nw0 w0\n");
    run_in_shards(&folder, 2, &[], &[]);
    let manifest = "part-1-of-2/manifest.json";
    let ran = folder.txray(["run", manifest, "--out", "again"]).succeeded();
    assert!(ran.stdout.contains("Every table and every weight has the bytes of"), "{}", ran.stdout);
    let said = folder.txray(["run", manifest, "--out", "other", "--shard", "2/2"]).failed(2);
    assert!(said.contains("is of the shard 1/2"), "{said}");
}

#[test]
fn parts_are_not_merged_by_another_library_than_they_were_made_by() {
    let folder = folder("w0 w1 w2\nw1 w2 w0\nw2 w2 w1 w0\nw0 w0\n");
    std::fs::copy(rust_plugin("energy"), folder.path("energy.so")).unwrap();
    folder.write("pipeline.toml", format!("{PIPELINE}\n[plugin.energy]\npath = \"energy.so\"\n"));
    run_in_shards(&folder, 2, &[], &[]);
    let mut library = std::fs::read(folder.path("energy.so")).unwrap();
    library.push(0);
    std::fs::remove_file(folder.path("energy.so")).unwrap();
    std::fs::write(folder.path("energy.so"), library).unwrap();
    let said = folder.txray(["merge", "part-1-of-2", "part-2-of-2", "--out", "no", "-q"]).failed(2);
    assert!(said.contains("the plugin `energy` is another library"), "{said}");
}

/// Before the model is trained, which may take hours on every machine.
#[test]
fn a_state_that_training_will_carry_is_told_first() {
    let folder = folder("w0 w1 w2\nw1 w2 w0\nw2 w2 w1 w0\nw0 w0\n");
    let trained = PIPELINE.replace(
        "path = \"model\"",
        "kind = \"lstm\"\nembedding = 4\nhidden = 5\ntrain = { epochs = 1, batch = 2, bptt = 4, state = \"carry\" }\n\
         task = { kind = \"language-model\", corpus = \"news\" }",
    );
    let trained = trained.replace("valid = \"news.txt\"", "train = \"news.txt\"\nvalid = \"news.txt\"");
    folder.write("pipeline.toml", trained);
    let said = folder.txray(["run", "pipeline.toml", "--shard", "1/2", "--out", "no"]).failed(2);
    assert!(said.contains("its state is carried") && !said.contains("model.small"), "{said}");
}

#[test]
fn what_cannot_be_cut_is_told() {
    let folder = folder("w0 w1 w2\nw1 w2 w0\n");
    let carried = ["run", "pipeline.toml", "--shard", "1/2", "--out", "no", "--set", "stage.one.state=carry"];
    let said = folder.txray(carried).failed(2);
    assert!(said.contains("[stage.one]: it is not read in shards: its state is carried"), "{said}");
    for shard in ["0/2", "3/2", "1", "a/b"] {
        let said = folder.txray(["run", "pipeline.toml", "--shard", shard]).failed(2);
        assert!(said.contains("such as 1/4 to 4/4"), "{said}");
    }
    // More parts than documents: some have none.
    let empty = folder.txray(["run", "pipeline.toml", "--shard", "1/5", "--out", "part-1-of-5"]).succeeded();
    assert!(empty.stdout.contains(" 0.0 % ") && !empty.stdout.contains("NaN"), "{}", empty.stdout);
    let parts = run_in_shards(&folder, 5, &[1, 2, 3, 4, 5], &[]);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    folder.txray([&["merge", "--out", "merged", "-q"][..], &parts].concat()).succeeded();
}

#[test]
fn shards_of_real_text_merge_to_the_bytes_of_one_run() {
    let Some(data) = data() else { return };
    let folder = Folder::new();
    folder.write(
        "pipeline.toml",
        r#"
        [corpus.wikitext]
        kind = "text"
        train = "wikitext-2/test.txt"
        valid = "wikitext-2/valid.txt"
        [corpus.treebank]
        kind = "conllu"
        test = "ud-ewt/en_ewt-ud-test.conllu"
        annotations = { pos = "upos" }
        [annotator.shape]
        kind = "regex"
        patterns = { NUMBER = "[0-9]+", CAPITAL = "\\b[A-Z][a-z]+" }
        [model.lm]
        kind = "lstm"
        embedding = 24
        hidden = 30
        vocabulary = { max_size = 4000 }
        task = { kind = "language-model", corpus = "wikitext" }
        train = { epochs = 1 }
        [stage.wikitext]
        model = "lm"
        corpus = "wikitext.valid"
        layers = ["token", "shape", "prediction"]
        [stage.treebank]
        model = "lm"
        corpus = "treebank.test"
        layers = ["token", "pos"]
        record = { kind = "top-k", k = 3, sign = "absolute" }
        "#,
    );
    let data = data.to_str().unwrap();
    folder.txray(["run", "pipeline.toml", "--data", data, "--out", "whole", "-q"]).succeeded();
    let parts = run_in_shards(&folder, 3, &[3, 1, 2], &["--data", data]);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    folder
        .txray([&["merge", "--data", data, "--out", "merged", "-q", "--store", "fresh"][..], &parts].concat())
        .succeeded();
    same_tables(&folder, "whole", "merged");
}
