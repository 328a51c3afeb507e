//! Everything that is built into `txray`, as a dynamic library: models built for the CPU, and what runs on it anyway. It is
//! nothing but the one exported symbol, so that a backend for another device is another build of the same crates.
//!
//! ```text
//! txray-metrics --+
//! txray-sources --+--union!--> libtxray_cpu.so --txray_plugin_v1--> a pipeline's [plugin.cpu]
//! txray-lstm -----+
//! ```

txray_plugin::union!(txray_metrics, txray_sources, txray_lstm);
txray_plugin::export!(plugin);
