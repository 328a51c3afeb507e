//! Progress and cancellation, shared by the threads of a call.

use std::sync::atomic::{AtomicU64, Ordering};

use txray_plugin::{Error, Host, Result};

/// Counts tokens towards a total on behalf of a host.
pub(crate) struct Tracker<'a> {
    host: &'a Host<'a>,
    message: &'a str,
    done: AtomicU64,
    total: u64,
}

impl<'a> Tracker<'a> {
    pub fn new(host: &'a Host<'a>, message: &'a str, total: usize) -> Self {
        Self { host, message, done: AtomicU64::new(0), total: total as u64 }
    }

    /// Reports `tokens` more; an error once the host wants to stop.
    pub fn advance(&self, tokens: u64) -> Result<()> {
        self.advance_saying(tokens, self.message)
    }

    /// [`Tracker::advance`] with a message of its own.
    pub fn advance_saying(&self, tokens: u64, message: &str) -> Result<()> {
        if self.host.cancelled() {
            return Err(Error::cancelled());
        }
        if tokens > 0 {
            let done = self.done.fetch_add(tokens, Ordering::Relaxed) + tokens;
            self.host.progress(done, self.total, message);
        }
        Ok(())
    }
}

/// A pool of as many threads as the host lends.
pub(crate) fn pool(host: &Host<'_>) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(host.threads())
        .build()
        .map_err(|e| Error::failed(format!("could not start {} threads: {e}", host.threads())))
}
