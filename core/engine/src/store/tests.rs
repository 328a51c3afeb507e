use std::time::Duration;

use proptest::prelude::*;
use serde_json::Map;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn recipe(setting: u64) -> Value {
    json!({ "setting": setting })
}

/// Puts a step with a file into the store.
fn put(store: &Store, setting: u64) -> Entry {
    let claim = store.claim(&Key::of(&recipe(setting)), &Host::detached(), || ()).unwrap();
    fs::create_dir(claim.directory.join("below")).unwrap();
    fs::write(claim.directory.join("below/file"), format!("made of {setting}")).unwrap();
    let mut figures = Map::new();
    figures.insert("setting".to_owned(), setting.into());
    let step =
        StepRecord { name: "toy.a".to_owned(), kind: "toy".to_owned(), seconds: 0.5, figures, ..Default::default() };
    store.commit(claim, recipe(setting), step, &Host::detached()).unwrap()
}

fn hold(store: &Store, key: &Key) -> Found {
    store.hold(key, &Host::detached()).unwrap()
}

fn damaged(store: &Store, key: &Key) -> Vec<String> {
    match hold(store, key) {
        Found::Damaged(files) => files,
        other => panic!("{other:?}"),
    }
}

/// Whoever comes while another begins it finds a store, or nothing.
#[test]
fn a_store_that_many_begin_at_once_is_one() {
    for _ in 0..500 {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let together = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    together.wait();
                    Store::create(&root).unwrap();
                });
            }
        });
    }
}

#[test]
fn what_was_put_is_found_whole() {
    let (_folder, store) = store();
    assert!(matches!(hold(&store, &Key::of(&recipe(1))), Found::Nothing));
    let made = put(&store, 1);
    let Found::Whole(found) = hold(&store, &made.key) else { panic!() };
    assert_eq!(found.record.files.keys().collect::<Vec<_>>(), ["below/file"]);
    assert_eq!((&found.record.recipe, &found.record.step), (&recipe(1), &made.record.step));
    assert_eq!(found.bytes(), 9);
    assert!(found.has("below") && found.has("below/file") && !found.has("bel") && !found.has("above"));
    assert!(store.root().join("partial").read_dir().unwrap().next().is_none(), "nothing is left aside");
}

#[test]
fn any_bit_that_flips_in_an_entry_is_seen() {
    let (_folder, store) = store();
    let entry = put(&store, 1);
    for file in ["below/file", RECORD] {
        let path = entry.directory.join(file);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, flipped).unwrap();
            assert_eq!(damaged(&store, &entry.key), [file], "byte {at}");
        }
        fs::write(&path, &bytes[1..]).unwrap();
        assert_eq!(damaged(&store, &entry.key), [file]);
        fs::write(&path, &bytes).unwrap();
    }
    assert!(matches!(hold(&store, &entry.key), Found::Whole(_)));
    fs::remove_file(entry.directory.join("below/file")).unwrap();
    assert_eq!(damaged(&store, &entry.key), ["below/file"]);
}

#[test]
fn an_entry_under_the_key_of_another_is_damaged() {
    let (_folder, store) = store();
    let (one, two) = (put(&store, 1), put(&store, 2));
    let aside = store.root().join("steps/aside");
    for (from, to) in [(&one.directory, &aside), (&two.directory, &one.directory), (&aside, &two.directory)] {
        fs::rename(from, to).unwrap();
    }
    assert_eq!(damaged(&store, &one.key), [RECORD]);
    assert_eq!(store.unreadable().unwrap().len(), 2);
    assert!(store.entries().unwrap().is_empty());
}

#[test]
fn what_cannot_be_read_is_made_again() {
    let (_folder, store) = store();
    let entry = put(&store, 1);
    // A folder where the record is meant, and a file where the entry is.
    fs::remove_file(entry.directory.join(RECORD)).unwrap();
    fs::create_dir(entry.directory.join(RECORD)).unwrap();
    assert_eq!(damaged(&store, &entry.key), [RECORD]);
    put(&store, 1);
    assert!(matches!(hold(&store, &entry.key), Found::Whole(_)));
    remove_all(&entry.directory).unwrap();
    fs::write(&entry.directory, "").unwrap();
    assert_eq!(damaged(&store, &entry.key), [RECORD]);
    put(&store, 1);
    assert!(matches!(hold(&store, &entry.key), Found::Whole(_)));
}

#[test]
fn a_claim_clears_what_a_killed_run_left_and_is_held_alone() {
    let (_folder, store) = store();
    let key = Key::of(&recipe(1));
    let claim = store.claim(&key, &Host::detached(), || ()).unwrap();
    fs::write(claim.directory.join("half"), "").unwrap();
    std::thread::scope(|scope| {
        let (sender, waits) = std::sync::mpsc::channel();
        let (store, key) = (&store, &key);
        let other = scope.spawn(move || store.claim(key, &Host::detached(), || sender.send(()).unwrap()).unwrap());
        // It waits, and says so, until the first claim is given up.
        waits.recv().unwrap();
        drop(claim);
        let claim = other.join().unwrap();
        assert!(claim.directory.read_dir().unwrap().next().is_none());
    });
}

fn collect(store: &Store, unused: u64) -> Collected {
    store.collect(Duration::from_secs(unused), &Host::detached()).unwrap()
}

fn age(path: &Path) {
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

#[test]
fn only_what_nobody_needs_is_collected() {
    let (_folder, store) = store();
    let (used, old, damaged) = (put(&store, 1), put(&store, 2), put(&store, 5));
    for entry in [&used, &old, &damaged] {
        entry.touch();
    }
    age(&old.directory.join(USED));
    let keys = [&used, &old, &damaged].map(|entry| entry.key.clone());
    let [used_at, old_at, damaged_at] = [&used, &old, &damaged].map(|entry| entry.directory.clone());
    fs::write(damaged_at.join("below/file"), "x").unwrap();
    assert_eq!(collect(&store, 600), Collected::default(), "runs hold them");
    drop((old, damaged));
    // What a step that is finished was to go on from, and two that are not are; and remains of kills.
    let [unfinished, abandoned, killed] = [3, 6, 7].map(|setting| Key::of(&recipe(setting)));
    let remains = store.root().join("partial").join(killed.as_str());
    for directory in
        [store.unfinished(&used.key), store.unfinished(&unfinished), store.unfinished(&abandoned), remains.clone()]
    {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("state"), "1234").unwrap();
    }
    for path in [store.unfinished(&abandoned).join("state"), store.root().join("partial/recent.123")] {
        fs::write(&path, "1234").unwrap();
        age(&path);
    }
    // Directories have their own times, which a test cannot set everywhere: without the file they are all there is.
    fs::File::open(store.unfinished(&abandoned)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let claim = store.claim(&Key::of(&recipe(4)), &Host::detached(), || ()).unwrap();
    let collected = collect(&store, 600);
    assert_eq!(collected, Collected { steps: 2, damaged: 1, kept: 0, trainings: 1, bytes: 9 + 9 + 4 + 4 + 4 });
    assert!(used_at.exists() && !old_at.exists() && !damaged_at.exists() && !remains.exists());
    assert!(store.unfinished(&unfinished).exists() && !store.unfinished(&used.key).exists());
    assert!(!store.unfinished(&abandoned).exists() && !store.root().join("partial/recent.123").exists());
    assert!(claim.directory.exists(), "another run is at it");
    let locks: Vec<_> =
        fs::read_dir(store.root().join("locks")).unwrap().map(|lock| lock.unwrap().file_name()).collect();
    assert!(locks.iter().all(|lock| !lock.to_str().unwrap().starts_with(keys[1].as_str())), "{locks:?}");
    store.forget_unfinished(&unfinished);
    assert!(!store.unfinished(&unfinished).exists());

    // In the end everything goes, but what is held.
    drop(claim);
    assert_eq!(collect(&store, 0).steps, 0);
    drop(used);
    assert_eq!(collect(&store, 0).steps, 1);
    for part in ["steps", "partial", "unfinished", "locks"] {
        assert!(fs::read_dir(store.root().join(part)).unwrap().next().is_none(), "{part}");
    }
}

#[test]
fn what_others_put_into_a_store_is_not_touched_and_breaks_nothing() {
    let (_folder, store) = store();
    let entry = put(&store, 1);
    let others =
        [".DS_Store", "steps/.DS_Store", "steps/notes", "partial/x/y", "unfinished/thesis", "locks/mine", "recent/z"];
    for other in others {
        let path = store.root().join(other);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        if path.is_file() {
            age(&path);
        }
    }
    fs::write(entry.directory.join(".DS_Store"), "").unwrap();
    let noted = put(&store, 2);
    let notes = noted.directory.join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    drop(noted);
    fs::create_dir(store.root().join("locks").join(Key::of(&recipe(9)).as_str())).unwrap();
    assert!(matches!(hold(&store, &entry.key), Found::Whole(_)));
    assert_eq!(store.entries().unwrap().len(), 2);
    assert!(store.unreadable().unwrap().is_empty());
    drop(entry);
    let collected = collect(&store, 0);
    assert_eq!((collected.steps, collected.kept), (1, 1));
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    // Nor is it lost where the step is damaged, and made again.
    fs::write(notes.with_file_name("below").join("file"), "x").unwrap();
    let claim = store.claim(&Key::of(&recipe(2)), &Host::detached(), || ()).unwrap();
    let error = store.commit(claim, recipe(2), StepRecord::default(), &Host::detached()).unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "mine");
    for other in others {
        assert_eq!(fs::read_to_string(store.root().join(other)).unwrap(), "mine", "{other}");
    }
}

#[test]
fn an_entry_that_is_held_survives_collecting_at_any_moment() {
    let (_folder, store) = store();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                collect(&store, 0);
            }
        });
        for round in 0..60 {
            let key = Key::of(&recipe(round % 3));
            let entry = match hold(&store, &key) {
                Found::Whole(entry) => *entry,
                Found::Nothing => put(&store, round % 3),
                Found::Damaged(files) => panic!("{files:?}"),
            };
            for _ in 0..3 {
                assert!(entry.damaged(&Host::detached()).is_empty());
                std::thread::yield_now();
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        collector.join().unwrap();
    });
}

#[test]
fn a_pipeline_is_remembered_by_whatever_name() {
    let (_folder, store) = store();
    for name in ["quickstart", "../../x", "", "/etc/passwd"] {
        assert!(store.recent(name).is_empty());
        store.remember(name, [("toy.a".to_owned(), &recipe(1))].into_iter());
        assert_eq!(store.recent(name)["toy.a"], recipe(1));
    }
    assert_eq!(store.root().join("recent").read_dir().unwrap().count(), 4, "and all of it is in its place");
}

#[test]
fn another_folder_is_no_store_and_nothing_in_it_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let list = || crate::files::files_below(folder.path()).unwrap();
    assert!(matches!(Store::open(&folder.path().join("none")), Err(StoreError::Missing { .. })));
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Missing { .. })));
    for files in [&["thesis.tex"][..], &["steps/x", "partial/y"], &[".hidden"]] {
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let before = list();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::NotAStore { .. })));
        assert!(matches!(Store::create(folder.path()), Err(StoreError::NotAStore { .. })));
        assert_eq!(list(), before);
    }
    let (_folder, store) = store();
    assert!(Store::open(store.root()).is_ok());
    let format = store.root().join(FORMAT_FILE);
    fs::write(&format, "2\n").unwrap();
    assert!(matches!(Store::open(store.root()), Err(StoreError::Newer { found: 2, .. })));
    for other in ["a store?", "\u{fffd}", "-1"] {
        fs::write(&format, other).unwrap();
        let error = Store::open(store.root()).unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }) && !error.is_ours());
    }
    // A run that was killed at once.
    fs::write(&format, "").unwrap();
    assert!(Store::create(store.root()).is_ok());
}

/// Values with tables whose keys can be given in any order.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-d]", inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn turned(value: &Value) -> Value {
    match value {
        Value::Object(table) => {
            Value::Object(table.iter().rev().map(|(key, value)| (key.clone(), turned(value))).collect())
        }
        Value::Array(items) => items.iter().map(turned).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn a_key_is_that_of_what_a_recipe_says(a in value(), b in value()) {
        prop_assert_eq!(Key::of(&a), Key::of(&turned(&a)), "the order of keys says nothing");
        prop_assert_eq!(Key::of(&a) == Key::of(&b), a == b);
    }
}
