//! The process that loads a library: it answers in lines of JSON, and may crash without harm to whoever asked.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::mpsc::{self, Sender};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_conformance::{Finding, Observer, Settings};
use txray_host::{FindError, Registry};
use txray_plugin::{Host, Site, abi};

use crate::args::LibraryArgs;
use crate::error::Error;

/// A line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// What the plugin says of itself, and the hash of its file.
    Plugin {
        /// Its description, as it gave it.
        info: Value,
        /// In hexadecimal.
        sha256: String,
    },
    /// Why it was not taken in.
    Refused(String),
    /// What a model can do, as far as its options have defaults.
    Able {
        /// The component's kind.
        kind: String,
        /// In words, a line each.
        able: Vec<String>,
    },
    /// A property is about to be held against a component.
    Begin {
        /// The component's kind.
        kind: String,
        /// The property.
        property: String,
    },
    /// What came of it.
    Finding(Finding),
    /// All is said.
    End,
}

impl Line {
    /// From a line of an answer, if it is one.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    fn write(&self, answers: &mut File) -> Result<(), Error> {
        let json = serde_json::to_string(self)? + "\n";
        answers.write_all(json.as_bytes()).map_err(|error| Error::system("answer whoever started this process", error))
    }
}

/// Loads the library and answers. `cases`: hold it to the conformance suites, so many random cases a property.
pub fn run(args: &LibraryArgs, cases: Option<u32>, seed: u64) -> Result<(), Error> {
    let (ready, is_ready) = mpsc::channel();
    std::thread::spawn(move || end_with_parent(&ready));
    // A thread that begins needs a lock of the system's loader, which a library holds while it is loaded.
    let _ = is_ready.recv();
    let mut answers = answers().map_err(|error| Error::system("answer whoever started this process", error))?;
    let mut registry = Registry::with_policy(args.policy.policy()?);
    let plugin = match registry.load(&args.library, None) {
        Ok(plugin) => plugin,
        Err(error) => return Line::Refused(error.to_string()).write(&mut answers),
    };
    let info = serde_json::to_value(&plugin.info)?;
    Line::Plugin { info, sha256: plugin.origin.sha256().unwrap_or_default().to_owned() }.write(&mut answers)?;
    let plugin = &registry.plugins()[0];
    if let Some(cases) = cases {
        txray_conformance::check(&registry, plugin, &Settings { cases, seed }, &mut Writer(&mut answers));
    } else {
        for component in plugin.info.components.iter().filter(|component| component.interface == abi::MODEL) {
            let able = able(&registry, &component.kind);
            Line::Able { kind: component.kind.clone(), able }.write(&mut answers)?;
        }
    }
    Line::End.write(&mut answers)
}

/// What a model can do that is made by the defaults of its options.
fn able(registry: &Registry, kind: &str) -> Vec<String> {
    let model = match registry.model(kind, &json!({}), &Host::detached()) {
        Ok(model) => model,
        Err(FindError::Refused(error)) => return vec![format!("what it can do depends on its options: {error}")],
        Err(_) => return Vec::new(),
    };
    let words = |words: &[(&'static str, bool)]| {
        let words: Vec<&str> = words.iter().filter(|(_, has)| *has).map(|(word, _)| *word).collect();
        words.join(", ")
    };
    let names = |list: Value| {
        let names: Vec<String> =
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        names.join(", ")
    };
    let can = model.capabilities();
    let sites: Vec<String> = can.sites.iter().map(Site::to_string).collect();
    let all = [
        (
            "abilities",
            words(&[
                ("encode", model.as_encode().is_some()),
                ("predict", model.as_predict().is_some()),
                ("train", model.as_train().is_some()),
                ("carry", model.as_carry().is_some()),
                ("extend", model.extends()),
            ]),
        ),
        ("tasks", names(json!(can.tasks))),
        ("record rules", names(json!(can.rules))),
        ("also", words(&[("masks", can.masks), ("predictions", can.predictions)])),
        ("sites by default", sites.join(", ")),
        ("not known to this txray", can.unknown.join(", ")),
    ];
    all.into_iter().filter(|(_, told)| !told.is_empty()).map(|(name, told)| format!("{name}: {told}")).collect()
}

/// Ends this process when whoever started it is gone, whatever the library is doing: their end of standard input closes even if
/// they are killed.
fn end_with_parent(ready: &Sender<()>) {
    let mut byte = [0];
    let mut input = std::io::stdin().lock();
    let _ = ready.send(());
    while input.read(&mut byte).is_ok_and(|read| read > 0) {}
    // Not by `exit`, at which the library could still be asked, and hang.
    std::process::abort();
}

/// Where answers go. What a plugin prints goes nowhere: it could stand in the middle of one.
#[cfg(unix)]
fn answers() -> std::io::Result<File> {
    use std::os::fd::AsFd;
    let answers = std::io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(answers.into())
}

/// Systems other than Unix do not tell a plugin's output from ours: what it prints in the middle of an answer spoils that one.
#[cfg(not(unix))]
fn answers() -> std::io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(std::io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// Tells what is about to be checked before it is, so that whoever reads knows where a crash happened.
struct Writer<'a>(&'a mut File);

impl Observer for Writer<'_> {
    fn begin(&mut self, _: &str, kind: &str, property: &str) {
        // A pipe to the process that asked: where that is gone, there is nobody to tell.
        let _ = Line::Begin { kind: kind.to_owned(), property: property.to_owned() }.write(self.0);
    }

    fn end(&mut self, finding: &Finding) {
        let _ = Line::Finding(finding.clone()).write(self.0);
    }
}
