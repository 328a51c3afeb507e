//! `txray.h` and this crate are one boundary written twice. A C compiler holds each to the other: sizes, offsets and
//! types of every field, signatures of every function, values of every constant.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use txray_abi as abi;

const RUST: &str = concat!(include_str!("../src/lib.rs"), include_str!("../src/model.rs"));
const HEADER: &str = include_str!("../txray.h");

/// The layout that rustc gives a struct: size and offsets in bytes.
struct Layout {
    name: &'static str,
    size: usize,
    offsets: Vec<(&'static str, usize)>,
}

macro_rules! layouts {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        vec![$(Layout {
            name: stringify!($name),
            size: size_of::<abi::$name>(),
            offsets: vec![$((stringify!($field), offset_of!(abi::$name, $field))),*],
        }),*]
    };
}

/// Every struct with all its fields, in the order of `lib.rs`. [`parse_structs`] reads the same list from the
/// source, so that nothing can be left out here.
fn layouts() -> Vec<Layout> {
    layouts! {
        ExactSum { high, low }
        Strings { bytes, offsets }
        Host { size, context, threads, reserved, log, progress, cancelled, fail }
        Plugin { magic, abi_major, abi_minor, size, info, query }
        MetricTable { size, create, destroy, distances }
        MetricBatch { size, offsets, features, p, q, count_p, count_q, mass_p, mass_q, names }
        PrunerTable { size, create, destroy, scores }
        Columns { size, rows, names, values }
        SinkTable { size, create, destroy, write }
        SourceTable { size, create, destroy, describe, next }
        ActivationBatch {
            size, documents, groups, offsets, starts, ends, unknown, layers, token, site, neuron, activation, moments,
            exact_moments, lines, characters, dropped, dropped_documents,
        }
        LayerColumn { name, features, names, unjoined }
        Moments { sum, sum_abs, sum_sq }
        ExactMoments { sum, sum_abs, sum_sq }
        ModelTable { size, create, destroy, revision, ability, capabilities, describe, initialize, load, save }
        EncodeTable { size, encode }
        PredictTable { size, predict }
        TrainTable { size, begin, step, save_session, end }
        CarryTable { size, make, end }
        ExtendTable { size, extend }
        Text { ids, offsets }
        Examples { text, targets }
        Mask { site, reserved, values }
        EncodeRequest { size, text, state, masks, sites, task, reserved, predictions, emit, context }
        SiteRequest { site, rule, sign, k, threshold, reserved, neurons, activations, sum, sum_abs, sum_sq }
        Block { request, reserved, token, neuron, activation }
        PredictRequest {
            size, task, reserved, examples, state, masks, losses, counts, token_losses, predicted, probabilities,
        }
        TrainRequest { size, task, classes, train, valid, seed }
        TrainReport { size, epoch, tokens, loss, valid_loss, seconds, done, paused }
    }
}

macro_rules! constants {
    ($($name:ident)* ; $($status:ident)* ; $($more:ident)*) => {
        vec![
            $((stringify!($name), abi::$name.to_string()),)*
            $((stringify!($status), abi::Status::$status.0.to_string()),)*
            $((stringify!($more), abi::$more.to_string()),)*
        ]
    };
}

/// Every constant in the order of the sources, those of `Status` in the middle.
fn constants() -> Vec<(&'static str, String)> {
    constants! {
        MAGIC ABI_MAJOR ABI_MINOR ENTRY METRIC PRUNER SOURCE SINK NULL;
        OK INVALID FAILED CANCELLED;
        MODEL MODEL_REVISION ENCODE PREDICT TRAIN CARRY EXTEND SURGERY GRADIENT
        RULE_TOP RULE_ABOVE RULE_ALL SIGN_POSITIVE SIGN_NEGATIVE SIGN_ABSOLUTE
        TASK_LANGUAGE_MODEL TASK_CLASSIFICATION TASK_TAGGING
    }
}

/// The source without comments, on one line; `->` is written `=>` so that angle brackets balance.
fn rust_source() -> String {
    let lines = RUST.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.collect::<Vec<_>>().join(" ").replace("->", "=>")
}

/// Splits at commas outside brackets.
fn split(list: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0_i32, 0, Vec::new());
    let mut previous = ' ';
    for (at, c) in list.char_indices() {
        match c {
            '(' | '<' => depth += 1,
            '>' if previous == '=' => {}
            ')' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
        previous = c;
    }
    parts.push(list[from..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Names and fields (name, type) of every struct with named fields, less the two generic slices.
fn parse_structs(source: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let structs = source.split("pub struct ").skip(1).filter_map(|rest| {
        let (name, body) = rest.split_once(" {")?;
        let body = &body[..body.find('}')?];
        let fields = split(body).into_iter().filter_map(|f| f.strip_prefix("pub ")?.split_once(": "));
        (!name.contains(['(', '<'])).then(|| (name, fields.collect()))
    });
    structs.collect()
}

/// What `pub KEYWORD NAME...VALUE;` declares, as (name, value).
fn parse_items<'a>(source: &'a str, keyword: &str, separator: &str) -> Vec<(&'a str, &'a str)> {
    let items = source.split(keyword).skip(1);
    items.filter_map(|rest| rest[..rest.find(';')?].split_once(separator)).collect()
}

fn snake(name: &str) -> String {
    let mut out = "txray".to_owned();
    for c in name.chars() {
        if c.is_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The C file whose compilation is the test.
struct Assertions {
    c: String,
    /// The slices that were met: C name, C element, whether it is written.
    slices: BTreeSet<(String, String, bool)>,
}

impl Assertions {
    fn check(&mut self, condition: &str, what: &str) {
        writeln!(self.c, "_Static_assert({condition}, \"{what}\");").unwrap();
    }

    fn check_type(&mut self, expression: &str, kind: &str, what: &str) {
        self.check(&format!("_Generic({expression}, {kind}: 1, default: 0)"), &format!("{what} is a {kind}"));
    }

    /// A type of the Rust source as a C type.
    fn c_type(&mut self, rust: &str) -> String {
        if let Some(function) = rust.strip_prefix("unsafe extern \"C\" fn(") {
            // The last bracket closes this function's parameters: no function gives a function.
            let (parameters, result) = function.rsplit_once(')').unwrap();
            let result = result.trim().strip_prefix("=>").map_or("void".to_owned(), |r| self.c_type(r.trim()));
            let kinds = split(parameters).into_iter().map(|parameter| {
                let name = parameter.split_once(": ").map(|(name, _)| name).unwrap_or_default();
                let named = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.is_empty();
                self.c_type(if named { &parameter[name.len() + 2..] } else { parameter })
            });
            let kinds = kinds.collect::<Vec<_>>().join(", ");
            return format!("{result} (*)({})", if kinds.is_empty() { "void" } else { &kinds });
        }
        if let Some(to) = rust.strip_prefix("*const ") {
            return format!("const {} *", self.c_type(to));
        }
        if let Some(to) = rust.strip_prefix("*mut ") {
            return format!("{} *", self.c_type(to));
        }
        for (prefix, suffix, written) in [("Slice<", "_slice", false), ("SliceMut<", "_slice_mut", true)] {
            if let Some(of) = rust.strip_prefix(prefix).and_then(|r| r.strip_suffix('>')) {
                let scalar = of.starts_with(|c: char| c.is_lowercase());
                let name = if scalar { format!("txray_{of}{suffix}") } else { format!("{}{suffix}", snake(of)) };
                let of = self.c_type(of);
                self.slices.insert((name.clone(), of, written));
                return name;
            }
        }
        let scalar = match rust {
            "u32" => "uint32_t",
            "u64" => "uint64_t",
            "i64" => "int64_t",
            "usize" => "size_t",
            "f32" => "float",
            "f64" => "double",
            "c_void" => "void",
            named => {
                assert!(named.chars().all(char::is_alphanumeric), "no C type is known for `{named}`");
                return snake(named);
            }
        };
        scalar.to_owned()
    }

    fn structs(&mut self, source: &str) {
        let (parsed, layouts) = (parse_structs(source), layouts());
        assert_eq!(
            parsed.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            layouts.iter().map(|layout| layout.name).collect::<Vec<_>>(),
            "`layouts` in this file must list every struct of core/abi/src, in its order",
        );
        for ((name, fields), layout) in parsed.iter().zip(&layouts) {
            assert_eq!(
                fields.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
                layout.offsets.iter().map(|(field, _)| *field).collect::<Vec<_>>(),
                "`layouts` in this file must list every field of {name}, in its order",
            );
            let name = snake(name);
            self.check(&format!("sizeof({name}) == {}", layout.size), &format!("size of {name}"));
            for ((field, kind), (_, offset)) in fields.iter().zip(&layout.offsets) {
                let kind = self.c_type(kind);
                self.check(&format!("offsetof({name}, {field}) == {offset}"), &format!("offset of {name}.{field}"));
                self.check_type(&format!("(({name} *)0)->{field}"), &kind, &format!("{name}.{field}"));
            }
        }
    }

    fn aliases(&mut self, source: &str) {
        for (name, kind) in parse_items(source, "pub type ", " = ") {
            let name = snake(name);
            let kind = if name == "txray_str" { "txray_str".to_owned() } else { self.c_type(kind) };
            self.check_type(&format!("*({name} *)0"), &kind, &name);
        }
        self.check_type("*(txray_status *)0", "int32_t", "txray_status");
        self.check_type("&txray_plugin_v1", "txray_entry", "the exported symbol");
    }

    fn slices(&mut self) {
        let mut slices = std::mem::take(&mut self.slices);
        slices.insert(("txray_str".to_owned(), "char".to_owned(), false));
        let (size, ptr, len) = (size_of::<abi::Str>(), offset_of!(abi::Str, ptr), offset_of!(abi::Str, len));
        for (name, of, written) in slices {
            let pointer = if written { format!("{of} *") } else { format!("const {of} *") };
            self.check(&format!("sizeof({name}) == {size}"), &format!("size of {name}"));
            self.check(&format!("offsetof({name}, ptr) == {ptr}"), &format!("offset of {name}.ptr"));
            self.check(&format!("offsetof({name}, len) == {len}"), &format!("offset of {name}.len"));
            self.check_type(&format!("(({name} *)0)->ptr"), &pointer, &format!("{name}.ptr"));
            self.check_type(&format!("(({name} *)0)->len"), "size_t", &format!("{name}.len"));
        }
    }

    fn constants(&mut self, source: &str) {
        let parsed = parse_items(source, "pub const ", ": ").into_iter().filter(|(name, _)| !name.contains('('));
        let listed = constants();
        assert_eq!(
            // `EMPTY` is a convenience of Rust's.
            parsed.map(|(name, _)| name).filter(|name| *name != "EMPTY").collect::<Vec<_>>(),
            listed.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            "`constants` in this file must list every constant of core/abi/src, in its order",
        );
        for (name, value) in listed {
            if value.parse::<u64>().is_ok() {
                self.check(&format!("TXRAY_{name} == UINT64_C({value})"), &format!("TXRAY_{name}"));
            } else {
                // C has no constant expression that compares strings.
                let line = format!("#define TXRAY_{name} \"{value}\"");
                assert!(HEADER.contains(&line), "txray.h must have the line `{line}`");
            }
        }
    }
}

/// Runs a compiler over a file, without output. `None`: there is no such compiler.
fn compile(variable: &str, default: &str, arguments: &[&str], file: &Path) -> Option<Result<(), String>> {
    let compiler = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let mut words = compiler.split_whitespace();
    let output = Command::new(words.next()?)
        .args(words)
        .args(arguments)
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I", env!("CARGO_MANIFEST_DIR")])
        .arg(file)
        .output()
        .ok()?;
    let complaint = || Err(String::from_utf8_lossy(&output.stderr).into_owned());
    Some(if output.status.success() { Ok(()) } else { complaint() })
}

#[test]
fn the_c_header_is_this_crate() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("header.c");
    let source = rust_source();
    let mut assertions = Assertions { c: "#include \"txray.h\"\n".to_owned(), slices: BTreeSet::new() };
    assertions.structs(&source);
    assertions.aliases(&source);
    assertions.slices();
    assertions.constants(&source);
    std::fs::write(&file, assertions.c).unwrap();
    let result = compile("CC", "cc", &["-std=c11"], &file)
        .expect("this test needs a C compiler: install one as `cc`, or name one in the environment variable CC");
    if let Err(complaint) = result {
        panic!("txray.h and core/abi/src differ:\n{complaint}");
    }
}

#[test]
fn the_c_header_is_also_cpp() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("header.cpp");
    std::fs::write(&file, "#include \"txray.h\"\ntxray_str text = TXRAY_TEXT(\"text\");\n").unwrap();
    // Building txray needs no C++ compiler, so its absence is no failure.
    if let Some(Err(complaint)) = compile("CXX", "c++", &["-std=c++11"], &file) {
        panic!("txray.h is not C++11:\n{complaint}");
    }
}

/// `txray_sum_add` and [`abi::ExactSum`] are one arithmetic written twice.
#[test]
fn sums_in_c_have_the_bits_of_those_in_rust() {
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.1,
        -0.1,
        1e300,
        -1e300,
        f64::NAN,
        f64::NEG_INFINITY,
        2_f64.powi(62),
        -(2_f64.powi(62)),
        2_f64.powi(-64),
        2_f64.powi(-65),
        -(2_f64.powi(-65)),
        3.0 * 2_f64.powi(-65),
        -5.0 * 2_f64.powi(-66),
        1e-300,
        f64::from(0.3_f32),
        -123_456.789,
        4_503_599_627_370_497.5,
        -0.000_976_562_5,
        1.0 - 2_f64.powi(-53),
    ];
    let mut c = "#include <stdio.h>\n#include \"txray.h\"\nint main(void) {\n".to_owned();
    let mut expected = Vec::new();
    for first in values {
        for second in values {
            let mut sum = abi::ExactSum::of(first);
            sum += second;
            sum += -1.0;
            expected.push(sum);
            let number = |value: f64| match value {
                _ if value.is_nan() => "(0.0 / 0.0)".to_owned(),
                _ if value.is_infinite() => "(-1.0 / 0.0)".to_owned(),
                _ => format!("{value:?}"),
            };
            writeln!(
                c,
                "{{ txray_exact_sum sum = {{0, 0}}; txray_sum_add(&sum, {}); txray_sum_add(&sum, {}); txray_sum_add(&sum, -1.0); \
                 printf(\"%lld %llu\\n\", (long long)sum.high, (unsigned long long)sum.low); }}",
                number(first),
                number(second)
            )
            .unwrap();
        }
    }
    c += "return 0; }\n";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (file, program) = (folder.join("sums.c"), folder.join("sums"));
    std::fs::write(&file, c).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut words = compiler.split_whitespace();
    let built = Command::new(words.next().unwrap())
        .args(words)
        .args(["-std=c11", "-O1", "-I", env!("CARGO_MANIFEST_DIR"), "-o"])
        .args([&program, &file])
        .status()
        .unwrap();
    assert!(built.success());
    let found = Command::new(&program).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    for (at, (found, expected)) in found.lines().zip(expected).enumerate() {
        let (first, second) = (values[at / values.len()], values[at % values.len()]);
        let (high, low) = found.split_once(' ').unwrap();
        let found = abi::ExactSum { high: high.parse().unwrap(), low: low.parse().unwrap() };
        assert_eq!(found.is_sound(), expected.is_sound(), "{first:?} + {second:?}");
        assert!(found == expected || !expected.is_sound(), "{first:?} + {second:?}: {found:?}, not {expected:?}");
    }
    assert_eq!(found.lines().count(), values.len() * values.len());
}

#[test]
fn sums_are_rounded_to_the_nearest_and_ties_go_to_even() {
    let bit = 2_f64.powi(-64);
    let low = |value| abi::ExactSum::of(value).low;
    assert_eq!([bit / 2.0, bit * 1.5, bit * 0.75, bit * 2.5, bit].map(low), [0, 2, 1, 2, 1]);
    assert_eq!(abi::ExactSum::of(-bit), abi::ExactSum { high: -1, low: u64::MAX });
    // From a generator of its own: this crate depends on nothing.
    let mut state = 1_u64;
    for _ in 0..100_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let value = f32::from_bits((state >> 32) as u32);
        let scaled = (f64::from(value) * (1_u128 << 64) as f64).round_ties_even() as i128;
        let sum = abi::ExactSum::of(f64::from(value));
        if value.abs() <= 2_f32.powi(62) {
            assert_eq!(i128::from(sum.high) << 64 | i128::from(sum.low), scaled, "{value:?}");
            if value.abs() >= 2_f32.powi(-40) {
                assert_eq!(sum.to_f64(), f64::from(value));
            }
        } else {
            assert!(!sum.is_sound(), "{value:?}");
        }
    }
}

#[test]
fn a_sum_of_all_has_the_bits_of_adding_one_by_one() {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 32
    };
    for round in 0..20_000 {
        let count = next() % 50;
        let mut values: Vec<f64> = (0..count)
            .map(|_| {
                let exponent =
                    (next() % if round % 2 == 0 { 40 } else { 140 }) as i32 - if round % 2 == 0 { 40 } else { 80 };
                (next() as f64 / 2_f64.powi(31) - 1.0) * 2_f64.powi(exponent)
            })
            .collect();
        // Ties: halves of the last bit.
        values.extend((0..count % 5).map(|i| (i as f64 + 0.5) * 2_f64.powi(-64)));
        if round % 100 == 7 {
            values.push(f64::NAN);
        }
        let mut one_by_one = abi::ExactSum::ZERO;
        values.iter().for_each(|&value| one_by_one += value);
        let all = abi::ExactSum::of_all(values.iter().copied());
        assert_eq!(all.is_sound(), one_by_one.is_sound(), "{values:?}");
        assert!(all == one_by_one || !all.is_sound(), "{values:?}");
    }
}

#[test]
fn a_sum_beyond_the_limit_is_found_however_it_came() {
    let mut sum = abi::ExactSum::of(2_f64.powi(62));
    assert!(sum.is_sound());
    sum += 1.0;
    assert!(!sum.is_sound());
    let mut far = abi::ExactSum::of(f64::MAX);
    far += f64::MAX;
    assert!(!far.is_sound());
}

/// A struct says its size where it may grow, and where it says none it is frozen: by the code and by both headers alike.
#[test]
fn what_grows_says_its_size() {
    let source = rust_source();
    let list = include_str!("../src/grow.rs").split("grows! {").nth(1).unwrap();
    let list: BTreeSet<&str> =
        list[..list.find('}').unwrap()].split(',').filter_map(|line| line.split_whitespace().next()).collect();
    let rule = HEADER.lines().skip_while(|line| !line.contains("Structs with a `size`")).take(5).collect::<String>();
    for (name, fields) in parse_structs(&source) {
        let says = fields.iter().any(|(field, kind)| (*field, *kind) == ("size", "usize"));
        assert_eq!(says, list.contains(name), "{name}");
        let named = rule.contains(&snake(name)) || says && name.ends_with("Table") && rule.contains("the tables");
        assert_eq!(says, named, "txray.h on {name}");
    }
}
