//! The lines of a file, checked to be UTF-8, each known by its number.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use crate::error::CorpusError;
use crate::files::Files;

const BYTE_ORDER_MARK: &str = "\u{feff}";

pub(crate) struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    buffer: Vec<u8>,
    /// Where the line in `buffer` starts in the file.
    offset: u64,
    number: u64,
}

impl Lines {
    pub(crate) fn open(path: PathBuf, files: &dyn Files) -> Result<Self, CorpusError> {
        match files.open(&path) {
            Ok(file) => Ok(Self {
                path,
                reader: BufReader::with_capacity(1 << 16, file),
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

    fn read(&mut self) -> Result<Option<(u64, String)>, CorpusError> {
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        let read = self.reader.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|source| CorpusError::Io { path: self.path.clone(), source })?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut line = std::str::from_utf8(&self.buffer).map_err(|error| CorpusError::Utf8 {
            path: self.path.clone(),
            line: self.number,
            byte: self.offset + error.valid_up_to() as u64,
        })?;
        if self.number == 1 {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        line = line.strip_suffix('\n').unwrap_or(line);
        line = line.strip_suffix('\r').unwrap_or(line);
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
