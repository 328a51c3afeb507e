//! Stages that have little to compare, or nothing; and metrics that give what is no distance.

use arrow_array::types::Float64Type;
use txray_tests::{Folder, Table, rust_plugin};

/// Recorded observations of so many documents, each in an article of its own or all in one: `fires` says of each document and token
/// which neuron fires how much.
fn recorded(
    documents: std::ops::Range<u32>,
    group: impl Fn(u32) -> u32,
    fires: impl Fn(u32, u32) -> (u32, f32),
) -> String {
    let mut rows = String::from("doc\tgroup\tposition\tneuron\tactivation\ttoken\n");
    for document in documents {
        for position in 0..30 {
            let (neuron, activation) = fires(document, position);
            let token = (document * 7 + position * position) % 11;
            rows += &format!("{document}\tg{}\t{position}\t{neuron}\t{activation}\tw{token}\n", group(document));
        }
    }
    rows
}

fn pipeline(keys: &str) -> String {
    let stage = |name: &str| {
        format!("[stage.{name}]\nsource = {{ kind = \"observations\", path = \"{name}.tsv\", width = 4 }}\n")
    };
    format!("{}{}[comparison.x]\nfrom = \"a\"\nto = \"b\"\n{keys}\n", stage("a"), stage("b"))
}

fn folder(a: &str, b: &str, keys: &str) -> Folder {
    let folder = Folder::new();
    folder.write("a.tsv", a);
    folder.write("b.tsv", b);
    folder.write("pipeline.toml", pipeline(keys));
    folder
}

const TESTED: &str = "significance = { design = \"swap\", permutations = 40 }";

#[test]
fn stages_with_nothing_to_compare_are_told_without_a_distance() {
    let low = recorded(0..12, |document| document, |document, _| (document % 2, 0.5));
    let high = recorded(0..12, |document| document, |document, _| (2 + document % 2, 0.5));
    let dead = recorded(0..12, |document| document, |_, _| (0, -0.5));
    for (a, b, fates) in [
        (&low, &high, "0      2        2      0"),
        (&low, &dead, "0      2        0      2"),
        (&dead, &dead, "0      0        0      4"),
    ] {
        for keys in ["", TESTED] {
            let folder = folder(a, b, keys);
            let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
            assert!(ran.stdout.contains(fates), "{fates}: {}", ran.stdout);
            let table = Table::read(&folder.path("out/comparisons/x.parquet"));
            for column in ["hellinger", "hellinger_corrected", "hellinger_p"] {
                assert!(table.numbers::<Float64Type>(column).iter().all(Option::is_none), "{column}");
            }
            // What is undefined is null, and not 1.
            let summary = std::fs::read_to_string(folder.path("out/comparisons/x.json")).unwrap();
            let is_told = keys == TESTED && a != &dead && b != &dead;
            assert_eq!(summary.contains("\"joint\""), is_told, "{summary}");
            for no_number in ["NaN", "inf"] {
                assert!(!ran.stdout.contains(no_number), "{}", ran.stdout);
            }
        }
    }
}

#[test]
fn of_one_group_nothing_can_be_tested() {
    let one = |by: u32| recorded(0..12, |_| 0, move |document, position| ((document + position / by) % 4, 0.5));
    let folder = folder(&one(2), &one(3), TESTED);
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let table = Table::read(&folder.path("out/comparisons/x.parquet"));
    assert!(table.numbers::<Float64Type>("hellinger").iter().all(Option::is_some));
    for column in ["hellinger_p", "hellinger_q", "hellinger_corrected", "count_p"] {
        assert!(table.numbers::<Float64Type>(column).iter().all(Option::is_none), "{column}: {}", ran.stdout);
    }
}

/// One document that is in no group beside others that are in some is a group of its own.
#[test]
fn a_document_in_no_group_is_one_of_its_own() {
    let by = |shift: u32| {
        recorded(0..24, |document| document / 2, move |document, position| ((document + position * shift) % 4, 0.5))
    };
    let alone = |table: String| table.replace("\tg0\t", "\t\t");
    let folder = folder(&alone(by(1)), &alone(by(3)), TESTED);
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let summary = std::fs::read_to_string(folder.path("out/comparisons/x.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let evidence = &summary["evidence"];
    assert_eq!((&evidence["unit"], &evidence["units"]), (&"group".into(), &serde_json::json!([13, 13])), "{evidence}");
    assert!(!ran.stderr.contains("they are in no groups"), "{}", ran.stderr);
}

#[test]
fn texts_that_are_said_to_be_the_same_and_are_not() {
    let a = recorded(0..12, |document| document, |document, position| ((document + position) % 4, 0.5));
    let b = recorded(3..15, |document| document, |document, position| ((document + position) % 4, 0.5));
    let folder = folder(&a, &b, TESTED);
    let told = folder.txray(["run", "pipeline.toml", "--out", "out"]).failed(2);
    for part in ["[comparison.x]", "said to have read the same text", "`g0` was read by one of them alone"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_metric_that_breaks_its_claim_is_told_with_its_neuron() {
    let a = recorded(0..12, |document| document, |document, position| ((document + position) % 2, 0.5));
    let b = recorded(0..12, |document| document, |_, position| (position % 2, 0.5));
    let broken = rust_plugin("broken");
    for (metric, expected) in [
        ("unbounded", "claims to be `bounded`, from 0 to 1"),
        ("no-number", "`no-number` gives no distance at all in `token`: it is NaN for all 2 neurons"),
    ] {
        let folder = folder(
            &a,
            &b.replace("\tw3\n", "\tother\n")
                .replace("\tw0\n", "\tthird\n")
                .replace("\tw5\n", "\tfifth\n")
                .replace("\tw1\n", "\tx\n")
                .replace("\tw4\n", "\ty\n")
                .replace("\tw9\n", "\tz\n"),
            &format!("metrics = [\"{metric}\"]"),
        );
        let keys = std::fs::read_to_string(folder.path("pipeline.toml")).unwrap();
        folder.write("pipeline.toml", format!("[plugin.broken]\npath = {broken:?}\n{keys}"));
        let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]);
        let told = if metric == "unbounded" { ran.failed(1) } else { ran.succeeded().stderr };
        assert!(told.contains(expected) && told.contains(metric), "{expected}: {told}");
        assert!(metric == "no-number" || told.contains("neuron 0"), "{told}");
    }
}
