//! What users get wrong. The program says what failed, where, and what to do; ends with 2, for it is theirs to mend; and
//! leaves nothing half-written behind.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use txray_tests::{Folder, SmallModel, c_plugin, rust_plugin};

/// A model that is trained on `text.txt` and read there.
const TRAIN: &str = r#"
[corpus.news]
kind = "text"
train = "text.txt"

[model.lm]
kind = "lstm"
embedding = 4
hidden = 4
task = { kind = "language-model", corpus = "news" }
train = { epochs = 1, batch = 2, bptt = 4 }

[stage.late]
model = "lm"
corpus = "news.train"
"#;

/// A model in the directory `model` that is read over `text.txt`.
const READ: &str = r#"
[corpus.news]
kind = "text"
train = "text.txt"

[model.lm]
path = "model"

[stage.late]
model = "lm"
corpus = "news.train"
"#;

const TEXT: &str = "w0 w1 w2 w1 w0 w2\nw2 w2 w1 w0 w0 w1\nw1 w0 w1 w2 w2 w0\n";

/// A folder with a pipeline and a text.
fn folder(pipeline: &str, text: impl AsRef<[u8]>) -> Folder {
    let folder = Folder::new();
    folder.write("pipeline.toml", pipeline);
    folder.write("text.txt", text);
    folder
}

/// A folder with a pipeline that reads a small model, which `change` has made bad.
fn with_model(change: impl FnOnce(&mut SmallModel)) -> (Folder, PathBuf) {
    let folder = folder(READ, TEXT);
    let mut model = SmallModel::new(5, 4);
    change(&mut model);
    let directory = folder.path("model");
    model.write(&directory);
    (folder, directory)
}

/// The run fails as the user's to mend, leaving nothing. Gives what it said.
#[track_caller]
fn refused(folder: &Folder) -> String {
    let said = folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).failed(2);
    println!("{said}\n");
    assert_eq!(folder.files("out"), [""; 0], "nothing is left: {said}");
    assert!(!folder.path("out/.partial").exists());
    said
}

/// The pipeline is refused before anything runs: there is not even an out directory.
#[track_caller]
fn refused_early(folder: &Folder) -> String {
    let said = refused(folder);
    assert!(!folder.path("out").exists(), "{said}");
    folder.txray(["check", "pipeline.toml"]).failed(2);
    said
}

#[track_caller]
fn says(said: &str, all: &[&str]) {
    for part in all {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

#[test]
fn nothing_is_wrong_without_a_fault() {
    let folder = folder(TRAIN, TEXT);
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let (folder, _) = with_model(|_| {});
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
}

// Texts

#[test]
fn a_missing_corpus_file() {
    let folder = folder(&TRAIN.replace("text.txt", "texts.txt"), TEXT);
    let said = refused_early(&folder);
    says(&said, &["no such file", "texts.txt", "pipeline.toml:4:9"]);
}

#[test]
fn a_text_that_is_not_utf_8() {
    let folder = folder(TRAIN, b"w0 w1\nw2 caf\xe9 w0\nw1\n");
    says(&refused_early(&folder), &["pipeline.toml:4:9", "text.txt:2", "not UTF-8", "byte 12"]);
    // Where it is not yet looked at before anything runs.
    folder.write("text.txt", ["w0 w1\n".repeat(200).as_bytes(), b"w2 caf\xe9 w0\nw1\n"].concat());
    says(&refused(&folder), &["[corpus.news]", "text.txt:201", "not UTF-8", "byte 1206"]);
}

#[test]
fn a_text_without_a_document() {
    for text in ["", "\n  \n\t\n"] {
        let said = refused_early(&folder(TRAIN, text));
        says(&said, &["train", "text.txt", "no document", "pipeline.toml:4:9", "nothing but white space"]);
    }
}

#[test]
fn a_text_of_which_the_vocabulary_knows_no_word() {
    let (folder, _) = with_model(|_| {});
    folder.write("text.txt", "drei chinesen\nmit dem kontrabass\n");
    let said = refused(&folder);
    says(&said, &["[stage.late]", "news.train", "no word"]);
}

#[test]
fn a_vocabulary_without_a_word() {
    let folder = folder(&TRAIN.replace("hidden = 4", "hidden = 4\nvocabulary = { min_count = 50 }"), TEXT);
    let said = refused(&folder);
    says(&said, &["[model.lm]", "min_count", "50"]);
}

// Model directories

#[test]
fn a_truncated_safetensors_file() {
    let (folder, directory) = with_model(|_| {});
    let path = directory.join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 7, 20, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let said = refused_early(&folder);
        says(&said, &["pipeline.toml:7:8", "model.safetensors"]);
    }
}

#[test]
fn a_safetensors_file_with_an_oversized_header() {
    let (folder, directory) = with_model(|_| {});
    let mut bytes = u64::MAX.to_le_bytes().to_vec();
    bytes.extend_from_slice(b"{}");
    std::fs::write(directory.join("model.safetensors"), bytes).unwrap();
    says(&refused_early(&folder), &["pipeline.toml:7:8", "model.safetensors"]);
}

#[test]
fn a_tensor_of_another_shape() {
    let (folder, _) = with_model(|model| {
        let (_, shape, values) = model.tensor("lstm.weight_hh_l0");
        *shape = vec![12, 4];
        values.truncate(48);
    });
    says(
        &refused_early(&folder),
        &["pipeline.toml:7:8", "model.safetensors", "`weight_hh_l0` has 12 rows, but `weight_ih_l0` has 16"],
    );
}

#[test]
fn a_tensor_of_another_type() {
    let (folder, directory) = with_model(|_| {});
    let path = directory.join("model.safetensors");
    // In a header of the same length, the bytes of an F32 are those of two I16.
    let bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut json: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    json["decoder.bias"] =
        json!({ "dtype": "I16", "shape": [10], "data_offsets": json["decoder.bias"]["data_offsets"] });
    let json = json.to_string();
    let mut changed = (json.len() as u64).to_le_bytes().to_vec();
    changed.extend_from_slice(json.as_bytes());
    changed.extend_from_slice(&bytes[8 + header..]);
    std::fs::write(&path, changed).unwrap();
    says(&refused_early(&folder), &["pipeline.toml:7:8", "model.safetensors", "decoder.bias", "I16", "F32"]);
}

#[test]
fn a_missing_tensor_and_one_too_many() {
    let (folder, _) = with_model(|model| model.tensors.retain(|tensor| tensor.0 != "lstm.bias_ih_l0"));
    says(&refused_early(&folder), &["pipeline.toml:7:8", "model.safetensors", "lstm.bias_ih_l0"]);
    let (folder, _) = with_model(|model| model.tensors.push(("attention.weight".to_owned(), vec![1], vec![0.0])));
    says(&refused_early(&folder), &["pipeline.toml:7:8", "model.safetensors", "attention.weight"]);
}

#[test]
fn weights_that_are_no_numbers() {
    for bad in [f32::NAN, f32::INFINITY] {
        let (folder, _) = with_model(|model| model.tensor("lstm.weight_ih_l0").2[7] = bad);
        says(&refused_early(&folder), &["pipeline.toml:7:8", "model.safetensors", "lstm.weight_ih_l0", "element 7"]);
    }
}

#[test]
fn an_activation_that_is_no_number_is_told_with_its_document_in_any_window() {
    let (folder, _) = with_model(|model| {
        // Of the words, `w2` alone overflows.
        let (_, _, values) = model.tensor("lstm.weight_ih_l0");
        values.iter_mut().for_each(|value| *value *= 1e38);
        let (_, shape, values) = model.tensor("encoder.weight");
        let width = shape[1];
        values[4 * width..].iter_mut().for_each(|value| *value *= 1e38);
    });
    // More than a window of the reader holds.
    let lines = (0..40_000).map(|line| if line == 37_123 { "w0 w2\n" } else { "w0 w1 w1 w0\n" });
    folder.write("text.txt", lines.collect::<String>());
    says(&refused(&folder), &["[stage.late]", "lstm.0.hidden is not finite", "in document 37123,"]);
}

#[test]
fn weights_too_large_to_compute_with() {
    let (folder, _) = with_model(|model| {
        let (_, _, values) = model.tensor("lstm.weight_ih_l0");
        values.iter_mut().for_each(|value| *value *= 1e38);
        let (_, _, values) = model.tensor("encoder.weight");
        values.iter_mut().for_each(|value| *value *= 1e38);
    });
    says(&refused(&folder), &["[stage.late]", "lstm.0.hidden", "document"]);
}

/// Rows of an embedding to spare, for speed.
#[test]
fn a_vocabulary_smaller_than_the_models_is_none() {
    let (folder, directory) = with_model(|_| {});
    let tokenizer = std::fs::read(directory.join("tokenizer.json")).unwrap();
    SmallModel::new(64, 4).write(&directory);
    std::fs::write(directory.join("tokenizer.json"), tokenizer).unwrap();
    folder.txray(["run", "pipeline.toml"]).succeeded();
}

#[test]
fn a_vocabulary_that_is_not_the_models() {
    let (folder, directory) = with_model(|_| {});
    let other = folder.path("other");
    SmallModel::new(9, 4).write(&other);
    std::fs::copy(other.join("tokenizer.json"), directory.join("tokenizer.json")).unwrap();
    says(&refused_early(&folder), &["pipeline.toml:7:8", "tokenizer.json", "9", "5"]);
}

#[test]
fn a_model_directory_that_lacks_a_file() {
    for (file, words) in
        [("tokenizer.json", "there is no such file"), ("model.safetensors", "there are no weights in it")]
    {
        let (folder, directory) = with_model(|_| {});
        std::fs::remove_file(directory.join(file)).unwrap();
        says(&refused_early(&folder), &["model", file, words, "pipeline.toml:7:8"]);
    }
    let (folder, directory) = with_model(|_| {});
    std::fs::remove_file(directory.join("config.json")).unwrap();
    // The tensors say the same.
    folder.txray(["run", "pipeline.toml"]).succeeded();
}

#[test]
fn files_of_a_model_that_are_something_else() {
    for (file, contents) in [("tokenizer.json", "{}"), ("tokenizer.json", "not JSON"), ("config.json", "[1, 2]")] {
        let (folder, directory) = with_model(|_| {});
        std::fs::write(directory.join(file), contents).unwrap();
        says(&refused_early(&folder), &[file, "pipeline.toml:7:8"]);
    }
    // The tensors are what a plugin reads, whatever the config of another program says.
    let (folder, directory) = with_model(|_| {});
    std::fs::write(directory.join("config.json"), r#"{"model_type": "gpt2"}"#).unwrap();
    folder.txray(["run", "pipeline.toml"]).succeeded();
    std::fs::write(directory.join("model.safetensors"), b"\x02\0\0\0\0\0\0\0{}").unwrap();
    says(
        &refused_early(&folder),
        &[
            "no plugin reads the model in",
            "`lstm` says: ",
            "there are no LSTM or GRU layers in it",
            "pipeline.toml:7:8",
        ],
    );
}

#[test]
fn an_option_that_contradicts_the_checkpoint() {
    let (folder, _) = with_model(|_| {});
    folder.write("pipeline.toml", READ.replace("path = \"model\"", "path = \"model\"\nhidden = 8"));
    says(
        &refused_early(&folder),
        &["`hidden` asks for lstm.0.hidden (8)", "has lstm.0.hidden (4)", "pipeline.toml:8:10"],
    );
    folder.write("pipeline.toml", READ.replace("path = \"model\"", "path = \"model\"\nhidden = 4\ncell_sites = true"));
    folder.txray(["check", "pipeline.toml"]).succeeded();
}

// Pipelines

#[test]
fn stages_of_different_neurons() {
    let wider = TRAIN
        .replace("[corpus.news]\nkind = \"text\"\ntrain = \"text.txt\"\n", "")
        .replace("lm", "wide")
        .replace("late", "b");
    let wider = wider.replace("hidden = 4", "hidden = 8");
    let compared = "\n[comparison.c]\nfrom = \"late\"\nto = \"b\"\n";
    let folder = folder(&[TRAIN, &wider, compared].concat(), TEXT);
    let told = "the stages do not compare: `late` reads lstm.0.hidden (4), `b` lstm.0.hidden (8)";
    says(&refused_early(&folder), &[told, "pipeline.toml:31:6"]);
}

/// What does not need the step that fails is done all the same, and kept.
#[test]
fn a_step_that_fails_beside_others() {
    let other = "\n[corpus.other]\nkind = \"text\"\ntrain = \"other.txt\"\n\n[stage.other]\nmodel = \"lm\"\ncorpus = \"other.train\"\n\n\
                 [stage.again]\nmodel = \"lm\"\ncorpus = \"news.train\"\nlayers = [\"word\"]\n\n\
                 [comparison.c]\nfrom = \"late\"\nto = \"other\"\n";
    let folder = folder(&[TRAIN, other].concat(), TEXT);
    folder.write("other.txt", ["w0 w1\n".repeat(200).as_bytes(), b"w2 caf\xe9 w0\n"].concat());
    let said = refused(&folder);
    says(&said, &["[corpus.other]", "other.txt:201", "not made because of that: stage.other, comparison.c"]);
    says(&said, &["4 steps are done, and kept in", "the same command goes on from there"]);
    folder.write("other.txt", "w0 w1\n");
    let told = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded().stderr;
    assert_eq!(told.matches("there already").count(), 3, "{told}");
}

#[test]
fn a_pipeline_that_is_missing_or_no_toml() {
    let folder = Folder::new();
    let said = refused_early(&folder);
    says(&said, &["pipeline.toml", "No such file"]);
    folder.write("pipeline.toml", "seed = 1\n[corpus.a\nkind = \"text\"\n");
    says(&refused_early(&folder), &["pipeline.toml:2"]);
    folder.write("pipeline.toml", b"seed = 1\n# caf\xe9\n");
    says(&refused_early(&folder), &["pipeline.toml", "not UTF-8", "line 2"]);
}

#[test]
fn an_unknown_key() {
    let folder = folder(&TRAIN.replace("hidden = 4", "hiden = 4"), TEXT);
    says(&refused_early(&folder), &["unknown key `hiden`", "pipeline.toml:9:1", "did you mean `hidden`?"]);
}

#[test]
fn a_value_of_another_type() {
    let folder = folder(&TRAIN.replace("epochs = 1", "epochs = \"one\""), TEXT);
    says(&refused_early(&folder), &["pipeline.toml:11:20", "expected", "integer"]);
}

#[test]
fn a_name_given_twice() {
    let folder = folder(&format!("{TRAIN}\n[model.lm]\nkind = \"lstm\"\n"), TEXT);
    says(&refused_early(&folder), &["pipeline.toml:17", "duplicate"]);
}

#[test]
fn models_that_begin_from_each_other() {
    let models = "\n[model.a]\ninit = \"b\"\n\n[model.b]\ninit = \"a\"\n";
    let folder = folder(&format!("{TRAIN}{models}"), TEXT);
    says(&refused_early(&folder), &["begin from each other", "`a` -> `b` -> `a`", "pipeline.toml:18:8"]);
}

#[test]
fn names_that_lead_nowhere() {
    let here = folder(&TRAIN.replace("model = \"lm\"", "model = \"lmm\""), TEXT);
    says(&refused_early(&here), &["there is no model `lmm`", "pipeline.toml:14:9", "did you mean `lm`?"]);
    let here = folder(&TRAIN.replace("model = \"lm\"", "model = \"lm@1\""), TEXT);
    says(&refused_early(&here), &["`lm` keeps no checkpoint of epoch 1", "pipeline.toml:14:9", "checkpoints = [1]"]);
}

#[test]
fn an_option_that_the_plugin_refuses() {
    let folder = folder(&TRAIN.replace("epochs = 1", "dropout = 1.5"), TEXT);
    // The caret stands at the value.
    says(&refused_early(&folder), &["1.5 is not in [0, 1)", "pipeline.toml:11:21"]);
}

#[test]
fn an_assignment_of_the_command_line() {
    let folder = folder(TRAIN, TEXT);
    for (assignment, what) in
        [("model.lm.hiden=4", "there are `embedding`, `hidden`"), ("model.lm.hidden=x", "integer")]
    {
        let said = folder.txray(["run", "pipeline.toml", "--out", "out", "--set", assignment]).failed(2);
        println!("{said}\n");
        says(&said, &["--set", what]);
    }
}

#[test]
fn many_faults_are_told_at_once() {
    let pipeline = r#"sed = 1

[corpus.news]
kind = "text"
train = "nowhere.txt"

[corpus.fine]
kind = "text"
train = "text.txt"

[model.lm]
kind = "lstm"
task = { kind = "language-model", corpus = "fine" }
train = { dropout = 1.5 }

[stage.early]
model = "ml"
corpus = "fine.train"

[stage.late]
model = "lm"
corpus = "fine.trian"
layers = ["tokens"]

[comparison.learning]
from = "earli"
to = "late"
metrics = ["helinger"]
"#;
    let said = refused_early(&folder(pipeline, TEXT));
    for place in ["1:1", "5:9", "14:21", "17:9", "22:10", "26:8", "28:12"] {
        says(&said, &[&format!("pipeline.toml:{place}]")]);
    }
    says(&said, &["7 errors"]);
}

// Where a run leaves its results

#[test]
fn an_out_directory_that_cannot_be_made() {
    let folder = folder(TRAIN, TEXT);
    for out in ["text.txt/out", "text.txt"] {
        let said = folder.txray(["run", "pipeline.toml", "--out", out]).failed(2);
        println!("{said}\n");
        says(&said, &["text.txt", "--out"]);
        assert_eq!(std::fs::read_to_string(folder.path("text.txt")).unwrap(), TEXT);
    }
    if cfg!(target_os = "linux") {
        let said = folder.txray(["run", "pipeline.toml", "--out", "/proc/txray"]).failed(2);
        println!("{said}\n");
        says(&said, &["/proc/txray", "--out"]);
    }
}

#[test]
fn a_failed_run_leaves_an_earlier_one_as_it_was() {
    let folder = folder(TRAIN, TEXT);
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let all =
        || folder.files("out").into_iter().map(|file| (std::fs::read(folder.path("out").join(&file)).unwrap(), file));
    let before: Vec<_> = all().collect();
    folder.write("text.txt", b"\xff");
    folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    assert!(all().eq(before), "{:?}", folder.files("out"));
}

// Plugins

fn plugin(folder: &Folder, path: &Path, more: &str) {
    folder.write("pipeline.toml", format!("[plugin.other]\npath = {path:?}\n{more}{TRAIN}"));
}

#[test]
fn a_plugin_that_is_missing_or_none() {
    let folder = folder(TRAIN, TEXT);
    plugin(&folder, Path::new("libnothing.so"), "");
    says(&refused_early(&folder), &["libnothing.so", "pipeline.toml:2:8"]);
    plugin(&folder, Path::new("text.txt"), "");
    says(&refused_early(&folder), &["text.txt", "dynamic library", "pipeline.toml:2:8"]);
    plugin(&folder, &c_plugin("no_entry"), "");
    says(&refused_early(&folder), &["no txray plugin", "pipeline.toml:2:8"]);
}

#[test]
fn a_plugin_of_another_hash() {
    let folder = folder(TRAIN, TEXT);
    let zeros = "0".repeat(64);
    plugin(&folder, &rust_plugin("energy"), &format!("sha256 = \"{zeros}\"\n"));
    says(&refused_early(&folder), &["sha256", &zeros, "pipeline.toml:3:10"]);
}
