//! Progress and cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use txray_plugin::{Error, Host, Result};

use crate::weights::failed;

/// How often a host is told of progress at most, and how often it is asked whether to stop while a call waits.
const EVERY_MS: u64 = 50;

/// Counts tokens towards a total on behalf of a host, for the threads of a call.
pub(crate) struct Tracker<'a> {
    host: &'a Host<'a>,
    message: &'a str,
    done: AtomicU64,
    total: u64,
    start: Instant,
    /// When the host was last told, milliseconds after `start`.
    told: AtomicU64,
}

impl<'a> Tracker<'a> {
    pub fn new(host: &'a Host<'a>, message: &'a str, total: usize) -> Self {
        let (done, told) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { host, message, done, total: total as u64, start: Instant::now(), told }
    }

    /// Counts on from `done` tokens, which an earlier call has done.
    pub fn counting_from(self, done: usize) -> Self {
        Self { done: AtomicU64::new(done as u64), ..self }
    }

    /// Counts `tokens` more; an error once the host wants to stop.
    pub fn advance(&self, tokens: u64) -> Result<()> {
        self.advance_saying(tokens, || self.message.to_owned())
    }

    /// As [`Tracker::advance`], with a message that is made only where the host is told.
    pub fn advance_saying(&self, tokens: u64, message: impl FnOnce() -> String) -> Result<()> {
        if self.host.cancelled() {
            return Err(Error::cancelled());
        }
        let done = self.done.fetch_add(tokens, Ordering::Relaxed) + tokens;
        let now = self.start.elapsed().as_millis() as u64;
        if tokens > 0 && (done == self.total || now >= self.told.load(Ordering::Relaxed) + EVERY_MS) {
            self.told.store(now, Ordering::Relaxed);
            self.host.progress(done, self.total, &message());
        }
        Ok(())
    }
}

/// A pool of as many threads as the host lends.
pub(crate) fn pool(host: &Host<'_>) -> Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(host.threads())
        .build()
        .map_err(|e| Error::failed(format!("could not start {} threads: {e}", host.threads())))
}

/// A request to stop, for operations that candle's graph owns, so that they cannot borrow a host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for it; this is never taken back.
    pub fn want(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An operation of ours that was told to stop ends in an error of candle's, which the user need not see.
    pub fn or(&self, error: candle_core::Error) -> Error {
        if self.is_wanted() { Error::cancelled() } else { failed(error) }
    }

    /// An error once stopping is wanted, to be passed on with `?` by candle's operations.
    pub fn check(&self) -> candle_core::Result<()> {
        if self.is_wanted() { candle_core::bail!("stopped") } else { Ok(()) }
    }
}

/// Runs `work` on the pool. Meanwhile the calling thread asks the host whether to stop, and tells `stop`.
pub(crate) fn watched<R: Send>(
    host: &Host<'_>,
    pool: &ThreadPool,
    stop: &Stop,
    work: impl FnOnce() -> Result<R> + Send,
) -> Result<R> {
    let (sender, receiver) = channel();
    // A panic in `work` leaves nothing to receive, and is passed on where the scope ends.
    pool.in_place_scope(|scope| {
        scope.spawn(move |_| drop(sender.send(work())));
        loop {
            match receiver.recv_timeout(Duration::from_millis(EVERY_MS)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) if host.cancelled() => stop.want(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::failed("the work was not done")),
            }
        }
    })
}
