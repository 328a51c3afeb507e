use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::Resolver;

type Tree<'t> = &'t [(&'t str, &'t [u8])];

fn write_folder(folder: &Path, tree: Tree<'_>) {
    for (name, bytes) in tree {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// An entry under any name, which the builder would refuse.
fn append(builder: &mut Builder<Vec<u8>>, name: &[u8], kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name("elsewhere").unwrap();
    }
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

fn tar(tree: Tree<'_>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in tree {
        append(&mut builder, name.as_bytes(), EntryType::Regular, bytes);
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[expect(clippy::result_large_err, reason = "a test shows it")]
fn corpus(folder: &Path, options: &str) -> Result<Box<dyn Corpus>, OptionError> {
    let options: FolderOptions = toml::from_str(&format!("path = 'corpus'\n{options}")).unwrap();
    let resolver = Resolver { data: None, config: folder.to_owned() };
    options.open(&Context { resolver: &resolver, seed: 0 }).map_err(|mut errors| {
        assert_eq!(errors.len(), 1);
        errors.remove(0)
    })
}

/// All documents by split, and the labels there are.
type Whole = (Vec<(String, Vec<Document>)>, Vec<String>);

fn read_corpus(corpus: &dyn Corpus) -> Result<Whole, CorpusError> {
    let read = |split: String| {
        let documents = corpus.documents(&split, &Disk)?.collect::<Result<_, _>>()?;
        Ok((split, documents))
    };
    Ok((corpus.splits().into_iter().map(read).collect::<Result<_, _>>()?, corpus.layers()))
}

fn read_archive(bytes: &[u8], options: &str) -> Result<Whole, (String, String)> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("corpus"), bytes).unwrap();
    let plain = |message: String| message.replace(&*folder.path().to_string_lossy(), "AT");
    let corpus = corpus(folder.path(), options).map_err(|error| (error.pointer, plain(error.error.to_string())))?;
    assert_eq!(corpus.files(&corpus.splits()[0]), [folder.path().join("corpus")]);
    read_corpus(&*corpus).map_err(|error| (String::new(), plain(error.to_string())))
}

fn read_folder(tree: Tree<'_>, options: &str) -> Result<Whole, (String, String)> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("corpus")).unwrap();
    write_folder(&folder.path().join("corpus"), tree);
    let plain = |message: String| message.replace(&*folder.path().to_string_lossy(), "AT");
    let corpus = corpus(folder.path(), options).map_err(|error| (error.pointer, plain(error.error.to_string())))?;
    read_corpus(&*corpus).map_err(|error| (String::new(), plain(error.to_string())))
}

/// Reads a tree as a folder and as archives, which have to agree, and shows it as `split: text/label text/label`.
fn shown(tree: Tree<'_>, options: &str) -> Result<Vec<String>, (String, String)> {
    let read = read_folder(tree, options);
    for bytes in [tar(tree), gzip(&tar(tree)), zstd(&tar(tree))] {
        assert_eq!(read_archive(&bytes, options), read);
    }
    let show = |(split, documents): (String, Vec<Document>)| {
        let shown = |d: Document| format!(" {}/{}", d.text, d.label.as_deref().unwrap_or_default());
        format!("{split}:{}", documents.into_iter().map(shown).collect::<String>())
    };
    Ok(read?.0.into_iter().map(show).collect())
}

#[test]
fn a_file_is_a_document_labelled_by_its_folder() {
    let tree: Tree = &[
        ("aclImdb/README.txt", b"no document"),
        ("aclImdb/test/pos/0_9.txt", b"a"),
        ("aclImdb/train/pos/10_9.txt", b"b"),
        ("aclImdb/train/neg/0_3.txt", "\u{feff}\r\n c\r\n\r\n d \n".as_bytes()),
        ("aclImdb/train/pos/9_9.txt", b"e"),
        ("aclImdb/train/pos/words.csv", b"\xff"),
        ("aclImdb/train/pos/.hidden.txt", b""),
        ("aclImdb/train/.git/pos/x.txt", b""),
        ("aclImdb/test/neg/0_3.txt", b"f"),
        ("._aclImdb/train/pos/9_9.txt", b""),
    ];
    assert_eq!(shown(tree, "").unwrap(), ["train: c\r\n\r\n d/neg b/pos e/pos", "test: f/neg a/pos"]);
    let (splits, layers) = read_folder(tree, "").unwrap();
    let first = &splits[0].1[0];
    assert_eq!((first.line, first.indent, first.id, splits[0].1[2].id), (Some(1), 3, 0, 2));
    assert_eq!(layers, ["label"]);

    assert_eq!(shown(tree, "labels = ['pos']").unwrap(), ["train: b/pos e/pos", "test: a/pos"]);
    assert_eq!(shown(tree, "splits = { valid = 'test' }").unwrap(), ["valid: f/neg a/pos"]);
    let two = shown(tree, "splits = { valid = 'test', train = 'test' }\nlabels = ['neg']");
    assert_eq!(two.unwrap(), ["train: f/neg", "valid: f/neg"]);
}

#[test]
fn the_layout_is_that_of_the_folders() {
    let tree = |names: &[&'static str]| names.iter().map(|name| (*name, &b"x"[..])).collect::<Vec<_>>();
    let splits = |names: &[&'static str], options: &str| shown(&tree(names), options).unwrap();
    // One folder alone is a split, unless it holds what is one.
    assert_eq!(splits(&["train/pos/a.txt", "train/neg/a.txt"], ""), ["train: x/neg x/pos"]);
    assert_eq!(splits(&["news/pos/a.txt", "news/neg/a.txt"], ""), ["news: x/neg x/pos"]);
    assert_eq!(splits(&["news/train/a.txt", "news/test/a.txt"], ""), ["train: x/", "test: x/"]);
    assert_eq!(splits(&["news/dev/a.txt", "news/e/a.txt"], "splits = { valid = 'dev' }"), ["valid: x/"]);
    assert_eq!(splits(&["news/all/pos/a.txt"], ""), ["all: x/pos"]);
    // Labels and none, in different splits.
    assert_eq!(splits(&["more/a.txt", "train/p/a.txt", "test/p/b.txt"], ""), ["train: x/p", "test: x/p", "more: x/"]);
    assert_eq!(splits(&["train/a.txt", "valid/b.txt"], ""), ["train: x/", "valid: x/"]);
    assert_eq!(splits(&["train/a.txt", "train/b.text"], "extension = 'text'"), ["train: x/"]);
    assert_eq!(splits(&["train/p/a.txt", "train/p/b/c.txt", "train/q/a.txt"], "labels = ['q']"), ["train: x/q"]);
    // The order is that of the whole path.
    assert_eq!(splits(&["train/a/z.txt", "train/a-b/a.txt", "train/b/a.txt"], ""), ["train: x/a-b x/a x/b"]);
    assert!(read_folder(&tree(&["train/a.txt"]), "").unwrap().1.is_empty());
}

#[test]
fn a_fault_names_the_file_and_the_option() {
    let options_and_trees: [(&str, Tree<'_>, &str, &str); 14] = [
        (
            "",
            &[("a.txt", b"x")],
            "/path",
            "AT/corpus: no .txt file lies in a folder of it: SPLIT/LABEL/NAME.txt or SPLIT/NAME.txt is meant",
        ),
        (
            "extension = 'md'",
            &[("train/a.txt", b"x")],
            "/path",
            "AT/corpus: no .md file lies in a folder of it: SPLIT/LABEL/NAME.md or SPLIT/NAME.md is meant",
        ),
        (
            "",
            &[("train/a/x.txt", b"x"), ("train/b/x.txt", b"x"), ("test/a/x.txt", b"x")],
            "/path",
            "AT/corpus: 'test/b' holds no text, and 'train/b' does; choose labels by `labels`, and splits by `splits`",
        ),
        (
            "",
            &[("i/train/a/x.txt", b"x"), ("i/test/a/x.txt", b"x"), ("i/test/b/x.txt", b"x")],
            "/path",
            "AT/corpus: 'i/train/b' holds no text, and 'i/test/b' does; choose labels by `labels`, and splits by `splits`",
        ),
        (
            "labels = ['a', 'c']",
            &[("train/a/x.txt", b"x"), ("train/b/x.txt", b"x")],
            "/labels",
            "AT/corpus: 'train/c' holds no text; choose labels by `labels`, and splits by `splits`",
        ),
        (
            "labels = ['a']",
            &[("train/a/x.txt", b"x"), ("test/x.txt", b"x")],
            "/labels",
            "AT/corpus: 'test/a' holds no text, and 'train/a' does; choose labels by `labels`, and splits by `splits`",
        ),
        (
            "splits = { valid = 'dev' }",
            &[("train/a.txt", b"x"), ("test/a.txt", b"x")],
            "/splits",
            "AT/corpus: no folder 'dev' that holds texts; there are test, train",
        ),
        (
            "splits = { 'a.b' = 'train' }",
            &[("train/a.txt", b"x")],
            "/splits",
            "AT/corpus: 'a.b' names no split: its name has 64 letters (a to z), digits, `_` and `-` at most, and no `-` first; name it in `splits`, as in { train = \"folder\" }",
        ),
        (
            "",
            &[("my texts/a.txt", b"x")],
            "/path",
            "AT/corpus: 'my texts' names no split: its name has 64 letters (a to z), digits, `_` and `-` at most, and no `-` first; name it in `splits`, as in { train = \"folder\" }",
        ),
        (
            "",
            &[("train/urls.txt", b"x"), ("train/a/x.txt", b"x")],
            "/path",
            "AT/corpus: 'train/urls.txt' lies beside folders of labels; choose these by `labels`",
        ),
        (
            "",
            &[("train/a/b/x.txt", b"x")],
            "/path",
            "AT/corpus: 'train/a/b/x.txt' lies deeper than SPLIT/LABEL/NAME; choose labels by `labels`, and splits by `splits`",
        ),
        ("", &[("train/a.txt", b" \n")], "", "AT/corpus/train/a.txt: it holds no text; leave it out"),
        (
            "",
            &[("train/a.txt", b"a\nb\xff")],
            "",
            "AT/corpus/train/a.txt:2: not UTF-8 at byte 3 of the file; convert the file, for instance with iconv",
        ),
        (
            "max_document_bytes = 3",
            &[("train/a.txt", b"\xef\xbb\xbfabc"), ("train/b.txt", "abé".as_bytes())],
            "",
            "AT/corpus/train/b.txt: a document of more than 3 bytes; if it is meant to be one, raise `max_document_bytes`",
        ),
    ];
    for (options, tree, pointer, message) in options_and_trees {
        assert_eq!(shown(tree, options).unwrap_err(), (pointer.to_owned(), message.to_owned()));
    }
    let utf16 = read_folder(&[("train/a.txt", b"\xff\xfea\0")], "").unwrap_err().1;
    assert!(utf16.starts_with("AT/corpus/train/a.txt is in UTF-16"), "{utf16}");
}

#[test]
fn what_is_no_file_of_the_archive_is_refused() {
    let told = |name: &[u8], kind: EntryType| {
        let mut builder = Builder::new(Vec::new());
        append(&mut builder, b"./train/", EntryType::Directory, b"");
        append(&mut builder, b"./train/a.txt", EntryType::Regular, b"x");
        append(&mut builder, name, kind, b"");
        read_archive(&builder.into_inner().unwrap(), "").map(drop).map_err(|(pointer, message)| {
            assert_eq!(pointer, "/path");
            message
        })
    };
    let kind = |kind: &str| {
        Err(format!(
            "AT/corpus/train/b.md: {kind}, where folders and files alone are read; put what it stands for in its place"
        ))
    };
    assert_eq!(told(b"train/b.md", EntryType::Regular), Ok(()));
    for (entry, expected) in [
        (EntryType::Symlink, "a link"),
        (EntryType::Link, "a hard link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a pipe"),
        (EntryType::new(b'Z'), "an entry of an unknown type"),
    ] {
        assert_eq!(told(b"train/b.md", entry), kind(expected));
    }
    for name in ["../a.txt", "train/../../a.txt", "/etc/a.txt", ".."] {
        let expected = format!(
            "AT/corpus: '{name}' leads out of the archive; pack the folder again, from within the folder that it lies in"
        );
        assert_eq!(told(name.as_bytes(), EntryType::Regular), Err(expected));
    }
    assert_eq!(
        told(b"./train//a.txt", EntryType::Regular).unwrap_err(),
        "AT/corpus: 'train/a.txt' is there twice; pack the folder again"
    );
    assert!(
        told(b"train/\xff.txt", EntryType::Regular)
            .unwrap_err()
            .ends_with(": a name that is not UTF-8; give the file another")
    );
}

#[test]
fn a_file_that_is_no_archive_or_no_whole_one_says_so() {
    let message = |bytes: &[u8]| read_archive(bytes, "").unwrap_err().1;
    let tree: Tree = &[("train/a.txt", b"x"), ("train/b.txt", b"y")];
    let whole = tar(tree);
    let cut = "AT/corpus: it ends in the middle: it was cut short; get the whole of it again";
    // Within a header, within a file, between files, and within the end.
    for end in [512, 700, 1024, 1024 + 100, 2048, 2048 + 512] {
        assert_eq!(message(&whole[..end]), cut, "{end}");
    }
    let packed = gzip(&whole);
    assert_eq!(
        message(&packed[..packed.len() - 9]),
        "AT/corpus ends in the middle: it was cut short; get the whole of it again"
    );
    let text = message(&b"a text that is none of it\n".repeat(100));
    assert!(
        text.starts_with("AT/corpus: neither a folder nor a tar archive of one (.tar, .tar.gz, .tar.zst): "),
        "{text}"
    );
    assert!(message(b"PK\x03\x04").contains("a zip archive"));
    assert!(message(b"").starts_with("AT/corpus: no .txt file lies"));
    // Whatever follows the end belongs to it.
    assert!(read_archive(&[&whole[..], &[0; 4096]].concat(), "").is_ok());
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_out_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("corpus");
    write_folder(&below, &[("train/a.txt", b"x")]);
    write_folder(folder.path(), &[("secret/b.txt", b"x")]);
    for (target, name) in [("../../secret/b.txt", "train/b.txt"), ("../secret", "test")] {
        std::os::unix::fs::symlink(target, below.join(name)).unwrap();
        let error = corpus(folder.path(), "").err().unwrap();
        let expected = "a link, where folders and files alone are read; put what it stands for in its place";
        assert_eq!(error.error.to_string(), format!("{}: {expected}", below.join(name).display()));
        fs::remove_file(below.join(name)).unwrap();
    }
    // The folder itself may be one: its owner gave it.
    fs::rename(&below, folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", &below).unwrap();
    assert!(corpus(folder.path(), "").is_ok());
}

/// What a split is made again for: another text, another label, and nothing that another split has.
#[test]
fn a_recipe_holds_the_labels() {
    let recipe = |tree: Tree<'_>, packed: bool, options: &str| {
        let folder = tempfile::tempdir().unwrap();
        if packed {
            fs::write(folder.path().join("corpus"), tar(tree)).unwrap();
        } else {
            write_folder(&folder.path().join("corpus"), tree);
        }
        corpus(folder.path(), options).unwrap().recipe("train")
    };
    let tree: Tree = &[
        ("train/a/1.txt", b"x"),
        ("train/b/1.txt", b"y"),
        ("train/b/2.txt", b"z"),
        ("test/a/1.txt", b"x"),
        ("test/b/1.txt", b"x"),
    ];
    assert_eq!(recipe(tree, false, ""), json!({ "kind": "folder", "labels": [["a", 1], ["b", 2]] }));
    let archive = json!({ "kind": "folder", "labels": [["a", 1], ["b", 2]], "below": "train", "extension": "txt" });
    assert_eq!(recipe(tree, true, ""), archive);
    for packed in [false, true] {
        let own = recipe(tree, packed, "");
        assert_eq!(recipe(tree, packed, "splits = { train = 'train' }\nmax_document_bytes = 9"), own);
        assert_ne!(recipe(tree, packed, "labels = ['b']"), own);
    }
    assert_ne!(recipe(tree, true, "splits = { train = 'test' }"), recipe(tree, true, ""));
}

/// Every file is read through the door, and an archive to its end.
#[test]
fn everything_is_read_through_the_door() {
    struct Changed;
    impl Files for Changed {
        fn open(&self, path: &Path) -> std::io::Result<Box<dyn Read + Send>> {
            struct End;
            impl Read for End {
                fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                    Err(std::io::Error::other("it changed while it was read"))
                }
            }
            Ok(Box::new(Disk.open(path)?.chain(End)))
        }
    }
    let tree: Tree = &[("train/a.txt", b"x"), ("train/b.txt", b"y")];
    let folder = tempfile::tempdir().unwrap();
    for (bytes, name) in [
        (None, "corpus/train/a.txt"),
        (Some(tar(tree)), "corpus"),
        (Some(gzip(&tar(tree))), "corpus"),
        (Some(zstd(&tar(tree))), "corpus"),
    ] {
        let path = folder.path().join("corpus");
        match bytes {
            None => write_folder(&path, tree),
            Some(bytes) => {
                let _ = fs::remove_dir_all(&path);
                fs::write(&path, bytes).unwrap();
            }
        }
        let corpus = corpus(folder.path(), "").unwrap();
        let last = corpus.documents("train", &Changed).unwrap().last().unwrap().unwrap_err().to_string();
        assert_eq!(last, format!("cannot read {}: it changed while it was read", folder.path().join(name).display()));
    }
    // An archive that is another by now.
    let archive = corpus(folder.path(), "").unwrap();
    fs::write(folder.path().join("corpus"), tar(&tree[..1])).unwrap();
    let error = archive.documents("train", &Disk).unwrap().last().unwrap().unwrap_err().to_string();
    assert!(error.ends_with("corpus: it has other files than it had when it was opened; start again"), "{error}");
}

proptest! {
    /// A tree gives the same documents as a folder and as an archive, whatever the order of its entries.
    #[test]
    fn a_folder_and_an_archive_of_it_are_equal(
        texts in prop::collection::btree_map(("(train|test|x)", "(a|a-b|b)", "[a-c0-9 é]{1,3}"), r"[ \na-cé]{0,9}", 1..20),
        seed in any::<u64>(),
        top: bool,
    ) {
        let files: Vec<(String, String)> = texts
            .iter()
            .map(|((split, label, name), text)| (format!("{}{split}/{label}/{name}.txt", if top { "top/" } else { "" }), format!("{text}.")))
            .collect();
        let mut tree: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
        let expected = read_folder(&tree, "");
        let at = seed as usize % tree.len();
        tree.rotate_left(at);
        for bytes in [tar(&tree), gzip(&tar(&tree))] {
            prop_assert_eq!(&read_archive(&bytes, ""), &expected);
        }
        if let Ok((splits, _)) = expected {
            let mut found: Vec<(String, String, String)> = Vec::new();
            for (split, documents) in splits {
                found.extend(documents.into_iter().map(|d| (split.clone(), d.label.unwrap().to_string(), d.text)));
            }
            let mut texts: Vec<_> =
                texts.iter().map(|((split, label, _), text)| (split.clone(), label.clone(), format!("{text}.").trim().to_owned())).collect();
            found.sort();
            texts.sort();
            prop_assert_eq!(found, texts);
        }
    }

    #[test]
    fn any_bytes_are_documents_or_an_error(
        at: prop::sample::Index,
        cut: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 0..9),
        packed: bool,
    ) {
        let mut archive = tar(&[("train/a/x.txt", b"x"), ("train/b/x.txt", b"y")]);
        let at = at.index(archive.len() - 9);
        archive[at..at + bytes.len()].copy_from_slice(&bytes);
        archive.truncate(cut.index(archive.len() * 2).max(1));
        let _ = read_archive(&if packed { gzip(&archive) } else { archive }, "");
    }
}

#[test]
fn the_reviews_read_whole() {
    let Some(data) = std::env::var_os("TXRAY_DATA") else {
        eprintln!("SKIPPED: the reviews of IMDB are not read; TXRAY_DATA is not set");
        return;
    };
    let options: FolderOptions = toml::from_str("path = 'imdb/aclImdb.tar.gz'").unwrap();
    let resolver = Resolver { data: Some(data.into()), config: PathBuf::new() };
    let corpus = options.open(&Context { resolver: &resolver, seed: 0 }).unwrap();
    assert_eq!(
        (corpus.splits(), corpus.layers()),
        (vec!["train".to_owned(), "test".to_owned()], vec!["label".to_owned()])
    );
    for split in ["train", "test"] {
        let mut counts = BTreeMap::new();
        for document in corpus.documents(split, &Disk).unwrap() {
            *counts.entry(document.unwrap().label.unwrap().to_string()).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([("neg".to_owned(), 12_500), ("pos".to_owned(), 12_500)]));
    }
}
