//! Options of plugins, held against schemas that they give.

use serde_json::{Value, json};

use super::*;

/// As a plugin may give it: references, alternatives told apart by a tag, open and closed tables.
fn plugin_schema() -> Value {
    json!({
        "$ref": "#/$defs/Options",
        "$defs": {
            "Options": {
                "type": "object",
                "properties": {
                    "alpha": { "type": "number" },
                    "free": { "type": "object" },
                    "names": { "type": "object", "additionalProperties": { "$ref": "#/$defs/Options" } },
                    "metrics": { "type": "array", "items": { "anyOf": [
                        { "type": "string" },
                        { "type": "object", "properties": {
                            "kind": { "const": "energy" }, "exponent": {} } },
                        { "type": "object", "properties": {
                            "kind": { "const": "kernel" }, "width": {} } },
                    ] } },
                    "inner": { "anyOf": [ { "$ref": "#/$defs/Options" }, { "type": "null" } ] },
                },
            },
        },
    })
}

#[test]
fn the_schema_of_a_plugin_names_unknown_keys() {
    let text = "\
[metric.x]
free = { anything = { goes = 1 } }
names = { any = { alpha = 1, alhpa = 2 } }
metrics = ['plain', { kind = 'energy', exponent = 1 }, { kind = 'energy', width = 1 }]
inner = { inner = { apha = 1 } }
";
    let document = document(text);
    let value = document.value().pointer("/metric/x").unwrap();
    let mut diagnostics = Diagnostics::new();
    document.read_with("/metric/x", value.clone(), &plugin_schema(), &mut diagnostics, |_| Ok(()));
    assert_shows(
        &list(&diagnostics),
        "
run.toml:3:30: unknown key `alhpa`
run.toml:4:75: unknown key `width`
run.toml:5:21: unknown key `apha`",
    );
}

#[test]
fn schemas_that_say_nothing_or_go_round_in_circles_allow_everything() {
    let document = document("[metric.x]\na = { b = 1 }\n");
    let circle =
        json!({ "$ref": "#/$defs/A", "$defs": { "A": { "anyOf": [{ "$ref": "#/$defs/A" }, { "$ref": "#" }] } } });
    let schemas = [json!(true), json!({}), json!("?"), json!({ "$ref": "elsewhere" }), circle];
    for schema in schemas {
        let mut diagnostics = Diagnostics::new();
        document.read_with("", document.value().clone(), &schema, &mut diagnostics, |_| Ok(()));
        assert!(diagnostics.is_empty(), "{schema}: {}", list(&diagnostics));
    }
}

#[test]
fn options_of_a_format_are_found_wherever_they_are() {
    let schema = json!({
        "$ref": "#/$defs/Options",
        "$defs": { "Options": { "type": "object", "properties": {
            "file": { "type": "string", "format": "path" },
            "train": { "anyOf": [{ "$ref": "#/$defs/Train" }, { "type": "null" }] },
            "inner": { "$ref": "#/$defs/Options" },
            "other": { "anyOf": [{ "$ref": "#/$defs/File" }, { "type": "null" }] },
        } }, "File": { "type": "string", "format": "path" }, "Train": { "properties": { "epochs": { "type": "integer", "format": "epochs" } } } },
    });
    assert_eq!(of_format(&schema, "epochs"), ["/train/epochs"]);
    // A table inside a table of its own kind is not looked into for ever.
    assert_eq!(of_format(&schema, "path"), ["/file", "/other"]);
    assert_eq!(of_format(&json!({}), "path"), [""; 0]);
}

#[test]
fn a_schema_in_another_refers_to_its_own_and_says_which_tables_are_closed() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Options",
        "properties": {
            "train": { "$ref": "#/$defs/Train" },
            "free": { "type": "object" },
            "open": { "properties": { "a": {} }, "additionalProperties": true },
            "title": { "default": { "$ref": "#", "properties": {} } },
        },
        "$defs": { "Train": { "properties": { "inner": { "$ref": "#" } } } },
    });
    let expected = json!({
        "properties": {
            "train": { "$ref": "#/$defs/a/$defs/Train" },
            "free": { "type": "object" },
            "open": { "properties": { "a": {} }, "additionalProperties": true },
            "title": { "default": { "$ref": "#", "properties": {} } },
        },
        "$defs": { "Train": { "properties": { "inner": { "$ref": "#/$defs/a" } }, "additionalProperties": false } },
        "additionalProperties": false,
    });
    assert_eq!(embedded(&schema, "/$defs/a"), expected);
    // None of the parts has every key.
    let combined = json!({ "properties": { "a": {} }, "oneOf": [{ "properties": { "b": {} } }] });
    assert_eq!(embedded(&combined, "/$defs/a"), combined);
    for nothing in [json!(null), json!(true), json!("?")] {
        assert_eq!(embedded(&nothing, "/$defs/a"), nothing);
    }
}
