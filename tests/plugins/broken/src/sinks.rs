//! Sinks that copy the manifest.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use txray_plugin::{Component, Error, Host, NoOptions, ReportSink, Result};

fn put(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| Error::failed(format!("cannot write {}: {error}", path.display())))
}

/// Defines a sink without options.
macro_rules! sink {
    ($name:ident, $kind:literal, $about:literal, |$directory:ident, $manifest:ident| $write:expr) => {
        pub struct $name;

        impl Component for $name {
            const KIND: &'static str = $kind;
            const ABOUT: &'static str = $about;
            type Options = NoOptions;

            fn create(_: NoOptions, _: &Host<'_>) -> Result<Self> {
                Ok(Self)
            }
        }

        impl ReportSink for $name {
            fn write(&mut self, _: &Host<'_>, $directory: &Path, $manifest: &str) -> Result<()> {
                $write
            }
        }
    };
}

sink!(GoodSink, "good", "a copy of the manifest", |directory, manifest| put(&directory.join("report.txt"), manifest));

sink!(Silent, "silent", "writes nothing", |_directory, _manifest| Ok(()));

sink!(Vandal, "vandal", "writes into the manifest", |directory, manifest| {
    put(&directory.join("report.txt"), manifest)?;
    put(&directory.join("manifest.json"), "{}")
});

static WRITTEN: AtomicU32 = AtomicU32::new(0);

sink!(Numbered, "numbered", "numbers its reports", |directory, _manifest| {
    put(&directory.join("report.txt"), &WRITTEN.fetch_add(1, Ordering::Relaxed).to_string())
});

sink!(Careless, "careless", "does not look whether it wrote", |directory, manifest| {
    let _ = std::fs::write(directory.join("report.txt"), manifest);
    Ok(())
});
