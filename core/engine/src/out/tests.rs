use serde_json::json;
use txray_tables::{FORMAT, Manifest, Output};

use super::*;
use crate::files::{files_below, hash};
use txray_config::Name;

fn open(out: &Path) -> OutDirectory {
    OutDirectory::open(out, &Host::detached(), || ()).unwrap()
}

fn targets() -> Vec<OutPath> {
    let name = |name| Name::parse(name).unwrap();
    vec![
        OutPath::folder("models", &name("m")),
        OutPath::folder("stages", &name("s")),
        OutPath::file("comparisons", &name("c"), "json"),
    ]
}

/// What a run leaves that writes these files: by path, what they say.
fn leave(out: &Path, files: &[(&str, &str)]) -> Result<(), OutError> {
    let host = Host::detached();
    let mut directory = open(out);
    directory.survey(&targets(), &[], &host)?;
    let outputs = gather(&directory, files);
    let survey = directory.survey(&targets(), &[], &host)?;
    directory.put_in_place(&survey, &outputs, &host)
}

/// Gathers these files, as a run does.
fn gather(directory: &OutDirectory, files: &[(&str, &str)]) -> Vec<Output> {
    directory.begin().unwrap();
    let write = |(path, text): &(&str, &str)| {
        let file = directory.new_files().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        Output { path: (*path).to_owned(), sha256: hash(&file, &Host::detached()).unwrap().sha256 }
    };
    let outputs: Vec<Output> = files.iter().map(write).collect();
    directory.write_manifest(&manifest(outputs.clone())).unwrap();
    outputs
}

fn manifest(outputs: Vec<Output>) -> Manifest {
    Manifest {
        format: FORMAT,
        version: String::new(),
        pipeline: String::new(),
        folder: PathBuf::new(),
        data: None,
        instructions: String::new(),
        seed: 0,
        device: String::new(),
        threads: 1,
        settings: json!({}),
        inputs: Vec::new(),
        plugins: Vec::new(),
        shard: None,
        steps: Vec::new(),
        outputs,
    }
}

/// Every file with what it says.
fn all(out: &Path) -> Vec<(String, String)> {
    let read = |path: String| {
        let text = fs::read_to_string(out.join(&path)).unwrap();
        (path, text)
    };
    files_below(out).unwrap().into_iter().map(read).collect()
}

/// What a run refuses to write over.
fn in_the_way(out: &Path) -> Vec<String> {
    match open(out).survey(&targets(), &[], &Host::detached()).unwrap_err() {
        OutError::InTheWay { found, .. } => found,
        other => panic!("{other}"),
    }
}

const FIRST: &[(&str, &str)] = &[("models/m/weights", "1"), ("stages/s/table", "1"), ("comparisons/c.json", "1")];
const SECOND: &[(&str, &str)] = &[("models/m/weights", "2"), ("stages/s/other", "2"), ("report.html", "2")];

#[test]
fn places_are_below_the_out_directory() {
    let name = Name::parse("zero-shot").unwrap();
    assert_eq!(OutPath::folder("stages", &name).as_str(), "stages/zero-shot");
    assert_eq!(OutPath::folder("models", StepName::from(&name).replicate(2).at(3)).as_str(), "models/zero-shot#2@3");
    assert_eq!(OutPath::file("comparisons", &name, "json").as_str(), "comparisons/zero-shot.json");
}

#[test]
fn a_run_replaces_the_run_before_and_leaves_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir_all(out.join("stages/mine")).unwrap();
    for mine in ["notes.txt", "stages/mine/x", "models.txt", ".partial"] {
        fs::write(out.join(mine), "mine").unwrap();
    }
    leave(&out, FIRST).unwrap();
    fs::write(out.join("comparisons/more.txt"), "mine").unwrap();
    leave(&out, SECOND).unwrap();
    let left: Vec<String> = all(&out).into_iter().filter(|(_, text)| text == "mine").map(|(path, _)| path).collect();
    assert_eq!(left, [".partial", "comparisons/more.txt", "models.txt", "notes.txt", "stages/mine/x"]);
    let left: Vec<String> = all(&out).into_iter().filter(|(_, text)| text == "2").map(|(path, _)| path).collect();
    assert_eq!(left, ["models/m/weights", "report.html", "stages/s/other"]);
    assert_eq!(files_below(&out).unwrap().len(), 5 + 3 + 1, "nothing of the first run is left, and nothing aside");
    assert!(!out.join(OWN).exists());
    leave(&out, &[]).unwrap();
    assert!(!out.join("models").exists() && !out.join("report.html").exists(), "folders go with what was in them");
}

#[test]
fn whatever_no_run_left_as_it_is_stops_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    for (path, expected) in [
        ("models/m/optimizer.pt", "models/m/optimizer.pt"),
        ("manifest.json", "manifest.json"),
        ("manifest.json/x", "manifest.json"),
        ("stages", "stages"),
        ("stages/s", "stages/s"),
        ("stages/s/below/x", "stages/s/below/x"),
        ("comparisons/c.json", "comparisons/c.json"),
        ("comparisons/c.json/x", "comparisons/c.json"),
        (".txray/x", ".txray"),
        (".txray", ".txray"),
    ] {
        let file = out.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "mine").unwrap();
        let before = all(out);
        let found = match OutDirectory::open(out, &Host::detached(), || ()).map(drop) {
            Ok(()) => in_the_way(out),
            Err(OutError::InTheWay { found, .. }) => found,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, [expected], "{path}");
        assert_eq!(all(out), before);
        let top = out.join(Path::new(path).iter().next().unwrap());
        let _ = fs::remove_file(&top);
        let _ = fs::remove_dir_all(&top);
    }
}

#[test]
fn what_a_run_left_and_somebody_changed_is_not_its_own_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    leave(out, FIRST).unwrap();
    fs::write(out.join("models/m/weights"), "changed").unwrap();
    fs::write(out.join("stages/s/added"), "").unwrap();
    assert_eq!(in_the_way(out), ["models/m/weights", "stages/s/added"]);
    assert!(leave(out, SECOND).is_err());

    // Where nothing else goes, it simply stays.
    fs::write(out.join("models/m/weights"), "1").unwrap();
    fs::remove_file(out.join("stages/s/added")).unwrap();
    leave(out, &[("report.html", "1")]).unwrap();
    fs::write(out.join("report.html"), "edited").unwrap();
    leave(out, FIRST).unwrap();
    assert_eq!(fs::read_to_string(out.join("report.html")).unwrap(), "edited");
    let error = leave(out, &[("report.html", "2")]).unwrap_err();
    assert!(matches!(&error, OutError::InTheWay { found, .. } if found == &["report.html"]), "{error}");
    assert_eq!(fs::read_to_string(out.join("stages/s/table")).unwrap(), "1", "the run before is whole");

    let manifest = out.join(MANIFEST);
    let edited = fs::read_to_string(&manifest).unwrap().replace("\"seed\": 0", "\"seed\": 1");
    fs::write(&manifest, edited).unwrap();
    let found = in_the_way(out);
    assert!(found.contains(&MANIFEST.to_owned()) && found.len() == 4, "{found:?}");
}

#[test]
fn a_manifest_that_lists_what_lies_elsewhere_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (out, thesis) = (folder.path().join("out"), folder.path().join("thesis"));
    fs::create_dir_all(out.join("below")).unwrap();
    fs::write(&thesis, "mine").unwrap();
    let sha256 = hash(&thesis, &Host::detached()).unwrap().sha256;
    let paths = ["../thesis", "below/../../thesis", "/thesis", thesis.to_str().unwrap()];
    let outputs = paths.map(|path| Output { path: path.to_owned(), sha256: sha256.clone() });
    fs::write(out.join(MANIFEST), manifest(outputs.to_vec()).to_json().unwrap()).unwrap();
    leave(&out, FIRST).unwrap();
    assert_eq!(fs::read_to_string(&thesis).unwrap(), "mine");
}

#[cfg(unix)]
#[test]
fn no_link_is_written_through_or_removed_and_no_input_replaced() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (out, elsewhere) = (folder.path().join("out"), folder.path().join("elsewhere"));
    fs::create_dir_all(&elsewhere).unwrap();
    fs::create_dir_all(&out).unwrap();
    for (link, found) in [("stages", "stages"), ("models", "models"), (MANIFEST, MANIFEST), (OWN, OWN)] {
        symlink(&elsewhere, out.join(link)).unwrap();
        let told = match OutDirectory::open(&out, &Host::detached(), || ()).map(drop) {
            Ok(()) => in_the_way(&out),
            Err(OutError::InTheWay { found, .. }) => found,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(told, [found]);
        fs::remove_file(out.join(link)).unwrap();
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);

    // What a run left and was replaced by a link to its copy is not its own any more.
    leave(&out, FIRST).unwrap();
    fs::rename(out.join("models/m/weights"), elsewhere.join("weights")).unwrap();
    symlink(elsewhere.join("weights"), out.join("models/m/weights")).unwrap();
    assert_eq!(in_the_way(&out), ["models/m/weights"]);
    fs::remove_file(out.join("models/m/weights")).unwrap();

    // An input, by its own name, by another, or by a link.
    let table = out.join("stages/s/table");
    fs::hard_link(&table, elsewhere.join("hard")).unwrap();
    symlink(&table, elsewhere.join("soft")).unwrap();
    let around = out.join("stages/../stages/s/table");
    for input in [table.clone(), around, elsewhere.join("hard"), elsewhere.join("soft"), out.join(MANIFEST)] {
        let error = open(&out).survey(&targets(), std::slice::from_ref(&input), &Host::detached()).unwrap_err();
        assert!(matches!(error, OutError::Input { .. }), "{}: {error}", input.display());
    }
    // The directory itself may be one.
    symlink(&out, folder.path().join("link")).unwrap();
    leave(&folder.path().join("link"), SECOND).unwrap();
    assert_eq!(fs::read_to_string(out.join("models/m/weights")).unwrap(), "2");
}

#[test]
fn a_move_that_fails_is_undone_with_all_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    leave(out, FIRST).unwrap();
    let before = all(out);
    let mut directory = open(out);
    let host = Host::detached();
    let outputs = gather(&directory, SECOND);
    let mut survey = directory.survey(&targets(), &[], &host).unwrap();
    // Something came to be where a report goes: told before the first move.
    fs::create_dir_all(out.join("report.html")).unwrap();
    let planned = directory.put_in_place(&survey, &outputs, &host).unwrap_err();
    assert!(matches!(&planned, OutError::InTheWay { found, .. } if found == &["report.html"]), "{planned}");
    fs::remove_dir(out.join("report.html")).unwrap();
    // And in the middle of it: a file to be set aside is gone.
    survey.earlier.insert("stages/s/gone".to_owned(), String::new());
    let error = directory.put_in_place(&survey, &outputs, &host).unwrap_err();
    assert!(matches!(error, OutError::Disk { .. }), "{error}");
    drop(directory);
    assert_eq!(all(out), before);
    leave(out, SECOND).unwrap();
}

/// An out directory of the first run, and one of the second over it that was killed after so many moves.
fn killed(out: &Path, done: usize) -> usize {
    leave(out, FIRST).unwrap();
    let host = Host::detached();
    let directory = open(out);
    let outputs = gather(&directory, SECOND);
    let survey = directory.survey(&targets(), &[], &host).unwrap();
    let journal = directory.plan(&survey, &outputs, &host).unwrap();
    directory.note(&journal).unwrap();
    let moves: Vec<_> = directory.moves(&journal).collect();
    for (from, to) in moves.iter().take(done) {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(from, to).unwrap();
        let lies = out.join(MANIFEST).exists() && done != moves.len();
        assert!(!lies, "a manifest tells what is there");
    }
    moves.len()
}

/// What a run killed after any number of moves leaves is, to the next run, the run before or the new one, whole.
#[test]
fn a_kill_at_any_move_leaves_the_run_before_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    leave(&first, FIRST).unwrap();
    leave(&second, FIRST).unwrap();
    leave(&second, SECOND).unwrap();
    let (before, after) = (all(&first), all(&second));
    let moves = before.len() + after.len();
    for done in 0..=moves {
        let out = folder.path().join(format!("killed-{done}"));
        assert_eq!(killed(&out, done), moves);
        drop(open(&out));
        assert_eq!(all(&out), if done == moves { after.clone() } else { before.clone() }, "after {done} moves");
    }
}

/// The user may work in the directory before the next run puts it right.
#[test]
fn what_somebody_put_there_after_a_kill_is_neither_moved_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    for (done, mine) in [(2, "models/m/weights"), (5, "models/m/weights"), (6, "report.html"), (3, "stages/s/table")] {
        let out = folder.path().join(format!("{done}-{}", mine.replace('/', "-")));
        killed(&out, done);
        fs::create_dir_all(out.join(mine).parent().unwrap()).unwrap();
        fs::write(out.join(mine), "mine").unwrap();
        let before = all(&out);
        match OutDirectory::open(&out, &Host::detached(), || ()).map(drop) {
            Err(OutError::InTheWay { found, .. }) => assert_eq!(found, [mine]),
            other => panic!("{other:?}"),
        }
        assert_eq!(all(&out), before);
        fs::rename(out.join(mine), folder.path().join("elsewhere")).unwrap();
        let opened = OutDirectory::open(&out, &Host::detached(), || ()).map(drop);
        assert!(opened.is_ok(), "{opened:?}");
    }
}

#[test]
fn a_journal_that_does_not_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(OWN);
    fs::create_dir_all(own.join(OLD)).unwrap();
    fs::write(own.join(LOCK), SIGN).unwrap();
    fs::write(own.join(OLD).join("table"), "1").unwrap();
    fs::write(own.join("journal.json"), "{}").unwrap();
    for _ in 0..2 {
        let error = OutDirectory::open(folder.path(), &Host::detached(), || ()).unwrap_err();
        assert!(matches!(error, OutError::Journal { .. }), "{error}");
        assert_eq!(fs::read_to_string(own.join(OLD).join("table")).unwrap(), "1");
    }
}

#[test]
fn two_runs_into_one_directory_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let held = open(folder.path());
    std::thread::scope(|scope| {
        let (sender, waits) = std::sync::mpsc::channel();
        let out = folder.path();
        let other = scope.spawn(move || {
            drop(OutDirectory::open(out, &Host::detached(), || sender.send(()).unwrap()).unwrap());
            assert!(!out.join(OWN).exists());
        });
        waits.recv().unwrap();
        assert!(held.own.join(LOCK).exists());
        drop(held);
        other.join().unwrap();
    });
}

#[test]
fn the_store_of_a_repeat_is_kept_until_it_is_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path());
    directory.store().unwrap();
    drop(directory);
    assert!(folder.path().join(OWN).join(REPEAT).exists(), "it was stopped");
    let mut directory = open(folder.path());
    directory.begin().unwrap();
    directory.write_manifest(&manifest(Vec::new())).unwrap();
    let survey = directory.survey(&targets(), &[], &Host::detached()).unwrap();
    directory.put_in_place(&survey, &[], &Host::detached()).unwrap();
    drop(directory);
    assert_eq!(files_below(folder.path()).unwrap(), [MANIFEST]);
}

#[test]
fn no_run_goes_into_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    Store::create(&root).unwrap();
    let before = files_below(&root).unwrap();
    for out in ["", "steps", "steps/x/y", "recent", "../store/locks/.."] {
        let error = OutDirectory::open(&root.join(out), &Host::detached(), || ()).unwrap_err();
        assert!(matches!(error, OutError::InStore { .. }), "{out}: {error}");
    }
    assert_eq!(files_below(&root).unwrap(), before);
    drop(open(&folder.path().join("beside")));
}
