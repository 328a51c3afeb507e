//! Whether p is what it says, whether a change is found, and how far corrected distances are off, where the truth is known.

use txray_plugin::random::Stream;
use txray_plugin::{MetricBatch, PreferenceMetric, StringTable};

use super::*;
use crate::observations::Layer;
use crate::symbols::Symbols;
use crate::weighting::Weighting;

struct Hellinger;

impl PreferenceMetric for Hellinger {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> txray_plugin::Result<()> {
        for (out, row) in out.iter_mut().zip(batch.rows()) {
            let sum: f64 = row.p.iter().zip(row.q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
            *out = (sum / 2.0).sqrt().min(1.0);
        }
        Ok(())
    }
}

const NEURONS: usize = 12;
const FEATURES: usize = 30;
/// Groups of a side, documents of a group, and observations of a neuron in a document.
const GROUPS: usize = 24;
const DOCUMENTS: usize = 6;
const MET: usize = 4;

/// A text of groups, each with features of its own that its documents share: what hangs together. `changed`: how much of what a neuron
/// fires for is something else.
fn read(text: u64, model: u64, unit: Unit, changed: f32) -> Observed {
    let mut observed = Observed {
        unit,
        units: Vec::new(),
        layers: vec![Layer { name: "token".to_owned(), symbols: Symbols::default() }],
        of: Vec::new(),
        neuron: Vec::new(),
        strength: Vec::new(),
        features: vec![Vec::new()],
    };
    for feature in 0..FEATURES {
        observed.layers[0].symbols.number(&format!("{feature:02}"));
    }
    for group in 0..GROUPS as u64 {
        for document in 0..DOCUMENTS as u64 {
            let unit = match unit {
                Unit::Group => format!("{text}/{group}"),
                Unit::Document => format!("{text}/{group}/{document}"),
            };
            if observed.units.last() != Some(&unit) {
                observed.units.push(unit);
            }
            for neuron in 0..NEURONS {
                let of_group = Stream::new(text, "group", group * 100 + neuron as u64).below(FEATURES as u32);
                let mut random =
                    Stream::new(text ^ model << 32, "tokens", (group * 100 + document) * 100 + neuron as u64);
                for _ in 0..MET {
                    let own = (random.uniform().powi(2) * FEATURES as f32) as u32 + neuron as u32;
                    let feature = if random.uniform() < 0.5 { of_group } else { own % FEATURES as u32 };
                    let feature = if random.uniform() < changed { feature / 2 } else { feature };
                    observed.of.push(observed.units.len() as u32 - 1);
                    observed.neuron.push(neuron as u32);
                    observed.strength.push(0.2 + 0.8 * random.uniform());
                    observed.features[0].push(feature);
                }
            }
        }
    }
    observed
}

fn resampling(design: Design, test: Option<Testing>) -> Resampling {
    Resampling { design, seed: 7, test, intervals: true, is_one_text: false }
}

fn found(design: Design, sides: [&Observed; 2], test: Option<Testing>) -> LayerEvidence {
    let resampling = resampling(design, test);
    let units = Units::new(design, false, sides).unwrap();
    let names: StringTable = (0..FEATURES).map(|feature| format!("{feature:02}")).collect();
    let share = vec![1.0 / FEATURES as f64; FEATURES];
    let numbers: Vec<u32> = (0..FEATURES as u32).collect();
    let cells = Cells::new(&units, sides, Some(([0, 0], [numbers.clone(), numbers])), 1, NEURONS);
    let metrics: [Metric; 1] =
        [Metric { name: "hellinger".to_owned(), metric: Box::new(Hellinger), bounded: true, affine: true }];
    let all: Vec<&Metric> = metrics.iter().collect();
    let host = Host::detached();
    let against = Against { weighting: &Weighting::Mass, share: &share, names: &names, metrics: &all, host: &host };
    layer(&cells, &units, NEURONS, against, &resampling).unwrap()
}

const TESTING: Testing = Testing { permutations: 199, most: 199, fdr: 0.05, max_t: false };

/// The share of p that are at most .05, and its standard error: neurons of one split hang together, and splits do not.
fn rate(splits: u64, design: Design, sides: impl Fn(u64) -> [Observed; 2]) -> (f64, f64) {
    let rates: Vec<f64> = (0..splits)
        .map(|split| {
            let [a, b] = sides(split);
            let tested = &found(design, [&a, &b], Some(TESTING)).tested[0];
            let p: Vec<f64> = tested.iter().flatten().filter_map(|of| of.p).collect();
            assert_eq!(p.len(), NEURONS);
            p.iter().filter(|p| **p <= 0.05).count() as f64 / p.len() as f64
        })
        .collect();
    let mean = rates.iter().sum::<f64>() / splits as f64;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (splits - 1) as f64;
    (mean, (variance / splits as f64).sqrt())
}

#[test]
fn without_change_p_is_as_often_small_as_it_says() {
    let (rate_of, error) =
        rate(60, Design::Pool, |split| [2 * split, 2 * split + 1].map(|text| read(text, 1, Unit::Group, 0.0)));
    assert!((rate_of - 0.05).abs() <= 3.0 * error && error < 0.02, "{rate_of} +- {error}");
    // Two readings of one text, that differ by chance alone.
    let (rate_of, error) = rate(60, Design::Swap, |split| [1, 2].map(|model| read(split, model, Unit::Group, 0.0)));
    assert!((rate_of - 0.05).abs() <= 3.0 * error && error < 0.02, "{rate_of} +- {error}");
}

#[test]
fn documents_of_a_group_are_no_units() {
    let (rate, _) =
        rate(20, Design::Pool, |split| [2 * split, 2 * split + 1].map(|text| read(text, 1, Unit::Document, 0.0)));
    assert!(rate > 0.3, "{rate}");
}

/// At four fifths of what neurons fire for.
#[test]
fn a_change_is_found() {
    for design in [Design::Pool, Design::Swap] {
        let texts = if design == Design::Pool { [1, 2] } else { [1, 1] };
        let (rate, _) = rate(10, design, |split| {
            [read(10 * split + texts[0], 1, Unit::Group, 0.0), read(10 * split + texts[1], 2, Unit::Group, 0.8)]
        });
        assert!(rate >= 0.9, "{design:?}: {rate}");
    }
}

/// Without change the mean of the corrected squares is near 0, where the raw ones are far from it; and with a change it is near what the
/// distributions themselves are apart.
#[test]
fn a_corrected_distance_is_not_biased() {
    let mean = |changed: f32| {
        let (mut corrected, mut raw, mut count) = (0.0, 0.0, 0.0);
        for split in 0..40 {
            let sides = [read(2 * split, 1, Unit::Group, 0.0), read(2 * split + 1, 1, Unit::Group, changed)];
            let of = found(Design::Pool, [&sides[0], &sides[1]], None);
            for one in of.corrected[0].iter().flatten() {
                corrected += one.distance * one.distance.abs();
                count += 1.0;
            }
            raw += of.joint.unwrap().distance.powi(2) * NEURONS as f64;
        }
        (corrected / count, raw / count)
    };
    let (corrected, raw) = mean(0.0);
    assert!(corrected.abs() < 0.01 && raw > 0.05, "{corrected}, raw {raw}");

    // The distributions that are sampled: of groups, in the mean, every feature is as likely.
    let truth = |neuron: usize| {
        let mut p = [0.5 / FEATURES as f64; FEATURES];
        const STEPS: usize = 100_000;
        for step in 0..STEPS {
            let own = (((step as f64 + 0.5) / STEPS as f64).powi(2) * FEATURES as f64) as usize + neuron;
            p[own % FEATURES] += 0.5 / STEPS as f64;
        }
        let mut q = p.map(|p| p * 0.5);
        (0..FEATURES).for_each(|feature| q[feature / 2] += 0.5 * p[feature]);
        1.0 - p.iter().zip(q).map(|(p, q)| (p * q).sqrt()).sum::<f64>()
    };
    let truth: f64 = (0..NEURONS).map(truth).sum::<f64>() / NEURONS as f64;
    let (corrected, _) = mean(0.5);
    assert!((corrected.sqrt() - truth.sqrt()).abs() < 0.1, "{} for {}", corrected.sqrt(), truth.sqrt());
}

/// With the values of `scipy.stats.false_discovery_control`.
#[test]
fn q_is_benjamini_and_hochbergs() {
    let q = q_values(&[Some(0.04), None, Some(0.01), Some(0.03), Some(0.005)]);
    let expected = [Some(0.04), None, Some(0.02), Some(0.04), Some(0.02)];
    for (q, expected) in q.iter().zip(expected) {
        assert_eq!(q.is_some(), expected.is_some());
        assert!((q.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-12, "{q:?}");
    }
}

#[test]
fn the_same_is_drawn_on_any_number_of_threads() {
    let sides = [read(1, 1, Unit::Group, 0.0), read(2, 1, Unit::Group, 0.3)];
    let testing = Testing { most: 1000, max_t: true, ..TESTING };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| found(Design::Pool, [&sides[0], &sides[1]], Some(testing)))
    };
    let (one, three) = (on(1), on(3));
    assert_eq!(format!("{one:?}"), format!("{three:?}"));
    // The largest of all is not smaller than one of them.
    for of in one.tested[0].iter().flatten() {
        assert!(of.p_max.unwrap() >= of.p.unwrap() / 2.0, "{of:?}");
    }
}

/// What is drawn splits the units as they were split, or swaps both readings of one.
#[test]
fn a_draw_keeps_what_is_kept() {
    let (a, b) = (read(1, 1, Unit::Group, 0.0), read(2, 1, Unit::Group, 0.0));
    for (design, sides) in [(Design::Pool, [&a, &b]), (Design::Swap, [&a, &a])] {
        let units = Units::new(design, false, sides).unwrap();
        let mut table = vec![[f64::NAN; units::LANES]; units.len()];
        for draw in 0..50 {
            units.draw(3, draw, &mut table, 2);
            let first: f64 = table.iter().map(|row| row[2]).sum();
            assert_eq!(first, GROUPS as f64);
            assert!(table.iter().all(|row| row[2] + row[3] == 1.0));
            if design == Design::Swap {
                assert!((0..GROUPS).all(|unit| table[unit][2] == table[GROUPS + unit][3]));
            }
        }
        units.halves(3, 0, |row| row != 0, &mut table, 4);
        assert!(table[0][4..8].iter().all(|lane| *lane == 0.0));
        assert!(table[1..].iter().all(|row| row[4..8].iter().sum::<f64>() == 1.0));
    }
}

#[test]
fn stages_of_other_texts_are_not_swapped() {
    let (a, b) = (read(1, 1, Unit::Group, 0.0), read(2, 1, Unit::Group, 0.0));
    let error = Units::new(Design::Swap, false, [&a, &b]).err().unwrap().to_string();
    assert!(error.contains("`1/0` was read by one of them alone"), "{error}");
}

/// Observations of several readings, their units apart.
fn together(parts: &[Observed]) -> Observed {
    let mut all = parts[0].clone();
    for part in &parts[1..] {
        let before = all.units.len() as u32;
        all.units.extend(part.units.iter().cloned());
        all.of.extend(part.of.iter().map(|unit| before + unit));
        all.neuron.extend(&part.neuron);
        all.strength.extend(&part.strength);
        all.features[0].extend(&part.features[0]);
    }
    all
}

/// Of texts whose distances are known from 40 times as much of them.
#[test]
fn intervals_cover_what_is_so() {
    for (design, changed) in [(Design::Pool, 0.3), (Design::Swap, 0.3), (Design::Swap, 0.0)] {
        let sides = |text: u64| {
            let other = if design == Design::Pool { text + 5000 } else { text };
            [read(text, 1, Unit::Group, 0.0), read(other, 2, Unit::Group, changed)]
        };
        let (from, to): (Vec<_>, Vec<_>) = (0..40).map(|text| sides(1000 + text).into()).unzip();
        let truth = found(design, [&together(&from), &together(&to)], None);
        let (mut covered, mut of, mut joint) = (0, 0, 0);
        for split in 0..40 {
            let [a, b] = sides(split);
            let found = found(design, [&a, &b], None);
            let known = truth.corrected[0].iter().zip(&found.corrected[0]);
            for (truth, found) in known.filter_map(|(truth, found)| Some((truth.as_ref()?, found.as_ref()?))) {
                let [low, high] = found.interval.unwrap();
                covered += usize::from((low..=high).contains(&truth.distance));
                of += 1;
            }
            let [truth, found] = [&truth, &found].map(|of| of.joint.unwrap().corrected.unwrap().distance);
            let [low, high] = found.interval.unwrap();
            joint += usize::from((low..=high).contains(&truth.distance));
        }
        println!("{design:?}, {changed} changed: {covered} of {of} neurons covered, {joint} of 40 joint distances");
        assert!(100 * covered >= 88 * of && joint >= 36, "{covered} of {of}, {joint} of 40");
    }
}
