//! Which calls into plugins are under way: a plugin that takes the process down is named.
//!
//! A crash writes a line that names it, and then goes the way that it would have gone: the previous handler, such as that of
//! Rust's runtime for overflows of the stack, gets the signal. A plugin that ends the process by `exit` would make a run
//! look finished that has no results: that becomes exit code 1. What nobody can see are `_exit`, a kill from outside, and on
//! systems that are no Unix all of it.

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A text that lives as long as the process, behind one word: so a handler of signals always sees all of it.
pub(crate) type Word = &'static &'static str;

/// What a plugin does before any of its functions is called.
pub(crate) const LOADING: Word = &"";

/// A text as a [`Word`], for good: one a plugin, and plugins are never unloaded either.
pub(crate) fn lasting(text: String) -> Word {
    let text: &'static str = text.leak();
    Box::leak(Box::new(text))
}

/// A call, on the stack of its thread.
#[derive(Clone, Copy)]
struct Call {
    plugin: Word,
    function: Word,
}

thread_local! {
    /// The innermost call that is under way on this thread, or null.
    static CURRENT: Cell<*const Call> = const { Cell::new(std::ptr::null()) };
}

/// Calls of all threads, for what happens on a thread that a plugin started itself. Where there are more calls than places,
/// the ones left out do not matter: of many calls none is named.
static UNDER_WAY: [Place; 64] =
    [const { Place { plugin: AtomicPtr::new(null_mut()), function: AtomicPtr::new(null_mut()) } }; 64];

/// Room for a call; free while `plugin` is null.
struct Place {
    plugin: AtomicPtr<&'static str>,
    function: AtomicPtr<&'static str>,
}

impl Place {
    fn take(call: Call) -> Option<&'static Self> {
        let [plugin, function] = [call.plugin, call.function].map(|word| std::ptr::from_ref(word).cast_mut());
        let place = UNDER_WAY.iter().find(|place| {
            let (free, taken) = (Ordering::Relaxed, Ordering::AcqRel);
            place.plugin.load(free).is_null() && place.plugin.compare_exchange(null_mut(), plugin, taken, free).is_ok()
        })?;
        place.function.store(function, Ordering::Release);
        Some(place)
    }

    fn leave(&self) {
        self.function.store(null_mut(), Ordering::Release);
        self.plugin.store(null_mut(), Ordering::Release);
    }

    fn call(&self) -> Option<Call> {
        let [plugin, function] = [&self.plugin, &self.function].map(|word| {
            // SAFETY: null, or from a `Word`, which lives as long as the process.
            unsafe { word.load(Ordering::Acquire).as_ref() }
        });
        Some(Call { plugin: plugin?, function: function? })
    }
}

/// Runs `body`, which calls a function of a plugin, and nothing of anybody else's that could end the process.
pub(crate) fn marked<R>(plugin: Word, function: Word, body: impl FnOnce() -> R) -> R {
    /// Leaves the call, however it ends.
    struct Leave {
        outer: *const Call,
        place: Option<&'static Place>,
    }
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(self.outer);
            self.place.inspect(|place| place.leave());
        }
    }
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(handlers::install);
    let call = Call { plugin, function };
    let _leave = Leave { place: Place::take(call), outer: CURRENT.replace(&raw const call) };
    body()
}

/// The call that something happens in.
enum Suspect {
    /// It happened on the thread of this call.
    Certain(Call),
    /// It happened on another thread while this was the only call.
    Likely(Call),
}

impl Suspect {
    fn find() -> Option<Self> {
        // SAFETY: null, or a call of this thread that has not ended: it stands further up on the stack.
        if let Some(&call) = unsafe { CURRENT.get().as_ref() } {
            return Some(Self::Certain(call));
        }
        let mut calls = UNDER_WAY.iter().filter_map(Place::call);
        let only = calls.next()?;
        calls.next().is_none().then_some(Self::Likely(only))
    }
}

#[cfg(not(unix))]
mod handlers {
    pub(super) fn install() {}
}

#[cfg(unix)]
mod handlers {
    use std::ffi::{c_int, c_void};
    use std::process;
    use std::ptr::null_mut;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::{LOADING, Suspect};

    /// The signals of a crash.
    const SIGNALS: [(c_int, &str); 7] = [
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGSYS, "SIGSYS"),
    ];
    /// What was done at each of them before.
    static BEFORE: [OnceLock<libc::sigaction>; SIGNALS.len()] = [const { OnceLock::new() }; SIGNALS.len()];
    /// The process that has these handlers: one that it forks may end as it likes.
    static OURS: AtomicU32 = AtomicU32::new(0);

    // Not in the crate `libc`.
    #[cfg(target_os = "linux")]
    unsafe extern "C" {
        fn at_quick_exit(function: extern "C" fn()) -> c_int;
    }

    pub(super) fn install() {
        OURS.store(process::id(), Ordering::Relaxed);
        // SAFETY: functions without arguments, which live as long as the process.
        unsafe {
            libc::atexit(at_exit);
            #[cfg(target_os = "linux")]
            at_quick_exit(at_exit);
        }
        for ((signal, _), before) in SIGNALS.iter().zip(&BEFORE) {
            // SAFETY: all zeros is a `sigaction`, with an empty mask; the handler has the type that SA_SIGINFO asks for, and
            // does only what a handler may. A crash that comes before `before` is set ends the process unnamed.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let mut old = action;
                action.sa_sigaction = on_crash as *const () as usize;
                // On the other stack, where the thread has one: its own may have overflowed.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                if libc::sigaction(*signal, null_mut(), &raw mut old) == 0 && before.set(old).is_ok() {
                    libc::sigaction(*signal, &raw const action, null_mut());
                }
            }
        }
    }

    extern "C" fn at_exit() {
        if process::id() != OURS.load(Ordering::Relaxed) {
            return;
        }
        let Some(suspect) = Suspect::find() else { return };
        // The program ends on its main thread, while others may still be in a call.
        if matches!(suspect, Suspect::Likely(_)) && is_main() {
            return;
        }
        tell(&suspect, "ended the process", "the process was ended", "");
        // SAFETY: it has no preconditions.
        unsafe { libc::_exit(1) }
    }

    extern "C" fn on_crash(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
        static TOLD: AtomicBool = AtomicBool::new(false);
        let Some(index) = SIGNALS.iter().position(|(known, _)| *known == signal) else { return };
        // The runtime aborts after an overflow of the stack: that is told already.
        if process::id() == OURS.load(Ordering::Relaxed)
            && let Some(suspect) = Suspect::find()
            && !TOLD.swap(true, Ordering::Relaxed)
        {
            tell(&suspect, "crashed", "the process crashed", SIGNALS[index].1);
        }
        // A fault comes again when the instruction does, and then to the handler before. A signal that was sent does not, and
        // Rust's runtime would wait for it: it is sent again, to nobody's handler.
        // SAFETY: `before` is what the system gave, and all zeros the default; the system passes a valid `info`.
        unsafe {
            let was_sent = info.is_null() || (*info).si_code <= 0;
            let default: libc::sigaction = std::mem::zeroed();
            let before = BEFORE[index].get().filter(|_| !was_sent).unwrap_or(&default);
            libc::sigaction(signal, before, null_mut());
            if was_sent {
                libc::raise(signal);
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn is_main() -> bool {
        // SAFETY: it has no preconditions.
        u32::try_from(unsafe { libc::gettid() }) == Ok(process::id())
    }

    /// Where this cannot be told, nobody is accused.
    #[cfg(not(target_os = "linux"))]
    fn is_main() -> bool {
        true
    }

    /// Writes a line, in a way that a handler of signals may: without memory of the heap, and without locks.
    fn tell(suspect: &Suspect, deed: &str, happened: &str, signal: &str) {
        let mut line = Line { bytes: [0; 512], len: 0 };
        // SAFETY: it asks what a file descriptor is, and touches nothing.
        if unsafe { libc::isatty(2) } == 1 {
            // A progress bar may stand there.
            line.push(&["\n"]);
        }
        match suspect {
            Suspect::Certain(call) => {
                line.push(&["the plugin `", call.plugin, "` ", deed]);
                match call.function == LOADING {
                    true => line.push(&[" while it was loaded"]),
                    false => line.push(&[" in its call of `", call.function, "`"]),
                }
            }
            Suspect::Likely(call) => {
                line.push(&[happened, " while the plugin `", call.plugin, "` was "]);
                match call.function == LOADING {
                    true => line.push(&["loaded"]),
                    false => line.push(&["in its call of `", call.function, "`"]),
                }
            }
        }
        if !signal.is_empty() {
            line.push(&[" (", signal, ")"]);
        }
        line.push(&["\n"]);
        // SAFETY: so many bytes are there.
        unsafe { libc::write(2, line.bytes.as_ptr().cast(), line.len) };
    }

    /// A line that is put together without the heap; what does not fit is cut off.
    struct Line {
        bytes: [u8; 512],
        len: usize,
    }

    impl Line {
        fn push(&mut self, texts: &[&str]) {
            for byte in texts.iter().flat_map(|text| text.bytes()) {
                if self.len < self.bytes.len() {
                    self.bytes[self.len] = byte;
                    self.len += 1;
                }
            }
        }
    }
}
