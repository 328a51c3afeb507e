//! The conformance suites see what they are meant to see: components that break one property each fail that one, and
//! those that break none pass.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use txray_conformance::{Finding, Observer, Settings, Verdict, check};
use txray_host::Registry;
use txray_plugin::abi;
use txray_tests::{c_plugin, rust_example, rust_plugin};

/// Remembers what it was told, in order.
#[derive(Default)]
struct Log(Vec<String>);

impl Observer for Log {
    fn begin(&mut self, interface: &str, kind: &str, property: &str) {
        self.0.push(format!("begin {interface} {kind} {property}"));
    }
    fn end(&mut self, Finding { interface, kind, property, .. }: &Finding) {
        self.0.push(format!("end {interface} {kind} {property}"));
    }
}

/// What is found of a library's components.
fn findings(path: &Path) -> Vec<Finding> {
    let mut registry = Registry::new();
    registry.load(path, None).unwrap();
    let mut log = Log::default();
    let findings = check(&registry, &registry.plugins()[0], &Settings::default(), &mut log);
    let told = findings.iter().flat_map(|Finding { interface, kind, property, .. }| {
        ["begin", "end"].map(|when| format!("{when} {interface} {kind} {property}"))
    });
    assert_eq!(log.0, told.collect::<Vec<_>>());
    findings
}

/// The failures by component, with the messages; every component is there.
fn failures(findings: &[Finding]) -> BTreeMap<&str, Vec<(&str, &str)>> {
    let mut failures: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for finding in findings {
        let of_component = failures.entry(&finding.kind).or_default();
        if let Verdict::Failed { message, .. } = &finding.verdict {
            of_component.push((finding.property.as_str(), message.as_str()));
        }
    }
    failures
}

/// What is broken shows in properties that follow, too.
const SHOWS_ELSEWHERE: [&str; 4] = [
    "writes every output",
    "gives the most active neurons in order",
    "reads a document the same whatever is beside it",
    "predicts at a token the same whatever is beside",
];

/// Of these findings, each component named fails just the property beside it, with a message that has those words in it.
#[track_caller]
fn assert_failures(findings: &[Finding], expected: &[(&str, &str, &str)]) {
    let failures = failures(findings);
    for (kind, of_kind) in &failures {
        let expected = expected.iter().find(|(name, ..)| name == kind);
        match (&of_kind[..], expected) {
            ([], None) => {}
            ([(property, message), others @ ..], Some((_, wanted, words)))
                if others.is_empty() || SHOWS_ELSEWHERE.contains(wanted) =>
            {
                assert_eq!(property, wanted, "{kind}: {message}");
                assert!(message.contains(words), "{kind}: {message}");
            }
            _ => panic!("{kind} fails {of_kind:#?}, and should {expected:?}"),
        }
    }
    let unmet = expected.iter().find(|(kind, ..)| !failures.contains_key(kind));
    assert_eq!(unmet, None, "there is no such component");
}

/// What is found of the components of `broken`, which is checked once.
fn broken() -> &'static [Finding] {
    static FOUND: OnceLock<Vec<Finding>> = OnceLock::new();
    FOUND.get_or_init(|| findings(&rust_plugin("broken")))
}

/// Those of one interface.
fn broken_of(interface: &str) -> Vec<Finding> {
    // A test of its own is about that one.
    let meant = |finding: &&Finding| finding.interface == interface && finding.kind != "forgetful";
    broken().iter().filter(meant).cloned().collect()
}

#[test]
fn each_broken_metric_fails_the_property_it_breaks() {
    assert_failures(
        &broken_of(abi::METRIC),
        &[
            ("off-by-one", "writes every output", "row 0 was not written"),
            ("one-row-short", "writes every output", "row 3 was not written"),
            ("needs-rows", "takes an empty batch", "there is nothing to compare"),
            ("needs-company", "takes a batch of one row", "one row is no comparison"),
            ("impatient", "answers what it is asked", "out of range for slice of length 24"),
            ("no-number", "is a number where both sides prefer every feature", "row 0 is NaN"),
            ("panics", "answers what it is asked", "there are rows"),
            ("panics-in-thread", "answers what it is asked", "there are rows"),
            ("not-symmetric", "is symmetric, as it claims", "with the sides exchanged"),
            ("not-identity", "is 0 from a distribution to itself, as it claims", "is 0.001"),
            ("unbounded", "is between 0 and 1, as it claims", "row 0 is "),
            ("no-triangle", "keeps the triangle, as it claims", "by way of the middle one"),
            ("no-affinity", "makes an affinity of 1 - d², as it claims", "has the eigenvalue -"),
            ("one-sided", "makes an affinity of 1 - d², as it claims", "the other way"),
            ("never-close", "makes an affinity of 1 - d², as it claims", "to itself, 1 - d² is 0.75"),
            ("neighbours", "gives a row the same whatever rows are beside it", "cut at row 1"),
            ("by-thread", "gives the same from many threads at once", "beside other threads"),
            ("by-host-threads", "gives the same on however many threads", "on 4 threads in place of 1"),
            ("by-numbers", "does not depend on how features are numbered", "numbered anew"),
            ("ignores-options", "refuses options that are wrong, and names them", "no-such-option"),
            ("leaks", "keeps nothing once it is ended", "resident memory grew"),
            ("slow-to-end", "is made and ended quickly", "more than 50ms"),
        ],
    );
}

#[test]
fn each_broken_metric_in_c_fails_the_property_it_breaks() {
    for (name, property, words) in [
        ("writes_past", "writes nothing but its outputs", "it wrote to row 1"),
        ("changes_inputs", "leaves its inputs alone", "after the call its input was"),
        ("silent_refusal", "says why it refuses options", "gave no reason"),
        ("strange_claim", "claims what is known", "`round`"),
        ("short_table", "can be made", "its table of txray.metric/1 has"),
        ("null_function", "can be made", "lacks a function"),
        ("null_component", "can be made", "is null"),
        ("silent_failure", "answers what it is asked", "did not say why"),
        ("untouched", "writes every output", "row 0 was not written"),
    ] {
        assert_failures(&findings(&c_plugin(name)), &[("plain", property, words)]);
    }
}

/// What lasts from call to call shows in every property that calls twice, so others may fail too.
#[test]
fn a_metric_whose_calls_are_not_alone_is_found_out() {
    let property = "gives the same whatever it was asked before";
    for (found, kind) in [(broken(), "forgetful"), (&findings(&c_plugin("keeps_pointer")), "plain")] {
        let failures = &failures(found)[kind];
        assert!(failures.iter().any(|(name, _)| *name == property), "{kind}: {failures:?}");
    }
}

#[test]
fn each_broken_pruner_fails_the_property_it_breaks() {
    assert_failures(
        &broken_of(abi::PRUNER),
        &[
            ("by-place", "does not depend on the order of the neurons", "in the opposite order"),
            ("by-everything", "does not depend on columns that it does not know, or on their order", "and two more"),
            ("presumptuous", "takes neurons without columns, or says what it needs", "panicked"),
            ("selective", "writes every output", "was given no score"),
        ],
    );
}

#[test]
fn each_broken_source_fails_the_property_it_breaks() {
    assert_failures(
        &broken_of(abi::SOURCE),
        &[
            ("wakes-up", "stays at its end", "it gave another batch"),
            ("ragged", "gives batches that fit together", "observation 2 is of neuron 3 of 3"),
            ("restless", "reads the same every time", "made a second time, its batch 0 was"),
        ],
    );
}

#[test]
fn each_broken_sink_fails_the_property_it_breaks() {
    assert_failures(
        &broken_of(abi::SINK),
        &[
            ("silent", "writes a report, and leaves the run as it was", "it wrote no file"),
            ("vandal", "writes a report, and leaves the run as it was", "it changed manifest.json"),
            ("numbered", "writes the same bytes every time", "differs in report.txt"),
            ("careless", "fails with a reason where it cannot write", "it reported success"),
        ],
    );
}

#[test]
fn each_broken_model_fails_the_property_it_breaks() {
    assert_failures(
        &broken_of(abi::MODEL),
        &[
            ("unseeded", "draws its weights from the seed", "the same bytes"),
            ("gullible", "refuses a checkpoint that is not whole", "it loaded an empty directory"),
            ("sociable", "reads a document the same whatever is beside it", "reads otherwise alone"),
            ("hasty", "reads the same on however many threads", "on 4 threads"),
            ("backwards", "gives the most active neurons in order", "it gave"),
            ("excessive", "adds up what it reads", "the sum of h² of neuron"),
            ("rounding", "adds to the moments the same whatever documents are beside", "to other bits"),
            ("stateless", "carries its state from call to call", "cut after"),
            ("amnesiac", "carries its state from call to call", "a copy of a state is another state"),
            ("silent", "keeps by its rules and by every sign what it reads", "by the rule `all`"),
            ("positive", "keeps by its rules and by every sign what it reads", "Negative"),
            ("unmasked", "holds neurons to the values of a mask", "is held to"),
            ("free", "predicts otherwise under a mask that holds every neuron", "changes no loss"),
            ("masquerading", "names itself in the `config.json` of a checkpoint", "Some(\"lookup\")"),
            ("contrary", "holds most probable what it predicts as it reads", "it predicts token 7"),
            ("leader", "predicts at a token the same whatever is beside", "otherwise alone"),
            ("idle", "says what it can be asked for", "its tasks are []"),
            ("boastful", "describes itself once it has weights", "before it had weights it said"),
            ("modest", "predicts every token that follows another", "it predicted"),
            ("unsummed", "predicts every token that follows another", "add up to"),
            ("dull", "learns what follows what", "its loss was 2"),
            (
                "endless",
                "ends after its epochs, and goes on for more as from the beginning or refuses to",
                "it is not done after epoch 1",
            ),
            ("restless", "refuses to go on with what is not there, or another text", "from an empty directory"),
        ],
    );
}

#[test]
fn plugins_that_keep_the_rules_pass() {
    let plugins =
        [rust_plugin("energy"), rust_plugin("everything"), c_plugin("total_variation"), c_plugin("remembers")];
    let examples = ["kl", "bhattacharyya", "cosine", "jaccard", "wasserstein"].map(rust_example);
    for path in plugins.into_iter().chain(examples) {
        let found = findings(&path);
        assert_failures(&found, &[]);
        // Elsewhere memory is not looked at.
        if cfg!(target_os = "linux") {
            // One in C has no option that says how many epochs there are.
            let passed = |finding: &&Finding| finding.verdict == Verdict::Passed || finding.kind == "remembers";
            assert_eq!(found.iter().find(|finding| !passed(finding)), None);
        }
    }
}
