//! Sources behind their C table, and their batches copied out of the plugin's memory.

use std::ffi::c_void;
use std::sync::{Arc, OnceLock};

use txray_plugin::abi::{self, Slice};
use txray_plugin::{
    ActivationBatch, ActivationSource, ExactSum, Host, LayerColumn, Moments, Result, SourceDescription, StringTable,
    Strings,
};

use super::{Handle, values};
use crate::bounds::{self, bytes};

/// A source, and how it described itself first.
pub(crate) struct Source {
    handle: Handle<abi::SourceTable>,
    described: OnceLock<SourceDescription>,
}

impl Source {
    pub(crate) fn new(handle: Handle<abi::SourceTable>) -> Self {
        Self { handle, described: OnceLock::new() }
    }
}

impl ActivationSource for Source {
    fn describe(&self) -> Result<SourceDescription> {
        let found = self.handle.describe(&"describe", self.handle.table.describe, bounds::source)?;
        let first = self.described.get_or_init(|| found.clone());
        if *first != found {
            return Err(self.handle.fault(&format!("it describes itself as {found:?}, and before as {first:?}")));
        }
        Ok(found)
    }

    fn next(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>> {
        struct Received<'a> {
            batch: Option<Result<ActivationBatch, String>>,
            described: &'a SourceDescription,
        }
        unsafe extern "C" fn keep(context: *mut c_void, batch: *const abi::ActivationBatch) {
            // SAFETY: `context` is the place below.
            let received = unsafe { &mut *context.cast::<Received<'_>>() };
            received.batch = Some(match received.batch {
                // SAFETY: the batch lives for the call.
                None => unsafe { own(batch, received.described) },
                Some(_) => Err("more than one batch in a call".to_owned()),
            });
        }
        let described = match self.described.get() {
            Some(described) => described,
            None => &self.describe()?,
        };
        let mut received = Received { batch: None, described };
        let context = (&raw mut received).cast();
        let (table, component) = (&self.handle.table, self.handle.component());
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.handle.call(host, &"next", |host| unsafe { (table.next)(component, host, keep, context) })?;
        received.batch.transpose().map_err(|what| self.handle.fault(&format!("it gave {what}")))
    }
}

fn are_numbers(activations: &[f32]) -> Result<(), String> {
    match activations.iter().position(|activation| !activation.is_finite()) {
        Some(at) => Err(format!("observation {at} has the activation {}", activations[at])),
        None => Ok(()),
    }
}

/// Copies a batch out of a plugin's memory, where it fits together and to its source.
///
/// # Safety
/// The batch must be null or valid for the call, and its slices too.
unsafe fn own(batch: *const abi::ActivationBatch, described: &SourceDescription) -> Result<ActivationBatch, String> {
    /// # Safety
    /// As for [`values`].
    unsafe fn slice<'a, T>(slice: Slice<T>) -> Result<&'a [T], String> {
        // SAFETY: the caller's promise.
        unsafe { values(slice) }.map_err(|what| format!("a batch with {what}"))
    }
    /// # Safety
    /// As above.
    unsafe fn list<T: Copy>(values: Slice<T>) -> Result<Vec<T>, String> {
        // SAFETY: the caller's promise.
        let values = unsafe { slice(values) }?;
        let mut list = Vec::new();
        list.try_reserve_exact(values.len())
            .map_err(|_| format!("a batch with {} of values, and there is no memory for them", bytes(size(values))))?;
        list.extend_from_slice(values);
        Ok(list)
    }
    fn size<T>(values: &[T]) -> u128 {
        size_of_val(values) as u128
    }
    /// # Safety
    /// As above.
    unsafe fn table(strings: abi::Strings) -> Result<StringTable, String> {
        // SAFETY: the caller's promise.
        let (bytes, offsets) = unsafe { (slice(strings.bytes)?, slice(strings.offsets)?) };
        let strings = std::str::from_utf8(bytes).ok().and_then(|text| Strings::new(text, offsets));
        strings.map(StringTable::from).ok_or_else(|| "a batch with a malformed string table".to_owned())
    }
    // SAFETY: the caller's promise, for all that follows; nothing is read before its size is known.
    unsafe {
        if batch.is_null() || !batch.is_aligned() {
            return Err("a batch at a null or misaligned pointer".to_owned());
        }
        let batch = abi::read(batch).map_err(|_| "a batch of the wrong size".to_owned())?;
        let exact = batch.exact_moments;
        // Before anything is copied: columns of one length, as many as were described.
        let (tokens, observations) = (batch.starts.len, batch.token.len);
        let lengths = [
            ("layers", batch.layers.len, described.layers.len()),
            ("offsets", batch.offsets.len, batch.documents.len.saturating_add(1)),
            ("ends of tokens", batch.ends.len, tokens),
            ("sites of observations", batch.site.len, observations),
            ("neurons of observations", batch.neuron.len, observations),
            ("activations of observations", batch.activation.len, observations),
            ("moments", batch.moments.len, if batch.moments.len == 0 { 0 } else { described.sites.len() }),
            ("lines", batch.lines.len, if batch.lines.len == 0 { 0 } else { batch.documents.len }),
            ("exact moments", exact.len, if exact.len == 0 { 0 } else { described.sites.len() }),
        ];
        if let Some((what, found, expected)) = lengths.into_iter().find(|(_, found, expected)| found != expected) {
            return Err(format!("a batch with {found} {what}, where {expected} belong"));
        }
        let layers = slice(batch.layers)?.iter().map(|layer| {
            let name = std::str::from_utf8(slice(layer.name)?);
            Ok(LayerColumn {
                name: name.map_err(|_| "a batch with a layer whose name is not UTF-8".to_owned())?.to_owned(),
                features: list(layer.features)?,
                names: Arc::new(table(layer.names)?),
                unjoined: layer.unjoined,
            })
        });
        let moments: Result<Vec<Moments>, String> = if exact.len > 0 {
            let exact = slice(exact)?.iter();
            exact
                .map(|m| Ok(Moments { sum: list(m.sum)?, sum_abs: list(m.sum_abs)?, sum_sq: list(m.sum_sq)? }))
                .collect()
        } else {
            let sums = |values: Slice<f64>| -> Result<Vec<ExactSum>, String> {
                Ok(slice(values)?.iter().map(|&sum| ExactSum::of(sum)).collect())
            };
            let moments = slice(batch.moments)?.iter();
            moments
                .map(|m| Ok(Moments { sum: sums(m.sum)?, sum_abs: sums(m.sum_abs)?, sum_sq: sums(m.sum_sq)? }))
                .collect()
        };
        let batch = ActivationBatch {
            documents: list(batch.documents)?,
            groups: table(batch.groups)?,
            offsets: list(batch.offsets)?,
            starts: list(batch.starts)?,
            ends: list(batch.ends)?,
            unknown: batch.unknown,
            lines: list(batch.lines)?,
            characters: batch.characters,
            dropped: batch.dropped,
            dropped_documents: batch.dropped_documents,
            layers: layers.collect::<Result<_, String>>()?,
            examples: Vec::new(),
            whole: Vec::new(),
            token: list(batch.token)?,
            site: list(batch.site)?,
            neuron: list(batch.neuron)?,
            activation: list(batch.activation)?,
            moments: moments?,
        };
        let fits = batch.fits(&described.sites, &described.layers).and_then(|()| are_numbers(&batch.activation));
        fits.map_err(|what| format!("a batch that does not fit: {what}"))?;
        Ok(batch)
    }
}
