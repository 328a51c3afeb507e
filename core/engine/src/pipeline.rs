//! A pipeline: one TOML file, checked whole before anything runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use txray_config::{Diagnostic, Diagnostics, Document, reference as page, suggestion};
use txray_host::{ComponentInfo, Registry};
use txray_plugin::Host;
use txray_tables::Manifest;
use txray_text::Resolver;

use crate::check::{Catalogue, Check, Checked, Section, SectionKind};
use crate::error::Error;
use crate::files::read_small;
use crate::form::{Kind, Parts, Place};
use crate::schema::{self, TopLevel, top_schema};
use crate::step::Step;

/// Where a pipeline comes from.
struct Source<'a> {
    name: &'a str,
    file: &'a Path,
    resolver: Resolver,
}

/// A pipeline that was checked: every name leads somewhere, every option was taken.
///
/// Tables are a graph by name: models are trained on corpora and begin from other models, stages read models over corpora,
/// comparisons hold stages against each other.
pub struct Pipeline {
    /// Its name: the stem of its file.
    pub name: String,
    /// The file that it was read from.
    pub file: PathBuf,
    /// Seed of everything random.
    pub seed: u64,
    /// The device that models run on.
    pub device: String,
    /// Where relative paths are looked for.
    pub resolver: Resolver,
    /// The tables of the file, with every default in its place.
    pub settings: Value,
    kinds: Vec<SectionKind>,
    sections: IndexMap<(&'static str, String), Checked>,
}

impl Pipeline {
    /// Reads a pipeline: parses the file, applies `--set` assignments, loads its plugins into the registry, and checks
    /// everything that can be checked before anything runs.
    ///
    /// # Errors
    /// All of them, each with its place.
    pub fn read(
        path: &Path,
        assignments: &[String],
        data: Option<&Path>,
        catalogue: &Catalogue,
        registry: &mut Registry,
        host: &Host<'_>,
    ) -> Result<Self, Diagnostics> {
        let text = read_small(path).map_err(|error| unread(path, &error))?;
        let text = String::from_utf8(text).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
            let message = format!("the pipeline {} is not UTF-8 at line {line} (byte {at})", path.display());
            Diagnostic::new(message).help("save it as UTF-8: editors call that an encoding")
        })?;
        let name = path.file_stem().map_or_else(|| "pipeline".into(), |stem| stem.to_string_lossy());
        let folder = path.parent().unwrap_or(Path::new(""));
        let resolver = Resolver { data: data.map(Path::to_owned), config: folder.to_owned() };
        let document = Document::parse(&path.display().to_string(), text)?;
        Self::check(Source { name: &name, file: path, resolver }, document, assignments, catalogue, registry, host)
    }

    /// The pipeline of the run that left a manifest: it reads the same files, unless `data` is another root of them.
    ///
    /// # Errors
    /// As for [`Pipeline::read`], and those of reading the manifest.
    pub fn again(
        path: &Path,
        assignments: &[String],
        data: Option<&Path>,
        catalogue: &Catalogue,
        registry: &mut Registry,
        host: &Host<'_>,
    ) -> Result<Self, Error> {
        let manifest = Manifest::read(path)?;
        let document = Document::from_settings(&format!("the settings of {}", path.display()), &manifest.settings)?;
        let data = data.map(Path::to_owned).or(manifest.data);
        let resolver = Resolver { data, config: manifest.folder };
        let source = Source { name: &manifest.pipeline, file: path, resolver };
        Ok(Self::check(source, document, assignments, catalogue, registry, host)?)
    }

    fn check(
        source: Source<'_>,
        mut document: Document,
        assignments: &[String],
        catalogue: &Catalogue,
        registry: &mut Registry,
        host: &Host<'_>,
    ) -> Result<Self, Diagnostics> {
        let Source { name, file, resolver } = source;
        let mut diagnostics = Diagnostics::new();
        for assignment in assignments {
            if let Err(errors) = document.set(assignment) {
                diagnostics.append(errors);
            }
        }
        if !assignments.is_empty() {
            let components = registry.plugins().iter().flat_map(|plugin| &plugin.info.components);
            document.settle_words(&schema::of(catalogue, components));
        }
        let top = top_level(&document, catalogue, &mut diagnostics);
        let mut check = Check::new(&document, registry, host, &resolver, catalogue, diagnostics);
        check.begin(top.seed, &top.device);
        let sections = check.all();
        let Check { diagnostics, settings, .. } = check;
        diagnostics.into_result(())?;
        Ok(Self {
            name: one_step(name).to_owned(),
            file: file.to_owned(),
            seed: top.seed,
            device: top.device,
            resolver,
            settings,
            kinds: catalogue.sections.clone(),
            sections,
        })
    }

    /// Every section of a kind, in the order of the file.
    pub fn all<S: Section>(&self) -> impl Iterator<Item = Arc<S>> {
        self.sections.values().filter_map(Checked::section)
    }

    /// How many sections there are of each kind that there is any of, such as `(2, "models")`.
    pub fn counts(&self) -> Vec<(usize, &'static str)> {
        let count = |table| self.sections.keys().filter(|(of, _)| *of == table).count();
        let all = self.kinds.iter().map(|kind| (count(kind.table), kind));
        let word = |count, kind: &SectionKind| if count == 1 { kind.table } else { kind.plural };
        all.filter(|(count, _)| *count > 0).map(|(count, kind)| (count, word(count, kind))).collect()
    }

    /// Whether a run of it would make anything. A model that is read as it comes is made by nobody.
    pub fn has_steps(&self) -> bool {
        self.steps().any(|step| !step.passes_on())
    }

    /// The kinds of steps, in the order of a run.
    pub(crate) fn order(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.step).collect()
    }

    /// The steps that its sections ask for, in the order of kinds and of the file.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Arc<dyn Step>> {
        self.sections.values().flat_map(|checked| &checked.steps)
    }
}

/// An error about a pipeline that cannot be read, with those that may be meant.
fn unread(path: &Path, error: &io::Error) -> Diagnostic {
    let message = format!("cannot read the pipeline {}: {error}", path.display());
    let pipelines = |folder: &Path| {
        let entries = std::fs::read_dir(if folder == Path::new("") { Path::new(".") } else { folder });
        let files = entries.into_iter().flatten().flatten().map(|entry| folder.join(entry.file_name()));
        let mut found: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
        found.sort();
        found
    };
    let known = match path.is_dir() {
        true => pipelines(path),
        false => [path.parent().unwrap_or(Path::new("")), Path::new("configs")].map(pipelines).concat(),
    };
    let same = known.iter().find(|known| known.file_name() == path.file_name());
    let names: Vec<String> = known.iter().map(|path| path.display().to_string()).collect();
    let help = match (same, &names[..]) {
        (Some(same), _) => format!("did you mean `{}`?", same.display()),
        (None, []) => "a pipeline is a TOML file: the README has one to begin with".to_owned(),
        (None, names) => suggestion(&path.to_string_lossy(), names.iter().map(String::as_str)),
    };
    Diagnostic::new(message).help(help)
}

/// The name of a pipeline as a default for a folder's: one step of a path, or else a name for any.
fn one_step(name: &str) -> &str {
    let mut parts = Path::new(name).components();
    let is_step =
        matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name);
    if is_step && !name.chars().any(char::is_control) { name } else { "pipeline" }
}

/// The keys outside any table. Those that are wrong are told, and have their defaults.
fn top_level(document: &Document, catalogue: &Catalogue, diagnostics: &mut Diagnostics) -> TopLevel {
    let mut top = TopLevel::default();
    let tables: Vec<&str> = catalogue.sections.iter().map(|kind| kind.table).collect();
    let value = document.value().clone();
    let _ = document.read_with("", value, &top_schema(catalogue), diagnostics, |value| {
        let all = value.as_object().cloned().unwrap_or_default();
        let (tables, own): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(key, _)| tables.contains(&&**key));
        for (key, table) in &tables {
            // In serde's words, which the document understands.
            serde_json::from_value::<Map<String, Value>>(table.clone())
                .map_err(|error| (format!("/{key}"), error.to_string()))?;
        }
        for (key, value) in &own {
            serde_json::from_value::<TopLevel>(json!({ key: value }))
                .map_err(|error| (format!("/{key}"), error.to_string()))?;
        }
        top = serde_json::from_value(Value::Object(own)).map_err(|error| (String::new(), error.to_string()))?;
        Ok(())
    });
    top
}

/// The reference of the pipeline's TOML as Markdown: the sections of the engine, each with the options of the components at
/// hand.
pub fn reference<'a>(catalogue: &Catalogue, components: impl IntoIterator<Item = &'a ComponentInfo>) -> String {
    let mut text = "# Configuration\n\n\
         A pipeline is one TOML file. Its tables name each other: a stage reads a model over a corpus, a comparison holds \
         two stages against each other. `txray check FILE` tells every error at once. Any value can be set from the \
         command line: `--set model.lm.train.epochs=2`.\n\n\
         Tables are called by names of at most 64 letters (a to z), digits, `.`, `_` and `-`, which do not begin with `.` or \
         `-`; names of one kind do not differ in case alone, and none \
         begins with its own kind and a dot. Names of splits are the same, without dots.\n\n\
         This page is generated from the types that read the file; do not edit it.\n"
        .to_owned();
    page::describe(&mut text, "Top level", &top_schema(catalogue));
    let parts = Parts { formats: &catalogue.formats, components: components.into_iter().collect() };
    for section in &catalogue.sections {
        let (table, form) = (section.table, (section.form)());
        if let Some(keys) = &form.keys {
            page::describe(&mut text, &format!("`[{table}.NAME]`"), keys);
        }
        let named =
            form.kinds.iter().flat_map(|(place, kinds)| parts.of(*kinds).into_iter().map(move |kind| (place, kind)));
        for (place, Kind { name, about, options }) in named {
            let mut title = match place {
                Place::Table => format!("`[{table}.NAME]`, `kind = \"{name}\"`"),
                Place::Key(key) => format!("`{key}` of `[{table}.NAME]`, `kind = \"{name}\"`"),
                Place::Name => format!("`[{table}.{name}]`"),
            };
            if !about.is_empty() {
                title += &format!(": {about}");
            }
            page::describe(&mut text, &title, &options);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_pipeline_is_one_step_of_a_path() {
        for name in ["quickstart", "my run", "Ärger", "a.b"] {
            assert_eq!(one_step(name), name);
        }
        for name in ["", ".", "..", "../x", "/etc", "a/b", "a/", "a\u{1b}[2J"] {
            assert_eq!(one_step(name), "pipeline", "{name:?}");
        }
    }
}
