//! Everything that is printed, so that two things hold wherever a text comes from.
//!
//! - **No output stops a command.** Who reads it may be gone, the disk that it goes to may be full: what is asked for is
//!   done all the same. What could not be said on standard error is not missed; that results could not be printed is told
//!   at the end ([`refusal`]).
//! - **No text does anything to a terminal.** A line stays one line, and what would move the cursor, colour text or turn its
//!   order around is written out ([`one_line`]).
//!
//! Results go to standard output: [`say!`], [`results`]. All else goes to standard error: [`tell!`], [`report`].

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use txray_config::plain;

/// Prints a line of the results.
macro_rules! say {
    () => { $crate::output::results("\n") };
    ($($text:tt)*) => { $crate::output::results(&$crate::output::line(&format!($($text)*))) };
}

/// Prints a line about what happens.
macro_rules! tell {
    ($($text:tt)*) => { $crate::output::report(&$crate::output::line(&format!($($text)*))) };
}

pub(crate) use {say, tell};

/// Why standard output took no more.
static REFUSED: OnceLock<io::Error> = OnceLock::new();

/// Prints results of several lines.
pub fn results(text: &str) {
    to_stdout(&plain(text));
}

/// Prints JSON. What does something to a terminal is written out as JSON has it.
pub fn json(value: &serde_json::Value) {
    let escaped = |c: char| match plain(c.encode_utf8(&mut [0; 4])) {
        Cow::Borrowed(_) => c.to_string(),
        // None of these is beyond 16 bits.
        Cow::Owned(_) => format!("\\u{:04x}", u32::from(c)),
    };
    to_stdout(&format!("{value:#}\n").chars().map(escaped).collect::<String>());
}

/// Prints help, which may have colours: nothing in it is from a file.
pub fn help(text: &str) {
    to_stdout(&but_colours(text));
}

/// Prints several lines about what happens, such as an error with its caret. It may have colours: whoever
/// renders it has cleaned what it quotes, as [`txray_config::Diagnostic`] does.
pub fn report(text: &str) {
    // Where that is refused, there is nobody left to tell.
    let _ = write(io::stderr().lock(), &but_colours(text));
}

/// Why results could not be printed. That nobody reads them any more is no reason: that is how a reader says that it has
/// enough.
pub fn refusal() -> Option<&'static io::Error> {
    REFUSED.get().filter(|error| match error.kind() {
        ErrorKind::BrokenPipe => false,
        ErrorKind::StorageFull => true,
        _ => !is_device(),
    })
}

/// Whether standard output is no file: a terminal that has gone is not called a terminal any more, and is to who writes
/// there a device that fails.
#[cfg(unix)]
fn is_device() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let file = io::stdout().as_fd().try_clone_to_owned().map(std::fs::File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.file_type().is_char_device())
}

/// Elsewhere than in Unix the two are not told apart.
#[cfg(not(unix))]
fn is_device() -> bool {
    false
}

/// Whether colours are wanted on standard error, or else on standard output.
pub fn has_colours(on_stderr: bool) -> bool {
    let is_terminal = if on_stderr { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !refused && std::env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

/// A text as one line of plain text: a name, a path or a message cannot pretend to be a line of ours.
pub fn one_line(text: &str) -> Cow<'_, str> {
    match plain(text) {
        line if !line.contains('\n') => line,
        lines => Cow::Owned(lines.replace('\n', "\\n")),
    }
}

/// That line, with its end.
pub fn line(text: &str) -> String {
    one_line(text).into_owned() + "\n"
}

fn to_stdout(text: &str) {
    if REFUSED.get().is_some() {
        return;
    }
    if let Err(error) = write(io::stdout().lock(), text) {
        // The first reason is the one that is told.
        let _ = REFUSED.set(error);
    }
}

/// Plain text, less what sets colours.
fn but_colours(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        // An escape that sets no colour is not kept.
        let end = at + colour(&rest[at..]).unwrap_or(0);
        kept += &plain(&rest[..at]);
        kept += &rest[at..end];
        if end == at {
            kept += &plain("\u{1b}");
        }
        rest = &rest[end.max(at + 1)..];
    }
    kept + &plain(rest)
}

/// The length of the sequence that sets a colour, if a text begins with one.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').strip_prefix('m')?;
    Some(text.len() - end.len())
}

/// Writes all of it, now.
fn write(mut stream: impl Write, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    loop {
        let result = if rest.is_empty() { stream.flush().map(|()| None) } else { stream.write(rest).map(Some) };
        match result {
            Ok(None) => return Ok(()),
            Ok(Some(0)) => return Err(ErrorKind::WriteZero.into()),
            Ok(Some(written)) => rest = &rest[written..],
            // Whoever shares the stream with us may have made it one that does not wait for its reader.
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(10)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_what_is_seen() {
        assert_eq!(one_line("größer\t12 %"), "größer\t12 %");
        assert_eq!(one_line("\u{1b}[2Jx\r\u{9b}1m\u{202e}\u{7f}"), r"\u{1b}[2Jx\u{d}\u{9b}1m\u{202e}\u{7f}");
        assert_eq!(one_line("a\nstage.b: there already"), r"a\nstage.b: there already");
        assert_eq!(line("a\n"), "a\\n\n");
    }

    #[test]
    fn of_what_a_terminal_obeys_colours_alone_are_kept() {
        let coloured = "\u{1b}[31;1merror\u{1b}[0m: größer\n\u{1b}[m";
        assert_eq!(but_colours(coloured), coloured);
        assert_eq!(but_colours("\u{1b}[2J\u{1b}\u{1b}]0;title\u{7}"), r"\u{1b}[2J\u{1b}\u{1b}]0;title\u{7}");
        assert_eq!(but_colours("\u{1b}"), r"\u{1b}");
        assert_eq!(but_colours("\u{1b}[3"), r"\u{1b}[3");
        assert_eq!(but_colours("\u{1b}[31é"), r"\u{1b}[31é");
    }

    #[test]
    fn a_stream_that_does_not_wait_is_waited_for() {
        /// Takes a byte of every other call.
        struct Slow(Vec<u8>, bool);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                self.0.push(bytes[0]);
                Ok(1)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut slow = Slow(Vec::new(), false);
        assert!(write(&mut slow, "all of it").is_ok());
        assert_eq!(slow.0, b"all of it");
    }
}
