//! Making a component and ending it again.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Failure, Maker};

/// How long making and ending may take, in the quickest of [`TRIES`].
const QUICK: Duration = Duration::from_millis(50);
const TRIES: usize = 8;

/// Growth of resident memory in bytes, over one round of making and ending, that counts as a leak if it is seen in
/// [`ROUNDS`] rounds in a row: nothing else in the process grows as steadily.
const KEPT: u64 = 64 << 10;
const ROUNDS: usize = 6;
/// How often a round makes and ends the component, if [`ROUND`] is long enough.
const LOOPS: usize = 1000;
const ROUND: Duration = Duration::from_millis(300);

/// A component must be made and ended quickly, and leave nothing behind. `call` makes it do something in between.
pub(crate) fn hold<T: ?Sized>(bench: &mut Bench<'_>, maker: &Maker<'_, T>, call: &dyn Fn(&mut T)) {
    // Options are checked by making a component, so a slow one makes every pipeline that names it slow to check.
    bench.property("is made and ended quickly", |_| {
        let mut best = Duration::MAX;
        for _ in 0..TRIES {
            let start = Instant::now();
            drop(maker.fresh()?);
            best = best.min(start.elapsed());
        }
        match best <= QUICK {
            true => Ok(()),
            false => Err(Failure::from(format!("the quickest of {TRIES} took {best:?}, more than {QUICK:?}"))),
        }
    });

    // Sees leaks from about 100 bytes each time, at 1000 times a round.
    bench.property("keeps nothing once it is ended", |_| {
        let Some(mut before) = resident() else {
            return Err(Failure::Skipped("resident memory is read on Linux alone".to_owned()));
        };
        let mut grown = Vec::new();
        // The first round fills what allocators and libraries keep for good.
        for round in 0..=ROUNDS {
            let made = make_and_end(maker, call)?;
            let after = resident().unwrap_or(before);
            if round > 0 {
                let growth = after.saturating_sub(before);
                if growth < KEPT {
                    return Ok(());
                }
                grown.push(format!("{} KiB after {made} times", growth >> 10));
            }
            before = after;
        }
        Err(Failure::from(format!("made and ended over and over, resident memory grew by {}", grown.join(", "))))
    });
}

/// One round, with a call every tenth time. Gives how often the component was made.
fn make_and_end<T: ?Sized>(maker: &Maker<'_, T>, call: &dyn Fn(&mut T)) -> Result<usize, String> {
    let start = Instant::now();
    let mut made = 0;
    while made < LOOPS && (start.elapsed() < ROUND || made < 10) {
        let mut component = maker.fresh()?;
        if made % 10 == 0 {
            call(&mut component);
        }
        made += 1;
    }
    Ok(made)
}

/// Resident memory of this process in bytes; `None` where it cannot be read.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // Where pages are larger than this, growth is understated.
    Some(pages * 4096)
}
