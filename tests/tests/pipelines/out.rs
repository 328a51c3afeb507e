//! What is the user's: the out directory, folders that are no store, inputs; and manifests that are run again.

use txray_tests::{Folder, SmallModel};

/// A loaded model over a text.
const LOADED: &str = "
[corpus.c]
kind = \"text\"
train = \"text.txt\"
valid = \"text.txt\"

[model.m]
path = \"model\"

[stage.s]
model = \"m\"
corpus = \"c.valid\"
";

fn loaded() -> Folder {
    let folder = Folder::new();
    SmallModel::new(32, 8).write(&folder.path("model"));
    folder.write("text.txt", "w1 w2 w3\nw4 w5 w6\nw1 w4\n");
    folder.write("p.toml", LOADED);
    folder
}

#[test]
fn the_folder_that_a_user_works_in_can_be_the_out_directory_and_nothing_in_it_is_lost() {
    let folder = loaded();
    let run = ["run", "p.toml", "--out", "."];
    for (mine, named) in [
        ("manifest.json", "manifest.json"),
        ("stages/s/notes.txt", "stages/s/notes.txt"),
        ("stages/s/below/x", "stages/s/below/x"),
        (".txray/x", ".txray"),
    ] {
        folder.write(mine, "mine");
        let list = || folder.files("").into_iter().filter(|file| !file.starts_with(".store")).collect::<Vec<_>>();
        let before = list();
        let said = folder.txray(run).failed(2);
        assert!(said.contains(named) && said.contains("another --out"), "{said}");
        assert_eq!(list(), before);
        let top = folder.path(mine.split('/').next().unwrap());
        if top.is_dir() { std::fs::remove_dir_all(top).unwrap() } else { std::fs::remove_file(top).unwrap() }
    }
    folder.write("stages/mine.txt", "mine");
    folder.txray(run).succeeded();
    folder.txray(run).succeeded();
    assert_eq!(std::fs::read_to_string(folder.path("stages/mine.txt")).unwrap(), "mine");

    // The model that is read stands where one of the run would go.
    folder.write(
        "own.toml",
        LOADED.replace(
            "\"model\"",
            "\"out/models/m\"\ntask = { kind = \"language-model\", corpus = \"c\" }\ntrain = { epochs = 1, batch = 1 }",
        ),
    );
    SmallModel::new(32, 8).write(&folder.path("out/models/m"));
    let before = folder.files("out");
    let said = folder.txray(["run", "own.toml", "--out", "out"]).failed(2);
    assert!(said.contains("models/m/model.safetensors"), "{said}");
    assert_eq!(folder.files("out"), before);
}

#[test]
fn what_an_earlier_run_left_of_steps_that_are_gone_goes() {
    let folder = loaded();
    let two = format!("{LOADED}\n[stage.t]\nmodel = \"m\"\ncorpus = \"c.train\"\n");
    folder.write("two.toml", two);
    folder.txray(["run", "two.toml", "--out", "out"]).succeeded();
    folder.write("out/notes.txt", "mine");
    folder.write("out/stages/t/coverage.json", "edited");
    folder.txray(["run", "p.toml", "--out", "out"]).succeeded();
    let left = folder.files("out");
    let of_t: Vec<&String> = left.iter().filter(|file| file.starts_with("stages/t")).collect();
    assert_eq!(of_t, ["stages/t/coverage.json"], "what was edited is the user's");
    assert!(left.contains(&"notes.txt".to_owned()));
}

#[test]
fn only_a_run_makes_a_store_and_no_other_folder_becomes_one() {
    let folder = loaded();
    for args in [&["store", "gc", "--unused-for", "0"][..], &["store", "list"], &["store", "verify"]] {
        let said = folder.txray(args).failed(2);
        assert!(said.contains("there is no store at"), "{said}");
        folder.write("thesis/steps/chapter", "mine");
        let said = folder.txray([args, &["--store", "thesis"]].concat()).failed(2);
        assert!(said.contains("thesis is no store"), "{said}");
    }
    let planned = folder.txray(["plan", "p.toml"]).succeeded().stdout;
    assert!(planned.contains("stage.s") && planned.contains("will run: it was never made"), "{planned}");
    assert!(!folder.path(".store").exists());
    let said = folder.txray(["run", "p.toml", "--out", "out", "--store", "thesis"]).failed(2);
    assert!(said.contains("thesis is no store"), "{said}");
    assert_eq!(folder.files("thesis"), ["steps/chapter"]);
    folder.txray(["run", "p.toml", "--out", "out"]).succeeded();
    folder.txray(["store", "verify"]).succeeded();
}

#[test]
fn a_manifest_runs_again_for_every_way_to_have_a_model() {
    let folder = loaded();
    let trained = "kind = \"lstm\"\nhidden = 4\nembedding = 3\ntask = { kind = \"language-model\", corpus = \"c\" }";
    let ways = [
        "path = \"model\"".to_owned(),
        "path = \"model\"\nkind = \"lstm\"".to_owned(),
        format!("{trained}\ntrain = {{ epochs = 1, batch = 1 }}"),
        format!(
            "{trained}\ncell = \"gru\"\nvocabulary = {{ min_count = 1 }}\ntrain = {{ epochs = 1, batch = 1, optimizer = \"adam\" }}"
        ),
        "path = \"model\"\ntask = { kind = \"language-model\", corpus = \"c\" }\ntrain = { epochs = 1, batch = 1 }"
            .to_owned(),
        format!("init = \"first@1\"\n[model.first]\n{trained}\ntrain = {{ epochs = 2, batch = 1, checkpoints = [1] }}"),
        format!(
            "init = \"first\"\ntask = {{ kind = \"language-model\", corpus = \"c\" }}\ntrain = {{ epochs = 1, batch = 1 }}\n\
             [model.first]\n{trained}\ntrain = {{ epochs = 1, batch = 1 }}"
        ),
        "init = \"first\"\n[model.first]\npath = \"model\"".to_owned(),
    ];
    for (index, way) in ways.iter().enumerate() {
        folder.write("way.toml", LOADED.replace("path = \"model\"", way));
        let (out, again) = (format!("out-{index}"), format!("again-{index}"));
        folder.txray(["run", "way.toml", "--out", &out]).succeeded();
        let manifest = format!("{out}/manifest.json");
        let told = folder.txray(["run", &manifest, "--out", &again]).succeeded();
        assert!(told.stdout.contains("Every table and every weight has the bytes of"), "{way}: {}", told.stdout);
        assert!(!folder.path(&again).join(".txray").exists());
        folder.txray(["check", &manifest]).succeeded();
        let planned = folder.txray(["plan", &manifest]).succeeded().stdout;
        assert!(planned.lines().all(|line| line.ends_with("done")), "{way}: {planned}");
        // Over itself it would replace what it reads.
        let said = folder.txray(["run", &manifest, "--out", &out]).failed(2);
        assert!(said.contains("manifest.json is read by this run"), "{said}");
    }
}

#[test]
fn a_repeat_tells_what_is_missing_and_what_is_new() {
    let folder = loaded();
    folder.txray(["run", "p.toml", "--out", "out"]).succeeded();
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path("out/manifest.json")).unwrap()).unwrap();
    let with = |outputs: serde_json::Value| {
        let mut manifest = manifest.clone();
        manifest["outputs"] = outputs;
        folder.write("m.json", manifest.to_string());
        folder.txray(["run", "m.json", "--out", "again"])
    };
    let all = manifest["outputs"].as_array().unwrap().clone();
    let tables = all.iter().filter(|output| output["path"].as_str().unwrap().ends_with(".parquet")).count();
    let none = with(serde_json::json!([]));
    assert_eq!(none.code, Some(2));
    assert_eq!(none.stdout.matches("not in the manifest: stages/s/").count(), tables, "{}", none.stdout);
    let more = [&all[..], &[serde_json::json!({ "path": "stages/x/a.parquet", "sha256": "0" })]].concat();
    let missing = with(more.into());
    assert_eq!(missing.code, Some(2));
    assert!(missing.stdout.contains("missing: stages/x/a.parquet"), "{}", missing.stdout);

    let mut nothing = manifest.clone();
    for table in ["model", "stage"] {
        nothing["settings"].as_object_mut().unwrap().shift_remove(table);
    }
    nothing["outputs"] = serde_json::json!([]);
    folder.write("nothing.json", nothing.to_string());
    let told = folder.txray(["run", "nothing.json", "--out", "nothing"]).succeeded();
    assert!(told.stdout.contains("there is nothing to agree with"), "{}", told.stdout);
}

#[test]
fn epochs_whose_numbers_begin_alike_are_listed_apart() {
    let folder = loaded();
    let trained = "kind = \"lstm\"\nhidden = 4\nembedding = 3\ntask = { kind = \"language-model\", corpus = \"c\" }\n\
                   train = { epochs = 10, batch = 1, checkpoints = [1, 10] }";
    folder.write("p.toml", LOADED.replace("path = \"model\"", trained));
    folder.txray(["run", "p.toml", "--out", "out"]).succeeded();
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path("out/manifest.json")).unwrap()).unwrap();
    let mut listed: Vec<String> = manifest["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|output| output["path"].as_str().unwrap().to_owned())
        .collect();
    listed.push("manifest.json".to_owned());
    listed.sort();
    assert_eq!(listed, folder.files("out"));
}
