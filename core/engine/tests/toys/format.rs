//! A format of corpora that the engine does not have: one file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use txray_text::{Context, Corpus, CorpusError, Document, Documents, Files, FormatOptions, OptionError};

/// The same word over and over.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Echo {
    /// The word.
    word: String,
    /// How many documents say it.
    times: u64,
}

impl FormatOptions for Echo {
    const KIND: &'static str = "echo";

    fn open(&self, _: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        if self.times == 0 {
            return Err(vec![OptionError { pointer: "/times".to_owned(), error: CorpusError::NoSplit }]);
        }
        Ok(Box::new(self.clone()))
    }
}

impl Corpus for Echo {
    fn splits(&self) -> Vec<String> {
        vec!["all".to_owned()]
    }

    fn layers(&self) -> Vec<String> {
        Vec::new()
    }

    fn files(&self, _: &str) -> Vec<PathBuf> {
        Vec::new()
    }

    fn recipe(&self, _: &str) -> Value {
        json!({ "word": self.word, "times": self.times })
    }

    fn documents<'a>(&'a self, _: &str, _: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let document = |id| Document { id, text: self.word.clone(), ..Document::default() };
        Ok(Box::new((0..self.times).map(move |id| Ok(document(id)))))
    }
}
