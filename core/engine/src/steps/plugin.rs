//! `[plugin.NAME]`: libraries to load, before anything of the pipeline is looked at that they may supply.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use txray_config::{Name, child};
use txray_host::PluginError;

use crate::check::{Check, Section};
use crate::form::Form;
use crate::step::Step;

/// A library of somebody else's. It runs with your rights.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    /// The library's file, relative to the config's folder. Default: `libNAME.so` (or as the system has it) in
    /// `--plugin-dir`, in the directories of `TXRAY_PLUGIN_PATH`, or in `txray/plugins` of the user's data directory.
    path: Option<PathBuf>,
    /// The SHA-256 that the file must have, in hexadecimal; checked before it is opened.
    sha256: Option<String>,
}

/// A library that was loaded.
pub struct Plugin;

impl Section for Plugin {
    const TABLE: &'static str = "plugin";
    const PLURAL: &'static str = "plugins";
    const ABOUT: &'static str = "Dynamic libraries to load: `[plugin.NAME]`.";

    fn check(check: &mut Check<'_>, name: &Name, pointer: &str) -> Option<Self> {
        let keys: Keys = check.read(pointer)?;
        let found = match &keys.path {
            Some(path) => Ok(check.resolver.config.join(path)),
            None => check.registry.policy().find(name),
        };
        let loaded = found.and_then(|path| check.registry.load(&path, keys.sha256.as_deref()).map(drop));
        if let Err(error) = loaded {
            let key = if matches!(error, PluginError::Hash { .. }) { "sha256" } else { "path" };
            check.error(&child(pointer, key), error.to_string());
            return None;
        }
        Some(Self)
    }

    fn steps(self: &Arc<Self>) -> Vec<Arc<dyn Step>> {
        Vec::new()
    }

    fn form() -> Form {
        Form::of::<Keys>()
    }
}
