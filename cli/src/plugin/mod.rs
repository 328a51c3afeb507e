//! `txray plugin`: what is built in and found, what a library supplies, whether it keeps its word.

mod child;
mod new;
mod probe;

use std::path::{Path, PathBuf};

use txray_config::reference::option_rows;
use txray_host::{ComponentInfo, Origin, PluginInfo, Policy};
use txray_plugin::abi;

use crate::args::{ExtensionAction, ExtensionCommand, LibraryArgs, PluginAction, PluginCommand, PolicyArgs};
use crate::error::Error;
use crate::output::{self, say};
use crate::table::Table;
use child::Child;
pub use new::{Kind, Language};

/// Runs a subcommand.
pub fn command(args: &PluginCommand) -> Result<(), Error> {
    match &args.action {
        PluginAction::New { name, kind, lang } => make(name, *kind, *lang),
        PluginAction::List { policy } => list(policy),
        PluginAction::Inspect { library } => inspect(library),
        PluginAction::Check { library, cases, seed } => check(library, *cases, *seed),
        PluginAction::Probe { library, cases, seed } => probe::run(library, *cases, *seed),
    }
}

fn make(name: &str, kind: Kind, language: Language) -> Result<(), Error> {
    let directory = new::plugin(name, kind, language, Path::new(""))?;
    let (build, test) = match language {
        Language::Rust => ("cargo build --release", "cargo test --release"),
        Language::C => ("make", "make check"),
    };
    next(&directory, &[build, test, "txray run pipeline.toml"]);
    Ok(())
}

/// Runs a subcommand of `txray extension`.
pub fn extension(args: &ExtensionCommand) -> Result<(), Error> {
    let ExtensionAction::New { name } = &args.action;
    let directory = new::extension(name, Path::new(""))?;
    next(&directory, &["cargo test --release", "cargo run --release -- record recorded.tsv out"]);
    Ok(())
}

/// What is to be done with a project that was written.
fn next(directory: &Path, commands: &[&str]) {
    say!("{} is written; its README says what is in it. Next:", directory.display());
    say!();
    say!("    cd {}", directory.display());
    for command in commands {
        say!("    {command}");
    }
}

/// The file that a library is named by: itself, or that of the name in the plugin directories.
fn find(library: &Path, policy: &Policy) -> Result<PathBuf, Error> {
    let is_name = library.components().count() == 1 && library.extension().is_none() && !library.exists();
    match library.to_str().filter(|_| is_name) {
        Some(name) => Ok(policy.find(name)?),
        None => Ok(library.to_owned()),
    }
}

/// What is built in and what is in the plugin directories.
pub struct Found {
    /// The plugins, each with where it is from.
    pub usable: Vec<(PluginInfo, String)>,
    /// The libraries that are none, each with the reason.
    pub unusable: Vec<String>,
}

impl Found {
    /// Loads each library in a process of its own: one that crashes does not hide the others.
    pub fn of(args: &PolicyArgs) -> Result<Self, Error> {
        let policy = args.policy()?;
        let registry = crate::built_in(policy.clone())?;
        let built_in = registry.plugins().iter().map(|plugin| (plugin.info.clone(), Origin::BuiltIn.to_string()));
        let mut found = Self { usable: built_in.collect(), unusable: Vec::new() };
        for library in if policy.load { policy.libraries() } else { Vec::new() } {
            let name = library.display().to_string();
            match Child::start(&library, args, None).and_then(|mut child| child.info()) {
                Ok((info, _)) => found.usable.push((info, name)),
                Err(error) => found.unusable.push(format!("{name}: {error}")),
            }
        }
        Ok(found)
    }
}

fn list(args: &PolicyArgs) -> Result<(), Error> {
    let found = Found::of(args)?;
    let mut table = Table::new(&["interface", "kind", "about", "options", "devices", "plugin", "from"], &[]);
    for (info, from) in &found.usable {
        for component in &info.components {
            // By name: what each means, `inspect` tells.
            let options = option_rows(&component.options).into_iter().map(|[name, ..]| name.replace('`', ""));
            table.row([
                &component.interface,
                &component.kind,
                &component.about,
                &options.collect::<Vec<_>>().join(" "),
                &component.devices.join(", "),
                &format!("{} {}", info.name, info.version),
                from,
            ]);
        }
    }
    output::results(&format!("{table}\n"));
    for line in &found.unusable {
        say!("not usable: {line}");
    }
    Ok(())
}

fn inspect(args: &LibraryArgs) -> Result<(), Error> {
    let library = find(&args.library, &args.policy.policy()?)?;
    let mut child = Child::start(&library, &args.policy, None)?;
    let (info, sha256) = child.info()?;
    let able = child.able()?;
    say!("{} {}", info.name, info.version);
    say!("{}", library.display());
    say!("sha256 {sha256}");
    for component in &info.components {
        say!();
        say!("{}  {}", component.interface, component.kind);
        say!("  {}", component.about);
        for (name, values) in [("claims", &component.claims), ("devices", &component.devices)] {
            if !values.is_empty() {
                say!("  {name}: {}", values.join(", "));
            }
        }
        let able = able.get(&component.kind).filter(|_| component.interface == abi::MODEL);
        for line in able.into_iter().flatten() {
            say!("  {line}");
        }
        output::results(&options(component));
    }
    Ok(())
}

/// The options of a component, a line each.
fn options(component: &ComponentInfo) -> String {
    let rows = option_rows(&component.options);
    if rows.is_empty() {
        return "  no options\n".to_owned();
    }
    let mut table = Table::new(&["option", "value", "default", "meaning"], &[]);
    for row in rows {
        table.row(row.map(|cell| cell.replace('`', "")));
    }
    format!("{table}\n")
}

fn check(args: &LibraryArgs, cases: u32, seed: u64) -> Result<(), Error> {
    let library = find(&args.library, &args.policy.policy()?)?;
    let mut child = Child::start(&library, &args.policy, Some((cases, seed)))?;
    let (info, _) = child.info()?;
    say!("{} {} ({})", info.name, info.version, library.display());
    let failed = child.findings()?;
    if failed > 0 {
        return Err(Error::Properties(failed));
    }
    say!();
    say!("every property holds");
    Ok(())
}
