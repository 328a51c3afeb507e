//! A stage: a source of activations, read to its end into observations and preferences.

use std::time::{Duration, Instant};

use txray_plugin::{ActivationBatch, ActivationSource, Host, Moments, NULL, Site, SourceDescription};
use txray_tables::Folder;

use crate::error::{MethodError, MethodResult};
use crate::observations::ObservationWriter;
use crate::preferences::Preferences;
use crate::stored;

/// What reading a stage took, apart from the source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// In the source: encoding, tokenizing, reading the corpus.
    pub source: Duration,
    /// Gathering preferences.
    pub aggregate: Duration,
    /// Writing tables.
    pub write: Duration,
}

/// Reads a source to its end, and writes the tables of the stage into a folder. Memory is bound by the distinct (neuron,
/// feature) pairs and a batch.
pub fn read(
    source: &mut dyn ActivationSource,
    host: &Host<'_>,
    folder: &Folder<'_>,
) -> MethodResult<(Preferences, Times)> {
    let description = source.describe().map_err(MethodError::Source)?;
    let mut preferences = Preferences::new(description.sites.clone(), &description.layers);
    let mut observations = ObservationWriter::create(folder, &description)?;
    let mut times = Times::default();
    loop {
        let start = Instant::now();
        // A source may go on for ever without asking by itself.
        if host.cancelled() {
            return Err(MethodError::Source(txray_plugin::Error::cancelled()));
        }
        let Some(batch) = source.next(host).map_err(MethodError::Source)? else { break };
        validate(&batch, &description)?;
        times.source += start.elapsed();

        let start = Instant::now();
        gather(&batch, &mut preferences)?;
        times.aggregate += start.elapsed();

        let start = Instant::now();
        observations.write(&batch)?;
        times.write += start.elapsed();
    }
    let start = Instant::now();
    observations.finish()?;
    stored::write(&preferences, folder)?;
    times.write += start.elapsed();
    Ok((preferences, times))
}

/// Checks what a source claims of its batch, so that everything after may index freely; stops at the first
/// activation that is no number.
fn validate(batch: &ActivationBatch, description: &SourceDescription) -> MethodResult<()> {
    let wrong = |what: &str| Err(MethodError::Batch { what: what.to_owned() });
    let tokens = batch.starts.len();
    let covers = batch.offsets.first() == Some(&0) && batch.offsets.last() == Some(&(tokens as u64));
    if !covers || !batch.offsets.is_sorted() || batch.offsets.len() != batch.documents.len() + 1 {
        return wrong("its offsets do not cut its tokens into documents");
    }
    if batch.ends.len() != tokens || !(batch.groups.is_empty() || batch.groups.len() == batch.documents.len()) {
        return wrong("its columns have different lengths");
    }
    if !batch.layers.iter().map(|layer| &layer.name).eq(&description.layers) {
        return wrong("its layers are not those described");
    }
    for layer in &batch.layers {
        let known = |&feature: &u32| feature == NULL || (feature as usize) < layer.names.len();
        if layer.features.len() != tokens || !layer.features.iter().all(known) {
            return wrong(&format!("the features of layer `{}` do not fit its tokens or names", layer.name));
        }
    }
    let count = batch.token.len();
    if [batch.site.len(), batch.neuron.len(), batch.activation.len()] != [count; 3] {
        return wrong("the columns of its observations have different lengths");
    }
    if !batch.token.is_sorted() || batch.token.last().is_some_and(|&t| t as usize >= tokens) {
        return wrong("its observations are out of order, or of no token");
    }
    for ((&token, &site), (&neuron, &activation)) in
        batch.token.iter().zip(&batch.site).zip(batch.neuron.iter().zip(&batch.activation))
    {
        let Some(site) = description.sites.get(site as usize) else { return wrong("an observation at no site") };
        if neuron as usize >= site.width {
            return wrong(&format!("an observation of neuron {neuron} of {}", site.name));
        }
        if !activation.is_finite() {
            let document = batch.offsets.partition_point(|&o| o <= u64::from(token)) - 1;
            return Err(MethodError::NotFinite {
                document: batch.documents[document],
                activation,
                site: site.name.clone(),
            });
        }
    }
    let widths = |m: &Moments, s: &Site| [m.sum.len(), m.sum_abs.len(), m.sum_sq.len()] == [s.width; 3];
    let fit = batch.moments.iter().zip(&description.sites).all(|(m, s)| widths(m, s));
    match batch.moments.len() {
        0 => Ok(()),
        n if n == description.sites.len() && fit => Ok(()),
        _ => wrong("its moments do not fit its sites"),
    }
}

fn gather(batch: &ActivationBatch, preferences: &mut Preferences) -> MethodResult<()> {
    preferences.tokens += batch.starts.len() as u64;
    preferences.documents += batch.documents.len() as u64;
    preferences.unknown += batch.unknown;
    preferences.has_moments &= !batch.moments.is_empty();
    for (totals, moments) in preferences.totals.iter_mut().zip(&batch.moments) {
        for (neuron, totals) in totals.iter_mut().enumerate() {
            let more = [moments.sum[neuron], moments.sum_abs[neuron], moments.sum_sq[neuron]];
            for (sum, more) in totals.moments.iter_mut().zip(more) {
                *sum += more;
            }
        }
    }
    // Which observations features may prefer does not depend on the layer.
    let mut positive = Vec::with_capacity(batch.token.len());
    for i in 0..batch.token.len() {
        if preferences.observe(batch.site[i] as usize, batch.neuron[i], batch.activation[i]) {
            positive.push(i);
        }
    }
    for (index, layer) in batch.layers.iter().enumerate() {
        preferences.layers[index].unjoined += layer.unjoined;
        // Names are looked up once a batch, and only those that occur.
        let mut numbers = vec![NULL; layer.names.len()];
        for &i in &positive {
            let local = layer.features[batch.token[i] as usize];
            if local == NULL {
                continue;
            }
            let number = &mut numbers[local as usize];
            if *number == NULL {
                *number = preferences.layers[index].feature(layer.names.get(local as usize).unwrap_or_default());
            }
            preferences.prefer(index, batch.site[i] as usize, batch.neuron[i], *number, batch.activation[i]);
        }
    }
    let unsound = preferences.totals.iter().flatten().any(|totals| !totals.mass.is_sound());
    if unsound {
        return Err(MethodError::TooLarge);
    }
    Ok(())
}
