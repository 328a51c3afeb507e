use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{Disk, FORMATS, OpenError, Resolver};

/// Opens a text of these lines as a corpus with these options; `Err` has the pointers and messages.
fn open(kind: &str, lines: &[String], options: &Value, seed: u64) -> Result<Read, Vec<(String, String)>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), lines.join("\n")).unwrap();
    let mut table = options.clone();
    if kind != "grammar" {
        table["train"] = "file".into();
    }
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    let format = FORMATS.iter().find(|format| format.kind == kind).unwrap();
    let corpus = (format.open)(&table, &Context { resolver: &resolver, seed }).map_err(|error| match error {
        OpenError::Table { pointer, message } => vec![(pointer, message)],
        OpenError::Options(all) => all.into_iter().map(|one| (one.pointer, one.error.to_string())).collect(),
    })?;
    let read = corpus.documents("train", &Disk).and_then(Iterator::collect::<Result<Vec<Document>, _>>);
    let read = read.map_err(|error| vec![(String::new(), error.to_string())])?;
    Ok(Read { documents: read, recipe: corpus.recipe("train") })
}

#[derive(Debug)]
struct Read {
    documents: Vec<Document>,
    recipe: Value,
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|line| format!("{line} {}", "x".repeat(line % 5))).collect()
}

/// The lines that documents stand in.
fn places(read: &Read) -> Vec<u64> {
    read.documents.iter().map(|document| document.line.unwrap()).collect()
}

#[test]
fn the_keys_are_the_options_and_no_format_has_them_itself() {
    let schema = schemars::schema_for!(Selection).to_value();
    let keys: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(Selection::KEYS));
    for format in FORMATS {
        let whole = (format.schema)();
        assert_eq!(whole["additionalProperties"], false, "{}", format.kind);
        for key in Selection::KEYS {
            assert_eq!(whole["properties"][key], schema["properties"][key], "{}", format.kind);
        }
        let names = &whole["properties"]["normalize"]["items"]["oneOf"];
        assert_eq!(names[1]["const"], "lowercase", "{names}");
    }
    let options = schemars::schema_for!(crate::formats::TextOptions).to_value();
    assert!(Selection::KEYS.iter().all(|key| options["properties"].get(key).is_none()));
}

#[test]
fn without_options_a_corpus_is_what_its_format_opened() {
    let plain = open("text", &lines(3), &json!({}), 1).unwrap();
    assert!(plain.recipe.get("of").is_none());
    let given = open("text", &lines(3), &json!({ "shuffle": false, "normalize": [] }), 1).unwrap();
    assert_eq!((given.recipe, given.documents), (plain.recipe, plain.documents));
}

#[test]
fn what_changes_documents_is_in_the_recipe_and_nothing_else() {
    let recipe = |options: Value, seed| open("text", &lines(3), &options, seed).unwrap().recipe;
    let all = [
        recipe(json!({}), 1),
        recipe(json!({ "limit": 2 }), 1),
        recipe(json!({ "limit": 3 }), 1),
        recipe(json!({ "shuffle": true }), 1),
        recipe(json!({ "shuffle": true }), 2),
        recipe(json!({ "min_characters": 1 }), 1),
        recipe(json!({ "max_characters": 9 }), 1),
        recipe(json!({ "normalize": ["lowercase", "nfc"] }), 1),
        recipe(json!({ "normalize": ["nfc", "lowercase"] }), 1),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| one != other), "{one}");
    }
    assert_eq!(recipe(json!({ "limit": 2 }), 1), recipe(json!({ "limit": 2 }), 2));
}

#[test]
fn texts_are_normalised_in_the_order_of_the_steps() {
    let text = ["  A  B<br /><br/>C. D ".to_owned(), "<br>".to_owned(), "e".to_owned()];
    let read = |steps: Value| open("text", &text, &json!({ "normalize": steps }), 0).unwrap();
    let texts = |read: &Read| read.documents.iter().map(|document| document.text.clone()).collect::<Vec<_>>();
    let all = read(json!(["html_breaks", "lowercase", "sentence_marks", "paragraph_marks", "squash_spaces"]));
    assert_eq!(texts(&all), ["a b <eos> <eop> c. d <eos> <eop>", "e <eos> <eop>"]);
    // Places are counted in what came out; lines, in the file.
    assert!(all.documents.iter().all(|document| document.indent == 0));
    assert_eq!(places(&all), [1, 3]);
    assert_eq!(all.documents[1].id, 1);
    assert_eq!(texts(&read(json!(["squash_spaces", "html_breaks"])))[0], "A B\n\nC. D");
    // The bounds are those of what came out.
    let bound = json!({ "normalize": ["html_breaks"], "max_characters": 1 });
    assert_eq!(texts(&open("text", &text, &bound, 0).unwrap()), ["e"]);
}

#[test]
fn faulty_options_are_told_where_they_stand() {
    let fault = |kind: &str, options: Value| open(kind, &lines(3), &options, 0).unwrap_err();
    let told = |pointer: &str, message: &str| vec![(pointer.to_owned(), message.to_owned())];
    let swapped = fault("text", json!({ "min_characters": 3, "max_characters": 2 }));
    let message = "no document has 3 characters at least and 2 at most; swap `min_characters` and `max_characters`";
    assert_eq!(swapped, told("/max_characters", message));
    let grammar = json!({ "domain": "harbour", "train": 3, "normalize": ["lowercase", "nfc"] });
    let message = "\"nfc\" moves words, and the annotations `pos` of the corpus would stand elsewhere; leave the step out, or \
                   take the annotations out of the corpus";
    assert_eq!(fault("grammar", grammar), told("/normalize/1", message));
    let left_out = fault("text", json!({ "min_characters": 100, "normalize": ["lowercase"] }));
    let message =
        "no document of the split 'train' is left by `min_characters`, `normalize`; ease what leaves them out";
    assert_eq!(left_out, told("", message));
    for (options, pointer) in [
        (json!({ "limit": 0 }), "/limit"),
        (json!({ "shuffle": 1 }), "/shuffle"),
        (json!({ "normalize": ["nfc", "upper"] }), "/normalize/1"),
        (json!({ "normalise": [] }), "/normalise"),
    ] {
        assert_eq!(fault("text", options)[0].0, pointer);
    }
}

#[test]
fn a_generated_corpus_is_selected_from_as_well() {
    let read = |options: Value| {
        let mut table = json!({ "domain": "harbour", "train": 50 });
        table.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        open("grammar", &[], &table, 3).unwrap().documents
    };
    let (all, some) = (read(json!({})), read(json!({ "limit": 5, "shuffle": true, "normalize": ["lowercase"] })));
    assert_eq!(some.len(), 5);
    for document in some {
        let whole = all.iter().find(|one| one.text.to_lowercase() == document.text).unwrap();
        assert_eq!(
            (&whole.annotations, &whole.label, &whole.group),
            (&document.annotations, &document.label, &document.group)
        );
    }
}

/// Faults behind the last document that is given are found, whatever the order.
#[test]
fn the_file_is_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), b"a\nb\nc\n\xff\n").unwrap();
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    for shuffle in [false, true] {
        let table = json!({ "train": "file", "limit": 1, "shuffle": shuffle });
        let corpus = (FORMATS[0].open)(&table, &Context { resolver: &resolver, seed: 0 }).unwrap();
        let read: Vec<_> = corpus.documents("train", &Disk).unwrap().collect();
        assert!(matches!(read.last(), Some(Err(CorpusError::Utf8 { line: 4, .. }))), "{read:?}");
        assert_eq!(read.len(), if shuffle { 1 } else { 2 });
    }
}

#[test]
fn every_document_is_as_likely_to_be_drawn() {
    let mut drawn = [0_u32; 10];
    let mut first = [0_u32; 10];
    for seed in 0..1000 {
        let read = open("text", &lines(10), &json!({ "shuffle": true, "limit": 3 }), seed).unwrap();
        let places = places(&read);
        places.iter().for_each(|&line| drawn[line as usize - 1] += 1);
        first[places[0] as usize - 1] += 1;
    }
    // 300 and 100 are expected; these are five standard deviations.
    assert!(drawn.iter().all(|count| (228..372).contains(count)), "{drawn:?}");
    assert!(first.iter().all(|count| (53..147).contains(count)), "{first:?}");
}

proptest! {
    #[test]
    fn a_selection_is_a_part_in_its_order(
        count in 1..40usize,
        limit in prop::option::of(1..50usize),
        shuffle: bool,
        min in prop::option::of(1..6u64),
        max in prop::option::of(6..9u64),
        seed: u64,
    ) {
        let options = |limit: Option<usize>| {
            json!({ "shuffle": shuffle, "limit": limit, "min_characters": min, "max_characters": max })
        };
        let lines = lines(count);
        let fits = |line: &&String| {
            let length = line.trim().chars().count() as u64;
            min.is_none_or(|min| length >= min) && max.is_none_or(|max| length <= max)
        };
        let fitting: Vec<&str> = lines.iter().filter(fits).map(|line| line.trim()).collect();
        let Ok(read) = open("text", &lines, &options(limit), seed) else {
            prop_assert!(fitting.is_empty());
            return Ok(());
        };
        prop_assert_eq!(read.documents.len(), limit.unwrap_or(count).min(fitting.len()));
        for (id, document) in read.documents.iter().enumerate() {
            prop_assert_eq!(document.id, id as u64);
            prop_assert_eq!(lines[document.line.unwrap() as usize - 1].trim(), &document.text);
        }
        // The first ones of what there is without a limit: of the file, or of its shuffling.
        let whole = open("text", &lines, &options(None), seed).unwrap();
        prop_assert_eq!(&whole.documents[..read.documents.len()], &read.documents[..]);
        let mut places = places(&whole);
        if shuffle {
            // Whatever is left out, those that are left stand in the same order.
            let all = open("text", &lines, &json!({ "shuffle": true }), seed).unwrap();
            let left: Vec<u64> = self::places(&all).into_iter().filter(|line| places.contains(line)).collect();
            prop_assert_eq!(&left, &places);
        }
        places.sort_unstable();
        places.dedup();
        prop_assert_eq!(places.len(), fitting.len());
    }
}
