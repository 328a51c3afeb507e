//! Plugins that keep the rules.

use proptest::prelude::*;
use serde_json::json;
use txray_conformance::strategies::Pairs;
use txray_host::{FindError, Origin, PluginError, Registry};
use txray_metrics::{Hellinger, Hellinger2020, JensenShannon, MassShift, TotalVariation};
use txray_plugin::{Error, Fault, Host, Level, PreferenceMetric, abi};
use txray_tests::{Recorder, c_plugin, c_plugin_with, rust_plugin};

use crate::{distances, loaded, metric, refused};

/// Rows of 1 to 7 features, each side with at least one activation.
fn pairs() -> impl Strategy<Value = Pairs> {
    let side = || (0_u64..5, 1e-3_f64..1e3).prop_map(|(count, mean)| (count, count as f64 * mean));
    let entry = [side(), side()];
    let row = prop::collection::vec(entry, 1..8).prop_map(|mut row| {
        row[0] = row[0].map(|(count, mass)| (count + 1, mass + 0.5));
        row
    });
    let names = ["a", "b", "ç", "d", "e", "f", "g"];
    prop::collection::vec(row, 0..6).prop_map(move |rows| Pairs::new(&names, &rows))
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #[test]
    fn a_metric_in_c_equals_the_same_in_rust(pairs in pairs(), scale in 0.1_f64..10.0) {
        let registry = loaded(&c_plugin_once());
        let batch = pairs.batch();
        for (options, scale) in [(json!({}), 0.5), (json!({ "scale": scale }), scale)] {
            let expected = batch.rows().map(|row| scale * row.p.iter().zip(row.q).map(|(p, q)| (p - q).abs()).sum::<f64>());
            let found = distances(&*metric(&registry, "total-variation", options), &batch).unwrap();
            prop_assert_eq!(bits(&found), bits(&expected.collect::<Vec<_>>()));
        }
    }

    #[test]
    fn built_ins_give_the_same_bits_through_their_table_as_called_directly(pairs in pairs()) {
        let mut registry = Registry::new();
        registry.add(txray_metrics::plugin(), Origin::BuiltIn).unwrap();
        let direct: [(&str, &dyn PreferenceMetric); 5] = [
            ("hellinger", &Hellinger),
            ("hellinger-2020", &Hellinger2020),
            ("jensen-shannon", &JensenShannon),
            ("total-variation", &TotalVariation),
            ("mass-shift", &MassShift),
        ];
        for (kind, direct) in direct {
            let through = distances(&*metric(&registry, kind, json!({})), &pairs.batch()).unwrap();
            prop_assert_eq!(bits(&through), bits(&distances(direct, &pairs.batch()).unwrap()));
        }
    }
}

/// The total variation in C, compiled once for all cases.
fn c_plugin_once() -> std::path::PathBuf {
    static BUILT: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    BUILT.get_or_init(|| c_plugin("total_variation")).clone()
}

#[test]
fn a_third_party_metric_takes_its_options() {
    let registry = loaded(&rust_plugin("energy"));
    let pairs = Pairs::new(&["a", "b"], &[vec![[(1, 3.0), (1, 1.0)], [(1, 1.0), (1, 1.0)]]]);
    let value = |options| distances(&*metric(&registry, "energy", options), &pairs.batch()).unwrap();
    assert_eq!(value(json!({})), [0.5]);
    assert_eq!(value(json!({ "alpha": 2.0 })), [0.125]);
    assert_eq!(value(json!({ "alpha": 2 })), [0.125]);
}

#[test]
fn refused_options_are_named_by_their_pointer() {
    let (energy, c) = (loaded(&rust_plugin("energy")), loaded(&c_plugin("total_variation")));
    let error = |registry: &Registry, kind, options| refused(registry.metric(kind, &options, &Host::detached()));

    assert_eq!(error(&energy, "energy", json!({ "alpha": -1.0 })), Error::at("/alpha", "must be above 0, not -1"));
    assert_eq!(
        error(&energy, "energy", json!({ "alpha": "x" })),
        Error::at("/alpha", "invalid type: string \"x\", expected f64"),
    );
    assert_eq!(
        error(&energy, "energy", json!({ "alhpa": 1.0 })),
        Error::at("/alhpa", "unknown field `alhpa`, expected `alpha`"),
    );
    assert_eq!(error(&c, "total-variation", json!({ "scale": -2 })), Error::at("/scale", "must be a number above 0"));
    assert_eq!(
        error(&c, "total-variation", json!({ "scale": -2 })).to_string(),
        "option `scale`: must be a number above 0"
    );
}

#[test]
fn a_plugin_says_what_it_is() {
    let path = c_plugin("total_variation");
    let mut registry = Registry::new();
    let plugin = registry.load(&path, None).unwrap();
    assert_eq!((plugin.info.name.as_str(), plugin.info.version.as_str()), ("total-variation", "1.2.3"));
    let [component] = &plugin.info.components[..] else { panic!("{:?}", plugin.info) };
    assert_eq!(component.interface, abi::METRIC);
    assert_eq!(component.about, "half the L1 distance");
    assert_eq!(component.claims, ["symmetric", "identity", "bounded", "triangle"]);
    assert_eq!(component.options["properties"]["scale"]["type"], "number");
    assert!(matches!(&plugin.origin, Origin::Library { path: p, sha256 } if *p == path && sha256.len() == 64));

    let everything = loaded(&rust_plugin("everything"));
    let info = &everything.plugins()[0].info;
    let components: Vec<_> = info.components.iter().map(|c| (c.interface.as_str(), c.kind.as_str())).collect();
    assert_eq!(
        components,
        [
            (abi::METRIC, "union-length"),
            (abi::PRUNER, "by-column"),
            (abi::SOURCE, "replay"),
            (abi::SINK, "note"),
            (abi::MODEL, "lookup"),
        ]
    );
    assert_eq!(info.components[1].options["properties"]["column"]["description"], "The column's name.");
    assert_eq!(info.components[4].devices, ["cpu", "abacus"]);
}

#[test]
fn a_c_plugin_reaches_everything_that_the_host_offers() {
    let registry = loaded(&c_plugin("talks"));
    let metric = metric(&registry, "plain", json!({}));
    let (pairs, mut recorder, mut out) = (Pairs::example(), Recorder::default(), [0.0; 2]);
    metric.distances(&Host::new(&recorder), &pairs.batch(), &mut out).unwrap();
    assert_eq!(out, [Recorder::THREADS as f64; 2]);
    let logs = [
        (Level::Error, "an error"),
        (Level::Warning, "a warning"),
        (Level::Information, "une café"),
        (Level::Debug, ""),
    ];
    assert_eq!(recorder.logs(), logs.map(|(level, message)| (level, message.to_owned())));
    assert_eq!(recorder.progress(), [(1, u64::MAX, "half way".to_owned())]);

    recorder.cancelled = true;
    let stopped = metric.distances(&Host::new(&recorder), &pairs.batch(), &mut out).unwrap_err();
    assert_eq!(stopped.fault(), Fault::Cancelled);
}

#[test]
fn a_metric_may_be_called_from_many_threads_at_once() {
    let registry = loaded(&c_plugin("total_variation"));
    let metric = metric(&registry, "total-variation", json!({}));
    let pairs = Pairs::example();
    let expected = distances(&*metric, &pairs.batch()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    assert_eq!(distances(&*metric, &pairs.batch()).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn a_loaded_component_stands_in_for_a_built_in_one() {
    let path = c_plugin("stands_in");
    for loaded_first in [true, false] {
        let mut registry = Registry::new();
        if loaded_first {
            registry.load(&path, None).unwrap();
        }
        registry.add(txray_metrics::plugin(), Origin::BuiltIn).unwrap();
        if !loaded_first {
            registry.load(&path, None).unwrap();
        }
        assert_eq!(registry.find(abi::METRIC, "hellinger").unwrap().0.info.name, "stands-in");
        let values = distances(&*metric(&registry, "hellinger", json!({})), &Pairs::example().batch()).unwrap();
        assert_eq!(values, [0.25; 2]);
        // What it does not supply is built in as before.
        assert_eq!(registry.find(abi::METRIC, "hellinger-2020").unwrap().0.origin, Origin::BuiltIn);
    }
}

#[test]
fn two_loaded_components_of_one_name_are_ambiguous() {
    let (first, second) = (c_plugin("untouched"), c_plugin("talks"));
    let mut registry = loaded(&first);
    registry.load(&second, None).unwrap();
    let Err(FindError::Ambiguous(origins)) = registry.find(abi::METRIC, "plain") else { panic!("it was found") };
    let paths: Vec<String> = origins.iter().map(ToString::to_string).collect();
    assert_eq!(paths, [first.display().to_string(), second.display().to_string()]);
}

#[test]
fn an_unknown_component_is_told_with_those_that_are_known() {
    let mut registry = loaded(&rust_plugin("everything"));
    registry.add(txray_metrics::plugin(), Origin::BuiltIn).unwrap();
    let Err(FindError::Unknown(supplied)) = registry.find(abi::METRIC, "by-column") else { panic!("it was found") };
    assert!(supplied.contains(&"union-length".to_owned()) && supplied.contains(&"hellinger".to_owned()));
    assert!(!supplied.contains(&"by-column".to_owned()), "that one is a pruner");
}

#[test]
fn a_library_with_another_hash_is_never_opened() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("was-opened");
    let path = c_plugin_with("initialiser", &[&format!("-DMARK=\"{}\"", mark.display())]);

    let wrong = "0".repeat(64);
    let error = Registry::new().load(&path, Some(&wrong)).unwrap_err();
    assert!(!mark.exists(), "the library's initialiser ran");
    let PluginError::Hash { found, .. } = &error else { panic!("{error}") };
    let expected = format!("{} has sha256 {found}, but {wrong} was asked for", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");

    // With the hash that the message gives, in either case of letters, it is opened, and does leave its mark.
    Registry::new().load(&path, Some(&found.to_uppercase())).unwrap();
    assert!(mark.exists());
}
