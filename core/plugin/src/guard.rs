//! The one guard between C calls and safe Rust: it checks what comes in, catches panics, and turns errors into
//! statuses. Public for the macros, and for txray's own crates where they call what may panic ([`catch`]).

#![allow(unsafe_code, reason = "this module is the plugin's side of the C boundary")]

mod model;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use serde_json::{Value, json};
use txray_abi as abi;
use txray_abi::{Slice, Status, Str};

use crate::{
    ActivationSource, Columns, Component, Error, Fault, Host, HostServices, Level, MetricBatch, Model,
    PreferenceMetric, Pruner, ReportSink, Result, Strings,
};

/// The components of an interface: a list for each crate that they come from.
pub type Makers<T> = &'static [&'static [Maker<T>]];

/// The components of one plugin, by interface.
pub trait PluginSet: 'static {
    /// `CARGO_PKG_NAME` of the plugin's crate.
    const NAME: &'static str;
    /// `CARGO_PKG_VERSION` of the plugin's crate.
    const VERSION: &'static str;
    const METRICS: Makers<dyn PreferenceMetric>;
    const PRUNERS: Makers<dyn Pruner>;
    const SINKS: Makers<dyn ReportSink>;
    const SOURCES: Makers<dyn ActivationSource>;
    const MODELS: Makers<dyn Model>;
}

/// How a component of an interface is described and made, without its type.
pub struct Maker<T: ?Sized> {
    kind: &'static str,
    create: fn(&str, &Host<'_>) -> Result<Box<T>>,
    describe: fn(&'static str) -> Value,
}

macro_rules! makers {
    ($($name:ident: $interface:ident,)*) => {$(
        pub const fn $name<C: Component + $interface + 'static>() -> Maker<dyn $interface> {
            Maker {
                kind: C::KIND,
                create: |options, host| Ok(Box::new(C::create(parse_options(options)?, host)?)),
                describe: describe::<C>,
            }
        }
    )*};
}

makers! { metric: PreferenceMetric, pruner: Pruner, sink: ReportSink, source: ActivationSource, model: Model, }

fn describe<C: Component>(interface: &'static str) -> Value {
    let mut value = json!({
        "interface": interface,
        "kind": C::KIND,
        "about": C::ABOUT,
        "options": schemars::schema_for!(C::Options),
    });
    if interface == abi::METRIC {
        value["claims"] = C::CLAIMS.iter().map(|c| c.name()).collect();
    }
    if interface == abi::MODEL {
        value["devices"] = C::DEVICES.into();
    }
    value
}

/// Options from JSON text; an error carries the JSON pointer of what is wrong.
fn parse_options<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        use serde_path_to_error::Segment;
        let pointer: String = error
            .path()
            .iter()
            .map(|segment| match segment {
                Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
                Segment::Seq { index } => format!("/{index}"),
                Segment::Enum { .. } | Segment::Unknown => String::new(),
            })
            .collect();
        // serde_json ends its messages with a place in the JSON text, which the user never wrote.
        let message = error.inner().to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(m, _)| m);
        Error::at(pointer, message)
    })
}

/// The table of a plugin. It lives as long as the process, and so does the text of its description.
pub fn plugin<S: PluginSet>() -> abi::Plugin {
    fn describe_all<T: ?Sized>(makers: Makers<T>, interface: &'static str) -> Vec<Value> {
        makers.iter().copied().flatten().map(|maker| (maker.describe)(interface)).collect()
    }
    let components = [
        describe_all(S::METRICS, abi::METRIC),
        describe_all(S::PRUNERS, abi::PRUNER),
        describe_all(S::SOURCES, abi::SOURCE),
        describe_all(S::SINKS, abi::SINK),
        describe_all(S::MODELS, abi::MODEL),
    ]
    .concat();
    let info = json!({ "name": S::NAME, "version": S::VERSION, "components": components }).to_string();
    abi::Plugin {
        magic: abi::MAGIC,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        size: size_of::<abi::Plugin>(),
        info: Str::text(info.leak()),
        query: query::<S>,
    }
}

unsafe extern "C" fn query<S: PluginSet>(interface: Str) -> *const c_void {
    /// The tables as constants, so that references to them are `'static`.
    struct Tables<S>(S);
    impl<S: PluginSet> Tables<S> {
        const METRIC: abi::MetricTable = abi::MetricTable {
            size: size_of::<abi::MetricTable>(),
            create: create::<S, dyn PreferenceMetric>,
            destroy: destroy::<dyn PreferenceMetric>,
            distances: metric_distances,
        };
        const PRUNER: abi::PrunerTable = abi::PrunerTable {
            size: size_of::<abi::PrunerTable>(),
            create: create::<S, dyn Pruner>,
            destroy: destroy::<dyn Pruner>,
            scores: pruner_scores,
        };
        const SINK: abi::SinkTable = abi::SinkTable {
            size: size_of::<abi::SinkTable>(),
            create: create::<S, dyn ReportSink>,
            destroy: destroy::<dyn ReportSink>,
            write: sink_write,
        };
        const SOURCE: abi::SourceTable = abi::SourceTable {
            size: size_of::<abi::SourceTable>(),
            create: create::<S, dyn ActivationSource>,
            destroy: destroy::<dyn ActivationSource>,
            describe: source_describe,
            next: source_next,
        };
        const MODEL: abi::ModelTable = model::table::<S>();
    }
    fn table<T: ?Sized, C>(makers: Makers<T>, table: &'static C) -> *const c_void {
        if makers.iter().all(|makers| makers.is_empty()) { std::ptr::null() } else { std::ptr::from_ref(table).cast() }
    }
    // SAFETY: the host passes text that lives for this call.
    match unsafe { interface.get_text() } {
        Some(abi::METRIC) => table(S::METRICS, &Tables::<S>::METRIC),
        Some(abi::PRUNER) => table(S::PRUNERS, &Tables::<S>::PRUNER),
        Some(abi::SINK) => table(S::SINKS, &Tables::<S>::SINK),
        Some(abi::SOURCE) => table(S::SOURCES, &Tables::<S>::SOURCE),
        Some(abi::MODEL) => table(S::MODELS, &Tables::<S>::MODEL),
        _ => std::ptr::null(),
    }
}

/// Finds the list of a plugin's components by their trait.
trait Interface {
    fn makers<S: PluginSet>() -> Makers<Self>;
}

macro_rules! interfaces {
    ($($interface:ident: $list:ident,)*) => {$(
        impl Interface for dyn $interface {
            fn makers<S: PluginSet>() -> Makers<Self> {
                S::$list
            }
        }
    )*};
}

interfaces! { PreferenceMetric: METRICS, Pruner: PRUNERS, ReportSink: SINKS, ActivationSource: SOURCES, Model: MODELS, }

/// The host's services, behind the C functions that it gave to a call.
struct Foreign<'a>(&'a abi::Host);

// SAFETY: the boundary promises that the host's functions may be called from any thread.
unsafe impl Sync for Foreign<'_> {}

impl HostServices for Foreign<'_> {
    fn threads(&self) -> usize {
        self.0.threads as usize
    }
    fn log(&self, level: Level, message: &str) {
        // SAFETY: the context is the host's own; the text lives for the call.
        unsafe { (self.0.log)(self.0.context, level as u32, Str::text(message)) }
    }
    fn progress(&self, done: u64, total: u64, message: &str) {
        // SAFETY: as above.
        unsafe { (self.0.progress)(self.0.context, done, total, Str::text(message)) }
    }
    fn cancelled(&self) -> bool {
        // SAFETY: as above.
        unsafe { (self.0.cancelled)(self.0.context) != 0 }
    }
}

/// Whether this copy of the crate belongs to a dynamic library, so that every panic it sees is the plugin's own.
static LIBRARY: AtomicBool = AtomicBool::new(false);
/// The last panic in a thread that a library started itself.
static PANIC_ELSEWHERE: Mutex<Option<String>> = Mutex::new(None);

thread_local! {
    /// Whether this thread is inside a guarded call, and the last panic seen there.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps the message and place of a panic that would otherwise be printed: libraries print nothing. A plugin that is
/// linked into the host shares the host's panic hook; there only panics inside guarded calls are kept, and all others
/// go to the hook that was there before.
fn keep_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let (guarded, library) = (GUARDED.get(), LIBRARY.load(Ordering::Relaxed));
            if !guarded && !library {
                return previous(info);
            }
            let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
            let text = Some(format!("panicked{place}: {}", panic_text(info.payload())));
            if guarded {
                PANIC.set(text);
            } else {
                *PANIC_ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner) = text;
            }
        }));
    });
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Why a guarded call panicked. It may only have passed on the panic of a thread that it started: that panic is named
/// as well.
fn panic_reason(payload: &(dyn Any + Send)) -> String {
    let elsewhere = PANIC_ELSEWHERE.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (PANIC.take(), elsewhere) {
        (Some(here), Some(elsewhere)) => format!("{here}, after a thread {elsewhere}"),
        (Some(here), None) => here,
        (None, Some(elsewhere)) => format!("a thread {elsewhere}"),
        (None, None) => format!("panicked: {}", panic_text(payload)),
    }
}

/// The entry of a dynamic library: the table of the plugin, or null where making it panicked.
pub fn entry(plugin: fn() -> &'static abi::Plugin) -> *const abi::Plugin {
    LIBRARY.store(true, Ordering::Relaxed);
    keep_panics();
    catch_unwind(plugin).map_or(std::ptr::null(), std::ptr::from_ref)
}

/// Runs what may panic, without a word of it on the terminal.
fn quietly<T>(body: impl FnOnce() -> T) -> std::thread::Result<T> {
    keep_panics();
    // A component may itself call through the boundary: when that inner call returns, the outer one is still guarded.
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    GUARDED.set(outer);
    result
}

/// Runs code of others that may panic where it should give an error, such as a library that reads a malformed file. A
/// panic becomes its message and is not printed. Nothing that `body` leaves half done may be used afterwards.
///
/// # Errors
/// The message of the panic.
pub fn catch<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    quietly(body).map_err(|payload| {
        PANIC.take();
        let message = panic_text(&*payload).to_owned();
        std::mem::forget(payload);
        message
    })
}

/// Runs a call: errors and panics become a status, told to the host.
///
/// # Safety
/// `host` must be valid for the call.
unsafe fn call(host: *const abi::Host, body: impl FnOnce(&Host<'_>) -> Result<()>) -> Status {
    // SAFETY: the caller's promise.
    let Ok(raw) = (unsafe { abi::read(host) }) else { return Status::FAILED };
    let foreign = Foreign(&raw);
    let result = quietly(|| body(&Host::new(&foreign))).unwrap_or_else(|payload| {
        let text = panic_reason(&*payload);
        // Dropping the payload runs foreign code, which may panic again.
        std::mem::forget(payload);
        Err(Error::failed(text))
    });
    let Err(error) = result else { return Status::OK };
    // SAFETY: the context is the host's own; the texts live for the call.
    unsafe { (raw.fail)(raw.context, Str::text(error.pointer()), Str::text(error.message())) };
    match error.fault() {
        Fault::Invalid => Status::INVALID,
        Fault::Failed => Status::FAILED,
        Fault::Cancelled => Status::CANCELLED,
    }
}

/// What the host gave, of its own version of the boundary.
///
/// # Safety
/// It must be valid for the call.
unsafe fn given<T: abi::Grows>(place: *const T) -> Result<T> {
    // SAFETY: the caller's promise.
    let given = unsafe { abi::read(place) };
    given.map_err(|size| Error::failed(format!("the host gave a struct of {size} bytes, of {}", T::FIRST)))
}

/// A table of strings from the host, an error where its offsets do not cut its text.
///
/// # Safety
/// Its slices must be valid for `'a`.
unsafe fn strings<'a>(strings: abi::Strings) -> Result<Strings<'a>> {
    // SAFETY: the caller's promise.
    let (text, offsets) = unsafe { (strings.bytes.get_text(), strings.offsets.get()) };
    text.and_then(|text| Strings::new(text, offsets))
        .ok_or_else(|| Error::failed("the host gave a malformed string table"))
}

/// Text from the host, an error where it is not UTF-8.
///
/// # Safety
/// It must be valid for `'a`.
unsafe fn text<'a>(text: Str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    unsafe { text.get_text() }.ok_or_else(|| Error::failed("the host gave text that is not UTF-8"))
}

unsafe extern "C" fn create<S: PluginSet, T: Interface + ?Sized + 'static>(
    host: *const abi::Host,
    kind: Str,
    options: Str,
    out: *mut *mut c_void,
) -> Status {
    // SAFETY: the host passes a valid host, texts and a place for the result.
    unsafe {
        call(host, |host| {
            let kind = text(kind)?;
            let maker = T::makers::<S>().iter().copied().flatten().find(|maker| maker.kind == kind);
            let maker = maker.ok_or_else(|| Error::failed(format!("{} has no component `{kind}`", S::NAME)))?;
            let component: Box<T> = (maker.create)(text(options)?, host)?;
            *out = Box::into_raw(Box::new(component)).cast();
            Ok(())
        })
    }
}

unsafe extern "C" fn destroy<T: ?Sized + 'static>(component: *mut c_void) {
    // SAFETY: the host passes what `create` gave for the same interface, once.
    let component = unsafe { Box::from_raw(component.cast::<Box<T>>()) };
    // There is nobody to tell of a panic in a destructor: the component is gone either way.
    let _ = catch(|| drop(component));
}

/// The component behind a handle.
///
/// # Safety
/// `component` must come from `create` for the same interface, and not be written during `'a`.
unsafe fn component<'a, T: ?Sized + 'static>(component: *const c_void) -> &'a T {
    // SAFETY: the caller's promise.
    unsafe { &*component.cast::<Box<T>>() }
}

/// The component behind a handle, for a call that changes it.
///
/// # Safety
/// `component` must come from `create` for the same interface, and nobody else reach it during `'a`.
unsafe fn component_mut<'a, T: ?Sized + 'static>(component: *mut c_void) -> &'a mut T {
    // SAFETY: the caller's promise.
    unsafe { &mut *component.cast::<Box<T>>() }
}

// In the functions below, the host passes a component of the interface, a valid host, and arguments that are valid
// for the call: the promises of `txray-abi`.

unsafe extern "C" fn metric_distances(
    metric: *const c_void,
    host: *const abi::Host,
    batch: *const abi::MetricBatch,
    out: abi::SliceMut<f64>,
) -> Status {
    // SAFETY: see above.
    unsafe {
        call(host, |host| {
            let batch = given(batch)?;
            let batch = MetricBatch {
                offsets: batch.offsets.get(),
                features: batch.features.get(),
                p: batch.p.get(),
                q: batch.q.get(),
                count_p: batch.count_p.get(),
                count_q: batch.count_q.get(),
                mass_p: batch.mass_p.get(),
                mass_q: batch.mass_q.get(),
                names: strings(batch.names)?,
            };
            let out = out.get();
            if !batch.is_consistent() || out.len() != batch.len() {
                return Err(Error::failed("the host gave a batch whose columns do not fit together"));
            }
            component::<dyn PreferenceMetric>(metric).distances(host, &batch, out)
        })
    }
}

unsafe extern "C" fn pruner_scores(
    pruner: *const c_void,
    host: *const abi::Host,
    columns: *const abi::Columns,
    out: abi::SliceMut<f64>,
) -> Status {
    // SAFETY: see above.
    unsafe {
        call(host, |host| {
            let columns = given(columns)?;
            let out = out.get();
            let columns =
                Columns { names: strings(columns.names)?, values: columns.values.get(), rows: columns.rows as usize };
            let values = columns.names.len().checked_mul(columns.rows);
            if values != Some(columns.values.len()) || out.len() != columns.rows {
                return Err(Error::failed("the host gave columns of different lengths"));
            }
            component::<dyn Pruner>(pruner).scores(host, &columns, out)
        })
    }
}

unsafe extern "C" fn sink_write(sink: *mut c_void, host: *const abi::Host, directory: Str, manifest: Str) -> Status {
    // SAFETY: see above.
    unsafe {
        call(host, |host| {
            component_mut::<dyn ReportSink>(sink).write(host, Path::new(text(directory)?), text(manifest)?)
        })
    }
}

type EmitJson = unsafe extern "C" fn(context: *mut c_void, json: Str);

unsafe extern "C" fn source_describe(
    source: *const c_void,
    host: *const abi::Host,
    emit: EmitJson,
    context: *mut c_void,
) -> Status {
    // SAFETY: see above.
    unsafe { call(host, |_| emit_json(&component::<dyn ActivationSource>(source).describe()?, emit, context)) }
}

/// # Safety
/// `emit` and `context` must belong together.
unsafe fn emit_json(value: &impl serde::Serialize, emit: EmitJson, context: *mut c_void) -> Result<()> {
    let json = serde_json::to_string(value).map_err(|e| Error::failed(format!("describing itself: {e}")))?;
    // SAFETY: the caller's promise; the text lives for the call.
    unsafe { emit(context, Str::text(&json)) };
    Ok(())
}

unsafe extern "C" fn source_next(
    source: *mut c_void,
    host: *const abi::Host,
    emit: unsafe extern "C" fn(context: *mut c_void, batch: *const abi::ActivationBatch),
    context: *mut c_void,
) -> Status {
    fn strings(strings: Strings<'_>) -> abi::Strings {
        let (text, offsets) = strings.parts();
        abi::Strings { bytes: Str::text(text), offsets: Slice::new(offsets) }
    }
    // SAFETY: see above.
    unsafe {
        call(host, |host| {
            let Some(batch) = component_mut::<dyn ActivationSource>(source).next(host)? else { return Ok(()) };
            if !batch.whole.is_empty() {
                return Err(Error::failed("it gives sites whole, which pass no boundary: give them one by one"));
            }
            let layers: Vec<abi::LayerColumn> = batch
                .layers
                .iter()
                .map(|layer| abi::LayerColumn {
                    name: Str::text(&layer.name),
                    features: Slice::new(&layer.features),
                    names: strings(layer.names.as_strings()),
                    unjoined: layer.unjoined,
                })
                .collect();
            let moments: Vec<abi::ExactMoments> = batch
                .moments
                .iter()
                .map(|m| abi::ExactMoments {
                    sum: Slice::new(&m.sum),
                    sum_abs: Slice::new(&m.sum_abs),
                    sum_sq: Slice::new(&m.sum_sq),
                })
                .collect();
            let view = abi::ActivationBatch {
                size: size_of::<abi::ActivationBatch>(),
                documents: Slice::new(&batch.documents),
                groups: strings(batch.groups.as_strings()),
                offsets: Slice::new(&batch.offsets),
                starts: Slice::new(&batch.starts),
                ends: Slice::new(&batch.ends),
                unknown: batch.unknown,
                layers: Slice::new(&layers),
                token: Slice::new(&batch.token),
                site: Slice::new(&batch.site),
                neuron: Slice::new(&batch.neuron),
                activation: Slice::new(&batch.activation),
                moments: Slice::EMPTY,
                exact_moments: Slice::new(&moments),
                lines: Slice::new(&batch.lines),
                characters: batch.characters,
                dropped: batch.dropped,
                dropped_documents: batch.dropped_documents,
            };
            emit(context, &raw const view);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde alone")]
    struct Options {
        alpha: f64,
        train: Train,
    }

    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde alone")]
    struct Train {
        epochs: Vec<u64>,
    }

    #[test]
    fn wrong_options_are_named_by_a_pointer_and_by_nothing_else() {
        let error = |text| parse_options::<Options>(text).unwrap_err();
        let wrong = error(r#"{"alpha": 1, "train": {"epochs": [1, "x"]}}"#);
        assert_eq!(wrong.pointer(), "/train/epochs/1");
        assert_eq!(wrong.message(), "invalid type: string \"x\", expected u64");
        assert_eq!(error(r#"{"alpha": 1, "train": {"epoch": 1}}"#).pointer(), "/train/epoch");
        assert_eq!(error(r#"{"alpha": 1}"#).message(), "missing field `train`");
    }
}
