//! The host's side of the boundary: a component behind a C table, as the Rust trait of its interface. One file an interface;
//! here is what they share: making and ending a component, the host of a call, and what becomes of its status.
//!
//! In every call the component is the table's own, and every argument lives for the call.

#![allow(unsafe_code, reason = "this module calls through the C tables of plugins")]

pub(crate) mod calls;
mod metric;
mod model;
mod pruner;
mod sink;
mod source;

use std::ffi::c_void;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde_json::Value;
use txray_plugin::abi::{self, Grows, Slice, Status, Str};
use txray_plugin::{Error, Fault, Host, Level, Result, Strings};

use crate::bounds::{LONGEST_DESCRIPTION, LONGEST_MESSAGE, MOST_VALUES, bytes};
use crate::{Registered, SILENT};
use calls::Word;
pub(crate) use model::ModelHandle;
pub(crate) use source::Source;

/// A table of functions.
///
/// # Safety
/// An implementor must be a `repr(C)` struct of one `usize`, its size, and for the rest of its first version of function
/// pointers and of words that are not 0.
pub(crate) unsafe trait Functions: Grows + Copy + 'static {}

/// The table of an interface. All of these begin alike: size, create, destroy.
pub(crate) trait Table: Functions {
    const INTERFACE: &'static str;
    /// Of an interface that still changes: where its table tells a revision, and which of them this is.
    const REVISION: Option<(usize, usize)>;
    fn create(&self) -> abi::Create;
    fn destroy(&self) -> abi::Destroy;
}

macro_rules! tables {
    ($($table:ident: $interface:ident $($field:ident $current:ident)?,)*) => {$(
        // SAFETY: by its definition in `txray-abi`.
        unsafe impl Functions for abi::$table {}
        impl Table for abi::$table {
            const INTERFACE: &'static str = abi::$interface;
            const REVISION: Option<(usize, usize)> =
                first(&[$((std::mem::offset_of!(abi::$table, $field), abi::$current))?]);
            fn create(&self) -> abi::Create {
                self.create
            }
            fn destroy(&self) -> abi::Destroy {
                self.destroy
            }
        }
    )*};
}

const fn first(revision: &[(usize, usize)]) -> Option<(usize, usize)> {
    match revision {
        [first, ..] => Some(*first),
        [] => None,
    }
}

tables! {
    MetricTable: METRIC,
    PrunerTable: PRUNER,
    SinkTable: SINK,
    SourceTable: SOURCE,
    ModelTable: MODEL revision MODEL_REVISION,
}

/// A component of a plugin.
pub(crate) struct Handle<T: Table> {
    /// As much as the plugin's version of the boundary has of it.
    table: T,
    caller: Caller,
    component: Arc<Owned>,
}

/// What a plugin made for its host, and is to end, once: a component, or a state or session of one.
struct Owned {
    pointer: *mut c_void,
    end: abi::Destroy,
    caller: Caller,
    /// For the plugin's name in a crash.
    function: Word,
    /// What it is of, and must end before.
    of: Option<Arc<Owned>>,
}

// SAFETY: the boundary promises that `const` calls may come from many threads at once, and Rust's `&mut` keeps `mut`
// calls alone: a component is reached through its handle. A state or session is reached through its `Opaque`, which is not
// `Sync`, and so in one call at a time; it may end beside calls on its model, as the boundary allows.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the plugin made it, to be ended by this function; and it is ended once.
        calls::marked(self.caller.plugin, self.function, || unsafe { (self.end)(self.pointer) });
    }
}

/// Who calls: a component by its name.
#[derive(Clone)]
struct Caller {
    /// For messages about faults of the plugin.
    name: Arc<str>,
    /// The plugin, should it take the process down.
    plugin: Word,
}

impl Caller {
    /// Gives a call of `function` its host, and turns a status other than OK into the error that the plugin told that host.
    fn call(&self, host: &Host<'_>, function: Word, body: impl FnOnce(*const abi::Host) -> Status) -> Result<()> {
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
        let status = calls::marked(self.plugin, function, || body(&raw const raw));
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

    /// Has a call make something, and takes it over: null is a fault. `ended`: the function that ends it, and what it is of.
    fn make(
        &self,
        host: &Host<'_>,
        function: Word,
        (end, name, of): (abi::Destroy, Word, Option<Arc<Owned>>),
        body: impl FnOnce(*const abi::Host, *mut *mut c_void) -> Status,
    ) -> Result<Arc<Owned>> {
        let mut pointer = std::ptr::null_mut();
        let place = &raw mut pointer;
        // Where it fails, nothing was made, whatever is written to its place.
        self.call(host, function, |host| body(host, place))?;
        if pointer.is_null() {
            return Err(self.fault("it was made, but is null"));
        }
        Ok(Arc::new(Owned { pointer, end, caller: self.clone(), function: name, of }))
    }

    /// What the plugin does wrong, after the component's name.
    fn fault(&self, what: &str) -> Error {
        Error::failed(format!("{}: {what}", self.name))
    }
}

impl<T: Table> Handle<T> {
    /// Calls the table's `create`.
    pub(crate) fn create(plugin: &Registered, kind: &str, options: &Value, host: &Host<'_>) -> Result<Self> {
        let name = format!("`{kind}` of {} ({})", plugin.info.name, plugin.origin);
        let caller = Caller { name: name.into(), plugin: plugin.word };
        let table = calls::marked(plugin.word, &"query", || table::<T>(plugin.table));
        let table = table.map_err(|what| caller.fault(&what))?;
        let options = options.to_string();
        let (kind, options) = (Str::text(kind), Str::text(&options));
        // SAFETY: host, texts and the place for the result live for the call.
        let component = caller.make(host, &"create", (table.destroy(), &"destroy", None), |host, place| unsafe {
            (table.create())(host, kind, options, place)
        })?;
        Ok(Self { table, caller, component })
    }

    /// The component, for a call.
    fn component(&self) -> *mut c_void {
        self.component.pointer
    }

    fn call(&self, host: &Host<'_>, function: Word, body: impl FnOnce(*const abi::Host) -> Status) -> Result<()> {
        self.caller.call(host, function, body)
    }

    /// Reads the JSON that the plugin's `describe` hands to a callback.
    fn describe<D: DeserializeOwned>(
        &self,
        function: Word,
        describe: unsafe extern "C" fn(
            *const c_void,
            *const abi::Host,
            unsafe extern "C" fn(*mut c_void, Str),
            *mut c_void,
        ) -> Status,
        is_sound: impl Fn(&D) -> Result<(), String>,
    ) -> Result<D> {
        type Described = Option<Result<String, String>>;
        unsafe extern "C" fn keep(context: *mut c_void, json: Str) {
            let json = if json.len > LONGEST_DESCRIPTION {
                Err(format!("has {}, and {} is the most", bytes(json.len as u128), bytes(LONGEST_DESCRIPTION as u128)))
            } else {
                // SAFETY: the text lives for the call.
                let text = unsafe { values(json) }.map_err(|what| format!("is {what}"));
                text.and_then(|text| String::from_utf8(text.to_vec()).map_err(|_| "is not UTF-8".to_owned()))
            };
            // SAFETY: `context` is the place below.
            unsafe { *context.cast::<Described>() = Some(json) }
        }
        let mut json: Described = None;
        let context = (&raw mut json).cast();
        // SAFETY: the component is this table's, and the callback and its context live for the call.
        self.call(&Host::detached(), function, |host| unsafe { describe(self.component(), host, keep, context) })?;
        let json = json.ok_or_else(|| self.fault("it gave no description"))?;
        let json = json.map_err(|what| self.fault(&format!("its description {what}")))?;
        let description =
            serde_json::from_str(&json).map_err(|e| self.fault(&format!("its description does not read: {e}")))?;
        is_sound(&description).map_err(|what| self.fault(&format!("it describes itself wrongly: {what}")))?;
        Ok(description)
    }

    fn fault(&self, what: &str) -> Error {
        self.caller.fault(what)
    }
}

/// No interface has so many revisions: what is beyond is none.
const MOST_REVISIONS: usize = 1 << 16;

/// The table of an interface, checked.
fn table<T: Table>(plugin: &'static abi::Plugin) -> Result<T, String> {
    // SAFETY: the plugin was inspected when it was taken in; the name lives for the call.
    let table = unsafe { (plugin.query)(Str::text(T::INTERFACE)) };
    if let Some((at, ours)) = T::REVISION {
        // SAFETY: what `query` gives lives as long as the process.
        match unsafe { revision(table, at) } {
            // Before there were abilities, a function stood in its place.
            Some(theirs) if theirs > MOST_REVISIONS => {
                return Err(format!("it speaks an early revision of {}, and this is {ours}", T::INTERFACE));
            }
            Some(theirs) if theirs != ours => {
                return Err(format!("it speaks revision {theirs} of {}, and this is {ours}", T::INTERFACE));
            }
            _ => {}
        }
    }
    // SAFETY: as above.
    unsafe { functions::<T>(table, T::INTERFACE) }?.ok_or_else(|| format!("it does not supply {}", T::INTERFACE))
}

/// The revision that a table tells, before anything else of it is believed; `None`: there is none.
///
/// # Safety
/// The table must be null, or readable for as many bytes as it says.
unsafe fn revision(table: *const c_void, at: usize) -> Option<usize> {
    let table = table.cast::<usize>();
    // SAFETY: every table begins with its size.
    let has_one = !table.is_null() && table.is_aligned() && unsafe { *table } >= at + size_of::<usize>();
    // SAFETY: within its size; every word of a table is aligned.
    has_one.then(|| unsafe { *table.add(at / size_of::<usize>()) })
}

/// A table of functions, checked: it is large enough, and none of its functions is null. `None`: there is none.
///
/// # Safety
/// It must be null, or readable for as many bytes as it says.
unsafe fn functions<T: Functions>(table: *const c_void, name: &str) -> Result<Option<T>, String> {
    let table = table.cast::<usize>();
    if table.is_null() {
        return Ok(None);
    }
    if !table.is_aligned() {
        return Err(format!("its table of {name} lies where no table can"));
    }
    // SAFETY: every table begins with its size.
    let size = unsafe { *table };
    if size < T::FIRST {
        return Err(format!("its table of {name} has {size} bytes of {}", T::FIRST));
    }
    let words = T::FIRST / size_of::<usize>();
    // SAFETY: the table says it has that many bytes; `Functions` are words alone, and each must be there before it can be
    // believed to be one.
    if (1..words).any(|i| unsafe { *table.add(i) } == 0) {
        return Err(format!("its table of {name} lacks a function"));
    }
    // SAFETY: long enough, and no function of the first version is null.
    let table = unsafe { abi::read(table.cast::<T>()) };
    table.map(Some).map_err(|size| format!("its table of {name} has {size} bytes"))
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

/// Values from a plugin; what is wrong where its pointer is null or misaligned although there are some, or there are more than
/// a plugin gives at once. Whether they are there, only the plugin knows.
///
/// # Safety
/// As for [`Slice::get`], less what is checked here.
unsafe fn values<'a, T>(slice: Slice<T>) -> Result<&'a [T], String> {
    if slice.len == 0 {
        return Ok(&[]);
    }
    if slice.ptr.is_null() || !slice.ptr.is_aligned() {
        return Err("a null or misaligned pointer".to_owned());
    }
    if slice.len > MOST_VALUES {
        let size = bytes(slice.len as u128 * size_of::<T>() as u128);
        return Err(format!("a list of {} values ({size}), and {MOST_VALUES} is the most at once", slice.len));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { slice.get() })
}

/// Text from a plugin, for messages: what is not UTF-8 is replaced. Of one that is too long, how long it is.
///
/// # Safety
/// As for [`values`].
unsafe fn lossy(text: Str) -> String {
    if text.len > LONGEST_MESSAGE {
        return format!("(a text of {})", bytes(text.len as u128));
    }
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
