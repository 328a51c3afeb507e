//! Models behind their C table.

use std::path::Path;

use txray_plugin::abi::{self, Slice, SliceMut, Str};
use txray_plugin::{EncodeRequest, FitReport, FitRequest, Host, Model, ModelDescription, Result, Score, State, Text};

use super::{Handle, utf8};
use crate::bounds;

fn text(text: Text<'_>) -> abi::Text {
    abi::Text { ids: Slice::new(text.ids), offsets: Slice::new(text.offsets) }
}

impl Model for Handle<abi::ModelTable> {
    fn initialize(&mut self, host: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"initialize", |host| unsafe {
            (self.table.initialize)(self.component, host, vocabulary as u64, seed)
        })
    }

    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let directory = Str::text(utf8(directory)?);
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"load", |host| unsafe { (self.table.load)(self.component, host, directory) })
    }

    fn save(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let directory = Str::text(utf8(directory)?);
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"save", |host| unsafe { (self.table.save)(self.component, host, directory) })
    }

    fn describe(&self) -> Result<ModelDescription> {
        self.describe(self.table.describe, bounds::model)
    }

    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()> {
        let sites: Vec<abi::SiteRequest> = request
            .sites
            .iter_mut()
            .map(|site| abi::SiteRequest {
                site: u32::try_from(site.site).unwrap_or(u32::MAX),
                k: u32::try_from(site.k).unwrap_or(u32::MAX),
                neurons: SliceMut::new(site.neurons),
                activations: SliceMut::new(site.activations),
                sum: SliceMut::new(site.sum),
                sum_abs: SliceMut::new(site.sum_abs),
                sum_sq: SliceMut::new(site.sum_sq),
            })
            .collect();
        let raw = abi::EncodeRequest {
            size: size_of::<abi::EncodeRequest>(),
            text: text(request.text),
            carry: request.carry.is_some().into(),
            reserved: 0,
            state: SliceMut::new(request.carry.as_deref_mut().unwrap_or_default()),
            sites: Slice::new(&sites),
        };
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"encode", |host| unsafe { (self.table.encode)(self.component, host, &raw const raw) })?;
        for site in &request.sites {
            let width = site.sum.len();
            if let Some(neuron) = site.neurons.iter().find(|&&neuron| neuron as usize >= width) {
                return Err(self.fault(&format!("it gave neuron {neuron} of {width} at its site {}", site.site)));
            }
            // An activation that is no number, the engine tells with its document.
            let sums = [&site.sum, &site.sum_abs, &site.sum_sq].into_iter().flat_map(|sums| sums.iter());
            if site.activations.iter().all(|activation| activation.is_finite())
                && let Some(&sum) = sums.into_iter().find(|sum| !sum.is_sound())
            {
                return Err(self.fault(&format!("it gave a sum that is {} at its site {}", sum, site.site)));
            }
        }
        Ok(())
    }

    fn score(&self, host: &Host<'_>, documents: Text<'_>, state: State) -> Result<Score> {
        let raw = text(documents);
        let carry = u32::from(state == State::Carry);
        let mut out = abi::Score::default();
        let place = &raw mut out;
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"score", |host| unsafe {
            (self.table.score)(self.component, host, &raw const raw, carry, place)
        })?;
        if out.tokens > documents.ids.len() as u64 {
            return Err(self.fault(&format!("it scored {} of {} tokens", out.tokens, documents.ids.len())));
        }
        Ok(Score { nll: out.nll, tokens: out.tokens })
    }

    fn fit(&mut self, host: &Host<'_>, request: &FitRequest<'_>) -> Result<FitReport> {
        let raw = abi::FitRequest {
            size: size_of::<abi::FitRequest>(),
            train: text(request.train),
            valid: text(request.valid.unwrap_or(Text { ids: &[], offsets: &[] })),
            seed: request.seed,
            pause: request.pause.unwrap_or(f64::INFINITY),
        };
        let mut out = abi::FitReport::default();
        let place = &raw mut out;
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"fit", |host| unsafe { (self.table.fit)(self.component, host, &raw const raw, place) })?;
        Ok(FitReport {
            epoch: out.epoch,
            tokens: out.tokens,
            loss: out.loss,
            valid_loss: Some(out.valid_loss).filter(|loss| !loss.is_nan()),
            seconds: out.seconds,
            done: out.done != 0,
            paused: out.paused != 0,
        })
    }

    fn save_training(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let directory = Str::text(utf8(directory)?);
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"save_training", |host| unsafe { (self.table.save_training)(self.component, host, directory) })
    }

    fn load_training(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let directory = Str::text(utf8(directory)?);
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"load_training", |host| unsafe { (self.table.load_training)(self.component, host, directory) })
    }
}
