//! Sums that do not depend on the order of their terms.

use std::ops::AddAssign;

/// A sum of activations in fixed point: an `i128` with 64 fractional bits. Adding is exact, so any order of any
/// shards gives the same bits; a float's sum does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mass(i128);

const ONE: f64 = (1_u128 << 64) as f64;

/// Sums beyond this no longer fit the table's columns with room to spare: 2^62.
const LIMIT: i128 = 1 << (62 + 64);

impl Mass {
    /// An activation, rounded to 2^-64 (ties to even). Activations at or above 2^-40 are kept exactly: a float32
    /// has 24 bits.
    #[inline]
    pub fn of(activation: f32) -> Self {
        // Scaling by a power of two is exact. The cast saturates far beyond `LIMIT`, which `is_sound` then finds.
        Self((f64::from(activation) * ONE).round_ties_even() as i128)
    }

    /// Whether the sum is within its limit of 2^62.
    #[inline]
    pub fn is_sound(self) -> bool {
        self.0.unsigned_abs() <= LIMIT.unsigned_abs()
    }

    /// The nearest float64.
    #[inline]
    pub fn to_f64(self) -> f64 {
        // The conversion rounds once and the division by a power of two is exact.
        self.0 as f64 / ONE
    }

    /// The exact sum as (high, low) 64 bits: the table's columns `mass_hi` and `mass_lo`.
    pub fn parts(self) -> (i64, u64) {
        ((self.0 >> 64) as i64, self.0 as u64)
    }

    /// The inverse of [`Mass::parts`].
    pub fn from_parts(high: i64, low: u64) -> Self {
        Self(i128::from(high) << 64 | i128::from(low))
    }
}

impl AddAssign for Mass {
    /// Saturates, so that a sum beyond its limit stays there and is found.
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_round_trip(bits: i128) {
            let (high, low) = Mass(bits).parts();
            prop_assert_eq!(Mass::from_parts(high, low), Mass(bits));
        }

        #[test]
        fn usual_activations_are_exact(x in prop_oneof![-1.0_f32..1.0, 1e-12_f32..1e6]) {
            prop_assert_eq!(Mass::of(x).to_f64(), f64::from(x));
        }
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_go_to_even() {
        let bit = 2.0_f32.powi(-64);
        assert_eq!(Mass::of(bit / 2.0), Mass(0));
        assert_eq!(Mass::of(bit * 1.5), Mass(2));
        assert_eq!(Mass::of(bit * 0.75), Mass(1));
    }

    #[test]
    fn a_sum_beyond_the_limit_is_found_however_it_came() {
        let mut mass = Mass::of(2.0_f32.powi(62));
        assert!(mass.is_sound());
        mass += Mass::of(1.0);
        assert!(!mass.is_sound());
        assert!(!Mass::of(f32::MAX).is_sound());
    }
}
