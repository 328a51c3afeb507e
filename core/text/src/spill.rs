//! Documents put aside on the disk, to be read back in another order than they came in: no corpus is held whole.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use crate::corpus::{Annotation, Document, Span};
use crate::error::CorpusError;

/// Documents in a file without a name, which goes when this goes, however the program ends. In memory stand eight bytes of
/// each.
pub(crate) struct Spill {
    file: BufWriter<File>,
    /// Where each document ends.
    ends: Vec<u64>,
}

impl Spill {
    /// # Errors
    /// [`CorpusError::Spill`], as of all that writes or reads there.
    pub(crate) fn new() -> Result<Self, CorpusError> {
        let file = tempfile::tempfile().map_err(failed)?;
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), ends: Vec::new() })
    }

    /// Puts a document aside; gives its number, from 0.
    ///
    /// # Errors
    /// [`CorpusError::Spill`].
    pub(crate) fn push(&mut self, document: &Document) -> Result<usize, CorpusError> {
        let bytes = serde_json::to_vec(&Kept::from(document)).map_err(|error| failed(error.into()))?;
        self.file.write_all(&bytes).map_err(failed)?;
        self.ends.push(self.ends.last().unwrap_or(&0) + bytes.len() as u64);
        Ok(self.ends.len() - 1)
    }

    /// The documents of these numbers, in this order. What they are counted by as documents (their `id`) is their place in it.
    pub(crate) fn read(
        self,
        order: impl IntoIterator<Item = usize>,
    ) -> Result<impl Iterator<Item = Result<Document, CorpusError>>, CorpusError> {
        let ends = self.ends;
        let mut file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        let mut buffer = Vec::new();
        Ok(order.into_iter().zip(0..).map(move |(number, id)| {
            let start = number.checked_sub(1).map_or(0, |before| ends[before]);
            buffer.resize((ends[number] - start) as usize, 0);
            file.seek(SeekFrom::Start(start)).map_err(failed)?;
            file.read_exact(&mut buffer).map_err(failed)?;
            let kept: Kept<'_> = serde_json::from_slice(&buffer).map_err(|error| failed(error.into()))?;
            Ok(kept.document(id))
        }))
    }
}

fn failed(source: io::Error) -> CorpusError {
    CorpusError::Spill { folder: std::env::temp_dir(), source }
}

/// All of a document but what it is counted by.
#[derive(Serialize, Deserialize)]
struct Kept<'d>(
    Option<u64>,
    u32,
    #[serde(borrow)] Cow<'d, str>,
    #[serde(borrow)] Option<Cow<'d, str>>,
    #[serde(borrow)] Option<Cow<'d, str>>,
    #[serde(borrow)] Vec<(Cow<'d, str>, Vec<KeptSpan<'d>>)>,
);

type KeptSpan<'d> = (u32, u32, Cow<'d, str>);

impl<'d> From<&'d Document> for Kept<'d> {
    fn from(document: &'d Document) -> Self {
        let Document { id: _, line, indent, text, group, label, annotations } = document;
        let spans = |one: &'d Annotation| {
            let spans = one.spans.iter().map(|span| (span.start, span.end, Cow::Borrowed(&*span.value)));
            (Cow::Borrowed(&*one.layer), spans.collect())
        };
        let borrowed = |value: &'d Option<_>| value.as_deref().map(Cow::Borrowed);
        let annotations = annotations.iter().map(spans).collect();
        Self(*line, *indent, Cow::Borrowed(text), borrowed(group), borrowed(label), annotations)
    }
}

impl Kept<'_> {
    fn document(self, id: u64) -> Document {
        let Self(line, indent, text, group, label, annotations) = self;
        let span = |(start, end, value): (_, _, Cow<'_, str>)| Span { start, end, value: value.into() };
        let annotations = annotations
            .into_iter()
            .map(|(layer, spans)| Annotation { layer: layer.into(), spans: spans.into_iter().map(span).collect() });
        Document {
            id,
            line,
            indent,
            text: text.into_owned(),
            group: group.map(Into::into),
            label: label.map(Into::into),
            annotations: annotations.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_document() -> impl Strategy<Value = Document> {
        let text = || r#"[a\n"\\\u{0}\u{1F600}é]{0,9}"#;
        let value = move || prop::option::of(text().prop_map(|value| value.into()));
        let span = (any::<u32>(), any::<u32>(), text());
        let spans = prop::collection::vec(span, 0..3).prop_map(|spans| {
            spans.into_iter().map(|(start, end, value)| Span { start, end, value: value.into() }).collect()
        });
        let annotation = (text(), spans).prop_map(|(layer, spans)| Annotation { layer: layer.into(), spans });
        let annotations = prop::collection::vec(annotation, 0..3);
        (any::<Option<u64>>(), any::<u32>(), text(), value(), value(), annotations).prop_map(
            |(line, indent, text, group, label, annotations)| Document {
                id: 7,
                line,
                indent,
                text,
                group,
                label,
                annotations,
            },
        )
    }

    proptest! {
        #[test]
        fn documents_come_back_as_they_were_in_the_order_asked_for(
            documents in prop::collection::vec(any_document(), 1..9),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut spill = Spill::new().unwrap();
            for (number, document) in documents.iter().enumerate() {
                prop_assert_eq!(spill.push(document).unwrap(), number);
            }
            let order: Vec<usize> = order.iter().map(|at| at.index(documents.len())).collect();
            let read: Vec<Document> = spill.read(order.clone()).unwrap().collect::<Result<_, _>>().unwrap();
            let expected = order.iter().zip(0..).map(|(&at, id)| Document { id, ..documents[at].clone() });
            prop_assert_eq!(read, expected.collect::<Vec<_>>());
        }
    }
}
