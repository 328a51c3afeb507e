//! What a plugin says of itself, as the loader reads it.

use txray_host::{Origin, PluginError, Registry};
use txray_plugin::Host;
use txray_plugin::abi::{METRIC, MODEL, Plugin, SINK, Slice};

use crate::{Outcome, fuzz};

#[test]
fn plugin_info() {
    let built_in = crate::config::registry();
    let seeds = built_in.plugins().iter().map(|plugin| serde_json::to_vec(&plugin.info).unwrap());
    let words = [
        "\"name\"",
        "\"version\"",
        "\"components\"",
        "\"interface\"",
        METRIC,
        MODEL,
        SINK,
        "\"kind\"",
        "\"options\"",
        "\"claims\"",
        "\"devices\"",
        "cuda:0",
        "cpu",
    ];
    fuzz("plugin_info", seeds.collect(), &words, |input, _| {
        let real = txray_metrics::plugin();
        // Tables live as long as the process; their text is read once.
        let table: &'static Plugin = Box::leak(Box::new(Plugin {
            magic: real.magic,
            abi_major: real.abi_major,
            abi_minor: real.abi_minor,
            size: real.size,
            info: Slice::new(input),
            query: real.query,
        }));
        let mut registry = Registry::new();
        let origin = Origin::Library { path: "libx.so".into(), sha256: String::new() };
        match registry.add(table, origin) {
            Ok(plugin) => {
                let components = plugin.info.components.clone();
                registry.set_device("cuda:0");
                for component in &components {
                    assert!(component.interface == METRIC, "the table has no {}", component.interface);
                    // A name that it does not supply after all is an error of the plugin's.
                    let made = registry.metric(&component.kind, &serde_json::json!({}), &Host::detached());
                    let all = ["hellinger", "hellinger-2020", "jensen-shannon", "mass-shift", "total-variation"];
                    let has = all.contains(&&*component.kind);
                    assert_eq!(made.is_ok(), has, "{}", component.kind);
                }
                Outcome::Read
            }
            Err(error) => {
                assert!(matches!(error, PluginError::Malformed { .. }), "{error}");
                let message = error.to_string();
                assert!(!message.contains(char::is_control), "{message:?}");
                Outcome::Refused
            }
        }
    });
}
