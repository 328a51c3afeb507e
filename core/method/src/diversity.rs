//! How many features there are in what was observed, however often it was.

/// The features that `draws` of a neuron's observations would meet, of which each was met so often: what is expected of drawing
/// without putting back (Hurlbert 1971). None where there are fewer observations.
pub(crate) fn rarefied(counts: &[u64], draws: u64) -> Option<f64> {
    let all = counts.iter().fold(0_u64, |sum, &count| sum.saturating_add(count));
    if draws > all {
        return None;
    }
    let ln_factorial = |n: u64| libm::lgamma(n as f64 + 1.0);
    // The logarithm of how many ways there are to draw from so many, in the order of drawing.
    let ways = |from: u64| ln_factorial(from) - ln_factorial(from - draws);
    let of_all = ways(all);
    let none_of = |count: u64| match all - count {
        others if others < draws => 0.0,
        others => (ways(others) - of_all).exp(),
    };
    // Most features were met a few times: the same logarithms again and again.
    const FEW: usize = 64;
    let mut few = [f64::NAN; FEW];
    let mut known = |count: u64| match few.get_mut(count as usize) {
        None => none_of(count),
        Some(known) => {
            if known.is_nan() {
                *known = none_of(count);
            }
            *known
        }
    };
    Some(counts.iter().filter(|count| **count > 0).map(|&count| 1.0 - known(count)).sum())
}

/// The Hill numbers of order 1 and 2 of a distribution: the exponential of its entropy, and 1 / sum of p² (Hill 1973).
pub(crate) fn hill(distribution: &[f64]) -> [f64; 2] {
    let entropy: f64 = distribution.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    let squares: f64 = distribution.iter().map(|p| p * p).sum();
    [entropy.exp(), 1.0 / squares]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lengths_that_are_rarefied_rise_to_what_was_observed(counts in prop::collection::vec(1..40_u64, 1..12)) {
            let all: u64 = counts.iter().sum();
            let lengths: Vec<f64> = (0..=all).map(|draws| rarefied(&counts, draws).unwrap()).collect();
            prop_assert!(lengths[0].abs() < 1e-9 && (lengths[1] - 1.0).abs() < 1e-9);
            prop_assert!((lengths[all as usize] - counts.len() as f64).abs() < 1e-9);
            prop_assert!(lengths.is_sorted_by(|a, b| *a <= b + 1e-9));
            prop_assert_eq!(rarefied(&counts, all + 1), None);
        }

        #[test]
        fn hill_numbers_lie_between_one_and_the_features(weights in prop::collection::vec(0.01..1.0_f64, 1..20)) {
            let sum: f64 = weights.iter().sum();
            let distribution: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            let [first, second] = hill(&distribution);
            prop_assert!(1.0 - 1e-12 <= second && second <= first + 1e-9);
            prop_assert!(first <= weights.len() as f64 + 1e-9);
        }
    }

    /// By hand: of 2 + 1 + 1 observations, two draws of 6 are of the first feature alone, and so on: 1 - 1/6 + 2 (1 - 3/6).
    #[test]
    fn known_values() {
        assert!((rarefied(&[2, 1, 1], 2).unwrap() - (5.0 / 6.0 + 1.0)).abs() < 1e-12);
        let even = hill(&[0.25; 4]);
        assert!(even.iter().all(|of| (of - 4.0).abs() < 1e-12));
        assert_eq!(hill(&[1.0, 0.0]), [1.0, 1.0]);
    }
}
