//! `txray plugin new`: what it writes builds, passes its own tests and runs, outside this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use arrow_array::types::Float64Type;
use txray_tests::{Folder, Table};

/// Where the generated projects are built: together, so that what they depend on is built once.
fn target() -> PathBuf {
    txray_tests::path("../target/generated")
}

/// Makes a project, with the versions of this repository, so that building it needs nothing from elsewhere.
fn project(folder: &Folder, name: &str, kind: &str, lang: &str) -> PathBuf {
    let said = folder.txray(["plugin", "new", name, "--kind", kind, "--lang", lang]).succeeded().stdout;
    assert!(said.contains(&format!("cd {name}")), "{said}");
    let lock = txray_tests::path("../Cargo.lock");
    if lang == "rust" {
        std::fs::copy(lock, folder.path(name).join("Cargo.lock")).unwrap();
    }
    folder.path(name)
}

/// Runs a command in a project; gives what it printed.
fn ran(project: &Path, program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(project).env("CARGO_TARGET_DIR", target());
    // The flags and the profile of the tests' own build are not a user's.
    command.env("TXRAY", txray_tests::txray()).env_remove("RUSTFLAGS");
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{program} {args:?} in {}:\n{text}", project.display());
    text
}

/// The project itself is built as its author would build it; what it depends on, with less care: that is most of the time.
fn cargo(project: &Path, args: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    ran(project, &cargo, &[args, &["--offline", "--config", "profile.release.package.\"*\".opt-level=1"]].concat())
}

/// Puts what cargo built where the project's pipeline looks for it, as it would be had it a target directory of its own.
fn install(project: &Path, library: &str) {
    let release = project.join("target/release");
    std::fs::create_dir_all(&release).unwrap();
    std::fs::copy(target().join("release").join(library), release.join(library)).unwrap();
}

fn library(name: &str) -> String {
    format!("{}{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

/// Runs the project's pipeline as it is.
fn run(folder: &Folder, name: &str, out: &str) -> String {
    folder.txray(["run", &format!("{name}/pipeline.toml"), "--out", out]).succeeded().stdout
}

/// Every kind in Rust, one after the other: they share a target directory.
#[test]
fn in_rust_every_kind_builds_keeps_its_promises_and_runs() {
    let folder = Folder::new();
    for kind in ["metric", "pruner", "sink", "source", "model"] {
        let name = format!("my-{kind}");
        let project = project(&folder, &name, kind, "rust");
        cargo(&project, &["build", "--release"]);
        let tested = cargo(&project, &["test", "--release"]);
        assert!(tested.contains("1 passed"), "{tested}");
        install(&project, &library(&name.replace('-', "_")));
        let told = run(&folder, &name, &format!("out-{kind}"));
        match kind {
            "metric" => assert!(told.contains("my-metric 0."), "{told}"),
            "pruner" => assert!(Table::read(&folder.path("out-pruner/prunings/ranked.parquet")).len() == 32),
            "sink" => {
                let report = std::fs::read_to_string(folder.path("out-sink/my-sink.md")).unwrap();
                assert!(report.contains("| stage.late |"), "{report}");
            }
            "source" => assert!(told.contains("my-source"), "{told}"),
            _ => assert!(told.contains("perplexity"), "{told}"),
        }
    }
    any_compiler(&folder);
}

#[test]
fn in_c_every_kind_builds_keeps_its_promises_and_runs() {
    let folder = Folder::new();
    for kind in ["metric", "pruner", "sink", "source", "model"] {
        let name = format!("my-{kind}");
        let project = project(&folder, &name, kind, "c");
        // Not by make, which not every machine has; the README says the same.
        let library = library(&name);
        compile(&project, &library, &["-O2", "-Wall", "-Wextra", "-Werror"]);
        let checked = folder.txray(["plugin", "check", &format!("{name}/{library}"), "--cases", "32"]).succeeded();
        assert!(checked.stdout.contains("every property holds"), "{}", checked.stdout);
        run(&folder, &name, &format!("out-{kind}"));
    }
    let report = std::fs::read_to_string(folder.path("out-sink/my-sink.txt")).unwrap();
    assert!(report.contains("- stage.late"), "{report}");
}

fn compile(project: &Path, library: &str, flags: &[&str]) {
    let common = ["-std=c11", "-fPIC", "-shared", "plugin.c", "-o", library, "-lm"];
    ran(project, "cc", &[flags, &common].concat());
}

/// The bits of a column of distances.
fn distances(folder: &Folder, out: &str, metric: &str) -> Vec<Option<u64>> {
    let table = Table::read(&folder.path(out).join("comparisons/learning.parquet"));
    let distances: Vec<_> = table.numbers::<Float64Type>(metric).iter().map(|d| d.map(f64::to_bits)).collect();
    assert!(distances.iter().flatten().count() > 10, "{distances:?}");
    distances
}

/// The same metric, built at another edition and another optimisation, and in C without and with it: each loads, and
/// those of one language give the same bits.
fn any_compiler(folder: &Folder) {
    let expected = distances(folder, "out-metric", "my-metric");
    let manifest = folder.path("my-metric/Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("edition = \"2024\"", "edition = \"2021\"");
    std::fs::write(&manifest, text).unwrap();
    let slow = "profile.release.package.my-metric.opt-level=0";
    cargo(&folder.path("my-metric"), &["build", "--release", "-p", "my-metric", "--config", slow]);
    install(&folder.path("my-metric"), &library("my_metric"));
    run(folder, "my-metric", "out-other-edition");
    assert_eq!(distances(folder, "out-other-edition", "my-metric"), expected);

    let project = project(folder, "in-c", "metric", "c");
    let mut seen = Vec::new();
    for flag in ["-O0", "-O3"] {
        compile(&project, &library("in-c"), &[flag]);
        run(folder, "in-c", &format!("out{flag}"));
        seen.push(distances(folder, &format!("out{flag}"), "in-c"));
    }
    assert_eq!(seen[0], seen[1]);
    for (c, rust) in seen[0].iter().zip(&expected) {
        let [c, rust] = [c, rust].map(|bits| bits.map(f64::from_bits));
        assert_eq!(c.is_some(), rust.is_some());
        assert!((c.unwrap_or(0.0) - rust.unwrap_or(0.0)).abs() < 1e-7, "{c:?} in C, {rust:?} in Rust");
    }
}

#[test]
fn what_cannot_be_made_is_told_and_nothing_is_left() {
    let folder = Folder::new();
    let said = folder.txray(["plugin", "new", "Not_A_Name", "--kind", "metric"]).failed(2);
    assert!(said.contains("is no name for a plugin"), "{said}");
    folder.write("there/file", "mine");
    let said = folder.txray(["plugin", "new", "there", "--kind", "sink"]).failed(2);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(folder.files(""), ["there/file"]);
}
