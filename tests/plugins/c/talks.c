/* It uses everything that the host offers. */

#include "txray.h"

static txray_status talks(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                          txray_f64_slice_mut out) {
    (void)metric, (void)batch;
    host->log(host->context, TXRAY_LOG_ERROR, txray_text_of("an error"));
    host->log(host->context, TXRAY_LOG_WARNING, txray_text_of("a warning"));
    host->log(host->context, TXRAY_LOG_INFORMATION, txray_text_of("une caf\xc3\xa9"));
    host->log(host->context, TXRAY_LOG_DEBUG, txray_text_of(""));
    host->progress(host->context, 1, UINT64_MAX, txray_text_of("half way"));
    for (size_t row = 0; row < out.len; row++) out.ptr[row] = host->threads;
    return host->cancelled(host->context) ? txray_fail(host, TXRAY_CANCELLED, "", "stopped") : TXRAY_OK;
}
#define DISTANCES talks

#include "plain.h"
