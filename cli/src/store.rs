//! `txray store`: what is kept, what can go, what is damaged.

use std::time::Duration;

use txray_plugin::Host;

use crate::args::{StoreAction, StoreCommand};
use crate::error::Error;
use crate::output::say;

/// Looks after the store.
pub fn command(args: &StoreCommand) -> Result<(), Error> {
    let store = args.store.open()?;
    match args.action {
        StoreAction::List => {
            let entries = store.entries()?;
            for entry in &entries {
                let key = entry.key.as_str().get(..12).unwrap_or(entry.key.as_str());
                say!("{key}  {:>10}  {}", bytes(entry.bytes()), entry.record.step.name);
            }
            let all = entries.iter().map(txray_engine::store::Entry::bytes).sum();
            say!("{} steps, {} in {}", entries.len(), bytes(all), store.root().display());
        }
        StoreAction::Gc { unused_for } => {
            let unused = Duration::from_secs(unused_for.saturating_mul(24 * 60 * 60));
            let removed = store.collect(unused, &Host::detached())?;
            let also = [
                (removed.damaged, "of them damaged"),
                (removed.trainings, "unfinished trainings removed"),
                (removed.kept, "kept because they hold files that are not txray's"),
            ];
            let also = also.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
            let (freed, root) = (bytes(removed.bytes), store.root().display());
            say!("{} steps removed{}, {freed} freed in {root}", removed.steps, also.collect::<String>());
        }
        StoreAction::Verify => {
            let mut bad = 0;
            for entry in store.entries()? {
                for file in entry.damaged(&Host::detached()) {
                    bad += 1;
                    say!("damaged: {} ({})", entry.directory.join(file).display(), entry.record.step.name);
                }
            }
            for directory in store.unreadable()? {
                bad += 1;
                say!("damaged: {} (its record does not read)", directory.display());
            }
            if bad > 0 {
                return Err(Error::Damaged);
            }
            say!("every file in {} is what it was when it was made", store.root().display());
        }
    }
    Ok(())
}

/// `1.2 MB`.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
