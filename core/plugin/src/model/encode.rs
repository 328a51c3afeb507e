//! Reading documents into activations.

use serde::{Deserialize, Serialize};

use super::{Capabilities, ModelDescription, Opaque, Task, Text};
use crate::{ExactSum, Host, Result};

/// A model that can be read.
pub trait Encode: Send + Sync {
    /// Reads documents and reduces their activations. A document's observations must not depend, bit for bit, on
    /// the documents beside it or on the number of threads. An activation that is not finite is an error of the user's
    /// ([`Error::invalid`](crate::Error::invalid)); in which document, the engine finds out.
    ///
    /// It is never asked for more than its [`Capabilities`] and its description say.
    fn encode(&self, host: &Host<'_>, request: &mut EncodeRequest<'_>) -> Result<()>;
}

/// Is handed observations, from many threads at once.
pub type Emit<'a> = dyn Fn(&Block<'_>) + Sync + 'a;

/// Which documents to read, and what to keep of each site.
pub struct EncodeRequest<'a> {
    /// Ids are below [`ModelDescription::vocabulary`].
    pub text: Text<'a>,
    /// `None`: the state is cleared where a document begins. Else one of [`Carry::state`](super::Carry::state): the documents
    /// are one stream, and it is carried in and out.
    pub state: Option<&'a mut Opaque>,
    /// Under which neurons are held to values.
    pub masks: &'a [Mask<'a>],
    /// What to read at each site.
    pub sites: Vec<SiteRequest<'a>>,
    /// `[tokens]`: the class that the model itself predicts by a task once it has read a token; of a language model the token that
    /// it holds most probable to follow.
    pub predictions: Option<(Task, &'a mut [u32])>,
    /// Is handed what [`Rule::Above`] and [`Rule::All`] keep. What was emitted before a failure counts for nothing.
    pub emit: &'a Emit<'a>,
}

impl std::fmt::Debug for EncodeRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, state, masks, sites, predictions, emit: _ } = self;
        let mut debug = f.debug_struct("EncodeRequest");
        debug.field("text", text).field("state", state).field("masks", masks);
        debug.field("sites", sites).field("predictions", predictions).finish_non_exhaustive()
    }
}

impl<'a> EncodeRequest<'a> {
    /// Reads a text and keeps nothing of it: what is to be kept, the caller adds.
    pub fn new(text: Text<'a>) -> Self {
        Self { text, state: None, masks: &[], sites: Vec::new(), predictions: None, emit: &|_| () }
    }

    /// Holds the request to what a model says of itself.
    ///
    /// # Errors
    /// What does not fit, as a thing that was given.
    pub fn fit(&self, capabilities: &Capabilities, description: &ModelDescription) -> Result<(), String> {
        let tokens = self.text.ids.len();
        text_fits(self.text, description)?;
        masks_fit(self.masks, capabilities, description)?;
        if let Some((task, predictions)) = &self.predictions {
            if !capabilities.predictions || description.classes(*task).is_none() {
                return Err("a place for predictions, which it does not tell".to_owned());
            }
            if predictions.len() != tokens {
                return Err(format!("room for predictions that is not of {tokens} tokens"));
            }
        }
        for SiteRequest { site, rule, sum, sum_abs, sum_sq, .. } in &self.sites {
            let Some(described) = description.sites.get(*site) else {
                return Err(format!("a site {site} of {}", description.sites.len()));
            };
            let width = described.width;
            let sums = [sum.len(), sum_abs.len(), sum_sq.len()];
            if sums != [width; 3] && sums != [0; 3] {
                return Err(format!("room for moments at site {site} that is not of {width} neurons"));
            }
            if !capabilities.rules.contains(&rule.kind()) {
                return Err(format!("a record rule that it does not have, at site {site}"));
            }
            match rule {
                Rule::Top { k, neurons, activations } => {
                    if !(1..=width).contains(k) {
                        return Err(format!("the {k} strongest of {width} neurons at site {site}"));
                    }
                    if [neurons.len(), activations.len()] != [tokens * k; 2] {
                        return Err(format!("room for observations at site {site} that is not of {tokens} tokens"));
                    }
                }
                Rule::Above(threshold) if threshold.is_nan() => return Err("a threshold that is no number".to_owned()),
                Rule::Above(_) | Rule::All => {}
            }
        }
        Ok(())
    }
}

/// A text is of the model's vocabulary, and no document too long for it.
pub(super) fn text_fits(text: Text<'_>, description: &ModelDescription) -> Result<(), String> {
    if !text.is_consistent(description.vocabulary) {
        return Err("a text whose offsets or ids are out of range".to_owned());
    }
    match text.too_long(description.longest_context) {
        Some((document, length)) => Err(format!("a document {document} of {length} tokens, which are too many")),
        None => Ok(()),
    }
}

/// Each mask is of a site of the model, and no two are of the same.
pub(super) fn masks_fit(
    masks: &[Mask<'_>],
    capabilities: &Capabilities,
    description: &ModelDescription,
) -> Result<(), String> {
    if !masks.is_empty() && !capabilities.masks {
        return Err("a mask, and it knows none".to_owned());
    }
    for (at, mask) in masks.iter().enumerate() {
        let width = description.sites.get(mask.site).map_or(0, |site| site.width);
        if mask.values.len() != width || mask.values.iter().any(|value| value.is_infinite()) {
            return Err(format!("a mask of {} values for site {} of {width} neurons", mask.values.len(), mask.site));
        }
        if description.unmaskable.contains(&mask.site) {
            return Err(format!("a mask for site {}, which cannot be masked", mask.site));
        }
        if masks[..at].iter().any(|before| before.site == mask.site) {
            return Err(format!("two masks for site {}", mask.site));
        }
    }
    Ok(())
}

/// What the neurons of a site are held to, at every step: the model computes as if they had these values. It holds what a step
/// gives: a state that is carried in is taken as it is.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a> {
    /// Index into [`ModelDescription::sites`].
    pub site: usize,
    /// `[width]`: the value of a neuron, finite; NaN: it is left as it is.
    pub values: &'a [f32],
}

/// What to keep of one site, by a record rule; and over all tokens the [`Moments`](crate::Moments): what is added to them for a
/// document depends on that document alone (and on the state that was carried into it), bit for bit, so that they do not
/// depend on how a text is cut. Adding token by token keeps that.
#[derive(Debug)]
pub struct SiteRequest<'a> {
    /// Index into [`ModelDescription::sites`].
    pub site: usize,
    /// Which activations are kept.
    pub rule: Rule<'a>,
    /// What their strength is.
    pub sign: Sign,
    /// `[width]`: the sum of h over all tokens is added to it. Empty, as all three are then: nobody asks.
    pub sum: &'a mut [ExactSum],
    /// `[width]`: the sum of |h| is added to it.
    pub sum_abs: &'a mut [ExactSum],
    /// `[width]`: the sum of h² is added to it.
    pub sum_sq: &'a mut [ExactSum],
}

impl<'a> SiteRequest<'a> {
    /// Of each token the `k` most active neurons, into `[tokens, k]` indices and activations; moments are the sums of h, |h|
    /// and h², `[width]` each.
    pub fn top(
        site: usize,
        k: usize,
        (neurons, activations): (&'a mut [u32], &'a mut [f32]),
        [sum, sum_abs, sum_sq]: [&'a mut [ExactSum]; 3],
    ) -> Self {
        let rule = Rule::Top { k, neurons, activations };
        Self { site, rule, sign: Sign::Positive, sum, sum_abs, sum_sq }
    }

    /// Keeps what is wanted of one token, given `[width]` activations of all neurons: by whichever rule, and the moments. `index` is
    /// that of this request among the sites. Plain: it sorts all neurons, and emits a block a token.
    pub fn record(&mut self, index: usize, token: usize, h: &[f32], emit: &Emit<'_>) {
        let strength = |neuron: u32| self.sign.strength(h[neuron as usize]);
        match &mut self.rule {
            Rule::Top { k, neurons, activations } => {
                let mut order: Vec<u32> = (0..h.len() as u32).collect();
                order.sort_by(|&a, &b| strength(b).total_cmp(&strength(a)).then(a.cmp(&b)));
                for (rank, &neuron) in order.iter().take(*k).enumerate() {
                    neurons[token * *k + rank] = neuron;
                    activations[token * *k + rank] = h[neuron as usize];
                }
            }
            rule @ (Rule::Above(_) | Rule::All) => {
                let is_kept = |neuron: &u32| !matches!(rule, Rule::Above(least) if strength(*neuron) <= *least);
                let neuron: Vec<u32> = (0..h.len() as u32).filter(is_kept).collect();
                let activation: Vec<f32> = neuron.iter().map(|&neuron| h[neuron as usize]).collect();
                let token = vec![token as u32; neuron.len()];
                if !token.is_empty() {
                    emit(&Block { request: index, token: &token, neuron: &neuron, activation: &activation });
                }
            }
        }
        let of: [fn(f64) -> f64; 3] = [|h| h, f64::abs, |h| h * h];
        for (sums, of) in [&mut *self.sum, self.sum_abs, self.sum_sq].into_iter().zip(of) {
            sums.iter_mut().zip(h).for_each(|(sum, &value)| *sum += of(f64::from(value)));
        }
    }
}

/// A record rule: which activations of a token are kept. Each is kept as h, whatever its strength is made of.
#[derive(Debug)]
pub enum Rule<'a> {
    /// Of the `k` strongest neurons (max-1: `k` = 1), in falling order of their strength, ties by the lower index.
    Top {
        /// From 1 to the site's width.
        k: usize,
        /// `[tokens, k]` indices.
        neurons: &'a mut [u32],
        /// `[tokens, k]` values of h.
        activations: &'a mut [f32],
    },
    /// Of neurons whose strength is above this, emitted in blocks.
    Above(f32),
    /// Of every neuron, emitted in blocks.
    All,
}

/// The kind of a [`Rule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// [`Rule::Top`]
    Top,
    /// [`Rule::Above`]
    Above,
    /// [`Rule::All`]
    All,
}

impl Rule<'_> {
    /// Which it is.
    pub fn kind(&self) -> RuleKind {
        match self {
            Self::Top { .. } => RuleKind::Top,
            Self::Above(_) => RuleKind::Above,
            Self::All => RuleKind::All,
        }
    }
}

/// What the strength of a neuron is: what record rules rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// h.
    #[default]
    Positive,
    /// -h.
    Negative,
    /// |h|.
    Absolute,
}

impl Sign {
    /// The strength of an activation; 0 is one with -0.
    #[inline]
    pub fn strength(self, h: f32) -> f32 {
        let strength = match self {
            Self::Positive => h,
            Self::Negative => -h,
            Self::Absolute => h.abs(),
        };
        strength + 0.0
    }
}

/// Observations of one site. Those of one document come in the order of its tokens, and of one token in the order of neurons;
/// documents come in any order.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Index into [`EncodeRequest::sites`].
    pub request: usize,
    /// `[observations]` index of the token in the text.
    pub token: &'a [u32],
    /// `[observations]` its neuron.
    pub neuron: &'a [u32],
    /// `[observations]` its h.
    pub activation: &'a [f32],
}
