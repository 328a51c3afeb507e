//! The plugins that are linked into `txray`: the program, the reference and the tests all have them from here.
//!
//! They come in through the tables of the C boundary, as loaded libraries do: linking is only another origin. Each of them
//! is a library, too, by a thin crate of its own (`plugins/cpu`).
//!
//! ```text
//! txray-metrics --+
//! txray-sources --+--> registry(policy) --> the program, the reference of the configuration, tests
//! txray-lstm -----+
//! ```

use txray_host::{Origin, PluginError, Policy, Registry};

/// The registry of a program that has them, and loads others as far as the policy allows.
///
/// # Errors
/// A plugin that breaks a rule of the boundary: a fault of ours.
pub fn registry(policy: Policy) -> Result<Registry, PluginError> {
    let mut registry = Registry::with_policy(policy);
    for plugin in [txray_metrics::plugin(), txray_sources::plugin(), txray_lstm::plugin()] {
        registry.add(plugin, Origin::BuiltIn)?;
    }
    Ok(registry)
}
