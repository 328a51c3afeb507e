//! The distances built into `txray`.
//!
//! ```text
//! MetricBatch { offsets, p, q, counts, masses, features } --> one distance a neuron, [neurons]
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod hellinger;

pub use hellinger::{Hellinger, Hellinger2020};

txray_plugin::components!(metrics = [Hellinger, Hellinger2020]);
