//! Generated papers are those of today's code. `TXRAY_UPDATE=1 cargo test --workspace --test papers` writes them.

#![allow(clippy::unwrap_used)]

use txray_host::Policy;
use txray_tests::{is_todays, path};

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
