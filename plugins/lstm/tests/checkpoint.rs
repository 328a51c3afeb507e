//! Checkpoints, whole and broken.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Tensors, edit, loaded, random, reference};
use safetensors::{Dtype, SafeTensors};
use txray_lstm::{Lstm, LstmOptions};
use txray_plugin::{Component, Fault, Host, Model};

/// A copy of the reference checkpoint, to be broken.
fn copy() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(reference("lstm").join(name), directory.path().join(name)).unwrap();
    }
    directory
}

/// Loading fails, and the message holds all of `parts`.
#[track_caller]
fn refused(directory: &Path, parts: &[&str]) {
    let error = loaded(directory).unwrap_err();
    assert_eq!(error.fault(), Fault::Invalid, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "`{part}` is not in: {error}");
    }
}

fn config(edit: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> tempfile::TempDir {
    let directory = copy();
    let path = directory.path().join("config.json");
    let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
    directory
}

fn weights(change: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let directory = copy();
    edit(&directory.path().join("model.safetensors"), |tensors, _| change(tensors));
    directory
}

#[test]
fn a_missing_file_is_named() {
    let directory = copy();
    fs::remove_file(directory.path().join("model.safetensors")).unwrap();
    refused(directory.path(), &["model.safetensors", "no such file"]);
    refused(&directory.path().join("nowhere"), &["nowhere", "config.json", "no such file"]);
}

#[test]
fn malformed_json_is_refused_with_its_place() {
    let directory = copy();
    fs::write(directory.path().join("config.json"), "{\"model_type\": \n oops").unwrap();
    refused(directory.path(), &["config.json", "line 2"]);
}

#[test]
fn a_missing_size_is_named() {
    refused(config(|c| drop(c.remove("hidden_size"))).path(), &["config.json", "hidden_size"]);
}

#[test]
fn another_model_type_is_refused() {
    refused(config(|c| drop(c.insert("model_type".into(), "gpt2".into()))).path(), &["config.json", "gpt2"]);
}

#[test]
fn absurd_sizes_are_refused() {
    for (key, value) in [
        ("vocab_size", 0_u64),
        ("embedding_size", 0),
        ("hidden_size", 0),
        ("num_layers", 0),
        ("num_layers", 1 << 40),
        ("hidden_size", u64::MAX),
        ("vocab_size", u64::MAX),
    ] {
        refused(config(|c| drop(c.insert(key.into(), value.into()))).path(), &["config.json", &value.to_string()]);
    }
    refused(config(|c| drop(c.insert("hidden_size".into(), (-1).into()))).path(), &["config.json"]);
    // Sizes that are possible, but not those of the file.
    refused(config(|c| drop(c.insert("vocab_size".into(), u32::MAX.into()))).path(), &["encoder.weight", "[23, 5]"]);
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = fs::read(reference("lstm").join("model.safetensors")).unwrap();
    for length in [0, 4, 8, 100, whole.len() - 1] {
        let directory = copy();
        fs::write(directory.path().join("model.safetensors"), &whole[..length]).unwrap();
        refused(directory.path(), &["model.safetensors", "not a whole safetensors file"]);
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let header = |length: u64, json: &str| [&length.to_le_bytes(), json.as_bytes(), &[0; 64]].concat();
    let offsets = |json: &str| header(json.len() as u64, json);
    for bytes in [
        header(u64::MAX, "{}"),
        header(99_000_000, "{}"),
        offsets(r#"{"encoder.weight":{"dtype":"F32","shape":[23,5],"data_offsets":[0,460]}}"#),
        offsets(r#"{"encoder.weight":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}"#),
        offsets(r#"{"encoder.weight":{"dtype":"F32","shape":[16],"data_offsets":[64,0]}}"#),
        // One tensor twice, and two in one place.
        offsets(
            r#"{"x":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},"x":{"dtype":"F32","shape":[8],"data_offsets":[32,64]}}"#,
        ),
        offsets(
            r#"{"x":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},"y":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}"#,
        ),
    ] {
        let directory = copy();
        fs::write(directory.path().join("model.safetensors"), bytes).unwrap();
        refused(directory.path(), &["model.safetensors", "not a whole safetensors file"]);
    }
}

/// A file may have holes, and so be larger than any memory.
#[test]
fn a_file_larger_than_memory_is_refused() {
    let directory = copy();
    let path = directory.path().join("model.safetensors");
    // Where the file system has no room for such a file, there is nothing to see.
    if fs::File::create(&path).unwrap().set_len(1 << 43).is_ok() {
        refused(directory.path(), &["model.safetensors", "reading it needs 8796.1 GB of memory, and this machine has"]);
    }
}

#[test]
fn a_vocabulary_larger_than_memory_is_refused() {
    let mut model =
        Lstm::create(LstmOptions { embedding: 60_000, ..LstmOptions::default() }, &Host::detached()).unwrap();
    let error = model.initialize(&Host::detached(), u32::MAX as usize, 1).unwrap_err();
    assert!(
        error.message().starts_with("a model with a vocabulary of 4294967295 needs 1034.2 TB of memory"),
        "{error}"
    );
    for vocabulary in [0, usize::MAX] {
        let error = model.initialize(&Host::detached(), vocabulary, 1).unwrap_err();
        assert!(error.message().starts_with("the vocabulary of the model is "), "{error}");
    }
}

#[test]
fn a_missing_tensor_is_named() {
    refused(weights(|t| drop(t.remove("decoder.bias"))).path(), &["model.safetensors", "no tensor `decoder.bias`"]);
}

#[test]
fn unexpected_tensors_are_named() {
    let directory = weights(|t| {
        let bias = t["decoder.bias"].clone();
        t.insert("lstm.bias_ih_l0_reverse".into(), bias);
    });
    refused(directory.path(), &["model.safetensors", "unexpected", "lstm.bias_ih_l0_reverse"]);
    // A layer more than the config says.
    refused(config(|c| drop(c.insert("num_layers".into(), 1.into()))).path(), &["unexpected", "lstm.weight_hh_l1"]);
}

#[test]
fn a_wrong_shape_is_named() {
    let directory = weights(|t| t.get_mut("encoder.weight").unwrap().1 = vec![5, 23]);
    refused(directory.path(), &["encoder.weight", "[5, 23]", "[23, 5]"]);
}

#[test]
fn a_wrong_type_is_named() {
    let directory = weights(|t| t.get_mut("encoder.weight").unwrap().0 = Dtype::I32);
    refused(directory.path(), &["encoder.weight", "I32", "F32"]);
}

#[test]
fn values_that_are_not_finite_are_named() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let directory =
            weights(|t| t.get_mut("lstm.weight_hh_l1").unwrap().2[12..16].copy_from_slice(&value.to_le_bytes()));
        refused(directory.path(), &["lstm.weight_hh_l1", &value.to_string(), "element 3"]);
    }
}

#[test]
fn saving_and_loading_keep_every_bit() {
    let host = Host::detached();
    let model = random(LstmOptions { embedding: 3, hidden: 4, layers: 2, ..LstmOptions::default() }, 11, 5);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    model.save(&host, first.path()).unwrap();
    let again = loaded(first.path()).unwrap();
    assert_eq!(again.describe().unwrap(), model.describe().unwrap());
    again.save(&host, second.path()).unwrap();
    for name in ["config.json", "model.safetensors"] {
        let bytes = |d: &tempfile::TempDir| fs::read(d.path().join(name)).unwrap();
        assert_eq!(bytes(&first), bytes(&second), "{name}");
    }
}

/// The weights have the permissions of the file beside them, those of any new file.
#[cfg(unix)]
#[test]
fn files_are_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    random(LstmOptions::default(), 3, 5).save(&Host::detached(), directory.path()).unwrap();
    let mode = |name| fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("model.safetensors"), mode("config.json"));
}

#[test]
fn what_pytorch_wrote_is_written_again_tensor_by_tensor() {
    let directory = tempfile::tempdir().unwrap();
    loaded(&reference("lstm")).unwrap().save(&Host::detached(), directory.path()).unwrap();
    let [ours, theirs] = [directory.path(), &reference("lstm")].map(|d| fs::read(d.join("model.safetensors")).unwrap());
    let [ours, theirs] = [&ours, &theirs].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    assert_eq!(ours.len(), theirs.len());
    for (name, tensor) in theirs.tensors() {
        assert_eq!(ours.tensor(&name).unwrap(), tensor, "{name}");
    }
}
