//! What SciPy computes (`scipy_distances.py`), for tests of the built-in metrics and of the examples.

use std::collections::HashMap;

use txray_conformance::strategies::{Pairs, Preference, Preferences};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Host, PreferenceMetric, serde_json};

/// Pairs of neurons, and the distances between them.
#[derive(Deserialize)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
pub struct Reference {
    pub names: Vec<String>,
    /// Of each feature, on the line that Wasserstein's distance is along.
    pub positions: Vec<f64>,
    /// Of the Kullback-Leibler divergence that is called `kl, smoothed`.
    pub smoothing: f64,
    rows: Vec<Row>,
    /// `[rows]`, by metric.
    distances: HashMap<String, Vec<Option<f64>>>,
}

#[derive(Deserialize)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
struct Row {
    features: Vec<u32>,
    counts: [Vec<u64>; 2],
    masses: [Vec<f64>; 2],
}

impl Reference {
    pub fn read() -> Self {
        serde_json::from_str(include_str!("scipy_distances.json")).unwrap()
    }

    /// As a metric is given them.
    fn pairs(&self) -> Pairs {
        let side = |row: &Row, side: usize| -> Preferences {
            let preferences = row.counts[side].iter().zip(&row.masses[side]);
            let preferences = preferences.map(|(&count, &mass)| Preference { count, mass });
            row.features.iter().copied().zip(preferences).filter(|(_, preference)| preference.count > 0).collect()
        };
        let rows: Vec<_> = self.rows.iter().map(|row| [side(row, 0), side(row, 1)]).collect();
        Pairs::named(self.names.iter().collect(), &rows, |preference| preference.mass)
    }

    /// Holds a metric to the distances called `name`, and gives the largest difference. `None` there is NaN here.
    pub fn hold(&self, name: &str, metric: &dyn PreferenceMetric) -> f64 {
        let (pairs, expected) = (self.pairs(), &self.distances[name]);
        let mut found = vec![0.0; pairs.len()];
        metric.distances(&Host::detached(), &pairs.batch(), &mut found).unwrap();
        let mut largest: f64 = 0.0;
        assert_eq!(found.len(), expected.len());
        for (row, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = expected.map_or(f64::from(u8::from(!found.is_nan())), |expected| (found - expected).abs());
            assert!(difference <= 1e-9, "`{name}` of row {row} is {found}, and SciPy's {expected:?}");
            largest = largest.max(difference);
        }
        largest
    }
}
