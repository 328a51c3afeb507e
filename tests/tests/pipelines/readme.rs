//! What the README shows of a model of one's own, run as it stands there.

use txray_tests::{Folder, blocks, path};

/// What `python train.py` made of it: by PyTorch 2.15, and by `TXRAY_UPDATE=1 cargo test --workspace --test pipelines readme`
/// where Python has PyTorch.
const RECORDED: &str = "reference/own";

const FILES: [&str; 5] =
    ["text.txt", "early/tokenizer.json", "early/pytorch_model.bin", "late/tokenizer.json", "late/pytorch_model.bin"];

/// A text with its numbers masked, its rules cut short, and without the neurons, which other arithmetic may give otherwise.
pub fn structure(text: &str) -> Vec<String> {
    let masked = |word: &str| match (word.contains(|c: char| c.is_ascii_digit()), word.contains('─')) {
        (true, _) => "#".to_owned(),
        (_, true) => "─".to_owned(),
        _ => word.to_owned(),
    };
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("lstm.0.hidden[")).map(str::trim);
    lines.map(|line| line.split_whitespace().map(masked).collect::<Vec<_>>().join(" ")).collect()
}

/// The section of the README.
fn section() -> String {
    let readme = std::fs::read_to_string(path("../README.md")).unwrap();
    readme.split("\n## ").find(|section| section.starts_with("Your own models")).unwrap().to_owned()
}

/// The only block in a language.
pub fn block(markdown: &str, language: &str) -> String {
    let [block] = <[String; 1]>::try_from(blocks(markdown, language)).unwrap();
    block
}

/// What the README's program made once, with its pipeline.
fn recorded() -> Folder {
    let folder = Folder::new();
    for file in FILES {
        folder.write(file, std::fs::read(path(RECORDED).join(file)).unwrap());
    }
    folder.write("pipeline.toml", block(&section(), "toml"));
    folder
}

#[test]
fn a_model_of_ones_own_gives_the_table_that_the_readme_shows() {
    let section = section();
    let shown = section.split("<!-- own -->").nth(1).map(|rest| blocks(rest, "").swap_remove(0)).unwrap();
    let made = Folder::new();
    let is_made = made.python("train.py", &block(&section, "python"));
    if is_made {
        made.write("pipeline.toml", block(&section, "toml"));
        for file in FILES {
            let (made, recorded) = (std::fs::read(made.path(file)).unwrap(), path(RECORDED).join(file));
            if std::env::var_os("TXRAY_UPDATE").is_some() {
                std::fs::create_dir_all(recorded.parent().unwrap()).unwrap();
                std::fs::write(&recorded, &made).unwrap();
            }
            // What is trained depends on the machine, and what it is trained on does not.
            assert!(file.ends_with(".bin") || made == std::fs::read(recorded).unwrap(), "{file} is recorded otherwise");
        }
    }
    for folder in [Some(recorded()), is_made.then_some(made)].into_iter().flatten() {
        let ran = folder.txray(["run", "pipeline.toml"]).succeeded();
        assert_eq!(structure(&ran.stdout), structure(&shown), "{}", ran.stdout);
        assert!(ran.stdout.contains(" lstm.0.hidden["), "{}", ran.stdout);
    }
}

#[test]
fn the_examples_of_the_page_on_checkpoints_run() {
    let page = std::fs::read_to_string(path("../docs/checkpoints.md")).unwrap();
    let folder = recorded();
    let run = ["run", "pipeline.toml", "--out", "out", "--store"];
    let without = folder.txray(run.iter().chain(&["a"])).succeeded();
    assert!(without.stderr.contains("sizes are taken from the tensors"), "{}", without.stderr);
    // The README's model by its config.json: the same, and nothing to say of it.
    for model in ["early", "late"] {
        folder.write(format!("{model}/config.json"), block(&page, "json"));
    }
    let with = folder.txray(run.iter().chain(&["b"])).succeeded();
    assert_eq!(structure(&with.stdout), structure(&without.stdout));
    assert!(!with.stderr.contains("sizes"), "{}", with.stderr);

    if folder.python("mine.py", &block(&page, "python")) {
        folder.write("mine.toml", block(&page, "toml"));
        let ran = folder.txray(["run", "mine.toml"]).succeeded();
        assert!(ran.stdout.contains(" of 20 "), "two sites of five neurons in each of two layers: {}", ran.stdout);
        assert!(!ran.stderr.contains("sizes"), "{}", ran.stderr);
    }
}
