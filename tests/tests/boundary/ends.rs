//! Plugins that take the process down, each in a process of its own: it is named, and no end of theirs looks like success.

use std::os::unix::process::ExitStatusExt;

use serde_json::json;
use txray_conformance::strategies::Pairs;
use txray_host::Registry;
use txray_plugin::Host;
use txray_tests::{c_plugin, child};

use crate::{distances, loaded, metric};

const CHILD: &str = "TXRAY_TESTS_ENDS_BY";

/// Makes a metric that ends the process in the way that the environment names, and asks it; `false` where it names none.
fn ends() -> bool {
    let Ok(by) = std::env::var(CHILD) else { return false };
    let registry = match &by[..] {
        "load" => loaded(&c_plugin("crashes")),
        _ => loaded(&c_plugin("ends_process")),
    };
    let metric = metric(&registry, "ends", json!({ "by": by }));
    distances(&*metric, &Pairs::example().batch()).unwrap();
    drop(metric);
    if by == "x" {
        // Beyond every call.
        std::process::exit(0);
    }
    true
}

#[track_caller]
fn ended(test: &str, by: &str) -> (Option<i32>, Option<i32>, String) {
    let output = child(test, CHILD, by);
    (output.status.code(), output.status.signal(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn an_exit_in_a_call_is_a_failure_that_names_the_plugin() {
    if ends() {
        return;
    }
    let test = "ends::an_exit_in_a_call_is_a_failure_that_names_the_plugin";
    let said = |what: &str| (Some(1), None, format!("{what}\n"));
    for by in ["e", "E", "q"] {
        assert_eq!(ended(test, by), said("the plugin `ends` ended the process in its call of `distances`"), "{by}");
    }
    assert_eq!(ended(test, "c"), said("the plugin `ends` ended the process in its call of `create`"));
    assert_eq!(ended(test, "d"), said("the plugin `ends` ended the process in its call of `destroy`"));
    let in_thread = "the process was ended while the plugin `ends` was in its call of `distances`";
    assert_eq!(ended(test, "t"), said(in_thread));
    // Whoever ends the process beside a call, or a process that a plugin forked, means it.
    assert_eq!(ended(test, "x"), (Some(0), None, String::new()));
    assert_eq!(ended(test, "F"), (Some(0), None, String::new()));
}

#[test]
fn a_crash_in_a_call_names_the_plugin_and_remains_a_crash() {
    if ends() {
        return;
    }
    let test = "ends::a_crash_in_a_call_names_the_plugin_and_remains_a_crash";
    let crashes =
        [("s", 11, "SIGSEGV"), ("b", 7, "SIGBUS"), ("f", 8, "SIGFPE"), ("i", 4, "SIGILL"), ("a", 6, "SIGABRT")];
    for (by, signal, name) in crashes {
        let line = format!("the plugin `ends` crashed in its call of `distances` ({name})\n");
        assert_eq!(ended(test, by), (None, Some(signal), line), "{by}");
    }
    let in_thread = "the process crashed while the plugin `ends` was in its call of `distances` (SIGABRT)\n";
    assert_eq!(ended(test, "T"), (None, Some(6), in_thread.to_owned()));

    // Rust's runtime tells of the stack as before.
    let (_, signal, told) = ended(test, "o");
    let line = "the plugin `ends` crashed in its call of `distances` (SIGSEGV)\n";
    assert!(told.starts_with(line) && told.matches("the plugin").count() == 1, "{told}");
    assert!(told.contains("has overflowed its stack"), "{told}");
    assert_eq!(signal, Some(6));

    let (_, signal, told) = ended(test, "load");
    assert!(told.starts_with("the plugin `/") && told.ends_with("` crashed while it was loaded (SIGABRT)\n"), "{told}");
    assert_eq!(signal, Some(6));
}

#[test]
fn a_call_that_ended_leaves_nothing_behind() {
    // More than are kept at once, one after the other and beside each other.
    let registry: Registry = loaded(&c_plugin("untouched"));
    let metric = registry.metric("plain", &json!({}), &Host::detached()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..80 {
            scope.spawn(|| {
                for _ in 0..20 {
                    distances(&*metric, &Pairs::example().batch()).unwrap();
                }
            });
        }
    });
    if ends() {
        return;
    }
    let test = "ends::a_call_that_ended_leaves_nothing_behind";
    let in_thread = "the process crashed while the plugin `ends` was in its call of `distances` (SIGABRT)\n";
    assert_eq!(ended(test, "T"), (None, Some(6), in_thread.to_owned()));
}
