//! A kind of step that the engine does not have: one file.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_config::{Name, child};
use txray_engine::check::{Check, Section};
use txray_engine::error::Result;
use txray_engine::form::Form;
use txray_engine::inputs::Hashes;
use txray_engine::out::{OutPath, Publication};
use txray_engine::step::{Made, Making, Step};
use txray_engine::steps::corpus::{Corpus, Text, TextFigures};

/// The words of a text, counted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The text.
    corpus: String,
    /// What a word counts.
    #[serde(default = "one")]
    weight: u64,
}

fn one() -> u64 {
    1
}

pub struct Tally {
    name: Name,
    text: Arc<Text>,
    weight: u64,
}

#[derive(Serialize, Deserialize)]
pub struct TallyFigures {
    pub counted: u64,
}

impl Section for Tally {
    const TABLE: &'static str = "tally";
    const PLURAL: &'static str = "tallies";
    const ABOUT: &'static str = "Words counted: `[tally.NAME]`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let keys: Keys = check.read(pointer)?;
        let text = Corpus::find_text(check, &child(pointer, "corpus"), &keys.corpus)?;
        Some(Self { name: name.clone(), text, weight: keys.weight })
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        vec![Arc::clone(self) as _]
    }

    fn form() -> Form {
        Form::of::<Keys>()
    }
}

impl Step for Tally {
    fn kind(&self) -> &'static str {
        Self::STEP
    }

    fn name(&self) -> String {
        self.name.to_string()
    }

    fn inputs(&self) -> Vec<(&'static str, Arc<dyn Step>)> {
        vec![("text", Arc::clone(&self.text) as _)]
    }

    fn recipe(&self, _: &mut Hashes<'_>) -> Result<Value> {
        Ok(json!({ "weight": self.weight }))
    }

    fn make(&self, making: &Making<'_>) -> Result<Made> {
        let text: TextFigures = making.figures(&*self.text)?;
        let figures = TallyFigures { counted: text.words * self.weight };
        making.folder().write_json("tally.json", &figures)?;
        Made::with(self, &figures)
    }

    fn publish(&self) -> Vec<Publication> {
        vec![Publication { from: "tally.json".to_owned(), to: OutPath::file("tallies", &self.name, "json") }]
    }
}
