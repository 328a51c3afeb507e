//! Comparing results row by row.

/// How far rounding may carry a sum: absolute up to 1, relative above.
pub(crate) const TOLERANCE: f64 = 1e-9;

/// An error where two results are not equal bit by bit; all NaNs are equal. `when` says how `found` came about.
pub(crate) fn same(expected: &[f64], found: &[f64], when: &str) -> Result<(), String> {
    differ(expected, found, |a, b| a.to_bits() == b.to_bits(), when)
}

/// As [`same`], but within [`TOLERANCE`].
pub(crate) fn near(expected: &[f64], found: &[f64], when: &str) -> Result<(), String> {
    differ(expected, found, |a, b| a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0), when)
}

fn differ(expected: &[f64], found: &[f64], equal: impl Fn(f64, f64) -> bool, when: &str) -> Result<(), String> {
    let unequal = |(a, b): (&f64, &f64)| !(equal(*a, *b) || a.is_nan() && b.is_nan());
    match expected.iter().zip(found).position(unequal) {
        Some(row) => Err(format!("row {row} was {}, but {} {when}", expected[row], found[row])),
        None => Ok(()),
    }
}
