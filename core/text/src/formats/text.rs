//! `kind = "text"`: a line is a document, or an article.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::corpus::{Corpus, Document, Documents, indent, stream};
use crate::error::{CorpusError, OptionError};
use crate::files::Files;
use crate::format::FormatOptions;
use crate::lines::{Lines, MaxDocumentBytes};
use crate::resolve::Context;
use crate::splits::Splits;

/// Plain text: a line is a document, and a line of white space is none; or, with `document = "article"`, the lines of an
/// article are one together.
///
/// A line ` = Title = ` with exactly one `=` on each side, as WikiText has them, starts a group (the article) and
/// belongs to it; documents before the first one have no group. Where the first of them stands between blank lines,
/// the others have to as well: `= Losses , T =` in the middle of a paragraph is a piece of a table.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TextOptions {
    /// The file of the split `train`.
    pub train: Option<PathBuf>,
    /// The file of the split `valid`.
    pub valid: Option<PathBuf>,
    /// The file of the split `test`.
    pub test: Option<PathBuf>,
    /// The files of further splits by name: `splits = { extra = "extra.txt" }`.
    pub splits: BTreeMap<String, PathBuf>,
    pub max_document_bytes: MaxDocumentBytes,
    /// What a document is.
    pub document: Unit,
}

/// What a document of a text is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Unit {
    /// A line.
    #[default]
    Line,
    /// All lines of a group, its heading the first of them, as they stand in the file, with `\n` between. The lines before
    /// the first heading are one as well.
    Article,
}

impl FormatOptions for TextOptions {
    const KIND: &'static str = "text";

    /// Its files have to be there, and are not yet read.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let named = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let splits = Splits::resolve(named, &self.splits, self.max_document_bytes, context.resolver)?;
        Ok(Box::new(TextCorpus { splits, unit: self.document }))
    }
}

struct TextCorpus {
    splits: Splits,
    unit: Unit,
}

impl Corpus for TextCorpus {
    fn splits(&self) -> Vec<String> {
        self.splits.names()
    }

    fn layers(&self) -> Vec<String> {
        Vec::new()
    }

    fn files(&self, split: &str) -> Vec<PathBuf> {
        self.splits.files(split)
    }

    fn recipe(&self, _: &str) -> Value {
        json!({ "kind": "text", "document": self.unit })
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let lines = self.splits.lines(split, files)?;
        let empty = CorpusError::Empty { split: split.to_owned(), path: Some(lines.path().clone()) };
        let (path, max) = (lines.path().clone(), lines.most());
        let reader = Reader {
            lines: lines.peekable(),
            blank_before: true,
            headings_stand_alone: None,
            group: None,
            titles: HashMap::new(),
        };
        let mut documents = Units { reader, unit: self.unit, path, max, ahead: None, id: 0 };
        Ok(stream(move || documents.next(), empty))
    }
}

/// The documents, made of lines.
struct Units {
    reader: Reader,
    unit: Unit,
    path: PathBuf,
    max: u64,
    /// The heading that the document before it ended at.
    ahead: Option<(u64, String)>,
    id: u64,
}

impl Units {
    fn next(&mut self) -> Result<Option<Document>, CorpusError> {
        let mut document = self.ahead.take();
        let mut group = self.reader.group.clone();
        while self.unit == Unit::Article || document.is_none() {
            let Some((number, line, kind)) = self.reader.next()? else { break };
            match (&mut document, kind) {
                (None, Kind::Blank) => {}
                (None, Kind::Text | Kind::Heading) => {
                    document = Some((number, line));
                    group.clone_from(&self.reader.group);
                }
                (Some(_), Kind::Heading) => {
                    self.ahead = Some((number, line));
                    break;
                }
                (Some((number, article)), Kind::Blank | Kind::Text) => {
                    if (article.len() + 1 + line.len()) as u64 > self.max {
                        let (path, option) = (self.path.clone(), MaxDocumentBytes::OPTION);
                        let (line, what, max) = (*number, "an article", self.max);
                        return Err(CorpusError::TooLong { path, line, what, max, option });
                    }
                    article.push('\n');
                    article.push_str(&line);
                }
            }
        }
        let document = document.map(|(line, text)| Document {
            id: self.id,
            line: Some(line),
            indent: indent(&text),
            text: text.trim().to_owned(),
            group,
            ..Document::default()
        });
        self.id += 1;
        Ok(document)
    }
}

/// What a line is.
enum Kind {
    Blank,
    Text,
    /// It starts a group.
    Heading,
}

struct Reader {
    lines: Peekable<Lines>,
    /// Whether the line before the next one is blank or there is none.
    blank_before: bool,
    /// Whether the file's first heading stood between blank lines.
    headings_stand_alone: Option<bool>,
    group: Option<Arc<str>>,
    /// How often each title was seen: WikiText has several articles named `<unk> <unk>`.
    titles: HashMap<String, u32>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<(u64, String, Kind)>, CorpusError> {
        let Some((number, line)) = self.lines.next().transpose()? else { return Ok(None) };
        let text = line.trim();
        let blank_before = std::mem::replace(&mut self.blank_before, text.is_empty());
        let mut kind = if text.is_empty() { Kind::Blank } else { Kind::Text };
        if let Some(title) = title(text) {
            let alone = blank_before && self.is_blank_ahead();
            let must_be_alone = *self.headings_stand_alone.get_or_insert(alone);
            if alone || !must_be_alone {
                self.start_group(title);
                kind = Kind::Heading;
            }
        }
        Ok(Some((number, line, kind)))
    }

    fn is_blank_ahead(&mut self) -> bool {
        match self.lines.peek() {
            Some(Ok((_, line))) => line.trim().is_empty(),
            Some(Err(_)) | None => true,
        }
    }

    fn start_group(&mut self, title: &str) {
        let seen = self.titles.entry(title.to_owned()).or_default();
        *seen += 1;
        self.group = Some(match *seen {
            1 => title.into(),
            nth => format!("{title} #{nth}").into(),
        });
    }
}

/// The title of an article's heading: `= Title =`, and not `= = Section = =`.
fn title(text: &str) -> Option<&str> {
    let title = text.strip_prefix("= ")?.strip_suffix(" =")?.trim();
    let heading = !title.is_empty() && !title.starts_with('=') && !title.ends_with('=');
    heading.then_some(title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk, Resolver};

    fn read(bytes: &[u8]) -> Result<Vec<Document>, CorpusError> {
        read_by(bytes, "")
    }

    fn read_by(bytes: &[u8], more: &str) -> Result<Vec<Document>, CorpusError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), bytes).unwrap();
        let options: TextOptions = toml::from_str(&format!("splits = {{ extra = 'a.txt' }}\n{more}")).unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        let corpus = options.open(&Context { resolver: &resolver, seed: 0 }).unwrap();
        assert_eq!(corpus.splits(), ["extra"]);
        assert_eq!(corpus.files("extra"), [folder.path().join("a.txt")]);
        corpus.documents("extra", &Disk)?.collect()
    }

    #[test]
    fn a_line_is_a_document_and_white_space_is_none() {
        let documents = read("\u{feff} one two \r\n\r\n \t\u{3000}\nthree\n\nfour".as_bytes());
        let documents = documents.unwrap();
        let texts: Vec<&str> = documents.iter().map(|d| d.text.as_str()).collect();
        assert_eq!(texts, ["one two", "three", "four"]);
        let ids: Vec<u64> = documents.iter().map(|d| d.id).collect();
        assert_eq!(ids, [0, 1, 2]);
        assert!(documents.iter().all(|d| d.group.is_none()));
    }

    #[test]
    fn an_article_heading_starts_a_group() {
        let text = "before\n = Ale = \n = = Taste = = \nbitter\n = <unk> = \nx\n = <unk> = \n\
                    = no heading\n = = = deep = = = \n= =\n";
        let groups: Vec<Option<String>> =
            read(text.as_bytes()).unwrap().into_iter().map(|d| d.group.map(|g| g.to_string())).collect();
        let expected = [
            None,
            Some("Ale"),
            Some("Ale"),
            Some("Ale"),
            Some("<unk>"),
            Some("<unk>"),
            Some("<unk> #2"),
            Some("<unk> #2"),
            Some("<unk> #2"),
            Some("<unk> #2"),
        ];
        assert_eq!(groups, expected.map(|g| g.map(str::to_owned)));
    }

    #[test]
    fn a_table_in_a_paragraph_is_no_heading_where_headings_stand_alone() {
        let groups = |text: &str| -> Vec<Option<String>> {
            let documents = read(text.as_bytes()).unwrap();
            documents.into_iter().map(|d| d.group.map(|g| g.to_string())).collect()
        };
        let a = Some("A".to_owned());
        let b = Some("B".to_owned());
        let wikitext = " = A = \n \n Wins , L \n = Losses , T = \n Ties \n \n = B = ";
        assert_eq!(groups(wikitext), [&a, &a, &a, &a, &b].map(Clone::clone));
        assert_eq!(groups("= A =\nx\n\n= B =\n\ny"), [&a, &a, &b, &b].map(Clone::clone));
    }

    #[test]
    fn an_article_is_all_that_stands_under_its_heading() {
        let text = "\n  before\nit\n\n = A = \n\n one  two \n = = B = = \r\n three\n \n = A = \n\n = C = \n\nx";
        let documents = read_by(text.as_bytes(), "document = 'article'").unwrap();
        let found: Vec<_> =
            documents.iter().map(|d| (d.id, d.line.unwrap(), d.indent, d.group.as_deref(), &*d.text)).collect();
        let expected = [
            (0, 2, 2, None, "before\nit"),
            (1, 5, 1, Some("A"), "= A = \n\n one  two \n = = B = = \n three"),
            (2, 11, 1, Some("A #2"), "= A ="),
            (3, 13, 1, Some("C"), "= C = \n\nx"),
        ];
        assert_eq!(found, expected);
        let message =
            read_by(text.as_bytes(), "document = 'article'\nmax_document_bytes = 25").unwrap_err().to_string();
        let expected =
            "a.txt:5: an article of more than 25 bytes; if it is meant to be one document, raise `max_document_bytes`";
        assert!(message.ends_with(expected), "{message}");
    }

    #[test]
    fn invalid_utf8_is_located() {
        let error = read(b"fine\nalso fine\nnot \xff fine\n").unwrap_err();
        assert!(matches!(error, CorpusError::Utf8 { line: 3, byte: 19, .. }), "{error}");
        assert!(error.to_string().contains("a.txt:3: not UTF-8 at byte 19"));
    }

    #[test]
    fn a_split_without_a_document_is_an_error() {
        for bytes in [&b""[..], b"\n \n\t\n"] {
            let error = read(bytes).unwrap_err();
            assert!(matches!(error, CorpusError::Empty { .. }), "{error}");
            assert!(error.to_string().starts_with("the split 'extra' has no document"));
        }
    }

    #[test]
    fn every_fault_of_the_options_is_reported_at_its_option() {
        let options: TextOptions =
            toml::from_str("train = 'no.txt'\nvalid = '/'\nsplits = { 'a/b' = 'no.txt' }").unwrap();
        let errors = options.open(&Context { resolver: &Resolver::default(), seed: 0 }).err().unwrap();
        let pointers: Vec<&str> = errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(pointers, ["/train", "/valid", "/splits/a~1b"]);
        assert!(matches!(errors[1].error, CorpusError::NotAFile { .. }));

        let none = TextOptions::default().open(&Context { resolver: &Resolver::default(), seed: 0 }).err().unwrap();
        assert!(matches!(none[0].error, CorpusError::NoSplit));
    }

    #[test]
    fn an_unknown_split_names_those_there_are() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "a").unwrap();
        let options: TextOptions = toml::from_str("train = 'a.txt'\ntest = 'a.txt'").unwrap();
        let resolver = Resolver { data: Some(folder.path().to_owned()), config: PathBuf::new() };
        let corpus = options.open(&Context { resolver: &resolver, seed: 0 }).unwrap();
        let error = corpus.documents("dev", &Disk).err().unwrap();
        assert_eq!(error.to_string(), "no split 'dev'; the corpus has train, test");
    }
}
