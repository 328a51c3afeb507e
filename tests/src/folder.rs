//! Folders that pipelines run in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A folder to run `txray` in, gone when it is dropped.
pub struct Folder(TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Folder {
    /// An empty one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A path in it.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(relative)
    }

    /// Writes a file into it, and the folders on the way there.
    pub fn write(&self, relative: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// Runs `txray` in it with these arguments, and without a data root in the environment.
    pub fn txray(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let mut command = Command::new(crate::txray());
        command.args(&args).current_dir(self.path("")).env_remove("TXRAY_DATA").env("NO_COLOR", "1");
        // A store of its own: what one test made must not be there already for another.
        command.env("TXRAY_STORE", self.path(".store"));
        let output = command.output().unwrap();
        let ran = Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        if ran.code == Some(0) {
            self.is_by_schema(&args);
        }
        ran
    }

    /// A pipeline that the program took is one that editors do not call wrong.
    #[track_caller]
    fn is_by_schema(&self, args: &[OsString]) {
        static SCHEMA: OnceLock<Value> = OnceLock::new();
        let is_pipeline = |path: &&OsString| Path::new(path).extension().is_some_and(|extension| extension == "toml");
        let is_taken = args.first().is_some_and(|command| command == "run" || command == "check");
        let Some(pipeline) = args.iter().filter(|_| is_taken).find(is_pipeline) else { return };
        let schema = SCHEMA.get_or_init(|| {
            let output = Command::new(crate::txray()).args(["schema", "--no-plugins"]).output().unwrap();
            serde_json::from_slice(&output.stdout).unwrap()
        });
        let text = std::fs::read_to_string(self.path(pipeline)).unwrap();
        let text = text.trim_start_matches('\u{feff}');
        // What `--set` mends is not in the file.
        if args.iter().all(|arg| arg != "--set") {
            assert_eq!(crate::invalid(schema, &toml::from_str(text).unwrap()), [""; 0], "{text}");
        }
    }

    /// Writes a program into it and runs it by Python. `false`, and a word that the test was skipped, where there is no Python
    /// with PyTorch.
    pub fn python(&self, file: &str, program: &str) -> bool {
        self.write(file, program);
        let ran = Command::new("python3").arg(file).current_dir(self.path("")).output();
        let stderr = ran.as_ref().map(|ran| String::from_utf8_lossy(&ran.stderr).into_owned()).unwrap_or_default();
        let is_there = ran.is_ok() && !stderr.contains("ModuleNotFoundError");
        match is_there {
            true => assert!(ran.unwrap().status.success(), "{file}: {stderr}"),
            false => crate::skipped("there is no python3 with torch"),
        }
        is_there
    }

    /// The bytes of every table and every weight of a run, by path: what has to repeat.
    pub fn bytes(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let files = self.files(out).into_iter();
        let kept = files.filter(|file| file.ends_with(".parquet") || file.ends_with(".safetensors"));
        kept.map(|file| (file.clone(), std::fs::read(self.path(out).join(file)).unwrap())).collect()
    }

    /// Every file below `relative`, as paths with `/` from there, sorted; none where there is no such folder.
    pub fn files(&self, relative: &str) -> Vec<String> {
        fn visit(root: &Path, folder: &Path, files: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => visit(root, &path, files),
                    false => {
                        let parts = path.strip_prefix(root).unwrap().iter().map(|part| part.to_str().unwrap());
                        files.push(parts.collect::<Vec<_>>().join("/"));
                    }
                }
            }
        }
        let (root, mut files) = (self.path(relative), Vec::new());
        visit(&root, &root, &mut files);
        files.sort();
        files
    }
}

/// What a run of `txray` came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// It went well.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// It failed with this exit code, said so on standard error alone, and did not panic. Gives what it said, on one
    /// line: where lines break depends on the lengths of paths.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "", "a failure has no results");
        // What the panic hook prints. That of a plugin is caught, and told as an error.
        for word in ["thread '", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!self.stderr.contains(word), "{}", self.stderr);
        }
        let words: Vec<&str> = self.stderr.split_whitespace().filter(|&word| word != "|").collect();
        words.join(" ")
    }
}
