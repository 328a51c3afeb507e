//! What the README shows of a model of one's own, run as it stands there.

use txray_tests::{Folder, blocks, path};

/// What `python train.py` made of it: by PyTorch 2.15, and by `TXRAY_UPDATE=1 cargo test --workspace --test pipelines readme`
/// where Python has PyTorch.
const RECORDED: &str = "reference/own";

/// A text with its numbers masked, its rules cut short, and without the neurons, which other arithmetic may give otherwise.
fn structure(text: &str) -> Vec<String> {
    let masked = |word: &str| match (word.contains(|c: char| c.is_ascii_digit()), word.contains('─')) {
        (true, _) => "#".to_owned(),
        (_, true) => "─".to_owned(),
        _ => word.to_owned(),
    };
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("lstm.0.hidden[")).map(str::trim);
    lines.map(|line| line.split_whitespace().map(masked).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_model_of_ones_own_gives_the_table_that_the_readme_shows() {
    let readme = std::fs::read_to_string(path("../README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("Your own models")).unwrap();
    let [python] = &*blocks(section, "python") else { panic!("one program") };
    let [pipeline] = &*blocks(section, "toml") else { panic!("one pipeline") };
    let shown = section.split("<!-- own -->").nth(1).map(|rest| blocks(rest, "").swap_remove(0)).unwrap();
    let [recorded, made] = [Folder::new(), Folder::new()];

    let files = [
        "text.txt",
        "early/tokenizer.json",
        "early/pytorch_model.bin",
        "late/tokenizer.json",
        "late/pytorch_model.bin",
    ];
    if made.python("train.py", python) {
        for file in files {
            let (made, recorded) = (std::fs::read(made.path(file)).unwrap(), path(RECORDED).join(file));
            if std::env::var_os("TXRAY_UPDATE").is_some() {
                std::fs::create_dir_all(recorded.parent().unwrap()).unwrap();
                std::fs::write(&recorded, &made).unwrap();
            }
            // What is trained depends on the machine, and what it is trained on does not.
            assert!(file.ends_with(".bin") || made == std::fs::read(recorded).unwrap(), "{file} is recorded otherwise");
        }
    }
    for file in files {
        recorded.write(file, std::fs::read(path(RECORDED).join(file)).unwrap());
    }
    for folder in [recorded, made] {
        if !folder.path("late").exists() {
            continue;
        }
        folder.write("pipeline.toml", pipeline);
        let ran = folder.txray(["run", "pipeline.toml"]).succeeded();
        assert_eq!(structure(&ran.stdout), structure(&shown), "{}", ran.stdout);
        assert!(ran.stdout.contains(" lstm.0.hidden["), "{}", ran.stdout);
    }
}
