//! `vocabulary`: the words that a new model learns, or that are added to those of the model it begins from.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use txray_config::child;
use txray_plugin::{Level, Model as PluginModel};
use txray_text::{Tokenizer, Vocabulary, Words};

use super::task::Lesson;
use crate::check::Check;
use crate::error::Result;
use crate::step::{Making, Step};
use crate::steps::corpus::{Corpus, Text};

const EXTEND: &str = "extend";

/// Which words a vocabulary has: a table of these, or `"extend"` alone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    /// Of a model that begins from another: the text whose words are added to the other's vocabulary, such as `"imdb.train"`; they begin
    /// as `<unk>`. `vocabulary = "extend"` stands for that of `task`.
    extend: Option<String>,
    /// Words seen less often are unknown. Default: 1.
    min_count: Option<u64>,
    /// The most entries, `<unk>` and `<eos>` among them, and in all where it is extended; the most frequent words are kept.
    max_size: Option<usize>,
    /// Where words end: at white space alone, or around punctuation too. Default: `"space"`. What is extended has words as they were.
    words: Option<Words>,
}

/// `vocabulary`
#[derive(Clone, Debug)]
pub(super) enum VocabularyKeys {
    /// `"extend"`
    Extend,
    /// A table.
    Table(Table),
}

impl JsonSchema for VocabularyKeys {
    fn schema_name() -> Cow<'static, str> {
        "VocabularyKeys".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<Table>();
        json_schema!({ "anyOf": [table, { "type": "string", "enum": [EXTEND] }] })
    }
}

/// By hand: of an untagged enum, serde does not tell what is wrong.
impl<'de> Deserialize<'de> for VocabularyKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = VocabularyKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a table such as {{ min_count = 5 }}, or `{EXTEND}`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> std::result::Result<VocabularyKeys, E> {
                match word == EXTEND {
                    true => Ok(VocabularyKeys::Extend),
                    false => Err(E::invalid_value(Unexpected::Str(word), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<VocabularyKeys, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(VocabularyKeys::Table)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl VocabularyKeys {
    /// That of a new model.
    pub fn learned(keys: Option<&Self>, check: &mut Check<'_>, pointer: &str) -> Vocabulary {
        let table = match keys {
            None => Table::default(),
            Some(Self::Table(table)) => table.clone(),
            Some(Self::Extend) => Table { extend: Some(String::new()), ..Table::default() },
        };
        if table.extend.is_some() {
            let help = "begin from a model, `path = \"...\"` or `init = \"...\"`, or say which words are learned, `{ min_count = 5 }`";
            check.error_with_help(pointer, "a new model has no vocabulary that could be extended", help);
        }
        let Table { min_count, max_size, words, .. } = table;
        let usual = Vocabulary::default();
        let vocabulary = Vocabulary {
            min_count: min_count.unwrap_or(usual.min_count),
            max_size: max_size.or(usual.max_size),
            words: words.unwrap_or(usual.words),
        };
        if let Err(error) = vocabulary.check() {
            check.error(&child(pointer, "max_size"), error.to_string());
        }
        vocabulary
    }

    /// What is added to that of the model which one begins from that is trained for this task, if it is.
    pub fn extension(&self, check: &mut Check<'_>, pointer: &str, lesson: Option<&Lesson>) -> Option<Extension> {
        let table = match self {
            Self::Extend => Table::default(),
            Self::Table(table) => table.clone(),
        };
        if table.extend.is_none() && matches!(self, Self::Table(_)) {
            let help = "`vocabulary = { extend = \"imdb.train\" }` adds the words of a text to it";
            check.error_with_help(pointer, "the vocabulary is that of the model this one begins from", help);
            return None;
        }
        if table.words.is_some() {
            check.error(&child(pointer, "words"), "what is extended has words as they were");
        }
        let text = match (&table.extend, lesson) {
            (Some(text), _) => Corpus::find_text(check, &child(pointer, EXTEND), text)?,
            (None, Some(lesson)) => Arc::clone(&lesson.train),
            (None, None) => {
                let help = "for instance `vocabulary = { extend = \"imdb.train\" }`";
                check.error_with_help(pointer, "extend it by the words of which text? The model has no `task`", help);
                return None;
            }
        };
        let Table { min_count, max_size, .. } = table;
        Some(Extension { text, min_count: min_count.unwrap_or(1), max_size })
    }
}

/// Words that are added to a vocabulary.
#[derive(Clone)]
pub(super) struct Extension {
    /// Where they are from.
    pub text: Arc<Text>,
    min_count: u64,
    max_size: Option<usize>,
}

impl Extension {
    /// What the files of a model depend on of it, beside its text.
    pub fn recipe(&self) -> Value {
        json!({ "min_count": self.min_count, "max_size": self.max_size })
    }

    /// A tokenizer with the words, for a model of so many rows: some have more than there are tokens, which are no new words'.
    pub fn tokenizer(&self, making: &Making<'_>, table: &str, tokenizer: &Tokenizer, rows: usize) -> Result<Tokenizer> {
        let options = Vocabulary { min_count: self.min_count, max_size: self.max_size, words: tokenizer.words() };
        let extended = tokenizer.extended(self.text.documents(making)?, &options, rows)?;
        let (before, after) = (tokenizer.size(), extended.size());
        let after = if after > before { after - rows.max(before) + before } else { after };
        let message = format!(
            "[{table}] adds {} words of `{}` to the {before} of the vocabulary",
            after - before,
            self.text.name()
        );
        making.host.log(Level::Information, &message);
        Ok(extended)
    }

    /// Lets a model grow to the vocabulary of an extended tokenizer.
    pub fn grow(model: &mut dyn PluginModel, making: &Making<'_>, tokenizer: &Tokenizer) -> Result<()> {
        let lacks = |what: &str| txray_plugin::Error::failed(what.to_owned());
        let unknown = tokenizer.unknown().ok_or_else(|| lacks("its vocabulary has no unknown word"))?;
        let has = model.describe()?.vocabulary;
        let able = model.as_extend().ok_or_else(|| lacks("its vocabulary can no longer grow"))?;
        // Rows to spare, for speed, stay what they are.
        Ok(able.extend(making.host, tokenizer.size().max(has), unknown)?)
    }
}
