//! Plugins that break a rule, one each, and the words the user reads. Whatever a plugin does short of corrupting
//! memory, the process lives.

use serde_json::json;
use txray_conformance::strategies::Pairs;
use txray_host::Registry;
use txray_plugin::{Error, ExactSum, Fault, Host};
use txray_tests::{c_plugin, path};

use crate::{distances, loaded, metric, refused};

/// Loading it fails with a message that begins with its path and goes on so.
#[track_caller]
fn assert_not_taken(name: &str, message: &str) {
    let path = c_plugin(name);
    let error = Registry::new().load(&path, None).unwrap_err().to_string();
    assert_eq!(error, format!("{}{message}", path.display()));
}

/// Making its metric fails so, after the metric's name and path.
#[track_caller]
fn assert_not_made(name: &str, message: &str) {
    let path = c_plugin(name);
    let error = refused(loaded(&path).metric("plain", &json!({}), &Host::detached()));
    assert_eq!(error, Error::failed(format!("`plain` of plain ({}): {message}", path.display())));
}

/// Calling its metric fails so, after the metric's name and path.
#[track_caller]
fn assert_call_fails(name: &str, message: &str) {
    let path = c_plugin(name);
    let metric = metric(&loaded(&path), "plain", json!({}));
    let error = distances(&*metric, &Pairs::example().batch()).unwrap_err();
    assert_eq!(error, Error::failed(format!("`plain` of plain ({}): {message}", path.display())));
}

#[test]
fn a_missing_file() {
    let error = Registry::new().load(&path("plugins/nowhere.so"), None).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot read {}: ", path("plugins/nowhere.so").display())), "{error}");
}

#[test]
fn a_file_that_is_no_library() {
    let path = path("plugins/c/plain.h");
    let error = Registry::new().load(&path, None).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot load {} as a dynamic library: ", path.display())), "{error}");
}

#[test]
fn a_library_that_is_no_plugin() {
    assert_not_taken(
        "no_entry",
        " is no txray plugin: it has no symbol `txray_plugin_v1`, which `txray_plugin::plugin!` exports (in C, see txray.h)",
    );
}

#[test]
fn wrong_magic() {
    assert_not_taken("wrong_magic", " is no txray plugin: its magic is 0x0000000000001234, not 0x676c707961727874");
}

#[test]
fn another_major() {
    assert_not_taken(
        "other_major",
        " speaks version 2 of the plugin boundary, and this txray speaks version 1: \
         rebuild it with a txray-plugin of that version",
    );
}

#[test]
fn no_table() {
    assert_not_taken("null_plugin", " is no txray plugin: its entry gave no table");
}

#[test]
fn a_table_too_small() {
    assert_not_taken("short_plugin", " is no txray plugin: its table has 32 bytes of 48");
}

#[test]
fn no_query() {
    assert_not_taken("null_query", " is no txray plugin: its table lacks the function `query`");
}

#[test]
fn a_description_that_is_no_json() {
    assert_not_taken(
        "info_not_json",
        " is no txray plugin: its description does not read: expected value at line 1 column 1",
    );
}

#[test]
fn a_description_that_is_no_text() {
    assert_not_taken("info_not_utf8", " is no txray plugin: its description is not UTF-8");
    assert_not_taken("info_null", " is no txray plugin: its description is null");
}

#[test]
fn a_description_that_is_too_long_or_too_deep() {
    assert_not_taken("info_endless", " is no txray plugin: its description has 4.0 EiB, and 16.0 MiB is the most");
    let error = Registry::new().load(&c_plugin("info_deep"), None).unwrap_err().to_string();
    assert!(error.contains("its description does not read: recursion limit exceeded"), "{error}");
}

#[test]
fn names_that_could_not_stand_in_a_table() {
    let rule = "but names have letters (a to z), digits, `.`, `_` and `-`, of which `.` and `-` do not come first, and 64 \
                characters at most";
    let cases: [(&str, String); 5] = [
        ("odd_name", format!(" is no txray plugin: it is called `a\\u{{1b}}[31m`, {rule}")),
        ("odd_kind", format!(" is no txray plugin: a component of txray.metric/1 is called `../x`, {rule}")),
        ("odd_version", " is no txray plugin: its version is `1\\n2`".to_owned()),
        ("odd_device", format!(" is no txray plugin: a device of `plain` is called `a b`, {rule}")),
        ("same_kinds", " is no txray plugin: two of its components of txray.metric/1 are called `plain`".to_owned()),
    ];
    for (plugin, message) in cases {
        assert_not_taken(plugin, &message);
    }
}

#[test]
fn an_interface_that_is_not_supplied() {
    assert_not_taken(
        "unsupplied_interface",
        " is no txray plugin: it names a component of txray.pruner/1, but does not supply that interface",
    );
}

#[test]
fn a_table_of_an_interface_too_small() {
    assert_not_made("short_table", "its table of txray.metric/1 has 24 bytes of 32");
}

#[test]
fn a_function_that_is_not_there() {
    assert_not_made("null_function", "its table of txray.metric/1 lacks a function");
}

#[test]
fn a_component_that_is_not_there() {
    assert_not_made("null_component", "it was made, but is null");
}

#[test]
fn a_component_that_was_only_half_made_is_not_ended() {
    assert_not_made("failed_create", "only half was made");
}

#[test]
fn a_failure_without_words() {
    assert_call_fails("silent_failure", "it failed with status 2 and did not say why");
}

#[test]
fn a_status_that_is_not_defined_and_words_that_are_not_utf8() {
    assert_call_fails("unknown_status", "worn \u{fffd} out");
}

#[test]
fn a_pointer_that_is_no_json_pointer_is_shown_as_it_is() {
    let error = refused(loaded(&c_plugin("bad_pointer")).metric("plain", &json!({}), &Host::detached()));
    assert_eq!(error.fault(), Fault::Invalid);
    assert_eq!(error.to_string(), "option `été`: too warm");
}

#[test]
fn results_left_as_they_were_are_no_error() {
    let metric = metric(&loaded(&c_plugin("untouched")), "plain", json!({}));
    let mut out = [7.0, f64::NAN];
    metric.distances(&Host::detached(), &Pairs::example().batch(), &mut out).unwrap();
    assert_eq!(out[0], 7.0);
    assert!(out[1].is_nan());
}

#[test]
fn batches_of_a_source() {
    let path = c_plugin("bad_source");
    let registry = loaded(&path);
    let source = |fault: &str| registry.source("bad-source", &json!({ "fault": fault }), &Host::detached()).unwrap();
    let next = |fault: &str| source(fault).next(&Host::detached()).unwrap_err();
    let error = |message: &str| Error::failed(format!("`bad-source` of bad-source ({}): {message}", path.display()));

    assert_eq!(next("g"), error("it gave a batch with a malformed string table"));
    assert_eq!(next("z"), error("it gave a batch of the wrong size"));
    assert_eq!(next("n"), error("it gave a batch with a null or misaligned pointer"));
    assert_eq!(next("0"), error("it gave a batch at a null or misaligned pointer"));
    // A plugin that was built before there were exact moments.
    let batch = source("f").next(&Host::detached()).unwrap().unwrap();
    assert_eq!(batch.moments[0].sum, [1.0, -0.5, 0.25].map(ExactSum::of));
    assert_eq!(next("2"), error("it gave more than one batch in a call"));
    assert_eq!(next("m"), error("it gave a batch with a null or misaligned pointer"));
    let most = "268435456 is the most at once";
    let huge = "4611686018427387904 values (32.0 EiB)";
    assert_eq!(next("h"), error(&format!("it gave a batch with a list of {huge}, and {most}")));
    assert_eq!(next("w"), error("it gave a batch with 1 offsets, where 18446744073709551615 belong"));
    assert_eq!(next("L").message(), error("(a text of 4.0 EiB)").message());

    let describe = |fault: &str| source(fault).describe().unwrap_err().to_string();
    let wrong = describe("d");
    assert!(wrong.contains("its description does not read: invalid type: integer `1`"), "{wrong}");
    for (fault, words) in [
        ("s", "it gave no description"),
        ("u", "its description is not UTF-8"),
        ("p", "its description is a null or misaligned pointer"),
        ("l", "its description has 4.0 EiB, and 16.0 MiB is the most"),
    ] {
        assert!(describe(fault).ends_with(words), "{}", describe(fault));
    }
}
