//! Errors of syntax, and where keys and values stand.

use super::*;

#[test]
fn several_errors_of_syntax_are_shown_together() {
    assert_shows(
        &render(&errors("seed =\n[model\n")),
        "
  × 2 errors

Error:
  × expected a value
   ╭─[run.toml:1:7]
 1 │ seed =
   ·       ▲
   ·       ╰── nothing here
 2 │ [model
   ╰────

Error:
  × unclosed table
   ╭─[run.toml:2:6]
 1 │ seed =
 2 │ [model
   ·      ┬
   ·      ╰── expected `]`
   ╰────",
    );
}

#[test]
fn a_bare_word_wants_quotes() {
    assert_shows(
        &only(&errors("[stage.a]\nmodel = lm@1\n")),
        "
  × expected a value
   ╭─[run.toml:2:9]
 1 │ [stage.a]
 2 │ model = lm@1
   ·         ──┬─
   ·           ╰── a string must be in quotes
   ╰────",
    );
}

#[test]
fn a_key_set_twice_is_shown_with_the_first() {
    assert_shows(
        &only(&errors("[model.lm]\nhidden = 1\n\"hidden\" = 2\n")),
        "
  × duplicate key `\"hidden\"`
   ╭─[run.toml:3:1]
 1 │ [model.lm]
 2 │ hidden = 1
   · ───┬──
   ·    ╰── first set here
 3 │ \"hidden\" = 2
   · ────┬───
   ·     ╰── set again here
   ╰────",
    );
}

#[test]
fn a_table_opened_twice_is_shown_with_the_first() {
    assert_shows(
        &only(&errors("[model.lm]\nhidden = 1\n[stage]\n[model.lm]\n")),
        "
  × duplicate key `lm`
   ╭─[run.toml:4:8]
 1 │ [model.lm]
   ·        ─┬
   ·         ╰── first set here
 2 │ hidden = 1
 3 │ [stage]
 4 │ [model.lm]
   ·        ─┬
   ·         ╰── set again here
   ╰────",
    );
}

#[test]
fn duplicates_are_told_from_the_same_name_in_other_tables() {
    let errors = errors("a = { a = 1, a = 2 }\nb.a = 1\nb.a = 2\n[c]\na = 1\n");
    let firsts: Vec<String> = errors
        .iter()
        .map(|error| {
            let labels = miette::Diagnostic::labels(error).unwrap();
            let offsets: Vec<String> = labels.map(|label| label.offset().to_string()).collect();
            offsets.join(" after ")
        })
        .collect();
    assert_eq!(firsts, ["13 after 6", "31 after 23"]);
}

#[test]
fn numbers_that_json_cannot_hold() {
    let text = "a = 18446744073709551616\nb = 0xffff_ffff_ffff_ffff\nc = nan\nd = -inf\ne = 1e999\n\
                f = -9_223_372_036_854_775_808\n";
    assert_shows(
        &list(&errors(text)),
        "
run.toml:1:5: the number `18446744073709551616` is out of range
run.toml:3:5: the number `nan` is out of range
run.toml:4:5: the number `-inf` is out of range
run.toml:5:5: the number `1e999` is out of range",
    );
}

#[test]
fn a_malformed_number_is_one_error() {
    assert_eq!(errors("a = 1.2.3\nb = 1__2\n").len(), 2);
}

#[test]
fn values_keep_their_order_and_dates_become_strings() {
    let text = "z = 1\na = 1979-05-27T07:32:00Z\n[y]\n[b]\nd = 1\nc = 0b11\n";
    let expected = r#"{"z":1,"a":"1979-05-27T07:32:00Z","y":{},"b":{"d":1,"c":3}}"#;
    assert_eq!(document(text).value().to_string(), expected);
}

#[test]
fn spans_cover_keys_and_values_alone() {
    let text = "\
[model.\"größe\"]  # ä
hidden =\t200 # ü
a.b . c = [ 'x' , { 'd/e~f' = \"\"\"
two\"\"\" } ]
[[sweep]]
[[sweep]]
hidden = 2
";
    let document = document(text);
    let key = |pointer: &str| document.place(pointer, At::Key).text().to_owned();
    let value = |pointer: &str| document.place(pointer, At::Value).text().to_owned();
    assert_eq!(key("/model"), "model");
    assert_eq!(key("/model/größe"), "\"größe\"");
    assert_eq!(value("/model/größe"), "[model.\"größe\"]");
    assert_eq!(key("/model/größe/hidden"), "hidden");
    assert_eq!(value("/model/größe/hidden"), "200");
    assert_eq!(key("/model/größe/a/b"), "b");
    assert_eq!(value("/model/größe/a/b/c/0"), "'x'");
    assert_eq!(key("/model/größe/a/b/c/1/d~1e~0f"), "'d/e~f'");
    assert_eq!(value("/model/größe/a/b/c/1/d~1e~0f"), "\"\"\"\ntwo\"\"\"");
    assert_eq!(value("/sweep/1"), "[[sweep]]");
    assert_eq!(value("/sweep/1/hidden"), "2");
    // What is not there is shown where it would be.
    assert_eq!(key("/model/größe/hidden/x"), "200");
    assert_eq!(value("/model/größe/a/b/c/7"), value("/model/größe/a/b/c"));
    assert_eq!(value("/nowhere"), "");
    assert_eq!(value("no pointer"), "");
}

#[test]
fn a_byte_order_mark_moves_no_span() {
    let document = document("\u{feff}seed = 'x'\n");
    assert_eq!(document.place("/seed", At::Key).text(), "seed");
    assert_eq!(document.place("/seed", At::Value).text(), "'x'");
}

#[test]
fn a_path_of_windows_is_told_once_with_what_to_write() {
    let report = only(&errors("path = \"C:\\Users\\me\\x.txt\"\n"));
    assert_shows(
        &report,
        r#"
  × in double quotes, `\` begins an escape
   ╭─[run.toml:1:11]
 1 │ path = "C:\Users\me\x.txt"
   ·           ─┬
   ·            ╰── there is no such escape
   ╰────
  help: in single quotes, a `\` is itself: 'C:\Users\me\x.txt'; in paths, `/`
        serves as well"#,
    );
}
