//! Sources behind their C table, and their batches copied out of the plugin's memory.

use std::ffi::c_void;
use std::sync::Arc;

use txray_plugin::abi::{self, Slice};
use txray_plugin::{
    ActivationBatch, ActivationSource, Error, Host, LayerColumn, Moments, Result, SourceDescription, StringTable,
    Strings,
};

use super::{Handle, values};

impl ActivationSource for Handle<abi::SourceTable> {
    fn describe(&self) -> Result<SourceDescription> {
        self.describe(self.table.describe)
    }

    fn next(&mut self, host: &Host<'_>) -> Result<Option<ActivationBatch>> {
        type Received = Option<Result<ActivationBatch, &'static str>>;
        unsafe extern "C" fn keep(context: *mut c_void, batch: *const abi::ActivationBatch) {
            // SAFETY: `context` is the place below.
            let received = unsafe { &mut *context.cast::<Received>() };
            *received = Some(match received {
                // SAFETY: the batch lives for the call.
                None => unsafe { own(batch) },
                Some(_) => Err("more than one batch in a call"),
            });
        }
        let mut received: Received = None;
        let context = (&raw mut received).cast();
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"next", |host| unsafe { (self.table.next)(self.component, host, keep, context) })?;
        received.transpose().map_err(|what| Error::failed(format!("{}: it gave {what}", self.name)))
    }
}

/// Copies a batch out of a plugin's memory.
///
/// # Safety
/// The batch must be null or valid for the call, and its slices too.
unsafe fn own(batch: *const abi::ActivationBatch) -> Result<ActivationBatch, &'static str> {
    /// # Safety
    /// As for [`values`].
    unsafe fn slice<'a, T>(slice: Slice<T>) -> Result<&'a [T], &'static str> {
        // SAFETY: the caller's promise.
        unsafe { values(slice) }.ok_or("a batch with a null or misaligned pointer")
    }
    /// # Safety
    /// As above.
    unsafe fn list<T: Copy>(values: Slice<T>) -> Result<Vec<T>, &'static str> {
        // SAFETY: the caller's promise.
        Ok(unsafe { slice(values) }?.to_vec())
    }
    /// # Safety
    /// As above.
    unsafe fn table(strings: abi::Strings) -> Result<StringTable, &'static str> {
        // SAFETY: the caller's promise.
        let (bytes, offsets) = unsafe { (slice(strings.bytes)?, slice(strings.offsets)?) };
        let strings = std::str::from_utf8(bytes).ok().and_then(|text| Strings::new(text, offsets));
        strings.map(StringTable::from).ok_or("a batch with a malformed string table")
    }
    // SAFETY: the caller's promise, for all that follows; nothing is read before its size is known.
    unsafe {
        if batch.is_null() || !batch.is_aligned() {
            return Err("a batch at a null or misaligned pointer");
        }
        if (*batch).size < size_of::<abi::ActivationBatch>() {
            return Err("a batch of the wrong size");
        }
        let batch = &*batch;
        let layers = slice(batch.layers)?.iter().map(|layer| {
            let name = std::str::from_utf8(slice(layer.name)?);
            Ok(LayerColumn {
                name: name.map_err(|_| "a batch with a layer whose name is not UTF-8")?.to_owned(),
                features: list(layer.features)?,
                names: Arc::new(table(layer.names)?),
                unjoined: layer.unjoined,
            })
        });
        let moments = slice(batch.moments)?
            .iter()
            .map(|m| Ok(Moments { sum: list(m.sum)?, sum_abs: list(m.sum_abs)?, sum_sq: list(m.sum_sq)? }));
        Ok(ActivationBatch {
            documents: list(batch.documents)?,
            groups: table(batch.groups)?,
            offsets: list(batch.offsets)?,
            starts: list(batch.starts)?,
            ends: list(batch.ends)?,
            unknown: batch.unknown,
            layers: layers.collect::<Result<_, &'static str>>()?,
            token: list(batch.token)?,
            site: list(batch.site)?,
            neuron: list(batch.neuron)?,
            activation: list(batch.activation)?,
            moments: moments.collect::<Result<_, &'static str>>()?,
        })
    }
}
