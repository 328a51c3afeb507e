//! The suite of metrics: what every metric promises. What a metric may claim besides is in `claims`.

mod claims;
mod gram;

use std::thread;

use proptest::strategy::Strategy;
use txray_plugin::{Host, MetricBatch, PreferenceMetric, Threads};

use crate::bench::{Bench, Maker};
use crate::compare::{near, same};
use crate::guarded::Guarded;
use crate::strategies::{Pairs, pairs, shared_pairs};
use crate::{lifecycle, options};

/// The value of the guards around an output: no metric gives just this.
const GUARD: f64 = -12_345.678_901;

type Metric = Box<dyn PreferenceMetric>;

pub(crate) fn hold(bench: &mut Bench<'_>) {
    let Some(maker) = bench.maker(txray_host::Registry::metric) else { return };
    let answers = bench.property("answers what it is asked", |settings| {
        let metric = maker.fresh()?;
        let many = pairs().prop_filter("one row is tried apart", |pairs| pairs.len() > 1);
        settings.for_all(many, |pairs| distances(&metric, pairs).map(drop))
    });
    // A metric that does not answer would fail every property that follows.
    let answers = answers
        && bench.property("takes a batch of one row", |settings| {
            let metric = maker.fresh()?;
            settings.for_all(pairs(), |pairs| distances(&metric, &pairs.rows(0..1)).map(drop))
        });
    if answers {
        outputs(bench, &maker);
        independence(bench, &maker);
        claims::hold(bench, &maker);
    }
    options::hold(bench, &maker);
    lifecycle::hold(bench, &maker, &|metric| {
        // A call that fails is reported by the properties above.
        let _ = distances_on(1, metric, Pairs::example().batch());
    });
}

/// What a call writes, and what it leaves alone.
fn outputs(bench: &mut Bench<'_>, maker: &Maker<'_, dyn PreferenceMetric>) {
    bench.property("takes an empty batch", |_| {
        for empty in [Pairs::new(&["unused"], &[]), Pairs::new(&[], &[])] {
            distances(&maker.fresh()?, &empty)?;
        }
        Ok(())
    });

    // The output is filled with two values in turn: a row that keeps both was not written.
    bench.property("writes every output", |settings| {
        let metric = maker.fresh()?;
        settings.for_all(pairs(), |pairs| {
            let fills = [0x7ff8_0000_dead_0001, 0x7ff8_0000_dead_0002].map(f64::from_bits);
            let mut left = Vec::new();
            for fill in fills {
                let output = call(1, &*metric, pairs.batch(), fill)?;
                left.push(output.values().iter().map(|value| value.to_bits() == fill.to_bits()).collect::<Vec<_>>());
            }
            match (0..pairs.len()).find(|&row| left[0][row] && left[1][row]) {
                Some(row) => Err(format!("of {} rows, row {row} was not written", pairs.len())),
                None => Ok(()),
            }
        })
    });

    bench.property("writes nothing but its outputs", |settings| {
        let metric = maker.fresh()?;
        settings.for_all(pairs(), |pairs| match call(1, &*metric, pairs.batch(), 0.0)?.breach() {
            Some(at) => Err(format!("of {} rows, it wrote to row {at}", pairs.len())),
            None => Ok(()),
        })
    });

    bench.property("leaves its inputs alone", |settings| {
        let metric = maker.fresh()?;
        settings.for_all(pairs(), |pairs| {
            // A copy is given, so that what is shown of a failure is what there was before.
            let given = pairs.clone();
            call(1, &*metric, given.batch(), 0.0)?;
            match given == *pairs {
                true => Ok(()),
                false => Err(format!("after the call its input was {given:?}")),
            }
        })
    });

    bench.property("is a number where both sides prefer every feature", |settings| {
        let metric = maker.fresh()?;
        settings.for_all(shared_pairs(), |pairs| {
            let found = distances(&metric, pairs)?;
            match found.iter().position(|distance| !distance.is_finite()) {
                Some(row) => Err(format!("row {row} is {}", found[row])),
                None => Ok(()),
            }
        })
    });
}

/// What a distance must not depend on.
fn independence(bench: &mut Bench<'_>, maker: &Maker<'_, dyn PreferenceMetric>) {
    bench.property("gives a row the same whatever rows are beside it", |settings| {
        let metric = maker.fresh()?;
        settings.for_all(pairs(), |pairs| {
            let whole = distances(&metric, pairs)?;
            for cut in 1..pairs.len() {
                let mut parts = distances(&metric, &pairs.rows(0..cut))?;
                parts.extend(distances(&metric, &pairs.rows(cut..pairs.len()))?);
                same(&whole, &parts, &format!("cut at row {cut}"))?;
            }
            let alone: Result<Vec<_>, String> =
                (0..pairs.len()).map(|row| Ok(distances(&metric, &pairs.rows(row..row + 1))?[0])).collect();
            same(&whole, &alone?, "row by row")
        })
    });

    // The input of earlier calls is overwritten but not freed: a metric that kept a pointer to it reads other values.
    bench.property("gives the same whatever it was asked before", |settings| {
        settings.at_most(16).for_all((pairs(), pairs()), |(asked, before)| {
            let mut first = asked.clone();
            let expected = distances(&maker.fresh()?, &first)?;
            first.overwrite();
            let metric = maker.fresh()?;
            let mut other = before.clone();
            distances(&metric, &other)?;
            other.overwrite();
            same(&expected, &distances(&metric, asked)?, "after another call")?;
            same(&expected, &distances(&metric, asked)?, "asked again")
        })
    });

    bench.property("gives the same from many threads at once", |settings| {
        let metric = maker.fresh()?;
        settings.at_most(16).for_all(pairs(), |pairs| {
            let expected = distances(&metric, pairs)?;
            let ask = || {
                for _ in 0..16 {
                    same(&expected, &distances(&metric, pairs)?, "beside other threads")?;
                }
                Ok(())
            };
            thread::scope(|scope| {
                let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                asking.into_iter().try_for_each(|thread| {
                    thread.join().unwrap_or_else(|_| Err("a thread that asked it fell".to_owned()))
                })
            })
        })
    });

    bench.property("gives the same on however many threads", |settings| {
        let metric = maker.fresh()?;
        settings.for_all(pairs(), |pairs| {
            let [one, four] = [1, 4].map(|threads| distances_on(threads, &*metric, pairs.batch()));
            same(&one?, &four?, "on 4 threads in place of 1")
        })
    });

    bench.property("does not depend on how features are numbered", |settings| {
        let metric = maker.fresh()?;
        settings.for_all(pairs(), |pairs| {
            near(
                &distances(&metric, pairs)?,
                &distances(&metric, &pairs.renumbered())?,
                "with its features numbered anew",
            )
        })
    });
}

/// `[rows]`
fn distances(metric: &Metric, pairs: &Pairs) -> Result<Vec<f64>, String> {
    distances_on(1, &**metric, pairs.batch())
}

fn distances_on(threads: usize, metric: &dyn PreferenceMetric, batch: MetricBatch<'_>) -> Result<Vec<f64>, String> {
    Ok(call(threads, metric, batch, 0.0)?.values().to_vec())
}

/// The output after a call. It is guarded memory: if a metric writes beside its output, the suite still goes on.
fn call(
    threads: usize,
    metric: &dyn PreferenceMetric,
    batch: MetricBatch<'_>,
    fill: f64,
) -> Result<Guarded<f64>, String> {
    let mut output = Guarded::new(batch.len(), fill, GUARD);
    let answer = metric.distances(&Host::new(&Threads(threads)), &batch, output.values_mut());
    answer.map_err(|error| format!("it failed: {error}"))?;
    Ok(output)
}
