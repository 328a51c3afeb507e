/* It sorts its input where it stands. */

#include "txray.h"

static txray_status sorts(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                          txray_f64_slice_mut out) {
    (void)metric, (void)host;
    double *p = (double *)batch->p.ptr;
    for (size_t i = 1; i < batch->p.len; i++) {
        double value = p[i];
        size_t j = i;
        for (; j > 0 && p[j - 1] > value; j--) p[j] = p[j - 1];
        p[j] = value;
    }
    for (size_t row = 0; row < out.len; row++) out.ptr[row] = 0.25;
    return TXRAY_OK;
}
#define DISTANCES sorts

#include "plain.h"
