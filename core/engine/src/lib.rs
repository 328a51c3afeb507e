//! The engine of `txray`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod corpus;
pub mod document;
pub mod mass;
pub mod preferences;
pub mod registry;
pub mod tokens;
