//! What ARCHITECTURE.md says always holds, held.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use txray_tests::path;

fn cargo(args: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).current_dir(path("..")).args(args).arg("--offline").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The packages of the workspace: name, folder from the root, and what they need of the workspace to be built.
fn packages() -> Vec<(String, String, Vec<String>)> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let root = Path::new(metadata["workspace_root"].as_str().unwrap());
    let packages = metadata["packages"].as_array().unwrap();
    let packages = packages.iter().map(|package| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().strip_prefix(root).unwrap().to_str().unwrap();
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let needed = dependencies.filter(|dependency| dependency["kind"] != "dev");
        let names = needed.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
        (package["name"].as_str().unwrap().to_owned(), folder.to_owned(), names.collect())
    });
    packages.collect()
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let ours: Vec<&str> = packages.iter().map(|(name, ..)| name.as_str()).collect();
    for (name, folder, needed) in &packages {
        let of_ours: Vec<&str> = needed.iter().map(String::as_str).filter(|name| ours.contains(name)).collect();
        let allowed: &[&str] = match folder.as_str() {
            "core/abi" => {
                assert!(needed.is_empty(), "the boundary stands alone, but needs {needed:?}");
                &[]
            }
            // They know nothing of txray, and nothing of plugins.
            "core/config" | "core/tables" => &[],
            "core/plugin" => &["txray-abi"],
            "core/text" => &["txray-plugin"],
            "core/method" => &["txray-plugin", "txray-tables"],
            "core/host" => &["txray-plugin"],
            "core/conformance" => &["txray-host", "txray-plugin", "txray-tables"],
            "core/engine" => {
                &["txray-config", "txray-host", "txray-method", "txray-plugin", "txray-tables", "txray-text"]
            }
            "cli" => &[
                "txray-built-in",
                "txray-config",
                "txray-conformance",
                "txray-engine",
                "txray-host",
                "txray-method",
                "txray-plugin",
                "txray-tables",
            ],
            "tests" => &["txray-plugin"],
            // The one list of what is linked in.
            "plugins/built-in" => &["txray-host", "txray-lstm", "txray-metrics"],
            // Nothing but a symbol: the build of other plugins as a library.
            "plugins/cpu" => &["txray-plugin", "txray-lstm"],
            "tests/plugins/distances" => &["txray-plugin", "txray-metrics"],
            // Sinks and sources may know the tables.
            plugin if plugin.starts_with("plugins/") || plugin.starts_with("tests/plugins/") => {
                &["txray-plugin", "txray-tables"]
            }
            other => panic!("say here what {other} may depend on"),
        };
        for dependency in of_ours {
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_engine_does_not_reach_candle() {
    let tree = cargo(&["tree", "-p", "txray-engine", "-e", "normal,build", "--prefix", "none"]);
    assert!(tree.contains("parquet v"), "{tree}");
    for line in tree.lines() {
        assert!(!["candle", "gemm", "txray-lstm"].iter().any(|name| line.starts_with(name)), "{line}");
    }
}

/// Every Rust file of the workspace, from its root.
fn sources() -> Vec<(String, String)> {
    fn visit(root: &Path, folder: &Path, sources: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                sources.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let (root, mut sources) = (path(".."), Vec::new());
    for folder in ["core", "plugins", "cli", "tests"] {
        visit(&root, &root.join(folder), &mut sources);
    }
    assert!(sources.len() > 50, "{}", sources.len());
    sources
}

/// The lines of a file that are code, with their numbers: neither comments, nor what follows its `#[cfg(test)] mod`.
fn code(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = source.find("#[cfg(test)]\nmod tests {").unwrap_or(source.len());
    source[..tests].lines().zip(1..).map(|(line, number)| (number, line)).filter(|(_, line)| {
        let line = line.trim_start();
        !line.starts_with("//")
    })
}

#[test]
fn unsafe_code_stands_in_few_files() {
    let allowed = [
        "core/abi/",
        "core/plugin/src/guard.rs",
        "core/host/src/handle.rs",
        "core/host/src/loader.rs",
        "plugins/lstm/src/kernel.rs",
    ];
    let mut seen = vec![false; allowed.len()];
    for (name, source) in sources() {
        let is_unsafe = |line: &str| {
            let kinds = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait", "#[unsafe("];
            kinds.iter().any(|kind| line.contains(kind))
        };
        // The whole file, its tests as well. The export of a plugin's one symbol, in a macro, is the exception.
        let mut lines = source.lines().filter(|line| !line.trim_start().starts_with("//") && is_unsafe(line));
        let export = |line: &&str| name == "core/plugin/src/lib.rs" && line.trim() == "#[unsafe(no_mangle)]";
        let Some(line) = lines.find(|line| !export(line)) else { continue };
        // This file names what it looks for.
        if name == "tests/tests/invariants.rs" {
            continue;
        }
        let place = allowed.iter().position(|allowed| name.starts_with(allowed));
        let place = place.unwrap_or_else(|| panic!("unsafe code in {name}: {line}"));
        seen[place] = true;
    }
    assert_eq!(seen, vec![true; allowed.len()], "what is allowed and not used: strike it here and in ARCHITECTURE.md");
}

#[test]
fn libraries_print_nothing() {
    for (name, source) in sources() {
        let is_library = name.contains("/src/") && !name.starts_with("cli/") && !name.starts_with("tests/");
        if !is_library || name.ends_with("/tests.rs") || name.contains("/tests/") {
            continue;
        }
        for (number, line) in code(&source) {
            let prints = ["println!", "print!(", "eprint", "dbg!", "io::stdout", "io::stderr"];
            let printed = prints.iter().find(|print| line.contains(**print));
            assert!(printed.is_none(), "{name}:{number}: {line}");
        }
    }
}
