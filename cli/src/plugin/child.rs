//! A process that loads a library in our place, and what it answers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use txray_config::plain;
use txray_conformance::Verdict;
use txray_host::PluginInfo;

use super::probe::Line;
use crate::args::PolicyArgs;
use crate::error::Error;
use crate::output::say;

/// How long a library may take to load, and a property to be checked, before its process is ended.
const PATIENCE: Duration = Duration::from_secs(120);

/// The process; ended when it is dropped.
pub struct Child {
    process: std::process::Child,
    lines: Receiver<Line>,
    library: PathBuf,
    /// What it was last known to be doing.
    doing: String,
}

impl Child {
    /// Starts it on a library. `check`: cases and seed of the conformance suites.
    pub fn start(library: &Path, policy: &PolicyArgs, check: Option<(u32, u64)>) -> Result<Self, Error> {
        let failed = |error| Error::system("start a process for the plugin", error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["plugin", "probe"]).arg(library);
        for directory in &policy.plugin_dir {
            command.arg("--plugin-dir").arg(directory);
        }
        for (flag, is_set) in
            [("--no-plugins", policy.no_plugins), ("--allow-world-writable", policy.allow_world_writable)]
        {
            command.args(is_set.then_some(flag));
        }
        if let Some((cases, seed)) = check {
            command.args(["--cases", &cases.to_string(), "--seed", &seed.to_string()]);
        }
        // Its standard input ends when this process does, and it with that. What a panic prints comes out in the findings as
        // well.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(failed)?;
        let (sender, lines) = mpsc::channel();
        if let Some(output) = process.stdout.take() {
            std::thread::spawn(move || {
                let all = BufReader::new(output).lines().map_while(Result::ok);
                // It ends when the process does, or when nobody listens any more.
                all.filter_map(|line| Line::parse(&line)).try_for_each(|line| sender.send(line))
            });
        }
        Ok(Self { process, lines, library: library.to_owned(), doing: "was loaded".to_owned() })
    }

    /// What the library says of itself, and its hash.
    pub fn info(&mut self) -> Result<(PluginInfo, String), Error> {
        match self.next()? {
            Line::Plugin { info, sha256 } => Ok((serde_json::from_value(info)?, sha256)),
            Line::Refused(why) => Err(Error::Refused(plain(&why).into_owned())),
            _ => Err(self.garbled()),
        }
    }

    /// What its models can do, in words, by kind.
    pub fn able(&mut self) -> Result<HashMap<String, Vec<String>>, Error> {
        let mut all = HashMap::new();
        loop {
            match self.next()? {
                Line::Able { kind, able } => drop(all.insert(kind, able)),
                Line::End => return Ok(all),
                _ => return Err(self.garbled()),
            }
        }
    }

    /// Prints every finding as it comes; gives how many properties do not hold.
    pub fn findings(&mut self) -> Result<usize, Error> {
        let mut failed = 0;
        let mut component = String::new();
        loop {
            match self.next()? {
                Line::Begin { kind, property } => self.doing = format!("was held to \"{property}\" ({kind})"),
                Line::End => return Ok(failed),
                Line::Finding(finding) => {
                    let of = format!("{}  {}", finding.interface, finding.kind);
                    if of != component {
                        say!();
                        say!("{of}");
                        component = of;
                    }
                    match finding.verdict {
                        Verdict::Passed => say!("  pass  {}", finding.property),
                        Verdict::Skipped { why } => say!("  skip  {} ({why})", finding.property),
                        Verdict::Failed { message, counterexample } => {
                            failed += 1;
                            say!("  FAIL  {}: {message}", finding.property);
                            for line in counterexample.iter().flat_map(|text| text.lines()) {
                                say!("        {line}");
                            }
                        }
                    }
                }
                Line::Plugin { .. } | Line::Refused(_) | Line::Able { .. } => return Err(self.garbled()),
            }
        }
    }

    fn next(&mut self) -> Result<Line, Error> {
        self.lines.recv_timeout(PATIENCE).map_err(|error| {
            let (library, doing) = (self.library.clone(), self.doing.clone());
            match error {
                RecvTimeoutError::Timeout => Error::Slow { library, doing, patience: PATIENCE },
                RecvTimeoutError::Disconnected => match self.process.wait() {
                    Ok(status) => Error::Crashed { library, doing, status },
                    Err(error) => Error::system("tell how the plugin's process ended", error),
                },
            }
        })
    }

    fn garbled(&self) -> Error {
        Error::Garbled(self.library.clone())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; a zombie is all that could be left.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
