//! The arithmetic of [`ExactSum`].

use core::fmt;
use core::ops::AddAssign;

use crate::ExactSum;

/// Sums beyond this are no longer told exactly: 2^62.
const LIMIT: u128 = 1 << (62 + 64);
/// Bits of a sum behind the point.
const FRACTION: i32 = 64;
/// Bits of a float64 behind its leading one.
const MANTISSA: i32 = 52;
const BIAS: i32 = 1023;

impl ExactSum {
    /// Nothing added yet.
    pub const ZERO: Self = Self { high: 0, low: 0 };

    /// A value, rounded to 2^-64, ties to even: a float32 of 2^-40 or more is kept exactly. What is no number, or beyond
    /// 2^62, becomes a sum that is not [sound](Self::is_sound).
    #[inline]
    pub const fn of(value: f64) -> Self {
        let bits = value.to_bits();
        let exponent = (bits >> MANTISSA & 0x7ff) as i32;
        // What is below 2^-1022 is far below the last bit.
        let mantissa = (bits & ((1 << MANTISSA) - 1) | 1 << MANTISSA) as i128;
        let shift = exponent - BIAS - MANTISSA + FRACTION;
        let size = if shift > 127 - MANTISSA - 1 {
            i128::MAX
        } else if shift >= 0 {
            mantissa << shift
        } else if shift >= -(MANTISSA + 1) {
            let (below, half) = (mantissa & ((1 << -shift) - 1), 1 << (-shift - 1));
            let whole = mantissa >> -shift;
            if below > half || below == half && whole & 1 == 1 { whole + 1 } else { whole }
        } else {
            0
        };
        Self::from_i128(if bits >> 63 == 1 { -size } else { size })
    }

    /// The sum of some values: the bits of adding them one by one where that stays within 2^62, in a fifth of the time.
    #[inline]
    pub fn of_all(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = Self::ZERO;
        let mut values = values.into_iter();
        loop {
            let (mut coarse, mut fine, mut count) = (0, 0, 0);
            for value in values.by_ref().take(Self::SPLITS) {
                count += 1;
                if value.abs() < Self::SPLIT_LIMIT {
                    let split = Self::split(value);
                    coarse += split.0;
                    fine += split.1;
                } else {
                    sum += Self::of(value);
                }
            }
            sum += Self::of_split(coarse, fine);
            if count < Self::SPLITS {
                return sum;
            }
        }
    }

    /// Values that [`ExactSum::split`] takes are below this.
    pub const SPLIT_LIMIT: f64 = (1 << 26) as f64;
    /// So many of what [`ExactSum::split`] gives can be added up.
    pub const SPLITS: usize = 1 << 12;

    /// A value as multiples of 2^-24, and what remains of it as multiples of 2^-64: whole numbers that can be added up without a
    /// carry, many values side by side.
    #[inline]
    pub fn split(value: f64) -> (i64, i64) {
        // From 2^52 to 2^53 the last bit of a float64 is 1: added to what is below 2^51, this rounds to a whole number, ties to
        // even, and the bits then count from those of this.
        const WHOLE: f64 = 1.5 * (1_u64 << MANTISSA) as f64;
        const COARSE: f64 = (1_u64 << 24) as f64;
        const FINE: f64 = (1_u128 << FRACTION) as f64;
        let whole = |value: f64| value.to_bits().wrapping_sub(WHOLE.to_bits()) as i64;
        let rounded = value * COARSE + WHOLE;
        let rest = value - (rounded - WHOLE) * (1.0 / COARSE);
        (whole(rounded), whole(rest * FINE + WHOLE))
    }

    /// The sum of what was split.
    #[inline]
    pub const fn of_split(coarse: i64, fine: i64) -> Self {
        Self::from_i128(((coarse as i128) << (FRACTION - 24)) + fine as i128)
    }

    /// The nearest float64.
    #[inline]
    pub const fn to_f64(self) -> f64 {
        // The conversion rounds once, and the product with a power of two is exact.
        self.to_i128() as f64 * (1.0 / (1_u128 << FRACTION) as f64)
    }

    /// Whether the sum is within 2^62 of 0. One that is not stays so.
    #[inline]
    pub const fn is_sound(self) -> bool {
        self.to_i128().unsigned_abs() <= LIMIT
    }

    #[inline]
    const fn to_i128(self) -> i128 {
        (self.high as i128) << 64 | self.low as i128
    }

    #[inline]
    const fn from_i128(bits: i128) -> Self {
        Self { high: (bits >> 64) as i64, low: bits as u64 }
    }
}

impl AddAssign for ExactSum {
    /// A sum beyond its limit stays as it is, so that it is found whatever is added to it.
    #[inline]
    fn add_assign(&mut self, other: Self) {
        // Of two that are within their limits, the sum is far from that of the type.
        *self = match (self.is_sound(), other.is_sound()) {
            (true, true) => Self::from_i128(self.to_i128().wrapping_add(other.to_i128())),
            (true, false) => other,
            (false, _) => *self,
        };
    }
}

impl AddAssign<f64> for ExactSum {
    /// Adds [`ExactSum::of`] the value.
    #[inline]
    fn add_assign(&mut self, value: f64) {
        *self += Self::of(value);
    }
}

/// The nearest float64; a sum that is not sound does not remember what it was.
impl fmt::Display for ExactSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_sound() { self.to_f64().fmt(f) } else { f.write_str("no number within 2^62") }
    }
}
