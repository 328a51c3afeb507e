//! `significance` of a comparison: what is permuted, and how often.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use txray_config::child;
use txray_method::{Design, Unit};

use crate::check::Check;
use crate::step::Step;
use crate::steps::stage::{Stage, StageOf};

/// Whether distances are more than chance.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Significance {
    /// How often units are drawn anew, for every neuron.
    pub permutations: u64,
    /// How often at most for one of which so many do not tell on which side of the threshold it is. Default: 20 times as often, and
    /// so often that a single one of all neurons can be found.
    pub most: Option<u64>,
    /// The share of false discoveries that is allowed among the neurons that are said to have changed.
    pub fdr: f64,
    /// What is drawn as a whole: a group of documents (an article, a movie), as documents hang together in it; or a document.
    pub unit: Unit,
    /// What is permuted: `pool`, where one model read two texts; `swap`, where the same text was read twice. Default: what the
    /// stages are; of stages with a `source` that is not known.
    pub design: Option<Design>,
    /// Whether stages are tested that differ in both model and text: what changed them is then not told.
    pub confounded: bool,
    /// Whether p is also told against the largest of all neurons: the chance of a single false discovery.
    pub max_t: bool,
}

impl Default for Significance {
    fn default() -> Self {
        Self {
            permutations: 1000,
            most: None,
            fdr: 0.05,
            unit: Unit::Group,
            design: None,
            confounded: false,
            max_t: false,
        }
    }
}

impl Significance {
    /// `most`, or what stands for it: so many that one of so many neurons that changed can be told from chance.
    pub fn most(&self, neurons: usize) -> u64 {
        let enough = (neurons as f64 / self.fdr).ceil() as u64;
        self.most.unwrap_or((20 * self.permutations).max(enough)).max(self.permutations)
    }
}

/// Holds the table at a pointer to what a test needs.
pub fn check_significance(check: &mut Check<'_>, pointer: &str, significance: &Significance) {
    if significance.permutations == 0 {
        check.error(&child(pointer, "permutations"), "a test needs at least one permutation");
    }
    if significance.most.is_some_and(|most| most < significance.permutations) {
        check.error(&child(pointer, "most"), "`most` is below `permutations`, which every neuron has");
    }
    if !(significance.fdr > 0.0 && significance.fdr < 1.0) {
        check.error(&child(pointer, "fdr"), "a rate of false discoveries is above 0 and below 1");
    }
}

/// What would be permuted between two stages, if that is known.
pub fn check_design(
    check: &mut Check<'_>,
    pointer: &str,
    from: &Stage,
    to: &Stage,
    significance: Option<&Significance>,
) -> Option<Design> {
    let place = child(pointer, "significance");
    let mut refuse = |message: String, help: &str| {
        if significance.is_some() {
            check.error_with_help(&place, message, help);
        }
        None
    };
    if let Some(stage) = [from, to].into_iter().find(|stage| !stage.tells_observations()) {
        let message = format!("the stage `{}` records `all`, which leaves no observations to draw from", stage.name);
        return refuse(message, "record `max-1`, `top-k` or `threshold`");
    }
    let asked = significance.and_then(|significance| significance.design);
    let (StageOf::Model { model: a, text: text_a, .. }, StageOf::Model { model: b, text: text_b, .. }) =
        (&from.of, &to.of)
    else {
        let message = "of stages with a `source` it is not known what they read";
        let help =
            "say `design = \"swap\"` where both read the same text, `design = \"pool\"` where one model read two";
        return asked.or_else(|| refuse(message.to_owned(), help));
    };
    let is_same_text = text_a.name() == text_b.name();
    let is_same_model = a.to_string() == b.to_string();
    match (is_same_text, is_same_model, asked) {
        (true, _, Some(Design::Pool)) => {
            let help = "leave `design` out: in each unit the two readings are swapped or not";
            refuse(
                format!("both stages read `{}`: pooled, its readings would be taken for two texts", text_a.name()),
                help,
            )
        }
        (false, _, Some(Design::Swap)) => {
            let message =
                format!("`{}` and `{}` are two texts: there is nothing to swap", text_a.name(), text_b.name());
            refuse(message, "leave `design` out")
        }
        (true, ..) => Some(Design::Swap),
        (false, true, _) => Some(Design::Pool),
        (false, false, _) if significance.is_none_or(|significance| significance.confounded) => Some(Design::Pool),
        (false, false, _) => {
            let message = format!(
                "the stages differ in model (`{a}`, `{b}`) and in text (`{}`, `{}`): what changed neurons would not be told",
                text_a.name(),
                text_b.name()
            );
            refuse(
                message,
                "read both models over both texts, and compare where one of them is the same; or say `confounded = true`",
            )
        }
    }
}
