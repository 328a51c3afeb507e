//! The terminal: the one place that shows progress and logs, all of it on standard error; and what is asked for there.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use txray_engine::run::Observer;
use txray_plugin::{HostServices, Level};
use txray_tables::StepRecord;

use crate::output::{one_line, tell};

/// How much to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Steps and progress, too.
    Normal,
    /// Everything.
    Verbose,
}

/// How often a line of progress is written where there is no terminal to draw a bar on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows a run on standard error: a bar on a terminal, plain lines elsewhere.
pub struct Terminal {
    verbosity: Verbosity,
    threads: usize,
    is_terminal: bool,
    bar: ProgressBar,
    current: Mutex<Current>,
    /// Whether the user asked to stop.
    pub stop: Stop,
}

/// Whether the user asked to stop, and how.
#[derive(Default)]
pub struct Stop {
    /// The signal that asked; 0 before.
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// From now on Ctrl-C and SIGTERM ask the run to stop at its next safe place; the second of them ends the process.
    ///
    /// A terminal that is closed ends it, as it always did, or does not, where `nohup` has asked for that.
    pub fn listen(&self) -> io::Result<()> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // What a signal does is done in this order. The process ends in the handler itself: its threads may all be
            // waiting for something. `asked` is set after it was looked at, so only a second signal finds it set.
            flag::register_usize(signal, Arc::clone(&self.signal), signal as usize)?;
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        #[cfg(unix)]
        tell_when_asked()?;
        Ok(())
    }

    /// The signal that asked to stop.
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|&signal| signal > 0)
    }
}

/// Says that a signal has come, when it has. Elsewhere than in Unix it can only be handled, not waited for.
#[cfg(unix)]
fn tell_when_asked() -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            tell!("stopping; Ctrl-C again to stop at once");
        }
    })?;
    Ok(())
}

/// The step that runs.
struct Current {
    name: String,
    /// When progress was last told without a bar.
    told: Instant,
    /// When progress began, and with how much: a new phase counts from its own beginning.
    start: Instant,
    from: u64,
    done: u64,
}

impl Current {
    fn new(name: &str, now: Instant) -> Self {
        Self { name: name.to_owned(), told: now, start: now, from: 0, done: 0 }
    }

    /// Takes what is done by now. Whether that begins a new phase of the step, whose rate is its own.
    fn advance(&mut self, done: u64, now: Instant) -> bool {
        let is_new = done < self.done;
        if is_new {
            (self.told, self.start, self.from) = (now, now, done);
        }
        self.done = done;
        is_new
    }

    /// What of a phase is done in a second.
    fn rate(&self, now: Instant) -> f64 {
        (self.done - self.from) as f64 / now.duration_since(self.start).as_secs_f64()
    }
}

impl Terminal {
    /// The terminal of this process.
    pub fn new(verbosity: Verbosity, threads: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let shown = is_terminal && verbosity != Verbosity::Quiet;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let now = Instant::now();
        let current = Mutex::new(Current::new("", now));
        Self {
            verbosity,
            threads,
            is_terminal,
            bar: ProgressBar::with_draw_target(None, target),
            current,
            stop: Stop::default(),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Whether what matters so much is told.
    fn shows(&self, level: Level) -> bool {
        match self.verbosity {
            Verbosity::Quiet => level <= Level::Warning,
            Verbosity::Normal => level <= Level::Information,
            Verbosity::Verbose => true,
        }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| tell!("{text}"));
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostServices for Terminal {
    fn threads(&self) -> usize {
        self.threads
    }

    fn log(&self, level: Level, message: &str) {
        match level {
            Level::Error => self.line(&format!("error: {message}")),
            Level::Warning => self.line(&format!("warning: {message}")),
            Level::Information | Level::Debug if self.shows(level) => self.line(&format!("  {message}")),
            Level::Information | Level::Debug => {}
        }
    }

    fn progress(&self, done: u64, total: u64, message: &str) {
        let mut current = self.current();
        let now = Instant::now();
        if current.advance(done, now) {
            self.bar.reset();
        }
        if self.is_terminal {
            if total > 0 {
                self.bar.set_length(total);
            }
            self.bar.set_position(done);
            self.bar.set_message(one_line(message).into_owned());
        } else if self.verbosity != Verbosity::Quiet && now.duration_since(current.told) >= LINE_EVERY {
            current.told = now;
            let rate = current.rate(now);
            let left = if total > done && rate > 0.0 {
                format!(", {} left", seconds((total - done) as f64 / rate))
            } else {
                String::new()
            };
            let of = if total > 0 { format!(" of {}", thousands(total)) } else { String::new() };
            let message = if message.is_empty() { String::new() } else { format!(" ({message})") };
            let name = &current.name;
            tell!("  {name}: {}{of} tokens, {} tokens/s{left}{message}", thousands(done), thousands(rate as u64));
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.signal().is_some()
    }
}

impl Observer for Terminal {
    fn begin(&self, name: &str) {
        let now = Instant::now();
        *self.current() = Current::new(name, now);
        let template = "  {prefix} {wide_bar} {human_pos}/{human_len} tokens, {per_sec}, {eta} left {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.with_key(
                "per_sec",
                |state: &indicatif::ProgressState, w: &mut dyn std::fmt::Write| {
                    // Nobody reads the error of a write to the bar's own line.
                    let _ = write!(w, "{} tokens/s", thousands(state.per_sec() as u64));
                },
            ));
        }
        self.bar.reset();
        self.bar.set_prefix(one_line(name).into_owned());
        if self.verbosity == Verbosity::Verbose {
            self.line(&format!("{name} ..."));
        }
    }

    fn end(&self, step: &StepRecord, level: Level) {
        if !self.shows(level) {
            return;
        }
        if step.cached {
            self.line(&format!("{}: there already", step.name));
            return;
        }
        let tokens = step.tokens.map(|tokens| format!(", {} tokens", thousands(tokens))).unwrap_or_default();
        let rate = step.rate().map(|rate| format!(", {} tokens/s", thousands(rate as u64))).unwrap_or_default();
        self.line(&format!("{}: {}{tokens}{rate}", step.name, seconds(step.seconds)));
    }
}

/// `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.52 s`, `41 s`, `12 min 3 s`.
fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.0} s"),
        s => format!("{} min {:.0} s", (s / 60.0).floor(), s % 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its first line told a rate of all that was done before it, in no time.
    #[test]
    fn a_new_phase_counts_from_its_own_beginning() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut current = Current::new("stage.a", start);
        assert!(!current.advance(1_000, at(100)));
        assert_eq!(current.rate(at(100)), 10.0);
        assert!(current.advance(500, at(101)));
        assert_eq!(current.told, at(101));
        assert!(!current.advance(700, at(111)));
        assert_eq!(current.rate(at(111)), 20.0);
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(seconds(0.516), "0.52 s");
        assert_eq!(seconds(723.2), "12 min 3 s");
    }
}
