//! Tables of steps that are read back, from folders that others may have written to.

use std::path::Path;
use std::sync::Arc;

use txray_method::{
    AsGiven, Comparison, ComparisonRow, Fate, MethodError, Settings, Stage, Tally, Weighting, Worth, compare,
};
use txray_plugin::{ActivationBatch, Fault, Host, LayerColumn, NULL, Site, SourceDescription, StringTable};
use txray_tables::columns::{comparison, neurons, preferences};
use txray_tables::{Folder as Tables, Table};
use txray_tests::Folder;

use crate::{Outcome, empty, fuzz, put};

fn stage(folder: &Path) {
    let sites = vec![Site { name: "a".into(), width: 3 }, Site { name: "b.cell".into(), width: 2 }];
    let names: Arc<StringTable> = Arc::new(["the", "cat", "caté", "<unk>"].into_iter().collect());
    let layer = |name: &str| LayerColumn {
        name: name.to_owned(),
        features: (0..40).map(|i| i / 3 % 4).collect(),
        names: Arc::clone(&names),
        unjoined: 1,
    };
    let batch = ActivationBatch {
        documents: vec![0, 1],
        offsets: vec![0, 9, 40],
        starts: vec![NULL; 40],
        ends: vec![NULL; 40],
        layers: vec![layer("word"), layer("pos")],
        token: (0..40).collect(),
        site: (0..40).map(|i| i % 2).collect(),
        neuron: (0..40).map(|i| i % if i % 2 == 0 { 3 } else { 2 }).collect(),
        activation: (0..40_u8).map(|i| (f32::from(i) - 3.0) / 7.0).collect(),
        ..ActivationBatch::default()
    };
    let mut tally = Tally::new(&SourceDescription { sites, layers: vec!["word".into(), "pos".into()] });
    tally.read(&batch, &AsGiven).unwrap();
    tally.finish().write(&Tables(folder)).unwrap();
}

fn compared() -> Comparison {
    let row = |i: u32| ComparisonRow {
        site: 0,
        neuron: i / 2,
        neuron_to: (!i.is_multiple_of(5)).then_some(i),
        layer: (i % 2) as usize,
        fate: [Fate::Shared, Fate::Lost, Fate::Gained, Fate::Dead][(i / 2 % 4) as usize],
        counts: [u64::from(i), 3],
        lengths: [2, 1],
        union_length: 2,
        distances: vec![(!i.is_multiple_of(3)).then_some(0.25)],
        rarefied: [Some(1.5), None],
        hill: [[Some(1.0), None], [None, Some(2.0)]],
        fate_tested: i.is_multiple_of(2).then_some(Fate::Rare),
        count_p: Some(0.5),
        count_q: None,
        worth: vec![Worth { p: Some(0.25), ..Worth::default() }],
    };
    Comparison {
        sites: vec!["a".into()],
        layers: vec!["word".into(), "pos".into()],
        metrics: vec!["hellinger".into()],
        rows: (0..8).map(row).collect(),
    }
}

/// A file that is not ours is its owner's affair, and named.
fn mendable(error: &MethodError) {
    assert_eq!(error.fault(), Fault::Invalid, "{error}");
    let message = error.to_string();
    assert!(message.contains(".parquet") || message.contains("coverage.json"), "{message}");
}

#[test]
fn tables() {
    let folder = Folder::new();
    let (at, copy) = (folder.path("at"), folder.path("copy"));
    let metrics = ["hellinger".to_owned()];
    empty(&at);
    stage(&at);
    compared().write(&Tables(&at)).unwrap();
    let file = |table: Table| table.file();
    let files = [file(preferences::TABLE), file(neurons::TABLE), "coverage.json".to_owned(), file(comparison::TABLE)];
    let kept: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(at.join(file)).unwrap()).collect();
    let words = ["PAR1", "site", "neuron", "mass_hi", "\u{15}", "\u{2c}", "\u{19}", "snappy"];
    fuzz("tables", kept.clone(), &words, move |input, which| {
        let _ = &folder;
        put(&at.join(&files[which]), input);
        let outcome = if which == 3 {
            match Comparison::read(&Tables(&at), &metrics) {
                Ok(read) => {
                    let _ = read.fates();
                    empty(&copy);
                    read.write(&Tables(&copy)).unwrap();
                    let again = Comparison::read(&Tables(&copy), &metrics).unwrap();
                    assert_eq!(format!("{:?}", again.rows), format!("{:?}", read.rows));
                    Outcome::Read
                }
                Err(error) => {
                    mendable(&error);
                    Outcome::Refused
                }
            }
        } else {
            match Stage::read(&Tables(&at)) {
                Ok(read) => {
                    let _ = (read.neurons.alive(), read.rows());
                    empty(&copy);
                    read.write(&Tables(&copy)).unwrap();
                    let again = Stage::read(&Tables(&copy)).map_err(|error| error.to_string()).unwrap();
                    // As text, where NaN is NaN.
                    assert_eq!(format!("{again:?}"), format!("{read:?}"), "tables are what they were read from");
                    let layers: Vec<String> = read.layers.iter().map(|layer| layer.layer.clone()).collect();
                    let settings =
                        Settings { layers: &layers, weighting: &Weighting::Mass, min_count: 2, texts_differ: true };
                    compare(&read, &read, &settings, &[], &Host::detached()).unwrap();
                    Outcome::Read
                }
                Err(error) => {
                    mendable(&error);
                    Outcome::Refused
                }
            }
        };
        put(&at.join(&files[which]), &kept[which]);
        outcome
    });
}
