//! Options of a component: made from their schema, and wrong ones that must be refused.

use serde_json::{Map, Value, json};
use txray_host::SILENT;
use txray_plugin::Fault;

use crate::bench::{Bench, Failure, Maker};

/// Options to try, the likeliest first: the schema's own examples, then the least that it allows, then none.
pub(crate) fn candidates(schema: &Value) -> Vec<Value> {
    let mut candidates: Vec<Value> = schema["examples"].as_array().into_iter().flatten().cloned().collect();
    candidates.extend(value(schema, schema).filter(Value::is_object));
    candidates.push(json!({}));
    candidates.dedup();
    candidates
}

/// The JSON pointer to the option of a format, such as `"format": "epochs"`, if there is one.
pub(crate) fn of_format(root: &Value, format: &str) -> Option<String> {
    fn find(root: &Value, schema: &Value, format: &str) -> Option<String> {
        let schema = resolved(root, schema);
        if schema["format"] == format {
            return Some(String::new());
        }
        let mut properties = schema["properties"].as_object().into_iter().flatten();
        properties.find_map(|(name, property)| Some(format!("/{name}{}", find(root, property, format)?)))
    }
    find(root, root, format)
}

/// A value that a schema allows: its example or default, else the least of its type.
fn value(root: &Value, schema: &Value) -> Option<Value> {
    let schema = resolved(root, schema);
    if let Some(given) = schema["examples"].get(0).or_else(|| schema.get("default")) {
        return Some(given.clone());
    }
    if let Some(only) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return Some(only.clone());
    }
    if let Some(choices) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        return choices.iter().find_map(|choice| value(root, choice));
    }
    Some(match type_of(schema)? {
        "object" => {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let properties = schema["properties"].as_object().into_iter().flatten();
            let needed = properties
                .filter(|(name, property)| required.contains(&name.as_str()) || property.get("examples").is_some());
            let values = needed.map(|(name, property)| Some((name.clone(), value(root, property)?)));
            values.collect::<Option<Map<String, Value>>>()?.into()
        }
        "integer" => integer(schema).into(),
        "number" => number(schema).into(),
        "string" => "x".into(),
        "boolean" => false.into(),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
            vec![value(root, &schema["items"]).unwrap_or(Value::Null); least].into()
        }
        _ => Value::Null,
    })
}

/// The number nearest to 1 within the bounds.
fn number(schema: &Value) -> f64 {
    let bound = |name: &str| schema[name].as_f64();
    let (least, most) = (bound("minimum"), bound("maximum"));
    let (above, below) = (bound("exclusiveMinimum"), bound("exclusiveMaximum"));
    let low = least.or(above.map(|above| below.or(most).map_or(above + 1.0, |end| above.midpoint(end))));
    let high = most.or(below.map(|below| above.or(least).map_or(below - 1.0, |start| start.midpoint(below))));
    1.0_f64.min(high.unwrap_or(f64::INFINITY)).max(low.unwrap_or(f64::NEG_INFINITY))
}

fn integer(schema: &Value) -> i64 {
    let bound = |name: &str| schema[name].as_f64();
    let low = bound("minimum").or(bound("exclusiveMinimum").map(|above| above + 1.0));
    let high = bound("maximum").or(bound("exclusiveMaximum").map(|below| below - 1.0));
    1.0_f64.min(high.unwrap_or(f64::INFINITY)).max(low.unwrap_or(f64::NEG_INFINITY)) as i64
}

/// The schema that a reference names, or the schema itself.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// The type of a schema's values. Of several (`["integer", "null"]`), the first.
fn type_of(schema: &Value) -> Option<&str> {
    schema["type"].as_str().or_else(|| schema["type"].get(0)?.as_str())
}

/// Options of which one is wrong, and the JSON pointer to it.
struct Wrong {
    options: Value,
    pointer: String,
    /// Whether it is wrong because there is no such option.
    unknown: bool,
}

const UNKNOWN: &str = "no-such-option";

/// Right options, each time with one of them wrong: one unknown, and each of a simple type with a value of another
/// type.
fn wrong(schema: &Value, right: &Value) -> Vec<Wrong> {
    let mut all = vec![Wrong { options: right.clone(), pointer: format!("/{UNKNOWN}"), unknown: true }];
    all[0].options[UNKNOWN] = 1.into();
    let mut found = Vec::new();
    scalars(schema, schema, "", &mut found);
    for (pointer, wrong) in found {
        let mut options = right.clone();
        let mut place = &mut options;
        for name in pointer.split('/').skip(1) {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[name.replace("~1", "/").replace("~0", "~")];
        }
        *place = wrong;
        all.push(Wrong { options, pointer, unknown: false });
    }
    all
}

/// Finds the options of a simple type: pointers to them, each with a value of another type.
fn scalars(root: &Value, schema: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        let property = resolved(root, property);
        match type_of(property) {
            Some("integer" | "number" | "boolean") => found.push((pointer, "no such value".into())),
            Some("string") => found.push((pointer, json!(17))),
            // Deeper than this are schemas that contain themselves.
            Some("object") if at.matches('/').count() < 4 => scalars(root, property, &pointer, found),
            _ => {}
        }
    }
}

/// Wrong options must be refused as the user's fault, at the right place, with a reason.
pub(crate) fn hold<T: ?Sized>(bench: &mut Bench<'_>, maker: &Maker<'_, T>) {
    let wrong = wrong(maker.schema, &maker.options);
    // A misspelt option that is ignored gives results that the user did not ask for.
    bench.property("refuses options that are wrong, and names them", |_| {
        for Wrong { options, pointer, unknown } in &wrong {
            let Err(error) = maker.with(options) else {
                return Err(Failure::from(format!("it was made with {options}, of which {pointer} is wrong")));
            };
            if error.fault() != Fault::Invalid {
                let message = format!("{options} is a fault of the user's, but was told as another: {error}");
                return Err(Failure::from(message));
            }
            // An option that nobody knows may be told of the options as a whole.
            if error.pointer() != pointer && !(*unknown && error.pointer().is_empty()) {
                let found = error.pointer();
                let message = format!("with {options} the wrong option is {pointer}, but it named {found:?}");
                return Err(Failure::from(message));
            }
        }
        Ok(())
    });

    bench.property("says why it refuses options", |_| {
        for Wrong { options, .. } in &wrong {
            let Err(error) = maker.with(options) else { continue };
            if error.message().trim().is_empty() || error.message().ends_with(SILENT) {
                return Err(Failure::from(format!("it refused {options} and gave no reason")));
            }
        }
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_from_examples_then_from_the_least_that_is_required() {
        let schema = json!({
            "type": "object",
            "required": ["power", "mode", "inner"],
            "properties": {
                "power": { "type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0 },
                "mode": { "$ref": "#/$defs/Mode" },
                "inner": { "type": "object", "required": ["n"], "properties": { "n": { "type": "integer", "minimum": 3 } } },
                "column": { "type": "string", "examples": ["mass"] },
                "free": { "type": "string" },
            },
            "$defs": { "Mode": { "type": "string", "enum": ["fast", "slow"] } },
        });
        let built = json!({ "power": 1.0, "mode": "fast", "inner": { "n": 3 }, "column": "mass" });
        let mut got = candidates(&schema);
        // The order of keys is the schema's.
        assert_eq!(got.remove(0), built);
        assert_eq!(got, [json!({})]);

        let mut with_examples = schema.clone();
        with_examples["examples"] = json!([{ "power": 0.5 }]);
        assert_eq!(candidates(&with_examples)[0], json!({ "power": 0.5 }));
        assert_eq!(candidates(&Value::Null), [json!({})]);
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        assert_eq!(number(&json!({})), 1.0);
        assert_eq!(number(&json!({ "minimum": 2.5 })), 2.5);
        assert_eq!(number(&json!({ "exclusiveMinimum": 0.0, "exclusiveMaximum": 1.0 })), 0.5);
        assert_eq!(number(&json!({ "exclusiveMinimum": 1.0 })), 2.0);
        assert_eq!(integer(&json!({ "exclusiveMinimum": 1 })), 2);
        assert_eq!(integer(&json!({ "maximum": 0 })), 0);
    }

    #[test]
    fn wrong_options_are_made_at_every_depth() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a/b": { "type": ["integer", "null"] },
                "train": { "$ref": "#/$defs/Train" },
                "list": { "type": "array" },
            },
            "$defs": { "Train": { "type": "object", "properties": { "state": { "type": "string" } } } },
        });
        let all = wrong(&schema, &json!({}));
        let shown: Vec<_> = all.iter().map(|w| (w.pointer.as_str(), w.options.clone())).collect();
        assert_eq!(
            shown,
            [
                ("/no-such-option", json!({ "no-such-option": 1 })),
                ("/a~1b", json!({ "a/b": "no such value" })),
                ("/train/state", json!({ "train": { "state": 17 } })),
            ]
        );
    }
}
