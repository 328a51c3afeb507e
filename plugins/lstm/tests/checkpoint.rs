//! Checkpoints, whole and broken.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Tensors, Trainee, edit, loaded, random, reference};
use safetensors::{Dtype, SafeTensors};
use txray_lstm::{Lstm, LstmOptions};
use txray_plugin::{
    Carry, Component, Examples, Fault, Host, HostServices, Level, Model, NULL, Predict, PredictRequest, Task, Text,
    TrainRequest,
};

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
    let what =
        &["there are no weights in it: no model.safetensors, no pytorch_model.bin, and no other file that ends in"];
    refused(directory.path(), what);
    refused(&directory.path().join("nowhere"), &["nowhere", "config.json", "no such file"]);
    fs::remove_file(directory.path().join("config.json")).unwrap();
    refused(directory.path(), what);
}

#[test]
fn malformed_json_is_refused_with_its_place() {
    let directory = copy();
    fs::write(directory.path().join("config.json"), "{\"model_type\": \n oops").unwrap();
    refused(directory.path(), &["config.json", "line 2"]);
}

/// What the tensors tell need not be said.
#[test]
fn sizes_are_taken_from_the_tensors() {
    for key in ["vocab_size", "embedding_size", "hidden_size", "num_layers"] {
        assert!(comes_to(config(|c| drop(c.remove(key))).path()) == plain(), "{key}");
    }
    // The config of another program has others.
    for other in ["LSTM".into(), "gpt2".into(), serde_json::Value::Null] {
        let directory = config(|c| {
            c.insert("model_type".into(), other.clone());
            c.insert("vocab_size".into(), "many".into());
        });
        assert!(comes_to(directory.path()) == plain(), "{other}");
    }
    let directory = copy();
    fs::remove_file(directory.path().join("config.json")).unwrap();
    assert!(comes_to(directory.path()) == plain());
    // The host is told what would say so, and it does.
    let log = Log::default();
    Lstm::create(LstmOptions::default(), &Host::detached()).unwrap().load(&Host::new(&log), directory.path()).unwrap();
    let told = log.0.into_inner().unwrap().concat();
    let json = &told[told.find('{').unwrap()..];
    fs::write(directory.path().join("config.json"), json).unwrap();
    assert!(json.contains(r#""hidden_size":9"#) && comes_to(directory.path()) == plain(), "{told}");
}

#[test]
fn a_network_that_is_none_of_these_is_refused_in_words() {
    let gates = |count: usize| {
        let directory = weights(|tensors| {
            for (name, (_, shape, data)) in tensors.iter_mut().filter(|(name, _)| name.starts_with("lstm")) {
                data.truncate(data.len() / 4 * count);
                shape[0] = shape[0] / 4 * count;
                assert!(name.contains("_l"));
            }
        });
        fs::remove_file(directory.path().join("config.json")).unwrap();
        directory
    };
    refused(gates(1).path(), &["model.safetensors", "a plain RNN (`nn.RNN`)"]);
    refused(gates(2).path(), &["18 gate sums of 9 neurons"]);
    let without = |of: &'static str| {
        let directory = weights(|tensors| tensors.retain(|name, _| !name.starts_with(of)));
        fs::remove_file(directory.path().join("config.json")).unwrap();
        directory
    };
    refused(without("lstm").path(), &["there are no LSTM or GRU layers in it"]);
    refused(without("encoder").path(), &["there is no embedding in it"]);
}

/// The rows of a table of `docs/checkpoints.md`, by the head of its first column.
fn table_of_the_page(head: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/checkpoints.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with(&format!("| {head} |"))).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Whether a model predicts by a head over labels.
fn tells_labels(model: &Lstm, text: Text<'_>) -> bool {
    let Some(head) = model.describe().unwrap().heads.first().copied() else { return false };
    let count = if head.task == Task::Tagging { text.ids.len() } else { text.len() };
    let targets = vec![NULL; count];
    let (mut losses, mut counts) = (vec![0.0; text.len()], vec![0; text.len()]);
    let examples = Examples { text, targets: &targets };
    let mut request = PredictRequest::new(head.task, examples, &mut losses, &mut counts);
    head.task != Task::LanguageModel && model.predict(&Host::detached(), &mut request).is_ok()
}

#[test]
fn the_page_says_what_each_kind_can_do() {
    let table = table_of_the_page("checkpoint");
    let examples = [
        &["kinds/plain", "lstm"][..],
        &["kinds/gru"],
        &["kinds/rnn", "kinds/ddp", "kinds/compiled", "kinds/others"],
        &["kinds/bf16", "kinds/f16", "kinds/f64"],
        &["kinds/sharded", "kinds/pickled"],
        &["gru"],
        &["kinds/no-bias"],
        &["labels/last", "labels/concat", "labels/tagging"],
        &["kinds/headless", "kinds/classifier"],
        &["kinds/projected", "kinds/tied-alias"],
        &["kinds/bidirectional", "kinds/bidirectional-gru", "kinds/bidirectional-projected"],
    ];
    assert_eq!(table.len(), examples.len());
    let (host, ids) = (Host::detached(), [1, 2, 3, 4].repeat(20));
    let text = Text { ids: &ids, offsets: &[0, 80] };
    for (row, examples) in table.iter().zip(examples) {
        for example in examples {
            let model = loaded(&reference(example)).unwrap();
            let (documents, width) = ([vec![1, 5, 3], vec![7, 2]], model.describe().unwrap().sites[0].width);
            let can = [
                common::encode(&model, &documents, &[(0, width)], None, 1).is_ok(),
                common::predict(&model, &documents, None, &[], 1).is_ok() || tells_labels(&model, text),
                model.state(&host, None).is_ok(),
                Trainee::begin(loaded(&reference(example)).unwrap(), &TrainRequest::language_model(text, None, 1))
                    .is_ok(),
            ];
            let [read, predict, carry, mut train] = can.map(|can| if can { "yes" } else { "no" });
            let labelled = Examples { text, targets: &[1] };
            let request =
                TrainRequest { task: Task::Classification, classes: 2, train: labelled, valid: None, seed: 1 };
            if train == "no" && Trainee::begin(model, &request).is_ok() {
                train = "labels";
            }
            assert_eq!(row[1..], [read, predict, train, carry], "{example}, which is {}", row[0]);
        }
    }
}

#[test]
fn the_page_says_what_is_refused() {
    let bare = |change: &dyn Fn(&mut Tensors)| {
        let directory = weights(change);
        fs::remove_file(directory.path().join("config.json")).unwrap();
        directory
    };
    let renamed = |from: &'static str, to: &'static str| {
        bare(&|tensors| {
            let name = |name: String| name.replace(from, to);
            *tensors = std::mem::take(tensors).into_iter().map(|(key, tensor)| (name(key), tensor)).collect();
        })
    };
    let file = |name: &str, from: &str| {
        let directory = tempfile::tempdir().unwrap();
        fs::copy(reference(from), directory.path().join(name)).unwrap();
        directory
    };
    let two = file("a.safetensors", "lstm/model.safetensors");
    fs::copy(reference("gru/model.safetensors"), two.path().join("b.safetensors")).unwrap();
    let examples = [
        bare(&|tensors| {
            for (_, (_, shape, data)) in tensors.iter_mut().filter(|(name, _)| name.starts_with("lstm")) {
                data.truncate(data.len() / 4);
                shape[0] /= 4;
            }
        }),
        renamed("weight_", "kernel_"),
        renamed("lstm.weight_ih_l1", "decoder.weight_ih_l0"),
        renamed("encoder.weight", "attention.bias"),
        bare(&|tensors| {
            let norm = tensors["decoder.bias"].clone();
            tensors.insert("norm.weight".to_owned(), norm);
        }),
        renamed("decoder.weight", "decoder.weight_v"),
        bare(&|tensors| {
            let (kind, _, data) = tensors.get_mut("encoder.weight").unwrap();
            *kind = Dtype::I8;
            data.truncate(data.len() / 4);
        }),
        bare(&|tensors| tensors.get_mut("encoder.weight").unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes())),
        file("model.pt", "lstm/reference.json"),
        file("model.pt", "pickled/several.pt"),
        two,
        config(|config| drop(config.insert("hidden_size".into(), 8.into()))),
    ];
    let table = table_of_the_page("what is refused");
    assert_eq!(table.len(), examples.len());
    for (row, example) in table.iter().zip(&examples) {
        println!("{}", row[0]);
        refused(example.path(), &[&row[1]]);
    }
}

/// Left out, it would change what the layers read.
#[test]
fn a_layer_that_may_stand_before_the_others_is_not_left_out() {
    for bias in [false, true] {
        let directory = weights(|tensors| {
            let (dtype, _, data) = tensors["encoder.weight"].clone();
            tensors.insert("decoder.weight".into(), (dtype, vec![5, 5], data[..100].to_vec()));
            tensors.insert("decoder.bias".into(), (dtype, vec![5], data[..20].to_vec()));
            if !bias {
                tensors.remove("decoder.bias");
            }
        });
        refused(directory.path(), &["`decoder.weight`, 5 by 5, may stand between the embedding and the layers"]);
    }
}

#[test]
fn a_config_that_says_otherwise_than_the_tensors_is_refused() {
    refused(config(|c| drop(c.insert("cell".into(), "gru".into()))).path(), &["config.json says", "`gru`", "`lstm`"]);
    let directory = tempfile::tempdir().unwrap();
    let projected = reference("kinds").join("projected/model.safetensors");
    fs::copy(projected, directory.path().join("model.safetensors")).unwrap();
    fs::write(directory.path().join("config.json"), r#"{"model_type": "lstm", "proj_size": 0}"#).unwrap();
    refused(directory.path(), &["lstm.weight_hr_l0"]);
}

/// Keeps what it is told.
#[derive(Default)]
struct Log(std::sync::Mutex<Vec<String>>);

impl HostServices for Log {
    fn threads(&self) -> usize {
        1
    }
    fn log(&self, _: Level, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
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
    refused(
        weights(|t| drop(t.remove("lstm.bias_hh_l1"))).path(),
        &["model.safetensors", "no tensor `lstm.bias_hh_l1`"],
    );
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

/// The file of the weights that a checkpoint comes to: in one form, whatever it was.
#[track_caller]
fn comes_to(directory: &Path) -> Vec<u8> {
    common::bytes(&loaded(directory).unwrap())
}

fn plain() -> Vec<u8> {
    comes_to(&reference("lstm"))
}

#[test]
fn tensors_are_known_by_other_names() {
    for names in [
        ["encoder", "rnn", "decoder"],
        ["module.encoder", "module.lstm", "module.decoder"],
        ["_orig_mod.module.embedding", "_orig_mod.module.gru", "_orig_mod.module.fc"],
        ["model.embed", "model.core.lstm", "model.head"],
    ] {
        let directory = weights(|tensors| {
            *tensors = std::mem::take(tensors)
                .into_iter()
                .map(|(name, tensor)| {
                    let (module, rest) = name.split_once('.').unwrap();
                    let at = ["encoder", "lstm", "decoder"].iter().position(|known| *known == module).unwrap();
                    (format!("{}.{rest}", names[at]), tensor)
                })
                .collect();
        });
        assert!(comes_to(directory.path()) == plain(), "{names:?}");
    }
    // Of two that could be the embedding, neither is taken for it.
    let directory = weights(|tensors| {
        let encoder = tensors.remove("encoder.weight").unwrap();
        tensors.insert("emb.weight".to_owned(), encoder.clone());
        tensors.insert("embed.weight".to_owned(), encoder);
    });
    refused(directory.path(), &["unexpected", "emb.weight, embed.weight"]);
}

#[test]
fn other_floating_point_numbers_are_widened_or_rounded() {
    let values = |data: &[u8]| -> Vec<f32> { data.as_chunks::<4>().0.iter().map(|&v| f32::from_le_bytes(v)).collect() };
    let with = |dtype: Dtype, to: &dyn Fn(f32) -> Vec<u8>| {
        weights(|tensors| {
            for (kind, _, data) in tensors.values_mut() {
                (*kind, *data) = (dtype, values(data).into_iter().flat_map(to).collect());
            }
        })
    };
    assert!(comes_to(with(Dtype::F64, &|v| f64::from(v).to_le_bytes().to_vec()).path()) == plain());
    // The upper half of a value in single precision is it in bfloat16.
    let cut = |v: f32| f32::from_bits(v.to_bits() & 0xffff_0000);
    let expected = comes_to(with(Dtype::F32, &|v| cut(v).to_le_bytes().to_vec()).path());
    assert!(comes_to(with(Dtype::BF16, &|v| v.to_le_bytes()[2..].to_vec()).path()) == expected);
    // Half precision has 10 bits of 23, between 2^-14 and 2^16.
    let cut = |v: f32| if v.abs() < 2_f32.powi(-14) { 0.0 } else { f32::from_bits(v.to_bits() & !0x1fff) };
    let half = |v: f32| {
        let bits = cut(v).to_bits();
        let exponent = ((bits >> 23) & 0xff).saturating_sub(112) as u16;
        let sign = ((bits >> 16) & 0x8000) as u16;
        (sign | exponent << 10 | ((bits >> 13) & 0x3ff) as u16).to_le_bytes().to_vec()
    };
    let expected = comes_to(with(Dtype::F32, &|v| (cut(v) + 0.0).to_le_bytes().to_vec()).path());
    assert!(comes_to(with(Dtype::F16, &half).path()) == expected);
}

#[test]
fn biases_that_are_not_there_are_zero() {
    let of_layers = |name: &str| name.starts_with("lstm.bias");
    let expected =
        weights(|tensors| tensors.iter_mut().filter(|t| of_layers(t.0)).for_each(|(_, (.., data))| data.fill(0)));
    let directory = weights(|tensors| tensors.retain(|name, _| !of_layers(name)));
    assert!(comes_to(directory.path()) == comes_to(expected.path()));
    // Those of one layer alone are missing, not left out.
    let directory = weights(|tensors| tensors.retain(|name, _| !of_layers(name) || !name.ends_with("_l0")));
    refused(directory.path(), &["there is no tensor `lstm.bias_ih_l0`"]);
    let expected = weights(|tensors| tensors.get_mut("decoder.bias").unwrap().2.fill(0));
    let directory = weights(|tensors| drop(tensors.remove("decoder.bias")));
    assert!(comes_to(directory.path()) == comes_to(expected.path()));
}

#[test]
fn a_decoder_is_the_embedding_where_the_file_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(reference("gru").join("config.json")).unwrap();
    fs::write(directory.path().join("config.json"), config.replace(", \"tied\": true", "")).unwrap();
    let path = directory.path().join("model.safetensors");
    for (kept, alias) in [("encoder.weight", "decoder.weight"), ("decoder.weight", "encoder.weight")] {
        fs::copy(reference("gru").join("model.safetensors"), &path).unwrap();
        edit(&path, |tensors, metadata| {
            tensors.remove(alias).unwrap();
            metadata.insert(alias.to_owned(), kept.to_owned());
        });
        assert!(comes_to(directory.path()) == comes_to(&reference("gru")), "{kept}");
        // Of half of it nothing is made.
        edit(&path, |_, metadata| metadata.clear());
        refused(directory.path(), &[&format!("there is no tensor `{alias}`")]);
    }
}

#[test]
fn a_model_without_a_decoder_is_read_and_says_what_it_cannot_do() {
    let directory = weights(|tensors| tensors.retain(|name, _| !name.starts_with("decoder")));
    for fast in [true, false] {
        let host = Host::detached();
        let mut model = Lstm::create(LstmOptions { fast, ..LstmOptions::default() }, &host).unwrap();
        model.load(&host, directory.path()).unwrap();
        let documents = [vec![1, 5, 3], vec![7, 2]];
        let read = |model: &Lstm| common::encode(model, &documents, &[(0, 9), (1, 9)], None, 1).unwrap();
        let whole = loaded(&reference("lstm")).unwrap();
        for (a, b) in read(&model).iter().zip(&read(&whole)) {
            let [a, b] = [a, b].map(|reading| common::unsorted(reading, 9).concat());
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        assert_eq!(model.describe().unwrap().heads, []);
        let text = Text { ids: &[1, 2, 3, 4], offsets: &[0, 4] };
        let error = common::predict(&model, &documents, None, &[], 1).unwrap_err();
        assert!(error.message().contains("has no decoder"), "{error}");
        let error = Trainee::begin(model, &TrainRequest::language_model(text, None, 1)).unwrap_err();
        assert_eq!(error.fault(), Fault::Invalid);
        assert!(error.message().contains("has no decoder"), "{error}");
    }
    // Saved, it is as it was.
    let there = loaded(directory.path()).unwrap();
    let saved = tempfile::tempdir().unwrap();
    there.save(&Host::detached(), saved.path()).unwrap();
    assert!(comes_to(saved.path()) == common::bytes(&there));
}

#[test]
fn shards_are_read_by_their_index() {
    let directory = copy();
    let whole = directory.path().join("model.safetensors");
    for (number, of_shard) in [("1", true), ("2", false)] {
        let shard = directory.path().join(format!("model-{number}.safetensors"));
        fs::copy(&whole, &shard).unwrap();
        edit(&shard, |tensors, _| tensors.retain(|name, _| name.starts_with("lstm") == of_shard));
    }
    fs::remove_file(&whole).unwrap();
    let index = directory.path().join("model.safetensors.index.json");
    let map = |last: &str| format!(r#"{{"weight_map": {{"a": "model-1.safetensors", "b": "{last}"}}}}"#);
    fs::write(&index, map("model-2.safetensors")).unwrap();
    assert!(comes_to(directory.path()) == plain());
    fs::write(&index, map("model-3.safetensors")).unwrap();
    refused(directory.path(), &["model-3.safetensors", "no such file"]);
    for outside in ["../model-2.safetensors", "/model-2.safetensors", ".."] {
        fs::write(&index, map(outside)).unwrap();
        refused(directory.path(), &["index.json", "is no file beside it"]);
    }
}

#[test]
fn the_only_file_of_weights_is_found_by_its_ending() {
    let from = |name: &str, to: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        for to in to {
            fs::copy(reference(name), directory.path().join(to)).unwrap();
        }
        directory
    };
    let (safe, pickled) = ("lstm/model.safetensors", "pickled/pytorch_model.bin");
    assert!(comes_to(from(safe, &["epoch=3.safetensors"]).path()) == plain());
    for name in ["last.ckpt", "weights.pth", "a.pt", "b.bin"] {
        assert!(comes_to(from(pickled, &[name]).path()) == plain(), "{name}");
    }
    // Beside the state of an optimizer.
    assert!(comes_to(from(pickled, &["model.pt", "optimizer.pt", "scheduler.pt"]).path()) == plain());
    let several = "there are several files of weights in it";
    refused(from(pickled, &["epoch1.pt", "epoch2.pt"]).path(), &[several, "(epoch1.pt, epoch2.pt)"]);
    refused(from(safe, &["a.safetensors", "b.safetensors"]).path(), &[several, "(a.safetensors, b.safetensors)"]);
}

#[test]
fn cells_and_lists_of_layers_are_read() {
    let renamed = |called: fn(&str, &str) -> String| {
        weights(|tensors| {
            let name = |name: &str| match name.strip_prefix("lstm.").and_then(|rest| rest.rsplit_once("_l")) {
                Some((part, layer)) => called(part, layer),
                None => name.to_owned(),
            };
            *tensors = std::mem::take(tensors).into_iter().map(|(key, tensor)| (name(&key), tensor)).collect();
        })
    };
    assert!(comes_to(renamed(|part, layer| format!("rnns.{layer}.{part}_l0")).path()) == plain());
    assert!(comes_to(renamed(|part, layer| format!("cells.{layer}.{part}")).path()) == plain());
    // Which of these comes first their names do not say.
    let apart = renamed(|part, layer| format!("lstm{layer}.{part}_l0"));
    refused(apart.path(), &["recurrent layers in several modules (`lstm0`, `lstm1`)"]);
}

#[test]
fn parts_of_a_weight_are_called_so() {
    let parts = weights(|tensors| {
        let weight = tensors.remove("decoder.weight").unwrap();
        tensors.insert("decoder.parametrizations.weight.original1".to_owned(), weight);
    });
    refused(
        parts.path(),
        &["unexpected", "some are parts of a weight: `torch.nn.utils.parametrize.remove_parametrizations`"],
    );
}

/// Left out, biases would be 0.
#[test]
fn no_weight_of_a_pickle_is_left_out_because_of_its_type() {
    let directory = copy();
    fs::remove_file(directory.path().join("model.safetensors")).unwrap();
    fs::copy(reference("pickled/complex.pt"), directory.path().join("model.pt")).unwrap();
    refused(
        directory.path(),
        &["model.pt", "not a state dict that is read (of a type that is not read is `", "bias_ih_l0"],
    );
}

#[test]
fn of_several_pickled_models_none_is_chosen() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(reference("pickled/several.pt"), directory.path().join("model.pt")).unwrap();
    refused(directory.path(), &["model.pt", "there are several in it: `generator`, `critic`", "model.state_dict()"]);
}

/// Made by PyTorch, `tests/reference/make.py`.
#[test]
fn state_dicts_that_pytorch_pickled_are_read() {
    for name in ["pytorch_model.bin", "training.pt", "nested.pt"] {
        let directory = copy();
        fs::remove_file(directory.path().join("model.safetensors")).unwrap();
        let path = directory.path().join(name);
        fs::copy(reference("pickled").join(name), &path).unwrap();
        assert!(comes_to(directory.path()) == plain(), "{name}");
        let bytes = fs::read(&path).unwrap();
        for length in [0, 10, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            refused(directory.path(), &[name, "not a state dict that is read"]);
        }
        // Wherever a byte is another, it is read or refused.
        for at in (0..bytes.len()).step_by(3) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x20;
            fs::write(&path, bytes).unwrap();
            if let Err(error) = loaded(directory.path()) {
                assert_eq!(error.fault(), Fault::Invalid, "{error}");
            }
        }
    }
}

#[test]
fn what_is_not_read_is_told_in_words() {
    let copied = |from: &str, to: &str| {
        weights(|tensors| {
            let tensor = tensors[from].clone();
            tensors.insert(to.to_owned(), tensor);
        })
    };
    // Half of a reverse pass, and a layer that nothing is known of.
    refused(
        copied("lstm.weight_ih_l0", "lstm.weight_ih_l0_reverse").path(),
        &["no tensor `lstm.weight_hh_l0_reverse`"],
    );
    let what = &["unexpected tensors", ": norm.weight (read are an embedding, LSTM or GRU layers"];
    refused(copied("lstm.bias_hh_l0", "norm.weight").path(), what);
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

#[test]
fn a_decoder_that_is_said_to_be_apart_stays_so() {
    let host = Host::detached();
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    // It has the embedding's values, and the config says nonetheless that it is not it.
    for name in ["config.json", "model.safetensors"] {
        let bytes = fs::read(reference("gru").join(name)).unwrap();
        let bytes = String::from_utf8(bytes.clone()).map_or(bytes, |text| text.replace("true", "false").into_bytes());
        fs::write(first.path().join(name), bytes).unwrap();
    }
    let apart = loaded(first.path()).unwrap();
    assert_ne!(apart.describe().unwrap().parameters, loaded(&reference("gru")).unwrap().describe().unwrap().parameters);
    apart.save(&host, second.path()).unwrap();
    assert_eq!(loaded(second.path()).unwrap().describe().unwrap(), apart.describe().unwrap());
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

/// What a config says of labels is held against the tensors.
#[test]
fn a_config_that_says_other_labels_is_refused() {
    let with = |edit: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let directory = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors"] {
            fs::copy(reference("labels/last").join(name), directory.path().join(name)).unwrap();
        }
        let path = directory.path().join("config.json");
        let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut config);
        fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
        directory
    };
    refused(with(&|c| drop(c.insert("num_labels".into(), 4.into()))).path(), &["`fc.weight`", "[3, 6]", "[4, 6]"]);
    refused(with(&|c| drop(c.insert("pooling".into(), "concat".into()))).path(), &["`fc.weight`", "[3, 6]", "[3, 18]"]);
    refused(with(&|c| drop(c.insert("num_labels".into(), 1.into()))).path(), &["at least 2 labels"]);
    refused(with(&|c| drop(c.insert("task".into(), "regression".into()))).path(), &["unknown variant `regression`"]);
    // Pooling is `last` where it does not say, and without a task there is no head.
    let model = loaded(with(&|c| drop(c.remove("pooling"))).path()).unwrap();
    assert_eq!(model.describe().unwrap().heads.len(), 1);
    let model = loaded(with(&|c| drop(c.remove("task"))).path()).unwrap();
    assert_eq!(model.describe().unwrap().heads, []);
    let bidirectional = tempfile::tempdir().unwrap();
    let file = "model.safetensors";
    fs::copy(reference("kinds/bidirectional").join(file), bidirectional.path().join(file)).unwrap();
    fs::write(bidirectional.path().join("config.json"), r#"{"model_type": "lstm", "task": "tagging"}"#).unwrap();
    refused(bidirectional.path(), &["leave `task` out"]);
}
