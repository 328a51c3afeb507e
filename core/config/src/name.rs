//! What tables may be called.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;

use serde::Serialize;

use crate::diagnostic::Diagnostics;
use crate::document::{At, Document};
use crate::pointer::child;

/// The name of a table: 1 to 64 ASCII letters, digits, `.`, `_` and `-`, of which `.` and `-` do not come first.
///
/// Names become files and folders, and parts of other names. So there is no way to have one but to parse it, and it has
/// no character in it that a file system, a shell or a terminal gives a meaning to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Why a text is no [`Name`]. Reads well after "`x`: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing in it.
    #[error("a name cannot be empty")]
    Empty,
    /// It is longer than a file's name should be.
    #[error("a name has {} characters at most, and this one has {length}", Name::LONGEST)]
    Long {
        /// Its characters.
        length: usize,
    },
    /// It begins as options and hidden files do.
    #[error("a name cannot begin with `{0}`")]
    First(char),
    /// A character that names do not have.
    #[error("a name has letters (a to z), digits, `.`, `_` and `-`, but not {}", shown(*character))]
    Character {
        /// It.
        character: char,
    },
}

/// A character for the eye: one that cannot be seen, or does something to a terminal, by its number.
fn shown(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '!'..='~' => format!("`{character}`"),
        other if other.is_alphanumeric() => format!("`{other}`"),
        other => format!("the character U+{:04X}", u32::from(other)),
    }
}

impl Name {
    /// The most characters of a name.
    pub const LONGEST: usize = 64;

    /// Parses a name.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(character) = text.chars().find(|&c| !is_allowed(c)) {
            return Err(NameError::Character { character });
        }
        match text.chars().next() {
            None => Err(NameError::Empty),
            Some(first @ ('.' | '-')) => Err(NameError::First(first)),
            Some(_) if text.len() > Self::LONGEST => Err(NameError::Long { length: text.len() }),
            Some(_) => Ok(Self(text.to_owned())),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The names of the tables that stand in `table`, such as those of `[stage.NAME]`, in order. Told at their keys and left out
/// are those that are no names, those that repeat what they stand in (`[stage."stage.early"]`), and those that differ from an
/// earlier one in case alone (where case does not count, they would be the same file).
pub fn names(document: &Document, table: &str, diagnostics: &mut Diagnostics) -> Vec<Name> {
    let pointer = child("", table);
    let tables = document.value().pointer(&pointer).and_then(|value| value.as_object());
    let mut seen: HashMap<String, &str> = HashMap::new();
    let mut names = Vec::new();
    for key in tables.into_iter().flat_map(|tables| tables.keys()) {
        let place = child(&pointer, key);
        let refuse = |message: String, help: &str| document.error(&place, At::Key, message).help(help);
        let name = match Name::parse(key) {
            Ok(name) => name,
            Err(error) => {
                let help = "choose another name: names become files and folders";
                diagnostics.push_with(|| refuse(format!("{} is not a name: {error}", quoted(key)), help));
                continue;
            }
        };
        let repeats = key.split_once('.').filter(|(first, _)| first.eq_ignore_ascii_case(table));
        if let Some((_, rest)) = repeats {
            let help = Name::parse(rest).map(|rest| format!("write [{table}.{rest}]"));
            let help = help.unwrap_or_else(|_| "choose another name".to_owned());
            diagnostics.push_with(|| refuse(format!("`{key}` repeats the table that it stands in"), &help));
            continue;
        }
        match seen.insert(key.to_lowercase(), key) {
            Some(other) => diagnostics.push_with(|| {
                let error = format!("`{key}` and `{other}` differ in case alone");
                let error = refuse(error, "choose another name: on some systems they are the same file");
                error.also(document.place(&child(&pointer, other), At::Key), "the other one")
            }),
            None => names.push(name),
        }
    }
    names
}

/// A key as it may be shown: nothing in it reaches a terminal as what it is not, and it is not longer than a line.
fn quoted(key: &str) -> String {
    let mut text: String = key.chars().take(Name::LONGEST).flat_map(char::escape_debug).collect();
    if key.chars().count() > Name::LONGEST {
        text.push_str("...");
    }
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_what_files_can_be_called_anywhere() {
        let long = "x".repeat(64);
        for good in ["lm", "zero-shot", "a.b_c-1", "1", "_", "A", long.as_str()] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        let cases = [
            ("", NameError::Empty),
            ("..", NameError::First('.')),
            (".hidden", NameError::First('.')),
            ("-rf", NameError::First('-')),
            ("../../x", NameError::Character { character: '/' }),
            ("a/b", NameError::Character { character: '/' }),
            ("a\\b", NameError::Character { character: '\\' }),
            ("lm@1", NameError::Character { character: '@' }),
            ("lm#2", NameError::Character { character: '#' }),
            ("a b", NameError::Character { character: ' ' }),
            ("a\u{1b}[31m", NameError::Character { character: '\u{1b}' }),
            ("früh", NameError::Character { character: 'ü' }),
            ("a:b", NameError::Character { character: ':' }),
        ];
        for (text, error) in cases {
            assert_eq!(Name::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Name::parse(&"x".repeat(300)), Err(NameError::Long { length: 300 }));
        assert_eq!(Name::parse("a\u{1b}").unwrap_err().to_string().matches('\u{1b}').count(), 0);
    }

    proptest! {
        #[test]
        fn a_name_is_one_step_of_a_path_and_nothing_else(text in r"[\PC/\\]{0,70}|[a-z./_-]{0,8}") {
            if let Ok(name) = Name::parse(&text) {
                let path = std::path::Path::new(name.as_str());
                let parts: Vec<_> = path.components().collect();
                prop_assert!(matches!(parts[..], [std::path::Component::Normal(part)] if part == name.as_str()));
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(name.as_str(), text);
            }
        }
    }

    #[test]
    fn every_bad_name_is_told_at_its_key() {
        let text = "[stage.early]\n[stage.\"../x\"]\n[stage.Early]\n[stage.late]\n[stage.\"stage.late\"]\n";
        let document = Document::parse("p.toml", text.to_owned()).unwrap();
        let mut diagnostics = Diagnostics::new();
        let found = names(&document, "stage", &mut diagnostics);
        assert_eq!(found.iter().map(Name::as_str).collect::<Vec<_>>(), ["early", "late"]);
        let told = format!("{diagnostics:#}");
        assert!(
            told.contains("p.toml:2:8: `../x` is not a name") && told.contains("p.toml:3:8: `Early` and"),
            "{told}"
        );
    }
}
