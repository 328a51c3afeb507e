use txray_plugin::{Component, Sign};
use txray_text::Vocabulary;

use super::*;
use crate::testing::{Fake, FakeOptions, WIDTH};

fn document(id: u64, text: &str) -> Document {
    Document { id, text: text.to_owned(), ..Document::default() }
}

/// A tokenizer of the words `a`, `b`, `c`, whose ids are 2, 3 and 4, and a model for it.
fn parts() -> (Tokenizer, Fake) {
    let text = document(0, "a a a b b c");
    let tokenizer = Tokenizer::learn(std::iter::once(Ok(text)), &Vocabulary::default()).unwrap();
    let mut model = Fake::create(FakeOptions::default(), &Host::detached()).unwrap();
    model.initialize(&Host::detached(), tokenizer.size(), 0).unwrap();
    (tokenizer, model)
}

fn source<'a>(
    parts: &'a (Tokenizer, Fake),
    documents: Vec<Document>,
    layers: &[&str],
    state: State,
) -> ModelSource<'a> {
    let layers = layers.iter().map(|&layer| layer.to_owned()).collect();
    let documents: Documents<'a> = Box::new(documents.into_iter().map(Ok));
    static RECORDING: Recording = Recording::Everywhere(Record { keeps: Keeps::Max1, sign: Sign::Positive });
    let reading = Reading {
        model: &parts.1,
        tokenizer: &parts.0,
        documents,
        layers,
        annotators: Vec::new(),
        subwords: Subwords::Every,
        recording: &RECORDING,
        state,
        expected: 0,
    };
    ModelSource::new(reading, &Host::detached()).unwrap()
}

fn batches(source: &mut ModelSource<'_>) -> Vec<ActivationBatch> {
    std::iter::from_fn(|| source.next(&Host::detached()).unwrap()).collect()
}

#[test]
fn a_batch_tells_of_each_token_where_it_stands_and_what_it_is() {
    let parts = parts();
    let tag = |start, end, value: &str| Span { start, end, value: value.into() };
    let tags = Annotation { layer: "pos".into(), spans: vec![tag(0, 1, "X"), tag(4, 5, "Y")] };
    let first = Document {
        group: Some("g".into()),
        label: Some("good".into()),
        annotations: vec![tags],
        ..document(7, "a ü b")
    };
    let documents = vec![first, document(8, "c")];
    let mut source = source(&parts, documents, &["token", "word", "pos", "label"], State::Reset);
    let [batch] = &batches(&mut source)[..] else { panic!("a short text is one batch") };
    assert_eq!((&batch.documents[..], &batch.offsets[..]), (&[7, 8][..], &[0, 4, 6][..]));
    assert_eq!(batch.groups.as_strings().iter().collect::<Vec<_>>(), ["g", ""]);
    assert_eq!(
        (batch.starts[1], batch.ends[1], batch.starts[3]),
        (2, 3, NULL),
        "in Unicode scalars, and `<eos>` nowhere"
    );
    assert_eq!(batch.unknown, 1);
    let features = |layer: usize| -> Vec<&str> {
        let column = &batch.layers[layer];
        column.features.iter().map(|&feature| column.names.get(feature as usize).unwrap_or("-")).collect()
    };
    assert_eq!(features(0), ["a", "<unk>", "b", "<eos>", "c", "<eos>"], "the vocabulary's forms");
    assert_eq!(features(1), ["a", "ü", "b", "-", "c", "-"], "the surface, and none for what is no text");
    assert_eq!(features(2), ["X", "-", "Y", "-", "-", "-"]);
    assert_eq!(features(3), ["good", "good", "good", "-", "-", "-"]);
    let unjoined: Vec<u64> = batch.layers.iter().map(|layer| layer.unjoined).collect();
    assert_eq!(unjoined, [0, 0, 2, 1], "ü and c have no tag, c has no label");
    let neurons: Vec<u32> = [2, 0, 3, 1, 4, 1].iter().map(|id| id % WIDTH as u32).collect();
    assert_eq!((&batch.neuron, batch.token.len()), (&neurons, 6));
    assert!(!source.counts().is_all_unknown());
}

#[test]
fn a_text_longer_than_a_window_is_read_in_order_and_the_state_goes_on() {
    let parts = parts();
    let count = WINDOW as u64 / 2;
    let documents = (0..count).map(|id| document(id, "a b c")).collect();
    let mut source = source(&parts, documents, &["token"], State::Carry);
    let batches = batches(&mut source);
    assert!(batches.len() > 1, "so long a text is no single window");
    let documents: Vec<u64> = batches.iter().flat_map(|batch| batch.documents.iter().copied()).collect();
    assert!(documents.iter().copied().eq(0..count));
    for batch in &batches {
        assert!(batch.starts.len() <= WINDOW + 4, "a window is bounded");
        assert!(batch.offsets.windows(2).all(|pair| pair[1] - pair[0] == 4));
    }
    let carried = source.carried.as_ref().unwrap().get::<usize>().unwrap();
    assert_eq!(*carried as u64, 4 * count, "the state is carried over windows");
}

#[test]
fn a_text_of_which_nothing_is_known_is_noticed() {
    let parts = parts();
    let mut source = source(&parts, vec![document(0, "x"), document(1, "y")], &["token"], State::Reset);
    batches(&mut source);
    assert!(source.counts().is_all_unknown());
}

#[test]
fn an_error_of_the_user_names_its_document() {
    let parts = parts();
    let mut documents: Vec<_> = (0..50).map(|id| document(id, "a b")).collect();
    documents[41] = document(41, "v w x y z");
    let mut source = source(&parts, documents, &["token"], State::Reset);
    let error = source.next(&Host::detached()).unwrap_err();
    assert_eq!(error.message(), "in document 41, five unknown words");
}

/// Whoever has the file finds the words by their lines and places, whatever stands around them, in every format that reads files.
mod files {
    use proptest::prelude::*;
    use txray_text::{Context, Disk, FORMATS, Resolver};

    use super::*;

    /// What stands in the lines of a file, as whoever looks up a place reads it: of a table the second field.
    fn lines(kind: &str, text: &str) -> Vec<Vec<char>> {
        let field = if kind == "tsv" { 1 } else { 0 };
        let fields = |line: &'_ str| line.splitn(field + 1, '\t').last().unwrap().chars().collect();
        text.strip_prefix('\u{feff}').unwrap_or(text).split('\n').map(fields).collect()
    }

    /// The word that a place is in, from white space to white space.
    fn around(line: &[char], start: u32, end: u32) -> String {
        let is_space = |c: &char| c.is_whitespace();
        let from = line[..start as usize].iter().rposition(is_space).map_or(0, |at| at + 1);
        let to = line[end as usize..].iter().position(is_space).map_or(line.len(), |at| end as usize + at);
        line[from..to].iter().collect()
    }

    /// Tokenizers: of words as they stand, of words in lower case and composed, of pieces, and of pieces that drop what they lack.
    fn tokenizers() -> Vec<(Tokenizer, bool)> {
        let file = |parts: &str| {
            let folder = tempfile::tempdir().unwrap();
            let json = format!(r#"{{"version": "1.0", "added_tokens": [], {parts}}}"#);
            std::fs::write(folder.path().join(Tokenizer::FILE), json).unwrap();
            Tokenizer::load(folder.path(), &Disk).unwrap()
        };
        let lower = r#""pre_tokenizer": {"type": "WhitespaceSplit"},
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
            "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "caf\u00e9": 1, "a": 2}}"#;
        let pieces = r###""pre_tokenizer": {"type": "BertPreTokenizer"},
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": true,
                "lowercase": true},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "caf": 1, "a": 2, "##e": 3, "##s": 4}}"###;
        let pairs = r#""pre_tokenizer": {"type": "WhitespaceSplit"},
            "model": {"type": "BPE", "unk_token": null, "vocab": {"a": 0, "s": 1, "\u732b": 2, "as": 3}, "merges": [["a", "s"]]}"#;
        let learned = Tokenizer::learn(std::iter::once(Ok(document(0, "a cafés"))), &Vocabulary::default()).unwrap();
        let [lower, pieces, pairs] = [lower, pieces, pairs].map(file);
        vec![(learned, true), (lower, true), (pieces, false), (pairs, false)]
    }

    /// Reads a file by every tokenizer, looks every place up in it, and gives the words that were found by the first.
    fn look_up(kind: &str, text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), text).unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        let format = FORMATS.iter().find(|format| format.kind == kind).unwrap();
        let corpus = (format.open)(&serde_json::json!({ "train": "file" }), &Context { resolver: &resolver, seed: 0 });
        let corpus = corpus.unwrap();
        let lines = lines(kind, text);
        let mut found = Vec::new();
        for (at, (tokenizer, has_words)) in tokenizers().into_iter().enumerate() {
            let mut model = Fake::create(FakeOptions::default(), &Host::detached()).unwrap();
            model.initialize(&Host::detached(), tokenizer.size(), 0).unwrap();
            let parts = (tokenizer, model);
            let documents: Vec<_> = corpus.documents("train", &Disk).unwrap().map(Result::unwrap).collect();
            for batch in batches(&mut source(&parts, documents, &["word"], State::Reset)) {
                assert_eq!(batch.fits(&parts.1.describe().unwrap().sites, &["word"]), Ok(()));
                let words = &batch.layers[0];
                for (document, tokens) in batch.offsets.windows(2).enumerate() {
                    for token in tokens[0] as usize..tokens[1] as usize {
                        let (start, end) = (batch.starts[token], batch.ends[token]);
                        let Some(word) = words.names.get(words.features[token] as usize) else {
                            assert_eq!((start, end), (NULL, NULL));
                            continue;
                        };
                        let line = &lines[batch.lines[document] as usize - 1];
                        assert_eq!(around(line, start, end), word, "{start}..{end} of {line:?}");
                        if has_words {
                            assert_eq!(line[start as usize..end as usize].iter().collect::<String>(), word);
                        }
                        if at == 0 {
                            found.push(word.to_owned());
                        }
                    }
                }
            }
        }
        found
    }

    #[test]
    fn a_byte_order_mark_line_ends_and_white_space_move_nothing() {
        let text = "\u{feff}  a caf\u{e9}s\r\n\r\n \u{3000}\r\n\u{a0}\ta  cafe\u{301}  \r\n😀 a猫s\0 Ⅷ\nİA a";
        let expected = ["a", "cafés", "a", "cafe\u{301}", "😀", "a猫s\0", "Ⅷ", "İA", "a"];
        assert_eq!(look_up("text", text), expected);
        // There is no quoting.
        let table = "\u{feff}label\tsentence\r\n1\t  a \"cafés\r\n\r\n\u{a0}0 \t 😀 a\"  \r\n2\te\u{301}a";
        assert_eq!(look_up("tsv", table), ["a", "\"cafés", "😀", "a\"", "e\u{301}a"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_word_of_any_text_is_found(
            pieces in prop::collection::vec(prop_oneof![
                2 => prop::sample::select(vec![
                    "a", "as", "CAFÉS", "cafe\u{301}", "e\u{301}\u{323}", "猫", "😀", "👩‍👩‍👧", "İ", "ﬁ", "\u{1112}\u{1161}\u{11ab}", "\0",
                    "\u{200b}", "\u{feff}", "= A =", "\"", ".",
                ]).prop_map(str::to_owned),
                1 => prop::sample::select(vec![" ", "  ", "\u{a0}", "\u{3000}", "\r", "\u{2028}"]).prop_map(str::to_owned),
                1 => prop::sample::select(vec!["\n", "\r\n", "\n\n"]).prop_map(str::to_owned),
                1 => r"\PC{1,4}",
            ], 0..40),
            mark: bool,
            end: bool,
        ) {
            // The model reads no document of five unknown words alone.
            let lines: Vec<String> = pieces.concat().split('\n').map(|line| format!("{line} a")).collect();
            let mark = if mark { "\u{feff}" } else { "" };
            let end = if end { "\n" } else { "" };
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let text = format!("{mark}{}{end}", lines.join("\n"));
            prop_assert_eq!(look_up("text", &text), words(text.strip_prefix('\u{feff}').unwrap_or(&text)));
            let rows: Vec<String> = lines.iter().map(|line| format!("x \t{line}\r\n")).collect();
            prop_assert_eq!(look_up("tsv", &format!("{mark}label\tsentence\n\n{}", rows.concat())), words(&lines.join("\n")));
        }
    }
}
