//! Which annotation each token falls in, by their places in the text.

use std::sync::Arc;

use crate::corpus::{Annotation, Span};
use crate::split::Words;

/// The spans that tokens fell in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined<'a> {
    /// The span of each token: `[tokens]`.
    pub spans: Vec<Option<&'a Span>>,
    /// Tokens that stand somewhere in the text but in no span that has a value. Tokens without a place
    /// (`<eos>`) are not among them.
    pub unjoined: u64,
}

/// Joins the tokens of a document to one of its annotation layers.
///
/// A token falls in the span that it shares the most Unicode scalars with, the first of these on a
/// tie; where that has an empty value, in none. `starts` and `ends` (`[tokens]`) are as in [`Encoded`](crate::Encoded); `spans` are
/// sorted by start. Linear in both when the tokens are sorted too, as every tokenizer gives them.
pub fn join<'a>(starts: &[u32], ends: &[u32], spans: &'a [Span]) -> Joined<'a> {
    let mut unjoined = 0;
    // All spans before this one end before the current token.
    let mut first = 0;
    let mut last_start = 0;
    let find = |(&start, &end): (&u32, &u32)| {
        if start >= end {
            return None;
        }
        if start < last_start {
            first = 0;
        }
        last_start = start;
        while spans.get(first).is_some_and(|span| span.end <= start) {
            first += 1;
        }
        let mut best: Option<(&Span, u32)> = None;
        for span in spans[first..].iter().take_while(|span| span.start < end) {
            let overlap = span.end.min(end).saturating_sub(span.start.max(start));
            if overlap > best.map_or(0, |(_, most)| most) {
                best = Some((span, overlap));
            }
        }
        let best = best.map(|(span, _)| span).filter(|span| !span.value.is_empty());
        unjoined += u64::from(best.is_none());
        best
    };
    let spans = starts.iter().zip(ends).map(find).collect();
    Joined { spans, unjoined }
}

/// The layer `word` of a text. Joining it gives a subword token the word that it is a part of.
pub fn words(text: &str, words: Words) -> Annotation {
    let mut spans = Vec::new();
    words.for_each(text, |word, start, end| {
        spans.push(Span { start, end, value: word.into() });
    });
    Annotation { layer: Arc::from("word"), spans }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NULL: u32 = u32::MAX;

    fn span(start: u32, end: u32) -> Span {
        let value = format!("{start}-{end}").into();
        Span { start, end, value }
    }

    /// Sorted spans that do not overlap: gaps and lengths in turn.
    fn layout() -> impl Strategy<Value = Vec<Span>> {
        prop::collection::vec((0..4u32, 1..6u32), 0..20).prop_map(|steps| {
            let mut at = 0;
            let step = |(gap, length)| {
                let start = at + gap;
                at = start + length;
                span(start, at)
            };
            steps.into_iter().map(step).collect()
        })
    }

    /// The rule, said in the plainest way.
    fn by_definition(start: u32, end: u32, spans: &[Span]) -> Option<&Span> {
        let shared = |span: &Span| (start..end).filter(|at| (span.start..span.end).contains(at)).count();
        let most = spans.iter().map(shared).max().filter(|&most| most > 0)?;
        spans.iter().find(|span| shared(span) == most)
    }

    proptest! {
        #[test]
        fn each_token_falls_where_it_overlaps_most(
            spans in layout(),
            mut tokens in prop::collection::vec((0..80u32, 0..8u32), 0..30),
            sorted: bool,
            nulls in prop::collection::vec(any::<bool>(), 30),
        ) {
            if sorted {
                tokens.sort_unstable();
            }
            let place = |((start, length), &null): (&(u32, u32), &bool)| {
                if null { (NULL, NULL) } else { (*start, start + length) }
            };
            let (starts, ends): (Vec<u32>, Vec<u32>) = tokens.iter().zip(&nulls).map(place).unzip();
            let joined = join(&starts, &ends, &spans);
            let mut unjoined = 0;
            for (token, found) in joined.spans.iter().enumerate() {
                let (start, end) = (starts[token], ends[token]);
                let expected = by_definition(start, end, &spans);
                prop_assert_eq!(*found, expected);
                unjoined += u64::from(expected.is_none() && start < end);
            }
            prop_assert_eq!(joined.unjoined, unjoined);
        }

        #[test]
        fn words_are_those_of_split_whitespace(text in r"(\PC|\s){0,40}") {
            let layer = words(&text, Words::Space);
            let values: Vec<&str> = layer.spans.iter().map(|span| &*span.value).collect();
            prop_assert_eq!(values, text.split_whitespace().collect::<Vec<_>>());
            let scalars: Vec<char> = text.chars().collect();
            for Span { start, end, value } in &layer.spans {
                let stretch: String = scalars[*start as usize..*end as usize].iter().collect();
                prop_assert_eq!(&**value, stretch);
            }
        }

        #[test]
        fn a_layer_joins_to_itself(spans in layout()) {
            let starts: Vec<u32> = spans.iter().map(|span| span.start).collect();
            let ends: Vec<u32> = spans.iter().map(|span| span.end).collect();
            let joined = join(&starts, &ends, &spans);
            prop_assert_eq!(joined.unjoined, 0);
            prop_assert!(joined.spans.iter().zip(&spans).all(|(found, span)| *found == Some(span)));
        }
    }

    proptest! {
        /// What annotations and tokenizers are not meant to give: it may join to nothing, and breaks nothing.
        #[test]
        fn any_places_join(
            spans in prop::collection::vec((any_place(), any_place()), 0..12),
            tokens in prop::collection::vec((any_place(), any_place()), 0..12),
        ) {
            let spans: Vec<Span> = spans.into_iter().map(|(start, end)| span(start, end)).collect();
            let (starts, ends): (Vec<u32>, Vec<u32>) = tokens.into_iter().unzip();
            let joined = join(&starts, &ends, &spans);
            prop_assert_eq!(joined.spans.len(), starts.len());
            for ((found, start), end) in joined.spans.iter().zip(starts).zip(ends) {
                prop_assert!(found.is_none_or(|span| span.start < end && start < span.end));
            }
        }
    }

    fn any_place() -> impl Strategy<Value = u32> {
        prop_oneof![0..10u32, Just(NULL), Just(NULL - 1), any::<u32>()]
    }

    /// "me,just": most of it is of a word without a value.
    #[test]
    fn a_word_without_a_value_keeps_its_place() {
        let of = |value: &str, start, end| Span { start, end, value: value.into() };
        let spans = [of("Case=Acc", 0, 2), of("", 2, 3), of("", 3, 7)];
        let joined = join(&[0, 0], &[7, 3], &spans);
        assert_eq!((joined.spans, joined.unjoined), (vec![None, Some(&spans[0])], 1));
    }

    #[test]
    fn subword_tokens_get_their_word() {
        let layer = words("Zoë's  café ", Words::Space);
        // "Zo", "ë's  c", "afé", <eos>, and the white space at the end.
        let joined = join(&[0, 2, 8, NULL, 11], &[2, 8, 11, NULL, 12], &layer.spans);
        let values: Vec<Option<&str>> = joined.spans.iter().map(|span| span.map(|span| &*span.value)).collect();
        assert_eq!(values, [Some("Zoë's"), Some("Zoë's"), Some("café"), None, None]);
        assert_eq!(joined.unjoined, 1);
    }
}
