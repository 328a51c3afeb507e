use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::{Context, FormatOptions, OpenError, Resolver};

fn open_as(kind: &str, bytes: &[u8], options: &str) -> Result<Vec<Document>, CorpusError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.tsv"), bytes).unwrap();
    let table: Value = toml::from_str(&format!("train = 'a.tsv'\n{options}")).unwrap();
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    let format = crate::FORMATS.iter().find(|format| format.kind == kind).unwrap();
    let mut errors = match (format.open)(&table, &Context { resolver: &resolver, seed: 0 }) {
        Ok(corpus) => return corpus.documents("train", &Disk)?.collect(),
        Err(OpenError::Options(errors)) => errors,
        Err(OpenError::Table { pointer, message }) => panic!("{pointer}: {message}"),
    };
    assert_eq!(errors.len(), 1);
    Err(errors.remove(0).error)
}

fn open(bytes: &[u8], options: &str) -> Result<Vec<Document>, CorpusError> {
    open_as("tsv", bytes, options)
}

fn csv(text: &str, options: &str) -> Result<Vec<Document>, CorpusError> {
    open_as("csv", text.as_bytes(), options)
}

fn row(document: &Document) -> (&str, Option<&str>, Option<&str>) {
    let Document { text, label, group, .. } = document;
    (text, label.as_deref(), group.as_deref())
}

#[test]
fn rows_become_documents() {
    let table = b"sentence\tlabel\r\na \"fine\" film . \t1\r\n\r\nbleak\t0\n";
    let documents = open(table, "").unwrap();
    let rows: Vec<_> = documents.iter().map(row).collect();
    assert_eq!(rows, [("a \"fine\" film .", Some("1"), None), ("bleak", Some("0"), None)]);
    assert_eq!((documents[1].id, documents[1].line), (1, Some(4)));

    let table = b"who\tmovie\tsaid\nann\tHeat\tfine\nbob\t\tbleak\n";
    let documents = open(table, "text = 'said'\nlabel = 'who'\ngroup = 'movie'").unwrap();
    let rows: Vec<_> = documents.iter().map(row).collect();
    assert_eq!(rows, [("fine", Some("ann"), Some("Heat")), ("bleak", Some("bob"), None)]);
}

#[test]
fn fields_in_quotes_are_what_they_hold() {
    let text = "label,text\r\n1,\"  the \"\"fine\"\", film\r\nof 5\"\" \"\r\n\r\n0,\"\"\"bleak\"\n1,a \"b\" c\n";
    let documents = csv(text, "").unwrap();
    let found: Vec<_> = documents.iter().map(|d| (&*d.text, d.label.as_deref(), d.line.unwrap(), d.indent)).collect();
    let expected =
        [("the \"fine\", film\nof 5\"", Some("1"), 2, 2), ("\"bleak", Some("0"), 5, 0), ("a \"b\" c", Some("1"), 6, 0)];
    assert_eq!(found, expected);
    // The same as a tsv that says so, and with another delimiter.
    let tabs = "sentence\tlabel\n\"a\tb\"\t1\n";
    assert_eq!(row(&open(tabs.as_bytes(), "quoting = 'double'").unwrap()[0]), ("a\tb", Some("1"), None));
    assert_eq!(row(&csv("text;label\n\"a;b\";1\n", "delimiter = ';'").unwrap()[0]), ("a;b", Some("1"), None));
    assert_eq!(row(&csv("text,label\n\"a\",1\n", "quoting = 'none'").unwrap()[0]), ("\"a\"", Some("1"), None));
}

#[test]
fn the_column_of_the_text_is_found() {
    let text = |table: &str, options: &str| csv(table, options).map(|all| all[0].text.clone());
    assert_eq!(text("whatever\na\n", "").unwrap(), "a");
    assert_eq!(text("content,sentence,review\nc,s,r\n", "").unwrap(), "s");
    assert_eq!(text("content,review\nc,r\n", "").unwrap(), "r");
    assert_eq!(text("x,content\nx,c\n", "").unwrap(), "c");
    let error = text("a,b\n1,2\n", "").unwrap_err().to_string();
    assert!(error.ends_with("a.tsv:1: no column 'text'; the header has a, b"), "{error}");
}

/// Were it read, each row would be one text, with its label at the end.
#[test]
fn a_table_with_another_delimiter_is_told() {
    let semicolons = "review;sentiment\nfine;1\n";
    for options in ["", "text = 'review'", "label = 'sentiment'\ntext = 'review'"] {
        let message = csv(semicolons, options).unwrap_err().to_string();
        let expected = "a.tsv:1: the header is one column, 'review;sentiment'; if its fields stand between `;`, set \
                        `delimiter = \";\"`, and else name the column by `text`";
        assert!(message.ends_with(expected), "{message}");
    }
    assert_eq!(csv(semicolons, "delimiter = ';'\ntext = 'review'").unwrap()[0].text, "fine");
    assert_eq!(csv(semicolons, "text = 'review;sentiment'").unwrap()[0].text, "fine;1");
    let message = csv("text\tlabel\nfine\t1\n", "").unwrap_err().to_string();
    assert!(message.contains(r#"between tabs, set `delimiter = "\t"`, and"#), "{message}");
    let tsv = |table: &str| open(table.as_bytes(), "").unwrap_err().to_string();
    let message = tsv("sentence,label\nfine,1\n");
    assert!(message.contains(r#"between commas, set `kind = "csv"`, and"#), "{message}");
    let message = tsv("sentence;label\nfine;1\n");
    assert!(message.contains(r#"between `;`, set `kind = "csv"` and `delimiter = ";"`, and"#), "{message}");
    // A text may have any of them where it is no header.
    assert_eq!(csv("fine; bleak\n", "header = false").unwrap()[0].text, "fine; bleak");
}

#[test]
fn without_a_header_columns_are_numbers() {
    for column in ["'2'", "2"] {
        let documents = csv("1,fine\n0,bleak\n", &format!("header = false\ntext = {column}\nlabel = 1")).unwrap();
        let rows: Vec<_> = documents.iter().map(row).collect();
        assert_eq!(rows, [("fine", Some("1"), None), ("bleak", Some("0"), None)]);
    }
    assert_eq!(open(b"fine\n", "header = false").unwrap()[0].line, Some(1));
    let error = csv("\n1,fine\n", "header = false\ntext = 3").unwrap_err().to_string();
    assert!(error.ends_with("a.tsv:2: no column '3'; without a header, the row has 1, 2"), "{error}");
}

#[test]
fn a_label_may_be_missing_only_where_it_was_not_asked_for() {
    let table = b"sentence\tscore\nfine\t1\n";
    assert_eq!(open(table, "").unwrap()[0].label, None);
    let error = open(table, "label = 'label'").unwrap_err().to_string();
    assert!(error.ends_with("a.tsv:1: no column 'label'; the header has sentence, score"), "{error}");
}

/// Exports of data bases and of pandas have such rows.
#[test]
fn rows_without_a_text_are_left_out_and_told() {
    let rows = "text,label\n,1\na,1\n\"  \",\n,,\n";
    let message = csv(rows, "").unwrap_err().to_string();
    assert!(message.ends_with(":5: 3 fields between commas where the header has 2"), "{message}");
    for (kind, delimiter) in [("csv", ","), ("tsv", "\t")] {
        let rows = "text,label\n,1\na,1\n  ,\n,\n\nb,0\n,\n".replace(',', delimiter);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.tsv"), rows).unwrap();
        let resolver = Resolver { data: None, config: folder.path().to_owned() };
        let format = crate::FORMATS.iter().find(|format| format.kind == kind).unwrap();
        let table = json!({ "train": "a.tsv", "text": "text" });
        let corpus = (format.open)(&table, &Context { resolver: &resolver, seed: 0 }).unwrap();
        let told = crate::files::tests::LeftOut::default();
        let documents: Vec<Document> = corpus.documents("train", &told).unwrap().map(Result::unwrap).collect();
        let found: Vec<_> = documents.iter().map(|d| (d.id, d.line.unwrap(), &*d.text)).collect();
        assert_eq!(found, [(0, 3, "a"), (1, 7, "b")]);
        assert_eq!(told.rows(), [2, 4, 5, 8]);
    }
}

#[test]
fn faulty_tables_are_located() {
    let message = |bytes: &[u8]| open(bytes, "").unwrap_err().to_string();
    let cases: [(&[u8], &str); 9] = [
        (b"text\tlabel\nfine\t1\n", ":1: no column 'sentence'; the header has text, label"),
        (b"sentence\tlabel\nfine\t1\nbleak\n", ":3: 1 field between tabs where the header has 2"),
        (b"sentence\tlabel\nfine\tx\t1\n", ":2: 3 fields between tabs where the header has 2"),
        (b"sentence\tlabel\n\xffine\t1\n", ":2: not UTF-8 at byte 15"),
        (
            b"sentence\tlabel\n \t1\n\t\n",
            ":2: the column 'sentence' is empty, here and in every other row; name another by `text`",
        ),
        (b"", "the split 'train' has no document: "),
        (b"\n\n", "a.tsv holds nothing but white space"),
        (b"sentence\tlabel\n", "a.tsv has a header and no row"),
        (b"sentence\tlabel\tlabel\na\tb\tc", ":1: the column 'label' stands twice in the header"),
    ];
    for (bytes, expected) in cases {
        let message = message(bytes);
        assert!(message.contains(expected), "{message}");
    }
    assert!(message(b"sentence\tlabel\n").starts_with("the split 'train' has no document"));
    // Nobody asks for these.
    assert!(open(b"sentence\tx\tx\na\tb\tc", "").is_ok());

    let message = |text: &str, options: &str| csv(text, options).unwrap_err().to_string();
    let cases = [
        ("text,label\na\n", "", ":2: 1 field between commas where the header has 2"),
        ("text;label\na\n", "delimiter = ';'", ":2: 1 field between `;` where the header has 2"),
        (
            "text,label\na,\"b\",c\n",
            "",
            ":2: 3 fields between commas where the header has 2; quotes stand in it: does `quoting` say what they mean?",
        ),
        (
            "text,label\n\"a\nb\",\"c\nd\ne\n",
            "",
            ":3: a quote opens a field, and none closes it; if quotes are a part of the text, set `quoting = \"none\"`",
        ),
        (
            "text,label\na,\"cccc\ndddd\neeee\n",
            "max_document_bytes = 15",
            ":2: a quote opens a field, and none closes it within the 15 bytes of `max_document_bytes`, which may have to be more; if",
        ),
        // The quote that closes it was lost, and the next one opens another field, three rows below.
        (
            "text,label\n\"a,1\nb,1\n\"c\",1\n",
            "",
            ":2: a quote opens a field, the next one stands in line 4 with more text behind it, and no field ends there; inside",
        ),
        ("text,label\n\"a \\\"b\\\" c\",1\n", "", ":2: a quote opens a field, the next one stands in line 2"),
        ("text,label\n\"a\" b,1\n", "", ":2: a quote opens a field, the next one stands in line 2"),
    ];
    for (text, options, expected) in cases {
        let message = message(text, options);
        assert!(message.contains(expected), "{message}");
    }
}

/// Were they taken for characters, `"the` would be a word.
#[test]
fn quotes_that_nothing_explains_are_refused() {
    let as_pandas_writes = [
        "sentence\tlabel\n\"the \"\"fine\"\" film\"\t1\n",
        "sentence\tlabel\n\"the\tfilm\"\t1\n",
        "sentence\tlabel\n\"the\nfilm\"\t1\n",
        "\"sentence\"\t\"label\"\nfilm\t1\n",
    ];
    for text in as_pandas_writes {
        let message = open(text.as_bytes(), "").unwrap_err().to_string();
        assert!(
            message.contains(": quotes hold fields of this row together, or are a part of their text: "),
            "{message}"
        );
        assert!(message.ends_with("; say which with `quoting = \"double\"` or `quoting = \"none\"`"), "{message}");
        let read = open(text.as_bytes(), "quoting = 'double'").unwrap();
        assert!(!read[0].text.contains("\"the") && read[0].label.as_deref() == Some("1"), "{read:?}");
    }
    let message = open(as_pandas_writes[1].as_bytes(), "").unwrap_err().to_string();
    assert!(
        message.contains(
            r#"a.tsv:2: quotes hold fields of this row together, or are a part of their text: "the\tfilm"\t1;"#
        )
    );
    for fine in ["a \"fine\" film", "\"fine\" is a film", "a \"film\"", "\"fine", "\"a\" or \"b\"", "5\""] {
        let text = format!("sentence\tlabel\n{fine}\t1\n");
        assert_eq!(open(text.as_bytes(), "").unwrap()[0].text, fine);
    }
    assert_eq!(open(b"sentence\n\"fine\"\n", "quoting = 'none'").unwrap()[0].text, "\"fine\"");
    // The first rows are looked at when the corpus is opened, and all of them when it is read.
    for before in [0, 998, 1000, 2000] {
        let text = format!("sentence\n{}\"fine\"\n", "a\n".repeat(before));
        let message = open(text.as_bytes(), "").unwrap_err().to_string();
        assert!(message.contains(&format!("a.tsv:{}: quotes hold fields", before + 2)), "{message}");
    }
}

#[test]
fn a_message_holds_as_much_of_a_header_as_can_be_read() {
    let header: Vec<String> = (0..1000).map(|column| format!("{}{column}", "x".repeat(1000))).collect();
    let message = open(header.join("\t").as_bytes(), "").unwrap_err().to_string();
    assert!(message.ends_with("x…, 980 more"), "{message}");
    assert!(message.len() < 10_000);
}

#[test]
fn a_fault_points_at_the_option_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.tsv"), "text\tlabel\nfine\t1\n").unwrap();
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    let pointers = |options: &str| -> Vec<String> {
        let options: crate::formats::tsv::TsvOptions = toml::from_str(options).unwrap();
        let errors = options.open(&Context { resolver: &resolver, seed: 0 }).err().unwrap_or_default();
        errors.into_iter().map(|error| error.pointer).collect()
    };
    assert_eq!(pointers("train = 'a.tsv'"), ["/train"]);
    assert_eq!(pointers("splits = { x = 'a.tsv' }"), ["/splits/x"]);
    assert_eq!(pointers("splits = { test = 'a.tsv' }"), ["/splits/test"]);
    assert_eq!(pointers("train = 'a.tsv'\ntext = 'txt'"), ["/text"]);
    assert_eq!(pointers("train = 'a.tsv'\ntext = 'text'\nlabel = 'l'"), ["/label"]);
    assert_eq!(pointers("train = 'a.tsv'\ntext = 'text'\ngroup = 'g'"), ["/group"]);
    assert!(pointers("train = 'a.tsv'\ntext = 'text'").is_empty());
}

#[test]
fn options_of_a_table_are_looked_at() {
    let delimiter = |text: &str| toml::from_str::<crate::formats::csv::CsvOptions>(text).err().map(|e| e.to_string());
    for faulty in ["''", "'ab'", "'é'", "'\"'", "\"\\n\""] {
        let message = delimiter(&format!("delimiter = {faulty}")).unwrap();
        assert!(message.contains("expected one character of ASCII that is no quote"), "{message}");
    }
    assert!(delimiter("text = -1").unwrap().contains("a column's name or its number from 1"));
    assert!(delimiter("delimiter = \"\\t\"").is_none());
}

/// A field as it is written: in quotes or, where that can be, without.
fn written(field: &str, quoted: bool) -> String {
    if quoted || field.contains(['"', ',', '\n']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

proptest! {
    /// Whatever a table is written of comes out of it, on the lines that it was written to.
    #[test]
    fn what_is_written_is_read(
        rows in prop::collection::vec(("[a,é \"\n]{0,9}x[a,é \"\n]{0,9}", "[a,\"\n ]{0,3}", any::<[bool; 2]>()), 1..9),
        blank: bool,
        ends: bool,
    ) {
        let mut text = "text,label\n".to_owned();
        let mut expected = Vec::new();
        for (field, label, quoted) in &rows {
            let line = text.matches('\n').count() as u64 + 1;
            expected.push((field.trim().to_owned(), label.trim().to_owned(), line));
            text += &format!("{},{}\n", written(field, quoted[0]), written(label, quoted[1]));
            text += if blank { "\n" } else { "" };
        }
        if !ends {
            text.truncate(text.trim_end_matches('\n').len());
        }
        let read = csv(&text, "").unwrap();
        let found = read.iter().map(|d| (d.text.clone(), d.label.as_deref().unwrap_or_default().to_owned(), d.line.unwrap()));
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        for (document, (field, ..)) in read.iter().zip(&rows) {
            // Places count in the value.
            prop_assert!(field.chars().skip(document.indent as usize).collect::<String>().starts_with(&document.text));
        }
    }

    /// However a quote stays open, no more is held than a document may have.
    #[test]
    fn no_row_is_longer_than_a_document(lines in prop::collection::vec("[a\"]{0,5}", 1..20), max in 6..20u32) {
        let max_option = format!("max_document_bytes = {}", NonZeroU32::new(max).unwrap());
        if let Ok(documents) = csv(&format!("text\n{}", lines.join("\n")), &max_option) {
            prop_assert!(documents.iter().all(|document| document.text.len() <= max as usize));
        }
    }
}
