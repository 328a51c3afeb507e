//! Which activations count.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_path_to_error::Segment;
use txray_plugin::{RuleKind, Sign};

/// Which activations count, and for how much. One of a person's own sees all that a source gives: for every neuron, a source
/// has to give every neuron.
pub trait RecordRule: Sync {
    /// Of what a source gives of one token at one site (`[candidates]` each), adds to `kept` what counts: each candidate once,
    /// for as much as is a number.
    fn record(&self, site: usize, neurons: &[u32], activations: &[f32], kept: &mut Vec<Kept>);

    /// What each activation at a site counts for, where the rule keeps every one of them: such are counted as they come, and none
    /// is kept as an observation.
    fn in_bulk(&self, _site: usize) -> Option<Sign> {
        None
    }
}

/// An activation that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Index of the candidate.
    pub candidate: usize,
    /// What it counts for: it is this that preferences sum, where it is above 0. The activation itself, or what the rule
    /// ranks by.
    pub strength: f32,
}

/// Which activations of a site count, and by which sign: `record = "max-1"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Which count.
    pub keeps: Keeps,
    /// What their strength is, by which they are ranked, and which preferences sum.
    pub sign: Sign,
}

/// Which activations of a token at a site count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Keeps {
    /// That of the one strongest neuron, the lowest index on a tie: the paper's rule.
    #[serde(rename = "max-1")]
    Max1,
    /// Those of the strongest neurons.
    TopK {
        /// How many.
        k: NonZeroU32,
    },
    /// Those whose strength is above a threshold.
    Threshold {
        /// The threshold.
        above: f32,
    },
    /// All of them.
    All,
}

/// The paper's.
impl Default for Record {
    fn default() -> Self {
        Self { keeps: Keeps::Max1, sign: Sign::Positive }
    }
}

impl Record {
    /// What pipelines call it.
    pub fn name(self) -> &'static str {
        match self.keeps {
            Keeps::Max1 => Max1::KIND,
            Keeps::TopK { .. } => TopK::KIND,
            Keeps::Threshold { .. } => Threshold::KIND,
            Keeps::All => All::KIND,
        }
    }

    /// What it asks of a model.
    pub fn rule(self) -> RuleKind {
        match self.keeps {
            Keeps::Max1 | Keeps::TopK { .. } => RuleKind::Top,
            Keeps::Threshold { .. } => RuleKind::Above,
            Keeps::All => RuleKind::All,
        }
    }

    /// How many neurons it keeps of a token, where that is a number.
    pub fn k(self) -> Option<usize> {
        match self.keeps {
            Keeps::Max1 => Some(1),
            Keeps::TopK { k } => Some(k.get() as usize),
            Keeps::Threshold { .. } | Keeps::All => None,
        }
    }
}

/// The same at each site.
impl RecordRule for Record {
    fn record(&self, _: usize, neurons: &[u32], activations: &[f32], kept: &mut Vec<Kept>) {
        let of = |candidate: usize| Kept { candidate, strength: self.sign.strength(activations[candidate]) };
        let all = (0..neurons.len()).map(of);
        // The stronger before the weaker, the lower index before the higher on a tie.
        let order = |a: &Kept, b: &Kept| {
            b.strength.total_cmp(&a.strength).then(neurons[a.candidate].cmp(&neurons[b.candidate]))
        };
        match self.keeps {
            Keeps::Max1 => kept.extend(all.min_by(order)),
            Keeps::TopK { k } => {
                let from = kept.len();
                kept.extend(all);
                kept[from..].sort_by(order);
                kept.truncate(from + k.get() as usize);
            }
            Keeps::Threshold { above } => kept.extend(all.filter(|one| one.strength > above)),
            Keeps::All => kept.extend(all),
        }
    }

    fn in_bulk(&self, _: usize) -> Option<Sign> {
        (self.keeps == Keeps::All).then_some(self.sign)
    }
}

/// `[sites]`: a rule for each.
#[derive(Clone, Debug)]
pub struct BySite(pub Vec<Record>);

impl RecordRule for BySite {
    fn record(&self, site: usize, neurons: &[u32], activations: &[f32], kept: &mut Vec<Kept>) {
        self.0[site].record(site, neurons, activations, kept);
    }

    fn in_bulk(&self, site: usize) -> Option<Sign> {
        self.0[site].in_bulk(site)
    }
}

/// Everything that a source gives: the rule for sources that bring their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsGiven;

impl RecordRule for AsGiven {
    fn record(&self, _: usize, _: &[u32], activations: &[f32], kept: &mut Vec<Kept>) {
        kept.extend(activations.iter().enumerate().map(|(candidate, &strength)| Kept { candidate, strength }));
    }
}

/// Options of a record rule: a table of a pipeline, without `kind`. The doc comments are the reference.
trait Options: DeserializeOwned + JsonSchema {
    const KIND: &'static str;

    fn record(self) -> Record;
}

/// A record rule that pipelines can name.
#[derive(Clone, Copy, Debug)]
pub struct RecordKind {
    /// What they call it.
    pub kind: &'static str,
    /// JSON Schema of its options.
    pub schema: fn() -> Value,
    /// Reads its options. An error is in serde's words, after the JSON pointer of what it is about.
    pub read: fn(&Value) -> Result<Record, (String, String)>,
}

impl RecordKind {
    const fn of<T: Options>() -> Self {
        Self {
            kind: T::KIND,
            schema: || schemars::schema_for!(T).to_value(),
            read: |options| {
                serde_path_to_error::deserialize(options).map(T::record).map_err(|error| {
                    // Options are flat.
                    let pointer = match error.path().iter().next() {
                        Some(Segment::Map { key }) => format!("/{key}"),
                        _ => String::new(),
                    };
                    (pointer, error.inner().to_string())
                })
            },
        }
    }
}

/// Every record rule.
pub const RECORDS: &[RecordKind] =
    &[RecordKind::of::<Max1>(), RecordKind::of::<TopK>(), RecordKind::of::<Threshold>(), RecordKind::of::<All>()];

/// At each token the one strongest neuron of a site, the lowest index on a tie: the paper's rule.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Max1 {
    /// What makes a neuron strong: `positive`, its activation h (the paper's); `negative`, -h; `absolute`, |h|.
    sign: SignKey,
}

impl Options for Max1 {
    const KIND: &'static str = "max-1";

    fn record(self) -> Record {
        Record { keeps: Keeps::Max1, sign: self.sign.into() }
    }
}

/// At each token the strongest neurons of a site.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TopK {
    /// How many: at most as many as the site has.
    k: NonZeroU32,
    /// What makes a neuron strong: `positive`, its activation h; `negative`, -h; `absolute`, |h|.
    #[serde(default)]
    sign: SignKey,
}

impl Options for TopK {
    const KIND: &'static str = "top-k";

    fn record(self) -> Record {
        Record { keeps: Keeps::TopK { k: self.k }, sign: self.sign.into() }
    }
}

/// Every activation whose strength is above a threshold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Threshold {
    /// The threshold, which the strength has to be above.
    above: f32,
    /// What the strength is: `positive`, the activation h; `negative`, -h; `absolute`, |h|.
    #[serde(default)]
    sign: SignKey,
}

impl Options for Threshold {
    const KIND: &'static str = "threshold";

    fn record(self) -> Record {
        Record { keeps: Keeps::Threshold { above: self.above }, sign: self.sign.into() }
    }
}

/// Every activation. They are counted as they come, and none is kept as an observation: the table of observations has no row of
/// such a site.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct All {
    /// What the strength is, of which preferences sum what is above 0: `positive`, the activation h; `negative`, -h; `absolute`, |h|.
    sign: SignKey,
}

impl Options for All {
    const KIND: &'static str = "all";

    fn record(self) -> Record {
        Record { keeps: Keeps::All, sign: self.sign.into() }
    }
}

/// [`Sign`], as pipelines write it.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum SignKey {
    #[default]
    Positive,
    Negative,
    Absolute,
}

impl From<SignKey> for Sign {
    fn from(key: SignKey) -> Self {
        match key {
            SignKey::Positive => Self::Positive,
            SignKey::Negative => Self::Negative,
            SignKey::Absolute => Self::Absolute,
        }
    }
}
