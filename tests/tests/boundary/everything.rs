//! Every method of every interface, through a real library, with arguments that are easily lost on the way. The
//! plugin logs what it was given in the words of `Debug`, and those words must be the host's own.

#[path = "../../plugins/everything/src/batches.rs"]
mod batches;

use std::path::Path;
use std::sync::Mutex;

use serde_json::json;
use txray_conformance::strategies::Pairs;
use txray_host::Registry;
use txray_plugin::{
    Block, Columns, EncodeRequest, Error, ExactSum, Examples, Fault, Head, Host, Level, Mask, Model, ModelDescription,
    NULL, Opaque, PredictRequest, Rule, RuleKind, Score, Sign, Site, SiteRequest, SourceDescription, State,
    StringTable, Task, Text, TrainRequest,
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

#[test]
fn a_model_and_its_checkpoint() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let mut model = lookup(&registry);
    let described = |vocabulary, parameters| ModelDescription {
        sites: vec![site("größe.0", 3), site("b", 2)],
        vocabulary,
        parameters,
        heads: [(Task::LanguageModel, vocabulary), (Task::Classification, 2), (Task::Tagging, 4)]
            .map(|(task, classes)| Head { task, classes })
            .to_vec(),
        unmaskable: vec![],
        lacks: vec![],
        longest_context: Some(2000),
        trained_state: None,
    };
    assert_eq!(model.describe().unwrap(), described(0, 0));
    let capabilities = model.capabilities();
    assert_eq!(capabilities.tasks, [Task::LanguageModel, Task::Classification, Task::Tagging]);
    assert_eq!(capabilities.rules, [RuleKind::Top, RuleKind::Above, RuleKind::All]);
    assert!(capabilities.masks && capabilities.predictions);
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
fn encode(model: &dyn Model, text: Text<'_>, state: Option<&mut Opaque>, sites: &[(usize, usize)]) -> Vec<Read> {
    let recorder = Recorder::default();
    let widths = [3, 2];
    let mut read: Vec<Read> = sites
        .iter()
        .map(|&(site, k)| Read {
            neurons: vec![u32::MAX; text.ids.len() * k],
            activations: vec![0.5; text.ids.len() * k],
            sums: [1.0, 2.0, 3.0].map(|start| vec![ExactSum::of(start); widths[site]]),
        })
        .collect();
    let requests = read.iter_mut().zip(sites).map(|(read, &(site, k))| {
        let moments = read.sums.each_mut().map(|sums| &mut sums[..]);
        SiteRequest::top(site, k, (&mut read.neurons, &mut read.activations), moments)
    });
    let mut request = EncodeRequest { state, sites: requests.collect(), ..EncodeRequest::new(text) };
    let given = format!("{request:?}");
    model.as_encode().unwrap().encode(&Host::new(&recorder), &mut request).unwrap();
    assert_eq!(recorder.logs(), [(Level::Debug, given)]);
    read
}

/// A state that has read nothing.
fn state(model: &dyn Model) -> Opaque {
    model.as_carry().unwrap().state(&Host::detached(), None).unwrap()
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
    let mut carried = state(&*model);
    let read = encode(&*model, TEXT, Some(&mut carried), &[(0, 1)]);
    assert_eq!((&read[0].neurons, &read[0].activations), (&vec![2, 2, 1], &vec![1.0, 3.0, 4.0]));
    // A copy goes its own way.
    let recorder = Recorder::default();
    let mut copy = model.as_carry().unwrap().state(&Host::new(&recorder), Some(&carried)).unwrap();
    assert_eq!(recorder.logs(), [(Level::Debug, "Some(3.0)".to_owned())]);
    for state in [&mut copy, &mut carried] {
        let read = encode(&*model, TEXT, Some(state), &[(0, 1)]);
        assert_eq!((&read[0].neurons, &read[0].activations), (&vec![2, 2, 1], &vec![4.0, 6.0, 7.0]));
    }

    // Nothing to read, in nothing.
    assert_eq!(encode(&*model, TEXT, None, &[]), []);
    let read = encode(&*model, Text::EMPTY, Some(&mut carried), &[(1, 2)]);
    assert_eq!(
        read[0],
        Read { neurons: vec![], activations: vec![], sums: [&[1.0; 2][..], &[2.0; 2], &[3.0; 2]].map(sums) }
    );
    // Of other weights, it is of no use.
    model.initialize(&Host::detached(), 5, 0).unwrap();
    let mut request = EncodeRequest { state: Some(&mut carried), ..EncodeRequest::new(TEXT) };
    let error = model.as_encode().unwrap().encode(&Host::detached(), &mut request).unwrap_err();
    assert!(error.message().contains("of other weights"), "{error}");
}

/// Rules, signs, masks, predictions, and what is emitted.
#[test]
fn a_model_is_read_in_other_ways() {
    let registry = everything();
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 5, 0).unwrap();
    let kept = Mutex::new(Vec::new());
    let emit = |block: &Block<'_>| {
        let rows = block.token.iter().zip(block.neuron).zip(block.activation);
        kept.lock().unwrap().extend(rows.map(|((&token, &neuron), &h)| (block.request, token, neuron, h)));
    };
    let (mut neurons, mut activations, mut predictions) = ([u32::MAX; 3], [0.5; 3], [9; 3]);
    let mut moments = [[[ExactSum::ZERO; 3]; 3]; 3];
    let [first, second, third] = &mut moments;
    let [a, b, c] = third.each_mut().map(|sums| &mut sums[..2]);
    let rule = Rule::Top { k: 1, neurons: &mut neurons, activations: &mut activations };
    let [sum, sum_abs, sum_sq] = first.each_mut().map(|sums| &mut sums[..]);
    let strongest = SiteRequest { site: 0, rule, sign: Sign::Absolute, sum, sum_abs, sum_sq };
    let [sum, sum_abs, sum_sq] = second.each_mut().map(|sums| &mut sums[..]);
    let below = SiteRequest { site: 0, rule: Rule::Above(0.5), sign: Sign::Negative, sum, sum_abs, sum_sq };
    let all = SiteRequest { site: 1, rule: Rule::All, sign: Sign::Positive, sum: a, sum_abs: b, sum_sq: c };
    let masks = [Mask { site: 0, values: &[f32::NAN, -7.0, f32::NAN] }];
    let recorder = Recorder::default();
    let mut request = EncodeRequest {
        masks: &masks,
        sites: vec![strongest, below, all],
        predictions: Some((Task::LanguageModel, &mut predictions)),
        emit: &emit,
        ..EncodeRequest::new(TEXT)
    };
    let given = format!("{request:?}");
    model.as_encode().unwrap().encode(&Host::new(&recorder), &mut request).unwrap();
    assert_eq!(recorder.logs(), [(Level::Debug, given)]);
    // (-1 -7 1) (1 -7 3) (1 -7 -2) at the masked site.
    assert_eq!((neurons, activations), ([1; 3], [-7.0; 3]));
    assert_eq!(predictions, [0; 3]);
    let mut kept = kept.into_inner().unwrap();
    kept.sort_by_key(|&(request, token, neuron, _)| (request, token, neuron));
    let of_rule = [(1, 0, 0, -1.0), (1, 0, 1, -7.0), (1, 1, 1, -7.0), (1, 2, 1, -7.0), (1, 2, 2, -2.0)];
    let of_all = [(2, 0, 0, 0.0), (2, 0, 1, 1.0), (2, 1, 0, 2.0), (2, 1, 1, 3.0), (2, 2, 0, 2.0), (2, 2, 1, -2.0)];
    assert_eq!(kept, [&of_rule[..], &of_all].concat());
    assert_eq!(moments[0], moments[1]);
    assert_eq!(moments[0][0].to_vec(), sums(&[1.0, -21.0, 2.0]));
}

#[test]
fn a_model_is_asked_only_for_what_it_has() {
    let registry = everything();
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 3, 0).unwrap();
    let error = |text: Text<'_>, site, k: usize, width: usize, masks: &[Mask<'_>]| {
        let rows = text.ids.len() * k;
        let (mut neurons, mut activations) = (vec![0; rows], vec![0.0; rows]);
        let mut moments = [0; 3].map(|_| vec![ExactSum::ZERO; width]);
        let moments = moments.each_mut().map(|sums| &mut sums[..]);
        let sites = vec![SiteRequest::top(site, k, (&mut neurons, &mut activations), moments)];
        let mut request = EncodeRequest { sites, masks, ..EncodeRequest::new(text) };
        model.as_encode().unwrap().encode(&Host::detached(), &mut request).unwrap_err().to_string()
    };
    let small = Text { ids: &[0, 1, 2], ..TEXT };
    let long = Text { ids: &[0; 2001], offsets: &[0, 2001] };
    let mask = |site, values| Mask { site, values };
    for (error, what) in [
        (error(small, 2, 1, 3, &[]), "a site 2 of 2"),
        (error(small, 0, 4, 3, &[]), "the 4 strongest of 3 neurons at site 0"),
        (error(small, 1, 1, 3, &[]), "room for moments at site 1 that is not of 2 neurons"),
        (error(small, 0, 1, 3, &[mask(0, &[0.0; 2])]), "a mask of 2 values for site 0 of 3 neurons"),
        (error(small, 0, 1, 3, &[mask(0, &[f32::INFINITY; 3])]), "a mask of 3 values for site 0 of 3 neurons"),
        (error(small, 0, 1, 3, &[mask(1, &[0.0; 2]), mask(1, &[0.0; 2])]), "two masks for site 1"),
        // 3 is no token of a vocabulary of 3.
        (error(TEXT, 0, 1, 3, &[]), "a text whose offsets or ids are out of range"),
        (error(long, 0, 1, 3, &[]), "a document 0 of 2001 tokens, which are too many"),
    ] {
        assert!(error.ends_with(&format!("it was given {what}")), "{what}: {error}");
    }
    // A state of another model is none of its own.
    let mut foreign = state(&*lookup(&registry));
    let mut request = EncodeRequest { state: Some(&mut foreign), ..EncodeRequest::new(small) };
    let error = model.as_encode().unwrap().encode(&Host::detached(), &mut request).unwrap_err();
    assert!(error.message().contains("of another model"), "{error}");
    // And a session is no state, nor a state a session.
    let training = TrainRequest::language_model(small, None, 1);
    let mut session = model.as_train_mut().unwrap().begin(&Host::detached(), &training, None).unwrap();
    let mut carried = state(&*model);
    let mut request = EncodeRequest { state: Some(&mut session), ..EncodeRequest::new(small) };
    let error = model.as_encode().unwrap().encode(&Host::detached(), &mut request).unwrap_err();
    assert!(error.message().contains("not of this model"), "{error}");
    let error = model.as_train_mut().unwrap().step(&Host::detached(), &mut carried, None).unwrap_err();
    assert!(error.message().contains("not of this model"), "{error}");
}

#[test]
fn a_language_model_predicts() {
    let (registry, recorder) = (everything(), Recorder::default());
    let host = Host::new(&recorder);
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 5, 0).unwrap();
    let mut carried = state(&*model);
    for (text, carries, losses, counts, of_tokens) in [
        // The id, and 1 for the neuron that is held.
        (TEXT, false, &[3.0, 0.0, 0.0][..], &[1, 0, 0][..], &[f32::NAN, 3.0, f32::NAN][..]),
        (TEXT, true, &[3.0, 0.0, 4.0], &[1, 0, 1], &[f32::NAN, 3.0, 4.0]),
        // What was read before predicts the first.
        (TEXT, true, &[5.0, 0.0, 4.0], &[2, 0, 1], &[2.0, 3.0, 4.0]),
        (Text::EMPTY, false, &[], &[], &[]),
        (Text::EMPTY, true, &[], &[], &[]),
    ] {
        let (mut found, mut counted) = (vec![-1.0; text.len()], vec![9; text.len()]);
        let mut tokens = vec![-1.0; text.ids.len()];
        let masks = [Mask { site: 1, values: &[0.25, f32::NAN] }];
        let request = PredictRequest::new(Task::LanguageModel, text.into(), &mut found, &mut counted);
        let token_losses = (!tokens.is_empty()).then_some(&mut tokens[..]);
        let state = carries.then_some(&mut carried);
        let mut request = PredictRequest { masks: &masks, token_losses, state, ..request };
        let given = format!("{request:?}");
        model.as_predict().unwrap().predict(&host, &mut request).unwrap();
        assert_eq!(recorder.logs(), [(Level::Debug, given)]);
        assert_eq!((&found[..], &counted[..]), (losses, counts));
        let bits = |losses: &[f32]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&tokens), bits(of_tokens));
    }
    let score = model.as_predict().unwrap().score(&host, TEXT, None).unwrap();
    assert_eq!(score, Score { nll: 2.0, tokens: 1 });
}

/// Targets go in, classes and probabilities come out: of documents, and of tokens.
#[test]
fn a_classifier_predicts() {
    let registry = everything();
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 5, 0).unwrap();
    let predict = |task, classes: usize, targets: &[u32], rows: usize| {
        let (recorder, examples) = (Recorder::default(), Examples { text: TEXT, targets });
        let (mut losses, mut counts) = ([-1.0; 3], [9; 3]);
        let (mut predicted, mut probabilities) = (vec![9; rows], vec![-1.0; rows * classes]);
        let mut request = PredictRequest {
            predicted: Some(&mut predicted),
            probabilities: Some(&mut probabilities),
            ..PredictRequest::new(task, examples, &mut losses, &mut counts)
        };
        let given = format!("{request:?}");
        let told = model.as_predict().unwrap().predict(&Host::new(&recorder), &mut request);
        told.map_err(|error| error.to_string())?;
        assert_eq!(recorder.logs(), [(Level::Debug, given)]);
        Ok::<_, String>((losses, counts, predicted, probabilities))
    };
    let (losses, counts, predicted, probabilities) = predict(Task::Classification, 2, &[0, NULL, 0], 3).unwrap();
    assert_eq!((losses, counts, predicted), ([0.0, 0.0, 1.0], [1, 0, 1], vec![0, 0, 1]));
    assert_eq!(probabilities, [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    let (losses, counts, predicted, _) = predict(Task::Tagging, 4, &[1, 0, 3], 3).unwrap();
    assert_eq!((losses, counts, predicted), ([1.0, 0.0, 0.0], [2, 0, 1], vec![1, 2, 3]));
    for (task, classes, targets, rows, what) in [
        (Task::Classification, 2, &[0, 0][..], 3, "2 targets where there are 3"),
        (Task::Classification, 2, &[0, 2, 0], 3, "a target of class 2 of 2"),
        (Task::LanguageModel, 0, &[1, 2, 3], 0, "3 targets where there are 0"),
        (Task::Tagging, 4, &[1, 0, 3], 2, "room for classes that does not fit the task"),
    ] {
        let error = predict(task, classes, targets, rows).unwrap_err();
        assert!(error.ends_with(&format!("it was given {what}")), "{what}: {error}");
    }
}

#[test]
fn a_model_is_trained() {
    let (registry, mut recorder) = (everything(), Recorder::default());
    let mut model = lookup(&registry);
    model.initialize(&Host::detached(), 5, 0).unwrap();
    let valid = Text { ids: &[4, 4], offsets: &[0, 2] };
    let requests = [
        TrainRequest::language_model(TEXT, None, u64::MAX),
        TrainRequest {
            task: Task::Classification,
            classes: 3,
            train: Examples { text: TEXT, targets: &[2, NULL, 0] },
            valid: Some(Examples { text: valid, targets: &[1] }),
            seed: 7,
        },
    ];
    for (epoch, request) in (1_u64..).zip(&requests) {
        let mut session = model.as_train_mut().unwrap().begin(&Host::new(&recorder), request, None).unwrap();
        assert_eq!(recorder.logs(), [(Level::Debug, format!("{request:?} None"))]);
        let report = model.as_train_mut().unwrap().step(&Host::new(&recorder), &mut session, None).unwrap();
        assert_eq!(recorder.logs(), [(Level::Debug, "None".to_owned())]);
        assert_eq!(recorder.progress(), [(3 * epoch, 6, format!("Epoche №{epoch}"))]);
        assert_eq!((report.epoch, report.tokens, report.done, report.paused), (epoch, 3 * epoch, epoch == 2, false));
        assert_eq!((report.loss, report.seconds), (1.0 / epoch as f64, 0.125));
        assert_eq!(report.valid_loss, request.valid.map(|_| 2.0));
    }
    assert_eq!(model.describe().unwrap().trained_state, Some(State::Carry));

    let mut session = model.as_train_mut().unwrap().begin(&Host::new(&recorder), &requests[0], None).unwrap();
    recorder.cancelled = true;
    let error = model.as_train_mut().unwrap().step(&Host::new(&recorder), &mut session, None).unwrap_err();
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
    let request = TrainRequest::language_model(TEXT, Some(TEXT), 7);
    let mut session = model.as_train_mut().unwrap().begin(&host, &request, None).unwrap();
    recorder.logs();
    for pause in [0.0, 1e300] {
        let report = model.as_train_mut().unwrap().step(&host, &mut session, Some(pause)).unwrap();
        assert_eq!(recorder.logs(), [(Level::Debug, format!("{:?}", Some(pause)))]);
        let before = report.epoch;
        assert_eq!((report.tokens, report.valid_loss, report.done, report.paused), (3 * before, None, false, true));

        model.as_train().unwrap().save_session(&host, &session, &directory).unwrap();
        model = lookup(&registry);
        session = model.as_train_mut().unwrap().begin(&host, &request, Some(&directory)).unwrap();
        let calls = [format!("save {directory:?}"), format!("{request:?} Some({directory:?})")];
        assert_eq!(recorder.logs(), calls.map(|call| (Level::Debug, call)));
        let report = model.as_train_mut().unwrap().step(&host, &mut session, Some(pause)).unwrap();
        recorder.logs();
        let after = before + 1;
        assert_eq!(
            (report.epoch, report.tokens, report.valid_loss, report.paused),
            (after, 3 * after, Some(3.0), false)
        );
    }

    let nowhere = directory.join("nowhere");
    let error = model.as_train_mut().unwrap().begin(&host, &request, Some(&nowhere)).unwrap_err();
    assert_eq!(error.fault(), Fault::Invalid);
    assert!(error.message().starts_with("cannot read ") && error.message().contains("nowhere"), "{error}");
    let error = model.as_train().unwrap().save_session(&host, &session, &nowhere).unwrap_err();
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
