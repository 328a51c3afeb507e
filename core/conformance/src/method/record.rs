//! The laws of record rules.

use std::collections::BTreeMap;

use proptest::prelude::*;
use txray_method::{AsGiven, RecordRule, Stage as Read};

use super::{Laws, merged, read};
use crate::bench::{Finding, Settings};
use crate::strategies::{Activations, Neuron, Spoken, Stage, activations};

/// Makes the rule on trial for a stage: what a rule has to know beforehand (means, say), it takes from the stage as it is
/// when every activation counts.
pub type Make<'a> = &'a dyn Fn(&Read) -> Box<dyn RecordRule>;

/// What a rule kept: by document, position and neuron, the strength.
type Recorded = BTreeMap<(u64, u32, Neuron), Strength>;

/// Compared by its bits.
#[derive(Clone, Copy)]
struct Strength(f32);

impl PartialEq for Strength {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl std::fmt::Debug for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Holds a record rule to the laws of all record rules, through the method's own counting.
pub fn record_rule(make: Make<'_>, settings: Settings) -> Vec<Finding> {
    let mut laws = Laws { what: "record rule", settings, findings: Vec::new() };
    let made = |stage: &Stage| Ok::<_, String>(make(&read(stage, &AsGiven)?));

    laws.law("keeps what it is given, each once, and for as much as is a number", |settings| {
        settings.for_all(activations(), |activations| {
            let stage = activations.all();
            let rule = made(&stage)?;
            // What else it may not keep, the method says itself.
            recorded(&stage, &*rule)?;
            Ok(())
        })
    });

    laws.law("counts merged shards as it counts the whole", |settings| {
        settings.for_all((activations(), any::<u64>()), |(activations, order)| {
            let stage = activations.all();
            let rule = made(&stage)?;
            let whole = read(&stage, &*rule)?;
            for (how, parts) in [
                ("read in shards", merged(&stage, &*rule, *order)?),
                ("read in one batch", read(&stage.joined(), &*rule)?),
            ] {
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

    laws.law("breaks ties alike in whatever order neurons are given, and takes what is 0", |settings| {
        settings.for_all(activations(), |activations| {
            let stage = activations.clone().coarse().all();
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
            let (once, other) = (recorded(&stage, &*made(&stage)?)?, recorded(&scaled, &*made(&scaled)?)?);
            if !once.keys().eq(other.keys()) {
                return Err("16 times as active, it keeps other neurons".to_owned());
            }
            // Strengths may be of the scale, or not; but all of them alike.
            let strengths = |of: &Recorded| of.values().map(|strength| f64::from(strength.0)).collect::<Vec<_>>();
            let (once, other) = (strengths(&once), strengths(&other));
            let factor = once.iter().zip(&other).find(|(a, _)| **a != 0.0).map_or(1.0, |(a, b)| b / a);
            match once.iter().zip(&other).find(|(a, b)| (**a * factor - **b).abs() > 1e-5 * b.abs()) {
                Some((a, b)) => {
                    Err(format!("16 times as active, a strength of {a} is {b}, and others are {factor} times"))
                }
                None => Ok(()),
            }
        })
    });

    laws.law("hears a neuron that speaks once", |settings| {
        settings.for_all((activations(), any::<u64>()), |(activations, number)| {
            // Some rules listen to what is far below 0: one of both is enough.
            let told = [1e4, -1e4].map(|voice| heard(activations, *number, voice, &made));
            match told {
                [Ok(()), _] | [_, Ok(())] => Ok(()),
                [Err(told), _] => Err(told),
            }
        })
    });
    laws.findings
}

/// Whether a neuron is heard that speaks at one token, ten times as loud as any.
fn heard(
    activations: &Activations,
    number: u64,
    voice: f32,
    made: &impl Fn(&Stage) -> Result<Box<dyn RecordRule>, String>,
) -> Result<(), String> {
    let Some((activations, spoken)) = activations.clone().speaking_once(number, voice) else { return Ok(()) };
    let Spoken { site, document, position, word } = spoken;
    let stage = activations.all();
    let rule = made(&stage)?;
    let read = read(&stage, &*rule)?;
    let neuron = activations.widths()[..site as usize].iter().sum();
    let (features, met) = read.layers[0].of(neuron);
    let names = features.iter().map(|&feature| read.layers[0].features().get(feature as usize));
    let prefers = names.zip(met).any(|(name, met)| name == Some(&*word) && met.count > 0);
    let strength = recorded(&stage, &*rule)?.get(&(document, position, (site, 0))).copied();
    match prefers && strength.is_some_and(|strength| strength.0 > 0.0) {
        true => Ok(()),
        false => Err(format!(
            "neuron 0 of site {site} is at {voice} at document {document}, position {position} (`{word}`), ten times as far as \
             any ever is, and all but silent elsewhere: its strength there is {strength:?}, and it prefers that word: {prefers}"
        )),
    }
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
            recorded.insert((observed.document[at], observed.position[at], neuron), Strength(observed.strength[at]));
        }
    }
    Ok(recorded)
}
