//! What the host offers to a plugin during a call.

use std::fmt;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = 1,
    /// The result may not be what the user expects.
    Warning = 2,
    /// Worth knowing.
    Information = 3,
    /// Worth knowing when something is wrong.
    Debug = 4,
}

/// What stands behind a [`Host`]: the engine in a run, the C functions of the boundary in a loaded plugin.
pub trait HostServices: Sync {
    /// How many threads a call may use, at least 1.
    fn threads(&self) -> usize;
    /// Takes one line of text for the log.
    fn log(&self, level: Level, message: &str);
    /// Takes progress: `done` of `total` tokens (0: unknown), and a word on it (may be empty).
    fn progress(&self, done: u64, total: u64, message: &str);
    /// Whether the call should stop and return [`crate::Error::cancelled`].
    fn cancelled(&self) -> bool;
}

/// The host, for the length of a call. Any thread may use it. Plugins print nothing: they log here.
#[derive(Clone, Copy)]
pub struct Host<'a>(&'a dyn HostServices);

impl<'a> Host<'a> {
    /// Offers these services for as long as they are borrowed.
    pub fn new(services: &'a dyn HostServices) -> Self {
        Self(services)
    }

    /// A host for tests: every processor's thread, no log, never cancelled.
    pub fn detached() -> Host<'static> {
        Host(&Detached)
    }

    /// How many threads a call may use, at least 1.
    pub fn threads(&self) -> usize {
        self.0.threads().max(1)
    }

    /// Logs one line of text.
    pub fn log(&self, level: Level, message: &str) {
        self.0.log(level, message);
    }

    /// Reports progress: `done` of `total` tokens (0: unknown), and a word on it (may be empty).
    pub fn progress(&self, done: u64, total: u64, message: &str) {
        self.0.progress(done, total, message);
    }

    /// Whether the call should stop and return [`crate::Error::cancelled`].
    pub fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

/// A host that lends this many threads, logs nothing and never cancels: for tests and benchmarks.
#[derive(Clone, Copy, Debug)]
pub struct Threads(pub usize);

impl HostServices for Threads {
    fn threads(&self) -> usize {
        self.0
    }
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

struct Detached;

impl HostServices for Detached {
    fn threads(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}
