//! A plugin in Rust, called by hosts of other versions of the boundary than its own: it reads no further than their structs
//! reach, and takes what it does not know for nothing.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code, reason = "the host's side of the boundary, by hand")]

use std::ffi::c_void;
use std::mem::offset_of;

use txray_plugin::abi::{self, Slice, SliceMut, Status, Str};
use txray_plugin::{Component, Host, MetricBatch, NoOptions, PreferenceMetric, Result};

/// The sum of all probabilities of the first side.
struct Sum;

impl Component for Sum {
    const KIND: &'static str = "sum";
    const ABOUT: &'static str = "the sum of all probabilities";
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl PreferenceMetric for Sum {
    fn distances(&self, host: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        assert_eq!(host.threads(), 3);
        out.iter_mut().zip(batch.rows()).for_each(|(out, row)| *out = row.p.iter().sum());
        Ok(())
    }
}

txray_plugin::components!(metrics = [Sum]);

/// A struct of years to come: what is known of it today, and more behind.
#[repr(C)]
struct Grown<T> {
    known: T,
    more: [usize; 4],
}

unsafe extern "C" fn log(_: *mut c_void, _: u32, _: Str) {}
unsafe extern "C" fn progress(_: *mut c_void, _: u64, _: u64, _: Str) {}
unsafe extern "C" fn cancelled(_: *mut c_void) -> u32 {
    0
}
unsafe extern "C" fn fail(context: *mut c_void, _: Str, message: Str) {
    // SAFETY: the context is the string of the call below, and the text lives for the call.
    unsafe { *context.cast::<String>() = message.get_text().unwrap().to_owned() }
}

/// One row of a batch, by a host and with a batch that say these sizes.
fn distance(host_size: usize, batch_size: usize) -> (Status, f64, String) {
    let mut said = String::new();
    let host = abi::Host {
        size: host_size,
        context: (&raw mut said).cast(),
        threads: 3,
        reserved: 0,
        log,
        progress,
        cancelled,
        fail,
    };
    let host = Grown { known: host, more: [usize::MAX; 4] };
    let (offsets, features, p, counts) = ([0_u64, 2], [0_u32, 1], [0.25, 0.5], [1_u64, 1]);
    let name_offsets = [0_u64, 1, 2];
    let batch = abi::MetricBatch {
        size: batch_size,
        offsets: Slice::new(&offsets),
        features: Slice::new(&features),
        p: Slice::new(&p),
        q: Slice::new(&p),
        count_p: Slice::new(&counts),
        count_q: Slice::new(&counts),
        mass_p: Slice::new(&p),
        mass_q: Slice::new(&p),
        names: abi::Strings { bytes: Str::text("ab"), offsets: Slice::new(&name_offsets) },
    };
    let batch = Grown { known: batch, more: [usize::MAX; 4] };
    // SAFETY: the table is this plugin's own, and everything lives for the calls.
    unsafe {
        let table = (plugin().query)(Str::text(abi::METRIC)).cast::<abi::MetricTable>();
        let table = abi::read(table).unwrap();
        let mut metric = std::ptr::null_mut();
        let made = (table.create)(&raw const host.known, Str::text("sum"), Str::text("{}"), &raw mut metric);
        if made != Status::OK {
            return (made, f64::NAN, said);
        }
        let mut out = [f64::NAN];
        let status = (table.distances)(metric, &raw const host.known, &raw const batch.known, SliceMut::new(&mut out));
        (table.destroy)(metric);
        (status, out[0], said)
    }
}

#[test]
fn hosts_of_today_and_of_years_to_come_are_served() {
    let (host, batch) = (size_of::<abi::Host>(), size_of::<abi::MetricBatch>());
    for (host, batch) in [(host, batch), (host + 32, batch), (host, batch + 32), (host + 8, batch + 8)] {
        assert_eq!(distance(host, batch), (Status::OK, 0.75, String::new()));
    }
}

#[test]
fn what_is_shorter_than_it_ever_was_is_refused() {
    let (host, batch) = (size_of::<abi::Host>(), size_of::<abi::MetricBatch>());
    let (status, _, said) = distance(host, batch - 8);
    assert_eq!(
        (status, &*said),
        (Status::FAILED, &*format!("the host gave a struct of {} bytes, of {batch}", batch - 8))
    );
    // To such a host nothing can be said.
    assert_eq!(distance(host - 8, batch).0, Status::FAILED);
}

#[test]
fn what_is_not_there_is_nothing() {
    let batch = abi::ActivationBatch {
        size: offset_of!(abi::ActivationBatch, exact_moments),
        documents: Slice::new(&[5]),
        groups: abi::Strings { bytes: Slice::EMPTY, offsets: Slice::EMPTY },
        offsets: Slice::EMPTY,
        starts: Slice::EMPTY,
        ends: Slice::EMPTY,
        unknown: 3,
        layers: Slice::EMPTY,
        token: Slice::EMPTY,
        site: Slice::EMPTY,
        neuron: Slice::EMPTY,
        activation: Slice::EMPTY,
        moments: Slice::EMPTY,
        exact_moments: Slice { ptr: std::ptr::dangling(), len: 77 },
        lines: Slice { ptr: std::ptr::dangling(), len: 77 },
        characters: 77,
        dropped: 77,
        dropped_documents: 77,
    };
    // SAFETY: the place is longer than its size says.
    let read = unsafe { abi::read(&raw const batch) }.unwrap();
    assert_eq!((read.unknown, read.documents.len, read.exact_moments.len), (3, 1, 0));
    assert_eq!((read.lines.len, read.characters, read.dropped, read.dropped_documents), (0, 0, 0, 0));
    let short = abi::ActivationBatch { size: read.size - 1, ..batch };
    // SAFETY: as above.
    assert_eq!(unsafe { abi::read(&raw const short) }.err(), Some(read.size - 1));
}
