//! The files in a tar archive, in one pass.

use std::io::{self, BufRead, Read};
use std::path::Path;

use tar::EntryType;

use crate::error::{CorpusError, FolderFault};
use crate::files::Files;
use crate::unpack::{reading, unpacked};

const BLOCK: u64 = 512;

/// What an archive ends with: two blocks of zeros.
const END: u64 = 2 * BLOCK;

/// Shows `visit` each file of an archive that is not hidden, by its name with `/` between folders, and reads the archive to its
/// end. Errors of `visit` are those of reading, or hold a [`CorpusError`].
///
/// # Errors
/// [`FolderFault`]s of the archive, [`CorpusError`]s of its packing, and those of `visit`.
pub(super) fn read(
    path: &Path,
    files: &dyn Files,
    mut visit: impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<(), CorpusError> {
    let file = files.open(path).map_err(|source| CorpusError::Io { path: path.to_owned(), source })?;
    let reader = unpacked(path, file)?;
    let mut archive = tar::Archive::new(Watched { reader, read: 0, zeros: 0, ended: false, failed: false });
    let visited = visit_all(&mut archive, path, &mut visit);
    let mut watched = archive.into_inner();
    // What follows the end is in the hash of the file as well.
    let visited = visited.and_then(|()| io::copy(&mut watched, &mut io::sink()).map(drop));
    let fault = |fault| CorpusError::Folder { path: path.to_owned(), fault };
    match visited {
        Ok(()) if watched.read == 0 || watched.zeros >= END => Ok(()),
        Ok(()) => Err(fault(FolderFault::CutShort)),
        Err(error) if watched.failed || error.get_ref().is_some_and(|error| error.is::<CorpusError>()) => {
            Err(reading(path, error))
        }
        // What has not even one block may be any text.
        Err(_) if watched.ended && watched.read >= BLOCK => Err(fault(FolderFault::CutShort)),
        Err(error) => Err(fault(FolderFault::NotTar { reason: error.to_string() })),
    }
}

fn visit_all(
    archive: &mut tar::Archive<Watched>,
    path: &Path,
    visit: &mut impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let bytes = entry.path_bytes().into_owned();
        let fault = |name: &str, fault| {
            let path = if name.is_empty() { path.to_owned() } else { path.join(name) };
            io::Error::other(CorpusError::Folder { path, fault })
        };
        let given =
            std::str::from_utf8(&bytes).map_err(|_| fault(&String::from_utf8_lossy(&bytes), FolderFault::Name))?;
        let Some(name) = inside(given) else { return Err(fault("", FolderFault::Outside { name: given.to_owned() })) };
        let refused = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
            EntryType::Symlink => Some("a link"),
            EntryType::Link => Some("a hard link"),
            EntryType::Char | EntryType::Block => Some("a device"),
            EntryType::Fifo => Some("a pipe"),
            EntryType::GNUSparse => Some("a sparse file"),
            _ => Some("an entry of an unknown type"),
        };
        if let Some(kind) = refused {
            return Err(fault(&name, FolderFault::Kind { kind }));
        }
        if kind != EntryType::Directory && !name.split('/').any(|part| part.starts_with('.')) {
            visit(&name, &mut entry)?;
        }
    }
    Ok(())
}

/// The name of a member, without the `.` that means nothing, if it stays in the archive.
fn inside(name: &str) -> Option<String> {
    if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return None;
    }
    Some(name.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/"))
}

/// The bytes of an archive, and what is to be known of them where its own reader would not say.
struct Watched {
    reader: Box<dyn BufRead + Send>,
    read: u64,
    /// The zeros that were read last.
    zeros: u64,
    /// Whether more was asked for than there is.
    ended: bool,
    /// Whether reading failed, and not what was read.
    failed: bool,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.reader.read(buffer) {
            Ok(read) => read,
            Err(error) => {
                self.failed = error.kind() != io::ErrorKind::Interrupted;
                return Err(error);
            }
        };
        self.read += read as u64;
        self.ended |= read == 0 && !buffer.is_empty();
        self.zeros = match buffer[..read].iter().rposition(|&byte| byte != 0) {
            Some(last) => (read - 1 - last) as u64,
            None => self.zeros + read as u64,
        };
        Ok(read)
    }
}
