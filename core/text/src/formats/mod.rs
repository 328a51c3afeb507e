//! One file a format, and the list of them.

mod conllu;
mod folder;
mod grammar;
mod parquet;
mod text;
mod tsv;

use crate::format::Format;

pub use self::parquet::TableFault;
pub use folder::FolderFault;

/// Every format that pipelines can name.
pub const FORMATS: &[Format] = &[
    Format::of::<conllu::ConlluOptions>(),
    Format::of::<folder::FolderOptions>(),
    Format::of::<parquet::ParquetOptions>(),
    Format::of::<text::TextOptions>(),
    Format::of::<tsv::TsvOptions>(),
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
    use crate::{Context, Disk, Resolver};

    /// Tabs, line ends and headings, and anything else.
    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::sample::select(vec!["\t", "\n", "\r\n", "\r", "= A =", "=", " ", "a", "sentence", "label", "\0"])
                .prop_map(|piece| piece.as_bytes().to_vec()),
            Just("\u{feff}".as_bytes().to_vec()),
            r"\PC{0,3}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..3),
        ];
        prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_documents_or_an_error(bytes in any_bytes(), header: bool, max in 1..40u32) {
            let folder = tempfile::tempdir().unwrap();
            let header: &[u8] = if header { b"sentence\tlabel\n" } else { b"" };
            std::fs::write(folder.path().join("file"), [header, &bytes].concat()).unwrap();
            let resolver = Resolver { data: None, config: folder.path().to_owned() };
            for format in of_lines() {
                let table = json!({ "train": "file", "max_document_bytes": max });
                let Ok(corpus) = (format.open)(&table, &Context { resolver: &resolver, seed: 0 }) else { continue };
                let Ok(documents) = corpus.documents("train", &Disk) else { continue };
                let documents: Vec<_> = documents.collect();
                let (last, others) = documents.split_last().unwrap();
                prop_assert!(others.iter().all(Result::is_ok));
                for (id, document) in others.iter().chain([last]).flatten().enumerate() {
                    prop_assert_eq!(document.id, id as u64);
                    prop_assert!(!document.text.is_empty() && document.text.len() <= max as usize);
                    prop_assert_eq!(document.text.trim(), &document.text);
                }
            }
        }
    }
}
