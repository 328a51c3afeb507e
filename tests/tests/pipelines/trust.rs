//! Which libraries are loaded: where they are looked for, and which are refused.

use std::process::Command;

use txray_tests::{Folder, rust_plugin};

/// A pipeline that names the plugin `energy` and says `more` of it.
fn pipeline(folder: &Folder, more: &str) {
    folder.write("pipeline.toml", format!("[plugin.energy]\n{more}\n"));
}

/// Puts a copy of the library into a folder.
fn install(folder: &Folder, directory: &str) {
    std::fs::create_dir_all(folder.path(directory)).unwrap();
    let library = rust_plugin("energy");
    std::fs::copy(&library, folder.path(directory).join(library.file_name().unwrap())).unwrap();
}

/// Runs `check` with the plugin path and the home directory of a test.
fn check(folder: &Folder, plugin_path: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(txray_tests::txray());
    command.args(["check", "pipeline.toml"]).args(args).current_dir(folder.path(""));
    command.env("HOME", folder.path("home")).env_remove("XDG_DATA_HOME").env("TXRAY_PLUGIN_PATH", plugin_path);
    let output = command.env("NO_COLOR", "1").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said.split_whitespace().filter(|&word| word != "│").collect::<Vec<_>>().join(" "))
}

#[test]
fn a_plugin_is_found_by_name_in_the_plugin_directories_and_nowhere_else() {
    let folder = Folder::new();
    pipeline(&folder, "");
    // Beside the pipeline, and in the working directory: not looked at.
    install(&folder, "");
    let (code, said) = check(&folder, "", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no libenergy.so in"), "{said}");

    install(&folder, "here");
    assert_eq!(check(&folder, "", &["--plugin-dir", "here"]).0, Some(0));
    let here = folder.path("here").to_str().unwrap().to_owned();
    assert_eq!(check(&folder, &here, &[]).0, Some(0));
    // `here` of the working directory is not what an environment variable may mean.
    let (code, said) = check(&folder, "here", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("TXRAY_PLUGIN_PATH has `here`"), "{said}");

    if cfg!(target_os = "linux") {
        install(&folder, "home/.local/share/txray/plugins");
        assert_eq!(check(&folder, "", &[]).0, Some(0));
    }
}

#[test]
fn the_hash_is_held_against_the_file_before_it_is_opened() {
    let folder = Folder::new();
    // No library at all: it would not open.
    folder.write("libenergy.so", "what somebody put there");
    let hash = "0".repeat(64);
    pipeline(&folder, &format!("path = \"libenergy.so\"\nsha256 = \"{hash}\""));
    let (code, said) = check(&folder, "", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("was asked for") && !said.contains("as a dynamic library"), "{said}");
}

#[test]
fn no_plugins_loads_none() {
    let folder = Folder::new();
    install(&folder, "here");
    pipeline(&folder, "");
    let (code, said) = check(&folder, "", &["--plugin-dir", "here", "--no-plugins"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("plugins are turned off by --no-plugins"), "{said}");
}

#[cfg(unix)]
#[test]
fn what_everybody_could_have_written_is_refused_unless_it_is_allowed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    install(&folder, "here");
    pipeline(&folder, "");
    let library = folder.path("here").join(rust_plugin("energy").file_name().unwrap());
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let args = ["--plugin-dir", "here"];
    for (path, open, closed) in [(library.as_path(), 0o777, 0o755), (&folder.path("here"), 0o1777, 0o755)] {
        set(path, open);
        let (code, said) = check(&folder, "", &args);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("every user of this machine can write to"), "{said}");
        assert_eq!(check(&folder, "", &[&args[..], &["--allow-world-writable"]].concat()).0, Some(0));
        set(path, closed);
    }
    assert_eq!(check(&folder, "", &args).0, Some(0));
}
