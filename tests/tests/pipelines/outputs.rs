//! Whole outputs, as a user sees them: what is written here in `snapshots/` is what the terminal shows. What differs from run
//! to run (times, speeds, hashes, folders) is masked.
//!
//! `INSTA_UPDATE=always cargo test -p txray --test pipelines outputs` writes them anew; read the difference.

use insta::assert_snapshot;
use txray_tests::{Folder, SmallModel, rust_plugin};

/// Two small models read over a text and a table, one more that is trained, and two comparisons.
const PIPELINE: &str = r#"seed = 7

[corpus.news]
kind = "text"
train = "news.txt"
valid = "news.txt"

[corpus.reviews]
kind = "tsv"
test = "reviews.tsv"

[model.early]
path = "early"

[model.late]
path = "late"

[model.lm]
kind = "lstm"
embedding = 8
hidden = 8
task = { kind = "language-model", corpus = "news" }
train = { epochs = 2, batch = 2, bptt = 4, checkpoints = [1] }

[stage.early]
model = "early"
corpus = "news.valid"
layers = ["token", "word"]

[stage.late]
model = "late"
corpus = "news.valid"
layers = ["token", "word"]

[stage.moved]
model = "late"
corpus = "reviews.test"
layers = ["token", "label"]

[comparison.learning]
from = "early"
to = "late"

[comparison.transfer]
from = "late"
to = "moved"
metrics = ["hellinger", "hellinger-2020"]
weighting = "count"
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("pipeline.toml", PIPELINE);
    let word = |i: usize| format!("w{}", (i * i + 3 * i) % 11);
    let line = |line: usize| (0..12).map(|i| word(line * 5 + i)).collect::<Vec<_>>().join(" ");
    folder.write("news.txt", (0..40).map(|i| line(i) + "\n").collect::<String>());
    let rows = (0..30).map(|i| format!("{}\t{}\n", line(i * 3), ["bad", "good"][i % 2]));
    folder.write("reviews.tsv", format!("sentence\tlabel\n{}", rows.collect::<String>()));
    // As wide as real ones, so that no machine reads a million tokens a second: the columns keep their width.
    SmallModel::new(13, 256).write(&folder.path("early"));
    let mut late = SmallModel::new(13, 256);
    late.tensor("lstm.weight_hh_l0").2.iter_mut().for_each(|value| *value *= -0.5);
    late.write(&folder.path("late"));
    folder
}

/// The output without what differs from run to run.
fn plain(folder: &Folder, text: &str) -> String {
    let text = text.replace(&*folder.path("").to_string_lossy(), "FOLDER/");
    let mut speed_ends = None;
    let lines = text.lines().map(|line| {
        // The column of speeds is aligned to the right, and as wide as its header.
        if let Some(at) = line.find("tokens/s") {
            if line.contains("tokens   ") {
                speed_ends = Some(line[..at].chars().count() + "tokens/s".len());
                return line.trim_end().to_owned();
            }
        } else if line.is_empty() {
            speed_ends = None;
        }
        let chars: Vec<char> = line.chars().collect();
        let line: String = match speed_ends.filter(|&end| end <= chars.len() && chars[end - 1].is_ascii_digit()) {
            Some(end) => chars[..end - 8].iter().chain(&['.'; 8]).chain(&chars[end..]).collect(),
            None => line.to_owned(),
        };
        masked(&line).trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A line with its times, speeds, hashes and sizes masked. Losses depend on the processor's instructions.
fn masked(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for at in 0..words.len() {
        let next = words.get(at + 1).cloned().unwrap_or_default();
        let before = at.checked_sub(1).map(|at| words[at].clone()).unwrap_or_default();
        let word = words[at].trim_end_matches([',', ':']);
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        let is_hex = word.len() >= 12 && word.chars().all(|c| c.is_ascii_hexdigit());
        let mask = match next.as_str() {
            _ if is_hex => Some("HASH"),
            _ if ["loss", "perplexity"].contains(&before.as_str()) && is_number => Some("NUMBER"),
            "s" | "s," if is_number => Some("TIME"),
            "tokens/s" | "tokens/s," if is_number => Some("SPEED"),
            "B" | "kB" | "MB" if is_number => Some("SIZE"),
            _ => None,
        };
        if let Some(mask) = mask {
            words[at] = words[at].replace(word, mask);
        }
    }
    words.join(" ")
}

#[test]
fn a_run_and_what_is_told_of_it() {
    let folder = folder();
    let run = ["run", "pipeline.toml", "--out", "out", "--threads", "1"];
    let first = folder.txray(run).succeeded();
    let perplexity = first.stdout.lines().find(|line| line.trim_start().starts_with("lm ")).unwrap();
    let perplexity = perplexity.split_whitespace().last().unwrap();
    assert_snapshot!("run", plain(&folder, &first.stdout).replacen(perplexity, &".".repeat(perplexity.len()), 1));
    assert_snapshot!("run-progress", plain(&folder, &first.stderr));
    assert_snapshot!("run-again-progress", plain(&folder, &folder.txray(run).succeeded().stderr));
    let plan = |set: &str| plain(&folder, &folder.txray(["plan", "pipeline.toml", "--set", set]).succeeded().stdout);
    assert_snapshot!("plan", plan("stage.moved.layers=['token']"));
    let listed = plain(&folder, &folder.txray(["store", "list"]).succeeded().stdout);
    // By key, which differs from build to build.
    let mut steps: Vec<&str> = listed.lines().collect();
    let all = steps.pop().unwrap();
    steps.sort_by_key(|line| line.rsplit(' ').next());
    // Sizes are aligned to the right.
    let steps: Vec<String> = steps.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join("  ")).collect();
    assert_snapshot!("store-list", format!("{}\n{all}", steps.join("\n")));
    assert_snapshot!("files", folder.files("out").join("\n"));
}

#[test]
fn a_plan_of_what_was_never_made() {
    let folder = folder();
    assert_snapshot!("plan-new", plain(&folder, &folder.txray(["plan", "pipeline.toml"]).succeeded().stdout));
    assert_snapshot!("check", plain(&folder, &folder.txray(["check", "pipeline.toml"]).succeeded().stdout));
}

#[test]
fn a_library_that_is_looked_into() {
    let folder = Folder::new();
    let library = rust_plugin("energy");
    let inspected = folder.txray(["plugin", "inspect", library.to_str().unwrap()]).succeeded().stdout;
    let place = library.parent().unwrap().to_string_lossy().into_owned();
    assert_snapshot!("plugin-inspect", plain(&folder, &inspected.replace(&place, "TARGET")));
}

/// Twenty things that people get wrong: what stands in the pipeline, and what they wrote.
const MISTAKES: [(&str, &str, &str); 20] = [
    ("unknown-key", "hidden = 8", "hiden = 8"),
    ("unknown-table", "[stage.moved]", "[stages.moved]"),
    ("a-key-twice", "hidden = 8", "hidden = 8\nhidden = 9"),
    ("no-quotes", "path = \"early\"", "path = early"),
    ("a-string-for-a-number", "epochs = 2", "epochs = \"two\""),
    ("a-number-for-a-list", "layers = [\"token\", \"label\"]", "layers = 1"),
    ("a-missing-file", "news.txt", "newes.txt"),
    ("a-missing-directory", "path = \"late\"", "path = \"later\""),
    ("no-kind", "kind = \"tsv\"\n", ""),
    ("another-kind-of-corpus", "kind = \"tsv\"", "kind = \"csv\""),
    ("a-model-that-is-not-there", "model = \"late\"", "model = \"latest\""),
    ("a-checkpoint-that-is-not-kept", "model = \"late\"", "model = \"lm@2\""),
    ("a-corpus-without-its-split", "corpus = \"reviews.test\"", "corpus = \"reviews\""),
    ("a-layer-that-the-corpus-lacks", "[\"token\", \"label\"]", "[\"token\", \"pos\"]"),
    ("a-metric-that-is-not-there", "\"hellinger-2020\"", "\"wasserstein\""),
    ("a-value-out-of-range", "bptt = 4", "dropout = 1.5"),
    ("a-checkpoint-after-the-end", "checkpoints = [1]", "checkpoints = [1, 10]"),
    ("no-task", "task = { kind = \"language-model\", corpus = \"news\" }\n", ""),
    ("a-name-that-is-a-path", "[stage.moved]", "[stage.\"../moved\"]"),
    ("names-that-differ-in-case", "[stage.moved]", "[stage.Early]"),
];

#[test]
fn twenty_mistakes() {
    let folder = folder();
    for (name, right, wrong) in MISTAKES {
        assert!(PIPELINE.contains(right), "{name}");
        folder.write("pipeline.toml", PIPELINE.replacen(right, wrong, 1));
        let ran = folder.txray(["check", "pipeline.toml"]);
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{name}: {}", ran.stderr);
        assert_snapshot!(format!("mistake-{name}"), plain(&folder, &ran.stderr));
    }
}
