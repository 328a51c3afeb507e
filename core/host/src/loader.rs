//! Opening dynamic libraries, and reading what a plugin says of itself.

#![allow(unsafe_code, reason = "a dynamic library is foreign code, and its table foreign memory")]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use txray_plugin::abi;

use crate::bounds::{self, LONGEST_DESCRIPTION, bytes};
use crate::handle::calls::{self, LOADING, Word};
use crate::{Origin, PluginError, PluginInfo, Policy};

/// Opens a library and calls its entry. The library stays loaded: components, threads and panic hooks of a plugin may
/// outlive any handle, so unloading is never safe.
pub(crate) fn open(
    path: &Path,
    expected: Option<&str>,
    policy: &Policy,
) -> Result<(&'static abi::Plugin, Origin), PluginError> {
    let path = path.to_owned();
    if !policy.load {
        return Err(PluginError::Forbidden { path });
    }
    let unreadable = |error| PluginError::Unreadable { path: path.clone(), error };
    if !policy.world_writable
        && let Some(writable) = world_writable(&path).map_err(unreadable)?
    {
        return Err(PluginError::WorldWritable { path, writable });
    }
    let (_, sha256) = sha256(&path).map_err(unreadable)?;
    if let Some(expected) = expected.filter(|e| !e.eq_ignore_ascii_case(&sha256)) {
        return Err(PluginError::Hash { path, expected: expected.to_owned(), found: sha256 });
    }
    // Who it is, it has not said yet.
    let word = calls::lasting(path.display().to_string().escape_debug().to_string());
    // A bare file name would be searched for in the system's directories.
    let absolute = path.canonicalize().map_err(unreadable)?;
    // SAFETY: loading runs the library's initialisers: the user named this file, and the docs say that a plugin has
    // their rights.
    let library = calls::marked(word, LOADING, || unsafe { libloading::Library::new(&absolute) });
    let library = library.map_err(|error| {
        // The loader's own words stand in the source of this error.
        let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        PluginError::NotALibrary { path: path.clone(), reason }
    })?;
    let library = std::mem::ManuallyDrop::new(library);
    // It was opened by its path: a build that ended in between would have put another file there.
    let (_, opened) = self::sha256(&path).map_err(unreadable)?;
    if opened != sha256 {
        return Err(PluginError::Replaced { path });
    }
    // SAFETY: the symbol's name is the boundary's own, and names an `Entry` in every plugin.
    let entry = unsafe { library.get::<abi::Entry>(abi::ENTRY) };
    let entry = entry.map_err(|_| PluginError::NoEntry { path: path.clone() })?;
    // SAFETY: the entry takes nothing, and gives a table that lives as long as the process.
    let table = calls::marked(word, LOADING, || unsafe { entry() });
    let origin = Origin::Library { path, sha256 };
    if table.is_null() || !table.is_aligned() {
        return Err(PluginError::Malformed { origin, what: "its entry gave no table".to_owned() });
    }
    // SAFETY: as far as a foreign pointer can be trusted.
    Ok((unsafe { copy(table, &origin) }?, origin))
}

/// The library or its directory, whichever any user of the machine could write to, and so put other code in its place.
/// Links are followed: what counts is the file that is loaded.
#[cfg(unix)]
fn world_writable(path: &Path) -> std::io::Result<Option<PathBuf>> {
    use std::os::unix::fs::MetadataExt;
    let file = path.canonicalize()?;
    for place in file.ancestors().take(2) {
        if place.metadata()?.mode() & 0o002 != 0 {
            return Ok(Some(place.to_owned()));
        }
    }
    Ok(None)
}

/// Systems other than Unix have no such permission bit.
#[cfg(not(unix))]
fn world_writable(_: &Path) -> std::io::Result<Option<PathBuf>> {
    Ok(None)
}

/// A copy of a plugin's table, as far as it goes: each field is checked before the next is believed.
///
/// # Safety
/// The table must be aligned, readable for as many bytes as it says where it is one at all, and live as long as the process.
pub(crate) unsafe fn copy(table: *const abi::Plugin, origin: &Origin) -> Result<&'static abi::Plugin, PluginError> {
    let malformed = |what: String| PluginError::Malformed { origin: origin.clone(), what };
    // SAFETY: every version of the boundary begins so.
    let (magic, major, size) = unsafe { ((*table).magic, (*table).abi_major, (*table).size) };
    if magic != abi::MAGIC {
        return Err(malformed(format!("its magic is {magic:#018x}, not {:#018x}", abi::MAGIC)));
    }
    if major != abi::ABI_MAJOR {
        return Err(PluginError::Version { origin: origin.clone(), found: major });
    }
    let too_short = |size| malformed(format!("its table has {size} bytes of {}", <abi::Plugin as abi::Grows>::FIRST));
    if size < <abi::Plugin as abi::Grows>::FIRST {
        return Err(too_short(size));
    }
    // SAFETY: the field is there; a function pointer is a word, which must not be null before it is taken for one.
    if unsafe { (&raw const (*table).query).cast::<usize>().read() } == 0 {
        return Err(malformed("its table lacks the function `query`".to_owned()));
    }
    // SAFETY: it is a table of this major version, which says its size, and all functions of the first version are there.
    let copy = unsafe { abi::read(table) };
    Ok(Box::leak(Box::new(copy.map_err(too_short)?)))
}

/// Reads the description of a plugin, which is checked before it is believed.
pub(crate) fn inspect(table: &'static abi::Plugin, origin: &Origin) -> Result<(PluginInfo, Word), PluginError> {
    let malformed = |what: String| PluginError::Malformed { origin: origin.clone(), what };
    if table.info.ptr.is_null() {
        return Err(malformed("its description is null".to_owned()));
    }
    if table.info.len > LONGEST_DESCRIPTION {
        let (found, most) = (bytes(table.info.len as u128), bytes(LONGEST_DESCRIPTION as u128));
        return Err(malformed(format!("its description has {found}, and {most} is the most")));
    }
    // SAFETY: magic, version and size are right, so this is text that lives as long as the process.
    let text = unsafe { table.info.get_text() }.ok_or_else(|| malformed("its description is not UTF-8".to_owned()))?;
    let info: PluginInfo =
        serde_json::from_str(text).map_err(|error| malformed(format!("its description does not read: {error}")))?;
    bounds::info(&info).map_err(malformed)?;
    let word = calls::lasting(info.name.clone());
    for component in &info.components {
        let interface = &component.interface;
        // SAFETY: the table is a plugin's, and the name lives for the call.
        if calls::marked(word, &"query", || unsafe { (table.query)(abi::Str::text(interface)) }).is_null() {
            return Err(malformed(format!("it names a component of {interface}, but does not supply that interface")));
        }
    }
    Ok((info, word))
}

/// A file's size in bytes, and its SHA-256 in lower-case hexadecimal. The file is not held in memory.
fn sha256(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}
