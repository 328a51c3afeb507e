//! A backend: the model plugins, built for one device as a dynamic library. It is nothing but the one exported symbol, so
//! that a backend for another device is another build of the same crates.
//!
//! ```text
//! txray-lstm --export!--> libtxray_cpu.so --txray_plugin_v1--> a pipeline's [plugin.cpu]
//! ```

txray_plugin::export!(txray_lstm::plugin);
