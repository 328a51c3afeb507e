/* All that it says has what a terminal obeys: an escape, a bell, a return, a control character of one byte in Latin-1, text
 * that runs from right to left, and what looks like a line of the host's. */

#include "txray.h"

#define SHOUT "\x1b[31mX\x07\r\xc2\x9b\xe2\x80\xae\nstage.x: there already"

/* The same in JSON. */
#define JSON "\\u001b[31mX\\u0007\\r\\u009b\\u202e\\nstage.x: there already"
#define INFO TXRAY_TEXT("{\"name\": \"plain\", \"version\": \"1\", \"components\": [{" \
                        "\"interface\": \"txray.metric/1\", \"kind\": \"plain\", \"about\": \"" JSON "\"," \
                        "\"options\": {\"type\": \"object\", \"properties\": {" \
                        "\"loud\": {\"type\": \"string\", \"description\": \"" JSON "\"}}}}]}")

static txray_status make(const txray_host *host, txray_str kind, txray_str options, void **out) {
    static int component;
    (void)kind;
    if (options.len != 2) return txray_fail(host, TXRAY_INVALID, "/loud", "too loud: " SHOUT);
    *out = &component;
    return TXRAY_OK;
}
#define CREATE make

static txray_status shouts(const void *metric, const txray_host *host, const txray_metric_batch *batch,
                           txray_f64_slice_mut out) {
    (void)metric, (void)batch, (void)out;
    host->log(host->context, TXRAY_LOG_ERROR, txray_text_of(SHOUT));
    host->log(host->context, TXRAY_LOG_WARNING, txray_text_of(SHOUT));
    host->log(host->context, TXRAY_LOG_INFORMATION, txray_text_of(SHOUT));
    host->log(host->context, TXRAY_LOG_DEBUG, txray_text_of(SHOUT));
    host->progress(host->context, 1, UINT64_MAX, txray_text_of(SHOUT));
    host->progress(host->context, UINT64_MAX, 1, txray_text_of(SHOUT));
    /* Again, once a bar that is drawn at times only may be drawn. */
    for (uint64_t i = 0; i < 100; i++) host->progress(host->context, i, 100, txray_text_of(SHOUT));
    return txray_fail(host, TXRAY_FAILED, "", SHOUT);
}
#define DISTANCES shouts

#include "plain.h"
