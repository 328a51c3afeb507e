//! The documentation of a JSON schema: tables of keys, for people.

use std::fmt::Write;

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// Writes the section of a type into a page of Markdown.
pub fn section<T: JsonSchema>(page: &mut String, title: &str) {
    describe(page, title, schemars::schema_for!(T).as_value());
}

/// Writes the section of a schema into a page of Markdown: its description, and a row a key.
pub fn describe(page: &mut String, title: &str, schema: &Value) {
    // Writing to a string cannot fail, here and below.
    let _ = write!(page, "\n## {title}\n");
    let rows = option_rows(schema);
    if rows.is_empty() {
        let _ = write!(page, "\nIt has no options.\n");
        return;
    }
    if let Some(about) = schema["description"].as_str() {
        let _ = write!(page, "\n{}\n", one_line(about));
    }
    let _ = write!(page, "\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for row in rows {
        let _ = writeln!(page, "| {} |", row.join(" | "));
    }
}

/// The options that a component's schema tells, those of tables inside it included: key, value, default, meaning; in
/// Markdown.
pub fn option_rows(schema: &Value) -> Vec<[String; 4]> {
    let mut rows = Vec::new();
    keys(schema, schema, "", &mut Vec::new(), &mut rows);
    rows
}

fn keys<'s>(
    root: &'s Value,
    schema: &'s Value,
    prefix: &str,
    around: &mut Vec<&'s Value>,
    rows: &mut Vec<[String; 4]>,
) {
    // A table that has one of its own kind in it is told of once.
    if around.iter().any(|outer| std::ptr::eq(*outer, schema)) {
        return;
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    around.push(schema);
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, property) in properties {
        let meaning = property["description"].as_str();
        let inner = resolve(root, property);
        let mut meaning = meaning.or_else(|| inner["description"].as_str()).map(one_line).unwrap_or_default();
        for variant in inner["oneOf"].as_array().into_iter().flatten() {
            if let (Some(name), Some(about)) = (variant.get("const"), variant["description"].as_str()) {
                let _ = write!(meaning, " `{name}`: {}", one_line(about));
            }
        }
        let is_table = inner["properties"].is_object();
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(Value::Array(items)) if items.is_empty() => String::new(),
            Some(other) if is_table || other.as_object().is_some_and(Map::is_empty) => String::new(),
            Some(value) => format!("`{value}`"),
        };
        rows.push([format!("`{prefix}{key}`"), kind(root, inner), default, meaning.replace('|', "\\|")]);
        keys(root, inner, &format!("{prefix}{key}."), around, rows);
    }
    around.pop();
}

/// The schema behind references and behind "or nothing".
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    resolve_within(root, schema, 16)
}

/// In so many steps: a reference may lead back to itself.
fn resolve_within<'a>(root: &'a Value, schema: &'a Value, steps: u32) -> &'a Value {
    let alternatives = schema["anyOf"].as_array().or_else(|| schema["allOf"].as_array());
    let inner = match (schema["$ref"].as_str(), alternatives) {
        (Some(reference), _) => reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)),
        (None, Some(alternatives)) => alternatives.iter().find(|one| one["type"] != "null"),
        (None, None) => return schema,
    };
    match inner {
        Some(inner) if steps > 0 => resolve_within(root, inner, steps - 1),
        _ => schema,
    }
}

/// What a value is, in words.
fn kind(root: &Value, schema: &Value) -> String {
    kind_within(root, schema, 4)
}

/// In lists of so many levels: a list may be one of its own kind.
fn kind_within(root: &Value, schema: &Value, levels: u32) -> String {
    let variants = schema["oneOf"].as_array().or_else(|| schema["enum"].as_array());
    if let Some(variants) = variants {
        let names = variants.iter().map(|v| v.get("const").unwrap_or(v));
        return names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    }
    let name = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        other => other.as_str().unwrap_or_default(),
    };
    match name {
        "object" => "table".to_owned(),
        "array" if levels == 0 => "list".to_owned(),
        "array" => match kind_within(root, resolve(root, &schema["items"]), levels - 1).as_str() {
            "" => "list".to_owned(),
            of => format!("list of {of}"),
        },
        "number" => "number".to_owned(),
        "integer" => "integer".to_owned(),
        "boolean" => "`true`, `false`".to_owned(),
        other => other.to_owned(),
    }
}

/// A doc comment without its line breaks.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_leads_back_to_itself_comes_to_an_end() {
        let schema = json!({
            "properties": { "a": { "type": "integer" }, "inner": { "$ref": "#" }, "loop": { "$ref": "#/properties/loop" } },
        });
        let rows = option_rows(&schema);
        assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["`a`", "`inner`", "`loop`"]);
    }
}
