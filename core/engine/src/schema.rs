//! The JSON Schema of a pipeline, for editors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use txray_config::{child, embedded};
use txray_host::ComponentInfo;

use crate::check::{Catalogue, merge};
use crate::component::what;
use crate::form::{Form, Kind, Kinds, Parts, Place};

/// The JSON Schema of the pipeline's TOML, for editors: the sections of the engine, with the options of the components at
/// hand. It refuses nothing that the check would take: a component that is not at hand may be one that a plugin of the
/// pipeline brings, and has any options.
pub fn of<'a>(catalogue: &Catalogue, components: impl IntoIterator<Item = &'a ComponentInfo>) -> Value {
    let parts = Parts { formats: &catalogue.formats, components: components.into_iter().collect() };
    let mut schema = top_schema(catalogue);
    schema["title"] = "A pipeline of txray".into();
    let mut defined = Definitions::default();
    for section in &catalogue.sections {
        let tables = tables(section.table, &(section.form)(), &parts, &mut defined);
        merge(&mut schema["properties"][section.table], &tables);
    }
    schema["$defs"] = defined.0.into();
    schema
}

/// The keys outside any table.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TopLevel {
    /// Seed of everything random.
    pub seed: u64,
    /// The device that models run on.
    pub device: String,
}

impl Default for TopLevel {
    fn default() -> Self {
        Self { seed: 1111, device: "cpu".to_owned() }
    }
}

/// The schema of a whole file, as far as it is the engine's: what is inside its tables is told by those.
pub(crate) fn top_schema(catalogue: &Catalogue) -> Value {
    let mut schema = schemars::schema_for!(TopLevel).to_value();
    schema["description"] = "The keys outside any table, and the tables.".into();
    for kind in &catalogue.sections {
        schema["properties"][kind.table] = json!({ "type": "object", "description": kind.about, "default": {} });
    }
    schema
}

/// Schemas that others refer to, by name.
#[derive(Default)]
struct Definitions(Map<String, Value>);

impl Definitions {
    /// Takes in what `make` gives for its place, a JSON pointer. Gives a reference to it.
    fn add(&mut self, name: &str, make: impl FnOnce(&str) -> Value) -> Value {
        // Two libraries may have components of one name.
        let again = (2..).map(|number| format!("{name}.{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(again);
        let name = names.find(|name| !self.0.contains_key(name)).unwrap_or_default();
        let at = format!("/$defs/{name}");
        self.0.insert(name, make(&at));
        json!({ "$ref": format!("#{at}") })
    }
}

/// The schema of `[section]`, in which the tables of a section stand by name.
fn tables(section: &str, form: &Form, parts: &Parts<'_>, defined: &mut Definitions) -> Value {
    let keys = |at: &str| form.keys.as_ref().map_or_else(|| json!({}), |keys| embedded(keys, at));
    let any = match form.kinds[..] {
        [(Place::Table, kinds)] => {
            let mut own = json!({});
            let unknown = match kinds {
                Kinds::Formats | Kinds::Annotators | Kinds::Records => unknown(kinds, parts),
                // Without a kind, it has that of what it begins from.
                Kinds::Components(_) => defined.add(section, |at| {
                    own = keys(at);
                    let mut open = own.clone();
                    open["additionalProperties"] = true.into();
                    with_inner_keys(open, at)
                }),
            };
            by_kind(section, &own, kinds, unknown, parts, defined)
        }
        [(Place::Name, kinds)] => {
            let all = parts.of(kinds).into_iter().map(|Kind { name, options, .. }| {
                let options = defined.add(&format!("{section}.{name}"), |at| embedded(&options, at));
                (name.to_owned(), options)
            });
            return json!({ "properties": all.collect::<Map<_, _>>(), "additionalProperties": { "type": "object" } });
        }
        ref in_keys => {
            let in_key = |(place, kinds): &(Place, Kinds)| match place {
                Place::Key(key) => Some((*key, value_of(*kinds, parts, defined))),
                Place::Table | Place::Name => None,
            };
            let values: Vec<(&str, Value)> = in_keys.iter().filter_map(in_key).collect();
            defined.add(section, |at| {
                let mut keys = keys(at);
                for (key, of) in values {
                    let mut value = &mut keys["properties"][key];
                    if value["type"] == "array" {
                        value = &mut value["items"];
                    }
                    // What says nothing else is `true`.
                    match value.is_object() {
                        true => merge(value, &of),
                        false => *value = of,
                    }
                }
                keys
            })
        }
    };
    json!({ "additionalProperties": any })
}

/// The schema of what names one of these kinds: its name, or a table of it and its options.
fn value_of(kinds: Kinds, parts: &Parts<'_>, defined: &mut Definitions) -> Value {
    let place = match kinds {
        Kinds::Formats => "corpus",
        Kinds::Annotators => "annotator",
        Kinds::Records => "record",
        Kinds::Components(interface) => what(interface),
    };
    let table = by_kind(place, &json!({}), kinds, unknown(kinds, parts), parts, defined);
    let names = parts.of(kinds).into_iter().map(|kind| json!({ "const": kind.name, "description": kind.about }));
    let offered = names.chain([table.clone()]).collect();
    match kinds {
        Kinds::Records => {
            let one =
                offering(json!({ "if": { "type": "object" }, "then": table, "else": { "type": "string" } }), offered);
            // Of a table without a kind, the keys are sites.
            let by_site = json!({ "additionalProperties": one });
            let of_table = json!({ "if": { "required": ["kind"] }, "then": one, "else": by_site });
            json!({ "if": { "type": "object" }, "then": of_table, "else": one })
        }
        _ => offering(json!({ "if": { "type": "object" }, "then": table, "else": { "type": "string" } }), offered),
    }
}

/// The schema of a table that names none of the kinds at hand.
fn unknown(kinds: Kinds, parts: &Parts<'_>) -> Value {
    let kind = match kinds {
        Kinds::Formats | Kinds::Annotators | Kinds::Records => {
            json!({ "enum": parts.of(kinds).iter().map(|kind| kind.name).collect::<Vec<_>>() })
        }
        Kinds::Components(_) => json!({ "type": "string" }),
    };
    json!({ "type": "object", "properties": { "kind": kind }, "required": ["kind"] })
}

/// The schema of tables that have the options of their `kind` beside the keys of `own`, or else are as `unknown`.
fn by_kind(
    place: &str,
    own: &Value,
    kinds: Kinds,
    unknown: Value,
    parts: &Parts<'_>,
    defined: &mut Definitions,
) -> Value {
    let mut forms: Vec<(&str, Vec<Value>)> = Vec::new();
    for Kind { name, about, options } in parts.of(kinds) {
        let form = defined.add(&format!("{place}.{name}"), |at| {
            let mut form = with_options(own, embedded(&options, at), at);
            form["properties"]["kind"] = json!({ "const": name });
            if !about.is_empty() {
                form["description"] = about.into();
            }
            form
        });
        match forms.iter_mut().find(|(known, _)| *known == name) {
            Some((_, forms)) => forms.push(form),
            None => forms.push((name, vec![form])),
        }
    }
    let chosen = forms.iter().rev().fold(unknown, |others, (name, forms)| {
        let form = if let [form] = &forms[..] { form.clone() } else { json!({ "anyOf": forms }) };
        json!({ "if": { "properties": { "kind": { "const": name } }, "required": ["kind"] }, "then": form, "else": others })
    });
    offering(chosen, forms.into_iter().flat_map(|(_, forms)| forms).collect())
}

/// `schema`, for which editors offer all of these forms. Which of them a value has to have, `if` says: so an error is about
/// a key, and not that none of the forms fits.
fn offering(mut schema: Value, mut forms: Vec<Value>) -> Value {
    forms.push(true.into());
    schema["anyOf"] = forms.into();
    schema
}

/// The schema of a table that has the keys of `own` and the options of a kind. It stands at `at`, as `options` did.
fn with_options(own: &Value, options: Value, at: &str) -> Value {
    // Of options that are no plain table, it is not known which keys they have.
    let is_plain = ["$ref", "allOf", "anyOf", "oneOf"].iter().all(|keyword| options.get(keyword).is_none());
    let mut table = if is_plain && options.is_object() { options } else { json!({}) };
    table["type"] = "object".into();
    // The engine's keys come first, and are its own whatever the plugin has.
    let mut properties = own.get("properties").cloned().unwrap_or_else(|| json!({}));
    merge(&mut properties, &table["properties"]);
    table["properties"] = properties;
    let required = [&own["required"], &table["required"]].into_iter().filter_map(Value::as_array).flatten();
    table["required"] = required.cloned().collect();
    with_inner_keys(table, at)
}

/// The schema of a table, which stands at `at`, with its key `a.b` where it is meant: in the table `a`.
fn with_inner_keys(mut table: Value, at: &str) -> Value {
    let Some(properties) = table["properties"].as_object_mut() else { return table };
    let all = std::mem::take(properties).into_iter();
    let (inner, own): (Map<_, _>, Map<_, _>) = all.partition(|(key, _)| key.contains('.'));
    *properties = own;
    for (key, schema) in inner {
        let Some((outer, key)) = key.split_once('.') else { continue };
        if table["properties"].get(outer).is_none() {
            table["properties"][outer] = json!({ "type": "object" });
        }
        let place = inner_table(&table, outer, at);
        if let Some(inner) = table.pointer_mut(&place).filter(|inner| inner.is_object()) {
            inner["properties"][key] = schema;
        }
    }
    table
}

/// Where in `table`, which stands at `at`, the schema of the table `key` is: behind references and behind "or nothing".
fn inner_table(table: &Value, key: &str, at: &str) -> String {
    let mut place = child("/properties", key);
    // A reference may lead back to itself.
    for _ in 0..16 {
        let Some(schema) = table.pointer(&place) else { break };
        let referred = schema["$ref"].as_str().and_then(|to| to.strip_prefix('#')?.strip_prefix(at));
        let chosen = || {
            let alternatives = schema["anyOf"].as_array()?;
            let index = alternatives.iter().position(|one| one["type"] != "null")?;
            Some(format!("{place}/anyOf/{index}"))
        };
        match referred.map(str::to_owned).or_else(chosen) {
            Some(inner) => place = inner,
            None => break,
        }
    }
    place
}
