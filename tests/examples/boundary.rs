//! What the plugin boundary costs: the same distances and the same reading, called directly, through the table of a
//! linked plugin, and through that of a loaded library; in turn, medians.
//!
//!     cargo build --release -p txray-cpu
//!     cargo run --release -p txray-tests --example boundary -- target/release

#![allow(clippy::unwrap_used, reason = "a measurement")]

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use txray_host::{Origin, Registry};
use txray_lstm::{Lstm, LstmOptions};
use txray_metrics::Hellinger;
use txray_plugin::random::Stream;
use txray_plugin::{
    Component, EncodeRequest, ExactSum, Host, MetricBatch, Model, NoOptions, PreferenceMetric, SiteRequest, Text,
    Threads,
};

fn main() {
    let libraries = PathBuf::from(std::env::args().nth(1).expect("where the libraries are: target/release"));
    let library = |name: &str| {
        let [prefix, suffix] = [std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX];
        libraries.join(format!("{prefix}{name}{suffix}"))
    };
    // As the program's own host: it knows how many threads there are, and does not ask the system at every call.
    let host = Host::new(&Threads(2));
    let mut linked = Registry::new();
    linked.add(txray_metrics::plugin(), Origin::BuiltIn).unwrap();
    linked.add(txray_lstm::plugin(), Origin::BuiltIn).unwrap();
    let mut loaded = Registry::new();
    loaded.load(&library("txray_cpu"), None).unwrap();

    // As WikiText-2 gives it: 200 neurons, some hundred features each.
    let pairs = Pairs::random(200, 400);
    let direct: Box<dyn PreferenceMetric> = Box::new(Hellinger::create(NoOptions {}, &host).unwrap());
    let metrics = [
        ("direct", direct),
        ("linked", linked.metric("hellinger", &json!({}), &host).unwrap()),
        ("loaded", loaded.metric("hellinger", &json!({}), &host).unwrap()),
    ];
    let mut out = vec![0.0; 200];
    compare("200 distances", 3000, &metrics, |metric| metric.distances(&host, &pairs.batch(), &mut out).unwrap());

    let options = json!({ "embedding": 200, "hidden": 200 });
    let sizes = LstmOptions { embedding: 200, hidden: 200, ..LstmOptions::default() };
    let direct: Box<dyn Model> = Box::new(Lstm::create(sizes, &host).unwrap());
    let mut models = [
        ("direct", direct),
        ("linked", linked.model("lstm", &options, &host).unwrap()),
        ("loaded", loaded.model("lstm", &options, &host).unwrap()),
    ];
    for (_, model) in &mut models {
        model.initialize(&host, 10_000, 1).unwrap();
    }
    let mut random = Stream::new(1, "boundary", 0);
    let ids: Vec<u32> = (0..60_000).map(|_| (random.uniform() * 10_000.0) as u32).collect();
    let offsets: Vec<u64> = (0..=600).map(|d| d * 100).collect();
    compare("60,000 tokens read", 31, &models, |model| {
        let (mut neurons, mut activations) = (vec![0; ids.len()], vec![0.0; ids.len()]);
        let mut moments = [0; 3].map(|_| vec![ExactSum::ZERO; 200]);
        let moments = moments.each_mut().map(|sums| &mut sums[..]);
        let sites = vec![SiteRequest::top(0, 1, (&mut neurons, &mut activations), moments)];
        let text = Text { ids: &ids, offsets: &offsets };
        let encode = model.as_encode().unwrap();
        encode.encode(&host, &mut EncodeRequest { sites, ..EncodeRequest::new(text) }).unwrap();
    });
}

/// Calls each way in turn, and prints its median and that of what it takes more than the first, call by call: so a machine
/// whose speed drifts does not count.
fn compare<T: ?Sized>(what: &str, calls: usize, ways: &[(&str, Box<T>)], mut call: impl FnMut(&T)) {
    let mut times = vec![Vec::new(); ways.len()];
    for round in 0..=calls {
        for (times, (_, way)) in times.iter_mut().zip(ways) {
            let start = Instant::now();
            call(way);
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for (own, (name, _)) in times.iter().zip(ways) {
        let more = median(own.iter().zip(&times[0]).map(|(own, first)| own / first - 1.0).collect());
        println!("{what}, {name}: {:.3} ms ({:+.2} %)", median(own.clone()) * 1e3, more * 100.0);
    }
}

/// The columns of a batch.
struct Pairs {
    offsets: Vec<u64>,
    features: Vec<u32>,
    p: Vec<f64>,
    count: Vec<u64>,
}

impl Pairs {
    fn random(rows: u64, length: u32) -> Self {
        let mut random = Stream::new(1, "pairs", 0);
        let mut p = Vec::new();
        for _ in 0..rows {
            let weights: Vec<f64> = (0..length).map(|_| f64::from(random.uniform())).collect();
            let whole: f64 = weights.iter().sum();
            p.extend(weights.iter().map(|weight| weight / whole));
        }
        Self {
            offsets: (0..=rows).map(|row| row * u64::from(length)).collect(),
            features: (0..rows).flat_map(|_| 0..length).collect(),
            count: vec![1; p.len()],
            p,
        }
    }

    fn batch(&self) -> MetricBatch<'_> {
        MetricBatch {
            offsets: &self.offsets,
            features: &self.features,
            p: &self.p,
            q: &self.p,
            count_p: &self.count,
            count_q: &self.count,
            mass_p: &self.p,
            mass_q: &self.p,
            names: txray_plugin::Strings::new("", &[]).unwrap(),
        }
    }
}
