//! `task`: what a model is trained for, and what it reads for that.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use txray_config::{child, suggestion};
use txray_plugin::random::Stream;
use txray_plugin::{Examples, Level, Task, Text as Ids};
use txray_text::{Encoded, Labels, Targets, Tokenizer};

use crate::check::Check;
use crate::error::{Error, Result};
use crate::step::{Making, Step};
use crate::steps::corpus::{Corpus, Text};
use crate::steps::stage::layers::LABEL;

/// Bytes of text that are tokenized at once, the last document apart.
const CHUNK: usize = 1 << 20;

/// The share of the documents to train on that is held out to validate on unless `task` says otherwise.
const HELD_OUT: f64 = 0.1;

/// What a model is trained for, such as `{ kind = "language-model", corpus = "wikitext" }`. These keys are those of every model;
/// its kind may have others beside them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskKeys {
    /// What the model is trained for; needed, as is the corpus. A model without `task` is not trained.
    pub kind: TaskKind,
    /// The corpus; its splits `train` and, where there is one, `valid` are used.
    pub corpus: String,
    /// For `tagging`: the annotation column of the corpus whose values are the labels, such as `"upos"`. A word that is several tokens
    /// has its label at the first.
    pub column: Option<String>,
    /// For `classification` and `tagging`: the share of the documents of `train` that is held out to validate on where the corpus has no
    /// split `valid`: whole groups of them, where all have groups. The same ones whatever the seed. Default: 0.1; 0 holds out none.
    pub held_out: Option<f64>,
}

impl TaskKeys {
    /// The engine's own keys; others of the same table are the plugin's.
    pub const OWN: [&'static str; 4] = ["kind", "corpus", "column", "held_out"];
}

/// The tasks that models are trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// To predict the next token.
    LanguageModel,
    /// To tell the label of a document.
    Classification,
    /// To tell the label of each word.
    Tagging,
}

impl TaskKind {
    /// As plugins know it.
    pub fn task(self) -> Task {
        match self {
            Self::LanguageModel => Task::LanguageModel,
            Self::Classification => Task::Classification,
            Self::Tagging => Task::Tagging,
        }
    }

    /// Whether it is about labels.
    pub fn has_labels(self) -> bool {
        self != Self::LanguageModel
    }
}

/// What a model is trained for, and on.
#[derive(Clone)]
pub(super) struct Lesson {
    pub kind: TaskKind,
    pub train: Arc<Text>,
    pub valid: Option<Arc<Text>>,
    /// The column of a tagger.
    pub column: Option<String>,
    /// The share that is held out of `train` to validate on.
    pub held_out: f64,
}

impl Lesson {
    /// That of a table `task` at `pointer`.
    pub fn check(check: &mut Check<'_>, pointer: &str, keys: &TaskKeys) -> Option<Self> {
        let before = check.diagnostics.len();
        let corpus = Corpus::find_to_learn(check, pointer, &keys.corpus)?;
        let TaskKeys { kind, column, held_out, .. } = keys;
        let layers = corpus.layers();
        let lacks = |layer: &str| !layers.iter().any(|known| known == layer);
        match (kind, column) {
            (TaskKind::Tagging, None) => {
                let help = suggestion("", layers.iter().map(String::as_str).filter(|layer| *layer != LABEL));
                let message = "missing key `column`: of which annotation of words are the labels?";
                check.error_with_help(pointer, message, help);
            }
            (TaskKind::Tagging, Some(column)) if column == LABEL || lacks(column) => {
                let columns = layers.iter().map(String::as_str).filter(|layer| *layer != LABEL);
                let help = corpus.no_layer(column).unwrap_or_else(|| suggestion(column, columns));
                let message = format!("the corpus `{}` has no annotation column `{column}`", corpus.name);
                check.error_with_help(&child(pointer, "column"), message, help);
            }
            (TaskKind::LanguageModel | TaskKind::Classification, Some(_)) => {
                check.error(&child(pointer, "column"), "is of `tagging`: the labels of words");
            }
            (TaskKind::Classification, None) if lacks(LABEL) => {
                let message = format!("the documents of the corpus `{}` have no labels", corpus.name);
                let help =
                    corpus.no_layer(LABEL).unwrap_or_else(|| "say where they are, as docs/corpora.md has it".into());
                check.error_with_help(&child(pointer, "corpus"), message, help);
            }
            _ => {}
        }
        let (train, valid) = (corpus.text("train")?, corpus.text("valid"));
        let place = child(pointer, "held_out");
        match held_out {
            Some(_) if !kind.has_labels() => check.error(&place, "is of `classification` and `tagging`"),
            Some(share) if !(0.0..1.0).contains(share) => check.error(&place, format!("{share} is not in [0, 1)")),
            Some(share) if *share > 0.0 && valid.is_some() => {
                let message = format!("the corpus `{}` has a split `valid` to validate on", corpus.name);
                check.error(&place, message);
            }
            _ => {}
        }
        let held_out = match (kind.has_labels(), &valid) {
            (true, None) => held_out.unwrap_or(HELD_OUT),
            _ => 0.0,
        };
        let lesson = Self { kind: *kind, train, valid, column: column.clone(), held_out };
        (check.diagnostics.len() == before).then_some(lesson)
    }

    /// What the files of a model depend on of it, beside its texts.
    pub fn recipe(&self) -> Value {
        match self.kind {
            TaskKind::LanguageModel => json!(self.kind),
            kind => json!({ "kind": kind, "column": self.column, "held_out": self.held_out }),
        }
    }

    /// Reads what there is to learn, and what to validate on.
    pub fn read(
        &self,
        making: &Making<'_>,
        table: &str,
        tokenizer: &Tokenizer,
        begun: Option<Labels>,
    ) -> Result<Material> {
        let labels = match self.kind.has_labels() {
            false => None,
            true => {
                let found = Labels::learn(self.train.documents(making)?, self.column.as_deref())?;
                match begun {
                    // The same labels keep the order of the head that there is.
                    Some(begun) if begun.is_alike(&found) => Some(match &self.column {
                        None => begun,
                        Some(column) => begun.of_column(column),
                    }),
                    // The head would be kept, and its classes be called otherwise.
                    Some(begun) if begun.names().len() == found.names().len() => {
                        let names = |labels: &Labels| labels.names().join(", ");
                        let why = format!(
                            "has the labels {}, and the weights that it begins from tell as many others: {}; begin from a model without \
                             a head over labels",
                            names(&found),
                            names(&begun)
                        );
                        return Err(Error::Head { model: self.train.name(), why });
                    }
                    _ => Some(found),
                }
            }
        };
        let read = |text| Read::of(making, table, tokenizer, text, labels.as_ref());
        let (mut train, mut valid) = (read(&self.train)?, self.valid.as_deref().map(read).transpose()?);
        let told = |message: String| making.host.log(Level::Information, &message);
        if let Some(labels) = &labels {
            let names: Vec<&str> = labels.names().iter().take(20).map(|name| &**name).collect();
            let more = if labels.names().len() > names.len() { ", ..." } else { "" };
            told(format!("[{table}] learns {} labels: {}{more}", labels.names().len(), names.join(", ")));
        }
        if self.held_out > 0.0 {
            let all = train.documents();
            let (rest, held) = train.split(self.held_out);
            if rest.documents() == 0 {
                let message = format!(
                    "[{table}] validates on nothing: `{}` has no split `valid`, and all of its documents are in one group",
                    self.train.name()
                );
                making.host.log(Level::Warning, &message);
            } else if held.documents() > 0 {
                let units = if held.groups.iter().all(Option::is_some) { ", whole groups," } else { "" };
                told(format!(
                    "[{table}] holds {} of the {all} documents of `{}`{units} out to validate on",
                    held.documents(),
                    self.train.name()
                ));
                (train, valid) = (rest, Some(held));
            }
        }
        if let (Some(labels), Some(valid)) = (&labels, &valid) {
            let absent = train.absent(labels);
            if !absent.is_empty() {
                let message = format!(
                    "[{table}] nothing that is left to train on is labelled {}, which is in what is held out alone: give the corpus a \
                     split `valid`, or set `held_out = 0`",
                    absent.join(", ")
                );
                making.host.log(Level::Warning, &message);
            }
            self.tell(making, table, labels, valid);
        }
        Ok(Material { labels, train, valid })
    }

    /// Tells of labels that the one or the other part lacks.
    fn tell(&self, making: &Making<'_>, table: &str, labels: &Labels, valid: &Read) {
        let of = self.valid.as_ref().map_or("what is held out".to_owned(), |valid| format!("`{}`", valid.name()));
        let Targets { unseen, unseen_name, .. } = &valid.targets;
        let what = if self.column.is_some() { "words" } else { "documents" };
        if let Some(name) = unseen_name {
            let message = format!(
                "[{table}] {unseen} {what} of {of} have labels that `{}` lacks, such as '{name}': nothing is validated on them",
                self.train.name()
            );
            making.host.log(Level::Warning, &message);
        }
        let absent = valid.absent(labels);
        if !absent.is_empty() {
            let message = format!("[{table}] none of the {what} of {of} is labelled {}", absent.join(", "));
            making.host.log(Level::Warning, &message);
        }
    }
}

/// What a model is trained and validated on.
pub(super) struct Material {
    pub labels: Option<Labels>,
    pub train: Read,
    pub valid: Option<Read>,
}

/// A text as a model reads it.
pub(super) struct Read {
    encoded: Encoded,
    targets: Targets,
    /// `[documents]`
    groups: Vec<Option<Arc<str>>>,
    /// Whether its labels are of tokens, and not of documents.
    of_tokens: bool,
}

impl Read {
    /// All of a text, for the step of a table.
    fn of(
        making: &Making<'_>,
        table: &str,
        tokenizer: &Tokenizer,
        text: &Text,
        labels: Option<&Labels>,
    ) -> Result<Self> {
        let encoded = Encoded { offsets: vec![0], ..Encoded::default() };
        let of_tokens = labels.is_some_and(|labels| labels.column().is_some());
        let mut all = Self { encoded, targets: Targets::default(), groups: Vec::new(), of_tokens };
        let mut documents = text.documents(making)?;
        loop {
            let (mut chunk, mut bytes) = (Vec::new(), 0);
            while bytes < CHUNK
                && let Some(document) = documents.next().transpose()?
            {
                bytes += document.text.len();
                chunk.push(document);
            }
            if chunk.is_empty() {
                break;
            }
            let encoded = tokenizer.encode(&chunk)?;
            if let Some(labels) = labels {
                let targets = labels.targets(&chunk, &encoded);
                all.targets.labels.extend(targets.labels);
                all.targets.unseen += targets.unseen;
                all.targets.unseen_name = all.targets.unseen_name.or(targets.unseen_name);
                all.targets.unread += targets.unread;
            }
            let before = all.encoded.ids.len() as u64;
            all.encoded.ids.extend_from_slice(&encoded.ids);
            all.encoded.offsets.extend(encoded.offsets.iter().skip(1).map(|offset| before + offset));
            all.encoded.counts += encoded.counts;
            all.groups.extend(chunk.into_iter().map(|document| document.group));
        }
        text.check_counts(making, table, all.encoded.counts)?;
        Ok(all)
    }

    /// Labels that nothing of it has: the first of these.
    fn absent<'l>(&self, labels: &'l Labels) -> Vec<&'l str> {
        let known: HashSet<u32> = self.targets.labels.iter().copied().collect();
        let absent = (0..).zip(labels.names()).filter(|(number, _)| !known.contains(number));
        absent.map(|(_, name)| &**name).take(10).collect()
    }

    fn documents(&self) -> usize {
        self.groups.len()
    }

    /// As a plugin is given it.
    pub fn examples(&self) -> Examples<'_> {
        let text = Ids { ids: &self.encoded.ids, offsets: &self.encoded.offsets };
        Examples { text, targets: &self.targets.labels }
    }

    /// Holds a share of the documents out, at most, and one unit of them at least: the rest, and these. Units are groups, where all
    /// documents have one.
    fn split(&self, share: f64) -> (Self, Self) {
        let is_grouped = self.groups.iter().all(Option::is_some);
        let (mut numbers, mut sizes): (HashMap<&str, usize>, Vec<usize>) = (HashMap::new(), Vec::new());
        let mut units = Vec::with_capacity(self.documents());
        for group in &self.groups {
            let next = sizes.len();
            let unit = match group.as_deref().filter(|_| is_grouped) {
                None => next,
                Some(group) => *numbers.entry(group).or_insert(next),
            };
            if unit == next {
                sizes.push(0);
            }
            sizes[unit] += 1;
            units.push(unit);
        }
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        Stream::new(0, "held-out", 0).shuffle(&mut order);
        let mut room = (share * self.documents() as f64) as usize;
        let mut is_held = vec![false; sizes.len()];
        for &unit in &order {
            if sizes[unit] <= room {
                room -= sizes[unit];
                is_held[unit] = true;
            }
        }
        if !is_held.contains(&true)
            && let Some(&least) = order.iter().min_by_key(|&&unit| sizes[unit])
        {
            is_held[least] = true;
        }
        (self.part(|document| !is_held[units[document]]), self.part(|document| is_held[units[document]]))
    }

    /// Some of its documents.
    fn part(&self, is_wanted: impl Fn(usize) -> bool) -> Self {
        let encoded = Encoded { offsets: vec![0], ..Encoded::default() };
        let mut part = Self { encoded, targets: Targets::default(), groups: Vec::new(), of_tokens: self.of_tokens };
        for document in (0..self.documents()).filter(|&document| is_wanted(document)) {
            let at = self.encoded.offsets[document] as usize..self.encoded.offsets[document + 1] as usize;
            let labels = if self.of_tokens { at.clone() } else { document..document + 1 };
            part.encoded.ids.extend_from_slice(&self.encoded.ids[at]);
            part.encoded.offsets.push(part.encoded.ids.len() as u64);
            part.targets.labels.extend_from_slice(&self.targets.labels[labels]);
            part.groups.push(self.groups[document].clone());
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(groups: &[Option<&str>], of_tokens: bool) -> Read {
        let count = groups.len() as u32;
        let encoded = Encoded {
            ids: (0..count).flat_map(|document| [document, 100 + document]).collect(),
            offsets: (0..=u64::from(count)).map(|document| 2 * document).collect(),
            ..Encoded::default()
        };
        let labels = (0..if of_tokens { 2 * count } else { count }).collect();
        let targets = Targets { labels, ..Targets::default() };
        Read { encoded, targets, groups: groups.iter().map(|group| group.map(Into::into)).collect(), of_tokens }
    }

    #[test]
    fn a_share_of_the_documents_is_held_out() {
        let (rest, held) = read(&[None; 40], false).split(0.1);
        assert_eq!((rest.documents(), held.documents()), (36, 4));
        for part in [&rest, &held] {
            assert_eq!(part.encoded.offsets.len(), part.documents() + 1);
            for (document, label) in part.targets.labels.iter().enumerate() {
                assert_eq!(part.encoded.ids[2 * document..2 * document + 2], [*label, 100 + label]);
            }
        }
        let mut all = [rest.targets.labels, held.targets.labels].concat();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<u32>>());
        let (rest, held) = read(&[None; 10], true).split(0.25);
        assert_eq!((rest.targets.labels.len(), held.targets.labels.len()), (16, 4));
    }

    #[test]
    fn groups_stay_together() {
        let groups: Vec<Option<&str>> = (0..40).map(|document| Some(["a", "b", "c", "d"][document % 4])).collect();
        let (rest, held) = read(&groups, false).split(0.3);
        assert_eq!((rest.documents(), held.documents()), (30, 10));
        assert!(held.groups.iter().all(|group| group == &held.groups[0]));
        // No group is as small as the share: one is held out all the same; and where there is a single one, there is no rest.
        assert_eq!(read(&groups, false).split(0.01).1.documents(), 10);
        assert_eq!(read(&[Some("a"); 5], false).split(0.5).0.documents(), 0);
        assert_eq!(read(&[], false).split(0.5).1.documents(), 0);
    }
}
