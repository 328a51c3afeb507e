//! The suite of sources.

use std::collections::HashSet;

use txray_host::Registry;
use txray_plugin::{ActivationBatch, ActivationSource, Host, NULL, SourceDescription, Threads};

use crate::bench::{Bench, Failure, Maker};
use crate::{lifecycle, options};

/// A source may be long: it is read up to this many batches or tokens.
const MOST_BATCHES: usize = 256;
const MOST_TOKENS: usize = 1 << 20;

/// A source reads what its options say: where they name files, their schema needs an example.
pub(crate) fn hold(bench: &mut Bench<'_>) {
    let Some(maker) = bench.maker(Registry::source) else { return };
    let mut description = None;
    bench.property("describes itself", |_| {
        let found = maker.fresh()?.describe().map_err(|error| format!("it failed: {error}"))?;
        described(&found)?;
        description = Some(found);
        Ok(())
    });
    if let Some(description) = &description {
        reading(bench, &maker, description);
    }
    options::hold(bench, &maker);
    lifecycle::hold(bench, &maker, &|source| {
        // A call that fails is reported by the properties above.
        let _ = source.next(&Host::new(&Threads(1)));
    });
}

fn reading(bench: &mut Bench<'_>, maker: &Maker<'_, dyn ActivationSource>, description: &SourceDescription) {
    let mut batches = Vec::new();
    let mut ended = false;
    let reads = bench.property("gives batches that fit together", |_| {
        let mut source = maker.fresh()?;
        (batches, ended) = read(&mut *source)?;
        for (number, batch) in batches.iter().enumerate() {
            fits(batch, description).map_err(|what| format!("in batch {number}, {what}"))?;
        }
        let found = source.describe().map_err(|error| format!("read, it failed to describe itself: {error}"))?;
        match found == *description {
            true => Ok(()),
            false => Err(Failure::from(format!("before it was read it was {description:?}, and then {found:?}"))),
        }
    });
    if !reads {
        return;
    }

    bench.property("reads the same every time", |_| {
        let (again, _) = read(&mut *maker.fresh()?)?;
        match (0..batches.len().max(again.len())).find(|&at| !same(batches.get(at), again.get(at))) {
            Some(at) => Err(Failure::from(format!(
                "made a second time, its batch {at} was {:?}, and before {:?}",
                again.get(at),
                batches.get(at)
            ))),
            None => Ok(()),
        }
    });

    bench.property("stays at its end", |_| {
        if !ended {
            let why = format!("it has not ended after {MOST_BATCHES} batches or {MOST_TOKENS} tokens");
            return Err(Failure::Skipped(why));
        }
        let mut source = maker.fresh()?;
        read(&mut *source)?;
        for _ in 0..3 {
            let next = source.next(&Host::new(&Threads(1)));
            if next.map_err(|error| format!("asked again at its end, it failed: {error}"))?.is_some() {
                return Err(Failure::from("asked again at its end, it gave another batch".to_owned()));
            }
        }
        Ok(())
    });
}

/// The batches of a source, and whether they are all.
fn read(source: &mut dyn ActivationSource) -> Result<(Vec<ActivationBatch>, bool), String> {
    let (mut batches, mut tokens) = (Vec::new(), 0);
    while batches.len() < MOST_BATCHES && tokens < MOST_TOKENS {
        let next = source.next(&Host::new(&Threads(1)));
        let next = next.map_err(|error| format!("asked for batch {}, it failed: {error}", batches.len()))?;
        let Some(batch) = next else { return Ok((batches, true)) };
        tokens += batch.starts.len();
        batches.push(batch);
    }
    Ok((batches, false))
}

/// Equal bit by bit: `Debug` shows different numbers differently, and every NaN alike.
fn same(a: Option<&ActivationBatch>, b: Option<&ActivationBatch>) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}

fn described(description: &SourceDescription) -> Result<(), String> {
    let SourceDescription { sites, layers } = description;
    if sites.is_empty() {
        return Err("it has no site".to_owned());
    }
    if let Some(site) = sites.iter().find(|site| site.width == 0) {
        return Err(format!("its site `{}` has no neuron", site.name));
    }
    let mut names = HashSet::new();
    if let Some(site) = sites.iter().find(|site| !names.insert(&site.name)) {
        return Err(format!("two of its sites are called `{}`", site.name));
    }
    names.clear();
    match layers.iter().find(|layer| !names.insert(*layer)) {
        Some(layer) => Err(format!("two of its layers are called `{layer}`")),
        None => Ok(()),
    }
}

/// An error where a batch breaks a rule of [`ActivationBatch`], or does not fit the description of its source.
pub(crate) fn fits(batch: &ActivationBatch, description: &SourceDescription) -> Result<(), String> {
    let ActivationBatch { documents, groups, offsets, starts, ends, unknown, layers, .. } = batch;
    let tokens = starts.len();
    let lengths = |what: &str, found: usize, of: &str, expected: usize| match found == expected {
        true => Ok(()),
        false => Err(format!("there are {found} {what} for {expected} {of}")),
    };
    lengths("offsets", offsets.len(), "documents and the end", documents.len() + 1)?;
    if offsets.first() != Some(&0) || offsets.last() != Some(&(tokens as u64)) || !offsets.is_sorted() {
        return Err(format!("the offsets {offsets:?} do not cut {tokens} tokens into documents"));
    }
    if !groups.is_empty() {
        lengths("groups", groups.len(), "documents", documents.len())?;
    }
    lengths("ends", ends.len(), "starts", tokens)?;
    for (token, (&start, &end)) in starts.iter().zip(ends).enumerate() {
        if (start == NULL) != (end == NULL) || start > end {
            return Err(format!("token {token} reaches from {start} to {end}"));
        }
    }
    if *unknown > tokens as u64 {
        return Err(format!("{unknown} of {tokens} tokens are unknown"));
    }
    let names: Vec<&String> = layers.iter().map(|layer| &layer.name).collect();
    if names != description.layers.iter().collect::<Vec<_>>() {
        return Err(format!("the layers are {names:?}, but {:?} were described", description.layers));
    }
    for layer in layers {
        lengths(&format!("features of layer `{}`", layer.name), layer.features.len(), "tokens", tokens)?;
        let beyond = |&&feature: &&u32| feature != NULL && feature as usize >= layer.names.len();
        if let Some(feature) = layer.features.iter().find(beyond) {
            return Err(format!("feature {feature} of layer `{}` has no name", layer.name));
        }
        if layer.unjoined > tokens as u64 {
            return Err(format!("{} of {tokens} tokens are unjoined in layer `{}`", layer.unjoined, layer.name));
        }
    }
    observations(batch, description, tokens)?;
    moments(batch, description)
}

fn observations(batch: &ActivationBatch, description: &SourceDescription, tokens: usize) -> Result<(), String> {
    let ActivationBatch { token, site, neuron, activation, .. } = batch;
    let lengths = [token.len(), site.len(), neuron.len(), activation.len()];
    if lengths.iter().any(|&length| length != token.len()) {
        return Err(format!("the columns of the observations have the lengths {lengths:?}"));
    }
    if !token.is_sorted() {
        return Err("the tokens of the observations fall".to_owned());
    }
    for at in 0..token.len() {
        if token[at] as usize >= tokens {
            return Err(format!("observation {at} is at token {} of {tokens}", token[at]));
        }
        let Some(described) = description.sites.get(site[at] as usize) else {
            return Err(format!("observation {at} is at site {} of {}", site[at], description.sites.len()));
        };
        if neuron[at] as usize >= described.width {
            return Err(format!("observation {at} is of neuron {} of {}", neuron[at], described.width));
        }
        if !activation[at].is_finite() {
            return Err(format!("observation {at} has the activation {}", activation[at]));
        }
    }
    Ok(())
}

fn moments(batch: &ActivationBatch, description: &SourceDescription) -> Result<(), String> {
    if batch.moments.is_empty() {
        return Ok(());
    }
    if batch.moments.len() != description.sites.len() {
        return Err(format!("there are moments of {} of {} sites", batch.moments.len(), description.sites.len()));
    }
    for (moments, site) in batch.moments.iter().zip(&description.sites) {
        for (what, moment) in [("h", &moments.sum), ("|h|", &moments.sum_abs), ("h²", &moments.sum_sq)] {
            if moment.len() != site.width {
                return Err(format!(
                    "at site `{}` there are {} sums of {what} for {} neurons",
                    site.name,
                    moment.len(),
                    site.width
                ));
            }
            if let Some(sum) = moment.iter().find(|sum| !sum.is_finite() || what != "h" && **sum < 0.0) {
                return Err(format!("at site `{}` a sum of {what} is {sum}", site.name));
            }
        }
    }
    Ok(())
}
