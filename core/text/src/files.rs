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
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::*;
    use crate::formats::of_lines;
    use crate::unpack::tests::{gzip, zstd};
    use crate::{ANNOTATORS, Context, CorpusError, Document, Resolver, Tokenizer, Vocabulary};

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

    /// What a door that hashes does: at a file's end it finds that the file is another by now.
    struct Watched(Mutex<Vec<PathBuf>>);

    impl Files for Watched {
        fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
            struct Changed;
            impl Read for Changed {
                fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                    Err(io::Error::other("it changed while it was read"))
                }
            }
            self.0.lock().unwrap().push(path.to_owned());
            Ok(Box::new(Disk.open(path)?.chain(Changed)))
        }
    }

    /// A reader that skipped the end of a file would never see the error that waits there.
    #[test]
    fn everything_is_read_through_the_door_and_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().to_owned();
        let resolver = Resolver { data: None, config: config.clone() };
        let files = Watched(Mutex::default());
        let mut expected = Vec::new();
        // Rows of a table, and the words of a treebank.
        let row = |id: u32, form: &str| format!("{id}\t{form}\t_\t_\t_\t_\t0\troot\t_\t_");
        let (a, c) = (row(1, "a"), row(2, "c"));
        let tables = [format!("{a}\n{c}\n"), format!("{a}\n{c}"), format!("{a}\n\n")];
        let objects = ["{\"text\": \"a\"}\n{\"text\": \"b\"}\n", "{\"text\": \"a\"}", "{\"text\": \"a\"}\n\n"];
        for format in of_lines() {
            let texts = if format.kind == "jsonl" { objects.map(str::to_owned) } else { tables.clone() };
            let packed = texts.iter().flat_map(|text| [gzip(text.as_bytes()), zstd(text.as_bytes())]);
            for bytes in texts.iter().map(|text| text.as_bytes().to_vec()).chain(packed) {
                let path = config.join(format.kind);
                fs::write(&path, bytes).unwrap();
                let mut table = serde_json::json!({ "train": format.kind });
                if ["csv", "tsv"].contains(&format.kind) {
                    table["text"] = "a".into();
                }
                if format.kind == "csv" {
                    table["delimiter"] = "\t".into();
                }
                for (limit, shuffle) in [(9, false), (1, false), (9, true), (1, true)] {
                    let mut table = table.clone();
                    table["shuffle"] = shuffle.into();
                    table["limit"] = limit.into();
                    let corpus = (format.open)(&table, &Context { resolver: &resolver, seed: 0 }).unwrap();
                    let last = corpus.documents("train", &files).and_then(|documents| documents.last().unwrap());
                    let message = last.unwrap_err().to_string();
                    assert_eq!(message, format!("cannot read {}: it changed while it was read", path.display()));
                    expected.push(path.clone());
                }
            }
        }
        let annotators = [("lookup", "file", "a\tb\n"), ("perceptron", "train", "1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n\n")];
        for (kind, option, text) in annotators {
            let path = config.join(kind);
            fs::write(&path, text).unwrap();
            let annotator = ANNOTATORS.iter().find(|annotator| annotator.kind == kind).unwrap();
            let set_up =
                (annotator.open)(&serde_json::json!({ option: kind }), &Context { resolver: &resolver, seed: 0 });
            let message = set_up.unwrap().learn(&files, &|| false, &config).unwrap_err().to_string();
            assert_eq!(message, format!("cannot read {}: it changed while it was read", path.display()));
            expected.push(path);
        }
        let text = Document { text: "a".into(), ..Document::default() };
        let tokenizer = Tokenizer::learn(std::iter::once(Ok(text)), &Vocabulary::default()).unwrap();
        tokenizer.save(&config).unwrap();
        let path = config.join(Tokenizer::FILE);
        let message = Tokenizer::load(&config, &files).err().unwrap().to_string();
        assert_eq!(message, format!("cannot read {}: it changed while it was read", path.display()));
        expected.push(path);
        assert_eq!(*files.0.lock().unwrap(), expected);
    }
}
