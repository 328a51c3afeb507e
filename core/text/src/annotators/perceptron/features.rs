//! What the tagger looks at: each fact about a word and its neighbours is a row of the table of weights, by its hash.

/// How many rows a table of weights has: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    mask: u32,
}

impl Rows {
    /// The weights that a table has at most: 64 MiB of them.
    const WEIGHTS: usize = 1 << 24;
    /// The rows that it has at most.
    const MOST: usize = 1 << 19;

    /// The rows for so many tags.
    pub(super) fn of_tags(tags: usize) -> Self {
        let most = (Self::WEIGHTS / tags.max(1)).clamp(1, Self::MOST);
        Self { mask: (1 << most.ilog2()) - 1 }
    }

    pub(super) fn count(self) -> usize {
        self.mask as usize + 1
    }

    pub(super) fn row(self, hash: u64) -> u32 {
        hash as u32 & self.mask
    }
}

/// FNV-1a, a character at a time.
const START: u64 = 0xcbf2_9ce4_8422_2325;

fn step(hash: u64, c: char) -> u64 {
    (hash ^ u64::from(c)).wrapping_mul(0x100_0000_01b3)
}

/// SplitMix64's finaliser: facts that differ little lie far apart.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

/// Facts about a word that need no neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// As it is written.
    pub(super) word: u64,
    /// In small letters.
    small: u64,
    /// Its first one to four characters, small; 0 where it has no more than so many.
    prefixes: [u64; 4],
    /// Its last one to five, likewise.
    suffixes: [u64; 5],
    /// `Xx-d` for `Anti-1990`.
    shape: u64,
    /// Whether it has a digit, a hyphen, a capital, and capitals alone.
    has: u64,
    /// Whether which word it is says nothing, as of `<unk>`.
    pub(super) is_unseen: bool,
}

/// What stands beyond the ends of a sentence.
pub(super) const NONE: Seen =
    Seen { word: 1, small: 1, prefixes: [0; 4], suffixes: [1; 5], shape: 1, has: 1 << 4, is_unseen: false };

/// A character in small letters; of those that have several, the first.
fn small(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { c.to_lowercase().next().unwrap_or(c) }
}

impl Seen {
    pub(super) fn new(parts: [&str; 2]) -> Self {
        let characters = || parts.iter().flat_map(|part| part.chars());
        let mut seen = Self { word: START, small: START, shape: START, ..Self::default() };
        let (mut last_shape, mut has, mut all_capitals, mut length) = (None, [false; 3], true, 0);
        for c in characters() {
            let is_capital = c.is_uppercase();
            let shape = match c {
                _ if is_capital => 'X',
                _ if c.is_alphabetic() => 'x',
                _ if c.is_numeric() => 'd',
                _ => c,
            };
            has[0] |= shape == 'd';
            has[1] |= c == '-';
            has[2] |= is_capital;
            all_capitals &= is_capital;
            seen.word = step(seen.word, c);
            seen.small = step(seen.small, small(c));
            if last_shape != Some(shape) {
                seen.shape = step(seen.shape, shape);
            }
            last_shape = Some(shape);
            if let Some(prefix) = seen.prefixes.get_mut(length) {
                *prefix = seen.small;
            }
            length += 1;
        }
        let mut suffix = START;
        for (place, c) in seen.suffixes.iter_mut().zip(characters().rev()) {
            suffix = step(suffix, small(c));
            *place = suffix;
        }
        // What stands in WikiText for words that are too rare to be told.
        seen.is_unseen = parts == ["<unk>", ""];
        seen.has = u64::from(has[0]) | u64::from(has[1]) << 1 | u64::from(has[2]) << 2 | u64::from(all_capitals) << 3;
        seen
    }
}

/// Where a word stands to the one that is tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the one.
    Own,
    /// It is the one, and the first of its sentence.
    First,
    Before2,
    Before,
    After,
    After2,
}

impl Role {
    pub(super) const ALL: [Self; 6] = [Self::Own, Self::First, Self::Before2, Self::Before, Self::After, Self::After2];
}

/// Facts of one kind each, as rows: a template's number keeps what it says apart from what others say.
fn rows_of(first: u64, facts: &[u64], rows: Rows, out: &mut Vec<u32>) {
    out.extend((first..).zip(facts).map(|(template, fact)| rows.row(mix(fact ^ mix(template)))));
}

impl Seen {
    /// Appends the rows of what a word says by itself in a role.
    pub(super) fn facts(&self, role: Role, rows: Rows, out: &mut Vec<u32>) {
        let is_first = u64::from(role == Role::First);
        let mut put = |first, facts: &[u64]| rows_of(first, facts, rows, out);
        if !self.is_unseen {
            match role {
                Role::Own | Role::First => put(5, &[self.small, self.word]),
                Role::Before2 => put(40, &[self.small]),
                Role::Before => put(50, &[self.small]),
                Role::After => put(60, &[self.small]),
                Role::After2 => put(70, &[self.small]),
            }
        }
        match role {
            Role::Own | Role::First => {
                put(1, &[0, self.shape, self.has << 1 | is_first, self.shape ^ is_first]);
                put(10, &self.prefixes);
                put(20, &self.suffixes);
            }
            Role::Before => put(51, &[self.suffixes[2]]),
            Role::After => put(61, &[self.suffixes[2], self.suffixes[1], self.shape]),
            Role::Before2 | Role::After2 => {}
        }
    }
}

/// Appends the rows of what a word and its neighbours say together.
pub(super) fn pairs(before: &Seen, own: &Seen, after: &Seen, rows: Rows, out: &mut Vec<u32>) {
    let mut put = |first, fact: u64| rows_of(first, &[fact], rows, out);
    if !own.is_unseen && !before.is_unseen {
        put(80, mix(own.small) ^ before.small);
    }
    if !own.is_unseen && !after.is_unseen {
        put(81, mix(own.small) ^ after.small);
    }
}

/// Appends the rows of the tags before a word: one more than each, 0 where there is none.
pub(super) fn history(own: &Seen, after: &Seen, before: usize, before2: usize, rows: Rows, out: &mut Vec<u32>) {
    let (before, before2) = (before as u64, before2 as u64);
    rows_of(90, &[before, before << 32 | before2, mix(own.suffixes[2]) ^ before], rows, out);
    if !own.is_unseen {
        rows_of(93, &[mix(own.small) ^ before], rows, out);
    }
    if !after.is_unseen {
        rows_of(95, &[mix(after.small) ^ before], rows, out);
    }
}

/// Whether a word is the `n't` of treebanks, which write `do n't` for what is `don 't` here.
fn is_negation(word: &str) -> bool {
    matches!(word, "n't" | "N'T" | "n\u{2019}t" | "N\u{2019}T")
}

/// The parts of a word of a sentence, `don` and `'t` where it is written `do` and `n't`.
pub(super) fn parts<W: AsRef<str>>(words: &[W], index: usize) -> [&str; 2] {
    let at = |index: usize| words.get(index).map_or("", |word| word.as_ref());
    let (word, next) = (at(index), at(index + 1));
    let first = |word: &str| word.chars().next().map_or(0, char::len_utf8);
    if is_negation(next) {
        return [word, &next[..first(next)]];
    }
    let is_split = index > 0 && is_negation(word);
    [if is_split { &word[first(word)..] } else { word }, ""]
}

/// The hash of a word by its parts.
pub(super) fn hash(parts: [&str; 2]) -> u64 {
    parts.iter().flat_map(|part| part.chars()).fold(START, step)
}
