//! Every table that a run leaves, and every column of it, once.
//!
//! Whoever writes or reads a column names it by its constant here, and `docs/tables.md` is made from the same.

use std::fmt::Write;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the types")]
pub enum Kind {
    Text,
    Bool,
    U32,
    U64,
    I64,
    F32,
    F64,
}

impl Kind {
    /// Its name in Arrow and Polars.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bool => "bool",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it can be null.
    pub null: bool,
    /// What it means.
    pub about: &'static str,
}

impl AsRef<str> for Column {
    fn as_ref(&self) -> &str {
        self.name
    }
}

/// The columns that a table has for each layer or metric, after its own.
#[derive(Clone, Copy, Debug)]
pub struct Each {
    /// What there is one of each: `layer`, `metric`.
    pub of: &'static str,
    /// What its name stands behind.
    pub prefix: &'static str,
    /// What follows its name.
    pub suffix: &'static str,
    /// What they hold.
    pub kind: Kind,
    /// Whether they can be null.
    pub null: bool,
    /// What they mean.
    pub about: &'static str,
}

impl Each {
    /// The column of one.
    pub fn column(&self, name: &str) -> String {
        format!("{}{name}{}", self.prefix, self.suffix)
    }
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Where it lies in the run's directory; NAME is that of its step.
    pub path: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
    /// Those that follow, of each of the layers or metrics together.
    pub each: &'static [Each],
}

impl Table {
    /// The folder of the run's directory that it is in.
    pub fn folder(&self) -> &'static str {
        self.path.split('/').next().unwrap_or(self.path)
    }

    /// The file in the folder of its step.
    pub fn file(&self) -> String {
        format!("{}.parquet", self.name)
    }
}

macro_rules! tables {
    ($(
        $(#[doc = $about:literal])+
        $module:ident at $path:literal {
            $($(#[doc = $doc:literal])+ $column:ident: $kind:ident $(or $null:ident)? = $name:literal,)+
            $(each $of:literal $(#[doc = $each_doc:literal])+ $prefix:literal $($suffix:literal)?: $each_kind:ident $(or $each_null:ident)?,)*
        }
    )+) => {
        $(
            $(#[doc = $about])+
            pub mod $module {
                use super::{Column, Kind, Table};
                $(
                    $(#[doc = $doc])+
                    pub const $column: Column = Column {
                        name: $name,
                        kind: Kind::$kind,
                        null: false $(|| stringify!($null).len() == 4)?,
                        about: concat!($($doc),+),
                    };
                )+
                /// The table.
                pub const TABLE: Table = Table {
                    name: stringify!($module),
                    path: $path,
                    about: concat!($($about),+),
                    columns: &[$($column),+],
                    each: &[$(super::Each {
                        of: $of,
                        prefix: $prefix,
                        suffix: concat!("" $(, $suffix)?),
                        kind: Kind::$each_kind,
                        null: false $(|| stringify!($each_null).len() == 4)?,
                        about: concat!($($each_doc),+),
                    }),*],
                };
            }
        )+
        /// Every table, in the order of the run.
        pub const TABLES: &[Table] = &[$($module::TABLE),+];
    };
}

tables! {
    /// What the record rule kept of a stage: a row an observation, in the order of the text.
    observations at "stages/NAME/observations.parquet" {
        /// The document, counted from 0 in its split.
        DOC: U64 = "doc",
        /// The group that the document belongs to (article, movie); null where it is in none.
        GROUP: Text or null = "group",
        /// The token, counted from 0 in its document.
        POSITION: U32 = "position",
        /// Where in the model.
        SITE: Text = "site",
        /// The index of the neuron at its site.
        NEURON: U32 = "neuron",
        /// Its activation.
        ACTIVATION: F32 = "activation",
        /// Where the token starts, in Unicode scalars from 0: in the line of the document, or in its field of a table, as it stands in
        /// the file (white space counts, a byte order mark does not). Null for a token of no text, such as `<eos>`.
        START: U32 or null = "start",
        /// The Unicode scalar that it ends before; null likewise.
        END: U32 or null = "end",
        /// The line of the file that the document stands in, counted from 1, blank lines and a header too; lines end with `\n`.
        /// Null for a generated document, or where a source does not tell.
        LINE: U64 or null = "line",
        each "layer" /// The feature of the token in that layer; null where it has none. (The layer `position` is the column above.)
        "": Text or null,
    }

    /// What each neuron of a stage prefers: a row a site, neuron, layer and feature, of observations with an activation > 0.
    preferences at "stages/NAME/preferences.parquet" {
        /// Where in the model.
        SITE: Text = "site",
        /// The index of the neuron at its site.
        NEURON: U32 = "neuron",
        /// The layer of the feature.
        LAYER: Text = "layer",
        /// The feature.
        FEATURE: Text = "feature",
        /// How often the neuron met the feature.
        COUNT: U64 = "count",
        /// The sum of the activations, to the nearest float.
        MASS: F64 = "mass",
        /// The largest of them.
        MAX: F32 = "max",
        /// The exact sum, times 2^64: its upper 64 bits. This, with `mass_lo`, is what merges.
        MASS_HIGH: I64 = "mass_hi",
        /// The exact sum, times 2^64: its lower 64 bits.
        MASS_LOW: U64 = "mass_lo",
    }

    /// The neurons of a stage: a row a site and neuron.
    neurons at "stages/NAME/neurons.parquet" {
        /// Where in the model.
        SITE: Text = "site",
        /// The index of the neuron at its site.
        NEURON: U32 = "neuron",
        /// Whether it was observed with an activation > 0.
        ALIVE: Bool = "alive",
        /// How often it was.
        COUNT: U64 = "count",
        /// The sum of those activations.
        MASS: F64 = "mass",
        /// Its mean activation over all tokens, recorded or not; null where the source does not tell.
        MEAN: F64 or null = "mean",
        /// The mean of the absolute value of its activation over all tokens; null likewise.
        MEAN_ABS: F64 or null = "mean_abs",
        /// The standard deviation of its activation over all tokens; null likewise. Of a neuron that hardly moves, below a
        /// thousandth of its mean, it is lost in rounding.
        SD: F64 or null = "sd",
        each "layer" /// How many distinct features of that layer it prefers.
        "length_": U64,
    }

    /// What merges the neurons of a shard (`txray run --shard`) with those of others: a row a site and neuron. Sums are exact, times
    /// 2^64, in halves of 64 bits. A whole run does not leave it.
    sums at "stages/NAME/sums.parquet" {
        /// Where in the model.
        SITE: Text = "site",
        /// The index of the neuron at its site.
        NEURON: U32 = "neuron",
        /// How often it was observed with a strength > 0.
        COUNT: U64 = "count",
        /// How often with another.
        NOT_POSITIVE: U64 = "not_positive",
        /// The sum of the strengths > 0: its upper half.
        MASS_HIGH: I64 = "mass_hi",
        /// Its lower half.
        MASS_LOW: U64 = "mass_lo",
        /// The sum of its activations over all tokens: its upper half. Null, as are those that follow, where the source does not tell.
        SUM_HIGH: I64 or null = "sum_hi",
        /// Its lower half.
        SUM_LOW: U64 or null = "sum_lo",
        /// The sum of their absolute values: its upper half.
        SUM_ABS_HIGH: I64 or null = "sum_abs_hi",
        /// Its lower half.
        SUM_ABS_LOW: U64 or null = "sum_abs_lo",
        /// The sum of their squares: its upper half.
        SUM_SQ_HIGH: I64 or null = "sum_sq_hi",
        /// Its lower half.
        SUM_SQ_LOW: U64 or null = "sum_sq_lo",
    }

    /// Two stages held against each other: a row a site, neuron and layer.
    comparison at "comparisons/NAME.parquet" {
        /// Where in the model.
        SITE: Text = "site",
        /// The index of the neuron at its site.
        NEURON: U32 = "neuron",
        /// The layer of features.
        LAYER: Text = "layer",
        /// What became of the neuron, by who is alive: `shared`, `lost`, `gained`, `dead`.
        FATE: Text = "fate",
        /// How often it was observed with an activation > 0 in the earlier stage.
        COUNT_FROM: U64 = "count_from",
        /// How often in the later one.
        COUNT_TO: U64 = "count_to",
        /// How many distinct features it prefers in the earlier stage, without those that `min_count` leaves out.
        LENGTH_FROM: U64 = "length_from",
        /// How many in the later one, likewise.
        LENGTH_TO: U64 = "length_to",
        /// How many in either, likewise.
        UNION_LENGTH: U64 = "union_length",
        /// What became of the neuron, with evidence: `lost` or `gained` where it was observed 20 times or more on one side, never on the
        /// other, and its count changed significantly; `rare` where it was observed on one side alone, and that is too little to say.
        /// Null where nothing is tested.
        FATE_TESTED: Text or null = "fate_tested",
        /// p of the change of its share of all observations at its site. Null where that is not tested, and below 20 observations on both sides.
        COUNT_P: F64 or null = "count_p",
        /// The smallest rate of false discoveries at which that is one.
        COUNT_Q: F64 or null = "count_q",
        /// The features that it would prefer in the earlier stage of as many observations as the side with fewer has: the lengths
        /// that can be compared. Null without observations on both sides.
        RAREFIED_FROM: F64 or null = "rarefied_from",
        /// In the later one, likewise.
        RAREFIED_TO: F64 or null = "rarefied_to",
        /// The Hill number of order 1 of its distribution in the earlier stage, the exponential of its entropy: how many features
        /// there are, each counted as it weighs. Null without a distribution.
        HILL_1_FROM: F64 or null = "hill_1_from",
        /// In the later one, likewise.
        HILL_1_TO: F64 or null = "hill_1_to",
        /// The Hill number of order 2, which is 1 / sum of p²: how many features there are that weigh most.
        HILL_2_FROM: F64 or null = "hill_2_from",
        /// In the later one, likewise.
        HILL_2_TO: F64 or null = "hill_2_to",
        /// The index of the neuron in the later stage: the same as `neuron`, but where neurons are matched (`align`); then null of one
        /// without a partner.
        NEURON_TO: U32 or null = "neuron_to",
        each "metric" /// The distance between its two distributions; null where one of them is none.
        "": F64 or null,
        each "metric" /// The distance without what finite samples add: near 0 without change, below it by chance. Null where the metric
        /// claims no affinity, or a half of a side has nothing.
        "" "_corrected": F64 or null,
        each "metric" /// Where the interval of 95 % of the corrected distance begins; in layers of at most 64 features.
        "" "_low": F64 or null,
        each "metric" /// Where it ends.
        "" "_high": F64 or null,
        each "metric" /// The distance with both texts brought to the same frequencies of features, of those that both have; null where the
        /// stages read the same text, and of metrics that claim no affinity.
        "" "_standardized": F64 or null,
        each "metric" /// The mean distance where nothing changed, by permutation.
        "" "_null": F64 or null,
        each "metric" /// p of the distance: how often chance alone gives as much. Null below 20 observations or 5 units on a side.
        "" "_p": F64 or null,
        each "metric" /// The smallest rate of false discoveries at which it is one (Benjamini and Hochberg).
        "" "_q": F64 or null,
        each "metric" /// p against the largest of all neurons, where `max_t` asks for it.
        "" "_p_max": F64 or null,
        each "metric" /// How far training again moves the neuron: the mean distance of the later stage (of the earlier one, where that alone has
        /// them) to the same stage of each replicate. Null without replicates, and where they began apart.
        "" "_between": F64 or null,
        each "metric" /// The same of the corrected distances; null of replicates that began apart and are not matched.
        "" "_corrected_between": F64 or null,
    }

    /// The features that carry a neuron's distance, and those that it prefers most on either side: a row a site, neuron, layer and
    /// feature, the ones that carry most first.
    comparison_features at "comparisons/NAME.features.parquet" {
        /// Where in the model.
        SITE: Text = "site",
        /// The index of the neuron at its site.
        NEURON: U32 = "neuron",
        /// The layer of features.
        LAYER: Text = "layer",
        /// The feature.
        FEATURE: Text = "feature",
        /// How often the neuron met it in the earlier stage.
        COUNT_FROM: U64 = "count_from",
        /// And in the later one.
        COUNT_TO: U64 = "count_to",
        /// Its share of the neuron's distribution in the earlier stage.
        SHARE_FROM: F64 = "share_from",
        /// And in the later one.
        SHARE_TO: F64 = "share_to",
        /// Its term of the squared Hellinger distance, `(sqrt p - sqrt q)² / 2`: all terms of a neuron sum to it.
        TERM: F64 = "term",
    }

    /// Checkpoints of a model, read over one text: a row a checkpoint and layer, in the order of the checkpoints.
    trajectory at "trajectories/NAME.parquet" {
        /// The checkpoint: `lm@1`.
        CHECKPOINT: Text = "checkpoint",
        /// The epoch that it was kept after; null where that is not known.
        EPOCH: U64 or null = "epoch",
        /// The layer of features.
        LAYER: Text = "layer",
        /// Neurons that were observed with a strength > 0.
        ALIVE: U64 = "alive",
        /// How often neurons were.
        COUNT: U64 = "count",
        /// The sum of those strengths.
        MASS: F64 = "mass",
        /// Its perplexity on the text; null where it does not predict the next token.
        PERPLEXITY: F64 or null = "perplexity",
        /// Where the interval of 95 % of the perplexity begins.
        PERPLEXITY_LOW: F64 or null = "perplexity_low",
        /// Where it ends.
        PERPLEXITY_HIGH: F64 or null = "perplexity_high",
        /// Distinct features that a neuron prefers, in the mean of those alive; null where there is none.
        LENGTH: F64 or null = "length",
        /// Distinct features of as many observations of each neuron as it has at the checkpoint where it has fewest, in the mean of
        /// the neurons that have 20 or more at every one: the lengths that can be compared.
        RAREFIED: F64 or null = "rarefied",
        /// How many neurons these are.
        RAREFIED_NEURONS: U64 = "rarefied_neurons",
        /// The Hill number of order 1 of what a neuron prefers, in the mean of those alive.
        HILL_1: F64 or null = "hill_1",
        /// That of order 2.
        HILL_2: F64 or null = "hill_2",
        /// The mutual information of neuron and feature over observations, bits.
        INFORMATION: F64 or null = "information",
        /// The same with the features permuted among word types of which none is more than twice as frequent as another
        /// (the mean of 10 permutations): what neurons tell of words, and what samples of this size add. Null of layers that are not of word
        /// types (`token`, `word`, `label`, `position`, `prediction`), and where the trajectory has neither of the first two.
        INFORMATION_CONTROL: F64 or null = "information_control",
        /// The joint distance (all neurons together) to the checkpoint before it; null at the first.
        DISTANCE_PREVIOUS: F64 or null = "distance_previous",
        /// The same without what finite samples add.
        CORRECTED_PREVIOUS: F64 or null = "corrected_previous",
        /// Where its interval of 95 % begins.
        LOW_PREVIOUS: F64 or null = "low_previous",
        /// Where it ends.
        HIGH_PREVIOUS: F64 or null = "high_previous",
        /// Of its square: which neurons fire.
        USAGE_PREVIOUS: F64 or null = "usage_previous",
        /// Of its square: what they fire for.
        PREFERENCE_PREVIOUS: F64 or null = "preference_previous",
        /// The joint distance (all neurons together) to the last checkpoint; null at that itself.
        DISTANCE_LAST: F64 or null = "distance_last",
        /// The same without what finite samples add.
        CORRECTED_LAST: F64 or null = "corrected_last",
        /// Where its interval of 95 % begins.
        LOW_LAST: F64 or null = "low_last",
        /// Where it ends.
        HIGH_LAST: F64 or null = "high_last",
        /// Of its square: which neurons fire.
        USAGE_LAST: F64 or null = "usage_last",
        /// Of its square: what they fire for.
        PREFERENCE_LAST: F64 or null = "preference_last",
    }

    /// What a model predicts of texts: a row a text and document.
    evaluation at "evaluations/NAME.parquet" {
        /// The split of a corpus.
        CORPUS: Text = "corpus",
        /// The document's index in its split, from 0.
        DOC: U64 = "doc",
        /// The group that it belongs to (an article, a movie).
        GROUP: Text or null = "group",
        /// How much of it was predicted: of a language model tokens, of which the first one of a document is not, unless a state is
        /// carried into it; of a tagger words; of a classifier 1. What has no label, or one that the model does not know, is not.
        COUNT: U64 = "count",
        /// The loss of that, nats, summed.
        LOSS: F64 = "loss",
        /// Of labels, how much of that was told right.
        RIGHT: U64 or null = "right",
        /// Of a classifier, the label that the document has.
        LABEL: Text or null = "label",
        /// Of a classifier, the most probable label.
        PREDICTION: Text or null = "prediction",
        /// Its probability.
        PROBABILITY: F64 or null = "probability",
    }

    /// The neurons of a comparison as a pruner ranks them: a row a site and neuron.
    pruning at "prunings/NAME.parquet" {
        /// Where in the model.
        SITE: Text = "site",
        /// The index of the neuron at its site.
        NEURON: U32 = "neuron",
        /// What the pruner gave it; null: never to be pruned.
        SCORE: F64 or null = "score",
        /// 1 for the neuron that goes first; null without a score.
        RANK: U32 or null = "rank",
    }
}

/// The columns of `neurons.parquet` that a pruner is given of each stage, as numbers (`alive` is 0 or 1).
pub const PRUNER_NEURON: [Column; 6] =
    [neurons::ALIVE, neurons::COUNT, neurons::MASS, neurons::MEAN, neurons::MEAN_ABS, neurons::SD];

/// The columns of a comparison that a pruner is given of each layer, before those of the metrics.
pub const PRUNER_LAYER: [Column; 3] = [comparison::LENGTH_FROM, comparison::LENGTH_TO, comparison::UNION_LENGTH];

/// The columns that a pruner is given, in order: `site` (its index) and `neuron`; of both stages those of
/// [`PRUNER_NEURON`], with `_from` and `_to`; for each layer those of [`PRUNER_LAYER`] and of each metric, as
/// `COLUMN:LAYER`. Missing values are NaN.
pub fn pruner_columns(layers: &[impl AsRef<str>], metrics: &[impl AsRef<str>]) -> Vec<String> {
    let mut names = vec![comparison::SITE.name.to_owned(), comparison::NEURON.name.to_owned()];
    for side in ["from", "to"] {
        names.extend(PRUNER_NEURON.iter().map(|column| format!("{}_{side}", column.name)));
    }
    for layer in layers {
        let of_layer = PRUNER_LAYER.iter().map(|column| column.name).chain(metrics.iter().map(AsRef::as_ref));
        names.extend(of_layer.map(|name| format!("{name}:{}", layer.as_ref())));
    }
    names
}

/// The keys of `coverage.json`, as a part of the page.
const COVERAGE: &str = "
## `stages/NAME/coverage.json`

What of its text a stage read. A character is a Unicode scalar that is no white space.

| key | meaning |
|---|---|
| `tokens` | Tokens read, special ones such as `<eos>` included. |
| `documents` | Documents read. |
| `characters` | Characters of their texts; 0 where a source does not tell. |
| `unknown` | Tokens that are the tokenizer's unknown one (`<unk>`, `[UNK]`); 0 where it has none. |
| `dropped` | Characters that nothing was read of: the tokenizer has them in no token. Byte pairs without an unknown token drop what their \
vocabulary lacks; normalizers and splitters drop what they take away. What a normalizer changes (case, accents) is read. |
| `dropped_documents` | Documents with characters, all of which were dropped. |
| `layers` | Of each layer its `name`, and `unjoined`: tokens of the text that have no feature there; `examples` are the first ten of \
them (of `label` none), each with its document, the Unicode scalars of its text that it starts at and ends before, and what stands there. |
| `not_positive` | Observations whose strength was not > 0: kept, and preferring nothing. |
";

/// The page about all tables, as Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Tables\n\n\
         What a run leaves in its out directory, as Parquet that pandas, Polars and DuckDB open as it is. `?` marks a column \
         that can be null.\n\n\
         This page is generated from the definitions that the tables are written by; do not edit it.\n",
    );
    for table in TABLES {
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            page,
            "\n## `{}`\n\n{}\n\n| column | type | meaning |\n|---|---|---|\n",
            table.path,
            table.about.trim()
        );
        let null = |null| if null { "?" } else { "" };
        for column in table.columns {
            let _ = writeln!(
                page,
                "| `{}` | {}{} | {} |",
                column.name,
                column.kind.name(),
                null(column.null),
                column.about.trim()
            );
        }
        for each in table.each {
            let _ = writeln!(
                page,
                "| `{}`, one a {} | {}{} | {} |",
                each.column(&each.of.to_uppercase()),
                each.of,
                each.kind.name(),
                null(each.null),
                each.about.trim()
            );
        }
        if table.name == observations::TABLE.name {
            page += COVERAGE;
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        for table in TABLES {
            for (index, column) in table.columns.iter().enumerate() {
                assert!(table.columns[..index].iter().all(|other| other.name != column.name), "{}", column.name);
                assert!(!column.about.trim().is_empty() && column.about.trim_end().ends_with('.'), "{}", column.name);
            }
        }
        assert_eq!((observations::TABLE.folder(), &*observations::TABLE.file()), ("stages", "observations.parquet"));
        let nulls: Vec<bool> = observations::TABLE.columns[..3].iter().map(|column| column.null).collect();
        assert_eq!(nulls, [false, true, false]);
        let of_metric: Vec<String> = comparison::TABLE.each.iter().map(|each| each.column("hellinger")).collect();
        assert_eq!(of_metric[..2], ["hellinger", "hellinger_corrected"]);
        assert!(comparison::TABLE.each.iter().all(|each| each.null));
        assert!(neurons::TABLE.each.iter().all(|each| !each.null && each.column("pos") == "length_pos"));
    }

    #[test]
    fn what_a_pruner_is_given() {
        let columns = pruner_columns(&["token"], &["hellinger"]);
        assert_eq!(columns.len(), 2 + 2 * 6 + 4);
        assert_eq!(columns[2], "alive_from");
        assert_eq!(columns[columns.len() - 2..], ["union_length:token", "hellinger:token"]);
    }
}
