//! The C boundary between `txray` and its plugins.
//!
//! ```text
//! host: dlopen --> ENTRY() --> Plugin { magic, version, info (JSON), query }
//!                                              |
//!                query("txray.metric/1") --> MetricTable { create, ..., destroy }
//!                query("txray.model/0")  --> ModelTable { create, ..., ability("txray.model.encode/0") --> EncodeTable }
//!                                              |
//!       options (JSON) --> create --> component --> calls, each with a Host to log to and to ask whether to stop
//! ```
//!
//! A plugin is a dynamic library with one exported symbol, [`ENTRY`], a function that returns a [`Plugin`].
//! `Plugin::query` gives, for the name of an interface ([`METRIC`], [`PRUNER`], ...), the table of functions
//! behind it, or null. `txray.h` beside this crate is the same boundary for C.
//!
//! Rules of the boundary:
//! - Majors must match exactly. Structs that carry their size may grow at their end: who is given one reads no further than
//!   its size, and takes fields that are not there for 0 ([`read`]). Structs without a size are frozen. A new ability is a new
//!   name. Compiler and crate versions are never compared.
//! - Data is plain: `{pointer, length}` of numbers and UTF-8, borrowed for the call. The caller allocates outputs.
//!   A length of zero may come with any pointer.
//! - Options and descriptions are JSON text.
//! - A call that can fail returns a [`Status`]; before it returns anything but [`Status::OK`], it says why through
//!   [`Host::fail`].
//! - Functions whose first parameter is `*const c_void` may be called from many threads at once; those whose first
//!   parameter is `*mut c_void` never are, and never beside any other call on the same component.
//! - Nothing unwinds across the boundary, and no call ends the process: `exit` in a call is a failure of the run.
//! - A list that a plugin gives has 2^28 values at most, a description 16 MiB. A host checks what it is given before it
//!   makes anything of it; that as many values are there as a length says, it must believe.
//! - A plugin is never unloaded.
//!
//! Rust authors do not meet this crate: `txray-plugin` wraps it in safe traits and one macro.

#![no_std]
#![allow(unsafe_code, reason = "this crate is the boundary: raw slices are what it defines")]

use core::ffi::c_void;

mod exact;
mod grow;
mod model;

pub use grow::{Grows, read, write};
pub use model::*;

/// The first field of every [`Plugin`]: the bytes `txrayplg`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"txrayplg");
/// Must be equal in host and plugin.
pub const ABI_MAJOR: u32 = 1;
/// Grows when structs grow at the end; never compared. 1: [`ActivationBatch::exact_moments`].
pub const ABI_MINOR: u32 = 2;
/// The one symbol a plugin exports: an [`Entry`].
pub const ENTRY: &str = "txray_plugin_v1";

/// Distances between preference distributions: [`MetricTable`].
pub const METRIC: &str = "txray.metric/1";
/// Scores of neurons: [`PrunerTable`].
pub const PRUNER: &str = "txray.pruner/1";
/// Activations from elsewhere: [`SourceTable`].
pub const SOURCE: &str = "txray.source/1";
/// Reports of a finished run: [`SinkTable`].
pub const SINK: &str = "txray.sink/1";
/// "No value" in a column of `u32`: a null span, a null feature.
pub const NULL: u32 = u32::MAX;

/// The type of the exported symbol. The plugin it returns lives as long as the process.
pub type Entry = unsafe extern "C" fn() -> *const Plugin;

/// Borrowed read-only values.
#[repr(C)]
#[derive(Debug)]
pub struct Slice<T> {
    /// First value; any pointer when `len` is 0.
    pub ptr: *const T,
    /// Counts values, not bytes.
    pub len: usize,
}

/// Borrowed values that the callee writes.
#[repr(C)]
#[derive(Debug)]
pub struct SliceMut<T> {
    /// First value; any pointer when `len` is 0.
    pub ptr: *mut T,
    /// Counts values, not bytes.
    pub len: usize,
}

/// UTF-8 text, not NUL-terminated.
pub type Str = Slice<u8>;

impl<T> Copy for Slice<T> {}
impl<T> Clone for Slice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Slice<T> {
    /// Points to `values`, which the caller keeps alive: a slice of the boundary has no lifetime.
    pub const fn new(values: &[T]) -> Self {
        Self { ptr: values.as_ptr(), len: values.len() }
    }

    /// Length 0, at a null pointer.
    pub const EMPTY: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// The values as a Rust slice.
    ///
    /// # Safety
    /// `ptr` must point to `len` initialised values (or `len` be 0) that nobody writes during `'a`.
    pub unsafe fn get<'a>(self) -> &'a [T] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the caller's promise; a zero length, which may come with a null pointer, has returned above.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl Str {
    /// Points to the bytes of `text`, as [`Slice::new`] does.
    pub const fn text(text: &str) -> Self {
        Self::new(text.as_bytes())
    }

    /// `None` where it is not UTF-8.
    ///
    /// # Safety
    /// As for [`Slice::get`].
    pub unsafe fn get_text<'a>(self) -> Option<&'a str> {
        // SAFETY: the caller's promise.
        core::str::from_utf8(unsafe { self.get() }).ok()
    }
}

impl<T> SliceMut<T> {
    /// Points to `values`, which the caller keeps alive and leaves alone.
    pub const fn new(values: &mut [T]) -> Self {
        Self { ptr: values.as_mut_ptr(), len: values.len() }
    }

    /// The values as a Rust slice.
    ///
    /// # Safety
    /// `ptr` must point to `len` initialised values (or `len` be 0) that nobody else reaches during `'a`.
    pub unsafe fn get<'a>(self) -> &'a mut [T] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: the caller's promise; a zero length, which may come with a null pointer, has returned above.
        unsafe { core::slice::from_raw_parts_mut(self.ptr, self.len) }
    }
}

/// A sum in fixed point, with 64 bits behind the point: `(high * 2^64 + low) / 2^64`. Adding is exact, so that any order of
/// any parts gives the same bits; a float's sum does not. Sums stay within 2^62 of 0: one that was beyond is none any more.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExactSum {
    /// The whole part, rounded down.
    pub high: i64,
    /// What is above it, times 2^64.
    pub low: u64,
}

/// A table of strings: string `i` is `bytes[offsets[i]..offsets[i + 1]]`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Strings {
    /// All strings, one after the other, UTF-8.
    pub bytes: Str,
    /// `[strings + 1]`, never falling, from 0 to `bytes.len`; empty for no strings.
    pub offsets: Slice<u64>,
}

/// How a call ended.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub i32);

impl Status {
    /// It did what was asked.
    pub const OK: Self = Self(0);
    /// The user's options or input are at fault.
    pub const INVALID: Self = Self(1);
    /// The plugin is at fault, or its surroundings.
    pub const FAILED: Self = Self(2);
    /// It stopped because [`Host::cancelled`] said so.
    pub const CANCELLED: Self = Self(3);
}

/// What the host offers to a call. Valid for that call alone; its functions may be called from any thread.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// `sizeof(Host)` of the host.
    pub size: usize,
    /// First argument of every function here.
    pub context: *mut c_void,
    /// How many threads a call may use.
    pub threads: u32,
    /// Padding, 0.
    pub reserved: u32,
    /// Logs a line: 1 error, 2 warning, 3 information, 4 debugging.
    pub log: unsafe extern "C" fn(context: *mut c_void, level: u32, message: Str),
    /// Reports progress of this call: `done` of `total` tokens (0: unknown), and a word on it (may be empty).
    pub progress: unsafe extern "C" fn(context: *mut c_void, done: u64, total: u64, message: Str),
    /// Not 0 once the call should stop and return [`Status::CANCELLED`].
    pub cancelled: unsafe extern "C" fn(context: *mut c_void) -> u32,
    /// Says why the call is about to return something else than [`Status::OK`]. `pointer` is a JSON pointer into
    /// the options (empty: the whole).
    pub fail: unsafe extern "C" fn(context: *mut c_void, pointer: Str, message: Str),
}

/// What a plugin is: returned by its [`Entry`].
#[repr(C)]
#[derive(Debug)]
pub struct Plugin {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`ABI_MAJOR`] the plugin was built with.
    pub abi_major: u32,
    /// [`ABI_MINOR`] the plugin was built with.
    pub abi_minor: u32,
    /// `sizeof(Plugin)` of the plugin.
    pub size: usize,
    /// JSON: `{"name", "version", "components": [{"interface", "kind", "about", "options", "claims", "devices"}]}`.
    /// `options` is the JSON Schema of the component's options; `claims` (metrics) and `devices` (models) may be absent.
    pub info: Str,
    /// The table of an interface ([`METRIC`] gives a [`MetricTable`], ...), or null.
    pub query: unsafe extern "C" fn(interface: Str) -> *const c_void,
}

// SAFETY: a `Plugin` is read-only once it is returned, and points to statics alone.
unsafe impl Sync for Plugin {}
// SAFETY: as above.
unsafe impl Send for Plugin {}

/// Makes a component of the kind named, from options (a JSON object), and writes it to `out`. Cheap, because it is also
/// how options are checked.
pub type Create = unsafe extern "C" fn(host: *const Host, kind: Str, options: Str, out: *mut *mut c_void) -> Status;
/// Ends a component made by [`Create`], once.
pub type Destroy = unsafe extern "C" fn(component: *mut c_void);

/// `txray.metric/1`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MetricTable {
    /// `sizeof(MetricTable)` of the plugin.
    pub size: usize,
    /// See [`Create`].
    pub create: Create,
    /// See [`Destroy`].
    pub destroy: Destroy,
    /// Writes one distance a row to `out` (`[rows]`); NaN where it is undefined.
    pub distances: unsafe extern "C" fn(
        metric: *const c_void,
        host: *const Host,
        batch: *const MetricBatch,
        out: SliceMut<f64>,
    ) -> Status,
}

/// Pairs of preference distributions, ragged: row `r` (a neuron and layer) holds the entries
/// `offsets[r]..offsets[r + 1]` of every column, one for each feature of the union of both sides, in rising order of
/// feature id.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MetricBatch {
    /// `sizeof(MetricBatch)` of the host.
    pub size: usize,
    /// `[rows + 1]` offsets into the columns below.
    pub offsets: Slice<u64>,
    /// `[entries]` feature ids, indices into `names`.
    pub features: Slice<u32>,
    /// `[entries]` probabilities of the first side; each row sums to 1.
    pub p: Slice<f64>,
    /// `[entries]` probabilities of the second side.
    pub q: Slice<f64>,
    /// `[entries]` how often the feature was observed, first side.
    pub count_p: Slice<u64>,
    /// `[entries]` the same, second side.
    pub count_q: Slice<u64>,
    /// `[entries]` sum of the activations, first side.
    pub mass_p: Slice<f64>,
    /// `[entries]` the same, second side.
    pub mass_q: Slice<f64>,
    /// `[features]` names, by feature id.
    pub names: Strings,
}

/// `txray.pruner/1`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrunerTable {
    /// `sizeof(PrunerTable)` of the plugin.
    pub size: usize,
    /// See [`Create`].
    pub create: Create,
    /// See [`Destroy`].
    pub destroy: Destroy,
    /// Writes one score a neuron to `out` (`[rows]`); the highest are pruned first, NaN never.
    pub scores: unsafe extern "C" fn(
        pruner: *const c_void,
        host: *const Host,
        columns: *const Columns,
        out: SliceMut<f64>,
    ) -> Status,
}

/// Named columns of equal length; missing values are NaN.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// `sizeof(Columns)` of the host.
    pub size: usize,
    /// Length of every column.
    pub rows: u64,
    /// `[columns]` names, by which a pruner finds what it needs.
    pub names: Strings,
    /// `[columns, rows]` values, column after column.
    pub values: Slice<f64>,
}

/// `txray.sink/1`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SinkTable {
    /// `sizeof(SinkTable)` of the plugin.
    pub size: usize,
    /// See [`Create`].
    pub create: Create,
    /// See [`Destroy`].
    pub destroy: Destroy,
    /// Reads the finished run in `directory` (its tables are Parquet), described by `manifest` (JSON), and writes
    /// its report into the same directory.
    pub write: unsafe extern "C" fn(sink: *mut c_void, host: *const Host, directory: Str, manifest: Str) -> Status,
}

/// `txray.source/1`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SourceTable {
    /// `sizeof(SourceTable)` of the plugin.
    pub size: usize,
    /// See [`Create`].
    pub create: Create,
    /// See [`Destroy`].
    pub destroy: Destroy,
    /// Says in JSON what the source reads: `{"sites": [{"name", "width"}], "layers": ["token", ...]}`, through `emit`.
    pub describe: unsafe extern "C" fn(
        source: *const c_void,
        host: *const Host,
        emit: unsafe extern "C" fn(context: *mut c_void, json: Str),
        context: *mut c_void,
    ) -> Status,
    /// Reads the next documents and hands them to `emit`, once; does not call `emit` at the end. What `emit` is
    /// given is borrowed for that call.
    pub next: unsafe extern "C" fn(
        source: *mut c_void,
        host: *const Host,
        emit: unsafe extern "C" fn(context: *mut c_void, batch: *const ActivationBatch),
        context: *mut c_void,
    ) -> Status,
}

/// Whole documents with their tokens, the features of those tokens, and the activations the record rule kept.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ActivationBatch {
    /// `sizeof(ActivationBatch)` of the plugin.
    pub size: usize,
    /// `[documents]` the documents' ids.
    pub documents: Slice<u64>,
    /// `[documents]` names of the documents' groups (an empty name: in none); no strings at all: no groups.
    pub groups: Strings,
    /// `[documents + 1]` offsets into the tokens.
    pub offsets: Slice<u64>,
    /// `[tokens]` start of each token in its document's text, in Unicode scalars; [`NULL`] where it has none.
    pub starts: Slice<u32>,
    /// `[tokens]` end of each token, likewise.
    pub ends: Slice<u32>,
    /// How many tokens the model's vocabulary did not know.
    pub unknown: u64,
    /// One column of features a layer.
    pub layers: Slice<LayerColumn>,
    /// `[observations]` index of the observation's token in this batch, never falling.
    pub token: Slice<u32>,
    /// `[observations]` its site, an index into the sites described.
    pub site: Slice<u32>,
    /// `[observations]` its neuron.
    pub neuron: Slice<u32>,
    /// `[observations]` its activation.
    pub activation: Slice<f32>,
    /// `[sites]` moments; empty where the source does not know them, or knows them exactly.
    pub moments: Slice<Moments>,
    /// `[sites]` the moments in exact sums, so that they do not depend on how documents are cut into batches; empty where the
    /// source does not know them so. Since minor version 1: who gives it says so by `size`.
    pub exact_moments: Slice<ExactMoments>,
    /// `[documents]` the lines of their file that the documents stand in, from 1 (0: in none); empty where the source does not
    /// know them. `starts` and `ends` count from where such a line begins, or the field of a table. Since minor version 2.
    pub lines: Slice<u64>,
    /// Characters of the documents: Unicode scalars that are no white space; 0 where the source does not know. Since minor
    /// version 2.
    pub characters: u64,
    /// How many of these were dropped: no token reads them. Since minor version 2.
    pub dropped: u64,
    /// Documents with characters, all of which were dropped. Since minor version 2.
    pub dropped_documents: u64,
}

/// The features of one layer: token `t` has the feature named `names[features[t]]`, or none ([`NULL`]).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LayerColumn {
    /// The layer's name.
    pub name: Str,
    /// `[tokens]` indices into `names`, or [`NULL`].
    pub features: Slice<u32>,
    /// Names of the features.
    pub names: Strings,
    /// Tokens with a span that found no annotation to join.
    pub unjoined: u64,
}

/// The moments of one site: the sums of h, |h| and h² over all tokens of a batch, recorded or not, `[width]` each.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Sum of h.
    pub sum: Slice<f64>,
    /// Sum of |h|.
    pub sum_abs: Slice<f64>,
    /// Sum of h².
    pub sum_sq: Slice<f64>,
}

/// [`Moments`] in exact sums.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ExactMoments {
    /// Sum of h.
    pub sum: Slice<ExactSum>,
    /// Sum of |h|.
    pub sum_abs: Slice<ExactSum>,
    /// Sum of h².
    pub sum_sq: Slice<ExactSum>,
}
