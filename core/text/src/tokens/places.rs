//! Where the library's tokens stand in a text, and what of it none of them reads.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;

use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::tokenizer::normalizer;
use tokenizers::{Encoding, Model, NormalizedString, OffsetType, PreTokenizer, Token, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

use txray_plugin::NULL;

/// What `Tokenizer::encode_char_offsets` gives, and the bytes of the text that the model leaves out: byte pairs without an
/// unknown token leave out what their vocabulary lacks. The library then counts places as if it had not stood there.
pub(super) fn encode(
    tokenizer: &Tokenizer,
    text: &str,
    add_special: bool,
) -> tokenizers::Result<(Encoding, Vec<Range<usize>>)> {
    let model = match tokenizer.get_model() {
        ModelWrapper::BPE(model) if model.unk_token.is_none() => model,
        _ => return Ok((tokenizer.encode_char_offsets(text, add_special)?, Vec::new())),
    };
    let left_out = RefCell::new(Vec::new());
    let mut pieces = tokenizer.get_added_vocabulary().extract_and_normalize(tokenizer.get_normalizer(), text);
    if let Some(splitter) = tokenizer.get_pre_tokenizer() {
        splitter.pre_tokenize(&mut pieces)?;
    }
    pieces.tokenize(|piece| {
        let mut tokens = model.tokenize(piece.get())?;
        left_out.borrow_mut().extend(put_right(model, piece, &mut tokens));
        Ok(tokens)
    })?;
    let encoding = pieces.into_encoding(None, 0, OffsetType::Char)?;
    Ok((tokenizer.post_process(encoding, None, add_special)?, left_out.into_inner()))
}

/// Puts the tokens of a piece where they stand in it, and gives the bytes of the text that they leave out.
fn put_right(model: &BPE, piece: &NormalizedString, tokens: &mut [Token]) -> Vec<Range<usize>> {
    let text = piece.get();
    if tokens.last().map_or(0, |token| token.offsets.1) == text.len() {
        return Vec::new();
    }
    // Where each byte that was read stands.
    let mut read = Vec::with_capacity(text.len());
    let mut left_out = Vec::new();
    for (at, c) in text.char_indices() {
        let bytes = at..at + c.len_utf8();
        match is_read(model, text, &bytes) {
            true => read.extend(bytes),
            false => left_out.push(bytes),
        }
    }
    for token in tokens {
        let (start, end) = token.offsets;
        if let (Some(&first), Some(&last)) = (read.get(start), read.get(end.saturating_sub(1))) {
            token.offsets = (first, last + 1);
        }
    }
    let (shift, _) = piece.offsets_original();
    let places = left_out.into_iter().filter_map(|bytes| piece.convert_offsets(normalizer::Range::Normalized(bytes)));
    places.map(|place| shift + place.start..shift + place.end).collect()
}

/// Whether the vocabulary has a character of a piece, as it stands there or in its bytes.
fn is_read(model: &BPE, piece: &str, bytes: &Range<usize>) -> bool {
    let prefix = model.continuing_subword_prefix.as_deref().filter(|_| bytes.start > 0).unwrap_or_default();
    let suffix = model.end_of_word_suffix.as_deref().filter(|_| bytes.end == piece.len()).unwrap_or_default();
    let form = format!("{prefix}{}{suffix}", &piece[bytes.clone()]);
    let is_in_bytes = || form.bytes().all(|byte| model.token_to_id(&format!("<{byte:#04X}>")).is_some());
    model.token_to_id(&form).is_some() || model.byte_fallback && is_in_bytes()
}

/// How many characters (Unicode scalars that are no white space) a text has, and how many of them are dropped: in no token, or left
/// out by a model. What normalization made one with the character before it, such as an accent, is in that one's tokens: their
/// ends move behind it. White space at the ends of tokens that are more than that is taken off.
pub(super) fn count(text: &str, starts: &mut [u32], ends: &mut [u32], left_out: &[Range<usize>]) -> (u64, u64) {
    let is_space: Vec<bool> = text.chars().map(char::is_whitespace).collect();
    let mut is_read = vec![false; is_space.len()];
    for (start, end) in starts.iter_mut().zip(&mut *ends).filter(|(start, _)| **start != NULL) {
        let stands = &is_space[*start as usize..*end as usize];
        if let (Some(first), Some(last)) =
            (stands.iter().position(|space| !space), stands.iter().rposition(|space| !space))
        {
            (*start, *end) = (*start + first as u32, *start + last as u32 + 1);
        }
        is_read[*start as usize..*end as usize].fill(true);
    }
    let characters = is_space.iter().filter(|space| !**space).count() as u64;
    if left_out.is_empty() && is_read.iter().zip(&is_space).all(|(is_read, is_space)| is_read | is_space) {
        return (characters, 0);
    }
    let left_out: HashSet<usize> = left_out.iter().cloned().flatten().collect();
    // Where a token ends that ends at each place.
    let mut moved: Vec<u32> = (0..=is_read.len() as u32).collect();
    let (mut at, mut dropped) = (0, 0);
    for (byte, seen_as_one) in text.grapheme_indices(true) {
        // Where what is read of it ends.
        let mut end = None;
        for (offset, _) in seen_as_one.char_indices() {
            let is_left_out = left_out.contains(&(byte + offset));
            match end {
                _ if is_left_out => end = None,
                _ if is_read[at] => end = Some(at + 1),
                Some(end) if !is_space[at] => moved[end] = at as u32 + 1,
                _ => {}
            }
            dropped += u64::from(end.is_none() && !is_space[at]);
            at += 1;
        }
    }
    for end in ends.iter_mut().filter(|end| **end != NULL) {
        *end = moved[*end as usize];
    }
    (characters, dropped)
}

#[cfg(test)]
mod tests;
