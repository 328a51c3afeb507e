//! The host's side of the boundary: a component behind a C table, as the Rust trait of its interface.

#![allow(unsafe_code, reason = "this module calls through the C tables of plugins")]

use std::ffi::c_void;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::Value;
use txray_plugin::abi::{self, Slice, SliceMut, Status, Str};
use txray_plugin::{
    ActivationBatch, ActivationSource, Columns, EncodeRequest, Error, Fault, FitReport, FitRequest, Host, LayerColumn,
    Level, MetricBatch, Model, ModelDescription, Moments, PreferenceMetric, Pruner, ReportSink, Result, Score,
    SourceDescription, State, StringTable, Strings, Text,
};

use crate::{Registered, SILENT};

/// The table of an interface. All tables begin alike: size, create, destroy.
///
/// # Safety
/// An implementor must be a `repr(C)` struct of one `usize`, its size, and function pointers alone.
pub(crate) unsafe trait Table: 'static {
    const INTERFACE: &'static str;
    fn create(&self) -> abi::Create;
    fn destroy(&self) -> abi::Destroy;
}

macro_rules! tables {
    ($($table:ident: $interface:ident,)*) => {$(
        // SAFETY: by its definition in `txray-abi`.
        unsafe impl Table for abi::$table {
            const INTERFACE: &'static str = abi::$interface;
            fn create(&self) -> abi::Create {
                self.create
            }
            fn destroy(&self) -> abi::Destroy {
                self.destroy
            }
        }
    )*};
}

tables! { MetricTable: METRIC, PrunerTable: PRUNER, SinkTable: SINK, SourceTable: SOURCE, ModelTable: MODEL, }

/// A component of a plugin.
pub(crate) struct Handle<T: Table> {
    table: &'static T,
    component: *mut c_void,
    /// For messages about faults of the plugin.
    name: String,
}

// SAFETY: the boundary promises that `const` calls may come from many threads at once, and Rust's `&mut` keeps `mut`
// calls alone.
unsafe impl<T: Table> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T: Table> Sync for Handle<T> {}

impl<T: Table> Handle<T> {
    /// Calls the table's `create`.
    pub(crate) fn create(plugin: &Registered, kind: &str, options: &Value, host: &Host<'_>) -> Result<Self> {
        let name = format!("`{kind}` of {} ({})", plugin.info.name, plugin.origin);
        let table = table::<T>(plugin.table).map_err(|what| Error::failed(format!("{name}: {what}")))?;
        let options = options.to_string();
        let mut handle = Self { table, component: std::ptr::null_mut(), name };
        let (kind, options) = (Str::text(kind), Str::text(&options));
        let mut component = std::ptr::null_mut();
        let place = &raw mut component;
        // SAFETY: host, texts and the place for the result live for the call.
        handle.call(host, |host| unsafe { (table.create())(host, kind, options, place) })?;
        // Set only now: a component that was not made must not be ended, whatever `create` has written to its place.
        handle.component = component;
        if handle.component.is_null() {
            return Err(Error::failed(format!("{}: it was made, but is null", handle.name)));
        }
        Ok(handle)
    }

    /// Gives a call its host, and turns a status other than OK into the error that the plugin told that host.
    fn call(&self, host: &Host<'_>, body: impl FnOnce(*const abi::Host) -> Status) -> Result<()> {
        let context = CallContext { host, failure: Mutex::new(None) };
        let raw = abi::Host {
            size: size_of::<abi::Host>(),
            context: std::ptr::from_ref(&context).cast_mut().cast(),
            threads: u32::try_from(host.threads()).unwrap_or(u32::MAX),
            reserved: 0,
            log: host_log,
            progress: host_progress,
            cancelled: host_cancelled,
            fail: host_fail,
        };
        let status = body(&raw const raw);
        if status == Status::OK {
            return Ok(());
        }
        let failure = context.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (pointer, message) =
            failure.unwrap_or_else(|| (String::new(), format!("it failed with status {} and {SILENT}", status.0)));
        Err(match status {
            Status::INVALID => Error::new(Fault::Invalid, pointer, message),
            Status::CANCELLED => Error::cancelled(),
            _ => Error::new(Fault::Failed, pointer, format!("{}: {message}", self.name)),
        })
    }

    /// Reads the JSON that the plugin's `describe` hands to a callback.
    fn describe<D: DeserializeOwned>(
        &self,
        describe: unsafe extern "C" fn(
            *const c_void,
            *const abi::Host,
            unsafe extern "C" fn(*mut c_void, Str),
            *mut c_void,
        ) -> Status,
    ) -> Result<D> {
        unsafe extern "C" fn keep(context: *mut c_void, json: Str) {
            // SAFETY: `context` is the place below; the text lives for the call.
            unsafe { *context.cast::<Option<String>>() = Some(lossy(json)) }
        }
        let mut json: Option<String> = None;
        let context = (&raw mut json).cast();
        // SAFETY: the component is this table's, and the callback and its context live for the call.
        self.call(&Host::detached(), |host| unsafe { describe(self.component, host, keep, context) })?;
        let json = json.ok_or_else(|| Error::failed(format!("{}: it gave no description", self.name)))?;
        serde_json::from_str(&json)
            .map_err(|e| Error::failed(format!("{}: its description does not read: {e}", self.name)))
    }
}

impl<T: Table> Drop for Handle<T> {
    fn drop(&mut self) {
        if !self.component.is_null() {
            // SAFETY: made by this table's `create`, and ended once.
            unsafe { (self.table.destroy())(self.component) }
        }
    }
}

/// The table of an interface, checked: it is large enough, and none of its functions is null.
fn table<T: Table>(plugin: &'static abi::Plugin) -> Result<&'static T, String> {
    // SAFETY: the plugin was inspected when it was taken in; the name lives for the call.
    let table = unsafe { (plugin.query)(Str::text(T::INTERFACE)) }.cast::<usize>();
    if table.is_null() || !table.is_aligned() {
        return Err(format!("it does not supply {}", T::INTERFACE));
    }
    // SAFETY: every table begins with its size.
    let size = unsafe { *table };
    if size < size_of::<T>() {
        return Err(format!("its table of {} has {size} bytes of {}", T::INTERFACE, size_of::<T>()));
    }
    let words = size_of::<T>() / size_of::<usize>();
    // SAFETY: the table says it has that many bytes; a `Table` is words alone, and each function must be there before
    // it can be believed to be one.
    if (1..words).any(|i| unsafe { *table.add(i) } == 0) {
        return Err(format!("its table of {} lacks a function", T::INTERFACE));
    }
    // SAFETY: long enough, no function is null, and it lives as long as the process.
    Ok(unsafe { &*table.cast::<T>() })
}

/// What the host functions of a call work on.
struct CallContext<'a> {
    host: &'a Host<'a>,
    failure: Mutex<Option<(String, String)>>,
}

/// The context of a host function.
///
/// # Safety
/// `context` must be that of a call that has not ended.
unsafe fn context<'a>(context: *mut c_void) -> &'a CallContext<'a> {
    // SAFETY: the caller's promise.
    unsafe { &*context.cast::<CallContext<'a>>() }
}

/// Values from a plugin; `None` where its pointer is null or misaligned although there are some.
///
/// # Safety
/// As for [`Slice::get`], less what is checked here.
unsafe fn values<'a, T>(slice: Slice<T>) -> Option<&'a [T]> {
    // SAFETY: the caller's promise.
    (slice.len == 0 || !slice.ptr.is_null() && slice.ptr.is_aligned()).then(|| unsafe { slice.get() })
}

/// Text from a plugin, for messages: what is not UTF-8 is replaced.
///
/// # Safety
/// As for [`values`].
unsafe fn lossy(text: Str) -> String {
    // SAFETY: the caller's promise.
    String::from_utf8_lossy(unsafe { values(text) }.unwrap_or_default()).into_owned()
}

unsafe extern "C" fn host_log(raw: *mut c_void, level: u32, message: Str) {
    let level = match level {
        1 => Level::Error,
        2 => Level::Warning,
        3 => Level::Information,
        _ => Level::Debug,
    };
    // SAFETY: plugins pass the context of the running call, and text that lives for it.
    unsafe { context(raw).host.log(level, &lossy(message)) }
}

unsafe extern "C" fn host_progress(raw: *mut c_void, done: u64, total: u64, message: Str) {
    // SAFETY: as above.
    unsafe { context(raw).host.progress(done, total, &lossy(message)) }
}

unsafe extern "C" fn host_cancelled(raw: *mut c_void) -> u32 {
    // SAFETY: as above.
    unsafe { context(raw).host.cancelled().into() }
}

unsafe extern "C" fn host_fail(raw: *mut c_void, pointer: Str, message: Str) {
    // SAFETY: as above.
    let (context, failure) = unsafe { (context(raw), (lossy(pointer), lossy(message))) };
    *context.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
}

fn strings(strings: Strings<'_>) -> abi::Strings {
    let (text, offsets) = strings.parts();
    abi::Strings { bytes: Str::text(text), offsets: Slice::new(offsets) }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::invalid(format!("the path {} is not UTF-8", path.display())))
}

// In the calls below, the component is the table's own, and every argument lives for the call.

impl PreferenceMetric for Handle<abi::MetricTable> {
    fn distances(&self, host: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        let raw = abi::MetricBatch {
            size: size_of::<abi::MetricBatch>(),
            offsets: Slice::new(batch.offsets),
            features: Slice::new(batch.features),
            p: Slice::new(batch.p),
            q: Slice::new(batch.q),
            count_p: Slice::new(batch.count_p),
            count_q: Slice::new(batch.count_q),
            mass_p: Slice::new(batch.mass_p),
            mass_q: Slice::new(batch.mass_q),
            names: strings(batch.names),
        };
        let out = SliceMut::new(out);
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.distances)(self.component, host, &raw const raw, out) })
    }
}

impl Pruner for Handle<abi::PrunerTable> {
    fn scores(&self, host: &Host<'_>, columns: &Columns<'_>, out: &mut [f64]) -> Result<()> {
        let raw = abi::Columns {
            size: size_of::<abi::Columns>(),
            rows: columns.rows as u64,
            names: strings(columns.names),
            values: Slice::new(columns.values),
        };
        let out = SliceMut::new(out);
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.scores)(self.component, host, &raw const raw, out) })
    }
}

impl ReportSink for Handle<abi::SinkTable> {
    fn write(&mut self, host: &Host<'_>, directory: &Path, manifest: &str) -> Result<()> {
        let (directory, manifest) = (Str::text(utf8(directory)?), Str::text(manifest));
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.write)(self.component, host, directory, manifest) })
    }
}

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
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.next)(self.component, host, keep, context) })?;
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

fn text(text: Text<'_>) -> abi::Text {
    abi::Text { ids: Slice::new(text.ids), offsets: Slice::new(text.offsets) }
}

impl Model for Handle<abi::ModelTable> {
    fn initialize(&mut self, host: &Host<'_>, vocabulary: usize, seed: u64) -> Result<()> {
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.initialize)(self.component, host, vocabulary as u64, seed) })
    }

    fn load(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let directory = Str::text(utf8(directory)?);
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.load)(self.component, host, directory) })
    }

    fn save(&self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let directory = Str::text(utf8(directory)?);
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.save)(self.component, host, directory) })
    }

    fn describe(&self) -> Result<ModelDescription> {
        self.describe(self.table.describe)
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
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.encode)(self.component, host, &raw const raw) })
    }

    fn score(&self, host: &Host<'_>, documents: Text<'_>, state: State) -> Result<Score> {
        let raw = text(documents);
        let carry = u32::from(state == State::Carry);
        let mut out = abi::Score::default();
        let place = &raw mut out;
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.score)(self.component, host, &raw const raw, carry, place) })?;
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
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.fit)(self.component, host, &raw const raw, place) })?;
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
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.save_training)(self.component, host, directory) })
    }

    fn load_training(&mut self, host: &Host<'_>, directory: &Path) -> Result<()> {
        let directory = Str::text(utf8(directory)?);
        // SAFETY: see above.
        self.call(host, |host| unsafe { (self.table.load_training)(self.component, host, directory) })
    }
}
