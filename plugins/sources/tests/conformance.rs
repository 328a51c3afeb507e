//! The built-in sources keep what every source promises.

txray_conformance::source_suite!(txray_sources::plugin);
