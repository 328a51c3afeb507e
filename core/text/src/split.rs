//! What a word is: a stretch between white space, or what is left of it without punctuation.
//!
//! The rules stand here twice: as a regular expression ([`pattern`]), which goes into `tokenizer.json` so that a model's
//! directory loads elsewhere, and as code, which is many times faster. They need no table of Unicode beyond what stands
//! here, so they say the same in any library. Tests hold them to each other.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where words end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Words {
    /// At white space alone, for text that was split into words before, such as WikiText.
    #[default]
    Space,
    /// At white space and around punctuation, for text as people write it. `It's (not) well-known; don't ask.` has the
    /// words `It 's ( not ) well - known ; don 't ask .` A contraction keeps its apostrophe, as in WikiText, whose words
    /// stay as they are. Whole stay `U.S.`, `Mr.`, `3.5`, `1,000`, `10:30`, `AT&T`, `...`, `--`, `<unk>`, `@-@`,
    /// addresses that begin with `http://`, `https://` or `www.`, and names with `@`.
    Punctuation,
}

/// The characters that are words of their own where no rule says otherwise: the punctuation and symbols of ASCII but for
/// `@`, and the most of those beyond it.
const MARKS: [(char, char); 22] = [
    ('!', '/'),
    (':', '?'),
    ('[', '`'),
    ('{', '~'),
    ('\u{a1}', '\u{a9}'),
    ('\u{ab}', '\u{ac}'),
    ('\u{ae}', '\u{b1}'),
    ('\u{b4}', '\u{b4}'),
    ('\u{b6}', '\u{b8}'),
    ('\u{bb}', '\u{bb}'),
    ('\u{bf}', '\u{bf}'),
    ('\u{d7}', '\u{d7}'),
    ('\u{f7}', '\u{f7}'),
    ('\u{2010}', '\u{2027}'),
    ('\u{2030}', '\u{205e}'),
    ('\u{20a0}', '\u{20cf}'),
    ('\u{2190}', '\u{2bff}'),
    ('\u{3001}', '\u{3003}'),
    ('\u{3008}', '\u{301f}'),
    ('\u{ff01}', '\u{ff0f}'),
    ('\u{ff1a}', '\u{ff20}'),
    ('\u{1f300}', '\u{1faff}'),
];

/// Marks of which several in a row are one word.
const RUNS: &[u8] = b".-'`_=*<>~#";

/// Words that keep the period behind them.
const ABBREVIATIONS: [&str; 31] = [
    "Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "Prof", "Gen", "Col", "Lt", "Capt", "Sgt", "Rev", "Inc", "Co", "Corp",
    "Ltd", "Bros", "Op", "Ft", "Mt", "vs", "etc", "Jan", "Feb", "Aug", "Sept", "Oct", "Nov", "Dec",
];

/// What an apostrophe begins, if it is not a quotation mark.
const CONTRACTIONS: [&str; 14] = ["s", "S", "m", "M", "d", "D", "t", "T", "ll", "LL", "re", "RE", "ve", "VE"];

const ADDRESSES: [&str; 3] = ["http://", "https://", "www."];

fn is_mark(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation() && c != '@';
    }
    MARKS.iter().any(|&(first, last)| (first..=last).contains(&c))
}

/// The regular expression of [`Words::Punctuation`]: what it finds in a stretch between white space is a word, and so is
/// what stands between two finds.
pub(crate) fn pattern() -> &'static str {
    static PATTERN: LazyLock<String> = LazyLock::new(|| {
        let escaped = |c: char| if matches!(c, '[' | '.' | '*') { format!("\\{c}") } else { c.to_string() };
        let marks = MARKS.map(|(first, last)| format!("{}-{}", escaped(first), escaped(last))).concat();
        let (begins, ends) = (format!("(?<![^{marks}])"), format!("(?![^{marks}])"));
        let runs: Vec<String> = RUNS.iter().map(|&mark| format!("{}{{2,}}", escaped(char::from(mark)))).collect();
        let addresses = ADDRESSES.map(|address| address.replace('.', "\\.")).join("|");
        [
            format!("{begins}(?:{addresses}).*(?:[^{marks}]|/)"),
            "</?[A-Za-z]+>?|/>|@[\\-,.]@".to_owned(),
            runs.join("|"),
            format!("{begins}[nN]['\u{2019}][tT]{ends}"),
            format!("{begins}(?:(?:[A-Za-z]\\.){{2,}}|[A-HJ-Z]\\.|(?:{})\\.)", ABBREVIATIONS.join("|")),
            format!("['\u{2019}](?:{}){ends}", CONTRACTIONS.join("|")),
            "(?<![0-9])[,:/]|[,:/](?![0-9])".to_owned(),
            format!("\\.{ends}|(?<=[a-z][a-z])\\.(?=[A-Z])"),
            format!("{begins}&|&{ends}"),
            format!("(?![,:/.&])[{marks}]"),
        ]
        .join("|")
    });
    &PATTERN
}

/// Calls `visit` with each stretch of `text` between white space, and the Unicode scalars that it starts at and ends
/// before.
fn for_each_stretch<'a>(text: &'a str, mut visit: impl FnMut(&'a str, u32, u32)) {
    let mut scalar = 0;
    let mut word: Option<(usize, u32)> = None;
    for (byte, c) in text.char_indices() {
        match (c.is_whitespace(), word) {
            (false, None) => word = Some((byte, scalar)),
            (true, Some((from, start))) => {
                visit(&text[from..byte], start, scalar);
                word = None;
            }
            _ => {}
        }
        scalar += 1;
    }
    if let Some((from, start)) = word {
        visit(&text[from..], start, scalar);
    }
}

impl Words {
    /// Calls `visit` with each word of `text`, and the Unicode scalars that it starts at and ends before.
    pub(crate) fn for_each<'a>(self, text: &'a str, mut visit: impl FnMut(&'a str, u32, u32)) {
        match self {
            Self::Space => for_each_stretch(text, visit),
            Self::Punctuation => for_each_stretch(text, |stretch, start, end| {
                // Most are letters alone.
                if stretch.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return visit(stretch, start, end);
                }
                let mut start = start;
                let is_ascii = stretch.len() == (end - start) as usize;
                split(stretch, |word| {
                    let length = if is_ascii { word.len() } else { word.chars().count() };
                    let end = start + length as u32;
                    visit(word, start, end);
                    start = end;
                });
            }),
        }
    }
}

/// Calls `visit` with the words of a stretch without white space, end to end.
fn split<'a>(stretch: &'a str, mut visit: impl FnMut(&'a str)) {
    let (mut from, mut at) = (0, 0);
    let mut before = None;
    while let Some(c) = stretch[at..].chars().next() {
        let Some(length) = find(stretch, at, before, c) else {
            at += c.len_utf8();
            before = Some(c);
            continue;
        };
        if from < at {
            visit(&stretch[from..at]);
        }
        visit(&stretch[at..at + length]);
        before = stretch[at..at + length].chars().next_back();
        at += length;
        from = at;
    }
    if from < stretch.len() {
        visit(&stretch[from..]);
    }
}

/// The bytes of the word that [`pattern`] finds at a place, if it finds one. `c` stands there, behind `before`.
fn find(stretch: &str, at: usize, before: Option<char>, c: char) -> Option<usize> {
    let rest = &stretch[at..];
    let byte = rest.as_bytes()[0];
    let begins = before.is_none_or(is_mark);
    if c.is_ascii_alphabetic() {
        return if begins { address(rest).or_else(|| negation(rest)).or_else(|| abbreviation(rest)) } else { None };
    }
    let next = rest[c.len_utf8()..].chars().next();
    let ends = next.is_none_or(is_mark);
    if c == '@' {
        return matches!(rest.as_bytes(), [_, b'-' | b',' | b'.', b'@', ..]).then_some(3);
    }
    if !is_mark(c) {
        return None;
    }
    if byte == b'<'
        && let Some(length) = tag(rest.as_bytes())
    {
        return Some(length);
    }
    if rest.starts_with("/>") {
        return Some(2);
    }
    if RUNS.contains(&byte) {
        let length = rest.bytes().take_while(|&other| other == byte).count();
        if length > 1 {
            return Some(length);
        }
    }
    if matches!(c, '\'' | '\u{2019}') {
        let rest = &rest[c.len_utf8()..];
        let is_contraction = |word: &&&str| rest.strip_prefix(**word).is_some_and(|rest| !rest.starts_with(no_mark));
        let contraction = CONTRACTIONS.iter().find(is_contraction);
        return Some(c.len_utf8() + contraction.map_or(0, |word| word.len()));
    }
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let stands_alone = match c {
        ',' | ':' | '/' => !is_digit(before) || !is_digit(next),
        '.' => ends || next.is_some_and(|next| next.is_ascii_uppercase()) && is_behind_small(&stretch.as_bytes()[..at]),
        '&' => begins || ends,
        _ => true,
    };
    stands_alone.then_some(c.len_utf8())
}

fn no_mark(c: char) -> bool {
    !is_mark(c)
}

/// Whether two small letters end the text: `film.The` are two sentences, and `S.The` are not.
fn is_behind_small(text: &[u8]) -> bool {
    matches!(text, [.., a, b] if a.is_ascii_lowercase() && b.is_ascii_lowercase())
}

/// An address up to its last letter or `/`.
fn address(rest: &str) -> Option<usize> {
    let start = ADDRESSES.iter().find(|start| rest.starts_with(**start))?.len();
    let last = rest[start..].char_indices().rfind(|&(_, c)| c == '/' || no_mark(c));
    last.map(|(at, c)| start + at + c.len_utf8())
}

/// The `n't` of text that was split into words as treebanks do, `do n't`.
fn negation(rest: &str) -> Option<usize> {
    let stands = rest.strip_prefix(['n', 'N'])?.strip_prefix(['\'', '\u{2019}'])?.strip_prefix(['t', 'T'])?;
    (!stands.starts_with(no_mark)).then(|| rest.len() - stands.len())
}

/// `U.S.`, `J.`, `Mr.`
fn abbreviation(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let is_initial = |pair: &&[u8]| pair[0].is_ascii_alphabetic() && pair[1] == b'.';
    match bytes.chunks_exact(2).take_while(is_initial).count() {
        0 => {
            let length = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let is_one = bytes.get(length) == Some(&b'.') && ABBREVIATIONS.contains(&&rest[..length]);
            is_one.then_some(length + 1)
        }
        1 => (bytes[0].is_ascii_uppercase() && bytes[0] != b'I').then_some(2),
        initials => Some(2 * initials),
    }
}

/// `<unk>`, `<br`, `</i>`: what a tag begins with.
fn tag(bytes: &[u8]) -> Option<usize> {
    let name = if bytes.get(1) == Some(&b'/') { 2 } else { 1 };
    let letters = bytes[name..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let end = name + letters;
    (letters > 0).then(|| end + usize::from(bytes.get(end) == Some(&b'>')))
}

#[cfg(test)]
pub(crate) mod tests;
