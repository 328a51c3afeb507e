//! Folders of models, and the options of components.

use std::path::Path;

use serde_json::{Value, json};
use txray_host::{FindError, Registry};
use txray_plugin::{EncodeRequest, ExactSum, Fault, Host, Model, SiteRequest, Text, abi};
use txray_tests::{Folder, SmallModel};

use crate::config::registry;
use crate::{Outcome, empty, fuzz, put};

const WORDS: [&str; 22] = [
    "\"F32\"",
    "\"F16\"",
    "\"F64\"",
    "\"BOOL\"",
    "\"dtype\"",
    "\"shape\"",
    "\"data_offsets\"",
    "\"__metadata__\"",
    "\"encoder.weight\"",
    "\"lstm.weight_ih_l0\"",
    "\"decoder.weight\"",
    "\"txray-lstm\"",
    "\"vocab_size\"",
    "\"hidden_size\"",
    "\"embedding_size\"",
    "\"num_layers\"",
    "\"cell\"",
    "\"gru\"",
    "\"tied\"",
    "\"trained_state\"",
    "\0\0\u{7f}",
    "\"epochs\"",
];

/// Folders of small models of every make, as the plugin writes them.
fn models(folder: &Folder) -> Vec<std::path::PathBuf> {
    let of = [
        json!({ "embedding": 4, "hidden": 3 }),
        json!({ "embedding": 4, "hidden": 4, "tied": true, "layers": 2 }),
        json!({ "embedding": 2, "hidden": 3, "cell": "gru" }),
    ];
    let host = Host::detached();
    let write = |(index, options): (usize, &Value)| {
        let path = folder.path(format!("model-{index}"));
        std::fs::create_dir(&path).unwrap();
        let mut model = registry().model("lstm", options, &host).unwrap();
        model.initialize(&host, 6, 1).unwrap();
        model.save(&host, &path).unwrap();
        path
    };
    let mut all: Vec<_> = of.iter().enumerate().map(write).collect();
    let foreign = folder.path("foreign");
    SmallModel::new(6, 3).write(&foreign);
    all.push(foreign);
    all
}

/// An error that whoever has the file can mend.
fn mendable(error: &txray_plugin::Error) {
    assert_eq!(error.fault(), Fault::Invalid, "{error}");
    assert!(!error.message().is_empty());
}

/// Loads a folder as a stage does, and reads with it.
fn load(registry: &Registry, path: &Path, copy: &Path) -> Outcome {
    let host = Host::detached();
    let new = || registry.model("lstm", &json!({ "cell_sites": true }), &host).unwrap();
    let mut model = new();
    if let Err(error) = model.load(&host, path) {
        mendable(&error);
        return Outcome::Refused;
    }
    let description = model.describe().unwrap();
    let ids: Vec<u32> = (0..7).map(|i| i % description.vocabulary as u32).collect();
    let text = Text { ids: &ids, offsets: &[0, 3, 3, 7] };
    // Weights may be such that values overflow.
    model.as_predict().unwrap().score(&host, text, None).err().iter().for_each(mendable);
    read(&*model, text).err().iter().for_each(mendable);
    // What was loaded is what is saved, to the byte.
    let save = |model: &dyn Model| {
        empty(copy);
        model.save(&host, copy).unwrap();
        ["config.json", "model.safetensors"].map(|file| std::fs::read(copy.join(file)).unwrap())
    };
    let saved = save(&*model);
    let mut again = new();
    again.load(&host, copy).unwrap();
    assert!(save(&*again) == saved, "a model that was saved is another");
    Outcome::Read
}

fn read(model: &dyn Model, text: Text<'_>) -> txray_plugin::Result<()> {
    let description = model.describe()?;
    let tokens = text.ids.len();
    let mut outs: Vec<_> = description
        .sites
        .iter()
        .map(|site| {
            let sums = || vec![ExactSum::ZERO; site.width];
            (vec![0; tokens], vec![0.0; tokens], sums(), sums(), sums())
        })
        .collect();
    let sites = outs.iter_mut().enumerate().map(|(site, (neurons, activations, sum, sum_abs, sum_sq))| {
        SiteRequest::top(site, 1, (neurons, activations), [sum, sum_abs, sum_sq])
    });
    let mut request = EncodeRequest { sites: sites.collect(), ..EncodeRequest::new(text) };
    model.as_encode().unwrap().encode(&Host::detached(), &mut request)
}

/// One file of a folder is another; the rest is as it should be.
fn file_of_a_model(name: &'static str, file: &'static str) {
    let folder = Folder::new();
    let models = models(&folder);
    let seeds = models.iter().map(|model| std::fs::read(model.join(file)).unwrap()).collect();
    let copy = folder.path("copy");
    let registry = registry();
    fuzz(name, seeds, &WORDS, move |input, seed| {
        let _ = &folder;
        let model = &models[seed];
        let kept = std::fs::read(model.join(file)).unwrap();
        put(&model.join(file), input);
        let outcome = load(&registry, model, &copy);
        put(&model.join(file), kept);
        outcome
    });
}

#[test]
fn weights() {
    file_of_a_model("weights", "model.safetensors");
}

#[test]
fn model_config() {
    file_of_a_model("model_config", "config.json");
}

/// Every built-in component takes options, or says which it does not.
#[test]
fn options() {
    let registry = registry();
    let train = json!({
        "epochs": 2, "batch": 4, "bptt": 8, "optimizer": "adamw", "learning_rate": 0.1, "clip": 0.25, "dropout": 0.1,
        "schedule": "cosine", "decay": 4.0, "warmup": 3, "patience": 2, "betas": [0.9, 0.999], "epsilon": 1e-8,
        "weight_decay": 0.01, "max_tokens": 100, "state": "carry",
    });
    let lstm = json!({
        "embedding": 4, "hidden": 4, "layers": 2, "cell": "gru", "tied": true, "cell_sites": true, "input_table": 0,
        "train": train,
    });
    let source = json!({ "path": "observations.tsv", "layers": ["token"], "width": { "hidden": 4 }, "site": "hidden" });
    let seeds = vec![b"{}".to_vec(), lstm.to_string().into_bytes(), source.to_string().into_bytes()];
    fuzz("options", seeds, &WORDS, move |input, _| {
        let Ok(options) = serde_json::from_slice::<Value>(input) else { return Outcome::Refused };
        let host = Host::detached();
        let mut outcome = Outcome::Refused;
        for component in registry.plugins().iter().flat_map(|plugin| &plugin.info.components) {
            let made = match component.interface.as_str() {
                abi::METRIC => registry.metric(&component.kind, &options, &host).map(drop),
                abi::MODEL => registry.model(&component.kind, &options, &host).map(drop),
                abi::SOURCE => registry.source(&component.kind, &options, &host).map(drop),
                other => panic!("no fuzzing of {other}"),
            };
            match made {
                Ok(()) => outcome = Outcome::Read,
                Err(FindError::Refused(error)) => mendable(&error),
                Err(other) => panic!("{other:?}"),
            }
        }
        outcome
    });
}
