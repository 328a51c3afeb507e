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
    let components = registry.plugins().iter().flat_map(|plugin| &plugin.info.components);
    is_todays("configuration.md", &txray_engine::pipeline::reference(&catalogue, components));
}

#[test]
fn the_reference_of_the_tables() {
    is_todays("tables.md", &txray_tables::reference());
}
