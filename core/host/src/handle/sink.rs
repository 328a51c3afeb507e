//! Sinks behind their C table.

use std::path::Path;

use txray_plugin::abi::{self, Str};
use txray_plugin::{Host, ReportSink, Result};

use super::{Handle, utf8};

impl ReportSink for Handle<abi::SinkTable> {
    fn write(&mut self, host: &Host<'_>, directory: &Path, manifest: &str) -> Result<()> {
        let (directory, manifest) = (Str::text(utf8(directory)?), Str::text(manifest));
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"write", |host| unsafe { (self.table.write)(self.component(), host, directory, manifest) })
    }
}
