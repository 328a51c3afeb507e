//! Laws of scoring.

#![allow(clippy::unwrap_used)]

mod common;

use common::{predict, ragged, random};
use proptest::prelude::*;
use txray_lstm::LstmOptions;
use txray_plugin::{Host, Mask, Predict, Score, State, Text, Threads};

const VOCABULARY: u32 = 300;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A text's likelihood is the sum of its documents', and the number of threads does not change a bit of it.
    #[test]
    fn documents_add_up(
        documents in proptest::collection::vec(proptest::collection::vec(0..VOCABULARY, 0..60), 1..30),
    ) {
        let options = LstmOptions { embedding: 6, hidden: 11, layers: 2, ..LstmOptions::default() };
        let model = random(options, VOCABULARY as usize, 2);
        let score = |documents: &[Vec<u32>], state, threads| -> Score {
            let (ids, offsets) = ragged(documents);
            let mut carried = (state == State::Carry).then(|| common::state(&model));
            let text = Text { ids: &ids, offsets: &offsets };
            model.score(&Host::new(&Threads(threads)), text, carried.as_mut()).unwrap()
        };
        for state in [State::Reset, State::Carry] {
            let one = score(&documents, state, 1);
            prop_assert_eq!(one, score(&documents, state, 2));
            prop_assert_eq!(one, score(&documents, state, 4));
        }
        let whole = score(&documents, State::Reset, 2);
        let parts: Vec<Score> = documents.iter().map(|d| score(std::slice::from_ref(d), State::Reset, 2)).collect();
        prop_assert_eq!(whole.tokens, parts.iter().map(|p| p.tokens).sum::<u64>());
        let nll: f64 = parts.iter().map(|p| p.nll).sum();
        prop_assert!((whole.nll - nll).abs() <= 1e-6 * nll, "{} is not {nll}", whole.nll);
    }

    /// Of a document, or of a stream: the losses of its tokens add up to its own, and cut anywhere a stream is predicted the
    /// same, its state carried on.
    #[test]
    fn tokens_add_up(
        documents in proptest::collection::vec(proptest::collection::vec(0..VOCABULARY, 0..60), 1..20),
        cut in any::<prop::sample::Index>(),
        fast: bool,
    ) {
        let options = LstmOptions { embedding: 6, hidden: 11, layers: 2, fast, ..LstmOptions::default() };
        let model = random(options, VOCABULARY as usize, 2);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
        for carries in [false, true] {
            let mut carried = carries.then(|| common::state(&model));
            let (losses, counts, tokens) = predict(&model, &documents, carried.as_mut(), &[], 2).unwrap();
            let mut at = 0;
            for (d, document) in documents.iter().enumerate() {
                let own = &tokens[at..at + document.len()];
                let sum: f64 = own.iter().filter(|loss| !loss.is_nan()).map(|&loss| f64::from(loss)).sum();
                prop_assert!(near(sum, losses[d]), "{} is not {}", sum, losses[d]);
                let given = own.iter().filter(|loss| loss.is_nan()).count();
                prop_assert_eq!(counts[d] as usize + given, document.len());
                prop_assert_eq!(given, usize::from(!document.is_empty() && (at == 0 || !carries)));
                at += document.len();
            }
            if carries {
                let cut = cut.index(documents.len() + 1);
                let mut state = Some(common::state(&model));
                let first = predict(&model, &documents[..cut], state.as_mut(), &[], 2).unwrap();
                let second = predict(&model, &documents[cut..], state.as_mut(), &[], 2).unwrap();
                prop_assert_eq!([first.1, second.1].concat(), counts);
                for (a, b) in [first.0, second.0].concat().into_iter().zip(losses) {
                    prop_assert!(near(a, b), "{} is not {}", a, b);
                }
            }
        }
    }
}

#[test]
fn cells_cannot_be_masked() {
    let options = LstmOptions { embedding: 2, hidden: 3, cell_sites: true, ..LstmOptions::default() };
    let model = random(options, 9, 2);
    let error = predict(&model, &[vec![1, 2]], None, &[Mask { site: 1, values: &[0.0; 3] }], 1).unwrap_err();
    assert!(error.message().contains("lstm.0.cell cannot be masked"), "{error}");
    assert!(predict(&model, &[vec![1, 2]], None, &[Mask { site: 0, values: &[0.0; 2] }], 1).is_err());
}
