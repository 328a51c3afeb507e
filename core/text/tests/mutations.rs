//! Tokenizers out of files that were damaged at random. `TXRAY_FUZZ` says how many; the same ones each time.

#![allow(clippy::unwrap_used)]

use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use txray_plugin::random::Stream;
use txray_text::{Document, Encoded, Files, NULL, Tokenizer, join, words};

/// A tokenizer of every model, and between them every normalizer, splitter and processor of the library.
const SEEDS: [(&str, &str); 6] = [
    ("word-level", include_str!("tokenizers/word-level.json")),
    ("byte-pairs", include_str!("tokenizers/byte-pairs.json")),
    ("byte-pairs-affixes", include_str!("tokenizers/byte-pairs-affixes.json")),
    ("word-piece", include_str!("tokenizers/word-piece.json")),
    ("unigram", include_str!("tokenizers/unigram.json")),
    ("pieces", include_str!("tokenizers/pieces.json")),
];

/// How long one file may take. All of them take some milliseconds.
const LONG: Duration = Duration::from_secs(10);

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
    let document = |(id, text)| Document { id: id as u64, text, group: None, label: None, annotations: Vec::new() };
    texts.enumerate().map(document).collect()
}

/// Values that files are not meant to have where these are put.
fn odd(random: &mut Stream) -> Value {
    let values = [
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(0.5),
        json!(1e308),
        json!(255),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(""),
        json!("a"),
        json!("é"),
        json!("##"),
        json!("\u{0}"),
        json!("(?=a)|.*"),
        json!("("),
        json!("////"),
        json!("AAAAAAAAAA=="),
        json!("a".repeat(500)),
        json!([]),
        json!(["", 0]),
        json!({}),
        json!({ "String": "" }),
        json!({ "Regex": "" }),
        json!({ "type": "FixedLength", "length": 0 }),
        json!({ "type": "ByteLevel" }),
        json!({ "type": "Precompiled", "precompiled_charsmap": "AAAAAA==" }),
    ];
    values[random.below(values.len() as u32) as usize].clone()
}

/// A place of a file as a JSON pointer, found by going down: an option is as likely as a whole vocabulary.
fn place(file: &Value, random: &mut Stream) -> String {
    let (mut place, mut value) = (String::new(), file);
    loop {
        let (key, below) = match value {
            Value::Object(map) if !map.is_empty() => {
                let (key, below) = map.iter().nth(random.below(map.len() as u32) as usize).unwrap();
                (key.replace('~', "~0").replace('/', "~1"), below)
            }
            Value::Array(items) if !items.is_empty() => {
                let at = one_of(items, random);
                (at.to_string(), &items[at])
            }
            _ => return place,
        };
        place = format!("{place}/{key}");
        value = below;
        if random.below(8) == 0 {
            return place;
        }
    }
}

fn one_of<T>(items: &[T], random: &mut Stream) -> usize {
    random.below(items.len().max(1) as u32) as usize
}

/// Damages one value of a file: it becomes an odd one, another of this or of another file, it goes, or it comes twice.
/// Most values stay of their type, or nothing would come past the reading.
fn damage(file: &mut Value, others: &[Value], random: &mut Stream) {
    const PARTS: [&str; 5] = ["normalizer", "pre_tokenizer", "post_processor", "model", "added_tokens"];
    let part = PARTS[one_of(&PARTS, random)];
    let at = match &file[part] {
        value @ (Value::Object(_) | Value::Array(_)) => format!("/{part}{}", place(value, random)),
        _ => place(file, random),
    };
    let other = if random.below(2) == 0 { &others[one_of(others, random)] } else { &*file };
    let source = other.pointer(&place(other, random)).unwrap().clone();
    let Some((parent, key)) = at.rsplit_once('/') else { return };
    let key = key.replace("~1", "/").replace("~0", "~");
    match (random.below(12), file.pointer_mut(parent)) {
        (0, Some(Value::Object(map))) => drop(map.shift_remove(&key)),
        (0, Some(Value::Array(items))) => drop(items.remove(key.parse().unwrap())),
        (1, Some(Value::Array(items))) => items.push(items[key.parse::<usize>().unwrap()].clone()),
        (2, _) => *file.pointer_mut(&at).unwrap() = source,
        (3, _) => *file.pointer_mut(&at).unwrap() = odd(random),
        _ => {
            let value = file.pointer_mut(&at).unwrap();
            *value = match value {
                Value::Bool(truth) => json!(!*truth),
                Value::Number(_) => {
                    let numbers = [json!(0), json!(1), json!(2), json!(7), json!(-1), json!(u32::MAX), json!(u64::MAX)];
                    numbers[one_of(&numbers, random)].clone()
                }
                Value::String(text) => edited(text, random).into(),
                Value::Array(items) => json!(items[..one_of(items, random).min(items.len())]),
                _ => odd(random),
            };
        }
    }
}

/// A text with one scalar more, other or less, or its beginning alone.
fn edited(text: &str, random: &mut Stream) -> String {
    let mut scalars: Vec<char> = text.chars().collect();
    let at = random.below(scalars.len() as u32 + 1) as usize;
    let put = ['é', '#', ' ', 'A', '▁', '\u{301}', '/'][random.below(7) as usize];
    match (random.below(4), scalars.get_mut(at)) {
        (0, _) => scalars.insert(at, put),
        (1, _) => scalars.truncate(at),
        (2, Some(_)) => drop(scalars.remove(at)),
        (_, Some(scalar)) => *scalar = put,
        (_, None) => scalars.push(put),
    }
    scalars.into_iter().collect()
}

/// The file of one number, the same each time.
fn damaged(seeds: &[Value], index: u64) -> Vec<u8> {
    let mut random = Stream::new(20_260_101, "tests/mutations", index);
    let mut file = seeds[(index % seeds.len() as u64) as usize].clone();
    for _ in 0..1 + random.below(2) {
        damage(&mut file, seeds, &mut random);
    }
    let mut bytes = file.to_string().into_bytes();
    if random.below(32) == 0 && !bytes.is_empty() {
        let at = one_of(&bytes, &mut random);
        match random.below(3) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.below(8),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

/// What became of a file.
#[derive(Default, Debug)]
struct Outcome {
    refused: u64,
    broke_loading: u64,
    broke_encoding: u64,
    not_encoded: u64,
    encoded: u64,
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
        assert_eq!(join(starts, ends, &words(&document.text).spans).spans.len(), starts.len());
    }
}

/// Loads a file and encodes with it. Errors name the file.
fn go_through(bytes: Vec<u8>, documents: &[Document], outcome: &mut Outcome) {
    const BROKE: &str = "the `tokenizers` library breaks on it";
    let tokenizer = match Tokenizer::load(Path::new("some/model"), &Memory(bytes)) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("some/model/tokenizer.json: "), "{message}");
            outcome.refused += 1;

            outcome.broke_loading += u64::from(message.contains(BROKE));
            return;
        }
    };
    for document in documents {
        match tokenizer.encode(std::slice::from_ref(document)) {
            Ok(encoded) => {
                check(&encoded, &tokenizer, std::slice::from_ref(document));
                outcome.encoded += 1;
            }
            Err(error) => {
                let message = error.to_string();
                let start = format!("document {} does not go through some/model/tokenizer.json: ", document.id);
                assert!(message.starts_with(&start), "{message}");
                outcome.not_encoded += 1;
                outcome.broke_encoding += u64::from(message.contains(BROKE));
            }
        }
    }
}

#[test]
fn damaged_files_are_refused_or_read_and_nothing_else() {
    let count: u64 = std::env::var("TXRAY_FUZZ").map_or(300, |count| count.parse().unwrap());
    let first: u64 = std::env::var("TXRAY_FUZZ_FROM").map_or(0, |first| first.parse().unwrap());
    let seeds = SEEDS.map(|(_, json)| serde_json::from_str::<Value>(json).unwrap());
    let (sender, done) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        let documents = documents();
        let mut outcome = Outcome::default();
        for index in first..first + count {
            sender.send(index).unwrap();
            go_through(damaged(&seeds, index), &documents, &mut outcome);
        }
        outcome
    });
    let mut last = first;
    loop {
        match done.recv_timeout(LONG) {
            Ok(index) => last = index,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("file {last} takes longer than {LONG:?}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    match worker.join() {
        Ok(outcome) => println!("{count} files: {outcome:?}"),
        Err(panic) => panic!("file {last}: {:?}", panic.downcast_ref::<String>()),
    }
}

/// Also where the file asks for dropout, and for each time that it is loaded.
#[test]
fn a_text_always_has_the_same_tokens() {
    let documents = documents();
    for (name, json) in SEEDS {
        let load = || Tokenizer::load(Path::new(name), &Memory(json.into())).unwrap();
        let tokenizer = load();
        let encoded = tokenizer.encode(&documents).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&encoded, &tokenizer, &documents);
        for _ in 0..20 {
            assert_eq!(tokenizer.encode(&documents).unwrap(), encoded, "{name}");
            assert_eq!(load().encode(&documents).unwrap(), encoded, "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let saved = std::fs::read_to_string(folder.path().join(Tokenizer::FILE)).unwrap();
        assert!(saved == json, "{name} is saved as it was");
    }
}
