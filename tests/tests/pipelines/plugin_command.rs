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

#[test]
fn inspect_tells_what_a_model_can_do() {
    let folder = Folder::new();
    let inspect =
        |library: &std::path::Path| folder.txray(["plugin", "inspect", library.to_str().unwrap()]).succeeded().stdout;
    let told = inspect(&c_plugin("remembers"));
    for line in [
        "  abilities: encode, predict, train, carry\n",
        "  tasks: language-model\n",
        "  record rules: top, above, all\n",
        "  also: masks, predictions\n",
        "  not known to this txray: rules: of years to come\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let told = inspect(&rust_plugin("txray-cpu"));
    assert!(told.contains("  sites by default: lstm.0.hidden (200)\n"), "{told}");
    let told = inspect(&rust_plugin("everything"));
    assert!(told.contains("  what it can do depends on its options: missing field `epochs`\n"), "{told}");
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

#[test]
fn what_a_plugin_prints_does_not_stand_between_the_answers() {
    let folder = Folder::new();
    let library = c_plugin("prints");
    let checked = folder.txray(["plugin", "check", library.to_str().unwrap(), "--cases", "16"]).succeeded().stdout;
    assert!(checked.contains("every property holds") && !checked.contains("half a line"), "{checked}");
    assert!(checked.matches("  pass  ").count() > 10, "{checked}");
}

#[test]
fn nothing_that_a_plugin_says_moves_the_terminal() {
    let folder = Folder::new();
    let library = c_plugin("colours");
    std::fs::create_dir(folder.path("here")).unwrap();
    std::fs::copy(&library, folder.path("here").join(library.file_name().unwrap())).unwrap();
    let inspected = folder.txray(["plugin", "inspect", library.to_str().unwrap()]).succeeded().stdout;
    let listed = folder.txray(["plugin", "list", "--plugin-dir", "here"]).succeeded().stdout;
    assert!(inspected.contains("\\u{1b}[31mred\\u{202e}") && inspected.contains("\\u{9b}clears"), "{inspected}");
    assert!(listed.contains("\\u{1b}[31mred"), "{listed}");
    for told in [inspected, listed] {
        assert!(!told.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{told:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_of_a_library_ends_with_the_one_that_asked_even_if_that_is_killed() {
    use std::time::{Duration, Instant};

    let folder = Folder::new();
    let mark = folder.path("mark");
    let library = txray_tests::c_plugin_with("hangs", &[&format!("-DMARK={mark:?}")]);
    let mut txray = std::process::Command::new(txray_tests::txray());
    txray.args(["plugin", "inspect"]).arg(library).stdout(std::process::Stdio::null());
    let mut asking = txray.stderr(std::process::Stdio::null()).spawn().unwrap();
    let soon = |is_so: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(30), "it did not come to that");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    soon(&|| std::fs::read_to_string(&mark).is_ok_and(|text| text.ends_with('\n')));
    let process = format!("/proc/{}/cmdline", std::fs::read_to_string(&mark).unwrap().trim());
    let runs = || std::fs::read(&process).is_ok_and(|line| !line.is_empty());
    assert!(runs(), "it hangs");
    asking.kill().unwrap();
    asking.wait().unwrap();
    soon(&|| !runs());
}

/// A run that a plugin ended in the middle of a call is a failure, whatever the plugin said.
#[test]
fn a_plugin_that_ends_a_run_is_named() {
    let folder = Folder::new();
    let library = c_plugin("ends_process");
    folder.write("text.txt", "the cat sat on the mat\n".repeat(20));
    folder.write(
        "pipeline.toml",
        format!(
            "[plugin.other]\npath = {library:?}\n\n[corpus.c]\nkind = \"text\"\ntest = \"text.txt\"\n\n\
             [model.lm]\nkind = \"lstm\"\nhidden = 4\nembedding = 4\ntrain.epochs = 1\ncorpus = \"c.test\"\n\n\
             [stage.a]\nmodel = \"lm\"\ncorpus = \"c.test\"\n\n\
             [comparison.same]\nfrom = \"a\"\nto = \"a\"\nmetrics = [{{ kind = \"ends\", by = \"c\" }}]\n"
        ),
    );
    let said = folder.txray(["check", "pipeline.toml"]).failed(1);
    assert_eq!(said, "the plugin `ends` ended the process in its call of `create`");
}
