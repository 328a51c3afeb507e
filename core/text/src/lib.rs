//! Text: corpora by format, tokenizers, and which annotation each token falls in.
//!
//! ```text
//! a table of the pipeline --Format::open--> Corpus --documents(split)--> Document: text, group, label, annotations
//!                                                                            |
//!                                           Tokenizer::encode  <-------------+
//!                                                 |                          |
//!                                  Encoded: ids, and where each token stands |
//!                                                 |                          |
//!                                                 +------> join <------------+
//!                                                           |
//!                                        the annotation that each token falls in
//! ```
//!
//! A format is one file under `formats/` and one line of [`FORMATS`]: checks, reference and help read that list. What a
//! format has to give is a type of its options, which is also its table in the pipeline's TOML ([`FormatOptions`]), and a
//! [`Corpus`]. Which of its documents are read, in which order, and what is done to their texts are options of every format:
//! they make another corpus around the one that the format opened. Documents are streamed: no corpus is ever held whole.
//! Files are opened through [`Files`] alone, and unpacked where they are packed.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod annotator;
mod annotators;
mod conllu;
mod corpus;
#[cfg(test)]
mod door;
mod error;
mod files;
mod format;
mod formats;
mod join;
mod labels;
mod lines;
mod normalize;
mod resolve;
mod selected;
mod shown;
mod spill;
mod split;
mod splits;
mod tokens;
mod unpack;

pub use annotator::{Annotator, AnnotatorKind, AnnotatorOptions, Learn, SetUp};
pub use annotators::ANNOTATORS;
pub use corpus::{Annotation, Corpus, Document, Documents, Span, check_layer, stream};
pub use error::{CorpusError, FolderFault, LookupFault, OptionError, TableFault, TreebankFault, unseen};
pub use files::{Disk, Files, open_file};
pub use format::{Format, FormatOptions, Open, OpenError};
pub use formats::FORMATS;
pub use join::{Joined, join, words};
pub use labels::{Labels, LabelsError, Targets};
pub use normalize::{NORMALIZATIONS, Normalization};
pub use resolve::{Context, Resolver};
pub use split::Words;
pub use tokens::{Counts, Encoded, Tokenizer, TokenizerError, Vocabulary};
