use std::fs;
use std::time::Instant;

use proptest::prelude::*;

use super::super::tests::{faults, found, make, open, treebank};
use super::*;
use crate::split::tests::real_text;
use crate::{Disk, FORMATS, Resolver};

type Tagged = Vec<(String, String)>;

fn taught(sentences: &[Tagged], epochs: u32, seed: u64) -> Tagger {
    let mut examples = Examples::default();
    for sentence in sentences {
        examples.push(sentence.iter().map(|(word, tag)| (&**word, &**tag)));
    }
    learn::learn(examples, epochs, seed, &|| false).unwrap()
}

/// The words that get their tags, and all.
fn right(tagger: &Tagger, sentences: &[Tagged]) -> (usize, usize) {
    let (mut scratch, mut right, mut all) = (Scratch::default(), 0, 0);
    for sentence in sentences {
        let words: Vec<&String> = sentence.iter().map(|(word, _)| word).collect();
        let mut found = Vec::new();
        tagger.tag(&words, &mut scratch, &mut found);
        right += sentence.iter().zip(&found).filter(|((_, tag), found)| tagger.tags[**found as usize] == *tag).count();
        all += sentence.len();
    }
    (right, all)
}

/// The generated corpus says what its tags are: learned from one half, the other is known.
#[test]
fn planted_tags_are_found() {
    let resolver = Resolver::default();
    let grammar = FORMATS.iter().find(|format| format.kind == "grammar").unwrap();
    let table = json!({ "domain": "harbour", "train": 400, "test": 200 });
    let corpus = (grammar.open)(&table, &Context { resolver: &resolver, seed: 5 }).unwrap();
    let sentences = |split: &str| -> Vec<Tagged> {
        let documents = corpus.documents(split, &Disk).unwrap().map(Result::unwrap);
        let tagged = documents.map(|document| {
            let spans = document.annotations[0].spans.iter();
            spans
                .map(|span| (document.text[span.start as usize..span.end as usize].to_owned(), span.value.to_string()))
                .collect()
        });
        tagged.collect()
    };
    let tagger = taught(&sentences("train"), 4, 1);
    let (right, all) = right(&tagger, &sentences("test"));
    println!("{right} of {all} tags of the grammar");
    assert!(right * 100 >= all * 99, "{right} of {all}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn tags_that_follow_from_words_are_all_learned(
        words in prop::collection::btree_map("[a-zé'.]{1,4}", 0..5u8, 1..12),
        picks in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..8), 1..20),
    ) {
        let words: Vec<(String, String)> = words.into_iter().map(|(word, tag)| (word, format!("T{tag}"))).collect();
        let sentences: Vec<Tagged> =
            picks.iter().map(|sentence| sentence.iter().map(|pick| pick.get(&words).clone()).collect()).collect();
        let (right, all) = right(&taught(&sentences, 200, 1), &sentences);
        prop_assert_eq!(right, all);
    }
}

fn small_treebank() -> String {
    treebank(&[
        &[("I", "PRON"), ("do", "AUX"), ("n't", "PART"), ("know", "VERB"), (".", "PUNCT")],
        &[("the", "DET"), ("ship", "NOUN"), ("sails", "VERB"), (".", "PUNCT")],
        &[("the", "DET"), ("sails", "NOUN"), ("tear", "VERB"), ("--", "_")],
    ])
}

#[test]
fn raw_text_is_tagged_where_its_words_stand() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bank"), small_treebank()).unwrap();
    let table = json!({ "train": "bank", "valid": "bank", "epochs": 20 });
    let set_up = open(folder.path(), "perceptron", &table).unwrap();
    let figures = set_up.learn(&Disk, &|| false, folder.path()).unwrap();
    assert_eq!(figures, json!({ "sentences": 3, "words": 13, "tags": 8, "valid_accuracy": 1.0 }));
    let annotator = set_up.load(folder.path(), &Disk).unwrap();
    let tags = |text: &str| {
        let found = found(&*annotator, text).into_iter();
        found.map(|(word, tag)| format!("{word}/{tag}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        tags("I don't know. the ship sails."),
        "I/PRON don/AUX 't/PART know/VERB ./PUNCT the/DET ship/NOUN sails/VERB ./PUNCT"
    );
    // As treebanks and as WikiText write it; what has no tag has no span.
    assert_eq!(tags("I do n't know .\n"), "I/PRON do/AUX n't/PART know/VERB ./PUNCT");
    assert_eq!(tags("I don 't know ."), "I/PRON don/AUX 't/PART know/VERB ./PUNCT");
    assert_eq!(tags("the sails tear --"), "the/DET sails/NOUN tear/VERB");
    assert_eq!(tags("the <unk> sails ."), "the/DET <unk>/NOUN sails/VERB ./PUNCT");
    assert_eq!(tags(" \n"), "");
}

#[test]
fn sentences_end_where_they_are_closed() {
    let lengths = |text: &str| {
        let words: Vec<&str> = text.split(' ').collect();
        let (mut rest, mut lengths) = (&words[..], Vec::new());
        while !rest.is_empty() {
            lengths.push(sentence_length(rest));
            rest = &rest[sentence_length(rest)..];
        }
        lengths
    };
    assert_eq!(lengths("a b . c ? ! \" ) d ... e"), [3, 5, 3]);
    assert_eq!(lengths("\" a . \" b"), [4, 1]);
    assert_eq!(lengths(". ."), [2]);
}

#[test]
fn the_same_treebank_teaches_the_same_bytes() {
    let bytes = |seed: u64, bank: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bank"), bank).unwrap();
        make(folder.path(), "perceptron", &json!({ "train": "bank", "seed": seed, "epochs": 3 })).unwrap();
        fs::read(folder.path().join(file::FILE)).unwrap()
    };
    let bank = small_treebank();
    assert!(bytes(1, &bank) == bytes(1, &bank));
    assert!(bytes(1, &bank) != bytes(2, &bank));
}

#[test]
fn what_was_learned_reads_back_and_broken_files_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let sentence = |word: &str, tag: &str| vec![(word.to_owned(), tag.to_owned()); 30];
    let tagger = taught(&[sentence("a", "X"), sentence("b", "Y")], 2, 1);
    assert_eq!(tagger.known.len(), 2);
    file::write(&tagger, folder.path()).unwrap();
    assert!(file::read(folder.path(), &Disk).unwrap() == tagger);

    let path = folder.path().join(file::FILE);
    let whole = fs::read(&path).unwrap();
    let refuses = |bytes: &[u8], expected: &str| {
        fs::write(&path, bytes).unwrap();
        let error = file::read(folder.path(), &Disk).err().unwrap();
        let message = error.to_string();
        let start = format!("{} is not what an annotator learned: ", path.display());
        assert!(message.starts_with(&start) && message.contains(expected), "{message}");
        assert!(!error.is_mendable());
    };
    for length in [0, 7, 8, 100, whole.len() - 1] {
        refuses(&whole[..length], "");
    }
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    let with = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let head = String::from_utf8_lossy(&whole[8..header]).into_owned();
        let at = 8 + head.find(from).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    refuses(&with(r#"version\":1"#, r#"version\":9"#), "of version 9, and 1 is read");
    refuses(
        &with(r#"[\"X\",\"Y\"]"#, r#"[\"X Y XXX\"]"#),
        "`weights` is F32 of [524288, 2], and F32 of [524288, 1] is meant",
    );
    refuses(&with(r#""perceptron""#, r#""perceptred""#), "its metadata have no `perceptron`");
    let mut bytes = whole.clone();
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let tags = tensors.tensor("words_tags").unwrap().data();
    let at = tags.as_ptr() as usize - whole.as_ptr() as usize;
    bytes[at..at + 4].copy_from_slice(&7_u32.to_le_bytes());
    refuses(&bytes, "`words_tags` has 7, and there are 2 tags");
    let weights = tensors.tensor("weights").unwrap().data();
    let at = weights.as_ptr() as usize - whole.as_ptr() as usize;
    let mut bytes = whole.clone();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    refuses(&bytes, "`weights` has one that is no number");
    fs::remove_file(&path).unwrap();
    assert!(file::read(folder.path(), &Disk).err().unwrap().to_string().starts_with("cannot read "));
}

#[test]
fn faults_of_options_and_treebanks_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = faults(folder.path(), "perceptron", &json!({ "train": "none", "valid": "nowhere" }));
    let pointers: Vec<&str> = told.iter().map(|(pointer, _)| &**pointer).collect();
    assert_eq!(pointers, ["/train", "/valid"]);
    let bank = folder.path().join("bank");
    fs::write(&bank, small_treebank()).unwrap();
    for table in [json!({ "train": "bank", "epochs": 0 }), json!({ "train": "bank", "column": "form" })] {
        assert_eq!(faults(folder.path(), "perceptron", &table).len(), 1);
    }
    let learn = |stop: bool| {
        let set_up = open(folder.path(), "perceptron", &json!({ "train": "bank" })).unwrap();
        set_up.learn(&Disk, &|| stop, folder.path()).err().map(|error| error.to_string())
    };
    assert_eq!(learn(false), None);
    assert_eq!(learn(true).unwrap(), "stopped before it was done");
    fs::write(&bank, "").unwrap();
    let expected = format!("the split 'train' has no document: {} holds nothing but white space", bank.display());
    assert_eq!(learn(false).unwrap(), expected);
    let tags: Vec<String> = (0..MOST_TAGS + 1).map(|tag| format!("T{tag}")).collect();
    let words: Vec<(&str, &str)> = tags.iter().map(|tag| ("a", &**tag)).collect();
    fs::write(&bank, treebank(&[&words[..MOST_TAGS - 1]])).unwrap();
    assert_eq!(learn(false), None);
    fs::write(&bank, treebank(&[&words[..1], &words])).unwrap();
    let expected = ":3: with this sentence `upos` has more than 512 tags, too many to learn; take a column of fewer";
    assert_eq!(learn(false).unwrap(), format!("{}{expected}", bank.display()));
}

/// UPOS of the English Web Treebank, from its own words; and how fast.
#[test]
fn a_real_treebank_is_learned() {
    let Some(data) = real_text() else { return };
    let folder = tempfile::tempdir().unwrap();
    let resolver = Resolver { data: Some(data.clone()), config: folder.path().to_owned() };
    for (column, least) in [("upos", 0.948), ("xpos", 0.94)] {
        let mut accuracies = Vec::new();
        for split in ["dev", "test"] {
            let file = |split: &str| format!("ud-ewt/en_ewt-ud-{split}.conllu");
            let table: Value = json!({ "train": file("train"), "valid": file(split), "column": column });
            let options: PerceptronOptions = serde_json::from_value(table).unwrap();
            let set_up = options.open(&Context { resolver: &resolver, seed: 1111 }).unwrap();
            let time = Instant::now();
            let figures = set_up.learn(&Disk, &|| false, folder.path()).unwrap();
            println!("{column}, {split}: {figures} in {:.1} s", time.elapsed().as_secs_f64());
            accuracies.push(figures["valid_accuracy"].as_f64().unwrap());
            if (column, split) == ("upos", "test") {
                let annotator = set_up.load(folder.path(), &Disk).unwrap();
                let text = fs::read_to_string(data.join("wikitext-2/test.txt")).unwrap();
                let time = Instant::now();
                let tagged: usize = text.lines().map(|line| annotator.annotate(line).len()).sum();
                println!("{tagged} words of WikiText: {:.0} a second", tagged as f64 / time.elapsed().as_secs_f64());
            }
        }
        assert!(accuracies.iter().all(|accuracy| *accuracy >= least), "{accuracies:?}");
    }
}
