//! Runs that are killed, repeated, run side by side, and whose store is damaged.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use txray_plugin::random::Stream;
use txray_tests::Folder;

/// The quickstart, cut short: a few seconds of training and reading.
const SHORT: [&str; 12] = [
    "--set",
    "corpus.kitchen.train=1500",
    "--set",
    "corpus.kitchen.valid=300",
    "--set",
    "corpus.harbour.train=600",
    "--set",
    "corpus.harbour.valid=300",
    "--set",
    "model.lm.hidden=48",
    "--set",
    "model.lm.train.epochs=5",
];

fn args<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/quickstart.toml");
    [&["run", config, "--out", out][..], &SHORT, more].concat()
}

fn spawn(folder: &Folder, store: &str, args: &[&str]) -> Child {
    Command::new(txray_tests::txray())
        .args(args)
        .current_dir(folder.path(""))
        .env("TXRAY_STORE", folder.path(store))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(log(folder, args)).unwrap())
        .spawn()
        .unwrap()
}

/// Where what a run says goes, beside its out directory.
fn log(folder: &Folder, args: &[&str]) -> std::path::PathBuf {
    folder.path(format!("{}.stderr", args[3]))
}

/// The run ends well, or what it said is told.
#[track_caller]
fn comes_through(mut child: Child, folder: &Folder, args: &[&str]) {
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {}", std::fs::read_to_string(log(folder, args)).unwrap());
}

#[test]
fn killed_at_random_moments_a_run_ends_with_the_same_bytes() {
    let folder = Folder::new();
    let start = Instant::now();
    let undisturbed = args("undisturbed", &[]);
    comes_through(spawn(&folder, "undisturbed-store", &undisturbed), &folder, &undisturbed);
    let whole = start.elapsed().as_secs_f64();

    let mut moments = Stream::new(1, "kill", 0);
    let (mut kills, mut finished) = (0, false);
    while kills < 20 || !finished {
        // What is finished is never redone, so moments are drawn over a whole run: kills fall into every step. Once a
        // run comes through, the rest of the kills begin anew on a store of their own.
        let store = if finished { "second-store" } else { "killed-store" };
        let run = args(if finished { "second" } else { "killed" }, &[]);
        let mut child = spawn(&folder, store, &run);
        let moment = Instant::now() + Duration::from_secs_f64(f64::from(moments.uniform()) * whole * 0.6);
        while Instant::now() < moment && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        let status = child.wait().unwrap();
        finished |= status.success();
        let said = || std::fs::read_to_string(log(&folder, &run)).unwrap();
        assert!(status.success() || status.code().is_none(), "it ended by itself, with {status}: {}", said());
        assert!(kills < 200, "no progress is kept between kills");
    }
    let second = args("second", &[]);
    comes_through(spawn(&folder, "second-store", &second), &folder, &second);
    let undisturbed = folder.bytes("undisturbed");
    assert!(undisturbed.len() > 10);
    assert!(folder.bytes("killed") == undisturbed, "a killed run differs from an undisturbed one");
    assert!(folder.bytes("second") == undisturbed, "a killed run differs from an undisturbed one");
}

#[test]
fn a_second_run_makes_nothing_and_a_changed_setting_only_what_depends_on_it() {
    let folder = Folder::new();
    folder.txray(args("out", &[])).succeeded();
    let first = folder.bytes("out");
    let again = folder.txray(args("out", &[])).succeeded();
    let told: Vec<&str> = again.stderr.lines().filter(|line| line.contains("there already")).collect();
    assert_eq!(told.len(), 9, "{}", again.stderr);
    assert!(!again.stderr.contains("tokens/s"), "{}", again.stderr);
    assert!(folder.bytes("out") == first);

    let changed = folder.txray(args("out", &["--set", "comparison.transfer.weighting=mean"])).succeeded();
    assert_eq!(changed.stderr.matches("there already").count(), 8, "{}", changed.stderr);
    assert!(changed.stderr.contains("comparison.transfer: 0"), "{}", changed.stderr);

    let mut plan = args("out", &["--set", "stage.zero-shot.layers=[\"pos\"]"]);
    plan[0] = "plan";
    plan.drain(2..4);
    let planned = folder.txray(plan).succeeded().stdout;
    let line = |name: &str| planned.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("stage.zero-shot").contains("layers changed"), "{planned}");
    assert!(line("comparison.transfer").contains("stage.zero-shot"), "{planned}");
    assert!(line("model.lm").ends_with("done") && line("stage.early").ends_with("done"), "{planned}");
}

#[test]
fn with_more_epochs_a_training_goes_on_to_what_it_would_have_been() {
    let folder = Folder::new();
    let epochs = |count: u64| format!("model.lm.train.epochs={count}");
    let (fewer, more) = (epochs(3), epochs(5));
    let at = |epochs: &[u64]| format!("model.lm.train.checkpoints={epochs:?}");
    let (early, both) = (at(&[1]), at(&[1, 4]));
    let run = |out: &str, store: &str, settings: &[&str]| {
        let more: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
        let more = [&more[..], &["--store", store]].concat();
        folder.txray(args(out, &more)).succeeded().stderr
    };
    let told = "going on from the end of a training of fewer epochs";
    run("short", "store", &[&fewer, &early]);
    let on = run("on", "store", &[&more, &both]);
    assert!(on.contains(told), "{on}");
    let anew = run("anew", "another", &[&more, &both]);
    assert!(!anew.contains(told), "{anew}");
    assert!(folder.bytes("on") == folder.bytes("anew"));

    // Not where a checkpoint was passed that it did not keep, a setting differs, or the schedule runs over all epochs.
    for (out, setting) in [("a", at(&[1, 2])), ("b", "model.lm.train.dropout=0.3".to_owned())] {
        let anew = run(out, "store", &[&epochs(6), &early, &setting]);
        assert!(!anew.contains(told), "{anew}");
    }
    let linear = "model.lm.train.schedule='linear'";
    run("c", "store", &[&fewer, &early, linear]);
    let anew = run("d", "store", &[&more, &early, linear]);
    assert!(anew.contains("this one begins anew") && anew.contains("epochs"), "{anew}");
}

#[test]
fn two_runs_at_once_share_a_store() {
    let folder = Folder::new();
    let both = [args("a", &[]), args("b", &[])];
    let children = both.each_ref().map(|args| spawn(&folder, "store", args));
    for (child, args) in children.into_iter().zip(&both) {
        comes_through(child, &folder, args);
    }
    assert!(folder.bytes("a") == folder.bytes("b"));
}

#[test]
fn damage_is_found_and_mended() {
    let folder = Folder::new();
    folder.txray(args("out", &[])).succeeded();
    let first = folder.bytes("out");
    folder.txray(["store", "verify"]).succeeded();
    let tables: Vec<String> =
        folder.files(".store").into_iter().filter(|file| file.ends_with("preferences.parquet")).collect();
    let (flipped, cut) = (folder.path(".store").join(&tables[0]), folder.path(".store").join(&tables[1]));
    let mut data = std::fs::read(&flipped).unwrap();
    let middle = data.len() / 2;
    data[middle] ^= 1;
    std::fs::write(&flipped, data).unwrap();
    let data = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &data[..data.len() / 2]).unwrap();

    let verified = folder.txray(["store", "verify"]);
    assert_eq!(verified.code, Some(2));
    assert_eq!(verified.stdout.matches("preferences.parquet").count(), 2, "{}", verified.stdout);
    let mended = folder.txray(args("out", &[])).succeeded();
    assert_eq!(mended.stderr.matches("is damaged in the store").count(), 2, "{}", mended.stderr);
    assert!(folder.bytes("out") == first);
    folder.txray(["store", "verify"]).succeeded();
}

#[test]
fn a_manifest_repeats_its_run_and_tells_whether_the_bytes_agree() {
    let folder = Folder::new();
    folder.txray(args("out", &[])).succeeded();
    let again = folder.txray(["run", "out/manifest.json", "--out", "again"]).succeeded();
    assert!(again.stdout.contains("Every table and every weight has the bytes of"), "{}", again.stdout);
    assert!(!again.stderr.contains("there already"), "it is made again, not taken from the store: {}", again.stderr);
    assert!(folder.bytes("again") == folder.bytes("out"));

    let other = folder.txray(["run", "out/manifest.json", "--out", "other", "--set", "seed=7"]);
    assert_eq!(other.code, Some(2));
    assert!(other.stdout.contains("differs: models/lm/model.safetensors"), "{}", other.stdout);
}

#[test]
fn a_store_that_is_newer_or_none() {
    let folder = Folder::new();
    folder.txray(args("out", &["--set", "model.lm.train.epochs=1"])).succeeded();
    folder.write(".store/format", "99\n");
    let said = folder.txray(args("out", &[])).failed(2);
    assert!(said.contains("has format 99") && said.contains("--store"), "{said}");
    folder.write("file", "");
    let said = folder.txray(args("out", &["--store", "file"])).failed(2);
    assert!(said.contains("file"), "{said}");
}

#[test]
fn a_store_on_a_path_with_spaces_and_other_letters() {
    let folder = Folder::new();
    let short = ["--store", "Straße mit Ärger/商店", "--set", "model.lm.train.epochs=1"];
    folder.txray(args("aus gabe/é", &short)).succeeded();
    assert_eq!(folder.txray(args("aus gabe/é", &short)).succeeded().stderr.matches("there already").count(), 9);
}

/// A disk of its own size, where the system lets us have one (Linux, as root); unmounted when it is dropped.
struct Disk<'a>(&'a Folder);

impl<'a> Disk<'a> {
    fn mount(folder: &'a Folder, size: &str) -> Option<Self> {
        std::fs::create_dir(folder.path("disk")).unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path("disk")).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: no disk can be mounted here");
        None
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0.path("disk")).status().unwrap().success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path("disk")).status().unwrap();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_a_store_that_cannot_be_written_still_serves() {
    let folder = Folder::new();
    let Some(disk) = Disk::mount(&folder, "100k") else { return };
    let on_disk = ["--store", "disk/store", "--set", "model.lm.train.epochs=1"];
    for size in ["100k", "400k", "700k", "1m", "1500k", "2m"] {
        disk.remount(&format!("size={size}"));
        let ran = folder.txray(args("out", &on_disk));
        if ran.code == Some(0) {
            break;
        }
        let said = ran.failed(2);
        assert!(said.contains("No space left on device") && said.contains("disk/store"), "{said}");
        assert!(said.contains("make room, for instance with `txray store gc`, or work on another disk"), "{said}");
        assert_eq!(folder.files("out"), [""; 0]);
    }
    disk.remount("size=100m");
    folder.txray(args("out", &on_disk)).succeeded();
    folder.txray(["store", "verify", "--store", "disk/store"]).succeeded();
    folder.txray(args("elsewhere", &["--set", "model.lm.train.epochs=1"])).succeeded();
    assert!(folder.bytes("out") == folder.bytes("elsewhere"));

    disk.remount("ro");
    let again = folder.txray(args("again", &on_disk)).succeeded();
    assert_eq!(again.stderr.matches("there already").count(), 9, "{}", again.stderr);
    let said = folder.txray(args("again", &[&on_disk[..], &["--set", "seed=7"]].concat())).failed(2);
    assert!(said.contains("name a folder of yours with `--store DIR`"), "{said}");
}

/// Ctrl-C, as a terminal sends it.
fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn ctrl_c_stops_soon_and_the_same_command_goes_on() {
    let folder = Folder::new();
    // Long enough that it is still training once a training was saved, about a second after it began.
    let long = ["--set", "model.lm.train.epochs=40"];
    let mut child = Command::new(txray_tests::txray())
        .args(args("out", &long))
        .current_dir(folder.path(""))
        .env("TXRAY_STORE", folder.path("store"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Once a training was saved, there is one.
    while folder.files("store/unfinished").is_empty() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before it was stopped");
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    interrupt(&child);
    let ended = child.wait_with_output().unwrap();
    // It takes some milliseconds; the bound leaves room for a machine that is busy with other tests.
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?} to stop", asked.elapsed());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("what is finished is kept in") && said.contains("goes on from there"), "{said}");
    assert_eq!(folder.files("out"), [""; 0], "a run that is stopped leaves the out directory as it was");

    let again = folder.txray(args("out", &[&long[..], &["--store", "store"]].concat())).succeeded();
    assert!(again.stderr.contains("going on from where an earlier run was stopped"), "{}", again.stderr);
    folder.txray(["store", "verify", "--store", "store"]).succeeded();
}

/// Whatever bit flips of what a training goes on from, it is no part of the model in the end.
#[test]
fn a_saved_training_that_is_damaged_begins_anew() {
    let folder = Folder::new();
    let long = ["--set", "model.lm.train.epochs=12", "--set", "model.lm.train.checkpoints=[1]"];
    folder.txray(args("undisturbed", &[&long[..], &["--store", "another"]].concat())).succeeded();
    let mut damaged = 0;
    for (round, part) in ["epoch-1/", "state-", "kept.json", "state-"].iter().enumerate() {
        let store = format!("store-{round}");
        let mut child = spawn(&folder, &store, &args("out", &long));
        let saved = |file: &str| {
            let all = folder.files(&format!("{store}/unfinished"));
            all.into_iter().find(|name| name.contains(file) && name.contains(part) && !name.contains("aside"))
        };
        while saved("state-").or_else(|| saved("epoch-1")).is_none() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let Some(file) = saved("") else { continue };
        let path = folder.path(format!("{store}/unfinished")).join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        if round == 3 {
            bytes.truncate(middle)
        } else {
            bytes[middle] ^= 1
        }
        std::fs::write(&path, bytes).unwrap();
        let told = folder.txray(args("out", &[&long[..], &["--store", &store]].concat())).succeeded();
        damaged += told.stderr.matches("begins anew").count();
        assert!(folder.bytes("out") == folder.bytes("undisturbed"), "{part}");
    }
    assert!(damaged > 0, "none was saved before it was killed");
}

#[test]
fn a_clock_that_is_set_back_changes_nothing() {
    let folder = Folder::new();
    let short = ["--set", "model.lm.train.epochs=1"];
    folder.txray(args("out", &short)).succeeded();
    let first = folder.bytes("out");
    // To a clock that was set back, everything in the store is of a time to come.
    let later = std::time::SystemTime::now() + Duration::from_secs(400 * 24 * 60 * 60);
    for file in folder.files(".store") {
        std::fs::File::options()
            .write(true)
            .open(folder.path(".store").join(file))
            .and_then(|file| file.set_modified(later))
            .unwrap();
    }
    let collected = folder.txray(["store", "gc"]).succeeded().stdout;
    assert!(collected.starts_with("0 steps removed"), "{collected}");
    let again = folder.txray(args("out", &short)).succeeded();
    assert_eq!(again.stderr.matches("there already").count(), 9, "{}", again.stderr);
    assert!(folder.bytes("out") == first);
}

#[test]
fn a_changed_byte_of_a_corpus_is_noticed_whatever_its_size_and_time() {
    let folder = Folder::new();
    txray_tests::SmallModel::new(32, 8).write(&folder.path("model"));
    let text = folder.write("text.txt", "w1 w2 w3\nw4 w5 w6\n");
    folder.write(
        "pipeline.toml",
        "[corpus.c]\nkind = \"text\"\ntest = \"text.txt\"\n\n[model.lm]\npath = \"model\"\n\n\
         [stage.read]\nmodel = \"lm\"\ncorpus = \"c.test\"\n",
    );
    let run = ["run", "pipeline.toml", "--out", "out"];
    folder.txray(run).succeeded();
    let first = folder.bytes("out");
    let modified = std::fs::metadata(&text).unwrap().modified().unwrap();
    folder.write("text.txt", "w1 w2 w3\nw4 w5 w7\n");
    std::fs::File::options().write(true).open(&text).unwrap().set_modified(modified).unwrap();

    let planned = folder.txray(["plan", "pipeline.toml"]).succeeded().stdout;
    let stage = planned.lines().find(|line| line.starts_with("stage.read")).unwrap();
    assert!(stage.contains("will run") && planned.contains("text.txt changed"), "{planned}");
    let again = folder.txray(run).succeeded();
    assert!(!again.stderr.contains("stage.read: there already"), "{}", again.stderr);
    assert!(folder.bytes("out") != first);
}

#[test]
fn a_manifest_holds_the_settings_with_their_defaults() {
    let folder = Folder::new();
    folder.txray(args("out", &["--set", "model.lm.train.epochs=1"])).succeeded();
    let manifest = std::fs::read(folder.path("out/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let setting = |pointer: &str| manifest["settings"].pointer(pointer).unwrap_or(&serde_json::Value::Null).clone();
    // Of every kind of table something that the pipeline does not say.
    assert_eq!(setting("/device"), "cpu");
    assert_eq!(setting("/model/lm/layers"), 1);
    assert_eq!(setting("/model/lm/train/bptt"), 35);
    assert_eq!(setting("/model/adapted/train/clip"), 0.25);
    assert_eq!(setting("/model/adapted/hidden"), serde_json::Value::Null, "its sizes are those of `lm`");
    assert_eq!(setting("/stage/early/record/kind"), "max-1");
    assert_eq!(setting("/comparison/transfer/weighting"), "mass");
    assert_eq!(setting("/comparison/transfer/metrics/0"), "hellinger");
    // And what it does say.
    assert_eq!(setting("/model/lm/train/epochs"), 1);
    assert_eq!(setting("/model/lm/hidden"), 48);
}
