//! One file a format, and the list of them.

mod grammar;
mod text;
mod tsv;

use crate::format::Format;

/// Every format that pipelines can name.
pub const FORMATS: &[Format] =
    &[Format::of::<text::TextOptions>(), Format::of::<tsv::TsvOptions>(), Format::of::<grammar::GrammarOptions>()];

#[cfg(test)]
pub(crate) use text::TextOptions;
