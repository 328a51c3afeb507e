//! `txray plugin new` and `txray extension new`: small projects that build, pass their tests, and run as they are.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use include_dir::{Dir, include_dir};
use toml::Table;

use crate::error::Error;

/// What a plugin supplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A distance between preference distributions.
    Metric,
    /// A score by which neurons are pruned.
    Pruner,
    /// A report of a finished run.
    Sink,
    /// Activations from elsewhere.
    Source,
    /// A model that is trained and read.
    Model,
    /// A model that is read, and not trained.
    Encoder,
}

/// What it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust.
    Rust,
    /// C.
    C,
}

/// The crates that a project in Rust is built from, as they were when this program was.
static SDK: [(&str, Dir<'_>); 6] = [
    ("abi", include_dir!("$CARGO_MANIFEST_DIR/../core/abi")),
    ("plugin", include_dir!("$CARGO_MANIFEST_DIR/../core/plugin")),
    ("tables", include_dir!("$CARGO_MANIFEST_DIR/../core/tables")),
    ("method", include_dir!("$CARGO_MANIFEST_DIR/../core/method")),
    ("host", include_dir!("$CARGO_MANIFEST_DIR/../core/host")),
    ("conformance", include_dir!("$CARGO_MANIFEST_DIR/../core/conformance")),
];
const WORKSPACE: &str = include_str!("../../../Cargo.toml");
const HEADER: &str = include_str!("../../../core/abi/txray.h");

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

/// Writes the project into a new directory `name` below `into`; gives its path.
///
/// # Errors
/// A name that is none for a crate, a directory that is there already, a disk that is full. Nothing is left half-written.
pub fn plugin(name: &str, kind: Kind, language: Language, into: &Path) -> Result<PathBuf, Error> {
    check_name(name)?;
    let files = match language {
        Language::Rust => rust(name, kind)?,
        Language::C => c(name, kind),
    };
    write(name, into, &files)
}

/// As [`plugin`], a project that changes the method itself.
pub fn extension(name: &str, into: &Path) -> Result<PathBuf, Error> {
    check_name(name)?;
    let files = [
        ("Cargo.toml", template!("extension/Cargo.toml.in")),
        ("src/lib.rs", template!("extension/lib.rs")),
        ("src/main.rs", template!("extension/main.rs")),
        ("src/recorded.rs", template!("extension/recorded.rs")),
        ("recorded.tsv", template!("extension/recorded.tsv")),
        ("README.md", template!("extension/README.md")),
        (".gitignore", "/target\n"),
    ];
    let mut files: Files = files.map(|(path, text)| (PathBuf::from(path), filled(text, name, ""))).into();
    files.extend(sdk()?);
    write(name, into, &files)
}

fn write(name: &str, into: &Path, files: &Files) -> Result<PathBuf, Error> {
    let target = into.join(name);
    if target.exists() {
        return Err(Error::Exists(target));
    }
    let aside = into.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        for (path, contents) in files {
            let path = aside.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(&aside))?;
            std::fs::write(path, contents)?;
        }
        std::fs::rename(&aside, &target)
    };
    write().map_err(|error| {
        // What was written of it is of no use to anybody.
        let _ = std::fs::remove_dir_all(&aside);
        Error::disk("write", &target, error)
    })?;
    Ok(target)
}

/// It names a crate, a component and a type.
fn check_name(name: &str) -> Result<(), Error> {
    let is_word =
        |part: &str| !part.is_empty() && part.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit());
    let begins = name.starts_with(|char: char| char.is_ascii_lowercase());
    // Words of the language, and crates that a project needs.
    let taken = "test core std txray as async await box break const continue crate dyn do else enum extern false final fn for \
                 gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait \
                 true try type typeof unsafe unsized use virtual where while yield abstract become safetensors serde build \
                 deps examples incremental";
    let is_taken = taken.split_whitespace().any(|word| word == name) || name.starts_with("txray-") || is_built_in(name);
    match begins && name.split('-').all(is_word) && name.len() <= 64 {
        true if is_taken => Err(Error::NameTaken(name.to_owned())),
        true => Ok(()),
        false => Err(Error::PluginName(name.to_owned())),
    }
}

/// Whether a component that is built in is called so: a plugin would stand in its place.
fn is_built_in(name: &str) -> bool {
    let registry = crate::built_in(txray_host::Policy::default());
    let plugins = registry.iter().flat_map(|registry| registry.plugins());
    plugins.flat_map(|plugin| &plugin.info.components).any(|component| component.kind == name)
}

/// Paths and contents.
type Files = Vec<(PathBuf, String)>;

fn filled(template: &str, name: &str, library: &str) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    let type_name: String = name.split('-').map(capital).collect();
    let krate = name.replace('-', "_");
    let filled = template.replace("{{name}}", name).replace("{{Type}}", &type_name).replace("{{crate}}", &krate);
    filled.replace("{{library}}", library)
}

/// The file name of a library, as this system has it.
fn library(name: &str) -> String {
    format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

fn pipeline(kind: Kind) -> &'static str {
    match kind {
        Kind::Metric => template!("metric.toml"),
        Kind::Pruner => template!("pruner.toml"),
        Kind::Sink => template!("sink.toml"),
        Kind::Source => template!("source.toml"),
        Kind::Model => template!("model.toml"),
        Kind::Encoder => template!("encoder.toml"),
    }
}

fn rust(name: &str, kind: Kind) -> Result<Files, Error> {
    let source = match kind {
        Kind::Metric => template!("rust/metric.rs"),
        Kind::Pruner => template!("rust/pruner.rs"),
        Kind::Sink => template!("rust/sink.rs"),
        Kind::Source => template!("rust/source.rs"),
        Kind::Model => template!("rust/model.rs"),
        Kind::Encoder => template!("rust/encoder.rs"),
    };
    let library = format!("target/release/{}", library(&name.replace('-', "_")));
    let mut manifest = template!("rust/Cargo.toml.in").to_owned();
    let mut pipeline = pipeline(kind).to_owned();
    let mut more = Vec::new();
    match kind {
        Kind::Model => {
            manifest += "safetensors = \"0.8\"\n";
            more.push(("src/weights.rs", template!("rust/weights.rs").to_owned()));
        }
        Kind::Encoder => manifest += "safetensors = \"0.8\"\n",
        Kind::Source => {
            let recorded = "source = { kind = \"{{name}}\", path = \"recorded.tsv\", width = 8 }";
            pipeline = pipeline.replace("source = \"{{name}}\"", recorded);
            more.push(("recorded.tsv", template!("recorded.tsv").to_owned()));
        }
        Kind::Metric | Kind::Pruner | Kind::Sink => {}
    }
    let files = [
        ("Cargo.toml", manifest),
        ("src/lib.rs", source.to_owned()),
        ("pipeline.toml", pipeline),
        ("README.md", template!("rust/README.md").to_owned()),
        (".gitignore", "/target\n/runs\n".to_owned()),
    ];
    let files = files.into_iter().chain(more);
    let mut files: Files = files.map(|(path, text)| (PathBuf::from(path), filled(&text, name, &library))).collect();
    files.extend(sdk()?);
    Ok(files)
}

/// The crates that a project in Rust is built from.
fn sdk() -> Result<Files, Error> {
    let mut files = vec![(PathBuf::from("sdk/Cargo.toml"), sdk_workspace()?)];
    for (directory, source) in &SDK {
        for file in sources(source) {
            let text = file.contents_utf8().ok_or_else(|| Error::Sdk("one is not UTF-8".to_owned()))?;
            files.push((Path::new("sdk").join(directory).join(file.path()), text.to_owned()));
        }
    }
    Ok(files)
}

/// The files of a crate that others build it from: its tests are not among them.
fn sources<'a>(directory: &'a Dir<'a>) -> Vec<&'a include_dir::File<'a>> {
    let mut files: Vec<_> = directory.files().collect();
    let below = directory.dirs().filter(|below| !below.path().starts_with("tests"));
    files.extend(below.flat_map(sources));
    files
}

/// The workspace of the SDK's crates: this repository's own, less what is not there.
fn sdk_workspace() -> Result<String, Error> {
    let internal = |error: &dyn std::fmt::Display| Error::Sdk(format!("the workspace's Cargo.toml: {error}"));
    let mut root: Table = toml::from_str(WORKSPACE).map_err(|error| internal(&error))?;
    root.retain(|key, _| key == "workspace");
    let workspace = root.get_mut("workspace").and_then(|table| table.as_table_mut());
    let workspace = workspace.ok_or_else(|| internal(&"it has no [workspace]"))?;
    let members: Vec<toml::Value> = SDK.iter().map(|(directory, _)| (*directory).into()).collect();
    workspace.insert("members".to_owned(), members.into());
    if let Some(dependencies) = workspace.get_mut("dependencies").and_then(|table| table.as_table_mut()) {
        dependencies.retain(|name, dependency| match dependency.get_mut("path") {
            None => true,
            Some(path) => {
                let directory = name.trim_start_matches("txray-");
                *path = directory.into();
                SDK.iter().any(|(sdk, _)| *sdk == directory)
            }
        });
    }
    toml::to_string(&root).map_err(|error| internal(&error))
}

fn c(name: &str, kind: Kind) -> Files {
    let source = match kind {
        Kind::Metric => template!("c/metric.c"),
        Kind::Pruner => template!("c/pruner.c"),
        Kind::Sink => template!("c/sink.c"),
        Kind::Source => template!("c/source.c"),
        Kind::Model => template!("c/model.c"),
        Kind::Encoder => template!("c/encoder.c"),
    };
    let library = library(name);
    let files = [
        ("plugin.c", source),
        ("options.h", template!("c/options.h")),
        ("Makefile", template!("c/Makefile")),
        ("pipeline.toml", pipeline(kind)),
        ("README.md", template!("c/README.md")),
        (".gitignore", "/{{library}}\n/runs\n"),
    ];
    let mut files: Files =
        files.into_iter().map(|(path, text)| (PathBuf::from(path), filled(text, name, &library))).collect();
    // The boundary itself is not a template.
    files.push((PathBuf::from("txray.h"), HEADER.to_owned()));
    files
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for good in ["energy", "my-metric", "l2", "a-b-c", "renyi-2", "my-match"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-",
            "a-",
            "-a",
            "Energy",
            "a_b",
            "../a",
            "é",
            "2l",
            "txray",
            "a b",
            "match",
            "txray-method",
            "self",
            "build",
            "lstm",
            "hellinger",
            &"a".repeat(300),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_workspace_of_the_sdk_is_that_of_its_crates_alone() {
        let workspace: Table = toml::from_str(&sdk_workspace().unwrap()).unwrap();
        let workspace = workspace["workspace"].as_table().unwrap();
        assert_eq!(workspace["members"].as_array().unwrap().len(), SDK.len());
        let dependencies = workspace["dependencies"].as_table().unwrap();
        let paths: Vec<&str> = dependencies.values().filter_map(|d| d.get("path")?.as_str()).collect();
        assert_eq!(paths.len(), SDK.len(), "{paths:?}");
        assert_eq!(workspace["lints"]["rust"]["unsafe_code"].as_str(), Some("deny"));
    }
}
