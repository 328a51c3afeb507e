use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::CorpusError;
use crate::format::OpenError;
use crate::split::tests::any_writing;
use crate::{Annotator, Context, Disk, Learn, Resolver};

/// Sets up the annotator of a table over files of `folder`.
pub(super) fn open(folder: &Path, kind: &str, table: &Value) -> Result<Box<dyn Learn>, OpenError> {
    let resolver = Resolver { data: None, config: folder.to_owned() };
    let found = ANNOTATORS.iter().find(|found| found.kind == kind).unwrap();
    (found.open)(table, &Context { resolver: &resolver, seed: 1111 })
}

/// The faults of a table's options: where, and what is said.
pub(super) fn faults(folder: &Path, kind: &str, table: &Value) -> Vec<(String, String)> {
    match open(folder, kind, table) {
        Ok(_) => Vec::new(),
        Err(OpenError::Table { pointer, message }) => vec![(pointer, message)],
        Err(OpenError::Options(errors)) => {
            errors.into_iter().map(|fault| (fault.pointer, fault.error.to_string())).collect()
        }
    }
}

/// The annotator, learned into `folder`.
pub(super) fn make(folder: &Path, kind: &str, table: &Value) -> Result<Box<dyn Annotator>, CorpusError> {
    let set_up = open(folder, kind, table).unwrap();
    set_up.learn(&Disk, &|| false, folder)?;
    set_up.load(folder, &Disk)
}

/// Each span as what stands there and its value.
pub(super) fn found(annotator: &dyn Annotator, text: &str) -> Vec<(String, String)> {
    let scalars: Vec<char> = text.chars().collect();
    let spans = annotator.annotate(text).into_iter();
    spans
        .map(|span| (scalars[span.start as usize..span.end as usize].iter().collect(), span.value.to_string()))
        .collect()
}

/// Words with their tags as a treebank.
pub(super) fn treebank(sentences: &[&[(&str, &str)]]) -> String {
    let row = |(id, (word, tag)): (usize, &(&str, &str))| format!("{}\t{word}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n", id + 1);
    sentences.iter().map(|words| words.iter().enumerate().map(row).collect::<String>() + "\n").collect()
}

fn one_of_each(folder: &Path) -> Vec<Box<dyn Annotator>> {
    let taught = treebank(&[&[("the", "DET"), ("U.S.", "PROPN"), ("is", "AUX"), (".", "PUNCT"), ("e\u{301}", "_")]]);
    fs::write(folder.join("bank"), taught).unwrap();
    fs::write(folder.join("list"), "don't\tneg\nbad\tneg\né\tletter\n").unwrap();
    let tables = [
        ("perceptron", json!({ "train": "bank" })),
        ("lookup", json!({ "file": "list" })),
        ("lookup", json!({ "file": "list", "lowercase": true, "default": "other" })),
        ("regex", json!({ "patterns": { "a": r"\s*\w+\s", "b": "x*", "c": r"[^a-z]*", "d": "." } })),
    ];
    tables.into_iter().map(|(kind, table)| make(folder, kind, &table).unwrap()).collect()
}

#[test]
fn spans_are_places_of_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let annotators = one_of_each(folder.path());
    proptest!(|(text in any_writing())| {
        let scalars: Vec<char> = text.chars().collect();
        for annotator in &annotators {
            let spans = annotator.annotate(&text);
            let mut last = 0;
            for span in &spans {
                prop_assert!(last <= span.start && span.start < span.end, "{:?}", spans);
                last = span.end;
                let stands = &scalars[span.start as usize..span.end as usize];
                prop_assert!(!stands[0].is_whitespace() && !stands[stands.len() - 1].is_whitespace());
            }
            prop_assert_eq!(annotator.annotate(&text), spans);
        }
    });
}

#[test]
fn every_option_is_described() {
    for annotator in ANNOTATORS {
        let schema = (annotator.schema)();
        assert!(schema["description"].is_string(), "{schema}");
        for (name, option) in schema["properties"].as_object().unwrap() {
            assert!(option["description"].is_string(), "{}: {name}", annotator.kind);
        }
        let unknown = faults(Path::new("."), annotator.kind, &json!({ "nonsense": 1 }));
        assert!(unknown[0].1.starts_with("unknown field `nonsense`"), "{unknown:?}");
    }
}

#[test]
fn a_list_gives_its_words_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let list = "good\tpos\nnot\n\nwell-known\tfame\nwell\tpos\nDon't\tneg\ngood\tpos\n";
    fs::write(folder.path().join("list"), list).unwrap();
    let look_up = |table: Value, text: &str| {
        let found = found(&*make(folder.path(), "lookup", &table).unwrap(), text).into_iter();
        found.map(|(word, value)| format!("{word}={value}")).collect::<Vec<_>>().join(" ")
    };
    let table = json!({ "file": "list", "value": "other" });
    let text = "É (good), well-known; well- known. don't Don't NOT not";
    assert_eq!(look_up(table, text), "good=pos well-known=fame well=pos Don't=neg not=other");
    let table = json!({ "file": "list", "value": "other", "lowercase": true, "default": "-" });
    let expected =
        "É=- (=- good=pos )=- ,=- well-known=fame ;=- well=pos -=- known=- .=- don't=neg Don't=neg NOT=other not=other";
    assert_eq!(look_up(table, text), expected);
}

#[test]
fn faulty_lists_are_located() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let cases = [
        ("", ":1: the list has no word; write one a line"),
        (" \n\n", ":1: the list has no word; write one a line"),
        ("a\tx\n\nb\n", ":3: 'b' has no value; write one behind a tab, or give `value` for all such words"),
        ("a\tx\na\ty\n", ":2: 'a' is given 'y', and 'x' in line 1; keep one of the two"),
        ("New York\tplace\n", ":1: 'New York\\tplace' is not a word, or a word, a tab and its value"),
        ("a\tx\ty\n", ":1: 'a\\tx\\ty' is not a word, or a word, a tab and its value"),
        ("\tx\n", ":1: '\\tx' is not a word, or a word, a tab and its value"),
    ];
    for (list, expected) in cases {
        fs::write(&path, list).unwrap();
        let error = make(folder.path(), "lookup", &json!({ "file": "list" })).err().unwrap();
        assert_eq!(error.to_string(), format!("{}{expected}", path.display()));
        assert!(error.is_mendable());
    }
    // Two words that are one in small letters.
    fs::write(&path, "May\tmonth\nmay\tverb\n").unwrap();
    assert!(make(folder.path(), "lookup", &json!({ "file": "list" })).is_ok());
    let error = make(folder.path(), "lookup", &json!({ "file": "list", "lowercase": true })).err().unwrap();
    assert!(error.to_string().ends_with(":2: 'may' is given 'verb', and 'month' in line 1; keep one of the two"));
    assert_eq!(faults(folder.path(), "lookup", &json!({ "file": "none" }))[0].0, "/file");
}

#[test]
fn the_first_match_counts_and_the_first_pattern_among_equals() {
    let folder = tempfile::tempdir().unwrap();
    let match_in = |patterns: Value, text: &str| {
        found(&*make(folder.path(), "regex", &json!({ "patterns": patterns })).unwrap(), text)
    };
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|&(stands, value)| (stands.to_owned(), value.to_owned())).collect()
    };
    let text = "In 1999 é 42 films";
    let year = json!({ "year": "[12][0-9]{3}", "number": "[0-9]+" });
    assert_eq!(match_in(year, text), own(&[("1999", "year"), ("42", "number")]));
    let number = json!({ "number": "[0-9]+", "year": "[12][0-9]{3}" });
    assert_eq!(match_in(number, text), own(&[("1999", "number"), ("42", "number")]));
    let earliest = json!({ "late": "99 . 42", "early": " 1" });
    assert_eq!(match_in(earliest, text), own(&[("1", "early"), ("99 é 42", "late")]));
    // Names of groups are each pattern's own.
    let groups = json!({ "a": "(?<x>I)", "b": "(?<x>n)" });
    assert_eq!(match_in(groups, text), own(&[("I", "a"), ("n", "b")]));
}

#[test]
fn faulty_patterns_are_shown() {
    let faults = faults(Path::new("."), "regex", &json!({ "patterns": { "a": "[0-9", "b": "x", "c/d": "(?=x)" } }));
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[0].0, "/patterns/a");
    assert_eq!(faults[0].1, "regex parse error:\n    [0-9\n    ^\nerror: unclosed character class");
    assert_eq!(faults[1].0, "/patterns/c~1d");
    assert!(faults[1].1.ends_with("error: look-around, including look-ahead and look-behind, is not supported"));
    for nothing in ["", "^", r"\b", "(?:|^)", "a[a&&b]"] {
        let told = super::tests::faults(Path::new("."), "regex", &json!({ "patterns": { "a": nothing, "b": "x|" } }));
        let expected = "it matches no character of any text; write what the words that it is meant for have";
        assert_eq!(told, [("/patterns/a".to_owned(), expected.to_owned())], "{nothing}");
    }
    let none = super::tests::faults(Path::new("."), "regex", &json!({ "patterns": {} }));
    let expected = "there is no pattern; give at least one, such as `number = \"[0-9]+\"`";
    assert_eq!(none, [("/patterns".to_owned(), expected.to_owned())]);
}

/// Its order is a part of what a table of patterns says.
#[test]
fn recipes_differ_where_annotators_do() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::write(folder.path().join(name), "x\ty\n").unwrap();
    }
    let recipe = |kind: &str, table: &str| {
        open(folder.path(), kind, &serde_json::from_str(table).unwrap()).unwrap().recipe().to_string()
    };
    let recipes = [
        recipe("regex", r#"{"patterns": {"a": "x", "b": "y"}}"#),
        recipe("regex", r#"{"patterns": {"b": "y", "a": "x"}}"#),
        recipe("lookup", r#"{"file": "a"}"#),
        recipe("lookup", r#"{"file": "a", "default": "z"}"#),
        recipe("lookup", r#"{"file": "a", "lowercase": true}"#),
        recipe("perceptron", r#"{"train": "a"}"#),
        recipe("perceptron", r#"{"train": "a", "column": "xpos"}"#),
        recipe("perceptron", r#"{"train": "a", "epochs": 3}"#),
        recipe("perceptron", r#"{"train": "a", "seed": 3}"#),
    ];
    for (at, recipe) in recipes.iter().enumerate() {
        assert!(!recipes[at + 1..].contains(recipe), "{recipe}");
    }
    // Whatever its files are called.
    assert_eq!(recipe("perceptron", r#"{"train": "a"}"#), recipe("perceptron", r#"{"train": "b"}"#));
}
