//! Dynamic libraries, built as their authors would build them: by cargo, and by a C compiler; and the program.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::path;

/// The packages under `plugins/`, and the backend that is shipped.
const RUST_PLUGINS: [&str; 5] = ["broken", "energy", "everything", "panics", "txray-cpu"];

/// The metrics that authors are shown: examples of `txray-metrics`, each a library.
const EXAMPLES: [&str; 5] = ["kl", "bhattacharyya", "cosine", "jaccard", "wasserstein"];

/// The library of a Rust plugin. All are built when the first is asked for, once in a process, with
/// the profile and into the target directory of the tests themselves.
pub fn rust_plugin(name: &str) -> PathBuf {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let packages = RUST_PLUGINS.iter().flat_map(|name| ["-p", name]).collect();
        cargo_build(packages, &RUST_PLUGINS)
    });
    built.get(name).unwrap_or_else(|| panic!("there is no test plugin `{name}`, only {RUST_PLUGINS:?}")).clone()
}

/// The library of the source that drops inputs, which benchmarks alone ask for.
pub fn dropping() -> PathBuf {
    cargo_build(vec!["-p", "dropping"], &["dropping"]).remove("dropping").unwrap_or_default()
}

/// The library of an example of a metric, built as the plugins are.
pub fn rust_example(name: &str) -> PathBuf {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        // Of the whole workspace: of one package, what it needs would be built once more with other features.
        let examples = EXAMPLES.iter().flat_map(|name| ["--example", name]);
        cargo_build(["--workspace"].into_iter().chain(examples).collect(), &EXAMPLES)
    });
    built.get(name).unwrap_or_else(|| panic!("there is no example `{name}`, only {EXAMPLES:?}")).clone()
}

/// The `txray` binary. Cargo builds it before the tests of its package, which alone may ask for it.
pub fn txray() -> PathBuf {
    let path = profile_directory().join("txray").with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} is not built: run this test by cargo", path.display());
    path
}

/// The libraries of these names that cargo makes of what the arguments select.
fn cargo_build(selected: Vec<&str>, names: &[&str]) -> HashMap<String, PathBuf> {
    let directory = profile_directory();
    let profile = directory.file_name().unwrap().to_str().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(path("")).arg("build");
    // Whatever they need was there to build these tests with.
    cargo.args(["--offline", "--message-format=json-render-diagnostics"]);
    cargo.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    cargo.arg("--target-dir").arg(directory.parent().unwrap());
    cargo.args(selected);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "cannot build {names:?}:\n{}", String::from_utf8_lossy(&output.stderr));

    let messages = output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let artifacts = messages.filter(|message: &Value| message["reason"] == "compiler-artifact");
    let made = artifacts.filter_map(|artifact| {
        let target = artifact["target"]["name"].as_str()?;
        let name = names.iter().find(|name| name.replace('-', "_") == target)?;
        let mut files = artifact["filenames"].as_array()?.iter().filter_map(Value::as_str);
        let library = files.find(|file| file.ends_with(std::env::consts::DLL_SUFFIX))?;
        Some(((*name).to_owned(), PathBuf::from(library)))
    });
    made.collect()
}

/// `target/<profile>`: tests run from `target/<profile>/deps`.
fn profile_directory() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// The library of a C plugin, `plugins/c/<name>.c`.
pub fn c_plugin(name: &str) -> PathBuf {
    c_plugin_with(name, &[])
}

/// The library of a C plugin, compiled with further arguments: these come before those that name today's header.
pub fn c_plugin_with(name: &str, arguments: &[&str]) -> PathBuf {
    let of_arguments = arguments.concat().replace(|c: char| !c.is_alphanumeric(), "_");
    let directory = profile_directory().join("c-plugins").join(of_arguments);
    std::fs::create_dir_all(&directory).unwrap();
    // Other tests may be loading the same library: it is put in its place whole.
    let aside = tempfile::NamedTempFile::new_in(&directory).unwrap().into_temp_path();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut words = compiler.split_whitespace();
    let output = Command::new(words.next().unwrap_or_default())
        .args(words)
        .args(["-shared", "-fPIC", "-std=c11", "-Wall", "-Wextra", "-Werror"])
        .args(arguments)
        .arg("-I")
        .arg(path("../core/abi"))
        .arg(path("plugins/c").join(name).with_extension("c"))
        .arg("-o")
        .arg(&aside)
        .output()
        .unwrap_or_else(|e| panic!("cannot run the C compiler `{compiler}` ({e}): install one, or name one in CC"));
    assert!(output.status.success(), "cannot compile {name}.c:\n{}", String::from_utf8_lossy(&output.stderr));
    let library = directory.join(library_name(name));
    aside.persist(&library).unwrap();
    library
}

fn library_name(name: &str) -> impl AsRef<Path> {
    format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}
