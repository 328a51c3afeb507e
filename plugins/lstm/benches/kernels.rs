//! Reading and training on one thread, without files: `cargo bench -p txray-lstm`. `benches/speed.py` holds whole runs
//! against PyTorch.

#![allow(clippy::unwrap_used, reason = "a benchmark has nobody to tell")]

use divan::Bencher;
use divan::counter::ItemsCount;
use txray_lstm::{Cell, Lstm, LstmOptions, TrainOptions};
use txray_plugin::{
    Component, Encode, EncodeRequest, ExactSum, Host, Model, SiteRequest, State, Text, Threads, Train, TrainRequest,
};

fn main() {
    divan::main();
}

fn model(options: LstmOptions, vocabulary: usize) -> Lstm {
    let host = Host::new(&Threads(1));
    let mut model = Lstm::create(options, &host).unwrap();
    model.initialize(&host, vocabulary, 1).unwrap();
    model
}

/// Documents of these many tokens each, all words in turn.
fn text(documents: usize, tokens: usize, vocabulary: usize) -> (Vec<u32>, Vec<u64>) {
    let ids = (0..documents * tokens).map(|i| (i * 7919 % vocabulary) as u32).collect();
    (ids, (0..=documents).map(|d| (d * tokens) as u64).collect())
}

/// Full lanes: the most active neuron of each token.
fn read(bencher: Bencher<'_, '_>, options: LstmOptions) {
    let (width, host) = (options.hidden, Host::new(&Threads(1)));
    let model = model(options, 1000);
    let (ids, offsets) = text(48, 32, 1000);
    let (mut neurons, mut activations) = (vec![0; ids.len()], vec![0.0; ids.len()]);
    let mut moments = [(); 3].map(|()| vec![ExactSum::ZERO; width]);
    bencher.counter(ItemsCount::new(ids.len())).bench_local(|| {
        let moments = moments.each_mut().map(|sums| &mut sums[..]);
        let sites = vec![SiteRequest::top(0, 1, (&mut neurons, &mut activations), moments)];
        let text = Text { ids: &ids, offsets: &offsets };
        model.encode(&host, &mut EncodeRequest { sites, ..EncodeRequest::new(text) }).unwrap();
    });
}

#[divan::bench(args = [100, 200, 600, 1500])]
fn read_lstm(bencher: Bencher<'_, '_>, hidden: usize) {
    read(bencher, LstmOptions { embedding: hidden, hidden, ..LstmOptions::default() });
}

/// The input made at each step, as it is where the vocabulary is too large for the table.
#[divan::bench(args = [100, 200, 600])]
fn read_lstm_without_table(bencher: Bencher<'_, '_>, hidden: usize) {
    read(bencher, LstmOptions { embedding: hidden, hidden, input_table: 0, ..LstmOptions::default() });
}

#[divan::bench(args = [100, 200, 600])]
fn read_gru(bencher: Bencher<'_, '_>, hidden: usize) {
    read(bencher, LstmOptions { embedding: hidden, hidden, cell: Cell::Gru, ..LstmOptions::default() });
}

/// The recurrent product of one step alone, `[4 hidden, hidden] x [hidden, 48]`, by candle: what reading can be held
/// against. Set `RAYON_NUM_THREADS=1`.
#[divan::bench(args = [100, 200, 600, 1500])]
fn product_by_candle(bencher: Bencher<'_, '_>, hidden: usize) {
    use candle_core::{Device, Tensor};
    let random = |rows, columns| Tensor::randn(0.0_f32, 1.0, (rows, columns), &Device::Cpu).unwrap();
    let (weight, state) = (random(4 * hidden, hidden), random(hidden, 48));
    bencher.counter(ItemsCount::new(48_usize)).bench_local(|| weight.matmul(&state).unwrap());
}

/// Two steps of 700 tokens.
#[divan::bench(args = [(100, 14_447), (200, 33_278)], sample_count = 10)]
fn train(bencher: Bencher<'_, '_>, (hidden, vocabulary): (usize, usize)) {
    let host = Host::new(&Threads(1));
    let train = TrainOptions { epochs: u64::MAX, state: State::Carry, ..TrainOptions::default() };
    let mut model = model(LstmOptions { embedding: hidden, hidden, train, ..LstmOptions::default() }, vocabulary);
    let (ids, offsets) = text(1, 1420, vocabulary);
    let text = Text { ids: &ids, offsets: &offsets };
    let mut session = model.begin(&host, &TrainRequest::language_model(text, None, 1), None).unwrap();
    bencher.counter(ItemsCount::new(1400_usize)).bench_local(|| {
        model.step(&host, &mut session, None).unwrap();
    });
}
