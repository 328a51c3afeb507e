//! Neurons of models that began apart, matched by what they prefer: neuron 7 of one is a stranger to neuron 7 of the other.
//!
//! They are matched on half of the units (articles, movies), so that as much of both models agrees as can: the assignment that
//! makes the joint affinity `sum_n sqrt(w_n v_m(n)) BC(n, m(n))` the largest. On the other half they are compared. Matched on what they are
//! compared by, strangers would look alike.

use hashbrown::HashMap;
use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;
use serde::{Deserialize, Serialize};
use txray_plugin::random::Stream;
use txray_plugin::{NULL, Site};

use crate::error::{MethodError, MethodResult};
use crate::evidence::{Design, Observed, Reading};
use crate::stage::starts;
use crate::weighting::{Met, Weigh};

/// Two stages whose neurons are matched.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// What is compared: the half of the units that the matching has not seen. The neurons of the later stage have the places of their
    /// partners; those without one stand behind all neurons of the earlier stage at their site.
    pub sides: [Reading; 2],
    /// `[sites][neurons]` of the earlier stage: the neuron of the later one.
    pub partners: Vec<Vec<Option<u32>>>,
    /// What it comes to.
    pub summary: AlignmentSummary,
}

/// What matching comes to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlignmentSummary {
    /// Units that neurons were matched on, from and to.
    pub fitted: [u64; 2],
    /// Units that they are compared on.
    pub compared: [u64; 2],
    /// Pairs of neurons that have anything in common.
    pub matched: u64,
    /// Neurons without a partner, from and to.
    pub unmatched: [u64; 2],
    /// The share of the mass, where they are compared, that is of neurons with a partner, from and to.
    pub mass: [f64; 2],
}

/// What neurons prefer, `[neurons][features]`: square roots of probabilities; and the square root of each one's mass.
struct Roots {
    preferred: Vec<Vec<(u32, f64)>>,
    mass: Vec<f64>,
}

/// Matches the neurons of two stages by what they prefer in a layer.
///
/// # Errors
/// Stages whose sites have other names, a layer that one of them lacks, and a weight that is none.
pub fn align(
    sides: [&Reading; 2],
    layer: &str,
    weighting: &dyn Weigh,
    design: Design,
    seed: u64,
) -> MethodResult<Aligned> {
    let sites = sides.map(|(stage, _)| &*stage.neurons.sites);
    if !sites[0].iter().map(|site| &site.name).eq(sites[1].iter().map(|site| &site.name)) {
        let told = |sites: &[Site]| sites.iter().map(Site::to_string).collect::<Vec<_>>().join(", ");
        return Err(MethodError::Sites { from: told(sites[0]), to: told(sites[1]) });
    }
    let observed = sides.map(|(_, observed)| observed);
    let is_fit = halves(observed, design, seed);
    let roots = fitted(sides, layer, weighting, &is_fit)?;
    let begin = sites.map(starts);
    let (mut partners, mut slots, mut matched) = (Vec::new(), Vec::new(), 0);
    let mut padded: Vec<Site> = Vec::new();
    for (site, (from, to)) in sites[0].iter().zip(sites[1]).enumerate() {
        let of = |side: usize, width: usize| (begin[side][site]..begin[side][site] + width).collect::<Vec<_>>();
        let own = assign(&roots, &of(0, from.width), &of(1, to.width));
        let mut slot = vec![NULL; to.width];
        for (neuron, partner) in own.iter().enumerate() {
            partner.iter().for_each(|&partner| slot[partner as usize] = neuron as u32);
        }
        let free = slot.iter_mut().filter(|slot| **slot == NULL);
        let alone = (from.width as u32..).zip(free).map(|(next, slot)| *slot = next).count();
        matched += own.iter().flatten().count();
        padded.push(Site { name: from.name.clone(), width: from.width + alone });
        partners.push(own);
        slots.push(slot);
    }
    // Where each neuron stands among all of both.
    let places = starts(&padded);
    let place = |side: usize, site: usize, neuron: u32| {
        let within = if side == 0 { neuron } else { slots[site][neuron as usize] };
        places[site] as u32 + within
    };
    let compared = [0, 1].map(|side| {
        let places: Vec<u32> = sides[side].0.neurons.places().map(|(site, neuron)| place(side, site, neuron)).collect();
        let rest = observed[side].rest(&is_fit[side], &places);
        (rest.stage(&padded), rest)
    });
    let share = |side: usize| {
        let has_partner: Vec<bool> = padded
            .iter()
            .zip(&partners)
            .zip(&slots)
            .flat_map(|((site, own), slots)| {
                let of = |at: usize| match side {
                    0 => own.get(at).is_some_and(Option::is_some),
                    _ => slots.iter().any(|&slot| slot as usize == at) && at < own.len(),
                };
                (0..site.width).map(of).collect::<Vec<_>>()
            })
            .collect();
        let masses = &compared[side].0.neurons.mass;
        let of: f64 = masses.iter().zip(&has_partner).filter(|(_, has)| **has).map(|(mass, _)| mass).sum();
        let all: f64 = masses.iter().sum();
        // The sum of nothing is -0.
        if all > 0.0 { of / all + 0.0 } else { 0.0 }
    };
    let count = |side: usize, fit: bool| is_fit[side].iter().filter(|&&is| is == fit).count() as u64;
    let summary = AlignmentSummary {
        fitted: [count(0, true), count(1, true)],
        compared: [count(0, false), count(1, false)],
        matched: matched as u64,
        unmatched: sides.map(|(stage, _)| (stage.neurons.len() - matched) as u64),
        mass: [share(0), share(1)],
    };
    Ok(Aligned { sides: compared, partners, summary })
}

/// `[units]` of both sides: whether neurons are matched on it. Of one text, both sides have the same.
fn halves(sides: [&Observed; 2], design: Design, seed: u64) -> [Vec<bool>; 2] {
    let drawn = |side: usize| {
        let mut is_fit: Vec<bool> = (0..sides[side].units.len()).map(|unit| unit % 2 == 0).collect();
        Stream::new(seed, "align", side as u64).shuffle(&mut is_fit);
        is_fit
    };
    let from = drawn(0);
    let to = match design {
        Design::Pool => drawn(1),
        Design::Swap => {
            let of: HashMap<&str, bool> = sides[0].units.iter().map(String::as_str).zip(from.iter().copied()).collect();
            // One that the other side lacks is told when they are compared.
            sides[1].units.iter().map(|unit| of.get(unit.as_str()).copied().unwrap_or(false)).collect()
        }
    };
    [from, to]
}

/// What the neurons of both sides prefer in the units that they are matched on, over the same features.
fn fitted(
    sides: [&Reading; 2],
    layer: &str,
    weighting: &dyn Weigh,
    is_fit: &[Vec<bool>; 2],
) -> MethodResult<[Roots; 2]> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut shares: Vec<f64> = Vec::new();
    let mut met: [Vec<HashMap<u32, Met>>; 2] = sides.map(|(stage, _)| vec![HashMap::new(); stage.neurons.len()]);
    for (side, (_, observed)) in sides.into_iter().enumerate() {
        let at = observed.layers.iter().position(|of| of.name == layer);
        let at = at.ok_or_else(|| MethodError::NoLayer { layer: layer.to_owned() })?;
        let names = observed.layers[at].symbols.names().as_strings();
        let own: Vec<u32> = names
            .iter()
            .map(|name| {
                let next = numbers.len() as u32;
                *numbers.entry(name).or_insert(next)
            })
            .collect();
        shares.resize(numbers.len(), 0.0);
        for row in 0..observed.of.len() {
            let feature = observed.features[at][row];
            if feature == NULL || !is_fit[side][observed.of[row] as usize] {
                continue;
            }
            let feature = own[feature as usize];
            shares[feature as usize] += 1.0;
            let none = Met { count: 0, mass: 0.0, max: 0.0, share: 0.0 };
            let of = met[side][observed.neuron[row] as usize].entry(feature).or_insert(none);
            of.count += 1;
            of.mass += f64::from(observed.strength[row]);
            of.max = of.max.max(observed.strength[row]);
        }
    }
    let all: f64 = shares.iter().sum();
    let mut roots = [0, 1].map(|_| Roots { preferred: Vec::new(), mass: Vec::new() });
    for (roots, met) in roots.iter_mut().zip(met) {
        for met in met {
            let mut weights: Vec<(u32, f64)> = met
                .iter()
                .map(|(&feature, met)| {
                    (feature, weighting.weight(&Met { share: shares[feature as usize] / all, ..*met }))
                })
                .collect();
            // The order of a hash map is not that of the next run.
            weights.sort_unstable_by_key(|&(feature, _)| feature);
            let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
            if !(sum.is_finite() && weights.iter().all(|(_, weight)| *weight >= 0.0)) {
                return Err(MethodError::Weight { weight: sum });
            }
            weights.iter_mut().for_each(|(_, weight)| *weight = (*weight / sum).sqrt());
            let mut masses: Vec<f64> = met.values().map(|met| met.mass).collect();
            masses.sort_unstable_by(f64::total_cmp);
            roots.mass.push(masses.iter().sum::<f64>().sqrt());
            roots.preferred.push(if sum > 0.0 { weights } else { Vec::new() });
        }
    }
    Ok(roots)
}

/// `[from]`: the best partner of each among `to`; none where the two have nothing in common.
fn assign([from, to]: &[Roots; 2], of_from: &[usize], of_to: &[usize]) -> Vec<Option<u32>> {
    let mut by_feature: HashMap<u32, Vec<(usize, f64)>> = HashMap::new();
    for (at, &neuron) in of_to.iter().enumerate() {
        to.preferred[neuron]
            .iter()
            .for_each(|&(feature, root)| by_feature.entry(feature).or_default().push((at, root)));
    }
    let mut affinity = vec![0.0; of_from.len() * of_to.len()];
    for (row, &neuron) in affinity.chunks_mut(of_to.len().max(1)).zip(of_from) {
        for (feature, root) in &from.preferred[neuron] {
            by_feature.get(feature).into_iter().flatten().for_each(|(at, other)| row[*at] += root * other);
        }
        row.iter_mut().zip(of_to).for_each(|(one, &other)| *one *= from.mass[neuron] * to.mass[other]);
    }
    let most = affinity.iter().fold(0.0_f64, |most, &one| most.max(one));
    if most == 0.0 {
        return vec![None; of_from.len()];
    }
    // Exact, as sums of floats would depend on their order.
    let scale = (1_u64 << 40) as f64 / most;
    let whole = |row: usize, column: usize| (affinity[row * of_to.len() + column] * scale).round() as i64;
    let mut partners = vec![None; of_from.len()];
    // Each of the fewer has one of the more.
    let is_tall = of_from.len() > of_to.len();
    let (rows, columns) = if is_tall { (of_to.len(), of_from.len()) } else { (of_from.len(), of_to.len()) };
    let weights =
        Matrix::from_fn(rows, columns, |(row, column)| if is_tall { whole(column, row) } else { whole(row, column) });
    for (row, column) in kuhn_munkres(&weights).1.into_iter().enumerate() {
        let (from, to) = if is_tall { (column, row) } else { (row, column) };
        if affinity[from * of_to.len() + to] > 0.0 {
            partners[from] = Some(to as u32);
        }
    }
    partners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::evidence::Unit;
    use crate::observations::Layer;
    use crate::sides::Settings;
    use crate::symbols::Symbols;
    use crate::weighting::Weighting;

    const GROUPS: u32 = 12;

    /// Neurons that fire for features of their own, in every group alike but for chance; stand where `order` says.
    fn read(order: &[u32], width: usize, seed: u64) -> Reading {
        let mut layer = Layer { name: "token".to_owned(), symbols: Symbols::default() };
        // Numbered by another reading in another order.
        for feature in 0..40 {
            layer.symbols.number(&format!("{}", (feature * 7 + seed) % 40));
        }
        let mut observed = Observed {
            unit: Unit::Group,
            units: (0..GROUPS).map(|group| group.to_string()).collect(),
            layers: vec![layer],
            of: Vec::new(),
            neuron: Vec::new(),
            strength: Vec::new(),
            features: vec![Vec::new()],
        };
        for group in 0..GROUPS {
            for (own, &neuron) in order.iter().enumerate() {
                let mut random = Stream::new(seed, "tokens", u64::from(group) * 100 + own as u64);
                for _ in 0..20 {
                    let feature = 4 * own as u32 + random.below(6);
                    let number = observed.layers[0].symbols.number(&format!("{}", feature % 40));
                    observed.of.push(group);
                    observed.neuron.push(neuron);
                    observed.strength.push(0.5 + random.uniform());
                    observed.features[0].push(number);
                }
            }
        }
        let sites = [Site { name: "hidden".to_owned(), width }];
        (observed.stage(&sites), observed)
    }

    #[test]
    fn strangers_are_matched_by_what_they_prefer() {
        let own: Vec<u32> = (0..8).collect();
        let order = [3, 7, 1, 0, 5, 2, 6, 4];
        for design in [Design::Swap, Design::Pool] {
            let (from, to) = (read(&own, 8, 1), read(&order, 8, 2));
            let aligned = align([&from, &to], "token", &Weighting::Mass, design, 7).unwrap();
            assert_eq!(aligned.partners, [order.map(Some)]);
            assert_eq!((aligned.summary.matched, aligned.summary.unmatched), (8, [0, 0]));
            assert_eq!((aligned.summary.fitted, aligned.summary.compared), ([6, 6], [6, 6]));
            assert_eq!(aligned.summary.mass, [1.0, 1.0]);
            // Where they are compared, nothing of what they were matched on is left.
            let [from, to] = &aligned.sides;
            assert_eq!((from.1.units.len(), to.1.units.len()), (6, 6));
            let settings = Settings {
                layers: &["token".to_owned()],
                weighting: &Weighting::Mass,
                min_count: 1,
                texts_differ: false,
            };
            let compared = compare(&from.0, &to.0, &settings, &[], &txray_plugin::Host::detached()).unwrap();
            assert!(compared.comparison.rows.iter().all(|row| row.counts == [120, 120]));
        }
    }

    #[test]
    fn of_other_widths_some_are_without_a_partner() {
        let (few, many) = (read(&[0, 1, 2], 3, 1), read(&[4, 3, 2, 1, 0], 6, 2));
        let aligned = align([&few, &many], "token", &Weighting::Mass, Design::Swap, 7).unwrap();
        assert_eq!(aligned.partners, [[Some(4), Some(3), Some(2)]]);
        assert_eq!((aligned.summary.matched, aligned.summary.unmatched), (3, [0, 3]));
        assert!(aligned.summary.mass[0] == 1.0 && (aligned.summary.mass[1] - 0.6).abs() < 0.05);
        // They stand behind all others, and nothing of them is lost.
        let [from, to] = &aligned.sides;
        assert_eq!((from.0.neurons.len(), to.0.neurons.len()), (6, 6));
        assert_eq!(
            (&from.0.neurons.count[..], &to.0.neurons.count[..]),
            (&[120, 120, 120, 0, 0, 0][..], &[120, 120, 120, 120, 120, 0][..])
        );
        let back = align([&many, &few], "token", &Weighting::Mass, Design::Swap, 7).unwrap();
        assert_eq!(back.partners, [[None, None, Some(2), Some(1), Some(0), None]]);
        assert_eq!((back.summary.matched, back.summary.unmatched), (3, [3, 0]));
    }

    #[test]
    fn other_sites_are_no_partners() {
        let (from, mut to) = (read(&[0], 1, 1), read(&[0], 1, 2));
        to.0.neurons.sites[0].name = "other".to_owned();
        let error = align([&from, &to], "token", &Weighting::Mass, Design::Swap, 7).unwrap_err();
        assert!(matches!(error, MethodError::Sites { .. }), "{error}");
        let error = align([&from, &from], "pos", &Weighting::Mass, Design::Swap, 7).unwrap_err();
        assert!(matches!(error, MethodError::NoLayer { .. }), "{error}");
    }
}
