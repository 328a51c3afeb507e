//! Whether distances are more than chance, as pipelines ask for it.

use arrow_array::types::Float64Type;
use txray_tests::{Folder, SmallModel, Table};

/// Two models, and two texts of groups: the second uses other words.
fn folder() -> Folder {
    let folder = Folder::new();
    for (file, words) in [("one.jsonl", [0, 1, 2, 3]), ("two.jsonl", [3, 2, 3, 3])] {
        let line = |at: usize| {
            let text: Vec<String> = (0..24).map(|i| format!("w{}", words[(i * i + at * i + at) % 4])).collect();
            format!("{{\"text\": \"{}\", \"article\": \"{}\"}}\n", text.join(" "), at / 3)
        };
        folder.write(file, (0..36).map(line).collect::<String>());
    }
    let mut model = SmallModel::new(6, 4);
    model.write(&folder.path("a"));
    model.tensors.iter_mut().for_each(|(_, _, values)| values.reverse());
    model.write(&folder.path("b"));
    folder
}

const PIPELINE: &str = r#"
[corpus.c]
kind = "jsonl"
group = "article"
splits = { one = "one.jsonl", two = "two.jsonl" }

[model.a]
path = "a"

[model.b]
path = "b"

[stage.a-one]
model = "a"
corpus = "c.one"

[stage.a-two]
model = "a"
corpus = "c.two"

[stage.b-one]
model = "b"
corpus = "c.one"

[stage.b-two]
model = "b"
corpus = "c.two"
record = "all"

[comparison.x]
"#;

#[test]
fn both_designs_are_tested_by_groups() {
    let folder = folder();
    for (sides, drawn) in [
        ("from = \"a-one\"\nto = \"a-two\"", "12 and 12 groups pooled 200 times"),
        ("from = \"a-one\"\nto = \"b-one\"", "the readings of 12 groups swapped 200 times"),
    ] {
        let significance = "significance = { permutations = 200, max_t = true }";
        folder.write("pipeline.toml", format!("{PIPELINE}{sides}\n{significance}\n"));
        let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
        assert!(ran.stdout.contains(drawn), "{}", ran.stdout);
        let table = Table::read(&folder.path("out/comparisons/x.parquet"));
        let column = |name: &str| table.numbers::<Float64Type>(name);
        let (p, q) = (column("hellinger_p"), column("hellinger_q"));
        let tested: Vec<usize> = (0..table.len()).filter(|&row| p[row].is_some()).collect();
        assert!(!tested.is_empty(), "{}", ran.stdout);
        for row in tested {
            let (p, q, largest) = (p[row].unwrap(), q[row].unwrap(), column("hellinger_p_max")[row].unwrap());
            assert!(p > 0.0 && p <= q && q <= 1.0 && largest > 0.0 && largest <= 1.0);
            assert!(column("hellinger_null")[row].unwrap() > 0.0);
        }
        // The same again, to the byte: what is drawn depends on the seed alone.
        let bytes = std::fs::read(folder.path("out/comparisons/x.parquet")).unwrap();
        folder.txray(["run", "pipeline.toml", "--out", "again", "--store", "another", "--threads", "1"]).succeeded();
        assert!(bytes == std::fs::read(folder.path("again/comparisons/x.parquet")).unwrap());
    }
}

#[test]
fn what_cannot_be_tested_is_told_where_it_is_asked_for() {
    let folder = folder();
    for (comparison, expected) in [
        ("from = \"a-one\"\nto = \"b-two\"\nsignificance = {}", "the stage `b-two` records `all`"),
        ("from = \"a-two\"\nto = \"b-one\"\nsignificance = {}", "differ in model (`a`, `b`) and in text"),
        ("from = \"a-one\"\nto = \"a-two\"\nsignificance = { design = \"swap\" }", "nothing to swap"),
        ("from = \"a-one\"\nto = \"b-one\"\nsignificance = { design = \"pool\" }", "taken for two texts"),
        ("from = \"a-one\"\nto = \"a-two\"\nsignificance = { permutations = 0 }", "at least one permutation"),
        ("from = \"a-one\"\nto = \"a-two\"\nsignificance = { fdr = 1.0 }", "above 0 and below 1"),
        ("from = \"a-one\"\nto = \"a-two\"\nsignificance = { most = 10 }", "`most` is below `permutations`"),
    ] {
        folder.write("pipeline.toml", format!("{PIPELINE}{comparison}\n"));
        let told = folder.txray(["check", "pipeline.toml"]).failed(2);
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let confounded = "from = \"a-two\"\nto = \"b-one\"\nsignificance = { confounded = true, permutations = 50 }";
    folder.write("pipeline.toml", format!("{PIPELINE}{confounded}\n"));
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(ran.stdout.contains("model and text both differ"), "{}", ran.stdout);
}
