//! What is read from a model.

use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use txray_plugin::{
    EncodeRequest, ExactSum, Host, Mask, Model, ModelDescription, Opaque, Rule, RuleKind, Sign, SiteRequest, Threads,
};

use super::{CASES, Documents, ModelMaker, SEED, VOCABULARY, documents, initialized, some_documents};
use crate::bench::{Bench, Failure};
use crate::guarded::Guarded;

/// How far moments may be off, relative to the sum of the sizes of what is added up: a model may add in single
/// precision.
const MOMENTS_TOLERANCE: f64 = 1e-4;

/// What the moments are set to before a call, which adds to them.
const BEFORE: ExactSum = ExactSum::of(0.5);

/// What was read at one site: `[tokens, k]` observations, and `[3][width]` moments.
#[derive(Clone, Debug)]
struct Reading {
    k: usize,
    neurons: Vec<u32>,
    activations: Vec<f32>,
    moments: [Vec<ExactSum>; 3],
}

impl Reading {
    /// The observations of these tokens, activations as bits.
    fn tokens(&self, tokens: std::ops::Range<usize>) -> Vec<(u32, u32)> {
        let at = tokens.start * self.k..tokens.end * self.k;
        let bits = self.activations[at.clone()].iter().map(|activation| activation.to_bits());
        self.neurons[at].iter().copied().zip(bits).collect()
    }
}

pub(super) fn hold(bench: &mut Bench<'_>, maker: &ModelMaker<'_>) {
    let mut model = None;
    let reads = bench.property("reads what it is given", |_| {
        let made = initialized(maker, SEED)?;
        let description = described(&*made)?;
        all(&*made, &description, &some_documents(), 1)?;
        model = Some((made, description));
        Ok(())
    });
    let Some((model, description)) = model.filter(|_| reads) else { return };
    observations(bench, &*model, &description);
    moments(bench, &*model, &description);
    whole_documents(bench, &*model, &description);
    state(bench, &*model, &description);
    rules(bench, &*model, &description);
    masks(bench, &*model, &description);
    predictions(bench, &*model, &description);
}

/// What observations depend on, and what they do not.
fn observations(bench: &mut Bench<'_>, model: &dyn Model, description: &ModelDescription) {
    bench.property("takes text without tokens", |_| {
        for empty in [vec![], vec![vec![]], vec![vec![]; 3]] {
            all(model, description, &empty, 2)?;
        }
        Ok(())
    });

    bench.property("reads a document the same whatever is beside it", |settings| {
        settings.at_most(CASES).for_all(documents(), |documents| {
            let together = all(model, description, documents, 1)?;
            let mut start = 0;
            for (number, document) in documents.iter().enumerate() {
                let alone = all(model, description, std::slice::from_ref(document), 1)?;
                let end = start + document.len();
                for (together, alone) in together.iter().zip(&alone) {
                    if together.tokens(start..end) != alone.tokens(0..document.len()) {
                        return Err(format!("document {number} reads otherwise alone than among the others"));
                    }
                }
                start = end;
            }
            Ok(())
        })
    });

    bench.property("reads the same on however many threads", |settings| {
        settings.at_most(CASES).for_all(documents(), |documents| {
            let one = all(model, description, documents, 1)?;
            for threads in [2, 4] {
                let more = all(model, description, documents, threads)?;
                if format!("{one:?}") != format!("{more:?}") {
                    return Err(format!("it reads otherwise on {threads} threads than on one"));
                }
            }
            Ok(())
        })
    });

    bench.property("gives the most active neurons in order", |settings| {
        settings.at_most(CASES).for_all(documents(), |documents| {
            for (site, all) in all(model, description, documents, 1)?.iter().enumerate() {
                for (token, (neurons, activations)) in
                    all.neurons.chunks(all.k).zip(all.activations.chunks(all.k)).enumerate()
                {
                    let mut once = neurons.to_vec();
                    once.sort_unstable();
                    if once != (0..all.k as u32).collect::<Vec<_>>() {
                        return Err(format!("at token {token} of site {site} it gave the neurons {neurons:?}"));
                    }
                    let in_order = |i: usize| match activations[i].partial_cmp(&activations[i + 1]) {
                        Some(std::cmp::Ordering::Greater) => true,
                        Some(std::cmp::Ordering::Equal) => neurons[i] < neurons[i + 1],
                        _ => false,
                    };
                    if !(0..all.k - 1).all(in_order) {
                        return Err(format!("at token {token} of site {site} it gave {neurons:?} at {activations:?}"));
                    }
                }
                let tokens = documents.concat().len();
                for k in [1, 2.min(all.k)] {
                    let few = &encode(model, description, documents, &[(site, k)], None, 1)?[0];
                    for token in 0..tokens {
                        if few.tokens(token..token + 1) != all.tokens(token..token + 1)[..k] {
                            return Err(format!(
                                "at token {token} of site {site} the first {k} of all are not what it gives for {k}"
                            ));
                        }
                    }
                }
            }
            Ok(())
        })
    });
}

/// The moments are those of the observations.
fn moments(bench: &mut Bench<'_>, model: &dyn Model, description: &ModelDescription) {
    bench.property("adds up what it reads", |settings| {
        settings.at_most(CASES).for_all(documents(), |documents| {
            for (site, reading) in all(model, description, documents, 1)?.iter().enumerate() {
                let mut expected = [0, 1, 2].map(|_| vec![0.0; reading.k]);
                let mut size = vec![0.0; reading.k];
                for (&neuron, &activation) in reading.neurons.iter().zip(&reading.activations) {
                    let (n, h) = (neuron as usize, f64::from(activation));
                    for (sum, value) in expected.iter_mut().zip([h, h.abs(), h * h]) {
                        sum[n] += value;
                    }
                    size[n] += h.abs().max(h * h);
                }
                for (what, (sum, expected)) in ["h", "|h|", "h²"].iter().zip(reading.moments.iter().zip(&expected)) {
                    for n in 0..reading.k {
                        let rose = sum[n].to_f64() - BEFORE.to_f64();
                        if (rose - expected[n]).abs() > MOMENTS_TOLERANCE * size[n] + 1e-9 {
                            return Err(format!(
                                "at site {site} the sum of {what} of neuron {n} rose by {rose}, not {}",
                                expected[n]
                            ));
                        }
                    }
                }
            }
            Ok(())
        })
    });
}

/// What is added to the moments for each document is that document's.
fn whole_documents(bench: &mut Bench<'_>, model: &dyn Model, description: &ModelDescription) {
    bench.property("adds to the moments the same whatever documents are beside", |settings| {
        settings.at_most(CASES).for_all(documents(), |documents| {
            let mut together = moments_of(model, description, documents)?;
            let mut apart = vec![ExactSum::ZERO; together.len()];
            for (number, document) in documents.iter().enumerate() {
                let alone = moments_of(model, description, std::slice::from_ref(document))?;
                apart.iter_mut().zip(alone).for_each(|(sum, more)| *sum += more);
                if number > 0 {
                    // Each reading adds to what was there before.
                    together.iter_mut().for_each(|sum| *sum += BEFORE);
                }
            }
            match together == apart {
                true => Ok(()),
                false => Err("of documents read one by one the moments sum to other bits".to_owned()),
            }
        })
    });
}

/// Of all sites, one after the other.
fn moments_of(
    model: &dyn Model,
    description: &ModelDescription,
    documents: &[Vec<u32>],
) -> Result<Vec<ExactSum>, String> {
    Ok(all(model, description, documents, 2)?.into_iter().flat_map(|reading| reading.moments.concat()).collect())
}

/// The state that is carried from call to call.
fn state(bench: &mut Bench<'_>, model: &dyn Model, description: &ModelDescription) {
    bench.property("carries its state from call to call", |settings| {
        let Some(carry) = model.as_carry() else {
            return Err(Failure::Skipped("it has no state to carry".to_owned()));
        };
        let made = |from: Option<&Opaque>| {
            carry.state(&Host::detached(), from).map_err(|error| format!("it made no state: {error}"))
        };
        let stream = (prop::collection::vec(0..VOCABULARY as u32, 1..24), any::<prop::sample::Index>());
        settings.at_most(CASES).for_all(stream, |(stream, cut)| {
            let cut = cut.index(stream.len() + 1);
            let sites: Vec<_> = description.sites.iter().enumerate().map(|(site, s)| (site, s.width)).collect();
            // As documents of three tokens: they are one stream.
            let read = |part: &[u32], state: &mut Opaque| {
                let documents: Vec<Vec<u32>> = part.chunks(3).map(<[u32]>::to_vec).collect();
                encode(model, description, &documents, &sites, Some(state), 1)
            };
            let mut state = made(None)?;
            let whole = read(stream, &mut state)?;
            let mut cut_state = made(None)?;
            let first = read(&stream[..cut], &mut cut_state)?;
            // A copy is a state of its own.
            let mut copy = made(Some(&cut_state))?;
            read(&stream[..cut], &mut copy)?;
            let second = read(&stream[cut..], &mut cut_state)?;
            for site in 0..sites.len() {
                let mut parts = first[site].tokens(0..cut);
                parts.extend(second[site].tokens(0..stream.len() - cut));
                if parts != whole[site].tokens(0..stream.len()) {
                    return Err(format!("cut after {cut} tokens, the stream reads otherwise at site {site}"));
                }
            }
            let mut copy = made(Some(&state))?;
            let next = [&mut state, &mut cut_state, &mut copy].map(|state| read(stream, state));
            let [whole, cut_once, copied] = next;
            match format!("{:?}", whole?) {
                whole if whole != format!("{:?}", cut_once?) => {
                    Err(format!("cut after {cut} tokens, the stream ends in another state"))
                }
                whole if whole != format!("{:?}", copied?) => Err("a copy of a state is another state".to_owned()),
                _ => Ok(()),
            }
        })
    });
}

/// What a rule keeps is what the top of all neurons says, by each sign.
fn rules(bench: &mut Bench<'_>, model: &dyn Model, description: &ModelDescription) {
    bench.property("keeps by its rules and by every sign what it reads", |settings| {
        let rules = model.capabilities().rules;
        settings.at_most(CASES).for_all((documents(), -0.1..0.5_f32), |(documents, threshold)| {
            for (site, described) in description.sites.iter().enumerate() {
                let all = &encode(model, description, documents, &[(site, described.width)], None, 1)?[0];
                let mut every: Vec<Observation> = (0..all.neurons.len())
                    .map(|at| ((at / all.k) as u32, all.neurons[at], all.activations[at].to_bits()))
                    .collect();
                every.sort_unstable();
                for sign in [Sign::Positive, Sign::Negative, Sign::Absolute] {
                    if rules.contains(&RuleKind::All) && kept(model, description, documents, site, Rule::All, sign)? != every {
                        return Err(format!("by the rule `all` it does not keep every activation of site {site}"));
                    }
                    let strength = |of: &Observation| sign.strength(f32::from_bits(of.2));
                    if rules.contains(&RuleKind::Above) {
                        let above: Vec<_> = every.iter().copied().filter(|of| strength(of) > *threshold).collect();
                        if kept(model, description, documents, site, Rule::Above(*threshold), sign)? != above {
                            return Err(format!(
                                "by the rule `above` it does not keep what is above {threshold} at site {site}, {sign:?}"
                            ));
                        }
                    }
                    let asked = Asked { sign, ..Asked::default() };
                    let few = all.k.min(3);
                    let top = &read(model, description, documents, &[(site, few)], asked, 1)?.0[0];
                    for (token, of_token) in every.chunks(all.k).enumerate() {
                        let mut best = of_token.to_vec();
                        best.sort_by(|a, b| strength(b).total_cmp(&strength(a)).then(a.1.cmp(&b.1)));
                        let found = top.tokens(token..token + 1);
                        if !found.iter().copied().eq(best[..few].iter().map(|of| (of.1, of.2))) {
                            return Err(format!(
                                "at token {token} of site {site} it gave the {few} strongest as {found:?}, {sign:?}"
                            ));
                        }
                    }
                }
            }
            Ok(())
        })
    });
}

/// Token, neuron, and the bits of the activation.
type Observation = (u32, u32, u32);

/// What a rule emits of a site, sorted by token and neuron.
fn kept(
    model: &dyn Model,
    description: &ModelDescription,
    documents: &[Vec<u32>],
    site: usize,
    rule: Rule<'_>,
    sign: Sign,
) -> Result<Vec<Observation>, String> {
    let documents = Documents::new(documents);
    let sums = || vec![BEFORE; description.sites[site].width];
    let [mut sum, mut sum_abs, mut sum_sq] = [sums(), sums(), sums()];
    let kept: Mutex<Vec<Observation>> = Mutex::default();
    let emit = |block: &txray_plugin::Block<'_>| {
        let rows = block.token.iter().zip(block.neuron).zip(block.activation);
        let rows = rows.map(|((&token, &neuron), activation)| (token, neuron, activation.to_bits()));
        kept.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
    };
    let sites = vec![SiteRequest { site, rule, sign, sum: &mut sum, sum_abs: &mut sum_abs, sum_sq: &mut sum_sq }];
    let mut request = EncodeRequest { sites, emit: &emit, ..EncodeRequest::new(documents.text()) };
    let answer = encoder(model)?.encode(&Host::new(&Threads(2)), &mut request);
    answer.map_err(|error| format!("it did not read: {error}"))?;
    let mut kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    let asked = Asked::default();
    let expected = read(model, description, &documents.each(), &[(site, 1)], asked, 1)?.0[0].moments.clone();
    if [sum, sum_abs, sum_sq] != expected {
        return Err(format!("by a rule that emits, its moments of site {site} are others"));
    }
    // Within a document they come in order: sorting moves whole documents.
    let mut last = vec![0; documents.text().len()];
    for &(token, neuron, _) in &kept {
        let document = documents.offsets.partition_point(|&offset| offset <= u64::from(token)) - 1;
        let place = (u64::from(token) << 32) | (u64::from(neuron) + 1);
        if std::mem::replace(&mut last[document], place) >= place {
            return Err(format!("it emitted token {token} of document {document} out of order"));
        }
    }
    kept.sort_unstable();
    Ok(kept)
}

/// What a mask does.
fn masks(bench: &mut Bench<'_>, model: &dyn Model, description: &ModelDescription) {
    bench.property("holds neurons to the values of a mask", |settings| {
        if !model.capabilities().masks {
            return Err(Failure::Skipped("it knows no masks".to_owned()));
        }
        settings.at_most(CASES).for_all(documents(), |documents| {
            let maskable =
                description.sites.iter().enumerate().filter(|(site, _)| !description.unmaskable.contains(site));
            for (site, described) in maskable {
                let mut values = vec![f32::NAN; described.width];
                let under = |masks: &[Mask<'_>]| {
                    let asked = Asked { masks, ..Asked::default() };
                    Ok::<_, String>(
                        read(model, description, documents, &[(site, described.width)], asked, 2)?.0.remove(0),
                    )
                };
                if format!("{:?}", under(&[Mask { site, values: &values }])?) != format!("{:?}", under(&[])?) {
                    return Err(format!("a mask of site {site} that holds no neuron changes what it reads"));
                }
                (values[described.width - 1], values[0]) = (0.25, 0.0);
                let masked = under(&[Mask { site, values: &values }])?;
                for (&neuron, &activation) in masked.neurons.iter().zip(&masked.activations) {
                    let value = values[neuron as usize];
                    if !value.is_nan() && value.to_bits() != activation.to_bits() {
                        return Err(format!("neuron {neuron} of site {site} is held to {value}, and is {activation}"));
                    }
                }
            }
            Ok(())
        })
    });
}

/// What it predicts at a token depends on its document alone.
fn predictions(bench: &mut Bench<'_>, model: &dyn Model, description: &ModelDescription) {
    bench.property("predicts at a token the same whatever is beside", |settings| {
        if !model.capabilities().predictions {
            return Err(Failure::Skipped("it tells no predictions".to_owned()));
        }
        settings.at_most(CASES).for_all(documents(), |documents| {
            let predicted = |documents: &[Vec<u32>], threads| {
                let asked = Asked { predictions: true, ..Asked::default() };
                Ok::<_, String>(read(model, description, documents, &[], asked, threads)?.1)
            };
            let together = predicted(documents, 2)?;
            let apart: Result<Vec<_>, _> = documents.iter().map(|of| predicted(std::slice::from_ref(of), 1)).collect();
            match together == apart?.concat() {
                true => Ok(()),
                false => Err("it predicts otherwise alone than among others".to_owned()),
            }
        })
    });
}

/// An error where two models that are alike read some text differently, bit by bit.
pub(super) fn same(a: &dyn Model, b: &dyn Model, description: &ModelDescription) -> Result<(), String> {
    let documents = some_documents();
    match reads(a, description, &documents)? == reads(b, description, &documents)? {
        true => Ok(()),
        false => Err("it reads otherwise than before".to_owned()),
    }
}

/// Every neuron at every token of documents, and the moments, to be compared bit by bit.
pub(super) fn reads(
    model: &dyn Model,
    description: &ModelDescription,
    documents: &[Vec<u32>],
) -> Result<String, String> {
    Ok(format!("{:?}", all(model, description, documents, 1)?))
}

pub(super) fn described(model: &dyn Model) -> Result<ModelDescription, String> {
    model.describe().map_err(|error| format!("it did not describe itself: {error}"))
}

/// `[sites]`: reads every neuron of every site.
fn all(
    model: &dyn Model,
    description: &ModelDescription,
    documents: &[Vec<u32>],
    threads: usize,
) -> Result<Vec<Reading>, String> {
    let sites: Vec<_> = description.sites.iter().enumerate().map(|(site, s)| (site, s.width)).collect();
    encode(model, description, documents, &sites, None, threads)
}

/// Reads documents at sites (index, k).
fn encode(
    model: &dyn Model,
    description: &ModelDescription,
    documents: &[Vec<u32>],
    sites: &[(usize, usize)],
    state: Option<&mut Opaque>,
    threads: usize,
) -> Result<Vec<Reading>, String> {
    Ok(read(model, description, documents, sites, Asked { state, ..Asked::default() }, threads)?.0)
}

/// What else is asked of a reading.
#[derive(Default)]
struct Asked<'a> {
    state: Option<&'a mut Opaque>,
    masks: &'a [Mask<'a>],
    sign: Sign,
    predictions: bool,
}

fn encoder(model: &dyn Model) -> Result<&dyn txray_plugin::Encode, String> {
    model.as_encode().ok_or_else(|| "it is no longer able to read".to_owned())
}

/// Reads documents at sites (index, k), into guarded memory; and what the model predicts at each token, if that is asked for.
fn read(
    model: &dyn Model,
    description: &ModelDescription,
    documents: &[Vec<u32>],
    sites: &[(usize, usize)],
    Asked { state, masks, sign, predictions }: Asked<'_>,
    threads: usize,
) -> Result<(Vec<Reading>, Vec<u32>), String> {
    let documents = Documents::new(documents);
    let tokens = documents.ids.len();
    // Outputs are filled with what no model gives, so that what a model does not write is seen.
    let mut outputs: Vec<_> = sites
        .iter()
        .map(|&(site, k)| {
            let width = description.sites[site].width;
            let sum = || Guarded::new(width, BEFORE, ExactSum::of(-777.0));
            (
                Guarded::new(tokens * k, u32::MAX, 77_777_u32),
                Guarded::new(tokens * k, f32::NAN, -777.0),
                [sum(), sum(), sum()],
            )
        })
        .collect();
    let mut predicted = Guarded::new(if predictions { tokens } else { 0 }, u32::MAX, 77_777_u32);
    let requests = outputs.iter_mut().zip(sites).map(|((neurons, activations, [sum, sum_abs, sum_sq]), &(site, k))| {
        let (neurons, activations) = (neurons.values_mut(), activations.values_mut());
        let (sum, sum_abs, sum_sq) = (sum.values_mut(), sum_abs.values_mut(), sum_sq.values_mut());
        SiteRequest { site, rule: Rule::Top { k, neurons, activations }, sign, sum, sum_abs, sum_sq }
    });
    let mut request = EncodeRequest {
        state,
        masks,
        sites: requests.collect(),
        predictions: predictions.then(|| (description.heads[0].task, predicted.values_mut())),
        ..EncodeRequest::new(documents.text())
    };
    let answer = encoder(model)?.encode(&Host::new(&Threads(threads)), &mut request);
    answer.map_err(|error| format!("it did not read: {error}"))?;

    if predicted.breach().is_some() || predicted.values().iter().any(|&token| token as usize >= description.vocabulary)
    {
        return Err("what it predicts are not tokens of its vocabulary, one a token".to_owned());
    }
    let readings = outputs.into_iter().zip(sites).map(|((neurons, activations, moments), &(site, k))| {
        let breached = neurons.breach().or(activations.breach()).or(moments.iter().find_map(Guarded::breach));
        if let Some(at) = breached {
            return Err(format!("at site {site} it wrote beside its outputs, at {at}"));
        }
        if let Some(at) = activations.values().iter().position(|activation| !activation.is_finite()) {
            return Err(format!("at site {site} it gave observation {at} no activation that is a number"));
        }
        let moments = moments.map(|moment| moment.values().to_vec());
        Ok(Reading { k, neurons: neurons.values().to_vec(), activations: activations.values().to_vec(), moments })
    });
    Ok((readings.collect::<Result<_, _>>()?, predicted.values().to_vec()))
}
