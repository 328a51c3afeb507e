//! The built-in distances are those that SciPy computes.

#![allow(clippy::unwrap_used)]

#[expect(dead_code, reason = "tests of the examples read all of it")]
mod reference;

use reference::Reference;
use txray_metrics::{Hellinger, JensenShannon, MassShift, TotalVariation};
use txray_plugin::PreferenceMetric;

#[test]
fn distances_are_those_of_scipy() {
    let reference = Reference::read();
    let metrics: [(&str, &dyn PreferenceMetric); 4] = [
        ("hellinger", &Hellinger),
        ("jensen-shannon", &JensenShannon),
        ("total-variation", &TotalVariation),
        ("mass-shift", &MassShift),
    ];
    for (name, metric) in metrics {
        println!("{name}: {:e} at most", reference.hold(name, metric));
    }
}
