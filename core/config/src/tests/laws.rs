//! What holds for any tree and any text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::pointer::segment;

/// Trees that TOML can hold: no null, finite floats, integers of 64 bits.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        Just(json!(-0.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..5)
                .prop_map(|table| Value::Object(table.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,3}", "[0-9]{1,2}", "[~/.=ä\"' \\\\]{0,3}", any::<String>()]
}

pub(super) fn any_tree() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(any_key(), any_value(), 0..6)
        .prop_map(|table| Value::Object(table.into_iter().collect()))
}

/// Each value of the tree that is neither table nor array, and each key, with its pointer.
pub(super) fn visit(value: &Value, pointer: &str, see: &mut dyn FnMut(&str, Option<&str>, &Value)) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let pointer = format!("{pointer}{}", segment(key));
                see(&pointer, Some(key), value);
                visit(value, &pointer, see);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                let pointer = format!("{pointer}/{index}");
                see(&pointer, None, value);
                visit(value, &pointer, see);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed_and_every_span_is_its_value(tree in any_tree()) {
        let text = toml::to_string(&tree).unwrap();
        let document = Document::parse("tree.toml", text.clone()).unwrap();
        prop_assert_eq!(document.value(), &tree);
        let mut failures = Vec::new();
        visit(&tree, "", &mut |pointer, key, value| {
            if let Some(key) = key {
                let written = document.place(pointer, At::Key).text().to_owned();
                let parsed: Value = toml::from_str(&format!("{written} = 0")).unwrap();
                if parsed != json!({ key: 0 }) {
                    failures.push(format!("the key {key:?} at {pointer:?} is {written:?}"));
                }
            }
            if !value.is_object() && !value.is_array() {
                let written = document.place(pointer, At::Value).text().to_owned();
                let parsed: Value = toml::from_str(&format!("x = {written}")).unwrap();
                if parsed != json!({ "x": value }) {
                    failures.push(format!("{value} at {pointer:?} is {written:?}"));
                }
            }
        });
        prop_assert!(failures.is_empty(), "{failures:?} in\n{text}");
    }

    /// Wrong values hide nothing from each other, wherever they are.
    #[test]
    fn exactly_what_is_wrong_is_reported(
        grids in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<bool>(), 0..6), 0..4),
            0..4,
        ),
    ) {
        let mut wrong = Vec::new();
        let mut text = String::new();
        for (name, grid) in grids.iter().enumerate() {
            let rows: Vec<String> = grid
                .iter()
                .map(|row| {
                    let cells: Vec<String> = row
                        .iter()
                        .map(|is_right| {
                            if *is_right {
                                return "7".to_owned();
                            }
                            wrong.push(format!("'wrong {}'", wrong.len()));
                            wrong[wrong.len() - 1].clone()
                        })
                        .collect();
                    format!("[{}]", cells.join(", "))
                })
                .collect();
            text.push_str(&format!("grid-{name} = [{}]\n", rows.join(",\n")));
        }
        let mut diagnostics = Diagnostics::new();
        let document = Document::parse("grids.toml", text).unwrap();
        let read: Option<BTreeMap<String, Vec<Vec<u8>>>> = document.read("", &mut diagnostics);
        let reported: Vec<&str> = diagnostics.iter().map(|one| one.place().unwrap().text()).collect();
        prop_assert_eq!(&reported, &wrong);
        prop_assert_eq!(read.is_some(), wrong.is_empty());
    }

    /// Whatever is wrong in a text, it is reported and not panicked over.
    #[test]
    fn any_text_is_a_config_or_has_errors(text in "([a-c.=\\[\\]{}\"',0-9ä \n-]|\\[\\[|\r\n){0,40}") {
        match Document::parse("any.toml", text) {
            Ok(document) => drop(errors_of(&document)),
            Err(diagnostics) => {
                prop_assert!(!diagnostics.is_empty());
                render(&diagnostics);
                list(&diagnostics);
            }
        }
    }

    #[test]
    fn any_assignment_sets_a_value_or_has_errors(assignment in "[a-c.=\\[\\]{}\"',0-9ä \n-]{0,20}") {
        let mut document = document("a = 1\nb.c = [1, { a = 2 }]\n");
        if let Err(diagnostics) = document.set(&assignment) {
            prop_assert!(!diagnostics.is_empty());
            render(&diagnostics);
        }
    }
}
