/* It writes one row more than there are. */

#include "txray.h"

static txray_status writes_past(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                                txray_f64_slice_mut out) {
    (void)metric, (void)host, (void)batch;
    for (size_t row = 0; row <= out.len; row++) out.ptr[row] = 0.25;
    return TXRAY_OK;
}
#define DISTANCES writes_past

#include "plain.h"
