//! Runs the suites, property after property, and gathers what is found.

use std::cell::Cell;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use txray_host::{ComponentInfo, FindError, Origin, Registered, Registry};
use txray_plugin::{Host, Threads, abi};

use crate::{metric, model, options, pruner, sink, source};

/// How thorough a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Cases that a property is tried on. What is costly tries fewer.
    pub cases: u32,
    /// Seed of all that is drawn.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cases: 64, seed: 1111 }
    }
}

/// The verdict on one property of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Such as `txray.metric/1`.
    pub interface: String,
    /// The name by which pipelines call the component.
    pub kind: String,
    /// The property, a sentence about the component.
    pub property: String,
    /// Whether it holds.
    pub verdict: Verdict,
}

/// Whether a property holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No case was found where it does not hold.
    Passed,
    /// A case was found where it does not hold.
    Failed {
        /// How it was broken, in words for the plugin's author.
        message: String,
        /// The smallest input found that breaks it; `None` for properties without drawn input.
        counterexample: Option<String>,
    },
    /// It could not be tried.
    Skipped {
        /// The reason, in words for the plugin's author.
        why: String,
    },
}

/// Is told of every property while a plugin is checked. A plugin may end the process: the last `begin` then tells at
/// which property that was.
pub trait Observer {
    /// A property is about to be tried.
    fn begin(&mut self, interface: &str, kind: &str, property: &str);
    /// The property of the last `begin` was tried.
    fn end(&mut self, finding: &Finding);
}

/// Holds every component of one plugin of the registry to the suite of its interface.
pub fn check(
    registry: &Registry,
    plugin: &Registered,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for component in &plugin.info.components {
        let mut bench = Bench { registry, component, settings: *settings, observer: &mut *observer, findings };
        bench.component(plugin);
        findings = bench.findings;
    }
    findings
}

/// Holds the components of one interface to their suite, and panics with a report where one fails. For the macros.
pub fn assert_conforms(plugin: fn() -> &'static abi::Plugin, interface: &str) {
    struct Nobody;
    impl Observer for Nobody {
        fn begin(&mut self, _: &str, _: &str, _: &str) {}
        fn end(&mut self, _: &Finding) {}
    }
    let mut registry = Registry::new();
    if let Err(error) = registry.add(plugin(), Origin::BuiltIn) {
        panic!("{error}");
    }
    let [plugin] = registry.plugins() else { panic!("it was just added, and alone") };
    let mut findings = Vec::new();
    let components = plugin.info.components.iter().filter(|component| component.interface == interface);
    for component in components {
        let settings = Settings::default();
        let mut bench = Bench { registry: &registry, component, settings, observer: &mut Nobody, findings };
        bench.component(plugin);
        findings = bench.findings;
    }
    assert!(!findings.is_empty(), "{} has no component of {interface}", plugin.info.name);
    let report = report(&findings);
    assert!(report.is_empty(), "{report}");
}

/// The failures as text; empty where there are none.
pub(crate) fn report(findings: &[Finding]) -> String {
    let mut report = String::new();
    for Finding { interface, kind, property, verdict } in findings {
        let Verdict::Failed { message, counterexample } = verdict else { continue };
        let _ = write!(report, "\n`{kind}` ({interface}) should keep this, but does not: {property}\n    {message}\n");
        if let Some(counterexample) = counterexample {
            let _ = writeln!(report, "    smallest input found: {counterexample}");
        }
    }
    report
}

pub(crate) type Outcome = Result<(), Failure>;

/// Why a property did not pass.
#[derive(Debug)]
pub(crate) enum Failure {
    Broken { message: String, counterexample: Option<String> },
    Skipped(String),
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Ok(()) => Self::Passed,
            Err(Failure::Broken { message, counterexample }) => Self::Failed { message, counterexample },
            Err(Failure::Skipped(why)) => Self::Skipped { why },
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Broken { message, counterexample: None }
    }
}

/// How many smaller cases are tried where one failed, and for how long.
const SHRINKS: u32 = 512;
const SHRINKING: Duration = Duration::from_secs(5);

impl Settings {
    /// Tries a property on drawn cases, and finds a small one that breaks it.
    pub(crate) fn for_all<S: Strategy>(
        &self,
        strategy: S,
        property: impl Fn(&S::Value) -> Result<(), String>,
    ) -> Outcome {
        let config = Config {
            cases: self.cases,
            failure_persistence: None,
            // proptest prints a message where it stops shrinking by its own limit, so the limits are kept below.
            max_shrink_iters: u32::MAX - 1,
            ..Config::default()
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let failed = Cell::new(None);
        let tried = Cell::new(0);
        let case = |value| {
            let begun: Option<Instant> = failed.get();
            tried.set(tried.get() + u32::from(begun.is_some()));
            // What seems to pass is not made smaller: this ends the shrinking.
            if tried.get() > SHRINKS || begun.is_some_and(|begun| begun.elapsed() > SHRINKING) {
                return Ok(());
            }
            property(&value).map_err(|message| {
                failed.set(begun.or(Some(Instant::now())));
                TestCaseError::fail(message)
            })
        };
        TestRunner::new_with_rng(config, rng).run(&strategy, case).map_err(|error| match error {
            TestError::Abort(reason) => Failure::from(reason.to_string()),
            TestError::Fail(reason, value) => {
                Failure::Broken { message: reason.to_string(), counterexample: Some(format!("{value:?}")) }
            }
        })
    }

    /// As these, with fewer cases.
    pub(crate) fn at_most(self, cases: u32) -> Self {
        Self { cases: self.cases.min(cases), ..self }
    }
}

/// One component on trial, and what was found of it.
pub(crate) struct Bench<'a> {
    registry: &'a Registry,
    component: &'a ComponentInfo,
    pub(crate) settings: Settings,
    observer: &'a mut dyn Observer,
    findings: Vec<Finding>,
}

impl<'a> Bench<'a> {
    /// Runs the suite of the component's interface, one at a time in a process: the memory of another would be counted as
    /// this one's.
    fn component(&mut self, plugin: &Registered) {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let ComponentInfo { interface, kind, .. } = self.component;
        if let Ok((found, _)) = self.registry.find(interface, kind)
            && !std::ptr::eq(found, plugin)
        {
            let why = format!("`{kind}` of {} ({}) stands in for it", found.info.name, found.origin);
            self.property("can be found", |_| Err(Failure::Skipped(why)));
            return;
        }
        match interface.as_str() {
            abi::METRIC => metric::hold(self),
            abi::PRUNER => pruner::hold(self),
            abi::SOURCE => source::hold(self),
            abi::SINK => sink::hold(self),
            abi::MODEL => model::hold(self),
            other => {
                let why = format!("there is no suite for {other}");
                self.property("keeps what its interface promises", |_| Err(Failure::Skipped(why)));
            }
        }
    }

    /// Tries one property; false where it was broken.
    pub(crate) fn property(&mut self, name: &'static str, property: impl FnOnce(Settings) -> Outcome) -> bool {
        let ComponentInfo { interface, kind, .. } = self.component;
        self.observer.begin(interface, kind, name);
        let verdict = Verdict::from(property(self.settings));
        let holds = !matches!(verdict, Verdict::Failed { .. });
        let finding = Finding { interface: interface.clone(), kind: kind.clone(), property: name.to_owned(), verdict };
        self.observer.end(&finding);
        self.findings.push(finding);
        holds
    }

    /// The names of what a metric claims.
    pub(crate) fn claims(&self) -> &'a [String] {
        &self.component.claims
    }

    /// Tries the property that the component can be made, and gives its maker if so.
    pub(crate) fn maker<T: ?Sized>(&mut self, make: Make<T>) -> Option<Maker<'a, T>> {
        let schema = &self.component.options;
        let mut maker =
            Maker { registry: self.registry, kind: &self.component.kind, schema, make, options: Value::Null };
        let mut made = None;
        // Made within the property, so that the observer knows where it was if making it ends the process.
        self.property("can be made", |_| {
            let mut refused = String::new();
            made = options::candidates(schema).into_iter().find(|options| match maker.with(options) {
                Ok(_) => true,
                Err(error) => {
                    refused = format!("with {options}: {}", error.message());
                    false
                }
            });
            match made {
                Some(_) => Ok(()),
                None => Err(Failure::from(format!(
                    "{refused} (if it is right to refuse these options, put an `examples` on the schema of the options \
                     that need one)"
                ))),
            }
        });
        maker.options = made?;
        Some(maker)
    }
}

/// How the registry makes a component of some interface.
pub(crate) type Make<T> = fn(&Registry, &str, &Value, &Host<'_>) -> Result<Box<T>, FindError>;

/// Makes the component on trial, as often as properties need a fresh one.
pub(crate) struct Maker<'a, T: ?Sized> {
    registry: &'a Registry,
    kind: &'a str,
    make: Make<T>,
    /// JSON Schema of its options.
    pub(crate) schema: &'a Value,
    /// Options that it has taken once.
    pub(crate) options: Value,
}

impl<T: ?Sized> Maker<'_, T> {
    /// Makes it with options that it may refuse.
    pub(crate) fn with(&self, options: &Value) -> Result<Box<T>, txray_plugin::Error> {
        (self.make)(self.registry, self.kind, options, &Host::new(&Threads(1))).map_err(|error| match error {
            FindError::Refused(error) => error,
            FindError::Unknown(_) | FindError::Device(_) => {
                txray_plugin::Error::failed("the registry does not find it")
            }
            FindError::Ambiguous(origins) => {
                let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
                txray_plugin::Error::failed(format!("more than one library supplies it: {}", origins.join(", ")))
            }
        })
    }

    /// What pipelines call it by.
    pub(crate) fn kind(&self) -> &str {
        self.kind
    }

    /// Makes it with [`Maker::options`].
    pub(crate) fn fresh(&self) -> Result<Box<T>, String> {
        self.with(&self.options).map_err(|error| format!("it was made before, but now: {error}"))
    }
}
