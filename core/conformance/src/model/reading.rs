//! What is read from a model.

use proptest::prelude::*;
use txray_plugin::{EncodeRequest, ExactSum, Host, Model, ModelDescription, Score, SiteRequest, State, Threads};

use super::{CASES, Documents, ModelMaker, SEED, VOCABULARY, initialized};
use crate::bench::{Bench, Failure};
use crate::guarded::Guarded;

/// How far moments may be off, relative to the sum of the sizes of what is added up: a model may add in single
/// precision.
const MOMENTS_TOLERANCE: f64 = 1e-4;

/// What the moments are set to before a call, which adds to them.
const BEFORE: ExactSum = ExactSum::of(0.5);

/// 1 to 5 documents of up to 11 tokens; some have none.
fn documents() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(0..VOCABULARY as u32, 0..12), 1..6)
}

/// Four documents, for properties that are tried on one text.
fn some_documents() -> Vec<Vec<u32>> {
    (0..4_u32).map(|d| (0..5 * d).map(|i| (i * i + d) % VOCABULARY as u32).collect()).collect()
}

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
    let reads = bench.property("answers what it is asked", |_| {
        let made = initialized(maker, SEED)?;
        let description = described(&*made)?;
        all(&*made, &description, &some_documents(), 1)?;
        score(&*made, &some_documents(), State::Reset, 1)?;
        model = Some((made, description));
        Ok(())
    });
    let Some((model, description)) = model.filter(|_| reads) else { return };
    observations(bench, &*model, &description);
    moments(bench, &*model, &description);
    whole_documents(bench, &*model, &description);
    state(bench, &*model, &description);
    scores(bench, &*model);
}

/// What observations depend on, and what they do not.
fn observations(bench: &mut Bench<'_>, model: &dyn Model, description: &ModelDescription) {
    bench.property("takes text without tokens", |_| {
        for empty in [vec![], vec![vec![]], vec![vec![]; 3]] {
            all(model, description, &empty, 2)?;
            for state in [State::Reset, State::Carry] {
                let found = score(model, &empty, state, 2)?;
                if (found.nll, found.tokens) != (0.0, 0) {
                    return Err(Failure::from(format!("it scored text without tokens as {found:?}")));
                }
            }
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
        if description.state_size == 0 {
            return Err(Failure::Skipped("it has no state".to_owned()));
        }
        let stream = (prop::collection::vec(0..VOCABULARY as u32, 1..24), any::<prop::sample::Index>());
        settings.at_most(CASES).for_all(stream, |(stream, cut)| {
            let cut = cut.index(stream.len() + 1);
            let sites: Vec<_> = description.sites.iter().enumerate().map(|(site, s)| (site, s.width)).collect();
            let read =
                |part: &[u32], state: &mut [f32]| encode(model, description, &[part.to_vec()], &sites, Some(state), 1);
            let mut state = vec![0.0; description.state_size];
            let whole = read(stream, &mut state)?;
            let mut cut_state = vec![0.0; description.state_size];
            let (first, second) = (read(&stream[..cut], &mut cut_state)?, read(&stream[cut..], &mut cut_state)?);
            for site in 0..sites.len() {
                let mut parts = first[site].tokens(0..cut);
                parts.extend(second[site].tokens(0..stream.len() - cut));
                if parts != whole[site].tokens(0..stream.len()) {
                    return Err(format!("cut after {cut} tokens, the stream reads otherwise at site {site}"));
                }
            }
            match state == cut_state {
                true => Ok(()),
                false => Err(format!("cut after {cut} tokens, the stream ends in another state")),
            }
        })
    });
}

/// Which tokens a score counts.
fn scores(bench: &mut Bench<'_>, model: &dyn Model) {
    bench.property("scores every token that follows another", |settings| {
        settings.at_most(CASES).for_all(documents(), |documents| {
            let tokens = |document: &Vec<u32>| document.len().saturating_sub(1) as u64;
            let reset = documents.iter().map(tokens).sum::<u64>();
            for (state, expected) in [(State::Reset, reset), (State::Carry, tokens(&documents.concat()))] {
                let [one, four] = [1, 4].map(|threads| score(model, documents, state, threads));
                let (one, four) = (one?, four?);
                if one.tokens != expected {
                    return Err(format!("with {state:?} it scored {} tokens, not {expected}", one.tokens));
                }
                if !one.nll.is_finite() || one.nll.to_bits() != four.nll.to_bits() {
                    return Err(format!("with {state:?} it scored {} on 1 thread, {} on 4", one.nll, four.nll));
                }
            }
            Ok(())
        })
    });
}

/// An error where two models read or score some text differently, bit by bit.
pub(super) fn same_readings(a: &dyn Model, b: &dyn Model) -> Result<(), String> {
    let (a_is, b_is) = (described(a)?, described(b)?);
    if a_is != b_is {
        return Err(format!("it is {b_is:?}, and before it was {a_is:?}"));
    }
    let documents = some_documents();
    if format!("{:?}", all(a, &a_is, &documents, 1)?) != format!("{:?}", all(b, &b_is, &documents, 1)?) {
        return Err("it reads otherwise than before".to_owned());
    }
    let [before, after] = [a, b].map(|model| score(model, &documents, State::Reset, 1));
    match before?.nll.to_bits() == after?.nll.to_bits() {
        true => Ok(()),
        false => Err("it scores otherwise than before".to_owned()),
    }
}

fn described(model: &dyn Model) -> Result<ModelDescription, String> {
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

/// Reads documents at sites (index, k), into guarded memory.
fn encode(
    model: &dyn Model,
    description: &ModelDescription,
    documents: &[Vec<u32>],
    sites: &[(usize, usize)],
    carry: Option<&mut [f32]>,
    threads: usize,
) -> Result<Vec<Reading>, String> {
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
    let requests = outputs.iter_mut().zip(sites).map(|((neurons, activations, [sum, sum_abs, sum_sq]), &(site, k))| {
        let (neurons, activations) = (neurons.values_mut(), activations.values_mut());
        let (sum, sum_abs, sum_sq) = (sum.values_mut(), sum_abs.values_mut(), sum_sq.values_mut());
        SiteRequest { site, k, neurons, activations, sum, sum_abs, sum_sq }
    });
    let mut request = EncodeRequest { text: documents.text(), carry, sites: requests.collect() };
    let answer = model.encode(&Host::new(&Threads(threads)), &mut request);
    answer.map_err(|error| format!("it did not read: {error}"))?;

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
    readings.collect()
}

fn score(model: &dyn Model, documents: &[Vec<u32>], state: State, threads: usize) -> Result<Score, String> {
    let documents = Documents::new(documents);
    let answer = model.score(&Host::new(&Threads(threads)), documents.text(), state);
    answer.map_err(|error| format!("it did not score: {error}"))
}
