//! That everything is read through [`Files`], and to its end.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::formats::of_lines;
use crate::unpack::tests::{gzip, zstd};
use crate::{ANNOTATORS, Context, Disk, Document, Files, Resolver, Tokenizer, Vocabulary};

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
        let set_up = (annotator.open)(&serde_json::json!({ option: kind }), &Context { resolver: &resolver, seed: 0 });
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
