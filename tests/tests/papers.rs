//! Generated papers are those of today's code. `TXRAY_UPDATE=1 cargo test --workspace --test papers` writes them.

#![allow(clippy::unwrap_used)]

use txray_host::{Origin, Registry};
use txray_tests::path;

#[test]
fn the_reference_of_the_configuration() {
    let mut registry = Registry::new();
    for plugin in [txray_metrics::plugin(), txray_lstm::plugin()] {
        registry.add(plugin, Origin::BuiltIn).unwrap();
    }
    let expected = txray_engine::config::reference(&registry);
    let file = path("../docs/configuration.md");
    if std::env::var_os("TXRAY_UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "docs/configuration.md is not that of the code: run this with TXRAY_UPDATE=1, and read it"
    );
}
