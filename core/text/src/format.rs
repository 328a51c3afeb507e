//! What a format of corpora is.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::corpus::Corpus;
use crate::error::OptionError;
use crate::resolve::Context;
use crate::selected::Selection;

/// The options of a format: its table in the pipeline's TOML, without `kind`. The doc comments are the reference.
pub trait FormatOptions: DeserializeOwned + JsonSchema {
    /// What pipelines call it: `kind = "text"`.
    const KIND: &'static str;

    /// Opens the corpus. Checks everything that can be checked without reading whole files.
    ///
    /// # Errors
    /// Every option at fault.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>>;
}

/// A format, whatever its options.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// What pipelines call it.
    pub kind: &'static str,
    /// JSON Schema of its options.
    pub schema: fn() -> Value,
    /// Opens a corpus of it.
    pub open: Open,
}

/// How a corpus of a format is opened, from its table.
pub type Open = fn(&Value, &Context<'_>) -> Result<Box<dyn Corpus>, OpenError>;

/// Why a corpus was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// The table does not read as options.
    Table {
        /// Where in the table, as a JSON pointer.
        pointer: String,
        /// What serde says of it.
        message: String,
    },
    /// The options read, and lead to no corpus.
    Options(Vec<OptionError>),
}

impl Format {
    /// The format of these options.
    pub const fn of<T: FormatOptions>() -> Self {
        Self { kind: T::KIND, schema: schema::<T>, open: open::<T> }
    }
}

/// The options of the format, and those of every format.
fn schema<T: FormatOptions>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    let mut common = schemars::schema_for!(Selection).to_value();
    if let (Some(own), Value::Object(common)) = (schema.as_object_mut(), common["properties"].take()) {
        let own = own.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        own.as_object_mut().into_iter().for_each(|own| own.extend(common.clone()));
    }
    schema
}

fn open<T: FormatOptions>(table: &Value, context: &Context<'_>) -> Result<Box<dyn Corpus>, OpenError> {
    let mut own = table.clone();
    let mut common = Map::new();
    if let Value::Object(own) = &mut own {
        let taken = Selection::KEYS.into_iter().filter_map(|key| own.shift_remove_entry(key));
        common.extend(taken);
    }
    let format: T = options(&own)?;
    let selection: Selection = options(&Value::Object(common))?;
    let corpus = format.open(context).map_err(OpenError::Options)?;
    selection.around(corpus, context).map_err(OpenError::Options)
}

/// The options that a table holds.
pub(crate) fn options<T: DeserializeOwned>(table: &Value) -> Result<T, OpenError> {
    serde_path_to_error::deserialize(table).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => pointer += &format!("/{index}"),
                Segment::Map { key } | Segment::Enum { variant: key } => pointer += &crate::splits::pointer(&[key]),
                Segment::Unknown => break,
            }
        }
        OpenError::Table { pointer, message: error.inner().to_string() }
    })
}
