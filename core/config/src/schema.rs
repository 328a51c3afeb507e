//! A value held against a JSON schema, for what serde cannot say or says one at a time: keys that
//! nothing reads, keys that are missing, arrays where a table belongs.
//!
//! Schemas come from schemars and from plugins. Only what names keys is looked at, and what is not
//! understood allows everything: types are checked by whoever deserializes the value.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::pointer::{segment, unescape};
use crate::words::similar;

/// What a value and its schema disagree about. Pointers are relative to the value.
#[derive(Debug, Default)]
pub(crate) struct Findings<'s> {
    pub(crate) unknown: Vec<Unknown<'s>>,
    /// Tables, and the key that each lacks.
    pub(crate) missing: Vec<(String, &'s str)>,
    /// Arrays where only a table is allowed. (serde fills structs from arrays too.)
    pub(crate) not_tables: Vec<String>,
}

/// A key that the schema does not have.
#[derive(Debug)]
pub(crate) struct Unknown<'s> {
    pub(crate) table: Rc<str>,
    pub(crate) key: String,
    /// The keys that the table can have.
    pub(crate) known: Rc<[&'s str]>,
    /// The one of them, not there yet, that this may be a slip of.
    pub(crate) meant: Option<&'s str>,
}

/// The keywords that combine schemas.
const COMBINATIONS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Holds `value` against `schema`.
///
/// A schema that lists properties is closed, unless it says `additionalProperties`: schemars
/// does not write `false` there for a plain struct, and nobody means keys to be ignored.
pub(crate) fn compare<'s>(schema: &'s Value, value: &Value) -> Findings<'s> {
    let mut walk = Walk { root: schema, findings: Findings::default() };
    walk.value("", value, &[schema]);
    walk.findings
}

/// Whether `schema` has a place for a string, and none for the number or the truth that stands in `value` at `pointer`.
pub(crate) fn wants_string(schema: &Value, value: &Value, pointer: &str) -> bool {
    let walk = Walk { root: schema, findings: Findings::default() };
    let (mut schemas, mut node) = (vec![schema], value);
    for part in pointer.split('/').skip(1) {
        let key = unescape(part);
        let fitting = walk.all_leaves(&schemas).into_iter().filter(|leaf| accepts_type(leaf, node));
        let inner;
        (schemas, inner) = match node {
            Value::Object(table) => {
                let tagged = fitting.filter(|leaf| accepts_tag(leaf, table));
                (tagged.filter_map(|leaf| entry(leaf, &key)).collect(), table.get(&key))
            }
            Value::Array(items) => (
                fitting.filter_map(|leaf| leaf.get("items")).collect(),
                key.parse().ok().and_then(|at: usize| items.get(at)),
            ),
            _ => return false,
        };
        let Some(inner) = inner else { return false };
        node = inner;
    }
    let own: &[&str] = if node.is_boolean() { &["boolean"] } else { &["integer", "number"] };
    let leaves = walk.all_leaves(&schemas);
    let says = |kinds: &[&str]| {
        leaves.iter().any(|leaf| match leaf.get("type") {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(|kind| kinds.contains(&kind)),
            kind => kind.and_then(Value::as_str).is_some_and(|kind| kinds.contains(&kind)),
        })
    };
    says(&["string"]) && !says(own)
}

/// `value` with what `schema` says of absent keys: each default in its place, in tables inside it as well. A default that
/// says nothing (null, an empty list or table) or that TOML cannot hold is left out, and so are keys in it that are null.
pub fn with_defaults(schema: &Value, value: &Value) -> Value {
    let mut value = value.clone();
    fill(&Walk { root: schema, findings: Findings::default() }, &mut value, schema);
    value
}

/// The JSON pointers of the options that `schema` says are of this format, those in tables inside it included.
pub fn of_format(schema: &Value, format: &str) -> Vec<String> {
    let walk = Walk { root: schema, findings: Findings::default() };
    let mut found = Vec::new();
    seek(&walk, schema, "", format, &mut Vec::new(), &mut found);
    found
}

/// `schema` as a part of a document of schemas, in which it stands at the JSON pointer `at`: what it refers to is found
/// there, and it says itself which tables have no other keys than those it lists, as [`Document::read_with`] takes them.
///
/// [`Document::read_with`]: crate::Document::read_with
pub fn embedded(schema: &Value, at: &str) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(root) = &mut schema {
        // These are of a document's root alone.
        root.retain(|keyword, _| !["$schema", "$id", "title"].contains(&keyword.as_str()));
    }
    let mut is_combined = false;
    each(&mut schema, &mut |keywords| {
        if let Some(Value::String(reference)) = keywords.get_mut("$ref")
            && let Some(pointer) = reference.strip_prefix('#')
        {
            *reference = format!("#{at}{pointer}");
        }
        let has_others = COMBINATIONS.iter().chain(&["$ref"]).any(|keyword| keywords.contains_key(*keyword));
        let several = keywords.get("allOf").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
        is_combined |= several || has_others && keywords.contains_key("properties");
    });
    // Keys of a table that is combined from several are told by none of them alone.
    if !is_combined {
        each(&mut schema, &mut |keywords| {
            if keywords.contains_key("properties") && !keywords.contains_key("patternProperties") {
                keywords.entry("additionalProperties").or_insert(false.into());
            }
        });
    }
    schema
}

/// Calls `visit` for a schema and for each schema in it.
fn each(schema: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(keywords) = schema else { return };
    visit(keywords);
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("items" | "additionalProperties" | "not" | "if" | "then" | "else", inner) => each(inner, visit),
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(all)) => {
                all.iter_mut().for_each(|inner| each(inner, visit));
            }
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(all)) => {
                all.values_mut().for_each(|inner| each(inner, visit));
            }
            _ => {}
        }
    }
}

fn seek<'s>(
    walk: &Walk<'s>,
    schema: &'s Value,
    pointer: &str,
    format: &str,
    around: &mut Vec<&'s Value>,
    found: &mut Vec<String>,
) {
    let mut leaves = Vec::new();
    walk.leaves(schema, &mut leaves, &mut Vec::new());
    for leaf in leaves {
        // A table may have tables of its own kind in it.
        if around.iter().any(|outer| std::ptr::eq(*outer, leaf)) {
            continue;
        }
        around.push(leaf);
        for (key, inner) in properties(leaf).into_iter().flatten() {
            let pointer = format!("{pointer}{}", segment(key));
            let mut told = Vec::new();
            walk.leaves(inner, &mut told, &mut Vec::new());
            if told.iter().chain([&inner]).any(|schema| schema.get("format").is_some_and(|told| told == format)) {
                found.push(pointer);
            } else {
                seek(walk, inner, &pointer, format, around, found);
            }
        }
        around.pop();
    }
}

fn fill(walk: &Walk<'_>, value: &mut Value, schema: &Value) {
    let Value::Object(table) = value else { return };
    let mut leaves = Vec::new();
    walk.leaves(schema, &mut leaves, &mut Vec::new());
    // Of several forms that a table can have, defaults are the affair of whoever reads it.
    let tables: Vec<&Map<String, Value>> = leaves.into_iter().filter_map(properties).collect();
    let [properties] = tables[..] else { return };
    for (key, schema) in properties {
        let is_told = |default: &Value| match default {
            Value::Array(items) if items.is_empty() => false,
            Value::Object(table) if table.is_empty() => false,
            told => toml::Value::try_from(told).is_ok(),
        };
        if let Some(inner) = table.get_mut(key) {
            fill(walk, inner, schema);
        } else if let Some(default) = schema.get("default").map(without_null).filter(is_told) {
            table.insert(key.clone(), default);
        }
    }
}

/// A value without the keys that are set to null, which to TOML are not there. A list keeps its nulls: without them, its
/// elements would be others.
pub(crate) fn without_null(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_null).collect(),
        Value::Object(table) => {
            let set = table.iter().filter(|(_, value)| !value.is_null());
            set.map(|(key, value)| (key.clone(), without_null(value))).collect()
        }
        other => other.clone(),
    }
}

struct Walk<'s> {
    root: &'s Value,
    findings: Findings<'s>,
}

impl<'s> Walk<'s> {
    fn value(&mut self, pointer: &str, value: &Value, schemas: &[&'s Value]) {
        let leaves = self.all_leaves(schemas);
        let fitting = |leaf: &&&Value| accepts_type(leaf, value);
        let fitting: Vec<&Value> = leaves.iter().filter(fitting).copied().collect();
        match value {
            Value::Object(table) => self.table(pointer, table, &fitting),
            Value::Array(_) if fitting.is_empty() && leaves.iter().any(|leaf| is_object(leaf)) => {
                self.findings.not_tables.push(pointer.to_owned());
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let schemas: Vec<&Value> = fitting
                        .iter()
                        .map(|leaf| {
                            let position = leaf.get("prefixItems").and_then(|all| all.get(index));
                            position.or(leaf.get("items")).unwrap_or(&Value::Bool(true))
                        })
                        .collect();
                    self.value(&format!("{pointer}/{index}"), item, &schemas);
                }
            }
            _ => {}
        }
    }

    fn table(&mut self, pointer: &str, table: &Map<String, Value>, fitting: &[&'s Value]) {
        // Of the variants of a tagged enum, the one that the tag names; all, if it names none.
        let tagged = |leaf: &&&Value| accepts_tag(leaf, table);
        let mut leaves: Vec<&Value> = fitting.iter().filter(tagged).copied().collect();
        if leaves.is_empty() {
            leaves = fitting.to_vec();
        }
        if leaves.is_empty() {
            return;
        }
        let known = leaves.iter().filter_map(|leaf| properties(leaf));
        let known: Rc<[&str]> = known.flat_map(Map::keys).map(String::as_str).collect();
        let free: Vec<&str> = known.iter().copied().filter(|known| !table.contains_key(*known)).collect();
        let around: Rc<str> = pointer.into();
        for (key, value) in table {
            let schemas: Vec<&Value> = leaves.iter().filter_map(|leaf| entry(leaf, key)).collect();
            if !schemas.is_empty() {
                self.value(&format!("{pointer}{}", segment(key)), value, &schemas);
                continue;
            }
            self.findings.unknown.push(Unknown {
                table: around.clone(),
                key: key.clone(),
                meant: similar(key, free.iter().copied()),
                known: known.clone(),
            });
        }
        // Of several alternatives, which one is short of a key is for serde to say.
        if let [leaf] = leaves.as_slice() {
            let required = leaf.get("required").and_then(Value::as_array);
            let required = required.into_iter().flatten().filter_map(Value::as_str);
            let missing = required.filter(|key| !table.contains_key(*key));
            let missing = missing.map(|key| (pointer.to_owned(), key));
            self.findings.missing.extend(missing);
        }
    }

    fn all_leaves<'v>(&self, schemas: &[&'v Value]) -> Vec<&'v Value>
    where
        's: 'v,
    {
        let (mut leaves, mut seen) = (Vec::new(), Vec::new());
        schemas.iter().for_each(|schema| self.leaves(schema, &mut leaves, &mut seen));
        leaves
    }

    /// The schemas that `schema` comes down to, through references and combinations. That all of
    /// `allOf`, but one of `anyOf`, must hold makes no difference to which keys there are.
    fn leaves<'v>(&self, schema: &'v Value, leaves: &mut Vec<&'v Value>, seen: &mut Vec<&'v Value>)
    where
        's: 'v,
    {
        // References may go round in circles, and many ways may lead to one schema.
        if seen.iter().any(|seen| std::ptr::eq(*seen, schema)) {
            return;
        }
        seen.push(schema);
        let mut targets = Vec::new();
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#');
            targets.extend(target.and_then(|pointer| self.root.pointer(pointer)));
        }
        for combination in COMBINATIONS {
            let schemas = schema.get(combination).and_then(Value::as_array);
            targets.extend(schemas.into_iter().flatten());
        }
        targets.extend(["then", "else"].iter().filter_map(|branch| schema.get(branch)));
        for target in &targets {
            self.leaves(target, leaves, seen);
        }
        let own = ["properties", "additionalProperties", "items", "prefixItems"];
        if targets.is_empty() || own.iter().any(|keyword| schema.get(keyword).is_some()) {
            leaves.push(schema);
        }
    }
}

fn properties(leaf: &Value) -> Option<&Map<String, Value>> {
    leaf.get("properties").and_then(Value::as_object)
}

/// Whether the schema is one of tables.
fn is_object(leaf: &Value) -> bool {
    properties(leaf).is_some() || leaf.get("type").is_some_and(|kind| kind == "object")
}

fn accepts_type(leaf: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        _ => return true,
    };
    match leaf.get("type") {
        Some(Value::String(kind)) => kind == name,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        _ if is_object(leaf) => value.is_object(),
        // `false`, or constants: never a table with keys of its own.
        _ => *leaf != Value::Bool(false) && leaf.get("const").is_none() && leaf.get("enum").is_none(),
    }
}

/// Whether each property that must have one constant value has it.
fn accepts_tag(leaf: &Value, table: &Map<String, Value>) -> bool {
    properties(leaf).into_iter().flatten().all(|(key, schema)| {
        let (constant, value) = (schema.get("const"), table.get(key));
        constant.is_none() || constant == value
    })
}

/// The schema of the value of `key`; `None` if there must not be one.
fn entry<'s>(leaf: &'s Value, key: &str) -> Option<&'s Value> {
    if let Some(schema) = properties(leaf).and_then(|properties| properties.get(key)) {
        return Some(schema);
    }
    // Patterns of keys are not looked into.
    if leaf.get("patternProperties").is_some() {
        return Some(&Value::Bool(true));
    }
    match leaf.get("additionalProperties") {
        Some(Value::Bool(false)) => None,
        Some(schema) => Some(schema),
        None if properties(leaf).is_some() => None,
        None => Some(&Value::Bool(true)),
    }
}
