/* It keeps a pointer to the offsets of its first call, and looks there in later ones: a check that is meant to be made
 * once. What it borrowed may be gone by then. */

#include "txray.h"

#include <stdlib.h>

typedef struct kept { const uint64_t *offsets; } kept;

static txray_status makes_place(const txray_host *host, txray_str kind, txray_str options, void **out) {
    (void)kind;
    if (options.len != 2) return txray_fail(host, TXRAY_INVALID, "", "it has no options");
    *out = calloc(1, sizeof(kept));
    return TXRAY_OK;
}

static txray_status looks_back(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                               txray_f64_slice_mut out) {
    (void)host;
    kept *kept_ = (kept *)metric;
    if (kept_->offsets == NULL && out.len > 0) kept_->offsets = batch->offsets.ptr;
    for (size_t row = 0; row < out.len; row++) out.ptr[row] = kept_->offsets[1] == 0 ? 0.75 : 0.25;
    return TXRAY_OK;
}
#define CREATE makes_place
#define DESTROY free
#define DISTANCES looks_back

#include "plain.h"
