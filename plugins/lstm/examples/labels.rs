//! Times an epoch of a classifier on ids that `benches/classify.py` wrote, and prints it as JSON.
//!
//! ```text
//! labels FOLDER HIDDEN VOCABULARY [BATCH] [POOLING] [whole | frozen] [SAVED]
//! ```
//!
//! FOLDER holds ids.u32, offsets.u64 and targets.u32, little-endian; the model is saved in SAVED, a folder that exists.

use std::error::Error;
use std::path::Path;
use std::thread::available_parallelism;

use txray_lstm::{HeadOptions, Lstm, LstmOptions, TrainOptions};
use txray_plugin::{Component, Examples, Host, Model, NULL, Task, Text, Threads, Train, TrainRequest};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, hidden, vocabulary, rest @ ..] = &arguments[..] else {
        return Err("see the head of examples/labels.rs for the arguments".into());
    };
    let (folder, hidden, vocabulary) = (Path::new(folder), hidden.parse()?, vocabulary.parse()?);
    let (batch, pooling) = (rest.first().map_or("32", |of| of), rest.get(1).map_or("last", |of| of));
    let numbers = |name: &str| Ok::<_, std::io::Error>(words(&std::fs::read(folder.join(name))?));
    let (ids, targets) = (numbers("ids.u32")?, numbers("targets.u32")?);
    let offsets = std::fs::read(folder.join("offsets.u64"))?;
    let offsets: Vec<u64> = offsets.as_chunks::<8>().0.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect();

    let train = TrainOptions {
        epochs: 2,
        batch: batch.parse()?,
        freeze_encoder: rest.get(2).is_some_and(|of| of == "frozen"),
        ..TrainOptions::default()
    };
    let pooling = serde_json::from_value(pooling.into())?;
    let services = Threads(available_parallelism()?.get());
    let host = Host::new(&services);
    let options =
        LstmOptions { embedding: hidden, hidden, task: HeadOptions { pooling }, train, ..LstmOptions::default() };
    let mut model = Lstm::create(options, &host)?;
    model.initialize(&host, vocabulary, 1)?;
    let examples = Examples { text: Text { ids: &ids, offsets: &offsets }, targets: &targets };
    let classes = targets.iter().filter(|&&target| target != NULL).max().map_or(0, |&most| most as usize + 1);
    let request = TrainRequest { task: Task::Classification, classes, train: examples, valid: None, seed: 1 };
    let mut session = model.begin(&host, &request, None)?;
    let report = model.step(&host, &mut session, None)?;
    if let Some(saved) = rest.get(3) {
        model.save(&host, Path::new(saved))?;
    }
    println!("{{\"tokens\": {}, \"seconds\": {}, \"loss\": {}}}", report.tokens, report.seconds, report.loss);
    Ok(())
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
}
