//! The documents of a text, some at a time.

use txray_text::{Counts, Document, Encoded, Tokenizer};

use crate::error::Result;
use crate::step::Making;
use crate::steps::corpus::Text;

/// Words of the documents that are predicted at a time: enough for the model to fill its lanes, and a bound on memory.
const WINDOW: usize = 1 << 16;

/// Documents of a text, tokenized, window by window, for the step of a table.
pub(super) fn windows(
    making: &Making<'_>,
    table: &str,
    text: &Text,
    tokenizer: &Tokenizer,
    mut of: impl FnMut(Vec<Document>, &Encoded) -> Result<()>,
) -> Result<()> {
    let (mut documents, mut counts) = (text.documents(making)?, Counts::default());
    loop {
        let (mut window, mut words): (Vec<Document>, usize) = (Vec::new(), 0);
        while words < WINDOW
            && let Some(document) = documents.next().transpose()?
        {
            words += document.text.split_whitespace().count() + 1;
            window.push(document);
        }
        if window.is_empty() {
            break;
        }
        let encoded = tokenizer.encode(&window)?;
        counts += encoded.counts;
        of(window, &encoded)?;
    }
    text.check_counts(making, table, counts)
}
