//! Generated papers are those of today's code. `TXRAY_UPDATE=1 cargo test --workspace --test papers` writes them.

#![allow(clippy::unwrap_used)]

use txray_host::Policy;
use txray_tests::path;

#[track_caller]
fn is_todays(file: &str, expected: &str) {
    let file = path("../docs").join(file);
    if std::env::var_os("TXRAY_UPDATE").is_some() {
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let name = file.display();
    assert!(found == expected, "{name} is not that of the code: run this with TXRAY_UPDATE=1, and read it");
}

#[test]
fn the_reference_of_the_configuration() {
    let registry = txray_built_in::registry(Policy::default()).unwrap();
    let catalogue = txray_engine::steps::catalogue();
    is_todays("configuration.md", &txray_engine::pipeline::reference(&catalogue, &registry));
}

#[test]
fn the_reference_of_the_tables() {
    is_todays("tables.md", &txray_tables::reference());
}

/// The rest of that page is written by hand.
#[test]
fn the_reference_of_a_models_config() {
    let page = std::fs::read_to_string(path("../docs/checkpoints.md")).unwrap();
    let (before, rest) = page.split_once("<!-- keys -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /keys -->\n").unwrap();
    let mut keys = String::new();
    txray_config::reference::section::<txray_lstm::Config>(&mut keys, "`config.json`");
    is_todays("checkpoints.md", &format!("{before}<!-- keys -->\n{keys}\n<!-- /keys -->\n{after}"));
}
