//! The built-in distances, loaded instead of linked: the same crate behind the same table, by the other way in.

txray_plugin::export!(txray_metrics::plugin);
