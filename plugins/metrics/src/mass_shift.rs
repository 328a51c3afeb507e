//! How much more a neuron fires in one stage than in the other.

use txray_plugin::{Claim, Component, Host, MetricBatch, NoOptions, PreferenceMetric, Result};

/// `|m_q - m_p| / (m_q + m_p)` of the whole masses of both sides, in [0, 1].
///
/// It is blind to what a neuron prefers. It is `tanh(|ln m_q - ln m_p| / 2)`, and a distance of masses because tanh bends
/// down: twice the mass is 1/3, ten times is 9/11, whichever side has more.
#[derive(Clone, Copy, Debug)]
pub struct MassShift;

impl Component for MassShift {
    const KIND: &'static str = "mass-shift";
    const ABOUT: &'static str = "how far the whole masses are apart, whatever is preferred, in [0, 1]";
    /// No affinity: equal distributions can have different masses.
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Bounded, Claim::Triangle];
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl PreferenceMetric for MassShift {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        for (row, out) in batch.rows().zip(out) {
            let [p, q] = [row.mass_p, row.mass_q].map(|side| side.iter().sum::<f64>());
            *out = (q - p).abs() / (q + p);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::between;

    #[test]
    fn known_values() {
        let rows: [[&[f64]; 2]; 4] = [
            [&[1.0, 0.0], &[0.5, 1.5]],
            [&[2.0, 8.0], &[1.0, 0.0]],
            [&[1.0, 2.0], &[2.0, 1.0]],
            // No sum of a run is larger.
            [&[1e-12], &[4.6e18]],
        ];
        assert_eq!(between(&MassShift, &rows), [1.0 / 3.0, 9.0 / 11.0, 0.0, 1.0]);
    }
}
