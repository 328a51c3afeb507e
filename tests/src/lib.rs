//! What the tests across crates share: the program and dynamic libraries built on the spot, folders to run it in, its
//! tables, and a host that remembers.

#![allow(clippy::unwrap_used, reason = "a harness of tests")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use txray_plugin::{HostServices, Level};

mod build;
mod folder;
mod model;
mod schema;
mod table;

pub use build::{c_plugin, c_plugin_with, dropping, rust_example, rust_plugin, txray};
pub use folder::{Folder, Ran};
pub use model::SmallModel;
pub use schema::invalid;
pub use table::Table;

/// A path in this crate.
pub fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// A page of `docs/` is the one that is made today. With TXRAY_UPDATE set, it is written.
#[track_caller]
pub fn is_todays(file: &str, expected: &str) {
    let file = path("../docs").join(file);
    if std::env::var_os("TXRAY_UPDATE").is_some() {
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let name = file.display();
    assert!(found == expected, "{name} is not that of the code: run this with TXRAY_UPDATE=1, and read it");
}

/// The folder of the corpora, `TXRAY_DATA`. `None`, and a word that the test was skipped, where there is none: corpora and
/// what is made from them are never in the repository.
pub fn data() -> Option<PathBuf> {
    let data = std::env::var_os("TXRAY_DATA").map(PathBuf::from);
    if data.is_none() {
        skipped("TXRAY_DATA is not set");
    }
    data
}

/// A folder beside [`data`].
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = data()?.join("..").join(name);
    if !folder.is_dir() {
        skipped(&format!("there is no {}", folder.display()));
        return None;
    }
    Some(folder)
}

fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Written past the capture of tests that pass: a test that did not run is not to be taken for one that did.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// The blocks of code in a Markdown text that are marked with this language.
pub fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(mark) = lines.by_ref().find_map(|line| line.strip_prefix("```")) {
        let block: String = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
        blocks.extend((mark == language).then_some(block));
    }
    blocks
}

/// A host that remembers what it was told.
#[derive(Debug, Default)]
pub struct Recorder {
    logs: Mutex<Vec<(Level, String)>>,
    progress: Mutex<Vec<(u64, u64, String)>>,
    /// What it answers when asked whether to stop.
    pub cancelled: bool,
}

impl Recorder {
    /// How many threads it offers.
    pub const THREADS: usize = 3;

    /// What was logged since this was last asked.
    pub fn logs(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.logs.lock().unwrap())
    }

    /// What progress was reported since this was last asked.
    pub fn progress(&self) -> Vec<(u64, u64, String)> {
        std::mem::take(&mut self.progress.lock().unwrap())
    }
}

impl HostServices for Recorder {
    fn threads(&self) -> usize {
        Self::THREADS
    }
    fn log(&self, level: Level, message: &str) {
        self.logs.lock().unwrap().push((level, message.to_owned()));
    }
    fn progress(&self, done: u64, total: u64, message: &str) {
        self.progress.lock().unwrap().push((done, total, message.to_owned()));
    }
    fn cancelled(&self) -> bool {
        self.cancelled
    }
}

/// Runs one test of this binary again, alone in a process of its own that finds `variable` set; gives what the
/// process printed to its standard error. The test must have passed there.
///
/// For what a test cannot see in its own process: what reaches the terminal, and whether the process lives on.
pub fn stderr_of_child(test: &str, variable: &str) -> String {
    let output = child(test, variable, "1");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the child ended with {}:\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "the child ran no test named {test}:\n{stdout}");
    stderr.into_owned()
}

/// Runs one test of this binary again, alone in a process of its own that finds `variable` set to `value`; however that
/// ends.
pub fn child(test: &str, variable: &str, value: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(variable, value)
        .output()
        .unwrap()
}
