//! One file a format, and the list of them.

mod conllu;
mod csv;
mod folder;
mod grammar;
mod jsonl;
mod parquet;
mod table;
mod text;
mod tsv;

use crate::format::Format;

/// Every format that pipelines can name.
pub const FORMATS: &[Format] = &[
    Format::of::<text::TextOptions>(),
    Format::of::<folder::FolderOptions>(),
    Format::of::<csv::CsvOptions>(),
    Format::of::<tsv::TsvOptions>(),
    Format::of::<jsonl::JsonlOptions>(),
    Format::of::<conllu::ConlluOptions>(),
    Format::of::<parquet::ParquetOptions>(),
    Format::of::<grammar::GrammarOptions>(),
];

#[cfg(test)]
pub(crate) use text::TextOptions;

/// The formats whose splits are files of lines.
#[cfg(test)]
pub(crate) fn of_lines() -> impl Iterator<Item = &'static Format> {
    FORMATS.iter().filter(|format| !["folder", "grammar", "parquet"].contains(&format.kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::unpack::tests::{gzip, zstd};
    use crate::{Context, Disk, Resolver};

    /// Tabs, line ends and headings, and anything else.
    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "\t",
                "\n",
                "\r\n",
                "\r",
                "= A =",
                "=",
                " ",
                "a",
                "sentence",
                "label",
                "\0",
                "\"",
                "\"\"",
                ",",
                "{\"text\": \"a",
                "\"}",
                "[[0, 1, \"",
                "]]",
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
            Just("\u{feff}".as_bytes().to_vec()),
            r"\PC{0,3}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..3),
        ];
        prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    /// What a file of the format may begin with.
    fn beginning(kind: &str) -> &'static [u8] {
        match kind {
            "tsv" => b"sentence\tlabel\n",
            "csv" => b"text,label\n",
            "jsonl" => b"{\"text\": \"a\", \"label\": 1}\n",
            _ => b"",
        }
    }

    /// Options of the format, and of every one.
    fn any_options() -> impl Strategy<Value = Vec<(&'static str, serde_json::Value)>> {
        let option = prop::sample::select(vec![
            ("document", json!("article")),
            ("quoting", json!("none")),
            ("quoting", json!("double")),
            ("header", json!(false)),
            ("delimiter", json!(" ")),
            ("text", json!("1")),
            ("limit", json!(2)),
            ("shuffle", json!(true)),
            ("min_characters", json!(2)),
            ("normalize", json!(["html_breaks", "nfc", "sentence_marks", "squash_spaces"])),
        ]);
        prop::collection::vec(option, 0..4)
    }

    proptest! {
        #[test]
        fn any_bytes_are_documents_or_an_error(
            bytes in any_bytes(),
            begins: bool,
            max in 1..40u32,
            options in any_options(),
            packing in 0..5u8,
            at: prop::sample::Index,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let resolver = Resolver { data: None, config: folder.path().to_owned() };
            for format in of_lines() {
                let text = [if begins { beginning(format.kind) } else { b"" }, &bytes].concat();
                let mut file = match packing {
                    0 | 3 => gzip(&text),
                    1 | 4 => zstd(&text),
                    _ => text,
                };
                if packing > 2 {
                    let at = at.index(file.len());
                    file[at] ^= 1 << (max % 8);
                }
                std::fs::write(folder.path().join("file"), file).unwrap();
                let schema = (format.schema)();
                let mut table = json!({ "train": "file", "max_document_bytes": max });
                for (option, value) in options.iter().filter(|(option, _)| schema["properties"].get(option).is_some()) {
                    table[*option] = value.clone();
                }
                let Ok(corpus) = (format.open)(&table, &Context { resolver: &resolver, seed: 0 }) else { continue };
                let Ok(documents) = corpus.documents("train", &Disk) else { continue };
                let documents: Vec<_> = documents.collect();
                let (last, others) = documents.split_last().unwrap();
                prop_assert!(others.iter().all(Result::is_ok));
                let is_normalised = table.get("normalize").is_some();
                for (id, document) in others.iter().chain([last]).flatten().enumerate() {
                    prop_assert_eq!(document.id, id as u64);
                    prop_assert!(!document.text.is_empty());
                    prop_assert!(is_normalised || document.text.len() <= max as usize);
                    prop_assert_eq!(document.text.trim(), &document.text);
                    prop_assert!(document.label.is_none() || corpus.layers() == ["label"]);
                }
                let again: Vec<_> = corpus.documents("train", &Disk).unwrap().flatten().collect();
                prop_assert_eq!(again, documents.into_iter().flatten().collect::<Vec<_>>());
            }
        }
    }
}
