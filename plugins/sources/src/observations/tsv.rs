//! Observations as lines of text, their fields separated by tabs. Nothing is quoted: a `"` is one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use txray_plugin::{Error, Result};

use super::columns::{Column, Holds, Place};
use super::row::{Cell, Row, Rows};
use super::{at, refused};

/// What a row is called: the first line names the columns.
pub(super) const UNIT: &str = "line";

/// The longest line, in bytes: many times what a row of observations has.
const LONGEST: u64 = 1 << 20;

/// The columns that the first line names.
pub(super) fn columns(path: &Path) -> Result<Vec<Column>> {
    let mut lines = Lines::open(path)?;
    let Some(header) = lines.next()? else { return Err(refused(path, "it is empty")) };
    Ok(header.split('\t').map(|name| Column { name: name.to_owned(), holds: Holds::Anything }).collect())
}

/// Opens the lines that follow the first, to be read into these places.
pub(super) fn rows(path: &Path, places: &[Option<Place>]) -> Result<Box<dyn Rows>> {
    let mut lines = Lines::open(path)?;
    lines.next()?;
    Ok(Box::new(Tsv { lines, places: places.to_vec() }))
}

struct Tsv {
    lines: Lines,
    places: Vec<Option<Place>>,
}

impl Rows for Tsv {
    fn next(&mut self, row: &mut Row) -> Result<bool> {
        let Self { lines, places } = self;
        let Some(line) = lines.next()? else { return Ok(false) };
        let mut fields = 0;
        let mut wrong = Ok(());
        for (field, place) in line.split('\t').zip(places.iter().map(Some).chain(std::iter::repeat(None))) {
            fields += 1;
            if let (Some(Some(place)), Ok(())) = (place, &wrong) {
                wrong = row.set(*place, Cell::Text(field));
            }
        }
        // A field too few or too many is why others stand in the wrong place.
        if fields != places.len() {
            wrong = Err(format!("it has {fields} fields, and the first line names {} columns", places.len()));
        }
        row.number = lines.number;
        wrong.and_then(|()| row.check()).map_err(|what| lines.wrong(what))?;
        Ok(true)
    }
}

/// The lines of a file, held to be text.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Of the line that was read last, from 1.
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| refused(path, format!("cannot read it: {error}")))?;
        let reader = BufReader::with_capacity(1 << 16, file);
        Ok(Self { path: path.to_owned(), reader, line: Vec::new(), number: 0 })
    }

    /// The next line, without its end.
    fn next(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        let read = (&mut self.reader).take(LONGEST + 1).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| refused(&self.path, format!("cannot read it: {error}")))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read as u64 > LONGEST {
            return Err(self.wrong(format!("it is longer than {LONGEST} bytes")));
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = match self.number {
            1 => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line),
            _ => line,
        };
        match std::str::from_utf8(line) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(self.wrong("it is not UTF-8")),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        refused(&self.path, at(UNIT, self.number, what))
    }
}
