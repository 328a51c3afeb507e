use std::fs;

use crate::error::Error;
use crate::files::CHANGED;
use crate::out::OutError;
use crate::shard::Parts;
use crate::steps::model::{Model, ModelFigures};
use crate::steps::stage::{Stage, StageFigures};
use crate::testing::{
    LOADS, MOOD, Mood, PIPELINE, Told, errors, errors_in, merge_parts, read, run_in, run_shard, run_with,
};

fn said(from: &str, to: &str) -> Vec<String> {
    assert!(PIPELINE.contains(from), "{from}");
    errors(&PIPELINE.replacen(from, to, 1))
}

#[test]
fn a_sound_pipeline_has_no_errors() {
    assert_eq!(errors(PIPELINE), [""; 0]);
    let folder = tempfile::tempdir().unwrap();
    let pipeline = read(folder.path(), PIPELINE).unwrap();
    assert_eq!(pipeline.counts(), [(1, "corpus"), (2, "models"), (2, "stages")]);
    assert_eq!(pipeline.all::<Stage>().map(|stage| stage.name.to_string()).collect::<Vec<_>>(), ["early", "late"]);
    assert_eq!(pipeline.settings["stage"]["early"]["layers"][0], "token", "defaults are settled");
    assert_eq!(pipeline.settings["model"]["lm"]["bias"], 0.5);
    assert_eq!(pipeline.settings["model"]["next"].get("bias"), None, "its options are those of `lm`");
}

#[test]
fn names_that_are_none_are_refused_at_their_keys_and_followed_no_further() {
    let bad = PIPELINE.replace("stage.late", "stage.\"../../x\"").replace("model.next", "model.\"lm@1\"");
    let told = errors(&bad.replace("model = \"next\"", "model = \"lm@1\""));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("p:13:8: `lm@1` is not a name: "), "{told:?}");
    assert!(told[1].starts_with("p:20:8: `../../x` is not a name: "), "{told:?}");
    // A name that is refused is there all the same: what leads to it is not told again.
    let told =
        errors(&PIPELINE.replace("[corpus.kitchen]", "[corpus.\"my kitchen\"]").replace("\"kitchen", "\"my kitchen"));
    assert_eq!(told.len(), 1, "the corpus's name, and nothing of what would be read over it: {told:?}");
    for name in ["", "stage.early@", "x y", ".x", "-x", "a/b"] {
        assert!(said("stage.late", &format!("stage.{name:?}"))[0].contains("is not a name"), "{name:?}");
    }
    assert_eq!(said("stage.late", "stage.\"a.b\""), [""; 0], "a dot is a letter like others");
    let twice = said("stage.late", "stage.\"stage.early\"");
    assert_eq!(twice, ["p:20:8: `stage.early` repeats the table that it stands in"]);
    let long = said("stage.late", &format!("stage.{}", "x".repeat(300)));
    assert!(long[0].contains("64 characters at most") && long[0].len() < 250, "{long:?}");
    let alike = said("stage.late", "stage.Early");
    assert!(alike[0].starts_with("p:20:8: `Early` and `early` differ in case alone"), "{alike:?}");
}

#[test]
fn references_lead_to_what_is_there() {
    assert_eq!(said("model = \"next\"", "model = \"nxt\""), ["p:21:9: there is no model `nxt`"]);
    assert_eq!(said("model = \"next\"", "model = \"lm@2\""), ["p:21:9: `lm` keeps no checkpoint of epoch 2"]);
    let epoch = said("model = \"next\"", "model = \"lm@last\"");
    assert_eq!(epoch, ["p:21:9: `last` is no epoch: write NAME@EPOCH, such as `lm@1`"]);
    assert_eq!(said("\"kitchen.valid\"", "\"kitchen\""), ["p:18:10: which split of the corpus?"]);
    assert_eq!(said("\"kitchen.valid\"", "\"kitchen.test\""), ["p:18:10: the corpus `kitchen` has no split `test`"]);
    assert_eq!(said("\"kitchen.valid\"", "\"harbour.valid\""), ["p:18:10: there is no corpus `harbour`"]);
    assert_eq!(said("\"word\", \"pos\"", "\"word\", \"word\""), ["p:23:19: the layer `word` is named twice"]);
    let compared =
        "\"pos\"]\n[comparison.c]\nfrom = \"late\"\nto = \"late\"\nlayers = [\"pos\", \"pos\"]\nmetrics = []";
    assert_eq!(said("\"pos\"]", compared), ["p:27:18: the layer `pos` is named twice"]);
    assert_eq!(
        said("\"word\", \"pos\"", "\"wrd\""),
        ["p:23:11: the corpus `kitchen` has no layer `wrd`, and there is no annotator of that name"]
    );
    assert_eq!(
        said("rounds = 2, checkpoints = [1]", "rounds = 2, checkpoints = [1, 3]"),
        ["p:11:41: there is no epoch 3: training has 2"]
    );
}

#[test]
fn what_the_plugin_of_a_model_cannot_do_is_told_where_it_is_asked_for() {
    let lacking = |what: &str| {
        let kind = "kind = \"fake\"";
        PIPELINE.replace(kind, &format!("{kind}\nlacks = [\"{what}\"]")).replace(
            "corpus = \"kitchen.valid\"\nlayers",
            "corpus = \"kitchen.valid\"\nrecord = \"max-1\"\nstate = \"carry\"\nlayers",
        )
    };
    assert_eq!(errors(&lacking("nothing")), [""; 0]);
    for (what, told) in [
        ("train", &["p:11:8: `fake` cannot be trained, only read"][..]),
        ("language-model", &["p:11:17: `fake` cannot be trained for `language-model`"]),
    ] {
        let found = errors(&lacking(what));
        assert_eq!(found.iter().filter(|line| line.starts_with("p:")).collect::<Vec<_>>(), told, "{what}");
    }
    // `next` begins from `lm`, and its options are its own.
    let next =
        |what: &str| lacking("nothing").replace("init = \"lm@1\"", &format!("init = \"lm@1\"\nlacks = [\"{what}\"]"));
    for (what, told) in [
        ("encode", "p:23:9: `next` cannot be read: its plugin gives no activations"),
        ("top", "p:25:10: the plugin of `next` cannot record by `max-1`"),
        ("carry", "p:26:9: `next` has no state that could be carried"),
    ] {
        assert_eq!(errors(&next(what)), [told]);
    }
    // Without the key, it is the model that does not fit.
    let found = errors(&next("top").replace("record = \"max-1\"\n", ""));
    assert_eq!(found, ["p:23:9: the plugin of `next` cannot record by `max-1`"]);
}

/// Where the device is chosen, or else at the model that does not run on the usual one.
#[test]
fn a_device_is_told_where_it_is_asked_for() {
    let found = errors(&format!("# on\ndevice = \"abacus\"\n{PIPELINE}"));
    assert_eq!(found, ["p:2:10: no plugin runs `fake` on the device `abacus`"]);
    assert_eq!(said("kind = \"fake\"", "kind = \"far\""), ["p:9:8: no plugin runs `far` on the device `cpu`"]);
}

#[test]
fn models_that_begin_from_each_other_are_told_once() {
    let circle = said("init = \"lm@1\"", "init = \"a\"\n[model.a]\ninit = \"b\"\n[model.b]\ninit = \"next\"");
    // At the first of them; and the stage of one of them is not told again.
    assert_eq!(circle, ["p:14:8: these models begin from each other: `next` -> `a` -> `b` -> `next`"]);
    assert_eq!(
        said("init = \"lm@1\"", "init = \"next\""),
        ["p:14:8: these models begin from each other: `next` -> `next`"]
    );
}

#[test]
fn an_error_hides_no_other() {
    let all =
        PIPELINE.replace("rounds = 2", "round = 2").replace("valid = 3", "valid = -3").replace("\"word\"", "\"wrd\"");
    let told = errors(&all.replace("[model.lm]", "[modle.x]\n\n[model.lm]"));
    let places: Vec<&str> = told.iter().map(|line| line.split(' ').next().unwrap()).collect();
    // The stages are over a corpus that is wrong: of their layers nothing is known.
    assert_eq!(places, ["p:6:9:", "p:8:2:", "p:13:11:"], "{told:?}");
}

#[test]
fn stages_and_models_tell_their_figures_and_go_on_from_fewer_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, told) = run_in(folder.path(), PIPELINE);
    let (outcome, pipeline) = (outcome.unwrap(), read(folder.path(), PIPELINE).unwrap());
    let names: Vec<String> = told.steps.into_inner().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["text.kitchen.train", "text.kitchen.valid", "model.lm", "model.next", "stage.early", "stage.late"]
    );
    let models: Vec<_> = pipeline.all::<Model>().collect();
    let figures: ModelFigures = outcome.finished.figures(&*models[0]).unwrap();
    assert_eq!((figures.epochs, figures.valid_perplexity), (2, Some(1_f64.exp())));
    assert!(outcome.finished.figures::<ModelFigures>(&*models[1]).is_err(), "it was not trained");
    let records = &outcome.manifest.steps;
    assert_eq!((records[2].seconds, records[2].tokens.is_some()), (0.5, true), "two epochs of a quarter of a second");
    let stages: Vec<_> = pipeline.all::<Stage>().collect();
    let figures: StageFigures = outcome.finished.figures(&*stages[0]).unwrap();
    assert_eq!((figures.documents, figures.neurons), (3, 4));
    for published in ["models/lm/weights", "models/lm@1/weights", "stages/late/observations.parquet"] {
        assert!(folder.path().join("out").join(published).is_file(), "{published}");
    }
    assert!(!folder.path().join("out/models/next").exists(), "it is `lm@1` under another name");

    // Where a model keeps its epochs, its schema says; more of them go on from fewer.
    let more = PIPELINE.replace("rounds = 2, checkpoints = [1]", "rounds = 4, checkpoints = [1, 3]");
    let (_, told) = run_in(folder.path(), &more);
    let logs = told.logs.into_inner().unwrap();
    assert!(
        logs.iter().any(|line| line.starts_with("going on from the end of a training of fewer epochs")),
        "{logs:?}"
    );
    assert_eq!(fs::read_to_string(folder.path().join("out/models/lm@3/weights")).unwrap().split(' ').nth(1), Some("3"));
    let biased = PIPELINE.replace("rounds = 2, checkpoints = [1] }", "rounds = 6, checkpoints = [1] }\nbias = 0.25");
    let (_, told) = run_in(folder.path(), &biased);
    assert_eq!(told.logs.into_inner().unwrap().iter().filter(|line| line.starts_with("going on")).count(), 0);
}

/// An error that is not about what was saved does not cost it.
#[test]
fn a_saved_training_outlives_a_run_that_cannot_begin() {
    let folder = tempfile::tempdir().unwrap();
    let run = |mood| {
        MOOD.set(mood);
        run_in(folder.path(), PIPELINE)
    };
    let (stopped, _) = run(Mood::Stops);
    assert_eq!(stopped.err().unwrap().exit_code(), 130);
    let (refused, _) = run(Mood::Refuses);
    assert!(refused.err().unwrap().to_string().contains("there is no memory"));
    let (outcome, told) = run(Mood::Willing);
    outcome.unwrap();
    let logs = told.logs.lock().unwrap();
    assert!(logs.iter().any(|line| line == "going on from where an earlier run was stopped"), "{logs:?}");
}

#[test]
fn a_file_that_an_option_names_is_found_and_counts_by_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let with_notes = PIPELINE.replace("kind = \"fake\"", "kind = \"fake\"\nnotes = \"notes.txt\"");
    assert!(errors(&with_notes)[0].starts_with("p:10:9: no such file: looked for"));
    let made = |contents: &str| {
        fs::write(folder.path().join("notes.txt"), contents).unwrap();
        let (outcome, told) = run_in(folder.path(), &with_notes);
        outcome.unwrap();
        let steps = told.steps.into_inner().unwrap();
        steps.into_iter().filter(|(_, cached)| !cached).map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(made("one").len(), 6);
    assert_eq!(made("one"), [""; 0]);
    assert_eq!(made("two"), ["model.lm", "model.next", "stage.early", "stage.late"]);
}

#[test]
fn a_run_that_fails_leaves_the_out_directory_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), PIPELINE).0.unwrap();
    let list = || {
        let mut found: Vec<_> =
            fs::read_dir(folder.path().join("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
        found.sort();
        found
    };
    let before = list();
    fs::write(folder.path().join("text.txt"), "xv yv zv vv wv\n").unwrap();
    let other = PIPELINE.replace("[model.lm]", "[corpus.other]\nkind = \"text\"\nvalid = \"text.txt\"\n\n[model.lm]");
    let (outcome, _) = run_in(folder.path(), &other.replacen("\"kitchen.valid\"", "\"other.valid\"", 1));
    let error = outcome.err().unwrap();
    assert!(
        error.to_string().starts_with("[stage.early]: ") && error.to_string().contains("five unknown words"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 2);
    assert_eq!(list(), before);
}

/// What needs none of the steps that fail is made, and kept.
#[test]
fn steps_that_fail_cost_no_other_than_those_that_need_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.txt"), "xv yv zv vv wv\n").unwrap();
    let stage = |name: &str, corpus: &str| {
        format!("\n[stage.{name}]\nmodel = \"lm\"\ncorpus = \"{corpus}\"\nlayers = [\"token\", \"word\"]\n")
    };
    let compared = |name: &str, from: &str| {
        format!("\n[comparison.{name}]\nfrom = \"{from}\"\nto = \"late\"\nlayers = [\"word\"]\nmetrics = []\n")
    };
    let pipeline = [
        PIPELINE,
        "\n[corpus.other]\nkind = \"text\"\nvalid = \"text.txt\"\n",
        &stage("a", "other.valid"),
        &stage("b", "other.valid").replace("\"token\", ", ""),
        &stage("c", "kitchen.valid"),
        &compared("of-a", "a"),
        &compared("of-c", "c"),
    ]
    .concat();
    let (outcome, told) = run_in(folder.path(), &pipeline);
    let Error::Steps(failed) = outcome.err().unwrap() else { panic!("steps fail") };
    let places: Vec<String> = failed.errors.iter().map(|error| error.to_string()[..9].to_owned()).collect();
    assert_eq!(places, ["[stage.a]", "[stage.b]"]);
    assert_eq!(failed.unmade, ["comparison.of-a"]);
    assert_eq!((failed.done, &failed.store), (9, &folder.path().join("store")));
    // Told when there is still something to be made.
    let logs = told.logs.into_inner().unwrap();
    assert_eq!(
        logs.iter().filter(|line| line.ends_with("; going on with what does not need it")).count(),
        2,
        "{logs:?}"
    );
    assert!(!folder.path().join("out").exists());

    // Mended, the next run goes on from there.
    let words: Vec<String> = (0..20).map(|i| format!("w{i}")).collect();
    fs::write(folder.path().join("text.txt"), words.join(" ") + " the cook\n").unwrap();
    let (outcome, told) = run_in(folder.path(), &pipeline);
    outcome.unwrap();
    let made = told.steps.into_inner().unwrap();
    let made: Vec<&str> = made.iter().filter(|(_, cached)| !cached).map(|(name, _)| name.as_str()).collect();
    assert_eq!(made, ["text.other.valid", "stage.a", "stage.b", "comparison.of-a"]);
}

/// A model that is another under a name of its own is in the store, and nothing without that.
#[test]
fn what_only_passes_on_a_step_is_lost_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let finished = run_in(folder.path(), PIPELINE).0.unwrap().finished;
    let lm = read(folder.path(), PIPELINE).unwrap().all::<Model>().next().unwrap();
    fs::remove_dir_all(&finished.entry(&*lm).unwrap().directory).unwrap();
    MOOD.set(Mood::Refuses);
    let error = run_in(folder.path(), &PIPELINE.replace("\"word\", ", "")).0.err().unwrap();
    MOOD.set(Mood::Willing);
    let Error::Steps(failed) = error else { panic!("{error}") };
    assert_eq!((failed.errors.len(), failed.done), (1, 3), "{failed}");
    assert_eq!(failed.unmade, ["model.next", "stage.late"]);
}

/// The pipeline with a text in a file, and a model that the first run left.
const LOADED: &str = "
[corpus.news]
kind = \"text\"
valid = \"text.txt\"

[model.lm]
kind = \"fake\"
path = \"model\"

[model.same]
init = \"lm\"

[stage.read]
model = \"same\"
corpus = \"news.valid\"
";

/// Nothing of a part may be known where others know something; what is known of none is an error, as in one run.
#[test]
fn parts_of_which_nothing_is_known_say_so_and_merge_as_one_run_reads() {
    let folder = with_model();
    let known = fs::read_to_string(folder.path().join("text.txt")).unwrap();
    let pipeline = "
[corpus.c]
kind = \"text\"
valid = \"lines.txt\"

[model.lm]
path = \"model\"
kind = \"fake\"

[stage.s]
model = \"lm\"
corpus = \"c.valid\"
";
    let told = |lines: &str| {
        fs::write(folder.path().join("lines.txt"), lines).unwrap();
        let whole = run_in(folder.path(), pipeline).0.map(drop).map_err(|error| error.to_string());
        let logs = [1, 2].map(|index| {
            let told = Told::default();
            let (shard, out) = (format!("{index}/2").parse().unwrap(), folder.path().join(format!("part-{index}")));
            run_shard(folder.path(), pipeline, shard, &out, &told).unwrap();
            told.logs.into_inner().unwrap()
        });
        let parts = Parts::read(&[1, 2].map(|index| folder.path().join(format!("part-{index}")))).unwrap();
        let merged = merge_parts(folder.path(), pipeline, &parts).map(drop).map_err(|error| error.to_string());
        assert_eq!(merged, whole);
        (whole, logs)
    };
    let (merged, logs) = told(&format!("zzz zzz\n{known}\n"));
    let said =
        "[stage.s] knows no word of this part of `c.valid`; where no part has one that it knows, they do not merge";
    assert_eq!((merged, logs), (Ok(()), [vec![said.to_owned()], vec![]]));
    let (merged, logs) = told("zzz zzz\nzzz\n");
    assert!(merged.unwrap_err().contains("c.valid"));
    assert_eq!(logs, [[said], [said]]);
}

fn with_model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), PIPELINE).0.unwrap();
    fs::rename(folder.path().join("out/models/lm"), folder.path().join("model")).unwrap();
    fs::remove_dir_all(folder.path().join("out")).unwrap();
    // Words of the model's vocabulary.
    let tokenizer = fs::read_to_string(folder.path().join("model/tokenizer.json")).unwrap();
    let known = tokenizer.split('"').filter(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
    fs::write(folder.path().join("text.txt"), known.collect::<Vec<_>>().join(" ")).unwrap();
    folder
}

/// What is wrong with a model's folder is told where it is named, before anything runs.
#[test]
fn a_model_in_a_folder_is_looked_at() {
    let folder = with_model();
    let said = |file: &str, contents: Option<&str>, pipeline: &str| {
        let path = folder.path().join("model").join(file);
        let sound = fs::read(&path).unwrap();
        match contents {
            Some(contents) => fs::write(&path, contents).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let said = errors_in(folder.path(), pipeline);
        fs::write(&path, sound).unwrap();
        said
    };
    assert_eq!(errors_in(folder.path(), LOADED), [""; 0]);
    assert_eq!(said("weights", Some("1 2"), LOADED), ["p:8:8: four numbers are missing"]);
    let missing = said("tokenizer.json", None, LOADED);
    assert!(
        missing.len() == 1 && missing[0].starts_with("p:8:8: ") && missing[0].contains("tokenizer.json"),
        "{missing:?}"
    );
    let small = said("weights", Some("2 0 0 4"), LOADED);
    assert!(small[0].starts_with("p:8:8: ") && small[0].contains("the model beside it was made for 2"), "{small:?}");
    // One that begins from it by way of another, and reads it otherwise.
    let twice = LOADED.replace("init = \"lm\"", "init = \"lm\"\ntwice = true");
    assert_eq!(errors_in(folder.path(), &twice), [""; 0]);
    // Weights without a head can be read, and not trained.
    let corpus = "[corpus.new]\nkind = \"grammar\"\ndomain = \"kitchen\"\ntrain = 3\nvalid = 3\n";
    let headless = LOADED.replace("path = \"model\"", "path = \"model\"\nlacks = [\"head\"]") + corpus;
    assert_eq!(errors_in(folder.path(), &headless), [""; 0]);
    let trained =
        headless.replace("init = \"lm\"", "init = \"lm\"\ntask = { kind = \"language-model\", corpus = \"new\" }");
    let said = errors_in(folder.path(), &trained);
    assert_eq!(said, ["p:13:17: the weights that `same` begins from do not predict the next token"]);
    // Nor do these have every ability of their plugin.
    let untrained = trained.replace("\"head\"", "\"trainable\"");
    let said = errors_in(folder.path(), &untrained);
    assert_eq!(said, ["p:13:8: the weights that `same` begins from cannot be trained: it is a fake"]);
    let stateless = LOADED.replace("path = \"model\"", "path = \"model\"\nlacks = [\"stateful\"]");
    assert_eq!(errors_in(folder.path(), &stateless), [""; 0]);
    let said = errors_in(folder.path(), &stateless.replace("[stage.read]", "[stage.read]\nstate = \"carry\""));
    assert_eq!(said, ["p:15:9: the state of `same` cannot be carried: it is a fake"]);
}

#[test]
fn a_folder_that_several_models_share_is_looked_at_once() {
    let folder = with_model();
    let shared = "\n[model.b]\nkind = \"fake\"\npath = \"model\"\n\n[model.c]\nkind = \"fake\"\npath = \"model\"\ntrain = { rounds = 9 }\n";
    let before = LOADS.get();
    assert_eq!(errors_in(folder.path(), &(LOADED.to_owned() + shared)), [""; 0]);
    assert_eq!(LOADS.get(), before + 1);
}

/// Before a model is trained for them; told with where each is read.
#[test]
fn stages_that_do_not_compare_are_told_with_their_sites() {
    let comparison = "\n[comparison.c]\nfrom = \"early\"\nto = \"late\"\nmetrics = []\n";
    let compared = PIPELINE.replace("[\"word\", \"pos\"]", "[\"token\"]") + comparison;
    assert_eq!(errors(&compared), [""; 0]);
    let other = "[model.next]\nkind = \"fake\"\nwidth = 6\ntask = { kind = \"language-model\", corpus = \"kitchen\" }";
    let wider = compared.replace("[model.next]\ninit = \"lm@1\"", other);
    let told = "the stages do not compare: `early` reads fake.0 (4), `late` fake.0 (6)";
    assert_eq!(errors(&wider), [format!("p:29:6: {told}")]);
    // Where only the weights tell their sites, it is known all the same that they began apart.
    let apart = "the models of `early` and `late` began apart: neuron 7 of one is a stranger to neuron 7 of the other";
    assert_eq!(errors(&wider.replace("width = 6", "width = 6\nlacks = [\"sites\"]")), [format!("p:30:6: {apart}")]);
    let folder = tempfile::tempdir().unwrap();
    // A model that begins from another has its options, where it has none of its own.
    let twice = compared.replace("kind = \"fake\"", "kind = \"fake\"\ntwice = true");
    assert_eq!(errors(&twice), [""; 0]);
    run_in(folder.path(), &twice).0.unwrap();
    let once = errors(&twice.replace("init = \"lm@1\"", "init = \"lm@1\"\ntwice = false"));
    assert_eq!(once, ["p:29:6: the stages do not compare: `early` reads fake.0 (4), fake.1 (4), `late` fake.0 (4)"]);
}

#[test]
fn an_option_that_asks_for_other_sites_than_the_weights_have_is_refused() {
    let wider = said("init = \"lm@1\"", "init = \"lm@1\"\nwidth = 6");
    assert_eq!(wider, ["p:15:9: `width` asks for fake.0 (6), but `lm` has fake.0 (4)"]);
    assert_eq!(said("init = \"lm@1\"", "init = \"lm@1\"\nwidth = 4\ntwice = true"), [""; 0]);
    let folder = with_model();
    let with = |option: &str| {
        errors_in(folder.path(), &LOADED.replace("path = \"model\"", &format!("path = \"model\"\n{option}")))
    };
    assert_eq!(with("width = 5"), ["p:9:9: `width` asks for fake.0 (5), but the model in `path` has fake.0 (4)"]);
    assert_eq!(with("width = 4"), [""; 0]);
    assert_eq!(with("twice = true"), [""; 0]);
}

/// Whether a model reads what one of another kind has, weights of a few words tell.
#[test]
fn a_model_of_another_kind_reads_what_it_begins_from_or_is_refused() {
    let other = "[model.next]\nkind = \"other\"\ninit = \"lm@1\"\n";
    assert_eq!(said("[model.next]\ninit = \"lm@1\"\n", other), [""; 0]);
    let deaf = said("[model.next]\ninit = \"lm@1\"\n", &format!("{other}lacks = [\"load\"]\n"));
    assert_eq!(deaf, ["p:14:8: `other` does not read `lm`, which is of the kind `fake`: weights are none"]);
    // It has options of its own, and the sizes of what it begins from.
    let wide = PIPELINE.replace("kind = \"fake\"", "kind = \"fake\"\nwidth = 6\nbias = 0.75");
    let compared = wide.replace("[model.next]\ninit = \"lm@1\"\n", other).replace("\"word\", \"pos\"", "\"token\"");
    let compared = compared + "\n[comparison.c]\nfrom = \"early\"\nto = \"late\"\nmetrics = []\n";
    assert_eq!(errors(&compared), [""; 0]);
    assert_eq!(
        errors(&compared.replace(other, &format!("{other}twice = true\n"))),
        ["p:31:6: the stages do not compare: `early` reads fake.0 (6), `late` fake.0 (6), fake.1 (6)"]
    );
    let folder = with_model();
    let loaded = LOADED.replace("init = \"lm\"", "kind = \"other\"\ninit = \"lm\"");
    assert_eq!(errors_in(folder.path(), &loaded), [""; 0]);
    let deaf = errors_in(folder.path(), &loaded.replace("init = \"lm\"", "init = \"lm\"\nlacks = [\"load\"]"));
    assert!(deaf[0].starts_with("p:11:8: `other` does not read `lm`, which is of the kind `fake`: "), "{deaf:?}");
}

#[test]
fn a_loaded_model_is_every_file_of_its_folder() {
    let folder = with_model();
    let made = || {
        let (outcome, told) = run_in(folder.path(), LOADED);
        outcome.unwrap();
        told.steps
            .into_inner()
            .unwrap()
            .into_iter()
            .filter(|(_, cached)| !cached)
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(made(), ["text.news.valid", "model.lm", "model.same", "stage.read"]);
    assert_eq!(made(), [""; 0]);
    fs::write(folder.path().join("model/more.bin"), "").unwrap();
    assert_eq!(made(), ["model.lm", "model.same", "stage.read"]);
}

#[test]
fn a_file_that_changes_under_a_run_stops_it_and_leaves_nothing_under_its_old_hash() {
    for (at, file) in [
        ("text.news.valid", "text.txt"),
        ("stage.read", "text.txt"),
        ("model.lm", "model/weights"),
        ("stage.read", "model/weights"),
        ("stage.read", "model/tokenizer.json"),
    ] {
        let folder = with_model();
        let path = folder.path().join(file);
        let sound = fs::read_to_string(&path).unwrap();
        let (changed, step) = (path.clone(), at.to_owned());
        let other = if file == "model/weights" { format!("{sound} ") } else { format!("{sound}\n") };
        let told = Told {
            on_begin: Some(Box::new(move |id| {
                if id == step {
                    fs::write(&changed, &other).unwrap()
                }
            })),
            ..Told::default()
        };
        let error = run_with(folder.path(), LOADED, &told).err().unwrap();
        let said = error.to_string();
        assert!(said.contains(CHANGED) && said.contains(file), "{at}, {file}: {said}");
        assert_eq!(error.exit_code(), 2);
        assert!(!folder.path().join("out").exists());
        // With the file as it was, what was not finished is made, and of the file as it was.
        fs::write(&path, sound).unwrap();
        let (outcome, told) = run_in(folder.path(), LOADED);
        outcome.unwrap();
        assert!(told.steps.into_inner().unwrap().contains(&(at.to_owned(), false)), "{at}");
    }
}

#[test]
fn what_a_report_adds_is_listed_and_what_it_changes_fails_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let with = |file: &str| format!("{PIPELINE}\n[report.notes]\nfile = \"{file}\"\n");
    let outcome = run_in(folder.path(), &with("notes.txt")).0.unwrap();
    assert_eq!(outcome.manifest.outputs.last().unwrap().path, "notes.txt");
    let before = fs::read_to_string(out.join("manifest.json")).unwrap();
    let meddled = run_in(folder.path(), &with("stages/late/neurons.parquet")).0.err().unwrap();
    assert!(
        matches!(&meddled, Error::Out(OutError::Meddled { path, .. }) if path.ends_with("neurons.parquet")),
        "{meddled}"
    );
    assert_eq!(meddled.exit_code(), 1);
    assert_eq!(fs::read_to_string(out.join("manifest.json")).unwrap(), before, "the run before is whole");
    fs::write(out.join("mine.txt"), "mine").unwrap();
    let over = run_in(folder.path(), &with("mine.txt")).0.err().unwrap();
    assert!(matches!(&over, Error::Out(OutError::InTheWay { found, .. }) if found == &["mine.txt"]), "{over}");
    assert_eq!(fs::read_to_string(out.join("mine.txt")).unwrap(), "mine");
    run_in(folder.path(), &with("other.txt")).0.unwrap();
    assert!(!out.join("notes.txt").exists() && out.join("other.txt").exists(), "reports are replaced like tables");
}

#[test]
fn what_an_earlier_run_left_and_this_one_reads_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), PIPELINE).0.unwrap();
    fs::write(folder.path().join("text.txt"), "word").unwrap();
    let before = fs::read(folder.path().join("out/models/lm/weights")).unwrap();
    let error = run_in(folder.path(), &LOADED.replace("\"model\"", "\"out/models/lm\"")).0.err().unwrap();
    assert!(matches!(&error, Error::Out(OutError::Input { .. })), "{error}");
    assert_eq!(fs::read(folder.path().join("out/models/lm/weights")).unwrap(), before);
}
