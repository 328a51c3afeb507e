//! The built-in plugins as dynamic libraries, in place of those that are linked in.

use txray_tests::{Folder, rust_plugin};

/// The quickstart, cut short, with further tables in front of it.
fn quickstart(folder: &Folder, name: &str, tables: &str) {
    let config = std::fs::read_to_string(txray_tests::path("../configs/quickstart.toml")).unwrap();
    // Keys of the top level stand before any table.
    let (top, rest) = config.split_at(config.find("\n[corpus").unwrap());
    let file = format!("{name}.toml");
    folder.write(&file, format!("{top}\n{tables}\n{rest}"));
    let short = ["corpus.kitchen.train=800", "corpus.kitchen.valid=200", "corpus.harbour.train=300"];
    let short = short.iter().chain(&["corpus.harbour.valid=200", "model.lm.train.epochs=2"]);
    let set = short.flat_map(|assignment| ["--set", assignment]);
    folder.txray(["run", &file, "--out", name, "-q"].into_iter().chain(set)).succeeded();
}

#[test]
fn loaded_in_place_of_the_built_in_ones_they_give_the_same_bytes() {
    let folder = Folder::new();
    quickstart(&folder, "linked", "");
    let cpu = rust_plugin("txray-cpu");
    quickstart(&folder, "loaded", &format!("[plugin.cpu]\npath = {cpu:?}\n"));

    let manifest = std::fs::read(folder.path("loaded/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let loaded = manifest["plugins"].as_array().unwrap().iter().filter(|plugin| plugin["sha256"].is_string());
    let names: Vec<&str> = loaded.map(|plugin| plugin["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["txray-cpu"]);
    // Not taken from the store: the libraries are part of what a step depends on.
    let steps = manifest["steps"].as_array().unwrap();
    let cached = steps.iter().filter(|step| step["cached"] == true && step["kind"] != "text");
    assert_eq!(cached.count(), 0, "{manifest:#}");

    let (linked, loaded) = (folder.bytes("linked"), folder.bytes("loaded"));
    assert!(linked.len() > 15, "{:?}", linked.keys());
    assert!(linked == loaded, "a table differs between the linked and the loaded plugins");
}

#[test]
fn a_device_that_no_plugin_runs_on_is_told_with_those_there_are() {
    let folder = Folder::new();
    let config = std::fs::read_to_string(txray_tests::path("../configs/quickstart.toml")).unwrap();
    folder.write("pipeline.toml", format!("device = \"cuda:0\"\n{config}"));
    let said = folder.txray(["check", "pipeline.toml"]).failed(2);
    assert!(said.contains("no plugin runs `lstm` on the device") && said.contains("it runs on cpu"), "{said}");
    assert!(said.contains("pipeline.toml:1:10"), "{said}");
}

#[test]
fn the_library_has_everything_that_is_built_in() {
    let folder = Folder::new();
    let rows = |text: &str| -> Vec<String> {
        let kinds = text.lines().filter(|line| line.contains("txray."));
        let mut kinds: Vec<String> =
            kinds.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
        kinds.sort();
        kinds
    };
    let built_in = rows(&folder.txray(["plugin", "list"]).succeeded().stdout);
    let library = rust_plugin("txray-cpu").display().to_string();
    let loaded = rows(&folder.txray(["plugin", "inspect", &library]).succeeded().stdout);
    assert!(built_in.len() > 2 && built_in == loaded, "{built_in:?} and {loaded:?}");
}
