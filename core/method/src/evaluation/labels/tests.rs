use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The scores of items that are each a document of its own.
fn scores(truth: &[u32], probabilities: &[f32], labels: usize) -> LabelScores {
    let told =
        Told { document: (0..truth.len()).collect(), truth: truth.to_vec(), probabilities: probabilities.to_vec() };
    let names: Vec<Arc<str>> = (0..labels).map(|label| label.to_string().into()).collect();
    LabelScores::of(&told, &names, &Draws::new(std::iter::repeat_n(None, truth.len()), 1))
}

fn values(scores: &LabelScores) -> [Option<f64>; 4] {
    let LabelScores { accuracy, macro_f1, roc_auc, calibration_error, .. } = scores;
    [accuracy, macro_f1, roc_auc, calibration_error].map(|estimate| estimate.map(|estimate| estimate.value))
}

/// `tests/reference/labels.py`
#[test]
fn scores_are_those_of_scikit_learn() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/reference/labels.json")).unwrap();
    for case in &cases {
        let numbers = |name: &str| case[name].as_array().unwrap().iter();
        let truth: Vec<u32> = numbers("truth").map(|label| label.as_u64().unwrap() as u32).collect();
        let probabilities: Vec<f32> = numbers("probabilities").map(|p| p.as_f64().unwrap() as f32).collect();
        let found = values(&scores(&truth, &probabilities, case["labels"].as_u64().unwrap() as usize));
        for (name, found) in ["accuracy", "macro_f1", "roc_auc", "calibration_error"].iter().zip(found) {
            let is_near = match (found, case[name].as_f64()) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                (found, expected) => found == expected,
            };
            assert!(is_near, "{}, {name}: {found:?}, not {}", case["name"], case[name]);
        }
    }
}

fn items(labels: u32) -> impl Strategy<Value = Vec<(u32, Vec<f32>)>> {
    let row = prop::collection::vec(0.01..1.0_f32, labels as usize).prop_map(|row| {
        let sum: f32 = row.iter().sum();
        row.into_iter().map(|value| value / sum).collect::<Vec<f32>>()
    });
    prop::collection::vec((0..labels, row), 1..40)
}

fn of(items: &[(u32, Vec<f32>)], labels: u32) -> LabelScores {
    let truth: Vec<u32> = items.iter().map(|(label, _)| *label).collect();
    let probabilities: Vec<f32> = items.iter().flat_map(|(_, row)| row.clone()).collect();
    scores(&truth, &probabilities, labels as usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Shares are in [0, 1], as are the ends of their intervals; they know no order.
    #[test]
    fn shares_are_shares_in_any_order((labels, mut rows) in (2..5_u32).prop_flat_map(|labels| (Just(labels), items(labels)))) {
        let found = of(&rows, labels);
        let LabelScores { accuracy, macro_f1, roc_auc, calibration_error, .. } = &found;
        for estimate in [accuracy, macro_f1, roc_auc, calibration_error].into_iter().flatten() {
            let ends = estimate.interval.unwrap_or([estimate.value; 2]);
            let all = [ends[0], estimate.value, ends[1]];
            prop_assert!(ends[0] <= ends[1] && all.iter().all(|value| (-1e-12..=1.0 + 1e-12).contains(value)), "{all:?}");
        }
        let is_right = |(truth, row): &(u32, Vec<f32>)| row.iter().all(|p| *p <= row[*truth as usize]);
        let right = rows.iter().filter(|row| is_right(row)).count() as f64 / rows.len() as f64;
        // Of labels that are as probable the first is told.
        prop_assert!(accuracy.unwrap().value <= right + 1e-12);
        prop_assert_eq!(found.labels.iter().map(|label| label.count).sum::<u64>(), rows.len() as u64);
        rows.reverse();
        for (a, b) in values(&found).into_iter().zip(values(&of(&rows, labels))) {
            prop_assert!(a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 1e-12) && a.is_some() == b.is_some());
        }
    }

    /// Where it is the other label that is asked for, the area is what is left of 1.
    #[test]
    fn the_other_label_has_the_other_area(rows in items(2)) {
        let swapped: Vec<(u32, Vec<f32>)> = rows.iter().map(|(label, row)| (1 - label, row.clone())).collect();
        let [a, b] = [&rows, &swapped].map(|rows| values(&of(rows, 2))[2]);
        prop_assert!(a.zip(b).is_none_or(|(a, b)| (a + b - 1.0).abs() < 1e-12), "{a:?} {b:?}");
    }
}

/// Documents whose words are right or wrong together are drawn together: of two such, a draw is often of one alone.
#[test]
fn words_of_a_document_are_drawn_together() {
    let told = Told {
        document: vec![0, 0, 0, 1, 1, 1],
        truth: vec![0; 6],
        probabilities: [[0.9, 0.1]; 3].into_iter().chain([[0.1, 0.9]; 3]).flatten().collect(),
    };
    let names: Vec<Arc<str>> = vec!["a".into(), "b".into()];
    let scores = LabelScores::of(&told, &names, &Draws::new([None, None].into_iter(), 1));
    assert_eq!(scores.accuracy, Some(Estimate { value: 0.5, interval: Some([0.0, 1.0]) }));
    assert_eq!(scores.roc_auc, None);
    let [a, b] = &scores.labels[..] else { panic!("two") };
    assert_eq!((a.count, a.predicted, a.precision, a.recall), (6, 3, Some(1.0), Some(0.5)));
    assert_eq!((b.count, b.predicted, b.precision, b.recall, b.f1), (0, 3, Some(0.0), None, Some(0.0)));
}
