//! Tokenizers. The library behind them breaks on some files, and that is an error of the file's.

use std::io::{self, Cursor, Read};
use std::path::Path;

use txray_plugin::NULL;
use txray_text::{Document, Encoded, Files, Tokenizer, Words, join, words};

use crate::{Outcome, fuzz, seeds};

/// The file of a tokenizer, in memory.
struct Memory(Vec<u8>);

impl Files for Memory {
    fn open(&self, _: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0.clone())))
    }
}

fn documents() -> Vec<Document> {
    let texts = [
        "",
        "a",
        "the cat at the table. The cats, ``that'' 1234 ab-ab",
        "  <unk> [MASK] </s><|end|>  [CLS]ab the",
        "É é e\u{301} ﬁ Ａ AAA \u{feff}x\u{200d}y",
        "中文 кот قط 👩‍👩‍👧 \u{fdfa}",
        "\0\u{1}\t\r\n\u{85}\u{3000}\u{fffd}",
        "▁▁ ▁the",
    ];
    let texts = texts.into_iter().map(str::to_owned).chain(["caté".repeat(200), "\u{301}".repeat(40)]);
    let document = |(id, text)| Document { id: id as u64, text, ..Document::default() };
    texts.enumerate().map(document).collect()
}

fn check(encoded: &Encoded, tokenizer: &Tokenizer, documents: &[Document]) {
    assert_eq!(encoded.offsets.len(), documents.len() + 1);
    assert_eq!(encoded.offsets.last(), Some(&(encoded.ids.len() as u64)));
    assert_eq!([encoded.starts.len(), encoded.ends.len()], [encoded.ids.len(); 2]);
    assert!(encoded.ids.iter().all(|&id| (id as usize) < tokenizer.size()));
    for (document, range) in documents.iter().zip(encoded.offsets.windows(2)) {
        let range = range[0] as usize..range[1] as usize;
        let (starts, ends) = (&encoded.starts[range.clone()], &encoded.ends[range]);
        let length = document.text.chars().count() as u32;
        for (&start, &end) in starts.iter().zip(ends) {
            assert!((start, end) == (NULL, NULL) || (start < end && end <= length), "{start}..{end} of {length}");
        }
        assert_eq!(join(starts, ends, &words(&document.text, Words::Punctuation).spans).spans.len(), starts.len());
    }
}

/// Loads a file and encodes with it. Errors name the file. The seeds are a tokenizer of every model, and between them every
/// normalizer, splitter and processor of the library.
#[test]
fn tokenizer() {
    let documents = documents();
    let words =
        ["\"normalizer\"", "\"pre_tokenizer\"", "\"post_processor\"", "\"model\"", "\"added_tokens\"", "\"type\""];
    fuzz("tokenizer", seeds("tokenizer"), &words, move |input, _| {
        let tokenizer = match Tokenizer::load(Path::new("some/model"), &Memory(input.to_vec())) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                let message = error.to_string();
                assert!(message.starts_with("some/model/tokenizer.json: "), "{message}");
                return Outcome::Refused;
            }
        };
        let mut outcome = Outcome::Refused;
        for document in documents.chunks(1) {
            match tokenizer.encode(document) {
                Ok(encoded) => {
                    check(&encoded, &tokenizer, document);
                    outcome = Outcome::Read;
                }
                Err(error) => {
                    let message = error.to_string();
                    let start = format!("document {} does not go through some/model/tokenizer.json: ", document[0].id);
                    assert!(message.starts_with(&start), "{message}");
                }
            }
        }
        outcome
    });
}

/// Also where the file asks for dropout, and for each time that it is loaded.
#[test]
fn a_text_always_has_the_same_tokens() {
    let documents = documents();
    for json in seeds("tokenizer") {
        let name = "some";
        let load = || Tokenizer::load(Path::new(name), &Memory(json.clone())).unwrap();
        let tokenizer = load();
        let encoded = tokenizer.encode(&documents).unwrap();
        check(&encoded, &tokenizer, &documents);
        for _ in 0..20 {
            assert_eq!(tokenizer.encode(&documents).unwrap(), encoded);
            assert_eq!(load().encode(&documents).unwrap(), encoded);
        }
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let saved = std::fs::read(folder.path().join(Tokenizer::FILE)).unwrap();
        assert!(saved == json, "a tokenizer is saved as it was");
    }
}
