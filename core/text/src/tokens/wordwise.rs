//! Tokenizers that read the words of a text each by itself: what they make of a word is made once.

use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

use super::encoded::Encoded;

/// White space at which every tokenizer here ends a word, whatever it makes of others.
pub(super) const SPACES: [char; 4] = [' ', '\t', '\n', '\r'];

/// Words that are kept, and their longest, in bytes: a bound on memory.
const WORDS: usize = 1 << 16;
const LONGEST: usize = 64;

/// Whether a tokenizer reads the words between [`SPACES`] each by itself: the same tokens, at the same places.
pub(super) fn is_wordwise(tokenizer: &tokenizers::Tokenizer) -> bool {
    let splits = match tokenizer.get_pre_tokenizer() {
        Some(PreTokenizerWrapper::Sequence(sequence)) => match sequence.as_ref() {
            [first, rest @ ..] => ends_words(first) && rest.iter().all(is_local),
            [] => false,
        },
        Some(splitter) => ends_words(splitter),
        None => false,
    };
    let added = tokenizer.get_added_vocabulary().get_added_tokens_decoder();
    let stays_in_a_word = |token: &tokenizers::AddedToken| {
        let reaches_out = token.single_word || token.lstrip || token.rstrip;
        !(token.normalized || reaches_out || token.content.contains(char::is_whitespace))
    };
    splits && tokenizer.get_normalizer().is_none_or(is_by_character) && added.values().all(stays_in_a_word)
}

/// At white space, to begin with.
fn ends_words(splitter: &PreTokenizerWrapper) -> bool {
    matches!(
        splitter,
        PreTokenizerWrapper::BertPreTokenizer(_)
            | PreTokenizerWrapper::Whitespace(_)
            | PreTokenizerWrapper::WhitespaceSplit(_)
    )
}

/// Looks at the piece that it splits, and at nothing beside it.
fn is_local(splitter: &PreTokenizerWrapper) -> bool {
    let is_other = matches!(
        splitter,
        PreTokenizerWrapper::Punctuation(_) | PreTokenizerWrapper::Digits(_) | PreTokenizerWrapper::Split(_)
    );
    is_other || ends_words(splitter)
}

/// Looks at characters and those that combine with them, none of which combines with [`SPACES`].
fn is_by_character(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().all(is_by_character),
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::StripAccents(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_) => true,
        _ => false,
    }
}

/// What surrounds the words of a document, and what is known of words already.
pub(super) struct Wordwise {
    pub before: Vec<u32>,
    pub after: Vec<u32>,
    /// Those that no thread has at the moment.
    known: Mutex<Vec<HashMap<Box<str>, Encoded>>>,
}

impl Wordwise {
    pub fn new(before: Vec<u32>, after: Vec<u32>) -> Self {
        Self { before, after, known: Mutex::default() }
    }

    /// Lends what is known of words.
    pub fn lend<T>(&self, to: impl FnOnce(&mut HashMap<Box<str>, Encoded>) -> T) -> T {
        let pool = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = pool().pop().unwrap_or_default();
        let given = to(&mut known);
        pool().push(known);
        given
    }
}

/// What `encode` makes of a word, as a document by itself: looked up where it is known.
pub(super) fn look_up<'a, E>(
    known: &'a mut HashMap<Box<str>, Encoded>,
    word: &str,
    room: &'a mut Encoded,
    encode: impl FnOnce(&str, &mut Encoded) -> Result<(), E>,
) -> Result<&'a Encoded, E> {
    if known.contains_key(word) {
        return Ok(&known[word]);
    }
    *room = Encoded::new();
    encode(word, room)?;
    if word.len() <= LONGEST && known.len() < WORDS {
        return Ok(known.entry(word.into()).insert(std::mem::take(room)).into_mut());
    }
    Ok(room)
}
