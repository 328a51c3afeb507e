//! The laws of record rules.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use txray_method::{AsGiven, Kept, RecordRule, Stage as Read, Weighting};

use super::{Laws, TOLERANCE, distances, merged, read};
use crate::bench::{Finding, Settings};
use crate::strategies::{Activations, Neuron, Stage, activations};

/// Makes the rule on trial for a stage: what a rule has to know beforehand (means, say), it takes from the stage as it is
/// when every activation counts.
pub type Make<'a> = &'a dyn Fn(&Read) -> Box<dyn RecordRule>;

/// What a rule kept: by document, position and neuron, the bits of the strength.
type Recorded = BTreeMap<(u64, u32, Neuron), u32>;

/// Holds a record rule to the laws of all record rules, through the method's own counting.
pub fn record_rule(make: Make<'_>, settings: Settings) -> Vec<Finding> {
    let mut laws = Laws { what: "record rule", settings, findings: Vec::new() };
    let made = |stage: &Stage| Ok::<_, String>(make(&read(stage, &AsGiven)?));

    laws.law("keeps what it is given, each once, and for as much as is a number", |settings| {
        settings.for_all(activations(), |activations| {
            let stage = activations.all();
            let rule = made(&stage)?;
            for batch in &stage.batches {
                for (token, site) in batch.token.iter().zip(&batch.site).collect::<BTreeSet<_>>() {
                    let of = |at: &usize| batch.token[*at] == *token && batch.site[*at] == *site;
                    let at: Vec<usize> = (0..batch.token.len()).filter(of).collect();
                    let neurons: Vec<u32> = at.iter().map(|&at| batch.neuron[at]).collect();
                    let values: Vec<f32> = at.iter().map(|&at| batch.activation[at]).collect();
                    let mut kept: Vec<Kept> = Vec::new();
                    rule.record(*site as usize, &neurons, &values, &mut kept);
                    let once: BTreeSet<usize> = kept.iter().map(|kept| kept.candidate).collect();
                    let is_right = once.len() == kept.len() && once.iter().all(|&candidate| candidate < at.len());
                    if !is_right || kept.iter().any(|kept| !kept.strength.is_finite()) {
                        return Err(format!("of {values:?} it keeps {kept:?}"));
                    }
                }
            }
            Ok(())
        })
    });

    laws.law("counts merged shards as it counts the whole", |settings| {
        settings.for_all(activations(), |activations| {
            let stage = activations.all();
            let rule = made(&stage)?;
            let whole = read(&stage, &*rule)?;
            for (how, parts) in
                [("read in shards", merged(&stage, &*rule)?), ("read in one batch", read(&stage.joined(), &*rule)?)]
            {
                if parts != whole {
                    return Err(format!("{how}, the stage is {parts:?}, and it was {whole:?}"));
                }
            }
            Ok(())
        })
    });

    laws.law("does not depend on the order in which neurons are given", |settings| {
        settings.for_all(activations(), |activations| {
            let stage = activations.all();
            let rule = made(&stage)?;
            same(&recorded(&stage, &*rule)?, &recorded(&stage.clone().candidates_turned(), &*rule)?)
        })
    });

    laws.law("does not depend on how neurons are numbered", |settings| {
        settings.for_all(activations(), |activations| {
            let (stage, turned) = (activations.all(), activations.clone().turned().all());
            let place = |(site, neuron): Neuron| (site, activations.widths()[site as usize] as u32 - 1 - neuron);
            let expected = recorded(&stage, &*made(&stage)?)?;
            let expected =
                expected.into_iter().map(|((document, at, neuron), bits)| ((document, at, place(neuron)), bits));
            same(&expected.collect(), &recorded(&turned, &*made(&turned)?)?)
        })
    });

    laws.law("does not depend on the scale of activations", |settings| {
        settings.for_all(activations(), |activations| {
            let (stage, scaled) = (activations.all(), activations.clone().scaled(16.0).all());
            let places = |recorded: Recorded| recorded.into_keys().collect::<BTreeSet<_>>();
            let (once, other) = (recorded(&stage, &*made(&stage)?)?, recorded(&scaled, &*made(&scaled)?)?);
            match places(once) == places(other) {
                true => Ok(()),
                false => Err("16 times as active, it keeps other neurons".to_owned()),
            }
        })
    });

    laws.law("sees what was planted, and nothing else", |settings| {
        let planted = (activations(), any::<u64>()).prop_map(|(from, which)| (from.clone(), from.replaced(which)));
        settings.for_all(planted, |(from, to): &(Activations, Activations)| {
            let (from, to) = (from.all(), to.all());
            let rule = made(&from)?;
            let found = distances(&read(&from, &*rule)?, &read(&to, &*rule)?, &Weighting::Count)?;
            let (before, after) = (counted(&from, &*rule)?, counted(&to, &*rule)?);
            for ((neuron, layer), distance) in found.into_iter().filter(|((_, layer), _)| *layer == 0) {
                let is_changed = before.get(&neuron) != after.get(&neuron);
                if distance.is_some_and(|distance| (distance > TOLERANCE) != is_changed) {
                    return Err(format!(
                        "neuron {neuron:?}, changed: {is_changed}, is at {distance:?} in layer {layer}"
                    ));
                }
            }
            Ok(())
        })
    });
    laws.findings
}

fn same(expected: &Recorded, found: &Recorded) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("it keeps {found:?}, and kept {expected:?}")),
    }
}

fn recorded(stage: &Stage, rule: &dyn RecordRule) -> Result<Recorded, String> {
    let mut tally = txray_method::Tally::new(&stage.description);
    let mut recorded = Recorded::new();
    for batch in &stage.batches {
        let observed = tally.read(batch, rule).map_err(super::told)?;
        for at in 0..observed.len() {
            let neuron = (observed.site[at], observed.neuron[at]);
            recorded.insert((observed.document[at], observed.position[at], neuron), observed.strength[at].to_bits());
        }
    }
    Ok(recorded)
}

/// How often each neuron met each word with a strength above 0, counted plainly.
fn counted(stage: &Stage, rule: &dyn RecordRule) -> Result<BTreeMap<Neuron, BTreeMap<String, u64>>, String> {
    let recorded = recorded(stage, rule)?;
    let mut counts: BTreeMap<Neuron, BTreeMap<String, u64>> = BTreeMap::new();
    for batch in &stage.batches {
        for (index, &document) in batch.documents.iter().enumerate() {
            for token in batch.offsets[index]..batch.offsets[index + 1] {
                let position = (token - batch.offsets[index]) as u32;
                let word = batch.layers[0].names.get(batch.layers[0].features[token as usize] as usize);
                let here = recorded.range((document, position, (0, 0))..=(document, position, (u32::MAX, u32::MAX)));
                for (&(_, _, neuron), _) in here.filter(|(_, bits)| f32::from_bits(**bits) > 0.0) {
                    if let Some(word) = word {
                        *counts.entry(neuron).or_default().entry(word.to_owned()).or_default() += 1;
                    }
                }
            }
        }
    }
    Ok(counts)
}
