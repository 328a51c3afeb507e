use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::{Disk, lines::MaxDocumentBytes};

fn read_with(text: &[u8], max: MaxDocumentBytes) -> Result<Vec<Sentence>, CorpusError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.conllu");
    std::fs::write(&path, text).unwrap();
    sentences(Lines::open(path, max, &Disk)?).collect()
}

fn read(text: &str) -> Result<Vec<Sentence>, CorpusError> {
    read_with(text.as_bytes(), MaxDocumentBytes::default())
}

/// Rows of these ids and forms; `form!` has no space after it.
fn rows(words: &[(&str, &str)]) -> String {
    let row = |(id, form): &(&str, &str)| {
        let (form, misc) = form.strip_suffix('!').map_or((*form, "_"), |form| (form, "SpaceAfter=No"));
        format!("{id}\t{form}\tlemma{id}\tTAG{id}\t_\t_\t0\troot\t_\t{misc}\n")
    };
    words.iter().map(row).collect()
}

fn written(sentence: &Sentence) -> (String, Vec<Stretch>) {
    let (mut text, mut scalars) = (String::new(), 0);
    let stretches = sentence.write(&mut text, &mut scalars);
    assert_eq!(scalars as usize, text.chars().count());
    (text, stretches)
}

fn slice(text: &str, place: &Range<u32>) -> String {
    text.chars().skip(place.start as usize).take(place.len()).collect()
}

#[test]
fn a_sentence_is_its_words_as_they_are_written() {
    let words = rows(&[
        ("0.1", "nobody"),
        ("1", "Zoë"),
        ("2-3", "didn't"),
        ("2", "did"),
        ("3", "not"),
        ("3.1", "nobody"),
        ("3.2", "nobody"),
        ("4-5", "can't!"),
        ("4", "can"),
        ("5", "'t"),
        ("6", "go!"),
        ("7", ".!"),
    ]);
    let text =
        format!("\n \n# sent_id = a\n#newdoc id =  b = c \n# newpar\n{words}\n\n# x\n1\t_\t_{}\n", "\t_".repeat(7));
    let sentences = read(&text).unwrap();
    let [first, second] = &sentences[..] else { panic!("two sentences") };
    assert_eq!((first.line, second.line), (3, 20));
    assert_eq!(first.comment("newdoc id"), Some("b = c"));
    assert_eq!((first.comment("newpar"), first.comment("text")), (Some(""), None));

    let (text, stretches) = written(first);
    assert_eq!(text, "Zoë didn't can'tgo.");
    let places: Vec<(String, Vec<&str>)> = stretches
        .iter()
        .map(|s| (slice(&text, &s.place), first.words[s.words.clone()].iter().map(Word::form).collect()))
        .collect();
    // The forms of "didn't" are not those that are written in it, as those of "can't" are.
    let expected = [
        ("Zoë", vec!["Zoë"]),
        ("didn't", vec!["did", "not"]),
        ("can", vec!["can"]),
        ("'t", vec!["'t"]),
        ("go", vec!["go"]),
        (".", vec!["."]),
    ];
    assert_eq!(places, expected.map(|(part, words)| (part.to_owned(), words)));
    assert!(!first.is_space_after() && second.is_space_after());

    let tags: Vec<_> = first.words.iter().map(|word| (word.value(Column::Upos), word.value(Column::Xpos))).collect();
    assert_eq!((tags[0], tags[6]), ((Some("TAG1"), None), (Some("TAG7"), None)));
    assert_eq!(first.words[2].value(Column::Lemma), Some("lemma3"));
    // An underscore is a word like any other.
    assert_eq!(written(second).0, "_");
    assert_eq!((second.words[0].value(Column::Lemma), second.words[0].value(Column::Deprel)), (Some("_"), None));
}

#[test]
fn the_space_after_a_range_is_the_ranges() {
    for (range, inner, text) in [("au!", "a", "aux"), ("au", "a!", "au x")] {
        let words = [("1-2", range), ("1", inner), ("2", inner), ("3", "x")];
        let sentence = &read(&rows(&words)).unwrap()[0];
        assert_eq!(written(sentence).0, text);
        let last = &read(&rows(&words[..3])).unwrap()[0];
        assert_eq!(last.is_space_after(), !range.ends_with('!'));
    }
}

#[test]
fn faulty_lines_are_located() {
    let row = "1\ta\ta\tX\t_\t_\t0\troot\t_\t_";
    let cases = [
        (
            row.replace("\t_\t_\t0", "\t_\t0"),
            "1: 9 fields between tabs where CoNLL-U has 10; a column without a value has `_`",
        ),
        (row.replace('\t', "  "), "1: 1 field between tabs where CoNLL-U has 10; put tabs in place of its spaces"),
        (
            rows(&[("1", "a"), ("3", "b")]),
            "2: the id 3 where the next word has 2; is the blank line between two sentences missing?",
        ),
        (
            rows(&[("1", "a"), ("1", "b")]),
            "2: the id 1 where the next word has 2; is the blank line between two sentences missing?",
        ),
        (
            rows(&[("0", "a")]),
            "1: the id 0 where the next word has 1; is the blank line between two sentences missing?",
        ),
        (rows(&[("x", "a")]), "1: 'x' is no id of a word (8), a range of words (8-9) or an empty node (8.1)"),
        (rows(&[("+1", "a")]), "1: '+1' is no id of a word (8), a range of words (8-9) or an empty node (8.1)"),
        (rows(&[("1-", "a")]), "1: '1-' is no id of a word (8), a range of words (8-9) or an empty node (8.1)"),
        (rows(&[("", "a")]), "1: '' is no id of a word (8), a range of words (8-9) or an empty node (8.1)"),
        (
            rows(&[("1", "a"), ("2.1", "a")]),
            "2: the id 2.1 where the next word has 2; is the blank line between two sentences missing?",
        ),
        (
            rows(&[("1", "a"), ("1.2", "a")]),
            "2: the id 1.2 where the next word has 2; is the blank line between two sentences missing?",
        ),
        (
            rows(&[("2-3", "a")]),
            "1: the id 2-3 where the next word has 1; is the blank line between two sentences missing?",
        ),
        (
            rows(&[("1-2", "ab"), ("1", "a"), ("2-3", "b")]),
            "3: the range 2-3 overlaps the one before it; a word is a part of one range at most",
        ),
        (
            rows(&[("1-2", "ab"), ("1-2", "a")]),
            "2: the range 1-2 overlaps the one before it; a word is a part of one range at most",
        ),
        (rows(&[("1-1", "a"), ("1", "a")]), "1: the range 1-1 has less than two words; leave its line out"),
        (
            rows(&[("1", "a"), ("2-3", "bc"), ("2", "b")]),
            "2: the range 2-3 ends behind the last word of its sentence, 2; add the words that are missing",
        ),
        (
            rows(&[("1", " ")]),
            "1: a word without a form; write it into the second field, or give an empty node an id such as 8.1",
        ),
        (
            format!("{row}\n# x"),
            "2: a comment among the words of a sentence; is the blank line between two sentences missing?",
        ),
        (format!("{row}\n\n# x\n# y\n\n{row}"), "3: a sentence without words; add them, or leave its comments out"),
        (
            format!("{row}\n\n{}", rows(&[("0.1", "a")])),
            "3: a sentence without words; add them, or leave its comments out",
        ),
    ];
    for (text, expected) in cases {
        let message = read(&text).unwrap_err().to_string();
        assert!(message.ends_with(&format!("a.conllu:{expected}")), "{message}\n{text}");
    }
    let message = read_with(b"# a\n# \xff\n", MaxDocumentBytes::default()).unwrap_err().to_string();
    assert!(message.contains("a.conllu:2: not UTF-8 at byte 6"), "{message}");
}

#[test]
fn a_sentence_without_end_is_refused() {
    let max: MaxDocumentBytes = serde_json::from_str("30").unwrap();
    let sentence = rows(&[("1", "a"), ("2", "b")]);
    for text in [sentence.clone(), "# 3456789\n".repeat(4)] {
        let message = read_with(format!("\n{text}").as_bytes(), max).unwrap_err().to_string();
        let expected = "a.conllu:2: a document whose lines have more than 30 bytes; if it is meant to be one, raise \
                        `max_document_bytes`";
        assert!(message.ends_with(expected), "{message}");
    }
    let max: MaxDocumentBytes = serde_json::from_str(&sentence.replace('\n', "").len().to_string()).unwrap();
    assert_eq!(read_with(sentence.as_bytes(), max).unwrap().len(), 1);
}

/// A token of a sentence: its words, whether they are written apart in it, whether a space follows, and an empty node.
type Token = (Vec<String>, bool, bool, bool);

fn tokens() -> impl Strategy<Value = Vec<Vec<Token>>> {
    let form = r"[^\s\p{C}]{1,4}( [^\s\p{C}]{1,2})?";
    let token = (prop::collection::vec(form, 1..4), any::<bool>(), any::<bool>(), any::<bool>());
    prop::collection::vec(prop::collection::vec(token, 1..6), 1..5)
}

proptest! {
    /// What is written reads back, and every stretch of the text is the form of its words.
    #[test]
    fn a_treebank_reads_back(treebank in tokens(), crlf: bool) {
        let mut file = String::new();
        let mut texts = Vec::new();
        for sentence in &treebank {
            let (mut id, mut text) = (0, String::new());
            for (words, apart, space, empty) in sentence {
                // A range whose form is not that of its words has another scalar in front.
                let surface = if *apart || words.len() == 1 { words.concat() } else { format!("ß{}", words.concat()) };
                let misc = if *space { "_" } else { "A=B|SpaceAfter=No" };
                let after = "\t_\t_\t_\t_\t_\t_\t_\t";
                if words.len() > 1 {
                    file += &format!("{}-{}\t{surface}{after}{misc}\n", id + 1, id + words.len());
                }
                for word in words {
                    id += 1;
                    file += &format!("{id}\t{word}{after}{misc}\n");
                }
                if *empty {
                    file += &format!("{id}.1\tnobody{after}_\n");
                }
                text += &surface;
                text += if *space { " " } else { "" };
            }
            file += "\n";
            texts.push(text.trim_end().to_owned());
        }
        if crlf {
            file = file.replace('\n', "\r\n");
        }
        let read = read(&file).unwrap();
        prop_assert_eq!(read.len(), treebank.len());
        for ((sentence, tokens), expected) in read.iter().zip(&treebank).zip(texts) {
            let forms: Vec<&str> = sentence.words.iter().map(Word::form).collect();
            prop_assert_eq!(forms, tokens.iter().flat_map(|token| &token.0).collect::<Vec<_>>());
            let (text, stretches) = written(sentence);
            prop_assert_eq!(&text, &expected);
            let (mut end, mut words) = (0, 0);
            for stretch in stretches {
                prop_assert!(stretch.place.start >= end && stretch.words.start == words);
                (end, words) = (stretch.place.end, stretch.words.end);
                let forms: String = sentence.words[stretch.words.clone()].iter().map(Word::form).collect();
                let part = slice(&text, &stretch.place);
                let whole = if stretch.words.len() == 1 { forms } else { format!("ß{forms}") };
                prop_assert_eq!(part, whole);
            }
            prop_assert_eq!(words, sentence.words.len());
        }
    }
}

/// The counts of the English Web Treebank's README.
#[test]
fn the_treebank_has_as_many_sentences_and_words_as_it_says() {
    let Some(data) = std::env::var_os("TXRAY_DATA") else {
        eprintln!("SKIPPED: the English Web Treebank is not read; TXRAY_DATA is not set");
        return;
    };
    for (split, sentences, words) in [("train", 12_544, 204_577), ("dev", 2_001, 25_147), ("test", 2_077, 25_094)] {
        let path = Path::new(&data).join(format!("ud-ewt/en_ewt-ud-{split}.conllu"));
        let lines = Lines::open(path, MaxDocumentBytes::default(), &Disk).unwrap();
        let (mut found, mut differ) = ((0, 0), Vec::new());
        for sentence in super::sentences(lines) {
            let sentence = sentence.unwrap();
            found = (found.0 + 1, found.1 + sentence.words.len());
            let (text, _) = written(&sentence);
            // One has white space there of another kind.
            if !sentence.comment("text").unwrap().split_whitespace().eq(text.split_whitespace()) {
                differ.push(text);
            }
        }
        assert_eq!(found, (sentences, words), "{split}");
        assert!(differ.is_empty(), "{differ:?}");
    }
}
