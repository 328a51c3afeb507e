//! What the tables of a pipeline may hold, as their sections tell it: the reference for people and the schema for editors are
//! made of that alone.

use schemars::JsonSchema;
use serde_json::Value;
use txray_host::ComponentInfo;
use txray_method::{RECORDS, RecordKind};
use txray_text::{ANNOTATORS, AnnotatorKind, Format};

/// What the tables of a section may hold.
pub struct Form {
    /// The engine's own keys. `a.b` is a key `b` of the table `a`, whose others are those of a kind.
    pub(crate) keys: Option<Value>,
    /// What the tables name whose options stand in them, and where.
    pub(crate) kinds: Vec<(Place, Kinds)>,
}

/// Where a table of a section names a kind. The kind's options stand there, too.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// In its key `kind`, with the options beside it. Nothing else is named then.
    Table,
    /// In this key, or in each element of the list there: the kind's name, or a table of it and its options.
    Key(&'static str),
    /// In what it is called: `[report.html]`. Nothing else is named then.
    Name,
}

/// The kinds that are named.
#[derive(Clone, Copy)]
pub(crate) enum Kinds {
    /// The formats of corpora. There are no others than those of the catalogue.
    Formats,
    /// The annotators. There are no others than those that texts have.
    Annotators,
    /// The record rules, of all sites or by site. There are no others than those of the method.
    Records,
    /// The components of this interface. A plugin that is not at hand may bring others.
    Components(&'static str),
}

impl Form {
    /// Tables with the keys of a type.
    pub fn of<T: JsonSchema>() -> Self {
        Self { keys: Some(schemars::schema_for!(T).to_value()), kinds: Vec::new() }
    }

    /// Tables of a format of corpora.
    pub fn formats() -> Self {
        Self { keys: None, kinds: vec![(Place::Table, Kinds::Formats)] }
    }

    /// Tables of an annotator.
    pub fn annotators() -> Self {
        Self { keys: None, kinds: vec![(Place::Table, Kinds::Annotators)] }
    }

    /// Tables that are called as the component of `interface` whose options they hold.
    pub fn named(interface: &'static str) -> Self {
        Self { keys: None, kinds: vec![(Place::Name, Kinds::Components(interface))] }
    }

    /// With the options of a component of `interface` beside the keys, of which one is `kind`.
    #[must_use]
    pub fn with_kinds(self, interface: &'static str) -> Self {
        Self { kinds: vec![(Place::Table, Kinds::Components(interface))], ..self }
    }

    /// The table in the key `key` has keys of the kind beside its own, which are then told of as `key.own`.
    #[must_use]
    pub fn with_shared(mut self, key: &'static str) -> Self {
        let Some(keys) = &mut self.keys else { return self };
        let property = keys["properties"].as_object_mut().and_then(|all| all.shift_remove(key)).unwrap_or_default();
        // A struct is behind a reference, and where it is optional behind "or nothing".
        let alternatives = property["anyOf"].as_array().into_iter().flatten();
        let inner = alternatives.chain([&property]).find_map(|one| one["$ref"].as_str()?.strip_prefix('#'));
        let inner = inner.and_then(|at| keys.pointer(at)).cloned().unwrap_or_default();
        for (name, schema) in inner["properties"].as_object().into_iter().flatten() {
            keys["properties"][format!("{key}.{name}")] = schema.clone();
        }
        self
    }

    /// With a component of `interface`, or a list of them, in the key `key`.
    #[must_use]
    pub fn with_component(mut self, key: &'static str, interface: &'static str) -> Self {
        self.kinds.push((Place::Key(key), Kinds::Components(interface)));
        self
    }

    /// With a record rule, or a table of them by site, in the key `key`.
    #[must_use]
    pub fn with_records(mut self, key: &'static str) -> Self {
        self.kinds.push((Place::Key(key), Kinds::Records));
        self
    }
}

/// A kind that is at hand.
pub(crate) struct Kind<'a> {
    pub name: &'a str,
    pub about: &'a str,
    /// JSON Schema of its options.
    pub options: Value,
}

/// What is at hand for tables to name.
pub(crate) struct Parts<'a> {
    pub formats: &'a [Format],
    pub components: Vec<&'a ComponentInfo>,
}

impl<'a> Parts<'a> {
    pub fn of(&self, kinds: Kinds) -> Vec<Kind<'a>> {
        let format = |format: &Format| Kind { name: format.kind, about: "", options: (format.schema)() };
        let annotator = |one: &AnnotatorKind| Kind { name: one.kind, about: "", options: (one.schema)() };
        let record = |rule: &RecordKind| Kind { name: rule.kind, about: "", options: (rule.schema)() };
        let component =
            |one: &&'a ComponentInfo| Kind { name: &one.kind, about: &one.about, options: one.options.clone() };
        match kinds {
            Kinds::Formats => self.formats.iter().map(format).collect(),
            Kinds::Annotators => ANNOTATORS.iter().map(annotator).collect(),
            Kinds::Records => RECORDS.iter().map(record).collect(),
            Kinds::Components(interface) => {
                self.components.iter().filter(|one| one.interface == interface).map(component).collect()
            }
        }
    }
}
