//! The command line.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use txray_engine::shard::Shard;
use txray_engine::store::{Store, StoreError};
use txray_host::Policy;

use crate::error::Error;
use crate::plugin::{Kind, Language};

/// See what a neural network learned, what carried over to new data, and what fine-tuning changed.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Say nothing but results, warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more.
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a pipeline; or repeat the run of a manifest.json and compare the bytes.
    Run(RunArgs),
    /// Make one run of the out directories of all its shards, with the bytes of a run over all documents at once.
    Merge(MergeArgs),
    /// Check a pipeline whole; nothing runs.
    Check(PipelineArgs),
    /// Tell the steps of a pipeline: what is done, what would run and why. Nothing runs.
    Plan(PlanArgs),
    /// Look after the store of finished steps.
    Store(StoreCommand),
    /// Make plugins, list them, look into one, hold one to its claims.
    Plugin(PluginCommand),
    /// Change the method itself, in a crate of one's own.
    Extension(ExtensionCommand),
    /// Print the JSON Schema of pipelines, by which editors complete and check them. Plugins of the plugin directories are in it.
    Schema(PolicyArgs),
    /// Print what a shell completes commands by.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// A path that is UTF-8: what is written there is named in manifests and handed to plugins, which have no other text.
fn as_text() -> impl TypedValueParser<Value = PathBuf> {
    NonEmptyStringValueParser::new().map(PathBuf::from)
}

#[derive(Args)]
pub struct PipelineArgs {
    /// The pipeline, a TOML file.
    pub config: PathBuf,
    /// Where relative paths of corpora are looked for, before the folder of the pipeline.
    #[arg(long, value_name = "DIR", env = "TXRAY_DATA")]
    pub data: Option<PathBuf>,
    /// Set a value of the pipeline, such as `model.lm.train.epochs=2`. May be given more than once.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Threads to use. Default: one a processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Which libraries may be loaded, and where they are looked for.
#[derive(Args, Clone)]
pub struct PolicyArgs {
    /// Where plugins are looked for by name, before the directories of TXRAY_PLUGIN_PATH and `txray/plugins` in your data
    /// directory. May be given more than once.
    #[arg(long, value_name = "DIR")]
    pub plugin_dir: Vec<PathBuf>,
    /// Load no library at all: only what is built in runs.
    #[arg(long)]
    pub no_plugins: bool,
    /// Load libraries that every user of this machine could have written.
    #[arg(long)]
    pub allow_world_writable: bool,
}

impl PolicyArgs {
    /// The policy that they come to. The working directory is searched only where `--plugin-dir` names it.
    pub fn policy(&self) -> Result<Policy, Error> {
        let mut directories = self.plugin_dir.clone();
        let path = std::env::var_os("TXRAY_PLUGIN_PATH").unwrap_or_default();
        // An empty entry, elsewhere a name for the working directory, is none.
        for directory in std::env::split_paths(&path).filter(|directory| !directory.as_os_str().is_empty()) {
            if directory.is_relative() {
                return Err(Error::RelativePluginPath(directory));
            }
            directories.push(directory);
        }
        directories.extend(dirs::data_dir().map(|data| data.join("txray").join("plugins")));
        Ok(Policy { load: !self.no_plugins, world_writable: self.allow_world_writable, directories })
    }
}

#[derive(Args)]
pub struct PluginCommand {
    #[command(subcommand)]
    pub action: PluginAction,
}

#[derive(Subcommand)]
pub enum PluginAction {
    /// Write a small project that builds, passes the conformance tests, and runs in a pipeline as it is.
    New {
        /// The plugin's name, and that of its directory: small letters, digits and `-`.
        name: String,
        /// What it supplies.
        #[arg(long, value_enum)]
        kind: Kind,
        /// What it is written in.
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        lang: Language,
    },
    /// List what is built in and what is found in the plugin directories.
    List {
        #[command(flatten)]
        policy: PolicyArgs,
    },
    /// Tell what a library supplies, with its options. It is loaded in a process of its own.
    Inspect {
        #[command(flatten)]
        library: LibraryArgs,
    },
    /// Hold every component of a library to the rules of its interface and to what it claims. It is loaded in a process of
    /// its own.
    Check {
        #[command(flatten)]
        library: LibraryArgs,
        /// Random cases a property.
        #[arg(long, value_name = "N", default_value_t = 64)]
        cases: u32,
        /// Another seed draws other cases.
        #[arg(long, default_value_t = 1111)]
        seed: u64,
    },
    /// What `inspect` and `check` run in a process of its own: loads a library and answers in lines of JSON.
    #[command(hide = true)]
    Probe {
        #[command(flatten)]
        library: LibraryArgs,
        /// Random cases a property; none: only what it says of itself is told.
        #[arg(long)]
        cases: Option<u32>,
        #[arg(long, default_value_t = 1111)]
        seed: u64,
    },
}

#[derive(Args)]
pub struct ExtensionCommand {
    #[command(subcommand)]
    pub action: ExtensionAction,
}

#[derive(Subcommand)]
pub enum ExtensionAction {
    /// Write a small project with a record rule and a weighting of its own, the laws that hold them, and a program that
    /// compares stages of a run under them.
    New {
        /// The project's name, and that of its directory: small letters, digits and `-`.
        name: String,
    },
}

#[derive(Args)]
pub struct LibraryArgs {
    /// The library: a file, or the name of one in the plugin directories.
    pub library: PathBuf,
    #[command(flatten)]
    pub policy: PolicyArgs,
}

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Where to leave what the run gives. Default: `runs/` and the pipeline's name.
    #[arg(long, value_name = "DIR", value_parser = as_text())]
    pub out: Option<PathBuf>,
    /// Read a part of every stage's documents alone, such as 1/4 for the first of four: `txray merge` makes one run of all of them.
    #[arg(long, value_name = "I/N", value_parser = clap::value_parser!(Shard))]
    pub shard: Option<Shard>,
}

#[derive(Args)]
pub struct MergeArgs {
    /// The out directories of all shards, in any order.
    #[arg(required = true, value_name = "DIR")]
    pub parts: Vec<PathBuf>,
    /// Where relative paths of corpora are looked for, before the folder of the pipeline. Default: where the shards found them.
    #[arg(long, value_name = "DIR", env = "TXRAY_DATA")]
    pub data: Option<PathBuf>,
    /// Threads to use. Default: one a processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Where to leave what the run gives. Default: `runs/` and the pipeline's name.
    #[arg(long, value_name = "DIR", value_parser = as_text())]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Args)]
pub struct StoreArgs {
    /// Where finished steps are kept, to be used again. Default: `txray` in the user's cache directory.
    #[arg(long, value_name = "DIR", env = "TXRAY_STORE", global = true, value_parser = as_text())]
    pub store: Option<PathBuf>,
}

impl StoreArgs {
    /// The store of a run, which begins it where there is none.
    pub fn create(&self) -> Result<Store, Error> {
        Ok(Store::create(&self.root()?)?)
    }

    /// The store that is there.
    pub fn open(&self) -> Result<Store, Error> {
        Ok(Store::open(&self.root()?)?)
    }

    /// The store, if there is one.
    pub fn find(&self) -> Result<Option<Store>, Error> {
        match Store::open(&self.root()?) {
            Err(StoreError::Missing { .. }) => Ok(None),
            store => Ok(Some(store?)),
        }
    }

    fn root(&self) -> Result<PathBuf, Error> {
        self.store.clone().or_else(crate::default_store).ok_or(Error::NoCache)
    }
}

#[derive(Args)]
pub struct StoreCommand {
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(subcommand)]
    pub action: StoreAction,
}

#[derive(Subcommand)]
pub enum StoreAction {
    /// List the steps.
    List,
    /// Remove what killed runs left, damaged steps, and steps and unfinished trainings that no run has used for a while.
    Gc {
        /// Remove steps that were not used for this many days.
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        unused_for: u64,
    },
    /// Hold every file against its hash.
    Verify,
}
