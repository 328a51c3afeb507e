//! Which plugin a model is of, and what that can do.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;
use txray_config::child;
use txray_host::FindError;
use txray_plugin::{Capabilities, Host, Model as PluginModel, Task, abi};

use super::task::TaskKind;
use crate::check::Check;
use crate::files::read_small;

/// What the plugin of a model can do, as it said when it was made to check its options.
#[derive(Clone, Debug)]
pub struct Abilities {
    /// Whether it can be read.
    pub encode: bool,
    /// Whether it can be trained.
    pub train: bool,
    /// Whether it predicts.
    pub predict: bool,
    /// Whether it has a state that is carried.
    pub carry: bool,
    /// Whether its vocabulary can grow.
    pub extend: bool,
    /// What it can be asked for.
    pub capabilities: Capabilities,
}

impl Abilities {
    pub(super) fn of(model: &dyn PluginModel) -> Self {
        Self {
            encode: model.as_encode().is_some(),
            train: model.as_train().is_some(),
            predict: model.as_predict().is_some(),
            carry: model.as_carry().is_some(),
            extend: model.extends(),
            capabilities: model.capabilities(),
        }
    }

    /// Refuses a task that the plugin `kind` is not for.
    pub(super) fn check_task(&self, check: &mut Check<'_>, pointer: &str, kind: &str, task: TaskKind) {
        let tasks = &self.capabilities.tasks;
        if !self.train {
            let help = "leave out `task`, and say where its weights are: `path = \"...\"`, or `init = \"...\"`";
            check.error_with_help(pointer, format!("`{kind}` cannot be trained, only read"), help);
        } else if !tasks.contains(&task.task()) {
            let name = |task: Task| json!(task).as_str().map(|name| format!("`{name}`")).unwrap_or_default();
            let known: Vec<String> = tasks.iter().copied().map(name).collect();
            let message = format!("`{kind}` cannot be trained for {}", name(task.task()));
            let help = match known.is_empty() {
                true => "it is for tasks that this txray does not know".to_owned(),
                false => format!("it is for {}", known.join(", ")),
            };
            check.error_with_help(&child(pointer, "kind"), message, help);
        }
    }
}

/// The plugin component that reads a directory: the one that its `config.json` names (`txray-lstm` is read by `lstm`), or the
/// first that loads it.
pub(super) fn kind_of_directory(check: &mut Check<'_>, place: &str, path: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Config {
        model_type: String,
    }
    let config = path.join("config.json");
    let model_type = read_small(&config).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let model_type = model_type.map(|Config { model_type }| model_type).unwrap_or_default();
    let named = model_type.trim_start_matches("txray-");
    let known = match check.registry.find(abi::MODEL, named) {
        Err(FindError::Unknown(known)) => known,
        _ => return Some(named.to_owned()),
    };
    let mut refused = Vec::new();
    for kind in known {
        let load = |mut model: Box<dyn PluginModel>| model.load(&Host::detached(), path).map_err(FindError::Refused);
        match check.registry.model(&kind, &json!({}), check.host).and_then(load) {
            Ok(()) => return Some(kind),
            Err(FindError::Refused(error)) => refused.push(format!("`{kind}` says: {}", error.message())),
            Err(FindError::Device(devices)) => {
                refused.push(format!("`{kind}` does not run on `{}`, but on {}", check.device, devices.join(", ")));
            }
            Err(_) => {}
        }
    }
    let refused = refused.join("\n");
    check.error_with_help(place, format!("no plugin reads the model in {}", path.display()), refused);
    None
}
