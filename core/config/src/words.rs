//! The words of messages: names, kinds of values, what serde says in them.

use serde_json::Value;

/// What a value is: "a string".
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a float",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "a table",
    }
}

/// The one of `known` that `word` may be a slip of: a third of the letters wrong at most, not
/// counting case nor `_` for `-`.
pub(crate) fn similar<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > QUOTED {
        return None;
    }
    let fold = |word: &str| word.to_lowercase().replace('_', "-");
    let (folded, length) = (fold(word), word.chars().count());
    let most = |known: &str| known.chars().count().max(3) / 3;
    known
        .into_iter()
        .take(COMPARED)
        // What is longer or shorter by more is no slip, and need not be compared.
        .filter(|known| known.chars().count().abs_diff(length) <= most(known))
        .map(|known| (strsim::damerau_levenshtein(&folded, &fold(known)), known))
        .filter(|(distance, known)| *distance <= most(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The most characters of a value that a message quotes, names that help lists, and names that a slip is looked for in.
const QUOTED: usize = 200;
const LISTED: usize = 20;
const COMPARED: usize = 2000;

/// A word of a file as messages quote it: its beginning, if it is long.
pub(crate) fn quoted(word: &str) -> String {
    match word.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("`{}…`", &word[..end]),
        None => format!("`{word}`"),
    }
}

/// Help for a name that is none of `known`: "did you mean `x`?", else all of them.
pub fn suggestion<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    choices(similar(word, known.iter().copied()), &known)
}

/// Help that names what was meant, else all that there is.
pub(crate) fn choices(meant: Option<&str>, known: &[&str]) -> String {
    match (meant, known) {
        (Some(meant), _) => format!("did you mean {}?", quoted(meant)),
        (None, []) => "there are none".to_owned(),
        (None, [only]) => format!("there is only {}", quoted(only)),
        (None, all) => match all.len().saturating_sub(LISTED) {
            0 | 1 => format!("there are {}", list(all.iter().copied())),
            more => format!("there are {} and {more} more", list(all[..LISTED].iter().copied())),
        },
    }
}

/// "`a`, `b`".
fn list<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    words.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// What serde says, understood.
#[derive(Debug, PartialEq)]
pub(crate) enum Serde {
    /// A key that must be there.
    Missing(String),
    /// A key that must not, and those that may.
    Unknown(String, Vec<String>),
    /// Anything else about a value: message, label, help.
    Value(String, Option<String>, Option<String>),
}

impl Serde {
    pub(crate) fn parse(message: &str) -> Self {
        if let Some(key) = message.strip_prefix("missing field ") {
            return Self::Missing(key.trim_matches('`').to_owned());
        }
        // From the right: what was found can hold any words, what was expected is a type's own.
        let understood = message
            .rsplit_once(", expected ")
            .or_else(|| message.rsplit_once(", there are no "))
            .and_then(|(found, expected)| Self::found(found, expected));
        understood.unwrap_or_else(|| Self::Value(message.to_owned(), None, None))
    }

    fn found(found: &str, expected: &str) -> Option<Self> {
        let words = expected.split('`').skip(1).step_by(2);
        if let Some(key) = found.strip_prefix("unknown field ") {
            let known = words.map(str::to_owned).collect();
            return Some(Self::Unknown(key.trim_matches('`').to_owned(), known));
        }
        if let Some(word) = found.strip_prefix("unknown variant ") {
            let word = word.trim_matches('`');
            let expected = match words.clone().count() {
                0 | 1 => list(words.clone()),
                _ => format!("one of {}", list(words.clone())),
            };
            return Some(Self::Value(
                format!("unknown value {}, expected {expected}", quoted(word)),
                Some("not one of these".to_owned()),
                similar(word, words).map(|known| format!("did you mean {}?", quoted(known))),
            ));
        }
        let (expected, found) = if let Some(found) = found.strip_prefix("invalid type: ") {
            (expected_type(expected), found_type(found))
        } else if let Some(found) = found.strip_prefix("invalid value: ") {
            let found = found_value(found);
            (expected_range(expected, &found), found)
        } else {
            let length = found.strip_prefix("invalid length ")?;
            (expected_type(expected), format!("one of {length}"))
        };
        let label = format!("expected {expected}");
        Some(Self::Value(format!("{label}, found {found}"), Some(label), None))
    }
}

/// A type in serde's words, in those of TOML.
fn expected_type(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "an integer",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "an integer",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "a table",
        "fewer elements in array" => "a shorter array",
        "path string" => "a path",
        "newtype variant" | "struct variant" => "a table",
        "unit variant" => "a string",
        "string or map" => "a string or a table",
        _ if expected.starts_with("a nonzero ") => "an integer",
        _ if expected.starts_with("struct ") => "a table",
        _ if expected.starts_with("enum ") => "a string",
        _ => match expected.strip_prefix("a tuple of size ") {
            Some(size) => return format!("an array of {size}"),
            None => match expected.strip_prefix("an array of length ") {
                Some(size) => return format!("an array of {size}"),
                None => expected,
            },
        },
    }
    .to_owned()
}

/// A type of integers, by the bound that the value found is beyond.
fn expected_range(expected: &str, found: &str) -> String {
    let (least, most) = match expected.trim_start_matches("a nonzero ") {
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" | "u128" | "usize" => (0, u64::MAX),
        "i8" => (i8::MIN.into(), i8::MAX as u64),
        "i16" => (i16::MIN.into(), i16::MAX as u64),
        "i32" => (i32::MIN, i32::MAX as u64),
        _ => return expected_type(expected),
    };
    match found {
        "`0`" if least == 0 => "an integer of at least 1".to_owned(),
        "`0`" => "an integer other than 0".to_owned(),
        _ if found.starts_with("`-") => format!("an integer of at least {least}"),
        _ => format!("an integer of at most {most}"),
    }
}

/// `string "x"` is a string.
fn found_type(found: &str) -> String {
    const KINDS: [(&str, &str); 8] = [
        ("string ", "a string"),
        ("integer ", "an integer"),
        ("floating point ", "a float"),
        ("boolean ", "a boolean"),
        ("unit variant", "a string"),
        ("sequence", "an array"),
        ("map", "a table"),
        ("null", "nothing"),
    ];
    let kind = KINDS.iter().find(|(prefix, _)| found.starts_with(prefix));
    kind.map_or(found, |(_, kind)| kind).to_owned()
}

/// The value itself, where its kind is right and the value is not.
fn found_value(found: &str) -> String {
    let value =
        ["string ", "integer ", "floating point ", "boolean "].iter().find_map(|prefix| found.strip_prefix(prefix));
    match value {
        Some(value) => quoted(value.trim_matches('`')),
        None => found_type(found),
    }
}
