/* It fails with a status that nobody has defined, in words that are not UTF-8. */

#include "txray.h"

static txray_status fails(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                          txray_f64_slice_mut out) {
    (void)metric, (void)batch, (void)out;
    return txray_fail(host, 42, "", "worn \xff out");
}
#define DISTANCES fails

#include "plain.h"
