//! Whole pipelines through the `txray` program, as its users run it.

#![allow(clippy::unwrap_used)]

mod bad_input;
mod durable;
