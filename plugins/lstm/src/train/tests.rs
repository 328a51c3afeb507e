//! The operations against candle's own, and training as a whole.

use candle_core::{D, Device, Var};
use proptest::prelude::*;
use txray_plugin::TrainRequest;

use super::*;
use crate::options::Optimizer;
use crate::weights::{Sizes, to_vec};

/// A training that has not made a step.
fn fresh(options: &TrainOptions) -> Progress {
    Progress::new(options, Begun::of(&TrainRequest::language_model(Text::EMPTY, None, 0)))
}

fn tensor(values: &[f32], shape: impl Into<candle_core::Shape>) -> Var {
    Var::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
}

fn uniform(name: &str, count: usize, bound: f32, seed: u64) -> Vec<f32> {
    let mut values = vec![0.0; count];
    Stream::new(seed, name, 0).fill_uniform(&mut values, -bound, bound);
    values
}

#[track_caller]
fn near(ours: &Tensor, theirs: &Tensor, tolerance: f64) {
    assert_eq!(ours.shape(), theirs.shape());
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (i, (a, b)) in values(ours).into_iter().zip(values(theirs)).enumerate() {
        let (a, b) = (f64::from(a), f64::from(b));
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "element {i}: {a}, but {b} in candle");
    }
}

/// `-log softmax(h W' + b)[target]`, averaged over the rows that have one.
fn composed_loss(h: &Tensor, w: &Tensor, b: &Tensor, targets: &[u32]) -> Tensor {
    let kept: Vec<u32> = (0..targets.len() as u32).filter(|&r| targets[r as usize] != NO_TARGET).collect();
    let chosen: Vec<u32> = kept.iter().map(|&r| targets[r as usize]).collect();
    let logits = h.matmul(&w.t().unwrap()).unwrap().broadcast_add(b).unwrap();
    let logits = logits.index_select(&Tensor::new(kept, &Device::Cpu).unwrap(), 0).unwrap();
    let chosen = Tensor::new(chosen, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
    let max = logits.max_keepdim(D::Minus1).unwrap().detach();
    let sum = logits.broadcast_sub(&max).unwrap().exp().unwrap().sum_keepdim(D::Minus1).unwrap();
    let normalizer = (sum.log().unwrap() + max).unwrap();
    (normalizer - logits.gather(&chosen, 1).unwrap()).unwrap().mean_all().unwrap()
}

/// One step of an LSTM from candle's own operations: `(h, c)`.
fn composed_step(x: &Tensor, h: &Tensor, c: &Tensor, w: &Tensor, b: &Tensor) -> (Tensor, Tensor) {
    let sigmoid = |t: &Tensor| ((t.neg().unwrap().exp().unwrap() + 1.0).unwrap()).recip().unwrap();
    let joined = Tensor::cat(&[x, h], 1).unwrap();
    let gates = joined.matmul(&w.t().unwrap()).unwrap().broadcast_add(b).unwrap().chunk(4, 1).unwrap();
    let (i, f, g, o) = (sigmoid(&gates[0]), sigmoid(&gates[1]), gates[2].tanh().unwrap(), sigmoid(&gates[3]));
    let c = ((f * c).unwrap() + (i * g).unwrap()).unwrap();
    ((o * c.tanh().unwrap()).unwrap(), c)
}

/// One step of a GRU from candle's own operations. `b` holds the biases of r, z, and of the candidate's two parts: that
/// of the input, then that of the state.
fn composed_gru(x: &Tensor, h: &Tensor, w: &Tensor, b: &Tensor) -> Tensor {
    let sigmoid = |t: &Tensor| ((t.neg().unwrap().exp().unwrap() + 1.0).unwrap()).recip().unwrap();
    let (input, width) = (x.dim(1).unwrap(), h.dim(1).unwrap());
    let of = |t: &Tensor, from: usize, count: usize| {
        let w = w.narrow(1, from, count).unwrap();
        t.matmul(&w.t().unwrap()).unwrap().chunk(3, 1).unwrap()
    };
    let (x, of_h) = (of(x, 0, input), of(h, input, width));
    let b = b.chunk(4, 0).unwrap();
    let sum = |k: usize| (&x[k] + &of_h[k]).unwrap().broadcast_add(&b[k]).unwrap();
    let (r, z) = (sigmoid(&sum(0)), sigmoid(&sum(1)));
    let of_state = (r * of_h[2].broadcast_add(&b[3]).unwrap()).unwrap();
    let n = (x[2].broadcast_add(&b[2]).unwrap() + of_state).unwrap().tanh().unwrap();
    let moved = (&z * (h - &n).unwrap()).unwrap();
    (n + moved).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn linear_cross_entropy_is_candles(
        rows in 1..40_usize,
        width in 1..20_usize,
        vocabulary in 2..700_usize,
        seed in any::<u64>(),
        scale in 0.5..2.0_f64,
    ) {
        let h = tensor(&uniform("h", rows * width, 1.0, seed), (rows, width));
        let w = tensor(&uniform("w", vocabulary * width, 1.0, seed), (vocabulary, width));
        let b = tensor(&uniform("b", vocabulary, 1.0, seed), vocabulary);
        let mut stream = Stream::new(seed, "targets", 0);
        let mut targets: Vec<u32> = (0..rows).map(|_| stream.below(vocabulary as u32)).collect();
        targets.iter_mut().skip(1).step_by(5).for_each(|t| *t = NO_TARGET);

        let theirs = (composed_loss(&h, &w, &b, &targets) * scale).unwrap();
        let expected = theirs.backward().unwrap();
        let gradient = Arc::default();
        let ours = h.apply_op3(&w, &b, LinearCrossEntropy::new(targets, Arc::clone(&gradient), Stop::default())).unwrap();
        let ours = (ours * scale).unwrap();
        near(&ours, &theirs, 1e-5);
        let found = ours.backward().unwrap();
        near(found.get(&h).unwrap(), expected.get(&h).unwrap(), 1e-5);
        let gradient = gradient.lock().unwrap();
        let times_scale = |v: &[f32], shape: &candle_core::Shape| {
            let v = v.iter().map(|v| v * gradient.scale).collect::<Vec<_>>();
            Tensor::from_vec(v, shape, &Device::Cpu).unwrap()
        };
        near(&times_scale(&gradient.weight, w.shape()), expected.get(&w).unwrap(), 1e-5);
        near(&times_scale(&gradient.bias, b.shape()), expected.get(&b).unwrap(), 1e-5);
    }

    #[test]
    fn the_recurrence_is_candles(
        batch in 1..5_usize,
        steps in 1..7_usize,
        input in 1..6_usize,
        width in 1..40_usize,
        clears in proptest::collection::vec(prop::bool::weighted(0.2), 30),
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
        seed in any::<u64>(),
    ) {
        let rows = batch * steps;
        let clear = clears[..rows].to_vec();
        let x = tensor(&uniform("x", rows * input, 1.0, seed), (rows, input));
        let w = tensor(&uniform("w", cell.gates() * width * (input + width), 0.5, seed), (cell.gates() * width, input + width));
        let b = tensor(&uniform("b", 4 * width, 0.5, seed), 4 * width);
        let weigh = tensor(&uniform("weigh", rows * width, 1.0, seed), (rows, width));
        let initial =
            LayerState { hidden: uniform("h0", batch * width, 1.0, seed), cell: uniform("c0", batch * width, 1.0, seed) };

        let mut h = tensor(&initial.hidden, (batch, width)).detach();
        let mut c = tensor(&initial.cell, (batch, width)).detach();
        let mut all = Vec::new();
        for step in 0..steps {
            let keep: Vec<f32> = clear[step * batch..][..batch].iter().map(|&c| f32::from(!c)).collect();
            let keep = Tensor::from_vec(keep, (batch, 1), &Device::Cpu).unwrap();
            let now = x.narrow(0, step * batch, batch).unwrap();
            (h, c) = (h.broadcast_mul(&keep).unwrap(), c.broadcast_mul(&keep).unwrap());
            match cell {
                Cell::Lstm => (h, c) = composed_step(&now, &h, &c, &w, &b),
                Cell::Gru => h = composed_gru(&now, &h, &w, &b),
            }
            all.push(h.clone());
        }
        let theirs = Tensor::cat(&all, 0).unwrap();
        let expected = (&theirs * weigh.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();

        let state = Arc::new(Mutex::new(initial));
        let starts = Arc::new((0..=steps).map(|step| step * batch).collect());
        let (clear, trace, stop) = (Arc::new(clear), Mutex::default(), Stop::default());
        let recurrence = Recurrence { cell, steps: starts, clear, state: state.clone(), of_input: true, trace, stop };
        let ours = x.apply_op3(&w, &b, recurrence).unwrap();
        near(&ours, &theirs, 1e-5);
        let found = (&ours * weigh.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        for variable in [&x, &w, &b] {
            near(found.get(variable).unwrap(), expected.get(variable).unwrap(), 1e-4);
        }
        let state = state.lock().unwrap();
        near(&tensor(&state.hidden, (batch, width)), &h, 1e-5);
        if cell == Cell::Lstm {
            near(&tensor(&state.cell, (batch, width)), &c, 1e-5);
        }
    }

    #[test]
    fn lookup_is_candles(ids in proptest::collection::vec(0..9_u32, 1..30), seed in any::<u64>()) {
        let encoder = tensor(&uniform("e", 9 * 4, 1.0, seed), (9, 4));
        let weigh = tensor(&uniform("weigh", ids.len() * 4, 1.0, seed), (ids.len(), 4));
        let theirs = encoder.index_select(&Tensor::new(ids.clone(), &Device::Cpu).unwrap(), 0).unwrap();
        let expected = (&theirs * weigh.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient: Arc<Mutex<RowGradient>> = Arc::default();
        let ours = encoder.apply_op1(Lookup { ids, gradient: gradient.clone() }).unwrap();
        near(&ours, &theirs, 0.0);
        (&ours * weigh.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = gradient.lock().unwrap();
        let mut dense = vec![0.0; 9 * 4];
        for (&row, values) in gradient.rows.iter().zip(gradient.values.chunks(4)) {
            dense[row as usize * 4..][..4].copy_from_slice(values);
        }
        near(&Tensor::from_vec(dense, (9, 4), &Device::Cpu).unwrap(), expected.get(&encoder).unwrap(), 1e-6);
    }
}

#[test]
fn dropout_keeps_the_mean_and_its_gradient_the_mask() {
    let x = tensor(&vec![1.0; 100_000], (1000, 100));
    let y = x.apply_op1(Dropout::new(0.2, Stream::new(1, "mask", 5))).unwrap();
    let values = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let zeros = values.iter().filter(|&&v| v == 0.0).count();
    assert!((19_500..20_500).contains(&zeros), "{zeros} of 100,000 were dropped");
    assert!(values.iter().all(|&v| v == 0.0 || v == 1.25));
    let gradient = y.sum_all().unwrap().backward().unwrap();
    near(gradient.get(&x).unwrap(), &y, 0.0);
}

const SIZES: Sizes = Sizes {
    vocabulary: 40,
    embedding: 6,
    hidden: 10,
    layers: 2,
    cell: Cell::Lstm,
    tied: false,
    headless: false,
    bidirectional: false,
    projection: None,
    labels: None,
};

fn one_step() -> Window {
    let mut stream = Stream::new(9, "ids", 0);
    let ids = (0..24).map(|_| stream.below(40)).collect();
    let clear = (0..24).map(|i| i % 7 == 3).collect();
    Window { ids, clear, targets: (0..24).map(|_| stream.below(40)).collect() }
}

/// The slope of the loss along every tensor of a whole step agrees with finite differences, dropout included.
#[test]
fn gradients_are_finite_differences() {
    for cell in [Cell::Lstm, Cell::Gru] {
        slopes_agree(Sizes { cell, ..SIZES });
    }
}

/// Every gradient of a step in the order of the variables; of tied ones that of both together.
fn gradients_of(step: &Trainer<'_>, gradients: &GradStore) -> Vec<Vec<f32>> {
    let sizes = step.weights.sizes;
    let (encoder, decoder) = (step.encoder.lock().unwrap(), step.decoder.lock().unwrap());
    let scaled = |v: &[f32]| v.iter().map(|v| v * decoder.scale).collect::<Vec<_>>();
    let mut dense = if sizes.tied { scaled(&decoder.weight) } else { vec![0.0; sizes.vocabulary * sizes.embedding] };
    for (&row, values) in encoder.rows.iter().zip(encoder.values.chunks(sizes.embedding)) {
        let out = &mut dense[row as usize * sizes.embedding..][..sizes.embedding];
        out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
    }
    let layers = &step.weights.variables()[1..=4 * sizes.layers];
    let mut all = vec![dense];
    all.extend(layers.iter().map(|variable| to_vec(gradients.get(variable).unwrap()).unwrap()));
    all.extend((!sizes.tied).then(|| scaled(&decoder.weight)));
    all.push(scaled(&decoder.bias));
    all
}

fn slopes_agree(sizes: Sizes) {
    let options = TrainOptions { dropout: 0.3, batch: 4, ..TrainOptions::default() };
    let streams = Streams::new(Text { ids: &[0; 8], offsets: &[0, 8] }, &options).unwrap();
    let loss_of = |weights: &Weights| {
        let step = Trainer::new(weights, &options, &streams, 1, Stop::default(), true);
        let loss = step.loss(one_step(), &step.states(&[]), 2).unwrap();
        let gradients = loss.backward().unwrap();
        (f64::from(loss.to_scalar::<f32>().unwrap()), gradients_of(&step, &gradients))
    };
    let weights = Weights::initialize(sizes, 3).unwrap();
    let (_, gradients) = loss_of(&weights);
    for (index, (name, shape)) in sizes.tensors().into_iter().enumerate() {
        let direction = uniform(&name, shape.iter().product(), 1.0, 7);
        let moved = |by: f32| {
            let weights = Weights::initialize(sizes, 3).unwrap();
            let variable = weights.variables()[index].clone();
            let step = Tensor::from_vec(direction.clone(), shape.clone(), &Device::Cpu).unwrap();
            variable.set(&(variable.as_tensor() + (step * f64::from(by)).unwrap()).unwrap()).unwrap();
            loss_of(&weights).0
        };
        let slope: f64 = gradients[index].iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
        let h = 2e-2;
        let found = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
        assert!(
            (found - slope).abs() < 1e-3 + 0.01 * slope.abs(),
            "{name}: {found} by differences, {slope} by gradient"
        );
        assert!(slope != 0.0, "{name} has no gradient");
    }
}

/// Every gradient of a whole step is that of the plain network, dropout included.
#[test]
fn gradients_are_those_of_the_plain_network() {
    for (cell, tied) in [(Cell::Lstm, false), (Cell::Gru, false), (Cell::Lstm, true)] {
        let embedding = if tied { SIZES.hidden } else { SIZES.embedding };
        let sizes = Sizes { cell, tied, embedding, ..SIZES };
        let options = TrainOptions { dropout: 0.3, batch: 4, ..TrainOptions::default() };
        let streams = Streams::new(Text { ids: &[0; 8], offsets: &[0, 8] }, &options).unwrap();
        let weights = Weights::initialize(sizes, 3).unwrap();
        let of = |fast: bool| {
            let step = Trainer::new(&weights, &options, &streams, 1, Stop::default(), fast);
            let states = step.states(&[]);
            let loss = if fast { step.loss(one_step(), &states, 2) } else { step.plain_loss(one_step(), &states, 2) };
            let loss = loss.unwrap();
            let gradients = loss.backward().unwrap();
            if !fast {
                step.keep_gradients(&gradients).unwrap();
            }
            let mut all = gradients_of(&step, &gradients);
            all.push(vec![loss.to_scalar::<f32>().unwrap()]);
            all.extend(states.iter().map(|state| state.lock().unwrap().hidden.clone()));
            all
        };
        for (part, (fast, plain)) in of(true).into_iter().zip(of(false)).enumerate() {
            assert_eq!(fast.len(), plain.len());
            for (a, b) in fast.iter().zip(&plain) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{cell:?}, part {part}: {a} is not {b}");
            }
        }
    }
}

fn toy_text() -> (Vec<u32>, Vec<u64>) {
    // Documents that count up from anywhere: each word but the first follows from the one before.
    let mut stream = Stream::new(4, "toy", 0);
    let documents: Vec<Vec<u32>> = (0..200).map(|_| (stream.below(30)..).take(12).map(|w| w % 30).collect()).collect();
    let offsets = (0..=200).map(|d| d * 12).collect();
    (documents.concat(), offsets)
}

fn toy_options() -> TrainOptions {
    TrainOptions { batch: 8, bptt: 10, ..TrainOptions::default() }
}

fn train(threads: usize, seed: u64, state: State, epochs: u64) -> (Vec<f64>, Vec<u32>) {
    let options = TrainOptions { learning_rate: Some(4.0), state, ..toy_options() };
    train_with(threads, seed, &options, Sizes { vocabulary: 30, embedding: 12, hidden: 20, ..SIZES }, epochs)
}

fn train_with(threads: usize, seed: u64, options: &TrainOptions, sizes: Sizes, epochs: u64) -> (Vec<f64>, Vec<u32>) {
    let (ids, offsets) = toy_text();
    let weights = Weights::initialize(sizes, seed).unwrap();
    let streams = Streams::new(Text { ids: &ids, offsets: &offsets }, options).unwrap();
    let host = txray_plugin::Host::detached();
    let mut progress = fresh(options);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut losses = Vec::new();
    for _ in 0..epochs {
        let tracker = Tracker::new(&host, "", streams.tokens());
        let trainer = Trainer::new(&weights, options, &streams, seed, Stop::default(), true);
        pool.install(|| run(&trainer, 1, &mut progress, || false, &tracker)).unwrap();
        losses.push(progress.cursor.mean());
        progress.end_epoch(None, options);
    }
    (losses, values(&weights))
}

/// The bits of every weight.
fn values(weights: &Weights) -> Vec<u32> {
    let values = weights.variables().into_iter().flat_map(|v| to_vec(v).unwrap());
    values.map(f32::to_bits).collect()
}

#[test]
fn a_toy_task_is_learned() {
    for state in [State::Reset, State::Carry] {
        let (losses, _) = train(2, 1, state, 30);
        assert!(losses[0] > 2.5, "{losses:?}");
        // Within a document all but the first word can be known.
        let least = if state == State::Reset { 0.0 } else { 30_f64.ln() / 12.0 };
        assert!(losses[29] < least + 0.6, "{state:?}: {losses:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever the model, a seed gives the same bytes on any number of threads, and another seed others.
    #[test]
    fn a_seed_gives_the_same_bytes_on_any_number_of_threads(
        vocabulary in prop_oneof![30..60_usize, 900..1500_usize],
        hidden in 2..40_usize,
        layers in 1..3_usize,
        batch in 1..12_usize,
        bptt in 2..90_usize,
        cell in prop_oneof![Just(Cell::Lstm), Just(Cell::Gru)],
        tied in any::<bool>(),
        optimizer in prop_oneof![Just(Optimizer::Sgd), Just(Optimizer::Adam), Just(Optimizer::Adamw)],
        seed in any::<u64>(),
    ) {
        let embedding = if tied { hidden } else { 5 };
        let sizes = Sizes { vocabulary, embedding, hidden, layers, cell, tied, ..Sizes::default() };
        let options = TrainOptions { batch, bptt, optimizer: Some(optimizer), max_tokens: Some(600), ..TrainOptions::default() };
        let one = train_with(1, seed, &options, sizes, 1);
        for threads in [2, 4] {
            prop_assert!(one == train_with(threads, seed, &options, sizes, 1), "{threads} threads");
        }
        prop_assert!(one.1 != train_with(1, seed ^ 1, &options, sizes, 1).1);
    }
}

/// Every model of the family learns by every optimizer, and gives the same bytes on any number of threads.
#[test]
fn the_family_learns_alike_on_any_number_of_threads() {
    for (cell, tied) in [(Cell::Lstm, true), (Cell::Gru, false), (Cell::Gru, true)] {
        for (optimizer, rate) in [(Optimizer::Sgd, 4.0), (Optimizer::Adam, 0.01), (Optimizer::Adamw, 0.01)] {
            let options =
                TrainOptions { optimizer: Some(optimizer), learning_rate: Some(rate), clip: 1.0, ..toy_options() };
            let sizes = Sizes { vocabulary: 30, embedding: 20, hidden: 20, cell, tied, ..SIZES };
            let one = train_with(1, 5, &options, sizes, 6);
            assert!(one == train_with(3, 5, &options, sizes, 6), "{cell:?}, tied {tied}, {optimizer:?}");
            assert!(one.0[5] < one.0[0] - 0.2, "{cell:?}, tied {tied}, {optimizer:?}: {:?}", one.0);
        }
    }
}

/// A few steps with known gradients, against the paper's formulas worked out in double precision.
#[test]
fn adam_is_that_of_the_paper() {
    for (optimizer, decay) in [(Optimizer::Adam, 0.0), (Optimizer::Adamw, 0.1)] {
        let options =
            TrainOptions { optimizer: Some(optimizer), weight_decay: 0.1, clip: 1e9, ..TrainOptions::default() };
        let sizes = Sizes { vocabulary: 3, embedding: 2, hidden: 2, layers: 1, ..SIZES };
        let weights = Weights::initialize(sizes, 3).unwrap();
        let before = to_vec(weights.decoder().unwrap().0).unwrap();
        let mut means = Vec::new();
        let gradients = weights.decoder().unwrap().1.sum_all().unwrap().backward().unwrap();
        let (mut first, mut second) = (vec![0.0_f64; 6], vec![0.0_f64; 6]);
        let mut expected: Vec<f64> = before.iter().map(|&w| f64::from(w)).collect();
        for steps in 0..3 {
            let values: Vec<f32> = (0..6).map(|i| 0.1 * (i as f32 - 2.5) * (steps as f32 + 1.0)).collect();
            let mut decoder = DecoderGradient::default();
            (decoder.weight, decoder.bias, decoder.scale) = (values.clone(), vec![0.0; 3], 1.0);
            let update = optimizer::Update { options: &options, learning_rate: 0.01, steps };
            update.language_model(&weights, &gradients, &RowGradient::default(), &mut decoder, &mut means).unwrap();
            for (i, &g) in values.iter().enumerate() {
                let g = f64::from(g);
                first[i] = 0.9 * first[i] + 0.1 * g;
                second[i] = 0.999 * second[i] + 0.001 * g * g;
                let (m, v) = (
                    first[i] / (1.0 - 0.9_f64.powi(steps as i32 + 1)),
                    second[i] / (1.0 - 0.999_f64.powi(steps as i32 + 1)),
                );
                expected[i] -= 0.01 * decay * expected[i] + 0.01 * m / (v.sqrt() + 1e-8);
            }
        }
        for (found, expected) in to_vec(weights.decoder().unwrap().0).unwrap().into_iter().zip(expected) {
            assert!((f64::from(found) - expected).abs() < 1e-6, "{optimizer:?}: {found}, not {expected}");
        }
    }
}

/// A step that is given up has not happened.
#[test]
fn a_step_is_whole_or_not_at_all() {
    let (ids, offsets) = toy_text();
    let options = TrainOptions { batch: 8, bptt: 10, ..TrainOptions::default() };
    let weights =
        Weights::initialize(Sizes { vocabulary: 30, embedding: 4, hidden: 5, layers: 1, ..SIZES }, 1).unwrap();
    let streams = Streams::new(Text { ids: &ids, offsets: &offsets }, &options).unwrap();
    let (host, stop) = (txray_plugin::Host::detached(), Stop::default());
    let tracker = Tracker::new(&host, "", streams.tokens());
    let trainer = Trainer::new(&weights, &options, &streams, 1, stop.clone(), true);
    let mut progress = fresh(&options);
    let now = |progress: &Progress| (values(&weights), format!("{progress:?}"));
    assert!(run(&trainer, 1, &mut progress, || true, &tracker).unwrap().1);
    let before = now(&progress);
    stop.want();
    assert_eq!(run(&trainer, 1, &mut progress, || true, &tracker).unwrap_err(), Error::cancelled());
    assert_eq!(now(&progress), before);
}

#[test]
fn the_rate_falls_where_validation_does_not_improve() {
    let mut progress = fresh(&TrainOptions::default());
    for (loss, rate) in [(5.0, 20.0), (4.0, 20.0), (4.5, 5.0), (4.0, 1.25), (3.9, 1.25)] {
        progress.end_epoch(Some(loss), &TrainOptions::default());
        assert_eq!(progress.learning_rate, rate);
    }
}

#[test]
fn training_ends_where_validation_has_not_improved_for_long() {
    let options = TrainOptions { patience: Some(2), ..TrainOptions::default() };
    let mut progress = fresh(&options);
    for (loss, done) in [(5.0, false), (5.5, false), (4.0, false), (4.1, false), (4.0, true)] {
        progress.end_epoch(Some(loss), &options);
        assert_eq!(progress.is_done(&options), done);
    }
}

#[test]
fn streams_are_contiguous_and_know_where_documents_begin() {
    let (ids, offsets) = ((0..11).collect::<Vec<u32>>(), [0, 4, 4, 6, 11]);
    let text = Text { ids: &ids, offsets: &offsets };
    let options = TrainOptions { batch: 2, ..TrainOptions::default() };
    let streams = Streams::new(text, &options).unwrap();
    assert_eq!(streams.ids, [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]);
    let begins: Vec<u32> = streams.ids.iter().zip(&streams.clear).filter(|(_, c)| **c).map(|(i, _)| *i).collect();
    assert_eq!(begins, [0, 6, 4]);
    let carried = Streams::new(text, &TrainOptions { state: State::Carry, ..options.clone() }).unwrap();
    assert!(!carried.clear.contains(&true));
    let cut = Streams::new(text, &TrainOptions { max_tokens: Some(7), ..options.clone() }).unwrap();
    assert_eq!((cut.ids.as_slice(), cut.tokens()), (&[0, 3, 1, 4, 2, 5][..], 4));
    assert!(Streams::new(text, &TrainOptions { max_tokens: Some(3), ..options }).is_err());
}
