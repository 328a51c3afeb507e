use proptest::prelude::*;
use serde_json::Map;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn recipe(setting: u64) -> Value {
    json!({ "setting": setting })
}

/// Puts a step with a file into the store.
fn put(store: &Store, setting: u64) -> Entry {
    let claim = store.claim(&Key::of(&recipe(setting)), || ()).unwrap();
    fs::create_dir(claim.directory.join("below")).unwrap();
    fs::write(claim.directory.join("below/file"), format!("made of {setting}")).unwrap();
    let mut figures = Map::new();
    figures.insert("setting".to_owned(), setting.into());
    let step =
        StepRecord { name: "toy.a".to_owned(), kind: "toy".to_owned(), seconds: 0.5, figures, ..Default::default() };
    store.commit(claim, recipe(setting), step).unwrap()
}

#[test]
fn what_was_put_is_found_whole() {
    let (_folder, store) = store();
    assert!(store.get(&Key::of(&recipe(1))).unwrap().is_none());
    let made = put(&store, 1);
    let found = store.get(&made.key).unwrap().unwrap();
    assert_eq!(found.record.files.keys().collect::<Vec<_>>(), ["below/file"]);
    assert_eq!((&found.record.recipe, &found.record.step), (&recipe(1), &made.record.step));
    assert_eq!((found.damaged(), found.bytes()), (Vec::new(), 9));
    assert!(store.root().join("partial").read_dir().unwrap().next().is_none(), "nothing is left aside");
}

#[test]
fn damage_is_seen() {
    let (_folder, store) = store();
    let entry = put(&store, 1);
    fs::write(entry.directory.join("below/file"), "made of 2").unwrap();
    assert_eq!(entry.damaged(), ["below/file"]);
    fs::remove_file(entry.directory.join("below/file")).unwrap();
    assert_eq!(entry.damaged(), ["below/file"]);
    fs::write(entry.directory.join(RECORD), "{").unwrap();
    assert!(store.get(&entry.key).unwrap().is_none());
    assert_eq!(store.unreadable().unwrap(), [entry.directory]);
}

#[test]
fn a_claim_clears_what_a_killed_run_left_and_is_held_alone() {
    let (_folder, store) = store();
    let key = Key::of(&recipe(1));
    let claim = store.claim(&key, || ()).unwrap();
    fs::write(claim.directory.join("half"), "").unwrap();
    std::thread::scope(|scope| {
        let (sender, waits) = std::sync::mpsc::channel();
        let (store, key) = (&store, &key);
        let other = scope.spawn(move || store.claim(key, || sender.send(()).unwrap()).unwrap());
        // It waits, and says so, until the first claim is given up.
        waits.recv().unwrap();
        drop(claim);
        let claim = other.join().unwrap();
        assert!(claim.directory.read_dir().unwrap().next().is_none());
    });
}

#[test]
fn steps_are_found_by_their_records() {
    let (_folder, store) = store();
    (1..4).for_each(|setting| drop(put(&store, setting)));
    let found = store.find(|record| record.recipe["setting"].as_u64() > Some(1)).unwrap();
    let mut settings: Vec<u64> =
        found.iter().filter_map(|entry| entry.record.step.figures["setting"].as_u64()).collect();
    settings.sort_unstable();
    assert_eq!(settings, [2, 3]);
}

#[test]
fn only_what_nobody_needs_is_collected() {
    let (_folder, store) = store();
    let (used, old) = (put(&store, 1), put(&store, 2));
    used.touch();
    old.touch();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(old.directory.join(USED)).unwrap().set_modified(long_ago).unwrap();
    // What a step that is finished was to go on from, what one that is not is to go on from, and remains of a kill.
    let unfinished = Key::of(&recipe(3));
    for directory in [store.unfinished(&used.key), store.unfinished(&unfinished), store.root().join("partial/x")] {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("state"), "1234").unwrap();
    }
    let claim = store.claim(&Key::of(&recipe(4)), || ()).unwrap();
    let collected = store.collect(Duration::from_secs(600)).unwrap();
    assert_eq!(collected, Collected { steps: 1, bytes: 9 + 4 + 4 });
    assert!(used.directory.exists() && !old.directory.exists());
    assert!(store.unfinished(&unfinished).exists() && !store.unfinished(&used.key).exists());
    assert!(claim.directory.exists(), "another run is at it");
    store.forget_unfinished(&unfinished);
    assert!(!store.unfinished(&unfinished).exists());
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
fn another_folder_is_no_store_and_a_newer_one_is_told() {
    let (_folder, store) = store();
    let format = store.root().join("format");
    fs::write(&format, "2\n").unwrap();
    assert!(matches!(Store::open(store.root()), Err(StoreError::Newer { found: 2, .. })));
    fs::write(&format, "a store?").unwrap();
    let error = Store::open(store.root()).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }) && !error.is_ours());
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
