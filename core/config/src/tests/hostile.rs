//! Files and assignments that are not meant well.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// All errors of a text, as the check of a pipeline finds them.
fn check(text: String) -> Diagnostics {
    match Document::parse("run.toml", text) {
        Err(diagnostics) => diagnostics,
        Ok(document) => {
            let mut diagnostics = Diagnostics::new();
            names(&document, "model", &mut diagnostics);
            let _: Option<Config> = document.read("", &mut diagnostics);
            diagnostics
        }
    }
}

/// Renders each error, and holds it against what a report may be.
fn look(diagnostics: &Diagnostics) {
    for one in diagnostics {
        let report = render(one);
        assert!(report.len() < 10_000, "{} bytes: {}", report.len(), report.chars().take(1000).collect::<String>());
        assert!(one.place().is_some(), "{report}");
    }
}

#[test]
fn a_pointer_without_end_is_followed_in_no_time() {
    let document = Document::parse("run.toml", "a.b = 1".to_owned()).unwrap();
    let start = Instant::now();
    for below in ["/".repeat(1 << 20), "/x".repeat(1 << 19), "é/".repeat(1 << 18)] {
        let error = document.error(&format!("/a/b/{below}"), At::Value, "wrong");
        assert_eq!(error.place().unwrap().text(), "1");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn an_error_in_a_line_without_end_is_shown_with_what_is_beside_it() {
    let line = format!("model = {{ {} x = 'y', {} }}", "a = 1, ".repeat(20_000), "b = 2, ".repeat(20_000));
    let text = format!("seed = 1\n{line}\n# {}\n", "c".repeat(300));
    let place = text.find("'y'").unwrap();
    let source = crate::source::Source::new("run.toml", text);
    let error = Diagnostic::at(source.place(place..place + 3), "wrong").label("here");
    let beside = |word: &str| word.repeat(100 / word.len() + 1);
    let (before, after) = (beside("a = 1, "), beside("b = 2, "));
    let before = format!("{before} x = ");
    assert_shows(
        &render(&error),
        &format!(
            "
  × wrong
   ╭─[run.toml:2:140016]
 1 │ seed = 1
 2 │ …{}'y'{}…
   · {}─┬─
   · {} ╰── here
 3 │ # {}…
   ╰────",
            &before[before.len() - 100..],
            &format!(", {after}")[..100],
            " ".repeat(101),
            " ".repeat(101),
            "c".repeat(198),
        ),
    );
}

#[test]
fn what_is_quoted_of_a_long_value_can_be_read() {
    let long = "ä".repeat(1_000_000);
    let texts = [
        format!("[stage.a]\nmodel = 'm'\ncorpus = 'c'\nrecord = '{long}'\n"),
        format!("seed = {}\n", "9".repeat(1_000_000)),
        format!("['{}']\n", "k".repeat(1_000)),
        format!("'{long}' = 1\n"),
        format!("'{long}' = 1\n'{long}' = 1\n"),
        format!("[model.lm]\nhidden = '{}'\n", "`, expected `".repeat(100_000)),
    ];
    for text in texts {
        let diagnostics = check(text);
        assert!(!diagnostics.is_empty());
        look(&diagnostics);
        for one in &diagnostics {
            assert!(one.to_string().chars().count() < 500, "{one}");
        }
    }
    let error = Diagnostic::new(&long).help(&long);
    assert!(render(&error).len() < 20_000);
}

#[test]
fn the_first_hundred_errors_are_kept_and_all_are_counted() {
    let mut all = Diagnostics::new();
    for index in 0..250 {
        all.push(Diagnostic::new(format!("error {index}")));
    }
    assert_eq!((all.len(), all.more(), all.iter().count()), (250, 150, 100));
    assert_eq!(all.to_string(), "250 errors");
    let told = list(&all);
    assert!(told.starts_with("error 0\n") && told.ends_with("error 99\nand 150 more errors"), "{told}");

    let mut others = Diagnostics::from(Diagnostic::new("first"));
    others.push_with(|| Diagnostic::new("second"));
    others.append(all);
    assert_eq!((others.len(), others.more()), (252, 152));
    others.push_with(|| unreachable!("it is only counted"));
    assert_eq!(others.len(), 253);
    assert!(others.into_result(()).is_err());
}

#[test]
fn many_errors_take_no_longer_than_few_each() {
    const MANY: usize = 20_000;
    let many = |line: &dyn Fn(usize) -> String| (0..MANY).map(line).collect::<String>();
    let cases = [
        ("unknown keys", MANY, "[model.lm]\nhidden = 1\n".to_owned() + &many(&|i| format!("hiddn{i} = 1\n"))),
        ("wrong types", MANY, many(&|i| format!("[model.x{i}]\nhidden = 'x'\n"))),
        ("missing keys", MANY, many(&|i| format!("[model.x{i}]\n"))),
        ("missing keys of tables in a list", MANY, many(&|_| "[[sweep]]\n".to_owned())),
        ("wrong types in a list", MANY, many(&|_| "[[sweep]]\nhidden = 'x'\n".to_owned())),
        (
            "elements",
            MANY,
            format!("[model.lm]\nhidden = 1\ntrain = {{ epochs = 1, checkpoints = [{}] }}\n", many(&|_| "'x',".into())),
        ),
        ("tables that are lists", MANY, format!("sweep = [{}]\n", many(&|_| "[1],".into()))),
        ("keys set twice", MANY - 1, many(&|_| "seed = 1\n".to_owned())),
        ("keys set twice in one line", MANY - 1, format!("model = {{ {} }}\n", many(&|_| "k = 1, ".to_owned()))),
        ("tables opened twice", MANY - 1, many(&|_| "[model.lm]\n".to_owned())),
        ("no values", MANY, many(&|i| format!("k{i} =\n"))),
        ("numbers", MANY, many(&|i| format!("k{i} = nan\n"))),
        ("names", MANY, many(&|i| format!("[model.'x {i}']\nhidden = 1\n"))),
        ("names in case alone", MANY, many(&|i| format!("[model.x{i}]\nhidden = 1\n[model.X{i}]\nhidden = 1\n"))),
    ];
    for (name, count, text) in cases {
        let start = Instant::now();
        let diagnostics = check(text);
        look(&diagnostics);
        assert_eq!(diagnostics.len(), count, "{name}");
        assert_eq!(diagnostics.iter().count(), Diagnostics::KEPT, "{name}");
        assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn where_a_key_was_set_first_is_not_looked_for_without_end() {
    let keys: String = (0..400_000).map(|i| format!("k{i} = 1\n")).collect();
    let start = Instant::now();
    let diagnostics = check(keys.clone() + &keys[..2_000]);
    let firsts = diagnostics.iter().filter(|one| render(*one).contains("first set here")).count();
    assert!(firsts > 0 && firsts < Diagnostics::KEPT, "{firsts}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn errors_behind_much_that_is_right_are_not_looked_for_without_end() {
    let text = format!(
        "[model.lm]\nhidden = 1\ntrain = {{ epochs = 1, checkpoints = [{}{}] }}\n",
        "1,".repeat(20_000),
        "'x',".repeat(20_000)
    );
    let start = Instant::now();
    let diagnostics = check(text);
    assert!(diagnostics.len() > Diagnostics::KEPT && diagnostics.to_string().starts_with("at least "), "{diagnostics}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn what_is_nested_without_end_is_an_error_and_no_overflow() {
    let deep = 10_000;
    let dotted = |parts: usize| vec!["a"; parts].join(".");
    let tables = format!("{{{} = ", dotted(79));
    let texts = [
        format!("x = {}", "[".repeat(deep)),
        format!("x = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("x = {}1{}", "{a=".repeat(deep), "}".repeat(deep)),
        format!("x = {}1{}", "[{a=".repeat(deep), "}]".repeat(deep)),
        format!("{} = 1", dotted(deep)),
        format!("seed = 1\n[{}]\nx = 1\n", dotted(deep)),
        format!("[[{}]]\n", dotted(deep)),
        // Each part is within the bounds of the parser, but the whole is not.
        format!("x = {}1{}", tables.repeat(79), "}".repeat(79)),
        format!("[{}]\n{} = {}{}", dotted(79), dotted(79), "[".repeat(70), "]".repeat(70)),
        // A key that each key below it has in its pointer.
        format!("[{}]\n{}", "k".repeat(1_000_000), (0..5_000).map(|i| format!("k{i} = 1\n")).collect::<String>()),
    ];
    // A thread of a test has a quarter of the stack that a program has.
    for text in texts {
        let start = Instant::now();
        let told = text.chars().take(40).collect::<String>();
        let diagnostics = check(text.clone());
        look(&diagnostics);
        let first = diagnostics.iter().next().map(ToString::to_string).unwrap_or_default();
        let told_why = ["this is nested too deeply", "this key has too many parts", "this name is too long"];
        assert!(told_why.contains(&first.as_str()), "{told}: {first}");

        let mut document = document("seed = 1\n");
        let errors = document.set(text.trim_start_matches("seed = 1\n")).unwrap_err();
        look(&errors);
        assert_eq!(document.value().to_string(), r#"{"seed":1}"#);
        assert!(start.elapsed() < Duration::from_secs(10), "{told}");
    }
    assert_shows(
        &only(&check(format!("seed = 1\n  {} = 2\n", dotted(81)))).replace(&dotted(50), "(50)"),
        &"
  × this key has too many parts
   ╭─[run.toml:2:3]
 1 │ seed = 1
 2 │   (50).a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 2
   ·   HERE
   ·   SPOT╰── here
   ╰────"
            .replace("HERE", &format!("{}┬{}", "─".repeat(50), "─".repeat(49)))
            .replace("SPOT", &" ".repeat(50)),
    );
}

#[test]
fn assignments_that_are_malformed_are_shown_where_they_are() {
    let text = "seed = 1\nd = [1, 2]\nmodel.lm = { hidden = 1 }\n";
    let cases = [
        ("", "1:1: expected an assignment"),
        ("=", "1:1: unquoted keys cannot be empty"),
        ("#seed=1", "1:1: expected a key"),
        (" # = 1", "1:1: expected a key"),
        ("a#b=1", "1:2: key with no value"),
        (".a=1", "1:1: unquoted keys cannot be empty"),
        ("a.=1", "1:3: unquoted keys cannot be empty"),
        ("a..b=1", "1:3: unquoted keys cannot be empty"),
        ("a b=1", "1:3: key with no value"),
        ("'a=1", "1:1: expected an assignment"),
        ("d.2=1", "1:3: nothing to set at `2`"),
        ("d.-1=1", "1:3: nothing to set at `-1`"),
        ("d.00=1", "1:3: nothing to set at `00`"),
        ("d.99999999999999999999=1", "1:3: nothing to set at `99999999999999999999`"),
        ("d.0.b=1", "1:5: nothing to set at `b`"),
        ("seed.0=1", "1:6: nothing to set at `0`"),
        ("seed='x", "1:7: invalid literal string"),
        ("seed=[1", "1:7: unclosed array"),
        ("seed={a=1", "1:9: unclosed inline table"),
        ("seed=[1]]", "1:9: unexpected key or value"),
        ("seed={a=1,a=2}", "1:11: duplicate key `a`"),
        ("seed=\"\\q\"", "1:7: in double quotes, `\\` begins an escape"),
        ("seed=-inf", "1:6: the number `-inf` is out of range"),
        ("seed=1e999", "1:6: the number `1e999` is out of range"),
        ("seed=99999999999999999999", "1:6: the number `99999999999999999999` is out of range"),
        ("x=[nan]", "1:4: the number `nan` is out of range"),
        ("seed=a\nb", "1:7: expected one line of text"),
        ("seed=2\nd=3", "1:7: expected one line of text"),
        ("seed=a\rb", "1:7: expected one line of text"),
        ("seed=\u{1b}[31m", "1:6: expected one line of text"),
        ("seed=a\u{0}", "1:7: expected one line of text"),
    ];
    for (assignment, expected) in cases {
        let mut document = document(text);
        let before = document.value().clone();
        let errors = document.set(assignment).unwrap_err();
        look(&errors);
        let told = list(&errors);
        assert_eq!(told.lines().next().unwrap(), format!("--set:{expected}"), "{assignment:?}");
        assert_eq!(*document.value(), before, "{assignment:?}");
    }
    let mut document = document(text);
    document.set("\"a\\\"=b\".c=1").unwrap();
    assert_eq!(document.value()["a\"=b"]["c"], 1);
}

/// Bits of TOML and of what is not, put together anyhow.
fn any_bits(most: usize) -> impl Strategy<Value = String> {
    let bit = prop::sample::select(vec![
        "a",
        "b",
        "seed",
        "model",
        "lm",
        "hidden",
        "sweep",
        ".",
        ".",
        "=",
        "=",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        ",",
        "\n",
        "\r",
        "\r\n",
        "\t",
        " ",
        "#",
        "0",
        "1",
        "-1",
        "1.5",
        "nan",
        "inf",
        "1e999",
        "0x",
        "1979-05-27",
        "99999999999999999999",
        "07:32:00",
        "T",
        "Z",
        "true",
        "ä",
        "漢",
        "e\u{301}",
        "\u{feff}",
        "\u{0}",
        "\u{1b}[31m",
        "\u{202e}",
        "\u{85}",
        "\u{2028}",
        "\\",
        "\\u",
        "\\u0000",
        "[[sweep]]",
        "[model.x]",
        "[model]",
        "x = ",
        "model.lm.hidden",
    ]);
    let count = prop_oneof![60 => Just(1_usize), 2 => 2..300_usize, 1 => Just(66_000)];
    let stretch = (bit, count).prop_map(|(bit, count)| bit.repeat(count));
    prop::collection::vec(stretch, 0..most).prop_map(|all| all.concat())
}

/// A text with bits put where others were.
fn mutated(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..4_usize, any_bits(3));
    (prop::sample::select(texts), prop::collection::vec(change, 1..4)).prop_map(|(text, changes)| {
        let mut text = text.to_owned();
        for (index, gone, bits) in changes {
            let mut boundaries =
                text.char_indices().map(|(at, _)| at).chain([text.len()]).skip(index.index(text.len() + 1));
            let start = boundaries.next().unwrap_or(text.len());
            let end = boundaries.take(gone).last().unwrap_or(start);
            text.replace_range(start..end, &bits);
        }
        text
    })
}

/// Errors at every place of a document, as later checks find them.
fn look_at_places(document: &Document) {
    look(&{
        let mut diagnostics = Diagnostics::new();
        names(document, "model", &mut diagnostics);
        let _: Option<Config> = document.read("", &mut diagnostics);
        diagnostics
    });
    let mut pointers = vec![String::new()];
    laws::visit(document.value(), "", &mut |pointer, _, _| pointers.push(pointer.to_owned()));
    for pointer in pointers.iter().take(50) {
        for at in [At::Key, At::Value] {
            let error = document.error(pointer, at, "wrong").label(document.table_name(pointer));
            look(&error.also(document.place("/seed", At::Value), "because of this").into());
        }
    }
}

proptest! {
    #[test]
    fn any_bits_are_a_document_or_have_errors_that_are_shown(
        text in prop_oneof![any_bits(30), mutated(&[
            "seed = 1\n[model.lm]\nhidden = 1\nrange = [1, 2.5]\n[[sweep]]\nhidden = 2\n",
            "seed = 1\r\n[model]\r\nlm = { hidden = 'ü' }\r\n",
            "# ä\nc = \"\"\"\ntwo\nlines\"\"\"\nsweep = [\n  { hidden = 1 },\n  3,\n]\n",
            "\u{feff}seed = 1979-05-27T07:32:00Z\nmodel.lm.hidden = 1\nmodel.lm.hidden = 2\n[model]\nx.hidden = nan\n",
        ])],
    ) {
        match Document::parse("run.toml", text) {
            Ok(document) => look_at_places(&document),
            Err(diagnostics) => {
                prop_assert!(!diagnostics.is_empty());
                look(&diagnostics);
            }
        }
    }

    #[test]
    fn any_bits_are_an_assignment_or_have_errors_in_it(
        assignment in prop_oneof![any_bits(12), mutated(&[
            "seed=2", "model.lm.hidden=1", "model.\"x y\".hidden = 3", "sweep.0.hidden='x'", "sweep.7=1", "c='''x'''",
            "model = { lm = { hidden = 1 } }", "d = [1, 2]", "c=max-1", "seed=nan", "seed=1979-05-27T07:32:00Z",
            "model.lm.range=[1, 'b']", "''.x=1", "c=\"\"\"\nx\"\"\"", "\"a\\\"b\" = 1",
        ])],
    ) {
        let mut document = document("seed = 1\n[model.lm]\nhidden = 1\n[[sweep]]\nhidden = 2\n");
        let before = document.value().clone();
        match document.set(&assignment) {
            Ok(()) => prop_assert!(document.value().is_object()),
            Err(diagnostics) => {
                prop_assert!(!diagnostics.is_empty());
                look(&diagnostics);
                prop_assert!(list(&diagnostics).starts_with("--set:1:") || assignment.contains('\n'));
                prop_assert!(diagnostics.iter().all(|one| one.place().unwrap().to_string().starts_with("--set:")));
                prop_assert_eq!(document.value(), &before);
            }
        }
        look_at_places(&document);
        let null = |value: &Value| value.is_null();
        let mut nulls = 0;
        laws::visit(document.value(), "", &mut |_, _, value| nulls += usize::from(null(value)));
        prop_assert_eq!(nulls, 0);
    }
}

/// Found by fuzzing: beside errors, the parser does not count how deep it is.
#[test]
fn brackets_without_end_are_told() {
    for open in ["{ a = 3, {}b = ", "[", "{ a = ", "[[1], {}, ", "{a = ], {}b = ", "{a = [}, {}b = ", "[}, "] {
        let text = format!("x = {}", open.repeat(20_000));
        let errors = check(text.clone());
        look(&errors);
        assert!(render(errors.iter().next().unwrap()).contains("this is nested too deeply"), "{open}");
        let mut document = Document::parse("run.toml", String::new()).unwrap();
        look(&document.set(&text).unwrap_err());
    }
    // Headers that are never closed are each an error of their own.
    let first = check("[a\n".repeat(2000));
    assert!(!render(first.iter().next().unwrap()).contains("too deeply"));
    // In strings and comments they are none.
    let many = "[{".repeat(2000);
    assert!(check(format!("name = \"{many}\" # {many}")).iter().all(|error| !render(error).contains("too deeply")));
}
