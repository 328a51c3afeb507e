//! Whether p is what it says, and how far corrected distances are off, on real text:
//!
//! ```text
//! cargo run --release --workspace --example calibration -- RUN EARLY LATE [SPLITS]
//! cargo run --release --workspace --example calibration -- swap MODEL TEXT [SPLITS]
//! ```
//!
//! RUN is what a run left whose stages EARLY and LATE are two models over the same text, with groups. Prints, of splits of the
//! articles of LATE into two sides without any change, the share of neurons with p <= .05, by metric and by how often a neuron
//! fires; the same by documents, which hang together in articles; and of articles drawn from both, how far raw and corrected
//! distances are from those of all.
//!
//! `swap` reads a checkpoint twice over the first articles of a text, with inputs dropped by chance, and prints how often p is <= .05 then:
//! the plugin is `tests/plugins/dropping`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::types::UInt64Type;
use serde_json::json;
use txray_host::Registry;
use txray_method::{
    AsGiven, Design, Evidence, Extent, Metric, Observed, Resampling, Settings, Side, Stage, Testing, Unit, Weighting,
    evidence,
};
use txray_plugin::Host;
use txray_plugin::random::Stream;
use txray_tables::Folder;
use txray_tables::columns::observations;
use txray_tests::dropping;

const LAYER: &str = "token";
const METRICS: [&str; 5] = ["hellinger", "jensen-shannon", "total-variation", "mass-shift", "hellinger-2020"];
/// Those whose affinity can be corrected.
const AFFINE: [&str; 2] = ["hellinger", "jensen-shannon"];
/// Articles of a side.
const UNITS: usize = 60;
const TESTING: Testing = Testing { permutations: 200, most: 200, fdr: 0.05, max_t: false };

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("RUN EARLY LATE [SPLITS]");
    let (run, early, late) = (next(), next(), next());
    let splits: u64 = arguments.next().map_or(200, |splits| splits.parse().unwrap());
    let mut registry = txray_built_in::registry(txray_host::Policy::default()).unwrap();
    let metrics: Vec<Metric> = METRICS
        .iter()
        .map(|kind| {
            let metric = registry.metric(kind, &serde_json::json!({}), &Host::detached()).unwrap();
            Metric { name: (*kind).to_owned(), metric, bounded: true, affine: AFFINE.contains(kind) }
        })
        .collect();
    if run == "swap" {
        registry.load(&dropping(), None).unwrap();
        return swap(&registry, &early, &late, splits, &metrics);
    }
    let [early, late] = [early, late].map(|name| Read::new(&Path::new(&run).join("stages").join(name)));
    println!("{} articles of {} and {}", late.groups.units.len(), LAYER, UNITS);

    println!(
        "\nshare of p <= .05 without change, {splits} splits of articles of one stage, by thirds of how often a neuron fires"
    );
    null(&late, Unit::Group, Weighting::Mass, splits, &metrics);
    println!(
        "\nthe same splits of articles, where documents (their lines) are permuted, which hang together in articles"
    );
    for weighting in [Weighting::Mass, Weighting::Mean] {
        println!("weighting = {weighting:?}");
        null(&late, Unit::Document, weighting, splits.min(20), &metrics[..1]);
    }
    bias(&early, &late, splits, &metrics);
}

struct Read {
    stage: Stage,
    groups: Observed,
    documents: Observed,
    /// By article, which of the documents are its.
    lines: BTreeMap<String, Vec<usize>>,
}

impl Read {
    fn new(folder: &Path) -> Self {
        let folder = Folder(folder);
        let stage = Stage::read(&folder).unwrap();
        let layers = [LAYER.to_owned()];
        let by = |unit| Observed::read(&folder, &stage.neurons.sites, &layers, unit, |_, h| h).unwrap();
        let (groups, documents) = (by(Unit::Group), by(Unit::Document));
        let mut articles = BTreeMap::new();
        for batch in folder.read(&observations::TABLE).unwrap() {
            let batch = batch.unwrap();
            let (group, document) =
                (batch.text(observations::GROUP).unwrap(), batch.numbers::<UInt64Type>(observations::DOC).unwrap());
            (0..batch.len()).for_each(|row| {
                articles.insert(document.value(row).to_string(), group.value(row).to_owned());
            });
        }
        let mut lines = BTreeMap::<String, Vec<usize>>::new();
        for (at, document) in documents.units.iter().enumerate() {
            lines.entry(articles[document].clone()).or_default().push(at);
        }
        Self { stage, groups, documents, lines }
    }
}

fn found(sides: [Side<'_>; 2], metrics: &[Metric], design: Design, seed: u64, test: Option<Testing>) -> Evidence {
    weighted(Weighting::Mass, sides, metrics, design, seed, test)
}

fn weighted(
    weighting: Weighting,
    sides: [Side<'_>; 2],
    metrics: &[Metric],
    design: Design,
    seed: u64,
    test: Option<Testing>,
) -> Evidence {
    let layers = [LAYER.to_owned()];
    let settings = Settings { layers: &layers, weighting: &weighting, min_count: 1, texts_differ: false };
    let resampling = Resampling { design, seed, test, intervals: false, is_one_text: false };
    evidence(sides, &settings, metrics, &resampling, &Host::detached()).unwrap()
}

/// `count` of so many, each once or as often as it comes.
fn draw(of: usize, count: usize, seed: u64, again: bool) -> Vec<usize> {
    let mut random = Stream::new(seed, "calibration", u64::from(again));
    if again {
        return (0..count).map(|_| random.below(of as u32) as usize).collect();
    }
    let mut all: Vec<usize> = (0..of).collect();
    for at in 0..count.min(of) {
        let other = at + random.below((of - at) as u32) as usize;
        all.swap(at, other);
    }
    all.truncate(count);
    all
}

/// Two readings of the same articles by the same checkpoint, which differ in the inputs that were dropped.
fn swap(registry: &Registry, model: &str, text: &str, splits: u64, metrics: &[Metric]) {
    let mut rates = Rates::new(metrics.len());
    for split in 0..splits {
        let read = |seed: u64| {
            let options = json!({ "model": model, "text": text, "seed": seed, "rate": 0.2, "articles": UNITS });
            let mut source = registry.source("dropping", &options, &Host::detached()).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let folder = Folder(folder.path());
            let (stage, _) =
                txray_method::read(&mut *source, &AsGiven, Extent::Whole, &Host::detached(), &folder).unwrap();
            let layers = [LAYER.to_owned()];
            let observed = Observed::read(&folder, &stage.neurons.sites, &layers, Unit::Group, |_, h| h).unwrap();
            (stage, observed)
        };
        let [from, to] = [read(2 * split), read(2 * split + 1)];
        let [a, b] = [&from, &to].map(|(stage, observed)| Side { stage, observed });
        let evidence = found([a, b], metrics, Design::Swap, split, Some(TESTING));
        rates.add(&evidence, split, &thirds(&from.0));
    }
    println!("\nshare of p <= .05 of two readings of {UNITS} articles by one checkpoint, {splits} times");
    rates.print(metrics);
}

/// `[neurons]`: by how often they fire, in which third; none of those that never do.
fn thirds(stage: &Stage) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..stage.neurons.len()).filter(|&n| stage.neurons.count[n] > 0).collect();
    order.sort_by_key(|&neuron| stage.neurons.count[neuron]);
    let mut thirds = vec![None; stage.neurons.len()];
    order.iter().enumerate().for_each(|(at, &neuron)| thirds[neuron] = Some(3 * at / order.len()));
    thirds
}

/// `[metrics][thirds, and all; with ties broken at random][splits]`: shares of p <= .05.
struct Rates(Vec<Vec<Vec<f64>>>);

impl Rates {
    fn new(metrics: usize) -> Self {
        Self(vec![vec![Vec::new(); 5]; metrics])
    }

    fn add(&mut self, evidence: &Evidence, split: u64, thirds: &[Option<usize>]) {
        for (metric, tested) in evidence.layers[0].tested.iter().enumerate() {
            let mut random = Stream::new(split, "ties", metric as u64);
            let (mut small, mut all) = ([0.0; 5], [0.0; 5]);
            for (tested, third) in tested.iter().zip(thirds) {
                let known = tested.and_then(|tested| Some((tested.p?, tested.fall))).zip(*third);
                let Some(((p, fall), third)) = known else { continue };
                let broken = (fall.above as f64 + f64::from(random.uniform()) * (fall.ties + 1) as f64)
                    / (fall.draws + 1) as f64;
                for (at, p) in [(third, p), (3, p), (4, broken)] {
                    small[at] += f64::from(u8::from(p <= 0.05));
                    all[at] += 1.0;
                }
            }
            for at in 0..5 {
                if all[at] > 0.0 {
                    self.0[metric][at].push(small[at] / all[at]);
                }
            }
        }
    }

    fn print(&self, metrics: &[Metric]) {
        println!(
            "{:<16} {:>15} {:>15} {:>15} {:>15} {:>15}",
            "metric", "rare", "middle", "frequent", "all", "ties at random"
        );
        for (metric, rates) in metrics.iter().zip(&self.0) {
            let cells = rates.iter().map(|rates| {
                let (mean, error) = mean_and_error(rates);
                format!("{:>15}", format!("{mean:.4} +- {error:.4}"))
            });
            println!("{:<16} {}", metric.name, cells.collect::<Vec<_>>().join(" "));
        }
    }
}

fn null(read: &Read, unit: Unit, weighting: Weighting, splits: u64, metrics: &[Metric]) {
    let mut rates = Rates::new(metrics.len());
    let thirds = thirds(&read.stage);
    for split in 0..splits {
        let both = draw(read.groups.units.len(), 2 * UNITS, split, false);
        let [from, to] = [&both[..UNITS], &both[UNITS..]].map(|articles| match unit {
            Unit::Group => read.groups.drawn(articles),
            Unit::Document => {
                let lines = articles.iter().filter_map(|&article| read.lines.get(&read.groups.units[article]));
                read.documents.drawn(&lines.flatten().copied().collect::<Vec<_>>())
            }
        });
        let side = |observed| Side { stage: &read.stage, observed };
        let evidence = weighted(weighting, [side(&from), side(&to)], metrics, Design::Pool, split, Some(TESTING));
        rates.add(&evidence, split, &thirds);
    }
    rates.print(metrics);
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

/// Of articles drawn with replacement: all of them are the population, whose distances are known.
fn bias(early: &Read, late: &Read, splits: u64, metrics: &[Metric]) {
    println!("\nhow far distances are off, {UNITS} articles a side drawn from {}", late.groups.units.len());
    println!(
        "{:<16} {:<10} {:>8} {:>8} {:>10} {:>12} {:>12}",
        "metric", "change", "truth", "raw", "corrected", "rank of raw", "of corrected"
    );
    for (change, from) in [("none", late), ("learning", early)] {
        // `[metrics][neurons]`: the truth, and means of raw and corrected ones with how many these are.
        let neurons = late.stage.neurons.len();
        let all =
            [Side { stage: &from.stage, observed: &from.groups }, Side { stage: &late.stage, observed: &late.groups }];
        let truths = found(all, &metrics[..2], Design::Pool, 0, None).layers.swap_remove(0).observed;
        let mut sums = vec![vec![[0.0; 3]; neurons]; 2];
        let mut ranks = vec![[Vec::new(), Vec::new()]; 2];
        for split in 0..splits.min(100) {
            let drawn = [(from, 2 * split), (late, 2 * split + 1)]
                .map(|(of, seed)| of.groups.drawn(&draw(of.groups.units.len(), UNITS, seed, true)));
            let side = |at: usize| Side { stage: [&from.stage, &late.stage][at], observed: &drawn[at] };
            let evidence = found([side(0), side(1)], &metrics[..2], Design::Pool, split, None);
            let of = &evidence.layers[0];
            for metric in 0..2 {
                let mut seen = Vec::new();
                for neuron in 0..neurons {
                    let known = (truths[metric][neuron], of.observed[metric][neuron], of.corrected[metric][neuron]);
                    let (Some(truth), Some(raw), Some(corrected)) = known else { continue };
                    let enough = [from, late].iter().all(|of| of.stage.neurons.count[neuron] >= 2000);
                    if !enough {
                        continue;
                    }
                    let sum = &mut sums[metric][neuron];
                    (sum[0], sum[1], sum[2]) = (sum[0] + raw, sum[1] + corrected.distance, sum[2] + 1.0);
                    seen.push((truth, raw, corrected.distance));
                }
                let rank = |of: &dyn Fn(&(f64, f64, f64)) -> f64| {
                    spearman(&seen.iter().map(|s| s.0).collect::<Vec<_>>(), &seen.iter().map(of).collect::<Vec<_>>())
                };
                ranks[metric][0].push(rank(&|s| s.1));
                ranks[metric][1].push(rank(&|s| s.2));
            }
        }
        for metric in 0..2 {
            type Known = (f64, [f64; 3]);
            let of: Vec<Known> = (0..neurons)
                .filter_map(|n| Some((truths[metric][n]?, sums[metric][n])))
                .filter(|(_, sum)| sum[2] > 0.0)
                .collect();
            let mean = |value: &dyn Fn(&Known) -> f64| of.iter().map(value).sum::<f64>() / of.len() as f64;
            let ranks = ranks[metric].each_ref().map(|of| of.iter().sum::<f64>() / of.len() as f64);
            println!(
                "{:<16} {change:<10} {:>8.3} {:>8.3} {:>10.3} {:>12.3} {:>12.3}",
                METRICS[metric],
                mean(&|of| of.0),
                mean(&|of| of.1[0] / of.1[2]),
                mean(&|of| of.1[1] / of.1[2]),
                ranks[0],
                ranks[1]
            );
        }
    }
}

/// The rank correlation of two columns.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |values: &[f64]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&x, &y| values[x].total_cmp(&values[y]));
        let mut ranks = vec![0.0; values.len()];
        order.iter().enumerate().for_each(|(rank, &at)| ranks[at] = rank as f64);
        ranks
    };
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let of = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    of(&a, &b) / (of(&a, &a) * of(&b, &b)).sqrt()
}
