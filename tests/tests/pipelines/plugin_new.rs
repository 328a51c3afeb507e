//! `txray plugin new`, `txray extension new`: what they write builds, passes its own tests and runs, outside this
//! repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use arrow_array::types::{Float64Type, UInt32Type};
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
    let (succeeded, text) = printed(project, program, args);
    assert!(succeeded, "{program} {args:?} in {}:\n{text}", project.display());
    text
}

/// Whether it succeeded, and what it printed.
fn printed(project: &Path, program: &str, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(args).current_dir(project).env("CARGO_TARGET_DIR", target());
    // The flags and the profile of the tests' own build are not a user's.
    command.env("TXRAY", txray_tests::txray()).env_remove("RUSTFLAGS");
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), text)
}

/// The project itself is built as its author would build it; what it depends on, with less care: that is most of the time.
fn cargo(project: &Path, args: &[&str]) -> String {
    let (succeeded, text) = cargo_printed(project, args);
    assert!(succeeded, "cargo {args:?} in {}:\n{text}", project.display());
    text
}

fn cargo_printed(project: &Path, args: &[&str]) -> (bool, String) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let (command, rest) = args.split_at(1);
    let careless = ["--offline", "--config", "profile.release.package.\"*\".opt-level=1"];
    printed(project, &cargo, &[command, &careless, rest].concat())
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
    for kind in ["metric", "pruner", "sink", "source", "model", "encoder"] {
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
            "encoder" => assert!(told.contains("16 of 16"), "{told}"),
            _ => assert!(told.contains("perplexity"), "{told}"),
        }
    }
    any_compiler(&folder);
}

/// A change of the method as the page about it describes it: it keeps the laws, reads a run, and falls when it is broken as the
/// page says.
#[test]
fn a_change_of_the_method_keeps_its_laws_and_breaks_as_the_page_says() {
    let folder = Folder::new();
    let said = folder.txray(["extension", "new", "my-extension"]).succeeded().stdout;
    assert!(said.contains("cargo test --release"), "{said}");
    let project = folder.path("my-extension");
    std::fs::copy(txray_tests::path("../Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let tested = cargo(&project, &["test", "--release", "--lib"]);
    assert!(tested.contains("3 passed"), "{tested}");

    // The pipeline of a metric's project, without that metric.
    let pipeline = std::fs::read_to_string(txray_tests::path("../cli/templates/metric.toml")).unwrap();
    let pipeline = pipeline.replace("[plugin.{{name}}]\npath = \"{{library}}\"\n", "").replace(", \"{{name}}\"", "");
    folder.write("pipeline.toml", pipeline);
    folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let stages = ["early", "late"].map(|stage| folder.path("out/stages").join(stage).display().to_string());
    let told = cargo(&project, &["run", "--release", "--", "compare", &stages[0], &stages[1]]);
    assert!(told.contains("mean distance") && told.contains("by surprisal"), "{told}");

    // One neuron is always loud: by the usual rule it alone is alive.
    let told = cargo(&project, &["run", "--release", "--", "record", "recorded.tsv", "recorded"]);
    assert!(told.contains("max-1: 1 of 4 neurons are alive"), "{told}");
    assert!(told.contains("over-mean: 4 of 4 neurons are alive"), "{told}");
    let preferences = Table::read(&project.join("recorded/over-mean/preferences.parquet"));
    let neurons = preferences.numbers::<UInt32Type>("neuron").into_iter();
    let of_one: Vec<&str> =
        neurons.zip(preferences.text("feature")).filter(|(n, _)| *n == Some(1)).filter_map(|(_, f)| f).collect();
    assert_eq!(of_one, ["cat", "dog"]);

    let lib = project.join("src/lib.rs");
    let whole = std::fs::read_to_string(&lib).unwrap();
    // What the page shows is what was built.
    let page = std::fs::read_to_string(txray_tests::path("../docs/research-extensions.md")).unwrap();
    let blocks: Vec<&str> = page.split("```rust\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(blocks.len() > 3);
    for block in blocks {
        assert!(whole.contains(block), "the page shows what the template does not have:\n{block}");
    }
    for (from, to, law) in [
        ("met.mass * (1.0 - met.share.ln())", "met.mass.ln_1p()", "the scale of activations"),
        ("(1.0 - met.share.ln())", "-met.share.ln()", "gives a distribution to every neuron that prefers something"),
        (".max_by(order)", ".min_by_key(|&i| (i, order(&i, &i)))", "the order in which neurons are given"),
        (
            "kept.extend(best",
            "static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);\n\
             let third = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 3 == 0;\n\
             kept.extend(best.filter(|_| third)",
            "counts merged shards as it counts the whole",
        ),
    ] {
        assert!(whole.contains(from), "{from}");
        std::fs::write(&lib, whole.replace(from, to)).unwrap();
        let (succeeded, told) = cargo_printed(&project, &["test", "--release", "--lib"]);
        assert!(!succeeded && told.contains(law), "{law}: {told}");
    }
}

#[test]
fn in_c_every_kind_builds_keeps_its_promises_and_runs() {
    let folder = Folder::new();
    for kind in ["metric", "pruner", "sink", "source", "model", "encoder"] {
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
    assert!(said.contains("is no name for a project"), "{said}");
    folder.write("there/file", "mine");
    let said = folder.txray(["plugin", "new", "there", "--kind", "sink"]).failed(2);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(folder.files(""), ["there/file"]);
}
