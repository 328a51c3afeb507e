//! `txray.h` and this crate are one boundary written twice. A C compiler holds each to the other: sizes, offsets and
//! types of every field, signatures of every function, values of every constant.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use txray_abi as abi;

const RUST: &str = include_str!("../src/lib.rs");
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
        }
        LayerColumn { name, features, names, unjoined }
        Moments { sum, sum_abs, sum_sq }
        ModelTable { size, create, destroy, initialize, load, save, describe, encode, score, fit, save_training, load_training }
        Text { ids, offsets }
        EncodeRequest { size, text, carry, reserved, state, sites }
        SiteRequest { site, k, neurons, activations, sum, sum_abs, sum_sq }
        Score { nll, tokens }
        FitRequest { size, train, valid, seed, pause }
        FitReport { epoch, tokens, loss, valid_loss, seconds, done, paused }
    }
}

macro_rules! constants {
    ($($name:ident)* ; $($status:ident)*) => {
        vec![$((stringify!($name), abi::$name.to_string()),)* $((stringify!($status), abi::Status::$status.0.to_string())),*]
    };
}

/// Every constant, in the order of `lib.rs`, and those of `Status`.
fn constants() -> Vec<(&'static str, String)> {
    constants! { MAGIC ABI_MAJOR ABI_MINOR ENTRY METRIC PRUNER SOURCE SINK MODEL NULL; OK INVALID FAILED CANCELLED }
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
            "`layouts` in this file must list every struct of core/abi/src/lib.rs, in its order",
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
            "`constants` in this file must list every constant of core/abi/src/lib.rs, in its order",
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
        panic!("txray.h and core/abi/src/lib.rs differ:\n{complaint}");
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
