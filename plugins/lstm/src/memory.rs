//! What sizes would need, before anything is made of them.

use std::fs;
use std::sync::OnceLock;

use txray_plugin::{Error, Result};

/// The most memory where a machine does not tell how much it has, in bytes: 16 TiB.
const MOST: u128 = 1 << 44;

/// How much memory the machine has, in bytes, where it tells.
fn machine() -> Option<u128> {
    static FOUND: OnceLock<Option<u128>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let told = fs::read_to_string("/proc/meminfo").ok()?;
        let total = told.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(total.trim().strip_suffix("kB")?.trim().parse::<u128>().ok()? * 1024)
    })
}

/// Refuses what needs more memory than the machine has. `pointer` is the option at fault, or empty; `what` reads well before
/// "needs 3.0 GB".
pub(crate) fn check(pointer: &str, what: &str, needed: u128) -> Result<()> {
    let has = machine();
    if needed <= has.unwrap_or(MOST) {
        return Ok(());
    }
    let most = match has {
        Some(has) => format!("this machine has {}", shown(has)),
        None => format!("{} is the most", shown(MOST)),
    };
    Err(Error::at(pointer, format!("{what} needs {} of memory, and {most}", shown(needed))))
}

fn shown(bytes: u128) -> String {
    let gigabytes = bytes as f64 / 1e9;
    if gigabytes < 1e4 { format!("{gigabytes:.1} GB") } else { format!("{:.1} TB", gigabytes / 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused_with_what_it_needs() {
        check("/hidden", "it", 1 << 20).unwrap();
        let error = check("/hidden", "it", 8_800_000_000_000_000).unwrap_err();
        assert_eq!(error.pointer(), "/hidden");
        assert!(error.message().starts_with("it needs 8800.0 TB of memory, and "), "{error}");
        if cfg!(target_os = "linux") {
            assert!(machine().is_some_and(|bytes| bytes > 1 << 28), "{:?}", machine());
        }
    }
}
