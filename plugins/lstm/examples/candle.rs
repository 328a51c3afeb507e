//! Reading and training beside candle-nn's own LSTM, in turn, in one process.
//!
//! ```text
//! cargo run --release -p txray-lstm --example candle -- [HIDDEN] [VOCABULARY]
//! ```
//!
//! Both read the same random tokens, 64 streams side by side, and keep the most active neuron of each; both train on 20
//! streams of 35 tokens with softmax and SGD, dropout left out. Medians of five rounds.

use std::error::Error;
use std::time::Instant;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::rnn::{LSTMConfig, RNN, lstm};
use candle_nn::{Module, Optimizer, SGD, VarBuilder, VarMap, embedding, linear, loss::cross_entropy};
use txray_lstm::{Lstm, LstmOptions, TrainOptions};
use txray_plugin::random::Stream;
use txray_plugin::{
    Component, Encode, EncodeRequest, ExactSum, Host, Model, SiteRequest, State, Text, Train, TrainRequest,
};

const STREAMS: usize = 64;
const LENGTH: usize = 200;
const BATCH: usize = 20;
const BPTT: usize = 35;

fn main() -> Result<(), Box<dyn Error>> {
    let sizes: Vec<usize> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let (hidden, vocabulary) = (sizes.first().copied().unwrap_or(200), sizes.get(1).copied().unwrap_or(33_278));
    let host = Host::detached();
    let mut random = Stream::new(1, "tokens", 0);
    let ids: Vec<u32> = (0..STREAMS * LENGTH).map(|_| random.below(vocabulary as u32)).collect();
    let offsets: Vec<u64> = (0..=STREAMS).map(|d| (d * LENGTH) as u64).collect();
    let text = Text { ids: &ids, offsets: &offsets };

    let train = TrainOptions {
        epochs: u64::MAX,
        batch: BATCH,
        bptt: BPTT,
        learning_rate: Some(1.0),
        dropout: 0.0,
        state: State::Carry,
        ..TrainOptions::default()
    };
    let options = LstmOptions { embedding: hidden, hidden, train, ..LstmOptions::default() };
    // Two, because training would have what reading prepares of the weights prepared again in every round.
    let [mut reader, mut learner] = [Lstm::create(options.clone(), &host)?, Lstm::create(options, &host)?];
    reader.initialize(&host, vocabulary, 1)?;
    learner.initialize(&host, vocabulary, 1)?;

    let device = Device::Cpu;
    let variables = VarMap::new();
    let builder = VarBuilder::from_varmap(&variables, DType::F32, &device);
    let encoder = embedding(vocabulary, hidden, builder.pp("encoder"))?;
    let theirs = lstm(hidden, hidden, LSTMConfig::default(), builder.pp("lstm"))?;
    let decoder = linear(hidden, vocabulary, builder.pp("decoder"))?;
    let mut optimizer = SGD::new(variables.all_vars(), 1.0)?;
    let hidden_of = |ids: &Tensor| -> Result<Tensor, candle_core::Error> {
        let states = theirs.seq(&encoder.forward(ids)?)?;
        Tensor::stack(&states.iter().map(|state| state.h().clone()).collect::<Vec<_>>(), 1)
    };

    let mut session = learner.begin(&host, &TrainRequest::language_model(text, None, 1), None)?;
    let [mut read_ours, mut read_theirs, mut train_ours, mut train_theirs] = [(); 4].map(|()| Vec::new());
    for _ in 0..6 {
        let start = Instant::now();
        let (mut neurons, mut activations) = (vec![0; ids.len()], vec![0.0; ids.len()]);
        let mut moments = [(); 3].map(|()| vec![ExactSum::ZERO; hidden]);
        let moments = moments.each_mut().map(|sums| &mut sums[..]);
        let sites = vec![SiteRequest::top(0, 1, (&mut neurons, &mut activations), moments)];
        reader.encode(&host, &mut EncodeRequest { sites, ..EncodeRequest::new(text) })?;
        read_ours.push(ids.len() as f64 / start.elapsed().as_secs_f64());

        let start = Instant::now();
        let all = hidden_of(&Tensor::from_slice(&ids, (STREAMS, LENGTH), &device)?)?;
        all.argmax(D::Minus1)?.to_vec2::<u32>()?;
        all.max(D::Minus1)?.to_vec2::<f32>()?;
        read_theirs.push(ids.len() as f64 / start.elapsed().as_secs_f64());

        let report = learner.step(&host, &mut session, None)?;
        train_ours.push((ids.len() - 1) as f64 / report.seconds);

        let start = Instant::now();
        let tokens = Tensor::from_slice(&ids[..BATCH * (BPTT + 1)], (BATCH, BPTT + 1), &device)?;
        let logits = decoder.forward(&hidden_of(&tokens.narrow(1, 0, BPTT)?)?.reshape((BATCH * BPTT, hidden))?)?;
        let targets = tokens.narrow(1, 1, BPTT)?.contiguous()?.flatten_all()?;
        optimizer.backward_step(&cross_entropy(&logits, &targets)?)?;
        train_theirs.push((BATCH * BPTT) as f64 / start.elapsed().as_secs_f64());
    }
    for (what, mut ours, mut theirs) in [("reading", read_ours, read_theirs), ("training", train_ours, train_theirs)] {
        // The first round warms up.
        let [ours, theirs] = [&mut ours, &mut theirs].map(|rates| {
            rates.remove(0);
            rates.sort_by(f64::total_cmp);
            rates[rates.len() / 2]
        });
        println!("{what}: {ours:.0} tokens/s, candle-nn {theirs:.0} tokens/s, {:.1} times", ours / theirs);
    }
    Ok(())
}
