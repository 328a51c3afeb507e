//! What ARCHITECTURE.md says always holds, held.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use txray_host::Policy;
use txray_tables::columns::TABLES;
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
            "core/config" => &[],
            // Its guard, around a library that panics.
            "core/tables" => &["txray-plugin"],
            "core/plugin" => &["txray-abi"],
            "core/text" => &["txray-plugin"],
            "core/method" => &["txray-plugin", "txray-tables"],
            "core/host" => &["txray-plugin"],
            // The method for whoever changes that, by a feature.
            "core/conformance" => &["txray-host", "txray-method", "txray-plugin", "txray-tables"],
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
            "plugins/built-in" => &["txray-host", "txray-lstm", "txray-metrics", "txray-sources"],
            // Nothing but a symbol: the build of other plugins as a library.
            "plugins/cpu" => &["txray-plugin", "txray-lstm", "txray-metrics", "txray-sources"],
            // It reads a model and a text by itself.
            "tests/plugins/dropping" => &["txray-plugin", "txray-lstm", "txray-text"],
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
        "core/plugin/src/guard",
        // It plays a host of another version.
        "core/plugin/tests/versions.rs",
        "core/host/src/handle/",
        "core/host/src/loader.rs",
        "plugins/lstm/src/cpu/kernel.rs",
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

/// Lints keep `println!` and its like out of the program; the streams themselves they do not know.
#[test]
fn the_program_prints_in_one_place() {
    // What the second answers is read by a process of ours.
    let prints = ["cli/src/output.rs", "cli/src/plugin/probe.rs"];
    for (name, source) in sources() {
        if !name.starts_with("cli/src/") || prints.contains(&name.as_str()) {
            continue;
        }
        for (number, line) in code(&source) {
            let streams = ["stdout()", "stderr()", "stdout_raw", "/dev/std", "/dev/tty"];
            let named = streams.iter().any(|stream| line.contains(stream));
            // Whether there is a terminal, and what a bar is drawn on, is not printing.
            let is_asked = line.contains(".is_terminal()") || line.contains("ProgressDrawTarget::stderr()");
            assert!(!named || is_asked || line.contains(".use_stderr()"), "{name}:{number}: {line}");
        }
    }
}

/// The paths that a file's code names from `crate::`, `super::` or a module of its own on, `use` groups written out.
fn named_paths(source: &str) -> Vec<Vec<String>> {
    let code: String = code(source).map(|(_, line)| line.to_owned() + "\n").collect();
    let modules: Vec<&str> = code
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let tokens: Vec<String> = {
        let mut tokens = Vec::new();
        let mut word = String::new();
        for c in code.chars() {
            if c.is_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            if !word.is_empty() {
                tokens.push(std::mem::take(&mut word));
            }
            if "{},:".contains(c) {
                tokens.push(c.to_string());
            }
        }
        tokens
    };
    // A path is words with `::` between them; a group repeats the path before it.
    fn read(tokens: &[String], at: &mut usize, before: &[String], found: &mut Vec<Vec<String>>) {
        let mut path = before.to_vec();
        loop {
            match tokens.get(*at).map(String::as_str) {
                Some("{") if path.len() > before.len() || !before.is_empty() => {
                    *at += 1;
                    while tokens.get(*at).is_some_and(|token| token != "}") {
                        match tokens[*at].as_str() {
                            "," => *at += 1,
                            _ => read(tokens, at, &path, found),
                        }
                    }
                    *at += 1;
                    return;
                }
                Some(word) if !["{", "}", ",", ":"].contains(&word) => {
                    path.push(word.to_owned());
                    *at += 1;
                    let goes_on = tokens[*at..].starts_with(&[":".to_owned(), ":".to_owned()]);
                    if !goes_on {
                        found.push(path);
                        return;
                    }
                    *at += 2;
                }
                _ => {
                    *at += 1;
                    found.push(path);
                    return;
                }
            }
        }
    }
    let (mut at, mut found) = (0, Vec::new());
    while at < tokens.len() {
        let begins = tokens[at] == "crate" || tokens[at] == "super" || modules.contains(&tokens[at].as_str());
        let is_path = tokens[at + 1..].starts_with(&[":".to_owned(), ":".to_owned()]);
        let inside = at >= 2 && tokens[at - 1] == ":" && tokens[at - 2] == ":";
        if begins && is_path && !inside {
            read(&tokens, &mut at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// The files of its own crate that a file names.
fn named_files(name: &str, source: &str, files: &BTreeSet<String>) -> BTreeSet<String> {
    let parts = name.trim_end_matches(".rs").split('/');
    let module: Vec<&str> = parts.filter(|part| !["mod", "lib"].contains(part)).collect();
    let mut found = BTreeSet::new();
    for path in named_paths(source) {
        let mut at = module.clone();
        let mut rest = path.iter().map(String::as_str).peekable();
        if rest.peek() == Some(&"crate") {
            rest.next();
            at.clear();
        }
        while rest.next_if(|part| *part == "super").is_some() {
            at.pop();
        }
        at.extend(rest);
        // The longest beginning of the path that is a file.
        let named = (1..=at.len()).rev().find_map(|length| {
            let joined = at[..length].join("/");
            [format!("{joined}.rs"), format!("{joined}/mod.rs")].into_iter().find(|file| files.contains(file))
        });
        found.extend(named);
    }
    found.remove(name);
    found
}

#[test]
fn a_planted_circle_is_seen() {
    let files: BTreeSet<String> = ["a.rs", "b.rs", "b/c.rs", "d/mod.rs", "d/e.rs"].map(str::to_owned).into();
    let named = |name: &str, source: &str| named_files(name, source, &files).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(named("a.rs", "use crate::{b::{c::X, Y}, d};\nuse std::b::Z;"), "b.rs b/c.rs d/mod.rs");
    assert_eq!(named("b.rs", "mod c;\nfn f() { c::g() }"), "b/c.rs");
    assert_eq!(named("b/c.rs", "fn g() -> super::Y { super::super::a::h() }"), "a.rs b.rs");
    assert_eq!(named("d/e.rs", "// crate::a::X\nlet x: crate::d::Z = 1;"), "d/mod.rs");
}

#[test]
fn files_of_the_engine_do_not_go_round_in_circles() {
    for folder in ["core/engine/src/", "core/method/src/", "core/text/src/", "core/config/src/", "core/tables/src/"] {
        let is_test = |name: &str| name.contains("tests") || name == "testing.rs";
        let files: Vec<(String, String)> = sources()
            .into_iter()
            .filter_map(|(name, source)| Some((name.strip_prefix(folder)?.to_owned(), source)))
            .filter(|(name, _)| !is_test(name) && name != "lib.rs")
            .collect();
        assert!(files.len() > 3, "{folder}");
        let names: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let mut waiting: BTreeMap<&String, BTreeSet<String>> =
            files.iter().map(|(name, source)| (name, named_files(name, source, &names))).collect();
        // What needs nothing that waits goes, until nothing waits; what then still waits, waits for itself.
        while let Some(&free) = waiting.iter().find(|(_, needs)| needs.is_empty()).map(|(name, _)| name) {
            waiting.remove(free);
            for needs in waiting.values_mut() {
                needs.remove(free);
            }
        }
        assert!(waiting.is_empty(), "{folder}: {waiting:#?}");
    }
}

#[test]
fn planning_running_and_the_store_name_no_kind_of_step() {
    let kinds: Vec<&str> =
        txray_engine::steps::catalogue().sections.iter().flat_map(|kind| [kind.table, kind.step]).collect();
    assert!(kinds.contains(&"stage") && kinds.contains(&"text"));
    let files = ["plan", "run", "store", "step", "out", "check", "component", "error", "pipeline"];
    for (name, source) in sources() {
        let Some(file) = name.strip_prefix("core/engine/src/").and_then(|file| file.strip_suffix(".rs")) else {
            continue;
        };
        if !files.contains(&file) {
            continue;
        }
        for (number, line) in code(&source) {
            assert!(!line.contains("steps::"), "{name}:{number}: {line}");
            let kind =
                kinds.iter().find(|kind| line.contains(&format!("\"{kind}\"")) || line.contains(&format!("\"{kind}.")));
            assert!(kind.is_none(), "{name}:{number} names the kind {kind:?}: {line}");
        }
    }
}

/// The keys of the tables of a schema.
fn keys_of(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(table) => {
            if let Some(Value::Object(properties)) = table.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            table.values().for_each(|inner| keys_of(inner, keys));
        }
        Value::Array(items) => items.iter().for_each(|inner| keys_of(inner, keys)),
        _ => {}
    }
}

#[test]
fn the_engine_knows_no_option_of_a_plugin_and_runs_know_no_figure() {
    let registry = txray_built_in::registry(Policy::default()).unwrap();
    let mut options = BTreeSet::new();
    for component in registry.plugins().iter().flat_map(|plugin| &plugin.info.components) {
        keys_of(&component.options, &mut options);
    }
    // Where checkpoints are asked for, which are the engine's affair.
    assert!(options.remove("train") && options.contains("epochs"));
    // What a model is trained for is the engine's affair, and beside that a plugin's.
    assert!(options.remove("task") && options.contains("pooling"));
    let figures = ["words", "documents", "unknown", "alive", "mass", "vocabulary", "train_loss", "valid_perplexity"];
    for (name, source) in sources() {
        let Some(file) = name.strip_prefix("core/engine/src/").filter(|file| !file.contains("test")) else { continue };
        let runs = ["plan.rs", "run.rs", "step.rs", "inputs.rs"].contains(&file);
        let runs = runs || ["store/", "out/"].iter().any(|folder| file.starts_with(folder));
        for (number, line) in code(&source) {
            // The format that marks an option, and not its name.
            if line.contains("const EPOCHS") {
                continue;
            }
            let named = |word: &str| line.contains(&format!("\"{word}\"")) || line.contains(&format!("/{word}\""));
            // A few options are called as keys of the engine are.
            let is_own = |word: &str| ["layers", "path", "state", "seed"].contains(&word);
            let option = options.iter().find(|option| named(option) && !is_own(option));
            assert!(option.is_none(), "{name}:{number} knows the option {option:?}: {line}");
            let figure = figures.iter().find(|figure| runs && named(figure));
            assert!(figure.is_none(), "{name}:{number} knows the figure {figure:?}: {line}");
        }
    }
}

#[test]
fn candle_is_named_by_models_alone() {
    for (name, folder, needed) in packages() {
        let candle = needed.iter().find(|name| name.starts_with("candle") || name.starts_with("gemm"));
        assert!(candle.is_none() || folder == "plugins/lstm", "{name} needs {candle:?}");
    }
}

#[test]
fn every_column_stands_once() {
    let all = TABLES.iter().flat_map(|table| table.columns).map(|column| column.name);
    // Other names are words of their own elsewhere.
    let columns: Vec<&str> = all.filter(|name| name.contains('_')).collect();
    assert!(columns.contains(&"union_length") && columns.contains(&"mass_hi"));
    for (name, source) in sources() {
        let is_reader = ["core/method/", "core/engine/", "core/conformance/src/", "cli/src/", "plugins/"].iter();
        if !is_reader.clone().any(|folder| name.starts_with(folder)) || name.contains("/tests") {
            continue;
        }
        for (number, line) in code(&source) {
            let column = columns.iter().find(|column| line.contains(&format!("\"{column}\"")));
            assert!(column.is_none(), "{name}:{number} has the column {column:?} of core/tables: {line}");
        }
    }
}

#[test]
fn only_the_host_and_the_guard_know_the_tables_of_c() {
    for (name, source) in sources() {
        let is_theirs = ["core/abi/", "core/plugin/", "core/host/", "tests/"].iter().any(|own| name.starts_with(own));
        for (number, line) in code(&source).filter(|_| !is_theirs) {
            let tables =
                ["Metric", "Pruner", "Sink", "Source", "Model", "Encode", "Predict", "Train", "Carry", "Extend"];
            let tables = tables.map(|name| format!("{name}Table"));
            assert!(!tables.iter().any(|table| line.contains(table.as_str())), "{name}:{number}: {line}");
        }
    }
}

#[test]
fn the_front_page_of_each_crate_draws_what_flows_through_it() {
    for (_, folder, _) in packages() {
        if !folder.starts_with("core/") && !folder.starts_with("plugins/") {
            continue;
        }
        let page = std::fs::read_to_string(path("..").join(&folder).join("src/lib.rs")).unwrap();
        let front: String = page.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n");
        assert!(front.contains("```text\n") && front.contains("-->"), "{folder}/src/lib.rs draws nothing");
    }
}
