//! What can be done to a text before anything is read in it: one list, which options, checks and reference read.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization_alignments::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// One step of `normalize`.
#[derive(Debug)]
pub struct Normalization {
    /// What pipelines call it.
    pub name: &'static str,
    /// What it does, for the reference.
    pub about: &'static str,
    /// Whether every Unicode scalar stays where it stood, so that annotations still fit.
    pub keeps_places: bool,
    /// Does it.
    pub apply: fn(&str) -> String,
}

/// Every step that pipelines can name.
pub const NORMALIZATIONS: &[Normalization] = &[
    Normalization {
        name: "html_breaks",
        about: "Each `<br>`, `<br/>`, `<br />` or `</br>`, in capitals or not, becomes a line end, as reviews of IMDB need it.",
        keeps_places: false,
        apply: html_breaks,
    },
    Normalization {
        name: "lowercase",
        about: "Each character becomes its small letter, one for one: annotations still fit.",
        keeps_places: true,
        apply: lowercase,
    },
    Normalization {
        name: "nfc",
        about: "Characters are composed where Unicode has a composed one (its form NFC): `e` and an accent become `é`.",
        keeps_places: false,
        apply: nfc,
    },
    Normalization {
        name: "sentence_marks",
        about: "` <eos>` is put behind each sentence, as the paper's authors did. Sentences end as Unicode has it (UAX 29) \
                and with a line.",
        keeps_places: false,
        apply: |text| marked(text.split_sentence_bounds(), "<eos>"),
    },
    Normalization {
        name: "paragraph_marks",
        about: "` <eop>` is put behind each paragraph, which is a line that is not blank, as the paper's authors did. After \
                `sentence_marks` a paragraph ends in ` <eos> <eop>`.",
        keeps_places: false,
        apply: |text| marked(text.split_inclusive('\n'), "<eop>"),
    },
    Normalization {
        name: "squash_spaces",
        about: "Each run of white space, line ends included, becomes one space.",
        keeps_places: false,
        apply: |text| text.split_whitespace().collect::<Vec<_>>().join(" "),
    },
];

fn html_breaks(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        clean.push_str(before);
        rest = match after_break(tag) {
            Some(after) => {
                clean.push('\n');
                after
            }
            None => {
                clean.push('<');
                &tag[1..]
            }
        };
    }
    clean + rest
}

/// What follows the break that the text begins with.
fn after_break(tag: &str) -> Option<&str> {
    let name = tag.strip_prefix("</").or_else(|| tag.strip_prefix('<'))?;
    let (br, rest) = name.split_at_checked(2)?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let end = rest.strip_prefix('/').unwrap_or(rest).strip_prefix('>');
    if br.eq_ignore_ascii_case("br") { end } else { None }
}

fn nfc(text: &str) -> String {
    // ASCII is composed already, and most lines of English are that.
    if text.is_ascii() { text.to_owned() } else { text.nfc().map(|(c, _)| c).collect() }
}

/// One for one: the one capital of which Unicode makes two (`İ`) keeps the first of them.
fn lowercase(text: &str) -> String {
    let small = |c: char| if c.is_ascii() { c.to_ascii_lowercase() } else { c.to_lowercase().next().unwrap_or(c) };
    text.chars().map(small).collect()
}

fn marked<'a>(pieces: impl Iterator<Item = &'a str>, mark: &str) -> String {
    let mut text = String::new();
    for piece in pieces {
        let body = piece.trim_end();
        let space = &piece[body.len()..];
        text.push_str(body);
        if !body.trim_start().is_empty() {
            text.push(' ');
            text.push_str(mark);
            // Where a sentence follows at once, its first word is not the mark's.
            text.push_str(if space.is_empty() { " " } else { "" });
        }
        text.push_str(space);
    }
    text.truncate(text.trim_end().len());
    text
}

/// A step of the list, by its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step(pub &'static Normalization);

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; NORMALIZATIONS.len()] = {
            let mut names = [""; NORMALIZATIONS.len()];
            let mut at = 0;
            while at < names.len() {
                names[at] = NORMALIZATIONS[at].name;
                at += 1;
            }
            names
        };
        let name = String::deserialize(deserializer)?;
        let found = NORMALIZATIONS.iter().find(|known| known.name == name);
        found.map(Self).ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

impl JsonSchema for Step {
    fn schema_name() -> Cow<'static, str> {
        "Normalization".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one =
            |one: &Normalization| serde_json::json!({ "const": one.name, "description": one.about, "type": "string" });
        json_schema!({ "oneOf": NORMALIZATIONS.iter().map(one).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(name: &str, text: &str) -> String {
        let step: Step = serde_json::from_value(name.into()).unwrap();
        (step.0.apply)(text)
    }

    #[test]
    fn each_step_does_what_it_says() {
        let cases = [
            ("html_breaks", "a<br /><BR>b<br/>c</br>d <b>e<brf < br", "a\n\nb\nc\nd <b>e<brf < br"),
            ("lowercase", "The ÉTÉ of İ and ẞ", "the été of i and ß"),
            ("nfc", "e\u{301}te\u{301}", "\u{e9}t\u{e9}"),
            ("sentence_marks", "It is. Is it?\nSo it is", "It is. <eos> Is it? <eos>\nSo it is <eos>"),
            ("sentence_marks", "the cat . The dog !", "the cat . <eos> The dog ! <eos>"),
            ("paragraph_marks", "a . b\n \n\nc", "a . b <eop>\n \n\nc <eop>"),
            ("squash_spaces", "a \t\n b\u{3000}c", "a b c"),
        ];
        for (name, text, expected) in cases {
            assert_eq!(apply(name, text), expected, "{name}");
        }
        let marked = apply("paragraph_marks", &apply("sentence_marks", "A. B.\n\nC."));
        assert_eq!(marked, "A. <eos> B. <eos> <eop>\n\nC. <eos> <eop>");
        let error = serde_json::from_value::<Step>("lowercas".into()).unwrap_err().to_string();
        assert!(error.starts_with("unknown variant `lowercas`, expected one of `html_breaks`, `lowercase`"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_places_are_kept_as_promised(text in r"([<>br/ .\n]|A|İ|\PC){0,30}") {
            for step in NORMALIZATIONS {
                let done = (step.apply)(&text);
                if step.keeps_places {
                    prop_assert_eq!(done.chars().count(), text.chars().count());
                }
                // Marks alone add words, and nothing takes any but what stands in angles.
                let words = |text: &str| {
                    let words = text.split_whitespace().filter(|word| !["<eos>", "<eop>"].contains(word));
                    words.collect::<String>()
                };
                if step.name.ends_with("marks") || step.name == "squash_spaces" {
                    prop_assert_eq!(words(&done), words(&text), "{}", step.name);
                }
            }
        }
    }
}
