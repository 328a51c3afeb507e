//! Models: where each begins, and what of its table is the engine's and what its plugin's.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use txray_host::FindError;
use txray_plugin::abi;

use super::{Check, Names};
use crate::config::{Model, ModelOrigin, ModelRef, ModelSection, TaskKind};
use crate::corpus::Corpus;
use txray_config::{At, child, suggestion};

impl Check<'_> {
    pub(super) fn model(
        &mut self,
        name: String,
        table: Value,
        corpora: &Names<Box<dyn Corpus>>,
    ) -> (String, Option<Model>) {
        let pointer = child("/model", &name);
        let model = self.model_section(&pointer, table, corpora);
        (name, model)
    }

    fn model_section(&mut self, pointer: &str, table: Value, corpora: &Names<Box<dyn Corpus>>) -> Option<Model> {
        let Value::Object(mut table) = table else {
            self.error(pointer, "expected a table");
            return None;
        };
        let before = self.diagnostics.len();
        // The engine's keys apart from the plugin's. `checkpoints` stands in `train` with the plugin's, because that
        // is where a reader looks for it, but saving is the engine's affair.
        let mut own = Map::new();
        for key in ["kind", "path", "init", "vocabulary", "task"] {
            own.extend(table.shift_remove(key).map(|value| (key.to_owned(), value)));
        }
        let train = table.get_mut("train").and_then(Value::as_object_mut);
        let checkpoints = train.and_then(|train| train.shift_remove("checkpoints"));
        let section: ModelSection = self.options(pointer, Value::Object(own))?;
        let checkpoints = match checkpoints.map(serde_json::from_value::<Vec<u64>>) {
            None => Vec::new(),
            Some(Ok(epochs)) => epochs,
            Some(Err(_)) => {
                self.error(&format!("{pointer}/train/checkpoints"), "expected a list of epochs, such as [1, 10]");
                Vec::new()
            }
        };
        let mut options = Value::Object(table);

        let origin = match (section.path, section.init) {
            (Some(_), Some(_)) => {
                self.error(&child(pointer, "init"), "a model begins from `path` or from `init`, not from both");
                return None;
            }
            (Some(path), None) => ModelOrigin::Directory(self.resolver.config.join(path)),
            (None, Some(init)) => ModelOrigin::Init(self.model_ref(&child(pointer, "init"), &init)?),
            (None, None) => ModelOrigin::New(section.vocabulary.clone().unwrap_or_default()),
        };
        let is_new = matches!(origin, ModelOrigin::New(_));
        if !is_new && section.vocabulary.is_some() {
            self.error(&child(pointer, "vocabulary"), "the vocabulary is that of the model this one begins from");
        }
        if is_new && section.task.is_none() {
            let error = self.document.error(pointer, At::Value, "missing key `task`: a new model has to be trained");
            let help = "say what it learns, `task = { kind = \"language-model\", corpus = \"...\" }`, or where it is, \
                        `path = \"...\"`";
            self.diagnostics.push(error.help(help));
        }
        if section.task.is_none() && !checkpoints.is_empty() {
            self.error(&format!("{pointer}/train/checkpoints"), "this model is not trained: it has no `task`");
        }
        if let Some(task) = &section.task {
            self.task(&child(pointer, "task"), &task.corpus, task.kind, corpora);
        }
        let found = match &origin {
            ModelOrigin::Directory(path) => match kind_of_directory(path) {
                Ok(kind) => Some(kind),
                Err(message) => {
                    self.error(&child(pointer, "path"), message);
                    return None;
                }
            },
            _ => None,
        };
        let kind = match (&section.kind, &origin) {
            (Some(kind), _) => kind.clone(),
            (None, ModelOrigin::Directory(path)) => {
                let kind = found.unwrap_or_default();
                if let Err(FindError::Unknown(known)) = self.registry.find(abi::MODEL, &kind) {
                    let message = format!("no plugin reads the `model_type` of {}", path.join("config.json").display());
                    let error = self.document.error(&child(pointer, "path"), At::Value, message);
                    let help = format!("it is `{kind}`; {}", suggestion(&kind, known.iter().map(String::as_str)));
                    self.diagnostics.push(error.help(help));
                    return None;
                }
                kind
            }
            // Known once the models are linked.
            (None, ModelOrigin::Init(_)) => String::new(),
            (None, ModelOrigin::New(_)) => {
                let error = self.document.error(pointer, At::Value, "missing key `kind`");
                self.diagnostics.push(error.help("for instance `kind = \"lstm\"`"));
                return None;
            }
        };
        if !kind.is_empty() {
            let named = child(pointer, if section.kind.is_some() { "kind" } else { "path" });
            self.component(abi::MODEL, pointer, Some(&named), &kind, &options, |registry, options, host| {
                registry.model(&kind, options, host).map(drop)
            });
            options = self.model_options(pointer, &kind, &options, is_new);
        }
        self.checkpoints(pointer, &kind, &options, &checkpoints);
        let model = Model { kind, options, origin, task: section.task, checkpoints };
        (self.diagnostics.len() == before).then_some(model)
    }

    /// No checkpoint can be of an epoch that training never comes to: found here, not after hours of it.
    fn checkpoints(&mut self, pointer: &str, kind: &str, options: &Value, checkpoints: &[u64]) {
        let schema = self.registry.find(abi::MODEL, kind).map(|(_, component)| &component.options).ok();
        let default = schema.and_then(|schema| schema.pointer("/properties/train/default/epochs"));
        let Some(epochs) = options.pointer("/train/epochs").or(default).and_then(Value::as_u64) else { return };
        for (index, epoch) in checkpoints.iter().enumerate().filter(|(_, epoch)| !(1..=epochs).contains(epoch)) {
            let at = format!("{pointer}/train/checkpoints/{index}");
            self.error(&at, format!("there is no epoch {epoch}: training has {epochs}"));
        }
    }

    /// A model's options with their defaults. One that begins from another has its sizes from there.
    fn model_options(&mut self, pointer: &str, kind: &str, options: &Value, is_new: bool) -> Value {
        self.complete(abi::MODEL, pointer, kind, options, |key| is_new || key == "train")
    }

    fn task(&mut self, pointer: &str, name: &str, kind: TaskKind, corpora: &Names<Box<dyn Corpus>>) {
        let TaskKind::LanguageModel = kind;
        let pointer = child(pointer, "corpus");
        match corpora.good.get(name) {
            Some(corpus) if corpus.splits().iter().any(|split| split == "train") => {}
            Some(_) => self.error(&pointer, format!("the corpus `{name}` has no split `train` to learn from")),
            None if corpora.bad.contains(name) => {}
            None => self.unknown(&pointer, "corpus", name, corpora.all()),
        }
    }

    /// `lm` or `lm@1`.
    pub(super) fn model_ref(&mut self, pointer: &str, text: &str) -> Option<ModelRef> {
        let (name, epoch) = match text.rsplit_once('@') {
            None => (text, None),
            Some((name, epoch)) => match epoch.parse() {
                Ok(epoch) => (name, Some(epoch)),
                Err(_) => {
                    self.error(pointer, format!("`{epoch}` is no epoch: write NAME@EPOCH, such as `{name}@1`"));
                    return None;
                }
            },
        };
        Some(ModelRef { name: name.to_owned(), epoch })
    }

    /// Whether a reference leads to a model, and to a checkpoint that is kept.
    pub(super) fn follow<'m>(&mut self, pointer: &str, to: &ModelRef, models: &'m Names<Model>) -> Option<&'m Model> {
        let Some(model) = models.good.get(&to.name) else {
            if !models.bad.contains(&to.name) {
                self.unknown(pointer, "model", &to.name, models.all());
            }
            return None;
        };
        if let Some(epoch) = to.epoch.filter(|epoch| !model.checkpoints.contains(epoch)) {
            let message = format!("`{}` keeps no checkpoint of epoch {epoch}", to.name);
            let error = self.document.error(pointer, At::Value, message);
            let help = format!("set `train.checkpoints = [{epoch}]` in [model.{}]", to.name);
            self.diagnostics.push(error.help(help));
            return None;
        }
        Some(model)
    }

    /// Follows `init`: finds circles, passes kinds on, and puts every model after the one it begins from.
    pub(super) fn link_models(&mut self, models: &mut Names<Model>) {
        let begins_from = |model: &Model| match &model.origin {
            ModelOrigin::Init(to) => Some(to.clone()),
            _ => None,
        };
        let mut linked = Names { good: IndexMap::new(), bad: std::mem::take(&mut models.bad) };
        let mut waiting = std::mem::take(&mut models.good);
        while let Some(index) =
            waiting.values().position(|model| begins_from(model).is_none_or(|to| !waiting.contains_key(&to.name)))
        {
            let Some((name, mut model)) = waiting.shift_remove_index(index) else { break };
            let good = begins_from(&model).is_none_or(|to| {
                let table = child("/model", &name);
                let pointer = format!("{table}/init");
                let Some(first) = self.follow(&pointer, &to, &linked) else { return false };
                if !model.kind.is_empty() {
                    return true;
                }
                model.kind.clone_from(&first.kind);
                let (kind, options) = (&model.kind, &model.options);
                let taken =
                    self.component(abi::MODEL, &table, Some(&pointer), kind, options, |registry, options, host| {
                        registry.model(kind, options, host).map(drop)
                    });
                model.options = self.model_options(&table, &model.kind, &model.options, false);
                taken
            });
            if good {
                linked.good.insert(name, model);
            } else {
                linked.bad.insert(name);
            }
        }
        // What still waits, waits for itself, or for one that does.
        for (index, name) in waiting.keys().enumerate() {
            let mut circle = vec![name.clone()];
            while let Some(to) = waiting.get(&circle[circle.len() - 1]).and_then(begins_from) {
                let is_back = circle.contains(&to.name);
                circle.push(to.name);
                if is_back {
                    break;
                }
            }
            // Each circle is told once, at the first of its models.
            let first = circle.iter().filter_map(|name| waiting.get_index_of(name)).min();
            if circle.last() == Some(name) && first == Some(index) {
                let names: Vec<String> = circle.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("these models begin from each other: {}", names.join(" -> "));
                self.error(&format!("{}/init", child("/model", name)), message);
            }
        }
        linked.bad.extend(waiting.into_keys());
        *models = linked;
    }
}

/// The plugin component that a directory's `config.json` asks for: `txray-lstm` is read by `lstm`.
fn kind_of_directory(path: &Path) -> Result<String, String> {
    #[derive(serde::Deserialize)]
    struct Config {
        model_type: String,
    }
    let path = path.join("config.json");
    let text = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let config: Config = serde_json::from_slice(&text)
        .map_err(|error| format!("{} is no config.json of a model: {error}", path.display()))?;
    Ok(config.model_type.trim_start_matches("txray-").to_owned())
}
