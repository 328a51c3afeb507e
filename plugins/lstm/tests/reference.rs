//! Against values that PyTorch computed: `tests/reference/make.py`.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::{Trainee, encode, loaded, ragged, reference, state, unsorted};
use safetensors::SafeTensors;
use serde_json::Value;
use txray_lstm::{HeadOptions, Lstm, LstmOptions, TrainOptions};
use txray_plugin::{
    Component, Examples, Host, Model, NULL, Predict, PredictRequest, State, Task, Text, Threads, TrainRequest,
};

/// The models, PyTorch's values for them, and where they lie.
fn models() -> [(Lstm, Value, PathBuf); 2] {
    ["lstm", "gru"].map(|cell| {
        let directory = reference(cell);
        let values = std::fs::read(directory.join("reference.json")).unwrap();
        (loaded(&directory).unwrap(), serde_json::from_slice(&values).unwrap(), directory)
    })
}

fn documents(values: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(values["documents"].clone()).unwrap()
}

#[track_caller]
fn near(ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "element {i}: {a}, but {b} in PyTorch");
    }
}

#[test]
fn every_activation_agrees() {
    for (model, values, _) in models() {
        let hidden: Vec<Vec<Vec<Vec<f32>>>> = serde_json::from_value(values["hidden"].clone()).unwrap();
        for (document, layers) in documents(&values).into_iter().zip(hidden) {
            // Alone, and side by side.
            for copies in [1, 20] {
                let readings = encode(&model, &vec![document.clone(); copies], &[(0, 9), (1, 9)], None, 2).unwrap();
                for (reading, theirs) in readings.iter().zip(&layers) {
                    near(&unsorted(reading, 9).concat(), &theirs.concat().repeat(copies), 2e-6);
                }
            }
        }
    }
}

/// Checkpoints of the kinds that people have, without a `config.json`: `tests/reference/kinds.py`.
#[test]
fn every_kind_of_checkpoint_gives_what_pytorch_computes() {
    let documents: [Vec<u32>; 5] =
        [vec![3], vec![0, 9, 4, 4, 7], vec![10, 2, 1, 8, 5, 6, 3, 0, 2], vec![1, 5], vec![6, 6, 2, 9, 10, 1, 7]];
    let mut kinds = 0;
    for place in std::fs::read_dir(reference("kinds")).unwrap() {
        let place = place.unwrap().path();
        let sites: BTreeMap<String, Vec<Vec<Vec<f32>>>> =
            serde_json::from_slice(&std::fs::read(place.join("sites.json")).unwrap()).unwrap();
        let model = loaded(&place).unwrap();
        let described = model.describe().unwrap().sites;
        let names: Vec<&str> = described.iter().map(|site| site.name.as_str()).collect();
        assert_eq!(names, sites.keys().collect::<Vec<_>>(), "{}", place.display());
        let requests: Vec<(usize, usize)> = described.iter().map(|site| site.width).enumerate().collect();
        for (reading, (site, theirs)) in encode(&model, &documents, &requests, None, 2).unwrap().iter().zip(&sites) {
            let width = theirs[0][0].len();
            assert_eq!(reading.moments[0].len(), width, "{site} of {}", place.display());
            near(&unsorted(reading, width).concat(), &theirs.concat().concat(), 2e-6);
        }
        kinds += 1;
    }
    assert_eq!(kinds, 19);
}

/// The state after a text is what its last token gave: outputs and cells.
#[test]
fn carried_activations_and_state_agree() {
    for (_, values, place) in models() {
        let carried: Vec<Vec<Vec<f32>>> = serde_json::from_value(values["carried"].clone()).unwrap();
        let theirs: Vec<Vec<Vec<f32>>> = serde_json::from_value(values["state"].clone()).unwrap();
        let host = Host::detached();
        let mut model = Lstm::create(LstmOptions { cell_sites: true, ..LstmOptions::default() }, &host).unwrap();
        model.load(&host, &place).unwrap();
        let sites: Vec<_> = (0..model.describe().unwrap().sites.len()).map(|site| (site, 9)).collect();
        let readings = encode(&model, &documents(&values), &sites, Some(&mut state(&model)), 2).unwrap();
        let readings: Vec<Vec<Vec<f32>>> = readings.iter().map(|reading| unsorted(reading, 9)).collect();
        let of_a_layer = sites.len() / 2;
        near(&readings[of_a_layer].concat(), &carried[1].concat(), 2e-6);
        near(&readings[0].concat(), &carried[0].concat(), 2e-6);
        let ours: Vec<f32> = readings.iter().flat_map(|tokens| tokens.last().unwrap()).copied().collect();
        near(&ours, &theirs.concat().concat(), 4e-6);
    }
}

#[test]
fn likelihoods_agree() {
    for (model, values, _) in models() {
        let documents = documents(&values);
        let (ids, offsets) = ragged(&documents);
        let text = Text { ids: &ids, offsets: &offsets };
        for (state, key, tokens) in
            [(State::Reset, "nll", ids.len() - documents.len()), (State::Carry, "carried_nll", ids.len() - 1)]
        {
            let mut carried = (state == State::Carry).then(|| common::state(&model));
            let score = model.score(&Host::new(&Threads(2)), text, carried.as_mut()).unwrap();
            assert_eq!(score.tokens, tokens as u64);
            let theirs = values[key].as_f64().unwrap();
            assert!((score.nll - theirs).abs() < 1e-6 * theirs, "{state:?}: {}, but {theirs} in PyTorch", score.nll);
        }
    }
}

#[test]
fn an_epoch_of_training_agrees() {
    for (_, values, place) in models() {
        let trained = &values["trained"];
        let train: TrainOptions = serde_json::from_value(trained["options"].clone()).unwrap();
        let host = Host::detached();
        let mut model = Lstm::create(LstmOptions { train, ..LstmOptions::default() }, &host).unwrap();
        model.load(&host, &place).unwrap();
        let (ids, offsets) = ragged(&documents(&values));
        let mut trainee =
            Trainee::begin(model, &TrainRequest::language_model(Text { ids: &ids, offsets: &offsets }, None, 0))
                .unwrap();
        let report = trainee.step(&host, None).unwrap();
        let loss = trained["loss"].as_f64().unwrap();
        assert!((report.loss - loss).abs() < 1e-5, "{} or {loss}", report.loss);

        let directory = tempfile::tempdir().unwrap();
        trainee.model.save(&host, directory.path()).unwrap();
        let bytes = std::fs::read(directory.path().join("model.safetensors")).unwrap();
        let before = std::fs::read(place.join("model.safetensors")).unwrap();
        let (file, before) = (SafeTensors::deserialize(&bytes).unwrap(), SafeTensors::deserialize(&before).unwrap());
        for (name, theirs) in trained["weights"].as_object().unwrap() {
            let theirs: Vec<f32> = serde_json::from_value(theirs.clone()).unwrap();
            let floats = |file: &SafeTensors<'_>| -> Vec<f32> {
                let (values, _) = file.tensor(name).unwrap().data().as_chunks::<4>();
                values.iter().map(|&v| f32::from_le_bytes(v)).collect()
            };
            near(&floats(&file), &theirs, 1e-5);
            assert_ne!(floats(&file), floats(&before), "{name} was not trained");
        }
    }
}

/// Classifiers and a tagger that PyTorch made, trained and saved: `tests/reference/labels.py`.
#[test]
fn heads_over_labels_agree() {
    let mut heads = 0;
    for place in std::fs::read_dir(reference("labels")).unwrap() {
        let place = place.unwrap().path();
        let values: Value = serde_json::from_slice(&std::fs::read(place.join("reference.json")).unwrap()).unwrap();
        let config: Value = serde_json::from_slice(&std::fs::read(place.join("config.json")).unwrap()).unwrap();
        let targets: Vec<i64> = serde_json::from_value(values["targets"].clone()).unwrap();
        let targets: Vec<u32> = targets.into_iter().map(|target| u32::try_from(target).unwrap_or(NULL)).collect();
        let (ids, offsets) = ragged(&documents(&values));
        let examples = Examples { text: Text { ids: &ids, offsets: &offsets }, targets: &targets };
        let task: Task = serde_json::from_value(config["task"].clone()).unwrap();

        let train: TrainOptions = serde_json::from_value(values["options"].clone()).unwrap();
        let pooling = config.get("pooling").map(|pooling| serde_json::from_value(pooling.clone()).unwrap());
        let host = Host::detached();
        let options =
            LstmOptions { train, task: HeadOptions { pooling: pooling.unwrap_or_default() }, ..LstmOptions::default() };
        let mut model = Lstm::create(options, &host).unwrap();
        model.load(&host, &place).unwrap();
        let theirs: Vec<Vec<f32>> = serde_json::from_value(values["log_probabilities"].clone()).unwrap();
        let mut ours = vec![0.0; targets.len() * 3];
        let (mut losses, mut counts) = (vec![0.0; offsets.len() - 1], vec![0; offsets.len() - 1]);
        let request = PredictRequest::new(task, examples, &mut losses, &mut counts);
        let mut request = PredictRequest { probabilities: Some(&mut ours), ..request };
        model.predict(&Host::new(&Threads(2)), &mut request).unwrap();
        near(&ours, &theirs.concat().iter().map(|logarithm| logarithm.exp()).collect::<Vec<_>>(), 2e-6);

        let request = TrainRequest { task, classes: 3, train: examples, valid: None, seed: 0 };
        let mut trainee = Trainee::begin(model, &request).unwrap();
        for loss in values["losses"].as_array().unwrap() {
            let found = trainee.step(&host, None).unwrap().loss;
            let loss = loss.as_f64().unwrap();
            assert!((found - loss).abs() < 1e-5, "{}: {found} or {loss}", place.display());
        }
        let directory = tempfile::tempdir().unwrap();
        trainee.model.save(&host, directory.path()).unwrap();
        let bytes = std::fs::read(directory.path().join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        for (name, theirs) in values["weights"].as_object().unwrap() {
            let theirs: Vec<f32> = serde_json::from_value(theirs.clone()).unwrap();
            let ours = name.replace("embedding.", "encoder.").replace("fc.", "classifier.");
            let cell = if task == Task::Tagging { "gru." } else { "lstm." };
            let (ours, _) = file.tensor(&ours.replace("rnn.", cell)).unwrap().data().as_chunks::<4>();
            near(&ours.iter().map(|&value| f32::from_le_bytes(value)).collect::<Vec<_>>(), &theirs, 5e-5);
        }
        heads += 1;
    }
    assert_eq!(heads, 5);
}
