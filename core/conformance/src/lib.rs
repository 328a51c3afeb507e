//! Property suites that any `txray` plugin can be held to, and the strategies they draw from.
//!
//! ```text
//! strategies --drawn input--> a component, through the host's own handles --> what it gave
//!                                                                                |
//!     Finding { property, passed | skipped | failed with a counterexample } <--- held to its trait and its claims
//! ```
//!
//! A suite calls a component through the same table that a run calls it through, with generated input, and asks
//! whether it keeps what the trait of its interface promises and what it claims of itself. The author of a plugin in
//! Rust writes one line into a test:
//!
//! ```ignore
//! txray_conformance::metric_suite!(my_metric::plugin);
//! ```
//!
//! A built library, in whatever language, is held to the same suites by [`check`], which `txray plugin check` calls.
//!
//! A suite makes a component from the schema of its options: from its first `examples`, else from `{}` and the least
//! that required options need ([`Finding`]s say so where that is refused). Draws are the same in every run of one
//! [`Settings`]. What a property means is said where it is tested; the [`strategies`] are there for whoever changes
//! the method itself.
//!
//! # How exact
//!
//! Where a promise is that nothing changes (threads, rows beside, calls before), results are compared bit by bit. A
//! symmetric or bounded metric, one under renumbered features, and scores under permuted rows may be off by 1e-9,
//! relative above 1. A claimed identity and the triangle may be off by 1e-7: a distance that is the root of a sum
//! makes that of the last bit of the sum.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bench;
mod compare;
mod guarded;
mod lifecycle;
mod metric;
mod model;
mod options;
mod pruner;
mod sink;
mod source;
pub mod strategies;

/// The code of the page is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/research-extensions.md")]
struct ResearchExtensions;

#[doc(hidden)]
pub use bench::assert_conforms;
pub use bench::{Finding, Observer, Settings, Verdict, check};
#[doc(hidden)]
pub use txray_plugin::abi;

macro_rules! suites {
    ($($(#[$doc:meta])* $macro:ident: $interface:ident, $test:ident;)*) => { suites! { ($) $($(#[$doc])* $macro: $interface, $test;)* } };
    (($dollar:tt) $($(#[$doc:meta])* $macro:ident: $interface:ident, $test:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// The argument is the path of a `fn() -> &'static abi::Plugin`, such as [`txray_plugin::components!`] defines.
        #[macro_export]
        macro_rules! $macro {
            ($dollar plugin:path) => {
                #[test]
                fn $test() {
                    $dollar crate::assert_conforms($dollar plugin, $dollar crate::abi::$interface);
                }
            };
        }
    )*};
}

suites! {
    /// A test that holds every metric of a plugin to its suite: `metric_suite!(txray_metrics::plugin)`.
    metric_suite: METRIC, metrics_keep_what_they_promise;
    /// A test that holds every pruner of a plugin to its suite: `pruner_suite!(my_crate::plugin)`.
    pruner_suite: PRUNER, pruners_keep_what_they_promise;
    /// A test that holds every source of a plugin to its suite: `source_suite!(my_crate::plugin)`.
    source_suite: SOURCE, sources_keep_what_they_promise;
    /// A test that holds every sink of a plugin to its suite: `sink_suite!(my_crate::plugin)`.
    sink_suite: SINK, sinks_keep_what_they_promise;
    /// A test that holds every model of a plugin to its suite: `model_suite!(txray_lstm::plugin)`.
    model_suite: MODEL, models_keep_what_they_promise;
}
