//! What a metric claims of its distances.

use txray_plugin::{Claim, PreferenceMetric};

use super::{Metric, distances, gram::Gram};
use crate::bench::{Bench, Maker};
use crate::compare::{TOLERANCE, near};
use crate::strategies::{Family, families, pairs, triples};

/// Tolerance for distances that are a root: an error in the last bit of a sum up to 1 becomes more than 1e-8 under the
/// root.
const ROOT_TOLERANCE: f64 = 1e-7;

/// Claims that nobody knows are refused, since nothing holds the metric to them.
pub(crate) fn hold(bench: &mut Bench<'_>, maker: &Maker<'_, dyn PreferenceMetric>) {
    let claims = bench.claims();
    let claimed = |claim: Claim| claims.iter().any(|name| name == claim.name());

    bench.property("claims what is known", |_| {
        let known = Claim::ALL.map(Claim::name);
        match claims.iter().find(|claim| !known.contains(&claim.as_str())) {
            Some(claim) => Err(format!("nobody knows what `{claim}` means: claim of {}", known.join(", ")).into()),
            None => Ok(()),
        }
    });

    if claimed(Claim::Symmetric) {
        bench.property("is symmetric, as it claims", |settings| {
            let metric = maker.fresh()?;
            settings.for_all(pairs(), |pairs| {
                near(
                    &distances(&metric, pairs)?,
                    &distances(&metric, &pairs.clone().swapped())?,
                    "with the sides exchanged",
                )
            })
        });
    }

    if claimed(Claim::Identity) {
        bench.property("is 0 from a distribution to itself, as it claims", |settings| {
            let metric = maker.fresh()?;
            settings.for_all(pairs(), |pairs| {
                let found = distances(&metric, &pairs.with_itself())?;
                match found.iter().position(|distance| distance.is_nan() || distance.abs() > ROOT_TOLERANCE) {
                    Some(row) => Err(format!("row {row}, its first side on both sides, is {}", found[row])),
                    None => Ok(()),
                }
            })
        });
    }

    if claimed(Claim::Bounded) {
        bench.property("is between 0 and 1, as it claims", |settings| {
            let metric = maker.fresh()?;
            settings.for_all(pairs(), |pairs| {
                let found = distances(&metric, pairs)?;
                let beyond = |distance: &f64| *distance < -TOLERANCE || *distance > 1.0 + TOLERANCE;
                match found.iter().position(beyond) {
                    Some(row) => Err(format!("row {row} is {}", found[row])),
                    None => Ok(()),
                }
            })
        });
    }

    if claimed(Claim::Triangle) {
        bench.property("keeps the triangle, as it claims", |settings| {
            let metric = maker.fresh()?;
            settings.for_all(triples(), |[ab, bc, ac]| {
                let [ab, bc, ac] = [distances(&metric, ab)?, distances(&metric, bc)?, distances(&metric, ac)?];
                for row in 0..ac.len() {
                    let around = ab[row] + bc[row];
                    if ac[row] > around + ROOT_TOLERANCE * around.max(1.0) {
                        return Err(format!(
                            "in row {row}, from the first to the last is {}, but by way of the middle one {} + {} = {around}",
                            ac[row], ab[row], bc[row]
                        ));
                    }
                }
                Ok(())
            })
        });
    }

    if claimed(Claim::Affinity) {
        bench.property("makes an affinity of 1 - d², as it claims", |settings| {
            let metric = maker.fresh()?;
            settings.for_all(families(), |family| affinity(&metric, family))
        });
    }
}

/// The matrix of `1 - d²` between the distributions of a family is symmetric, has ones on its diagonal, and no eigenvalue
/// below 0.
fn affinity(metric: &Metric, family: &Family) -> Result<(), String> {
    let n = family.len();
    let affinities: Vec<f64> =
        distances(metric, &family.pairs())?.iter().map(|distance| 1.0 - distance * distance).collect();
    let of = |i: usize, j: usize| affinities[i * n + j];
    for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
        let affinity = of(i, j);
        if !affinity.is_finite() {
            return Err(format!("between distributions {i} and {j}, 1 - d² is {affinity}"));
        }
        if i == j && (affinity - 1.0).abs() > TOLERANCE {
            return Err(format!("from distribution {i} to itself, 1 - d² is {affinity}"));
        }
        let other = of(j, i);
        if (affinity - other).abs() > TOLERANCE * affinity.abs().max(1.0) {
            return Err(format!("from distribution {i} to {j}, 1 - d² is {affinity}, but {other} the other way"));
        }
    }
    let smallest = Gram::new(n, of).smallest_eigenvalue();
    match smallest < -TOLERANCE {
        true => {
            Err(format!("1 - d² between {n} distributions has the eigenvalue {smallest}, which should not be below 0"))
        }
        false => Ok(()),
    }
}
