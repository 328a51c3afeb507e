//! The Jensen-Shannon distance.

use std::f64::consts::LN_2;

use txray_plugin::{Claim, Component, Host, MetricBatch, NoOptions, PreferenceMetric, Result};

/// `sqrt((KL(p, m) + KL(q, m)) / 2)` with `m = (p + q) / 2` and logarithms of base 2, in [0, 1]: the root of the
/// divergence, which alone keeps the triangle (Endres and Schindelin, IEEE Trans. Inf. Theory 49, 2003).
#[derive(Clone, Copy, Debug)]
pub struct JensenShannon;

impl Component for JensenShannon {
    const KIND: &'static str = "jensen-shannon";
    const ABOUT: &'static str = "Jensen-Shannon distance of the preference distributions, in [0, 1]";
    /// One less the divergence is a kernel (Hein and Bousquet, AISTATS 2005).
    const CLAIMS: &'static [Claim] =
        &[Claim::Symmetric, Claim::Identity, Claim::Bounded, Claim::Triangle, Claim::Affinity];
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl PreferenceMetric for JensenShannon {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            let nats = row.p.iter().zip(row.q).map(|(&p, &q)| share(p, q)).sum::<f64>() / 2.0;
            // Rounding can carry disjoint distributions an ulp beyond 1.
            *out = (nats / LN_2).min(1.0).sqrt();
        }
        Ok(())
    }
}

/// What one feature brings to twice the divergence, in nats: `p ln(p/m) + q ln(q/m)`, at least 0, to a few ulps.
///
/// With `t = |p - q| / (p + q)` it is `m ((1 + t) ln(1 + t) + (1 - t) ln(1 - t))`. Where the sides are close, these two
/// terms are opposite but for `t²`, and rounding would leave distances of 1e-8, or roots of numbers below 0. The same
/// is `m (2 t atanh(t) + ln(1 - t²))`, whose terms are of the size of their sum.
fn share(p: f64, q: f64) -> f64 {
    let (high, low) = (p.max(q), p.min(q));
    let whole = high + low;
    let t = (high - low) / whole;
    if high == low {
        0.0
    } else if t < 0.5 {
        whole / 2.0 * (2.0 * t * t.atanh() + (-t * t).ln_1p())
    } else {
        let side = |p: f64| if p > 0.0 { p * (2.0 * p / whole).ln() } else { 0.0 };
        side(high) + side(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::between;

    /// By hand: of (1/2, 1/2) and (1, 0) the middle is (3/4, 1/4), and the divergence
    /// `(log2(2/3) / 2 + log2(2) / 2 + log2(4/3)) / 2`.
    #[test]
    fn known_values() {
        let [found, itself, disjoint] = between(
            &JensenShannon,
            &[[&[1.0, 1.0], &[2.0, 0.0]], [&[1.0, 2.0], &[1.0, 2.0]], [&[3.0, 0.0], &[0.0, 0.5]]],
        )[..] else {
            panic!("three rows")
        };
        let expected = (((2.0_f64 / 3.0).log2() / 2.0 + 0.5 + (4.0_f64 / 3.0).log2()) / 2.0).sqrt();
        assert!((found - expected).abs() < 1e-15, "{found}, not {expected}");
        assert_eq!((itself, disjoint), (0.0, 1.0));
    }

    /// With t both features' share of the change, the divergence is `t²/2 + t⁴/12 + ...` nats: the next term is beyond
    /// the digits there are. SciPy gives 0 at the last of them.
    #[test]
    fn sides_that_are_nearly_the_same_keep_their_digits() {
        for exponent in [-10, -20, -30, -45] {
            let t = 2.0_f64.powi(exponent);
            let found = between(&JensenShannon, &[[&[1.0 + t, 1.0 - t], &[1.0 - t, 1.0 + t]]])[0];
            let expected = t * ((1.0 + t * t / 6.0) / (2.0 * LN_2)).sqrt();
            assert!((found / expected - 1.0).abs() < 1e-11, "{found}, not {expected}");
        }
    }

    /// The two ways of computing a share meet.
    #[test]
    fn a_share_is_continuous() {
        let [below, above] = [0.5 - 1e-13, 0.5 + 1e-13].map(|t| share(1.0 + t, 1.0 - t));
        assert!((above - below).abs() < 1e-12 && above > below, "{below} and {above}");
        assert_eq!(share(0.3, 0.2), share(0.2, 0.3));
        assert_eq!(share(5e-324, 0.0), 5e-324 * LN_2);
    }
}
