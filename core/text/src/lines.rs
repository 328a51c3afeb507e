//! The lines of a file, checked to be UTF-8, each known by its number and none longer than what memory is meant for.

use std::io::{BufRead, Read};
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::CorpusError;
use crate::files::Files;
use crate::unpack::{reading, unpacked};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The longest line that is read, in bytes, and the longest row or article of several lines. A longer one is an error: a
/// document takes its size some thirty times over when it is encoded, and a file without line ends is not meant as one
/// document.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct MaxDocumentBytes(NonZeroU32);

impl MaxDocumentBytes {
    /// What formats call the option.
    pub(crate) const OPTION: &str = "max_document_bytes";

    pub(crate) fn get(self) -> u64 {
        u64::from(self.0.get())
    }
}

impl Default for MaxDocumentBytes {
    fn default() -> Self {
        const { Self(NonZeroU32::new(16 << 20).expect("16 MiB are some")) }
    }
}

pub(crate) struct Lines {
    path: PathBuf,
    /// The file, until its first line is asked for.
    file: Option<Box<dyn Read + Send>>,
    text: Box<dyn BufRead + Send>,
    max: MaxDocumentBytes,
    buffer: Vec<u8>,
    /// Where the line in `buffer` starts in the file.
    offset: u64,
    number: u64,
}

impl Lines {
    pub(crate) fn open(path: PathBuf, max: MaxDocumentBytes, files: &dyn Files) -> Result<Self, CorpusError> {
        match files.open(&path) {
            Ok(file) => Ok(Self {
                path,
                file: Some(file),
                text: Box::new(std::io::empty()),
                max,
                buffer: Vec::new(),
                offset: 0,
                number: 0,
            }),
            Err(source) => Err(CorpusError::Io { path, source }),
        }
    }

    pub(crate) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The most bytes that a line may have, and whatever is made of several.
    pub(crate) fn most(&self) -> u64 {
        self.max.get()
    }

    fn read(&mut self) -> Result<Option<(u64, String)>, CorpusError> {
        if let Some(file) = self.file.take() {
            self.text = unpacked(&self.path, file)?;
        }
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        // One that fills this has too much, whatever of it is a mark or an end.
        let most = self.max.get() + BYTE_ORDER_MARK.len() as u64 + b"\r\n".len() as u64;
        let read = (&mut self.text).take(most).read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|source| reading(&self.path, source))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut line = &self.buffer[..];
        if self.number == 1 {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        let before = self.buffer.len() - line.len();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() as u64 > self.max.get() {
            return Err(CorpusError::TooLong {
                path: self.path.clone(),
                line: self.number,
                what: "a line",
                max: self.max.get(),
                option: MaxDocumentBytes::OPTION,
            });
        }
        let line = std::str::from_utf8(line).map_err(|error| CorpusError::Utf8 {
            path: self.path.clone(),
            line: self.number,
            byte: self.offset + (before + error.valid_up_to()) as u64,
        })?;
        Ok(Some((self.number, line.to_owned())))
    }
}

/// Lines without their end (`\n` or `\r\n`), each with its number from 1.
impl Iterator for Lines {
    type Item = Result<(u64, String), CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::formats::of_lines;
    use crate::{Context, FORMATS, Resolver};

    /// A file without end, as a file of gigabytes without a line end is to whoever reads it.
    struct Endless;

    impl Files for Endless {
        fn open(&self, _: &Path) -> std::io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(std::io::repeat(b'a')))
        }
    }

    struct Bytes(Vec<u8>);

    impl Files for Bytes {
        fn open(&self, _: &Path) -> std::io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(std::io::Cursor::new(self.0.clone())))
        }
    }

    /// Every format that reads files is told how long a line may be, and stops there.
    #[test]
    fn no_format_reads_a_line_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        // A table of one row, and a treebank of one word.
        let row = "1\tsentence\t_\t_\t_\t_\t0\troot\t_\t_\n";
        for format in of_lines() {
            let text = if format.kind == "jsonl" { "{\"text\": \"a\"}\n" } else { row };
            std::fs::write(folder.path().join("file"), text).unwrap();
            let option = &(format.schema)()["properties"][MaxDocumentBytes::OPTION];
            assert_eq!(option["default"], 16 << 20, "{option}");
            assert!(option["description"].is_string(), "{option}");
            let open = |max: Option<u32>| {
                let mut table = serde_json::json!({ "train": "file" });
                if format.kind == "csv" {
                    table["delimiter"] = "\t".into();
                }
                if let Some(max) = max {
                    table[MaxDocumentBytes::OPTION] = max.into();
                }
                (format.open)(&table, &Context { resolver: &resolver, seed: 0 })
            };
            for max in [None, Some(1 << 10), Some(1 << 25)] {
                let corpus = open(max).unwrap();
                // A table's header is read when it is opened.
                let first = corpus.documents("train", &Endless).and_then(|mut documents| documents.next().unwrap());
                let expected = format!(
                    "file:1: a line of more than {} bytes; if it is meant to be one document, raise \
                     `max_document_bytes`",
                    max.unwrap_or(16 << 20)
                );
                let message = first.unwrap_err().to_string();
                assert!(message.ends_with(&expected), "{message}");
                // It changes no document.
                assert_eq!(corpus.recipe("train"), open(None).unwrap().recipe("train"));
            }
            assert!(open(Some(0)).is_err());
        }
        // Nor when the header is first looked at.
        std::fs::write(folder.path().join("file"), "x".repeat(100)).unwrap();
        let tsv = FORMATS.iter().find(|format| format.kind == "tsv").unwrap();
        let table = serde_json::json!({ "train": "file", "max_document_bytes": 99 });
        assert!((tsv.open)(&table, &Context { resolver: &resolver, seed: 0 }).is_err());
    }

    proptest! {
        #[test]
        fn a_line_may_have_as_many_bytes_as_are_allowed(
            max in 1..12u32,
            mark: bool,
            lines in prop::collection::vec(("[a\u{e9}]{0,7}", prop_oneof![Just("\n"), Just("\r\n")]), 1..6),
            end: bool,
        ) {
            let mut text = if mark { "\u{feff}".to_owned() } else { String::new() };
            text.extend(lines.iter().flat_map(|(line, end)| [line, *end]));
            if !end {
                text.truncate(text.trim_end().len());
            }
            let files = Bytes(text.clone().into());
            let max = MaxDocumentBytes(NonZeroU32::new(max).unwrap());
            let read: Vec<_> = Lines::open(PathBuf::new(), max, &files).unwrap().collect();
            let whole = text.strip_prefix('\u{feff}').unwrap_or(&text);
            for (at, (line, read)) in whole.lines().zip(&read).enumerate() {
                match read {
                    Ok((number, text)) => {
                        prop_assert!(line.len() as u64 <= max.get());
                        prop_assert_eq!((*number, &**text), (at as u64 + 1, line));
                    }
                    Err(error) => {
                        let is_it = matches!(error, CorpusError::TooLong { line, .. } if *line == at as u64 + 1);
                        prop_assert!(is_it, "{}", error);
                        prop_assert!(line.len() as u64 > max.get());
                        return Ok(());
                    }
                }
            }
        }
    }
}
