use proptest::prelude::*;

use super::*;
use crate::{CorpusError, Resolver};

fn open(options: &str, text: &str) -> Result<(Vec<String>, Vec<Document>), Vec<OptionError>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.conllu"), text).unwrap();
    let options: ConlluOptions = toml::from_str(&format!("splits = {{ extra = 'a.conllu' }}\n{options}")).unwrap();
    let resolver = Resolver { data: None, config: folder.path().to_owned() };
    let corpus = options.open(&Context { resolver: &resolver, seed: 0 })?;
    let at_option = |error| vec![OptionError { pointer: String::new(), error }];
    let documents = corpus.documents("extra", &Disk).and_then(Iterator::collect).map_err(at_option)?;
    Ok((corpus.layers(), documents))
}

fn read(options: &str, text: &str) -> Vec<Document> {
    open(options, text).unwrap().1
}

fn message(options: &str, text: &str) -> String {
    open(options, text).unwrap_err().remove(0).error.to_string()
}

/// A word's line; `!` behind its form says that no space follows.
fn word(id: &str, form: &str, upos: &str) -> String {
    let (form, misc) = form.strip_suffix('!').map_or((form, "_"), |form| (form, "SpaceAfter=No"));
    format!("{id}\t{form}\t{}\t{upos}\tX{id}\tCase=Nom\t0\troot\t_\t{misc}\n", form.to_lowercase())
}

/// The stretches of a layer and their values.
fn layer<'a>(document: &'a Document, layer: &str) -> Vec<(String, &'a str)> {
    let annotation = document.annotations.iter().find(|annotation| &*annotation.layer == layer).unwrap();
    let part = |span: &'a Span| {
        let (start, end) = (span.start as usize, span.end as usize);
        (document.text.chars().skip(start).take(end - start).collect(), &*span.value)
    };
    annotation.spans.iter().map(part).collect()
}

fn pairs<'a>(of: &[(&str, &'a str)]) -> Vec<(String, &'a str)> {
    of.iter().map(|(part, value)| (part.to_string(), *value)).collect()
}

#[test]
fn a_sentence_is_a_document_with_its_layers() {
    let none = "\t_".repeat(8);
    let text = [
        &word("1", "Zoë", "PROPN"),
        &format!("2-3\tdon't{none}\n"),
        &word("2", "do", "AUX"),
        &word("3", "n't", "PART"),
        &format!("4-5\tdu{none}\n"),
        &word("4", "de", "ADP"),
        &word("5", "le", "DET"),
        &word("5.1", "nobody", "VERB"),
        &format!("6-7\tvámonos!{none}\n").replace("!\t_\t_\t_\t_\t_\t_\t_\t_", "\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No"),
        &word("6", "vamos", "VERB"),
        &word("7", "nos", "_"),
        &word("8", "?", "_"),
    ]
    .map(String::as_str)
    .concat();
    let (layers, documents) = open("", &format!("# text = another\n{text}")).unwrap();
    assert_eq!(layers, ["deprel", "feats", "lemma", "upos", "xpos"]);
    let [document] = &documents[..] else { panic!("one") };
    assert_eq!((document.text.as_str(), document.line, document.indent), ("Zoë don't du vámonos?", Some(1), 0));
    let upos = [("Zoë", "PROPN"), ("do", "AUX"), ("n't", "PART"), ("du", "ADP+DET"), ("vámonos", "VERB+_"), ("?", "")];
    assert_eq!(layer(document, "upos"), pairs(&upos));
    assert_eq!(layer(document, "lemma")[3..], pairs(&[("du", "de+le"), ("vámonos", "vamos+nos"), ("?", "?")]));
    assert_eq!(layer(document, "xpos")[0].1, "X1");
    assert_eq!((layer(document, "feats")[0].1, layer(document, "deprel")[0].1), ("Case=Nom", "root"));

    let (layers, documents) = open("annotations = { pos = 'upos', other = 'upos' }", &text).unwrap();
    assert_eq!(layers, ["other", "pos"]);
    assert_eq!(layer(&documents[0], "pos"), pairs(&upos));
    assert_eq!(layer(&documents[0], "other"), pairs(&upos));
    let (layers, documents) = open("annotations = {}\nlabel = 'genre'", &text).unwrap();
    assert_eq!(layers, ["label"]);
    assert!(documents[0].annotations.is_empty());
}

/// A document's id, line, text, group and label.
type Shown = (u64, Option<u64>, String, Option<String>, Option<String>);

#[test]
fn groups_and_labels_are_comments() {
    let sentence = |comments: &str, form: &str| format!("{comments}{}\n", word("1", form, "X"));
    let text = [
        sentence("# newdoc id = a\n# genre = news\n", "A"),
        sentence("# genre =\n", "B!"),
        sentence("", "C"),
        sentence("# newdoc\n", "D"),
        sentence("# genre = blog\n# newdocument\n", "E"),
        sentence("# newdoc id = a\n", "F"),
    ]
    .concat();
    let shown = |documents: Vec<Document>| -> Vec<Shown> {
        let owned = |value: Option<Arc<str>>| value.map(|value| value.to_string());
        documents.into_iter().map(|d| (d.id, d.line, d.text, owned(d.group), owned(d.label))).collect()
    };
    let expected = |rows: &[(u64, &str, &str, &str)]| -> Vec<_> {
        let owned = |value: &str| (!value.is_empty()).then(|| value.to_owned());
        let row = |(id, (line, text, group, label)): (usize, &(u64, &str, &str, &str))| {
            (id as u64, Some(*line), text.to_string(), owned(group), owned(label))
        };
        rows.iter().enumerate().map(row).collect()
    };
    let before = sentence("# genre = x\n", "Z") + &text;
    let sentences = expected(&[
        (1, "Z", "", "x"),
        (4, "A", "a", "news"),
        (8, "B", "a", "news"),
        (11, "C", "a", "news"),
        (13, "D", "", ""),
        (16, "E", "", "blog"),
        (20, "F", "a", ""),
    ]);
    assert_eq!(shown(read("label = 'genre'", &before)), sentences);
    assert!(read("", &before).iter().all(|document| document.label.is_none()));

    let newdocs = expected(&[(1, "A BC", "a", "news"), (10, "D E", "", "blog"), (17, "F", "a", "")]);
    let documents = read("label = 'genre'\ndocument = 'newdoc'", &text);
    assert_eq!(layer(&documents[0], "lemma"), pairs(&[("A", "a"), ("B", "b"), ("C", "c")]));
    assert_eq!(shown(documents), newdocs);

    let error = message("document = 'newdoc'", &before);
    let expected =
        "a.conllu:1: a sentence before the first `# newdoc`; leave `document` out for documents of one sentence each";
    assert!(error.ends_with(expected), "{error}");
    let two = text.replace("# genre =\n", "# genre = film\n");
    let error = message("label = 'genre'\ndocument = 'newdoc'", &two);
    let expected = "a.conllu:5: a sentence labelled 'film' in a document labelled 'news'; keep one of the two";
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(read("label = 'genre'", &two)[1].label.as_deref(), Some("film"));
}

#[test]
fn a_fault_points_at_the_option_that_mends_it() {
    let row = word("1", "a", "X");
    let cases = [
        (
            "annotations = { token = 'upos' }",
            row.as_str(),
            "/annotations/token",
            "`token` cannot name a layer of annotations: the name means something else already; give it another name, such as `pos`",
        ),
        (
            "annotations = { Line = 'upos' }",
            &row,
            "/annotations/Line",
            "`Line` cannot name a layer of annotations: the name means something else already; give it another name, such as `pos`",
        ),
        (
            "annotations = { 'a b' = 'upos' }",
            &row,
            "/annotations/a b",
            "`a b` cannot name a layer of annotations: a name has 64 letters (a to z), digits, `_` and `-` at most, and no `-` first; give it another name, such as `pos`",
        ),
        (
            "annotations = { '' = 'upos' }",
            &row,
            "/annotations/",
            "`` cannot name a layer of annotations: a name has 64 letters (a to z), digits, `_` and `-` at most, and no `-` first; give it another name, such as `pos`",
        ),
        (
            "",
            "1 a a X _ _ 0 root _ _\n",
            "/splits/extra",
            "a.conllu:1: 1 field between tabs where CoNLL-U has 10; put tabs in place of its spaces",
        ),
        ("", "\n \n", "", "the split 'extra' has no document: "),
        ("train = 'none'", &row, "/train", "no such file: looked for "),
    ];
    for (options, text, pointer, expected) in cases {
        let errors = open(options, text).unwrap_err();
        let [error] = &errors[..] else { panic!("one: {errors:?}") };
        assert_eq!(error.pointer, pointer);
        assert!(error.error.to_string().contains(expected), "{error}");
    }
    let column = toml::from_str::<ConlluOptions>("annotations = { pos = 'head' }").unwrap_err().to_string();
    assert!(
        column.contains("unknown variant `head`, expected one of `lemma`, `upos`, `xpos`, `feats`, `deprel`"),
        "{column}"
    );
}

/// A document's sentences are counted together, as they are held together.
#[test]
fn a_document_without_end_is_refused() {
    let row = word("1", "a", "X");
    let text = format!("# newdoc\n{row}\n{row}\n");
    let most = text.replace('\n', "").len();
    let read = |max: usize| open(&format!("document = 'newdoc'\nmax_document_bytes = {max}"), &text);
    assert_eq!(read(most).unwrap().1.len(), 1);
    let error = &read(most - 1).unwrap_err()[0].error;
    assert!(matches!(error, CorpusError::Treebank { line: 1, fault: TreebankFault::TooLong { .. }, .. }), "{error}");
}

proptest! {
    /// Cut anywhere into documents and sentences: the text is the words with spaces between, and every span is a word.
    #[test]
    fn every_span_is_its_word(
        forms in prop::collection::vec((r"[^\s\p{C}!]{1,4}", any::<bool>(), 0..3u8), 1..20),
        newdoc: bool,
    ) {
        let (mut file, mut id) = ("# newdoc\n".to_owned(), 0);
        let mut texts = vec![String::new()];
        for (at, (form, space, end)) in forms.iter().enumerate() {
            id += 1;
            file += &word(&id.to_string(), &if *space { form.clone() } else { format!("{form}!") }, form);
            let text = texts.last_mut().unwrap();
            *text += form;
            *text += if *space { " " } else { "" };
            // The sentence ends here, or its document too.
            if at + 1 < forms.len() && *end > 0 {
                file += if *end == 2 { "\n# newdoc\n" } else { "\n" };
                id = 0;
                if *end == 2 || !newdoc {
                    texts.push(String::new());
                }
            }
        }
        let documents = read(if newdoc { "document = 'newdoc'" } else { "" }, &file);
        let read: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
        prop_assert_eq!(read, texts.iter().map(|text| text.trim_end()).collect::<Vec<_>>());
        let mut words = Vec::new();
        for document in &documents {
            for (part, value) in layer(document, "upos") {
                // An underscore is a form, and no tag.
                prop_assert_eq!(if part == "_" { "" } else { &*part }, value);
                words.push(part);
            }
        }
        prop_assert_eq!(words, forms.into_iter().map(|(form, ..)| form).collect::<Vec<_>>());
    }
}

/// The counts of the English Web Treebank's README, and its documents.
#[test]
fn the_treebank_reads_whole() {
    let Some(data) = std::env::var_os("TXRAY_DATA") else {
        eprintln!("SKIPPED: the English Web Treebank is not read; TXRAY_DATA is not set");
        return;
    };
    let resolver = Resolver { data: Some(data.into()), config: PathBuf::new() };
    let count = |options: &str| {
        let options = format!("train = 'ud-ewt/en_ewt-ud-train.conllu'\nannotations = {{ pos = 'upos' }}\n{options}");
        let options: ConlluOptions = toml::from_str(&options).unwrap();
        let corpus = options.open(&Context { resolver: &resolver, seed: 0 }).unwrap();
        let documents: Vec<Document> = corpus.documents("train", &Disk).unwrap().map(Result::unwrap).collect();
        (documents.len(), documents.iter().map(|document| document.annotations[0].spans.len()).sum::<usize>())
    };
    let (sentences, spans) = count("");
    assert_eq!((sentences, count("document = 'newdoc'").1), (12_544, spans));
    assert_eq!(count("document = 'newdoc'").0, 540);
    // Some words of ranges share a span.
    assert!((204_000..=204_577).contains(&spans), "{spans}");
}
