//! A value held against a JSON Schema (draft 2020-12), as far as the schema of pipelines goes.

use serde_json::{Map, Value};

/// Why `value` is not valid by `schema`, a line each, or nothing. The schema may refer to itself.
pub fn invalid(schema: &Value, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    hold(schema, schema, value, "", &mut errors);
    errors
}

fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut errors = Vec::new();
    hold(root, schema, value, "", &mut errors);
    errors.is_empty()
}

fn hold(root: &Value, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    let keywords = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return errors.push(format!("{at}: nothing may stand here")),
        Value::Object(keywords) => keywords,
        other => panic!("{other} is no schema"),
    };
    let schemas = |list: &'_ Value| list.as_array().unwrap().clone();
    let names = |list: &Value| list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    for (keyword, told) in keywords {
        let is_good = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "examples" | "format" | "then" | "else" => true,
            "$ref" => {
                let target = told.as_str().unwrap().strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                hold(root, target.unwrap_or_else(|| panic!("{told} leads nowhere")), value, at, errors);
                true
            }
            "type" => match told {
                Value::Array(kinds) => kinds.iter().any(|kind| is_a(kind, value)),
                kind => is_a(kind, value),
            },
            "const" => value == told,
            "enum" => told.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|value| value >= told.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|value| value <= told.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= told.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= told.as_u64().unwrap()),
            "required" => {
                let names: Vec<String> = names(told);
                value.as_object().is_none_or(|table| names.iter().all(|name| table.contains_key(name)))
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    hold(root, told, item, &format!("{at}/{index}"), errors);
                }
                true
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = told.get(key) {
                        hold(root, schema, value, &format!("{at}/{key}"), errors);
                    }
                }
                true
            }
            "additionalProperties" => {
                let none = Map::new();
                let known = keywords.get("properties").and_then(Value::as_object).unwrap_or(&none);
                for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| !known.contains_key(*key))
                {
                    hold(root, told, value, &format!("{at}/{key}"), errors);
                }
                true
            }
            "anyOf" => schemas(told).iter().any(|schema| is_valid(root, schema, value)),
            "oneOf" => schemas(told).iter().filter(|schema| is_valid(root, schema, value)).count() == 1,
            "allOf" => {
                schemas(told).iter().for_each(|schema| hold(root, schema, value, at, errors));
                true
            }
            "if" => {
                let branch = if is_valid(root, told, value) { "then" } else { "else" };
                hold(root, keywords.get(branch).unwrap_or(&Value::Bool(true)), value, at, errors);
                true
            }
            other => panic!("what does `{other}` say?"),
        };
        if !is_good {
            errors.push(format!("{at}: {value} is not by {keyword}: {told}"));
        }
    }
}

fn is_a(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}
