//! Settings that go back into TOML.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Puts nulls into the tables of a value.
fn with_nulls(value: &Value) -> Value {
    match value {
        Value::Object(table) => {
            let mut table: serde_json::Map<_, _> =
                table.iter().map(|(key, value)| (key.clone(), with_nulls(value))).collect();
            table.entry("nothing").or_insert(Value::Null);
            Value::Object(table)
        }
        Value::Array(items) => items.iter().map(with_nulls).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn settings_are_what_they_were_behind_toml(tree in laws::any_tree()) {
        let text = toml::to_string(&tree).unwrap();
        let settings = Document::parse("run.toml", text).unwrap().value().clone();
        let again = Document::from_settings("the settings of a run", &with_nulls(&settings)).unwrap();
        prop_assert_eq!(again.value(), &settings);
        prop_assert_eq!(again.value(), &tree);
    }
}

#[test]
fn tables_keep_their_order_and_floats_stay_floats() {
    let settings = json!({
        "seed": 1, "z": { "lm.1 'x'\"": { "rate": 1.0, "big": i64::MAX, "bigger": u64::MAX, "small": -0.0 }, "": {} },
        "a": [[{ "b": [1, "x", [2.0]] }], []],
    });
    let document = Document::from_settings("the settings of a run", &settings).unwrap();
    assert_eq!(*document.value(), settings);
    let error = document.error("/z/lm.1 'x'\"/rate", At::Value, "wrong");
    assert!(format!("{error:#}").starts_with("the settings of a run:") && error.place().unwrap().text() == "1.0");
}

#[test]
fn settings_that_toml_cannot_hold_are_an_error() {
    for settings in [json!(1), json!(null), json!([1]), json!({ "a": [null] })] {
        let told = list(&Document::from_settings("the settings of a run", &settings).unwrap_err());
        assert!(told.starts_with("cannot write the settings of a run as TOML: "), "{told}");
    }
}

#[test]
fn defaults_put_nothing_into_settings_that_toml_cannot_hold() {
    let schema = json!({ "properties": {
        "none": { "default": null },
        "inner": { "default": { "a": null, "b": { "c": null, "d": 1 } } },
        "nothing": { "default": { "a": null } },
        "list": { "default": [{ "a": null, "b": 1 }] },
        "holes": { "default": [1, null] },
        "huge": { "default": u64::MAX },
        "table": { "properties": { "none": { "default": null }, "some": { "default": 1.0 } } },
    } });
    let complete = with_defaults(&schema, &json!({ "table": {} }));
    assert_eq!(complete, json!({ "table": { "some": 1.0 }, "inner": { "b": { "d": 1 } }, "list": [{ "b": 1 }] }));
    assert_eq!(*Document::from_settings("settings", &complete).unwrap().value(), complete);
}
