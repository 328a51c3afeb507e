//! Metrics around the total variation: each spoils it in one way.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use txray_plugin::schemars::{self, JsonSchema};
use txray_plugin::serde::Deserialize;
use txray_plugin::{Claim, Component, Error, Host, MetricBatch, NoOptions, Pair, PreferenceMetric, Result};

/// Half the L1 distance.
fn total_variation(row: &Pair<'_>) -> f64 {
    row.p.iter().zip(row.q).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0
}

/// Writes what `distance` makes of each row and its place.
fn each(batch: &MetricBatch<'_>, out: &mut [f64], distance: impl Fn(usize, &Pair<'_>) -> f64) {
    batch.rows().zip(out).enumerate().for_each(|(at, (row, out))| *out = distance(at, &row));
}

/// Defines a metric without options or state.
macro_rules! metric {
    ($name:ident, $kind:literal, $about:literal, [$($claim:ident),*], |$host:ident, $batch:ident, $out:ident| $body:block) => {
        pub struct $name;

        impl Component for $name {
            const KIND: &'static str = $kind;
            const ABOUT: &'static str = $about;
            const CLAIMS: &'static [Claim] = &[$(Claim::$claim),*];
            type Options = NoOptions;

            fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
                Ok(Self)
            }
        }

        impl PreferenceMetric for $name {
            fn distances(&self, $host: &Host<'_>, $batch: &MetricBatch<'_>, $out: &mut [f64]) -> Result<()> {
                $body
                Ok(())
            }
        }
    };
}

metric!(OffByOne, "off-by-one", "leaves the last row out", [], |_host, batch, out| {
    let written = out.len().saturating_sub(1);
    each(batch, &mut out[..written], |_, row| total_variation(row));
});

metric!(OneRowShort, "one-row-short", "leaves the fourth row out, where there is one", [], |_host, batch, out| {
    let before = out.get(3).copied();
    each(batch, out, |_, row| total_variation(row));
    out.get_mut(3).zip(before).into_iter().for_each(|(out, before)| *out = before);
});

metric!(NeedsRows, "needs-rows", "refuses an empty batch", [], |_host, batch, out| {
    if batch.is_empty() {
        return Err(Error::failed("there is nothing to compare"));
    }
    each(batch, out, |_, row| total_variation(row));
});

metric!(NeedsCompany, "needs-company", "refuses a row alone", [], |_host, batch, out| {
    if batch.len() == 1 {
        return Err(Error::failed("one row is no comparison"));
    }
    each(batch, out, |_, row| total_variation(row));
});

metric!(Impatient, "impatient", "panics where a row has many features", [], |_host, batch, out| {
    each(batch, out, |_, row| total_variation(row) / [1.0; 24][..row.p.len()][0]);
});

metric!(NoNumber, "no-number", "gives no number anywhere", [], |_host, _batch, out| {
    out.fill(f64::NAN);
});

metric!(Panics, "panics", "panics when it is called", [], |_host, _batch, out| {
    assert!(out.is_empty(), "there are rows");
});

metric!(PanicsInThread, "panics-in-thread", "panics in a thread of its own", [], |_host, _batch, out| {
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(out.is_empty(), "there are rows"));
    });
});

metric!(NotSymmetric, "not-symmetric", "weighs the difference by the first side", [Symmetric], |_host, batch, out| {
    each(batch, out, |_, row| row.p.iter().zip(row.q).map(|(p, q)| p * (p - q).abs()).sum());
});

metric!(NotIdentity, "not-identity", "is never below a thousandth", [Identity], |_host, batch, out| {
    each(batch, out, |_, row| total_variation(row).max(1e-3));
});

metric!(Unbounded, "unbounded", "is twice what it claims", [Bounded], |_host, batch, out| {
    each(batch, out, |_, row| 2.0 * total_variation(row));
});

metric!(NoTriangle, "no-triangle", "is squared", [Triangle], |_host, batch, out| {
    each(batch, out, |_, row| total_variation(row).powi(2));
});

metric!(NoAffinity, "no-affinity", "is a distance, but none of a kernel", [Affinity], |_host, batch, out| {
    each(batch, out, |_, row| total_variation(row));
});

metric!(OneSided, "one-sided", "is an affinity in one direction alone", [Affinity], |_host, batch, out| {
    let peak = |side: &[f64]| side.iter().copied().fold(0.0, f64::max);
    each(batch, out, |_, row| if peak(row.p) > peak(row.q) { 1.0 } else { total_variation(row) });
});

metric!(NeverClose, "never-close", "has no affinity of 1", [Affinity], |_host, batch, out| {
    each(batch, out, |_, row| total_variation(row).max(0.5));
});

metric!(Neighbours, "neighbours", "takes the rows before into account", [], |_host, batch, out| {
    each(batch, out, |at, row| total_variation(row) + 1e-12 * at as f64);
});

metric!(ByThread, "by-thread", "differs by the thread that asks", [], |_host, batch, out| {
    let mut hasher = DefaultHasher::new();
    std::thread::current().id().hash(&mut hasher);
    let offset = (hasher.finish() % 1000) as f64 * 1e-9;
    each(batch, out, |_, row| total_variation(row) + offset);
});

metric!(ByHostThreads, "by-host-threads", "differs by the threads it may use", [], |host, batch, out| {
    each(batch, out, |_, row| total_variation(row) + 1e-12 * host.threads() as f64);
});

metric!(ByNumbers, "by-numbers", "weighs features by their ids", [], |_host, batch, out| {
    each(batch, out, |_, row| {
        let differences = row.p.iter().zip(row.q).map(|(p, q)| (p - q).abs());
        differences.zip(row.features).map(|(difference, &id)| difference / (1.0 + f64::from(id))).sum()
    });
});

/// Breaks nothing: a power of the total variation, which is a distance up to the first.
pub struct Good {
    power: f64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde", deny_unknown_fields)]
pub struct GoodOptions {
    /// The power, above 0 and at most 1.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    power: f64,
}

impl Component for Good {
    const KIND: &'static str = "good";
    const ABOUT: &'static str = "a power of the total variation";
    const CLAIMS: &'static [Claim] = &[Claim::Symmetric, Claim::Identity, Claim::Bounded, Claim::Triangle];
    type Options = GoodOptions;

    fn create(GoodOptions { power }: GoodOptions, _: &Host<'_>) -> Result<Self> {
        if power.is_nan() || power <= 0.0 || power > 1.0 {
            return Err(Error::at("/power", format!("{power} is not in (0, 1]")));
        }
        Ok(Self { power })
    }
}

impl PreferenceMetric for Good {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        each(batch, out, |_, row| total_variation(row).powf(self.power));
        Ok(())
    }
}

/// Counts its calls, and lets it show.
pub struct Forgetful(AtomicU64);

impl Component for Forgetful {
    const KIND: &'static str = "forgetful";
    const ABOUT: &'static str = "drifts from call to call";
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self(AtomicU64::new(0)))
    }
}

impl PreferenceMetric for Forgetful {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        let drift = self.0.fetch_add(1, Ordering::Relaxed).min(1) as f64;
        each(batch, out, |_, row| total_variation(row) + drift);
        Ok(())
    }
}

/// Takes any option, and heeds none.
pub struct IgnoresOptions;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "txray_plugin::serde")]
pub struct Ignored {}

impl Component for IgnoresOptions {
    const KIND: &'static str = "ignores-options";
    const ABOUT: &'static str = "takes any option";
    type Options = Ignored;

    fn create(_: Ignored, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl PreferenceMetric for IgnoresOptions {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        each(batch, out, |_, row| total_variation(row));
        Ok(())
    }
}

/// Lets go of some memory whenever it is made.
pub struct Leaks;

impl Component for Leaks {
    const KIND: &'static str = "leaks";
    const ABOUT: &'static str = "keeps 4 KiB whenever it is made";
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        std::hint::black_box(vec![1_u8; 4096].leak());
        Ok(Self)
    }
}

impl PreferenceMetric for Leaks {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        each(batch, out, |_, row| total_variation(row));
        Ok(())
    }
}

/// Takes its time to end.
pub struct SlowToEnd;

impl Component for SlowToEnd {
    const KIND: &'static str = "slow-to-end";
    const ABOUT: &'static str = "takes 60 ms to end";
    type Options = NoOptions;

    fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
        Ok(Self)
    }
}

impl Drop for SlowToEnd {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(60));
    }
}

impl PreferenceMetric for SlowToEnd {
    fn distances(&self, _: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        each(batch, out, |_, row| total_variation(row));
        Ok(())
    }
}
