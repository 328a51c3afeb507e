//! TOML that remembers where each value stands, and errors with carets. It knows nothing of what the TOML is for.
//!
//! ```text
//! text --Document::parse--> tree of values, each with its place <--Document::set-- --set key=value
//!                                       |
//!              Document::read (a type), read_with (a schema and whoever takes the value)
//!                                       |
//!                     a value, or Diagnostics: every error, with line, caret and help
//! ```
//!
//! The tree is JSON's, because that is what serde structs, JSON schemas and plugins all understand, and a JSON pointer
//! (RFC 6901) names a place in it for all of them. So an error found by serde, by a schema or by a plugin is shown in the
//! TOML by one mechanism: [`Document::error`].
//!
//! Every error is gathered in [`Diagnostics`]; none stops the search for the rest. [`Name`] is what tables may be called,
//! and [`mod@reference`] writes the documentation of a schema.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod diagnostic;
mod document;
mod excerpt;
mod name;
mod pointer;
mod read;
pub mod reference;
mod schema;
mod set;
mod source;
mod syntax;
#[cfg(test)]
mod tests;
mod words;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use document::{At, Document};
pub use name::{Name, NameError, names};
pub use pointer::child;
pub use schema::{embedded, of_format, with_defaults};
pub use source::{Place, plain};
pub use words::suggestion;
