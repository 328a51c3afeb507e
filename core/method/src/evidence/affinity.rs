//! All neurons together.

use super::cells::Held;

/// The affinity of all neurons together, and of their masses alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Affinity {
    pub all: f64,
    pub usage: f64,
}

impl Affinity {
    /// None where a side has no mass.
    pub fn of(held: &Held) -> Option<Self> {
        let whole: [f64; 2] = [0, 1].map(|side| held.mass[side].iter().sum());
        let of = whole[0] * whole[1];
        let mut affinity = Self::default();
        for ((p, q), one) in held.mass[0].iter().zip(&held.mass[1]).zip(&held.affinity) {
            let share = (p * q).sqrt();
            affinity.usage += share;
            // Without a distribution on a side there is no mass there.
            affinity.all += if one.is_nan() { 0.0 } else { share * one };
        }
        let scale = 1.0 / of.sqrt();
        (of > 0.0).then_some(Self { all: affinity.all * scale, usage: affinity.usage * scale })
    }

    /// H of all neurons together, and of H² the usage and the preference.
    pub fn distance(self) -> [f64; 3] {
        // Rounding can carry an affinity an ulp beyond 1.
        let (all, usage) = (self.all.min(1.0), self.usage.min(1.0));
        [(1.0 - all).sqrt(), 1.0 - usage, usage - all]
    }
}
