//! Reading documents into the activations that a record rule keeps.

use std::collections::HashMap;

use rayon::prelude::*;
use txray_plugin::{EncodeRequest, Error, Result, SiteRequest, Text};

use crate::cpu::lanes::{Network, Observer, plan};
use crate::cpu::layer::LayerLanes;
use crate::cpu::workspace::STRIPS;
use crate::tracker::Tracker;
use crate::weights::Sizes;

/// Answers a request that [`check`] has passed, on the current thread pool.
pub(crate) fn encode(network: Network<'_>, request: &mut EncodeRequest<'_>, tracker: &Tracker<'_>) -> Result<()> {
    // The state of every layer is carried, even of those above the sites that are asked for.
    let layers = match request.carry {
        Some(_) => network.weights.sizes.layers,
        None => request.sites.iter().map(|s| s.site / network.sites + 1).max().unwrap_or(0),
    };
    if layers == 0 {
        return Ok(());
    }
    let network = Network { layers, ..network };
    let text = request.text;
    let sites: Vec<_> = request.sites.iter().map(|s| ((s.site / network.sites, s.site % network.sites), s.k)).collect();
    let documents: Vec<&[u32]> = (0..text.len()).map(|d| text.document(d)).collect();
    let lengths: Vec<usize> = documents.iter().map(|d| d.len()).collect();
    let mut outputs = split_outputs(&mut request.sites, &lengths);
    let mut record = |lanes: &[Vec<usize>]| {
        let outputs = lanes.iter().flatten().map(|&d| (d, std::mem::take(&mut outputs[d]))).collect();
        Record { sites: &sites, outputs, ranked: Vec::new() }
    };
    let units = match request.carry.as_deref_mut() {
        None => {
            let units: Vec<_> = plan(&lengths, STRIPS * 16)
                .into_iter()
                .map(|lanes| {
                    let record = record(&lanes);
                    (lanes, record)
                })
                .collect();
            // Taken one at a time: of larger shares, a thread that is done could take nothing over from the others.
            units
                .into_par_iter()
                .with_max_len(1)
                .map(|(lanes, mut record)| {
                    network.prepared.spare.lend(|workspace| {
                        network.read(workspace, &documents, &lanes, None, &mut record, tracker)?;
                        Ok(workspace.moments())
                    })
                })
                .collect::<Result<Vec<_>>>()?
        }
        Some(state) => {
            let lanes = [(0..documents.len()).collect()];
            let moments = network.prepared.spare_narrow.lend(|workspace| {
                network.read(workspace, &documents, &lanes, Some(state), &mut record(&lanes), tracker)?;
                Ok(workspace.moments())
            });
            vec![moments?]
        }
    };
    for site in &mut request.sites {
        for unit in &units {
            let moments = [&mut *site.sum, &mut *site.sum_abs, &mut *site.sum_sq];
            for (total, part) in moments.into_iter().zip(&unit[site.site / network.sites][site.site % network.sites]) {
                total.iter_mut().zip(part).for_each(|(total, part)| *total += *part);
            }
        }
    }
    Ok(())
}

/// `[sites]`: where one document's observations go, `[tokens, k]` each.
type Output<'a> = Vec<(&'a mut [u32], &'a mut [f32])>;

/// Cuts every site's outputs at the documents.
fn split_outputs<'a>(sites: &'a mut [SiteRequest<'_>], lengths: &[usize]) -> Vec<Output<'a>> {
    let mut outputs: Vec<Output<'a>> = lengths.iter().map(|_| Vec::with_capacity(sites.len())).collect();
    for site in sites {
        let (mut neurons, mut activations) = (&mut *site.neurons, &mut *site.activations);
        for (output, length) in outputs.iter_mut().zip(lengths) {
            output.push((
                neurons.split_off_mut(..length * site.k).unwrap_or_default(),
                activations.split_off_mut(..length * site.k).unwrap_or_default(),
            ));
        }
    }
    outputs
}

/// Keeps the `k` most active neurons of each token.
struct Record<'a> {
    /// `((layer, site of the layer), k)`
    sites: &'a [((usize, usize), usize)],
    /// By document.
    outputs: HashMap<usize, Output<'a>>,
    /// Room for [`top_k`], kept from token to token.
    ranked: Vec<(u32, f32)>,
}

impl Observer for Record<'_> {
    fn observe<const P: usize>(&mut self, cursors: &[Option<(usize, usize)>], layers: &[LayerLanes<P>]) -> Result<()> {
        for (lane, cursor) in cursors.iter().enumerate() {
            let Some((document, position)) = *cursor else { continue };
            let Some(output) = self.outputs.get_mut(&document) else { continue };
            for (&((layer, site), k), (neurons, activations)) in self.sites.iter().zip(output) {
                let layer = &layers[layer];
                let at = position * k..(position + 1) * k;
                if k == 1 {
                    let (neuron, activation) = &layer.sites[site].top;
                    neurons[at.start] = neuron.as_flattened()[lane];
                    activations[at.start] = activation.as_flattened()[lane];
                } else if k > 1 {
                    let (neurons, activations) = (&mut neurons[at.clone()], &mut activations[at]);
                    top_k(layer.column(site, lane), &mut self.ranked, neurons, activations);
                }
            }
        }
        Ok(())
    }
}

/// Writes the most active neurons in falling order, ties by the lower index: `[k]` each, `k` no more than the width.
///
/// They are selected before they are sorted, so that the time is that of one pass over the width and a sort of `k`.
pub(crate) fn top_k(
    values: impl Iterator<Item = f32>,
    ranked: &mut Vec<(u32, f32)>,
    neurons: &mut [u32],
    activations: &mut [f32],
) {
    // Adding 0 makes 0 of -0: the two are a tie.
    let order = |a: &(u32, f32), b: &(u32, f32)| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0));
    ranked.clear();
    ranked.extend((0..).zip(values));
    if neurons.len() < ranked.len() {
        ranked.select_nth_unstable_by(neurons.len(), order);
        ranked.truncate(neurons.len());
    }
    ranked.sort_unstable_by(order);
    for ((neuron, activation), &best) in neurons.iter_mut().zip(activations).zip(&*ranked) {
        (*neuron, *activation) = best;
    }
}

/// Refuses a request that does not fit the model.
pub(crate) fn check(request: &EncodeRequest<'_>, sizes: Sizes, sites: usize) -> Result<()> {
    check_text(request.text, sizes)?;
    let tokens = request.text.ids.len();
    for site in &request.sites {
        if site.site >= sites || site.k > sizes.hidden {
            return Err(Error::invalid(format!(
                "the {} most active neurons of site {} were asked for; there are {} sites of {} neurons",
                site.k, site.site, sites, sizes.hidden
            )));
        }
        let fits = site.neurons.len() == tokens * site.k
            && site.activations.len() == tokens * site.k
            && [&site.sum, &site.sum_abs, &site.sum_sq].iter().all(|sum| sum.len() == sizes.hidden);
        if !fits {
            return Err(Error::failed(format!("the buffers for site {} do not fit {tokens} tokens", site.site)));
        }
    }
    let state_size = sizes.state();
    match &request.carry {
        Some(state) if state.len() != state_size => {
            Err(Error::failed(format!("{} values of state were given, the model has {state_size}", state.len())))
        }
        _ => Ok(()),
    }
}

/// Refuses text with token ids that the model does not have.
pub(crate) fn check_text(text: Text<'_>, sizes: Sizes) -> Result<()> {
    if text.is_consistent(sizes.vocabulary) {
        return Ok(());
    }
    match text.ids.iter().position(|&id| id as usize >= sizes.vocabulary) {
        Some(i) => Err(Error::invalid(format!(
            "token {i} has id {}, but the model's vocabulary ends at {}; was the text tokenized for another model?",
            text.ids[i],
            sizes.vocabulary - 1
        ))),
        None => Err(Error::failed("the document offsets do not cut the tokens")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// For every `k` up to the width, against a stable sort of all. The values are few, so that many are ties.
        #[test]
        fn the_top_k_are_the_first_k_of_all_sorted(
            values in prop::collection::vec(prop::sample::select(&[-1.5, -0.5, -0.0, 0.0, 0.25, 1.0, 2.0][..]), 1..130),
        ) {
            let mut all: Vec<(u32, f32)> = (0..).zip(values.iter().copied()).collect();
            all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap());
            let mut ranked = Vec::new();
            for k in 1..=values.len() {
                let (mut neurons, mut activations) = (vec![u32::MAX; k], vec![f32::NAN; k]);
                top_k(values.iter().copied(), &mut ranked, &mut neurons, &mut activations);
                let bits = |(neuron, activation): (u32, f32)| (neuron, activation.to_bits());
                let found = neurons.into_iter().zip(activations).map(bits);
                prop_assert!(found.eq(all[..k].iter().copied().map(bits)), "k = {k}");
            }
        }
    }
}
