//! What a plugin may say of itself and give, held before anything is made of it: no size is believed that the boundary has no
//! room for, and no name that could not stand in a table.

use std::collections::HashSet;

use txray_plugin::{Capabilities, ModelDescription, NULL, Site, SourceDescription};

use crate::{ComponentInfo, PluginInfo};

/// The most values of a column that a plugin may give at once: 1 GiB of `u32` or `f32`. The engine's own batches have a
/// thousandth of that.
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

/// An error where no model can be asked for what this one says.
pub(crate) fn capabilities(capabilities: &Capabilities) -> Result<(), String> {
    // None is no answer.
    if capabilities.sites.is_empty() { Ok(()) } else { sites(&capabilities.sites) }
}

/// An error where no model can be as this one describes itself.
pub(crate) fn model(description: &ModelDescription) -> Result<(), String> {
    sites(&description.sites)?;
    let vocabulary = description.vocabulary;
    if vocabulary > NULL as usize {
        return Err(format!("it has a vocabulary of {vocabulary} tokens, but ids of tokens are below {NULL}"));
    }
    if description.longest_context == Some(0) {
        return Err("it reads documents of no token".to_owned());
    }
    Ok(())
}
