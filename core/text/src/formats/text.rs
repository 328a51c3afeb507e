//! `kind = "text"`: a line is a document.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::corpus::{Corpus, Document, Documents, indent, stream};
use crate::error::{CorpusError, OptionError};
use crate::files::Files;
use crate::format::{Context, FormatOptions};
use crate::lines::{Lines, MaxDocumentBytes};
use crate::splits::Splits;

/// Plain text: a line is a document, and a line of white space is none.
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
}

impl FormatOptions for TextOptions {
    const KIND: &'static str = "text";

    /// Its files have to be there, and are not yet read.
    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Corpus>, Vec<OptionError>> {
        let named = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let splits = Splits::resolve(named, &self.splits, self.max_document_bytes, context.resolver)?;
        Ok(Box::new(TextCorpus { splits }))
    }
}

struct TextCorpus {
    splits: Splits,
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
        json!({ "kind": "text" })
    }

    fn documents<'a>(&'a self, split: &str, files: &'a dyn Files) -> Result<Documents<'a>, CorpusError> {
        let lines = self.splits.lines(split, files)?;
        let empty = CorpusError::Empty { split: split.to_owned(), path: Some(lines.path().clone()) };
        let mut reader = Reader {
            lines: lines.peekable(),
            id: 0,
            blank_before: true,
            headings_stand_alone: None,
            group: None,
            titles: HashMap::new(),
        };
        Ok(stream(move || reader.next(), empty))
    }
}

struct Reader {
    lines: Peekable<Lines>,
    id: u64,
    /// Whether the line before the next one is blank or there is none.
    blank_before: bool,
    /// Whether the file's first heading stood between blank lines.
    headings_stand_alone: Option<bool>,
    group: Option<Arc<str>>,
    /// How often each title was seen: WikiText has several articles named `<unk> <unk>`.
    titles: HashMap<String, u32>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<Document>, CorpusError> {
        while let Some((number, line)) = self.lines.next().transpose()? {
            let text = line.trim();
            let blank_before = std::mem::replace(&mut self.blank_before, text.is_empty());
            if text.is_empty() {
                continue;
            }
            if let Some(title) = title(text) {
                let alone = blank_before && self.is_blank_ahead();
                let must_be_alone = *self.headings_stand_alone.get_or_insert(alone);
                if alone || !must_be_alone {
                    self.start_group(title);
                }
            }
            let id = self.id;
            self.id += 1;
            return Ok(Some(Document {
                id,
                line: Some(number),
                indent: indent(&line),
                text: text.to_owned(),
                group: self.group.clone(),
                ..Document::default()
            }));
        }
        Ok(None)
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
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), bytes).unwrap();
        let options: TextOptions = toml::from_str("splits = { extra = 'a.txt' }").unwrap();
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
