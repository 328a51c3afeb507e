//! Whole pipelines through the `txray` program, as its users run it.

#![allow(clippy::unwrap_used)]

mod annotators;
mod backend;
mod bad_input;
mod comparing;
mod comparing_bad;
mod configs;
mod coverage;
mod durable;
mod editors;
mod finetuning;
mod out;
mod outputs;
mod plugin_command;
mod plugin_new;
mod plugins;
// It has `/dev/full`, and tells which signals a process handles.
#[cfg(target_os = "linux")]
mod printing;
mod pytorch;
mod readme;
mod recorded;
mod recording;
mod replicates;
mod shards;
mod significance;
mod trajectory;
mod troubleshooting;
mod trust;
mod wired;
