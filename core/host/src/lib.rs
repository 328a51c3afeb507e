//! The host's side of the plugin boundary: libraries are opened, their tables checked, and each component becomes a
//! handle that implements the trait of its interface. Built-in plugins and loaded ones come in through the same table,
//! and whoever uses this crate sees traits alone.
//!
//! ```text
//! a library's path --Policy, sha256--> loader --+
//!                                               +--> abi::Plugin --> Registry --find(interface, kind)--> Handle
//! plugins linked in (Origin::BuiltIn) ----------+                                                          |
//!                                                   Box<dyn PreferenceMetric | Pruner | ReportSink | ...> <+
//! ```

mod bounds;
mod handle;
mod loader;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use txray_plugin::{ActivationSource, Host, Model, PreferenceMetric, Pruner, ReportSink, abi};

use handle::calls::Word;
use handle::{Handle, ModelHandle, Source};

/// How the message of an error ends where the plugin gave no reason.
pub const SILENT: &str = "did not say why";

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Linked into this program.
    BuiltIn,
    /// Loaded from a dynamic library.
    Library {
        /// As it was named: links are not followed here.
        path: PathBuf,
        /// Hash of the file's bytes, in lower-case hexadecimal.
        sha256: String,
    },
}

impl Origin {
    /// Hash of the library's bytes; none for what is built in.
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::BuiltIn => None,
            Self::Library { sha256, .. } => Some(sha256),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::Library { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// Which libraries may be loaded, and where they are looked for by name.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether any library may be loaded at all.
    pub load: bool,
    /// Whether a library may be loaded that any user of the machine could write or replace.
    pub world_writable: bool,
    /// Where a library that is named without a path is looked for, in this order. The working directory is not among
    /// them unless it is named here.
    pub directories: Vec<PathBuf>,
}

impl Default for Policy {
    /// Loads what is named by its path and is not world-writable, and finds nothing by name.
    fn default() -> Self {
        Self { load: true, world_writable: false, directories: Vec::new() }
    }
}

impl Policy {
    /// The library of that name: `libNAME.so`, or as the system has it, in the first directory with one. Cargo writes
    /// `_` for `-`, and both are found.
    ///
    /// # Errors
    /// [`PluginError::NotFound`] where no directory has one.
    pub fn find(&self, name: &str) -> Result<PathBuf, PluginError> {
        let [prefix, suffix] = [std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX];
        let files = [name.to_owned(), name.replace('-', "_")].map(|name| format!("{prefix}{name}{suffix}"));
        let candidates = self.directories.iter().flat_map(|directory| files.iter().map(|file| directory.join(file)));
        let found = candidates.into_iter().find(|path| path.is_file());
        found.ok_or_else(|| PluginError::NotFound { file: files[0].clone(), directories: self.directories.clone() })
    }

    /// Every library in the directories. Of several with one name, only the one that [`Policy::find`] would give.
    pub fn libraries(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for directory in &self.directories {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            let mut libraries: Vec<PathBuf> =
                entries.map(|entry| entry.path()).filter(|path| is_library(path)).collect();
            libraries.sort();
            libraries.retain(|path| !found.iter().any(|earlier| earlier.file_name() == path.file_name()));
            found.extend(libraries);
        }
        found
    }
}

fn is_library(path: &Path) -> bool {
    let suffix = std::env::consts::DLL_EXTENSION;
    path.extension().is_some_and(|extension| extension == suffix) && path.is_file()
}

/// What a plugin says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PluginInfo {
    /// For messages; of plugins in Rust, the crate's name.
    pub name: String,
    /// For messages and the manifest; never compared.
    pub version: String,
    /// In the order in which the plugin names them.
    pub components: Vec<ComponentInfo>,
}

/// What a plugin says of a component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// Such as `txray.metric/1`.
    pub interface: String,
    /// The name by which pipelines call it.
    pub kind: String,
    /// One line for lists of components.
    #[serde(default)]
    pub about: String,
    /// JSON Schema of its options.
    #[serde(default)]
    pub options: Value,
    /// Of a metric: the names of [`txray_plugin::Claim`]s.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Of a model: the devices that this build runs on.
    #[serde(default)]
    pub devices: Vec<String>,
}

/// Why a plugin was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file could not be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The library that was named.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Loading is turned off.
    #[error("{} is not loaded: plugins are turned off by --no-plugins", path.display())]
    Forbidden {
        /// The library that was named.
        path: PathBuf,
    },
    /// No library of that name was found.
    #[error("there is no {file} in {}", places(directories))]
    NotFound {
        /// The library's file name.
        file: String,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
    },
    /// Any user of the machine could have written or replaced it.
    #[error(
        "{} is not loaded: every user of this machine can write to {}; take that right away (chmod o-w), or allow it \
         with --allow-world-writable",
        path.display(),
        writable.display()
    )]
    WorldWritable {
        /// The library that was named.
        path: PathBuf,
        /// The library itself or its directory, whichever is world-writable.
        writable: PathBuf,
    },
    /// The file's hash is not the one that was asked for.
    #[error(
        "{} has sha256 {found}, but {expected} was asked for: change the `sha256` in the pipeline if you trust the file",
        path.display()
    )]
    Hash {
        /// The library that was named.
        path: PathBuf,
        /// The hash that was asked for, as it was written.
        expected: String,
        /// The file's, in lower-case hexadecimal.
        found: String,
    },
    /// Another file was put in its place while it was opened.
    #[error("{} was replaced while it was being opened: run again", path.display())]
    Replaced {
        /// The library that was named.
        path: PathBuf,
    },
    /// The system's loader refused it.
    #[error("cannot load {} as a dynamic library: {reason}", path.display())]
    NotALibrary {
        /// The library that was named.
        path: PathBuf,
        /// The loader's own words.
        reason: String,
    },
    /// It does not export [`abi::ENTRY`].
    #[error(
        "{} is no txray plugin: it has no symbol `{}`, which `txray_plugin::plugin!` exports (in C, see txray.h)",
        path.display(),
        abi::ENTRY
    )]
    NoEntry {
        /// The library that was named.
        path: PathBuf,
    },
    /// It breaks a rule of the boundary.
    #[error("{origin} is no txray plugin: {what}")]
    Malformed {
        /// The plugin's.
        origin: Origin,
        /// Which rule, and how it is broken.
        what: String,
    },
    /// It was built for another version of the boundary.
    #[error(
        "{origin} speaks version {found} of the plugin boundary, and this txray speaks version {}: \
         rebuild it with a txray-plugin of that version",
        abi::ABI_MAJOR
    )]
    Version {
        /// The plugin's.
        origin: Origin,
        /// The plugin's [`abi::ABI_MAJOR`].
        found: u32,
    },
}

fn places(directories: &[PathBuf]) -> String {
    let names: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
    if names.is_empty() { "any plugin directory: none is set (see --plugin-dir)".to_owned() } else { names.join(", ") }
}

/// A plugin of a [`Registry`].
#[derive(Debug)]
pub struct Registered {
    table: &'static abi::Plugin,
    /// Its name, should it take the process down.
    word: Word,
    /// Checked when it was taken in.
    pub info: PluginInfo,
    /// Built in, or the library that it was loaded from.
    pub origin: Origin,
}

/// Why a component was not made.
#[derive(Debug)]
pub enum FindError {
    /// Nobody supplies it; these kinds of the interface are supplied.
    Unknown(Vec<String>),
    /// More than one loaded library supplies it.
    Ambiguous(Vec<Origin>),
    /// It is supplied, but not for the chosen device, only for these.
    Device(Vec<String>),
    /// It refused its options.
    Refused(txray_plugin::Error),
}

/// The plugins of a run.
#[derive(Debug, Default)]
pub struct Registry {
    plugins: Vec<Registered>,
    policy: Policy,
    device: Option<String>,
}

impl Registry {
    /// Without plugins, under the default policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without plugins; `policy` rules which are loaded.
    pub fn with_policy(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The policy that [`Registry::load`] keeps to.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes in the table of a plugin, and checks it. A plugin that is linked into this program differs from a loaded
    /// one in its origin alone.
    pub fn add(&mut self, table: &'static abi::Plugin, origin: Origin) -> Result<&Registered, PluginError> {
        let (info, word) = loader::inspect(table, &origin)?;
        self.plugins.push(Registered { table, word, info, origin });
        Ok(&self.plugins[self.plugins.len() - 1])
    }

    /// Loads a dynamic library if the policy allows it, and its SHA-256 is `sha256` where one is given. It is never
    /// unloaded.
    pub fn load(&mut self, path: &Path, sha256: Option<&str>) -> Result<&Registered, PluginError> {
        let (table, origin) = loader::open(path, sha256, &self.policy)?;
        self.add(table, origin)
    }

    /// Chooses the device that models run on, such as `cpu` or `cuda:0`: from then on only models built for it are
    /// found. Before that, models of any device are.
    pub fn set_device(&mut self, device: &str) {
        self.device = Some(device.to_owned());
    }

    /// Whether a model says that it runs on the chosen device, whichever of its kind that is.
    fn runs(&self, component: &ComponentInfo) -> bool {
        let family = self.device.as_deref().map(|device| device.split(':').next().unwrap_or(device));
        // A model that names no device is plain code.
        let runs_on = |family| match &component.devices[..] {
            [] => family == "cpu",
            devices => devices.iter().any(|device| device == family),
        };
        component.interface != abi::MODEL || family.is_none_or(runs_on)
    }

    /// All plugins, in the order they came.
    pub fn plugins(&self) -> &[Registered] {
        &self.plugins
    }

    /// The component of that interface and kind; of models, the one for the chosen device. A loaded library goes before
    /// a built-in plugin, so that it can stand in for it; two loaded ones with the same kind are an error.
    pub fn find(&self, interface: &str, kind: &str) -> Result<(&Registered, &ComponentInfo), FindError> {
        let supplied = || {
            self.plugins
                .iter()
                .flat_map(|p| p.info.components.iter().map(move |c| (p, c)))
                .filter(|(_, c)| c.interface == interface)
        };
        let mut matching: Vec<_> = supplied().filter(|(_, c)| c.kind == kind).collect();
        let devices: Vec<String> = matching.iter().flat_map(|(_, c)| c.devices.iter().cloned()).collect();
        let is_known = !matching.is_empty();
        matching.retain(|(_, component)| self.runs(component));
        if is_known && matching.is_empty() {
            return Err(FindError::Device(devices));
        }
        if matching.iter().any(|(p, _)| p.origin != Origin::BuiltIn) {
            matching.retain(|(p, _)| p.origin != Origin::BuiltIn);
        }
        match matching[..] {
            [] => Err(FindError::Unknown(supplied().map(|(_, c)| c.kind.clone()).collect())),
            [one] => Ok(one),
            _ => Err(FindError::Ambiguous(matching.iter().map(|(p, _)| p.origin.clone()).collect())),
        }
    }

    /// Makes the metric that [`Registry::find`] finds. `options` are a JSON object, and checked by making it.
    pub fn metric(&self, kind: &str, options: &Value, host: &Host<'_>) -> Result<Box<dyn PreferenceMetric>, FindError> {
        Ok(Box::new(self.handle::<abi::MetricTable>(kind, options, host)?))
    }

    /// As [`Registry::metric`], a pruner.
    pub fn pruner(&self, kind: &str, options: &Value, host: &Host<'_>) -> Result<Box<dyn Pruner>, FindError> {
        Ok(Box::new(self.handle::<abi::PrunerTable>(kind, options, host)?))
    }

    /// As [`Registry::metric`], a sink.
    pub fn sink(&self, kind: &str, options: &Value, host: &Host<'_>) -> Result<Box<dyn ReportSink>, FindError> {
        Ok(Box::new(self.handle::<abi::SinkTable>(kind, options, host)?))
    }

    /// As [`Registry::metric`], a source.
    pub fn source(&self, kind: &str, options: &Value, host: &Host<'_>) -> Result<Box<dyn ActivationSource>, FindError> {
        Ok(Box::new(Source::new(self.handle::<abi::SourceTable>(kind, options, host)?)))
    }

    /// As [`Registry::metric`], a model without weights.
    pub fn model(&self, kind: &str, options: &Value, host: &Host<'_>) -> Result<Box<dyn Model>, FindError> {
        let handle = self.handle::<abi::ModelTable>(kind, options, host)?;
        Ok(Box::new(ModelHandle::new(handle).map_err(FindError::Refused)?))
    }

    fn handle<T: handle::Table>(&self, kind: &str, options: &Value, host: &Host<'_>) -> Result<Handle<T>, FindError> {
        let (plugin, _) = self.find(T::INTERFACE, kind)?;
        Handle::create(plugin, kind, options, host).map_err(FindError::Refused)
    }
}
