//! Structs that grow at their end, read by whoever knows another length of them.

use core::mem::{MaybeUninit, offset_of};

use crate::{
    ActivationBatch, CarryTable, Columns, EncodeRequest, EncodeTable, ExtendTable, Host, MetricBatch, MetricTable,
    ModelTable, Plugin, PredictRequest, PredictTable, PrunerTable, SinkTable, SourceTable, TrainReport, TrainRequest,
    TrainTable,
};

/// A struct that says its size and may grow at its end. All others are frozen: they never change.
///
/// # Safety
/// An implementor is `repr(C)`, has a `size: usize` at [`Grows::SIZE`] within [`Grows::FIRST`] bytes, and what lies beyond
/// those is valid where it is all zero: slices, numbers, and functions that are optional.
pub unsafe trait Grows: Sized {
    /// Bytes that the struct has in the first version of the boundary: nobody may give less.
    const FIRST: usize;
    /// Where its size stands.
    const SIZE: usize;
}

macro_rules! grows {
    ($($name:ident $(since $added:ident)?,)*) => {$(
        // SAFETY: by its definition in this crate.
        unsafe impl Grows for $name {
            const FIRST: usize = first(size_of::<Self>(), &[$(offset_of!($name, $added))?]);
            const SIZE: usize = offset_of!($name, size);
        }
    )*};
}

const fn first(whole: usize, added: &[usize]) -> usize {
    match added {
        [first, ..] => *first,
        [] => whole,
    }
}

// Behind `since` stands the first field that was added.
grows! {
    Host,
    Plugin,
    MetricTable,
    MetricBatch,
    PrunerTable,
    Columns,
    SinkTable,
    SourceTable,
    ActivationBatch since exact_moments,
    ModelTable,
    EncodeTable,
    PredictTable,
    TrainTable,
    CarryTable,
    ExtendTable,
    EncodeRequest,
    PredictRequest,
    TrainRequest,
    TrainReport,
}

/// Reads a struct of somebody who may know more or fewer of its fields: no further than its size says, and fields that are not
/// there are 0. What it says of its size is kept, so that it can be told.
///
/// # Errors
/// The bytes that it has, where they are fewer than the first version's.
///
/// # Safety
/// The place must be aligned, and readable for as many bytes as the struct says.
pub unsafe fn read<T: Grows>(place: *const T) -> Result<T, usize> {
    // SAFETY: the size is within what every version has.
    let size = unsafe { place.cast::<u8>().add(T::SIZE).cast::<usize>().read() };
    if size < T::FIRST {
        return Err(size);
    }
    let mut whole = MaybeUninit::<T>::zeroed();
    // SAFETY: both are at least so long; what is not copied is zero, which is valid beyond the first version's bytes.
    unsafe {
        let bytes = if size < size_of::<T>() { size } else { size_of::<T>() };
        core::ptr::copy_nonoverlapping(place.cast::<u8>(), whole.as_mut_ptr().cast::<u8>(), bytes);
        Ok(whole.assume_init())
    }
}

/// Writes a struct to the place of somebody who may know more or fewer of its fields: no further than the size there says, which
/// stays as it is.
///
/// # Errors
/// The bytes that there are, where they are fewer than the first version's.
///
/// # Safety
/// The place must be aligned, and writable for as many bytes as it says.
pub unsafe fn write<T: Grows>(place: *mut T, value: T) -> Result<(), usize> {
    // SAFETY: the size is within what every version has.
    let size = unsafe { place.cast::<u8>().add(T::SIZE).cast::<usize>().read() };
    if size < T::FIRST {
        return Err(size);
    }
    let bytes = if size < size_of::<T>() { size } else { size_of::<T>() };
    // SAFETY: the place has as many; the size is put back.
    unsafe {
        core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), place.cast::<u8>(), bytes);
        place.cast::<u8>().add(T::SIZE).cast::<usize>().write(size);
    }
    Ok(())
}
