//! The one door that files are read through.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// Opens the files that corpora and tokenizers are read from: whoever reads decides what is watched meanwhile.
///
/// A reader is read to its end before anything is made of it: an error that it gives there, for instance because the
/// file is not the one that was hashed before, is an error of reading.
pub trait Files: Sync {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// Why it cannot be; the text reads well after "cannot read PATH: ".
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// Hears of a row of a file, by its line or, where it has none, its number: it has no text, and is left out.
    fn left_out(&self, _path: &Path, _row: u64) {}
}

/// The files as they lie on the disk: regular ones alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(open_file(path)?))
    }
}

/// Opens a regular file, or one that links lead to, and nothing else: a pipe may be waited for without end, and a device
/// may have none.
///
/// # Errors
/// The system's, or what is there instead of a file; the text reads well after "cannot read PATH: ".
pub fn open_file(path: &Path) -> io::Result<File> {
    let check = |metadata: Metadata| match other_than_file(&metadata) {
        Some(kind) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, and a file is meant"))),
        None => Ok(()),
    };
    // Before opening, because to open a pipe is to wait for its other end.
    check(fs::metadata(path)?)?;
    let file = File::open(path)?;
    check(file.metadata()?)?;
    Ok(file)
}

/// What is there where a file is meant, such as "a folder"; nothing where it is a regular file.
pub(crate) fn other_than_file(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return None;
    }
    if kind.is_dir() {
        return Some("a folder");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Some("a pipe");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
    }
    Some("a device")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{CorpusError, Resolver};

    /// The files on the disk, and the rows of them that are left out.
    #[derive(Default)]
    pub(crate) struct LeftOut(Mutex<Vec<u64>>);

    impl LeftOut {
        pub(crate) fn rows(&self) -> Vec<u64> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Files for LeftOut {
        fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
            Disk.open(path)
        }

        fn left_out(&self, _: &Path, row: u64) {
            self.0.lock().unwrap().push(row);
        }
    }

    fn read(path: &Path) -> io::Result<String> {
        io::read_to_string(Disk.open(path)?)
    }

    #[test]
    fn an_empty_file_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "").unwrap();
        assert_eq!(read(&path).unwrap(), "");
        assert_eq!(read(&folder.path().join("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read(folder.path()).unwrap_err().to_string(), "it is a folder, and a file is meant");
    }

    /// A pipe without a writer would be waited for for ever, were it opened.
    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_however_it_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
        std::os::unix::fs::symlink("pipe", at("link")).unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        for (name, kind) in [("pipe", "a pipe"), ("link", "a pipe"), ("socket", "a socket"), ("device", "a device")] {
            let message = read(&at(name)).unwrap_err().to_string();
            assert_eq!(message, format!("it is {kind}, and a file is meant"));
            let error = resolver.resolve_file(Path::new(name)).unwrap_err();
            assert!(matches!(error, CorpusError::NotAFile { .. }));
            assert_eq!(error.to_string(), format!("{} is {kind}, and a file is meant", at(name).display()));
        }

        fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", at("to-file")).unwrap();
        assert_eq!(read(&at("to-file")).unwrap(), "text");
        assert!(resolver.resolve_file(Path::new("to-file")).is_ok());
    }
}
