//! Generated papers are those of today's code. `TXRAY_UPDATE=1 cargo test --workspace --test papers` writes them.

#![allow(clippy::unwrap_used)]

use txray_host::Policy;
use txray_tests::is_todays;

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
