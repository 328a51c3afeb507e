use std::path::{Path, PathBuf};
use std::time::Instant;

use proptest::prelude::*;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::*;
use crate::{Disk, Document, Tokenizer, Vocabulary};

fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    Words::Punctuation.for_each(text, |word, _, _| words.push(word));
    words
}

/// What the rules speak of, in any order.
pub(crate) fn any_writing() -> impl Strategy<Value = String> {
    let rules = ["@-@", "@,@", "http://", "https://", "www.", "<unk>", "<br", "/>", "</i>", "''", "--", "..."];
    let rules = rules.into_iter().chain(ABBREVIATIONS).chain(["e.g.", "n't", "'s", "\u{2019}ve", "'LL", "1,000"]);
    let piece = prop_oneof![
        prop::sample::select(rules.collect::<Vec<_>>()).prop_map(str::to_owned),
        r"[ \t\u{a0}]",
        r"[.,:/&'\-@<>$%_\u{2019}\u{201c}(`!]",
        r"[A-Za-z]{1,3}",
        r"[0-9é]{1,2}",
        prop::sample::select(MARKS.to_vec())
            .prop_flat_map(|(first, last)| prop::char::range(first, last))
            .prop_map(String::from),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

#[test]
fn words_end_around_punctuation() {
    let cases = [
        ("It's (not) well-known; don't ask.", "It 's ( not ) well - known ; don 't ask ."),
        ("\"We'll see,\" said O'Brien... 'Yes'!", "\" We 'll see , \" said O ' Brien ... ' Yes ' !"),
        ("Mr. J. Smith of the U.S. won.", "Mr. J. Smith of the U.S. won ."),
        ("my wife and I. e.g. this, etc.", "my wife and I . e.g. this , etc."),
        ("3.5 1,000 10:30 1/2 and/or a,b a:b $5 50%", "3.5 1,000 10:30 1/2 and / or a , b a : b $ 5 50 %"),
        ("AT&T R & B <unk> @-@ 3 @.@ 5 @,@ -- you—me", "AT&T R & B <unk> @-@ 3 @.@ 5 @,@ -- you — me"),
        ("bad film.The end.<br /><br />1990's", "bad film . The end . <br /> <br /> 1990 's"),
        ("(see http://a.org/b-c/?d=e.) me@x.com", "( see http://a.org/b-c/?d=e . ) me@x.com"),
        ("“He’s ‘here’”, café-bar ***", "“ He ’s ‘ here ’ ” , café - bar ***"),
        ("don 't do n't it 's 're", "don 't do n't it 's 're"),
    ];
    for (text, expected) in cases {
        assert_eq!(words(text).join(" "), expected);
    }
}

proptest! {
    #[test]
    fn words_are_the_whole_text_without_white_space(text in any_writing()) {
        let scalars: Vec<char> = text.chars().collect();
        let mut read = String::new();
        for words in [Words::Space, Words::Punctuation] {
            read.clear();
            let mut last = 0;
            let mut is_right = true;
            words.for_each(&text, |word, start, end| {
                let stands: String = scalars[start as usize..end as usize].iter().collect();
                is_right &= last <= start && start < end && stands == word;
                last = end;
                read += word;
            });
            prop_assert!(is_right);
            let expected: String = text.split_whitespace().collect();
            prop_assert_eq!(&read, &expected);
        }
    }

    #[test]
    fn letters_alone_are_one_word(text in r"[a-zA-Z0-9éЖ中\u{301}]{1,10}") {
        prop_assert_eq!(words(&text), [&text]);
    }
}

/// The folder of real text, or a word that the test was skipped.
pub(crate) fn real_text() -> Option<PathBuf> {
    let data = std::env::var_os("TXRAY_DATA").map(PathBuf::from);
    if data.is_none() {
        println!("skipped: TXRAY_DATA is not set");
    }
    data
}

/// Raw reviews of films, each with its markup taken out.
fn reviews(data: &Path) -> Vec<String> {
    let archive = data.join("imdb/aclImdb.tar.gz");
    let mut tar = std::process::Command::new("tar");
    let tar = tar.arg("-xzOf").arg(archive).args(["--wildcards", "aclImdb/test/neg/*1*"]).output().unwrap();
    let text = String::from_utf8(tar.stdout).unwrap();
    // The files stand end to end; no one is parted at its line end, because it has none.
    text.split("<br />").map(str::to_owned).collect()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The rules as code are the rules as a regular expression, over text of three kinds.
#[test]
fn real_text_has_the_words_that_the_library_finds() {
    let Some(data) = real_text() else { return };
    let treebank = lines(&data.join("ud-ewt/en_ewt-ud-train.conllu"));
    let treebank = treebank.iter().filter_map(|line| line.strip_prefix("# text = ").map(str::to_owned));
    let wikitext = lines(&data.join("wikitext-2/train.txt"));
    let library = crate::tokens::pre_tokenizer(Words::Punctuation).unwrap();
    let mut seen = 0;
    for text in reviews(&data).iter().take(20_000).cloned().chain(treebank).chain(wikitext.iter().take(5_000).cloned())
    {
        let mut pieces = PreTokenizedString::from(&*text);
        library.pre_tokenize(&mut pieces).unwrap();
        let found = pieces.get_splits(OffsetReferential::Original, OffsetType::Char);
        let mut found = found.into_iter().map(|(word, (start, end), _)| (word, start as u32, end as u32));
        Words::Punctuation.for_each(&text, |word, start, end| {
            assert_eq!(found.next(), Some((word, start, end)), "{text}");
            seen += 1;
        });
        assert_eq!(found.next(), None, "{text}");
    }
    assert!(seen > 1_000_000, "{seen}");
}

/// What a vocabulary of one text knows of another, which is what the rules are for.
#[test]
fn few_words_of_raw_reviews_are_unknown() {
    let Some(data) = real_text() else { return };
    let document = |text: String| Document { text, ..Document::default() };
    let documents = |texts: Vec<String>| -> Vec<Document> { texts.into_iter().map(document).collect() };
    let treebank = lines(&data.join("ud-ewt/en_ewt-ud-train.conllu"));
    let treebank = treebank.iter().filter_map(|line| line.strip_prefix("# text = ").map(str::to_owned)).collect();
    let wikitext = documents(lines(&data.join("wikitext-2/train.txt")));
    let treebank = documents(treebank);
    let reviews = documents(reviews(&data));
    for (words, of_wikitext, of_treebank) in [(Words::Space, 20.0, 17.0), (Words::Punctuation, 6.0, 10.0)] {
        for (name, texts, most) in [("WikiText-2", &wikitext, of_wikitext), ("EWT", &treebank, of_treebank)] {
            let options = Vocabulary { words, ..Vocabulary::default() };
            let tokenizer = Tokenizer::learn(texts.iter().cloned().map(Ok), &options).unwrap();
            let unknown = |texts: &[Document]| {
                let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                let time = Instant::now();
                let counts = one.install(|| tokenizer.encode(texts)).unwrap().counts;
                let read = counts.tokens - counts.special;
                let speed = read as f64 / 1e6 / time.elapsed().as_secs_f64();
                (100.0 * counts.unknown as f64 / read as f64, speed)
            };
            let (rate, speed) = unknown(&reviews);
            let (_, own_speed) = unknown(texts);
            println!(
                "{words:?}, {name}: {rate:.2} % unknown, {speed:.1} M words/s; its own text {own_speed:.1} M words/s"
            );
            assert!((most - 1.5..most).contains(&rate), "{rate}");
            // A directory that is loaded is read as fast.
            let folder = tempfile::tempdir().unwrap();
            tokenizer.save(folder.path()).unwrap();
            assert_eq!(Tokenizer::load(folder.path(), &Disk).unwrap().words(), words);
        }
    }
}
