//! The laws of weightings.

use proptest::prelude::*;
use txray_method::{AsGiven, Weigh};

use super::{Laws, TOLERANCE, distances, merged, read, same};
use crate::bench::{Finding, Settings};
use crate::strategies::{Activations, Planted, activations, planted};

/// Holds a weighting to the laws of all weightings, through the method's own comparison.
pub fn weighting(weighting: &dyn Weigh, settings: Settings) -> Vec<Finding> {
    let mut laws = Laws { what: "weighting", settings, findings: Vec::new() };
    let apart = |from: &Activations, to: &Activations| {
        distances(&read(&from.all(), &AsGiven)?, &read(&to.all(), &AsGiven)?, weighting)
    };
    let pairs = || (activations(), any::<u64>()).prop_map(|(from, which)| (from.clone(), from.replaced(which)));

    laws.law("gives a distribution to every neuron that prefers something", |settings| {
        settings.for_all(pairs(), |(from, to)| {
            let (from, to) = (read(&from.all(), &AsGiven)?, read(&to.all(), &AsGiven)?);
            for ((neuron, layer), distance) in distances(&from, &to, weighting)? {
                let of = |stage: &txray_method::Stage| {
                    let start: usize = stage.neurons.sites[..neuron.0 as usize].iter().map(|site| site.width).sum();
                    !stage.layers[layer].of(start + neuron.1 as usize).0.is_empty()
                };
                let should = of(&from) && of(&to);
                if distance.is_some() != should {
                    return Err(format!("neuron {neuron:?} prefers something: {should}; its distance is {distance:?}"));
                }
            }
            Ok(())
        })
    });

    laws.law("weighs merged shards as it weighs the whole", |settings| {
        settings.for_all((pairs(), any::<u64>()), |((from, to), order)| {
            let (from, to) = (from.all(), to.all());
            let whole = distances(&read(&from, &AsGiven)?, &read(&to, &AsGiven)?, weighting)?;
            let parts = distances(&merged(&from, &AsGiven, *order)?, &merged(&to, &AsGiven, *order)?, weighting)?;
            let bits = |all: &super::Distances| all.values().map(|d| d.map(f64::to_bits)).collect::<Vec<_>>();
            match bits(&whole) == bits(&parts) {
                true => Ok(()),
                false => Err(format!("read in shards, distances are {parts:?}, and at once {whole:?}")),
            }
        })
    });

    laws.law("does not depend on how features are numbered", |settings| {
        settings.for_all(pairs(), |(from, to)| {
            let renamed = apart(&from.clone().renamed(), &to.clone().renamed())?;
            same(&apart(from, to)?, &renamed, |neuron| neuron, "with other names")
        })
    });

    laws.law("does not depend on how neurons are numbered", |settings| {
        settings.for_all(pairs(), |(from, to)| {
            let turned = apart(&from.clone().turned(), &to.clone().turned())?;
            let place = |(site, neuron): (u32, u32)| (site, from.widths()[site as usize] as u32 - 1 - neuron);
            same(&apart(from, to)?, &turned, place, "with its neurons in the opposite order")
        })
    });

    laws.law("does not depend on the scale of activations", |settings| {
        settings.for_all(pairs(), |(from, to)| {
            let scaled = apart(&from.clone().scaled(16.0), &to.clone().scaled(16.0))?;
            same(&apart(from, to)?, &scaled, |neuron| neuron, "16 times as active")
        })
    });

    laws.law("sees what was planted, and nothing else", |settings| {
        settings.for_all(planted(), |Planted { from, to, changed }| {
            let found = distances(&read(from, &AsGiven)?, &read(to, &AsGiven)?, weighting)?;
            for ((neuron, layer), distance) in found.into_iter().filter(|((_, layer), _)| *layer == 0) {
                let Some(distance) = distance else { continue };
                let is_changed = changed.contains_key(&neuron);
                if (distance > TOLERANCE) != is_changed {
                    let what = if is_changed { "met other words" } else { "met the same words" };
                    return Err(format!("neuron {neuron:?} {what}, and its distance in layer {layer} is {distance}"));
                }
            }
            Ok(())
        })
    });
    laws.findings
}
