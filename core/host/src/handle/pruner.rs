//! Pruners behind their C table.

use txray_plugin::abi::{self, Slice, SliceMut};
use txray_plugin::{Columns, Host, Pruner, Result};

use super::{Handle, strings};

impl Pruner for Handle<abi::PrunerTable> {
    fn scores(&self, host: &Host<'_>, columns: &Columns<'_>, out: &mut [f64]) -> Result<()> {
        let raw = abi::Columns {
            size: size_of::<abi::Columns>(),
            rows: columns.rows as u64,
            names: strings(columns.names),
            values: Slice::new(columns.values),
        };
        let out = SliceMut::new(out);
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"scores", |host| unsafe { (self.table.scores)(self.component(), host, &raw const raw, out) })
    }
}
