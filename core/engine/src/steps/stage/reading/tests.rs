use txray_plugin::Component;
use txray_text::{Span, Vocabulary};

use super::*;
use crate::testing::{Fake, FakeOptions, WIDTH};

fn document(id: u64, text: &str) -> Document {
    Document { id, text: text.to_owned(), group: None, label: None, annotations: Vec::new() }
}

/// A tokenizer of the words `a`, `b`, `c`, whose ids are 2, 3 and 4, and a model for it.
fn parts() -> (Tokenizer, Fake) {
    let text = document(0, "a a a b b c");
    let tokenizer = Tokenizer::learn(std::iter::once(Ok(text)), &Vocabulary::default()).unwrap();
    let mut model = Fake::create(FakeOptions::default(), &Host::detached()).unwrap();
    model.initialize(&Host::detached(), tokenizer.size(), 0).unwrap();
    (tokenizer, model)
}

fn source<'a>(
    parts: &'a (Tokenizer, Fake),
    documents: Vec<Document>,
    layers: &[&str],
    state: State,
) -> ModelSource<'a> {
    let layers = layers.iter().map(|&layer| layer.to_owned()).collect();
    let documents: Documents<'a> = Box::new(documents.into_iter().map(Ok));
    let reading = Reading { model: &parts.1, tokenizer: &parts.0, documents, layers, k: 1, state, expected: 0 };
    ModelSource::new(reading, &Host::detached()).unwrap()
}

fn batches(source: &mut ModelSource<'_>) -> Vec<ActivationBatch> {
    std::iter::from_fn(|| source.next(&Host::detached()).unwrap()).collect()
}

#[test]
fn a_batch_tells_of_each_token_where_it_stands_and_what_it_is() {
    let parts = parts();
    let tag = |start, end, value: &str| Span { start, end, value: value.into() };
    let tags = Annotation { layer: "pos".into(), spans: vec![tag(0, 1, "X"), tag(4, 5, "Y")] };
    let first = Document {
        group: Some("g".into()),
        label: Some("good".into()),
        annotations: vec![tags],
        ..document(7, "a ü b")
    };
    let documents = vec![first, document(8, "c")];
    let mut source = source(&parts, documents, &["token", "word", "pos", "label"], State::Reset);
    let [batch] = &batches(&mut source)[..] else { panic!("a short text is one batch") };
    assert_eq!((&batch.documents[..], &batch.offsets[..]), (&[7, 8][..], &[0, 4, 6][..]));
    assert_eq!(batch.groups.as_strings().iter().collect::<Vec<_>>(), ["g", ""]);
    assert_eq!(
        (batch.starts[1], batch.ends[1], batch.starts[3]),
        (2, 3, NULL),
        "in Unicode scalars, and `<eos>` nowhere"
    );
    assert_eq!(batch.unknown, 1);
    let features = |layer: usize| -> Vec<&str> {
        let column = &batch.layers[layer];
        column.features.iter().map(|&feature| column.names.get(feature as usize).unwrap_or("-")).collect()
    };
    assert_eq!(features(0), ["a", "<unk>", "b", "<eos>", "c", "<eos>"], "the vocabulary's forms");
    assert_eq!(features(1), ["a", "ü", "b", "-", "c", "-"], "the surface, and none for what is no text");
    assert_eq!(features(2), ["X", "-", "Y", "-", "-", "-"]);
    assert_eq!(features(3), ["good", "good", "good", "-", "-", "-"]);
    let unjoined: Vec<u64> = batch.layers.iter().map(|layer| layer.unjoined).collect();
    assert_eq!(unjoined, [0, 0, 2, 1], "ü and c have no tag, c has no label");
    let neurons: Vec<u32> = [2, 0, 3, 1, 4, 1].iter().map(|id| id % WIDTH as u32).collect();
    assert_eq!((&batch.neuron, batch.token.len()), (&neurons, 6));
    assert!(source.has_known());
}

#[test]
fn a_text_longer_than_a_window_is_read_in_order_and_the_state_goes_on() {
    let parts = parts();
    let count = WINDOW as u64 / 2;
    let documents = (0..count).map(|id| document(id, "a b c")).collect();
    let mut source = source(&parts, documents, &["token"], State::Carry);
    let batches = batches(&mut source);
    assert!(batches.len() > 1, "so long a text is no single window");
    let documents: Vec<u64> = batches.iter().flat_map(|batch| batch.documents.iter().copied()).collect();
    assert!(documents.iter().copied().eq(0..count));
    for batch in &batches {
        assert!(batch.starts.len() <= WINDOW + 4, "a window is bounded");
        assert!(batch.offsets.windows(2).all(|pair| pair[1] - pair[0] == 4));
    }
    let carried = source.carried.as_ref().unwrap().get::<usize>().unwrap();
    assert_eq!(*carried as u64, 4 * count, "the state is carried over windows");
}

#[test]
fn a_text_of_which_nothing_is_known_is_noticed() {
    let parts = parts();
    let mut source = source(&parts, vec![document(0, "x"), document(1, "y")], &["token"], State::Reset);
    batches(&mut source);
    assert!(!source.has_known());
}

#[test]
fn an_error_of_the_user_names_its_document() {
    let parts = parts();
    let mut documents: Vec<_> = (0..50).map(|id| document(id, "a b")).collect();
    documents[41] = document(41, "v w x y z");
    let mut source = source(&parts, documents, &["token"], State::Reset);
    let error = source.next(&Host::detached()).unwrap_err();
    assert_eq!(error.message(), "in document 41, five unknown words");
}
