//! Times reading and training on real text.
//!
//! ```text
//! speed encode MODEL_DIRECTORY TEXT [THREADS]            a checkpoint; prints what the peer script prints, too
//! speed random HIDDEN VOCABULARY TEXT [LAYERS]           random weights
//! speed fit HIDDEN MIN_COUNT TEXT TOKENS [THREADS]       trains on TOKENS tokens
//! ```
//!
//! The text is split at white space, a line is a document, and each ends in `<eos>`.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use txray_lstm::{Lstm, LstmOptions, TrainOptions};
use txray_plugin::{
    Component, Encode, EncodeRequest, ExactSum, Host, Model, SiteRequest, State, Text, Threads, Train, TrainRequest,
};

type Vocabulary = HashMap<String, u32>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["encode", directory, text, ref threads @ ..] => {
            encode_checkpoint(directory, text, number(threads)?.unwrap_or(2))
        }
        ["random", hidden, vocabulary, text, ref layers @ ..] => {
            let layers = number(layers)?.unwrap_or(1);
            encode_random(hidden.parse()?, vocabulary.parse()?, text, layers)
        }
        ["fit", hidden, min_count, text, tokens, ref threads @ ..] => {
            fit(hidden.parse()?, min_count.parse()?, text, tokens.parse()?, number(threads)?.unwrap_or(2))
        }
        _ => Err("see the head of examples/speed.rs for the arguments".into()),
    }
}

fn number(arguments: &[&str]) -> Result<Option<usize>, Box<dyn Error>> {
    Ok(arguments.first().map(|n| n.parse()).transpose()?)
}

fn encode_checkpoint(directory: &str, text: &str, threads: usize) -> Result<(), Box<dyn Error>> {
    let tokenizer = std::fs::read(Path::new(directory).join("tokenizer.json"))?;
    let tokenizer: serde_json::Value = serde_json::from_slice(&tokenizer)?;
    let vocabulary: Vocabulary = serde_json::from_value(tokenizer["model"]["vocab"].clone())?;
    let services = Threads(threads);
    let host = Host::new(&services);
    let mut model = Lstm::create(LstmOptions::default(), &host)?;
    model.load(&host, Path::new(directory))?;
    encode(&model, &host, &tokenize(text, &vocabulary)?)
}

fn encode_random(hidden: usize, size: usize, text: &str, layers: usize) -> Result<(), Box<dyn Error>> {
    let mut vocabulary = count(text, 1)?;
    vocabulary.retain(|_, id| (*id as usize) < size);
    let services = Threads(2);
    let host = Host::new(&services);
    let options = LstmOptions { embedding: hidden, hidden, layers, ..LstmOptions::default() };
    let mut model = Lstm::create(options, &host)?;
    model.initialize(&host, size, 1)?;
    encode(&model, &host, &tokenize(text, &vocabulary)?)
}

fn encode(model: &Lstm, host: &Host<'_>, (ids, offsets): &(Vec<u32>, Vec<u64>)) -> Result<(), Box<dyn Error>> {
    let (text, width) = (Text { ids, offsets }, model.describe()?.sites[0].width);
    let site = model.describe()?.sites.len() - 1;
    for round in 0..4 {
        let (mut neurons, mut activations) = (vec![0; ids.len()], vec![0.0; ids.len()]);
        let mut moments = [(); 3].map(|()| vec![ExactSum::ZERO; width]);
        let moments = moments.each_mut().map(|sums| &mut sums[..]);
        let sites = vec![SiteRequest::top(site, 1, (&mut neurons, &mut activations), moments)];
        let start = Instant::now();
        model.encode(host, &mut EncodeRequest { sites, ..EncodeRequest::new(text) })?;
        let seconds = start.elapsed().as_secs_f64();
        println!("round {round}: {} tokens, {seconds:.3} s, {:.0} tokens/s", ids.len(), ids.len() as f64 / seconds);
        if round == 3 {
            let kept = || neurons.iter().zip(&activations).zip(ids).filter(|((_, a), _)| **a > 0.0);
            let alive: HashSet<u32> = kept().map(|((n, _), _)| *n).collect();
            let rows: HashSet<(u32, u32)> = kept().map(|((n, _), id)| (*n, *id)).collect();
            let mass: f64 = kept().map(|((_, a), _)| f64::from(*a)).sum();
            println!("{} neurons alive, {} rows, mass {mass:.4}", alive.len(), rows.len());
        }
    }
    Ok(())
}

fn fit(hidden: usize, min_count: usize, text: &str, tokens: u64, threads: usize) -> Result<(), Box<dyn Error>> {
    let vocabulary = count(text, min_count)?;
    let (ids, offsets) = tokenize(text, &vocabulary)?;
    let services = Threads(threads);
    let host = Host::new(&services);
    let train = TrainOptions { max_tokens: Some(tokens), state: State::Carry, ..TrainOptions::default() };
    let options = LstmOptions { embedding: hidden, hidden, train, ..LstmOptions::default() };
    let mut model = Lstm::create(options, &host)?;
    model.initialize(&host, vocabulary.len(), 1)?;
    println!("{} words", vocabulary.len());
    let request = TrainRequest::language_model(Text { ids: &ids, offsets: &offsets }, None, 1);
    let mut session = model.begin(&host, &request, None)?;
    for _ in 0..3 {
        let report = model.step(&host, &mut session, None)?;
        let per_epoch = report.tokens as f64 / report.epoch as f64;
        println!("{report:?}: {:.0} tokens/s", per_epoch / report.seconds);
    }
    Ok(())
}

/// Ids by falling count, then by word, after `<unk>` and `<eos>`.
fn count(text: &str, min_count: usize) -> Result<Vocabulary, Box<dyn Error>> {
    let text = std::fs::read_to_string(text)?;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    text.split_whitespace().for_each(|word| *counts.entry(word).or_default() += 1);
    let mut words: Vec<_> =
        counts.into_iter().filter(|&(w, c)| c >= min_count && w != "<unk>" && w != "<eos>").collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let words = ["<unk>", "<eos>"].into_iter().chain(words.into_iter().map(|(w, _)| w));
    Ok(words.zip(0..).map(|(w, id)| (w.to_owned(), id)).collect())
}

fn tokenize(text: &str, vocabulary: &Vocabulary) -> Result<(Vec<u32>, Vec<u64>), Box<dyn Error>> {
    let (unknown, end) = (vocabulary["<unk>"], vocabulary["<eos>"]);
    let (mut ids, mut offsets) = (Vec::new(), vec![0]);
    for line in std::fs::read_to_string(text)?.lines().filter(|l| !l.trim().is_empty()) {
        ids.extend(line.split_whitespace().map(|w| vocabulary.get(w).copied().unwrap_or(unknown)));
        ids.push(end);
        offsets.push(ids.len() as u64);
    }
    Ok((ids, offsets))
}
