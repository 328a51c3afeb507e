//! The rows of a table: fields between delimiters, quoted or not.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::CorpusError;
use crate::lines::Lines;
use crate::shown::shortened;

/// What quotes (`"`) in a table mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Quoting {
    /// Nothing: they are characters of the text, and a row is a line.
    None,
    /// A field that begins with one ends with one. Inside stand delimiters, line ends, and for each quote two. A quote
    /// elsewhere is a character of the text.
    Double,
}

pub(crate) struct Row {
    /// The line that it starts on.
    pub line: u64,
    text: String,
    /// The ends of its fields in `text`, and what stands between two of them.
    ends: Vec<usize>,
    gap: usize,
    /// Whether there were quotes in it, those that are gone by now among them.
    pub had_quotes: bool,
}

impl Row {
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|end| end + self.gap));
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    pub(crate) fn field(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] + self.gap);
        &self.text[start..self.ends[at]]
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// As it stands in a message.
    pub(crate) fn shown(&self) -> String {
        shortened(&self.text.replace('\t', "\\t"))
    }
}

pub(crate) struct Rows {
    pub lines: Lines,
    delimiter: u8,
    /// Nothing where no option says it; quotes are then characters, and looked at.
    quoting: Option<Quoting>,
    parser: Reader,
}

impl Rows {
    pub(crate) fn new(lines: Lines, delimiter: u8, quoting: Option<Quoting>) -> Self {
        let parser = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        Self { lines, delimiter, quoting, parser }
    }

    /// Whether rows that look as if quotes held fields together are refused.
    pub(crate) fn looks_for_quotes(&self) -> bool {
        self.quoting.is_none()
    }

    /// The error that says that nothing says what quotes mean.
    pub(crate) fn undeclared(&self, row: &Row) -> CorpusError {
        CorpusError::Quotes { path: self.lines.path().clone(), line: row.line, row: row.shown() }
    }

    /// The next row. Empty lines between rows are none.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, CorpusError> {
        let (line, text) = loop {
            match self.lines.next().transpose()? {
                None => return Ok(None),
                Some((_, line)) if line.is_empty() => {}
                Some(line) => break line,
            }
        };
        if self.quoting == Some(Quoting::Double) {
            return self.quoted(line, &text).map(Some);
        }
        let ends = memchr(self.delimiter, &text).chain([text.len()]).collect();
        let had_quotes = text.contains('"');
        let row = Row { line, text, ends, gap: 1, had_quotes };
        if had_quotes && self.looks_for_quotes() && row.fields().any(is_quoted) {
            return Err(self.undeclared(&row));
        }
        Ok(Some(row))
    }

    /// The row that begins with the line `text`.
    fn quoted(&mut self, first: u64, text: &str) -> Result<Row, CorpusError> {
        let max = self.lines.most();
        let mut output = vec![0; text.len() + 1];
        let mut ends = vec![0; 16];
        let (mut written, mut fields) = (0, 0);
        // The field that a line ends in, and the line that it began on.
        let mut open: Option<(usize, u64)> = None;
        let mut text = text.to_owned();
        let mut line = first;
        let mut bytes = 0;
        let mut had_quotes = false;
        let mut quotes = Quotes { delimiter: self.delimiter, at: Place::Start, opened: first };
        loop {
            bytes += text.len() as u64;
            had_quotes |= text.contains('"');
            text.push('\n');
            if !quotes.fit(&text, line) {
                let path = self.lines.path().clone();
                return Err(CorpusError::Stray { path, line: quotes.opened, closed: line });
            }
            let mut input = text.as_bytes();
            loop {
                let (result, read, wrote, ended) =
                    self.parser.read_record(input, &mut output[written..], &mut ends[fields..]);
                input = &input[read..];
                written += wrote;
                fields += ended;
                match result {
                    ReadRecordResult::OutputFull => output.resize(2 * output.len(), 0),
                    ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
                    ReadRecordResult::InputEmpty => break,
                    ReadRecordResult::Record | ReadRecordResult::End => {
                        output.truncate(written);
                        ends.truncate(fields);
                        // It takes quotes, which are ASCII, out of what was UTF-8.
                        let text = String::from_utf8(output)
                            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
                        return Ok(Row { line: first, text, ends, gap: 0, had_quotes });
                    }
                }
            }
            let (_, began) = *match &mut open {
                Some(one) if one.0 == fields => one,
                other => other.insert((fields, line)),
            };
            let path = self.lines.path().clone();
            let unclosed = |max: Option<u64>| CorpusError::Unclosed { path, line: began, max };
            (line, text) = match self.lines.next().transpose()? {
                None => return Err(unclosed(None)),
                Some((_, next)) if bytes + 1 + next.len() as u64 > max => return Err(unclosed(Some(max))),
                Some(next) => next,
            };
            bytes += 1;
            output.resize(output.len() + text.len() + 1, 0);
        }
    }
}

/// Where quotes may stand, which the parser is lenient with: it reads on behind a quote that closes a field, and where the closing
/// one of a field was lost that is the opening one of another, rows later.
struct Quotes {
    delimiter: u8,
    at: Place,
    /// The line that the last field in quotes began on.
    opened: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Where a field begins.
    Start,
    /// In a field without quotes.
    Plain,
    /// In a field in quotes.
    Inside,
    /// Behind a quote in one, which closes it, or is the first of two.
    Closed,
}

impl Quotes {
    /// Goes on over a line, its end included: false where something follows a quote that closes a field.
    fn fit(&mut self, text: &str, line: u64) -> bool {
        for byte in text.bytes() {
            self.at = match (self.at, byte) {
                (Place::Start, b'"') => {
                    self.opened = line;
                    Place::Inside
                }
                (Place::Inside, b'"') => Place::Closed,
                (Place::Closed, b'"') | (Place::Inside, _) => Place::Inside,
                (_, byte) if byte == self.delimiter || byte == b'\n' => Place::Start,
                (Place::Start | Place::Plain, _) => Place::Plain,
                (Place::Closed, _) => return false,
            };
        }
        true
    }
}

/// Where `byte` stands, which is ASCII.
fn memchr(byte: u8, text: &str) -> impl Iterator<Item = usize> {
    text.bytes().enumerate().filter_map(move |(at, found)| (found == byte).then_some(at))
}

/// Whether a field stands in quotes, and each quote inside it stands twice.
fn is_quoted(field: &str) -> bool {
    let inside = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.is_some_and(|inside| !inside.replace("\"\"", "").contains('"'))
}
