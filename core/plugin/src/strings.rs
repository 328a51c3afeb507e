//! Tables of strings as they cross the boundary: one text and the offsets that cut it.

use std::fmt;

/// A borrowed table of strings, whose offsets are known to cut the text.
#[derive(Clone, Copy)]
pub struct Strings<'a> {
    text: &'a str,
    offsets: &'a [u64],
}

impl<'a> Strings<'a> {
    /// String `i` is `text[offsets[i]..offsets[i + 1]]`; `None` where the offsets do not cut the text so. No offsets:
    /// no strings.
    pub fn new(text: &'a str, offsets: &'a [u64]) -> Option<Self> {
        let cuts = offsets.iter().all(|&o| usize::try_from(o).is_ok_and(|o| text.is_char_boundary(o)));
        let covers = match offsets {
            [] => text.is_empty(),
            [first, .., last] => *first == 0 && *last == text.len() as u64,
            [only] => *only == 0 && text.is_empty(),
        };
        (cuts && covers && offsets.is_sorted()).then_some(Self { text, offsets })
    }

    /// How many strings.
    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `None` beyond the last string.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&'a str> {
        let (from, to) = (*self.offsets.get(i)?, *self.offsets.get(i + 1)?);
        self.text.get(from as usize..to as usize)
    }

    /// In the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let text = self.text;
        self.offsets.windows(2).map(move |w| &text[w[0] as usize..w[1] as usize])
    }

    /// As they cross the boundary: all strings one after the other, and `[strings + 1]` offsets (or none).
    pub fn parts(&self) -> (&'a str, &'a [u64]) {
        (self.text, self.offsets)
    }
}

impl fmt::Debug for Strings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An owned table of strings.
#[derive(Clone, PartialEq, Eq)]
pub struct StringTable {
    text: String,
    offsets: Vec<u64>,
}

impl StringTable {
    /// Without strings.
    pub fn new() -> Self {
        Self { text: String::new(), offsets: vec![0] }
    }

    /// Adds a string and gives its index.
    pub fn push(&mut self, string: &str) -> usize {
        self.text.push_str(string);
        self.offsets.push(self.text.len() as u64);
        self.offsets.len() - 2
    }

    /// How many strings.
    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `None` beyond the last string.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&str> {
        self.as_strings().get(i)
    }

    /// As it crosses the boundary, without a copy.
    pub fn as_strings(&self) -> Strings<'_> {
        Strings { text: &self.text, offsets: &self.offsets }
    }
}

impl Default for StringTable {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StringTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_strings().fmt(f)
    }
}

impl<S: AsRef<str>> FromIterator<S> for StringTable {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut table = Self::new();
        for string in strings {
            table.push(string.as_ref());
        }
        table
    }
}

impl From<Strings<'_>> for StringTable {
    fn from(strings: Strings<'_>) -> Self {
        strings.iter().collect()
    }
}
