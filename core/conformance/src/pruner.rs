//! The suite of pruners.

use std::thread;

use txray_host::Registry;
use txray_plugin::{Fault, Host, Pruner, Threads};

use crate::bench::{Bench, Failure, Maker};
use crate::compare::{near, same};
use crate::guarded::Guarded;
use crate::strategies::{NamedColumns, column_names, columns};
use crate::{lifecycle, options};

/// The value of the guards around an output: no pruner gives just this.
const GUARD: f64 = -12_345.678_901;

pub(crate) fn hold(bench: &mut Bench<'_>) {
    let Some(maker) = bench.maker(Registry::pruner) else { return };
    let answers = bench.property("answers what it is asked", |settings| {
        let pruner = maker.fresh()?;
        settings.for_all(columns(), |columns| {
            scores(&*pruner, columns).map(drop).map_err(|error| {
                format!(
                    "{error} (the columns are {}: if it needs another, it cannot be tried)",
                    column_names().join(", ")
                )
            })
        })
    });
    if answers {
        outputs(bench, &maker);
        independence(bench, &maker);
    }
    options::hold(bench, &maker);
    lifecycle::hold(bench, &maker, &|pruner| {
        // A call that fails is reported by the properties above.
        let _ = scores(pruner, &NamedColumns::without_rows(&column_names()));
    });
}

/// What a call writes, and what it leaves alone.
fn outputs(bench: &mut Bench<'_>, maker: &Maker<'_, dyn Pruner>) {
    bench.property("takes columns without neurons", |_| {
        scores(&*maker.fresh()?, &NamedColumns::without_rows(&column_names())).map(drop).map_err(Failure::from)
    });

    // A pruner may need a column, and say so: that is the user's to mend, and no fault of the pruner.
    bench.property("takes neurons without columns, or says what it needs", |_| {
        let pruner = maker.fresh()?;
        let columns = NamedColumns::without_columns(3);
        match pruner.scores(&Host::new(&Threads(1)), &columns.view(), &mut [0.0; 3]) {
            Err(error) if error.fault() != Fault::Invalid => Err(Failure::from(format!("it failed: {error}"))),
            _ => Ok(()),
        }
    });

    bench.property("writes every output", |settings| {
        let pruner = maker.fresh()?;
        settings.for_all(columns(), |columns| {
            let fills = [0x7ff8_0000_dead_0001, 0x7ff8_0000_dead_0002].map(f64::from_bits);
            let mut left = Vec::new();
            for fill in fills {
                let output = call(1, &*pruner, columns, fill)?;
                left.push(output.values().iter().map(|value| value.to_bits() == fill.to_bits()).collect::<Vec<_>>());
            }
            match (0..columns.rows()).find(|&row| left[0][row] && left[1][row]) {
                Some(row) => Err(format!("of {} neurons, number {row} was given no score", columns.rows())),
                None => Ok(()),
            }
        })
    });

    bench.property("writes nothing but its outputs", |settings| {
        let pruner = maker.fresh()?;
        settings.for_all(columns(), |columns| match call(1, &*pruner, columns, 0.0)?.breach() {
            Some(at) => Err(format!("of {} neurons, it wrote to number {at}", columns.rows())),
            None => Ok(()),
        })
    });

    bench.property("leaves its inputs alone", |settings| {
        let pruner = maker.fresh()?;
        settings.for_all(columns(), |columns| {
            let given = columns.clone();
            call(1, &*pruner, &given, 0.0)?;
            let values = [&given, columns].map(|columns| columns.view().values.to_vec());
            same(&values[1], &values[0], "after the call, counting through all columns")
        })
    });
}

/// What a score must not depend on.
fn independence(bench: &mut Bench<'_>, maker: &Maker<'_, dyn Pruner>) {
    bench.property("does not depend on the order of the neurons", |settings| {
        let pruner = maker.fresh()?;
        settings.for_all(columns(), |columns| {
            let mut turned = scores(&*pruner, &columns.turned())?;
            turned.reverse();
            near(&scores(&*pruner, columns)?, &turned, "with the neurons in the opposite order")
        })
    });

    bench.property("does not depend on columns that it does not know, or on their order", |settings| {
        let pruner = maker.fresh()?;
        settings.for_all(columns(), |columns| {
            let rearranged = scores(&*pruner, &columns.rearranged())?;
            near(&scores(&*pruner, columns)?, &rearranged, "with the columns in another order, and two more")
        })
    });

    // The input of earlier calls is overwritten but not freed: a pruner that kept a pointer to it reads other values.
    bench.property("gives the same whatever it was asked before", |settings| {
        settings.at_most(16).for_all((columns(), columns()), |(asked, before)| {
            let mut first = asked.clone();
            let expected = scores(&*maker.fresh()?, &first)?;
            first.overwrite();
            let pruner = maker.fresh()?;
            let mut other = before.clone();
            scores(&*pruner, &other)?;
            other.overwrite();
            same(&expected, &scores(&*pruner, asked)?, "after another call")?;
            same(&expected, &scores(&*pruner, asked)?, "asked again")
        })
    });

    bench.property("gives the same from many threads at once", |settings| {
        let pruner = maker.fresh()?;
        settings.at_most(16).for_all(columns(), |columns| {
            let expected = scores(&*pruner, columns)?;
            let ask = || (0..16).try_for_each(|_| same(&expected, &scores(&*pruner, columns)?, "beside other threads"));
            thread::scope(|scope| {
                let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                asking.into_iter().try_for_each(|thread| {
                    thread.join().unwrap_or_else(|_| Err("a thread that asked it fell".to_owned()))
                })
            })
        })
    });

    bench.property("gives the same on however many threads", |settings| {
        let pruner = maker.fresh()?;
        settings.for_all(columns(), |columns| {
            let [one, four] = [1, 4].map(|threads| call(threads, &*pruner, columns, 0.0));
            same(one?.values(), four?.values(), "on 4 threads in place of 1")
        })
    });
}

/// `[rows]`
fn scores(pruner: &dyn Pruner, columns: &NamedColumns) -> Result<Vec<f64>, String> {
    Ok(call(1, pruner, columns, 0.0)?.values().to_vec())
}

/// The output after a call, in guarded memory.
fn call(threads: usize, pruner: &dyn Pruner, columns: &NamedColumns, fill: f64) -> Result<Guarded<f64>, String> {
    let mut output = Guarded::new(columns.rows(), fill, GUARD);
    let answer = pruner.scores(&Host::new(&Threads(threads)), &columns.view(), output.values_mut());
    answer.map_err(|error| format!("it failed: {error}"))?;
    Ok(output)
}
