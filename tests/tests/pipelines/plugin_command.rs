//! `txray plugin list | inspect | check`.

use txray_tests::{Folder, c_plugin, rust_plugin};

#[test]
fn list_tells_what_is_built_in_and_what_is_found() {
    let folder = Folder::new();
    let library = rust_plugin("energy");
    std::fs::create_dir(folder.path("here")).unwrap();
    std::fs::copy(&library, folder.path("here").join(library.file_name().unwrap())).unwrap();
    folder.write("here/libnone.so", "no library");
    let listed = folder.txray(["plugin", "list", "--plugin-dir", "here"]).succeeded().stdout;
    let line = |kind: &str| {
        let of = |line: &&str| line.split_whitespace().nth(1) == Some(kind);
        listed.lines().find(of).unwrap_or_else(|| panic!("{kind}: {listed}")).to_owned()
    };
    assert!(line("hellinger").contains("built in"), "{listed}");
    assert!(line("lstm").contains("cpu"), "{listed}");
    assert!(line("energy").contains("txray.metric/1") && line("energy").contains("libenergy.so"), "{listed}");
    assert!(listed.contains("not usable: here/libnone.so"), "{listed}");

    let none = folder.txray(["plugin", "list", "--plugin-dir", "here", "--no-plugins"]).succeeded().stdout;
    assert!(!none.contains("energy"), "{none}");
}

#[test]
fn inspect_tells_components_options_claims_and_the_hash() {
    let folder = Folder::new();
    let library = rust_plugin("energy");
    let told = folder.txray(["plugin", "inspect", library.to_str().unwrap()]).succeeded().stdout;
    let hash = sha2_of(&library);
    for word in ["txray.metric/1  energy", "claims: symmetric", "alpha", "number", &hash] {
        assert!(told.contains(word), "{word}: {told}");
    }
}

fn sha2_of(path: &std::path::Path) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn check_passes_what_keeps_its_word() {
    let folder = Folder::new();
    let library = rust_plugin("energy");
    let checked = folder.txray(["plugin", "check", library.to_str().unwrap(), "--cases", "16"]).succeeded().stdout;
    assert!(checked.contains("txray.metric/1  energy") && checked.contains("every property holds"), "{checked}");
    assert!(checked.matches("  pass  ").count() > 10 && !checked.contains("FAIL"), "{checked}");
}

#[test]
fn check_shows_what_does_not_hold_with_the_least_counterexample() {
    let folder = Folder::new();
    // The first stands in for the many that tests/tests/conformance.rs has.
    let library = rust_plugin("broken");
    let checked = folder.txray(["plugin", "check", library.to_str().unwrap(), "--cases", "16"]);
    assert_eq!(checked.code, Some(2), "{}", checked.stderr);
    assert!(checked.stdout.contains("  FAIL  is symmetric, as it claims"), "{}", checked.stdout);
    assert!(checked.stderr.contains("properties that do not hold"), "{}", checked.stderr);
}

#[test]
fn a_library_that_crashes_costs_nothing_but_its_own_process() {
    let folder = Folder::new();
    let at_load = c_plugin("crashes");
    for action in ["inspect", "check"] {
        let said = folder.txray(["plugin", action, at_load.to_str().unwrap()]).failed(2);
        assert!(said.contains("was loaded, and took its process down (signal: 6"), "{said}");
    }
    for (library, property) in [("crashes_in_create", "can be made"), ("crashes_in_call", "answers what it is asked")] {
        let checked = folder.txray(["plugin", "check", c_plugin(library).to_str().unwrap()]);
        assert_eq!(checked.code, Some(2), "{}", checked.stdout);
        let said = checked.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("was held to \"{property}\" (plain), and took its process down")), "{said}");
    }
}

#[test]
fn what_is_no_plugin_is_told_as_such() {
    let folder = Folder::new();
    let said = folder.txray(["plugin", "inspect", "none.so"]).failed(2);
    assert!(said.contains("cannot read none.so"), "{said}");
    let said = folder.txray(["plugin", "inspect", "none"]).failed(2);
    assert!(said.contains("there is no libnone.so in"), "{said}");
    let said = folder.txray(["plugin", "check", c_plugin("other_major").to_str().unwrap()]).failed(2);
    assert!(said.contains("of the plugin boundary"), "{said}");
}
