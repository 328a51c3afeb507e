//! Tables of steps that are read back, from folders that others may have written to.

use std::path::Path;

use txray_method::{Comparison, ComparisonRow, Fate, LeftOut, MethodError, Preferences, load, write};
use txray_plugin::{Fault, Site};
use txray_tables::columns::{comparison, neurons, preferences};
use txray_tables::{Folder as Tables, Table};
use txray_tests::Folder;

use crate::{Outcome, empty, fuzz, put};

fn stage(folder: &Path) {
    let sites = vec![Site { name: "a".into(), width: 3 }, Site { name: "b.cell".into(), width: 2 }];
    let mut read = Preferences::new(sites, &["word", "pos"]);
    (read.tokens, read.documents) = (9, 2);
    for i in 0..40_u32 {
        let (site, activation) = ((i % 2) as usize, (i as f32 - 3.0) / 7.0);
        let neuron = i % if site == 0 { 3 } else { 2 };
        if read.observe(site, neuron, activation) {
            for layer in [0, 1] {
                let feature = read.layers[layer].feature(["the", "cat", "caté", "<unk>"][(i / 3 % 4) as usize]);
                read.prefer(layer, site, neuron, feature, activation);
            }
        }
    }
    write(&read, &Tables(folder)).unwrap();
}

fn compared() -> Comparison {
    let row = |i: u32| ComparisonRow {
        site: 0,
        neuron: i / 2,
        layer: (i % 2) as usize,
        fate: [Fate::Shared, Fate::Lost, Fate::Gained, Fate::Dead][(i / 2 % 4) as usize],
        counts: [u64::from(i), 3],
        lengths: [2, 1],
        union_length: 2,
        distances: vec![(!i.is_multiple_of(3)).then_some(0.25)],
    };
    Comparison {
        sites: vec!["a".into()],
        layers: vec!["word".into(), "pos".into()],
        metrics: vec!["hellinger".into()],
        rows: (0..8).map(row).collect(),
        left_out: vec![LeftOut::default(); 2],
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
                    let _ = (read.fates(), read.summary("x", "y", txray_method::Weighting::default(), 1));
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
            match load(&Tables(&at)) {
                Ok(read) => {
                    let _ = (read.alive(), read.mass(), read.len());
                    empty(&copy);
                    write(&read, &Tables(&copy)).unwrap();
                    let again = load(&Tables(&copy)).map_err(|error| error.to_string()).unwrap();
                    assert_eq!(rows(&again), rows(&read), "tables are what they were read from");
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

fn rows(read: &Preferences) -> Vec<String> {
    read.rows().iter().map(|row| format!("{row:?}")).collect()
}
