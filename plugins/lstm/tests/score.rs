//! Laws of scoring.

#![allow(clippy::unwrap_used)]

mod common;

use common::{ragged, random};
use proptest::prelude::*;
use txray_lstm::LstmOptions;
use txray_plugin::{Host, Model, Score, State, Text, Threads};

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
            model.score(&Host::new(&Threads(threads)), Text { ids: &ids, offsets: &offsets }, state).unwrap()
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
}
