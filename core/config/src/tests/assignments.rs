//! `--set`.

use serde_json::json;

use super::*;

fn assignment_errors(text: &str, assignment: &str) -> Diagnostics {
    let mut document = document(text);
    let before = document.value().clone();
    let errors = document.set(assignment).unwrap_err();
    assert_eq!(*document.value(), before, "a refused assignment changes nothing");
    errors
}

#[test]
fn assignments_set_toml_values_or_bare_strings() {
    let mut document = document("seed = 1\n[stage.early]\nrecord = 'top-k'\nlayers = ['a', 'b']\n");
    for assignment in [
        "seed=2",
        "stage.early.record=max-1",
        "stage.early.layers.1 = c",
        "stage.\"a=b\".model = 'lm # 1'",
        "model.lm.train.epochs=2",
        "stage.early.path=a#b=c",
        "stage.late = { model = 'lm' }",
        "stage.early.version=1.2.3",
    ] {
        document.set(assignment).unwrap();
    }
    let expected = json!({
        "seed": 2,
        "stage": {
            "early": {
                "record": "max-1",
                "layers": ["a", "c"],
                "path": "a#b=c",
                "version": "1.2.3",
            },
            "a=b": { "model": "lm # 1" },
            "late": { "model": "lm" },
        },
        "model": { "lm": { "train": { "epochs": 2 } } },
    });
    assert_eq!(*document.value(), expected);
    let value = |pointer: &str| document.place(pointer, At::Value).text().to_owned();
    assert_eq!(value("/stage/early/record"), "max-1");
    assert_eq!(value("/stage/early/layers/0"), "'a'");
    assert_eq!(value("/stage/early/layers/1"), "c");
    assert_eq!(value("/stage/late/model"), "'lm'");
}

#[test]
fn a_wrong_value_is_shown_in_its_assignment() {
    let mut document = document("[stage.a]\nmodel = 'lm'\ncorpus = 'c'\n");
    document.set("stage.a.record=max-2").unwrap();
    assert_shows(
        &only(&errors_of(&document)),
        "
  × unknown value `max-2`, expected one of `max-1`, `top-k`
   ╭─[--set:1:16]
 1 │ stage.a.record=max-2
   ·                ──┬──
   ·                  ╰── not one of these
   ╰────
  help: did you mean `max-1`?",
    );
}

#[test]
fn a_key_missing_in_what_an_assignment_made_is_shown_there() {
    let mut document = document("seed = 1\n");
    document.set("model.lm.embedding=20").unwrap();
    assert_shows(
        &only(&errors_of(&document)),
        "
  × missing key `hidden`
   ╭─[--set:1:7]
 1 │ model.lm.embedding=20
   ·       ─┬
   ·        ╰── missing from [model.lm]
   ╰────",
    );
}

#[test]
fn an_assignment_forgets_the_places_of_what_it_replaced() {
    let mut document = document("[model.lm]\nhidden = 1\ntrain = { epochs = 1 }\n");
    document.set("model.lm={ hidden = 2 }").unwrap();
    assert_eq!(document.place("/model/lm/train/epochs", At::Value).text(), "{ hidden = 2 }");
    assert!(errors_of(&document).is_empty());
}

#[test]
fn assignments_that_are_none() {
    let text = "seed = 1\nlayers = ['a', 'b']\n";
    let report = |assignment| list(&assignment_errors(text, assignment));
    assert_eq!(report("seed"), "--set:1:1: expected an assignment");
    assert_eq!(report("[x]\nseed=1"), "--set:1:1: expected an assignment");
    assert_eq!(report("seed="), "--set:1:5: expected a value");
    assert_eq!(report("seed=nan"), "--set:1:6: the number `nan` is out of range");
    assert_eq!(report("x=[1]\ny=2"), "--set:1:3: expected one value");
    assert_eq!(report("ä\"='\"="), "--set:1:1: invalid unquoted key");
    assert_eq!(report("=1"), "--set:1:1: unquoted keys cannot be empty");
    assert_shows(
        &only(&assignment_errors(text, "seed.x.y=2")),
        "
  × nothing to set at `x`
   ╭─[--set:1:6]
 1 │ seed.x.y=2
   ·      ┬
   ·      ╰── `seed` is an integer, which has no keys
   ╰────",
    );
    assert_shows(
        &only(&assignment_errors(text, "layers.2=c")),
        "
  × nothing to set at `2`
   ╭─[--set:1:8]
 1 │ layers.2=c
   ·        ┬
   ·        ╰── `layers` is an array of 2, counted from 0
   ╰────",
    );
    assert_shows(
        &only(&assignment_errors(text, "layers=['c'")),
        "
  × unclosed array
   ╭─[--set:1:11]
 1 │ layers=['c'
   ·           ┬
   ·           ╰── expected `]`
   ╰────",
    );
}

#[test]
fn what_reads_as_a_number_is_a_word_where_a_word_is_wanted() {
    let table = |kind: &str, train| json!({ "properties": { "kind": { "const": kind }, "train": { "type": train } } });
    let schema = json!({
        "properties": { "seed": { "type": "integer" }, "corpus": { "additionalProperties": { "$ref": "#/$defs/corpus" } } },
        "$defs": { "corpus": {
            "if": { "properties": { "kind": { "const": "text" } } },
            "then": table("text", ["string", "null"]),
            "else": table("grammar", ["integer", "null"]),
        } },
    });
    let mut document = document("[corpus.a]\nkind = 'grammar'\n[corpus.b]\nkind = 'text'\n[corpus.c]\nkind = 'text'\n");
    for assignment in [
        "seed=7",
        "corpus.a.train=2024",
        "corpus.b.train=0x1F",
        "corpus.c.train=true",
        "corpus.c.valid=1.50",
        "corpus.d.train=2024-01-02 03:04:05",
        // Whatever comes last counts.
        "corpus.c.kind=text",
        "corpus.b.train=1.50",
    ] {
        document.set(assignment).unwrap();
    }
    document.settle_words(&schema);
    let expected = json!({
        "seed": 7,
        "corpus": {
            "a": { "kind": "grammar", "train": 2024 },
            "b": { "kind": "text", "train": "1.50" },
            // What the schema says nothing of is what it reads as.
            "c": { "kind": "text", "train": "true", "valid": 1.5 },
            "d": { "train": "2024-01-02 03:04:05" },
        },
    });
    assert_eq!(*document.value(), expected);
}

#[test]
fn words_that_lost_their_quotes_are_shown_with_them() {
    let help = |assignment: &str| {
        let errors = assignment_errors("", assignment);
        let help = miette::Diagnostic::help(errors.iter().next().unwrap()).map(|help| help.to_string());
        (errors.len(), help.unwrap_or_default())
    };
    for (assignment, quoted) in [
        ("a.layers=[token,word]", r#"a.layers=["token","word"]"#),
        ("a.layers = [ token, 1, true ]", r#"a.layers=[ "token", 1, true ]"#),
        ("a.task={kind=language-model, corpus=my news}", r#"a.task={kind="language-model", corpus="my news"}"#),
        ("m=[hellinger,{kind=energy,alpha=1.5}]", r#"m=["hellinger",{kind="energy",alpha=1.5}]"#),
    ] {
        assert_eq!(help(assignment), (1, format!("they stay in single quotes: --set '{quoted}'")));
    }
    assert!(!help("a=[1, 2").1.contains("--set"));
    assert!(!help("a=['b', c]").1.contains("--set"));
}
