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
//! makes that of the last bit of the sum. No eigenvalue of a claimed affinity may be more than 1e-9 below 0.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bench;
mod compare;
mod guarded;
mod lifecycle;
#[cfg(feature = "method")]
pub mod method;
mod metric;
mod model;
mod options;
mod pruner;
mod sink;
mod source;
pub mod strategies;

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

/// A test that holds a record rule of one's own to the laws of all record rules. The argument makes the rule
/// (`Box<dyn RecordRule>`) of a stage in which every activation counts:
/// `record_rule_suite!(|stage| Box::new(OverMean::of(&stage.neurons)))`, or with a name for the test,
/// `record_rule_suite!(over_mean: ...)`.
#[cfg(feature = "method")]
#[macro_export]
macro_rules! record_rule_suite {
    ($make:expr) => {
        $crate::record_rule_suite!(the_record_rule_keeps_the_laws: $make);
    };
    ($name:ident: $make:expr) => {
        #[test]
        fn $name() {
            $crate::method::assert_lawful(&$crate::method::record_rule(&$make, $crate::Settings::default()));
        }
    };
}

/// A test that holds a weighting of one's own to the laws of all weightings: `weighting_suite!(Surprisal)`, or with a name for
/// the test, `weighting_suite!(surprisal: Surprisal)`.
#[cfg(feature = "method")]
#[macro_export]
macro_rules! weighting_suite {
    ($weighting:expr) => {
        $crate::weighting_suite!(the_weighting_keeps_the_laws: $weighting);
    };
    ($name:ident: $weighting:expr) => {
        #[test]
        fn $name() {
            $crate::method::assert_lawful(&$crate::method::weighting(&$weighting, $crate::Settings::default()));
        }
    };
}
