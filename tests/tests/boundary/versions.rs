//! Plugins that were built with another version of the header than this host, and hosts of another version than a plugin: each
//! reads as much as it knows, and no further than the other's structs reach.

use serde_json::json;
use txray_conformance::strategies::Pairs;
use txray_plugin::{ExactSum, Host};
use txray_tests::{c_plugin_with, path};

use crate::{distances, loaded, metric, refused};

#[test]
fn plugins_of_the_first_header_of_todays_and_of_one_to_come_load_and_run() {
    let first = format!("-I{}", path("plugins/c/v1.0").display());
    for arguments in [&[&*first][..], &[], &["-DFUTURE"]] {
        let library = c_plugin_with("versions", arguments);
        let registry = loaded(&library);
        let pairs = Pairs::new(&["a", "b"], &[vec![[(1, 3.0), (1, 1.0)], [(1, 1.0), (1, 1.0)]]]);
        let found = distances(&*metric(&registry, "old-l1", json!({})), &pairs.batch()).unwrap();
        assert_eq!(found, [0.5], "{arguments:?}");

        let mut source = registry.source("old-source", &json!({}), &Host::detached()).unwrap();
        let batch = source.next(&Host::detached()).unwrap().unwrap();
        assert_eq!((batch.documents, batch.neuron, batch.activation), (vec![7], vec![1], vec![0.5]), "{arguments:?}");
        assert_eq!(batch.moments[0].sum, [-0.25, 0.5].map(ExactSum::of), "{arguments:?}");
    }
}

#[test]
fn a_model_of_another_revision_is_told_before_it_is_made() {
    // With the first header, whose models told none; of one to come; and of one whose table is shorter.
    let first = format!("-I{}", path("plugins/c/v1.0").display());
    for (arguments, told) in [
        (&[&*first][..], "it speaks an early revision of txray.model/0, and this is 2"),
        (&[], "it speaks revision 3 of txray.model/0, and this is 2"),
        (&["-DSHORTER"], "it speaks revision 3 of txray.model/0, and this is 2"),
    ] {
        let registry = loaded(&c_plugin_with("other_revision", arguments));
        let error = refused(registry.model("plain", &json!({}), &Host::detached()));
        assert!(error.to_string().ends_with(told), "{error}");
    }
}
