//! The options of the source.

use std::fmt;

use txray_plugin::schemars::{self, JsonSchema, Schema, SchemaGenerator, json_schema};
use txray_plugin::serde::de::{Error, MapAccess, Visitor};
use txray_plugin::serde::{self, Deserialize, Deserializer};

/// What the one site is called that has no name of its own.
pub(super) const SITE: &str = "hidden";

/// A file with a row an observation: what a record rule kept in another framework, or in another run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
pub struct Options {
    /// The file: Parquet, or lines of fields between tabs of which the first names the columns (nothing is quoted). It has `doc`,
    /// `neuron` and `activation`, a column a layer, and may have `group`, `position`, `site`, `start`, `end` and `line`; `docs/recorded.md`
    /// says more.
    // Relative, so that the reference has no folder of a machine in it; tests of this crate run beside it.
    #[schemars(extend("format" = "path", "examples" = ["tests/observations.tsv"]))]
    pub path: String,
    /// The columns that are layers of features. Default: every column of text that is nothing else.
    pub layers: Option<Vec<String>>,
    /// How many neurons there are: one number, or a table of numbers by site. Default: up to the largest that was observed, for which
    /// the file is read once more.
    pub width: Option<Width>,
    /// What the site is called, where the file has no column `site`. Default: `"hidden"`.
    pub site: Option<String>,
}

/// How many neurons there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Width {
    /// At each site.
    One(usize),
    /// In the order of the pipeline.
    BySite(Vec<(String, usize)>),
}

impl JsonSchema for Width {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Width".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "object", "additionalProperties": { "type": "integer", "minimum": 1 } },
            ]
        })
    }
}

/// By hand: of an untagged enum, serde does not tell which number is wrong.
impl<'de> Deserialize<'de> for Width {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Width;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("how many neurons there are, at least 1, or a table of that by site")
            }

            fn visit_u64<E: Error>(self, width: u64) -> Result<Width, E> {
                match usize::try_from(width) {
                    Ok(width) if width > 0 => Ok(Width::One(width)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(width), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Width, A::Error> {
                let mut widths = Vec::new();
                while let Some((site, width)) = map.next_entry::<String, std::num::NonZeroUsize>()? {
                    widths.push((site, width.get()));
                }
                match widths.is_empty() {
                    true => Err(A::Error::invalid_length(0, &self)),
                    false => Ok(Width::BySite(widths)),
                }
            }
        }

        deserializer.deserialize_any(Either)
    }
}
