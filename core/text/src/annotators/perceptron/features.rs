//! What the tagger looks at: each fact about a word and its neighbours is a row of the table of weights, by its hash.

use super::tagger::Rows;

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
struct Seen {
    /// As it is written.
    word: u64,
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
}

/// What stands beyond the ends of a sentence.
const NONE: Seen = Seen { word: 1, small: 1, prefixes: [0; 4], suffixes: [1; 5], shape: 1, has: 1 << 4 };

/// A character in small letters; of those that have several, the first.
fn small(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { c.to_lowercase().next().unwrap_or(c) }
}

impl Seen {
    fn new(parts: [&str; 2]) -> Self {
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
        seen.has = u64::from(has[0]) | u64::from(has[1]) << 1 | u64::from(has[2]) << 2 | u64::from(all_capitals) << 3;
        seen
    }
}

/// Whether a word is the `n't` of treebanks, which write `do n't` for what is `don 't` here.
fn is_negation(word: &str) -> bool {
    matches!(word, "n't" | "N'T" | "n\u{2019}t" | "N\u{2019}T")
}

/// The facts of a sentence, kept to be filled again.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    seen: Vec<Seen>,
}

/// The rows of the facts that hold before anything is tagged: `[FIXED]` a word.
pub(super) const FIXED: usize = 28;

/// The rows of the facts about the tags before a word.
pub(super) const HISTORY: usize = 4;

impl Sentence {
    /// Looks at the words of a sentence.
    pub(super) fn fill<W: AsRef<str>>(&mut self, words: &[W]) {
        self.seen.clear();
        let at = |index: usize| words.get(index).map_or("", AsRef::as_ref);
        let see = |index: usize| {
            let (word, next) = (at(index), at(index + 1));
            let first = |word: &str| word.chars().next().map_or(0, char::len_utf8);
            if is_negation(next) {
                return Seen::new([word, &next[..first(next)]]);
            }
            let is_split = index > 0 && is_negation(word);
            Seen::new([if is_split { &word[first(word)..] } else { word }, ""])
        };
        self.seen.extend((0..words.len()).map(see));
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    fn at(&self, index: usize, offset: isize) -> &Seen {
        index.checked_add_signed(offset).and_then(|at| self.seen.get(at)).unwrap_or(&NONE)
    }

    /// The word's hash, for the dictionary of words that have one tag.
    pub(super) fn word(&self, index: usize) -> u64 {
        self.seen[index].word
    }

    pub(super) fn fixed(&self, index: usize, rows: Rows) -> [u32; FIXED] {
        let before2 = self.at(index, -2);
        let before = self.at(index, -1);
        let own = self.at(index, 0);
        let after = self.at(index, 1);
        let after2 = self.at(index, 2);
        let is_first = u64::from(index == 0);
        let facts = [
            0,
            own.small,
            own.word,
            own.prefixes[0],
            own.prefixes[1],
            own.prefixes[2],
            own.prefixes[3],
            own.suffixes[0],
            own.suffixes[1],
            own.suffixes[2],
            own.suffixes[3],
            own.suffixes[4],
            own.shape,
            own.has << 1 | is_first,
            own.shape ^ is_first,
            before.small,
            before.suffixes[2],
            before.shape,
            before2.small,
            after.small,
            after.suffixes[2],
            after.suffixes[1],
            after.shape,
            after2.small,
            mix(before.small) ^ own.small,
            mix(own.small) ^ after.small,
            mix(before.small) ^ after.small,
            mix(own.suffixes[2]) ^ after.suffixes[2],
        ];
        let mut template = 0;
        facts.map(|fact| {
            template += 1;
            rows.row(mix(fact ^ mix(template)))
        })
    }

    /// `before` and `before2` are one more than the tags of the words before, 0 where there is none.
    pub(super) fn history(&self, index: usize, before: usize, before2: usize, rows: Rows) -> [u32; HISTORY] {
        let own = self.at(index, 0);
        let (before, before2) = (before as u64, before2 as u64);
        let facts = [before, before << 32 | before2, mix(own.small) ^ before, mix(self.at(index, 1).small) ^ before];
        let mut template = FIXED as u64;
        facts.map(|fact| {
            template += 1;
            rows.row(mix(fact ^ mix(template)))
        })
    }
}
