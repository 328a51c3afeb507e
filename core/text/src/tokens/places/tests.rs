use proptest::prelude::*;

use crate::tokens::tests::{any_text, documents, load};
use crate::tokens::{Counts, Encoded, NULL, Tokenizer};

/// A tokenizer's file with these parts.
fn tokenizer(normalizer: &str, splitter: &str, model: &str) -> Tokenizer {
    let json = format!(
        r#"{{"version": "1.0", "added_tokens": [], "normalizer": {normalizer}, "pre_tokenizer": {splitter}, "model": {model}}}"#
    );
    load(&json).unwrap()
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Encoded {
    tokenizer.encode(&documents(&[text])).unwrap()
}

/// Where the tokens of a text stand, and how many characters are dropped.
fn places(tokenizer: &Tokenizer, text: &str) -> (Vec<(u32, u32)>, u64) {
    let encoded = encode(tokenizer, text);
    (encoded.starts.into_iter().zip(encoded.ends).collect(), encoded.counts.dropped)
}

const BY_SPACE: &str = r#"{"type": "WhitespaceSplit"}"#;

const PAIRS: &str = r#"{"type": "BPE", "unk_token": null, "vocab": {"a": 0, "b": 1, "ж": 2, "ab": 3, "жa": 4},
    "merges": [["a", "b"], ["ж", "a"]]}"#;

#[test]
fn byte_pairs_stand_where_they_do_though_others_are_left_out() {
    let pairs = tokenizer("null", BY_SPACE, PAIRS);
    assert_eq!(pairs.unknown(), None);
    for (text, ids, expected, dropped) in [
        ("ab a", &[3, 0][..], &[(0, 2), (3, 4)][..], 0),
        ("猫ab", &[3], &[(1, 3)], 1),
        // The library joins what stands on both sides of it.
        ("a猫😀b", &[3], &[(0, 4)], 2),
        ("a猫a", &[0, 0], &[(0, 1), (2, 3)], 1),
        ("x\u{301}ж é a猫 b", &[2, 0, 1], &[(2, 3), (6, 7), (9, 10)], 4),
        ("猫が\u{0} \u{200b}", &[], &[], 4),
        (" \u{3000}", &[], &[], 0),
    ] {
        assert_eq!(encode(&pairs, text).ids, ids, "{text}");
        assert_eq!(places(&pairs, text), (expected.to_vec(), dropped), "{text}");
    }
    let counts = pairs.encode(&documents(&["猫 が", "ab", "", " ", "b😀"])).unwrap().counts;
    let expected =
        Counts { documents: 5, tokens: 2, unknown: 0, special: 0, characters: 6, dropped: 3, dropped_documents: 1 };
    assert_eq!(counts, expected);
    assert!(!counts.is_all_unknown());
    assert!(encode(&pairs, "猫 が").counts.is_all_unknown());
}

/// A prefix mark that was put before it is no part of what is left out behind it.
#[test]
fn a_document_of_which_a_mark_remains_is_dropped() {
    let model = r#"{"type": "BPE", "unk_token": null, "vocab": {"▁": 0, "a": 1}, "merges": []}"#;
    for scheme in ["always", "first"] {
        let splitter =
            format!(r#"{{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "{scheme}", "split": true}}"#);
        let counts = encode(&tokenizer("null", &splitter, model), "猫 が").counts;
        assert_eq!((counts.characters, counts.dropped, counts.dropped_documents), (2, 2, 1));
    }
}

/// What stands at the ends of a word has another form in some vocabularies.
#[test]
fn byte_pairs_with_prefixes_suffixes_and_bytes_leave_out_what_the_library_does() {
    let model = |options: &str, vocab: &str| {
        let json = format!(r#"{{"type": "BPE", "unk_token": null, {options}, "vocab": {{{vocab}}}, "merges": []}}"#);
        tokenizer("null", BY_SPACE, &json)
    };
    let prefixed = model(r#""continuing_subword_prefix": "_""#, r#""a": 0, "_b": 1"#);
    assert_eq!(places(&prefixed, "ab ba éb"), (vec![(0, 1), (1, 2), (7, 8)], 3));
    let suffixed = model(r#""end_of_word_suffix": "$""#, r#""a": 0, "b$": 1"#);
    assert_eq!(places(&suffixed, "ab ba aé"), (vec![(0, 1), (1, 2), (6, 7)], 3));
    let in_bytes = model(r#""byte_fallback": true"#, r#""a": 0, "<0xC3>": 1, "<0xA9>": 2"#);
    assert_eq!(places(&in_bytes, "éa猫a"), (vec![(0, 1), (0, 1), (1, 2), (3, 4)], 1));
    let whole = model(r#""ignore_merges": true"#, r#""a": 0, "a猫": 1"#);
    assert_eq!(places(&whole, "a猫 a猫a"), (vec![(0, 2), (3, 4), (5, 6)], 1));
}

#[test]
fn what_normalization_makes_one_is_one() {
    let words = |normalizer: &str| {
        let model = r#"{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "cafe": 1, "caf": 2}}"#;
        tokenizer(normalizer, BY_SPACE, model)
    };
    let sequence = |kinds: &[&str]| {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!(r#"{{"type": "{kind}"}}"#)).collect();
        format!(r#"{{"type": "Sequence", "normalizers": [{}]}}"#, kinds.join(","))
    };
    let stripped = words(&sequence(&["NFD", "StripAccents", "Lowercase"]));
    for (text, end) in [("CAFÉ", 4), ("CAFE\u{301}", 5), ("cáfe\u{301}\u{323}", 6)] {
        let encoded = encode(&stripped, text);
        assert_eq!((&encoded.ids[..], encoded.ends[0], encoded.counts.dropped), (&[1][..], end, 0), "{text}");
    }
    for composed in ["NFC", "NFKC"] {
        let composed = words(&sequence(&[composed]));
        for (text, expected) in [
            ("cafe\u{301} x", vec![(0, 5), (6, 7)]),
            ("ﬁ Ａ ①", vec![(0, 1), (2, 3), (4, 5)]),
            ("\u{1112}\u{1161}\u{11ab} x", vec![(0, 3), (4, 5)]),
        ] {
            assert_eq!(places(&composed, text), (expected, 0), "{text}");
        }
    }
    // Taken away on purpose, and still not read.
    let without = words(r#"{"type": "Replace", "pattern": {"String": "."}, "content": ""}"#);
    assert_eq!(places(&without, "cafe. a.b ..."), (vec![(0, 4), (6, 9)], 4));
    let clean = words(
        r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": true, "lowercase": true}"#,
    );
    assert_eq!(places(&clean, "Cafe\u{0} Ça\u{327}"), (vec![(0, 4), (6, 9)], 1));
}

/// The mark in front of a word stands for white space, and added tokens may take some, too.
#[test]
fn white_space_around_a_token_is_none_of_it() {
    let json = r#"{"version": "1.0", "added_tokens": [{"id": 3, "content": "<m>", "single_word": false, "lstrip": true,
            "rstrip": true, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": true},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [["?", 0.0], ["▁a", -1.0], ["▁", -2.0]]}}"#;
    let tokenizer = load(json).unwrap();
    let encoded = encode(&tokenizer, "x a  <m>  a a");
    assert_eq!(encoded.ids, [0, 1, 3, 0, 1]);
    assert_eq!((encoded.starts, encoded.ends), (vec![0, 2, 5, 10, 12], vec![1, 3, 8, 11, 13]));
    // What is nothing else stands where it does.
    assert_eq!(places(&tokenizer, "a  a").0, [(0, 1), (1, 2), (3, 4)]);
}

#[test]
fn what_splitting_takes_away_is_dropped() {
    let model = r#"{"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1}}"#;
    let at_commas = |behaviour: &str| {
        let splitter = format!(
            r#"{{"type": "Sequence", "pretokenizers": [{BY_SPACE},
                {{"type": "Split", "pattern": {{"String": ","}}, "behavior": "{behaviour}", "invert": false}}]}}"#
        );
        encode(&tokenizer("null", &splitter, model), "a,b a, ,").counts
    };
    let Counts { characters, dropped, unknown, .. } = at_commas("Removed");
    assert_eq!((characters, dropped, unknown), (6, 3, 1));
    let Counts { characters, dropped, unknown, .. } = at_commas("Isolated");
    assert_eq!((characters, dropped, unknown), (6, 0, 4));
}

/// By whatever name the model has for it, and however many characters are one such token.
#[test]
fn unknown_tokens_are_counted_in_every_model() {
    let unknown = |splitter: &str, model: &str, text: &str| {
        let counts = encode(&tokenizer("null", splitter, model), text).counts;
        assert_eq!(counts.dropped, 0, "{text}");
        (counts.unknown, counts.tokens)
    };
    let words = r#"{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"a": 0, "[UNK]": 1}}"#;
    assert_eq!(unknown(BY_SPACE, words, "a b [UNK]"), (2, 3));
    let pieces = r###"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 4, "vocab": {"[UNK]": 0, "a": 1, "##a": 2}}"###;
    assert_eq!(unknown(BY_SPACE, pieces, "aa ab aaaaa"), (2, 4));
    let pairs = |fused: bool| {
        format!(
            r#"{{"type": "BPE", "unk_token": "<unk>", "fuse_unk": {fused}, "vocab": {{"<unk>": 0, "a": 1}}, "merges": []}}"#
        )
    };
    assert_eq!(unknown(BY_SPACE, &pairs(false), "a猫がa"), (2, 4));
    assert_eq!(unknown(BY_SPACE, &pairs(true), "a猫がa"), (1, 3));
    let likely = r#"{"type": "Unigram", "unk_id": 1, "vocab": [["a", -1.0], ["?", 0.0]]}"#;
    assert_eq!(unknown(BY_SPACE, likely, "a猫がa"), (1, 3));
}

/// A file that was saved with both would cut each document, and fill it up.
#[test]
fn truncation_and_padding_of_a_file_are_left_out() {
    let json = format!(
        r#"{{"version": "1.0", "added_tokens": [], "pre_tokenizer": {BY_SPACE},
            "truncation": {{"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}},
            "padding": {{"strategy": {{"Fixed": 8}}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                "pad_type_id": 0, "pad_token": "a"}},
            "model": {PAIRS}}}"#
    );
    let encoded = load(&json).unwrap().encode(&documents(&["a b a b a", "b"])).unwrap();
    assert_eq!((encoded.ids.len(), &encoded.offsets[..], encoded.counts.dropped), (6, &[0, 5, 6][..], 0));
}

/// Letters that the vocabulary of [`PAIRS`] has, and others of one to four bytes.
fn mixed() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "ж", "ab"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec![" ", "é", "猫", "😀", "e\u{301}", "\u{0}"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// What stands at the place of a token, less what is left out, is the token; and what is left out is what is counted.
    #[test]
    fn byte_pairs_are_what_stands_at_their_places(text in mixed()) {
        let pairs = tokenizer("null", BY_SPACE, PAIRS);
        let encoded = encode(&pairs, &text);
        let has = |c: &char| "abж".contains(*c);
        let scalars: Vec<char> = text.chars().collect();
        for (&id, (&start, &end)) in encoded.ids.iter().zip(encoded.starts.iter().zip(&encoded.ends)) {
            let stands = &scalars[start as usize..end as usize];
            prop_assert!(has(&stands[0]) && has(&stands[stands.len() - 1]));
            let read: String = stands.iter().filter(|c| has(c)).collect();
            prop_assert_eq!(&*read, &*pairs.forms()[id as usize]);
        }
        let characters: Vec<&char> = scalars.iter().filter(|c| !c.is_whitespace()).collect();
        let dropped = characters.iter().filter(|c| !has(c)).count();
        let Counts { characters: found, dropped: counted, dropped_documents, .. } = encoded.counts;
        prop_assert_eq!((found, counted), (characters.len() as u64, dropped as u64));
        prop_assert_eq!(dropped_documents == 1, dropped > 0 && dropped == characters.len());
    }

    /// Ids are the library's, whoever puts places right; and all places are in the text.
    #[test]
    fn any_text_has_the_ids_of_the_library(text in any_text(), spaced: bool) {
        let splitter = if spaced { BY_SPACE } else { "null" };
        let normalizers = ["null", r#"{"type": "NFC"}"#, r#"{"type": "NFKD"}"#, r#"{"type": "Lowercase"}"#];
        for normalizer in normalizers {
            let tokenizer = tokenizer(normalizer, splitter, PAIRS);
            let encoded = encode(&tokenizer, &text);
            let expected = tokenizer.inner.encode_char_offsets(&*text, true).unwrap();
            prop_assert_eq!(&encoded.ids[..], expected.get_ids());
            let length = text.chars().count() as u32;
            for (&start, &end) in encoded.starts.iter().zip(&encoded.ends) {
                prop_assert!((start, end) == (NULL, NULL) || (start < end && end <= length));
            }
            prop_assert!(encoded.counts.dropped <= encoded.counts.characters);
        }
    }
}
