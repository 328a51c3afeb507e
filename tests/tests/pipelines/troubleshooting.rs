//! `docs/troubleshooting.md`: what people do, what `txray` prints, and what to do then. The page is what is printed today:
//! `TXRAY_UPDATE=1 cargo test --workspace --test pipelines troubleshooting` writes it.

use txray_tests::{Folder, is_todays};

const HEAD: &str = "# Troubleshooting

What `txray` prints where something is not as it has to be, and what to do. It ends with 2 then, and what it was not asked to
touch is as it was. Each message stands here as it is printed: a test compares them; do not edit this page.
";

/// A whole pipeline.
const PIPELINE: &str = r#"[corpus.news]
kind = "text"
train = "news.txt"

[model.lm]
kind = "lstm"
embedding = 4
hidden = 4
task = { kind = "language-model", corpus = "news" }
train = { epochs = 1, batch = 2 }

[stage.late]
model = "lm"
corpus = "news.train"
layers = ["token"]
"#;

const TEXT: &str = "the cat sat on the mat\nthe dog sat on the cat\n";

/// An entry of the page.
struct Entry {
    title: &'static str,
    /// What to do, and why.
    advice: &'static str,
    /// Of the pipeline, what was written in place of what.
    wrote: Option<(&'static str, &'static str)>,
    /// The arguments, as they are typed in a shell.
    command: &'static str,
    /// Other files than the pipeline and its text.
    files: &'static [(&'static str, &'static [u8])],
}

const fn entry(title: &'static str, command: &'static str, advice: &'static str) -> Entry {
    Entry { title, advice, wrote: None, command, files: &[] }
}

impl Entry {
    const fn wrote(self, from: &'static str, to: &'static str) -> Self {
        Self { wrote: Some((from, to)), ..self }
    }

    const fn files(self, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self { files, ..self }
    }
}

const CHAPTERS: [(&str, &[Entry]); 4] = [
    (
        "Files that are not found",
        &[
            entry(
                "A pipeline that is not where it is looked for",
                "check pipelin.toml",
                "Name the file from the folder that you are in.",
            ),
            entry("A folder in place of a pipeline", "check .", "Name a file in it."),
            entry("A pipeline without `run`", "pipeline.toml", "Say what to do with it: `run`, `check` or `plan`."),
            entry(
                "A corpus that is not where it is looked for",
                "check pipeline.toml",
                "Relative paths of corpora are looked for in the data folder, where one is named, and then in the pipeline's. A pipeline \
                 that was moved finds its corpora again with `--data`.",
            )
            .wrote("news.txt", "corpora/news.txt"),
            entry(
                "A data folder that is not there",
                "check pipeline.toml --data corpora",
                "Mend `--data`, or the variable TXRAY_DATA.",
            )
            .wrote("news.txt", "2026/news.txt"),
            entry("A home folder", "check pipeline.toml", "Shells replace `~`; files do not.")
                .wrote("news.txt", "~/news.txt"),
            entry(
                "A path of Windows in double quotes",
                "check pipeline.toml",
                "In TOML, `\\` begins an escape in double quotes, and is itself in single ones.",
            )
            .wrote("news.txt", r"C:\Users\me\news.txt"),
            entry(
                "A path of Windows whose `\\` happened to be escapes",
                "check pipeline.toml",
                "`\\t` is a tab, and `\\n` a line break: the file was looked for under a name with both.",
            )
            .wrote("news.txt", r"C:\temp\news.txt"),
        ],
    ),
    (
        "Files that are something else",
        &[
            entry(
                "A pipeline that is not UTF-8",
                "check latin.toml",
                "Editors can save a file in another encoding.",
            )
            .files(&[("latin.toml", b"# caf\xe9\n")]),
            entry("A corpus that was cut short", "check pipeline.toml", "Files packed by gzip and zstd are read as they are, if they are whole.")
                .wrote("news.txt", "news.txt.gz")
                .files(&[("news.txt.gz", b"\x1f\x8b\x08\x00")]),
            entry("A corpus packed by something else", "check pipeline.toml", "Unpack it, and name the text.")
                .wrote("news.txt", "news.txt.xz")
                .files(&[("news.txt.xz", b"\xfd7zXZ\0\0\x04")]),
            entry("A corpus of another kind", "check pipeline.toml", "docs/corpora.md tells the kinds.")
                .wrote("news.txt", "news.parquet")
                .files(&[("news.parquet", b"PAR1\x15\x04PAR1")]),
            entry("A corpus in UTF-16", "check pipeline.toml", "Windows writes such files. Convert it, and name the result.")
                .wrote("news.txt", "utf16.txt")
                .files(&[("utf16.txt", b"\xff\xfea\0 \0b\0")]),
            entry("A corpus in another encoding", "check pipeline.toml", "Convert it, and name the result.")
                .wrote("news.txt", "latin.txt")
                .files(&[("latin.txt", b"the caf\xe9\n")]),
            entry("A corpus without a text", "check pipeline.toml", "The file is there, and empty: name another.")
                .wrote("news.txt", "empty.txt")
                .files(&[("empty.txt", b"\n")]),
        ],
    ),
    (
        "Values on the command line",
        &[
            entry(
                "A list whose quotes the shell took",
                "check pipeline.toml --set stage.late.layers=[token,word]",
                "Shells take quotes away that are not in quotes themselves.",
            ),
            entry(
                "A value that the shell took apart",
                "check pipeline.toml --set corpus.news.train=my news.txt",
                "Shells split at spaces what is not in quotes.",
            ),
            entry(
                "A seed that is no number of 64 bits",
                "check pipeline.toml --set seed=18446744073709551616",
                "A seed is 0 to 18446744073709551615.",
            ),
            entry("A seed below zero", "check pipeline.toml --set seed=-1", "A seed is 0 to 18446744073709551615."),
            entry(
                "A file that is called like a number",
                "check pipeline.toml --set corpus.news.train=2024",
                "What a key wants is what a value is taken for: this one is a path, and quotes are not needed. There is no such file \
                 here.",
            ),
            entry("No thread", "run pipeline.toml --threads 0", "Leave `--threads` out for one a processor."),
        ],
    ),
    (
        "Runs that do not begin",
        &[
            entry("Nothing to do", "run empty.toml", "Say what is to be read: the README has a pipeline to begin with.")
                .files(&[("empty.toml", b"")]),
            entry(
                "A store that is no folder",
                "run pipeline.toml --store news.txt",
                "Finished steps are kept in the store, which is in your cache directory unless `--store` or TXRAY_STORE names another \
                 folder.",
            ),
            entry(
                "A store where nothing can be written",
                "run pipeline.toml --store /dev/null/store",
                "Name a folder that you can write to.",
            ),
            entry(
                "An out directory that is a file",
                "run pipeline.toml --out news.txt",
                "Name a folder, or none: `runs/` and the pipeline's name.",
            ),
        ],
    ),
];

/// What is printed of an entry, on its page.
fn printed(entry: &Entry) -> String {
    let folder = Folder::new();
    let (from, to) = entry.wrote.unwrap_or(("", ""));
    assert!(PIPELINE.contains(from), "{}", entry.title);
    folder.write("pipeline.toml", PIPELINE.replacen(from, to, 1));
    folder.write("news.txt", TEXT);
    for (name, bytes) in entry.files {
        folder.write(name, bytes);
    }
    let ran = folder.txray(entry.command.split(' '));
    assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{}: {}", entry.title, ran.stderr);
    let wrote = match entry.wrote {
        Some((_, to)) => format!("```toml\ntrain = \"{to}\"\n```\n\n"),
        None => String::new(),
    };
    let shown: Vec<&str> = ran.stderr.trim_matches('\n').lines().map(str::trim_end).collect();
    let Entry { title, advice, command, .. } = entry;
    format!("\n### {title}\n\n{wrote}```text\n$ txray {command}\n{}\n```\n\n{advice}\n", shown.join("\n"))
}

/// Messages of the system are those of Linux.
#[cfg(target_os = "linux")]
#[test]
fn the_page_is_what_is_printed() {
    let mut page = HEAD.to_owned();
    for (chapter, entries) in CHAPTERS {
        page += &format!("\n## {chapter}\n");
        entries.iter().for_each(|entry| page += &printed(entry));
    }
    is_todays("troubleshooting.md", &page);
}

/// What is not wrong is not told.
#[test]
fn words_and_numbers_of_the_command_line_are_taken_for_what_is_wanted() {
    let folder = Folder::new();
    folder.write("pipeline.toml", format!("seed = 18446744073709551615\n{PIPELINE}"));
    for name in ["news.txt", "my file.txt", "2024", "1.50", "true", "1.txt", "2024-01-02"] {
        folder.write(name, TEXT);
        let train = format!("corpus.news.train={name}");
        folder.txray(["check", "pipeline.toml", "--set", &train, "--set", "seed=9223372036854775808"]).succeeded();
    }
    folder.txray(["check", "pipeline.toml", "--set", "stage.late.state=carry"]).succeeded();
    // A manifest keeps both as they are, and can be repeated.
    let run = ["run", "pipeline.toml", "--out", "out", "--set", "corpus.news.train=2024"];
    folder.txray(run).succeeded();
    let manifest = std::fs::read_to_string(folder.path("out/manifest.json")).unwrap();
    assert!(manifest.contains("\"train\": \"2024\"") && manifest.contains("\"seed\": 18446744073709551615"));
    folder.txray(["run", "out/manifest.json", "--out", "again"]).succeeded();
}

#[test]
fn a_pipeline_of_another_folder_or_with_marks_of_windows() {
    let folder = Folder::new();
    folder.write("configs/quickstart.toml", PIPELINE);
    folder.write("configs/news.txt", TEXT);
    let said = folder.txray(["check", "quickstart.toml"]).failed(2);
    assert!(said.contains("did you mean `configs/quickstart.toml`?"), "{said}");
    let windows = format!("\u{feff}{}", PIPELINE.replace('\n', "\r\n"));
    folder.write("configs/windows.toml", windows);
    folder.txray(["check", "configs/windows.toml"]).succeeded();
    folder.write("configs/empty.toml", PIPELINE.split("[model").next().unwrap());
    let told = folder.txray(["check", "configs/empty.toml"]).succeeded().stdout;
    assert!(told.contains("is sound: 1 corpus\nconfigs/empty.toml has no step: nothing would be read;"), "{told}");
    folder.txray(["plan", "configs/empty.toml"]).failed(2);
}
