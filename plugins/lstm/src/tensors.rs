//! Files of tensors. Whatever is wrong with one that is read is named in the error, with the file and the tensor.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use candle_core::Tensor;
use safetensors::{Dtype, SafeTensors};
use txray_plugin::{Error, Result};

use crate::memory;

/// A safetensors file whose header has been read.
pub(crate) struct TensorFile<'a> {
    path: &'a Path,
    /// Which file or record fixes the shapes, for messages.
    says: &'a str,
    bytes: &'a [u8],
    tensors: SafeTensors<'a>,
}

impl<'a> TensorFile<'a> {
    /// Parses `bytes`, the content of the file at `path`. `says` names what fixes the shapes of its tensors.
    pub fn parse(path: &'a Path, bytes: &'a [u8], says: &'a str) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|e| invalid(path, format_args!("not a whole safetensors file ({e})")))?;
        Ok(Self { path, says, bytes, tensors })
    }

    pub fn metadata(&self, key: &str) -> Option<String> {
        let (_, header) = SafeTensors::read_metadata(self.bytes).ok()?;
        header.metadata().as_ref()?.get(key).cloned()
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// Refuses a file with tensors of other names than these.
    pub fn only(&self, names: &[String]) -> Result<()> {
        let mut unknown: Vec<&str> =
            self.tensors.names().into_iter().filter(|name| !names.iter().any(|n| n == name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        let more = if unknown.len() > 5 { ", ..." } else { "" };
        unknown.truncate(5);
        let unknown = unknown.join(", ");
        Err(invalid(self.path, format_args!("unexpected tensors for what {} says: {unknown}{more}", self.says)))
    }

    /// The values of a tensor; an error where it is missing, of another type or shape, or not finite.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let invalid = |what: String| Err(invalid(self.path, format_args!("{what}")));
        let Ok(tensor) = self.tensors.tensor(name) else {
            return invalid(format!("there is no tensor `{name}`"));
        };
        if tensor.dtype() != Dtype::F32 {
            return invalid(format!("tensor `{name}` is of type {:?}; only F32 is read", tensor.dtype()));
        }
        if tensor.shape() != shape {
            return invalid(format!("tensor `{name}` has shape {:?}; {} says {shape:?}", tensor.shape(), self.says));
        }
        let (values, _) = tensor.data().as_chunks::<4>();
        let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        match values.iter().position(|v| !v.is_finite()) {
            Some(i) => invalid(format!("tensor `{name}` holds {} at element {i}", values[i])),
            None => Ok(values),
        }
    }
}

/// Writes tensors, with one entry of metadata: the order of several, and with it the file's bytes, would not be fixed.
pub(crate) fn write(path: &Path, tensors: Vec<(String, Tensor)>, (key, value): (&str, String)) -> Result<()> {
    let failed = |e: &dyn std::fmt::Display| Error::invalid(format!("cannot write {}: {e}", path.display()));
    // `safetensors` puts a temporary file at `path`, which only its owner can read: it is given the permissions that a
    // new file has here.
    let permissions = File::create(path).and_then(|file| file.metadata()).map_err(|e| failed(&e))?.permissions();
    safetensors::serialize_to_file(tensors, Some([(key.to_owned(), value)].into()), path).map_err(|e| failed(&e))?;
    fs::set_permissions(path, permissions).map_err(|e| failed(&e))
}

/// Reads a file that the user named, so that failing is the user's to mend.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).map_or(0, |file| file.len());
    memory::check("", "reading it", size.into()).map_err(|error| invalid(path, format_args!("{}", error.message())))?;
    fs::read(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => invalid(path, format_args!("there is no such file")),
        _ => invalid(path, format_args!("{e}")),
    })
}

/// An error about a file, its path first.
pub(crate) fn invalid(path: &Path, what: std::fmt::Arguments<'_>) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
}
