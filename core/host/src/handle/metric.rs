//! Metrics behind their C table.

use txray_plugin::abi::{self, Slice, SliceMut};
use txray_plugin::{Host, MetricBatch, PreferenceMetric, Result};

use super::{Handle, strings};

impl PreferenceMetric for Handle<abi::MetricTable> {
    fn distances(&self, host: &Host<'_>, batch: &MetricBatch<'_>, out: &mut [f64]) -> Result<()> {
        let raw = abi::MetricBatch {
            size: size_of::<abi::MetricBatch>(),
            offsets: Slice::new(batch.offsets),
            features: Slice::new(batch.features),
            p: Slice::new(batch.p),
            q: Slice::new(batch.q),
            count_p: Slice::new(batch.count_p),
            count_q: Slice::new(batch.count_q),
            mass_p: Slice::new(batch.mass_p),
            mass_q: Slice::new(batch.mass_q),
            names: strings(batch.names),
        };
        let out = SliceMut::new(out);
        // SAFETY: the component is this table's, and every argument lives for the call.
        self.call(host, &"distances", |host| unsafe {
            (self.table.distances)(self.component(), host, &raw const raw, out)
        })
    }
}
