//! {{name}}: two changes of the method of txray, and the laws that hold them.

use txray_method::{Kept, Met, Neurons, RecordRule, Weigh};

/// At each token the one neuron whose activation is the greatest multiple of its mean size. A neuron that is always loud
/// does not drown out one that is quiet, but knows when to speak.
pub struct OverMean {
    /// `[sites][width]` mean of |h|.
    sizes: Vec<Vec<f64>>,
}

impl OverMean {
    /// By the means of a stage that was read before; `None` where its source does not tell them.
    pub fn of(neurons: &Neurons) -> Option<Self> {
        let [_, mean_abs, _] = neurons.moments.as_ref()?;
        let mut rest = mean_abs.as_slice();
        let sizes = neurons.sites.iter().map(|site| {
            let (of_site, others) = rest.split_at(site.width);
            rest = others;
            of_site.to_vec()
        });
        Some(Self { sizes: sizes.collect() })
    }
}

impl RecordRule for OverMean {
    fn record(&self, site: usize, neurons: &[u32], activations: &[f32], kept: &mut Vec<Kept>) {
        let over = |i: usize| f64::from(activations[i]) / self.sizes[site][neurons[i] as usize];
        // Ties go to the lower neuron, in whatever order they are given.
        let order = |&a: &usize, &b: &usize| over(a).total_cmp(&over(b)).then(neurons[b].cmp(&neurons[a]));
        // A neuron that was always 0 is 0 here, too, and 0 / 0 is no number.
        let best = (0..neurons.len()).filter(|&i| over(i).is_finite()).max_by(order);
        kept.extend(best.map(|candidate| Kept { candidate, strength: over(candidate) as f32 }));
    }
}

/// What a feature brought, times how surprising it is: what everybody prefers tells little of anybody.
pub struct Surprisal;

impl Weigh for Surprisal {
    fn weight(&self, met: &Met) -> f64 {
        // One nat more than the surprisal: where there is a single feature, it has to weigh something.
        met.mass * (1.0 - met.share.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    txray_conformance::weighting_suite!(Surprisal);
    txray_conformance::record_rule_suite!(|stage| Box::new(OverMean::of(&stage.neurons).unwrap()));

    /// Neuron 0 is always loud; neuron 1 speaks at every third token, and quietly.
    #[test]
    fn a_quiet_neuron_is_heard() {
        let neurons = Neurons {
            sites: vec![txray_plugin::Site { name: "h".to_owned(), width: 2 }],
            count: vec![3, 0],
            mass: vec![3.0, 0.0],
            moments: Some([vec![1.0, 0.1], vec![1.0, 0.1], vec![0.0, 0.0]]),
        };
        let rule = OverMean::of(&neurons).unwrap();
        let heard = |activations: &[f32]| {
            let mut kept = Vec::new();
            rule.record(0, &[0, 1], activations, &mut kept);
            kept[0].candidate
        };
        assert_eq!([&[1.0, 0.0], &[1.0, 0.0], &[1.0, 0.3]].map(|a| heard(a)), [0, 0, 1]);
    }
}
