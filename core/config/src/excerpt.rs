//! What a report shows of a text.

use std::collections::BTreeSet;
use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::source::{Source, stand_in};

/// The characters shown on either side of a caret, and the most that are underlined. A renderer is not made for lines
/// without end: miette panics at 65,536 columns.
const MARGIN: usize = 100;

/// The lines that are pointed at and those beside them, cropped, with carets for the places in them. What goes on over
/// several lines is underlined in its first.
///
/// A caret is at other bytes here than its place in the text; so a report that shows this must have its spans from
/// [`Excerpt::caret`].
#[derive(Debug, Clone)]
pub(crate) struct Excerpt {
    name: String,
    blocks: Vec<Block>,
    carets: Vec<Caret>,
}

/// Lines that follow each other in the text.
#[derive(Debug, Clone)]
struct Block {
    line: usize,
    count: usize,
    /// Where it stands among the bytes that are shown. There is a byte between two blocks that is in neither, so that no
    /// span within a block leads into another.
    offset: usize,
    text: String,
}

#[derive(Debug, Clone)]
struct Caret {
    shown: Range<usize>,
    /// Where the place is in the text: line and column.
    position: (usize, usize),
}

impl Excerpt {
    pub(crate) fn new<'p>(source: &Source, spans: impl Iterator<Item = &'p Range<usize>>) -> Self {
        // Each with its line, and as far as it is underlined.
        let spans: Vec<(usize, Range<usize>)> = spans
            .map(|span| {
                let line = source.position(span.start).0;
                let end = source.line(line).end;
                let start = span.start.min(end);
                let end = span.end.clamp(start, end);
                (line, start..ahead(source.text(), start..end))
            })
            .collect();
        let mut carets: Vec<Caret> =
            spans.iter().map(|(_, span)| Caret { shown: 0..0, position: source.position(span.start) }).collect();

        let pointed: BTreeSet<usize> = spans.iter().map(|(line, _)| *line).collect();
        let beside = pointed.iter().flat_map(|line| [line.saturating_sub(1), *line, line + 1]);
        // Behind the last line break there is no line, but there may be a caret.
        let lines: BTreeSet<usize> = beside.filter(|line| pointed.contains(line) || source.has_line(*line)).collect();

        let mut blocks: Vec<Block> = Vec::new();
        for line in lines {
            let mut block = match blocks.pop() {
                Some(block) if block.line + block.count == line => block,
                last => {
                    let offset = last.as_ref().map_or(0, |last| last.offset + last.text.len() + 1);
                    blocks.extend(last);
                    Block { line, count: 0, offset, text: String::new() }
                }
            };
            let on_line: Vec<usize> = (0..spans.len()).filter(|&index| spans[index].0 == line).collect();
            let pointed: Vec<Range<usize>> = on_line.iter().map(|&index| spans[index].1.clone()).collect();
            let shown = block.push(source.text(), source.line(line), &pointed);
            for (index, shown) in on_line.into_iter().zip(shown) {
                carets[index].shown = shown;
            }
            blocks.push(block);
        }
        Self { name: source.name().to_owned(), blocks, carets }
    }

    /// The span, in what is shown, of one of the places that it was made of.
    pub(crate) fn caret(&self, index: usize) -> Range<usize> {
        self.carets.get(index).map_or(0..0, |caret| caret.shown.clone())
    }
}

impl Block {
    /// Adds a line of `text`, cropped to what is near `spans`; gives where these are then.
    fn push(&mut self, text: &str, line: Range<usize>, spans: &[Range<usize>]) -> Vec<Range<usize>> {
        let mut windows: Vec<Range<usize>> = spans.iter().map(|span| window(text, &line, span)).collect();
        if windows.is_empty() {
            let start = ahead(text, line.clone());
            windows.push(line.start..ahead(text, start..line.end));
        }
        windows.sort_by_key(|window| window.start);

        let mut shown = vec![0..0; spans.len()];
        let mut end = line.start;
        for window in windows {
            if window.start > end {
                self.text.push('…');
            }
            let start = window.start.max(end);
            end = window.end.max(end);
            let offset = self.offset + self.text.len();
            self.text.extend(text[start..end].chars().map(stand_in));
            for (span, shown) in spans.iter().zip(&mut shown) {
                // One that begins at the end of a window has its caret behind it.
                if (start..=end).contains(&span.start) {
                    let from = offset + span.start - start;
                    *shown = from..from + span.end.min(end) - span.start;
                }
            }
        }
        if end < line.end {
            self.text.push('…');
        }
        self.text.push('\n');
        self.count += 1;
        shown
    }
}

/// What is shown around `span` of its line.
fn window(text: &str, line: &Range<usize>, span: &Range<usize>) -> Range<usize> {
    let before = text[line.start..span.start].char_indices().rev().take(MARGIN).last();
    let start = before.map_or(span.start, |(index, _)| line.start + index);
    start..ahead(text, span.end..line.end)
}

/// The end of as much of `stretch` as is shown at once.
fn ahead(text: &str, stretch: Range<usize>) -> usize {
    let next = text[stretch.clone()].char_indices().nth(MARGIN);
    next.map_or(stretch.end, |(index, _)| stretch.start + index)
}

impl SourceCode for Excerpt {
    /// The whole block that the span is in: how many lines stand around a caret was settled before.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let end = span.offset() + span.len();
        let around = |block: &&Block| block.offset <= span.offset() && end <= block.offset + block.text.len();
        let block = self.blocks.iter().find(around).ok_or(MietteError::OutOfBounds)?;
        // For the title of the lines, a span is asked for alone: what is told then is where it is in the text.
        let is_shown = |caret: &&Caret| lines_before == 0 && caret.shown == (span.offset()..end);
        let (line, column) = self.carets.iter().find(is_shown).map_or((block.line, 0), |caret| caret.position);
        let shown = SourceSpan::from((block.offset, block.text.len()));
        let name = self.name.clone();
        Ok(Box::new(MietteSpanContents::new_named(name, block.text.as_bytes(), shown, line, column, block.count)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is hard to show: nothing, wide, combining, unseen, ends of lines; some of it without end.
    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a",
            "b = 1",
            " ",
            "\t",
            "\n",
            "\n",
            "\r\n",
            "\r",
            "ä",
            "漢",
            "e\u{301}",
            "\u{301}",
            "👨‍👩‍👧",
            "\u{1b}[31m",
            "\u{0}",
            "\u{202e}",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "\u{200b}",
            "…",
        ]);
        let count = prop_oneof![20 => 1..4_usize, 2 => 90..210_usize, 1 => Just(66_000)];
        let stretch = (piece, count).prop_map(|(piece, count)| piece.repeat(count));
        prop::collection::vec(stretch, 0..12).prop_map(|all| all.concat())
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_is_shown_in_bounds_and_where_it_is(
            text in any_text(),
            spans in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4),
            label in "[a-z\n\t\u{1b}漢]{0,20}",
        ) {
            use crate::Diagnostic;

            let source = Source::new("t.toml", text.clone());
            let places: Vec<_> = spans
                .iter()
                .map(|(one, other)| {
                    let (one, other) = (one.index(text.len() + 1), other.index(text.len() + 1));
                    source.place(one.min(other)..one.max(other))
                })
                .collect();
            let mut error = Diagnostic::at(places[0].clone(), "wrong").label(&label);
            for place in &places[1..] {
                error = error.also(place.clone(), &label);
            }
            let mut shown = String::new();
            let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
            handler.with_width(80).render_report(&mut shown, &error).unwrap();
            prop_assert!(!shown.contains("Failed to read"), "{shown}");
            prop_assert!(shown.len() < 50_000, "{} bytes", shown.len());
            let unseen = ['\u{1b}', '\u{0}', '\u{202e}', '\u{85}', '\r'];
            prop_assert!(!shown.contains(unseen), "{shown:?}");

            let place = places[0].to_string();
            prop_assert!(shown.contains(&format!("[{place}]")), "{place}: {shown}");
            let start = text.len() - text[places[0].range().start..].len();
            let line = text[..start].matches('\n').count() + 1;
            prop_assert!(place.starts_with(&format!("t.toml:{line}:")), "{place} is in line {line}");
            prop_assert!(shown.lines().any(|row| row.trim_start().starts_with(&format!("{line} │"))), "{shown}");

            // What is above a caret is what the place has in its first line, as far as it is underlined.
            let ranges: Vec<Range<usize>> = places.iter().map(crate::Place::range).collect();
            let excerpt = Excerpt::new(&source, ranges.iter());
            for (index, range) in ranges.iter().enumerate() {
                let caret = excerpt.caret(index);
                let block = excerpt.blocks.iter().find(|block| (block.offset..block.offset + block.text.len()).contains(&caret.start));
                let block = block.unwrap();
                let above = &block.text[caret.start - block.offset..caret.end - block.offset];
                let first = text[range.clone()].split('\n').next().unwrap();
                let told: String = first.chars().map(stand_in).collect();
                prop_assert!(told.starts_with(above), "{above:?} of {told:?}");
                prop_assert!(!above.is_empty() || first.trim_end_matches('\r').is_empty(), "nothing of {told:?}");
                let line = text[..range.start].matches('\n').count();
                let row = block.line + block.text[..caret.start - block.offset].matches('\n').count();
                prop_assert_eq!(line, row);
            }
        }
    }
}
