//! What of a text was read is told, and where each token of it stands.

use arrow_array::types::{UInt32Type, UInt64Type};
use serde_json::{Value, json};
use txray_tests::{Folder, SmallModel, Table};

const PIPELINE: &str = r#"
[corpus.c]
kind = "text"
valid = "d.txt"

[model.m]
path = "m"

[stage.s]
model = "m"
corpus = "c.valid"
layers = ["token", "word"]
"#;

/// A model whose byte pairs have no unknown token, and a text.
fn folder(text: &str) -> Folder {
    let folder = Folder::new();
    folder.write("pipeline.toml", PIPELINE);
    folder.write("d.txt", text);
    SmallModel::new(8, 4).write(&folder.path("m"));
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": { "type": "Whitespace" },
        "model": {
            "type": "BPE",
            "unk_token": null,
            "vocab": { "a": 0, "c": 1, "t": 2, "at": 3, "cat": 4 },
            "merges": [["a", "t"], ["c", "at"]],
        },
    });
    folder.write("m/tokenizer.json", tokenizer.to_string());
    folder
}

#[test]
fn what_a_tokenizer_drops_is_counted_and_told() {
    let folder = folder("a cat\nкот сидел\n猫\nat 😀😀\n");
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    let coverage: Value =
        serde_json::from_slice(&std::fs::read(folder.path("out/stages/s/coverage.json")).unwrap()).unwrap();
    for (key, expected) in
        [("tokens", 3), ("documents", 4), ("characters", 17), ("unknown", 0), ("dropped", 11), ("dropped_documents", 2)]
    {
        assert_eq!(coverage[key], expected, "{key} of {coverage}");
    }
    let told = "\ns: nothing is read of 11 of 17 characters (65%), 2 of 4 documents whole\n";
    assert!(ran.stdout.contains(told), "{}", ran.stdout);
    let warning = "warning: [stage.s] reads nothing of 11 of the 17 characters of `c.valid`, 2 of its 4 documents whole: the \
                   tokenizer drops them";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    // What is not made again is told again.
    let again = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(again.stdout.contains(told), "{}", again.stdout);

    folder.write("d.txt", "a cat\nat\n");
    let ran = folder.txray(["run", "pipeline.toml", "--out", "out"]).succeeded();
    assert!(!(ran.stdout + &ran.stderr).contains("nothing is read"));
}

#[test]
fn a_text_of_which_everything_is_dropped_is_an_error() {
    let folder = folder("кот\n猫\n");
    let said = folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).failed(2);
    assert!(said.contains("[stage.s]: the model's vocabulary knows no word of `c.valid`"), "{said}");
}

/// Against the file alone.
#[test]
fn observations_tell_where_their_words_stand_in_the_file() {
    let text = "\u{feff}\ta  cat \r\n\r\n \r\n\u{a0}e\u{301} cat😀cat\0 at\r\nкот cat";
    let folder = folder(text);
    folder.txray(["run", "pipeline.toml", "--out", "out", "-q"]).succeeded();
    let lines: Vec<Vec<char>> =
        text.strip_prefix('\u{feff}').unwrap().split('\n').map(|line| line.chars().collect()).collect();
    let table = Table::read(&folder.path("out/stages/s/observations.parquet"));
    let (docs, rows) = (table.numbers::<UInt64Type>("doc"), table.numbers::<UInt64Type>("line"));
    let (starts, ends) = (table.numbers::<UInt32Type>("start"), table.numbers::<UInt32Type>("end"));
    let (tokens, words) = (table.text("token"), table.text("word"));
    let found: Vec<_> = (0..table.len())
        .map(|row| {
            let (line, start, end) = (rows[row].unwrap(), starts[row].unwrap(), ends[row].unwrap());
            let stands: String = lines[line as usize - 1][start as usize..end as usize].iter().collect();
            assert_eq!(Some(&*stands), tokens[row]);
            (docs[row].unwrap(), line, words[row].unwrap())
        })
        .collect();
    let word = "cat😀cat\0";
    assert_eq!(found, [(0, 1, "a"), (0, 1, "cat"), (1, 4, word), (1, 4, word), (1, 4, "at"), (2, 5, "cat")]);
}
