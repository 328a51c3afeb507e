//! The process that loads a library: it answers in lines of JSON, and may crash without harm to whoever asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use txray_conformance::{Finding, Observer, Settings};
use txray_host::Registry;

use crate::args::LibraryArgs;
use crate::error::Error;
use crate::output;

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
    /// How a line of an answer begins: a plugin may print lines of its own.
    const MARK: &str = "txray-probe:";

    /// From a line of the process's standard output, if it is one of these.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(Self::MARK)?).ok()
    }

    fn print(&self) -> Result<(), Error> {
        let json = serde_json::to_string(self)?;
        output::answer(&format!("{}{json}", Self::MARK));
        Ok(())
    }
}

/// Loads the library and answers. `cases`: hold it to the conformance suites, so many random cases a property.
pub fn run(args: &LibraryArgs, cases: Option<u32>, seed: u64) -> Result<(), Error> {
    let mut registry = Registry::with_policy(args.policy.policy()?);
    let plugin = match registry.load(&args.library, None) {
        Ok(plugin) => plugin,
        Err(error) => return Line::Refused(error.to_string()).print(),
    };
    let info = serde_json::to_value(&plugin.info)?;
    Line::Plugin { info, sha256: plugin.origin.sha256().unwrap_or_default().to_owned() }.print()?;
    if let Some(cases) = cases {
        let plugin = &registry.plugins()[0];
        txray_conformance::check(&registry, plugin, &Settings { cases, seed }, &mut Printer);
    }
    Line::End.print()
}

/// Prints what is about to be checked before it is, so that whoever reads knows where a crash happened.
struct Printer;

impl Observer for Printer {
    fn begin(&mut self, _: &str, kind: &str, property: &str) {
        // Standard output is a pipe to the process that asked: where that is gone, there is nobody to tell.
        let _ = Line::Begin { kind: kind.to_owned(), property: property.to_owned() }.print();
    }

    fn end(&mut self, finding: &Finding) {
        let _ = Line::Finding(finding.clone()).print();
    }
}
