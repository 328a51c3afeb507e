//! What the author of a `txray` plugin writes against.
//!
//! ```text
//! the pipeline's options --> Component::create --> a PreferenceMetric, Pruner, ReportSink, ActivationSource or Model
//!                                                     |  views of the caller's memory in, results out, panics caught
//! host <--C tables of txray-abi-- guard <--plugin!--- +
//! ```
//!
//! A plugin is a dynamic library (`crate-type = ["cdylib"]`) with one or more components: metrics, pruners, sinks,
//! sources, models. A component is a type that implements [`Component`] (its name and options) and the trait of its
//! interface; [`plugin!`] exports them. A whole metric:
//!
//! ```
//! use txray_plugin::{Claim, Component, Host, MetricBatch, NoOptions, PreferenceMetric, Result};
//!
//! /// Total variation: half the sum of |p - q|.
//! struct TotalVariation;
//!
//! impl Component for TotalVariation {
//!     const KIND: &'static str = "total-variation";
//!     const ABOUT: &'static str = "half the L1 distance";
//!     const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Bounded, Claim::Triangle];
//!     type Options = NoOptions;
//!
//!     fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
//!         Ok(Self)
//!     }
//! }
//!
//! impl PreferenceMetric for TotalVariation {
//!     fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
//!         for (row, out) in batch.rows().zip(out) {
//!             *out = row.p.iter().zip(row.q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! txray_plugin::plugin!(metrics = [TotalVariation]);
//! # fn main() {}
//! ```
//!
//! A pipeline wires it in by path and names it like a built-in:
//!
//! ```toml
//! [plugin.tv]
//! path = "libtotal_variation.so"
//!
//! [comparison.adaptation]
//! metrics = ["hellinger", "total-variation"]
//! ```
//!
//! A panic inside a call becomes an error of that call. A plugin runs with the rights of whoever runs `txray`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
mod error;
#[doc(hidden)]
pub mod guard;
mod host;
mod metric;
mod model;
mod pruner;
pub mod random;
mod sink;
mod source;
mod strings;

pub use {schemars, serde, serde_json, txray_abi as abi};

pub use error::{Error, Fault, Result};
pub use host::{Host, HostServices, Level, Threads};
pub use metric::{Claim, MetricBatch, Pair, PreferenceMetric};
pub use model::{
    Ability, Block, Capabilities, Carry, Emit, Encode, EncodeRequest, Examples, Extend, Head, Lack, Mask, Model,
    ModelDescription, Opaque, OwnedText, Predict, PredictRequest, Rule, RuleKind, Score, Sign, SiteRequest, State,
    Task, Text, Train, TrainReport, TrainRequest,
};
pub use pruner::{Columns, Pruner};
pub use sink::ReportSink;
pub use source::{
    ActivationBatch, ActivationSource, EXAMPLES, LayerColumn, Moments, Site, SourceDescription, Unjoined,
};
pub use strings::{StringTable, Strings};
pub use txray_abi::{ExactSum, NULL};

/// A named thing that a plugin supplies, and how it is made from options.
pub trait Component: Sized {
    /// The name a pipeline calls it by; of a metric, its column, too. Letters a to z, digits, `.`, `_` and `-`, of which
    /// `.` and `-` do not come first, 64 at most.
    const KIND: &'static str;
    /// What it is, in one line.
    const ABOUT: &'static str;
    /// What a metric claims of its distances.
    const CLAIMS: &'static [Claim] = &[];
    /// The devices that this build of a model runs on.
    const DEVICES: &'static [&'static str] = &["cpu"];
    /// Doc comments on the fields are what the user reads; unknown keys should be denied.
    type Options: serde::de::DeserializeOwned + schemars::JsonSchema;

    /// Cheap: it is also how a pipeline's options are checked before anything runs.
    fn create(options: Self::Options, host: &Host<'_>) -> Result<Self>;
}

/// The options of a component that has none.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// Exports components from a dynamic library: `plugin!(metrics = [A, B], models = [C])`. The lists are `metrics`,
/// `pruners`, `sinks`, `sources`, `models`, in this order, each optional.
///
/// It is [`components!`] and [`export!`] in one, for crates that are a `cdylib` and nothing else.
#[macro_export]
macro_rules! plugin {
    ($($list:tt)*) => {
        $crate::components!($($list)*);
        $crate::export!(plugin);
    };
}

/// Defines `pub fn plugin()`, the table of these components, without exporting it: for crates that are linked
/// statically. The lists are those of [`plugin!`].
#[macro_export]
macro_rules! components {
    ($(metrics = [$($metric:ty),* $(,)?] $(,)?)? $(pruners = [$($pruner:ty),* $(,)?] $(,)?)?
     $(sinks = [$($sink:ty),* $(,)?] $(,)?)? $(sources = [$($source:ty),* $(,)?] $(,)?)?
     $(models = [$($model:ty),* $(,)?] $(,)?)?) => {
        #[cfg(panic = "abort")]
        compile_error!("a txray plugin must unwind: with panic = \"abort\" a panic would take the whole run down");

        /// The components of this crate, for [`union!`]($crate::union).
        #[derive(Debug)]
        pub struct Components;

        impl $crate::guard::PluginSet for Components {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            const METRICS: $crate::guard::Makers<dyn $crate::PreferenceMetric> =
                &[&[$($($crate::guard::metric::<$metric>()),*)?]];
            const PRUNERS: $crate::guard::Makers<dyn $crate::Pruner> =
                &[&[$($($crate::guard::pruner::<$pruner>()),*)?]];
            const SINKS: $crate::guard::Makers<dyn $crate::ReportSink> =
                &[&[$($($crate::guard::sink::<$sink>()),*)?]];
            const SOURCES: $crate::guard::Makers<dyn $crate::ActivationSource> =
                &[&[$($($crate::guard::source::<$source>()),*)?]];
            const MODELS: $crate::guard::Makers<dyn $crate::Model> =
                &[&[$($($crate::guard::model::<$model>()),*)?]];
        }

        $crate::plugin_of!(Components);
    };
}

/// Defines `pub fn plugin()` as [`components!`] does, of all that some crates define by that: `union!(some_crate, another)`.
#[macro_export]
macro_rules! union {
    ($($of:ident),* $(,)?) => {
        struct Components;

        impl $crate::guard::PluginSet for Components {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            const METRICS: $crate::guard::Makers<dyn $crate::PreferenceMetric> =
                &[$(<$of::Components as $crate::guard::PluginSet>::METRICS[0]),*];
            const PRUNERS: $crate::guard::Makers<dyn $crate::Pruner> =
                &[$(<$of::Components as $crate::guard::PluginSet>::PRUNERS[0]),*];
            const SINKS: $crate::guard::Makers<dyn $crate::ReportSink> =
                &[$(<$of::Components as $crate::guard::PluginSet>::SINKS[0]),*];
            const SOURCES: $crate::guard::Makers<dyn $crate::ActivationSource> =
                &[$(<$of::Components as $crate::guard::PluginSet>::SOURCES[0]),*];
            const MODELS: $crate::guard::Makers<dyn $crate::Model> =
                &[$(<$of::Components as $crate::guard::PluginSet>::MODELS[0]),*];
        }

        $crate::plugin_of!(Components);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! plugin_of {
    ($components:ty) => {
        /// The plugin that this crate is.
        pub fn plugin() -> &'static $crate::abi::Plugin {
            static PLUGIN: std::sync::OnceLock<$crate::abi::Plugin> = std::sync::OnceLock::new();
            PLUGIN.get_or_init($crate::guard::plugin::<$components>)
        }
    };
}

/// Exports the table that a function gives as this dynamic library's plugin: `export!(some_crate::plugin)`.
///
/// Put it only in a crate that is a `cdylib` and nothing else: two exports in one binary collide.
#[macro_export]
macro_rules! export {
    ($plugin:path) => {
        /// The entry of this plugin.
        #[allow(unsafe_code, reason = "the one symbol of the C boundary")]
        #[unsafe(no_mangle)]
        pub extern "C" fn txray_plugin_v1() -> *const $crate::abi::Plugin {
            $crate::guard::entry($plugin)
        }
    };
}
