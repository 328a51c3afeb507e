//! Manifests: that of a run which is repeated, and those that say whose files lie in an out directory.

use serde_json::Value;
use txray_engine::pipeline::Pipeline;
use txray_engine::steps::catalogue;
use txray_plugin::Host;
use txray_tables::{FORMAT, Input, Manifest, Output, PluginRecord, StepRecord, seal};
use txray_tests::Folder;

use crate::{Outcome, fuzz, put};

fn manifest(settings: Value) -> Manifest {
    let sha256 = "0".repeat(64);
    Manifest {
        format: FORMAT,
        version: "0.1.0".into(),
        pipeline: "quickstart".into(),
        folder: "configs".into(),
        data: None,
        instructions: "x86_64 avx2+fma".into(),
        seed: 1111,
        device: "cpu".into(),
        threads: 2,
        settings,
        inputs: vec![Input { path: "a.txt".into(), bytes: 3, sha256: sha256.clone() }],
        plugins: vec![PluginRecord { name: "txray-lstm".into(), version: "0.1.0".into(), sha256: None }],
        shard: None,
        steps: vec![StepRecord {
            name: "model.lm".into(),
            kind: "model".into(),
            seconds: 1.5,
            tokens: Some(9),
            ..Default::default()
        }],
        outputs: vec![Output { path: "stages/early/neurons.parquet".into(), sha256 }],
    }
}

#[test]
fn manifests() {
    let mut registry = crate::config::registry();
    let pipeline = txray_tests::path("../configs/quickstart.toml");
    let pipeline = Pipeline::read(&pipeline, &[], None, &catalogue(), &mut registry, &Host::detached()).unwrap();
    let seeds = vec![manifest(pipeline.settings).to_json().unwrap().into_bytes()];
    let words = [
        "\"format\"",
        "\"settings\"",
        "\"folder\"",
        "\"outputs\"",
        "\"figures\"",
        "\"seal\"",
        ",\n  \"seal\": \"",
        "\"..\"",
    ];
    let folder = Folder::new();
    fuzz("manifests", seeds, &words, move |input, _| {
        let path = folder.path("manifest.json");
        put(&path, input);
        let text = String::from_utf8_lossy(input);
        let sealed = Manifest::read_sealed(&text);
        // Whoever changes one can seal it again.
        let json = serde_json::from_slice::<Value>(input).ok();
        let again = json.as_ref().and_then(|json| seal::sealed(json).ok());
        for manifest in sealed.iter().chain(&again.and_then(|text| Manifest::read_sealed(&text))) {
            assert!(manifest.differences(manifest).is_empty() || manifest.outputs.len() > 1);
            assert!(manifest.inputs_changed(manifest).is_empty());
            manifest.steps.iter().for_each(|step| assert!(step.rate().is_none_or(f64::is_finite)));
        }
        match Manifest::read(&path) {
            Ok(read) => {
                let text = read.to_json().unwrap();
                let again = Manifest::read_sealed(&text).unwrap();
                assert_eq!(again.to_json().unwrap(), text, "a manifest is what was written");
            }
            Err(error) => assert!(!error.is_ours(), "{error}"),
        }
        match Pipeline::again(&path, &[], None, &catalogue(), &mut registry, &Host::detached()) {
            Ok(_) => Outcome::Read,
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{error}");
                if let txray_engine::error::Error::Config(diagnostics) = &error {
                    crate::config::look(diagnostics);
                }
                Outcome::Refused
            }
        }
    });
}
