//! A panic of a plugin becomes an error that says where; the process lives, and nothing is printed.

use serde_json::{Value, json};
use txray_conformance::strategies::Pairs;
use txray_host::{Origin, Registry};
use txray_plugin::{Component, Fault, Host, MetricBatch, NoOptions, PreferenceMetric, Result};
use txray_tests::{rust_plugin, stderr_of_child};

use crate::{distances, loaded, metric, refused};

const CHILD: &str = "TXRAY_TESTS_CHILD";

/// The place of the first line of the source file that holds `text`.
fn place(file: &str, text: &str) -> String {
    let source = std::fs::read_to_string(txray_tests::path(file)).unwrap();
    let line = source.lines().position(|line| line.contains(text)).unwrap() + 1;
    format!("{file}:{line}")
}

/// Where the plugin panics, and what the error says after the metric's name.
fn cases() -> [(Value, String); 4] {
    let at = |text| place("plugins/panics/src/lib.rs", text);
    [
        (json!({ "in": "call" }), format!("panicked at tests/{}: row 2 is too far", at("panic!(\"row"))),
        (json!({ "in": "call-without-words" }), format!("panicked at tests/{}: no message", at("panic_any(17)"))),
        (json!({ "in": "call-twice" }), format!("panicked at tests/{}: no message", at("panic_any(PanicsAgain)"))),
        (
            json!({ "in": "thread" }),
            // The thread that called only says that another has panicked.
            format!(
                "a scoped thread panicked, after a thread panicked at tests/{}: the thread of the metric fell",
                at("the thread of the metric fell")
            ),
        ),
    ]
}

#[test]
fn of_a_library() {
    if std::env::var_os(CHILD).is_none() {
        assert_eq!(stderr_of_child("panics::of_a_library", CHILD), "");
        return;
    }
    let path = rust_plugin("panics");
    let registry = loaded(&path);
    let pairs = Pairs::example();
    for (options, message) in cases() {
        let metric = metric(&registry, "panics", options);
        let error = distances(&*metric, &pairs.batch()).unwrap_err();
        assert_eq!(error.fault(), Fault::Failed);
        assert!(
            error.message().starts_with(&format!("`panics` of panics ({}): panicked at ", path.display())),
            "{error}"
        );
        assert!(error.message().ends_with(&message), "{error}");
        // It can be asked again.
        assert_eq!(distances(&*metric, &pairs.batch()).unwrap_err(), error);
    }

    let error = refused(registry.metric("panics", &json!({ "in": "create" }), &Host::detached()));
    let place = place("plugins/panics/src/lib.rs", "no thanks");
    let message = format!("panicked at tests/{place}: no thanks: größer");
    assert_eq!(error.message(), format!("`panics` of panics ({}): {message}", path.display()));

    // Nobody is there to be told of these.
    for place in ["drop", "thread-alone"] {
        let metric = metric(&registry, "panics", json!({ "in": place }));
        assert_eq!(distances(&*metric, &pairs.batch()).unwrap(), [0.5; 2]);
        drop(metric);
    }
}

struct BuiltIn;

impl Component for BuiltIn {
    const KIND: &'static str = "built-in";
    const ABOUT: &'static str = "panics in a call";
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl PreferenceMetric for BuiltIn {
    fn distances(&self, _: &Host<'_>, _: &MetricBatch<'_>, _: &mut [f64]) -> Result<()> {
        panic!("linked in, and fallen")
    }
}

txray_plugin::components!(metrics = [BuiltIn]);

#[test]
fn of_a_built_in() {
    if std::env::var_os(CHILD).is_none() {
        let stderr = stderr_of_child("panics::of_a_built_in", CHILD);
        assert!(stderr.contains("the host's own"), "{stderr:?}");
        assert!(!stderr.contains("fallen"), "{stderr:?}");
        return;
    }
    let mut registry = Registry::new();
    registry.add(plugin(), Origin::BuiltIn).unwrap();
    let error = distances(&*metric(&registry, "built-in", json!({})), &Pairs::example().batch()).unwrap_err();
    let place = place("tests/boundary/panics.rs", "panic!(\"linked in");
    let message = format!("`built-in` of txray-tests (built in): panicked at tests/{place}: linked in, and fallen");
    assert_eq!(error.message(), message);

    // The host's panics go where they went before, though the host and this plugin share one standard library.
    std::panic::catch_unwind(|| panic!("the host's own")).unwrap_err();
}
