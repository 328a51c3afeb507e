//! The built-in distances keep what every metric promises, and what they claim.

txray_conformance::metric_suite!(txray_metrics::plugin);
