//! From the tables of a pipeline to sections that were checked, and the steps that they ask for. Every error is gathered; a
//! table with an error is left out, and names that lead to it are not reported again.

mod components;

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use txray_config::{At, Diagnostic, Diagnostics, Document, Name, child, names, suggestion, with_defaults};
use txray_host::Registry;
use txray_plugin::Host;
use txray_text::{CorpusError, Format, Resolver};

use crate::form::Form;
use crate::step::Step;

/// A kind of table that pipelines have, such as `[stage.NAME]`. One file holds it: its keys, its check, and the step that
/// it comes to.
pub trait Section: Any + Send + Sync + Sized {
    /// The table: `stage`.
    const TABLE: &'static str;
    /// Several of them, in words: `stages`.
    const PLURAL: &'static str;
    /// What it is for, in the reference.
    const ABOUT: &'static str;
    /// The kind of the steps that it comes to.
    const STEP: &'static str = Self::TABLE;
    /// How an error begins that tells of sections of this kind which need each other.
    const CIRCLE: &'static str = "these need each other";

    /// Checks the table at `pointer`. Errors go to the check; `None` where there was one.
    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self>;

    /// The steps that it asks for.
    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>>;

    /// What its tables may hold, for the reference and for editors.
    fn form() -> Form;
}

/// A [`Section`], whatever it is.
#[derive(Clone, Copy)]
pub struct SectionKind {
    /// Its table.
    pub table: &'static str,
    /// Several of them, in words.
    pub plural: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The kind of its steps.
    pub step: &'static str,
    check: fn(&mut Check<'_>, &Name, &str) -> Option<Checked>,
    /// What its tables may hold.
    pub form: fn() -> Form,
}

impl SectionKind {
    /// That of a type.
    pub const fn of<S: Section>() -> Self {
        Self {
            table: S::TABLE,
            plural: S::PLURAL,
            about: S::ABOUT,
            step: S::STEP,
            check: |check, name, pointer| S::check(check, name, pointer).map(Checked::of),
            form: S::form,
        }
    }
}

/// A section that was checked.
#[derive(Clone)]
pub(crate) struct Checked {
    section: Arc<dyn Any + Send + Sync>,
    pub steps: Vec<Arc<dyn Step>>,
}

impl Checked {
    fn of<S: Section>(section: S) -> Self {
        let section = Arc::new(section);
        let steps = section.steps();
        Self { section, steps }
    }

    pub fn section<S: Section>(&self) -> Option<Arc<S>> {
        Arc::clone(&self.section).downcast().ok()
    }
}

/// What a pipeline can be made of, apart from plugins.
#[derive(Clone)]
pub struct Catalogue {
    /// The kinds of tables, and so of steps, in the order of a run: whatever a step needs comes before it.
    pub sections: Vec<SectionKind>,
    /// The formats of corpora.
    pub formats: Vec<Format>,
}

/// A table and a name in it.
type SectionId = (&'static str, String);

/// How far a section is.
enum State {
    Waiting,
    /// It is being checked; other sections may be on the way because it named them.
    Going,
    Good(Checked),
    Bad,
    /// Its name is none.
    Refused,
}

/// A check in progress.
pub struct Check<'a> {
    /// The pipeline as it was read.
    pub document: &'a Document,
    /// Where components are found, and libraries come in.
    pub registry: &'a mut Registry,
    /// What components are made with.
    pub host: &'a Host<'a>,
    /// Where relative paths are looked for.
    pub resolver: &'a Resolver,
    /// The formats of corpora.
    pub formats: &'a [Format],
    /// Seed of everything random.
    pub seed: u64,
    /// The device that models run on.
    pub device: String,
    /// What is wrong so far.
    pub diagnostics: Diagnostics,
    /// The tables as they were read, into which defaults are put.
    pub(crate) settings: Value,
    kinds: &'a [SectionKind],
    sections: IndexMap<SectionId, State>,
    /// The sections that are being checked, each with the place at which it named the next.
    going: Vec<(SectionId, String)>,
}

/// Puts what is not there yet of `from` into a value, table by table.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (key, value) in from {
        match into.get_mut(key) {
            Some(there) => merge(there, value),
            None => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

impl<'a> Check<'a> {
    pub(crate) fn new(
        document: &'a Document,
        registry: &'a mut Registry,
        host: &'a Host<'a>,
        resolver: &'a Resolver,
        catalogue: &'a Catalogue,
        diagnostics: Diagnostics,
    ) -> Self {
        Self {
            document,
            registry,
            host,
            resolver,
            formats: &catalogue.formats,
            seed: 0,
            device: String::new(),
            diagnostics,
            settings: document.value().clone(),
            kinds: &catalogue.sections,
            sections: IndexMap::new(),
            going: Vec::new(),
        }
    }

    /// Checks every section; gives the good ones, in the order of their kinds and of the file.
    pub(crate) fn all(&mut self) -> IndexMap<SectionId, Checked> {
        for kind in self.kinds {
            let table = child("", kind.table);
            let good = names(self.document, kind.table, &mut self.diagnostics);
            let all = self.document.value().pointer(&table).and_then(Value::as_object);
            let good: HashSet<&str> = good.iter().map(|good| &**good).collect();
            for name in all.into_iter().flat_map(|all| all.keys()) {
                let state = if good.contains(name.as_str()) { State::Waiting } else { State::Refused };
                self.sections.insert((kind.table, name.clone()), state);
            }
        }
        let ids: Vec<SectionId> = self.sections.keys().cloned().collect();
        for id in ids {
            self.settle_section(&id);
        }
        let sections = std::mem::take(&mut self.sections).into_iter();
        let good = sections.filter_map(|(id, state)| match state {
            State::Good(checked) => Some((id, checked)),
            _ => None,
        });
        good.collect()
    }

    /// Checks a section that nobody asked for yet.
    fn settle_section(&mut self, id: &SectionId) {
        let Some(state @ State::Waiting) = self.sections.get_mut(id) else { return };
        let Some(kind) = self.kinds.iter().find(|kind| kind.table == id.0) else { return };
        // It is waiting, so its name was found to be one.
        let Ok(name) = Name::parse(&id.1) else { return };
        *state = State::Going;
        self.going.push((id.clone(), String::new()));
        let pointer = child(&child("", kind.table), &name);
        let checked = (kind.check)(self, &name, &pointer);
        self.going.pop();
        self.sections.insert(id.clone(), checked.map_or(State::Bad, State::Good));
    }

    /// Whether there is a section of that name, good or bad.
    pub fn exists<S: Section>(&self, name: &str) -> bool {
        self.sections.contains_key(&(S::TABLE, name.to_owned()))
    }

    /// The section that the value at `pointer` names. It is checked now, if it was not yet. `None` where there is none
    /// (which is told, with what was meant), or where it has errors of its own.
    pub fn find<S: Section>(&mut self, pointer: &str, name: &str) -> Option<Arc<S>> {
        let id = (S::TABLE, name.to_owned());
        if let Some((_, at)) = self.going.last_mut() {
            pointer.clone_into(at);
        }
        self.settle_section(&id);
        match self.sections.get(&id) {
            Some(State::Good(checked)) => return checked.section(),
            Some(State::Going) => self.circle::<S>(&id),
            Some(State::Bad | State::Refused | State::Waiting) => {}
            None => {
                let (document, sections) = (self.document, &self.sections);
                self.diagnostics.push_with(|| {
                    let of_kind = sections.iter().filter(|((table, _), _)| *table == S::TABLE);
                    let known = of_kind.filter(|(_, state)| !matches!(state, State::Refused));
                    unknown(document, pointer, S::TABLE, name, known.map(|((_, name), _)| name.as_str()))
                });
            }
        }
        None
    }

    /// The names of all sections of a kind.
    pub fn names<S: Section>(&self) -> impl Iterator<Item = String> {
        let of_kind = self.sections.keys().filter(|(table, _)| *table == S::TABLE);
        of_kind.map(|(_, name)| name.clone()).collect::<Vec<_>>().into_iter()
    }

    /// The sections of a kind that were found to be good so far.
    pub fn good<S: Section>(&self) -> impl Iterator<Item = Arc<S>> {
        self.sections.values().filter_map(|state| match state {
            State::Good(checked) => checked.section(),
            _ => None,
        })
    }

    /// Tells of sections that lead to each other, at the place where the first of them names the next.
    fn circle<S: Section>(&mut self, id: &SectionId) {
        let from = self.going.iter().position(|(going, _)| going == id).unwrap_or(0);
        let circle = self.going[from..].iter().map(|((_, name), _)| name.as_str()).chain([id.1.as_str()]);
        let names: Vec<String> = circle.map(|name| format!("`{name}`")).collect();
        let pointer = self.going[from].1.clone();
        self.error(&pointer, format!("{}: {}", S::CIRCLE, names.join(" -> ")));
    }

    /// Tells of something wrong with the value at `pointer`.
    pub fn error(&mut self, pointer: &str, message: impl Into<String>) {
        self.diagnostics.push_with(|| self.document.error(pointer, At::Value, message));
    }

    /// The same, with advice.
    pub fn error_with_help(&mut self, pointer: &str, message: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.push_with(|| self.document.error(pointer, At::Value, message).help(help));
    }

    /// Tells of a file that the value at `pointer` does not lead to, with what to do about it.
    pub fn corpus_error(&mut self, pointer: &str, error: &CorpusError) {
        match error.help() {
            Some(help) => self.error_with_help(pointer, error.to_string(), help),
            None => self.error(pointer, error.to_string()),
        }
    }

    /// Tells of a name that leads nowhere.
    pub fn unknown<'n>(&mut self, pointer: &str, what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) {
        self.diagnostics.push_with(|| unknown(self.document, pointer, what, name, known));
    }

    /// The table at `pointer` as a `T`. Its defaults are put into the settings.
    pub fn read<T: DeserializeOwned + JsonSchema>(&mut self, pointer: &str) -> Option<T> {
        let value = self.document.value().pointer(pointer).cloned().unwrap_or_default();
        self.read_value(pointer, value)
    }

    /// The same for a table that keys were taken out of.
    pub fn read_value<T: DeserializeOwned + JsonSchema>(&mut self, pointer: &str, value: Value) -> Option<T> {
        self.put(pointer, &with_defaults(schemars::schema_for!(T).as_value(), &value));
        self.document.read_value(pointer, value, &mut self.diagnostics)
    }

    /// Puts what is not there yet into the settings of the table at `pointer`.
    pub fn put(&mut self, pointer: &str, table: &Value) {
        if let Some(place) = self.settings.pointer_mut(pointer) {
            merge(place, table);
        }
    }

    /// The `kind` of the table at `pointer`, one of `known`, and the rest of it.
    pub fn kind(&mut self, pointer: &str, known: &[&str], what: &str) -> Option<(String, Value)> {
        let Some(Value::Object(mut table)) = self.document.value().pointer(pointer).cloned() else {
            self.error(pointer, "expected a table");
            return None;
        };
        match table.shift_remove("kind") {
            Some(Value::String(kind)) if known.contains(&kind.as_str()) => Some((kind, Value::Object(table))),
            Some(Value::String(kind)) => {
                self.unknown(&child(pointer, "kind"), what, &kind, known.iter().copied());
                None
            }
            Some(_) => {
                self.error(&child(pointer, "kind"), "expected a string");
                None
            }
            None => {
                let table = self.document.table_name(pointer);
                let error = self.document.error(pointer, At::Value, "missing key `kind`");
                let help = suggestion("", known.iter().copied());
                self.diagnostics.push(error.label(format!("not set in {table}")).help(help));
                None
            }
        }
    }

    /// Puts the top level's values before the tables, where they stand in a file.
    pub(crate) fn begin(&mut self, seed: u64, device: &str) {
        self.seed = seed;
        device.clone_into(&mut self.device);
        self.registry.set_device(device);
        let mut settings = json!({ "seed": seed, "device": device });
        merge(&mut settings, &self.settings);
        self.settings = settings;
    }
}

/// An error about a name that leads nowhere.
fn unknown<'n>(
    document: &Document,
    pointer: &str,
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Diagnostic {
    document.error(pointer, At::Value, format!("there is no {what} `{name}`")).help(suggestion(name, known))
}
