//! What a plugin may say of itself and give, held before anything is made of it: no size is believed that the boundary has no
//! room for, and no name that could not stand in a table.

use std::collections::HashSet;

use txray_plugin::{ActivationBatch, ExactSum, ModelDescription, NULL, Site, SourceDescription};

use crate::{ComponentInfo, PluginInfo};

/// The most values of a column that a plugin may give at once, and of a recurrent state: 1 GiB of `u32` or `f32`. The engine's
/// own batches have a thousandth of that.
pub(crate) const MOST_VALUES: usize = 1 << 28;
/// The longest description, in bytes: many times what [`MOST_SITES`] sites of usual names take.
pub(crate) const LONGEST_DESCRIPTION: usize = 1 << 24;
/// The longest message, in bytes: beyond it, nobody reads.
pub(crate) const LONGEST_MESSAGE: usize = 1 << 20;
/// The most neurons of all sites together. About 128 bytes are kept of each, so 2 GiB; the largest transformers known have some
/// 10 million behind their activation functions.
const MOST_NEURONS: u64 = 1 << 24;
/// What is kept of a neuron: sums of its activations, its mass, and counts.
const BYTES_OF_A_NEURON: u64 = 128;
/// The most sites.
const MOST_SITES: usize = 1 << 16;
/// The longest name of a site, in bytes.
const LONGEST_SITE: usize = 256;
/// The longest name that becomes a column or a part of a message.
const LONGEST_NAME: usize = 64;

/// So many bytes, for people.
pub(crate) fn bytes(bytes: u128) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", units[unit]) }
}

/// A text as it may be shown: nothing of it reaches a terminal as what it is not.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(LONGEST_NAME).collect();
    format!("`{}{}`", start.escape_debug(), if start.len() < text.len() { "..." } else { "" })
}

/// Names of plugins, components and layers become columns and parts of messages, and are what names of tables are: letters a to
/// z, digits, `.`, `_` and `-`, of which `.` and `-` do not come first.
fn name(what: &str, name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Err(format!("{what} has no name"));
    }
    if !name.chars().all(is_allowed) || name.starts_with(['.', '-']) || name.len() > LONGEST_NAME {
        return Err(format!(
            "{what} is called {}, but names have letters (a to z), digits, `.`, `_` and `-`, of which `.` and `-` do not \
             come first, and {LONGEST_NAME} characters at most",
            quoted(name)
        ));
    }
    Ok(())
}

/// An error where a plugin says of itself what it cannot be.
pub(crate) fn info(info: &PluginInfo) -> Result<(), String> {
    name("it", &info.name)?;
    if info.version.len() > LONGEST_NAME || info.version.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(format!("its version is {}", quoted(&info.version)));
    }
    let mut seen = HashSet::new();
    for ComponentInfo { interface, kind, claims, devices, .. } in &info.components {
        name("the interface of a component of it", &interface.replacen('/', ".", 1))?;
        name(&format!("a component of {interface}"), kind)?;
        claims.iter().try_for_each(|claim| name(&format!("a claim of `{kind}`"), claim))?;
        devices.iter().try_for_each(|device| name(&format!("a device of `{kind}`"), device))?;
        if !seen.insert((interface, kind)) {
            return Err(format!("two of its components of {interface} are called `{kind}`"));
        }
    }
    Ok(())
}

/// Reads well after "it describes itself wrongly: ".
fn sites(sites: &[Site]) -> Result<(), String> {
    if sites.is_empty() {
        return Err("it has no site".to_owned());
    }
    if sites.len() > MOST_SITES {
        return Err(format!("it has {} sites, and {MOST_SITES} is the most", sites.len()));
    }
    let mut names = HashSet::new();
    let mut neurons: u128 = 0;
    for Site { name, width } in sites {
        if name.is_empty() || name.len() > LONGEST_SITE || name.chars().any(is_unseen) {
            let rule = format!("a site has a name of at most {LONGEST_SITE} characters, and none that cannot be seen");
            return Err(format!("a site is called {}: {rule}", quoted(name)));
        }
        if *width == 0 {
            return Err(format!("its site `{name}` has no neuron"));
        }
        if !names.insert(name) {
            return Err(format!("two of its sites are called `{name}`"));
        }
        neurons += *width as u128;
    }
    if neurons > u128::from(MOST_NEURONS) {
        return Err(format!(
            "its sites have {neurons} neurons, which would need {} of memory; {MOST_NEURONS} is the most",
            bytes(neurons * u128::from(BYTES_OF_A_NEURON))
        ));
    }
    Ok(())
}

/// Whether a character does something to a terminal, or to the order of what is beside it, instead of being seen.
fn is_unseen(c: char) -> bool {
    let is_bidirectional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_bidirectional
}

/// An error where no source can be as this one describes itself.
pub(crate) fn source(description: &SourceDescription) -> Result<(), String> {
    sites(&description.sites)?;
    let mut names = HashSet::new();
    for layer in &description.layers {
        name("one of its layers", layer)?;
        if !names.insert(layer) {
            return Err(format!("two of its layers are called `{layer}`"));
        }
    }
    Ok(())
}

/// An error where no model can be as this one describes itself.
pub(crate) fn model(description: &ModelDescription) -> Result<(), String> {
    sites(&description.sites)?;
    let (vocabulary, state) = (description.vocabulary, description.state_size);
    if vocabulary > NULL as usize {
        return Err(format!("it has a vocabulary of {vocabulary} tokens, but ids of tokens are below {NULL}"));
    }
    if state > MOST_VALUES {
        return Err(format!(
            "it has a state of {state} values, which would need {} of memory; {MOST_VALUES} is the most",
            bytes(state as u128 * size_of::<f32>() as u128)
        ));
    }
    Ok(())
}

/// An error where a batch breaks a rule of [`ActivationBatch`], or does not fit the description of its source.
pub fn fits(batch: &ActivationBatch, description: &SourceDescription) -> Result<(), String> {
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

/// A sum for a person: one that is no number, or is too large, does not remember what it was.
pub(crate) fn shown(sum: ExactSum) -> String {
    if sum.is_sound() { sum.to_f64().to_string() } else { "no number within 2^62".to_owned() }
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
            if let Some(sum) = moment.iter().find(|sum| !sum.is_sound() || what != "h" && sum.high < 0) {
                return Err(format!("at site `{}` a sum of {what} is {}", site.name, shown(*sum)));
            }
        }
    }
    Ok(())
}
