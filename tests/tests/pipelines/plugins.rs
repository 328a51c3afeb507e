//! A library of somebody else's in a pipeline, wired in by its path.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::types::{Float64Type, UInt32Type};
use sha2::{Digest, Sha256};
use txray_tests::{Folder, SmallModel, Table, rust_example, rust_plugin};

/// Two models, read over a text and compared by one metric more.
fn folder(plugin: &str, metric: &str) -> Folder {
    with_library(&rust_plugin(plugin), metric)
}

fn with_library(library: &Path, metric: &str) -> Folder {
    let hash: String = Sha256::digest(std::fs::read(library).unwrap()).iter().map(|b| format!("{b:02X}")).collect();
    let folder = Folder::new();
    let mut model = SmallModel::new(32, 24);
    model.write(&folder.path("early"));
    model.tensor("lstm.weight_ih_l0").2.iter_mut().for_each(|value| *value = value.abs() - 0.5);
    model.write(&folder.path("late"));
    let word = |i: usize| format!("w{}", i * i % 31);
    let lines = (0..40).map(|line| (0..12).map(|i| word(line * 7 + i)).collect::<Vec<_>>().join(" ") + "\n");
    folder.write("text.txt", lines.collect::<String>());
    folder.write(
        "pipeline.toml",
        format!(
            r#"
[plugin.other]
path = {library:?}
sha256 = "{hash}"

[corpus.c]
kind = "text"
test = "text.txt"

[model.early]
path = "early"

[model.late]
path = "late"

[stage.before]
model = "early"
corpus = "c.test"

[stage.after]
model = "late"
corpus = "c.test"

[comparison.learning]
from = "before"
to = "after"
metrics = ["hellinger", {metric}]
"#
        ),
    );
    folder
}

/// Of a stage: by neuron, each token's share of the neuron's mass.
fn shares(folder: &Folder, stage: &str) -> BTreeMap<u32, BTreeMap<String, f64>> {
    let table = Table::read(&folder.path(format!("out/stages/{stage}/preferences.parquet")));
    let (neurons, mass) = (table.numbers::<UInt32Type>("neuron"), table.numbers::<Float64Type>("mass"));
    let mut shares: BTreeMap<u32, BTreeMap<String, f64>> = BTreeMap::new();
    for (row, feature) in table.text("feature").into_iter().enumerate() {
        let neuron = shares.entry(neurons[row].unwrap()).or_default();
        neuron.insert(feature.unwrap().to_owned(), mass[row].unwrap());
    }
    for neuron in shares.values_mut() {
        let whole: f64 = neuron.values().sum();
        neuron.values_mut().for_each(|mass| *mass /= whole);
    }
    shares
}

#[test]
fn its_metric_has_a_column_with_its_distances() {
    let folder = folder("energy", "{ kind = \"energy\", alpha = 1.5 }");
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(ran.stdout.contains("energy"), "{}", ran.stdout);

    let table = Table::read(&folder.path("out/comparisons/learning.parquet"));
    let columns = table.columns();
    let of_metric = |name: &str| columns.iter().filter(|column| column.starts_with(name)).count();
    assert_eq!((of_metric("hellinger"), of_metric("energy")), (11, 11), "{columns:?}");
    let (p, q) = (shares(&folder, "before"), shares(&folder, "after"));
    let mut defined = 0;
    for (neuron, energy) in (0..).zip(table.numbers::<Float64Type>("energy")) {
        let (Some(p), Some(q)) = (p.get(&neuron), q.get(&neuron)) else {
            assert_eq!(energy, None, "neuron {neuron}");
            continue;
        };
        let mut features: Vec<&String> = p.keys().chain(q.keys()).collect();
        features.sort();
        features.dedup();
        let share = |of: &BTreeMap<String, f64>, feature| of.get(feature).copied().unwrap_or(0.0);
        let expected: f64 = features.iter().map(|&f| (share(p, f) - share(q, f)).abs().powf(1.5)).sum();
        let energy = energy.unwrap();
        assert!((energy - expected).abs() < 1e-12, "neuron {neuron}: {energy} against {expected}");
        defined += 1;
    }
    assert!(defined >= 3, "only {defined} neurons are alive in both: the test says little");

    let manifest = std::fs::read_to_string(folder.path("out/manifest.json")).unwrap();
    assert!(manifest.contains("\"energy\""), "the manifest tells the plugin: {manifest}");
}

/// The example of authors: its option is a file, and what it gives depends on that.
#[test]
fn a_metric_that_reads_a_file_is_compared_by_anew_when_the_file_changes() {
    let library = rust_example("wasserstein");
    let folder = with_library(&library, "{ kind = \"wasserstein\", positions = \"positions.tsv\", otherwise = 0.0 }");
    let distances = |position: f64| {
        folder.write("positions.tsv", format!("w1\t{position}\n"));
        folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
        Table::read(&folder.path("out/comparisons/learning.parquet")).numbers::<Float64Type>("wasserstein")
    };
    let (once, twice) = (distances(1.0), distances(2.0));
    let (p, q) = (shares(&folder, "before"), shares(&folder, "after"));
    let share =
        |side: &BTreeMap<_, BTreeMap<String, f64>>, neuron: &u32| side[neuron].get("w1").copied().unwrap_or(0.0);
    let mut moved = 0;
    for (neuron, (once, twice)) in (0..).zip(once.into_iter().zip(twice)) {
        let (Some(once), Some(twice)) = (once, twice) else { continue };
        // All mass but that of one word lies in one place.
        let expected = (share(&p, &neuron) - share(&q, &neuron)).abs();
        assert!(
            (once - expected).abs() < 1e-12 && (twice - 2.0 * expected).abs() < 1e-12,
            "{once} and {twice} of {neuron}"
        );
        moved += usize::from(once > 0.0);
    }
    assert!(moved > 0, "no neuron prefers that word more in one of them: this says nothing");

    let lacking = with_library(&library, "{ kind = \"wasserstein\", positions = \"positions.tsv\" }");
    lacking.write("positions.tsv", "w1\t1\n");
    let said = lacking.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    assert!(said.contains("is not there, and the option `otherwise` not given"), "{said}");
}

#[test]
fn an_option_it_refuses_is_shown_where_it_stands() {
    let here = folder("energy", "{ kind = \"energy\", alpha = -1.0 }");
    let said = here.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    println!("{said}");
    // The caret stands at the value.
    assert!(said.contains("must be above 0, not -1") && said.contains("pipeline.toml:27:52]"), "{said}");
    assert!(!here.path("out").exists());

    let here = folder("energy", "{ kind = \"energy\", alpa = 1.0 }");
    let said = here.txray(["check", "pipeline.toml"]).failed(2);
    assert!(said.contains("unknown key `alpa`") && said.contains("did you mean `alpha`?"), "{said}");
    let here = folder("energy", "\"energie\"");
    let said = here.txray(["check", "pipeline.toml"]).failed(2);
    assert!(said.contains("no metric `energie`") && said.contains("did you mean `energy`?"), "{said}");
}

#[test]
fn a_panic_in_it_is_an_error_that_names_it() {
    for (place, words) in [("call", "is too far"), ("thread", "the thread of the metric fell")] {
        let folder = folder("panics", &format!("{{ kind = \"panics\", in = \"{place}\" }}"));
        let said = folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).failed(1);
        println!("{said}");
        assert!(said.contains(words), "{said}");
        assert!(said.contains("[comparison.learning]") && said.contains("metric `panics`"), "{said}");
        assert_eq!(folder.files("out"), [""; 0], "a run that fails leaves the out directory as it was");
        let kept = folder.txray(["store", "list"]).succeeded().stdout;
        assert!(kept.contains("stage.after") && !kept.contains("comparison."), "what was done is kept: {kept}");
    }
}

#[test]
fn a_panic_when_it_is_made_is_told_before_anything_runs() {
    let folder = folder("panics", "{ kind = \"panics\", in = \"create\" }");
    let said = folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    println!("{said}");
    assert!(said.contains("no thanks: größer") && said.contains("pipeline.toml:27:25]"), "{said}");
    assert!(!folder.path("out").exists());
}
