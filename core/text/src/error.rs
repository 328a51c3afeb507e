//! What can be wrong with a corpus, said to the person who can mend it.

mod folder;
mod lookup;
mod table;
mod treebank;

use std::io;
use std::path::{Path, PathBuf};

use crate::shown::list;

pub use folder::FolderFault;
pub use lookup::LookupFault;
pub use table::TableFault;
pub(crate) use treebank::FIELDS;
pub use treebank::TreebankFault;

/// Why a corpus cannot be read. Each message reads well after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// A path of the config leads nowhere.
    #[error("no such file: looked for {}", list(tried.iter().map(|path| seen(path))))]
    Missing {
        /// The path as the config has it.
        path: PathBuf,
        /// The places that were tried, in order.
        tried: Vec<PathBuf>,
        /// The data root, if there is one.
        data: Option<PathBuf>,
    },
    /// A path of the config leads to a folder, a pipe, a socket or a device where a file is meant.
    #[error("{} is {kind}, and a file is meant", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there, such as "a folder".
        kind: &'static str,
    },
    /// The operating system refused: the one fault that is not in the config or the data.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The operating system keeps no documents aside.
    #[error("cannot put documents aside in {}: {source}; make room there, or name another folder in TMPDIR", folder.display())]
    Spill {
        /// The folder of files that are not kept.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that is no text, by how it begins.
    #[error("{} is {kind}, and plain text in UTF-8 is meant: {remedy}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// What it is, such as "packed by gzip".
        kind: &'static str,
        /// What makes text of it.
        remedy: &'static str,
    },
    /// A packed file without its end.
    #[error("{} ends in the middle: it was cut short; get the whole of it again", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
    },
    /// A packed file that does not unpack.
    #[error("{} is packed, and its packing is broken ({reason}); get the whole of it again", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What the unpacking says of it.
        reason: String,
    },
    /// A file with something behind what gzip packed.
    #[error(
        "{} is packed by gzip, and goes on behind the end of that; get it again, or take what unpacks of it, `gunzip < FILE > \
         TEXT`",
        path.display()
    )]
    GoesOn {
        /// The file.
        path: PathBuf,
    },
    /// A packed file that unpacks to more than a text can.
    #[error(
        "{} unpacks to more than {} times its size ({} MiB so far), as no text does; if it is meant, unpack it yourself",
        path.display(),
        times,
        unpacked >> 20
    )]
    Bomb {
        /// The file.
        path: PathBuf,
        /// The bytes that came out of it.
        unpacked: u64,
        /// How often its size that is more than.
        times: u64,
    },
    /// A line that is not UTF-8.
    #[error(
        "{}:{line}: not UTF-8 at byte {byte} of the file; convert the file, for instance with iconv",
        path.display()
    )]
    Utf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The first byte that is not UTF-8, counted from the start of the file as it is unpacked, from 0.
        byte: u64,
    },
    /// What is meant to be a document, and is longer than one may be.
    #[error(
        "{}:{line}: {what} of more than {max} bytes; if it is meant to be one document, raise `{option}`",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What it is: "a line".
        what: &'static str,
        /// The most bytes that it may have.
        max: u64,
        /// The option that says so.
        option: &'static str,
    },
    /// A split without a single document.
    #[error("the split '{split}' has no document{}", in_file(path))]
    Empty {
        /// The split.
        split: String,
        /// The file it is read from, if any.
        path: Option<PathBuf>,
    },
    /// A split of whose documents none is left.
    #[error("no document of the split '{split}' is left by {}; ease what leaves them out", list(options.iter().map(|option| format!("`{option}`"))))]
    NoneLeft {
        /// The split.
        split: String,
        /// The options that leave documents out.
        options: Vec<&'static str>,
    },
    /// Bounds that no document is within.
    #[error("no document has {min} characters at least and {max} at most; swap `min_characters` and `max_characters`")]
    Bounds {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A normalisation of a text with annotations.
    #[error(
        "\"{step}\" moves words, and the annotations `{layer}` of the corpus would stand elsewhere; leave the step out, or \
         take the annotations out of the corpus"
    )]
    Moved {
        /// The step.
        step: &'static str,
        /// The layer.
        layer: String,
    },
    /// A split that the corpus does not have.
    #[error("no split '{split}'; the corpus has {}", list(known))]
    Split {
        /// What was asked for.
        split: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A split that the config names twice.
    #[error("the split '{split}' is given twice; keep one of `{split}` and `splits.{split}`")]
    SplitTwice {
        /// The split.
        split: String,
    },
    /// A split whose name cannot stand behind that of its corpus, as in `news.train`.
    #[error("`{}` names no split: its name has 64 letters (a to z), digits, `_` and `-` at most, and no `-` first", split.escape_debug())]
    SplitName {
        /// The split.
        split: String,
    },
    /// A generated split of more documents than anything can be read through.
    #[error("{documents} documents are some {tokens} tokens; a split has {most} documents at most")]
    TooMany {
        /// What was asked for.
        documents: u64,
        /// The tokens that they would have.
        tokens: u64,
        /// The most that there can be.
        most: u64,
    },
    /// A line that is no JSON object.
    #[error("{}:{line}: a line is a JSON object, and this is none: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What it is instead.
        reason: String,
    },
    /// A line whose object has not what an option means.
    #[error("{}:{line}: '{key}' {fault}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The key, or the keys with dots between.
        key: String,
        /// What is wrong with it, and what the line has.
        fault: String,
    },
    /// An annotation that fits no place of its text.
    #[error("{}:{line}: of '{key}', {fault}", path.display())]
    Annotation {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The key of the annotations.
        key: String,
        /// Which one it is, and what is wrong with it.
        fault: String,
    },
    /// A corpus without any split.
    #[error("the corpus has no split; give at least one of `train`, `valid`, `test`")]
    NoSplit,
    /// Whoever asked for it has given up.
    #[error("stopped before it was done")]
    Stopped,
    /// The operating system refused to write.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What an annotator wrote when it learned is not what it reads.
    #[error("{} is not what an annotator learned: {message}", path.display())]
    Learned {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A column with more values than can be learned.
    #[error(
        "{}:{line}: with this sentence `{column}` has more than {most} tags, too many to learn; take a column of fewer",
        path.display()
    )]
    TooManyTags {
        /// The treebank.
        path: PathBuf,
        /// The first line of the sentence, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// The most tags that there can be.
        most: usize,
    },
    /// A column of a treebank has nothing to learn.
    #[error("{}: no word has a `{column}`; take a column that the treebank has", path.display())]
    NoTags {
        /// The treebank.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// A pattern that matches nothing because it is none.
    #[error("{message}")]
    Pattern {
        /// What is wrong with it.
        message: String,
    },
    /// A pattern that no word can match.
    #[error("it matches no character of any text; write what the words that it is meant for have")]
    MatchesNothing,
    /// An annotator of patterns without any.
    #[error("there is no pattern; give at least one, such as `number = \"[0-9]+\"`")]
    NoPattern,
    /// A line of a list of words that cannot be looked up.
    #[error("{}:{line}: {fault}", path.display())]
    Lookup {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: LookupFault,
    },
    /// A table without the column that an option names.
    #[error("{}:{line}: no column '{column}'; {} {}", path.display(), first(*header), list(found))]
    Column {
        /// The file.
        path: PathBuf,
        /// The line of the first row, from 1.
        line: u64,
        /// The column that was asked for.
        column: String,
        /// Whether the first row is a header.
        header: bool,
        /// The columns.
        found: Vec<String>,
    },
    /// A table of one column, which looks like several.
    #[error(
        "{}:{line}: the header is one column, '{column}'; if its fields stand between {between}, set {remedy}, and else name \
         the column by `text`",
        path.display()
    )]
    OneColumn {
        /// The file.
        path: PathBuf,
        /// The line of the header, from 1.
        line: u64,
        /// What the column is called.
        column: String,
        /// What seems to stand between fields: "`;`".
        between: String,
        /// The options that say so.
        remedy: String,
    },
    /// A table of which an option means a column, and two are called so.
    #[error("{}:{line}: the column '{column}' stands twice in the header; give each its own name", path.display())]
    ColumnTwice {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: String,
    },
    /// A table with a header alone.
    #[error("the split '{split}' has no document: {} has a header and no row", path.display())]
    NoRow {
        /// The split.
        split: String,
        /// The file.
        path: PathBuf,
    },
    /// A row with quotes, of which nothing says what they mean.
    #[error(
        "{}:{line}: quotes hold fields of this row together, or are a part of their text: {row}; say which with \
         `quoting = \"double\"` or `quoting = \"none\"`",
        path.display()
    )]
    Quotes {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The row.
        row: String,
    },
    /// A quoted field without an end.
    #[error(
        "{}:{line}: a quote opens a field, and none closes it{}; if quotes are a part of the text, set `quoting = \"none\"`",
        path.display(),
        max.map(|max| format!(" within the {max} bytes of `max_document_bytes`, which may have to be more")).unwrap_or_default()
    )]
    Unclosed {
        /// The file.
        path: PathBuf,
        /// The line that the field begins on, from 1.
        line: u64,
        /// The most bytes that a row may have, where there are more.
        max: Option<u64>,
    },
    /// A quote that closes a field, and more of the field behind it.
    #[error(
        "{}:{line}: a quote opens a field, the next one stands in line {closed} with more text behind it, and no field ends there; \
         inside a field in quotes each quote stands twice; if quotes are a part of the text, set `quoting = \"none\"`",
        path.display()
    )]
    Stray {
        /// The file.
        path: PathBuf,
        /// The line that the field begins on, from 1.
        line: u64,
        /// The line of the next quote.
        closed: u64,
    },
    /// A row of a table with too few or too many fields.
    #[error(
        "{}:{line}: {found} {} between {between} where the header has {expected}{}",
        path.display(),
        if *found == 1 { "field" } else { "fields" },
        if *quotes { "; quotes stand in it: does `quoting` say what they mean?" } else { "" }
    )]
    Fields {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The fields of this row.
        found: usize,
        /// The fields of the header.
        expected: usize,
        /// What stands between fields: "tabs".
        between: String,
        /// Whether quotes stand in the row.
        quotes: bool,
    },
    /// A table whose documents have no text, none of them.
    #[error("{}:{line}: the column '{column}' is empty, here and in every other row; name another by `text`", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
        /// The line of the first row, from 1.
        line: u64,
        /// The column of the text.
        column: String,
    },
    /// A line of a treebank that is no CoNLL-U.
    #[error("{}:{line}: {fault}", path.display())]
    Treebank {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: TreebankFault,
    },
    /// A folder of texts, or what lies in one, that is none.
    #[error("{}: {fault}", path.display())]
    Folder {
        /// The folder, the archive or the file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FolderFault,
    },
    /// A Parquet table that is none, or has not what it is read for.
    #[error("{}: {fault}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: TableFault,
    },
    /// A layer whose name means something else already.
    #[error("`{}` cannot name a layer of annotations: {reason}; give it another name, such as `pos`", layer.escape_debug())]
    Layer {
        /// The name.
        layer: String,
        /// What stands against it.
        reason: &'static str,
    },
}

impl CorpusError {
    /// Whether mending the config or the data mends it, as it does for all but [`CorpusError::Io`], [`CorpusError::Write`],
    /// [`CorpusError::Spill`], [`CorpusError::Learned`] and [`CorpusError::Stopped`].
    pub fn is_mendable(&self) -> bool {
        use CorpusError::{Io, Learned, Spill, Stopped, Write};
        !matches!(self, Io { .. } | Write { .. } | Spill { .. } | Learned { .. } | Stopped)
    }

    /// What to do about it, where the message alone does not say it.
    pub fn help(&self) -> Option<String> {
        let Self::Missing { path, data, .. } = self else { return None };
        let is_elsewhere = "name the folder that the corpora are in with `--data DIR`, or in TXRAY_DATA";
        let help = match data {
            _ if unseen(path).is_some() => return unseen(path),
            _ if path.starts_with("~") || path.to_string_lossy().contains('$') => {
                "neither `~` nor `$NAME` is replaced here: write the folder out".to_owned()
            }
            _ if path.is_absolute() => return None,
            Some(data) if !data.is_dir() => format!("there is no folder {}: {is_elsewhere}", data.display()),
            Some(_) => format!("it is in neither of the data folder and the pipeline's: {is_elsewhere}"),
            None => format!("relative paths are looked for in the pipeline's folder; {is_elsewhere}"),
        };
        Some(help)
    }
}

/// What to do about a path that leads nowhere, if escapes of TOML that nobody meant have put characters into it that are not
/// seen.
pub fn unseen(path: &Path) -> Option<String> {
    let text = path.to_string_lossy();
    let mut found: Vec<String> = Vec::new();
    for c in text.chars().filter(|c| c.is_control()) {
        let escape = c.escape_debug().to_string();
        if !found.contains(&escape) {
            found.push(escape);
        }
    }
    let all = found.iter().map(|escape| format!("`{escape}`")).collect::<Vec<_>>().join(", ");
    (!found.is_empty()).then(|| {
        format!("the path holds {all}: in double quotes, `\\` begins an escape; write it in single quotes, or with `/`")
    })
}

/// A path, in which what is not seen is written out.
fn seen(path: &Path) -> String {
    let seen = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    path.to_string_lossy().chars().map(seen).collect()
}

/// An error of opening a corpus, and the option that it is about.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct OptionError {
    /// The option as a JSON pointer into the corpus's table (`/splits/extra`), empty for the table.
    pub pointer: String,
    /// What is wrong with it.
    #[source]
    pub error: CorpusError,
}

fn in_file(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| format!(": {} holds nothing but white space", path.display())).unwrap_or_default()
}

/// What the first row of a table is.
fn first(header: bool) -> &'static str {
    if header { "the header has" } else { "without a header, the row has" }
}
