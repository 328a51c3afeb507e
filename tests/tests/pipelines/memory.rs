//! Memory does not grow with the corpus: what is read is not held.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use txray_tests::{Folder, SmallModel, txray};

/// Words of the vocabulary: with the neurons they bound what a stage has to remember.
const WORDS: u64 = 1000;
/// Tokens of the short text; the long one repeats it.
const TOKENS: u64 = 1_000_000;
const REPEATS: u64 = 20;

/// Kilobytes at most in memory while `txray` runs.
///
/// The kernel's own mark of a process, which only rises, is read until the process ends.
fn peak(folder: &Folder, text: &str) -> u64 {
    let file = format!("corpus.c.test=\"{text}\"");
    let args = ["run", "pipeline.toml", "--out", "out", "-q", "--threads", "2", "--set", &file];
    let mut command = Command::new(txray());
    command.args(args).current_dir(folder.path("")).env_remove("TXRAY_DATA").stdout(Stdio::null());
    // In the user's own store the stage would be there already the second time, and nothing be read.
    command.env("TXRAY_STORE", folder.path(".store"));
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let code = loop {
        let told = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = told.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(mark.unwrap_or(0));
        if let Some(code) = child.try_wait().unwrap() {
            break code;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(code.success());
    peak
}

fn write_text(folder: &Folder, name: &str, repeats: u64) {
    let mut file = BufWriter::new(File::create(folder.path(name)).unwrap());
    for _ in 0..repeats {
        let mut state = 1_u64;
        for _ in 0..TOKENS / 25 {
            for i in 0..25 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let end = if i == 24 { '\n' } else { ' ' };
                write!(file, "w{}{end}", (state >> 33) % WORDS).unwrap();
            }
        }
    }
    file.into_inner().unwrap();
}

/// With a model this small, what a text of a million tokens leaves is not yet what longer ones leave: the allocator's heap
/// settles by some megabytes. From there on nothing grows but what Parquet holds of each row group, 10 kB for half a
/// million tokens.
#[test]
fn what_is_held_does_not_grow_with_the_text() {
    let folder = Folder::new();
    SmallModel::new(WORDS as usize + 2, 16).write(&folder.path("model"));
    folder.write(
        "pipeline.toml",
        r#"
[corpus.c]
kind = "text"
test = "set on the command line"

[model.lm]
path = "model"

[stage.read]
model = "lm"
corpus = "c.test"
"#,
    );
    let [short, longer, longest] = [1, 5, REPEATS].map(|repeats| {
        let name = format!("{repeats}.txt");
        write_text(&folder, &name, repeats);
        peak(&folder, &name)
    });
    println!("{short} kB for {TOKENS} tokens, {longer} kB for 5 times, {longest} kB for {REPEATS} times as many");
    assert!(longest * 100 <= longer * 105, "from {longer} kB to {longest} kB");
    let (grown, tokens) = (longest.saturating_sub(short) * 1024, TOKENS * (REPEATS - 1));
    assert!(grown * 3 < tokens, "{grown} bytes more for {tokens} tokens more: from {short} kB to {longest} kB");
}
