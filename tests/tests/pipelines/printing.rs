//! What is printed: where nobody can read it, it stops nothing; and none of it does anything to a terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};
use txray_tests::{Folder, SmallModel, c_plugin};

/// A model that is trained and read.
const PIPELINE: &str = r#"
[corpus.news]
kind = "grammar"
domain = "harbour"
train = 40

[model.lm]
kind = "lstm"
embedding = 4
hidden = 4
task = { kind = "language-model", corpus = "news" }
train = { epochs = 2 }

[stage.late]
model = "lm"
corpus = "news.train"
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("pipeline.toml", PIPELINE);
    folder
}

fn txray(folder: &Folder, args: &[&str]) -> Command {
    let mut command = Command::new(txray_tests::txray());
    command.args(args).current_dir(folder.path("")).env_remove("TXRAY_DATA").env_remove("NO_COLOR");
    command
        .env("TXRAY_STORE", folder.path(".store"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

const RUN: [&str; 6] = ["run", "pipeline.toml", "--out", "out", "--threads", "2"];

// Nobody reads

/// The two ends of a terminal.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    (ours.into(), File::options().read(true).write(true).open(name).unwrap())
}

/// Where nothing that is written is read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Nowhere {
    /// A pipe that its reader has closed.
    Closed,
    /// A disk that is full.
    Full,
    /// A terminal that has gone.
    Gone,
}

const NOWHERE: [Nowhere; 3] = [Nowhere::Closed, Nowhere::Full, Nowhere::Gone];

impl Nowhere {
    fn open(self) -> Stdio {
        match self {
            Self::Closed => std::io::pipe().unwrap().1.into(),
            Self::Full => File::options().write(true).open("/dev/full").unwrap().into(),
            Self::Gone => terminal().1.into(),
        }
    }

    /// What a command exits with when its results go there.
    fn code(self) -> Option<i32> {
        Some(if self == Self::Full { 2 } else { 0 })
    }
}

#[test]
fn a_run_that_nobody_reads_is_whole() {
    let folder = folder();
    folder.txray(RUN).succeeded();
    let whole = folder.bytes("out");
    let anew = || {
        std::fs::remove_dir_all(folder.path("out")).unwrap();
        std::fs::remove_dir_all(folder.path(".store")).unwrap();
    };
    for stdout in NOWHERE {
        for stderr in NOWHERE {
            anew();
            let status = txray(&folder, &RUN).stdout(stdout.open()).stderr(stderr.open()).status().unwrap();
            assert_eq!(status.code(), stdout.code(), "{stdout:?}, {stderr:?}: {status}");
            assert!(folder.path("out/manifest.json").exists());
            assert_eq!(folder.bytes("out"), whole, "{stdout:?}, {stderr:?}");
        }
    }
    // Closed before it began: no file of the run is what the system gives to the next who opens one.
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        anew();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$@\" {closed}"), "sh"]).arg(txray_tests::txray()).args(RUN);
        shell.current_dir(folder.path("")).env("TXRAY_STORE", folder.path(".store"));
        let status = shell.status().unwrap();
        assert_eq!(status.code(), Some(0), "{closed}: {status}");
        assert_eq!(folder.bytes("out"), whole, "{closed}");
        folder.txray(["store", "verify"]).succeeded();
    }
}

#[test]
fn a_terminal_that_goes_stops_no_run() {
    let folder = folder();
    let (mut ours, theirs) = terminal();
    let long = [&RUN[..], &["--set", "model.lm.train.epochs=200"]].concat();
    let mut command = txray(&folder, &long);
    let mut child = command.stdout(theirs.try_clone().unwrap()).stderr(theirs).spawn().unwrap();
    drop(command);
    // It has begun to say something.
    assert!(ours.read(&mut [0; 64]).unwrap() > 0);
    drop(ours);
    assert_eq!(child.try_wait().unwrap(), None, "it ended before its terminal did");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(folder.path("out/manifest.json").exists());
}

#[test]
fn results_that_could_not_be_printed_are_a_failure_and_a_reader_that_has_enough_is_none() {
    let folder = folder();
    folder.txray(RUN).succeeded();
    let commands: [&[&str]; 10] = [
        &["run", "pipeline.toml", "--out", "out", "-q"],
        &["check", "pipeline.toml"],
        &["plan", "pipeline.toml"],
        &["store", "list"],
        &["store", "gc"],
        &["store", "verify"],
        &["plugin", "list"],
        &["--help"],
        &["help", "run"],
        &["--version"],
    ];
    for args in commands {
        for stdout in NOWHERE {
            let Output { status, stderr, .. } = txray(&folder, args).stdout(stdout.open()).output().unwrap();
            let said = String::from_utf8(stderr).unwrap();
            assert_eq!(status.code(), stdout.code(), "{args:?}, {stdout:?}: {said}");
            let told = said.contains("cannot write to standard output: No space left");
            assert_eq!(told, stdout == Nowhere::Full, "{args:?}, {stdout:?}: {said}");
        }
    }
}

#[test]
fn an_error_that_cannot_be_said_keeps_its_exit_code() {
    let folder = folder();
    folder.write("wrong.toml", "[stage.a]\nmodel = \"b\"\n");
    for args in
        [&["check", "wrong.toml"][..], &["run", "nowhere.toml"], &["store"], &["--wrong"], &["plugin", "check", "no"]]
    {
        for nowhere in NOWHERE {
            let status = txray(&folder, args).stdout(nowhere.open()).stderr(nowhere.open()).status().unwrap();
            assert_eq!(status.code(), Some(2), "{args:?}, {nowhere:?}: {status}");
        }
    }
}

#[test]
fn very_many_errors_are_told_at_once() {
    let folder = Folder::new();
    let many: String = (0..2000).map(|i| format!("[stage.s{i}]\nmodel = \"none\"\ncorpus = \"none.x\"\n")).collect();
    folder.write("pipeline.toml", many);
    let start = Instant::now();
    let said = folder.txray(["check", "pipeline.toml"]).failed(2);
    assert!(said.contains("[pipeline.toml:2:9]") && said.contains("errors"), "{}", &said[..1000]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn arguments_that_nobody_means_are_refused_in_words() {
    let folder = folder();
    let bytes = |text: &'static [u8]| OsStr::from_bytes(text);
    let [check, run, pipeline] = ["check", "run", "pipeline.toml"].map(OsStr::new);
    for (args, words) in [
        (&[check, pipeline, OsStr::new("--threads=0")][..], "1..=1024"),
        (&[check, pipeline, OsStr::new("--threads=1000000000")], "1..=1024"),
        (&[check, bytes(b"\xff.toml")], "cannot read the pipeline"),
        (&[check, pipeline, OsStr::new("--set"), bytes(b"\xff=1")], "invalid UTF-8"),
        (&[run, pipeline, OsStr::new("--out"), bytes(b"\xff")], "invalid UTF-8"),
        (&[run, pipeline, OsStr::new("--store"), bytes(b"\xff")], "invalid UTF-8"),
        (&[run, pipeline, OsStr::new("--out"), bytes(b"")], "a value is required"),
        (&[bytes(b"--\xff")], "unexpected argument"),
    ] {
        let said = folder.txray(args).failed(2);
        assert!(said.contains(words), "{args:?}: {said}");
    }
    folder.txray(RUN).succeeded();
    folder.txray(["store", "gc", "--unused-for", "18446744073709551615"]).succeeded();
    // More threads than there is memory for. Their stacks are large, so that what is left when the next one is refused
    // is enough for those that were started: the standard library ends the process where a started thread gets none.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 6000000; exec \"$@\"", "sh"]).arg(txray_tests::txray());
    shell.args(["check", "pipeline.toml", "--threads", "1024"]).env("RUST_MIN_STACK", (1_u64 << 30).to_string());
    let output = shell.current_dir(folder.path("")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot start 1024 threads") && said.contains("--threads"), "{said}");
}

// Whoever stops it

/// Sends a signal once the process handles it.
fn signal(child: &std::process::Child, name: &str, number: u32) {
    let handles = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&caught, 16).unwrap() & 1 << (number - 1) != 0
    };
    let start = Instant::now();
    while !handles() {
        assert!(start.elapsed() < Duration::from_secs(30), "it never handles {name}");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn sigterm_asks_as_ctrl_c_does() {
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let folder = folder();
        let long = [&RUN[..], &["--set", "model.lm.train.epochs=1000"]].concat();
        let child = txray(&folder, &long).spawn().unwrap();
        signal(&child, name, number);
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(128 + number as i32), "{said}");
        assert!(said.contains("stopping; Ctrl-C again") && said.contains("goes on from there"), "{said}");
        assert!(!said.contains("error") && !folder.path("out/manifest.json").exists(), "{said}");
    }
}

#[test]
fn the_second_signal_ends_it_whatever_it_waits_for() {
    let folder = folder();
    // Nobody reads, and nobody has closed: it waits for ever to say that training goes on, or that it stops.
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'.'; 65536]).unwrap();
    let mut child = txray(&folder, &[&RUN[..], &["--verbose"]].concat()).stderr(writer).spawn().unwrap();
    signal(&child, "INT", 2);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(child.try_wait().unwrap(), None, "it does not wait");
    signal(&child, "TERM", 15);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    drop(reader);
}

// What a terminal obeys

/// An escape, a bell, a control character of Latin-1, a turn of the order; a return and an end of line are in [`LINES`].
const SHOUT: &str = "\u{1b}[31mX\u{7}\u{9b}2J\u{202e}";
/// For places that may have more than one line.
const LINES: &str = "\u{1b}[31mX\u{7}\r\u{9b}2J\u{202e}\nstage.x: there already";

/// Nothing in it does anything to a terminal, and no line of it begins as one of ours that a file has put there.
#[track_caller]
fn harmless(said: &str) {
    let obeyed = |c: &char| c.is_control() && *c != '\n' && *c != '\t' || ('\u{202a}'..='\u{202e}').contains(c);
    assert_eq!(said.chars().find(obeyed), None, "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with("stage.x: there")), "{said:?}");
}

/// What `txray` says, which is harmless; and its exit code.
#[track_caller]
fn printed(folder: &Folder, args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = txray(folder, args).output().unwrap();
    let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    println!("{args:?}: {status}\n{said}\n");
    harmless(&said);
    assert!(status.code().is_some_and(|code| code < 3), "{args:?}: {status}: {said}");
    (status.code(), said)
}

/// The same of what quotes what is not harmless; gives the exit code.
#[track_caller]
fn quoted(folder: &Folder, args: &[&str]) -> Option<i32> {
    let (code, said) = printed(folder, args);
    // In the text of a pipeline that is shown, a stand-in is as long as what it stands for.
    let is_told = [r"\u{1b}[31mX", "?[31mX", r"\u001b[31mX"].iter().any(|told| said.contains(told));
    assert!(is_told, "{args:?} says nothing of it: {said}");
    code
}

/// Two models read over a text of `words`, by `layers`, and compared by the metrics.
fn comparison(folder: &Folder, words: &str, layers: &str, metrics: &str) {
    // The same, so that every neuron that is alive in one is in the other.
    ["early", "late"].iter().for_each(|name| SmallModel::new(5, 4).write(&folder.path(name)));
    folder.write(
        "text.tsv",
        format!("sentence\tlabel\n{}", format!("{words} {words} {words} w1\t{words}\n").repeat(100)),
    );
    let more = "[plugin.plain]\npath = \"plain.so\"\n";
    folder.write(
        "pipeline.toml",
        format!(
            r#"{}
[corpus.c]
kind = "tsv"
test = "text.tsv"
[model.early]
path = "early"
[model.late]
path = "late"
[stage.before]
model = "early"
corpus = "c.test"
layers = [{layers}]
[stage.after]
model = "late"
corpus = "c.test"
layers = [{layers}]
[comparison.learning]
from = "before"
to = "after"
metrics = [{metrics}]
"#,
            if metrics.contains("plain") { more } else { "" }
        ),
    );
}

#[test]
fn words_and_labels_of_the_summary() {
    for layer in ["word", "label"] {
        let folder = Folder::new();
        comparison(&folder, SHOUT, &format!("\"{layer}\""), "\"hellinger\"");
        assert_eq!(quoted(&folder, &["run", "pipeline.toml", "--out", "out"]), Some(0));
    }
}

#[test]
fn names_of_files() {
    let folder = folder();
    // The pipeline's, which names the run, and the folder that it leaves.
    let name = format!("{LINES}.toml");
    folder.write(&name, PIPELINE);
    let store = format!("{LINES}.store");
    printed(&folder, &["run", "pipeline.toml", "--out", "out", "--store", &store]);
    for args in [
        &["check", &name][..],
        &["run", "pipeline.toml", "--out", LINES],
        &["store", "list", "--store", &store],
        &["store", "gc", "--store", &store],
        &["store", "verify", "--store", &store],
    ] {
        assert_eq!(quoted(&folder, args), Some(0));
    }
    printed(&folder, &["plan", &name]);
    printed(&folder, &["run", &name, "--out", "other", "--verbose"]);
    // And its own manifest, by which the run is told again.
    std::fs::copy(folder.path("other/manifest.json"), folder.path(format!("{LINES}.json"))).unwrap();
    quoted(&folder, &["run", &format!("{LINES}.json"), "--out", "again"]);
    let nowhere = format!("{LINES}/nowhere");
    for args in [
        &["check", nowhere.as_str()][..],
        &["run", &format!("{nowhere}.json")],
        &["run", "pipeline.toml", "--out", &format!("pipeline.toml/{LINES}")],
        &["store", "list", "--store", &format!("pipeline.toml/{LINES}")],
        &["plugin", "inspect", &nowhere],
        &["plugin", "check", &format!("./{nowhere}.so")],
        &["plugin", "new", LINES, "--kind", "metric"],
        &["check", &name, "--set", LINES],
        &["check", &name, "--set", &format!("{LINES}=1")],
        &["check", &name, "--set", &format!("model.lm.kind=\"{LINES}\"")],
        &["check", &name, "--threads", LINES],
        &["check", &name, &format!("--{LINES}")],
        &[LINES],
    ] {
        assert_eq!(quoted(&folder, args), Some(2), "{args:?}");
    }
}

#[test]
fn what_a_pipeline_says() {
    let escaped = r"\u001b[31mX\u0007\r\u009b\u202e\nstage.x: there already";
    for text in [
        format!("\"{escaped}\" = 1"),
        format!("seed = \"{escaped}\""),
        format!("[corpus.\"{escaped}\"]\nkind = \"text\""),
        format!("[corpus.c]\nkind = \"{escaped}\""),
        format!("[corpus.c]\nkind = \"text\"\ntrain = \"{escaped}\""),
        format!("[corpus.c]\nkind = \"text\"\nsplits = {{ \"{escaped}\" = \"text.txt\" }}"),
        format!("[model.m]\npath = \"{escaped}\""),
        format!("[stage.s]\nmodel = \"{escaped}\"\ncorpus = \"{escaped}\""),
        format!("[stage.s]\nsource = \"{escaped}\""),
        format!("[plugin.p]\npath = \"{escaped}.so\""),
        format!("[report.\"{escaped}\"]"),
        // Not by escapes, but as it is, where TOML does not take it.
        format!("a = \"{SHOUT}\""),
        format!("# {SHOUT}\r x"),
    ] {
        let folder = Folder::new();
        folder.write("pipeline.toml", &text);
        assert_eq!(quoted(&folder, &["check", "pipeline.toml"]), Some(2), "{text}");
    }
}

#[test]
fn what_a_model_has() {
    let folder = Folder::new();
    comparison(&folder, "w0", "\"word\"", "\"hellinger\"");
    let mut model = SmallModel::new(5, 4);
    model.tensor("lstm.bias_ih_l0").0 = LINES.to_owned();
    model.write(&folder.path("late"));
    let config = std::fs::read_to_string(folder.path("late/config.json")).unwrap();
    let pipeline = std::fs::read_to_string(folder.path("pipeline.toml")).unwrap();
    let run = ["run", "pipeline.toml", "--out", "out"];
    assert_eq!(quoted(&folder, &run), Some(2));
    // A value of its configuration, and where it is.
    let config: Value = serde_json::from_str(&config).unwrap();
    for (key, value) in [("model_type", json!(LINES)), ("hidden_size", json!(LINES))] {
        let mut config = config.clone();
        config[key] = value;
        folder.write("late/config.json", config.to_string());
        quoted(&folder, &run);
    }
    folder.write("pipeline.toml", pipeline.replace("\"late\"", r#""la\u001b[31mX\nte""#));
    folder.write("la\u{1b}[31mX\nte/config.json", "{}");
    quoted(&folder, &run);
    // A corpus that does not read.
    folder.write("pipeline.toml", pipeline.replace("\"text.tsv\"", r#""\u001b[31mX\n.tsv""#));
    folder.write("\u{1b}[31mX\n.tsv", b"sentence\nw0\xff\n");
    quoted(&folder, &run);
}

/// A folder with the plugin that shouts.
fn shouting(options: &str) -> Folder {
    let folder = Folder::new();
    comparison(&folder, "w0 w1", "\"word\"", &format!("{{ kind = \"plain\"{options} }}"));
    std::fs::create_dir_all(folder.path("plugins")).unwrap();
    std::fs::copy(c_plugin("shouts"), folder.path("plain.so")).unwrap();
    std::fs::copy(c_plugin("shouts"), folder.path("plugins/libplain.so")).unwrap();
    folder
}

#[test]
fn what_a_plugin_says() {
    let folder = shouting("");
    for (args, code) in [
        (&["run", "pipeline.toml", "--out", "out", "-v"][..], 1),
        (&["plugin", "list", "--plugin-dir", "plugins"], 0),
        (&["plugin", "inspect", "plain.so"], 0),
        (&["plugin", "check", "plain.so", "--cases", "2"], 2),
    ] {
        assert_eq!(quoted(&folder, args), Some(code), "{args:?}");
    }
    // What it has against its options, with the caret.
    assert_eq!(quoted(&shouting(", loud = \"\""), &["check", "pipeline.toml"]), Some(2));
}

#[test]
fn what_a_terminal_is_shown_of_a_plugin() {
    for size in [(0, 0), (1, 1), (1, 80), (200, 1000)] {
        let folder = shouting("");
        let (ours, theirs) = terminal();
        let (ws_row, ws_col) = size;
        tcsetwinsize(&ours, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let mut command = txray(&folder, &["run", "pipeline.toml", "--out", "out", "-v"]);
        command.env("TERM", "xterm").stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut shown = Vec::new();
        // It ends with an error once nobody has the other end any more.
        let mut ours = ours;
        let mut some = [0; 4096];
        while let Ok(read @ 1..) = ours.read(&mut some) {
            shown.extend_from_slice(&some[..read]);
        }
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{size:?}: {shown}");
        // The bar and errors move the cursor and have colours, but none is red without bounds, and nothing rings.
        for obeyed in ["\u{1b}[31mX", "\u{7}", "\u{9b}", "\u{202e}", "\nstage.x"] {
            assert!(!shown.contains(obeyed), "{size:?}: {obeyed:?} is in {shown:?}");
        }
        assert!(size.1 < 80 || shown.contains("tokens/s"), "there is a bar: {shown:?}");
    }
}

/// Changes a file of JSON.
fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

#[test]
fn what_a_manifest_says() {
    let folder = folder();
    folder.txray(RUN).succeeded();
    let path = folder.path("out/manifest.json");
    let whole = std::fs::read(&path).unwrap();
    let changes: [fn(&mut Value); 8] = [
        |manifest| manifest["instructions"] = json!(LINES),
        |manifest| manifest["inputs"] = json!([{ "path": LINES, "bytes": 1, "sha256": "0" }]),
        |manifest| manifest["outputs"] = json!([{ "path": format!("{LINES}.parquet"), "bytes": 1, "sha256": "0" }]),
        |manifest| manifest["device"] = json!(LINES),
        |manifest| manifest["seed"] = json!(LINES),
        |manifest| manifest["settings"] = json!({ LINES: {} }),
        |manifest| manifest["settings"]["corpus"]["news"]["domain"] = json!(LINES),
        |manifest| manifest["pipeline"] = json!(LINES),
    ];
    for one in changes {
        std::fs::write(&path, &whole).unwrap();
        change(&path, one);
        printed(&folder, &["run", "out/manifest.json", "--out", "again"]);
    }
}

#[test]
fn what_a_store_says() {
    let folder = folder();
    folder.txray(RUN).succeeded();
    let record = |file: &String| file.ends_with("record.json");
    for file in folder.files(".store").iter().filter(|file| record(file)) {
        let path = folder.path(".store").join(file);
        change(&path, |record| {
            record.as_object_mut().unwrap().shift_remove("seal");
            record["step"]["name"] = json!(LINES);
            record["files"][LINES] = json!({ "bytes": 1, "sha256": "0" });
        });
        // Sealed anew, as by a txray that had written this: nothing else is read at all.
        let record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        std::fs::write(&path, txray_tables::seal::sealed(&record).unwrap()).unwrap();
    }
    assert_eq!(quoted(&folder, &["store", "list"]), Some(0));
    assert_eq!(quoted(&folder, &["store", "verify"]), Some(2));
    // They are damaged: that is told, and they are made again.
    assert_eq!(quoted(&folder, &RUN), Some(0));
}
