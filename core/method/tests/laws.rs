//! The laws of the method, over everything that can be drawn.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use txray_conformance::method::{record_rule, weighting};
use txray_conformance::strategies::{Neuron, Preference as Plain, Stage as Drawn, activations, stage};
use txray_conformance::{Finding, Settings as Thorough, Verdict};
use txray_method::{
    AsGiven, BySite, Compared, Extent, Keeps, Kept, Met, MethodError, Metric, Observations, Record, RecordRule,
    Settings, Stage, Tally, Weigh, Weighting, compare, merge, read,
};
use txray_plugin::{
    ActivationBatch, ActivationSource, Host, LayerColumn, MetricBatch, PreferenceMetric, Sign, Site, SourceDescription,
};
use txray_tables::Folder;

fn tally(drawn: &Drawn) -> Tally {
    let mut tally = Tally::new(&drawn.description);
    drawn.batches.iter().for_each(|batch| drop(tally.read(batch, &AsGiven).unwrap()));
    tally
}

/// A source of what was drawn.
struct Source(Drawn, usize);

impl ActivationSource for Source {
    fn describe(&self) -> txray_plugin::Result<SourceDescription> {
        Ok(self.0.description.clone())
    }
    fn next(&mut self, _: &Host<'_>) -> txray_plugin::Result<Option<ActivationBatch>> {
        self.1 += 1;
        Ok(self.0.batches.get(self.1 - 1).cloned())
    }
}

/// Hellinger's distance, and the batches that it was given.
struct Hellinger;

impl PreferenceMetric for Hellinger {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> txray_plugin::Result<()> {
        assert!(batch.is_consistent());
        for (out, row) in out.iter_mut().zip(batch.rows()) {
            assert!(row.features.is_sorted_by(|a, b| a < b));
            let sum: f64 = row.p.iter().zip(row.q).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
            *out = (sum / 2.0).sqrt();
        }
        Ok(())
    }
}

fn compared(from: &Stage, to: &Stage, weighting: &dyn Weigh, min_count: u64) -> Compared {
    let layers = ["token".to_owned(), "pos".to_owned()];
    let settings = Settings { layers: &layers, weighting, min_count, texts_differ: false };
    let metrics = [Metric { name: "hellinger".to_owned(), metric: Box::new(Hellinger), bounded: true, affine: false }];
    compare(from, to, &settings, &metrics, &Host::detached()).unwrap()
}

proptest! {
    /// Every column of every table, the means and deviations among them.
    #[test]
    fn merged_shards_in_any_order_have_the_bits_of_one_run(
        (drawn, order) in activations().prop_flat_map(|drawn| {
            let drawn = drawn.all();
            let order: Vec<usize> = (0..drawn.batches.len()).collect();
            (Just(drawn), Just(order).prop_shuffle())
        })
    ) {
        let whole = tally(&drawn).finish();
        let shards = drawn.shards();
        let mut merged = Tally::new(&drawn.description);
        for &shard in &order {
            merged.merge(&tally(&shards[shard])).unwrap();
        }
        prop_assert_eq!(merged.finish(), whole.clone());
        // However the text is cut into windows.
        prop_assert_eq!(tally(&drawn.joined()).finish(), whole);
    }

    #[test]
    fn merging_keeps_the_laws_of_a_monoid(drawn in activations()) {
        let drawn = drawn.all();
        let shards = drawn.shards();
        let [a, b, c] = [0, 1, 2].map(|shard| tally(&shards[shard % shards.len()]));
        let neutral = Tally::new(&drawn.description);
        let merge = |first: &Tally, second: &Tally| {
            let mut first = first.clone();
            first.merge(second).unwrap();
            first
        };
        prop_assert_eq!(merge(&a, &b).finish(), merge(&b, &a).finish());
        prop_assert_eq!(merge(&merge(&a, &b), &c).finish(), merge(&a, &merge(&b, &c)).finish());
        prop_assert_eq!(merge(&a, &neutral).finish(), a.clone().finish());
        prop_assert_eq!(merge(&neutral, &a).finish(), a.finish());
    }

    /// Against adding one after the other, in floats: every neuron is observed at every token.
    #[test]
    fn means_are_those_of_all_tokens(drawn in activations()) {
        let drawn = drawn.all();
        let stage = tally(&drawn).finish();
        let tokens: f64 = drawn.batches.iter().map(|batch| batch.starts.len() as f64).sum();
        prop_assert_eq!(stage.coverage.tokens as f64, tokens);
        let [mean, mean_abs, sd] = stage.neurons.moments.as_ref().unwrap();
        for (index, (site, neuron)) in stage.neurons.places().enumerate() {
            let values: Vec<f64> = drawn.batches.iter().flat_map(|batch| {
                let mine = move |at: &usize| (batch.site[*at] as usize, batch.neuron[*at]) == (site, neuron);
                (0..batch.token.len()).filter(mine).map(|at| f64::from(batch.activation[at]))
            }).collect();
            let of = |f: &dyn Fn(f64) -> f64| values.iter().map(|&h| f(h)).sum::<f64>() / tokens;
            let near = |found: f64, expected: f64, size: f64| (found - expected).abs() <= 1e-9 * size.max(1e-3);
            let size = of(&|h| h * h).sqrt();
            prop_assert!(near(mean[index], of(&|h| h), size));
            prop_assert!(near(mean_abs[index], of(&f64::abs), size));
            // The root of a difference of squares.
            let variance = of(&|h| (h - mean[index]).powi(2));
            prop_assert!((sd[index].powi(2) - variance).abs() <= 1e-9 * size * size, "{} is not {}", sd[index], variance.sqrt());
        }
    }

    /// A batch of a document without tokens brings no moments, and takes none.
    #[test]
    fn a_batch_without_tokens_changes_nothing_but_documents(drawn in activations()) {
        let drawn = drawn.all();
        let mut with_empty = drawn.clone();
        let layers = drawn.batches[0].layers.iter().map(|layer| txray_plugin::LayerColumn { features: Vec::new(), unjoined: 0, ..layer.clone() });
        with_empty.batches.push(ActivationBatch {
            documents: vec![99],
            offsets: vec![0, 0],
            layers: layers.collect(),
            ..ActivationBatch::default()
        });
        let (without, with) = (tally(&drawn).finish(), tally(&with_empty).finish());
        prop_assert_eq!(with.neurons, without.neurons);
        prop_assert_eq!(with.layers, without.layers);
        prop_assert_eq!(with.coverage.documents, without.coverage.documents + 1);
    }

    /// Against counting one after the other, in floats.
    #[test]
    fn preferences_are_what_plain_counting_gives(drawn in activations()) {
        let drawn = drawn.all();
        let stage = tally(&drawn).finish();
        for layer in &stage.layers {
            let mut expected = drawn.preferences(&layer.layer);
            let mut index = 0;
            for (site, of) in stage.neurons.sites.iter().enumerate() {
                for neuron in 0..of.width {
                    let (features, met) = layer.of(index);
                    let expected = expected.remove(&(site as u32, neuron as u32)).unwrap_or_default();
                    let names = features.iter().map(|&feature| layer.features().get(feature as usize).unwrap());
                    prop_assert!(names.clone().eq(expected.keys()), "in the order of names");
                    for (found, expected) in met.iter().zip(expected.values()) {
                        prop_assert_eq!(found.count, expected.count);
                        prop_assert!((found.mass.to_f64() - expected.mass).abs() <= 1e-12 * expected.mass);
                    }
                    index += 1;
                }
            }
            prop_assert!(expected.is_empty());
        }
    }

    /// What is read from the tables is all that there was.
    #[test]
    fn a_stage_is_what_its_tables_hold(drawn in activations(), all: bool) {
        let drawn = if all { drawn.all() } else { drawn.most_active() };
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder(folder.path());
        let (stage, _) = read(&mut Source(drawn.clone(), 0), &AsGiven, Extent::Whole, &Host::detached(), &folder).unwrap();
        prop_assert_eq!(&stage, &tally(&drawn).finish());
        prop_assert_eq!(&Stage::read(&folder).unwrap(), &stage);

        // And so are its observations: preferences are a fold of them.
        let layers: Vec<String> = stage.layers.iter().map(|layer| layer.layer.clone()).collect();
        let (legend, observed) = Observations::read(&folder, &stage.neurons.sites, &layers, |_, _, h| h).unwrap();
        prop_assert_eq!(observed.len(), drawn.batches.iter().map(|batch| batch.token.len()).sum::<usize>());
        let (mut recorded, mut expected) = (Tally::new(&drawn.description), Observations::default());
        for batch in &drawn.batches {
            let of = recorded.read(batch, &AsGiven).unwrap();
            expected.document.extend(of.document);
            expected.line.extend(of.line);
            expected.position.extend(of.position);
            expected.start.extend(of.start);
            expected.end.extend(of.end);
        }
        prop_assert_eq!((&observed.document, &observed.line), (&expected.document, &expected.line));
        prop_assert_eq!(
            (&observed.position, &observed.start, &observed.end),
            (&expected.position, &expected.start, &expected.end)
        );
        let again = Tally::of(legend, &observed).unwrap().finish();
        prop_assert_eq!(&again.layers, &stage.layers);
        prop_assert_eq!(&again.neurons.count, &stage.neurons.count);
    }

    /// Distances, lengths and what `min_count` leaves out, against plain arithmetic over plain counts.
    #[test]
    fn a_comparison_is_plain_arithmetic(
        from in activations(),
        which: u64,
        weighting in prop::sample::select(vec![Weighting::Mass, Weighting::Mean, Weighting::Count]),
        min_count in 1_u64..4,
    ) {
        let (from, to) = (from.clone().all(), from.replaced(which).all());
        let found = compared(&tally(&from).finish(), &tally(&to).finish(), &weighting, min_count);
        for (layer, name) in ["token", "pos"].into_iter().enumerate() {
            let (before, after) = (from.preferences(name), to.preferences(name));
            let (mut left_out, mut of) = ([0.0; 2], [0.0; 2]);
            for row in found.comparison.rows.iter().filter(|row| row.layer == layer) {
                let neuron: Neuron = (row.site as u32, row.neuron);
                let sides = [&before, &after].map(|side| side.get(&neuron).cloned().unwrap_or_default());
                let expected = Expected::of(&sides, weighting, min_count);
                prop_assert_eq!(row.lengths, expected.lengths);
                prop_assert_eq!(row.union_length, expected.union_length);
                prop_assert_eq!(row.distances[0].is_some(), expected.distance.is_some());
                if let (Some(found), Some(expected)) = (row.distances[0], expected.distance) {
                    prop_assert!((found - expected).abs() <= 1e-7, "{} is not {}", found, expected);
                }
                for side in [0, 1] {
                    left_out[side] += expected.left_out[side];
                    of[side] += sides[side].values().map(|p| p.mass).sum::<f64>();
                }
            }
            for side in [0, 1] {
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.max(1.0);
                prop_assert!(near(found.left_out[layer].mass[side], left_out[side]));
                prop_assert!(near(found.left_out[layer].of[side], of[side]));
            }
        }
    }
}

/// What a comparison should say of one neuron.
struct Expected {
    lengths: [u64; 2],
    union_length: u64,
    distance: Option<f64>,
    left_out: [f64; 2],
}

impl Expected {
    fn of(sides: &[BTreeMap<String, Plain>; 2], weighting: Weighting, min_count: u64) -> Self {
        let count = |side: usize, name: &String| sides[side].get(name).map_or(0, |p| p.count);
        let mut names: Vec<&String> = sides.iter().flat_map(BTreeMap::keys).collect();
        names.sort();
        names.dedup();
        let (kept, dropped): (Vec<&String>, Vec<&String>) =
            names.into_iter().partition(|name| count(0, name) + count(1, name) >= min_count);
        let weight = |side: usize, name: &String| match (sides[side].get(name), weighting) {
            (None, _) => 0.0,
            (Some(p), Weighting::Mass) => p.mass,
            (Some(p), Weighting::Mean) => p.mass / p.count as f64,
            (Some(p), Weighting::Count) => p.count as f64,
        };
        let whole = [0, 1].map(|side| kept.iter().map(|name| weight(side, name)).sum::<f64>());
        let affinity = |name: &&String| (weight(0, name) / whole[0] * weight(1, name) / whole[1]).sqrt();
        Self {
            lengths: [0, 1].map(|side| kept.iter().filter(|name| count(side, name) > 0).count() as u64),
            union_length: kept.len() as u64,
            distance: (whole[0] > 0.0 && whole[1] > 0.0)
                .then(|| (1.0 - kept.iter().map(affinity).sum::<f64>()).max(0.0).sqrt()),
            left_out: [0, 1].map(|side| dropped.iter().filter_map(|name| sides[side].get(*name)).map(|p| p.mass).sum()),
        }
    }
}

#[test]
fn stages_of_different_sites_are_not_compared() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&stage(), |drawn| {
            let mut wider = drawn.clone();
            wider.description.sites[0].width += 1;
            wider.batches.iter_mut().for_each(|batch| batch.moments.clear());
            let (from, to) = (tally(&drawn).finish(), tally(&wider).finish());
            let layers = ["token".to_owned()];
            let settings = Settings { layers: &layers, weighting: &Weighting::Mass, min_count: 1, texts_differ: false };
            let error = compare(&from, &to, &settings, &[], &Host::detached()).unwrap_err();
            prop_assert!(matches!(error, MethodError::Sites { .. }), "{}", error);
            let layers = ["lemma".to_owned()];
            let settings = Settings { layers: &layers, ..settings };
            let error = compare(&from, &from, &settings, &[], &Host::detached()).unwrap_err();
            prop_assert!(matches!(error, MethodError::NoLayer { .. }), "{}", error);
            prop_assert!(tally(&drawn).merge(&tally(&wider)).is_err());
            Ok(())
        })
        .unwrap();
}

#[test]
fn sums_beyond_their_limit_are_refused_when_they_are_read_and_when_they_are_merged() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&activations(), |drawn| {
            let drawn = drawn.all();
            let large = |sum: f64| {
                let mut drawn = drawn.clone();
                let batch = drawn.batches.iter_mut().find(|batch| !batch.starts.is_empty()).unwrap();
                batch.moments[0].sum_sq[0] = txray_plugin::ExactSum::of(sum);
                drawn
            };
            let read = |drawn: &Drawn| {
                let mut tally = Tally::new(&drawn.description);
                drawn.batches.iter().try_for_each(|batch| tally.read(batch, &AsGiven).map(drop)).map(|()| tally)
            };
            let half = read(&large(3e18)).unwrap();
            let error = half.clone().merge(&half).unwrap_err();
            prop_assert!(matches!(error, MethodError::TooLarge), "{}", error);
            let mut twice = large(3e18);
            twice.batches.extend(large(3e18).batches);
            prop_assert!(matches!(read(&twice), Err(MethodError::TooLarge)));
            Ok(())
        })
        .unwrap();
}

proptest! {
    /// A stage that is read in parts and merged is the stage, in every byte of every table, however it is cut.
    #[test]
    fn parts_merge_to_the_bytes_of_the_whole(
        drawn in activations(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        keeps in prop::sample::select(vec![Keeps::Max1, Keeps::Threshold { above: 0.25 }, Keeps::All]),
        sign in prop::sample::select(vec![Sign::Positive, Sign::Negative, Sign::Absolute]),
    ) {
        let stage = drawn.all();
        let rule = Record { keeps, sign };
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let read_into = |path: &std::path::Path, batches: &[ActivationBatch], extent| {
            let part = Drawn { description: stage.description.clone(), batches: batches.to_vec() };
            read(&mut Source(part, 0), &rule, extent, &Host::detached(), &Folder(path)).unwrap();
        };
        let whole = make("whole");
        read_into(&whole, &stage.batches, Extent::Whole);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stage.batches.len() + 1)).collect();
        cuts.extend([0, stage.batches.len()]);
        cuts.sort_unstable();
        let parts: Vec<_> = cuts
            .windows(2)
            .enumerate()
            .map(|(number, at)| {
                let part = make(&format!("part {number}"));
                read_into(&part, &stage.batches[at[0]..at[1]], Extent::Part);
                part
            })
            .collect();
        let merged = make("merged");
        let folders: Vec<Folder<'_>> = parts.iter().map(|part| Folder(part)).collect();
        merge(&folders, &Host::detached(), &Folder(&merged)).unwrap();
        for entry in std::fs::read_dir(&whole).unwrap() {
            let name = entry.unwrap().file_name();
            let bytes = [&whole, &merged].map(|of| std::fs::read(of.join(&name)).unwrap());
            prop_assert!(bytes[0] == bytes[1], "{:?}", name);
        }
    }
}

/// A batch that has every activation, as one whose sites come whole.
fn whole(description: &SourceDescription, batch: &ActivationBatch) -> ActivationBatch {
    let tokens = batch.starts.len();
    let mut whole: Vec<Vec<f32>> = description.sites.iter().map(|site| vec![f32::NAN; tokens * site.width]).collect();
    for at in 0..batch.token.len() {
        let site = batch.site[at] as usize;
        let place = batch.token[at] as usize * description.sites[site].width + batch.neuron[at] as usize;
        whole[site][place] = batch.activation[at];
    }
    let (none, activation) = (Vec::new(), Vec::new());
    ActivationBatch { whole, token: none.clone(), site: none.clone(), neuron: none, activation, ..batch.clone() }
}

/// Sites that come whole are held to their rules, and a rule that takes activations one by one is not given none.
#[test]
fn a_site_that_comes_whole_is_every_activation_of_numbers() {
    let sites = vec![Site { name: "s".to_owned(), width: 2 }];
    let description = SourceDescription { sites, layers: vec!["token".to_owned()] };
    let names = Arc::new(["a", "b"].into_iter().collect());
    let layer = LayerColumn { name: "token".to_owned(), features: vec![0, 1, 0], names, unjoined: 0 };
    // What is beyond the room of a fast sum, and what is far below it.
    let large = (1_u32 << 27) as f32;
    let batch = ActivationBatch {
        documents: vec![0, 7],
        offsets: vec![0, 2, 3],
        starts: vec![0, 2, 0],
        ends: vec![1, 3, 1],
        layers: vec![layer],
        whole: vec![vec![large, 1.0, -2.0, 0.0, 0.25, 3.0]],
        ..ActivationBatch::default()
    };
    let all = Record { keeps: Keeps::All, sign: Sign::Positive };
    let read = |batch: &ActivationBatch, rule: &dyn RecordRule| {
        let mut tally = Tally::new(&description);
        tally.read(batch, rule).map(|_| tally.finish())
    };
    let stage = read(&batch, &all).unwrap();
    assert_eq!((&stage.neurons.count, stage.coverage.not_positive), (&vec![2, 2], 2));
    assert_eq!(stage.neurons.mass, [f64::from(large) + 0.25, 4.0]);

    let refused = |change: &dyn Fn(&mut ActivationBatch), rule: &dyn RecordRule| {
        let mut batch = batch.clone();
        change(&mut batch);
        read(&batch, rule).unwrap_err().to_string()
    };
    let no_number = refused(&|batch| batch.whole[0][5] = f32::NAN, &all);
    assert!(no_number.contains("document 7") && no_number.contains("NaN"), "{no_number}");
    let short = refused(&|batch| batch.whole[0].truncate(5), &all);
    assert!(short.contains("there are 5 activations of site `s` for 6 tokens and neurons"), "{short}");
    let twice = |batch: &mut ActivationBatch| {
        (batch.token, batch.site, batch.neuron, batch.activation) = (vec![0], vec![0], vec![0], vec![1.0]);
    };
    assert!(refused(&twice, &all).contains("whole, and one by one"));
    assert!(refused(&|_| {}, &Record::default()).contains("takes it one by one"));
}

/// What a rule keeps one by one, whatever another counts in bulk.
struct OneByOne(Record);

impl RecordRule for OneByOne {
    fn record(&self, site: usize, neurons: &[u32], activations: &[f32], kept: &mut Vec<Kept>) {
        self.0.record(site, neurons, activations, kept);
    }
}

proptest! {
    /// To count every activation in bulk is to count each by itself, in one tally and in merged ones; no observation is kept.
    #[test]
    fn what_is_counted_in_bulk_is_what_is_counted_one_by_one(
        drawn in activations(),
        sign in prop::sample::select(vec![Sign::Positive, Sign::Negative, Sign::Absolute]),
    ) {
        let stage = drawn.all();
        let all = Record { keeps: Keeps::All, sign };
        let mut one_by_one = Tally::new(&stage.description);
        let (mut bulk, mut merged) = (one_by_one.clone(), one_by_one.clone());
        for batch in &stage.batches {
            one_by_one.read(batch, &OneByOne(all)).unwrap();
            prop_assert!(bulk.read(batch, &all).unwrap().is_empty());
            let mut shard = Tally::new(&stage.description);
            shard.read(batch, &all).unwrap();
            merged.merge(&shard).unwrap();
        }
        let mut came_whole = Tally::new(&stage.description);
        for batch in &stage.batches {
            came_whole.read(&whole(&stage.description, batch), &all).unwrap();
        }
        let expected = one_by_one.finish();
        prop_assert_eq!(&came_whole.finish(), &expected);
        prop_assert_eq!(&bulk.finish(), &expected);
        prop_assert_eq!(&merged.finish(), &expected);
    }

    /// At one site in bulk and at another by its own rule.
    #[test]
    fn sites_are_recorded_each_by_its_rule(drawn in activations(), which in any::<prop::sample::Index>()) {
        let stage = drawn.all();
        let sites = stage.description.sites.len();
        let bulk = which.index(sites);
        let mut rules = vec![Record::default(); sites];
        rules[bulk].keeps = Keeps::All;
        let (mut mixed, mut one_by_one, mut strongest) =
            (Tally::new(&stage.description), Tally::new(&stage.description), Tally::new(&stage.description));
        for batch in &stage.batches {
            let kept = mixed.read(batch, &BySite(rules.clone())).unwrap();
            prop_assert!(kept.site.iter().all(|&site| site as usize != bulk));
            one_by_one.read(batch, &OneByOne(rules[bulk])).unwrap();
            strongest.read(batch, &Record::default()).unwrap();
        }
        let (mixed, one_by_one, strongest) = (mixed.finish(), one_by_one.finish(), strongest.finish());
        for (neuron, (site, _)) in mixed.neurons.places().enumerate() {
            let like = if site == bulk { &one_by_one } else { &strongest };
            prop_assert_eq!(mixed.neurons.count[neuron], like.neurons.count[neuron]);
            prop_assert_eq!(mixed.neurons.mass[neuron].to_bits(), like.neurons.mass[neuron].to_bits());
            for (mine, theirs) in mixed.layers.iter().zip(&like.layers) {
                prop_assert_eq!(mine.of(neuron).1, theirs.of(neuron).1);
            }
        }
    }
}

#[test]
fn rules_keep_the_strongest_by_their_sign() {
    let kept = |keeps, sign| {
        let mut kept = Vec::new();
        Record { keeps, sign }.record(0, &[4, 3, 2, 1], &[-0.9, 0.5, 0.5, -0.1], &mut kept);
        kept.iter().map(|kept| (kept.candidate, kept.strength)).collect::<Vec<_>>()
    };
    let two = Keeps::TopK { k: NonZeroU32::new(2).unwrap() };
    assert_eq!(kept(Keeps::Max1, Sign::Positive), [(2, 0.5)], "the lower neuron on a tie");
    assert_eq!(kept(Keeps::Max1, Sign::Negative), [(0, 0.9)]);
    assert_eq!(kept(two, Sign::Positive), [(2, 0.5), (1, 0.5)]);
    assert_eq!(kept(two, Sign::Negative), [(0, 0.9), (3, 0.1)]);
    assert_eq!(kept(two, Sign::Absolute), [(0, 0.9), (2, 0.5)]);
    assert_eq!(kept(Keeps::Threshold { above: 0.5 }, Sign::Positive), []);
    assert_eq!(kept(Keeps::Threshold { above: 0.4 }, Sign::Absolute), [(0, 0.9), (1, 0.5), (2, 0.5)]);
    assert_eq!(kept(Keeps::All, Sign::Negative), [(0, 0.9), (1, -0.5), (2, -0.5), (3, 0.1)]);
}

/// Laws that are broken, by their names.
fn broken(findings: &[Finding]) -> Vec<&str> {
    let broken = |finding: &&Finding| finding.verdict != Verdict::Passed;
    findings.iter().filter(broken).map(|finding| finding.property.as_str()).collect()
}

#[test]
fn what_the_method_has_keeps_the_laws() {
    for of in [Weighting::Mass, Weighting::Mean, Weighting::Count] {
        let findings = weighting(&of, Thorough::default());
        assert!(broken(&findings).is_empty(), "{findings:?}");
    }
    // The last listens to what is below 0.
    let least: Rule = |n, a| {
        let order = |&i: &usize, &j: &usize| a[i].total_cmp(&a[j]).then(n[i].cmp(&n[j]));
        let least = (0..a.len()).min_by(order).unwrap_or(0);
        vec![Kept { candidate: least, strength: -a[least] }]
    };
    let mut rules: Vec<Box<dyn Fn() -> Box<dyn RecordRule>>> =
        vec![Box::new(|| Box::new(AsGiven)), Box::new(move || Box::new(Plainly(least)))];
    for sign in [Sign::Positive, Sign::Negative, Sign::Absolute] {
        for keeps in [Keeps::Max1, Keeps::TopK { k: NonZeroU32::new(2).unwrap() }] {
            rules.push(Box::new(move || Box::new(Record { keeps, sign })));
        }
    }
    for make in rules {
        let findings = record_rule(&|_| make(), Thorough::default());
        assert!(broken(&findings).is_empty(), "{findings:?}");
    }
}

struct By<F>(F);

impl<F: Fn(&Met) -> f64 + Sync> Weigh for By<F> {
    fn weight(&self, met: &Met) -> f64 {
        (self.0)(met)
    }
}

/// Each law is broken by something.
#[test]
fn a_weighting_that_breaks_a_law_is_found_out() {
    let calls = AtomicU32::new(0);
    let changing = By(|met: &Met| met.count as f64 + f64::from(calls.fetch_add(1, Ordering::Relaxed)));
    let rare_alone = By(|met: &Met| if met.count < 2 { 1.0 } else { 0.0 });
    let logarithm = By(|met: &Met| met.mass.ln_1p());
    let negative = By(|met: &Met| met.mass - 1.0);
    let common_alone = By(|met: &Met| if met.share > 0.4 { 1.0 } else { 1e-200 });
    for (of, law) in [
        (&changing as &dyn Weigh, "weighs merged shards as it weighs the whole"),
        (&changing, "does not depend on how neurons are numbered"),
        (&rare_alone, "gives a distribution to every neuron that prefers something"),
        (&logarithm, "does not depend on the scale of activations"),
        (&negative, "gives a distribution to every neuron that prefers something"),
        (&changing, "does not depend on how features are numbered"),
        (&common_alone, "sees what was planted, and nothing else"),
    ] {
        let findings = weighting(of, Thorough::default());
        assert!(broken(&findings).contains(&law), "{law}: {:?}", broken(&findings));
    }
}

type Rule = fn(&[u32], &[f32]) -> Vec<Kept>;

struct Plainly(Rule);

impl RecordRule for Plainly {
    fn record(&self, _: usize, neurons: &[u32], activations: &[f32], kept: &mut Vec<Kept>) {
        kept.extend((self.0)(neurons, activations));
    }
}

#[test]
fn a_record_rule_that_breaks_a_law_is_found_out() {
    fn one(candidate: usize, strength: f32) -> Vec<Kept> {
        vec![Kept { candidate, strength }]
    }
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let rules: [(Rule, &str); 12] = [
        (
            |_, a| one((0..a.len()).fold(0, |best, i| if a[i] > a[best] { i } else { best }), 1.0),
            "breaks ties alike in whatever order neurons are given, and takes what is 0",
        ),
        (|_, a| one(0, 1.0 / a[0]), "breaks ties alike in whatever order neurons are given, and takes what is 0"),
        (|_, _| Vec::new(), "hears a neuron that speaks once"),
        (|_, a| one(0, -a[0].abs()), "hears a neuron that speaks once"),
        (
            |_, a| (0..a.len()).map(|candidate| Kept { candidate, strength: a[candidate] - 0.5 }).collect(),
            "does not depend on the scale of activations",
        ),
        (|_, a| one(a.len(), 1.0), "keeps what it is given, each once, and for as much as is a number"),
        (
            |_, a| [one(0, a[0]), one(0, a[0])].concat(),
            "keeps what it is given, each once, and for as much as is a number",
        ),
        (|_, _| one(0, f32::NAN), "keeps what it is given, each once, and for as much as is a number"),
        (
            |_, a| if CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) { one(0, a[0]) } else { Vec::new() },
            "counts merged shards as it counts the whole",
        ),
        (|_, a| one(0, a[0]), "does not depend on the order in which neurons are given"),
        (
            |n, a| one((0..n.len()).min_by_key(|&i| n[i]).unwrap_or(0), a[0].abs()),
            "does not depend on how neurons are numbered",
        ),
        (
            |_, a| {
                (0..a.len())
                    .filter(|&i| a[i] > 0.5)
                    .map(|candidate| Kept { candidate, strength: a[candidate] })
                    .collect()
            },
            "does not depend on the scale of activations",
        ),
    ];
    for (rule, law) in rules {
        let findings = record_rule(&|_| Box::new(Plainly(rule)), Thorough::default());
        assert!(broken(&findings).contains(&law), "{law}: {:?}", broken(&findings));
    }
}
