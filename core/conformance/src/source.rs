//! The suite of sources.

use txray_host::Registry;
use txray_plugin::{ActivationBatch, ActivationSource, Host, SourceDescription, Threads};

use crate::bench::{Bench, Failure, Maker};
use crate::{lifecycle, options};

/// A source may be long: it is read up to this many batches or tokens.
const MOST_BATCHES: usize = 256;
const MOST_TOKENS: usize = 1 << 20;

/// A source reads what its options say: where they name files, their schema needs an example.
pub(crate) fn hold(bench: &mut Bench<'_>) {
    let Some(maker) = bench.maker(Registry::source) else { return };
    let mut description = None;
    // Whether a description or a batch breaks a rule, the host says.
    bench.property("describes itself", |_| {
        let found = maker.fresh()?.describe().map_err(|error| format!("it failed: {error}"))?;
        description = Some(found);
        Ok(())
    });
    if let Some(description) = &description {
        reading(bench, &maker, description);
    }
    options::hold(bench, &maker);
    lifecycle::hold(bench, &maker, &|source| {
        // A call that fails is reported by the properties above.
        let _ = source.next(&Host::new(&Threads(1)));
    });
}

fn reading(bench: &mut Bench<'_>, maker: &Maker<'_, dyn ActivationSource>, description: &SourceDescription) {
    let mut batches = Vec::new();
    let mut ended = false;
    let reads = bench.property("gives batches that fit together", |_| {
        let mut source = maker.fresh()?;
        (batches, ended) = read(&mut *source)?;
        let found = source.describe().map_err(|error| format!("read, it failed to describe itself: {error}"))?;
        match found == *description {
            true => Ok(()),
            false => Err(Failure::from(format!("before it was read it was {description:?}, and then {found:?}"))),
        }
    });
    if !reads {
        return;
    }

    bench.property("reads the same every time", |_| {
        let (again, _) = read(&mut *maker.fresh()?)?;
        match (0..batches.len().max(again.len())).find(|&at| !same(batches.get(at), again.get(at))) {
            Some(at) => Err(Failure::from(format!(
                "made a second time, its batch {at} was {:?}, and before {:?}",
                again.get(at),
                batches.get(at)
            ))),
            None => Ok(()),
        }
    });

    bench.property("stays at its end", |_| {
        if !ended {
            let why = format!("it has not ended after {MOST_BATCHES} batches or {MOST_TOKENS} tokens");
            return Err(Failure::Skipped(why));
        }
        let mut source = maker.fresh()?;
        read(&mut *source)?;
        for _ in 0..3 {
            let next = source.next(&Host::new(&Threads(1)));
            if next.map_err(|error| format!("asked again at its end, it failed: {error}"))?.is_some() {
                return Err(Failure::from("asked again at its end, it gave another batch".to_owned()));
            }
        }
        Ok(())
    });
}

/// The batches of a source, and whether they are all.
fn read(source: &mut dyn ActivationSource) -> Result<(Vec<ActivationBatch>, bool), String> {
    let (mut batches, mut tokens) = (Vec::new(), 0);
    while batches.len() < MOST_BATCHES && tokens < MOST_TOKENS {
        let next = source.next(&Host::new(&Threads(1)));
        let next = next.map_err(|error| format!("asked for batch {}, it failed: {error}", batches.len()))?;
        let Some(batch) = next else { return Ok((batches, true)) };
        tokens += batch.starts.len();
        batches.push(batch);
    }
    Ok((batches, false))
}

/// Equal bit by bit: `Debug` shows different numbers differently, and every NaN alike.
fn same(a: Option<&ActivationBatch>, b: Option<&ActivationBatch>) -> bool {
    a == b || format!("{a:?}") == format!("{b:?}")
}
