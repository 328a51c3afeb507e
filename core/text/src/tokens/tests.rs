use super::*;

use std::time::Instant;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::formats::TextOptions;
use crate::split::tests::any_writing;
use crate::{Context, Corpus, Disk, FormatOptions, Resolver, Words, join, words};

pub(super) fn documents<S: AsRef<str>>(texts: &[S]) -> Vec<Document> {
    let document =
        |(id, text): (usize, &S)| Document { id: id as u64, text: text.as_ref().to_owned(), ..Document::default() };
    texts.iter().enumerate().map(document).collect()
}

fn learn<S: AsRef<str>>(texts: &[S], options: &Vocabulary) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::learn(documents(texts).into_iter().map(Ok), options)
}

pub(super) fn load(json: &str) -> Result<Tokenizer, TokenizerError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(Tokenizer::FILE), json).unwrap();
    Tokenizer::load(folder.path(), &Disk)
}

fn forms(tokenizer: &Tokenizer) -> Vec<String> {
    tokenizer.forms().iter().map(|form| form.to_string()).collect()
}

/// White space of all kinds (and U+001C, which is white space to Python alone), combining marks,
/// scalars of one to four bytes, words that repeat.
pub(super) fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("the".to_owned()),
        Just("<unk>".to_owned()),
        Just("<eos>".to_owned()),
        Just("e\u{301}".to_owned()),
        r"[ \t\n\r\x0b\x0c\u{85}\u{a0}\u{1680}\u{2003}\u{2028}\u{202f}\u{3000}]{1,3}",
        r"[\x1c\u{200b}\u{feff}\u{0}]",
        r"\PC{1,4}",
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_fast_path_is_the_library(
        known in prop::collection::vec(any_text(), 0..3),
        texts in prop::collection::vec(any_text(), 0..5),
        min_count in 1..3u64,
        writing in prop::collection::vec(any_writing(), 0..5),
        words in prop::sample::select(vec![Words::Space, Words::Punctuation]),
    ) {
        let texts = [texts, writing].concat();
        let mut known = known;
        known.extend_from_slice(&texts[..texts.len() / 2]);
        known.push("a a a".to_owned());
        let options = Vocabulary { min_count, words, ..Vocabulary::default() };
        let mut tokenizer = learn(&known, &options).unwrap();
        let texts = documents(&texts);
        prop_assert!(tokenizer.plain.is_some());
        let fast = tokenizer.encode(&texts).unwrap();
        tokenizer.plain = None;
        prop_assert_eq!(fast, tokenizer.encode(&texts).unwrap());
    }

    /// Word by word, and the second time out of what is kept.
    #[test]
    fn what_is_read_word_by_word_is_what_the_library_reads(
        texts in prop::collection::vec(prop_oneof![any_text(), any_writing()], 1..6),
        tokenizer in prop::sample::select(wordwise()),
    ) {
        let mut tokenizer = load(&tokenizer).unwrap();
        prop_assert!(tokenizer.wordwise.is_some());
        let texts = documents(&texts);
        let first = tokenizer.encode(&texts).unwrap();
        let second = tokenizer.encode(&texts).unwrap();
        tokenizer.wordwise = None;
        let expected = tokenizer.encode(&texts).unwrap();
        prop_assert_eq!(&first, &expected);
        prop_assert_eq!(&second, &expected);
    }

    #[test]
    fn a_vocabulary_is_ordered_by_count_then_word(
        texts in prop::collection::vec(any_text(), 1..6),
        min_count in 1..4u64,
        max_size in prop::option::of(3..12usize),
    ) {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for word in texts.iter().flat_map(|text| text.split_whitespace()) {
            *counts.entry(word).or_default() += 1;
        }
        let options = Vocabulary { min_count, max_size, ..Vocabulary::default() };
        let kept = |&(word, &count): &(&&str, &u64)| {
            count >= min_count && ![UNKNOWN, END].contains(word)
        };
        let Ok(tokenizer) = learn(&texts, &options) else {
            prop_assert_eq!(counts.iter().filter(kept).count(), 0);
            return Ok(());
        };
        let learned = forms(&tokenizer);
        prop_assert_eq!(&learned[..2], &[UNKNOWN, END]);
        let order: Vec<_> = learned[2..].iter().map(|word| (u64::MAX - counts[&**word], word)).collect();
        prop_assert!(order.is_sorted());
        let room = max_size.map_or(usize::MAX, |size| size - 2);
        prop_assert_eq!(order.len(), counts.iter().filter(kept).count().min(room));

        let again = learn(&texts, &options).unwrap();
        prop_assert_eq!(&again.json, &tokenizer.json);
    }

    #[test]
    fn tokens_are_where_they_say(texts in prop::collection::vec(any_text(), 1..200)) {
        let texts = documents(&texts);
        let tokenizer = learn(&["a <unk> the e\u{301}"], &Vocabulary::default()).unwrap();
        let encoded = tokenizer.encode(&texts).unwrap();
        prop_assert_eq!(encoded.offsets.len(), texts.len() + 1);
        prop_assert_eq!(encoded.counts.special, texts.len() as u64);
        let forms = tokenizer.forms();
        for (document, range) in texts.iter().zip(encoded.offsets.windows(2)) {
            let range = range[0] as usize..range[1] as usize;
            let layer = words(&document.text, Words::Space);
            let joined = join(&encoded.starts[range.clone()], &encoded.ends[range.clone()], &layer.spans);
            prop_assert_eq!(joined.unjoined, 0);
            let (last, tokens) = encoded.ids[range].split_last().unwrap();
            prop_assert_eq!(*last, 1);
            prop_assert_eq!(tokens.len(), layer.spans.len());
            for (&id, span) in tokens.iter().zip(joined.spans) {
                let (form, word) = (&*forms[id as usize], &*span.unwrap().value);
                let is_known = forms.iter().any(|form| **form == *word);
                prop_assert_eq!(form, if is_known { word } else { UNKNOWN });
            }
        }
    }
}

/// Tokenizers of the kinds that are read word by word.
fn wordwise() -> Vec<String> {
    let models = [
        r###"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 6,
            "vocab": {"[UNK]": 0, "[CLS]": 1, "the": 2, "th": 3, "##e": 4, "e": 5, "e\u0301": 6, "a": 7, "##a": 8, "<": 9, "unk": 10}}"###,
        r###"{"type": "BPE", "unk_token": null, "merges": [["t", "h"], ["th", "e"]],
            "vocab": {"[UNK]": 0, "[CLS]": 1, "t": 2, "h": 3, "e": 4, "th": 5, "the": 6, "a": 7, "\u0301": 8}}"###,
        r###"{"type": "Unigram", "unk_id": 0, "byte_fallback": false,
            "vocab": [["[UNK]", 0.0], ["[CLS]", -1.0], ["the", -2.0], ["t", -3.0], ["h", -3.5], ["e", -3.0], ["a", -2.5]]}"###,
    ];
    let normalizers = [
        "null".to_owned(),
        r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}"#.to_owned(),
        r#"{"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}"#.to_owned(),
        r#"{"type": "NFC"}"#.to_owned(),
    ];
    let splitters = [
        r#"{"type": "BertPreTokenizer"}"#,
        r#"{"type": "Whitespace"}"#,
        r#"{"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}]}"#,
    ];
    let processors = [
        "null",
        r#"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}}}"#,
    ];
    let mut all = Vec::new();
    for model in models {
        for normalizer in &normalizers {
            for splitter in splitters {
                for processor in processors {
                    all.push(format!(
                        r#"{{"version": "1.0", "added_tokens": [{{"id": 1, "content": "[CLS]", "single_word": false,
                            "lstrip": false, "rstrip": false, "normalized": false, "special": true}}], "normalizer": {normalizer},
                            "pre_tokenizer": {splitter}, "post_processor": {processor}, "model": {model}}}"#
                    ));
                }
            }
        }
    }
    all
}

#[test]
fn a_saved_tokenizer_loads_as_it_was() {
    let tokenizer = learn(&["b a b c", "a b"], &Vocabulary::default()).unwrap();
    assert_eq!(forms(&tokenizer), [UNKNOWN, END, "b", "a", "c"]);
    assert_eq!((tokenizer.size(), tokenizer.unknown()), (5, Some(0)));

    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let loaded = Tokenizer::load(folder.path(), &Disk).unwrap();
    assert_eq!(loaded.forms(), tokenizer.forms());
    let texts = documents(&["c d", "", "a"]);
    let encoded = loaded.encode(&texts).unwrap();
    assert_eq!(encoded, tokenizer.encode(&texts).unwrap());
    assert_eq!(
        encoded,
        Encoded {
            ids: vec![4, 0, 1, 1, 3, 1],
            offsets: vec![0, 3, 4, 6],
            starts: vec![0, 2, NULL, NULL, 0, NULL],
            ends: vec![1, 3, NULL, NULL, 1, NULL],
            counts: Counts { documents: 3, tokens: 6, unknown: 1, special: 3, characters: 3, ..Counts::default() },
        }
    );
    let other = tempfile::tempdir().unwrap();
    loaded.save(other.path()).unwrap();
    let bytes = |folder: &Path| fs::read(folder.join(Tokenizer::FILE)).unwrap();
    assert_eq!(bytes(other.path()), bytes(folder.path()));
}

#[test]
fn a_text_of_unknown_words_alone_is_seen() {
    let tokenizer = learn(&["a b"], &Vocabulary::default()).unwrap();
    let all_unknown = |texts: &[&str]| tokenizer.encode(&documents(texts)).unwrap().counts.is_all_unknown();
    assert!(all_unknown(&["x y", "z"]));
    assert!(!all_unknown(&["x y", "a"]));
    assert!(!all_unknown(&[]));
    assert!(!all_unknown(&[""]));
}

#[test]
fn options_that_leave_no_word_are_refused() {
    let texts = ["a b b <unk> <unk> <unk>"];
    let message = |min_count, max_size| {
        let options = Vocabulary { min_count, max_size, ..Vocabulary::default() };
        learn(&texts, &options).err().unwrap().to_string()
    };
    let expected = "the vocabulary would be empty: none of the text's 3 words is seen 3 times; lower `min_count`";
    assert_eq!(message(3, None), expected);
    for size in 0..3 {
        let options = Vocabulary { min_count: 1, max_size: Some(size), ..Vocabulary::default() };
        let expected = format!("`max_size` is {size}; it needs at least 3, for <unk>, <eos> and a word");
        assert_eq!(options.check().unwrap_err().to_string(), expected);
        assert_eq!(message(1, Some(size)), expected);
    }
    for (min_count, max_size, size) in [(0, None, 4), (1, Some(3), 3), (0, Some(usize::MAX), 4)] {
        let options = Vocabulary { min_count, max_size, ..Vocabulary::default() };
        options.check().unwrap();
        assert_eq!(learn(&texts, &options).unwrap().size(), size);
    }
    assert!(message(u64::MAX, None).ends_with("is seen 18446744073709551615 times; lower `min_count`"));
}

#[test]
fn any_tokenizer_of_the_library_encodes() {
    // Byte pairs over bytes, with a special token in front and truncation, as GPT-2's is written.
    let json = r#"{
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "added_tokens": [{"id": 8, "content": "[CLS]", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": true},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [8], "tokens": ["[CLS]"]}}},
        "model": {"type": "BPE", "unk_token": null,
            "vocab": {"t": 0, "h": 1, "e": 2, "Ġ": 3, "Ã": 4, "«": 5, "th": 6, "Ġt": 7},
            "merges": [["t", "h"], ["Ġ", "t"]]}
    }"#;
    let tokenizer = load(json).unwrap();
    assert!(tokenizer.plain.is_none());
    assert_eq!((tokenizer.size(), tokenizer.unknown()), (9, None));
    assert_eq!(forms(&tokenizer)[6..], ["th", "Ġt", "[CLS]"]);

    let texts = documents(&["thë th", "[CLS]"]);
    let encoded = tokenizer.encode(&texts).unwrap();
    assert_eq!(encoded.ids, [8, 6, 4, 5, 3, 6, 8, 8]);
    assert_eq!(encoded.offsets, [0, 6, 8]);
    // Both bytes of `ë` stand at its one scalar; the `[CLS]` of the text has a place, the other not.
    assert_eq!(encoded.starts, [NULL, 0, 2, 2, 3, 4, NULL, 0]);
    assert_eq!(encoded.ends, [NULL, 2, 3, 3, 4, 6, NULL, 5]);

    let layer = words(&texts[0].text, Words::Space);
    let joined = join(&encoded.starts[..6], &encoded.ends[..6], &layer.spans);
    let words: Vec<_> = joined.spans.iter().map(|span| span.map(|span| &*span.value)).collect();
    let expected = [None, Some("thë"), Some("thë"), Some("thë"), None, Some("th")];
    assert_eq!(words, expected);
    assert_eq!(joined.unjoined, 1, "the token of the white space alone");
}

fn word_level(model: &str, processor: &str) -> String {
    format!(
        r#"{{"version": "1.0", "added_tokens": [], "pre_tokenizer": {{"type": "WhitespaceSplit"}},
            "post_processor": {processor}, "model": {{"type": "WordLevel", {model}}}}}"#
    )
}

#[test]
fn an_unknown_word_without_an_entry_for_it_is_an_error_with_its_document() {
    let json = word_level(r#""vocab": {"a": 0}, "unk_token": "<unk>""#, "null");
    let mut tokenizer = load(&json).unwrap();
    assert_eq!(tokenizer.unknown(), None);
    let texts = documents(&["a a", "a b"]);
    let message = |tokenizer: &Tokenizer| tokenizer.encode(&texts).err().unwrap().to_string();
    let start = format!("document 1 does not go through {}: ", tokenizer.path.display());
    assert!(tokenizer.path.ends_with(Tokenizer::FILE));
    let expected = format!("{start}'b' is unknown, and the vocabulary has no unknown word");
    assert_eq!(message(&tokenizer), expected);
    tokenizer.plain = None;
    assert!(message(&tokenizer).starts_with(&start));
}

#[test]
fn malformed_files_are_refused_with_a_reason() {
    let template = r#"{"type": "TemplateProcessing", "special_tokens": {},
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]}"#;
    let sequence = format!(r#"{{"type": "Sequence", "processors": [{template}]}}"#);
    let vocabulary = |vocab: &str| format!(r#""vocab": {vocab}, "unk_token": "<unk>""#);
    let cases = [
        ("".to_owned(), "not JSON: "),
        ("{\"version\": ".to_owned(), "not JSON: "),
        ("[]".to_owned(), "not a tokenizer: "),
        ("{}".to_owned(), "not a tokenizer: "),
        (word_level(r#""vocab": 3"#, "null"), "not a tokenizer: "),
        (word_level(&vocabulary("{}"), "null"), "the vocabulary is empty"),
        (word_level(&vocabulary(r#"{"a": 1, "b": 1}"#), "null"), "'a' and 'b' both have the id 1"),
        (word_level(&vocabulary(r#"{"a": 4294967295}"#), "null"), "1 entries, and one has the id"),
        (word_level(&vocabulary(r#"{"a": 0}"#), template), "the template names '<s>'"),
        (word_level(&vocabulary(r#"{"a": 0}"#), &sequence), "the template names '<s>'"),
    ];
    for (json, expected) in cases {
        let message = load(&json).err().unwrap().to_string();
        assert!(message.contains(&format!("{}: {expected}", Tokenizer::FILE)), "{message}");
    }
    let nowhere = Tokenizer::load(Path::new("/nowhere"), &Disk).err().unwrap();
    let nowhere = nowhere.to_string();
    assert!(nowhere.starts_with("/nowhere/tokenizer.json: "));
    // What it says makes one.
    let json = nowhere.split("json.dump(").nth(1).and_then(|rest| rest.split(", open(").next()).unwrap();
    let tokenizer = load(&json.replace(": words", r#": {"<unk>": 0, "ship": 1}"#)).unwrap();
    let encoded = tokenizer.encode(&documents(&["the ship"])).unwrap();
    assert_eq!(encoded.ids, [0, 1]);
}

/// Real files that the library panics on, when it reads or when it encodes.
#[test]
fn what_the_library_panics_on_is_the_files_fault() {
    let fixed_length = r#"{"type": "FixedLength", "length": 0}"#;
    let json = word_level(r#""vocab": {"a": 0, "<unk>": 1}, "unk_token": "<unk>""#, "null");
    let json = json.replace(r#"{"type": "WhitespaceSplit"}"#, fixed_length);
    let message = load(&json).err().unwrap().to_string();
    let expected = "tokenizer.json: the `tokenizers` library breaks on it: chunk size must be non-zero";
    assert!(message.ends_with(expected), "{message}");

    // A table of normalization whose trie ends before what it leads to: it is seen at the text that leads there.
    let table = |size: u32, units: [u32; 98]| {
        let bytes: Vec<u8> = [size].iter().chain(&units).flat_map(|unit| unit.to_le_bytes()).collect();
        let table = BASE64_STANDARD.encode(bytes);
        let normalizer = format!(r#""normalizer": {{"type": "Precompiled", "precompiled_charsmap": "{table}"}},"#);
        load(&json.replace("\"length\": 0", "\"length\": 1").replace("\"model\"", &format!("{normalizer} \"model\"")))
    };
    let tokenizer = table(98 * 4, [0; 98]).unwrap();
    assert!(tokenizer.encode(&documents(&["a"])).is_ok());
    let message = tokenizer.encode(&documents(&["a", "z"])).unwrap_err().to_string();
    let start = format!("document 1 does not go through {}: the `tokenizers` library", tokenizer.path.display());
    assert!(message.starts_with(&start), "{message}");
    // For what this says it is, the library takes eight gigabytes, or ends the process.
    let message = table(u32::MAX, [0; 98]).err().unwrap().to_string();
    assert!(message.ends_with("precompiled_charsmap: 396 bytes, and it says that 4294967295 follow"), "{message}");
}

/// Cut off where the library cuts it, what is left of the `é` would be no text.
#[test]
fn a_merge_without_the_prefix_of_its_second_part_is_refused() {
    let json = |second: &str| {
        format!(
            r#"{{"version": "1.0", "added_tokens": [], "model": {{"type": "BPE", "continuing_subword_prefix": "_",
                "vocab": {{"a": 0, "é": 1, "_é": 2, "aé": 3}}, "merges": [{second}]}}}}"#
        )
    };
    for merge in [r#"["a", "_é"]"#, r#""a _é""#] {
        let tokenizer = load(&json(merge)).unwrap();
        assert_eq!(tokenizer.encode(&documents(&["aé"])).unwrap().ids, [3]);
    }
    for merge in [r#"["a", "é"]"#, r#""a é""#] {
        let message = load(&json(merge)).err().unwrap().to_string();
        assert!(message.ends_with("'é' stands second in a merge, and does not begin with '_'"), "{message}");
    }
}

/// Ids come from templates, too, which may say what they like.
#[test]
fn an_id_beyond_the_vocabulary_is_the_files_fault() {
    let template = r#"{"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]}}}"#;
    let plain = word_level(r#""vocab": {"a": 0, "<unk>": 1}, "unk_token": "<unk>""#, template);
    let general = plain.replace("WhitespaceSplit", "Whitespace");
    for json in [plain, general] {
        let message = load(&json).err().unwrap().to_string();
        assert!(message.ends_with("tokenizer.json: it gives the id 7, and its vocabulary ends before 2"), "{message}");
    }
}

/// The corpora under `TXRAY_DATA`, or a word that the test was skipped.
fn wikitext() -> Option<Box<dyn Corpus>> {
    let Some(data) = std::env::var_os("TXRAY_DATA") else {
        println!("skipped: TXRAY_DATA is not set");
        return None;
    };
    let file = |split: &str| Some(format!("wikitext-2/{split}.txt").into());
    let options =
        TextOptions { train: file("train"), valid: file("valid"), test: file("test"), ..TextOptions::default() };
    let resolver = Resolver { data: Some(data.into()), ..Resolver::default() };
    Some(options.open(&Context { resolver: &resolver, seed: 0 }).unwrap())
}

#[test]
fn wikitext_gives_the_numbers_of_the_python_library() {
    let Some(corpus) = wikitext() else { return };
    let learn = |min_count| {
        let options = Vocabulary { min_count, ..Vocabulary::default() };
        Tokenizer::learn(corpus.documents("train", &Disk).unwrap(), &options).unwrap()
    };
    assert_eq!(learn(1).size(), 33_278);
    let mut tokenizer = learn(10);
    assert_eq!(tokenizer.size(), 14_447);
    // Of the file that Python wrote for the same text, words seen at least 10 times.
    let digest = Sha256::digest(tokenizer.json.as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "9b590fc03014739a132102a91f53ceb750e0fb724ed04fa25770277de99f5ff1");

    for (split, tokens, articles) in [("valid", 216_347, 60), ("test", 244_102, 60)] {
        let documents = corpus.documents(split, &Disk).unwrap();
        let documents: Vec<Document> = documents.collect::<Result<_, _>>().unwrap();
        let groups: std::collections::HashSet<_> = documents.iter().map(|d| &d.group).collect();
        assert_eq!(groups.len(), articles);
        let time = Instant::now();
        let fast = tokenizer.encode(&documents).unwrap();
        println!("{split}: {:.1} M tokens/s", tokens as f64 / 1e6 / time.elapsed().as_secs_f64());
        assert_eq!(fast.ids.len(), tokens);
        let plain = tokenizer.plain.take();
        let time = Instant::now();
        assert_eq!(tokenizer.encode(&documents).unwrap(), fast);
        println!("general: {:.1} M tokens/s", tokens as f64 / 1e6 / time.elapsed().as_secs_f64());
        tokenizer.plain = plain;
    }
}
