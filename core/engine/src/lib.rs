//! The engine of `txray`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod compare;
pub mod config;
pub mod corpus;
pub mod error;
pub mod manifest;
pub mod mass;
pub mod plan;
pub mod preferences;
pub mod prune;
pub mod reading;
pub mod run;
pub mod stage;
pub mod store;
pub mod tables;
pub mod tokens;
pub mod training;
