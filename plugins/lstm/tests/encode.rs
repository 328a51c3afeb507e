//! Laws of reading.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Patience, Reading, edit, encode, loaded, masked, random, reference, state, unsorted};
use proptest::prelude::*;
use txray_lstm::{Cell, Lstm, LstmOptions};
use txray_plugin::{
    Carry, Encode, EncodeRequest, ExactSum, Fault, Host, Mask, Model, Opaque, Rule, Sign, SiteRequest, Text,
    TrainRequest,
};

const VOCABULARY: u32 = 29;
const HIDDEN: usize = 19;

fn model(layers: usize) -> Lstm {
    model_of(Cell::Lstm, layers)
}

fn model_of(cell: Cell, layers: usize) -> Lstm {
    random(LstmOptions { embedding: 7, hidden: HIDDEN, layers, cell, ..LstmOptions::default() }, VOCABULARY as usize, 3)
}

/// A text of more words, for [`model_with`].
fn many_words(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Vec<u32>>> {
    proptest::collection::vec(proptest::collection::vec(0..250_u32, 1..40), count)
}

/// A model of 250 words, with `input_table` MiB for the table of inputs: 1 MiB has room for 109 words.
fn model_with(input_table: usize) -> Lstm {
    random(LstmOptions { embedding: 7, hidden: 600, input_table, ..LstmOptions::default() }, 250, 3)
}

fn documents(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Vec<u32>>> {
    proptest::collection::vec(proptest::collection::vec(0..VOCABULARY, 0..40), count)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// The part of a reading that document `d` is.
fn part(reading: &Reading, documents: &[Vec<u32>], d: usize) -> (Vec<u32>, Vec<u32>) {
    let tokens: usize = documents.iter().map(Vec::len).sum();
    let k = reading.neurons.len() / tokens.max(1);
    let start: usize = documents[..d].iter().map(Vec::len).sum();
    let at = start * k..(start + documents[d].len()) * k;
    (reading.neurons[at.clone()].to_vec(), bits(&reading.activations[at]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is read beside it and on how many threads, a document's activations keep their bits. With 200
    /// documents there are several units.
    #[test]
    fn a_document_is_read_alike_in_any_company(
        batch in prop_oneof![documents(1..6), documents(300..400)],
        pick in any::<prop::sample::Index>(),
        threads in 1..5_usize,
        layers in 1..3_usize,
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
    ) {
        let model = model_of(cell, layers);
        let d = pick.index(batch.len());
        let sites: Vec<_> = (0..layers).map(|site| (site, HIDDEN)).collect();
        let alone = encode(&model, &batch[d..=d], &sites, None, 1).unwrap();
        let together = encode(&model, &batch, &sites, None, threads).unwrap();
        for (alone, together) in alone.iter().zip(&together) {
            prop_assert_eq!(part(alone, &batch[d..=d], 0), part(together, &batch, d));
        }
    }

    /// What a text adds to the moments is what its documents add one by one, whatever their lengths.
    #[test]
    fn moments_are_those_of_the_documents(
        batch in proptest::collection::vec(proptest::collection::vec(0..VOCABULARY, 0..200), 1..80),
    ) {
        let model = model(1);
        let mut together = encode(&model, &batch, &[(0, 1)], None, 2).unwrap().remove(0).moments.concat();
        let stream = encode(&model, &batch, &[(0, 1)], Some(&mut state(&model)), 2).unwrap();
        let mut carried = state(&model);
        let mut apart = [vec![ExactSum::ZERO; 3 * HIDDEN], vec![ExactSum::ZERO; 3 * HIDDEN]];
        for document in batch.chunks(1) {
            let alone = [
                encode(&model, document, &[(0, 1)], None, 1).unwrap(),
                encode(&model, document, &[(0, 1)], Some(&mut carried), 1).unwrap(),
            ];
            for (sums, alone) in apart.iter_mut().zip(alone) {
                sums.iter_mut().zip(alone[0].moments.concat()).for_each(|(sum, more)| *sum += more);
            }
        }
        prop_assert_eq!(&apart, &[std::mem::take(&mut together), stream[0].moments.concat()]);
    }

    /// Every number of the answer is the same on any number of threads, moments included.
    #[test]
    fn threads_change_nothing(batch in documents(300..500)) {
        let model = model(1);
        let one = encode(&model, &batch, &[(0, 1)], None, 1).unwrap();
        for threads in [2, 3, 8] {
            prop_assert_eq!(&one, &encode(&model, &batch, &[(0, 1)], None, threads).unwrap());
        }
    }

    /// `k` of them are the first `k` of all, sorted by activation, then by index; and the moments are those of all.
    #[test]
    fn top_k_is_the_head_of_all(batch in documents(1..60), k in 1..=HIDDEN) {
        let model = model(2);
        let all = &encode(&model, &batch, &[(1, HIDDEN)], None, 2).unwrap()[0];
        let some = &encode(&model, &batch, &[(1, k)], None, 2).unwrap()[0];
        let hidden = unsorted(all, HIDDEN);
        for (t, h) in hidden.iter().enumerate() {
            let mut order: Vec<usize> = (0..HIDDEN).collect();
            order.sort_by(|&a, &b| h[b].partial_cmp(&h[a]).unwrap().then(a.cmp(&b)));
            for (rank, &n) in order[..k].iter().enumerate() {
                prop_assert_eq!(some.neurons[t * k + rank], n as u32);
                prop_assert_eq!(some.activations[t * k + rank], h[n]);
            }
        }
        prop_assert_eq!(&all.moments, &some.moments);
        for n in 0..HIDDEN {
            let values = || hidden.iter().map(|h| f64::from(h[n]));
            let expected = [values().sum::<f64>(), values().map(f64::abs).sum(), values().map(|v| v * v).sum()];
            for (moment, expected) in all.moments.iter().zip(expected) {
                let found = moment[n].to_f64();
                prop_assert!((found - expected).abs() <= 1e-5 * (1.0 + expected.abs()), "{found} is not {expected}");
            }
        }
    }

    /// With a table of inputs, with room for a part of it, and without one, every bit is the same.
    #[test]
    fn the_table_of_inputs_changes_nothing(first in many_words(1..3), second in many_words(4..12)) {
        let read = |table| {
            let model = model_with(table);
            [&first, &second, &first].map(|documents| {
                let reading = &encode(&model, documents, &[(0, 5)], None, 2).unwrap()[0];
                (reading.neurons.clone(), bits(&reading.activations), reading.moments.clone())
            })
        };
        let none = read(0);
        prop_assert!(none == read(1));
        prop_assert!(none == read(64));
    }

    /// A stream read in two calls is the stream read in one.
    #[test]
    fn a_stream_may_be_cut_between_documents(batch in documents(2..8), cut in any::<prop::sample::Index>(), layers in 1..3_usize) {
        let model = model(layers);
        let cut = cut.index(batch.len());
        let sites = [(layers - 1, HIDDEN)];
        let mut states = [state(&model), state(&model)];
        let whole = encode(&model, &batch, &sites, Some(&mut states[0]), 2).unwrap();
        let first = encode(&model, &batch[..cut], &sites, Some(&mut states[1]), 1).unwrap();
        let second = encode(&model, &batch[cut..], &sites, Some(&mut states[1]), 2).unwrap();
        prop_assert_eq!(&whole[0].neurons, &[&first[0].neurons[..], &second[0].neurons].concat());
        prop_assert_eq!(bits(&whole[0].activations), bits(&[&first[0].activations[..], &second[0].activations].concat()));
        // The same state is left: what is read next is the same, by a copy too.
        let next = states.map(|mut state| {
            let mut copy = model.state(&Host::detached(), Some(&state)).unwrap();
            let next = [&mut state, &mut copy].map(|state| encode(&model, &batch, &sites, Some(state), 2).unwrap().remove(0));
            assert_eq!(next[0], next[1]);
            next
        });
        prop_assert_eq!(&next[0], &next[1]);
    }

    /// A stream of one document with no state before it is that document.
    #[test]
    fn a_first_document_needs_no_state(document in proptest::collection::vec(0..VOCABULARY, 1..40)) {
        let model = model(1);
        let carried = encode(&model, std::slice::from_ref(&document), &[(0, HIDDEN)], Some(&mut state(&model)), 2).unwrap();
        let reset = encode(&model, std::slice::from_ref(&document), &[(0, HIDDEN)], None, 2).unwrap();
        prop_assert_eq!(&carried[0].neurons, &reset[0].neurons);
        for (a, b) in carried[0].activations.iter().zip(&reset[0].activations) {
            prop_assert!((a - b).abs() <= 1e-6);
        }
    }
}

/// The cell is a site where that is asked for, and the outputs are those of a model without it.
#[test]
fn cells_are_sites_on_request() {
    let options = LstmOptions { embedding: 7, hidden: HIDDEN, layers: 2, cell_sites: true, ..LstmOptions::default() };
    let (plain, model) = (model(2), random(options.clone(), VOCABULARY as usize, 3));
    let names: Vec<String> = model.describe().unwrap().sites.into_iter().map(|site| site.name).collect();
    assert_eq!(names, ["lstm.0.hidden", "lstm.0.cell", "lstm.1.hidden", "lstm.1.cell"]);
    let documents = [vec![3, 1, 4, 1, 5], vec![9, 2, 6]];
    let all: Vec<_> = (0..4).map(|site| (site, HIDDEN)).collect();
    let readings = encode(&model, &documents, &all, Some(&mut state(&model)), 2).unwrap();
    let outputs = encode(&plain, &documents, &[(0, HIDDEN), (1, HIDDEN)], Some(&mut state(&plain)), 2).unwrap();
    assert_eq!([&readings[0], &readings[2]], [&outputs[0], &outputs[1]]);
    let one = encode(&model, &documents, &[(1, 1)], None, 1).unwrap();
    assert_eq!(one[0].neurons.len(), 8);
    let gru = random(LstmOptions { cell: Cell::Gru, ..options }, VOCABULARY as usize, 3);
    assert_eq!(gru.describe().unwrap().sites[1].name, "gru.1.hidden");
}

#[test]
fn nothing_is_read_from_nothing() {
    let model = model(1);
    for documents in [vec![], vec![vec![], vec![]]] {
        let reading = &encode(&model, &documents, &[(0, 1)], None, 2).unwrap()[0];
        assert!(reading.neurons.is_empty());
        assert_eq!(reading.moments[0], [ExactSum::ZERO; HIDDEN]);
    }
    encode(&model, &[vec![1, 2]], &[], None, 2).unwrap();
}

#[test]
fn an_activation_that_is_not_finite_stops_with_its_site() {
    // Finite weights whose product is not: infinity minus infinity.
    let directory = tempfile::tempdir().unwrap();
    let mut options = LstmOptions { embedding: 2, hidden: 2, layers: 1, ..LstmOptions::default() };
    options.train.epochs = 1;
    random(options, 4, 1).save(&Host::detached(), directory.path()).unwrap();
    let path = directory.path().join("model.safetensors");
    let set = |data: &mut [u8], i: usize, v: f32| data[4 * i..4 * i + 4].copy_from_slice(&v.to_le_bytes());
    edit(&path, |tensors, _| {
        // Word 3 alone.
        let (.., encoder) = tensors.get_mut("encoder.weight").unwrap();
        [6, 7].into_iter().for_each(|i| set(encoder, i, 1e30));
        let (.., w_ih) = tensors.get_mut("lstm.weight_ih_l0").unwrap();
        (0..16).for_each(|i| set(w_ih, i, if i % 2 == 0 { 1e30 } else { -1e30 }));
    });
    let model = common::loaded(directory.path()).unwrap();
    let sound = |state: Option<&mut Opaque>| encode(&model, &[vec![0, 1], vec![2]], &[(0, 1)], state, 2).unwrap();
    let before = [sound(None), sound(Some(&mut state(&model)))];
    let error = encode(&model, &[vec![0, 1], vec![2], vec![1, 3, 1]], &[(0, 1)], None, 2).unwrap_err();
    // Which document it is, the engine finds out: here it would be a place in the request, and mean nothing.
    let told = |error: &txray_plugin::Error| {
        error.message().contains("lstm.0.hidden is not finite") && error.fault() == txray_plugin::Fault::Invalid
    };
    assert!(told(&error), "{error}");
    let error = encode(&model, &[vec![0, 1], vec![3]], &[(0, 1)], Some(&mut state(&model)), 2).unwrap_err();
    assert!(told(&error), "{error}");
    // A reading that stopped leaves nothing to the next.
    assert_eq!([sound(None), sound(Some(&mut state(&model)))], before);
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let model = model(1);
    let error = encode(&model, &[vec![VOCABULARY]], &[(0, 1)], None, 2).unwrap_err();
    assert!(error.message().contains("id 29"), "{error}");
    assert!(encode(&model, &[vec![1]], &[(0, 1)], Some(&mut Opaque::new(7)), 2).is_err());
    let text = Text { ids: &[1, 2], offsets: &[0, 3] };
    assert!(model.encode(&Host::detached(), &mut EncodeRequest::new(text)).is_err());
}

#[test]
fn a_host_that_stops_is_obeyed() {
    let (mut neurons, mut activations) = ([0; 2], [0.0; 2]);
    let mut moments = [[ExactSum::ZERO; HIDDEN]; 3];
    let [sum, sum_abs, sum_sq] = &mut moments;
    let rule = Rule::Top { k: 1, neurons: &mut neurons, activations: &mut activations };
    let site = SiteRequest { site: 0, rule, sign: Sign::Positive, sum, sum_abs, sum_sq };
    let text = Text { ids: &[1, 2], offsets: &[0, 2] };
    let mut request = EncodeRequest { sites: vec![site], ..EncodeRequest::new(text) };
    let error = model(1).encode(&Host::new(&Patience::new(2, 0)), &mut request).unwrap_err();
    assert_eq!(error.fault(), Fault::Cancelled);
}

/// Each document from both ends, whatever is beside it; long ones are read beside fewer.
#[test]
fn both_directions_are_read_document_by_document() {
    for kind in ["bidirectional", "bidirectional-gru", "bidirectional-projected"] {
        let model = loaded(&reference("kinds").join(kind)).unwrap();
        let sites: Vec<_> = model.describe().unwrap().sites.iter().map(|site| site.width).enumerate().collect();
        let long: Vec<u32> = (0..4200).map(|i| i * i % 11).collect();
        let documents = [vec![1, 4, 9], long, vec![], vec![7], vec![2; 70]];
        let together = encode(&model, &documents, &sites, None, 2).unwrap();
        let mut from = 0;
        for document in &documents {
            let alone = encode(&model, std::slice::from_ref(document), &sites, None, 1).unwrap();
            for ((alone, together), &(site, width)) in alone.iter().zip(&together).zip(&sites) {
                let part = &together.activations[from * width..(from + document.len()) * width];
                assert!(alone.activations == part, "site {site} of {kind}, {} tokens", document.len());
            }
            from += document.len();
        }
        // The last layer's reverse pass under a mask of the first layer's: another, and at the mask what it says.
        let held = vec![0.5; sites[1].1];
        let masks = [Mask { site: 1, values: &held }];
        let under = masked(&model, &documents, &sites, None, &masks, Sign::Positive, 1).unwrap();
        assert!(under[1].activations.iter().all(|&activation| activation == 0.5));
        assert!(under[0] == together[0] && under[3] != together[3]);
    }
}

#[test]
fn what_both_directions_cannot_is_told() {
    let host = Host::detached();
    for (kind, carries) in [("bidirectional", false), ("projected", true)] {
        let model = loaded(&reference("kinds").join(kind)).unwrap();
        assert_eq!(model.state(&host, None).is_ok(), carries);
        assert_eq!(common::predict(&model, &[vec![1, 2, 3]], None, &[], 1).is_ok(), carries);
        let again = tempfile::tempdir().unwrap();
        model.save(&host, again.path()).unwrap();
        let again = loaded(again.path()).unwrap();
        assert_eq!(again.describe().unwrap(), model.describe().unwrap());
        assert!(common::bytes(&again) == common::bytes(&model));
        let text = Text { ids: &[1, 2, 3, 4], offsets: &[0, 4] };
        let error = common::Trainee::begin(model, &TrainRequest::language_model(text, None, 1)).unwrap_err();
        assert!(error.message().contains("is read, and not trained"), "{error}");
    }
}
