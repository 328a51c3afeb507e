//! `record` of a stage: which activations count, at every site or site by site.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value, json};
use txray_config::{child, suggestion};
use txray_method::{Keeps, RECORDS, Record, RecordKind};
use txray_plugin::Site;

use crate::check::{Check, merge};

/// What a stage records.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Recording {
    /// The same at every site.
    Everywhere(Record),
    /// At these sites alone, by their names.
    BySite(IndexMap<String, Record>),
}

impl Default for Recording {
    fn default() -> Self {
        Self::Everywhere(Record::default())
    }
}

/// A site that is read, by its index among those of the model, and what is recorded there.
pub type Recorded = (usize, Record);

impl Recording {
    /// Reads the value at `pointer`: a rule's name, a table of its `kind` and options, or a table of such by site. Errors go to the
    /// check; `None` where there was one.
    pub fn read(check: &mut Check<'_>, pointer: &str, value: &Value) -> Option<Self> {
        match value {
            Value::Object(table) if !table.contains_key("kind") => {
                if table.is_empty() {
                    check.error_with_help(
                        pointer,
                        "no site is named",
                        "a table of sites has a rule for each that is read",
                    );
                    return None;
                }
                let rules =
                    table.iter().map(|(site, rule)| Some((site.clone(), one(check, &child(pointer, site), rule)?)));
                // All of them, so that every error is told.
                let rules: Vec<Option<(String, Record)>> = rules.collect();
                Some(Self::BySite(rules.into_iter().collect::<Option<_>>()?))
            }
            rule => one(check, pointer, rule).map(Self::Everywhere),
        }
    }

    /// Every rule of it, with what is added to the place of `record` to come to it.
    pub fn rules(&self) -> Vec<(String, Record)> {
        match self {
            Self::Everywhere(record) => vec![(String::new(), *record)],
            Self::BySite(rules) => rules.iter().map(|(site, record)| (child("", site), *record)).collect(),
        }
    }

    /// What is recorded at a site.
    pub fn of(&self, site: &str) -> Option<Record> {
        match self {
            Self::Everywhere(record) => Some(*record),
            Self::BySite(rules) => rules.get(site).copied(),
        }
    }

    /// What is recorded of a model that is read at these sites, in their order.
    ///
    /// # Errors
    /// A site that is not there, or that has fewer neurons than are asked for: where, as in [`Recording::rules`], and what.
    pub fn at(&self, sites: &[Site]) -> Result<Vec<Recorded>, (String, String)> {
        if let Self::BySite(rules) = self
            && let Some(unknown) = rules.keys().find(|name| sites.iter().all(|site| site.name != **name))
        {
            let help = suggestion(unknown, sites.iter().map(|site| site.name.as_str()));
            return Err((child("", unknown), format!("the model has no site `{unknown}`: {help}")));
        }
        let recorded: Vec<Recorded> =
            sites.iter().enumerate().filter_map(|(index, site)| Some((index, self.of(&site.name)?))).collect();
        for &(index, record) in &recorded {
            let site = &sites[index];
            if let Some(k) = record.k().filter(|k| *k > site.width) {
                let at = if matches!(self, Self::BySite(_)) { child("", &site.name) } else { String::new() };
                return Err((at, format!("{k} neurons are asked for, and there are fewer: {site}")));
            }
        }
        Ok(recorded)
    }
}

/// The rule that is named at `pointer`.
fn one(check: &mut Check<'_>, pointer: &str, value: &Value) -> Option<Record> {
    let (name, place, options) = match value {
        Value::String(name) => (name.clone(), pointer.to_owned(), json!({})),
        Value::Object(table) => {
            let mut options = table.clone();
            match options.shift_remove("kind") {
                Some(Value::String(name)) => (name, child(pointer, "kind"), Value::Object(options)),
                _ => {
                    check.error(
                        pointer,
                        "the table of a record rule names its `kind`, such as { kind = \"top-k\", k = 5 }",
                    );
                    return None;
                }
            }
        }
        _ => {
            check.error(pointer, "expected the name of a record rule, or a table with its `kind`");
            return None;
        }
    };
    let Some(RecordKind { schema, read, .. }) = RECORDS.iter().find(|known| known.kind == name) else {
        check.unknown(&place, "record rule", &name, RECORDS.iter().map(|known| known.kind));
        return None;
    };
    let schema = schema();
    let missing = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let (Value::String(_), [key, ..]) = (value, &missing.collect::<Vec<_>>()[..]) {
        let help = format!("for instance `{{ kind = \"{name}\", {key} = {} }}`", if *key == "k" { "5" } else { "0.5" });
        check.error_with_help(pointer, format!("`{name}` needs its `{key}`"), help);
        return None;
    }
    let settings = txray_config::with_defaults(&schema, &options);
    let record = check.document.read_with(pointer, options, &schema, &mut check.diagnostics, read)?;
    if let Keeps::Threshold { above } = record.keeps
        && !above.is_finite()
    {
        check.error(&child(pointer, "above"), "a threshold is a finite number");
        return None;
    }
    // A name alone stands for the table of it and its defaults.
    if let Some(place) = check.settings.pointer_mut(pointer) {
        *place = json!({ "kind": name });
        merge(place, &settings);
    }
    Some(record)
}
