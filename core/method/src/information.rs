//! What neurons tell of features.

use hashbrown::HashMap;
use txray_plugin::NULL;
use txray_plugin::random::Stream;

use crate::evidence::Observed;

/// How many times as frequent a word type may be as another whose features it is given.
const ALIKE: usize = 2;
/// Layers whose features are not of word types, so that permuting them among these says nothing.
const NOT_OF_TYPES: [&str; 5] = ["token", "word", "label", "position", "prediction"];
/// Permutations that a control is the mean of.
const CONTROLS: u64 = 10;

/// The mutual information of neuron and feature, in bits, and that of a control.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Information {
    /// `sum_(n, f) p(n, f) log2( p(n, f) / (p(n) p(f)) )` over observations; none without one.
    pub bits: Option<f64>,
    /// The same where each word type has the features of another of nearly equal frequency: what neurons tell of the feature by
    /// telling words apart, and what so many observations give by chance. None without a layer of words.
    pub control: Option<f64>,
}

impl Information {
    /// Of a layer of what was observed; `words` is the layer of its word types, where there is one.
    pub fn of(observed: &Observed, layer: usize, words: Option<usize>, seed: u64) -> Self {
        let neurons = || observed.neuron.iter().copied();
        let is_of_types = !NOT_OF_TYPES.contains(&&*observed.layers[layer].name);
        let types = words.filter(|_| is_of_types);
        let types = types.map(|words| Types::of(&observed.features[words], &observed.features[layer]));
        // Of the rows that the control is of.
        let is_used = |row: usize| types.is_none() || words.is_none_or(|words| observed.features[words][row] != NULL);
        let of = observed.features[layer].iter().enumerate();
        let bits = mutual(neurons().zip(of.map(|(row, &feature)| if is_used(row) { feature } else { NULL })));
        let control = types.and_then(|types| {
            let of = |draw| mutual(neurons().zip(types.permuted(seed, draw)));
            let drawn: Vec<f64> = (0..CONTROLS).filter_map(of).collect();
            (!drawn.is_empty()).then(|| drawn.iter().sum::<f64>() / drawn.len() as f64)
        });
        Self { bits, control }
    }
}

/// Of pairs whose second has a number.
fn mutual(pairs: impl Iterator<Item = (u32, u32)>) -> Option<f64> {
    let (mut both, mut first, mut second) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut all = 0_u64;
    for (a, b) in pairs.filter(|&(_, feature)| feature != NULL) {
        *both.entry((a, b)).or_insert(0_u64) += 1;
        *first.entry(a).or_insert(0_u64) += 1;
        *second.entry(b).or_insert(0_u64) += 1;
        all += 1;
    }
    let mut terms: Vec<((u32, u32), f64)> = both
        .into_iter()
        .map(|((a, b), count)| {
            let (count, all) = (count as f64, all as f64);
            ((a, b), count / all * (count * all / (first[&a] as f64 * second[&b] as f64)).log2())
        })
        .collect();
    // The order of a hash map is not that of the next run.
    terms.sort_unstable_by_key(|&(pair, _)| pair);
    (all > 0).then(|| terms.iter().map(|(_, term)| term).sum::<f64>().max(0.0))
}

/// The rows of each word type, the most frequent types first.
struct Types<'a> {
    features: &'a [u32],
    rows: Vec<Vec<usize>>,
}

impl<'a> Types<'a> {
    /// Of rows that have both.
    fn of(words: &[u32], features: &'a [u32]) -> Self {
        let mut of_type: HashMap<u32, Vec<usize>> = HashMap::new();
        for (row, (&word, &feature)) in words.iter().zip(features).enumerate() {
            if word != NULL && feature != NULL {
                of_type.entry(word).or_default().push(row);
            }
        }
        let mut rows: Vec<(u32, Vec<usize>)> = of_type.into_iter().collect();
        rows.sort_unstable_by_key(|(word, rows)| (std::cmp::Reverse(rows.len()), *word));
        Self { features, rows: rows.into_iter().map(|(_, rows)| rows).collect() }
    }

    /// `[rows]`: the feature of an occurrence of another type; [`NULL`] where there is no type.
    fn permuted(&self, seed: u64, draw: u64) -> Vec<u32> {
        let mut random = Stream::new(seed, "control", draw);
        let mut features = vec![NULL; self.features.len()];
        let mut rest = &self.rows[..];
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|rows| ALIKE * rows.len() > first.len()).count();
            let alike;
            (alike, rest) = rest.split_at(count);
            let mut other: Vec<usize> = (0..alike.len()).collect();
            random.shuffle(&mut other);
            for (rows, other) in alike.iter().zip(other) {
                // An occurrence of it by chance, and not the one at the same place: neighbours may have one topic.
                let from = &alike[other];
                let mut one = || from[random.below(from.len() as u32) as usize];
                rows.iter().for_each(|&row| features[row] = self.features[one()]);
            }
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two neurons, each of a feature of its own: one bit. Of both alike: none.
    #[test]
    fn known_values() {
        let of = |pairs: &[(u32, u32)]| mutual(pairs.iter().copied()).unwrap();
        assert_eq!(of(&[(0, 0), (1, 1), (0, 0), (1, 1)]), 1.0);
        assert_eq!(of(&[(0, 0), (1, 1), (0, 1), (1, 0)]), 0.0);
        assert!((of(&[(0, 0), (1, 1), (0, 1), (1, NULL)]) - 0.251_629_167_387_823).abs() < 1e-12);
        assert_eq!(mutual([(0, NULL)].into_iter()), None);
    }

    /// Neurons that know words, but nothing of their features: the control has as much.
    #[test]
    fn a_control_has_what_words_alone_tell() {
        let words: Vec<u32> = (0..4000).map(|row| row % 20).collect();
        let features: Vec<u32> = words.iter().map(|word| word % 2).collect();
        let types = Types::of(&words, &features);
        let bits = |neuron: &dyn Fn(u32) -> u32, features: &[u32]| {
            mutual(words.iter().map(|&word| neuron(word)).zip(features.iter().copied())).unwrap()
        };
        let control =
            |neuron: &dyn Fn(u32) -> u32| (0..20).map(|d| bits(neuron, &types.permuted(1, d))).sum::<f64>() / 20.0;
        let (by_word, by_feature) = (|word: u32| word, |word: u32| word % 2);
        assert!((bits(&by_word, &features) - 1.0).abs() < 1e-9 && (control(&by_word) - 1.0).abs() < 1e-9);
        assert!((bits(&by_feature, &features) - 1.0).abs() < 1e-9 && control(&by_feature) < 0.2);
    }

    proptest! {
        #[test]
        fn it_lies_between_nothing_and_what_either_has(pairs in prop::collection::vec((0..4_u32, 0..4_u32), 1..60)) {
            let bits = mutual(pairs.iter().copied()).unwrap();
            let swapped = mutual(pairs.iter().map(|&(a, b)| (b, a))).unwrap();
            prop_assert!((0.0..=2.0 + 1e-9).contains(&bits) && (bits - swapped).abs() < 1e-9);
        }

        #[test]
        fn permuted_features_are_of_types_as_frequent(words in prop::collection::vec(0..6_u32, 1..80)) {
            let features: Vec<u32> = words.clone();
            let permuted = Types::of(&words, &features).permuted(3, 0);
            for word in 0..6 {
                let of: Vec<u32> = words.iter().zip(&permuted).filter(|(w, _)| **w == word).map(|(_, f)| *f).collect();
                // A type has the features of one other.
                prop_assert!(of.windows(2).all(|pair| pair[0] == pair[1]));
            }
        }
    }
}
