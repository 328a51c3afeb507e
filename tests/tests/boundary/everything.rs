//! Every method of every interface, through a real library, with arguments that are easily lost on the way. The
//! plugin logs what it was given in the words of `Debug`, and those words must be the host's own.

#[path = "../../plugins/everything/src/batches.rs"]
mod batches;

use std::path::Path;

use serde_json::json;
use txray_conformance::strategies::Pairs;
use txray_host::Registry;
use txray_plugin::{
    Columns, EncodeRequest, Error, ExactSum, Fault, FitRequest, Host, Level, Model, ModelDescription, Score, Site,
    SiteRequest, SourceDescription, State, StringTable, Text,
};
use txray_tests::{Recorder, rust_plugin};

use crate::{loaded, refused};

fn everything() -> Registry {
    loaded(&rust_plugin("everything"))
}

fn site(name: &str, width: usize) -> Site {
    Site { name: name.to_owned(), width }
}

#[test]
fn a_metric() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let metric = registry.metric("union-length", &json!({}), &host).unwrap();
    assert_eq!(recorder.logs(), [(Level::Information, "created with 3 threads".to_owned())]);

    let long = vec![vec![[(1, 0.1), (u64::MAX, 1e-300)]; 2], vec![[(1, 1e300), (2, 0.3)]; 3], vec![[(1, 1.0); 2]]];
    let no_names = Pairs::new(&[], &[]);
    for (pairs, expected) in [
        (Pairs::new(&["", "Straße", "😀\0"], &long), vec![2.0, 3.0, 1.0]),
        (Pairs::new(&["unused"], &[]), vec![]),
        (no_names, vec![]),
    ] {
        let batch = pairs.batch();
        let mut out = vec![f64::NAN; batch.len()];
        metric.distances(&host, &batch, &mut out).unwrap();
        assert_eq!(out, expected);
        assert_eq!(recorder.logs(), [(Level::Debug, format!("{batch:?}"))]);
    }
}

#[test]
fn a_pruner() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let names: StringTable = ["länge", "mass", ""].into_iter().collect();
    let values = [1.0, f64::NAN, -0.0, 0.1, f64::INFINITY, 4.0];
    let columns = Columns { names: names.as_strings(), values: &values, rows: 2 };
    let pruner = registry.pruner("by-column", &json!({ "column": "länge" }), &host).unwrap();
    let mut out = [0.0; 2];
    pruner.scores(&host, &columns, &mut out).unwrap();
    assert_eq!(out[0], 1.0);
    assert!(out[1].is_nan());
    assert_eq!(recorder.logs(), [(Level::Debug, format!("{columns:?}"))]);

    let none = Columns { rows: 0, values: &[], ..columns };
    pruner.scores(&host, &none, &mut []).unwrap();
    assert_eq!(recorder.logs(), [(Level::Debug, format!("{none:?}"))]);

    // An option may turn out to be wrong in the call alone.
    let other = registry.pruner("by-column", &json!({ "column": "width" }), &host).unwrap();
    let error = other.scores(&host, &columns, &mut out).unwrap_err();
    assert_eq!(error, Error::at("/column", "there is no column `width`"));
}

#[test]
fn a_sink() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("Läufe 😀");
    std::fs::create_dir(&directory).unwrap();
    let mut sink = registry.sink("note", &json!({}), &host).unwrap();
    for (i, manifest) in [r#"{"größe": "\u0000"}"#, ""].into_iter().enumerate() {
        sink.write(&host, &directory, manifest).unwrap();
        assert_eq!(std::fs::read_to_string(directory.join(format!("note-{}.txt", i + 1))).unwrap(), manifest);
        assert_eq!(recorder.logs(), [(Level::Warning, format!("{directory:?} {manifest:?}"))]);
    }

    let error = sink.write(&host, &directory.join("nowhere"), "").unwrap_err();
    assert_eq!(error.fault(), Fault::Failed);
    assert!(error.message().contains("cannot write") && error.message().contains("nowhere"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_directory_whose_name_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let mut sink = everything().sink("note", &json!({}), &Host::detached()).unwrap();
    let directory = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/\xff"));
    let error = sink.write(&Host::detached(), directory, "").unwrap_err();
    assert_eq!(error, Error::invalid("the path /tmp/\u{fffd} is not UTF-8"));
}

#[test]
fn a_source() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let mut source = registry.source("replay", &json!({}), &host).unwrap();
    assert_eq!(
        source.describe().unwrap(),
        SourceDescription { sites: vec![site("größe", 2), site("b", 1)], layers: vec!["wort".to_owned()] }
    );
    let mut left = 2;
    for expected in batches::batches() {
        assert_eq!(source.next(&host).unwrap(), Some(expected));
        assert_eq!(recorder.progress(), [(left, 0, "noch übrig".to_owned())]);
        left -= 1;
    }
    for _ in 0..2 {
        assert_eq!(source.next(&host).unwrap(), None);
    }
}

fn lookup(registry: &Registry) -> Box<dyn Model> {
    registry.model("lookup", &json!({ "epochs": 2 }), &Host::detached()).unwrap()
}

/// Three documents, one of them empty: token ids 1 2, none, 3.
const TEXT: Text<'static> = Text { ids: &[1, 2, 3], offsets: &[0, 2, 2, 3] };
const NO_TEXT: Text<'static> = Text { ids: &[], offsets: &[] };

#[test]
fn a_model_and_its_checkpoint() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let mut model = lookup(&registry);
    let described = |vocabulary, parameters| ModelDescription {
        sites: vec![site("größe.0", 3), site("b", 2)],
        vocabulary,
        parameters,
        state_size: 1,
        trained_state: None,
    };
    assert_eq!(model.describe().unwrap(), described(0, 0));
    model.initialize(&host, 33_278, u64::MAX).unwrap();
    assert_eq!(recorder.logs(), [(Level::Debug, format!("33278 {}", u64::MAX))]);
    assert_eq!(model.describe().unwrap(), described(33_278, u64::MAX));

    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("modèle");
    let mut other = lookup(&registry);
    let error = other.load(&host, &directory).unwrap_err();
    assert_eq!(error.fault(), Fault::Invalid);
    assert!(error.message().starts_with("cannot read ") && error.message().contains("modèle"), "{error}");
    std::fs::create_dir(&directory).unwrap();
    recorder.logs();
    model.save(&host, &directory).unwrap();
    other.load(&host, &directory).unwrap();
    assert_eq!(recorder.logs(), vec![(Level::Debug, format!("{directory:?}")); 2]);
    assert_eq!(other.describe().unwrap(), described(33_278, u64::MAX));
}

/// What was read at one site.
#[derive(Debug, PartialEq)]
struct Read {
    neurons: Vec<u32>,
    activations: Vec<f32>,
    sums: [Vec<ExactSum>; 3],
}

fn sums(values: &[f64]) -> Vec<ExactSum> {
    values.iter().copied().map(ExactSum::of).collect()
}

/// Reads a text, and checks that the model was given what it was given here.
fn encode(model: &dyn Model, text: Text<'_>, carry: Option<&mut [f32]>, sites: &[(usize, usize)]) -> Vec<Read> {
    let recorder = Recorder::default();
    let widths = [3, 2];
    let mut read: Vec<Read> = sites
        .iter()
        .map(|&(site, k)| Read {
            neurons: vec![9; text.ids.len() * k],
            activations: vec![0.5; text.ids.len() * k],
            sums: [1.0, 2.0, 3.0].map(|start| vec![ExactSum::of(start); widths[site]]),
        })
        .collect();
    let requests = read.iter_mut().zip(sites).map(|(read, &(site, k))| {
        let [sum, sum_abs, sum_sq] = &mut read.sums;
        SiteRequest { site, k, neurons: &mut read.neurons, activations: &mut read.activations, sum, sum_abs, sum_sq }
    });
    let mut request = EncodeRequest { text, carry, sites: requests.collect() };
    let given = format!("{request:?}");
    model.encode(&Host::new(&recorder), &mut request).unwrap();
    assert_eq!(recorder.logs(), [(Level::Debug, given)]);
    read
}

#[test]
fn a_model_is_read() {
    let registry = everything();
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 5, 0).unwrap();

    // Activations by the rule of `lookup.rs`, in order: (-1 0 1) (1 2 3) at the first document, (1 2 -2) at the last;
    // the other site has (0 1) (2 3) (2 -2).
    let read = encode(&*model, TEXT, None, &[(0, 2), (1, 1)]);
    let expected = [
        Read {
            neurons: vec![2, 1, 2, 1, 1, 0],
            activations: vec![1.0, 0.0, 3.0, 2.0, 2.0, 1.0],
            sums: [&[2.0, 5.0, 3.0][..], &[5.0, 6.0, 8.0], &[6.0, 11.0, 17.0]].map(sums),
        },
        Read {
            neurons: vec![1, 1, 0],
            activations: vec![1.0, 3.0, 2.0],
            sums: [&[5.0, 3.0][..], &[6.0, 8.0], &[11.0, 17.0]].map(sums),
        },
    ];
    assert_eq!(read, expected);

    // Carried, the state comes in, goes through all documents, and goes out.
    let mut state = [10.0];
    let read = encode(&*model, TEXT, Some(&mut state), &[(0, 1)]);
    assert_eq!((&read[0].neurons, &read[0].activations), (&vec![2, 2, 1], &vec![11.0, 13.0, 14.0]));
    assert_eq!(state, [13.0]);

    // Nothing to read, in nothing.
    assert_eq!(encode(&*model, TEXT, None, &[]), []);
    let read = encode(&*model, NO_TEXT, Some(&mut state), &[(1, 2)]);
    assert_eq!(
        read[0],
        Read { neurons: vec![], activations: vec![], sums: [&[1.0; 2][..], &[2.0; 2], &[3.0; 2]].map(sums) }
    );
    assert_eq!(state, [13.0]);
}

#[test]
fn a_model_is_asked_only_for_what_it_has() {
    let registry = everything();
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 3, 0).unwrap();
    let error = |text, state: Option<&mut [f32]>, site, k: usize| {
        let (mut neurons, mut activations) = (vec![0; 3 * k], vec![0.0; 3 * k]);
        let [mut sum, mut sum_abs, mut sum_sq] = [[ExactSum::ZERO; 3]; 3];
        let request = SiteRequest {
            site,
            k,
            neurons: &mut neurons,
            activations: &mut activations,
            sum: &mut sum,
            sum_abs: &mut sum_abs,
            sum_sq: &mut sum_sq,
        };
        let mut request = EncodeRequest { text, carry: state, sites: vec![request] };
        model.encode(&Host::detached(), &mut request).unwrap_err().to_string()
    };
    let small = Text { ids: &[0, 1, 2], ..TEXT };
    let sites = "the host asked for sites, or gave outputs, that the model does not have";
    for wrong in [error(small, None, 2, 1), error(small, None, 0, 4), error(small, None, 1, 1)] {
        assert!(wrong.ends_with(sites), "{wrong}");
    }
    assert!(error(small, Some(&mut [0.0; 2]), 0, 1).ends_with(sites));
    // 3 is no token of a vocabulary of 3.
    assert!(error(TEXT, None, 0, 1).ends_with("the host gave a text whose offsets or ids are out of range"));
}

#[test]
fn a_model_is_scored() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 5, 0).unwrap();
    for (text, state, nll, tokens) in [
        (TEXT, State::Reset, 2.0, 1),
        (TEXT, State::Carry, 5.0, 2),
        (NO_TEXT, State::Reset, 0.0, 0),
        (NO_TEXT, State::Carry, 0.0, 0),
    ] {
        assert_eq!(model.score(&host, text, state).unwrap(), Score { nll, tokens });
        assert_eq!(recorder.logs(), [(Level::Debug, format!("{text:?} {state:?}"))]);
    }
}

#[test]
fn a_model_is_trained() {
    let (registry, mut recorder) = (everything(), Recorder::default());
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 5, 0).unwrap();
    let valid = Text { ids: &[4, 4], offsets: &[0, 2] };
    let requests = [
        FitRequest { train: TEXT, valid: None, seed: u64::MAX, pause: None },
        FitRequest { train: TEXT, valid: Some(valid), seed: 7, pause: None },
    ];
    for (epoch, request) in (1_u64..).zip(&requests) {
        let report = model.fit(&Host::new(&recorder), request).unwrap();
        assert_eq!(recorder.logs(), [(Level::Debug, format!("{request:?}"))]);
        assert_eq!(recorder.progress(), [(3 * epoch, 6, format!("Epoche №{epoch}"))]);
        assert_eq!((report.epoch, report.tokens, report.done, report.paused), (epoch, 3 * epoch, epoch == 2, false));
        assert_eq!((report.loss, report.seconds), (1.0 / epoch as f64, 0.125));
        assert_eq!(report.valid_loss, request.valid.map(|_| 2.0));
    }
    assert_eq!(model.describe().unwrap().trained_state, Some(State::Carry));

    recorder.cancelled = true;
    let error = model.fit(&Host::new(&recorder), &requests[0]).unwrap_err();
    assert_eq!(error, Error::cancelled());
}

#[test]
fn training_is_paused_and_goes_on_elsewhere() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 5, 1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("modèle");
    std::fs::create_dir(&directory).unwrap();
    for pause in [0.0, f64::MIN_POSITIVE, 1e300] {
        let request = FitRequest { train: TEXT, valid: Some(TEXT), seed: 7, pause: Some(pause) };
        let report = model.fit(&host, &request).unwrap();
        assert_eq!(recorder.logs(), [(Level::Debug, format!("{request:?}"))]);
        let before = report.epoch;
        assert_eq!(
            (report.tokens, report.valid_loss, report.done, report.paused),
            (3 * before, None, before == 2, true)
        );

        model.save_training(&host, &directory).unwrap();
        model = lookup(&registry);
        model.load_training(&host, &directory).unwrap();
        let calls = ["save", "load"].map(|call| (Level::Debug, format!("{call} {directory:?}")));
        assert_eq!(recorder.logs(), calls);
        let report = model.fit(&host, &request).unwrap();
        recorder.logs();
        let after = before + 1;
        assert_eq!(
            (report.epoch, report.tokens, report.valid_loss, report.paused),
            (after, 3 * after, Some(3.0), false)
        );
    }

    let error = model.load_training(&host, &directory.join("nowhere")).unwrap_err();
    assert_eq!(error.fault(), Fault::Invalid);
    assert!(error.message().starts_with("cannot read ") && error.message().contains("nowhere"), "{error}");
    let error = model.save_training(&host, &directory.join("nowhere")).unwrap_err();
    assert_eq!(error.fault(), Fault::Failed);
    assert!(error.message().contains("cannot write") && error.message().contains("nowhere"), "{error}");
}

#[test]
fn options_of_every_interface_are_checked() {
    let (registry, host) = (everything(), Host::detached());
    let wrong = json!({ "wrong": 1 });
    let errors = [
        refused(registry.metric("union-length", &wrong, &host)),
        refused(registry.pruner("by-column", &wrong, &host)),
        refused(registry.sink("note", &wrong, &host)),
        refused(registry.source("replay", &wrong, &host)),
        refused(registry.model("lookup", &wrong, &host)),
    ];
    for error in errors {
        assert_eq!((error.pointer(), error.fault()), ("/wrong", Fault::Invalid));
        assert!(error.message().starts_with("unknown field `wrong`"), "{error}");
    }
}
