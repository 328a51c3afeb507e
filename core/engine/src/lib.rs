//! The engine: everything between a TOML file and the out directory.
//!
//! ```text
//! pipeline.toml --Pipeline::read--> sections, each checked by its own file under `steps/`
//!                                      |
//!                                      v
//!                 Plan::of: steps in order, each with the recipe of all that it depends on, and its Key
//!                                      |
//!                                      v
//!                 run: what the Store has is taken, what it lacks is made there (Step::make)
//!                                      |
//!                                      v
//!                 what steps publish (OutPath), reports over it and manifest.json, aside; then in the out directory
//! ```
//!
//! A kind of step is one file under [`steps`] that implements [`Section`](check::Section) (its keys, its check) and
//! [`Step`](step::Step) (its inputs and recipe, how it is made, what it publishes), and one line of
//! [`catalogue`](steps::catalogue). Planning, running and the store know steps by these traits alone. What the numbers
//! mean is `txray-method`'s affair, what text is `txray-text`'s, what plugins are `txray-host`'s.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod check;
pub mod component;
pub mod error;
mod files;
pub mod form;
pub mod inputs;
mod kept;
mod lock;
pub mod out;
pub mod pipeline;
pub mod plan;
pub mod run;
pub mod schema;
pub mod shard;
pub mod step;
mod step_name;
pub mod steps;
pub mod store;
#[cfg(test)]
mod testing;

pub use step_name::StepName;
