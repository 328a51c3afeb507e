//! Token ids and their places in the text.

mod encoded;
mod places;
mod wordwise;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{Encoding, Model, SplitDelimiterBehavior, Token};
use txray_plugin::NULL;

use crate::corpus::Document;
use crate::error::CorpusError;
use crate::files::Files;
use crate::shown::shortened;
use crate::split::{self, Words};

pub use encoded::{Counts, Encoded};
use wordwise::{SPACES, Wordwise, look_up};

const UNKNOWN: &str = "<unk>";
const END: &str = "<eos>";
/// How many entries of a learned vocabulary are no words: these two.
const SPECIAL: usize = 2;

/// The documents that one thread encodes at a time.
const CHUNK: usize = 64;

/// The bytes that the file of a tokenizer has at most. Real ones have some tens of MiB; reading one takes its size many
/// times over.
const LARGEST: u64 = 1 << 28;

/// How many ids a vocabulary may leave out below its highest one. Real ones leave a few hundred; a
/// file that names id 4,000,000,000 is broken, and would otherwise exhaust the memory.
const HOLES: usize = 1 << 16;

/// Which words a learned vocabulary has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Vocabulary {
    /// Words seen less often are unknown.
    pub min_count: u64,
    /// The most entries, `<unk>` and `<eos>` among them; the most frequent words are kept.
    pub max_size: Option<usize>,
    /// Where words end: at white space alone, or around punctuation too.
    pub words: Words,
}

impl Default for Vocabulary {
    fn default() -> Self {
        Self { min_count: 1, max_size: None, words: Words::Space }
    }
}

impl Vocabulary {
    /// Refuses options that leave no word, whatever the text is.
    ///
    /// # Errors
    /// [`TokenizerError::NoRoom`], which is about `max_size`.
    pub fn check(&self) -> Result<(), TokenizerError> {
        match self.max_size {
            Some(max_size) if max_size <= SPECIAL => Err(TokenizerError::NoRoom { max_size }),
            _ => Ok(()),
        }
    }
}

/// Why a tokenizer cannot be had, or a text not encoded. Reads well after "failed to ...: ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The corpus to learn from cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// No word is left to be learned.
    #[error(
        "the vocabulary would be empty: none of the text's {words} words is seen {min_count} times; lower `min_count`"
    )]
    NoWord {
        /// The distinct words of the corpus.
        words: usize,
        /// The option.
        min_count: u64,
    },
    /// The size asked for has no room for a word.
    #[error("`max_size` is {max_size}; it needs at least 3, for {UNKNOWN}, {END} and a word")]
    NoRoom {
        /// The option.
        max_size: usize,
    },
    /// No words can be added.
    #[error(
        "{}: only a vocabulary of words, one of them the unknown one, can be extended, and this tokenizer is another",
        path.display()
    )]
    Fixed {
        /// The tokenizer's file.
        path: PathBuf,
    },
    /// A model's directory has no tokenizer.
    #[error(
        "{}: there is no such file; a model is read with the tokenizer it was trained with. Of a dict of words and their ids, \
         Python's {OF_A_DICT} makes one (docs/checkpoints.md)",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not what the `tokenizers` library writes.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A document that the tokenizer refuses, or that shows its file to be broken.
    #[error("document {document} does not go through {}: {message}", path.display())]
    Encode {
        /// The tokenizer's file.
        path: PathBuf,
        /// Its index in its split.
        document: u64,
        /// The tokenizer's reason.
        message: String,
    },
}

/// How a tokenizer is made where a program has a vocabulary of words and no more.
const OF_A_DICT: &str = r#"`json.dump({"version": "1.0", "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"}, "pre_tokenizer": {"type": "WhitespaceSplit"}}, open("tokenizer.json", "w"))`"#;

/// Text to token ids, over a `tokenizer.json` of the `tokenizers` library: learned here, or any
/// other that the library reads.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Where it was loaded from, for errors.
    path: PathBuf,
    /// The file's text: what was loaded is saved as it was.
    json: String,
    forms: Arc<[Box<str>]>,
    unknown: Option<u32>,
    plain: Option<Plain>,
    wordwise: Option<Wordwise>,
}

/// What surrounds the words of a document where a tokenizer looks up words and does nothing else, so that
/// [`Tokenizer::encode_plain`] can take its place.
struct Plain {
    words: Words,
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Tokenizer {
    /// The file of a model's directory that it is, and the only one that is read.
    pub const FILE: &'static str = "tokenizer.json";

    /// Learns a vocabulary of words: `<unk>` is 0 and `<eos>`, which ends
    /// every document, is 1; then come the words by falling count, and by their scalars among
    /// equals.
    ///
    /// # Errors
    /// Those of the documents, and [`TokenizerError::NoWord`] or [`TokenizerError::NoRoom`] if the
    /// options leave no word.
    pub fn learn(
        documents: impl Iterator<Item = Result<Document, CorpusError>>,
        options: &Vocabulary,
    ) -> Result<Self, TokenizerError> {
        options.check()?;
        let room = options.max_size.map_or(usize::MAX, |max_size| max_size - SPECIAL);
        let (mut words, distinct) = frequent(documents, options, |word| word != UNKNOWN && word != END)?;
        if words.is_empty() {
            return Err(TokenizerError::NoWord { words: distinct, min_count: options.min_count });
        }
        words.truncate(room);
        let forms = [UNKNOWN, END].map(str::to_owned).into_iter().chain(words);
        let path = PathBuf::from(Self::FILE);
        Self::word_level(forms, options.words, path.clone())
            .map_err(|source| TokenizerError::Malformed { path, message: source.to_string() })
    }

    /// The same with the words of other documents behind its own, with ids from `next` on at least, by falling count, and by their
    /// scalars among equals. `max_size` is of all entries; where words end stays as it is.
    ///
    /// # Errors
    /// Those of the documents; [`TokenizerError::Fixed`] of another tokenizer than one of words, which knows an unknown one.
    pub fn extended(
        &self,
        documents: impl Iterator<Item = Result<Document, CorpusError>>,
        options: &Vocabulary,
        next: usize,
    ) -> Result<Self, TokenizerError> {
        let fixed = || TokenizerError::Fixed { path: self.path.clone() };
        let malformed = |message: String| TokenizerError::Malformed { path: self.path.clone(), message };
        let (Some(plain), Some(_), ModelWrapper::WordLevel(model)) =
            (&self.plain, self.unknown, self.inner.get_model())
        else {
            return Err(fixed());
        };
        let room = options.max_size.map_or(usize::MAX, |max_size| max_size.saturating_sub(self.size()));
        let options = Vocabulary { words: plain.words, ..options.clone() };
        let (mut words, _) = frequent(documents, &options, |word| model.token_to_id(word).is_none())?;
        words.truncate(room);
        let mut vocabulary = self.inner.get_vocab(true);
        vocabulary.extend(words.into_iter().zip(self.size().max(next) as u32..));
        let extended = WordLevel::builder().vocab(vocabulary.into_iter().collect());
        let extended =
            extended.unk_token(model.unk_token.clone()).build().map_err(|error| malformed(error.to_string()))?;
        let mut inner = self.inner.clone();
        inner.with_model(extended);
        let json = inner.to_string(true).map_err(|error| malformed(error.to_string()))?;
        Self::new(inner, json, self.path.clone()).map_err(malformed)
    }

    /// The tokenizer of words with these forms, `<unk>` and `<eos>` first.
    fn word_level(forms: impl Iterator<Item = String>, words: Words, path: PathBuf) -> tokenizers::Result<Self> {
        let model = WordLevel::builder().vocab(forms.zip(0..).collect()).unk_token(UNKNOWN.to_owned()).build()?;
        let end =
            TemplateProcessing::builder().try_single(format!("$A {END}"))?.special_tokens(vec![(END, 1)]).build()?;
        let mut inner = tokenizers::Tokenizer::new(model);
        inner.with_pre_tokenizer(Some(pre_tokenizer(words)?));
        inner.with_post_processor(Some(end));
        let json = inner.to_string(true)?;
        Ok(Self::new(inner, json, path)?)
    }

    /// Loads [`Tokenizer::FILE`] of a model's directory. Truncation and padding that the file asks
    /// for are left out: documents are read whole. So is dropout of merges, which is for training: a text has the same
    /// tokens whenever it is read. [`Tokenizer::save`] keeps the file as it was.
    ///
    /// # Errors
    /// [`TokenizerError::Missing`], [`TokenizerError::Io`] and [`TokenizerError::Malformed`], naming the file.
    pub fn load(directory: &Path, files: &dyn Files) -> Result<Self, TokenizerError> {
        let path = directory.join(Self::FILE);
        let bytes = match read(&path, files) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(TokenizerError::Missing { path }),
            Err(source) => return Err(TokenizerError::Io { path, source }),
        };
        parse(bytes, path.clone()).map_err(|message| TokenizerError::Malformed { path, message: shortened(&message) })
    }

    fn new(mut inner: tokenizers::Tokenizer, json: String, path: PathBuf) -> Result<Self, String> {
        // The only chance that a file can ask for. (Unigram's sampling is set by no file.)
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some()
        {
            let mut certain = model.clone();
            certain.dropout = None;
            inner.with_model(certain);
        }
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        inner.with_padding(None);
        let unknown = unknown_form(inner.get_model()).and_then(|form| inner.token_to_id(&form));
        let forms = forms(&inner)?;
        let around = around(&inner)?;
        let plain = around.clone().and_then(|[before, after]| plain(&inner, before, after));
        let around = around.filter(|_| plain.is_none() && wordwise::is_wordwise(&inner));
        let wordwise = around.map(|[before, after]| Wordwise::new(before, after));
        Ok(Self { inner, path, json, forms, unknown, plain, wordwise })
    }

    /// Encodes a text that says nothing: what breaks on any text is told when a file is loaded, and not after hours.
    fn probe(&self) -> Result<(), String> {
        let around = self.plain.as_ref().map(|plain| (&plain.before, &plain.after));
        if let Some((before, after)) = around.or(self.wordwise.as_ref().map(|words| (&words.before, &words.after))) {
            self.check_ids(before)?;
            self.check_ids(after)?;
        }
        // That it does not know the word is for its file to decide.
        if let Ok(encoding) = guarded(|| self.inner.encode_char_offsets("a", true))? {
            self.check_ids(encoding.get_ids())?;
        }
        Ok(())
    }

    /// Writes `tokenizer.json` into a directory that is there. Two vocabularies learned from the
    /// same documents are the same bytes.
    ///
    /// # Errors
    /// [`TokenizerError::Write`] naming the file.
    pub fn save(&self, directory: &Path) -> Result<(), TokenizerError> {
        let path = directory.join(Self::FILE);
        fs::write(&path, &self.json).map_err(|source| TokenizerError::Write { path, source })
    }

    /// One more than the highest id.
    pub fn size(&self) -> usize {
        self.forms.len()
    }

    /// The vocabulary's form of each id: `[size]`. An id that the vocabulary leaves out has the
    /// empty form.
    pub fn forms(&self) -> Arc<[Box<str>]> {
        Arc::clone(&self.forms)
    }

    /// The id that stands for what the vocabulary does not know, if it has one.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// The words that it reads text by, as far as it is known: of a file that is none of ours, those between white space.
    pub fn words(&self) -> Words {
        self.plain.as_ref().map_or(Words::Space, |plain| plain.words)
    }

    /// Encodes documents in parallel; the result is in their order.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] for the first document that the tokenizer refuses (one with an
    /// unknown word where the vocabulary has no entry for these), or at which its file turns out to be broken.
    pub fn encode(&self, documents: &[Document]) -> Result<Encoded, TokenizerError> {
        let chunks: Vec<Result<Encoded, TokenizerError>> = documents
            .par_chunks(CHUNK)
            .map(|chunk| {
                let mut encoded = Encoded::new();
                for document in chunk {
                    self.encode_one(document, &mut encoded)?;
                }
                Ok(encoded)
            })
            .collect();
        let mut whole = Encoded::new();
        for chunk in chunks {
            whole.append(&chunk?);
        }
        Ok(whole)
    }

    fn encode_one(&self, document: &Document, out: &mut Encoded) -> Result<(), TokenizerError> {
        let refuse = |message: String| TokenizerError::Encode {
            path: self.path.clone(),
            document: document.id,
            message: shortened(&message),
        };
        if document.text.len() >= NULL as usize {
            return Err(refuse("longer than 4 GiB".to_owned()));
        }
        match (&self.plain, &self.wordwise) {
            (Some(plain), _) => self.encode_plain(plain, &document.text, out),
            (None, Some(wordwise)) => self.encode_wordwise(wordwise, &document.text, out),
            (None, None) => self.encode_general(&document.text, true, out),
        }
        .map_err(refuse)
    }

    /// What [`Tokenizer::encode_general`] does, word by word.
    fn encode_wordwise(&self, wordwise: &Wordwise, text: &str, out: &mut Encoded) -> Result<(), String> {
        for &id in &wordwise.before {
            out.push(id, 0, 0, self.unknown);
        }
        let (mut start, mut characters, mut dropped, mut room) = (0, 0, 0, Encoded::default());
        wordwise.lend(|known| {
            for word in text.split(SPACES) {
                let of_word = look_up(known, word, &mut room, |word, out| self.encode_general(word, false, out))?;
                for ((&id, &from), &to) in of_word.ids.iter().zip(&of_word.starts).zip(&of_word.ends) {
                    let at = |place: u32| if place == NULL { 0 } else { start + place };
                    out.push(id, at(from), at(to), self.unknown);
                }
                characters += of_word.counts.characters;
                dropped += of_word.counts.dropped;
                start += word.chars().count() as u32 + 1;
            }
            Ok::<_, String>(())
        })?;
        for &id in &wordwise.after {
            out.push(id, 0, 0, self.unknown);
        }
        out.end_document(characters, dropped);
        Ok(())
    }

    /// What the library does with a text, and with what a template puts around a document.
    fn encode_general(&self, text: &str, is_document: bool, out: &mut Encoded) -> Result<(), String> {
        let encoded = guarded(|| places::encode(&self.inner, text, is_document))?;
        let (encoding, left_out) = encoded.map_err(|error| error.to_string())?;
        let before = out.ids.len();
        self.check_ids(encoding.get_ids())?;
        let special = encoding.get_special_tokens_mask();
        let length = text.chars().count();
        for ((&id, &(start, end)), &special) in encoding.get_ids().iter().zip(encoding.get_offsets()).zip(special) {
            // What some tokenizers put beside the text is at no place of it. The text's length is below `NULL`.
            let (start, end) = if special == 1 { (0, 0) } else { (start.min(length) as u32, end.min(length) as u32) };
            out.push(id, start, end, self.unknown);
        }
        let (starts, ends) = (&mut out.starts[before..], &mut out.ends[before..]);
        let (characters, dropped) = places::count(text, starts, ends, &left_out);
        out.end_document(characters, dropped);
        Ok(())
    }

    /// Refuses ids that the vocabulary does not have, as templates may name them.
    fn check_ids(&self, ids: &[u32]) -> Result<(), String> {
        match ids.iter().find(|&&id| id as usize >= self.size()) {
            Some(id) => Err(format!("it gives the id {id}, and its vocabulary ends before {}", self.size())),
            None => Ok(()),
        }
    }

    /// What [`Tokenizer::encode_general`] does for a plain tokenizer, many times faster: the
    /// library copies and aligns every word, which matters to normalizers alone.
    fn encode_plain(&self, plain: &Plain, text: &str, out: &mut Encoded) -> Result<(), String> {
        let model = self.inner.get_model();
        for &id in &plain.before {
            out.push(id, 0, 0, self.unknown);
        }
        let (mut missing, mut characters) = (None, 0);
        plain.words.for_each(text, |word, start, end| {
            characters += u64::from(end - start);
            match model.token_to_id(word).or(self.unknown) {
                Some(id) => out.push(id, start, end, self.unknown),
                None => missing = missing.or(Some(word)),
            }
        });
        if let Some(word) = missing {
            return Err(format!("'{}' is unknown, and the vocabulary has no unknown word", shortened(word)));
        }
        for &id in &plain.after {
            out.push(id, 0, 0, self.unknown);
        }
        // Each word is a token.
        out.end_document(characters, 0);
        Ok(())
    }
}

/// The words of documents that are wanted and seen often enough, the most frequent first, and by their scalars among equals; and how
/// many different ones there are in all.
fn frequent(
    documents: impl Iterator<Item = Result<Document, CorpusError>>,
    options: &Vocabulary,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, usize), TokenizerError> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for document in documents {
        // The white space of Unicode, which is also what `WhitespaceSplit` splits on.
        options.words.for_each(&document?.text, |word, _, _| match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_owned(), 1);
            }
        });
    }
    let distinct = counts.len();
    let is_kept = |(word, count): &(String, u64)| *count >= options.min_count && is_wanted(word);
    let mut words: Vec<(String, u64)> = counts.into_iter().filter(is_kept).collect();
    words.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    Ok((words.into_iter().map(|(word, _)| word).collect(), distinct))
}

/// Reads a file whole.
fn read(path: &Path, files: &dyn Files) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    files.open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Calls the `tokenizers` library, which panics on some malformed files where it should refuse them.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    txray_plugin::guard::catch(call).map_err(|panic| format!("the `tokenizers` library breaks on it: {panic}"))
}

/// A tokenizer from the bytes of its file, or what is wrong with these.
fn parse(bytes: Vec<u8>, path: PathBuf) -> Result<Tokenizer, String> {
    if bytes.len() as u64 > LARGEST {
        return Err(format!("larger than {} MiB, which no tokenizer is", LARGEST >> 20));
    }
    let json =
        String::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))?;
    check(&json)?;
    let inner = guarded(|| json.parse())?
        .map_err(|error| format!("not a tokenizer: {error} (docs/checkpoints.md says how one is made)"))?;
    let tokenizer = guarded(|| Tokenizer::new(inner, json, path))??;
    tokenizer.probe()?;
    Ok(tokenizer)
}

/// The form that a model gives to what it does not know.
fn unknown_form(model: &ModelWrapper) -> Option<String> {
    match model {
        ModelWrapper::WordLevel(model) => Some(model.unk_token.clone()),
        ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
        ModelWrapper::BPE(model) => model.unk_token.clone(),
        // The library shows this field in the file alone.
        ModelWrapper::Unigram(model) => {
            let file = serde_json::to_value(model).ok()?;
            let id = file.get("unk_id")?.as_u64()?;
            model.id_to_token(u32::try_from(id).ok()?)
        }
    }
}

fn forms(inner: &tokenizers::Tokenizer) -> Result<Arc<[Box<str>]>, String> {
    let vocabulary = inner.get_vocab(true);
    let Some(&highest) = vocabulary.values().max() else {
        return Err("the vocabulary is empty".to_owned());
    };
    if highest as usize > vocabulary.len() + HOLES {
        return Err(format!("{} entries, and one has the id {highest}", vocabulary.len()));
    }
    let mut forms: Vec<Box<str>> = vec!["".into(); highest as usize + 1];
    for (form, id) in vocabulary {
        let entry = &mut forms[id as usize];
        if !entry.is_empty() {
            let (a, b) = if *form < **entry { (&*form, &**entry) } else { (&**entry, &*form) };
            return Err(format!("'{a}' and '{b}' both have the id {id}"));
        }
        *entry = form.into();
    }
    Ok(forms.into())
}

/// What makes these words of a text in the `tokenizers` library.
pub(crate) fn pre_tokenizer(words: Words) -> tokenizers::Result<PreTokenizerWrapper> {
    let space = PreTokenizerWrapper::WhitespaceSplit(WhitespaceSplit);
    if words == Words::Space {
        return Ok(space);
    }
    let pattern = SplitPattern::Regex(split::pattern().to_owned());
    let punctuation = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
    Ok(PreTokenizerWrapper::Sequence(Sequence::new(vec![space, PreTokenizerWrapper::Split(punctuation)])))
}

/// The words that a file's pre-tokenizer makes, if it is one of ours.
fn words(found: Option<&PreTokenizerWrapper>) -> Option<Words> {
    let is_found = |words: &Words| pre_tokenizer(*words).is_ok_and(|ours| found == Some(&ours));
    [Words::Space, Words::Punctuation].into_iter().find(is_found)
}

/// The ids that a tokenizer puts before and behind a text, where it puts them there and does no more.
fn around(inner: &tokenizers::Tokenizer) -> Result<Option<[Vec<u32>; 2]>, String> {
    use PostProcessorWrapper::{Bert, Template};
    if !matches!(inner.get_post_processor(), None | Some(Template(_) | Bert(_))) {
        return Ok(None);
    }
    // The template's pieces are private, so see what it does to one token.
    const PROBE: u32 = u32::MAX;
    let probe = Encoding::from_tokens(vec![Token::new(PROBE, String::new(), (0, 1))], 0);
    let around = inner.post_process(probe, None, true).map_err(|error| error.to_string())?;
    let mut parts = around.get_ids().split(|&id| id == PROBE);
    let (Some(before), Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    Ok(Some([before, after].map(<[u32]>::to_vec)))
}

/// A tokenizer as a plain one, if it is.
fn plain(inner: &tokenizers::Tokenizer, before: Vec<u32>, after: Vec<u32>) -> Option<Plain> {
    let is_plain = matches!(inner.get_model(), ModelWrapper::WordLevel(_))
        && inner.get_normalizer().is_none()
        && inner.get_added_vocabulary().is_empty();
    let words = words(inner.get_pre_tokenizer()).filter(|_| is_plain)?;
    Some(Plain { words, before, after })
}

/// Refuses what the library would read and should not.
fn check(json: &str) -> Result<(), String> {
    let file = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
    check_templates(&file)?;
    check_merges(&file["model"])?;
    check_tables(&file["normalizer"])
}

/// Refuses merges whose second part lacks the prefix of all that stands within a word. The library cuts it off unseen, and
/// what is left may not be UTF-8, which is undefined behaviour.
fn check_merges(model: &Value) -> Result<(), String> {
    let (Some(prefix), Some(merges)) = (model["continuing_subword_prefix"].as_str(), model["merges"].as_array()) else {
        return Ok(());
    };
    for merge in merges {
        let second = merge.as_str().and_then(|merge| Some(merge.split_once(' ')?.1)).or_else(|| merge[1].as_str());
        if let Some(second) = second.filter(|second| !second.starts_with(prefix)) {
            return Err(format!("'{second}' stands second in a merge, and does not begin with '{prefix}'"));
        }
    }
    Ok(())
}

/// Refuses tables of normalization that say they are larger than they are. The library takes the memory for what they
/// say, and where there is not as much the process ends.
fn check_tables(normalizer: &Value) -> Result<(), String> {
    if let Some(table) = normalizer["precompiled_charsmap"].as_str() {
        let bytes = BASE64_STANDARD.decode(table).map_err(|error| format!("precompiled_charsmap: {error}"))?;
        let size = bytes.first_chunk().map_or(0, |&size| u32::from_le_bytes(size));
        if size as usize > bytes.len() {
            return Err(format!("precompiled_charsmap: {} bytes, and it says that {size} follow", bytes.len()));
        }
    }
    normalizer["normalizers"].as_array().into_iter().flatten().try_for_each(check_tables)
}

/// Refuses templates that name a special token they do not define: the library reads them, and
/// panics when it encodes.
fn check_templates(file: &Value) -> Result<(), String> {
    let processor = &file["post_processor"];
    let several = processor["processors"].as_array().map_or(&[][..], Vec::as_slice);
    for template in several.iter().chain([processor]) {
        let pieces = ["single", "pair"].map(|kind| template[kind].as_array());
        for piece in pieces.into_iter().flatten().flatten() {
            if let Some(id) = piece["SpecialToken"]["id"].as_str()
                && template["special_tokens"].get(id).is_none()
            {
                return Err(format!("the template names '{id}', which is no special token of it"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
