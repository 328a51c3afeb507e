//! What a text is encoded to.

use std::ops::AddAssign;

use txray_plugin::NULL;

/// The tokens of some documents, end to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// `[tokens]`
    pub ids: Vec<u32>,
    /// `[documents + 1]`: document `d` has the tokens `offsets[d]..offsets[d + 1]`.
    pub offsets: Vec<u64>,
    /// `[tokens]`: the Unicode scalar of its document that a token starts at, or [`NULL`].
    pub starts: Vec<u32>,
    /// `[tokens]`: the Unicode scalar that it ends before, or [`NULL`].
    pub ends: Vec<u32>,
    /// What of them is known.
    pub counts: Counts,
}

/// What of a text its tokens read. Characters are Unicode scalars that are no white space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The documents.
    pub documents: u64,
    /// All tokens.
    pub tokens: u64,
    /// Tokens with a place in the text whose id is that of the unknown word.
    pub unknown: u64,
    /// Tokens without a place in the text.
    pub special: u64,
    /// The characters of the text.
    pub characters: u64,
    /// Characters that are in no token, or that a model left out of the one they are in: nothing is read of them.
    pub dropped: u64,
    /// Documents with characters, all of which are dropped.
    pub dropped_documents: u64,
}

impl Counts {
    /// Whether nothing of the text is known: the model was trained on another language, or with another tokenizer.
    pub fn is_all_unknown(&self) -> bool {
        let is_unknown = self.unknown + self.special == self.tokens || self.dropped == self.characters;
        self.characters > 0 && is_unknown
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.tokens += other.tokens;
        self.unknown += other.unknown;
        self.special += other.special;
        self.characters += other.characters;
        self.dropped += other.dropped;
        self.dropped_documents += other.dropped_documents;
    }
}

impl Encoded {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], ..Self::default() }
    }

    pub(super) fn push(&mut self, id: u32, start: u32, end: u32, unknown: Option<u32>) {
        // A token of no text (a lone prefix mark) is nowhere, whatever its offsets say.
        let (start, end) = if start < end { (start, end) } else { (NULL, NULL) };
        self.ids.push(id);
        self.starts.push(start);
        self.ends.push(end);
        self.counts.tokens += 1;
        self.counts.special += u64::from(start == NULL);
        self.counts.unknown += u64::from(start != NULL && Some(id) == unknown);
    }

    /// Ends a document of so many characters, so many of them dropped.
    pub(super) fn end_document(&mut self, characters: u64, dropped: u64) {
        self.offsets.push(self.ids.len() as u64);
        self.counts.documents += 1;
        self.counts.characters += characters;
        self.counts.dropped += dropped;
        self.counts.dropped_documents += u64::from(characters > 0 && dropped == characters);
    }

    pub(super) fn append(&mut self, other: &Self) {
        let before = self.ids.len() as u64;
        self.ids.extend_from_slice(&other.ids);
        self.starts.extend_from_slice(&other.starts);
        self.ends.extend_from_slice(&other.ends);
        let offsets = other.offsets.iter().skip(1);
        self.offsets.extend(offsets.map(|offset| before + offset));
        self.counts += other.counts;
    }
}
