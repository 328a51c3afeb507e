//! What editors and shells are told: the schema of pipelines, and completions.

use std::path::PathBuf;

use serde_json::{Value, json};
use txray_tests::{Folder, c_plugin, invalid, path, rust_plugin};

fn schema(args: &[&str]) -> Value {
    let ran = Folder::new().txray([&["schema"], args].concat()).succeeded();
    assert_eq!(ran.stderr, "");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn toml(text: &str) -> Value {
    toml::from_str(text).unwrap()
}

/// What the schema finds wrong with a pipeline that is whole but for keys that are required: documents show parts.
fn wrong(schema: &Value, text: &str) -> Vec<String> {
    let mut wrong = invalid(schema, &toml(text));
    wrong.retain(|error| !error.contains("is not by required"));
    wrong
}

/// Pipelines that the tests run are held to the schema as well, and those that the fuzzer comes upon.
#[test]
fn what_the_documents_show_is_valid() {
    let (schema, mut shown) = (schema(&[]), 0);
    let documents = std::fs::read_dir(path("../docs")).unwrap().map(|entry| entry.unwrap().path());
    // That page shows what is wrong.
    let is_page = |document: &std::path::PathBuf| document.extension().is_some_and(|extension| extension == "md");
    let documents = documents.filter(|document| is_page(document) && !document.ends_with("troubleshooting.md"));
    for document in documents.chain([path("../README.md")]) {
        let text = std::fs::read_to_string(&document).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            assert_eq!(wrong(&schema, block), [""; 0], "{}: {block}", document.display());
            shown += 1;
        }
    }
    for entry in std::fs::read_dir(path("../configs")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert_eq!(invalid(&schema, &toml(&text)), [""; 0]);
        shown += 1;
    }
    assert!(shown >= 6, "{shown}");
}

#[test]
fn what_is_wrong_by_itself_is_told() {
    let schema = schema(&[]);
    for (text, place) in [
        ("sed = 1", "/sed"),
        ("seed = \"one\"", "/seed"),
        ("seed = -1", "/seed"),
        ("[stages.a]\nmodel = \"lm\"", "/stages"),
        ("[plugin.a]\npaths = \"x.so\"", "/plugin/a/paths"),
        ("[corpus.a]\ntrain = \"x\"", "/corpus/a"),
        ("[corpus.a]\nkind = \"txt\"\ntrain = \"x\"", "/corpus/a/kind"),
        ("[corpus.a]\nkind = \"text\"\ntrian = \"x\"", "/corpus/a/trian"),
        ("[corpus.a]\nkind = \"text\"\ndomain = \"kitchen\"", "/corpus/a/domain"),
        ("[corpus.a]\nkind = \"text\"\ntrain = 1", "/corpus/a/train"),
        ("[corpus.a]\nkind = \"grammar\"\ndomain = \"kitchn\"", "/corpus/a/domain"),
        ("[model.lm]\nkind = \"lstm\"\nhiden = 4", "/model/lm/hiden"),
        ("[model.lm]\nkind = \"lstm\"\nhidden = \"4\"", "/model/lm/hidden"),
        ("[model.lm]\nkind = \"lstm\"\ntask = { kind = \"language\", corpus = \"a\" }", "/model/lm/task/kind"),
        ("[model.lm]\nkind = \"lstm\"\ntrain = { epoch = 4 }", "/model/lm/train/epoch"),
        ("[model.lm]\nkind = \"lstm\"\ntrain = { checkpoints = [\"1\"] }", "/model/lm/train/checkpoints/0"),
        ("[model.lm]\ninit = 1", "/model/lm/init"),
        ("[model.lm]\ninit = \"a\"\ntrain = { checkpoints = 1 }", "/model/lm/train/checkpoints"),
        ("[stage.a]\nmodel = \"lm\"\nlayers = \"word\"", "/stage/a/layers"),
        ("[stage.a]\nsource = 1", "/stage/a/source"),
        ("[comparison.a]\nfrom = \"a\"", "/comparison/a"),
        ("[comparison.a]\nfrom = \"a\"\nto = \"b\"\nmetrics = [1]", "/comparison/a/metrics/0"),
        ("[comparison.a]\nfrom = \"a\"\nto = \"b\"\nmetrics = [{ k = 1 }]", "/comparison/a/metrics/0"),
        (
            "[comparison.a]\nfrom = \"a\"\nto = \"b\"\nmetrics = [{ kind = \"hellinger\", base = 1 }]",
            "/comparison/a/metrics/0/base",
        ),
        ("[pruning.a]\ncomparison = \"a\"\npruner = []", "/pruning/a/pruner"),
        ("[report]\nhtml = 1", "/report/html"),
    ] {
        let errors = invalid(&schema, &toml(text));
        let [error] = &errors[..] else { panic!("one error of {text}, not {errors:?}") };
        assert!(error.starts_with(&format!("{place}:")), "{text}: {error}");
    }
}

/// A plugin of the pipeline brings kinds that the schema does not know.
#[test]
fn kinds_of_plugins_that_are_not_at_hand_are_taken_and_those_at_hand_held_to_their_options() {
    let pipeline = |alpha: Value| {
        json!({
            "plugin": { "other": { "path": "other.so" } },
            "model": {
                "a": { "kind": "other", "size": 4, "train": { "epochs": 2, "checkpoints": [1] } },
                "b": { "path": "b", "size": 4 },
            },
            "stage": { "a": { "source": "other" }, "b": { "source": { "kind": "other", "size": 4 } } },
            "comparison": { "a": { "from": "a", "to": "b", "metrics": ["other", { "kind": "energy", "alpha": alpha }] } },
            "report": { "other": { "size": 4 } },
        })
    };
    let without = schema(&[]);
    assert_eq!(invalid(&without, &pipeline("x".into())), [""; 0]);

    let folder = Folder::new();
    let take = |library: PathBuf| {
        let copy = folder.path(library.file_name().unwrap());
        std::fs::copy(library, &copy).unwrap();
        copy
    };
    let library = take(rust_plugin("energy"));
    let with = schema(&["--plugin-dir", folder.path("").to_str().unwrap()]);
    assert_eq!(invalid(&with, &pipeline(1.5.into())), [""; 0]);
    let errors = invalid(&with, &pipeline("x".into()));
    assert!(errors[0].starts_with("/comparison/a/metrics/1/alpha:"), "{errors:?}");

    // One of a built-in's name, and one whose words do things to a terminal.
    take(c_plugin("stands_in"));
    take(c_plugin("colours"));
    let with = schema(&["--plugin-dir", folder.path("").to_str().unwrap()]);
    let one = |metric: Value| json!({ "comparison": { "a": { "from": "a", "to": "b", "metrics": [metric] } } });
    assert_eq!(invalid(&with, &one(json!({ "kind": "hellinger", "base": 2 }))), [""; 0]);
    assert_ne!(invalid(&without, &one(json!({ "kind": "hellinger", "base": 2 }))), [""; 0]);
    assert_eq!(with["$defs"]["metric.plain"]["description"], "\u{1b}[31mred\u{202e}");

    // One that cannot be loaded is told where no schema is read.
    for name in ["stands_in", "colours"] {
        std::fs::remove_file(folder.path(c_plugin(name).file_name().unwrap())).unwrap();
    }
    std::fs::write(&library, "no library").unwrap();
    let ran = folder.txray(["schema", "--plugin-dir", "."]).succeeded();
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), without);
    assert!(ran.stderr.starts_with("not usable: "), "{}", ran.stderr);
}

#[test]
fn an_editor_is_offered_what_there_is_with_its_meaning() {
    let schema = schema(&[]);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let models = &schema["properties"]["model"]["additionalProperties"];
    assert_eq!(models["anyOf"][0]["$ref"], "#/$defs/model.lstm");
    let lstm = &schema["$defs"]["model.lstm"];
    assert_eq!(lstm["properties"]["hidden"]["default"], 200);
    assert_eq!(lstm["properties"]["kind"]["const"], "lstm");
    for (key, told) in lstm["properties"].as_object().unwrap().iter().filter(|(key, _)| *key != "kind") {
        assert!(told["description"].is_string(), "{key}: {told}");
    }
    let metrics = &schema["$defs"]["comparison"]["properties"]["metrics"];
    assert_eq!(metrics["items"]["anyOf"][0]["const"], "hellinger");
}

#[test]
fn a_shell_is_told_every_command() {
    for (shell, has) in [
        ("bash", "complete -F _txray"),
        ("zsh", "#compdef txray"),
        ("fish", "complete -c txray"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[txray]"),
    ] {
        let script = Folder::new().txray(["completions", shell]).succeeded().stdout;
        for part in [has, "completions", "schema", "plugin-dir", "inspect"] {
            assert!(script.contains(part), "{shell}: {part}");
        }
    }
}
