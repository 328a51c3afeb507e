//! Errors that cross the boundary.

use std::fmt;

/// Whose fault an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The user's: an option, a file. They can mend it.
    Invalid,
    /// Ours, or the machine's.
    Failed,
    /// Nobody's: the host asked to stop.
    Cancelled,
}

/// Why a call did not do what was asked. The message reads well after "failed to ...: ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    fault: Fault,
    pointer: String,
    message: String,
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the given fault, at a JSON pointer into the options (empty: the whole).
    pub fn new(fault: Fault, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { fault, pointer: pointer.into(), message: message.into() }
    }

    /// Something the user can mend.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Fault::Invalid, "", message)
    }

    /// An option the user can mend, named by a JSON pointer such as `/train/dropout`.
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::Invalid, pointer, message)
    }

    /// A fault of the plugin, or of the machine.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Fault::Failed, "", message)
    }

    /// The host asked to stop.
    pub fn cancelled() -> Self {
        Self::new(Fault::Cancelled, "", "cancelled")
    }

    /// Crosses the boundary as the status of the call.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// JSON pointer into the options; empty where no single option is at fault.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Without the option's name, which [`Error::pointer`] tells.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            pointer => {
                // A plugin in C may give anything here: what is no JSON pointer is shown as it is.
                let path = pointer.strip_prefix('/').unwrap_or(pointer).replace('/', ".");
                write!(f, "option `{}`: {}", path.replace("~1", "/").replace("~0", "~"), self.message)
            }
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_named_by_its_path_whatever_the_pointer() {
        let shown = |pointer: &str| Error::at(pointer, "is wrong").to_string();
        assert_eq!(shown(""), "is wrong");
        assert_eq!(shown("/train/epochs/1"), "option `train.epochs.1`: is wrong");
        assert_eq!(shown("/a~1b/c~01"), "option `a/b.c~1`: is wrong");
        assert_eq!(shown("alpha"), "option `alpha`: is wrong");
        assert_eq!(shown("été"), "option `été`: is wrong");
        assert_eq!(shown("/"), "option ``: is wrong");
    }
}
