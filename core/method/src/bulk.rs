//! Every activation of a site, summed by the features of their tokens without a row for each.

use std::borrow::Cow;

use rayon::prelude::*;
use txray_plugin::{ActivationBatch, ExactSum, NULL, Sign};

use crate::preferences::Preference;

/// Features whose sums one thread makes at a time: words come in the order in which they were met, the frequent ones first.
const FEATURES: usize = 16;

/// The activations of a site in a batch, and what each counts for.
pub(crate) struct Whole<'a> {
    /// `[tokens, width]`, NaN where there is none.
    activations: Cow<'a, [f32]>,
    width: usize,
    sign: Sign,
}

impl<'a> Whole<'a> {
    pub(crate) fn new(batch: &'a ActivationBatch, site: usize, width: usize, sign: Sign) -> Self {
        if let Some(all) = batch.whole.get(site).filter(|all| !all.is_empty()) {
            return Self { activations: Cow::Borrowed(all), width, sign };
        }
        let mut all = vec![f32::NAN; batch.starts.len() * width];
        let rows = batch.token.iter().zip(&batch.site).zip(&batch.neuron).zip(&batch.activation);
        for (((&token, _), &neuron), &h) in rows.filter(|(((_, of), _), _)| **of as usize == site) {
            all[token as usize * width + neuron as usize] = h;
        }
        Self { activations: Cow::Owned(all), width, sign }
    }

    /// Adds what the neurons prefer in a layer to `table`, `[features, width]`, and gives of each neuron what all tokens come to,
    /// those without a feature included: with these, how many strengths are not > 0.
    pub(crate) fn add(&self, layer: &ByFeature, table: &mut Vec<Preference>) -> Vec<(Preference, u64)> {
        let (width, features) = (self.width, layer.ends.len() - 1);
        table.resize(features.max(table.len() / width) * width, Preference::default());
        let nothing = || vec![(Preference::default(), 0); width];
        let merge = |mut a: Vec<(Preference, u64)>, b: Vec<(Preference, u64)>| {
            a.iter_mut().zip(b).for_each(|(a, b)| {
                a.0.merge(&b.0);
                a.1 += b.1;
            });
            a
        };
        let of_features = table.par_chunks_mut(FEATURES * width).enumerate().map(|(chunk, table)| {
            let (mut totals, mut sums) = (nothing(), Sums::new(width));
            for (feature, row) in (chunk * FEATURES..features).zip(table.chunks_exact_mut(width)) {
                for tokens in layer.tokens(feature).chunks(ExactSum::SPLITS) {
                    self.sum(tokens, &mut sums);
                    for ((met, total), (of, not_positive)) in
                        row.iter_mut().zip(&mut totals).zip(self.each(tokens, &sums))
                    {
                        met.merge(&of);
                        total.0.merge(&of);
                        total.1 += not_positive;
                    }
                }
            }
            totals
        });
        let without = layer.tokens(features).par_chunks(ExactSum::SPLITS).map(|tokens| {
            let mut sums = Sums::new(width);
            self.sum(tokens, &mut sums);
            self.each(tokens, &sums).collect()
        });
        of_features.chain(without).reduce(nothing, merge)
    }

    fn row(&self, token: u32) -> &[f32] {
        &self.activations[token as usize * self.width..][..self.width]
    }

    /// At most [`ExactSum::SPLITS`] tokens.
    fn sum(&self, tokens: &[u32], sums: &mut Sums) {
        sums.clear();
        // All of it is exact, so the widest instructions that there are change no bit.
        pulp::Arch::new().dispatch(Summing { whole: self, tokens, sums });
    }

    /// What some tokens come to, neuron by neuron.
    fn each(&self, tokens: &[u32], sums: &Sums) -> impl Iterator<Item = (Preference, u64)> {
        let of = sums.count.iter().zip(&sums.not_positive).zip(&sums.max).zip(sums.coarse.iter().zip(&sums.fine));
        of.enumerate().map(|(neuron, (((&count, &not_positive), &max), (&coarse, &fine)))| {
            let mass = if f64::from(max) < ExactSum::SPLIT_LIMIT {
                ExactSum::of_split(coarse, fine)
            } else {
                let strengths = tokens.iter().map(|&token| self.sign.strength(self.row(token)[neuron]));
                ExactSum::of_all(strengths.map(|strength| f64::from(strength.max(0.0))))
            };
            (Preference { count: u64::from(count), mass, max }, u64::from(not_positive))
        })
    }
}

/// The tokens of a batch by their feature in a layer, so that what belongs together is summed before it is looked up.
pub(crate) struct ByFeature {
    /// `[features + 1]` where the tokens of each end, those without a feature last.
    ends: Vec<u32>,
    /// `[tokens]`
    tokens: Vec<u32>,
}

impl ByFeature {
    /// `[tokens]` features below `known`, or [`NULL`].
    pub(crate) fn new(features: &[u32], known: usize) -> Self {
        let place = |feature: u32| if feature == NULL { known } else { feature as usize };
        let mut ends = vec![0; known + 2];
        features.iter().for_each(|&feature| ends[place(feature) + 1] += 1);
        (1..ends.len()).for_each(|at| ends[at] += ends[at - 1]);
        let mut tokens = vec![0; features.len()];
        for (token, &feature) in (0..).zip(features) {
            let end = &mut ends[place(feature)];
            tokens[*end as usize] = token;
            *end += 1;
        }
        ends.truncate(known + 1);
        Self { ends, tokens }
    }

    /// Those of one feature; of what is no feature, those without.
    fn tokens(&self, feature: usize) -> &[u32] {
        let start = if feature == 0 { 0 } else { self.ends[feature - 1] };
        &self.tokens[start as usize..self.ends[feature] as usize]
    }
}

/// The strengths of all neurons at some tokens: `[width]` each.
struct Sums {
    coarse: Vec<i64>,
    fine: Vec<i64>,
    count: Vec<u32>,
    not_positive: Vec<u32>,
    max: Vec<f32>,
}

impl Sums {
    fn new(width: usize) -> Self {
        let whole = || vec![0; width];
        let [count, not_positive] = [vec![0; width], vec![0; width]];
        Self { coarse: whole(), fine: whole(), count, not_positive, max: vec![0.0; width] }
    }

    fn clear(&mut self) {
        self.coarse.fill(0);
        self.fine.fill(0);
        self.count.fill(0);
        self.not_positive.fill(0);
        self.max.fill(0.0);
    }

    #[inline(always)]
    fn add(&mut self, row: &[f32], strength: impl Fn(f32) -> f32) {
        let Self { coarse, fine, count, not_positive, max } = self;
        let sums = coarse.iter_mut().zip(fine).zip(count).zip(not_positive).zip(max);
        for (&h, ((((coarse, fine), count), not_positive), max)) in row.iter().zip(sums) {
            let strength = strength(h);
            // What is no number is neither, and counts for nothing.
            let positive = strength.max(0.0);
            let split = ExactSum::split(f64::from(positive));
            *coarse = coarse.wrapping_add(split.0);
            *fine = fine.wrapping_add(split.1);
            *count += u32::from(strength > 0.0);
            *not_positive += u32::from(strength <= 0.0);
            *max = max.max(positive);
        }
    }
}

struct Summing<'a> {
    whole: &'a Whole<'a>,
    tokens: &'a [u32],
    sums: &'a mut Sums,
}

impl pulp::NullaryFnOnce for Summing<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { whole, tokens, sums } = self;
        let rows = tokens.iter().map(|&token| whole.row(token));
        // What the sign is stands outside the loops over neurons.
        match whole.sign {
            Sign::Positive => rows.for_each(
                #[inline(always)]
                |row| sums.add(row, |h| h),
            ),
            Sign::Negative => rows.for_each(
                #[inline(always)]
                |row| sums.add(row, |h| -h),
            ),
            Sign::Absolute => rows.for_each(
                #[inline(always)]
                |row| sums.add(row, f32::abs),
            ),
        }
    }
}
