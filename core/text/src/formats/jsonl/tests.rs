use proptest::prelude::*;

use super::*;
use crate::{Resolver, Span};

fn open(text: &str, options: &str) -> Result<(Vec<String>, Vec<Document>), (String, String)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.jsonl"), text).unwrap();
    let options: JsonlOptions = toml::from_str(&format!("train = 'a.jsonl'\n{options}")).unwrap();
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    let told = |error: &CorpusError| error.to_string().replace(&*folder.path().join("a").to_string_lossy(), "a");
    match options.open(&Context { resolver: &resolver, seed: 0 }) {
        Ok(corpus) => {
            let read = corpus.documents("train", &Disk).and_then(Iterator::collect);
            read.map(|read| (corpus.layers(), read)).map_err(|error| (String::new(), told(&error)))
        }
        Err(errors) => Err((errors[0].pointer.clone(), told(&errors[0].error))),
    }
}

#[test]
fn objects_become_documents() {
    let text = "\u{feff}{\"text\": \" a\\u00e9 \", \"label\": 1.50, \"meta\": {\"movie\": \"Heat\"}}\r\n \r\n\
                {\"label\": null, \"text\": \"no\", \"text\": \"b\", \"meta\": {\"movie\": true, \"x\": [1]}}\n\
                {\"text\": \"c\", \"meta.movie\": \"own\"}";
    let (layers, documents) = open(text, "group = 'meta.movie'").unwrap();
    assert_eq!(layers, ["label"]);
    let found: Vec<_> = documents
        .iter()
        .map(|d| (d.id, d.line.unwrap(), d.indent, &*d.text, d.label.as_deref(), d.group.as_deref()))
        .collect();
    let expected = [
        (0, 1, 1, "aé", Some("1.50"), Some("Heat")),
        (1, 3, 0, "b", None, Some("true")),
        (2, 4, 0, "c", None, Some("own")),
    ];
    assert_eq!(found, expected);
    let (layers, documents) = open("{\"text\": \"a\"}\n{\"text\": \"b\", \"label\": \"x\"}\n", "").unwrap();
    assert!(layers.is_empty() && documents[1].label.is_none());
}

/// A float has other digits, and a label is a name.
#[test]
fn numbers_are_labels_as_they_are_written() {
    let numbers = ["18446744073709551616", "-0", "1.50", "1E3", "0.1000000000000000055511151231257827", "7"];
    for number in numbers {
        let text = format!("{{\"text\": \"a\", \"x\": {{\"y\": 1.0, \"y\": {number} }}, \"label\": {number}}}");
        let (_, documents) = open(&text, "group = 'x.y'").unwrap();
        assert_eq!((documents[0].label.as_deref(), documents[0].group.as_deref()), (Some(number), Some(number)));
    }
}

#[test]
fn objects_without_a_text_are_left_out_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "{\"text\": \"\", \"label\": 1}\n{\"text\": \"a\", \"label\": 1}\n\n{\"text\": null}\n{\"text\": \"b\"}\n";
    std::fs::write(folder.path().join("a.jsonl"), text).unwrap();
    let options: JsonlOptions = toml::from_str("train = 'a.jsonl'").unwrap();
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    let corpus = options.open(&Context { resolver: &resolver, seed: 0 }).unwrap();
    let told = crate::files::tests::LeftOut::default();
    let documents: Vec<Document> = corpus.documents("train", &told).unwrap().map(Result::unwrap).collect();
    let found: Vec<_> = documents.iter().map(|d| (d.id, d.line.unwrap(), &*d.text, d.label.as_deref())).collect();
    assert_eq!(found, [(0, 2, "a", Some("1")), (1, 5, "b", None)]);
    assert_eq!(told.rows(), [1, 4]);
}

#[test]
fn annotations_stand_where_they_stood() {
    let text = r#"{"text": "  é b\n", "tags": [[0, 3, "N"], [4, 6, "V"]], "none": null}"#;
    let (layers, documents) = open(text, "annotations = { pos = 'tags', ner = 'none' }").unwrap();
    assert_eq!(layers, ["ner", "pos"]);
    let span = |start, end, value: &str| Span { start, end, value: value.into() };
    let expected = [
        Annotation { layer: "ner".into(), spans: vec![] },
        Annotation { layer: "pos".into(), spans: vec![span(0, 1, "N"), span(2, 3, "V")] },
    ];
    assert_eq!(documents[0].annotations, expected);
}

#[test]
fn faults_are_located() {
    let cases = [
        (
            "{",
            "",
            "/train",
            "a.jsonl:1: a line is a JSON object, and this is none: EOF while parsing an object at its byte 1",
        ),
        ("[1]", "", "/train", "a.jsonl:1: a line is a JSON object, and this is none: it is a list"),
        ("{\"a\": 1, \"b\": 2}", "", "/train", "a.jsonl:1: 'text' is missing, and a text is meant; the line has a, b"),
        ("{\"a\": 1}", "text = 'a'", "/text", "a.jsonl:1: 'a' is a number, and a text is meant; the line has a"),
        ("{\"a\": {}}", "text = 'a.b'", "/text", "a.jsonl:1: 'a.b' is missing, and a text is meant; the line has a"),
        (
            "{\"text\": \" \"}\n{\"text\": null}",
            "",
            "/train",
            "a.jsonl:1: 'text' is empty, here and in every other line, and a text is meant; the line has text",
        ),
        (
            "{\"text\": \"a\"}\n\n{\"text\": 1}",
            "",
            "",
            "a.jsonl:3: 'text' is a number, and a text is meant; the line has text",
        ),
        (
            "{\"text\": \"a\"}",
            "label = 'l'",
            "/label",
            "a.jsonl:1: 'l' is missing, and a string, a number, a boolean or null is meant; the line has text",
        ),
        (
            "{\"text\": \"a\", \"g\": []}",
            "group = 'g'",
            "/group",
            "a.jsonl:1: 'g' is a list, and a string, a number or a boolean is meant; the line has text, g",
        ),
        (" \n\n", "", "", "the split 'train' has no document: a.jsonl holds nothing but white space"),
        (
            "{\"text\": \"a\", \"t\": 1}",
            "annotations = { pos = 't' }",
            "/annotations/pos",
            "a.jsonl:1: 't' is a number, and a list of `[start, end, \"TAG\"]` is meant; the line has text, t",
        ),
    ];
    for (text, options, pointer, message) in cases {
        assert_eq!(open(text, options).unwrap_err(), (pointer.to_owned(), message.to_owned()));
    }
    let faults = [
        ("[1]", "of 't', the annotation 1 is no `[start, end, \"TAG\"]`: [1]"),
        ("[0, 1, 2]", "of 't', the annotation 1 is no `[start, end, \"TAG\"]`: [0,1,2]"),
        ("[-1, 1, \"N\"]", "of 't', the annotation 1 has a place that is no number of characters: [-1,1,\"N\"]"),
        ("[1, 1, \"N\"]", "of 't', the annotation 1 ends where it begins or before: [1,1,\"N\"]"),
        ("[0, 5, \"N\"]", "of 't', the annotation 1 ends after the text, which has 4 characters: [0,5,\"N\"]"),
        (
            "[0, 2, \"N\"], [1, 3, \"N\"]",
            "of 't', the annotation 2 begins before the end of the one before it; they stand in order, and apart: [1,3,\"N\"]",
        ),
    ];
    for (list, message) in faults {
        let text = format!("{{\"text\": \"éééé\", \"t\": [{list}]}}");
        let told = open(&text, "annotations = { pos = 't' }").unwrap_err();
        assert_eq!(told, ("/annotations/pos".to_owned(), format!("a.jsonl:1: {message}")));
    }
    for layer in ["word", "label", "Position", "a b", "", "-a"] {
        let (pointer, told) = open("{\"text\": \"a\"}", &format!("annotations = {{ '{layer}' = 't' }}")).unwrap_err();
        assert_eq!(pointer, format!("/annotations/{layer}"));
        assert!(told.starts_with(&format!("`{layer}` cannot name a layer of annotations")), "{told}");
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let deep = format!("{{\"text\": {}", "[".repeat(1 << 20));
    let (_, told) = open(&deep, "").unwrap_err();
    assert!(told.contains("recursion limit exceeded"), "{told}");
}

proptest! {
    #[test]
    fn texts_and_annotations_survive(
        texts in prop::collection::vec(r#"[ a\n"\\é\u{1F600}]{0,6}x[ a\n"\\é\u{1F600}]{0,6}"#, 1..6),
    ) {
        let line = |text: &String| {
            let tags: Vec<Value> = (0..text.chars().count()).map(|at| json!([at, at + 1, at.to_string()])).collect();
            json!({ "text": text, "tags": tags }).to_string()
        };
        let lines: Vec<String> = texts.iter().map(line).collect();
        let (_, documents) = open(&lines.join("\n"), "annotations = { at = 'tags' }").unwrap();
        prop_assert_eq!(documents.len(), texts.len());
        for (document, text) in documents.iter().zip(&texts) {
            prop_assert_eq!(&document.text, text.trim());
            let spans = &document.annotations[0].spans;
            prop_assert_eq!(spans.len(), document.text.chars().count());
            for (span, at) in spans.iter().zip(0..) {
                prop_assert_eq!((span.start, span.end), (at, at + 1));
                prop_assert_eq!(&*span.value, (at + document.indent).to_string());
            }
        }
    }
}
