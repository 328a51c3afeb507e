//! The distances built into `txray`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod hellinger;

pub use hellinger::{Hellinger, Hellinger2020};

txray_plugin::components!(metrics = [Hellinger, Hellinger2020]);
