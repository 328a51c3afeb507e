/* It fails, and does not say why. */

#include "txray.h"

static txray_status fails(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                          txray_f64_slice_mut out) {
    (void)metric, (void)host, (void)batch, (void)out;
    return TXRAY_FAILED;
}
#define DISTANCES fails

#include "plain.h"
