//! The metrics that authors are shown, as libraries: they give the distances that SciPy computes.

use std::fmt::Write;

use serde_json::{Value, json};
use txray_plugin::{Error, Host};
use txray_tests::rust_example;

use crate::reference::Reference;
use crate::{loaded, metric, refused};

/// The file that Wasserstein's distance reads: where the reference has its features.
fn positions(reference: &Reference) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = |lines: &mut String, (name, at)| writeln!(lines, "{name}\t{at}").unwrap();
    let mut lines = String::new();
    reference.names.iter().zip(&reference.positions).for_each(|feature| line(&mut lines, feature));
    std::fs::write(&file, lines).unwrap();
    file
}

#[test]
fn distances_are_those_of_scipy() {
    let reference = Reference::read();
    let positions = positions(&reference);
    let smoothed = json!({ "base": std::f64::consts::E, "smoothing": reference.smoothing });
    for (kind, options, name) in [
        ("kl", json!({}), "kl"),
        ("kl", smoothed, "kl, smoothed"),
        ("bhattacharyya", json!({}), "bhattacharyya"),
        ("cosine", json!({}), "cosine"),
        ("jaccard", json!({}), "jaccard"),
        ("wasserstein", json!({ "positions": positions.path() }), "wasserstein"),
    ] {
        let registry = loaded(&rust_example(kind));
        println!("{name}: {:e} at most", reference.hold(name, &*metric(&registry, kind, options)));
    }
}

#[test]
fn options_that_are_wrong_are_told() {
    let error = |kind, options: Value| {
        let registry = loaded(&rust_example(kind));
        refused(registry.metric(kind, &options, &Host::detached()))
    };
    assert_eq!(error("kl", json!({ "base": 1.0 })), Error::at("/base", "must be a number above 1, not 1"));
    let negative = error("kl", json!({ "smoothing": -0.5 }));
    assert_eq!(negative, Error::at("/smoothing", "must be a number of at least 0, not -0.5"));

    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for (text, message) in [
        ("a\t1\nb\n", "line 2: expected a feature, a tab and a number"),
        ("a\tinf\n", "line 1: expected a feature, a tab and a number"),
        ("a\t1\na\t2\n", "line 2: `a` has a position already"),
    ] {
        std::fs::write(&file, text).unwrap();
        let found = error("wasserstein", json!({ "positions": path }));
        assert_eq!(found, Error::at("/positions", format!("{path}, {message}")));
    }
}
