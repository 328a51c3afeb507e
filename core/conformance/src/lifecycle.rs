//! Making a component and ending it again.

use std::time::{Duration, Instant};

use crate::bench::{Bench, Failure, Maker};

/// Making and ending may take this long, in the best of [`TRIES`].
const QUICK: Duration = Duration::from_millis(50);
const TRIES: usize = 8;

/// A round of making and ending that is followed by so much more resident memory is one that keeps something ...
const KEPT: u64 = 64 << 10;
/// ... if it holds for so many rounds in a row. What else goes on in the process does not grow as steadily.
const ROUNDS: usize = 6;
/// How often a round makes and ends the component, if time permits.
const LOOPS: usize = 1000;
/// Time for a round.
const ROUND: Duration = Duration::from_millis(300);

/// Holds a component to being made and ended quickly, and leaving nothing behind. `call` makes it do something.
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

    // Seen where each making and ending keeps about 100 bytes, with 1000 of them in a round.
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

/// Makes and ends a component for a round, with a call now and then; gives how often.
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

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // Pages may be larger, and then so is what is seen as growth: never smaller.
    Some(pages * 4096)
}
